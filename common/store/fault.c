/*
 * fault.c: wraps a driver and fails where it is told to. The plan and the counters stand under one
 * lock; the wrapped calls run outside it.
 */
#include "common/store/fault.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/store/driver.h"

typedef struct Fault {
    StoreDriver driver;
    StoreDriver *inner;
    pthread_mutex_t lock; /* all below */
    FaultPlan plan;
    char key_has[128];
    uint64_t calls;
    uint64_t fired;
} Fault;

typedef struct FaultUpload {
    DriverUpload *inner;
    size_t key_len;
    char key[STORE_KEY_BYTES_MAX];
} FaultUpload;

static bool has(Str text, Str part) {
    return part.len == 0 ||
           (text.len >= part.len && memmem(text.ptr, text.len, part.ptr, part.len) != NULL);
}

/* Counts the call and says what is to happen to it. */
static FaultPlan next(Fault *fault, unsigned kind, Str key) {
    FaultPlan plan = {0};

    pthread_mutex_lock(&fault->lock);
    if ((fault->plan.only == 0 || (fault->plan.only & kind) != 0) &&
        has(key, fault->plan.key_has)) {
        const FaultPlan *armed = &fault->plan;

        fault->calls++;
        if (armed->kind != FAULT_NONE &&
            (fault->calls == armed->call || (armed->for_good && fault->calls > armed->call))) {
            fault->fired++;
            plan = *armed;
        }
    }
    pthread_mutex_unlock(&fault->lock);
    if (plan.kind == FAULT_SLOW) clock_sleep_ms(plan.slow_ms);
    return plan;
}

static ErrCode fail(const FaultPlan *plan, Error *err) {
    return error_set(err, plan->code == ERR_OK ? ERR_UNAVAILABLE : plan->code, "injected: %s",
                     plan->kind == FAULT_AFTER ? "the answer was lost" : "no connection");
}

/* Whether a call that brings no bytes fails before it happens. */
static bool fails_before(const FaultPlan *plan) {
    return plan->kind == FAULT_BEFORE || plan->kind == FAULT_TRUNCATE ||
           plan->kind == FAULT_WRONG_BYTES;
}

/* Counts, then makes the call unless the plan says no; the answer may get lost. */
#define WITH_FAULT(fault, which, key, call, err)                                                   \
    do {                                                                                           \
        FaultPlan plan_ = next(fault, which, key);                                                 \
        if (fails_before(&plan_)) return fail(&plan_, err);                                        \
        TRY(call);                                                                                 \
        return plan_.kind == FAULT_AFTER ? fail(&plan_, err) : ERR_OK;                             \
    } while (0)

static ErrCode fault_put(StoreDriver *driver, Str key, Str body, const StorePut *how, Error *err) {
    StoreDriver *inner = ((Fault *)driver)->inner;

    WITH_FAULT((Fault *)driver, FAULT_PUTS, key, inner->put(inner, key, body, how, err), err);
}

static ErrCode fault_get(StoreDriver *driver, Str key, const DriverGet *what, Arena *arena,
                         Str *out, StoreObject *object, Error *err) {
    Fault *fault = (Fault *)driver;
    FaultPlan plan = next(fault, FAULT_GETS, key);
    Str got = {0};

    if (plan.kind == FAULT_BEFORE) return fail(&plan, err);
    TRY(fault->inner->get(fault->inner, key, what, arena, &got, object, err));
    if (plan.kind == FAULT_AFTER) return fail(&plan, err);
    if (plan.kind == FAULT_TRUNCATE) got.len /= 2;
    /* The bytes are the arena's, so they may be written to. */
    if (plan.kind == FAULT_WRONG_BYTES && got.len > 0) ((char *)got.ptr)[got.len / 2] ^= 0x20;
    *out = got;
    return ERR_OK;
}

static ErrCode fault_head(StoreDriver *driver, Str key, StoreObject *out, Error *err) {
    StoreDriver *inner = ((Fault *)driver)->inner;

    WITH_FAULT((Fault *)driver, FAULT_HEADS, key, inner->head(inner, key, out, err), err);
}

static ErrCode fault_list(StoreDriver *driver, Str prefix,
                          ErrCode (*each)(void *context, const StoreObject *object, Error *err),
                          void *context, Error *err) {
    StoreDriver *inner = ((Fault *)driver)->inner;

    WITH_FAULT((Fault *)driver, FAULT_LISTS, prefix, inner->list(inner, prefix, each, context, err),
               err);
}

static ErrCode fault_delete(StoreDriver *driver, Str key, Error *err) {
    StoreDriver *inner = ((Fault *)driver)->inner;

    WITH_FAULT((Fault *)driver, FAULT_DELETES, key, inner->remove(inner, key, err), err);
}

static ErrCode fault_upload_begin(StoreDriver *driver, Str key, DriverUpload **out, Error *err) {
    Fault *fault = (Fault *)driver;
    FaultPlan plan = next(fault, FAULT_PUTS, key);
    FaultUpload *upload;
    ErrCode code;

    if (plan.kind != FAULT_NONE && plan.kind != FAULT_SLOW) return fail(&plan, err);
    upload = calloc(1, sizeof *upload);
    if (upload == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    memcpy(upload->key, key.ptr, key.len);
    upload->key_len = key.len;
    code = fault->inner->upload_begin(fault->inner, key, &upload->inner, err);
    if (code != ERR_OK)
        free(upload);
    else
        *out = (DriverUpload *)upload;
    return code;
}

static ErrCode fault_upload_write(StoreDriver *driver, DriverUpload *upload, Str bytes,
                                  Error *err) {
    StoreDriver *inner = ((Fault *)driver)->inner;
    FaultUpload *wrapped = (FaultUpload *)upload;
    Str key = {wrapped->key, wrapped->key_len};

    WITH_FAULT((Fault *)driver, FAULT_PUTS, key,
               inner->upload_write(inner, wrapped->inner, bytes, err), err);
}

static ErrCode fault_upload_finish(StoreDriver *driver, DriverUpload *upload, const StorePut *how,
                                   Error *err) {
    Fault *fault = (Fault *)driver;
    FaultUpload *wrapped = (FaultUpload *)upload;
    FaultPlan plan = next(fault, FAULT_PUTS, (Str){wrapped->key, wrapped->key_len});
    DriverUpload *inner = wrapped->inner;

    free(wrapped);
    if (fails_before(&plan)) {
        fault->inner->upload_abort(fault->inner, inner);
        return fail(&plan, err);
    }
    TRY(fault->inner->upload_finish(fault->inner, inner, how, err));
    return plan.kind == FAULT_AFTER ? fail(&plan, err) : ERR_OK;
}

static void fault_upload_abort(StoreDriver *driver, DriverUpload *upload) {
    Fault *fault = (Fault *)driver;
    FaultUpload *wrapped = (FaultUpload *)upload;

    fault->inner->upload_abort(fault->inner, wrapped->inner);
    free(wrapped);
}

static void fault_free(StoreDriver *driver) {
    Fault *fault = (Fault *)driver;

    fault->inner->free(fault->inner);
    pthread_mutex_destroy(&fault->lock);
    free(fault);
}

static const StoreDriver fault_driver = {
    .name = "fault",
    .put = fault_put,
    .get = fault_get,
    .head = fault_head,
    .list = fault_list,
    .remove = fault_delete,
    .free = fault_free,
};

StoreDriver *store_driver_fault(StoreDriver *inner, uint64_t call, FaultKind kind) {
    Fault *fault = inner == NULL ? NULL : calloc(1, sizeof *fault);

    if (fault == NULL) {
        if (inner != NULL) inner->free(inner);
        return NULL;
    }
    fault->driver = fault_driver;
    fault->driver.features = inner->features;
    fault->inner = inner;
    if (inner->upload_begin != NULL) {
        fault->driver.upload_begin = fault_upload_begin;
        fault->driver.upload_write = fault_upload_write;
        fault->driver.upload_finish = fault_upload_finish;
        fault->driver.upload_abort = fault_upload_abort;
    }
    pthread_mutex_init(&fault->lock, NULL);
    store_fault_arm(&fault->driver, &(FaultPlan){.kind = kind, .call = call});
    return &fault->driver;
}

void store_fault_arm(StoreDriver *faulty, const FaultPlan *plan) {
    Fault *fault = (Fault *)faulty;
    size_t len = MIN(plan->key_has.len, sizeof fault->key_has);

    pthread_mutex_lock(&fault->lock);
    fault->plan = *plan;
    if (len > 0) memcpy(fault->key_has, plan->key_has.ptr, len);
    fault->plan.key_has = (Str){fault->key_has, len};
    fault->calls = 0;
    fault->fired = 0;
    pthread_mutex_unlock(&fault->lock);
}

static uint64_t read_locked(const StoreDriver *faulty, const uint64_t *counter) {
    Fault *fault = (Fault *)faulty;
    uint64_t value;

    pthread_mutex_lock(&fault->lock);
    value = *counter;
    pthread_mutex_unlock(&fault->lock);
    return value;
}

uint64_t store_fault_calls(const StoreDriver *faulty) {
    return read_locked(faulty, &((const Fault *)faulty)->calls);
}

uint64_t store_fault_fired(const StoreDriver *faulty) {
    return read_locked(faulty, &((const Fault *)faulty)->fired);
}
