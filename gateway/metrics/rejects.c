#include "gateway/metrics/rejects.h"

#include <stdio.h>

#include "common/base/telemetry.h"
#include "common/tenant/tenant.h"

static const char *const labels[REJECT_COUNT] = {
#define X(name, label) label,
    REJECT_REASONS(X)
#undef X
};

const char *reject_label(RejectReason reason) {
    assert(reason >= 0 && reason < REJECT_COUNT);
    return labels[reason];
}

void rejects_report(const Rejects *rejects, Str tenant, uint64_t accepted) {
    char who[2 * TENANT_NAME_MAX + 16], both[sizeof who + 48];

    telemetry_label(who, sizeof who, "tenant", tenant);
    if (accepted > 0)
        counter_add(telemetry_counter("moraine_gateway_samples_total", who,
                                      "Samples and histograms accepted, by tenant."),
                    accepted);
    for (int reason = 0; reason < REJECT_COUNT; reason++) {
        if (rejects->by_reason[reason] == 0) continue;
        snprintf(both, sizeof both, "%s,reason=\"%s\"", who, labels[reason]);
        counter_add(telemetry_counter("moraine_gateway_rejected_samples_total", both,
                                      "Samples, histograms, exemplars and metadata refused, by "
                                      "tenant and reason."),
                    rejects->by_reason[reason]);
    }
}
