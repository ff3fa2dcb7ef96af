/*
 * generator_bench.c: what span metrics and service graphs cost a span, and a collection a series;
 * and what rules cost: one that drops by name, and one that also sets an attribute of each.
 *
 *     bench/generator_bench [SPANS]
 *
 * 50 services call each other: batches of one resource with 200 spans of 20 names each, half of
 * them internal, the others pairs of client and server, 12 attributes a span.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/batch/span_wire.h"
#include "gateway/generator/generator.h"
#include "gateway/rules/rules.h"

enum { SERVICES = 50, BATCH_SPANS = 200, NAMES = 20 };

static void fail(const char *what) {
    fprintf(stderr, "generator_bench: %s\n", what);
    exit(1);
}

static Str kept(Arena *arena, Buf *buf) {
    Str copy = str_dup(arena, buf_str(buf));

    if (buf_failed(buf) || copy.ptr == NULL) fail("out of memory");
    buf_done(buf);
    return copy;
}

static Attribute text(Arena *arena, const char *key, Str value) {
    (void)arena;
    return (Attribute){.key = str_of(key), .type = ATTRIBUTE_STRING, .text = value};
}

static SpansOrigin origin_of(Arena *arena, unsigned service) {
    Attribute attributes[] = {
        text(arena, "telemetry.sdk.language", STR("python")),
        text(arena, "telemetry.sdk.name", STR("opentelemetry")),
        text(arena, "service.name", str_format(arena, "service-%u", service)),
        text(arena, "service.instance.id", STR("627cc493-f310-47de-96bd-71410b7dec09")),
        text(arena, "host.name", STR("host-17")),
        text(arena, "k8s.pod.name", STR("service-5d9c7bdf7-x2x9p")),
    };
    SpanOrigin origin = {.resource = {attributes, ARRAY_LEN(attributes), 0},
                         .scope_name = STR(""),
                         .scope_version = STR("")};
    SpansOrigin made;
    Error err;
    Buf buf;

    buf_init(&buf, 0);
    if (!origin_encode_resource(&origin, &buf)) fail("resource");
    if (origin_wire(kept(arena, &buf), STR(""), STR(""), STR(""), arena, &made.bytes, &err) !=
        ERR_OK)
        fail(err.text);
    made.id = spans_origin_id(1, made.bytes, 1);
    return made;
}

static void make_span(Arena *arena, uint64_t n, SpansItem *out) {
    static const char *const keys[] = {"http.request.method",
                                       "http.response.status_code",
                                       "url.path",
                                       "url.scheme",
                                       "server.address",
                                       "user_agent.original",
                                       "network.protocol",
                                       "thread.id",
                                       "thread.name",
                                       "code.function",
                                       "code.namespace",
                                       "session.id"};
    Attribute attributes[ARRAY_LEN(keys)];
    uint64_t pair = n / 2;
    Span span = {.id = n + 1,
                 .parent = n,
                 .start_ns = 1000000000,
                 .end_ns = 1000000000 + (int64_t)(n * 7919 % 100000000),
                 .kind = n / BATCH_SPANS % 2 == 0 ? 1 : (uint8_t)(n % 2 == 0 ? 3 : 2),
                 .name = str_format(arena, "operation %llu", (unsigned long long)(n % NAMES)),
                 .status_message = STR(""),
                 .state = STR("")};
    Buf buf;

    memcpy(span.trace.bytes, &pair, sizeof pair);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        attributes[i] =
            text(arena, keys[i], str_format(arena, "value %llu", (unsigned long long)n));
    span.attributes = (Attributes){attributes, ARRAY_LEN(attributes), 0};
    buf_init(&buf, 0);
    if (!span_encode(&span, &buf)) fail("span");
    *out = (SpansItem){.trace = span.trace, .start_ns = span.start_ns, .end_ns = span.end_ns};
    out->span = kept(arena, &buf);
}

static void spans_stored(SpansSink *sink, const SpansBatch *batch, AppendDone done, void *context) {
    AppendResult result = {.code = ERR_OK, .spans = batch->item_count};

    (void)sink;
    done(context, &result);
}

static void metrics_stored(MetricsSink *sink, const MetricsBatch *batch, AppendDone done,
                           void *context) {
    AppendResult result = {.code = ERR_OK, .samples = batch->sample_count};

    (void)sink;
    done(context, &result);
}

static void answered(void *context, const AppendResult *result) {
    *(uint64_t *)context += result->spans;
}

static void measure_rules(const SpansBatch *batches, size_t count, const char *what,
                          const RuleText *texts, size_t text_count) {
    const RuleList lists[RULE_SIGNALS] = {[RULE_TRACES] = {texts, text_count}};
    Arena *arena = arena_new(0, NULL);
    const TenantRules *rules;
    uint64_t began, spans = 0;
    Error err;

    if (rules_keep(lists, &rules, &err) != ERR_OK) fail(err.text);
    arena_keep(arena, 4 << 20);
    began = clock_thread_cpu_ns();
    for (int round = 0; round < 20; round++)
        for (size_t b = 0; b < count; b++) {
            SpansBatch out;

            if (rules_spans(rules, &batches[b], 1, arena, &out, &err) != ERR_OK) fail(err.text);
            spans += batches[b].item_count;
            arena_reset(arena);
        }
    printf("rules that %s: %.3f us CPU a span\n", what,
           (double)(clock_thread_cpu_ns() - began) / (double)spans / 1000);
    arena_free(arena);
}

int main(int argc, char **argv) {
    uint64_t total = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000, stored = 0, began, spent;
    Arena *arena = arena_new(0, NULL);
    SpansSink spans = {spans_stored, 1};
    MetricsSink metrics = {metrics_stored, 1};
    SpansBatch batches[2 * SERVICES];
    TenantLimits limits;
    Generator *generator;
    Tenants *tenants;
    Error err;

    tenant_limits_defaults(&limits);
    limits.generate.slack_ms = 0;
    if (generator_rules_keep(&limits.generate, &limits.generator, &err) != ERR_OK) fail(err.text);
    tenants = tenants_new(&limits, false);
    if (generator_new(&(GeneratorOptions){.spans = &spans, .metrics = &metrics, .tenants = tenants},
                      &generator, &err) != ERR_OK)
        fail(err.text);
    for (unsigned b = 0; b < ARRAY_LEN(batches); b++) {
        SpansOrigin *origin = ARENA_NEW(arena, SpansOrigin);
        SpansItem *items = ARENA_ARRAY(arena, SpansItem, BATCH_SPANS);

        *origin = origin_of(arena, b / 2);
        for (unsigned i = 0; i < BATCH_SPANS; i++)
            make_span(arena, (uint64_t)b * BATCH_SPANS + i, &items[i]);
        batches[b] = (SpansBatch){.tenant = STR("bench"),
                                  .origins = origin,
                                  .items = items,
                                  .origin_count = 1,
                                  .item_count = BATCH_SPANS};
    }
    began = clock_thread_cpu_ns();
    for (unsigned b = 0; stored < total; b = (b + 1) % ARRAY_LEN(batches)) {
        SpansSink *sink = generator_sink(generator);

        sink->append(sink, &batches[b], answered, &stored);
    }
    spent = clock_thread_cpu_ns() - began;
    printf("%llu spans: %.3f us CPU each\n", (unsigned long long)stored,
           (double)spent / (double)stored / 1000);
    for (int round = 0; round < 2; round++) {
        clock_sleep_ms(5);
        began = clock_thread_cpu_ns();
        generator_collect(generator);
        printf("a collection: %.1f ms CPU\n", (double)(clock_thread_cpu_ns() - began) / 1e6);
    }
    {
        const RuleText rules[] = {
            {.action = STR_INIT("drop"), .condition = STR_INIT("name =~ \"GET /health.*\"")},
            {.action = STR_INIT("upsert"), .key = STR_INIT("span.zone"), .value = STR_INIT("eu")}};

        measure_rules(batches, ARRAY_LEN(batches), "drop by name", rules, 1);
        measure_rules(batches, ARRAY_LEN(batches), "set an attribute", rules, 2);
    }
    generator_free(generator);
    tenants_free(tenants);
    arena_free(arena);
    return 0;
}
