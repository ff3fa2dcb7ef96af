#pragma once
/*
 * message.h: writes one protobuf message in its wire format or, by the very same calls, in
 * protobuf's JSON: 64-bit numbers as texts, names in camel case. What the reader is told is up to
 * the caller: fields with proto3's defaults are written where it asks for them.
 * https://protobuf.dev/programming-guides/json/
 */
#include "common/base/buf.h"

typedef struct MessageWriter {
    Buf *out;
    bool json;
    bool any; /* JSON: something stands before what comes next in this object or list */
} MessageWriter;

/* The message itself; in the wire format there is nothing around it. */
void message_open(MessageWriter *w);
void message_close(MessageWriter *w);

/* A message as a field, or with `name` NULL as the next of a list. What begin() gives is for end().
 */
size_t message_begin(MessageWriter *w, uint32_t field, const char *name);
void message_end(MessageWriter *w, size_t start);

/* Around the values of a repeated field. */
void message_list(MessageWriter *w, const char *name);
void message_list_end(MessageWriter *w);

/* With `name` NULL the next of a list. */
void message_text(MessageWriter *w, uint32_t field, const char *name, Str value);
void message_bool(MessageWriter *w, uint32_t field, const char *name, bool value);
void message_u32(MessageWriter *w, uint32_t field, const char *name, uint32_t value);
void message_u64(MessageWriter *w, uint32_t field, const char *name, uint64_t value);
void message_i64(MessageWriter *w, uint32_t field, const char *name, int64_t value);
void message_double(MessageWriter *w, uint32_t field, const char *name, double value);

/* An entry of a map whose keys are texts and whose values are messages: between these the value's
 * fields. The map is a list in the wire format, and an object in JSON: message_map(). */
void message_map(MessageWriter *w, const char *name);
size_t message_entry(MessageWriter *w, uint32_t field, Str key, size_t *entry);
void message_entry_end(MessageWriter *w, size_t value, size_t entry);
void message_map_end(MessageWriter *w);
