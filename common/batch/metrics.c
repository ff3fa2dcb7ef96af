/* metrics.c: names of metric types, as /api/v1/metadata and OpenMetrics spell them. */
#include "common/batch/metrics.h"

const char *metric_type_name(MetricType type) {
    switch (type) {
    case METRIC_COUNTER:
        return "counter";
    case METRIC_GAUGE:
        return "gauge";
    case METRIC_HISTOGRAM:
        return "histogram";
    case METRIC_GAUGE_HISTOGRAM:
        return "gaugehistogram";
    case METRIC_SUMMARY:
        return "summary";
    case METRIC_INFO:
        return "info";
    case METRIC_STATESET:
        return "stateset";
    case METRIC_UNKNOWN:
        break;
    }
    return "unknown";
}
