/*
 * traceql.c: any text as a query of traces. What is refused gets a reason; what isn't is evaluated
 * over a few spans, as a search, as metrics and as a filter, with and without memory.
 */
#include <stdio.h>
#include <stdlib.h>

#include "querier/traceql/engine/engine.h"
#include "tests/fuzz/fuzz.h"

#define CHECK(condition, text)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, text);              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static const int64_t integers[] = {1, -2, 3};
static const Attribute attributes[] = {
    {.key = STR_INIT("x"), .type = ATTRIBUTE_INT, .integer = 5},
    {.key = STR_INIT("s"), .type = ATTRIBUTE_STRING, .text = STR_INIT("text")},
    {.key = STR_INIT("l"), .type = ATTRIBUTE_INTS, .count = 3, .integers = integers},
    {.key = STR_INIT("service.name"), .type = ATTRIBUTE_STRING, .text = STR_INIT("shop")},
};
static const SpanOrigin origin = {.resource = {&attributes[3], 1, 0}, .service = STR_INIT("shop")};
static const SpanEvent event = {.name = STR_INIT("e"), .attributes = {attributes, 3, 0}};
static const SpanLink link = {.span = 7, .attributes = {attributes, 2, 0}};

static ErrCode open_unit(const TraceSet *set, uint32_t unit, Arena *arena, SpanTable *out,
                         Error *err) {
    Span spans[6];

    (void)set, (void)unit;
    for (unsigned i = 0; i < 6; i++)
        spans[i] = (Span){.trace = {{1 + (i == 5)}},
                          .id = i + 1,
                          .parent = i == 4 ? 99 : i / 2,
                          .start_ns = 1000000000 + i,
                          .end_ns = 1000000000 + 1000 * (i + 1),
                          .kind = (uint8_t)i,
                          .status = (uint8_t)(i % 3),
                          .name = STR("name"),
                          .attributes = {attributes, i % 4, 0},
                          .events = &event,
                          .event_count = i % 2,
                          .links = &link,
                          .link_count = i % 3 == 0,
                          .origin = &origin};
    return span_table_build(spans, 6, arena, out, err);
}

static ErrCode more(const TraceSet *set, uint32_t unit, const SpanNeed *need, Arena *arena,
                    SpanTable *table, Error *err) {
    (void)set, (void)unit, (void)need, (void)arena, (void)table, (void)err;
    return ERR_OK;
}

static ErrCode select_units(TraceSource *source, QueryContext *query, const TraceSelect *request,
                            TraceSet *out, Error *err) {
    static const TraceUnit unit = {1000000000, 1000010000, 6};

    (void)source, (void)query, (void)err;
    /* What hints ask is asked of texts as sources do. */
    for (size_t g = 0; g < request->any_count; g++)
        for (size_t i = 0; i < request->any[g].count; i++)
            if (request->any[g].items[i].text != NULL)
                (void)request->any[g].items[i].text(request->any[g].items[i].context, STR("text"));
    *out = (TraceSet){.units = &unit, .count = 1, .open = open_unit, .more = more};
    return ERR_OK;
}

static void check_code(ErrCode code, const Error *err) {
    CHECK(code == ERR_OK || code == ERR_INVALID || code == ERR_LIMIT, err->text);
    CHECK(code == ERR_OK || err->text[0] != '\0', "no reason");
}

static void evaluate(const TraceqlQuery *query, size_t bytes_max) {
    Arena *arena = arena_new(bytes_max, NULL);
    TraceSource source = {.select = select_units};
    QueryContext context = {.arena = arena};
    TraceqlSearchResult found;
    TraceqlMetricsResult result;
    uint8_t keep[6];
    SpanTable table;
    Error err = {0};

    if (arena == NULL) return;
    TraceqlSearchParams searched = {.start_ns = INT64_MIN,
                                    .end_ns = INT64_MAX,
                                    .limit = 2,
                                    .spans_max = 3,
                                    .duration_max_ns = INT64_MAX,
                                    .source = &source,
                                    .query = &context};
    TraceqlMetricsParams measured = {.start_ns = 0,
                                     .end_ns = 2000000000,
                                     .step_ns = 500000000,
                                     .exemplars = 2,
                                     .source = &source,
                                     .query = &context};
    check_code(traceql_search(query, &searched, &found, &err), &err);
    if (query->metric != NULL) {
        check_code(traceql_metrics(query, &measured, &result, &err), &err);
        measured.step_ns = 0;
        check_code(traceql_metrics(query, &measured, &result, &err), &err);
    }
    if (open_unit(NULL, 0, arena, &table, &err) == ERR_OK)
        check_code(traceql_filter_trace(query, &table, true, 1, &context, keep, &err), &err);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Str text = {(const char *)data, size};
    Arena *arena = arena_new(MIB(64), NULL);
    TraceqlAttribute attribute;
    TraceqlQuery *query = NULL;
    Error err = {0};
    ErrCode code;

    CHECK(arena != NULL, "out of memory");
    code = traceql_parse(text, arena, &query, &err);
    check_code(code, &err);
    if (code == ERR_OK) {
        evaluate(query, 0);
        evaluate(query, 32 << 10);
    }
    code = traceql_parse_lenient(text, arena, &query, &err);
    check_code(code, &err);
    code = traceql_parse_attribute(text, arena, &attribute, &err);
    check_code(code, &err);
    if (code == ERR_OK)
        CHECK(traceql_attribute_text(&attribute, arena).ptr != NULL, "out of memory");
    arena_free(arena);
    return 0;
}

bool fuzz_seed(unsigned n, Buf *out) {
    static const char *const seeds[] = {
        "{ span.x > 3 && .s =~ \"t.*\" || !(name = `a`) } | by(.l) | count() > 1 | select(kind)",
        "({ event:name = \"e\" && event.x = 5 } >> { link:spanID != nil }) &~ { .x > 1 }",
        "{ } | rate() by (resource.service.name, span.x, event.s) | topk(2) > 0.5",
        "({ .x % 3 = 2 } | quantile_over_time(duration, .5, 0.9)) / ({ } | count_over_time()) * 2",
        "{ kind = client } | compare({ status = error }, 3, 5, 10) with (a=true, b=\"c\")",
        "{ -span.x ^ 2 / 0 < 1h30m && trace:id = \"1\" && span:childCount = 0 } | coalesce()",
        "({ } | avg(span.x) != 2 | by(name)) && ({ rootName != \"\" } | min(duration) = 0)",
        "{ } | histogram_over_time(span.x) by (.l)",
        "span.\"a b\\\"\".c",
        "{ name = && .a = \"x && y\" && .b }",
    };

    if (n >= sizeof seeds / sizeof *seeds) return false;
    buf_append_str(out, str_of(seeds[n]));
    return true;
}
