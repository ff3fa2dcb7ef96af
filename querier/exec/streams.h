#pragma once
/*
 * streams.h: what a log query reads from. A selector gives streams with their labels at once, and
 * *units*: pieces of one stream that are read on their own, by several threads at a time. A unit's
 * entries come in batches of columns, decoded into scratch memory of the thread that reads it, so
 * that a query never holds more than a page per thread, and who stops reading early pays for no
 * more than what was read.
 *
 * querier/fetch/ fills this from blocks and heads; tests fill it from literals.
 */
#include "common/batch/labels.h"
#include "common/block/logs.h"
#include "querier/exec/series.h"

/* What a query read, for its statistics; added up by source and engine from any thread. */
typedef struct StreamStats {
    /* the source's */
    _Atomic uint64_t units;            /* opened */
    _Atomic uint64_t chunks;           /* pages looked at, in objects */
    _Atomic uint64_t chunks_skipped;   /* pages that could not match and were left alone */
    _Atomic uint64_t compressed_bytes; /* of pages that were decoded */
    _Atomic uint64_t decompressed_bytes;
    _Atomic uint64_t head_entries; /* from ingesters, not from objects */
    _Atomic uint64_t head_bytes;
    _Atomic uint64_t duplicates;
    /* the engine's */
    _Atomic uint64_t entries; /* that a pipeline looked at */
    _Atomic uint64_t line_bytes;
    _Atomic uint64_t metadata_bytes;
    _Atomic uint64_t entries_kept; /* by the pipeline */
} StreamStats;

/* What of an entry is looked at beside its time. What isn't needed may be delivered or not. */
enum {
    STREAM_NEED_LINES = 1,
    STREAM_NEED_LENGTHS = 2,  /* of lines: bytes_rate() and the like */
    STREAM_NEED_METADATA = 4, /* structured metadata */
    STREAM_NEED_PARTS = 8,    /* where lines are needed: StreamBatch.text instead will do */
};

/* A line must contain one of `any` (negated: none of them), byte for byte. */
typedef struct StreamNeedle {
    const Str *any; /* 1 or more */
    size_t count;
    bool negated;
    bool fold; /* ASCII letters in either case; never with negated */
} StreamNeedle;

typedef struct StreamSelect {
    const Matcher *matchers; /* of stream labels */
    size_t matcher_count;
    int64_t min_ns;   /* inclusive */
    int64_t max_ns;   /* exclusive */
    bool backward;    /* newest first */
    bool labels_only; /* nobody will open a unit: for series and label queries */
    /* With labels_only: units count what delete requests leave of them; pages are read for that,
     * as long as they are not many. */
    bool count_kept;
    unsigned need;
    uint64_t limit; /* about how many entries will be read before the query stops; 0: all of them */

    /* Hints to read less. All must hold of an entry that the query can keep, and a source may leave
     * out others. `needles` with `needles_exact`: they are the whole of the line filters, and where
     * a batch says that they are done, nobody looks for them again. A source that doesn't do them
     * delivers lines, needed or not. */
    const StreamNeedle *needles;
    size_t needle_count;
    bool needles_exact;
    /* Of labels of the stream or, where it hasn't that label, of structured metadata. */
    const Matcher *fields;
    size_t field_count;
    /* Of labels, wherever they come from: parsers made them of the lines, maybe. */
    const LogValue *values;
    size_t value_count;
    /* The only names of metadata that are looked at; NULL: any of them. */
    const Str *metadata_names;
    size_t metadata_name_count;

    StreamStats *stats; /* borrowed; NULL: nobody wants them */
} StreamSelect;

/* Entries of one unit, in the order asked for: times never go the other way. */
typedef struct StreamBatch {
    size_t count;
    const int64_t *times;    /* ns */
    const Str *lines;        /* NULL unless needed or needles are undone */
    const uint32_t *lengths; /* with STREAM_NEED_LENGTHS; NULL: the lines have them */
    /* Instead of lines, with STREAM_NEED_PARTS: a page whose lines nobody put together yet, and
     * which of its rows each entry is. */
    LogText *text;
    const uint32_t *rows;
    uint64_t text_bytes; /* of lines that are not there, about */
    /* Per entry; NULL: no entry has any. Names are sorted, unique and not empty; bytes may be any.
     * Entries with the very same metadata may share their `pairs`, and readers count on seeing
     * that by the pointer. */
    const LabelPairs *metadata;
    bool needles_done; /* all of StreamSelect.needles hold of every entry here */
} StreamBatch;

/* Memory a thread decodes into, reused from unit to unit. */
typedef struct StreamScratch StreamScratch;

typedef struct StreamUnit {
    uint32_t stream; /* index of StreamSet.labels */
    int64_t min_ns;  /* both inclusive: every entry lies between, within what was selected */
    int64_t max_ns;
    uint64_t entries; /* about how many, for planning: 0 when not known */
    uint64_t bytes;
} StreamUnit;

typedef struct StreamReader StreamReader;
typedef struct StreamSet StreamSet;

/* The result of a select. Streams are in no order, no label set is there twice, and each has at
 * least one unit (unless labels_only); units of one stream don't overlap in time, and no entry
 * (stream, time, line) is there twice. */
struct StreamSet {
    const LabelSet *labels;
    size_t count;
    const StreamUnit *units; /* in no order */
    size_t unit_count;

    /* One per reading thread. NULL: out of memory. */
    StreamScratch *(*scratch_new)(const StreamSet *set, QueryContext *query);
    void (*scratch_free)(StreamScratch *scratch); /* NULL is fine */
    /* What will be read soon, in this order: a source may fetch it together. May be NULL. Before
     * the first is opened, from the query's own thread. */
    ErrCode (*prefetch)(const StreamSet *set, const uint32_t *units, size_t count, Error *err);
    /* Begins unit `unit`; one at a time per scratch: the reader is gone with the next open. Safe
     * from several threads, each with its own scratch. */
    ErrCode (*open)(const StreamSet *set, uint32_t unit, StreamScratch *scratch, StreamReader **out,
                    Error *err);
    /* The next batch, of 1 entry to some thousands; count 0: the unit is at its end. What it
     * points to lives until the next call with this scratch. ERR_CANCELLED and ERR_TIMEOUT as
     * query_check() has them. */
    ErrCode (*next)(StreamReader *reader, StreamBatch *out, Error *err);
    void *context;
};

/* A tenant's logs, whatever they lie in. */
typedef struct StreamSource StreamSource;
struct StreamSource {
    MUST_USE ErrCode (*select)(StreamSource *source, QueryContext *query,
                               const StreamSelect *request, StreamSet *out, Error *err);
    /* Distinct label names, or values of one label (`name` given), of streams that match any of
     * the requests (none: all) in the range. Sorted, in the query's arena. */
    MUST_USE ErrCode (*labels)(StreamSource *source, QueryContext *query, Str name,
                               const StreamSelect *requests, size_t request_count, Str **out,
                               size_t *out_count, Error *err);
    void *context;
};
