/*
 * promqltest_dsl.c: reads scripts.
 * https://github.com/prometheus/prometheus/tree/main/promql/promqltest
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "querier/exec/quoted.h"
#include "querier/promql/hist_sum.h"
#include "querier/promql/parser.h"
#include "tests/conformance/promqltest.h"

static _Noreturn void give_up(const char *what, Str where) {
    fprintf(stderr, "promqltest: %s: " STR_FMT "\n", what, STR_ARG(where));
    exit(2);
}

static int64_t read_duration(Str text) {
    Error err;
    int64_t ms;

    if (promql_parse_duration(str_trim(text), &ms, &err) != ERR_OK) give_up("a duration", text);
    return ms;
}

static bool read_number(Str text, double *out) {
    bool negative = text.len > 0 && text.ptr[0] == '-';
    Str digits =
        text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+') ? str_from(text, 1) : text;
    bool octal = digits.len > 1 && digits.ptr[0] == '0';
    char buffer[64], *end;
    double v;

    if (digits.len == 0 || digits.len >= sizeof buffer) return false;
    memcpy(buffer, digits.ptr, digits.len);
    buffer[digits.len] = '\0';
    for (size_t i = 1; i < digits.len; i++) octal &= digits.ptr[i] >= '0' && digits.ptr[i] <= '7';
    if (!isdigit((unsigned char)buffer[0]) && buffer[0] != '.' &&
        !str_equal_nocase(digits, STR("inf")) && !str_equal_nocase(digits, STR("nan")))
        return false;
    v = octal ? (double)strtoull(buffer, &end, 8) : strtod(buffer, &end);
    if (*end != '\0') return false;
    *out = negative ? -v : v;
    return true;
}

static Str next_line(Str text, size_t *at, size_t *line) {
    size_t start = *at, end = start;
    Str got;

    while (end < text.len && text.ptr[end] != '\n') end++;
    *at = end + 1;
    ++*line;
    got = str_trim((Str){text.ptr + start, end - start});
    return str_starts_with(got, STR("#")) ? (Str){got.ptr, 0} : got;
}

/* ---- labels ---- */

static bool is_name_char(char c, bool first) {
    return isalpha((unsigned char)c) || (unsigned char)c >= 0x80 || c == '_' || c == ':' ||
           (!first && (isdigit((unsigned char)c) || c == '.'));
}

static Str read_name(Str s, size_t *i) {
    size_t start = *i;

    while (*i < s.len && is_name_char(s.ptr[*i], *i == start)) ++*i;
    return str_slice(s, start, *i - start);
}

static Str read_quoted(Arena *arena, Str s, size_t *i) {
    Str rest = str_from(s, *i), out;
    char why[100];
    size_t len;

    if (!quoted_scan(rest, &len, why, sizeof why) ||
        !quoted_unquote(arena, str_slice(rest, 0, len), &out))
        give_up("a string", s);
    *i += len;
    return out;
}

static void skip_blanks(Str s, size_t *i) {
    while (*i < s.len && (s.ptr[*i] == ' ' || s.ptr[*i] == '\t')) ++*i;
}

/* name{a="b"} and what follows. */
static LabelPairs read_metric(Arena *arena, Str s, Str *rest) {
    LabelPair *pairs = ARENA_ARRAY(arena, LabelPair, s.len + 1);
    size_t count = 0, i = 0, at;
    Str name = read_name(s, &i);

    if (name.len > 0) pairs[count++] = (LabelPair){STR("__name__"), name};
    at = i;
    skip_blanks(s, &at);
    if (at < s.len && s.ptr[at] == '{' && !(at + 1 < s.len && s.ptr[at + 1] == '{')) {
        i = at + 1;
        for (;;) {
            Str key;

            skip_blanks(s, &i);
            if (i < s.len && s.ptr[i] == ',') {
                i++;
                continue;
            }
            if (i >= s.len || s.ptr[i] == '}') break;
            key = strchr("\"'`", s.ptr[i]) != NULL ? read_quoted(arena, s, &i) : read_name(s, &i);
            if (key.len == 0) give_up("a label name", s);
            skip_blanks(s, &i);
            if (i < s.len && s.ptr[i] == '=') {
                Str value;

                i++;
                skip_blanks(s, &i);
                value = read_quoted(arena, s, &i);
                if (value.len > 0) pairs[count++] = (LabelPair){key, value};
            } else {
                pairs[count++] = (LabelPair){STR("__name__"), key};
            }
        }
        i++;
    }
    labels_sort(pairs, count);
    *rest = str_from(s, i);
    return (LabelPairs){pairs, count};
}

/* ---- histograms ---- */

static size_t read_list(Arena *arena, Str s, double **out) {
    size_t n = 0;

    *out = ARENA_ARRAY(arena, double, s.len + 1);
    while (s.len > 0) {
        Str item;

        str_cut(s, ' ', &item, &s);
        if (item.len > 0 && !read_number(item, &(*out)[n++])) give_up("a bucket", item);
    }
    return n;
}

static HistBuckets buckets_from(Arena *arena, int32_t offset, double *counts, size_t n) {
    int32_t *index = ARENA_ARRAY(arena, int32_t, n + 1);

    for (size_t i = 0; i < n; i++) index[i] = offset + (int32_t)i;
    return (HistBuckets){index, counts, (uint32_t)n};
}

static uint8_t read_hint(Str s) {
    static const char *const names[] = {"unknown", "reset", "not_reset", "gauge"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_equal(s, str_of(names[i]))) return (uint8_t)i;
    give_up("a hint", s);
}

/* What is between {{ and }}. */
static const Hist *read_hist(Arena *arena, Str s) {
    Hist *h = ARENA_NEW(arena, Hist);
    double *positive = NULL, *negative = NULL, *custom = NULL, offset = 0, n_offset = 0;
    size_t positive_count = 0, negative_count = 0;

    for (;;) {
        Str key, value;
        double number = 0;

        s = str_trim(s);
        if (s.len == 0) break;
        str_cut(s, ':', &key, &s);
        if (s.len > 0 && s.ptr[0] == '[')
            str_cut(str_from(s, 1), ']', &value, &s);
        else
            str_cut(s, ' ', &value, &s);
        if (str_equal(key, STR("buckets")))
            positive_count = read_list(arena, value, &positive);
        else if (str_equal(key, STR("n_buckets")))
            negative_count = read_list(arena, value, &negative);
        else if (str_equal(key, STR("custom_values")))
            h->bound_count = (uint32_t)read_list(arena, value, &custom);
        else if (str_equal(key, STR("counter_reset_hint")))
            h->hint = read_hint(value);
        else if (!read_number(value, &number))
            give_up("a number of a histogram", value);
        else if (str_equal(key, STR("schema")))
            h->schema = (int32_t)number;
        else if (str_equal(key, STR("sum")))
            h->sum = number;
        else if (str_equal(key, STR("count")))
            h->count = number;
        else if (str_equal(key, STR("z_bucket")))
            h->zero_count = number;
        else if (str_equal(key, STR("z_bucket_w")))
            h->zero_threshold = number;
        else if (str_equal(key, STR("offset")))
            offset = number;
        else if (str_equal(key, STR("n_offset")))
            n_offset = number;
        else
            give_up("a key of a histogram", key);
    }
    h->bounds = custom;
    h->positive = buckets_from(arena, (int32_t)offset, positive, positive_count);
    h->negative = buckets_from(arena, (int32_t)n_offset, negative, negative_count);
    return h;
}

/* ---- values ---- */

typedef struct Values {
    Arena *arena;
    Value *items;
    size_t count, capacity;
} Values;

static void push(Values *values, Value value) {
    if (values->count == values->capacity) {
        size_t capacity = MAX(values->capacity * 2, 16);
        Value *grown = ARENA_ARRAY(values->arena, Value, capacity);

        if (values->count > 0) memcpy(grown, values->items, values->count * sizeof *grown);
        values->items = grown;
        values->capacity = capacity;
    }
    values->items[values->count++] = value;
}

static size_t read_times(Str s) {
    uint64_t n;

    if (s.len == 0) return 0;
    if (s.ptr[0] != 'x' || !str_to_u64(str_from(s, 1), &n)) give_up("a repetition", s);
    return n;
}

static void push_hists(Values *values, Str item) {
    char *end = memmem(item.ptr, item.len, "}}", 2);
    size_t len = end == NULL ? 0 : (size_t)(end - item.ptr);
    const Hist *h = read_hist(values->arena, str_slice(item, 2, len - 2)), *step;
    Str rest = str_from(item, len + 2);
    int sign;

    if (end == NULL) give_up("a histogram", item);
    push(values, (Value){.kind = VALUE_HIST, .hist = h});
    if (rest.len == 0 || rest.ptr[0] == 'x') {
        for (size_t n = read_times(rest); n > 0; n--)
            push(values, (Value){.kind = VALUE_HIST, .hist = h});
        return;
    }
    sign = rest.ptr[0] == '-' ? -1 : 1;
    rest = str_from(rest, 1);
    end = memmem(rest.ptr, rest.len, "}}", 2);
    len = end == NULL ? 0 : (size_t)(end - rest.ptr);
    step = read_hist(values->arena, str_slice(rest, 2, len - 2));
    for (size_t n = read_times(str_from(rest, len + 2)); n > 0; n--) {
        HistSumInfo info = {0};
        HistSum sum;

        if (!hist_sum_init(&sum, values->arena, h, false) || !hist_sum_add(&sum, step, sign, &info))
            give_up("a series of histograms", item);
        h = hist_sum_finish(&sum, false);
        push(values, (Value){.kind = VALUE_HIST, .hist = h});
    }
}

/* 1, 1x5, 1+2x5, 1-2x5 */
static void push_numbers(Values *values, Str item) {
    size_t i = 1, end;
    double v, step = 0;
    bool stepped = false;
    size_t n = 0;

    while (i < item.len && item.ptr[i] != 'x' &&
           !((item.ptr[i] == '+' || item.ptr[i] == '-') && tolower(item.ptr[i - 1]) != 'e'))
        i++;
    if (!read_number(str_slice(item, 0, i), &v)) give_up("a value", item);
    if (i < item.len && item.ptr[i] != 'x') {
        end = i;
        while (end < item.len && item.ptr[end] != 'x') end++;
        if (!read_number(str_slice(item, i, end - i), &step)) give_up("a step", item);
        stepped = true;
        i = end;
    }
    n = read_times(str_from(item, i));
    push(values, (Value){.kind = VALUE_FLOAT, .number = v});
    for (; n > 0; n--) {
        if (stepped) v += step;
        push(values, (Value){.kind = VALUE_FLOAT, .number = v});
    }
}

static double stale(void) {
    uint64_t bits = STALE_NAN_BITS;
    double v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

static void read_values(Values *values, Str s) {
    size_t i = 0;

    for (;;) {
        size_t start, depth = 0;
        Str item;

        skip_blanks(s, &i);
        if (i >= s.len) return;
        start = i;
        while (i < s.len && (depth > 0 || (s.ptr[i] != ' ' && s.ptr[i] != '\t'))) {
            depth += s.ptr[i] == '{';
            depth -= s.ptr[i] == '}';
            i++;
        }
        item = str_slice(s, start, i - start);
        if (str_equal(item, STR("_")))
            push(values, (Value){.kind = VALUE_NONE});
        else if (str_starts_with(item, STR("_x")))
            for (size_t n = read_times(str_from(item, 1)); n > 0; n--)
                push(values, (Value){.kind = VALUE_NONE});
        else if (str_starts_with(item, STR("stale")))
            for (size_t n = read_times(str_from(item, 5)) + 1; n > 0; n--)
                push(values, (Value){.kind = VALUE_FLOAT, .number = stale()});
        else if (str_starts_with(item, STR("{{")))
            push_hists(values, item);
        else
            push_numbers(values, item);
    }
}

static SeriesLine read_series(Arena *arena, Str line) {
    Values values = {.arena = arena};
    SeriesLine series;
    Str rest;

    series.labels = read_metric(arena, line, &rest);
    read_values(&values, rest);
    series.values = values.items;
    series.count = values.count;
    return series;
}

/* ---- commands ---- */

static void add_series(Arena *arena, Command *command, SeriesLine series) {
    SeriesLine *grown = ARENA_ARRAY(arena, SeriesLine, command->series_count + 1);

    if (command->series_count > 0)
        memcpy(grown, command->series, command->series_count * sizeof *grown);
    grown[command->series_count++] = series;
    command->series = grown;
}

static void read_load(Arena *arena, Str text, size_t *at, size_t *line, Str head, Command *out) {
    Str first, rest;

    out->kind = COMMAND_LOAD;
    str_cut(head, ' ', &first, &rest);
    out->with_nhcb = str_equal(first, STR("load_with_nhcb"));
    out->step_ms = read_duration(rest);
    while (*at < text.len) {
        Str got = next_line(text, at, line), name;
        size_t i = 0;

        if (got.len == 0) return;
        while (i < got.len && got.ptr[i] != ' ' && got.ptr[i] != '\t') i++;
        name = str_slice(got, 0, i);
        if (str_ends_with(name, STR("@st"))) {
            out->has_start_times = true;
            continue;
        }
        add_series(arena, out, read_series(arena, got));
    }
}

static bool take_word(Str *s, Str word) {
    Str rest = str_from(*s, word.len);

    if (!str_starts_with(*s, word) || (rest.len > 0 && rest.ptr[0] != ' ' && rest.ptr[0] != '\t'))
        return false;
    *s = str_trim(rest);
    return true;
}

static Str take_until(Str *s, const char *word) {
    char *at = memmem(s->ptr, s->len, word, strlen(word));
    size_t len;
    Str got;

    if (at == NULL) give_up("a word missing", *s);
    len = (size_t)(at - s->ptr);
    got = str_trim(str_slice(*s, 0, len));
    *s = str_trim(str_from(*s, len + strlen(word)));
    return got;
}

static Str take_next(Str *s) {
    Str got;

    *s = str_trim(*s);
    if (!str_cut(*s, ' ', &got, s)) *s = (Str){s->ptr, 0};
    *s = str_trim(*s);
    return got;
}

static void add_expectation(Arena *arena, Command *out, Expectation expectation) {
    Expectation *grown = ARENA_ARRAY(arena, Expectation, out->expectation_count + 1);

    if (out->expectation_count > 0)
        memcpy(grown, out->expectations, out->expectation_count * sizeof *grown);
    grown[out->expectation_count++] = expectation;
    out->expectations = grown;
}

static void read_expect(Arena *arena, Str s, Command *out) {
    Str what = take_next(&s);
    bool message = str_starts_with(s, STR("msg:")), regex = str_starts_with(s, STR("regex:"));
    Str text = message ? str_trim(str_from(s, 4)) : regex ? str_trim(str_from(s, 6)) : STR("");

    if (str_equal(what, STR("ordered"))) {
        out->ordered = true;
    } else if (str_equal(what, STR("fail"))) {
        out->fails = true;
        out->has_fail_text = message || regex;
        out->fail_is_regex = regex;
        out->fail_text = text;
    } else {
        bool none = str_starts_with(what, STR("no_"));
        bool warn = str_ends_with(what, STR("warn"));

        if (!warn && !str_ends_with(what, STR("info"))) give_up("an expectation", what);
        add_expectation(arena, out,
                        (Expectation){warn ? EXPECT_WARN : EXPECT_INFO, none, message, text});
    }
}

static void read_eval_line(Arena *arena, Str s, Command *out) {
    size_t i = 0;
    double number;

    if (out->fails && take_word(&s, STR("expected_fail_message"))) {
        out->has_fail_text = true;
        out->fail_text = s;
    } else if (out->fails && take_word(&s, STR("expected_fail_regexp"))) {
        out->has_fail_text = out->fail_is_regex = true;
        out->fail_text = s;
    } else if (str_starts_with(s, STR("expect range vector"))) {
        s = str_trim(str_from(s, strlen("expect range vector from")));
        out->start_ms = read_duration(take_until(&s, " to "));
        out->end_ms = read_duration(take_until(&s, " step "));
        out->step_ms = read_duration(s);
        out->wants_matrix = true;
    } else if (str_starts_with(s, STR("expect string"))) {
        s = str_trim(str_from(s, strlen("expect string")));
        out->is_string = true;
        out->string = read_quoted(arena, s, &i);
    } else if (take_word(&s, STR("expect"))) {
        read_expect(arena, s, out);
    } else if (read_number(s, &number)) {
        out->is_scalar = true;
        out->scalar = number;
    } else {
        add_series(arena, out, read_series(arena, s));
    }
}

static void read_eval(Arena *arena, Str text, size_t *at, size_t *line, Str head, Command *out) {
    Str first = take_next(&head), how = take_next(&head);

    out->kind = COMMAND_EVAL;
    if (str_equal(first, STR("eval_fail"))) out->fails = true;
    if (str_equal(first, STR("eval_ordered"))) out->ordered = true;
    if (str_equal(first, STR("eval_warn")))
        add_expectation(arena, out, (Expectation){EXPECT_WARN, false, false, STR("")});
    if (str_equal(first, STR("eval_info")))
        add_expectation(arena, out, (Expectation){EXPECT_INFO, false, false, STR("")});
    if (str_equal(how, STR("range"))) {
        out->ranged = true;
        if (!take_word(&head, STR("from"))) give_up("from", head);
        out->start_ms = read_duration(take_until(&head, " to "));
        out->end_ms = read_duration(take_until(&head, " step "));
        out->step_ms = read_duration(take_next(&head));
    } else if (take_word(&head, STR("at"))) {
        out->start_ms = out->end_ms = read_duration(take_next(&head));
    }
    out->query = head;
    while (*at < text.len) {
        Str got = next_line(text, at, line);

        if (got.len == 0) return;
        read_eval_line(arena, got, out);
    }
}

bool script_next(Arena *arena, Str text, size_t *at, size_t *line, Command *out) {
    while (*at < text.len) {
        Str got = next_line(text, at, line);

        if (got.len == 0) continue;
        *out = (Command){.line = *line};
        if (str_equal_nocase(got, STR("clear")))
            out->kind = COMMAND_CLEAR;
        else if (str_starts_with(got, STR("load")))
            read_load(arena, text, at, line, got, out);
        else if (str_starts_with(got, STR("eval")))
            read_eval(arena, text, at, line, got, out);
        else
            give_up("a command", got);
        return true;
    }
    return false;
}
