#pragma once
/*
 * units.h: durations and sizes as LogQL's texts, labels and lines have them, which is how Go's
 * libraries read and write them. Thread-safe.
 */
#include "common/base/buf.h"
#include "common/base/error.h"

/* 1h30m, 1.5s, -250ms, 10µs: Go's time.ParseDuration. False, and *ns untouched, for anything else.
 */
MUST_USE bool logql_parse_go_duration(Str text, int64_t *ns);
/* 1w2d, 5m, 0: no fractions, no sign, largest unit first. ERR_INVALID in Prometheus' words. */
MUST_USE ErrCode logql_parse_duration(Str text, int64_t *ns, Error *err);
/* 5KB, 1.5 MiB, 1,024b, 42: powers of 1000 or, with an i, of 1024. */
MUST_USE bool logql_parse_bytes(Str text, uint64_t *bytes);

void logql_append_go_duration(Buf *out, int64_t ns); /* 1h0m0s, 1.5s, 0s */
void logql_append_bytes(Buf *out, uint64_t bytes);   /* 5.0kB: two digits at least */
