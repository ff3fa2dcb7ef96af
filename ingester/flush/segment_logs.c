/*
 * segment_logs.c: a generation's streams, in the order a block wants them.
 *
 * Nothing is copied: rows point to where the head holds the lines. Only a stream whose entries came
 * out of order is sorted (stably), and only where times are equal entries are compared.
 */
#include <stdlib.h>

#include "common/base/hash.h"
#include "ingester/flush/segment.h"

enum { COMPARE_ALL_MAX = 8 }; /* entries of one instant that are compared each with each */

typedef struct Entries {
    LogEntry *items;
    size_t count;
    bool in_order;
    bool metadata; /* some entry has any */
} Entries;

/* ---------- order ---------- */

static int compare_streams(const void *a, const void *b, void *context) {
    const SortedSeries *x = a, *y = b;
    const Segment *segment = context;
    const LogsHead *head = &segment->generation->logs;
    const HeadStream *sx, *sy;

    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    sx = head_stream(head, x->series);
    sy = head_stream(head, y->series);
    return segment_compare(segment, head_stream_pairs(head, sx), sx->pair_count,
                           head_stream_pairs(head, sy), sy->pair_count);
}

static uint64_t stream_key(const Segment *segment, const HeadStream *stream) {
    const LogsHead *head = &segment->generation->logs;
    const uint32_t *pairs = head_stream_pairs(head, stream);
    uint32_t name = PAIR_NONE;

    for (uint32_t i = 0; i < stream->pair_count; i++)
        if (str_equal(pairs_array(head->pairs)[pairs[i]].name, LABEL_NAME)) name = pairs[i];
    return segment_key(segment, name, pairs, stream->pair_count);
}

/* Streams of groups that failed, or that were only looked at by a limit, hold nothing. */
static size_t sort_streams(Segment *segment, uint32_t tenant) {
    const LogsHead *head = &segment->generation->logs;
    size_t count = 0;

    for (uint32_t n = head_log_tenant(head, tenant)->streams; n != LOGS_NONE;
         n = head_stream(head, n)->next)
        if (head_stream(head, n)->chunk != 0)
            segment->sorted[count++] = (SortedSeries){stream_key(segment, head_stream(head, n)), n};
    qsort_r(segment->sorted, count, sizeof *segment->sorted, compare_streams, segment);
    return count;
}

/* ---------- entries ---------- */

static size_t count_entries(const LogsHead *head, const HeadStream *stream) {
    size_t count = 0;

    for (SlabHandle at = stream->chunk; at != 0; at = head_log_chunk(head, at)->older)
        count += head_log_chunk(head, at)->state.count;
    return count;
}

/* In order of arrival: the newest chunk's go to the end. */
static ErrCode collect(const LogsHead *head, const HeadStream *stream, Entries *out, Error *err) {
    size_t end = out->count;

    for (SlabHandle at = stream->chunk; at != 0; at = head_log_chunk(head, at)->older) {
        const HeadLogChunk *chunk = head_log_chunk(head, at);
        LogStreamReader reader = log_stream_reader((Str){(const char *)(chunk + 1), chunk->used});
        LogEntry *to = out->items + end - chunk->state.count;

        for (uint32_t i = 0; i < chunk->state.count; i++) {
            if (!log_stream_next(&reader, &to[i]))
                return error_set(err, ERR_INTERNAL, "a head's own log entries cannot be read");
            out->metadata |= to[i].metadata.len > 0;
        }
        end -= chunk->state.count;
    }
    for (size_t i = 1; i < out->count; i++)
        out->in_order &= out->items[i - 1].time_ns <= out->items[i].time_ns;
    return ERR_OK;
}

typedef struct Arrived {
    LogEntry entry;
    size_t arrival;
} Arrived;

static int compare_arrived(const void *a, const void *b) {
    const Arrived *x = a, *y = b;

    if (x->entry.time_ns != y->entry.time_ns) return x->entry.time_ns < y->entry.time_ns ? -1 : 1;
    return (x->arrival > y->arrival) - (x->arrival < y->arrival);
}

static bool sort_entries(Entries *entries, Arena *arena) {
    Arrived *sorted = arena_alloc(arena, entries->count * sizeof *sorted);

    if (sorted == NULL) return false;
    for (size_t i = 0; i < entries->count; i++) sorted[i] = (Arrived){entries->items[i], i};
    qsort(sorted, entries->count, sizeof *sorted, compare_arrived);
    for (size_t i = 0; i < entries->count; i++) entries->items[i] = sorted[i].entry;
    return true;
}

/* ---------- doubles ---------- */

static bool same_entry(const LogEntry *a, const LogEntry *b) {
    return str_equal(a->line, b->line) && str_equal(a->metadata, b->metadata);
}

typedef struct Hashed {
    uint64_t hash;
    size_t index;
} Hashed;

static int compare_hashed(const void *a, const void *b) {
    const Hashed *x = a, *y = b;

    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Marks doubles among many entries of one instant, by hashes: senders with a coarse clock have
 * thousands. Returns false when out of memory. */
static bool mark_by_hash(const LogEntry *items, size_t count, bool *doubles, Arena *arena) {
    Hashed *hashed = arena_alloc(arena, count * sizeof *hashed);

    if (hashed == NULL) return false;
    for (size_t i = 0; i < count; i++)
        hashed[i] = (Hashed){
            hash_bytes_seeded(items[i].line.ptr, items[i].line.len, hash_str(items[i].metadata)),
            i};
    qsort(hashed, count, sizeof *hashed, compare_hashed);
    /* Different ones of one hash are next to never, and then cost a double at most. */
    for (size_t i = 1; i < count; i++)
        if (hashed[i].hash == hashed[i - 1].hash &&
            same_entry(&items[hashed[i].index], &items[hashed[i - 1].index]))
            doubles[hashed[i].index] = true;
    return true;
}

static void mark_each(const LogEntry *items, size_t count, bool *doubles) {
    for (size_t i = 1; i < count; i++)
        for (size_t k = 0; k < i && !doubles[i]; k++) doubles[i] = same_entry(&items[i], &items[k]);
}

/* Of entries with the same time, line and metadata the first stays. */
static bool drop_doubles(Entries *entries, Arena *arena) {
    LogEntry *items = entries->items;
    size_t kept = 0, end;

    for (size_t start = 0; start < entries->count; start = end) {
        bool few[COMPARE_ALL_MAX] = {0}, *doubles = few;
        size_t count;

        for (end = start + 1; end < entries->count && items[end].time_ns == items[start].time_ns;)
            end++;
        count = end - start;
        if (count > COMPARE_ALL_MAX) {
            doubles = arena_zalloc(arena, count * sizeof *doubles);
            if (doubles == NULL || !mark_by_hash(items + start, count, doubles, arena))
                return false;
        } else if (count > 1) {
            mark_each(items + start, count, doubles);
        }
        for (size_t i = 0; i < count; i++)
            if (!doubles[i]) items[kept++] = items[start + i];
    }
    entries->count = kept;
    return true;
}

/* ---------- writing ---------- */

static ErrCode write_rows(Segment *segment, const Entries *entries, Error *err) {
    int64_t *times = ARENA_ARRAY(segment->scratch, int64_t, entries->count);
    Str *lines = ARENA_ARRAY(segment->scratch, Str, entries->count);
    Str *metadata = entries->metadata ? ARENA_ARRAY(segment->scratch, Str, entries->count) : NULL;

    if (times == NULL || lines == NULL || (entries->metadata && metadata == NULL))
        return segment_out_of_memory(err);
    for (size_t i = 0; i < entries->count; i++) {
        times[i] = entries->items[i].time_ns;
        lines[i] = entries->items[i].line;
        if (metadata != NULL) metadata[i] = entries->items[i].metadata;
    }
    return block_logs_rows(segment->writer, &(LogRows){times, lines, metadata, entries->count},
                           err);
}

static ErrCode write_stream(Segment *segment, uint32_t number, Error *err) {
    const LogsHead *head = &segment->generation->logs;
    const HeadStream *stream = head_stream(head, number);
    const uint32_t *numbers = head_stream_pairs(head, stream);
    LabelPair *pairs = ARENA_ARRAY(segment->scratch, LabelPair, MAX(stream->pair_count, 1));
    Entries entries = {.count = count_entries(head, stream), .in_order = true};

    entries.items = arena_alloc(segment->scratch, entries.count * sizeof *entries.items);
    if (pairs == NULL || entries.items == NULL) return segment_out_of_memory(err);
    for (uint32_t i = 0; i < stream->pair_count; i++)
        pairs[i] = pairs_array(head->pairs)[numbers[i]];
    TRY(collect(head, stream, &entries, err));
    if ((!entries.in_order && !sort_entries(&entries, segment->scratch)) ||
        !drop_doubles(&entries, segment->scratch))
        return segment_out_of_memory(err);
    TRY(block_logs_stream(segment->writer, (LabelPairs){pairs, stream->pair_count}, err));
    return write_rows(segment, &entries, err);
}

ErrCode segment_write_logs(Segment *segment, uint32_t tenant, Error *err) {
    size_t count;

    if (tenant >= segment->generation->logs.tenant_count) return ERR_OK;
    count = sort_streams(segment, tenant);
    if (count == 0) return ERR_OK;
    TRY(block_logs_begin(segment->writer, generation_tenant(segment->generation, tenant)->name,
                         err));
    for (size_t i = 0; i < count; i++) {
        TRY(write_stream(segment, segment->sorted[i].series, err));
        arena_reset(segment->scratch);
    }
    return block_logs_end(segment->writer, err);
}
