#pragma once
/*
 * span_cursor.h: a page on its way from one object to another. Private to common/block.
 */
#include "common/block/span_index.h"
#include "common/block/span_page.h"
#include "common/block/span_values.h"

struct SpanWholePage {
    Str bytes;
    uint32_t directory_bytes;
    SpanPageEntry entry;
    const TraceRow *traces;
    uint32_t trace_count;
    const SpanValues *values; /* of its part */
    uint32_t number;          /* which page of that it is */
};
