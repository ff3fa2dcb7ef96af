#pragma once
/*
 * bodies.h: puts remote-write bodies together, right and wrong, and decodes them.
 */
#include <stdlib.h>

#include "gateway/prom/decode.h"
#include "proto/wire/write.h"
#include "tests/unit/unit.h"

#define NOW_MS INT64_C(1700000000000)

static inline void put_label(Buf *out, Str name, Str value) {
    size_t label = wire_begin(out, 1);

    wire_put_bytes(out, 1, name);
    wire_put_bytes(out, 2, value);
    wire_end(out, label);
}

static inline void put_sample(Buf *out, double value, int64_t time_ms) {
    size_t sample = wire_begin(out, 2);

    wire_put_double(out, 1, value);
    wire_put_int64(out, 2, time_ms);
    wire_end(out, sample);
}

/* One series of 1.0 with one sample; `labels` is name, value, name, value, ..., NULL. */
static inline void put_series(Buf *out, const char *const *labels, double value, int64_t time_ms) {
    size_t series = wire_begin(out, 1);

    for (; labels[0] != NULL; labels += 2) put_label(out, str_of(labels[0]), str_of(labels[1]));
    put_sample(out, value, time_ms);
    wire_end(out, series);
}
#define LABELS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* A histogram message of three observations in two buckets from index 0. */
static inline void put_histogram(Buf *out, uint32_t field, int64_t schema, int64_t time_ms) {
    size_t histogram = wire_begin(out, field), span, packed;

    wire_put_varint(out, 1, 3);
    wire_put_double(out, 3, 12.5);
    wire_put_sint64(out, 4, schema);
    span = wire_begin(out, 11);
    wire_put_sint64(out, 1, 0);
    wire_put_varint(out, 2, 2);
    wire_end(out, span);
    packed = wire_begin(out, 12);
    buf_append_zigzag(out, 1);
    buf_append_zigzag(out, 1);
    wire_end(out, packed);
    wire_put_int64(out, 15, time_ms);
    if (schema == HISTOGRAM_SCHEMA_CUSTOM) {
        wire_put_double(out, 16, 1.5);
        wire_put_double(out, 16, 2.5);
    }
    wire_end(out, histogram);
}

/* What a test decodes with; the fields may be changed before decode(). */
typedef struct World {
    Arena *arena;
    Buf body;
    TenantLimits limits;
    RowsOptions options;
    Rows rows;
    Error err;
} World;

static inline int world_setup(void **state) {
    World *world = calloc(1, sizeof *world);

    world->arena = arena_new(0, NULL);
    buf_init(&world->body, 0);
    tenant_limits_defaults(&world->limits);
    world->options = (RowsOptions){.tenant = STR("team-a"),
                                   .limits = &world->limits,
                                   .series_seed = 99,
                                   .now_ms = NOW_MS,
                                   .created_zeros = true};
    *state = world;
    return 0;
}

static inline int world_teardown(void **state) {
    World *world = *state;

    known_free(world->options.known);
    arena_free(world->arena);
    buf_done(&world->body);
    free(world);
    return 0;
}

static inline ErrCode decode(World *world, PromVersion version) {
    world->err = (Error){0};
    rows_init(&world->rows, &world->options, world->arena);
    return (version == PROM_V1 ? prom_decode_v1
                               : prom_decode_v2)(&world->rows, buf_str(&world->body), &world->err);
}

#define world_test(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

static inline Str row_label(World *world, size_t row, Str name) {
    LabelPairs labels;

    assert_ok(labels_decode(world->rows.batch.rows[row].labels, world->arena, &labels, &world->err),
              &world->err);
    return labels_get(labels, name);
}

#define assert_str(a, b)                                                                           \
    do {                                                                                           \
        Str a_ = (a), b_ = (b);                                                                    \
        assert_int_equal(a_.len, b_.len);                                                          \
        assert_memory_equal(a_.ptr, b_.ptr, b_.len);                                               \
    } while (0)
