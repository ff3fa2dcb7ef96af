/*
 * Random expressions: whatever the grammar allows gives the same as a range query, as its instant
 * queries, and after being printed and parsed again. PROMQL_RANDOM=n in the environment tries n of
 * them, PROMQL_SEED=s only the one that a failure names.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/promql/harness.h"

enum { SERIES = 12, SAMPLES = 40, STEP_MS = 15000, TRIES = 3000, STEPS = 6 };

static uint64_t seed, current;
static Harness range_query, instant_query;

static uint32_t draw(uint32_t below) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16) % below;
}

#define PICK(list) ((list)[draw(ARRAY_LEN(list))])

/* ---- expressions ---- */

static Buf text;

static void vector(int depth);
static void scalar(int depth);

static void say(const char *s) {
    buf_append_str(&text, str_of(s));
}

static void duration(void) {
    static const char *const durations[] = {"15s", "31s", "1m", "2m", "155s", "5m", "1ms"};

    say(PICK(durations));
}

static void labels(void) {
    static const char *const lists[] = {"()",         "(g)",  "(i)",   "(g, i)",
                                        "(__name__)", "(le)", "(nope)"};

    say(PICK(lists));
}

static void modifiers(void) {
    static const char *const times[] = {" @ 300", " @ 123.5", " offset -1m", " offset 45s"};

    if (draw(5) == 0) say(PICK(times));
}

static void selector(void) {
    static const char *const selectors[] = {"gauge",
                                            "counter_total",
                                            "native",
                                            "custom",
                                            "x_bucket",
                                            "gauge{g=\"g1\"}",
                                            "mixed",
                                            "{__name__=~\"gauge|counter_total\"}",
                                            "{__name__=~\"native|gauge\"}",
                                            "gauge{i=~\"[0-4]\"}",
                                            "nothing"};

    say(PICK(selectors));
}

static void range(int depth) {
    if (depth > 0 && draw(3) == 0) {
        say("(");
        vector(depth - 1);
        say(")[");
        duration();
        say(draw(2) ? ":20s]" : ":]");
    } else {
        selector();
        say("[");
        duration();
        say("]");
    }
    modifiers();
}

static void range_call(int depth) {
    static const char *const functions[] = {"rate",
                                            "increase",
                                            "delta",
                                            "irate",
                                            "idelta",
                                            "changes",
                                            "resets",
                                            "sum_over_time",
                                            "avg_over_time",
                                            "min_over_time",
                                            "max_over_time",
                                            "count_over_time",
                                            "stddev_over_time",
                                            "stdvar_over_time",
                                            "last_over_time",
                                            "first_over_time",
                                            "present_over_time",
                                            "absent_over_time",
                                            "deriv",
                                            "mad_over_time",
                                            "ts_of_max_over_time",
                                            "ts_of_min_over_time",
                                            "ts_of_first_over_time",
                                            "ts_of_last_over_time"};

    switch (draw(10)) {
    case 0:
        say("quantile_over_time(");
        scalar(depth - 1);
        say(", ");
        range(depth);
        break;
    case 1:
        say("predict_linear(");
        range(depth);
        say(", 30");
        break;
    case 2:
        say(draw(2) ? "rate(" : "increase(");
        selector();
        say(draw(2) ? "[2m] anchored" : "[2m] smoothed");
        break;
    default:
        say(PICK(functions));
        say("(");
        range(depth);
        break;
    }
    say(")");
}

static void aggregation(int depth) {
    static const char *const simple[] = {"sum", "avg",   "count",  "min",
                                         "max", "group", "stddev", "stdvar"};
    static const char *const with_param[] = {"topk", "bottomk", "limitk", "quantile",
                                             "limit_ratio"};
    static const char *const params[] = {"1", "2", "0.5", "-1", "0", "5"};
    bool param = draw(3) == 0, values = draw(12) == 0;

    say(values ? "count_values" : param ? PICK(with_param) : PICK(simple));
    if (draw(3) > 0) {
        say(draw(2) ? " by " : " without ");
        labels();
    }
    say("(");
    if (values)
        say("\"v\", ");
    else if (param) {
        say(PICK(params));
        say(", ");
    }
    vector(depth - 1);
    say(")");
}

static void call(int depth) {
    static const char *const functions[] = {"abs",
                                            "ceil",
                                            "floor",
                                            "sgn",
                                            "sqrt",
                                            "timestamp",
                                            "hour",
                                            "day_of_year",
                                            "absent",
                                            "histogram_count",
                                            "histogram_sum",
                                            "histogram_avg",
                                            "histogram_stddev",
                                            "round",
                                            "sort_by_label"};
    static const char *const wrapped[][2] = {
        {"clamp(", ", -10, 40)"},
        {"clamp_max(", ", 20)"},
        {"round(", ", 4)"},
        {"label_replace(", ", \"le\", \"$1\", \"i\", \"([0-9])\")"},
        {"label_replace(", ", \"g\", \"\", \"g\", \"g1\")"},
        {"label_join(", ", \"j\", \"-\", \"g\", \"i\")"},
        {"histogram_quantile(0.7, ", ")"},
        {"histogram_fraction(0, 3, ", ")"},
        {"histogram_quantiles(", ", \"q\", 0.1, 0.9)"},
        {"info(", ")"},
    };
    uint32_t i;

    if (draw(2)) {
        say(PICK(functions));
        say("(");
        vector(depth - 1);
        say(")");
        return;
    }
    i = draw(ARRAY_LEN(wrapped));
    say(wrapped[i][0]);
    vector(depth - 1);
    say(wrapped[i][1]);
}

static void binary(int depth) {
    static const char *const operators[] = {" + ",      " - ",       " * ",  " / ", " % ",  " ^ ",
                                            " == ",     " != ",      " > ",  " < ", " >= ", " <= ",
                                            " > bool ", " == bool ", " </ ", " >/ "};
    static const char *const sets[] = {" and ", " or ", " unless "};
    static const char *const groups[] = {"", "", " group_left () ", " group_right () ",
                                         " group_left (g) "};
    bool set = draw(3) == 0;

    say("(");
    vector(depth - 1);
    say(set ? PICK(sets) : PICK(operators));
    if (draw(2)) {
        say(draw(2) ? " on " : " ignoring ");
        labels();
        if (!set) say(PICK(groups));
        if (!set && draw(5) == 0) say(" fill (3) ");
    }
    vector(depth - 1);
    say(")");
}

static void vector(int depth) {
    static const char *const scalar_operators[] = {" + ", " * ", " > ", " <= bool ",
                                                   " / ", " ^ ", " >/ "};

    if (depth <= 0) {
        selector();
        modifiers();
        return;
    }
    switch (draw(8)) {
    case 0:
    case 1:
        range_call(depth);
        break;
    case 2:
    case 3:
        aggregation(depth);
        break;
    case 4:
        binary(depth);
        break;
    case 5:
        call(depth);
        break;
    case 6:
        say("(");
        vector(depth - 1);
        say(PICK(scalar_operators));
        scalar(depth - 1);
        say(")");
        break;
    default:
        if (draw(2)) {
            say("(-");
            vector(depth - 1);
            say(")");
        } else {
            selector();
            modifiers();
        }
        break;
    }
}

static void scalar(int depth) {
    static const char *const scalars[] = {"1", "0.5", "-2", "time()", "pi()", "NaN", "Inf", "7"};

    if (depth > 0 && draw(4) == 0) {
        say("scalar(");
        vector(depth - 1);
        say(")");
    } else {
        say(PICK(scalars));
    }
}

/* ---- data: multiples of a quarter, so that sums are exact in any order ---- */

static void load_histogram(FakeSource *fake, const LabelPair *pairs, int64_t time, double n,
                           bool custom) {
    HistogramSpan positive[] = {{0, 2}, {1, 1}};
    double counts[] = {n, 2 * n, 4}, bounds[] = {1, 2, 3, 4};
    NativeHistogram h = {.schema = custom ? HISTOGRAM_SCHEMA_CUSTOM : 0,
                         .is_float = true,
                         .zero_threshold = custom ? 0 : 0.25,
                         .zero_count = custom ? 0 : n,
                         .count = custom ? 3 * n + 4 : 4 * n + 4,
                         .sum = 5 * n,
                         .positive_spans = positive,
                         .positive_span_count = 2,
                         .positive = counts,
                         .positive_count = 3,
                         .custom_values = custom ? bounds : NULL,
                         .custom_count = custom ? 4 : 0};

    fake_source_add_histogram(fake, pairs, 4, time, &h);
}

static double stale(void) {
    uint64_t bits = STALE_NAN_BITS;
    double v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

static void load(FakeSource *fake, unsigned i) {
    char number[16], group[16], le[16];
    LabelPair pairs[4] = {
        {STR("__name__"), {0}}, {STR("i"), {0}}, {STR("g"), {0}}, {STR("le"), {0}}};
    double counter = 0, n = 0;

    snprintf(number, sizeof number, "%u", i);
    snprintf(group, sizeof group, "g%u", i % 3);
    snprintf(le, sizeof le, i % 4 == 3 ? "+Inf" : "%u", 1 + i % 4);
    pairs[1].value = str_of(number);
    pairs[2].value = str_of(group);
    for (int64_t s = 0; s < SAMPLES; s++) {
        int64_t time = s * STEP_MS + (i % 2) * 1234;

        counter = draw(20) == 0 ? 0 : counter + draw(9);
        n = draw(30) == 0 ? 0 : n + draw(3);
        if (draw(12) == 0) continue;
        pairs[0].value = STR("gauge");
        fake_source_add(fake, pairs, 4, time,
                        draw(25) == 0   ? stale()
                        : draw(25) == 0 ? NAN
                                        : (double)draw(400) / 4 - 50);
        pairs[0].value = STR("counter_total");
        fake_source_add(fake, pairs, 4, time, counter);
        pairs[0].value = STR("native");
        if (i < 4) load_histogram(fake, pairs, time, n, false);
        pairs[0].value = STR("custom");
        if (i < 4) load_histogram(fake, pairs, time, n, true);
        pairs[0].value = STR("mixed");
        if (i < 3 && s % 7 < 4) load_histogram(fake, pairs, time, n, false);
        if (i < 3 && s % 7 >= 4) fake_source_add(fake, pairs, 4, time, n);
        pairs[0].value = STR("x_bucket");
        pairs[3].value = str_of(le);
        fake_source_add(fake, pairs, 4, time, counter + (i % 4) * 8);
        pairs[3].value = STR("");
    }
}

/* ---- comparing ---- */

static bool same_number(double a, double b) {
    return (isnan(a) && isnan(b)) || a == b || fabs(a - b) <= 1e-12 * fmax(fabs(a), fabs(b));
}

static bool same_hist(const Hist *a, const Hist *b) {
    if (a == NULL || b == NULL) return a == b;
    if (!same_number(a->count, b->count) || !same_number(a->sum, b->sum) ||
        hist_bucket_count(a) != hist_bucket_count(b))
        return false;
    for (uint32_t i = 0; i < hist_bucket_count(a); i++)
        if (!same_number(hist_bucket(a, i).count, hist_bucket(b, i).count)) return false;
    return true;
}

static bool same_labels(const Harness *a, LabelSet x, const Harness *b, LabelSet y) {
    if (x.count != y.count) return false;
    for (uint32_t i = 0; i < x.count; i++)
        if (!str_equal(symbols_str(a->symbols, x.labels[i].name),
                       symbols_str(b->symbols, y.labels[i].name)) ||
            !str_equal(symbols_str(a->symbols, x.labels[i].value),
                       symbols_str(b->symbols, y.labels[i].value)))
            return false;
    return true;
}

static bool has(const PromqlSeries *series, size_t i) {
    return promql_has_float(series, i) || promql_histogram(series, i) != NULL;
}

/* How many samples `one` has at step a; all of them must be in `other` at step b. */
static size_t compare(const char *query, const Harness *one, size_t a, const Harness *other,
                      size_t b) {
    size_t samples = 0;

    for (size_t i = 0; i < one->result.series_count; i++) {
        const PromqlSeries *x = &one->result.series[i], *y = NULL;

        if (!has(x, a)) continue;
        samples++;
        for (size_t j = 0; j < other->result.series_count && y == NULL; j++)
            if (same_labels(one, x->labels, other, other->result.series[j].labels))
                y = &other->result.series[j];
        if (y == NULL || promql_has_float(x, a) != promql_has_float(y, b) ||
            !same_hist(promql_histogram(x, a), promql_histogram(y, b)) ||
            (promql_has_float(x, a) && !same_number(x->values[a], y->values[b])))
            fail_msg("PROMQL_SEED=%llu %s: series %zu at step %zu: %.17g, not %.17g",
                     (unsigned long long)current, query, i, a,
                     promql_has_float(x, a) ? x->values[a] : 0,
                     y != NULL && promql_has_float(y, b) ? y->values[b] : 0);
    }
    return samples;
}

static bool depends_on_order(const char *query) {
    /* Which of several series is picked, how a sum was rounded, or whether a series whose samples
     * come from both sides of an `or` keeps its name, may show. */
    static const char *const names[] = {"stdvar", "stddev", "limitk", "topk", "bottomk", " or "};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strstr(query, names[i]) != NULL) return true;
    return false;
}

static void try_one(uint64_t number) {
    int64_t start = 90000, step = 50000;
    char query[8192];
    ErrCode code;

    current = number;
    seed = number * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (int i = 0; i < 8; i++) draw(2);
    buf_clear(&text);
    vector(1 + (int)draw(4));
    if (text.len >= sizeof query) return;
    memcpy(query, text.ptr, text.len);
    query[text.len] = '\0';
    if (getenv("PROMQL_SEED") != NULL) print_message("%s\n", query);
    code = harness_run(&range_query, query, start, start + (STEPS - 1) * step, step);
    if (code != ERR_OK && code != ERR_INVALID && code != ERR_LIMIT)
        fail_msg("PROMQL_SEED=%llu %s: %s", (unsigned long long)number, query,
                 range_query.err.text);
    if (code != ERR_OK || depends_on_order(query)) return;
    for (int64_t s = 0; s < STEPS; s++) {
        size_t there, here;

        code = harness_run(&instant_query, query, 0, start + s * step, 0);
        if (code != ERR_OK)
            fail_msg("PROMQL_SEED=%llu %s at step %d: %s", (unsigned long long)number, query,
                     (int)s, instant_query.err.text);
        there = compare(query, &range_query, (size_t)s, &instant_query, 0);
        here = compare(query, &instant_query, 0, &range_query, (size_t)s);
        if (there != here)
            fail_msg("PROMQL_SEED=%llu %s at step %d: %zu samples, not %zu",
                     (unsigned long long)number, query, (int)s, here, there);
    }
}

static void random_expressions_are_consistent(void **state) {
    const char *only = getenv("PROMQL_SEED"), *many = getenv("PROMQL_RANDOM");
    uint64_t tries = many != NULL ? strtoull(many, NULL, 10) : TRIES;

    (void)state;
    harness_init(&range_query);
    harness_init(&instant_query);
    buf_init(&text, 0);
    for (unsigned i = 0; i < SERIES; i++) {
        seed = i + 77;
        load(range_query.fake, i);
        seed = i + 77;
        load(instant_query.fake, i);
    }
    for (uint64_t n = 0; n < tries; n++)
        try_one(only != NULL ? (tries = 1, strtoull(only, NULL, 10)) : n);
    buf_done(&text);
    harness_done(&range_query);
    harness_done(&instant_query);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_expressions_are_consistent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
