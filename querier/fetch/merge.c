/*
 * merge.c: the parts' series, joined by label set. Each part has its own dictionary of label pairs;
 * it is brought into the query's symbols once, and a series' labels are then array look-ups.
 */
#include <stdlib.h>
#include <string.h>

#include "querier/fetch/internal.h"

/* Open addressing over the merged series; slots hold index + 1. */
typedef struct JoinTable {
    uint32_t *slots;
    uint32_t mask;
} JoinTable;

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "the query's memory limit is reached");
}

static ErrCode join_table_new(Arena *arena, size_t series, JoinTable *out, Error *err) {
    size_t slots = 64;

    while (slots < series * 2) slots *= 2;
    out->slots = ARENA_ARRAY(arena, uint32_t, slots);
    out->mask = (uint32_t)(slots - 1);
    return out->slots == NULL ? out_of_memory(err) : ERR_OK;
}

/* The merged index of this label set, new or known. */
static uint32_t join(JoinTable *table, FetchedSet *set, LabelSet labels, bool *ret_new) {
    uint32_t slot = (uint32_t)label_set_hash(labels) & table->mask;

    for (; table->slots[slot] != 0; slot = (slot + 1) & table->mask)
        if (label_set_equal(set->labels[table->slots[slot] - 1], labels)) {
            *ret_new = false;
            return table->slots[slot] - 1;
        }
    *ret_new = true;
    set->labels[set->count] = labels;
    table->slots[slot] = (uint32_t)++set->count;
    return (uint32_t)set->count - 1;
}

static ErrCode add_chunks(Arena *arena, FetchedSeries *series, const SelectedSeries *from,
                          Error *err) {
    uint32_t need = series->chunk_count + from->chunk_count;

    if (need > series->chunk_capacity) {
        uint32_t capacity = series->chunk_capacity == 0 ? need : MAX(need, need * 3 / 2);
        const ChunkView **grown = arena_alloc(arena, capacity * sizeof *grown);

        if (grown == NULL) return out_of_memory(err);
        if (series->chunk_count > 0)
            memcpy(grown, series->chunks, series->chunk_count * sizeof *grown);
        series->chunks = grown;
        series->chunk_capacity = capacity;
    }
    for (uint32_t c = 0; c < from->chunk_count; c++)
        series->chunks[series->chunk_count++] = &from->chunks[c];
    return ERR_OK;
}

static ErrCode merge_part(FetchSource *fetch, QueryContext *query, const Part *part,
                          JoinTable *table, bool unique, FetchedSet *out, uint32_t *mapping,
                          Error *err) {
    const MetricsSelection *selection = &part->selection;
    bool federated = fetch->tenant_count > 1;
    TenantLabels tenant = {0};
    size_t label_count = 0, used = 0;
    Label *map = NULL, *labels;

    TRY(fetch_map_pairs(query, selection->pairs, selection->pair_count, &map, err));
    if (federated) TRY(fetch_tenant_labels(query, part->tenant, &tenant, err));
    for (size_t s = 0; s < selection->series_count; s++)
        label_count += selection->series[s].pair_count + (federated ? 1 : 0);
    labels = arena_alloc(query->arena, MAX(label_count, 1) * sizeof(Label));
    if (labels == NULL) return out_of_memory(err);
    for (size_t s = 0; s < selection->series_count; s++) {
        const SelectedSeries *series = &selection->series[s];
        LabelSet set = {labels + used, 0};
        bool is_new = true;
        uint32_t index;

        if ((s & 4095) == 4095) TRY(query_check(query, err));
        set.count = fetch_write_labels(query->symbols, map, series->pairs, series->pair_count,
                                       federated ? &tenant : NULL, labels + used);
        if (unique) {
            index = (uint32_t)out->count;
            out->labels[out->count++] = set;
        } else {
            index = join(table, out, set, &is_new);
        }
        if (is_new) used += set.count;
        if (mapping != NULL) mapping[s] = index;
        out->series[index].min_ms = part->min_ms; /* the same in all parts of a tenant */
        TRY(add_chunks(query->arena, &out->series[index], series, err));
    }
    return ERR_OK;
}

static bool follow_each_other(const ChunkView *const *chunks, uint32_t count) {
    for (uint32_t c = 1; c < count; c++)
        if (chunks[c]->min_ms <= chunks[c - 1]->max_ms) return false;
    return true;
}

static int compare_chunks(const void *a, const void *b) {
    const ChunkView *x = *(const ChunkView *const *)a, *y = *(const ChunkView *const *)b;

    return (x->min_ms > y->min_ms) - (x->min_ms < y->min_ms);
}

/* Objects come in order of age, which need not be that of time: where no chunks overlap they are
 * put in order of time, and reading is a matter of decoding one after the other. Where they do,
 * the order of age tells whose sample counts. */
static ErrCode order_chunks(Arena *arena, FetchedSeries *series, Error *err) {
    const ChunkView **sorted;

    if (follow_each_other(series->chunks, series->chunk_count)) return ERR_OK;
    sorted = arena_alloc(arena, series->chunk_count * sizeof *sorted);
    if (sorted == NULL) return out_of_memory(err);
    memcpy(sorted, series->chunks, series->chunk_count * sizeof *sorted);
    qsort(sorted, series->chunk_count, sizeof *sorted, compare_chunks);
    if (follow_each_other(sorted, series->chunk_count)) series->chunks = sorted;
    return ERR_OK;
}

ErrCode fetch_merge(FetchSource *fetch, QueryContext *query, const Parts *parts, FetchedSet *out,
                    uint32_t ***mapping, Error *err) {
    size_t total = 0, filled = 0;
    JoinTable table = {0};

    for (size_t p = 0; p < parts->count; p++) {
        total += parts->items[p].selection.series_count;
        filled += parts->items[p].selection.series_count > 0;
    }
    if (total > UINT32_MAX / 4)
        return error_set(err, ERR_LIMIT, "the selector matches %zu series; at most %u can be read",
                         total, UINT32_MAX / 4);
    out->labels = arena_alloc(query->arena, MAX(total, 1) * sizeof(LabelSet));
    out->series = ARENA_ARRAY(query->arena, FetchedSeries, MAX(total, 1));
    out->count = 0;
    if (out->labels == NULL || out->series == NULL) return out_of_memory(err);
    if (filled > 1) TRY(join_table_new(query->arena, total, &table, err));
    if (mapping != NULL) {
        *mapping = ARENA_ARRAY(query->arena, uint32_t *, parts->count);
        if (*mapping == NULL) return out_of_memory(err);
    }
    for (size_t p = 0; p < parts->count; p++) {
        size_t count = parts->items[p].selection.series_count;
        uint32_t *map = NULL;

        if (mapping != NULL) {
            map = (*mapping)[p] = ARENA_ARRAY(query->arena, uint32_t, count);
            if (map == NULL) return out_of_memory(err);
        }
        TRY(merge_part(fetch, query, &parts->items[p], &table, filled <= 1, out, map, err));
    }
    if (query->series_max != 0 && out->count > query->series_max)
        return error_set(err, ERR_LIMIT,
                         "the selector matches %zu series, more than this tenant's "
                         "limits.query_series_max of %llu: narrow it with matchers or raise the "
                         "limit",
                         out->count, (unsigned long long)query->series_max);
    for (size_t i = 0; i < out->count; i++) {
        if ((i & 4095) == 4095) TRY(query_check(query, err));
        TRY(order_chunks(query->arena, &out->series[i], err));
    }
    return ERR_OK;
}
