#pragma once
/*
 * record.h: what the payloads of a lane's log mean. Types are numbered per signal: 1 to 15 for all,
 * 16 to 31 metrics, 32 to 47 logs, 48 to 63 traces. Never renumber.
 *
 *     tenant      the tenant's name; the frame's tenant field is its number in this epoch
 *     series      length-prefixed tenant's name (one damaged frame must not orphan all others),
 *                 then entries: varint reference, 16 bytes id, length-prefixed canonical labels
 *     samples     varint count, varint bytes of references, varint bytes of times; then columns:
 *                 references and times, zigzag differences from the one before; 4 bits a value, how
 *                 many bytes it has; the values, low zero bytes left out
 *     histograms  entries: varint reference, u32 length, stream (stream.h) of one histogram
 *     exemplars   entries: varint reference, zigzag time, f64 value, length-prefixed labels
 *     metadata    entries: type, length-prefixed metric, help, unit
 *     streams     as series
 *     lines       runs, each of one stream: varint reference, u32 entries, u32 bytes, then so many
 *                 bytes of log_stream.h
 *     origins     as series, with the origin's bytes for labels
 *     spans       length-prefixed u32, the number of the request, then entries: varint reference of
 *                 the origin, length-prefixed message Span as sent
 *
 * A reference is the index of the series, stream or origin in its head generation; definitions
 * come before first use.
 */
#include "common/base/reader.h"
#include "common/batch/metrics.h"
#include "common/block/log_stream.h"
#include "ingester/wal/wal.h"

enum {
    RECORD_TENANT = 1,
    RECORD_METRICS_SERIES = 16,
    RECORD_METRICS_SAMPLES = 17,
    RECORD_METRICS_HISTOGRAMS = 18,
    RECORD_METRICS_EXEMPLARS = 19,
    RECORD_METRICS_METADATA = 20,
    RECORD_LOGS_STREAMS = 32,
    RECORD_LOGS_LINES = 33,
    RECORD_TRACES_ORIGINS = 48,
    RECORD_TRACES_SPANS = 49,
};

enum {
    RECORD_SAMPLES_MAX = 4096,      /* in one frame */
    RECORD_ENTRIES_BYTES = 1 << 18, /* a frame of entries ends behind this */
    RECORD_LABEL_BYTES_MAX = 16 << 20,
};

/* ---------- writing ---------- */

/* Collects samples into frames of at most RECORD_SAMPLES_MAX; finish after the last. */
typedef struct SampleWriter {
    Buf *group;
    uint32_t tenant;
    uint32_t count;
    uint32_t last_reference;
    int64_t last_time_ms;
    uint8_t *references;
    uint8_t *times;
    uint8_t *values;
    uint8_t reference_bytes[RECORD_SAMPLES_MAX * 5];
    uint8_t time_bytes[RECORD_SAMPLES_MAX * 10];
    uint8_t value_lengths[RECORD_SAMPLES_MAX / 2];
    uint8_t value_bytes[RECORD_SAMPLES_MAX * 8 + 8];
} SampleWriter;

void sample_writer_begin(SampleWriter *writer, Buf *group, uint32_t tenant);
void sample_writer_flush(SampleWriter *writer);
void sample_writer_finish(SampleWriter *writer);

static inline uint8_t *record_put_varint(uint8_t *at, uint64_t v) {
    while (v >= 0x80) {
        *at++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *at++ = (uint8_t)v;
    return at;
}

static inline uint8_t *record_put_zigzag(uint8_t *at, int64_t v) {
    return record_put_varint(at, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

static inline void sample_writer_add(SampleWriter *writer, uint32_t reference, int64_t time_ms,
                                     double value) {
    uint64_t bits;
    unsigned bytes;

    if (UNLIKELY(writer->count == RECORD_SAMPLES_MAX)) sample_writer_flush(writer);
    writer->references =
        record_put_zigzag(writer->references, (int64_t)reference - (int64_t)writer->last_reference);
    writer->times = record_put_zigzag(
        writer->times, (int64_t)((uint64_t)time_ms - (uint64_t)writer->last_time_ms));
    writer->last_reference = reference;
    writer->last_time_ms = time_ms;
    memcpy(&bits, &value, sizeof bits);
    bytes = bits == 0 ? 0 : 8 - (unsigned)__builtin_ctzll(bits) / 8;
    if (bytes > 0) bits >>= 64 - 8 * bytes;
    memcpy(writer->values, &bits, sizeof bits);
    writer->values += bytes;
    if (writer->count % 2 == 0)
        writer->value_lengths[writer->count / 2] = (uint8_t)bytes;
    else
        writer->value_lengths[writer->count / 2] |= (uint8_t)(bytes << 4);
    writer->count++;
}

/* Frames of entries: one is opened by the first add and closed when full or by finish. */
typedef struct EntryWriter {
    Buf *group;
    uint32_t tenant;
    Str prefix; /* each frame begins with it, when it isn't empty */
    uint8_t type;
    bool open;
    size_t start;
} EntryWriter;

static inline EntryWriter entry_writer(Buf *group, uint8_t type, uint32_t tenant) {
    return (EntryWriter){.group = group, .tenant = tenant, .type = type};
}
void entry_writer_finish(EntryWriter *writer);
void record_add_series(EntryWriter *writer, uint32_t reference, Hash128 id, Str labels);
void record_add_histogram(EntryWriter *writer, uint32_t reference, int64_t time_ms,
                          const NativeHistogram *histogram);
void record_add_exemplar(EntryWriter *writer, uint32_t reference, const MetricsExemplar *exemplar);
void record_add_metadata(EntryWriter *writer, const MetricsMetadata *item);
/* `reference` is a stream's; several runs where one would become too long for a frame. */
void record_add_lines(EntryWriter *writer, uint32_t reference, const LogEntry *entries,
                      size_t count);
void record_add_span(EntryWriter *writer, uint32_t origin, Str message);
void record_add_tenant(Buf *group, uint32_t tenant, Str name);

/* ---------- reading: false when the payload isn't what it should be ---------- */

typedef struct SampleColumns {
    uint32_t count;
    uint32_t references[RECORD_SAMPLES_MAX];
    int64_t times[RECORD_SAMPLES_MAX];
    double values[RECORD_SAMPLES_MAX];
} SampleColumns;
MUST_USE bool record_read_samples(Str payload, SampleColumns *out);

typedef struct SeriesEntry {
    uint32_t reference;
    Hash128 id;
    Str labels;
} SeriesEntry;
/* Entries are read while reader_left() > 0; a series frame's first after its tenant's name. */
MUST_USE bool record_read_series(Reader *r, SeriesEntry *out);
/* The histogram lives in `arena`. */
MUST_USE bool record_read_histogram(Reader *r, Arena *arena, uint32_t *ret_reference,
                                    int64_t *ret_time_ms, const NativeHistogram **out);
MUST_USE bool record_read_exemplar(Reader *r, uint32_t *ret_reference, MetricsExemplar *out);
MUST_USE bool record_read_metadata(Reader *r, MetricsMetadata *out);

typedef struct LogRun {
    uint32_t reference;
    uint32_t count;
    LogStreamReader entries;
} LogRun;
MUST_USE bool record_read_lines(Reader *r, LogRun *out);
/* The run's next entry; false at its end, with *ret_whole telling whether all of it made sense. */
MUST_USE bool record_next_line(LogRun *run, LogEntry *out, bool *ret_whole);
/* Entries are read while reader_left() > 0, after the request's number. */
MUST_USE bool record_read_push(Reader *r, uint32_t *ret_push);
MUST_USE bool record_read_span(Reader *r, uint32_t *ret_origin, Str *ret_message);
