/*
 * promql_parse.c: the PromQL parser and printer over any bytes, and over what they print.
 */
#include "querier/promql/parser.h"
#include "tests/fuzz/fuzz.h"

static const Str seeds[] = {
    STR_INIT("sum by (job) (rate(http_requests_total{code=~\"5..\"}[5m])) / 2"),
    STR_INIT("histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m] offset 1h)))"),
    STR_INIT("max_over_time(deriv(rate(d[5s])[30s:5s] @ end())[10m:]) offset -5m"),
    STR_INIT("a + on (x, \"y z\") group_left (b) c and ignoring () d unless e"),
    STR_INIT("a > bool fill_left (1) fill_right (-2) b"),
    STR_INIT("foo[step() * 2 + 1m:max_of(1m, range())] offset -(5m)"),
    STR_INIT("{\"http.status\", \"a.b\"!~'c\\'d\\x41\\u00e9', e=`f`}"),
    STR_INIT("increase(x[5m] anchored) or delta(y[5m] smoothed)"),
    STR_INIT("-1 ^ 0x1F + 1_000e-3 - Inf * NaN % 1h30m # comment\n atan2 .5"),
    STR_INIT("topk without (a,) (3, h </ 5) == 1 >/ 2"),
    STR_INIT("count_values(\"v\", label_replace(x, \"a\", \"$1\", \"b\", \"(.*)\"))"),
};

bool fuzz_seed(unsigned n, Buf *out) {
    if (n >= ARRAY_LEN(seeds)) return false;
    buf_append_str(out, seeds[n]);
    return true;
}

/* False: it isn't PromQL. */
static bool canonical(Arena *arena, Str query, Buf *out) {
    PromqlExpr *expr;
    Error err = {0};

    if (promql_parse(arena, query, NULL, &expr, &err) != ERR_OK) {
        assert(err.text[0] != '\0');
        return false;
    }
    promql_print(expr, out);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    CLEANUP(arena_free) Arena *arena = arena_new(MIB(64), NULL);
    CLEANUP_IN_PLACE(buf_done) Buf first;
    CLEANUP_IN_PLACE(buf_done) Buf second;
    const Matcher *matchers;
    size_t count;
    Str text = {(const char *)data, size};

    buf_init(&first, MIB(4));
    buf_init(&second, MIB(4));
    if (arena == NULL) return 0;
    (void)!promql_parse_selector(arena, text, &matchers, &count, NULL);
    if (!canonical(arena, text, &first) || buf_failed(&first)) return 0;
    (void)!canonical(arena, buf_str(&first), &second);
    return 0;
}
