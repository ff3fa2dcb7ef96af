#pragma once
/*
 * ast.h: a parsed LogQL expression. Everything lives in the arena it was parsed into and is
 * immutable from then on; strings point into that arena or into the query's text, which must live
 * as long. Nothing is shared between queries.
 *
 * The stages are as they were written and in that order: that line filters are tested as early as
 * nothing changes the line is the pipeline's business (pipeline.h), not the tree's.
 * Source: the grammar of Loki 3, as of August 2026.
 */
#include "common/base/buf.h"
#include "common/batch/matcher.h"

/* ---- stages of a pipeline ---- */

typedef enum LogqlLineOp {
    LOGQL_LINE_CONTAINS,     /* |= */
    LOGQL_LINE_CONTAINS_NOT, /* != */
    LOGQL_LINE_REGEX,        /* |~, anywhere in the line */
    LOGQL_LINE_REGEX_NOT,    /* !~ */
    LOGQL_LINE_PATTERN,      /* |> */
    LOGQL_LINE_PATTERN_NOT,  /* !> */
} LogqlLineOp;

typedef struct LogqlLineChoice {
    Str text;
    bool ip; /* ip("..."): text is an address, a range or a CIDR */
} LogqlLineChoice;

/* One term of a line filter: any of the choices must be so. Of a negated op there is one choice:
 * `!= "a" or "b"` is parsed as `!= "a" != "b"`. */
typedef struct LogqlLineTerm {
    LogqlLineOp op;
    const LogqlLineChoice *choices;
    size_t choice_count; /* 1 or more */
} LogqlLineTerm;

typedef enum LogqlCompare {
    LOGQL_EQUAL,
    LOGQL_NOT_EQUAL,
    LOGQL_GREATER,
    LOGQL_GREATER_EQUAL,
    LOGQL_LESS,
    LOGQL_LESS_EQUAL,
} LogqlCompare;

typedef enum LogqlFilterKind {
    LOGQL_FILTER_MATCH, /* level="error", level=~"err.*" */
    LOGQL_FILTER_NUMBER,
    LOGQL_FILTER_DURATION,
    LOGQL_FILTER_BYTES,
    LOGQL_FILTER_IP, /* only == and != */
    LOGQL_FILTER_AND,
    LOGQL_FILTER_OR,
} LogqlFilterKind;

typedef struct LogqlLabelFilter LogqlLabelFilter;
struct LogqlLabelFilter {
    LogqlFilterKind kind;
    LogqlCompare compare; /* of number, duration, bytes, ip */
    Str name;             /* of all but and, or; for a match the same as in `match` */
    union {
        const Matcher *match;
        double number;
        int64_t duration_ns;
        uint64_t bytes;
        Str ip;
        struct {
            const LogqlLabelFilter *left;
            const LogqlLabelFilter *right;
        } pair;
    } as;
};

/* name="expression" of json and logfmt; without an expression that is the name. */
typedef struct LogqlExtraction {
    Str name;
    Str expression;
} LogqlExtraction;

typedef struct LogqlLabelFormat {
    Str name;
    Str value;   /* a template, or the label to rename */
    bool rename; /* dst=src */
} LogqlLabelFormat;

/* Of drop and keep: a label, or a label when its value matches. */
typedef struct LogqlNamed {
    Str name;
    const Matcher *match; /* NULL: whatever its value */
} LogqlNamed;

typedef enum LogqlStageKind {
    LOGQL_STAGE_LINE_FILTER,
    LOGQL_STAGE_JSON,
    LOGQL_STAGE_LOGFMT,
    LOGQL_STAGE_REGEXP,
    LOGQL_STAGE_PATTERN,
    LOGQL_STAGE_UNPACK,
    LOGQL_STAGE_LABEL_FILTER,
    LOGQL_STAGE_LINE_FORMAT,
    LOGQL_STAGE_LABEL_FORMAT,
    LOGQL_STAGE_DECOLORIZE,
    LOGQL_STAGE_DROP,
    LOGQL_STAGE_KEEP,
} LogqlStageKind;

typedef struct LogqlStage {
    LogqlStageKind kind;
    union {
        struct {
            const LogqlLineTerm *terms; /* all must be so */
            size_t count;
        } line_filter;
        struct {
            const LogqlExtraction *extractions; /* none: every field */
            size_t count;
            bool strict;     /* logfmt: --strict */
            bool keep_empty; /* logfmt: --keep-empty */
        } parser;            /* of json and logfmt */
        Str pattern;         /* of regexp and pattern */
        const LogqlLabelFilter *label_filter;
        Str line_format;
        struct {
            const LogqlLabelFormat *formats;
            size_t count;
        } label_format;
        struct {
            const LogqlNamed *names;
            size_t count;
        } names; /* of drop and keep */
    } as;
} LogqlStage;

typedef enum LogqlConversion {
    LOGQL_CONVERT_NONE, /* a float as it is written */
    LOGQL_CONVERT_BYTES,
    LOGQL_CONVERT_DURATION,
    LOGQL_CONVERT_DURATION_SECONDS, /* the same thing, written otherwise */
} LogqlConversion;

typedef struct LogqlUnwrap {
    Str label;
    LogqlConversion conversion;
    const LogqlLabelFilter *const
        *filters; /* behind it, all must be so: | unwrap x | __error__="" */
    size_t filter_count;
} LogqlUnwrap;

/* {app="a"} |= "x" | json: which streams, and what becomes of their entries. */
typedef struct LogqlLog {
    const Matcher *matchers;
    size_t matcher_count;
    const LogqlStage *stages;
    size_t stage_count;
} LogqlLog;

/* ---- expressions ---- */

typedef enum LogqlKind {
    LOGQL_LOG,
    LOGQL_RANGE_AGGREGATION,
    LOGQL_VECTOR_AGGREGATION,
    LOGQL_BINARY,
    LOGQL_LITERAL,
    LOGQL_VECTOR,
    LOGQL_LABEL_REPLACE,
} LogqlKind;

/* name, text */
#define LOGQL_RANGE_OPS(X)                                                                         \
    X(COUNT_OVER_TIME, "count_over_time")                                                          \
    X(RATE, "rate")                                                                                \
    X(RATE_COUNTER, "rate_counter")                                                                \
    X(BYTES_OVER_TIME, "bytes_over_time")                                                          \
    X(BYTES_RATE, "bytes_rate")                                                                    \
    X(AVG_OVER_TIME, "avg_over_time")                                                              \
    X(SUM_OVER_TIME, "sum_over_time")                                                              \
    X(MIN_OVER_TIME, "min_over_time")                                                              \
    X(MAX_OVER_TIME, "max_over_time")                                                              \
    X(STDVAR_OVER_TIME, "stdvar_over_time")                                                        \
    X(STDDEV_OVER_TIME, "stddev_over_time")                                                        \
    X(QUANTILE_OVER_TIME, "quantile_over_time")                                                    \
    X(FIRST_OVER_TIME, "first_over_time")                                                          \
    X(LAST_OVER_TIME, "last_over_time")                                                            \
    X(ABSENT_OVER_TIME, "absent_over_time")

#define LOGQL_VECTOR_OPS(X)                                                                        \
    X(SUM, "sum")                                                                                  \
    X(AVG, "avg")                                                                                  \
    X(MAX, "max")                                                                                  \
    X(MIN, "min")                                                                                  \
    X(COUNT, "count")                                                                              \
    X(STDDEV, "stddev")                                                                            \
    X(STDVAR, "stdvar")                                                                            \
    X(BOTTOMK, "bottomk")                                                                          \
    X(TOPK, "topk")                                                                                \
    X(SORT, "sort")                                                                                \
    X(SORT_DESC, "sort_desc")                                                                      \
    X(APPROX_TOPK, "approx_topk")

#define LOGQL_BINARY_OPS(X)                                                                        \
    X(OR, "or")                                                                                    \
    X(AND, "and")                                                                                  \
    X(UNLESS, "unless")                                                                            \
    X(ADD, "+")                                                                                    \
    X(SUB, "-")                                                                                    \
    X(MUL, "*")                                                                                    \
    X(DIV, "/")                                                                                    \
    X(MOD, "%")                                                                                    \
    X(POW, "^")                                                                                    \
    X(COMPARE_EQUAL, "==")                                                                         \
    X(COMPARE_NOT_EQUAL, "!=")                                                                     \
    X(COMPARE_GREATER, ">")                                                                        \
    X(COMPARE_GREATER_EQUAL, ">=")                                                                 \
    X(COMPARE_LESS, "<")                                                                           \
    X(COMPARE_LESS_EQUAL, "<=")

#define LOGQL_ENUM_(name, text) LOGQL_##name,
typedef enum LogqlRangeOp { LOGQL_RANGE_OPS(LOGQL_ENUM_) } LogqlRangeOp;
typedef enum LogqlVectorOp { LOGQL_VECTOR_OPS(LOGQL_ENUM_) } LogqlVectorOp;
typedef enum LogqlBinaryOp { LOGQL_BINARY_OPS(LOGQL_ENUM_) } LogqlBinaryOp;
#undef LOGQL_ENUM_

const char *logql_range_op_text(LogqlRangeOp op);
const char *logql_vector_op_text(LogqlVectorOp op);
const char *logql_binary_op_text(LogqlBinaryOp op);
bool logql_op_is_comparison(LogqlBinaryOp op);
bool logql_op_is_set(LogqlBinaryOp op); /* or, and, unless */

typedef struct LogqlGrouping {
    bool written; /* by or without is there, maybe with no label in it */
    bool without;
    const Str *labels; /* as written: not sorted, not unique */
    size_t count;
} LogqlGrouping;

typedef enum LogqlCardinality {
    LOGQL_ONE_TO_ONE,
    LOGQL_MANY_TO_ONE, /* group_left */
    LOGQL_ONE_TO_MANY, /* group_right */
} LogqlCardinality;

typedef struct LogqlMatching {
    LogqlCardinality cardinality;
    bool on; /* else ignoring */
    const Str *labels;
    size_t label_count;
    const Str *include; /* of group_left() and group_right() */
    size_t include_count;
} LogqlMatching;

typedef struct LogqlExpr LogqlExpr;
struct LogqlExpr {
    LogqlKind kind;
    union {
        LogqlLog log;
        struct {
            LogqlRangeOp op;
            LogqlLog log;
            const LogqlUnwrap *unwrap; /* NULL: none */
            int64_t range_ns;
            int64_t offset_ns; /* may be negative */
            bool has_param;    /* quantile_over_time(0.99, ...) has one, no other */
            double param;
            LogqlGrouping grouping;
        } range;
        struct {
            LogqlVectorOp op;
            LogqlExpr *inner;
            int64_t param; /* of topk, bottomk, approx_topk: 1 or more; else 0 */
            LogqlGrouping grouping;
        } vector;
        struct {
            LogqlBinaryOp op;
            LogqlExpr *left; /* never both literals: those are computed when parsed */
            LogqlExpr *right;
            LogqlMatching matching;
            bool returns_bool;
        } binary;
        double number; /* of a literal and of vector() */
        struct {
            LogqlExpr *inner;
            Str destination;
            Str replacement;
            Str source;
            Str regex;
            const Regex *compiled; /* anchored; goes with the arena */
        } label_replace;
    } as;
};

static inline bool logql_is_metric(const LogqlExpr *expr) {
    return expr->kind != LOGQL_LOG;
}

/* The canonical form of a stage, "| json", as errors that name it have it. */
void logql_print_stage(const LogqlStage *stage, Buf *out);
