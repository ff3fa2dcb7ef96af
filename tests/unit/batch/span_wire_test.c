/* span_wire_test.c: spans between protobuf and Span: everything comes back, nothing is believed. */
#include <stdlib.h>

#include "tests/unit/unit.h"

#include "common/batch/span_wire.h"

#define TEXT(key_, value_)                                                                         \
    { .key = STR_INIT(key_), .type = ATTRIBUTE_STRING, .text = STR_INIT(value_) }

static const Str TEXTS[] = {STR_INIT("x"), STR_INIT("")};
static const int64_t INTS[] = {0, -1, INT64_MIN};
static const double DOUBLES[] = {0, -0.5};
static const bool TRUTHS[] = {true, false};

static const Attribute ATTRIBUTES[] = {
    TEXT("http.method", "GET"),
    TEXT("", ""),
    TEXT("nul", "a\0b"),
    {.key = STR_INIT("b"), .type = ATTRIBUTE_BOOL, .truth = false},
    {.key = STR_INIT("i"), .type = ATTRIBUTE_INT, .integer = -5},
    {.key = STR_INIT("d"), .type = ATTRIBUTE_DOUBLE, .number = 1.5},
    {.key = STR_INIT("y"), .type = ATTRIBUTE_BYTES, .text = STR_INIT("\xff\0")},
    {.key = STR_INIT("texts"), .type = ATTRIBUTE_STRINGS, .count = 2, .texts = TEXTS},
    {.key = STR_INIT("ints"), .type = ATTRIBUTE_INTS, .count = 3, .integers = INTS},
    {.key = STR_INIT("doubles"), .type = ATTRIBUTE_DOUBLES, .count = 2, .numbers = DOUBLES},
    {.key = STR_INIT("truths"), .type = ATTRIBUTE_BOOLS, .count = 2, .truths = TRUTHS},
    {.key = STR_INIT("none"), .type = ATTRIBUTE_OTHER, .text = STR_INIT("")},
    {.key = STR_INIT("empty array"), .type = ATTRIBUTE_OTHER, .text = STR_INIT("\x2a\0")},
    {.key = STR_INIT("map"),
     .type = ATTRIBUTE_OTHER,
     .text = STR_INIT("\x32\x09\x0a\x07\x0a\x01k\x12\x02\x18\x01")},
};
static const SpanEvent EVENTS[] = {
    {.time_ns = 7, .name = STR_INIT("exception"), .attributes = {ATTRIBUTES, 3, 2}},
    {.time_ns = 0, .name = STR_INIT("")},
};
static const SpanLink LINKS[] = {
    {.trace = {{1, 2, 3}},
     .span = 0x0102030405060708,
     .state = STR_INIT("a=b"),
     .flags = 1,
     .attributes = {ATTRIBUTES, 1, 0}},
};

static Span whole(void) {
    return (Span){.trace = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
                  .id = 0xa1,
                  .parent = 0xffffffffffffffff,
                  .start_ns = 1000,
                  .end_ns = INT64_MAX,
                  .kind = 3,
                  .status = SPAN_STATUS_ERROR,
                  .flags = 0x101,
                  .dropped_events = 4,
                  .dropped_links = 5,
                  .event_count = ARRAY_LEN(EVENTS),
                  .link_count = ARRAY_LEN(LINKS),
                  .name = STR("GET /"),
                  .status_message = STR("broken"),
                  .state = STR("k=v"),
                  .attributes = {ATTRIBUTES, ARRAY_LEN(ATTRIBUTES), 6},
                  .events = EVENTS,
                  .links = LINKS};
}

static void encode(const Span *span, Buf *out) {
    buf_init(out, 0);
    assert_true(span_encode(span, out));
}

static void assert_attributes(const Attributes *a, const Attributes *b) {
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->dropped, b->dropped);
    for (uint32_t i = 0; i < a->count; i++) {
        const Attribute *x = &a->items[i], *y = &b->items[i];

        assert_true(str_equal(x->key, y->key));
        assert_int_equal(x->type, y->type);
        assert_int_equal(x->count, y->count);
    }
}

static void everything_comes_back(void **state) {
    Arena *arena = arena_new(0, NULL);
    Span span = whole(), back;
    SpanPlace place;
    Error err;
    Buf first, second;

    (void)state;
    encode(&span, &first);
    assert_ok(span_check(buf_str(&first), &place, &err), &err);
    assert_true(trace_id_equal(&place.trace, &span.trace));
    assert_int_equal(place.id, span.id);
    assert_true(place.parent == span.parent);
    assert_int_equal(place.start_ns, 1000);
    assert_true(place.end_ns == INT64_MAX);
    assert_int_equal(place.kind, 3);
    assert_int_equal(place.status, SPAN_STATUS_ERROR);
    assert_true(str_equal(place.name, STR("GET /")));
    assert_int_equal(place.attributes, ARRAY_LEN(ATTRIBUTES) + 3 + 1);
    assert_int_equal(place.attribute_bytes_max, 32); /* the array of three integers */
    assert_ok(span_decode(buf_str(&first), NULL, arena, &back, &err), &err);
    assert_attributes(&span.attributes, &back.attributes);
    assert_attributes(&span.events[0].attributes, &back.events[0].attributes);
    assert_true(back.attributes.items[8].integers[2] == INT64_MIN);
    assert_true(str_equal(back.attributes.items[7].texts[0], STR("x")));
    assert_int_equal(back.attributes.items[2].text.len, 3);
    assert_int_equal(back.link_count, 1);
    assert_true(back.links[0].span == 0x0102030405060708);
    encode(&back, &second);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.ptr, second.ptr, first.len);
    buf_done(&first);
    buf_done(&second);
    arena_free(arena);
}

static void an_end_before_the_start_is_the_start(void **state) {
    Arena *arena = arena_new(0, NULL);
    Span span = {.trace = {{1}}, .id = 1, .start_ns = 50, .end_ns = 20}, back;
    SpanPlace place;
    Error err;
    Buf bytes;

    (void)state;
    encode(&span, &bytes);
    assert_ok(span_check(buf_str(&bytes), &place, &err), &err);
    assert_int_equal(place.end_ns, 50);
    assert_ok(span_decode(buf_str(&bytes), NULL, arena, &back, &err), &err);
    assert_int_equal(back.end_ns, 50);
    assert_int_equal(back.parent, 0);
    buf_done(&bytes);
    arena_free(arena);
}

static void ids_and_times_that_otlp_forbids_are_refused(void **state) {
    static const struct {
        Str bytes;
        const char *says;
    } cases[] = {
        {STR_INIT(""), "trace_id has 0 bytes"},
        {STR_INIT("\x0a\x02zz"), "trace_id has 2 bytes"},
        {STR_INIT("\x0a\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), "trace_id is all zeros"},
        {STR_INIT("\x0a\x10zzzzzzzzzzzzzzzz"), "span_id has 0 bytes"},
        {STR_INIT("\x0a\x10zzzzzzzzzzzzzzzz\x12\x08\0\0\0\0\0\0\0\0"), "span_id is all zeros"},
        {STR_INIT("\x0a\x10zzzzzzzzzzzzzzzz\x12\x08zzzzzzzz\x22\x04zzzz"),
         "parent_span_id has 4 bytes"},
        {STR_INIT("\x0a\x10zzzzzzzzzzzzzzzz\x12\x08zzzzzzzz\x39\xff\xff\xff\xff\xff\xff\xff\xff"),
         "2262"},
        {STR_INIT("\x0a\x10zzzzzzzzzzzzzzzz\x12\x08zzzzzzzz\x6a\x03\x0a\x01z"),
         "a link's trace_id"},
    };
    SpanPlace place;
    Error err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(span_check(cases[i].bytes, &place, &err), ERR_INVALID);
        assert_non_null(strstr(err.text, cases[i].says));
    }
}

/* An AnyValue of arrays within arrays. */
static void nested(Buf *out, unsigned depth) {
    static char bytes[2][4096];
    size_t len = 0;

    for (unsigned i = 0; i < depth; i++) {
        Buf next;
        size_t array, element;

        buf_init(&next, 0);
        array = len;
        buf_append_byte(&next, 0x0a); /* element */
        buf_append_varint(&next, array);
        buf_append(&next, bytes[i % 2], array);
        element = next.len;
        bytes[(i + 1) % 2][0] = 0x2a; /* array_value */
        {
            Buf whole_value;

            buf_init(&whole_value, 0);
            buf_append_byte(&whole_value, 0x2a);
            buf_append_varint(&whole_value, element);
            buf_append(&whole_value, next.ptr, element);
            len = whole_value.len;
            memcpy(bytes[(i + 1) % 2], whole_value.ptr, len);
            buf_done(&whole_value);
        }
        buf_done(&next);
    }
    buf_append(out, bytes[depth % 2], len);
}

static void what_is_past_a_limit_is_refused_with_its_name(void **state) {
    Attribute many[3] = {TEXT("a", "b"), TEXT("c", "d"), TEXT("e", "f")}, *lots;
    Span span = {.trace = {{1}}, .id = 1};
    SpanPlace place;
    Error err;
    Buf bytes, deep;

    (void)state;
    buf_init(&deep, 0);
    nested(&deep, SPAN_DEPTH_MAX);
    many[0] = (Attribute){.key = STR("k"), .type = ATTRIBUTE_OTHER, .text = buf_str(&deep)};
    span.attributes = (Attributes){many, 1, 0};
    encode(&span, &bytes);
    assert_ok(span_check(buf_str(&bytes), &place, &err), &err);
    buf_done(&bytes);
    buf_clear(&deep);
    nested(&deep, SPAN_DEPTH_MAX + 1);
    many[0].text = buf_str(&deep);
    encode(&span, &bytes);
    assert_int_equal(span_check(buf_str(&bytes), &place, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "32 levels deep"));
    buf_done(&bytes);
    buf_done(&deep);

    lots = calloc(SPAN_ATTRIBUTES_MAX + 1, sizeof *lots);
    assert_non_null(lots);
    for (size_t i = 0; i <= SPAN_ATTRIBUTES_MAX; i++) lots[i] = many[1];
    span.attributes = (Attributes){lots, SPAN_ATTRIBUTES_MAX, 0};
    encode(&span, &bytes);
    assert_ok(span_check(buf_str(&bytes), &place, &err), &err);
    buf_done(&bytes);
    span.attributes.count++;
    encode(&span, &bytes);
    assert_int_equal(span_check(buf_str(&bytes), &place, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "8192 attributes"));
    buf_done(&bytes);
    free(lots);
}

/* Whatever passes the check decodes, and what doesn't decode was refused. */
static void broken_bytes_are_refused_or_decoded(void **state) {
    Arena *arena = arena_new(0, NULL);
    Span span = whole(), back;
    SpanPlace place;
    Error err;
    Buf bytes;

    (void)state;
    encode(&span, &bytes);
    for (size_t cut = 0; cut < bytes.len; cut++) {
        char *copy = malloc(cut + 1); /* so that a sanitizer sees what is read behind it */

        memcpy(copy, bytes.ptr, cut);
        if (span_check((Str){copy, cut}, &place, &err) == ERR_OK)
            assert_ok(span_decode((Str){copy, cut}, NULL, arena, &back, &err), &err);
        free(copy);
    }
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        bytes.ptr[bit / 8] ^= (char)(1 << bit % 8);
        if (span_check(buf_str(&bytes), &place, &err) == ERR_OK)
            assert_ok(span_decode(buf_str(&bytes), NULL, arena, &back, &err), &err);
        bytes.ptr[bit / 8] ^= (char)(1 << bit % 8);
        arena_reset(arena);
    }
    buf_done(&bytes);
    arena_free(arena);
}

static void origins_come_back(void **state) {
    static const Attribute resource[] = {TEXT("service.name", "cart"), TEXT("k8s.pod", "p")};
    SpanOrigin origin = {.resource = {resource, 2, 3},
                         .scope_name = STR("lib"),
                         .scope_version = STR("1"),
                         .scope = {ATTRIBUTES, 2, 1}},
               back;
    Arena *arena = arena_new(0, NULL);
    Buf parts[2];
    Error err;
    Str bytes;

    (void)state;
    buf_init(&parts[0], 0);
    buf_init(&parts[1], 0);
    assert_true(origin_encode_resource(&origin, &parts[0]));
    assert_true(origin_encode_scope(&origin, &parts[1]));
    assert_ok(origin_wire(buf_str(&parts[0]), buf_str(&parts[1]), STR("r"), STR("s"), arena, &bytes,
                          &err),
              &err);
    assert_ok(origin_check(bytes, &err), &err);
    assert_ok(origin_decode(bytes, arena, &back, &err), &err);
    assert_attributes(&origin.resource, &back.resource);
    assert_attributes(&origin.scope, &back.scope);
    assert_true(str_equal(back.service, STR("cart")));
    assert_true(str_equal(back.scope_name, STR("lib")));
    assert_true(str_equal(back.resource_schema, STR("r")));
    assert_true(str_equal(back.scope_schema, STR("s")));
    for (size_t cut = 0; cut < bytes.len; cut++)
        assert_int_not_equal(origin_check((Str){bytes.ptr, cut}, &err), ERR_OK);
    buf_done(&parts[0]);
    buf_done(&parts[1]);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_comes_back),
        cmocka_unit_test(an_end_before_the_start_is_the_start),
        cmocka_unit_test(ids_and_times_that_otlp_forbids_are_refused),
        cmocka_unit_test(what_is_past_a_limit_is_refused_with_its_name),
        cmocka_unit_test(broken_bytes_are_refused_or_decoded),
        cmocka_unit_test(origins_come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
