#pragma once
/*
 * log_index.h: where the pages of a tenant's streams are in one object. Private to common/block.
 * Bytes: docs/FORMATS.md#logs.
 *
 * A page holds pieces: runs of entries of one stream each. A big stream has pages of its own, small
 * ones share. Pieces lie in the pages in order of streams, and of time within a stream.
 */
#include "common/block/index.h"

typedef struct LogPiece {
    int64_t min_ns;
    int64_t max_ns;
    uint32_t rows;
    uint32_t first_row; /* in the page */
    uint32_t raw_bytes; /* of lines and metadata */
    uint32_t page;
} LogPiece;

typedef struct LogIndex {
    const DataPage *pages;
    const uint32_t *page_rows;
    const LogPiece *pieces;
    const uint32_t *piece_start; /* stream s has pieces [start[s], start[s + 1]) */
    uint32_t page_count;
    uint32_t piece_count;
    uint32_t stream_count;
} LogIndex;

/* `offset` and `length`: where the data section is. */
MUST_USE ErrCode log_index_decode(Str raw, uint64_t offset, uint64_t length, Arena *arena,
                                  LogIndex *out, Error *err);

typedef struct LogIndexBuilder {
    struct BuiltLogPage {
        uint32_t stored;
        uint32_t raw;
        uint32_t pieces;
    } * pages;
    size_t page_count, page_capacity;
    LogPiece *pieces;
    size_t piece_count, piece_capacity;
    uint32_t *per_stream; /* pieces */
    size_t stream_count, stream_capacity;
} LogIndexBuilder;
void log_index_build(const LogIndexBuilder *builder, Buf *out);
