/*
 * ingest_bench.c: what an ingester costs in process: CPU time a sample (all threads, decoding left
 * out), anonymous memory a series, bytes of log a sample, a select of everything, a flush, a
 * replay.
 *
 *     ingest_bench BODIES.BIN DIR [LANES] [pwrite]
 *     ingest_bench BODIES.BIN DIR logs [LANES] [pwrite]
 *
 * BODIES.BIN as decode_bench has it; bench/load makes it: load gen-metrics -series 100000 -scrapes
 * 60, or, for logs, load gen-logs -bytes 1000000000. Logs are flushed as they are in production.
 * DIR gets the write-ahead log and should be on the disk that matters. Four requests are in flight,
 * as from four connections.
 */
#include <fcntl.h>
#include <pthread.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/telemetry.h"
#include "gateway/buffers.h"
#include "gateway/loki/decode.h"
#include "gateway/prom/decode.h"
#include "ingester/ingester.h"

enum { SLOTS = 4 };

typedef struct Slot {
    Arena *arena;
    char *body;
    bool busy;
    Rows rows;
    Streams streams;
} Slot;

typedef struct Bench {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    Slot slots[SLOTS];
    Buffers *buffers;
    Ingester *ingester;
    uint64_t samples; /* or lines */
    uint64_t line_bytes;
    uint64_t decode_ns;
} Bench;

static Bench bench = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static void check(ErrCode code, const Error *err) {
    if (code == ERR_OK) return;
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

static uint64_t cpu_ns(void) {
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return ((uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec) * 1000000000 +
           ((uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec) * 1000;
}

/* Without the mapped file of bodies. */
static uint64_t anonymous_bytes(void) {
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long kb = 0;

    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "RssAnon: %lu", &kb) == 1) break;
    if (status != NULL) fclose(status);
    return (uint64_t)kb * 1024;
}

static void done(void *context, const AppendResult *result) {
    Slot *slot = context;

    check(result->code, &result->first);
    pthread_mutex_lock(&bench.lock);
    slot->busy = false;
    bench.samples += result->samples + result->entries;
    pthread_cond_signal(&bench.wake);
    pthread_mutex_unlock(&bench.lock);
}

static Slot *take_slot(void) {
    Slot *slot = NULL;

    pthread_mutex_lock(&bench.lock);
    while (slot == NULL) {
        for (unsigned i = 0; i < SLOTS && slot == NULL; i++)
            if (!bench.slots[i].busy) slot = &bench.slots[i];
        if (slot == NULL) pthread_cond_wait(&bench.wake, &bench.lock);
    }
    slot->busy = true;
    pthread_mutex_unlock(&bench.lock);
    return slot;
}

static Str inflate(Slot *slot, Str sent) {
    size_t size = 0;

    if (slot->body != NULL) buffers_give(bench.buffers, slot->body);
    arena_reset(slot->arena);
    if (snappy_uncompressed_length(sent.ptr, sent.len, &size) != SNAPPY_OK) abort();
    slot->body = buffers_take(bench.buffers, size);
    if (snappy_uncompress(sent.ptr, sent.len, slot->body, &size) != SNAPPY_OK) abort();
    return (Str){slot->body, size};
}

static void send_metrics(Str sent, const void *options) {
    Slot *slot = take_slot();
    uint64_t start = clock_thread_cpu_ns();
    Str body = inflate(slot, sent);
    Error err = {0};

    rows_init(&slot->rows, options, slot->arena);
    check(prom_decode_v1(&slot->rows, body, &err), &err);
    bench.decode_ns += clock_thread_cpu_ns() - start;
    ingester_append_metrics(bench.ingester, &slot->rows.batch, done, slot);
}

static void send_logs(Str sent, const void *options) {
    Slot *slot = take_slot();
    uint64_t start = clock_thread_cpu_ns();
    Str body = inflate(slot, sent);
    Error err = {0};

    streams_init(&slot->streams, options, slot->arena);
    check(loki_decode_proto(&slot->streams, body, &err), &err);
    bench.decode_ns += clock_thread_cpu_ns() - start;
    bench.line_bytes += slot->streams.batch.bytes;
    ingester_append_logs(bench.ingester, &slot->streams.batch, done, slot);
}

static void send_all(Str file, void (*send)(Str sent, const void *options), const void *options) {
    for (size_t at = 0; at + 16 <= file.len;) {
        uint32_t head[4];

        memcpy(head, file.ptr + at, sizeof head);
        send(str_slice(file, at + 16, head[3]), options);
        at += 16 + head[3];
    }
    pthread_mutex_lock(&bench.lock);
    for (unsigned i = 0; i < SLOTS; i++)
        while (bench.slots[i].busy) pthread_cond_wait(&bench.wake, &bench.lock);
    pthread_mutex_unlock(&bench.lock);
}

static void time_select(const char *what, const Matcher *matchers, size_t count) {
    HeadReader reader = ingester_head_reader(bench.ingester);
    HeadSelect select = {.tenant = STR("anonymous"),
                         .matchers = matchers,
                         .matcher_count = count,
                         .min_ms = INT64_MIN,
                         .max_ms = INT64_MAX};

    for (int round = 0; round < 3; round++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        uint64_t start = clock_monotonic_ns(clock_system());
        MetricsSelection *selections;
        size_t n, series = 0;
        Error err = {0};

        check(reader.select(reader.context, &select, arena, &selections, &n, &err), &err);
        for (size_t i = 0; i < n; i++) series += selections[i].series_count;
        printf("select %s: %zu series in %.2f ms\n", what, series,
               (double)(clock_monotonic_ns(clock_system()) - start) / 1e6);
    }
}

static void time_selects(void) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Matcher up, pod;
    Error err = {0};

    check(matcher_new(arena, MATCH_EQUAL, LABEL_NAME, STR("up"), &up, &err), &err);
    check(matcher_new(arena, MATCH_REGEX, STR("pod"), STR(".*a.*"), &pod, &err), &err);
    time_select("{}", NULL, 0);
    time_select("up", &up, 1);
    time_select("{pod=~\".*a.*\"}", &pod, 1);
}

static void time_flush(void) {
    uint64_t start = cpu_ns(), wall = clock_monotonic_ns(clock_system());
    Error err = {0};

    check(ingester_flush(bench.ingester, &err), &err);
    printf("flush: %.0f ns CPU a sample, %.0f ms; anonymous memory after it %.1f MiB\n",
           (double)(cpu_ns() - start) / (double)bench.samples,
           (double)(clock_monotonic_ns(clock_system()) - wall) / 1e6,
           (double)anonymous_bytes() / (1 << 20));
}

static Str map_file(const char *path) {
    int fd = open(path, O_RDONLY);
    struct stat info;
    void *bytes;

    if (fd < 0 || fstat(fd, &info) != 0) exit(2);
    bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (bytes == MAP_FAILED) exit(2);
    close(fd);
    return (Str){bytes, (size_t)info.st_size};
}

static Counter *logged, *syncs;

static void open_ingester(const IngesterOptions *options) {
    Error err = {0};

    check(ingester_open(options, &bench.ingester, &err), &err);
    if (bench.buffers == NULL) bench.buffers = buffers_new(MIB(16), NULL);
    for (unsigned i = 0; i < SLOTS; i++)
        if (bench.slots[i].arena == NULL) bench.slots[i].arena = arena_new(0, NULL);
    logged = telemetry_counter("moraine_wal_written_bytes_total", "", "");
    syncs = telemetry_counter("moraine_wal_syncs_total", "", "");
}

static void time_replay(const IngesterOptions *options) {
    uint64_t wall, cpu = cpu_ns();
    Error err = {0};

    ingester_close(bench.ingester, false);
    wall = clock_monotonic_ns(clock_system());
    check(ingester_open(options, &bench.ingester, &err), &err);
    printf("replay: %.0f ms, %.2f CPU s with flushes\n",
           (double)(clock_monotonic_ns(clock_system()) - wall) / 1e6,
           (double)(cpu_ns() - cpu) / 1e9);
    ingester_close(bench.ingester, false);
}

static void bench_metrics(Str file, IngesterOptions *options, const TenantLimits *limits) {
    RowsOptions rows = {.tenant = STR("anonymous"),
                        .now_ms = clock_now_ms(clock_system()),
                        .limits = limits,
                        .known = known_new(MIB(64), NULL)};
    uint64_t memory, cpu, wall;

    options->flush_bytes = GIB(8);
    open_ingester(options);
    rows.series_seed = ingester_series_seed(bench.ingester);
    memory = anonymous_bytes();
    cpu = cpu_ns();
    wall = clock_monotonic_ns(clock_system());
    send_all(file, send_metrics, &rows);
    cpu = cpu_ns() - cpu - bench.decode_ns;
    wall = clock_monotonic_ns(clock_system()) - wall;

    double n = (double)bench.samples;
    double series = (double)ingester_active_series(bench.ingester, STR("anonymous"));
    printf("%.0f samples of %.0f series: %.0f ns CPU a sample without decoding (that is %.0f), "
           "%.2f s\n",
           n, series, (double)cpu / n, (double)bench.decode_ns / n, (double)wall / 1e9);
    printf("memory a series: %.0f bytes in heads, %.0f anonymous (with known series, bodies)\n",
           (double)budget_used(options->heads) / series,
           (double)(anonymous_bytes() - memory) / series);
    printf("log: %.1f bytes a sample, %.0f samples a sync\n", (double)logged->value / n,
           n / (double)syncs->value);
    time_selects();
    time_flush();
    send_all(file, send_metrics, &rows);
    time_replay(options);
}

/* Twice: with heads that hold all of it, so that the way into log and head is seen alone, then as
 * in production, flushing as it goes. */
static void bench_logs(Str file, IngesterOptions *options, const TenantLimits *limits, bool alone) {
    StreamsOptions streams = {.tenant = STR("anonymous"),
                              .limits = limits,
                              .now_ns = clock_now_ms(clock_system()) * 1000000};
    uint64_t cpu, wall, log_bytes, sync_count;
    Error err = {0};

    options->flush_bytes = GIB(8);
    options->flush_log_bytes = alone ? GIB(8) : 0;
    open_ingester(options);
    streams.stream_seed = ingester_series_seed(bench.ingester);
    bench.samples = bench.decode_ns = bench.line_bytes = 0;
    log_bytes = logged->value;
    sync_count = syncs->value;
    cpu = cpu_ns();
    wall = clock_monotonic_ns(clock_system());
    send_all(file, send_logs, &streams);
    double held = (double)budget_used(options->heads);
    if (!alone) check(ingester_flush(bench.ingester, &err), &err);
    cpu = cpu_ns() - cpu - bench.decode_ns;
    wall = clock_monotonic_ns(clock_system()) - wall;

    double n = (double)bench.samples, bytes = (double)bench.line_bytes;
    printf("%s: %.0f lines, %.0f MB of %.0f streams: %.0f ns CPU a line, %.2f CPU s a GB without "
           "decoding (that is %.2f), %.2f s, %.0f MB/s\n",
           alone ? "log and heads" : "flushed, too", n, bytes / 1e6,
           (double)ingester_active_streams(bench.ingester, STR("anonymous")), (double)cpu / n,
           (double)cpu / bytes, (double)bench.decode_ns / bytes, (double)wall / 1e9,
           bytes / 1e6 / ((double)wall / 1e9));
    printf(
        "heads: %.3f bytes a byte at the end, %.0f MiB at most; log: %.3f bytes a byte, %.0f KiB "
        "a sync; anonymous memory %.0f MiB\n",
        held / bytes, (double)options->heads->peak / (1 << 20),
        (double)(logged->value - log_bytes) / bytes,
        (double)(logged->value - log_bytes) / 1024 / (double)(syncs->value - sync_count),
        (double)anonymous_bytes() / (1 << 20));
    fflush(stdout);
    if (alone) {
        check(ingester_flush(bench.ingester, &err), &err);
        ingester_close(bench.ingester, false);
        options->heads->peak = 0;
    } else {
        printf("stored: %.3f bytes a byte\n",
               (double)telemetry_counter("moraine_flush_bytes_total", "", "")->value / bytes / 2);
        time_replay(options);
    }
}

int main(int argc, char **argv) {
    static Budget heads, background;
    Str file = argc > 2 ? map_file(argv[1]) : (Str){0};
    bool logs = argc > 3 && strcmp(argv[3], "logs") == 0;
    int lanes = logs ? 4 : 3;
    Store *store = store_new(store_driver_memory());
    IngesterOptions options = {.dir = str_of(argv[argc > 2 ? 2 : 0]),
                               .lanes = argc > lanes ? (unsigned)atoi(argv[lanes]) : 0,
                               .store = store,
                               .heads = &heads,
                               .background = &background,
                               .clock = clock_system(),
                               .wal_io_uring = argc <= lanes + 1};
    TenantLimits limits = {.future_ms_max = -1, .log_service_name = true, .log_levels = true};
    Error err = {0};

    if (argc < 3) {
        fprintf(stderr, "usage: ingest_bench BODIES.BIN DIR [LANES] [pwrite]\n"
                        "       ingest_bench BODIES.BIN DIR logs [LANES] [pwrite]\n");
        return 2;
    }
    log_set_level(LOG_LEVEL_WARN);
    budget_init(&heads, "heads", 0, NULL);
    budget_init(&background, "background", 0, NULL);
    check(manifest_open(store, clock_system(), &options.manifest, &err), &err);
    options.tenants = tenants_new(&limits, true);
    check(pool_new("background", 2, 100, &options.background_pool, &err), &err);
    if (!logs) {
        bench_metrics(file, &options, &limits);
        return 0;
    }
    bench_logs(file, &options, &limits, true);
    bench_logs(file, &options, &limits, false);
    return 0;
}
