/*
 * promql_eval.c: any text that parses is evaluated, as an instant and as a range query, over a few
 * series with resets, gaps and histograms, with little memory.
 */
#include "querier/promql/parser.h"
#include "querier/promql/result_json.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/promql/fake_source.h"

static const Str seeds[] = {
    STR_INIT("sum by (g) (rate(c_total{g=\"a\"}[5m])) / 2"),
    STR_INIT("histogram_quantile(0.9, sum(rate(h[5m] offset 1m)))"),
    STR_INIT("max_over_time(deriv(c_total[1m])[3m:5s] @ end()) offset -5m"),
    STR_INIT("c_total + on (g) group_left (le) g and ignoring () h unless c_total"),
    STR_INIT("c_total > bool fill_left (1) fill_right (-2) g"),
    STR_INIT("quantile_over_time(.5, g[step() * 2 + 1m:max_of(1m, range())] offset -(5m))"),
    STR_INIT("increase(c_total[5m] anchored) or delta(h[5m] smoothed)"),
    STR_INIT("topk without (g) (3, h </ 5) == 1 >/ 2"),
    STR_INIT("count_values(\"v\", label_replace(g, \"a\", \"$1\", \"g\", \"(.*)\"))"),
    STR_INIT("info(g) * predict_linear(g[2m], time()) ^ limit_ratio(0.5, g)"),
    STR_INIT("histogram_quantiles(h, \"q\", 0.1, scalar(g)) - absent(nothing)"),
};

bool fuzz_seed(unsigned n, Buf *out) {
    if (n >= ARRAY_LEN(seeds)) return false;
    buf_append_str(out, seeds[n]);
    return true;
}

static void add_histogram(FakeSource *fake, const LabelPair *labels, int64_t time, double n) {
    HistogramSpan spans[] = {{-1, 2}, {2, 1}};
    double counts[] = {n, 2 * n, 1};
    NativeHistogram h = {.is_float = true,
                         .zero_threshold = 0.01,
                         .zero_count = n,
                         .count = 4 * n + 1,
                         .sum = n,
                         .positive_spans = spans,
                         .positive_span_count = 2,
                         .positive = counts,
                         .positive_count = 3};

    fake_source_add_histogram(fake, labels, 2, time, &h);
}

static FakeSource *make_source(void) {
    static const Str names[] = {STR_INIT("g"), STR_INIT("c_total"), STR_INIT("h")};
    static const Str groups[] = {STR_INIT("a"), STR_INIT("b")};
    FakeSource *fake = fake_source_new();

    for (size_t n = 0; n < ARRAY_LEN(names); n++)
        for (size_t g = 0; g < ARRAY_LEN(groups); g++)
            for (int64_t s = 0; s < 20; s++) {
                LabelPair labels[] = {{STR("__name__"), names[n]}, {STR("g"), groups[g]}};

                if (s % 7 == 3) continue;
                if (n < 2)
                    fake_source_add(fake, labels, 2, s * 15000, (double)(s % 9));
                else
                    add_histogram(fake, labels, s * 15000, (double)(s % 9));
            }
    return fake;
}

static void evaluate(FakeSource *fake, Str query, int64_t step_ms) {
    Budget budget;
    Arena *arena;
    QueryContext context = {.samples_max = 100000};
    PromqlParams params = {.start_ms = 60000, .end_ms = 240000, .step_ms = step_ms};
    ResultJsonOptions options = {.annotations_max = 10};
    PromqlResult result;
    PromqlExpr *expr;
    Error err = {0};
    Buf json;

    budget_init(&budget, "fuzz", MIB(4), NULL);
    arena = arena_new(0, &budget);
    context.arena = arena;
    context.symbols = symbols_new(arena);
    params.query = &context;
    params.source = fake_source_series(fake);
    if (promql_parse(arena, query, NULL, &expr, &err) == ERR_OK &&
        promql_eval(expr, query, &params, &result, &err) == ERR_OK) {
        buf_init(&json, MIB(4));
        if (result_json_write(&result, context.symbols, query, &options, arena, &json, &err) !=
            ERR_OK)
            assert(err.code == ERR_LIMIT);
        buf_done(&json);
    } else {
        assert(err.code != ERR_INTERNAL && err.code != ERR_CORRUPT && err.text[0] != '\0');
    }
    arena_free(arena);
    assert(budget_used(&budget) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static FakeSource *fake;
    Str query = {(const char *)data, size};

    if (fake == NULL) fake = make_source();
    if (size > 4096) return 0;
    evaluate(fake, query, 0);
    evaluate(fake, query, 20000);
    return 0;
}
