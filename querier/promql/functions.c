/*
 * functions.c: the table of functions, operators and type names.
 */
#include <pthread.h>
#include <string.h>

#include "querier/promql/ast.h"

static PromqlFunction functions[PROMQL_FUNCTION_COUNT];
static pthread_once_t functions_once = PTHREAD_ONCE_INIT;

static PromqlType type_of_letter(char letter) {
    switch (letter) {
    case 'S':
        return PROMQL_TYPE_SCALAR;
    case 'V':
        return PROMQL_TYPE_VECTOR;
    case 'M':
        return PROMQL_TYPE_MATRIX;
    default:
        return PROMQL_TYPE_STRING;
    }
}

static void define(PromqlFunctionId id, const char *name, PromqlType type, int variadic,
                   bool experimental, const char *args) {
    PromqlFunction *function = &functions[id];

    *function = (PromqlFunction){id, name, type, variadic, experimental, {0}, 0};
    for (; args[function->arg_count] != '\0'; function->arg_count++)
        function->args[function->arg_count] = type_of_letter(args[function->arg_count]);
}

static void define_all(void) {
#define X(id, name, type, variadic, experimental, args)                                            \
    define(PROMQL_FN_##id, name, PROMQL_TYPE_##type, variadic, experimental, args);
    PROMQL_FUNCTIONS(X)
#undef X
}

const PromqlFunction *promql_function_find(Str name) {
    pthread_once(&functions_once, define_all);
    for (unsigned i = 0; i < PROMQL_FUNCTION_COUNT; i++)
        if (str_equal(name, str_of(functions[i].name))) return &functions[i];
    return NULL;
}

const char *promql_type_name(PromqlType type) {
    switch (type) {
    case PROMQL_TYPE_SCALAR:
        return "scalar";
    case PROMQL_TYPE_STRING:
        return "string";
    case PROMQL_TYPE_VECTOR:
        return "instant vector";
    case PROMQL_TYPE_MATRIX:
        return "range vector";
    case PROMQL_TYPE_NONE:
        break;
    }
    return "none";
}

const char *promql_value_type_name(PromqlType type) {
    switch (type) {
    case PROMQL_TYPE_SCALAR:
        return "scalar";
    case PROMQL_TYPE_STRING:
        return "string";
    case PROMQL_TYPE_VECTOR:
        return "vector";
    case PROMQL_TYPE_MATRIX:
        return "matrix";
    case PROMQL_TYPE_NONE:
        break;
    }
    return "none";
}

const char *promql_op_text(PromqlOp op) {
    static const char *const texts[] = {
        [PROMQL_ADD] = "+",
        [PROMQL_SUB] = "-",
        [PROMQL_MUL] = "*",
        [PROMQL_DIV] = "/",
        [PROMQL_MOD] = "%",
        [PROMQL_POW] = "^",
        [PROMQL_ATAN2] = "atan2",
        [PROMQL_EQUAL] = "==",
        [PROMQL_NOT_EQUAL] = "!=",
        [PROMQL_LESS] = "<",
        [PROMQL_GREATER] = ">",
        [PROMQL_LESS_EQUAL] = "<=",
        [PROMQL_GREATER_EQUAL] = ">=",
        [PROMQL_TRIM_UPPER] = "</",
        [PROMQL_TRIM_LOWER] = ">/",
        [PROMQL_AND] = "and",
        [PROMQL_OR] = "or",
        [PROMQL_UNLESS] = "unless",
        [PROMQL_DURATION_STEP] = "step",
        [PROMQL_DURATION_RANGE] = "range",
        [PROMQL_DURATION_MIN] = "min_of",
        [PROMQL_DURATION_MAX] = "max_of",
    };

    return texts[op];
}

bool promql_op_is_comparison(PromqlOp op) {
    return op >= PROMQL_EQUAL && op <= PROMQL_GREATER_EQUAL;
}

bool promql_op_is_set(PromqlOp op) {
    return op >= PROMQL_AND && op <= PROMQL_UNLESS;
}

const char *promql_aggregation_name(PromqlAggregation aggregation) {
    static const char *const names[] = {
        [PROMQL_SUM] = "sum",
        [PROMQL_AVG] = "avg",
        [PROMQL_COUNT] = "count",
        [PROMQL_MIN] = "min",
        [PROMQL_MAX] = "max",
        [PROMQL_GROUP] = "group",
        [PROMQL_STDDEV] = "stddev",
        [PROMQL_STDVAR] = "stdvar",
        [PROMQL_TOPK] = "topk",
        [PROMQL_BOTTOMK] = "bottomk",
        [PROMQL_COUNT_VALUES] = "count_values",
        [PROMQL_QUANTILE] = "quantile",
        [PROMQL_LIMITK] = "limitk",
        [PROMQL_LIMIT_RATIO] = "limit_ratio",
    };

    return names[aggregation];
}
