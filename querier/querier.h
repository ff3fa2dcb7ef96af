#pragma once
/*
 * querier.h: answers queries on the HTTP APIs that Grafana and its peers' clients speak.
 */
#include "common/batch/changes.h"
#include "common/batch/log_tails.h"
#include "common/net/cors.h"
#include "common/net/http.h"
#include "common/tenant/tenant.h"
#include "querier/fetch/fetch.h"

typedef struct Querier Querier;

typedef struct QuerierOptions {
    FetchOptions fetch;
    Tenants *tenants; /* borrowed, as all below */
    Budget *queries;  /* what all queries together may hold */
    const Clock *clock;
    unsigned threads; /* that run queries; also the most queries at a time */
    int64_t lookback_ms;
    int64_t slow_ms; /* log queries that take longer; 0: none */
    bool experimental_off;
    void (*cut)(void *context); /* after a delete request was stored: what comes in from now on is
                                 * not what it is about; may be NULL */
    void *cut_context;
    int64_t delete_cancel_ms;       /* 0: as long as nothing was deleted */
    int64_t delete_interval_max_ms; /* that max_interval may be; 0: any */
    LogTails *tails;                /* what offers new log entries; NULL: logs can't be tailed */
    int64_t tail_duration_max_ms;
    /* Answers to range queries are kept in `results_bytes` (0: not), charged to `results` and known
     * to hold by `changes` (NULL: not kept); not of steps younger than results_min_age_ms. */
    size_t results_bytes;
    int64_t results_min_age_ms;
    Budget *results;
    Changes *changes;
    const Cors *cors; /* NULL: browsers of other origins may not read answers */
} QuerierOptions;

MUST_USE ErrCode querier_new(const QuerierOptions *options, Querier **out, Error *err);
/* After the server has stopped: no request may be under way. NULL is fine. */
void querier_free(Querier *querier);
DEFINE_CLEANUP(Querier, querier_free)
/* Ends what never ends by itself, before the server drains. */
void querier_stop_tails(Querier *querier);

/* A selector of streams in LogQL, for what is configured with one. */
ErrCode querier_parse_selector(Arena *arena, Str selector, const Matcher **out, size_t *count,
                               Error *err);
/* What delete requests are written in, for the compactor. */
const LogCutLanguage *querier_delete_language(void);

/* Adds the Prometheus API, at / and at /prometheus. Before http_server_start(). */
void querier_register(Querier *querier, HttpServer *server);
