#include "gateway/otlp/resource.h"

enum { RESOURCE_ATTRIBUTES = 1 };

static const Str SERVICE_NAME = STR_INIT("service.name");
static const Str SERVICE_NAMESPACE = STR_INIT("service.namespace");
static const Str SERVICE_INSTANCE = STR_INIT("service.instance.id");

static bool identifying(Str key) {
    return str_equal(key, SERVICE_NAME) || str_equal(key, SERVICE_NAMESPACE) ||
           str_equal(key, SERVICE_INSTANCE);
}

static bool is_promoted(const OtlpSettings *settings, Str key) {
    for (size_t i = 0; i < settings->promoted_count; i++)
        if (str_equal(settings->promoted[i], key) || str_equal(settings->promoted[i], STR("*")))
            return true;
    return false;
}

static bool skip_unpromoted(const OtlpSettings *settings, Str key) {
    return !is_promoted(settings, key);
}

static bool skip_in_target(const OtlpSettings *settings, Str key) {
    return str_equal(key, STR("__name__")) || (!settings->keep_identifying && identifying(key));
}

ErrCode otlp_resource_init(OtlpResource *resource, const OtlpSettings *settings, Arena *arena,
                           Error *err) {
    *resource = (OtlpResource){0};
    return otlp_labels_init(&resource->promoted, settings, arena, err);
}

ErrCode otlp_resource_read(OtlpResource *resource, WireReader message, Error *err) {
    Arena *arena = resource->promoted.arena;
    Str name = STR(""), namespace = STR("");
    bool has_name = false, has_namespace = false, more;
    WireReader r = message;
    OtlpAttribute attribute;

    resource->message = message;
    resource->instance = resource->job = STR("");
    resource->attributes = 0;
    for (;;) {
        Str text;

        if (!otlp_next_attribute(&r, RESOURCE_ATTRIBUTES, &attribute, &more))
            return error_set(err, ERR_CORRUPT,
                             "the body is not protobuf: a resource can't be read");
        if (!more) break;
        if (!identifying(attribute.key)) {
            resource->attributes++;
            continue;
        }
        TRY(otlp_value_text(&attribute.value, arena, &text, err));
        if (str_equal(attribute.key, SERVICE_NAME)) {
            name = text;
            has_name = true;
        } else if (str_equal(attribute.key, SERVICE_INSTANCE)) {
            resource->instance = text;
        } else {
            namespace = text;
            has_namespace = true;
        }
    }
    resource->job = name;
    if (has_name && has_namespace)
        resource->job = str_format(arena, STR_FMT "/" STR_FMT, STR_ARG(namespace), STR_ARG(name));
    if (resource->job.ptr == NULL)
        return error_set(err, ERR_LIMIT, "no memory left for the resources of this request");
    otlp_labels_clear(&resource->promoted);
    if (resource->promoted.settings->promoted_count == 0) return ERR_OK;
    return otlp_labels_add(&resource->promoted, message, RESOURCE_ATTRIBUTES, skip_unpromoted, err);
}

static ErrCode identify(const OtlpResource *resource, OtlpLabels *labels, Error *err) {
    if (resource->job.len > 0) TRY(otlp_labels_set(labels, STR("job"), resource->job, err));
    if (resource->instance.len > 0)
        TRY(otlp_labels_set(labels, STR("instance"), resource->instance, err));
    return ERR_OK;
}

ErrCode otlp_resource_apply(const OtlpResource *resource, OtlpLabels *labels, Error *err) {
    for (size_t i = 0; i < resource->promoted.count; i++) {
        const LabelPair *pair = &resource->promoted.pairs[i];

        TRY(otlp_labels_default(labels, pair->name, pair->value, err));
    }
    return identify(resource, labels, err);
}

ErrCode otlp_resource_target(const OtlpResource *resource, OtlpLabels *labels, bool *any,
                             Error *err) {
    *any = resource->attributes > 0;
    otlp_labels_clear(labels);
    if (!*any) return ERR_OK;
    TRY(otlp_labels_add(labels, resource->message, RESOURCE_ATTRIBUTES, skip_in_target, err));
    TRY(identify(resource, labels, err));
    /* Without either of them nobody could join it. */
    *any = otlp_labels_get(labels, STR("job")).len > 0 ||
           otlp_labels_get(labels, STR("instance")).len > 0;
    return ERR_OK;
}
