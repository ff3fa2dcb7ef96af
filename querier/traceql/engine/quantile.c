#include <math.h>

#include "querier/traceql/engine/metrics.h"

double metric_bucket(uint64_t value) {
    return value < 2 ? -1 : exp2(64 - __builtin_clzll(value - 1));
}

double metric_quantile(double q, const MetricBucket *buckets, size_t count) {
    uint64_t total = 0, wanted, passed = 0;
    size_t at = 0;
    double high, low;

    for (size_t i = 0; i < count; i++) total += buckets[i].count;
    if (total == 0 || !(q >= 0 && q <= 1)) return 0;
    wanted = MAX((uint64_t)ceil(q * (double)total), 1);
    for (; at + 1 < count && passed + buckets[at].count <= wanted; at++) {
        passed += buckets[at].count;
        if (passed == wanted) return buckets[at].max;
    }
    if (passed + buckets[at].count <= wanted) return buckets[at].max;
    /* Between two bounds values are taken to grow exponentially. */
    high = log2(buckets[at].max);
    low = at > 0 ? log2(buckets[at - 1].max) : high - 1;
    return exp2(low + (high - low) * ((double)(wanted - passed) / (double)buckets[at].count));
}
