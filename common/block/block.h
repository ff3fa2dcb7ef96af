#pragma once
/*
 * block.h: writing and reading of the immutable objects, segments and blocks alike: one container
 * (docs/FORMATS.md) with sections of any tenants and signals.
 */
#include "common/base/budget.h"
#include "common/batch/matcher.h"
#include "common/batch/metrics.h"
#include "common/batch/signal.h"
#include "common/block/selection.h"
#include "common/store/store.h"

/* ---------- writing ---------- */

/* Where a container's bytes go, in order. */
typedef struct BlockSink {
    ErrCode (*write)(void *context, Str bytes, Error *err);
    void *context;
} BlockSink;
/* A sink into a Buf and one into a StoreUpload. */
BlockSink block_sink_buf(Buf *buf);
BlockSink block_sink_upload(StoreUpload *upload);

/* What a finished object holds of one tenant and signal: goes into the manifest. */
typedef struct BlockPart {
    Str tenant;
    Signal signal;
    int64_t min_ms; /* of the samples */
    int64_t max_ms;
    uint64_t series; /* or streams, or traces */
    uint64_t items;  /* samples, lines, spans */
    uint64_t bytes;  /* of the part within the object */
} BlockPart;

typedef struct BlockWriter BlockWriter;
/* `arena` pays for what must be held until the end (dictionaries, the index). `created_ms` is
 * written into the footer: the same input gives the same bytes. NULL: out of budget. */
BlockWriter *block_writer_new(Arena *arena, BlockSink sink, int64_t created_ms);

/* One tenant's metrics. Tenants in byte order, each once. Then series in labels_compare() order,
 * each once, samples sorted by time, no instant twice; then finish. */
MUST_USE ErrCode block_metrics_begin(BlockWriter *writer, Str tenant, Error *err);
MUST_USE ErrCode block_metrics_series(BlockWriter *writer, LabelPairs labels,
                                      const ChunkSamples *samples, Error *err);
/* For the series added last; by time. */
MUST_USE ErrCode block_metrics_exemplars(BlockWriter *writer, const SelectedExemplar *exemplars,
                                         size_t count, Error *err);
MUST_USE ErrCode block_metrics_metadata(BlockWriter *writer, const MetadataItem *items,
                                        size_t count, Error *err);
MUST_USE ErrCode block_metrics_end(BlockWriter *writer, Error *err);

typedef struct BlockSummary {
    const BlockPart *parts; /* in the writer's arena */
    size_t part_count;
    uint64_t bytes;        /* of the whole object */
    uint64_t footer_bytes; /* from the footer's start to the end of the object */
    uint64_t checksum;     /* xxh3 over the footer: tells two objects of one name apart */
} BlockSummary;
MUST_USE ErrCode block_writer_finish(BlockWriter *writer, BlockSummary *out, Error *err);

/* ---------- reading ---------- */

/* Keeps footers, indexes and pages of blocks in memory, within a budget, least recently used out
 * first. Shared by all queries; thread-safe. What a query uses is pinned until its arena goes. */
typedef struct BlockCache BlockCache;
BlockCache *block_cache_new(Store *store, Budget *budget);
void block_cache_free(BlockCache *cache);
DEFINE_CLEANUP(BlockCache, block_cache_free)
void block_cache_forget(BlockCache *cache, Str key); /* the object was deleted */

/* What reading cost a query. */
typedef struct BlockStats {
    _Atomic uint64_t gets;
    _Atomic uint64_t get_bytes;
    _Atomic uint64_t cache_hits;
    _Atomic uint64_t chunks;
} BlockStats;

typedef struct Block Block; /* an open object, pinned by the arena it was opened with */
/* `size` as the manifest has it (0: unknown). ERR_CORRUPT names the object and what is wrong. */
MUST_USE ErrCode block_open(BlockCache *cache, Str key, uint64_t size, Arena *arena,
                            BlockStats *stats, const Block **out, Error *err);
/* The same, but the first GET brings the object's last `ahead` bytes, if that is more than it would
 * bring anyway. */
MUST_USE ErrCode block_open_ahead(BlockCache *cache, Str key, uint64_t size, uint64_t ahead,
                                  Arena *arena, BlockStats *stats, const Block **out, Error *err);
/* How many bytes that are, for whoever will look for traces by their ids: then what tells that a
 * trace isn't in the object comes along. `parts` as the manifest has them. */
uint64_t block_traces_ahead(const BlockPart *parts, size_t count);
const BlockPart *block_parts(const Block *block, size_t *count);

/* Series of one tenant that match all matchers and have samples in [min, max], in labels_compare()
 * order; chunks outside the range are left out. With `labels_only` no chunks are fetched. At most
 * three rounds of GETs deep from cold: footer; index pages; times and chunks. */
typedef struct BlockSelect {
    Str tenant;
    const Matcher *matchers;
    size_t matcher_count;
    int64_t min_ms;
    int64_t max_ms;
    bool labels_only;
} BlockSelect;
MUST_USE ErrCode block_metrics_select(const Block *block, const BlockSelect *select, Arena *arena,
                                      BlockStats *stats, MetricsSelection *out, Error *err);
/* Without matchers: straight from the dictionaries. `name` empty: label names. Sorted. */
MUST_USE ErrCode block_metrics_labels(const Block *block, Str tenant, Str name, Arena *arena,
                                      BlockStats *stats, Str **out, size_t *count, Error *err);
/* exemplars[i] belong to out_series[i]. */
MUST_USE ErrCode block_metrics_exemplars_read(const Block *block, const BlockSelect *select,
                                              Arena *arena, BlockStats *stats,
                                              MetricsSelection *out_series,
                                              const SelectedExemplar ***exemplars, size_t **counts,
                                              Error *err);
MUST_USE ErrCode block_metrics_metadata_read(const Block *block, Str tenant, Arena *arena,
                                             BlockStats *stats, MetadataItem **out, size_t *count,
                                             Error *err);

/* One pass over a tenant's series in order, for merging; reads ahead in large GETs, bypasses the
 * cache, holds a few pages at a time. */
typedef struct BlockCursor BlockCursor;
MUST_USE ErrCode block_cursor_open(Store *store, Str key, uint64_t size, Str tenant, Arena *arena,
                                   BlockCursor **out, Error *err);
/* False at the end. What it points to lives until the next call. */
MUST_USE ErrCode block_cursor_next(BlockCursor *cursor, LabelPairs *labels, ChunkSamples *samples,
                                   const SelectedExemplar **exemplars, size_t *exemplar_count,
                                   bool *more, Error *err);
void block_cursor_close(BlockCursor *cursor);

/* ---------- decoding, for queries ---------- */

/* Decodes all of a column; `out` has room for times->count. */
MUST_USE ErrCode times_decode(const TimesColumn *times, int64_t *out, Error *err);
/* CHUNK_FLOATS; `out` has room for chunk->count. */
MUST_USE ErrCode floats_decode(const ChunkView *chunk, double *out, Error *err);
/* CHUNK_FLOATS, by its first bytes: no value can be NaN, a stale marker included. False: unknown.
 */
bool floats_are_numbers(const ChunkView *chunk);
/* CHUNK_HISTOGRAMS. */
MUST_USE ErrCode histograms_decode(const ChunkView *chunk, Arena *arena,
                                   const NativeHistogram ***out, Error *err);

/* ---------- tools ---------- */

/* A readable summary of a whole object; checks every checksum and decodes every page. */
MUST_USE ErrCode block_inspect(Str object, Buf *out, Error *err);
