/*
 * values.c: what operators do with values, as Tempo has it: what doesn't go together is false.
 */
#include <math.h>
#include <stdlib.h>

#include "querier/traceql/build.h"

bool traceql_is_number(uint8_t type) {
    return type == TRACEQL_INT || type == TRACEQL_FLOAT || type == TRACEQL_DURATION;
}

bool traceql_is_array(uint8_t type) {
    return type >= TRACEQL_STRINGS && type <= TRACEQL_BOOLS;
}

uint8_t traceql_element_type(uint8_t type) {
    switch (type) {
    case TRACEQL_STRINGS:
        return TRACEQL_STRING;
    case TRACEQL_INTS:
        return TRACEQL_INT;
    case TRACEQL_FLOATS:
        return TRACEQL_FLOAT;
    case TRACEQL_BOOLS:
        return TRACEQL_BOOL;
    default:
        return type;
    }
}

TraceqlValue traceql_element(const TraceqlValue *array, uint32_t i) {
    TraceqlValue value = {.type = traceql_element_type(array->type)};

    switch (array->type) {
    case TRACEQL_STRINGS:
        value.text = array->texts[i];
        break;
    case TRACEQL_INTS:
        value.integer = array->integers[i];
        break;
    case TRACEQL_FLOATS:
        value.number = array->numbers[i];
        break;
    case TRACEQL_BOOLS:
        value.truth = array->truths[i];
        break;
    default:
        return *array;
    }
    return value;
}

double traceql_number(const TraceqlValue *value) {
    if (value->type == TRACEQL_FLOAT) return value->number;
    if (value->type == TRACEQL_INT || value->type == TRACEQL_DURATION)
        return (double)value->integer;
    return NAN;
}

bool traceql_is_comparison(uint8_t op) {
    return op >= TRACEQL_EQ && op <= TRACEQL_NRE;
}

bool traceql_is_arithmetic(uint8_t op) {
    return op >= TRACEQL_ADD && op <= TRACEQL_POW;
}

static bool holds(uint8_t op, int order) {
    switch (op) {
    case TRACEQL_EQ:
        return order == 0;
    case TRACEQL_NEQ:
        return order != 0;
    case TRACEQL_LT:
        return order < 0;
    case TRACEQL_LTE:
        return order <= 0;
    case TRACEQL_GT:
        return order > 0;
    case TRACEQL_GTE:
        return order >= 0;
    default:
        return false;
    }
}

/* Apart from order, as NaN has none. */
static bool compare_numbers(uint8_t op, double a, double b) {
    switch (op) {
    case TRACEQL_EQ:
        return a == b;
    case TRACEQL_NEQ:
        return a != b;
    case TRACEQL_LT:
        return a < b;
    case TRACEQL_LTE:
        return a <= b;
    case TRACEQL_GT:
        return a > b;
    case TRACEQL_GTE:
        return a >= b;
    default:
        return false;
    }
}

bool traceql_compare(uint8_t op, const TraceqlValue *left, const TraceqlValue *right) {
    if (traceql_is_number(left->type) && traceql_is_number(right->type)) {
        if (left->type == TRACEQL_FLOAT || right->type == TRACEQL_FLOAT)
            return compare_numbers(op, traceql_number(left), traceql_number(right));
        return holds(op, (left->integer > right->integer) - (left->integer < right->integer));
    }
    if (left->type != right->type) return false;
    switch (left->type) {
    case TRACEQL_STRING:
        return holds(op, str_compare(left->text, right->text));
    case TRACEQL_BOOL:
        return op == TRACEQL_EQ    ? left->truth == right->truth
               : op == TRACEQL_NEQ ? left->truth != right->truth
                                   : false;
    case TRACEQL_STATUS:
    case TRACEQL_KIND:
        return op == TRACEQL_EQ    ? left->integer == right->integer
               : op == TRACEQL_NEQ ? left->integer != right->integer
                                   : false;
    default:
        return false;
    }
}

/* ---- order of any values: for results that come in the same order every time ---- */

static int order_of(double a, double b) {
    return (a > b) - (a < b);
}

static int order_elements(const TraceqlValue *a, const TraceqlValue *b) {
    switch (a->type) {
    case TRACEQL_STRING:
        return str_compare(a->text, b->text);
    case TRACEQL_FLOAT:
        return order_of(a->number, b->number);
    case TRACEQL_BOOL:
        return (int)a->truth - (int)b->truth;
    case TRACEQL_NIL:
        return 0;
    default:
        return (a->integer > b->integer) - (a->integer < b->integer);
    }
}

int traceql_value_order(const TraceqlValue *a, const TraceqlValue *b) {
    if (a->type != b->type) return (int)a->type - (int)b->type;
    if (!traceql_is_array(a->type)) return order_elements(a, b);
    for (uint32_t i = 0; i < a->count && i < b->count; i++) {
        TraceqlValue one = traceql_element(a, i), other = traceql_element(b, i);
        int order = order_elements(&one, &other);

        if (order != 0) return order;
    }
    return (a->count > b->count) - (a->count < b->count);
}

/* ---- operators ---- */

static ErrCode integer_arithmetic(uint8_t op, int64_t a, int64_t b, TraceqlValue *out, Error *err) {
    out->type = TRACEQL_INT;
    if ((op == TRACEQL_DIV || op == TRACEQL_MOD) && b == 0)
        return error_set(err, ERR_INVALID,
                         op == TRACEQL_DIV ? "division by zero" : "modulo by zero");
    switch (op) {
    case TRACEQL_ADD:
        out->integer = (int64_t)((uint64_t)a + (uint64_t)b);
        break;
    case TRACEQL_SUB:
        out->integer = (int64_t)((uint64_t)a - (uint64_t)b);
        break;
    case TRACEQL_MUL:
        out->integer = (int64_t)((uint64_t)a * (uint64_t)b);
        break;
    /* The smallest by -1 has no quotient, and is itself in Go. */
    case TRACEQL_DIV:
        out->integer = b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
        break;
    case TRACEQL_MOD:
        out->integer = b == -1 ? 0 : a % b;
        break;
    /* Tempo 3 has the operands of whole numbers the wrong way round: 6 ^ 2 is 64. */
    default: {
        double power = pow((double)b, (double)a);

        out->integer = power >= -0x1p63 && power < 0x1p63 ? (int64_t)power : INT64_MIN;
        break;
    }
    }
    return ERR_OK;
}

static void float_arithmetic(uint8_t op, double a, double b, TraceqlValue *out) {
    out->type = TRACEQL_FLOAT;
    switch (op) {
    case TRACEQL_ADD:
        out->number = a + b;
        break;
    case TRACEQL_SUB:
        out->number = a - b;
        break;
    case TRACEQL_MUL:
        out->number = a * b;
        break;
    case TRACEQL_DIV:
        out->number = a / b;
        break;
    case TRACEQL_MOD:
        out->number = fmod(a, b);
        break;
    default:
        out->number = pow(a, b);
        break;
    }
}

/* Any element that holds will do, but for != and !~ all must. */
static bool compare_elements(uint8_t op, const TraceqlValue *array, const TraceqlValue *other,
                             bool flipped, const Regex *regex) {
    bool all = op == TRACEQL_NEQ || op == TRACEQL_NRE;

    for (uint32_t i = 0; i < array->count; i++) {
        TraceqlValue element = traceql_element(array, i);
        bool is;

        if (op == TRACEQL_RE || op == TRACEQL_NRE)
            is = element.type == TRACEQL_STRING && regex != NULL &&
                 regex_matches(regex, element.text) == (op == TRACEQL_RE);
        else
            is = flipped ? traceql_compare(op, other, &element)
                         : traceql_compare(op, &element, other);
        if (is != all) return is;
    }
    return all;
}

ErrCode traceql_binary(uint8_t op, const TraceqlValue *left, const TraceqlValue *right,
                       const Regex *regex, TraceqlValue *out, Error *err) {
    TraceqlValue result = {.type = TRACEQL_BOOL};

    if (op == TRACEQL_AND || op == TRACEQL_OR) {
        bool a = left->type == TRACEQL_BOOL && left->truth;
        bool b = right->type == TRACEQL_BOOL && right->truth;

        result.truth = op == TRACEQL_AND ? a && b : a || b;
    } else if (traceql_is_arithmetic(op)) {
        if (left->type == TRACEQL_INT && right->type == TRACEQL_INT)
            TRY(integer_arithmetic(op, left->integer, right->integer, &result, err));
        else if (traceql_is_number(left->type) && traceql_is_number(right->type))
            float_arithmetic(op, traceql_number(left), traceql_number(right), &result);
    } else if (left->type == TRACEQL_NIL || right->type == TRACEQL_NIL) {
        result.truth = false;
    } else if (traceql_is_array(left->type) && !traceql_is_array(right->type)) {
        result.truth = compare_elements(op, left, right, false, regex);
    } else if (traceql_is_array(right->type) && !traceql_is_array(left->type)) {
        result.truth = compare_elements(op, right, left, true, regex);
    } else if (op == TRACEQL_RE || op == TRACEQL_NRE) {
        result.truth = left->type == TRACEQL_STRING && regex != NULL &&
                       regex_matches(regex, left->text) == (op == TRACEQL_RE);
    } else {
        result.truth = traceql_compare(op, left, right);
    }
    *out = result;
    return ERR_OK;
}
