#pragma once
/*
 * format.h: what the log's files look like. All integers little endian.
 *
 *     <dir>/<epoch, 10 digits>-<sequence, 5 digits>.wal
 *
 *     file    header (WalHeader, 80 bytes) twice, frames, zeros up to what was preallocated
 *     frame   WalFrame (24 bytes), payload, zeros to a multiple of 8
 *
 * A frame's checksum covers the file's salt and the frame's offset too, so that bytes left over
 * from another file, or sent by a tenant to look like a frame, are never taken for one. Group
 * numbers ascend within an epoch: bytes of a group whose write failed, left behind the end of the
 * group that was written over it, are told by their lower number.
 */
#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/base/str.h"

enum {
    WAL_VERSION = 1,
    WAL_ALIGN = 8,
    WAL_PAYLOAD_MAX = 64 << 20,
    WAL_FRAMES_START = 160, /* behind two copies of the header: without its salt all is lost */
};

typedef struct WalHeader {
    char magic[8];
    uint32_t version;
    uint32_t lane;
    uint64_t ingester;
    uint64_t epoch;
    uint32_t sequence;  /* of the file within its epoch, from 0 */
    uint32_t previous;  /* sequence of the file before in this epoch */
    int64_t created_ms; /* of the epoch */
    uint64_t salt;
    uint64_t previous_end; /* how far that file is good; 0: there is none */
    uint64_t cleared;      /* delete requests up to this number were known before the epoch */
    uint32_t zero;
    uint32_t crc; /* of all before */
} WalHeader;
_Static_assert(2 * sizeof(WalHeader) == WAL_FRAMES_START, "no padding");

typedef struct WalFrame {
    uint32_t crc; /* of salt, offset, and all after this field */
    uint32_t length;
    uint8_t type;
    uint8_t zero[3];
    uint32_t tenant;
    uint64_t group;
} WalFrame;
_Static_assert(sizeof(WalFrame) == 24, "no padding");

#define WAL_MAGIC "MORAWAL1"

/* `frame` points to the frame's header with its padded payload behind it. */
static inline uint32_t wal_frame_crc(uint64_t salt, uint64_t offset, const void *frame,
                                     size_t bytes) {
    uint64_t place[2] = {salt, offset};

    return crc32c(crc32c(0, place, sizeof place), (const char *)frame + sizeof(uint32_t),
                  bytes - sizeof(uint32_t));
}

static inline uint32_t wal_header_crc(const WalHeader *header) {
    return crc32c(0, header, offsetof(WalHeader, crc));
}

/* Bytes of a frame with `length` bytes of payload. */
static inline size_t wal_frame_bytes(uint32_t length) {
    return sizeof(WalFrame) + ALIGN_UP((size_t)length, WAL_ALIGN);
}

enum { WAL_NAME_MAX = 32 };
void wal_file_name(char out[static WAL_NAME_MAX], uint64_t epoch, uint32_t sequence);
/* False for anything that isn't such a name. */
bool wal_file_parse(const char *name, uint64_t *epoch, uint32_t *sequence);
