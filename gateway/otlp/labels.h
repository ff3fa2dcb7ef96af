#pragma once
/*
 * labels.h: the labels of a data point in the making: attributes with names made fit, sorted and
 * merged as Prometheus' OTLP endpoint does it, and what comes from the resource and the scope.
 *
 * Pairs point into the request or the arena. Not thread-safe.
 */
#include "common/batch/labels.h"
#include "gateway/otlp/settings.h"
#include "gateway/otlp/value.h"

enum { OTLP_ATTRIBUTES_MAX = 512, OTLP_NAME_CACHE = 256 };

typedef struct OtlpNamed {
    Str from;
    Str to;
} OtlpNamed;

typedef struct OtlpLabels {
    Arena *arena;
    const OtlpSettings *settings;
    LabelPair *pairs; /* no name twice, no value empty; in any order */
    size_t count, capacity;
    LabelPair *sorting; /* scratch: attributes before they have their names */
    OtlpNamed *named;   /* names seen before: the same few come with every point */
} OtlpLabels;

/* ERR_LIMIT: `arena` is used up. */
MUST_USE ErrCode otlp_labels_init(OtlpLabels *labels, const OtlpSettings *settings, Arena *arena,
                                  Error *err);
static inline void otlp_labels_clear(OtlpLabels *labels) {
    labels->count = 0;
}

/* True: `key` is left out. */
typedef bool (*OtlpSkip)(const OtlpSettings *settings, Str key);

/* Adds the attributes in field `number` of the message that `r` reads. Names that fall together
 * have their values joined by ';', in the order of the names as sent. ERR_CORRUPT: not protobuf.
 * ERR_INVALID: too many, or a name that nothing is left of. ERR_LIMIT: out of memory. */
MUST_USE ErrCode otlp_labels_add(OtlpLabels *labels, WireReader r, uint32_t number, OtlpSkip skip,
                                 Error *err);
/* Sets one label whose name is fit already. An empty value takes it away. */
MUST_USE ErrCode otlp_labels_set(OtlpLabels *labels, Str name, Str value, Error *err);
/* The same where it isn't there yet. */
MUST_USE ErrCode otlp_labels_default(OtlpLabels *labels, Str name, Str value, Error *err);
Str otlp_labels_get(const OtlpLabels *labels, Str name); /* empty: it isn't there */
/* otlp_label_name(), remembered. */
MUST_USE ErrCode otlp_labels_name(OtlpLabels *labels, Str key, Str *out, Error *err);
