#pragma once
/*
 * edges.h: spans that wait for their other side: a client's for the server's, which has it as its
 * parent, and the other way round. Bounded in number, oldest first out.
 *
 * Not thread-safe.
 */
#include "common/base/budget.h"
#include "common/base/hash.h"
#include "common/batch/spans.h"
#include "common/tenant/generator.h"

/* What one side says. Texts are borrowed from the batch, or packed behind the edge that waits. */
typedef struct EdgeSide {
    TraceId trace;
    uint64_t span; /* the client's id, which is the server's parent */
    Str service;
    Str peer; /* how it names the other side; empty: not at all */
    Str dimensions[GENERATOR_DIMENSIONS_MAX];
    int64_t start_ns;
    int64_t end_ns;
    bool client;
    bool failed;
    bool messaging;
} EdgeSide;

typedef struct Edge Edge;
struct Edge {
    Edge *chain; /* of its slot */
    Edge *older, *newer;
    uint64_t hash;
    uint64_t expires_ns;
    size_t bytes;
    TraceId trace;
    uint64_t span;
    bool client;
    char packed[];
};

typedef struct Edges {
    Budget *budget;
    Edge **slots;
    size_t slot_count;
    size_t count;
    Edge *oldest, *newest;
} Edges;

void edges_init(Edges *edges, Budget *budget); /* `budget` may be NULL */
void edges_done(Edges *edges);

/* The one that waits for (trace, span); NULL: none. */
Edge *edges_find(const Edges *edges, const TraceId *trace, uint64_t span);
/* False: out of memory. `dimensions`: how many of side->dimensions there are. */
MUST_USE bool edges_add(Edges *edges, const EdgeSide *side, uint32_t dimensions,
                        uint64_t expires_ns);
/* What it was added with; texts are borrowed from the edge. */
void edge_side(const Edge *edge, EdgeSide *out);
void edges_remove(Edges *edges, Edge *edge); /* frees it */
