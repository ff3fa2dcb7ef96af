/*
 * compress.c: answers made smaller. Whole ones by libdeflate (twice as fast as zlib) or zstd,
 * streamed ones by zlib or zstd, always at the fastest level: a query's answer is compressed once
 * and sent once.
 */
#include <libdeflate.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "common/net/internal.h"

enum { LEVEL = 1, GZIP_WINDOW_BITS = 15 + 16 /* 16: gzip's frame instead of zlib's */ };

struct Encoder {
    Coding coding;
    z_stream gzip;
    ZSTD_CCtx *zstd;
};

const char *coding_name(Coding coding) {
    return coding == CODING_GZIP ? "gzip" : coding == CODING_ZSTD ? "zstd" : "identity";
}

/* The weight of one element, "gzip;q=0.8", in thousandths; 0 when it isn't wanted or not clear. */
static int weight_of(Str parameters) {
    Str q = str_trim(parameters);
    int weight = 0, unit = 1000;

    if (q.len == 0) return 1000;
    if (!str_starts_with(q, STR("q=")) && !str_starts_with(q, STR("Q="))) return 1000;
    q = str_from(q, 2);
    for (size_t i = 0; i < q.len; i++) {
        if (q.ptr[i] == '.' && i == 1) continue;
        if (q.ptr[i] < '0' || q.ptr[i] > '9') return 0;
        weight += (q.ptr[i] - '0') * unit;
        unit /= 10;
    }
    return MIN(weight, 1000);
}

Coding coding_accepted(Str accept) {
    int gzip = 0, zstd = 0;

    while (accept.len > 0) {
        Str element, name, parameters;

        str_cut(accept, ',', &element, &accept);
        str_cut(element, ';', &name, &parameters);
        name = str_trim(name);
        if (str_equal_nocase(name, STR("gzip")) || str_equal_nocase(name, STR("x-gzip")))
            gzip = weight_of(parameters);
        else if (str_equal_nocase(name, STR("zstd")))
            zstd = weight_of(parameters);
    }
    if (zstd > 0 && zstd >= gzip) return CODING_ZSTD;
    return gzip > 0 ? CODING_GZIP : CODING_IDENTITY;
}

bool coding_pays(Str type) {
    static const Str packable[] = {
        STR_INIT("application/json"),       STR_INIT("application/x-protobuf"),
        STR_INIT("application/protobuf"),   STR_INIT("application/vnd.google.protobuf"),
        STR_INIT("application/javascript"), STR_INIT("application/openmetrics-text"),
        STR_INIT("application/yaml"),       STR_INIT("application/xml"),
        STR_INIT("image/svg+xml"),
    };
    Str parameters;

    str_cut(type, ';', &type, &parameters);
    type = str_trim(type);
    if (type.len > 5 && str_equal_nocase(str_slice(type, 0, 5), STR("text/"))) return true;
    if (str_ends_with(type, STR("+json"))) return true;
    for (size_t i = 0; i < ARRAY_LEN(packable); i++)
        if (str_equal_nocase(type, packable[i])) return true;
    return false;
}

static size_t compress_gzip(Str bytes, char *out, size_t room) {
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(LEVEL);
    size_t len;

    if (compressor == NULL) return 0;
    len = libdeflate_gzip_compress(compressor, bytes.ptr, bytes.len, out, room);
    libdeflate_free_compressor(compressor);
    return len;
}

bool coding_compress(Coding coding, Str bytes, Buf *out) {
    size_t room = bytes.len - bytes.len / 16,
           len = 0; /* less than a sixteenth saved isn't worth it */
    char *at = buf_reserve(out, room);

    if (at == NULL) {
        buf_clear(out);
        return false;
    }
    if (coding == CODING_GZIP) {
        len = compress_gzip(bytes, at, room);
    } else if (coding == CODING_ZSTD) {
        len = ZSTD_compress(at, room, bytes.ptr, bytes.len, LEVEL);
        if (ZSTD_isError(len)) len = 0;
    }
    buf_added(out, len);
    return len > 0;
}

Encoder *encoder_new(Coding coding) {
    Encoder *encoder = calloc(1, sizeof *encoder);
    bool ok;

    if (encoder == NULL) return NULL;
    encoder->coding = coding;
    if (coding == CODING_ZSTD) {
        encoder->zstd = ZSTD_createCCtx();
        ok = encoder->zstd != NULL &&
             !ZSTD_isError(ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_compressionLevel, LEVEL));
    } else {
        ok = deflateInit2(&encoder->gzip, LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS, 8,
                          Z_DEFAULT_STRATEGY) == Z_OK;
        if (!ok) encoder->coding = CODING_IDENTITY; /* there is nothing to end */
    }
    if (ok) return encoder;
    encoder_free(encoder);
    return NULL;
}

void encoder_free(Encoder *encoder) {
    if (encoder == NULL) return;
    if (encoder->coding == CODING_GZIP) (void)deflateEnd(&encoder->gzip);
    ZSTD_freeCCtx(encoder->zstd);
    free(encoder);
}

static bool write_zstd(Encoder *encoder, Str bytes, bool last, Buf *out) {
    ZSTD_inBuffer in = {bytes.ptr, bytes.len, 0};
    size_t left;

    do {
        ZSTD_outBuffer piece = {buf_reserve(out, KIB(16)), KIB(16), 0};

        if (piece.dst == NULL) return false;
        left =
            ZSTD_compressStream2(encoder->zstd, &piece, &in, last ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left)) return false;
        buf_added(out, piece.pos);
    } while (last ? left > 0 : in.pos < in.size);
    return true;
}

static bool write_gzip(Encoder *encoder, Str bytes, bool last, Buf *out) {
    z_stream *gzip = &encoder->gzip;
    int result;

    while (bytes.len > 0 || last) {
        uInt taken = (uInt)MIN(bytes.len, (size_t)1 << 30);
        bool is_end = last && taken == bytes.len;

        gzip->next_in = (Bytef *)bytes.ptr;
        gzip->avail_in = taken;
        do {
            char *at = buf_reserve(out, KIB(16));

            if (at == NULL) return false;
            gzip->next_out = (Bytef *)at;
            gzip->avail_out = (uInt)KIB(16);
            result = deflate(gzip, is_end ? Z_FINISH : Z_NO_FLUSH);
            if (result == Z_STREAM_ERROR) return false;
            buf_added(out, KIB(16) - gzip->avail_out);
        } while (gzip->avail_out == 0);
        bytes = str_from(bytes, taken);
        if (is_end) return result == Z_STREAM_END;
    }
    return true;
}

bool encoder_write(Encoder *encoder, Str bytes, bool last, Buf *out) {
    return encoder->coding == CODING_ZSTD ? write_zstd(encoder, bytes, last, out)
                                          : write_gzip(encoder, bytes, last, out);
}
