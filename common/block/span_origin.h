#pragma once
/*
 * span_origin.h: origins as bytes, the same for equal ones: what they are told apart by, and what
 * pages store. Private to common/block. Bytes: docs/FORMATS.md#traces.
 */
#include "common/base/buf.h"
#include "common/base/reader.h"
#include "common/batch/spans.h"

/* An origin's bytes are those of its resource and of its scope. Appends. */
void span_resource_put(const SpanOrigin *origin, Buf *out);
void span_scope_put(const SpanOrigin *origin, Buf *out);

/* Takes one off `r`; what is wrong with the bytes shows in r->failed. Texts point into the bytes.
 * `service` comes with the resource. False: the arena is used up. */
MUST_USE bool span_resource_take(Reader *r, Arena *arena, SpanOrigin *out);
MUST_USE bool span_scope_take(Reader *r, Arena *arena, SpanOrigin *out);
