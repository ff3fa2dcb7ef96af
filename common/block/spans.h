#pragma once
/*
 * spans.h: traces in immutable objects and in heads: what is written, selected and decoded.
 *
 * Spans lie in pages of whole traces, traces in order of their first start, and within a trace in
 * an order in which every span stands before its children and beside its descendants. A page
 * decodes by itself and column by column: who asks for names pays for names. What queries work on
 * is a SpanTable: a page's columns in memory, made from a page of an object, from a head, or from
 * spans in full. Byte by byte: docs/FORMATS.md#traces.
 */
#include "common/base/buf.h"
#include "common/batch/spans.h"
#include "common/block/block.h"

/* ---------- columns in memory ---------- */

typedef enum AttributeScope {
    SCOPE_SPAN = 1,
    SCOPE_EVENT = 2,
    SCOPE_LINK = 3,
    SCOPE_RESOURCE = 4, /* not in columns, but in SpanTable.origins */
    SCOPE_INSTRUMENTATION = 5,
} AttributeScope;

/* Columns that are there when they were asked for; NULL or empty otherwise. */
typedef enum SpanColumns {
    SPAN_IDS = 1 << 0,
    SPAN_PARENT_IDS = 1 << 1,
    SPAN_STARTS = 1 << 2,
    SPAN_DURATIONS = 1 << 3,
    SPAN_NAMES = 1 << 4,
    SPAN_KINDS = 1 << 5,
    SPAN_STATUSES = 1 << 6,
    SPAN_MESSAGES = 1 << 7, /* of statuses */
    SPAN_PARENTS = 1 << 8,  /* rows of parents: `parents` and `rooted` */
    SPAN_ORIGINS = 1 << 9,
    SPAN_EVENTS = 1 << 10, /* which span has which, times and names */
    SPAN_LINKS = 1 << 11,
    SPAN_REST = 1 << 12, /* states, flags, numbers of what was dropped */
    SPAN_ALL = (1 << 13) - 1,
} SpanColumns;

/* Texts: of entry i dictionary[codes[i]]. No text is in a dictionary twice. */
typedef struct TextColumn {
    const uint32_t *codes;
    const Str *dictionary;
    uint32_t distinct;
} TextColumn;

/* The values of one type that one key has in one scope: several columns may have the same key. */
typedef struct AttributeColumn {
    Str key;
    uint8_t scope; /* SCOPE_SPAN, SCOPE_EVENT, SCOPE_LINK */
    uint8_t type;  /* AttributeType */
    uint32_t count;
    /* Which spans (rows), events or links have it, ascending; NULL: all of them, in order. */
    const uint32_t *owners;
    /* Arrays: the elements of entry i are values [starts[i], starts[i + 1]); NULL: one each. */
    const uint32_t *starts;
    union {
        TextColumn texts;        /* STRING, STRINGS, BYTES, OTHER */
        const uint8_t *truths;   /* BOOL, BOOLS */
        const int64_t *integers; /* INT, INTS */
        const double *numbers;   /* DOUBLE, DOUBLES */
    };
} AttributeColumn;

typedef struct TraceRow {
    TraceId id;
    uint32_t first; /* its spans are rows [first, first + count) */
    uint32_t count;
    int64_t start_ns; /* of its spans here */
    int64_t end_ns;
} TraceRow;

enum {
    SPAN_ROOT = UINT32_MAX,       /* of `parents`: the span says it has none */
    SPAN_ORPHAN = UINT32_MAX - 1, /* the parent isn't here, or the span is its own ancestor */
};

typedef struct SpanTable {
    /* Rows that no trace here has aren't there to be seen: whoever made the table took traces out.
     */
    const TraceRow *traces;
    uint32_t trace_count;
    uint32_t row_count;
    unsigned columns; /* SpanColumns that are there */

    /* Parents stand before their children, and all descendants of a row follow it without others
     * between. Siblings, and roots, stand in the order that Tempo numbers them in: as they were
     * sent, if all of the trace was in one request (Span.arrival), and otherwise by resource, by
     * scope, each by its first start, then by start, then by id. Orphans come after roots. */
    const uint32_t *parents; /* row, SPAN_ROOT or SPAN_ORPHAN */
    const uint32_t *ends;    /* the row behind the last descendant */
    const uint8_t *rooted;   /* 1: it hangs on a root */

    const uint64_t *ids;
    const uint64_t *parent_ids;
    const int64_t *starts_ns;
    const int64_t *durations_ns;
    const uint8_t *kinds;
    const uint8_t *statuses;
    TextColumn names;
    TextColumn messages;
    const uint32_t *origin_of; /* index of `origins` */
    const SpanOrigin *const *origins;
    uint32_t origin_count;

    const uint32_t *event_starts; /* of row r: events [event_starts[r], event_starts[r + 1]) */
    const int64_t *event_times_ns;
    TextColumn event_names;
    const uint32_t *event_dropped; /* attributes; NULL: none */
    uint32_t event_count;
    const uint32_t *link_starts;
    const TraceId *link_traces;
    const uint64_t *link_spans;
    TextColumn link_states;
    const uint32_t *link_flags; /* NULL: all 0; likewise below */
    const uint32_t *link_dropped;
    uint32_t link_count;

    TextColumn states; /* SPAN_REST */
    const uint32_t *flags;
    const uint32_t *dropped_attributes;
    const uint32_t *dropped_events;
    const uint32_t *dropped_links;

    /* By scope, key, type. */
    const AttributeColumn *attributes;
    uint32_t attribute_count;
} SpanTable;

/* The columns of a key, one for each type that it has; how many. */
uint32_t span_table_attribute(const SpanTable *table, AttributeScope scope, Str key,
                              const AttributeColumn **out);
/* Which entry of the column `owner` (a row, an event, a link) has; UINT32_MAX: none. */
uint32_t attribute_column_find(const AttributeColumn *column, uint32_t owner);

/* The columns of spans in full, any traces in any order; doubles (a trace's spans with equal id and
 * kind) once, the first. Texts are not copied. ERR_LIMIT: the arena. */
MUST_USE ErrCode span_table_build(const Span *spans, size_t count, Arena *arena, SpanTable *out,
                                  Error *err);
/* The other way, of one trace, in rows' order; all columns must be there. */
MUST_USE ErrCode span_table_spans(const SpanTable *table, const TraceRow *trace, Arena *arena,
                                  Span **out, Error *err);

/* ---------- writing ---------- */

/* One tenant's traces: after that tenant's metrics and logs, if any (block.h: tenants in byte
 * order). Tables of whole traces, no trace in two; all columns there; in order of time as far as
 * possible, as pages that overlap in time cost queries. */
MUST_USE ErrCode block_spans_begin(BlockWriter *writer, Str tenant, Error *err);
MUST_USE ErrCode block_spans_table(BlockWriter *writer, const SpanTable *table, Error *err);
/* What is no page yet becomes one, so that tables from now on may have traces that are in it: for
 * who could not wait for all of a trace. */
MUST_USE ErrCode block_spans_cut(BlockWriter *writer, Error *err);
MUST_USE ErrCode block_spans_end(BlockWriter *writer, Error *err);

/* ---------- selecting ---------- */

/* What a span, or for SCOPE_EVENT and SCOPE_LINK one of its events or links, must have. Hints: who
 * asks looks again at what comes. A condition with nothing but scope and key: it has the attribute.
 */
typedef enum SpanIntrinsic {
    INTRINSIC_NONE, /* an attribute: scope and key */
    INTRINSIC_NAME,
    INTRINSIC_KIND,
    INTRINSIC_STATUS,
    INTRINSIC_STATUS_MESSAGE,
    INTRINSIC_DURATION, /* ns */
    INTRINSIC_SERVICE,  /* resource service.name */
    INTRINSIC_EVENT_NAME,
    INTRINSIC_SCOPE_NAME,
    INTRINSIC_SCOPE_VERSION,
} SpanIntrinsic;

typedef struct SpanCondition {
    uint8_t intrinsic; /* SpanIntrinsic */
    uint8_t scope;     /* AttributeScope of an attribute; 0: any of span, event, link, resource,
                          instrumentation */
    uint8_t type;      /* AttributeType of a single element; 0: any. Of arrays, elements count */
    Str key;
    /* Texts: whether this one will do; NULL: any. Called from any thread. */
    bool (*text)(const void *context, Str text);
    const void *context;
    bool bounded; /* INT, DURATION, KIND, STATUS: integer_min to integer_max; DOUBLE: number_ */
    int64_t integer_min, integer_max;
    double number_min, number_max;
} SpanCondition;

/* One of these groups must be met, all conditions of a group by one span. */
typedef struct SpanConditions {
    const SpanCondition *items;
    size_t count;
} SpanConditions;

typedef struct AttributeKey {
    uint8_t scope; /* SCOPE_SPAN, SCOPE_EVENT, SCOPE_LINK */
    Str key;
} AttributeKey;

/* What of a page is decoded. */
typedef struct SpanNeed {
    unsigned columns; /* SpanColumns */
    const AttributeKey *keys;
    size_t key_count;
    bool all_keys;
} SpanNeed;

typedef struct SpanSource SpanSource; /* a block's part, pinned by the arena it was selected with */

typedef struct SpanPage {
    int64_t min_ns; /* first start, last end of its spans */
    int64_t max_ns;
    uint32_t spans;
    uint32_t traces;
    uint32_t bytes; /* stored */
    uint32_t page;  /* which of its part */
} SpanPage;

typedef struct SpanSelect {
    Str tenant;
    int64_t min_ns; /* both inclusive: traces that reach into it */
    int64_t max_ns;
    const SpanConditions *any; /* pages none of whose spans can meet any of these groups are left
                                * out; count 0: all are wanted */
    size_t any_count;
} SpanSelect;

typedef struct SpansSelection {
    const SpanSource *source;
    const SpanPage *pages; /* in order of min_ns */
    size_t page_count;
} SpansSelection;

/* From cold two rounds of GETs deep (footer; index). */
MUST_USE ErrCode block_spans_select(const Block *block, const SpanSelect *select, Arena *arena,
                                    BlockStats *stats, SpansSelection *out, Error *err);

/* The pages that have a trace; none, without a GET, when the filter beside the footer says that it
 * isn't here. */
MUST_USE ErrCode block_spans_find(const Block *block, Str tenant, const TraceId *trace,
                                  Arena *arena, BlockStats *stats, SpansSelection *out, Error *err);

/* Distinct names, values: from the index, no page is read. Each has at least one span in pages that
 * reach into [min_ns, max_ns] (inclusive). */
typedef struct SpanTag {
    uint8_t scope; /* AttributeScope */
    Str key;
} SpanTag;
MUST_USE ErrCode block_spans_tags(const Block *block, Str tenant, int64_t min_ns, int64_t max_ns,
                                  Arena *arena, BlockStats *stats, SpanTag **out, size_t *count,
                                  Error *err);
/* Values of an attribute (`intrinsic` NONE; scope 0: of all scopes) or of INTRINSIC_NAME, SERVICE,
 * STATUS_MESSAGE, EVENT_NAME, SCOPE_NAME, SCOPE_VERSION. *complete false: there are more than the
 * index keeps, and pages must be read. */
typedef struct SpanTagValue {
    uint8_t type;    /* of a single element */
    Str text;        /* as it is for texts */
    int64_t integer; /* INT, BOOL */
    double number;
} SpanTagValue;
MUST_USE ErrCode block_spans_tag_values(const Block *block, Str tenant, SpanIntrinsic intrinsic,
                                        AttributeScope scope, Str key, int64_t min_ns,
                                        int64_t max_ns, Arena *arena, BlockStats *stats,
                                        SpanTagValue **out, size_t *count, bool *complete,
                                        Error *err);

/* ---------- decoding ---------- */

/* Brings pages into the cache, near ones in one GET, pinned by `arena`: only the columns that are
 * needed where that saves enough. Reading one that wasn't fetched so does a GET of its own. */
MUST_USE ErrCode span_pages_fetch(const SpansSelection *selection, const SpanPage *const *pages,
                                  size_t count, const SpanNeed *need, Arena *arena,
                                  BlockStats *stats, Error *err);
/* `traces` of the table are always there. What it points to is the arena's, or is pinned by it or
 * by the one that the page was fetched with, which must live as long. From any thread, each with
 * its own arena. ERR_CORRUPT; ERR_LIMIT: the arena. */
MUST_USE ErrCode span_page_read(const SpansSelection *selection, const SpanPage *page,
                                const SpanNeed *need, Arena *arena, SpanTable *out, Error *err);
/* More columns of a table that span_page_read() made, in the same arena. */
MUST_USE ErrCode span_page_more(const SpansSelection *selection, const SpanPage *page,
                                const SpanNeed *need, Arena *arena, SpanTable *table, Error *err);

/* ---------- where traces are ---------- */

/* Of a trace's id, 40 bits: two traces of a million may share one. */
uint64_t span_trace_hash(const TraceId *trace);

typedef struct SpanTracePlace {
    uint64_t hash;
    uint32_t page; /* of its part. A trace is in one, but for some that are larger than a page */
} SpanTracePlace;

/* All traces that a block has, by hash, then page: what tells which of them lie elsewhere as well.
 * Two GETs at most, of 4 bytes a trace. */
MUST_USE ErrCode block_spans_places(const Block *block, Str tenant, Arena *arena, BlockStats *stats,
                                    SpanTracePlace **out, size_t *count, Error *err);

/* ---------- merging ---------- */

/* A tenant's pages in an object, for one pass over them: reads ahead in large GETs of
 * `window_bytes`, bypasses the cache. */
typedef struct SpanCursor SpanCursor;
MUST_USE ErrCode span_cursor_open(Store *store, Str key, uint64_t size, Str tenant,
                                  size_t window_bytes, Arena *arena, SpanCursor **out, Error *err);
enum { SPAN_WINDOW_BYTES = 4 << 20 }; /* where there is room for it */
/* In order of min_ns; pages[i].page is what the calls below go by. */
const SpanPage *span_cursor_pages(const SpanCursor *cursor, size_t *count);
/* Which traces are where: the next run of them, by hash, then page, over all calls; until the next
 * call. *count 0: that was all. Before pages are read, as both go through the same window. */
MUST_USE ErrCode span_cursor_places(SpanCursor *cursor, const SpanTracePlace **out, size_t *count,
                                    Error *err);
/* A page, all columns, in `arena`: nothing in it is the cursor's. */
MUST_USE ErrCode span_cursor_table(SpanCursor *cursor, uint32_t page, Arena *arena, SpanTable *out,
                                   Error *err);
/* A page as it lies in the object, with what its index says of it; until the next call of this or
 * of span_cursor_table(). */
typedef struct SpanWholePage SpanWholePage;
MUST_USE ErrCode span_cursor_page(SpanCursor *cursor, uint32_t page, const SpanWholePage **out,
                                  Error *err);
void span_cursor_close(SpanCursor *cursor); /* NULL is fine */

/* Such a page into another object, without being decoded. From this many spans on a page is not
 * worth being merged with others. */
enum { SPAN_WHOLE_ROWS_MIN = 4 << 10 };
MUST_USE ErrCode block_spans_page(BlockWriter *writer, const SpanWholePage *page, Error *err);
