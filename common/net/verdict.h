#pragma once
/*
 * verdict.h: what becomes of a request whose head is whole: who handles it, or why it is refused.
 * Shared by the protocols; nobody outside this folder includes it.
 */
#include "common/net/internal.h"

typedef struct Verdict {
    int refused; /* the status; 0: not */
    char refusal[200];
    unsigned allowed; /* methods, for a 405 */
    void (*handle)(HttpRequest *request, void *context);
    void *context;
    RouteStats *stats;
    size_t body_bytes_max;
} Verdict;

/* One text for a length that says too much and for bodies that turn out to. */
#define VERDICT_TOO_LARGE "the body is larger than the limit of %zu bytes for this path"
#define VERDICT_OVER_BUDGET "the server holds as many bytes of requests as it may: try again"

/* Nobody handles it, and it is counted as route="other" until verdict_choose(). */
void verdict_init(Verdict *verdict, HttpServer *server);
/* Notes that the request can't be taken, and why; the first reason stays. */
void verdict_refuse(Verdict *verdict, int status, const char *format, ...) PRINTF_LIKE(3, 4);
/* Finds path and query in the target, and the route. The method is set. Refuses what has none. */
void verdict_choose(Verdict *verdict, HttpServer *server, HttpRequest *request);
/* "GET, HEAD" */
void verdict_allowed(const Verdict *verdict, Buf *out);
