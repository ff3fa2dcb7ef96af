#include "querier/promql/binary.h"
#include "querier/promql/eval_internal.h"
#include "querier/promql/hist_sum.h"

bool binary_is_arithmetic(PromqlOp op) {
    switch (op) {
    case PROMQL_ADD:
    case PROMQL_SUB:
    case PROMQL_MUL:
    case PROMQL_DIV:
    case PROMQL_MOD:
    case PROMQL_POW:
    case PROMQL_ATAN2:
        return true;
    default:
        return false;
    }
}

bool binary_holds(PromqlOp op, double a, double b) {
    switch (op) {
    case PROMQL_EQUAL:
        return a == b;
    case PROMQL_NOT_EQUAL:
        return a != b;
    case PROMQL_LESS:
        return a < b;
    case PROMQL_GREATER:
        return a > b;
    case PROMQL_LESS_EQUAL:
        return a <= b;
    case PROMQL_GREATER_EQUAL:
        return a >= b;
    default:
        return false;
    }
}

/* C's pow and Go's differ only here: Go has pow(-1, ±Inf) = 1 as well, so they agree. */
double binary_scalar(PromqlOp op, double a, double b) {
    switch (op) {
    case PROMQL_ADD:
        return a + b;
    case PROMQL_SUB:
        return a - b;
    case PROMQL_MUL:
        return a * b;
    case PROMQL_DIV:
        return a / b;
    case PROMQL_MOD:
        return fmod(a, b);
    case PROMQL_POW:
        return pow(a, b);
    case PROMQL_ATAN2:
        return atan2(a, b);
    default:
        return binary_holds(op, a, b) ? 1 : 0;
    }
}

void binary_floats(PromqlOp op, const double *a, const double *b, double *out, uint32_t steps) {
    switch (op) {
    case PROMQL_ADD:
        for (uint32_t s = 0; s < steps; s++) out[s] = a[s] + b[s];
        break;
    case PROMQL_SUB:
        for (uint32_t s = 0; s < steps; s++) out[s] = a[s] - b[s];
        break;
    case PROMQL_MUL:
        for (uint32_t s = 0; s < steps; s++) out[s] = a[s] * b[s];
        break;
    case PROMQL_DIV:
        for (uint32_t s = 0; s < steps; s++) out[s] = a[s] / b[s];
        break;
    default:
        for (uint32_t s = 0; s < steps; s++) out[s] = binary_scalar(op, a[s], b[s]);
        break;
    }
}

#define COMPARE(holds)                                                                             \
    for (uint32_t s = 0; s < steps; s++) out[s / 64] |= (uint64_t)(holds) << (s % 64)

void binary_compare(PromqlOp op, const double *a, const double *b, uint64_t *out, uint32_t steps) {
    memset(out, 0, (steps + 63) / 64 * sizeof *out);
    switch (op) {
    case PROMQL_EQUAL:
        COMPARE(a[s] == b[s]);
        break;
    case PROMQL_NOT_EQUAL:
        COMPARE(a[s] != b[s]);
        break;
    case PROMQL_LESS:
        COMPARE(a[s] < b[s]);
        break;
    case PROMQL_GREATER:
        COMPARE(a[s] > b[s]);
        break;
    case PROMQL_LESS_EQUAL:
        COMPARE(a[s] <= b[s]);
        break;
    default:
        COMPARE(a[s] >= b[s]);
        break;
    }
}

static ErrCode finish(BinaryResult *result, const Hist *h, BinaryResult *out, Error *err) {
    if (h == NULL) return eval_out_of_memory(err);
    result->hist = h;
    result->keep = true;
    *out = *result;
    return ERR_OK;
}

static ErrCode add_hists(PromqlOp op, const Hist *a, const Hist *b, Arena *arena, BinaryResult *out,
                         Error *err) {
    HistSumInfo info = {0};
    BinaryResult result = {0};
    const Hist *h = hist_add(arena, a, b, op == PROMQL_SUB ? -1 : 1, &info);

    if (info.out_of_memory) return eval_out_of_memory(err);
    if (h == NULL) {
        *out = (BinaryResult){.invalid = true, .note = BINARY_NOTE_INCOMPATIBLE};
        return ERR_OK;
    }
    if (op == PROMQL_SUB) h = hist_with_hint(arena, h, HISTOGRAM_HINT_GAUGE);
    if (info.reset_collision) result.note = BINARY_NOTE_COLLISION;
    if (info.bounds_reconciled) result.note = BINARY_NOTE_RECONCILED;
    return finish(&result, h, out, err);
}

ErrCode binary_hists(PromqlOp op, BinaryOperand a, BinaryOperand b, Arena *arena, BinaryResult *out,
                     Error *err) {
    BinaryResult result = {0};

    if (a.hist != NULL && b.hist != NULL) {
        if (op == PROMQL_ADD || op == PROMQL_SUB)
            return add_hists(op, a.hist, b.hist, arena, out, err);
        if (op == PROMQL_EQUAL || op == PROMQL_NOT_EQUAL) {
            result.keep = hist_equal(a.hist, b.hist) == (op == PROMQL_EQUAL);
            result.hist = hist_dup(arena, a.hist);
            *out = result;
            return result.hist == NULL ? eval_out_of_memory(err) : ERR_OK;
        }
        result.note = BINARY_NOTE_HISTOGRAM_HISTOGRAM;
    } else if (a.hist != NULL) {
        if (op == PROMQL_MUL)
            return finish(&result, hist_multiply(arena, a.hist, b.value, true), out, err);
        if (op == PROMQL_DIV)
            return finish(&result, hist_divide(arena, a.hist, b.value, true), out, err);
        if (op == PROMQL_TRIM_UPPER || op == PROMQL_TRIM_LOWER) {
            const Hist *copy = hist_dup(arena, a.hist);

            if (copy == NULL) return eval_out_of_memory(err);
            return finish(&result, hist_trim(arena, copy, b.value, op == PROMQL_TRIM_UPPER), out,
                          err);
        }
        result.note = BINARY_NOTE_HISTOGRAM_FLOAT;
    } else if (b.hist != NULL) {
        if (op == PROMQL_MUL)
            return finish(&result, hist_multiply(arena, b.hist, a.value, true), out, err);
        result.note = BINARY_NOTE_FLOAT_HISTOGRAM;
    } else {
        result.note = BINARY_NOTE_FLOAT_FLOAT;
    }
    result.invalid = true;
    *out = result;
    return ERR_OK;
}

void binary_annotate(Annotations *annotations, const Node *node, BinaryNote note) {
    static const char *const types[][2] = {
        [BINARY_NOTE_FLOAT_FLOAT] = {"float", "float"},
        [BINARY_NOTE_FLOAT_HISTOGRAM] = {"float", "histogram"},
        [BINARY_NOTE_HISTOGRAM_FLOAT] = {"histogram", "float"},
        [BINARY_NOTE_HISTOGRAM_HISTOGRAM] = {"histogram", "histogram"},
    };
    PromqlOp op = node->expr->as.binary.op;
    const char *text = promql_op_text(op);
    const char *operation = op == PROMQL_SUB ? "subtraction" : "addition";

    switch (note) {
    case BINARY_NOTE_FLOAT_FLOAT:
    case BINARY_NOTE_FLOAT_HISTOGRAM:
    case BINARY_NOTE_HISTOGRAM_FLOAT:
    case BINARY_NOTE_HISTOGRAM_HISTOGRAM:
        annotate_more(annotations, ANNOTATION_INCOMPATIBLE_TYPES, node->id, " \"%s\": %s %s %s",
                      text, types[note][0], text, types[note][1]);
        break;
    case BINARY_NOTE_INCOMPATIBLE:
        annotate_more(annotations, ANNOTATION_INCOMPATIBLE_BUCKETS, node->id, " %s", text);
        break;
    case BINARY_NOTE_COLLISION:
        annotate_more(annotations, ANNOTATION_RESET_COLLISION, node->id, " %s", operation);
        break;
    case BINARY_NOTE_RECONCILED:
        annotate_more(annotations, ANNOTATION_BOUNDS_RECONCILED, node->id, " %s", operation);
        break;
    default:
        break;
    }
}
