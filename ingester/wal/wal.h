#pragma once
/*
 * wal.h: a lane's write-ahead log: groups of frames, durable when wal_commit() says so.
 *
 * It knows frames, files and epochs; what a payload means is the business of who writes it. Owned
 * by one thread. After a failure nothing of the group counts, nothing written before is lost, and
 * the next commit starts over: on the same file when there was no space, on a new one when the
 * device failed.
 */
#include "common/base/buf.h"
#include "ingester/wal/format.h"
#include "ingester/wal/io.h"

typedef struct Wal Wal;

typedef struct WalOptions {
    WalIo *io;       /* borrowed */
    const char *dir; /* exists; copied */
    uint64_t ingester;
    uint32_t lane;
    bool sync_each; /* every commit waits for the disk; else wal_sync() is asked now and then */
    uint64_t file_bytes_max; /* a file is closed when the next group would pass this; 0: 128 MiB */
} WalOptions;

Wal *wal_new(const WalOptions *options); /* NULL: out of memory */
void wal_free(Wal *wal);                 /* closes the file, whatever it holds; NULL is fine */
DEFINE_CLEANUP(Wal, wal_free)

/* Closes the current epoch's file, cut to what it holds, and starts `epoch`. Its first file is made
 * at once where that is possible, else by the first commit: the epoch has begun either way. */
void wal_begin_epoch(Wal *wal, uint64_t epoch, int64_t created_ms, uint64_t cleared);
/* Files the current epoch has used: sequences [0, count). */
uint32_t wal_file_count(const Wal *wal);

/* A group is built in a Buf of the caller: begin, append the payload, end. */
size_t wal_frame_begin(Buf *group, uint8_t type, uint32_t tenant);
void wal_frame_end(Buf *group, size_t start); /* `start`: what begin returned */

/* Writes the group. ERR_UNAVAILABLE: it doesn't count; says why. */
MUST_USE ErrCode wal_commit(Wal *wal, Buf *group, Error *err);
/* Makes durable what was committed without sync_each. ERR_UNAVAILABLE: it may not be. */
MUST_USE ErrCode wal_sync(Wal *wal, Error *err);

/* A file of an epoch, as found in a directory. */
typedef struct WalFile {
    uint64_t epoch;
    uint32_t sequence;
    bool damaged; /* replay found it so: to be kept under another name when its epoch goes */
} WalFile;
/* Sorted by epoch and sequence, in `arena`; finishes what wal_discard() was interrupted in.
 * ERR_UNAVAILABLE or ERR_INTERNAL: cannot read it. */
MUST_USE ErrCode wal_list(WalIo *io, const char *dir, Arena *arena, WalFile **out, size_t *count,
                          Error *err);
/* Deletes all files of one epoch, all or none after a crash; damaged ones become *.damaged. Logs
 * what it cannot do. */
void wal_discard(WalIo *io, const char *dir, const WalFile *files, size_t count);
