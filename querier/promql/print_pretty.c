/*
 * print_pretty.c: an expression over several lines: what is longer than 100 characters is split at
 * its outermost operator, call or aggregation, and its parts are indented one step further.
 */
#include "querier/promql/print.h"

enum { LINE_BYTES_MAX = 100 };

static void pretty(const PromqlExpr *expr, unsigned level, Buf *out);

static void indent(Buf *out, unsigned level) {
    for (unsigned i = 0; i < level; i++) buf_append_str(out, STR("  "));
}

static bool needs_split(const PromqlExpr *expr) {
    CLEANUP_IN_PLACE(buf_done) Buf line;

    buf_init(&line, LINE_BYTES_MAX);
    promql_print(expr, &line);
    return buf_failed(&line);
}

static void pretty_aggregate(const PromqlExpr *expr, unsigned level, Buf *out) {
    print_aggregate_head(out, expr);
    buf_append_str(out, STR("(\n"));
    if (expr->as.aggregate.param != NULL) {
        pretty(expr->as.aggregate.param, level + 1, out);
        buf_append_str(out, STR(",\n"));
    }
    pretty(expr->as.aggregate.inner, level + 1, out);
    buf_append_byte(out, '\n');
    indent(out, level);
    buf_append_byte(out, ')');
}

static void pretty_call(const PromqlExpr *expr, unsigned level, Buf *out) {
    buf_printf(out, "%s(\n", expr->as.call.function->name);
    for (size_t i = 0; i < expr->as.call.arg_count; i++) {
        if (i > 0) buf_append_str(out, STR(",\n"));
        pretty(expr->as.call.args[i], level + 1, out);
    }
    buf_append_byte(out, '\n');
    indent(out, level);
    buf_append_byte(out, ')');
}

/* The operator stands at the start of its own line's operand. */
static void pretty_binary(const PromqlExpr *expr, unsigned level, Buf *out) {
    pretty(expr->as.binary.left, level + 1, out);
    buf_append_byte(out, '\n');
    indent(out, level);
    buf_append_str(out, str_of(promql_op_text(expr->as.binary.op)));
    print_matching(out, expr);
    buf_append_byte(out, '\n');
    pretty(expr->as.binary.right, level + 1, out);
}

/* What follows a unary operator stays on its line. */
static void pretty_unary(const PromqlExpr *expr, unsigned level, Buf *out) {
    CLEANUP_IN_PLACE(buf_done) Buf inner;

    buf_init(&inner, 0);
    pretty(expr->as.unary.inner, level, &inner);
    indent(out, level);
    buf_append_str(out, str_of(promql_op_text(expr->as.unary.op)));
    buf_append_str(out, str_trim(buf_str(&inner)));
    if (buf_failed(&inner)) out->failed = true;
}

static void pretty(const PromqlExpr *expr, unsigned level, Buf *out) {
    if (buf_failed(out)) return;
    if (expr->kind == PROMQL_UNARY) {
        pretty_unary(expr, level, out);
        return;
    }
    if (expr->kind == PROMQL_SUBQUERY && needs_split(expr)) {
        pretty(expr->as.subquery.inner, level, out);
        print_subquery_suffix(out, expr);
        return;
    }
    if (expr->kind == PROMQL_BINARY && needs_split(expr)) {
        pretty_binary(expr, level, out);
        return;
    }
    if (expr->kind != PROMQL_SUBQUERY) indent(out, level);
    if (expr->kind == PROMQL_AGGREGATE && needs_split(expr)) {
        pretty_aggregate(expr, level, out);
    } else if (expr->kind == PROMQL_CALL && needs_split(expr)) {
        pretty_call(expr, level, out);
    } else if (expr->kind == PROMQL_PAREN && needs_split(expr)) {
        buf_append_str(out, STR("(\n"));
        pretty(expr->as.paren.inner, level + 1, out);
        buf_append_byte(out, '\n');
        indent(out, level);
        buf_append_byte(out, ')');
    } else {
        promql_print(expr, out);
    }
}

void promql_print_pretty(const PromqlExpr *expr, Buf *out) {
    pretty(expr, 0, out);
}
