/*
 * logs_model.h: made-up streams of log entries, kept beside the object they are written to, so that
 * tests can compare what comes back byte for byte.
 */
#pragma once
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "common/block/log_stream.h"
#include "common/block/logs.h"

typedef struct ModelStream {
    LabelPairs labels;
    LogRows rows;
} ModelStream;

typedef struct LogsModel {
    Arena *arena;
    ModelStream *streams;
    size_t stream_count;
    Buf object;
    BlockSummary summary;
} LogsModel;

static uint64_t logs_state = 0x9e3779b97f4a7c15u;

static inline uint64_t logs_random(void) {
    logs_state ^= logs_state << 13;
    logs_state ^= logs_state >> 7;
    logs_state ^= logs_state << 17;
    return logs_state;
}

static inline Str logs_hex(Arena *arena, size_t digits, bool upper) {
    char *text = arena_alloc_bytes(arena, digits + 1);

    for (size_t i = 0; i < digits; i++)
        text[i] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[logs_random() % 16];
    return (Str){text, digits};
}

static inline Str logs_uuid(Arena *arena) {
    return str_format(arena, STR_FMT "-" STR_FMT "-4" STR_FMT "-a" STR_FMT "-" STR_FMT,
                      STR_ARG(logs_hex(arena, 8, false)), STR_ARG(logs_hex(arena, 4, false)),
                      STR_ARG(logs_hex(arena, 3, false)), STR_ARG(logs_hex(arena, 3, false)),
                      STR_ARG(logs_hex(arena, 12, false)));
}

/* Any bytes at all. */
static inline Str logs_noise(Arena *arena, size_t bytes_max) {
    size_t n = logs_random() % (bytes_max + 1);
    char *text = arena_alloc_bytes(arena, n + 1);

    for (size_t i = 0; i < n; i++) text[i] = (char)logs_random();
    return (Str){text, n};
}

/* Pieces that codecs of numbers and ids may get wrong, side by side in any order. */
static inline Str logs_mosaic(Arena *arena) {
    static const Str PIECES[] = {
        STR_INIT("0"),
        STR_INIT("00"),
        STR_INIT("007"),
        STR_INIT("-"),
        STR_INIT("."),
        STR_INIT(":"),
        STR_INIT("1.50"),
        STR_INIT("0.0"),
        STR_INIT("."),
        STR_INIT("12:34:56"),
        STR_INIT("24:60:61"),
        STR_INIT("23:59:59.999999"),
        STR_INIT("1e9"),
        STR_INIT("deadbeef"),
        STR_INIT("DEADBEEF"),
        STR_INIT("DeadBeef"),
        STR_INIT("0xff"),
        STR_INIT("127.0.0.1"),
        STR_INIT("256.1.1.1"),
        STR_INIT("01.2.3.4"),
        STR_INIT("1.2.3.4.5"),
        STR_INIT("999999999999999999"),
        STR_INIT("18446744073709551616"),
        STR_INIT("é"),
        STR_INIT("\xff\xfe"),
        STR_INIT(" "),
        STR_INIT("="),
        STR_INIT("\""),
        STR_INIT("\n"),
        STR_INIT("_"),
        STR_INIT("pod-x7k2z"),
        STR_INIT("00000000000000000000"),
        STR_INIT("\x01"),
        STR_INIT("\x10"),
        STR_INIT("\x1f"),
        STR_INIT("2026-01-05T03:04:05.006Z"),
        STR_INIT("v1"),
        STR_INIT("ABCDEF0123456789abcdef"),
    };
    CLEANUP_IN_PLACE(buf_done) Buf line;
    size_t n = logs_random() % 12;

    buf_init(&line, 0);
    for (size_t i = 0; i < n; i++) {
        uint64_t what = logs_random() % 20;

        if (what == 0)
            buf_append_str(&line, logs_uuid(arena));
        else if (what == 1)
            buf_append_str(&line, logs_hex(arena, logs_random() % 70, logs_random() % 2 == 0));
        else if (what == 2)
            buf_append_byte(&line, 0);
        else if (what == 3)
            buf_printf(&line, "%llu", (unsigned long long)(logs_random() >> logs_random() % 64));
        else
            buf_append_str(&line, PIECES[logs_random() % ARRAY_LEN(PIECES)]);
    }
    return str_dup(arena, buf_str(&line));
}

static inline Str logs_line(Arena *arena, size_t shape, int64_t time_ns) {
    uint64_t second = (uint64_t)time_ns / 1000000000 % 86400;

    switch (shape % 6) {
    case 0:
        return str_format(arena,
                          "2023-11-14T%02d:%02d:%02d.%06dZ level=%s id=" STR_FMT
                          " status=%d duration=%d.%03dms ip=10.%d.0.%d",
                          (int)(second / 3600), (int)(second / 60 % 60), (int)(second % 60),
                          (int)((uint64_t)time_ns % 1000000000 / 1000),
                          logs_random() % 5 == 0 ? "error" : "info",
                          STR_ARG(logs_hex(arena, 32, false)), (int)(200 + logs_random() % 5),
                          (int)(logs_random() % 900), (int)(logs_random() % 1000),
                          (int)(logs_random() % 256), (int)(logs_random() % 256));
    case 1:
        return str_format(arena, "{\"request\":\"" STR_FMT "\",\"user\":%d}",
                          STR_ARG(logs_uuid(arena)), (int)(logs_random() % 200000));
    case 2:
        return logs_mosaic(arena);
    case 3:
        return logs_noise(arena, 40);
    case 4:
        return STR("always the same");
    default:
        return logs_random() % 2 == 0 ? (Str){"", 0} : logs_mosaic(arena);
    }
}

static inline Str logs_metadata(Arena *arena) {
    LabelPair pairs[2] = {{STR("level"), logs_random() % 3 == 0 ? STR("error") : STR("info")},
                          {STR("trace_id"), logs_hex(arena, 32, false)}};
    CLEANUP_IN_PLACE(buf_done) Buf bytes;

    buf_init(&bytes, 0);
    labels_encode((LabelPairs){pairs, 1 + logs_random() % 2}, &bytes);
    return str_dup(arena, buf_str(&bytes));
}

/* Every third stream has metadata; with `mixed`, all shapes in each stream. */
static inline void logs_stream(Arena *arena, size_t i, size_t rows, bool mixed, ModelStream *out) {
    LabelPair *pairs = ARENA_ARRAY(arena, LabelPair, 3);
    int64_t *times = ARENA_ARRAY(arena, int64_t, rows + 1);
    Str *lines = ARENA_ARRAY(arena, Str, rows + 1);
    Str *metadata = ARENA_ARRAY(arena, Str, rows + 1);
    int64_t time_ns = i % 4 == 3 ? -5000 : 1700000000000000000;

    pairs[0] = (LabelPair){STR("app"), i % 2 == 0 ? STR("api") : STR("web\xff")};
    pairs[1] = (LabelPair){STR("pod"), str_format(arena, "pod-%05zu", i)};
    out->labels = (LabelPairs){pairs, 2};
    for (size_t r = 0; r < rows; r++) {
        time_ns += logs_random() % 4 == 0 ? 0 : (int64_t)(logs_random() % 300000000);
        times[r] = time_ns;
        lines[r] = logs_line(arena, mixed ? logs_random() : i, time_ns);
        metadata[r] = logs_random() % 4 == 0 ? (Str){"", 0} : logs_metadata(arena);
    }
    out->rows = (LogRows){times, lines, i % 3 == 0 ? metadata : NULL, rows};
}

static inline int logs_compare(const void *a, const void *b) {
    return labels_compare(((const ModelStream *)a)->labels, ((const ModelStream *)b)->labels);
}

static inline LogRows logs_slice(const LogRows *rows, size_t first, size_t count) {
    return (LogRows){rows->times_ns + first, rows->lines + first,
                     rows->metadata == NULL ? NULL : rows->metadata + first, count};
}

static inline void logs_write(LogsModel *m) {
    BlockWriter *writer;
    Error err = {0};

    buf_init(&m->object, 0);
    writer = block_writer_new(m->arena, block_sink_buf(&m->object), 1700000000000);
    assert_non_null(writer);
    assert_ok(block_logs_begin(writer, STR("t"), &err), &err);
    for (size_t i = 0; i < m->stream_count; i++) {
        const LogRows *rows = &m->streams[i].rows;

        assert_ok(block_logs_stream(writer, m->streams[i].labels, &err), &err);
        for (size_t at = 0, n; at < rows->count; at += n) {
            size_t most = 1 + logs_random() % 3000;
            LogRows slice;

            n = MIN(rows->count - at, most);
            slice = logs_slice(rows, at, n);
            assert_ok(block_logs_rows(writer, &slice, &err), &err);
        }
    }
    assert_ok(block_logs_end(writer, &err), &err);
    assert_ok(block_writer_finish(writer, &m->summary, &err), &err);
    assert_int_equal(m->summary.bytes, m->object.len);
}

static inline void logs_make(LogsModel *m, size_t streams, size_t rows_max, bool mixed) {
    *m = (LogsModel){.arena = arena_new(0, NULL), .stream_count = streams};
    m->streams = ARENA_ARRAY(m->arena, ModelStream, streams + 1);
    for (size_t i = 0; i < streams; i++)
        logs_stream(m->arena, i, rows_max == 0 ? 0 : 1 + logs_random() % rows_max, mixed,
                    &m->streams[i]);
    qsort(m->streams, streams, sizeof(ModelStream), logs_compare);
    logs_write(m);
}

static inline void logs_done(LogsModel *m) {
    buf_done(&m->object);
    arena_free(m->arena);
}
