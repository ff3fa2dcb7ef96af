/*
 * elementwise.c: what is done to each sample of a vector by itself: functions of one value,
 * operators with a scalar, negation. A stream over a stream: nothing is kept.
 */
#include <time.h>

#include "querier/promql/binary.h"
#include "querier/promql/eval_internal.h"
#include "querier/promql/functions.h"
#include "querier/promql/hist_sum.h"

typedef struct Elementwise Elementwise;
typedef ErrCode (*ElementOp)(const Elementwise *e, Worker *worker, const Column *in, Column *out,
                             Error *err);

struct Elementwise {
    Stream inner;
    ElementOp op;
    const Node *node;
    double (*map)(double v);
    double (*map_hist)(const Hist *h);
    const double *args[2]; /* scalars, per step */
    Grid grid;
    uint32_t slot;
    bool scalar_is_left; /* of a binary operator */
};

static ErrCode read_elementwise(const Stream *stream, size_t i, Worker *worker, Column *out,
                                Error *err) {
    const Elementwise *e = stream->context;
    Column *column = worker_slot(worker, e->slot, sizeof *column);
    Column in;

    if (column == NULL) return eval_out_of_memory(err);
    if (column->values == NULL) TRY(column_new(worker->kept, &e->grid, column, err));
    TRY(e->inner.read(&e->inner, i, worker, &in, err));
    *out = *column;
    return e->op(e, worker, &in, out, err);
}

static ErrCode open_elementwise(Eval *eval, const Node *node, const Node *arg, const Grid *grid,
                                ElementOp op, Elementwise **ret, Stream *out, Error *err) {
    Elementwise *e = ARENA_NEW(eval->arena, Elementwise);

    if (e == NULL) return eval_out_of_memory(err);
    TRY(eval_stream(eval, arg, grid, &e->inner, err));
    e->op = op;
    e->node = node;
    e->grid = *grid;
    e->slot = eval_new_slot(eval);
    *out = e->inner;
    out->read = read_elementwise;
    out->context = e;
    out->vector = NULL;
    out->drops = NULL;
    out->drop = true;
    *ret = e;
    return ERR_OK;
}

/* ---- functions of a float ---- */

static void copy_presence(const Elementwise *e, const Column *in, Column *out) {
    memcpy(out->present, in->present, grid_words(&e->grid) * sizeof(uint64_t));
    out->full = in->full;
}

static ErrCode map_floats(const Elementwise *e, Worker *worker, const Column *in, Column *out,
                          Error *err) {
    (void)worker, (void)err;
    copy_presence(e, in, out);
    for (uint32_t s = 0; s < e->grid.steps; s++) out->values[s] = e->map(in->values[s]);
    return ERR_OK;
}

static double sign(double v) {
    return v < 0 ? -1 : v > 0 ? 1 : v;
}
static double to_radians(double v) {
    return v * (M_PI / 180); /* in this order large angles do not overflow */
}
static double to_degrees(double v) {
    return v * (180 / M_PI);
}

/* ---- dates ---- */

/* Go counts from March of the year -292277022400, and wraps around at 64 bits: what is too far
 * away, or NaN, is the 4th of December 292277026596, as with Prometheus. */
enum { FIRST_MARCH_2000_S = 951868800 };
static const uint64_t SECONDS_OF_400_YEARS = UINT64_C(12622780800);
static const uint64_t GO_ZERO_TO_EPOCH_S =
    UINT64_C(730692561) * UINT64_C(12622780800) - FIRST_MARCH_2000_S;
static const int64_t YEARS_TO_GO_ZERO = INT64_C(292277024400); /* from 2000 */

/* Seconds since the epoch as a civil date; *ret_years are to be added to its year. */
static struct tm date_of(double seconds, int64_t *ret_years) {
    int64_t whole = fabs(seconds) < 0x1p63 ? (int64_t)seconds : INT64_MIN;
    uint64_t since_zero = (uint64_t)whole + GO_ZERO_TO_EPOCH_S;
    time_t time = (time_t)(since_zero % SECONDS_OF_400_YEARS) + FIRST_MARCH_2000_S;
    struct tm tm = {0};

    gmtime_r(&time, &tm);
    *ret_years = (int64_t)(since_zero / SECONDS_OF_400_YEARS) * 400 - YEARS_TO_GO_ZERO;
    return tm;
}

static struct tm day_of(double seconds) {
    int64_t years;

    return date_of(seconds, &years);
}

static double year(double v) {
    int64_t years;
    struct tm tm = date_of(v, &years);

    return (double)(years + tm.tm_year + 1900);
}
static double month(double v) {
    return day_of(v).tm_mon + 1;
}
static double day_of_month(double v) {
    return day_of(v).tm_mday;
}
static double day_of_week(double v) {
    return day_of(v).tm_wday;
}
static double day_of_year(double v) {
    return day_of(v).tm_yday + 1;
}
static double hour(double v) {
    return day_of(v).tm_hour;
}
static double minute(double v) {
    return day_of(v).tm_min;
}
static double days_in_month(double v) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct tm tm = day_of(v);
    int64_t y = (int64_t)tm.tm_year + 1900; /* of the same 400 */
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

    return days[tm.tm_mon] + (tm.tm_mon == 1 && leap);
}

FloatFunction float_function(PromqlFunctionId id) {
    switch (id) {
    case PROMQL_FN_ABS:
        return fabs;
    case PROMQL_FN_ACOS:
        return acos;
    case PROMQL_FN_ACOSH:
        return acosh;
    case PROMQL_FN_ASIN:
        return asin;
    case PROMQL_FN_ASINH:
        return asinh;
    case PROMQL_FN_ATAN:
        return atan;
    case PROMQL_FN_ATANH:
        return atanh;
    case PROMQL_FN_CEIL:
        return ceil;
    case PROMQL_FN_COS:
        return cos;
    case PROMQL_FN_COSH:
        return cosh;
    case PROMQL_FN_DEG:
        return to_degrees;
    case PROMQL_FN_EXP:
        return exp;
    case PROMQL_FN_FLOOR:
        return floor;
    case PROMQL_FN_LN:
        return log;
    case PROMQL_FN_LOG10:
        return log10;
    case PROMQL_FN_LOG2:
        return log2;
    case PROMQL_FN_RAD:
        return to_radians;
    case PROMQL_FN_SGN:
        return sign;
    case PROMQL_FN_SIN:
        return sin;
    case PROMQL_FN_SINH:
        return sinh;
    case PROMQL_FN_SQRT:
        return sqrt;
    case PROMQL_FN_TAN:
        return tan;
    case PROMQL_FN_TANH:
        return tanh;
    case PROMQL_FN_YEAR:
        return year;
    case PROMQL_FN_MONTH:
        return month;
    case PROMQL_FN_DAY_OF_MONTH:
        return day_of_month;
    case PROMQL_FN_DAY_OF_WEEK:
        return day_of_week;
    case PROMQL_FN_DAY_OF_YEAR:
        return day_of_year;
    case PROMQL_FN_DAYS_IN_MONTH:
        return days_in_month;
    case PROMQL_FN_HOUR:
        return hour;
    case PROMQL_FN_MINUTE:
        return minute;
    default:
        return NULL;
    }
}

ErrCode eval_float_function(Eval *eval, const Node *node, const Grid *grid, Stream *out,
                            Error *err) {
    Elementwise *e;

    TRY(open_elementwise(eval, node, node->args[0], grid, map_floats, &e, out, err));
    e->map = float_function(node_function(node));
    out->no_hists = true;
    return ERR_OK;
}

/* ---- clamp, round ---- */

/* As Go's math.Max and Min, which fmax and fmin are not: NaN wins. */
double go_max(double a, double b) {
    if (isnan(a) || isnan(b)) return a == INFINITY || b == INFINITY ? INFINITY : NAN;
    return fmax(a, b);
}
double go_min(double a, double b) {
    if (isnan(a) || isnan(b)) return a == -INFINITY || b == -INFINITY ? -INFINITY : NAN;
    return fmin(a, b);
}

static ErrCode clamp_floats(const Elementwise *e, Worker *worker, const Column *in, Column *out,
                            Error *err) {
    PromqlFunctionId id = node_function(e->node);

    (void)worker, (void)err;
    copy_presence(e, in, out);
    for (uint32_t s = 0; s < e->grid.steps; s++) {
        double low = id == PROMQL_FN_CLAMP_MAX ? -INFINITY : e->args[0][s];
        double high = id == PROMQL_FN_CLAMP       ? e->args[1][s]
                      : id == PROMQL_FN_CLAMP_MAX ? e->args[0][s]
                                                  : INFINITY;

        if (high < low) {
            bits_clear(out->present, s);
            out->full = false;
        }
        out->values[s] = go_max(low, go_min(high, in->values[s]));
    }
    return ERR_OK;
}

static ErrCode round_floats(const Elementwise *e, Worker *worker, const Column *in, Column *out,
                            Error *err) {
    (void)worker, (void)err;
    copy_presence(e, in, out);
    for (uint32_t s = 0; s < e->grid.steps; s++) {
        /* The inverse rounds better for 0.1 and such. */
        double inverse = 1 / (e->args[0] == NULL ? 1 : e->args[0][s]);

        out->values[s] = floor(in->values[s] * inverse + 0.5) / inverse;
    }
    return ERR_OK;
}

static ErrCode with_scalars(Eval *eval, const Node *node, const Grid *grid, ElementOp op,
                            Stream *out, Error *err) {
    Elementwise *e;

    TRY(open_elementwise(eval, node, node->args[0], grid, op, &e, out, err));
    for (size_t i = 1; i < node->arg_count; i++)
        TRY(eval_scalar(eval, node->args[i], grid, &e->args[i - 1], err));
    out->no_hists = true;
    return ERR_OK;
}

ErrCode eval_clamp(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    return with_scalars(eval, node, grid, clamp_floats, out, err);
}

ErrCode eval_round(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    return with_scalars(eval, node, grid, round_floats, out, err);
}

/* ---- timestamp() of what has the time of the step ---- */

static ErrCode step_times(const Elementwise *e, Worker *worker, const Column *in, Column *out,
                          Error *err) {
    (void)worker, (void)err;
    copy_presence(e, in, out);
    for (uint32_t s = 0; s < e->grid.steps; s++) {
        out->values[s] = (double)grid_time(&e->grid, s) / 1000;
        if (in->hists != NULL && in->hists[s] != NULL) bits_set(out->present, s);
    }
    return ERR_OK;
}

ErrCode eval_step_times(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    Elementwise *e;

    TRY(open_elementwise(eval, node, node->args[0], grid, step_times, &e, out, err));
    out->no_hists = true;
    return ERR_OK;
}

/* ---- functions of a histogram ---- */

static double hist_count_of(const Hist *h) {
    return h->count;
}
static double hist_sum_of(const Hist *h) {
    return h->sum;
}
static double hist_avg_of(const Hist *h) {
    return h->sum / h->count;
}
static double hist_stddev_of(const Hist *h) {
    return sqrt(hist_variance(h));
}

static ErrCode map_hists(const Elementwise *e, Worker *worker, const Column *in, Column *out,
                         Error *err) {
    (void)worker, (void)err;
    memset(out->present, 0, grid_words(&e->grid) * sizeof(uint64_t));
    out->full = false;
    if (in->hists == NULL) return ERR_OK;
    for (uint32_t s = 0; s < e->grid.steps; s++) {
        if (in->hists[s] == NULL) continue;
        out->values[s] = e->map_hist(in->hists[s]);
        bits_set(out->present, s);
    }
    return ERR_OK;
}

ErrCode eval_hist_function(Eval *eval, const Node *node, const Grid *grid, Stream *out,
                           Error *err) {
    Elementwise *e;

    TRY(open_elementwise(eval, node, node->args[0], grid, map_hists, &e, out, err));
    out->no_hists = true;
    switch (node_function(node)) {
    case PROMQL_FN_HISTOGRAM_COUNT:
        e->map_hist = hist_count_of;
        break;
    case PROMQL_FN_HISTOGRAM_SUM:
        e->map_hist = hist_sum_of;
        break;
    case PROMQL_FN_HISTOGRAM_AVG:
        e->map_hist = hist_avg_of;
        break;
    case PROMQL_FN_HISTOGRAM_STDDEV:
        e->map_hist = hist_stddev_of;
        break;
    default:
        e->map_hist = hist_variance;
        break;
    }
    return ERR_OK;
}

/* ---- negation ---- */

static ErrCode negate(const Elementwise *e, Worker *worker, const Column *in, Column *out,
                      Error *err) {
    copy_presence(e, in, out);
    for (uint32_t s = 0; s < e->grid.steps; s++) out->values[s] = -in->values[s];
    if (in->hists == NULL) return ERR_OK;
    TRY(column_add_hists(worker->series, &e->grid, out, err));
    for (uint32_t s = 0; s < e->grid.steps; s++) {
        if (in->hists[s] == NULL) continue;
        out->hists[s] = hist_multiply(worker->hists, in->hists[s], -1, false);
        if (out->hists[s] == NULL) return eval_out_of_memory(err);
    }
    return ERR_OK;
}

ErrCode eval_negate(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    Elementwise *e;

    if (node->expr->as.unary.op == PROMQL_ADD)
        return eval_stream(eval, node->args[0], grid, out, err);
    return open_elementwise(eval, node, node->args[0], grid, negate, &e, out, err);
}

/* ---- a vector and a scalar ---- */

static ErrCode scalar_hists(const Elementwise *e, Worker *worker, const Column *in, Column *out,
                            Error *err) {
    const PromqlExpr *expr = e->node->expr;
    PromqlOp op = expr->as.binary.op;

    TRY(column_add_hists(worker->series, &e->grid, out, err));
    for (uint32_t s = 0; s < e->grid.steps; s++) {
        BinaryOperand vector = {.hist = in->hists[s]}, scalar = {.value = e->args[0][s]};
        BinaryResult result;

        if (in->hists[s] == NULL) continue;
        TRY(binary_hists(op, e->scalar_is_left ? scalar : vector,
                         e->scalar_is_left ? vector : scalar, worker->hists, &result, err));
        /* What only warns says nothing here, as in Prometheus. */
        if (result.invalid) {
            binary_annotate(worker->annotations, e->node, result.note);
        } else if (expr->as.binary.returns_bool) {
            out->values[s] = result.keep;
            bits_set(out->present, s);
        } else if (result.keep) {
            out->hists[s] = result.hist;
        }
    }
    return ERR_OK;
}

static ErrCode scalar_binary(const Elementwise *e, Worker *worker, const Column *in, Column *out,
                             Error *err) {
    const PromqlExpr *expr = e->node->expr;
    PromqlOp op = expr->as.binary.op;
    const double *left = e->scalar_is_left ? e->args[0] : in->values;
    const double *right = e->scalar_is_left ? in->values : e->args[0];
    uint32_t steps = e->grid.steps, words = grid_words(&e->grid);

    copy_presence(e, in, out);
    if (op == PROMQL_TRIM_UPPER || op == PROMQL_TRIM_LOWER) {
        if (bits_any(in->present, words))
            binary_annotate(worker->annotations, e->node, BINARY_NOTE_FLOAT_FLOAT);
        memset(out->present, 0, words * sizeof(uint64_t));
        out->full = false;
    } else if (!promql_op_is_comparison(op)) {
        binary_floats(op, left, right, out->values, steps);
    } else if (expr->as.binary.returns_bool) {
        for (uint32_t s = 0; s < steps; s++) out->values[s] = binary_holds(op, left[s], right[s]);
    } else {
        uint64_t *holds = arena_alloc(worker->series, words * sizeof *holds);

        if (holds == NULL) return eval_out_of_memory(err);
        binary_compare(op, left, right, holds, steps);
        for (uint32_t w = 0; w < words; w++) out->present[w] &= holds[w];
        out->full = false;
        memcpy(out->values, in->values, steps * sizeof(double));
    }
    return in->hists == NULL ? ERR_OK : scalar_hists(e, worker, in, out, err);
}

ErrCode eval_scalar_binary(Eval *eval, const Node *node, const Grid *grid, Stream *out,
                           Error *err) {
    bool scalar_is_left = node->args[0]->type == PROMQL_TYPE_SCALAR;
    const Node *vector = node->args[scalar_is_left ? 1 : 0];
    const Node *scalar = node->args[scalar_is_left ? 0 : 1];
    Elementwise *e;
    Stream inner;

    TRY(open_elementwise(eval, node, vector, grid, scalar_binary, &e, out, err));
    e->scalar_is_left = scalar_is_left;
    TRY(eval_scalar(eval, scalar, grid, &e->args[0], err));
    inner = e->inner;
    if (binary_is_arithmetic(node->expr->as.binary.op) || node->expr->as.binary.returns_bool)
        return ERR_OK;
    out->drops = inner.drops;
    out->drop = inner.drop;
    return ERR_OK;
}
