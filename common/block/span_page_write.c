/*
 * span_page_write.c: a table of spans into a page.
 */
#include <stdlib.h>
#include <string.h>

#include "common/block/span_codec.h"
#include "common/block/span_page.h"

enum { KEEPS_BYTES = 8 << 20 };

struct SpanPageEncoder {
    SpanPut put; /* to `body` */
    Buf directory;
    Buf body;
    const SpanTable *t;
    size_t column_at; /* where in `body` the one at hand begins */
    uint32_t columns;
    /* The sets of owners that were put, by scope; all of one hash table. */
    struct OwnersSet {
        const uint32_t *owners;
        uint64_t hash;
        uint32_t count;
        uint8_t scope;
    } * sets;
    uint32_t set_count;
    uint32_t *set_of; /* of each attribute column: its set, or SPAN_OWNERS_ALL */
};

SpanPageEncoder *span_page_encoder_new(void) {
    SpanPageEncoder *e = calloc(1, sizeof *e);

    if (e == NULL) return NULL;
    buf_init(&e->directory, 0);
    buf_init(&e->body, 0);
    buf_init(&e->put.raw, 0);
    buf_init(&e->put.rest, 0);
    e->put.out = &e->body;
    e->put.zstd = ZSTD_createCCtx();
    e->put.scratch = arena_new(0, NULL);
    if (e->put.zstd != NULL && e->put.scratch != NULL) {
        arena_keep(e->put.scratch, KEEPS_BYTES);
        return e;
    }
    span_page_encoder_free(e);
    return NULL;
}

void span_page_encoder_free(SpanPageEncoder *e) {
    if (e == NULL) return;
    buf_done(&e->directory);
    buf_done(&e->body);
    buf_done(&e->put.raw);
    buf_done(&e->put.rest);
    ZSTD_freeCCtx(e->put.zstd);
    arena_free(e->put.scratch);
    free(e);
}

/* ---------- columns ---------- */

/* What was put since the column before is one of this kind. */
static void end_column(SpanPageEncoder *e, SpanColumnKind kind) {
    size_t bytes = e->body.len - e->column_at;

    buf_append_byte(&e->directory, (char)kind);
    buf_append_varint(&e->directory, bytes);
    buf_append_u32(&e->directory, (uint32_t)hash_bytes(e->body.ptr + e->column_at, bytes));
    e->column_at = e->body.len;
    e->columns++;
}

static void *scratch(SpanPageEncoder *e, size_t count, size_t element) {
    void *memory = arena_alloc(e->put.scratch, count * element + 16);

    if (memory == NULL) e->put.failed = true;
    return memory;
}

static void put_traces(SpanPageEncoder *e) {
    const SpanTable *t = e->t;
    TraceId *ids = scratch(e, t->trace_count, sizeof *ids);
    int64_t *starts = scratch(e, t->trace_count, sizeof *starts);
    int64_t *lengths = scratch(e, t->trace_count, sizeof *lengths);
    int64_t *counts = scratch(e, t->trace_count, sizeof *counts);

    if (e->put.failed) return;
    for (uint32_t i = 0; i < t->trace_count; i++) {
        ids[i] = t->traces[i].id;
        starts[i] = t->traces[i].start_ns;
        lengths[i] = (int64_t)((uint64_t)t->traces[i].end_ns - (uint64_t)t->traces[i].start_ns);
        counts[i] = t->traces[i].count;
    }
    span_put_part(&e->put, (Str){(const char *)ids, t->trace_count * sizeof *ids}, 0);
    span_put_ints(&e->put, counts, t->trace_count);
    span_put_times(&e->put, starts, t->trace_count);
    span_put_times(&e->put, lengths, t->trace_count);
    end_column(e, SPAN_COLUMN_TRACES);
}

/* For each row but a trace's first: how many steps up from the row before its parent is. */
static void put_tree(SpanPageEncoder *e) {
    const SpanTable *t = e->t;
    uint32_t *steps = scratch(e, t->row_count, sizeof *steps);
    uint32_t *orphans = scratch(e, t->trace_count, sizeof *orphans);

    if (e->put.failed) return;
    for (uint32_t i = 0; i < t->trace_count; i++) {
        uint32_t first = t->traces[i].first;

        orphans[i] = 0;
        for (uint32_t r = first; r < first + t->traces[i].count; r++) {
            bool top = t->parents[r] >= SPAN_ORPHAN;
            uint32_t at = r - 1;

            steps[r] = 0;
            orphans[i] += t->parents[r] == SPAN_ORPHAN;
            if (r == first) continue;
            /* What stands on top is one step above those that have no parents. */
            for (; at < SPAN_ORPHAN && (top || at != t->parents[r]); at = t->parents[at])
                steps[r]++;
            assert(top || at == t->parents[r]);
        }
    }
    span_put_small(&e->put, steps, t->row_count);
    span_put_rare(&e->put, orphans, t->trace_count);
    end_column(e, SPAN_COLUMN_TREE);
}

static void put_starts(SpanPageEncoder *e) {
    const SpanTable *t = e->t;
    int64_t *after = scratch(e, t->row_count, sizeof *after);

    if (e->put.failed) return;
    for (uint32_t i = 0; i < t->trace_count; i++) {
        const TraceRow *trace = &t->traces[i];

        for (uint32_t r = trace->first; r < trace->first + trace->count; r++)
            after[r] = (int64_t)((uint64_t)t->starts_ns[r] - (uint64_t)trace->start_ns);
    }
    span_put_times(&e->put, after, t->row_count);
    end_column(e, SPAN_COLUMN_STARTS);
}

/* Resources, each once; then for each origin which one, and its scope. */
static void put_origins(SpanPageEncoder *e) {
    const SpanTable *t = e->t;
    TextSet resources = {.scratch = e->put.scratch};
    uint32_t *resource_of = scratch(e, t->origin_count, sizeof *resource_of);
    Buf *raw = &e->put.raw;

    if (e->put.failed) return;
    for (uint32_t i = 0; i < t->origin_count; i++) {
        char *copy;

        buf_clear(raw);
        span_resource_put(t->origins[i], raw);
        copy = scratch(e, raw->len, 1);
        if (copy == NULL || buf_failed(raw)) {
            e->put.failed = true;
            return;
        }
        memcpy(copy, raw->ptr, raw->len);
        resource_of[i] = text_set_put(&resources, (Str){copy, raw->len});
    }
    e->put.failed |= resources.failed;
    buf_append_varint(&e->body, resources.count);
    buf_append_varint(&e->body, t->origin_count);
    buf_clear(raw);
    for (uint32_t i = 0; i < resources.count; i++) buf_append_str(raw, resources.texts[i]);
    e->put.failed |= buf_failed(raw);
    span_put_part(&e->put, buf_str(raw), 3);
    buf_clear(raw);
    for (uint32_t i = 0; i < t->origin_count && !e->put.failed; i++) {
        buf_append_varint(raw, resource_of[i]);
        span_scope_put(t->origins[i], raw);
    }
    e->put.failed |= buf_failed(raw);
    span_put_part(&e->put, buf_str(raw), 3);
    end_column(e, SPAN_COLUMN_ORIGINS);
}

static void put_spans(SpanPageEncoder *e) {
    const SpanTable *t = e->t;

    put_traces(e);
    put_tree(e);
    put_starts(e);
    span_put_times(&e->put, t->durations_ns, t->row_count);
    end_column(e, SPAN_COLUMN_DURATIONS);
    span_put_codes(&e->put, t->origin_of, t->row_count, t->origin_count);
    end_column(e, SPAN_COLUMN_ORIGIN_OF);
    put_origins(e);
    span_put_bytes(&e->put, t->statuses, t->row_count);
    end_column(e, SPAN_COLUMN_STATUSES);
    span_put_bytes(&e->put, t->kinds, t->row_count);
    end_column(e, SPAN_COLUMN_KINDS);
    span_put_codes(&e->put, t->names.codes, t->row_count, t->names.distinct);
    end_column(e, SPAN_COLUMN_NAME_OF);
    span_put_dictionary(&e->put, t->names.dictionary, t->names.distinct);
    end_column(e, SPAN_COLUMN_NAMES);
    span_put_texts(&e->put, &t->messages, t->row_count);
    end_column(e, SPAN_COLUMN_MESSAGES);
}

static void put_counts(SpanPageEncoder *e, const uint32_t *starts) {
    uint32_t *counts = scratch(e, e->t->row_count, sizeof *counts);

    if (e->put.failed) return;
    for (uint32_t r = 0; r < e->t->row_count; r++) counts[r] = starts[r + 1] - starts[r];
    span_put_small(&e->put, counts, e->t->row_count);
}

static void put_events(SpanPageEncoder *e) {
    const SpanTable *t = e->t;
    int64_t *after = scratch(e, t->event_count, sizeof *after);

    if (e->put.failed || t->event_count == 0) return;
    put_counts(e, t->event_starts);
    for (uint32_t r = 0; r < t->row_count; r++) {
        for (uint32_t i = t->event_starts[r]; i < t->event_starts[r + 1]; i++)
            after[i] = (int64_t)((uint64_t)t->event_times_ns[i] - (uint64_t)t->starts_ns[r]);
    }
    span_put_times(&e->put, after, t->event_count);
    span_put_texts(&e->put, &t->event_names, t->event_count);
    span_put_rare(&e->put, t->event_dropped, t->event_count);
    end_column(e, SPAN_COLUMN_EVENTS);
}

static void put_links(SpanPageEncoder *e) {
    const SpanTable *t = e->t;

    if (t->link_count == 0) return;
    put_counts(e, t->link_starts);
    span_put_part(&e->put,
                  (Str){(const char *)t->link_traces, t->link_count * sizeof *t->link_traces}, 3);
    span_put_part(&e->put,
                  (Str){(const char *)t->link_spans, t->link_count * sizeof *t->link_spans}, 0);
    span_put_texts(&e->put, &t->link_states, t->link_count);
    span_put_rare(&e->put, t->link_flags, t->link_count);
    span_put_rare(&e->put, t->link_dropped, t->link_count);
    end_column(e, SPAN_COLUMN_LINKS);
}

static void put_rest(SpanPageEncoder *e) {
    const SpanTable *t = e->t;

    span_put_texts(&e->put, &t->states, t->row_count);
    span_put_rare(&e->put, t->flags, t->row_count);
    span_put_rare(&e->put, t->dropped_attributes, t->row_count);
    span_put_rare(&e->put, t->dropped_events, t->row_count);
    span_put_rare(&e->put, t->dropped_links, t->row_count);
    end_column(e, SPAN_COLUMN_REST);
}

static void put_ids(SpanPageEncoder *e) {
    const SpanTable *t = e->t;
    uint64_t *others = scratch(e, t->row_count, sizeof *others);
    size_t n = 0;

    if (e->put.failed) return;
    span_put_part(&e->put, (Str){(const char *)t->ids, t->row_count * sizeof *t->ids}, 0);
    end_column(e, SPAN_COLUMN_IDS);
    for (uint32_t r = 0; r < t->row_count; r++) {
        if (t->parents[r] == SPAN_ORPHAN) others[n++] = t->parent_ids[r];
    }
    span_put_part(&e->put, (Str){(const char *)others, n * sizeof *others}, 0);
    end_column(e, SPAN_COLUMN_PARENT_IDS);
}

/* ---------- attributes ---------- */

static uint32_t owners_there(const SpanTable *t, uint8_t scope) {
    return scope == SCOPE_SPAN    ? t->row_count
           : scope == SCOPE_EVENT ? t->event_count
                                  : t->link_count;
}

static bool same_owners(const struct OwnersSet *a, const struct OwnersSet *b) {
    return a->hash == b->hash && a->scope == b->scope && a->count == b->count &&
           memcmp(a->owners, b->owners, a->count * sizeof *a->owners) == 0;
}

/* Attributes come in groups: what one request writes, all requests like it write. */
static void find_sets(SpanPageEncoder *e) {
    const SpanTable *t = e->t;
    uint32_t slot_count = 16, *slots;

    while (slot_count / 2 < t->attribute_count) slot_count *= 2;
    slots = arena_array(e->put.scratch, slot_count, sizeof *slots);
    e->sets = scratch(e, t->attribute_count, sizeof *e->sets);
    e->set_of = scratch(e, t->attribute_count, sizeof *e->set_of);
    e->set_count = 0;
    e->put.failed |= slots == NULL;
    for (uint32_t i = 0; i < t->attribute_count && !e->put.failed; i++) {
        const AttributeColumn *c = &t->attributes[i];
        struct OwnersSet *set = &e->sets[e->set_count];
        uint32_t slot;

        e->set_of[i] = SPAN_OWNERS_ALL;
        if (c->owners == NULL) continue;
        *set = (struct OwnersSet){c->owners, hash_bytes(c->owners, c->count * sizeof *c->owners),
                                  c->count, c->scope};
        slot = (uint32_t)set->hash & (slot_count - 1);
        while (slots[slot] != 0 && !same_owners(&e->sets[slots[slot] - 1], set))
            slot = (slot + 1) & (slot_count - 1);
        if (slots[slot] == 0) slots[slot] = ++e->set_count;
        e->set_of[i] = slots[slot] - 1;
    }
}

static void put_attribute(SpanPageEncoder *e, const AttributeColumn *c) {
    size_t elements = c->starts == NULL ? c->count : c->starts[c->count];

    if (elements > SPAN_ELEMENTS_MAX) e->put.failed = true;
    if (c->starts != NULL) {
        uint32_t *counts = scratch(e, c->count, sizeof *counts);

        if (e->put.failed) return;
        for (uint32_t i = 0; i < c->count; i++) counts[i] = c->starts[i + 1] - c->starts[i];
        span_put_small(&e->put, counts, c->count);
    }
    if (attribute_is_text(c->type))
        span_put_texts(&e->put, &c->texts, elements);
    else if (c->type == ATTRIBUTE_BOOL || c->type == ATTRIBUTE_BOOLS)
        span_put_truths(&e->put, c->truths, elements);
    else
        span_put_numbers(&e->put, c->integers, elements,
                         c->type == ATTRIBUTE_DOUBLE || c->type == ATTRIBUTE_DOUBLES);
}

/* Sets of owners first, then attributes, which name them by their places. */
static void put_attributes(SpanPageEncoder *e) {
    const SpanTable *t = e->t;

    find_sets(e);
    for (uint32_t i = 0; i < e->set_count && !e->put.failed; i++) {
        const struct OwnersSet *set = &e->sets[i];

        span_put_owners(&e->put, set->owners, set->count, owners_there(t, set->scope));
        end_column(e, SPAN_COLUMN_OWNERS);
        buf_append_byte(&e->directory, (char)set->scope);
    }
    for (uint32_t i = 0; i < t->attribute_count && !e->put.failed; i++) {
        const AttributeColumn *c = &t->attributes[i];

        put_attribute(e, c);
        end_column(e, SPAN_COLUMN_ATTRIBUTE);
        buf_append_byte(&e->directory, (char)c->scope);
        buf_append_byte(&e->directory, (char)c->type);
        buf_append_varint(&e->directory, c->key.len);
        buf_append_str(&e->directory, c->key);
        buf_append_varint(&e->directory, e->set_of[i] == SPAN_OWNERS_ALL ? 0 : e->set_of[i] + 1);
    }
}

/* ---------- pages ---------- */

static ErrCode finish(SpanPageEncoder *e, Buf *page, uint32_t *directory_bytes, Error *err) {
    const SpanTable *t = e->t;
    Buf head;

    if (e->put.failed || buf_failed(&e->directory) || buf_failed(&e->body))
        return error_set(err, ERR_LIMIT, "spans don't fit into a page, or no memory");
    buf_init(&head, 0);
    buf_append_varint(&head, t->row_count);
    buf_append_varint(&head, t->trace_count);
    buf_append_varint(&head, t->event_count);
    buf_append_varint(&head, t->link_count);
    buf_append_varint(&head, e->columns);
    buf_clear(page);
    buf_append_byte(page, SPAN_PAGE_CODEC);
    buf_append_varint(page, head.len + e->directory.len);
    buf_append_str(page, buf_str(&head));
    buf_append_str(page, buf_str(&e->directory));
    *directory_bytes = (uint32_t)page->len;
    buf_append_str(page, buf_str(&e->body));
    if (buf_failed(&head)) page->failed = true;
    buf_done(&head);
    if (buf_failed(page)) return error_set(err, ERR_LIMIT, "no memory for a page of spans");
    if (page->len > SPAN_PAGE_BYTES_MAX)
        return error_set(err, ERR_LIMIT, "a page of spans is of %zu bytes, more than %d", page->len,
                         SPAN_PAGE_BYTES_MAX);
    return ERR_OK;
}

/* Every row is a trace's, and they are in order. */
static bool is_dense(const SpanTable *t) {
    uint32_t row = 0;

    for (uint32_t i = 0; i < t->trace_count; i++) {
        if (t->traces[i].first != row) return false;
        row += t->traces[i].count;
    }
    return row == t->row_count;
}

ErrCode span_page_encode(SpanPageEncoder *e, const SpanTable *table, Buf *page,
                         uint32_t *directory_bytes, Error *err) {
    assert(table->columns == SPAN_ALL && table->trace_count > 0 && is_dense(table));
    if (table->row_count > SPAN_PAGE_ROWS_MAX || table->event_count > SPAN_PAGE_EVENTS_MAX ||
        table->link_count > SPAN_PAGE_EVENTS_MAX)
        return error_set(err, ERR_LIMIT, "too many spans, events or links for a page");
    arena_reset(e->put.scratch);
    buf_clear(&e->directory);
    buf_clear(&e->body);
    e->put.failed = false;
    e->t = table;
    e->column_at = 0;
    e->columns = 0;
    put_spans(e);
    put_attributes(e);
    put_events(e);
    put_links(e);
    put_rest(e);
    put_ids(e);
    return finish(e, page, directory_bytes, err);
}
