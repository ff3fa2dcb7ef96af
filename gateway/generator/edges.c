#include "gateway/generator/edges.h"

#include <stdlib.h>

enum { SLOTS_LEAST = 64 };

/* What is packed: these, then the texts one after the other. */
typedef struct Packed {
    int64_t start_ns;
    int64_t end_ns;
    uint32_t service;
    uint32_t peer;
    uint32_t dimension_count;
    bool failed;
    bool messaging;
} Packed;

static bool take(const Edges *edges, size_t bytes) {
    return edges->budget == NULL || budget_take(edges->budget, bytes);
}

static void give(const Edges *edges, size_t bytes) {
    if (edges->budget != NULL) budget_give(edges->budget, bytes);
}

void edges_init(Edges *edges, Budget *budget) {
    *edges = (Edges){.budget = budget};
}

void edges_done(Edges *edges) {
    while (edges->oldest != NULL) edges_remove(edges, edges->oldest);
    give(edges, edges->slot_count * sizeof *edges->slots);
    free(edges->slots);
    *edges = (Edges){0};
}

/* Ids are random, but a sender may choose them. */
static uint64_t hash_of(const TraceId *trace, uint64_t span) {
    char key[sizeof trace->bytes + sizeof span];

    memcpy(key, trace->bytes, sizeof trace->bytes);
    memcpy(key + sizeof trace->bytes, &span, sizeof span);
    return hash_bytes(key, sizeof key);
}

Edge *edges_find(const Edges *edges, const TraceId *trace, uint64_t span) {
    if (edges->slot_count == 0) return NULL;
    Edge *edge = edges->slots[hash_of(trace, span) & (edges->slot_count - 1)];

    while (edge != NULL && !(edge->span == span && trace_id_equal(&edge->trace, trace)))
        edge = edge->chain;
    return edge;
}

static bool grow(Edges *edges) {
    size_t slot_count = MAX(edges->slot_count * 2, (size_t)SLOTS_LEAST);
    Edge **slots;

    if (edges->count < edges->slot_count) return true;
    if (!take(edges, slot_count * sizeof(Edge *))) return edges->slot_count > 0;
    slots = calloc(slot_count, sizeof(Edge *));
    if (slots == NULL) {
        give(edges, slot_count * sizeof(Edge *));
        return edges->slot_count > 0; /* chains get longer, that's all */
    }
    for (Edge *edge = edges->oldest; edge != NULL; edge = edge->newer) {
        size_t slot = edge->hash & (slot_count - 1);

        edge->chain = slots[slot];
        slots[slot] = edge;
    }
    give(edges, edges->slot_count * sizeof(Edge *));
    free(edges->slots);
    edges->slots = slots;
    edges->slot_count = slot_count;
    return true;
}

static char *put_text(char *at, Str text) {
    if (text.len > 0) memcpy(at, text.ptr, text.len);
    return at + text.len;
}

bool edges_add(Edges *edges, const EdgeSide *side, uint32_t dimensions, uint64_t expires_ns) {
    size_t texts = side->service.len + side->peer.len, bytes;
    uint32_t lengths[GENERATOR_DIMENSIONS_MAX];
    Packed packed = {.start_ns = side->start_ns,
                     .end_ns = side->end_ns,
                     .service = (uint32_t)side->service.len,
                     .peer = (uint32_t)side->peer.len,
                     .dimension_count = dimensions,
                     .failed = side->failed,
                     .messaging = side->messaging};
    Edge *edge;
    char *at;

    assert(dimensions <= GENERATOR_DIMENSIONS_MAX);
    for (uint32_t i = 0; i < dimensions; i++) {
        lengths[i] = (uint32_t)side->dimensions[i].len;
        texts += lengths[i];
    }
    bytes = sizeof *edge + sizeof packed + dimensions * sizeof lengths[0] + texts;
    if (!grow(edges) || !take(edges, bytes)) return false;
    edge = malloc(bytes);
    if (edge == NULL) {
        give(edges, bytes);
        return false;
    }
    *edge = (Edge){.older = edges->newest,
                   .hash = hash_of(&side->trace, side->span),
                   .expires_ns = expires_ns,
                   .bytes = bytes,
                   .trace = side->trace,
                   .span = side->span,
                   .client = side->client};
    memcpy(edge->packed, &packed, sizeof packed);
    at = edge->packed + sizeof packed;
    memcpy(at, lengths, dimensions * sizeof lengths[0]);
    at = put_text(at + dimensions * sizeof lengths[0], side->service);
    at = put_text(at, side->peer);
    for (uint32_t i = 0; i < dimensions; i++) at = put_text(at, side->dimensions[i]);

    edge->chain = edges->slots[edge->hash & (edges->slot_count - 1)];
    edges->slots[edge->hash & (edges->slot_count - 1)] = edge;
    if (edges->newest != NULL)
        edges->newest->newer = edge;
    else
        edges->oldest = edge;
    edges->newest = edge;
    edges->count++;
    return true;
}

void edge_side(const Edge *edge, EdgeSide *out) {
    const char *lengths = edge->packed + sizeof(Packed), *at;
    Packed packed;

    memcpy(&packed, edge->packed, sizeof packed);
    at = lengths + packed.dimension_count * sizeof(uint32_t);
    *out = (EdgeSide){.trace = edge->trace,
                      .span = edge->span,
                      .client = edge->client,
                      .failed = packed.failed,
                      .messaging = packed.messaging,
                      .start_ns = packed.start_ns,
                      .end_ns = packed.end_ns,
                      .service = {at, packed.service},
                      .peer = {at + packed.service, packed.peer}};
    at += packed.service + packed.peer;
    for (uint32_t i = 0; i < packed.dimension_count; i++) {
        uint32_t len;

        memcpy(&len, lengths + i * sizeof len, sizeof len);
        out->dimensions[i] = (Str){at, len};
        at += len;
    }
}

void edges_remove(Edges *edges, Edge *edge) {
    Edge **link = &edges->slots[edge->hash & (edges->slot_count - 1)];

    while (*link != edge) link = &(*link)->chain;
    *link = edge->chain;
    if (edge->older != NULL)
        edge->older->newer = edge->newer;
    else
        edges->oldest = edge->newer;
    if (edge->newer != NULL)
        edge->newer->older = edge->older;
    else
        edges->newest = edge->older;
    edges->count--;
    give(edges, edge->bytes);
    free(edge);
}
