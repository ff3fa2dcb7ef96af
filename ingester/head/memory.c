/*
 * memory.c: regions are reserved without access rights and opened in growing steps, so that an
 * array of any size never has to be copied, and a small head stays small.
 */
#include "ingester/head/memory.h"

#include <sys/mman.h>

enum { STEP_MIN = 16 << 10, STEP_MAX = 1 << 20 };

bool region_init(Region *region, size_t reserve, Budget *budget) {
    void *base = mmap(NULL, reserve, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (base == MAP_FAILED) return false;
    *region = (Region){.base = base, .reserved = reserve, .budget = budget};
    return true;
}

void region_done(Region *region) {
    if (region->base == NULL) return;
    munmap(region->base, region->reserved);
    budget_give(region->budget, region->committed);
    *region = (Region){0};
}

bool region_commit_slow(Region *region, size_t bytes, bool force) {
    size_t step = MIN(MAX(region->committed / 8, (size_t)STEP_MIN), (size_t)STEP_MAX);
    size_t to = ALIGN_UP(MAX(bytes, region->committed + step), STEP_MIN), more;

    if (bytes > region->reserved) return false;
    to = MIN(to, region->reserved);
    more = to - region->committed;
    if (force)
        budget_force(region->budget, more);
    else if (!budget_take(region->budget, more))
        return false;
    if (mprotect(region->base + region->committed, more, PROT_READ | PROT_WRITE) != 0) {
        budget_give(region->budget, more);
        return false;
    }
    region->committed = to;
    return true;
}

Str text_add(Text *text, Str s) {
    char *at = text->region.base + text->used;

    if (!region_commit(&text->region, text->used + s.len, false)) return (Str){NULL, 0};
    if (s.len > 0) memcpy(at, s.ptr, s.len);
    text->used += s.len;
    return (Str){at, s.len};
}
