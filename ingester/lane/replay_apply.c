/*
 * replay_apply.c: a log's records become a head again. Columns are decoded whole, their series
 * looked up in one pass, and applied in another, so that cache misses overlap.
 */
#include <stdlib.h>

#include "common/base/log.h"
#include "common/batch/span_wire.h"
#include "ingester/lane/replay.h"

enum { AHEAD = 8, DEFINITION_BYTES = 4096 };

static ReplayReference *reference_at(const Replay *replay, unsigned kind, uint64_t reference) {
    if (reference >= replay->references[kind].count) return NULL;
    return (ReplayReference *)(void *)replay->references[kind].region.base + reference;
}

/* ---------- tenants ---------- */

static ErrCode define_tenant(Replay *replay, const WalRecord *record, Str text, Error *err) {
    if (record->tenant >= REPLAY_TENANTS_MAX || text.len == 0) {
        replay->stats.bad_records++;
        return ERR_OK;
    }
    if (record->tenant >= replay->tenant_count) {
        size_t count = MAX(replay->tenant_count * 2, (size_t)record->tenant + 16);
        ReplayTenant *more = realloc(replay->tenants, count * sizeof *more);

        if (more == NULL) return error_set(err, ERR_LIMIT, "out of memory");
        memset(more + replay->tenant_count, 0, (count - replay->tenant_count) * sizeof *more);
        replay->tenants = more;
        replay->tenant_count = count;
    }
    if (replay->tenants[record->tenant].name.len == 0) {
        Str name = str_dup(replay->arena, text);

        if (name.ptr == NULL) return error_set(err, ERR_LIMIT, "out of memory");
        replay->tenants[record->tenant].name = name;
    }
    return ERR_OK;
}

/* The tenant's number in the part; HEAD_NONE: the log doesn't (or no longer does) name it. */
static ErrCode part_tenant(Replay *replay, uint32_t number, uint32_t *out, Error *err) {
    ReplayTenant *tenant;

    *out = HEAD_NONE;
    if (number >= replay->tenant_count || replay->tenants[number].name.len == 0) return ERR_OK;
    tenant = &replay->tenants[number];
    if (tenant->part != replay->part) {
        uint32_t made = generation_add_tenant(replay->generation, tenant->name);

        if (made == HEAD_NONE) {
            TRY(replay_next_part(replay, err));
            made = generation_add_tenant(replay->generation, tenant->name);
        }
        if (made == HEAD_NONE) return error_set(err, ERR_LIMIT, "no memory for a tenant");
        tenant->tenant = made;
        tenant->part = replay->part;
    }
    *out = tenant->tenant;
    return ERR_OK;
}

/* ---------- series and streams ---------- */

static uint32_t find(const Generation *generation, unsigned kind, Hash128 id) {
    switch (kind) {
    case REPLAY_STREAMS:
        return logs_head_find(&generation->logs, id);
    case REPLAY_ORIGINS:
        return spans_head_find_origin(&generation->spans, id);
    default:
        return metrics_head_find_one(&generation->metrics, id);
    }
}

static ErrCode add(Generation *generation, unsigned kind, uint32_t tenant, const SeriesEntry *entry,
                   uint32_t *out, Error *err) {
    switch (kind) {
    case REPLAY_STREAMS:
        return logs_head_add(&generation->logs, tenant, entry->id, entry->labels, out, err);
    case REPLAY_ORIGINS:
        TRY(origin_check(entry->labels, err));
        return spans_head_add_origin(&generation->spans, entry->id, entry->labels, out, err);
    default:
        return metrics_head_add(&generation->metrics, tenant, entry->id, entry->labels, out, err);
    }
}

/* Puts the series (stream) into the part. ERR_OK and HEAD_NONE: the definition makes no sense. */
static ErrCode make_series(Replay *replay, unsigned kind, uint32_t tenant_number,
                           const SeriesEntry *entry, uint32_t *out, Error *err) {
    uint32_t tenant;

    *out = HEAD_NONE;
    for (unsigned attempt = 0;; attempt++) {
        ErrCode code;

        TRY(part_tenant(replay, tenant_number, &tenant, err));
        if (tenant == HEAD_NONE) return ERR_OK;
        *out = find(replay->generation, kind, entry->id);
        if (*out != HEAD_NONE) return ERR_OK;
        code = add(replay->generation, kind, tenant, entry, out, err);
        if (code == ERR_OK || code == ERR_INVALID || code == ERR_CORRUPT) return ERR_OK;
        if (attempt > 0) return code;
        TRY(replay_next_part(replay, err));
    }
}

static ErrCode apply_series(Replay *replay, unsigned kind, const WalRecord *record, Error *err) {
    Reader r = reader_of(record->payload);

    TRY(define_tenant(replay, record, reader_prefixed(&r), err));
    while (!reader_at_end(&r)) {
        const uint8_t *start = r.at;
        uint64_t at = record->payload_at + (uint64_t)((const char *)start - record->payload.ptr);
        SeriesEntry entry;
        size_t end;
        uint32_t series;

        if (!record_read_series(&r, &entry) || entry.reference >= REPLAY_REFERENCES_MAX) {
            replay->stats.bad_records++;
            return ERR_OK;
        }
        end = (entry.reference + (size_t)1) * sizeof(ReplayReference);
        if (!region_commit(&replay->references[kind].region, end, true))
            return error_set(err, ERR_LIMIT, "out of memory");
        replay->references[kind].count =
            MAX(replay->references[kind].count, entry.reference + (size_t)1);
        TRY(make_series(replay, kind, record->tenant, &entry, &series, err));
        if (series == HEAD_NONE) {
            replay->stats.bad_records++;
            continue;
        }
        *reference_at(replay, kind, entry.reference) = (ReplayReference){
            .place = (uint64_t)replay->file << 48 | at, .series = series, .part = replay->part};
    }
    return ERR_OK;
}

/* Reads a definition again, for a series whose part is gone. */
static ErrCode define_again(Replay *replay, unsigned kind, uint32_t tenant,
                            ReplayReference *reference, Error *err) {
    const ReplayFile *file = &replay->files[reference->place >> 48];
    uint64_t at = reference->place & ((UINT64_C(1) << 48) - 1);
    size_t len = (size_t)MIN(file->source.size - at, (uint64_t)DEFINITION_BYTES);

    for (;;) {
        char *bytes = arena_alloc_bytes(replay->scratch, len);
        SeriesEntry entry;
        Reader r;
        int code;

        if (bytes == NULL) return error_set(err, ERR_LIMIT, "out of memory");
        code = file->source.read(file->source.context, at, bytes, len);
        if (code != 0) return error_set(err, ERR_UNAVAILABLE, "cannot read: %s", strerror(code));
        r = reader_of((Str){bytes, len});
        if (record_read_series(&r, &entry)) {
            TRY(make_series(replay, kind, tenant, &entry, &reference->series, err));
            if (reference->series == HEAD_NONE) reference->place = 0;
            reference->part = replay->part;
            return ERR_OK;
        }
        if (len >= file->source.size - at) break;
        len = (size_t)MIN(file->source.size - at, (uint64_t)RECORD_LABEL_BYTES_MAX + 64);
    }
    reference->place = 0;
    return ERR_OK;
}

/* The series (stream) that a reference means in this part; HEAD_NONE: unknown. */
static ErrCode resolve(Replay *replay, unsigned kind, uint32_t tenant, uint32_t number,
                       uint32_t *out, Error *err) {
    ReplayReference *reference = reference_at(replay, kind, number);

    *out = HEAD_NONE;
    if (reference == NULL || reference->place == 0) return ERR_OK;
    if (UNLIKELY(reference->part != replay->part)) {
        ErrCode code = define_again(replay, kind, tenant, reference, err);

        arena_reset(replay->scratch);
        TRY(code);
        if (reference->place == 0) return ERR_OK;
    }
    *out = reference->series;
    return ERR_OK;
}

/* ---------- samples ---------- */

/* Room for what a record holds, in this part or a new one. */
static ErrCode make_room(Replay *replay, size_t bytes, Error *err) {
    if (metrics_head_reserve(&replay->generation->metrics, bytes)) return ERR_OK;
    return replay_next_part(replay, err);
}

static ErrCode apply_samples(Replay *replay, const WalRecord *record, Error *err) {
    SampleColumns *columns = replay->columns;
    MetricsHead *head;
    uint32_t part;

    if (!record_read_samples(record->payload, columns)) {
        replay->stats.bad_records++;
        return ERR_OK;
    }
    TRY(make_room(replay, (size_t)columns->count * 64, err));
    /* Defining a series again may begin a new part, which makes those resolved before wrong. */
    do {
        part = replay->part;
        for (uint32_t i = 0; i < columns->count && part == replay->part; i++) {
            if (i + AHEAD < columns->count)
                __builtin_prefetch(
                    (ReplayReference *)(void *)replay->references[REPLAY_SERIES].region.base +
                    MIN((size_t)columns->references[i + AHEAD],
                        replay->references[REPLAY_SERIES].count));
            TRY(resolve(replay, REPLAY_SERIES, record->tenant, columns->references[i],
                        &replay->series[i], err));
        }
    } while (part != replay->part);

    head = &replay->generation->metrics;
    for (uint32_t i = 0; i < columns->count; i++) {
        uint32_t ahead = i + AHEAD < columns->count ? replay->series[i + AHEAD] : HEAD_NONE;

        if (ahead != HEAD_NONE) __builtin_prefetch(head_hot(head, ahead), 1);
        if (replay->series[i] == HEAD_NONE) {
            replay->stats.lost++;
            continue;
        }
        (void)metrics_head_append(head, replay->series[i], columns->times[i], columns->values[i]);
        replay->stats.samples++;
    }
    return ERR_OK;
}

static ErrCode apply_histograms(Replay *replay, const WalRecord *record, Error *err) {
    Reader r = reader_of(record->payload);
    ErrCode code = ERR_OK;

    while (code == ERR_OK && !reader_at_end(&r)) {
        const NativeHistogram *histogram;
        uint32_t reference, series = HEAD_NONE;
        int64_t time_ms;

        if (!record_read_histogram(&r, replay->decoded, &reference, &time_ms, &histogram)) {
            replay->stats.bad_records++;
            break;
        }
        code = make_room(replay, stream_histogram_bytes_max(histogram), err);
        if (code == ERR_OK)
            code = resolve(replay, REPLAY_SERIES, record->tenant, reference, &series, err);
        if (code != ERR_OK) break;
        if (series == HEAD_NONE) {
            replay->stats.lost++;
            continue;
        }
        (void)metrics_head_append_histogram(&replay->generation->metrics, series, time_ms,
                                            histogram);
        replay->stats.samples++;
    }
    arena_reset(replay->decoded);
    return code;
}

static ErrCode apply_exemplars(Replay *replay, const WalRecord *record, Error *err) {
    Reader r = reader_of(record->payload);

    while (!reader_at_end(&r)) {
        MetricsExemplar exemplar;
        uint32_t reference, series;

        if (!record_read_exemplar(&r, &reference, &exemplar)) {
            replay->stats.bad_records++;
            return ERR_OK;
        }
        TRY(make_room(replay, sizeof(HeadExemplar) + exemplar.labels.len, err));
        TRY(resolve(replay, REPLAY_SERIES, record->tenant, reference, &series, err));
        if (series != HEAD_NONE)
            metrics_head_append_exemplar(&replay->generation->metrics, series, &exemplar);
    }
    return ERR_OK;
}

static ErrCode apply_metadata(Replay *replay, const WalRecord *record, Error *err) {
    Reader r = reader_of(record->payload);
    uint32_t tenant;

    TRY(part_tenant(replay, record->tenant, &tenant, err));
    while (tenant != HEAD_NONE && !reader_at_end(&r)) {
        MetricsMetadata item;

        if (!record_read_metadata(&r, &item)) {
            replay->stats.bad_records++;
            return ERR_OK;
        }
        (void)metrics_head_set_metadata(&replay->generation->metrics, tenant, &item);
    }
    return ERR_OK;
}

/* ---------- logs ---------- */

/* Room is made before the stream is resolved: making it may begin a new part. */
static ErrCode apply_run(Replay *replay, uint32_t tenant, LogRun *run, Error *err) {
    uint32_t stream;
    LogEntry entry;
    bool whole;

    TRY(make_room(replay, (size_t)(run->entries.end - run->entries.at) + LOGS_CHUNK_MIN, err));
    TRY(resolve(replay, REPLAY_STREAMS, tenant, run->reference, &stream, err));
    if (stream == HEAD_NONE) {
        replay->stats.lost += run->count;
        return ERR_OK;
    }
    while (record_next_line(run, &entry, &whole)) {
        logs_head_append(&replay->generation->logs, stream, &entry);
        replay->stats.entries++;
    }
    replay->stats.bad_records += !whole;
    return ERR_OK;
}

static ErrCode apply_lines(Replay *replay, const WalRecord *record, Error *err) {
    Reader r = reader_of(record->payload);

    while (!reader_at_end(&r)) {
        LogRun run;

        if (!record_read_lines(&r, &run)) {
            replay->stats.bad_records++;
            return ERR_OK;
        }
        TRY(apply_run(replay, record->tenant, &run, err));
    }
    return ERR_OK;
}

/* ---------- spans ---------- */

/* The trace's number in the part, and the origin's: making the one may begin a new part. */
static ErrCode place_span(Replay *replay, uint32_t tenant_number, uint32_t reference,
                          const SpanPlace *place, uint32_t *trace, uint32_t *origin, Error *err) {
    uint32_t tenant, part;

    *trace = HEAD_NONE;
    for (unsigned attempt = 0;; attempt++) {
        TRY(resolve(replay, REPLAY_ORIGINS, tenant_number, reference, origin, err));
        if (*origin == HEAD_NONE) return ERR_OK;
        part = replay->part;
        TRY(part_tenant(replay, tenant_number, &tenant, err));
        if (tenant == HEAD_NONE) return ERR_OK;
        if (part == replay->part) {
            *trace = spans_head_trace(&replay->generation->spans, tenant, &place->trace);
            if (*trace != HEAD_NONE) return ERR_OK;
            if (attempt > 0) return error_set(err, ERR_LIMIT, "no memory for a trace");
            TRY(replay_next_part(replay, err));
        }
    }
}

static ErrCode apply_span(Replay *replay, uint32_t tenant, uint32_t push, uint32_t reference,
                          Str message, Error *err) {
    uint32_t trace, origin;
    SpanPlace place;

    if (span_check(message, &place, err) != ERR_OK) {
        replay->stats.bad_records++;
        return ERR_OK;
    }
    TRY(make_room(replay, spans_head_bytes(message.len), err));
    TRY(place_span(replay, tenant, reference, &place, &trace, &origin, err));
    if (trace == HEAD_NONE) {
        replay->stats.lost++;
        return ERR_OK;
    }
    spans_head_append(&replay->generation->spans, trace, origin, push, place.start_ns, place.end_ns,
                      message);
    replay->stats.spans++;
    return ERR_OK;
}

static ErrCode apply_spans(Replay *replay, const WalRecord *record, Error *err) {
    Reader r = reader_of(record->payload);
    uint32_t push;

    if (!record_read_push(&r, &push)) {
        replay->stats.bad_records++;
        return ERR_OK;
    }
    while (!reader_at_end(&r)) {
        uint32_t reference;
        Str message;

        if (!record_read_span(&r, &reference, &message)) {
            replay->stats.bad_records++;
            return ERR_OK;
        }
        TRY(apply_span(replay, record->tenant, push, reference, message, err));
    }
    return ERR_OK;
}

ErrCode replay_apply(Replay *replay, const WalRecord *record, Error *err) {
    if (record->type != RECORD_TENANT) replay->generation->first_ms = MAX(replay->created_ms, 1);
    switch (record->type) {
    case RECORD_TENANT:
        return define_tenant(replay, record, record->payload, err);
    case RECORD_METRICS_SERIES:
        return apply_series(replay, REPLAY_SERIES, record, err);
    case RECORD_METRICS_SAMPLES:
        return apply_samples(replay, record, err);
    case RECORD_METRICS_HISTOGRAMS:
        return apply_histograms(replay, record, err);
    case RECORD_METRICS_EXEMPLARS:
        return apply_exemplars(replay, record, err);
    case RECORD_METRICS_METADATA:
        return apply_metadata(replay, record, err);
    case RECORD_LOGS_STREAMS:
        return apply_series(replay, REPLAY_STREAMS, record, err);
    case RECORD_LOGS_LINES:
        return apply_lines(replay, record, err);
    case RECORD_TRACES_ORIGINS:
        return apply_series(replay, REPLAY_ORIGINS, record, err);
    case RECORD_TRACES_SPANS:
        return apply_spans(replay, record, err);
    default:
        replay->stats.bad_records++;
        return ERR_OK;
    }
}
