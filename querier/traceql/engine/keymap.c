#include "querier/traceql/engine/keymap.h"

#include "common/base/hash.h"

static ErrCode grow(KeyMap *map, Error *err) {
    size_t capacity = MAX(2 * map->capacity, 64);
    Str *keys = ARENA_ARRAY(map->arena, Str, capacity);
    uint64_t *hashes = ARENA_ARRAY(map->arena, uint64_t, capacity);
    uint32_t *slots = ARENA_ARRAY(map->arena, uint32_t, 2 * capacity);

    if (keys == NULL || hashes == NULL || slots == NULL || capacity > UINT32_MAX / 2)
        return traceql_out_of_memory(err);
    if (map->count > 0) {
        memcpy(keys, map->keys, map->count * sizeof *keys);
        memcpy(hashes, map->hashes, map->count * sizeof *hashes);
    }
    map->keys = keys;
    map->hashes = hashes;
    map->slots = slots;
    map->capacity = capacity;
    map->mask = 2 * capacity - 1;
    for (uint32_t i = 0; i < map->count; i++) {
        size_t at = hashes[i] & map->mask;

        while (slots[at] != 0) at = (at + 1) & map->mask;
        slots[at] = i + 1;
    }
    return ERR_OK;
}

ErrCode keymap_add(KeyMap *map, Str key, uint32_t *number, bool *fresh, Error *err) {
    uint64_t hash = hash_bytes(key.ptr, key.len);
    size_t at;

    if (map->count == map->capacity) TRY(grow(map, err));
    at = hash & map->mask;
    for (; map->slots[at] != 0; at = (at + 1) & map->mask) {
        uint32_t i = map->slots[at] - 1;

        if (map->hashes[i] != hash || !str_equal(map->keys[i], key)) continue;
        *number = i;
        *fresh = false;
        return ERR_OK;
    }
    map->keys[map->count] = str_dup(map->arena, key);
    if (map->keys[map->count].ptr == NULL) return traceql_out_of_memory(err);
    map->hashes[map->count] = hash;
    *number = (uint32_t)map->count++;
    map->slots[at] = *number + 1;
    *fresh = true;
    return ERR_OK;
}

/* ---- values as bytes ---- */

static void append_element(Buf *out, const TraceqlValue *value) {
    uint64_t bits = (uint64_t)value->integer;

    switch (value->type) {
    case TRACEQL_NIL:
        return;
    case TRACEQL_STRING:
        buf_append_varint(out, value->text.len);
        buf_append_str(out, value->text);
        return;
    case TRACEQL_BOOL:
        buf_append_byte(out, value->truth ? 1 : 0);
        return;
    case TRACEQL_FLOAT:
        memcpy(&bits, &value->number, sizeof bits);
        break;
    default:
        break;
    }
    buf_append_u64(out, bits);
}

void keymap_append_value(Buf *out, const TraceqlValue *value) {
    buf_append_byte(out, (char)value->type);
    if (!traceql_is_array(value->type)) {
        append_element(out, value);
        return;
    }
    buf_append_varint(out, value->count);
    for (uint32_t i = 0; i < value->count; i++) {
        TraceqlValue element = traceql_element(value, i);

        append_element(out, &element);
    }
}

static bool take_varint(Str *bytes, uint64_t *out) {
    *out = 0;
    for (unsigned shift = 0; shift < 64 && bytes->len > 0; shift += 7) {
        uint8_t byte = (uint8_t)*bytes->ptr;

        *bytes = str_from(*bytes, 1);
        *out |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return true;
    }
    return false;
}

static bool take_element(Str *bytes, uint8_t type, TraceqlValue *out) {
    uint64_t len = 8;

    *out = (TraceqlValue){.type = type};
    if (type == TRACEQL_NIL) return true;
    if (type == TRACEQL_BOOL) len = 1;
    if (type == TRACEQL_STRING && !take_varint(bytes, &len)) return false;
    if (bytes->len < len) return false;
    if (type == TRACEQL_STRING)
        out->text = str_slice(*bytes, 0, len);
    else if (type == TRACEQL_BOOL)
        out->truth = *bytes->ptr != 0;
    else
        memcpy(type == TRACEQL_FLOAT ? (void *)&out->number : (void *)&out->integer, bytes->ptr, 8);
    *bytes = str_from(*bytes, len);
    return true;
}

bool keymap_take_value(Str *bytes, Arena *arena, TraceqlValue *out) {
    uint8_t type;
    uint64_t count;
    Str *texts;

    if (bytes->len == 0) return false;
    type = (uint8_t)*bytes->ptr;
    *bytes = str_from(*bytes, 1);
    if (!traceql_is_array(type)) return take_element(bytes, type, out);
    if (!take_varint(bytes, &count) || count > bytes->len) return false;
    /* The widest element: what is narrower has room enough. */
    texts = ARENA_ARRAY(arena, Str, MAX(count, 1));
    if (texts == NULL) return false;
    *out = (TraceqlValue){.type = type, .count = (uint32_t)count, .texts = texts};
    for (uint64_t i = 0; i < count; i++) {
        TraceqlValue element;

        if (!take_element(bytes, traceql_element_type(type), &element)) return false;
        switch (element.type) {
        case TRACEQL_STRING:
            texts[i] = element.text;
            break;
        case TRACEQL_BOOL:
            ((bool *)texts)[i] = element.truth;
            break;
        case TRACEQL_FLOAT:
            ((double *)(void *)texts)[i] = element.number;
            break;
        default:
            ((int64_t *)(void *)texts)[i] = element.integer;
            break;
        }
    }
    return true;
}
