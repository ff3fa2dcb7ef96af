#pragma once
/*
 * lane.h: a thread that shares nothing on the way of a sample: it owns a log, a ring and its part
 * of every tenant's head, and does what its queue says, in groups.
 *
 * Other threads reach it through tasks: parts of batches, and calls that want to see the live
 * generation. Frozen generations hang on a list under `lock`, for queries and flushes.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "common/base/pool.h"
#include "common/batch/sink.h"
#include "ingester/flush/flush.h"
#include "ingester/head/generation.h"
#include "ingester/ingester.h"
#include "ingester/lane/record.h"

/* ---------- what comes in ---------- */

/* LANE_APPEND: metrics. LANE_APPEND_BULK: logs and spans, which are so many more bytes. */
typedef enum LaneTaskKind { LANE_APPEND, LANE_APPEND_BULK, LANE_CALL, LANE_STOP } LaneTaskKind;

typedef struct LaneTask {
    struct LaneTask *next;
    LaneTaskKind kind;
} LaneTask;

typedef struct TaskList {
    LaneTask *first; /* oldest first */
    LaneTask **end;
} TaskList;

/* A batch on its way through the lanes: one allocation, freed by the last lane. */
typedef struct Append Append;

typedef struct AppendPart {
    LaneTask task; /* first */
    Append *append;
    uint32_t start; /* its rows (streams, spans): append->order[start, start + count) */
    uint32_t count;
    bool metadata;       /* this part takes care of the batch's */
    bool defines_tenant; /* the group names the tenant because of this part */
    uint32_t tenant;     /* in the live generation, while the group is built and applied */
    uint32_t push;       /* of spans: its number in the log */
    uint32_t first_row;  /* of the result's first error: the lowest row is told */
    AppendResult result;
} AppendPart;

struct Append {
    const MetricsBatch *batch; /* one of these; the others are NULL */
    const LogsBatch *logs;
    const SpansBatch *spans;
    Str tenant; /* the batch's */
    AppendDone done;
    void *context;
    _Atomic uint32_t pending; /* parts */
    uint32_t part_count;
    uint32_t *order;  /* rows, streams or spans, sorted by lane */
    uint32_t *series; /* or streams, or traces: in the lane's live generation, in that order */
    AppendPart parts[];
};

/* Splits the batch by series id and queues its parts. Without memory, or when there is nothing in
 * it, done() is called before it returns. */
struct Lane;
void append_submit(struct Lane *lanes, unsigned lane_count, const MetricsBatch *batch,
                   AppendDone done, void *context);
/* The same for logs, split by stream id. */
void append_submit_logs(struct Lane *lanes, unsigned lane_count, const LogsBatch *batch,
                        AppendDone done, void *context);
/* The same for spans, split by trace id. */
void append_submit_spans(struct Lane *lanes, unsigned lane_count, const SpansBatch *batch,
                         AppendDone done, void *context);
/* The part's result is complete. */
void append_part_done(AppendPart *part);

/* A function to run on the lane; who asked waits for it. */
typedef struct LaneWait {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    unsigned pending;
} LaneWait;
void lane_wait_init(LaneWait *wait, unsigned pending);
void lane_wait_done(LaneWait *wait);   /* one of the pending */
void lane_wait_finish(LaneWait *wait); /* waits for all, then takes the struct down */

typedef struct LaneCall {
    LaneTask task; /* first */
    void (*run)(struct Lane *lane, void *what);
    void *what;
    LaneWait *wait;
} LaneCall;

/* ---------- the lane ---------- */

typedef struct LaneOptions {
    unsigned number;
    unsigned lane_count;
    const char *wal_dir; /* holds a directory per lane */
    WalIo *io;           /* taken */
    uint64_t ingester_id;
    uint64_t seed;
    const IngesterOptions *ingester; /* borrowed for the lane's life */
    ActiveSeries *active;
    size_t flush_bytes;
    size_t flush_log_bytes;
    FlushTarget flush;
    uint64_t wal_file_bytes_max; /* 0: the log's own */
} LaneOptions;

typedef struct LaneMetrics {
    Counter *samples;
    Counter *conflicts;
    Counter *over_limit;
    Counter *refused;
    Counter *entries;
    Counter *entry_bytes;
    Counter *entries_over_limit;
    Counter *spans;
    Counter *span_bytes;
    Counter *spans_over_limit;
    Histogram *group_bytes;
    Histogram *commit_seconds;
} LaneMetrics;

typedef struct Lane {
    LaneOptions options;
    pthread_t thread;
    bool started;

    /* the queue: pushed by anybody, newest first */
    _Atomic(LaneTask *) queue;
    _Atomic uint32_t sleeping; /* futex: 1 while the lane waits */

    /* the lane's own */
    char *dir;
    Wal *wal;
    Generation *live;
    Buf group;
    SampleWriter *samples;
    TaskList appends;  /* of metrics: taken from the queue, oldest first */
    TaskList bulk;     /* of logs and spans */
    uint32_t *origins; /* of the batch of spans being encoded: in the live generation */
    size_t origin_capacity;
    uint32_t pushes;   /* of spans, so far */
    uint32_t *logging; /* what the group being built defines: series, streams (LOGGING_STREAM),
                        * origins (LOGGING_ORIGIN) */
    size_t logging_count;
    size_t logging_capacity;
    uint32_t logging_tenants; /* tenants below are logged or being logged */
    struct LanePrevious {
        ActiveTenant *tenant;
        int64_t series;
        int64_t streams;
    } * previous; /* what the generation frozen last added to ActiveCount.previous */
    size_t previous_count;
    uint64_t synced_ns; /* for WAL_SYNC_INTERVAL */
    bool stop;
    LaneMetrics metrics;

    /* frozen generations, oldest first */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* one was flushed, or could not be */
    Generation *frozen;
    unsigned flushing; /* tasks on the background pool */
    uint64_t attempts; /* at flushes, ever: numbers them */
    uint64_t failed;   /* the newest of those that failed */
    Error failure;     /* the last one's */
    bool ready;        /* the log is replayed, or it failed */
    Error start_error;
} Lane;

/* Starts the thread, which replays its part of the log and then serves; lane_await_ready() says
 * when.
 */
MUST_USE ErrCode lane_start(Lane *lane, const LaneOptions *options, Error *err);
MUST_USE ErrCode lane_await_ready(Lane *lane, Error *err);
void lane_push(Lane *lane, LaneTask *task);
void lane_wake(Lane *lane); /* when it sleeps: it looks at everything again */
/* Ends the thread, waits for flushes that run, frees everything. The log keeps what isn't flushed.
 */
void lane_stop(Lane *lane);

/* ---------- between the lane's files; on its thread ---------- */

/* Among those that wait to be flushed for the first time, and not for long: so many bytes of logs
 * and spans that what comes in waits for them, as it comes in faster than flushes go. */
bool lane_bulk_behind(Lane *lane);
/* So many bytes of logs and spans make a generation full: flush_log_bytes and a little a stream, as
 * the pieces of many streams are small and each costs, and more the more generations wait to be
 * flushed. A store that is down for long must not leave hundreds of them, each of which takes a
 * good piece of the address space. */
size_t lane_bulk_bytes_max(Lane *lane, const Generation *generation);
/* append.c: writes the queued parts as one group, applies and answers them. */
void lane_commit(Lane *lane);
/* lane.c: the live generation joins the frozen ones, a new epoch begins. False: it is empty. */
bool lane_freeze(Lane *lane);
/* lane.c: what comes in from now on is not what delete requests known by now are about. False: out
 * of memory. */
bool lane_cut(Lane *lane);
/* lane.c: puts a generation that is complete among the frozen ones and has it flushed. */
void lane_add_frozen(Lane *lane, Generation *generation, bool was_live);
/* lane.c: hands due flushes to the background pool. */
void lane_flush_due(Lane *lane);
/* replay.c: everything in this lane's and abandoned directories becomes frozen generations.
 * *ret_epoch: the highest epoch of this lane's own directory, or 0. */
MUST_USE ErrCode lane_replay(Lane *lane, uint64_t *ret_epoch, Error *err);

/* ---------- from any thread ---------- */

/* Calls run(lane, what[i]) on lanes[i], for each; returns when all are done. */
void lanes_call(Lane *lanes, unsigned count, void (*run)(Lane *lane, void *what), void *what,
                size_t what_bytes);
/* Takes references to the frozen generations, oldest first, into `arena`. */
MUST_USE bool lane_pin_frozen(Lane *lane, Arena *arena, Generation ***out, size_t *count);
/* Waits until generations up to `epoch` of this lane's log are in the store. An error: an
 * attempt failed that began after the first `attempts`. */
MUST_USE ErrCode lane_await_flushed(Lane *lane, uint64_t epoch, uint64_t attempts, Error *err);
