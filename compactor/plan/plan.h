#pragma once
/*
 * plan.h: what a compactor does next, from a snapshot alone. Pure: no store, no clock of its own.
 */
#include "common/manifest/manifest.h"
#include "common/tenant/tenant.h"

/* Merge `sources`' parts of one tenant and signal into one block. */
typedef struct MergeJob {
    Str tenant;
    Signal signal;
    const ManifestEntry **sources; /* oldest first */
    size_t source_count;
    uint32_t level;       /* of the result */
    int64_t keep_from_ms; /* older samples are past the tenant's retention */
    /* Of logs: streams that a rule is about are kept so long instead; NULL: no rules. */
    const StreamRetentions *log_streams;
    int64_t retention_ms; /* of the other streams; 0: for good */
    int64_t now_ms;
    uint64_t applied; /* delete requests up to this number are carried out on the way */
} MergeJob;

typedef enum PlanKind {
    PLAN_NOTHING,
    PLAN_SPLIT, /* all jobs together replace `replaced` segments */
    PLAN_MERGE, /* one job replaces its sources */
    PLAN_DROP,  /* `replaced` are removed, nothing comes in their place */
} PlanKind;

typedef struct Plan {
    PlanKind kind;
    MergeJob *jobs;
    size_t job_count;
    const ManifestEntry **replaced;
    size_t replaced_count;
} Plan;

typedef struct PlanOptions {
    Tenants *tenants;
    int64_t now_ms;
    uint64_t block_bytes_max;
    size_t sources_max; /* objects read at a time; 0: PLAN_SOURCES_MAX */
    const Str *avoid;   /* keys of objects that cannot be read: only ever dropped */
    size_t avoid_count;
    int64_t delete_cancel_ms; /* younger delete requests may still be taken back */
} PlanOptions;

enum {
    PLAN_SOURCES_MAX = 64,
    PLAN_MERGE_AT = 4, /* blocks in an open window */
};

/* Drop first, then split, then merge, smallest window first. In `arena`, pointing into `snapshot`.
 * Carried out and asked again until it is PLAN_NOTHING, it ends: every plan leaves fewer objects,
 * fewer segments, or one that begins later. */
MUST_USE ErrCode plan_next(const ManifestSnapshot *snapshot, const PlanOptions *options,
                           Arena *arena, Plan *out, Error *err);
/* Delete requests of this tenant up to this number are to be carried out; 0: none, UINT64_MAX: all.
 * Objects to which different ones of the others apply are not merged, so that what came in after a
 * request stays apart from what it is about. */
uint64_t plan_applied(const ManifestSnapshot *snapshot, const PlanOptions *options, Str tenant);
/* Samples of this tenant and signal before this are to go, whatever their stream; INT64_MIN: keep
 * all. */
/* A job with all that the tenant's limits say of it. */
MergeJob plan_job(const ManifestSnapshot *snapshot, const PlanOptions *options, Str tenant,
                  Signal signal);
int64_t plan_keep_from(const PlanOptions *options, Str tenant, Signal signal);
