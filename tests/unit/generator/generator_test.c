/* What gateway/generator/generator.h promises: exact series for given spans. */
#include "gateway/generator/generator.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/generator/spans.h"
#include "tests/unit/unit.h"

enum { BEGAN_MS = 1000000000, LINES_MAX = 8000 };

/* ---------- the world around ---------- */

/* Keeps every sample as a line of text: name{labels} value@ms, exemplars behind it. */
typedef struct Kept {
    MetricsSink sink;
    ErrCode answer; /* what it says */
    Arena *arena;
    Str lines[LINES_MAX];
    size_t count;
} Kept;

static void append_labels(Buf *out, Arena *arena, Str bytes) {
    LabelPairs pairs;
    bool first = true;
    Error err;

    assert_ok(labels_decode(bytes, arena, &pairs, &err), &err);
    buf_append_str(out, labels_get(pairs, LABEL_NAME));
    buf_append_byte(out, '{');
    for (size_t i = 0; i < pairs.count; i++) {
        if (str_equal(pairs.pairs[i].name, LABEL_NAME)) continue;
        buf_printf(out, "%s" STR_FMT "=\"" STR_FMT "\"", first ? "" : ",",
                   STR_ARG(pairs.pairs[i].name), STR_ARG(pairs.pairs[i].value));
        first = false;
    }
    buf_append_byte(out, '}');
}

static void keep_line(Kept *kept, Buf *line) {
    assert_true(kept->count < LINES_MAX);
    kept->lines[kept->count++] = str_dup(kept->arena, buf_str(line));
    buf_done(line);
}

static void keep_row(Kept *kept, const MetricsBatch *batch, const MetricsRow *row) {
    assert_true(
        row->id.low ==
        metrics_series_id(hash_str(batch->tenant), row->labels, kept->sink.series_seed).low);
    for (uint32_t i = 0; i < row->sample_count; i++) {
        const MetricsSample *sample = &batch->samples[row->sample_start + i];
        Buf line;

        buf_init(&line, 0);
        append_labels(&line, kept->arena, row->labels);
        buf_printf(&line, " %g@%+lld", sample->value, (long long)(sample->time_ms - BEGAN_MS));
        for (uint32_t k = 0; i + 1 == row->sample_count && k < row->exemplar_count; k++) {
            const MetricsExemplar *exemplar = &batch->exemplars[row->exemplar_start + k];

            buf_append_str(&line, STR(" # "));
            append_labels(&line, kept->arena, exemplar->labels);
            buf_printf(&line, " %g", exemplar->value);
        }
        keep_line(kept, &line);
    }
    for (uint32_t i = 0; i < row->histogram_count; i++) {
        const MetricsHistogram *histogram = &batch->histograms[row->histogram_start + i];
        const NativeHistogram *h = histogram->histogram;
        Error err;
        Buf line;

        assert_ok(histogram_validate(h, &err), &err);
        buf_init(&line, 0);
        append_labels(&line, kept->arena, row->labels);
        buf_printf(&line, " schema=%d zeros=%g count=%g sum=%g", h->schema, h->zero_count, h->count,
                   h->sum);
        for (uint32_t s = 0, at = 0; s < h->positive_span_count; s++) {
            buf_printf(&line, " %+d:", h->positive_spans[s].offset);
            for (uint32_t b = 0; b < h->positive_spans[s].length; b++)
                buf_printf(&line, "%s%g", b == 0 ? "" : ",", h->positive[at++]);
        }
        buf_printf(&line, "@%+lld", (long long)(histogram->time_ms - BEGAN_MS));
        keep_line(kept, &line);
    }
}

static void keep(MetricsSink *sink, const MetricsBatch *batch, AppendDone done, void *context) {
    Kept *kept = (Kept *)sink;
    AppendResult result = {.code = kept->answer};

    if (kept->answer == ERR_OK)
        for (size_t i = 0; i < batch->row_count; i++) keep_row(kept, batch, &batch->rows[i]);
    else
        error_set(&result.first, kept->answer, "no");
    result.samples = batch->sample_count;
    done(context, &result);
}

typedef struct StoredSpans {
    SpansSink sink;
    ErrCode answer;
} StoredSpans;

static void store_spans(SpansSink *sink, const SpansBatch *batch, AppendDone done, void *context) {
    AppendResult result = {.code = ((StoredSpans *)sink)->answer, .spans = batch->item_count};

    done(context, &result);
}

typedef struct World {
    Arena *arena;
    ManualClock clock;
    Kept kept;
    StoredSpans spans;
    Tenants *tenants;
    Generator *generator;
    Budget budget;
} World;

static void answered(void *context, const AppendResult *result) {
    *(AppendResult *)context = *result;
}

static void push(World *world, const TestSpan *spans, size_t count) {
    SpansBatch batch = test_batch(world->arena, "acme", spans, count);
    AppendResult result = {.code = ERR_INTERNAL};
    SpansSink *sink = generator_sink(world->generator);

    sink->append(sink, &batch, answered, &result);
    assert_int_equal(result.code, world->spans.answer);
}

static void pass(World *world, int64_t ms) {
    atomic_fetch_add(&world->clock.wall_ms, ms);
}

static int by_text(const void *a, const void *b) {
    return str_compare(*(const Str *)a, *(const Str *)b);
}

/* Collects, and says the lines with `part` in them, sorted, one a line. */
static const char *collected(World *world, const char *part) {
    Kept *kept = &world->kept;
    Buf out;
    Str text;

    kept->count = 0;
    generator_collect(world->generator);
    qsort(kept->lines, kept->count, sizeof *kept->lines, by_text);
    buf_init(&out, 0);
    for (size_t i = 0; i < kept->count; i++) {
        if (!str_contains(kept->lines[i], str_of(part))) continue;
        buf_append_str(&out, kept->lines[i]);
        buf_append_byte(&out, '\n');
    }
    text = str_dup(world->arena, out.len == 0 ? STR("") : buf_str(&out));
    buf_done(&out);
    return text.ptr;
}

static void defaults(TenantLimits *limits) {
    tenant_limits_defaults(limits);
    limits->generate.span_buckets = STR("0.1,1");
    limits->generate.edge_buckets = STR("0.5");
}

static void use(World *world, TenantLimits *limits) {
    Error err;

    assert_ok(generator_rules_keep(&limits->generate, &limits->generator, &err), &err);
    assert_ok(tenants_replace(world->tenants, limits, NULL, 0, &err), &err);
}

static World *begin(void (*change)(TenantLimits *limits)) {
    World *world = calloc(1, sizeof *world);
    TenantLimits limits;
    Error err;

    world->arena = world->kept.arena = arena_new(0, NULL);
    manual_clock_init(&world->clock, BEGAN_MS);
    world->kept.sink = (MetricsSink){keep, 42};
    world->spans.sink = (SpansSink){store_spans, 42};
    budget_init(&world->budget, "test", 0, NULL);
    defaults(&limits);
    if (change != NULL) change(&limits);
    world->tenants = tenants_new(&limits, false);
    use(world, &limits);
    assert_ok(generator_new(&(GeneratorOptions){.spans = &world->spans.sink,
                                                .metrics = &world->kept.sink,
                                                .tenants = world->tenants,
                                                .budget = &world->budget,
                                                .clock = &world->clock.clock},
                            &world->generator, &err),
              &err);
    return world;
}

static void end(World *world) {
    generator_free(world->generator);
    assert_int_equal(budget_used(&world->budget), 0);
    tenants_free(world->tenants);
    arena_free(world->arena);
    free(world);
}

#define PUSH(world, ...)                                                                           \
    do {                                                                                           \
        const TestSpan spans[] = {__VA_ARGS__};                                                    \
        push(world, spans, ARRAY_LEN(spans));                                                      \
    } while (0)
#define T(ms) (BEGAN_MS + (ms))

/* ---------- span metrics ---------- */

static void spans_are_counted_from_zero_by_service_name_kind_and_status(void **state) {
    World *world = begin(NULL);

    (void)state;
    PUSH(world, {1, 1, 0, "shop", "GET /", INTERNAL, 0, T(0), T(50), NULL, NULL},
         {2, 1, 0, "shop", "GET /", INTERNAL, 0, T(0), T(250), NULL, NULL},
         {3, 1, 0, "shop", "GET /", INTERNAL, FAILED, T(0), T(2000), NULL, NULL});
    pass(world, 5000);
    assert_string_equal(
        collected(world, "calls_total"),
        "traces_spanmetrics_calls_total{service=\"shop\",span_kind=\"SPAN_KIND_INTERNAL\","
        "span_name=\"GET /\",status_code=\"STATUS_CODE_ERROR\"} 0@+0\n"
        "traces_spanmetrics_calls_total{service=\"shop\",span_kind=\"SPAN_KIND_INTERNAL\","
        "span_name=\"GET /\",status_code=\"STATUS_CODE_ERROR\"} 1@+5000\n"
        "traces_spanmetrics_calls_total{service=\"shop\",span_kind=\"SPAN_KIND_INTERNAL\","
        "span_name=\"GET /\",status_code=\"STATUS_CODE_UNSET\"} 0@+0\n"
        "traces_spanmetrics_calls_total{service=\"shop\",span_kind=\"SPAN_KIND_INTERNAL\","
        "span_name=\"GET /\",status_code=\"STATUS_CODE_UNSET\"} 2@+5000\n");
    PUSH(world, {4, 1, 0, "shop", "GET /", INTERNAL, 0, T(5000), T(5250), NULL, NULL});
    pass(world, 15000);
    assert_string_equal(
        collected(world, "UNSET"),
        "traces_spanmetrics_calls_total{service=\"shop\",span_kind=\"SPAN_KIND_INTERNAL\","
        "span_name=\"GET /\",status_code=\"STATUS_CODE_UNSET\"} 3@+20000\n"
        "traces_spanmetrics_latency_bucket{le=\"+Inf\",service=\"shop\","
        "span_kind=\"SPAN_KIND_INTERNAL\",span_name=\"GET /\","
        "status_code=\"STATUS_CODE_UNSET\"} 3@+20000\n"
        "traces_spanmetrics_latency_bucket{le=\"0.1\",service=\"shop\","
        "span_kind=\"SPAN_KIND_INTERNAL\",span_name=\"GET /\","
        "status_code=\"STATUS_CODE_UNSET\"} 1@+20000\n"
        "traces_spanmetrics_latency_bucket{le=\"1\",service=\"shop\","
        "span_kind=\"SPAN_KIND_INTERNAL\",span_name=\"GET /\","
        "status_code=\"STATUS_CODE_UNSET\"} 3@+20000 # "
        "{traceID=\"07070707070707070707070707070704\"} 0.25\n"
        "traces_spanmetrics_latency_count{service=\"shop\",span_kind=\"SPAN_KIND_INTERNAL\","
        "span_name=\"GET /\",status_code=\"STATUS_CODE_UNSET\"} 3@+20000\n"
        "traces_spanmetrics_latency_sum{service=\"shop\",span_kind=\"SPAN_KIND_INTERNAL\","
        "span_name=\"GET /\",status_code=\"STATUS_CODE_UNSET\"} 0.55@+20000\n"
        "traces_spanmetrics_size_total{service=\"shop\",span_kind=\"SPAN_KIND_INTERNAL\","
        "span_name=\"GET /\",status_code=\"STATUS_CODE_UNSET\"} 165@+20000\n");
    end(world);
}

static void a_series_that_comes_later_begins_at_the_collection_before(void **state) {
    World *world = begin(NULL);

    (void)state;
    PUSH(world, {1, 1, 0, "a", "x", INTERNAL, 0, T(0), T(1), NULL, NULL});
    pass(world, 1000);
    collected(world, "");
    pass(world, 500);
    PUSH(world, {1, 1, 0, "b", "x", INTERNAL, 0, T(1499), T(1500), NULL, NULL});
    pass(world, 500);
    assert_string_equal(collected(world, "calls_total{service=\"b\""),
                        "traces_spanmetrics_calls_total{service=\"b\",span_kind=\"SPAN_KIND_"
                        "INTERNAL\",span_name=\"x\",status_code=\"STATUS_CODE_UNSET\"} 0@+1000\n"
                        "traces_spanmetrics_calls_total{service=\"b\",span_kind=\"SPAN_KIND_"
                        "INTERNAL\",span_name=\"x\",status_code=\"STATUS_CODE_UNSET\"} 1@+2000\n");
    end(world);
}

static void what_could_not_be_stored_is_written_with_its_zero_the_next_time(void **state) {
    World *world = begin(NULL);

    (void)state;
    PUSH(world, {1, 1, 0, "a", "x", INTERNAL, 0, T(0), T(1), NULL, NULL});
    pass(world, 1000);
    world->kept.answer = ERR_UNAVAILABLE;
    assert_string_equal(collected(world, ""), "");
    world->kept.answer = ERR_OK;
    pass(world, 1000);
    assert_string_equal(collected(world, "calls_total"),
                        "traces_spanmetrics_calls_total{service=\"a\",span_kind=\"SPAN_KIND_"
                        "INTERNAL\",span_name=\"x\",status_code=\"STATUS_CODE_UNSET\"} 0@+0\n"
                        "traces_spanmetrics_calls_total{service=\"a\",span_kind=\"SPAN_KIND_"
                        "INTERNAL\",span_name=\"x\",status_code=\"STATUS_CODE_UNSET\"} 1@+2000\n");
    end(world);
}

static void spans_that_were_not_stored_are_not_counted(void **state) {
    World *world = begin(NULL);

    (void)state;
    world->spans.answer = ERR_UNAVAILABLE;
    PUSH(world, {1, 1, 0, "a", "x", SERVER, 0, T(0), T(1), NULL, NULL});
    pass(world, 1000);
    assert_string_equal(collected(world, ""), "");
    end(world);
}

static void spans_that_ended_long_ago_are_not_counted(void **state) {
    World *world = begin(NULL);

    (void)state;
    PUSH(world, {1, 1, 0, "a", "x", SERVER, 0, T(-60000), T(-30001), NULL, NULL},
         {1, 2, 0, "a", "y", SERVER, 0, T(-60000), T(-30000), NULL, NULL});
    pass(world, 1000);
    assert_string_equal(collected(world, "calls_total"),
                        "traces_spanmetrics_calls_total{service=\"a\",span_kind=\"SPAN_KIND_"
                        "SERVER\",span_name=\"y\",status_code=\"STATUS_CODE_UNSET\"} 0@+0\n"
                        "traces_spanmetrics_calls_total{service=\"a\",span_kind=\"SPAN_KIND_"
                        "SERVER\",span_name=\"y\",status_code=\"STATUS_CODE_UNSET\"} 1@+1000\n");
    end(world);
}

static void with_dimensions(TenantLimits *limits) {
    limits->generate.span_dimensions = STR("http.method,region,http_method, span_name");
    limits->generate.span_intrinsics = STR("service");
    limits->generate.target_info = true;
    limits->generate.span_latency = GENERATOR_DURATION_SECONDS;
    limits->generate.service_graphs = false;
}

static void attributes_become_labels_of_the_resource_first(void **state) {
    World *world = begin(with_dimensions);

    (void)state;
    PUSH(world,
         {1, 1, 0, "a", "x", SERVER, 0, T(0), T(1), "http.method=GET,region=span,span_name=own",
          "region=eu,service.namespace=ns,service.instance.id=7,2nd=no,job=mine"},
         {1, 1, 0, "a", "y", SERVER, 0, T(0), T(1), "http_method=5", NULL});
    pass(world, 1000);
    assert_string_equal(
        collected(world, "@+1000"),
        "traces_spanmetrics_calls_total{__span_name=\"own\",instance=\"7\",job=\"ns/a\","
        "region=\"eu\",service=\"a\"} 1@+1000\n"
        "traces_spanmetrics_calls_total{http_method=\"5\",job=\"a\",service=\"a\"} 1@+1000\n"
        "traces_spanmetrics_duration_seconds_bucket{__span_name=\"own\",instance=\"7\","
        "job=\"ns/a\",le=\"+Inf\",region=\"eu\",service=\"a\"} 1@+1000\n"
        "traces_spanmetrics_duration_seconds_bucket{__span_name=\"own\",instance=\"7\","
        "job=\"ns/a\",le=\"0.1\",region=\"eu\",service=\"a\"} 1@+1000 # "
        "{traceID=\"07070707070707070707070707070701\"} 0.001\n"
        "traces_spanmetrics_duration_seconds_bucket{__span_name=\"own\",instance=\"7\","
        "job=\"ns/a\",le=\"1\",region=\"eu\",service=\"a\"} 1@+1000\n"
        "traces_spanmetrics_duration_seconds_bucket{http_method=\"5\",job=\"a\",le=\"+Inf\","
        "service=\"a\"} 1@+1000\n"
        "traces_spanmetrics_duration_seconds_bucket{http_method=\"5\",job=\"a\",le=\"0.1\","
        "service=\"a\"} 1@+1000 # {traceID=\"07070707070707070707070707070701\"} 0.001\n"
        "traces_spanmetrics_duration_seconds_bucket{http_method=\"5\",job=\"a\",le=\"1\","
        "service=\"a\"} 1@+1000\n"
        "traces_spanmetrics_duration_seconds_count{__span_name=\"own\",instance=\"7\","
        "job=\"ns/a\",region=\"eu\",service=\"a\"} 1@+1000\n"
        "traces_spanmetrics_duration_seconds_count{http_method=\"5\",job=\"a\",service=\"a\"} "
        "1@+1000\n"
        "traces_spanmetrics_duration_seconds_sum{__span_name=\"own\",instance=\"7\","
        "job=\"ns/a\",region=\"eu\",service=\"a\"} 0.001@+1000\n"
        "traces_spanmetrics_duration_seconds_sum{http_method=\"5\",job=\"a\",service=\"a\"} "
        "0.001@+1000\n"
        "traces_spanmetrics_size_total{__span_name=\"own\",instance=\"7\",job=\"ns/a\","
        "region=\"eu\",service=\"a\"} 111@+1000\n"
        "traces_spanmetrics_size_total{http_method=\"5\",job=\"a\",service=\"a\"} 70@+1000\n"
        "traces_target_info{__job=\"mine\",instance=\"7\",job=\"ns/a\",region=\"eu\"} 1@+1000\n");
    end(world);
}

static void native(TenantLimits *limits) {
    limits->generate.histograms = GENERATOR_NATIVE;
    limits->generate.service_graphs = false;
    limits->generate.span_size = false;
    limits->generate.span_intrinsics = STR("service");
}

static void native_histograms_have_eight_buckets_a_power_of_two(void **state) {
    World *world = begin(native);

    (void)state;
    PUSH(world, {1, 1, 0, "a", "x", SERVER, 0, T(0), T(0), NULL, NULL},
         {1, 2, 0, "a", "x", SERVER, 0, T(0), T(1000), NULL, NULL},
         {1, 3, 0, "a", "x", SERVER, 0, T(0), T(1001), NULL, NULL},
         {1, 4, 0, "a", "x", SERVER, 0, T(0), T(2000), NULL, NULL},
         {1, 5, 0, "a", "x", SERVER, 0, T(-1), T(2000), NULL, NULL},
         {1, 6, 0, "a", "x", SERVER, 0, T(0), T(500), NULL, NULL});
    pass(world, 1000);
    assert_string_equal(
        collected(world, "latency"),
        "traces_spanmetrics_latency{service=\"a\"} schema=3 zeros=0 count=0 sum=0@+0\n"
        "traces_spanmetrics_latency{service=\"a\"} schema=3 zeros=1 count=6 sum=6.502 -8:1 +7:1,1 "
        "+6:1,1@+1000\n");
    end(world);
}

static void native_histograms_get_coarser_instead_of_larger(void **state) {
    World *world = begin(native);
    TestSpan span = {1, 1, 0, "a", "x", SERVER, 0, T(0), T(0), NULL, NULL};
    const char *text;

    (void)state;
    /* From 1 ms to 2^31 ms. */
    for (int i = 0; i < 32; i++) {
        span.end_ms = T(INT64_C(1) << i);
        push(world, &span, 1);
    }
    for (int i = 0; i < 20; i++) {
        span.start_ms = T(0) - (INT64_C(86400000) << (i % 9));
        push(world, &span, 1);
    }
    pass(world, 1000);
    text = collected(world, "@+1000");
    assert_non_null(strstr(text, "schema=2 zeros=0 count=52"));
    end(world);
}

static void few(TenantLimits *limits) {
    limits->generate.series_max = 14; /* two entries with 7 series each */
    limits->generate.service_graphs = false;
}

static void past_series_max_no_series_are_added_until_others_are_stale(void **state) {
    World *world = begin(few);
    TestSpan span = {1, 1, 0, "a", "x", SERVER, 0, T(0), T(0), NULL, NULL};
    static const char *const services[] = {"a", "b", "c"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(services); i++) {
        span.service = services[i];
        push(world, &span, 1);
    }
    pass(world, 1000);
    assert_string_not_equal(collected(world, "service=\"b\""), "");
    assert_string_equal(collected(world, "service=\"c\""), "");
    pass(world, 15 * 60 * 1000);
    collected(world, "");
    assert_string_equal(collected(world, ""), "");
    span.start_ms = span.end_ms = T(16 * 60 * 1000);
    push(world, &span, 1);
    pass(world, 1000);
    assert_string_not_equal(collected(world, "service=\"c\""), "");
    end(world);
}

static void names_that_are_no_utf8_are_left_out_and_long_ones_cut_at_a_character(void **state) {
    World *world = begin(native);
    char name[3001] = "";
    TestSpan span = {1, 1, 0, "a\xff", "x", SERVER, 0, T(0), T(0), NULL, NULL};

    (void)state;
    push(world, &span, 1);
    memset(name, 'x', 2047);
    strcpy(name + 2047, "\xc3\xa4\xc3\xa4");
    span.service = name;
    push(world, &span, 1);
    pass(world, 1000);
    name[2047] = '\0';
    assert_string_equal(collected(world, "calls_total"),
                        str_format(world->arena,
                                   "traces_spanmetrics_calls_total{service=\"%s\"} 0@+0\n"
                                   "traces_spanmetrics_calls_total{service=\"%s\"} 1@+1000\n",
                                   name, name)
                            .ptr);
    end(world);
}

/* ---------- service graphs ---------- */

static void edges_only(TenantLimits *limits) {
    limits->generate.span_metrics = false;
}

static void a_client_and_the_server_that_it_calls_make_an_edge_whichever_comes_first(void **state) {
    World *world = begin(edges_only);

    (void)state;
    PUSH(world, {1, 10, 1, "shop", "call", CLIENT, 0, T(0), T(1000), NULL, NULL},
         {1, 11, 10, "cart", "serve", SERVER, 0, T(100), T(400), NULL, NULL});
    PUSH(world, {2, 11, 10, "cart", "serve", SERVER, FAILED, T(100), T(400), NULL, NULL});
    PUSH(world, {2, 10, 1, "shop", "call", CLIENT, 0, T(0), T(300), NULL, NULL});
    pass(world, 5000);
    assert_string_equal(
        collected(world, "@+5000"),
        "traces_service_graph_request_client_seconds_bucket{client=\"shop\",le=\"+Inf\",server="
        "\"cart\"} 2@+5000 # {traceID=\"07070707070707070707070707070701\"} 1\n"
        "traces_service_graph_request_client_seconds_bucket{client=\"shop\",le=\"0.5\",server="
        "\"cart\"} 1@+5000 # {traceID=\"07070707070707070707070707070702\"} 0.3\n"
        "traces_service_graph_request_client_seconds_count{client=\"shop\",server=\"cart\"} "
        "2@+5000\n"
        "traces_service_graph_request_client_seconds_sum{client=\"shop\",server=\"cart\"} "
        "1.3@+5000\n"
        "traces_service_graph_request_failed_total{client=\"shop\",server=\"cart\"} 1@+5000\n"
        "traces_service_graph_request_server_seconds_bucket{client=\"shop\",le=\"+Inf\",server="
        "\"cart\"} 2@+5000\n"
        "traces_service_graph_request_server_seconds_bucket{client=\"shop\",le=\"0.5\",server="
        "\"cart\"} 2@+5000 # {traceID=\"07070707070707070707070707070702\"} 0.3\n"
        "traces_service_graph_request_server_seconds_count{client=\"shop\",server=\"cart\"} "
        "2@+5000\n"
        "traces_service_graph_request_server_seconds_sum{client=\"shop\",server=\"cart\"} "
        "0.6@+5000\n"
        "traces_service_graph_request_total{client=\"shop\",server=\"cart\"} 2@+5000\n");
    end(world);
}

static void databases_peers_and_callers_of_roots_are_nodes_of_their_own(void **state) {
    World *world = begin(edges_only);

    (void)state;
    PUSH(world, {1, 1, 0, "shop", "GET /", SERVER, 0, T(0), T(1000), NULL, NULL},
         {1, 2, 1, "shop", "SELECT", CLIENT, 0, T(0), T(10), "db.system=postgresql,db.name=orders",
          NULL},
         {1, 3, 1, "shop", "SELECT", CLIENT, 0, T(0), T(10),
          "db.system=redis,network.peer.address=10.0.0.1,network.peer.port=6379", NULL},
         {1, 4, 1, "shop", "pay", CLIENT, 0, T(0), T(20), "peer.service=bank", NULL},
         {1, 5, 1, "shop", "call", CLIENT, 0, T(0), T(20), NULL, NULL},
         {2, 1, 0, "mail", "GET /", SERVER, 0, T(0), T(1000), "peer.service=cron", NULL});
    pass(world, 9999);
    assert_string_equal(
        collected(world, "request_total"),
        "traces_service_graph_request_total{client=\"cron\",connection_type=\"virtual_node\","
        "server=\"mail\"} 0@+0\n"
        "traces_service_graph_request_total{client=\"cron\",connection_type=\"virtual_node\","
        "server=\"mail\"} 1@+9999\n"
        "traces_service_graph_request_total{client=\"shop\",connection_type=\"database\","
        "server=\"10.0.0.1:6379\"} 0@+0\n"
        "traces_service_graph_request_total{client=\"shop\",connection_type=\"database\","
        "server=\"10.0.0.1:6379\"} 1@+9999\n"
        "traces_service_graph_request_total{client=\"shop\",connection_type=\"database\","
        "server=\"orders\"} 0@+0\n"
        "traces_service_graph_request_total{client=\"shop\",connection_type=\"database\","
        "server=\"orders\"} 1@+9999\n"
        "traces_service_graph_request_total{client=\"user\",connection_type=\"virtual_node\","
        "server=\"shop\"} 0@+0\n"
        "traces_service_graph_request_total{client=\"user\",connection_type=\"virtual_node\","
        "server=\"shop\"} 1@+9999\n");
    pass(world, 1);
    assert_string_equal(
        collected(world, "request_total{client=\"shop\",connection_type=\"virtual_node\""),
        "traces_service_graph_request_total{client=\"shop\",connection_type=\"virtual_node\","
        "server=\"bank\"} 0@+9999\n"
        "traces_service_graph_request_total{client=\"shop\",connection_type=\"virtual_node\","
        "server=\"bank\"} 1@+10000\n");
    end(world);
}

static void messaging(TenantLimits *limits) {
    edges_only(limits);
    limits->generate.edge_messaging = true;
    limits->generate.edge_virtual_node = true;
    limits->generate.edge_prefix = true;
    limits->generate.edge_dimensions = STR("zone");
    limits->generate.exemplar_label = STR("trace_id");
}

static void messages_are_measured_from_producer_to_consumer(void **state) {
    World *world = begin(messaging);

    (void)state;
    PUSH(world, {1, 2, 1, "shop", "send", PRODUCER, 0, T(0), T(100), "zone=b", "zone=a"},
         {1, 3, 2, "mail", "receive", CONSUMER, 0, T(400), T(500), "zone=c", NULL});
    pass(world, 1000);
    assert_string_equal(
        collected(world, "messaging_system_seconds_"),
        "traces_service_graph_request_messaging_system_seconds_bucket{client=\"shop\",client_zone="
        "\"a\",connection_type=\"messaging_system\",le=\"+Inf\",server=\"mail\",server_zone=\"c\"} "
        "0@+0\n"
        "traces_service_graph_request_messaging_system_seconds_bucket{client=\"shop\",client_zone="
        "\"a\",connection_type=\"messaging_system\",le=\"+Inf\",server=\"mail\",server_zone=\"c\"} "
        "1@+1000\n"
        "traces_service_graph_request_messaging_system_seconds_bucket{client=\"shop\",client_zone="
        "\"a\",connection_type=\"messaging_system\",le=\"0.5\",server=\"mail\",server_zone=\"c\"} "
        "0@+0\n"
        "traces_service_graph_request_messaging_system_seconds_bucket{client=\"shop\",client_zone="
        "\"a\",connection_type=\"messaging_system\",le=\"0.5\",server=\"mail\",server_zone=\"c\"} "
        "1@+1000 # {trace_id=\"07070707070707070707070707070701\"} 0.3\n"
        "traces_service_graph_request_messaging_system_seconds_count{client=\"shop\",client_zone="
        "\"a\",connection_type=\"messaging_system\",server=\"mail\",server_zone=\"c\"} 0@+0\n"
        "traces_service_graph_request_messaging_system_seconds_count{client=\"shop\",client_zone="
        "\"a\",connection_type=\"messaging_system\",server=\"mail\",server_zone=\"c\"} 1@+1000\n"
        "traces_service_graph_request_messaging_system_seconds_sum{client=\"shop\",client_zone="
        "\"a\",connection_type=\"messaging_system\",server=\"mail\",server_zone=\"c\"} 0.3@+1000\n"
        "traces_service_graph_request_messaging_system_seconds_sum{client=\"shop\",client_zone="
        "\"a\",connection_type=\"messaging_system\",server=\"mail\",server_zone=\"c\"} "
        "0@+0\n");
    end(world);
}

static void one_waits(TenantLimits *limits) {
    edges_only(limits);
    limits->generate.edges_max = 1;
}

static void no_more_spans_wait_than_edges_max(void **state) {
    World *world = begin(one_waits);

    (void)state;
    PUSH(world, {1, 10, 1, "a", "x", CLIENT, 0, T(0), T(1), NULL, NULL},
         {1, 20, 1, "b", "x", CLIENT, 0, T(0), T(1), NULL, NULL},
         {1, 21, 20, "c", "x", SERVER, 0, T(0), T(1), NULL, NULL},
         {1, 11, 10, "d", "x", SERVER, 0, T(0), T(1), NULL, NULL});
    pass(world, 1000);
    assert_string_equal(collected(world, "request_total"),
                        "traces_service_graph_request_total{client=\"a\",server=\"d\"} 0@+0\n"
                        "traces_service_graph_request_total{client=\"a\",server=\"d\"} 1@+1000\n");
    end(world);
}

/* ---------- settings ---------- */

static void settings_that_change_hold_from_the_next_collection_on(void **state) {
    World *world = begin(NULL);
    TestSpan span = {1, 1, 0, "a", "x", SERVER, 0, T(0), T(0), NULL, NULL};
    TenantLimits limits;

    (void)state;
    push(world, &span, 1);
    defaults(&limits);
    limits.generate.span_metrics = limits.generate.service_graphs = false;
    use(world, &limits);
    pass(world, 1000);
    assert_string_not_equal(collected(world, "calls_total"), "");
    push(world, &span, 1);
    pass(world, 1000);
    assert_string_equal(collected(world, ""), "");
    defaults(&limits);
    use(world, &limits);
    collected(world, "");
    push(world, &span, 1);
    pass(world, 1000);
    assert_string_equal(collected(world, "calls_total"),
                        "traces_spanmetrics_calls_total{service=\"a\",span_kind=\"SPAN_KIND_"
                        "SERVER\",span_name=\"x\",status_code=\"STATUS_CODE_UNSET\"} 0@+2001\n"
                        "traces_spanmetrics_calls_total{service=\"a\",span_kind=\"SPAN_KIND_"
                        "SERVER\",span_name=\"x\",status_code=\"STATUS_CODE_UNSET\"} 1@+3000\n");
    end(world);
}

static void settings_that_make_no_sense_are_named(void **state) {
    const GeneratorRules *rules;
    TenantLimits limits;
    Error err;

    (void)state;
    defaults(&limits);
    limits.generate.span_buckets = STR("1,0.5");
    assert_int_equal(generator_rules_keep(&limits.generate, &rules, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "span_metrics.histogram_buckets"));
    defaults(&limits);
    limits.generate.span_intrinsics = STR("servce");
    assert_int_equal(generator_rules_keep(&limits.generate, &rules, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "\"servce\""));
    defaults(&limits);
    limits.generate.exemplar_label = STR("trace.id");
    assert_int_equal(generator_rules_keep(&limits.generate, &rules, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "metrics_generator.exemplar_label"));
}

/* ---------- hostile input, memory ---------- */

/* Bytes that the gateway never lets pass: nothing is read outside them, nothing is counted wrong.
 */
static void spans_that_are_cut_anywhere_are_left_out(void **state) {
    World *world = begin(NULL);
    const TestSpan span = {
        1, 2, 1, "shop", "x", CLIENT, 0, T(0), T(10), "db.name=a,peer.service=b", NULL};
    SpansBatch batch = test_batch(world->arena, "acme", &span, 1);
    SpansSink *sink = generator_sink(world->generator);
    Str whole = batch.items[0].span, origin = batch.origins[0].bytes;
    AppendResult result;

    (void)state;
    for (size_t len = 0; len < whole.len; len++) {
        char *cut = malloc(len + 1); /* so that a sanitizer sees its end */

        memcpy(cut, whole.ptr, len);
        batch.items[0].span = (Str){cut, len};
        sink->append(sink, &batch, answered, &result);
        free(cut);
    }
    batch.items[0].span = whole;
    for (size_t len = 0; len < origin.len; len++) {
        char *cut = malloc(len + 1);

        memcpy(cut, origin.ptr, len);
        batch.origins[0].bytes = (Str){cut, len};
        sink->append(sink, &batch, answered, &result);
        free(cut);
    }
    end(world);
}

static void without_memory_spans_are_stored_and_not_counted(void **state) {
    (void)state;
    for (size_t limit = 1; limit < 40000; limit += 997) {
        World *world = begin(NULL);

        atomic_store(&world->budget.limit, limit);
        PUSH(world, {1, 10, 1, "shop", "call", CLIENT, 0, T(0), T(1000), NULL, NULL},
             {1, 11, 10, "cart", "serve", SERVER, 0, T(100), T(400), NULL, NULL});
        pass(world, 1000);
        collected(world, "");
        end(world);
    }
}

/* ---------- threads ---------- */

enum { PUSHERS = 4, BATCHES = 200 };

typedef struct Pusher {
    World *world;
    unsigned number;
    bool answered;
} Pusher;

static void pushed(void *context, const AppendResult *result) {
    ((Pusher *)context)->answered = result->code == ERR_OK;
}

/* Two spans a batch, of services that others push for, too, or don't. */
static void *push_batches(void *what) {
    Pusher *pusher = what;
    SpansSink *sink = generator_sink(pusher->world->generator);

    for (unsigned i = 0; i < BATCHES; i++) {
        Arena *arena = arena_new(0, NULL);
        Str own = str_format(arena, "s%u-%u", pusher->number, i % 20);
        const TestSpan spans[] = {
            {1, 10 + i, 1, "shared", "x", CLIENT, 0, T(0), T(1), NULL, NULL},
            {(uint8_t)pusher->number, 1, 0, own.ptr, "x", SERVER, 0, T(0), T(1), NULL, NULL}};
        SpansBatch batch = test_batch(arena, i % 2 == 0 ? "acme" : "other", spans, 2);

        sink->append(sink, &batch, pushed, pusher);
        assert_true(pusher->answered);
        arena_free(arena);
    }
    return NULL;
}

/* The sum of the newest values of a counter that the last collection wrote. */
static double total(const char *lines, int64_t at_ms) {
    double sum = 0;
    Str rest = str_of(lines), line, value, time;
    double number;
    int64_t ms;

    while (rest.len > 0) {
        str_cut(rest, '\n', &line, &rest);
        str_cut(str_from(line, (size_t)(str_find(line, STR("} ")) - line.ptr) + 2), '@', &value,
                &time);
        if (str_to_i64(str_from(time, 1), &ms) && ms == at_ms && str_to_double(value, &number))
            sum += number;
    }
    return sum;
}

static void while_it_is_collected_no_span_is_lost_or_doubled(void **state) {
    World *world = begin(NULL);
    Pusher pushers[PUSHERS];
    pthread_t threads[PUSHERS];

    (void)state;
    for (unsigned i = 0; i < PUSHERS; i++) {
        pushers[i] = (Pusher){world, i, false};
        assert_int_equal(pthread_create(&threads[i], NULL, push_batches, &pushers[i]), 0);
    }
    for (int round = 0; round < 20; round++) {
        pass(world, 10);
        world->kept.count = 0;
        generator_collect(world->generator);
    }
    for (unsigned i = 0; i < PUSHERS; i++) pthread_join(threads[i], NULL);
    pass(world, 800);
    assert_true(total(collected(world, "calls_total"), 1000) == 2.0 * PUSHERS * BATCHES);
    end(world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_are_counted_from_zero_by_service_name_kind_and_status),
        cmocka_unit_test(a_series_that_comes_later_begins_at_the_collection_before),
        cmocka_unit_test(what_could_not_be_stored_is_written_with_its_zero_the_next_time),
        cmocka_unit_test(spans_that_were_not_stored_are_not_counted),
        cmocka_unit_test(spans_that_ended_long_ago_are_not_counted),
        cmocka_unit_test(attributes_become_labels_of_the_resource_first),
        cmocka_unit_test(native_histograms_have_eight_buckets_a_power_of_two),
        cmocka_unit_test(native_histograms_get_coarser_instead_of_larger),
        cmocka_unit_test(past_series_max_no_series_are_added_until_others_are_stale),
        cmocka_unit_test(names_that_are_no_utf8_are_left_out_and_long_ones_cut_at_a_character),
        cmocka_unit_test(a_client_and_the_server_that_it_calls_make_an_edge_whichever_comes_first),
        cmocka_unit_test(databases_peers_and_callers_of_roots_are_nodes_of_their_own),
        cmocka_unit_test(messages_are_measured_from_producer_to_consumer),
        cmocka_unit_test(no_more_spans_wait_than_edges_max),
        cmocka_unit_test(settings_that_change_hold_from_the_next_collection_on),
        cmocka_unit_test(settings_that_make_no_sense_are_named),
        cmocka_unit_test(spans_that_are_cut_anywhere_are_left_out),
        cmocka_unit_test(without_memory_spans_are_stored_and_not_counted),
        cmocka_unit_test(while_it_is_collected_no_span_is_lost_or_doubled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
