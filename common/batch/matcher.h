#pragma once
/*
 * matcher.h: label matchers, `name="v"`, `!=`, `=~`, `!~`. Regular expressions are RE2, anchored at
 * both ends. A label that a series hasn't is the empty string to a matcher.
 */
#include "common/base/regex.h"

typedef enum MatchOp { MATCH_EQUAL, MATCH_NOT_EQUAL, MATCH_REGEX, MATCH_NOT_REGEX } MatchOp;

typedef struct Matcher {
    MatchOp op;
    Str name;
    Str value;
    const Regex *regex; /* for the two regex ops; owned by the arena it was made in */
    /* For a regex that is an alternation of literals: those, sorted; else NULL. */
    const Str *literals;
    size_t literal_count;
    bool matches_empty; /* what it says of an absent label */
} Matcher;

/* Everything lives in `arena`, the compiled expression too. ERR_INVALID: a bad expression. */
MUST_USE ErrCode matcher_new(Arena *arena, MatchOp op, Str name, Str value, Matcher *out,
                             Error *err);
bool matcher_matches(const Matcher *matcher, Str value);
