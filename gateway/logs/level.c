#include "gateway/logs/level.h"

#include "common/base/json_read.h"

const Str LEVEL_LABEL = STR_INIT("detected_level");

/* In order of preference. */
static const Str level_names[] = {
    STR_INIT("level"),         STR_INIT("LEVEL"),         STR_INIT("Level"),
    STR_INIT("log.level"),     STR_INIT("severity"),      STR_INIT("SEVERITY"),
    STR_INIT("Severity"),      STR_INIT("SeverityText"),  STR_INIT("lvl"),
    STR_INIT("LVL"),           STR_INIT("Lvl"),           STR_INIT("severity_text"),
    STR_INIT("Severity_Text"), STR_INIT("SEVERITY_TEXT"),
};

static const struct {
    Str spelling;
    Str level;
} spellings[] = {
    {STR_INIT("trace"), STR_INIT("trace")},       {STR_INIT("trc"), STR_INIT("trace")},
    {STR_INIT("debug"), STR_INIT("debug")},       {STR_INIT("dbg"), STR_INIT("debug")},
    {STR_INIT("info"), STR_INIT("info")},         {STR_INIT("inf"), STR_INIT("info")},
    {STR_INIT("information"), STR_INIT("info")},  {STR_INIT("warn"), STR_INIT("warn")},
    {STR_INIT("wrn"), STR_INIT("warn")},          {STR_INIT("warning"), STR_INIT("warn")},
    {STR_INIT("error"), STR_INIT("error")},       {STR_INIT("err"), STR_INIT("error")},
    {STR_INIT("critical"), STR_INIT("critical")}, {STR_INIT("fatal"), STR_INIT("fatal")},
};

/* Words that tell a level in running text. No one is another's beginning up to a boundary. */
static const struct {
    Str word;
    Str level;
} words[] = {
    {STR_INIT("trace"), STR_INIT("trace")},  {STR_INIT("debug"), STR_INIT("debug")},
    {STR_INIT("fatal"), STR_INIT("fatal")},  {STR_INIT("critical"), STR_INIT("critical")},
    {STR_INIT("error"), STR_INIT("error")},  {STR_INIT("err"), STR_INIT("error")},
    {STR_INIT("warning"), STR_INIT("warn")}, {STR_INIT("warn"), STR_INIT("warn")},
    {STR_INIT("info"), STR_INIT("info")},
};

static const Str UNKNOWN = STR_INIT("unknown");

/* Empty when it is none that is known. */
static Str known_level(Str text) {
    if (text.len < 3 || text.len > 11) return STR("");
    for (size_t i = 0; i < ARRAY_LEN(spellings); i++)
        if (str_equal_nocase(text, spellings[i].spelling)) return spellings[i].level;
    return STR("");
}

Str level_normal(Str level) {
    Str known = known_level(level);

    return known.len > 0 ? known : level;
}

Str level_of_labels(const LabelPair *pairs, size_t count) {
    for (size_t n = 0; n < ARRAY_LEN(level_names); n++)
        for (size_t i = 0; i < count; i++)
            if (str_equal(pairs[i].name, level_names[n])) return level_normal(pairs[i].value);
    return STR("");
}

Str level_of_severity(Str number) {
    /* Four numbers each, from 1: https://opentelemetry.io/docs/specs/otel/logs/data-model/ */
    static const Str levels[] = {STR_INIT("trace"), STR_INIT("debug"), STR_INIT("info"),
                                 STR_INIT("warn"),  STR_INIT("error"), STR_INIT("fatal")};
    int64_t v;

    if (!str_to_i64(number, &v)) return STR("info");
    if (v == 0 || v > 24) return UNKNOWN;
    return v < 0 ? levels[0] : levels[(v - 1) / 4];
}

/* The first text under one of the names, at most two levels deep. */
static Str level_in_json(Str line) {
    JsonReader reader = json_reader(line, NULL);
    bool wanted = false;

    for (;;) {
        JsonToken token = json_next(&reader);

        if (token == JSON_ERROR || token == JSON_END) return STR("");
        if (token == JSON_STRING && wanted) return reader.text;
        wanted = false;
        if (token == JSON_KEY)
            for (size_t i = 0; i < ARRAY_LEN(level_names) && !wanted; i++)
                wanted = str_equal(reader.text, level_names[i]);
        else if ((token == JSON_ARRAY || (token == JSON_OBJECT && reader.depth > 2)) &&
                 !json_skip(&reader, token))
            return STR("");
    }
}

/* The value behind `=`: `at` is its first byte. */
static const char *skip_value(const char *at, const char *end, Str *value) {
    const char *start = at;

    if (at < end && *at == '"') {
        for (at++; at < end && *at != '"'; at++)
            if (*at == '\\') at++;
        at = MIN(at, end);
        *value = (Str){start + 1, (size_t)(at - start - 1)};
        return at < end ? at + 1 : end;
    }
    while (at < end && (unsigned char)*at > ' ') at++;
    *value = (Str){start, (size_t)(at - start)};
    return at;
}

/* Of the keys that mean a level, the most preferred one's value. */
static Str level_in_logfmt(Str line) {
    const char *at = line.ptr, *end = line.ptr + line.len;
    size_t best = ARRAY_LEN(level_names);
    Str found = STR("");

    while (at < end) {
        const char *key = at;
        size_t name = 0;
        Str value;

        while (at < end && (unsigned char)*at > ' ' && *at != '=' && *at != '"') at++;
        if (at == end || *at != '=' || at == key) {
            at += at < end;
            continue;
        }
        Str key_text = {key, (size_t)(at - key)};
        at = skip_value(at + 1, end, &value);
        if (key_text.len < 3 || key_text.len > 13) continue;
        while (name < best && !str_equal_nocase(key_text, level_names[name])) name++;
        if (name == best) continue;
        best = name;
        found = value;
        if (best == 0) break;
    }
    return found;
}

/* What may stand on a word's left, and (bit 1) on its right. */
static const uint8_t boundaries[256] = {
    [' '] = 3, ['\t'] = 3, ['\n'] = 3, ['['] = 3, ['('] = 3, ['{'] = 3, ['"'] = 3, ['\''] = 3,
    ['='] = 3, ['|'] = 3,  [']'] = 2,  [')'] = 2, ['}'] = 2, [':'] = 2, [','] = 2, ['!'] = 2,
};

static Str word_at(Str rest) {
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t len = words[i].word.len;

        if (rest.len < len || !str_equal_nocase(str_slice(rest, 0, len), words[i].word)) continue;
        if (rest.len == len || (boundaries[(uint8_t)rest.ptr[len]] & 2) != 0) return words[i].level;
    }
    return STR("");
}

static Str level_in_words(Str line) {
    static const uint8_t begins[256] = {
        ['t'] = 1, ['d'] = 1, ['f'] = 1, ['c'] = 1, ['e'] = 1, ['w'] = 1, ['i'] = 1,
        ['T'] = 1, ['D'] = 1, ['F'] = 1, ['C'] = 1, ['E'] = 1, ['W'] = 1, ['I'] = 1,
    };
    uint8_t before = ' ';

    for (size_t i = 0; i < line.len; i++) {
        uint8_t c = (uint8_t)line.ptr[i];

        if (begins[c] && (boundaries[before] & 1) != 0) {
            Str level = word_at(str_from(line, i));

            if (level.len > 0) return level;
        }
        before = c;
    }
    return UNKNOWN;
}

Str level_of_line(Str line) {
    Str trimmed = str_trim(line), level = STR("");

    if (trimmed.len > 1 && trimmed.ptr[0] == '{' && trimmed.ptr[trimmed.len - 1] == '}')
        level = known_level(level_in_json(trimmed));
    else if (line.len > 0 && memchr(line.ptr, '=', line.len) != NULL)
        level = known_level(level_in_logfmt(line));
    return level.len > 0 ? level : level_in_words(line);
}
