#pragma once
/*
 * decode.h: the bodies of Prometheus remote write, walked where they lie into Rows.
 * https://prometheus.io/docs/specs/prw/remote_write_spec/ (1.0: prometheus.WriteRequest)
 * https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/ (io.prometheus.write.v2.Request)
 *
 * `body` is decompressed and must live as long as the rows: labels and texts point into it.
 * ERR_INVALID: not protobuf, or not of this message; nothing of it may be stored then. ERR_LIMIT:
 * memory ran out. What is protobuf but not acceptable is left out and counted in rows->rejects.
 */
#include "gateway/metrics/rows.h"
#include "proto/wire/wire.h"

MUST_USE ErrCode prom_decode_v1(Rows *rows, Str body, Error *err);
MUST_USE ErrCode prom_decode_v2(Rows *rows, Str body, Error *err);

/* --- what the walkers share --- */

typedef enum PromVersion { PROM_V1 = 1, PROM_V2 = 2 } PromVersion;

typedef struct PromHistogram {
    NativeHistogram *histogram; /* NULL: it was refused, and counted */
    int64_t time_ms;
    int64_t start_ms; /* 2.0 only; 0: unknown */
} PromHistogram;

/* One Histogram message, in the arena of `rows`; refused when beyond the bounds of histogram.h.
 * False: not protobuf, or memory ran out (rows_failed() tells). */
MUST_USE bool prom_decode_histogram(Rows *rows, PromVersion version, WireReader r,
                                    PromHistogram *out);

/* Steps over the `Label` messages (field 1) at the front of a series or exemplar. */
static inline Str prom_leading_labels(WireReader *r) {
    const uint8_t *start = r->at;
    Str label;

    while (r->at < r->end && *r->at == WIRE_TAG(1, WIRE_BYTES)) {
        WireReader next = {r->at + 1, r->end};

        if (!wire_bytes(&next, &label)) break; /* the walk after this one will say so */
        r->at = next.at;
    }
    return (Str){(const char *)start, (size_t)(r->at - start)};
}
