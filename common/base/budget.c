#include "common/base/budget.h"

void budget_init(Budget *budget, const char *name, size_t limit, Budget *parent) {
    budget->name = name;
    budget->parent = parent;
    atomic_init(&budget->limit, limit);
    atomic_init(&budget->used, 0);
    atomic_init(&budget->peak, 0);
}

static void note_peak(Budget *budget, size_t used) {
    size_t peak = atomic_load_explicit(&budget->peak, memory_order_relaxed);

    while (used > peak &&
           !atomic_compare_exchange_weak_explicit(&budget->peak, &peak, used, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

static bool take_one(Budget *budget, size_t bytes) {
    size_t limit = atomic_load_explicit(&budget->limit, memory_order_relaxed);
    size_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);

    do {
        if (bytes > SIZE_MAX - used) return false;
        if (limit != 0 && used + bytes > limit) return false;
    } while (!atomic_compare_exchange_weak_explicit(&budget->used, &used, used + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    note_peak(budget, used + bytes);
    return true;
}

bool budget_take(Budget *budget, size_t bytes) {
    for (Budget *b = budget; b != NULL; b = b->parent)
        if (!take_one(b, bytes)) {
            for (Budget *taken = budget; taken != b; taken = taken->parent)
                atomic_fetch_sub_explicit(&taken->used, bytes, memory_order_relaxed);
            return false;
        }
    return true;
}

void budget_force(Budget *budget, size_t bytes) {
    for (Budget *b = budget; b != NULL; b = b->parent)
        note_peak(b, atomic_fetch_add_explicit(&b->used, bytes, memory_order_relaxed) + bytes);
}

void budget_give(Budget *budget, size_t bytes) {
    for (Budget *b = budget; b != NULL; b = b->parent) {
        size_t before = atomic_fetch_sub_explicit(&b->used, bytes, memory_order_relaxed);

        assert(before >= bytes);
        (void)before;
    }
}

size_t budget_room(const Budget *budget) {
    size_t room = SIZE_MAX;

    for (; budget != NULL; budget = budget->parent) {
        size_t limit =
            atomic_load_explicit(&((Budget *)(uintptr_t)budget)->limit, memory_order_relaxed);

        if (limit != 0) room = MIN(room, limit - MIN(limit, budget_used(budget)));
    }
    return room;
}
