#include "querier/logql/engine/result_json.h"

#include "common/base/json.h"
#include "querier/logql/engine/eval.h"

/* ---- pieces ---- */

void logql_json_pairs(LabelPairs pairs, Buf *out) {
    buf_append_byte(out, '{');
    for (size_t i = 0; i < pairs.count; i++) {
        if (i > 0) buf_append_byte(out, ',');
        json_append_string(out, pairs.pairs[i].name);
        buf_append_byte(out, ':');
        json_append_string(out, pairs.pairs[i].value);
    }
    buf_append_byte(out, '}');
}

static void append_metric(const Symbols *symbols, LabelSet labels, Buf *out) {
    buf_append_str(out, STR("{\"metric\":{"));
    for (uint32_t i = 0; i < labels.count; i++) {
        if (i > 0) buf_append_byte(out, ',');
        json_append_string(out, symbols_str(symbols, labels.labels[i].name));
        buf_append_byte(out, ':');
        json_append_string(out, symbols_str(symbols, labels.labels[i].value));
    }
    buf_append_byte(out, '}');
}

/* [1435781451.781,"1.5"] */
static void append_sample(int64_t time_ms, double value, Buf *out) {
    buf_append_byte(out, '[');
    json_append_time_ms(out, time_ms);
    buf_append_str(out, STR(",\""));
    json_append_sample_value(out, value);
    buf_append_str(out, STR("\"]"));
}

/* ---- streams ---- */

static void append_entry(const LogqlEntry *entry, bool categorize, Buf *out) {
    buf_printf(out, "[\"%lld\",", (long long)entry->time_ns);
    json_append_string(out, entry->line);
    if (categorize) {
        buf_append_str(out, STR(",{"));
        if (entry->metadata.count > 0) {
            buf_append_str(out, STR("\"structuredMetadata\":"));
            logql_json_pairs(entry->metadata, out);
        }
        if (entry->parsed.count > 0) {
            if (entry->metadata.count > 0) buf_append_byte(out, ',');
            buf_append_str(out, STR("\"parsed\":"));
            logql_json_pairs(entry->parsed, out);
        }
        buf_append_byte(out, '}');
    }
    buf_append_byte(out, ']');
}

void logql_json_stream(const LogqlStream *stream, bool categorize, Buf *out) {
    buf_append_str(out, STR("{\"stream\":"));
    logql_json_pairs(stream->labels, out);
    buf_append_str(out, STR(",\"values\":["));
    for (size_t i = 0; i < stream->count; i++) {
        if (i > 0) buf_append_byte(out, ',');
        append_entry(&stream->entries[i], categorize, out);
    }
    buf_append_str(out, STR("]}"));
}

static void append_streams(const LogqlResult *result, bool categorize, Buf *out) {
    buf_append_byte(out, '[');
    for (size_t i = 0; i < result->stream_count; i++) {
        if (i > 0) buf_append_byte(out, ',');
        logql_json_stream(&result->streams[i], categorize, out);
    }
    buf_append_byte(out, ']');
}

/* ---- samples ---- */

static void append_series(const LogqlResult *result, const LogqlSeries *series,
                          const Symbols *symbols, Buf *out) {
    bool first = true;

    append_metric(symbols, series->labels, out);
    if (result->kind == LOGQL_RESULT_VECTOR) {
        buf_append_str(out, STR(",\"value\":"));
        append_sample(result->start_ms, series->values[0], out);
        buf_append_byte(out, '}');
        return;
    }
    buf_append_str(out, STR(",\"values\":["));
    for (size_t s = 0; s < result->steps; s++) {
        if (!logql_has_value(series, s)) continue;
        if (!first) buf_append_byte(out, ',');
        first = false;
        append_sample(result->start_ms + (int64_t)s * result->step_ns / 1000000, series->values[s],
                      out);
    }
    buf_append_str(out, STR("]}"));
}

static void append_samples(const LogqlResult *result, const Symbols *symbols, Buf *out) {
    buf_append_byte(out, '[');
    for (size_t i = 0; i < result->series_count; i++) {
        if (i > 0) buf_append_byte(out, ',');
        append_series(result, &result->series[i], symbols, out);
    }
    buf_append_byte(out, ']');
}

/* The time of a scalar is in milliseconds, of all things. */
static void append_scalar(const LogqlResult *result, Buf *out) {
    buf_printf(out, "[%lld,\"", (long long)result->start_ms);
    json_append_sample_value(out, result->scalar);
    buf_append_str(out, STR("\"]"));
}

/* ---- statistics ---- */

static uint64_t load(const _Atomic uint64_t *count) {
    return atomic_load_explicit((_Atomic uint64_t *)count, memory_order_relaxed);
}

static void append_number(const char *name, uint64_t value, Buf *out) {
    buf_printf(out, "\"%s\":%llu,", name, (unsigned long long)value);
}

static void append_seconds(const char *name, uint64_t ns, Buf *out) {
    buf_printf(out, "\"%s\":%.9f,", name, (double)ns / 1e9);
}

/* Takes the last comma away. */
static void close_object(Buf *out) {
    if (!buf_failed(out) && out->len > 0 && out->ptr[out->len - 1] == ',') out->len--;
    buf_append_byte(out, '}');
}

static void append_summary(const LogqlResult *result, const LogqlJsonOptions *options,
                           const StreamStats *stats, Buf *out) {
    double seconds = MAX((double)options->exec_ns / 1e9, 1e-9);
    uint64_t bytes = load(&stats->line_bytes) + load(&stats->metadata_bytes);
    uint64_t lines = load(&stats->entries);

    buf_append_str(out, STR("\"summary\":{"));
    append_number("bytesProcessedPerSecond", (uint64_t)((double)bytes / seconds), out);
    append_number("linesProcessedPerSecond", (uint64_t)((double)lines / seconds), out);
    append_number("totalBytesProcessed", bytes, out);
    append_number("totalLinesProcessed", lines, out);
    append_seconds("execTime", options->exec_ns, out);
    append_seconds("queueTime", options->queue_ns, out);
    append_number("subqueries", 0, out);
    append_number("totalEntriesReturned",
                  result->kind == LOGQL_RESULT_STREAMS ? result->entry_count : result->series_count,
                  out);
    append_number("splits", 0, out);
    append_number("shards", 0, out);
    append_number("totalPostFilterLines", load(&stats->entries_kept), out);
    append_number("totalStructuredMetadataBytesProcessed", load(&stats->metadata_bytes), out);
    close_object(out);
}

/* `heads`: the ingesters' side, else that of objects. */
static void append_store(const StreamStats *stats, bool heads, Buf *out) {
    uint64_t head_entries = load(&stats->head_entries), head_bytes = load(&stats->head_bytes);
    uint64_t entries = load(&stats->entries), chunks = load(&stats->chunks);

    buf_append_str(out, STR("\"store\":{"));
    append_number("totalChunksRef", heads ? 0 : chunks + load(&stats->chunks_skipped), out);
    append_number("totalChunksDownloaded", heads ? 0 : chunks, out);
    append_number("chunksDownloadTime", 0, out);
    buf_append_str(out, STR("\"queryReferencedStructuredMetadata\":false,\"chunk\":{"));
    append_number("headChunkBytes", heads ? head_bytes : 0, out);
    append_number("headChunkLines", heads ? head_entries : 0, out);
    append_number("decompressedBytes", heads ? 0 : load(&stats->decompressed_bytes), out);
    append_number("decompressedLines", heads || entries < head_entries ? 0 : entries - head_entries,
                  out);
    append_number("compressedBytes", heads ? 0 : load(&stats->compressed_bytes), out);
    append_number("totalDuplicates", heads ? 0 : load(&stats->duplicates), out);
    append_number("postFilterLines", heads ? 0 : load(&stats->entries_kept), out);
    append_number("headChunkStructuredMetadataBytes", 0, out);
    append_number("decompressedStructuredMetadataBytes", heads ? 0 : load(&stats->metadata_bytes),
                  out);
    close_object(out);
    buf_append_str(out, STR(",\"chunkRefsFetchTime\":0,\"congestionControlLatency\":0,"
                            "\"pipelineWrapperFilteredLines\":0}"));
}

static void append_caches(Buf *out) {
    static const char *const names[] = {
        "chunk",        "index",        "result",      "statsResult",
        "volumeResult", "seriesResult", "labelResult", "instantMetricResult"};

    buf_append_str(out, STR("\"cache\":{"));
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        buf_printf(out,
                   "\"%s\":{\"entriesFound\":0,\"entriesRequested\":0,\"entriesStored\":0,"
                   "\"bytesReceived\":0,\"bytesSent\":0,\"requests\":0,\"downloadTime\":0,"
                   "\"queryLengthServed\":0},",
                   names[i]);
    close_object(out);
}

void logql_json_stats(const LogqlResult *result, const LogqlJsonOptions *options, Buf *out) {
    static const StreamStats none = {0};
    const StreamStats *stats = options->stats == NULL ? &none : options->stats;

    buf_append_byte(out, '{');
    append_summary(result, options, stats, out);
    buf_append_str(out, STR(",\"querier\":{"));
    append_store(stats, false, out);
    buf_append_str(out, STR("},\"ingester\":{\"totalReached\":0,\"totalChunksMatched\":0,"
                            "\"totalBatches\":0,"));
    append_number("totalLinesSent", load(&stats->head_entries), out);
    append_store(stats, true, out);
    buf_append_str(out, STR("},"));
    append_caches(out);
    buf_append_str(out, STR(",\"index\":{"));
    append_number("totalChunks", load(&stats->chunks) + load(&stats->chunks_skipped), out);
    append_number("postFilterChunks", load(&stats->chunks), out);
    buf_append_str(out, STR("\"shardsDuration\":0,\"usedBloomFilters\":false}}"));
}

/* ---- all ---- */

ErrCode logql_json_write(const LogqlResult *result, const Symbols *symbols,
                         const LogqlJsonOptions *options, Buf *out, Error *err) {
    static const char *const types[] = {"streams", "scalar", "vector", "matrix"};
    bool streams = result->kind == LOGQL_RESULT_STREAMS;

    buf_printf(out, "{\"status\":\"success\",\"data\":{\"resultType\":\"%s\",",
               types[result->kind]);
    if (streams && options->categorize)
        buf_append_str(out, STR("\"encodingFlags\":[\"categorize-labels\"],"));
    buf_append_str(out, STR("\"result\":"));
    if (streams)
        append_streams(result, options->categorize, out);
    else if (result->kind == LOGQL_RESULT_SCALAR)
        append_scalar(result, out);
    else
        append_samples(result, symbols, out);
    buf_append_str(out, STR(",\"stats\":"));
    logql_json_stats(result, options, out);
    buf_append_str(out, STR("}}"));
    if (buf_failed(out)) return error_set(err, ERR_LIMIT, "the answer is too large");
    return ERR_OK;
}
