#pragma once
/*
 * log_filter.h: which pages can hold an id. Private to common/block. Bytes: docs/FORMATS.md#logs.
 *
 * Two kinds of ids are known by their shape alone, whatever stands around them, so that what a
 * needle holds of them is in every line that holds the needle: 36 bytes that look like a UUID, and
 * runs of 32 or more hex digits. Of a run, each 17 neighbouring strings of 16 digits are
 * represented by the one whose hash is least: a needle of 32 digits has at least one of those that
 * the longer run around it has. Upper and lower case are the same.
 */
#include "common/base/buf.h"
#include "common/base/error.h"

typedef enum LogIdKind { LOG_ID_UUID, LOG_ID_HEX, LOG_ID_KINDS } LogIdKind;

/* Hashes of ids; on the heap. */
typedef struct LogKeys {
    uint64_t *keys;
    size_t count;
    size_t capacity;
    bool failed; /* out of memory */
} LogKeys;
void log_keys_done(LogKeys *keys);
/* Adds what `text` holds to keys[LOG_ID_KINDS]. */
void log_keys_collect(Str text, LogKeys *keys);
/* Adds all of `from`'s, of one kind. */
void log_keys_add(LogKeys *keys, const LogKeys *from);

/* Whether an escape in the text spells a character that ids are made of, as JSON writes them:
 * \u0037 is a 7. A value that is read from such a text may have an id that is not collected. */
bool log_spells_id(Str text);

/* Collects the filters of all pages, of one kind. */
typedef struct LogFilterBuilder {
    Buf lengths;
    Buf bits;
    size_t pages;
} LogFilterBuilder;
/* One page's filter of these keys, which are emptied. False: out of memory. */
MUST_USE bool log_filter_add(LogFilterBuilder *builder, LogKeys *keys);
/* A page's filter as it was built before; empty: the page holds no such id. */
MUST_USE bool log_filter_copy(LogFilterBuilder *builder, Str bits);
void log_filters_build(const LogFilterBuilder *builder, Buf *out);

typedef struct LogFilters {
    const uint8_t *bits;
    const uint64_t *start; /* of each page's, page_count + 1 */
    uint32_t page_count;
} LogFilters;
/* `raw` must live as long as *out. */
MUST_USE ErrCode log_filters_decode(Str raw, Arena *arena, LogFilters *out, Error *err);
bool log_filters_may_hold(const LogFilters *filters, uint32_t page, uint64_t key);

/* A bit per page: whether it is known that no line of it spells characters of ids. Pages that were
 * written before anybody looked have none. */
typedef struct LogLiteralBuilder {
    Buf bits;
    size_t pages;
} LogLiteralBuilder;
MUST_USE bool log_literal_add(LogLiteralBuilder *builder, bool literal); /* false: out of memory */
void log_literal_build(const LogLiteralBuilder *builder, Buf *out);

typedef struct LogLiteral {
    const uint8_t *bits;
    uint32_t page_count;
} LogLiteral;
/* `raw` must live as long as *out. */
MUST_USE ErrCode log_literal_decode(Str raw, LogLiteral *out, Error *err);
static inline bool log_literal_has(const LogLiteral *literal, uint32_t page) {
    return page < literal->page_count && (literal->bits[page / 8] >> page % 8 & 1) != 0;
}
