#pragma once
/*
 * row_template_ids.h: the functions of templates: id, name, arguments at least and at most, and
 * their types: s a text, i an integer, a anything; the last one goes on.
 */
#include "querier/logql/engine/row_template.h"

#define TEMPLATE_FUNCTIONS(X)                                                                      \
    X(AND, "and", 1, 32, "a")                                                                      \
    X(OR, "or", 1, 32, "a")                                                                        \
    X(NOT, "not", 1, 1, "a")                                                                       \
    X(LEN, "len", 1, 1, "a")                                                                       \
    X(INDEX, "index", 1, 32, "a")                                                                  \
    X(SLICE, "slice", 1, 3, "aii")                                                                 \
    X(EQ, "eq", 2, 32, "a")                                                                        \
    X(NE, "ne", 2, 2, "a")                                                                         \
    X(LT, "lt", 2, 2, "a")                                                                         \
    X(LE, "le", 2, 2, "a")                                                                         \
    X(GT, "gt", 2, 2, "a")                                                                         \
    X(GE, "ge", 2, 2, "a")                                                                         \
    X(PRINT, "print", 0, 32, "a")                                                                  \
    X(PRINTLN, "println", 0, 32, "a")                                                              \
    X(PRINTF, "printf", 1, 32, "sa")                                                               \
    X(HTML, "html", 0, 32, "a")                                                                    \
    X(JS, "js", 0, 32, "a")                                                                        \
    X(URLQUERY, "urlquery", 0, 32, "a")                                                            \
    X(OLD_LOWER, "ToLower", 1, 1, "s")                                                             \
    X(OLD_UPPER, "ToUpper", 1, 1, "s")                                                             \
    X(OLD_REPLACE, "Replace", 4, 4, "sssi")                                                        \
    X(OLD_TRIM, "Trim", 2, 2, "s")                                                                 \
    X(OLD_TRIM_LEFT, "TrimLeft", 2, 2, "s")                                                        \
    X(OLD_TRIM_RIGHT, "TrimRight", 2, 2, "s")                                                      \
    X(OLD_TRIM_PREFIX, "TrimPrefix", 2, 2, "s")                                                    \
    X(OLD_TRIM_SUFFIX, "TrimSuffix", 2, 2, "s")                                                    \
    X(OLD_TRIM_SPACE, "TrimSpace", 1, 1, "s")                                                      \
    X(REGEX_REPLACE, "regexReplaceAll", 3, 3, "s")                                                 \
    X(REGEX_REPLACE_LITERAL, "regexReplaceAllLiteral", 3, 3, "s")                                  \
    X(COUNT, "count", 2, 2, "s")                                                                   \
    X(URLDECODE, "urldecode", 1, 1, "s")                                                           \
    X(URLENCODE, "urlencode", 1, 1, "s")                                                           \
    X(BYTES, "bytes", 1, 1, "s")                                                                   \
    X(DURATION, "duration", 1, 1, "s")                                                             \
    X(DURATION_SECONDS, "duration_seconds", 1, 1, "s")                                             \
    X(UNIX_EPOCH_MILLIS, "unixEpochMillis", 1, 1, "a")                                             \
    X(UNIX_EPOCH_NANOS, "unixEpochNanos", 1, 1, "a")                                               \
    X(TO_DATE_IN_ZONE, "toDateInZone", 3, 3, "s")                                                  \
    X(UNIX_TO_TIME, "unixToTime", 1, 1, "s")                                                       \
    X(ALIGN_LEFT, "alignLeft", 2, 2, "is")                                                         \
    X(ALIGN_RIGHT, "alignRight", 2, 2, "is")                                                       \
    X(B64DEC, "b64dec", 1, 1, "s")                                                                 \
    X(B64ENC, "b64enc", 1, 1, "s")                                                                 \
    X(LOWER, "lower", 1, 1, "s")                                                                   \
    X(UPPER, "upper", 1, 1, "s")                                                                   \
    X(TITLE, "title", 1, 1, "s")                                                                   \
    X(TRUNC, "trunc", 2, 2, "is")                                                                  \
    X(SUBSTR, "substr", 3, 3, "iis")                                                               \
    X(CONTAINS, "contains", 2, 2, "s")                                                             \
    X(HAS_PREFIX, "hasPrefix", 2, 2, "s")                                                          \
    X(HAS_SUFFIX, "hasSuffix", 2, 2, "s")                                                          \
    X(INDENT, "indent", 2, 2, "is")                                                                \
    X(NINDENT, "nindent", 2, 2, "is")                                                              \
    X(REPLACE, "replace", 3, 3, "s")                                                               \
    X(REPEAT, "repeat", 2, 2, "is")                                                                \
    X(TRIM, "trim", 1, 1, "s")                                                                     \
    X(TRIM_ALL, "trimAll", 2, 2, "s")                                                              \
    X(TRIM_SUFFIX, "trimSuffix", 2, 2, "s")                                                        \
    X(TRIM_PREFIX, "trimPrefix", 2, 2, "s")                                                        \
    X(INT, "int", 1, 1, "a")                                                                       \
    X(FLOAT64, "float64", 1, 1, "a")                                                               \
    X(ADD, "add", 1, 32, "a")                                                                      \
    X(SUB, "sub", 2, 2, "a")                                                                       \
    X(MUL, "mul", 1, 32, "a")                                                                      \
    X(DIV, "div", 2, 2, "a")                                                                       \
    X(MOD, "mod", 2, 2, "a")                                                                       \
    X(ADDF, "addf", 1, 32, "a")                                                                    \
    X(SUBF, "subf", 1, 32, "a")                                                                    \
    X(MULF, "mulf", 1, 32, "a")                                                                    \
    X(DIVF, "divf", 1, 32, "a")                                                                    \
    X(MAX, "max", 1, 32, "a")                                                                      \
    X(MIN, "min", 1, 32, "a")                                                                      \
    X(MAXF, "maxf", 1, 32, "a")                                                                    \
    X(MINF, "minf", 1, 32, "a")                                                                    \
    X(CEIL, "ceil", 1, 1, "a")                                                                     \
    X(FLOOR, "floor", 1, 1, "a")                                                                   \
    X(ROUND, "round", 2, 3, "aia")                                                                 \
    X(FROM_JSON, "fromJson", 1, 1, "s")                                                            \
    X(DATE, "date", 2, 2, "sa")                                                                    \
    X(TO_DATE, "toDate", 2, 2, "s")                                                                \
    X(NOW, "now", 0, 0, "a")                                                                       \
    X(UNIX_EPOCH, "unixEpoch", 1, 1, "a")                                                          \
    X(DEFAULT, "default", 1, 2, "a")                                                               \
    X(LINE, "__line__", 0, 0, "a")                                                                 \
    X(TIMESTAMP, "__timestamp__", 0, 0, "a")

typedef enum FunctionId {
#define FUNCTION_ID_(name, text, least, most, types) FN_##name,
    TEMPLATE_FUNCTIONS(FUNCTION_ID_)
#undef FUNCTION_ID_
} FunctionId;
