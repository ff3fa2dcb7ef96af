/*
 * store.c: the thin layer between callers and drivers.
 *
 * What every driver would have to do alike is done here once: keys are checked, errors get the
 * operation and key in front, answers are compared with what was asked for (a store or a proxy
 * before it may lie), requests are counted and timed.
 */
#include "common/store/store.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/telemetry.h"
#include "common/store/driver.h"

#define OPS(X)                                                                                     \
    X(OP_PUT, "put")                                                                               \
    X(OP_GET, "get")                                                                               \
    X(OP_HEAD, "head")                                                                             \
    X(OP_LIST, "list")                                                                             \
    X(OP_DELETE, "delete")                                                                         \
    X(OP_UPLOAD_BEGIN, "upload_begin")                                                             \
    X(OP_UPLOAD_WRITE, "upload_write")                                                             \
    X(OP_UPLOAD_FINISH, "upload_finish")

#define OP_ENUM(op, name) op,
typedef enum Op { OPS(OP_ENUM) OP_COUNT } Op;
#define OP_NAME(op, name) name,
static const char *const op_names[] = {OPS(OP_NAME)};

enum { CODE_COUNT = ERR_INTERNAL + 1 };

/* Without STORE_STREAMED_PUT the pieces of an upload wait in memory. */
static const size_t collect_bytes_max = GIB(1);

struct Store {
    StoreDriver *driver;
    _Atomic(Counter *) results[OP_COUNT][CODE_COUNT]; /* made when one first happens */
    Histogram *seconds[OP_COUNT];
    Counter *bytes_read;
    Counter *bytes_written;
};

struct StoreUpload {
    Store *store;
    DriverUpload *inner; /* NULL: the driver has no uploads, `pieces` is used */
    Buf pieces;
    ErrCode failed; /* of the first write that failed */
    size_t key_len;
    char key[STORE_KEY_BYTES_MAX];
};

Store *store_new(StoreDriver *driver) {
    Store *store;
    char labels[96];

    if (driver == NULL) return NULL;
    assert(driver->put && driver->get && driver->head && driver->list && driver->remove &&
           driver->free);
    assert(!driver->upload_begin == !driver->upload_write &&
           !driver->upload_begin == !driver->upload_finish &&
           !driver->upload_begin == !driver->upload_abort);
    store = calloc(1, sizeof *store);
    if (store == NULL) {
        driver->free(driver);
        return NULL;
    }
    store->driver = driver;
    for (Op op = 0; op < OP_COUNT; op++) {
        snprintf(labels, sizeof labels, "op=\"%s\",driver=\"%s\"", op_names[op], driver->name);
        store->seconds[op] = telemetry_histogram(
            "moraine_store_request_duration_seconds", labels,
            "Time of calls to the object store, retries included.", 0.0005, 2, 18);
    }
    snprintf(labels, sizeof labels, "op=\"get\",driver=\"%s\"", driver->name);
    store->bytes_read = telemetry_counter("moraine_store_bytes_total", labels,
                                          "Bytes of objects read from and written to the store.");
    snprintf(labels, sizeof labels, "op=\"put\",driver=\"%s\"", driver->name);
    store->bytes_written =
        telemetry_counter("moraine_store_bytes_total", labels,
                          "Bytes of objects read from and written to the store.");
    return store;
}

void store_free(Store *store) {
    if (store == NULL) return;
    store->driver->free(store->driver);
    free(store);
}

const char *store_name(const Store *store) {
    return store->driver->name;
}

unsigned store_features(const Store *store) {
    return store->driver->features;
}

static uint64_t started(void) {
    return clock_monotonic_ns(clock_system());
}

static void count(Store *store, Op op, ErrCode code, uint64_t start_ns) {
    _Atomic(Counter *) *slot = &store->results[op][(unsigned)code < CODE_COUNT ? code : 0];
    Counter *counter = atomic_load_explicit(slot, memory_order_acquire);

    if (counter == NULL) {
        char labels[128];

        snprintf(labels, sizeof labels, "op=\"%s\",result=\"%s\",driver=\"%s\"", op_names[op],
                 error_code_name(code), store->driver->name);
        counter = telemetry_counter("moraine_store_requests_total", labels,
                                    "Calls to the object store by result.");
        /* Two threads may both get here: the same labels give the same instrument. */
        atomic_store_explicit(slot, counter, memory_order_release);
    }
    counter_add(counter, 1);
    histogram_observe(store->seconds[op], (double)(started() - start_ns) / 1e9);
}

/* Ends every call: counts it, and puts the driver, operation and key before the error's text. */
static ErrCode done(Store *store, Op op, Str key, ErrCode code, uint64_t start_ns, Error *err) {
    count(store, op, code, start_ns);
    if (code == ERR_OK) return ERR_OK;
    error_wrap(err, "%s: %s " STR_FMT, store->driver->name, op_names[op], STR_ARG(key));
    return code;
}

static ErrCode check_how(const Store *store, const StorePut *how, Error *err) {
    assert(!(how->if_absent && how->if_match != NULL));
    if ((how->if_absent || how->if_match != NULL) &&
        (store->driver->features & STORE_CONDITIONAL_PUT) == 0)
        return error_set(err, ERR_UNSUPPORTED, "this store has no conditional put");
    return ERR_OK;
}

/* Drivers always find `ret_tag` set, callers find theirs untouched on failure. */
static ErrCode put_checked(Store *store, Str key, Str body, DriverUpload *upload,
                           const StorePut *how, Error *err) {
    StoreDriver *driver = store->driver;
    StoreTag tag = {0};
    StorePut full = how == NULL ? (StorePut){0} : *how;
    ErrCode code = check_how(store, &full, err);

    full.ret_tag = &tag;
    if (upload != NULL) {
        if (code == ERR_OK)
            code = driver->upload_finish(driver, upload, &full, err);
        else
            driver->upload_abort(driver, upload);
    } else if (code == ERR_OK) {
        code = driver->put(driver, key, body, &full, err);
    }
    if (code == ERR_OK && how != NULL && how->ret_tag != NULL) *how->ret_tag = tag;
    return code;
}

ErrCode store_put(Store *store, Str key, Str body, const StorePut *how, Error *err) {
    uint64_t start = started();
    ErrCode code = store_key_check(key, err);

    if (code == ERR_OK) code = put_checked(store, key, body, NULL, how, err);
    if (code == ERR_OK) counter_add(store->bytes_written, body.len);
    return done(store, OP_PUT, key, code, start, err);
}

static ErrCode get_checked(Store *store, Str key, const DriverGet *what, Arena *arena, Str *out,
                           StoreObject *object, Error *err) {
    StoreDriver *driver = store->driver;
    uint64_t want;

    TRY(store_key_check(key, err));
    if (what->length == 0) {
        TRY(driver->head(driver, key, object, err));
        if (what->offset > object->size)
            return error_set(err, ERR_INVALID, "offset %llu of an object of %llu bytes",
                             (unsigned long long)what->offset, (unsigned long long)object->size);
        *out = (Str){"", 0};
        return ERR_OK;
    }
    TRY(driver->get(driver, key, what, arena, out, object, err));
    if (!what->tail && what->offset > object->size)
        return error_set(err, ERR_CORRUPT, "bytes behind the end of an object of %llu",
                         (unsigned long long)object->size);
    want = what->tail ? object->size : object->size - what->offset;
    want = MIN(want, what->length);
    /* A proxy in front of S3 may answer 206 with less than was asked for, and no error. */
    if (out->len != want)
        return error_set(err, ERR_CORRUPT, "the store sent %zu of %llu bytes", out->len,
                         (unsigned long long)want);
    return ERR_OK;
}

static ErrCode get(Store *store, Str key, const DriverGet *what, Arena *arena, Str *out,
                   StoreObject *object, Error *err) {
    uint64_t start = started();
    StoreObject found = {0};
    Str got = {0};
    ErrCode code = get_checked(store, key, what, arena, &got, &found, err);

    if (code == ERR_OK) {
        counter_add(store->bytes_read, got.len);
        found.key = key;
        *out = got;
        if (object != NULL) *object = found;
    }
    return done(store, OP_GET, key, code, start, err);
}

ErrCode store_get(Store *store, Str key, uint64_t offset, size_t length, Arena *arena, Str *out,
                  StoreObject *object, Error *err) {
    return get(store, key, &(DriverGet){.offset = offset, .length = length}, arena, out, object,
               err);
}

ErrCode store_get_tail(Store *store, Str key, size_t length, Arena *arena, Str *out,
                       StoreObject *object, Error *err) {
    return get(store, key, &(DriverGet){.length = length, .tail = true}, arena, out, object, err);
}

ErrCode store_head(Store *store, Str key, StoreObject *out, Error *err) {
    uint64_t start = started();
    StoreObject found = {0};
    ErrCode code = store_key_check(key, err);

    if (code == ERR_OK) code = store->driver->head(store->driver, key, &found, err);
    if (code == ERR_OK) {
        found.key = key;
        *out = found;
    }
    return done(store, OP_HEAD, key, code, start, err);
}

ErrCode store_delete(Store *store, Str key, Error *err) {
    uint64_t start = started();
    ErrCode code = store_key_check(key, err);

    if (code == ERR_OK) code = store->driver->remove(store->driver, key, err);
    return done(store, OP_DELETE, key, code, start, err);
}

/* Stands between a driver's list and the caller's each(): a listing that is out of order or repeats
 * itself would make merges above lose objects without a word. */
typedef struct ListCheck {
    ErrCode (*each)(void *context, const StoreObject *object, Error *err);
    void *context;
    Str prefix;
    bool each_failed;
    size_t last_len;
    char last[STORE_KEY_BYTES_MAX];
} ListCheck;

static ErrCode list_each(void *context, const StoreObject *object, Error *err) {
    ListCheck *list = context;
    ErrCode code;

    if (!str_starts_with(object->key, list->prefix))
        return error_set(err, ERR_CORRUPT, "the store listed " STR_FMT ", which was not asked for",
                         STR_ARG(object->key));
    /* What somebody else put there, such as a console's folder markers. */
    if (store_key_check(object->key, NULL) != ERR_OK) return ERR_OK;
    if (list->last_len > 0 && str_compare(object->key, (Str){list->last, list->last_len}) <= 0)
        return error_set(err, ERR_CORRUPT, "the store listed " STR_FMT " out of order",
                         STR_ARG(object->key));
    memcpy(list->last, object->key.ptr, object->key.len);
    list->last_len = object->key.len;
    code = list->each(list->context, object, err);
    list->each_failed = code != ERR_OK;
    return code;
}

ErrCode store_list(Store *store, Str prefix,
                   ErrCode (*each)(void *context, const StoreObject *object, Error *err),
                   void *context, Error *err) {
    uint64_t start = started();
    ListCheck list = {.each = each, .context = context, .prefix = prefix};
    ErrCode code = store_prefix_check(prefix, err);

    if (code == ERR_OK) code = store->driver->list(store->driver, prefix, list_each, &list, err);
    if (list.each_failed) {
        count(store, OP_LIST, ERR_OK, start); /* the store did nothing wrong */
        return code;
    }
    return done(store, OP_LIST, prefix, code, start, err);
}

/* --- uploads --- */

static void upload_free(StoreUpload *upload) {
    buf_done(&upload->pieces);
    free(upload);
}

static ErrCode upload_new(Store *store, Str key, StoreUpload **out, Error *err) {
    StoreUpload *upload;
    ErrCode code = ERR_OK;

    TRY(store_key_check(key, err));
    upload = calloc(1, sizeof *upload);
    if (upload == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    upload->store = store;
    memcpy(upload->key, key.ptr, key.len);
    upload->key_len = key.len;
    buf_init(&upload->pieces, collect_bytes_max);
    if (store->driver->upload_begin != NULL)
        code = store->driver->upload_begin(store->driver, key, &upload->inner, err);
    if (code != ERR_OK) {
        upload_free(upload);
        return code;
    }
    *out = upload;
    return ERR_OK;
}

ErrCode store_upload_begin(Store *store, Str key, StoreUpload **out, Error *err) {
    uint64_t start = started();
    ErrCode code = upload_new(store, key, out, err);

    return done(store, OP_UPLOAD_BEGIN, key, code, start, err);
}

static ErrCode upload_append(StoreUpload *upload, Str bytes, Error *err) {
    StoreDriver *driver = upload->store->driver;

    if (upload->failed != ERR_OK)
        return error_set(err, upload->failed, "an earlier piece was not written");
    if (bytes.len == 0) return ERR_OK;
    if (upload->inner != NULL) return driver->upload_write(driver, upload->inner, bytes, err);
    buf_append_str(&upload->pieces, bytes);
    if (buf_failed(&upload->pieces))
        return error_set(err, ERR_LIMIT,
                         "out of memory, or more than %zu bytes for a store that takes only whole "
                         "objects",
                         collect_bytes_max);
    return ERR_OK;
}

ErrCode store_upload_write(StoreUpload *upload, Str bytes, Error *err) {
    uint64_t start = started();
    Str key = {upload->key, upload->key_len};
    ErrCode code = upload_append(upload, bytes, err);

    if (code == ERR_OK) counter_add(upload->store->bytes_written, bytes.len);
    if (code != ERR_OK && upload->failed == ERR_OK) upload->failed = code;
    return done(upload->store, OP_UPLOAD_WRITE, key, code, start, err);
}

ErrCode store_upload_finish(StoreUpload *upload, const StorePut *how, Error *err) {
    uint64_t start = started();
    Store *store = upload->store;
    Str key = {upload->key, upload->key_len};
    ErrCode code = upload_append(upload, (Str){0}, err);

    if (code == ERR_OK)
        code = put_checked(store, key, buf_str(&upload->pieces), upload->inner, how, err);
    else if (upload->inner != NULL)
        store->driver->upload_abort(store->driver, upload->inner);
    code = done(store, OP_UPLOAD_FINISH, key, code, start, err);
    upload_free(upload);
    return code;
}

void store_upload_abort(StoreUpload *upload) {
    if (upload == NULL) return;
    if (upload->inner != NULL)
        upload->store->driver->upload_abort(upload->store->driver, upload->inner);
    upload_free(upload);
}
