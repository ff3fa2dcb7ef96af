#pragma once
/*
 * writer.h: what the writers of all signals have in common: parts and their labels. Private to
 * common/block.
 */
#include "common/block/container.h"
#include "common/block/index.h"

enum {
    SECTION_CODEC = 1,
    INDEX_LEVEL = 6,   /* an index is small and read whole */
    LABELS_MAX = 4096, /* of one series or stream */
};

typedef struct LogWriter LogWriter;       /* log_writer.c */
void log_writer_free(LogWriter *logs);    /* NULL is fine */
typedef struct SpanWriter SpanWriter;     /* span_writer.c */
void span_writer_free(SpanWriter *spans); /* NULL is fine */

/* What is waiting for its page to fill. */
typedef struct Pending {
    Buf buf;
    PageType type;
} Pending;

struct BlockWriter {
    Arena *arena;
    ContainerWriter *container;
    int64_t created_ms;
    uint64_t times_seed; /* of no consequence for what is written, but nobody can prepare for it */

    /* The part being written; `index` and what is in it go when the part ends. */
    bool open;
    Signal signal;
    Arena *index;
    uint64_t part_offset;
    DictionaryBuilder *dictionary;
    SeriesBuilder series;
    ChunkIndexBuilder chunks;
    ExemplarEntry *exemplars;
    size_t exemplar_count, exemplar_capacity;
    Hash128 *times_hashes; /* by column */
    size_t times_hash_capacity;
    uint32_t *times_slots; /* from hash to column + 1 */
    size_t times_slot_count;
    Pending values, times, exemplar_pages;
    Buf column; /* the one being encoded */
    Buf metadata;
    size_t metadata_count;
    BlockPart part;
    uint32_t last_numbers[LABELS_MAX]; /* the labels of the series before */
    LabelPair last_pairs[LABELS_MAX];
    size_t last_count;
    bool any_series;
    LogWriter *logs;   /* NULL until there are some */
    SpanWriter *spans; /* likewise */
};

ErrCode writer_no_memory(Error *err);
MUST_USE ErrCode writer_part_begin(BlockWriter *writer, Str tenant, Signal signal, Error *err);
/* Checks the order, adds the labels. */
MUST_USE ErrCode writer_series(BlockWriter *writer, LabelPairs labels, Error *err);
/* Writes what `buf` holds as a section and empties it. */
MUST_USE ErrCode writer_blob(BlockWriter *writer, SectionKind kind, Buf *buf, Error *err);
/* Dictionary and series, side by side. */
MUST_USE ErrCode writer_labels(BlockWriter *writer, SectionKind dictionary, SectionKind series,
                               Error *err);
MUST_USE ErrCode writer_part_end(BlockWriter *writer, Error *err);
