/*
 * span_page.c: a page of spans of any bytes, and spans of any kind through a page.
 *
 * The first byte of an input chooses: 0, the rest is a page, whose columns' checksums are put
 * right; 1, the rest is a page as it is; 2, the rest says what spans are made up, which are written
 * to a page and must come back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/reader.h"
#include "common/block/span_page.h"
#include "tests/fuzz/fuzz.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { MEMORY_MAX = 64 << 20, SPANS_MAX = 64 };

static const SpanNeed ALL = {.columns = SPAN_ALL, .all_keys = true};

/* ---------- what was read ---------- */

static void check_tree(const SpanTable *t) {
    for (uint32_t i = 0; i < t->trace_count; i++) {
        uint32_t first = t->traces[i].first, end = first + t->traces[i].count;

        CHECK(first < end && end <= t->row_count);
        for (uint32_t r = first; r < end; r++) {
            uint32_t parent = t->parents[r];

            CHECK(parent >= SPAN_ORPHAN || (parent >= first && parent < r));
            CHECK(t->ends[r] > r && t->ends[r] <= end);
            CHECK(parent >= SPAN_ORPHAN || t->ends[r] <= t->ends[parent]);
        }
    }
}

static void check_columns(const SpanTable *t) {
    const uint32_t of[4] = {0, t->row_count, t->event_count, t->link_count};

    for (uint32_t i = 0; i < t->attribute_count; i++) {
        const AttributeColumn *c = &t->attributes[i];

        CHECK(c->scope >= SCOPE_SPAN && c->scope <= SCOPE_LINK && c->count <= of[c->scope]);
        for (uint32_t k = 0; c->owners != NULL && k < c->count; k++) {
            CHECK(c->owners[k] < of[c->scope] && (k == 0 || c->owners[k - 1] < c->owners[k]));
            CHECK(attribute_column_find(c, c->owners[k]) == k);
        }
    }
}

/* Every span in full touches everything that there is. */
static uint64_t touch(const SpanTable *t, Arena *arena) {
    uint64_t sum = 0;
    Error err;

    for (uint32_t i = 0; i < t->trace_count; i++) {
        Span *spans = NULL;

        if (span_table_spans(t, &t->traces[i], arena, &spans, &err) != ERR_OK) return sum;
        for (uint32_t k = 0; k < t->traces[i].count; k++) {
            const Attributes *list = &spans[k].attributes;

            sum += spans[k].name.len == 0 ? 0 : (uint8_t)spans[k].name.ptr[spans[k].name.len - 1];
            sum += spans[k].origin->service.len + spans[k].event_count + spans[k].link_count;
            for (uint32_t a = 0; a < list->count; a++) sum += list->items[a].key.len;
        }
    }
    return sum;
}

static void read_page(Str page, bool put_right) {
    CLEANUP(arena_free) Arena *arena = arena_new(MEMORY_MAX, NULL);
    CLEANUP(span_page_encoder_free) SpanPageEncoder *encoder = NULL;
    SpanDirectory d;
    SpanTable table = {0}, part = {0};
    SpanTableRange range = {&table, 0, 1};
    uint32_t directory_bytes;
    Error err;
    Buf again;

    if (span_directory_decode(page, arena, &d, &err) != ERR_OK) return;
    CHECK(d.bytes <= page.len && d.page_bytes >= d.bytes);
    if (span_directory_attach(&d, page, &err) != ERR_OK) return;
    for (uint32_t i = 0; i < d.count && put_right; i++)
        d.columns[i].checksum = (uint32_t)hash_bytes(d.columns[i].bytes, d.columns[i].stored);
    if (span_page_decode(&d, &ALL, arena, &table, &err) != ERR_OK) return;
    check_tree(&table);
    check_columns(&table);
    (void)touch(&table, arena);
    range.count = table.trace_count / 2 + 1;
    if (span_table_join(&range, 1, true, arena, &part, &err) == ERR_OK) {
        check_tree(&part);
        check_columns(&part);
        (void)touch(&part, arena);
    }
    buf_init(&again, 0);
    encoder = span_page_encoder_new();
    CHECK(encoder != NULL);
    (void)!span_page_encode(encoder, &table, &again, &directory_bytes, &err);
    buf_done(&again);
}

/* ---------- what is written ---------- */

static Attributes attributes_of(Reader *r, Arena *arena) {
    static const Str keys[] = {STR_INIT("a"), STR_INIT("b"), STR_INIT("c"), STR_INIT("")};
    Attributes list = {.count = reader_u8(r) % 5, .dropped = reader_u8(r) % 2};
    Attribute *items = ARENA_ARRAY(arena, Attribute, list.count + (size_t)1);

    for (uint32_t i = 0; i < list.count; i++) {
        uint8_t type = (uint8_t)(1 + reader_u8(r) % (ATTRIBUTE_TYPES - 1));
        Attribute *a = &items[i];

        *a = (Attribute){.key = keys[reader_u8(r) % 4], .type = type};
        if (type == ATTRIBUTE_BOOL) {
            a->truth = reader_u8(r) % 2 != 0;
        } else if (type == ATTRIBUTE_INT) {
            a->integer = (int64_t)reader_u64(r);
        } else if (type == ATTRIBUTE_DOUBLE) {
            a->number = reader_double(r);
        } else if (type < ATTRIBUTE_STRINGS || type > ATTRIBUTE_DOUBLES) {
            a->text = reader_bytes(r, reader_u8(r) % 8);
        } else { /* of two elements, whatever their type */
            Str *texts = ARENA_ARRAY(arena, Str, 2);
            bool *truths = ARENA_ARRAY(arena, bool, 2);
            int64_t *integers = ARENA_ARRAY(arena, int64_t, 2);

            for (int k = 0; k < 2; k++) {
                texts[k] = reader_bytes(r, reader_u8(r) % 3);
                truths[k] = texts[k].len > 1;
                integers[k] = (int64_t)reader_u16(r) << 40;
            }
            a->count = 2;
            if (type == ATTRIBUTE_STRINGS) a->texts = texts;
            if (type == ATTRIBUTE_BOOLS) a->truths = truths;
            if (type == ATTRIBUTE_INTS) a->integers = integers;
            if (type == ATTRIBUTE_DOUBLES) a->numbers = (const double *)(const void *)integers;
        }
    }
    list.items = items;
    return list;
}

static Span span_of(Reader *r, Arena *arena) {
    static const SpanOrigin origins[] = {{.scope_name = STR_INIT("x")}, {.service = STR_INIT("")}};
    SpanEvent *event = ARENA_NEW(arena, SpanEvent);
    SpanLink *link = ARENA_NEW(arena, SpanLink);
    Span s = {.id = reader_u8(r) % 16u, .parent = reader_u8(r) % 16u};

    s.trace.bytes[7] = reader_u8(r) % 4;
    s.kind = reader_u8(r) % 6;
    s.status = reader_u8(r) % 3;
    s.start_ns = (int64_t)(reader_u64(r) >> 2);
    s.end_ns = s.start_ns + reader_u16(r);
    s.flags = reader_u8(r);
    s.name = reader_bytes(r, reader_u8(r) % 8);
    s.state = reader_bytes(r, reader_u8(r) % 2);
    s.status_message = reader_bytes(r, reader_u8(r) % 2);
    s.origin = &origins[reader_u8(r) % 2];
    s.attributes = attributes_of(r, arena);
    s.event_count = reader_u8(r) % 4 == 0;
    s.link_count = reader_u8(r) % 4 == 0;
    if (s.event_count > 0)
        *event = (SpanEvent){(int64_t)reader_u64(r), s.name, attributes_of(r, arena)};
    if (s.link_count > 0)
        *link = (SpanLink){s.trace, s.id, s.state, s.kind, attributes_of(r, arena)};
    s.events = event;
    s.links = link;
    return s;
}

static bool same_texts(const TextColumn *a, const TextColumn *b, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!str_equal(a->dictionary[a->codes[i]], b->dictionary[b->codes[i]])) return false;
    }
    return true;
}

static void compare(const SpanTable *a, const SpanTable *b) {
    size_t n = a->row_count;

    CHECK(b->row_count == n && a->trace_count == b->trace_count);
    CHECK(memcmp(a->ids, b->ids, n * sizeof *a->ids) == 0);
    CHECK(memcmp(a->parent_ids, b->parent_ids, n * sizeof *a->ids) == 0);
    CHECK(memcmp(a->parents, b->parents, n * sizeof *a->parents) == 0);
    CHECK(memcmp(a->starts_ns, b->starts_ns, n * sizeof *a->starts_ns) == 0);
    CHECK(memcmp(a->durations_ns, b->durations_ns, n * sizeof *a->starts_ns) == 0);
    CHECK(memcmp(a->kinds, b->kinds, n) == 0 && memcmp(a->statuses, b->statuses, n) == 0);
    CHECK(same_texts(&a->names, &b->names, n) && same_texts(&a->messages, &b->messages, n));
    CHECK(a->event_count == b->event_count && a->link_count == b->link_count);
    CHECK(memcmp(a->event_starts, b->event_starts, (n + 1) * sizeof *a->event_starts) == 0);
    CHECK(memcmp(a->event_times_ns, b->event_times_ns,
                 a->event_count * sizeof *a->event_times_ns) == 0);
    CHECK(a->attribute_count == b->attribute_count);
    for (uint32_t i = 0; i < a->attribute_count; i++) {
        const AttributeColumn *x = &a->attributes[i], *y = &b->attributes[i];

        CHECK(str_equal(x->key, y->key) && x->type == y->type && x->count == y->count);
        CHECK((x->owners == NULL) == (y->owners == NULL));
        CHECK(x->owners == NULL || memcmp(x->owners, y->owners, x->count * sizeof *x->owners) == 0);
        if (x->type == ATTRIBUTE_INT || x->type == ATTRIBUTE_DOUBLE)
            CHECK(memcmp(x->integers, y->integers, x->count * sizeof *x->integers) == 0);
        if (x->type == ATTRIBUTE_STRING) CHECK(same_texts(&x->texts, &y->texts, x->count));
    }
}

static void round_trip(Str bytes) {
    CLEANUP(arena_free) Arena *arena = arena_new(MEMORY_MAX, NULL);
    CLEANUP(span_page_encoder_free) SpanPageEncoder *encoder = span_page_encoder_new();
    Span *spans = ARENA_ARRAY(arena, Span, SPANS_MAX);
    SpanTable table = {0}, got = {0};
    uint32_t count = 0, directory_bytes;
    Reader r = reader_of(bytes);
    SpanDirectory d;
    Error err;
    Buf page;

    while (count < SPANS_MAX && !reader_at_end(&r)) spans[count++] = span_of(&r, arena);
    CHECK(encoder != NULL && span_table_build(spans, count, arena, &table, &err) == ERR_OK);
    check_tree(&table);
    check_columns(&table);
    if (count == 0) return;
    buf_init(&page, 0);
    CHECK(span_page_encode(encoder, &table, &page, &directory_bytes, &err) == ERR_OK);
    CHECK(span_directory_decode(buf_str(&page), arena, &d, &err) == ERR_OK);
    CHECK(d.bytes == directory_bytes && span_directory_attach(&d, buf_str(&page), &err) == ERR_OK);
    CHECK(span_page_decode(&d, &ALL, arena, &got, &err) == ERR_OK);
    compare(&table, &got);
    (void)touch(&got, arena);
    buf_done(&page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Str bytes = str_from((Str){(const char *)data, size}, 1);

    if (size < 1 || size > MIB(1)) return 0;
    if (data[0] % 3 == 2)
        round_trip(bytes);
    else
        read_page(bytes, data[0] % 3 == 0);
    return 0;
}

/* ---------- seeds ---------- */

static const char NOISE[] =
    "\x01\x00\x02\x03\x05\x08\x0d\x15\x22\x37\x59\x90\xe9\x79\x62\xdb\x3d\x18\x55\x6d\xc2\x2f"
    "\xf1\x20\x11\x31\x42\x73\xb5\x28\xdd\x05\xe2\xe7\xc9\xb0\x79\x29\xa2\xcb\x6d\x38\xa5\xdd"
    "\x82\x5f\xe1\x40\x21\x61\x82\xe3\x65\x48\xad\xf5\xa2\x97\x39\xd0\x09\xd9\xe2\xbb\x9d\x58";

/* Few enough spans that next to nothing is compressed, or more. */
static void seed_page(Buf *out, unsigned count) {
    CLEANUP(arena_free) Arena *arena = arena_new(MEMORY_MAX, NULL);
    CLEANUP(span_page_encoder_free) SpanPageEncoder *encoder = span_page_encoder_new();
    Span *spans = ARENA_ARRAY(arena, Span, count);
    uint32_t directory_bytes;
    SpanTable table;
    Error err;
    Buf page;

    for (unsigned i = 0; i < count; i++) {
        Reader r = reader_of(str_from((Str){NOISE, sizeof NOISE - 1}, i * 7 % 60));

        spans[i] = span_of(&r, arena);
        spans[i].id = i + 1;
        spans[i].parent = i % 5 == 4 ? 99 : i / 2;
    }
    buf_init(&page, 0);
    CHECK(encoder != NULL && span_table_build(spans, count, arena, &table, &err) == ERR_OK);
    CHECK(span_page_encode(encoder, &table, &page, &directory_bytes, &err) == ERR_OK);
    buf_append_str(out, buf_str(&page));
    buf_done(&page);
}

bool fuzz_seed(unsigned n, Buf *out) {
    if (n > 3) return false;
    buf_append_byte(out, (char)(n == 3 ? 0 : n));
    if (n == 0) seed_page(out, 5);
    if (n == 1) seed_page(out, 12);
    if (n == 3) seed_page(out, 300);
    for (int i = 0; n == 2 && i < 6; i++) buf_append(out, NOISE, sizeof NOISE - 1);
    return true;
}
