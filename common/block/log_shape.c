/*
 * log_shape.c: a table of templates by what they read. Seeded at random, so that nobody can write
 * lines whose templates are taken for others.
 */
#include "common/block/log_shape.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/random.h"
#include "common/block/log_text.h"

/* Of memory that is left, each of many threads may hold a part. */
enum { SLOTS_MIN = 256, KEPT_BYTES_MIN = 1 << 20, KEPT_BYTES_MAX = 24 << 20, KEPT_PART = 32 };

typedef struct Entry {
    Hash128 hash;
    LogShape *shape; /* NULL: free */
} Entry;

struct LogShapes {
    Arena *arena;
    Entry *slots;
    size_t mask;
    size_t count;
    uint64_t seed;
};

LogShapes *log_shapes_new(Budget *budget) {
    LogShapes *s = calloc(1, sizeof *s);

    if (s == NULL) return NULL;
    s->seed = random_u64();
    s->arena = arena_new(0, budget);
    s->slots = calloc(SLOTS_MIN, sizeof *s->slots);
    s->mask = SLOTS_MIN - 1;
    if (s->arena != NULL && s->slots != NULL) return s;
    log_shapes_free(s);
    return NULL;
}

void log_shapes_free(LogShapes *s) {
    if (s == NULL) return;
    arena_free(s->arena);
    free(s->slots);
    free(s);
}

bool log_shapes_begin(LogShapes *s) {
    size_t room = budget_room(arena_budget(s->arena)) / KEPT_PART;

    if (arena_used(s->arena) < MIN(MAX(room, (size_t)KEPT_BYTES_MIN), (size_t)KEPT_BYTES_MAX))
        return false;
    memset(s->slots, 0, (s->mask + 1) * sizeof *s->slots);
    s->count = 0;
    arena_reset(s->arena);
    return true;
}

Arena *log_shapes_arena(LogShapes *s) {
    return s->arena;
}

/* ---------- parts ---------- */

bool log_template_part(Str *text, Str *constant, uint8_t *type, uint8_t *param) {
    const char *mark = text->len == 0 ? NULL : memchr(text->ptr, LOG_MARK, text->len);
    size_t before = mark == NULL ? text->len : (size_t)(mark - text->ptr);

    *constant = str_slice(*text, 0, before);
    *text = str_from(*text, before);
    *type = 0;
    if (text->len == 0) return true;
    if (text->len < 2) return false;
    if (text->ptr[1] == 0) {
        constant->len++; /* the mark itself */
        *text = str_from(*text, 2);
        return true;
    }
    if (text->len < 3) return false;
    *type = (uint8_t)text->ptr[1];
    *param = (uint8_t)text->ptr[2];
    *text = str_from(*text, 3);
    return log_var_is_known(*type, *param);
}

static uint8_t kind_of(uint8_t type) {
    return type == LOG_VAR_NUMBER || type == LOG_VAR_DIGITS || type == LOG_VAR_POINT
               ? LOG_PART_NUMBER
               : LOG_PART_WORD;
}

static ErrCode make_parts(LogShapes *s, Str text, LogShape *shape, Error *err) {
    size_t room = 2 * (size_t)shape->slot_count + 1, n = 0;
    uint8_t *types = arena_alloc(s->arena, 2 * (size_t)shape->slot_count + 1);
    LogShapePart *parts;
    uint32_t slot = 0;

    for (const char *p = text.ptr, *end = text.ptr + text.len; p < end; p++) room += *p == LOG_MARK;
    parts = arena_alloc(s->arena, room * sizeof *parts);
    if (parts == NULL || types == NULL) return log_page_no_memory(err);
    while (text.len > 0) {
        Str constant;
        uint8_t type, param = 0;

        if (!log_template_part(&text, &constant, &type, &param))
            return log_page_corrupt(err, "a bad template");
        if (constant.len > 0)
            parts[n++] = (LogShapePart){.at = (uint32_t)(constant.ptr - shape->text),
                                        .length = (uint32_t)constant.len};
        if (type == 0) continue;
        if (slot == shape->slot_count) return log_page_corrupt(err, "a bad template");
        types[2 * slot] = type;
        types[2 * slot + 1] = param;
        parts[n++] = (LogShapePart){.kind = kind_of(type), .slot = (uint16_t)slot++};
    }
    if (slot != shape->slot_count) return log_page_corrupt(err, "a bad template");
    shape->parts = parts;
    shape->slot_types = types;
    shape->part_count = (uint32_t)n;
    return ERR_OK;
}

/* ---------- the table ---------- */

static Entry *find(Entry *slots, size_t mask, Hash128 hash) {
    size_t at = hash.low & mask;

    while (slots[at].shape != NULL &&
           (slots[at].hash.low != hash.low || slots[at].hash.high != hash.high))
        at = (at + 1) & mask;
    return &slots[at];
}

static bool grow(LogShapes *s) {
    size_t mask = s->mask * 2 + 1;
    Entry *slots;

    if (s->count * 2 <= s->mask) return true;
    slots = calloc(mask + 1, sizeof *slots);
    if (slots == NULL) return false;
    for (size_t i = 0; i <= s->mask; i++) {
        if (s->slots[i].shape != NULL) *find(slots, mask, s->slots[i].hash) = s->slots[i];
    }
    free(s->slots);
    s->slots = slots;
    s->mask = mask;
    return true;
}

ErrCode log_shapes_get(LogShapes *s, Str text, uint32_t slot_count, LogShape **out, Error *err) {
    Hash128 hash = hash_bytes_128(text.ptr, text.len, s->seed);
    Entry *entry = find(s->slots, s->mask, hash);
    LogShape *shape = entry->shape;

    if (LIKELY(shape != NULL)) {
        if (shape->slot_count != slot_count) return log_page_corrupt(err, "a bad template");
        *out = shape;
        return ERR_OK;
    }
    if (!grow(s)) return log_page_no_memory(err);
    text = str_dup(s->arena, text);
    shape = ARENA_NEW(s->arena, LogShape);
    if (text.ptr == NULL || shape == NULL) return log_page_no_memory(err);
    shape->slot_count = slot_count;
    shape->text = text.ptr;
    TRY(make_parts(s, text, shape, err));
    *find(s->slots, s->mask, hash) = (Entry){hash, shape};
    s->count++;
    *out = shape;
    return ERR_OK;
}
