#include "tests/unit/traceql/fake_traces.h"

static ErrCode open_unit(const TraceSet *set, uint32_t unit, Arena *arena, SpanTable *out,
                         Error *err) {
    FakeTraces *fake = set->context;

    __atomic_fetch_add(&fake->opened, 1, __ATOMIC_RELAXED);
    return span_table_build(fake->spans + fake->first[unit],
                            fake->first[unit + 1] - fake->first[unit], arena, out, err);
}

static ErrCode more(const TraceSet *set, uint32_t unit, const SpanNeed *need, Arena *arena,
                    SpanTable *table, Error *err) {
    (void)set, (void)unit, (void)need, (void)arena, (void)table, (void)err;
    return ERR_OK;
}

static ErrCode select_units(TraceSource *source, QueryContext *query, const TraceSelect *request,
                            TraceSet *out, Error *err) {
    FakeTraces *fake = source->context;

    (void)query, (void)request, (void)err;
    *out = (TraceSet){.units = fake->units,
                      .count = fake->unit_count,
                      .open = open_unit,
                      .more = more,
                      .context = fake};
    return ERR_OK;
}

/* Units are newest first if traces are. */
void fake_traces_init(FakeTraces *fake, const Span *spans, size_t count, size_t spans_per_unit) {
    *fake = (FakeTraces){.spans = spans, .count = count, .spans_per_unit = spans_per_unit};
    fake->source = (TraceSource){.select = select_units, .context = fake};
    for (size_t i = 0; i < count;) {
        TraceUnit *unit = &fake->units[fake->unit_count];
        size_t end = i;

        *unit = (TraceUnit){.min_ns = INT64_MAX, .max_ns = INT64_MIN};
        while (end < count && (end - i < spans_per_unit ||
                               trace_id_equal(&spans[end].trace, &spans[end - 1].trace))) {
            unit->min_ns = MIN(unit->min_ns, spans[end].start_ns);
            unit->max_ns = MAX(unit->max_ns, spans[end].end_ns);
            end++;
        }
        unit->spans = end - i;
        fake->first[fake->unit_count++] = i;
        fake->first[fake->unit_count] = end;
        i = end;
    }
}
