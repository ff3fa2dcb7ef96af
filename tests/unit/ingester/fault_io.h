#pragma once
/*
 * fault_io.h: a WalIo for tests whose n-th call fails, once or, as after a crash, with all that
 * follow.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ingester/wal/io.h"

typedef enum FaultIoKind {
    FAULT_IO_NONE,
    FAULT_IO_ONCE,         /* the call fails with `code`, and nothing happened */
    FAULT_IO_SHORT,        /* as ONCE, but a write left half of its bytes behind */
    FAULT_IO_CRASH_BEFORE, /* nothing happens any more */
    FAULT_IO_CRASH_TORN,   /* a write leaves half of its bytes, then nothing happens any more */
    FAULT_IO_CRASH_AFTER,  /* it happens, says it failed, then nothing happens any more */
} FaultIoKind;

typedef struct FaultIo {
    WalIo io; /* first */
    WalIo *real;
    FaultIoKind kind;
    unsigned call; /* the one to fail, from 1 */
    int code;
    unsigned calls;
    bool crashed;
    unsigned fired;
} FaultIo;

typedef enum FaultIoStep {
    FAULT_STEP_GO,
    FAULT_STEP_FAIL,
    FAULT_STEP_HALF,
    FAULT_STEP_DO_AND_FAIL
} FaultIoStep;

static inline FaultIoStep fault_io_step(FaultIo *fault) {
    bool now = ++fault->calls == fault->call && fault->kind != FAULT_IO_NONE;

    if (fault->crashed) return FAULT_STEP_FAIL;
    if (!now) return FAULT_STEP_GO;
    fault->fired++;
    switch (fault->kind) {
    case FAULT_IO_ONCE:
        return FAULT_STEP_FAIL;
    case FAULT_IO_SHORT:
        return FAULT_STEP_HALF;
    case FAULT_IO_CRASH_BEFORE:
        fault->crashed = true;
        return FAULT_STEP_FAIL;
    case FAULT_IO_CRASH_TORN:
        fault->crashed = true;
        return FAULT_STEP_HALF;
    default:
        fault->crashed = true;
        return FAULT_STEP_DO_AND_FAIL;
    }
}

#define FAULT_IO_CALL(call_)                                                                       \
    do {                                                                                           \
        FaultIo *fault = (FaultIo *)io;                                                            \
        FaultIoStep step = fault_io_step(fault);                                                   \
        if (step == FAULT_STEP_FAIL || step == FAULT_STEP_HALF) return fault->code;                \
        int code_ = fault->real->call_;                                                            \
        return step == FAULT_STEP_GO ? code_ : fault->code;                                        \
    } while (0)

static inline int fault_io_open(WalIo *io, const char *path, bool create, int *ret_fd) {
    FaultIo *fault = (FaultIo *)io;
    FaultIoStep step = fault_io_step(fault);

    if (step == FAULT_STEP_FAIL || step == FAULT_STEP_HALF) return fault->code;
    if (step == FAULT_STEP_GO) return fault->real->open(fault->real, path, create, ret_fd);
    int fd;
    if (fault->real->open(fault->real, path, create, &fd) == 0) fault->real->close(fault->real, fd);
    return fault->code;
}
static inline int fault_io_allocate(WalIo *io, int fd, uint64_t offset, uint64_t length) {
    FAULT_IO_CALL(allocate(fault->real, fd, offset, length));
}
static inline int fault_io_write(WalIo *io, int fd, const void *bytes, size_t len, uint64_t offset,
                                 bool sync) {
    FaultIo *fault = (FaultIo *)io;
    FaultIoStep step = fault_io_step(fault);

    if (step == FAULT_STEP_FAIL) return fault->code;
    if (step == FAULT_STEP_HALF) {
        (void)fault->real->write(fault->real, fd, bytes, len / 2, offset, true);
        return fault->code;
    }
    int code = fault->real->write(fault->real, fd, bytes, len, offset, sync);
    return step == FAULT_STEP_GO ? code : fault->code;
}
static inline int fault_io_sync(WalIo *io, int fd) {
    FAULT_IO_CALL(sync(fault->real, fd));
}
static inline int fault_io_truncate(WalIo *io, int fd, uint64_t size) {
    FAULT_IO_CALL(truncate(fault->real, fd, size));
}
static inline int fault_io_close(WalIo *io, int fd) {
    return ((FaultIo *)io)->real->close(((FaultIo *)io)->real, fd);
}
static inline int fault_io_rename(WalIo *io, const char *from, const char *to) {
    FAULT_IO_CALL(rename(fault->real, from, to));
}
static inline int fault_io_remove(WalIo *io, const char *path) {
    FAULT_IO_CALL(remove(fault->real, path));
}
static inline int fault_io_sync_dir(WalIo *io, const char *path) {
    FAULT_IO_CALL(sync_dir(fault->real, path));
}
static inline void fault_io_free(WalIo *io) {
    ((FaultIo *)io)->real->free(((FaultIo *)io)->real);
    free(io);
}

static inline FaultIo *fault_io_new(FaultIoKind kind, unsigned call, int code) {
    FaultIo *fault = calloc(1, sizeof *fault);

    *fault = (FaultIo){.io = {.name = "fault",
                              .open = fault_io_open,
                              .allocate = fault_io_allocate,
                              .write = fault_io_write,
                              .sync = fault_io_sync,
                              .truncate = fault_io_truncate,
                              .close = fault_io_close,
                              .rename = fault_io_rename,
                              .remove = fault_io_remove,
                              .sync_dir = fault_io_sync_dir,
                              .free = fault_io_free},
                       .real = wal_io_posix(),
                       .kind = kind,
                       .call = call,
                       .code = code};
    return fault;
}
