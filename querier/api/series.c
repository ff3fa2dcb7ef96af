/*
 * series.c: what exists: series, label names and values, metadata, exemplars.
 */
#include <stdlib.h>

#include "common/base/json.h"
#include "common/base/rune.h"
#include "querier/api/internal.h"

static ErrCode write_strings(Buf *out, const Str *items, size_t count, uint64_t limit) {
    bool truncated = limit != 0 && count > limit;

    api_begin_data(out);
    buf_append_byte(out, '[');
    if (truncated) count = (size_t)limit;
    for (size_t i = 0; i < count; i++) {
        if (i > 0) buf_append_byte(out, ',');
        json_append_string(out, items[i]);
    }
    buf_append_byte(out, ']');
    api_end_data(out, truncated);
    return ERR_OK;
}

static ErrCode answer_labels(ApiCall *call, Str name, Buf *out, Error *err) {
    int64_t min_ms, max_ms;
    SelectRequest *requests;
    size_t request_count, count;
    uint64_t limit;
    Str *items;

    TRY(api_range_params(call, &min_ms, &max_ms, err));
    TRY(api_u64_param(call, "limit", 0, &limit, err));
    TRY(api_match_params(call, min_ms, max_ms, false, &requests, &request_count, err));
    TRY(call->source->labels(call->source, &call->query, name, requests, request_count, &items,
                             &count, err));
    return write_strings(out, items, count, limit);
}

static ErrCode run_labels(ApiCall *call, Buf *out, Error *err) {
    return answer_labels(call, STR(""), out, err);
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "U__http_2e_status" is "http.status": `_XX_` is a code point in hex, `__` an underscore. A name
 * that is not quite so stays as it is. */
static Str unescape_name(Arena *arena, Str name) {
    Str rest = str_from(name, 3);
    char *out;
    size_t len = 0;

    if (!str_starts_with(name, STR("U__"))) return name;
    out = arena_alloc_bytes(arena, name.len * 4);
    if (out == NULL) return name;
    while (rest.len > 0) {
        uint32_t rune = 0;
        size_t i = 1;

        if (rest.ptr[0] != '_') {
            out[len++] = rest.ptr[0];
            rest = str_from(rest, 1);
            continue;
        }
        if (rest.len > 1 && rest.ptr[1] == '_') {
            out[len++] = '_';
            rest = str_from(rest, 2);
            continue;
        }
        while (i < rest.len && i <= 7 && hex_digit(rest.ptr[i]) >= 0)
            rune = rune * 16 + (uint32_t)hex_digit(rest.ptr[i++]);
        if (i == 1 || i >= rest.len || rest.ptr[i] != '_' || rune > 0x10ffff) return name;
        len += rune_encode(rune, out + len);
        rest = str_from(rest, i + 1);
    }
    return (Str){out, len};
}

static ErrCode run_label_values(ApiCall *call, Buf *out, Error *err) {
    Str name = unescape_name(call->arena, http_path_param(call->request, "name"));

    if (name.len == 0 || !str_is_utf8(name))
        return error_set(err, ERR_INVALID, "invalid label name: \"" STR_FMT "\"",
                         STR_ARG(str_slice(name, 0, 80)));
    return answer_labels(call, name, out, err);
}

typedef struct SortedSets {
    const Symbols *symbols;
    LabelSet *sets;
    size_t count;
} SortedSets;

static int compare_sets(const void *a, const void *b, void *symbols) {
    return label_set_compare(symbols, *(const LabelSet *)a, *(const LabelSet *)b);
}

static ErrCode run_series(ApiCall *call, Buf *out, Error *err) {
    int64_t min_ms, max_ms;
    SelectRequest *requests;
    size_t request_count, kept = 0;
    SortedSets sorted = {call->query.symbols, NULL, 0};
    uint64_t limit;

    TRY(api_range_params(call, &min_ms, &max_ms, err));
    TRY(api_u64_param(call, "limit", 0, &limit, err));
    TRY(api_match_params(call, min_ms, max_ms, true, &requests, &request_count, err));
    for (size_t r = 0; r < request_count; r++) {
        SeriesSet set;

        TRY(call->source->select(call->source, &call->query, &requests[r], &set, err));
        sorted.sets = arena_grow(call->arena, sorted.sets, sorted.count * sizeof(LabelSet),
                                 (sorted.count + set.count + 1) * sizeof(LabelSet));
        if (sorted.sets == NULL) return api_out_of_memory(err);
        if (set.count > 0)
            memcpy(sorted.sets + sorted.count, set.labels, set.count * sizeof(LabelSet));
        sorted.count += set.count;
    }
    if (sorted.count > 1)
        qsort_r(sorted.sets, sorted.count, sizeof(LabelSet), compare_sets, call->query.symbols);
    api_begin_data(out);
    buf_append_byte(out, '[');
    for (size_t i = 0; i < sorted.count; i++) {
        if (i > 0 && label_set_equal(sorted.sets[i - 1], sorted.sets[i])) continue;
        if (limit != 0 && kept == limit) {
            kept++;
            break;
        }
        if (kept++ > 0) buf_append_byte(out, ',');
        api_write_labels(out, call->query.symbols, sorted.sets[i]);
    }
    buf_append_byte(out, ']');
    api_end_data(out, limit != 0 && kept > limit);
    return ERR_OK;
}

static void write_metadata(Buf *out, const MetadataEntry *entry) {
    buf_append_str(out, STR("{\"type\":"));
    json_append_string(out, entry->type);
    buf_append_str(out, STR(",\"help\":"));
    json_append_string(out, entry->help);
    buf_append_str(out, STR(",\"unit\":"));
    json_append_string(out, entry->unit);
    buf_append_byte(out, '}');
}

/* Of metadata any number is one; a negative one, and 0, is no limit. */
static ErrCode metadata_limit(const ApiCall *call, const char *name, uint64_t *out, Error *err) {
    int64_t number;
    Str text;

    *out = 0;
    if (!api_param(call, name, &text)) return ERR_OK;
    if (!str_to_i64(text, &number)) return error_set(err, ERR_INVALID, "%s must be a number", name);
    *out = number > 0 ? (uint64_t)number : 0;
    return ERR_OK;
}

static ErrCode run_metadata(ApiCall *call, Buf *out, Error *err) {
    uint64_t limit, limit_per_metric;
    MetadataEntry *entries;
    size_t count, metrics = 0;
    Str metric = {0};

    (void)api_param(call, "metric", &metric);
    TRY(metadata_limit(call, "limit", &limit, err));
    TRY(metadata_limit(call, "limit_per_metric", &limit_per_metric, err));
    TRY(call->source->metadata(call->source, &call->query, metric, &entries, &count, err));
    api_begin_data(out);
    buf_append_byte(out, '{');
    for (size_t i = 0; i < count;) {
        size_t of_metric = 0;
        Str name = entries[i].metric;

        if (limit != 0 && metrics == limit) break;
        if (metrics++ > 0) buf_append_byte(out, ',');
        json_append_string(out, name);
        buf_append_str(out, STR(":["));
        for (; i < count && str_equal(entries[i].metric, name); i++) {
            if (limit_per_metric != 0 && of_metric == limit_per_metric) continue;
            if (of_metric++ > 0) buf_append_byte(out, ',');
            write_metadata(out, &entries[i]);
        }
        buf_append_byte(out, ']');
    }
    buf_append_byte(out, '}');
    api_end_data(out, false);
    return ERR_OK;
}

const ApiEndpoint api_series_endpoints[] = {
    {HTTP_GET_ | HTTP_POST_, "/labels", run_labels, 0},
    {HTTP_GET_ | HTTP_POST_, "/label/{name}/values", run_label_values, 0},
    {HTTP_GET_ | HTTP_POST_, "/series", run_series, 0},
    {HTTP_GET_, "/metadata", run_metadata, 0},
    {0, NULL, NULL, 0},
};
