#include "gateway/inflate.h"

#include <snappy-c.h>

ErrCode inflate_snappy_len(Str body, uint64_t bytes_max, size_t *out, Error *err) {
    size_t len;

    if (snappy_uncompressed_length(body.ptr, body.len, &len) != SNAPPY_OK)
        return error_set(err, ERR_INVALID, "the body is not a snappy block");
    /* The densest element copies 64 bytes for 3. What claims more than that is broken, and memory
     * must not be set aside for the claim. */
    if (len / 22 > body.len)
        return error_set(err, ERR_INVALID,
                         "the body claims to inflate from %zu to %zu bytes, which it can't",
                         body.len, len);
    if (bytes_max > 0 && len > bytes_max)
        return error_set(err, ERR_LIMIT, "the body has %zu bytes; limits.request_bytes_max is %llu",
                         len, (unsigned long long)bytes_max);
    *out = len;
    return ERR_OK;
}

ErrCode inflate_no_memory(Error *err) {
    return error_set(err, ERR_UNAVAILABLE, "no memory left for bodies; try again");
}

ErrCode inflate_snappy(Buffers *buffers, Arena *arena, Str sent, uint64_t bytes_max, Str *out,
                       Error *err) {
    size_t len;
    char *body;

    TRY(inflate_snappy_len(sent, bytes_max, &len, err));
    body = buffers_take(buffers, len);
    if (body == NULL) return inflate_no_memory(err);
    if (!arena_on_free(arena, buffers_give_back, body)) {
        buffers_give(buffers, body);
        return inflate_no_memory(err);
    }
    if (snappy_uncompress(sent.ptr, sent.len, body, &len) != SNAPPY_OK)
        return error_set(err, ERR_INVALID, "the body is not a snappy block");
    *out = (Str){body, len};
    return ERR_OK;
}
