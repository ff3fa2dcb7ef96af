/*
 * io_posix.c: plain system calls. Interrupted ones are repeated, short writes are continued.
 */
#include "ingester/wal/io_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int posix_open_(WalIo *io, const char *path, bool create, int *ret_fd) {
    int flags = O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0);
    int fd;

    (void)io;
    do fd = open(path, flags, 0600);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) return errno;
    *ret_fd = fd;
    return 0;
}

static int posix_allocate_(WalIo *io, int fd, uint64_t offset, uint64_t length) {
    int code;

    (void)io;
    do code = fallocate(fd, 0, (off_t)offset, (off_t)length);
    while (code != 0 && errno == EINTR);
    return code == 0 ? 0 : errno;
}

static int posix_sync(WalIo *io, int fd) {
    (void)io;
    return fdatasync(fd) == 0 ? 0 : errno;
}

int wal_io_posix_write(WalIo *io, int fd, const void *bytes, size_t len, uint64_t offset,
                       bool sync) {
    const char *at = bytes;

    while (len > 0) {
        ssize_t n = pwrite(fd, at, len, (off_t)offset);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        if (n == 0) return ENOSPC;
        at += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return sync ? posix_sync(io, fd) : 0;
}

static int posix_truncate(WalIo *io, int fd, uint64_t size) {
    (void)io;
    return ftruncate(fd, (off_t)size) == 0 ? 0 : errno;
}

static int posix_close(WalIo *io, int fd) {
    (void)io;
    return close(fd) == 0 ? 0 : errno;
}

static int posix_rename(WalIo *io, const char *from, const char *to) {
    (void)io;
    return rename(from, to) == 0 ? 0 : errno;
}

static int posix_remove(WalIo *io, const char *path) {
    (void)io;
    return unlink(path) == 0 || errno == ENOENT ? 0 : errno;
}

static int posix_sync_dir(WalIo *io, const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code;

    (void)io;
    if (fd < 0) return errno;
    code = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    /* Some file systems cannot sync a directory and say so; there is nothing better to do. */
    return code == EINVAL || code == EROFS ? 0 : code;
}

static void posix_free(WalIo *io) {
    free(io);
}

void wal_io_posix_fill(WalIo *io) {
    *io = (WalIo){
        .name = "pwrite",
        .open = posix_open_,
        .allocate = posix_allocate_,
        .write = wal_io_posix_write,
        .sync = posix_sync,
        .truncate = posix_truncate,
        .close = posix_close,
        .rename = posix_rename,
        .remove = posix_remove,
        .sync_dir = posix_sync_dir,
        .free = posix_free,
    };
}

WalIo *wal_io_posix(void) {
    WalIo *io = malloc(sizeof *io);

    if (io != NULL) wal_io_posix_fill(io);
    return io;
}

void wal_io_free(WalIo *io) {
    if (io != NULL) io->free(io);
}
