#pragma once
/*
 * keymap.h: numbers for distinct byte strings: values, series. One thread's own, in an arena.
 */
#include "common/base/buf.h"
#include "querier/traceql/build.h"

typedef struct KeyMap {
    Arena *arena;
    Str *keys; /* by number */
    uint64_t *hashes;
    uint32_t *slots; /* number + 1; 0: empty */
    size_t count;
    size_t capacity; /* of keys */
    size_t mask;
} KeyMap;

/* The number of `key`, which is copied if it is new: then it is the last. */
MUST_USE ErrCode keymap_add(KeyMap *map, Str key, uint32_t *number, bool *fresh, Error *err);

/* Bytes that are equal when values are, and back (texts are borrowed from the bytes; arrays are the
 * arena's). */
void keymap_append_value(Buf *out, const TraceqlValue *value);
MUST_USE bool keymap_take_value(Str *bytes, Arena *arena, TraceqlValue *out);
