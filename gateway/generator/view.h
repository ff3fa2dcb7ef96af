#pragma once
/*
 * view.h: of a span and its resource what metrics are made of, read where it lies: a walk over the
 * message's fields, and over its attributes only where one of them is wanted.
 */
#include "common/batch/spans.h"
#include "common/tenant/generator.h"
#include "proto/wire/wire.h"

enum {
    WANTED_MAX = GENERATOR_DIMENSIONS_MAX * 2 + GENERATOR_PEERS_MAX * 2 + 4,
    WANTED_SLOTS = 256,
};

/* Attributes that somebody asks for, each once. What most attributes meet is one look into
 * `first`. */
typedef struct Wanted {
    Str keys[WANTED_MAX];
    uint8_t next[WANTED_MAX];    /* of those in one slot: index + 1 */
    uint8_t first[WANTED_SLOTS]; /* index + 1; 0: none */
    uint32_t count;
    uint8_t span_dimensions[GENERATOR_DIMENSIONS_MAX]; /* index of each */
    uint8_t edge_dimensions[GENERATOR_DIMENSIONS_MAX];
    uint8_t peers[GENERATOR_PEERS_MAX];
    uint8_t databases[GENERATOR_PEERS_MAX];
    uint8_t peer_service;
    uint8_t server_address;
    uint8_t peer_address;
    uint8_t peer_port;
} Wanted;

void wanted_init(Wanted *wanted, const GeneratorRules *rules);

/* Values by index of `Wanted`, as texts; NULL ptr: the attribute isn't there. */
typedef struct WantedValues {
    Str at[WANTED_MAX];
} WantedValues;

/* Where spans are from. */
typedef struct OriginView {
    Str resource; /* its message */
    Str service;  /* NULL ptr: it says none */
    Str job;      /* service.namespace/service.name; empty: none */
    Str instance;
    WantedValues values;
} OriginView;

/* `value_bytes_max`: longer values are cut, at a character; 0: they aren't. In `arena`. False: out
 * of memory, or bytes that aren't an origin's. */
MUST_USE bool origin_view(Str origin, const Wanted *wanted, size_t value_bytes_max, Arena *arena,
                          OriginView *out);

typedef struct SpanView {
    Str name;
    Str status_message;
    uint64_t id;
    uint64_t parent; /* 0: none */
    uint8_t kind;
    uint8_t status;
    WireReader message; /* whole: for span_values() */
} SpanView;

/* False: not a span. */
MUST_USE bool span_view(Str message, SpanView *out);
/* Fills `values->at[0 .. wanted->count)`. False as origin_view(). */
MUST_USE bool span_values(const SpanView *span, const Wanted *wanted, size_t value_bytes_max,
                          Arena *arena, WantedValues *values);

/* At most `bytes_max` of it, not within a character. */
Str view_cut(Str text, size_t bytes_max);
