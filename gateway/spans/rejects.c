#include "gateway/spans/rejects.h"

#include <stdio.h>

#include "common/base/telemetry.h"
#include "common/tenant/tenant.h"

static const char *const labels[SPAN_REJECT_COUNT] = {
#define X(name, label) label,
    SPAN_REJECT_REASONS(X)
#undef X
};

static void count(const char *name, const char *labels_text, const char *help, uint64_t n) {
    if (n > 0) counter_add(telemetry_counter(name, labels_text, help), n);
}

void span_rejects_report(const SpanRejects *rejects, Str tenant, uint64_t spans, uint64_t bytes) {
    char who[2 * TENANT_NAME_MAX + 16], both[sizeof who + 48];

    telemetry_label(who, sizeof who, "tenant", tenant);
    count("moraine_gateway_spans_total", who, "Spans accepted, by tenant.", spans);
    count("moraine_gateway_span_bytes_total", who, "Bytes of accepted spans as sent, by tenant.",
          bytes);
    for (int reason = 0; reason < SPAN_REJECT_COUNT; reason++) {
        snprintf(both, sizeof both, "%s,reason=\"%s\"", who, labels[reason]);
        count("moraine_gateway_rejected_spans_total", both, "Spans refused, by tenant and reason.",
              rejects->by_reason[reason]);
    }
}
