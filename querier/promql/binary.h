#pragma once
/*
 * binary.h: what an operator does to two samples.
 */
#include "querier/promql/eval.h"

/* What the user should hear of an operation on two samples; one per step, as in Prometheus. */
typedef enum BinaryNote {
    BINARY_NOTE_NONE,
    BINARY_NOTE_FLOAT_FLOAT, /* types that do not go together: no result */
    BINARY_NOTE_FLOAT_HISTOGRAM,
    BINARY_NOTE_HISTOGRAM_FLOAT,
    BINARY_NOTE_HISTOGRAM_HISTOGRAM,
    BINARY_NOTE_INCOMPATIBLE, /* exponential and custom buckets: no result */
    BINARY_NOTE_COLLISION,
    BINARY_NOTE_RECONCILED,
    BINARY_NOTE_COUNT,
} BinaryNote;

typedef struct BinaryOperand {
    double value;
    const Hist *hist; /* NULL: a float */
} BinaryOperand;

typedef struct BinaryResult {
    double value;
    const Hist *hist;
    bool keep;    /* false: a comparison that does not hold, or no result */
    bool invalid; /* no result at all, not even with `bool` */
    BinaryNote note;
} BinaryResult;

bool binary_holds(PromqlOp op, double a, double b); /* comparisons */
bool binary_is_arithmetic(PromqlOp op);             /* makes another metric of it */
/* At least one operand is a histogram, or the operator is for histograms only. Made in `arena`. */
MUST_USE ErrCode binary_hists(PromqlOp op, BinaryOperand a, BinaryOperand b, Arena *arena,
                              BinaryResult *out, Error *err);
void binary_annotate(Annotations *annotations, const Node *node, BinaryNote note);
/* out = a op b for all steps, arithmetic only. */
void binary_floats(PromqlOp op, const double *a, const double *b, double *out, uint32_t steps);
/* Bits of the steps at which the comparison holds. */
void binary_compare(PromqlOp op, const double *a, const double *b, uint64_t *out, uint32_t steps);
