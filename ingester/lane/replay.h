#pragma once
/*
 * replay.h: what replay.c (directories, files, memory) and replay_apply.c (records) share.
 */
#include "ingester/lane/lane.h"
#include "ingester/wal/reader.h"

enum { REPLAY_SERIES, REPLAY_STREAMS, REPLAY_ORIGINS, REPLAY_KINDS };

/* Where a reference to a series, stream or origin leads: made from the log's definition, in the
 * part being filled. A part that had to be flushed early takes its series with it; they are read
 * again where they were defined. */
typedef struct ReplayReference {
    uint64_t place;  /* file's index << 48 | offset of the definition; 0: not defined */
    uint32_t series; /* or stream, or origin */
    uint32_t part;   /* the part `series` belongs to, from 1 */
} ReplayReference;

typedef struct ReplayTenant {
    Str name; /* empty: not defined */
    uint32_t tenant;
    uint32_t part;
} ReplayTenant;

typedef struct ReplayFile {
    uint32_t sequence;
    int fd;         /* -1: could not be opened */
    uint64_t limit; /* good bytes, as the next file says; 0: unknown */
    WalSource source;
} ReplayFile;

enum { REPLAY_REFERENCES_MAX = 1 << 28, REPLAY_TENANTS_MAX = 1 << 22, REPLAY_FILES_MAX = 1 << 16 };

typedef struct ReplayStats {
    uint64_t samples;
    uint64_t entries; /* of logs */
    uint64_t spans;
    uint64_t lost; /* samples, entries and spans whose definition is in a damaged place */
    uint64_t bad_records;
} ReplayStats;

/* One epoch being replayed. */
typedef struct Replay {
    Lane *lane;
    Arena *arena;   /* the epoch's */
    Arena *scratch; /* a definition's that is read again */
    Arena *decoded; /* a record's histograms */
    GenerationLog *log;
    uint32_t from_lane; /* whose directory it is */
    uint64_t epoch;
    int64_t created_ms;
    uint64_t cleared;
    ReplayFile *files;
    size_t file_count;
    size_t file;            /* being read */
    Generation *generation; /* the part being filled */
    uint32_t part;          /* its number, from 1 */
    bool unaccounted;       /* others hold the memory: the part is past the limit */
    struct {
        Region region; /* ReplayReference[count] */
        size_t count;
    } references[REPLAY_KINDS];
    ReplayTenant *tenants;
    size_t tenant_count;
    SampleColumns *columns;
    uint32_t *series; /* of the columns, resolved */
    ReplayStats stats;
} Replay;

/* replay.c: hands the part to the flush, waits until there is memory, begins another one. */
MUST_USE ErrCode replay_next_part(Replay *replay, Error *err);
/* replay_apply.c. ERR_LIMIT, ERR_INTERNAL: cannot go on. Records that make no sense are counted. */
MUST_USE ErrCode replay_apply(Replay *replay, const WalRecord *record, Error *err);
