/*
 * regex.cc: RE2's C++ interface behind regex.h.
 */
#include <algorithm>
#include <cctype>
#include <cstring>
#include <map>
#include <new>
#include <re2/re2.h>
#include <string>
#include <vector>

extern "C" {
#include "common/base/regex.h"
}

struct Regex {
    RE2 re;
    bool anchored;
    std::vector<std::string> names; /* by group, from 1 */

    Regex(const re2::StringPiece &pattern, const RE2::Options &options, bool whole)
        : re(pattern, options), anchored(whole) {}
};

static re2::StringPiece piece(Str s) {
    return re2::StringPiece(s.ptr, s.len);
}

/* The peers' regular expressions are Go's, a sibling of RE2: their users know these words. */
static const char *go_words(RE2::ErrorCode code) {
    switch (code) {
    case RE2::ErrorBadEscape:
        return "invalid escape sequence";
    case RE2::ErrorBadCharClass:
        return "invalid character class";
    case RE2::ErrorBadCharRange:
        return "invalid character class range";
    case RE2::ErrorMissingBracket:
        return "missing closing ]";
    case RE2::ErrorMissingParen:
        return "missing closing )";
    case RE2::ErrorUnexpectedParen:
        return "unexpected )";
    case RE2::ErrorTrailingBackslash:
        return "trailing backslash at end of expression";
    case RE2::ErrorRepeatArgument:
        return "missing argument to repetition operator";
    case RE2::ErrorRepeatSize:
        return "invalid repeat count";
    case RE2::ErrorRepeatOp:
        return "invalid nested repetition operator";
    case RE2::ErrorBadPerlOp:
        return "invalid or unsupported Perl syntax";
    case RE2::ErrorBadUTF8:
        return "invalid UTF-8";
    case RE2::ErrorBadNamedCapture:
        return "invalid named capture";
    case RE2::ErrorPatternTooLarge:
        return "expression too large";
    default:
        return "unexpected error";
    }
}

/* Where the class that begins at `at` ends: behind its `]`, or at the pattern's end. */
static size_t class_end(Str pattern, size_t at) {
    size_t i = at + 1;

    if (i < pattern.len && pattern.ptr[i] == '^') i++;
    if (i < pattern.len && pattern.ptr[i] == ']') i++;
    while (i < pattern.len && pattern.ptr[i] != ']') {
        Str rest = str_from(pattern, i);

        if (rest.ptr[0] == '\\') {
            i += 2;
        } else if (str_starts_with(rest, STR("[:"))) {
            const void *end = memmem(rest.ptr + 2, rest.len - 2, ":]", 2);

            i = end == nullptr ? i + 1 : (size_t)(static_cast<const char *>(end) - pattern.ptr) + 2;
        } else {
            i++;
        }
    }
    return MIN(i + 1, pattern.len);
}

/* Go's syntax in RE2's: `(?<name>` is its `(?P<name>`. False for `\C`, a single byte, which only
 * RE2 has. */
static bool from_go(Str pattern, std::string *out) {
    size_t i = 0;

    while (i < pattern.len) {
        Str rest = str_from(pattern, i);
        size_t len = 1;

        if (str_starts_with(rest, STR("\\Q"))) {
            const void *end = memmem(rest.ptr, rest.len, "\\E", 2);

            len = end == nullptr ? rest.len : (size_t)(static_cast<const char *>(end) - rest.ptr);
        } else if (rest.ptr[0] == '\\') {
            if (str_starts_with(rest, STR("\\C"))) return false;
            len = MIN((size_t)2, rest.len);
        } else if (rest.ptr[0] == '[') {
            len = class_end(pattern, i) - i;
        } else if (str_starts_with(rest, STR("(?<")) && rest.len > 3 && rest.ptr[3] != '=' &&
                   rest.ptr[3] != '!') {
            out->append("(?P<");
            i += 3;
            continue;
        }
        out->append(rest.ptr, len);
        i += len;
    }
    return true;
}

/* The part of a bad pattern that is to blame. Of bytes that are no UTF-8 RE2 doesn't say where. */
static std::string to_blame(const RE2 &re, Str pattern) {
    size_t at = 0, len = 1;

    if (re.error_code() != RE2::ErrorBadUTF8) return re.error_arg();
    while (at + len <= pattern.len && len <= 4) {
        if (str_is_utf8(str_slice(pattern, at, len))) {
            at += len;
            len = 1;
        } else {
            len++;
        }
    }
    return std::string(pattern.ptr + at, pattern.len - at);
}

extern "C" ErrCode regex_new(Str pattern, const RegexOptions *options, Regex **out, Error *err) {
    RE2::Options re_options;
    size_t memory_max = options->memory_max == 0 ? MIB(8) : options->memory_max;

    re_options.set_log_errors(false);
    re_options.set_dot_nl(options->dot_newline);
    re_options.set_max_mem(static_cast<int64_t>(memory_max));
    try {
        std::string text;

        if (!from_go(pattern, &text))
            return error_set(err, ERR_INVALID,
                             "error parsing regexp: invalid escape sequence: `\\C`");
        Regex *regex = new Regex(text, re_options, options->anchored);

        if (!regex->re.ok()) {
            ErrCode code =
                regex->re.error_code() == RE2::ErrorPatternTooLarge ? ERR_LIMIT : ERR_INVALID;

            error_set(err, code, "error parsing regexp: %s: `%.200s`",
                      go_words(regex->re.error_code()), to_blame(regex->re, pattern).c_str());
            delete regex;
            return code;
        }
        regex->names.resize(static_cast<size_t>(regex->re.NumberOfCapturingGroups()) + 1);
        for (const auto &name : regex->re.CapturingGroupNames())
            regex->names[static_cast<size_t>(name.first)] = name.second;
        *out = regex;
        return ERR_OK;
    } catch (const std::bad_alloc &) {
        return error_set(err, ERR_LIMIT, "regular expression: out of memory");
    }
}

extern "C" void regex_free(Regex *regex) {
    delete regex;
}

extern "C" bool regex_matches(const Regex *regex, Str text) {
    return regex->re.Match(piece(text), 0, text.len,
                           regex->anchored ? RE2::ANCHOR_BOTH : RE2::UNANCHORED, nullptr, 0);
}

extern "C" unsigned regex_groups(const Regex *regex) {
    return static_cast<unsigned>(regex->names.size() - 1);
}

extern "C" Str regex_group_name(const Regex *regex, unsigned group) {
    const std::string &name = regex->names.at(group);

    return Str{name.data(), name.size()};
}

extern "C" bool regex_find(const Regex *regex, Str text, size_t offset, Str *groups,
                           unsigned count) {
    enum { USUAL = 16 };
    re2::StringPiece usual[USUAL];
    std::vector<re2::StringPiece> many(count > USUAL ? count : 0);
    re2::StringPiece *pieces = count > USUAL ? many.data() : usual;

    if (!regex->re.Match(piece(text), offset, text.len,
                         regex->anchored ? RE2::ANCHOR_BOTH : RE2::UNANCHORED, pieces,
                         static_cast<int>(count)))
        return false;
    for (unsigned i = 0; i < count; i++) groups[i] = Str{pieces[i].data(), pieces[i].size()};
    return true;
}

static bool is_meta(char c) {
    return c == '\0' || std::strchr("\\.+*?()|[]{}^$", c) != nullptr;
}

extern "C" bool regex_literals(Str pattern, Arena *arena, Str **literals, size_t *count) {
    size_t alternatives = 1, at = 0;

    for (size_t i = 0; i < pattern.len; i++) {
        if (pattern.ptr[i] == '|')
            alternatives++;
        else if (is_meta(pattern.ptr[i]))
            return false;
    }
    Str *out = ARENA_ARRAY(arena, Str, alternatives);
    if (out == nullptr) return false;
    for (size_t i = 0; i < alternatives; i++) {
        Str head, tail;

        str_cut(str_from(pattern, at), '|', &head, &tail);
        out[i] = head;
        at += head.len + 1;
    }
    *literals = out;
    *count = alternatives;
    return true;
}

/* ---- what every match has ---- */

namespace {

/* Texts that stand in a row in a pattern, one of them at a time; the longest is kept. */
struct Required {
    std::string run, best;

    void flush() {
        if (run.size() > best.size()) best = run;
        run.clear();
    }
};

/* Where the group that begins at `at` ends; 0: its end is not plain to see, or what is in it
 * changes what stands behind it. */
size_t group_end(Str pattern, size_t at) {
    size_t level = 0;

    for (size_t i = at; i < pattern.len;) {
        Str rest = str_from(pattern, i);

        if (rest.ptr[0] == '\\') {
            if (str_starts_with(rest, STR("\\Q"))) return 0;
            i += 2;
        } else if (rest.ptr[0] == '[') {
            i = class_end(pattern, i);
        } else {
            i++;
            if (rest.ptr[0] == '(') level++;
            if (rest.ptr[0] == ')' && --level == 0) return i;
        }
    }
    return 0;
}

/* The length of a repetition that begins `rest`: *, +, ?, {2,5}, each with a ? behind it maybe. */
size_t repetition(Str rest) {
    size_t len = 0;

    if (rest.len == 0) return 0;
    if (rest.ptr[0] == '*' || rest.ptr[0] == '+' || rest.ptr[0] == '?') {
        len = 1;
    } else if (rest.ptr[0] == '{' && rest.len > 1 && std::strchr("0123456789", rest.ptr[1])) {
        for (len = 1; len < rest.len &&
                      (rest.ptr[len] == ',' || (rest.ptr[len] >= '0' && rest.ptr[len] <= '9'));)
            len++;
        if (len == rest.len || rest.ptr[len] != '}') return 0;
        len++;
    }
    return len > 0 && len < rest.len && rest.ptr[len] == '?' ? len + 1 : len;
}

/* The length of what a repetition behind it would repeat; *text: the bytes that it stands for,
 * empty where they vary. 0: who knows. */
size_t unit(Str pattern, size_t at, Str *text) {
    Str rest = str_from(pattern, at);
    unsigned char c = static_cast<unsigned char>(rest.ptr[0]);
    size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4, end;

    *text = Str{"", 0};
    if (c == '(') {
        /* Flags hold up to the end of the group around them: of this one, or of all. */
        if (str_starts_with(rest, STR("(?")) && !str_starts_with(rest, STR("(?:")) &&
            !str_starts_with(rest, STR("(?P<")) && !str_starts_with(rest, STR("(?<")))
            return 0;
        end = group_end(pattern, at);
        return end == 0 ? 0 : end - at;
    }
    if (c == '[') return class_end(pattern, at) - at;
    if (c == '.' || c == '^' || c == '$') return 1;
    if (c == '\\') {
        if (rest.len < 2) return 0;
        if (std::strchr("dswDSWbBAz", rest.ptr[1]) != nullptr && rest.ptr[1] != '\0') return 2;
        /* Punctuation stands for itself; letters and digits for much else. */
        if (!std::ispunct(static_cast<unsigned char>(rest.ptr[1])) || rest.ptr[1] == '_') return 0;
        *text = str_slice(rest, 1, 1);
        return 2;
    }
    if (c == '|' || c == ')' || c == '\0' || len > rest.len) return 0;
    *text = str_slice(rest, 0, len);
    return len;
}

} // namespace

extern "C" Str regex_required(Str pattern, Arena *arena) try {
    Required found;

    for (size_t i = 0; i < pattern.len;) {
        Str text, rest;
        size_t len = unit(pattern, i, &text), times;

        if (len == 0) return Str{"", 0};
        rest = str_from(pattern, i + len);
        times = repetition(rest);
        if (times == 0 || rest.ptr[0] == '+') found.run.append(text.ptr, text.len);
        if (times > 0 || text.len == 0) found.flush();
        if (times > 0 && repetition(str_from(rest, times)) > 0) return Str{"", 0};
        i += len + times;
    }
    found.flush();
    Str copy = str_dup(arena, Str{found.best.data(), found.best.size()});
    return copy.ptr == nullptr ? Str{"", 0} : copy;
} catch (const std::bad_alloc &) {
    return Str{"", 0};
}
