/*
 * encode.c: deltas and checkpoints as bytes (docs/MANIFEST.md): a head, a zstd payload of varints,
 * and a checksum over both.
 */
#include <string.h>
#include <zstd.h>

#include "common/base/hash.h"
#include "common/base/reader.h"
#include "common/manifest/state.h"

enum {
    HEAD_BYTES = 20, /* magic 8, version 2, kind 1, reserved 1, payload length 8 */
    SUM_BYTES = 8,
    VERSION = 1,
    KIND_DELTA = 1,
    KIND_CHECKPOINT = 2,
    ENTRY_BYTES_MIN = 13, /* how small they can be: bounds counts */
    PART_BYTES_MIN = 7,
    LEVEL_MAX = INT32_MAX,
};
#define PAYLOAD_BYTES_MAX (UINT64_C(1) << 30)

static const char magic[8] = {'M', 'O', 'R', 'A', 'I', 'N', 'E', 'M'};

static ErrCode seal(uint8_t kind, const Buf *payload, Buf *out, Error *err) {
    size_t bound = ZSTD_compressBound(payload->len), packed;
    char *at;

    buf_append(out, magic, sizeof magic);
    buf_append_u16(out, VERSION);
    buf_append_byte(out, (char)kind);
    buf_append_byte(out, 0);
    buf_append_u64(out, payload->len);
    at = buf_reserve(out, bound);
    if (buf_failed(payload) || at == NULL)
        return error_set(err, ERR_LIMIT, "manifest: out of memory");
    packed = ZSTD_compress(at, bound, payload->ptr, payload->len, 3);
    if (ZSTD_isError(packed))
        return error_set(err, ERR_INTERNAL, "manifest: %s", ZSTD_getErrorName(packed));
    buf_added(out, packed);
    buf_append_u64(out, hash_bytes(out->ptr, out->len));
    return buf_failed(out) ? error_set(err, ERR_LIMIT, "manifest: out of memory") : ERR_OK;
}

static ErrCode unseal(Str bytes, uint8_t kind, Arena *arena, Reader *out, Error *err) {
    Reader head = reader_of(bytes);
    uint64_t sum, payload_len;
    uint16_t version;
    uint8_t found_kind;
    char *payload;
    size_t got;

    if (bytes.len < HEAD_BYTES + SUM_BYTES || memcmp(bytes.ptr, magic, sizeof magic) != 0)
        return error_set(err, ERR_CORRUPT, "not a manifest object");
    memcpy(&sum, bytes.ptr + bytes.len - SUM_BYTES, sizeof sum);
    if (sum != hash_bytes(bytes.ptr, bytes.len - SUM_BYTES))
        return error_set(err, ERR_CORRUPT, "checksum does not match");
    head.at += sizeof magic;
    version = reader_u16(&head);
    found_kind = reader_u8(&head);
    (void)reader_u8(&head);
    payload_len = reader_u64(&head);
    if (version != VERSION)
        return error_set(err, ERR_UNSUPPORTED, "manifest version %u; this release reads %d",
                         version, VERSION);
    if (found_kind != kind) return error_set(err, ERR_CORRUPT, "another kind of manifest object");
    if (payload_len > PAYLOAD_BYTES_MAX)
        return error_set(err, ERR_CORRUPT, "a payload of %llu bytes",
                         (unsigned long long)payload_len);
    /* Two that must agree, before as much as they say is asked for. */
    if (ZSTD_getFrameContentSize(bytes.ptr + HEAD_BYTES, bytes.len - HEAD_BYTES - SUM_BYTES) !=
        payload_len)
        return error_set(err, ERR_CORRUPT, "payload does not decompress");
    payload = arena_alloc(arena, (size_t)payload_len + 1);
    if (payload == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
    got = ZSTD_decompress(payload, (size_t)payload_len, bytes.ptr + HEAD_BYTES,
                          bytes.len - HEAD_BYTES - SUM_BYTES);
    if (ZSTD_isError(got) || got != payload_len)
        return error_set(err, ERR_CORRUPT, "payload does not decompress");
    *out = reader_of((Str){payload, got});
    return ERR_OK;
}

static void put_str(Buf *out, Str s) {
    buf_append_varint(out, s.len);
    buf_append_str(out, s);
}

static void put_entry(Buf *out, const ManifestEntry *entry) {
    put_str(out, entry->key);
    buf_append_varint(out, entry->size);
    buf_append_u64(out, entry->checksum);
    buf_append_varint(out, entry->level);
    buf_append_zigzag(out, entry->created_ms);
    buf_append_varint(out, entry->part_count);
    for (size_t p = 0; p < entry->part_count; p++) {
        const BlockPart *part = &entry->parts[p];

        put_str(out, part->tenant);
        buf_append_varint(out, (uint64_t)part->signal);
        buf_append_zigzag(out, part->min_ms);
        buf_append_zigzag(out, part->max_ms);
        buf_append_varint(out, part->series);
        buf_append_varint(out, part->items);
        buf_append_varint(out, part->bytes);
    }
}

/* A count of things that take at least `least` bytes each: more than fit is damage. */
static ErrCode get_count(Reader *in, size_t least, size_t *out, Error *err) {
    uint64_t count = reader_varint(in);

    if (in->failed || count > reader_left(in) / least)
        return error_set(err, ERR_CORRUPT, "a count of %llu in %zu bytes",
                         (unsigned long long)count, reader_left(in));
    *out = (size_t)count;
    return ERR_OK;
}

static ErrCode get_entry(Reader *in, Arena *arena, ManifestEntry *out, Error *err) {
    BlockPart *parts;
    uint64_t level;

    out->key = reader_prefixed(in);
    out->size = reader_varint(in);
    out->checksum = reader_u64(in);
    level = reader_varint(in);
    out->created_ms = reader_zigzag(in);
    if (in->failed || out->key.len == 0 || level > LEVEL_MAX)
        return error_set(err, ERR_CORRUPT, "an entry is cut off or has no key or no such level");
    out->level = (uint32_t)level;
    TRY(get_count(in, PART_BYTES_MIN, &out->part_count, err));
    parts = ARENA_ARRAY(arena, BlockPart, out->part_count);
    if (parts == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
    for (size_t p = 0; p < out->part_count; p++) {
        uint64_t signal;

        parts[p].tenant = reader_prefixed(in);
        signal = reader_varint(in);
        if (!in->failed && (signal < SIGNAL_METRICS || signal > SIGNAL_TRACES))
            return error_set(err, ERR_UNSUPPORTED, "a part of signal %llu",
                             (unsigned long long)signal);
        parts[p].signal = (Signal)signal;
        parts[p].min_ms = reader_zigzag(in);
        parts[p].max_ms = reader_zigzag(in);
        parts[p].series = reader_varint(in);
        parts[p].items = reader_varint(in);
        parts[p].bytes = reader_varint(in);
    }
    out->parts = parts;
    return in->failed ? error_set(err, ERR_CORRUPT, "an entry is cut off") : ERR_OK;
}

static ErrCode get_keys(Reader *in, Arena *arena, const Str **out, size_t *count, Error *err) {
    Str *keys;

    TRY(get_count(in, 1, count, err));
    keys = ARENA_ARRAY(arena, Str, *count);
    if (keys == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
    for (size_t i = 0; i < *count; i++) keys[i] = reader_prefixed(in);
    *out = keys;
    return in->failed ? error_set(err, ERR_CORRUPT, "a key is cut off") : ERR_OK;
}

ErrCode delta_encode(const Delta *delta, Buf *out, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf payload;

    buf_init(&payload, PAYLOAD_BYTES_MAX);
    buf_append_varint(&payload, delta->sequence);
    buf_append_zigzag(&payload, delta->time_ms);
    buf_append_u64(&payload, delta->writer);
    buf_append_varint(&payload, delta->add_count);
    for (size_t i = 0; i < delta->add_count; i++) put_entry(&payload, &delta->add[i]);
    buf_append_varint(&payload, delta->remove_count);
    for (size_t i = 0; i < delta->remove_count; i++) put_str(&payload, delta->remove[i]);
    buf_append_varint(&payload, delta->forget_count);
    for (size_t i = 0; i < delta->forget_count; i++) put_str(&payload, delta->forget[i]);
    return seal(KIND_DELTA, &payload, out, err);
}

ErrCode delta_decode(Str bytes, Arena *arena, Delta *out, Error *err) {
    ManifestEntry *add;
    Reader in;

    TRY(unseal(bytes, KIND_DELTA, arena, &in, err));
    *out = (Delta){0};
    out->sequence = reader_varint(&in);
    out->time_ms = reader_zigzag(&in);
    out->writer = reader_u64(&in);
    TRY(get_count(&in, ENTRY_BYTES_MIN, &out->add_count, err));
    add = ARENA_ARRAY(arena, ManifestEntry, out->add_count);
    if (add == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
    for (size_t i = 0; i < out->add_count; i++) TRY(get_entry(&in, arena, &add[i], err));
    out->add = add;
    TRY(get_keys(&in, arena, &out->remove, &out->remove_count, err));
    return get_keys(&in, arena, &out->forget, &out->forget_count, err);
}

ErrCode checkpoint_encode(const State *state, Buf *out, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf payload;

    buf_init(&payload, PAYLOAD_BYTES_MAX);
    buf_append_varint(&payload, state->sequence);
    buf_append_varint(&payload, state->entry_count);
    for (size_t i = 0; i < state->entry_count; i++) put_entry(&payload, &state->entries[i]->entry);
    buf_append_varint(&payload, state->removed_count);
    for (size_t i = 0; i < state->removed_count; i++) {
        put_str(&payload, state->removed[i].key);
        buf_append_zigzag(&payload, state->removed[i].removed_ms);
    }
    buf_append_varint(&payload, state->marks.count);
    for (size_t i = 0; i < state->marks.count; i++) {
        const Mark *mark = &state->marks.items[i];

        put_str(&payload, mark->lane);
        buf_append_varint(&payload, mark->count);
        for (size_t r = 0; r < mark->count; r++) {
            buf_append_varint(&payload, mark->ranges[r].first);
            buf_append_varint(&payload, mark->ranges[r].last);
        }
    }
    return seal(KIND_CHECKPOINT, &payload, out, err);
}

static ErrCode get_marks(Reader *in, State *out, Error *err) {
    size_t count, ranges;

    TRY(get_count(in, 2, &count, err));
    for (size_t i = 0; i < count; i++) {
        Str lane = reader_prefixed(in);

        TRY(get_count(in, 2, &ranges, err));
        for (size_t r = 0; r < ranges; r++) {
            uint64_t first = reader_varint(in), last = reader_varint(in);

            if (in->failed || first > last)
                return error_set(err, ERR_CORRUPT, "a range of segments is wrong");
            if (!marks_add(&out->marks, lane, first, last))
                return error_set(err, ERR_LIMIT, "manifest: out of memory");
        }
    }
    return in->failed ? error_set(err, ERR_CORRUPT, "marks are cut off") : ERR_OK;
}

static ErrCode get_state(Reader *in, Arena *arena, State *out, Error *err) {
    size_t count;

    out->sequence = reader_varint(in);
    TRY(get_count(in, ENTRY_BYTES_MIN, &count, err));
    for (size_t i = 0; i < count; i++) {
        ManifestEntry entry = {0};

        TRY(get_entry(in, arena, &entry, err));
        TRY(state_add(out, &entry, err));
    }
    TRY(get_count(in, 2, &count, err));
    for (size_t i = 0; i < count; i++) {
        Str key = reader_prefixed(in);
        int64_t removed_ms = reader_zigzag(in);

        if (in->failed) return error_set(err, ERR_CORRUPT, "a removed key is cut off");
        TRY(state_remove(out, key, removed_ms, err));
    }
    return get_marks(in, out, err);
}

ErrCode checkpoint_decode(Str bytes, State *out, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    State state = {0};
    Reader in;
    ErrCode code;

    if (arena == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
    TRY(unseal(bytes, KIND_CHECKPOINT, arena, &in, err));
    code = get_state(&in, arena, &state, err);
    if (code != ERR_OK) {
        state_done(&state);
        return code;
    }
    *out = state;
    return ERR_OK;
}
