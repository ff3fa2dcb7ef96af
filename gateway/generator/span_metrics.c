/*
 * span_metrics.c: calls, latency and size by service, name, kind and status of spans.
 */
#include "gateway/generator/internal.h"
#include "gateway/otlp/value.h"

enum { FAMILY_CALLS, FAMILY_LATENCY, FAMILY_SIZE };

static const Str kinds[] = {STR_INIT("SPAN_KIND_UNSPECIFIED"), STR_INIT("SPAN_KIND_INTERNAL"),
                            STR_INIT("SPAN_KIND_SERVER"),      STR_INIT("SPAN_KIND_CLIENT"),
                            STR_INIT("SPAN_KIND_PRODUCER"),    STR_INIT("SPAN_KIND_CONSUMER")};
static const Str statuses[] = {STR_INIT("STATUS_CODE_UNSET"), STR_INIT("STATUS_CODE_OK"),
                               STR_INIT("STATUS_CODE_ERROR")};

enum { SPAN_LABELS_MAX = 7 + GENERATOR_DIMENSIONS_MAX };

/* The labels of a span, in a fixed order, those that are empty included: what its key is of. */
static size_t labels_of(const GeneratorTenant *tenant, const CountedSpan *span,
                        const WantedValues *values, LabelPair *out) {
    const GeneratorRules *rules = tenant->rules;
    const OriginView *origin = span->origin;
    size_t bytes_max = tenant->value_bytes_max, n = 0;

    if (rules->service) out[n++] = (LabelPair){STR("service"), origin->service};
    if (rules->span_name)
        out[n++] = (LabelPair){STR("span_name"), view_cut(span->view.name, bytes_max)};
    if (rules->span_kind) out[n++] = (LabelPair){STR("span_kind"), kinds[span->view.kind]};
    if (rules->status_code) out[n++] = (LabelPair){STR("status_code"), statuses[span->view.status]};
    if (rules->status_message)
        out[n++] =
            (LabelPair){STR("status_message"), view_cut(span->view.status_message, bytes_max)};
    for (uint32_t i = 0; i < rules->span_dimension_count; i++) {
        uint8_t wanted = tenant->wanted.span_dimensions[i];
        Str value = origin->values.at[wanted];

        if (value.ptr == NULL && values != NULL) value = values->at[wanted];
        out[n++] = (LabelPair){rules->span_dimensions[i].label, value};
    }
    if (!rules->settings.target_info) return n;
    out[n++] = (LabelPair){STR("job"), origin->job};
    out[n++] = (LabelPair){STR("instance"), origin->instance};
    return n;
}

void span_metrics_count(GeneratorTenant *tenant, const CountedSpan *span,
                        const WantedValues *values) {
    Registry *registry = &tenant->registry;
    Group *group = &registry->groups[GROUP_SPANS];
    LabelPair labels[SPAN_LABELS_MAX];
    size_t count = labels_of(tenant, span, values, labels);
    GroupEntry *entry;
    KeyMaker maker;
    Hash128 key;

    key_begin(&maker, tenant->scratch);
    for (size_t i = 0; i < count; i++) key_add(&maker, labels[i].value);
    if (!key_end(&maker, tenant->seed, &key)) {
        counter_add(tenant->dropped[DROP_MEMORY], 1);
        return;
    }
    entry = group_find(group, key);
    if (entry == NULL) entry = generator_entry(tenant, GROUP_SPANS, key, labels, count);
    if (entry == NULL) return;
    entry->updated_ms = span->now_ms;
    cell_add(registry, group, entry, FAMILY_CALLS, 1);
    cell_observe(registry, group, entry, FAMILY_LATENCY, span_seconds(span->item),
                 &span->item->trace);
    if (tenant->rules->settings.span_size)
        cell_add(registry, group, entry, FAMILY_SIZE, (double)span->item->span.len);
}

/* ---------- traces_target_info ---------- */

enum { TARGET_LABELS_MAX = 128 };

static bool is_identifying(Str key) {
    return str_equal(key, STR("service.name")) || str_equal(key, STR("service.namespace")) ||
           str_equal(key, STR("service.instance.id"));
}

/* A label's name; NULL ptr: out of memory. */
static Str target_label(Arena *arena, Str key) {
    Str name = str_dup(arena, key);

    if (name.ptr == NULL) return name;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_'))
            ((char *)name.ptr)[i] = '_';
    }
    if (str_equal(name, STR("job")) || str_equal(name, STR("instance")) ||
        str_equal(name, LABEL_NAME))
        return str_format(arena, "__" STR_FMT, STR_ARG(name));
    return name;
}

/* Of attributes whose names fall together the last one counts. */
static void set(LabelPair *labels, size_t *count, Str name, Str value) {
    size_t i = 0;

    while (i < *count && !str_equal(labels[i].name, name)) i++;
    if (i == TARGET_LABELS_MAX) return;
    labels[i] = (LabelPair){name, value};
    if (i == *count) (*count)++;
}

static bool target_labels(const GeneratorTenant *tenant, const OriginView *origin,
                          LabelPair *labels, size_t *count) {
    WireReader r = wire_reader(origin->resource);
    OtlpAttribute attribute;
    Error ignored;
    bool more;

    for (*count = 0;;) {
        Str name, value;

        if (!otlp_next_attribute(&r, 1, &attribute, &more)) return false;
        if (!more) break;
        if (attribute.key.len == 0 || is_identifying(attribute.key) ||
            (attribute.key.ptr[0] >= '0' && attribute.key.ptr[0] <= '9'))
            continue;
        name = target_label(tenant->scratch, attribute.key);
        if (name.ptr == NULL ||
            otlp_value_text(&attribute.value, tenant->scratch, &value, &ignored) != ERR_OK)
            return false;
        set(labels, count, name, view_cut(value, tenant->value_bytes_max));
    }
    if (*count == 0) return true; /* nothing that job and instance don't say */
    set(labels, count, STR("job"), origin->job);
    set(labels, count, STR("instance"), origin->instance);
    labels_sort(labels, *count);
    return true;
}

void target_info_count(GeneratorTenant *tenant, const OriginView *origin, int64_t now_ms) {
    Registry *registry = &tenant->registry;
    Group *group = &registry->groups[GROUP_TARGETS];
    LabelPair labels[TARGET_LABELS_MAX + 2];
    GroupEntry *entry;
    KeyMaker maker;
    Hash128 key;
    size_t count;

    if (origin->job.len + origin->instance.len == 0) return;
    if (!target_labels(tenant, origin, labels, &count)) return;
    if (count == 0) return;
    key_begin(&maker, tenant->scratch);
    for (size_t i = 0; i < count; i++) {
        if (labels[i].value.len == 0) continue;
        key_add(&maker, labels[i].name);
        key_add(&maker, labels[i].value);
    }
    if (!key_end(&maker, tenant->seed, &key)) return;
    entry = group_find(group, key);
    if (entry == NULL) entry = generator_entry(tenant, GROUP_TARGETS, key, labels, count);
    if (entry == NULL) return;
    entry->updated_ms = now_ms;
    cell_counter(group, entry->cells, 0)->value = 1;
    cell_counter(group, entry->cells, 0)->used = true;
}
