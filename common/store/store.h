#pragma once
/*
 * store.h: named, immutable objects on any store: S3, a folder, memory.
 *
 * Nothing above this header knows which driver it talks to; drivers are fs.c, s3.c, s3v2.c (libs3),
 * memory.c and, for tests, fault.c. What not every store can do is a feature flag, never an
 * `if (s3)`. Thread-safe: every lane, query and background thread may share one Store. Calls block.
 *
 * Keys are relative to the store's prefix, `/`-separated UTF-8 of at most 900 bytes, and never hold
 * `.`, `..`, empty parts, control characters, a part of more than 255 bytes or one that begins with
 * `.moraine-`: ERR_INVALID. A key must not be another's folder (`a` and `a/b`): a file system
 * can't. Transient failures were already retried by the driver when ERR_UNAVAILABLE comes back.
 */
#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/str.h"

typedef struct Store Store;
typedef struct StoreDriver StoreDriver; /* only for who writes one: common/store/driver.h */

enum {
    STORE_CONDITIONAL_PUT = 1 << 0, /* if_absent and if_match are honoured */
    STORE_STREAMED_PUT = 1 << 1,    /* store_upload_* needs no whole object in memory */
};

typedef struct StoreTag {
    char text[80]; /* the ETag, quotes included, NUL-terminated */
} StoreTag;

typedef struct StoreObject {
    Str key;
    uint64_t size;
    int64_t modified_ms;
    StoreTag tag;
} StoreObject;

typedef struct StorePut {
    bool if_absent;           /* ERR_EXISTS when the key is taken */
    const StoreTag *if_match; /* ERR_EXISTS when the object is another by now, or gone */
    StoreTag *ret_tag;        /* when given: the new object's tag */
} StorePut;

/* Owns `driver` from here on, also when it returns NULL (out of memory). */
Store *store_new(StoreDriver *driver);
void store_free(Store *store); /* NULL is fine; no call may still be running */
DEFINE_CLEANUP(Store, store_free)

const char *store_name(const Store *store); /* "fs", "s3": for logs */
unsigned store_features(const Store *store);

/* Returns once the object is durable. `how` may be NULL: overwrite. ERR_UNAVAILABLE means it may or
 * may not have happened. With a condition, ERR_EXISTS may then mean oneself: the
 * driver repeats a put whose answer was lost, and the repeat meets the first. Who needs to know
 * compares the content. ERR_UNSUPPORTED: a condition, but not STORE_CONDITIONAL_PUT. */
MUST_USE ErrCode store_put(Store *store, Str key, Str body, const StorePut *how, Error *err);

/* Reads [offset, offset + length) into `arena`; fewer bytes only where the object ends (none when
 * `offset` is its size). ERR_NOT_FOUND: no such key. ERR_INVALID: offset past the end. ERR_CORRUPT:
 * the store sent fewer bytes than it said. ERR_LIMIT: the arena's budget. `object`, when given,
 * gets size and tag (key: as asked). */
MUST_USE ErrCode store_get(Store *store, Str key, uint64_t offset, size_t length, Arena *arena,
                           Str *out, StoreObject *object, Error *err);
/* The last `length` bytes, or all when it is smaller: for footers. */
MUST_USE ErrCode store_get_tail(Store *store, Str key, size_t length, Arena *arena, Str *out,
                                StoreObject *object, Error *err);
MUST_USE ErrCode store_head(Store *store, Str key, StoreObject *out, Error *err);
/* Calls each() for every key that starts with `prefix`, in byte order; its error ends the list and
 * comes back as it is. No lock is held meanwhile. Names that are no keys (see above) are left out.
 * `prefix` may be empty or end anywhere. */
MUST_USE ErrCode store_list(Store *store, Str prefix,
                            ErrCode (*each)(void *context, const StoreObject *object, Error *err),
                            void *context, Error *err);
/* A key that isn't there is fine. */
MUST_USE ErrCode store_delete(Store *store, Str key, Error *err);

/* Large objects piece by piece: nothing is visible before finish. One thread at a time. Without
 * STORE_STREAMED_PUT the pieces are collected in memory, at most 1 GiB: ERR_LIMIT. */
typedef struct StoreUpload StoreUpload;
MUST_USE ErrCode store_upload_begin(Store *store, Str key, StoreUpload **out, Error *err);
MUST_USE ErrCode store_upload_write(StoreUpload *upload, Str bytes, Error *err);
/* Both free the upload, whatever they return. After a write that failed, finish fails as well. */
MUST_USE ErrCode store_upload_finish(StoreUpload *upload, const StorePut *how, Error *err);
void store_upload_abort(StoreUpload *upload);

/* What a driver is made from. Strings are copied. */
typedef struct StoreOptions {
    Str url;        /* file:///dir or file://./dir, s3://bucket/prefix, memory: */
    Str endpoint;   /* https://host:port; empty: AWS' own for the region */
    Str region;     /* empty: us-east-1 */
    Str access_key; /* empty: environment, then the shared credentials file */
    Str secret_key;
    Str session_token;
    Str profile; /* in the shared credentials file; empty: AWS_PROFILE or "default" */
    Str ca_file;
    Str signature;         /* "v4" (default) or "v2": libs3, http only, no features, s3v2.c */
    bool virtual_host;     /* bucket in the host name instead of the path */
    unsigned attempts_max; /* 0: 5 */
    uint64_t timeout_ms;   /* a request's, 0: 60,000; and 1 ms more for each KiB of its body */
    const Clock *clock;    /* NULL: the system's */
} StoreOptions;

/* Picks the driver by URL scheme and signature; reads AWS_* variables where a field is empty.
 * ERR_INVALID names the option that is wrong or missing. */
MUST_USE ErrCode store_open(const StoreOptions *options, Store **out, Error *err);

/* For tests: all features, nothing durable. `clock` gives modified_ms; NULL: the system's. */
StoreDriver *store_driver_memory(void);
StoreDriver *store_driver_memory_at(const Clock *clock);
