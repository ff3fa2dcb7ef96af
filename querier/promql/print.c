/*
 * print.c: an expression as one canonical line.
 */
#include "querier/promql/print.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/number.h"
#include "common/base/rune.h"
#include "querier/exec/go_float.h"

static bool is_legacy_name(Str name) {
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
              (i > 0 && c >= '0' && c <= '9')))
            return false;
    }
    return name.len > 0;
}

/* Words that are no label in a list, though they look like one. */
static bool is_reserved(Str name) {
    return str_equal_nocase(name, STR("inf")) || str_equal_nocase(name, STR("nan")) ||
           str_equal_nocase(name, STR("without"));
}

static void print_labels(Buf *out, const Str *labels, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (i > 0) buf_append_str(out, STR(", "));
        if (is_legacy_name(labels[i]) && !is_reserved(labels[i]))
            buf_append_str(out, labels[i]);
        else
            rune_quote(out, labels[i]);
    }
}

static void print_duration_expr(const PromqlExpr *expr, Buf *out) {
    PromqlOp op = expr->as.duration.op;
    const PromqlExpr *left = expr->as.duration.left, *right = expr->as.duration.right;

    if (expr->as.duration.wrapped) buf_append_byte(out, '(');
    if (op == PROMQL_DURATION_STEP || op == PROMQL_DURATION_RANGE) {
        buf_printf(out, "%s()", promql_op_text(op));
    } else if (op == PROMQL_DURATION_MIN || op == PROMQL_DURATION_MAX) {
        buf_printf(out, "%s(", promql_op_text(op));
        promql_print(left, out);
        buf_append_str(out, STR(", "));
        promql_print(right, out);
        buf_append_byte(out, ')');
    } else if (left == NULL) {
        if (op == PROMQL_SUB) buf_append_byte(out, '-');
        promql_print(right, out);
    } else {
        promql_print(left, out);
        buf_printf(out, " %s ", promql_op_text(op));
        promql_print(right, out);
    }
    if (expr->as.duration.wrapped) buf_append_byte(out, ')');
}

static void print_ms(Buf *out, int64_t ms, const PromqlExpr *computed) {
    if (computed != NULL)
        promql_print(computed, out);
    else
        go_append_duration(out, ms);
}

static void print_at(Buf *out, const PromqlTime *time) {
    if (time->at == PROMQL_AT_TIME) {
        buf_printf(out, " @ %s%lld.%03lld", time->at_ms < 0 ? "-" : "", llabs(time->at_ms) / 1000,
                   llabs(time->at_ms) % 1000);
    } else if (time->at != PROMQL_AT_NONE) {
        buf_append_str(out, time->at == PROMQL_AT_START ? STR(" @ start()") : STR(" @ end()"));
    }
}

static void print_offset(Buf *out, const PromqlTime *time) {
    if (time->offset_expr == NULL && time->offset_ms == 0) return;
    buf_append_str(out, STR(" offset "));
    print_ms(out, time->offset_ms, time->offset_expr);
}

static int compare_texts(const void *a, const void *b) {
    return str_compare(*(const Str *)a, *(const Str *)b);
}

static void print_matcher(Buf *out, const Matcher *matcher) {
    static const char *const ops[] = {"=", "!=", "=~", "!~"};

    if (is_legacy_name(matcher->name))
        buf_append_str(out, matcher->name);
    else
        rune_quote(out, matcher->name);
    buf_append_str(out, str_of(ops[matcher->op]));
    rune_quote(out, matcher->value);
}

/* {a="b",c=~"d"}, sorted; the matcher of the name that stands before it is left out. */
static void print_matchers(Buf *out, const PromqlExpr *selector) {
    size_t count = selector->as.selector.matcher_count, used = 0;
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Str *texts = ARENA_ARRAY(arena, Str, count);
    CLEANUP_IN_PLACE(buf_done) Buf text;

    buf_init(&text, 0);
    for (size_t i = 0; texts != NULL && i < count; i++) {
        const Matcher *matcher = &selector->as.selector.matchers[i];

        if (matcher->op == MATCH_EQUAL && str_equal(matcher->name, STR("__name__")) &&
            matcher->value.len > 0 && str_equal(matcher->value, selector->as.selector.name))
            continue;
        buf_clear(&text);
        print_matcher(&text, matcher);
        texts[used] = str_dup(arena, buf_str(&text));
        if (buf_failed(&text) || texts[used].ptr == NULL) out->failed = true;
        used++;
    }
    if (texts == NULL) out->failed = true;
    if (used == 0) {
        if (selector->as.selector.name.len == 0) buf_append_str(out, STR("{}"));
        return;
    }
    qsort(texts, used, sizeof *texts, compare_texts);
    buf_append_byte(out, '{');
    for (size_t i = 0; i < used; i++) {
        if (i > 0) buf_append_byte(out, ',');
        buf_append_str(out, texts[i]);
    }
    buf_append_byte(out, '}');
}

static void print_extended(Buf *out, const PromqlExpr *selector) {
    if (selector->as.selector.anchored) buf_append_str(out, STR(" anchored"));
    if (selector->as.selector.smoothed) buf_append_str(out, STR(" smoothed"));
}

static void print_selector(const PromqlExpr *expr, Buf *out) {
    buf_append_str(out, expr->as.selector.name);
    print_matchers(out, expr);
    print_at(out, &expr->as.selector.time);
    print_extended(out, expr);
    print_offset(out, &expr->as.selector.time);
}

static void print_matrix(const PromqlExpr *expr, Buf *out) {
    const PromqlExpr *selector = expr->as.matrix.inner;

    buf_append_str(out, selector->as.selector.name);
    print_matchers(out, selector);
    buf_append_byte(out, '[');
    print_ms(out, expr->as.matrix.range_ms, expr->as.matrix.range_expr);
    buf_append_byte(out, ']');
    print_extended(out, selector);
    print_at(out, &selector->as.selector.time);
    print_offset(out, &selector->as.selector.time);
}

void print_subquery_suffix(Buf *out, const PromqlExpr *expr) {
    buf_append_byte(out, '[');
    print_ms(out, expr->as.subquery.range_ms, expr->as.subquery.range_expr);
    buf_append_byte(out, ':');
    if (expr->as.subquery.step_ms != 0 || expr->as.subquery.step_expr != NULL)
        print_ms(out, expr->as.subquery.step_ms, expr->as.subquery.step_expr);
    buf_append_byte(out, ']');
    print_at(out, &expr->as.subquery.time);
    print_offset(out, &expr->as.subquery.time);
}

/* Go's %v: an exponent below 1e-4 and from 1e6 on. */
static void print_general(Buf *out, double v) {
    char digits[NUMBER_DIGITS_MAX + 1];
    int exponent = 0, count = 0;

    if (isfinite(v) && v != 0) count = number_shortest(v, digits, &exponent);
    if (exponent >= -4 && exponent < 6) {
        go_append_f(out, v);
        return;
    }
    buf_printf(out, "%s%c%s%.*se%c%02d", signbit(v) ? "-" : "", digits[0], count > 1 ? "." : "",
               count - 1, digits + 1, exponent < 0 ? '-' : '+', abs(exponent));
}

static void print_fill(Buf *out, const char *name, double value) {
    buf_printf(out, " %s (", name);
    print_general(out, value);
    buf_append_byte(out, ')');
}

void print_matching(Buf *out, const PromqlExpr *expr) {
    const PromqlMatching *matching = &expr->as.binary.matching;
    bool grouped =
        matching->cardinality == PROMQL_MANY_TO_ONE || matching->cardinality == PROMQL_ONE_TO_MANY;

    if (expr->as.binary.returns_bool) buf_append_str(out, STR(" bool"));
    if (matching->label_count > 0 || matching->on || grouped) {
        buf_append_str(out, matching->on ? STR(" on (") : STR(" ignoring ("));
        print_labels(out, matching->labels, matching->label_count);
        buf_append_byte(out, ')');
    }
    if (grouped) {
        buf_append_str(out, matching->cardinality == PROMQL_MANY_TO_ONE ? STR(" group_left (")
                                                                        : STR(" group_right ("));
        print_labels(out, matching->include, matching->include_count);
        buf_append_byte(out, ')');
    }
    if (matching->has_fill_left && matching->has_fill_right &&
        matching->fill_left == matching->fill_right) {
        print_fill(out, "fill", matching->fill_left);
        return;
    }
    if (matching->has_fill_left) print_fill(out, "fill_left", matching->fill_left);
    if (matching->has_fill_right) print_fill(out, "fill_right", matching->fill_right);
}

void print_aggregate_head(Buf *out, const PromqlExpr *expr) {
    buf_append_str(out, str_of(promql_aggregation_name(expr->as.aggregate.op)));
    if (!expr->as.aggregate.without && expr->as.aggregate.grouping_count == 0) return;
    buf_append_str(out, expr->as.aggregate.without ? STR(" without (") : STR(" by ("));
    print_labels(out, expr->as.aggregate.grouping, expr->as.aggregate.grouping_count);
    buf_append_str(out, STR(") "));
}

static void print_aggregate(const PromqlExpr *expr, Buf *out) {
    print_aggregate_head(out, expr);
    buf_append_byte(out, '(');
    if (expr->as.aggregate.param != NULL) {
        promql_print(expr->as.aggregate.param, out);
        buf_append_str(out, STR(", "));
    }
    promql_print(expr->as.aggregate.inner, out);
    buf_append_byte(out, ')');
}

static void print_call(const PromqlExpr *expr, Buf *out) {
    buf_printf(out, "%s(", expr->as.call.function->name);
    for (size_t i = 0; i < expr->as.call.arg_count; i++) {
        if (i > 0) buf_append_str(out, STR(", "));
        promql_print(expr->as.call.args[i], out);
    }
    buf_append_byte(out, ')');
}

void promql_print(const PromqlExpr *expr, Buf *out) {
    /* A buffer with a limit says when nobody reads on. */
    if (buf_failed(out)) return;
    switch (expr->kind) {
    case PROMQL_NUMBER:
        if (expr->as.number.is_duration)
            go_append_duration(out, (int64_t)(expr->as.number.value * 1e9) / 1000000);
        else
            go_append_f(out, expr->as.number.value);
        return;
    case PROMQL_STRING:
        rune_quote(out, expr->as.string.value);
        return;
    case PROMQL_SELECTOR:
        print_selector(expr, out);
        return;
    case PROMQL_MATRIX:
        print_matrix(expr, out);
        return;
    case PROMQL_SUBQUERY:
        promql_print(expr->as.subquery.inner, out);
        print_subquery_suffix(out, expr);
        return;
    case PROMQL_CALL:
        print_call(expr, out);
        return;
    case PROMQL_AGGREGATE:
        print_aggregate(expr, out);
        return;
    case PROMQL_BINARY:
        promql_print(expr->as.binary.left, out);
        buf_printf(out, " %s", promql_op_text(expr->as.binary.op));
        print_matching(out, expr);
        buf_append_byte(out, ' ');
        promql_print(expr->as.binary.right, out);
        return;
    case PROMQL_UNARY:
        buf_append_str(out, str_of(promql_op_text(expr->as.unary.op)));
        promql_print(expr->as.unary.inner, out);
        return;
    case PROMQL_PAREN:
        buf_append_byte(out, '(');
        promql_print(expr->as.paren.inner, out);
        buf_append_byte(out, ')');
        return;
    case PROMQL_DURATION:
        print_duration_expr(expr, out);
        return;
    }
}
