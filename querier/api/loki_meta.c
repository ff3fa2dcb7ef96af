/*
 * loki_meta.c: which streams there are, and how much is in them.
 */
#include <stdlib.h>

#include "common/base/json.h"
#include "querier/api/loki.h"
#include "querier/logql/parser.h"

enum { VOLUME_LIMIT = 100, MATCH_MAX = 256, VOLUME_POINTS_MAX = 11000 };

static ErrCode write_strings(Buf *out, const Str *items, size_t count) {
    buf_append_str(out, STR("{\"status\":\"success\",\"data\":["));
    for (size_t i = 0; i < count; i++) {
        if (i > 0) buf_append_byte(out, ',');
        json_append_string(out, items[i]);
    }
    buf_append_str(out, STR("]}"));
    return ERR_OK;
}

/* The selector in `query`; without one all streams, where that is allowed. */
static ErrCode query_matchers(ApiCall *call, bool required, const Matcher **out, size_t *count,
                              Error *err) {
    Str text = STR("");

    *out = NULL;
    *count = 0;
    if (!api_param(call, "query", &text) && !required) return ERR_OK;
    return logql_parse_matchers(call->arena, text, LOGQL_UNCHECKED, out, count, err);
}

/* ---------- labels, values, series ---------- */

static ErrCode answer_labels(ApiCall *call, Str name, Buf *out, Error *err) {
    StreamSelect select = {.stats = &call->stream_stats};
    size_t count;
    Str *items;

    TRY(loki_bounds(call, &select.min_ns, &select.max_ns, err));
    TRY(query_matchers(call, false, &select.matchers, &select.matcher_count, err));
    TRY(call->streams->labels(call->streams, &call->query, name, &select, 1, &items, &count, err));
    return write_strings(out, items, count);
}

static ErrCode run_labels(ApiCall *call, Buf *out, Error *err) {
    return answer_labels(call, STR(""), out, err);
}

static ErrCode run_values(ApiCall *call, Buf *out, Error *err) {
    return answer_labels(call, http_path_param(call->request, "name"), out, err);
}

static int compare_sets(const void *a, const void *b, void *symbols) {
    return label_set_compare(symbols, *(const LabelSet *)a, *(const LabelSet *)b);
}

static ErrCode add_series(ApiCall *call, const StreamSet *set, LabelSet **sets, size_t *count,
                          Error *err) {
    *sets = arena_grow(call->arena, *sets, *count * sizeof **sets,
                       (*count + set->count + 1) * sizeof **sets);
    if (*sets == NULL) return api_out_of_memory(err);
    if (set->count > 0) memcpy(*sets + *count, set->labels, set->count * sizeof **sets);
    *count += set->count;
    return ERR_OK;
}

static ErrCode select_series(ApiCall *call, LabelSet **sets, size_t *count, Error *err) {
    int64_t start_ns, end_ns;
    StreamSet set;
    size_t given = 0;
    Str text;

    TRY(loki_bounds(call, &start_ns, &end_ns, err));
    for (int form = 0; form < 2; form++)
        for (size_t i = 0; http_param(call->request, form == 0 ? "match[]" : "match", i, &text);
             i++, given++) {
            const Matcher *matchers;
            size_t matcher_count;

            if (given == MATCH_MAX)
                return error_set(err, ERR_INVALID, "more than %d match[]", MATCH_MAX);
            TRY(logql_parse_matchers(call->arena, text, LOGQL_UNCHECKED, &matchers, &matcher_count,
                                     err));
            TRY(loki_select(call, matchers, matcher_count, start_ns, end_ns, &set, err));
            TRY(add_series(call, &set, sets, count, err));
        }
    if (given > 0) return ERR_OK;
    TRY(loki_select(call, NULL, 0, start_ns, end_ns, &set, err));
    return add_series(call, &set, sets, count, err);
}

static ErrCode run_series(ApiCall *call, Buf *out, Error *err) {
    LabelSet *sets = NULL;
    size_t count = 0, written = 0;

    TRY(select_series(call, &sets, &count, err));
    if (count > 1) qsort_r(sets, count, sizeof *sets, compare_sets, call->query.symbols);
    buf_append_str(out, STR("{\"status\":\"success\",\"data\":["));
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && label_set_equal(sets[i - 1], sets[i])) continue;
        if (written++ > 0) buf_append_byte(out, ',');
        api_write_labels(out, call->query.symbols, sets[i]);
    }
    buf_append_str(out, STR("]}"));
    return ERR_OK;
}

/* ---------- index/stats and index/volume ---------- */

/* How much of a unit lies in [start, end), if its entries are spread evenly. */
static double share_in(const StreamUnit *unit, int64_t start_ns, int64_t end_ns) {
    int64_t from = MAX(unit->min_ns, start_ns), to = MIN(unit->max_ns, end_ns - 1);

    if (from > to) return 0;
    return unit->max_ns == unit->min_ns
               ? 1
               : MIN(1, ((double)(to - from) + 1) / ((double)(unit->max_ns - unit->min_ns) + 1));
}

static ErrCode run_stats(ApiCall *call, Buf *out, Error *err) {
    const Matcher *matchers;
    size_t matcher_count;
    int64_t start_ns, end_ns;
    double entries = 0, bytes = 0;
    StreamSet set;

    TRY(loki_bounds(call, &start_ns, &end_ns, err));
    TRY(query_matchers(call, true, &matchers, &matcher_count, err));
    TRY(loki_count(call, matchers, matcher_count, start_ns, end_ns, &set, err));
    for (size_t u = 0; u < set.unit_count; u++) {
        double share = share_in(&set.units[u], start_ns, end_ns);

        entries += share * (double)set.units[u].entries;
        bytes += share * (double)set.units[u].bytes;
    }
    buf_printf(out, "{\"streams\":%zu,\"chunks\":%zu,\"bytes\":%.0f,\"entries\":%.0f}", set.count,
               set.unit_count, bytes, entries);
    return ERR_OK;
}

/* One line of the answer: the streams that agree in the labels asked for. */
typedef struct Volume {
    LabelSet labels;
    double *bytes; /* per bucket */
    double first;
} Volume;

typedef struct Volumes {
    ApiCall *call;
    StreamSet set;
    Volume *items;
    size_t count, capacity;
    uint32_t *slots; /* open addressing; index + 1 */
    uint32_t mask;
    uint32_t *names; /* the labels that count; sorted by their text */
    size_t name_count;
    bool all_names; /* every one */
    bool by_label;
    int64_t start_ns, end_ns, step_ns;
    size_t buckets;
} Volumes;

static ErrCode find_volume(Volumes *volumes, LabelSet labels, Volume **out, Error *err) {
    Arena *arena = volumes->call->arena;
    uint32_t slot = (uint32_t)label_set_hash(labels) & volumes->mask;

    for (; volumes->slots[slot] != 0; slot = (slot + 1) & volumes->mask) {
        *out = &volumes->items[volumes->slots[slot] - 1];
        if (label_set_equal((*out)->labels, labels)) return ERR_OK;
    }
    if (volumes->count == volumes->capacity)
        return error_set(err, ERR_LIMIT, "the answer has more than %zu lines", volumes->capacity);
    *out = &volumes->items[volumes->count++];
    volumes->slots[slot] = (uint32_t)volumes->count;
    (*out)->labels = labels;
    (*out)->bytes = ARENA_ARRAY(arena, double, volumes->buckets);
    return (*out)->bytes == NULL ? api_out_of_memory(err) : ERR_OK;
}

/* The end of bucket `b`: multiples of the step, the last one at the range's end. */
static int64_t bucket_end(const Volumes *volumes, size_t b) {
    int64_t first = volumes->start_ns / volumes->step_ns + 1;

    return b + 1 == volumes->buckets ? volumes->end_ns : (first + (int64_t)b) * volumes->step_ns;
}

static void add_unit(const Volumes *volumes, Volume *volume, const StreamUnit *unit) {
    int64_t start = volumes->start_ns;
    int64_t skipped = (MAX(unit->min_ns, start) / volumes->step_ns) - start / volumes->step_ns;

    /* One bucket is the whole range, whatever multiples of its length lie in it. */
    for (size_t b = volumes->buckets == 1 ? 0 : (size_t)MAX(skipped, 0); b < volumes->buckets;
         b++) {
        int64_t from = b == 0 ? start : bucket_end(volumes, b - 1);

        if (from > unit->max_ns) return;
        volume->bytes[b] += share_in(unit, from, bucket_end(volumes, b)) * (double)unit->bytes;
    }
}

static bool counts(const Volumes *volumes, uint32_t name) {
    for (size_t i = 0; i < volumes->name_count; i++)
        if (volumes->names[i] == name) return true;
    return volumes->all_names;
}

static ErrCode add_stream(Volumes *volumes, uint32_t stream, Volume **of_stream, size_t *used,
                          Error *err) {
    Arena *arena = volumes->call->arena;
    LabelSet from = volumes->set.labels[stream], to = {NULL, 0};
    Label *labels = ARENA_ARRAY(arena, Label, from.count);

    if (labels == NULL) return api_out_of_memory(err);
    to.labels = labels;
    *used = 0;
    for (uint32_t l = 0; l < from.count; l++) {
        if (!counts(volumes, from.labels[l].name)) continue;
        if (volumes->by_label) {
            labels[l] = (Label){from.labels[l].name, SYMBOL_EMPTY};
            TRY(find_volume(volumes, (LabelSet){&labels[l], 1}, &of_stream[(*used)++], err));
        } else {
            labels[to.count++] = from.labels[l];
        }
    }
    if (volumes->by_label || to.count == 0) return ERR_OK;
    return find_volume(volumes, to, &of_stream[(*used)++], err);
}

typedef struct UnitsOf {
    uint32_t *start; /* units of stream s: order[start[s], start[s + 1]) */
    uint32_t *order;
} UnitsOf;

static ErrCode group_units(Arena *arena, const StreamSet *set, UnitsOf *out, Error *err) {
    out->start = ARENA_ARRAY(arena, uint32_t, set->count + 2);
    out->order = ARENA_ARRAY(arena, uint32_t, set->unit_count);
    if (out->start == NULL || out->order == NULL) return api_out_of_memory(err);
    for (size_t u = 0; u < set->unit_count; u++) out->start[set->units[u].stream + 2]++;
    for (size_t s = 1; s < set->count + 2; s++) out->start[s] += out->start[s - 1];
    for (size_t u = 0; u < set->unit_count; u++)
        out->order[out->start[set->units[u].stream + 1]++] = (uint32_t)u;
    return ERR_OK;
}

static ErrCode add_all(Volumes *volumes, Error *err) {
    ApiCall *call = volumes->call;
    const StreamSet *set = &volumes->set;
    size_t slots = 64, most = 0, used = 0;
    Volume **of_stream;
    UnitsOf units;

    for (size_t s = 0; s < set->count; s++) most = MAX(most, (size_t)set->labels[s].count);
    volumes->capacity =
        MAX(set->count * (volumes->by_label ? MIN(most, (size_t)16) : 1), (size_t)4096);
    while (slots < volumes->capacity * 2) slots *= 2;
    volumes->items = ARENA_ARRAY(call->arena, Volume, volumes->capacity);
    volumes->slots = ARENA_ARRAY(call->arena, uint32_t, slots);
    volumes->mask = (uint32_t)(slots - 1);
    of_stream = ARENA_ARRAY(call->arena, Volume *, most + 1);
    if (volumes->items == NULL || volumes->slots == NULL || of_stream == NULL)
        return api_out_of_memory(err);
    TRY(group_units(call->arena, set, &units, err));
    for (uint32_t s = 0; s < set->count; s++) {
        TRY(add_stream(volumes, s, of_stream, &used, err));
        for (size_t v = 0; v < used; v++)
            for (uint32_t u = units.start[s]; u < units.start[s + 1]; u++)
                add_unit(volumes, of_stream[v], &set->units[units.order[u]]);
    }
    return ERR_OK;
}

static int compare_volumes(const void *a, const void *b, void *symbols) {
    const Volume *x = a, *y = b;

    if (x->first != y->first) return x->first < y->first ? 1 : -1;
    return label_set_compare(symbols, x->labels, y->labels);
}

/* Labels with empty values too: {app=""} stands for all that has app. */
static void write_volume(const Volumes *volumes, const Volume *volume, bool matrix, Buf *out) {
    bool any = false;

    buf_append_str(out, STR("{\"metric\":"));
    api_write_labels(out, volumes->call->query.symbols, volume->labels);
    buf_append_str(out, matrix ? STR(",\"values\":[") : STR(",\"value\":"));
    for (size_t b = 0; b < volumes->buckets; b++) {
        if (volume->bytes[b] == 0 || (any && !matrix)) continue;
        if (any) buf_append_byte(out, ',');
        any = true;
        buf_append_byte(out, '[');
        json_append_time_ms(out, bucket_end(volumes, b) / 1000000);
        buf_printf(out, ",\"%.0f\"]", volume->bytes[b]);
    }
    buf_append_str(out, matrix ? STR("]}") : STR("}"));
}

static void write_volumes(Volumes *volumes, uint64_t limit, Buf *out) {
    size_t kept = 0;
    bool matrix = false;

    for (size_t i = 0; i < volumes->count; i++) {
        Volume *volume = &volumes->items[i];
        size_t points = 0;

        for (size_t b = 0; b < volumes->buckets; b++) {
            if (volume->bytes[b] == 0) continue;
            if (points++ == 0) volume->first = volume->bytes[b];
        }
        if (points == 0) continue;
        matrix = matrix || points > 1;
        volumes->items[kept++] = *volume;
    }
    if (kept > 1)
        qsort_r(volumes->items, kept, sizeof *volumes->items, compare_volumes,
                volumes->call->query.symbols);
    buf_printf(out, "{\"status\":\"success\",\"data\":{\"resultType\":\"%s\",\"result\":[",
               matrix ? "matrix" : "vector");
    for (size_t i = 0; i < MIN(kept, limit); i++) {
        if (i > 0) buf_append_byte(out, ',');
        write_volume(volumes, &volumes->items[i], matrix, out);
    }
    buf_append_str(out, STR("],\"stats\":{}}}"));
}

/* The labels that an answer's lines differ in: those asked for, else those of the matchers. */
static ErrCode volume_names(Volumes *volumes, const Matcher *matchers, size_t count, Error *err) {
    ApiCall *call = volumes->call;
    size_t most = count + 1;
    Str text = STR(""), name;

    if (api_param(call, "targetLabels", &text))
        for (size_t i = 0; i < text.len; i++) most += text.ptr[i] == ',';
    volumes->names = ARENA_ARRAY(call->arena, uint32_t, most);
    if (volumes->names == NULL) return api_out_of_memory(err);
    for (Str rest = text; rest.len > 0;) {
        str_cut(rest, ',', &name, &rest);
        volumes->names[volumes->name_count++] = symbols_add(call->query.symbols, name);
    }
    if (text.len > 0) return ERR_OK;
    /* By label all of them count; by series those that the selector speaks of. */
    volumes->all_names = volumes->by_label || count == 0;
    for (size_t m = 0; m < count && !volumes->all_names; m++)
        volumes->names[volumes->name_count++] = symbols_add(call->query.symbols, matchers[m].name);
    return ERR_OK;
}

static ErrCode answer_volume(ApiCall *call, bool range, Buf *out, Error *err) {
    Volumes volumes = {.call = call};
    const Matcher *matchers;
    size_t matcher_count;
    uint64_t limit;
    Str text;

    TRY(loki_bounds(call, &volumes.start_ns, &volumes.end_ns, err));
    TRY(loki_limit_param(call, "limit", VOLUME_LIMIT, &limit, err));
    if (api_param(call, "aggregateBy", &text)) {
        volumes.by_label = str_equal(text, STR("labels"));
        if (!volumes.by_label && !str_equal(text, STR("series")))
            return error_set(err, ERR_INVALID, "invalid aggregation option");
    }
    volumes.step_ns = MAX(volumes.end_ns - volumes.start_ns, 1);
    volumes.buckets = 1;
    if (range) {
        TRY(loki_duration_param(call, "step", loki_default_step(volumes.start_ns, volumes.end_ns),
                                &volumes.step_ns, err));
        if (volumes.step_ns <= 0 ||
            (volumes.end_ns - volumes.start_ns) / volumes.step_ns > VOLUME_POINTS_MAX)
            return error_set(err, ERR_INVALID,
                             "step must be above zero and make no more than %d points",
                             VOLUME_POINTS_MAX);
        volumes.buckets = (size_t)((MAX(volumes.end_ns - 1, volumes.start_ns)) / volumes.step_ns -
                                   volumes.start_ns / volumes.step_ns + 1);
    }
    TRY(query_matchers(call, true, &matchers, &matcher_count, err));
    TRY(volume_names(&volumes, matchers, matcher_count, err));
    TRY(loki_count(call, matchers, matcher_count, volumes.start_ns, volumes.end_ns, &volumes.set,
                   err));
    TRY(add_all(&volumes, err));
    write_volumes(&volumes, limit, out);
    return ERR_OK;
}

static ErrCode run_volume(ApiCall *call, Buf *out, Error *err) {
    return answer_volume(call, false, out, err);
}

static ErrCode run_volume_range(ApiCall *call, Buf *out, Error *err) {
    return answer_volume(call, true, out, err);
}

/* ---------- detected_labels ---------- */

typedef struct Detected {
    uint32_t name;
    uint32_t values;
} Detected;

/* Labels with how many values they have among the streams that match. */
static ErrCode run_detected_labels(ApiCall *call, Buf *out, Error *err) {
    const Matcher *matchers;
    size_t matcher_count, count = 0;
    int64_t start_ns, end_ns;
    StreamSet set;

    TRY(loki_bounds(call, &start_ns, &end_ns, err));
    TRY(query_matchers(call, false, &matchers, &matcher_count, err));
    TRY(loki_select(call, matchers, matcher_count, start_ns, end_ns, &set, err));
    uint32_t symbols = symbols_count(call->query.symbols);
    uint32_t *index = ARENA_ARRAY(call->arena, uint32_t, symbols);
    Detected *found = ARENA_ARRAY(call->arena, Detected, symbols);
    Label *pairs = NULL;
    size_t pair_count = 0;

    for (size_t s = 0; s < set.count; s++) pair_count += set.labels[s].count;
    size_t slots = 64;
    while (slots < pair_count * 2) slots *= 2;
    pairs = ARENA_ARRAY(call->arena, Label, slots);
    if (index == NULL || found == NULL || pairs == NULL) return api_out_of_memory(err);
    for (size_t s = 0; s < set.count; s++)
        for (uint32_t l = 0; l < set.labels[s].count; l++) {
            Label label = set.labels[s].labels[l];
            size_t slot = (label.name * 0x9e3779b1u ^ label.value * 0x85ebca77u) & (slots - 1);

            while (pairs[slot].value != SYMBOL_EMPTY &&
                   (pairs[slot].name != label.name || pairs[slot].value != label.value))
                slot = (slot + 1) & (slots - 1);
            if (pairs[slot].value != SYMBOL_EMPTY) continue;
            pairs[slot] = label;
            if (index[label.name] == 0) {
                found[count] = (Detected){label.name, 0};
                index[label.name] = (uint32_t)++count;
            }
            found[index[label.name] - 1].values++;
        }
    buf_append_str(out, STR("{\"detectedLabels\":["));
    for (size_t i = 0; i < count; i++) {
        buf_append_str(out, i > 0 ? STR(",{\"label\":") : STR("{\"label\":"));
        json_append_string(out, symbols_str(call->query.symbols, found[i].name));
        buf_printf(out, ",\"cardinality\":%u}", found[i].values);
    }
    buf_append_str(out, STR("]}"));
    return ERR_OK;
}

/* ---------- what it is ---------- */

static ErrCode run_buildinfo(ApiCall *call, Buf *out, Error *err) {
    (void)call;
    (void)err;
    buf_printf(out,
               "{\"version\":\"3.0.0\",\"revision\":\"moraine-%s\",\"branch\":\"\",\"buildUser\":"
               "\"\",\"buildDate\":\"\",\"goVersion\":\"\"}",
               MORAINE_VERSION);
    return ERR_OK;
}

/* What Logs Drilldown asks before it shows itself. */
static ErrCode run_drilldown_limits(ApiCall *call, Buf *out, Error *err) {
    const TenantLimits *limits = &call->limits;

    (void)err;
    buf_printf(
        out,
        "{\"limits\":{\"discover_log_levels\":%s,\"discover_service_name\":[%s],"
        "\"max_entries_limit_per_query\":%llu,\"max_line_size_truncate\":%s,"
        "\"max_query_length\":\"%llds\",\"max_query_series\":%llu,\"query_timeout\":\"%llds\","
        "\"retention_period\":\"%llds\",\"volume_enabled\":true,\"volume_max_series\":1000,"
        "\"metric_aggregation_enabled\":false},\"pattern_ingester_enabled\":true,"
        "\"version\":\"%s\"}",
        limits->log_levels ? "true" : "false",
        limits->log_service_name ? "\"service\",\"app\",\"container\",\"job\"" : "",
        (unsigned long long)limits->log_query_entries_max,
        limits->log_line_truncate ? "true" : "false",
        (long long)limits->log_query_range_ms_max / 1000,
        (unsigned long long)limits->query_series_max, (long long)limits->query_timeout_ms / 1000,
        (long long)limits->retention_logs_ms / 1000, MORAINE_VERSION);
    return ERR_OK;
}

static ErrCode run_no_rules(ApiCall *call, Buf *out, Error *err) {
    (void)call;
    (void)out;
    return error_set(err, ERR_NOT_FOUND, "no rule groups found");
}

#define READS (HTTP_GET_ | HTTP_POST_)

const ApiEndpoint api_loki_meta_endpoints[] = {
    {READS, "/loki/api/v1/labels", run_labels, API_LOKI},
    {READS, "/loki/api/v1/label", run_labels, API_LOKI},
    {READS, "/loki/api/v1/label/{name}/values", run_values, API_LOKI},
    {READS, "/loki/api/v1/series", run_series, API_LOKI},
    {READS, "/loki/api/v1/index/stats", run_stats, API_LOKI},
    {READS, "/loki/api/v1/index/volume", run_volume, API_LOKI},
    {READS, "/loki/api/v1/index/volume_range", run_volume_range, API_LOKI},
    {READS, "/loki/api/v1/detected_labels", run_detected_labels, API_LOKI},
    {HTTP_GET_, "/loki/api/v1/status/buildinfo", run_buildinfo, API_LOKI},
    {HTTP_GET_, "/loki/api/v1/drilldown-limits", run_drilldown_limits, API_LOKI},
    {HTTP_GET_, "/loki/api/v1/rules", run_no_rules, API_LOKI},
    {READS, "/api/prom/label", run_labels, API_LOKI},
    {READS, "/api/prom/label/{name}/values", run_values, API_LOKI},
    {READS, "/api/prom/series", run_series, API_LOKI},
    {HTTP_GET_, "/api/prom/rules", run_no_rules, API_LOKI},
    {0, NULL, NULL, 0},
};
