/*
 * promql_bench.c: what evaluating costs without reading: a source of synthetic series in memory.
 *
 *     promql_bench [-t THREADS] [-r ROUNDS] [NAME]
 *
 * Series are x_bucket{pod,service,le}, scraped every 15 s; the pods of a node share their instants.
 * Prints the best and the median of the rounds, and nanoseconds per series and step.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/pool.h"
#include "querier/promql/parser.h"
#include "querier/promql/result_json.h"

enum { LES = 12, PODS_PER_TARGET = 1, SCRAPE_MS = 15000, SERVICES = 10, ROUNDS_MAX = 100 };

typedef struct Bench {
    const char *name;
    const char *query;
    size_t series;
    int64_t range_ms; /* 0: instant */
    int64_t step_ms;
} Bench;

static const Bench benches[] = {
    {"count", "count({__name__=~\".+\"})", 100000, 0, 0},
    {"p99-20k-2h", "histogram_quantile(0.99, sum by (le) (rate(x_bucket[5m])))", 20000, 7200000,
     15000},
    {"p99-100k-15m", "histogram_quantile(0.99, sum by (le) (rate(x_bucket[5m])))", 100000, 900000,
     15000},
    {"rate-instant", "sum by (service) (rate(x_bucket[5m]))", 100000, 0, 0},
    {"by-pod", "sum by (pod) (rate(x_bucket[1m]))", 20000, 3600000, 60000},
    {"avg", "1 - avg by (pod) (rate(x_bucket[5m]))", 20000, 3600000, 15000},
    {"topk", "topk(10, sum by (pod) (rate(x_bucket[5m])))", 100000, 0, 0},
    {"topk-range", "topk(5, rate(x_bucket[5m]))", 20000, 3600000, 60000},
    {"max", "sum by (service) (max_over_time(x_bucket[5m]))", 20000, 3600000, 60000},
    {"sum-over-time", "sum by (service) (sum_over_time(x_bucket[5m]))", 20000, 3600000, 60000},
    {"avg-over-1h", "max(avg_over_time(x_bucket[1h]))", 2000, 3600000, 15000},
    {"quantile", "max(quantile_over_time(0.9, x_bucket[1h]))", 2000, 3600000, 60000},
    {"quantile-agg", "quantile by (le) (0.9, rate(x_bucket[5m]))", 20000, 3600000, 60000},
    {"binary", "rate(x_bucket[5m]) / on (pod, service, le) rate(x_bucket[1m])", 20000, 900000,
     15000},
    {"matrix", "rate(x_bucket[5m])", 20000, 900000, 15000},
    {"p99-by-pod", "histogram_quantile(0.99, rate(x_bucket[5m]))", 20000, 3600000, 60000},
};

/* Columns of one pod, shared by all its series but for the values. */
typedef struct Synthetic {
    SeriesSource source;
    size_t series;
    int64_t from_ms;
    size_t samples;
    int64_t **times; /* per target */
    double **values; /* per le: the same counter for all pods */
    Label *labels;
    LabelSet *sets;
    /* Of the last select. */
    int64_t min_ms, max_ms;
    size_t first, end;
    uint64_t selects;
} Synthetic;

struct SeriesScratch {
    char unused;
};

SeriesScratch *series_scratch_new(QueryContext *query) {
    (void)query;
    return calloc(1, sizeof(SeriesScratch));
}

void series_scratch_free(SeriesScratch *scratch) {
    free(scratch);
}

static ErrCode read_series(const SeriesSet *set, size_t i, SeriesScratch *scratch,
                           SeriesSamples *out, Error *err) {
    const Synthetic *s = set->context;
    size_t target = i / LES / PODS_PER_TARGET, first = s->first, end = s->end;

    (void)scratch, (void)err;
    while (first < end && s->times[target][first] < s->min_ms) first++;
    while (end > first && s->times[target][end - 1] > s->max_ms) end--;
    *out = (SeriesSamples){.times = s->times[target] + first,
                           .values = s->values[i % LES] + first,
                           .count = end - first,
                           .times_id = (target + 1) << 20 | (s->selects & 0xfffff)};
    return ERR_OK;
}

static ErrCode select_all(SeriesSource *source, QueryContext *query, const SelectRequest *request,
                          SeriesSet *out, Error *err) {
    Synthetic *s = source->context;
    Symbols *symbols = query->symbols;
    uint32_t pod = symbols_add(symbols, STR("pod")), le = symbols_add(symbols, STR("le"));
    uint32_t service = symbols_add(symbols, STR("service"));
    uint32_t name = symbols_add(symbols, STR("x_bucket"));
    uint32_t les[LES], services[SERVICES];

    (void)err;
    s->min_ms = request->min_ms;
    s->max_ms = request->max_ms;
    s->first = (size_t)MAX(request->min_ms / SCRAPE_MS - 1, 0);
    s->end = MIN((size_t)MAX(request->max_ms / SCRAPE_MS + 1, 0), s->samples);
    s->selects++;
    for (int i = 0; i < LES; i++)
        les[i] = symbols_add(
            symbols, i == LES - 1 ? STR("+Inf") : str_format(query->arena, "%g", ldexp(0.001, i)));
    for (int i = 0; i < SERVICES; i++)
        services[i] = symbols_add(symbols, str_format(query->arena, "service-%d", i));
    for (size_t p = 0; p * LES < s->series; p++) {
        uint32_t value = symbols_add(symbols, str_format(query->arena, "pod-%06zu", p));

        for (size_t i = p * LES; i < MIN((p + 1) * LES, s->series); i++) {
            Label *labels = s->labels + i * 4;

            labels[0] = (Label){SYMBOL_NAME, name};
            labels[1] = (Label){le, les[i % LES]};
            labels[2] = (Label){pod, value};
            labels[3] = (Label){service, services[p % SERVICES]};
            s->sets[i] = (LabelSet){labels, 4};
        }
    }
    *out = (SeriesSet){.labels = s->sets, .count = s->series, .read = read_series, .context = s};
    return ERR_OK;
}

static void synthetic_make(Synthetic *s, size_t series, int64_t span_ms) {
    size_t targets = series / LES / PODS_PER_TARGET + 1;

    *s = (Synthetic){.series = series, .samples = (size_t)(span_ms / SCRAPE_MS)};
    s->source.select = select_all;
    s->source.context = s;
    s->times = malloc(targets * sizeof *s->times);
    s->values = malloc(LES * sizeof *s->values);
    s->labels = malloc(series * 4 * sizeof *s->labels);
    s->sets = malloc(series * sizeof *s->sets);
    for (size_t t = 0; t < targets; t++) {
        s->times[t] = malloc(s->samples * sizeof(int64_t));
        for (size_t i = 0; i < s->samples; i++)
            s->times[t][i] = (int64_t)i * SCRAPE_MS + (int64_t)(t * 7919 % SCRAPE_MS);
    }
    for (size_t l = 0; l < LES; l++) {
        s->values[l] = malloc(s->samples * sizeof(double));
        for (size_t i = 0; i < s->samples; i++)
            s->values[l][i] = (double)(1000 + i * (l + 1) * 3 + i % 7);
    }
}

static void synthetic_free(Synthetic *s) {
    for (size_t t = 0; t < s->series / LES / PODS_PER_TARGET + 1; t++) free(s->times[t]);
    for (size_t l = 0; l < LES; l++) free(s->values[l]);
    free(s->times);
    free(s->values);
    free(s->labels);
    free(s->sets);
}

static uint64_t run_once(const Bench *bench, Synthetic *s, Pool *pool, uint64_t *ret_cpu,
                         size_t *ret_held) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    QueryContext query = {.arena = arena, .symbols = symbols_new(arena), .pool = pool};
    int64_t end = (int64_t)s->samples * SCRAPE_MS;
    PromqlParams params = {.start_ms = end - bench->range_ms,
                           .end_ms = end,
                           .step_ms = bench->range_ms > 0 ? bench->step_ms : 0,
                           .source = &s->source,
                           .query = &query};
    ResultJsonOptions options = {0};
    PromqlResult result;
    PromqlExpr *expr;
    uint64_t start, cpu;
    Error err;
    Buf json;

    buf_init(&json, 0);
    start = clock_monotonic_ns(clock_system());
    cpu = clock_thread_cpu_ns();
    if (promql_parse(arena, str_of(bench->query), NULL, &expr, &err) != ERR_OK ||
        promql_eval(expr, str_of(bench->query), &params, &result, &err) != ERR_OK ||
        result_json_write(&result, query.symbols, str_of(bench->query), &options, arena, &json,
                          &err) != ERR_OK) {
        fprintf(stderr, "%s: %s\n", bench->name, err.text);
        exit(1);
    }
    start = clock_monotonic_ns(clock_system()) - start;
    *ret_cpu = clock_thread_cpu_ns() - cpu;
    *ret_held = arena_held(arena);
    buf_done(&json);
    return start;
}

static int compare_times(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void run_bench(const Bench *bench, Pool *pool, unsigned rounds) {
    uint64_t times[ROUNDS_MAX], cpu = 0;
    double steps = bench->range_ms > 0 ? (double)(bench->range_ms / bench->step_ms + 1) : 1;
    size_t held = 0;
    Synthetic s;

    synthetic_make(&s, bench->series, bench->range_ms + 3900000);
    for (unsigned r = 0; r < rounds; r++) times[r] = run_once(bench, &s, pool, &cpu, &held);
    qsort(times, rounds, sizeof *times, compare_times);
    printf(
        "%-14s best %8.2f ms  median %8.2f ms  %7.2f ns/series-step  cpu here %8.2f ms  %6.1f MB\n",
        bench->name, (double)times[0] / 1e6, (double)times[rounds / 2] / 1e6,
        (double)times[0] / ((double)bench->series * steps), (double)cpu / 1e6, (double)held / 1e6);
    synthetic_free(&s);
}

int main(int argc, char **argv) {
    unsigned threads = 1, rounds = 10;
    const char *only = NULL;
    Pool *pool = NULL;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-t") == 0 && i + 1 < argc)
            threads = (unsigned)atoi(argv[++i]);
        else if (strcmp(argv[i], "-r") == 0 && i + 1 < argc)
            rounds = (unsigned)atoi(argv[++i]);
        else
            only = argv[i];
    }
    /* The caller works, too. */
    if (threads > 1 && pool_new("bench", threads - 1, 1000, &pool, NULL) != ERR_OK) return 1;
    for (size_t i = 0; i < ARRAY_LEN(benches); i++)
        if (only == NULL || strcmp(only, benches[i].name) == 0)
            run_bench(&benches[i], pool, MAX(MIN(rounds, ROUNDS_MAX), 1));
    pool_free(pool);
    return 0;
}
