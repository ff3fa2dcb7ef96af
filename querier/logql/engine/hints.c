#include "querier/logql/engine/hints.h"

#include "querier/logql/engine/row_stage.h"

typedef struct Hints {
    Arena *arena;
    StreamNeedle *needles;
    size_t needle_count;
    Matcher *fields;
    size_t field_count;
    LogValue *values;
    size_t value_count;
    bool exact; /* so far, every stage is a needle */
    bool failed;
    /* Of the stages so far. */
    bool line_made;      /* the line is not what it was */
    bool labels_changed; /* there may be others than the entry came with */
    bool escapes;        /* a parser undid those of JSON */
    bool pieces;         /* a parser took pieces of lines wherever they stand */
    bool labels_unknown; /* values may be no pieces of the line */
    const LogqlLog *log;
    size_t stage;
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

/* ---- what parsers find ---- */

/* Whether a stage up to here made a label of this name from what is not told: a template. */
static bool is_made(const Hints *hints, Str name) {
    for (size_t i = 0; i < hints->stage; i++) {
        const LogqlStage *stage = &hints->log->stages[i];

        if (stage->kind != LOGQL_STAGE_LABEL_FORMAT) continue;
        for (size_t k = 0; k < stage->as.label_format.count; k++)
            if (str_equal(stage->as.label_format.formats[k].name, name)) return true;
    }
    return false;
}

/* Values of one label, one of which an entry must have to pass. */
typedef struct Wanted {
    Str name;
    Str *any;
    size_t count;
} Wanted;

static bool want(Hints *hints, const Str *any, size_t count, Wanted *out) {
    if (has_empty(any, count)) return false;
    for (size_t i = 0; i < count; i++) {
        out->any = add(hints, out->any, out->count, sizeof *any);
        if (hints->failed) return false;
        out->any[out->count++] = any[i];
    }
    return true;
}

/* False: something else passes, too. */
static bool wanted_of(Hints *hints, const LogqlLabelFilter *filter, Wanted *out) {
    const Matcher *match = filter->as.match;

    if (filter->kind == LOGQL_FILTER_OR)
        return wanted_of(hints, filter->as.pair.left, out) &&
               wanted_of(hints, filter->as.pair.right, out);
    if (filter->kind != LOGQL_FILTER_MATCH ||
        (out->count > 0 && !str_equal(out->name, filter->name)))
        return false;
    out->name = filter->name;
    if (match->op == MATCH_EQUAL) return want(hints, &match->value, 1, out);
    return match->op == MATCH_REGEX && match->shape == MATCH_SHAPE_LITERALS &&
           want(hints, match->literals, match->literal_count, out);
}

static bool is_alnum(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Letters and digits that the text ends with: of a label, what of its key is sure to be so. */
static Str last_word(Str text) {
    size_t n = 0;

    while (n < text.len && is_alnum(text.ptr[text.len - 1 - n])) n++;
    return str_from(text, text.len - n);
}

/* What the key ends with that parsers so far make a label of. Empty: that differs. */
static Str key_of(const Hints *hints, Str label) {
    Str key = last_word(label);

    for (size_t i = 0; i < hints->stage; i++) {
        const LogqlStage *stage = &hints->log->stages[i];

        if (stage->kind != LOGQL_STAGE_JSON && stage->kind != LOGQL_STAGE_LOGFMT) continue;
        for (size_t k = 0; k < stage->as.parser.count; k++) {
            const LogqlExtraction *extraction = &stage->as.parser.extractions[k];

            if (str_equal(extraction->name, label) &&
                !str_equal(last_word(extraction->expression), key))
                return (Str){"", 0};
        }
    }
    return key;
}

/* A filter behind parsers sees pieces of the line, maybe with escapes undone, or labels that the
 * entry came with. */
static void add_values(Hints *hints, const LogqlLabelFilter *filter) {
    Wanted wanted = {0};

    if (filter->kind == LOGQL_FILTER_AND) {
        add_values(hints, filter->as.pair.left);
        add_values(hints, filter->as.pair.right);
        return;
    }
    if (!wanted_of(hints, filter, &wanted) || str_starts_with(wanted.name, STR("__")) ||
        is_made(hints, wanted.name))
        return;
    /* That may be another label's, of the stream or of metadata, that the parser's collided with.
     */
    if (str_ends_with(wanted.name, STR("_extracted"))) wanted.name.len = 0;
    hints->values = add(hints, hints->values, hints->value_count, sizeof *hints->values);
    if (!hints->failed)
        hints->values[hints->value_count++] = (LogValue){.label = wanted.name,
                                                         .any = wanted.any,
                                                         .count = wanted.count,
                                                         .escapes = hints->escapes,
                                                         .whole = !hints->pieces,
                                                         .key = key_of(hints, wanted.name)};
}

/* ---- stages ---- */

/* Elements of arrays stand between other delimiters than fields. */
static bool takes_elements(const LogqlStage *stage) {
    for (size_t i = 0; i < stage->as.parser.count; i++)
        if (str_contains(stage->as.parser.extractions[i].expression, STR("["))) return true;
    return false;
}

static void pass_stage(Hints *hints, const LogqlStage *stage) {
    LogqlStageKind kind = stage->kind;
    bool unescapes =
        kind == LOGQL_STAGE_JSON || kind == LOGQL_STAGE_LOGFMT || kind == LOGQL_STAGE_UNPACK;

    hints->labels_changed |= kind != LOGQL_STAGE_LINE_FILTER && kind != LOGQL_STAGE_LABEL_FILTER &&
                             kind != LOGQL_STAGE_DECOLORIZE;
    hints->escapes |= unescapes;
    hints->pieces |= kind == LOGQL_STAGE_REGEXP || kind == LOGQL_STAGE_PATTERN ||
                     (kind == LOGQL_STAGE_JSON && takes_elements(stage));
    /* A parser of such a line may find anything. */
    hints->labels_unknown |= hints->line_made && (unescapes || kind == LOGQL_STAGE_REGEXP ||
                                                  kind == LOGQL_STAGE_PATTERN);
    hints->line_made |= kind == LOGQL_STAGE_LINE_FORMAT || kind == LOGQL_STAGE_UNPACK ||
                        kind == LOGQL_STAGE_DECOLORIZE;
}

static void add_label_filter(Hints *hints, const LogqlLabelFilter *filter) {
    if (!hints->labels_changed)
        add_fields(hints, filter);
    else if (!hints->labels_unknown)
        add_values(hints, filter);
}

bool logql_hints(Arena *arena, const LogqlLog *log, StreamSelect *select) {
    Hints hints = {.arena = arena, .exact = true, .log = log};
    bool lines_over = false; /* line filters look at what stages made */

    for (; hints.stage < log->stage_count; hints.stage++) {
        const LogqlStage *stage = &log->stages[hints.stage];

        hints.exact = hints.exact && stage->kind == LOGQL_STAGE_LINE_FILTER;
        if (stage->kind == LOGQL_STAGE_LABEL_FILTER) {
            add_label_filter(&hints, stage->as.label_filter);
            /* Line filters behind it look at what decolorize made. */
            lines_over = lines_over || hints.line_made;
        } else if (stage->kind == LOGQL_STAGE_LINE_FILTER) {
            for (size_t t = 0; t < stage->as.line_filter.count && !lines_over; t++)
                add_term(&hints, &stage->as.line_filter.terms[t]);
        }
        lines_over = lines_over || stage->kind == LOGQL_STAGE_LINE_FORMAT ||
                     stage->kind == LOGQL_STAGE_UNPACK;
        pass_stage(&hints, stage);
    }
    select->needles = hints.needles;
    select->needle_count = hints.needle_count;
    select->needles_exact = hints.exact && log->stage_count > 0;
    select->fields = hints.fields;
    select->field_count = hints.field_count;
    select->values = hints.values;
    select->value_count = hints.value_count;
    return !hints.failed;
}
