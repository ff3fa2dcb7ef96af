/*
 * metrics.c: ExportMetricsServiceRequest into rows.
 *
 * Messages are walked twice where what comes last decides about what comes first: a resource before
 * its metrics, a metric's name and unit before its points.
 *
 * One data point is one or, for classic histograms and summaries, several samples, each of a series
 * of its own. Its labels are made once.
 */
#include <stdio.h>

#include "common/base/number.h"
#include "gateway/otlp/decode.h"
#include "gateway/otlp/native.h"
#include "gateway/otlp/resource.h"

enum {
    REQUEST_RESOURCE_METRICS = WIRE_TAG(1, WIRE_BYTES),
    RESOURCE_METRICS_RESOURCE = WIRE_TAG(1, WIRE_BYTES),
    RESOURCE_METRICS_SCOPE = WIRE_TAG(2, WIRE_BYTES),
    SCOPE_METRICS_SCOPE = WIRE_TAG(1, WIRE_BYTES),
    SCOPE_METRICS_METRIC = WIRE_TAG(2, WIRE_BYTES),
    SCOPE_METRICS_SCHEMA = WIRE_TAG(3, WIRE_BYTES),
    METRIC_NAME = WIRE_TAG(1, WIRE_BYTES),
    METRIC_DESCRIPTION = WIRE_TAG(2, WIRE_BYTES),
    METRIC_UNIT = WIRE_TAG(3, WIRE_BYTES),
    DATA_POINT = WIRE_TAG(1, WIRE_BYTES), /* of every kind */
    DATA_TEMPORALITY = WIRE_TAG(2, WIRE_VARINT),
    SUM_MONOTONIC = WIRE_TAG(3, WIRE_VARINT),
};

enum { TARGET_SAMPLES_MAX = 1000, EXEMPLAR_LABELS_MAX = 64, EXEMPLAR_RUNES_MAX = 128 };
/* Half of the time that an instant query looks back, so that each finds one. */
static const uint64_t TARGET_INTERVAL_NS = UINT64_C(150000000000);

typedef struct Metric {
    Str sent_name, description, unit;
    Str name; /* Prometheus' */
    OtlpMetricKind kind;
    WireReader data;
    bool has_data, monotonic, delta;
    uint32_t temporality;
    MetricType type;
} Metric;

typedef struct Exemplar {
    int64_t time_ms;
    double value;
    LabelPair *pairs;
    size_t count;
} Exemplar;

typedef struct Walk {
    Rows *rows;
    Arena *arena;
    const OtlpSettings *settings;
    OtlpOutcome *outcome;
    OtlpResource resource;
    OtlpLabels scope; /* otel_scope_*, where they are wanted */
    OtlpLabels point;
    LabelPair *pairs; /* of the series being written */
    size_t pair_capacity;
    uint64_t earliest_ns, latest_ns; /* of the resource's points */
    Exemplar *exemplars;
    size_t exemplar_count, exemplar_capacity;
} Walk;

static const Str METRIC_LABEL = STR_INIT("__name__");

static ErrCode malformed(Error *err, const char *what) {
    return error_set(err, ERR_CORRUPT,
                     "the body is not an ExportMetricsServiceRequest: %s can't be "
                     "read",
                     what);
}

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory left for the samples of this request");
}

/* A point, or all of a metric's, that can't be stored. */
static void reject(Walk *walk, uint64_t points, const Error *why) {
    if (walk->outcome->rejected == 0) walk->outcome->first = *why;
    walk->outcome->rejected += points;
}

static bool skip_name(const OtlpSettings *settings, Str key) {
    (void)settings;
    return str_equal(key, METRIC_LABEL);
}

static int64_t to_ms(uint64_t ns) {
    return (int64_t)(ns / 1000000);
}

static double stale_or(bool stale, double v) {
    uint64_t bits = STALE_NAN_BITS;

    if (stale) memcpy(&v, &bits, sizeof v);
    return v;
}

/* ---------- rows ---------- */

/* Opens the row of one of the point's series: its labels, its name, and one more label (a NULL
 * name: none), which counts more than an attribute of that name. */
static ErrCode begin_row(Walk *walk, const Metric *metric, Str name, Str extra_name, Str extra,
                         Error *err) {
    const OtlpLabels *point = &walk->point;
    size_t count = 0;

    if (point->count + 2 > walk->pair_capacity) {
        walk->pair_capacity = 2 * point->count + 16;
        walk->pairs = ARENA_ARRAY(walk->arena, LabelPair, walk->pair_capacity);
        if (walk->pairs == NULL) {
            walk->pair_capacity = 0;
            return out_of_memory(err);
        }
    }
    for (size_t i = 0; i < point->count; i++)
        if (extra_name.ptr == NULL || !str_equal(point->pairs[i].name, extra_name))
            walk->pairs[count++] = point->pairs[i];
    walk->pairs[count++] = (LabelPair){METRIC_LABEL, name};
    if (extra_name.ptr != NULL) walk->pairs[count++] = (LabelPair){extra_name, extra};
    rows_begin_pairs(walk->rows, walk->pairs, count);
    rows_type(walk->rows, metric->type);
    return ERR_OK;
}

static ErrCode add_sample(Walk *walk, const Metric *metric, const OtlpPoint *point, Str name,
                          double value, Error *err) {
    TRY(begin_row(walk, metric, name, (Str){NULL, 0}, STR(""), err));
    rows_sample(walk->rows, to_ms(point->time_ns), stale_or(point->no_value, value), 0);
    return ERR_OK;
}

static void add_exemplars(Walk *walk, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        Exemplar *exemplar = &walk->exemplars[i];

        rows_exemplar(walk->rows, exemplar->time_ms, exemplar->value, exemplar->pairs,
                      exemplar->count);
    }
}

static Str suffixed(Walk *walk, Str name, const char *suffix) {
    return str_format(walk->arena, STR_FMT "%s", STR_ARG(name), suffix);
}

/* ---------- exemplars ---------- */

static size_t runes(Str s) {
    size_t count = 0;

    for (size_t i = 0; i < s.len; i++) count += ((uint8_t)s.ptr[i] & 0xc0) != 0x80;
    return count;
}

static bool all_zero(Str id) {
    for (size_t i = 0; i < id.len; i++)
        if (id.ptr[i] != 0) return false;
    return true;
}

/* Filtered attributes are kept only where all of them fit into what OpenMetrics allows. */
static ErrCode add_filtered(Walk *walk, WireReader message, size_t used, Exemplar *exemplar,
                            Error *err) {
    size_t ids = exemplar->count;
    OtlpAttribute attribute;
    bool more;

    for (;;) {
        Str text;
        bool is_id = false;

        if (!otlp_next_attribute(&message, 7, &attribute, &more))
            return malformed(err, "exemplars");
        if (!more) return ERR_OK;
        for (size_t i = 0; i < ids; i++)
            is_id = is_id || str_equal(attribute.key, exemplar->pairs[i].name);
        if (is_id) continue;
        TRY(otlp_value_text(&attribute.value, walk->arena, &text, err));
        used += runes(attribute.key) + runes(text);
        if (used > EXEMPLAR_RUNES_MAX || exemplar->count == EXEMPLAR_LABELS_MAX) {
            exemplar->count = ids;
            return ERR_OK;
        }
        exemplar->pairs[exemplar->count++] = (LabelPair){attribute.key, text};
    }
}

static ErrCode read_exemplar(Walk *walk, WireReader message, Exemplar *out, Error *err) {
    WireReader r = message;
    Str span = STR(""), trace = STR("");
    uint64_t bits = 0;
    size_t used = 0;
    uint32_t tag;

    *out = (Exemplar){.pairs = ARENA_ARRAY(walk->arena, LabelPair, EXEMPLAR_LABELS_MAX)};
    if (out->pairs == NULL) return out_of_memory(err);
    while (!wire_at_end(&r)) {
        bool ok;

        if (!wire_tag(&r, &tag)) return malformed(err, "exemplars");
        switch (tag) {
        case WIRE_TAG(2, WIRE_FIXED64):
            ok = wire_fixed64(&r, &bits);
            out->time_ms = to_ms(bits);
            break;
        case WIRE_TAG(3, WIRE_FIXED64):
            ok = wire_double(&r, &out->value);
            break;
        case WIRE_TAG(6, WIRE_FIXED64):
            ok = wire_fixed64(&r, &bits);
            out->value = (double)(int64_t)bits;
            break;
        case WIRE_TAG(4, WIRE_BYTES):
            ok = wire_bytes(&r, &span);
            break;
        case WIRE_TAG(5, WIRE_BYTES):
            ok = wire_bytes(&r, &trace);
            break;
        default:
            ok = wire_skip(&r, tag);
        }
        if (!ok) return malformed(err, "exemplars");
    }
    if (!all_zero(trace) && trace.len <= 16)
        out->pairs[out->count++] = (LabelPair){STR("trace_id"), otlp_hex(trace, walk->arena)};
    if (!all_zero(span) && span.len <= 8)
        out->pairs[out->count++] = (LabelPair){STR("span_id"), otlp_hex(span, walk->arena)};
    for (size_t i = 0; i < out->count; i++) {
        if (out->pairs[i].value.ptr == NULL) return out_of_memory(err);
        used += out->pairs[i].name.len + out->pairs[i].value.len;
    }
    return add_filtered(walk, message, used, out, err);
}

static ErrCode read_exemplars(Walk *walk, const OtlpPoint *point, Error *err) {
    WireReader r = point->message, message;
    uint32_t tag;

    walk->exemplar_count = 0;
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "exemplars");
        if (tag != WIRE_TAG(point->exemplars, WIRE_BYTES)) {
            if (!wire_skip(&r, tag)) return malformed(err, "exemplars");
            continue;
        }
        if (!wire_message(&r, &message)) return malformed(err, "exemplars");
        if (!rows_grow(walk->rows, (void **)&walk->exemplars, walk->exemplar_count,
                       &walk->exemplar_capacity, sizeof *walk->exemplars))
            return out_of_memory(err);
        TRY(read_exemplar(walk, message, &walk->exemplars[walk->exemplar_count], err));
        walk->exemplar_count++;
    }
    return ERR_OK;
}

/* ---------- points ---------- */

static ErrCode add_number(Walk *walk, const Metric *metric, const OtlpPoint *point, Error *err) {
    TRY(add_sample(walk, metric, point, metric->name, point->value, err));
    if (metric->kind == OTLP_SUM) add_exemplars(walk, 0, walk->exemplar_count);
    rows_end(walk->rows);
    return ERR_OK;
}

/* le="0.25": plain decimals, as Prometheus writes bounds. */
static Str bound_text(Walk *walk, double bound) {
    char digits[NUMBER_DIGITS_MAX + 1];
    int exponent, count;
    char *out;
    size_t at = 0;

    if (bound != bound) return STR("NaN");
    if (bound * 0 != 0) return bound > 0 ? STR("+Inf") : STR("-Inf");
    if (bound == 0) return __builtin_signbit(bound) ? STR("-0") : STR("0");
    count = number_shortest(bound < 0 ? -bound : bound, digits, &exponent);
    out = arena_alloc_bytes(walk->arena, (size_t)(exponent < 0 ? -exponent : exponent) + 32);
    if (out == NULL) return (Str){NULL, 0};
    if (bound < 0) out[at++] = '-';
    if (exponent < 0) {
        out[at++] = '0';
        out[at++] = '.';
        for (int i = -1; i > exponent; i--) out[at++] = '0';
    }
    for (int i = 0; i < MAX(count, exponent + 1); i++) {
        if (i > 0 && i == exponent + 1 && exponent >= 0) out[at++] = '.';
        out[at++] = i < count ? digits[i] : '0';
    }
    return (Str){out, at};
}

static ErrCode add_bucket(Walk *walk, const Metric *metric, const OtlpPoint *point, Str name,
                          Str bound, double count, Error *err) {
    if (bound.ptr == NULL) return out_of_memory(err);
    TRY(begin_row(walk, metric, name, STR("le"), bound, err));
    rows_sample(walk->rows, to_ms(point->time_ns), stale_or(point->no_value, count), 0);
    return ERR_OK;
}

static ErrCode add_classic(Walk *walk, const Metric *metric, const OtlpPoint *point, Error *err) {
    Str bucket = suffixed(walk, metric->name, "_bucket");
    Str sum = suffixed(walk, metric->name, "_sum"), count = suffixed(walk, metric->name, "_count");
    uint64_t below = 0;
    size_t next = 0;

    if (bucket.ptr == NULL || sum.ptr == NULL || count.ptr == NULL) return out_of_memory(err);
    if (point->has_sum) {
        TRY(add_sample(walk, metric, point, sum, point->sum, err));
        rows_end(walk->rows);
    }
    TRY(add_sample(walk, metric, point, count, (double)point->count, err));
    rows_end(walk->rows);
    for (uint32_t i = 0; i < MIN(point->bound_count, point->buckets.count); i++) {
        double bound = point->bounds[i];
        size_t first = next;

        below += point->buckets.counts[i];
        if (bound > 0 && bound * 0 != 0) continue; /* +Inf, which is the count's */
        while (next < walk->exemplar_count && walk->exemplars[next].value <= bound) next++;
        TRY(add_bucket(walk, metric, point, bucket, bound_text(walk, bound), (double)below, err));
        add_exemplars(walk, first, next);
        rows_end(walk->rows);
    }
    TRY(add_bucket(walk, metric, point, bucket, STR("+Inf"), (double)point->count, err));
    add_exemplars(walk, next, walk->exemplar_count);
    rows_end(walk->rows);
    return ERR_OK;
}

static ErrCode add_native(Walk *walk, const Metric *metric, const OtlpPoint *point, Error *err) {
    NativeHistogram *histogram;

    TRY(metric->kind == OTLP_EXPONENTIAL
            ? otlp_native_exponential(point, metric->delta, walk->arena, &histogram, err)
            : otlp_native_explicit(point, metric->delta, walk->arena, &histogram, err));
    TRY(begin_row(walk, metric, metric->name, (Str){NULL, 0}, STR(""), err));
    rows_histogram(walk->rows, to_ms(point->time_ns), histogram, 0);
    add_exemplars(walk, 0, walk->exemplar_count);
    rows_end(walk->rows);
    return ERR_OK;
}

static ErrCode add_summary(Walk *walk, const Metric *metric, const OtlpPoint *point, Error *err) {
    Str sum = suffixed(walk, metric->name, "_sum"), count = suffixed(walk, metric->name, "_count");
    WireReader r = point->message;
    double quantile, value;
    bool more;

    if (sum.ptr == NULL || count.ptr == NULL) return out_of_memory(err);
    TRY(add_sample(walk, metric, point, sum, point->sum, err));
    rows_end(walk->rows);
    TRY(add_sample(walk, metric, point, count, (double)point->count, err));
    rows_end(walk->rows);
    for (;;) {
        Str text;

        if (!otlp_next_quantile(&r, &quantile, &value, &more)) return malformed(err, "a summary");
        if (!more) return ERR_OK;
        text = bound_text(walk, quantile);
        if (text.ptr == NULL) return out_of_memory(err);
        TRY(begin_row(walk, metric, metric->name, STR("quantile"), text, err));
        rows_sample(walk->rows, to_ms(point->time_ns), stale_or(point->no_value, value), 0);
        rows_end(walk->rows);
    }
}

static ErrCode make_labels(Walk *walk, const OtlpPoint *point, Error *err) {
    otlp_labels_clear(&walk->point);
    TRY(otlp_labels_add(&walk->point, point->message, point->attributes, skip_name, err));
    TRY(otlp_resource_apply(&walk->resource, &walk->point, err));
    for (size_t i = 0; i < walk->scope.count; i++)
        TRY(otlp_labels_set(&walk->point, walk->scope.pairs[i].name, walk->scope.pairs[i].value,
                            err));
    return ERR_OK;
}

static ErrCode add_point(Walk *walk, const Metric *metric, const OtlpPoint *point, Error *err) {
    TRY(make_labels(walk, point, err));
    TRY(read_exemplars(walk, point, err));
    if (metric->kind == OTLP_GAUGE || metric->kind == OTLP_SUM)
        return add_number(walk, metric, point, err);
    if (metric->kind == OTLP_SUMMARY) return add_summary(walk, metric, point, err);
    if (metric->kind == OTLP_HISTOGRAM && !walk->settings->custom_buckets)
        return add_classic(walk, metric, point, err);
    return add_native(walk, metric, point, err);
}

/* One point; what is wrong with it alone is counted, and the rest goes on. */
static ErrCode walk_point(Walk *walk, const Metric *metric, WireReader message, Error *err) {
    Rejects *rejects = &walk->rows->rejects;
    uint64_t before = rejects->samples + rejects->histograms;
    OtlpPoint point;
    ErrCode code = otlp_read_point(metric->kind, message, walk->arena, &point, err);

    walk->outcome->points++;
    walk->earliest_ns = MIN(walk->earliest_ns, point.time_ns);
    walk->latest_ns = MAX(walk->latest_ns, point.time_ns);
    if (code == ERR_OK) code = add_point(walk, metric, &point, err);
    if (code == ERR_INVALID) {
        reject(walk, 1, err);
        rejects->by_reason[REJECT_LABEL_INVALID]++;
        return ERR_OK;
    }
    if (code == ERR_OK && rejects->samples + rejects->histograms > before)
        reject(walk, 1, &rejects->first);
    return code != ERR_OK ? code : rows_finish(walk->rows, err);
}

/* ---------- metrics ---------- */

static MetricType type_of(const Metric *metric) {
    if (metric->delta) return METRIC_UNKNOWN;
    switch (metric->kind) {
    case OTLP_SUM:
        return metric->monotonic ? METRIC_COUNTER : METRIC_GAUGE;
    case OTLP_HISTOGRAM:
    case OTLP_EXPONENTIAL:
        return METRIC_HISTOGRAM;
    case OTLP_SUMMARY:
        return METRIC_SUMMARY;
    default:
        return METRIC_GAUGE;
    }
}

static bool read_data(Metric *metric, uint32_t kind, WireReader data) {
    uint32_t tag, monotonic = 0;

    metric->kind = (OtlpMetricKind)kind;
    metric->data = data;
    metric->has_data = true;
    metric->monotonic = false;
    metric->temporality = 0;
    while (!wire_at_end(&data)) {
        bool ok;

        if (!wire_tag(&data, &tag)) return false;
        if (tag == DATA_TEMPORALITY) {
            ok = wire_uint32(&data, &metric->temporality);
        } else if (tag == SUM_MONOTONIC && kind == OTLP_SUM) {
            ok = wire_uint32(&data, &monotonic);
            metric->monotonic = ok && monotonic != 0;
        } else {
            ok = wire_skip(&data, tag);
        }
        if (!ok) return false;
    }
    return true;
}

static bool read_metric(WireReader r, Metric *metric) {
    WireReader data;
    uint32_t tag;

    *metric = (Metric){.sent_name = STR(""), .description = STR(""), .unit = STR("")};
    while (!wire_at_end(&r)) {
        bool ok;

        if (!wire_tag(&r, &tag)) return false;
        switch (tag) {
        case METRIC_NAME:
            ok = wire_bytes(&r, &metric->sent_name);
            break;
        case METRIC_DESCRIPTION:
            ok = wire_bytes(&r, &metric->description);
            break;
        case METRIC_UNIT:
            ok = wire_bytes(&r, &metric->unit);
            break;
        case WIRE_TAG(OTLP_GAUGE, WIRE_BYTES):
        case WIRE_TAG(OTLP_SUM, WIRE_BYTES):
        case WIRE_TAG(OTLP_HISTOGRAM, WIRE_BYTES):
        case WIRE_TAG(OTLP_EXPONENTIAL, WIRE_BYTES):
        case WIRE_TAG(OTLP_SUMMARY, WIRE_BYTES):
            ok = wire_message(&r, &data) && read_data(metric, tag >> 3, data);
            break;
        default:
            ok = wire_skip(&r, tag);
        }
        if (!ok) return false;
    }
    return true;
}

static bool count_points(WireReader data, uint64_t *out) {
    uint32_t tag;

    *out = 0;
    while (!wire_at_end(&data)) {
        if (!wire_tag(&data, &tag) || !wire_skip(&data, tag)) return false;
        *out += tag == DATA_POINT;
    }
    return true;
}

/* What holds for all points of the metric. ERR_INVALID: none of them can be stored. */
static ErrCode prepare_metric(const Walk *walk, Metric *metric, Error *err) {
    bool has_temporality = metric->kind != OTLP_GAUGE && metric->kind != OTLP_SUMMARY;
    OtlpMetricName name;

    if (has_temporality && metric->temporality != OTLP_CUMULATIVE) {
        if (metric->temporality != OTLP_DELTA || !walk->settings->keep_delta)
            return error_set(err, ERR_INVALID,
                             "metric \"" STR_FMT "\" has %s temporality; have the SDK send "
                             "cumulative ones%s",
                             STR_ARG(str_slice(metric->sent_name, 0, 100)),
                             metric->temporality == OTLP_DELTA ? "delta" : "no known",
                             metric->temporality == OTLP_DELTA
                                 ? ", or set otlp.delta to keep to store deltas as they are"
                                 : "");
        metric->delta = true;
    }
    name = (OtlpMetricName){.name = metric->sent_name,
                            .unit = metric->unit,
                            .counter = metric->kind == OTLP_SUM && metric->monotonic,
                            .gauge = metric->kind == OTLP_GAUGE};
    metric->type = type_of(metric);
    return otlp_metric_name(walk->settings->translation, &name, walk->arena, &metric->name, err);
}

static ErrCode walk_metric(Walk *walk, WireReader message, Error *err) {
    WireReader r, point;
    Metric metric;
    uint32_t tag;
    ErrCode code;
    Str unit;

    if (!read_metric(message, &metric)) return malformed(err, "a metric");
    if (!metric.has_data) return ERR_OK;
    code = prepare_metric(walk, &metric, err);
    if (code == ERR_INVALID) {
        uint64_t points;

        if (!count_points(metric.data, &points)) return malformed(err, "a metric");
        walk->outcome->points += points;
        reject(walk, points, err);
        return ERR_OK;
    }
    if (code != ERR_OK) return code;
    unit = otlp_unit_name(metric.unit, walk->arena);
    if (unit.ptr == NULL) return out_of_memory(err);
    rows_metadata(walk->rows, metric.name, metric.type, metric.description, unit);
    for (r = metric.data; !wire_at_end(&r);) {
        if (!wire_tag(&r, &tag)) return malformed(err, "a metric");
        if (tag != DATA_POINT) {
            if (!wire_skip(&r, tag)) return malformed(err, "a metric");
            continue;
        }
        if (!wire_message(&r, &point)) return malformed(err, "a data point");
        TRY(walk_point(walk, &metric, point, err));
    }
    return ERR_OK;
}

/* ---------- scopes and resources ---------- */

/* A scope without a name gives nothing. */
static ErrCode read_scope(Walk *walk, WireReader message, Str schema, Error *err) {
    Str name = STR(""), version = STR("");
    WireReader r = message;
    uint32_t tag;

    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "a scope");
        if (!(tag == WIRE_TAG(1, WIRE_BYTES)   ? wire_bytes(&r, &name)
              : tag == WIRE_TAG(2, WIRE_BYTES) ? wire_bytes(&r, &version)
                                               : wire_skip(&r, tag)))
            return malformed(err, "a scope");
    }
    if (name.len == 0) return ERR_OK;
    for (;;) {
        OtlpAttribute attribute;
        Str label, text;
        bool more;

        if (!otlp_next_attribute(&message, 3, &attribute, &more)) return malformed(err, "a scope");
        if (!more) break;
        label = str_format(walk->arena, "otel_scope_" STR_FMT, STR_ARG(attribute.key));
        if (label.ptr == NULL) return out_of_memory(err);
        TRY(otlp_labels_name(&walk->scope, label, &label, err));
        TRY(otlp_value_text(&attribute.value, walk->arena, &text, err));
        TRY(otlp_labels_set(&walk->scope, label, text, err));
    }
    TRY(otlp_labels_set(&walk->scope, STR("otel_scope_name"), name, err));
    TRY(otlp_labels_set(&walk->scope, STR("otel_scope_version"), version, err));
    return otlp_labels_set(&walk->scope, STR("otel_scope_schema_url"), schema, err);
}

static ErrCode walk_scope(Walk *walk, WireReader message, Error *err) {
    WireReader r = message, scope = {NULL, NULL}, metric;
    Str schema = STR("");
    uint32_t tag;

    otlp_labels_clear(&walk->scope);
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "scope metrics");
        if (!(tag == SCOPE_METRICS_SCOPE    ? wire_message(&r, &scope)
              : tag == SCOPE_METRICS_SCHEMA ? wire_bytes(&r, &schema)
                                            : wire_skip(&r, tag)))
            return malformed(err, "scope metrics");
    }
    if (walk->settings->scope_labels) {
        ErrCode code = read_scope(walk, scope, schema, err);

        if (code != ERR_OK && code != ERR_INVALID) return code;
        if (code == ERR_INVALID) otlp_labels_clear(&walk->scope);
    }
    for (r = message; !wire_at_end(&r);) {
        if (!wire_tag(&r, &tag)) return malformed(err, "scope metrics");
        if (tag != SCOPE_METRICS_METRIC) {
            if (!wire_skip(&r, tag)) return malformed(err, "scope metrics");
            continue;
        }
        if (!wire_message(&r, &metric)) return malformed(err, "a metric");
        TRY(walk_metric(walk, metric, err));
    }
    return ERR_OK;
}

/* target_info for the time that the resource's points span. */
static ErrCode add_target_info(Walk *walk, Error *err) {
    const Metric target = {.name = STR_INIT("target_info"), .type = METRIC_GAUGE};
    uint64_t at = walk->earliest_ns, end = walk->latest_ns;
    bool any;

    if (walk->settings->no_target_info || at > end) return ERR_OK;
    TRY(otlp_resource_target(&walk->resource, &walk->point, &any, err));
    if (!any) return ERR_OK;
    if ((end - at) / TARGET_INTERVAL_NS >= TARGET_SAMPLES_MAX) at = end;
    TRY(begin_row(walk, &target, target.name, (Str){NULL, 0}, STR(""), err));
    for (; at < end; at += TARGET_INTERVAL_NS) rows_sample(walk->rows, to_ms(at), 1, 0);
    rows_sample(walk->rows, to_ms(end), 1, 0);
    rows_end(walk->rows);
    rows_metadata(walk->rows, target.name, METRIC_GAUGE, STR("Target metadata"), STR(""));
    return rows_finish(walk->rows, err);
}

static ErrCode walk_resource(Walk *walk, WireReader message, Error *err) {
    WireReader r = message, resource = {NULL, NULL}, scope;
    ErrCode code;
    uint32_t tag;

    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "resource metrics");
        if (!(tag == RESOURCE_METRICS_RESOURCE ? wire_message(&r, &resource) : wire_skip(&r, tag)))
            return malformed(err, "resource metrics");
    }
    walk->earliest_ns = UINT64_MAX;
    walk->latest_ns = 0;
    code = otlp_resource_read(&walk->resource, resource, err);
    /* Attributes that can't be labels are no reason to lose what was measured. */
    if (code != ERR_OK && code != ERR_INVALID) return code;
    for (r = message; !wire_at_end(&r);) {
        if (!wire_tag(&r, &tag)) return malformed(err, "resource metrics");
        if (tag != RESOURCE_METRICS_SCOPE) {
            if (!wire_skip(&r, tag)) return malformed(err, "resource metrics");
            continue;
        }
        if (!wire_message(&r, &scope)) return malformed(err, "scope metrics");
        TRY(walk_scope(walk, scope, err));
    }
    code = add_target_info(walk, err);
    return code == ERR_INVALID ? ERR_OK : code;
}

ErrCode otlp_decode_metrics(Rows *rows, const OtlpSettings *settings, Str body,
                            OtlpOutcome *outcome, Error *err) {
    Walk walk = {.rows = rows, .arena = rows->arena, .settings = settings, .outcome = outcome};
    WireReader r = wire_reader(body), message;
    uint32_t tag;

    *outcome = (OtlpOutcome){0};
    TRY(otlp_resource_init(&walk.resource, settings, rows->arena, err));
    TRY(otlp_labels_init(&walk.scope, settings, rows->arena, err));
    TRY(otlp_labels_init(&walk.point, settings, rows->arena, err));
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "fields");
        if (tag != REQUEST_RESOURCE_METRICS) {
            if (!wire_skip(&r, tag)) return malformed(err, "fields");
            continue;
        }
        if (!wire_message(&r, &message)) return malformed(err, "resource metrics");
        TRY(walk_resource(&walk, message, err));
    }
    return rows_finish(rows, err);
}
