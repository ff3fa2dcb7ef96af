/*
 * tempo_stream.c: tempopb.StreamingQuerier, which Grafana asks by gRPC on the port of HTTP. A
 * search tells of traces as they are found; the other calls answer with one message.
 */
#include "common/base/clock.h"
#include "common/net/grpc.h"
#include "querier/api/tempo_answer.h"

/* Not more often than somebody looks. */
#define EVERY_NS UINT64_C(200000000)

enum { MESSAGE_BYTES_MAX = 64 << 20 };

static ErrCode send(ApiCall *call, Buf *message, Error *err) {
    if (buf_failed(message))
        return error_set(err, ERR_LIMIT, "the answer is larger than %d bytes: ask for less",
                         MESSAGE_BYTES_MAX);
    if (!call->streaming) {
        grpc_respond_begin(call->request);
        call->streaming = true;
    }
    return grpc_respond_write(call->request, buf_str(message), err);
}

typedef struct Progress {
    ApiCall *call;
    const TempoSearch *search;
    Buf message;
    Arena *arena; /* the query's own isn't for whichever thread finds something */
    uint64_t sent_ns;
    ErrCode code;
} Progress;

static void on_found(void *context, const TraceqlFound *traces, size_t count, size_t units_done,
                     size_t units) {
    Progress *progress = context;
    uint64_t now_ns = clock_monotonic_ns(clock_system());
    MessageWriter w = {.out = &progress->message};
    Error err = {0};

    if (progress->code != ERR_OK || now_ns - progress->sent_ns < EVERY_NS) return;
    progress->sent_ns = now_ns;
    buf_clear(&progress->message);
    arena_reset(progress->arena);
    tempo_write_search(&w, progress->search, traces, count, &progress->call->trace_stats,
                       units_done, units, progress->arena);
    progress->code = send(progress->call, &progress->message, &err);
}

static ErrCode run_search(ApiCall *call, Buf *out, Error *err) {
    Progress progress = {.call = call, .sent_ns = clock_monotonic_ns(clock_system())};
    MessageWriter w = {.out = out};
    TraceqlSearchResult result;
    TempoSearch search;
    uint64_t units;
    ErrCode code;

    TRY(tempo_search_message(call, &search, err));
    progress.search = &search;
    progress.arena = arena_new(0, arena_budget(call->arena));
    if (progress.arena == NULL) return api_out_of_memory(err);
    buf_init(&progress.message, MESSAGE_BYTES_MAX);
    code = tempo_search(call, &search, on_found, &progress, &result, err);
    buf_done(&progress.message);
    arena_free(progress.arena);
    TRY(code);
    units = atomic_load(&call->trace_stats.units);
    tempo_write_search(&w, &search, result.traces, result.count, &call->trace_stats, units, units,
                       call->arena);
    return send(call, out, err);
}

static ErrCode run_tags(ApiCall *call, bool v2, Buf *out, Error *err) {
    MessageWriter w = {.out = out};
    TempoTags tags;

    TRY(tempo_tags_message(call, &tags, err));
    TRY(tempo_tags(call, &tags, v2, &w, err));
    return send(call, out, err);
}

static ErrCode run_tags_v1(ApiCall *call, Buf *out, Error *err) {
    return run_tags(call, false, out, err);
}

static ErrCode run_tags_v2(ApiCall *call, Buf *out, Error *err) {
    return run_tags(call, true, out, err);
}

static ErrCode run_values(ApiCall *call, bool v2, Buf *out, Error *err) {
    MessageWriter w = {.out = out};
    TempoValues values;

    TRY(tempo_values_message(call, &values, err));
    TRY(tempo_values(call, &values, v2, &w, err));
    return send(call, out, err);
}

static ErrCode run_values_v1(ApiCall *call, Buf *out, Error *err) {
    return run_values(call, false, out, err);
}

static ErrCode run_values_v2(ApiCall *call, Buf *out, Error *err) {
    return run_values(call, true, out, err);
}

static ErrCode run_metrics(ApiCall *call, bool instant, Buf *out, Error *err) {
    MessageWriter w = {.out = out};
    TempoMetrics metrics;

    TRY(tempo_metrics_message(call, instant, &metrics, err));
    TRY(tempo_metrics(call, &metrics, &w, err));
    return send(call, out, err);
}

static ErrCode run_range(ApiCall *call, Buf *out, Error *err) {
    return run_metrics(call, false, out, err);
}

static ErrCode run_instant(ApiCall *call, Buf *out, Error *err) {
    return run_metrics(call, true, out, err);
}

#define METHOD(name) "/tempopb.StreamingQuerier/" name

const ApiEndpoint api_tempo_stream_endpoints[] = {
    {HTTP_POST_, METHOD("Search"), run_search, API_TEMPO | API_GRPC},
    {HTTP_POST_, METHOD("SearchTags"), run_tags_v1, API_TEMPO | API_GRPC},
    {HTTP_POST_, METHOD("SearchTagsV2"), run_tags_v2, API_TEMPO | API_GRPC},
    {HTTP_POST_, METHOD("SearchTagValues"), run_values_v1, API_TEMPO | API_GRPC},
    {HTTP_POST_, METHOD("SearchTagValuesV2"), run_values_v2, API_TEMPO | API_GRPC},
    {HTTP_POST_, METHOD("MetricsQueryRange"), run_range, API_TEMPO | API_GRPC},
    {HTTP_POST_, METHOD("MetricsQueryInstant"), run_instant, API_TEMPO | API_GRPC},
    {0},
};
