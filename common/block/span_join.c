/*
 * span_join.c: traces of several tables into one.
 *
 * Rows are copied in runs, since a trace's rows, and what hangs on them, lie side by side. Of a
 * dictionary each text is looked up once, not once a row.
 */
#include <string.h>

#include "common/base/random.h"
#include "common/block/span_join.h"

/* ---------- traces ---------- */

typedef struct Place {
    uint32_t range;
    uint32_t trace;
} Place;

/* Which traces there are, and where, in their order to come. */
static ErrCode sort_traces(SpanJoin *j, uint32_t total, Place **out, Error *err) {
    SpanSortItem *items = arena_alloc(j->scratch, (size_t)total * 2 * sizeof *items + 1);
    Place *places = arena_alloc(j->scratch, total * sizeof *places + 1);
    Place *sorted = arena_alloc(j->scratch, total * sizeof *sorted + 1);
    uint32_t n = 0;

    if (items == NULL || places == NULL || sorted == NULL) return span_no_memory(err);
    for (size_t r = 0; r < j->range_count; r++) {
        const SpanTableRange *range = &j->ranges[r];

        for (uint32_t i = 0; i < range->count; i++, n++) {
            places[n] = (Place){(uint32_t)r, range->first + i};
            items[n] = span_sort_trace(&range->table->traces[range->first + i], n);
        }
    }
    span_sort(items, items + total, total);
    for (uint32_t i = 0; i < total; i++) sorted[i] = places[items[i].index];
    *out = sorted;
    return ERR_OK;
}

static bool follows(const SpanRun *a, const SpanRun *b) {
    if (a->range != b->range) return false;
    for (int scope = SCOPE_SPAN; scope <= SCOPE_LINK; scope++) {
        if (a->from[scope] + a->count[scope] != b->from[scope]) return false;
    }
    return true;
}

static ErrCode take_traces(SpanJoin *j, Error *err) {
    uint64_t total = 0, counts[4] = {0};
    TraceRow *traces;
    Place *places = NULL;

    for (size_t r = 0; r < j->range_count; r++) total += j->ranges[r].count;
    if (total >= SPAN_ORPHAN / 2) return error_set(err, ERR_LIMIT, "too many traces for a table");
    TRY(sort_traces(j, (uint32_t)total, &places, err));
    traces = arena_alloc(j->arena, total * sizeof *traces + 1);
    j->runs = arena_alloc(j->scratch, total * sizeof *j->runs + 1);
    if (traces == NULL || j->runs == NULL) return span_no_memory(err);
    for (uint32_t i = 0; i < total; i++) {
        const SpanTable *t = j->ranges[places[i].range].table;
        const TraceRow *trace = &t->traces[places[i].trace];
        uint32_t end = trace->first + trace->count;
        SpanRun run = {
            .range = places[i].range,
            .from = {0, trace->first, t->event_starts[trace->first], t->link_starts[trace->first]}};
        SpanRun *before = j->run_count == 0 ? NULL : &j->runs[j->run_count - 1];

        assert(t->columns == SPAN_ALL);
        run.count[SCOPE_SPAN] = trace->count;
        run.count[SCOPE_EVENT] = t->event_starts[end] - run.from[SCOPE_EVENT];
        run.count[SCOPE_LINK] = t->link_starts[end] - run.from[SCOPE_LINK];
        traces[i] = *trace;
        traces[i].first = (uint32_t)counts[SCOPE_SPAN];
        for (int scope = SCOPE_SPAN; scope <= SCOPE_LINK; scope++) {
            run.to[scope] = (uint32_t)counts[scope];
            counts[scope] += run.count[scope];
            if (counts[scope] >= SPAN_ORPHAN / 2)
                return error_set(err, ERR_LIMIT, "too many spans, events or links for a table");
        }
        if (before != NULL && follows(before, &run)) {
            for (int scope = SCOPE_SPAN; scope <= SCOPE_LINK; scope++)
                before->count[scope] += run.count[scope];
        } else {
            j->runs[j->run_count++] = run;
        }
    }
    for (int scope = SCOPE_SPAN; scope <= SCOPE_LINK; scope++)
        j->count[scope] = (uint32_t)counts[scope];
    j->out->traces = traces;
    j->out->trace_count = (uint32_t)total;
    j->out->row_count = j->count[SCOPE_SPAN];
    j->out->event_count = j->count[SCOPE_EVENT];
    j->out->link_count = j->count[SCOPE_LINK];
    return ERR_OK;
}

/* ---------- columns of plain values ---------- */

/* The same column of every table, which lies at this offset of SpanTable. */
static const void *column_at(const SpanJoin *j, const SpanRun *run, size_t offset) {
    const void *column;

    memcpy(&column, (const char *)j->ranges[run->range].table + offset, sizeof column);
    return column;
}

/* Columns of zeros may not be there; a column of nothing but such isn't, either. */
static bool plain(SpanJoin *j, AttributeScope scope, size_t offset, size_t bytes) {
    char *to = NULL;

    for (uint32_t i = 0; i < j->run_count; i++) {
        const SpanRun *run = &j->runs[i];
        const char *from = column_at(j, run, offset);

        if (from == NULL) continue;
        if (to == NULL) to = arena_zalloc(j->arena, j->count[scope] * bytes + bytes);
        if (to == NULL) return false;
        memcpy(to + run->to[scope] * bytes, from + run->from[scope] * bytes,
               run->count[scope] * bytes);
    }
    if (to == NULL && j->run_count == 0 && (to = arena_zalloc(j->arena, bytes)) == NULL)
        return false;
    memcpy((char *)j->out + offset, &to, sizeof to);
    return true;
}

#define PLAIN(j, scope, member)                                                                    \
    plain(j, scope, offsetof(SpanTable, member), sizeof *((SpanTable *)NULL)->member)

static bool rare(SpanJoin *j, AttributeScope scope, size_t offset) {
    bool there = false;

    for (uint32_t i = 0; i < j->run_count; i++) {
        const SpanRun *run = &j->runs[i];
        const uint32_t *from = column_at(j, run, offset);

        for (uint32_t k = 0; from != NULL && !there && k < run->count[scope]; k++)
            there = from[run->from[scope] + k] != 0;
    }
    return !there || plain(j, scope, offset, sizeof(uint32_t));
}

/* Rows move, and with them the rows that are named in columns. */
static bool tree(SpanJoin *j) {
    uint32_t *parents = arena_alloc(j->arena, j->count[SCOPE_SPAN] * sizeof *parents + 1);
    uint32_t *ends = arena_alloc(j->arena, j->count[SCOPE_SPAN] * sizeof *ends + 1);

    if (parents == NULL || ends == NULL) return false;
    for (uint32_t i = 0; i < j->run_count; i++) {
        const SpanRun *run = &j->runs[i];
        const SpanTable *t = j->ranges[run->range].table;
        uint32_t from = run->from[SCOPE_SPAN], to = run->to[SCOPE_SPAN];

        for (uint32_t k = 0; k < run->count[SCOPE_SPAN]; k++) {
            uint32_t parent = t->parents[from + k];

            parents[to + k] = parent < SPAN_ORPHAN ? parent - from + to : parent;
            ends[to + k] = t->ends[from + k] - from + to;
        }
    }
    j->out->parents = parents;
    j->out->ends = ends;
    return PLAIN(j, SCOPE_SPAN, rooted);
}

/* Of events or links. */
static bool starts(SpanJoin *j, AttributeScope scope, size_t offset) {
    uint32_t *to = arena_alloc(j->arena, (j->count[SCOPE_SPAN] + (size_t)1) * sizeof *to);

    if (to == NULL) return false;
    for (uint32_t i = 0; i < j->run_count; i++) {
        const SpanRun *run = &j->runs[i];
        const uint32_t *from = (const uint32_t *)column_at(j, run, offset) + run->from[SCOPE_SPAN];

        for (uint32_t k = 0; k < run->count[SCOPE_SPAN]; k++)
            to[run->to[SCOPE_SPAN] + k] = from[k] - run->from[scope] + run->to[scope];
    }
    to[j->count[SCOPE_SPAN]] = j->count[scope];
    memcpy((char *)j->out + offset, &to, sizeof to);
    return true;
}

/* ---------- texts ---------- */

uint32_t *span_join_map(SpanJoin *j, uint32_t distinct) {
    uint32_t *map = arena_alloc(j->scratch, distinct * sizeof *map + 1);

    if (map != NULL) memset(map, 0xff, distinct * sizeof *map);
    return map;
}

void span_join_codes(const TextColumn *from, uint32_t first, uint32_t count, uint32_t *map,
                     TextSet *set, uint32_t *to) {
    for (uint32_t i = 0; i < count; i++) {
        uint32_t *code = &map[from->codes[first + i]];

        if (*code == SPAN_NONE) *code = text_set_put(set, from->dictionary[from->codes[first + i]]);
        to[i] = *code;
    }
}

bool span_join_texts(const SpanJoin *j, Str *texts, uint32_t count) {
    size_t bytes = 0;
    char *at;

    if (!j->own) return true;
    for (uint32_t i = 0; i < count; i++) bytes += texts[i].len;
    at = arena_alloc_bytes(j->arena, bytes + 1);
    if (at == NULL) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (texts[i].len > 0) memcpy(at, texts[i].ptr, texts[i].len);
        texts[i].ptr = at;
        at += texts[i].len;
    }
    return true;
}

static bool texts(SpanJoin *j, AttributeScope scope, size_t offset) {
    TextSet set = {.scratch = j->scratch, .seed = j->seed};
    uint32_t **maps = ARENA_ARRAY(j->scratch, uint32_t *, j->range_count + 1);
    uint32_t *codes = arena_alloc(j->arena, j->count[scope] * sizeof *codes + 1);
    TextColumn *out = (TextColumn *)((char *)j->out + offset);
    Str *dictionary;

    if (maps == NULL || codes == NULL) return false;
    for (uint32_t i = 0; i < j->run_count; i++) {
        const SpanRun *run = &j->runs[i];
        const TextColumn *from =
            (const TextColumn *)((const char *)j->ranges[run->range].table + offset);
        uint32_t **map = &maps[run->range];

        if (*map == NULL) *map = span_join_map(j, from->distinct);
        if (*map == NULL) return false;
        span_join_codes(from, run->from[scope], run->count[scope], *map, &set,
                        codes + run->to[scope]);
    }
    dictionary = text_set_list(&set, j->arena);
    *out = (TextColumn){codes, dictionary, set.count};
    return !set.failed && dictionary != NULL && span_join_texts(j, dictionary, set.count);
}

/* ---------- origins ---------- */

/* The same in memory of its own. */
static const SpanOrigin *own_origin(SpanJoin *j, const SpanOrigin *origin) {
    SpanOrigin *copy = ARENA_NEW(j->arena, SpanOrigin);
    char *bytes;
    Reader r;

    buf_clear(&j->origins.bytes);
    span_resource_put(origin, &j->origins.bytes);
    span_scope_put(origin, &j->origins.bytes);
    bytes = arena_alloc_bytes(j->arena, j->origins.bytes.len + 1);
    if (copy == NULL || bytes == NULL || buf_failed(&j->origins.bytes)) return NULL;
    memcpy(bytes, j->origins.bytes.ptr, j->origins.bytes.len);
    r = reader_of((Str){bytes, j->origins.bytes.len});
    if (!span_resource_take(&r, j->arena, copy) || !span_scope_take(&r, j->arena, copy))
        return NULL;
    assert(!r.failed && reader_at_end(&r));
    return copy;
}

static bool origins(SpanJoin *j) {
    uint32_t **maps = ARENA_ARRAY(j->scratch, uint32_t *, j->range_count + 1);
    uint32_t *to = arena_alloc(j->arena, j->count[SCOPE_SPAN] * sizeof *to + 1), count;
    const SpanOrigin **list;

    if (maps == NULL || to == NULL) return false;
    for (uint32_t i = 0; i < j->run_count; i++) {
        const SpanRun *run = &j->runs[i];
        const SpanTable *t = j->ranges[run->range].table;
        uint32_t **map = &maps[run->range];

        if (*map == NULL) *map = span_join_map(j, t->origin_count);
        if (*map == NULL) return false;
        for (uint32_t k = 0; k < run->count[SCOPE_SPAN]; k++) {
            uint32_t from = t->origin_of[run->from[SCOPE_SPAN] + k];

            if ((*map)[from] == SPAN_NONE)
                (*map)[from] = origin_set_put(&j->origins, t->origins[from]);
            to[run->to[SCOPE_SPAN] + k] = (*map)[from];
        }
    }
    count = j->origins.origins.count;
    list = ARENA_ARRAY(j->arena, const SpanOrigin *, count + (size_t)1);
    if (list == NULL || j->origins.failed) return false;
    for (uint32_t i = 0; i < count; i++) {
        list[i] = j->own ? own_origin(j, j->origins.list[i]) : j->origins.list[i];
        if (list[i] == NULL) return false;
    }
    j->out->origin_of = to;
    j->out->origins = list;
    j->out->origin_count = count;
    return true;
}

/* ---------- all of it ---------- */

static bool columns(SpanJoin *j) {
    return tree(j) && PLAIN(j, SCOPE_SPAN, ids) && PLAIN(j, SCOPE_SPAN, parent_ids) &&
           PLAIN(j, SCOPE_SPAN, starts_ns) && PLAIN(j, SCOPE_SPAN, durations_ns) &&
           PLAIN(j, SCOPE_SPAN, kinds) && PLAIN(j, SCOPE_SPAN, statuses) &&
           texts(j, SCOPE_SPAN, offsetof(SpanTable, names)) &&
           texts(j, SCOPE_SPAN, offsetof(SpanTable, messages)) &&
           texts(j, SCOPE_SPAN, offsetof(SpanTable, states)) &&
           rare(j, SCOPE_SPAN, offsetof(SpanTable, flags)) &&
           rare(j, SCOPE_SPAN, offsetof(SpanTable, dropped_attributes)) &&
           rare(j, SCOPE_SPAN, offsetof(SpanTable, dropped_events)) &&
           rare(j, SCOPE_SPAN, offsetof(SpanTable, dropped_links)) && origins(j);
}

static bool events_and_links(SpanJoin *j) {
    return starts(j, SCOPE_EVENT, offsetof(SpanTable, event_starts)) &&
           PLAIN(j, SCOPE_EVENT, event_times_ns) &&
           texts(j, SCOPE_EVENT, offsetof(SpanTable, event_names)) &&
           rare(j, SCOPE_EVENT, offsetof(SpanTable, event_dropped)) &&
           starts(j, SCOPE_LINK, offsetof(SpanTable, link_starts)) &&
           PLAIN(j, SCOPE_LINK, link_traces) && PLAIN(j, SCOPE_LINK, link_spans) &&
           texts(j, SCOPE_LINK, offsetof(SpanTable, link_states)) &&
           rare(j, SCOPE_LINK, offsetof(SpanTable, link_flags)) &&
           rare(j, SCOPE_LINK, offsetof(SpanTable, link_dropped));
}

ErrCode span_table_join(const SpanTableRange *ranges, size_t count, bool own, Arena *arena,
                        SpanTable *out, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(arena));
    SpanTable table = {.columns = SPAN_ALL};
    SpanJoin j = {.ranges = ranges,
                  .range_count = count,
                  .own = own,
                  .arena = arena,
                  .scratch = scratch,
                  .seed = random_u64(),
                  .out = &table};
    ErrCode code;

    if (scratch == NULL) return span_no_memory(err);
    origin_set_init(&j.origins, scratch, j.seed);
    code = take_traces(&j, err);
    if (code == ERR_OK && (!columns(&j) || !events_and_links(&j))) code = span_no_memory(err);
    if (code == ERR_OK) code = span_join_attributes(&j, err);
    origin_set_done(&j.origins);
    if (code == ERR_OK) *out = table;
    return code;
}
