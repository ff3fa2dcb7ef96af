/*
 * write.c: what was counted, as samples. Slices of entries are copied with the lock held, made into
 * a batch without it, and stored, one slice after the other: so neither the lock nor memory is held
 * for all of them at once.
 */
#include "gateway/generator/internal.h"

enum { SLICE = 128 };

/* A batch in the making. Labels are offsets into `labels` until all are there. */
typedef struct Writer {
    Arena *arena;
    MetricsBatch batch;
    size_t row_capacity, sample_capacity, histogram_capacity, exemplar_capacity;
    Buf labels;
    int64_t now_ms;
    const Group *group;
    Str exemplar_label;
    bool failed;
    /* Of the entry at hand: its labels with __name__ and le, and where those are. */
    LabelPair *pairs;
    size_t pair_count;
    LabelPair *name, *le;
    char metric[128];
} Writer;

static void *grown(Writer *writer, void *array, size_t count, size_t *capacity, size_t element) {
    size_t more = MAX(*capacity * 2, (size_t)256);

    if (count < *capacity || writer->failed) return array;
    array = arena_grow(writer->arena, array, *capacity * element, more * element);
    *capacity = array == NULL ? 0 : more;
    if (array == NULL) writer->failed = true;
    return array;
}

/* Labels as they are to be at the end: `ptr` is where they begin, for now. */
static Str write_labels(Writer *writer, LabelPairs pairs) {
    size_t at = writer->labels.len;

    labels_encode(pairs, &writer->labels);
    return (Str){(const char *)(uintptr_t)at, writer->labels.len - at};
}

static MetricsRow *begin_row(Writer *writer, const char *name, const char *suffix, Str le) {
    MetricsBatch *batch = &writer->batch;
    size_t name_len = strlen(name), suffix_len = strlen(suffix);

    batch->rows =
        grown(writer, batch->rows, batch->row_count, &writer->row_capacity, sizeof *batch->rows);
    if (writer->failed) return NULL;
    assert(name_len + suffix_len <= sizeof writer->metric);
    memcpy(writer->metric, name, name_len);
    memcpy(writer->metric + name_len, suffix, suffix_len);
    writer->name->value = (Str){writer->metric, name_len + suffix_len};
    writer->le->value = le;
    batch->rows[batch->row_count] = (MetricsRow){
        .labels = write_labels(writer, (LabelPairs){writer->pairs, writer->pair_count}),
        .sample_start = (uint32_t)batch->sample_count,
        .histogram_start = (uint32_t)batch->histogram_count,
        .exemplar_start = (uint32_t)batch->exemplar_count};
    return &batch->rows[batch->row_count++];
}

static void add_sample(Writer *writer, MetricsRow *row, int64_t time_ms, double value) {
    MetricsBatch *batch = &writer->batch;

    batch->samples = grown(writer, batch->samples, batch->sample_count, &writer->sample_capacity,
                           sizeof *batch->samples);
    if (writer->failed) return;
    batch->samples[batch->sample_count++] = (MetricsSample){time_ms, value};
    row->sample_count++;
}

static void add_series(Writer *writer, const char *name, const char *suffix, Str le, double value,
                       const int64_t *zero_ms) {
    MetricsRow *row = begin_row(writer, name, suffix, le);

    if (row == NULL) return;
    if (zero_ms != NULL) add_sample(writer, row, *zero_ms, 0);
    add_sample(writer, row, writer->now_ms, value);
}

static void add_exemplar(Writer *writer, MetricsRow *row, const CellExemplar *exemplar) {
    static const char hex[] = "0123456789abcdef";
    MetricsBatch *batch = &writer->batch;
    char text[2 * sizeof exemplar->trace.bytes];
    LabelPair pair = {writer->exemplar_label, {text, sizeof text}};

    batch->exemplars = grown(writer, batch->exemplars, batch->exemplar_count,
                             &writer->exemplar_capacity, sizeof *batch->exemplars);
    if (writer->failed) return;
    for (size_t i = 0; i < sizeof exemplar->trace.bytes; i++) {
        text[2 * i] = hex[exemplar->trace.bytes[i] >> 4];
        text[2 * i + 1] = hex[exemplar->trace.bytes[i] & 15];
    }
    batch->exemplars[batch->exemplar_count++] =
        (MetricsExemplar){.time_ms = writer->now_ms,
                          .value = exemplar->value,
                          .labels = write_labels(writer, (LabelPairs){&pair, 1})};
    row->exemplar_count++;
}

/* ---------- histograms ---------- */

static void write_classic(Writer *writer, const char *name, HistogramCell *cell,
                          const int64_t *zero_ms) {
    const GeneratorBuckets *buckets = &writer->group->buckets;
    const CellExemplar *exemplars = cell_exemplars(writer->group, cell);
    double total = 0;

    add_series(writer, name, "_sum", STR(""), cell->sum, zero_ms);
    add_series(writer, name, "_count", STR(""), cell->count, zero_ms);
    for (uint32_t i = 0; i <= buckets->count; i++) {
        total += cell_buckets(cell)[i];
        add_series(writer, name, "_bucket", buckets->texts[i], total, zero_ms);
        if (!writer->failed && exemplars[i].set)
            add_exemplar(writer, &writer->batch.rows[writer->batch.row_count - 1], &exemplars[i]);
    }
}

/* Runs of buckets that hold something become spans. */
static NativeHistogram *make_native(Writer *writer, HistogramCell *cell) {
    const double *counts = cell_native(writer->group, cell);
    NativeHistogram *h = ARENA_NEW(writer->arena, NativeHistogram);
    HistogramSpan *spans = ARENA_ARRAY(writer->arena, HistogramSpan, NATIVE_BUCKETS_MAX);
    double *positive = ARENA_ARRAY(writer->arena, double, NATIVE_BUCKETS_MAX);
    int32_t end = 0;

    if (h == NULL || spans == NULL || positive == NULL) return NULL;
    *h = (NativeHistogram){.schema = cell->native_schema,
                           .zero_threshold = 0x1p-128,
                           .zero_count = cell->zeros,
                           .count = cell->count,
                           .sum = cell->sum,
                           .positive_spans = spans,
                           .positive = positive};
    for (uint32_t i = 0; i < cell->native_count; i++) {
        int32_t index = cell->native_low + (int32_t)i;

        if (counts[i] == 0) continue;
        if (h->positive_span_count == 0 || index != end) {
            spans[h->positive_span_count++] = (HistogramSpan){index - end, 1};
        } else {
            spans[h->positive_span_count - 1].length++;
        }
        positive[h->positive_count++] = counts[i];
        end = index + 1;
    }
    return h;
}

static void add_histogram(Writer *writer, MetricsRow *row, int64_t time_ms, NativeHistogram *h) {
    MetricsBatch *batch = &writer->batch;

    batch->histograms = grown(writer, batch->histograms, batch->histogram_count,
                              &writer->histogram_capacity, sizeof *batch->histograms);
    if (h == NULL) writer->failed = true;
    if (writer->failed) return;
    batch->histograms[batch->histogram_count++] = (MetricsHistogram){time_ms, h};
    row->histogram_count++;
}

static void write_native(Writer *writer, const char *name, HistogramCell *cell,
                         const int64_t *zero_ms) {
    const CellExemplar *exemplars = cell_exemplars(writer->group, cell);
    MetricsRow *row = begin_row(writer, name, "", STR(""));

    if (row == NULL) return;
    if (zero_ms != NULL) {
        NativeHistogram *zero = ARENA_NEW(writer->arena, NativeHistogram);

        if (zero != NULL)
            *zero = (NativeHistogram){.schema = cell->native_schema, .zero_threshold = 0x1p-128};
        add_histogram(writer, row, *zero_ms, zero);
    }
    add_histogram(writer, row, writer->now_ms, make_native(writer, cell));
    for (uint32_t i = 0; i <= writer->group->buckets.count && !writer->failed; i++)
        if (exemplars[i].set) add_exemplar(writer, row, &exemplars[i]);
}

/* ---------- entries ---------- */

/* The entry's labels with room for __name__ and le where they sort. Empty values aren't encoded. */
static bool begin_entry(Writer *writer, const GroupEntry *entry) {
    LabelPairs own;
    Error ignored;

    if (labels_decode(entry->labels, writer->arena, &own, &ignored) != ERR_OK) return false;
    writer->pairs = ARENA_ARRAY(writer->arena, LabelPair, own.count + 2);
    if (writer->pairs == NULL) return false;
    if (own.count > 0) memcpy(writer->pairs, own.pairs, own.count * sizeof *own.pairs);
    writer->pairs[own.count].name = LABEL_NAME;
    writer->pairs[own.count + 1].name = STR("le");
    writer->pair_count = own.count + 2;
    labels_sort(writer->pairs, writer->pair_count);
    for (size_t i = 0; i < writer->pair_count; i++) {
        if (str_equal(writer->pairs[i].name, LABEL_NAME)) writer->name = &writer->pairs[i];
        if (str_equal(writer->pairs[i].name, STR("le"))) writer->le = &writer->pairs[i];
    }
    return true;
}

static void write_entry(Writer *writer, char *cells) {
    const Group *group = writer->group;

    for (uint32_t f = 0; f < group->family_count; f++) {
        const char *name = group->families[f].name;

        if (group->families[f].kind == FAMILY_HISTOGRAM) {
            HistogramCell *cell = cell_histogram(group, cells, f);
            const int64_t *zero_ms = cell->zeroed ? NULL : &cell->since_ms;

            /* What was first counted in while this collection runs comes with the next one. */
            if (!cell->used || cell->since_ms >= writer->now_ms) continue;
            if (group->histograms != GENERATOR_NATIVE) write_classic(writer, name, cell, zero_ms);
            if (group->histograms != GENERATOR_CLASSIC) write_native(writer, name, cell, zero_ms);
        } else {
            CounterCell *cell = cell_counter(group, cells, f);
            bool zero = group->families[f].kind == FAMILY_COUNTER && !cell->zeroed;

            if (!cell->used || (zero && cell->since_ms >= writer->now_ms)) continue;
            add_series(writer, name, "", STR(""), cell->value, zero ? &cell->since_ms : NULL);
        }
    }
}

/* The cells of an entry as they are now; exemplars are handed out once. */
static char *copy_cells(const Group *group, GroupEntry *entry, Arena *arena) {
    char *copy = arena_alloc(arena, group->cell_bytes);

    if (copy == NULL) return NULL;
    memcpy(copy, entry->cells, group->cell_bytes);
    for (uint32_t f = 0; f < group->family_count; f++) {
        HistogramCell *cell;
        CellExemplar *exemplars;

        if (group->families[f].kind != FAMILY_HISTOGRAM) continue;
        cell = cell_histogram(group, entry->cells, f);
        exemplars = cell_exemplars(group, cell);
        for (uint32_t i = 0; i <= group->buckets.count; i++) exemplars[i].set = false;
    }
    return copy;
}

/* What was written with a zero needs none any more. */
static void note_zeros(const Group *group, GroupEntry *entry, const char *copy, int64_t now_ms) {
    for (uint32_t f = 0; f < group->family_count; f++) {
        if (group->families[f].kind == FAMILY_HISTOGRAM) {
            const HistogramCell *written = cell_histogram(group, (char *)copy, f);

            if (written->used && written->since_ms < now_ms)
                cell_histogram(group, entry->cells, f)->zeroed = true;
        } else {
            const CounterCell *written = cell_counter(group, (char *)copy, f);

            if (written->used && written->since_ms < now_ms)
                cell_counter(group, entry->cells, f)->zeroed = true;
        }
    }
}

/* ---------- metadata ---------- */

static MetricType type_of(FamilyKind kind) {
    return kind == FAMILY_COUNTER     ? METRIC_COUNTER
           : kind == FAMILY_HISTOGRAM ? METRIC_HISTOGRAM
                                      : METRIC_GAUGE;
}

static void write_metadata(Writer *writer) {
    const Group *group = writer->group;
    MetricsMetadata *items = ARENA_ARRAY(writer->arena, MetricsMetadata, group->family_count);

    if (items == NULL) return;
    for (uint32_t f = 0; f < group->family_count; f++)
        items[f] = (MetricsMetadata){.metric = str_of(group->families[f].name),
                                     .help = str_of(group->families[f].help),
                                     .unit = str_of(group->families[f].unit),
                                     .type = type_of(group->families[f].kind)};
    writer->batch.metadata = items;
    writer->batch.metadata_count = group->family_count;
}

/* ---------- storing ---------- */

typedef struct Waiting {
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool is_done;
    AppendResult result;
} Waiting;

static void stored(void *context, const AppendResult *result) {
    Waiting *waiting = context;

    pthread_mutex_lock(&waiting->lock);
    waiting->result = *result;
    waiting->is_done = true;
    pthread_cond_signal(&waiting->done);
    pthread_mutex_unlock(&waiting->lock);
}

static ErrCode store(MetricsSink *sink, const MetricsBatch *batch, uint64_t *samples, Error *err) {
    Waiting waiting = {.lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

    sink->append(sink, batch, stored, &waiting);
    pthread_mutex_lock(&waiting.lock);
    while (!waiting.is_done) pthread_cond_wait(&waiting.done, &waiting.lock);
    pthread_mutex_unlock(&waiting.lock);
    pthread_cond_destroy(&waiting.done);
    pthread_mutex_destroy(&waiting.lock);
    if (waiting.result.code != ERR_OK) {
        *err = waiting.result.first;
        err->code = waiting.result.code;
        return err->code;
    }
    *samples += waiting.result.samples + waiting.result.histograms;
    return ERR_OK;
}

/* Labels from offsets to where they are now, and the ids. */
static bool finish(Writer *writer, Str tenant, const MetricsSink *sink) {
    MetricsBatch *batch = &writer->batch;
    uint64_t hash = hash_str(tenant);

    if (writer->failed || buf_failed(&writer->labels)) return false;
    batch->tenant = tenant;
    for (size_t i = 0; i < batch->row_count; i++) {
        MetricsRow *row = &batch->rows[i];

        row->labels.ptr = writer->labels.ptr + (uintptr_t)row->labels.ptr;
        row->id = metrics_series_id(hash, row->labels, sink->series_seed);
    }
    for (size_t i = 0; i < batch->exemplar_count; i++)
        batch->exemplars[i].labels.ptr =
            writer->labels.ptr + (uintptr_t)batch->exemplars[i].labels.ptr;
    return true;
}

/* Entries [from, from + count) of a group. */
static ErrCode write_slice(GeneratorTenant *tenant, Writer *writer, size_t from, size_t count,
                           MetricsSink *sink, uint64_t *samples, Error *err) {
    const Group *group = writer->group;
    GroupEntry *entries[SLICE];
    char *copies[SLICE];

    assert(count <= SLICE);
    pthread_mutex_lock(&tenant->lock);
    for (size_t i = 0; i < count; i++) {
        entries[i] = group->entries[from + i];
        copies[i] = copy_cells(group, entries[i], writer->arena);
    }
    pthread_mutex_unlock(&tenant->lock);
    for (size_t i = 0; i < count && !writer->failed; i++) {
        if (copies[i] == NULL || !begin_entry(writer, entries[i]))
            writer->failed = true;
        else
            write_entry(writer, copies[i]);
    }
    if (from == 0) write_metadata(writer);
    if (!finish(writer, tenant->name, sink))
        return error_set(err, ERR_LIMIT, "no memory left to write derived metrics");
    if (writer->batch.row_count == 0) return ERR_OK;
    TRY(store(sink, &writer->batch, samples, err));
    for (size_t i = 0; i < count; i++) note_zeros(group, entries[i], copies[i], writer->now_ms);
    return ERR_OK;
}

static ErrCode write_group(GeneratorTenant *tenant, const Group *group, size_t count, Arena *arena,
                           MetricsSink *sink, int64_t now_ms, uint64_t *samples, Error *err) {
    for (size_t from = 0; from < count; from += SLICE) {
        Writer writer = {.arena = arena,
                         .now_ms = now_ms,
                         .group = group,
                         .exemplar_label = tenant->rules->settings.exemplar_label};
        ErrCode code;

        buf_init(&writer.labels, 0);
        code = write_slice(tenant, &writer, from, MIN(count - from, (size_t)SLICE), sink, samples,
                           err);
        buf_done(&writer.labels);
        arena_reset(arena);
        TRY(code);
    }
    return ERR_OK;
}

ErrCode generator_write(GeneratorTenant *tenant, MetricsSink *sink, Budget *budget, int64_t now_ms,
                        uint64_t *samples, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, budget);
    Registry *registry = &tenant->registry;
    size_t counts[GROUP_COUNT];
    ErrCode code = ERR_OK;

    if (arena == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    pthread_mutex_lock(&tenant->lock);
    for (int g = 0; g < GROUP_COUNT; g++) counts[g] = registry->groups[g].count;
    registry->since_ms = now_ms;
    pthread_mutex_unlock(&tenant->lock);
    for (int g = 0; g < GROUP_COUNT && code == ERR_OK; g++)
        code =
            write_group(tenant, &registry->groups[g], counts[g], arena, sink, now_ms, samples, err);
    pthread_mutex_lock(&tenant->lock);
    for (int g = 0; g < GROUP_COUNT; g++)
        group_expire(registry, &registry->groups[g],
                     now_ms - tenant->rules->settings.stale_after_ms);
    pthread_mutex_unlock(&tenant->lock);
    return code;
}
