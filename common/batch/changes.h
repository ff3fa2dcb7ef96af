#pragma once
/*
 * changes.h: which times new data touched lately, tenant by tenant, so that who remembers answers
 * can tell which of them still hold.
 *
 * A write is noted when every reader sees it and before it is acknowledged. Who computes an answer
 * asks for a mark before it looks at any data: all that was noted up to the mark is in the answer,
 * and what comes after can be asked for. What this says is never too little; it may be too much: a
 * tenant's older ranges are joined when there are many, and tenants whose names hash alike share
 * them. So the memory is fixed, whoever sends what.
 *
 * Thread-safe. Of metrics only, so far: nobody remembers answers about logs.
 */
#include "common/base/str.h"

typedef struct Changes Changes;

enum { CHANGES_RANGES_MAX = 64 };

/* NULL: out of memory. */
Changes *changes_new(void);
void changes_free(Changes *changes); /* NULL is fine */
DEFINE_CLEANUP(Changes, changes_free)

/* Samples of the tenant in [min, max] came, went or changed. `changes` NULL: nobody cares. */
void changes_note(Changes *changes, Str tenant, int64_t min_ms, int64_t max_ms);
/* Anything of anybody may have changed. */
void changes_note_all(Changes *changes);

/* A tenant's place, for who cannot keep the name until it is time to note. */
uint32_t changes_slot(Str tenant);
void changes_note_slot(Changes *changes, uint32_t slot, int64_t min_ms, int64_t max_ms);

/* Grows with each note. */
uint64_t changes_mark(const Changes *changes);

typedef struct ChangedRange {
    int64_t min_ms; /* both inclusive */
    int64_t max_ms;
} ChangedRange;

/* What was touched after `mark`: ranges in no order, which may overlap. Returns how many. */
size_t changes_since(Changes *changes, Str tenant, uint64_t mark,
                     ChangedRange out[CHANGES_RANGES_MAX]);
