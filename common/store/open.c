/*
 * open.c: from a URL to a driver.
 */
#include "common/store/driver.h"

typedef struct Scheme {
    Str name;
    ErrCode (*open)(const StoreOptions *options, Str rest, StoreDriver **out, Error *err);
} Scheme;

static ErrCode open_file(const StoreOptions *options, Str rest, StoreDriver **out, Error *err) {
    /* file:///abs and file://./here; file:here as well. There are no other hosts. */
    if (str_starts_with(rest, STR("//"))) rest = str_from(rest, 2);
    if (str_starts_with(rest, STR("localhost/"))) rest = str_from(rest, 9);
    if (rest.len == 0) return error_set(err, ERR_INVALID, "url: a file: URL without a folder");
    if (memchr(rest.ptr, '\0', rest.len) != NULL)
        return error_set(err, ERR_INVALID, "url: a NUL in the folder's name");
    return store_driver_fs(rest, options->clock, out, err);
}

static ErrCode open_memory(const StoreOptions *options, Str rest, StoreDriver **out, Error *err) {
    if (rest.len > 0) return error_set(err, ERR_INVALID, "url: memory: has nothing after it");
    *out = store_driver_memory_at(options->clock);
    return *out == NULL ? error_set(err, ERR_LIMIT, "out of memory") : ERR_OK;
}

static ErrCode open_s3(const StoreOptions *options, Str rest, StoreDriver **out, Error *err) {
    (void)rest;
    if (options->signature.len == 0 || str_equal(options->signature, STR("v4")))
        return store_driver_s3(options, out, err);
    if (str_equal(options->signature, STR("v2"))) return store_driver_s3v2(options, out, err);
    return error_set(err, ERR_INVALID, "signature: '" STR_FMT "' is neither v4 nor v2",
                     STR_ARG(options->signature));
}

static const Scheme schemes[] = {
    {STR_INIT("file:"), open_file},
    {STR_INIT("memory:"), open_memory},
    {STR_INIT("s3://"), open_s3},
};

static ErrCode open_driver(const StoreOptions *options, StoreDriver **out, Error *err) {
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (str_starts_with(options->url, schemes[i].name))
            return schemes[i].open(options, str_from(options->url, schemes[i].name.len), out, err);
    return error_set(err, ERR_INVALID,
                     "url: '" STR_FMT "' is none of file:///folder, s3://bucket/prefix, memory:",
                     STR_ARG(options->url));
}

ErrCode store_open(const StoreOptions *options, Store **out, Error *err) {
    StoreDriver *driver = NULL;
    ErrCode code = open_driver(options, &driver, err);
    Store *store;

    if (code != ERR_OK) {
        error_wrap(err, "store");
        return code;
    }
    store = store_new(driver);
    if (store == NULL) return error_set(err, ERR_LIMIT, "store: out of memory");
    *out = store;
    return ERR_OK;
}
