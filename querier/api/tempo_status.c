/*
 * tempo_status.c: what clients ask before they ask for traces.
 */
#include "common/base/json.h"
#include "common/tenant/generator.h"
#include "querier/api/tempo.h"
#include "querier/exec/go_float.h"

/* Clients choose what they send by the version of Tempo: this is the one whose API ours is. */
static ErrCode run_buildinfo(ApiCall *call, Buf *out, Error *err) {
    (void)call;
    (void)err;
    buf_append_str(out, STR("{\"version\":\"2.9.0\",\"revision\":\"moraine-" MORAINE_VERSION
                            "\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\","
                            "\"goVersion\":\"\"}"));
    return ERR_OK;
}

static void write_names(Buf *out, const GeneratorDimension *dimensions, uint32_t count) {
    buf_append_str(out, STR("\"dimensions\":["));
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) buf_append_byte(out, ',');
        json_append_string(out, dimensions[i].attribute);
    }
    buf_append_byte(out, ']');
}

static void write_buckets(Buf *out, const GeneratorBuckets *buckets) {
    buf_append_str(out, STR(",\"histogram_buckets\":["));
    for (uint32_t i = 0; i < buckets->count; i++) {
        if (i > 0) buf_append_byte(out, ',');
        go_append_g(out, buckets->bounds[i]);
    }
    buf_append_byte(out, ']');
}

static void write_generator(Buf *out, const GeneratorRules *rules) {
    static const char *const histograms[] = {"classic", "native", "both"};
    bool graphs = rules->settings.service_graphs, metrics = rules->settings.span_metrics;

    buf_printf(out, "\"processors\":[%s%s%s],\"generate_native_histograms\":\"%s\"",
               graphs ? "\"service-graphs\"" : "", graphs && metrics ? "," : "",
               metrics ? "\"span-metrics\"" : "", histograms[rules->settings.histograms]);
    buf_append_str(out, STR(",\"trace_id_label_name\":"));
    json_append_string(out, rules->settings.exemplar_label);
    buf_append_str(out, STR(",\"processor\":{\"service_graphs\":{"));
    write_names(out, rules->edge_dimensions, rules->edge_dimension_count);
    write_buckets(out, &rules->edge_buckets);
    buf_append_str(out, STR("},\"span_metrics\":{"));
    write_names(out, rules->span_dimensions, rules->span_dimension_count);
    write_buckets(out, &rules->span_buckets);
    buf_append_str(out, STR("}}"));
}

/* What holds for the tenant, to be read; it is changed where all limits are. */
static ErrCode run_overrides(ApiCall *call, Buf *out, Error *err) {
    (void)err;
    buf_append_str(out, STR("{\"metrics_generator\":{"));
    if (call->limits.generator != NULL)
        write_generator(out, call->limits.generator);
    else
        buf_append_str(out, STR("\"processors\":[]"));
    buf_append_str(out, STR("}}"));
    return ERR_OK;
}

const ApiEndpoint api_tempo_status_endpoints[] = {
    {HTTP_GET_, "/api/status/buildinfo", run_buildinfo, API_TEMPO},
    {HTTP_GET_, "/api/overrides", run_overrides, API_TEMPO},
    {0},
};
