#pragma once
/*
 * matcher.h: label matchers, `name="v"`, `!=`, `=~`, `!~`. Regular expressions are RE2, anchored at
 * both ends. A label that a series hasn't is the empty string to a matcher.
 *
 * Thread-safe once made.
 */
#include "common/base/regex.h"

typedef enum MatchOp { MATCH_EQUAL, MATCH_NOT_EQUAL, MATCH_REGEX, MATCH_NOT_REGEX } MatchOp;

/* What most people's expressions come to, and no automaton is needed for. */
typedef enum MatchShape {
    MATCH_SHAPE_REGEX,    /* `regex` decides */
    MATCH_SHAPE_LITERALS, /* a|b|c: `literals` has them */
    MATCH_SHAPE_PREFIX,   /* part.* and part.+ */
    MATCH_SHAPE_SUFFIX,   /* .*part and .+part */
    MATCH_SHAPE_CONTAINS, /* .*part.* and the like; .* alone, with an empty part */
} MatchShape;

typedef struct Matcher {
    MatchOp op;
    Str name;
    Str value;
    MatchShape shape;   /* of the two regex ops */
    const Regex *regex; /* for MATCH_SHAPE_REGEX, else NULL; owned by the arena it was made in */
    /* For a regex that is an alternation of literals: those, sorted; else NULL. */
    const Str *literals;
    size_t literal_count;
    Str part;              /* for prefix, suffix, contains */
    uint8_t before, after; /* bytes there must be at least before and after it: 1 for .+ */
    bool matches_empty;    /* what it says of an absent label */
} Matcher;

/* Everything lives in `arena`, the compiled expression too; `name` and `value` are borrowed for as
 * long. ERR_INVALID: a bad expression. */
MUST_USE ErrCode matcher_new(Arena *arena, MatchOp op, Str name, Str value, Matcher *out,
                             Error *err);
/* As above. A compiled expression and what it computes may hold `regex_bytes_max`, outside of the
 * arena's budget; 0: regex.h's default. */
MUST_USE ErrCode matcher_new_bounded(Arena *arena, MatchOp op, Str name, Str value,
                                     size_t regex_bytes_max, Matcher *out, Error *err);
/* The same expression for another label or with the opposite sense: nothing is compiled. */
Matcher matcher_like(const Matcher *same_value, MatchOp op, Str name);
bool matcher_matches(const Matcher *matcher, Str value);
