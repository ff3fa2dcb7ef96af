#pragma once
/*
 * driver.h: what a store driver supplies. Only drivers and store.c include this.
 *
 * store.c stands between callers and drivers, so a driver may count on: keys and prefixes are well
 * formed (key.c); `how`, `how->ret_tag`, `out` and `object` are never NULL; a condition comes only
 * when STORE_CONDITIONAL_PUT is among the features, and never both; lengths are not zero. And it
 * does for every driver: names the operation and key in errors, checks that a get brought as many
 * bytes as the object's size promises, counts and times.
 *
 * Calls come from many threads at once. A driver that talks over a network retries transient
 * failures itself and says ERR_UNAVAILABLE when it gave up.
 */
#include "common/store/store.h"

typedef struct DriverUpload DriverUpload; /* each driver has its own behind it */

typedef struct DriverGet {
    uint64_t offset; /* of the first byte; 0 when `tail` */
    size_t length;   /* may reach far past the end: clamp before allocating */
    bool tail;       /* the last `length` bytes instead */
} DriverGet;

struct StoreDriver {
    const char *name; /* static: "fs", "s3"; a label on /metrics */
    unsigned features;

    /* --- required --- */
    ErrCode (*put)(StoreDriver *driver, Str key, Str body, const StorePut *how, Error *err);
    /* Sets size, modified_ms (0: unknown) and tag of `object` too. An offset behind the last byte
     * is ERR_INVALID, one right at the end brings nothing and is fine. */
    ErrCode (*get)(StoreDriver *driver, Str key, const DriverGet *what, Arena *arena, Str *out,
                   StoreObject *object, Error *err);
    ErrCode (*head)(StoreDriver *driver, Str key, StoreObject *out, Error *err);
    /* Holds no lock while it calls each(), which may use the store. */
    ErrCode (*list)(StoreDriver *driver, Str prefix,
                    ErrCode (*each)(void *context, const StoreObject *object, Error *err),
                    void *context, Error *err);
    ErrCode (*remove)(StoreDriver *driver, Str key, Error *err);
    void (*free)(StoreDriver *driver);

    /* --- optional, all four or none: without them store.c collects the pieces and puts them --- */
    ErrCode (*upload_begin)(StoreDriver *driver, Str key, DriverUpload **out, Error *err);
    ErrCode (*upload_write)(StoreDriver *driver, DriverUpload *upload, Str bytes, Error *err);
    /* Both free the upload, whatever they return. */
    ErrCode (*upload_finish)(StoreDriver *driver, DriverUpload *upload, const StorePut *how,
                             Error *err);
    void (*upload_abort)(StoreDriver *driver, DriverUpload *upload);
};

/* --- key.c: what a key may look like, the same on every driver --- */
enum {
    STORE_KEY_BYTES_MAX = 900, /* S3 allows 1,024, the store's own prefix included */
    STORE_PART_BYTES_MAX = 255 /* a file's name */
};
/* Names that begin so belong to drivers: locks, files being written. */
#define STORE_RESERVED ".moraine-"

/* ERR_INVALID says what is wrong with it. */
MUST_USE ErrCode store_key_check(Str key, Error *err);
/* The same, but it may be empty or end anywhere: `a/`, `a/b`; not in `.` or `..`, which some stores
 * refuse. */
MUST_USE ErrCode store_prefix_check(Str prefix, Error *err);

/* --- one maker per driver; all strings are copied --- */
/* Makes the folder when it isn't there. `clock` gives modified_ms. */
MUST_USE ErrCode store_driver_fs(Str folder, const Clock *clock, StoreDriver **out, Error *err);
/* s3://bucket/prefix, with signature v4 or (libs3) v2. */
MUST_USE ErrCode store_driver_s3(const StoreOptions *options, StoreDriver **out, Error *err);
MUST_USE ErrCode store_driver_s3v2(const StoreOptions *options, StoreDriver **out, Error *err);
