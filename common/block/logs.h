#pragma once
/*
 * logs.h: logs in immutable objects and in heads: what is written, selected and decoded.
 *
 * A stream's entries lie in pages in order of time. A page decodes by itself: it has its own
 * templates (constant text of lines, stored once) and typed columns of what varies, or the plain
 * lines where that is smaller; lines come back byte for byte. Filters beside the pages tell which
 * of them can hold a needle, so that a search fetches and decodes only those. Byte by byte:
 * docs/FORMATS.md#logs.
 */
#include "common/base/buf.h"
#include "common/batch/logs.h"
#include "common/block/block.h"

/* ---------- writing ---------- */

/* Entries of one stream, ascending by time; equal times in the order they are to be kept. */
typedef struct LogRows {
    const int64_t *times_ns;
    const Str *lines;
    const Str *metadata; /* canonical bytes; NULL: no entry has any */
    size_t count;
} LogRows;

/* One tenant's logs: after that tenant's metrics, if any (block.h: tenants in byte order). Streams
 * in labels_compare() order, each once; its rows in one or several calls, ascending over all. */
MUST_USE ErrCode block_logs_begin(BlockWriter *writer, Str tenant, Error *err);
MUST_USE ErrCode block_logs_stream(BlockWriter *writer, LabelPairs labels, Error *err);
MUST_USE ErrCode block_logs_rows(BlockWriter *writer, const LogRows *rows, Error *err);
MUST_USE ErrCode block_logs_end(BlockWriter *writer, Error *err);

/* A page that one stream has to itself, as it lies in an object. */
typedef struct LogWholePage {
    int64_t min_ns;
    int64_t max_ns;
    uint32_t count;
    uint32_t raw_bytes; /* of lines and metadata */
    Str bytes;
    Str filters[2]; /* the ids it may hold, by LogIdKind */
    bool literal;   /* known: no escape in its lines spells a character of an id */
} LogWholePage;
/* What entries weigh, of which a page has so many. */
static inline size_t log_weight(size_t count, size_t raw_bytes) {
    return raw_bytes + count * 16;
}
/* From this weight on a page is not worth being merged with others: what would be saved costs
 * more. */
enum { LOG_WHOLE_WEIGHT_MIN = 192 << 10 };
/* The page instead of its rows. What the stream has before it and is in no page yet gets one, so
 * see to it that this is nothing or at least LOG_WHOLE_WEIGHT_MIN. */
MUST_USE ErrCode block_logs_page(BlockWriter *writer, const LogWholePage *page, Error *err);
size_t block_logs_pending(const BlockWriter *writer); /* weight of the stream's rows in no page */

/* ---------- what a reader may leave out ---------- */

/* A line must contain one of these, or (negated) none of them. */
typedef struct LogNeedle {
    const Str *any;
    size_t count;
    bool fold_case; /* ASCII and Unicode simple folding don't matter; never with negated */
    bool negated;
} LogNeedle;

/* An entry must have this structured metadata (a label `name` of the stream doesn't count here). */
typedef struct LogMetadataNeedle {
    Str name;
    Str value;
} LogMetadataNeedle;

/* An entry must come to a label with one of these values. It is one of the stream, of structured
 * metadata, or a piece of the line: byte for byte as it stands there, but that what is no UTF-8 may
 * have become spaces, and with `escapes` that JSON's were undone. */
typedef struct LogValue {
    Str label;      /* empty: pages are chosen by it, but no entries */
    const Str *any; /* 1 or more, none of them empty */
    size_t count;
    bool escapes;
    /* It stands there as JSON and logfmt have values, unless it begins with a bracket: behind a
     * quote, `=`, `:` or space, and before one, `,`, `}`, `]`, a control byte or the line's end. */
    bool whole;
    /* With `whole`: letters and digits that its key ends with, which stands before it as JSON
     * (within quotes, before a colon) and logfmt (before `=`) have keys. Empty: any key. */
    Str key;
} LogValue;

/* Entries that can't meet all of these may be left out by who decodes; others come too, and whoever
 * asked looks at each. NULL or zeroed: all entries are wanted. */
typedef struct LogFilter {
    const LogNeedle *needles;
    size_t needle_count;
    const LogMetadataNeedle *metadata;
    size_t metadata_count;
    /* Who decodes takes it that no label of the stream has such a name. */
    const LogValue *values;
    size_t value_count;
} LogFilter;

/* ---------- selecting ---------- */

typedef enum LogPageKind {
    LOG_PAGE_HEAD = 1,  /* a head's own bytes, log_stream.h; in order of arrival */
    LOG_PAGE_BLOCK = 2, /* in a block; ascending by time */
} LogPageKind;

typedef struct LogPage {
    int64_t min_ns;
    int64_t max_ns;
    uint32_t count;
    uint32_t raw_bytes; /* of lines and metadata */
    uint8_t kind;       /* LogPageKind */
    bool in_order;      /* times ascend */
    /* No entry can meet `metadata` and `values` of the filter. It is there all the same: an entry
     * may be again in a page that overlaps, with other metadata, and this one comes first. */
    bool lacks;
    Str bytes;      /* LOG_PAGE_HEAD */
    uint32_t page;  /* LOG_PAGE_BLOCK: which page it is in its part... */
    uint32_t piece; /* ...and which stream's piece of that page */
} LogPage;

typedef struct SelectedStream {
    const uint32_t *pairs; /* indices into the selection's pairs, in order of label names */
    const LogPage *pages;  /* in order of time in blocks (min_ns ascends; they may touch) */
    uint32_t pair_count;
    uint32_t page_count;
} SelectedStream;

typedef struct LogSource LogSource; /* a block's part, pinned by the arena it was selected with */

typedef struct LogsSelection {
    const LabelPair *pairs;
    size_t pair_count;
    const SelectedStream *streams;
    size_t stream_count;
    const LogSource *source; /* of LOG_PAGE_BLOCK pages; NULL in heads */
    uint64_t cleared;        /* heads: delete requests up to this number are none of its business */
} LogsSelection;

typedef struct LogSelect {
    Str tenant;
    const Matcher *matchers;
    size_t matcher_count;
    int64_t min_ns; /* both inclusive */
    int64_t max_ns;
    /* Pages whose lines cannot hold the needles are left out; may be NULL. Here `metadata` may as
     * well be met by a label of the stream: LogPage.lacks. */
    const LogFilter *filter;
    bool labels_only; /* `pages` carry counts, bytes and times, and are not read */
} LogSelect;

/* Streams of one tenant that match all matchers and have pages in the range that may match; in
 * labels_compare() order. From cold two rounds of GETs deep (footer; index and filters). */
MUST_USE ErrCode block_logs_select(const Block *block, const LogSelect *select, Arena *arena,
                                   BlockStats *stats, LogsSelection *out, Error *err);
/* Without matchers: straight from the dictionaries. `name` empty: label names. Sorted. */
MUST_USE ErrCode block_logs_labels(const Block *block, Str tenant, Str name, Arena *arena,
                                   BlockStats *stats, Str **out, size_t *count, Error *err);

/* ---------- lines in parts ---------- */

typedef enum LogPartKind {
    LOG_PART_TEXT,
    LOG_PART_NUMBER, /* digits, maybe a point and more digits */
    LOG_PART_WORD,   /* one or more letters, digits and `.:,-` */
} LogPartKind;

typedef struct LogShapePart {
    uint32_t at; /* of constant text, in LogShape.text */
    uint32_t length;
    uint16_t slot; /* which variable of the line */
    uint8_t kind;  /* LogPartKind */
} LogShapePart;

/* Lines of one shape have the same constant text, and variables of the same kinds between. Shapes
 * are the decoder's and come back from page to page; they live as long as the LogView at least. */
typedef struct LogShape {
    const char *text;
    const LogShapePart *parts;
    uint32_t part_count;
    uint32_t slot_count;
    const uint8_t *slot_types; /* of each variable, type and parameter: the decoder's */
    /* A reader's note, valid while the stamp is the reader's own. */
    uint64_t note_stamp;
    const void *note;
    struct LogVerdict *verdict; /* the decoder's */
} LogShape;

static inline Str log_part_text(const LogShape *shape, const LogShapePart *part) {
    return (Str){shape->text + part->at, part->length};
}

/* A run of parts, with bytes left out at its ends where these are constant text. */
typedef struct LogSpan {
    uint32_t first; /* parts [first, end) */
    uint32_t end;
    uint32_t skip; /* bytes at the beginning of the first */
    uint32_t cut;  /* bytes at the end of the last */
} LogSpan;

/* A decoded page whose lines are not put together. */
typedef struct LogText LogText;
/* `row` is one of LogView.rows. The text is put together in `arena`. ERR_CORRUPT, ERR_LIMIT. */
MUST_USE ErrCode log_text_span(LogText *text, uint32_t row, const LogSpan *span, Arena *arena,
                               Str *out, Error *err);
MUST_USE ErrCode log_text_line(LogText *text, uint32_t row, Arena *arena, Str *out, Error *err);
MUST_USE ErrCode log_text_shape(LogText *text, uint32_t row, LogShape **out, Error *err);

/* ---------- decoding ---------- */

typedef enum LogColumns {
    LOG_TIMES = 1 << 0,
    LOG_LINES = 1 << 1,
    LOG_METADATA = 1 << 2,
    LOG_LENGTHS = 1 << 3, /* of lines, without the lines */
    LOG_PARTS = 1 << 4,   /* instead of LOG_LINES where the page has templates */
} LogColumns;

typedef struct LogView {
    const int64_t *times_ns;
    const Str *lines;        /* NULL unless asked for; without `exact` they are there */
    const Str *metadata;     /* canonical bytes; NULL unless asked for, or when no entry has any */
    const uint32_t *lengths; /* NULL unless asked for */
    LogText *text;           /* with LOG_PARTS, instead of lines; or NULL */
    const uint32_t *rows;    /* with `text`, of each entry */
    size_t count;
    bool exact; /* all needles of the filter hold of each entry */
} LogView;

/* One thread's memory for decoded pages. */
typedef struct LogDecoder LogDecoder;
LogDecoder *log_decoder_new(Budget *budget); /* NULL: out of memory */
void log_decoder_free(LogDecoder *decoder);
DEFINE_CLEANUP(LogDecoder, log_decoder_free)

/* Decodes what of a page lies in [min_ns, max_ns] and may pass the filter (may be NULL), ascending
 * by time, equal times in order of arrival. *out lives until the next call with this decoder.
 * `columns` is a set of LogColumns. ERR_CORRUPT; ERR_LIMIT: out of budget. */
MUST_USE ErrCode log_page_read(LogDecoder *decoder, const LogsSelection *selection,
                               const LogPage *page, const LogFilter *filter, unsigned columns,
                               int64_t min_ns, int64_t max_ns, LogView *out, Error *err);

/* Brings the pages of these into the cache, near ones in one GET, pinned by `arena`; reading one
 * that wasn't fetched so does a GET of its own. Pages of heads are passed over. */
MUST_USE ErrCode log_pages_fetch(const LogsSelection *selection, const LogPage *const *pages,
                                 size_t count, Arena *arena, BlockStats *stats, Error *err);

/* ---------- patterns ---------- */

/* The templates of a page's lines with how many lines each has, from the page's own dictionary:
 * text with `<_>` for each variable, as Loki's patterns are written. */
typedef struct LogPattern {
    Str text;
    uint64_t count;
} LogPattern;
MUST_USE ErrCode log_page_patterns(LogDecoder *decoder, const LogsSelection *selection,
                                   const LogPage *page, Arena *arena, LogPattern **out,
                                   size_t *count, Error *err);

/* The same for lines one by one: appends a line's template to `out`, in a form of its own; lines
 * with equal templates differ in numbers, ids, addresses and the like only. */
void log_line_template(Str line, Buf *out);
/* The same of a page's row, where it has templates; lives as long as the text, and rows with the
 * same one share its bytes. */
Str log_text_row_template(const LogText *text, uint32_t row);
/* Appends such a template as text, one `<_>` for variables that touch. */
void log_template_text(Str template, Buf *out);

/* ---------- merging ---------- */

/* One pass over a tenant's streams in order, page after page; reads ahead in large GETs, bypasses
 * the cache, holds a few pages at a time. */
typedef struct LogCursor LogCursor;
MUST_USE ErrCode log_cursor_open(Store *store, Str key, uint64_t size, Str tenant,
                                 size_t window_bytes, Arena *arena, LogCursor **out, Error *err);
enum { LOG_WINDOW_BYTES = 4 << 20 }; /* read at a time, where there is room for it */
/* The next stream, what is left of the last one skipped; *more false at the end. `labels` lives
 * until the next call of this. */
MUST_USE ErrCode log_cursor_stream(LogCursor *cursor, LabelPairs *labels, bool *more, Error *err);
/* The stream's next page, until the next call of either; *more false at the stream's end. */
MUST_USE ErrCode log_cursor_rows(LogCursor *cursor, LogRows *rows, bool *more, Error *err);
/* What log_cursor_rows() would give, but for bytes and filters; false at the stream's end. *whole:
 * log_cursor_page() can give it as it is. */
bool log_cursor_peek(const LogCursor *cursor, LogWholePage *out, bool *whole);
/* Instead of log_cursor_rows(), without decoding; lives as long. */
MUST_USE ErrCode log_cursor_page(LogCursor *cursor, LogWholePage *out, Error *err);
void log_cursor_skip(LogCursor *cursor);  /* instead of either, when there is a next page */
void log_cursor_close(LogCursor *cursor); /* NULL is fine */
