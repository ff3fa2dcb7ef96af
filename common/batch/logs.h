#pragma once
/*
 * logs.h: one decoded and validated write request of a tenant's logs, between gateway and ingester.
 * Everything points into the request's arena or body and lives until it is answered.
 */
#include "common/base/hash.h"
#include "common/batch/labels.h"

/* Lines and metadata values are bytes: any, NUL and invalid UTF-8 too, and they come back as sent.
 */
typedef struct LogEntry {
    int64_t time_ns;
    Str line;
    Str metadata; /* structured metadata as canonical bytes (labels.h); empty: none */
} LogEntry;

/* One stream's part of the request: entries[entry_start, + entry_count), in order of arrival. */
typedef struct LogStream {
    Hash128 id; /* of tenant and canonical labels: logs_stream_id() */
    Str labels; /* canonical bytes, labels.h; never empty */
    uint32_t entry_start, entry_count;
} LogStream;

typedef struct LogsBatch {
    Str tenant;
    LogStream *streams; /* an id may be there more than once */
    LogEntry *entries;
    size_t stream_count;
    size_t entry_count;
    size_t bytes; /* of lines and metadata */
} LogsBatch;

enum {
    LOG_LINE_BYTES_MAX = 16 << 20,    /* whatever a tenant's limit says */
    LOG_METADATA_BYTES_MAX = 1 << 20, /* of one entry, canonical */
};

/* `seed` is the process' own, as for metrics; a stream's id differs from that of a series with the
 * same labels. */
static inline Hash128 logs_stream_id(uint64_t tenant_hash, Str labels, uint64_t seed) {
    return hash_bytes_128(labels.ptr, labels.len, (seed ^ tenant_hash) + 0x9e3779b97f4a7c15u);
}
