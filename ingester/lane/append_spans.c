/*
 * append_spans.c: the way of a span, in the shape of a log line's: origins and traces are found or
 * made, spans encoded into the group as they were sent, and applied to the head once that is
 * durable.
 */
#include <stdlib.h>

#include "ingester/lane/append.h"

static const SpansItem *part_item(const AppendPart *part, uint32_t i) {
    return &part->append->spans->items[part->append->order[part->start + i]];
}

/* What applying the part may need. ERR_INVALID: a span that whoever decoded should have refused. */
static ErrCode part_bytes(const AppendPart *part, size_t *out, Error *err) {
    size_t bytes = SPANS_CHUNK_BYTES;

    for (uint32_t i = 0; i < part->count; i++) {
        size_t message = part_item(part, i)->span.len;

        if (message > SPAN_BYTES_MAX)
            return error_set(err, ERR_INVALID, "a span of %zu bytes", message);
        bytes += spans_head_bytes(message);
    }
    *out = bytes;
    return ERR_OK;
}

static bool begin_origins(Lane *lane, size_t count) {
    if (count > lane->origin_capacity) {
        uint32_t *grown = realloc(lane->origins, count * sizeof *grown);

        if (grown == NULL) return false;
        lane->origins = grown;
        lane->origin_capacity = count;
    }
    for (size_t i = 0; i < count; i++) lane->origins[i] = SPANS_NONE;
    return true;
}

/* Finds or makes the origin, and puts its definition into the group if the log lacks it. */
static ErrCode resolve_origin(Lane *lane, const SpansOrigin *origin, EntryWriter *definitions,
                              uint32_t *out, Error *err) {
    SpansHead *head = &lane->live->spans;
    uint32_t number = spans_head_find_origin(head, origin->id);

    if (number == SPANS_NONE &&
        spans_head_add_origin(head, origin->id, origin->bytes, &number, err) != ERR_OK)
        return err->code == ERR_LIMIT ? append_no_memory(lane, err) : err->code;
    *out = number;
    if (head_origin(head, number)->flags & (ORIGIN_LOGGED | ORIGIN_LOGGING)) return ERR_OK;
    if (number > LOGGING_NUMBER || !append_logging(lane, number | LOGGING_ORIGIN))
        return append_no_memory(lane, err);
    head_origin(head, number)->flags |= ORIGIN_LOGGING;
    record_add_series(definitions, number, origin->id, origin->bytes);
    return ERR_OK;
}

static ErrCode resolve_origins(Lane *lane, AppendPart *part, const GenerationTenant *tenant,
                               Error *err) {
    const SpansBatch *batch = part->append->spans;
    EntryWriter definitions = entry_writer(&lane->group, RECORD_TRACES_ORIGINS, part->tenant);

    definitions.prefix = tenant->name;
    if (!begin_origins(lane, batch->origin_count)) return append_no_memory(lane, err);
    for (uint32_t i = 0; i < part->count; i++) {
        uint32_t origin = part_item(part, i)->origin;

        if (lane->origins[origin] == SPANS_NONE)
            TRY(resolve_origin(lane, &batch->origins[origin], &definitions, &lane->origins[origin],
                               err));
    }
    entry_writer_finish(&definitions);
    return ERR_OK;
}

/* Whether the trace may have one more span; counts and tells when it may not. */
static bool trace_has_room(AppendPart *part, const GenerationTenant *tenant, uint32_t i,
                           const HeadTrace *trace, size_t message) {
    uint32_t number = part->append->order[part->start + i];
    uint64_t bytes = trace->bytes + trace->queued_bytes + message;
    uint64_t spans = (uint64_t)trace->span_count + trace->queued + 1;
    bool by_bytes = tenant->trace_bytes_max > 0 && bytes > tenant->trace_bytes_max;
    Error err;

    if (!by_bytes && (tenant->trace_spans_max == 0 || spans <= tenant->trace_spans_max))
        return true;
    part->result.over_limit++;
    if (number >= part->first_row) return false;
    error_set(&err, ERR_LIMIT,
              "a trace is too large: %s is %llu for tenant " STR_FMT
              "; raise limits.%s or the tenant's override of it",
              by_bytes ? "trace_bytes_max" : "trace_spans_max",
              (unsigned long long)(by_bytes ? tenant->trace_bytes_max : tenant->trace_spans_max),
              STR_ARG(tenant->name), by_bytes ? "trace_bytes_max" : "trace_spans_max");
    part_note(part, number, &err);
    return false;
}

/* The first `count` of the part's spans are no longer in the group being built. */
static void unqueue(Lane *lane, const AppendPart *part, uint32_t count) {
    const uint32_t *traces = part->append->series + part->start;

    for (uint32_t i = 0; i < count; i++) {
        HeadTrace *trace;

        if (traces[i] == SPANS_NONE) continue;
        trace = head_trace(&lane->live->spans, traces[i]);
        trace->queued--;
        trace->queued_bytes -= part_item(part, i)->span.len;
    }
}

void append_spans_drop(Lane *lane, const AppendPart *part) {
    unqueue(lane, part, part->count);
}

ErrCode append_spans_encode(Lane *lane, AppendPart *part, GenerationTenant *tenant, Error *err) {
    SpansHead *head = &lane->live->spans;
    uint32_t *traces = part->append->series + part->start;
    EntryWriter writer = entry_writer(&lane->group, RECORD_TRACES_SPANS, part->tenant);
    size_t bytes = 0;

    part->push = ++lane->pushes;
    writer.prefix = (Str){(const char *)&part->push, sizeof part->push};
    TRY(part_bytes(part, &bytes, err));
    if (!metrics_head_reserve(&lane->live->metrics, bytes)) return append_no_memory(lane, err);
    TRY(resolve_origins(lane, part, tenant, err));
    for (uint32_t i = 0; i < part->count; i++) {
        const SpansItem *item = part_item(part, i);
        HeadTrace *trace;

        traces[i] = spans_head_trace(head, part->tenant, &item->trace);
        if (traces[i] == SPANS_NONE) {
            unqueue(lane, part, i);
            return append_no_memory(lane, err);
        }
        trace = head_trace(head, traces[i]);
        if (!trace_has_room(part, tenant, i, trace, item->span.len)) {
            traces[i] = SPANS_NONE;
            continue;
        }
        trace->queued++;
        trace->queued_bytes += item->span.len;
        record_add_span(&writer, lane->origins[item->origin], item->span);
    }
    entry_writer_finish(&writer);
    return ERR_OK;
}

void append_spans_apply(Lane *lane, AppendPart *part) {
    const SpansBatch *batch = part->append->spans;
    const uint32_t *traces = part->append->series + part->start;
    SpansHead *head = &lane->live->spans;
    uint64_t bytes = 0;

    unqueue(lane, part, part->count);
    /* Other parts of the group came between: the batch's origins are looked up again. */
    for (uint32_t i = 0, last = SPANS_NONE, origin = SPANS_NONE; i < part->count; i++) {
        const SpansItem *item = part_item(part, i);

        if (traces[i] == SPANS_NONE) continue;
        if (item->origin != last) {
            last = item->origin;
            origin = spans_head_find_origin(head, batch->origins[last].id);
        }
        spans_head_append(head, traces[i], origin, part->push, item->start_ns, item->end_ns,
                          item->span);
        bytes += item->span.len;
        part->result.spans++;
    }
    counter_add(lane->metrics.spans, part->result.spans);
    counter_add(lane->metrics.span_bytes, bytes);
    counter_add(lane->metrics.spans_over_limit, part->result.over_limit);
}
