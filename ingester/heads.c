/*
 * heads.c: what queries see of the ingester. Live generations are looked at by their lanes, each
 * into an arena of its own beside the query's; frozen ones by the query's thread.
 *
 * A lane hands out its frozen generations in the same moment as it looks at the live one: what is
 * frozen right after was seen live, and nothing is missed between the two.
 */
#include <stdlib.h>

#include "ingester/head/select.h"
#include "ingester/head/span_tables.h"
#include "ingester/internal.h"

/* Keeps a generation, and what its lane frees meanwhile, until the arena goes. */
typedef struct Pin {
    Generation *generation;
    bool live;
    unsigned phase;
} Pin;

static void pin_release(void *what) {
    Pin *pin = what;

    if (pin->live) slab_unpin(&pin->generation->metrics.slab, pin->phase);
    generation_unref(pin->generation);
}

static bool pin_generation(Arena *arena, Generation *generation, bool live) {
    Pin *pin = ARENA_NEW(arena, Pin);

    if (pin == NULL || !arena_on_free(arena, pin_release, pin)) return false;
    generation_ref(generation);
    *pin = (Pin){.generation = generation, .live = live};
    if (live) pin->phase = slab_pin(&generation->metrics.slab);
    return true;
}

/* What select finds in one generation. */
typedef struct LookSlot {
    MetricsSelection metrics;
    HeadExemplars *exemplars;
    LogsSelection logs;
    HeadSpans spans; /* of one trace */
    HeadSpanGroup *groups;
    size_t group_count;
    SpanCache *cache;
    uint32_t tenant;
} LookSlot;

/* One question to one lane. What looks at a generation is look(); it fills a slot of its own kind.
 */
typedef struct Look Look;
struct Look {
    ErrCode (*look)(Look *look, const Generation *generation, uint32_t tenant, Arena *arena,
                    Error *err);
    Str tenant;
    const HeadSelect *select;
    const LogSelect *log_select;
    const SpanHeadSelect *span_select;
    bool exemplars;
    bool logs; /* labels: of streams */
    Str name;
    Arena *arena; /* the lane's, beside the query's */
    Generation **frozen;
    size_t frozen_count;
    /* what select leaves */
    LookSlot *slots; /* with something in it, one a generation */
    size_t slot_count;
    /* what labels and metadata leave */
    StrList strings;
    MetadataList metadata;
    size_t live_metadata; /* of those, the first so many are the live generation's */
    Error err;
};

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "looking into the heads: the query's memory is used up");
}

static ErrCode look_at(Look *look, Generation *generation, bool live, Arena *arena, Error *err) {
    uint32_t tenant = generation_find_tenant(generation, look->tenant);

    if (tenant == HEAD_NONE) return ERR_OK;
    if (!pin_generation(arena, generation, live)) return out_of_memory(err);
    return look->look(look, generation, tenant, arena, err);
}

static void release_frozen(void *what) {
    Look *look = what;

    for (size_t i = 0; i < look->frozen_count; i++) generation_unref(look->frozen[i]);
    look->frozen_count = 0;
}

static void look_on_lane(Lane *lane, void *what) {
    Look *look = what;

    if (!lane_pin_frozen(lane, look->arena, &look->frozen, &look->frozen_count)) {
        out_of_memory(&look->err);
        return;
    }
    (void)look_at(look, lane->live, true, look->arena, &look->err);
    look->live_metadata = look->metadata.count;
}

/* The frozen ones are older than the live one, which was looked at first: it moves to the end. */
static ErrCode look_at_frozen(Look *look, Arena *arena, Error *err) {
    LookSlot *live = look->slots;
    size_t live_count = look->slot_count;
    ErrCode code = ERR_OK;

    look->slots = ARENA_ARRAY(arena, LookSlot, look->frozen_count + 1);
    look->slot_count = 0;
    if (look->slots == NULL) code = out_of_memory(err);
    for (size_t i = 0; code == ERR_OK && i < look->frozen_count; i++)
        code = look_at(look, look->frozen[i], false, arena, err);
    if (code == ERR_OK && live_count > 0) look->slots[look->slot_count++] = live[0];
    release_frozen(look);
    return code;
}

static void release_arena(void *what) {
    arena_free(what);
}

/* Asks every lane. *out: one Look a lane. */
static ErrCode look_everywhere(Ingester *ingester, const Look *question, Arena *arena, Look **out,
                               Error *err) {
    unsigned count = ingester->lane_count;
    Look *looks = ARENA_ARRAY(arena, Look, count);
    ErrCode code = ERR_OK;

    if (looks == NULL) return out_of_memory(err);
    for (unsigned i = 0; i < count; i++) {
        looks[i] = *question;
        looks[i].arena = arena_new(0, arena_budget(arena));
        if (looks[i].arena == NULL) return out_of_memory(err);
        if (!arena_on_free(arena, release_arena, looks[i].arena)) {
            arena_free(looks[i].arena);
            return out_of_memory(err);
        }
    }
    lanes_call(ingester->lanes, count, look_on_lane, looks, sizeof *looks);
    for (unsigned i = 0; i < count; i++) {
        if (code == ERR_OK && looks[i].err.code != ERR_OK) {
            *err = looks[i].err;
            code = err->code;
        }
        if (code == ERR_OK)
            code = look_at_frozen(&looks[i], arena, err);
        else
            release_frozen(&looks[i]);
    }
    *out = looks;
    return code;
}

/* ---------- select, exemplars ---------- */

/* The slot to fill next; kept when slot_count is counted up. */
static LookSlot *next_slot(Look *look, Arena *arena) {
    /* The live one comes first, and has no array yet. */
    if (look->slots == NULL) look->slots = ARENA_NEW(arena, LookSlot);
    return look->slots == NULL ? NULL : &look->slots[look->slot_count];
}

static ErrCode look_select(Look *look, const Generation *generation, uint32_t tenant, Arena *arena,
                           Error *err) {
    LookSlot *slot = next_slot(look, arena);

    if (slot == NULL) return out_of_memory(err);
    TRY(metrics_head_select(&generation->metrics, tenant, look->select, arena, &slot->metrics,
                            look->exemplars ? &slot->exemplars : NULL, err));
    if (slot->metrics.series_count > 0) look->slot_count++;
    return ERR_OK;
}

static size_t slots_total(const Ingester *ingester, const Look *looks) {
    size_t total = 0;

    for (unsigned i = 0; i < ingester->lane_count; i++) total += looks[i].slot_count;
    return total;
}

static ErrCode select_heads(Ingester *ingester, const HeadSelect *select, bool exemplars,
                            Arena *arena, MetricsSelection **out, HeadExemplars ***lists,
                            size_t *count, Error *err) {
    Look question = {
        .look = look_select, .tenant = select->tenant, .select = select, .exemplars = exemplars};
    MetricsSelection *all;
    HeadExemplars **all_lists;
    size_t total, n = 0;
    Look *looks;

    TRY(look_everywhere(ingester, &question, arena, &looks, err));
    total = slots_total(ingester, looks);
    all = ARENA_ARRAY(arena, MetricsSelection, MAX(total, (size_t)1));
    all_lists = ARENA_ARRAY(arena, HeadExemplars *, MAX(total, (size_t)1));
    if (all == NULL || all_lists == NULL) return out_of_memory(err);
    for (unsigned i = 0; i < ingester->lane_count; i++)
        for (size_t k = 0; k < looks[i].slot_count; k++) {
            all_lists[n] = looks[i].slots[k].exemplars;
            all[n++] = looks[i].slots[k].metrics;
        }
    *out = all;
    if (lists != NULL) *lists = all_lists;
    *count = n;
    return ERR_OK;
}

static ErrCode reader_select(void *context, const HeadSelect *select, Arena *arena,
                             MetricsSelection **out, size_t *count, Error *err) {
    return select_heads(context, select, false, arena, out, NULL, count, err);
}

static ErrCode reader_exemplars(void *context, const HeadSelect *select, Arena *arena,
                                MetricsSelection **out, HeadExemplars ***exemplars, size_t *count,
                                Error *err) {
    return select_heads(context, select, true, arena, out, exemplars, count, err);
}

/* ---------- labels ---------- */

static ErrCode look_labels(Look *look, const Generation *generation, uint32_t tenant, Arena *arena,
                           Error *err) {
    if (look->logs)
        return logs_head_labels(&generation->logs, tenant, look->name, arena, &look->strings, err);
    return metrics_head_labels(&generation->metrics, tenant, look->name, arena, &look->strings,
                               err);
}

static int compare_str(const void *a, const void *b) {
    return str_compare(*(const Str *)a, *(const Str *)b);
}

static ErrCode labels(Ingester *ingester, bool logs, Str tenant, Str name, Arena *arena, Str **out,
                      size_t *count, Error *err) {
    Look question = {.look = look_labels, .tenant = tenant, .name = name, .logs = logs};
    size_t total = 0, n = 0, kept = 0;
    Look *looks;
    Str *all;

    TRY(look_everywhere(ingester, &question, arena, &looks, err));
    for (unsigned i = 0; i < ingester->lane_count; i++) total += looks[i].strings.count;
    all = ARENA_ARRAY(arena, Str, MAX(total, (size_t)1));
    if (all == NULL) return out_of_memory(err);
    for (unsigned i = 0; i < ingester->lane_count; i++)
        for (size_t k = 0; k < looks[i].strings.count; k++) all[n++] = looks[i].strings.items[k];
    if (n > 1) qsort(all, n, sizeof *all, compare_str);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || !str_equal(all[kept - 1], all[i])) all[kept++] = all[i];
    *out = all;
    *count = kept;
    return ERR_OK;
}

static ErrCode reader_labels(void *context, Str tenant, Str name, Arena *arena, Str **out,
                             size_t *count, Error *err) {
    return labels(context, false, tenant, name, arena, out, count, err);
}

/* ---------- logs ---------- */

static ErrCode look_logs(Look *look, const Generation *generation, uint32_t tenant, Arena *arena,
                         Error *err) {
    LookSlot *slot = next_slot(look, arena);

    if (slot == NULL) return out_of_memory(err);
    TRY(logs_head_select(&generation->logs, tenant, look->log_select, arena, &slot->logs, err));
    slot->logs.cleared = generation->cleared;
    if (slot->logs.stream_count > 0) look->slot_count++;
    return ERR_OK;
}

static ErrCode reader_logs(void *context, const LogSelect *select, Arena *arena,
                           LogsSelection **out, size_t *count, Error *err) {
    Ingester *ingester = context;
    Look question = {.look = look_logs, .tenant = select->tenant, .log_select = select};
    LogsSelection *all;
    size_t n = 0;
    Look *looks;

    TRY(look_everywhere(ingester, &question, arena, &looks, err));
    all = ARENA_ARRAY(arena, LogsSelection, MAX(slots_total(ingester, looks), (size_t)1));
    if (all == NULL) return out_of_memory(err);
    for (unsigned i = 0; i < ingester->lane_count; i++)
        for (size_t k = 0; k < looks[i].slot_count; k++) all[n++] = looks[i].slots[k].logs;
    *out = all;
    *count = n;
    return ERR_OK;
}

static ErrCode reader_log_labels(void *context, Str tenant, Str name, Arena *arena, Str **out,
                                 size_t *count, Error *err) {
    return labels(context, true, tenant, name, arena, out, count, err);
}

LogHeadReader ingester_log_head_reader(Ingester *ingester) {
    return (LogHeadReader){.select = reader_logs, .labels = reader_log_labels, .context = ingester};
}

/* ---------- spans ---------- */

static ErrCode look_spans(Look *look, const Generation *generation, uint32_t tenant, Arena *arena,
                          Error *err) {
    const SpanHeadSelect *select = look->span_select;
    LookSlot *slot = next_slot(look, arena);

    if (slot == NULL) return out_of_memory(err);
    slot->cache = generation->spans.cache;
    slot->tenant = tenant;
    if (select->trace != NULL)
        TRY(spans_head_select(&generation->spans, tenant, select->min_ns, select->max_ns,
                              select->trace, arena, &slot->spans, err));
    else
        TRY(spans_head_groups(&generation->spans, tenant, select->min_ns, select->max_ns, arena,
                              &slot->groups, &slot->group_count, err));
    if (slot->spans.trace_count > 0 || slot->group_count > 0) look->slot_count++;
    return ERR_OK;
}

typedef struct TableList {
    const SpanTable **items;
    size_t count;
    size_t capacity;
} TableList;

static bool list_table(TableList *list, const SpanTable *table, Arena *arena) {
    if (list->count == list->capacity) {
        size_t grown = MAX(list->capacity * 2, (size_t)8);

        list->items = arena_grow(arena, list->items, list->capacity * sizeof *list->items,
                                 grown * sizeof *list->items);
        if (list->items == NULL) return false;
        list->capacity = grown;
    }
    list->items[list->count++] = table;
    return true;
}

/* Decoding happens here, on the query's thread. */
static ErrCode make_tables(HeadSpans *spans, Arena *arena, TableList *list, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(arena));
    SpanTables tables;
    bool more;

    if (scratch == NULL) return out_of_memory(err);
    TRY(span_tables_begin(&tables, spans, arena, scratch, err));
    for (;;) {
        SpanTable *table = ARENA_NEW(arena, SpanTable);

        if (table == NULL) return out_of_memory(err);
        TRY(span_tables_next(&tables, arena, table, &more, err));
        if (!more) return ERR_OK;
        if (!list_table(list, table, arena)) return out_of_memory(err);
    }
}

/* Tables of one group into what is kept from query to query. False: no memory for that. */
static bool keep_group(HeadSpanGroup *from, SpanGroup *group) {
    Error err;
    TableList list = {0};

    if (make_tables(&from->spans, group->arena, &list, &err) != ERR_OK) return false;
    group->tables = list.items;
    group->count = list.count;
    group->spans = from->count;
    return true;
}

static void group_release(void *what) {
    span_group_unref(what);
}

static ErrCode list_group(const LookSlot *slot, HeadSpanGroup *group, Budget *caches, Arena *arena,
                          TableList *list, Error *err) {
    SpanGroup *kept = group->kept;

    if (kept == NULL) {
        kept = span_group_new(caches);
        if (kept == NULL || !keep_group(group, kept)) {
            span_group_unref(kept);
            return make_tables(&group->spans, arena, list, err);
        }
        if (!arena_on_free(arena, group_release, kept)) {
            span_group_unref(kept);
            return out_of_memory(err);
        }
        span_cache_put(slot->cache, slot->tenant, group->number, kept);
    }
    for (size_t i = 0; i < kept->count; i++)
        if (!list_table(list, kept->tables[i], arena)) return out_of_memory(err);
    return ERR_OK;
}

static ErrCode list_slot(const LookSlot *slot, Budget *caches, Arena *arena, TableList *list,
                         Error *err) {
    for (size_t i = 0; i < slot->group_count; i++)
        TRY(list_group(slot, &slot->groups[i], caches, arena, list, err));
    if (slot->spans.trace_count == 0) return ERR_OK;
    return make_tables((HeadSpans *)(uintptr_t)&slot->spans, arena, list, err);
}

static ErrCode reader_spans(void *context, const SpanHeadSelect *select, Arena *arena,
                            const SpanTable ***out, size_t *count, Error *err) {
    Ingester *ingester = context;
    Look question = {.look = look_spans, .tenant = select->tenant, .span_select = select};
    TableList list = {0};
    Look *looks;

    TRY(look_everywhere(ingester, &question, arena, &looks, err));
    for (unsigned i = 0; i < ingester->lane_count; i++)
        for (size_t k = 0; k < looks[i].slot_count; k++)
            TRY(list_slot(&looks[i].slots[k], ingester->options.caches, arena, &list, err));
    *out = list.items;
    *count = list.count;
    return ERR_OK;
}

SpanHeadReader ingester_span_head_reader(Ingester *ingester) {
    return (SpanHeadReader){.select = reader_spans, .context = ingester};
}

/* ---------- metadata ---------- */

static ErrCode look_metadata(Look *look, const Generation *generation, uint32_t tenant,
                             Arena *arena, Error *err) {
    return metrics_head_metadata(&generation->metrics, tenant, arena, &look->metadata, err);
}

typedef struct RankedMetadata {
    MetadataItem item;
    size_t rank; /* lower is newer */
} RankedMetadata;

static int compare_metadata(const void *a, const void *b) {
    const RankedMetadata *x = a, *y = b;
    int order = str_compare(x->item.metric, y->item.metric);

    return order != 0 ? order : (x->rank > y->rank) - (x->rank < y->rank);
}

static ErrCode reader_metadata(void *context, Str tenant, Arena *arena, MetadataItem **out,
                               size_t *count, Error *err) {
    Ingester *ingester = context;
    Look question = {.look = look_metadata, .tenant = tenant};
    size_t total = 0, n = 0, kept = 0;
    RankedMetadata *all;
    MetadataItem *items;
    Look *looks;

    TRY(look_everywhere(ingester, &question, arena, &looks, err));
    for (unsigned i = 0; i < ingester->lane_count; i++) total += looks[i].metadata.count;
    all = ARENA_ARRAY(arena, RankedMetadata, MAX(total, (size_t)1));
    items = ARENA_ARRAY(arena, MetadataItem, MAX(total, (size_t)1));
    if (all == NULL || items == NULL) return out_of_memory(err);
    /* A lane's list begins with the live generation's, then the frozen ones', oldest first. */
    for (unsigned i = 0; i < ingester->lane_count; i++)
        for (size_t k = 0; k < looks[i].metadata.count; k++, n++)
            all[n] = (RankedMetadata){looks[i].metadata.items[k],
                                      k < looks[i].live_metadata ? 0 : total - k};
    if (n > 1) qsort(all, n, sizeof *all, compare_metadata);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || !str_equal(items[kept - 1].metric, all[i].item.metric))
            items[kept++] = all[i].item;
    *out = items;
    *count = kept;
    return ERR_OK;
}

HeadReader ingester_head_reader(Ingester *ingester) {
    return (HeadReader){.select = reader_select,
                        .exemplars = reader_exemplars,
                        .labels = reader_labels,
                        .metadata = reader_metadata,
                        .context = ingester};
}
