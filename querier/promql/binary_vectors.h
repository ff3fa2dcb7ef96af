#pragma once
/*
 * binary_vectors.h: an operator between two vectors, in the making.
 */
#include "querier/promql/binary.h"
#include "querier/promql/match.h"

typedef struct VectorsBinary {
    Eval *eval;
    const Node *node;
    const Grid *grid;
    const Vector *left; /* as written */
    const Vector *right;
    Match match;
    Arena *scratch;   /* until the operation is done */
    LabelTable table; /* of the output's series */
    Vector out;
    size_t out_capacity;
    uint8_t *notes; /* per step: the last BinaryNote, NULL: none so far */
    /* And the series that it is about: the last by its labels counts, but one that was filled in
     * comes after all others. */
    LabelSet *noted;
    uint64_t *noted_filled;
} VectorsBinary;

/* Adds the samples of `column` at the steps `bits` to the output series of these labels. Values and
 * histograms are copied. ERR_INVALID: there are samples at one of the steps already. */
MUST_USE ErrCode vectors_emit(VectorsBinary *b, LabelSet labels, bool drop, const Column *column,
                              const uint64_t *bits, Error *err);

ErrCode set_binary(VectorsBinary *b, PromqlOp op, Error *err);
ErrCode matched_binary(VectorsBinary *b, Error *err); /* all other operators */
