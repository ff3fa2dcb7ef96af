/*
 * encoding.c: bodies without their Content-Encoding. What a few bytes may grow into is bounded, by
 * the caller's limit and by the arena's budget, before it grows.
 */
#include <libdeflate.h>
#include <snappy-c.h>
#include <zstd.h>

#include "common/net/internal.h"

enum {
    DEFLATE_RATIO_MAX = 1032, /* of any deflate stream: 258 bytes for two bits */
    ZSTD_WINDOW_LOG_MAX = 23, /* 8 MiB: what RFC 9659 lets a sender of zstd ask for */
};

typedef struct Inflated {
    Arena *arena;
    char *ptr;
    size_t len, capacity;
    size_t bytes_max;
} Inflated;

static ErrCode no_memory(Error *err) {
    /* The budget is shared, so the same body may fit a moment later. */
    return error_set(err, ERR_UNAVAILABLE, "no memory left in the budget of bodies");
}

static ErrCode too_large(const Inflated *out, Error *err) {
    return error_set(err, ERR_LIMIT, "the body inflates to more than the limit of %zu bytes",
                     out->bytes_max);
}

/* Room for `capacity` bytes in all, or as many as the limit allows. */
static ErrCode make_room(Inflated *out, size_t capacity, Error *err) {
    char *grown;

    capacity = MIN(MAX(capacity, 1), out->bytes_max);
    if (capacity <= out->capacity) return out->capacity > 0 ? ERR_OK : too_large(out, err);
    grown = arena_grow(out->arena, out->ptr, out->capacity, capacity);
    if (grown == NULL) return no_memory(err);
    out->ptr = grown;
    out->capacity = capacity;
    return ERR_OK;
}

static ErrCode grow(Inflated *out, Error *err) {
    if (out->capacity >= out->bytes_max) return too_large(out, err);
    return make_room(out, out->capacity > SIZE_MAX / 2 ? SIZE_MAX : out->capacity * 2, err);
}

typedef enum libdeflate_result Inflate(struct libdeflate_decompressor *, const void *, size_t,
                                       void *, size_t, size_t *, size_t *);

/* A gzip file ends in its length, which may be a lie, but never in more than deflate can do. */
static size_t guess_inflated(Str bytes, bool is_gzip) {
    size_t guess = bytes.len * 4;

    if (is_gzip && bytes.len >= 18) {
        const uint8_t *tail = (const uint8_t *)bytes.ptr + bytes.len - 4;

        guess =
            (size_t)tail[0] | (size_t)tail[1] << 8 | (size_t)tail[2] << 16 | (size_t)tail[3] << 24;
    }
    return MIN(MAX(guess, KIB(4)), bytes.len * DEFLATE_RATIO_MAX + 64);
}

static ErrCode inflate_members(struct libdeflate_decompressor *decompressor, Inflate *inflate,
                               Str bytes, bool many, Inflated *out, Error *err) {
    while (true) {
        size_t used = 0, made = 0;
        enum libdeflate_result result =
            inflate(decompressor, bytes.ptr, bytes.len, out->ptr + out->len,
                    out->capacity - out->len, &used, &made);

        if (result == LIBDEFLATE_INSUFFICIENT_SPACE) {
            TRY(grow(out, err));
            continue;
        }
        if (result != LIBDEFLATE_SUCCESS)
            return error_set(err, ERR_INVALID, "the body is not valid %s",
                             many ? "gzip" : "deflate");
        out->len += made;
        bytes = str_from(bytes, used);
        if (bytes.len == 0) return ERR_OK;
        if (!many) return error_set(err, ERR_INVALID, "bytes behind the deflate body");
    }
}

static ErrCode decode_deflate(Str bytes, bool is_gzip, Inflated *out, Error *err) {
    struct libdeflate_decompressor *decompressor;
    Inflate *inflate = libdeflate_gzip_decompress_ex;
    ErrCode code;

    if (bytes.len > SIZE_MAX / DEFLATE_RATIO_MAX - 64) return too_large(out, err);
    if (!is_gzip) {
        /* "deflate" means zlib's frame; some send the bare stream. The frame's first two bytes,
         * read as a number, are a multiple of 31. */
        const uint8_t *head = (const uint8_t *)bytes.ptr;
        bool is_zlib =
            bytes.len >= 2 && (head[0] & 0x0f) == 8 && (head[0] << 8 | head[1]) % 31 == 0;

        inflate = is_zlib ? libdeflate_zlib_decompress_ex : libdeflate_deflate_decompress_ex;
    }
    TRY(make_room(out, guess_inflated(bytes, is_gzip), err));
    decompressor = libdeflate_alloc_decompressor();
    if (decompressor == NULL) return no_memory(err);
    code = inflate_members(decompressor, inflate, bytes, is_gzip, out, err);
    libdeflate_free_decompressor(decompressor);
    return code;
}

static ErrCode decode_zstd_stream(ZSTD_DCtx *context, Str bytes, Inflated *out, Error *err) {
    ZSTD_inBuffer in = {bytes.ptr, bytes.len, 0};
    size_t left = 0;

    while (true) {
        ZSTD_outBuffer piece = {out->ptr, out->capacity, out->len};

        left = ZSTD_decompressStream(context, &piece, &in);
        if (ZSTD_isError(left))
            return error_set(err, ERR_INVALID, "the body is not valid zstd: %s",
                             ZSTD_getErrorName(left));
        out->len = piece.pos;
        if (in.pos == in.size && out->len < out->capacity) break;
        if (out->len < out->capacity) continue; /* at the end of a frame, before the next */
        if (left == 0 && in.pos == in.size) break;
        TRY(grow(out, err));
    }
    return left == 0 ? ERR_OK : error_set(err, ERR_INVALID, "the zstd body is cut off");
}

static ErrCode decode_zstd(Str bytes, Inflated *out, Error *err) {
    unsigned long long promised = ZSTD_getFrameContentSize(bytes.ptr, bytes.len);
    ZSTD_DCtx *context;
    ErrCode code;

    if (promised == ZSTD_CONTENTSIZE_ERROR)
        return error_set(err, ERR_INVALID, "the body is not valid zstd");
    if (promised == ZSTD_CONTENTSIZE_UNKNOWN)
        promised = (unsigned long long)bytes.len * 4;
    else if (promised > out->bytes_max)
        return too_large(out, err);
    TRY(make_room(out, MAX((size_t)promised, KIB(4)), err));
    context = ZSTD_createDCtx();
    if (context == NULL) return no_memory(err);
    (void)ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
    code = decode_zstd_stream(context, bytes, out, err);
    ZSTD_freeDCtx(context);
    return code;
}

static ErrCode decode_snappy(Str bytes, Inflated *out, Error *err) {
    size_t len = 0;

    if (snappy_uncompressed_length(bytes.ptr, bytes.len, &len) != SNAPPY_OK)
        return error_set(err, ERR_INVALID, "the body is not valid snappy");
    if (len > out->bytes_max) return too_large(out, err);
    /* No block grows more than 64 bytes for three; so a length alone can't take the budget. */
    if (len / 32 > bytes.len) return error_set(err, ERR_INVALID, "the body is not valid snappy");
    TRY(make_room(out, len, err));
    if (snappy_uncompress(bytes.ptr, bytes.len, out->ptr, &len) != SNAPPY_OK)
        return error_set(err, ERR_INVALID, "the body is not valid snappy");
    out->len = len;
    return ERR_OK;
}

ErrCode http_decode(Str encoding, Str bytes, size_t bytes_max, Arena *arena, Str *out, Error *err) {
    Inflated inflated = {.arena = arena, .bytes_max = bytes_max};
    ErrCode code;

    encoding = str_trim(encoding);
    if (encoding.len == 0 || str_equal_nocase(encoding, STR("identity"))) {
        if (bytes.len > bytes_max)
            return error_set(err, ERR_LIMIT, "the body of %zu bytes is over the limit of %zu bytes",
                             bytes.len, bytes_max);
        *out = bytes;
        return ERR_OK;
    }
    if (str_equal_nocase(encoding, STR("snappy")))
        code = decode_snappy(bytes, &inflated, err);
    else if (str_equal_nocase(encoding, STR("gzip")) || str_equal_nocase(encoding, STR("x-gzip")))
        code = decode_deflate(bytes, true, &inflated, err);
    else if (str_equal_nocase(encoding, STR("deflate")))
        code = decode_deflate(bytes, false, &inflated, err);
    else if (str_equal_nocase(encoding, STR("zstd")))
        code = decode_zstd(bytes, &inflated, err);
    else
        return error_set(err, ERR_UNSUPPORTED,
                         "Content-Encoding " STR_FMT
                         " is not known: send gzip, deflate, zstd, snappy or identity",
                         STR_ARG(str_slice(encoding, 0, 40)));
    if (code == ERR_OK) *out = (Str){inflated.ptr, inflated.len};
    return code;
}

ErrCode http_body_decoded(HttpRequest *request, size_t bytes_max, Str *out, Error *err) {
    return http_decode(http_header(request, "content-encoding"), http_body(request), bytes_max,
                       http_arena(request), out, err);
}
