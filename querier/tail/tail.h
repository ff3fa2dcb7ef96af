#pragma once
/*
 * tail.h: log queries that go on: what a pipeline makes of new entries goes to a WebSocket as it
 * comes in. One thread looks at all tails every tenth of a second; what there is to do for one runs
 * on a small pool of their own, one round at a time each: queries that take long keep no tail
 * waiting.
 *
 * A tail is opened, given the history that the client asked for, and started; from then on it ends
 * by itself, with the client, the server or the longest time one may last.
 */
#include "common/base/clock.h"
#include "common/batch/log_tails.h"
#include "common/net/websocket.h"
#include "querier/logql/engine/engine.h"

typedef struct Tailers Tailers; /* all tails of a querier */
typedef struct Tail Tail;

typedef struct TailersOptions {
    LogTails *news; /* borrowed, as all of these */
    Budget *budget; /* what all tails hold is charged to it */
    const Clock *clock;
    int64_t duration_max_ms; /* of one tail; 0: no limit */
} TailersOptions;

MUST_USE ErrCode tailers_new(const TailersOptions *options, Tailers **out, Error *err);
/* Says goodbye to all clients, and from now on to new ones at once. Waits for what runs. */
void tailers_stop(Tailers *tailers); /* NULL is fine */
/* No tail may be open. NULL is fine. */
void tailers_free(Tailers *tailers);

typedef struct TailOptions {
    Str tenant;
    uint64_t tails_max; /* of the tenant; 0: no limit */
    Str query;
    int64_t delay_ns; /* entries wait so long for others that come late */
    bool categorize;  /* labels of entries apart from those of streams */
    bool legacy;      /* messages in the form of /api/prom/tail */
} TailOptions;

/* Everything is copied. From now on entries are kept for it. ERR_LIMIT in Loki's words: the tenant
 * has as many as it may. ERR_INVALID: the query is none, or not of logs. */
MUST_USE ErrCode tail_open(Tailers *tailers, const TailOptions *options, Tail **out, Error *err);
/* What lies before, asked for after tail_open(): what is in both is sent once. */
MUST_USE ErrCode tail_history(Tail *tail, const LogqlResult *result, Error *err);
/* Takes the tail and the request, on which websocket_begin() was called. */
void tail_start(Tail *tail, HttpRequest *request);
/* Instead of tail_start(). NULL is fine. */
void tail_abandon(Tail *tail);
