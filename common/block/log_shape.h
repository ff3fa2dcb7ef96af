#pragma once
/*
 * log_shape.h: the shapes that a decoder has met, over many pages. Private to common/block.
 *
 * Pages of a stream have mostly the same templates. What can be told from a template alone is told
 * once: its parts, which needles it holds for sure, and what a reader notes of it.
 */
#include "common/block/log_page.h"

typedef struct LogShapes LogShapes;
LogShapes *log_shapes_new(Budget *budget); /* NULL: out of memory */
void log_shapes_free(LogShapes *shapes);   /* NULL is fine */
/* Before a page. True: they had become too many, and all are gone. */
bool log_shapes_begin(LogShapes *shapes);
/* The shape of a template's text, whose bytes are copied. ERR_CORRUPT: it is none, or has not as
 * many variables. */
MUST_USE ErrCode log_shapes_get(LogShapes *shapes, Str text, uint32_t slot_count, LogShape **out,
                                Error *err);
Arena *log_shapes_arena(LogShapes *shapes); /* lives as long as the shapes */
/* Cuts a template's text where its variables are. False: it is none. */
bool log_template_part(Str *text, Str *constant, uint8_t *type, uint8_t *param);
