#pragma once
/*
 * spans_model.h: spans made up from a seed, with everything in them that a span can have, and what
 * must be true of any table of them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/block/spans.h"
#include "tests/unit/unit.h"

typedef struct SpansModel {
    Arena *arena;
    uint64_t state;
    const SpanOrigin **origins;
    uint32_t origin_count;
    Span *spans;
    uint32_t count;
} SpansModel;

static inline uint64_t model_next(SpansModel *m) {
    uint64_t z = m->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline uint32_t model_below(SpansModel *m, uint32_t n) {
    return (uint32_t)(model_next(m) % n);
}

static inline Str model_text(SpansModel *m, uint32_t kinds) {
    switch (model_below(m, 8)) {
    case 0:
        return (Str){"", 0};
    case 1:
        return (Str){"with \0 a NUL and \xff", 18};
    case 2:
        return str_format(m->arena, "%016llx", (unsigned long long)model_next(m));
    default:
        return str_format(m->arena, "text-%u", model_below(m, kinds));
    }
}

/* Any bits: infinities, both zeros and NaNs with payloads among them. */
static inline double model_double(SpansModel *m) {
    static const uint64_t special[] = {0,
                                       UINT64_C(1) << 63,
                                       UINT64_C(0x7ff0000000000000),
                                       UINT64_C(0x7ff8000000000000),
                                       UINT64_C(0x7ff4dead0000beef),
                                       UINT64_C(0xfff8000000000001)};
    uint64_t bits = model_next(m);
    double v;

    if (model_below(m, 3) == 0) bits = special[model_below(m, ARRAY_LEN(special))];
    memcpy(&v, &bits, sizeof v);
    return model_below(m, 3) == 0 ? (double)model_below(m, 1000) / 8 : v;
}

static inline int64_t model_int(SpansModel *m) {
    switch (model_below(m, 4)) {
    case 0:
        return (int64_t)model_next(m);
    case 1:
        return model_below(m, 2) == 0 ? INT64_MIN : INT64_MAX;
    default:
        return (int64_t)model_below(m, 1000) - 100;
    }
}

static inline void model_array(SpansModel *m, Attribute *a) {
    a->count = 1 + model_below(m, 4);
    Str *texts = ARENA_ARRAY(m->arena, Str, a->count);
    bool *truths = ARENA_ARRAY(m->arena, bool, a->count);
    int64_t *integers = ARENA_ARRAY(m->arena, int64_t, a->count);
    double *numbers = ARENA_ARRAY(m->arena, double, a->count);

    for (uint32_t i = 0; i < a->count; i++) {
        texts[i] = model_text(m, 20);
        truths[i] = model_below(m, 2) == 0;
        integers[i] = model_int(m);
        numbers[i] = model_double(m);
    }
    if (a->type == ATTRIBUTE_STRINGS) a->texts = texts;
    if (a->type == ATTRIBUTE_BOOLS) a->truths = truths;
    if (a->type == ATTRIBUTE_INTS) a->integers = integers;
    if (a->type == ATTRIBUTE_DOUBLES) a->numbers = numbers;
}

static inline Attribute model_attribute(SpansModel *m, Str key, uint8_t type) {
    Attribute a = {.key = key, .type = type};

    if (type == ATTRIBUTE_BOOL)
        a.truth = model_below(m, 2) == 0;
    else if (type == ATTRIBUTE_INT)
        a.integer = model_int(m);
    else if (type == ATTRIBUTE_DOUBLE)
        a.number = model_double(m);
    else if (type >= ATTRIBUTE_STRINGS && type <= ATTRIBUTE_DOUBLES)
        model_array(m, &a);
    else
        a.text = model_text(m, 20);
    return a;
}

static inline Attributes model_attributes(SpansModel *m, uint32_t count_max) {
    Attributes list = {.count = model_below(m, count_max + 1),
                       .dropped = model_below(m, 5) == 0 ? model_below(m, 9) : 0};
    Attribute *items = ARENA_ARRAY(m->arena, Attribute, list.count + 1);

    /* Keys with types of their own, keys of any type, and now and then one that is there twice. */
    for (uint32_t i = 0; i < list.count; i++) {
        uint32_t n = model_below(m, 24);
        uint8_t type = (uint8_t)(1 + (n < 16 ? n % 10 : model_below(m, 10)));

        items[i] = model_attribute(m, str_format(m->arena, "key.%u", n), type);
    }
    list.items = items;
    return list;
}

static inline const SpanOrigin *model_origin(SpansModel *m, uint32_t n) {
    SpanOrigin *o = ARENA_NEW(m->arena, SpanOrigin);
    Attributes more = model_attributes(m, 6);
    Attribute *items = ARENA_ARRAY(m->arena, Attribute, more.count + 1);
    uint32_t count = 0;

    if (n % 5 != 4) {
        items[count++] = (Attribute){.key = STR("service.name"),
                                     .type = ATTRIBUTE_STRING,
                                     .text = str_format(m->arena, "service-%u", n / 2)};
        o->service = items[0].text;
    }
    for (uint32_t i = 0; i < more.count; i++) items[count++] = more.items[i];
    o->resource = (Attributes){items, count, more.dropped};
    o->resource_schema = n % 3 == 0 ? STR("https://schema/1") : STR("");
    o->scope_name = str_format(m->arena, "scope-%u", n % 3);
    o->scope_version = n % 2 == 0 ? STR("1.0") : STR("");
    o->scope = model_attributes(m, 2);
    o->scope_schema = n % 7 == 0 ? STR("https://schema/2") : STR("");
    return o;
}

static inline Span model_span(SpansModel *m, const TraceId *trace, uint64_t id, uint64_t parent) {
    Span s = {.trace = *trace, .id = id, .parent = parent};

    s.start_ns = INT64_C(1700000000000000000) + model_below(m, 1 << 30);
    s.end_ns = s.start_ns + (model_below(m, 10) == 0 ? 0 : model_below(m, 1 << 28));
    s.kind = (uint8_t)model_below(m, 6);
    s.status = (uint8_t)model_below(m, 3);
    s.flags = model_below(m, 4) == 0 ? (uint32_t)model_next(m) : 0;
    s.dropped_events = model_below(m, 10) == 0 ? model_below(m, 100) : 0;
    s.dropped_links = model_below(m, 10) == 0 ? UINT32_MAX : 0;
    s.name = model_text(m, 10);
    s.status_message = model_below(m, 5) == 0 ? model_text(m, 5) : STR("");
    s.state = model_below(m, 7) == 0 ? model_text(m, 3) : STR("");
    s.attributes = model_attributes(m, 9);
    s.event_count = model_below(m, 3) == 0 ? model_below(m, 4) : 0;
    s.link_count = model_below(m, 5) == 0 ? model_below(m, 3) : 0;
    s.origin = m->origins[model_below(m, m->origin_count)];
    return s;
}

static inline void model_events_and_links(SpansModel *m, Span *s) {
    SpanEvent *events = ARENA_ARRAY(m->arena, SpanEvent, s->event_count + 1);
    SpanLink *links = ARENA_ARRAY(m->arena, SpanLink, s->link_count + 1);

    for (uint32_t i = 0; i < s->event_count; i++)
        events[i] =
            (SpanEvent){s->start_ns + model_int(m) / 4, model_text(m, 4), model_attributes(m, 3)};
    for (uint32_t i = 0; i < s->link_count; i++) {
        links[i] = (SpanLink){.span = model_next(m),
                              .state = model_below(m, 2) == 0 ? STR("") : model_text(m, 2),
                              .flags = model_below(m, 2),
                              .attributes = model_attributes(m, 2)};
        for (int k = 0; k < 16; k++) links[i].trace.bytes[k] = (uint8_t)model_next(m);
    }
    s->events = events;
    s->links = links;
}

/* Spans of about `traces` traces, mixed: trees, orphans, several roots, cycles, doubles. */
static inline void spans_model_make(SpansModel *m, Arena *arena, uint64_t seed, uint32_t count,
                                    uint32_t traces) {
    TraceId *ids;
    uint64_t *last;

    *m = (SpansModel){.arena = arena, .state = seed, .origin_count = 7, .count = count};
    m->origins = ARENA_ARRAY(arena, const SpanOrigin *, m->origin_count);
    m->spans = ARENA_ARRAY(arena, Span, count + 1);
    ids = ARENA_ARRAY(arena, TraceId, traces);
    last = ARENA_ARRAY(arena, uint64_t, traces * 4);
    assert_non_null(last);
    for (uint32_t i = 0; i < m->origin_count; i++) m->origins[i] = model_origin(m, i);
    for (uint32_t i = 0; i < traces; i++) {
        for (int k = 0; k < 16; k++) ids[i].bytes[k] = (uint8_t)model_next(m);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t trace = model_below(m, traces), kind = model_below(m, 40);
        uint64_t *seen = last + trace * 4, parent = seen[model_below(m, 4)], id = model_next(m);

        if (kind == 0) parent = 0;
        if (kind == 1) parent = model_next(m);     /* of whom nobody has heard */
        if (kind == 2) parent = id;                /* its own */
        if (kind == 3 && parent != 0) id = parent; /* a double, or one more of this id */
        m->spans[i] = model_span(m, &ids[trace], id, parent);
        if (kind == 4 && i > 0) {
            m->spans[i].id = m->spans[i - 1].parent; /* perhaps a cycle */
            m->spans[i].parent = m->spans[i - 1].id;
            m->spans[i].trace = m->spans[i - 1].trace;
            if (m->spans[i].id == 0) m->spans[i].id = id;
        }
        model_events_and_links(m, &m->spans[i]);
        seen[model_below(m, 4)] = id;
    }
}

/* ---------- comparing ---------- */

static inline bool same_double(double a, double b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

static inline bool same_value(const Attribute *a, const Attribute *b) {
    if (a->type != b->type || !str_equal(a->key, b->key)) return false;
    if (a->type == ATTRIBUTE_BOOL) return a->truth == b->truth;
    if (a->type == ATTRIBUTE_INT) return a->integer == b->integer;
    if (a->type == ATTRIBUTE_DOUBLE) return same_double(a->number, b->number);
    if (a->type < ATTRIBUTE_STRINGS || a->type > ATTRIBUTE_DOUBLES)
        return str_equal(a->text, b->text);
    if (a->count != b->count) return false;
    for (uint32_t i = 0; i < a->count; i++) {
        if (a->type == ATTRIBUTE_STRINGS && !str_equal(a->texts[i], b->texts[i])) return false;
        if (a->type == ATTRIBUTE_BOOLS && a->truths[i] != b->truths[i]) return false;
        if (a->type == ATTRIBUTE_INTS && a->integers[i] != b->integers[i]) return false;
        if (a->type == ATTRIBUTE_DOUBLES && !same_double(a->numbers[i], b->numbers[i]))
            return false;
    }
    return true;
}

/* All of `given` that come first with their key, in any order, are all of `got`. */
static inline void assert_same_attributes(const Attributes *given, const Attributes *got) {
    uint32_t kept = 0;

    assert_int_equal(given->dropped, got->dropped);
    for (uint32_t i = 0; i < given->count; i++) {
        bool again = false, found = false;

        for (uint32_t k = 0; k < i; k++)
            again |= str_equal(given->items[k].key, given->items[i].key);
        if (again) continue;
        kept++;
        for (uint32_t k = 0; k < got->count; k++)
            found |= same_value(&given->items[i], &got->items[k]);
        assert_true(found);
    }
    assert_int_equal(kept, got->count);
}

static inline void assert_same_exactly(const Attributes *a, const Attributes *b) {
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->dropped, b->dropped);
    for (uint32_t i = 0; i < a->count; i++) assert_true(same_value(&a->items[i], &b->items[i]));
}

static inline void assert_same_origin(const SpanOrigin *a, const SpanOrigin *b) {
    assert_same_exactly(&a->resource, &b->resource);
    assert_same_exactly(&a->scope, &b->scope);
    assert_true(str_equal(a->resource_schema, b->resource_schema));
    assert_true(str_equal(a->scope_name, b->scope_name));
    assert_true(str_equal(a->scope_version, b->scope_version));
    assert_true(str_equal(a->scope_schema, b->scope_schema));
    assert_true(str_equal(a->service, b->service));
}

static inline void assert_same_span(const Span *given, const Span *got) {
    assert_memory_equal(given->trace.bytes, got->trace.bytes, 16);
    assert_true(given->id == got->id && given->parent == got->parent);
    assert_true(given->start_ns == got->start_ns && given->end_ns == got->end_ns);
    assert_int_equal(given->kind, got->kind);
    assert_int_equal(given->status, got->status);
    assert_int_equal(given->flags, got->flags);
    assert_int_equal(given->dropped_events, got->dropped_events);
    assert_int_equal(given->dropped_links, got->dropped_links);
    assert_true(str_equal(given->name, got->name));
    assert_true(str_equal(given->status_message, got->status_message));
    assert_true(str_equal(given->state, got->state));
    assert_same_attributes(&given->attributes, &got->attributes);
    assert_int_equal(given->event_count, got->event_count);
    assert_int_equal(given->link_count, got->link_count);
    for (uint32_t i = 0; i < given->event_count; i++) {
        assert_true(given->events[i].time_ns == got->events[i].time_ns);
        assert_true(str_equal(given->events[i].name, got->events[i].name));
        assert_same_attributes(&given->events[i].attributes, &got->events[i].attributes);
    }
    for (uint32_t i = 0; i < given->link_count; i++) {
        assert_memory_equal(given->links[i].trace.bytes, got->links[i].trace.bytes, 16);
        assert_true(given->links[i].span == got->links[i].span);
        assert_true(str_equal(given->links[i].state, got->links[i].state));
        assert_int_equal(given->links[i].flags, got->links[i].flags);
        assert_same_attributes(&given->links[i].attributes, &got->links[i].attributes);
    }
    assert_same_origin(given->origin, got->origin);
}

/* The first of the model's spans that is this one; NULL: none is. */
static inline const Span *model_first(const SpansModel *m, const Span *s) {
    for (uint32_t i = 0; i < m->count; i++) {
        const Span *g = &m->spans[i];

        if (g->id == s->id && g->kind == s->kind && trace_id_equal(&g->trace, &s->trace)) return g;
    }
    return NULL;
}

/* All of the model's spans, doubles once, are what the table gives back. */
static inline void assert_table_is_model(const SpansModel *m, const SpanTable *t) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    uint32_t distinct = 0;
    Error err;

    for (uint32_t i = 0; i < m->count; i++)
        distinct += model_first(m, &m->spans[i]) == &m->spans[i];
    assert_int_equal(distinct, t->row_count);
    for (uint32_t i = 0; i < t->trace_count; i++) {
        Span *spans;

        assert_ok(span_table_spans(t, &t->traces[i], arena, &spans, &err), &err);
        for (uint32_t k = 0; k < t->traces[i].count; k++) {
            const Span *given = model_first(m, &spans[k]);

            assert_non_null(given);
            assert_same_span(given, &spans[k]);
        }
    }
}

/* ---------- what is true of any table ---------- */

static inline void assert_texts(const TextColumn *column, size_t count) {
    for (size_t i = 0; i < count; i++) assert_true(column->codes[i] < column->distinct);
    for (uint32_t i = 0; i < column->distinct && i < 300; i++) {
        for (uint32_t k = 0; k < i; k++)
            assert_false(str_equal(column->dictionary[i], column->dictionary[k]));
    }
}

static inline void assert_column(const SpanTable *t, const AttributeColumn *c) {
    uint32_t owners = c->scope == SCOPE_SPAN    ? t->row_count
                      : c->scope == SCOPE_EVENT ? t->event_count
                                                : t->link_count;
    size_t elements = c->count;

    assert_true(c->scope >= SCOPE_SPAN && c->scope <= SCOPE_LINK);
    assert_true(c->count > 0 && c->count <= owners);
    assert_true((c->owners == NULL) == (c->count == owners));
    for (uint32_t i = 0; c->owners != NULL && i < c->count; i++) {
        assert_true(c->owners[i] < owners);
        assert_true(i == 0 || c->owners[i - 1] < c->owners[i]);
    }
    assert_true((c->starts != NULL) ==
                (c->type >= ATTRIBUTE_STRINGS && c->type <= ATTRIBUTE_DOUBLES));
    if (c->starts != NULL) {
        assert_int_equal(c->starts[0], 0);
        for (uint32_t i = 0; i < c->count; i++) assert_true(c->starts[i] <= c->starts[i + 1]);
        elements = c->starts[c->count];
    }
    if (c->type == ATTRIBUTE_STRING || c->type == ATTRIBUTE_STRINGS || c->type == ATTRIBUTE_BYTES ||
        c->type == ATTRIBUTE_OTHER)
        assert_texts(&c->texts, elements);
}

static inline void assert_tree(const SpanTable *t, const TraceRow *trace) {
    uint32_t end = trace->first + trace->count;
    bool orphans = false;

    for (uint32_t r = trace->first; r < end; r++) {
        uint32_t parent = t->parents[r];

        assert_true(t->ends[r] > r && t->ends[r] <= end);
        if (parent < SPAN_ORPHAN) {
            assert_true(parent >= trace->first && parent < r);
            assert_true(t->ends[r] <= t->ends[parent]);
            assert_true(t->ids[parent] == t->parent_ids[r]);
            assert_int_equal(t->rooted[r], t->rooted[parent]);
        } else {
            assert_int_equal(t->rooted[r], parent == SPAN_ROOT);
            assert_true((parent == SPAN_ROOT) == (t->parent_ids[r] == 0));
            assert_false(orphans && parent == SPAN_ROOT);
            orphans |= parent == SPAN_ORPHAN;
        }
        /* The row behind a span's descendants isn't one. */
        if (t->ends[r] < end)
            assert_true(t->parents[t->ends[r]] >= SPAN_ORPHAN || t->parents[t->ends[r]] < r);
    }
}

static inline void assert_table(const SpanTable *t) {
    uint32_t row = 0;

    assert_int_equal(t->columns, SPAN_ALL);
    for (uint32_t i = 0; i < t->trace_count; i++) {
        const TraceRow *trace = &t->traces[i];
        int64_t start = INT64_MAX, end = INT64_MIN;

        assert_int_equal(trace->first, row);
        assert_true(trace->count > 0);
        row += trace->count;
        for (uint32_t r = trace->first; r < row; r++) {
            start = MIN(start, t->starts_ns[r]);
            end = MAX(end, t->starts_ns[r] + t->durations_ns[r]);
        }
        assert_true(trace->start_ns == start && trace->end_ns == end);
        assert_true(i == 0 || t->traces[i - 1].start_ns <= start);
        assert_tree(t, trace);
    }
    assert_int_equal(row, t->row_count);
    assert_texts(&t->names, t->row_count);
    assert_texts(&t->messages, t->row_count);
    assert_texts(&t->states, t->row_count);
    assert_texts(&t->event_names, t->event_count);
    assert_texts(&t->link_states, t->link_count);
    for (uint32_t r = 0; r < t->row_count; r++) assert_true(t->origin_of[r] < t->origin_count);
    assert_int_equal(t->event_starts[t->row_count], t->event_count);
    assert_int_equal(t->link_starts[t->row_count], t->link_count);
    for (uint32_t i = 0; i < t->attribute_count; i++) {
        const AttributeColumn *a = i == 0 ? NULL : &t->attributes[i - 1], *b = &t->attributes[i];

        assert_column(t, b);
        if (a == NULL) continue;
        assert_true(a->scope < b->scope ||
                    (a->scope == b->scope && (str_compare(a->key, b->key) < 0 ||
                                              (str_equal(a->key, b->key) && a->type < b->type))));
    }
}

/* ---------- two tables ---------- */

#define ASSERT_ARRAY(a, b, count)                                                                  \
    do {                                                                                           \
        assert_int_equal((a) == NULL, (b) == NULL);                                                \
        if ((a) != NULL && (count) > 0) assert_memory_equal(a, b, (count) * sizeof *(a));          \
    } while (0)

static inline void assert_same_texts(const TextColumn *a, const TextColumn *b, size_t count) {
    for (size_t i = 0; i < count; i++)
        assert_true(str_equal(a->dictionary[a->codes[i]], b->dictionary[b->codes[i]]));
    assert_int_equal(a->distinct, b->distinct);
}

static inline void assert_same_column(const AttributeColumn *a, const AttributeColumn *b) {
    size_t elements = a->starts == NULL ? a->count : a->starts[a->count];

    assert_true(str_equal(a->key, b->key));
    assert_int_equal(a->scope, b->scope);
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->count, b->count);
    ASSERT_ARRAY(a->owners, b->owners, a->count);
    ASSERT_ARRAY(a->starts, b->starts, a->count + 1);
    if (a->type == ATTRIBUTE_BOOL || a->type == ATTRIBUTE_BOOLS)
        ASSERT_ARRAY(a->truths, b->truths, elements);
    else if (a->type == ATTRIBUTE_INT || a->type == ATTRIBUTE_INTS)
        ASSERT_ARRAY(a->integers, b->integers, elements);
    else if (a->type == ATTRIBUTE_DOUBLE || a->type == ATTRIBUTE_DOUBLES)
        ASSERT_ARRAY(a->numbers, b->numbers, elements);
    else
        assert_same_texts(&a->texts, &b->texts, elements);
}

/* Of columns that are in `columns`. */
static inline void assert_same_columns(const SpanTable *a, const SpanTable *b, unsigned columns) {
    assert_int_equal(a->trace_count, b->trace_count);
    assert_int_equal(a->row_count, b->row_count);
    for (uint32_t i = 0; i < a->trace_count; i++) {
        assert_memory_equal(a->traces[i].id.bytes, b->traces[i].id.bytes, 16);
        assert_int_equal(a->traces[i].first, b->traces[i].first);
        assert_int_equal(a->traces[i].count, b->traces[i].count);
        assert_true(a->traces[i].start_ns == b->traces[i].start_ns);
        assert_true(a->traces[i].end_ns == b->traces[i].end_ns);
    }
    if (columns & SPAN_PARENTS) {
        ASSERT_ARRAY(a->parents, b->parents, a->row_count);
        ASSERT_ARRAY(a->ends, b->ends, a->row_count);
        ASSERT_ARRAY(a->rooted, b->rooted, a->row_count);
    }
    if (columns & SPAN_IDS) ASSERT_ARRAY(a->ids, b->ids, a->row_count);
    if (columns & SPAN_PARENT_IDS) ASSERT_ARRAY(a->parent_ids, b->parent_ids, a->row_count);
    if (columns & SPAN_STARTS) ASSERT_ARRAY(a->starts_ns, b->starts_ns, a->row_count);
    if (columns & SPAN_DURATIONS) ASSERT_ARRAY(a->durations_ns, b->durations_ns, a->row_count);
    if (columns & SPAN_KINDS) ASSERT_ARRAY(a->kinds, b->kinds, a->row_count);
    if (columns & SPAN_STATUSES) ASSERT_ARRAY(a->statuses, b->statuses, a->row_count);
    if (columns & SPAN_NAMES) assert_same_texts(&a->names, &b->names, a->row_count);
    if (columns & SPAN_MESSAGES) assert_same_texts(&a->messages, &b->messages, a->row_count);
    if (columns & SPAN_ORIGINS) {
        for (uint32_t r = 0; r < a->row_count; r++)
            assert_same_origin(a->origins[a->origin_of[r]], b->origins[b->origin_of[r]]);
        assert_int_equal(a->origin_count, b->origin_count);
    }
    if (columns & SPAN_EVENTS) {
        assert_int_equal(a->event_count, b->event_count);
        ASSERT_ARRAY(a->event_starts, b->event_starts, a->row_count + 1);
        ASSERT_ARRAY(a->event_times_ns, b->event_times_ns, a->event_count);
        assert_same_texts(&a->event_names, &b->event_names, a->event_count);
        ASSERT_ARRAY(a->event_dropped, b->event_dropped, a->event_count);
    }
    if (columns & SPAN_LINKS) {
        assert_int_equal(a->link_count, b->link_count);
        ASSERT_ARRAY(a->link_starts, b->link_starts, a->row_count + 1);
        ASSERT_ARRAY(a->link_traces, b->link_traces, a->link_count);
        ASSERT_ARRAY(a->link_spans, b->link_spans, a->link_count);
        assert_same_texts(&a->link_states, &b->link_states, a->link_count);
        ASSERT_ARRAY(a->link_flags, b->link_flags, a->link_count);
        ASSERT_ARRAY(a->link_dropped, b->link_dropped, a->link_count);
    }
    if (columns & SPAN_REST) {
        assert_same_texts(&a->states, &b->states, a->row_count);
        ASSERT_ARRAY(a->flags, b->flags, a->row_count);
        ASSERT_ARRAY(a->dropped_attributes, b->dropped_attributes, a->row_count);
        ASSERT_ARRAY(a->dropped_events, b->dropped_events, a->row_count);
        ASSERT_ARRAY(a->dropped_links, b->dropped_links, a->row_count);
    }
}

static inline void assert_same_table(const SpanTable *a, const SpanTable *b) {
    assert_int_equal(a->columns, b->columns);
    assert_same_columns(a, b, SPAN_ALL);
    assert_int_equal(a->attribute_count, b->attribute_count);
    for (uint32_t i = 0; i < a->attribute_count; i++)
        assert_same_column(&a->attributes[i], &b->attributes[i]);
}
