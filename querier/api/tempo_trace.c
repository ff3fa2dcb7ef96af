/*
 * tempo_trace.c: one trace by its id.
 */
#include <inttypes.h>

#include "common/base/json.h"
#include "proto/wire/write.h"
#include "querier/api/tempo.h"
#include "querier/traceql/engine/engine.h"

#define NS_PER_S INT64_C(1000000000)

/* ---------- parameters ---------- */

static ErrCode seconds_param(const ApiCall *call, const char *param, bool *given, int64_t *out,
                             Error *err) {
    uint64_t seconds;
    Str text;

    *given = api_param(call, param, &text) && text.len > 0;
    if (!*given) return ERR_OK;
    if (!str_to_u64(text, &seconds))
        return error_set(err, ERR_INVALID, "invalid %s: \"" STR_FMT "\" is no number of seconds",
                         param, STR_ARG(str_slice(text, 0, 60)));
    *out = (int64_t)MIN(seconds, (uint64_t)(INT64_MAX / NS_PER_S - 1)) * NS_PER_S;
    return ERR_OK;
}

ErrCode tempo_bounds(const ApiCall *call, int64_t *min_ns, int64_t *max_ns, Error *err) {
    int64_t start = 0, end = 0;
    bool has_start, has_end;

    TRY(seconds_param(call, "start", &has_start, &start, err));
    TRY(seconds_param(call, "end", &has_end, &end, err));
    if (has_start && has_end && end < start)
        return error_set(err, ERR_INVALID,
                         "http parameter start must be before end. received start=%" PRId64
                         " end=%" PRId64,
                         start / NS_PER_S, end / NS_PER_S);
    *min_ns = has_start ? start : INT64_MIN;
    *max_ns = has_end ? end + NS_PER_S - 1 : INT64_MAX;
    return ERR_OK;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

ErrCode tempo_trace_id(Str text, TraceId *out, Error *err) {
    size_t digits = 2 * sizeof out->bytes;

    *out = (TraceId){0};
    if (text.len == 0 || text.len > digits)
        return error_set(err, ERR_INVALID,
                         "trace IDs can't be longer than 32 hex digits or empty: this one has %zu",
                         text.len);
    for (size_t i = 0; i < text.len; i++) {
        size_t at = digits - text.len + i;
        int digit = hex_digit(text.ptr[i]);

        if (digit < 0)
            return error_set(err, ERR_INVALID,
                             "trace IDs can only contain hex characters: invalid character at "
                             "position %zu",
                             i + 1);
        out->bytes[at / 2] |= (uint8_t)(at % 2 == 0 ? digit << 4 : digit);
    }
    return ERR_OK;
}

/* ---------- answers ---------- */

static bool wants_protobuf(const ApiCall *call) {
    Str accept = http_header(call->request, "Accept");

    return str_find(accept, STR("application/protobuf")) != NULL ||
           str_find(accept, STR("application/x-protobuf")) != NULL;
}

static ErrCode find(ApiCall *call, SpanTable *table, Error *err) {
    int64_t min_ns, max_ns;
    TraceId id;

    TRY(tempo_trace_id(http_path_param(call->request, "id"), &id, err));
    TRY(tempo_bounds(call, &min_ns, &max_ns, err));
    return call->traces->find(call->traces, &call->query, &id, min_ns, max_ns, &call->trace_stats,
                              table, err);
}

static ErrCode run_v1(ApiCall *call, Buf *out, Error *err) {
    TempoSpans spans;
    SpanTable table;

    TRY(find(call, &table, err));
    if (table.trace_count == 0) return error_set(err, ERR_NOT_FOUND, "trace not found");
    TRY(tempo_spans(&table, NULL, call->arena, &spans, err));
    if (wants_protobuf(call)) {
        call->content_type = "application/protobuf";
        return tempo_write_resource_spans(&spans, out) ? ERR_OK : api_out_of_memory(err);
    }
    buf_append_str(out, STR("{\"batches\":"));
    tempo_write_json(&spans, out);
    buf_append_byte(out, '}');
    return ERR_OK;
}

/* ---------- parts of a trace ---------- */

typedef struct TraceFilter {
    Str query;      /* empty: the whole trace */
    int64_t depth;  /* of descendants of what matched, to be kept as well; -1: all */
    bool ancestors; /* likewise */
} TraceFilter;

static ErrCode depth_param(const ApiCall *call, const char *param, int64_t *out, Error *err) {
    Str text;

    if (!api_param(call, param, &text)) return ERR_OK;
    if (!str_to_i64(text, out) || *out < -1)
        return error_set(err, ERR_INVALID, "invalid value for %s: must be >= -1", param);
    return ERR_OK;
}

/* Without a query the others mean nothing, and can't be wrong. */
static ErrCode filter_params(const ApiCall *call, TraceFilter *out, Error *err) {
    int64_t ancestor_depth = -1;
    Str text;

    *out = (TraceFilter){.query = STR("")};
    if (api_param(call, "q", &text)) out->query = str_trim(text);
    if (out->query.len == 0) return ERR_OK;
    TRY(depth_param(call, "match_depth", &out->depth, err));
    if (!api_param(call, "keep_hierarchy", &text) || str_equal(text, STR("false")) ||
        str_equal(text, STR("0")))
        return ERR_OK;
    if (!str_equal(text, STR("true")) && !str_equal(text, STR("1")))
        return error_set(err, ERR_INVALID, "invalid value for keep_hierarchy: true or false");
    TRY(depth_param(call, "ancestor_depth", &ancestor_depth, err));
    if (ancestor_depth > 0)
        return error_set(err, ERR_INVALID, "invalid value for ancestor_depth: -1 or 0");
    out->ancestors = ancestor_depth == -1;
    return ERR_OK;
}

/* *keep NULL: all of it. *partial: something was left out. */
static ErrCode filter_trace(ApiCall *call, const SpanTable *table, uint8_t **keep, bool *partial,
                            Error *err) {
    TraceqlQuery *query;
    TraceFilter filter;

    *keep = NULL;
    *partial = false;
    TRY(filter_params(call, &filter, err));
    if (filter.query.len == 0) return ERR_OK;
    if (traceql_parse(filter.query, call->arena, &query, err) != ERR_OK ||
        traceql_check_trace_filter(query, call->arena, err) != ERR_OK)
        return error_wrap(err, "invalid TraceQL filter");
    if (table->trace_count == 0) return ERR_OK;
    *keep = ARENA_ARRAY(call->arena, uint8_t, table->row_count);
    if (*keep == NULL) return api_out_of_memory(err);
    TRY(traceql_filter_trace(query, table, filter.ancestors, filter.depth, &call->query, *keep,
                             err));
    for (uint32_t i = 0; i < table->row_count; i++) *partial = *partial || !(*keep)[i];
    return ERR_OK;
}

/* TraceByIDResponse: trace 1, metrics 2 (inspected bytes 1), status 3. The trace is there even if
 * it has nothing in it: readers count on it. */
static ErrCode write_v2_protobuf(ApiCall *call, const TempoSpans *spans, bool partial, Buf *out,
                                 Error *err) {
    uint64_t inspected = atomic_load(&call->trace_stats.bytes);
    size_t part = wire_begin(out, 1);

    call->content_type = "application/protobuf";
    if (!tempo_write_resource_spans(spans, out)) return api_out_of_memory(err);
    wire_end(out, part);
    part = wire_begin(out, 2);
    if (inspected > 0) wire_put_varint(out, 1, inspected);
    wire_end(out, part);
    if (partial) wire_put_varint(out, 3, 1);
    return ERR_OK;
}

static ErrCode run_v2(ApiCall *call, Buf *out, Error *err) {
    TempoSpans spans;
    SpanTable table;
    uint8_t *keep;
    bool partial;

    TRY(find(call, &table, err));
    TRY(filter_trace(call, &table, &keep, &partial, err));
    TRY(tempo_spans(&table, keep, call->arena, &spans, err));
    if (wants_protobuf(call)) return write_v2_protobuf(call, &spans, partial, out, err);
    buf_append_str(out, STR("{\"trace\":{"));
    if (table.trace_count > 0) {
        buf_append_str(out, STR("\"resourceSpans\":"));
        tempo_write_json(&spans, out);
    }
    buf_printf(out, "},\"metrics\":{\"inspectedBytes\":\"%" PRIu64 "\"}%s}",
               atomic_load(&call->trace_stats.bytes), partial ? ",\"status\":\"PARTIAL\"" : "");
    return ERR_OK;
}

static ErrCode run_echo(ApiCall *call, Buf *out, Error *err) {
    (void)err;
    call->content_type = "text/plain; charset=utf-8";
    buf_append_str(out, STR("echo"));
    return ERR_OK;
}

const ApiEndpoint api_tempo_trace_endpoints[] = {
    {HTTP_GET_, "/api/traces/{id}", run_v1, API_TEMPO},
    {HTTP_GET_, "/api/v2/traces/{id}", run_v2, API_TEMPO},
    {HTTP_GET_, "/api/echo", run_echo, API_TEMPO},
    {0},
};
