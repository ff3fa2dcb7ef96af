#include "gateway/otlp/settings.h"

#include <stdlib.h>

/* What Loki makes labels of by default: what a service is and where it runs. */
static const char stream_labels[] =
    "service.name,service.namespace,service.instance.id,deployment.environment,"
    "deployment.environment.name,cloud.region,cloud.availability_zone,k8s.cluster.name,"
    "k8s.namespace.name,k8s.pod.name,k8s.container.name,container.name,k8s.replicaset.name,"
    "k8s.deployment.name,k8s.statefulset.name,k8s.daemonset.name,k8s.cronjob.name,k8s.job.name";

static ErrCode split(Str list, const Str **out, size_t *out_count, Error *err) {
    size_t count = 1, kept = 0;
    Str *names;

    for (size_t i = 0; i < list.len; i++) count += list.ptr[i] == ',';
    names = calloc(count, sizeof *names);
    if (names == NULL) return error_set(err, ERR_LIMIT, "gateway: out of memory");
    while (list.len > 0) {
        Str name;

        str_cut(list, ',', &name, &list);
        name = str_trim(name);
        if (name.len > 0) names[kept++] = name;
    }
    *out = names;
    *out_count = kept;
    return ERR_OK;
}

ErrCode otlp_settings_init(OtlpSettings *settings, const GatewayOtlp *options, Error *err) {
    Str labels = options->stream_labels.len > 0 ? options->stream_labels : str_of(stream_labels);

    *settings = (OtlpSettings){
        .translation = (OtlpTranslation)options->translation,
        .no_target_info = options->no_target_info,
        .keep_identifying = options->keep_identifying,
        .scope_labels = options->scope_labels,
        .custom_buckets = options->custom_buckets,
        .keep_delta = options->keep_delta,
    };
    TRY(split(options->promoted, &settings->promoted, &settings->promoted_count, err));
    return split(labels, &settings->stream_labels, &settings->stream_label_count, err);
}

void otlp_settings_done(OtlpSettings *settings) {
    free((void *)settings->promoted);
    free((void *)settings->stream_labels);
}
