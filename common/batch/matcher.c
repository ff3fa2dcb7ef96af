#include "common/batch/matcher.h"

#include <stdlib.h>

static int compare_str(const void *a, const void *b) {
    return str_compare(*(const Str *)a, *(const Str *)b);
}

static void release_regex(void *what) {
    regex_free(what);
}

static bool is_regex(MatchOp op) {
    return op == MATCH_REGEX || op == MATCH_NOT_REGEX;
}

ErrCode matcher_new(Arena *arena, MatchOp op, Str name, Str value, Matcher *out, Error *err) {
    Matcher matcher = {.op = op, .name = name, .value = value};

    if (is_regex(op)) {
        RegexOptions options = {.anchored = true, .dot_newline = true};
        Str *literals = NULL;
        Regex *regex;

        TRY(regex_new(value, &options, &regex, err));
        if (!arena_on_free(arena, release_regex, regex)) {
            regex_free(regex);
            return error_set(err, ERR_LIMIT, "matcher: out of memory");
        }
        matcher.regex = regex;
        if (regex_literals(value, arena, &literals, &matcher.literal_count)) {
            qsort(literals, matcher.literal_count, sizeof *literals, compare_str);
            matcher.literals = literals;
        }
    }
    matcher.matches_empty = matcher_matches(&matcher, STR(""));
    *out = matcher;
    return ERR_OK;
}

static bool among_literals(const Matcher *matcher, Str value) {
    return bsearch(&value, matcher->literals, matcher->literal_count, sizeof *matcher->literals,
                   compare_str) != NULL;
}

bool matcher_matches(const Matcher *matcher, Str value) {
    bool yes;

    if (!is_regex(matcher->op))
        yes = str_equal(matcher->value, value);
    else if (matcher->literals != NULL)
        yes = among_literals(matcher, value);
    else
        yes = regex_matches(matcher->regex, value);
    return (matcher->op == MATCH_EQUAL || matcher->op == MATCH_REGEX) ? yes : !yes;
}
