#pragma once
/*
 * match.h: which series of an index match a selector. Private to common/block.
 */
#include "common/batch/matcher.h"
#include "common/block/index.h"

/* Numbers of the series that match all matchers, ascending, in `arena`. */
MUST_USE ErrCode series_match(const Dictionary *dictionary, const SeriesIndex *series,
                              const Matcher *matchers, size_t matcher_count, Arena *arena,
                              uint32_t **out, size_t *count, Error *err);
