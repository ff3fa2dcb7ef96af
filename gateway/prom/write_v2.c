/*
 * write_v2.c: io.prometheus.write.v2.Request into rows.
 *
 * Labels come as numbers of symbols, so their canonical bytes have to be put together for each
 * series; from there on a series that is known is recognised as in 1.0, and has the same id.
 *
 * A series is walked twice: first for what decides about its samples (labels, metadata, when it was
 * created), which the wire may bring in any order, then for the samples.
 */
#include "gateway/prom/decode.h"

enum {
    REQUEST_SYMBOL = WIRE_TAG(4, WIRE_BYTES),
    REQUEST_SERIES = WIRE_TAG(5, WIRE_BYTES),
    SERIES_REFS = WIRE_TAG(1, WIRE_BYTES),
    SERIES_REF = WIRE_TAG(1, WIRE_VARINT),
    SERIES_SAMPLE = WIRE_TAG(2, WIRE_BYTES),
    SERIES_HISTOGRAM = WIRE_TAG(3, WIRE_BYTES),
    SERIES_EXEMPLAR = WIRE_TAG(4, WIRE_BYTES),
    SERIES_METADATA = WIRE_TAG(5, WIRE_BYTES),
    SERIES_CREATED = WIRE_TAG(6, WIRE_VARINT),
};

/* One more than is accepted is enough to see that there are too many. */
enum { PAIRS_KEPT_MAX = SERIES_LABELS_MAX + 1 };

/* Pairs of symbols as they come in. */
typedef struct Refs {
    LabelScratch pairs;
    size_t count;     /* of numbers, two a label */
    uint64_t unknown; /* a number that is no symbol's, plus one; 0: none was */
} Refs;

typedef struct Walk {
    Rows *rows;
    const Str *symbols;
    size_t symbol_count;
    Refs series, exemplar;
} Walk;

typedef struct SeriesHead {
    int64_t created_ms;
    uint32_t type, help_ref, unit_ref;
} SeriesHead;

static Str symbol(const Walk *walk, uint32_t ref) {
    return ref < walk->symbol_count ? walk->symbols[ref] : STR("");
}

static void refs_clear(Refs *refs) {
    refs->pairs.count = 0;
    refs->count = 0;
    refs->unknown = 0;
}

static bool refs_add(const Walk *walk, Refs *refs, uint32_t ref) {
    LabelScratch *pairs = &refs->pairs;

    if (ref >= walk->symbol_count) refs->unknown = (uint64_t)ref + 1;
    if (refs->count++ % 2 == 0) {
        if (pairs->count == PAIRS_KEPT_MAX) return true;
        if (!label_scratch_reserve(pairs, pairs->count + 1, walk->rows->arena)) {
            rows_fail(walk->rows, ERR_LIMIT, "no memory left for the labels of this request");
            return false;
        }
        pairs->pairs[pairs->count++] = (LabelPair){symbol(walk, ref), STR("")};
    } else {
        pairs->pairs[pairs->count - 1].value = symbol(walk, ref);
    }
    return true;
}

static bool read_refs(WireReader *r, const Walk *walk, Refs *refs) {
    WireReader packed;
    uint32_t ref;

    if (!wire_message(r, &packed)) return false;
    while (!wire_at_end(&packed))
        if (!wire_uint32(&packed, &ref) || !refs_add(walk, refs, ref)) return false;
    return true;
}

static bool read_ref(WireReader *r, const Walk *walk, Refs *refs) {
    uint32_t ref;

    return wire_uint32(r, &ref) && refs_add(walk, refs, ref);
}

static bool read_metadata(WireReader *r, SeriesHead *head) {
    WireReader metadata;
    uint32_t tag;

    if (!wire_message(r, &metadata)) return false;
    while (!wire_at_end(&metadata)) {
        bool ok;

        if (!wire_tag(&metadata, &tag)) return false;
        switch (tag) {
        case WIRE_TAG(1, WIRE_VARINT):
            ok = wire_uint32(&metadata, &head->type);
            break;
        case WIRE_TAG(3, WIRE_VARINT):
            ok = wire_uint32(&metadata, &head->help_ref);
            break;
        case WIRE_TAG(4, WIRE_VARINT):
            ok = wire_uint32(&metadata, &head->unit_ref);
            break;
        default:
            ok = (tag >> 3 == 2 || tag >> 3 > 4) && wire_skip(&metadata, tag);
        }
        if (!ok) return false;
    }
    return true;
}

static bool read_head(Walk *walk, WireReader r, SeriesHead *head) {
    uint32_t tag;

    refs_clear(&walk->series);
    while (!wire_at_end(&r)) {
        bool ok;

        if (!wire_tag(&r, &tag)) return false;
        switch (tag) {
        case SERIES_REFS:
            ok = read_refs(&r, walk, &walk->series);
            break;
        case SERIES_REF:
            ok = read_ref(&r, walk, &walk->series);
            break;
        case SERIES_METADATA:
            ok = read_metadata(&r, head);
            break;
        case SERIES_CREATED:
            ok = wire_int64(&r, &head->created_ms);
            break;
        case SERIES_SAMPLE:
        case SERIES_HISTOGRAM:
        case SERIES_EXEMPLAR:
            ok = wire_skip(&r, tag);
            break;
        default:
            ok = tag >> 3 > 6 && wire_skip(&r, tag);
        }
        if (!ok) return false;
    }
    return true;
}

static bool decode_sample(Rows *rows, WireReader r, int64_t created_ms) {
    double value = 0;
    int64_t time_ms = 0, start_ms = 0;
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
        case WIRE_TAG(3, WIRE_VARINT):
            ok = wire_int64(&r, &start_ms);
            break;
        default:
            ok = tag >> 3 > 3 && wire_skip(&r, tag);
        }
        if (!ok) return false;
    }
    rows_sample(rows, time_ms, value, start_ms != 0 ? start_ms : created_ms);
    return true;
}

static bool decode_histogram(Rows *rows, WireReader r, int64_t created_ms) {
    PromHistogram got;

    if (!prom_decode_histogram(rows, PROM_V2, r, &got)) return false;
    if (got.histogram != NULL)
        rows_histogram(rows, got.time_ms, got.histogram,
                       got.start_ms != 0 ? got.start_ms : created_ms);
    return true;
}

static bool decode_exemplar(Walk *walk, WireReader r) {
    Refs *refs = &walk->exemplar;
    double value = 0;
    int64_t time_ms = 0;
    uint32_t tag;

    refs_clear(refs);
    while (!wire_at_end(&r)) {
        bool ok;

        if (!wire_tag(&r, &tag)) return false;
        switch (tag) {
        case SERIES_REFS:
            ok = read_refs(&r, walk, refs);
            break;
        case SERIES_REF:
            ok = read_ref(&r, walk, refs);
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
    /* What can't be read as labels is refused as too many of them are. */
    rows_exemplar(walk->rows, time_ms, value, refs->pairs.pairs,
                  refs->unknown != 0 || refs->count % 2 != 0 ? SIZE_MAX : refs->pairs.count);
    return true;
}

static bool decode_items(Walk *walk, WireReader r, int64_t created_ms) {
    WireReader message;
    uint32_t tag;

    while (!wire_at_end(&r)) {
        bool ok;

        if (!wire_tag(&r, &tag)) return false;
        switch (tag) {
        case SERIES_SAMPLE:
            ok = wire_message(&r, &message) && decode_sample(walk->rows, message, created_ms);
            break;
        case SERIES_HISTOGRAM:
            ok = wire_message(&r, &message) && decode_histogram(walk->rows, message, created_ms);
            break;
        case SERIES_EXEMPLAR:
            ok = wire_message(&r, &message) && decode_exemplar(walk, message);
            break;
        default:
            ok = wire_skip(&r, tag); /* read_head() looked at the rest */
        }
        if (!ok) return false;
    }
    return true;
}

static void put_metadata(Walk *walk, const SeriesHead *head, MetricType type) {
    LabelPairs labels = {walk->series.pairs.pairs, walk->series.pairs.count};

    if (head->type == 0 && head->help_ref == 0 && head->unit_ref == 0) return;
    rows_metadata(walk->rows, rows_family(labels_get(labels, LABEL_NAME), type), type,
                  symbol(walk, head->help_ref), symbol(walk, head->unit_ref));
}

static bool decode_series(Walk *walk, WireReader r) {
    Rows *rows = walk->rows;
    Refs *refs = &walk->series;
    SeriesHead head = {0};
    MetricType type;
    size_t row_count = rows->batch.row_count;

    if (!read_head(walk, r, &head)) return false;
    type = head.type <= METRIC_STATESET ? (MetricType)head.type : METRIC_UNKNOWN;
    rows_begin_pairs(rows, refs->pairs.pairs, refs->pairs.count);
    rows_type(rows, type);
    if (refs->count % 2 != 0)
        rows_refuse(rows, REJECT_LABEL_INVALID, "a series has an odd number of labels_refs, %zu",
                    refs->count);
    else if (refs->unknown != 0)
        rows_refuse(rows, REJECT_LABEL_INVALID, "labels_refs has %llu, but there are %zu symbols",
                    (unsigned long long)refs->unknown - 1, walk->symbol_count);
    if (!decode_items(walk, r, head.created_ms)) return false;
    rows_end(rows);
    if (rows->batch.row_count > row_count) put_metadata(walk, &head, type);
    return true;
}

/* Symbols may stand anywhere, so they are collected first. */
static bool read_symbols(Walk *walk, WireReader body, size_t *series_count) {
    WireReader r = body;
    Str *symbols;
    size_t count = 0;
    uint32_t tag;

    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return false;
        /* Fields 1 to 3 are 1.0's: a request of that kind under this name comes out empty, and
         * the counts in the answer tell its sender so. */
        if ((tag >> 3 == 4 || tag >> 3 == 5) && (tag & 7) != WIRE_BYTES) return false;
        if (!wire_skip(&r, tag)) return false;
        count += tag == REQUEST_SYMBOL;
        *series_count += tag == REQUEST_SERIES;
    }
    symbols = arena_alloc(walk->rows->arena, MAX(count, (size_t)1) * sizeof *symbols);
    if (symbols == NULL) {
        rows_fail(walk->rows, ERR_LIMIT, "no memory left for the symbols of this request");
        return false;
    }
    r = body;
    for (size_t i = 0; i < count;) {
        if (!wire_tag(&r, &tag)) return false;
        if (!(tag == REQUEST_SYMBOL ? wire_bytes(&r, &symbols[i]) : wire_skip(&r, tag)))
            return false;
        i += tag == REQUEST_SYMBOL;
    }
    walk->symbols = symbols;
    walk->symbol_count = count;
    return true;
}

static ErrCode malformed(const Rows *rows, Error *err) {
    if (rows_failed(rows)) return rows_finish(rows, err);
    return error_set(err, ERR_INVALID, "the body is not a valid io.prometheus.write.v2.Request");
}

ErrCode prom_decode_v2(Rows *rows, Str body, Error *err) {
    Walk walk = {.rows = rows};
    WireReader r = wire_reader(body), message;
    size_t series_count = 0;
    uint32_t tag;

    if (!read_symbols(&walk, r, &series_count)) return malformed(rows, err);
    rows_reserve(rows, series_count, body.len);
    while (!wire_at_end(&r)) {
        bool ok;

        if (!wire_tag(&r, &tag)) return malformed(rows, err);
        if (tag == REQUEST_SERIES)
            ok = wire_message(&r, &message) && decode_series(&walk, message);
        else
            ok = wire_skip(&r, tag);
        if (!ok || rows_failed(rows)) return malformed(rows, err);
    }
    return rows_finish(rows, err);
}
