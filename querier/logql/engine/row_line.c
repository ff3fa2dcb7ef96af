/*
 * row_line.c: line filters.
 */
#include "querier/logql/engine/row_stage.h"

typedef enum ChoiceKind { CHOICE_TEXT, CHOICE_REGEX, CHOICE_PATTERN, CHOICE_IP } ChoiceKind;

typedef struct Choice {
    ChoiceKind kind;
    Str text;
    const Regex *regex;
    Str required;  /* every match of the regex has it; empty: nothing is known */
    Str *literals; /* of a regex that is an alternation of these; NULL: it is none */
    size_t literal_count;
    RowParts parts;
    RowIp ip;
} Choice;

typedef struct Term {
    Choice *choices;
    size_t count;
    bool negated;
} Term;

typedef struct LineFilter {
    Term *terms;
    size_t count;
} LineFilter;

/* Text in order, no capture empty, and nothing left over but for a capture at the end. */
static bool pattern_matches(const RowParts *parts, Str line) {
    size_t off = 0;

    if (line.len == 0 || parts->count == 0) return line.len == 0 && parts->count == 0;
    for (size_t i = 0; i < parts->count; i++) {
        Str text = parts->parts[i].text;
        const char *found;
        size_t skipped;

        if (parts->parts[i].capture) continue;
        found = str_find(str_from(line, off), text);
        if (found == NULL) return false;
        skipped = (size_t)(found - line.ptr) - off;
        if (i != 0 && skipped == 0) return false;
        off += skipped + text.len;
    }
    return parts->parts[parts->count - 1].capture == (off != line.len);
}

static bool has_text(Str line, Str text) {
    return str_contains(line, text);
}

static bool matches_regex(const Choice *choice, Str line) {
    if (choice->literals == NULL)
        return has_text(line, choice->required) && regex_matches(choice->regex, line);
    for (size_t i = 0; i < choice->literal_count; i++)
        if (has_text(line, choice->literals[i])) return true;
    return false;
}

static bool choice_matches(const Choice *choice, Str line) {
    switch (choice->kind) {
    case CHOICE_TEXT:
        return has_text(line, choice->text);
    case CHOICE_REGEX:
        return matches_regex(choice, line);
    case CHOICE_PATTERN:
        return pattern_matches(&choice->parts, line);
    case CHOICE_IP:
        return row_ip_in_text(&choice->ip, line);
    }
    return false;
}

static bool run_filter(const RowStage *stage, RowRun *run) {
    const LineFilter *filter = stage->data;
    Str line = row_line(run);

    for (size_t t = 0; t < filter->count; t++) {
        const Term *term = &filter->terms[t];
        bool any = false;

        for (size_t i = 0; i < term->count && !any; i++)
            any = choice_matches(&term->choices[i], line);
        if (any == term->negated) return false;
    }
    return true;
}

/* ---- compiling ---- */

static ErrCode compile_pattern(Arena *arena, Choice *choice, Error *err) {
    if (!row_pattern_parts(arena, choice->text, &choice->parts)) return logql_out_of_memory(err);
    for (size_t i = 0; i < choice->parts.count; i++) {
        const RowPart *part = &choice->parts.parts[i];

        if (part->capture && i > 0 && part[-1].capture)
            return error_set(err, ERR_INVALID,
                             "found consecutive capture '<%.*s><%.*s>': invalid expression",
                             part[-1].text.len == 0 ? 1 : (int)part[-1].text.len,
                             part[-1].text.len == 0 ? "_" : part[-1].text.ptr,
                             part->text.len == 0 ? 1 : (int)part->text.len,
                             part->text.len == 0 ? "_" : part->text.ptr);
    }
    for (size_t i = 0; i < choice->parts.count; i++)
        if (choice->parts.parts[i].capture && choice->parts.parts[i].text.len > 0)
            return error_set(err, ERR_INVALID,
                             "named captures are not allowed: found '<" STR_FMT ">'",
                             STR_ARG(choice->parts.parts[i].text));
    return ERR_OK;
}

/* One search for a text costs a fifth of one for a regex, and most lines hold neither. */
static ErrCode compile_regex(Arena *arena, Choice *choice, Error *err) {
    enum { LITERALS_MAX = 4 };

    TRY(row_regex_new(arena, choice->text, &choice->regex, err));
    choice->required = regex_required(choice->text, arena);
    if (!regex_literals(choice->text, arena, &choice->literals, &choice->literal_count) ||
        choice->literal_count > LITERALS_MAX)
        choice->literals = NULL;
    return ERR_OK;
}

static ErrCode compile_choice(Arena *arena, LogqlLineOp op, const LogqlLineChoice *from,
                              Choice *choice, Error *err) {
    choice->text = from->text;
    if (from->ip) {
        choice->kind = CHOICE_IP;
        if (op != LOGQL_LINE_CONTAINS && op != LOGQL_LINE_CONTAINS_NOT)
            return error_set(err, ERR_INVALID, "ip: invalid operation");
        return row_ip_parse(from->text, &choice->ip, err);
    }
    if (op == LOGQL_LINE_REGEX || op == LOGQL_LINE_REGEX_NOT) {
        choice->kind = CHOICE_REGEX;
        return compile_regex(arena, choice, err);
    }
    if (op == LOGQL_LINE_PATTERN || op == LOGQL_LINE_PATTERN_NOT) {
        choice->kind = CHOICE_PATTERN;
        return compile_pattern(arena, choice, err);
    }
    return ERR_OK;
}

ErrCode row_line_filter(Arena *arena, const LogqlLineTerm *terms, size_t count, RowStage *out,
                        Error *err) {
    LineFilter *filter = ARENA_NEW(arena, LineFilter);

    if (filter == NULL) return logql_out_of_memory(err);
    filter->terms = ARENA_ARRAY(arena, Term, count);
    if (filter->terms == NULL) return logql_out_of_memory(err);
    for (size_t t = 0; t < count; t++) {
        Term *term = &filter->terms[filter->count++];

        term->negated = terms[t].op == LOGQL_LINE_CONTAINS_NOT ||
                        terms[t].op == LOGQL_LINE_REGEX_NOT ||
                        terms[t].op == LOGQL_LINE_PATTERN_NOT;
        term->choices = ARENA_ARRAY(arena, Choice, terms[t].choice_count);
        if (term->choices == NULL) return logql_out_of_memory(err);
        for (size_t i = 0; i < terms[t].choice_count; i++)
            TRY(compile_choice(arena, terms[t].op, &terms[t].choices[i],
                               &term->choices[term->count++], err));
    }
    *out = (RowStage){.run = run_filter, .data = filter};
    return ERR_OK;
}
