/*
 * logs.c: streams of several objects, merged by time. Where only one source has entries for a while
 * they are passed on as they lie in its page; where several have entries of one moment, those that
 * are the same are written once.
 */
#include <string.h>

#include "common/base/hash.h"
#include "common/block/logs.h"
#include "compactor/merge/internal.h"

#define NS_PER_MS INT64_C(1000000)

enum {
    WINDOWS_BYTES = 32 << 20,     /* read ahead of all sources together, */
    WINDOW_BYTES_MIN = 256 << 10, /* but of each at least */
};

typedef struct LogPlace {
    LogCursor *cursor;
    LabelPairs labels;
    bool more; /* streams */
    LogRows rows;
    size_t at;    /* in rows */
    bool reading; /* the stream being written, and it has entries left */
    /* The next page is one that may be passed on as it is, and not read yet. */
    bool unread;
    LogWholePage page;
    /* Delete requests that apply to the source, and those of them about the stream. */
    LogCut *const *cuts;
    size_t cut_count;
    LogCut **stream_cuts;
    size_t stream_cut_count;
    Arena *kept; /* what they leave of the rows */
} LogPlace;

/* Lines of one moment that were written, by hash: two that are the same have the same 128 bits. */
typedef struct Moment {
    Hash128 *lines;
    size_t count;
    size_t capacity; /* a power of two; open addressing */
} Moment;

typedef struct LogMerge {
    Merge *merge;
    LogPlace *places;
    size_t count;
    Moment moment;
    Arena *arena; /* the moment's */
    LogCuts cuts;
    LogCutter *cutter;    /* NULL: nothing is deleted */
    int64_t keep_from_ns; /* of the stream at hand */
} LogMerge;

static ErrCode failed_at(LogMerge *logs, const LogPlace *place, ErrCode code) {
    if (code != ERR_OK) logs->merge->failed = logs->merge->job->sources[place - logs->places];
    return code;
}

static ErrCode next_stream(LogMerge *logs, LogPlace *place, Error *err) {
    return failed_at(logs, place,
                     log_cursor_stream(place->cursor, &place->labels, &place->more, err));
}

static void count_cut(const LogMerge *logs, size_t entries) {
    uint64_t *counter = logs->merge->io->cut_entries;

    if (counter != NULL) *counter += entries;
}

/* Leaves what no delete request is about. */
static ErrCode cut_rows(LogMerge *logs, LogPlace *place, Error *err) {
    LogRows *rows = &place->rows;
    LogCutRows looked_at = {rows->times_ns, rows->lines, rows->metadata, rows->count};
    size_t kept, used = 0;

    arena_reset(place->kept);
    bool *keep = arena_alloc(place->kept, MAX(rows->count, 1) * sizeof *keep);

    if (keep == NULL) return merge_out_of_memory(err);
    TRY(log_cutter_run(logs->cutter, place->stream_cuts, place->stream_cut_count, place->labels,
                       &looked_at, keep, &kept, err));
    if (kept == rows->count) return ERR_OK;
    count_cut(logs, rows->count - kept);
    int64_t *times = arena_alloc(place->kept, MAX(kept, 1) * sizeof *times);
    Str *lines = ARENA_ARRAY(place->kept, Str, kept);
    Str *metadata = ARENA_ARRAY(place->kept, Str, kept);

    if (times == NULL || lines == NULL || metadata == NULL) return merge_out_of_memory(err);
    for (size_t i = 0; i < rows->count; i++) {
        if (!keep[i]) continue;
        times[used] = rows->times_ns[i];
        lines[used] = rows->lines[i];
        if (rows->metadata != NULL) metadata[used] = rows->metadata[i];
        used++;
    }
    *rows = (LogRows){times, lines, rows->metadata == NULL ? NULL : metadata, kept};
    return ERR_OK;
}

/* Whether something between these may be deleted; *all: everything is. */
static bool is_cut(const LogPlace *place, int64_t min_ns, int64_t max_ns, bool *all) {
    bool any = false;

    *all = false;
    for (size_t i = 0; i < place->stream_cut_count && !*all; i++) {
        const LogCut *cut = place->stream_cuts[i];

        *all = log_cut_covers(cut, min_ns, max_ns);
        any = any || (cut->min_ns <= max_ns && cut->max_ns >= min_ns);
    }
    return any || *all;
}

/* Reads the next page; there may be nothing in it that is kept. */
static ErrCode read_page(LogMerge *logs, LogPlace *place, Error *err) {
    place->unread = false;
    TRY(failed_at(logs, place, log_cursor_rows(place->cursor, &place->rows, &place->reading, err)));
    place->at = 0;
    if (place->reading && place->stream_cut_count > 0) TRY(cut_rows(logs, place, err));
    while (place->reading && place->at < place->rows.count &&
           place->rows.times_ns[place->at] < logs->keep_from_ns)
        place->at++;
    return ERR_OK;
}

/* The next page with entries that are kept. What is gone whole isn't read, and what could be passed
 * on as it is not yet. */
static ErrCode next_page(LogMerge *logs, LogPlace *place, Error *err) {
    do {
        bool whole, all, cut;

        place->reading = log_cursor_peek(place->cursor, &place->page, &whole);
        if (!place->reading) return ERR_OK;
        cut = is_cut(place, place->page.min_ns, place->page.max_ns, &all);
        if (all || place->page.max_ns < logs->keep_from_ns) {
            if (all) count_cut(logs, place->page.count);
            log_cursor_skip(place->cursor);
            place->rows.count = place->at = 0;
            continue;
        }
        place->unread =
            whole && !cut && place->page.min_ns >= logs->keep_from_ns &&
            log_weight(place->page.count, place->page.raw_bytes) >= LOG_WHOLE_WEIGHT_MIN;
        if (place->unread) return ERR_OK;
        TRY(read_page(logs, place, err));
    } while (place->at == place->rows.count);
    return ERR_OK;
}

static int64_t next_time(const LogPlace *place) {
    return place->unread ? place->page.min_ns : place->rows.times_ns[place->at];
}

static ErrCode write_rows(LogMerge *logs, const LogPlace *place, size_t count, Error *err) {
    const LogRows *rows = &place->rows;
    LogRows slice = {
        .times_ns = rows->times_ns + place->at,
        .lines = rows->lines + place->at,
        .metadata = rows->metadata == NULL ? NULL : rows->metadata + place->at,
        .count = count,
    };

    return block_logs_rows(logs->merge->writer, &slice, err);
}

/* ---------- entries of one moment ---------- */

static bool same_hash(Hash128 a, Hash128 b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

static void put_hash(Moment *moment, Hash128 hash) {
    size_t slot;

    memcpy(&slot, &hash, sizeof slot);
    for (slot &= moment->capacity - 1; !same_hash(moment->lines[slot], (Hash128){0});)
        slot = (slot + 1) & (moment->capacity - 1);
    moment->lines[slot] = hash;
}

/* Remembers the line; *known: it was there. */
static ErrCode remember(LogMerge *logs, Str line, bool *known, Error *err) {
    Moment *moment = &logs->moment;
    Hash128 hash = hash_bytes_128(line.ptr, line.len, 0);
    size_t slot;

    if (moment->count * 2 >= moment->capacity) {
        Moment grown = {.count = moment->count, .capacity = MAX(moment->capacity * 2, (size_t)64)};

        grown.lines = ARENA_ARRAY(logs->arena, Hash128, grown.capacity);
        if (grown.lines == NULL) return merge_out_of_memory(err);
        for (size_t i = 0; i < moment->capacity; i++)
            if (!same_hash(moment->lines[i], (Hash128){0})) put_hash(&grown, moment->lines[i]);
        *moment = grown;
    }
    memcpy(&slot, &hash, sizeof slot);
    for (slot &= moment->capacity - 1; !same_hash(moment->lines[slot], (Hash128){0});
         slot = (slot + 1) & (moment->capacity - 1))
        if (same_hash(moment->lines[slot], hash)) {
            *known = true;
            return ERR_OK;
        }
    *known = false;
    moment->lines[slot] = hash;
    moment->count++;
    return ERR_OK;
}

/* All entries at `time`, the oldest source's first. */
static ErrCode write_moment(LogMerge *logs, int64_t time, Error *err) {
    arena_reset(logs->arena);
    logs->moment = (Moment){0};
    for (size_t s = 0; s < logs->count; s++) {
        LogPlace *place = &logs->places[s];

        while (place->reading && next_time(place) == time) {
            bool known = false;

            if (place->unread) TRY(read_page(logs, place, err));

            TRY(remember(logs, place->rows.lines[place->at], &known, err));
            if (!known) TRY(write_rows(logs, place, 1, err));
            if (++place->at == place->rows.count) TRY(next_page(logs, place, err));
        }
    }
    return ERR_OK;
}

/* ---------- one stream ---------- */

static size_t entries_before(const LogPlace *place, int64_t time) {
    size_t low = place->at, high = place->rows.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (place->rows.times_ns[middle] < time)
            low = middle + 1;
        else
            high = middle;
    }
    return low - place->at;
}

/* The place that is next, and when the first of the others is. False: all are over. */
static bool find_next(LogMerge *logs, LogPlace **out, int64_t *others, bool *alone) {
    *out = NULL;
    *others = INT64_MAX;
    *alone = true;
    for (size_t s = 0; s < logs->count; s++) {
        LogPlace *place = &logs->places[s];

        if (!place->reading) continue;
        if (*out == NULL) {
            *out = place;
            continue;
        }
        *alone = false;
        if (next_time(place) < next_time(*out)) {
            *others = MIN(*others, next_time(*out));
            *out = place;
        } else {
            *others = MIN(*others, next_time(place));
        }
    }
    return *out != NULL;
}

/* Passes the page on as it is when nothing else is between its entries, or reads it. What is
 * pending and too little for a page of its own is joined by it. */
static ErrCode pass_page(LogMerge *logs, LogPlace *place, bool apart, Error *err) {
    size_t pending = block_logs_pending(logs->merge->writer);
    LogWholePage page;

    if (!apart || (pending > 0 && pending < LOG_WHOLE_WEIGHT_MIN))
        return read_page(logs, place, err);
    TRY(failed_at(logs, place, log_cursor_page(place->cursor, &page, err)));
    TRY(block_logs_page(logs->merge->writer, &page, err));
    return next_page(logs, place, err);
}

static ErrCode write_stream(LogMerge *logs, Error *err) {
    LogPlace *place;
    int64_t others;
    bool alone;

    while (find_next(logs, &place, &others, &alone)) {
        size_t run;

        if (place->unread) {
            TRY(pass_page(logs, place, alone || place->page.max_ns < others, err));
            continue;
        }
        run = alone ? place->rows.count - place->at : entries_before(place, others);

        if (run == 0) {
            TRY(write_moment(logs, others, err));
            continue;
        }
        TRY(write_rows(logs, place, run, err));
        place->at += run;
        if (place->at == place->rows.count) TRY(next_page(logs, place, err));
    }
    return ERR_OK;
}

/* ---------- the whole ---------- */

static int64_t keep_from_ns(int64_t keep_from_ms) {
    int64_t ns;

    if (keep_from_ms == INT64_MIN || !__builtin_mul_overflow(keep_from_ms, NS_PER_MS, &ns))
        return keep_from_ms == INT64_MIN ? INT64_MIN : ns;
    return keep_from_ms < 0 ? INT64_MIN : INT64_MAX;
}

/* From when on the stream's entries are kept. */
static int64_t stream_keep_from(const MergeJob *job, LabelPairs labels) {
    int64_t period_ms;

    if (job->log_streams == NULL) return keep_from_ns(job->keep_from_ms);
    period_ms = stream_retention_of(job->log_streams, labels, job->retention_ms);
    return keep_from_ns(period_ms <= 0 ? INT64_MIN : job->now_ms - period_ms);
}

static ErrCode begin_stream(LogMerge *logs, LogPlace **same, size_t count, Error *err) {
    bool any = false;

    logs->keep_from_ns = stream_keep_from(logs->merge->job, same[0]->labels);
    for (size_t s = 0; s < count; s++) {
        same[s]->stream_cut_count = log_cuts_of_stream(same[s]->cuts, same[s]->cut_count,
                                                       same[s]->labels, same[s]->stream_cuts);
        TRY(next_page(logs, same[s], err));
        any = any || same[s]->reading;
    }
    if (!any) return ERR_OK; /* all expired */
    logs->merge->written++;
    TRY(block_logs_stream(logs->merge->writer, same[0]->labels, err));
    return write_stream(logs, err);
}

static ErrCode write_streams(LogMerge *logs, LogPlace **same, Error *err) {
    for (;;) {
        const LabelPairs *smallest = NULL;
        size_t count = 0;

        for (size_t s = 0; s < logs->count; s++) {
            LogPlace *place = &logs->places[s];
            int order;

            if (!place->more) continue;
            order = smallest == NULL ? -1 : labels_compare(place->labels, *smallest);
            if (order < 0) {
                smallest = &place->labels;
                count = 0;
            }
            if (order <= 0) same[count++] = place;
        }
        if (count == 0) return ERR_OK;
        TRY(begin_stream(logs, same, count, err));
        for (size_t s = 0; s < count; s++) TRY(next_stream(logs, same[s], err));
    }
}

/* The requests that apply to each source. */
static ErrCode find_cuts(LogMerge *logs, Arena *arena, Error *err) {
    const MergeIo *io = logs->merge->io;
    const MergeJob *job = logs->merge->job;
    bool any = false;

    if (io->snapshot == NULL || job->applied == 0) return ERR_OK;
    TRY(log_cuts_init(&logs->cuts, io->language, io->snapshot, job->tenant, job->applied, arena,
                      err));
    for (size_t s = 0; s < job->source_count; s++) {
        const ManifestEntry *entry = job->sources[s];
        LogPlace *place = &logs->places[s];

        TRY(log_cuts_of(&logs->cuts, entry->cleared, entry->level == 0, INT64_MIN, INT64_MAX,
                        &place->cuts, &place->cut_count, err));
        if (place->cut_count == 0) continue;
        any = true;
        place->stream_cuts = ARENA_ARRAY(arena, LogCut *, place->cut_count);
        place->kept = arena_new(0, arena_budget(arena));
        if (place->stream_cuts == NULL || place->kept == NULL) return merge_out_of_memory(err);
    }
    if (any) logs->cutter = log_cutter_new(arena_budget(arena));
    return any && logs->cutter == NULL ? merge_out_of_memory(err) : ERR_OK;
}

static ErrCode run(LogMerge *logs, Arena *arena, Error *err) {
    Merge *merge = logs->merge;
    size_t window = MAX(WINDOWS_BYTES / merge->job->source_count, (size_t)WINDOW_BYTES_MIN);
    LogPlace **same = ARENA_ARRAY(arena, LogPlace *, merge->job->source_count);

    logs->places = ARENA_ARRAY(arena, LogPlace, merge->job->source_count);
    if (same == NULL || logs->places == NULL) return merge_out_of_memory(err);
    TRY(find_cuts(logs, arena, err));
    for (size_t s = 0; s < merge->job->source_count; s++) {
        const ManifestEntry *entry = merge->job->sources[s];

        merge->failed = entry;
        TRY(log_cursor_open(merge->io->from, entry->key, entry->size, merge->job->tenant, window,
                            arena, &logs->places[s].cursor, err));
        merge->failed = NULL;
        logs->count++;
        TRY(next_stream(logs, &logs->places[s], err));
    }
    TRY(block_logs_begin(merge->writer, merge->job->tenant, err));
    TRY(write_streams(logs, same, err));
    return block_logs_end(merge->writer, err);
}

ErrCode merge_logs(Merge *merge, Arena *arena, Error *err) {
    CLEANUP(arena_free) Arena *moment = arena_new(0, arena_budget(arena));
    LogMerge logs = {.merge = merge, .arena = moment};
    ErrCode code = moment == NULL ? merge_out_of_memory(err) : run(&logs, arena, err);

    for (size_t s = 0; logs.places != NULL && s < merge->job->source_count; s++) {
        log_cursor_close(logs.places[s].cursor);
        arena_free(logs.places[s].kept);
    }
    log_cutter_free(logs.cutter);
    return code;
}
