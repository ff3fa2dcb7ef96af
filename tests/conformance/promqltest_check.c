/*
 * promqltest_check.c: loading what a script says, and comparing results with what it expects.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/conformance/promqltest.h"

/* ---- loading ---- */

static void add_value(Arena *arena, FakeSource *fake, LabelPairs labels, int64_t time,
                      const Value *value) {
    if (value->kind == VALUE_FLOAT)
        fake_source_add(fake, labels.pairs, labels.count, time, value->number);
    if (value->kind == VALUE_HIST)
        fake_source_add_histogram(fake, labels.pairs, labels.count, time,
                                  hist_to_native(arena, value->hist));
}

/* A classic histogram that becomes one with custom buckets. */
typedef struct Converted {
    LabelPairs labels;
    size_t steps;
    struct Step {
        bool any, has_count;
        double count, sum;
        struct {
            double upper, count;
        } buckets[64];
        uint32_t n;
    } * at;
} Converted;

static LabelPairs base_labels(Arena *arena, LabelPairs labels, Str suffix) {
    LabelPair *pairs = ARENA_ARRAY(arena, LabelPair, labels.count + 1);
    size_t n = 0;

    for (size_t i = 0; i < labels.count; i++) {
        if (str_equal(labels.pairs[i].name, STR("le"))) continue;
        pairs[n] = labels.pairs[i];
        if (str_equal(pairs[n].name, STR("__name__"))) pairs[n].value.len -= suffix.len;
        n++;
    }
    return (LabelPairs){pairs, n};
}

static Converted *find_converted(Arena *arena, Converted *all, size_t *count, LabelPairs labels) {
    for (size_t i = 0; i < *count; i++)
        if (labels_compare(all[i].labels, labels) == 0) return &all[i];
    all[*count] = (Converted){.labels = labels, .at = ARENA_ARRAY(arena, struct Step, 512)};
    return &all[(*count)++];
}

static void convert_value(struct Step *step, Str suffix, double le, double v) {
    step->any = true;
    if (str_equal(suffix, STR("_count"))) {
        step->count = v;
        step->has_count = true;
    } else if (str_equal(suffix, STR("_sum"))) {
        step->sum = v;
    } else {
        uint32_t i = step->n++;

        for (; i > 0 && step->buckets[i - 1].upper > le; i--)
            step->buckets[i] = step->buckets[i - 1];
        step->buckets[i].upper = le;
        step->buckets[i].count = v;
    }
}

static const Hist *converted_hist(Arena *arena, struct Step *step) {
    Hist *h = ARENA_NEW(arena, Hist);
    double *bounds = ARENA_ARRAY(arena, double, 65), *counts = ARENA_ARRAY(arena, double, 66);
    int32_t *index = ARENA_ARRAY(arena, int32_t, 66);
    double before = 0;

    if (!step->has_count) step->count = step->n > 0 ? step->buckets[step->n - 1].count : 0;
    if (step->n == 0 || !isinf(step->buckets[step->n - 1].upper)) {
        step->buckets[step->n].upper = INFINITY;
        step->buckets[step->n++].count = step->count;
    }
    for (uint32_t i = 0; i < step->n; i++) {
        index[i] = (int32_t)i;
        counts[i] = step->buckets[i].count - before;
        before = step->buckets[i].count;
        if (i + 1 < step->n) bounds[i] = step->buckets[i].upper;
    }
    *h = (Hist){.schema = HISTOGRAM_SCHEMA_CUSTOM,
                .count = step->count,
                .sum = step->sum,
                .positive = {index, counts, step->n},
                .bounds = bounds,
                .bound_count = step->n - 1};
    return h;
}

static void load_converted(Arena *arena, FakeSource *fake, const Command *load) {
    static const Str suffixes[] = {STR_INIT("_bucket"), STR_INIT("_sum"), STR_INIT("_count")};
    Converted *all = ARENA_ARRAY(arena, Converted, load->series_count + 1);
    size_t count = 0;

    for (size_t i = 0; i < load->series_count; i++) {
        const SeriesLine *series = &load->series[i];
        Str name = labels_get(series->labels, STR("__name__"));

        for (size_t k = 0; k < ARRAY_LEN(suffixes); k++) {
            Converted *to;
            double le = 0;

            if (!str_ends_with(name, suffixes[k])) continue;
            if (k == 0 && !str_to_double(labels_get(series->labels, STR("le")), &le)) continue;
            to =
                find_converted(arena, all, &count, base_labels(arena, series->labels, suffixes[k]));
            for (size_t s = 0; s < series->count && s < 512; s++)
                if (series->values[s].kind == VALUE_FLOAT)
                    convert_value(&to->at[s], suffixes[k], le, series->values[s].number);
            to->steps = MAX(to->steps, series->count);
        }
    }
    for (size_t i = 0; i < count; i++)
        for (size_t s = 0; s < all[i].steps; s++)
            if (all[i].at[s].any)
                add_value(arena, fake, all[i].labels, (int64_t)s * load->step_ms,
                          &(Value){VALUE_HIST, 0, converted_hist(arena, &all[i].at[s])});
}

void load_series(Arena *arena, FakeSource *fake, const Command *load) {
    for (size_t i = 0; i < load->series_count; i++)
        for (size_t s = 0; s < load->series[i].count; s++)
            add_value(arena, fake, load->series[i].labels, (int64_t)s * load->step_ms,
                      &load->series[i].values[s]);
    if (load->with_nhcb) load_converted(arena, fake, load);
}

/* ---- comparing ---- */

static bool almost(double a, double b) {
    double sum = fabs(a) + fabs(b), diff = fabs(a - b);

    if (isnan(a) && isnan(b)) return true;
    if (a == b) return true;
    if (isnan(a) || isnan(b)) return false;
    if (a == 0 || b == 0 || sum < DBL_MIN) return diff < 1e-6 * DBL_MIN;
    return diff / fmin(sum, DBL_MAX) < 1e-6;
}

static const char *hist_text(Arena *arena, const Hist *h) {
    Buf text;
    Str copy;

    buf_init(&text, 0);
    hist_append_text(&text, h);
    copy = str_dup(arena, buf_str(&text));
    buf_done(&text);
    return copy.ptr;
}

/* The next populated bucket from *i on. */
static bool next_bucket(const Hist *h, uint32_t *i, HistBucket *out) {
    while (*i < hist_bucket_count(h)) {
        *out = hist_bucket(h, (*i)++);
        if (out->count != 0) return true;
    }
    return false;
}

static const char *check_hist(Arena *arena, const Hist *want, const Hist *got) {
    bool same = almost(want->count, got->count) && almost(want->sum, got->sum);
    uint32_t i = 0, j = 0;

    while (same) {
        HistBucket a, b;
        bool more = next_bucket(want, &i, &a), other = next_bucket(got, &j, &b);

        if (!more && !other) return NULL;
        same = more && other && almost(a.lower, b.lower) && almost(a.upper, b.upper) &&
               almost(a.count, b.count) && a.lower_inclusive == b.lower_inclusive &&
               a.upper_inclusive == b.upper_inclusive;
    }
    return str_format(arena, "want %s, got %s", hist_text(arena, want), hist_text(arena, got)).ptr;
}

static const char *check_value(Arena *arena, const Value *want, bool has_float, double v,
                               const Hist *h) {
    if (want->kind == VALUE_HIST) {
        if (h == NULL)
            return str_format(arena, "want %s, got %s %g", hist_text(arena, want->hist),
                              has_float ? "float" : "nothing", v)
                .ptr;
        return check_hist(arena, want->hist, h);
    }
    if (h != NULL)
        return str_format(arena, "want %g, got %s", want->number, hist_text(arena, h)).ptr;
    if (!has_float) return str_format(arena, "want %g, got nothing", want->number).ptr;
    if (almost(want->number, v)) return NULL;
    return str_format(arena, "want %.17g, got %.17g", want->number, v).ptr;
}

static bool same_labels(const Symbols *symbols, LabelPairs want, LabelSet got) {
    if (want.count != got.count) return false;
    for (size_t i = 0; i < want.count; i++)
        if (!str_equal(want.pairs[i].name, symbols_str(symbols, got.labels[i].name)) ||
            !str_equal(want.pairs[i].value, symbols_str(symbols, got.labels[i].value)))
            return false;
    return true;
}

static const char *labels_text(Arena *arena, const Symbols *symbols, LabelSet set) {
    Str text = STR("{");

    for (uint32_t i = 0; i < set.count; i++) {
        Str name = symbols_str(symbols, set.labels[i].name);
        Str value = symbols_str(symbols, set.labels[i].value);

        text = str_format(arena, STR_FMT STR_FMT "=\"" STR_FMT "\",", STR_ARG(text), STR_ARG(name),
                          STR_ARG(value));
    }
    return str_format(arena, STR_FMT "}", STR_ARG(text)).ptr;
}

static const SeriesLine *find_expected(const Command *eval, const Symbols *symbols, LabelSet set,
                                       size_t *position) {
    for (size_t i = 0; i < eval->series_count; i++)
        if (same_labels(symbols, eval->series[i].labels, set)) {
            *position = i;
            return &eval->series[i];
        }
    return NULL;
}

static bool series_has(const PromqlSeries *series, size_t i) {
    return promql_has_float(series, i) || promql_histogram(series, i) != NULL;
}

static const char *check_points(Arena *arena, const Command *eval, const SeriesLine *want,
                                const PromqlSeries *series) {
    size_t found = 0, total = 0;

    for (size_t i = 0; i < series->count; i++) total += series_has(series, i);
    for (size_t k = 0; k < want->count; k++) {
        int64_t time = eval->start_ms + (int64_t)k * eval->step_ms;
        const char *why = NULL;
        size_t i = 0;

        if (want->values[k].kind == VALUE_NONE) continue;
        while (i < series->count && (series->times[i] != time || !series_has(series, i))) i++;
        why = i == series->count ? "no point"
                                 : check_value(arena, &want->values[k], promql_has_float(series, i),
                                               series->values[i], promql_histogram(series, i));
        if (why != NULL) return str_format(arena, "at %g s: %s", (double)time / 1000, why).ptr;
        found++;
    }
    if (found != total) return str_format(arena, "%zu points, not %zu", total, found).ptr;
    return NULL;
}

static const char *check_series(Arena *arena, const Command *eval, const Symbols *symbols,
                                const PromqlResult *result, const int64_t *middle) {
    bool matrix = eval->ranged || eval->wants_matrix;
    bool *seen = ARENA_ARRAY(arena, bool, eval->series_count + 1);
    static const Value zero = {VALUE_FLOAT, 0, NULL};

    for (size_t r = 0; r < result->series_count; r++) {
        const PromqlSeries *series = &result->series[r];
        size_t position, i = 0;
        const SeriesLine *want;
        const char *why;

        if (middle != NULL) {
            while (i < series->count && series->times[i] != *middle) i++;
            if (i == series->count || !series_has(series, i)) continue;
        }
        want = find_expected(eval, symbols, series->labels, &position);
        if (want == NULL)
            return str_format(arena, "unexpected series %s = %g",
                              labels_text(arena, symbols, series->labels), series->values[i])
                .ptr;
        if (seen[position]) return "a series is there twice";
        seen[position] = true;
        if (eval->ordered && position != r)
            return str_format(arena, "order: %s is at %zu, not %zu",
                              labels_text(arena, symbols, series->labels), r, position)
                .ptr;
        if (matrix)
            why = check_points(arena, eval, want, series);
        else
            why = check_value(arena, want->values[0].kind == VALUE_NONE ? &zero : &want->values[0],
                              promql_has_float(series, i), series->values[i],
                              promql_histogram(series, i));
        if (why != NULL)
            return str_format(arena, "%s: %s", labels_text(arena, symbols, series->labels), why)
                .ptr;
    }
    for (size_t k = 0; k < eval->series_count; k++) {
        bool any = false;

        for (size_t v = 0; v < eval->series[k].count; v++)
            any |= eval->series[k].values[v].kind != VALUE_NONE;
        if (!seen[k] && (any || !matrix)) return str_format(arena, "series %zu is missing", k).ptr;
    }
    return NULL;
}

static const char *check_scalar(Arena *arena, const Command *eval, const PromqlResult *result,
                                const int64_t *middle) {
    Value want = {VALUE_FLOAT, eval->scalar, NULL};
    size_t i = 0;

    if (result->type == PROMQL_TYPE_SCALAR)
        return check_value(arena, &want, true, result->scalar, NULL);
    if (middle == NULL || result->series_count != 1) return "not a scalar";
    while (i < result->series[0].count && result->series[0].times[i] != *middle) i++;
    if (i == result->series[0].count) return "no point";
    return check_value(arena, &want, promql_has_float(&result->series[0], i),
                       result->series[0].values[i], NULL);
}

const char *check_result(Arena *arena, const Command *eval, const Symbols *symbols,
                         const PromqlResult *result, const int64_t *middle) {
    bool matrix = eval->ranged || eval->wants_matrix || middle != NULL;

    if (eval->is_string) {
        if (result->type != PROMQL_TYPE_STRING) return "not a string";
        return str_equal(result->string, eval->string) ? NULL : "another string";
    }
    if (eval->is_scalar) return check_scalar(arena, eval, result, middle);
    if (result->type != (matrix ? PROMQL_TYPE_MATRIX : PROMQL_TYPE_VECTOR) &&
        !(result->type == PROMQL_TYPE_MATRIX && eval->series_count == 0))
        return "another type";
    return check_series(arena, eval, symbols, result, middle);
}

static bool regex_found(Str pattern, Str text) {
    RegexOptions options = {0};
    Regex *regex;
    Error err;
    Str group;
    bool found;

    if (regex_new(pattern, &options, &regex, &err) != ERR_OK) return false;
    found = regex_find(regex, text, 0, &group, 1);
    regex_free(regex);
    return found;
}

const char *check_error(Arena *arena, const Command *eval, ErrCode code, const char *text) {
    Str want = eval->fail_text;

    (void)code;
    if (!eval->has_fail_text) return NULL;
    if (eval->fail_is_regex ? regex_found(want, str_of(text))
                            : memmem(text, strlen(text), want.ptr, want.len) != NULL)
        return NULL;
    return str_format(arena, "error: want %.*s, got %s", STR_ARG(want), text).ptr;
}

static bool text_matches(const Expectation *e, Str text) {
    return e->is_message ? str_equal(e->text, text) : regex_found(e->text, text);
}

static const char *check_kind(Arena *arena, const Command *eval, bool warnings, const Str *texts,
                              size_t count) {
    bool wanted = false;

    for (size_t i = 0; i < eval->expectation_count; i++) {
        const Expectation *e = &eval->expectations[i];
        bool found = false;

        if ((e->what == EXPECT_WARN) != warnings) continue;
        if (e->none && count > 0)
            return str_format(arena, "unexpected annotation: " STR_FMT, STR_ARG(texts[0])).ptr;
        if (e->none) continue;
        wanted = true;
        for (size_t t = 0; t < count; t++) found |= text_matches(e, texts[t]);
        if (!found)
            return str_format(arena, "no annotation like " STR_FMT "; got " STR_FMT,
                              STR_ARG(e->text), STR_ARG(count > 0 ? texts[0] : STR("none")))
                .ptr;
    }
    for (size_t t = 0; wanted && t < count; t++) {
        bool found = false;

        for (size_t i = 0; i < eval->expectation_count; i++)
            found |= (eval->expectations[i].what == EXPECT_WARN) == warnings &&
                     !eval->expectations[i].none && text_matches(&eval->expectations[i], texts[t]);
        if (!found)
            return str_format(arena, "unexpected annotation: " STR_FMT, STR_ARG(texts[t])).ptr;
    }
    return NULL;
}

const char *check_annotations(Arena *arena, const Command *eval, const AnnotationTexts *texts) {
    const char *why = check_kind(arena, eval, true, texts->warnings, texts->warning_count);

    return why != NULL ? why : check_kind(arena, eval, false, texts->infos, texts->info_count);
}
