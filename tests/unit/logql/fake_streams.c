#include "tests/unit/logql/fake_streams.h"

#include <stdlib.h>

enum { BATCH_MAX = 64, LABELS_MAX = 16 };

typedef struct FakeUnit {
    uint32_t stream;
    size_t from, to; /* entries of the stream */
} FakeUnit;

typedef struct FakeSet {
    FakeStreams *fake;
    StreamSelect select;
    FakeUnit *units;
    const FakeStream **streams;
} FakeSet;

struct StreamReader {
    const FakeSet *set;
    FakeUnit unit;
    size_t at; /* entries read */
};

struct StreamScratch {
    StreamReader reader;
    int64_t times[BATCH_MAX];
    Str lines[BATCH_MAX];
    uint32_t lengths[BATCH_MAX];
    LabelPairs metadata[BATCH_MAX];
    LabelPair pairs[BATCH_MAX][LABELS_MAX];
};

static size_t parse_pairs(const char *text, LabelPair *out) {
    Str rest = str_of(text == NULL ? "" : text), head;
    size_t count = 0;

    while (rest.len > 0 && count < LABELS_MAX) {
        str_cut(rest, ',', &head, &rest);
        str_cut(head, '=', &out[count].name, &out[count].value);
        count++;
    }
    return count;
}

static bool selected(const FakeStream *stream, const StreamSelect *select) {
    LabelPair pairs[LABELS_MAX];
    LabelPairs labels = {pairs, parse_pairs(stream->labels, pairs)};

    for (size_t i = 0; i < select->matcher_count; i++)
        if (!matcher_matches(&select->matchers[i], labels_get(labels, select->matchers[i].name)))
            return false;
    return true;
}

static bool passes(const StreamSelect *select, Str line) {
    for (size_t n = 0; n < select->needle_count; n++) {
        const StreamNeedle *needle = &select->needles[n];
        bool found = needle->fold;

        for (size_t i = 0; i < needle->count; i++)
            found = found || memmem(line.ptr, line.len, needle->any[i].ptr, needle->any[i].len);
        if (found == needle->negated) return false;
    }
    return true;
}

static StreamScratch *scratch_new(const StreamSet *set, QueryContext *query) {
    (void)set, (void)query;
    return calloc(1, sizeof(StreamScratch));
}

static void scratch_free(StreamScratch *scratch) {
    free(scratch);
}

static ErrCode open_unit(const StreamSet *set, uint32_t unit, StreamScratch *scratch,
                         StreamReader **out, Error *err) {
    const FakeSet *fake = set->context;

    (void)err;
    scratch->reader = (StreamReader){fake, fake->units[unit], 0};
    *out = &scratch->reader;
    return ERR_OK;
}

static void deliver(StreamScratch *scratch, size_t at, const FakeEntry *entry) {
    scratch->times[at] = entry->time_ns;
    scratch->lines[at] = str_of(entry->line);
    scratch->lengths[at] = (uint32_t)scratch->lines[at].len;
    scratch->metadata[at] =
        (LabelPairs){scratch->pairs[at], parse_pairs(entry->metadata, scratch->pairs[at])};
}

static ErrCode next_batch(StreamReader *reader, StreamBatch *out, Error *err) {
    StreamScratch *scratch = (StreamScratch *)reader;
    const FakeSet *set = reader->set;
    const FakeStream *stream = set->streams[reader->unit.stream];
    size_t most = set->fake->batch_entries == 0 ? 2 : set->fake->batch_entries, count = 0;
    size_t all = reader->unit.to - reader->unit.from;
    bool lines = !set->fake->lazy_lines || (set->select.need & STREAM_NEED_LINES) != 0 ||
                 (set->select.needle_count > 0 && !set->fake->does_needles);

    if (atomic_fetch_add(&set->fake->calls, 1) + 1 == set->fake->fail_at)
        return error_set(err, ERR_UNAVAILABLE, "the fake fails");
    for (; reader->at < all && count < most; reader->at++) {
        size_t at = set->select.backward ? reader->unit.to - 1 - reader->at
                                         : reader->unit.from + reader->at;
        const FakeEntry *entry = &stream->entries[at];

        if (entry->time_ns < set->select.min_ns || entry->time_ns >= set->select.max_ns) continue;
        if (set->fake->does_needles && !passes(&set->select, str_of(entry->line))) continue;
        deliver(scratch, count++, entry);
    }
    atomic_fetch_add(&set->fake->delivered, count);
    *out = (StreamBatch){.count = count,
                         .times = scratch->times,
                         .lines = lines ? scratch->lines : NULL,
                         .lengths = scratch->lengths,
                         .metadata = scratch->metadata,
                         .needles_done = set->fake->does_needles};
    return ERR_OK;
}

/* One unit of entries [from, to), if any of them is in the range. */
static size_t add_unit(FakeSet *set, StreamUnit *units, size_t count, uint32_t index, size_t from,
                       size_t to) {
    const FakeStream *stream = set->streams[index];
    int64_t min = stream->entries[from].time_ns, max = stream->entries[to - 1].time_ns;

    if (max < set->select.min_ns || min >= set->select.max_ns) return count;
    set->units[count] = (FakeUnit){index, from, to};
    units[count] = (StreamUnit){.stream = index,
                                .min_ns = MAX(min, set->select.min_ns),
                                .max_ns = MIN(max, set->select.max_ns - 1),
                                .entries = to - from};
    return count + 1;
}

static ErrCode make_labels(QueryContext *query, const FakeStream *stream, LabelSet *out) {
    LabelPair pairs[LABELS_MAX];
    size_t count = parse_pairs(stream->labels, pairs);
    Label *labels = ARENA_ARRAY(query->arena, Label, count + 1);

    if (labels == NULL) return ERR_LIMIT;
    for (size_t i = 0; i < count; i++)
        labels[i] = (Label){symbols_add(query->symbols, pairs[i].name),
                            symbols_add(query->symbols, pairs[i].value)};
    *out = (LabelSet){labels, (uint32_t)count};
    return ERR_OK;
}

static ErrCode fake_select(StreamSource *source, QueryContext *query, const StreamSelect *request,
                           StreamSet *out, Error *err) {
    FakeStreams *fake = source->context;
    size_t entries = 0;
    FakeSet *set = ARENA_NEW(query->arena, FakeSet);
    LabelSet *labels = ARENA_ARRAY(query->arena, LabelSet, fake->count + 1);
    StreamUnit *units;

    fake->last = *request;
    for (size_t i = 0; i < fake->count; i++) entries += fake->streams[i].count;
    units = ARENA_ARRAY(query->arena, StreamUnit, entries + 1);
    if (set == NULL || labels == NULL || units == NULL) return error_set(err, ERR_LIMIT, "memory");
    *set = (FakeSet){.fake = fake, .select = *request};
    set->units = ARENA_ARRAY(query->arena, FakeUnit, entries + 1);
    set->streams = ARENA_ARRAY(query->arena, const FakeStream *, fake->count + 1);
    if (set->units == NULL || set->streams == NULL) return error_set(err, ERR_LIMIT, "memory");
    *out = (StreamSet){.labels = labels,
                       .units = units,
                       .scratch_new = scratch_new,
                       .scratch_free = scratch_free,
                       .open = open_unit,
                       .next = next_batch,
                       .context = set};
    for (size_t i = 0; i < fake->count; i++) {
        const FakeStream *stream = &fake->streams[i];
        size_t step = fake->unit_entries == 0 ? stream->count : fake->unit_entries;
        size_t before = out->unit_count;

        if (!selected(stream, request)) continue;
        set->streams[out->count] = stream;
        for (size_t from = 0; from < stream->count; from += step)
            out->unit_count = add_unit(set, units, out->unit_count, (uint32_t)out->count, from,
                                       MIN(from + step, stream->count));
        if (out->unit_count == before && !request->labels_only) continue;
        TRY(make_labels(query, stream, &labels[out->count]));
        out->count++;
    }
    return ERR_OK;
}

void fake_streams_init(FakeStreams *fake, const FakeStream *streams, size_t count) {
    *fake = (FakeStreams){.streams = streams, .count = count};
    fake->source.select = fake_select;
    fake->source.context = fake;
}
