/*
 * span_table.c: tables of spans from spans in full, and back.
 */
#include "common/block/span_table.h"

#include <string.h>

#include "common/base/random.h"
#include "common/block/span_build.h"

/* ---------- looking up ---------- */

uint32_t span_table_attribute(const SpanTable *table, AttributeScope scope, Str key,
                              const AttributeColumn **out) {
    uint32_t low = 0, high = table->attribute_count, count = 0;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const AttributeColumn *c = &table->attributes[middle];

        if (c->scope < scope || (c->scope == scope && str_compare(c->key, key) < 0))
            low = middle + 1;
        else
            high = middle;
    }
    while (low + count < table->attribute_count && table->attributes[low + count].scope == scope &&
           str_equal(table->attributes[low + count].key, key))
        count++;
    *out = count == 0 ? NULL : &table->attributes[low];
    return count;
}

uint32_t attribute_column_from(const AttributeColumn *column, uint32_t owner) {
    uint32_t low = 0, high = column->count;

    if (column->owners == NULL) return MIN(owner, column->count);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (column->owners[middle] < owner)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t attribute_column_find(const AttributeColumn *column, uint32_t owner) {
    uint32_t entry = attribute_column_from(column, owner);

    if (entry == column->count) return SPAN_NONE;
    return column->owners == NULL || column->owners[entry] == owner ? entry : SPAN_NONE;
}

/* ---------- building ---------- */

typedef struct Builder {
    const Span *spans; /* as they were given */
    Arena *arena;
    Arena *scratch;
    uint64_t seed;
    OriginSet origins;
    uint32_t *origin_of; /* by span */
    SpanOrder order;
    SpanTable *out;
    AttributeDrafts drafts;
    uint32_t *drawn; /* of each attribute in order, its draft */
    size_t attributes;
    uint32_t events;
    uint32_t links;
} Builder;

enum { AHEAD = 12, CACHE_LINE = 64 };

/* Rows lie anywhere in memory, and waiting for them would be most of the work: so who goes through
 * them asks for those to come. */
static const Span *span_of(const Builder *b, uint32_t row) {
    if (row + AHEAD < b->order.row_count) {
        const char *later = (const char *)&b->spans[b->order.spans[row + AHEAD]];

        for (size_t at = 0; at < sizeof(Span); at += CACHE_LINE) __builtin_prefetch(later + at);
    }
    return &b->spans[b->order.spans[row]];
}

/* Likewise attributes of a row, and with `texts` what is in those. */
static void expect_attributes(const Builder *b, uint32_t row, bool texts) {
    const Attributes *list;

    if (row + AHEAD / 2 < b->order.row_count) {
        list = &b->spans[b->order.spans[row + AHEAD / 2]].attributes;
        for (size_t at = 0; at < list->count * sizeof(Attribute); at += CACHE_LINE)
            __builtin_prefetch((const char *)list->items + at);
    }
    if (row + AHEAD / 4 >= b->order.row_count) return;
    list = &b->spans[b->order.spans[row + AHEAD / 4]].attributes;
    for (uint32_t i = 0; i < list->count; i++)
        __builtin_prefetch(texts ? list->items[i].text.ptr : list->items[i].key.ptr);
}

static ErrCode take_origins(Builder *b, uint32_t count, Error *err) {
    b->origin_of = ARENA_ARRAY(b->scratch, uint32_t, count + (size_t)1);
    if (b->origin_of == NULL) return span_no_memory(err);
    for (uint32_t i = 0; i < count; i++) {
        bool same = i > 0 && b->spans[i].origin == b->spans[i - 1].origin;

        b->origin_of[i] =
            same ? b->origin_of[i - 1] : origin_set_put(&b->origins, b->spans[i].origin);
    }
    return b->origins.failed ? span_no_memory(err) : ERR_OK;
}

/* Sizes of what hangs on spans. */
static ErrCode count_up(Builder *b, Error *err) {
    uint64_t events = 0, links = 0;

    for (uint32_t r = 0; r < b->order.row_count; r++) {
        const Span *s = span_of(b, r);

        events += s->event_count;
        links += s->link_count;
        b->attributes += s->attributes.count;
        for (uint32_t i = 0; i < s->event_count; i++)
            b->attributes += s->events[i].attributes.count;
        for (uint32_t i = 0; i < s->link_count; i++) b->attributes += s->links[i].attributes.count;
    }
    if (events >= UINT32_MAX || links >= UINT32_MAX)
        return error_set(err, ERR_LIMIT, "too many events or links for a table of spans");
    b->events = (uint32_t)events;
    b->links = (uint32_t)links;
    return ERR_OK;
}

typedef struct Texts {
    TextSet set;
    uint32_t *codes;
} Texts;

static Texts texts_new(Builder *b, uint32_t count) {
    return (Texts){{.scratch = b->scratch, .seed = b->seed},
                   ARENA_ARRAY(b->arena, uint32_t, count + (size_t)1)};
}

static ErrCode texts_done(const Builder *b, const Texts *texts, TextColumn *out, Error *err) {
    out->codes = texts->codes;
    out->dictionary = text_set_list(&texts->set, b->arena);
    out->distinct = texts->set.count;
    return texts->set.failed || out->dictionary == NULL ? span_no_memory(err) : ERR_OK;
}

/* Origins in the order of their first rows, without those that only doubles have. */
static ErrCode origin_columns(Builder *b, Error *err) {
    uint32_t rows = b->order.row_count, count = b->origins.origins.count, used = 0;
    uint32_t *origin_of = arena_alloc(b->arena, rows * sizeof *origin_of + 1);
    uint32_t *renumbered = arena_alloc(b->scratch, count * sizeof *renumbered + 1);
    const SpanOrigin **list = ARENA_ARRAY(b->arena, const SpanOrigin *, count + (size_t)1);

    if (origin_of == NULL || renumbered == NULL || list == NULL) return span_no_memory(err);
    memset(renumbered, 0xff, count * sizeof *renumbered);
    for (uint32_t r = 0; r < rows; r++) {
        uint32_t origin = b->origin_of[b->order.spans[r]];

        if (renumbered[origin] == SPAN_NONE) {
            renumbered[origin] = used;
            list[used++] = b->origins.list[origin];
        }
        origin_of[r] = renumbered[origin];
    }
    b->out->origin_of = origin_of;
    b->out->origins = list;
    b->out->origin_count = used;
    return ERR_OK;
}

static ErrCode fixed_columns(Builder *b, Error *err) {
    uint32_t rows = b->order.row_count;
    size_t n = rows + (size_t)1;
    uint64_t *ids = arena_alloc(b->arena, n * sizeof *ids);
    uint64_t *parent_ids = arena_alloc(b->arena, n * sizeof *parent_ids);
    int64_t *starts = arena_alloc(b->arena, n * sizeof *starts);
    int64_t *durations = arena_alloc(b->arena, n * sizeof *durations);
    uint8_t *kinds = arena_alloc(b->arena, n), *statuses = arena_alloc(b->arena, n);

    if (ids == NULL || parent_ids == NULL || starts == NULL || durations == NULL || kinds == NULL ||
        statuses == NULL)
        return span_no_memory(err);
    for (uint32_t r = 0; r < rows; r++) {
        const Span *s = span_of(b, r);

        ids[r] = s->id;
        parent_ids[r] = s->parent;
        starts[r] = s->start_ns;
        /* Wraps, like everything that is done with it. */
        durations[r] = (int64_t)((uint64_t)s->end_ns - (uint64_t)s->start_ns);
        kinds[r] = s->kind;
        statuses[r] = s->status;
    }
    b->out->ids = ids;
    b->out->parent_ids = parent_ids;
    b->out->starts_ns = starts;
    b->out->durations_ns = durations;
    b->out->kinds = kinds;
    b->out->statuses = statuses;
    return ERR_OK;
}

static ErrCode text_columns(Builder *b, Error *err) {
    uint32_t rows = b->order.row_count;
    Texts names = texts_new(b, rows), messages = texts_new(b, rows), states = texts_new(b, rows);

    if (names.codes == NULL || messages.codes == NULL || states.codes == NULL)
        return span_no_memory(err);
    for (uint32_t r = 0; r < rows; r++) {
        const Span *s = span_of(b, r);

        if (r + AHEAD / 2 < rows)
            __builtin_prefetch(b->spans[b->order.spans[r + AHEAD / 2]].name.ptr);
        names.codes[r] = text_set_put(&names.set, s->name);
        messages.codes[r] = text_set_put(&messages.set, s->status_message);
        states.codes[r] = text_set_put(&states.set, s->state);
    }
    TRY(texts_done(b, &names, &b->out->names, err));
    TRY(texts_done(b, &messages, &b->out->messages, err));
    return texts_done(b, &states, &b->out->states, err);
}

/* Numbers that are nearly always 0: there are none of them until one isn't. */
static bool put_rare(Arena *arena, const uint32_t **list, uint32_t count, uint32_t at,
                     uint32_t number) {
    uint32_t *numbers = (uint32_t *)*list;

    if (number == 0) return true;
    if (numbers == NULL) {
        numbers = ARENA_ARRAY(arena, uint32_t, count);
        if (numbers == NULL) return false;
        *list = numbers;
    }
    numbers[at] = number;
    return true;
}

static ErrCode rest_columns(Builder *b, Error *err) {
    SpanTable *t = b->out;

    for (uint32_t r = 0; r < t->row_count; r++) {
        const Span *s = span_of(b, r);

        if (!put_rare(b->arena, &t->flags, t->row_count, r, s->flags) ||
            !put_rare(b->arena, &t->dropped_attributes, t->row_count, r, s->attributes.dropped) ||
            !put_rare(b->arena, &t->dropped_events, t->row_count, r, s->dropped_events) ||
            !put_rare(b->arena, &t->dropped_links, t->row_count, r, s->dropped_links))
            return span_no_memory(err);
    }
    return ERR_OK;
}

static ErrCode event_columns(Builder *b, Error *err) {
    SpanTable *t = b->out;
    uint32_t *starts = arena_alloc(b->arena, (t->row_count + (size_t)1) * sizeof *starts);
    int64_t *times = ARENA_ARRAY(b->arena, int64_t, b->events + (size_t)1);
    Texts names = texts_new(b, b->events);
    uint32_t e = 0;

    if (starts == NULL || times == NULL || names.codes == NULL) return span_no_memory(err);
    for (uint32_t r = 0; r < t->row_count; r++) {
        const Span *s = span_of(b, r);

        starts[r] = e;
        for (uint32_t i = 0; i < s->event_count; i++, e++) {
            times[e] = s->events[i].time_ns;
            names.codes[e] = text_set_put(&names.set, s->events[i].name);
            if (!put_rare(b->arena, &t->event_dropped, b->events, e,
                          s->events[i].attributes.dropped))
                return span_no_memory(err);
        }
    }
    starts[t->row_count] = e;
    t->event_starts = starts;
    t->event_times_ns = times;
    t->event_count = e;
    return texts_done(b, &names, &t->event_names, err);
}

static ErrCode link_columns(Builder *b, Error *err) {
    SpanTable *t = b->out;
    uint32_t *starts = arena_alloc(b->arena, (t->row_count + (size_t)1) * sizeof *starts);
    TraceId *traces = ARENA_ARRAY(b->arena, TraceId, b->links + (size_t)1);
    uint64_t *spans = ARENA_ARRAY(b->arena, uint64_t, b->links + (size_t)1);
    Texts states = texts_new(b, b->links);
    uint32_t l = 0;

    if (starts == NULL || traces == NULL || spans == NULL || states.codes == NULL)
        return span_no_memory(err);
    for (uint32_t r = 0; r < t->row_count; r++) {
        const Span *s = span_of(b, r);

        starts[r] = l;
        for (uint32_t i = 0; i < s->link_count; i++, l++) {
            const SpanLink *link = &s->links[i];

            traces[l] = link->trace;
            spans[l] = link->span;
            states.codes[l] = text_set_put(&states.set, link->state);
            if (!put_rare(b->arena, &t->link_flags, b->links, l, link->flags) ||
                !put_rare(b->arena, &t->link_dropped, b->links, l, link->attributes.dropped))
                return span_no_memory(err);
        }
    }
    starts[t->row_count] = l;
    t->link_starts = starts;
    t->link_traces = traces;
    t->link_spans = spans;
    t->link_count = l;
    return texts_done(b, &states, &t->link_states, err);
}

/* Calls one of these for each attribute: spans', events', links', each row by row. */
static void draw(Builder *b, AttributeScope scope, const Attributes *list, uint32_t owner,
                 size_t *at) {
    for (uint32_t i = 0; i < list->count; i++)
        b->drawn[(*at)++] = attribute_drafts_add(&b->drafts, scope, &list->items[i], owner);
}

static void fill(const Builder *b, AttributeFill *fills, const Attributes *list, uint32_t owner,
                 size_t *at) {
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t draft = b->drawn[(*at)++];

        if (draft != SPAN_NONE) attribute_fill(&fills[draft], &list->items[i], owner);
    }
}

/* `fills` NULL: draws. */
static void each_attribute(Builder *b, AttributeFill *fills) {
    uint32_t rows = b->order.row_count, event = 0, link = 0;
    size_t at = 0;

    for (uint32_t r = 0; r < rows; r++) {
        const Span *s = span_of(b, r);

        expect_attributes(b, r, fills != NULL);
        if (fills == NULL)
            draw(b, SCOPE_SPAN, &s->attributes, r, &at);
        else
            fill(b, fills, &s->attributes, r, &at);
        for (uint32_t i = 0; i < s->event_count; i++, event++) {
            if (fills == NULL)
                draw(b, SCOPE_EVENT, &s->events[i].attributes, event, &at);
            else
                fill(b, fills, &s->events[i].attributes, event, &at);
        }
        for (uint32_t i = 0; i < s->link_count; i++, link++) {
            if (fills == NULL)
                draw(b, SCOPE_LINK, &s->links[i].attributes, link, &at);
            else
                fill(b, fills, &s->links[i].attributes, link, &at);
        }
    }
}

static ErrCode attribute_columns(Builder *b, Error *err) {
    uint32_t owners[4] = {0, b->order.row_count, b->events, b->links};
    AttributeColumn *columns;
    AttributeFill *fills;

    b->drawn = ARENA_ARRAY(b->scratch, uint32_t, b->attributes + 1);
    if (b->drawn == NULL) return span_no_memory(err);
    attribute_drafts_init(&b->drafts, b->scratch, b->seed);
    each_attribute(b, NULL);
    TRY(attribute_fills_new(&b->drafts, owners, b->arena, &fills, &columns, err));
    each_attribute(b, fills);
    TRY(attribute_fills_done(fills, b->drafts.count, b->arena, err));
    b->out->attributes = columns;
    b->out->attribute_count = b->drafts.count;
    return ERR_OK;
}

static ErrCode build(Builder *b, uint32_t count, Error *err) {
    SpanTable *t = b->out;

    TRY(take_origins(b, count, err));
    TRY(span_order_make(b->spans, count, b->origin_of, &b->origins, b->scratch, b->arena, &b->order,
                        err));
    TRY(count_up(b, err));
    t->traces = b->order.traces;
    t->trace_count = b->order.trace_count;
    t->row_count = b->order.row_count;
    t->columns = SPAN_ALL;
    t->parents = b->order.parents;
    t->ends = b->order.ends;
    t->rooted = b->order.rooted;
    TRY(origin_columns(b, err));
    TRY(fixed_columns(b, err));
    TRY(text_columns(b, err));
    TRY(rest_columns(b, err));
    TRY(event_columns(b, err));
    TRY(link_columns(b, err));
    return attribute_columns(b, err);
}

ErrCode span_table_build(const Span *spans, size_t count, Arena *arena, SpanTable *out,
                         Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(arena));
    SpanTable table = {0};
    Builder b = {.spans = spans, .arena = arena, .scratch = scratch, .out = &table};
    ErrCode code;

    if (scratch == NULL) return span_no_memory(err);
    if (count >= SPAN_ORPHAN / 8)
        return error_set(err, ERR_LIMIT, "too many spans for a table: %zu", count);
    b.seed = random_u64();
    origin_set_init(&b.origins, scratch, b.seed);
    code = build(&b, (uint32_t)count, err);
    origin_set_done(&b.origins);
    if (code == ERR_OK) *out = table;
    return code;
}
