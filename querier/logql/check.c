/*
 * check.c: expressions that a parser stage cannot have. Loki says so of the query, not of the
 * stage, and before anything else that is wrong behind the grammar.
 */
#include <ctype.h>

#include "querier/logql/build.h"

/* ---- regexp ---- */

/* The name of the next group at or behind `*at`; empty: no more. */
static Str next_group_name(Str expression, size_t *at) {
    for (size_t i = *at; i + 3 < expression.len; i++) {
        size_t start = i + 3;
        const char *end;

        if (expression.ptr[i] == '\\') {
            i++;
            continue;
        }
        if (expression.ptr[i] != '(' || expression.ptr[i + 1] != '?') continue;
        if (expression.ptr[i + 2] == 'P') start++;
        if (start >= expression.len || expression.ptr[start - 1] != '<') continue;
        end = memchr(expression.ptr + start, '>', expression.len - start);
        if (end == NULL) break;
        *at = (size_t)(end - expression.ptr);
        return str_slice(expression, start, *at - start);
    }
    return (Str){"", 0};
}

/* The name of two groups; empty: none. */
static Str find_duplicate(Str expression) {
    size_t at = 0;
    Str name = next_group_name(expression, &at);

    while (name.len > 0) {
        size_t behind = at;
        Str other = next_group_name(expression, &behind);

        for (; other.len > 0; other = next_group_name(expression, &behind))
            if (str_equal(name, other)) return name;
        name = next_group_name(expression, &at);
    }
    return name;
}

void logql_check_regexp(LogqlParser *parser, Str expression) {
    Regex *regex = NULL;
    Error err = {0};
    ErrCode code;
    bool named = false;
    Str twice;

    if (expression.len > LOGQL_REGEX_BYTES_MAX) {
        logql_fail(parser, ERR_LIMIT, "a regular expression may have %d bytes",
                   LOGQL_REGEX_BYTES_MAX);
        return;
    }
    code = regex_new(expression, &(RegexOptions){0}, &regex, &err);
    twice = find_duplicate(expression);
    if (twice.len > 0) {
        regex_free(regex);
        logql_fail(parser, ERR_INVALID,
                   "invalid regexp parser: duplicate extracted label name '" STR_FMT "'",
                   STR_ARG(twice));
        return;
    }
    if (code != ERR_OK) {
        logql_fail(parser, code, "%s%s", code == ERR_INVALID ? "invalid regexp parser: " : "",
                   err.text);
        return;
    }
    for (unsigned i = 1; i <= regex_groups(regex); i++)
        named = named || regex_group_name(regex, i).len > 0;
    regex_free(regex);
    if (!named)
        logql_fail(parser, ERR_INVALID,
                   "invalid regexp parser: at least one named capture must be supplied");
}

/* ---- pattern ---- */

/* Bytes of the capture <name> that begins at `rest`; 0: it is text. */
static size_t capture_length(Str rest) {
    size_t i = 1;

    if (rest.len < 3 || rest.ptr[0] != '<' || isdigit((unsigned char)rest.ptr[1])) return 0;
    while (i < rest.len && (isalnum((unsigned char)rest.ptr[i]) || rest.ptr[i] == '_')) i++;
    return i > 1 && i < rest.len && rest.ptr[i] == '>' ? i + 1 : 0;
}

/* What is wrong with the pattern that a first look finds. */
typedef struct PatternFaults {
    bool named;
    Str left, right; /* captures side by side; empty: none */
    Str twice;
} PatternFaults;

static PatternFaults look_at(Str pattern) {
    PatternFaults faults = {0};
    Str last = {0};

    for (size_t i = 0; i < pattern.len;) {
        Str capture = str_slice(pattern, i, capture_length(str_from(pattern, i)));

        if (capture.len > 0 && last.len > 0 && faults.left.len == 0) {
            faults.left = last;
            faults.right = capture;
        }
        if (capture.len > 0 && !str_equal(capture, STR("<_>"))) {
            faults.named = true;
            if (faults.twice.len == 0 && i > 0 &&
                memmem(pattern.ptr, i, capture.ptr, capture.len) != NULL)
                faults.twice = capture;
        }
        last = capture;
        i += MAX(capture.len, 1);
    }
    return faults;
}

void logql_check_pattern(LogqlParser *parser, Str pattern) {
    PatternFaults faults = look_at(pattern);

    if (!faults.named)
        logql_fail(parser, ERR_INVALID, "invalid pattern parser: at least one capture is required");
    else if (faults.left.len > 0)
        logql_fail(parser, ERR_INVALID,
                   "invalid pattern parser: found consecutive capture '" STR_FMT STR_FMT
                   "': invalid expression",
                   STR_ARG(faults.left), STR_ARG(faults.right));
    else if (faults.twice.len > 0)
        logql_fail(parser, ERR_INVALID,
                   "invalid pattern parser: duplicate capture name (" STR_FMT
                   "): invalid expression",
                   STR_ARG(str_slice(faults.twice, 1, faults.twice.len - 2)));
}
