#pragma once
/*
 * compactor.h: turns the ingesters' segments into blocks of one tenant and signal, merges small
 * blocks, drops what is past its tenant's retention, and deletes objects that nothing refers to.
 *
 * Every change is one manifest commit after the new objects are durable, so a crash leaves at most
 * objects that nobody knows. Thread-safe; one run at a time, others wait for it.
 */
#include "common/base/budget.h"
#include "common/base/clock.h"
#include "common/manifest/manifest.h"
#include "common/tenant/log_cuts.h"
#include "common/tenant/tenant.h"

typedef struct Compactor Compactor;

typedef struct CompactorOptions {
    Store *store; /* borrowed, as all below */
    Manifest *manifest;
    Tenants *tenants;
    BlockCache *cache; /* forgets deleted objects; may be NULL */
    Budget *background;
    const Clock *clock;
    int64_t interval_ms; /* between runs of the thread */
    int64_t grace_ms;    /* removed objects live this much longer */
    uint64_t block_bytes_max;
    const LogCutLanguage *language; /* of delete requests; NULL: they are not carried out */
    int64_t delete_cancel_ms;       /* younger requests may still be taken back */
    /* Delete requests above this number may be about data that no object holds yet; UINT64_MAX:
     * there is none. NULL: nobody holds data back. */
    uint64_t (*heads_cleared)(void *context);
    void *heads_context;
} CompactorOptions;

/* Nothing runs yet. NULL: out of memory. */
Compactor *compactor_new(const CompactorOptions *options);
MUST_USE ErrCode compactor_start(Compactor *compactor, Error *err); /* the thread */
void compactor_stop(Compactor *compactor);                          /* waits for its run */
void compactor_free(Compactor *compactor);                          /* NULL is fine */

/* Returns when nothing is left to do. ERR_UNAVAILABLE: the store failed; what was done is done, and
 * the next run goes on from there. */
MUST_USE ErrCode compactor_run(Compactor *compactor, Error *err);
