#pragma once
/*
 * reader.h: reads one file of a log, whatever happened to it.
 *
 * Whole frames come out in order; where bytes are damaged the reader looks for the next whole frame
 * and counts what lies between. It holds a window of the file, never all of it.
 */
#include "ingester/wal/format.h"

/* Where the bytes are: a file, or memory in tests and fuzzing. */
typedef struct WalSource {
    /* Reads `len` bytes that exist (offset + len <= size); 0 or an errno. */
    int (*read)(void *context, uint64_t offset, void *out, size_t len);
    void *context;
    uint64_t size;
} WalSource;
WalSource wal_source_fd(const int *fd, uint64_t size);
WalSource wal_source_memory(const Str *bytes);

typedef struct WalRecord {
    uint8_t type;
    uint32_t tenant;
    uint64_t group;
    uint64_t payload_at; /* where it lies in the source */
    Str payload;         /* until the next call */
} WalRecord;

/* What was found besides whole frames. Complete when wal_reader_next() said there is no more. */
typedef struct WalReport {
    uint64_t records;
    uint64_t end;        /* behind the last whole frame */
    uint64_t torn_bytes; /* not zero: behind the last whole frame, of a write that didn't finish */
    uint64_t gaps;       /* damaged places with whole frames behind them */
    uint64_t gap_bytes;
    bool header_repaired; /* the first copy of the header is damaged, the second isn't */
} WalReport;

typedef struct WalReader WalReader;

/* Only the header: ERR_NOT_FOUND when there is none (all zeros, or shorter: a creation that didn't
 * finish), ERR_CORRUPT when both copies are damaged, ERR_UNSUPPORTED for a newer version. */
MUST_USE ErrCode wal_header_read(const WalSource *source, WalHeader *out, bool *ret_repaired,
                                 Error *err);
/* `limit`: reads no further (what the next file's header says); 0: to the end of the source, which
 * is borrowed. */
MUST_USE ErrCode wal_reader_open(const WalSource *source, uint64_t limit, WalReader **out,
                                 Error *err);
void wal_reader_free(WalReader *reader); /* NULL is fine */
DEFINE_CLEANUP(WalReader, wal_reader_free)

const WalHeader *wal_reader_header(const WalReader *reader);
/* Fails only when the source does (ERR_UNAVAILABLE) or memory is out (ERR_LIMIT). */
MUST_USE ErrCode wal_reader_next(WalReader *reader, WalRecord *out, bool *more, Error *err);
const WalReport *wal_reader_report(const WalReader *reader);
