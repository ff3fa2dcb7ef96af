#pragma once
/*
 * spans.h: the traces of one head generation of one lane, all tenants: origins, traces and their
 * spans, as they were sent. One thread changes it; once frozen any may read it.
 *
 * A span costs 32 bytes besides its own; a trace 80 and a table slot. Spans lie one behind the
 * other in the order in which they came, whatever their trace; each leads to the one of its trace
 * that came before it. Bytes never move. The slab is shared with the metrics of the same
 * generation.
 */
#include "common/base/error.h"
#include "common/batch/spans.h"
#include "ingester/head/span_cache.h"
#include "ingester/head/table.h"

enum {
    SPANS_CHUNK_BYTES = 64 << 10, /* of the slab at a time */
    SPANS_NONE = UINT32_MAX,
};

enum {
    ORIGIN_LOGGED = 1 << 0,  /* the epoch's log defines the origin */
    ORIGIN_LOGGING = 1 << 1, /* the group being built does */
};

typedef struct HeadOrigin {
    Hash128 id;
    SlabHandle bytes;
    uint32_t length;
    uint8_t flags;
} HeadOrigin;

/* Lies in the slab, its message behind it. */
typedef struct HeadSpan {
    int64_t start_ns;
    int64_t end_ns;
    SlabHandle older; /* of the trace; 0: none */
    uint32_t origin;
    uint32_t length;
    uint32_t push; /* spans of one request have the same; 0: unknown */
} HeadSpan;
_Static_assert(sizeof(HeadSpan) % SLAB_UNIT == 0, "spans lie at units");

typedef struct HeadTrace {
    TraceId id;
    int64_t min_ns; /* first start, last end */
    int64_t max_ns;
    SlabHandle newest; /* HeadSpan; 0: none yet */
    uint32_t span_count;
    uint32_t queued;       /* spans in the group being built */
    uint64_t bytes;        /* of messages */
    uint64_t queued_bytes; /* of those */
    uint32_t tenant;
    uint32_t ordinal; /* among the tenant's, from 0: SPAN_GROUP_TRACES make a group */
    uint32_t next;    /* of the tenant, or SPANS_NONE */
} HeadTrace;

typedef struct HeadSpanTenant {
    uint32_t traces; /* the newest, or SPANS_NONE */
    uint32_t trace_count;
} HeadSpanTenant;

typedef struct SpansHead {
    Slab *slab;           /* borrowed */
    Region origin_region; /* HeadOrigin[origin_count] */
    Table origins;        /* by id */
    Region trace_region;  /* HeadTrace[trace_count] */
    Table traces;         /* by tenant and id */
    Region tenant_region; /* HeadSpanTenant[tenant_count], by the generation's tenant numbers */
    uint32_t origin_count;
    uint32_t trace_count;
    uint32_t tenant_count;
    SlabHandle chunk; /* where the next span goes, until chunk_end */
    SlabHandle chunk_end;
    uint64_t spans;
    uint64_t bytes; /* what spans hold in memory */
    SpanCache *cache;
} SpansHead;

MUST_USE bool spans_head_init(SpansHead *head, Slab *slab, size_t reserve, Budget *budget);
void spans_head_done(SpansHead *head); /* before the slab goes */

static inline HeadOrigin *head_origin(const SpansHead *head, uint32_t origin) {
    return (HeadOrigin *)(void *)head->origin_region.base + origin;
}
static inline HeadTrace *head_trace(const SpansHead *head, uint32_t trace) {
    return (HeadTrace *)(void *)head->trace_region.base + trace;
}
static inline HeadSpanTenant *head_span_tenant(const SpansHead *head, uint32_t tenant) {
    return (HeadSpanTenant *)(void *)head->tenant_region.base + tenant;
}
static inline const HeadSpan *head_span(const SpansHead *head, SlabHandle span) {
    return slab_ptr(head->slab, span);
}
static inline Str head_span_message(const HeadSpan *span) {
    return (Str){(const char *)(span + 1), span->length};
}
static inline Str head_origin_bytes(const SpansHead *head, const HeadOrigin *origin) {
    return (Str){slab_ptr(head->slab, origin->bytes), origin->length};
}

/* What a span of so many bytes makes the head grow by, at most. */
static inline size_t spans_head_bytes(size_t message) {
    return sizeof(HeadSpan) + ALIGN_UP(message, SLAB_UNIT) + sizeof(HeadTrace) + 32;
}

/* ---------- changing: the lane ---------- */

/* SPANS_NONE: not there. */
uint32_t spans_head_find_origin(const SpansHead *head, Hash128 id);
/* ERR_LIMIT: the budget refuses. The id must be new. */
MUST_USE ErrCode spans_head_add_origin(SpansHead *head, Hash128 id, Str bytes, uint32_t *ret_origin,
                                       Error *err);
/* Finds or makes it. SPANS_NONE: the budget refuses. */
uint32_t spans_head_trace(SpansHead *head, uint32_t tenant, const TraceId *id);
/* SPANS_NONE: not there. */
uint32_t spans_head_find_trace(const SpansHead *head, uint32_t tenant, const TraceId *id);
/* Takes memory even past the budget: what it is given is durable already. */
void spans_head_append(SpansHead *head, uint32_t trace, uint32_t origin, uint32_t push,
                       int64_t start_ns, int64_t end_ns, Str message);

/* ---------- reading ---------- */

/* One trace and its spans, in order of arrival. */
typedef struct HeadTraceRef {
    TraceId id;
    int64_t min_ns;
    int64_t max_ns;
    const HeadSpan **spans;
    uint32_t count;
} HeadTraceRef;

typedef struct HeadSpans {
    HeadTraceRef *traces; /* in no order */
    size_t trace_count;
    size_t span_count;
    const Str *origins; /* bytes of each, by number */
    size_t origin_count;
} HeadSpans;

/* The tenant's traces that reach into [min_ns, max_ns] (both inclusive), or only `only`, if not
 * NULL. Results point into the head: who asks keeps the generation for as long as the arena lives.
 * ERR_LIMIT: the arena. */
MUST_USE ErrCode spans_head_select(const SpansHead *head, uint32_t tenant, int64_t min_ns,
                                   int64_t max_ns, const TraceId *only, Arena *arena,
                                   HeadSpans *out, Error *err);

/* One group of traces, some of which reach into the range: with tables that are kept, which hold a
 * reference, or with what to make them of. */
typedef struct HeadSpanGroup {
    SpanGroup *kept; /* NULL: there is none, or it has become old */
    HeadSpans spans; /* of all traces of the group, otherwise */
    uint32_t number;
    uint64_t count; /* of spans */
} HeadSpanGroup;

/* The groups of the tenant's traces of which at least one reaches into [min_ns, max_ns]. References
 * go with the arena. ERR_LIMIT: the arena. */
MUST_USE ErrCode spans_head_groups(const SpansHead *head, uint32_t tenant, int64_t min_ns,
                                   int64_t max_ns, Arena *arena, HeadSpanGroup **out, size_t *count,
                                   Error *err);
