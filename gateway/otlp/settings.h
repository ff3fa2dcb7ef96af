#pragma once
/*
 * settings.h: how OTLP is mapped to metrics and logs: the `otlp.` settings.
 */
#include "gateway/gateway.h"
#include "gateway/otlp/names.h"

typedef struct OtlpSettings {
    OtlpTranslation translation;
    const Str *promoted; /* resource attributes that become labels of each series; "*": all */
    size_t promoted_count;
    const Str *stream_labels; /* resource attributes that become labels of log streams */
    size_t stream_label_count;
    bool no_target_info;
    bool keep_identifying; /* target_info has service.name and its like as labels, too */
    bool scope_labels;     /* each series has otel_scope_name and so on */
    bool custom_buckets;   /* explicit histograms become native ones with custom buckets */
    bool keep_delta;       /* delta temporality is stored as it comes instead of refused */
} OtlpSettings;

/* Texts are borrowed from `options`. ERR_LIMIT: out of memory. */
MUST_USE ErrCode otlp_settings_init(OtlpSettings *settings, const GatewayOtlp *options, Error *err);
void otlp_settings_done(OtlpSettings *settings);
