#pragma once
/*
 * append.h: what the ways of samples (append.c), of log lines (append_logs.c) and of spans
 * (append_spans.c) into a group share.
 */
#include "ingester/lane/lane.h"

/* In lane->logging: the number is a stream's, an origin's. */
#define LOGGING_STREAM (UINT32_C(1) << 31)
#define LOGGING_ORIGIN (UINT32_C(1) << 30)
#define LOGGING_NUMBER (LOGGING_ORIGIN - 1)

/* Tells of `row` when it is the batch's first of which there is something to tell. */
void part_note(AppendPart *part, uint32_t row, const Error *err);
/* The series (or stream | LOGGING_STREAM, or origin | LOGGING_ORIGIN) is defined by the group being
 * built. False: no memory. */
bool append_logging(Lane *lane, uint32_t number);
ErrCode append_no_memory(const Lane *lane, Error *err);

/* append_logs.c */
MUST_USE ErrCode append_logs_encode(Lane *lane, AppendPart *part, GenerationTenant *tenant,
                                    Error *err);
void append_logs_apply(Lane *lane, AppendPart *part);

/* append_spans.c */
MUST_USE ErrCode append_spans_encode(Lane *lane, AppendPart *part, GenerationTenant *tenant,
                                     Error *err);
void append_spans_apply(Lane *lane, AppendPart *part);
/* Instead, when the group could not be written. */
void append_spans_drop(Lane *lane, const AppendPart *part);
