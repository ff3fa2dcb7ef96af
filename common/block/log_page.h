#pragma once
/*
 * log_page.h: entries in a page and back. Private to common/block. Bytes: docs/FORMATS.md#logs.
 *
 * A page is a directory and columns, each compressed by itself where that pays, so that who wants
 * times touches no lines. The container stores it as it is.
 */
#include <zstd.h>

#include "common/base/buf.h"
#include "common/base/hash.h"
#include "common/base/reader.h"
#include "common/block/logs.h"

enum {
    LOG_PAGE_CODEC = 1,
    LOG_PAGE_RAW_BYTES = 512 << 10, /* of entries, when a page is full; one entry may be more */
    LOG_ROW_BYTES = 16,             /* what an entry counts besides its bytes */
    LOG_COLUMN_RAW_MAX = 24 << 20,  /* nothing larger is believed */
    LOG_COLUMNS_MAX = 8192,
    LOG_PAGE_ROWS_MAX = 64 << 10,
};

/* Never renumber. */
typedef enum LogColumnKind {
    LOG_COLUMN_TIMES = 1,
    LOG_COLUMN_LENGTHS = 2, /* of lines */
    LOG_COLUMN_LINES = 3,   /* one behind the other */
    LOG_COLUMN_METADATA_LENGTHS = 4,
    LOG_COLUMN_METADATA = 5,
    /* In the place of lengths and text; of metadata 8 more. */
    LOG_COLUMN_TEMPLATES = 16,
    LOG_COLUMN_TEMPLATE_OF = 17, /* by entry */
    LOG_COLUMN_VARIABLE = 18,    /* one of each, in order of their numbers */
} LogColumnKind;
enum { LOG_COLUMN_OF_METADATA = 8 };

/* What a column of variables begins with: type, parameter, one of these, how many there are. */
typedef enum LogVarCodec {
    LOG_VAR_CODEC_INTS = 1,
    LOG_VAR_CODEC_BYTES = 2, /* as many each as the type says */
    LOG_VAR_CODEC_FEW = 3,   /* distinct integers, then a byte each that says which */
    LOG_VAR_CODEC_WORDS = 4, /* a byte for each length, then the words */
} LogVarCodec;

/* ---------- writing ---------- */

/* log_text_write.c: one page's lines in templates. */
typedef struct LogTemplater LogTemplater;
LogTemplater *log_templater_new(void); /* NULL: out of memory */
void log_templater_free(LogTemplater *templater);
/* Takes the lines apart. False: not worth it, or out of memory. */
MUST_USE bool log_templater_fill(LogTemplater *templater, const Str *lines, const int64_t *times_ns,
                                 size_t count);
/* Hands out one column after the other, with the level to compress it at (0: not at all). False: no
 * more. `column` is empty before. */
MUST_USE bool log_templater_next(LogTemplater *templater, Buf *column, uint8_t *kind, int *level);
/* Integers in chunks: the bytes of each, then all of them. */
void log_ints_put(const int64_t *v, size_t count, Buf *out);

typedef struct LogEncoder LogEncoder;
LogEncoder *log_encoder_new(void); /* NULL: out of memory */
void log_encoder_free(LogEncoder *encoder);
/* Replaces what `out` holds by a page of 1 to LOG_PAGE_ROWS_MAX rows, in any order of times. False:
 * out of memory. */
MUST_USE bool log_page_encode(LogEncoder *encoder, const LogRows *rows, Buf *out);

/* ---------- reading ---------- */

typedef struct LogColumn {
    Str stored;
    uint32_t raw;
    uint8_t kind;
} LogColumn;

typedef struct LogPageColumns {
    const LogColumn *columns;
    size_t count;
    uint32_t rows;
} LogPageColumns;

/* The rows that are wanted, by number in the page, ascending. */
typedef struct LogPicked {
    uint32_t *rows; /* NULL: all of [first, first + count) */
    uint32_t first;
    uint32_t count;
} LogPicked;
static inline uint32_t log_picked_row(const LogPicked *p, uint32_t i) {
    return p->rows == NULL ? p->first + i : p->rows[i];
}

struct LogDecoder {
    Arena *arena; /* of the page at hand */
    ZSTD_DCtx *zstd;
    struct LogShapes *shapes; /* log_shape.h */
    struct LogJudge *judge;   /* log_judge.h: of lines */
    struct LogJudge *metadata_judge;
    /* All of a page that small streams share, which come one after the other. */
    Arena *shared_arena;
    LogView shared;
    Hash128 shared_block;
    uint32_t shared_part;
    uint32_t shared_page;
    unsigned shared_columns; /* 0: there is none */
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

/* ---------- columns ---------- */

ErrCode log_page_corrupt(Error *err, const char *what);
ErrCode log_page_no_memory(Error *err);
MUST_USE ErrCode log_page_open(LogDecoder *decoder, Str bytes, uint32_t rows, LogPageColumns *out,
                               Error *err);
const LogColumn *log_column_find(const LogPageColumns *page, unsigned kind); /* NULL: none */
MUST_USE ErrCode log_column_inflate(LogDecoder *decoder, const LogColumn *column, Str *raw,
                                    Error *err);
/* Takes integers [first, first + count) of `rows` off `r`; others' chunks are passed over. */
MUST_USE ErrCode log_ints_take(LogDecoder *decoder, Reader *r, uint32_t rows, uint32_t first,
                               uint32_t count, int64_t **out, Error *err);

/* ---------- templates ---------- */

typedef struct LogTemplate {
    Str text;
    uint32_t first_slot; /* of its variables, in LogText.slots */
    uint32_t slot_count;
    LogShape *shape; /* NULL: nobody asked yet; log_text_shape_of() */
    bool has_marks;  /* constant text with LOG_MARK in it */
} LogTemplate;

/* A variable of a template. */
typedef struct LogSlot {
    uint32_t at; /* of its mark, in the template's text */
    uint16_t column;
    uint8_t type;
    uint8_t param;
    uint8_t before; /* variables of the column in the template before this one */
} LogSlot;

/* A column of variables. */
typedef struct LogVarData {
    const LogColumn *column;
    bool ready;
    uint8_t type;
    uint8_t param;
    uint32_t count;
    const int64_t *ints;   /* of integers */
    const uint8_t *bytes;  /* of the others */
    const uint32_t *start; /* of words: count + 1 */
    const uint32_t
        *before;          /* by row: variables of the column in rows before it; NULL: not counted */
    const uint8_t **hits; /* by text of a filter: log_text_match.c */
} LogVarData;

struct LogText {
    LogDecoder *decoder;
    Str all_text; /* of all templates, one behind the other */
    LogTemplate *templates;
    uint32_t template_count;
    uint32_t rows;
    const uint8_t *low; /* template of each row: low bytes, high bytes or NULL */
    const uint8_t *high;
    LogVarData *vars;
    uint32_t var_count;
    uint32_t slot_count;
    const LogSlot *slots;      /* of all templates */
    const uint32_t *use_start; /* column c is used by uses[start[c], start[c + 1]) */
    const uint32_t *uses;      /* template << 8 | which of its variables */
    /* Of rows, from times_first on: clocks are less by those. */
    const int64_t *times;
    uint32_t times_first;
};
static inline uint32_t log_text_template(const LogText *text, uint32_t row) {
    return text->low[row] | (text->high == NULL ? 0u : (uint32_t)text->high[row] << 8);
}
/* log_text_read.c: `add` is 0 for lines, LOG_COLUMN_OF_METADATA. *found is false when there are no
 * templates. `times[row - times_first]` for rows that will be looked at. */
MUST_USE ErrCode log_text_open(LogDecoder *decoder, const LogPageColumns *page, unsigned add,
                               const int64_t *times, uint32_t times_first, LogText *out,
                               bool *found, Error *err);
/* The shape of a template, over pages. */
MUST_USE ErrCode log_text_shape_of(LogText *text, LogTemplate *template, LogShape **out,
                                   Error *err);
/* Decodes a column and counts its variables: `before` of it may be asked then. */
MUST_USE ErrCode log_text_need(LogText *text, uint32_t column, Error *err);
MUST_USE ErrCode log_text_patterns(const LogText *text, uint32_t first, uint32_t count,
                                   Arena *arena, LogPattern **out, size_t *out_count, Error *err);

/* log_text_lines.c: `lines` or `lengths` may be NULL. */
MUST_USE ErrCode log_text_rows(LogText *text, const LogPicked *picked, Str *lines,
                               uint32_t *lengths, Error *err);
enum { LOG_VAR_TEXT_MAX = 256 };
/* The bytes of variable i, at most LOG_VAR_TEXT_MAX of them; behind the last one. */
char *log_var_put(char *out, const LogVarData *v, uint32_t i, int64_t time_ns);

/* log_judge.c: of several that look at the same shapes, each counts from a `first` of its own.
 * NULL: out of memory. */
struct LogJudge *log_judge_new(Budget *budget, uint64_t first);
void log_judge_free(struct LogJudge *judge); /* NULL is fine */
/* log_text_match.c: leaves rows out that don't pass the filter's needles, or can't have its values
 * from the line. *exact: all that are left pass the needles. */
MUST_USE ErrCode log_text_pick(LogText *text, const LogFilter *filter, LogPicked *picked,
                               bool *exact, Error *err);
/* Whether the texts, of metadata, may have one of these, whatever the row. */
MUST_USE ErrCode log_text_may_hold(LogText *text, const LogNeedle *any, bool *may, Error *err);
