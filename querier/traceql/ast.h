#pragma once
/*
 * ast.h: what a TraceQL query says. Everything lives in the arena it was parsed in.
 * https://grafana.com/docs/tempo/latest/traceql/
 */
#include "common/base/regex.h"
#include "common/block/spans.h"

/* A chain of operators is a tree as deep as it is long, so tokens are limited as well as depth. */
enum {
    TRACEQL_DEPTH_MAX = 128,
    TRACEQL_TOKENS_MAX = 4096,
    TRACEQL_TEXT_MAX = 128 << 10,
    TRACEQL_BY_MAX = 5,
};

typedef enum TraceqlType {
    TRACEQL_NIL,
    TRACEQL_INT,
    TRACEQL_FLOAT,
    TRACEQL_STRING,
    TRACEQL_BOOL,
    TRACEQL_DURATION, /* ns */
    TRACEQL_STATUS,   /* `integer`: SpanStatus */
    TRACEQL_KIND,     /* `integer`: OTLP's SpanKind */
    TRACEQL_STRINGS,  /* arrays: `count` elements */
    TRACEQL_INTS,
    TRACEQL_FLOATS,
    TRACEQL_BOOLS,
    TRACEQL_UNKNOWN, /* of expressions: only the spans tell */
} TraceqlType;

typedef struct TraceqlValue {
    uint8_t type; /* TraceqlType */
    uint32_t count;
    union {
        int64_t integer; /* INT, DURATION, STATUS, KIND */
        double number;
        Str text;
        bool truth;
        const Str *texts;
        const int64_t *integers;
        const double *numbers;
        const bool *truths;
    };
} TraceqlValue;

/* Their names in queries and results, and as a scoped name. */
#define TRACEQL_INTRINSICS(X)                                                                      \
    X(NONE, "", "")                                                                                \
    X(DURATION, "duration", "span:duration")                                                       \
    X(NAME, "name", "span:name")                                                                   \
    X(STATUS, "status", "span:status")                                                             \
    X(STATUS_MESSAGE, "statusMessage", "span:statusMessage")                                       \
    X(KIND, "kind", "span:kind")                                                                   \
    X(CHILD_COUNT, "span:childCount", "span:childCount")                                           \
    X(SPAN_ID, "span:id", "span:id")                                                               \
    X(PARENT_ID, "span:parentID", "span:parentID")                                                 \
    X(PARENT, "parent", "parent")                                                                  \
    X(ROOT_NAME, "rootName", "trace:rootName")                                                     \
    X(ROOT_SERVICE, "rootServiceName", "trace:rootService")                                        \
    X(TRACE_DURATION, "traceDuration", "trace:duration")                                           \
    X(TRACE_ID, "trace:id", "trace:id")                                                            \
    X(NESTED_LEFT, "nestedSetLeft", "nestedSetLeft")                                               \
    X(NESTED_RIGHT, "nestedSetRight", "nestedSetRight")                                            \
    X(NESTED_PARENT, "nestedSetParent", "nestedSetParent")                                         \
    X(EVENT_NAME, "event:name", "event:name")                                                      \
    X(EVENT_TIME, "event:timeSinceStart", "event:timeSinceStart")                                  \
    X(LINK_TRACE, "link:traceID", "link:traceID")                                                  \
    X(LINK_SPAN, "link:spanID", "link:spanID")                                                     \
    X(SCOPE_NAME, "instrumentation:name", "instrumentation:name")                                  \
    X(SCOPE_VERSION, "instrumentation:version", "instrumentation:version")

typedef enum TraceqlIntrinsic {
#define X(id, name, scoped) TRACEQL_##id##_FIELD,
    TRACEQL_INTRINSICS(X)
#undef X
} TraceqlIntrinsic;
enum { TRACEQL_INTRINSIC_COUNT = TRACEQL_SCOPE_VERSION_FIELD + 1 };

typedef struct TraceqlAttribute {
    uint8_t intrinsic; /* TraceqlIntrinsic; NONE: scope and name */
    uint8_t scope;     /* AttributeScope; 0: whichever has it */
    bool parent;       /* parent.x, which parses and is refused */
    Str name;
} TraceqlAttribute;

typedef enum TraceqlOp {
    TRACEQL_OP_NONE,
    TRACEQL_ADD,
    TRACEQL_SUB,
    TRACEQL_MUL,
    TRACEQL_DIV,
    TRACEQL_MOD,
    TRACEQL_POW,
    TRACEQL_EQ,
    TRACEQL_NEQ,
    TRACEQL_LT,
    TRACEQL_LTE,
    TRACEQL_GT,
    TRACEQL_GTE,
    TRACEQL_RE,
    TRACEQL_NRE,
    TRACEQL_AND,
    TRACEQL_OR,
    TRACEQL_NOT,
    TRACEQL_MINUS,      /* unary */
    TRACEQL_EXISTS,     /* != nil */
    TRACEQL_NOT_EXISTS, /* = nil */
    /* between sets of spans; also TRACEQL_AND and TRACEQL_OR */
    TRACEQL_CHILD,
    TRACEQL_PARENT_OF,
    TRACEQL_DESCENDANT,
    TRACEQL_ANCESTOR,
    TRACEQL_SIBLING,
    TRACEQL_NOT_CHILD,
    TRACEQL_NOT_PARENT,
    TRACEQL_NOT_DESCENDANT,
    TRACEQL_NOT_ANCESTOR,
    TRACEQL_NOT_SIBLING,
    TRACEQL_UNION_CHILD,
    TRACEQL_UNION_PARENT,
    TRACEQL_UNION_DESCENDANT,
    TRACEQL_UNION_ANCESTOR,
    TRACEQL_UNION_SIBLING,
} TraceqlOp;

/* ---------- of one span ---------- */

typedef enum TraceqlExprKind {
    TRACEQL_EXPR_VALUE,
    TRACEQL_EXPR_ATTRIBUTE,
    TRACEQL_EXPR_UNARY, /* left */
    TRACEQL_EXPR_BINARY,
} TraceqlExprKind;

typedef struct TraceqlExpr TraceqlExpr;
struct TraceqlExpr {
    uint8_t kind; /* TraceqlExprKind */
    uint8_t op;
    TraceqlValue value;
    TraceqlAttribute attribute;
    TraceqlExpr *left, *right;
    const Regex *regex; /* of RE and NRE, once checked */
};

/* ---------- of a trace's spans ---------- */

typedef struct TraceqlPipeline TraceqlPipeline;

typedef enum TraceqlSetKind {
    TRACEQL_SET_FILTER,   /* { expr } */
    TRACEQL_SET_BINARY,   /* left op right */
    TRACEQL_SET_PIPELINE, /* ( ... | ... ) */
} TraceqlSetKind;

typedef struct TraceqlSet TraceqlSet;
struct TraceqlSet {
    uint8_t kind; /* TraceqlSetKind */
    uint8_t op;
    uint32_t filter; /* its number, of TraceqlQuery.filters */
    TraceqlExpr *expr;
    TraceqlSet *left, *right;
    TraceqlPipeline *pipeline;
};

typedef enum TraceqlAggregate {
    TRACEQL_COUNT,
    TRACEQL_AVG,
    TRACEQL_MAX,
    TRACEQL_MIN,
    TRACEQL_SUM,
} TraceqlAggregate;

typedef enum TraceqlStageKind {
    TRACEQL_STAGE_SET,
    TRACEQL_STAGE_AGGREGATE, /* aggregate(expr) op value */
    TRACEQL_STAGE_BY,        /* by(expr) */
    TRACEQL_STAGE_COALESCE,
    TRACEQL_STAGE_SELECT,
} TraceqlStageKind;

typedef struct TraceqlStage {
    uint8_t kind; /* TraceqlStageKind */
    uint8_t aggregate;
    uint8_t op;
    Str text; /* `count()`, `by(name)`: the name of what it adds to a set */
    TraceqlSet *set;
    TraceqlExpr *expr; /* NULL: of count() */
    TraceqlValue value;
    const TraceqlAttribute *attributes;
    size_t attribute_count;
} TraceqlStage;

struct TraceqlPipeline {
    const TraceqlStage *stages;
    size_t count;
};

/* ---------- metrics ---------- */

typedef enum TraceqlFunction {
    TRACEQL_RATE,
    TRACEQL_COUNT_OVER_TIME,
    TRACEQL_MIN_OVER_TIME,
    TRACEQL_MAX_OVER_TIME,
    TRACEQL_AVG_OVER_TIME,
    TRACEQL_SUM_OVER_TIME,
    TRACEQL_QUANTILE_OVER_TIME,
    TRACEQL_HISTOGRAM_OVER_TIME,
    TRACEQL_COMPARE,
} TraceqlFunction;

/* topk(n), bottomk(n), and comparisons with a number. */
typedef struct TraceqlSecond {
    uint8_t op;    /* of comparisons; NONE: topk or bottomk */
    bool bottom;   /* bottomk */
    int64_t limit; /* of topk and bottomk */
    double number;
} TraceqlSecond;

typedef enum TraceqlMetricKind {
    TRACEQL_METRIC_PIPELINE,
    TRACEQL_METRIC_MATH,   /* left op right */
    TRACEQL_METRIC_SCALAR, /* left op number, or the other way round */
} TraceqlMetricKind;

typedef struct TraceqlMetric TraceqlMetric;
struct TraceqlMetric {
    uint8_t kind; /* TraceqlMetricKind */
    uint8_t function;
    uint8_t op;
    bool number_first;
    uint32_t index; /* of pipelines, from 0 */
    TraceqlMetric *left, *right;
    double number;
    TraceqlPipeline pipeline;
    TraceqlAttribute attribute;
    bool has_attribute;
    const TraceqlAttribute *by;
    size_t by_count;
    const double *quantiles;
    size_t quantile_count;
    TraceqlSet *compare; /* a filter */
    int64_t compare_top, compare_start_ns, compare_end_ns;
    TraceqlSecond *seconds;
    size_t second_count;
};

typedef struct TraceqlHint {
    Str name;
    TraceqlValue value;
} TraceqlHint;

typedef struct TraceqlQuery {
    Str text;
    TraceqlPipeline pipeline; /* of a search; of a metrics query its first pipeline */
    TraceqlMetric *metric;    /* NULL: a search */
    uint32_t metric_pipelines;
    uint32_t filter_count;
    const TraceqlHint *hints;
    size_t hint_count;
} TraceqlQuery;
