/*
 * Jaeger's batches, in thrift and in protobuf, become OTLP's spans, as the translators of the
 * Collector have it: both the same.
 */
#include "tests/unit/gateway/jaeger_bodies.h"
#include "tests/unit/gateway/spans_text.h"

#include "gateway/jaeger/decode.h"

/* Both bodies of what `describe` writes come to the same. */
static void expect(void (*describe)(const JaegerWriter *w, Buf *out), uint64_t refused,
                   const char *expected) {
    Buf thrift, proto;

    buf_init(&thrift, 0);
    buf_init(&proto, 0);
    describe(&jaeger_thrift_writer, &thrift);
    describe(&jaeger_proto_writer, &proto);
    expect_spans(jaeger_decode_thrift, buf_str(&thrift), refused, expected);
    expect_spans(jaeger_decode_proto, buf_str(&proto), refused, expected);
    buf_done(&thrift);
    buf_done(&proto);
}

static void plain(const JaegerWriter *w, Buf *out) {
    w->begin(out, "shop");
    w->begin_span(out, 10, 11, 12, 13, "get", 5, 7);
    w->text(out, "span.kind", "server");
    w->text(out, "t", "x");
    w->truth(out, "b", true);
    w->integer(out, "i", -3);
    w->number(out, "d", 0.5);
    w->bytes(out, "y", "abc");
    w->end_span(out);
    w->end(out);
}

static void a_span_has_its_ids_times_and_tags(void **state) {
    (void)state;
    expect(plain, 0,
           "{service.name=\"shop\"} a000000000000000b/c<d get kind=2 5000..12000"
           "{t=\"x\" b=true i=-3 d=0.5 y=b3}\n");
}

static void process(const JaegerWriter *w, Buf *out) {
    w->begin(out, "shop");
    w->begin_span(out, 0, 11, 12, 0, "n", 5, -7);
    w->end_span(out);
    w->process_text(out, "hostname", "h");
    w->process_text(out, "jaeger.version", "Go-2");
    w->process_text(out, "ip", "10.0.0.1");
    w->end(out);
}

static void a_process_is_a_resource(void **state) {
    (void)state;
    expect(process, 0,
           "{ip=\"10.0.0.1\" service.name=\"shop\" host.name=\"h\" "
           "opencensus.exporterversion=\"Jaeger-Go-2\"} b/c n 5000..5000\n");
}

static void failed(const JaegerWriter *w, Buf *out) {
    w->begin(out, "s");
    w->begin_span(out, 0, 11, 1, 0, "error", 1, 1);
    w->truth(out, "error", true);
    w->text(out, "otel.status_description", "why");
    w->text(out, "otel.status_code", "OK");
    w->end_span(out);
    w->begin_span(out, 0, 11, 2, 0, "said", 1, 1);
    w->truth(out, "error", false);
    w->text(out, "otel.status_code", "error");
    w->end_span(out);
    w->begin_span(out, 0, 11, 3, 0, "http", 1, 1);
    w->integer(out, "http.status_code", 503);
    w->text(out, "http.status_message", "busy");
    w->end_span(out);
    w->begin_span(out, 0, 11, 4, 0, "server", 1, 1);
    w->text(out, "http.status_code", "404");
    w->text(out, "span.kind", "server");
    w->end_span(out);
    w->begin_span(out, 0, 11, 5, 0, "client", 1, 1);
    w->text(out, "http.status_code", "404");
    w->text(out, "span.kind", "client");
    w->end_span(out);
    w->begin_span(out, 0, 11, 6, 0, "text", 1, 1);
    w->text(out, "error", "true");
    w->integer(out, "http.status_code", 200);
    w->end_span(out);
    w->end(out);
}

static void what_failed_has_the_status(void **state) {
    (void)state;
    expect(failed, 0,
           "{service.name=\"s\"} b/1 error status=2(why) 1000..2000\n"
           "{service.name=\"s\"} b/2 said status=2() 1000..2000{error=false}\n"
           "{service.name=\"s\"} b/3 http status=2(busy) 1000..2000{http.status_code=503 "
           "http.status_message=\"busy\"}\n"
           "{service.name=\"s\"} b/4 server kind=2 1000..2000{http.status_code=\"404\"}\n"
           "{service.name=\"s\"} b/5 client kind=3 status=2() 1000..2000{http.status_code=\"404\"}"
           "\n"
           "{service.name=\"s\"} b/6 text 1000..2000{error=\"true\" http.status_code=200}\n");
}

static void referring(const JaegerWriter *w, Buf *out) {
    w->begin(out, "s");
    w->begin_span(out, 0, 11, 1, 0, "child", 1, 1);
    w->ref(out, JAEGER_FOLLOWS_FROM, 0, 11, 8);
    w->ref(out, JAEGER_CHILD_OF, 0, 11, 9);
    w->end_span(out);
    w->begin_span(out, 0, 11, 2, 0, "follows", 1, 1);
    w->ref(out, JAEGER_CHILD_OF, 0, 12, 7);
    w->ref(out, JAEGER_FOLLOWS_FROM, 0, 11, 8);
    w->end_span(out);
    w->end(out);
}

static void references_are_parents_and_links(void **state) {
    (void)state;
    expect(referring, 0,
           "{service.name=\"s\"} b/1<9 child 1000..2000 >b/8{opentracing.ref_type="
           "\"follows_from\"}\n"
           "{service.name=\"s\"} b/2<8 follows 1000..2000 >c/7{opentracing.ref_type=\"child_of\"}"
           " >b/8{opentracing.ref_type=\"follows_from\"}\n");
}

static void logging(const JaegerWriter *w, Buf *out) {
    w->begin(out, "s");
    w->begin_span(out, 0, 11, 1, 0, "n", 1, 1);
    w->begin_log(out, 3);
    w->log_text(out, "event", "error");
    w->log_text(out, "stack", "...");
    w->end_log(out);
    w->begin_log(out, 4);
    w->end_log(out);
    w->text(out, "otel.scope.name", "lib");
    w->text(out, "otel.scope.version", "3");
    w->text(out, "w3c.tracestate", "k=v");
    w->end_span(out);
    w->end(out);
}

static void logs_are_events(void **state) {
    (void)state;
    expect(logging, 0,
           "{service.name=\"s\"}[lib 3] b/1 n 1000..2000 state=k=v !3000 error{stack=\"...\"} "
           "!4000 \n");
}

static void broken(const JaegerWriter *w, Buf *out) {
    w->begin(out, "s");
    w->begin_span(out, 0, 0, 1, 0, "no trace", 1, 1);
    w->end_span(out);
    w->begin_span(out, 0, 11, 0, 0, "no id", 1, 1);
    w->end_span(out);
    w->begin_span(out, 0, 11, 1, 0, "before 1970", -1, 1);
    w->end_span(out);
    w->begin_span(out, 0, 11, 1, 0, "many logs", 1, 1);
    for (int i = 0; i <= SPAN_EVENTS_MAX; i++) {
        w->begin_log(out, 1);
        w->end_log(out);
    }
    w->end_span(out);
    w->begin_span(out, 0, 11, 1, 0, "fine", 1, 1);
    w->end_span(out);
    w->end(out);
}

static void spans_that_are_none_are_refused_alone(void **state) {
    (void)state;
    expect(broken, 4, "{service.name=\"s\"} b/1 fine 1000..2000\n");
}

/* Cut anywhere it is refused whole, or what is there is a batch in itself. */
static void expect_cuts(ErrCode (*decode)(Foreign *foreign, Str body, Error *err), Str body,
                        bool ends) {
    for (size_t len = 0; len < body.len; len++) {
        char *copy = test_malloc(len + 1);
        Made made;

        memcpy(copy, body.ptr, len);
        made = make_spans(decode, (Str){copy, len});
        if (ends || made.code != ERR_OK) assert_int_equal(made.code, ERR_CORRUPT);
        arena_free(made.arena);
        test_free(copy);
    }
}

/* No flipped bit does harm. */
static void expect_flips(ErrCode (*decode)(Foreign *foreign, Str body, Error *err), Str body) {
    char *copy = test_malloc(body.len);

    for (size_t bit = 0; bit < 8 * body.len; bit++) {
        Made made;

        memcpy(copy, body.ptr, body.len);
        copy[bit / 8] ^= (char)(1 << bit % 8);
        made = make_spans(decode, (Str){copy, body.len});
        assert_true(made.code == ERR_OK || made.code == ERR_CORRUPT);
        arena_free(made.arena);
    }
    test_free(copy);
}

static void damaged_bodies_are_refused(void **state) {
    Buf thrift, proto;

    (void)state;
    buf_init(&thrift, 0);
    buf_init(&proto, 0);
    logging(&jaeger_thrift_writer, &thrift);
    logging(&jaeger_proto_writer, &proto);
    expect_cuts(jaeger_decode_thrift, buf_str(&thrift), true);
    expect_cuts(jaeger_decode_proto, buf_str(&proto), false);
    expect_flips(jaeger_decode_thrift, buf_str(&thrift));
    expect_flips(jaeger_decode_proto, buf_str(&proto));
    buf_append_byte(&thrift, 0);
    expect_cuts(jaeger_decode_thrift, buf_str(&thrift), false);
    buf_done(&thrift);
    buf_done(&proto);
}

/* Thrift says how many elements follow: 2^31 of them, in no bytes; structs within structs. */
static void claims_of_thrift_are_not_believed(void **state) {
    static const Str bodies[] = {
        STR_INIT("\x0f\0\2\x0c\x7f\xff\xff\xff"), STR_INIT("\x0f\0\2\x0c\xff\xff\xff\xff"),
        STR_INIT("\x0b\0\x09\x7f\xff\xff\xff"),   STR_INIT("\x0d\0\x09\x0b\x0b\x7f\xff\xff\xff"),
        STR_INIT("\x0f\0\x09\0\0\0\0\1\0"),       STR_INIT("\x10\0\1"),
    };
    Buf deep;
    Made made;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        made = make_spans(jaeger_decode_thrift, bodies[i]);
        assert_int_equal(made.code, ERR_CORRUPT);
        arena_free(made.arena);
    }
    buf_init(&deep, 0);
    for (unsigned i = 0; i < 100000; i++) buf_append(&deep, "\x0c\0\x09", 3);
    made = make_spans(jaeger_decode_thrift, buf_str(&deep));
    assert_int_equal(made.code, ERR_CORRUPT);
    arena_free(made.arena);
    buf_done(&deep);
}

static void nothing_is_fine(void **state) {
    (void)state;
    expect_spans(jaeger_decode_thrift, STR("\0"), 0, "");
    expect_spans(jaeger_decode_proto, STR(""), 0, "");
}

/* Where no memory is left at call n, the request ends; nothing crashes. */
static void no_memory_ends_the_request(void **state) {
    Buf thrift;
    ErrCode code;

    (void)state;
    buf_init(&thrift, 0);
    broken(&jaeger_thrift_writer, &thrift);
    for (size_t bytes_max = 1024;; bytes_max *= 2) {
        Arena *arena;
        Budget budget;
        Foreign foreign;
        Spans spans;
        Error err;

        budget_init(&budget, "t", bytes_max, NULL);
        arena = arena_new(0, &budget);
        spans_init(&spans, STR("t"), 1, arena);
        code = foreign_init(&foreign, &spans, arena, &err);
        if (code == ERR_OK) code = jaeger_decode_thrift(&foreign, buf_str(&thrift), &err);
        foreign_done(&foreign);
        arena_free(arena);
        if (code == ERR_OK) break;
        assert_int_equal(code, ERR_LIMIT);
        assert_in_range(bytes_max, 0, MIB(64));
    }
    buf_done(&thrift);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_span_has_its_ids_times_and_tags),
        cmocka_unit_test(a_process_is_a_resource),
        cmocka_unit_test(what_failed_has_the_status),
        cmocka_unit_test(references_are_parents_and_links),
        cmocka_unit_test(logs_are_events),
        cmocka_unit_test(spans_that_are_none_are_refused_alone),
        cmocka_unit_test(damaged_bodies_are_refused),
        cmocka_unit_test(claims_of_thrift_are_not_believed),
        cmocka_unit_test(nothing_is_fine),
        cmocka_unit_test(no_memory_ends_the_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
