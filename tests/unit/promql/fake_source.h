#pragma once
/*
 * fake_source.h: a SeriesSource of samples that a test put in, on the heap. Series with the same
 * instants share them by times_id, as stored ones do. A program that links this brings its own
 * SeriesScratch.
 */
#include "common/batch/labels.h"
#include "querier/exec/series.h"

typedef struct FakeSource FakeSource;

FakeSource *fake_source_new(void);
void fake_source_free(FakeSource *fake);
DEFINE_CLEANUP(FakeSource, fake_source_free)

/* Samples may come in any order; a later one replaces an earlier one of the same time. Labels are
 * copied and need not be sorted. Histograms are copied. */
void fake_source_add(FakeSource *fake, const LabelPair *labels, size_t count, int64_t time_ms,
                     double value);
void fake_source_add_histogram(FakeSource *fake, const LabelPair *labels, size_t count,
                               int64_t time_ms, const NativeHistogram *histogram);
/* Only floats read by a select hold no times_id when off. */
void fake_source_share_times(FakeSource *fake, bool share);

SeriesSource *fake_source_series(FakeSource *fake);
