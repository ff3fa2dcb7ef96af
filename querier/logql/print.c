/*
 * print.c: an expression as one canonical line, as Loki writes it.
 */
#include "querier/logql/print.h"

#include "common/base/rune.h"
#include "querier/exec/go_float.h"
#include "querier/logql/units.h"

/* ---- matchers and filters ---- */

static Str match_op(MatchOp op) {
    static const Str texts[] = {STR_INIT("="), STR_INIT("!="), STR_INIT("=~"), STR_INIT("!~")};

    return texts[op];
}

static bool is_plain_name(Str name) {
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
              (i > 0 && c >= '0' && c <= '9')))
            return false;
    }
    return name.len > 0;
}

static void print_matcher(const Matcher *matcher, Buf *out) {
    if (is_plain_name(matcher->name))
        buf_append_str(out, matcher->name);
    else
        rune_quote(out, matcher->name);
    buf_append_str(out, match_op(matcher->op));
    rune_quote(out, matcher->value);
}

static Str compare_text(LogqlCompare compare) {
    static const Str texts[] = {STR_INIT("=="), STR_INIT("!="), STR_INIT(">"),
                                STR_INIT(">="), STR_INIT("<"),  STR_INIT("<=")};

    return texts[compare];
}

/* An expression that needs an automaton stands in backticks. */
static void print_match_filter(const Matcher *match, Buf *out) {
    if (match->op != MATCH_REGEX || match->shape != MATCH_SHAPE_REGEX ||
        memchr(match->value.ptr, '`', match->value.len) != NULL) {
        print_matcher(match, out);
        return;
    }
    buf_append_str(out, match->name);
    buf_append_str(out, STR("=~`"));
    buf_append_str(out, match->value);
    buf_append_byte(out, '`');
}

void logql_print_filter(const LogqlLabelFilter *filter, Buf *out) {
    switch (filter->kind) {
    case LOGQL_FILTER_MATCH:
        print_match_filter(filter->as.match, out);
        return;
    case LOGQL_FILTER_AND:
    case LOGQL_FILTER_OR:
        buf_append_str(out, STR("( "));
        logql_print_filter(filter->as.pair.left, out);
        buf_append_str(out, filter->kind == LOGQL_FILTER_AND ? STR(" , ") : STR(" or "));
        logql_print_filter(filter->as.pair.right, out);
        buf_append_str(out, STR(" )"));
        return;
    case LOGQL_FILTER_IP:
        buf_append_str(out, filter->name);
        buf_append_str(out, filter->compare == LOGQL_EQUAL ? STR("=ip(") : STR("!=ip("));
        rune_quote(out, filter->as.ip);
        buf_append_byte(out, ')');
        return;
    default:
        break;
    }
    buf_append_str(out, filter->name);
    buf_append_str(out, compare_text(filter->compare));
    if (filter->kind == LOGQL_FILTER_NUMBER)
        go_append_f(out, filter->as.number);
    else if (filter->kind == LOGQL_FILTER_DURATION)
        logql_append_go_duration(out, filter->as.duration_ns);
    else
        logql_append_bytes(out, filter->as.bytes);
}

/* ---- stages ---- */

void logql_print_line_term(const LogqlLineTerm *term, Buf *out) {
    static const Str ops[] = {STR_INIT("|= "), STR_INIT("!= "), STR_INIT("|~ "),
                              STR_INIT("!~ "), STR_INIT("|> "), STR_INIT("!> ")};

    buf_append_str(out, ops[term->op]);
    for (size_t i = 0; i < term->choice_count; i++) {
        if (i > 0) buf_append_str(out, STR(" or "));
        if (term->choices[i].ip) buf_append_str(out, STR("ip("));
        rune_quote(out, term->choices[i].text);
        if (term->choices[i].ip) buf_append_byte(out, ')');
    }
}

static void print_parser(const char *name, const LogqlStage *stage, Buf *out) {
    buf_printf(out, "| %s", name);
    if (stage->as.parser.strict) buf_append_str(out, STR(" --strict"));
    if (stage->as.parser.keep_empty) buf_append_str(out, STR(" --keep-empty"));
    for (size_t i = 0; i < stage->as.parser.count; i++) {
        const LogqlExtraction *extraction = &stage->as.parser.extractions[i];

        buf_append_byte(out, i == 0 ? ' ' : ',');
        buf_append_str(out, extraction->name);
        buf_append_byte(out, '=');
        rune_quote(out, extraction->expression);
    }
}

static void print_quoted(const char *name, Str text, Buf *out) {
    buf_printf(out, "| %s ", name);
    rune_quote(out, text);
}

static void print_names(const char *name, const LogqlStage *stage, Buf *out) {
    buf_printf(out, "| %s ", name);
    for (size_t i = 0; i < stage->as.names.count; i++) {
        const LogqlNamed *named = &stage->as.names.names[i];

        if (i > 0) buf_append_byte(out, ',');
        if (named->match != NULL)
            print_matcher(named->match, out);
        else
            buf_append_str(out, named->name);
    }
}

static void print_label_format(const LogqlStage *stage, Buf *out) {
    buf_append_str(out, STR("| label_format "));
    for (size_t i = 0; i < stage->as.label_format.count; i++) {
        const LogqlLabelFormat *format = &stage->as.label_format.formats[i];

        if (i > 0) buf_append_byte(out, ',');
        buf_append_str(out, format->name);
        buf_append_byte(out, '=');
        if (format->rename)
            buf_append_str(out, format->value);
        else
            rune_quote(out, format->value);
    }
}

void logql_print_stage(const LogqlStage *stage, Buf *out) {
    switch (stage->kind) {
    case LOGQL_STAGE_LINE_FILTER:
        for (size_t i = 0; i < stage->as.line_filter.count; i++) {
            if (i > 0) buf_append_byte(out, ' ');
            logql_print_line_term(&stage->as.line_filter.terms[i], out);
        }
        return;
    case LOGQL_STAGE_JSON:
        print_parser("json", stage, out);
        return;
    case LOGQL_STAGE_LOGFMT:
        print_parser("logfmt", stage, out);
        return;
    case LOGQL_STAGE_REGEXP:
        print_quoted("regexp", stage->as.pattern, out);
        return;
    case LOGQL_STAGE_PATTERN:
        print_quoted("pattern", stage->as.pattern, out);
        return;
    case LOGQL_STAGE_UNPACK:
        buf_append_str(out, STR("| unpack"));
        return;
    case LOGQL_STAGE_LABEL_FILTER:
        buf_append_str(out, STR("| "));
        logql_print_filter(stage->as.label_filter, out);
        return;
    case LOGQL_STAGE_LINE_FORMAT:
        print_quoted("line_format", stage->as.line_format, out);
        return;
    case LOGQL_STAGE_LABEL_FORMAT:
        print_label_format(stage, out);
        return;
    case LOGQL_STAGE_DECOLORIZE:
        buf_append_str(out, STR("| decolorize"));
        return;
    case LOGQL_STAGE_DROP:
        print_names("drop", stage, out);
        return;
    case LOGQL_STAGE_KEEP:
        print_names("keep", stage, out);
        return;
    }
}

/* ---- expressions ---- */

void logql_print_selector(const LogqlLog *log, Buf *out) {
    buf_append_byte(out, '{');
    for (size_t i = 0; i < log->matcher_count; i++) {
        if (i > 0) buf_append_str(out, STR(", "));
        print_matcher(&log->matchers[i], out);
    }
    buf_append_byte(out, '}');
}

void logql_print_log(const LogqlLog *log, Buf *out) {
    logql_print_selector(log, out);
    for (size_t i = 0; i < log->stage_count; i++) {
        buf_append_byte(out, ' ');
        logql_print_stage(&log->stages[i], out);
    }
}

void logql_print_unwrap(const LogqlUnwrap *unwrap, const char *between, Buf *out) {
    static const char *const conversions[] = {"", "bytes", "duration", "duration_seconds"};

    buf_append_str(out, STR("| unwrap "));
    if (unwrap->conversion != LOGQL_CONVERT_NONE)
        buf_printf(out, "%s(", conversions[unwrap->conversion]);
    buf_append_str(out, unwrap->label);
    if (unwrap->conversion != LOGQL_CONVERT_NONE) buf_append_byte(out, ')');
    for (size_t i = 0; i < unwrap->filter_count; i++) {
        buf_append_str(out, str_of(between));
        buf_append_str(out, STR("| "));
        logql_print_filter(unwrap->filters[i], out);
    }
}

void logql_print_labels(const Str *labels, size_t count, const char *between, Buf *out) {
    buf_append_byte(out, '(');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) buf_append_str(out, str_of(between));
        buf_append_str(out, labels[i]);
    }
    buf_append_byte(out, ')');
}

static void print_grouping(const LogqlGrouping *grouping, Buf *out) {
    buf_append_str(out, grouping->without ? STR(" without ") : STR(" by "));
    logql_print_labels(grouping->labels, grouping->count, ",", out);
}

static void print_range(const LogqlExpr *expr, Buf *out) {
    buf_append_str(out, str_of(logql_range_op_text(expr->as.range.op)));
    buf_append_byte(out, '(');
    if (expr->as.range.has_param) {
        go_append_f(out, expr->as.range.param);
        buf_append_byte(out, ',');
    }
    logql_print_log(&expr->as.range.log, out);
    if (expr->as.range.unwrap != NULL) {
        buf_append_byte(out, ' ');
        logql_print_unwrap(expr->as.range.unwrap, " ", out);
    }
    buf_append_byte(out, '[');
    go_append_duration(out, expr->as.range.range_ns / 1000000);
    buf_append_byte(out, ']');
    if (expr->as.range.offset_ns != 0) {
        buf_append_str(out, STR(" offset "));
        logql_append_go_duration(out, expr->as.range.offset_ns);
    }
    buf_append_byte(out, ')');
    if (expr->as.range.grouping.written) print_grouping(&expr->as.range.grouping, out);
}

static void print_vector(const LogqlExpr *expr, Buf *out) {
    const LogqlGrouping *grouping = &expr->as.vector.grouping;

    buf_append_str(out, str_of(logql_vector_op_text(expr->as.vector.op)));
    if (grouping->count > 0 || grouping->without) print_grouping(grouping, out);
    buf_append_byte(out, '(');
    if (expr->as.vector.param != 0) buf_printf(out, "%lld,", (long long)expr->as.vector.param);
    logql_print(expr->as.vector.inner, out);
    buf_append_byte(out, ')');
}

void logql_print_operator(const LogqlExpr *expr, const char *between, Buf *out) {
    const LogqlMatching *matching = &expr->as.binary.matching;

    buf_append_str(out, str_of(logql_binary_op_text(expr->as.binary.op)));
    if (expr->as.binary.returns_bool) buf_append_str(out, STR(" bool"));
    if (!matching->on && matching->label_count == 0) return;
    buf_append_str(out, matching->on ? STR(" on ") : STR(" ignoring "));
    logql_print_labels(matching->labels, matching->label_count, between, out);
    buf_append_byte(out, ' ');
    if (matching->cardinality != LOGQL_ONE_TO_ONE)
        buf_append_str(out, matching->cardinality == LOGQL_MANY_TO_ONE ? STR("group_left")
                                                                       : STR("group_right"));
    if (matching->include_count == 0) return;
    buf_append_byte(out, ' ');
    logql_print_labels(matching->include, matching->include_count, between, out);
}

static void print_label_replace(const LogqlExpr *expr, Buf *out) {
    const Str texts[] = {expr->as.label_replace.destination, expr->as.label_replace.replacement,
                         expr->as.label_replace.source, expr->as.label_replace.regex};

    buf_append_str(out, STR("label_replace("));
    logql_print(expr->as.label_replace.inner, out);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        buf_append_byte(out, ',');
        rune_quote(out, texts[i]);
    }
    buf_append_byte(out, ')');
}

void logql_print(const LogqlExpr *expr, Buf *out) {
    switch (expr->kind) {
    case LOGQL_LOG:
        logql_print_log(&expr->as.log, out);
        return;
    case LOGQL_RANGE_AGGREGATION:
        print_range(expr, out);
        return;
    case LOGQL_VECTOR_AGGREGATION:
        print_vector(expr, out);
        return;
    case LOGQL_BINARY:
        buf_append_byte(out, '(');
        logql_print(expr->as.binary.left, out);
        buf_append_byte(out, ' ');
        logql_print_operator(expr, ",", out);
        buf_append_byte(out, ' ');
        logql_print(expr->as.binary.right, out);
        buf_append_byte(out, ')');
        return;
    case LOGQL_LITERAL:
        go_append_g(out, expr->as.number);
        return;
    case LOGQL_VECTOR:
        buf_printf(out, "vector(%f)", expr->as.number);
        return;
    case LOGQL_LABEL_REPLACE:
        print_label_replace(expr, out);
        return;
    }
}
