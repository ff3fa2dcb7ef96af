#pragma once
/*
 * labels.h: label sets as they travel from gateway to lane, and their canonical bytes.
 *
 * Canonical bytes are remote write 1.0's own encoding of TimeSeries.labels: for each label, in
 * strict byte order of names, `0a <len> 0a <len> name 12 <len> value`, minimal varints, empty
 * values left out. One series has one canonical form, so a series is recognised by one hash of
 * its bytes, and what a well-behaved sender sends is canonical as it lies in the body.
 */
#include "common/base/buf.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/base/str.h"

typedef struct LabelPair {
    Str name;
    Str value;
} LabelPair;

/* A sorted set, borrowed from an arena or a body. */
typedef struct LabelPairs {
    const LabelPair *pairs;
    size_t count;
} LabelPairs;

/* Reads canonical bytes; *out points into `bytes` and `arena`. ERR_INVALID when they are not
 * canonical (unsorted, duplicate names, other fields, cut off). */
MUST_USE ErrCode labels_decode(Str bytes, Arena *arena, LabelPairs *out, Error *err);
/* Pairs must be sorted by name and unique; empty values are skipped. */
void labels_encode(LabelPairs labels, Buf *out);
/* Sorts in place by name. */
void labels_sort(LabelPair *pairs, size_t count);
Str labels_get(LabelPairs labels, Str name); /* empty when absent */
/* Orders series: by __name__ first, then by all labels as byte strings. */
int labels_compare(LabelPairs a, LabelPairs b);

extern const Str LABEL_NAME; /* "__name__" */
