#pragma once
/*
 * known.h: which series this process has already checked, so that their labels need no second look.
 *
 * A bounded set of 128-bit keys that may forget: a key that is missing costs one more check, never
 * a wrong answer. Of a key, one half chooses a cache line of eight tags and the other half is the
 * tag; the keys are seeded hashes, so that nobody outside can make two meet. What was checked under
 * older limits (tenants_generation) is not found any more.
 *
 * Thread-safe. Looking up takes no lock and writes nothing; it costs one cache line.
 */
#include "common/base/budget.h"
#include "common/base/hash.h"

typedef struct KnownSeries KnownSeries;

/* Begins small and doubles up to `bytes_max` (8 bytes a series) as long as `budget`, which may be
 * NULL and is borrowed, has room. NULL: out of memory. */
KnownSeries *known_new(size_t bytes_max, Budget *budget);
void known_free(KnownSeries *known); /* NULL is fine */
DEFINE_CLEANUP(KnownSeries, known_free)

void known_prefetch(const KnownSeries *known, Hash128 key);
bool known_has(const KnownSeries *known, Hash128 key, uint64_t generation);
void known_add(KnownSeries *known, Hash128 key, uint64_t generation);

size_t known_bytes(const KnownSeries *known); /* memory held */
