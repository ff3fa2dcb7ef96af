/*
 * status.c: what clients ask about the server itself, and expressions as text and tree.
 */
#include <stdlib.h>
#include <time.h>

#include "common/base/json.h"
#include "querier/api/internal.h"

/* Clients read from this whom they speak to: Grafana takes it for Mimir, whose APIs these are.
 * `features` are strings, because the client decodes strings only. */
static ErrCode run_buildinfo(ApiCall *call, Buf *out, Error *err) {
    (void)call;
    (void)err;
    buf_append_str(
        out,
        STR("{\"status\":\"success\",\"data\":{\"application\":\"Grafana Mimir\","
            "\"version\":\"3.0.0\",\"revision\":\"moraine-" MORAINE_VERSION "\",\"branch\":\"\","
            "\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\","
            "\"features\":{\"ruler_config_api\":\"false\",\"alertmanager_config_api\":\"false\","
            "\"query_sharding\":\"false\",\"federated_rules\":\"false\"}}}"));
    return ERR_OK;
}

static ErrCode run_runtimeinfo(ApiCall *call, Buf *out, Error *err) {
    time_t started = (time_t)(call->querier->started_ms / 1000);
    struct tm utc;
    char text[40];

    (void)err;
    gmtime_r(&started, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    api_begin_data(out);
    /* What is Go's is empty: there is none of it here. */
    buf_printf(out,
               "{\"startTime\":\"%s\",\"CWD\":\"\",\"reloadConfigSuccess\":true,"
               "\"lastConfigTime\":\"%s\",\"corruptionCount\":0,\"goroutineCount\":0,"
               "\"GOMAXPROCS\":0,\"GOMEMLIMIT\":0,\"GOGC\":\"\",\"GODEBUG\":\"\","
               "\"storageRetention\":\"",
               text, text);
    if (call->limits.retention_metrics_ms > 0)
        buf_printf(out, "%llds", (long long)call->limits.retention_metrics_ms / 1000);
    buf_append_str(out, STR("\"}"));
    api_end_data(out, false);
    return ERR_OK;
}

static ErrCode run_targets(ApiCall *call, Buf *out, Error *err) {
    (void)call;
    (void)err;
    api_begin_data(out);
    buf_append_str(out, STR("{\"activeTargets\":[],\"droppedTargets\":[],"
                            "\"droppedTargetCounts\":{}}"));
    api_end_data(out, false);
    return ERR_OK;
}

static ErrCode run_rules(ApiCall *call, Buf *out, Error *err) {
    (void)call;
    (void)err;
    api_begin_data(out);
    buf_append_str(out, STR("{\"groups\":[]}"));
    api_end_data(out, false);
    return ERR_OK;
}

static ErrCode run_alerts(ApiCall *call, Buf *out, Error *err) {
    (void)call;
    (void)err;
    api_begin_data(out);
    buf_append_str(out, STR("{\"alerts\":[]}"));
    api_end_data(out, false);
    return ERR_OK;
}

static ErrCode parse_param(ApiCall *call, PromqlExpr **out, Error *err) {
    PromqlOptions options = {.experimental_off = call->querier->options.experimental_off};
    Str query = {0};

    (void)api_param(call, "query", &query);
    if (promql_parse(call->arena, query, &options, out, err) != ERR_OK)
        return error_wrap(err, "invalid parameter \"query\"");
    return ERR_OK;
}

static ErrCode run_format_query(ApiCall *call, Buf *out, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf text;
    PromqlExpr *expr;

    buf_init(&text, MIB(16));
    TRY(parse_param(call, &expr, err));
    promql_print_pretty(expr, &text);
    if (buf_failed(&text)) return api_out_of_memory(err);
    api_begin_data(out);
    json_append_string(out, buf_str(&text));
    api_end_data(out, false);
    return ERR_OK;
}

static ErrCode run_parse_query(ApiCall *call, Buf *out, Error *err) {
    PromqlExpr *expr;

    TRY(parse_param(call, &expr, err));
    api_begin_data(out);
    promql_print_json(expr, out);
    api_end_data(out, false);
    return ERR_OK;
}

/* ---- counts of series by label: /status/tsdb and Mimir's cardinality API ---- */

typedef struct Counted {
    uint32_t symbol; /* a name, or a value */
    uint32_t other;  /* of a pair: the value */
    uint64_t series;
} Counted;

typedef struct Counts {
    Counted *items;
    size_t count;
    size_t capacity;
    uint32_t *slots; /* by symbol and other: index + 1 */
    size_t mask;
} Counts;

static ErrCode counts_init(Arena *arena, Counts *counts, Error *err) {
    *counts = (Counts){.mask = 1023};
    counts->slots = ARENA_ARRAY(arena, uint32_t, counts->mask + 1);
    return counts->slots == NULL ? api_out_of_memory(err) : ERR_OK;
}

static size_t counts_slot(const Counts *counts, uint32_t symbol, uint32_t other) {
    size_t at = (((uint64_t)symbol << 32 | other) * 0x9e3779b97f4a7c15u >> 20) & counts->mask;

    while (counts->slots[at] != 0) {
        const Counted *item = &counts->items[counts->slots[at] - 1];

        if (item->symbol == symbol && item->other == other) break;
        at = (at + 1) & counts->mask;
    }
    return at;
}

static ErrCode counts_grow(Arena *arena, Counts *counts, Error *err) {
    size_t capacity = MAX(counts->capacity * 2, 512);

    counts->items = arena_grow(arena, counts->items, counts->capacity * sizeof(Counted),
                               capacity * sizeof(Counted));
    counts->mask = capacity * 2 - 1;
    counts->slots = ARENA_ARRAY(arena, uint32_t, counts->mask + 1);
    if (counts->items == NULL || counts->slots == NULL) return api_out_of_memory(err);
    counts->capacity = capacity;
    for (size_t i = 0; i < counts->count; i++)
        counts->slots[counts_slot(counts, counts->items[i].symbol, counts->items[i].other)] =
            (uint32_t)i + 1;
    return ERR_OK;
}

static ErrCode counts_add(Arena *arena, Counts *counts, uint32_t symbol, uint32_t other,
                          uint64_t series, Error *err) {
    size_t at;

    if (counts->count == counts->capacity) TRY(counts_grow(arena, counts, err));
    at = counts_slot(counts, symbol, other);
    if (counts->slots[at] == 0) {
        counts->items[counts->count] = (Counted){symbol, other, 0};
        counts->slots[at] = (uint32_t)++counts->count;
    }
    counts->items[counts->slots[at] - 1].series += series;
    return ERR_OK;
}

/* The most series first, equal ones by name. */
static int by_series(const void *a, const void *b, void *symbols) {
    const Counted *x = a, *y = b;
    int order = (x->series < y->series) - (x->series > y->series);

    if (order == 0)
        order = str_compare(symbols_str(symbols, x->symbol), symbols_str(symbols, y->symbol));
    return order != 0 ? order
                      : str_compare(symbols_str(symbols, x->other), symbols_str(symbols, y->other));
}

static void sort_counts(ApiCall *call, Counts *counts) {
    if (counts->count > 1)
        qsort_r(counts->items, counts->count, sizeof(Counted), by_series, call->query.symbols);
    counts->slots = NULL; /* no more look-ups */
}

/* Everything of the tenant, or what `selector` matches, in the newest hours or in all time. */
static ErrCode select_all(ApiCall *call, SeriesSet *out, Error *err) {
    SelectRequest request = {.min_ms = INT64_MIN, .max_ms = INT64_MAX, .labels_only = true};
    Str selector;

    if (api_param(call, "selector", &selector) &&
        promql_parse_selector(call->arena, selector, &request.matchers, &request.matcher_count,
                              err) != ERR_OK)
        return error_wrap(err, "invalid parameter \"selector\"");
    return call->source->select(call->source, &call->query, &request, out, err);
}

static void write_counts(Buf *out, const char *title, const ApiCall *call, const Counts *counts,
                         size_t limit, bool pairs) {
    buf_printf(out, "\"%s\":[", title);
    for (size_t i = 0; i < counts->count && i < limit; i++) {
        const Counted *item = &counts->items[i];
        Str name = symbols_str(call->query.symbols, item->symbol);

        if (i > 0) buf_append_byte(out, ',');
        buf_append_str(out, STR("{\"name\":"));
        if (pairs)
            name = str_format(call->arena, STR_FMT "=" STR_FMT, STR_ARG(name),
                              STR_ARG(symbols_str(call->query.symbols, item->other)));
        json_append_string(out, name);
        buf_printf(out, ",\"value\":%llu}", (unsigned long long)item->series);
    }
    buf_append_byte(out, ']');
}

/* The times of all that a tenant has, and the chunks that are in memory: those of objects aren't
 * read for this. */
typedef struct Extremes {
    int64_t min_ms;
    int64_t max_ms;
    uint64_t chunks;
} Extremes;

static void extremes_add(Extremes *extremes, int64_t min_ms, int64_t max_ms) {
    extremes->min_ms = MIN(extremes->min_ms, min_ms);
    extremes->max_ms = MAX(extremes->max_ms, max_ms);
}

static ErrCode head_extremes(ApiCall *call, Str tenant, Extremes *extremes, Error *err) {
    const HeadReader *heads = &call->querier->options.fetch.heads;
    HeadSelect select = {.tenant = tenant, .min_ms = call->keep_from_ms, .max_ms = INT64_MAX};
    MetricsSelection *selections;
    size_t count;

    TRY(heads->select(heads->context, &select, call->arena, &selections, &count, err));
    for (size_t s = 0; s < count; s++)
        for (size_t i = 0; i < selections[s].series_count; i++) {
            const SelectedSeries *series = &selections[s].series[i];

            extremes->chunks += series->chunk_count;
            for (uint32_t c = 0; c < series->chunk_count; c++)
                extremes_add(extremes, series->chunks[c].min_ms, series->chunks[c].max_ms);
        }
    return ERR_OK;
}

static void object_extremes(const ManifestSnapshot *snapshot, Str tenant, Extremes *extremes) {
    size_t count;
    const ManifestEntry *entries = manifest_entries(snapshot, &count);

    for (size_t e = 0; e < count; e++)
        for (size_t p = 0; p < entries[e].part_count; p++) {
            const BlockPart *part = &entries[e].parts[p];

            if (part->signal == SIGNAL_METRICS && str_equal(part->tenant, tenant))
                extremes_add(extremes, part->min_ms, part->max_ms);
        }
}

/* As Prometheus shows an empty head when there is nothing. */
static ErrCode find_extremes(ApiCall *call, Extremes *out, Error *err) {
    Extremes extremes = {INT64_MAX, INT64_MIN, 0};
    const ManifestSnapshot *snapshot;

    for (size_t t = 0; t < call->tenant_count; t++)
        TRY(head_extremes(call, call->tenants[t], &extremes, err));
    snapshot = manifest_snapshot(call->querier->options.fetch.manifest);
    for (size_t t = 0; t < call->tenant_count; t++)
        object_extremes(snapshot, call->tenants[t], &extremes);
    manifest_snapshot_unref(snapshot);
    if (extremes.min_ms <= extremes.max_ms)
        extremes.min_ms = MAX(extremes.min_ms, call->keep_from_ms);
    *out = extremes;
    return ERR_OK;
}

/* As Prometheus holds a name or value: with its length before it, in one byte or in four. */
static uint64_t text_bytes(Str text) {
    return text.len + (text.len < 255 ? 1 : 4);
}

enum { TSDB_LIMIT = 10, TSDB_LIMIT_MAX = 10000 };

static ErrCode tsdb_limit(const ApiCall *call, uint64_t *out, Error *err) {
    Str text;

    *out = TSDB_LIMIT;
    if (!api_param(call, "limit", &text) || text.len == 0) return ERR_OK;
    if (!str_to_u64(text, out) || *out == 0)
        return error_set(err, ERR_INVALID, "limit must be a positive number");
    if (*out > TSDB_LIMIT_MAX)
        return error_set(err, ERR_INVALID, "limit must not exceed %d", TSDB_LIMIT_MAX);
    return ERR_OK;
}

static ErrCode run_tsdb(ApiCall *call, Buf *out, Error *err) {
    Counts metrics, pairs, names, bytes;
    uint64_t limit, pair_count;
    Extremes extremes;
    SeriesSet set;

    TRY(tsdb_limit(call, &limit, err));
    TRY(select_all(call, &set, err));
    TRY(find_extremes(call, &extremes, err));
    TRY(counts_init(call->arena, &metrics, err));
    TRY(counts_init(call->arena, &pairs, err));
    TRY(counts_init(call->arena, &names, err));
    TRY(counts_init(call->arena, &bytes, err));
    for (size_t i = 0; i < set.count; i++) {
        if ((i & 4095) == 4095) TRY(query_check(&call->query, err));
        for (uint32_t l = 0; l < set.labels[i].count; l++) {
            Label label = set.labels[i].labels[l];

            TRY(counts_add(call->arena, &pairs, label.name, label.value, 1, err));
            if (label.name == SYMBOL_NAME)
                TRY(counts_add(call->arena, &metrics, label.value, 0, 1, err));
        }
    }
    pair_count = pairs.count;
    for (size_t i = 0; i < pairs.count; i++) {
        Counted pair = pairs.items[i];

        TRY(counts_add(call->arena, &names, pair.symbol, 0, 1, err));
        TRY(counts_add(call->arena, &bytes, pair.symbol, 0,
                       (text_bytes(symbols_str(call->query.symbols, pair.symbol)) +
                        text_bytes(symbols_str(call->query.symbols, pair.other))) *
                           pair.series,
                       err));
    }
    sort_counts(call, &bytes);
    sort_counts(call, &metrics);
    sort_counts(call, &pairs);
    sort_counts(call, &names);
    api_begin_data(out);
    buf_printf(out,
               "{\"headStats\":{\"numSeries\":%zu,\"numLabelPairs\":%llu,\"chunkCount\":%llu,"
               "\"minTime\":%lld,\"maxTime\":%lld},",
               set.count, (unsigned long long)pair_count, (unsigned long long)extremes.chunks,
               (long long)extremes.min_ms, (long long)extremes.max_ms);
    write_counts(out, "seriesCountByMetricName", call, &metrics, limit, false);
    buf_append_byte(out, ',');
    write_counts(out, "labelValueCountByLabelName", call, &names, limit, false);
    buf_append_byte(out, ',');
    write_counts(out, "memoryInBytesByLabelName", call, &bytes, limit, false);
    buf_append_byte(out, ',');
    write_counts(out, "seriesCountByLabelValuePair", call, &pairs, limit, true);
    buf_append_byte(out, '}');
    api_end_data(out, false);
    return ERR_OK;
}

/* Mimir: distinct values of each label name. */
static ErrCode run_cardinality_names(ApiCall *call, Buf *out, Error *err) {
    Counts pairs, names;
    uint64_t limit, total = 0;
    SeriesSet set;

    TRY(api_u64_param(call, "limit", 20, &limit, err));
    TRY(select_all(call, &set, err));
    TRY(counts_init(call->arena, &pairs, err));
    TRY(counts_init(call->arena, &names, err));
    for (size_t i = 0; i < set.count; i++)
        for (uint32_t l = 0; l < set.labels[i].count; l++)
            TRY(counts_add(call->arena, &pairs, set.labels[i].labels[l].name,
                           set.labels[i].labels[l].value, 1, err));
    total = pairs.count;
    for (size_t i = 0; i < pairs.count; i++)
        TRY(counts_add(call->arena, &names, pairs.items[i].symbol, 0, 1, err));
    sort_counts(call, &names);
    buf_printf(out,
               "{\"label_values_count_total\":%llu,\"label_names_count\":%zu,"
               "\"cardinality\":[",
               (unsigned long long)total, names.count);
    for (size_t i = 0; i < names.count && i < limit; i++) {
        buf_append_str(out, i > 0 ? STR(",{\"label_name\":") : STR("{\"label_name\":"));
        json_append_string(out, symbols_str(call->query.symbols, names.items[i].symbol));
        buf_printf(out, ",\"label_values_count\":%llu}", (unsigned long long)names.items[i].series);
    }
    buf_append_str(out, STR("]}"));
    return ERR_OK;
}

static ErrCode write_values_of(ApiCall *call, Str name, uint64_t limit, const SeriesSet *set,
                               Buf *out, Error *err) {
    uint32_t symbol = symbols_find(call->query.symbols, name);
    Counts values;
    uint64_t series = 0;

    TRY(counts_init(call->arena, &values, err));
    for (size_t i = 0; symbol != SYMBOL_NONE && i < set->count; i++) {
        uint32_t value = label_set_get(set->labels[i], symbol);

        if (value == SYMBOL_EMPTY) continue;
        series++;
        TRY(counts_add(call->arena, &values, value, 0, 1, err));
    }
    sort_counts(call, &values);
    buf_append_str(out, STR("{\"label_name\":"));
    json_append_string(out, name);
    buf_printf(out, ",\"label_values_count\":%zu,\"series_count\":%llu,\"cardinality\":[",
               values.count, (unsigned long long)series);
    for (size_t i = 0; i < values.count && i < limit; i++) {
        buf_append_str(out, i > 0 ? STR(",{\"label_value\":") : STR("{\"label_value\":"));
        json_append_string(out, symbols_str(call->query.symbols, values.items[i].symbol));
        buf_printf(out, ",\"series_count\":%llu}", (unsigned long long)values.items[i].series);
    }
    buf_append_str(out, STR("]}"));
    return ERR_OK;
}

static ErrCode run_cardinality_values(ApiCall *call, Buf *out, Error *err) {
    uint64_t limit;
    SeriesSet set;
    Str name;

    TRY(api_u64_param(call, "limit", 20, &limit, err));
    if (!http_param(call->request, "label_names[]", 0, &name))
        return error_set(err, ERR_INVALID, "label_names[] is missing");
    TRY(select_all(call, &set, err));
    buf_printf(out, "{\"series_count_total\":%zu,\"labels\":[", set.count);
    for (size_t i = 0; http_param(call->request, "label_names[]", i, &name); i++) {
        if (i > 0) buf_append_byte(out, ',');
        TRY(write_values_of(call, name, limit, &set, out, err));
    }
    buf_append_str(out, STR("]}"));
    return ERR_OK;
}

static ErrCode run_active_series(ApiCall *call, Buf *out, Error *err) {
    SeriesSet set;
    Str selector;

    if (!api_param(call, "selector", &selector))
        return error_set(err, ERR_INVALID, "selector is missing");
    TRY(select_all(call, &set, err));
    buf_append_str(out, STR("{\"data\":["));
    for (size_t i = 0; i < set.count; i++) {
        if (i > 0) buf_append_byte(out, ',');
        api_write_labels(out, call->query.symbols, set.labels[i]);
    }
    buf_append_str(out, STR("]}"));
    return ERR_OK;
}

const ApiEndpoint api_status_endpoints[] = {
    {HTTP_GET_, "/status/buildinfo", run_buildinfo, 0},
    {HTTP_GET_, "/status/runtimeinfo", run_runtimeinfo, 0},
    {HTTP_GET_, "/status/tsdb", run_tsdb, 0},
    {HTTP_GET_, "/targets", run_targets, 0},
    {HTTP_GET_, "/rules", run_rules, 0},
    {HTTP_GET_, "/alerts", run_alerts, 0},
    {HTTP_GET_ | HTTP_POST_, "/format_query", run_format_query, 0},
    {HTTP_GET_ | HTTP_POST_, "/parse_query", run_parse_query, 0},
    {HTTP_GET_ | HTTP_POST_, "/cardinality/label_names", run_cardinality_names, 0},
    {HTTP_GET_ | HTTP_POST_, "/cardinality/label_values", run_cardinality_values, 0},
    {HTTP_GET_ | HTTP_POST_, "/cardinality/active_series", run_active_series, 0},
    {0, NULL, NULL, 0},
};
