#pragma once
/*
 * io.h: the few things a write-ahead log asks of the kernel, as a table, so that a test can make
 * the n-th of them fail.
 *
 * All calls return 0 or an errno. write() and sync() belong to one thread (the lane's, whose ring
 * it is); the others may be called from any.
 */
#include "common/base/error.h"
#include "common/base/str.h"

typedef struct WalIo WalIo;
struct WalIo {
    const char *name; /* "io_uring", "pwrite": logged once */
    int (*open)(WalIo *io, const char *path, bool create, int *ret_fd);
    /* Reserves [offset, offset + length) and extends the file. EOPNOTSUPP: this one can't. */
    int (*allocate)(WalIo *io, int fd, uint64_t offset, uint64_t length);
    /* All of it or an error; with `sync` it is durable when 0 comes back. */
    int (*write)(WalIo *io, int fd, const void *bytes, size_t len, uint64_t offset, bool sync);
    int (*sync)(WalIo *io, int fd);
    int (*truncate)(WalIo *io, int fd, uint64_t size);
    int (*close)(WalIo *io, int fd);
    int (*rename)(WalIo *io, const char *from, const char *to);
    int (*remove)(WalIo *io, const char *path);
    int (*sync_dir)(WalIo *io, const char *path);
    void (*free)(WalIo *io);
};

/* pwrite and fdatasync. NULL: out of memory. */
WalIo *wal_io_posix(void);
/* The same with each write and its fdatasync as one linked pair on a ring of its own.
 * NULL when the kernel or the container doesn't allow it; *ret_errno says why. */
WalIo *wal_io_uring(int *ret_errno);
void wal_io_free(WalIo *io); /* NULL is fine */
DEFINE_CLEANUP(WalIo, wal_io_free)
