#pragma once
/*
 * row_stage.h: compiled stages, and what they work on.
 */
#include "querier/logql/engine/row_labels.h"
#include "querier/logql/engine/row_zone.h"
#include "querier/logql/engine/rows.h"

/* Expressions that templates make as they run: the newest few stay compiled. */
enum { ROW_REGEXES = 8 };
typedef struct RowRegexes {
    struct {
        Buf pattern;
        Regex *regex;
    } slots[ROW_REGEXES];
    unsigned next;
} RowRegexes;
/* Good until the next call. */
MUST_USE ErrCode row_regexes_get(RowRegexes *regexes, Str pattern, const Regex **out, Error *err);
void row_regexes_done(RowRegexes *regexes);

/* One worker's entry. */
typedef struct RowRun {
    RowRegexes regexes;
    RowZones zones;
    RowLabels labels;
    Arena *arena; /* of the worker */
    int64_t time_ns;
    /* The line: row_line() and row_line_set(). */
    Str line;
    bool whole;    /* `line` is there */
    LogText *text; /* that it is still a row of; NULL: a stage made it, or it never was one */
    uint32_t row;
    /* What is known of shapes of lines: row_layout.h. */
    Arena *layouts;
    uint64_t stamp;
    ErrCode code; /* what went wrong with `text`; ERR_OK: nothing */
    Error err;
} RowRun;

uint64_t row_stamp(void); /* never the same twice */
Str row_line_put(RowRun *run);
/* The entry's line, put together when nobody asked before. */
static inline Str row_line(RowRun *run) {
    return LIKELY(run->whole) ? run->line : row_line_put(run);
}
static inline void row_line_set(RowRun *run, Str line) {
    run->line = line;
    run->whole = true;
    run->text = NULL;
}

typedef struct RowStage RowStage;
struct RowStage {
    /* False: the entry is left out. */
    bool (*run)(const RowStage *stage, RowRun *run);
    const void *data; /* immutable; what it is, `run` knows */
    unsigned number;  /* in the pipeline */
    bool is_needles;  /* a line filter that the source may have done */
};

typedef struct RowEarly {
    Str name;
    RowStage filter;
} RowEarly;
/* Of a stage that row_label_filter() made. */
bool row_filter_holds(const RowStage *filter, RowLabels *labels);

/* A label filter's matcher that asks for less than it says: row_filter.c. */
bool row_match_is_loose(const Matcher *match);

/* Compilers: into the query's arena. ERR_INVALID: what is wrong, without saying with which stage.
 */
MUST_USE ErrCode row_line_filter(Arena *arena, const LogqlLineTerm *terms, size_t count,
                                 RowStage *out, Error *err);
MUST_USE ErrCode row_label_filter(Arena *arena, const LogqlLabelFilter *filter, RowStage *out,
                                  Error *err);
MUST_USE ErrCode row_json(Arena *arena, const LogqlStage *stage, RowStage *out, Error *err);
MUST_USE ErrCode row_unpack(RowStage *out);
MUST_USE ErrCode row_logfmt(Arena *arena, const LogqlStage *stage, RowStage *out, Error *err);
MUST_USE ErrCode row_regexp(Arena *arena, Str expression, RowStage *out, Error *err);
MUST_USE ErrCode row_pattern(Arena *arena, Str pattern, RowStage *out, Error *err);
MUST_USE ErrCode row_decolorize(Arena *arena, RowStage *out, Error *err);
MUST_USE ErrCode row_drop_keep(const LogqlStage *stage, RowStage *out);
MUST_USE ErrCode row_line_format(Arena *arena, Str text, RowStage *out, Error *err);
MUST_USE ErrCode row_label_format(Arena *arena, const LogqlStage *stage, RowStage *out, Error *err);

/* The next label that a template names, from *at on. False: no more. */
bool row_template_field(Str text, size_t *at, Str *name);

/* A regex that goes with the arena. */
MUST_USE ErrCode row_regex_new(Arena *arena, Str expression, const Regex **out, Error *err);

/* row_ip.c: an address, a range or a network. */
typedef struct RowIp {
    uint8_t low[16], high[16]; /* inclusive; IPv4 in the last four bytes */
    bool v6;
} RowIp;
MUST_USE ErrCode row_ip_parse(Str pattern, RowIp *out, Error *err);
bool row_ip_in_text(const RowIp *ip, Str text); /* any address in it is one of those */

/* row_text.c */
/* Letters, digits and _ as they are, others as _; a digit in front gets one too. In `arena` unless
 * nothing had to change. Empty: nothing is left. NULL ptr: out of memory. */
Str row_label_name(Arena *arena, Str key);
bool row_is_ascii(Str text);
/* Spaces for what is no UTF-8, or U+FFFD. */
Str row_clean_text(Arena *arena, Str text);
/* The text between a JSON string's quotes; false: an escape is wrong. */
bool row_json_unescape(Arena *arena, Str text, Str *out);

/* row_json.c: JSON as it lies in a text. */
typedef enum RowJsonKind {
    ROW_JSON_STRING, /* text between the quotes, escapes as they are */
    ROW_JSON_NUMBER,
    ROW_JSON_BOOLEAN,
    ROW_JSON_NULL,
    ROW_JSON_OBJECT,
    ROW_JSON_ARRAY,
} RowJsonKind;
typedef struct RowJson {
    RowJsonKind kind;
    Str text;
    bool plain; /* a string known to be as it reads: ASCII without escapes */
} RowJson;
typedef enum RowJsonStep { ROW_JSON_FIELD, ROW_JSON_END, ROW_JSON_BROKEN } RowJsonStep;
bool row_json_value(Str *rest, RowJson *out);
/* As a label's value. */
Str row_json_text(Arena *arena, const RowJson *value);
/* The next key and value behind `{` or the last one. `first`: no comma is due. */
RowJsonStep row_json_field(Str *rest, bool first, Arena *arena, Str *key, RowJson *value);
/* Element `index` of an array; a key's value of an object. False: there is none. */
bool row_json_element(Str array, int64_t index, RowJson *out);
bool row_json_key(Str object, Arena *scratch, Str wanted, RowJson *out);

/* A pattern of <captures> and text between them. */
typedef struct RowPart {
    Str text; /* or a capture's name; empty: <_> */
    bool capture;
} RowPart;
typedef struct RowParts {
    RowPart *parts;
    size_t count;
} RowParts;
MUST_USE bool row_pattern_parts(Arena *arena, Str pattern, RowParts *out);
