/*
 * verdict.c: from a request's head to a handler or a refusal, the same for every version of HTTP.
 */
#include "common/net/verdict.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/net/grpc.h"

void verdict_init(Verdict *verdict, HttpServer *server) {
    verdict->refused = 0;
    verdict->allowed = 0;
    verdict->handle = NULL;
    verdict->context = NULL;
    verdict->stats = server->fallback_stats;
    verdict->body_bytes_max = server->options.body_bytes_max;
}

void verdict_refuse(Verdict *verdict, int status, const char *format, ...) {
    va_list args;

    if (verdict->refused != 0) return; /* the first reason is the one to tell */
    va_start(args, format);
    (void)vsnprintf(verdict->refusal, sizeof verdict->refusal, format, args);
    va_end(args);
    verdict->refused = status;
}

/* Tells path and query apart, in "/path?query" as in "http://host/path?query". */
static void split_target(HttpRequest *request) {
    Str target = request_str(request, request->target), path, query, rest;
    Str lowered = str_slice(target, 0, 8);
    size_t start = 0, end;

    if (str_equal_nocase(str_slice(lowered, 0, 7), STR("http://"))) start = 7;
    if (str_equal_nocase(lowered, STR("https://"))) start = 8;
    if (start > 0)
        while (start < target.len && strchr("/?#", target.ptr[start]) == NULL) start++;
    str_cut(str_from(target, start), '#', &rest, &query);
    str_cut(rest, '?', &path, &query);
    end = request->target.at + start;
    request->path = (Span){(uint32_t)end, (uint32_t)path.len};
    request->query = (Span){(uint32_t)(end + path.len + 1), (uint32_t)query.len};
    if (query.len == 0) request->query.at = 0;
    if (path.len > 0 || start == 0) return;
    request->path = (Span){(uint32_t)request->head.len, 1}; /* a bare "http://host" */
    buf_append_byte(&request->head, '/');
}

void verdict_choose(Verdict *verdict, HttpServer *server, HttpRequest *request) {
    const Route *route;

    split_target(request);
    if (!percent_is_valid(http_path(request))) {
        verdict_refuse(verdict, 400, "the path has a percent sign without two hex digits");
        return;
    }
    route = router_match(server->router, request->method, http_path(request), request->captures,
                         &verdict->allowed);
    if (route != NULL) {
        request->route = route;
        verdict->handle = route->given.handle;
        verdict->context = route->given.context;
        verdict->stats = route->stats;
        if (route->given.body_bytes_max > 0) verdict->body_bytes_max = route->given.body_bytes_max;
    } else if (verdict->allowed != 0) {
        verdict_refuse(verdict, 405, "this path does not take this method");
    } else if (grpc_is_call(request)) {
        verdict_refuse(verdict, 404, "there is no method " STR_FMT,
                       STR_ARG(str_slice(http_path(request), 0, 120)));
    } else if (server->fallback != NULL) {
        verdict->handle = server->fallback;
        verdict->context = server->fallback_context;
    } else {
        verdict_refuse(verdict, 404, "404 page not found");
    }
}

void verdict_allowed(const Verdict *verdict, Buf *out) {
    static const Str names[] = {STR_INIT("GET"), STR_INIT("HEAD"),   STR_INIT("POST"),
                                STR_INIT("PUT"), STR_INIT("DELETE"), STR_INIT("OPTIONS")};
    bool any = false;

    for (unsigned bit = 0; bit < ARRAY_LEN(names); bit++) {
        if ((verdict->allowed & 1U << bit) == 0) continue;
        if (any) buf_append(out, ", ", 2);
        buf_append_str(out, names[bit]);
        any = true;
    }
}
