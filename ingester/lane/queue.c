/*
 * queue.c: how others reach a lane. Pushing is one compare-and-swap, and a system call only when
 * the lane sleeps.
 */
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ingester/lane/lane.h"

void lane_wake(Lane *lane) {
    if (atomic_load(&lane->sleeping) != 0 && atomic_exchange(&lane->sleeping, 0) != 0)
        syscall(SYS_futex, &lane->sleeping, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void lane_push(Lane *lane, LaneTask *task) {
    LaneTask *head = atomic_load_explicit(&lane->queue, memory_order_relaxed);

    do task->next = head;
    while (!atomic_compare_exchange_weak_explicit(&lane->queue, &head, task, memory_order_seq_cst,
                                                  memory_order_relaxed));
    /* Sequentially consistent, against the lane's "sleeping = 1, then look at the queue again". */
    lane_wake(lane);
}

/* ---------- batches ---------- */

static unsigned id_lane(Hash128 id, unsigned lane_count) {
    return (unsigned)(id.high % lane_count);
}

/* All spans of a trace go one way. Whoever sends ids may choose them, so they are hashed. */
static unsigned trace_lane(const TraceId *id, unsigned lane_count) {
    return (unsigned)(hash_bytes(id->bytes, sizeof id->bytes) % lane_count);
}

static size_t item_count(const Append *append) {
    if (append->batch != NULL) return append->batch->row_count;
    return append->logs != NULL ? append->logs->stream_count : append->spans->item_count;
}

static unsigned item_lane(const Append *append, size_t i, unsigned lane_count) {
    if (append->batch != NULL) return id_lane(append->batch->rows[i].id, lane_count);
    if (append->logs != NULL) return id_lane(append->logs->streams[i].id, lane_count);
    return trace_lane(&append->spans->items[i].trace, lane_count);
}

static Append *append_new(const Append *what, unsigned lane_count) {
    size_t items = item_count(what);
    Append *append;

    if (items >= HEAD_NONE) return NULL;
    append =
        malloc(sizeof *append + lane_count * sizeof(AppendPart) + 2 * items * sizeof(uint32_t));
    if (append == NULL) return NULL;
    *append = *what;
    append->order = (uint32_t *)(void *)&append->parts[lane_count];
    append->series = append->order + items;
    return append;
}

/* Counting sort by lane: each part keeps the batch's order. For a moment `series` holds each item's
 * lane. */
static void append_partition(Append *append, unsigned lane_count) {
    const MetricsBatch *batch = append->batch;
    size_t items = item_count(append);
    uint32_t at = 0;

    for (unsigned l = 0; l < lane_count; l++) {
        AppendPart *part = &append->parts[l];

        *part = (AppendPart){.task.kind = LANE_APPEND, .append = append, .first_row = UINT32_MAX};
        if (batch == NULL) part->task.kind = LANE_APPEND_BULK;
    }
    for (size_t i = 0; i < items; i++) {
        append->series[i] = item_lane(append, i, lane_count);
        append->parts[append->series[i]].count++;
    }
    for (unsigned l = 0; l < lane_count; l++) {
        append->parts[l].start = at;
        at += append->parts[l].count;
        append->parts[l].count = 0;
    }
    for (size_t i = 0; i < items; i++) {
        AppendPart *part = &append->parts[append->series[i]];

        append->order[part->start + part->count++] = (uint32_t)i;
    }
    /* A tenant's metadata is kept by one lane, always the same. */
    if (batch != NULL && batch->metadata_count > 0)
        append->parts[hash_str(batch->tenant) % lane_count].metadata = true;
}

static void append_push(Lane *lanes, unsigned lane_count, Append *append) {
    unsigned involved = 0;

    append_partition(append, lane_count);
    for (unsigned l = 0; l < lane_count; l++)
        involved += append->parts[l].count > 0 || append->parts[l].metadata;
    atomic_init(&append->pending, involved);
    /* The last lane frees `append`, maybe while others are still being pushed: the parts that are
     * involved are counted down here and not looked up afterwards. */
    for (unsigned l = 0; involved > 0; l++) {
        if (append->parts[l].count == 0 && !append->parts[l].metadata) continue;
        involved--;
        lane_push(&lanes[l], &append->parts[l].task);
    }
}

static void submit(Lane *lanes, unsigned lane_count, Append *append, bool empty, AppendDone done,
                   void *context) {
    AppendResult result = {0};

    if (append != NULL && !empty) {
        append->done = done;
        append->context = context;
        append->part_count = lane_count;
        append_push(lanes, lane_count, append);
        return;
    }
    if (append == NULL) result.code = error_set(&result.first, ERR_LIMIT, "out of memory");
    free(append);
    done(context, &result);
}

void append_submit(Lane *lanes, unsigned lane_count, const MetricsBatch *batch, AppendDone done,
                   void *context) {
    bool empty = batch->row_count == 0 && batch->metadata_count == 0;

    Append what = {.batch = batch, .tenant = batch->tenant};

    submit(lanes, lane_count, append_new(&what, lane_count), empty, done, context);
}

void append_submit_logs(Lane *lanes, unsigned lane_count, const LogsBatch *batch, AppendDone done,
                        void *context) {
    Append what = {.logs = batch, .tenant = batch->tenant};

    submit(lanes, lane_count, append_new(&what, lane_count), batch->stream_count == 0, done,
           context);
}

void append_submit_spans(Lane *lanes, unsigned lane_count, const SpansBatch *batch, AppendDone done,
                         void *context) {
    Append what = {.spans = batch, .tenant = batch->tenant};

    submit(lanes, lane_count, append_new(&what, lane_count), batch->item_count == 0, done, context);
}

static void append_answer(Append *append) {
    AppendResult result = {0};
    uint32_t first_row = UINT32_MAX;

    for (uint32_t i = 0; i < append->part_count; i++) {
        const AppendPart *part = &append->parts[i];

        result.samples += part->result.samples;
        result.histograms += part->result.histograms;
        result.exemplars += part->result.exemplars;
        result.entries += part->result.entries;
        result.spans += part->result.spans;
        result.conflicts += part->result.conflicts;
        result.over_limit += part->result.over_limit;
        /* A failure outweighs what was dropped; among equals the batch's first row is told. */
        if (part->result.code != ERR_OK && result.code == ERR_OK) {
            result.code = part->result.code;
            result.first = part->result.first;
        } else if (result.code == ERR_OK && part->first_row < first_row) {
            first_row = part->first_row;
            result.first = part->result.first;
        }
    }
    append->done(append->context, &result);
    free(append);
}

void append_part_done(AppendPart *part) {
    Append *append = part->append;

    if (atomic_fetch_sub_explicit(&append->pending, 1, memory_order_acq_rel) == 1)
        append_answer(append);
}

/* ---------- calls ---------- */

void lane_wait_init(LaneWait *wait, unsigned pending) {
    pthread_mutex_init(&wait->lock, NULL);
    pthread_cond_init(&wait->wake, NULL);
    wait->pending = pending;
}

void lane_wait_done(LaneWait *wait) {
    pthread_mutex_lock(&wait->lock);
    if (--wait->pending == 0) pthread_cond_signal(&wait->wake);
    pthread_mutex_unlock(&wait->lock);
}

void lane_wait_finish(LaneWait *wait) {
    pthread_mutex_lock(&wait->lock);
    while (wait->pending > 0) pthread_cond_wait(&wait->wake, &wait->lock);
    pthread_mutex_unlock(&wait->lock);
    pthread_cond_destroy(&wait->wake);
    pthread_mutex_destroy(&wait->lock);
}

void lanes_call(Lane *lanes, unsigned count, void (*run)(Lane *lane, void *what), void *what,
                size_t what_bytes) {
    LaneCall calls[INGESTER_LANES_MAX];
    LaneWait wait;

    assert(count <= INGESTER_LANES_MAX);
    lane_wait_init(&wait, count);
    for (unsigned i = 0; i < count; i++) {
        calls[i] = (LaneCall){.task.kind = LANE_CALL,
                              .run = run,
                              .what = (char *)what + i * what_bytes,
                              .wait = &wait};
        lane_push(&lanes[i], &calls[i].task);
    }
    lane_wait_finish(&wait);
}
