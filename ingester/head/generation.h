#pragma once
/*
 * generation.h: everything a lane took in during one epoch of its log: all tenants, all signals.
 *
 * Live, it belongs to its lane. Frozen, it never changes again: queries and the flush read it from
 * any thread. It is freed with its last reference.
 */
#include "common/base/clock.h"
#include "common/tenant/tenant.h"
#include "ingester/head/active.h"
#include "ingester/head/logs.h"
#include "ingester/head/metrics.h"
#include "ingester/head/spans.h"
#include "ingester/wal/wal.h"

/* The log's files of one epoch; discarded when every generation made from them is in the store. */
typedef struct GenerationLog {
    _Atomic uint32_t pending; /* generations, and a replay that may make more */
    WalIo *io;                /* borrowed */
    char *dir;
    uint64_t epoch;
    WalFile *files;
    size_t file_count;
} GenerationLog;

GenerationLog *generation_log_new(WalIo *io, const char *dir, uint64_t epoch);
bool generation_log_add(GenerationLog *log, uint32_t sequence, bool damaged);
void generation_log_damaged(GenerationLog *log, uint32_t sequence);
void generation_log_hold(GenerationLog *log);
/* The last one to be done discards the files (unless `keep`) and frees it. */
void generation_log_done(GenerationLog *log, bool keep);

typedef struct GenerationTenant {
    Str name; /* in the generation's text */
    ActiveTenant *active;
    bool logged;  /* the epoch's log names it */
    bool logging; /* the group being built does */
    int64_t limits_at_ms;
    uint64_t series_max;
    uint64_t streams_max;
    uint64_t trace_bytes_max;
    uint64_t trace_spans_max;
} GenerationTenant;

typedef struct Generation {
    _Atomic uint32_t references;
    uint64_t epoch;
    uint32_t part; /* of a replayed epoch that didn't fit into memory at once; else 0 */
    uint32_t lane; /* of the log, which names the segment; maybe one that is no more */
    int64_t created_ms;
    uint64_t cleared; /* delete requests up to this number were known before its first entry */
    int64_t first_ms; /* the clock at the first append; 0: empty */
    GenerationLog *log;
    Budget budget; /* all of its memory, charged to the heads' */
    MetricsHead metrics;
    LogsHead logs;        /* in the dictionary and the slab of `metrics` */
    SpansHead spans;      /* in the slab of `metrics` */
    Region tenant_region; /* GenerationTenant[tenant_count] */
    Table tenant_table;
    uint32_t tenant_count;

    /* The flush's; under the lane's lock. */
    struct Generation *next;
    struct Lane *owner;
    bool flushing;
    bool flush_again;       /* asked for while an attempt was under way: retry that at once */
    uint64_t flush_attempt; /* the lane's number of the attempt under way */
    unsigned flush_attempts;
    uint64_t flush_after_ns; /* monotonic */
    uint64_t frozen_ns;      /* monotonic */
} Generation;

typedef struct GenerationOptions {
    Budget *heads;
    GenerationLog *log; /* taken: given back when the generation goes */
    uint64_t seed;
    uint64_t epoch;
    uint32_t part;
    uint32_t lane;
    int64_t created_ms;
    uint64_t cleared;
} GenerationOptions;

/* With one reference. NULL: out of memory; the log is not taken then. Takes its first few pages
 * even past the budget. */
Generation *generation_new(const GenerationOptions *options);
void generation_ref(Generation *generation);
void generation_unref(Generation *generation);

static inline size_t generation_bytes(const Generation *generation) {
    return budget_used(&generation->budget);
}
static inline GenerationTenant *generation_tenant(const Generation *generation, uint32_t tenant) {
    return (GenerationTenant *)(void *)generation->tenant_region.base + tenant;
}
/* What logs and spans hold in it. */
static inline size_t generation_bulk_bytes(const Generation *generation) {
    return (size_t)(generation->logs.bytes + generation->spans.bytes);
}
/* HEAD_NONE: not there. */
uint32_t generation_find_tenant(const Generation *generation, Str name);
/* Makes it when new. HEAD_NONE: the budget refuses. */
uint32_t generation_add_tenant(Generation *generation, Str name);
