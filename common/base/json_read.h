#pragma once
/*
 * json_read.h: takes JSON (RFC 8259) apart token by token, where it lies: for bodies that are too
 * large or too hot for a tree of objects.
 *
 * Grammar is checked as it goes: commas, colons, brackets. Texts without escapes are slices of the
 * input; others are unescaped into the arena, or left as they are written where it is NULL. Bytes
 * within a text are taken as they are, invalid UTF-8 and control characters too; half a surrogate
 * pair becomes U+FFFD.
 */
#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/base/str.h"

enum { JSON_DEPTH_MAX = 64 };

typedef enum JsonToken {
    JSON_ERROR, /* and every token after it */
    JSON_END,   /* the one value is over, and nothing but white space behind it */
    JSON_OBJECT,
    JSON_OBJECT_END,
    JSON_ARRAY,
    JSON_ARRAY_END,
    JSON_KEY,    /* `text`; the value's token is next */
    JSON_STRING, /* `text` */
    JSON_NUMBER, /* `text`, as written */
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL,
} JsonToken;

typedef struct JsonReader {
    const char *start;
    const char *at;
    const char *end;
    Arena *arena;
    Str text;           /* of the token read last */
    uint64_t in_object; /* bit d: the container at depth d is an object */
    unsigned depth;
    uint8_t expect;      /* what may come next: json_read.c's own */
    const char *problem; /* why JSON_ERROR; its place is `at` */
} JsonReader;

JsonReader json_reader(Str json, Arena *arena);
JsonToken json_next(JsonReader *reader);
/* The rest of the value whose first token was `token`. False: JSON_ERROR came. */
MUST_USE bool json_skip(JsonReader *reader, JsonToken token);
/* ERR_INVALID (ERR_UNAVAILABLE when the arena is used up) with what is wrong and at which byte. */
ErrCode json_reader_error(const JsonReader *reader, Error *err);
