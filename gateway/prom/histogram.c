/*
 * histogram.c: a native histogram of remote write into the form that we keep.
 *
 * Two walks: the first counts what the arrays hold, packed or not, so that each is allocated once
 * and no array grows past its bound whatever the bytes say; the second fills them.
 */
#include "gateway/prom/decode.h"

enum {
    COUNT_INT = WIRE_TAG(1, WIRE_VARINT),
    COUNT_FLOAT = WIRE_TAG(2, WIRE_FIXED64),
    SUM = WIRE_TAG(3, WIRE_FIXED64),
    SCHEMA = WIRE_TAG(4, WIRE_VARINT),
    ZERO_THRESHOLD = WIRE_TAG(5, WIRE_FIXED64),
    ZERO_COUNT_INT = WIRE_TAG(6, WIRE_VARINT),
    ZERO_COUNT_FLOAT = WIRE_TAG(7, WIRE_FIXED64),
    NEGATIVE_SPANS = WIRE_TAG(8, WIRE_BYTES),
    NEGATIVE_DELTAS = WIRE_TAG(9, WIRE_BYTES), /* packed; each may come one by one as well */
    NEGATIVE_DELTA = WIRE_TAG(9, WIRE_VARINT),
    NEGATIVE_COUNTS = WIRE_TAG(10, WIRE_BYTES),
    NEGATIVE_COUNT = WIRE_TAG(10, WIRE_FIXED64),
    POSITIVE_SPANS = WIRE_TAG(11, WIRE_BYTES),
    POSITIVE_DELTAS = WIRE_TAG(12, WIRE_BYTES),
    POSITIVE_DELTA = WIRE_TAG(12, WIRE_VARINT),
    POSITIVE_COUNTS = WIRE_TAG(13, WIRE_BYTES),
    POSITIVE_COUNT = WIRE_TAG(13, WIRE_FIXED64),
    RESET_HINT = WIRE_TAG(14, WIRE_VARINT),
    TIMESTAMP = WIRE_TAG(15, WIRE_VARINT),
    CUSTOM_VALUES = WIRE_TAG(16, WIRE_BYTES),
    CUSTOM_VALUE = WIRE_TAG(16, WIRE_FIXED64),
    START_TIMESTAMP = WIRE_TAG(17, WIRE_VARINT),
    FIELDS = 18,
};

/* The buckets of one side while they are read: the wire may bring both kinds, and which one counts
 * is known at the end. */
typedef struct Side {
    HistogramSpan *spans;
    double *counts;
    int64_t *deltas;
    uint32_t span_count, count_count, delta_count;
} Side;

typedef struct Parse {
    NativeHistogram *h;
    uint32_t fields; /* from this number on they are nobody's */
    Side negative, positive;
    int64_t time_ms, start_ms;
    uint64_t zero_int;
    double zero_float;
    bool zero_is_float;
    uint64_t count_int;
    double count_float;
    double *custom;
    uint32_t custom_count;
} Parse;

static bool count_packed_varints(WireReader *r, size_t *count) {
    WireReader packed;
    uint64_t v;

    if (!wire_message(r, &packed)) return false;
    for (; !wire_at_end(&packed); (*count)++)
        if (!wire_varint(&packed, &v)) return false;
    return true;
}

static bool count_packed_doubles(WireReader *r, size_t *count) {
    WireReader packed;

    if (!wire_message(r, &packed) || wire_left(&packed) % 8 != 0) return false;
    *count += wire_left(&packed) / 8;
    return true;
}

/* How many elements each repeated field has. */
static bool count_elements(WireReader r, size_t counts[static FIELDS]) {
    uint32_t tag;

    while (!wire_at_end(&r)) {
        bool ok;

        if (!wire_tag(&r, &tag)) return false;
        switch (tag) {
        case NEGATIVE_DELTAS:
        case POSITIVE_DELTAS:
            ok = count_packed_varints(&r, &counts[tag >> 3]);
            break;
        case NEGATIVE_COUNTS:
        case POSITIVE_COUNTS:
        case CUSTOM_VALUES:
            ok = count_packed_doubles(&r, &counts[tag >> 3]);
            break;
        case NEGATIVE_SPANS:
        case POSITIVE_SPANS:
        case NEGATIVE_DELTA:
        case POSITIVE_DELTA:
        case NEGATIVE_COUNT:
        case POSITIVE_COUNT:
        case CUSTOM_VALUE:
            counts[tag >> 3]++;
            __attribute__((fallthrough));
        default:
            ok = wire_skip(&r, tag);
        }
        if (!ok) return false;
    }
    return true;
}

static bool read_span(WireReader *r, HistogramSpan *out) {
    WireReader span;
    uint32_t tag;

    *out = (HistogramSpan){0};
    if (!wire_message(r, &span)) return false;
    while (!wire_at_end(&span)) {
        bool ok;

        if (!wire_tag(&span, &tag)) return false;
        switch (tag) {
        case WIRE_TAG(1, WIRE_VARINT):
            ok = wire_sint32(&span, &out->offset);
            break;
        case WIRE_TAG(2, WIRE_VARINT):
            ok = wire_uint32(&span, &out->length);
            break;
        default:
            ok = tag >> 3 > 2 && wire_skip(&span, tag);
        }
        if (!ok) return false;
    }
    return true;
}

static bool read_deltas(WireReader *r, Side *side) {
    WireReader packed;

    if (!wire_message(r, &packed)) return false;
    while (!wire_at_end(&packed))
        if (!wire_sint64(&packed, &side->deltas[side->delta_count++])) return false;
    return true;
}

static bool read_doubles(WireReader *r, double *out, uint32_t *count) {
    WireReader packed;

    if (!wire_message(r, &packed)) return false;
    while (!wire_at_end(&packed))
        if (!wire_double(&packed, &out[(*count)++])) return false;
    return true;
}

static bool read_hint(WireReader *r, NativeHistogram *h) {
    uint32_t hint;

    if (!wire_uint32(r, &hint)) return false;
    h->hint = hint <= HISTOGRAM_HINT_GAUGE ? (uint8_t)hint : HISTOGRAM_HINT_UNKNOWN;
    return true;
}

/* Of a `oneof` the last one on the wire holds. */
static bool read_field(WireReader *r, uint32_t tag, Parse *p) {
    NativeHistogram *h = p->h;

    if (tag >> 3 >= p->fields) return wire_skip(r, tag);
    switch (tag) {
    case COUNT_INT:
        h->is_float = false;
        return wire_varint(r, &p->count_int);
    case COUNT_FLOAT:
        h->is_float = true;
        return wire_double(r, &p->count_float);
    case SUM:
        return wire_double(r, &h->sum);
    case SCHEMA:
        return wire_sint32(r, &h->schema);
    case ZERO_THRESHOLD:
        return wire_double(r, &h->zero_threshold);
    case ZERO_COUNT_INT:
        p->zero_is_float = false;
        return wire_varint(r, &p->zero_int);
    case ZERO_COUNT_FLOAT:
        p->zero_is_float = true;
        return wire_double(r, &p->zero_float);
    case NEGATIVE_SPANS:
        return read_span(r, &p->negative.spans[p->negative.span_count++]);
    case POSITIVE_SPANS:
        return read_span(r, &p->positive.spans[p->positive.span_count++]);
    case NEGATIVE_DELTAS:
        return read_deltas(r, &p->negative);
    case POSITIVE_DELTAS:
        return read_deltas(r, &p->positive);
    case NEGATIVE_DELTA:
        return wire_sint64(r, &p->negative.deltas[p->negative.delta_count++]);
    case POSITIVE_DELTA:
        return wire_sint64(r, &p->positive.deltas[p->positive.delta_count++]);
    case NEGATIVE_COUNTS:
        return read_doubles(r, p->negative.counts, &p->negative.count_count);
    case POSITIVE_COUNTS:
        return read_doubles(r, p->positive.counts, &p->positive.count_count);
    case NEGATIVE_COUNT:
        return wire_double(r, &p->negative.counts[p->negative.count_count++]);
    case POSITIVE_COUNT:
        return wire_double(r, &p->positive.counts[p->positive.count_count++]);
    case RESET_HINT:
        return read_hint(r, h);
    case TIMESTAMP:
        return wire_int64(r, &p->time_ms);
    case CUSTOM_VALUES:
        return read_doubles(r, p->custom, &p->custom_count);
    case CUSTOM_VALUE:
        return wire_double(r, &p->custom[p->custom_count++]);
    case START_TIMESTAMP:
        return wire_int64(r, &p->start_ms);
    default:
        return tag >> 3 >= FIELDS && wire_skip(r, tag);
    }
}

static bool side_alloc(Arena *arena, Side *side, const size_t *spans, const size_t *deltas,
                       const size_t *counts) {
    side->spans = ARENA_ARRAY(arena, HistogramSpan, *spans);
    side->deltas = ARENA_ARRAY(arena, int64_t, *deltas);
    side->counts = ARENA_ARRAY(arena, double, *counts);
    return side->spans != NULL && side->deltas != NULL && side->counts != NULL;
}

/* Deltas summed up into counts. A sum that leaves 64 bits becomes negative, which is refused. */
static bool side_finish(Rows *rows, const NativeHistogram *h, Side *side, double **counts,
                        uint32_t *count) {
    int64_t sum = 0;

    if (h->is_float) {
        *counts = side->counts;
        *count = side->count_count;
        return true;
    }
    *counts = ARENA_ARRAY(rows->arena, double, side->delta_count);
    *count = side->delta_count;
    if (*counts == NULL) return false;
    for (uint32_t i = 0; i < side->delta_count; i++) {
        if (__builtin_add_overflow(sum, side->deltas[i], &sum)) sum = INT64_MIN;
        (*counts)[i] = (double)sum;
    }
    return true;
}

static bool out_of_memory(Rows *rows) {
    rows_fail(rows, ERR_LIMIT, "no memory left for the histograms of this request");
    return false;
}

static bool parse_finish(Rows *rows, Parse *p, PromHistogram *out) {
    NativeHistogram *h = p->h;

    h->count = h->is_float ? p->count_float : (double)p->count_int;
    h->zero_count = p->zero_is_float ? p->zero_float : (double)p->zero_int;
    h->negative_spans = p->negative.spans;
    h->negative_span_count = p->negative.span_count;
    h->positive_spans = p->positive.spans;
    h->positive_span_count = p->positive.span_count;
    h->custom_values = p->custom;
    h->custom_count = p->custom_count;
    if (!side_finish(rows, h, &p->negative, &h->negative, &h->negative_count) ||
        !side_finish(rows, h, &p->positive, &h->positive, &h->positive_count))
        return out_of_memory(rows);
    *out = (PromHistogram){h, p->time_ms, p->start_ms};
    return true;
}

static bool within_bounds(const size_t counts[static FIELDS]) {
    return counts[8] <= HISTOGRAM_SPANS_MAX && counts[11] <= HISTOGRAM_SPANS_MAX &&
           counts[9] <= HISTOGRAM_BUCKETS_MAX && counts[10] <= HISTOGRAM_BUCKETS_MAX &&
           counts[12] <= HISTOGRAM_BUCKETS_MAX && counts[13] <= HISTOGRAM_BUCKETS_MAX &&
           counts[16] <= HISTOGRAM_CUSTOM_MAX;
}

bool prom_decode_histogram(Rows *rows, PromVersion version, WireReader r, PromHistogram *out) {
    size_t counts[FIELDS] = {0};
    Parse p = {.fields = version == PROM_V1 ? FIELDS - 1 : FIELDS};
    uint32_t tag;

    *out = (PromHistogram){0};
    if (!count_elements(r, counts)) return false;
    if (!within_bounds(counts)) {
        rows->rejects.histograms++;
        rows->rejects.by_reason[REJECT_HISTOGRAM_INVALID]++;
        if (rows->rejects.first.code == ERR_OK)
            error_set(&rows->rejects.first, ERR_INVALID,
                      "a native histogram has more than %d spans, %d buckets or %d custom bounds",
                      HISTOGRAM_SPANS_MAX, HISTOGRAM_BUCKETS_MAX, HISTOGRAM_CUSTOM_MAX);
        return true;
    }
    p.h = ARENA_NEW(rows->arena, NativeHistogram);
    p.custom = ARENA_ARRAY(rows->arena, double, counts[16]);
    if (p.h == NULL || p.custom == NULL ||
        !side_alloc(rows->arena, &p.negative, &counts[8], &counts[9], &counts[10]) ||
        !side_alloc(rows->arena, &p.positive, &counts[11], &counts[12], &counts[13]))
        return out_of_memory(rows);
    while (!wire_at_end(&r))
        if (!wire_tag(&r, &tag) || !read_field(&r, tag, &p)) return false;
    return parse_finish(rows, &p, out);
}
