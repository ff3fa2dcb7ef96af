/*
 * exemplars.c: exemplars are a column of times, a column of values, then each one's labels behind a
 * varint length. Metadata is a varint count, then for each item metric, help and unit behind varint
 * lengths and a varint type.
 */
#include "common/block/exemplars.h"

#include "common/block/floats.h"

void exemplars_encode(const SelectedExemplar *exemplars, size_t count, Buf *out) {
    int64_t times[COLUMN_ITEMS_MAX];
    double values[COLUMN_ITEMS_MAX];
    char *at = buf_reserve(out, 2 * column_bytes_max(count));

    if (at == NULL) return;
    for (size_t i = 0; i < count; i++) {
        times[i] = exemplars[i].time_ms;
        values[i] = exemplars[i].value;
    }
    buf_added(out, ints_encode(times, count, (IntsTag){0}, (uint8_t *)at));
    buf_added(out, floats_encode(values, count, (uint8_t *)out->ptr + out->len));
    for (size_t i = 0; i < count; i++) {
        buf_append_varint(out, exemplars[i].labels.len);
        buf_append_str(out, exemplars[i].labels);
    }
}

ErrCode exemplars_decode(Str bytes, size_t items, int64_t min_ms, int64_t max_ms, int64_t *times,
                         double *values, SelectedExemplar *out, size_t *count, Error *err) {
    Reader r = reader_of(bytes);
    bool constant = false;
    size_t taken = *count;
    IntsTag tag;

    if (!ints_decode(&r, items, (BitsWord *)times, &tag, &constant) || tag.mapping != 0 ||
        tag.exceptions || !floats_take(&r, items, values))
        return error_set(err, ERR_CORRUPT, "%zu bytes do not hold %zu exemplars", bytes.len, items);
    for (size_t i = 0; i < items; i++) {
        int64_t time = times[constant ? 0 : i];
        Str labels = reader_prefixed(&r);

        if (time < min_ms || time > max_ms) continue;
        out[taken++] = (SelectedExemplar){time, values[i], labels};
    }
    if (r.failed || !reader_at_end(&r))
        return error_set(err, ERR_CORRUPT, "%zu bytes do not hold %zu exemplars", bytes.len, items);
    *count = taken;
    return ERR_OK;
}

static void put_prefixed(Buf *out, Str s) {
    buf_append_varint(out, s.len);
    buf_append_str(out, s);
}

void metadata_encode(const MetadataItem *items, size_t count, Buf *out) {
    for (size_t i = 0; i < count; i++) {
        put_prefixed(out, items[i].metric);
        put_prefixed(out, items[i].help);
        put_prefixed(out, items[i].unit);
        buf_append_varint(out, items[i].type);
    }
}

ErrCode metadata_decode(Str raw, Arena *arena, MetadataItem **out, size_t *count, Error *err) {
    Reader r = reader_of(raw);
    uint64_t items = reader_varint(&r);
    MetadataItem *list;

    if (r.failed || items > reader_left(&r) / 4)
        return error_set(err, ERR_CORRUPT, "metadata: bad head");
    list = ARENA_ARRAY(arena, MetadataItem, items + 1);
    if (list == NULL) return error_set(err, ERR_LIMIT, "no memory for metadata");
    for (uint64_t i = 0; i < items; i++) {
        uint64_t type;

        list[i].metric = reader_prefixed(&r);
        list[i].help = reader_prefixed(&r);
        list[i].unit = reader_prefixed(&r);
        type = reader_varint(&r);
        list[i].type = type > UINT32_MAX ? 0 : (uint32_t)type;
    }
    if (r.failed || !reader_at_end(&r)) return error_set(err, ERR_CORRUPT, "metadata: bad item");
    *out = list;
    *count = (size_t)items;
    return ERR_OK;
}
