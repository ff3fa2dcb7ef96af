/*
 * source.c: the SeriesSource that querier/exec/series.h wants, over parts.c, merge.c and read.c.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "querier/fetch/internal.h"

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "the query's memory limit is reached");
}

static ErrCode source_select(SeriesSource *source, QueryContext *query,
                             const SelectRequest *request, SeriesSet *out, Error *err) {
    FetchSource *fetch = source->context;
    FetchedSet *set = ARENA_NEW(query->arena, FetchedSet);
    Parts parts;

    if (set == NULL) return out_of_memory(err);
    TRY(fetch_parts(fetch, query, request, false, &parts, err));
    TRY(fetch_merge(fetch, query, &parts, set, NULL, err));
    set->max_ms = request->max_ms;
    set->presence_only = request->presence_only;
    *out = (SeriesSet){set->labels, set->count, fetch_read, set};
    return ERR_OK;
}

/* ---- label names and values ---- */

typedef struct Strings {
    Str *items;
    size_t count;
    size_t capacity;
} Strings;

static ErrCode strings_add(Arena *arena, Strings *strings, const Str *items, size_t count,
                           Error *err) {
    size_t need = strings->count + count;

    if (need > strings->capacity) {
        size_t capacity = MAX(need, strings->capacity * 2);

        strings->items = arena_grow(arena, strings->items, strings->capacity * sizeof(Str),
                                    capacity * sizeof(Str));
        if (strings->items == NULL) return out_of_memory(err);
        strings->capacity = capacity;
    }
    if (count > 0) memcpy(strings->items + strings->count, items, count * sizeof(Str));
    strings->count = need;
    return ERR_OK;
}

static int compare_str(const void *a, const void *b) {
    return str_compare(*(const Str *)a, *(const Str *)b);
}

static void sort_unique(Strings *strings) {
    size_t kept = 0;

    if (strings->count == 0) return;
    qsort(strings->items, strings->count, sizeof(Str), compare_str);
    for (size_t i = 0; i < strings->count; i++)
        if (kept == 0 || !str_equal(strings->items[kept - 1], strings->items[i]))
            strings->items[kept++] = strings->items[i];
    strings->count = kept;
}

/* All of a tenant's names or values, from the dictionaries. */
static ErrCode labels_of_all(FetchSource *fetch, QueryContext *query, Str tenant, Str name,
                             const SelectRequest *range, Strings *out, Error *err) {
    const HeadReader *heads = &fetch->options.heads;
    const ManifestSnapshot *snapshot;
    const ManifestEntry **entries;
    size_t count;
    Str *items;

    TRY(heads->labels(heads->context, tenant, name, query->arena, &items, &count, err));
    TRY(strings_add(query->arena, out, items, count, err));
    TRY(query_check(query, err));
    snapshot = manifest_snapshot(fetch->options.manifest);
    ErrCode code = manifest_find(snapshot, tenant, SIGNAL_METRICS, range->min_ms, range->max_ms,
                                 query->arena, &entries, &count, err);
    for (size_t i = 0; code == ERR_OK && i < count; i++) {
        const Block *block;
        size_t item_count;

        code = query_check(query, err);
        if (code == ERR_OK)
            code = block_open(fetch->options.cache, entries[i]->key, entries[i]->size, query->arena,
                              fetch->stats, &block, err);
        if (code == ERR_OK)
            code = block_metrics_labels(block, tenant, name, query->arena, fetch->stats, &items,
                                        &item_count, err);
        if (code == ERR_OK) code = strings_add(query->arena, out, items, item_count, err);
    }
    manifest_snapshot_unref(snapshot);
    return code;
}

/* Names or values of the series that match. A bit per pair of each dictionary says it was seen. */
static ErrCode labels_of_matching(FetchSource *fetch, QueryContext *query, Str name, bool tenants,
                                  const SelectRequest *request, Strings *out, Error *err) {
    SelectRequest labels_only = *request;
    Parts parts;

    labels_only.labels_only = true;
    TRY(fetch_parts(fetch, query, &labels_only, false, &parts, err));
    for (size_t p = 0; p < parts.count; p++) {
        const MetricsSelection *selection = &parts.items[p].selection;
        bool *seen = ARENA_ARRAY(query->arena, bool, selection->pair_count);

        if (seen == NULL) return out_of_memory(err);
        TRY(query_check(query, err));
        if (tenants) {
            if (selection->series_count > 0)
                TRY(strings_add(query->arena, out, &parts.items[p].tenant, 1, err));
            continue;
        }
        for (size_t s = 0; s < selection->series_count; s++)
            for (uint32_t i = 0; i < selection->series[s].pair_count; i++)
                seen[selection->series[s].pairs[i]] = true;
        for (size_t i = 0; i < selection->pair_count; i++) {
            const LabelPair *pair = &selection->pairs[i];

            if (!seen[i]) continue;
            if (name.len == 0)
                TRY(strings_add(query->arena, out, &pair->name, 1, err));
            else if (str_equal(pair->name, name))
                TRY(strings_add(query->arena, out, &pair->value, 1, err));
        }
    }
    return ERR_OK;
}

static ErrCode labels_of(FetchSource *fetch, QueryContext *query, Str name, bool tenants,
                         const SelectRequest *request, Strings *out, Error *err) {
    Federated federated;

    TRY(fetch_federate(fetch, query->arena, request, &federated, err));
    /* Heads' dictionaries say nothing of times: that hardly matters, unless the range ends before
     * it begins, and only what lies around both is meant. */
    if (federated.request.matcher_count > 0 || request->max_ms < request->min_ms)
        return labels_of_matching(fetch, query, name, tenants, request, out, err);
    for (size_t t = 0; t < federated.tenant_count; t++) {
        const FetchTenant *tenant = &federated.tenants[t];
        SelectRequest kept = fetch_kept(request, tenant);

        if (tenants)
            TRY(strings_add(query->arena, out, &tenant->name, 1, err));
        else
            TRY(labels_of_all(fetch, query, tenant->name, name, &kept, out, err));
    }
    return ERR_OK;
}

/* Names as a federated query shows them. */
static ErrCode federate_names(QueryContext *query, Strings *names, Error *err) {
    const Str tenant = TENANT_LABEL;

    for (size_t i = 0; i < names->count; i++)
        if (str_equal(names->items[i], TENANT_LABEL)) names->items[i] = TENANT_LABEL_OWN;
    return names->count == 0 ? ERR_OK : strings_add(query->arena, names, &tenant, 1, err);
}

static ErrCode source_labels(SeriesSource *source, QueryContext *query, Str name,
                             const SelectRequest *requests, size_t request_count, Str **out,
                             size_t *out_count, Error *err) {
    FetchSource *fetch = source->context;
    bool federated = fetch->tenant_count > 1;
    bool tenants = federated && str_equal(name, TENANT_LABEL);
    Strings strings = {0};

    if (federated && str_equal(name, TENANT_LABEL_OWN)) name = TENANT_LABEL;
    for (size_t r = 0; r < request_count; r++)
        TRY(labels_of(fetch, query, name, tenants, &requests[r], &strings, err));
    if (federated && name.len == 0) TRY(federate_names(query, &strings, err));
    sort_unique(&strings);
    *out = strings.items;
    *out_count = strings.count;
    return ERR_OK;
}

/* ---- exemplars ---- */

/* By time, value and labels: a native histogram has several at once, and a head and an object may
 * both have all of them. */
static int compare_exemplars(const void *a, const void *b, void *symbols) {
    const Exemplar *x = a, *y = b;
    int order = (x->time_ms > y->time_ms) - (x->time_ms < y->time_ms);

    if (order == 0) order = isnan(x->value) - isnan(y->value);
    if (order == 0) order = (x->value > y->value) - (x->value < y->value);
    if (order == 0) order = memcmp(&x->value, &y->value, sizeof x->value);
    return order != 0 ? order : label_set_compare(symbols, x->labels, y->labels);
}

static ErrCode exemplar_labels(QueryContext *query, Str bytes, LabelSet *out, Error *err) {
    LabelPairs pairs;
    Label *labels;

    TRY(labels_decode(bytes, query->arena, &pairs, err));
    labels = ARENA_ARRAY(query->arena, Label, pairs.count);
    if (labels == NULL) return out_of_memory(err);
    for (size_t i = 0; i < pairs.count; i++) {
        labels[i].name = symbols_add_borrowed(query->symbols, pairs.pairs[i].name);
        labels[i].value = symbols_add_borrowed(query->symbols, pairs.pairs[i].value);
        if (labels[i].name == SYMBOL_NONE || labels[i].value == SYMBOL_NONE)
            return out_of_memory(err);
    }
    *out = (LabelSet){labels, (uint32_t)pairs.count};
    return ERR_OK;
}

static size_t exemplars_unique(const Symbols *symbols, Exemplar *items, size_t count) {
    size_t kept = 0;

    qsort_r(items, count, sizeof *items, compare_exemplars, (void *)(uintptr_t)symbols);
    for (size_t i = 0; i < count; i++) {
        const Exemplar *last = kept == 0 ? NULL : &items[kept - 1];

        if (last != NULL && last->time_ms == items[i].time_ms &&
            memcmp(&last->value, &items[i].value, sizeof last->value) == 0 &&
            label_set_equal(last->labels, items[i].labels))
            continue;
        items[kept++] = items[i];
    }
    return kept;
}

static ErrCode source_exemplars(SeriesSource *source, QueryContext *query,
                                const SelectRequest *request, ExemplarSeries **out,
                                size_t *out_count, Error *err) {
    FetchSource *fetch = source->context;
    FetchedSet set;
    Parts parts;
    uint32_t **mapping;
    size_t *counts, used = 0;
    ExemplarSeries *series;

    TRY(fetch_parts(fetch, query, request, true, &parts, err));
    TRY(fetch_merge(fetch, query, &parts, &set, &mapping, err));
    counts = ARENA_ARRAY(query->arena, size_t, set.count);
    series = ARENA_ARRAY(query->arena, ExemplarSeries, set.count);
    Exemplar **items = ARENA_ARRAY(query->arena, Exemplar *, set.count);

    if (counts == NULL || series == NULL || items == NULL) return out_of_memory(err);
    for (size_t p = 0; p < parts.count; p++)
        for (size_t s = 0; s < parts.items[p].selection.series_count; s++)
            counts[mapping[p][s]] += parts.items[p].exemplar_counts[s];
    for (size_t i = 0; i < set.count; i++) {
        items[i] = ARENA_ARRAY(query->arena, Exemplar, counts[i]);
        if (items[i] == NULL) return out_of_memory(err);
        counts[i] = 0;
    }
    for (size_t p = 0; p < parts.count; p++)
        for (size_t s = 0; s < parts.items[p].selection.series_count; s++) {
            uint32_t i = mapping[p][s];

            for (size_t e = 0; e < parts.items[p].exemplar_counts[s]; e++) {
                const SelectedExemplar *from = &parts.items[p].exemplars[s][e];
                Exemplar *to = &items[i][counts[i]];

                if (from->time_ms < parts.items[p].min_ms || from->time_ms > request->max_ms)
                    continue;
                *to = (Exemplar){.time_ms = from->time_ms, .value = from->value};
                TRY(exemplar_labels(query, from->labels, &to->labels, err));
                counts[i]++;
            }
        }
    for (size_t i = 0; i < set.count; i++) {
        if (counts[i] == 0) continue;
        series[used++] = (ExemplarSeries){set.labels[i], items[i],
                                          exemplars_unique(query->symbols, items[i], counts[i])};
    }
    *out = series;
    *out_count = used;
    return ERR_OK;
}

/* ---- metadata ---- */

static int compare_metadata(const void *a, const void *b) {
    return str_compare(((const MetadataEntry *)a)->metric, ((const MetadataEntry *)b)->metric);
}

static bool metadata_equal(const MetadataEntry *a, const MetadataEntry *b) {
    return str_equal(a->metric, b->metric) && str_equal(a->type, b->type) &&
           str_equal(a->help, b->help) && str_equal(a->unit, b->unit);
}

typedef struct MetadataList {
    MetadataEntry *items;
    size_t count;
    size_t capacity;
} MetadataList;

static ErrCode metadata_add(Arena *arena, MetadataList *list, const MetadataItem *items,
                            size_t count, Str only, Error *err) {
    for (size_t i = 0; i < count; i++) {
        if (only.len > 0 && !str_equal(items[i].metric, only)) continue;
        if (list->count == list->capacity) {
            size_t capacity = MAX(list->capacity * 2, 256);

            list->items = arena_grow(arena, list->items, list->capacity * sizeof(MetadataEntry),
                                     capacity * sizeof(MetadataEntry));
            if (list->items == NULL) return out_of_memory(err);
            list->capacity = capacity;
        }
        list->items[list->count++] = (MetadataEntry){
            .metric = items[i].metric,
            .type = str_of(metric_type_name((MetricType)items[i].type)),
            .help = items[i].help,
            .unit = items[i].unit,
        };
    }
    return ERR_OK;
}

static ErrCode source_metadata(SeriesSource *source, QueryContext *query, Str metric,
                               MetadataEntry **out, size_t *out_count, Error *err) {
    FetchSource *fetch = source->context;
    const HeadReader *heads = &fetch->options.heads;
    MetadataList list = {0};
    size_t kept = 0;

    for (size_t t = 0; t < fetch->tenant_count; t++) {
        const ManifestSnapshot *snapshot;
        const ManifestEntry **entries;
        MetadataItem *items;
        size_t count, entry_count;

        TRY(heads->metadata(heads->context, fetch->tenants[t].name, query->arena, &items, &count,
                            err));
        TRY(metadata_add(query->arena, &list, items, count, metric, err));
        snapshot = manifest_snapshot(fetch->options.manifest);
        ErrCode code = manifest_find(snapshot, fetch->tenants[t].name, SIGNAL_METRICS, INT64_MIN,
                                     INT64_MAX, query->arena, &entries, &entry_count, err);
        for (size_t i = 0; code == ERR_OK && i < entry_count; i++) {
            const Block *block;

            code = block_open(fetch->options.cache, entries[i]->key, entries[i]->size, query->arena,
                              fetch->stats, &block, err);
            if (code == ERR_OK)
                code = block_metrics_metadata_read(block, fetch->tenants[t].name, query->arena,
                                                   fetch->stats, &items, &count, err);
            if (code == ERR_OK) code = metadata_add(query->arena, &list, items, count, metric, err);
        }
        manifest_snapshot_unref(snapshot);
        TRY(code);
    }
    if (list.count > 0) qsort(list.items, list.count, sizeof *list.items, compare_metadata);
    for (size_t i = 0; i < list.count; i++) {
        bool known = false;

        for (size_t k = kept; k-- > 0 && str_equal(list.items[k].metric, list.items[i].metric);)
            known = known || metadata_equal(&list.items[k], &list.items[i]);
        if (!known) list.items[kept++] = list.items[i];
    }
    *out = list.items;
    *out_count = kept;
    return ERR_OK;
}

SeriesSource *fetch_source_new(const FetchOptions *options, const FetchTenant *tenants,
                               size_t tenant_count, BlockStats *stats, Arena *arena) {
    FetchSource *fetch = ARENA_NEW(arena, FetchSource);

    if (fetch == NULL) return NULL;
    fetch->options = *options;
    fetch->tenants = tenants;
    fetch->tenant_count = tenant_count;
    fetch->stats = stats;
    fetch->source = (SeriesSource){
        .select = source_select,
        .labels = source_labels,
        .exemplars = source_exemplars,
        .metadata = source_metadata,
        .context = fetch,
    };
    return &fetch->source;
}
