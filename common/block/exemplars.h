#pragma once
/*
 * exemplars.h: the small things beside samples: exemplars and metadata. Private to common/block.
 */
#include "common/base/buf.h"
#include "common/block/block.h"

/* At most COLUMN_ITEMS_MAX. */
void exemplars_encode(const SelectedExemplar *exemplars, size_t count, Buf *out);
/* Appends those within [min, max] at out[*count]; labels point into `bytes`. times[] and values[]
 * have room for `items`. */
MUST_USE ErrCode exemplars_decode(Str bytes, size_t items, int64_t min_ms, int64_t max_ms,
                                  int64_t *times, double *values, SelectedExemplar *out,
                                  size_t *count, Error *err);

/* Strings point into `raw`. */
void metadata_encode(const MetadataItem *items, size_t count, Buf *out);
MUST_USE ErrCode metadata_decode(Str raw, Arena *arena, MetadataItem **out, size_t *count,
                                 Error *err);
