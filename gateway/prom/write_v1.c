/*
 * write_v1.c: prometheus.WriteRequest into rows.
 *
 * Nearly every body is this, and nearly every series in it was here fifteen seconds ago. So a
 * series' labels are not parsed: they lie at its front, one message after the other, and are
 * stepped over by their lengths; rows.c recognises them by one hash of all their bytes.
 */
#include "gateway/prom/decode.h"

enum {
    REQUEST_SERIES = WIRE_TAG(1, WIRE_BYTES),
    REQUEST_METADATA = WIRE_TAG(3, WIRE_BYTES),
    SERIES_LABEL = WIRE_TAG(1, WIRE_BYTES),
    SERIES_SAMPLE = WIRE_TAG(2, WIRE_BYTES),
    SERIES_EXEMPLAR = WIRE_TAG(3, WIRE_BYTES),
    SERIES_HISTOGRAM = WIRE_TAG(4, WIRE_BYTES),
};

/* Whether more labels follow among the samples, which no known sender does. */
static bool has_late_labels(WireReader r) {
    uint32_t tag;

    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return false;
        if (tag == SERIES_LABEL) return true;
        if (!wire_skip(&r, tag)) return false;
    }
    return false;
}

/* All labels of such a series, copied together. */
static Str gather_labels(Rows *rows, WireReader r) {
    char *out = arena_alloc_bytes(rows->arena, MAX(wire_left(&r), (size_t)1));
    size_t len = 0;
    uint32_t tag;

    if (out == NULL) {
        rows_fail(rows, ERR_LIMIT, "no memory left for the labels of this request");
        return STR("");
    }
    while (!wire_at_end(&r)) {
        const uint8_t *start = r.at;

        if (!wire_tag(&r, &tag) || !wire_skip(&r, tag)) break;
        if (tag != SERIES_LABEL) continue;
        memcpy(out + len, start, (size_t)(r.at - start));
        len += (size_t)(r.at - start);
    }
    return (Str){out, len};
}

static inline bool decode_sample(Rows *rows, WireReader r) {
    double value = 0;
    int64_t time_ms = 0;
    uint32_t tag;

    while (!wire_at_end(&r)) {
        bool ok;

        if (!wire_tag(&r, &tag)) return false;
        switch (tag) {
        case WIRE_TAG(1, WIRE_FIXED64):
            ok = wire_double(&r, &value);
            break;
        case WIRE_TAG(2, WIRE_VARINT):
            ok = wire_int64(&r, &time_ms);
            break;
        default:
            ok = tag >> 3 > 2 && wire_skip(&r, tag);
        }
        if (UNLIKELY(!ok)) return false;
    }
    rows_sample(rows, time_ms, value, 0);
    return true;
}

static bool decode_exemplar(Rows *rows, WireReader r) {
    WireReader whole = r;
    Str labels = prom_leading_labels(&r);
    double value = 0;
    int64_t time_ms = 0;
    bool plain;
    uint32_t tag;
    Error err;
    ErrCode code;

    if (UNLIKELY(has_late_labels(r))) labels = gather_labels(rows, whole);
    while (!wire_at_end(&r)) {
        bool ok;

        if (!wire_tag(&r, &tag)) return false;
        switch (tag) {
        case SERIES_LABEL:
            ok = wire_skip(&r, tag);
            break;
        case WIRE_TAG(2, WIRE_FIXED64):
            ok = wire_double(&r, &value);
            break;
        case WIRE_TAG(3, WIRE_VARINT):
            ok = wire_int64(&r, &time_ms);
            break;
        default:
            ok = tag >> 3 > 3 && wire_skip(&r, tag);
        }
        if (!ok) return false;
    }
    code = series_read(labels, rows->arena, &rows->scratch, &plain, &err);
    if (code == ERR_INVALID) return false;
    if (code != ERR_OK && rows->scratch.count <= SERIES_LABELS_MAX)
        rows_fail(rows, code, "%s", err.text);
    else /* refused at once when there are more labels than were read */
        rows_exemplar(rows, time_ms, value, rows->scratch.pairs, rows->scratch.count);
    return true;
}

static bool decode_histogram(Rows *rows, WireReader r) {
    PromHistogram got;

    if (!prom_decode_histogram(rows, PROM_V1, r, &got)) return false;
    if (got.histogram != NULL) rows_histogram(rows, got.time_ms, got.histogram, 0);
    return true;
}

static inline bool decode_series(Rows *rows, WireReader r) {
    WireReader whole = r, message;
    Str labels = prom_leading_labels(&r);
    uint32_t tag;

    if (UNLIKELY(has_late_labels(r))) labels = gather_labels(rows, whole);
    rows_begin(rows, labels);
    while (!wire_at_end(&r)) {
        bool ok;

        if (!wire_tag(&r, &tag)) return false;
        switch (tag) {
        case SERIES_SAMPLE:
            ok = wire_message(&r, &message) && decode_sample(rows, message);
            break;
        case SERIES_EXEMPLAR:
            ok = wire_message(&r, &message) && decode_exemplar(rows, message);
            break;
        case SERIES_HISTOGRAM:
            ok = wire_message(&r, &message) && decode_histogram(rows, message);
            break;
        default:
            ok = (tag == SERIES_LABEL || tag >> 3 > 4) && wire_skip(&r, tag);
        }
        if (UNLIKELY(!ok)) return false;
    }
    rows_end(rows);
    return true;
}

static bool decode_metadata(Rows *rows, WireReader r) {
    Str metric = STR(""), help = STR(""), unit = STR("");
    uint32_t tag, type = 0;

    while (!wire_at_end(&r)) {
        bool ok;

        if (!wire_tag(&r, &tag)) return false;
        switch (tag) {
        case WIRE_TAG(1, WIRE_VARINT):
            ok = wire_uint32(&r, &type);
            break;
        case WIRE_TAG(2, WIRE_BYTES):
            ok = wire_bytes(&r, &metric);
            break;
        case WIRE_TAG(4, WIRE_BYTES):
            ok = wire_bytes(&r, &help);
            break;
        case WIRE_TAG(5, WIRE_BYTES):
            ok = wire_bytes(&r, &unit);
            break;
        default:
            ok = (tag >> 3 == 3 || tag >> 3 > 5) && wire_skip(&r, tag);
        }
        if (!ok) return false;
    }
    rows_metadata(rows, metric, type <= METRIC_STATESET ? (MetricType)type : METRIC_UNKNOWN, help,
                  unit);
    return true;
}

/* How many series there are, by stepping over them. */
static size_t count_series(WireReader r) {
    size_t count = 0;
    uint32_t tag;

    while (!wire_at_end(&r) && wire_tag(&r, &tag) && wire_skip(&r, tag))
        count += tag == REQUEST_SERIES;
    return count;
}

static ErrCode malformed(const Rows *rows, Error *err) {
    if (rows_failed(rows)) return rows_finish(rows, err);
    return error_set(err, ERR_INVALID, "the body is not a valid prometheus.WriteRequest");
}

ErrCode prom_decode_v1(Rows *rows, Str body, Error *err) {
    WireReader r = wire_reader(body), message;
    uint32_t tag;

    rows_reserve(rows, count_series(r), body.len);
    while (!wire_at_end(&r)) {
        bool ok;

        if (!wire_tag(&r, &tag)) return malformed(rows, err);
        switch (tag) {
        case REQUEST_SERIES:
            ok = wire_message(&r, &message) && decode_series(rows, message);
            break;
        case REQUEST_METADATA:
            ok = wire_message(&r, &message) && decode_metadata(rows, message);
            break;
        default:
            ok = tag >> 3 != 1 && tag >> 3 != 3 && wire_skip(&r, tag);
        }
        if (UNLIKELY(!ok || rows_failed(rows))) return malformed(rows, err);
    }
    return rows_finish(rows, err);
}
