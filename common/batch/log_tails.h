#pragma once
/*
 * log_tails.h: new log entries on their way to who follows them: the lanes of an ingester offer
 * what they made durable and visible, and each tail keeps what its matchers want in a queue of its
 * own until it is taken. Nothing a lane offers ever waits: what a full queue can't hold is dropped,
 * and the tail is told what it was.
 *
 * All from any thread. While nobody tails, a lane pays one relaxed load a batch.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "common/base/budget.h"
#include "common/batch/logs.h"
#include "common/batch/matcher.h"

typedef struct LogTail LogTail;

typedef struct LogTails {
    atomic_uint count; /* of open tails */
    pthread_rwlock_t lock;
    LogTail *first;
} LogTails;

LogTails *log_tails_new(void);        /* NULL: out of memory */
void log_tails_free(LogTails *tails); /* NULL is fine; no tail may be open */
DEFINE_CLEANUP(LogTails, log_tails_free)

/* ---------- the lanes ---------- */

/* Whether anybody tails. `tails` may be NULL. */
static inline bool log_tails_watched(const LogTails *tails) {
    return tails != NULL &&
           atomic_load_explicit(&((LogTails *)tails)->count, memory_order_relaxed) > 0;
}
/* entries[0, stream->entry_count) of one stream, which queries see from now on; copied. */
void log_tails_offer(LogTails *tails, Str tenant, const LogStream *stream, const LogEntry *entries);

/* ---------- who tails ---------- */

enum { LOG_TAIL_DROPPED_MAX = 1000 }; /* dropped entries that are told; the rest is only counted */

typedef struct LogTailOptions {
    Str tenant;              /* borrowed for as long as the tail is open, as all of these */
    const Matcher *matchers; /* of labels of the stream */
    size_t matcher_count;
    size_t bytes_max; /* that wait to be taken */
    Budget *budget;   /* what they are charged to; may be NULL */
} LogTailOptions;

/* Entries of one stream, in order of arrival. */
typedef struct LogTailPart {
    struct LogTailPart *next;
    uint64_t number; /* counts the parts of the tail, dropped ones as well */
    Str labels;      /* canonical bytes */
    const LogEntry *entries;
    size_t count;
    bool is_dropped; /* there are only the times */
    size_t bytes;    /* charged */
} LogTailPart;

/* NULL: out of memory. Everything offered from now on that matches is kept. */
LogTail *log_tail_open(LogTails *tails, const LogTailOptions *options);
/* What is not taken goes; parts that were taken must have been freed. NULL is fine. */
void log_tail_close(LogTail *tail);
/* Whether there is something to take. Costs an atomic load. */
bool log_tail_has_news(const LogTail *tail);
/* All there is, oldest first; NULL: nothing. Each is freed by log_tail_part_free(). */
LogTailPart *log_tail_take(LogTail *tail);
void log_tail_part_free(LogTail *tail, LogTailPart *part);
/* The number of the part that comes next. */
uint64_t log_tail_next_number(LogTail *tail);
/* Entries that were dropped, ever. */
uint64_t log_tail_dropped(LogTail *tail);
