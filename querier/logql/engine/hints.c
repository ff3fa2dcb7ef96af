#include "querier/logql/engine/hints.h"

#include "querier/logql/engine/row_stage.h"

typedef struct Hints {
    Arena *arena;
    StreamNeedle *needles;
    size_t needle_count;
    Matcher *fields;
    size_t field_count;
    bool exact; /* so far, every stage is a needle */
    bool failed;
} Hints;

static void *add(Hints *hints, void *items, size_t count, size_t bytes) {
    void *grown = items;

    /* Grown whenever the count is a power of two. */
    if ((count & (count - 1)) == 0)
        grown = arena_grow(hints->arena, items, count * bytes, MAX(count * 2, 1) * bytes);
    hints->failed = hints->failed || grown == NULL;
    return grown;
}

static void add_needle(Hints *hints, StreamNeedle needle) {
    hints->needles = add(hints, hints->needles, hints->needle_count, sizeof needle);
    if (!hints->failed) hints->needles[hints->needle_count++] = needle;
}

/* (?i) before letters, digits and the like: what stands behind it. Empty: something else. */
static Str folded_literal(Str expression) {
    Str rest = str_from(expression, 4);

    if (!str_starts_with(expression, STR("(?i)"))) return (Str){"", 0};
    for (size_t i = 0; i < rest.len; i++) {
        char c = rest.ptr[i];

        /* Folding is ASCII's here; of other letters, no half is looked for. k and s have more
         * than two cases. */
        if (c < 0x20 || c > 0x7e || strchr("\\.+*?()|[]{}^$kKsS", c) != NULL) return (Str){"", 0};
    }
    return rest;
}

static bool add_folded(Hints *hints, Str expression) {
    Str literal = folded_literal(expression);
    Str *copy;

    if (literal.len == 0) return false;
    copy = ARENA_NEW(hints->arena, Str);
    hints->failed = hints->failed || copy == NULL;
    if (copy == NULL) return false;
    *copy = literal;
    add_needle(hints, (StreamNeedle){.any = copy, .count = 1, .fold = true});
    return true;
}

/* A text that is in every line with a match. */
static void add_required(Hints *hints, Str expression) {
    Str required = regex_required(expression, hints->arena), *copy;

    if (required.len == 0) return;
    copy = ARENA_NEW(hints->arena, Str);
    hints->failed = hints->failed || copy == NULL;
    if (copy == NULL) return;
    *copy = required;
    add_needle(hints, (StreamNeedle){.any = copy, .count = 1});
}

static bool has_empty(const Str *any, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (any[i].len == 0) return true;
    return count == 0;
}

/* What a term's texts are alternatives of; false: no literals, or one that is everywhere. */
static bool literals_of(Hints *hints, const LogqlLineTerm *term, Str **any, size_t *count) {
    bool regex = term->op == LOGQL_LINE_REGEX || term->op == LOGQL_LINE_REGEX_NOT;

    if (term->op == LOGQL_LINE_PATTERN || term->op == LOGQL_LINE_PATTERN_NOT) return false;
    for (size_t i = 0; i < term->choice_count; i++)
        if (term->choices[i].ip) return false;
    if (regex)
        return term->choice_count == 1 &&
               regex_literals(term->choices[0].text, hints->arena, any, count) &&
               !has_empty(*any, *count);
    *any = ARENA_ARRAY(hints->arena, Str, term->choice_count);
    *count = term->choice_count;
    hints->failed = hints->failed || *any == NULL;
    if (*any == NULL) return false;
    for (size_t i = 0; i < *count; i++) (*any)[i] = term->choices[i].text;
    return !has_empty(*any, *count);
}

bool logql_term_is_needle(Arena *arena, const LogqlLineTerm *term) {
    Hints hints = {.arena = arena};
    size_t count;
    Str *any;

    return literals_of(&hints, term, &any, &count) && !hints.failed;
}

static void add_term(Hints *hints, const LogqlLineTerm *term) {
    Str *any = NULL;
    size_t count = 0;

    if (literals_of(hints, term, &any, &count)) {
        add_needle(hints, (StreamNeedle){.any = any,
                                         .count = count,
                                         .negated = term->op == LOGQL_LINE_CONTAINS_NOT ||
                                                    term->op == LOGQL_LINE_REGEX_NOT});
        return;
    }
    hints->exact = false;
    if (term->op == LOGQL_LINE_REGEX && term->choice_count == 1 &&
        !add_folded(hints, term->choices[0].text))
        add_required(hints, term->choices[0].text);
}

/* A filter before any stage that makes labels sees those that the entry came with. */
static void add_fields(Hints *hints, const LogqlLabelFilter *filter) {
    if (filter->kind == LOGQL_FILTER_AND) {
        add_fields(hints, filter->as.pair.left);
        add_fields(hints, filter->as.pair.right);
        return;
    }
    if (filter->kind != LOGQL_FILTER_MATCH || str_starts_with(filter->name, STR("__")) ||
        str_ends_with(filter->name, STR("_extracted")) || row_match_is_loose(filter->as.match))
        return;
    hints->fields = add(hints, hints->fields, hints->field_count, sizeof(Matcher));
    if (!hints->failed) hints->fields[hints->field_count++] = *filter->as.match;
}

bool logql_hints(Arena *arena, const LogqlLog *log, StreamSelect *select) {
    Hints hints = {.arena = arena, .exact = true};
    bool labels_changed = false, colours_gone = false;

    for (size_t i = 0; i < log->stage_count; i++) {
        const LogqlStage *stage = &log->stages[i];

        hints.exact = hints.exact && stage->kind == LOGQL_STAGE_LINE_FILTER;
        if (stage->kind == LOGQL_STAGE_LINE_FORMAT || stage->kind == LOGQL_STAGE_UNPACK) break;
        if (stage->kind == LOGQL_STAGE_LABEL_FILTER) {
            /* Line filters behind it look at what decolorize made. */
            if (colours_gone) break;
            if (!labels_changed) add_fields(&hints, stage->as.label_filter);
        } else if (stage->kind == LOGQL_STAGE_LINE_FILTER) {
            for (size_t t = 0; t < stage->as.line_filter.count; t++)
                add_term(&hints, &stage->as.line_filter.terms[t]);
        } else if (stage->kind == LOGQL_STAGE_DECOLORIZE) {
            colours_gone = true;
        } else {
            labels_changed = true;
        }
    }
    select->needles = hints.needles;
    select->needle_count = hints.needle_count;
    select->needles_exact = hints.exact && log->stage_count > 0;
    select->fields = hints.fields;
    select->field_count = hints.field_count;
    return !hints.failed;
}
