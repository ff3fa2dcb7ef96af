/*
 * remote_read.c: raw samples for another Prometheus, in one piece or as a stream of its chunks.
 * https://prometheus.io/docs/prometheus/latest/querying/remote_read_api/
 */
#include <snappy-c.h>
#include <stdlib.h>

#include "common/base/hash.h"
#include "proto/wire/write.h"
#include "querier/api/internal.h"
#include "querier/api/prom_chunk.h"
#include "querier/api/read_request.h"

enum {
    FRAME_BYTES_MAX = 1 << 20,
    ANSWER_BYTES_MAX = 1 << 30,
};

/* ---------- what is selected, in order of labels ---------- */

typedef struct Order {
    const Symbols *symbols;
    const LabelSet *labels;
} Order;

static int compare_series(const void *a, const void *b, void *context) {
    const Order *order = context;

    return label_set_compare(order->symbols, order->labels[*(const uint32_t *)a],
                             order->labels[*(const uint32_t *)b]);
}

static ErrCode select_sorted(ApiCall *call, const SelectRequest *request, SeriesSet *set,
                             uint32_t **out, Error *err) {
    Order order = {call->query.symbols, NULL};
    uint32_t *sorted;

    TRY(call->source->select(call->source, &call->query, request, set, err));
    sorted = ARENA_ARRAY(call->arena, uint32_t, set->count);
    if (sorted == NULL) return api_out_of_memory(err);
    for (uint32_t i = 0; i < set->count; i++) sorted[i] = i;
    order.labels = set->labels;
    if (set->count > 1) qsort_r(sorted, set->count, sizeof *sorted, compare_series, &order);
    *out = sorted;
    return ERR_OK;
}

static ErrCode count_samples(ApiCall *call, const SeriesSamples *samples, uint64_t *total,
                             Error *err) {
    uint64_t limit = call->limits.query_samples_max;

    *total += samples->count + samples->histogram_count;
    if (limit > 0 && *total > limit)
        return error_set(err, ERR_INVALID,
                         "exceeded sample limit: limits.query_samples_max is %llu; ask for fewer "
                         "series or less time",
                         (unsigned long long)limit);
    return query_check(&call->query, err);
}

static void put_labels(const Symbols *symbols, LabelSet labels, Buf *out) {
    for (uint32_t i = 0; i < labels.count; i++) {
        size_t label = wire_begin(out, 1);

        wire_put_bytes(out, 1, symbols_str(symbols, labels.labels[i].name));
        wire_put_bytes(out, 2, symbols_str(symbols, labels.labels[i].value));
        wire_end(out, label);
    }
}

/* ---------- SAMPLES ---------- */

static void put_spans(const HistogramSpan *spans, uint32_t count, uint32_t field, Buf *out) {
    for (uint32_t i = 0; i < count; i++) {
        size_t span = wire_begin(out, field);

        wire_put_sint64(out, 1, spans[i].offset);
        wire_put_varint(out, 2, spans[i].length);
        wire_end(out, span);
    }
}

static void put_doubles(const double *v, uint32_t count, uint32_t field, Buf *out) {
    size_t packed;

    if (count == 0) return;
    packed = wire_begin(out, field);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bits;

        memcpy(&bits, &v[i], sizeof bits);
        buf_append_u64(out, bits);
    }
    wire_end(out, packed);
}

static void put_deltas(const double *counts, uint32_t count, uint32_t field, Buf *out) {
    size_t packed;

    if (count == 0) return;
    packed = wire_begin(out, field);
    for (uint32_t i = 0; i < count; i++)
        buf_append_zigzag(out, (int64_t)(counts[i] - (i == 0 ? 0 : counts[i - 1])));
    wire_end(out, packed);
}

static void put_histogram(int64_t time_ms, const NativeHistogram *h, Buf *out) {
    size_t message = wire_begin(out, 4);

    if (h->is_float) {
        wire_put_double(out, 2, h->count);
        wire_put_double(out, 7, h->zero_count);
        put_doubles(h->negative, h->negative_count, 10, out);
        put_doubles(h->positive, h->positive_count, 13, out);
    } else {
        wire_put_varint(out, 1, (uint64_t)h->count);
        wire_put_varint(out, 6, (uint64_t)h->zero_count);
        put_deltas(h->negative, h->negative_count, 9, out);
        put_deltas(h->positive, h->positive_count, 12, out);
    }
    wire_put_double(out, 3, h->sum);
    wire_put_sint64(out, 4, h->schema);
    wire_put_double(out, 5, h->zero_threshold);
    put_spans(h->negative_spans, h->negative_span_count, 8, out);
    put_spans(h->positive_spans, h->positive_span_count, 11, out);
    wire_put_varint(out, 14, h->hint);
    wire_put_int64(out, 15, time_ms);
    put_doubles(h->custom_values, h->custom_count, 16, out);
    wire_end(out, message);
}

static void put_series(const ApiCall *call, LabelSet labels, const SeriesSamples *samples,
                       Buf *out) {
    size_t series = wire_begin(out, 1);

    put_labels(call->query.symbols, labels, out);
    for (size_t i = 0; i < samples->count; i++) {
        size_t sample = wire_begin(out, 2);

        wire_put_double(out, 1, samples->values[i]);
        wire_put_int64(out, 2, samples->times[i]);
        wire_end(out, sample);
    }
    for (size_t i = 0; i < samples->histogram_count; i++)
        put_histogram(samples->histogram_times[i], samples->histograms[i], out);
    wire_end(out, series);
}

static ErrCode answer_samples(ApiCall *call, const ReadRequest *request, SeriesScratch *scratch,
                              Buf *out, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf body;
    uint64_t total = 0;
    size_t bytes;

    buf_init(&body, ANSWER_BYTES_MAX);
    for (size_t q = 0; q < request->count; q++) {
        size_t result = wire_begin(&body, 1);
        SeriesSet set;
        uint32_t *order;

        TRY(select_sorted(call, &request->queries[q], &set, &order, err));
        for (size_t i = 0; i < set.count; i++) {
            SeriesSamples samples;

            TRY(set.read(&set, order[i], scratch, &samples, err));
            TRY(count_samples(call, &samples, &total, err));
            if (samples.count + samples.histogram_count > 0)
                put_series(call, set.labels[order[i]], &samples, &body);
        }
        wire_end(&body, result);
    }
    if (buf_failed(&body))
        return error_set(err, ERR_INVALID, "the answer is larger than %d bytes: ask for less",
                         ANSWER_BYTES_MAX);
    bytes = snappy_max_compressed_length(body.len);
    char *compressed = buf_reserve(out, bytes);
    if (compressed == NULL || snappy_compress(body.ptr, body.len, compressed, &bytes) != SNAPPY_OK)
        return api_out_of_memory(err);
    buf_added(out, bytes);
    call->content_type = "application/x-protobuf";
    http_set_header(call->request, "Content-Encoding", STR("snappy"));
    return ERR_OK;
}

/* ---------- STREAMED_XOR_CHUNKS ---------- */

/* What goes out as one frame: a part of one series. */
typedef struct Frame {
    ApiCall *call;
    Buf message; /* ChunkedReadResponse */
    Buf chunk;
    Buf wire;
    size_t series; /* where the ChunkedSeries began; 0: none is open */
    uint64_t query;
} Frame;

static void frame_done(Frame *frame) {
    buf_done(&frame->message);
    buf_done(&frame->chunk);
    buf_done(&frame->wire);
}

static void frame_open(Frame *frame, LabelSet labels) {
    buf_clear(&frame->message);
    frame->series = wire_begin(&frame->message, 1);
    put_labels(frame->call->query.symbols, labels, &frame->message);
}

/* Length, checksum (big endian), message. */
static ErrCode frame_send(Frame *frame, Error *err) {
    ApiCall *call = frame->call;
    uint32_t crc;

    wire_end(&frame->message, frame->series);
    frame->series = 0;
    if (frame->query > 0) wire_put_varint(&frame->message, 2, frame->query);
    if (buf_failed(&frame->message)) return api_out_of_memory(err);
    crc = __builtin_bswap32(crc32c(0, frame->message.ptr, frame->message.len));
    buf_clear(&frame->wire);
    buf_append_varint(&frame->wire, frame->message.len);
    buf_append(&frame->wire, &crc, sizeof crc);
    buf_append_str(&frame->wire, buf_str(&frame->message));
    if (buf_failed(&frame->wire)) return api_out_of_memory(err);
    if (!call->streaming) {
        http_respond_begin(call->request, 200,
                           "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse");
        call->streaming = true;
    }
    return http_respond_write(call->request, buf_str(&frame->wire), err);
}

static ErrCode put_chunk(Frame *frame, LabelSet labels, PromChunkType type, int64_t min_ms,
                         int64_t max_ms, Error *err) {
    size_t chunk;

    if (buf_failed(&frame->chunk)) return api_out_of_memory(err);
    if (frame->series == 0) frame_open(frame, labels);
    chunk = wire_begin(&frame->message, 2);
    wire_put_int64(&frame->message, 1, min_ms);
    wire_put_int64(&frame->message, 2, max_ms);
    wire_put_varint(&frame->message, 3, type);
    wire_put_bytes(&frame->message, 4, buf_str(&frame->chunk));
    wire_end(&frame->message, chunk);
    return frame->message.len < FRAME_BYTES_MAX ? ERR_OK : frame_send(frame, err);
}

/* Chunks of floats and of histograms in order of time, as long as one kind is next. */
static ErrCode put_chunks(Frame *frame, LabelSet labels, const SeriesSamples *samples, Error *err) {
    size_t f = 0, h = 0;

    while (f < samples->count || h < samples->histogram_count) {
        bool floats = h == samples->histogram_count ||
                      (f < samples->count && samples->times[f] < samples->histogram_times[h]);
        const int64_t *times = floats ? samples->times + f : samples->histogram_times + h;
        size_t end = floats ? samples->count - f : samples->histogram_count - h, run = 0, taken;
        int64_t before = INT64_MAX; /* the other kind's next */
        PromChunkType type = PROM_CHUNK_XOR;

        if (floats && h < samples->histogram_count) before = samples->histogram_times[h];
        if (!floats && f < samples->count) before = samples->times[f];
        while (run < end && run < PROM_CHUNK_SAMPLES_MAX && times[run] < before) run++;
        buf_clear(&frame->chunk);
        if (floats) {
            taken = prom_chunk_floats(times, samples->values + f, run, &frame->chunk);
            f += taken;
        } else {
            taken =
                prom_chunk_histograms(times, samples->histograms + h, run, &type, &frame->chunk);
            h += taken;
        }
        TRY(put_chunk(frame, labels, type, times[0], times[taken - 1], err));
    }
    return frame->series == 0 ? ERR_OK : frame_send(frame, err);
}

static ErrCode stream_query(Frame *frame, const SelectRequest *query, SeriesScratch *scratch,
                            Error *err) {
    ApiCall *call = frame->call;
    SeriesSet set;
    uint32_t *order;

    TRY(select_sorted(call, query, &set, &order, err));
    for (size_t i = 0; i < set.count; i++) {
        SeriesSamples samples;

        TRY(query_check(&call->query, err));
        TRY(set.read(&set, order[i], scratch, &samples, err));
        TRY(put_chunks(frame, set.labels[order[i]], &samples, err));
    }
    return ERR_OK;
}

static ErrCode answer_stream(ApiCall *call, const ReadRequest *request, SeriesScratch *scratch,
                             Error *err) {
    CLEANUP_IN_PLACE(frame_done) Frame frame = {.call = call};

    buf_init(&frame.message, 0);
    buf_init(&frame.chunk, 0);
    buf_init(&frame.wire, 0);
    for (size_t q = 0; q < request->count; q++) {
        frame.query = q;
        TRY(stream_query(&frame, &request->queries[q], scratch, err));
    }
    call->content_type = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
    return ERR_OK;
}

static ErrCode run_read(ApiCall *call, Buf *out, Error *err) {
    CLEANUP(series_scratch_free) SeriesScratch *scratch = series_scratch_new(&call->query);
    ReadRequest request;

    if (scratch == NULL) return api_out_of_memory(err);
    TRY(read_request_decode(call->arena, http_body(call->request), &request, err));
    return request.stream ? answer_stream(call, &request, scratch, err)
                          : answer_samples(call, &request, scratch, out, err);
}

const ApiEndpoint api_read_endpoints[] = {
    {HTTP_POST_, "/read", run_read, API_TEXT_ERRORS},
    {0, NULL, NULL, 0},
};
