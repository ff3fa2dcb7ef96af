#pragma once
/*
 * arena.h: memory that goes all at once, with a budget. One per request, query and flush.
 *
 * Not thread-safe: one owner at a time. Running out returns NULL, from a NULL arena as well, so a
 * chain of allocations may check its last link only.
 */
#include "common/base/base.h"
#include "common/base/budget.h"

typedef struct Arena Arena;

/* bytes_max: the most this arena ever holds, 0 for no limit of its own. Two more ways to run out:
 * `budget`, when given, is charged for every block (borrowed: must outlive the arena), and malloc.
 */
Arena *arena_new(size_t bytes_max, Budget *budget);
void arena_free(Arena *arena); /* runs the cleanups, newest first; NULL is fine */
DEFINE_CLEANUP(Arena, arena_free)

/* Frees everything, keeps one block for the next round, and with arena_keep() more. */
void arena_reset(Arena *arena);
/* From now on resets hold on to blocks of up to `bytes` together: for rounds that come often and
 * need much, which would spend their time in the kernel. They stay charged to the budget, and go
 * when it has nothing else. */
void arena_keep(Arena *arena, size_t bytes);

void *arena_alloc(Arena *arena, size_t bytes);                 /* aligned to 16, not zeroed */
void *arena_alloc_bytes(Arena *arena, size_t bytes);           /* not aligned: for text */
void *arena_zalloc(Arena *arena, size_t bytes);                /* zeroed */
void *arena_array(Arena *arena, size_t count, size_t element); /* zeroed; NULL on overflow */
/* Grows the newest allocation in place where it can, else moves it. */
void *arena_grow(Arena *arena, void *old, size_t old_bytes, size_t new_bytes);

#define ARENA_NEW(arena, Type) ((Type *)arena_zalloc((arena), sizeof(Type)))
#define ARENA_ARRAY(arena, Type, count) ((Type *)arena_array((arena), (count), sizeof(Type)))

/* Runs release(what) when the arena goes: for guests that are not memory. False: out of memory,
 * and nothing was registered. */
MUST_USE bool arena_on_free(Arena *arena, void (*release)(void *what), void *what);

size_t arena_used(const Arena *arena);    /* bytes handed out */
size_t arena_held(const Arena *arena);    /* bytes taken from the budget */
Budget *arena_budget(const Arena *arena); /* what it was made with: for an arena beside this one */
