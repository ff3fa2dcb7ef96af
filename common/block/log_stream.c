#include "common/block/log_stream.h"

#include "common/base/reader.h"

static uint64_t zigzag(int64_t v) {
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static int64_t unzigzag(uint64_t v) {
    return (int64_t)((v >> 1) ^ (0 - (v & 1)));
}

static uint8_t *put_varint(uint8_t *out, uint64_t v) {
    while (v >= 0x80) {
        *out++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *out++ = (uint8_t)v;
    return out;
}

static uint8_t *put_bytes(uint8_t *out, Str bytes) {
    if (bytes.len > 0) memcpy(out, bytes.ptr, bytes.len);
    return out + bytes.len;
}

size_t log_stream_append(LogStreamState *state, uint8_t *out, const LogEntry *entry) {
    uint8_t *at = out;

    state->in_order = state->count == 0 || (state->in_order && entry->time_ns >= state->time_ns);
    /* Wraps: any two times have a difference of 64 bits that leads from one to the other. */
    at = put_varint(at, zigzag((int64_t)((uint64_t)entry->time_ns - (uint64_t)state->time_ns)));
    at = put_varint(at, entry->line.len);
    at = put_varint(at, entry->metadata.len);
    at = put_bytes(at, entry->line);
    at = put_bytes(at, entry->metadata);
    state->time_ns = entry->time_ns;
    state->count++;
    return (size_t)(at - out);
}

LogStreamReader log_stream_reader(Str bytes) {
    Reader r = reader_of(bytes);

    return (LogStreamReader){r.at, r.end, 0};
}

bool log_stream_next(LogStreamReader *reader, LogEntry *out) {
    Reader r = {reader->at, reader->end, false};

    if (reader_at_end(&r)) return false;
    uint64_t delta = reader_varint(&r);
    uint64_t line = reader_varint(&r);
    uint64_t metadata = reader_varint(&r);
    if (r.failed || line > reader_left(&r) || metadata > reader_left(&r) - line) return false;
    reader->time_ns = (int64_t)((uint64_t)reader->time_ns + (uint64_t)unzigzag(delta));
    out->time_ns = reader->time_ns;
    out->line = (Str){(const char *)r.at, line};
    out->metadata = (Str){(const char *)r.at + line, metadata};
    reader->at = r.at + line + metadata;
    return true;
}
