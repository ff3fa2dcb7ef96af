/*
 * container_writer.c: writing the frame: bytes go to the sink as they come, what the footer needs
 * is kept.
 */
#include <string.h>

#include "common/base/hash.h"
#include "common/block/container.h"

/* Compression that saves less than this many 64ths is not worth what undoing it costs. */
enum { SAVING_MIN_64THS = 3 };

struct ContainerWriter {
    Arena *arena;
    BlockSink sink;
    ZSTD_CCtx *zstd;
    Buf compressed;
    Buf footer; /* parts so far */
    uint64_t offset;
    uint64_t digest; /* of all page checksums */
    int64_t created_ms;
    BlockPart *parts;
    size_t part_count;
    size_t part_capacity;
    uint64_t part_offset; /* of the part being written */
    uint64_t part_end;    /* of the one before */
    Section *sections;    /* of the part being written */
    uint32_t section_count;
    uint32_t section_capacity;
    Str tenant;
    Signal signal;
};

static void release_heap(void *what) {
    ContainerWriter *w = what;

    ZSTD_freeCCtx(w->zstd);
    buf_done(&w->compressed);
    buf_done(&w->footer);
}

ContainerWriter *container_writer_new(Arena *arena, BlockSink sink, int64_t created_ms) {
    ContainerWriter *w = ARENA_NEW(arena, ContainerWriter);

    if (w == NULL) return NULL;
    w->arena = arena;
    w->sink = sink;
    w->created_ms = created_ms;
    buf_init(&w->compressed, 0);
    buf_init(&w->footer, FOOTER_RAW_MAX);
    if (!arena_on_free(arena, release_heap, w)) return NULL;
    w->zstd = ZSTD_createCCtx();
    return w->zstd == NULL ? NULL : w;
}

uint64_t container_offset(const ContainerWriter *w) {
    return w->offset;
}

static ErrCode put(ContainerWriter *w, Str bytes, Error *err) {
    if (w->offset == 0 && bytes.len > 0) {
        w->offset = CONTAINER_MAGIC_BYTES;
        TRY(w->sink.write(w->sink.context, (Str){CONTAINER_MAGIC, CONTAINER_MAGIC_BYTES}, err));
    }
    w->offset += bytes.len;
    return bytes.len == 0 ? ERR_OK : w->sink.write(w->sink.context, bytes, err);
}

/* An array in the arena with room for one more. NULL: out of memory. */
static void *room_for_one(Arena *arena, void *array, size_t count, size_t *capacity,
                          size_t element) {
    size_t wanted = *capacity == 0 ? 8 : *capacity * 2;

    if (count < *capacity) return array;
    array = arena_grow(arena, array, *capacity * element, wanted * element);
    if (array != NULL) *capacity = wanted;
    return array;
}

ErrCode container_part_begin(ContainerWriter *w, Str tenant, Signal signal, Error *err) {
    if (w->part_count > 0) {
        const BlockPart *last = &w->parts[w->part_count - 1];
        int order = str_compare(last->tenant, tenant);

        if (order > 0 || (order == 0 && last->signal >= signal))
            return error_set(err, ERR_INVALID, "tenant " STR_FMT " written out of order",
                             STR_ARG(tenant));
    }
    w->tenant = str_dup(w->arena, tenant);
    if (w->tenant.ptr == NULL) return error_set(err, ERR_LIMIT, "no memory to write a block");
    w->signal = signal;
    w->part_offset = MAX(w->offset, (uint64_t)CONTAINER_MAGIC_BYTES);
    w->section_count = 0;
    return ERR_OK;
}

/* Leaves `raw` in w->compressed behind `head` bytes of room; false when it isn't worth it. */
static bool deflate(ContainerWriter *w, Str raw, int level, size_t head) {
    size_t bound = ZSTD_compressBound(raw.len), got;

    buf_clear(&w->compressed);
    if (buf_reserve(&w->compressed, head + bound) == NULL) return false;
    got = ZSTD_compressCCtx(w->zstd, w->compressed.ptr + head, bound, raw.ptr, raw.len, level);
    if (ZSTD_isError(got) || got + raw.len / 64 * SAVING_MIN_64THS >= raw.len) return false;
    buf_added(&w->compressed, head + got);
    return true;
}

ErrCode container_page(ContainerWriter *w, Str raw, int level, uint32_t *stored, Error *err) {
    uint32_t lengths[2] = {0, (uint32_t)raw.len};
    uint64_t checksum;
    Str payload = raw;

    assert(raw.len <= PAGE_RAW_MAX);
    if (level != PAGE_PLAIN && deflate(w, raw, level, PAGE_HEAD_BYTES)) {
        payload = str_from(buf_str(&w->compressed), PAGE_HEAD_BYTES);
    } else {
        buf_clear(&w->compressed);
        if (buf_reserve(&w->compressed, PAGE_HEAD_BYTES + raw.len) == NULL)
            return error_set(err, ERR_LIMIT, "no memory for a page of %zu bytes", raw.len);
        memcpy(w->compressed.ptr + PAGE_HEAD_BYTES, raw.ptr, raw.len);
        buf_added(&w->compressed, PAGE_HEAD_BYTES + raw.len);
    }
    lengths[0] = (uint32_t)payload.len;
    checksum = hash_bytes_seeded(payload.ptr, payload.len, (uint64_t)lengths[1] << 32 | lengths[0]);
    memcpy(w->compressed.ptr, lengths, sizeof lengths);
    memcpy(w->compressed.ptr + sizeof lengths, &checksum, sizeof checksum);
    w->digest = hash_bytes_seeded(&checksum, sizeof checksum, w->digest);
    *stored = (uint32_t)w->compressed.len;
    return put(w, buf_str(&w->compressed), err);
}

ErrCode container_section(ContainerWriter *w, SectionKind kind, uint8_t codec, uint64_t offset,
                          uint64_t raw_length, Error *err) {
    size_t capacity = w->section_capacity;
    Section *grown =
        room_for_one(w->arena, w->sections, w->section_count, &capacity, sizeof *w->sections);

    if (grown == NULL) return error_set(err, ERR_LIMIT, "no memory to write a block");
    w->sections = grown;
    w->section_capacity = (uint32_t)capacity;
    offset = MAX(offset, (uint64_t)CONTAINER_MAGIC_BYTES);
    w->sections[w->section_count++] = (Section){
        .offset = offset,
        .length = MAX(w->offset, offset) - offset,
        .raw_length = raw_length,
        .kind = (uint8_t)kind,
        .codec = codec,
    };
    return ERR_OK;
}

ErrCode container_blob(ContainerWriter *w, SectionKind kind, uint8_t codec, Str raw, int level,
                       Error *err) {
    enum { BLOB_PAGE_BYTES = 4 << 20 };
    uint64_t offset = w->offset;

    for (size_t at = 0; at < raw.len; at += BLOB_PAGE_BYTES) {
        uint32_t stored;

        TRY(container_page(w, str_slice(raw, at, BLOB_PAGE_BYTES), level, &stored, err));
    }
    return container_section(w, kind, codec, offset, raw.len, err);
}

static void footer_put_part(ContainerWriter *w, const BlockPart *part) {
    uint64_t end = w->part_offset;
    Buf *f = &w->footer;

    buf_append_varint(f, part->tenant.len);
    buf_append_str(f, part->tenant);
    buf_append_byte(f, (char)part->signal);
    buf_append_zigzag(f, part->min_ms);
    buf_append_varint(f, (uint64_t)part->max_ms - (uint64_t)part->min_ms);
    buf_append_varint(f, part->series);
    buf_append_varint(f, part->items);
    buf_append_varint(f, w->part_offset - MAX(w->part_end, (uint64_t)CONTAINER_MAGIC_BYTES));
    buf_append_varint(f, part->bytes);
    buf_append_varint(f, w->section_count);
    for (uint32_t i = 0; i < w->section_count; i++) {
        const Section *s = &w->sections[i];

        buf_append_byte(f, (char)s->kind);
        buf_append_byte(f, (char)s->codec);
        buf_append_varint(f, s->offset - end);
        buf_append_varint(f, s->length);
        buf_append_varint(f, s->raw_length);
        end = s->offset + s->length;
    }
    w->part_end = w->part_offset + part->bytes;
}

ErrCode container_part_end(ContainerWriter *w, const BlockPart *part, Error *err) {
    BlockPart *grown =
        room_for_one(w->arena, w->parts, w->part_count, &w->part_capacity, sizeof *w->parts);
    BlockPart *kept;

    if (grown == NULL) return error_set(err, ERR_LIMIT, "no memory to write a block");
    w->parts = grown;
    kept = &w->parts[w->part_count++];
    *kept = *part;
    kept->tenant = w->tenant;
    kept->signal = w->signal;
    kept->bytes = MAX(w->offset, w->part_offset) - w->part_offset;
    footer_put_part(w, kept);
    return ERR_OK;
}

static Str make_footer(ContainerWriter *w, Buf *raw) {
    buf_append_zigzag(raw, w->created_ms);
    buf_append_u64(raw, w->digest);
    buf_append_varint(raw, w->part_count);
    buf_append_str(raw, buf_str(&w->footer));
    if (buf_failed(raw) || buf_failed(&w->footer)) return (Str){0};
    return deflate(w, buf_str(raw), 6, 0) ? buf_str(&w->compressed) : buf_str(raw);
}

ErrCode container_finish(ContainerWriter *w, BlockSummary *out, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf raw;
    CLEANUP_IN_PLACE(buf_done) Buf tail;
    uint64_t checksum;
    Str footer;

    buf_init(&raw, FOOTER_RAW_MAX);
    buf_init(&tail, 0);
    footer = make_footer(w, &raw);
    if (footer.ptr == NULL) return error_set(err, ERR_LIMIT, "footer over its limit");
    checksum = hash_str(footer);
    buf_append_u64(&tail, MAX(w->offset, (uint64_t)CONTAINER_MAGIC_BYTES));
    buf_append_u32(&tail, (uint32_t)footer.len);
    buf_append_u32(&tail, (uint32_t)raw.len);
    buf_append_u64(&tail, checksum);
    buf_append_u32(&tail, CONTAINER_VERSION);
    buf_append(&tail, CONTAINER_TAIL_MAGIC, 4);
    if (buf_failed(&tail)) return error_set(err, ERR_LIMIT, "no memory to write a block");
    TRY(put(w, footer, err));
    TRY(put(w, buf_str(&tail), err));
    *out = (BlockSummary){
        .parts = w->parts,
        .part_count = w->part_count,
        .bytes = w->offset,
        .footer_bytes = footer.len + tail.len,
        .checksum = checksum,
    };
    return ERR_OK;
}

/* ---------- sinks ---------- */

static ErrCode write_to_buf(void *context, Str bytes, Error *err) {
    Buf *buf = context;

    buf_append_str(buf, bytes);
    return buf_failed(buf) ? error_set(err, ERR_LIMIT, "object over %zu bytes", buf->len) : ERR_OK;
}

BlockSink block_sink_buf(Buf *buf) {
    return (BlockSink){write_to_buf, buf};
}

static ErrCode write_to_upload(void *context, Str bytes, Error *err) {
    return store_upload_write(context, bytes, err);
}

BlockSink block_sink_upload(StoreUpload *upload) {
    return (BlockSink){write_to_upload, upload};
}
