/*
 * query.c: whether a query should go on.
 */
#include "common/base/clock.h"
#include "querier/exec/series.h"

ErrCode query_check(const QueryContext *query, Error *err) {
    if (query->cancelled != NULL && atomic_load_explicit(query->cancelled, memory_order_relaxed))
        return error_set(err, ERR_CANCELLED, "query was canceled");
    if (query->deadline_ns != 0 && clock_monotonic_ns(clock_system()) > query->deadline_ns)
        return error_set(err, ERR_TIMEOUT, "query timed out");
    return ERR_OK;
}
