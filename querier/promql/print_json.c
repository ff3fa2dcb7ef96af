/*
 * print_json.c: the tree as /api/v1/parse_query gives it to Prometheus' own user interface: keys in
 * byte order, as there.
 */
#include <math.h>

#include "common/base/json.h"
#include "querier/exec/go_float.h"
#include "querier/promql/print.h"

static void json_number_text(Buf *out, double v) {
    buf_append_byte(out, '"');
    go_append_f(out, v);
    buf_append_byte(out, '"');
}

static void json_strings(Buf *out, const Str *items, size_t count) {
    buf_append_byte(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) buf_append_byte(out, ',');
        json_append_string(out, items[i]);
    }
    buf_append_byte(out, ']');
}

static void json_bool(Buf *out, const char *key, bool value) {
    buf_printf(out, "\"%s\":%s", key, value ? "true" : "false");
}

static void json_duration(const PromqlExpr *expr, Buf *out) {
    if (expr == NULL) {
        buf_append_str(out, STR("null"));
        return;
    }
    if (expr->kind == PROMQL_NUMBER) {
        buf_append_byte(out, '{');
        json_bool(out, "duration", expr->as.number.is_duration);
        buf_append_str(out, STR(",\"type\":\"numberLiteral\",\"val\":"));
        json_number_text(out, expr->as.number.value);
        buf_append_byte(out, '}');
        return;
    }
    buf_append_str(out, STR("{\"lhs\":"));
    json_duration(expr->as.duration.left, out);
    buf_printf(out, ",\"op\":\"%s\",\"rhs\":", promql_op_text(expr->as.duration.op));
    json_duration(expr->as.duration.right, out);
    buf_append_str(out, STR(",\"type\":\"durationExpr\","));
    json_bool(out, "wrapped", expr->as.duration.wrapped);
    buf_append_byte(out, '}');
}

static void json_matchers(const PromqlExpr *selector, Buf *out) {
    static const char *const ops[] = {"=", "!=", "=~", "!~"};

    buf_append_byte(out, '[');
    for (size_t i = 0; i < selector->as.selector.matcher_count; i++) {
        const Matcher *matcher = &selector->as.selector.matchers[i];

        if (i > 0) buf_append_byte(out, ',');
        buf_append_str(out, STR("{\"name\":"));
        json_append_string(out, matcher->name);
        buf_printf(out, ",\"type\":\"%s\",\"value\":", ops[matcher->op]);
        json_append_string(out, matcher->value);
        buf_append_byte(out, '}');
    }
    buf_append_byte(out, ']');
}

static void json_offset(const PromqlTime *time, Buf *out) {
    buf_printf(out, "\"offset\":%lld,\"offsetExpr\":", (long long)time->offset_ms);
    json_duration(time->offset_expr, out);
}

static void json_start_or_end(const PromqlTime *time, Buf *out) {
    buf_append_str(out, STR("\"startOrEnd\":"));
    if (time->at == PROMQL_AT_START || time->at == PROMQL_AT_END)
        buf_append_str(out, time->at == PROMQL_AT_START ? STR("\"start\"") : STR("\"end\""));
    else
        buf_append_str(out, STR("null"));
}

static void json_timestamp(const PromqlTime *time, Buf *out) {
    if (time->at == PROMQL_AT_TIME)
        buf_printf(out, "\"timestamp\":%lld", (long long)time->at_ms);
    else
        buf_append_str(out, STR("\"timestamp\":null"));
}

static void json_selector(const PromqlExpr *selector, const PromqlExpr *matrix, Buf *out) {
    const PromqlTime *time = &selector->as.selector.time;

    buf_append_byte(out, '{');
    json_bool(out, "anchored", selector->as.selector.anchored);
    buf_append_str(out, STR(",\"matchers\":"));
    json_matchers(selector, out);
    buf_append_str(out, STR(",\"name\":"));
    json_append_string(out, selector->as.selector.name);
    buf_append_byte(out, ',');
    json_offset(time, out);
    if (matrix != NULL) {
        buf_printf(out, ",\"range\":%lld,\"rangeExpr\":", (long long)matrix->as.matrix.range_ms);
        json_duration(matrix->as.matrix.range_expr, out);
    }
    buf_append_byte(out, ',');
    json_bool(out, "smoothed", selector->as.selector.smoothed);
    buf_append_byte(out, ',');
    json_start_or_end(time, out);
    buf_append_byte(out, ',');
    json_timestamp(time, out);
    buf_printf(out, ",\"type\":\"%s\"}", matrix != NULL ? "matrixSelector" : "vectorSelector");
}

static void json_subquery(const PromqlExpr *expr, Buf *out) {
    const PromqlTime *time = &expr->as.subquery.time;

    buf_append_str(out, STR("{\"expr\":"));
    promql_print_json(expr->as.subquery.inner, out);
    buf_append_byte(out, ',');
    json_offset(time, out);
    buf_printf(out, ",\"range\":%lld,\"rangeExpr\":", (long long)expr->as.subquery.range_ms);
    json_duration(expr->as.subquery.range_expr, out);
    buf_append_byte(out, ',');
    json_start_or_end(time, out);
    buf_printf(out, ",\"step\":%lld,\"stepExpr\":", (long long)expr->as.subquery.step_ms);
    json_duration(expr->as.subquery.step_expr, out);
    buf_append_byte(out, ',');
    json_timestamp(time, out);
    buf_append_str(out, STR(",\"type\":\"subquery\"}"));
}

static void json_call(const PromqlExpr *expr, Buf *out) {
    const PromqlFunction *function = expr->as.call.function;

    buf_append_str(out, STR("{\"args\":["));
    for (size_t i = 0; i < expr->as.call.arg_count; i++) {
        if (i > 0) buf_append_byte(out, ',');
        promql_print_json(expr->as.call.args[i], out);
    }
    buf_append_str(out, STR("],\"func\":{\"argTypes\":["));
    for (unsigned i = 0; i < function->arg_count; i++)
        buf_printf(out, "%s\"%s\"", i > 0 ? "," : "", promql_value_type_name(function->args[i]));
    buf_printf(out, "],\"name\":\"%s\",\"returnType\":\"%s\",\"variadic\":%d},\"type\":\"call\"}",
               function->name, promql_value_type_name(function->type), function->variadic);
}

static void json_fill(Buf *out, const char *key, bool has, double value) {
    buf_printf(out, "\"%s\":", key);
    if (!has)
        buf_append_str(out, STR("null"));
    else if (isfinite(value))
        go_append_f(out, value);
    else
        json_number_text(out, value); /* JSON has no such number */
}

static void json_matching(const PromqlExpr *expr, Buf *out) {
    static const char *const cards[] = {"one-to-one", "many-to-one", "one-to-many", "many-to-many"};
    const PromqlMatching *matching = &expr->as.binary.matching;

    if (expr->as.binary.left->type != PROMQL_TYPE_VECTOR ||
        expr->as.binary.right->type != PROMQL_TYPE_VECTOR) {
        buf_append_str(out, STR("null"));
        return;
    }
    buf_printf(out, "{\"card\":\"%s\",\"fillValues\":{", cards[matching->cardinality]);
    json_fill(out, "lhs", matching->has_fill_left, matching->fill_left);
    buf_append_byte(out, ',');
    json_fill(out, "rhs", matching->has_fill_right, matching->fill_right);
    buf_append_str(out, STR("},\"include\":"));
    json_strings(out, matching->include, matching->include_count);
    buf_append_str(out, STR(",\"labels\":"));
    json_strings(out, matching->labels, matching->label_count);
    buf_append_byte(out, ',');
    json_bool(out, "on", matching->on);
    buf_append_byte(out, '}');
}

static void json_binary(const PromqlExpr *expr, Buf *out) {
    buf_append_byte(out, '{');
    json_bool(out, "bool", expr->as.binary.returns_bool);
    buf_append_str(out, STR(",\"lhs\":"));
    promql_print_json(expr->as.binary.left, out);
    buf_append_str(out, STR(",\"matching\":"));
    json_matching(expr, out);
    buf_printf(out, ",\"op\":\"%s\",\"rhs\":", promql_op_text(expr->as.binary.op));
    promql_print_json(expr->as.binary.right, out);
    buf_append_str(out, STR(",\"type\":\"binaryExpr\"}"));
}

static void json_aggregate(const PromqlExpr *expr, Buf *out) {
    buf_append_str(out, STR("{\"expr\":"));
    promql_print_json(expr->as.aggregate.inner, out);
    buf_append_str(out, STR(",\"grouping\":"));
    json_strings(out, expr->as.aggregate.grouping, expr->as.aggregate.grouping_count);
    buf_printf(out, ",\"op\":\"%s\",\"param\":", promql_aggregation_name(expr->as.aggregate.op));
    if (expr->as.aggregate.param != NULL)
        promql_print_json(expr->as.aggregate.param, out);
    else
        buf_append_str(out, STR("null"));
    buf_append_str(out, STR(",\"type\":\"aggregation\","));
    json_bool(out, "without", expr->as.aggregate.without);
    buf_append_byte(out, '}');
}

void promql_print_json(const PromqlExpr *expr, Buf *out) {
    if (buf_failed(out)) return;
    switch (expr->kind) {
    case PROMQL_NUMBER:
        buf_append_str(out, STR("{\"type\":\"numberLiteral\",\"val\":"));
        json_number_text(out, expr->as.number.value);
        buf_append_byte(out, '}');
        return;
    case PROMQL_STRING:
        buf_append_str(out, STR("{\"type\":\"stringLiteral\",\"val\":"));
        json_append_string(out, expr->as.string.value);
        buf_append_byte(out, '}');
        return;
    case PROMQL_SELECTOR:
        json_selector(expr, NULL, out);
        return;
    case PROMQL_MATRIX:
        json_selector(expr->as.matrix.inner, expr, out);
        return;
    case PROMQL_SUBQUERY:
        json_subquery(expr, out);
        return;
    case PROMQL_CALL:
        json_call(expr, out);
        return;
    case PROMQL_AGGREGATE:
        json_aggregate(expr, out);
        return;
    case PROMQL_BINARY:
        json_binary(expr, out);
        return;
    case PROMQL_UNARY:
        buf_append_str(out, STR("{\"expr\":"));
        promql_print_json(expr->as.unary.inner, out);
        buf_printf(out, ",\"op\":\"%s\",\"type\":\"unaryExpr\"}",
                   promql_op_text(expr->as.unary.op));
        return;
    case PROMQL_PAREN:
        buf_append_str(out, STR("{\"expr\":"));
        promql_print_json(expr->as.paren.inner, out);
        buf_append_str(out, STR(",\"type\":\"parenExpr\"}"));
        return;
    case PROMQL_DURATION:
        json_duration(expr, out);
        return;
    }
}
