#pragma once
/*
 * segment.h: what writing metrics (segment.c), logs (segment_logs.c) and spans (segment_spans.c)
 * of a generation share.
 */
#include "ingester/flush/flush.h"

/* What a series (stream) is sorted by: the rank of its name, then of its first pair, then all. */
typedef struct SortedSeries {
    uint64_t key;
    uint32_t series;
} SortedSeries;

typedef struct Segment {
    const FlushTarget *target;
    const Generation *generation;
    const MetricsHead *head;
    BlockWriter *writer;
    Arena *arena;    /* the flush's */
    Arena *scratch;  /* a series' or stream's */
    uint32_t *ranks; /* of each pair, by name and value; from 1 */
    SortedSeries *sorted;
} Segment;

/* `name_pair`: __name__'s, or PAIR_NONE. Orders as labels_compare() does. */
uint64_t segment_key(const Segment *segment, uint32_t name_pair, const uint32_t *pairs,
                     uint32_t count);
int segment_compare(const Segment *segment, const uint32_t *a, uint32_t a_count, const uint32_t *b,
                    uint32_t b_count);
ErrCode segment_out_of_memory(Error *err);

/* Writes a tenant's logs, if it has any: streams in order, entries by time, exact doubles once. */
MUST_USE ErrCode segment_write_logs(Segment *segment, uint32_t tenant, Error *err);
/* Writes a tenant's traces, if it has any, by their first start; exact doubles once. */
MUST_USE ErrCode segment_write_spans(Segment *segment, uint32_t tenant, Error *err);
