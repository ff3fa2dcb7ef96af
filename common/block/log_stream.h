#pragma once
/*
 * log_stream.h: how a head holds a stream's entries: one append-only string of bytes, any order of
 * times welcome, lines byte for byte. The log of an ingester holds entries the same way.
 *
 *     entry   time as a zigzag varint of the difference to the entry before (the first: to 0),
 *             varint line length, varint metadata length, line, metadata
 */
#include "common/batch/logs.h"

typedef struct LogStreamState {
    int64_t time_ns;
    uint32_t count;
    bool in_order; /* set by the first append; false once a time descended */
} LogStreamState;

/* The most bytes an entry takes. */
static inline size_t log_stream_bytes_max(const LogEntry *entry) {
    return 30 + entry->line.len + entry->metadata.len;
}
/* Writes one entry at `out`, which has room for log_stream_bytes_max(); returns its bytes. */
size_t log_stream_append(LogStreamState *state, uint8_t *out, const LogEntry *entry);

typedef struct LogStreamReader {
    const uint8_t *at;
    const uint8_t *end;
    int64_t time_ns;
} LogStreamReader;
LogStreamReader log_stream_reader(Str bytes);
/* False at the end, and (with reader->at short of reader->end) where the bytes are no entry. */
bool log_stream_next(LogStreamReader *reader, LogEntry *out);
