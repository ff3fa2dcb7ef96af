/*
 * wal_reader.c: the reader of the write-ahead log over any bytes, and the readers of payloads over
 * what it lets through.
 *
 * The first byte of the input chooses: even, the rest is a file as it lies on disk; odd, it is a
 * payload whose type the second byte gives, as if its checksum had matched.
 */
#include <stdlib.h>

#include "ingester/lane/record.h"
#include "ingester/wal/reader.h"
#include "tests/fuzz/fuzz.h"

enum { SALT = 77, EPOCH = 3 };

static void read_series(Str payload) {
    Reader r = reader_of(payload);
    Str tenant = reader_prefixed(&r);
    SeriesEntry entry;

    assert(tenant.len <= payload.len);
    while (reader_left(&r) > 0 && record_read_series(&r, &entry)) {
        Arena *arena = arena_new(MIB(64), NULL);
        LabelPairs labels;

        assert(entry.labels.ptr + entry.labels.len <= payload.ptr + payload.len);
        (void)!labels_decode(entry.labels, arena, &labels, NULL);
        arena_free(arena);
    }
}

static void read_histograms(Str payload) {
    Reader r = reader_of(payload);
    Arena *arena = arena_new(MIB(64), NULL);
    const NativeHistogram *histogram;
    uint32_t reference;
    int64_t time_ms;

    while (reader_left(&r) > 0 &&
           record_read_histogram(&r, arena, &reference, &time_ms, &histogram))
        assert(histogram->positive_count <= HISTOGRAM_BUCKETS_MAX);
    arena_free(arena);
}

static void read_lines(Str payload) {
    Reader r = reader_of(payload);
    size_t bytes = 0;
    LogRun run;

    while (reader_left(&r) > 0 && record_read_lines(&r, &run)) {
        uint32_t left = run.count;
        LogEntry entry;
        bool whole;

        for (; record_next_line(&run, &entry, &whole); left--) {
            assert(left > 0);
            assert(entry.line.ptr >= payload.ptr &&
                   entry.metadata.ptr + entry.metadata.len <= payload.ptr + payload.len);
            bytes += entry.line.len + entry.metadata.len;
        }
        assert(!whole || left == 0);
    }
    assert(bytes <= payload.len);
}

static void read_payload(uint8_t type, Str payload) {
    static SampleColumns columns;
    Reader r = reader_of(payload);
    MetricsExemplar exemplar;
    MetricsMetadata metadata;
    uint32_t reference;

    switch (type) {
    case RECORD_METRICS_SERIES:
    case RECORD_LOGS_STREAMS:
        read_series(payload);
        break;
    case RECORD_METRICS_SAMPLES:
        if (record_read_samples(payload, &columns)) assert(columns.count <= RECORD_SAMPLES_MAX);
        break;
    case RECORD_METRICS_HISTOGRAMS:
        read_histograms(payload);
        break;
    case RECORD_METRICS_EXEMPLARS:
        while (reader_left(&r) > 0 && record_read_exemplar(&r, &reference, &exemplar)) {
        }
        break;
    case RECORD_METRICS_METADATA:
        while (reader_left(&r) > 0 && record_read_metadata(&r, &metadata)) {
        }
        break;
    case RECORD_LOGS_LINES:
        read_lines(payload);
        break;
    default:
        break;
    }
}

static void read_file(Str bytes) {
    WalSource source = wal_source_memory(&bytes);
    WalReader *reader = NULL;
    uint64_t payload_bytes = 0;
    Error err;

    if (wal_reader_open(&source, 0, &reader, &err) != ERR_OK) return;
    for (;;) {
        WalRecord record;
        bool more;

        if (wal_reader_next(reader, &record, &more, &err) != ERR_OK) abort();
        if (!more) break;
        payload_bytes += record.payload.len;
        assert(record.payload_at + record.payload.len <= bytes.len);
        assert(memcmp(bytes.ptr + record.payload_at, record.payload.ptr, record.payload.len) == 0);
        read_payload(record.type, record.payload);
    }
    assert(wal_reader_report(reader)->end <= bytes.len && payload_bytes <= bytes.len);
    wal_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    if (data[0] % 2 == 0)
        read_file((Str){(const char *)data + 1, size - 1});
    else
        read_payload(data[1], (Str){(const char *)data + 2, size - 2});
    return 0;
}

/* ---------- seeds ---------- */

static void add_samples(Buf *group) {
    SampleWriter *writer = malloc(sizeof *writer);

    if (writer == NULL) abort();
    sample_writer_begin(writer, group, 0);
    for (uint32_t i = 0; i < 40; i++)
        sample_writer_add(writer, i * 3 % 17, 1700000000000 + i, i % 5 == 0 ? 0.1 * i : i);
    sample_writer_finish(writer);
    free(writer);
}

static void add_entries(Buf *group) {
    static const char labels[] = "\x0a\x0e\x0a\x08__name__\x12\x02up";
    EntryWriter series = entry_writer(group, RECORD_METRICS_SERIES, 0);
    EntryWriter histograms = entry_writer(group, RECORD_METRICS_HISTOGRAMS, 0);
    EntryWriter exemplars = entry_writer(group, RECORD_METRICS_EXEMPLARS, 0);
    EntryWriter metadata = entry_writer(group, RECORD_METRICS_METADATA, 0);
    double buckets[] = {1, 2};
    HistogramSpan span = {0, 2};
    NativeHistogram histogram = {.count = 3,
                                 .sum = 5,
                                 .positive_spans = &span,
                                 .positive_span_count = 1,
                                 .positive = buckets,
                                 .positive_count = 2};

    series.prefix = STR("team");
    record_add_series(&series, 1, (Hash128){1, 2}, (Str){labels, sizeof labels - 1});
    record_add_series(&series, 2, (Hash128){3, 4}, (Str){labels, sizeof labels - 1});
    entry_writer_finish(&series);
    record_add_histogram(&histograms, 1, 1000, &histogram);
    record_add_histogram(&histograms, 2, -1000, &histogram);
    entry_writer_finish(&histograms);
    record_add_exemplar(&exemplars, 1, &(MetricsExemplar){1000, 0.5, {labels, sizeof labels - 1}});
    entry_writer_finish(&exemplars);
    record_add_metadata(&metadata,
                        &(MetricsMetadata){STR("up"), STR("is it"), STR(""), METRIC_GAUGE});
    entry_writer_finish(&metadata);
}

static void add_lines(Buf *group) {
    static const char labels[] = "\x0a\x0a\x0a\x03"
                                 "app\x12\x03web";
    EntryWriter streams = entry_writer(group, RECORD_LOGS_STREAMS, 0);
    EntryWriter lines = entry_writer(group, RECORD_LOGS_LINES, 0);
    LogEntry entries[] = {{1700000000000000000, STR("level=info msg=\"done\" took=17ms"), {0}},
                          {1699999999000000000, STR("a\0b"), {labels, sizeof labels - 1}},
                          {1699999999000000000, {0}, {0}}};

    streams.prefix = STR("team");
    record_add_series(&streams, 0, (Hash128){5, 6}, (Str){labels, sizeof labels - 1});
    entry_writer_finish(&streams);
    record_add_lines(&lines, 0, entries, ARRAY_LEN(entries));
    record_add_lines(&lines, 7, entries, 1);
    entry_writer_finish(&lines);
}

/* What wal_commit() does to a group before it is written. */
static void seal(Buf *file, Str group) {
    for (size_t at = 0; at < group.len;) {
        WalFrame frame;
        size_t bytes, to = file->len;

        memcpy(&frame, group.ptr + at, sizeof frame);
        bytes = wal_frame_bytes(frame.length);
        frame.group = 1;
        buf_append(file, &frame, sizeof frame);
        buf_append(file, group.ptr + at + sizeof frame, bytes - sizeof frame);
        frame.crc = wal_frame_crc(SALT, to - 1, file->ptr + to, bytes);
        memcpy(file->ptr + to, &frame.crc, sizeof frame.crc);
        at += bytes;
    }
}

static void seed_file(Str group, Buf *out) {
    WalHeader header = {.version = WAL_VERSION, .epoch = EPOCH, .salt = SALT, .created_ms = 1000};

    memcpy(header.magic, WAL_MAGIC, sizeof header.magic);
    header.crc = wal_header_crc(&header);
    buf_append_byte(out, 0); /* "a file": offsets begin behind it */
    buf_append(out, &header, sizeof header);
    buf_append(out, &header, sizeof header);
    seal(out, group);
    buf_append_zeros(out, 100);
}

bool fuzz_seed(unsigned n, Buf *out) {
    Buf group;
    unsigned frame_number = 1;

    buf_init(&group, 0);
    record_add_tenant(&group, 0, STR("team"));
    add_entries(&group);
    add_samples(&group);
    add_lines(&group);
    if (n == 0) seed_file(buf_str(&group), out);
    /* Then each frame's payload alone. */
    for (size_t at = 0; n > 0 && at < group.len; frame_number++) {
        WalFrame frame;

        memcpy(&frame, group.ptr + at, sizeof frame);
        if (frame_number == n) {
            buf_append_byte(out, 1);
            buf_append_byte(out, (char)frame.type);
            buf_append(out, group.ptr + at + sizeof frame, frame.length);
        }
        at += wal_frame_bytes(frame.length);
    }
    buf_done(&group);
    return out->len > 0;
}
