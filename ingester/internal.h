#pragma once
/*
 * internal.h: what ingester.c and heads.c share, and how tests get between an ingester and its
 * disk.
 */
#include "ingester/ingester.h"
#include "ingester/lane/lane.h"

struct Ingester {
    IngesterOptions options;
    char *dir;
    int lock_fd;
    uint64_t id;
    uint64_t seed;
    ActiveSeries *active;
    unsigned lane_count;
    Lane lanes[];
};

typedef struct IngesterHooks {
    /* Makes a lane's WalIo, which the lane takes; NULL: as the options say. */
    WalIo *(*wal_io)(void *context, unsigned lane);
    void *context;
    uint64_t wal_file_bytes_max; /* 0: the log's own */
} IngesterHooks;

MUST_USE ErrCode ingester_open_hooked(const IngesterOptions *options, const IngesterHooks *hooks,
                                      Ingester **out, Error *err);
