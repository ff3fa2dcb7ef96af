/*
 * promql_parse.c: the parser of PromQL and its printers, against each other.
 *
 * The first byte of an input chooses the options, the rest is the query. What is refused gets a
 * reason and, unless a limit is why, a position. What is not can be printed in all three forms; the
 * canonical one and the one over several lines mean the same again. Left out of that are offsets
 * that are arithmetic, whose canonical form, as Prometheus has it, may lose a sign that ended them,
 * ranges below a millisecond, which it shows as none, and infinity, whose sign there becomes an
 * operator when it is read again.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "querier/promql/parser.h"
#include "tests/fuzz/fuzz.h"

#define CHECK(condition, text)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, text);              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_reason(ErrCode code, const Error *err) {
    unsigned line = 0, column = 0;
    bool placed = sscanf(err->text, "%u:%u: parse error: ", &line, &column) == 2 ||
                  strncmp(err->text, "unknown position: parse error: ", 31) == 0;

    CHECK(code == ERR_INVALID || code == ERR_LIMIT, err->text);
    CHECK(code == ERR_LIMIT || placed, err->text);
    CHECK(err->text[0] != '\0', "no reason");
}

static void print(void (*how)(const PromqlExpr *, Buf *), const PromqlExpr *expr, Buf *out) {
    buf_init(out, 0);
    how(expr, out);
    CHECK(!buf_failed(out), "printing failed");
}

/* `text` is another spelling of what is `canonical`. */
static void check_same(Arena *arena, Str text, const PromqlOptions *options, Str canonical) {
    PromqlExpr *again = NULL;
    Error err = {0};
    Buf twice;

    if (promql_parse(arena, text, options, &again, &err) != ERR_OK) {
        CHECK(strstr(err.text, "duration must be greater than 0") != NULL || err.code == ERR_LIMIT,
              err.text);
        return;
    }
    print(promql_print, again, &twice);
    if (!str_equal(canonical, buf_str(&twice))) {
        fprintf(stderr, STR_FMT "\nis not\n" STR_FMT "\n", STR_ARG(buf_str(&twice)),
                STR_ARG(canonical));
        abort();
    }
    buf_done(&twice);
}

static void check_printers(Arena *arena, PromqlExpr *expr, const PromqlOptions *options) {
    Buf canonical, pretty, tree;
    json_t *json;

    print(promql_print, expr, &canonical);
    print(promql_print_pretty, expr, &pretty);
    print(promql_print_json, expr, &tree);
    json = json_loadb(tree.ptr, tree.len, JSON_ALLOW_NUL, NULL);
    /* jansson reads trees of 2048 levels. */
    CHECK(json != NULL || tree.len > 50000, "no JSON");
    json_decref(json);
    if (memmem(tree.ptr, tree.len, "\"offsetExpr\":{", 14) == NULL &&
        memmem(canonical.ptr, canonical.len, "+Inf", 4) == NULL) {
        check_same(arena, buf_str(&canonical), options, buf_str(&canonical));
        check_same(arena, buf_str(&pretty), options, buf_str(&canonical));
    }
    buf_done(&canonical);
    buf_done(&pretty);
    buf_done(&tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    PromqlOptions options = {0};
    const Matcher *matchers = NULL;
    PromqlExpr *expr = NULL;
    size_t count = 0;
    int64_t ms;
    Error err = {0};
    Arena *arena;
    ErrCode code;
    Str query;

    if (size == 0) return 0;
    options.experimental_off = data[0] & 1;
    options.unquoted_names = data[0] & 2;
    query = (Str){(const char *)data + 1, size - 1};
    arena = arena_new(MIB(64), NULL);
    CHECK(arena != NULL, "out of memory");
    code = promql_parse(arena, query, &options, &expr, &err);
    if (code != ERR_OK) {
        check_reason(code, &err);
    } else {
        check_printers(arena, expr, &options);
        code = promql_resolve_durations(expr, query, 0, 3600000, 15000, &err);
        if (code != ERR_OK) check_reason(code, &err);
    }
    if (promql_parse_selector(arena, query, &matchers, &count, &err) == ERR_OK)
        CHECK(count > 0, "no matchers");
    (void)!promql_parse_duration(query, &ms, &err);
    arena_free(arena);
    return 0;
}

bool fuzz_seed(unsigned n, Buf *out) {
    static const char *const seeds[] = {
        "sum by (job, \"a.b\") (rate(http_requests_total{code=~\"5..\", x!=\"\\u00e9\\xff\"}[5m]))",
        "histogram_quantile(0.99, sum without (x) (rate(a[5m] offset -1h @ 1.5e9))) > bool 1",
        "a / on (x) group_left (y, \"z z\") fill_left(-1) fill_right(0x1f) b # comment\n or c",
        "topk(3, label_replace({\"utf8.name\", 'k'=`v`}, \"a\", \"$1\", \"b\", \"(.*)\")) unless d",
        "max_over_time(deriv(rate(d[5m])[1h:30s] @ end())[10m:] offset 1w2d)",
        "m[max_of(step() * 2, 5m) + (range() / 3 % 7)] offset -min_of(1m, -step() ^ 2)",
        "m[5m:step()] offset (1m + 2s) * 3",
        "-1 ^ - - 2 ^ 3 atan2 +Inf % NaN == bool 1_000.5e-3 + 1h30m",
        "rate(m[5m] smoothed @ start()) and m anchored >/ 0.5 </ 2",
        "info(a, {__name__=~\"x|y|\", b!~\".+c.*\"}) + count_values(\"v\", start) + fill + by",
        "limit_ratio(-0.5, a) or sort_by_label(histogram_quantiles(b, \"q\", 0.1, .9), \"c\")",
        "http.requests{service.name=\"x\"} * ignoring (\xc3\xa9) \xe6\xb8\xa9",
        "((((a) + (b))))[5m:1m]",
        "{a=~\"(?i)(?P<n>[[:alpha:]]+)\\\\d{1,3}\",a=~\"a|b\",a=~\"pre.*\"}",
        "5m30s",
        "a > bool fill_left (1) fill_right (-2) b and ignoring () d unless e",
        "topk without (a,) (3, h </ 5) == 1 >/ 2",
    };

    if (n >= ARRAY_LEN(seeds)) return false;
    buf_append_byte(out, n == 11 ? 2 : 0);
    buf_append_str(out, str_of(seeds[n]));
    return true;
}
