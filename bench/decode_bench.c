/*
 * decode_bench.c: what the gateway's decoding of remote write costs, in CPU time a sample.
 *
 *     decode_bench BODIES.BIN [ROUNDS]
 *
 * The file is a sequence of requests: four numbers of 32 bits, little endian (shard, samples, size
 * before compression, size), then the body as sent. Each round decodes all of them, as a process
 * that has run for a while would (series known) and as one that just started (none known).
 */
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "gateway/buffers.h"
#include "gateway/prom/decode.h"

typedef struct Cost {
    uint64_t snappy_ns, walk_ns, samples, rows, raw_bytes, checked;
} Cost;

static char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    char *bytes;
    long end;

    if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (end = ftell(file)) < 0) return NULL;
    rewind(file);
    bytes = malloc((size_t)end + 1);
    *size = bytes == NULL ? 0 : fread(bytes, 1, (size_t)end, file);
    fclose(file);
    return bytes;
}

static void decode_one(Arena *arena, Buffers *buffers, Str sent, const RowsOptions *options,
                       Cost *cost) {
    size_t size = 0;
    uint64_t start = clock_thread_cpu_ns(), middle;
    char *body;
    Rows rows;
    Error err;

    if (snappy_uncompressed_length(sent.ptr, sent.len, &size) != SNAPPY_OK) abort();
    body = buffers_take(buffers, size);
    if (body == NULL || snappy_uncompress(sent.ptr, sent.len, body, &size) != SNAPPY_OK) abort();
    middle = clock_thread_cpu_ns();
    rows_init(&rows, options, arena);
    if (prom_decode_v1(&rows, (Str){body, size}, &err) != ERR_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    cost->walk_ns += clock_thread_cpu_ns() - middle;
    cost->snappy_ns += middle - start;
    cost->samples += rows.batch.sample_count;
    cost->rows += rows.batch.row_count;
    cost->raw_bytes += size;
    cost->checked += rows.checked;
    arena_reset(arena);
    buffers_give(buffers, body);
}

static Cost decode_all(Arena *arena, Buffers *buffers, Str file, const RowsOptions *options) {
    Cost cost = {0};

    for (size_t at = 0; at + 16 <= file.len;) {
        uint32_t head[4];

        memcpy(head, file.ptr + at, sizeof head);
        decode_one(arena, buffers, str_slice(file, at + 16, head[3]), options, &cost);
        at += 16 + head[3];
    }
    return cost;
}

static void report(const char *what, const Cost *cost) {
    double n = (double)cost->samples;

    printf("%-8s %llu samples, %llu rows, %llu labels checked, %.0f raw bytes a sample: snappy "
           "%.3f + walk %.3f = %.3f us a sample\n",
           what, (unsigned long long)cost->samples, (unsigned long long)cost->rows,
           (unsigned long long)cost->checked, (double)cost->raw_bytes / n,
           (double)cost->snappy_ns / n / 1e3, (double)cost->walk_ns / n / 1e3,
           (double)(cost->snappy_ns + cost->walk_ns) / n / 1e3);
}

int main(int argc, char **argv) {
    int rounds = argc > 2 ? atoi(argv[2]) : 5;
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP(known_free) KnownSeries *known = known_new(MIB(64), NULL);
    CLEANUP(buffers_free) Buffers *buffers = buffers_new(MIB(16), NULL);
    TenantLimits limits;
    size_t size = 0;
    char *bytes = argc > 1 ? read_file(argv[1], &size) : NULL;

    if (bytes == NULL || arena == NULL || known == NULL || buffers == NULL) {
        fprintf(stderr, "usage: decode_bench BODIES.BIN [ROUNDS]\n");
        return 2;
    }
    tenant_limits_defaults(&limits);
    for (int round = 0; round < rounds; round++) {
        RowsOptions options = {.tenant = STR("anonymous"),
                               .limits = &limits,
                               .series_seed = 42,
                               .known = known,
                               .now_ms = clock_now_ms(clock_system())};
        Cost warm = decode_all(arena, buffers, (Str){bytes, size}, &options), cold;

        options.known = NULL;
        cold = decode_all(arena, buffers, (Str){bytes, size}, &options);
        report("known", &warm);
        report("unknown", &cold);
    }
    free(bytes);
    return 0;
}
