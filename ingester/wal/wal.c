/*
 * wal.c: writing. Files grow in preallocated steps; a group is sealed (numbers, checksums) when it
 * is known where it goes, and one write and one sync make it durable.
 *
 * What a failure leaves behind, and why it does no harm:
 *  - no space: the file is cut back to the last good end. Should even that fail, the bytes there
 * are overwritten by the next group or told by their lower group number.
 *  - the device failed: which pages are on disk is anyone's guess, so the file is never written
 *    again; the next file's header says how far this one is good.
 */
#include "ingester/wal/wal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/telemetry.h"

enum { STEP_BYTES = 16 << 20, STEP_BYTES_MIN = 64 << 10 };

struct Wal {
    WalIo *io;
    char *dir;
    uint64_t ingester;
    uint32_t lane;
    bool sync_each;
    uint64_t file_bytes_max;

    uint64_t epoch;
    int64_t created_ms;
    uint64_t cleared;
    uint64_t group;    /* of the last attempt: ascends within an epoch, failed ones included */
    uint32_t sequence; /* of the next file */
    uint32_t previous; /* the file before the next one, and its good bytes; 0: none */
    uint64_t previous_end;

    int fd;           /* -1: the next commit makes a file */
    uint32_t current; /* its sequence */
    uint64_t salt;
    uint64_t offset;    /* the good end of the file */
    uint64_t allocated; /* bytes reserved; UINT64_MAX where the file system cannot reserve */
    bool dirty;         /* committed but not yet synced (without sync_each) */

    Counter *bytes;
    Counter *syncs;
    Counter *failures;
};

Wal *wal_new(const WalOptions *options) {
    Wal *wal = calloc(1, sizeof *wal);

    if (wal == NULL) return NULL;
    wal->io = options->io;
    wal->dir = strdup(options->dir);
    wal->ingester = options->ingester;
    wal->lane = options->lane;
    wal->sync_each = options->sync_each;
    wal->file_bytes_max = options->file_bytes_max != 0 ? options->file_bytes_max : MIB(128);
    wal->fd = -1;
    wal->bytes = telemetry_counter("moraine_wal_written_bytes_total", "",
                                   "Bytes written to the write-ahead log.");
    wal->syncs = telemetry_counter("moraine_wal_syncs_total", "",
                                   "Times the write-ahead log waited for the disk.");
    wal->failures = telemetry_counter("moraine_wal_failures_total", "",
                                      "Group commits that failed: full disk, device errors.");
    if (wal->dir == NULL) {
        free(wal);
        return NULL;
    }
    return wal;
}

/* Cuts the preallocated rest off and closes. The file's content is durable already. */
static void wal_close_file(Wal *wal) {
    if (wal->fd < 0) return;
    if (wal->dirty && wal->io->sync(wal->io, wal->fd) != 0)
        LOG_ERROR("write-ahead log: sync failed on closing a file", LOG_U64("lane", wal->lane));
    wal->dirty = false;
    (void)wal->io->truncate(wal->io, wal->fd, wal->offset);
    (void)wal->io->close(wal->io, wal->fd);
    wal->fd = -1;
    wal->previous = wal->current;
    wal->previous_end = wal->offset;
}

void wal_free(Wal *wal) {
    if (wal == NULL) return;
    wal_close_file(wal);
    free(wal->dir);
    free(wal);
}

/* ENOSPC and the like as one wording, whatever call they came from. */
static ErrCode wal_error(Error *err, int code, const char *what, const char *path) {
    if (code == ENOSPC || code == EDQUOT)
        return error_set(err, ERR_UNAVAILABLE, "write-ahead log: no space left on device (%s %s)",
                         what, path);
    return error_set(err, ERR_UNAVAILABLE, "write-ahead log: %s %s: %s", what, path,
                     strerror(code));
}

/* Reserves up to `end`, in large steps where there is room for them. */
static int wal_allocate(Wal *wal, uint64_t end) {
    uint64_t step = STEP_BYTES;
    int code;

    if (end <= wal->allocated) return 0;
    do {
        uint64_t to = MAX(end, MIN(wal->allocated + step, wal->file_bytes_max));

        code = wal->io->allocate(wal->io, wal->fd, wal->allocated, to - wal->allocated);
        if (code == 0) {
            wal->allocated = to;
            return 0;
        }
        step /= 4;
    } while ((code == ENOSPC || code == EDQUOT) && step >= STEP_BYTES_MIN);
    if (code != EOPNOTSUPP && code != ENOSYS) return code;
    wal->allocated = UINT64_MAX;
    return 0;
}

static int wal_write_header(Wal *wal) {
    WalHeader copies[2];
    WalHeader header = {
        .version = WAL_VERSION,
        .lane = wal->lane,
        .ingester = wal->ingester,
        .epoch = wal->epoch,
        .sequence = wal->sequence,
        .previous = wal->previous,
        .created_ms = wal->created_ms,
        .salt = wal->salt,
        .previous_end = wal->previous_end,
        .cleared = wal->cleared,
    };

    memcpy(header.magic, WAL_MAGIC, sizeof header.magic);
    header.crc = wal_header_crc(&header);
    copies[0] = copies[1] = header;
    return wal->io->write(wal->io, wal->fd, copies, sizeof copies, 0, true);
}

/* Makes the next file, header and directory entry durable. On failure nothing is left of it. */
static ErrCode wal_open_file(Wal *wal, Error *err) {
    char name[WAL_NAME_MAX], path[PATH_MAX];
    int code;

    wal_file_name(name, wal->epoch, wal->sequence);
    if (snprintf(path, sizeof path, "%s/%s", wal->dir, name) >= (int)sizeof path)
        return error_set(err, ERR_INTERNAL, "write-ahead log: path too long: %s", wal->dir);
    if ((code = wal->io->open(wal->io, path, true, &wal->fd)) != 0) {
        wal->fd = -1;
        /* A file that could not be removed after an earlier failure: its number is spent. */
        if (code == EEXIST) wal->sequence++;
        return wal_error(err, code, "create", path);
    }
    wal->salt = random_u64();
    wal->offset = WAL_FRAMES_START;
    wal->allocated = 0;
    if ((code = wal_allocate(wal, WAL_FRAMES_START)) != 0 || (code = wal_write_header(wal)) != 0 ||
        (code = wal->io->sync_dir(wal->io, wal->dir)) != 0) {
        (void)wal->io->close(wal->io, wal->fd);
        (void)wal->io->remove(wal->io, path);
        wal->fd = -1;
        return wal_error(err, code, "create", path);
    }
    wal->current = wal->sequence++;
    return ERR_OK;
}

void wal_begin_epoch(Wal *wal, uint64_t epoch, int64_t created_ms, uint64_t cleared) {
    Error err = {0};

    wal_close_file(wal);
    wal->epoch = epoch;
    wal->created_ms = created_ms;
    wal->cleared = cleared;
    wal->group = 0;
    wal->sequence = 0;
    wal->previous = 0;
    wal->previous_end = 0;
    if (wal_open_file(wal, &err) != ERR_OK)
        LOG_WARN("write-ahead log: the next write tries again", LOG_U64("lane", wal->lane),
                 LOG_ERR(&err));
}

uint32_t wal_file_count(const Wal *wal) {
    return wal->sequence;
}

size_t wal_frame_begin(Buf *group, uint8_t type, uint32_t tenant) {
    size_t start = group->len;
    WalFrame frame = {.type = type, .tenant = tenant};

    buf_append(group, &frame, sizeof frame);
    return start;
}

void wal_frame_end(Buf *group, size_t start) {
    size_t length;
    uint32_t length32;

    if (buf_failed(group)) return;
    length = group->len - start - sizeof(WalFrame);
    assert(length <= WAL_PAYLOAD_MAX);
    length32 = (uint32_t)length;
    memcpy(group->ptr + start + offsetof(WalFrame, length), &length32, sizeof length32);
    buf_append_zeros(group, ALIGN_UP(length, WAL_ALIGN) - length);
}

/* Gives every frame its group number and checksum for where it will lie. */
static void wal_seal(Wal *wal, Buf *group) {
    size_t at = 0;

    while (at < group->len) {
        WalFrame frame;
        size_t bytes;

        memcpy(&frame, group->ptr + at, sizeof frame);
        bytes = wal_frame_bytes(frame.length);
        assert(at + bytes <= group->len);
        frame.group = wal->group;
        memcpy(group->ptr + at, &frame, sizeof frame);
        frame.crc = wal_frame_crc(wal->salt, wal->offset + at, group->ptr + at, bytes);
        memcpy(group->ptr + at, &frame.crc, sizeof frame.crc);
        at += bytes;
    }
}

/* After a failed write: nothing of the group may count. */
static void wal_retreat(Wal *wal, int code) {
    counter_add(wal->failures, 1);
    if (wal->io->truncate(wal->io, wal->fd, wal->offset) == 0 && wal->allocated != UINT64_MAX)
        wal->allocated = wal->offset;
    if (code == ENOSPC || code == EDQUOT) return;

    LOG_ERROR("write-ahead log: device error, continuing on a new file", LOG_U64("lane", wal->lane),
              LOG_CSTR("error", strerror(code)));
    (void)wal->io->close(wal->io, wal->fd);
    wal->fd = -1;
    wal->previous = wal->current;
    wal->previous_end = wal->offset;
    wal->dirty = false;
}

ErrCode wal_commit(Wal *wal, Buf *group, Error *err) {
    int code;

    if (buf_failed(group)) return error_set(err, ERR_LIMIT, "write-ahead log: out of memory");
    if (group->len == 0) return ERR_OK;
    if (wal->fd >= 0 && wal->offset > WAL_FRAMES_START &&
        wal->offset + group->len > wal->file_bytes_max)
        wal_close_file(wal);
    if (wal->fd < 0) {
        ErrCode failed = wal_open_file(wal, err);

        if (failed != ERR_OK) {
            counter_add(wal->failures, 1);
            return failed;
        }
    }
    wal->group++;
    wal_seal(wal, group);
    code = wal_allocate(wal, wal->offset + group->len);
    if (code == 0)
        code =
            wal->io->write(wal->io, wal->fd, group->ptr, group->len, wal->offset, wal->sync_each);
    if (code != 0) {
        wal_retreat(wal, code);
        return wal_error(err, code, "write to", wal->dir);
    }
    wal->offset += group->len;
    wal->dirty = !wal->sync_each;
    counter_add(wal->bytes, group->len);
    if (wal->sync_each) counter_add(wal->syncs, 1);
    return ERR_OK;
}

ErrCode wal_sync(Wal *wal, Error *err) {
    int code;

    if (!wal->dirty || wal->fd < 0) return ERR_OK;
    code = wal->io->sync(wal->io, wal->fd);
    counter_add(wal->syncs, 1);
    wal->dirty = false;
    if (code == 0) return ERR_OK;
    wal_retreat(wal, code);
    return wal_error(err, code, "sync", wal->dir);
}
