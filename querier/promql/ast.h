#pragma once
/*
 * ast.h: a parsed PromQL expression. One node type, told apart by `kind`; everything lives in the
 * arena it was parsed into. Passes over the tree (types, durations) fill fields in place; nothing
 * is shared between queries.
 */
#include "common/batch/matcher.h"

typedef enum PromqlKind {
    PROMQL_NUMBER,
    PROMQL_STRING,
    PROMQL_SELECTOR, /* instant vector selector */
    PROMQL_MATRIX,   /* range selector: `inner` is the PROMQL_SELECTOR */
    PROMQL_SUBQUERY,
    PROMQL_CALL,
    PROMQL_AGGREGATE,
    PROMQL_BINARY,
    PROMQL_UNARY,
    PROMQL_PAREN,
    PROMQL_DURATION, /* only below a `*_expr` field of a selector, matrix or subquery */
} PromqlKind;

typedef enum PromqlType {
    PROMQL_TYPE_NONE,
    PROMQL_TYPE_SCALAR,
    PROMQL_TYPE_STRING,
    PROMQL_TYPE_VECTOR,
    PROMQL_TYPE_MATRIX,
} PromqlType;

const char *promql_type_name(PromqlType type);       /* "instant vector": as errors say it */
const char *promql_value_type_name(PromqlType type); /* "vector": as the API says it */

typedef enum PromqlOp {
    /* binary; set operators and comparisons are told by the functions below */
    PROMQL_ADD,
    PROMQL_SUB,
    PROMQL_MUL,
    PROMQL_DIV,
    PROMQL_MOD,
    PROMQL_POW,
    PROMQL_ATAN2,
    PROMQL_EQUAL,
    PROMQL_NOT_EQUAL,
    PROMQL_LESS,
    PROMQL_GREATER,
    PROMQL_LESS_EQUAL,
    PROMQL_GREATER_EQUAL,
    PROMQL_TRIM_UPPER, /* `</`: of native histograms */
    PROMQL_TRIM_LOWER, /* `>/` */
    PROMQL_AND,
    PROMQL_OR,
    PROMQL_UNLESS,
    /* durations only */
    PROMQL_DURATION_STEP,
    PROMQL_DURATION_RANGE,
    PROMQL_DURATION_MIN,
    PROMQL_DURATION_MAX,
} PromqlOp;

const char *promql_op_text(PromqlOp op);
bool promql_op_is_comparison(PromqlOp op); /* == != < > <= >= */
bool promql_op_is_set(PromqlOp op);        /* and, or, unless */

typedef enum PromqlAggregation {
    PROMQL_SUM,
    PROMQL_AVG,
    PROMQL_COUNT,
    PROMQL_MIN,
    PROMQL_MAX,
    PROMQL_GROUP,
    PROMQL_STDDEV,
    PROMQL_STDVAR,
    PROMQL_TOPK,
    PROMQL_BOTTOMK,
    PROMQL_COUNT_VALUES,
    PROMQL_QUANTILE,
    PROMQL_LIMITK,
    PROMQL_LIMIT_RATIO,
} PromqlAggregation;

const char *promql_aggregation_name(PromqlAggregation aggregation);

/* Byte offsets into the query, end exclusive. Annotations print `start` as line:column. */
typedef struct PromqlRange {
    uint32_t start;
    uint32_t end;
} PromqlRange;

typedef enum PromqlAt {
    PROMQL_AT_NONE,
    PROMQL_AT_TIME,
    PROMQL_AT_START,
    PROMQL_AT_END,
} PromqlAt;

typedef enum PromqlCardinality {
    PROMQL_ONE_TO_ONE,
    PROMQL_MANY_TO_ONE,  /* group_left */
    PROMQL_ONE_TO_MANY,  /* group_right */
    PROMQL_MANY_TO_MANY, /* set operators */
} PromqlCardinality;

typedef struct PromqlMatching {
    PromqlCardinality cardinality;
    bool on;         /* else ignoring; meaningful with has_labels */
    bool has_labels; /* on() or ignoring() was written, maybe with no label in it */
    const Str *labels;
    size_t label_count;
    const Str *include; /* of group_left() and group_right() */
    size_t include_count;
    bool has_fill_left;
    bool has_fill_right;
    double fill_left;
    double fill_right;
} PromqlMatching;

typedef struct PromqlFunction PromqlFunction;
typedef struct PromqlExpr PromqlExpr;

/* Offset and @ of selectors and subqueries. */
typedef struct PromqlTime {
    int64_t offset_ms;       /* as written, or what `offset_expr` came to */
    PromqlExpr *offset_expr; /* PROMQL_DURATION, or NULL */
    PromqlAt at;
    int64_t at_ms; /* for PROMQL_AT_TIME */
} PromqlTime;

struct PromqlExpr {
    PromqlKind kind;
    PromqlType type;
    PromqlRange range;
    union {
        struct {
            double value;
            bool is_duration; /* written as 5m: prints as one */
        } number;
        struct {
            Str value;
        } string;
        struct {
            Str name;                /* empty when only in the matchers */
            const Matcher *matchers; /* __name__ of `name` included */
            size_t matcher_count;
            PromqlTime time;
            bool anchored;
            bool smoothed;
        } selector;
        struct {
            PromqlExpr *inner;
            int64_t range_ms;
            PromqlExpr *range_expr; /* PROMQL_DURATION, or NULL */
        } matrix;
        struct {
            PromqlExpr *inner;
            int64_t range_ms;
            int64_t step_ms; /* 0: the default resolution */
            PromqlExpr *range_expr;
            PromqlExpr *step_expr;
            PromqlTime time;
        } subquery;
        struct {
            const PromqlFunction *function;
            PromqlExpr **args;
            size_t arg_count;
        } call;
        struct {
            PromqlAggregation op;
            PromqlExpr *inner;
            PromqlExpr *param; /* NULL when the operator has none */
            const Str *grouping;
            size_t grouping_count;
            bool without;
        } aggregate;
        struct {
            PromqlOp op;
            PromqlExpr *left;
            PromqlExpr *right;
            PromqlMatching matching;
            bool returns_bool;
        } binary;
        struct {
            PromqlOp op; /* PROMQL_ADD or PROMQL_SUB */
            PromqlExpr *inner;
        } unary;
        struct {
            PromqlExpr *inner;
        } paren;
        struct {
            PromqlOp op; /* ADD..POW, STEP, RANGE, MIN, MAX; left NULL: unary */
            PromqlExpr
                *left; /* PROMQL_NUMBER in seconds, or PROMQL_DURATION; NULL for STEP, RANGE */
            PromqlExpr *right;
            bool wrapped; /* in parentheses: for printing */
        } duration;
    } as;
};

/* ---- functions ---- */

/* name, return type, variadic (-1: the last argument any number of times, also none; n: up to n
 * times), experimental, argument types (S scalar, V vector, M matrix, T string) */
#define PROMQL_FUNCTIONS(X)                                                                        \
    X(ABS, "abs", VECTOR, 0, false, "V")                                                           \
    X(ABSENT, "absent", VECTOR, 0, false, "V")                                                     \
    X(ABSENT_OVER_TIME, "absent_over_time", VECTOR, 0, false, "M")                                 \
    X(ACOS, "acos", VECTOR, 0, false, "V")                                                         \
    X(ACOSH, "acosh", VECTOR, 0, false, "V")                                                       \
    X(ASIN, "asin", VECTOR, 0, false, "V")                                                         \
    X(ASINH, "asinh", VECTOR, 0, false, "V")                                                       \
    X(ATAN, "atan", VECTOR, 0, false, "V")                                                         \
    X(ATANH, "atanh", VECTOR, 0, false, "V")                                                       \
    X(AVG_OVER_TIME, "avg_over_time", VECTOR, 0, false, "M")                                       \
    X(CEIL, "ceil", VECTOR, 0, false, "V")                                                         \
    X(CHANGES, "changes", VECTOR, 0, false, "M")                                                   \
    X(CLAMP, "clamp", VECTOR, 0, false, "VSS")                                                     \
    X(CLAMP_MAX, "clamp_max", VECTOR, 0, false, "VS")                                              \
    X(CLAMP_MIN, "clamp_min", VECTOR, 0, false, "VS")                                              \
    X(COS, "cos", VECTOR, 0, false, "V")                                                           \
    X(COSH, "cosh", VECTOR, 0, false, "V")                                                         \
    X(COUNT_OVER_TIME, "count_over_time", VECTOR, 0, false, "M")                                   \
    X(DAYS_IN_MONTH, "days_in_month", VECTOR, 1, false, "V")                                       \
    X(DAY_OF_MONTH, "day_of_month", VECTOR, 1, false, "V")                                         \
    X(DAY_OF_WEEK, "day_of_week", VECTOR, 1, false, "V")                                           \
    X(DAY_OF_YEAR, "day_of_year", VECTOR, 1, false, "V")                                           \
    X(DEG, "deg", VECTOR, 0, false, "V")                                                           \
    X(DELTA, "delta", VECTOR, 0, false, "M")                                                       \
    X(DERIV, "deriv", VECTOR, 0, false, "M")                                                       \
    X(DOUBLE_EXPONENTIAL_SMOOTHING, "double_exponential_smoothing", VECTOR, 0, true, "MSS")        \
    X(END, "end", SCALAR, 0, true, "")                                                             \
    X(EXP, "exp", VECTOR, 0, false, "V")                                                           \
    X(FIRST_OVER_TIME, "first_over_time", VECTOR, 0, false, "M")                                   \
    X(FLOOR, "floor", VECTOR, 0, false, "V")                                                       \
    X(HISTOGRAM_AVG, "histogram_avg", VECTOR, 0, false, "V")                                       \
    X(HISTOGRAM_COUNT, "histogram_count", VECTOR, 0, false, "V")                                   \
    X(HISTOGRAM_FRACTION, "histogram_fraction", VECTOR, 0, false, "SSV")                           \
    X(HISTOGRAM_QUANTILE, "histogram_quantile", VECTOR, 0, false, "SV")                            \
    X(HISTOGRAM_QUANTILES, "histogram_quantiles", VECTOR, 9, true, "VTSS")                         \
    X(HISTOGRAM_STDDEV, "histogram_stddev", VECTOR, 0, false, "V")                                 \
    X(HISTOGRAM_STDVAR, "histogram_stdvar", VECTOR, 0, false, "V")                                 \
    X(HISTOGRAM_SUM, "histogram_sum", VECTOR, 0, false, "V")                                       \
    X(HOUR, "hour", VECTOR, 1, false, "V")                                                         \
    X(IDELTA, "idelta", VECTOR, 0, false, "M")                                                     \
    X(INCREASE, "increase", VECTOR, 0, false, "M")                                                 \
    X(INFO, "info", VECTOR, 1, true, "VV")                                                         \
    X(INTEGRAL, "integral", VECTOR, 1, true, "MS")                                                 \
    X(IRATE, "irate", VECTOR, 0, false, "M")                                                       \
    X(LABEL_JOIN, "label_join", VECTOR, -1, false, "VTTT")                                         \
    X(LABEL_REPLACE, "label_replace", VECTOR, 0, false, "VTTTT")                                   \
    X(LAST_OVER_TIME, "last_over_time", VECTOR, 0, false, "M")                                     \
    X(LN, "ln", VECTOR, 0, false, "V")                                                             \
    X(LOG10, "log10", VECTOR, 0, false, "V")                                                       \
    X(LOG2, "log2", VECTOR, 0, false, "V")                                                         \
    X(MAD_OVER_TIME, "mad_over_time", VECTOR, 0, true, "M")                                        \
    X(MAX_OF, "max_of", SCALAR, 0, true, "SS")                                                     \
    X(MAX_OVER_TIME, "max_over_time", VECTOR, 0, false, "M")                                       \
    X(MINUTE, "minute", VECTOR, 1, false, "V")                                                     \
    X(MIN_OF, "min_of", SCALAR, 0, true, "SS")                                                     \
    X(MIN_OVER_TIME, "min_over_time", VECTOR, 0, false, "M")                                       \
    X(MONTH, "month", VECTOR, 1, false, "V")                                                       \
    X(PI, "pi", SCALAR, 0, false, "")                                                              \
    X(PREDICT_LINEAR, "predict_linear", VECTOR, 0, false, "MS")                                    \
    X(PRESENT_OVER_TIME, "present_over_time", VECTOR, 0, false, "M")                               \
    X(QUANTILE_OVER_TIME, "quantile_over_time", VECTOR, 0, false, "SM")                            \
    X(RAD, "rad", VECTOR, 0, false, "V")                                                           \
    X(RANGE, "range", SCALAR, 0, true, "")                                                         \
    X(RATE, "rate", VECTOR, 0, false, "M")                                                         \
    X(RESETS, "resets", VECTOR, 0, false, "M")                                                     \
    X(ROUND, "round", VECTOR, 1, false, "VS")                                                      \
    X(SCALAR, "scalar", SCALAR, 0, false, "V")                                                     \
    X(SGN, "sgn", VECTOR, 0, false, "V")                                                           \
    X(SIN, "sin", VECTOR, 0, false, "V")                                                           \
    X(SINH, "sinh", VECTOR, 0, false, "V")                                                         \
    X(SORT, "sort", VECTOR, 0, false, "V")                                                         \
    X(SORT_BY_LABEL, "sort_by_label", VECTOR, -1, true, "VT")                                      \
    X(SORT_BY_LABEL_DESC, "sort_by_label_desc", VECTOR, -1, true, "VT")                            \
    X(SORT_DESC, "sort_desc", VECTOR, 0, false, "V")                                               \
    X(SQRT, "sqrt", VECTOR, 0, false, "V")                                                         \
    X(START, "start", SCALAR, 0, true, "")                                                         \
    X(START_TIMESTAMP, "start_timestamp", VECTOR, 0, true, "V")                                    \
    X(STDDEV_OVER_TIME, "stddev_over_time", VECTOR, 0, false, "M")                                 \
    X(STDVAR_OVER_TIME, "stdvar_over_time", VECTOR, 0, false, "M")                                 \
    X(STEP, "step", SCALAR, 0, true, "")                                                           \
    X(SUM_OVER_TIME, "sum_over_time", VECTOR, 0, false, "M")                                       \
    X(TAN, "tan", VECTOR, 0, false, "V")                                                           \
    X(TANH, "tanh", VECTOR, 0, false, "V")                                                         \
    X(TIME, "time", SCALAR, 0, false, "")                                                          \
    X(TIMESTAMP, "timestamp", VECTOR, 0, false, "V")                                               \
    X(TS_OF_FIRST_OVER_TIME, "ts_of_first_over_time", VECTOR, 0, true, "M")                        \
    X(TS_OF_LAST_OVER_TIME, "ts_of_last_over_time", VECTOR, 0, true, "M")                          \
    X(TS_OF_MAX_OVER_TIME, "ts_of_max_over_time", VECTOR, 0, true, "M")                            \
    X(TS_OF_MIN_OVER_TIME, "ts_of_min_over_time", VECTOR, 0, true, "M")                            \
    X(VECTOR, "vector", VECTOR, 0, false, "S")                                                     \
    X(YEAR, "year", VECTOR, 1, false, "V")

typedef enum PromqlFunctionId {
#define X(id, name, type, variadic, experimental, args) PROMQL_FN_##id,
    PROMQL_FUNCTIONS(X)
#undef X
        PROMQL_FUNCTION_COUNT
} PromqlFunctionId;

struct PromqlFunction {
    PromqlFunctionId id;
    const char *name;
    PromqlType type;
    int variadic;
    bool experimental;
    PromqlType args[8];
    unsigned arg_count;
};

const PromqlFunction *promql_function_find(Str name); /* NULL: no such function */
