/*
 * row_json.c: json and unpack. JSON is read as leniently as Loki's reader does: what is not looked
 * at need not be well-formed, and what stands behind the object is not looked at.
 */
#include <ctype.h>

#include "querier/logql/engine/row_bytes.h"
#include "querier/logql/engine/row_layout.h"
#include "querier/logql/engine/row_stage.h"

enum { DEPTH_MAX = 100, KEY_BYTES_MAX = 4096 };

/* ---- reading ---- */

typedef struct Cursor {
    const char *at, *end;
} Cursor;

static Cursor cursor_of(Str text) {
    return (Cursor){text.ptr, text.len == 0 ? text.ptr : text.ptr + text.len};
}

static Str rest_of(const Cursor *cursor) {
    return (Str){cursor->at, (size_t)(cursor->end - cursor->at)};
}

static inline void skip_spaces(Cursor *cursor) {
    while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\n' ||
                                        *cursor->at == '\r' || *cursor->at == '\t'))
        cursor->at++;
}

/* Takes `c`, if it is what stands there. */
static inline bool take_byte(Cursor *cursor, char c) {
    if (cursor->at == cursor->end || *cursor->at != c) return false;
    cursor->at++;
    return true;
}

/* A string with escapes: up to a quote that has an even number of them before it. */
static bool take_escaped(Cursor *cursor, Str *text) {
    Str rest = rest_of(cursor);
    size_t from = 0;

    for (;;) {
        const char *quote = from >= rest.len ? NULL : memchr(rest.ptr + from, '"', rest.len - from);
        size_t at = quote == NULL ? 0 : (size_t)(quote - rest.ptr), slashes = 0;

        if (quote == NULL) return false;
        while (slashes < at && rest.ptr[at - 1 - slashes] == '\\') slashes++;
        from = at + 1;
        if (slashes % 2 != 0) continue;
        *text = str_slice(rest, 0, at);
        cursor->at = quote + 1;
        return true;
    }
}

/* Behind the opening quote, up to the closing one, which is taken. *plain: neither escapes nor
 * anything but ASCII. False: there is no closing one. */
static inline bool take_string(Cursor *cursor, Str *text, bool *plain) {
    bool high = false;
    const char *found = bytes_to_quote(cursor->at, cursor->end, &high);

    *plain = false;
    if (found == cursor->end) return false;
    if (*found != '"') return take_escaped(cursor, text);
    *plain = !high;
    *text = (Str){cursor->at, (size_t)(found - cursor->at)};
    cursor->at = found + 1;
    return true;
}

#ifdef __SSE2__
/* Brackets of 64 bytes at a time, those in strings left out. Stops, with *level so far, where the
 * last bracket may be closed, before an escape, or near the end; *string: within a string. */
static void skip_blocks(Cursor *cursor, char open, char close, size_t *level, bool *string) {
    while (cursor->end - cursor->at >= 64) {
        const __m128i *from = (const __m128i *)(const void *)cursor->at;
        const __m128i block[4] = {_mm_loadu_si128(from), _mm_loadu_si128(from + 1),
                                  _mm_loadu_si128(from + 2), _mm_loadu_si128(from + 3)};
        uint64_t inside, closed;

        if (bytes_equal(block, '\\') != 0) return;
        inside = bytes_between(bytes_equal(block, '"')) ^ (*string ? ~UINT64_C(0) : 0);
        closed = bytes_equal(block, close) & ~inside;
        if ((size_t)__builtin_popcountll(closed) >= *level) return;
        *level += (size_t)__builtin_popcountll(bytes_equal(block, open) & ~inside);
        *level -= (size_t)__builtin_popcountll(closed);
        *string = inside >> 63 != 0;
        cursor->at += 64;
    }
}
#endif

/* The brackets' contents with the brackets; strings in between may have any. */
static bool take_block(Cursor *cursor, char open, char close, Str *text) {
    const char *start = cursor->at++;
    bool string = false, plain;
    size_t level = 1;
    Str inner;

#ifdef __SSE2__
    skip_blocks(cursor, open, close, &level, &string);
#endif
    if (string && !take_string(cursor, &inner, &plain)) return false;
    while (cursor->at < cursor->end) {
        char c = *cursor->at++;

        if (c == '"') {
            if (!take_string(cursor, &inner, &plain)) return false;
        } else if (c == open) {
            level++;
        } else if (c == close && --level == 0) {
            *text = (Str){start, (size_t)(cursor->at - start)};
            return true;
        }
    }
    return false;
}

static bool is_end(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == ',' || c == '}' || c == ']';
}

static bool take_word(Cursor *cursor, RowJson *out) {
    const char *start = cursor->at;

    while (cursor->at < cursor->end && !is_end(*cursor->at)) cursor->at++;
    out->text = (Str){start, (size_t)(cursor->at - start)};
    out->plain = false;
    if (out->text.len == 0) return false;
    if (*start == '-' || isdigit((unsigned char)*start))
        out->kind = ROW_JSON_NUMBER;
    else if (str_equal(out->text, STR("true")) || str_equal(out->text, STR("false")))
        out->kind = ROW_JSON_BOOLEAN;
    else if (str_equal(out->text, STR("null")))
        out->kind = ROW_JSON_NULL;
    else
        return false;
    return true;
}

static inline bool take_value(Cursor *cursor, RowJson *out) {
    skip_spaces(cursor);
    if (cursor->at == cursor->end) return false;
    switch (*cursor->at) {
    case '"':
        out->kind = ROW_JSON_STRING;
        cursor->at++;
        return take_string(cursor, &out->text, &out->plain);
    case '{':
        out->kind = ROW_JSON_OBJECT;
        out->plain = false;
        return take_block(cursor, '{', '}', &out->text);
    case '[':
        out->kind = ROW_JSON_ARRAY;
        out->plain = false;
        return take_block(cursor, '[', ']', &out->text);
    default:
        return take_word(cursor, out);
    }
}

static inline RowJsonStep take_field(Cursor *cursor, bool first, Arena *arena, Str *key,
                                     RowJson *value) {
    bool plain;

    skip_spaces(cursor);
    if (!first) {
        if (cursor->at < cursor->end && *cursor->at == '}') return ROW_JSON_END;
        if (!take_byte(cursor, ',')) return ROW_JSON_BROKEN;
        skip_spaces(cursor);
    }
    if (cursor->at < cursor->end && *cursor->at == '}') return ROW_JSON_END;
    if (!take_byte(cursor, '"') || !take_string(cursor, key, &plain) ||
        (!plain && !row_json_unescape(arena, *key, key)))
        return ROW_JSON_BROKEN;
    skip_spaces(cursor);
    if (!take_byte(cursor, ':')) return ROW_JSON_BROKEN;
    return take_value(cursor, value) ? ROW_JSON_FIELD : ROW_JSON_BROKEN;
}

bool row_json_value(Str *rest, RowJson *out) {
    Cursor cursor = cursor_of(*rest);
    bool good = take_value(&cursor, out);

    *rest = rest_of(&cursor);
    return good;
}

RowJsonStep row_json_field(Str *rest, bool first, Arena *arena, Str *key, RowJson *value) {
    Cursor cursor = cursor_of(*rest);
    RowJsonStep step = take_field(&cursor, first, arena, key, value);

    *rest = rest_of(&cursor);
    return step;
}

Str row_json_text(Arena *arena, const RowJson *value) {
    Str text;

    if (value->kind == ROW_JSON_NULL) return (Str){"", 0};
    if (value->kind != ROW_JSON_STRING || value->plain) return value->text;
    if (!row_json_unescape(arena, value->text, &text)) return (Str){"", 0};
    return row_clean_text(arena, text);
}

/* ---- every field ---- */

typedef struct Path {
    char bytes[KEY_BYTES_MAX];
    size_t len;
} Path;

/* Adds a name to the path of names. False: it is too long. */
static bool path_add(Path *path, Str name, Str key) {
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

typedef struct Walk {
    RowRun *run;
    RowRecorder *recorder; /* fields are noted, not set; may be NULL */
    Path path;
    bool enough; /* nothing more is wanted */
} Walk;

/* `name` lives as long as the entry, or is the path's. */
static void set_field(Walk *w, Str name, const RowJson *value) {
    RowLabels *labels = &w->run->labels;
    const Path *path = &w->path;

    if (name.len == 0 || !row_labels_may_want(labels, name)) return;
    if (w->recorder != NULL) {
        row_recorder_field(w->recorder, name, value);
        return;
    }
    name = row_labels_parsed_name(labels, name);
    if (!row_labels_wants(labels, name)) return;
    if (name.ptr == path->bytes) name = str_dup(labels->scratch, name);
    if (name.ptr == NULL)
        labels->failed = true;
    else
        row_labels_parse(labels, name, row_json_text(labels->scratch, value));
}

static bool walk(Walk *w, Str object, unsigned depth);

/* False: an object in it is broken. */
static bool visit(Walk *w, Str key, const RowJson *value, unsigned depth) {
    Str name = row_label_name(w->run->labels.scratch, key);
    size_t before = w->path.len;
    bool good = true;

    if (before == 0 && value->kind != ROW_JSON_OBJECT) {
        if (name.len <= KEY_BYTES_MAX) set_field(w, name, value);
        return true;
    }
    if (path_add(&w->path, name, key)) {
        Str path = {w->path.bytes, w->path.len};

        if (value->kind != ROW_JSON_OBJECT)
            set_field(w, path, value);
        else if (depth < DEPTH_MAX && row_labels_wants_prefix(&w->run->labels, path))
            good = walk(w, value->text, depth + 1);
    }
    w->path.len = before;
    return good;
}

/* False: the object is broken. */
static bool walk(Walk *w, Str object, unsigned depth) {
    RowLabels *labels = &w->run->labels;
    Cursor cursor = cursor_of(object);
    bool first = true;
    RowJson value;
    Str key;

    cursor.at++;
    for (;; first = false) {
        RowJsonStep step = take_field(&cursor, first, labels->scratch, &key, &value);

        if (step != ROW_JSON_FIELD) return step == ROW_JSON_END;
        if (w->recorder != NULL) row_recorder_json(w->recorder, key, &value);
        if (value.kind == ROW_JSON_NULL || value.kind == ROW_JSON_ARRAY) continue;
        if (!visit(w, key, &value, depth)) return false;
        if (w->recorder != NULL) continue;
        w->enough = w->enough || (labels->hints->required_count > 0 && row_labels_enough(labels));
        if (w->enough || labels->refused) return true;
    }
}

static void broken(RowRun *run) {
    row_labels_fail(&run->labels, STR("JSONParserErr"),
                    STR("Value looks like object, but can't find closing '}' symbol"));
}

/* False: it is no object that can be read. */
static bool walk_line(RowRun *run, Str text, RowRecorder *recorder) {
    Cursor line = cursor_of(text);
    Walk w;

    w.run = run;
    w.recorder = recorder;
    w.path.len = 0; /* its bytes are not cleared: they are many */
    w.enough = false;
    skip_spaces(&line);
    return line.at < line.end && *line.at == '{' && walk(&w, rest_of(&line), 0);
}

static bool record_json(const RowStage *stage, RowRun *run, Str line, RowRecorder *recorder) {
    (void)stage;
    return walk_line(run, line, recorder);
}

/* As walk() would, with fields where lines of this shape have them. */
static bool set_fields(RowRun *run, const RowLayout *layout) {
    RowLabels *labels = &run->labels;

    for (size_t i = 0; i < layout->count; i++) {
        const RowField *field = &layout->fields[i];
        Str name = row_labels_parsed_name(labels, field->name);
        RowJson value = {field->kind, field->text, field->plain};

        if (!row_labels_wants(labels, name)) continue;
        if (!field->constant) {
            if (!row_field_text(run, field, &value.text)) return false;
            value.text = row_json_text(labels->scratch, &value);
        }
        row_labels_parse(labels, name, value.text);
        if (labels->refused) return false;
        if (labels->hints->required_count > 0 && row_labels_enough(labels)) return true;
    }
    return true;
}

static bool run_json(const RowStage *stage, RowRun *run) {
    const RowLayout *layout;

    if (row_labels_enough(&run->labels)) return true;
    layout = row_layout(stage, run, record_json);
    if (layout != NULL) return set_fields(run, layout);
    if (!walk_line(run, row_line(run), NULL)) broken(run);
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

bool row_json_element(Str array, int64_t index, RowJson *out) {
    Cursor cursor = cursor_of(str_from(array, 1));

    for (int64_t i = 0; take_value(&cursor, out); i++) {
        if (i == index) return true;
        skip_spaces(&cursor);
        if (!take_byte(&cursor, ',')) return false;
    }
    return false;
}

bool row_json_key(Str object, Arena *scratch, Str wanted, RowJson *out) {
    Cursor cursor = cursor_of(str_from(object, 1));
    bool first = true;
    Str key;

    for (; take_field(&cursor, first, scratch, &key, out) == ROW_JSON_FIELD; first = false)
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
    Str line = row_line(run);
    RowJson value;
    Str known;

    if (line.len == 0 || row_labels_enough(labels)) return true;
    if (line.ptr[0] != '"' && line.ptr[0] != '{' && line.ptr[0] != '[') {
        row_labels_fail(labels, STR("JSONParserErr"), (Str){"", 0});
        return true;
    }
    for (size_t i = 0; i < expressions->count; i++) {
        const Wanted *wanted = &expressions->wanted[i];

        if (find_value(wanted, line, labels->scratch, &value))
            row_labels_set(labels, ROW_PARSED, row_labels_parsed_name(labels, wanted->name),
                           row_json_text(labels->scratch, &value));
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

    *out = (RowStage){.run = run_json, .data = NULL};
    if (stage->as.parser.count == 0) return ERR_OK;
    expressions = ARENA_NEW(arena, Expressions);
    if (expressions == NULL) return logql_out_of_memory(err);
    expressions->wanted = ARENA_ARRAY(arena, Wanted, stage->as.parser.count);
    if (expressions->wanted == NULL) return logql_out_of_memory(err);
    for (size_t i = 0; i < stage->as.parser.count; i++)
        TRY(compile_path(arena, &stage->as.parser.extractions[i],
                         &expressions->wanted[expressions->count++], err));
    *out = (RowStage){.run = run_expressions, .data = expressions};
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
        if (name.len > 0) row_labels_parse(labels, name, row_json_text(labels->scratch, &value));
        if (labels->refused) return true;
    }
}

static bool run_unpack(const RowStage *stage, RowRun *run) {
    bool packed = false;
    Str line = row_line(run), entry = line;

    (void)stage;
    if (line.len == 0 || row_labels_enough(&run->labels)) return true;
    if (line.ptr[0] != '{') {
        row_labels_fail(&run->labels, STR("JSONParserErr"),
                        STR("expecting json object(6), but it is not"));
        return true;
    }
    if (!unpack(run, line, false, &packed, &entry)) {
        broken(run);
        return true;
    }
    if (packed) (void)unpack(run, line, true, &packed, &entry);
    row_line_set(run, entry);
    return !run->labels.refused;
}

ErrCode row_unpack(RowStage *out) {
    *out = (RowStage){.run = run_unpack, .data = NULL};
    return ERR_OK;
}
