/*
 * row_json.c: json and unpack. JSON is read as leniently as Loki's reader does: what is not looked
 * at need not be well-formed, and what stands behind the object is not looked at.
 */
#include <ctype.h>

#include "querier/logql/engine/row_stage.h"

enum { DEPTH_MAX = 100, KEY_BYTES_MAX = 4096 };

/* ---- reading ---- */

static void skip_spaces(Str *rest) {
    while (rest->len > 0 && (rest->ptr[0] == ' ' || rest->ptr[0] == '\n' || rest->ptr[0] == '\r' ||
                             rest->ptr[0] == '\t'))
        *rest = str_from(*rest, 1);
}

/* Behind the opening quote, up to the closing one, which is taken. False: there is none. */
static bool take_string(Str *rest, Str *text) {
    size_t from = 0;

    for (;;) {
        const char *quote =
            from >= rest->len ? NULL : memchr(rest->ptr + from, '"', rest->len - from);
        size_t at = quote == NULL ? 0 : (size_t)(quote - rest->ptr), slashes = 0;

        if (quote == NULL) return false;
        while (slashes < at && rest->ptr[at - 1 - slashes] == '\\') slashes++;
        from = at + 1;
        if (slashes % 2 != 0) continue;
        *text = str_slice(*rest, 0, at);
        *rest = str_from(*rest, at + 1);
        return true;
    }
}

/* The brackets' contents with the brackets; strings in between may have any. */
static bool take_block(Str *rest, char open, char close, Str *text) {
    Str from = *rest, inner;
    size_t level = 0;

    while (rest->len > 0) {
        char c = rest->ptr[0];

        *rest = str_from(*rest, 1);
        if (c == '"') {
            if (!take_string(rest, &inner)) return false;
        } else if (c == open) {
            level++;
        } else if (c == close && --level == 0) {
            *text = str_slice(from, 0, from.len - rest->len);
            return true;
        }
    }
    return false;
}

static bool is_end(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == ',' || c == '}' || c == ']';
}

static bool take_word(Str *rest, RowJson *out) {
    size_t len = 0;

    while (len < rest->len && !is_end(rest->ptr[len])) len++;
    out->text = str_slice(*rest, 0, len);
    *rest = str_from(*rest, len);
    if (len == 0) return false;
    if (str_equal(out->text, STR("true")) || str_equal(out->text, STR("false")))
        out->kind = ROW_JSON_BOOLEAN;
    else if (str_equal(out->text, STR("null")))
        out->kind = ROW_JSON_NULL;
    else if (out->text.ptr[0] == '-' || isdigit((unsigned char)out->text.ptr[0]))
        out->kind = ROW_JSON_NUMBER;
    else
        return false;
    return true;
}

bool row_json_value(Str *rest, RowJson *out) {
    skip_spaces(rest);
    if (rest->len == 0) return false;
    if (rest->ptr[0] == '"') {
        out->kind = ROW_JSON_STRING;
        *rest = str_from(*rest, 1);
        return take_string(rest, &out->text);
    }
    if (rest->ptr[0] == '{') {
        out->kind = ROW_JSON_OBJECT;
        return take_block(rest, '{', '}', &out->text);
    }
    if (rest->ptr[0] == '[') {
        out->kind = ROW_JSON_ARRAY;
        return take_block(rest, '[', ']', &out->text);
    }
    return take_word(rest, out);
}

/* The next key and value behind `{` or the last one. `first`: no comma is due. */
RowJsonStep row_json_field(Str *rest, bool first, Arena *arena, Str *key, RowJson *value) {
    skip_spaces(rest);
    if (!first) {
        if (rest->len > 0 && rest->ptr[0] == '}') return ROW_JSON_END;
        if (rest->len == 0 || rest->ptr[0] != ',') return ROW_JSON_BROKEN;
        *rest = str_from(*rest, 1);
        skip_spaces(rest);
    }
    if (rest->len > 0 && rest->ptr[0] == '}') return ROW_JSON_END;
    if (rest->len == 0 || rest->ptr[0] != '"') return ROW_JSON_BROKEN;
    *rest = str_from(*rest, 1);
    if (!take_string(rest, key) || !row_json_unescape(arena, *key, key)) return ROW_JSON_BROKEN;
    skip_spaces(rest);
    if (rest->len == 0 || rest->ptr[0] != ':') return ROW_JSON_BROKEN;
    *rest = str_from(*rest, 1);
    return row_json_value(rest, value) ? ROW_JSON_FIELD : ROW_JSON_BROKEN;
}

static Str text_of(Arena *arena, const RowJson *value) {
    Str text;

    if (value->kind == ROW_JSON_NULL) return (Str){"", 0};
    if (value->kind != ROW_JSON_STRING) return value->text;
    if (!row_json_unescape(arena, value->text, &text)) return (Str){"", 0};
    return row_clean_text(arena, text);
}

/* ---- every field ---- */

typedef struct Path {
    char bytes[KEY_BYTES_MAX];
    size_t len;
} Path;

/* Adds a key to the path of keys. False: it is too long a name. */
static bool path_add(Path *path, Arena *scratch, Str key, size_t *before) {
    Str name = row_label_name(scratch, key);

    *before = path->len;
    if (name.len == 0) return true;
    if (path->len > 0) {
        /* Only the first digit needs company. */
        if (name.ptr[0] == '_' && key.len > 0 && isdigit((unsigned char)str_trim(key).ptr[0]))
            name = str_from(name, 1);
        if (path->len + 1 + name.len > KEY_BYTES_MAX) return false;
        path->bytes[path->len++] = '_';
    }
    if (path->len + name.len > KEY_BYTES_MAX) return false;
    memcpy(path->bytes + path->len, name.ptr, name.len);
    path->len += name.len;
    return true;
}

static void set_field(RowRun *run, const Path *path, const RowJson *value) {
    Str name = {path->bytes, path->len};
    RowLabels *labels = &run->labels;

    if (name.len == 0) return;
    name = row_labels_parsed_name(labels, name);
    if (!row_labels_wants(labels, name)) return;
    if (name.ptr == path->bytes) name = str_dup(labels->scratch, name);
    if (name.ptr == NULL)
        labels->failed = true;
    else
        row_labels_parse(labels, name, text_of(labels->scratch, value));
}

/* False: the object is broken. *enough: nothing more is wanted. */
static bool walk(RowRun *run, Str object, Path *path, unsigned depth, bool *enough) {
    Arena *scratch = run->labels.scratch;
    bool first = true;
    RowJson value;
    Str key;

    object = str_from(object, 1);
    for (;; first = false) {
        RowJsonStep step = row_json_field(&object, first, scratch, &key, &value);
        size_t before;

        if (step != ROW_JSON_FIELD) return step == ROW_JSON_END;
        if (value.kind == ROW_JSON_NULL || value.kind == ROW_JSON_ARRAY) continue;
        if (path_add(path, scratch, key, &before)) {
            if (value.kind != ROW_JSON_OBJECT)
                set_field(run, path, &value);
            else if (depth < DEPTH_MAX &&
                     row_labels_wants_prefix(&run->labels, (Str){path->bytes, path->len}) &&
                     !walk(run, value.text, path, depth + 1, enough))
                return false;
        }
        path->len = before;
        *enough =
            *enough || (run->labels.hints->required_count > 0 && row_labels_enough(&run->labels));
        if (*enough || run->labels.refused) return true;
    }
}

static void broken(RowRun *run) {
    row_labels_fail(&run->labels, STR("JSONParserErr"),
                    STR("Value looks like object, but can't find closing '}' symbol"));
}

static bool run_json(const RowStage *stage, RowRun *run) {
    Str line = run->line;
    bool enough = false;
    Path path;

    (void)stage;
    if (row_labels_enough(&run->labels)) return true;
    path.len = 0;
    skip_spaces(&line);
    if (line.len == 0 || line.ptr[0] != '{' || !walk(run, line, &path, 0, &enough)) broken(run);
    return !run->labels.refused;
}

/* ---- some fields ---- */

typedef struct PathStep {
    Str key; /* of an object, or */
    int64_t index;
} PathStep;

typedef struct Wanted {
    Str name;
    PathStep *steps;
    size_t count;
} Wanted;

typedef struct Expressions {
    Wanted *wanted;
    size_t count;
} Expressions;

/* Element `index` of an array. */
bool row_json_element(Str array, int64_t index, RowJson *out) {
    array = str_from(array, 1);
    for (int64_t i = 0; row_json_value(&array, out); i++) {
        if (i == index) return true;
        skip_spaces(&array);
        if (array.len == 0 || array.ptr[0] != ',') return false;
        array = str_from(array, 1);
    }
    return false;
}

bool row_json_key(Str object, Arena *scratch, Str wanted, RowJson *out) {
    bool first = true;
    Str key;

    object = str_from(object, 1);
    for (; row_json_field(&object, first, scratch, &key, out) == ROW_JSON_FIELD; first = false)
        if (str_equal(key, wanted)) return true;
    return false;
}

static bool find_value(const Wanted *wanted, Str line, Arena *scratch, RowJson *out) {
    if (!row_json_value(&line, out)) return false;
    for (size_t i = 0; i < wanted->count; i++) {
        const PathStep *step = &wanted->steps[i];

        if (step->index >= 0) {
            if (out->kind != ROW_JSON_ARRAY || !row_json_element(out->text, step->index, out))
                return false;
        } else if (out->kind != ROW_JSON_OBJECT ||
                   !row_json_key(out->text, scratch, step->key, out)) {
            return false;
        }
    }
    return true;
}

static bool run_expressions(const RowStage *stage, RowRun *run) {
    const Expressions *expressions = stage->data;
    RowLabels *labels = &run->labels;
    RowJson value;
    Str known;

    if (run->line.len == 0 || row_labels_enough(labels)) return true;
    if (run->line.ptr[0] != '"' && run->line.ptr[0] != '{' && run->line.ptr[0] != '[') {
        row_labels_fail(labels, STR("JSONParserErr"), (Str){"", 0});
        return true;
    }
    for (size_t i = 0; i < expressions->count; i++) {
        const Wanted *wanted = &expressions->wanted[i];

        if (find_value(wanted, run->line, labels->scratch, &value))
            row_labels_set(labels, ROW_PARSED, row_labels_parsed_name(labels, wanted->name),
                           text_of(labels->scratch, &value));
        else if (!row_labels_get(labels, wanted->name, &known))
            row_labels_set(labels, ROW_PARSED, wanted->name, (Str){"", 0});
    }
    return true;
}

static ErrCode bad_path(Str expression, Error *err) {
    return error_set(err, ERR_INVALID, "cannot parse expression [" STR_FMT "]: syntax error",
                     STR_ARG(expression));
}

/* a.b[0]["c d"] */
static bool take_step(Str *rest, bool first, PathStep *out) {
    size_t len = 0;
    uint64_t index;

    *out = (PathStep){.index = -1};
    if (rest->ptr[0] == '[') {
        const char *end = memchr(rest->ptr, ']', rest->len);
        Str inner;

        if (str_starts_with(*rest, STR("[\""))) end = memmem(rest->ptr, rest->len, "\"]", 2);
        if (end == NULL) return false;
        inner = str_slice(*rest, 1, (size_t)(end - rest->ptr) - 1);
        *rest = str_from(*rest, inner.len + 2);
        if (inner.len > 0 && inner.ptr[0] == '"') {
            out->key = str_from(inner, 1);
            *rest = str_from(*rest, 1);
            return true;
        }
        if (!str_to_u64(inner, &index) || index > INT32_MAX) return false;
        out->index = (int64_t)index;
        return true;
    }
    if (!first) {
        if (rest->ptr[0] != '.') return false;
        *rest = str_from(*rest, 1);
    }
    while (len < rest->len && rest->ptr[len] != '.' && rest->ptr[len] != '[') len++;
    out->key = str_slice(*rest, 0, len);
    *rest = str_from(*rest, len);
    return len > 0;
}

static ErrCode compile_path(Arena *arena, const LogqlExtraction *from, Wanted *out, Error *err) {
    Str rest = from->expression;

    out->name = from->name;
    out->steps = ARENA_ARRAY(arena, PathStep, rest.len + 1);
    if (out->steps == NULL) return logql_out_of_memory(err);
    for (; rest.len > 0; out->count++)
        if (!take_step(&rest, out->count == 0, &out->steps[out->count]))
            return bad_path(from->expression, err);
    return out->count == 0 ? bad_path(from->expression, err) : ERR_OK;
}

ErrCode row_json(Arena *arena, const LogqlStage *stage, RowStage *out, Error *err) {
    Expressions *expressions;

    *out = (RowStage){run_json, NULL};
    if (stage->as.parser.count == 0) return ERR_OK;
    expressions = ARENA_NEW(arena, Expressions);
    if (expressions == NULL) return logql_out_of_memory(err);
    expressions->wanted = ARENA_ARRAY(arena, Wanted, stage->as.parser.count);
    if (expressions->wanted == NULL) return logql_out_of_memory(err);
    for (size_t i = 0; i < stage->as.parser.count; i++)
        TRY(compile_path(arena, &stage->as.parser.extractions[i],
                         &expressions->wanted[expressions->count++], err));
    *out = (RowStage){run_expressions, expressions};
    return ERR_OK;
}

/* ---- unpack ---- */

/* What was packed: strings become labels, once there is an _entry, which becomes the line. */
static bool unpack(RowRun *run, Str object, bool set, bool *packed, Str *entry) {
    RowLabels *labels = &run->labels;
    bool first = true;
    RowJson value;
    Str key, name;

    object = str_from(object, 1);
    for (;; first = false) {
        RowJsonStep step = row_json_field(&object, first, labels->scratch, &key, &value);

        if (step != ROW_JSON_FIELD) return step == ROW_JSON_END;
        if (value.kind != ROW_JSON_STRING) continue;
        if (str_equal(key, STR("_entry"))) {
            if (!row_json_unescape(labels->scratch, value.text, entry)) return false;
            *packed = true;
            continue;
        }
        if (!set) continue;
        name = row_labels_parsed_name(labels, key);
        if (!row_labels_wants(labels, name)) continue;
        name = row_label_name(labels->scratch, name);
        if (name.len > 0) row_labels_parse(labels, name, text_of(labels->scratch, &value));
        if (labels->refused) return true;
    }
}

static bool run_unpack(const RowStage *stage, RowRun *run) {
    bool packed = false;
    Str entry = run->line;

    (void)stage;
    if (run->line.len == 0 || row_labels_enough(&run->labels)) return true;
    if (run->line.ptr[0] != '{') {
        row_labels_fail(&run->labels, STR("JSONParserErr"),
                        STR("expecting json object(6), but it is not"));
        return true;
    }
    if (!unpack(run, run->line, false, &packed, &entry)) {
        broken(run);
        return true;
    }
    if (packed) (void)unpack(run, run->line, true, &packed, &entry);
    run->line = entry;
    return !run->labels.refused;
}

ErrCode row_unpack(RowStage *out) {
    *out = (RowStage){run_unpack, NULL};
    return ERR_OK;
}
