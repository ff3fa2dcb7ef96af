/* object.c: bytes of objects, counted and checked to be all that was asked for. */
#include "common/block/reader.h"

enum { TAIL_BYTES = 64 << 10 };

static void count_get(BlockStats *stats, size_t bytes) {
    if (stats == NULL) return;
    stats_add(&stats->gets, 1);
    stats_add(&stats->get_bytes, bytes);
}

ErrCode object_read(Store *store, Str key, uint64_t offset, uint64_t length, Arena *arena,
                    BlockStats *stats, Str *out, Error *err) {
    Str got;

    if (length > SIZE_MAX / 2) return error_set(err, ERR_CORRUPT, "a range of too many bytes");
    if (length == 0) {
        *out = (Str){"", 0};
        return ERR_OK;
    }
    TRY(store_get(store, key, offset, (size_t)length, arena, &got, NULL, err));
    count_get(stats, got.len);
    if (got.len != length)
        return error_set(err, ERR_CORRUPT, "object ends early: %zu of %llu bytes at %llu", got.len,
                         (unsigned long long)length, (unsigned long long)offset);
    *out = got;
    return ERR_OK;
}

ErrCode object_read_end(Store *store, Str key, uint64_t size, uint64_t ahead, Arena *arena,
                        BlockStats *stats, ObjectEnd *out, Error *err) {
    ObjectEnd end = {.size = size};
    uint64_t start, wanted = MAX(ahead, (uint64_t)TAIL_BYTES);

    if (size == 0) {
        StoreObject object = {0};

        TRY(store_get_tail(store, key, (size_t)wanted, arena, &end.bytes, &object, err));
        count_get(stats, end.bytes.len);
        end.size = object.size;
        if (end.bytes.len != MIN(end.size, wanted))
            return error_set(err, ERR_CORRUPT, "object ends early: %zu of its last bytes",
                             end.bytes.len);
    } else {
        uint64_t length = MIN(size, wanted);

        TRY(object_read(store, key, size - length, length, arena, stats, &end.bytes, err));
    }
    if (end.bytes.len < CONTAINER_TAIL_BYTES)
        return error_set(err, ERR_CORRUPT, "too short for a container: %zu bytes", end.bytes.len);
    TRY(container_tail_parse(str_from(end.bytes, end.bytes.len - CONTAINER_TAIL_BYTES), end.size,
                             &end.tail, err));
    start = end.size - end.bytes.len;
    if (end.tail.footer_offset >= start)
        end.footer =
            str_slice(end.bytes, (size_t)(end.tail.footer_offset - start), end.tail.footer_stored);
    else
        TRY(object_read(store, key, end.tail.footer_offset, end.tail.footer_stored, arena, stats,
                        &end.footer, err));
    *out = end;
    return ERR_OK;
}
