#pragma once
/*
 * budget.h: who may hold how much memory. A tree of counters; taking from one takes from its
 * parents as well. Thread-safe, lock-free.
 */
#include "common/base/base.h"

#ifdef __cplusplus
typedef struct Budget Budget; /* the few C++ files only pass it on */
#else
#include <stdatomic.h>

typedef struct Budget {
    const char *name; /* "bodies", "heads", "queries": shown on /metrics and in errors */
    struct Budget *parent;
    _Atomic size_t limit; /* bytes; 0 for none */
    _Atomic size_t used;
    _Atomic size_t peak;
} Budget;

void budget_init(Budget *budget, const char *name, size_t limit, Budget *parent);
/* False, and nothing taken, when this one or a parent would be over its limit. */
MUST_USE bool budget_take(Budget *budget, size_t bytes);
/* Takes even when over the limit: for what already exists and only moved. */
void budget_force(Budget *budget, size_t bytes);
void budget_give(Budget *budget, size_t bytes);
/* What could be taken now, from this one and its parents; SIZE_MAX: there is no limit. NULL has
 * none. */
size_t budget_room(const Budget *budget);
static inline size_t budget_used(const Budget *budget) {
    return atomic_load_explicit(&((Budget *)budget)->used, memory_order_relaxed);
}
#endif
