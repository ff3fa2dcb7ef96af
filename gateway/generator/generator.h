#pragma once
/*
 * generator.h: metrics derived from spans as they come in: span metrics and service graphs, as
 * Tempo's metrics-generator makes them, stored as the tenant's own metrics.
 *
 * It stands between who decodes spans and who stores them: batches pass through, and what was
 * stored is counted before its sender is answered. Every `interval_ms` all counters are written to
 * the sink of metrics. They count from zero in each process, as any counter does.
 *
 * Thread-safe. What is counted is bounded per tenant by metrics_generator.series_max and
 * service_graphs.edges_max, and altogether by `budget`; what doesn't fit is counted as dropped.
 */
#include "common/base/clock.h"
#include "common/batch/sink.h"
#include "common/tenant/tenant.h"

typedef struct Generator Generator;

/* All borrowed, and outliving the generator. */
typedef struct GeneratorOptions {
    SpansSink *spans;     /* where batches go on to */
    MetricsSink *metrics; /* what becomes of them */
    Tenants *tenants;
    Budget *budget;      /* NULL: not accounted */
    const Clock *clock;  /* NULL: clock_system() */
    int64_t interval_ms; /* 0: only generator_collect() writes */
} GeneratorOptions;

/* Begins to write every `interval_ms`. */
MUST_USE ErrCode generator_new(const GeneratorOptions *options, Generator **out, Error *err);
/* Writes once more, and then nothing. While the sinks still work. */
void generator_stop(Generator *generator);
/* After the last batch was answered. NULL is fine. */
void generator_free(Generator *generator);
DEFINE_CLEANUP(Generator, generator_free)

/* Where the gateway appends its batches: lives as long as the generator. */
SpansSink *generator_sink(Generator *generator);

/* Writes what was counted, now. Returns when it is stored, or couldn't be. */
void generator_collect(Generator *generator);
