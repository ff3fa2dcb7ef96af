/*
 * logql_bench.c: what a stage costs, in nanoseconds of CPU per line, over lines in the shapes of
 * the benchmark's data set (nginx, logfmt, JSON). Lines are in memory already: reading them is not
 * counted, and neither is what becomes of the labels.
 *
 *     logql_bench [text that names of cases must have]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "querier/logql/engine/rows.h"
#include "querier/logql/parser.h"

enum { LINES = 20000, ROUNDS = 5 };

typedef enum Shape { NGINX, LOGFMT, JSON } Shape;

typedef struct Case {
    const char *name;
    Shape shape;
    const char *query; /* {a="b"} and stages; or rate() of that, or a sum of it */
} Case;

static const Case CASES[] = {
    {"literal, in no line", NGINX, "{a=\"b\"} |= \"not in there\""},
    {"literal, in all lines", NGINX, "{a=\"b\"} |= \"HTTP/1.1\""},
    {"two literals, in no line", NGINX, "{a=\"b\"} |= \"not in\" or \"there\""},
    {"regex with a literal", NGINX, "{a=\"b\"} |~ \"(POST|PUT) /api/v1/orders/[0-9]{4} \""},
    {"regex of a class", NGINX, "{a=\"b\"} |~ \"[0-9]{9}\""},
    {"regex, letters of any case", NGINX, "{a=\"b\"} |~ \"(?i)okhttp\""},
    {"pattern filter", NGINX, "{a=\"b\"} |> \"<_> - - [<_>] <_> 200 <_>\""},
    {"addresses", NGINX, "{a=\"b\"} |= ip(\"10.0.0.0/8\")"},
    {"json", JSON, "{a=\"b\"} | json"},
    {"json, one filter", JSON, "{a=\"b\"} | json | http_status >= 500"},
    {"json, one label wanted", JSON,
     "sum(count_over_time({a=\"b\"} | json | http_status >= 500 [1m]))"},
    {"json, by level", JSON, "sum by (level) (count_over_time({a=\"b\"} | json [1m]))"},
    {"json of two paths", JSON, "{a=\"b\"} | json x=\"http.status\", y=\"user.ip\""},
    {"logfmt", LOGFMT, "{a=\"b\"} | logfmt"},
    {"logfmt, three filters", LOGFMT,
     "{a=\"b\"} | logfmt | level=\"error\" | status=\"503\" | bytes>29000"},
    {"logfmt, by level", LOGFMT, "sum by (level) (count_over_time({a=\"b\"} | logfmt [1m]))"},
    {"logfmt, unwrap", LOGFMT,
     "quantile_over_time(0.99, {a=\"b\"} | logfmt | unwrap duration(duration) | __error__=\"\" "
     "[5m]) "
     "by (app)"},
    {"logfmt of two keys", LOGFMT, "{a=\"b\"} | logfmt s=\"status\", duration"},
    {"regexp", NGINX,
     "{a=\"b\"} | regexp \"^(?P<ip>\\\\S+) .*\\\" (?P<status>\\\\d+) (?P<n>\\\\d+) \""},
    {"pattern", NGINX,
     "{a=\"b\"} | pattern \"<ip> - - [<_>] \\\"<method> <path> <_>\\\" <status> <n> <_>\""},
    {"label filter of a stream", NGINX, "{a=\"b\"} | app=\"none\""},
    {"line_format", LOGFMT, "{a=\"b\"} | logfmt | line_format \"{{.status}} {{.path | ToUpper}}\""},
    {"label_format", NGINX, "{a=\"b\"} | label_format x=\"{{.app}}-{{.pod}}\", y=app"},
    {"decolorize", NGINX, "{a=\"b\"} | decolorize"},
    {"drop", LOGFMT, "{a=\"b\"} | logfmt | drop ts, level, caller"},
};

static uint64_t state = 88172645463325252u;

static uint32_t rnd(uint32_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 33) % below;
}

static const char *hex(char *out, int digits) {
    for (int i = 0; i < digits; i++) out[i] = "0123456789abcdef"[rnd(16)];
    out[digits] = 0;
    return out;
}

static const char *pick(const char *const *texts, uint32_t count) {
    return texts[rnd(count)];
}

#define PICK(...)                                                                                  \
    pick((const char *const[]){__VA_ARGS__}, ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

static Str nginx(Arena *arena, const char *path, const char *status) {
    char id[64];

    return str_format(
        arena,
        "%u.%u.%u.%u - - [23/Nov/2026:10:11:%02u +0000] \"%s %s HTTP/1.1\" %s %u "
        "\"https://shop.example.com/\" \"%s\" 0.%03u \"%s\"",
        11 + rnd(200), rnd(256), rnd(256), rnd(256), rnd(60), PICK("GET", "GET", "POST", "PUT"),
        path, status, rnd(60000),
        PICK("curl/8.5.0", "okhttp/4.12.0",
             "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0"),
        rnd(1000), hex(id, 32));
}

static Str logfmt(Arena *arena, const char *path, const char *status) {
    char id[64];

    return str_format(
        arena,
        "ts=2026-11-23T10:11:%02u.%06uZ level=%s caller=%s msg=\"%s\" trace_id=%s method=%s "
        "path=%s "
        "status=%s duration=%u.%03ums bytes=%u user_id=%u",
        rnd(60), rnd(1000000), PICK("info", "info", "info", "debug", "warn", "error"),
        PICK("handler.go:142", "server.go:88", "cache.go:57"),
        PICK("request completed", "cache miss, loading from database", "batch flushed"),
        hex(id, 32), PICK("GET", "POST", "PUT"), path, status, rnd(900), rnd(1000), rnd(30000),
        rnd(200000));
}

static Str json(Arena *arena, const char *path, const char *status) {
    char trace[64], span[64], request[64];

    return str_format(
        arena,
        "{\"timestamp\":\"2026-11-23T10:11:%02u.%03uZ\",\"level\":\"%s\",\"service\":\"checkout\","
        "\"message\":\"%s\",\"trace_id\":\"%s\",\"span_id\":\"%s\",\"request_id\":\"%s\",\"http\":{"
        "\"method\":\"POST\",\"path\":\"%s\",\"status\":%s,\"latency_ms\":%u.%02u},\"user\":{"
        "\"id\":"
        "%u,\"ip\":\"10.%u.%u.%u\"},\"version\":\"2.14.%u\"}",
        rnd(60), rnd(1000), PICK("INFO", "INFO", "INFO", "DEBUG", "WARN", "ERROR"),
        PICK("order accepted", "payment declined by issuer", "upstream request finished"),
        hex(trace, 32), hex(span, 16), hex(request, 36), path, status, rnd(900), rnd(100),
        rnd(200000), rnd(256), rnd(256), rnd(256), rnd(4));
}

static Str make_line(Arena *arena, Shape shape) {
    const char *status = PICK("200", "200", "200", "200", "200", "201", "304", "400", "404", "404",
                              "429", "499", "500", "502", "503");
    Str path = str_format(arena,
                          PICK("/api/v1/items/%u", "/api/v1/cart#%u", "/api/v1/orders/%u",
                               "/api/v1/search?q=item%u&page=2", "/static/js/main.%u.js"),
                          rnd(50000));

    return shape == NGINX    ? nginx(arena, path.ptr, status)
           : shape == LOGFMT ? logfmt(arena, path.ptr, status)
                             : json(arena, path.ptr, status);
}

static double cpu_ns(void) {
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The pipeline of a log query, or of the range aggregation in a sum or by itself. */
static RowOptions options_of(const LogqlExpr *expr) {
    RowOptions options = {.metric = expr->kind != LOGQL_LOG};

    if (expr->kind == LOGQL_LOG) {
        options.log = &expr->as.log;
        return options;
    }
    if (expr->kind == LOGQL_VECTOR_AGGREGATION) {
        options.grouping = &expr->as.vector.grouping;
        options.no_labels = options.grouping->count == 0;
        expr = expr->as.vector.inner;
    } else {
        options.grouping = &expr->as.range.grouping;
    }
    options.log = &expr->as.range.log;
    options.unwrap = expr->as.range.unwrap;
    return options;
}

static double one_round(RowWorker *worker, const Str *lines, size_t *kept) {
    static const LabelPair metadata[] = {{STR_INIT("detected_level"), STR_INIT("info")}};
    double start = cpu_ns();

    *kept = 0;
    for (int i = 0; i < LINES; i++) {
        Row row;

        *kept += row_worker_run(worker, i, lines[i], (LabelPairs){metadata, 1}, false, &row);
    }
    return (cpu_ns() - start) / LINES;
}

static int run(Arena *arena, const Case *test) {
    static const LabelPair stream[] = {{STR_INIT("app"), STR_INIT("checkout")},
                                       {STR_INIT("cluster"), STR_INIT("prod-eu-1")},
                                       {STR_INIT("container"), STR_INIT("checkout")},
                                       {STR_INIT("namespace"), STR_INIT("shop")},
                                       {STR_INIT("node"), STR_INIT("ip-10-0-1-2")},
                                       {STR_INIT("pod"), STR_INIT("checkout-5d")},
                                       {STR_INIT("service_name"), STR_INIT("checkout")}};
    Str *lines = ARENA_ARRAY(arena, Str, LINES);
    LogqlEval eval = {.arena = arena};
    RowPipeline *pipeline = NULL;
    RowWorker *worker = NULL;
    LogqlExpr *expr = NULL;
    RowOptions options;
    double best = 0;
    size_t bytes = 0, kept = 0;
    Error err = {0};

    state = 88172645463325252u;
    for (int i = 0; i < LINES; i++) {
        lines[i] = make_line(arena, test->shape);
        bytes += lines[i].len;
    }
    if (logql_parse(arena, str_of(test->query), LOGQL_CHECKED, &expr, &err) != ERR_OK ||
        (options = options_of(expr), row_pipeline_new(&eval, &options, &pipeline, &err)) !=
            ERR_OK ||
        row_worker_new(pipeline, NULL, &worker, &err) != ERR_OK ||
        row_worker_stream(worker, (LabelPairs){stream, ARRAY_LEN(stream)}, &err) != ERR_OK) {
        fprintf(stderr, "%s: %s\n", test->query, err.text);
        return 1;
    }
    for (int i = 0; i < ROUNDS; i++) {
        double ns = one_round(worker, lines, &kept);

        if (best == 0 || ns < best) best = ns;
    }
    printf("%-28s %8.0f ns/line %8.2f GB/s %8zu of %d kept\n", test->name, best,
           (double)bytes / LINES / best, kept, LINES);
    row_worker_free(worker);
    return 0;
}

int main(int argc, char **argv) {
    int failed = 0;

    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);

        if (argc < 2 || strstr(CASES[i].name, argv[1]) != NULL) failed |= run(arena, &CASES[i]);
    }
    return failed;
}
