/*
 * yaml.c: a YAML file becomes a flat list of (path, text, line). libyaml scans; what is kept is
 * what settings need: mappings, lists and scalars, one document, no anchors or tags.
 */
#include <stdlib.h>
#include <yaml.h>

#include "common/config/config.h"

enum { YAML_BYTES_MAX = 4 << 20, YAML_DEPTH_MAX = 16, YAML_VALUES_MAX = 200000 };

/* One open mapping or list. */
typedef struct Level {
    size_t path_len; /* of the path that this level's names are added to */
    bool is_list;
    bool wants_value; /* a mapping whose key was read */
    unsigned index;   /* of the next item of a list */
} Level;

typedef struct Parser {
    yaml_parser_t yaml;
    Str file;
    Arena *arena;
    Buf path;
    Level levels[YAML_DEPTH_MAX];
    unsigned depth;
    unsigned documents;
    ConfigValue *values;
    size_t count;
    size_t capacity;
} Parser;

static ErrCode expand(Parser *parser, Str text, unsigned line, Str *out, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf buf;

    buf_init(&buf, MIB(1));
    while (text.len > 0) {
        const char *at = memmem(text.ptr, text.len, "${", 2);
        const char *close;
        Str name, fallback;
        char key[256];
        const char *value;

        if (at == NULL) {
            buf_append_str(&buf, text);
            break;
        }
        buf_append(&buf, text.ptr, (size_t)(at - text.ptr));
        text = str_from(text, (size_t)(at - text.ptr) + 2);
        close = memchr(text.ptr, '}', text.len);
        if (close == NULL)
            return error_set(err, ERR_INVALID, STR_FMT ":%u: \"${\" without its \"}\"",
                             STR_ARG(parser->file), line);
        name = (Str){text.ptr, (size_t)(close - text.ptr)};
        text = str_from(text, name.len + 1);
        bool has_fallback = str_cut(name, ':', &name, &fallback);
        if (name.len == 0 || name.len >= sizeof key ||
            (has_fallback && !str_starts_with(fallback, STR("-"))))
            return error_set(err, ERR_INVALID, STR_FMT ":%u: expected ${NAME} or ${NAME:-default}",
                             STR_ARG(parser->file), line);
        memcpy(key, name.ptr, name.len);
        key[name.len] = '\0';
        value = getenv(key);
        if (value != NULL && value[0] == '\0' && has_fallback) value = NULL; /* as a shell has it */
        if (value == NULL && !has_fallback)
            return error_set(err, ERR_INVALID,
                             STR_FMT ":%u: environment variable %s is not set (a default is "
                                     "written ${%s:-default})",
                             STR_ARG(parser->file), line, key, key);
        buf_append_str(&buf, value != NULL ? str_of(value) : str_from(fallback, 1));
    }
    if (buf_failed(&buf))
        return error_set(err, ERR_LIMIT, STR_FMT ":%u: a value over 1 MiB", STR_ARG(parser->file),
                         line);
    *out = str_dup(parser->arena, buf_str(&buf));
    return out->ptr == NULL ? error_set(err, ERR_LIMIT, "configuration: out of memory") : ERR_OK;
}

static ErrCode add_value(Parser *parser, Str text, unsigned line, Error *err) {
    ConfigValue value = {.line = line};

    if (parser->count == parser->capacity) {
        size_t capacity = MAX(parser->capacity * 2, 64);

        if (capacity > YAML_VALUES_MAX)
            return error_set(err, ERR_LIMIT, STR_FMT ":%u: more than %d values",
                             STR_ARG(parser->file), line, YAML_VALUES_MAX);
        parser->values =
            arena_grow(parser->arena, parser->values, parser->capacity * sizeof(ConfigValue),
                       capacity * sizeof(ConfigValue));
        if (parser->values == NULL)
            return error_set(err, ERR_LIMIT, "configuration: out of memory");
        parser->capacity = capacity;
    }
    TRY(expand(parser, text, line, &value.text, err));
    value.path = str_dup(parser->arena, buf_str(&parser->path));
    if (value.path.ptr == NULL) return error_set(err, ERR_LIMIT, "configuration: out of memory");
    parser->values[parser->count++] = value;
    return ERR_OK;
}

static void path_add(Parser *parser, Str name) {
    if (parser->path.len > 0) buf_append_byte(&parser->path, '.');
    buf_append_str(&parser->path, name);
}

/* Before an item of a list: its index is its name. After any value: back to the level's path. */
static void value_begins(Parser *parser) {
    Level *level = parser->depth == 0 ? NULL : &parser->levels[parser->depth - 1];
    char index[16];

    if (level == NULL || !level->is_list) return;
    snprintf(index, sizeof index, "%u", level->index++);
    path_add(parser, str_of(index));
}

static void value_ended(Parser *parser) {
    if (parser->depth == 0) return;
    Level *level = &parser->levels[parser->depth - 1];

    level->wants_value = false;
    parser->path.len = level->path_len;
}

static ErrCode on_scalar(Parser *parser, const yaml_event_t *event, Error *err) {
    Str text = {(const char *)event->data.scalar.value, event->data.scalar.length};
    unsigned line = (unsigned)event->start_mark.line + 1;
    Level *level;

    if (parser->depth == 0) {
        if (text.len == 0) return ERR_OK; /* an empty file */
        return error_set(err, ERR_INVALID, STR_FMT ":%u: expected settings, \"name: value\"",
                         STR_ARG(parser->file), line);
    }
    level = &parser->levels[parser->depth - 1];
    if (!level->is_list && !level->wants_value) {
        path_add(parser, text);
        level->wants_value = true;
        return ERR_OK;
    }
    value_begins(parser);
    TRY(add_value(parser, text, line, err));
    value_ended(parser);
    return ERR_OK;
}

static ErrCode on_open(Parser *parser, const yaml_event_t *event, bool is_list, Error *err) {
    unsigned line = (unsigned)event->start_mark.line + 1;

    if (parser->depth == YAML_DEPTH_MAX)
        return error_set(err, ERR_LIMIT, STR_FMT ":%u: nested deeper than %d levels",
                         STR_ARG(parser->file), line, YAML_DEPTH_MAX);
    if (parser->depth > 0) {
        Level *level = &parser->levels[parser->depth - 1];

        if (!level->is_list && !level->wants_value)
            return error_set(err, ERR_INVALID, STR_FMT ":%u: a name must be plain text",
                             STR_ARG(parser->file), line);
        value_begins(parser);
    }
    parser->levels[parser->depth++] = (Level){.path_len = parser->path.len, .is_list = is_list};
    return ERR_OK;
}

static ErrCode on_event(Parser *parser, const yaml_event_t *event, bool *done, Error *err) {
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(parser, event, err);
    case YAML_MAPPING_START_EVENT:
        return on_open(parser, event, false, err);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(parser, event, true, err);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        parser->depth--;
        value_ended(parser);
        return ERR_OK;
    case YAML_DOCUMENT_START_EVENT:
        if (parser->documents++ == 0) return ERR_OK;
        return error_set(err, ERR_INVALID, STR_FMT ":%zu: a second document (---)",
                         STR_ARG(parser->file), event->start_mark.line + 1);
    case YAML_ALIAS_EVENT:
        return error_set(err, ERR_INVALID, STR_FMT ":%zu: aliases (*name) are not supported",
                         STR_ARG(parser->file), event->start_mark.line + 1);
    case YAML_STREAM_END_EVENT:
        *done = true;
        return ERR_OK;
    default:
        return ERR_OK;
    }
}

static int compare_values(const void *a, const void *b) {
    const ConfigValue *const *x = a, *const *y = b;
    int order = str_compare((*x)->path, (*y)->path);

    return order != 0 ? order : (*x > *y) - (*x < *y);
}

/* Which of two should hold? Somebody added one and believes in it. */
static ErrCode check_unique(const Parser *parser, Error *err) {
    const ConfigValue **sorted = calloc(MAX(parser->count, 1), sizeof *sorted);
    ErrCode code = ERR_OK;

    if (sorted == NULL) return error_set(err, ERR_LIMIT, "configuration: out of memory");
    for (size_t i = 0; i < parser->count; i++) sorted[i] = &parser->values[i];
    if (parser->count > 1) qsort(sorted, parser->count, sizeof *sorted, compare_values);
    for (size_t i = 1; i < parser->count && code == ERR_OK; i++)
        if (str_equal(sorted[i - 1]->path, sorted[i]->path))
            code = error_set(err, ERR_INVALID, STR_FMT ":%u: " STR_FMT " is there already, line %u",
                             STR_ARG(parser->file), sorted[i]->line, STR_ARG(sorted[i]->path),
                             sorted[i - 1]->line);
    free(sorted);
    return code;
}

ErrCode config_parse(Str yaml, Str file, Arena *arena, ConfigValue **out, size_t *count,
                     Error *err) {
    Parser parser = {.file = file, .arena = arena};
    ErrCode code = ERR_OK;
    bool done = false;

    if (yaml.len > YAML_BYTES_MAX)
        return error_set(err, ERR_LIMIT, STR_FMT ": %zu bytes; a configuration has at most %d",
                         STR_ARG(file), yaml.len, YAML_BYTES_MAX);
    if (!yaml_parser_initialize(&parser.yaml))
        return error_set(err, ERR_LIMIT, STR_FMT ": out of memory", STR_ARG(file));
    yaml_parser_set_input_string(&parser.yaml, (const unsigned char *)yaml.ptr, yaml.len);
    buf_init(&parser.path, KIB(64));
    while (code == ERR_OK && !done) {
        yaml_event_t event;

        if (!yaml_parser_parse(&parser.yaml, &event)) {
            code = error_set(err, ERR_INVALID, STR_FMT ":%zu: %s", STR_ARG(file),
                             parser.yaml.problem_mark.line + 1,
                             parser.yaml.problem != NULL ? parser.yaml.problem : "not YAML");
            break;
        }
        code = on_event(&parser, &event, &done, err);
        yaml_event_delete(&event);
        if (code == ERR_OK && buf_failed(&parser.path))
            code = error_set(err, ERR_LIMIT, STR_FMT ": names over 64 KiB", STR_ARG(file));
    }
    yaml_parser_delete(&parser.yaml);
    buf_done(&parser.path);
    if (code == ERR_OK) code = check_unique(&parser, err);
    if (code != ERR_OK) return code;
    *out = parser.values;
    *count = parser.count;
    return ERR_OK;
}
