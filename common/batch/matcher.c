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

/* ---- shapes ---- */

/* Takes `.*` or `.+` off one end. False: neither stands there. */
static bool strip_any(Str *text, bool front, uint8_t *least) {
    Str end = text->len < 2 ? *text : str_slice(*text, front ? 0 : text->len - 2, 2);

    if (!str_equal(end, STR(".*")) && !str_equal(end, STR(".+"))) return false;
    *least = end.ptr[1] == '+';
    *text = front ? str_from(*text, 2) : str_slice(*text, 0, text->len - 2);
    return true;
}

static bool is_literal(Str text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '\0' || strchr("\\.+*?()|[]{}^$", text.ptr[i]) != NULL) return false;
    return true;
}

/* part.*, .*part, .*part.*: false for anything else. */
static bool find_part(Matcher *matcher) {
    Str part = matcher->value;
    bool open_before = strip_any(&part, true, &matcher->before);
    bool open_after = strip_any(&part, false, &matcher->after);

    if (!(open_before || open_after) || !is_literal(part)) return false;
    /* .+.+ counts characters, and a character may have several bytes. */
    if (part.len == 0 && matcher->before > 0 && matcher->after > 0) return false;
    matcher->part = part;
    matcher->shape = open_before && open_after ? MATCH_SHAPE_CONTAINS
                     : open_before             ? MATCH_SHAPE_SUFFIX
                                               : MATCH_SHAPE_PREFIX;
    /* Alone, it is at both ends at once. */
    if (part.len == 0 && matcher->shape == MATCH_SHAPE_SUFFIX)
        matcher->shape = MATCH_SHAPE_CONTAINS;
    return true;
}

static bool find_literals(Arena *arena, Matcher *matcher) {
    Str *literals = NULL;

    if (!regex_literals(matcher->value, arena, &literals, &matcher->literal_count)) return false;
    qsort(literals, matcher->literal_count, sizeof *literals, compare_str);
    matcher->literals = literals;
    matcher->shape = MATCH_SHAPE_LITERALS;
    return true;
}

static ErrCode compile(Arena *arena, size_t regex_bytes_max, Matcher *matcher, Error *err) {
    RegexOptions options = {.anchored = true, .dot_newline = true, .memory_max = regex_bytes_max};
    Regex *regex;

    TRY(regex_new(matcher->value, &options, &regex, err));
    if (!arena_on_free(arena, release_regex, regex)) {
        regex_free(regex);
        return error_set(err, ERR_LIMIT, "matcher: out of memory");
    }
    matcher->regex = regex;
    return ERR_OK;
}

ErrCode matcher_new_bounded(Arena *arena, MatchOp op, Str name, Str value, size_t regex_bytes_max,
                            Matcher *out, Error *err) {
    Matcher matcher = {.op = op, .name = name, .value = value};

    if (is_regex(op)) {
        /* Only RE2 says what is wrong with bytes that are not UTF-8. */
        bool simple = str_is_utf8(value) && (find_part(&matcher) || find_literals(arena, &matcher));

        if (!simple) {
            matcher.before = matcher.after = 0;
            TRY(compile(arena, regex_bytes_max, &matcher, err));
        }
    }
    matcher.matches_empty = matcher_matches(&matcher, STR(""));
    *out = matcher;
    return ERR_OK;
}

ErrCode matcher_new(Arena *arena, MatchOp op, Str name, Str value, Matcher *out, Error *err) {
    return matcher_new_bounded(arena, op, name, value, 0, out, err);
}

Matcher matcher_like(const Matcher *same_value, MatchOp op, Str name) {
    Matcher matcher = *same_value;

    assert(is_regex(op) == is_regex(same_value->op));
    matcher.op = op;
    matcher.name = name;
    matcher.matches_empty = matcher_matches(&matcher, STR(""));
    return matcher;
}

/* ---- matching ---- */

static bool has_part(const Matcher *matcher, Str value) {
    size_t least = (size_t)matcher->before + matcher->after + matcher->part.len;

    if (value.len < least) return false;
    switch (matcher->shape) {
    case MATCH_SHAPE_PREFIX:
        return str_starts_with(value, matcher->part);
    case MATCH_SHAPE_SUFFIX:
        return str_ends_with(value, matcher->part);
    default:
        return matcher->part.len == 0 ||
               memmem(value.ptr + matcher->before, value.len - matcher->before - matcher->after,
                      matcher->part.ptr, matcher->part.len) != NULL;
    }
}

static bool is_among_literals(const Matcher *matcher, Str value) {
    return bsearch(&value, matcher->literals, matcher->literal_count, sizeof *matcher->literals,
                   compare_str) != NULL;
}

bool matcher_matches(const Matcher *matcher, Str value) {
    bool yes;

    if (!is_regex(matcher->op))
        yes = str_equal(matcher->value, value);
    else if (matcher->shape == MATCH_SHAPE_REGEX)
        yes = regex_matches(matcher->regex, value);
    else if (matcher->shape == MATCH_SHAPE_LITERALS)
        yes = is_among_literals(matcher, value);
    else
        yes = has_part(matcher, value);
    return (matcher->op == MATCH_EQUAL || matcher->op == MATCH_REGEX) ? yes : !yes;
}
