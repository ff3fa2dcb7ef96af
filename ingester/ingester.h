#pragma once
/*
 * ingester.h: makes what it is given durable, holds it in memory for queries, and lays it down in
 * the store as segments.
 *
 * Lanes are threads that share nothing: each owns a write-ahead log, an io_uring and its part of
 * every tenant's head. A batch is split by series id, each lane logs its part in its next group
 * commit, applies it to the head, and the last lane answers.
 */
#include "common/base/budget.h"
#include "common/base/clock.h"
#include "common/base/pool.h"
#include "common/batch/changes.h"
#include "common/batch/log_tails.h"
#include "common/batch/matcher.h"
#include "common/batch/sink.h"
#include "common/block/heads.h"
#include "common/manifest/manifest.h"
#include "common/store/store.h"
#include "common/tenant/sampler.h"
#include "common/tenant/tenant.h"

typedef struct Ingester Ingester;

enum { INGESTER_LANES_MAX = 64 };

typedef enum WalSync { WAL_SYNC_ALWAYS, WAL_SYNC_INTERVAL } WalSync;

typedef struct IngesterOptions {
    Str dir;        /* the local directory: wal/, id, LOCK */
    unsigned lanes; /* 0: one a core */
    Store *store;   /* borrowed, as all below */
    Manifest *manifest;
    Tenants *tenants;
    Changes *changes; /* where samples are noted before they are acknowledged; NULL: nowhere */
    Budget *heads;
    Budget *background; /* flushes */
    Budget *caches;     /* columns of spans that queries made; NULL: not accounted */
    Pool *background_pool;
    const Clock *clock;
    WalSync wal_sync;
    int64_t wal_interval_ms;     /* for WAL_SYNC_INTERVAL */
    bool wal_io_uring;           /* false: pwrite and fdatasync even where io_uring would work */
    int64_t flush_age_ms;        /* a head older than this is flushed */
    size_t flush_bytes;          /* a lane's head larger than this is flushed; 0: from the budget */
    const TraceSampler *sampler; /* which traces are flushed; NULL: all */
    LogTails *tails;             /* who follows new log entries; NULL: nobody ever does */
    size_t flush_log_bytes; /* or one that holds more of logs and spans; 0: 48 MiB shared by the
                             * lanes */
} IngesterOptions;

/* Locks the directory (ERR_UNAVAILABLE names who has it), replays the logs, starts the lanes. */
MUST_USE ErrCode ingester_open(const IngesterOptions *options, Ingester **out, Error *err);
/* Flushes when `flush`, then stops. Logs what could not be flushed; the WAL still has it. */
void ingester_close(Ingester *ingester, bool flush);

/* What series ids are seeded with: kept in the directory, so that series return to their lanes. */
uint64_t ingester_series_seed(const Ingester *ingester);

/* Returns at once. `batch` stays the caller's and unchanged until done(context, result) was called,
 * once, on a lane's thread, or on this one when nothing can be queued (it must not block). */
void ingester_append_metrics(Ingester *ingester, const MetricsBatch *batch, AppendDone done,
                             void *context);

/* The same for logs and spans; stream and origin ids have the same seed. */
void ingester_append_logs(Ingester *ingester, const LogsBatch *batch, AppendDone done,
                          void *context);
void ingester_append_spans(Ingester *ingester, const SpansBatch *batch, AppendDone done,
                           void *context);

/* Returns when all that was acknowledged before is committed to the manifest. Blocks. */
MUST_USE ErrCode ingester_flush(Ingester *ingester, Error *err);

/* After a delete request was committed to the manifest: what is acknowledged from now on is none of
 * its business, whatever happens, and what was before goes to the store. A lane without memory for
 * a new head does so a little later. */
void ingester_cut(Ingester *ingester);
/* Data that isn't in the store yet may be what delete requests above this number are about;
 * UINT64_MAX: there is none. Ask before the manifest's snapshot is taken. */
uint64_t ingester_cleared(Ingester *ingester);

/* What queries see of the heads, flushing generations included; context is the ingester. */
HeadReader ingester_head_reader(Ingester *ingester);
LogHeadReader ingester_log_head_reader(Ingester *ingester);
SpanHeadReader ingester_span_head_reader(Ingester *ingester);
uint64_t ingester_active_series(Ingester *ingester, Str tenant);
uint64_t ingester_active_streams(Ingester *ingester, Str tenant);
