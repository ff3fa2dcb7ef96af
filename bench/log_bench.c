/*
 * log_bench.c: logs into a block and out of it: lines in the shapes of the benchmark's data set
 * (nginx, logfmt, JSON, Java, klog), some of whose bytes are random ids.
 *
 *     log_bench [MB [streams]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/block/logs.h"

static uint64_t state = 88172645463325252u;

static uint64_t rnd(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static double cpu_seconds(void) {
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const char *hex(char *out, int digits) {
    for (int i = 0; i < digits; i++) out[i] = "0123456789abcdef"[rnd() >> 60];
    out[digits] = 0;
    return out;
}

static const char *uuid(char *out) {
    hex(out, 36);
    out[8] = out[13] = out[18] = out[23] = '-';
    return out;
}

static double latency(void) {
    double v = 0.4;

    for (uint64_t i = rnd() % 1000; i > 0; i -= i > 90 ? 90 : i) v *= 2;
    return v * (1 + (double)(rnd() % 1000) / 1000);
}

static const char *const PATHS[] = {"/",
                                    "/api/v1/items",
                                    "/api/v1/items/%d",
                                    "/api/v1/cart",
                                    "/api/v1/checkout",
                                    "/api/v1/search?q=item%d&page=2",
                                    "/static/js/main.%d.js",
                                    "/static/css/site.css",
                                    "/api/v1/users/%d/profile",
                                    "/api/v1/orders/%d",
                                    "/healthz",
                                    "/login",
                                    "/metrics"};
static const int STATUS[] = {200, 200, 200, 200, 200, 200, 201, 204, 301, 304,
                             400, 401, 404, 404, 429, 499, 500, 502, 503};
static const char *const AGENTS[] = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
    "curl/8.5.0",
    "okhttp/4.12.0",
    "kube-probe/1.29",
    "Go-http-client/2.0"};
static const char *const MESSAGES[] = {
    "request completed",      "cache miss, loading from database",
    "published message",      "retrying upstream call",
    "connection established", "slow query detected",
    "token refreshed",        "batch flushed",
    "lease renewed"};
static const char *const LEVELS[] = {"info", "info", "info", "info", "debug", "warn", "error"};
#define PICK(list) (list)[rnd() % ARRAY_LEN(list)]

static void make_line(Buf *out, size_t stream, int64_t ns) {
    char a[40], b[40], c[40], path[80], clock[40];
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm tm;

    gmtime_r(&seconds, &tm);
    snprintf(path, sizeof path, PICK(PATHS), (int)(rnd() % 50000));
    switch (stream % 20 < 4    ? 0
            : stream % 20 < 9  ? 1
            : stream % 20 < 15 ? 2
            : stream % 20 < 18 ? 3
                               : 4) {
    case 0:
        strftime(clock, sizeof clock, "%d/%b/%Y:%H:%M:%S +0000", &tm);
        buf_printf(out,
                   "%d.%d.%d.%d - - [%s] \"%s %s HTTP/1.1\" %d %d \"https://shop.example.com/\" "
                   "\"%s\" %.3f \"%s\"",
                   (int)(11 + rnd() % 200), (int)(rnd() % 256), (int)(rnd() % 256),
                   (int)(rnd() % 256), clock, rnd() % 2 ? "GET" : "POST", path, PICK(STATUS),
                   (int)(rnd() % 60000), PICK(AGENTS), latency() / 1000, hex(a, 32));
        break;
    case 1:
        strftime(clock, sizeof clock, "%Y-%m-%dT%H:%M:%S", &tm);
        buf_printf(out,
                   "ts=%s.%06dZ level=%s caller=handler.go:142 msg=\"%s\" trace_id=%s method=GET "
                   "path=%s status=%d duration=%.3fms bytes=%d user_id=%d",
                   clock, (int)(ns % 1000000000 / 1000), PICK(LEVELS), PICK(MESSAGES), hex(a, 32),
                   path, PICK(STATUS), latency(), (int)(rnd() % 30000), (int)(rnd() % 200000));
        break;
    case 2:
        strftime(clock, sizeof clock, "%Y-%m-%dT%H:%M:%S", &tm);
        buf_printf(
            out,
            "{\"timestamp\":\"%s.%03dZ\",\"level\":\"%s\",\"service\":\"cart\",\"message\":"
            "\"%s\",\"trace_id\":\"%s\",\"span_id\":\"%s\",\"request_id\":\"%s\",\"http\":{"
            "\"method\":\"POST\",\"path\":\"%s\",\"status\":%d,\"latency_ms\":%.2f},\"user\":"
            "{\"id\":%d,\"ip\":\"10.%d.%d.%d\"},\"version\":\"2.14.%d\"}",
            clock, (int)(ns % 1000000000 / 1000000), PICK(LEVELS), PICK(MESSAGES), hex(a, 32),
            hex(b, 16), uuid(c), path, PICK(STATUS), latency(), (int)(rnd() % 200000),
            (int)(rnd() % 256), (int)(rnd() % 256), (int)(rnd() % 256), (int)(rnd() % 4));
        break;
    case 3:
        strftime(clock, sizeof clock, "%Y-%m-%d %H:%M:%S", &tm);
        buf_printf(out,
                   "%s.%03d  INFO 1 --- [http-nio-8080-exec-%d] c.e.billing.InvoiceService : "
                   "Finished invoice %d for customer %s in %d ms",
                   clock, (int)(ns % 1000000000 / 1000000), (int)(rnd() % 64),
                   (int)(rnd() % 9000000), uuid(c), (int)latency());
        break;
    default:
        strftime(clock, sizeof clock, "%m%d %H:%M:%S", &tm);
        buf_printf(
            out,
            "I%s.%06d    %d kubelet.go:2521] \"Updated allocatable\" pod=\"shop/cart-%s-%s\" "
            "claim=\"%s\"",
            clock, (int)(ns % 1000000000 / 1000), (int)(1200 + rnd() % 50), hex(a, 9), hex(b, 5),
            uuid(c));
    }
}

/* All streams' lines, stream after stream, in memory. */
typedef struct Data {
    Buf *text;
    LogRows *rows;
    size_t streams;
    uint64_t raw, lines;
} Data;

static void make_data(Data *d, uint64_t bytes, size_t streams, Arena *arena) {
    uint64_t each = bytes / streams;

    *d = (Data){calloc(streams, sizeof(Buf)), calloc(streams, sizeof(LogRows)), streams, 0, 0};
    for (size_t s = 0; s < streams; s++) {
        size_t room = (size_t)each / 60 + 16, n = 0;
        int64_t *times = ARENA_ARRAY(arena, int64_t, room), ns = 1700000000000000000;
        size_t *ends = calloc(room, sizeof *ends);
        Str *lines = ARENA_ARRAY(arena, Str, room);

        buf_init(&d->text[s], 0);
        while (d->text[s].len < each && n < room) {
            ns += (int64_t)(rnd() % 360000000);
            make_line(&d->text[s], s, ns);
            times[n] = ns;
            ends[n++] = d->text[s].len;
        }
        for (size_t i = 0; i < n; i++)
            lines[i] = str_slice(buf_str(&d->text[s]), i == 0 ? 0 : ends[i - 1],
                                 ends[i] - (i == 0 ? 0 : ends[i - 1]));
        free(ends);
        d->rows[s] = (LogRows){times, lines, NULL, n};
        d->raw += d->text[s].len;
        d->lines += n;
    }
}

static void write_block(const Data *d, Buf *object) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    BlockWriter *w = block_writer_new(arena, block_sink_buf(object), 0);
    BlockSummary summary;
    Error err;

    if (block_logs_begin(w, STR("t"), &err) != ERR_OK) abort();
    for (size_t s = 0; s < d->streams; s++) {
        LabelPair pair = {STR("pod"), str_format(arena, "pod-%06zu", s)};

        if (block_logs_stream(w, (LabelPairs){&pair, 1}, &err) != ERR_OK ||
            block_logs_rows(w, &d->rows[s], &err) != ERR_OK)
            abort();
    }
    if (block_logs_end(w, &err) != ERR_OK || block_writer_finish(w, &summary, &err) != ERR_OK)
        abort();
}

typedef struct Opened {
    Arena *arena;
    const Block *block;
    LogDecoder *decoder;
    BlockStats stats;
} Opened;

static void query(Opened *o, const char *name, const char *needle, unsigned columns, double mb) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Str any = str_of(needle);
    LogNeedle one = {.any = &any, .count = 1};
    LogFilter filter = {.needles = &one, .needle_count = 1};
    LogSelect select = {.tenant = STR("t"),
                        .min_ns = INT64_MIN,
                        .max_ns = INT64_MAX,
                        .filter = needle == NULL ? NULL : &filter};
    double start = cpu_seconds(), spent;
    uint64_t got = 0, pages = 0;
    LogsSelection selection;
    Error err;

    if (block_logs_select(o->block, &select, arena, &o->stats, &selection, &err) != ERR_OK) abort();
    for (size_t s = 0; s < selection.stream_count; s++) {
        for (uint32_t p = 0; p < selection.streams[s].page_count; p++) {
            LogView view;

            if (log_page_read(o->decoder, &selection, &selection.streams[s].pages[p], select.filter,
                              columns, INT64_MIN, INT64_MAX, &view, &err) != ERR_OK) {
                fprintf(stderr, "%s\n", err.text);
                abort();
            }
            got += view.count;
            pages++;
        }
    }
    spent = cpu_seconds() - start;
    printf("%-28s %9llu entries of %5llu pages, %8.2f ms, %7.0f MB/s\n", name,
           (unsigned long long)got, (unsigned long long)pages, spent * 1e3, mb / spent);
}

int main(int argc, char **argv) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    uint64_t bytes = (argc > 1 ? strtoull(argv[1], NULL, 10) : 100) * 1000000;
    size_t streams = argc > 2 ? strtoull(argv[2], NULL, 10) : 20;
    Store *store = store_new(store_driver_memory());
    BlockCache *cache = block_cache_new(store, NULL);
    Opened o = {.arena = arena, .decoder = log_decoder_new(NULL)};
    char id[37];
    Buf object;
    double start, mb;
    Error err;
    Data d;

    make_data(&d, bytes, streams, arena);
    mb = (double)d.raw / 1e6;
    buf_init(&object, 0);
    start = cpu_seconds();
    write_block(&d, &object);
    start = cpu_seconds() - start;
    printf("%.0f MB in %llu lines of %zu streams\n", mb, (unsigned long long)d.lines, streams);
    printf("write                        %.2f CPU s a GB, %.0f MB/s, %.4f bytes a raw byte\n",
           start / mb * 1e3, mb / start, (double)object.len / (double)d.raw);
    if (argc > 3) {
        FILE *file = fopen(argv[3], "w");

        if (file == NULL || fwrite(object.ptr, 1, object.len, file) != object.len) abort();
        fclose(file);
    }
    if (store_put(store, STR("o"), buf_str(&object), NULL, &err) != ERR_OK ||
        block_open(cache, STR("o"), 0, arena, &o.stats, &o.block, &err) != ERR_OK)
        abort();
    query(&o, "first time, times", NULL, LOG_TIMES, mb);
    query(&o, "times", NULL, LOG_TIMES, mb);
    query(&o, "lengths", NULL, LOG_TIMES | LOG_LENGTHS, mb);
    query(&o, "lines", NULL, LOG_TIMES | LOG_LINES, mb);
    query(&o, "level=error", "level=error", LOG_TIMES | LOG_LINES, mb);
    query(&o, "status 503", "\"status\":503", LOG_TIMES | LOG_LINES, mb);
    query(&o, "a uuid that is not there", uuid(id), LOG_TIMES | LOG_LINES, mb);
    query(&o, "a trace id likewise", hex(id, 32), LOG_TIMES | LOG_LINES, mb);
    log_decoder_free(o.decoder);
    arena_free(arena);
    arena = NULL;
    block_cache_free(cache);
    store_free(store);
    buf_done(&object);
    for (size_t s = 0; s < streams; s++) buf_done(&d.text[s]);
    free(d.text);
    free(d.rows);
    return 0;
}
