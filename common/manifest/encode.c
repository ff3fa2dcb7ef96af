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
    VERSION_DELETES = 2, /* with delete requests, which who can't read them must not pass over */
    KIND_DELTA = 1,
    KIND_CHECKPOINT = 2,
    ENTRY_BYTES_MIN = 13, /* how small they can be: bounds counts */
    PART_BYTES_MIN = 7,
    DELETE_BYTES_MIN = 6,
    LEVEL_MAX = INT32_MAX,
};
#define PAYLOAD_BYTES_MAX (UINT64_C(1) << 30)

static const char magic[8] = {'M', 'O', 'R', 'A', 'I', 'N', 'E', 'M'};

static ErrCode seal(uint8_t kind, uint16_t version, const Buf *payload, Buf *out, Error *err) {
    size_t bound = ZSTD_compressBound(payload->len), packed;
    char *at;

    buf_append(out, magic, sizeof magic);
    buf_append_u16(out, version);
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

static ErrCode unseal(Str bytes, uint8_t kind, Arena *arena, Reader *out, bool *ret_deletes,
                      Error *err) {
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
    if (version != VERSION && version != VERSION_DELETES)
        return error_set(err, ERR_UNSUPPORTED, "manifest version %u; this release reads %d and %d",
                         version, VERSION, VERSION_DELETES);
    *ret_deletes = version == VERSION_DELETES;
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

/* ---- delete requests ---- */

static bool delta_has_deletes(const Delta *delta) {
    for (size_t i = 0; i < delta->add_count; i++)
        if (delta->add[i].cleared != 0) return true;
    return delta->add_delete_count + delta->remove_delete_count + delta->processed_delete_count +
               delta->raise_count >
           0;
}

static void put_delete(Buf *out, const ManifestDelete *request) {
    put_str(out, request->tenant);
    put_str(out, request->id);
    put_str(out, request->query);
    buf_append_zigzag(out, request->start_ms);
    buf_append_zigzag(out, request->end_ms);
    buf_append_zigzag(out, request->created_ms);
}

static ErrCode get_delete(Reader *in, ManifestDelete *out, Error *err) {
    out->tenant = reader_prefixed(in);
    out->id = reader_prefixed(in);
    out->query = reader_prefixed(in);
    out->start_ms = reader_zigzag(in);
    out->end_ms = reader_zigzag(in);
    out->created_ms = reader_zigzag(in);
    return in->failed ? error_set(err, ERR_CORRUPT, "a delete request is cut off") : ERR_OK;
}

static void put_delete_ids(Buf *out, const ManifestDeleteId *ids, size_t count) {
    buf_append_varint(out, count);
    for (size_t i = 0; i < count; i++) {
        put_str(out, ids[i].tenant);
        put_str(out, ids[i].id);
    }
}

static ErrCode get_delete_ids(Reader *in, Arena *arena, const ManifestDeleteId **out, size_t *count,
                              Error *err) {
    ManifestDeleteId *ids;

    TRY(get_count(in, 2, count, err));
    ids = ARENA_ARRAY(arena, ManifestDeleteId, *count);
    if (ids == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
    for (size_t i = 0; i < *count; i++)
        ids[i] = (ManifestDeleteId){.tenant = reader_prefixed(in), .id = reader_prefixed(in)};
    *out = ids;
    return in->failed ? error_set(err, ERR_CORRUPT, "a delete request's id is cut off") : ERR_OK;
}

static void put_delta_deletes(const Delta *delta, Buf *out) {
    for (size_t i = 0; i < delta->add_count; i++) buf_append_varint(out, delta->add[i].cleared);
    buf_append_varint(out, delta->add_delete_count);
    for (size_t i = 0; i < delta->add_delete_count; i++) put_delete(out, &delta->add_deletes[i]);
    put_delete_ids(out, delta->remove_deletes, delta->remove_delete_count);
    put_delete_ids(out, delta->processed_deletes, delta->processed_delete_count);
    buf_append_varint(out, delta->raise_count);
    for (size_t i = 0; i < delta->raise_count; i++) {
        put_str(out, delta->raise[i].key);
        buf_append_varint(out, delta->raise[i].cleared);
    }
}

static ErrCode get_delta_deletes(Reader *in, Arena *arena, ManifestEntry *add, Delta *out,
                                 Error *err) {
    ManifestDelete *requests;
    ManifestCleared *raise;

    for (size_t i = 0; i < out->add_count; i++) add[i].cleared = reader_varint(in);
    TRY(get_count(in, DELETE_BYTES_MIN, &out->add_delete_count, err));
    requests = ARENA_ARRAY(arena, ManifestDelete, out->add_delete_count);
    if (requests == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
    for (size_t i = 0; i < out->add_delete_count; i++) TRY(get_delete(in, &requests[i], err));
    out->add_deletes = requests;
    TRY(get_delete_ids(in, arena, &out->remove_deletes, &out->remove_delete_count, err));
    TRY(get_delete_ids(in, arena, &out->processed_deletes, &out->processed_delete_count, err));
    TRY(get_count(in, 2, &out->raise_count, err));
    raise = ARENA_ARRAY(arena, ManifestCleared, out->raise_count);
    if (raise == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
    for (size_t i = 0; i < out->raise_count; i++)
        raise[i] = (ManifestCleared){.key = reader_prefixed(in), .cleared = reader_varint(in)};
    out->raise = raise;
    return in->failed ? error_set(err, ERR_CORRUPT, "delete requests are cut off") : ERR_OK;
}

static bool state_has_deletes(const State *state) {
    for (size_t i = 0; i < state->entry_count; i++)
        if (state->entries[i]->entry.cleared != 0) return true;
    return state->deletes.count > 0 || state->deletes.newest != 0;
}

static void put_state_deletes(const State *state, Buf *out) {
    for (size_t i = 0; i < state->entry_count; i++)
        buf_append_varint(out, state->entries[i]->entry.cleared);
    buf_append_varint(out, state->deletes.newest);
    buf_append_varint(out, state->deletes.count);
    for (size_t i = 0; i < state->deletes.count; i++) {
        const ManifestDelete *request = &state->deletes.items[i]->request;

        put_delete(out, request);
        buf_append_varint(out, request->number);
        buf_append_zigzag(out, request->processed_ms);
    }
}

/* `keys`: of the entries, as they came. */
static ErrCode get_state_deletes(Reader *in, const Str *keys, size_t key_count, State *out,
                                 Error *err) {
    uint64_t newest;
    size_t count;

    for (size_t i = 0; i < key_count && !in->failed; i++)
        TRY(state_raise(out, keys[i], reader_varint(in), err));
    newest = reader_varint(in);
    TRY(get_count(in, DELETE_BYTES_MIN, &count, err));
    for (size_t i = 0; i < count; i++) {
        ManifestDelete request = {0};

        TRY(get_delete(in, &request, err));
        request.number = reader_varint(in);
        request.processed_ms = reader_zigzag(in);
        if (in->failed) return error_set(err, ERR_CORRUPT, "a delete request is cut off");
        TRY(state_add_delete(out, &request, err));
    }
    out->deletes.newest = MAX(out->deletes.newest, newest);
    return in->failed ? error_set(err, ERR_CORRUPT, "delete requests are cut off") : ERR_OK;
}

/* ---- deltas, checkpoints ---- */

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
    if (!delta_has_deletes(delta)) return seal(KIND_DELTA, VERSION, &payload, out, err);
    put_delta_deletes(delta, &payload);
    return seal(KIND_DELTA, VERSION_DELETES, &payload, out, err);
}

ErrCode delta_decode(Str bytes, Arena *arena, Delta *out, Error *err) {
    ManifestEntry *add;
    bool deletes;
    Reader in;

    TRY(unseal(bytes, KIND_DELTA, arena, &in, &deletes, err));
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
    TRY(get_keys(&in, arena, &out->forget, &out->forget_count, err));
    return deletes ? get_delta_deletes(&in, arena, add, out, err) : ERR_OK;
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
    if (!state_has_deletes(state)) return seal(KIND_CHECKPOINT, VERSION, &payload, out, err);
    put_state_deletes(state, &payload);
    return seal(KIND_CHECKPOINT, VERSION_DELETES, &payload, out, err);
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

static ErrCode get_state(Reader *in, bool deletes, Arena *arena, State *out, Error *err) {
    size_t count, entry_count;
    Str *keys;

    out->sequence = reader_varint(in);
    TRY(get_count(in, ENTRY_BYTES_MIN, &count, err));
    entry_count = count;
    keys = ARENA_ARRAY(arena, Str, count);
    if (keys == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
    for (size_t i = 0; i < count; i++) {
        ManifestEntry entry = {0};

        TRY(get_entry(in, arena, &entry, err));
        TRY(state_add(out, &entry, err));
        keys[i] = entry.key;
    }
    TRY(get_count(in, 2, &count, err));
    for (size_t i = 0; i < count; i++) {
        Str key = reader_prefixed(in);
        int64_t removed_ms = reader_zigzag(in);

        if (in->failed) return error_set(err, ERR_CORRUPT, "a removed key is cut off");
        TRY(state_remove(out, key, removed_ms, err));
    }
    TRY(get_marks(in, out, err));
    return deletes ? get_state_deletes(in, keys, entry_count, out, err) : ERR_OK;
}

ErrCode checkpoint_decode(Str bytes, State *out, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    State state = {0};
    bool deletes;
    Reader in;
    ErrCode code;

    if (arena == NULL) return error_set(err, ERR_LIMIT, "manifest: out of memory");
    TRY(unseal(bytes, KIND_CHECKPOINT, arena, &in, &deletes, err));
    code = get_state(&in, deletes, arena, &state, err);
    if (code != ERR_OK) {
        state_done(&state);
        return code;
    }
    *out = state;
    return ERR_OK;
}
