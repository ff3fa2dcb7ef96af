#include "gateway/logs/streams.h"

#include <stdio.h>

#include "gateway/logs/level.h"
#include "gateway/metrics/series.h"

#define NS_PER_MS INT64_C(1000000)
/* Differences of accepted times fit in 64 bits: years 1823 to 2116. */
#define TIME_NS_MAX (INT64_C(1) << 62)

static const Str SERVICE_NAME = STR_INIT("service_name");

/* Where a service's name is looked for, in this order. */
static const Str service_labels[] = {
    STR_INIT("service"),
    STR_INIT("app"),
    STR_INIT("application"),
    STR_INIT("app_name"),
    STR_INIT("name"),
    STR_INIT("app_kubernetes_io_name"),
    STR_INIT("container"),
    STR_INIT("container_name"),
    STR_INIT("k8s_container_name"),
    STR_INIT("component"),
    STR_INIT("workload"),
    STR_INIT("job"),
    STR_INIT("k8s_job_name"),
};

static void out_of_memory(Streams *streams) {
    if (streams->failed == ERR_OK)
        streams->failed = error_set(&streams->failure, ERR_UNAVAILABLE,
                                    "no memory left for the entries of this request; try again");
}

ErrCode streams_finish(const Streams *streams, Error *err) {
    if (streams->failed != ERR_OK && err != NULL) *err = streams->failure;
    return streams->failed;
}

static bool grow(Streams *streams, void **array, size_t count, size_t *capacity, size_t element) {
    size_t more = MAX(*capacity * 2, (size_t)64);
    void *grown;

    if (LIKELY(count < *capacity)) return true;
    grown = arena_grow(streams->arena, *array, *capacity * element, more * element);
    if (grown == NULL) {
        out_of_memory(streams);
        return false;
    }
    *array = grown;
    *capacity = more;
    return true;
}

static int64_t past_ms_max(const TenantLimits *limits) {
    return limits->log_past_ms_max > 0 ? limits->log_past_ms_max : limits->past_ms_max;
}

void streams_init(Streams *streams, const StreamsOptions *options, Arena *arena) {
    const TenantLimits *limits = options->limits;

    *streams = (Streams){.arena = arena, .options = *options, .refused = LOG_REJECT_NONE};
    streams->batch.tenant = options->tenant;
    streams->seed = hash_str(options->tenant);
    streams->min_ns = -TIME_NS_MAX;
    streams->max_ns = TIME_NS_MAX;
    if (past_ms_max(limits) > 0 && past_ms_max(limits) < TIME_NS_MAX / NS_PER_MS)
        streams->min_ns = MAX(streams->min_ns, options->now_ns - past_ms_max(limits) * NS_PER_MS);
    if (limits->future_ms_max >= 0 && limits->future_ms_max < TIME_NS_MAX / NS_PER_MS)
        streams->max_ns = MIN(streams->max_ns, options->now_ns + limits->future_ms_max * NS_PER_MS);
}

/* ---------- labels ---------- */

static Str find(const LabelPair *pairs, size_t count, Str name) {
    for (size_t i = 0; i < count; i++)
        if (str_equal(pairs[i].name, name)) return pairs[i].value;
    return STR("");
}

static Str service_name(const LabelPair *pairs, size_t count) {
    for (size_t i = 0; i < ARRAY_LEN(service_labels); i++) {
        Str value = find(pairs, count, service_labels[i]);

        if (value.len > 0) return value;
    }
    return STR("unknown_service");
}

static bool name_is_valid(Str name) {
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i], lower = (char)(c | 0x20);

        if (!(c == '_' || (lower >= 'a' && lower <= 'z') || (i > 0 && c >= '0' && c <= '9')))
            return false;
    }
    return name.len > 0;
}

static LogRejectReason refuse(Error *err, LogRejectReason reason, const char *what, size_t actual,
                              const char *unit, const char *setting, uint64_t limit,
                              const char *where) {
    error_set(err, ERR_INVALID,
              "%s %zu %s; limits.%s is %llu: shorten it, or have the limit raised (stream %s)",
              what, actual, unit, setting, (unsigned long long)limit, where);
    return reason;
}

/* Sorted pairs without empty values. */
static LogRejectReason check_labels(const Streams *streams, const LabelPair *pairs, size_t count,
                                    Error *err) {
    const TenantLimits *limits = streams->options.limits;
    char where[SERIES_TEXT_MAX];

    if (count == 0) {
        error_set(err, ERR_INVALID,
                  "a stream without labels; it needs one at least, such as {app=\"name\"}");
        return LOG_REJECT_MISSING_LABELS;
    }
    series_text(pairs, count, where);
    if (count > SERIES_LABELS_MAX ||
        (limits->label_names_max > 0 && count > limits->label_names_max))
        return refuse(err, LOG_REJECT_TOO_MANY_LABELS, "a stream has", count, "labels",
                      "label_names_max", MIN(limits->label_names_max, SERIES_LABELS_MAX), where);
    for (size_t i = 0; i < count; i++) {
        const LabelPair *pair = &pairs[i];

        if (!name_is_valid(pair->name) || !str_is_utf8(pair->value)) {
            error_set(err, ERR_INVALID,
                      "a label's name is letters, digits and underscores, its value UTF-8 (stream "
                      "%s)",
                      where);
            return LOG_REJECT_LABELS_INVALID;
        }
        if (limits->label_name_bytes_max > 0 && pair->name.len > limits->label_name_bytes_max)
            return refuse(err, LOG_REJECT_LABEL_NAME_TOO_LONG, "a label's name has", pair->name.len,
                          "bytes", "label_name_bytes_max", limits->label_name_bytes_max, where);
        if (limits->label_value_bytes_max > 0 && pair->value.len > limits->label_value_bytes_max)
            return refuse(err, LOG_REJECT_LABEL_VALUE_TOO_LONG, "a label's value has",
                          pair->value.len, "bytes", "label_value_bytes_max",
                          limits->label_value_bytes_max, where);
        if (i > 0 && str_equal(pairs[i - 1].name, pair->name)) {
            error_set(err, ERR_INVALID, "a label comes twice: " STR_FMT " (stream %s)",
                      STR_ARG(str_slice(pair->name, 0, 100)), where);
            return LOG_REJECT_DUPLICATE_LABEL;
        }
    }
    if (series_encoded_len(pairs, count) > SERIES_BYTES_MAX) {
        error_set(err, ERR_INVALID, "a stream's labels have more than %d bytes (stream %s)",
                  SERIES_BYTES_MAX, where);
        return LOG_REJECT_LABEL_VALUE_TOO_LONG;
    }
    return LOG_REJECT_NONE;
}

void streams_begin(Streams *streams, LabelPair *pairs, size_t count) {
    LabelPair *all = ARENA_ARRAY(streams->arena, LabelPair, count + 1);
    bool changed;

    streams->refused = LOG_REJECT_NONE;
    streams->entry_start = streams->batch.entry_count;
    if (streams_failed(streams)) return;
    if (all == NULL) {
        out_of_memory(streams);
        return;
    }
    if (count > 0) memcpy(all, pairs, count * sizeof *all);
    if (streams->options.limits->log_service_name && find(all, count, SERVICE_NAME).len == 0) {
        Str name = service_name(all, count);

        all[count++] = (LabelPair){SERVICE_NAME, name};
    }
    series_sort(all, &count, &changed);
    streams->refused = check_labels(streams, all, count, &streams->refusal);
    if (streams->refused != LOG_REJECT_NONE) return;
    streams->labels = series_encode(all, count, streams->arena);
    if (streams->labels.ptr == NULL) out_of_memory(streams);
    streams->level = level_of_labels(all, count);
}

void streams_begin_refused(Streams *streams, LogRejectReason reason, const Error *why) {
    streams->refused = reason;
    streams->refusal = *why;
    streams->entry_start = streams->batch.entry_count;
}

/* ---------- entries ---------- */

static void drop_entry(Streams *streams, LogRejectReason reason, const Error *why) {
    LogRejects *rejects = &streams->rejects;

    if (rejects->entries == 0) rejects->first = *why;
    rejects->entries++;
    rejects->by_reason[reason]++;
}

static void stream_text(const Streams *streams, char out[static SERIES_TEXT_MAX]) {
    LabelPairs labels = {0};
    Error ignored;

    if (labels_decode(streams->labels, streams->arena, &labels, &ignored) != ERR_OK)
        labels.count = 0;
    series_text(labels.pairs, labels.count, out);
}

static uint64_t line_bytes_max(const TenantLimits *limits) {
    uint64_t limit = limits->log_line_bytes_max;

    return limit == 0 ? LOG_LINE_BYTES_MAX : MIN(limit, LOG_LINE_BYTES_MAX);
}

/* What is wrong with an entry; *line may be cut. */
static LogRejectReason check_entry(Streams *streams, int64_t time_ns, Str *line,
                                   const LabelPair *metadata, size_t count, Error *err) {
    const TenantLimits *limits = streams->options.limits;
    uint64_t line_max = line_bytes_max(limits), metadata_max = limits->log_metadata_bytes_max;
    char where[SERIES_TEXT_MAX];
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++) bytes += metadata[i].name.len + metadata[i].value.len;
    if (metadata_max == 0 || metadata_max > LOG_METADATA_BYTES_MAX / 2)
        metadata_max = LOG_METADATA_BYTES_MAX / 2;
    if (LIKELY(time_ns >= streams->min_ns && time_ns <= streams->max_ns && line->len <= line_max &&
               bytes <= metadata_max &&
               (limits->log_metadata_names_max == 0 || count <= limits->log_metadata_names_max)))
        return LOG_REJECT_NONE;
    where[0] = '\0'; /* only the first one is told */
    if (streams->rejects.entries == 0) stream_text(streams, where);
    if (time_ns > streams->max_ns) {
        error_set(err, ERR_INVALID,
                  "an entry lies %lld s ahead of now; limits.future_max allows %lld s (stream %s)",
                  (long long)((time_ns - streams->options.now_ns) / 1000000000),
                  (long long)(limits->future_ms_max / 1000), where);
        return LOG_REJECT_FUTURE;
    }
    if (time_ns < streams->min_ns) {
        error_set(err, ERR_INVALID,
                  "an entry is too old: it lies %lld s back; limits.%s allows %lld s (stream %s)",
                  (long long)(streams->options.now_ns / 1000000000 - time_ns / 1000000000),
                  limits->log_past_ms_max > 0 ? "log_past_max" : "past_max",
                  (long long)(past_ms_max(limits) / 1000), where);
        return LOG_REJECT_PAST;
    }
    if (bytes > metadata_max)
        return refuse(err, LOG_REJECT_METADATA_TOO_LARGE, "an entry's structured metadata has",
                      bytes, "bytes", "log_metadata_bytes_max", metadata_max, where);
    if (limits->log_metadata_names_max > 0 && count > limits->log_metadata_names_max)
        return refuse(err, LOG_REJECT_METADATA_TOO_MANY, "an entry's structured metadata has",
                      count, "names", "log_metadata_names_max", limits->log_metadata_names_max,
                      where);
    if (!limits->log_line_truncate)
        return refuse(err, LOG_REJECT_LINE_TOO_LONG, "a log line has", line->len, "bytes",
                      "log_line_bytes_max", line_max, where);
    *line = str_slice(*line, 0, line_max);
    streams->rejects.truncated++;
    return LOG_REJECT_NONE;
}

/* As OTLP's translation to label names has it. In the arena unless it is fine as it is. */
static Str metadata_name(Streams *streams, Str name) {
    bool digit = name.len > 0 && name.ptr[0] >= '0' && name.ptr[0] <= '9';
    char *out;

    if (LIKELY(name_is_valid(name))) return name;
    out = arena_alloc_bytes(streams->arena, name.len + 4);
    if (out == NULL) {
        out_of_memory(streams);
        return STR("_");
    }
    memcpy(out, "key_", 4);
    char *at = out + (digit ? 4 : 0);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i], lower = (char)(c | 0x20);
        bool fine = (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9');

        *at++ = fine ? c : '_';
    }
    return name.len == 0 ? STR("_") : (Str){out, (size_t)(at - out)};
}

/* By name; of equal names the last one stays. One without a value is not there. */
static size_t unique_pairs(LabelPair *pairs, size_t count) {
    size_t kept = 0, unique = 0;

    if (count > 32) labels_sort(pairs, count); /* nobody's entries, but some attacker's */
    for (size_t i = 1; i < count && count <= 32; i++)
        for (size_t k = i; k > 0 && str_compare(pairs[k - 1].name, pairs[k].name) > 0; k--) {
            LabelPair swap = pairs[k];

            pairs[k] = pairs[k - 1];
            pairs[k - 1] = swap;
        }
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && str_equal(pairs[kept - 1].name, pairs[i].name)) kept--;
        pairs[kept++] = pairs[i];
    }
    for (size_t i = 0; i < kept; i++)
        if (pairs[i].value.len > 0) pairs[unique++] = pairs[i];
    return unique;
}

static Str entry_level(const Streams *streams, const LabelPair *pairs, size_t count, Str line) {
    Str severity, level;

    if (streams->level.len > 0) return streams->level;
    level = level_of_labels(pairs, count);
    if (level.len > 0) return level;
    severity = find(pairs, count, STR("severity_number"));
    return severity.len > 0 ? level_of_severity(severity) : level_of_line(line);
}

/* The canonical bytes of an entry's metadata, its level included. Entries that have nothing but the
 * level share their bytes with the one before. */
static Str encode_metadata(Streams *streams, Str line, const LabelPair *metadata, size_t count) {
    const LogsBatch *batch = &streams->batch;
    LabelPair *pairs;
    bool has_level = false;
    Str out;

    if (count + 1 > streams->pair_capacity) {
        size_t capacity = MAX(count + 1, (size_t)16);

        streams->pairs = arena_alloc(streams->arena, capacity * sizeof *streams->pairs);
        streams->pair_capacity = streams->pairs == NULL ? 0 : capacity;
    }
    pairs = streams->pairs;
    if (pairs == NULL) {
        out_of_memory(streams);
        return STR("");
    }
    for (size_t i = 0; i < count; i++) {
        pairs[i] = (LabelPair){metadata_name(streams, metadata[i].name), metadata[i].value};
        if (!str_equal(pairs[i].name, LEVEL_LABEL)) continue;
        pairs[i].value = level_normal(pairs[i].value);
        has_level = true;
    }
    if (streams->options.limits->log_levels && !has_level) {
        Str level = entry_level(streams, pairs, count, line);

        pairs[count++] = (LabelPair){LEVEL_LABEL, level};
    }
    count = unique_pairs(pairs, count);
    if (count == 0) return STR("");
    if (count == 1 && batch->entry_count > 0) {
        Str last = batch->entries[batch->entry_count - 1].metadata;

        if (last.len == series_encoded_len(pairs, 1) && str_ends_with(last, pairs[0].value) &&
            str_equal(str_slice(last, 4, pairs[0].name.len), pairs[0].name))
            return last;
    }
    out = series_encode(pairs, count, streams->arena);
    if (out.ptr == NULL) out_of_memory(streams);
    return out;
}

void streams_entry(Streams *streams, int64_t time_ns, Str line, const LabelPair *metadata,
                   size_t count) {
    LogsBatch *batch = &streams->batch;
    LogRejectReason reason;
    Error why;
    Str encoded;

    if (streams_failed(streams)) return;
    if (streams->refused != LOG_REJECT_NONE) {
        drop_entry(streams, streams->refused, &streams->refusal);
        return;
    }
    reason = check_entry(streams, time_ns, &line, metadata, count, &why);
    if (reason != LOG_REJECT_NONE) {
        drop_entry(streams, reason, &why);
        return;
    }
    encoded = encode_metadata(streams, line, metadata, count);
    if (streams_failed(streams) || !grow(streams, (void **)&batch->entries, batch->entry_count,
                                         &streams->entry_capacity, sizeof *batch->entries))
        return;
    batch->entries[batch->entry_count++] = (LogEntry){time_ns, line, encoded};
    batch->bytes += line.len + encoded.len;
}

void streams_end(Streams *streams) {
    LogsBatch *batch = &streams->batch;
    size_t count = batch->entry_count - streams->entry_start;

    if (streams_failed(streams) || count == 0) return;
    if (batch->entry_count > UINT32_MAX ||
        !grow(streams, (void **)&batch->streams, batch->stream_count, &streams->stream_capacity,
              sizeof *batch->streams)) {
        out_of_memory(streams);
        return;
    }
    batch->streams[batch->stream_count++] = (LogStream){
        .id = logs_stream_id(streams->seed, streams->labels, streams->options.stream_seed),
        .labels = streams->labels,
        .entry_start = (uint32_t)streams->entry_start,
        .entry_count = (uint32_t)count,
    };
}
