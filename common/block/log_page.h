#pragma once
/*
 * log_page.h: entries in a page and back. Private to common/block. Bytes: docs/FORMATS.md#logs.
 *
 * A page is a directory and columns, each compressed by itself where that pays, so that who wants
 * times touches no lines. The container stores it as it is.
 */
#include <zstd.h>

#include "common/base/buf.h"
#include "common/base/reader.h"
#include "common/block/logs.h"

enum {
    LOG_PAGE_CODEC = 1,
    LOG_PAGE_RAW_BYTES = 512 << 10, /* of entries, when a page is full; one entry may be more */
    LOG_ROW_BYTES = 16,             /* what an entry counts besides its bytes */
    LOG_COLUMN_RAW_MAX = 24 << 20,  /* nothing larger is believed */
    LOG_COLUMNS_MAX = 8192,
};

/* Never renumber. */
typedef enum LogColumnKind {
    LOG_COLUMN_TIMES = 1,
    LOG_COLUMN_LENGTHS = 2, /* of lines */
    LOG_COLUMN_LINES = 3,   /* one behind the other */
    LOG_COLUMN_METADATA_LENGTHS = 4,
    LOG_COLUMN_METADATA = 5,
} LogColumnKind;

/* ---------- writing ---------- */

typedef struct LogEncoder LogEncoder;
LogEncoder *log_encoder_new(void); /* NULL: out of memory */
void log_encoder_free(LogEncoder *encoder);
/* Replaces what `out` holds by a page of 1 to UINT32_MAX rows, in any order of times. False: out of
 * memory. */
MUST_USE bool log_page_encode(LogEncoder *encoder, const LogRows *rows, Buf *out);

/* ---------- reading ---------- */

struct LogDecoder {
    Arena *arena; /* of the page at hand */
    ZSTD_DCtx *zstd;
    struct CacheEntry *pinned; /* what the page at hand lies in, or NULL */
};

/* What is wanted of a page. */
typedef struct LogPageRead {
    uint32_t rows;  /* that the index says the page has */
    uint32_t first; /* the piece's */
    uint32_t count;
    const LogFilter *filter; /* may be NULL */
    unsigned columns;
    int64_t min_ns;
    int64_t max_ns;
    bool any_order; /* rows of many pieces: times don't ascend */
} LogPageRead;
/* Everything in decoder->arena, or in `page`. */
MUST_USE ErrCode log_page_decode(LogDecoder *decoder, Str page, const LogPageRead *read,
                                 LogView *out, Error *err);
/* The same of a head's bytes; of `read` the range and the columns count. Lines are in `bytes`. */
MUST_USE ErrCode log_head_decode(LogDecoder *decoder, Str bytes, uint32_t count,
                                 const LogPageRead *read, LogView *out, Error *err);
