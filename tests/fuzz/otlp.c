/*
 * otlp.c: any bytes as OTLP's export requests, of all signals, protobuf and JSON: what comes out
 * are batches whose parts lie within their arrays, with canonical labels, or an error.
 */
#include "tests/fuzz/fuzz.h"

#include "common/batch/span_wire.h"
#include "gateway/otlp/decode.h"
#include "gateway/otlp/json.h"

#define NOW_MS INT64_C(1800000000000)

static const char *const seeds[] = {
    "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
    "\"stringValue\":\"s\"}},{\"key\":\"a\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"b\","
    "\"value\":{\"arrayValue\":{\"values\":[{\"intValue\":\"1\"},{\"doubleValue\":0.5},{"
    "\"bytesValue\":\"AP8=\"}]}}}]}}}]},\"scopeMetrics\":[{\"scope\":{\"name\":\"l\"},\"metrics\":["
    "{"
    "\"name\":\"g.x\",\"unit\":\"By/s\",\"gauge\":{\"dataPoints\":[{\"timeUnixNano\":"
    "\"1799999999000000000\",\"asInt\":7,\"attributes\":[{\"key\":\"k.1\",\"value\":{\"boolValue\":"
    "true}}]}]}},{\"name\":\"h\",\"histogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{"
    "\"timeUnixNano\":\"1799999999000000000\",\"count\":3,\"sum\":1.5,\"bucketCounts\":[1,2,0],"
    "\"explicitBounds\":[0.5,1],\"exemplars\":[{\"timeUnixNano\":1,\"asDouble\":0.1,\"traceId\":"
    "\"0102030405060708090a0b0c0d0e0f10\"}]}]}}]}]}]}",
    "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"e\","
    "\"exponentialHistogram\":{\"aggregationTemporality\":1,\"dataPoints\":[{\"timeUnixNano\":"
    "\"1799999999000000000\",\"count\":4,\"scale\":20,\"zeroCount\":1,\"positive\":{\"offset\":-3,"
    "\"bucketCounts\":[1,0,0,0,0,2]},\"flags\":0}]}},{\"name\":\"s\",\"summary\":{\"dataPoints\":[{"
    "\"timeUnixNano\":\"1799999999000000000\",\"count\":4,\"sum\":\"NaN\",\"quantileValues\":[{"
    "\"quantile\":0.5,\"value\":2}]}]}}]}]}]}",
    "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
    "\"stringValue\":\"s\"}}]},\"scopeLogs\":[{\"scope\":{\"name\":\"l\"},\"logRecords\":[{"
    "\"timeUnixNano\":\"1799999999000000000\",\"severityNumber\":13,\"body\":{\"stringValue\":"
    "\"x\\u00e9\"},\"spanId\":\"0102030405060708\",\"flags\":1,\"attributes\":[{\"key\":\"m\","
    "\"value\":{"
    "\"kvlistValue\":{\"values\":[{\"key\":\"n\",\"value\":{\"stringValue\":\"v\"}}]}}}]}]}]}]}",
    "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
    "\"stringValue\":\"s\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"l\"},\"spans\":[{"
    "\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"0102030405060708\",\"kind\":2,"
    "\"startTimeUnixNano\":\"5\",\"endTimeUnixNano\":7,\"name\":\"n\",\"attributes\":[{\"key\":"
    "\"i\",\"value\":{\"intValue\":\"-3\"}}],\"events\":[{\"timeUnixNano\":6,\"name\":\"e\"}],"
    "\"links\":[{\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":"
    "\"0102030405060708\"}],\"status\":{\"code\":2}}]}]}]}",
};

/* Which request a seed is. */
static OtlpRequest kind_of(unsigned n) {
    return n == 3 ? OTLP_TRACES_REQUEST : n == 2 ? OTLP_LOGS_REQUEST : OTLP_METRICS_REQUEST;
}

/* Every seed as JSON, then as protobuf. */
bool fuzz_seed(unsigned n, Buf *out) {
    unsigned count = ARRAY_LEN(seeds);
    Error err;

    if (n >= 2 * count) return false;
    if (n < count) {
        buf_append_str(out, str_of(seeds[n]));
        return true;
    }
    Arena *arena = arena_new(0, NULL);
    ErrCode code =
        otlp_json_to_wire(kind_of(n - count), str_of(seeds[n - count]), arena, out, &err);

    assert(code == ERR_OK);
    arena_free(arena);
    return true;
}

static void check_labels(Str labels, Arena *arena) {
    LabelPairs pairs;
    ErrCode code = labels_decode(labels, arena, &pairs, NULL);

    assert(code == ERR_OK);
}

static void run_metrics(Str body, const OtlpSettings *settings, const TenantLimits *limits) {
    Arena *arena = arena_new(MIB(64), NULL);
    RowsOptions options = {
        .tenant = STR("t"), .limits = limits, .series_seed = 7, .now_ms = NOW_MS};
    Rows rows;
    OtlpOutcome outcome;
    Error err;

    rows_init(&rows, &options, arena);
    if (otlp_decode_metrics(&rows, settings, body, &outcome, &err) == ERR_OK) {
        const MetricsBatch *batch = &rows.batch;

        assert(outcome.rejected <= outcome.points);
        for (size_t i = 0; i < batch->row_count; i++) {
            const MetricsRow *row = &batch->rows[i];

            assert(row->sample_start + row->sample_count <= batch->sample_count);
            assert(row->histogram_start + row->histogram_count <= batch->histogram_count);
            assert(row->exemplar_start + row->exemplar_count <= batch->exemplar_count);
            check_labels(row->labels, arena);
        }
        for (size_t i = 0; i < batch->histogram_count; i++)
            assert(histogram_validate(batch->histograms[i].histogram, &err) == ERR_OK);
    }
    arena_free(arena);
}

static void run_logs(Str body, const OtlpSettings *settings, const TenantLimits *limits) {
    Arena *arena = arena_new(MIB(64), NULL);
    StreamsOptions options = {STR("t"), limits, 7, NOW_MS * 1000000};
    Streams streams;
    OtlpOutcome outcome;
    Error err;

    streams_init(&streams, &options, arena);
    if (otlp_decode_logs(&streams, settings, NOW_MS * 1000000, body, &outcome, &err) == ERR_OK) {
        const LogsBatch *batch = &streams.batch;

        assert(outcome.points == outcome.rejected + batch->entry_count);
        for (size_t i = 0; i < batch->stream_count; i++)
            check_labels(batch->streams[i].labels, arena);
        for (size_t i = 0; i < batch->entry_count; i++)
            check_labels(batch->entries[i].metadata, arena);
    }
    arena_free(arena);
}

static void run_traces(Str body) {
    Arena *arena = arena_new(MIB(64), NULL);
    Spans spans;
    OtlpOutcome outcome;
    Error err;

    spans_init(&spans, STR("t"), 7, arena);
    if (otlp_decode_traces(&spans, body, &outcome, &err) == ERR_OK) {
        const SpansBatch *batch = &spans.batch;

        assert(outcome.points == outcome.rejected + batch->item_count);
        for (size_t i = 0; i < batch->item_count; i++) {
            Span span;
            ErrCode code = span_decode(batch->items[i].span, NULL, arena, &span, &err);

            assert(code == ERR_OK || code == ERR_LIMIT);
            assert(batch->items[i].origin < batch->origin_count);
        }
        for (size_t i = 0; i < batch->origin_count; i++) {
            SpanOrigin origin;
            ErrCode code = origin_decode(batch->origins[i].bytes, arena, &origin, &err);

            assert(code == ERR_OK || code == ERR_LIMIT);
        }
    }
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const Str promoted[] = {STR_INIT("*")}, labels[] = {STR_INIT("service.name")};
    Str body = {(const char *)data, size};
    TenantLimits limits;

    tenant_limits_defaults(&limits);
    for (int variant = 0; variant < 2; variant++) {
        OtlpSettings settings = {
            .translation = variant ? OTLP_KEEP_WITH_SUFFIXES : OTLP_ESCAPE_WITH_SUFFIXES,
            .promoted = promoted,
            .promoted_count = (size_t)variant,
            .stream_labels = labels,
            .stream_label_count = 1,
            .scope_labels = variant,
            .custom_buckets = variant,
            .keep_delta = variant,
        };

        run_metrics(body, &settings, &limits);
        run_logs(body, &settings, &limits);
        for (int kind = 0; kind <= OTLP_TRACES_REQUEST; kind++) {
            Arena *arena = arena_new(MIB(64), NULL);
            Buf wire;

            buf_init(&wire, MIB(16));
            if (otlp_json_to_wire(kind, body, arena, &wire, NULL) == ERR_OK) {
                if (kind == OTLP_METRICS_REQUEST)
                    run_metrics(buf_str(&wire), &settings, &limits);
                else if (kind == OTLP_LOGS_REQUEST)
                    run_logs(buf_str(&wire), &settings, &limits);
                else
                    run_traces(buf_str(&wire));
            }
            buf_done(&wire);
            arena_free(arena);
        }
    }
    run_traces(body);
    return 0;
}
