/*
 * condition.c: `name =~ "GET /health.*" and (kind = server or span.http.route != nil)`: fields
 * compared with literals, `and`, `or`, `not` and parentheses.
 *
 * An attribute that isn't there equals nothing but nil, and is different from everything else. A
 * literal that is a number is compared as one where the attribute is one, too.
 */
#include "gateway/rules/internal.h"

enum { DEPTH_MAX = 32, TESTS_MAX = 256, TEXT_BYTES_MAX = 16384, REGEX_BYTES_MAX = 1 << 20 };

typedef struct Parser {
    RuleSignal signal;
    Str whole;
    Str rest;
    Arena *arena;
    Error *err;
    unsigned depth;
    unsigned tests;
    bool own;
} Parser;

static ErrCode parse_or(Parser *p, const RuleCondition **out);

/* ---------- tokens ---------- */

static ErrCode wrong(Parser *p, const char *what) {
    return error_set(p->err, ERR_INVALID, "%s at byte %zu: \"" STR_FMT "\"", what,
                     p->whole.len - p->rest.len + 1, STR_ARG(str_slice(p->rest, 0, 40)));
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool in_word(char c) {
    return !is_space(c) && c != '\0' && strchr("()=!<>~\"`&|", c) == NULL;
}

static void skip_spaces(Parser *p) {
    while (p->rest.len > 0 && is_space(p->rest.ptr[0])) p->rest = str_from(p->rest, 1);
}

static bool take(Parser *p, const char *symbol) {
    skip_spaces(p);
    if (!str_starts_with(p->rest, str_of(symbol))) return false;
    p->rest = str_from(p->rest, strlen(symbol));
    return true;
}

static Str peek_word(Parser *p) {
    size_t len = 0;

    skip_spaces(p);
    while (len < p->rest.len && in_word(p->rest.ptr[len])) len++;
    return str_slice(p->rest, 0, len);
}

static bool take_word(Parser *p, const char *word) {
    Str found = peek_word(p);

    if (!str_equal_nocase(found, str_of(word))) return false;
    p->rest = str_from(p->rest, found.len);
    return true;
}

/* "..." with \" and \\ in it, or `...` as it is. */
static ErrCode parse_quoted(Parser *p, Str *out) {
    char quote = p->rest.ptr[0];
    char *text = arena_alloc_bytes(p->arena, p->rest.len);
    size_t len = 0, i = 1;

    if (text == NULL) return error_set(p->err, ERR_LIMIT, "out of memory");
    for (; i < p->rest.len && p->rest.ptr[i] != quote; i++) {
        if (quote == '"' && p->rest.ptr[i] == '\\' && i + 1 < p->rest.len &&
            (p->rest.ptr[i + 1] == '"' || p->rest.ptr[i + 1] == '\\'))
            i++;
        text[len++] = p->rest.ptr[i];
    }
    if (i == p->rest.len) return wrong(p, "a text without its end");
    p->rest = str_from(p->rest, i + 1);
    *out = (Str){text, len};
    return ERR_OK;
}

static bool at_quote(const Parser *p) {
    return p->rest.len > 0 && (p->rest.ptr[0] == '"' || p->rest.ptr[0] == '`');
}

/* ---------- fields ---------- */

enum { OF_SPANS = 1 << RULE_TRACES | 1 << RULE_TAIL };

static const struct {
    const char *name;
    RuleField field;
    uint8_t signals; /* bits */
} fields[] = {
    {"name", FIELD_NAME, OF_SPANS | 1 << RULE_METRICS},
    {"kind", FIELD_KIND, OF_SPANS},
    {"status", FIELD_STATUS, OF_SPANS},
    {"status_message", FIELD_STATUS_MESSAGE, OF_SPANS},
    {"duration", FIELD_DURATION, OF_SPANS},
    {"trace_duration", FIELD_TRACE_DURATION, 1 << RULE_TAIL},
    {"severity", FIELD_SEVERITY, 1 << RULE_LOGS},
    {"severity_text", FIELD_SEVERITY_TEXT, 1 << RULE_LOGS},
    {"body", FIELD_BODY, 1 << RULE_LOGS},
};

static const char *const prefixes[RULE_SIGNALS] = {"span.", "log.", "point.", "span."};

static ErrCode parse_field(Parser *p, RuleCondition *out) {
    Str word = peek_word(p), own = str_of(prefixes[p->signal]);
    bool resource = str_starts_with(word, STR("resource."));

    if (resource || str_starts_with(word, own)) {
        out->field = resource ? FIELD_RESOURCE : FIELD_OWN;
        out->key = str_from(word, resource ? strlen("resource.") : own.len);
        p->rest = str_from(p->rest, word.len);
        p->own |= !resource;
        if (out->key.len == 0 && at_quote(p)) return parse_quoted(p, &out->key);
        return out->key.len > 0 ? ERR_OK : wrong(p, "an attribute's name is missing");
    }
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (!str_equal(word, str_of(fields[i].name)) || (fields[i].signals >> p->signal & 1) == 0)
            continue;
        out->field = fields[i].field;
        p->rest = str_from(p->rest, word.len);
        p->own = true;
        return ERR_OK;
    }
    switch (p->signal) {
    case RULE_TRACES:
    case RULE_TAIL:
        return wrong(p, "expected resource.NAME, span.NAME, name, kind, status, status_message or "
                        "duration");
    case RULE_LOGS:
        return wrong(p, "expected resource.NAME, log.NAME, severity, severity_text or body");
    default:
        return wrong(p, "expected resource.NAME, point.NAME or name");
    }
}

/* ---------- literals ---------- */

/* The place of a word in a list, as OTLP numbers it. */
static bool numbered(Str word, const char *const *words, size_t count, unsigned step, double *out) {
    for (size_t i = 0; i < count; i++)
        if (str_equal_nocase(word, str_of(words[i]))) {
            *out = (double)(i * step + (step > 1 ? 1 : 0));
            return true;
        }
    return false;
}

/* What words mean where the field has numbers. */
static ErrCode literal_number(Parser *p, RuleCondition *out) {
    static const char *const kinds[] = {"unspecified", "internal", "server",
                                        "client",      "producer", "consumer"};
    static const char *const statuses[] = {"unset", "ok", "error"};
    static const char *const severities[] = {"trace", "debug", "info", "warn", "error", "fatal"};
    int64_t ms;

    switch (out->field) {
    case FIELD_KIND:
        out->number = numbered(out->value, kinds, ARRAY_LEN(kinds), 1, &out->as_number);
        return out->number ? ERR_OK : wrong(p, "no kind of span stands before");
    case FIELD_STATUS:
        out->number = numbered(out->value, statuses, ARRAY_LEN(statuses), 1, &out->as_number);
        return out->number ? ERR_OK : wrong(p, "none of unset, ok and error stands before");
    case FIELD_SEVERITY:
        out->number = numbered(out->value, severities, ARRAY_LEN(severities), 4, &out->as_number) ||
                      str_to_double(out->value, &out->as_number);
        return out->number ? ERR_OK : wrong(p, "neither a severity nor its number stands before");
    case FIELD_DURATION:
    case FIELD_TRACE_DURATION:
        out->number = config_parse_duration(out->value, &ms);
        out->as_number = out->number ? (double)ms / 1000 : 0;
        return out->number ? ERR_OK : wrong(p, "no duration such as 250ms stands before");
    default:
        out->number = str_to_double(out->value, &out->as_number);
        return ERR_OK;
    }
}

static bool is_regex(RuleCompare compare) {
    return compare == COMPARE_REGEX || compare == COMPARE_NOT_REGEX;
}

static ErrCode parse_literal(Parser *p, RuleCondition *out) {
    bool quoted;

    skip_spaces(p);
    quoted = at_quote(p);
    if (quoted) {
        if (parse_quoted(p, &out->value) != ERR_OK) return p->err->code;
    } else {
        out->value = peek_word(p);
        if (out->value.len == 0) return wrong(p, "a value is missing");
        p->rest = str_from(p->rest, out->value.len);
    }
    if (is_regex(out->compare)) {
        if (out->field == FIELD_KIND || out->field == FIELD_STATUS ||
            out->field == FIELD_DURATION || out->field == FIELD_TRACE_DURATION ||
            out->field == FIELD_SEVERITY)
            return wrong(p, "only texts are compared by an expression, which stands before");
        return matcher_new_bounded(p->arena, MATCH_REGEX, STR(""), out->value, REGEX_BYTES_MAX,
                                   &out->matcher, p->err);
    }
    if (!quoted && str_equal(out->value, STR("nil"))) {
        out->nil = true;
        if (out->compare == COMPARE_EQUAL || out->compare == COMPARE_NOT_EQUAL) return ERR_OK;
        return wrong(p, "nil is only equal or not");
    }
    if (quoted && out->field <= FIELD_OWN) return ERR_OK; /* "200" is a text */
    if (literal_number(p, out) != ERR_OK) return p->err->code;
    if (out->number || out->compare == COMPARE_EQUAL || out->compare == COMPARE_NOT_EQUAL)
        return ERR_OK;
    return wrong(p, "only numbers are smaller or larger; none stands before");
}

static ErrCode parse_test(Parser *p, const RuleCondition **out) {
    static const struct {
        const char *symbol;
        RuleCompare compare;
    } symbols[] = {
        {"=~", COMPARE_REGEX},     {"!~", COMPARE_NOT_REGEX},  {"==", COMPARE_EQUAL},
        {"!=", COMPARE_NOT_EQUAL}, {"<=", COMPARE_LESS_EQUAL}, {">=", COMPARE_GREATER_EQUAL},
        {"=", COMPARE_EQUAL},      {"<", COMPARE_LESS},        {">", COMPARE_GREATER}};
    RuleCondition *test = ARENA_NEW(p->arena, RuleCondition);
    size_t i = 0;

    if (test == NULL) return error_set(p->err, ERR_LIMIT, "out of memory");
    if (p->tests++ == TESTS_MAX) return wrong(p, "too many comparisons");
    test->op = CONDITION_TEST;
    if (parse_field(p, test) != ERR_OK) return p->err->code;
    while (i < ARRAY_LEN(symbols) && !take(p, symbols[i].symbol)) i++;
    if (i == ARRAY_LEN(symbols)) return wrong(p, "expected =, !=, <, <=, >, >=, =~ or !~");
    test->compare = symbols[i].compare;
    if (parse_literal(p, test) != ERR_OK) return p->err->code;
    *out = test;
    return ERR_OK;
}

/* ---------- and, or, not ---------- */

static ErrCode parse_unary(Parser *p, const RuleCondition **out) {
    RuleCondition *negation;
    ErrCode code;

    if (p->depth == DEPTH_MAX) return wrong(p, "nested too deeply");
    if (take_word(p, "not") || take(p, "!")) {
        negation = ARENA_NEW(p->arena, RuleCondition);
        if (negation == NULL) return error_set(p->err, ERR_LIMIT, "out of memory");
        negation->op = CONDITION_NOT;
        p->depth++;
        code = parse_unary(p, &negation->left);
        p->depth--;
        *out = negation;
        return code;
    }
    if (!take(p, "(")) return parse_test(p, out);
    p->depth++;
    code = parse_or(p, out);
    p->depth--;
    if (code != ERR_OK) return code;
    return take(p, ")") ? ERR_OK : wrong(p, "expected )");
}

/* One level: what binds tighter, joined by `op`. */
static ErrCode parse_joined(Parser *p, bool is_or, const RuleCondition **out) {
    const RuleCondition *left;
    RuleCondition *joined;

    if ((is_or ? parse_joined(p, false, &left) : parse_unary(p, &left)) != ERR_OK)
        return p->err->code;
    while (is_or ? take_word(p, "or") || take(p, "||") : take_word(p, "and") || take(p, "&&")) {
        joined = ARENA_NEW(p->arena, RuleCondition);
        if (joined == NULL) return error_set(p->err, ERR_LIMIT, "out of memory");
        joined->op = is_or ? CONDITION_OR : CONDITION_AND;
        joined->left = left;
        if ((is_or ? parse_joined(p, false, &joined->right) : parse_unary(p, &joined->right)) !=
            ERR_OK)
            return p->err->code;
        left = joined;
    }
    *out = left;
    return ERR_OK;
}

static ErrCode parse_or(Parser *p, const RuleCondition **out) {
    return parse_joined(p, true, out);
}

ErrCode rule_condition_parse(RuleSignal signal, Str text, Arena *arena, const RuleCondition **out,
                             bool *own, Error *err) {
    Parser p = {.signal = signal, .whole = text, .rest = text, .arena = arena, .err = err};

    if (text.len > TEXT_BYTES_MAX)
        return error_set(err, ERR_INVALID, "longer than %d bytes", TEXT_BYTES_MAX);
    TRY(parse_or(&p, out));
    skip_spaces(&p);
    if (p.rest.len > 0) return wrong(&p, "expected and, or, or the end");
    *own = p.own;
    return ERR_OK;
}

/* ---------- evaluation ---------- */

/* What is compared: a number, or a text, or nothing. */
typedef struct Compared {
    bool there;
    bool is_number;
    double number;
    OtlpValue value; /* of an attribute or body */
    Str text;
} Compared;

static Compared of_attribute(const RuleAttributes *attributes, Str key) {
    const RuleAttribute *attribute = rule_attribute_find(attributes, key);
    Compared out = {.value = {.kind = OTLP_EMPTY}};

    if (attribute == NULL || !otlp_read_value(wire_reader(attribute->value), &out.value))
        return out;
    out.there = true;
    out.is_number = out.value.kind == OTLP_INT || out.value.kind == OTLP_DOUBLE;
    out.number = out.value.kind == OTLP_INT      ? (double)out.value.integer
                 : out.value.kind == OTLP_DOUBLE ? out.value.number
                                                 : 0;
    return out;
}

static Compared of_text(Str text) {
    return (Compared){.there = true, .value = {.kind = OTLP_STRING, .bytes = text}};
}

static Compared of_number(double number) {
    return (Compared){
        .there = true, .is_number = true, .number = number, .value = {.kind = OTLP_EMPTY}};
}

static Compared compared(const RuleCondition *test, const RuleSubject *subject) {
    switch (test->field) {
    case FIELD_RESOURCE:
        return of_attribute(subject->resource, test->key);
    case FIELD_OWN:
        return of_attribute(subject->own, test->key);
    case FIELD_NAME:
        return of_text(subject->name);
    case FIELD_KIND:
        return of_number(subject->kind);
    case FIELD_STATUS:
        return of_number(subject->status);
    case FIELD_STATUS_MESSAGE:
    case FIELD_SEVERITY_TEXT:
        return of_text(subject->text);
    case FIELD_DURATION:
        return of_number(subject->seconds);
    case FIELD_TRACE_DURATION:
        return of_number(subject->trace_seconds);
    case FIELD_SEVERITY: /* a record that says none has none, and isn't below all others */
        return subject->severity == 0 ? (Compared){.value = {.kind = OTLP_EMPTY}}
                                      : of_number(subject->severity);
    case FIELD_BODY:
        break;
    }
    return (Compared){.there = true, .value = subject->body};
}

static bool numbers_hold(RuleCompare compare, double a, double b) {
    switch (compare) {
    case COMPARE_EQUAL:
        return a == b;
    case COMPARE_NOT_EQUAL:
        return a != b;
    case COMPARE_LESS:
        return a < b;
    case COMPARE_LESS_EQUAL:
        return a <= b;
    case COMPARE_GREATER:
        return a > b;
    case COMPARE_GREATER_EQUAL:
        return a >= b;
    case COMPARE_REGEX:
    case COMPARE_NOT_REGEX:
        break;
    }
    return false;
}

static bool test_holds(const RuleCondition *test, const RuleSubject *subject) {
    bool unlike = test->compare == COMPARE_NOT_EQUAL || test->compare == COMPARE_NOT_REGEX;
    Compared found = compared(test, subject);
    Error ignored;
    Str text;

    if (test->nil) return found.there == unlike;
    if (!found.there) return unlike;
    if (test->number && found.is_number)
        return numbers_hold(test->compare, found.number, test->as_number);
    if (otlp_value_text(&found.value, subject->arena, &text, &ignored) != ERR_OK) return false;
    if (is_regex(test->compare)) return matcher_matches(&test->matcher, text) != unlike;
    if (test->compare == COMPARE_EQUAL || unlike) return str_equal(text, test->value) != unlike;
    return str_to_double(text, &found.number) &&
           numbers_hold(test->compare, found.number, test->as_number);
}

bool rule_condition_holds(const RuleCondition *condition, const RuleSubject *subject) {
    switch (condition->op) {
    case CONDITION_AND:
        return rule_condition_holds(condition->left, subject) &&
               rule_condition_holds(condition->right, subject);
    case CONDITION_OR:
        return rule_condition_holds(condition->left, subject) ||
               rule_condition_holds(condition->right, subject);
    case CONDITION_NOT:
        return !rule_condition_holds(condition->left, subject);
    case CONDITION_TEST:
        break;
    }
    return test_holds(condition, subject);
}
