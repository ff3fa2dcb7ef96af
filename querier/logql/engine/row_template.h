#pragma once
/*
 * row_template.h: what the files of templates share. The language is Go's text/template with the
 * functions that Loki gives it. A template is hostile text: it is compiled with a depth, and run
 * with a budget of steps and of output.
 */
#include "querier/logql/engine/row_stage.h"

enum {
    TEMPLATE_DEPTH_MAX = 64,
    TEMPLATE_STEPS_MAX = 100000,
    TEMPLATE_BYTES_MAX = 1 << 20, /* of one entry's output or any text on the way */
};

typedef enum ValueKind {
    VALUE_NIL,
    VALUE_STRING,
    VALUE_INT,
    VALUE_FLOAT,
    VALUE_BOOL,
    VALUE_TIME,  /* `number`: ns since the epoch */
    VALUE_LIST,  /* `text`: a JSON array as it lies there */
    VALUE_MAP,   /* a JSON object */
    VALUE_LABELS /* what `.` is at first */
} ValueKind;

typedef struct Value {
    ValueKind kind;
    Str text;
    int64_t number; /* also of a bool */
    double real;
} Value;

/* One entry's run of a template. */
typedef struct Execution {
    RowRun *run;
    Arena *scratch;
    Buf *out;
    unsigned steps;
    char error[200]; /* empty: none so far */
} Execution;

/* Keeps the first one. Always false. */
bool template_fail(Execution *e, const char *format, ...) PRINTF_LIKE(2, 3);

static inline Value value_text(Str text) {
    return (Value){.kind = VALUE_STRING, .text = text};
}
static inline Value value_int(int64_t number) {
    return (Value){.kind = VALUE_INT, .number = number};
}
static inline Value value_float(double real) {
    return (Value){.kind = VALUE_FLOAT, .real = real};
}
static inline Value value_bool(bool yes) {
    return (Value){.kind = VALUE_BOOL, .number = yes};
}
static inline Value value_time(int64_t ns) {
    return (Value){.kind = VALUE_TIME, .number = ns};
}

Value value_of_json(Execution *e, const RowJson *json);
bool value_is_true(const Value *value);
void value_print(Execution *e, const Value *value, Buf *out); /* as %v */
/* Text that the execution made. False: too long, or out of memory. */
bool template_text(Execution *e, const Buf *buf, Value *out);

/* row_template_func.c */
typedef struct Function Function;
const Function *template_function(Str name); /* NULL: not defined */
bool template_call(Execution *e, const Function *function, const Value *args, size_t count,
                   Value *out);
/* row_template_text.c: functions of texts */
bool template_printf(Execution *e, const Value *args, size_t count, Value *out);
bool template_call_text(Execution *e, int id, const Value *args, size_t count, Value *out);
/* row_template_time.c: layouts as Go has them: "2006-01-02 15:04:05" */
void template_format_time(Str layout, int64_t ns, Buf *out);
/* `zone`: of times that don't say theirs; NULL: UTC. */
bool template_parse_time(Str layout, Str text, const Zone *zone, int64_t *ns);
