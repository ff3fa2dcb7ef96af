#include "gateway/logs/rejects.h"

#include <stdio.h>

#include "common/base/telemetry.h"
#include "common/tenant/tenant.h"

static const char *const labels[LOG_REJECT_COUNT] = {
#define X(name, label) label,
    LOG_REJECT_REASONS(X)
#undef X
};

static void count(const char *name, const char *labels_text, const char *help, uint64_t n) {
    if (n > 0) counter_add(telemetry_counter(name, labels_text, help), n);
}

void log_rejects_report(const LogRejects *rejects, Str tenant, uint64_t entries, uint64_t bytes) {
    char who[2 * TENANT_NAME_MAX + 16], both[sizeof who + 48];

    telemetry_label(who, sizeof who, "tenant", tenant);
    count("moraine_gateway_log_entries_total", who, "Log entries accepted, by tenant.", entries);
    count("moraine_gateway_log_bytes_total", who,
          "Bytes of accepted lines and structured metadata, by tenant.", bytes);
    count("moraine_gateway_log_entries_truncated_total", who,
          "Log entries whose line was cut to limits.log_line_bytes_max, by tenant.",
          rejects->truncated);
    for (int reason = 0; reason < LOG_REJECT_COUNT; reason++) {
        snprintf(both, sizeof both, "%s,reason=\"%s\"", who, labels[reason]);
        count("moraine_gateway_rejected_log_entries_total", both,
              "Log entries refused, by tenant and reason.", rejects->by_reason[reason]);
    }
}
