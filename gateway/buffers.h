#pragma once
/*
 * buffers.h: large buffers that are used again, for bodies while they are decompressed and decoded.
 *
 * A body of 2,000 samples inflates to 750 KB. Taking that from the system for each request and
 * giving it back costs more in page faults than decompressing it does. Thread-safe.
 */
#include "common/base/budget.h"

typedef struct Buffers Buffers;

/* Keeps up to `idle_bytes_max` for the next request. `budget` (NULL for none, borrowed) is charged
 * for what is in use and for what is kept. NULL: out of memory. */
Buffers *buffers_new(size_t idle_bytes_max, Budget *budget);
void buffers_free(Buffers *buffers); /* NULL is fine; all must have been given back */
DEFINE_CLEANUP(Buffers, buffers_free)

/* At least `bytes`, aligned to 16, not zeroed. NULL: the budget or the memory is used up. */
char *buffers_take(Buffers *buffers, size_t bytes);
void buffers_give(Buffers *buffers, char *buffer);
/* The same, for who only knows the buffer: fit for arena_on_free(). */
void buffers_give_back(void *buffer);
