/*
 * tempo_search.c: searches, and what all of Tempo's answers have in them.
 */
#include <inttypes.h>
#include <stdio.h>

#include "querier/api/tempo_answer.h"

#define NS_PER_MS 1000000

MessageWriter tempo_writer(ApiCall *call, Buf *out) {
    Str accept = http_header(call->request, "Accept");
    bool wire = str_contains(accept, STR("application/protobuf"));

    if (wire) call->content_type = "application/protobuf";
    return (MessageWriter){.out = out, .json = !wire};
}

ErrCode tempo_parse(ApiCall *call, Str text, TraceqlQuery **out, Error *err) {
    if (traceql_parse(text, call->arena, out, err) == ERR_OK) return ERR_OK;
    return error_wrap(err, "invalid TraceQL query");
}

/* ---------- values ---------- */

static void write_any(MessageWriter *w, const TraceqlValue *value, Arena *arena);

static void write_element(MessageWriter *w, const TraceqlValue *element, Arena *arena) {
    size_t item = message_begin(w, 1, NULL);

    write_any(w, element, arena);
    message_end(w, item);
}

static void write_elements(MessageWriter *w, const TraceqlValue *value, Arena *arena) {
    size_t array = message_begin(w, 5, "arrayValue");

    message_list(w, "values");
    for (uint32_t i = 0; i < value->count; i++) switch (value->type) {
        case TRACEQL_STRINGS:
            write_element(w, &(TraceqlValue){.type = TRACEQL_STRING, .text = value->texts[i]},
                          arena);
            break;
        case TRACEQL_INTS:
            write_element(w, &(TraceqlValue){.type = TRACEQL_INT, .integer = value->integers[i]},
                          arena);
            break;
        case TRACEQL_FLOATS:
            write_element(w, &(TraceqlValue){.type = TRACEQL_FLOAT, .number = value->numbers[i]},
                          arena);
            break;
        default:
            write_element(w, &(TraceqlValue){.type = TRACEQL_BOOL, .truth = value->truths[i]},
                          arena);
        }
    message_list_end(w);
    message_end(w, array);
}

static void write_any(MessageWriter *w, const TraceqlValue *value, Arena *arena) {
    switch (value->type) {
    case TRACEQL_STRING:
        message_text(w, 1, "stringValue", value->text);
        break;
    case TRACEQL_BOOL:
        message_bool(w, 2, "boolValue", value->truth);
        break;
    case TRACEQL_INT:
        message_i64(w, 3, "intValue", value->integer);
        break;
    case TRACEQL_FLOAT:
        message_double(w, 4, "doubleValue", value->number);
        break;
    case TRACEQL_STRINGS:
    case TRACEQL_INTS:
    case TRACEQL_FLOATS:
    case TRACEQL_BOOLS:
        write_elements(w, value, arena);
        break;
    default: /* durations, statuses, kinds and nil by their names */
        message_text(w, 1, "stringValue", traceql_value_text(value, arena));
    }
}

void tempo_write_labels(MessageWriter *w, uint32_t field, const char *name,
                        const TraceqlLabel *labels, size_t count, Arena *arena) {
    if (count == 0) return;
    message_list(w, name);
    for (size_t i = 0; i < count; i++) {
        size_t label = message_begin(w, field, NULL), value;

        message_text(w, 1, "key", labels[i].name);
        value = message_begin(w, 2, "value");
        write_any(w, &labels[i].value, arena);
        message_end(w, value);
        message_end(w, label);
    }
    message_list_end(w);
}

/* ---------- metrics of an answer ---------- */

static void write_u32(MessageWriter *w, uint32_t field, const char *name, uint64_t value) {
    if (value > 0) message_u32(w, field, name, (uint32_t)MIN(value, UINT32_MAX));
}

static void write_u64(MessageWriter *w, uint32_t field, const char *name, uint64_t value) {
    if (value > 0) message_u64(w, field, name, value);
}

void tempo_write_search_metrics(MessageWriter *w, const TraceStats *stats, uint64_t done,
                                uint64_t jobs) {
    size_t metrics = message_begin(w, 2, "metrics");

    write_u32(w, 1, "inspectedTraces", atomic_load(&stats->traces));
    write_u64(w, 2, "inspectedBytes", atomic_load(&stats->bytes));
    write_u32(w, 3, "totalBlocks", atomic_load(&stats->blocks));
    write_u32(w, 4, "completedJobs", done);
    write_u32(w, 5, "totalJobs", jobs);
    write_u64(w, 7, "inspectedSpans", atomic_load(&stats->spans));
    message_end(w, metrics);
}

void tempo_write_names_metrics(MessageWriter *w, const TraceStats *stats) {
    size_t metrics = message_begin(w, 2, "metrics");

    write_u64(w, 1, "inspectedBytes", atomic_load(&stats->bytes));
    write_u32(w, 2, "totalJobs", 1);
    write_u32(w, 3, "completedJobs", 1);
    write_u32(w, 4, "totalBlocks", atomic_load(&stats->blocks));
    message_end(w, metrics);
}

/* ---------- searches ---------- */

ErrCode tempo_search(ApiCall *call, const TempoSearch *search,
                     void (*found)(void *context, const TraceqlFound *traces, size_t count,
                                   size_t units_done, size_t units),
                     void *context, TraceqlSearchResult *out, Error *err) {
    TraceqlSearchParams params = {.start_ns = search->start_ns,
                                  .end_ns = search->end_ns,
                                  .limit = search->limit,
                                  .spans_max = search->spans_max,
                                  .duration_min_ns = search->duration_min_ns,
                                  .duration_max_ns = search->duration_max_ns,
                                  .source = call->traces,
                                  .query = &call->query,
                                  .stats = &call->trace_stats,
                                  .found = found,
                                  .context = context};
    TraceqlQuery *query;

    TRY(tempo_parse(call, search->query, &query, err));
    return traceql_search(query, &params, out, err);
}

/* As Tempo's search has them: hex without zeros before it. */
static void write_trace_id(MessageWriter *w, const TraceId *id) {
    char text[2 * sizeof id->bytes + 1];
    size_t skip = 0, digits = sizeof text - 1;

    for (size_t i = 0; i < digits; i++)
        text[i] = "0123456789abcdef"[i % 2 == 0 ? id->bytes[i / 2] >> 4 : id->bytes[i / 2] & 15];
    while (skip + 1 < digits && text[skip] == '0') skip++;
    message_text(w, 1, "traceID", (Str){text + skip, digits - skip});
}

static void write_span(MessageWriter *w, const TraceqlFoundSpan *span, Arena *arena) {
    size_t start = message_begin(w, 1, NULL);
    char id[17];

    snprintf(id, sizeof id, "%016" PRIx64, span->id);
    message_text(w, 1, "spanID", str_of(id));
    if (span->name.len > 0) message_text(w, 2, "name", span->name);
    write_u64(w, 3, "startTimeUnixNano", (uint64_t)span->start_ns);
    write_u64(w, 4, "durationNanos", (uint64_t)span->duration_ns);
    tempo_write_labels(w, 5, "attributes", span->attributes, span->attribute_count, arena);
    message_end(w, start);
}

static void write_set(MessageWriter *w, uint32_t field, const char *name,
                      const TraceqlFoundSet *set, Arena *arena) {
    size_t start = message_begin(w, field, name);

    message_list(w, "spans");
    for (size_t i = 0; i < set->count; i++) write_span(w, &set->spans[i], arena);
    message_list_end(w);
    write_u32(w, 2, "matched", set->matched);
    tempo_write_labels(w, 3, "attributes", set->attributes, set->attribute_count, arena);
    message_end(w, start);
}

static void write_services(MessageWriter *w, const TraceqlFound *trace) {
    if (trace->service_count == 0) return;
    message_map(w, "serviceStats");
    for (size_t i = 0; i < trace->service_count; i++) {
        const TraceqlService *service = &trace->services[i];
        size_t entry, value = message_entry(w, 8, service->name, &entry);

        write_u32(w, 1, "spanCount", service->spans);
        write_u32(w, 2, "errorCount", service->errors);
        message_entry_end(w, value, entry);
    }
    message_map_end(w);
}

static void write_trace(MessageWriter *w, const TraceqlFound *trace, bool sets, Arena *arena) {
    size_t start = message_begin(w, 1, NULL);

    write_trace_id(w, &trace->id);
    if (trace->root_service.len > 0) message_text(w, 2, "rootServiceName", trace->root_service);
    if (trace->root_name.len > 0) message_text(w, 3, "rootTraceName", trace->root_name);
    write_u64(w, 4, "startTimeUnixNano", (uint64_t)trace->start_ns);
    write_u32(w, 5, "durationMs", (uint64_t)(trace->end_ns - trace->start_ns) / NS_PER_MS);
    if (sets && trace->set_count > 0) {
        /* The first one again, for readers from before there could be more than one. */
        write_set(w, 6, "spanSet", &trace->sets[0], arena);
        message_list(w, "spanSets");
        for (size_t i = 0; i < trace->set_count; i++) write_set(w, 7, NULL, &trace->sets[i], arena);
        message_list_end(w);
    }
    write_services(w, trace);
    message_end(w, start);
}

void tempo_write_search(MessageWriter *w, const TempoSearch *search, const TraceqlFound *traces,
                        size_t count, const TraceStats *stats, uint64_t done, uint64_t jobs,
                        Arena *arena) {
    message_open(w);
    message_list(w, "traces");
    for (size_t i = 0; i < count; i++) write_trace(w, &traces[i], !search->by_tags, arena);
    message_list_end(w);
    tempo_write_search_metrics(w, stats, done, jobs);
    message_close(w);
}

static ErrCode run_search(ApiCall *call, Buf *out, Error *err) {
    MessageWriter w = tempo_writer(call, out);
    TraceqlSearchResult result;
    TempoSearch search;
    uint64_t units;

    TRY(tempo_search_params(call, &search, err));
    TRY(tempo_search(call, &search, NULL, NULL, &result, err));
    units = atomic_load(&call->trace_stats.units);
    tempo_write_search(&w, &search, result.traces, result.count, &call->trace_stats, units, units,
                       call->arena);
    return ERR_OK;
}

const ApiEndpoint api_tempo_search_endpoints[] = {
    {HTTP_GET_, "/api/search", run_search, API_TEMPO},
    {0},
};
