#include "querier/api/read_request.h"

#include <snappy-c.h>

#include "proto/prometheus_remote.pb-c.h"

enum {
    REQUEST_BYTES_MAX = 4 << 20, /* decompressed */
    QUERIES_MAX = 256,
    MATCHERS_MAX = 1024,
};

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "the query's memory limit is reached");
}

static void *message_alloc(void *arena, size_t bytes) {
    return arena_alloc(arena, bytes);
}

static void message_free(void *arena, void *pointer) {
    (void)arena;
    (void)pointer; /* goes with the arena */
}

static ErrCode unpack(Arena *arena, Str sent, Prometheus__ReadRequest **out, Error *err) {
    ProtobufCAllocator allocator = {message_alloc, message_free, arena};
    size_t bytes;
    char *body;

    if (snappy_uncompressed_length(sent.ptr, sent.len, &bytes) != SNAPPY_OK)
        return error_set(err, ERR_INVALID, "the body is not a snappy block");
    if (bytes > REQUEST_BYTES_MAX)
        return error_set(err, ERR_INVALID, "the request has %zu bytes, more than the limit of %d",
                         bytes, REQUEST_BYTES_MAX);
    body = arena_alloc_bytes(arena, bytes);
    if (body == NULL) return out_of_memory(err);
    if (snappy_uncompress(sent.ptr, sent.len, body, &bytes) != SNAPPY_OK)
        return error_set(err, ERR_INVALID, "the body is not a snappy block");
    *out = prometheus__read_request__unpack(&allocator, bytes, (const uint8_t *)body);
    if (*out == NULL)
        return error_set(err, ERR_INVALID, "the body is not a ReadRequest in protobuf");
    return ERR_OK;
}

static ErrCode read_matcher(Arena *arena, const Prometheus__LabelMatcher *from, Matcher *out,
                            Error *err) {
    static const MatchOp ops[] = {MATCH_EQUAL, MATCH_NOT_EQUAL, MATCH_REGEX, MATCH_NOT_REGEX};
    Str name = {(const char *)from->name.data, from->name.len};
    Str value = {(const char *)from->value.data, from->value.len};

    if ((unsigned)from->type >= ARRAY_LEN(ops))
        return error_set(err, ERR_INVALID, "invalid matcher type %d", (int)from->type);
    return matcher_new(arena, ops[from->type], name, value, out, err);
}

static ErrCode read_query(Arena *arena, const Prometheus__Query *query, SelectRequest *out,
                          Error *err) {
    Matcher *matchers;

    if (query->n_matchers > MATCHERS_MAX)
        return error_set(err, ERR_INVALID, "a query has %zu matchers, more than the limit of %d",
                         query->n_matchers, MATCHERS_MAX);
    matchers = ARENA_ARRAY(arena, Matcher, query->n_matchers);
    if (matchers == NULL) return out_of_memory(err);
    for (size_t m = 0; m < query->n_matchers; m++)
        TRY(read_matcher(arena, query->matchers[m], &matchers[m], err));
    *out = (SelectRequest){
        .matchers = matchers,
        .matcher_count = query->n_matchers,
        .min_ms = query->start_timestamp_ms,
        .max_ms = query->end_timestamp_ms,
    };
    return ERR_OK;
}

/* The first that is known; samples when none is named. */
static ErrCode wants_stream(const Prometheus__ReadRequest *request, bool *out, Error *err) {
    *out = false;
    for (size_t i = 0; i < request->n_accepted_response_types; i++) {
        int type = (int)request->accepted_response_types[i];

        *out = type == PROMETHEUS__READ_REQUEST__RESPONSE_TYPE__STREAMED_XOR_CHUNKS;
        if (*out || type == PROMETHEUS__READ_REQUEST__RESPONSE_TYPE__SAMPLES) return ERR_OK;
    }
    if (request->n_accepted_response_types == 0) return ERR_OK;
    return error_set(err, ERR_INVALID,
                     "none of the accepted response types is known; SAMPLES and "
                     "STREAMED_XOR_CHUNKS are");
}

ErrCode read_request_decode(Arena *arena, Str body, ReadRequest *out, Error *err) {
    Prometheus__ReadRequest *request = NULL;
    ReadRequest decoded = {0};

    TRY(unpack(arena, body, &request, err));
    if (request->n_queries > QUERIES_MAX)
        return error_set(err, ERR_INVALID, "the request has %zu queries, more than the limit of %d",
                         request->n_queries, QUERIES_MAX);
    TRY(wants_stream(request, &decoded.stream, err));
    decoded.count = request->n_queries;
    decoded.queries = ARENA_ARRAY(arena, SelectRequest, decoded.count);
    if (decoded.queries == NULL) return out_of_memory(err);
    for (size_t q = 0; q < decoded.count; q++)
        TRY(read_query(arena, request->queries[q], &decoded.queries[q], err));
    *out = decoded;
    return ERR_OK;
}
