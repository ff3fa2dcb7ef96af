#pragma once
/*
 * regex.h: RE2 behind a C face. Linear time whatever the pattern or text; patterns of hostile
 * tenants are bounded by `memory_max`. Thread-safe after regex_new().
 */
#include "common/base/error.h"
#include "common/base/str.h"

typedef struct Regex Regex;

typedef struct RegexOptions {
    bool anchored;     /* must match the whole text, as PromQL and label matchers have it */
    bool dot_newline;  /* `.` matches \n (Prometheus and Loki matchers: yes) */
    size_t memory_max; /* bytes for program and automata; 0: 8 MiB */
} RegexOptions;

/* ERR_INVALID for a bad pattern, in the words of Go's regexp ("error parsing regexp: missing
 * closing
 * ): `(a`"), ERR_LIMIT for one that is too large. */
MUST_USE ErrCode regex_new(Str pattern, const RegexOptions *options, Regex **out, Error *err);
void regex_free(Regex *regex);
DEFINE_CLEANUP(Regex, regex_free)

bool regex_matches(const Regex *regex, Str text);
/* Number of capturing groups, and their names by index (1 based; empty when unnamed). */
unsigned regex_groups(const Regex *regex);
Str regex_group_name(const Regex *regex, unsigned group);
/* Searches from `offset`; fills groups[0..count) (0 is the whole match; ptr NULL when not taken).
 */
bool regex_find(const Regex *regex, Str text, size_t offset, Str *groups, unsigned count);
/* When the pattern is only an alternation of literals ("a|b|c"), sets them in `arena` and returns
 * true, so that a matcher may look values up instead of scanning. */
bool regex_literals(Str pattern, Arena *arena, Str **literals, size_t *count);
/* The longest text that is in every match of the pattern, as far as that is easily seen, in
 * `arena`: a search for it is cheaper than the expression. Empty: none is known. */
Str regex_required(Str pattern, Arena *arena);
