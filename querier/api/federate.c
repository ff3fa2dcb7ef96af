/*
 * federate.c: the newest sample of each series that matches, as a target's metrics page, for
 * another Prometheus to scrape. https://prometheus.io/docs/prometheus/latest/federation/
 *
 * In the text format, or in delimited protobuf (io.prometheus.client.MetricFamily) for who accepts
 * it; native histograms exist in the latter only, but for those with custom buckets, which are
 * classic histograms to a text.
 */
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "proto/wire/write.h"
#include "querier/api/internal.h"
#include "querier/exec/go_float.h"

typedef struct Newest {
    LabelSet labels;
    int64_t time_ms;
    double value;
    const NativeHistogram *histogram; /* NULL: a float */
} Newest;

typedef struct Federation {
    ApiCall *call;
    Newest *items;
    size_t count;
    size_t capacity;
    int64_t min_ms;
    int64_t now_ms;
} Federation;

/* As numbered in the protobuf format. */
typedef enum FamilyType {
    FAMILY_UNTYPED = 3,
    FAMILY_HISTOGRAM = 4,
    FAMILY_GAUGE_HISTOGRAM = 5,
} FamilyType;

/* ---------- collecting ---------- */

static ErrCode add_newest(Federation *federation, LabelSet labels, const SeriesSamples *samples,
                          Error *err) {
    Arena *arena = federation->call->arena;
    Newest newest = {.labels = labels, .time_ms = INT64_MIN};

    if (samples->count > 0) {
        newest.time_ms = samples->times[samples->count - 1];
        newest.value = samples->values[samples->count - 1];
    }
    if (samples->histogram_count > 0 &&
        samples->histogram_times[samples->histogram_count - 1] > newest.time_ms) {
        newest.time_ms = samples->histogram_times[samples->histogram_count - 1];
        newest.histogram = samples->histograms[samples->histogram_count - 1];
    }
    /* A page has no way to say stale; leaving the series out comes to that. */
    if (newest.time_ms == INT64_MIN ||
        (newest.histogram == NULL ? value_is_stale(newest.value)
                                  : histogram_is_stale(newest.histogram)))
        return ERR_OK;
    if (newest.histogram != NULL) {
        newest.histogram = histogram_dup(arena, newest.histogram);
        if (newest.histogram == NULL) return api_out_of_memory(err);
    }
    if (federation->count == federation->capacity) {
        size_t capacity = MAX(federation->capacity * 2, (size_t)1024);

        federation->items =
            arena_grow(arena, federation->items, federation->capacity * sizeof(Newest),
                       capacity * sizeof(Newest));
        if (federation->items == NULL) return api_out_of_memory(err);
        federation->capacity = capacity;
    }
    federation->items[federation->count++] = newest;
    return ERR_OK;
}

static ErrCode collect(Federation *federation, const SelectRequest *request, SeriesScratch *scratch,
                       Error *err) {
    ApiCall *call = federation->call;
    SelectRequest newest = *request;
    SeriesSet set;

    newest.labels_only = false;
    newest.newest_only = true;
    TRY(call->source->select(call->source, &call->query, &newest, &set, err));
    for (size_t i = 0; i < set.count; i++) {
        SeriesSamples samples;

        TRY(query_check(&call->query, err));
        TRY(set.read(&set, i, scratch, &samples, err));
        TRY(add_newest(federation, set.labels[i], &samples, err));
    }
    return ERR_OK;
}

static Str metric_name(const Symbols *symbols, const Newest *item) {
    return symbols_str(symbols, label_set_get(item->labels, SYMBOL_NAME));
}

static int compare_items(const void *a, const void *b, void *symbols) {
    const Newest *x = a, *y = b;
    int order = str_compare(metric_name(symbols, x), metric_name(symbols, y));

    return order != 0 ? order : label_set_compare(symbols, x->labels, y->labels);
}

/* Several selectors may have found the same series. */
static void sort_unique(Federation *federation) {
    size_t kept = 0;

    if (federation->count == 0) return;
    qsort_r(federation->items, federation->count, sizeof *federation->items, compare_items,
            federation->call->query.symbols);
    for (size_t i = 0; i < federation->count; i++)
        if (kept == 0 ||
            !label_set_equal(federation->items[kept - 1].labels, federation->items[i].labels))
            federation->items[kept++] = federation->items[i];
    federation->count = kept;
}

static FamilyType family_type(const Newest *item) {
    if (item->histogram == NULL) return FAMILY_UNTYPED;
    return item->histogram->hint == HISTOGRAM_HINT_GAUGE ? FAMILY_GAUGE_HISTOGRAM
                                                         : FAMILY_HISTOGRAM;
}

static bool has_custom_buckets(const Newest *item) {
    return item->histogram != NULL && item->histogram->schema == HISTOGRAM_SCHEMA_CUSTOM;
}

/* The counts of classic buckets, each less than or equal to its bound; the last one is +Inf's. */
static double *cumulative_counts(const NativeHistogram *h, Arena *arena) {
    double *counts = ARENA_ARRAY(arena, double, (size_t)h->custom_count + 1);
    int64_t bucket = 0;
    uint32_t at = 0;
    double sum = 0;

    if (counts == NULL) return NULL;
    for (uint32_t s = 0; s < h->positive_span_count; s++) {
        bucket += h->positive_spans[s].offset;
        for (uint32_t i = 0; i < h->positive_spans[s].length && at < h->positive_count; i++) {
            if (bucket >= 0 && bucket <= h->custom_count) counts[bucket] = h->positive[at];
            bucket++;
            at++;
        }
    }
    for (uint32_t i = 0; i <= h->custom_count; i++) counts[i] = sum += counts[i];
    return counts;
}

/* ---------- text ---------- */

static bool is_plain_name(Str name, bool colon) {
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i], lower = (char)(c | 0x20);

        if (!(c == '_' || (colon && c == ':') || (lower >= 'a' && lower <= 'z') ||
              (i > 0 && c >= '0' && c <= '9')))
            return false;
    }
    return name.len > 0;
}

static void put_quoted(Str text, Buf *out) {
    buf_append_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '\n')
            buf_append_str(out, STR("\\n"));
        else if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else
            buf_append_byte(out, c);
    }
    buf_append_byte(out, '"');
}

static void put_name(Str name, bool colon, Buf *out) {
    if (is_plain_name(name, colon))
        buf_append_str(out, name);
    else
        put_quoted(name, out);
}

/* One line; `suffix` goes onto the metric's name, `bound` (NULL: none) is the label le. */
static void put_line(const Symbols *symbols, const Newest *item, Str suffix, const double *bound,
                     double value, Buf *out) {
    Str name = metric_name(symbols, item);
    bool plain = is_plain_name(name, true), instance = false;
    const char *comma = "";

    if (plain) {
        buf_append_str(out, name);
        buf_append_str(out, suffix);
    }
    buf_append_byte(out, '{');
    if (!plain) {
        CLEANUP_IN_PLACE(buf_done) Buf whole;

        buf_init(&whole, 0);
        buf_append_str(&whole, name);
        buf_append_str(&whole, suffix);
        put_quoted(buf_str(&whole), out);
        comma = ",";
    }
    for (uint32_t i = 0; i < item->labels.count; i++) {
        Str label = symbols_str(symbols, item->labels.labels[i].name);

        if (item->labels.labels[i].name == SYMBOL_NAME) continue;
        instance = instance || str_equal(label, STR("instance"));
        buf_append_str(out, str_of(comma));
        put_name(label, false, out);
        buf_append_byte(out, '=');
        put_quoted(symbols_str(symbols, item->labels.labels[i].value), out);
        comma = ",";
    }
    /* Else the scraper would put its own there. */
    if (!instance) buf_printf(out, "%sinstance=\"\"", comma);
    if (bound != NULL) {
        buf_append_str(out, STR(",le=\""));
        go_append_g(out, *bound);
        buf_append_byte(out, '"');
    }
    buf_append_str(out, STR("} "));
    go_append_g(out, value);
    buf_printf(out, " %lld\n", (long long)item->time_ms);
}

static ErrCode put_text(const Federation *federation, const Newest *item, Buf *out, Error *err) {
    const Symbols *symbols = federation->call->query.symbols;
    const NativeHistogram *h = item->histogram;
    double *counts;

    if (h == NULL) {
        put_line(symbols, item, STR(""), NULL, item->value, out);
        return ERR_OK;
    }
    counts = cumulative_counts(h, federation->call->arena);
    if (counts == NULL) return api_out_of_memory(err);
    for (uint32_t i = 0; i <= h->custom_count; i++) {
        double bound = i < h->custom_count ? h->custom_values[i] : __builtin_inf();

        put_line(symbols, item, STR("_bucket"), &bound, counts[i], out);
    }
    put_line(symbols, item, STR("_sum"), NULL, h->sum, out);
    put_line(symbols, item, STR("_count"), NULL, h->count, out);
    return ERR_OK;
}

static ErrCode write_text(const Federation *federation, Buf *out, Error *err) {
    const Symbols *symbols = federation->call->query.symbols;
    Str family = {0};
    FamilyType type = FAMILY_UNTYPED;

    for (size_t i = 0; i < federation->count; i++) {
        const Newest *item = &federation->items[i];
        Str name = metric_name(symbols, item);

        if (name.len == 0 || (item->histogram != NULL && !has_custom_buckets(item))) continue;
        if (!str_equal(name, family) || family_type(item) != type) {
            family = name;
            type = family_type(item);
            buf_append_str(out, STR("# TYPE "));
            put_name(name, true, out);
            buf_append_str(out, type == FAMILY_UNTYPED ? STR(" untyped\n") : STR(" histogram\n"));
        }
        TRY(put_text(federation, item, out, err));
    }
    return ERR_OK;
}

/* ---------- protobuf ---------- */

static void put_label(Str name, Str value, Buf *out) {
    size_t label = wire_begin(out, 1);

    wire_put_bytes(out, 1, name);
    wire_put_bytes(out, 2, value);
    wire_end(out, label);
}

static void put_labels(const Symbols *symbols, LabelSet labels, Buf *out) {
    bool instance = false;

    for (uint32_t i = 0; i < labels.count; i++) {
        Str name = symbols_str(symbols, labels.labels[i].name);

        if (labels.labels[i].name == SYMBOL_NAME) continue;
        instance = instance || str_equal(name, STR("instance"));
        put_label(name, symbols_str(symbols, labels.labels[i].value), out);
    }
    if (!instance) put_label(STR("instance"), STR(""), out);
}

static void put_spans(const HistogramSpan *spans, uint32_t count, uint32_t field, Buf *out) {
    for (uint32_t i = 0; i < count; i++) {
        size_t span = wire_begin(out, field);

        wire_put_sint64(out, 1, spans[i].offset);
        wire_put_varint(out, 2, spans[i].length);
        wire_end(out, span);
    }
}

static ErrCode put_histogram(const Federation *federation, const NativeHistogram *h, Buf *out,
                             Error *err) {
    size_t message = wire_begin(out, 7);

    wire_put_double(out, 2, h->sum);
    wire_put_double(out, 4, h->count);
    if (h->schema == HISTOGRAM_SCHEMA_CUSTOM) {
        double *counts = cumulative_counts(h, federation->call->arena);

        if (counts == NULL) return api_out_of_memory(err);
        for (uint32_t i = 0; i <= h->custom_count; i++) {
            size_t bucket = wire_begin(out, 3);

            wire_put_double(out, 2, i < h->custom_count ? h->custom_values[i] : __builtin_inf());
            wire_put_double(out, 4, counts[i]);
            wire_end(out, bucket);
        }
    } else {
        wire_put_sint64(out, 5, h->schema);
        wire_put_double(out, 6, h->zero_threshold);
        wire_put_double(out, 8, h->zero_count);
        put_spans(h->negative_spans, h->negative_span_count, 9, out);
        for (uint32_t i = 0; i < h->negative_count; i++) wire_put_double(out, 11, h->negative[i]);
        put_spans(h->positive_spans, h->positive_span_count, 12, out);
        for (uint32_t i = 0; i < h->positive_count; i++) wire_put_double(out, 14, h->positive[i]);
    }
    wire_end(out, message);
    return ERR_OK;
}

static ErrCode put_metric(const Federation *federation, const Newest *item, Buf *out, Error *err) {
    size_t metric = wire_begin(out, 4);

    put_labels(federation->call->query.symbols, item->labels, out);
    if (item->histogram == NULL) {
        size_t untyped = wire_begin(out, 5);

        wire_put_double(out, 1, item->value);
        wire_end(out, untyped);
    } else {
        TRY(put_histogram(federation, item->histogram, out, err));
    }
    wire_put_int64(out, 6, item->time_ms);
    wire_end(out, metric);
    return ERR_OK;
}

/* Each family behind its length. */
static ErrCode write_protobuf(const Federation *federation, Buf *out, Error *err) {
    const Symbols *symbols = federation->call->query.symbols;
    CLEANUP_IN_PLACE(buf_done) Buf family;

    buf_init(&family, 0);
    for (size_t i = 0; i < federation->count;) {
        Str name = metric_name(symbols, &federation->items[i]);
        FamilyType type = family_type(&federation->items[i]);

        buf_clear(&family);
        wire_put_bytes(&family, 1, name);
        wire_put_varint(&family, 3, type);
        for (; i < federation->count &&
               str_equal(metric_name(symbols, &federation->items[i]), name) &&
               family_type(&federation->items[i]) == type;
             i++)
            TRY(put_metric(federation, &federation->items[i], &family, err));
        if (buf_failed(&family)) return api_out_of_memory(err);
        if (name.len == 0) continue;
        buf_append_varint(out, family.len);
        buf_append_str(out, buf_str(&family));
    }
    return ERR_OK;
}

/* Accept names it, and prefers nothing else to it: scrapers that want protobuf ask for it first. */
static bool wants_protobuf(Str accept) {
    Str first, parameter;

    str_cut(accept, ',', &first, &accept);
    if (!str_starts_with(str_trim(first), STR("application/vnd.google.protobuf"))) return false;
    while (first.len > 0) {
        str_cut(first, ';', &parameter, &first);
        if (str_equal(str_trim(parameter), STR("encoding=delimited"))) return true;
    }
    return false;
}

static ErrCode run_federate(ApiCall *call, Buf *out, Error *err) {
    CLEANUP(series_scratch_free) SeriesScratch *scratch = series_scratch_new(&call->query);
    Federation federation = {.call = call, .now_ms = clock_now_ms(call->querier->options.clock)};
    SelectRequest *requests;
    size_t count = 0;
    Str any;

    if (scratch == NULL) return api_out_of_memory(err);
    federation.min_ms = federation.now_ms - call->querier->options.lookback_ms;
    if (api_param(call, "match[]", &any)) /* none selects nothing */
        TRY(api_match_params(call, federation.min_ms, federation.now_ms, true, &requests, &count,
                             err));
    for (size_t i = 0; i < count; i++) TRY(collect(&federation, &requests[i], scratch, err));
    sort_unique(&federation);
    if (wants_protobuf(http_header(call->request, "Accept"))) {
        call->content_type = "application/vnd.google.protobuf; "
                             "proto=io.prometheus.client.MetricFamily; encoding=delimited";
        return write_protobuf(&federation, out, err);
    }
    call->content_type = "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8";
    return write_text(&federation, out, err);
}

const ApiEndpoint api_federate_endpoints[] = {
    {HTTP_GET_, "/federate", run_federate, API_TEXT_ERRORS | API_AT_ROOT},
    {0, NULL, NULL, 0},
};
