#pragma once
/*
 * row_template_tree.h: a compiled template.
 */
#include "querier/logql/engine/row_template.h"

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

/* `name` is what errors call it. ERR_INVALID in the words of Go's text/template. */
MUST_USE ErrCode template_compile(Arena *arena, Str text, const char *name, Template *out,
                                  Error *err);
