#pragma once
/*
 * streams.h: what streams.c (select) and stream_read.c (units) share. Private to fetch/.
 */
#include "querier/fetch/internal.h"

/* Delete requests that are about a stream's entries in one place. */
typedef struct PageCuts {
    LogCut *const *items;
    size_t count;
    LabelPairs labels;
} PageCuts;

/* One page of a stream and where it is from. */
typedef struct PageRef {
    const LogsSelection *selection;
    const LogPage *page;
    const PageCuts *cuts; /* NULL: all of it is to be seen */
    bool needed;          /* while streams.c chooses */
} PageRef;

/* Pages that overlap in time, in the order in which reading reaches them. */
typedef struct FetchedUnit {
    const PageRef *pages;
    uint32_t count;
    int64_t min_ns; /* both inclusive: the request's range cut to what is kept of the tenant */
    int64_t max_ns;
    LogFilter filter; /* with what holds for this stream */
} FetchedUnit;

typedef struct FetchedStreams {
    FetchSource *fetch;
    Arena *arena; /* the query's */
    FetchedUnit *units;
    StreamStats *stats; /* maybe NULL */
    unsigned columns;   /* LogColumns that are wanted */
    bool plain;         /* FetchOptions.plain */
    bool backward;
} FetchedStreams;

/* stream_counts.c: what delete requests leave of pages, without anybody reading their entries.
 * Zeroed; fetch_counter_done() in the end. */
typedef struct KeptCounter {
    LogDecoder *decoder; /* made when there is something to read */
    LogCutter *cutter;
    size_t pages;
} KeptCounter;
/* Adds the page's to the unit. Once many pages were read, all of a page's entries count. */
MUST_USE ErrCode fetch_count_kept(KeptCounter *counter, QueryContext *query, const PageRef *ref,
                                  StreamUnit *unit, Error *err);
void fetch_counter_done(KeptCounter *counter);

/* StreamSet's functions over FetchedStreams. */
StreamScratch *fetch_scratch_new(const StreamSet *set, QueryContext *query);
void fetch_scratch_free(StreamScratch *scratch);
ErrCode fetch_stream_open(const StreamSet *set, uint32_t unit, StreamScratch *scratch,
                          StreamReader **out, Error *err);
ErrCode fetch_stream_next(StreamReader *reader, StreamBatch *out, Error *err);
ErrCode fetch_stream_prefetch(const StreamSet *set, const uint32_t *units, size_t count,
                              Error *err);

static inline void stream_stat(_Atomic uint64_t *counter, uint64_t n) {
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}
