#pragma once
/*
 * resource.h: what a resource gives to the series of its metrics: job, instance, the attributes
 * that are promoted to labels, and target_info, which has the rest.
 */
#include "gateway/otlp/labels.h"

typedef struct OtlpResource {
    WireReader message; /* Resource; at its end where there is none */
    Str job;            /* service.namespace/service.name; empty: none */
    Str instance;       /* service.instance.id */
    OtlpLabels promoted;
    size_t attributes; /* that aren't identifying */
} OtlpResource;

MUST_USE ErrCode otlp_resource_init(OtlpResource *resource, const OtlpSettings *settings,
                                    Arena *arena, Error *err);
/* Takes over the next resource. Errors as otlp_labels_add()'s. */
MUST_USE ErrCode otlp_resource_read(OtlpResource *resource, WireReader message, Error *err);
/* Adds to a data point's own labels what its resource gives. */
MUST_USE ErrCode otlp_resource_apply(const OtlpResource *resource, OtlpLabels *labels, Error *err);
/* target_info's labels, without its name. *any: false when it would say nothing. */
MUST_USE ErrCode otlp_resource_target(const OtlpResource *resource, OtlpLabels *labels, bool *any,
                                      Error *err);
