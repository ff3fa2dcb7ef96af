/*
 * append.c: the way of a sample, and the group that log lines and spans join too. Everything that
 * waits is looked up, encoded into one group, written and synced at once, and only then applied to
 * the head and answered.
 *
 * The order of a part's samples, histograms and exemplars in the log is the order they are applied
 * in, so that a replay comes to the same decisions about doubles and conflicts.
 */
#include <stdlib.h>

#include "common/base/log.h"
#include "ingester/lane/append.h"

enum {
    GROUP_BYTES_MAX = 4 << 20, /* what comes after waits for the next group */
    GROUP_KEPT_MAX = 16 << 20, /* a larger group's memory is given back */
    PARTS_MAX = 256,
    AHEAD = 16,     /* rows: a cache miss takes as long as applying about so many */
    ROW_BYTES = 64, /* a guess at what a row makes the head grow by, asked for in advance */
    LIMITS_FRESH_MS = 1000,
};

static const MetricsRow *part_row(const AppendPart *part, uint32_t i, uint32_t *ret_row) {
    uint32_t row = part->append->order[part->start + i];

    if (ret_row != NULL) *ret_row = row;
    return &part->append->batch->rows[row];
}

void part_note(AppendPart *part, uint32_t row, const Error *err) {
    if (row >= part->first_row) return;
    part->first_row = row;
    part->result.first = *err;
}

/* ---------- before the log: tenant, room, series ---------- */

bool append_logging(Lane *lane, uint32_t number) {
    if (lane->logging_count == lane->logging_capacity) {
        size_t more = MAX(lane->logging_capacity * 2, (size_t)1024);
        uint32_t *grown = realloc(lane->logging, more * sizeof *grown);

        if (grown == NULL) return false;
        lane->logging = grown;
        lane->logging_capacity = more;
    }
    lane->logging[lane->logging_count++] = number;
    return true;
}

/* Series, streams and origins from `from` on are not in the group after all, or it failed, or
 * (`durable`) they are now in the log. */
static void log_settle(Lane *lane, size_t from, bool durable) {
    for (size_t i = from; i < lane->logging_count; i++) {
        uint32_t number = lane->logging[i];

        if (number & LOGGING_STREAM) {
            HeadStream *stream = head_stream(&lane->live->logs, number & LOGGING_NUMBER);

            stream->flags = durable ? STREAM_LOGGED : 0;
        } else if (number & LOGGING_ORIGIN) {
            HeadOrigin *origin = head_origin(&lane->live->spans, number & LOGGING_NUMBER);

            origin->flags = durable ? ORIGIN_LOGGED : 0;
        } else {
            HeadHot *hot = head_hot(&lane->live->metrics, number);

            hot->flags &= (uint8_t)~HOT_LOGGING;
            if (durable) hot->flags |= HOT_LOGGED;
        }
    }
    lane->logging_count = from;
}

static void log_settle_tenants(Lane *lane, bool durable) {
    Generation *live = lane->live;

    while (lane->logging_tenants > 0) {
        GenerationTenant *tenant = generation_tenant(live, --lane->logging_tenants);

        if (tenant->logging) tenant->logged = durable;
        tenant->logging = false;
    }
}

static GenerationTenant *part_tenant(Lane *lane, AppendPart *part) {
    Generation *live = lane->live;
    Str name = part->append->tenant;
    GenerationTenant *tenant;
    int64_t now = clock_now_ms(lane->options.ingester->clock);

    part->tenant = generation_add_tenant(live, name);
    if (part->tenant == HEAD_NONE) return NULL;
    tenant = generation_tenant(live, part->tenant);
    if (tenant->active == NULL)
        tenant->active = active_series_tenant(lane->options.active, tenant->name);
    if (tenant->active == NULL) return NULL;
    if (tenant->limits_at_ms == 0 || now >= tenant->limits_at_ms + LIMITS_FRESH_MS) {
        TenantLimits limits;

        tenants_limits(lane->options.ingester->tenants, name, &limits);
        tenant->series_max = limits.series_max;
        tenant->streams_max = limits.streams_max;
        tenant->trace_bytes_max = limits.trace_bytes_max;
        tenant->trace_spans_max = limits.trace_spans_max;
        tenant->limits_at_ms = now;
    }
    return tenant;
}

/* What applying the part may need, so that the budget is asked before anything is promised. */
static size_t part_bytes(const AppendPart *part) {
    const MetricsBatch *batch = part->append->batch;
    size_t bytes = 4096;

    for (uint32_t i = 0; i < part->count; i++) {
        const MetricsRow *row = part_row(part, i, NULL);

        bytes += ROW_BYTES + (size_t)row->sample_count * 8;
        for (uint32_t k = 0; k < row->histogram_count; k++)
            bytes +=
                stream_histogram_bytes_max(batch->histograms[row->histogram_start + k].histogram);
        for (uint32_t k = 0; k < row->exemplar_count; k++)
            bytes +=
                2 * sizeof(HeadExemplar) + batch->exemplars[row->exemplar_start + k].labels.len;
    }
    return bytes;
}

ErrCode append_no_memory(const Lane *lane, Error *err) {
    const Budget *heads = lane->options.ingester->heads;

    return error_set(err, ERR_LIMIT,
                     "memory for recent data is used up: budget %s holds %zu of %zu bytes "
                     "(memory.limit); it frees itself as data is flushed",
                     heads->name, budget_used(heads),
                     atomic_load_explicit(&((Budget *)heads)->limit, memory_order_relaxed));
}

/* A row whose series isn't in the head. *ret_series stays HEAD_NONE when the row is dropped. */
static ErrCode part_new_series(Lane *lane, AppendPart *part, GenerationTenant *tenant,
                               uint32_t row_number, const MetricsRow *row, uint32_t *ret_series,
                               Error *err) {
    MetricsHead *head = &lane->live->metrics;
    uint32_t series = metrics_head_find_one(head, row->id);
    _Atomic int64_t *live = &tenant->active->series.live;
    ErrCode code;

    if (series != HEAD_NONE) { /* an earlier row of this batch made it */
        *ret_series = series;
        return ERR_OK;
    }
    /* Counted first: other lanes make series of this tenant at the same time. */
    if (atomic_fetch_add_explicit(live, 1, memory_order_relaxed) >= (int64_t)tenant->series_max &&
        tenant->series_max > 0) {
        atomic_fetch_sub_explicit(live, 1, memory_order_relaxed);
        part->result.over_limit += row->sample_count + row->histogram_count;
        if (row_number < part->first_row) {
            error_set(err, ERR_LIMIT,
                      "limit of active series reached: series_max is %llu for tenant " STR_FMT
                      "; raise limits.series_max or the tenant's override of it",
                      (unsigned long long)tenant->series_max, STR_ARG(tenant->name));
            part_note(part, row_number, err);
        }
        return ERR_OK;
    }
    if (row->labels.len > RECORD_LABEL_BYTES_MAX)
        code = error_set(err, ERR_INVALID, "a series with %zu bytes of labels", row->labels.len);
    else
        code = metrics_head_add(head, part->tenant, row->id, row->labels, ret_series, err);
    if (code != ERR_OK) atomic_fetch_sub_explicit(live, 1, memory_order_relaxed);
    return code == ERR_LIMIT ? append_no_memory(lane, err) : code;
}

/* Finds or makes every row's series, and puts the definitions that the log lacks into the group. */
static ErrCode part_resolve(Lane *lane, AppendPart *part, GenerationTenant *tenant, Error *err) {
    MetricsHead *head = &lane->live->metrics;
    uint32_t *series = part->append->series + part->start;
    EntryWriter definitions = entry_writer(&lane->group, RECORD_METRICS_SERIES, part->tenant);

    definitions.prefix = tenant->name;
    metrics_head_find(head, part->append->batch->rows, part->append->order + part->start,
                      part->count, series);
    for (uint32_t i = 0; i < part->count; i++) {
        if (UNLIKELY(series[i] == HEAD_NONE)) {
            uint32_t number;
            const MetricsRow *row = part_row(part, i, &number);

            TRY(part_new_series(lane, part, tenant, number, row, &series[i], err));
            if (series[i] == HEAD_NONE) continue;
        }
        if (UNLIKELY((head_hot(head, series[i])->flags & (HOT_LOGGED | HOT_LOGGING)) == 0)) {
            const MetricsRow *row = part_row(part, i, NULL);

            if (!append_logging(lane, series[i])) return append_no_memory(lane, err);
            head_hot(head, series[i])->flags |= HOT_LOGGING;
            record_add_series(&definitions, series[i], row->id, row->labels);
        }
    }
    entry_writer_finish(&definitions);
    return ERR_OK;
}

/* ---------- into the log ---------- */

static void encode_samples(Lane *lane, const AppendPart *part) {
    const MetricsSample *samples = part->append->batch->samples;
    const uint32_t *series = part->append->series + part->start;
    SampleWriter *writer = lane->samples;

    sample_writer_begin(writer, &lane->group, part->tenant);
    for (uint32_t i = 0; i < part->count; i++) {
        const MetricsRow *row = part_row(part, i, NULL);

        if (series[i] == HEAD_NONE) continue;
        for (uint32_t k = 0; k < row->sample_count; k++) {
            MetricsSample sample = samples[row->sample_start + k];

            sample_writer_add(writer, series[i], sample.time_ms, sample.value);
        }
    }
    sample_writer_finish(writer);
}

static void encode_histograms(Lane *lane, const AppendPart *part) {
    const MetricsBatch *batch = part->append->batch;
    const uint32_t *series = part->append->series + part->start;
    EntryWriter writer = entry_writer(&lane->group, RECORD_METRICS_HISTOGRAMS, part->tenant);

    if (batch->histogram_count == 0) return;
    for (uint32_t i = 0; i < part->count; i++) {
        const MetricsRow *row = part_row(part, i, NULL);

        if (series[i] == HEAD_NONE) continue;
        for (uint32_t k = 0; k < row->histogram_count; k++) {
            const MetricsHistogram *item = &batch->histograms[row->histogram_start + k];

            record_add_histogram(&writer, series[i], item->time_ms, item->histogram);
        }
    }
    entry_writer_finish(&writer);
}

static bool exemplar_fits(const MetricsExemplar *exemplar) {
    return exemplar->labels.len <= RECORD_ENTRIES_BYTES;
}

static void encode_exemplars(Lane *lane, const AppendPart *part) {
    const MetricsBatch *batch = part->append->batch;
    const uint32_t *series = part->append->series + part->start;
    EntryWriter writer = entry_writer(&lane->group, RECORD_METRICS_EXEMPLARS, part->tenant);

    if (batch->exemplar_count == 0) return;
    for (uint32_t i = 0; i < part->count; i++) {
        const MetricsRow *row = part_row(part, i, NULL);

        if (series[i] == HEAD_NONE) continue;
        for (uint32_t k = 0; k < row->exemplar_count; k++) {
            const MetricsExemplar *item = &batch->exemplars[row->exemplar_start + k];

            if (exemplar_fits(item)) record_add_exemplar(&writer, series[i], item);
        }
    }
    entry_writer_finish(&writer);
}

static bool metadata_fits(const MetricsMetadata *item) {
    return item->metric.len + item->help.len + item->unit.len <= RECORD_ENTRIES_BYTES;
}

/* Senders repeat all metadata every minute: only what is new is written. */
static void encode_metadata(Lane *lane, const AppendPart *part) {
    const MetricsBatch *batch = part->append->batch;
    EntryWriter writer = entry_writer(&lane->group, RECORD_METRICS_METADATA, part->tenant);

    if (!part->metadata) return;
    for (size_t i = 0; i < batch->metadata_count; i++) {
        const MetricsMetadata *item = &batch->metadata[i];

        if (metadata_fits(item) &&
            !metrics_head_metadata_known(&lane->live->metrics, part->tenant, item))
            record_add_metadata(&writer, item);
    }
    entry_writer_finish(&writer);
}

static ErrCode part_encode(Lane *lane, AppendPart *part, Error *err) {
    GenerationTenant *tenant = part_tenant(lane, part);

    if (tenant == NULL) return append_no_memory(lane, err);
    if (part->append->batch != NULL &&
        !metrics_head_reserve(&lane->live->metrics, part_bytes(part)))
        return append_no_memory(lane, err);
    if (!tenant->logged && !tenant->logging) {
        record_add_tenant(&lane->group, part->tenant, tenant->name);
        tenant->logging = part->defines_tenant = true;
        lane->logging_tenants = MAX(lane->logging_tenants, part->tenant + 1);
    }
    if (part->append->logs != NULL) return append_logs_encode(lane, part, tenant, err);
    if (part->append->spans != NULL) return append_spans_encode(lane, part, tenant, err);
    TRY(part_resolve(lane, part, tenant, err));
    encode_samples(lane, part);
    encode_histograms(lane, part);
    encode_exemplars(lane, part);
    encode_metadata(lane, part);
    return ERR_OK;
}

/* ---------- into the head ---------- */

static void apply_sample(Lane *lane, AppendPart *part, uint32_t row, uint32_t series,
                         MetricsSample sample) {
    HeadOutcome outcome =
        metrics_head_append(&lane->live->metrics, series, sample.time_ms, sample.value);

    if (LIKELY(outcome != HEAD_CONFLICT)) {
        part->result.samples++;
        return;
    }
    part->result.conflicts++;
    if (row < part->first_row) {
        Error err;

        metrics_head_conflict_text(&lane->live->metrics, series, sample.time_ms, sample.value,
                                   &err);
        part_note(part, row, &err);
    }
}

static void apply_samples(Lane *lane, AppendPart *part) {
    const MetricsHead *head = &lane->live->metrics;
    const MetricsSample *samples = part->append->batch->samples;
    const uint32_t *series = part->append->series + part->start;

    for (uint32_t i = 0; i < part->count; i++) {
        uint32_t number;
        const MetricsRow *row = part_row(part, i, &number);

        if (i + 2 * AHEAD < part->count && series[i + 2 * AHEAD] != HEAD_NONE)
            __builtin_prefetch(head_hot(head, series[i + 2 * AHEAD]), 1);
        if (i + AHEAD < part->count && series[i + AHEAD] != HEAD_NONE) {
            const HeadHot *hot = head_hot(head, series[i + AHEAD]);

            __builtin_prefetch((char *)slab_ptr(&head->slab, hot->chunk) + hot->used, 1);
        }
        if (series[i] == HEAD_NONE) continue;
        for (uint32_t k = 0; k < row->sample_count; k++)
            apply_sample(lane, part, number, series[i], samples[row->sample_start + k]);
    }
}

static void apply_histograms(Lane *lane, AppendPart *part) {
    const MetricsBatch *batch = part->append->batch;
    const uint32_t *series = part->append->series + part->start;

    if (batch->histogram_count == 0) return;
    for (uint32_t i = 0; i < part->count; i++) {
        uint32_t number;
        const MetricsRow *row = part_row(part, i, &number);

        if (series[i] == HEAD_NONE) continue;
        for (uint32_t k = 0; k < row->histogram_count; k++) {
            const MetricsHistogram *item = &batch->histograms[row->histogram_start + k];
            Error err;

            if (metrics_head_append_histogram(&lane->live->metrics, series[i], item->time_ms,
                                              item->histogram) != HEAD_CONFLICT) {
                part->result.histograms++;
                continue;
            }
            part->result.conflicts++;
            if (number >= part->first_row) continue;
            metrics_head_conflict_text(&lane->live->metrics, series[i], item->time_ms,
                                       item->histogram->sum, &err);
            part_note(part, number, &err);
        }
    }
}

static void apply_rest(Lane *lane, AppendPart *part) {
    const MetricsBatch *batch = part->append->batch;
    const uint32_t *series = part->append->series + part->start;

    for (uint32_t i = 0; batch->exemplar_count > 0 && i < part->count; i++) {
        const MetricsRow *row = part_row(part, i, NULL);

        if (series[i] == HEAD_NONE) continue;
        for (uint32_t k = 0; k < row->exemplar_count; k++) {
            const MetricsExemplar *item = &batch->exemplars[row->exemplar_start + k];

            if (!exemplar_fits(item)) continue;
            metrics_head_append_exemplar(&lane->live->metrics, series[i], item);
            part->result.exemplars++;
        }
    }
    for (size_t i = 0; part->metadata && i < batch->metadata_count; i++)
        if (metadata_fits(&batch->metadata[i]))
            (void)metrics_head_set_metadata(&lane->live->metrics, part->tenant,
                                            &batch->metadata[i]);
}

/* Before the answer and after the head has it: who remembers what queries gave learns what of that
 * is no longer so. What was dropped as a conflict counts as well, which does no harm. */
static void note_changes(const Lane *lane, const AppendPart *part) {
    const MetricsBatch *batch = part->append->batch;
    const uint32_t *series = part->append->series + part->start;
    Changes *changes = lane->options.ingester->changes;
    int64_t min_ms = INT64_MAX, max_ms = INT64_MIN;

    if (changes == NULL) return;
    for (uint32_t i = 0; i < part->count; i++) {
        const MetricsRow *row = part_row(part, i, NULL);

        if (series[i] == HEAD_NONE) continue;
        for (uint32_t k = 0; k < row->sample_count; k++) {
            int64_t time_ms = batch->samples[row->sample_start + k].time_ms;

            min_ms = MIN(min_ms, time_ms);
            max_ms = MAX(max_ms, time_ms);
        }
        for (uint32_t k = 0; k < row->histogram_count; k++) {
            int64_t time_ms = batch->histograms[row->histogram_start + k].time_ms;

            min_ms = MIN(min_ms, time_ms);
            max_ms = MAX(max_ms, time_ms);
        }
    }
    if (min_ms <= max_ms) changes_note(changes, part->append->tenant, min_ms, max_ms);
}

static void part_apply(Lane *lane, AppendPart *part) {
    apply_samples(lane, part);
    apply_histograms(lane, part);
    apply_rest(lane, part);
    note_changes(lane, part);
    active_show(&generation_tenant(lane->live, part->tenant)->active->series);
    counter_add(lane->metrics.samples, part->result.samples + part->result.histograms);
    counter_add(lane->metrics.conflicts, part->result.conflicts);
    counter_add(lane->metrics.over_limit, part->result.over_limit);
}

/* ---------- the group ---------- */

static void part_refuse(Lane *lane, AppendPart *part, const Error *err) {
    part->result = (AppendResult){.code = err->code, .first = *err};
    counter_add(lane->metrics.refused, 1);
    append_part_done(part);
}

/* Adds the part to the group, or takes every trace of it out again and refuses it. */
static bool group_add(Lane *lane, AppendPart *part) {
    size_t bytes = lane->group.len, logging = lane->logging_count;
    Error err = {0};

    if (part_encode(lane, part, &err) == ERR_OK) return true;
    lane->group.len = MIN(bytes, lane->group.len);
    log_settle(lane, logging, false);
    if (part->defines_tenant) generation_tenant(lane->live, part->tenant)->logging = false;
    part_refuse(lane, part, &err);
    return false;
}

/* Takes parts off the list until the group holds `bytes_max`. */
static size_t group_take(Lane *lane, TaskList *list, size_t bytes_max, AppendPart **parts,
                         size_t count) {
    while (list->first != NULL && count < PARTS_MAX && lane->group.len < bytes_max) {
        AppendPart *part = (AppendPart *)list->first;

        list->first = part->task.next;
        if (list->first == NULL) list->end = &list->first;
        if (group_add(lane, part)) parts[count++] = part;
    }
    return count;
}

/* Metrics first: logs and spans, which are so many more bytes, cannot keep them waiting. */
static size_t group_build(Lane *lane, AppendPart **parts) {
    size_t count;

    if (lane->group.capacity > GROUP_KEPT_MAX) {
        buf_done(&lane->group);
        buf_init(&lane->group, 0);
    }
    buf_clear(&lane->group);
    count = group_take(lane, &lane->appends, GROUP_BYTES_MAX, parts, 0);
    if (lane->bulk.first == NULL || lane_bulk_behind(lane)) return count;
    return group_take(lane, &lane->bulk, lane->group.len + GROUP_BYTES_MAX, parts, count);
}

void lane_commit(Lane *lane) {
    AppendPart *parts[PARTS_MAX];
    size_t count = group_build(lane, parts);
    const Clock *clock = lane->options.ingester->clock;
    uint64_t started = clock_monotonic_ns(clock);
    Error err = {0};
    bool durable;

    if (count == 0) return;
    durable = wal_commit(lane->wal, &lane->group, &err) == ERR_OK;
    log_settle(lane, 0, durable);
    log_settle_tenants(lane, durable);
    if (durable && lane->group.len > 0) {
        histogram_observe(lane->metrics.group_bytes, (double)lane->group.len);
        histogram_observe(lane->metrics.commit_seconds,
                          (double)(clock_monotonic_ns(clock) - started) / 1e9);
        if (lane->live->first_ms == 0) lane->live->first_ms = clock_now_ms(clock);
    }
    for (size_t i = 0; i < count; i++) {
        if (!durable) {
            if (parts[i]->append->spans != NULL) append_spans_drop(lane, parts[i]);
            part_refuse(lane, parts[i], &err);
            continue;
        }
        if (parts[i]->append->logs != NULL)
            append_logs_apply(lane, parts[i]);
        else if (parts[i]->append->spans != NULL)
            append_spans_apply(lane, parts[i]);
        else
            part_apply(lane, parts[i]);
        append_part_done(parts[i]);
    }
}
