/*
 * merge.c: the parts' series, joined by label set. Each part has its own dictionary of label pairs;
 * it is brought into the query's symbols once, and a series' labels are then array look-ups.
 */
#include <stdlib.h>
#include <string.h>

#include "querier/fetch/internal.h"

/* So many series are hashed, and their slots fetched, before the first is looked up, and labels are
 * fetched as far ahead: tables and heads of many series lie in no cache, and each miss costs more
 * than all the rest. */
enum { JOIN_BATCH = 16 };

/* Open addressing over the merged series. The upper half of the hash tells most others apart
 * without a look at their labels. */
typedef struct JoinSlot {
    uint32_t tag;
    uint32_t index; /* plus one; 0: free */
} JoinSlot;

typedef struct JoinTable {
    JoinSlot *slots;
    uint32_t mask;
} JoinTable;

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "the query's memory limit is reached");
}

static ErrCode join_table_new(Arena *arena, size_t series, JoinTable *out, Error *err) {
    size_t slots = 64;

    while (slots < series * 2) slots *= 2;
    out->slots = ARENA_ARRAY(arena, JoinSlot, slots);
    out->mask = (uint32_t)(slots - 1);
    return out->slots == NULL ? out_of_memory(err) : ERR_OK;
}

/* The merged index of this label set, new or known. */
static uint32_t join(JoinTable *table, FetchedSet *set, LabelSet labels, uint64_t hash,
                     bool *ret_new) {
    uint32_t at = (uint32_t)hash & table->mask, tag = (uint32_t)(hash >> 32);

    for (; table->slots[at].index != 0; at = (at + 1) & table->mask) {
        JoinSlot slot = table->slots[at];

        if (slot.tag == tag && label_set_equal(set->labels[slot.index - 1], labels)) {
            *ret_new = false;
            return slot.index - 1;
        }
    }
    *ret_new = true;
    set->labels[set->count] = labels;
    table->slots[at] = (JoinSlot){tag, (uint32_t)++set->count};
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

typedef struct MergePart {
    FetchSource *fetch;
    QueryContext *query;
    const Part *part;
    const Label *map;           /* of the part's dictionary */
    const TenantLabels *tenant; /* NULL: not federated */
    JoinTable *table;           /* NULL: nothing can be there twice */
    FetchedSet *out;
    uint32_t *mapping; /* NULL: not wanted */
} MergePart;

/* Series [from, from + count) of the part. Returns how many of the labels written are used. */
static ErrCode merge_batch(const MergePart *merge, size_t from, size_t count, Label *labels,
                           size_t *ret_used, Error *err) {
    const SelectedSeries *all = merge->part->selection.series;
    FetchedSet *out = merge->out;
    LabelSet sets[JOIN_BATCH];
    uint64_t hashes[JOIN_BATCH];
    size_t used = 0;
    bool any_new = false;

    for (size_t i = 0; i < count; i++) {
        const SelectedSeries *series = &all[from + i];

        if (from + i + JOIN_BATCH < merge->part->selection.series_count)
            __builtin_prefetch(series[JOIN_BATCH].pairs);
        sets[i].labels = labels + used;
        sets[i].count = fetch_write_labels(merge->query->symbols, merge->map, series->pairs,
                                           series->pair_count, merge->tenant, labels + used);
        used += sets[i].count;
        if (merge->table == NULL) continue;
        hashes[i] = label_set_hash(sets[i]);
        __builtin_prefetch(&merge->table->slots[(uint32_t)hashes[i] & merge->table->mask], 1);
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t index = (uint32_t)out->count;
        bool is_new = true;

        if (merge->table == NULL)
            out->labels[out->count++] = sets[i];
        else
            index = join(merge->table, out, sets[i], hashes[i], &is_new);
        any_new |= is_new;
        if (merge->mapping != NULL) merge->mapping[from + i] = index;
        out->series[index].min_ms = merge->part->min_ms; /* the same in all parts of a tenant */
        TRY(add_chunks(merge->query->arena, &out->series[index], &all[from + i], err));
    }
    *ret_used = any_new ? used : 0;
    return ERR_OK;
}

static ErrCode merge_part(FetchSource *fetch, QueryContext *query, const Part *part,
                          JoinTable *table, FetchedSet *out, uint32_t *mapping, Error *err) {
    const MetricsSelection *selection = &part->selection;
    bool federated = fetch->tenant_count > 1;
    TenantLabels tenant = {0};
    size_t label_count = 0, used = 0, count = selection->series_count;
    Label *map = NULL, *labels;

    TRY(fetch_map_pairs(query, selection->pairs, selection->pair_count, &map, err));
    if (federated) TRY(fetch_tenant_labels(query, part->tenant, &tenant, err));
    for (size_t s = 0; s < count; s++)
        label_count += selection->series[s].pair_count + (federated ? 1 : 0);
    labels = arena_alloc(query->arena, MAX(label_count, 1) * sizeof(Label));
    if (labels == NULL) return out_of_memory(err);
    MergePart merge = {fetch, query, part, map, federated ? &tenant : NULL, table, out, mapping};
    for (size_t s = 0; s < count; s += JOIN_BATCH) {
        size_t batch_used;

        if (s % 4096 == 0) TRY(query_check(query, err));
        TRY(merge_batch(&merge, s, MIN(count - s, (size_t)JOIN_BATCH), labels + used, &batch_used,
                        err));
        used += batch_used;
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
        TRY(merge_part(fetch, query, &parts->items[p], filled <= 1 ? NULL : &table, out, map, err));
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
