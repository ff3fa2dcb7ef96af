#include "tests/unit/promql/random_expr.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static uint64_t seed;
static Buf text;

void random_seed(uint64_t value) {
    seed = value;
}

uint32_t random_draw(uint32_t below) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16) % below;
}

static uint32_t draw(uint32_t below) {
    return random_draw(below);
}

#define PICK(list) ((list)[draw(ARRAY_LEN(list))])

/* ---- expressions ---- */

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

void random_load(FakeSource *fake, unsigned i, int64_t samples, int64_t step_ms) {
    char number[16], group[16], le[16];
    LabelPair pairs[4] = {
        {STR("__name__"), {0}}, {STR("i"), {0}}, {STR("g"), {0}}, {STR("le"), {0}}};
    double counter = 0, n = 0;

    snprintf(number, sizeof number, "%u", i);
    snprintf(group, sizeof group, "g%u", i % 3);
    snprintf(le, sizeof le, i % 4 == 3 ? "+Inf" : "%u", 1 + i % 4);
    pairs[1].value = str_of(number);
    pairs[2].value = str_of(group);
    for (int64_t s = 0; s < samples; s++) {
        int64_t time = s * step_ms + (i % 2) * 1234;

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

bool random_expr(int depth, char *out, size_t size) {
    bool fits;

    buf_init(&text, 0);
    vector(depth);
    fits = text.len < size;
    if (fits) {
        memcpy(out, text.ptr, text.len);
        out[text.len] = '\0';
    }
    buf_done(&text);
    return fits;
}
