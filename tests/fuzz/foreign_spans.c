/*
 * foreign_spans.c: any bytes as requests of Zipkin's and Jaeger's senders: what comes out are spans
 * that pass the check and decode, or an error.
 */
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

#include "common/batch/span_wire.h"
#include "gateway/jaeger/decode.h"
#include "gateway/zipkin/decode.h"
#include "tests/unit/gateway/jaeger_bodies.h"

static const char zipkin[] =
    "[{\"traceId\":\"0a00000000000000000000000000000b\",\"id\":\"c\",\"parentId\":\"d\",\"name\":"
    "\"n\",\"kind\":\"CLIENT\",\"timestamp\":1700000000000001,\"duration\":7,\"localEndpoint\":{"
    "\"serviceName\":\"s\",\"ipv4\":\"10.0.0.1\",\"port\":80},\"remoteEndpoint\":{\"ipv6\":\"::1\"}"
    ",\"tags\":{\"error\":\"true\",\"host.name\":\"h\",\"otlp.link.0\":"
    "\"0e|0f|st|{\\\"k\\\":0.5}|1\",\"a\":\"\\u00e9\"},\"annotations\":[{\"timestamp\":1,"
    "\"value\":\"e|{\\\"k\\\":true}|2\"},{\"value\":\"x\"}]},{}]";

static void write_batch(const JaegerWriter *w, Buf *out) {
    w->begin(out, "shop");
    w->process_text(out, "hostname", "h");
    w->begin_span(out, 10, 11, 12, 13, "get", 5, 7);
    w->text(out, "span.kind", "server");
    w->truth(out, "error", true);
    w->integer(out, "http.status_code", 503);
    w->number(out, "d", 0.5);
    w->bytes(out, "y", "abc");
    w->ref(out, JAEGER_FOLLOWS_FROM, 10, 11, 14);
    w->begin_log(out, 6);
    w->log_text(out, "event", "e");
    w->end_log(out);
    w->end_span(out);
    w->end(out);
}

bool fuzz_seed(unsigned n, Buf *out) {
    switch (n) {
    case 0:
        buf_append_str(out, str_of(zipkin));
        return true;
    case 1:
        write_batch(&jaeger_thrift_writer, out);
        return true;
    case 2:
        write_batch(&jaeger_proto_writer, out);
        return true;
    default:
        return false;
    }
}

static void run(ErrCode (*decode)(Foreign *foreign, Str body, Error *err), Str body) {
    Arena *arena = arena_new(MIB(256), NULL);
    Foreign foreign;
    Spans spans;
    Error err;

    spans_init(&spans, STR("t"), 1, arena);
    if (foreign_init(&foreign, &spans, arena, &err) != ERR_OK) abort();
    if (decode(&foreign, body, &err) != ERR_OK) spans.batch.item_count = 0;
    foreign_done(&foreign);
    for (size_t i = 0; i < spans.batch.item_count; i++) {
        const SpansItem *item = &spans.batch.items[i];
        SpanOrigin origin;
        SpanPlace place;
        Span span;

        assert(item->origin < spans.batch.origin_count);
        if (span_check(item->span, &place, &err) != ERR_OK ||
            origin_decode(spans.batch.origins[item->origin].bytes, arena, &origin, &err) !=
                ERR_OK ||
            span_decode(item->span, &origin, arena, &span, &err) != ERR_OK)
            abort();
        assert(span.end_ns >= span.start_ns && span.id != 0);
    }
    assert(spans.seen >= spans.rejected + spans.batch.item_count);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Str input = {(const char *)data, size};

    run(zipkin_decode_json, input);
    run(jaeger_decode_thrift, input);
    run(jaeger_decode_proto, input);
    return 0;
}
