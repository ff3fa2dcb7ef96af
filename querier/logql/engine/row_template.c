/*
 * row_template.c: line_format and label_format: compiled templates run over the labels of an entry.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "querier/exec/go_float.h"
#include "querier/logql/engine/row_template_tree.h"

/* ---- values ---- */

bool template_fail(Execution *e, const char *format, ...) {
    va_list args;

    if (e->error[0] != '\0') return false;
    va_start(args, format);
    vsnprintf(e->error, sizeof e->error, format, args);
    va_end(args);
    return false;
}

bool template_text(Execution *e, const Buf *buf, Value *out) {
    Str copy = buf_failed(buf) ? (Str){NULL, 0} : str_dup(e->scratch, buf_str(buf));

    if (copy.ptr == NULL) return template_fail(e, "a text is too long");
    *out = value_text(copy);
    return true;
}

Value value_of_json(Execution *e, const RowJson *json) {
    Value value = {0};

    switch (json->kind) {
    case ROW_JSON_STRING:
        value.kind = VALUE_STRING;
        if (!row_json_unescape(e->scratch, json->text, &value.text)) value.text = (Str){"", 0};
        return value;
    case ROW_JSON_NUMBER:
        value.kind = VALUE_FLOAT;
        if (!str_to_double(json->text, &value.real)) value.real = 0;
        return value;
    case ROW_JSON_BOOLEAN:
        return value_bool(json->text.ptr[0] == 't');
    case ROW_JSON_OBJECT:
    case ROW_JSON_ARRAY:
        value.kind = json->kind == ROW_JSON_OBJECT ? VALUE_MAP : VALUE_LIST;
        value.text = json->text;
        return value;
    case ROW_JSON_NULL:
        break;
    }
    return value;
}

bool value_is_true(const Value *value) {
    RowJson element;
    Str rest;

    switch (value->kind) {
    case VALUE_STRING:
        return value->text.len > 0;
    case VALUE_INT:
    case VALUE_BOOL:
        return value->number != 0;
    case VALUE_FLOAT:
        return value->real != 0;
    case VALUE_LIST:
        return row_json_element(value->text, 0, &element);
    case VALUE_MAP:
        rest = str_trim(str_from(value->text, 1));
        return rest.len > 0 && rest.ptr[0] != '}';
    case VALUE_TIME:
    case VALUE_LABELS:
        return true;
    case VALUE_NIL:
        break;
    }
    return false;
}

static void print_list(Execution *e, Str list, Buf *out) {
    RowJson element;

    buf_append_byte(out, '[');
    for (int64_t i = 0; row_json_element(list, i, &element); i++) {
        Value value = value_of_json(e, &element);

        if (++e->steps > TEMPLATE_STEPS_MAX) break;
        if (i > 0) buf_append_byte(out, ' ');
        value_print(e, &value, out);
    }
    buf_append_byte(out, ']');
}

static int compare_keys(const void *a, const void *b) {
    return str_compare(((const LabelPair *)a)->name, ((const LabelPair *)b)->name);
}

/* map[a:1 b:2]: keys sorted. */
static void print_map(Execution *e, Str map, Buf *out) {
    enum { KEYS_MAX = 1000 };
    LabelPair *keys = ARENA_ARRAY(e->scratch, LabelPair, KEYS_MAX);
    Str rest = str_from(map, 1), key;
    size_t count = 0;
    RowJson json;

    if (keys == NULL) return;
    while (count < KEYS_MAX &&
           row_json_field(&rest, count == 0, e->scratch, &key, &json) == ROW_JSON_FIELD)
        keys[count++] = (LabelPair){key, (Str){NULL, 0}};
    qsort(keys, count, sizeof *keys, compare_keys);
    buf_append_str(out, STR("map["));
    for (size_t i = 0; i < count && ++e->steps < TEMPLATE_STEPS_MAX; i++) {
        Value value;

        if (i > 0) buf_append_byte(out, ' ');
        buf_append_str(out, keys[i].name);
        buf_append_byte(out, ':');
        if (!row_json_key(map, e->scratch, keys[i].name, &json)) continue;
        value = value_of_json(e, &json);
        value_print(e, &value, out);
    }
    buf_append_byte(out, ']');
}

void value_print(Execution *e, const Value *value, Buf *out) {
    switch (value->kind) {
    case VALUE_NIL:
        buf_append_str(out, STR("<nil>"));
        return;
    case VALUE_STRING:
        buf_append_str(out, value->text);
        return;
    case VALUE_INT:
        buf_printf(out, "%lld", (long long)value->number);
        return;
    case VALUE_FLOAT:
        go_append_g(out, value->real);
        return;
    case VALUE_BOOL:
        buf_append_str(out, value->number ? STR("true") : STR("false"));
        return;
    case VALUE_TIME:
        template_format_time(STR("2006-01-02 15:04:05.999999999 -0700 MST"), value->number, out);
        return;
    case VALUE_LIST:
        print_list(e, value->text, out);
        return;
    case VALUE_MAP:
        print_map(e, value->text, out);
        return;
    case VALUE_LABELS:
        buf_append_str(out, STR("map[]"));
        return;
    }
}

/* ---- running ---- */

typedef struct Frame {
    Execution *e;
    Value *variables;
    Value dot;
} Frame;

static bool eval(Frame *frame, const Node *node, Value *out);
static bool run_list(Frame *frame, const Node *node);

/* Labels that metric queries' hints know; errors have labels of their own. */
static Value label_value(Execution *e, Str name) {
    RowLabels *labels = &e->run->labels;
    Str value;

    if (str_equal(name, ROW_ERROR)) return value_text(labels->error);
    if (str_equal(name, ROW_ERROR_DETAILS)) return value_text(labels->details);
    (void)row_labels_get(labels, name, &value);
    return value_text(value);
}

static bool eval_field(Frame *frame, const Node *node, Value *out) {
    Value from;
    RowJson json;

    if (!eval(frame, node->left, &from)) return false;
    switch (from.kind) {
    case VALUE_LABELS:
        *out = label_value(frame->e, node->text);
        return true;
    case VALUE_MAP:
        *out = row_json_key(from.text, frame->e->scratch, node->text, &json)
                   ? value_of_json(frame->e, &json)
                   : (Value){0};
        return true;
    case VALUE_NIL:
        return template_fail(frame->e, "nil data; no entry for key \"" STR_FMT "\"",
                             STR_ARG(node->text));
    default:
        return template_fail(frame->e, "can't evaluate field " STR_FMT, STR_ARG(node->text));
    }
}

static bool eval_call(Frame *frame, const Node *node, Value *out) {
    enum { ARGS_MAX = 32 };
    Value args[ARGS_MAX];
    size_t count = 0;

    for (const Node *arg = node->args; arg != NULL; arg = arg->next) {
        if (count == ARGS_MAX) return template_fail(frame->e, "too many arguments");
        if (!eval(frame, arg, &args[count++])) return false;
    }
    return template_call(frame->e, node->function, args, count, out);
}

static bool eval(Frame *frame, const Node *node, Value *out) {
    if (++frame->e->steps > TEMPLATE_STEPS_MAX)
        return template_fail(frame->e, "the template runs too long");
    switch (node->kind) {
    case NODE_LITERAL:
        *out = node->value;
        return true;
    case NODE_DOT:
        *out = frame->dot;
        return true;
    case NODE_VARIABLE:
        *out = frame->variables[node->variable];
        return true;
    case NODE_FIELD:
        return eval_field(frame, node, out);
    case NODE_CALL:
        return eval_call(frame, node, out);
    case NODE_SET:
        if (!eval(frame, node->left, out)) return false;
        frame->variables[node->variable] = *out;
        return true;
    default:
        return template_fail(frame->e, "nothing to evaluate");
    }
}

static bool run_branch(Frame *frame, const Node *node) {
    Value value, outer = frame->dot;
    bool good;

    if (!eval(frame, node->left, &value)) return false;
    if (!value_is_true(&value)) return run_list(frame, node->other);
    if (node->kind == NODE_WITH) frame->dot = value;
    good = run_list(frame, node->body);
    frame->dot = outer;
    return good;
}

/* One turn of a range. */
static bool run_turn(Frame *frame, const Node *node, Value key, Value value) {
    const Node *set = node->left->kind == NODE_SET ? node->left : NULL;

    if (set != NULL && set->second != 0) {
        frame->variables[set->variable] = key;
        frame->variables[set->second] = value;
    } else if (set != NULL) {
        frame->variables[set->variable] = value;
    }
    frame->dot = value;
    return run_list(frame, node->body);
}

static bool run_range(Frame *frame, const Node *node) {
    const Node *source = node->left->kind == NODE_SET ? node->left->left : node->left;
    Value from, outer = frame->dot;
    int64_t turns = 0;
    bool good = true;
    RowJson json;

    if (!eval(frame, source, &from)) return false;
    if (from.kind == VALUE_LIST) {
        for (; good && row_json_element(from.text, turns, &json); turns++)
            good = run_turn(frame, node, value_int(turns), value_of_json(frame->e, &json));
    } else if (from.kind == VALUE_MAP) {
        Str rest = str_from(from.text, 1), key;

        for (; good &&
               row_json_field(&rest, turns == 0, frame->e->scratch, &key, &json) == ROW_JSON_FIELD;
             turns++)
            good = run_turn(frame, node, value_text(key), value_of_json(frame->e, &json));
    } else if (from.kind != VALUE_NIL) {
        return template_fail(frame->e, "range can't iterate over it");
    }
    frame->dot = outer;
    return turns > 0 ? good : run_list(frame, node->other);
}

static bool run_print(Frame *frame, const Node *node) {
    Value value;

    if (!eval(frame, node->left, &value)) return false;
    if (node->left->kind == NODE_SET) return true;
    if (value.kind == VALUE_NIL)
        buf_append_str(frame->e->out, STR("<no value>"));
    else
        value_print(frame->e, &value, frame->e->out);
    return true;
}

static bool run_list(Frame *frame, const Node *node) {
    for (; node != NULL; node = node->next) {
        bool good = true;

        if (++frame->e->steps > TEMPLATE_STEPS_MAX)
            return template_fail(frame->e, "the template runs too long");
        if (node->kind == NODE_TEXT)
            buf_append_str(frame->e->out, node->text);
        else if (node->kind == NODE_PRINT)
            good = run_print(frame, node);
        else if (node->kind == NODE_RANGE)
            good = run_range(frame, node);
        else
            good = run_branch(frame, node);
        if (!good) return false;
        if (buf_failed(frame->e->out)) return template_fail(frame->e, "the output is too long");
    }
    return true;
}

/* False, and the entry has its error: the template failed. */
static bool execute(const Template *template, RowRun *run, Str *out) {
    CLEANUP_IN_PLACE(buf_done) Buf text = {0};
    Execution e = {.run = run, .scratch = run->labels.scratch, .out = &text};
    Frame frame = {.e = &e, .dot = {.kind = VALUE_LABELS}};

    buf_init(&text, TEMPLATE_BYTES_MAX);
    frame.variables = ARENA_ARRAY(e.scratch, Value, template->variables + 1);
    if (frame.variables == NULL) {
        run->labels.failed = true;
        return false;
    }
    frame.variables[0] = frame.dot;
    if (run_list(&frame, template->root)) {
        *out = str_dup(e.scratch, buf_str(&text));
        if (out->ptr != NULL) return true;
        run->labels.failed = true;
        return false;
    }
    *out = str_dup(e.scratch, str_of(e.error));
    row_labels_fail(&run->labels, STR("TemplateFormatErr"), out->ptr == NULL ? (Str){"", 0} : *out);
    return false;
}

/* ---- stages ---- */

static bool run_line_format(const RowStage *stage, RowRun *run) {
    const Template *template = stage->data;
    bool simple = template->simple.len > 0 && !str_starts_with(template->simple, STR("__"));
    Str line;

    if (simple) (void)row_labels_get(&run->labels, template->simple, &line);
    if (simple || execute(template, run, &line)) row_line_set(run, line);
    return true;
}

ErrCode row_line_format(Arena *arena, Str text, RowStage *out, Error *err) {
    Template *template = ARENA_NEW(arena, Template);

    if (template == NULL) return logql_out_of_memory(err);
    if (template_compile(arena, text, "line", template, err) != ERR_OK)
        return err->code == ERR_INVALID ? error_wrap(err, "invalid line template") : err->code;
    *out = (RowStage){.run = run_line_format, .data = template};
    return ERR_OK;
}

typedef struct LabelFormat {
    const LogqlLabelFormat *format;
    Template template;
} LabelFormat;

typedef struct LabelFormats {
    LabelFormat *formats;
    size_t count;
} LabelFormats;

/* Templates see the labels as they were before the first of them, renamed ones as they are. */
static bool run_label_format(const RowStage *stage, RowRun *run) {
    const LabelFormats *formats = stage->data;
    RowLabels *labels = &run->labels;
    Str *values = ARENA_ARRAY(labels->scratch, Str, formats->count);
    bool computed = false;

    if (values == NULL) {
        labels->failed = true;
        return false;
    }
    for (size_t i = 0; i < formats->count; i++) {
        const LogqlLabelFormat *format = formats->formats[i].format;
        Str value;

        if (format->rename) {
            if (!row_labels_get(labels, format->value, &value)) continue;
            row_labels_set(labels, ROW_PARSED, format->name, value);
            row_labels_delete(labels, format->value);
            continue;
        }
        for (size_t k = i; k < formats->count && !computed; k++)
            if (!formats->formats[k].format->rename &&
                !execute(&formats->formats[k].template, run, &values[k]))
                values[k] = (Str){NULL, 0};
        computed = true;
        if (values[i].ptr != NULL) row_labels_set(labels, ROW_PARSED, format->name, values[i]);
    }
    return true;
}

ErrCode row_label_format(Arena *arena, const LogqlStage *stage, RowStage *out, Error *err) {
    LabelFormats *formats = ARENA_NEW(arena, LabelFormats);

    if (formats == NULL) return logql_out_of_memory(err);
    formats->count = stage->as.label_format.count;
    formats->formats = ARENA_ARRAY(arena, LabelFormat, formats->count);
    if (formats->formats == NULL) return logql_out_of_memory(err);
    for (size_t i = 0; i < formats->count; i++) {
        const LogqlLabelFormat *format = &stage->as.label_format.formats[i];

        if (str_equal(format->name, ROW_ERROR))
            return error_set(err, ERR_INVALID, "__error__ cannot be formatted");
        for (size_t k = 0; k < i; k++)
            if (str_equal(formats->formats[k].format->name, format->name))
                return error_set(err, ERR_INVALID,
                                 "multiple label name '" STR_FMT
                                 "' not allowed in a single format operation",
                                 STR_ARG(format->name));
        formats->formats[i].format = format;
        if (format->rename) continue;
        if (template_compile(arena, format->value, "label", &formats->formats[i].template, err) !=
            ERR_OK)
            return err->code == ERR_INVALID
                       ? error_wrap(err, "invalid template for label '" STR_FMT "'",
                                    STR_ARG(format->name))
                       : err->code;
    }
    *out = (RowStage){.run = run_label_format, .data = formats};
    return ERR_OK;
}

static bool is_word(int c) {
    return c == '_' || (c >= 0 && c < 128 && isalnum(c)) || c >= 128;
}

/* Names behind points within actions: those of labels among them. */
bool row_template_field(Str text, size_t *at, Str *name) {
    for (size_t i = *at; i + 1 < text.len; i++) {
        size_t end = i + 1;

        if (text.ptr[i] != '.' || (i > 0 && is_word((unsigned char)text.ptr[i - 1]) &&
                                   !isspace((unsigned char)text.ptr[i - 1])))
            continue;
        while (end < text.len && is_word((unsigned char)text.ptr[end])) end++;
        if (end == i + 1) continue;
        *name = str_slice(text, i + 1, end - i - 1);
        *at = end;
        return true;
    }
    return false;
}
