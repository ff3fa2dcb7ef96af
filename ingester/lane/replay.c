/*
 * replay.c: at start, every epoch that is still in the log becomes a frozen generation and is
 * flushed: a log is never written to again after a restart, so that what an epoch holds, and with
 * it the segment made from it, is the same after every further crash.
 *
 * Memory is what it was before the crash: an epoch fitted into its lane's share. Should the share
 * be smaller now, the epoch becomes several parts, each flushed before the next is read.
 */
#include "ingester/lane/replay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"

enum { WAIT_MS = 250, WAIT_ROUNDS_LOG = 40, WAIT_ROUNDS_ALONE = 40 };

/* ---------- parts ---------- */

static Generation *part_new(Replay *replay, Budget *heads) {
    GenerationOptions options = {.heads = heads,
                                 .log = replay->log,
                                 .seed = replay->lane->options.seed,
                                 .epoch = replay->epoch,
                                 .part = replay->part,
                                 .lane = replay->from_lane,
                                 .created_ms = replay->created_ms,
                                 .cleared = replay->cleared};
    Generation *generation = generation_new(&options);

    if (generation != NULL) generation_log_hold(replay->log);
    replay->part++;
    return generation;
}

/* The part joins the frozen ones; an empty one just goes. */
static void part_end(Replay *replay) {
    Generation *generation = replay->generation;

    replay->generation = NULL;
    if (generation == NULL) return;
    if (generation->metrics.series_count > 0 || generation->metrics.metadata_count > 0 ||
        generation->logs.stream_count > 0 || generation->spans.trace_count > 0) {
        lane_add_frozen(replay->lane, generation, false);
        return;
    }
    generation_log_done(generation->log, false);
    generation_unref(generation);
}

static bool memory_is_short(const Lane *lane) {
    const Budget *heads = lane->options.ingester->heads;
    size_t limit = atomic_load_explicit(&((Budget *)heads)->limit, memory_order_relaxed);

    return limit != 0 && budget_used(heads) >= limit / 8 * 7;
}

/* Waits for flushes to free memory. False: nothing of this lane is left to be flushed, and still
 * there is none. */
static bool await_memory(Lane *lane) {
    unsigned alone = 0;

    for (unsigned rounds = 1; memory_is_short(lane) || lane_bulk_behind(lane); rounds++) {
        struct timespec until;

        lane_flush_due(lane);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += WAIT_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_mutex_lock(&lane->lock);
        alone = lane->frozen == NULL ? alone + 1 : 0;
        pthread_cond_timedwait(&lane->changed, &lane->lock, &until);
        pthread_mutex_unlock(&lane->lock);
        if (alone >= WAIT_ROUNDS_ALONE) return false;
        if (rounds % WAIT_ROUNDS_LOG == 0)
            LOG_WARN("replay waits for memory: flushes of what was replayed must succeed first",
                     LOG_U64("lane", lane->options.number));
    }
    return true;
}

ErrCode replay_next_part(Replay *replay, Error *err) {
    /* What must come up even when everything else took the memory is not accounted for. */
    static Budget unaccounted = {.name = "replay"};
    Budget *heads = replay->lane->options.ingester->heads;

    part_end(replay);
    replay->unaccounted = !await_memory(replay->lane);
    if (replay->unaccounted) {
        LOG_WARN("replay goes on past the memory limit: others hold it",
                 LOG_U64("lane", replay->lane->options.number));
        heads = &unaccounted;
    }
    replay->generation = part_new(replay, heads);
    if (replay->generation == NULL) return error_set(err, ERR_LIMIT, "replay: out of memory");
    replay->generation->first_ms = MAX(replay->created_ms, (int64_t)1);
    return ERR_OK;
}

static bool part_is_full(const Replay *replay) {
    size_t bytes = generation_bytes(replay->generation);
    size_t full = replay->lane->options.flush_bytes;
    size_t bulk_bytes = generation_bulk_bytes(replay->generation);

    /* A live head passes its size by what one group brings: the same log must not become two parts
     * just for that. */
    if (bytes >= full / 2 * 3) return true;
    if (bulk_bytes >= replay->lane->options.flush_log_bytes / 2 * 3 &&
        bulk_bytes >= lane_bulk_bytes_max(replay->lane, replay->generation) / 2 * 3)
        return true;
    return bytes >= full / 4 && !replay->unaccounted && memory_is_short(replay->lane);
}

/* ---------- files ---------- */

static void damaged(Replay *replay, const char *what, uint64_t bytes, const Error *err) {
    char name[WAL_NAME_MAX];

    wal_file_name(name, replay->epoch, replay->files[replay->file].sequence);
    counter_add(telemetry_counter("moraine_wal_corruptions_total", "",
                                  "Files of the write-ahead log found damaged."),
                1);
    LOG_ERROR(
        "write-ahead log is damaged: what is whole is replayed, the file is kept as *.damaged",
        LOG_U64("lane", replay->from_lane), LOG_CSTR("file", name), LOG_CSTR("what", what),
        LOG_U64("bytes", bytes), LOG_ERR(err));
    generation_log_damaged(replay->log, replay->files[replay->file].sequence);
}

static void torn(Replay *replay, const WalReport *report) {
    const ReplayFile *file = &replay->files[replay->file];
    WalIo *io = replay->lane->options.io;
    char name[WAL_NAME_MAX];
    int code = io->truncate(io, file->fd, report->end);

    wal_file_name(name, replay->epoch, file->sequence);
    counter_add(telemetry_counter("moraine_wal_torn_tails_total", "",
                                  "Unfinished writes found at the end of the write-ahead log."),
                1);
    LOG_WARN("write-ahead log ends in an unfinished write, which was never acknowledged: cut off",
             LOG_U64("lane", replay->from_lane), LOG_CSTR("file", name),
             LOG_U64("bytes", report->torn_bytes),
             LOG_CSTR("truncate", code == 0 ? "ok" : strerror(code)));
}

/* The file's report, once it is read. */
static void report_file(Replay *replay, const WalReport *report) {
    Error none = {0};

    if (report->header_repaired) damaged(replay, "header", sizeof(WalHeader), &none);
    if (report->gaps > 0) damaged(replay, "frames", report->gap_bytes, &none);
    /* Behind a limit set by the next file lies only what never counted. */
    if (report->torn_bytes > 0 && replay->files[replay->file].limit == 0)
        torn(replay, report);
    else if (report->torn_bytes > 0)
        damaged(replay, "end", report->torn_bytes, &none);
}

static ErrCode replay_file(Replay *replay, Error *err) {
    ReplayFile *file = &replay->files[replay->file];
    CLEANUP(wal_reader_free) WalReader *reader = NULL;
    Error problem = {0};
    ErrCode code;

    if (file->fd < 0) return ERR_OK;
    code = wal_reader_open(&file->source, file->limit, &reader, &problem);
    if (code == ERR_NOT_FOUND) return ERR_OK;
    if (code == ERR_UNSUPPORTED || code == ERR_LIMIT) {
        *err = problem;
        return error_wrap(err, "write-ahead log of lane %u, epoch %" PRIu64, replay->from_lane,
                          replay->epoch);
    }
    if (code != ERR_OK) {
        damaged(replay, "header", file->source.size, &problem);
        return ERR_OK;
    }
    for (;;) {
        WalRecord record;
        bool more;

        if (wal_reader_next(reader, &record, &more, &problem) != ERR_OK) {
            damaged(replay, "unreadable", file->source.size - wal_reader_report(reader)->end,
                    &problem);
            return ERR_OK;
        }
        if (!more) break;
        TRY(replay_apply(replay, &record, err));
        if (part_is_full(replay)) TRY(replay_next_part(replay, err));
    }
    report_file(replay, wal_reader_report(reader));
    return ERR_OK;
}

/* Opens the epoch's files, and learns from each header how far the file before is good. */
static ErrCode open_files(Replay *replay, const char *dir, const WalFile *files, size_t count,
                          Error *err) {
    replay->files = ARENA_ARRAY(replay->arena, ReplayFile, count);
    if (replay->files == NULL || count >= REPLAY_FILES_MAX)
        return error_set(err, ERR_LIMIT, "write-ahead log: %zu files in one epoch", count);
    for (size_t i = 0; i < count; i++) {
        ReplayFile *file = &replay->files[replay->file_count++];
        char name[WAL_NAME_MAX], path[PATH_MAX];
        WalHeader header;
        struct stat info;
        bool repaired;

        wal_file_name(name, files[i].epoch, files[i].sequence);
        snprintf(path, sizeof path, "%s/%s", dir, name);
        *file = (ReplayFile){.sequence = files[i].sequence};
        if (!generation_log_add(replay->log, file->sequence, false))
            return error_set(err, ERR_LIMIT, "out of memory");
        file->fd = open(path, O_RDWR | O_CLOEXEC);
        if (file->fd < 0 || fstat(file->fd, &info) != 0)
            return error_errno(err, errno, "write-ahead log: cannot open %s", path);
        (void)posix_fadvise(file->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        file->source = wal_source_fd(&file->fd, (uint64_t)info.st_size);
        if (wal_header_read(&file->source, &header, &repaired, NULL) != ERR_OK) continue;
        if (replay->created_ms == 0) {
            replay->created_ms = header.created_ms;
            replay->cleared = header.cleared;
        }
        for (size_t k = 0; k < i && header.previous_end > 0; k++)
            if (replay->files[k].sequence == header.previous)
                replay->files[k].limit = header.previous_end;
    }
    return ERR_OK;
}

/* ---------- epochs ---------- */

static ErrCode replay_begin(Replay *replay, const char *dir, const WalFile *files, size_t count,
                            Error *err) {
    Lane *lane = replay->lane;
    Budget *heads = lane->options.ingester->heads;

    replay->arena = arena_new(0, NULL);
    replay->scratch = arena_new(0, NULL);
    replay->decoded = arena_new(0, NULL);
    replay->columns = malloc(sizeof *replay->columns);
    replay->series = malloc(RECORD_SAMPLES_MAX * sizeof *replay->series);
    replay->log = generation_log_new(lane->options.io, dir, replay->epoch);
    if (replay->arena == NULL || replay->scratch == NULL || replay->decoded == NULL ||
        replay->columns == NULL || replay->series == NULL || replay->log == NULL)
        return error_set(err, ERR_LIMIT, "replay: out of memory");
    for (unsigned kind = 0; kind < REPLAY_KINDS; kind++)
        if (!region_init(&replay->references[kind].region,
                         (size_t)REPLAY_REFERENCES_MAX * sizeof(ReplayReference), heads))
            return error_set(err, ERR_LIMIT, "replay: out of memory");
    TRY(open_files(replay, dir, files, count, err));
    (void)await_memory(lane);
    replay->generation = part_new(replay, heads);
    return replay->generation == NULL ? error_set(err, ERR_LIMIT, "replay: out of memory") : ERR_OK;
}

static void replay_end(Replay *replay, bool complete) {
    for (size_t i = 0; i < replay->file_count; i++)
        if (replay->files[i].fd >= 0) close(replay->files[i].fd);
    part_end(replay);
    if (replay->log != NULL) generation_log_done(replay->log, !complete);
    for (unsigned kind = 0; kind < REPLAY_KINDS; kind++)
        region_done(&replay->references[kind].region);
    free(replay->tenants);
    free(replay->columns);
    free(replay->series);
    arena_free(replay->decoded);
    arena_free(replay->scratch);
    arena_free(replay->arena);
}

static ErrCode replay_epoch(Lane *lane, uint32_t from_lane, const char *dir, const WalFile *files,
                            size_t count, ReplayStats *stats, Error *err) {
    Replay replay = {.lane = lane, .from_lane = from_lane, .epoch = files[0].epoch};
    ErrCode code = replay_begin(&replay, dir, files, count, err);

    for (; code == ERR_OK && replay.file < replay.file_count; replay.file++)
        code = replay_file(&replay, err);
    if (replay.stats.lost > 0 || replay.stats.bad_records > 0)
        LOG_ERROR(
            "write-ahead log: items without their series or stream, or records that make no sense",
            LOG_U64("lane", from_lane), LOG_U64("epoch", replay.epoch),
            LOG_U64("items", replay.stats.lost), LOG_U64("records", replay.stats.bad_records));
    stats->samples += replay.stats.samples;
    stats->entries += replay.stats.entries;
    stats->spans += replay.stats.spans;
    stats->lost += replay.stats.lost;
    replay_end(&replay, code == ERR_OK);
    return code;
}

static ErrCode replay_dir(Lane *lane, uint32_t from_lane, const char *dir, uint64_t *ret_epoch,
                          Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    uint64_t started = clock_monotonic_ns(lane->options.ingester->clock);
    ReplayStats stats = {0};
    WalFile *files;
    size_t count, epochs = 0;

    if (arena == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    TRY(wal_list(lane->options.io, dir, arena, &files, &count, err));
    for (size_t start = 0, end; start < count; start = end, epochs++) {
        for (end = start + 1; end < count && files[end].epoch == files[start].epoch;) end++;
        *ret_epoch = MAX(*ret_epoch, files[start].epoch);
        TRY(replay_epoch(lane, from_lane, dir, files + start, end - start, &stats, err));
    }
    counter_add(telemetry_counter("moraine_wal_replayed_samples_total", "",
                                  "Samples read back from the write-ahead log."),
                stats.samples);
    counter_add(telemetry_counter("moraine_wal_replayed_log_entries_total", "",
                                  "Log entries read back from the write-ahead log."),
                stats.entries);
    counter_add(telemetry_counter("moraine_wal_replayed_spans_total", "",
                                  "Spans read back from the write-ahead log."),
                stats.spans);
    counter_add(telemetry_counter("moraine_wal_lost_samples_total", "",
                                  "Samples, log entries and spans whose series, stream or resource "
                                  "was defined in a damaged place."),
                stats.lost);
    if (stats.samples > 0 || stats.entries > 0 || stats.spans > 0)
        LOG_INFO(
            "write-ahead log replayed", LOG_U64("lane", from_lane), LOG_U64("epochs", epochs),
            LOG_U64("samples", stats.samples), LOG_U64("log_entries", stats.entries),
            LOG_U64("spans", stats.spans),
            LOG_U64("ms", (clock_monotonic_ns(lane->options.ingester->clock) - started) / 1000000));
    return ERR_OK;
}

/* Directories of lanes that are no more, when there were more of them before: shared out. */
static ErrCode replay_abandoned(Lane *lane, Error *err) {
    const LaneOptions *options = &lane->options;
    DIR *handle = opendir(options->wal_dir);
    struct dirent *entry;
    ErrCode code = ERR_OK;

    if (handle == NULL)
        return error_errno(err, errno, "write-ahead log: cannot read %s", options->wal_dir);
    while (code == ERR_OK && (entry = readdir(handle)) != NULL) {
        char dir[PATH_MAX];
        uint64_t number, epoch = 0;

        if (!str_to_u64(str_of(entry->d_name), &number) || number < options->lane_count ||
            number > UINT32_MAX || number % options->lane_count != options->number)
            continue;
        snprintf(dir, sizeof dir, "%s/%s", options->wal_dir, entry->d_name);
        code = replay_dir(lane, (uint32_t)number, dir, &epoch, err);
        if (code == ERR_OK && epoch == 0) (void)rmdir(dir);
    }
    closedir(handle);
    return code;
}

ErrCode lane_replay(Lane *lane, uint64_t *ret_epoch, Error *err) {
    TRY(replay_dir(lane, lane->options.number, lane->dir, ret_epoch, err));
    return replay_abandoned(lane, err);
}
