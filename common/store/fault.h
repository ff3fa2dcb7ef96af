#pragma once
/*
 * fault.h: a driver for tests that lets another one fail at a chosen call.
 *
 *     StoreDriver *faulty = store_driver_fault(store_driver_memory(), 3, FAULT_AFTER);
 *     Store *store = store_new(faulty); // the third call happens, but its answer is lost
 *
 * Every call of the driver counts from 1: put, get, head, list, delete, and each step of an upload.
 * To let something fail at every place: raise n until store_fault_fired() says that nothing failed.
 * Thread-safe, the arming included.
 */
#include "common/store/store.h"

typedef enum FaultKind {
    FAULT_NONE,        /* only counts */
    FAULT_BEFORE,      /* fails, and nothing happened */
    FAULT_AFTER,       /* happens, then fails: the answer was lost */
    FAULT_TRUNCATE,    /* a get brings half of its bytes; other calls fail before */
    FAULT_WRONG_BYTES, /* a get brings one wrong byte and no error; other calls fail before */
    FAULT_SLOW,        /* takes slow_ms longer */
} FaultKind;

enum {
    FAULT_PUTS = 1 << 0, /* puts, and the steps of uploads */
    FAULT_GETS = 1 << 1,
    FAULT_HEADS = 1 << 2,
    FAULT_LISTS = 1 << 3,
    FAULT_DELETES = 1 << 4,
};

typedef struct FaultPlan {
    FaultKind kind;
    uint64_t call;    /* the first to fail, from 1 */
    bool for_good;    /* and every one after it */
    unsigned only;    /* of these kinds (bits above) are counted; 0: all */
    Str key_has;      /* and only calls whose key has this in it; copied; at most 128 bytes */
    ErrCode code;     /* what failing says; 0: ERR_UNAVAILABLE */
    uint64_t slow_ms; /* for FAULT_SLOW */
} FaultPlan;

/* Owns `inner`, also when it returns NULL (out of memory). The call-th call fails, once. */
StoreDriver *store_driver_fault(StoreDriver *inner, uint64_t call, FaultKind kind);

/* `faulty` is what store_driver_fault() returned. Counting starts again at 1. */
void store_fault_arm(StoreDriver *faulty, const FaultPlan *plan);
uint64_t store_fault_calls(const StoreDriver *faulty); /* counted since armed */
uint64_t store_fault_fired(const StoreDriver *faulty); /* of those, how many failed */
