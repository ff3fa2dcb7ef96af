/*
 * log_head.c: a head's bytes as a page: entries in order of arrival.
 */
#include <string.h>

#include "common/block/log_page.h"
#include "common/block/log_stream.h"

static ErrCode no_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory for a head's page");
}

/* Stable, by time: rows of equal times stay in order of arrival. Merges runs from the bottom up;
 * what came nearly in order is few runs. */
static LogEntry *sort_entries(LogEntry *from, LogEntry *to, size_t count) {
    for (size_t width = 1; width < count; width *= 2) {
        LogEntry *swap = from;

        for (size_t low = 0; low < count; low += 2 * width) {
            size_t middle = MIN(low + width, count), high = MIN(low + 2 * width, count);
            size_t a = low, b = middle;

            for (size_t at = low; at < high; at++) {
                bool left = a < middle && (b >= high || from[a].time_ns <= from[b].time_ns);

                to[at] = left ? from[a++] : from[b++];
            }
        }
        from = to;
        to = swap;
    }
    return from;
}

static ErrCode take_entries(LogDecoder *d, Str bytes, uint32_t count, const LogPageRead *read,
                            LogEntry **out, size_t *kept, Error *err) {
    LogStreamReader r = log_stream_reader(bytes);
    size_t room = MIN((size_t)count, bytes.len / 3) + 1; /* an entry takes three bytes at least */
    LogEntry *list = arena_alloc(d->arena, room * sizeof *list);
    bool ascends = true;
    uint32_t seen = 0;
    LogEntry entry;

    if (list == NULL) return no_memory(err);
    for (*kept = 0; seen < count && log_stream_next(&r, &entry); seen++) {
        if (entry.time_ns < read->min_ns || entry.time_ns > read->max_ns) continue;
        ascends &= *kept == 0 || list[*kept - 1].time_ns <= entry.time_ns;
        list[(*kept)++] = entry;
    }
    if (seen != count)
        return error_set(err, ERR_CORRUPT, "a head's page of %u entries holds %u", count, seen);
    if (!ascends) {
        LogEntry *other = arena_alloc(d->arena, *kept * sizeof *other);

        if (other == NULL) return no_memory(err);
        list = sort_entries(list, other, *kept);
    }
    *out = list;
    return ERR_OK;
}

ErrCode log_head_decode(LogDecoder *d, Str bytes, uint32_t count, const LogPageRead *read,
                        LogView *out, Error *err) {
    bool any_metadata = false;
    LogEntry *entries = NULL;
    int64_t *times;
    Str *lines, *metadata;
    uint32_t *lengths;
    size_t n = 0;

    TRY(take_entries(d, bytes, count, read, &entries, &n, err));
    times = arena_alloc(d->arena, (n + 1) * sizeof *times);
    lines = arena_alloc(d->arena, (n + 1) * sizeof *lines);
    metadata = arena_alloc(d->arena, (n + 1) * sizeof *metadata);
    lengths = arena_alloc(d->arena, (n + 1) * sizeof *lengths);
    if (times == NULL || lines == NULL || metadata == NULL || lengths == NULL)
        return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        times[i] = entries[i].time_ns;
        lines[i] = entries[i].line;
        metadata[i] = entries[i].metadata;
        lengths[i] = (uint32_t)entries[i].line.len;
        any_metadata |= entries[i].metadata.len > 0;
    }
    *out = (LogView){
        .times_ns = times,
        .lines = (read->columns & (LOG_LINES | LOG_PARTS)) != 0 ? lines : NULL,
        .metadata = (read->columns & LOG_METADATA) != 0 && any_metadata ? metadata : NULL,
        .lengths = (read->columns & LOG_LENGTHS) != 0 ? lengths : NULL,
        .count = n,
        .exact = read->filter == NULL || read->filter->needle_count == 0,
    };
    return ERR_OK;
}
