#include "gateway/otlp/labels.h"

#include "common/base/hash.h"

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory left for the labels of this request");
}

ErrCode otlp_labels_init(OtlpLabels *labels, const OtlpSettings *settings, Arena *arena,
                         Error *err) {
    *labels = (OtlpLabels){.arena = arena, .settings = settings};
    labels->sorting = ARENA_ARRAY(arena, LabelPair, OTLP_ATTRIBUTES_MAX);
    labels->named = ARENA_ARRAY(arena, OtlpNamed, OTLP_NAME_CACHE);
    return labels->sorting == NULL || labels->named == NULL ? out_of_memory(err) : ERR_OK;
}

ErrCode otlp_labels_name(OtlpLabels *labels, Str key, Str *out, Error *err) {
    OtlpNamed *slot = &labels->named[hash_str(key) % OTLP_NAME_CACHE];

    if (slot->from.len == 0 || !str_equal(slot->from, key)) {
        TRY(otlp_label_name(otlp_escapes(labels->settings->translation) ? OTLP_LABEL_PROMETHEUS
                                                                        : OTLP_LABEL_AS_SENT,
                            key, labels->arena, out, err));
        *slot = (OtlpNamed){key, *out};
    }
    *out = slot->to;
    return ERR_OK;
}

static LabelPair *find(const OtlpLabels *labels, Str name) {
    for (size_t i = 0; i < labels->count; i++)
        if (str_equal(labels->pairs[i].name, name)) return &labels->pairs[i];
    return NULL;
}

Str otlp_labels_get(const OtlpLabels *labels, Str name) {
    const LabelPair *pair = find(labels, name);

    return pair == NULL ? STR("") : pair->value;
}

static ErrCode append(OtlpLabels *labels, Str name, Str value, Error *err) {
    if (labels->count == labels->capacity) {
        size_t grown = MAX(labels->capacity * 2, (size_t)32);

        labels->pairs =
            arena_grow(labels->arena, labels->pairs, labels->capacity * sizeof *labels->pairs,
                       grown * sizeof *labels->pairs);
        labels->capacity = labels->pairs == NULL ? 0 : grown;
        if (labels->pairs == NULL) {
            labels->count = 0;
            return out_of_memory(err);
        }
    }
    labels->pairs[labels->count++] = (LabelPair){name, value};
    return ERR_OK;
}

ErrCode otlp_labels_set(OtlpLabels *labels, Str name, Str value, Error *err) {
    LabelPair *pair = find(labels, name);

    if (pair == NULL) return value.len == 0 ? ERR_OK : append(labels, name, value, err);
    if (value.len == 0)
        *pair = labels->pairs[--labels->count];
    else
        pair->value = value;
    return ERR_OK;
}

ErrCode otlp_labels_default(OtlpLabels *labels, Str name, Str value, Error *err) {
    if (value.len == 0 || find(labels, name) != NULL) return ERR_OK;
    return append(labels, name, value, err);
}

/* Into labels->sorting, by key as sent; of equal keys the first one comes first. */
static ErrCode read_sorted(OtlpLabels *labels, WireReader r, uint32_t number, OtlpSkip skip,
                           size_t *out, Error *err) {
    LabelPair *sorting = labels->sorting;
    size_t count = 0;

    for (;;) {
        OtlpAttribute attribute;
        bool more;
        Str text;
        size_t at;

        if (!otlp_next_attribute(&r, number, &attribute, &more))
            return error_set(err, ERR_CORRUPT,
                             "the body is not protobuf: attributes can't be read");
        if (!more) break;
        if (skip != NULL && skip(labels->settings, attribute.key)) continue;
        if (count == OTLP_ATTRIBUTES_MAX)
            return error_set(err, ERR_INVALID,
                             "more than %d attributes; a data point may have no "
                             "more",
                             OTLP_ATTRIBUTES_MAX);
        TRY(otlp_value_text(&attribute.value, labels->arena, &text, err));
        for (at = count; at > 0 && str_compare(sorting[at - 1].name, attribute.key) > 0; at--)
            sorting[at] = sorting[at - 1];
        sorting[at] = (LabelPair){attribute.key, text};
        count++;
    }
    *out = count;
    return ERR_OK;
}

ErrCode otlp_labels_add(OtlpLabels *labels, WireReader r, uint32_t number, OtlpSkip skip,
                        Error *err) {
    size_t count = 0, first = labels->count;

    TRY(read_sorted(labels, r, number, skip, &count, err));
    for (size_t i = 0; i < count; i++) {
        const LabelPair *attribute = &labels->sorting[i];
        LabelPair *same = NULL;
        Str name;

        TRY(otlp_labels_name(labels, attribute->name, &name, err));
        for (size_t k = first; k < labels->count && same == NULL; k++)
            if (str_equal(labels->pairs[k].name, name)) same = &labels->pairs[k];
        if (same == NULL) {
            if (attribute->value.len > 0) TRY(append(labels, name, attribute->value, err));
            continue;
        }
        same->value = otlp_escapes(labels->settings->translation)
                          ? str_format(labels->arena, STR_FMT ";" STR_FMT, STR_ARG(same->value),
                                       STR_ARG(attribute->value))
                          : attribute->value;
        if (same->value.ptr == NULL) return out_of_memory(err);
    }
    return ERR_OK;
}
