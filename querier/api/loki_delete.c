/*
 * loki_delete.c: requests to delete logs: made, listed, cancelled. They are kept in the manifest;
 * what they are about is hidden by whoever reads it from then on and left out by the compactor.
 * https://grafana.com/docs/loki/latest/reference/loki-http-api/#request-log-deletion
 */
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/rfc3339.h"
#include "querier/api/loki.h"
#include "querier/logql/engine/cut.h"
#include "querier/logql/units.h"

enum { SECONDS_DIGITS = 10, ID_BYTES = 8, ID_ATTEMPTS = 100 };

#define NS_PER_MS INT64_C(1000000)

/* ---- parameters ---- */

/* Ten characters that are seconds, or RFC 3339. */
static bool parse_time(Str text, int64_t *ms) {
    double seconds;
    int64_t ns;

    if (rfc3339_parse(text, &ns)) {
        *ms = ns / NS_PER_MS - (ns % NS_PER_MS < 0);
        return true;
    }
    if (text.len != SECONDS_DIGITS || !str_to_double(text, &seconds) ||
        !(seconds > -1e11 && seconds < 1e11))
        return false;
    *ms = (int64_t)(seconds * 1000 + (seconds < 0 ? -0.5 : 0.5));
    return true;
}

static ErrCode bad_time(const char *which, Error *err) {
    return error_set(err, ERR_INVALID, "invalid %s time: require unix seconds or RFC3339 format",
                     which);
}

static ErrCode range_params(const ApiCall *call, int64_t now_ms, ManifestDelete *out, Error *err) {
    Str text;

    if (!api_param(call, "start", &text) || text.len == 0)
        return error_set(err, ERR_INVALID, "start time not set");
    if (!parse_time(text, &out->start_ms)) return bad_time("start", err);
    out->end_ms = now_ms;
    if (api_param(call, "end", &text) && text.len > 0 && !parse_time(text, &out->end_ms))
        return bad_time("end", err);
    if (out->end_ms > now_ms)
        return error_set(err, ERR_INVALID, "deletes in the future are not allowed");
    if (out->start_ms >= out->end_ms)
        return error_set(err, ERR_INVALID, "start time can't be greater than or equal to end time");
    return ERR_OK;
}

static ErrCode interval_error(const char *than, int64_t ns, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf text;

    buf_init(&text, 0);
    logql_append_go_duration(&text, ns);
    buf_append_byte(&text, '\0');
    return error_set(err, ERR_INVALID, "max_interval can't be greater than %s%s%s", than,
                     buf_failed(&text) ? "" : text.ptr, than[0] == '\0' ? "" : ")");
}

/* Nothing is done in pieces here; a client that asks for pieces is told the same as by Loki. */
static ErrCode check_interval(const ApiCall *call, const ManifestDelete *request, Error *err) {
    int64_t max_ns = call->querier->options.delete_interval_max_ms * NS_PER_MS, ns;
    int64_t range_ns;
    Str text;

    if (!api_param(call, "max_interval", &text) || text.len == 0) return ERR_OK;
    if (!logql_parse_go_duration(text, &ns) || ns < NS_PER_S)
        return error_set(err, ERR_INVALID,
                         "invalid max_interval: valid time units are 's', 'm', 'h'");
    if (max_ns != 0 && ns > max_ns) return interval_error("", max_ns, err);
    if (__builtin_mul_overflow(request->end_ms - request->start_ms, NS_PER_MS, &range_ns))
        return ERR_OK;
    return ns > range_ns ? interval_error("the interval to be deleted (", range_ns, err) : ERR_OK;
}

static ErrCode check_query(ApiCall *call, Str query, bool *filters, Error *err) {
    const LogCutLanguage *language = logql_cut_language();
    LogCutQuery *compiled;
    ErrCode code = language->compile(query, call->arena, &compiled, err);

    if (code == ERR_INVALID) return error_set(err, ERR_INVALID, "invalid query expression");
    TRY(code);
    *filters = language->filters(compiled);
    return ERR_OK;
}

/* ---- what is there ---- */

static const ManifestSnapshot *pin_snapshot(ApiCall *call, const ManifestDelete **out,
                                            size_t *count) {
    const ManifestSnapshot *snapshot = manifest_snapshot(call->querier->options.fetch.manifest);

    *out = manifest_deletes(snapshot, count);
    return snapshot;
}

/* The tenant's request of this id. */
static bool find_request(ApiCall *call, Str id, ManifestDelete *out) {
    const ManifestDelete *all;
    size_t count;
    const ManifestSnapshot *snapshot = pin_snapshot(call, &all, &count);
    bool found = false;

    for (size_t i = 0; i < count && !found; i++) {
        found = str_equal(all[i].id, id) && str_equal(all[i].tenant, call->tenants[0]);
        if (found) *out = all[i];
    }
    manifest_snapshot_unref(snapshot);
    return found;
}

/* ---- making one ---- */

static ErrCode make_id(ApiCall *call, char out[ID_BYTES + 1], Error *err) {
    ManifestDelete known;

    for (unsigned attempt = 0; attempt < ID_ATTEMPTS; attempt++) {
        snprintf(out, ID_BYTES + 1, "%08x", (uint32_t)random_u64());
        if (!find_request(call, str_of(out), &known)) return ERR_OK;
    }
    return error_set(err, ERR_INTERNAL, "no id is free");
}

static ErrCode run_add(ApiCall *call, Error *err) {
    const QuerierOptions *options = &call->querier->options;
    int64_t now_ms = clock_now_ms(options->clock);
    ManifestDelete request = {.tenant = call->tenants[0], .created_ms = now_ms};
    ManifestDeletesChange change = {.add = &request};
    char id[ID_BYTES + 1];
    bool filters = false;

    if (!api_param(call, "query", &request.query) || request.query.len == 0)
        return error_set(err, ERR_INVALID, "query not set");
    TRY(check_query(call, request.query, &filters, err));
    TRY(range_params(call, now_ms, &request, err));
    if (filters) TRY(check_interval(call, &request, err));
    TRY(make_id(call, id, err));
    request.id = str_of(id);
    TRY(manifest_change_deletes(options->fetch.manifest, &change, err));
    /* What comes in from now on is not meant. */
    if (options->cut != NULL) options->cut(options->cut_context);
    counter_add(telemetry_counter("moraine_delete_requests_total", "",
                                  "Requests to delete logs that were taken."),
                1);
    LOG_INFO("delete request taken", LOG_STR("tenant", request.tenant), LOG_STR("id", request.id),
             LOG_STR("query", str_slice(request.query, 0, 1024)));
    http_set_header(call->request, "X-Delete-Request-ID", request.id);
    call->status = 204;
    return ERR_OK;
}

/* ---- listing them ---- */

/* Seconds with as many decimals as there are, as Prometheus' model.Time is written. */
static void write_time(Buf *out, int64_t ms) {
    uint64_t left = ms < 0 ? -(uint64_t)ms : (uint64_t)ms;
    unsigned part = (unsigned)(left % 1000), digits = 3;

    buf_printf(out, "%s%llu", ms < 0 ? "-" : "", (unsigned long long)(left / 1000));
    if (part == 0) return;
    for (; part % 10 == 0; part /= 10) digits--;
    buf_printf(out, ".%0*u", (int)digits, part);
}

/* Before the compactor may touch anything, nothing is in process, whatever merging made of the
 * objects meanwhile. */
static bool is_due(const ApiCall *call, const ManifestDelete *request) {
    const QuerierOptions *options = &call->querier->options;

    return call->limits.deletion_mode == DELETION_FILTER_AND_DELETE &&
           clock_now_ms(options->clock) - request->created_ms >= options->delete_cancel_ms;
}

/* As Loki has it. */
static void write_status(const ApiCall *call, const ManifestSnapshot *snapshot,
                         const ManifestDelete *request, Buf *out) {
    ManifestProgress progress = {0};

    if (request->processed_ms == 0 && is_due(call, request))
        progress = manifest_delete_progress(snapshot, request);
    if (request->processed_ms != 0)
        buf_append_str(out, STR("processed"));
    else if (progress.cleared == 0)
        buf_append_str(out, STR("received"));
    else /* all of them: heads or the last look are still to come */
        buf_printf(out, "%zu%% Complete",
                   MIN(progress.cleared * 100 / progress.objects, (size_t)99));
}

static void write_request(const ApiCall *call, const ManifestSnapshot *snapshot, Buf *out,
                          const ManifestDelete *request) {
    buf_append_str(out, STR("{\"request_id\":"));
    json_append_string(out, request->id);
    buf_append_str(out, STR(",\"start_time\":"));
    write_time(out, request->start_ms);
    buf_append_str(out, STR(",\"end_time\":"));
    write_time(out, request->end_ms);
    buf_append_str(out, STR(",\"query\":"));
    json_append_string(out, request->query);
    buf_append_str(out, STR(",\"status\":\""));
    write_status(call, snapshot, request, out);
    buf_append_str(out, STR("\",\"created_at\":"));
    write_time(out, request->created_ms);
    buf_append_str(out, STR(",\"user_id\":\"\"}"));
}

static ErrCode list_range(const ApiCall *call, int64_t *start_ms, int64_t *end_ms, Error *err) {
    Str start, end;

    *start_ms = INT64_MIN;
    *end_ms = INT64_MAX;
    if (!api_param(call, "start", &start) || !api_param(call, "end", &end) || start.len == 0 ||
        end.len == 0)
        return ERR_OK;
    if (!parse_time(start, start_ms)) return bad_time("start", err);
    return parse_time(end, end_ms) ? ERR_OK : bad_time("end", err);
}

static ErrCode run_list(ApiCall *call, Buf *out, Error *err) {
    const ManifestSnapshot *snapshot;
    const ManifestDelete *all;
    int64_t start_ms, end_ms;
    bool unprocessed, first = true;
    size_t count;
    Str text;

    TRY(list_range(call, &start_ms, &end_ms, err));
    unprocessed = api_param(call, "for_querytime_filtering", &text) && str_equal(text, STR("true"));
    TRY(manifest_refresh(call->querier->options.fetch.manifest, err));
    snapshot = pin_snapshot(call, &all, &count);
    buf_append_byte(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (!str_equal(all[i].tenant, call->tenants[0]) || all[i].start_ms > end_ms ||
            all[i].end_ms < start_ms || (unprocessed && all[i].processed_ms != 0))
            continue;
        if (!first) buf_append_byte(out, ',');
        first = false;
        write_request(call, snapshot, out, &all[i]);
    }
    buf_append_str(out, STR("]\n"));
    manifest_snapshot_unref(snapshot);
    return ERR_OK;
}

/* ---- taking one back ---- */

static ErrCode not_found(Error *err) {
    return error_set(err, ERR_NOT_FOUND, "could not find delete request with given id");
}

static ErrCode processed(Error *err) {
    return error_set(err, ERR_INVALID,
                     "deletion of request which is in process or already processed is not allowed");
}

static ErrCode check_deadline(const ApiCall *call, const ManifestDelete *request, Error *err) {
    int64_t period_ms = call->querier->options.delete_cancel_ms;
    CLEANUP_IN_PLACE(buf_done) Buf text;
    Str force;

    buf_init(&text, 0);
    if (period_ms <= 0 ||
        clock_now_ms(call->querier->options.clock) - request->created_ms <= period_ms)
        return ERR_OK;
    if (api_param(call, "force", &force) && str_equal(force, STR("true"))) return ERR_OK;
    logql_append_go_duration(&text, period_ms * NS_PER_MS);
    buf_append_byte(&text, '\0');
    return error_set(err, ERR_INVALID,
                     "Cancellation of partially completed delete request or delete request past "
                     "the deadline of %s since its creation is not allowed. To force, use the "
                     "?force query parameter",
                     buf_failed(&text) ? "" : text.ptr);
}

static ErrCode run_cancel(ApiCall *call, Error *err) {
    Manifest *manifest = call->querier->options.fetch.manifest;
    ManifestDeleteId id = {.tenant = call->tenants[0]};
    ManifestDeletesChange change = {.remove = &id, .remove_count = 1, .unprocessed_only = true};
    ManifestDelete request;
    ErrCode code;

    (void)api_param(call, "request_id", &id.id);
    TRY(manifest_refresh(manifest, err));
    if (!find_request(call, id.id, &request)) return not_found(err);
    if (request.processed_ms != 0) return processed(err);
    TRY(check_deadline(call, &request, err));
    code = manifest_change_deletes(manifest, &change, err);
    if (code == ERR_NOT_FOUND) return not_found(err);
    if (code == ERR_EXISTS) return processed(err);
    TRY(code);
    LOG_INFO("delete request cancelled", LOG_STR("tenant", id.tenant), LOG_STR("id", id.id));
    call->status = 204;
    return ERR_OK;
}

/* ---- the endpoint ---- */

static ErrCode run_delete(ApiCall *call, Buf *out, Error *err) {
    if (call->tenant_count > 1) return error_set(err, ERR_INVALID, "multiple org IDs present");
    if (call->limits.deletion_mode == DELETION_DISABLED)
        return error_set(err, ERR_DENIED, "deletion is not available for this tenant");
    switch (http_method(call->request)) {
    case HTTP_GET_:
        return run_list(call, out, err);
    case HTTP_DELETE_:
        return run_cancel(call, err);
    default:
        return run_add(call, err);
    }
}

const ApiEndpoint api_loki_delete_endpoints[] = {
    {HTTP_GET_ | HTTP_POST_ | HTTP_PUT_ | HTTP_DELETE_, "/loki/api/v1/delete", run_delete,
     API_LOKI},
    {0, NULL, NULL, 0},
};
