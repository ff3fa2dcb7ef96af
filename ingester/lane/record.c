/*
 * record.c: payloads to bytes and back. The bytes were checked by the frame's checksum, but are
 * read as if they hadn't been.
 */
#include "ingester/lane/record.h"

#include "common/block/block.h"
#include "common/block/stream.h"

/* ---------- samples ---------- */

static void writer_rewind(SampleWriter *writer) {
    writer->count = 0;
    writer->last_reference = 0;
    writer->last_time_ms = 0;
    writer->references = writer->reference_bytes;
    writer->times = writer->time_bytes;
    writer->values = writer->value_bytes;
}

void sample_writer_begin(SampleWriter *writer, Buf *group, uint32_t tenant) {
    writer->group = group;
    writer->tenant = tenant;
    writer_rewind(writer);
}

void sample_writer_flush(SampleWriter *writer) {
    size_t references = (size_t)(writer->references - writer->reference_bytes);
    size_t times = (size_t)(writer->times - writer->time_bytes);
    size_t start;

    if (writer->count == 0) return;
    start = wal_frame_begin(writer->group, RECORD_METRICS_SAMPLES, writer->tenant);
    buf_append_varint(writer->group, writer->count);
    buf_append_varint(writer->group, references);
    buf_append_varint(writer->group, times);
    buf_append(writer->group, writer->reference_bytes, references);
    buf_append(writer->group, writer->time_bytes, times);
    buf_append(writer->group, writer->value_lengths, (writer->count + 1) / 2);
    buf_append(writer->group, writer->value_bytes, (size_t)(writer->values - writer->value_bytes));
    wal_frame_end(writer->group, start);
    writer_rewind(writer);
}

void sample_writer_finish(SampleWriter *writer) {
    sample_writer_flush(writer);
}

static bool read_references(Str column, SampleColumns *out) {
    Reader r = reader_of(column);
    uint64_t last = 0;

    for (uint32_t i = 0; i < out->count; i++) {
        last += (uint64_t)reader_zigzag(&r);
        if (last > UINT32_MAX) return false;
        out->references[i] = (uint32_t)last;
    }
    return !r.failed && reader_at_end(&r);
}

static bool read_times(Str column, SampleColumns *out) {
    Reader r = reader_of(column);
    uint64_t last = 0;

    for (uint32_t i = 0; i < out->count; i++) {
        last += (uint64_t)reader_zigzag(&r);
        out->times[i] = (int64_t)last;
    }
    return !r.failed && reader_at_end(&r);
}

static bool read_values(Reader *r, Str lengths, SampleColumns *out) {
    for (uint32_t i = 0; i < out->count; i++) {
        unsigned bytes = (uint8_t)lengths.ptr[i / 2] >> (i % 2 * 4) & 15;
        uint64_t bits = 0;

        if (bytes > 8 || !reader_has(r, bytes)) return false;
        memcpy(&bits, r->at, bytes);
        r->at += bytes;
        if (bytes > 0) bits <<= 64 - 8 * bytes;
        memcpy(&out->values[i], &bits, sizeof bits);
    }
    return reader_at_end(r);
}

bool record_read_samples(Str payload, SampleColumns *out) {
    Reader r = reader_of(payload);
    uint64_t count = reader_varint(&r), references = reader_varint(&r), times = reader_varint(&r);
    Str columns[3];

    if (r.failed || count == 0 || count > RECORD_SAMPLES_MAX || references > reader_left(&r) ||
        times > reader_left(&r))
        return false;
    out->count = (uint32_t)count;
    columns[0] = reader_bytes(&r, references);
    columns[1] = reader_bytes(&r, times);
    columns[2] = reader_bytes(&r, (size_t)(count + 1) / 2);
    return !r.failed && read_references(columns[0], out) && read_times(columns[1], out) &&
           read_values(&r, columns[2], out);
}

/* ---------- entries ---------- */

static void put_prefixed(Buf *out, Str s) {
    buf_append_varint(out, s.len);
    buf_append_str(out, s);
}

static Buf *entry_begin(EntryWriter *writer) {
    if (writer->open && writer->group->len - writer->start > RECORD_ENTRIES_BYTES)
        entry_writer_finish(writer);
    if (!writer->open) {
        writer->start = wal_frame_begin(writer->group, writer->type, writer->tenant);
        writer->open = true;
        if (writer->prefix.len > 0) put_prefixed(writer->group, writer->prefix);
    }
    return writer->group;
}

void entry_writer_finish(EntryWriter *writer) {
    if (writer->open) wal_frame_end(writer->group, writer->start);
    writer->open = false;
}

void record_add_series(EntryWriter *writer, uint32_t reference, Hash128 id, Str labels) {
    Buf *out = entry_begin(writer);

    buf_append_varint(out, reference);
    buf_append_u64(out, id.low);
    buf_append_u64(out, id.high);
    put_prefixed(out, labels);
}

bool record_read_series(Reader *r, SeriesEntry *out) {
    uint64_t reference = reader_varint(r);

    out->reference = (uint32_t)reference;
    out->id.low = reader_u64(r);
    out->id.high = reader_u64(r);
    out->labels = reader_prefixed(r);
    return !r->failed && reference < UINT32_MAX;
}

void record_add_histogram(EntryWriter *writer, uint32_t reference, int64_t time_ms,
                          const NativeHistogram *histogram) {
    Buf *out = entry_begin(writer);
    size_t max = stream_histogram_bytes_max(histogram), length_at, bytes;
    StreamState state = {0};
    uint32_t length;
    char *room;

    buf_append_varint(out, reference);
    length_at = out->len;
    buf_append_u32(out, 0);
    room = buf_reserve(out, max);
    if (room == NULL) return; /* the group has failed */
    bytes = stream_append_histogram(&state, (uint8_t *)room, time_ms, histogram);
    buf_added(out, bytes);
    length = (uint32_t)bytes;
    memcpy(out->ptr + length_at, &length, sizeof length);
}

bool record_read_histogram(Reader *r, Arena *arena, uint32_t *ret_reference, int64_t *ret_time_ms,
                           const NativeHistogram **out) {
    uint64_t reference = reader_varint(r);
    uint32_t length = reader_u32(r);
    ChunkView view = {.kind = CHUNK_STREAM, .count = 1, .in_order = true};
    ChunkSamples samples;

    if (r->failed || reference >= UINT32_MAX || length > reader_left(r)) return false;
    view.bytes = reader_bytes(r, length);
    if (stream_decode(&view, arena, &samples, NULL) != ERR_OK || samples.histogram_count != 1)
        return false;
    *ret_reference = (uint32_t)reference;
    *ret_time_ms = samples.histogram_times[0];
    *out = samples.histograms[0];
    return true;
}

void record_add_exemplar(EntryWriter *writer, uint32_t reference, const MetricsExemplar *exemplar) {
    Buf *out = entry_begin(writer);
    uint64_t bits;

    memcpy(&bits, &exemplar->value, sizeof bits);
    buf_append_varint(out, reference);
    buf_append_zigzag(out, exemplar->time_ms);
    buf_append_u64(out, bits);
    put_prefixed(out, exemplar->labels);
}

bool record_read_exemplar(Reader *r, uint32_t *ret_reference, MetricsExemplar *out) {
    uint64_t reference = reader_varint(r);

    *ret_reference = (uint32_t)reference;
    out->time_ms = reader_zigzag(r);
    out->value = reader_double(r);
    out->labels = reader_prefixed(r);
    return !r->failed && reference < UINT32_MAX;
}

void record_add_metadata(EntryWriter *writer, const MetricsMetadata *item) {
    Buf *out = entry_begin(writer);

    buf_append_byte(out, (char)item->type);
    put_prefixed(out, item->metric);
    put_prefixed(out, item->help);
    put_prefixed(out, item->unit);
}

bool record_read_metadata(Reader *r, MetricsMetadata *out) {
    uint8_t type = reader_u8(r);

    out->metric = reader_prefixed(r);
    out->help = reader_prefixed(r);
    out->unit = reader_prefixed(r);
    if (r->failed || type > METRIC_STATESET) return false;
    out->type = (MetricType)type;
    return true;
}

/* ---------- lines ---------- */

static void patch_u32(Buf *out, size_t at, size_t value) {
    uint32_t v = (uint32_t)value;

    if (!buf_failed(out)) memcpy(out->ptr + at, &v, sizeof v);
}

void record_add_lines(EntryWriter *writer, uint32_t reference, const LogEntry *entries,
                      size_t count) {
    for (size_t i = 0; i < count;) {
        Buf *out = entry_begin(writer);
        LogStreamState state = {0};
        size_t counts_at, start;

        buf_append_varint(out, reference);
        counts_at = out->len;
        buf_append_u64(out, 0);
        start = out->len;
        /* At least one, so that it ends, and no more than what fills the frame. */
        do {
            char *room = buf_reserve(out, log_stream_bytes_max(&entries[i]));

            if (room == NULL) return; /* the group has failed */
            buf_added(out, log_stream_append(&state, (uint8_t *)room, &entries[i]));
        } while (++i < count && out->len - writer->start <= RECORD_ENTRIES_BYTES);
        patch_u32(out, counts_at, state.count);
        patch_u32(out, counts_at + sizeof(uint32_t), out->len - start);
    }
}

bool record_read_lines(Reader *r, LogRun *out) {
    uint64_t reference = reader_varint(r);
    uint32_t count = reader_u32(r), bytes = reader_u32(r);

    if (r->failed || reference >= UINT32_MAX || count == 0 || bytes > reader_left(r)) return false;
    *out = (LogRun){(uint32_t)reference, count, log_stream_reader(reader_bytes(r, bytes))};
    return true;
}

bool record_next_line(LogRun *run, LogEntry *out, bool *ret_whole) {
    *ret_whole = true;
    if (run->count == 0 && run->entries.at == run->entries.end) return false;
    if (run->count > 0 && log_stream_next(&run->entries, out) &&
        out->line.len <= LOG_LINE_BYTES_MAX && out->metadata.len <= LOG_METADATA_BYTES_MAX) {
        run->count--;
        return true;
    }
    *ret_whole = false;
    return false;
}

/* ---------- spans ---------- */

void record_add_span(EntryWriter *writer, uint32_t origin, Str message) {
    Buf *out = entry_begin(writer);

    buf_append_varint(out, origin);
    put_prefixed(out, message);
}

bool record_read_push(Reader *r, uint32_t *ret_push) {
    Str prefix = reader_prefixed(r);

    if (r->failed || prefix.len != sizeof *ret_push) return false;
    memcpy(ret_push, prefix.ptr, sizeof *ret_push);
    return true;
}

bool record_read_span(Reader *r, uint32_t *ret_origin, Str *ret_message) {
    uint64_t origin = reader_varint(r);

    *ret_origin = (uint32_t)origin;
    *ret_message = reader_prefixed(r);
    return !r->failed && origin < UINT32_MAX;
}

/* ---------- tenants ---------- */

void record_add_tenant(Buf *group, uint32_t tenant, Str name) {
    size_t start = wal_frame_begin(group, RECORD_TENANT, tenant);

    buf_append_str(group, name);
    wal_frame_end(group, start);
}
