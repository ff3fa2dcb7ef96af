/*
 * print.c: attributes, expressions and values as text.
 */
#include <inttypes.h>

#include "querier/exec/go_float.h"
#include "querier/logql/units.h"
#include "querier/traceql/build.h"

const char *traceql_op_text(uint8_t op) {
    static const char *const texts[] = {
        "",   "+",  "-",  "*",  "/",   "%",   "^",  "=",  "!=", "<",   "<=",  ">",
        ">=", "=~", "!~", "&&", "||",  "!",   "-",  "!=", "=",  ">",   "<",   ">>",
        "<<", "~",  "!>", "!<", "!>>", "!<<", "!~", "&>", "&<", "&>>", "&<<", "&~"};

    return op < sizeof texts / sizeof *texts ? texts[op] : "";
}

static void append_attribute(Buf *out, const TraceqlAttribute *attribute) {
    static const char *const scopes[] = {"",     "span",     "event",
                                         "link", "resource", "instrumentation"};
#define X(id, name, scoped) name,
    static const char *const intrinsics[] = {TRACEQL_INTRINSICS(X)};
#undef X
    Str name = attribute->name;

    if (attribute->intrinsic != TRACEQL_NONE_FIELD) {
        buf_append_str(out, str_of(intrinsics[attribute->intrinsic]));
        return;
    }
    if (attribute->parent) buf_append_str(out, STR("parent."));
    buf_append_str(out, str_of(scopes[attribute->scope]));
    if (!attribute->parent || attribute->scope != 0) buf_append_byte(out, '.');
    if (traceql_is_plain_name(name)) {
        buf_append_str(out, name);
        return;
    }
    buf_append_byte(out, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '"' || name.ptr[i] == '\\') buf_append_byte(out, '\\');
        buf_append_byte(out, name.ptr[i]);
    }
    buf_append_byte(out, '"');
}

static void append_float(Buf *out, double number) {
    size_t start = out->len;

    go_append_g(out, number);
    if (!buf_failed(out) && memchr(out->ptr + start, '.', out->len - start) == NULL &&
        memchr(out->ptr + start, 'e', out->len - start) == NULL)
        buf_append_str(out, STR(".0"));
}

static void append_value(Buf *out, const TraceqlValue *value, bool quotes) {
    static const char *const statuses[] = {"unset", "ok", "error"};
    static const char *const kinds[] = {"unspecified", "internal", "server",
                                        "client",      "producer", "consumer"};

    switch (value->type) {
    case TRACEQL_NIL:
        buf_append_str(out, STR("nil"));
        return;
    case TRACEQL_INT:
        buf_printf(out, "%" PRId64, value->integer);
        return;
    case TRACEQL_FLOAT:
        append_float(out, value->number);
        return;
    case TRACEQL_STRING:
        if (quotes) buf_append_byte(out, '`');
        buf_append_str(out, value->text);
        if (quotes) buf_append_byte(out, '`');
        return;
    case TRACEQL_BOOL:
        buf_append_str(out, value->truth ? STR("true") : STR("false"));
        return;
    case TRACEQL_DURATION:
        logql_append_go_duration(out, value->integer);
        return;
    case TRACEQL_STATUS:
        buf_append_str(out, str_of(statuses[(uint64_t)value->integer > 2 ? 0 : value->integer]));
        return;
    case TRACEQL_KIND:
        buf_append_str(out, str_of(kinds[(uint64_t)value->integer > 5 ? 0 : value->integer]));
        return;
    default:
        break;
    }
    buf_append_byte(out, '[');
    for (uint32_t i = 0; i < value->count; i++) {
        TraceqlValue element = traceql_element(value, i);

        if (i > 0) buf_append_str(out, STR(", "));
        append_value(out, &element, true);
    }
    buf_append_byte(out, ']');
}

static void append_expr(Buf *out, const TraceqlExpr *expr);

static void append_wrapped(Buf *out, const TraceqlExpr *expr) {
    bool simple = expr->kind == TRACEQL_EXPR_VALUE || expr->kind == TRACEQL_EXPR_ATTRIBUTE;

    if (!simple) buf_append_byte(out, '(');
    append_expr(out, expr);
    if (!simple) buf_append_byte(out, ')');
}

static void append_expr(Buf *out, const TraceqlExpr *expr) {
    switch (expr->kind) {
    case TRACEQL_EXPR_VALUE:
        append_value(out, &expr->value, true);
        return;
    case TRACEQL_EXPR_ATTRIBUTE:
        append_attribute(out, &expr->attribute);
        return;
    case TRACEQL_EXPR_UNARY:
        if (expr->op != TRACEQL_EXISTS && expr->op != TRACEQL_NOT_EXISTS)
            buf_append_str(out, str_of(traceql_op_text(expr->op)));
        append_wrapped(out, expr->left);
        if (expr->op == TRACEQL_EXISTS) buf_append_str(out, STR(" != nil"));
        if (expr->op == TRACEQL_NOT_EXISTS) buf_append_str(out, STR(" = nil"));
        return;
    default:
        append_wrapped(out, expr->left);
        buf_printf(out, " %s ", traceql_op_text(expr->op));
        append_wrapped(out, expr->right);
        return;
    }
}

/* {NULL, 0}: out of memory. */
static Str finish(Buf *buf, Arena *arena) {
    Str out = {0};

    if (!buf_failed(buf)) out = str_dup(arena, buf_str(buf));
    buf_done(buf);
    return out;
}

Str traceql_attribute_text(const TraceqlAttribute *attribute, Arena *arena) {
    Buf buf;

    buf_init(&buf, 0);
    append_attribute(&buf, attribute);
    return finish(&buf, arena);
}

Str traceql_expr_text(const TraceqlExpr *expr, Arena *arena) {
    Buf buf;

    buf_init(&buf, 0);
    append_expr(&buf, expr);
    return finish(&buf, arena);
}

Str traceql_value_text(const TraceqlValue *value, Arena *arena) {
    Buf buf;

    buf_init(&buf, 0);
    append_value(&buf, value, false);
    return finish(&buf, arena);
}
