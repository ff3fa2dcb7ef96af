#pragma once
/*
 * span_source.h: what a selection of traces is of. Private to common/block.
 */
#include "common/block/reader.h"

/* What an arena has pinned of a page. */
typedef struct FetchedPage {
    SpanPieces pieces;
} FetchedPage;

struct SpanSource {
    PartReader reader;
    _Atomic(const FetchedPage *) *fetched; /* by page; while the arena that fetched it lives */
};
