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
#include "tests/unit/promql/random_expr.h"

enum { SERIES = 12, SAMPLES = 40, STEP_MS = 15000, TRIES = 3000, STEPS = 6 };

static uint64_t current;
static Harness range_query, instant_query;

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
    random_seed(number * UINT64_C(0x9e3779b97f4a7c15) + 1);
    for (int i = 0; i < 8; i++) random_draw(2);
    if (!random_expr(1 + (int)random_draw(4), query, sizeof query)) return;
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
    for (unsigned i = 0; i < SERIES; i++) {
        random_seed(i + 77);
        random_load(range_query.fake, i, SAMPLES, STEP_MS);
        random_seed(i + 77);
        random_load(instant_query.fake, i, SAMPLES, STEP_MS);
    }
    for (uint64_t n = 0; n < tries; n++)
        try_one(only != NULL ? (tries = 1, strtoull(only, NULL, 10)) : n);
    harness_done(&range_query);
    harness_done(&instant_query);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_expressions_are_consistent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
