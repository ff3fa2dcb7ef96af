#pragma once
/*
 * tempo_answer.h: what Tempo's API answers, asked by HTTP (tempo_search.c, tempo_tags.c,
 * tempo_metrics.c) or by gRPC (tempo_stream.c). A writer gives JSON or protobuf of one message of
 * tempopb.
 */
#include "querier/api/message.h"
#include "querier/api/tempo_request.h"
#include "querier/traceql/engine/engine.h"

/* By the Accept header; sets the content type. */
MessageWriter tempo_writer(ApiCall *call, Buf *out);

/* common.v1.AnyValue as the field `value`, number 2, of a KeyValue; and lists of KeyValue. */
void tempo_write_labels(MessageWriter *w, uint32_t field, const char *name,
                        const TraceqlLabel *labels, size_t count, Arena *arena);
/* SearchMetrics or MetadataMetrics, as far as there are numbers. */
void tempo_write_search_metrics(MessageWriter *w, const TraceStats *stats, uint64_t done,
                                uint64_t jobs);
void tempo_write_names_metrics(MessageWriter *w, const TraceStats *stats);

/* ERR_INVALID: "invalid TraceQL query: ...". */
MUST_USE ErrCode tempo_parse(ApiCall *call, Str text, TraceqlQuery **out, Error *err);

/* `found` may be NULL: traceql_search(). */
MUST_USE ErrCode tempo_search(ApiCall *call, const TempoSearch *search,
                              void (*found)(void *context, const TraceqlFound *traces, size_t count,
                                            size_t units_done, size_t units),
                              void *context, TraceqlSearchResult *out, Error *err);
/* SearchResponse */
void tempo_write_search(MessageWriter *w, const TempoSearch *search, const TraceqlFound *traces,
                        size_t count, const TraceStats *stats, uint64_t done, uint64_t jobs,
                        Arena *arena);

/* SearchTagsResponse, SearchTagsV2Response, SearchTagValuesResponse, SearchTagValuesV2Response */
MUST_USE ErrCode tempo_tags(ApiCall *call, const TempoTags *tags, bool v2, MessageWriter *w,
                            Error *err);
MUST_USE ErrCode tempo_values(ApiCall *call, const TempoValues *values, bool v2, MessageWriter *w,
                              Error *err);

/* QueryRangeResponse, or QueryInstantResponse without a step. */
MUST_USE ErrCode tempo_metrics(ApiCall *call, const TempoMetrics *metrics, MessageWriter *w,
                               Error *err);
