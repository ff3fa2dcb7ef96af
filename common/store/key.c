/*
 * key.c: which keys a store takes.
 *
 * Keys come from our own code, but parts of them are tenants' names and ids that somebody sent, and
 * on the file driver a key is a path. So the rules are those of the strictest store, checked in one
 * place for all.
 */
#include "common/store/driver.h"

static ErrCode check_part(Str part, bool last_of_prefix, Error *err) {
    if (part.len > STORE_PART_BYTES_MAX)
        return error_set(err, ERR_INVALID, "key: a part of %zu bytes, at most %d are allowed",
                         part.len, STORE_PART_BYTES_MAX);
    if (part.len == 0 && !last_of_prefix) return error_set(err, ERR_INVALID, "key: an empty part");
    if (str_equal(part, STR(".")) || str_equal(part, STR("..")))
        return error_set(err, ERR_INVALID, "key: a part that is '.' or '..'");
    if (str_starts_with(part, STR(STORE_RESERVED)) && !last_of_prefix)
        return error_set(err, ERR_INVALID, "key: parts that begin with %s are reserved",
                         STORE_RESERVED);
    return ERR_OK;
}

static ErrCode check(Str key, bool is_prefix, Error *err) {
    Str rest = key;
    bool more = true;

    if (key.len > STORE_KEY_BYTES_MAX)
        return error_set(err, ERR_INVALID, "key: %zu bytes, at most %d are allowed", key.len,
                         STORE_KEY_BYTES_MAX);
    for (size_t i = 0; i < key.len; i++) {
        unsigned char byte = (unsigned char)key.ptr[i];

        /* XML 1.0 has no way to write them, so a listing could not name the key again. */
        if (byte < 0x20 || byte == 0x7f)
            return error_set(err, ERR_INVALID, "key: control character 0x%02x at byte %zu", byte,
                             i);
    }
    while (more) {
        Str part;

        more = str_cut(rest, '/', &part, &rest);
        TRY(check_part(part, is_prefix && !more, err));
    }
    /* A prefix may end in the middle of a character. */
    if (!is_prefix && !str_is_utf8(key)) return error_set(err, ERR_INVALID, "key: not UTF-8");
    return ERR_OK;
}

ErrCode store_key_check(Str key, Error *err) {
    return check(key, false, err);
}

ErrCode store_prefix_check(Str prefix, Error *err) {
    return check(prefix, true, err);
}
