/*
 * span_rows.c: a trace of a table as spans in full.
 */
#include <string.h>

#include "common/block/span_build.h"

/* A trace on its way. Events and links of a trace lie side by side, as its rows do. */
typedef struct Rows {
    const SpanTable *t;
    struct Entries *columns; /* of which the trace has something */
    uint32_t column_count;
    Arena *arena;
    Span *spans;
    SpanEvent *events;
    SpanLink *links;
    uint32_t first[4]; /* by scope: of spans, events, links */
    uint32_t count[4];
    uint32_t *of[4]; /* how many attributes each has; then where the next of them goes */
    Attribute *attributes;
} Rows;

static uint32_t rare(const uint32_t *list, uint32_t at) {
    return list == NULL ? 0 : list[at];
}

static Str text_at(const TextColumn *column, uint32_t at) {
    return column->dictionary[column->codes[at]];
}

static void take_spans(Rows *w, const TraceId *trace) {
    const SpanTable *t = w->t;

    for (uint32_t i = 0; i < w->count[SCOPE_SPAN]; i++) {
        uint32_t row = w->first[SCOPE_SPAN] + i;

        w->spans[i] = (Span){
            .trace = *trace,
            .id = t->ids[row],
            .parent = t->parent_ids[row],
            .start_ns = t->starts_ns[row],
            .end_ns = (int64_t)((uint64_t)t->starts_ns[row] + (uint64_t)t->durations_ns[row]),
            .kind = t->kinds[row],
            .status = t->statuses[row],
            .flags = rare(t->flags, row),
            .dropped_events = rare(t->dropped_events, row),
            .dropped_links = rare(t->dropped_links, row),
            .event_count = t->event_starts[row + 1] - t->event_starts[row],
            .link_count = t->link_starts[row + 1] - t->link_starts[row],
            .name = text_at(&t->names, row),
            .status_message = text_at(&t->messages, row),
            .state = text_at(&t->states, row),
            .attributes = {.dropped = rare(t->dropped_attributes, row)},
            .events = w->events + (t->event_starts[row] - w->first[SCOPE_EVENT]),
            .links = w->links + (t->link_starts[row] - w->first[SCOPE_LINK]),
            .origin = t->origins[t->origin_of[row]],
        };
    }
}

static void take_events(Rows *w) {
    const SpanTable *t = w->t;

    for (uint32_t i = 0; i < w->count[SCOPE_EVENT]; i++) {
        uint32_t e = w->first[SCOPE_EVENT] + i;

        w->events[i] = (SpanEvent){.time_ns = t->event_times_ns[e],
                                   .name = text_at(&t->event_names, e),
                                   .attributes = {.dropped = rare(t->event_dropped, e)}};
    }
}

static void take_links(Rows *w) {
    const SpanTable *t = w->t;

    for (uint32_t i = 0; i < w->count[SCOPE_LINK]; i++) {
        uint32_t l = w->first[SCOPE_LINK] + i;

        w->links[i] = (SpanLink){.trace = t->link_traces[l],
                                 .span = t->link_spans[l],
                                 .state = text_at(&t->link_states, l),
                                 .flags = rare(t->link_flags, l),
                                 .attributes = {.dropped = rare(t->link_dropped, l)}};
    }
}

/* ---------- attributes ---------- */

static Attributes *attributes_of(Rows *w, AttributeScope scope, uint32_t i) {
    if (scope == SCOPE_SPAN) return &w->spans[i].attributes;
    return scope == SCOPE_EVENT ? &w->events[i].attributes : &w->links[i].attributes;
}

/* Of a column the entries [from, to) are of this trace. */
typedef struct Entries {
    const AttributeColumn *column;
    uint32_t from;
    uint32_t to;
} Entries;

/* There may be as many columns as spans, of which a trace has next to none. */
static bool find_columns(Rows *w) {
    uint32_t room = 0;

    for (uint32_t i = 0; i < w->t->attribute_count; i++) {
        const AttributeColumn *c = &w->t->attributes[i];
        uint32_t first = w->first[c->scope], end = first + w->count[c->scope];
        Entries found = {.column = c};

        if (c->owners != NULL && (c->owners[0] >= end || c->owners[c->count - 1] < first)) continue;
        found.from = attribute_column_from(c, first);
        found.to = attribute_column_from(c, end);
        if (found.to == found.from) continue;
        if (w->column_count == room) {
            w->columns = arena_grow(w->arena, w->columns, room * sizeof *w->columns,
                                    (room * 2 + 16) * sizeof *w->columns);
            if (w->columns == NULL) return false;
            room = room * 2 + 16;
        }
        w->columns[w->column_count++] = found;
    }
    return true;
}

static bool take_array(const Rows *w, const AttributeColumn *c, uint32_t entry, Attribute *out) {
    uint32_t start = c->starts[entry];

    out->count = c->starts[entry + 1] - start;
    if (c->type == ATTRIBUTE_STRINGS) {
        Str *texts = ARENA_ARRAY(w->arena, Str, out->count + (size_t)1);

        if (texts == NULL) return false;
        for (uint32_t i = 0; i < out->count; i++) texts[i] = text_at(&c->texts, start + i);
        out->texts = texts;
    } else if (c->type == ATTRIBUTE_BOOLS) {
        bool *truths = ARENA_ARRAY(w->arena, bool, out->count + (size_t)1);

        if (truths == NULL) return false;
        for (uint32_t i = 0; i < out->count; i++) truths[i] = c->truths[start + i] != 0;
        out->truths = truths;
    } else if (c->type == ATTRIBUTE_INTS) {
        out->integers = c->integers + start;
    } else {
        out->numbers = c->numbers + start;
    }
    return true;
}

static bool take_value(const Rows *w, const AttributeColumn *c, uint32_t entry, Attribute *out) {
    *out = (Attribute){.key = c->key, .type = c->type};
    if (attribute_is_array(c->type)) return take_array(w, c, entry, out);
    if (c->type == ATTRIBUTE_BOOL)
        out->truth = c->truths[entry] != 0;
    else if (c->type == ATTRIBUTE_INT)
        out->integer = c->integers[entry];
    else if (c->type == ATTRIBUTE_DOUBLE)
        memcpy(&out->number, &c->numbers[entry], sizeof out->number);
    else
        out->text = text_at(&c->texts, entry);
    return true;
}

/* Counts what each owner has, so that all of it lies in one array, owner after owner. */
static bool place_attributes(Rows *w) {
    size_t total = 0;
    Attribute *at;

    for (int scope = SCOPE_SPAN; scope <= SCOPE_LINK; scope++) {
        w->of[scope] = ARENA_ARRAY(w->arena, uint32_t, w->count[scope] + (size_t)1);
        if (w->of[scope] == NULL) return false;
    }
    for (uint32_t i = 0; i < w->column_count; i++) {
        const Entries *found = &w->columns[i];
        const AttributeColumn *c = found->column;

        for (uint32_t e = found->from; e < found->to; e++)
            w->of[c->scope][(c->owners == NULL ? e : c->owners[e]) - w->first[c->scope]]++;
        total += found->to - found->from;
    }
    at = w->attributes = ARENA_ARRAY(w->arena, Attribute, total + 1);
    if (at == NULL) return false;
    for (int scope = SCOPE_SPAN; scope <= SCOPE_LINK; scope++) {
        for (uint32_t i = 0; i < w->count[scope]; i++) {
            attributes_of(w, (AttributeScope)scope, i)->items = at;
            at += w->of[scope][i];
        }
    }
    return true;
}

static bool take_attributes(Rows *w) {
    if (!find_columns(w) || !place_attributes(w)) return false;
    for (uint32_t i = 0; i < w->column_count; i++) {
        const AttributeColumn *c = w->columns[i].column;

        for (uint32_t e = w->columns[i].from; e < w->columns[i].to; e++) {
            uint32_t owner = (c->owners == NULL ? e : c->owners[e]) - w->first[c->scope];
            Attributes *list = attributes_of(w, (AttributeScope)c->scope, owner);

            /* The array is ours, const only to who gets it. */
            if (!take_value(w, c, e, (Attribute *)&list->items[list->count++])) return false;
        }
    }
    return true;
}

ErrCode span_table_spans(const SpanTable *table, const TraceRow *trace, Arena *arena, Span **out,
                         Error *err) {
    uint32_t end = trace->first + trace->count;
    Rows w = {.t = table, .arena = arena};

    assert(table->columns == SPAN_ALL && end <= table->row_count);
    w.first[SCOPE_SPAN] = trace->first;
    w.count[SCOPE_SPAN] = trace->count;
    w.first[SCOPE_EVENT] = table->event_starts[trace->first];
    w.count[SCOPE_EVENT] = table->event_starts[end] - w.first[SCOPE_EVENT];
    w.first[SCOPE_LINK] = table->link_starts[trace->first];
    w.count[SCOPE_LINK] = table->link_starts[end] - w.first[SCOPE_LINK];
    w.spans = ARENA_ARRAY(arena, Span, w.count[SCOPE_SPAN] + (size_t)1);
    w.events = ARENA_ARRAY(arena, SpanEvent, w.count[SCOPE_EVENT] + (size_t)1);
    w.links = ARENA_ARRAY(arena, SpanLink, w.count[SCOPE_LINK] + (size_t)1);
    if (w.spans == NULL || w.events == NULL || w.links == NULL) return span_no_memory(err);
    take_spans(&w, &trace->id);
    take_events(&w);
    take_links(&w);
    if (!take_attributes(&w)) return span_no_memory(err);
    *out = w.spans;
    return ERR_OK;
}
