/*
 * select.c: matching by scanning, without postings. What makes it cheap: a selector with a metric
 * name looks only at that name's series, and match.c makes a matcher a comparison of numbers.
 */
#include "ingester/head/select.h"

enum { AHEAD = 8 };

typedef struct Selecting {
    const MetricsHead *head;
    const HeadSelect *select;
    Arena *arena;
    LabelTests tests;
    uint32_t *found; /* the series that match */
    size_t found_count;
    size_t chunk_count; /* theirs, in the range */
    size_t chunks_max;  /* of one of them, in the range or not */
    size_t label_count; /* theirs */
    bool exemplars;
} Selecting;

static ErrCode out_of_budget(Error *err) {
    return error_set(err, ERR_LIMIT, "selecting from the head: the query's memory is used up");
}

/* Chunks of the series that overlap the range, and all it has. */
static uint32_t chunks_in_range(const Selecting *s, const HeadHot *hot, const HeadCold *cold,
                                size_t *ret_all) {
    const HeadSelect *select = s->select;
    size_t all = hot->count > 0;
    uint32_t count = 0;

    if (hot->count > 0) {
        int64_t max_ms = hot->flags & HOT_IN_ORDER ? hot->time_ms : cold->max_ms;

        count += cold->min_ms <= select->max_ms && max_ms >= select->min_ms;
    }
    for (SlabHandle at = hot->closed; at != 0;) {
        const HeadClosed *closed = slab_ptr(&s->head->slab, at);

        count += closed->min_ms <= select->max_ms && closed->max_ms >= select->min_ms;
        at = closed->older;
        all++;
    }
    *ret_all = all;
    return count;
}

static void consider(Selecting *s, uint32_t series) {
    const HeadHot *hot = head_hot(s->head, series);
    const HeadCold *cold = head_cold(s->head, series);
    const uint32_t *pairs = head_pairs(s->head, hot);
    uint32_t chunks;
    size_t all;

    for (size_t i = 0; i < s->tests.count; i++)
        if (!s->tests.items[i].on_name &&
            !label_test_set(&s->tests, &s->tests.items[i], pairs, hot->pair_count))
            return;
    chunks = chunks_in_range(s, hot, cold, &all);
    if (s->exemplars ? cold->exemplars == 0 : chunks == 0) return;
    s->found[s->found_count++] = series;
    s->chunk_count += chunks;
    s->chunks_max = MAX(s->chunks_max, all);
    s->label_count += hot->pair_count;
}

/* The parts of a series lie apart, and those of many in no cache: they are fetched ahead, the ones
 * that tell where others lie first. */
static void fetch_ahead(const MetricsHead *head, const uint32_t *series, size_t i, size_t count) {
    if (i + 2 * AHEAD < count) {
        __builtin_prefetch(head_hot(head, series[i + 2 * AHEAD]));
        __builtin_prefetch(head_cold(head, series[i + 2 * AHEAD]));
    }
    if (i + AHEAD < count) {
        const HeadHot *hot = head_hot(head, series[i + AHEAD]);

        __builtin_prefetch(head_pairs(head, hot));
        __builtin_prefetch(slab_ptr(&head->slab, hot->closed)); /* 0 is the slab's own, and there */
    }
}

/* One metric name's series. */
static void scan_name(Selecting *s, const HeadName *name) {
    const uint32_t *series = slab_ptr(&s->head->slab, name->series);

    for (size_t i = 0; i < s->tests.count; i++)
        if (s->tests.items[i].on_name &&
            !label_test_pair(&s->tests, &s->tests.items[i], name->pair))
            return;
    for (uint32_t i = 0; i < name->count; i++) {
        fetch_ahead(s->head, series, i, name->count);
        consider(s, series[i]);
    }
}

/* ---------- handing out ---------- */

static ChunkView *add_chunks(const Selecting *s, uint32_t series, ChunkView *at) {
    const HeadSelect *select = s->select;
    /* All of them fit: those left out make room for the next series'. */
    uint32_t count = metrics_head_chunks(s->head, series, at), kept = 0;

    for (uint32_t i = 0; i < count; i++)
        if (at[i].min_ms <= select->max_ms && at[i].max_ms >= select->min_ms) at[kept++] = at[i];
    return at + kept;
}

/* The newest sample of a series as a chunk of its own, when it is known without decoding any: the
 * open chunk ends with it and nothing closed reaches past it. False: it isn't. */
static bool newest_sample(const Selecting *s, const HeadHot *hot, ChunkView *out, uint8_t *bytes) {
    StreamState state = {0};

    if (!(hot->flags & HOT_HAS_LAST) || (hot->flags & HOT_LAST_HISTOGRAM) || hot->count == 0 ||
        !(hot->flags & HOT_IN_ORDER) || hot->time_ms > s->select->max_ms ||
        hot->time_ms < s->select->min_ms)
        return false;
    for (SlabHandle at = hot->closed; at != 0;) {
        const HeadClosed *closed = slab_ptr(&s->head->slab, at);

        if (closed->max_ms >= hot->time_ms) return false;
        at = closed->older;
    }
    *out = (ChunkView){
        .bytes = {(const char *)bytes, stream_append(&state, bytes, hot->time_ms, hot->value)},
        .min_ms = hot->time_ms,
        .max_ms = hot->time_ms,
        .count = 1,
        .kind = CHUNK_STREAM,
        .in_order = true,
    };
    return true;
}

static ErrCode hand_out_series(const Selecting *s, SelectedSeries *out, Error *err) {
    ChunkView *chunks = NULL, *at;
    uint8_t *newest = NULL;

    if (!s->select->labels_only) {
        /* A series' chunks are all written before those out of the range go. */
        chunks = arena_alloc(s->arena, (s->chunk_count + s->chunks_max) * sizeof *chunks);
        if (chunks == NULL) return out_of_budget(err);
    }
    if (chunks != NULL && s->select->newest_only) {
        newest = arena_alloc_bytes(s->arena, s->found_count * STREAM_SAMPLE_BYTES_MAX + 1);
        if (newest == NULL) return out_of_budget(err);
    }
    at = chunks;
    for (size_t i = 0; i < s->found_count; i++) {
        const HeadHot *hot = head_hot(s->head, s->found[i]);
        ChunkView *first = at;

        fetch_ahead(s->head, s->found, i, s->found_count);
        if (newest != NULL && newest_sample(s, hot, at, newest)) {
            newest += at->bytes.len;
            at++;
        } else if (chunks != NULL) {
            at = add_chunks(s, s->found[i], at);
        }
        out[i] = (SelectedSeries){.pairs = head_pairs(s->head, hot),
                                  .chunks = first,
                                  .pair_count = hot->pair_count,
                                  .chunk_count = (uint32_t)(at - first)};
    }
    return ERR_OK;
}

static ErrCode hand_out_pairs(const Selecting *s, SelectedSeries *series, MetricsSelection *out,
                              Error *err) {
    PairsOut pairs;

    if (!pairs_out_init(&pairs, &s->head->pairs, s->label_count, s->arena))
        return out_of_budget(err);
    for (size_t i = 0; i < s->found_count; i++)
        series[i].pairs = pairs_out_add(&pairs, series[i].pairs, series[i].pair_count);
    out->pairs = pairs.pairs;
    out->pair_count = pairs.count;
    return ERR_OK;
}

static ErrCode hand_out_exemplars(Selecting *s, HeadExemplars **out, Error *err) {
    HeadExemplars *lists = ARENA_ARRAY(s->arena, HeadExemplars, s->found_count);
    size_t kept = 0;

    if (lists == NULL) return out_of_budget(err);
    for (size_t i = 0; i < s->found_count; i++) {
        SelectedExemplar *items;
        size_t count;

        if (!metrics_head_exemplars(s->head, s->found[i], s->select->min_ms, s->select->max_ms,
                                    s->arena, &items, &count))
            return out_of_budget(err);
        if (count == 0) continue;
        s->found[kept] = s->found[i];
        lists[kept++] = (HeadExemplars){items, count};
    }
    s->found_count = kept;
    *out = lists;
    return ERR_OK;
}

ErrCode metrics_head_select(const MetricsHead *head, uint32_t tenant, const HeadSelect *select,
                            Arena *arena, MetricsSelection *out, HeadExemplars **exemplars,
                            Error *err) {
    Selecting s = {.head = head, .select = select, .arena = arena, .exemplars = exemplars != NULL};
    const HeadTenant *owner = head_tenant(head, tenant);
    SelectedSeries *series;

    *out = (MetricsSelection){0};
    if (exemplars != NULL) *exemplars = NULL;
    if (!label_tests_prepare(&head->pairs, select->matchers, select->matcher_count, arena,
                             &s.tests))
        return out_of_budget(err);
    if (s.tests.never || owner->series_count == 0) return ERR_OK;
    s.found = arena_alloc(arena, owner->series_count * sizeof *s.found);
    if (s.found == NULL) return out_of_budget(err);
    for (uint32_t n = owner->names; n != HEAD_NONE; n = head_name(head, n)->next)
        scan_name(&s, head_name(head, n));

    if (exemplars != NULL) TRY(hand_out_exemplars(&s, exemplars, err));
    series = arena_alloc(arena, MAX(s.found_count, (size_t)1) * sizeof *series);
    if (series == NULL) return out_of_budget(err);
    TRY(hand_out_series(&s, series, err));
    TRY(hand_out_pairs(&s, series, out, err));
    out->series = series;
    out->series_count = s.found_count;
    return ERR_OK;
}

/* ---------- labels and metadata ---------- */

/* Marks every pair that a series of the tenant with samples has. */
static uint8_t *used_pairs(const MetricsHead *head, uint32_t tenant, Arena *arena) {
    uint8_t *used = arena_zalloc(arena, MAX(head->pairs.count, 1U));

    if (used == NULL) return NULL;
    for (uint32_t n = head_tenant(head, tenant)->names; n != HEAD_NONE;
         n = head_name(head, n)->next) {
        const HeadName *name = head_name(head, n);
        const uint32_t *series = slab_ptr(&head->slab, name->series);

        for (uint32_t i = 0; i < name->count; i++) {
            const HeadHot *hot = head_hot(head, series[i]);
            const uint32_t *pairs = head_pairs(head, hot);

            fetch_ahead(head, series, i, name->count);
            if (!(hot->flags & HOT_HAS_LAST)) continue;
            for (uint32_t k = 0; k < hot->pair_count; k++) used[pairs[k]] = 1;
        }
    }
    return used;
}

ErrCode metrics_head_labels(const MetricsHead *head, uint32_t tenant, Str name, Arena *arena,
                            StrList *out, Error *err) {
    uint8_t *used = used_pairs(head, tenant, arena);

    if (used == NULL || !pairs_list(&head->pairs, used, name, arena, out))
        return out_of_budget(err);
    return ERR_OK;
}

ErrCode metrics_head_metadata(const MetricsHead *head, uint32_t tenant, Arena *arena,
                              MetadataList *out, Error *err) {
    for (uint32_t i = head_tenant(head, tenant)->metadata; i != HEAD_NONE;
         i = head_metadata(head, i)->next) {
        const HeadMetadata *held = head_metadata(head, i);

        if (out->count == out->capacity) {
            size_t more = MAX(out->capacity * 2, (size_t)64);

            out->items = arena_grow(arena, out->items, out->capacity * sizeof *out->items,
                                    more * sizeof *out->items);
            if (out->items == NULL) return out_of_budget(err);
            out->capacity = more;
        }
        out->items[out->count++] = (MetadataItem){held->metric, held->help, held->unit, held->type};
    }
    return ERR_OK;
}
