#pragma once
/*
 * inflate.h: bodies as sent become bodies to decode.
 */
#include "common/net/http.h"
#include "gateway/buffers.h"

/* What a snappy block says that it will inflate to. ERR_INVALID: it doesn't say, or says more than
 * its bytes could ever become. ERR_LIMIT: more than `bytes_max` (0: no limit). */
MUST_USE ErrCode inflate_snappy_len(Str body, uint64_t bytes_max, size_t *out, Error *err);

/* A whole snappy block, into one of the buffers, which goes back when `arena` goes. ERR_INVALID,
 * ERR_LIMIT as above; ERR_UNAVAILABLE: no memory for it now. */
MUST_USE ErrCode inflate_snappy(Buffers *buffers, Arena *arena, Str sent, uint64_t bytes_max,
                                Str *out, Error *err);
/* A limit of memory rather than of the request: it may work in a moment. ERR_UNAVAILABLE. */
ErrCode inflate_no_memory(Error *err);
