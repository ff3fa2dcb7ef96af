/*
 * range_table.c: a thread's series and what was counted for them so far.
 */
#include "common/base/hash.h"
#include "querier/logql/engine/range.h"

typedef struct Bytes {
    uint64_t count;
    uint64_t bytes;
} Bytes;

static size_t element_bytes(const RangePlan *plan) {
    return plan->kind == RANGE_COUNT   ? sizeof(uint64_t)
           : plan->kind == RANGE_BYTES ? sizeof(Bytes)
                                       : sizeof(RangeFold);
}

bool range_table_init(RangeTable *table, const RangePlan *plan, Arena *arena) {
    *table = (RangeTable){.plan = plan, .arena = arena, .mask = 63};
    table->slots = ARENA_ARRAY(arena, uint32_t, table->mask + 1);
    return table->slots != NULL;
}

/* ---- keys ---- */

static void append_text(Buf *key, Str text) {
    uint32_t len = (uint32_t)text.len;

    buf_append(key, &len, sizeof len);
    buf_append_str(key, text);
}

void range_key_add(Buf *key, LabelPair pair) {
    append_text(key, pair.name);
    append_text(key, pair.value);
}

static Str take_text(Str *rest) {
    uint32_t len;
    Str text;

    memcpy(&len, rest->ptr, sizeof len);
    text = str_slice(*rest, sizeof len, len);
    *rest = str_from(*rest, sizeof len + len);
    return text;
}

bool range_key_next(Str *rest, LabelPair *out) {
    if (rest->len == 0) return false;
    out->name = take_text(rest);
    out->value = take_text(rest);
    return true;
}

/* ---- finding ---- */

static size_t slot_of(const RangeTable *table, Str key, uint64_t hash) {
    size_t at = hash & table->mask;

    for (; table->slots[at] != 0; at = (at + 1) & table->mask) {
        const RangeSeries *series = &table->series[table->slots[at] - 1];

        if (series->hash == hash && str_equal(series->key, key)) break;
    }
    return at;
}

static bool grow_slots(RangeTable *table) {
    size_t mask = table->mask * 2 + 1;
    uint32_t *slots = ARENA_ARRAY(table->arena, uint32_t, mask + 1);

    if (slots == NULL) return false;
    for (size_t i = 0; i < table->count; i++) {
        size_t at = table->series[i].hash & mask;

        while (slots[at] != 0) at = (at + 1) & mask;
        slots[at] = (uint32_t)i + 1;
    }
    table->slots = slots;
    table->mask = mask;
    return true;
}

static bool grow_series(RangeTable *table) {
    size_t more = MAX(table->capacity * 2, 16);
    RangeSeries *series;

    if (table->count < table->capacity) return true;
    series = arena_grow(table->arena, table->series, table->capacity * sizeof *series,
                        more * sizeof *series);
    if (series == NULL) return false;
    table->series = series;
    table->capacity = more;
    return true;
}

RangeSeries *range_table_find(RangeTable *table, Str key) {
    uint64_t hash = hash_str(key);
    size_t at = slot_of(table, key, hash);
    size_t blocks = (table->plan->grid.steps + RANGE_BLOCK_STEPS - 1) / RANGE_BLOCK_STEPS;
    RangeSeries *series;

    if (table->slots[at] != 0) return &table->series[table->slots[at] - 1];
    if (!grow_series(table)) return NULL;
    series = &table->series[table->count];
    *series = (RangeSeries){.key = str_dup(table->arena, key), .hash = hash};
    if (table->plan->kind != RANGE_SAMPLES)
        series->blocks = ARENA_ARRAY(table->arena, void *, blocks);
    if (series->key.ptr == NULL || (series->blocks == NULL && table->plan->kind != RANGE_SAMPLES))
        return NULL;
    table->slots[at] = (uint32_t)++table->count;
    if (table->count * 2 > table->mask && !grow_slots(table)) return NULL;
    return series;
}

/* ---- adding ---- */

static void *element_at(RangeTable *table, RangeSeries *series, size_t step) {
    void **block = &series->blocks[step / RANGE_BLOCK_STEPS];
    size_t bytes = element_bytes(table->plan);

    if (*block == NULL) *block = arena_array(table->arena, RANGE_BLOCK_STEPS, bytes);
    return *block == NULL ? NULL : (char *)*block + step % RANGE_BLOCK_STEPS * bytes;
}

static bool add_at(RangeTable *table, RangeSeries *series, size_t step, uint64_t count,
                   uint64_t bytes) {
    void *element = element_at(table, series, step);

    if (element == NULL) return false;
    if (table->plan->kind == RANGE_COUNT) {
        *(uint64_t *)element += count;
    } else {
        ((Bytes *)element)->count += count;
        ((Bytes *)element)->bytes += bytes;
    }
    return true;
}

bool range_add_count(RangeTable *table, RangeSeries *series, const Window *window, uint64_t count,
                     uint64_t bytes) {
    size_t behind = (size_t)window->hi + 1;

    if (!add_at(table, series, (size_t)window->lo, count, bytes)) return false;
    if (!table->plan->differences || behind == table->plan->grid.steps) return true;
    /* Differences are unsigned: what is taken off comes back when they are added up. */
    return add_at(table, series, behind, 0 - count, 0 - bytes);
}

static bool keep_sample(RangeTable *table, RangeSeries *series, int64_t time_ns, double value) {
    RangeChunk *chunk = series->chunks;

    if (chunk == NULL || chunk->count == RANGE_CHUNK_SAMPLES) {
        chunk = arena_alloc(table->arena, sizeof *chunk);
        if (chunk == NULL) return false;
        chunk->before = series->chunks;
        chunk->count = 0;
        series->chunks = chunk;
    }
    chunk->samples[chunk->count++] = (RangeSample){time_ns, value};
    series->sample_count++;
    return true;
}

bool range_add_sample(RangeTable *table, RangeSeries *series, const Window *window, int64_t time_ns,
                      double value) {
    if (table->plan->kind == RANGE_SAMPLES) return keep_sample(table, series, time_ns, value);
    for (int64_t s = window->lo; s <= window->hi; s++) {
        RangeFold *fold = element_at(table, series, (size_t)s);

        if (fold == NULL) return false;
        range_fold_add(table->plan->op, fold, time_ns, value);
    }
    return true;
}
