/*
 * extras.c: exemplars and metadata: what comes along with samples.
 */
#include "ingester/head/metrics.h"

/* ---------- exemplars ---------- */

static HeadExemplar *exemplar_at(const MetricsHead *head, SlabHandle handle) {
    return slab_ptr(&head->slab, handle);
}

static Str exemplar_labels(const HeadExemplar *exemplar) {
    return (Str){(const char *)(exemplar + 1), exemplar->label_bytes};
}

static bool exemplar_known(const MetricsHead *head, SlabHandle newest,
                           const MetricsExemplar *exemplar) {
    for (SlabHandle at = newest; at != 0; at = exemplar_at(head, at)->older) {
        const HeadExemplar *held = exemplar_at(head, at);

        if (held->time_ms == exemplar->time_ms &&
            memcmp(&held->value, &exemplar->value, sizeof held->value) == 0 &&
            str_equal(exemplar_labels(held), exemplar->labels))
            return true;
    }
    return false;
}

/* Queries copy exemplars while on the lane, so the oldest one's place is free at once. */
static void exemplar_drop_oldest(MetricsHead *head, SlabHandle newest) {
    SlabHandle at = newest, last;

    for (;;) {
        HeadExemplar *held = exemplar_at(head, at);

        held->count--;
        if (held->count == 1) break;
        at = held->older;
    }
    last = exemplar_at(head, at)->older;
    exemplar_at(head, at)->older = 0;
    slab_free(&head->slab, last);
}

void metrics_head_append_exemplar(MetricsHead *head, uint32_t series,
                                  const MetricsExemplar *exemplar) {
    HeadCold *cold = head_cold(head, series);
    size_t bytes = sizeof(HeadExemplar) + exemplar->labels.len;
    HeadExemplar *made;
    SlabHandle handle;
    uint8_t count = 0;

    if (bytes > SLAB_BYTES_MAX || exemplar_known(head, cold->exemplars, exemplar)) return;
    if (cold->exemplars != 0) {
        if (exemplar_at(head, cold->exemplars)->count == HEAD_EXEMPLARS_MAX)
            exemplar_drop_oldest(head, cold->exemplars);
        count = exemplar_at(head, cold->exemplars)->count;
    }
    handle = slab_alloc(&head->slab, slab_class(bytes), true);
    assert(handle != 0 && "a head's address space is used up");
    made = exemplar_at(head, handle);
    *made = (HeadExemplar){.time_ms = exemplar->time_ms,
                           .value = exemplar->value,
                           .older = cold->exemplars,
                           .label_bytes = (uint32_t)exemplar->labels.len,
                           .count = (uint8_t)(count + 1)};
    if (exemplar->labels.len > 0) memcpy(made + 1, exemplar->labels.ptr, exemplar->labels.len);
    cold->exemplars = handle;
}

bool metrics_head_exemplars(const MetricsHead *head, uint32_t series, int64_t min_ms,
                            int64_t max_ms, Arena *arena, SelectedExemplar **out, size_t *count) {
    SlabHandle newest = head_cold(head, series)->exemplars;
    SelectedExemplar *items;
    size_t max, n;

    *out = NULL;
    *count = 0;
    if (newest == 0) return true;
    max = n = exemplar_at(head, newest)->count;
    items = ARENA_ARRAY(arena, SelectedExemplar, max);
    if (items == NULL) return false;
    for (SlabHandle at = newest; at != 0; at = exemplar_at(head, at)->older) {
        const HeadExemplar *held = exemplar_at(head, at);
        Str labels;

        if (held->time_ms < min_ms || held->time_ms > max_ms) continue;
        labels = str_dup(arena, exemplar_labels(held));
        if (labels.ptr == NULL) return false;
        items[--n] = (SelectedExemplar){held->time_ms, held->value, labels};
    }
    *out = items + n;
    *count = max - n;
    return true;
}

/* ---------- metadata ---------- */

static uint32_t metadata_tag(const MetricsHead *head, uint32_t tenant, Str metric) {
    return (uint32_t)hash_bytes_seeded(metric.ptr, metric.len,
                                       head->seed ^ (tenant + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

static uint32_t metadata_find(const MetricsHead *head, uint32_t tag, uint32_t tenant, Str metric) {
    TABLE_EACH(&head->metadata, tag, i) {
        const HeadMetadata *held = head_metadata(head, i);

        if (held->tenant == tenant && str_equal(held->metric, metric)) return i;
    }
    return HEAD_NONE;
}

static bool metadata_same(const HeadMetadata *held, const MetricsMetadata *item) {
    return held->type == (uint32_t)item->type && str_equal(held->help, item->help) &&
           str_equal(held->unit, item->unit);
}

bool metrics_head_metadata_known(const MetricsHead *head, uint32_t tenant,
                                 const MetricsMetadata *item) {
    uint32_t at =
        metadata_find(head, metadata_tag(head, tenant, item->metric), tenant, item->metric);

    return at != HEAD_NONE && metadata_same(head_metadata(head, at), item);
}

bool metrics_head_set_metadata(MetricsHead *head, uint32_t tenant, const MetricsMetadata *item) {
    Text *text = &head->pairs.text;
    HeadTenant *owner = head_tenant(head, tenant);
    uint32_t tag = metadata_tag(head, tenant, item->metric), n = head->metadata_count;
    uint32_t at = metadata_find(head, tag, tenant, item->metric);
    HeadMetadata made = {.type = item->type, .tenant = tenant, .next = owner->metadata};

    if (at != HEAD_NONE && metadata_same(head_metadata(head, at), item)) return true;
    if (at == HEAD_NONE &&
        (owner->metadata_count >= HEAD_METADATA_MAX || !table_reserve(&head->metadata) ||
         !region_commit(&head->metadata_region, (n + (size_t)1) * sizeof made, false)))
        return false;
    made.metric = at != HEAD_NONE ? head_metadata(head, at)->metric : text_add(text, item->metric);
    made.help = text_add(text, item->help);
    made.unit = text_add(text, item->unit);
    if (made.metric.ptr == NULL || made.help.ptr == NULL || made.unit.ptr == NULL) return false;
    if (at != HEAD_NONE) {
        made.next = head_metadata(head, at)->next;
        *head_metadata(head, at) = made;
        return true;
    }
    *head_metadata(head, n) = made;
    table_add(&head->metadata, tag, n);
    owner->metadata = n;
    owner->metadata_count++;
    head->metadata_count++;
    return true;
}
