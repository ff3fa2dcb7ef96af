#pragma once
/*
 * row_labels.h: the labels of one entry while stages work on them: those of the stream, of the
 * metadata, and what was parsed, which hides the others.
 */
#include "common/batch/labels.h"
#include "querier/logql/engine/eval.h"

enum {
    ROW_LABELS_MAX = 2048, /* of one entry and category; what is more is not made a label */
    ROW_ORDER_MAX = 48,
};

typedef enum RowCategory { ROW_STREAM, ROW_METADATA, ROW_PARSED, ROW_CATEGORIES } RowCategory;

/* Which labels a metric query looks at in the end: no others need be parsed. */
typedef struct RowHints {
    bool no_labels;
    const Str *required; /* none: all */
    size_t required_count;
    bool preserve_errors; /* they were asked for */
    /* Filters of one label each: a parser asks the first one of a name as soon as it knows it, and
     * the entry goes when that is not so, whatever later stages would make of the label. */
    const struct RowEarly *early;
    size_t early_count;
} RowHints;

typedef struct RowList {
    LabelPair *pairs;
    size_t count;
    size_t capacity;
    uint64_t mask; /* bits of the names: most that are not in the list are known by it */
} RowList;

typedef struct RowLabels {
    Arena *arena;   /* lives as long as the worker: lists */
    Arena *scratch; /* of one entry: texts that were made */
    const RowHints *hints;
    LabelPairs base;
    uint64_t base_mask;
    RowList add[ROW_CATEGORIES];
    RowList deleted;   /* names only */
    RowList extracted; /* names that parsers set; they count once */
    Str error;
    Str details;
    bool touched; /* anything but adding the metadata happened */
    bool refused; /* by an early filter: the entry goes */
    bool failed;  /* out of memory */
    /* Where each parsed label of the last entry went when they were sorted: entries of a stream
     * often have the same ones. */
    uint8_t order[ROW_ORDER_MAX];
    size_t order_count;
} RowLabels;

/* Another stream; its pairs stay where they are while its entries are looked at. */
void row_labels_stream(RowLabels *labels, LabelPairs base);
/* Another entry of it. */
void row_labels_begin(RowLabels *labels, LabelPairs metadata);
/* False: there is no such label. */
bool row_labels_get(RowLabels *labels, Str name, Str *value);
bool row_labels_base_has(const RowLabels *labels, Str name);
/* Bytes are borrowed: they live in the line, the query or `scratch`. */
void row_labels_set(RowLabels *labels, RowCategory category, Str name, Str value);
/* As a parser does: early filters are asked. */
void row_labels_parse(RowLabels *labels, Str name, Str value);
void row_labels_delete(RowLabels *labels, Str name);
void row_labels_fail(RowLabels *labels, Str error, Str details);

/* A parsed name, with _extracted behind it where the entry has it already. */
Str row_labels_parsed_name(RowLabels *labels, Str name);
/* False: nobody looks at a label of that name, nor at that with _extracted behind it. */
bool row_labels_may_want(const RowLabels *labels, Str name);
/* Whether a parser should set that name: not when it did, nor when nobody looks at it. */
bool row_labels_wants(const RowLabels *labels, Str name);
bool row_labels_wants_prefix(const RowLabels *labels, Str prefix);
/* Nothing (more) need be parsed. */
bool row_labels_enough(const RowLabels *labels);

/* All as they are now, by category and sorted by name; in `scratch`. */
typedef struct RowSorted {
    LabelPairs categories[ROW_CATEGORIES];
} RowSorted;
bool row_labels_sorted(RowLabels *labels, RowSorted *out);

#define ROW_ERROR STR("__error__")
#define ROW_ERROR_DETAILS STR("__error_details__")
#define ROW_PRESERVE STR("__preserve_error__")
