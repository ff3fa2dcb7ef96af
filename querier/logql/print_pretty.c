/*
 * print_pretty.c: an expression over several lines, as Loki's format_query: what is longer than a
 * line goes on in the next, two spaces further in.
 */
#include "common/base/rune.h"
#include "querier/exec/go_float.h"
#include "querier/logql/print.h"

enum { LINE_BYTES_MAX = 100 };

/* Level 0 means that nobody began a line. */
static void indent(unsigned level, Buf *out) {
    while (level-- > 0) buf_append_str(out, STR("  "));
}

/* Prints on one line what is short enough for it. False: it is not, and nothing was printed. */
static bool fits(const LogqlExpr *expr, unsigned level, Buf *out) {
    size_t start;

    indent(level, out);
    start = out->len;
    logql_print(expr, out);
    if (out->len - start <= LINE_BYTES_MAX) return true;
    if (!buf_failed(out)) out->len = start - 2 * level;
    return false;
}

static void print_filter_terms(const LogqlStage *stage, unsigned level, Buf *out) {
    size_t start = out->len;

    indent(level, out);
    logql_print_stage(stage, out);
    if (out->len - start - 2 * level <= LINE_BYTES_MAX || buf_failed(out)) return;
    out->len = start;
    for (size_t i = 0; i < stage->as.line_filter.count; i++) {
        if (i > 0) buf_append_byte(out, '\n');
        indent(level, out);
        logql_print_line_term(&stage->as.line_filter.terms[i], out);
    }
}

static void print_log(const LogqlLog *log, unsigned level, Buf *out) {
    size_t start;

    indent(level, out);
    start = out->len;
    logql_print_log(log, out);
    if (log->stage_count == 0 || out->len - start <= LINE_BYTES_MAX || buf_failed(out)) return;
    out->len = start;
    logql_print_selector(log, out);
    for (size_t i = 0; i < log->stage_count; i++) {
        buf_append_byte(out, '\n');
        if (log->stages[i].kind == LOGQL_STAGE_LINE_FILTER) {
            print_filter_terms(&log->stages[i], level + 1, out);
            continue;
        }
        if (log->stages[i].kind != LOGQL_STAGE_DECOLORIZE) indent(level + 1, out);
        logql_print_stage(&log->stages[i], out);
    }
}

static void print_grouping(const LogqlGrouping *grouping, Buf *out) {
    if (grouping->without)
        buf_append_str(out, STR(" without"));
    else if (grouping->count > 0)
        buf_append_str(out, STR(" by"));
    if (grouping->count == 0) return;
    buf_append_byte(out, ' ');
    logql_print_labels(grouping->labels, grouping->count, ", ", out);
}

static void print_range(const LogqlExpr *expr, unsigned level, Buf *out) {
    CLEANUP_IN_PLACE(buf_done) Buf line = {0};

    indent(level, out);
    buf_append_str(out, str_of(logql_range_op_text(expr->as.range.op)));
    buf_append_str(out, STR("(\n"));
    if (expr->as.range.has_param) {
        indent(level + 1, out);
        go_append_f(out, expr->as.range.param);
        buf_append_str(out, STR(",\n"));
    }
    print_log(&expr->as.range.log, level + 1, out);
    if (expr->as.range.unwrap != NULL) {
        buf_init(&line, 0);
        buf_append_byte(&line, '\n');
        indent(level + 2, &line);
        buf_append_byte(&line, '\0');
        buf_append_byte(out, '\n');
        indent(level + 2, out);
        logql_print_unwrap(expr->as.range.unwrap, buf_failed(&line) ? "\n" : line.ptr, out);
    }
    buf_append_str(out, STR(" ["));
    go_append_duration(out, expr->as.range.range_ns / 1000000);
    buf_append_byte(out, ']');
    if (expr->as.range.offset_ns != 0) {
        buf_append_str(out, STR(" offset "));
        go_append_duration(out, expr->as.range.offset_ns / 1000000);
    }
    buf_append_byte(out, '\n');
    indent(level, out);
    buf_append_byte(out, ')');
    if (expr->as.range.grouping.written) print_grouping(&expr->as.range.grouping, out);
}

static void print_pretty(const LogqlExpr *expr, unsigned level, Buf *out);

static void print_vector(const LogqlExpr *expr, unsigned level, Buf *out) {
    indent(level, out);
    buf_append_str(out, str_of(logql_vector_op_text(expr->as.vector.op)));
    print_grouping(&expr->as.vector.grouping, out);
    buf_append_str(out, STR("(\n"));
    if (expr->as.vector.param != 0) {
        indent(level + 1, out);
        buf_printf(out, "%lld,\n", (long long)expr->as.vector.param);
    }
    print_pretty(expr->as.vector.inner, level + 1, out);
    buf_append_byte(out, '\n');
    indent(level, out);
    buf_append_byte(out, ')');
}

static void print_label_replace(const LogqlExpr *expr, unsigned level, Buf *out) {
    const Str texts[] = {expr->as.label_replace.destination, expr->as.label_replace.replacement,
                         expr->as.label_replace.source, expr->as.label_replace.regex};

    indent(level, out);
    buf_append_str(out, STR("label_replace(\n"));
    print_pretty(expr->as.label_replace.inner, level + 1, out);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        buf_append_str(out, STR(",\n"));
        indent(level + 1, out);
        rune_quote(out, texts[i]);
    }
    buf_append_byte(out, '\n');
    indent(level, out);
    buf_append_byte(out, ')');
}

static void print_binary(const LogqlExpr *expr, unsigned level, Buf *out) {
    print_pretty(expr->as.binary.left, level + 1, out);
    buf_append_byte(out, '\n');
    indent(level, out);
    logql_print_operator(expr, ", ", out);
    buf_append_byte(out, '\n');
    print_pretty(expr->as.binary.right, level + 1, out);
}

static void print_pretty(const LogqlExpr *expr, unsigned level, Buf *out) {
    if (expr->kind == LOGQL_LOG) {
        print_log(&expr->as.log, level, out);
        return;
    }
    if (expr->kind == LOGQL_LITERAL || expr->kind == LOGQL_VECTOR) {
        indent(level, out);
        logql_print(expr, out);
        return;
    }
    if (fits(expr, level, out)) return;
    if (expr->kind == LOGQL_RANGE_AGGREGATION)
        print_range(expr, level, out);
    else if (expr->kind == LOGQL_VECTOR_AGGREGATION)
        print_vector(expr, level, out);
    else if (expr->kind == LOGQL_LABEL_REPLACE)
        print_label_replace(expr, level, out);
    else
        print_binary(expr, level, out);
}

void logql_print_pretty(const LogqlExpr *expr, Buf *out) {
    print_pretty(expr, 0, out);
}
