#pragma once
/*
 * patterns.h: what kinds of lines there are: the templates of a log query's lines, similar ones as
 * one, counted by level and time. What Loki's pattern ingester keeps of the last hours, asked of
 * the lines themselves.
 */
#include "querier/logql/engine/engine.h"

enum {
    LOGQL_PATTERN_LINE_MAX = 3000,       /* bytes of a template; longer ones are left out */
    LOGQL_PATTERN_TEMPLATES_MAX = 16384, /* of one thread; what comes after has the pattern <_> */
};

typedef struct LogqlPatternSample {
    int64_t time_ns; /* where its step begins */
    uint64_t count;
} LogqlPatternSample;

typedef struct LogqlPattern {
    Str text; /* `<_>` where lines differ */
    Str level;
    const LogqlPatternSample *samples; /* ascending; none is 0 */
    size_t sample_count;
    uint64_t total;
} LogqlPattern;

typedef struct LogqlPatterns {
    LogqlPattern *patterns; /* those with most lines first */
    size_t count;
} LogqlPatterns;

/* Of [params->start_ns, end_ns), by multiples of params->step_ns; of the parameters also source,
 * query and stats. `log` may have a pipeline. `total_min`: patterns of fewer lines are left out;
 * `patterns_max`: and of the rest all but so many. Errors as logql_eval(). */
MUST_USE ErrCode logql_patterns(const LogqlLog *log, const LogqlParams *params, uint64_t total_min,
                                size_t patterns_max, LogqlPatterns *out, Error *err);

/* ---------- pattern_merge.c ---------- */

typedef struct PatternTemplate {
    Str text;
    uint64_t count;
    uint32_t cluster; /* out: which one it became part of */
} PatternTemplate;

/* Puts templates that are alike together, whatever order they come in: out->texts[cluster] is what
 * all of a cluster match. False: out of memory. */
typedef struct PatternClusters {
    Str *texts;
    size_t count;
} PatternClusters;
/* Appends `text` with one `<_>` for those that touch, or have only a point, colon, comma or dash
 * between them: a time of day is one thing to who reads. */
void pattern_collapse(Str text, Buf *out);
MUST_USE bool pattern_merge(Arena *arena, PatternTemplate *templates, size_t count,
                            PatternClusters *out);
