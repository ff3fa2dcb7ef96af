/* What gateway/rules/rules.h promises: what rules make of spans, records and points. */
#include "gateway/rules/rules.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/generator/view.h"
#include "gateway/otlp/json.h"
#include "gateway/rules/internal.h"
#include "tests/unit/generator/spans.h"
#include "tests/unit/unit.h"

#define RULE(...) ((RuleText){__VA_ARGS__})

static const TenantRules *made(RuleSignal signal, const RuleText *texts, size_t count) {
    RuleList lists[RULE_SIGNALS] = {{NULL, 0}};
    const TenantRules *rules = NULL;
    Error err;

    lists[signal] = (RuleList){texts, count};
    assert_ok(rules_keep(lists, &rules, &err), &err);
    return rules;
}

#define RULES(signal, ...)                                                                         \
    made(signal, (const RuleText[]){__VA_ARGS__},                                                  \
         sizeof((const RuleText[]){__VA_ARGS__}) / sizeof(RuleText))

/* Why a rule is refused. */
static const char *refusal(RuleSignal signal, RuleText text) {
    static char why[sizeof((Error *)0)->text + 1];
    RuleList lists[RULE_SIGNALS] = {{NULL, 0}};
    const TenantRules *rules;
    Error err;

    lists[signal] = (RuleList){&text, 1};
    assert_int_equal(rules_keep(lists, &rules, &err), ERR_INVALID);
    snprintf(why, sizeof why, "%s", err.text);
    return why;
}

static void show_attributes(Buf *out, Arena *arena, Str message, uint32_t number) {
    RuleAttributes attributes;
    Error err;

    assert_ok(rule_attributes_read(message, number, arena, &attributes, &err), &err);
    for (size_t i = 0; i < attributes.count; i++) {
        OtlpValue value = {.kind = OTLP_EMPTY};
        Str text;

        assert_true(otlp_read_value(wire_reader(attributes.items[i].value), &value));
        assert_ok(otlp_value_text(&value, arena, &text, &err), &err);
        buf_printf(out, " " STR_FMT "=" STR_FMT "%s", STR_ARG(attributes.items[i].key),
                   STR_ARG(text), value.kind == OTLP_INT ? "i" : "");
    }
}

/* "name resource | span", one a line, of what is left of a batch. */
static const char *shown(Arena *arena, const SpansBatch *batch) {
    Buf out;
    Str text;

    buf_init(&out, 0);
    for (size_t i = 0; i < batch->item_count; i++) {
        const SpansItem *item = &batch->items[i];
        Str parts[ORIGIN_PARTS];
        SpanPlace place;
        Error err;

        assert_ok(span_check(item->span, &place, &err), &err);
        assert_true(trace_id_equal(&place.trace, &item->trace));
        assert_true(origin_parts(batch->origins[item->origin].bytes, parts));
        buf_append_str(&out, place.name);
        show_attributes(&out, arena, parts[0], 1);
        buf_append_str(&out, STR(" |"));
        show_attributes(&out, arena, item->span, 9);
        buf_append_byte(&out, '\n');
    }
    text = str_dup(arena, out.len == 0 ? STR("") : buf_str(&out));
    buf_done(&out);
    return text.ptr;
}

static const TestSpan traffic[] = {
    {1, 1, 0, "shop", "GET /health", SERVER, 0, 0, 5, "code=200,path=/health", "env=dev"},
    {2, 1, 0, "shop", "GET /", SERVER, FAILED, 0, 500, "code=500,user=ann", "env=dev"},
    {3, 1, 0, "mail", "send", CLIENT, 0, 0, 2000, "user=bob,note=200", NULL},
};

static const char *ruled(Arena *arena, const TenantRules *rules) {
    SpansBatch batch = test_batch(arena, "acme", traffic, ARRAY_LEN(traffic)), out;
    size_t bytes = 0;
    Error err;

    assert_ok(rules_spans(rules, &batch, 42, arena, &out, &err), &err);
    for (size_t i = 0; i < out.item_count; i++) bytes += out.items[i].span.len;
    assert_int_equal(out.bytes, bytes);
    for (size_t i = 0; i < out.origin_count; i++)
        assert_true(out.origins[i].bytes.ptr == batch.origins[i].bytes.ptr ||
                    out.origins[i].id.low ==
                        spans_origin_id(hash_str(STR("acme")), out.origins[i].bytes, 42).low);
    return shown(arena, &out);
}

static void attributes_are_set_renamed_hashed_and_deleted_in_order(void **state) {
    Arena *arena = arena_new(0, NULL);

    (void)state;
    assert_string_equal(
        ruled(arena,
              RULES(RULE_TRACES,
                    RULE(.action = STR("insert"), .key = STR("resource.env"), .value = STR("prod")),
                    RULE(.action = STR("insert"), .key = STR("span.user"), .value = STR("nobody")),
                    RULE(.action = STR("update"), .key = STR("span.path"), .value = STR("-")),
                    RULE(.action = STR("upsert"), .key = STR("span.n"), .value = STR("7"),
                         .type = STR("int")),
                    RULE(.action = STR("upsert"), .key = STR("span.zone"),
                         .from = STR("resource.env")),
                    RULE(.action = STR("rename"), .key = STR("span.code"), .to = STR("span.note")),
                    RULE(.action = STR("delete"), .key = STR("span.user"),
                         .condition = STR("status = error")))),
        "GET /health service.name=shop env=dev | note=200i path=- user=nobody n=7i zone=dev\n"
        "GET / service.name=shop env=dev | note=500i n=7i zone=dev\n"
        "send service.name=mail env=prod | user=bob note=200i n=7i zone=prod\n");
    /* A new name takes the place of one that was there. */
    assert_string_equal(
        ruled(arena,
              RULES(RULE_TRACES,
                    RULE(.action = STR("rename"), .key = STR("span.user"), .to = STR("note"),
                         .condition = STR("resource.env = nil")),
                    RULE(.action = STR("hash"), .key = STR("span.user")),
                    RULE(.action = STR("drop"), .condition = STR("name = \"GET /health\"")))),
        "GET / service.name=shop env=dev | code=500i "
        "user=49915e0d7d4b402e3017d010bc1c0e83cac6c797d6c16e66340fe3268693a6a1\n"
        "send service.name=mail | note=bob\n");
    arena_free(arena);
}

static void what_a_condition_holds_for_is_dropped(void **state) {
    static const struct {
        const char *condition;
        const char *left; /* h: health, g: GET /, s: send */
    } cases[] = {
        {"name =~ \"GET /(health|ready).*\" and kind = server", "gs"},
        {"name !~ \"GET.*\"", "hg"},
        {"kind = client or status = error", "h"},
        {"not (kind = client or status = error)", "gs"},
        {"duration >= 500ms", "h"},
        {"duration < 500ms", "gs"},
        {"span.code = 200", "gs"},
        {"span.code = \"200\"", "gs"},
        {"span.code >= 400", "hs"},
        {"span.note = 200", "hg"}, /* a text that is the number as it is written */
        {"span.note > 100", "hg"},
        {"span.code != 200", "h"},
        {"span.user != nil", "h"},
        {"span.user = nil && !span.path = nil", "gs"},
        {"resource.env = dev", "s"},
        {"resource.env != dev", "hg"},
        {"span.`user` = ann", "hs"},
        {"span.\"user\"=ann||span.user=bob", "h"},
        {"kind=server and span.code=200 or name=send", "g"},
        {"kind=server and (span.code=200 or name=send)", "gs"},
        {"status_message = \"\"", ""},
    };
    Arena *arena = arena_new(0, NULL);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *text =
            ruled(arena, RULES(RULE_TRACES, RULE(.action = STR("drop"),
                                                 .condition = str_of(cases[i].condition))));
        char left[4] = "";
        size_t n = 0;

        if (strstr(text, "GET /health ") != NULL) left[n++] = 'h';
        if (strstr(text, "GET / ") != NULL) left[n++] = 'g';
        if (strstr(text, "send ") != NULL) left[n++] = 's';
        if (strcmp(left, cases[i].left) != 0)
            fail_msg("%s leaves \"%s\", not \"%s\"", cases[i].condition, left, cases[i].left);
    }
    arena_free(arena);
}

static void a_share_of_traces_is_kept_the_same_in_every_batch(void **state) {
    const TenantRules *half =
        RULES(RULE_TRACES, RULE(.action = STR("sample"), .share = STR("0.5")));
    const TenantRules *more =
        RULES(RULE_TRACES, RULE(.action = STR("sample"), .share = STR("0.7")));
    const TenantRules *none = RULES(RULE_TRACES, RULE(.action = STR("sample"), .share = STR("0")));
    const TenantRules *all = RULES(RULE_TRACES, RULE(.action = STR("sample"), .share = STR("1")));
    Arena *arena = arena_new(0, NULL);
    TestSpan spans[256];
    SpansBatch batch, a, b, more_of, rest;
    size_t k = 0;
    Error err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(spans); i++) {
        spans[i] = traffic[0];
        spans[i].trace = (uint8_t)i;
    }
    batch = test_batch(arena, "acme", spans, ARRAY_LEN(spans));
    assert_ok(rules_spans(half, &batch, 1, arena, &a, &err), &err);
    assert_ok(rules_spans(half, &batch, 2, arena, &b, &err), &err);
    assert_in_range(a.item_count, 80, 176);
    assert_int_equal(a.item_count, b.item_count);
    for (size_t i = 0; i < a.item_count; i++)
        assert_true(trace_id_equal(&a.items[i].trace, &b.items[i].trace));
    /* Whom a smaller share keeps, a larger one keeps as well. */
    assert_ok(rules_spans(more, &batch, 1, arena, &more_of, &err), &err);
    for (size_t i = 0; i < more_of.item_count && k < a.item_count; i++)
        k += trace_id_equal(&more_of.items[i].trace, &a.items[k].trace);
    assert_int_equal(k, a.item_count);
    assert_ok(rules_spans(none, &batch, 1, arena, &rest, &err), &err);
    assert_int_equal(rest.item_count, 0);
    assert_ok(rules_spans(all, &batch, 1, arena, &rest, &err), &err);
    assert_int_equal(rest.item_count, ARRAY_LEN(spans));
    arena_free(arena);
}

static bool kept(Arena *arena, const TenantRules *rules, const TestSpan *spans, size_t count) {
    SpansBatch batch = test_batch(arena, "acme", spans, count);
    Str *origins = ARENA_ARRAY(arena, Str, count);

    for (size_t i = 0; i < count; i++) origins[i] = batch.origins[i].bytes;
    assert_true(rules_sampler.any(rules));
    return rules_sampler.keep(rules, batch.items, count, origins, arena);
}

static void traces_that_are_over_are_kept_for_any_of_their_spans(void **state) {
    static const TestSpan fast[] = {{1, 1, 0, "shop", "GET /", SERVER, 0, 0, 5, "code=200", NULL},
                                    {1, 2, 1, "cart", "serve", SERVER, 0, 1, 4, NULL, "env=dev"}};
    static const TestSpan failed[] = {{1, 1, 0, "shop", "GET /", SERVER, 0, 0, 5, NULL, NULL},
                                      {1, 2, 1, "cart", "x", SERVER, FAILED, 1, 4, NULL, NULL}};
    static const TestSpan slow[] = {{1, 1, 0, "shop", "GET /", SERVER, 0, 0, 600, NULL, NULL},
                                    {1, 2, 1, "cart", "late", SERVER, 0, 900, 1100, NULL, NULL}};
    static const struct {
        const char *condition;
        bool fast, failed, slow;
    } cases[] = {
        {"status = error", false, true, false},
        {"trace_duration > 1s", false, false, true},
        {"duration > 1s", false, false, false},
        {"duration >= 600ms", false, false, true},
        {"span.code = 200", true, false, false},
        {"resource.env = dev or name = late", true, false, true},
        {"resource.env = dev and span.code = 200", false, false, false}, /* of one span */
    };
    Arena *arena = arena_new(0, NULL);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const TenantRules *rules =
            RULES(RULE_TAIL, RULE(.action = STR("keep"), .condition = str_of(cases[i].condition)));

        if (kept(arena, rules, fast, 2) != cases[i].fast ||
            kept(arena, rules, failed, 2) != cases[i].failed ||
            kept(arena, rules, slow, 2) != cases[i].slow)
            fail_msg("%s", cases[i].condition);
    }
    assert_true(kept(arena, RULES(RULE_TAIL, RULE(.action = STR("keep"))), fast, 2));
    assert_true(kept(arena,
                     RULES(RULE_TAIL, RULE(.action = STR("sample"), .share = STR("0")),
                           RULE(.action = STR("sample"), .share = STR("1"))),
                     fast, 2));
    assert_false(kept(arena,
                      RULES(RULE_TAIL, RULE(.action = STR("sample"), .share = STR("0")),
                            RULE(.action = STR("keep"), .condition = STR("name = nobody"))),
                      fast, 2));
    assert_true(kept(arena,
                     RULES(RULE_TAIL, RULE(.action = STR("sample"), .share = STR("1"),
                                           .condition = STR("name = serve"))),
                     fast, 2));
    assert_false(rules_sampler.any(NULL));
    assert_false(
        rules_sampler.any(RULES(RULE_LOGS, RULE(.action = STR("delete"), .key = STR("log.a")))));
    arena_free(arena);
}

/* Whom rules.traces keeps of a share, rules.tail keeps, too. */
static void tails_and_heads_agree_on_a_share(void **state) {
    RuleText half = RULE(.action = STR("sample"), .share = STR("0.5"));
    const TenantRules *head = made(RULE_TRACES, &half, 1), *tail = made(RULE_TAIL, &half, 1);
    Arena *arena = arena_new(0, NULL);
    TestSpan span = traffic[0];

    (void)state;
    for (unsigned i = 0; i < 64; i++) {
        SpansBatch batch, out;
        Error err;

        span.trace = (uint8_t)i;
        batch = test_batch(arena, "acme", &span, 1);
        assert_ok(rules_spans(head, &batch, 1, arena, &out, &err), &err);
        assert_int_equal(out.item_count == 1, kept(arena, tail, &span, 1));
    }
    arena_free(arena);
}

/* ---------- logs and metrics ---------- */

static Str wire_of(Arena *arena, OtlpRequest request, const char *json) {
    Error err;
    Buf out;
    Str kept;

    buf_init(&out, 0);
    assert_ok(otlp_json_to_wire(request, str_of(json), arena, &out, &err), &err);
    kept = str_dup(arena, out.len == 0 ? STR("") : buf_str(&out));
    buf_done(&out);
    return kept;
}

static void rewritten(Arena *arena, RuleSignal signal, const TenantRules *rules, const char *before,
                      const char *after, uint64_t dropped) {
    OtlpRequest request = signal == RULE_LOGS ? OTLP_LOGS_REQUEST : OTLP_METRICS_REQUEST;
    Str body = wire_of(arena, request, before), expected = wire_of(arena, request, after);
    uint64_t found = 0;
    Error err;
    Buf out;

    buf_init(&out, 1 << 20);
    assert_ok(rules_rewrite(rules, signal, body, arena, &out, &found, &err), &err);
    assert_int_equal(found, dropped);
    assert_int_equal(out.len, expected.len);
    if (out.len > 0) assert_memory_equal(out.ptr, expected.ptr, out.len);
    buf_done(&out);
}

#define KV(key, value) "{\"key\":\"" key "\",\"value\":{\"stringValue\":\"" value "\"}}"

static void records_are_changed_and_dropped_where_they_lie(void **state) {
    Arena *arena = arena_new(0, NULL);

    (void)state;
    rewritten(
        arena, RULE_LOGS,
        RULES(RULE_LOGS,
              RULE(.action = STR("drop"),
                   .condition = STR("severity < info and resource.service.name = shop")),
              RULE(.action = STR("drop"), .condition = STR("body =~ \".*secret.*\"")),
              RULE(.action = STR("drop"), .condition = STR("severity_text = \"?\"")),
              RULE(.action = STR("delete"), .key = STR("log.token")),
              RULE(.action = STR("upsert"), .key = STR("resource.env"), .value = STR("prod"))),
        "{\"resourceLogs\":[{\"resource\":{\"attributes\":[" KV(
            "service.name",
            "shop") "]},"
                    "\"scopeLogs\":[{\"scope\":{\"name\":\"s\"},\"logRecords\":["
                    "{\"timeUnixNano\":\"1\",\"severityNumber\":5,\"body\":{\"stringValue\":\"a\"}}"
                    ","
                    "{\"timeUnixNano\":\"6\"},"
                    "{\"timeUnixNano\":\"2\",\"severityNumber\":9,\"body\":{\"stringValue\":\"b\"},"
                    "\"attributes\":[" KV("token", "x") "," KV(
                        "k",
                        "v") "]},"
                             "{\"timeUnixNano\":\"3\",\"severityNumber\":9,\"body\":{"
                             "\"stringValue\":\"a secret\"}},"
                             "{\"timeUnixNano\":\"3\",\"severityText\":\"?\",\"severityNumber\":9}"
                             "],\"schemaUrl\":\"u\"}]},"
                             "{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"4\","
                             "\"severityNumber\":1}]}]}]}",
        "{\"resourceLogs\":[{\"resource\":{\"attributes\":[" KV("service.name", "shop") "," KV(
            "env",
            "prod") "]},"
                    "\"scopeLogs\":[{\"scope\":{\"name\":\"s\"},\"logRecords\":["
                    "{\"timeUnixNano\":\"6\"},"
                    "{\"timeUnixNano\":\"2\",\"severityNumber\":9,\"body\":{\"stringValue\":\"b\"},"
                    "\"attributes\":[" KV(
                        "k", "v") "]}"
                                  "],\"schemaUrl\":\"u\"}]},"
                                  "{\"resource\":{\"attributes\":[" KV(
                                      "env",
                                      "prod") "]},"
                                              "\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":"
                                              "\"4\",\"severityNumber\":1}]}]}]}",
        3);
    arena_free(arena);
}

static void points_of_every_kind_are_changed_and_dropped(void **state) {
    Arena *arena = arena_new(0, NULL);

    (void)state;
    rewritten(
        arena, RULE_METRICS,
        RULES(RULE_METRICS, RULE(.action = STR("drop"), .condition = STR("name =~ \"go_.*\"")),
              RULE(.action = STR("drop"), .condition = STR("point.cpu = 1")),
              RULE(.action = STR("rename"), .key = STR("point.a"), .to = STR("b"))),
        "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":["
        "{\"name\":\"go_gc\",\"unit\":\"s\",\"gauge\":{\"dataPoints\":[{\"asInt\":\"1\"}]}},"
        "{\"name\":\"none\",\"gauge\":{}},"
        "{\"name\":\"g\",\"gauge\":{\"dataPoints\":[{\"asInt\":\"1\",\"attributes\":[" KV(
            "cpu",
            "1") "]},{\"asInt\":\"2\",\"attributes\":[" KV("cpu",
                                                           "2") "]}]}},"
                                                                "{\"name\":\"h\",\"histogram\":{"
                                                                "\"aggregationTemporality\":2,"
                                                                "\"dataPoints\":[{\"count\":"
                                                                "\"1\",\"attributes\":[" KV(
                                                                    "a",
                                                                    "1") "]}]}},"
                                                                         "{\"name\":\"e\","
                                                                         "\"exponentialHistogram\":"
                                                                         "{\"dataPoints\":[{"
                                                                         "\"count\":\"1\","
                                                                         "\"attributes\":[" KV(
                                                                             "a",
                                                                             "1") "]}]}},"
                                                                                  "{\"name\":\"s\","
                                                                                  "\"summary\":{"
                                                                                  "\"dataPoints\":["
                                                                                  "{\"count\":"
                                                                                  "\"1\","
                                                                                  "\"attributes\":"
                                                                                  "[" KV(
                                                                                      "a",
                                                                                      "1") "]}]}}]}"
                                                                                           "]}]}",
        "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":["
        "{\"name\":\"none\",\"gauge\":{}},"
        "{\"name\":\"g\",\"gauge\":{\"dataPoints\":[{\"asInt\":\"2\",\"attributes\":[" KV(
            "cpu", "2") "]}]}},"
                        "{\"name\":\"h\",\"histogram\":{\"aggregationTemporality\":2,"
                        "\"dataPoints\":[{\"count\":"
                        "\"1\",\"attributes\":[" KV(
                            "b", "1") "]}]}},"
                                      "{\"name\":\"e\",\"exponentialHistogram\":{\"dataPoints\":[{"
                                      "\"count\":\"1\","
                                      "\"attributes\":[" KV(
                                          "b", "1") "]}]}},"
                                                    "{\"name\":\"s\",\"summary\":{\"dataPoints\":[{"
                                                    "\"count\":\"1\",\"attributes\":[" KV(
                                                        "b", "1") "]}]}}]}]}]}",
        2);
    arena_free(arena);
}

/* ---------- what makes no sense ---------- */

static void rules_that_make_no_sense_are_named_with_a_reason(void **state) {
    static const struct {
        RuleSignal signal;
        const char *action, *key, *condition, *why;
    } cases[] = {
        {RULE_TRACES, "remove", "span.a", "", "rules.traces.0: its action is one of"},
        {RULE_TRACES, "delete", "a", "", "resource.NAME or span.NAME"},
        {RULE_LOGS, "delete", "span.a", "", "resource.NAME or log.NAME"},
        {RULE_TRACES, "rename", "span.a", "", "`to` says the new name"},
        {RULE_TRACES, "drop", "", "", "`if` says what is dropped"},
        {RULE_METRICS, "sample", "", "", "share"},
        {RULE_TRACES, "sample", "", "", "from 0 to 1"},
        {RULE_TRACES, "delete", "resource.a", "name = x", "only depend on the resource"},
        {RULE_TRACES, "drop", "", "nme = x", "expected resource.NAME, span.NAME, name"},
        {RULE_TRACES, "drop", "", "severity > 3", "expected resource.NAME"},
        {RULE_TRACES, "drop", "", "name", "expected =, !="},
        {RULE_TRACES, "drop", "", "name =", "a value is missing"},
        {RULE_TRACES, "drop", "", "name = \"x", "a text without its end at byte 8"},
        {RULE_TRACES, "drop", "", "(name = x", "expected )"},
        {RULE_TRACES, "drop", "", "name = x y", "expected and, or, or the end at byte 10"},
        {RULE_TRACES, "drop", "", "kind = servr", "no kind of span"},
        {RULE_TRACES, "drop", "", "duration > long", "no duration"},
        {RULE_TRACES, "drop", "", "span. = x", "name is missing"},
        {RULE_TRACES, "drop", "", "span.x > nil", "nil is only equal or not"},
        {RULE_TRACES, "drop", "", "name > b", "only numbers are smaller"},
        {RULE_TRACES, "drop", "", "name =~ \"(\"", "rules.traces.0: if: error parsing regexp"},
        {RULE_TAIL, "drop", "", "name = x", "only keep and sample"},
        {RULE_TRACES, "keep", "", "name = x", "keep is for rules.tail"},
        {RULE_TRACES, "drop", "", "trace_duration > 1s", "expected resource.NAME"},
        {RULE_TRACES, "drop", "", "kind =~ \"s.*\"", "only texts"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *why = refusal(cases[i].signal, RULE(.action = str_of(cases[i].action),
                                                        .key = str_of(cases[i].key),
                                                        .condition = str_of(cases[i].condition)));

        if (strstr(why, cases[i].why) == NULL) fail_msg("%s, not %s", why, cases[i].why);
    }
    assert_non_null(strstr(refusal(RULE_TRACES, RULE(.action = STR("insert"), .key = STR("span.a"),
                                                     .value = STR("x"), .type = STR("int"))),
                           "its value isn't of its type"));
}

static void deep_and_long_conditions_are_refused(void **state) {
    char text[9000];

    (void)state;
    memset(text, '(', 100);
    snprintf(text + 100, sizeof text - 100, "name = x");
    assert_non_null(
        strstr(refusal(RULE_TRACES, RULE(.action = STR("drop"), .condition = str_of(text))),
               "nested too deeply"));
    text[0] = '\0';
    for (size_t i = 0; i < 600; i++) memcpy(text + 14 * i, "name = x  and ", 15);
    snprintf(text + 14 * 600, sizeof text - 14 * 600, "name = x");
    assert_non_null(
        strstr(refusal(RULE_TRACES, RULE(.action = STR("drop"), .condition = str_of(text))),
               "too many comparisons"));
}

static void equal_rules_are_kept_once(void **state) {
    RuleText text = RULE(.action = STR("delete"), .key = STR("span.once"));

    (void)state;
    assert_ptr_equal(made(RULE_TRACES, &text, 1), made(RULE_TRACES, &text, 1));
    assert_ptr_not_equal(made(RULE_TRACES, &text, 1),
                         made(RULE_TRACES, (RuleText[]){text, text}, 2));
    assert_null(made(RULE_TRACES, NULL, 0));
}

/* ---------- hostile bodies, memory ---------- */

static const char body[] = "{\"resourceLogs\":[{\"resource\":{\"attributes\":[" KV(
    "a", "b") "]},\"scopeLogs\":[{"
              "\"logRecords\":[{\"timeUnixNano\":\"2\",\"body\":{\"stringValue\":\"b\"},"
              "\"attributes\":[" KV("k", "v") "]}]}]}]}";

static const TenantRules *some_rules(void) {
    return RULES(RULE_LOGS,
                 RULE(.action = STR("upsert"), .key = STR("resource.a"), .value = STR("c")),
                 RULE(.action = STR("hash"), .key = STR("log.k"), .condition = STR("body = b")));
}

static void bodies_that_are_cut_or_bent_anywhere_are_refused_or_rewritten(void **state) {
    Arena *arena = arena_new(0, NULL);
    const TenantRules *rules = some_rules();
    Str whole = wire_of(arena, OTLP_LOGS_REQUEST, body);
    uint64_t dropped;
    Error err;

    (void)state;
    for (size_t i = 0; i < whole.len * 9; i++) {
        size_t len = i < whole.len ? i : whole.len;
        char *bent = malloc(len + 1);
        Buf out;

        memcpy(bent, whole.ptr, len);
        if (i >= whole.len) bent[(i - whole.len) / 8] ^= (char)(1 << (i - whole.len) % 8);
        buf_init(&out, 1 << 16);
        (void)!rules_rewrite(rules, RULE_LOGS, (Str){bent, len}, arena, &out, &dropped, &err);
        buf_done(&out);
        free(bent);
    }
    arena_free(arena);
}

static void without_memory_a_request_fails_whole(void **state) {
    const TenantRules *rules = some_rules();
    Arena *arena = arena_new(0, NULL), *poor;
    Str whole = wire_of(arena, OTLP_LOGS_REQUEST, body);
    Budget budget;
    uint64_t dropped = 0;
    Error err;
    Buf out;

    (void)state;
    budget_init(&budget, "test", 0, NULL);
    for (size_t room = 1; room < 60; room += 7) {
        buf_init(&out, room);
        assert_int_equal(rules_rewrite(rules, RULE_LOGS, whole, arena, &out, &dropped, &err),
                         ERR_LIMIT);
        buf_done(&out);
    }
    budget_init(&budget, "test", 1, NULL);
    poor = arena_new(0, &budget);
    buf_init(&out, 0);
    assert_int_equal(rules_rewrite(rules, RULE_LOGS, whole, poor, &out, &dropped, &err), ERR_LIMIT);
    buf_done(&out);
    arena_free(poor);
    arena_free(arena);
    assert_int_equal(budget_used(&budget), 0);
}

/* ---------- the sink ---------- */

typedef struct Stored {
    SpansSink sink;
    size_t spans;
    size_t calls;
} Stored;

static void store(SpansSink *sink, const SpansBatch *batch, AppendDone done, void *context) {
    AppendResult result = {.code = ERR_OK, .spans = batch->item_count};

    ((Stored *)sink)->spans = batch->item_count;
    ((Stored *)sink)->calls++;
    done(context, &result);
}

static void answered(void *context, const AppendResult *result) {
    *(AppendResult *)context = *result;
}

static void the_sink_passes_on_what_is_left_of_a_tenants_batch(void **state) {
    Arena *arena = arena_new(0, NULL);
    SpansBatch batch = test_batch(arena, "acme", traffic, ARRAY_LEN(traffic));
    Stored stored = {.sink = {store, 42}};
    TenantLimits limits;
    AppendResult result;
    Tenants *tenants;
    RulesSink sink;
    Budget budget;
    Error err;

    (void)state;
    tenant_limits_defaults(&limits);
    tenants = tenants_new(&limits, false);
    budget_init(&budget, "test", 0, NULL);
    rules_sink_init(&sink, &stored.sink, tenants, &budget);
    sink.sink.append(&sink.sink, &batch, answered, &result);
    assert_int_equal(stored.spans, 3);
    limits.rules = RULES(RULE_TRACES, RULE(.action = STR("drop"), .condition = STR("kind=client")));
    assert_ok(tenants_replace(tenants, &limits, NULL, 0, &err), &err);
    sink.sink.append(&sink.sink, &batch, answered, &result);
    assert_int_equal(stored.spans, 2);
    assert_int_equal(result.spans, 2);
    limits.rules = RULES(RULE_TRACES, RULE(.action = STR("drop"), .condition = STR("name!=\"\"")));
    assert_ok(tenants_replace(tenants, &limits, NULL, 0, &err), &err);
    sink.sink.append(&sink.sink, &batch, answered, &result);
    assert_int_equal(stored.calls, 2);
    assert_int_equal(result.code, ERR_OK);
    atomic_store(&budget.limit, 1);
    sink.sink.append(&sink.sink, &batch, answered, &result);
    assert_int_equal(result.code, ERR_LIMIT);
    assert_int_equal(budget_used(&budget), 0);
    tenants_free(tenants);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes_are_set_renamed_hashed_and_deleted_in_order),
        cmocka_unit_test(what_a_condition_holds_for_is_dropped),
        cmocka_unit_test(a_share_of_traces_is_kept_the_same_in_every_batch),
        cmocka_unit_test(traces_that_are_over_are_kept_for_any_of_their_spans),
        cmocka_unit_test(tails_and_heads_agree_on_a_share),
        cmocka_unit_test(records_are_changed_and_dropped_where_they_lie),
        cmocka_unit_test(points_of_every_kind_are_changed_and_dropped),
        cmocka_unit_test(rules_that_make_no_sense_are_named_with_a_reason),
        cmocka_unit_test(deep_and_long_conditions_are_refused),
        cmocka_unit_test(equal_rules_are_kept_once),
        cmocka_unit_test(bodies_that_are_cut_or_bent_anywhere_are_refused_or_rewritten),
        cmocka_unit_test(without_memory_a_request_fails_whole),
        cmocka_unit_test(the_sink_passes_on_what_is_left_of_a_tenants_batch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
