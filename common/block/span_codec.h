#pragma once
/*
 * span_codec.h: what columns of a page of spans are made of. Private to common/block. Bytes:
 * docs/FORMATS.md#traces.
 *
 * A column is a row of parts; a part is compressed by itself, where that pays. Each kind of value
 * has a function that puts, and one that takes what that has put and believes nothing.
 */
#include <zstd.h>

#include "common/base/buf.h"
#include "common/base/reader.h"
#include "common/block/span_build.h"

/* Never renumber. How codes, numbers below that of distinct values, are stored. */
typedef enum SpanCodesMode {
    SPAN_CODES_ONE = 0,    /* all are 0 */
    SPAN_CODES_COUNT = 1,  /* 0, 1, 2 and so on */
    SPAN_CODES_PACKED = 2, /* as many bits each as the largest may need */
    SPAN_CODES_BYTES = 3,
    SPAN_CODES_FRESH = 4, /* bits say which are one more than all before; the others packed */
} SpanCodesMode;

typedef enum SpanNumbersMode {
    SPAN_NUMBERS_PLAIN = 0, /* in chunks, as of metrics */
    SPAN_NUMBERS_CODES = 1, /* distinct ones, and codes */
} SpanNumbersMode;

typedef enum SpanOwnersMode {
    SPAN_OWNERS_BITS = 0, /* one each */
    SPAN_OWNERS_GAPS = 1,
} SpanOwnersMode;

/* ---------- putting ---------- */

typedef struct SpanPut {
    Buf *out;
    Buf raw; /* of the part at hand */
    Buf rest;
    ZSTD_CCtx *zstd;
    Arena *scratch;
    bool failed; /* out of memory, or over a limit */
} SpanPut;

/* Level 0: not worth trying. */
void span_put_part(SpanPut *put, Str raw, int level);
void span_put_ints(SpanPut *put, const int64_t *v, size_t count);
/* The same for times and durations, which often are whole micro- or milliseconds. */
void span_put_times(SpanPut *put, const int64_t *v, size_t count);
void span_put_doubles(SpanPut *put, const double *v, size_t count);
/* Numbers most of which are small. */
void span_put_small(SpanPut *put, const uint32_t *v, size_t count);
/* Numbers most of which are 0. */
void span_put_rare(SpanPut *put, const uint32_t *v, size_t count);
void span_put_bytes(SpanPut *put, const uint8_t *v, size_t count);
void span_put_truths(SpanPut *put, const uint8_t *v, size_t count);
void span_put_codes(SpanPut *put, const uint32_t *codes, size_t count, uint32_t distinct);
void span_put_dictionary(SpanPut *put, const Str *texts, uint32_t count);
void span_put_texts(SpanPut *put, const TextColumn *texts, size_t count);
/* Integers, or doubles' bits, of an attribute. */
void span_put_numbers(SpanPut *put, const int64_t *v, size_t count, bool doubles);
void span_put_owners(SpanPut *put, const uint32_t *owners, uint32_t count, uint32_t of);

/* ---------- taking ---------- */

typedef struct SpanTake {
    Reader r;
    Arena *arena; /* the table's */
    ErrCode code; /* what went wrong first; whatever is taken after that is of no use */
    const char *what;
} SpanTake;

/* All that take return NULL, or false, when something is wrong, and keep it in `code`. */
bool span_take_fail(SpanTake *take, ErrCode code, const char *what);
/* *raw may point into the column. */
bool span_take_part(SpanTake *take, Str *raw);
int64_t *span_take_ints(SpanTake *take, size_t count);
int64_t *span_take_times(SpanTake *take, size_t count);
double *span_take_doubles(SpanTake *take, size_t count);
uint32_t *span_take_small(SpanTake *take, size_t count);
/* *out NULL: all are 0. */
bool span_take_rare(SpanTake *take, size_t count, const uint32_t **out);
const uint8_t *span_take_bytes(SpanTake *take, size_t count);
const uint8_t *span_take_truths(SpanTake *take, size_t count);
uint32_t *span_take_codes(SpanTake *take, size_t count, uint32_t distinct);
const Str *span_take_dictionary(SpanTake *take, uint32_t *count);
bool span_take_texts(SpanTake *take, size_t count, TextColumn *out);
int64_t *span_take_numbers(SpanTake *take, size_t count, bool doubles);
uint32_t *span_take_owners(SpanTake *take, uint32_t of, uint32_t *count);
/* From how many each has, where each one's begin: count + 1 of them. `most`: what they may add up
 * to. */
uint32_t *span_take_starts(SpanTake *take, size_t count, uint32_t most);
