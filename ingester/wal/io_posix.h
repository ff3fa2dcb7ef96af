#pragma once
/*
 * io_posix.h: what both real implementations of WalIo share.
 */
#include "ingester/wal/io.h"

void wal_io_posix_fill(WalIo *io);
int wal_io_posix_write(WalIo *io, int fd, const void *bytes, size_t len, uint64_t offset,
                       bool sync);
