/* windows_test.c: range aggregations against the plainest way to compute them: entry by entry, step
 * by step, for random entries, ranges, steps and offsets. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

#include "querier/logql/engine/engine.h"
#include "querier/logql/parser.h"
#include "tests/unit/logql/fake_streams.h"

enum { ENTRIES = 150, ROUNDS = 60, STREAMS = 3 };

static uint64_t seed = 42;
static Pool *pool;

static uint64_t next_random(uint64_t below) {
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (seed >> 33) % below;
}

typedef struct World {
    FakeEntry entries[STREAMS][ENTRIES];
    double values[STREAMS][ENTRIES];
    char lines[STREAMS][ENTRIES][40];
    FakeStream streams[STREAMS];
    FakeStreams fake;
} World;

static void make_world(World *world, int64_t span) {
    static const char *const labels[STREAMS] = {"app=a,pod=1", "app=a,pod=2", "app=b,pod=1"};

    for (size_t s = 0; s < STREAMS; s++) {
        int64_t time = 0;

        for (size_t i = 0; i < ENTRIES; i++) {
            time += (int64_t)next_random((uint64_t)span / ENTRIES * 2 + 2);
            world->values[s][i] = (double)(int64_t)next_random(2000) / 8 - 100;
            snprintf(world->lines[s][i], sizeof world->lines[s][i], "v=%.3f%s", world->values[s][i],
                     next_random(2) == 0 ? " x=y" : "");
            world->entries[s][i] = (FakeEntry){time, world->lines[s][i], NULL};
        }
        world->streams[s] = (FakeStream){labels[s], world->entries[s], ENTRIES};
    }
    fake_streams_init(&world->fake, world->streams, STREAMS);
    world->fake.unit_entries = next_random(40) + 1;
    world->fake.batch_entries = next_random(30) + 1;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* NAN: there is no value. Values of the window come in order of time. */
static double plain(LogqlRangeOp op, double *v, size_t n, size_t bytes, double seconds) {
    double sum = 0, mean, square = 0, rank;

    if (n == 0) return NAN;
    for (size_t i = 0; i < n; i++) sum += v[i];
    mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) square += (v[i] - mean) * (v[i] - mean);
    switch (op) {
    case LOGQL_COUNT_OVER_TIME:
        return (double)n;
    case LOGQL_RATE:
        return (double)n / seconds;
    case LOGQL_BYTES_OVER_TIME:
        return (double)bytes;
    case LOGQL_SUM_OVER_TIME:
        return sum;
    case LOGQL_AVG_OVER_TIME:
        return mean;
    case LOGQL_STDVAR_OVER_TIME:
        return square / (double)n;
    case LOGQL_FIRST_OVER_TIME:
        return v[0];
    case LOGQL_LAST_OVER_TIME:
        return v[n - 1];
    default:
        break;
    }
    qsort(v, n, sizeof *v, compare);
    if (op == LOGQL_MIN_OVER_TIME) return v[0];
    if (op == LOGQL_MAX_OVER_TIME) return v[n - 1];
    rank = 0.7 * (double)(n - 1); /* quantile_over_time(0.7, ...) */
    return v[(size_t)rank] * (1 - (rank - floor(rank))) +
           v[MIN((size_t)rank + 1, n - 1)] * (rank - floor(rank));
}

/* Of one stream, in the window that ends at `end`. */
static double expected(const World *world, size_t stream, LogqlRangeOp op, int64_t end,
                       int64_t range) {
    double values[ENTRIES];
    size_t n = 0, bytes = 0;

    for (size_t i = 0; i < ENTRIES; i++) {
        int64_t time = world->entries[stream][i].time_ns;

        if (time <= end - range || time > end) continue;
        values[n++] = world->values[stream][i];
        bytes += strlen(world->lines[stream][i]);
    }
    return plain(op, values, n, bytes, (double)range / 1e9);
}

static bool unwraps(LogqlRangeOp op) {
    return op != LOGQL_COUNT_OVER_TIME && op != LOGQL_RATE && op != LOGQL_BYTES_OVER_TIME;
}

static const LogqlSeries *series_of(const LogqlResult *result, const Symbols *symbols,
                                    const FakeStream *stream) {
    for (size_t i = 0; i < result->series_count; i++) {
        CLEANUP_IN_PLACE(buf_done) Buf text = {0};
        LabelSet labels = result->series[i].labels;

        buf_init(&text, 0);
        for (uint32_t k = 0; k < labels.count; k++)
            buf_printf(&text, "%s" STR_FMT "=" STR_FMT, k > 0 ? "," : "",
                       STR_ARG(symbols_str(symbols, labels.labels[k].name)),
                       STR_ARG(symbols_str(symbols, labels.labels[k].value)));
        if (str_equal(buf_str(&text), str_of(stream->labels))) return &result->series[i];
    }
    return NULL;
}

static void check_round(World *world, LogqlRangeOp op) {
    CLEANUP(arena_free) Arena *arena = arena_new(MIB(64), NULL);
    QueryContext query = {.arena = arena, .symbols = symbols_new(arena), .pool = pool};
    int64_t ms = 1000000, span = 1000 * ms, step = (int64_t)(next_random(200) + 1) * ms;
    int64_t range = (int64_t)(next_random(next_random(2) ? 1000 : 100) + 1) * ms;
    int64_t offset = ((int64_t)next_random(100) - 50) * ms;
    Str text;
    LogqlParams params = {.start_ns = 0,
                          .end_ns = span,
                          .step_ns = step,
                          .source = &world->fake.source,
                          .query = &query};
    LogqlExpr *expr = NULL;
    LogqlResult result;
    Error err = {0};

    make_world(world, span);
    text = str_format(arena, "%s(%s{app=~\".+\"}%s[%lldms] offset %lldms)", logql_range_op_text(op),
                      op == LOGQL_QUANTILE_OVER_TIME ? "0.7, " : "",
                      unwraps(op) ? " | logfmt | keep app, pod, v | unwrap v " : "",
                      (long long)(range / ms), (long long)(offset / ms));
    assert_ok(logql_parse(arena, text, LOGQL_CHECKED, &expr, &err), &err);
    assert_ok(logql_eval(expr, &params, &result, &err), &err);
    for (size_t s = 0; s < STREAMS; s++) {
        const LogqlSeries *series = series_of(&result, query.symbols, &world->streams[s]);

        for (size_t i = 0; i < result.steps; i++) {
            int64_t end = (int64_t)i * step - offset;
            double want = expected(world, s, op, end, range), got = NAN;

            if (series != NULL && logql_has_value(series, i)) got = series->values[i];
            if (isnan(want) ? !isnan(got) : !(fabs(got - want) <= 1e-9 * fmax(1, fabs(want))))
                fail_msg("%s: stream %zu, step %zu of %lld ns: %.17g, not %.17g", text.ptr, s, i,
                         (long long)step, got, want);
        }
    }
}

static void every_step_has_what_its_window_has(void **state) {
    static const LogqlRangeOp ops[] = {LOGQL_COUNT_OVER_TIME,   LOGQL_RATE,
                                       LOGQL_BYTES_OVER_TIME,   LOGQL_SUM_OVER_TIME,
                                       LOGQL_AVG_OVER_TIME,     LOGQL_STDVAR_OVER_TIME,
                                       LOGQL_MIN_OVER_TIME,     LOGQL_MAX_OVER_TIME,
                                       LOGQL_FIRST_OVER_TIME,   LOGQL_LAST_OVER_TIME,
                                       LOGQL_QUANTILE_OVER_TIME};
    World *world = calloc(1, sizeof *world);

    (void)state;
    assert_non_null(world);
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < ARRAY_LEN(ops); i++) check_round(world, ops[i]);
    free(world);
}

static int setup(void **state) {
    Error err = {0};

    (void)state;
    return pool_new("test", 3, 100, &pool, &err) != ERR_OK;
}

static int teardown(void **state) {
    (void)state;
    pool_free(pool);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_step_has_what_its_window_has),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
