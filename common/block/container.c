/*
 * container.c: reading the frame. Everything that comes from an object is checked here before
 * anybody uses it: lengths against what is there, checksums, versions.
 */
#include "common/block/container.h"

#include <string.h>

#include "common/base/hash.h"

ErrCode container_tail_parse(Str bytes, uint64_t size, ContainerTail *out, Error *err) {
    Reader r = reader_of(bytes);
    ContainerTail tail;
    uint32_t version;

    if (bytes.len != CONTAINER_TAIL_BYTES || size < CONTAINER_MAGIC_BYTES + CONTAINER_TAIL_BYTES)
        return error_set(err, ERR_CORRUPT, "too short for a container: %llu bytes",
                         (unsigned long long)size);
    if (memcmp(bytes.ptr + CONTAINER_TAIL_BYTES - 4, CONTAINER_TAIL_MAGIC, 4) != 0)
        return error_set(err, ERR_CORRUPT, "does not end as a container does");
    tail.footer_offset = reader_u64(&r);
    tail.footer_stored = reader_u32(&r);
    tail.footer_raw = reader_u32(&r);
    tail.checksum = reader_u64(&r);
    version = reader_u32(&r);
    if (version != CONTAINER_VERSION)
        return error_set(err, ERR_UNSUPPORTED, "container version %u, this program reads %d",
                         version, CONTAINER_VERSION);
    if (tail.footer_offset < CONTAINER_MAGIC_BYTES || tail.footer_offset > size ||
        tail.footer_offset + tail.footer_stored + CONTAINER_TAIL_BYTES != size ||
        tail.footer_stored > tail.footer_raw || tail.footer_raw > FOOTER_RAW_MAX)
        return error_set(err, ERR_CORRUPT, "tail locates no footer");
    *out = tail;
    return ERR_OK;
}

/* Compressed exactly when it is shorter than what it holds. */
static ErrCode inflate(Str stored, size_t raw_len, Arena *arena, Str *raw, Error *err) {
    char *to = arena_alloc_bytes(arena, MAX(raw_len, (size_t)1));
    size_t got;

    if (to == NULL) return error_set(err, ERR_LIMIT, "no memory for a page of %zu bytes", raw_len);
    *raw = (Str){to, raw_len};
    if (stored.len == raw_len) {
        memcpy(to, stored.ptr, raw_len);
        return ERR_OK;
    }
    got = ZSTD_decompress(to, raw_len, stored.ptr, stored.len);
    if (ZSTD_isError(got)) return error_set(err, ERR_CORRUPT, "page: %s", ZSTD_getErrorName(got));
    if (got != raw_len)
        return error_set(err, ERR_CORRUPT, "page of %zu bytes instead of %zu", got, raw_len);
    return ERR_OK;
}

/* ---------- footer ---------- */

static bool take_section(Reader *r, uint64_t *end, uint64_t footer_offset, Section *out) {
    uint64_t gap;

    out->kind = reader_u8(r);
    out->codec = reader_u8(r);
    gap = reader_varint(r);
    out->length = reader_varint(r);
    out->raw_length = reader_varint(r);
    if (r->failed || gap > footer_offset - *end || out->length > footer_offset - *end - gap)
        return false;
    out->offset = *end + gap;
    *end = out->offset + out->length;
    return true;
}

static ErrCode take_part(Reader *r, uint64_t *end, uint64_t footer_offset, Arena *arena,
                         ContainerPart *out, Error *err) {
    BlockPart *part = &out->part;
    uint64_t gap, sections, span;
    Section *list;

    part->tenant = reader_prefixed(r);
    part->signal = (Signal)reader_u8(r);
    part->min_ms = reader_zigzag(r);
    span = reader_varint(r);
    part->max_ms = (int64_t)((uint64_t)part->min_ms + span);
    part->series = reader_varint(r);
    part->items = reader_varint(r);
    gap = reader_varint(r);
    part->bytes = reader_varint(r);
    sections = reader_varint(r);
    /* A section takes five bytes at least. */
    if (r->failed || part->max_ms < part->min_ms || gap > footer_offset - *end ||
        part->bytes > footer_offset - *end - gap || sections > reader_left(r) / 5)
        return error_set(err, ERR_CORRUPT, "footer: bad part");
    out->offset = *end + gap;
    *end = out->offset;
    list = ARENA_ARRAY(arena, Section, MAX(sections, (uint64_t)1));
    if (list == NULL) return error_set(err, ERR_LIMIT, "no memory for a footer");
    for (uint64_t i = 0; i < sections; i++) {
        if (!take_section(r, end, out->offset + part->bytes, &list[i]))
            return error_set(err, ERR_CORRUPT, "footer: bad section");
    }
    *end = out->offset + part->bytes;
    out->sections = list;
    out->section_count = (uint32_t)sections;
    return ERR_OK;
}

static int compare_parts(const ContainerPart *a, Str tenant, Signal signal) {
    int order = str_compare(a->part.tenant, tenant);

    return order != 0 ? order : (a->part.signal > signal) - (a->part.signal < signal);
}

ErrCode container_footer_parse(Str bytes, const ContainerTail *tail, Arena *arena, Container *out,
                               Error *err) {
    uint64_t end = CONTAINER_MAGIC_BYTES, parts;
    ContainerPart *list;
    Reader r;
    Str raw;

    if (bytes.len != tail->footer_stored || hash_str(bytes) != tail->checksum)
        return error_set(err, ERR_CORRUPT, "footer: wrong checksum");
    TRY(inflate(bytes, tail->footer_raw, arena, &raw, err));
    r = reader_of(raw);
    out->created_ms = reader_zigzag(&r);
    (void)reader_u64(
        &r); /* the digest of all pages, which makes the footer's checksum theirs too */
    parts = reader_varint(&r);
    if (r.failed || parts > reader_left(&r) / 9)
        return error_set(err, ERR_CORRUPT, "footer: bad head");
    list = ARENA_ARRAY(arena, ContainerPart, MAX(parts, (uint64_t)1));
    if (list == NULL) return error_set(err, ERR_LIMIT, "no memory for a footer");
    for (uint64_t i = 0; i < parts; i++) {
        TRY(take_part(&r, &end, tail->footer_offset, arena, &list[i], err));
        if (i > 0 && compare_parts(&list[i - 1], list[i].part.tenant, list[i].part.signal) >= 0)
            return error_set(err, ERR_CORRUPT, "footer: parts out of order");
    }
    if (!reader_at_end(&r)) return error_set(err, ERR_CORRUPT, "footer: bytes left over");
    out->parts = list;
    out->part_count = (size_t)parts;
    out->checksum = tail->checksum;
    out->size = tail->footer_offset + tail->footer_stored + CONTAINER_TAIL_BYTES;
    return ERR_OK;
}

const ContainerPart *container_find_part(const Container *container, Str tenant, Signal signal) {
    size_t low = 0, high = container->part_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_parts(&container->parts[middle], tenant, signal);

        if (order == 0) return &container->parts[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const Section *container_find_section(const ContainerPart *part, SectionKind kind) {
    for (uint32_t i = 0; i < part->section_count; i++) {
        if (part->sections[i].kind == kind) return &part->sections[i];
    }
    return NULL;
}

/* ---------- pages ---------- */

ErrCode page_decode(Str bytes, Arena *arena, Str *raw, size_t *stored, Error *err) {
    Reader r = reader_of(bytes);
    uint32_t stored_len = reader_u32(&r), raw_len = reader_u32(&r);
    uint64_t checksum = reader_u64(&r);
    Str payload;

    if (r.failed || stored_len > reader_left(&r) || stored_len > raw_len || raw_len > PAGE_RAW_MAX)
        return error_set(err, ERR_CORRUPT, "page: bad head");
    payload = reader_bytes(&r, stored_len);
    /* The lengths are the seed, so that the checksum covers them as well. */
    if (hash_bytes_seeded(payload.ptr, payload.len, (uint64_t)raw_len << 32 | stored_len) !=
        checksum)
        return error_set(err, ERR_CORRUPT, "page: wrong checksum");
    TRY(inflate(payload, raw_len, arena, raw, err));
    *stored = PAGE_HEAD_BYTES + (size_t)stored_len;
    return ERR_OK;
}

ErrCode blob_decode(Str bytes, const Section *section, Arena *arena, Str *raw, Error *err) {
    size_t filled = 0;
    char *to = NULL;

    if (bytes.len != section->length)
        return error_set(err, ERR_CORRUPT, "section of %zu bytes instead of %llu", bytes.len,
                         (unsigned long long)section->length);
    while (bytes.len > 0) {
        CLEANUP(arena_free) Arena *scratch = NULL;
        size_t stored = 0;
        Str page = {0};

        /* Most sections are one page, which then needs no joining. */
        if (to == NULL) {
            TRY(page_decode(bytes, arena, &page, &stored, err));
            if (stored == bytes.len && page.len == section->raw_length) {
                *raw = page;
                return ERR_OK;
            }
            if (section->raw_length > (uint64_t)PAGE_RAW_MAX * (bytes.len / PAGE_HEAD_BYTES))
                return error_set(err, ERR_CORRUPT, "section: bad length");
            to = arena_alloc_bytes(arena, (size_t)section->raw_length + 1);
            if (to == NULL) return error_set(err, ERR_LIMIT, "no memory for a section");
        } else {
            scratch = arena_new(0, arena_budget(arena));
            TRY(page_decode(bytes, scratch, &page, &stored, err));
        }
        if (page.len > section->raw_length - filled)
            return error_set(err, ERR_CORRUPT, "section: more than its length");
        memcpy(to + filled, page.ptr, page.len);
        filled += page.len;
        bytes = str_from(bytes, stored);
    }
    if (filled != section->raw_length)
        return error_set(err, ERR_CORRUPT, "section: less than its length");
    *raw = (Str){to == NULL ? "" : to, filled};
    return ERR_OK;
}
