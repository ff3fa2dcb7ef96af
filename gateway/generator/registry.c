#include "gateway/generator/registry.h"

#include <math.h>
#include <stdlib.h>

enum { LABELS_BYTES_MAX = 1 << 20 };

/* ---------- groups ---------- */

static size_t histogram_bytes(const Group *group) {
    size_t slots = group->buckets.count + 1;
    size_t native = group->histograms == GENERATOR_CLASSIC ? 0 : NATIVE_BUCKETS_MAX;

    return sizeof(HistogramCell) + slots * (sizeof(double) + sizeof(CellExemplar)) +
           native * sizeof(double);
}

static uint32_t histogram_series(const Group *group) {
    uint32_t classic = group->buckets.count + 3; /* +Inf, _count, _sum */

    return group->histograms == GENERATOR_CLASSIC  ? classic
           : group->histograms == GENERATOR_NATIVE ? 1
                                                   : classic + 1;
}

static void add_family(Group *group, Family family) {
    bool histogram = family.kind == FAMILY_HISTOGRAM;

    assert(group->family_count < FAMILIES_MAX);
    group->families[group->family_count] = family;
    group->offsets[group->family_count++] = group->cell_bytes;
    group->cell_bytes += ALIGN_UP(histogram ? histogram_bytes(group) : sizeof(CounterCell), 16);
    group->series += histogram ? histogram_series(group) : 1;
}

static void init_spans(Group *group, const GeneratorRules *rules) {
    group->buckets = rules->span_buckets;
    add_family(group, (Family){"traces_spanmetrics_calls_total", "Spans.", "", FAMILY_COUNTER});
    add_family(group, (Family){rules->settings.span_latency == GENERATOR_DURATION_SECONDS
                                   ? "traces_spanmetrics_duration_seconds"
                                   : "traces_spanmetrics_latency",
                               "How long spans took.", "seconds", FAMILY_HISTOGRAM});
    if (rules->settings.span_size)
        add_family(group, (Family){"traces_spanmetrics_size_total", "Bytes of spans as sent.",
                                   "bytes", FAMILY_COUNTER});
}

static void init_edges(Group *group, const GeneratorRules *rules) {
    group->buckets = rules->edge_buckets;
    add_family(group, (Family){"traces_service_graph_request_total",
                               "Requests from one service to another.", "", FAMILY_COUNTER});
    add_family(group, (Family){"traces_service_graph_request_failed_total",
                               "Requests of which either side's span has the status error.", "",
                               FAMILY_COUNTER});
    add_family(group, (Family){"traces_service_graph_request_server_seconds",
                               "How long requests took, as the server saw it.", "seconds",
                               FAMILY_HISTOGRAM});
    add_family(group, (Family){"traces_service_graph_request_client_seconds",
                               "How long requests took, as the client saw it.", "seconds",
                               FAMILY_HISTOGRAM});
    if (rules->settings.edge_messaging)
        add_family(group, (Family){"traces_service_graph_request_messaging_system_seconds",
                                   "From the end of the producer's span to the start of the "
                                   "consumer's.",
                                   "seconds", FAMILY_HISTOGRAM});
}

void registry_init(Registry *registry, const GeneratorRules *rules, Budget *budget,
                   int64_t since_ms) {
    *registry = (Registry){
        .budget = budget, .series_max = rules->settings.series_max, .since_ms = since_ms};
    for (size_t i = 0; i < GROUP_COUNT; i++)
        registry->groups[i].histograms = rules->settings.histograms;
    init_spans(&registry->groups[GROUP_SPANS], rules);
    init_edges(&registry->groups[GROUP_EDGES], rules);
    add_family(&registry->groups[GROUP_TARGETS],
               (Family){"traces_target_info", "Attributes of the resources that send spans.", "",
                        FAMILY_INFO});
}

static void give(const Registry *registry, size_t bytes) {
    if (registry->budget != NULL) budget_give(registry->budget, bytes);
}

static bool take(const Registry *registry, size_t bytes) {
    return registry->budget == NULL || budget_take(registry->budget, bytes);
}

static void entry_free(Registry *registry, const Group *group, GroupEntry *entry) {
    registry->series -= group->series;
    give(registry, entry->bytes);
    free(entry);
}

static size_t table_bytes(const Group *group) {
    return group->capacity * sizeof *group->entries + group->slot_count * sizeof *group->slots;
}

void registry_done(Registry *registry) {
    for (size_t g = 0; g < GROUP_COUNT; g++) {
        Group *group = &registry->groups[g];

        for (size_t i = 0; i < group->count; i++) entry_free(registry, group, group->entries[i]);
        give(registry, table_bytes(group));
        free(group->entries);
        free(group->slots);
        *group = (Group){0};
    }
}

/* ---------- entries ---------- */

GroupEntry *group_find(const Group *group, Hash128 key) {
    size_t mask = group->slot_count - 1;

    if (group->slot_count == 0) return NULL;
    for (size_t i = key.low & mask; group->slots[i] != 0; i = (i + 1) & mask) {
        GroupEntry *entry = group->entries[group->slots[i] - 1];

        if (entry->key.low == key.low && entry->key.high == key.high) return entry;
    }
    return NULL;
}

static void put(Group *group, uint32_t index) {
    size_t mask = group->slot_count - 1, i = group->entries[index]->key.low & mask;

    while (group->slots[i] != 0) i = (i + 1) & mask;
    group->slots[i] = index + 1;
}

static void put_all(Group *group) {
    memset(group->slots, 0, group->slot_count * sizeof *group->slots);
    for (size_t i = 0; i < group->count; i++) put(group, (uint32_t)i);
}

static bool make_room(Registry *registry, Group *group) {
    size_t capacity = MAX(group->capacity * 2, (size_t)64), before = table_bytes(group), bytes;
    GroupEntry **entries;
    uint32_t *slots;

    if (group->count < group->capacity) return true;
    if (capacity > UINT32_MAX / 4) return false;
    bytes = capacity * sizeof *entries + 2 * capacity * sizeof *slots;
    if (!take(registry, bytes)) return false;
    entries = malloc(capacity * sizeof *entries);
    slots = malloc(2 * capacity * sizeof *slots);
    if (entries == NULL || slots == NULL) {
        free(entries);
        free(slots);
        give(registry, bytes);
        return false;
    }
    if (group->count > 0) memcpy(entries, group->entries, group->count * sizeof *entries);
    free(group->entries);
    free(group->slots);
    give(registry, before);
    group->entries = entries;
    group->slots = slots;
    group->capacity = capacity;
    group->slot_count = 2 * capacity;
    put_all(group);
    return true;
}

static GroupEntry *entry_new(Registry *registry, const Group *group, LabelPair *labels,
                             size_t count) {
    size_t bytes;
    GroupEntry *entry = NULL;
    Buf canonical;

    labels_sort(labels, count);
    buf_init(&canonical, LABELS_BYTES_MAX);
    labels_encode((LabelPairs){labels, count}, &canonical);
    bytes = sizeof *entry + group->cell_bytes + canonical.len;
    if (!buf_failed(&canonical) && take(registry, bytes)) {
        entry = calloc(1, bytes);
        if (entry == NULL) give(registry, bytes);
    }
    if (entry != NULL) {
        char *text = entry->cells + group->cell_bytes;

        if (canonical.len > 0) memcpy(text, canonical.ptr, canonical.len);
        entry->labels = (Str){text, canonical.len};
        entry->bytes = bytes;
    }
    buf_done(&canonical);
    return entry;
}

GroupAdd group_add(Registry *registry, Group *group, Hash128 key, LabelPair *labels, size_t count,
                   GroupEntry **out) {
    GroupEntry *entry;

    if (registry->series_max > 0 && registry->series + group->series > registry->series_max)
        return GROUP_SERIES_MAX;
    if (!make_room(registry, group)) return GROUP_NO_MEMORY;
    entry = entry_new(registry, group, labels, count);
    if (entry == NULL) return GROUP_NO_MEMORY;
    entry->key = key;
    registry->series += group->series;
    group->entries[group->count] = entry;
    put(group, (uint32_t)group->count++);
    *out = entry;
    return GROUP_ADDED;
}

void group_expire(Registry *registry, Group *group, int64_t before_ms) {
    size_t kept = 0;

    for (size_t i = 0; i < group->count; i++) {
        if (group->entries[i]->updated_ms < before_ms)
            entry_free(registry, group, group->entries[i]);
        else
            group->entries[kept++] = group->entries[i];
    }
    if (kept == group->count) return;
    group->count = kept;
    put_all(group);
}

/* ---------- cells ---------- */

void cell_add(const Registry *registry, const Group *group, GroupEntry *entry, uint32_t family,
              double value) {
    CounterCell *cell = cell_counter(group, entry->cells, family);

    if (!cell->used) {
        cell->used = true;
        cell->since_ms = registry->since_ms;
    }
    cell->value += value;
}

/* The bucket that `v` > 0 belongs to: (2^((i-1)/8), 2^(i/8)]. */
static int32_t native_index(double v) {
    /* 2^(i/8 - 1), which frexp()'s fractions lie between. */
    static const double bounds[8] = {0.5,
                                     0.5452538663326288,
                                     0.5946035575013605,
                                     0.6484197773255048,
                                     0.7071067811865475,
                                     0.7711054127039704,
                                     0.8408964152537145,
                                     0.9170040432046711};
    int exponent;
    double fraction = frexp(v, &exponent);
    int32_t i = 0;

    while (i < 8 && bounds[i] < fraction) i++;
    return i + (exponent - 1) * 8;
}

/* An index of a schema that is `by` coarser. */
static int32_t coarser(int32_t index, int by) {
    for (; by > 0; by--) index = (index + 1) >> 1;
    return index;
}

/* Joins buckets by two. */
static void native_halve(HistogramCell *cell, double *counts) {
    int32_t low = coarser(cell->native_low, 1);
    uint32_t last = 0;

    for (uint32_t i = 0; i < cell->native_count; i++) {
        uint32_t at = (uint32_t)(coarser(cell->native_low + (int32_t)i, 1) - low);
        double count = counts[i];

        counts[i] = 0; /* `at` is never past `i` */
        counts[at] += count;
        last = at;
    }
    cell->native_low = low;
    cell->native_count = last + 1;
    cell->native_schema--;
}

static void native_observe(HistogramCell *cell, double *counts, double v) {
    int32_t fine, index;

    if (cell->count == 0) cell->native_schema = NATIVE_SCHEMA;
    if (v <= 0) {
        cell->zeros++;
        return;
    }
    fine = native_index(v);
    for (;;) {
        int32_t low, high;

        index = coarser(fine, NATIVE_SCHEMA - cell->native_schema);
        if (cell->native_count == 0) {
            cell->native_low = index;
            cell->native_count = 1;
        }
        low = MIN(index, cell->native_low);
        high = MAX(index, cell->native_low + (int32_t)cell->native_count - 1);
        if (high - low < NATIVE_BUCKETS_MAX) {
            size_t shift = (size_t)(cell->native_low - low);

            if (shift > 0) {
                memmove(counts + shift, counts, cell->native_count * sizeof *counts);
                memset(counts, 0, shift * sizeof *counts);
            }
            cell->native_low = low;
            cell->native_count = (uint32_t)(high - low + 1);
            counts[index - low]++;
            return;
        }
        native_halve(cell, counts);
    }
}

void cell_observe(const Registry *registry, const Group *group, GroupEntry *entry, uint32_t family,
                  double seconds, const TraceId *trace) {
    HistogramCell *cell = cell_histogram(group, entry->cells, family);
    uint32_t bucket = 0;

    if (!cell->used) {
        cell->used = true;
        cell->since_ms = registry->since_ms;
    }
    while (bucket < group->buckets.count && seconds > group->buckets.bounds[bucket]) bucket++;
    cell_buckets(cell)[bucket]++;
    cell_exemplars(group, cell)[bucket] = (CellExemplar){*trace, seconds, true};
    if (group->histograms != GENERATOR_CLASSIC)
        native_observe(cell, cell_native(group, cell), seconds);
    cell->count++;
    cell->sum += seconds;
}
