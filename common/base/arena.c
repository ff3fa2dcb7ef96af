/*
 * arena.c: bump allocation in blocks that double from 4 KiB to 1 MiB. What is larger than a block
 * has one of its own. Large blocks are mapped, so that they go back to the system at once. Under
 * ASan what isn't handed out is poisoned, so that use after a reset or past an allocation is seen.
 */
#include "common/base/arena.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISONS 1
#endif
#endif

#ifdef ARENA_POISONS
#include <sanitizer/asan_interface.h>
#define POISON(at, bytes) ASAN_POISON_MEMORY_REGION((at), (bytes))
#define UNPOISON(at, bytes) ASAN_UNPOISON_MEMORY_REGION((at), (bytes))
#else
#define POISON(at, bytes) ((void)(at), (void)(bytes))
#define UNPOISON(at, bytes) ((void)(at), (void)(bytes))
#endif

enum { BLOCK_BYTES_MIN = 4 << 10, BLOCK_BYTES_MAX = 1 << 20, MAPPED_BYTES_MIN = 256 << 10 };

/* More than any machine has, and far enough from SIZE_MAX that no sum here wraps around. */
static const size_t ARENA_BYTES_MAX = SIZE_MAX / 2;

typedef struct Block Block;
struct Block {
    Block *next;
    size_t bytes; /* of the whole block, this head included */
    size_t used;
    size_t pad; /* data starts aligned to 16 */
};

typedef struct Guest {
    struct Guest *next;
    void (*release)(void *what);
    void *what;
} Guest;

struct Arena {
    Block *blocks; /* the current one first; only it has room that is still handed out */
    char *newest;  /* start of the newest allocation of the current block, else NULL */
    Guest *guests;
    Budget *budget;
    size_t bytes_max;
    size_t held;
    size_t used;
    size_t next_bytes;
    Block *spare; /* kept from the last round; never more than keep_bytes */
    size_t spare_bytes;
    size_t keep_bytes;
};

Arena *arena_new(size_t bytes_max, Budget *budget) {
    Arena *arena = calloc(1, sizeof *arena);

    if (arena == NULL) return NULL;
    arena->bytes_max = bytes_max;
    arena->budget = budget;
    arena->next_bytes = BLOCK_BYTES_MIN;
    return arena;
}

static void block_free(Arena *arena, Block *block) {
    size_t bytes = block->bytes;

    UNPOISON(block, bytes);
    if (bytes >= MAPPED_BYTES_MIN)
        munmap(block, bytes);
    else
        free(block);
    arena->held -= bytes;
    if (arena->budget != NULL) budget_give(arena->budget, bytes);
}

static void free_spare(Arena *arena) {
    while (arena->spare != NULL) {
        Block *block = arena->spare;

        arena->spare = block->next;
        block_free(arena, block);
    }
    arena->spare_bytes = 0;
}

/* A kept block that is large enough and not far too large; NULL: there is none. */
static Block *take_spare(Arena *arena, size_t bytes) {
    for (Block **at = &arena->spare; *at != NULL; at = &(*at)->next) {
        Block *block = *at;

        if (block->bytes < bytes || block->bytes / 2 > bytes) continue;
        *at = block->next;
        arena->spare_bytes -= block->bytes;
        block->next = NULL;
        return block;
    }
    return NULL;
}

static bool take_room(Arena *arena, size_t bytes) {
    if (arena->bytes_max != 0 && bytes > arena->bytes_max - MIN(arena->held, arena->bytes_max))
        return false;
    return arena->budget == NULL || budget_take(arena->budget, bytes);
}

static Block *block_new(Arena *arena, size_t bytes) {
    Block *block = take_spare(arena, bytes);

    if (block != NULL) return block;
    if (!take_room(arena, bytes)) {
        if (arena->spare == NULL) return NULL;
        free_spare(arena);
        if (!take_room(arena, bytes)) return NULL;
    }
    if (bytes >= MAPPED_BYTES_MIN) {
        block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED) block = NULL;
    } else {
        block = malloc(bytes);
    }
    if (block == NULL) {
        if (arena->budget != NULL) budget_give(arena->budget, bytes);
        return NULL;
    }
    block->next = NULL;
    block->bytes = bytes;
    block->used = sizeof *block;
    POISON(block + 1, bytes - sizeof *block);
    arena->held += bytes;
    return block;
}

static void run_guests(Arena *arena) {
    /* A guest may sit in a block, so blocks go after all of them. */
    while (arena->guests != NULL) {
        Guest *guest = arena->guests;

        arena->guests = guest->next;
        guest->release(guest->what);
    }
}

void arena_free(Arena *arena) {
    if (arena == NULL) return;
    run_guests(arena);
    while (arena->blocks != NULL) {
        Block *block = arena->blocks;

        arena->blocks = block->next;
        block_free(arena, block);
    }
    free_spare(arena);
    free(arena);
}

void arena_keep(Arena *arena, size_t bytes) {
    arena->keep_bytes = bytes;
    if (arena->spare_bytes > bytes) free_spare(arena);
}

static void clear_block(Block *block) {
    block->used = sizeof *block;
    POISON(block + 1, block->bytes - sizeof *block);
}

void arena_reset(Arena *arena) {
    Block *kept = NULL;

    run_guests(arena);
    while (arena->blocks != NULL) {
        Block *block = arena->blocks;

        arena->blocks = block->next;
        /* Keep one of a usual size: an outsized one would be held for nothing. */
        if (kept == NULL && block->bytes <= BLOCK_BYTES_MAX) {
            kept = block;
            continue;
        }
        if (block->bytes > arena->keep_bytes - arena->spare_bytes) {
            block_free(arena, block);
            continue;
        }
        clear_block(block);
        block->next = arena->spare;
        arena->spare = block;
        arena->spare_bytes += block->bytes;
    }
    if (kept != NULL) {
        kept->next = NULL;
        clear_block(kept);
    }
    arena->blocks = kept;
    arena->newest = NULL;
    arena->used = 0;
}

static void *take(Arena *arena, Block *block, size_t bytes) {
    char *at = (char *)block + block->used;

    block->used += bytes;
    arena->used += bytes;
    UNPOISON(at, bytes);
    return at;
}

/* What is large has a block of its own, behind the current one, which still has room. */
static void *alloc_apart(Arena *arena, size_t need) {
    Block *block = block_new(arena, need >= MAPPED_BYTES_MIN ? ALIGN_UP(need, 4096) : need);

    if (block == NULL) return NULL;
    if (arena->blocks == NULL) {
        arena->blocks = block;
        arena->newest = (char *)(block + 1);
    } else {
        block->next = arena->blocks->next;
        arena->blocks->next = block;
    }
    return take(arena, block, need - sizeof *block);
}

static void *alloc_in_new_block(Arena *arena, size_t bytes) {
    size_t need = bytes + sizeof(Block);
    Block *block = NULL;

    if (bytes > ARENA_BYTES_MAX) return NULL;
    if (need > arena->next_bytes / 2) return alloc_apart(arena, need);
    /* Near the limit there may be room for a smaller block, and what was asked for is small. */
    for (size_t size = arena->next_bytes; block == NULL && size >= need; size /= 2)
        block = block_new(arena, size);
    if (block == NULL) return alloc_apart(arena, need);
    if (block->bytes == arena->next_bytes && arena->next_bytes < BLOCK_BYTES_MAX)
        arena->next_bytes *= 2;
    block->next = arena->blocks;
    arena->blocks = block;
    arena->newest = (char *)(block + 1);
    return take(arena, block, bytes);
}

void *arena_alloc_bytes(Arena *arena, size_t bytes) {
    Block *block;

    if (arena == NULL) return NULL;
    block = arena->blocks;
    if (block == NULL || bytes > block->bytes - block->used)
        return alloc_in_new_block(arena, bytes);
    arena->newest = (char *)block + block->used;
    return take(arena, block, bytes);
}

void *arena_alloc(Arena *arena, size_t bytes) {
    Block *block;

    if (arena == NULL || bytes > ARENA_BYTES_MAX) return NULL;
    block = arena->blocks;
    if (block != NULL) block->used = MIN(ALIGN_UP(block->used, 16), block->bytes);
    return arena_alloc_bytes(arena, bytes);
}

void *arena_zalloc(Arena *arena, size_t bytes) {
    void *at = arena_alloc(arena, bytes);

    /* Fresh mappings are zero, but a block kept by a reset is not: always clear. */
    if (at != NULL) memset(at, 0, bytes);
    return at;
}

void *arena_array(Arena *arena, size_t count, size_t element) {
    size_t bytes;

    if (__builtin_mul_overflow(count, element, &bytes)) return NULL;
    return arena_zalloc(arena, bytes);
}

void *arena_grow(Arena *arena, void *old, size_t old_bytes, size_t new_bytes) {
    void *moved;

    if (arena == NULL || new_bytes > ARENA_BYTES_MAX) return NULL;
    if (old != NULL && new_bytes <= old_bytes) return old;
    /* What holds nothing may share its address with what came after it. */
    if (old != NULL && old_bytes > 0 && old == arena->newest) {
        Block *block = arena->blocks;
        size_t start = (size_t)((char *)old - (char *)block);

        if (new_bytes <= block->bytes - start) {
            /* Padding behind it may already reach further than it grows to. */
            size_t end = MAX(block->used, start + new_bytes);

            UNPOISON(old, new_bytes);
            arena->used += end - block->used;
            block->used = end;
            return old;
        }
    }
    moved = arena_alloc(arena, new_bytes);
    if (moved != NULL && old != NULL) memcpy(moved, old, old_bytes);
    return moved;
}

bool arena_on_free(Arena *arena, void (*release)(void *what), void *what) {
    Guest *guest = arena_alloc(arena, sizeof *guest);

    if (guest == NULL) return false;
    *guest = (Guest){arena->guests, release, what};
    arena->guests = guest;
    return true;
}

size_t arena_used(const Arena *arena) {
    return arena->used;
}

size_t arena_held(const Arena *arena) {
    return arena->held;
}

Budget *arena_budget(const Arena *arena) {
    return arena->budget;
}
