/*
 * rules.c: any text as a condition, which is refused or can be asked about any span; any bytes as
 * requests that rules are applied to, which are refused or stay protobuf.
 *
 * The first byte says which: a condition of a signal, or a request of logs or metrics.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gateway/otlp/json.h"
#include "gateway/rules/internal.h"

enum { MODES = RULE_SIGNALS + 2, OUT_BYTES_MAX = 4 << 20 };

static const char *const conditions[] = {
    "name =~ \"GET /(health|ready).*\" and (kind = server or not span.a != nil)",
    "duration >= 250ms && status = error || resource.`x y` = \"a\\\"b\"",
    "trace_duration > 1m30s or span.n < -1.5e3",
    "severity <= warn and severity_text !~ \"(?i)debug\" or body = nil",
    "name != \"\" and point.le = 0.5",
};

static const char *const requests[] = {
    "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"a\",\"value\":{\"stringValue\":"
    "\"b\"}}]},\"scopeLogs\":[{\"scope\":{\"name\":\"l\"},\"logRecords\":[{\"timeUnixNano\":\"1\","
    "\"severityNumber\":13,\"body\":{\"stringValue\":\"x\"},\"attributes\":[{\"key\":\"k\","
    "\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"n\",\"value\":{\"intValue\":\"1\"}}]}}}]},{"
    "\"severityNumber\":1}]}]}]}",
    "{\"resourceMetrics\":[{\"resource\":{},\"scopeMetrics\":[{\"metrics\":[{\"name\":\"h\","
    "\"histogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{\"count\":3,\"bucketCounts\":[1,"
    "2],\"explicitBounds\":[0.5],\"attributes\":[{\"key\":\"k\",\"value\":{\"doubleValue\":0.5}}]}]"
    "}},{\"name\":\"go_gc\",\"sum\":{\"dataPoints\":[{\"asInt\":1}]}}]}]}]}",
};

bool fuzz_seed(unsigned n, Buf *out) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    OtlpRequest request = n == ARRAY_LEN(conditions) ? OTLP_LOGS_REQUEST : OTLP_METRICS_REQUEST;
    Error err;

    if (n >= ARRAY_LEN(conditions) + ARRAY_LEN(requests)) return false;
    if (n < ARRAY_LEN(conditions)) {
        static const uint8_t signals[] = {RULE_TRACES, RULE_TRACES, RULE_TAIL, RULE_LOGS,
                                          RULE_METRICS};

        buf_append_byte(out, (char)signals[n]);
        buf_append_str(out, str_of(conditions[n]));
        return true;
    }
    n -= ARRAY_LEN(conditions);
    buf_append_byte(out, (char)(RULE_SIGNALS + n));
    return otlp_json_to_wire(request, str_of(requests[n]), arena, out, &err) == ERR_OK;
}

static void try_condition(RuleSignal signal, Str text, Arena *arena) {
    RuleAttribute item = {.key = STR("a"), .value = STR("\x0a\x01x")};
    RuleAttributes attributes = {.items = &item, .count = 1, .capacity = 1};
    RuleSubject subject = {.arena = arena,
                           .resource = &attributes,
                           .own = &attributes,
                           .name = STR("GET /"),
                           .text = STR(""),
                           .body = {.kind = OTLP_INT, .integer = 5},
                           .kind = 2,
                           .seconds = 0.25};
    const RuleCondition *condition;
    Error err;
    bool own;

    if (rule_condition_parse(signal, text, arena, &condition, &own, &err) == ERR_OK)
        (void)rule_condition_holds(condition, &subject);
    else
        assert(err.text[0] != '\0');
}

static const TenantRules *some_rules(void) {
    static const TenantRules *made;
    static const RuleText logs[] = {
        {.action = STR_INIT("upsert"), .key = STR_INIT("resource.a"), .value = STR_INIT("c")},
        {.action = STR_INIT("insert"), .key = STR_INIT("log.copy"), .from = STR_INIT("resource.a")},
        {.action = STR_INIT("hash"), .key = STR_INIT("log.k")},
        {.action = STR_INIT("rename"), .key = STR_INIT("log.x"), .to = STR_INIT("y")},
        {.action = STR_INIT("drop"), .condition = STR_INIT("severity < info or body =~ \"y.*\"")},
        {.action = STR_INIT("sample"), .share = STR_INIT("0.9")},
    };
    static const RuleText metrics[] = {
        {.action = STR_INIT("drop"), .condition = STR_INIT("name =~ \"go_.*\" or point.k > 1")},
        {.action = STR_INIT("delete"), .key = STR_INIT("point.k")},
        {.action = STR_INIT("update"), .key = STR_INIT("resource.a"), .value = STR_INIT("z")},
    };
    const RuleList lists[RULE_SIGNALS] = {
        [RULE_LOGS] = {logs, ARRAY_LEN(logs)}, [RULE_METRICS] = {metrics, ARRAY_LEN(metrics)}};
    Error err;

    if (made == NULL && rules_keep(lists, &made, &err) != ERR_OK) abort();
    return made;
}

static void try_request(RuleSignal signal, Str body, Arena *arena) {
    uint64_t dropped = 0;
    Buf once, twice;
    Error err;

    buf_init(&once, OUT_BYTES_MAX);
    buf_init(&twice, 2 * OUT_BYTES_MAX);
    if (rules_rewrite(some_rules(), signal, body, arena, &once, &dropped, &err) == ERR_OK) {
        ErrCode code =
            rules_rewrite(some_rules(), signal, buf_str(&once), arena, &twice, &dropped, &err);

        assert(code == ERR_OK);
        (void)code;
    }
    buf_done(&once);
    buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    CLEANUP(arena_free) Arena *arena = arena_new(64 << 20, NULL);
    unsigned mode;
    Str rest;

    if (size == 0) return 0;
    rest = (Str){(const char *)data + 1, size - 1};
    mode = data[0] % MODES;
    if (mode < RULE_SIGNALS)
        try_condition((RuleSignal)mode, rest, arena);
    else
        try_request(mode == RULE_SIGNALS ? RULE_LOGS : RULE_METRICS, rest, arena);
    return 0;
}
