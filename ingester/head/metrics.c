/*
 * metrics.c: finding and making series.
 */
#include "ingester/head/metrics.h"

#include <stdlib.h>

enum { FIND_AHEAD = 32 }; /* look-ups in flight at once */

bool metrics_head_init(MetricsHead *head, size_t reserve, uint64_t seed, Budget *budget) {
    *head = (MetricsHead){.seed = seed};
    head->scratch = arena_new(0, NULL);
    return head->scratch != NULL && region_init(&head->hot_region, reserve, budget) &&
           region_init(&head->cold_region, reserve, budget) && table_init(&head->table, budget) &&
           pairs_init(&head->pairs, reserve, seed, budget) &&
           slab_init(&head->slab, reserve, budget) &&
           region_init(&head->name_region, reserve, budget) && table_init(&head->names, budget) &&
           region_init(&head->metadata_region, reserve, budget) &&
           table_init(&head->metadata, budget) &&
           region_init(&head->tenant_region, ALIGN_UP(reserve / 8, MIB(1)), budget);
}

void metrics_head_done(MetricsHead *head) {
    region_done(&head->hot_region);
    region_done(&head->cold_region);
    table_done(&head->table);
    pairs_done(&head->pairs);
    slab_done(&head->slab);
    region_done(&head->name_region);
    table_done(&head->names);
    region_done(&head->metadata_region);
    table_done(&head->metadata);
    region_done(&head->tenant_region);
    arena_free(head->scratch);
    free(head->histogram);
    free(head->scratch_pairs);
    *head = (MetricsHead){0};
}

bool metrics_head_tenant(MetricsHead *head, uint32_t tenant) {
    while (head->tenant_count <= tenant) {
        size_t end = (head->tenant_count + (size_t)1) * sizeof(HeadTenant);

        if (!region_commit(&head->tenant_region, end, false)) return false;
        *head_tenant(head, head->tenant_count++) =
            (HeadTenant){.names = HEAD_NONE, .metadata = HEAD_NONE};
    }
    return true;
}

bool metrics_head_reserve(MetricsHead *head, size_t bytes) {
    return slab_reserve(&head->slab, bytes);
}

/* ---------- finding ---------- */

static inline uint32_t id_tag(Hash128 id) {
    return (uint32_t)id.low;
}

static inline bool id_equal(Hash128 a, Hash128 b) {
    return a.low == b.low && a.high == b.high;
}

uint32_t metrics_head_find_one(const MetricsHead *head, Hash128 id) {
    TABLE_EACH(&head->table, id_tag(id), i) if (id_equal(head_hot(head, i)->id, id)) return i;
    return HEAD_NONE;
}

void metrics_head_find(const MetricsHead *head, const MetricsRow *rows, const uint32_t *which,
                       size_t count, uint32_t *out) {
    for (size_t start = 0; start < count; start += FIND_AHEAD) {
        size_t end = MIN(start + FIND_AHEAD, count);

        for (size_t i = start; i < end; i++)
            table_prefetch(&head->table, id_tag(rows[which[i]].id));
        for (size_t i = start; i < end; i++) {
            uint32_t tag = id_tag(rows[which[i]].id), at = tag;

            out[i] = table_next(&head->table, tag, &at);
            if (out[i] != HEAD_NONE) __builtin_prefetch(head_hot(head, out[i]), 1);
        }
        for (size_t i = start; i < end; i++) {
            Hash128 id = rows[which[i]].id;

            /* Two ids of one tag in one table are rare: the slow way sorts it out. */
            if (out[i] != HEAD_NONE && !id_equal(head_hot(head, out[i])->id, id))
                out[i] = metrics_head_find_one(head, id);
        }
    }
}

/* ---------- making ---------- */

static uint32_t name_tag(const MetricsHead *head, uint32_t tenant, uint32_t pair) {
    uint32_t key[2] = {tenant, pair};

    return (uint32_t)hash_bytes_seeded(key, sizeof key, head->seed);
}

/* The tenant's list for this metric name, made when it is the first series; HEAD_NONE: no memory.
 */
static uint32_t name_intern(MetricsHead *head, uint32_t tenant, uint32_t pair) {
    uint32_t tag = name_tag(head, tenant, pair), n = head->name_count;

    TABLE_EACH(&head->names, tag, i) {
        if (head_name(head, i)->tenant == tenant && head_name(head, i)->pair == pair) return i;
    }
    if (!table_reserve(&head->names) ||
        !region_commit(&head->name_region, (n + (size_t)1) * sizeof(HeadName), false))
        return HEAD_NONE;
    *head_name(head, n) =
        (HeadName){.tenant = tenant, .pair = pair, .next = head_tenant(head, tenant)->names};
    head_tenant(head, tenant)->names = n;
    table_add(&head->names, tag, n);
    return head->name_count++;
}

/* Makes room for one more series in the list. Queries copy what they need from it while on the
 * lane, so what it grew out of is free at once. */
static bool name_reserve(MetricsHead *head, HeadName *name) {
    size_t used = name->count * sizeof(uint32_t), bytes;
    unsigned class;
    SlabHandle larger;

    if (name->count < name->capacity) return true;
    /* Whole pages double: a run that was left serves small pieces, not the next run. */
    bytes = used < SLAB_SMALL_MAX ? used + sizeof(uint32_t) : used * 2;
    if (bytes > SLAB_BYTES_MAX) return false;
    class = slab_class(bytes);
    larger = slab_alloc(&head->slab, class, false);
    if (larger == 0) return false;
    if (name->series != 0) {
        memcpy(slab_ptr(&head->slab, larger), slab_ptr(&head->slab, name->series), used);
        slab_free(&head->slab, name->series);
    }
    name->series = larger;
    name->capacity = (uint32_t)(slab_class_bytes(class) / sizeof(uint32_t));
    return true;
}

/* Interns the pairs into scratch_pairs; *ret_name is __name__'s. */
static ErrCode intern_labels(MetricsHead *head, LabelPairs labels, uint32_t *ret_name, Error *err) {
    *ret_name = PAIR_NONE;
    if (labels.count > UINT16_MAX)
        return error_set(err, ERR_INVALID, "series with %zu labels", labels.count);
    if (labels.count > head->scratch_pairs_max) {
        size_t max = ALIGN_UP(labels.count, 64);
        uint32_t *more = realloc(head->scratch_pairs, max * sizeof *more);

        if (more == NULL) return error_set(err, ERR_LIMIT, "out of memory");
        head->scratch_pairs = more;
        head->scratch_pairs_max = max;
    }
    for (size_t i = 0; i < labels.count; i++) {
        uint32_t pair = pairs_intern(&head->pairs, labels.pairs[i].name, labels.pairs[i].value);

        if (pair == PAIR_NONE) return error_set(err, ERR_LIMIT, "no memory for a new series");
        head->scratch_pairs[i] = pair;
        if (str_equal(labels.pairs[i].name, LABEL_NAME)) *ret_name = pair;
    }
    return ERR_OK;
}

static ErrCode head_make(MetricsHead *head, uint32_t tenant, Hash128 id, LabelPairs labels,
                         uint32_t *ret_series, Error *err) {
    uint32_t n = head->series_count, name_pair, name;
    size_t after = n + (size_t)1, pair_bytes = labels.count * sizeof(uint32_t);
    SlabHandle pairs = 0;

    TRY(intern_labels(head, labels, &name_pair, err));
    name = name_intern(head, tenant, name_pair);
    if (name == HEAD_NONE || after >= HEAD_NONE || !table_reserve(&head->table) ||
        !region_commit(&head->hot_region, after * sizeof(HeadHot), false) ||
        !region_commit(&head->cold_region, after * sizeof(HeadCold), false) ||
        !name_reserve(head, head_name(head, name)) ||
        (pair_bytes > 0 && (pairs = slab_alloc_exact(&head->slab, pair_bytes, false)) == 0))
        return error_set(err, ERR_LIMIT, "no memory for a new series");

    if (pair_bytes > 0) memcpy(slab_ptr(&head->slab, pairs), head->scratch_pairs, pair_bytes);
    *head_hot(head, n) = (HeadHot){.id = id, .pairs = pairs, .pair_count = (uint16_t)labels.count};
    *head_cold(head, n) = (HeadCold){.tenant = tenant};
    ((uint32_t *)slab_ptr(&head->slab,
                          head_name(head, name)->series))[head_name(head, name)->count++] = n;
    head_tenant(head, tenant)->series_count++;
    table_add(&head->table, id_tag(id), n);
    *ret_series = n;
    head->series_count++;
    return ERR_OK;
}

ErrCode metrics_head_add(MetricsHead *head, uint32_t tenant, Hash128 id, Str labels,
                         uint32_t *ret_series, Error *err) {
    LabelPairs parsed;
    ErrCode code = labels_decode(labels, head->scratch, &parsed, err);

    if (code == ERR_OK) code = head_make(head, tenant, id, parsed, ret_series, err);
    arena_reset(head->scratch);
    return code;
}
