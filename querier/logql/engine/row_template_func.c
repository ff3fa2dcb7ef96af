/*
 * row_template_func.c: the functions of templates: which there are, what they take, and those that
 * compute, compare or tell the time.
 */
#include <math.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "querier/logql/engine/row_template_ids.h"
#include "querier/logql/units.h"

/* ---- what there is ---- */

struct Function {
    Str name;
    FunctionId id;
    uint8_t least, most; /* arguments */
    /* Of each argument: s a text, i an integer, a anything. The last goes on for those behind. */
    const char *types;
};

static const Function functions[] = {
#define FUNCTION_(name, text, least, most, types) {STR_INIT(text), FN_##name, least, most, types},
    TEMPLATE_FUNCTIONS(FUNCTION_)
#undef FUNCTION_
};

const Function *template_function(Str name) {
    for (size_t i = 0; i < ARRAY_LEN(functions); i++)
        if (str_equal(functions[i].name, name)) return &functions[i];
    return NULL;
}

/* ---- conversions, as lenient as Loki's ---- */

static int64_t to_int(const Value *value) {
    int64_t whole;
    double real;

    switch (value->kind) {
    case VALUE_INT:
    case VALUE_BOOL:
        return value->number;
    case VALUE_FLOAT:
        return value->real >= 9.2e18 || value->real <= -9.2e18 || isnan(value->real)
                   ? INT64_MIN
                   : (int64_t)value->real;
    case VALUE_STRING:
        if (str_to_i64(value->text, &whole)) return whole;
        /* 12.00 is 12, 12.5 is none. */
        if (memchr(value->text.ptr, '.', value->text.len) != NULL &&
            str_to_double(value->text, &real) && real == trunc(real) && fabs(real) < 9e15)
            return (int64_t)real;
        return 0;
    default:
        return 0;
    }
}

static double to_float(const Value *value) {
    double real;

    switch (value->kind) {
    case VALUE_INT:
    case VALUE_BOOL:
        return (double)value->number;
    case VALUE_FLOAT:
        return value->real;
    case VALUE_STRING:
        return str_to_double(value->text, &real) ? real : 0;
    default:
        return 0;
    }
}

/* A float as the decimal that it is written as. */
static long double to_decimal(const Value *value) {
    char text[64];
    CLEANUP_IN_PLACE(buf_done) Buf digits = {0};
    Execution none = {0};
    Value real = value_float(to_float(value));

    buf_init(&digits, sizeof text - 1);
    value_print(&none, &real, &digits);
    if (buf_failed(&digits)) return real.real;
    memcpy(text, digits.ptr, digits.len);
    text[digits.len] = '\0';
    return strtold(text, NULL);
}

/* ---- arithmetic ---- */

static bool fold_ints(Execution *e, FunctionId id, const Value *args, size_t count, Value *out) {
    int64_t sum = to_int(&args[0]);

    for (size_t i = 1; i < count; i++) {
        int64_t next = to_int(&args[i]);

        switch (id) {
        case FN_ADD:
            sum = (int64_t)((uint64_t)sum + (uint64_t)next);
            break;
        case FN_SUB:
            sum = (int64_t)((uint64_t)sum - (uint64_t)next);
            break;
        case FN_MUL:
            sum = (int64_t)((uint64_t)sum * (uint64_t)next);
            break;
        case FN_DIV:
        case FN_MOD:
            if (next == 0) return template_fail(e, "runtime error: integer divide by zero");
            if (next == -1)
                sum = id == FN_MOD ? 0 : (int64_t)(0 - (uint64_t)sum);
            else
                sum = id == FN_DIV ? sum / next : sum % next;
            break;
        case FN_MAX:
            sum = MAX(sum, next);
            break;
        default:
            sum = MIN(sum, next);
            break;
        }
    }
    *out = value_int(sum);
    return true;
}

static bool fold_floats(Execution *e, FunctionId id, const Value *args, size_t count, Value *out) {
    long double sum = to_decimal(&args[0]);

    for (size_t i = 1; i < count; i++) {
        long double next = to_decimal(&args[i]);

        switch (id) {
        case FN_ADDF:
            sum += next;
            break;
        case FN_SUBF:
            sum -= next;
            break;
        case FN_MULF:
            sum *= next;
            break;
        case FN_DIVF:
            if (next == 0) return template_fail(e, "decimal division by 0");
            sum /= next;
            break;
        case FN_MAXF:
            sum = fmaxl(sum, next);
            break;
        default:
            sum = fminl(sum, next);
            break;
        }
    }
    *out = value_float((double)sum);
    return true;
}

static double round_to(double value, int64_t places) {
    double power = pow(10, (double)MIN(MAX(places, -300), 300)), digit = value * power;
    double fraction = digit - trunc(digit);

    return (fraction >= 0.5 ? ceil(digit) : floor(digit)) / power;
}

/* ---- comparing ---- */

typedef enum Basic { BASIC_NONE, BASIC_TEXT, BASIC_INT, BASIC_FLOAT, BASIC_BOOL } Basic;

static Basic basic_of(const Value *value) {
    switch (value->kind) {
    case VALUE_STRING:
        return BASIC_TEXT;
    case VALUE_INT:
        return BASIC_INT;
    case VALUE_FLOAT:
        return BASIC_FLOAT;
    case VALUE_BOOL:
        return BASIC_BOOL;
    default:
        return BASIC_NONE;
    }
}

static bool same_value(Execution *e, const Value *a, const Value *b, bool *same) {
    Basic kind = basic_of(a);

    if (kind == BASIC_NONE || basic_of(b) == BASIC_NONE) {
        *same = a->kind == VALUE_NIL && b->kind == VALUE_NIL;
        return a->kind == VALUE_NIL || b->kind == VALUE_NIL
                   ? true
                   : template_fail(e, "invalid type for comparison");
    }
    if (kind != basic_of(b)) return template_fail(e, "incompatible types for comparison");
    *same = kind == BASIC_TEXT    ? str_equal(a->text, b->text)
            : kind == BASIC_FLOAT ? a->real == b->real
                                  : a->number == b->number;
    return true;
}

static bool order_of(Execution *e, const Value *a, const Value *b, int *order) {
    Basic kind = basic_of(a);

    if (kind == BASIC_NONE || kind == BASIC_BOOL || basic_of(b) == BASIC_NONE)
        return template_fail(e, "invalid type for comparison");
    if (kind != basic_of(b)) return template_fail(e, "incompatible types for comparison");
    if (kind == BASIC_TEXT)
        *order = str_compare(a->text, b->text);
    else if (kind == BASIC_FLOAT)
        *order = (a->real > b->real) - (a->real < b->real);
    else
        *order = (a->number > b->number) - (a->number < b->number);
    return true;
}

static bool compare(Execution *e, FunctionId id, const Value *args, size_t count, Value *out) {
    bool same = false;
    int order = 0;

    if (id == FN_EQ || id == FN_NE) {
        for (size_t i = 1; i < count && !same; i++)
            if (!same_value(e, &args[0], &args[i], &same)) return false;
        *out = value_bool(same == (id == FN_EQ));
        return true;
    }
    if (!order_of(e, &args[0], &args[1], &order)) return false;
    *out = value_bool(id == FN_LT   ? order < 0
                      : id == FN_LE ? order <= 0
                      : id == FN_GT ? order > 0
                                    : order >= 0);
    return true;
}

/* ---- lists ---- */

static int64_t length_of(Execution *e, const Value *value) {
    Str rest = str_from(value->text, 1), key;
    int64_t n = 0;
    RowJson json;

    if (value->kind == VALUE_STRING) return (int64_t)value->text.len;
    if (value->kind == VALUE_LIST)
        while (row_json_element(value->text, n, &json) && ++e->steps < TEMPLATE_STEPS_MAX) n++;
    else
        while (row_json_field(&rest, n == 0, e->scratch, &key, &json) == ROW_JSON_FIELD) n++;
    return n;
}

static bool index_one(Execution *e, const Value *from, const Value *key, Value *out) {
    RowJson json;

    if (from->kind == VALUE_MAP && key->kind == VALUE_STRING) {
        *out = row_json_key(from->text, e->scratch, key->text, &json) ? value_of_json(e, &json)
                                                                      : (Value){0};
        return true;
    }
    if (from->kind == VALUE_LABELS && key->kind == VALUE_STRING) {
        (void)row_labels_get(&e->run->labels, key->text, &out->text);
        *out = value_text(out->text);
        return true;
    }
    if (key->kind != VALUE_INT) return template_fail(e, "cannot index with that type");
    if (from->kind == VALUE_STRING && key->number >= 0 && (uint64_t)key->number < from->text.len) {
        *out = value_int((unsigned char)from->text.ptr[key->number]);
        return true;
    }
    if (from->kind != VALUE_LIST) return template_fail(e, "error calling index: can't index item");
    if (key->number < 0 || !row_json_element(from->text, key->number, &json))
        return template_fail(e, "error calling index: index out of range: %lld",
                             (long long)key->number);
    *out = value_of_json(e, &json);
    return true;
}

static bool slice_text(Execution *e, const Value *args, size_t count, Value *out) {
    int64_t from = count > 1 ? to_int(&args[1]) : 0, to;

    if (args[0].kind != VALUE_STRING) return template_fail(e, "can't slice item");
    to = count > 2 ? to_int(&args[2]) : (int64_t)args[0].text.len;
    if (from < 0 || to < from || to > (int64_t)args[0].text.len)
        return template_fail(e, "error calling slice: index out of range: %lld", (long long)to);
    *out = value_text(str_slice(args[0].text, (size_t)from, (size_t)(to - from)));
    return true;
}

/* ---- time ---- */

static bool unix_to_time(Execution *e, Str text, Value *out) {
    int64_t n;

    if (!str_to_i64(text, &n))
        return template_fail(e, "unable to parse time '" STR_FMT "'", STR_ARG(text));
    if (text.len == 5)
        n *= INT64_C(86400000000000);
    else if (text.len == 10)
        n *= 1000000000;
    else if (text.len == 13)
        n *= 1000000;
    else if (text.len == 16)
        n *= 1000;
    else if (text.len != 19)
        return template_fail(e, "unable to parse time '" STR_FMT "'", STR_ARG(text));
    *out = value_time(n);
    return true;
}

static bool format_date(Execution *e, const Value *args, Value *out) {
    CLEANUP_IN_PLACE(buf_done) Buf text = {0};
    int64_t ns = args[1].kind == VALUE_TIME ? args[1].number
                 : args[1].kind == VALUE_INT && llabs(args[1].number) < INT64_C(9000000000)
                     ? args[1].number * 1000000000
                     : clock_now_ms(clock_system()) * 1000000;

    buf_init(&text, TEMPLATE_BYTES_MAX);
    template_format_time(args[0].text, ns, &text);
    return template_text(e, &text, out);
}

static bool epoch(Execution *e, const Value *time, int64_t unit, Value *out) {
    CLEANUP_IN_PLACE(buf_done) Buf text = {0};
    int64_t n = time->number / unit - (time->number % unit < 0);

    if (time->kind != VALUE_TIME) return template_fail(e, "wrong type for value; expected time");
    buf_init(&text, 64);
    buf_printf(&text, "%lld", (long long)n);
    return template_text(e, &text, out);
}

static bool call_time(Execution *e, FunctionId id, const Value *args, Value *out) {
    int64_t ns = INT64_C(-6795364578871345152); /* the year 1, as far as it can be told */

    switch (id) {
    case FN_NOW:
        *out = value_time(clock_now_ms(clock_system()) * 1000000);
        return true;
    case FN_TIMESTAMP:
        *out = value_time(e->run->time_ns);
        return true;
    case FN_UNIX_TO_TIME:
        return unix_to_time(e, args[0].text, out);
    case FN_TO_DATE:
        (void)template_parse_time(args[0].text, args[1].text, NULL, &ns);
        *out = value_time(ns);
        return true;
    case FN_TO_DATE_IN_ZONE:
        (void)template_parse_time(args[0].text, args[2].text,
                                  row_zones_get(&e->run->zones, args[1].text), &ns);
        *out = value_time(ns);
        return true;
    case FN_UNIX_EPOCH:
        return epoch(e, &args[0], 1000000000, out);
    case FN_UNIX_EPOCH_MILLIS:
        return epoch(e, &args[0], 1000000, out);
    case FN_UNIX_EPOCH_NANOS:
        return epoch(e, &args[0], 1, out);
    default:
        return format_date(e, args, out);
    }
}

/* ---- calling ---- */

static bool call_duration(Execution *e, FunctionId id, Str text, Value *out) {
    uint64_t bytes;
    int64_t ns;

    if (id == FN_BYTES) {
        if (!logql_parse_bytes(text, &bytes))
            return template_fail(e, "strconv.ParseFloat: parsing \"" STR_FMT "\": invalid syntax",
                                 STR_ARG(text));
        *out = value_float((double)bytes);
        return true;
    }
    if (!logql_parse_go_duration(text, &ns))
        return template_fail(e, "time: invalid duration \"" STR_FMT "\"", STR_ARG(text));
    *out = value_float((double)(ns / 1000000000) + (double)(ns % 1000000000) / 1e9);
    return true;
}

static bool parse_json(Execution *e, Str text, Value *out) {
    RowJson json;

    *out = (Value){0};
    if (row_json_value(&text, &json)) *out = value_of_json(e, &json);
    return true;
}

static bool check_args(Execution *e, const Function *function, const Value *args, size_t count) {
    if (count < function->least || count > function->most)
        return template_fail(e, "wrong number of args for " STR_FMT ": want %u got %zu",
                             STR_ARG(function->name), function->least, count);
    for (size_t i = 0; i < count; i++) {
        char type = function->types[MIN(i, strlen(function->types) - 1)];

        if ((type == 's' && args[i].kind != VALUE_STRING) ||
            (type == 'i' && args[i].kind != VALUE_INT))
            return template_fail(e, "wrong type for value; expected %s",
                                 type == 's' ? "string" : "int");
    }
    return true;
}

bool template_call(Execution *e, const Function *function, const Value *args, size_t count,
                   Value *out) {
    FunctionId id = function->id;
    size_t i;

    if (!check_args(e, function, args, count)) return false;
    *out = (Value){0};
    switch (id) {
    case FN_AND:
    case FN_OR:
        for (i = 0; i + 1 < count && value_is_true(&args[i]) == (id == FN_AND);) i++;
        *out = args[i];
        return true;
    case FN_NOT:
        *out = value_bool(!value_is_true(&args[0]));
        return true;
    case FN_DEFAULT:
        *out = count < 2 || !value_is_true(&args[1]) ? args[0] : args[1];
        return true;
    case FN_EQ:
    case FN_NE:
    case FN_LT:
    case FN_LE:
    case FN_GT:
    case FN_GE:
        return compare(e, id, args, count, out);
    case FN_LEN:
        if (args[0].kind != VALUE_STRING && args[0].kind != VALUE_LIST && args[0].kind != VALUE_MAP)
            return template_fail(e, "error calling len: len of that type");
        *out = value_int(length_of(e, &args[0]));
        return true;
    case FN_INDEX:
        *out = args[0];
        for (i = 1; i < count; i++) {
            Value from = *out;

            if (!index_one(e, &from, &args[i], out)) return false;
        }
        return true;
    case FN_SLICE:
        return slice_text(e, args, count, out);
    case FN_INT:
        *out = value_int(to_int(&args[0]));
        return true;
    case FN_FLOAT64:
        *out = value_float(to_float(&args[0]));
        return true;
    case FN_ADD:
    case FN_SUB:
    case FN_MUL:
    case FN_DIV:
    case FN_MOD:
    case FN_MAX:
    case FN_MIN:
        return fold_ints(e, id, args, count, out);
    case FN_ADDF:
    case FN_SUBF:
    case FN_MULF:
    case FN_DIVF:
    case FN_MAXF:
    case FN_MINF:
        return fold_floats(e, id, args, count, out);
    case FN_CEIL:
        *out = value_float(ceil(to_float(&args[0])));
        return true;
    case FN_FLOOR:
        *out = value_float(floor(to_float(&args[0])));
        return true;
    case FN_ROUND:
        *out = value_float(round_to(to_float(&args[0]), args[1].number));
        return true;
    case FN_BYTES:
    case FN_DURATION:
    case FN_DURATION_SECONDS:
        return call_duration(e, id, args[0].text, out);
    case FN_FROM_JSON:
        return parse_json(e, args[0].text, out);
    case FN_LINE:
        *out = value_text(row_line(e->run));
        return true;
    case FN_NOW:
    case FN_TIMESTAMP:
    case FN_DATE:
    case FN_TO_DATE:
    case FN_TO_DATE_IN_ZONE:
    case FN_UNIX_EPOCH:
    case FN_UNIX_EPOCH_MILLIS:
    case FN_UNIX_EPOCH_NANOS:
    case FN_UNIX_TO_TIME:
        return call_time(e, id, args, out);
    default:
        return template_call_text(e, (int)id, args, count, out);
    }
}
