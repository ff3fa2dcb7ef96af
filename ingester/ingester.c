/*
 * ingester.c: the directory and the lanes: opening, closing, flushing, and batches in.
 */
#include "ingester/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/random.h"

/* ---------- the directory ---------- */

static ErrCode make_dir(const char *path, Error *err) {
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return error_errno(err, errno, "cannot make %s", path);
    return ERR_OK;
}

/* Every parent that is missing, too. */
static ErrCode make_dirs(const char *path, Error *err) {
    char part[PATH_MAX];

    snprintf(part, sizeof part, "%s", path);
    for (char *at = part + 1; *at != 0; at++) {
        if (*at != '/') continue;
        *at = 0;
        TRY(make_dir(part, err));
        *at = '/';
    }
    return make_dir(part, err);
}

/* One process a directory. The lock goes with the process, however that ends. */
static ErrCode lock_dir(Ingester *ingester, Error *err) {
    char path[PATH_MAX], pid[32] = "";
    ssize_t n;

    snprintf(path, sizeof path, "%s/LOCK", ingester->dir);
    ingester->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (ingester->lock_fd < 0) return error_errno(err, errno, "cannot open %s", path);
    if (flock(ingester->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        n = read(ingester->lock_fd, pid, sizeof pid - 1);
        pid[MAX(n, (ssize_t)0)] = 0;
        pid[strcspn(pid, "\n")] = 0;
        return error_set(err, ERR_UNAVAILABLE,
                         "%s is in use by another process (pid %s): two cannot share a directory",
                         ingester->dir, pid[0] != 0 ? pid : "unknown");
    }
    n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(ingester->lock_fd, 0) != 0 || pwrite(ingester->lock_fd, pid, (size_t)n, 0) != n)
        return error_errno(err, errno, "cannot write %s", path);
    return ERR_OK;
}

static ErrCode write_id(Ingester *ingester, const char *path, Error *err) {
    char temporary[PATH_MAX + 8], text[64];
    int fd, n, code = 0;

    ingester->id = random_u64();
    ingester->seed = random_u64();
    n = snprintf(text, sizeof text, "%016" PRIx64 " %016" PRIx64 "\n", ingester->id,
                 ingester->seed);
    snprintf(temporary, sizeof temporary, "%s.new", path);
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return error_errno(err, errno, "cannot make %s", temporary);
    if (write(fd, text, (size_t)n) != n || fsync(fd) != 0) code = errno != 0 ? errno : ENOSPC;
    close(fd);
    if (code == 0 && rename(temporary, path) != 0) code = errno;
    if (code != 0) return error_errno(err, code, "cannot write %s", path);
    return ERR_OK;
}

/* Who we are is made once and kept: segments are named after it, and series ids depend on it. */
static ErrCode read_id(Ingester *ingester, Error *err) {
    char path[PATH_MAX], text[64] = "", end;
    int fd;
    ssize_t n;

    snprintf(path, sizeof path, "%s/id", ingester->dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return write_id(ingester, path, err);
    if (fd < 0) return error_errno(err, errno, "cannot open %s", path);
    n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n != 34 ||
        sscanf(text, "%16" SCNx64 " %16" SCNx64 "%c", &ingester->id, &ingester->seed, &end) != 3)
        return error_set(err, ERR_CORRUPT, "%s isn't what an ingester wrote there", path);
    return ERR_OK;
}

static ErrCode open_dir(Ingester *ingester, char *wal_dir, size_t size, Error *err) {
    TRY(make_dirs(ingester->dir, err));
    TRY(lock_dir(ingester, err));
    TRY(read_id(ingester, err));
    snprintf(wal_dir, size, "%s/wal", ingester->dir);
    return make_dir(wal_dir, err);
}

/* ---------- lanes ---------- */

static unsigned lane_count(const IngesterOptions *options) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned lanes = options->lanes != 0 ? options->lanes : (unsigned)MAX(cores, 1L);

    return MIN(lanes, (unsigned)INGESTER_LANES_MAX);
}

/* A third of the budget is live heads, a third those being flushed, the rest for what is uneven. */
static size_t flush_bytes(const IngesterOptions *options, unsigned lanes) {
    size_t limit = atomic_load_explicit(&options->heads->limit, memory_order_relaxed);

    if (options->flush_bytes != 0) return options->flush_bytes;
    return limit == 0 ? MIB(512) : MAX(limit / 3 / lanes, MIB(1));
}

/* Smaller ones make more objects with less to find alike in each; larger ones hold more memory:
 * while one is filled, up to two more are on their way out. */
static size_t flush_log_bytes(const IngesterOptions *options, unsigned lanes) {
    size_t bytes =
        options->flush_log_bytes != 0 ? options->flush_log_bytes : MAX(MIB(48) / lanes, MIB(8));

    return MIN(bytes, flush_bytes(options, lanes));
}

static WalIo *lane_io(const IngesterOptions *options, Error *err) {
    int code = 0;
    WalIo *io = options->wal_io_uring ? wal_io_uring(&code) : wal_io_posix();

    if (io == NULL && options->wal_io_uring) {
        LOG_WARN("io_uring is not available", LOG_CSTR("error", strerror(code)));
        io = wal_io_posix();
    }
    if (io == NULL) error_set(err, ERR_LIMIT, "out of memory");
    return io;
}

static ErrCode start_lanes(Ingester *ingester, const char *wal_dir, const IngesterHooks *hooks,
                           Error *err) {
    const IngesterOptions *options = &ingester->options;
    LaneOptions lane = {.lane_count = lane_count(options),
                        .wal_dir = wal_dir,
                        .ingester_id = ingester->id,
                        .seed = ingester->seed,
                        .ingester = options,
                        .active = ingester->active,
                        .flush_bytes = flush_bytes(options, lane_count(options)),
                        .flush_log_bytes = flush_log_bytes(options, lane_count(options)),
                        .flush = {.store = options->store,
                                  .manifest = options->manifest,
                                  .background = options->background,
                                  .ingester_id = ingester->id,
                                  .clock = options->clock,
                                  .tenants = options->tenants,
                                  .sampler = options->sampler},
                        .wal_file_bytes_max = hooks->wal_file_bytes_max};
    ErrCode code = ERR_OK;

    for (; code == ERR_OK && lane.number < lane.lane_count; lane.number++) {
        lane.io = hooks->wal_io != NULL ? hooks->wal_io(hooks->context, lane.number)
                                        : lane_io(options, err);
        if (lane.io == NULL) return ERR_LIMIT;
        if (lane.number == 0)
            LOG_INFO("write-ahead log", LOG_CSTR("io", lane.io->name),
                     LOG_CSTR("sync", options->wal_sync == WAL_SYNC_ALWAYS ? "always" : "interval"),
                     LOG_U64("lanes", lane.lane_count));
        ingester->lane_count++;
        code = lane_start(&ingester->lanes[lane.number], &lane, err);
    }
    /* All replay at the same time; each is waited for, also when an earlier one failed. */
    for (unsigned i = 0; i < ingester->lane_count; i++) {
        Error other = {0};
        Lane *started = &ingester->lanes[i];

        if (!started->started || lane_await_ready(started, &other) == ERR_OK || code != ERR_OK)
            continue;
        code = other.code;
        *err = other;
    }
    return code;
}

static void ingester_free(Ingester *ingester) {
    for (unsigned i = 0; i < ingester->lane_count; i++) lane_stop(&ingester->lanes[i]);
    if (ingester->lock_fd >= 0) close(ingester->lock_fd);
    active_series_free(ingester->active);
    free(ingester->dir);
    free(ingester);
}

ErrCode ingester_open_hooked(const IngesterOptions *options, const IngesterHooks *hooks,
                             Ingester **out, Error *err) {
    unsigned lanes = lane_count(options);
    Ingester *ingester = calloc(1, sizeof *ingester + lanes * sizeof(Lane));
    char wal_dir[PATH_MAX];
    ErrCode code;

    if (ingester == NULL) return error_set(err, ERR_LIMIT, "ingester: out of memory");
    ingester->options = *options;
    ingester->lock_fd = -1;
    ingester->dir = strndup(options->dir.ptr, options->dir.len);
    ingester->active = active_series_new();
    if (ingester->dir == NULL || ingester->active == NULL || options->dir.len + 64 > sizeof wal_dir)
        code = error_set(err, ERR_LIMIT, "out of memory, or the directory's name is too long");
    else
        code = open_dir(ingester, wal_dir, sizeof wal_dir, err);
    if (code == ERR_OK) code = start_lanes(ingester, wal_dir, hooks, err);
    if (code != ERR_OK) {
        ingester_free(ingester);
        return error_wrap(err, "ingester");
    }
    *out = ingester;
    return ERR_OK;
}

ErrCode ingester_open(const IngesterOptions *options, Ingester **out, Error *err) {
    return ingester_open_hooked(options, &(IngesterHooks){0}, out, err);
}

void ingester_close(Ingester *ingester, bool flush) {
    Error err = {0};

    if (ingester == NULL) return;
    if (flush && ingester_flush(ingester, &err) != ERR_OK)
        LOG_WARN("not everything could be flushed; the write-ahead log has it", LOG_ERR(&err));
    ingester_free(ingester);
}

uint64_t ingester_series_seed(const Ingester *ingester) {
    return ingester->seed;
}

uint64_t ingester_active_series(Ingester *ingester, Str tenant) {
    return active_series_count(ingester->active, tenant);
}

void ingester_append_metrics(Ingester *ingester, const MetricsBatch *batch, AppendDone done,
                             void *context) {
    append_submit(ingester->lanes, ingester->lane_count, batch, done, context);
}

uint64_t ingester_active_streams(Ingester *ingester, Str tenant) {
    return active_streams_count(ingester->active, tenant);
}

void ingester_append_logs(Ingester *ingester, const LogsBatch *batch, AppendDone done,
                          void *context) {
    append_submit_logs(ingester->lanes, ingester->lane_count, batch, done, context);
}

void ingester_append_spans(Ingester *ingester, const SpansBatch *batch, AppendDone done,
                           void *context) {
    append_submit_spans(ingester->lanes, ingester->lane_count, batch, done, context);
}

/* ---------- flushing ---------- */

typedef struct FlushCall {
    uint64_t epoch;    /* everything up to it is frozen */
    uint64_t attempts; /* at flushes, begun before: a later one's failure is ours */
    bool stuck;        /* the lane could not freeze */
} FlushCall;

static void flush_on_lane(Lane *lane, void *what) {
    FlushCall *call = what;

    pthread_mutex_lock(&lane->lock);
    call->attempts = lane->attempts;
    /* Who asks for a flush doesn't wait for a retry's turn. An attempt that is under way may have
     * begun before whatever was wrong was put right: should it fail, another one follows. */
    for (Generation *at = lane->frozen; at != NULL; at = at->next) {
        at->flush_after_ns = 0;
        at->flush_again = at->flushing;
    }
    pthread_mutex_unlock(&lane->lock);
    call->epoch = lane->live->epoch;
    call->stuck = lane->live->first_ms != 0 && !lane_freeze(lane);
    if (!call->stuck) call->epoch = lane->live->epoch - 1;
    lane_flush_due(lane);
}

ErrCode ingester_flush(Ingester *ingester, Error *err) {
    FlushCall calls[INGESTER_LANES_MAX];
    ErrCode code = ERR_OK;

    lanes_call(ingester->lanes, ingester->lane_count, flush_on_lane, calls, sizeof *calls);
    for (unsigned i = 0; i < ingester->lane_count; i++) {
        Error failed = {0};
        ErrCode one = calls[i].stuck ? error_set(&failed, ERR_LIMIT, "lane %u: out of memory", i)
                                     : lane_await_flushed(&ingester->lanes[i], calls[i].epoch,
                                                          calls[i].attempts, &failed);

        if (one == ERR_OK || code != ERR_OK) continue;
        code = one;
        *err = failed;
    }
    return code;
}

/* ---------- delete requests ---------- */

typedef struct CutCall {
    uint64_t cleared;
} CutCall;

static void cut_on_lane(Lane *lane, void *what) {
    (void)what;
    if (!lane_cut(lane))
        LOG_WARN("a new head for what comes after a delete request has to wait for memory",
                 LOG_U64("lane", lane->options.number));
    lane_flush_due(lane);
}

void ingester_cut(Ingester *ingester) {
    CutCall calls[INGESTER_LANES_MAX];

    lanes_call(ingester->lanes, ingester->lane_count, cut_on_lane, calls, sizeof *calls);
}

static void cleared_on_lane(Lane *lane, void *what) {
    CutCall *call = what;

    call->cleared = lane->live->first_ms != 0 ? lane->live->cleared : UINT64_MAX;
    pthread_mutex_lock(&lane->lock);
    for (const Generation *at = lane->frozen; at != NULL; at = at->next)
        call->cleared = MIN(call->cleared, at->cleared);
    pthread_mutex_unlock(&lane->lock);
}

uint64_t ingester_cleared(Ingester *ingester) {
    CutCall calls[INGESTER_LANES_MAX];
    uint64_t cleared = UINT64_MAX;

    lanes_call(ingester->lanes, ingester->lane_count, cleared_on_lane, calls, sizeof *calls);
    for (unsigned i = 0; i < ingester->lane_count; i++) cleared = MIN(cleared, calls[i].cleared);
    return cleared;
}
