/*
 * append_logs.c: the way of a log line, in the shape of a sample's: streams are found or made,
 * lines encoded into the group, and applied to the head once that is durable.
 */
#include "ingester/lane/append.h"

enum { STREAM_BYTES = LOGS_CHUNK_MIN }; /* a guess at what a stream takes besides its lines */

static const LogStream *part_stream(const AppendPart *part, uint32_t i) {
    return &part->append->logs->streams[part->append->order[part->start + i]];
}

static const LogEntry *stream_entries(const AppendPart *part, const LogStream *stream) {
    return &part->append->logs->entries[stream->entry_start];
}

/* What applying the part may need. ERR_INVALID: an entry that whoever decoded should have refused.
 */
static ErrCode part_bytes(const AppendPart *part, size_t *out, Error *err) {
    size_t bytes = 4096;

    for (uint32_t i = 0; i < part->count; i++) {
        const LogStream *stream = part_stream(part, i);
        const LogEntry *entries = stream_entries(part, stream);

        bytes += STREAM_BYTES;
        for (uint32_t k = 0; k < stream->entry_count; k++) {
            if (entries[k].line.len > LOG_LINE_BYTES_MAX ||
                entries[k].metadata.len > LOG_METADATA_BYTES_MAX)
                return error_set(err, ERR_INVALID,
                                 "a log entry with a line of %zu bytes and %zu bytes of metadata",
                                 entries[k].line.len, entries[k].metadata.len);
            bytes += log_stream_bytes_max(&entries[k]);
        }
    }
    *out = bytes;
    return ERR_OK;
}

static void over_limit(AppendPart *part, const GenerationTenant *tenant, uint32_t i,
                       const LogStream *stream) {
    Error err;

    part->result.over_limit += stream->entry_count;
    if (part->append->order[part->start + i] >= part->first_row) return;
    error_set(&err, ERR_LIMIT,
              "limit of active streams reached: streams_max is %llu for tenant " STR_FMT
              "; raise limits.streams_max or the tenant's override of it",
              (unsigned long long)tenant->streams_max, STR_ARG(tenant->name));
    part_note(part, part->append->order[part->start + i], &err);
}

/* *ret_stream stays LOGS_NONE when the stream is past the limit. */
static ErrCode new_stream(Lane *lane, AppendPart *part, GenerationTenant *tenant, uint32_t i,
                          uint32_t *ret_stream, Error *err) {
    const LogStream *stream = part_stream(part, i);
    _Atomic int64_t *live = &tenant->active->streams.live;
    ErrCode code;

    /* Counted first: other lanes make streams of this tenant at the same time. */
    if (atomic_fetch_add_explicit(live, 1, memory_order_relaxed) >= (int64_t)tenant->streams_max &&
        tenant->streams_max > 0) {
        atomic_fetch_sub_explicit(live, 1, memory_order_relaxed);
        over_limit(part, tenant, i, stream);
        return ERR_OK;
    }
    if (stream->labels.len > RECORD_LABEL_BYTES_MAX)
        code = error_set(err, ERR_INVALID, "a stream with %zu bytes of labels", stream->labels.len);
    else
        code = logs_head_add(&lane->live->logs, part->tenant, stream->id, stream->labels,
                             ret_stream, err);
    if (code != ERR_OK) atomic_fetch_sub_explicit(live, 1, memory_order_relaxed);
    return code == ERR_LIMIT ? append_no_memory(lane, err) : code;
}

/* Finds or makes every stream, and puts the definitions that the log lacks into the group. */
static ErrCode resolve(Lane *lane, AppendPart *part, GenerationTenant *tenant, Error *err) {
    LogsHead *head = &lane->live->logs;
    uint32_t *streams = part->append->series + part->start;
    EntryWriter definitions = entry_writer(&lane->group, RECORD_LOGS_STREAMS, part->tenant);

    definitions.prefix = tenant->name;
    for (uint32_t i = 0; i < part->count; i++)
        table_prefetch(&head->table, (uint32_t)part_stream(part, i)->id.low);
    for (uint32_t i = 0; i < part->count; i++) {
        const LogStream *stream = part_stream(part, i);
        HeadStream *held;

        streams[i] = logs_head_find(head, stream->id);
        if (streams[i] == LOGS_NONE) TRY(new_stream(lane, part, tenant, i, &streams[i], err));
        if (streams[i] == LOGS_NONE) continue;
        held = head_stream(head, streams[i]);
        if (held->flags & (STREAM_LOGGED | STREAM_LOGGING)) continue;
        if (!append_logging(lane, streams[i] | LOGGING_STREAM)) return append_no_memory(lane, err);
        held->flags |= STREAM_LOGGING;
        record_add_series(&definitions, streams[i], stream->id, stream->labels);
    }
    entry_writer_finish(&definitions);
    return ERR_OK;
}

ErrCode append_logs_encode(Lane *lane, AppendPart *part, GenerationTenant *tenant, Error *err) {
    const uint32_t *streams = part->append->series + part->start;
    EntryWriter writer = entry_writer(&lane->group, RECORD_LOGS_LINES, part->tenant);
    size_t bytes = 0;

    TRY(part_bytes(part, &bytes, err));
    if (!metrics_head_reserve(&lane->live->metrics, bytes)) return append_no_memory(lane, err);
    TRY(resolve(lane, part, tenant, err));
    for (uint32_t i = 0; i < part->count; i++) {
        const LogStream *stream = part_stream(part, i);

        if (streams[i] != LOGS_NONE)
            record_add_lines(&writer, streams[i], stream_entries(part, stream),
                             stream->entry_count);
    }
    entry_writer_finish(&writer);
    return ERR_OK;
}

void append_logs_apply(Lane *lane, AppendPart *part) {
    const uint32_t *streams = part->append->series + part->start;
    const GenerationTenant *tenant = generation_tenant(lane->live, part->tenant);
    LogTails *tails = lane->options.ingester->tails;
    bool watched = log_tails_watched(tails);
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < part->count; i++) {
        const LogStream *stream = part_stream(part, i);
        const LogEntry *entries = stream_entries(part, stream);

        if (streams[i] == LOGS_NONE) continue;
        if (UNLIKELY(watched)) log_tails_offer(tails, part->append->tenant, stream, entries);
        for (uint32_t k = 0; k < stream->entry_count; k++) {
            logs_head_append(&lane->live->logs, streams[i], &entries[k]);
            bytes += entries[k].line.len + entries[k].metadata.len;
        }
        part->result.entries += stream->entry_count;
    }
    active_show(&tenant->active->streams);
    counter_add(lane->metrics.entries, part->result.entries);
    counter_add(lane->metrics.entry_bytes, bytes);
    counter_add(lane->metrics.entries_over_limit, part->result.over_limit);
}
