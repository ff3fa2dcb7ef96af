/*
 * Any bytes as a push of logs, in both encodings: what comes out is a batch whose parts lie within
 * its arrays, whose labels are canonical, or an error.
 */
#include "tests/fuzz/fuzz.h"

#include "gateway/loki/decode.h"

static const char *const seeds[] = {
    "{\"streams\":[{\"stream\":{\"app\":\"web\"},\"values\":[[\"1799999999000000001\",\"level=warn "
    "x\",{\"trace.id\":\"a\\u00e9\"}],[\"1799999999000000002\",\"{\\\"severity\\\":\\\"err\\\"}\"]]"
    "}]}",
    "{\"streams\":[{\"entries\":[{\"ts\":\"2027-01-15T07:59:59.5+02:00\",\"line\":\"ERROR\"}],"
    "\"labels\":\"{job=\\\"a\\\\x41\\\", x=`y`}\"}]}",
    "\x0a\x2f\x0a\x0b{app=\"web\"}\x12\x20\x0a\x08\x08\xff\xff\xff\xc0\x06\x10\x01\x12\x05"
    "ERROR\x1a\x0d\x0a\x08trace_id\x12\x01"
    "a",
};

bool fuzz_seed(unsigned n, Buf *out) {
    if (n >= ARRAY_LEN(seeds)) return false;
    buf_append_str(out, str_of(seeds[n]));
    return true;
}

static void check(const Streams *streams, Arena *arena) {
    const LogsBatch *batch = &streams->batch;
    LabelPairs pairs;
    size_t covered = 0;

    for (size_t i = 0; i < batch->stream_count; i++) {
        const LogStream *stream = &batch->streams[i];

        assert(stream->entry_start == covered && stream->entry_count > 0);
        covered += stream->entry_count;
        assert(labels_decode(stream->labels, arena, &pairs, NULL) == ERR_OK && pairs.count > 0);
    }
    assert(covered == batch->entry_count);
    for (size_t i = 0; i < batch->entry_count; i++)
        assert(labels_decode(batch->entries[i].metadata, arena, &pairs, NULL) == ERR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Str body = {(const char *)data, size};
    TenantLimits limits;

    tenant_limits_defaults(&limits);
    for (int json = 0; json < 2; json++) {
        Arena *arena = arena_new(MIB(64), NULL);
        StreamsOptions options = {STR("t"), &limits, 7, INT64_C(1800000000) * 1000000000};
        Streams streams;
        Error err;

        streams_init(&streams, &options, arena);
        if ((json ? loki_decode_json : loki_decode_proto)(&streams, body, &err) == ERR_OK)
            check(&streams, arena);
        arena_free(arena);
    }
    return 0;
}
