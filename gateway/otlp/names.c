#include "gateway/otlp/names.h"

#include "common/base/rune.h"

/* One may come from the unit and two from the kind of metric. */
enum { TOKENS_MORE = 4, NAME_BYTES_MAX = 1 << 16 };

typedef struct UnitName {
    Str otlp;
    Str prometheus;
} UnitName;

static const UnitName units[] = {
    {STR_INIT("d"), STR_INIT("days")},
    {STR_INIT("h"), STR_INIT("hours")},
    {STR_INIT("min"), STR_INIT("minutes")},
    {STR_INIT("s"), STR_INIT("seconds")},
    {STR_INIT("ms"), STR_INIT("milliseconds")},
    {STR_INIT("us"), STR_INIT("microseconds")},
    {STR_INIT("ns"), STR_INIT("nanoseconds")},
    {STR_INIT("By"), STR_INIT("bytes")},
    {STR_INIT("KiBy"), STR_INIT("kibibytes")},
    {STR_INIT("MiBy"), STR_INIT("mebibytes")},
    {STR_INIT("GiBy"), STR_INIT("gibibytes")},
    {STR_INIT("TiBy"), STR_INIT("tibibytes")},
    {STR_INIT("KBy"), STR_INIT("kilobytes")},
    {STR_INIT("MBy"), STR_INIT("megabytes")},
    {STR_INIT("GBy"), STR_INIT("gigabytes")},
    {STR_INIT("TBy"), STR_INIT("terabytes")},
    {STR_INIT("m"), STR_INIT("meters")},
    {STR_INIT("V"), STR_INIT("volts")},
    {STR_INIT("A"), STR_INIT("amperes")},
    {STR_INIT("J"), STR_INIT("joules")},
    {STR_INIT("W"), STR_INIT("watts")},
    {STR_INIT("g"), STR_INIT("grams")},
    {STR_INIT("Cel"), STR_INIT("celsius")},
    {STR_INIT("Hz"), STR_INIT("hertz")},
    {STR_INIT("1"), STR_INIT("")},
    {STR_INIT("%"), STR_INIT("percent")},
};

static const UnitName per_units[] = {
    {STR_INIT("s"), STR_INIT("second")}, {STR_INIT("m"), STR_INIT("minute")},
    {STR_INIT("h"), STR_INIT("hour")},   {STR_INIT("d"), STR_INIT("day")},
    {STR_INIT("w"), STR_INIT("week")},   {STR_INIT("mo"), STR_INIT("month")},
    {STR_INIT("y"), STR_INIT("year")},
};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_label_char(char c) {
    char lower = (char)(c | 0x20);

    return (lower >= 'a' && lower <= 'z') || is_digit(c);
}

static bool is_metric_char(char c) {
    return is_label_char(c) || c == ':';
}

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory left for the names of this request");
}

static bool only_underscores(Str s) {
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] != '_') return false;
    return true;
}

static Str trim_suffix(Str s, Str suffix) {
    return str_ends_with(s, suffix) ? str_slice(s, 0, s.len - suffix.len) : s;
}

/* ---------- units ---------- */

static bool has_braces(Str s) {
    return s.len > 0 && (memchr(s.ptr, '{', s.len) != NULL || memchr(s.ptr, '}', s.len) != NULL);
}

static Str look_up(const UnitName *names, size_t count, Str unit) {
    for (size_t i = 0; i < count; i++)
        if (str_equal(names[i].otlp, unit)) return names[i].prometheus;
    return unit;
}

/* By/s: "bytes" and "per_second"; {requests}/s: "" and "per_second". *per: false, out of memory. */
static bool unit_parts(Str unit, Arena *arena, Str *main, Str *per) {
    Str before, after;

    *main = *per = STR("");
    str_cut(unit, '/', &before, &after);
    before = str_trim(before);
    after = str_trim(after);
    if (before.len > 0 && !has_braces(before)) *main = look_up(units, ARRAY_LEN(units), before);
    if (after.len > 0 && !has_braces(after)) {
        *per = str_format(arena, "per_" STR_FMT,
                          STR_ARG(look_up(per_units, ARRAY_LEN(per_units), after)));
        if (per->ptr == NULL) return false;
    }
    return true;
}

/* Characters that no name has become underscores, those in a row become one, and none leads. */
static Str clean_unit(Str unit, Arena *arena) {
    char *out;
    size_t len = 0;

    if (unit.len == 0) return unit;
    out = arena_alloc_bytes(arena, unit.len);
    if (out == NULL) return (Str){NULL, 0};
    for (size_t i = 0; i < unit.len;) {
        size_t step;
        char c = unit.ptr[i];

        rune_decode(str_from(unit, i), &step);
        if (!is_metric_char(c)) c = '_';
        if (c != '_' || len == 0 || out[len - 1] != '_') out[len++] = c;
        i += step;
    }
    return str_from((Str){out, len}, out[0] == '_' ? 1 : 0);
}

Str otlp_unit_name(Str unit, Arena *arena) {
    Str main, per, out;

    if (!unit_parts(unit, arena, &main, &per)) return (Str){NULL, 0};
    main = clean_unit(main, arena);
    per = clean_unit(per, arena);
    if (main.ptr == NULL || per.ptr == NULL) return (Str){NULL, 0};
    out = per;
    if (main.len > 0) out = main;
    if (main.len > 0 && per.len > 0)
        out = str_format(arena, STR_FMT "_" STR_FMT, STR_ARG(main), STR_ARG(per));
    if (out.len > 0 && out.ptr[0] == '_') out = str_from(out, 1);
    return trim_suffix(out, STR("_"));
}

/* ---------- metrics, escaped ---------- */

typedef struct Tokens {
    Str *at;
    size_t count;
} Tokens;

static bool tokens_have(const Tokens *tokens, Str token) {
    for (size_t i = 0; i < tokens->count; i++)
        if (str_equal(tokens->at[i], token)) return true;
    return false;
}

/* At the end, and nowhere else. */
static void tokens_move_to_end(Tokens *tokens, Str token) {
    size_t kept = 0;

    for (size_t i = 0; i < tokens->count; i++)
        if (!str_equal(tokens->at[i], token)) tokens->at[kept++] = tokens->at[i];
    tokens->at[kept] = token;
    tokens->count = kept + 1;
}

static bool tokens_split(Tokens *tokens, Str name, bool underscores, Arena *arena) {
    tokens->at = ARENA_ARRAY(arena, Str, name.len / 2 + 1 + TOKENS_MORE);
    tokens->count = 0;
    if (tokens->at == NULL) return false;
    for (size_t i = 0; i < name.len;) {
        size_t start = i;

        while (i < name.len && (is_metric_char(name.ptr[i]) || (underscores && name.ptr[i] == '_')))
            i++;
        if (i > start) tokens->at[tokens->count++] = str_slice(name, start, i - start);
        if (i == start) i++;
    }
    return true;
}

static Str tokens_join(const Tokens *tokens, Arena *arena) {
    size_t len = 0, at = 0;
    char *out;

    for (size_t i = 0; i < tokens->count; i++) len += tokens->at[i].len + 1;
    out = arena_alloc_bytes(arena, len + 1);
    if (out == NULL) return (Str){NULL, 0};
    /* No name begins with a digit. */
    if (tokens->count > 0 && is_digit(tokens->at[0].ptr[0])) out[at++] = '_';
    for (size_t i = 0; i < tokens->count; i++) {
        if (i > 0) out[at++] = '_';
        memcpy(out + at, tokens->at[i].ptr, tokens->at[i].len);
        at += tokens->at[i].len;
    }
    return (Str){out, at};
}

static bool add_unit(Tokens *tokens, Str unit, Arena *arena) {
    Str main, per;

    if (!unit_parts(unit, arena, &main, &per)) return false;
    main = clean_unit(main, arena);
    per = clean_unit(per, arena);
    if (main.ptr == NULL || per.ptr == NULL) return false;
    if (tokens_have(tokens, main)) main = STR("");
    per = str_equal(per, STR("per_")) ? STR("") : trim_suffix(per, STR("_"));
    if (tokens_have(tokens, per)) per = STR("");
    if (per.len > 0) main = trim_suffix(main, STR("_"));
    if (main.len > 0) tokens->at[tokens->count++] = main;
    if (per.len > 0) tokens->at[tokens->count++] = per;
    return true;
}

static ErrCode escaped_name(const OtlpMetricName *metric, bool suffixes, Arena *arena, Str *out,
                            Error *err) {
    Tokens tokens;

    if (!tokens_split(&tokens, metric->name, !suffixes, arena)) return out_of_memory(err);
    if (suffixes) {
        if (!add_unit(&tokens, metric->unit, arena)) return out_of_memory(err);
        if (metric->counter) tokens_move_to_end(&tokens, STR("total"));
        /* Counters of things have the unit 1 as well, by mistake, so only gauges are ratios. */
        if (metric->gauge && str_equal(metric->unit, STR("1")))
            tokens_move_to_end(&tokens, STR("ratio"));
    }
    *out = tokens_join(&tokens, arena);
    if (out->ptr == NULL) return out_of_memory(err);
    if (out->len == 0 || (only_underscores(*out) && !str_equal(*out, metric->name)))
        return error_set(err, ERR_INVALID, "nothing is left of the metric's name \"" STR_FMT "\"",
                         STR_ARG(str_slice(metric->name, 0, 100)));
    return ERR_OK;
}

/* ---------- metrics, kept ---------- */

/* Without the suffix and the character before it. */
static Str cut_suffix(Str name, Str suffix) {
    return str_ends_with(name, suffix) && name.len > suffix.len + 1
               ? str_slice(name, 0, name.len - suffix.len - 1)
               : name;
}

static ErrCode kept_name(const OtlpMetricName *metric, Arena *arena, Str *out, Error *err) {
    bool ratio = metric->gauge && str_equal(metric->unit, STR("1"));
    Str name = metric->name, main, per;

    if (ratio) name = cut_suffix(name, STR("ratio"));
    if (metric->counter) name = cut_suffix(name, STR("total"));
    if (!unit_parts(metric->unit, arena, &main, &per)) return out_of_memory(err);
    if (per.len > 0) name = cut_suffix(name, per);
    if (str_ends_with(name, main)) main = STR("");
    *out = str_format(arena, STR_FMT "%s" STR_FMT "%s" STR_FMT "%s%s", STR_ARG(name),
                      main.len > 0 ? "_" : "", STR_ARG(main), per.len > 0 ? "_" : "", STR_ARG(per),
                      metric->counter ? "_total" : "", ratio ? "_ratio" : "");
    return out->ptr == NULL ? out_of_memory(err) : ERR_OK;
}

ErrCode otlp_metric_name(OtlpTranslation translation, const OtlpMetricName *metric, Arena *arena,
                         Str *out, Error *err) {
    if (metric->name.len > NAME_BYTES_MAX || metric->unit.len > NAME_BYTES_MAX)
        return error_set(err, ERR_INVALID, "a metric's name or unit has more than %d bytes",
                         NAME_BYTES_MAX);
    switch (translation) {
    case OTLP_ESCAPE_WITH_SUFFIXES:
    case OTLP_ESCAPE:
        return escaped_name(metric, translation == OTLP_ESCAPE_WITH_SUFFIXES, arena, out, err);
    case OTLP_KEEP_WITH_SUFFIXES:
        return kept_name(metric, arena, out, err);
    case OTLP_KEEP:
        break;
    }
    *out = metric->name;
    return ERR_OK;
}

/* ---------- labels ---------- */

static bool is_reserved(Str name) {
    return name.len >= 4 && str_starts_with(name, STR("__")) && str_ends_with(name, STR("__"));
}

/* Each character that no name has becomes an underscore; with `collapse`, several in a row one. */
static size_t replace(Str name, bool collapse, char *out) {
    size_t at = 0, step;

    for (size_t i = 0; i < name.len; i += step) {
        step = 1;
        if (is_label_char(name.ptr[i])) {
            out[at++] = name.ptr[i];
            continue;
        }
        rune_decode(str_from(name, i), &step);
        if (!collapse || at == 0 || out[at - 1] != '_') out[at++] = '_';
    }
    return at;
}

ErrCode otlp_label_name(OtlpLabelStyle style, Str name, Arena *arena, Str *out, Error *err) {
    bool collapse = style == OTLP_LABEL_LOKI, reserved;
    Str prefix = STR(""), inner = name, suffix = STR("");
    char *text;
    size_t at;

    if (name.len == 0 || name.len > NAME_BYTES_MAX)
        return error_set(err, ERR_INVALID,
                         name.len == 0 ? "an attribute without a name"
                                       : "an attribute's name is too long");
    *out = name;
    if (style == OTLP_LABEL_AS_SENT) {
        if (!only_underscores(name)) return ERR_OK;
        return error_set(err, ERR_INVALID, "an attribute's name is only underscores");
    }
    reserved = is_reserved(name);
    if (reserved && collapse) {
        prefix = suffix = STR("__");
        inner = str_slice(name, 2, name.len - 4);
    } else if (is_digit(name.ptr[0])) {
        prefix = STR("key_");
    }
    text = arena_alloc_bytes(arena, name.len + 8);
    if (text == NULL) return out_of_memory(err);
    memcpy(text, prefix.ptr, prefix.len);
    at = prefix.len + replace(inner, collapse, text + prefix.len);
    memcpy(text + at, suffix.ptr, suffix.len);
    at += suffix.len;
    if (!collapse && text[0] == '_' && !str_starts_with((Str){text, at}, STR("__"))) {
        memmove(text + 3, text, at);
        memcpy(text, "key", 3);
        at += 3;
    }
    *out = (Str){text, at};
    if (!only_underscores(*out)) return ERR_OK;
    return error_set(err, ERR_INVALID, "nothing is left of the attribute's name \"" STR_FMT "\"",
                     STR_ARG(str_slice(name, 0, 100)));
}
