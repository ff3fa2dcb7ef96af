#pragma once
/*
 * span_page.h: a table of spans in bytes and back. Private to common/block. Bytes:
 * docs/FORMATS.md#traces.
 *
 * A page is a directory and columns, each compressed and checked by itself, so that who wants names
 * reads nothing else: neither of the page at hand nor of the object, when the index has kept a copy
 * of the directory. The container stores pages as they are (PAGE_PLAIN).
 *
 * What an index wants of a page (ids, names, keys and values) it takes from the table that the page
 * was made of: after span_table_join() that has nothing else in it.
 */
#include "common/block/span_table.h"

enum {
    SPAN_PAGE_CODEC = 1,
    SPAN_PAGE_ROWS = 8 << 10,       /* of a full page; a trace may make it more */
    SPAN_PAGE_ROWS_MAX = 1 << 18,   /* nothing more is written, or believed */
    SPAN_PAGE_BYTES_MAX = 30 << 20, /* likewise; less than the container's PAGE_RAW_MAX */
    SPAN_PAGE_EVENTS_MAX = 1 << 22, /* likewise; of links as well */
    SPAN_ELEMENTS_MAX = 1 << 25,    /* likewise; of an attribute's arrays together */
    SPAN_PART_RAW_MAX = 128 << 20,  /* likewise; of one part of a column */
};

/* Never renumber. */
typedef enum SpanColumnKind {
    SPAN_COLUMN_TRACES = 1, /* ids, rows, starts and ends */
    SPAN_COLUMN_TREE = 2,   /* rows of parents */
    SPAN_COLUMN_STARTS = 3,
    SPAN_COLUMN_DURATIONS = 4,
    SPAN_COLUMN_ORIGIN_OF = 5,
    SPAN_COLUMN_ORIGINS = 6,
    SPAN_COLUMN_STATUSES = 7,
    SPAN_COLUMN_KINDS = 8,
    SPAN_COLUMN_NAME_OF = 9,
    SPAN_COLUMN_NAMES = 10,
    SPAN_COLUMN_MESSAGES = 11,
    SPAN_COLUMN_ATTRIBUTE = 12,
    SPAN_COLUMN_EVENTS = 13,
    SPAN_COLUMN_LINKS = 14,
    SPAN_COLUMN_REST = 15,
    SPAN_COLUMN_IDS = 16,
    SPAN_COLUMN_PARENT_IDS = 17, /* of those whose parents aren't here */
    SPAN_COLUMN_OWNERS = 18,     /* which spans, events or links have some attributes */
} SpanColumnKind;

/* ---------- writing ---------- */

typedef struct SpanPageEncoder SpanPageEncoder;
SpanPageEncoder *span_page_encoder_new(void); /* NULL: out of memory */
void span_page_encoder_free(SpanPageEncoder *encoder);
DEFINE_CLEANUP(SpanPageEncoder, span_page_encoder_free)

/* Replaces what `page` holds by a page of all of a table, which is one that span_table_build(),
 * span_table_join() or reading a page in full has made, with one trace or more. The first
 * *directory_bytes of it are the directory, of which an index may keep a copy. ERR_LIMIT: more than
 * SPAN_PAGE_ROWS_MAX rows or SPAN_PAGE_BYTES_MAX bytes, and who sees this makes two pages of it, of
 * half of the traces each, or, of a single trace, by span_table_spans() and span_table_build() of
 * each half. Or out of memory. */
MUST_USE ErrCode span_page_encode(SpanPageEncoder *encoder, const SpanTable *table, Buf *page,
                                  uint32_t *directory_bytes, Error *err);

/* ---------- reading ---------- */

#define SPAN_OWNERS_ALL UINT32_MAX

typedef struct SpanColumn {
    uint8_t kind;    /* SpanColumnKind */
    uint8_t scope;   /* of an attribute; likewise below */
    uint8_t type;    /* AttributeType */
    Str key;         /* in the directory's bytes */
    uint32_t offset; /* from the page's beginning: columns lie side by side, in this order */
    uint32_t stored;
    uint32_t checksum;
    /* Of owners: the attributes whose they are. */
    const struct SpanColumn *const *users;
    uint32_t user_count;
    uint32_t owners; /* of an attribute: which column; SPAN_OWNERS_ALL: every span and so on */
    /* `stored` bytes; NULL: not fetched yet. Set by span_directory_attach(), or by whoever fetched
     * them. */
    const char *bytes;
} SpanColumn;

typedef struct SpanDirectory {
    SpanColumn *columns;
    uint32_t count;
    uint32_t rows;
    uint32_t traces;
    uint32_t events;
    uint32_t links;
    uint32_t bytes;      /* of the directory */
    uint32_t page_bytes; /* of all */
} SpanDirectory;

/* What a page, or an index's copy, begins with; there may be more behind it. `bytes` must live as
 * long as *out. ERR_CORRUPT, ERR_UNSUPPORTED; ERR_LIMIT: the arena. */
MUST_USE ErrCode span_directory_decode(Str bytes, Arena *arena, SpanDirectory *out, Error *err);
/* A whole page is at hand. ERR_CORRUPT: it isn't of the directory's size. */
MUST_USE ErrCode span_directory_attach(SpanDirectory *directory, Str page, Error *err);
/* Is this column decoded for `need`? Of these, `bytes` must be there. */
bool span_column_needed(const SpanColumn *column, const SpanNeed *need);
/* SpanColumns, with those that they are made of. */
unsigned span_columns_with(unsigned columns);

/* Puts what is needed and not there yet into the table: one of zeros (nothing is there but what is
 * needed, and traces) or one that the same page and arena have made before. Checks each column it
 * looks at: its checksum, and whatever it says. The table points into columns' bytes, the
 * directory, and the arena. ERR_INTERNAL: a column wasn't fetched. ERR_CORRUPT; ERR_LIMIT: the
 * arena. From any thread. */
MUST_USE ErrCode span_page_decode(const SpanDirectory *directory, const SpanNeed *need,
                                  Arena *arena, SpanTable *table, Error *err);

/* One trace alone with all its columns, into a table of zeros. All
 * columns must be there. Costs less than the page does. *found false: it isn't in this page. */
MUST_USE ErrCode span_page_decode_trace(const SpanDirectory *directory, const TraceId *trace,
                                        Arena *arena, SpanTable *table, bool *found, Error *err);
