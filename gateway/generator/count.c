/*
 * count.c: one tenant's batch into its registry.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/tenant/tenant.h"
#include "gateway/generator/internal.h"

enum {
    SCRATCH_BYTES_MAX = 64 << 20,
    EXPIRED_A_BATCH = 64, /* edges, so that no batch pays for many */
    LABELS_OF_OURS = 2,   /* __name__ and le */
};

/* ---------- tenants ---------- */

static void make_counters(GeneratorTenant *tenant) {
    static const char *const reasons[DROP_COUNT] = {
#define X(name, label) label,
        GENERATOR_DROPS(X)
#undef X
    };
    char who[2 * TENANT_NAME_MAX + 16], both[sizeof who + 48];

    telemetry_label(who, sizeof who, "tenant", tenant->name);
    for (int i = 0; i < DROP_COUNT; i++) {
        snprintf(both, sizeof both, "%s,reason=\"%s\"", who, reasons[i]);
        tenant->dropped[i] =
            telemetry_counter("moraine_generator_spans_dropped_total", both,
                              "Spans that derived metrics don't count, by tenant and reason.");
    }
    tenant->edges_found =
        telemetry_counter("moraine_generator_edges_total", who,
                          "Requests between services that service graphs count, by tenant.");
    tenant->edges_expired =
        telemetry_counter("moraine_generator_edges_expired_total", who,
                          "Spans of one side of a request whose other side never came, by tenant.");
    tenant->edges_dropped =
        telemetry_counter("moraine_generator_edges_dropped_total", who,
                          "Spans of one side of a request that were not waited for, as "
                          "service_graphs.edges_max or memory was used up, by tenant.");
}

GeneratorTenant *generator_tenant_new(Str name, uint64_t seed) {
    CLEANUP(generator_tenant_free) GeneratorTenant *tenant = calloc(1, sizeof *tenant);
    GeneratorTenant *made = tenant;
    char *copy;

    if (tenant == NULL) return NULL;
    pthread_mutex_init(&tenant->lock, NULL);
    copy = malloc(name.len + 1);
    if (copy != NULL) memcpy(copy, name.ptr, name.len);
    tenant->name = (Str){copy, copy == NULL ? 0 : name.len};
    if (copy == NULL) return NULL;
    tenant->seed = seed;
    make_counters(tenant);
    tenant = NULL;
    return made;
}

static void forget(GeneratorTenant *tenant) {
    if (!tenant->has_registry) return;
    registry_done(&tenant->registry);
    edges_done(&tenant->edges);
    tenant->has_registry = false;
}

void generator_tenant_free(GeneratorTenant *tenant) {
    if (tenant == NULL) return;
    forget(tenant);
    free((char *)tenant->name.ptr);
    pthread_mutex_destroy(&tenant->lock);
    free(tenant);
}

void generator_tenant_rules(GeneratorTenant *tenant, const TenantLimits *limits, Budget *budget,
                            int64_t now_ms) {
    const GeneratorRules *rules = limits->generator;

    if (rules != NULL && !rules->settings.span_metrics && !rules->settings.service_graphs)
        rules = NULL;
    tenant->value_bytes_max = limits->label_value_bytes_max;
    tenant->labels_max = limits->label_names_max;
    if (tenant->rules == rules) return;
    forget(tenant);
    tenant->rules = rules;
    if (rules == NULL) return;
    registry_init(&tenant->registry, rules, budget, now_ms);
    wanted_init(&tenant->wanted, rules);
    edges_init(&tenant->edges, budget);
    tenant->has_registry = true;
}

bool generator_begin(GeneratorTenant *tenant, Budget *budget) {
    assert(tenant->scratch == NULL);
    tenant->scratch = arena_new(SCRATCH_BYTES_MAX, budget);
    return tenant->scratch != NULL;
}

void generator_end(GeneratorTenant *tenant) {
    arena_free(tenant->scratch);
    tenant->scratch = NULL;
}

/* ---------- keys and entries ---------- */

void key_begin(KeyMaker *key, Arena *arena) {
    key->arena = arena;
    key->at = key->own;
    key->capacity = sizeof key->own;
    key->len = 0;
    key->failed = false;
}

static bool key_grow(KeyMaker *key, size_t more) {
    size_t capacity = MAX(key->capacity * 2, key->len + more);
    char *at = arena_alloc_bytes(key->arena, capacity);

    if (at == NULL) return false;
    memcpy(at, key->at, key->len);
    key->at = at;
    key->capacity = capacity;
    return true;
}

void key_add(KeyMaker *key, Str text) {
    uint32_t len = (uint32_t)text.len;

    if (key->failed) return;
    if (key->capacity - key->len < sizeof len + text.len && !key_grow(key, sizeof len + text.len)) {
        key->failed = true;
        return;
    }
    memcpy(key->at + key->len, &len, sizeof len);
    if (text.len > 0) memcpy(key->at + key->len + sizeof len, text.ptr, text.len);
    key->len += sizeof len + text.len;
}

bool key_end(const KeyMaker *key, uint64_t seed, Hash128 *out) {
    if (key->failed) return false;
    *out = hash_bytes_128(key->at, key->len, seed);
    return true;
}

GroupEntry *generator_entry(GeneratorTenant *tenant, int group, Hash128 key, LabelPair *labels,
                            size_t count) {
    GeneratorDrop why = DROP_MEMORY;
    GroupEntry *entry;
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        if (labels[i].value.len == 0) continue;
        if (!str_is_utf8(labels[i].value)) {
            counter_add(tenant->dropped[DROP_INVALID], 1);
            return NULL;
        }
        labels[kept++] = labels[i];
    }
    if (tenant->labels_max > 0 && kept + LABELS_OF_OURS > tenant->labels_max) {
        counter_add(tenant->dropped[DROP_INVALID], 1);
        return NULL;
    }
    switch (
        group_add(&tenant->registry, &tenant->registry.groups[group], key, labels, kept, &entry)) {
    case GROUP_ADDED:
        return entry;
    case GROUP_SERIES_MAX:
        why = DROP_SERIES_MAX;
        break;
    case GROUP_NO_MEMORY:
        break;
    }
    counter_add(tenant->dropped[why], 1);
    return NULL;
}

/* ---------- batches ---------- */

/* Whether a service graph has an edge for such a span. */
static bool makes_edge(uint8_t kind) {
    return kind >= 2; /* all but unspecified and internal */
}

static bool count_span(GeneratorTenant *tenant, CountedSpan *span, WantedValues *values) {
    const GeneratorSettings *settings = &tenant->rules->settings;
    const WantedValues *read = NULL;
    bool edge;

    if (!span_view(span->item->span, &span->view)) return false;
    edge = settings->service_graphs && makes_edge(span->view.kind);
    if (edge || (settings->span_metrics && tenant->rules->span_dimension_count > 0)) {
        if (!span_values(&span->view, &tenant->wanted, tenant->value_bytes_max, tenant->scratch,
                         values))
            return false;
        read = values;
    }
    if (settings->span_metrics) span_metrics_count(tenant, span, read);
    if (edge) edge_metrics_count(tenant, span, read);
    return true;
}

/* Of origins only those that have a span to count are looked at, each once. */
static const OriginView *view_of(GeneratorTenant *tenant, const SpansBatch *batch, uint32_t origin,
                                 OriginView **views, int64_t now_ms) {
    OriginView *view = views[origin];

    if (view != NULL) return view;
    view = ARENA_NEW(tenant->scratch, OriginView);
    if (view == NULL || !origin_view(batch->origins[origin].bytes, &tenant->wanted,
                                     tenant->value_bytes_max, tenant->scratch, view))
        return NULL;
    views[origin] = view;
    if (tenant->rules->settings.span_metrics && tenant->rules->settings.target_info)
        target_info_count(tenant, view, now_ms);
    return view;
}

void generator_count(GeneratorTenant *tenant, const SpansBatch *batch, int64_t now_ms,
                     uint64_t now_ns) {
    OriginView **views = ARENA_ARRAY(tenant->scratch, OriginView *, batch->origin_count);
    int64_t slack_ms = tenant->rules->settings.slack_ms;
    int64_t earliest_ns = slack_ms == 0 ? INT64_MIN : (now_ms - slack_ms) * 1000000;
    CountedSpan span = {.now_ms = now_ms, .now_ns = now_ns};
    uint64_t late = 0, failed = 0;
    WantedValues values;

    tenant->used_ms = now_ms;
    generator_expire_edges(tenant, now_ms, now_ns, EXPIRED_A_BATCH);
    for (size_t i = 0; i < batch->item_count; i++) {
        span.item = &batch->items[i];
        if (span.item->end_ns < earliest_ns) {
            late++;
            continue;
        }
        span.origin =
            views == NULL ? NULL : view_of(tenant, batch, span.item->origin, views, now_ms);
        if (span.origin == NULL || !count_span(tenant, &span, &values)) failed++;
    }
    if (late > 0) counter_add(tenant->dropped[DROP_LATE], late);
    if (failed > 0) counter_add(tenant->dropped[DROP_MEMORY], failed);
}
