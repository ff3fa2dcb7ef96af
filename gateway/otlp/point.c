#include "gateway/otlp/point.h"

#include "common/batch/histogram.h"

/* How a field is read, by kind of point and its number. */
enum { FLAG_NO_RECORDED_VALUE = 1, SUMMARY_QUANTILES = 6 };

static ErrCode malformed(Error *err) {
    return error_set(err, ERR_CORRUPT, "the body is not protobuf: a data point can't be read");
}

/* How many elements the repeated number in `field` has: packed ones and single ones. */
static bool count_numbers(WireReader r, uint32_t field, WireType type, size_t *out) {
    uint32_t tag;
    uint64_t v;

    *out = 0;
    while (!wire_at_end(&r)) {
        WireReader packed;

        if (!wire_tag(&r, &tag)) return false;
        if (tag == WIRE_TAG(field, type)) {
            (*out)++;
            if (!wire_skip(&r, tag)) return false;
        } else if (tag != WIRE_TAG(field, WIRE_BYTES)) {
            if (!wire_skip(&r, tag)) return false;
        } else if (!wire_message(&r, &packed)) {
            return false;
        } else if (type == WIRE_FIXED64) {
            if (wire_left(&packed) % 8 != 0) return false;
            *out += wire_left(&packed) / 8;
        } else {
            for (; !wire_at_end(&packed); (*out)++)
                if (!wire_varint(&packed, &v)) return false;
        }
    }
    return true;
}

/* The numbers of `field`, which count_numbers() has seen, so that nothing can fail. */
static void read_numbers(WireReader r, uint32_t field, WireType type, uint64_t *out) {
    uint32_t tag;

    while (!wire_at_end(&r) && wire_tag(&r, &tag)) {
        WireReader packed;
        bool fixed = type == WIRE_FIXED64;

        if (tag == WIRE_TAG(field, type)) {
            if (!(fixed ? wire_fixed64(&r, out) : wire_varint(&r, out))) return;
            out++;
        } else if (tag != WIRE_TAG(field, WIRE_BYTES)) {
            if (!wire_skip(&r, tag)) return;
        } else if (wire_message(&r, &packed)) {
            for (; !wire_at_end(&packed); out++)
                if (!(fixed ? wire_fixed64(&packed, out) : wire_varint(&packed, out))) return;
        }
    }
}

static ErrCode take_numbers(WireReader message, uint32_t field, WireType type, Arena *arena,
                            uint64_t **out, uint32_t *count, Error *err) {
    size_t numbers;

    if (!count_numbers(message, field, type, &numbers)) return malformed(err);
    *count = (uint32_t)numbers;
    *out = NULL;
    if (numbers == 0) return ERR_OK;
    if (numbers > HISTOGRAM_BUCKETS_MAX)
        return error_set(err, ERR_INVALID, "a histogram has %zu buckets; %d are allowed", numbers,
                         HISTOGRAM_BUCKETS_MAX);
    *out = ARENA_ARRAY(arena, uint64_t, numbers);
    if (*out == NULL)
        return error_set(err, ERR_LIMIT, "no memory left for the histograms of this request");
    read_numbers(message, field, type, *out);
    return ERR_OK;
}

static ErrCode read_buckets(WireReader message, Arena *arena, OtlpBuckets *out, Error *err) {
    WireReader r = message;
    uint32_t tag;

    out->offset = 0;
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err);
        if (tag == WIRE_TAG(1, WIRE_VARINT) ? !wire_sint32(&r, &out->offset) : !wire_skip(&r, tag))
            return malformed(err);
    }
    return take_numbers(message, 2, WIRE_VARINT, arena, &out->counts, &out->count, err);
}

static bool read_flags(WireReader *r, OtlpPoint *out) {
    uint32_t flags;

    if (!wire_uint32(r, &flags)) return false;
    out->no_value = (flags & FLAG_NO_RECORDED_VALUE) != 0;
    return true;
}

static bool read_integer(WireReader *r, OtlpPoint *out) {
    uint64_t bits;

    if (!wire_fixed64(r, &bits)) return false;
    out->value = (double)(int64_t)bits;
    return true;
}

static bool read_sum(WireReader *r, OtlpPoint *out) {
    out->has_sum = true;
    return wire_double(r, &out->sum);
}

/* NumberDataPoint */
static bool read_number(WireReader *r, uint32_t tag, OtlpPoint *out) {
    switch (tag) {
    case WIRE_TAG(4, WIRE_FIXED64):
        return wire_double(r, &out->value);
    case WIRE_TAG(6, WIRE_FIXED64):
        return read_integer(r, out);
    case WIRE_TAG(8, WIRE_VARINT):
        return read_flags(r, out);
    default:
        return wire_skip(r, tag);
    }
}

/* HistogramDataPoint */
static bool read_histogram(WireReader *r, uint32_t tag, OtlpPoint *out) {
    switch (tag) {
    case WIRE_TAG(4, WIRE_FIXED64):
        return wire_fixed64(r, &out->count);
    case WIRE_TAG(5, WIRE_FIXED64):
        return read_sum(r, out);
    case WIRE_TAG(10, WIRE_VARINT):
        return read_flags(r, out);
    default:
        return wire_skip(r, tag);
    }
}

/* ExponentialHistogramDataPoint; its buckets are messages, which `parts` remembers. */
static bool read_exponential(WireReader *r, uint32_t tag, OtlpPoint *out, WireReader parts[2]) {
    switch (tag) {
    case WIRE_TAG(4, WIRE_FIXED64):
        return wire_fixed64(r, &out->count);
    case WIRE_TAG(5, WIRE_FIXED64):
        return read_sum(r, out);
    case WIRE_TAG(6, WIRE_VARINT):
        return wire_sint32(r, &out->scale);
    case WIRE_TAG(7, WIRE_FIXED64):
        return wire_fixed64(r, &out->zero_count);
    case WIRE_TAG(8, WIRE_BYTES):
        return wire_message(r, &parts[0]);
    case WIRE_TAG(9, WIRE_BYTES):
        return wire_message(r, &parts[1]);
    case WIRE_TAG(10, WIRE_VARINT):
        return read_flags(r, out);
    default:
        return wire_skip(r, tag);
    }
}

/* SummaryDataPoint */
static bool read_summary(WireReader *r, uint32_t tag, OtlpPoint *out) {
    switch (tag) {
    case WIRE_TAG(4, WIRE_FIXED64):
        return wire_fixed64(r, &out->count);
    case WIRE_TAG(5, WIRE_FIXED64):
        return read_sum(r, out);
    case WIRE_TAG(8, WIRE_VARINT):
        return read_flags(r, out);
    default:
        return wire_skip(r, tag);
    }
}

ErrCode otlp_read_point(OtlpMetricKind kind, WireReader message, Arena *arena, OtlpPoint *out,
                        Error *err) {
    WireReader r = message, parts[2] = {{NULL, NULL}, {NULL, NULL}};
    bool number = kind == OTLP_GAUGE || kind == OTLP_SUM;
    uint32_t tag;

    *out = (OtlpPoint){.message = message,
                       .attributes = kind == OTLP_HISTOGRAM     ? 9
                                     : kind == OTLP_EXPONENTIAL ? 1
                                                                : 7,
                       .exemplars = number                     ? 5
                                    : kind == OTLP_HISTOGRAM   ? 8
                                    : kind == OTLP_EXPONENTIAL ? 11
                                                               : 0};
    while (!wire_at_end(&r)) {
        bool ok;

        if (!wire_tag(&r, &tag)) return malformed(err);
        if (tag == WIRE_TAG(2, WIRE_FIXED64))
            ok = wire_fixed64(&r, &out->start_ns);
        else if (tag == WIRE_TAG(3, WIRE_FIXED64))
            ok = wire_fixed64(&r, &out->time_ns);
        else if (number)
            ok = read_number(&r, tag, out);
        else if (kind == OTLP_HISTOGRAM)
            ok = read_histogram(&r, tag, out);
        else if (kind == OTLP_EXPONENTIAL)
            ok = read_exponential(&r, tag, out, parts);
        else
            ok = read_summary(&r, tag, out);
        if (!ok) return malformed(err);
    }
    if (kind == OTLP_HISTOGRAM) {
        uint64_t *bounds;

        TRY(take_numbers(message, 6, WIRE_FIXED64, arena, &out->buckets.counts, &out->buckets.count,
                         err));
        TRY(take_numbers(message, 7, WIRE_FIXED64, arena, &bounds, &out->bound_count, err));
        out->bounds = (double *)(void *)bounds; /* read as bits */
    }
    if (kind == OTLP_EXPONENTIAL) {
        TRY(read_buckets(parts[0], arena, &out->positive, err));
        TRY(read_buckets(parts[1], arena, &out->negative, err));
    }
    return ERR_OK;
}

bool otlp_next_quantile(WireReader *r, double *quantile, double *value, bool *more) {
    uint32_t tag;

    *more = true;
    while (!wire_at_end(r)) {
        WireReader part;

        if (!wire_tag(r, &tag)) return false;
        if (tag != WIRE_TAG(SUMMARY_QUANTILES, WIRE_BYTES)) {
            if (!wire_skip(r, tag)) return false;
            continue;
        }
        *quantile = *value = 0;
        if (!wire_message(r, &part)) return false;
        while (!wire_at_end(&part)) {
            if (!wire_tag(&part, &tag)) return false;
            if (!(tag == WIRE_TAG(1, WIRE_FIXED64)   ? wire_double(&part, quantile)
                  : tag == WIRE_TAG(2, WIRE_FIXED64) ? wire_double(&part, value)
                                                     : wire_skip(&part, tag)))
                return false;
        }
        return true;
    }
    *more = false;
    return true;
}
