/*
 * row_template_parse.c: the text of a template becomes a tree.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "querier/exec/quoted.h"
#include "querier/logql/engine/row_template_tree.h"

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

ErrCode template_compile(Arena *arena, Str text, const char *name, Template *out, Error *err) {
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
