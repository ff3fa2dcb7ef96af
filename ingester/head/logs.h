#pragma once
/*
 * logs.h: the logs of one head generation of one lane, all tenants: streams and their entries. One
 * thread changes it; once frozen any may read it.
 *
 * A stream costs 64 bytes, a table slot, 4 bytes a label, and its entries: a list of chunks of
 * append-only bytes (log_stream.h), each a little larger than the one before. Bytes never move, so
 * that nothing is ever copied to grow and a query may go on reading what it has seen. Dictionary
 * and slab are shared with the metrics of the same generation.
 */
#include "common/base/error.h"
#include "common/batch/logs.h"
#include "common/block/log_stream.h"
#include "common/block/logs.h"
#include "ingester/head/match.h"

enum {
    LOGS_CHUNK_MIN = 512, /* bytes of a stream's first chunk, */
    LOGS_CHUNK_MAX =
        32 << 10, /* and of its largest; an entry that needs more gets one of its own */
    LOGS_NONE = UINT32_MAX,
};

enum {
    STREAM_LOGGED = 1 << 0,  /* the epoch's log defines the stream */
    STREAM_LOGGING = 1 << 1, /* the group being built does */
};

typedef struct HeadStream {
    Hash128 id;
    uint64_t bytes;    /* of all its chunks */
    SlabHandle chunk;  /* the newest HeadLogChunk, which grows; 0: no entries yet */
    uint32_t chunks;   /* how many */
    SlabHandle pairs;  /* uint32_t[pair_count] */
    uint32_t capacity; /* of the newest chunk's bytes */
    uint32_t tenant;
    uint32_t next; /* of the tenant, or LOGS_NONE */
    uint16_t pair_count;
    uint8_t flags;
} HeadStream;
_Static_assert(sizeof(HeadStream) <= 64, "one cache line");

/* Lies in the slab, its bytes behind it. */
typedef struct HeadLogChunk {
    int64_t min_ns;
    int64_t max_ns;
    LogStreamState state;
    uint32_t used;
    uint32_t raw_bytes; /* of lines and metadata */
    SlabHandle older;
} HeadLogChunk;

typedef struct HeadLogTenant {
    uint32_t streams; /* the newest, or LOGS_NONE */
    uint32_t stream_count;
} HeadLogTenant;

typedef struct LogsHead {
    Pairs *pairs; /* borrowed, as the slab */
    Slab *slab;
    Region stream_region; /* HeadStream[stream_count] */
    Table table;          /* streams by id */
    uint32_t stream_count;
    Region tenant_region; /* HeadLogTenant[tenant_count], by the generation's tenant numbers */
    uint32_t tenant_count;
    uint64_t entries;
    uint64_t bytes; /* of chunks: what logs hold in memory, but for a little a stream */
    Arena *scratch;
} LogsHead;

MUST_USE bool logs_head_init(LogsHead *head, Pairs *pairs, Slab *slab, size_t reserve,
                             Budget *budget);
void logs_head_done(LogsHead *head); /* before pairs and slab go */

static inline HeadStream *head_stream(const LogsHead *head, uint32_t stream) {
    return (HeadStream *)(void *)head->stream_region.base + stream;
}
static inline HeadLogTenant *head_log_tenant(const LogsHead *head, uint32_t tenant) {
    return (HeadLogTenant *)(void *)head->tenant_region.base + tenant;
}
static inline const uint32_t *head_stream_pairs(const LogsHead *head, const HeadStream *stream) {
    return slab_ptr(head->slab, stream->pairs);
}
static inline HeadLogChunk *head_log_chunk(const LogsHead *head, SlabHandle chunk) {
    return slab_ptr(head->slab, chunk);
}

/* ---------- changing: the lane ---------- */

/* Makes tenants [0, tenant] known. False: the budget refuses. */
MUST_USE bool logs_head_tenant(LogsHead *head, uint32_t tenant);
/* LOGS_NONE: not there. */
uint32_t logs_head_find(const LogsHead *head, Hash128 id);
/* ERR_INVALID: `labels` aren't canonical. ERR_LIMIT: the budget refuses. The id must be new. */
MUST_USE ErrCode logs_head_add(LogsHead *head, uint32_t tenant, Hash128 id, Str labels,
                               uint32_t *ret_stream, Error *err);
/* Takes memory even past the budget: what it is given is durable already. */
void logs_head_append(LogsHead *head, uint32_t stream, const LogEntry *entry);

/* ---------- reading ---------- */

/* The streams that match and have entries in the range, in no order, for select->tenant, which is
 * the generation's `tenant`; a page a chunk, oldest first. Results point into the head: who asks
 * keeps the generation for as long as the arena lives. ERR_LIMIT: the arena. */
MUST_USE ErrCode logs_head_select(const LogsHead *head, uint32_t tenant, const LogSelect *select,
                                  Arena *arena, LogsSelection *out, Error *err);
/* Label names (`name` empty) or values, each once, unsorted; appended to *out. */
MUST_USE ErrCode logs_head_labels(const LogsHead *head, uint32_t tenant, Str name, Arena *arena,
                                  StrList *out, Error *err);
