/*
 * regex.cc: RE2's C++ interface behind regex.h.
 */
#include <algorithm>
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

extern "C" ErrCode regex_new(Str pattern, const RegexOptions *options, Regex **out, Error *err) {
    RE2::Options re_options;
    size_t memory_max = options->memory_max == 0 ? MIB(8) : options->memory_max;

    re_options.set_log_errors(false);
    re_options.set_dot_nl(options->dot_newline);
    re_options.set_max_mem(static_cast<int64_t>(memory_max));
    try {
        Regex *regex = new Regex(piece(pattern), re_options, options->anchored);

        if (!regex->re.ok()) {
            ErrCode code = regex->re.error_code() == RE2::ErrorPatternTooLarge ? ERR_LIMIT
                                                                                : ERR_INVALID;

            error_set(err, code, "invalid regular expression: %s", regex->re.error().c_str());
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
    std::vector<re2::StringPiece> pieces(count);

    if (!regex->re.Match(piece(text), offset, text.len,
                         regex->anchored ? RE2::ANCHOR_BOTH : RE2::UNANCHORED, pieces.data(),
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
