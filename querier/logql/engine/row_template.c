/*
 * row_template.c: line_format and label_format: templates compiled to a tree and run over the
 * labels of an entry.
 */
#include "querier/logql/engine/row_template.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/number.h"
#include "common/base/rune.h"
#include "querier/exec/go_float.h"
#include "querier/exec/quoted.h"

/* ---- the tree ---- */

typedef enum NodeKind {
    NODE_TEXT,
    NODE_PRINT, /* {{ pipeline }} */
    NODE_IF,
    NODE_WITH,
    NODE_RANGE,
    NODE_LITERAL,
    NODE_FIELD,    /* .a.b of `left`, or of dot */
    NODE_VARIABLE, /* $x */
    NODE_DOT,
    NODE_CALL,    /* function with arguments */
    NODE_SET,     /* $x := value, $x = value */
    NODE_PIPE_IN, /* what came through the pipe: the last argument */
} NodeKind;

typedef struct Node Node;
struct Node {
    NodeKind kind;
    Str text; /* or a field's or variable's name */
    Value value;
    const Function *function;
    Node *left;  /* the condition, the value to print or to set, whose field it is */
    Node *body;  /* first of a list */
    Node *other; /* else */
    Node *args;  /* first of a list */
    Node *next;
    uint32_t variable, second; /* slots; range has two. 0: none */
};

typedef struct Template {
    Node *root;
    uint32_t variables;
    Str simple; /* {{.label}} alone: its name */
} Template;

/* ---- reading ---- */

typedef struct Compiler {
    Arena *arena;
    Str text;
    size_t at;
    const char *name; /* "line", "label": in errors */
    Str *variables;   /* by slot; names go out of scope at `end` */
    size_t variable_count;
    size_t variable_capacity;
    uint32_t most;
    unsigned depth;
    bool in_action;
    Error *err;
    ErrCode code;
} Compiler;

static Node *refuse(Compiler *c, const char *format, ...) PRINTF_LIKE(2, 3);
static Node *refuse(Compiler *c, const char *format, ...) {
    size_t line = 1;
    char text[300];
    va_list args;

    if (c->code != ERR_OK) return NULL;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (size_t i = 0; i < c->at && i < c->text.len; i++) line += c->text.ptr[i] == '\n';
    c->code = error_set(c->err, ERR_INVALID, "template: %s:%zu: %s", c->name, line, text);
    return NULL;
}

static Node *new_node(Compiler *c, NodeKind kind) {
    Node *node = c->code == ERR_OK ? ARENA_NEW(c->arena, Node) : NULL;

    if (node == NULL && c->code == ERR_OK) c->code = logql_out_of_memory(c->err);
    if (node != NULL) node->kind = kind;
    return node;
}

static int peek(const Compiler *c) {
    return c->at < c->text.len ? (unsigned char)c->text.ptr[c->at] : -1;
}

static bool follows(const Compiler *c, const char *what) {
    return str_starts_with(str_from(c->text, c->at), str_of(what));
}

static void skip_spaces(Compiler *c) {
    while (peek(c) != -1 && isspace(peek(c))) c->at++;
}

static bool is_word(int c) {
    return c == '_' || (c >= 0 && c < 128 && isalnum(c)) || c >= 128;
}

static Str take_word(Compiler *c) {
    size_t start = c->at;

    while (is_word(peek(c))) c->at++;
    return str_slice(c->text, start, c->at - start);
}

static bool at_end_of_action(const Compiler *c) {
    return follows(c, "}}") ||
           (c->at > 0 && isspace((unsigned char)c->text.ptr[c->at - 1]) && follows(c, "-}}"));
}

/* ---- expressions ---- */

static Node *parse_pipeline(Compiler *c);

static uint32_t find_variable(Compiler *c, Str name) {
    for (size_t i = c->variable_count; i-- > 0;)
        if (str_equal(c->variables[i], name)) return (uint32_t)i + 1;
    refuse(c, "undefined variable \"$" STR_FMT "\"", STR_ARG(name));
    return 0;
}

static uint32_t add_variable(Compiler *c, Str name) {
    if (c->variable_count == c->variable_capacity) {
        size_t more = MAX(c->variable_capacity * 2, 8);
        Str *grown = arena_grow(c->arena, c->variables, c->variable_capacity * sizeof *grown,
                                more * sizeof *grown);

        if (grown == NULL) {
            c->code = logql_out_of_memory(c->err);
            return 0;
        }
        c->variables = grown;
        c->variable_capacity = more;
    }
    c->variables[c->variable_count++] = name;
    c->most = MAX(c->most, (uint32_t)c->variable_count);
    return (uint32_t)c->variable_count;
}

static Node *parse_string(Compiler *c) {
    Str rest = str_from(c->text, c->at);
    Node *node = new_node(c, NODE_LITERAL);
    char why[128];
    size_t len;

    if (node == NULL) return NULL;
    if (!quoted_scan(rest, &len, why, sizeof why))
        return refuse(c, rest.ptr[0] == '`' ? "unterminated raw quoted string"
                                            : "unterminated quoted string");
    node->value.kind = VALUE_STRING;
    if (!quoted_unquote(c->arena, str_slice(rest, 0, len), &node->value.text)) {
        c->code = logql_out_of_memory(c->err);
        return NULL;
    }
    c->at += len;
    return node;
}

static Node *parse_number(Compiler *c) {
    size_t start = c->at;
    Node *node = new_node(c, NODE_LITERAL);
    int64_t whole;
    double real;
    Str text;

    if (node == NULL) return NULL;
    if (peek(c) == '-' || peek(c) == '+') c->at++;
    while (is_word(peek(c)) || peek(c) == '.' ||
           ((peek(c) == '-' || peek(c) == '+') && (c->text.ptr[c->at - 1] | 32) == 'e'))
        c->at++;
    text = str_slice(c->text, start, c->at - start);
    if (str_to_i64(text.ptr[0] == '+' ? str_from(text, 1) : text, &whole))
        node->value = value_int(whole);
    else if (str_to_double(text, &real))
        node->value = value_float(real);
    else
        return refuse(c, "bad number syntax: \"" STR_FMT "\"", STR_ARG(text));
    return node;
}

/* .a.b behind an operand */
static Node *parse_fields(Compiler *c, Node *left) {
    while (left != NULL && peek(c) == '.' && c->at + 1 < c->text.len &&
           is_word((unsigned char)c->text.ptr[c->at + 1])) {
        Node *field = new_node(c, NODE_FIELD);

        if (field == NULL) return NULL;
        c->at++;
        field->text = take_word(c);
        field->left = left;
        left = field;
    }
    return left;
}

static Node *parse_dot(Compiler *c) {
    Node *node = new_node(c, NODE_DOT);

    if (node != NULL &&
        (c->at + 1 >= c->text.len || !is_word((unsigned char)c->text.ptr[c->at + 1])))
        c->at++;
    return parse_fields(c, node);
}

static Node *parse_variable(Compiler *c) {
    Node *node;
    Str name;

    c->at++;
    name = take_word(c);
    if (name.len == 0) { /* $: what the template began with */
        node = new_node(c, NODE_VARIABLE);
        return parse_fields(c, node);
    }
    node = new_node(c, NODE_VARIABLE);
    if (node != NULL) node->variable = find_variable(c, name);
    return c->code == ERR_OK ? parse_fields(c, node) : NULL;
}

static Node *parse_paren(Compiler *c) {
    Node *node;

    c->at++;
    if (++c->depth > TEMPLATE_DEPTH_MAX) return refuse(c, "the template nests too deep");
    node = parse_pipeline(c);
    c->depth--;
    if (node == NULL) return NULL;
    skip_spaces(c);
    if (peek(c) != ')') return refuse(c, "unclosed left paren");
    c->at++;
    return parse_fields(c, node);
}

static Node *parse_identifier(Compiler *c) {
    Str name = take_word(c);
    Node *node;

    if (str_equal(name, STR("true")) || str_equal(name, STR("false"))) {
        node = new_node(c, NODE_LITERAL);
        if (node != NULL) node->value = value_bool(name.len == 4);
        return node;
    }
    if (str_equal(name, STR("nil"))) return new_node(c, NODE_LITERAL);
    node = new_node(c, NODE_CALL);
    if (node == NULL) return NULL;
    node->function = template_function(name);
    if (node->function == NULL)
        return refuse(c, "function \"" STR_FMT "\" not defined", STR_ARG(name));
    return node;
}

/* NULL without an error: there is no operand here. */
static Node *parse_operand(Compiler *c) {
    int ch;

    skip_spaces(c);
    ch = peek(c);
    if (ch == -1) return refuse(c, "unclosed action");
    if (at_end_of_action(c) || ch == ')' || ch == '|') return NULL;
    if (ch == '"' || ch == '`') return parse_string(c);
    if (ch == '\'') return refuse(c, "unterminated character constant");
    if (isdigit(ch) || ((ch == '-' || ch == '+') && c->at + 1 < c->text.len &&
                        isdigit((unsigned char)c->text.ptr[c->at + 1])))
        return parse_number(c);
    if (ch == '.') return parse_dot(c);
    if (ch == '$') return parse_variable(c);
    if (ch == '(') return parse_paren(c);
    if (is_word(ch)) return parse_identifier(c);
    return refuse(c, "unexpected \"%c\" in command", ch);
}

/* A function with its arguments, or one operand. `piped`: what came through the pipe. */
static Node *parse_command(Compiler *c, Node *piped) {
    Node *node = parse_operand(c), **last;
    bool call;

    if (node == NULL) return refuse(c, "missing value for command");
    call = node->kind == NODE_CALL && node->args == NULL;
    last = &node->args;
    for (;;) {
        Node *arg = parse_operand(c);

        if (c->code != ERR_OK) return NULL;
        if (arg == NULL) break;
        if (!call) return refuse(c, "can't give argument to non-function");
        /* The same operand may not stand in two lists: a wrapper does. */
        *last = arg;
        while (*last != NULL) last = &(*last)->next;
    }
    if (piped == NULL) return node;
    if (!call) return refuse(c, "non executable command in pipeline");
    *last = piped;
    return node;
}

static bool take_declaration(Compiler *c, Str *first, Str *second, bool *assign) {
    size_t start = c->at;

    second->len = 0;
    c->at++;
    *first = take_word(c);
    skip_spaces(c);
    if (peek(c) == ',') {
        c->at++;
        skip_spaces(c);
        if (peek(c) == '$') {
            c->at++;
            *second = take_word(c);
            skip_spaces(c);
        }
    }
    *assign = peek(c) == '=' && second->len == 0;
    if (first->len > 0 && (follows(c, ":=") || *assign)) {
        c->at += *assign ? 1 : 2;
        return true;
    }
    c->at = start;
    return false;
}

static Node *parse_commands(Compiler *c) {
    Node *node = parse_command(c, NULL);

    for (;;) {
        skip_spaces(c);
        if (c->code != ERR_OK || peek(c) != '|') return node;
        c->at++;
        node = parse_command(c, node);
    }
}

static Node *parse_pipeline(Compiler *c) {
    Str first = {0}, second = {0};
    bool assign = false;
    Node *node, *value;

    skip_spaces(c);
    if (peek(c) != '$' || !take_declaration(c, &first, &second, &assign)) return parse_commands(c);
    value = parse_commands(c);
    node = new_node(c, NODE_SET);
    if (node == NULL) return NULL;
    node->left = value;
    node->variable = assign ? find_variable(c, first) : add_variable(c, first);
    if (second.len > 0) node->second = add_variable(c, second);
    return c->code == ERR_OK ? node : NULL;
}

/* ---- actions and text ---- */

typedef enum Stop { STOP_TEXT, STOP_END, STOP_ELSE } Stop;

static Node *parse_list(Compiler *c, Stop *stop);

static void close_action(Compiler *c) {
    skip_spaces(c);
    if (c->code != ERR_OK) return;
    if (follows(c, "-}}")) {
        c->at += 3;
        skip_spaces(c);
    } else if (follows(c, "}}")) {
        c->at += 2;
    } else if (c->at >= c->text.len) {
        refuse(c, "unclosed action");
    } else {
        refuse(c, "unexpected <%c> in input", peek(c));
    }
}

/* if, with and range, up to their end. */
static Node *parse_block(Compiler *c, NodeKind kind) {
    size_t scope = c->variable_count;
    Node *node = new_node(c, kind);
    Stop stop = STOP_END;

    if (node == NULL) return NULL;
    if (++c->depth > TEMPLATE_DEPTH_MAX) return refuse(c, "the template nests too deep");
    node->left = parse_pipeline(c);
    close_action(c);
    node->body = parse_list(c, &stop);
    if (c->code == ERR_OK && stop == STOP_ELSE) {
        size_t start = c->at;
        Str word;

        skip_spaces(c);
        word = take_word(c);
        if (str_equal(word, STR("if")) || str_equal(word, STR("with"))) {
            node->other = parse_block(c, word.len == 2 ? NODE_IF : NODE_WITH);
            stop = STOP_END;
        } else {
            c->at = start;
            close_action(c);
            node->other = parse_list(c, &stop);
        }
    }
    if (c->code == ERR_OK && stop != STOP_END) return refuse(c, "unexpected EOF");
    c->depth--;
    c->variable_count = scope;
    return c->code == ERR_OK ? node : NULL;
}

/* Behind {{. NULL without an error: nothing to do, or *stop. */
static Node *parse_action(Compiler *c, Stop *stop) {
    size_t start;
    Node *node;
    Str word;

    skip_spaces(c);
    start = c->at;
    word = is_word(peek(c)) ? take_word(c) : (Str){"", 0};
    if (str_equal(word, STR("end"))) {
        close_action(c);
        *stop = STOP_END;
        return NULL;
    }
    if (str_equal(word, STR("else"))) {
        *stop = STOP_ELSE; /* what stands behind it, the block reads */
        return NULL;
    }
    if (str_equal(word, STR("if"))) return parse_block(c, NODE_IF);
    if (str_equal(word, STR("with"))) return parse_block(c, NODE_WITH);
    if (str_equal(word, STR("range"))) return parse_block(c, NODE_RANGE);
    c->at = start;
    node = new_node(c, NODE_PRINT);
    if (node == NULL) return NULL;
    if (at_end_of_action(c)) return refuse(c, "missing value for command");
    node->left = parse_pipeline(c);
    close_action(c);
    return c->code == ERR_OK ? node : NULL;
}

static bool skip_comment(Compiler *c) {
    const char *end;

    if (!follows(c, "/*")) return false;
    end = memmem(c->text.ptr + c->at, c->text.len - c->at, "*/", 2);
    if (end == NULL) {
        refuse(c, "unclosed comment");
        return true;
    }
    c->at = (size_t)(end - c->text.ptr) + 2;
    close_action(c);
    return true;
}

static Node *text_node(Compiler *c, size_t start, size_t end) {
    Node *node = new_node(c, NODE_TEXT);

    if (node != NULL) node->text = str_slice(c->text, start, end - start);
    return node;
}

/* Text and actions up to end, else or the text's own end. */
static Node *parse_list(Compiler *c, Stop *stop) {
    Node *first = NULL, **last = &first;

    *stop = STOP_TEXT;
    while (c->code == ERR_OK && c->at < c->text.len) {
        const char *open = memmem(c->text.ptr + c->at, c->text.len - c->at, "{{", 2);
        size_t start = c->at, end = open == NULL ? c->text.len : (size_t)(open - c->text.ptr);
        Node *node;

        c->at = end;
        if (open != NULL) c->at += 2;
        if (open != NULL && peek(c) == '-' && c->at + 1 < c->text.len &&
            isspace((unsigned char)c->text.ptr[c->at + 1])) {
            c->at++;
            while (end > start && isspace((unsigned char)c->text.ptr[end - 1])) end--;
        }
        if (end > start) {
            *last = text_node(c, start, end);
            if (*last == NULL) return NULL;
            last = &(*last)->next;
        }
        if (open == NULL) break;
        skip_spaces(c);
        if (skip_comment(c)) continue;
        node = parse_action(c, stop);
        if (c->code != ERR_OK) return NULL;
        if (*stop != STOP_TEXT) break;
        *last = node;
        if (node != NULL) last = &node->next;
    }
    return first;
}

static ErrCode compile(Arena *arena, Str text, const char *name, Template *out, Error *err) {
    Compiler c = {.arena = arena, .text = text, .name = name, .err = err};
    Stop stop;

    out->root = parse_list(&c, &stop);
    if (c.code == ERR_OK && stop == STOP_END) refuse(&c, "unexpected {{end}}");
    if (c.code == ERR_OK && stop == STOP_ELSE) refuse(&c, "unexpected {{else}}");
    out->variables = c.most;
    if (c.code == ERR_OK && out->root != NULL && out->root->next == NULL &&
        out->root->kind == NODE_PRINT && out->root->left->kind == NODE_FIELD &&
        out->root->left->left->kind == NODE_DOT)
        out->simple = out->root->left->text;
    return c.code;
}

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

/* Go's %v: shortest digits, an exponent below -4 or of 21 and more. */
static void print_float(double v, Buf *out) {
    char digits[NUMBER_DIGITS_MAX + 1];
    int exponent, count;

    if (isnan(v) || isinf(v) || v == 0) {
        go_append_f(out, v);
        return;
    }
    count = number_shortest(v, digits, &exponent);
    if (exponent >= -4 && exponent < 21) {
        go_append_f(out, v);
        return;
    }
    if (v < 0) buf_append_byte(out, '-');
    buf_append_byte(out, digits[0]);
    if (count > 1) buf_printf(out, ".%s", digits + 1);
    buf_printf(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
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
        print_float(value->real, out);
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
    Str line;

    if (template->simple.len > 0 && !str_starts_with(template->simple, STR("__")))
        (void)row_labels_get(&run->labels, template->simple, &run->line);
    else if (execute(template, run, &line))
        run->line = line;
    return true;
}

ErrCode row_line_format(Arena *arena, Str text, RowStage *out, Error *err) {
    Template *template = ARENA_NEW(arena, Template);

    if (template == NULL) return logql_out_of_memory(err);
    if (compile(arena, text, "line", template, err) != ERR_OK)
        return err->code == ERR_INVALID ? error_wrap(err, "invalid line template") : err->code;
    *out = (RowStage){run_line_format, template};
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
        if (compile(arena, format->value, "label", &formats->formats[i].template, err) != ERR_OK)
            return err->code == ERR_INVALID
                       ? error_wrap(err, "invalid template for label '" STR_FMT "'",
                                    STR_ARG(format->name))
                       : err->code;
    }
    *out = (RowStage){run_label_format, formats};
    return ERR_OK;
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
