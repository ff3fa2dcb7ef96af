#pragma once
/*
 * decode.h: the bodies of Loki's push API, walked where they lie into Streams.
 * https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs
 *
 * `body` is decompressed and must live as long as the streams: lines point into it. ERR_INVALID: it
 * is not what it should be, and nothing of it may be stored. ERR_UNAVAILABLE: memory ran out. What
 * can be read but is not acceptable is left out and counted in streams->rejects.
 */
#include "gateway/logs/streams.h"

/* logproto.PushRequest */
MUST_USE ErrCode loki_decode_proto(Streams *streams, Str body, Error *err);
/* {"streams": [{"stream": {...}, "values": [["ns", "line", {...}]]}]}, or, as senders to
 * /api/prom/push have it, {"streams": [{"labels": "{...}", "entries": [{"ts", "line"}]}]}. */
MUST_USE ErrCode loki_decode_json(Streams *streams, Str body, Error *err);

/* {app="web", pod="web-1"}: pairs in `arena`, in the order they come in, values unquoted (as a Go
 * string: "..." with escapes or `...`). ERR_INVALID says where it goes wrong. */
MUST_USE ErrCode loki_parse_labels(Str text, Arena *arena, LabelPair **out, size_t *count,
                                   Error *err);
