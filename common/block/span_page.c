/*
 * span_page.c: columns of a page into a table.
 *
 * A column's checksum says that it is what was written; that what was written makes sense is
 * looked at all the same: no row, code or parent that is in a table leads out of it.
 */
#include "common/block/span_page.h"

#include <string.h>

#include "common/block/span_codec.h"

typedef struct Decoder {
    const SpanDirectory *d;
    Arena *arena;
    SpanTable *t;
    SpanTake take; /* the column at hand */
} Decoder;

/* ---------- columns ---------- */

static const SpanColumn *find_column(const SpanDirectory *d, SpanColumnKind kind) {
    for (uint32_t i = 0; i < d->count; i++) {
        if (d->columns[i].kind == kind) return &d->columns[i];
    }
    return NULL;
}

static ErrCode failed(const Decoder *d, Error *err) {
    if (d->take.code == ERR_LIMIT)
        return error_set(err, ERR_LIMIT, "no memory for a page of spans");
    return error_set(err, d->take.code, "page of spans: %s", d->take.what);
}

static bool open_column(Decoder *d, const SpanColumn *column) {
    if (column == NULL) return span_take_fail(&d->take, ERR_CORRUPT, "a column is missing");
    if (column->bytes == NULL)
        return span_take_fail(&d->take, ERR_INTERNAL, "a column was not fetched");
    if ((uint32_t)hash_bytes(column->bytes, column->stored) != column->checksum)
        return span_take_fail(&d->take, ERR_CORRUPT, "a column's checksum is wrong");
    d->take.r = reader_of((Str){column->bytes, column->stored});
    return true;
}

static bool open_kind(Decoder *d, SpanColumnKind kind) {
    return open_column(d, find_column(d->d, kind));
}

/* The column was read to its end, and what was in it can be had. */
static bool close_column(Decoder *d) {
    if (d->take.code != ERR_OK) return false;
    if (d->take.r.failed || !reader_at_end(&d->take.r))
        return span_take_fail(&d->take, ERR_CORRUPT, "a column is not of its length");
    return true;
}

static void *memory(Decoder *d, size_t count, size_t element) {
    void *list = arena_alloc(d->arena, count * element + 16);

    if (list == NULL) (void)span_take_fail(&d->take, ERR_LIMIT, "no memory");
    return list;
}

/* A part that is an array of `count` elements, aligned as they must be. */
static void *take_array(Decoder *d, size_t count, size_t element) {
    void *list = memory(d, count, element);
    Str raw;

    if (list == NULL || !span_take_part(&d->take, &raw)) return NULL;
    if (raw.len != count * element) {
        (void)span_take_fail(&d->take, ERR_CORRUPT, "a part is of another size");
        return NULL;
    }
    if (raw.len > 0) memcpy(list, raw.ptr, raw.len);
    return list;
}

/* ---------- traces ---------- */

static bool take_traces(Decoder *d) {
    uint32_t n = d->d->traces, row = 0;
    const TraceId *ids;
    const int64_t *counts, *starts, *lengths;
    TraceRow *list = memory(d, n, sizeof *list);

    if (list == NULL || !open_kind(d, SPAN_COLUMN_TRACES)) return false;
    ids = take_array(d, n, sizeof *ids);
    counts = span_take_ints(&d->take, n);
    starts = span_take_times(&d->take, n);
    lengths = span_take_times(&d->take, n);
    if (!close_column(d)) return false;
    for (uint32_t i = 0; i < n; i++) {
        if (counts[i] <= 0 || counts[i] > (int64_t)(d->d->rows - row))
            return span_take_fail(&d->take, ERR_CORRUPT, "traces of too many spans");
        list[i] = (TraceRow){.id = ids[i],
                             .first = row,
                             .count = (uint32_t)counts[i],
                             .start_ns = starts[i],
                             .end_ns = (int64_t)((uint64_t)starts[i] + (uint64_t)lengths[i])};
        row += list[i].count;
    }
    if (row != d->d->rows) return span_take_fail(&d->take, ERR_CORRUPT, "spans of no trace");
    d->t->traces = list;
    d->t->trace_count = n;
    d->t->row_count = row;
    return true;
}

/* ---------- the tree ---------- */

/* Orphans come last of those on top. False: there are fewer. */
static bool mark_orphans(const TraceRow *trace, uint32_t orphans, uint32_t *parents) {
    for (uint32_t r = trace->first + trace->count; orphans > 0 && r-- > trace->first;) {
        if (parents[r] != SPAN_ROOT) continue;
        parents[r] = SPAN_ORPHAN;
        orphans--;
    }
    return orphans == 0;
}

/* path[d] is the row at depth d above the one at hand, from 1 on; whoever is at depth 0 is on top.
 * False: a step leads past it. */
static bool climb(const TraceRow *trace, const uint32_t *steps, uint32_t *path, uint32_t *parents) {
    uint32_t depth = 0;

    path[0] = SPAN_ROOT;
    for (uint32_t r = trace->first; r < trace->first + trace->count; r++) {
        if (steps[r] > depth) return false;
        depth -= steps[r];
        parents[r] = path[depth];
        path[++depth] = r;
    }
    return true;
}

static bool take_tree(Decoder *d) {
    const uint32_t *steps, *orphans = NULL;
    uint32_t rows = d->d->rows, *parents = memory(d, rows, sizeof *parents),
             *ends = memory(d, rows, sizeof *ends);
    uint32_t *path = memory(d, rows + (size_t)1, sizeof *path);
    uint8_t *rooted = memory(d, rows, 1);

    if (rooted == NULL || path == NULL || ends == NULL || parents == NULL ||
        !open_kind(d, SPAN_COLUMN_TREE))
        return false;
    steps = span_take_small(&d->take, rows);
    (void)span_take_rare(&d->take, d->d->traces, &orphans);
    if (!close_column(d)) return false;
    for (uint32_t i = 0; i < d->d->traces; i++) {
        const TraceRow *trace = &d->t->traces[i];

        if (!climb(trace, steps, path, parents) ||
            (orphans != NULL && !mark_orphans(trace, orphans[i], parents)))
            return span_take_fail(&d->take, ERR_CORRUPT, "spans are no tree");
        span_order_ends(parents, trace->first, trace->count, ends, rooted);
    }
    d->t->parents = parents;
    d->t->ends = ends;
    d->t->rooted = rooted;
    return true;
}

/* ---------- spans ---------- */

static bool take_starts(Decoder *d) {
    int64_t *starts;

    if (!open_kind(d, SPAN_COLUMN_STARTS)) return false;
    starts = span_take_times(&d->take, d->d->rows);
    if (!close_column(d)) return false;
    for (uint32_t i = 0; i < d->d->traces; i++) {
        const TraceRow *trace = &d->t->traces[i];

        for (uint32_t r = trace->first; r < trace->first + trace->count; r++)
            starts[r] = (int64_t)((uint64_t)starts[r] + (uint64_t)trace->start_ns);
    }
    d->t->starts_ns = starts;
    return true;
}

static bool take_origin_list(Decoder *d) {
    SpanOrigin *resources = NULL, *list = NULL;
    const SpanOrigin **pointers = NULL;
    uint64_t resource_count, count;
    Str raw, scopes;
    Reader r;

    if (!open_kind(d, SPAN_COLUMN_ORIGINS)) return false;
    resource_count = reader_varint(&d->take.r);
    count = reader_varint(&d->take.r);
    if (!span_take_part(&d->take, &raw) || !span_take_part(&d->take, &scopes) || !close_column(d))
        return false;
    /* A resource takes three bytes at least, an origin six. */
    if (resource_count > raw.len / 3 || count > scopes.len / 6)
        return span_take_fail(&d->take, ERR_CORRUPT, "too many origins");
    resources = ARENA_ARRAY(d->arena, SpanOrigin, resource_count + 1);
    list = ARENA_ARRAY(d->arena, SpanOrigin, count + 1);
    pointers = ARENA_ARRAY(d->arena, const SpanOrigin *, count + 1);
    if (resources == NULL || list == NULL || pointers == NULL)
        return span_take_fail(&d->take, ERR_LIMIT, "no memory");
    r = reader_of(raw);
    for (uint64_t i = 0; i < resource_count; i++) {
        if (!span_resource_take(&r, d->arena, &resources[i]))
            return span_take_fail(&d->take, ERR_LIMIT, "no memory");
    }
    if (r.failed || !reader_at_end(&r))
        return span_take_fail(&d->take, ERR_CORRUPT, "bad resources");
    r = reader_of(scopes);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t resource = reader_varint(&r);

        if (resource >= resource_count)
            return span_take_fail(&d->take, ERR_CORRUPT, "an origin of no resource");
        list[i] = resources[resource];
        pointers[i] = &list[i];
        if (!span_scope_take(&r, d->arena, &list[i]))
            return span_take_fail(&d->take, ERR_LIMIT, "no memory");
    }
    if (r.failed || !reader_at_end(&r)) return span_take_fail(&d->take, ERR_CORRUPT, "bad scopes");
    d->t->origins = pointers;
    d->t->origin_count = (uint32_t)count;
    return true;
}

static bool take_origins(Decoder *d) {
    const uint32_t *codes;

    if (!take_origin_list(d) || !open_kind(d, SPAN_COLUMN_ORIGIN_OF)) return false;
    codes = span_take_codes(&d->take, d->d->rows, d->t->origin_count);
    if (!close_column(d)) return false;
    d->t->origin_of = codes;
    return true;
}

static bool take_names(Decoder *d) {
    TextColumn names = {0};

    if (!open_kind(d, SPAN_COLUMN_NAMES)) return false;
    names.dictionary = span_take_dictionary(&d->take, &names.distinct);
    if (!close_column(d) || !open_kind(d, SPAN_COLUMN_NAME_OF)) return false;
    names.codes = span_take_codes(&d->take, d->d->rows, names.distinct);
    if (!close_column(d)) return false;
    d->t->names = names;
    return true;
}

/* The parent's id is that of the row it is in; what is none has 0, and of orphans it is stored. */
static bool take_parent_ids(Decoder *d) {
    const uint32_t *parents = d->t->parents;
    uint32_t rows = d->d->rows, orphans = 0, at = 0;
    uint64_t *list = memory(d, rows, sizeof *list);
    const uint64_t *others;

    if (list == NULL || !open_kind(d, SPAN_COLUMN_PARENT_IDS)) return false;
    for (uint32_t r = 0; r < rows; r++) orphans += parents[r] == SPAN_ORPHAN;
    others = take_array(d, orphans, sizeof *others);
    if (!close_column(d)) return false;
    for (uint32_t r = 0; r < rows; r++) {
        if (parents[r] < SPAN_ORPHAN)
            list[r] = d->t->ids[parents[r]];
        else
            list[r] = parents[r] == SPAN_ROOT ? 0 : others[at++];
    }
    d->t->parent_ids = list;
    return true;
}

/* ---------- events, links, and the rest ---------- */

static const uint32_t *no_starts(Decoder *d) {
    return ARENA_ARRAY(d->arena, uint32_t, d->d->rows + (size_t)1);
}

static bool no_texts(Decoder *d, TextColumn *out) {
    *out = (TextColumn){memory(d, 1, sizeof(uint32_t)), memory(d, 1, sizeof(Str)), 0};
    return out->codes != NULL && out->dictionary != NULL;
}

/* Of the row r: [starts[r], starts[r + 1]) of `count`. */
static const uint32_t *take_counts(Decoder *d, uint32_t count) {
    const uint32_t *starts = span_take_starts(&d->take, d->d->rows, count);

    if (starts == NULL) return NULL;
    if (starts[d->d->rows] != count) {
        (void)span_take_fail(&d->take, ERR_CORRUPT, "parts of spans don't add up");
        return NULL;
    }
    return starts;
}

static bool take_events(Decoder *d) {
    SpanTable *t = d->t;
    uint32_t n = d->d->events;
    const uint32_t *starts;
    int64_t *times;

    if (n == 0) {
        t->event_starts = no_starts(d);
        t->event_times_ns = memory(d, 1, sizeof *t->event_times_ns);
        if (t->event_starts == NULL || t->event_times_ns == NULL || !no_texts(d, &t->event_names))
            return span_take_fail(&d->take, ERR_LIMIT, "no memory");
        return true;
    }
    if (!open_kind(d, SPAN_COLUMN_EVENTS)) return false;
    starts = take_counts(d, n);
    times = starts == NULL ? NULL : span_take_times(&d->take, n);
    if (times == NULL || !span_take_texts(&d->take, n, &t->event_names) ||
        !span_take_rare(&d->take, n, &t->event_dropped) || !close_column(d))
        return false;
    for (uint32_t r = 0; r < d->d->rows; r++) {
        for (uint32_t i = starts[r]; i < starts[r + 1]; i++)
            times[i] = (int64_t)((uint64_t)times[i] + (uint64_t)t->starts_ns[r]);
    }
    t->event_starts = starts;
    t->event_times_ns = times;
    t->event_count = n;
    return true;
}

static bool take_links(Decoder *d) {
    SpanTable *t = d->t;
    uint32_t n = d->d->links;
    const uint32_t *starts;

    if (n == 0) {
        t->link_starts = no_starts(d);
        t->link_traces = memory(d, 1, sizeof *t->link_traces);
        t->link_spans = memory(d, 1, sizeof *t->link_spans);
        if (t->link_starts == NULL || t->link_traces == NULL || t->link_spans == NULL ||
            !no_texts(d, &t->link_states))
            return span_take_fail(&d->take, ERR_LIMIT, "no memory");
        return true;
    }
    if (!open_kind(d, SPAN_COLUMN_LINKS)) return false;
    starts = take_counts(d, n);
    t->link_traces = starts == NULL ? NULL : take_array(d, n, sizeof *t->link_traces);
    t->link_spans = t->link_traces == NULL ? NULL : take_array(d, n, sizeof *t->link_spans);
    if (t->link_spans == NULL || !span_take_texts(&d->take, n, &t->link_states) ||
        !span_take_rare(&d->take, n, &t->link_flags) ||
        !span_take_rare(&d->take, n, &t->link_dropped) || !close_column(d))
        return false;
    t->link_starts = starts;
    t->link_count = n;
    return true;
}

static bool take_rest(Decoder *d) {
    uint32_t rows = d->d->rows;

    return open_kind(d, SPAN_COLUMN_REST) && span_take_texts(&d->take, rows, &d->t->states) &&
           span_take_rare(&d->take, rows, &d->t->flags) &&
           span_take_rare(&d->take, rows, &d->t->dropped_attributes) &&
           span_take_rare(&d->take, rows, &d->t->dropped_events) &&
           span_take_rare(&d->take, rows, &d->t->dropped_links) && close_column(d);
}

/* ---------- attributes ---------- */

typedef struct Owners {
    const uint32_t *list;
    uint32_t count;
} Owners;

static uint32_t owners_there(const SpanDirectory *d, uint8_t scope) {
    return scope == SCOPE_SPAN ? d->rows : scope == SCOPE_EVENT ? d->events : d->links;
}

static bool find_owners(Decoder *d, const SpanColumn *column, Owners *sets, AttributeColumn *out) {
    uint32_t of = owners_there(d->d, column->scope);
    Owners *set = column->owners == SPAN_OWNERS_ALL ? NULL : &sets[column->owners];

    out->count = of;
    if (set == NULL)
        return of > 0 || span_take_fail(&d->take, ERR_CORRUPT, "an attribute of nothing");
    if (set->list == NULL) {
        if (!open_column(d, &d->d->columns[column->owners])) return false;
        set->list = span_take_owners(&d->take, of, &set->count);
        if (!close_column(d)) return false;
    }
    out->count = set->count;
    out->owners = set->count == of ? NULL : set->list;
    return true;
}

static bool take_attribute(Decoder *d, const SpanColumn *column, Owners *sets,
                           AttributeColumn *out) {
    size_t n;

    *out = (AttributeColumn){.key = column->key, .scope = column->scope, .type = column->type};
    if (!find_owners(d, column, sets, out) || !open_column(d, column)) return false;
    n = out->count;
    if (attribute_is_array(out->type)) {
        out->starts = span_take_starts(&d->take, n, SPAN_ELEMENTS_MAX);
        if (out->starts == NULL) return false;
        n = out->starts[n];
    }
    if (attribute_is_text(out->type))
        (void)span_take_texts(&d->take, n, &out->texts);
    else if (out->type == ATTRIBUTE_BOOL || out->type == ATTRIBUTE_BOOLS)
        out->truths = span_take_truths(&d->take, n);
    else
        out->integers = span_take_numbers(
            &d->take, n, out->type == ATTRIBUTE_DOUBLE || out->type == ATTRIBUTE_DOUBLES);
    return close_column(d);
}

static bool is_column(const AttributeColumn *there, const SpanColumn *column) {
    return there->scope == column->scope && there->type == column->type &&
           str_equal(there->key, column->key);
}

/* What is there already stays as it is; all of it keeps its order. */
static bool take_attributes(Decoder *d, const SpanNeed *need) {
    uint32_t wanted = 0, n = 0, there = 0;
    AttributeColumn *list;
    Owners *sets;

    for (uint32_t i = 0; i < d->d->count; i++)
        wanted += d->d->columns[i].kind == SPAN_COLUMN_ATTRIBUTE &&
                  span_column_needed(&d->d->columns[i], need);
    if (wanted == 0) return true;
    list = ARENA_ARRAY(d->arena, AttributeColumn, wanted + (size_t)d->t->attribute_count);
    sets = ARENA_ARRAY(d->arena, Owners, d->d->count);
    if (list == NULL || sets == NULL) return span_take_fail(&d->take, ERR_LIMIT, "no memory");
    for (uint32_t i = 0; i < d->d->count; i++) {
        const SpanColumn *column = &d->d->columns[i];

        if (column->kind != SPAN_COLUMN_ATTRIBUTE) continue;
        if (there < d->t->attribute_count && is_column(&d->t->attributes[there], column))
            list[n++] = d->t->attributes[there++];
        else if (span_column_needed(column, need) && !take_attribute(d, column, sets, &list[n++]))
            return false;
    }
    d->t->attributes = list;
    d->t->attribute_count = n;
    return true;
}

/* ---------- pages ---------- */

static bool take_bytes(Decoder *d, SpanColumnKind kind, const uint8_t **out) {
    if (!open_kind(d, kind)) return false;
    *out = span_take_bytes(&d->take, d->d->rows);
    return close_column(d);
}

static bool take_durations(Decoder *d) {
    if (!open_kind(d, SPAN_COLUMN_DURATIONS)) return false;
    d->t->durations_ns = span_take_times(&d->take, d->d->rows);
    return close_column(d);
}

static bool take_ids(Decoder *d) {
    if (!open_kind(d, SPAN_COLUMN_IDS)) return false;
    d->t->ids = take_array(d, d->d->rows, sizeof *d->t->ids);
    return close_column(d);
}

static bool take_messages(Decoder *d) {
    return open_kind(d, SPAN_COLUMN_MESSAGES) &&
           span_take_texts(&d->take, d->d->rows, &d->t->messages) && close_column(d);
}

static bool take_column(Decoder *d, SpanColumns which) {
    switch (which) {
    case SPAN_IDS:
        return take_ids(d);
    case SPAN_STARTS:
        return take_starts(d);
    case SPAN_DURATIONS:
        return take_durations(d);
    case SPAN_NAMES:
        return take_names(d);
    case SPAN_KINDS:
        return take_bytes(d, SPAN_COLUMN_KINDS, &d->t->kinds);
    case SPAN_STATUSES:
        return take_bytes(d, SPAN_COLUMN_STATUSES, &d->t->statuses);
    case SPAN_MESSAGES:
        return take_messages(d);
    case SPAN_PARENTS:
        return take_tree(d);
    case SPAN_PARENT_IDS:
        return take_parent_ids(d);
    case SPAN_ORIGINS:
        return take_origins(d);
    case SPAN_EVENTS:
        return take_events(d);
    case SPAN_LINKS:
        return take_links(d);
    default:
        return take_rest(d);
    }
}

static bool decode(Decoder *d, const SpanNeed *need) {
    /* What others are made of comes before them. */
    static const SpanColumns order[] = {
        SPAN_IDS,      SPAN_STARTS,  SPAN_DURATIONS,  SPAN_NAMES,   SPAN_KINDS,
        SPAN_STATUSES, SPAN_PARENTS, SPAN_PARENT_IDS, SPAN_ORIGINS, SPAN_EVENTS,
        SPAN_LINKS,    SPAN_REST,    SPAN_MESSAGES};
    unsigned wanted = span_columns_with(need->columns);

    if (d->t->traces == NULL && !take_traces(d)) return false;
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        if ((wanted & order[i]) == 0 || (d->t->columns & order[i]) != 0) continue;
        if (!take_column(d, order[i])) return false;
        d->t->columns |= order[i];
    }
    return take_attributes(d, need);
}

ErrCode span_page_decode(const SpanDirectory *directory, const SpanNeed *need, Arena *arena,
                         SpanTable *table, Error *err) {
    SpanTable t = *table;
    Decoder d = {.d = directory, .arena = arena, .t = &t, .take = {.arena = arena}};
    /* Whoever has the table may have taken traces out; columns are of all that the page has. */
    bool cut = t.traces != NULL && t.trace_count != directory->traces;

    if (cut) t.traces = NULL;
    if (!decode(&d, need)) return failed(&d, err);
    if (cut) {
        t.traces = table->traces;
        t.trace_count = table->trace_count;
    }
    *table = t;
    return ERR_OK;
}

ErrCode span_page_decode_trace(const SpanDirectory *directory, const TraceId *trace, Arena *arena,
                               SpanTable *table, bool *found, Error *err) {
    static const SpanNeed only_traces = {0}, all = {.columns = SPAN_ALL, .all_keys = true};
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(arena));
    SpanTable page = {0};
    SpanTableRange range = {&page, 0, 1};

    if (scratch == NULL) return error_set(err, ERR_LIMIT, "no memory for a page of spans");
    TRY(span_page_decode(directory, &only_traces, scratch, &page, err));
    while (range.first < page.trace_count && !trace_id_equal(&page.traces[range.first].id, trace))
        range.first++;
    *found = range.first < page.trace_count;
    if (!*found) return ERR_OK;
    TRY(span_page_decode(directory, &all, scratch, &page, err));
    return span_table_join(&range, 1, true, arena, table, err);
}
