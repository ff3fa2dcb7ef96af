#pragma once
/*
 * promqltest.h: the scripts of Prometheus' promqltest: what they say, and whether a result is that.
 */
#include "querier/promql/engine.h"
#include "tests/unit/promql/fake_source.h"

typedef struct Value {
    enum { VALUE_NONE, VALUE_FLOAT, VALUE_HIST } kind;
    double number;
    const Hist *hist;
} Value;

typedef struct SeriesLine {
    LabelPairs labels; /* sorted, empty values left out */
    Value *values;
    size_t count;
} SeriesLine;

typedef struct Expectation {
    enum { EXPECT_WARN, EXPECT_INFO } what;
    bool none, is_message; /* else a regular expression; an empty text: any */
    Str text;
} Expectation;

typedef struct Command {
    enum { COMMAND_CLEAR, COMMAND_LOAD, COMMAND_EVAL } kind;
    size_t line;
    /* load */
    int64_t step_ms;
    bool with_nhcb, has_start_times;
    SeriesLine *series; /* also what an eval expects */
    size_t series_count;
    /* eval */
    Str query;
    bool ranged, fails, ordered, is_scalar, is_string, wants_matrix;
    int64_t start_ms, end_ms;
    double scalar;
    Str string;
    bool has_fail_text, fail_is_regex;
    Str fail_text;
    Expectation *expectations;
    size_t expectation_count;
} Command;

/* The next command of `text`, from *at on; false at the end. Exits on what it can't read. */
bool script_next(Arena *arena, Str text, size_t *at, size_t *line, Command *out);
void load_series(Arena *arena, FakeSource *fake, const Command *load);

/* NULL: as expected; else why not, in `arena`. `middle`: look at this time of a range only. */
const char *check_result(Arena *arena, const Command *eval, const Symbols *symbols,
                         const PromqlResult *result, const int64_t *middle);
const char *check_error(Arena *arena, const Command *eval, ErrCode code, const char *text);
const char *check_annotations(Arena *arena, const Command *eval, const AnnotationTexts *texts);
