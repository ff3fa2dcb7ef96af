/*
 * loki_fields.c: which fields the lines of a query have, and of which type: from structured
 * metadata, from what the query parsed, and from the lines themselves, as JSON or else as logfmt.
 */
#include <stdlib.h>

#include "common/base/hash.h"
#include "common/base/json.h"
#include "common/base/json_read.h"
#include "common/base/number.h"
#include "querier/api/loki.h"
#include "querier/logql/engine/engine.h"
#include "querier/logql/parser.h"
#include "querier/logql/units.h"

enum { DEFAULT_LINES = 100, DEFAULT_FIELDS = 1000, PATH_MAX_PARTS = 64 };

enum { PARSER_JSON = 1, PARSER_LOGFMT = 2 };

typedef struct Field {
    Str name;
    const char *type;
    unsigned parsers;
    Str path[PATH_MAX_PARTS]; /* in a line of JSON */
    size_t path_count;
    Str *values; /* each once; open addressing, ptr NULL is free */
    size_t value_count, value_capacity;
} Field;

typedef struct Fields {
    ApiCall *call;
    Field **items;
    size_t count, capacity;
    uint64_t limit;
} Fields;

static Str keep(Arena *arena, Str s) {
    Str copy = str_dup(arena, s);

    return copy.ptr == NULL ? STR("") : copy;
}

/* NULL: it is one too many, or memory is out. */
static Field *find_field(Fields *fields, Str name) {
    Arena *arena = fields->call->arena;

    for (size_t i = 0; i < fields->count; i++)
        if (str_equal(fields->items[i]->name, name)) return fields->items[i];
    if (fields->count == fields->limit) return NULL;
    if (fields->count == fields->capacity) {
        size_t capacity = MAX(fields->capacity * 2, (size_t)64);

        fields->items = arena_grow(arena, fields->items, fields->capacity * sizeof *fields->items,
                                   capacity * sizeof *fields->items);
        fields->capacity = fields->items == NULL ? 0 : capacity;
        if (fields->items == NULL) return NULL;
    }
    Field *field = ARENA_NEW(arena, Field);
    if (field == NULL) return NULL;
    field->name = keep(arena, name);
    fields->items[fields->count++] = field;
    return field;
}

static bool is_boolean(Str value) {
    static const char *const words[] = {"t", "T", "true",  "True",  "TRUE",
                                        "f", "F", "false", "False", "FALSE"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_equal(value, str_of(words[i]))) return true;
    return false;
}

static const char *type_of(Str value) {
    int64_t integer;
    uint64_t bytes;
    double number;

    if (str_to_i64(value, &integer)) return "int";
    if (value.len > 0 && number_parse(value.ptr, value.len, &number)) return "float";
    if (is_boolean(value)) return "boolean";
    if (logql_parse_go_duration(value, &integer)) return "duration";
    if (logql_parse_bytes(value, &bytes)) return "bytes";
    return "string";
}

static size_t value_slot(const Field *field, Str value) {
    size_t slot = hash_str(value) & (field->value_capacity - 1);

    while (field->values[slot].ptr != NULL && !str_equal(field->values[slot], value))
        slot = (slot + 1) & (field->value_capacity - 1);
    return slot;
}

static ErrCode add_value(Fields *fields, Field *field, Str value, Error *err) {
    Arena *arena = fields->call->arena;

    field->type = type_of(value);
    if (field->value_count * 2 >= field->value_capacity) {
        Str *old = field->values;
        size_t old_capacity = field->value_capacity;

        field->value_capacity = MAX(old_capacity * 2, (size_t)16);
        field->values = ARENA_ARRAY(arena, Str, field->value_capacity);
        if (field->values == NULL) return api_out_of_memory(err);
        for (size_t i = 0; i < old_capacity; i++)
            if (old[i].ptr != NULL) field->values[value_slot(field, old[i])] = old[i];
    }
    size_t slot = value_slot(field, value);
    if (field->values[slot].ptr != NULL) return ERR_OK;
    field->values[slot] = keep(arena, value);
    field->value_count++;
    return ERR_OK;
}

static bool is_error_label(Str name) {
    return str_equal(name, STR("__error__")) || str_equal(name, STR("__error_details__")) ||
           str_equal(name, STR("__preserve_error__"));
}

static ErrCode add_pairs(Fields *fields, LabelPairs pairs, unsigned parser, Error *err) {
    for (size_t i = 0; i < pairs.count; i++) {
        Field *field;

        if (is_error_label(pairs.pairs[i].name)) continue;
        field = find_field(fields, pairs.pairs[i].name);
        if (field == NULL) continue;
        field->parsers |= parser;
        TRY(add_value(fields, field, pairs.pairs[i].value, err));
    }
    return ERR_OK;
}

/* ---------- where in JSON a field is ---------- */

/* A key as it becomes part of a label's name. */
static size_t put_safe(char *out, Str key, bool first) {
    size_t used = 0;

    if (first && key.len > 0 && key.ptr[0] >= '0' && key.ptr[0] <= '9') out[used++] = '_';
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i], lower = (char)(c | 0x20);

        out[used++] = (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') ? c : '_';
    }
    return used;
}

static Field *known_field(const Fields *fields, Str name) {
    for (size_t i = 0; i < fields->count; i++) {
        Str have = fields->items[i]->name;

        if (str_equal(have, name)) return fields->items[i];
        if (str_starts_with(have, name) && str_equal(str_from(have, name.len), STR("_extracted")))
            return fields->items[i];
    }
    return NULL;
}

/* Follows the line's keys, and notes the path of every field that has none yet. */
static ErrCode note_paths(Fields *fields, Str line, Error *err) {
    Arena *arena = fields->call->arena;
    JsonReader json = json_reader(line, arena);
    size_t lengths[JSON_DEPTH_MAX + 1] = {0};
    Str path[JSON_DEPTH_MAX + 1];
    char *name = arena_alloc_bytes(arena, line.len * 2 + JSON_DEPTH_MAX + 1);
    JsonToken token;

    if (name == NULL) return api_out_of_memory(err);
    if (json_next(&json) != JSON_OBJECT) return ERR_OK;
    while ((token = json_next(&json)) != JSON_ERROR && token != JSON_END) {
        unsigned depth = json.depth;
        size_t used;
        Field *field;

        if (token != JSON_KEY || depth == 0 || depth > JSON_DEPTH_MAX) continue;
        used = lengths[depth - 1];
        path[depth - 1] = json.text;
        if (used > 0) name[used++] = '_';
        used += put_safe(name + used, json.text, used == 0);
        lengths[depth] = used;
        token = json_next(&json);
        if (token == JSON_OBJECT) continue;
        if (!json_skip(&json, token)) break;
        field = known_field(fields, (Str){name, used});
        if (field == NULL || field->path_count > 0) continue;
        field->path_count = MIN(depth, PATH_MAX_PARTS);
        for (size_t i = 0; i < field->path_count; i++) field->path[i] = keep(arena, path[i]);
    }
    return ERR_OK;
}

/* ---------- reading ---------- */

static ErrCode run_with(ApiCall *call, const char *stage, LogqlParams *params, LogqlResult *out,
                        Error *err) {
    Str text = STR(""), whole;
    LogqlExpr *expr;

    (void)api_param(call, "query", &text);
    TRY(logql_parse(call->arena, text, LOGQL_UNCHECKED, &expr, err));
    if (expr->kind != LOGQL_LOG)
        return error_set(err, ERR_INVALID, "only log selectors are supported");
    whole = str_format(call->arena, STR_FMT "\n%s", STR_ARG(text), stage);
    if (whole.ptr == NULL) return api_out_of_memory(err);
    TRY(logql_parse(call->arena, whole, LOGQL_UNCHECKED, &expr, err));
    return logql_eval(expr, params, out, err);
}

static bool has_error(LabelPairs pairs) {
    return labels_get(pairs, STR("__error__")).len > 0;
}

/* The three answers are of the same entries: the stages add labels and leave none out. */
static ErrCode collect(Fields *fields, LogqlParams *params, Error *err) {
    ApiCall *call = fields->call;
    LogqlResult plain, json, logfmt;

    TRY(run_with(call, "", params, &plain, err));
    TRY(run_with(call, "| json", params, &json, err));
    TRY(run_with(call, "| logfmt", params, &logfmt, err));
    if (plain.stream_count != json.stream_count || plain.stream_count != logfmt.stream_count)
        return error_set(err, ERR_UNAVAILABLE, "streams came while they were read; try again");
    for (size_t s = 0; s < plain.stream_count; s++) {
        const LogqlStream *stream = &plain.streams[s];
        size_t count = MIN(stream->count, MIN(json.streams[s].count, logfmt.streams[s].count));

        TRY(query_check(&call->query, err));
        for (size_t e = 0; e < count; e++) {
            const LogqlEntry *entry = &stream->entries[e];
            bool is_json = !has_error(json.streams[s].entries[e].parsed);
            LabelPairs found =
                is_json ? json.streams[s].entries[e].parsed : logfmt.streams[s].entries[e].parsed;
            unsigned parser = is_json                                          ? PARSER_JSON
                              : has_error(logfmt.streams[s].entries[e].parsed) ? 0
                                                                               : PARSER_LOGFMT;

            TRY(add_pairs(fields, entry->metadata, 0, err));
            TRY(add_pairs(fields, parser == 0 ? entry->parsed : found, parser, err));
            if (is_json) TRY(note_paths(fields, entry->line, err));
        }
    }
    return ERR_OK;
}

static ErrCode read_fields(ApiCall *call, Fields *fields, Error *err) {
    LogqlParams params = {
        .backward = true,
        .categorize = true,
        .source = call->streams,
        .query = &call->query,
        .stats = &call->stream_stats,
    };

    *fields = (Fields){.call = call};
    TRY(loki_bounds(call, &params.start_ns, &params.end_ns, err));
    TRY(loki_check_range(call, params.start_ns, params.end_ns, err));
    TRY(loki_limit_param(call, "line_limit", DEFAULT_LINES, &params.limit, err));
    TRY(loki_limit_param(call, "field_limit", DEFAULT_FIELDS, &fields->limit, err));
    TRY(loki_limit_param(call, "limit", fields->limit, &fields->limit, err));
    if (call->limits.log_query_entries_max > 0 && params.limit > call->limits.log_query_entries_max)
        return error_set(err, ERR_INVALID,
                         "max entries limit per query exceeded, line_limit > "
                         "limits.log_query_entries_max (%llu > %llu)",
                         (unsigned long long)params.limit,
                         (unsigned long long)call->limits.log_query_entries_max);
    params.step_ns = loki_default_step(params.start_ns, params.end_ns);
    return collect(fields, &params, err);
}

/* ---------- answers ---------- */

static void write_field(const Field *field, Buf *out) {
    buf_append_str(out, STR("{\"label\":"));
    json_append_string(out, field->name);
    buf_printf(out, ",\"type\":\"%s\",\"cardinality\":%zu,\"parsers\":%s", field->type,
               field->value_count,
               field->parsers == 0               ? "null"
               : field->parsers == PARSER_JSON   ? "[\"json\"]"
               : field->parsers == PARSER_LOGFMT ? "[\"logfmt\"]"
                                                 : "[\"json\",\"logfmt\"]");
    if (field->path_count > 0 && (field->parsers & PARSER_JSON) != 0) {
        buf_append_str(out, STR(",\"jsonPath\":["));
        for (size_t i = 0; i < field->path_count; i++) {
            if (i > 0) buf_append_byte(out, ',');
            json_append_string(out, field->path[i]);
        }
        buf_append_byte(out, ']');
    }
    buf_append_byte(out, '}');
}

static ErrCode run_fields(ApiCall *call, Buf *out, Error *err) {
    Fields fields;

    TRY(read_fields(call, &fields, err));
    buf_append_str(out, STR("{\"fields\":["));
    for (size_t i = 0; i < fields.count; i++) {
        if (i > 0) buf_append_byte(out, ',');
        write_field(fields.items[i], out);
    }
    buf_printf(out, "],\"limit\":%llu}", (unsigned long long)fields.limit);
    return ERR_OK;
}

static ErrCode run_field_values(ApiCall *call, Buf *out, Error *err) {
    Str name = http_path_param(call->request, "name");
    Fields fields;
    size_t written = 0;

    TRY(read_fields(call, &fields, err));
    buf_append_str(out, STR("{\"values\":["));
    for (size_t i = 0; i < fields.count; i++) {
        const Field *field = fields.items[i];

        if (!str_equal(field->name, name)) continue;
        for (size_t v = 0; v < field->value_capacity && written < fields.limit; v++) {
            if (field->values[v].ptr == NULL) continue;
            if (written++ > 0) buf_append_byte(out, ',');
            json_append_string(out, field->values[v]);
        }
    }
    buf_printf(out, "],\"limit\":%llu}", (unsigned long long)fields.limit);
    return ERR_OK;
}

const ApiEndpoint api_loki_field_endpoints[] = {
    {HTTP_GET_ | HTTP_POST_, "/loki/api/v1/detected_fields", run_fields, API_LOKI},
    {HTTP_GET_ | HTTP_POST_, "/loki/api/v1/detected_field/{name}/values", run_field_values,
     API_LOKI},
    {0, NULL, NULL, 0},
};
