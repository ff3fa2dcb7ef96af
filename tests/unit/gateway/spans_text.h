#pragma once
/*
 * spans_text.h: a batch of spans as text, a span a line, to compare with what a test expects:
 *
 *     {service.name="s"} [scope 1] trace/span<parent name kind=2 status=2(message) 5..7 state=x
 *     {key="text" n=1}  !6 event{k=true}  >trace/span{...}
 *
 * all in one line; what is empty is left out.
 */
#include <inttypes.h>

#include "tests/unit/unit.h"

#include "common/batch/span_wire.h"
#include "gateway/spans/foreign.h"

static inline void put_attributes(Buf *out, const Attributes *attributes) {
    if (attributes->count == 0) return;
    buf_append_byte(out, '{');
    for (uint32_t i = 0; i < attributes->count; i++) {
        const Attribute *a = &attributes->items[i];

        buf_printf(out, "%s" STR_FMT "=", i == 0 ? "" : " ", STR_ARG(a->key));
        if (a->type == ATTRIBUTE_STRING)
            buf_printf(out, "\"" STR_FMT "\"", STR_ARG(a->text));
        else if (a->type == ATTRIBUTE_BYTES)
            buf_printf(out, "b%zu", a->text.len);
        else if (a->type == ATTRIBUTE_INT)
            buf_printf(out, "%" PRId64, a->integer);
        else if (a->type == ATTRIBUTE_DOUBLE)
            buf_printf(out, "%g", a->number);
        else
            buf_printf(out, "%s", a->truth ? "true" : "false");
    }
    buf_append_byte(out, '}');
    if (attributes->dropped > 0) buf_printf(out, "-%u", attributes->dropped);
}

/* Without leading zeros. */
static inline void put_trace(Buf *out, const TraceId *id) {
    bool begun = false;

    for (size_t i = 0; i < sizeof id->bytes; i++) {
        if (!begun && id->bytes[i] == 0) continue;
        buf_printf(out, begun ? "%02x" : "%x", id->bytes[i]);
        begun = true;
    }
}

static inline void put_span(Buf *out, const Span *span) {
    put_attributes(out, &span->origin->resource);
    if (span->origin->scope_name.len > 0)
        buf_printf(out, "[" STR_FMT " " STR_FMT "]", STR_ARG(span->origin->scope_name),
                   STR_ARG(span->origin->scope_version));
    buf_append_byte(out, ' ');
    put_trace(out, &span->trace);
    buf_printf(out, "/%" PRIx64, span->id);
    if (span->parent != 0) buf_printf(out, "<%" PRIx64, span->parent);
    buf_printf(out, " " STR_FMT, STR_ARG(span->name));
    if (span->kind != 0) buf_printf(out, " kind=%u", span->kind);
    if (span->status != 0)
        buf_printf(out, " status=%u(" STR_FMT ")", span->status, STR_ARG(span->status_message));
    buf_printf(out, " %" PRId64 "..%" PRId64, span->start_ns, span->end_ns);
    if (span->state.len > 0) buf_printf(out, " state=" STR_FMT, STR_ARG(span->state));
    put_attributes(out, &span->attributes);
    for (uint32_t i = 0; i < span->event_count; i++) {
        buf_printf(out, " !%" PRId64 " " STR_FMT, span->events[i].time_ns,
                   STR_ARG(span->events[i].name));
        put_attributes(out, &span->events[i].attributes);
    }
    for (uint32_t i = 0; i < span->link_count; i++) {
        buf_append_str(out, STR(" >"));
        put_trace(out, &span->links[i].trace);
        buf_printf(out, "/%" PRIx64, span->links[i].span);
        put_attributes(out, &span->links[i].attributes);
    }
    buf_append_byte(out, '\n');
}

/* Spans as a request makes them. */
typedef struct Made {
    Arena *arena;
    Spans spans;
    ErrCode code;
    Error err;
} Made;

static inline Made make_spans(ErrCode (*decode)(Foreign *foreign, Str body, Error *err), Str body) {
    Made made = {.arena = arena_new(0, NULL)};
    Foreign foreign;

    spans_init(&made.spans, STR("t"), 1, made.arena);
    assert_ok(foreign_init(&foreign, &made.spans, made.arena, &made.err), &made.err);
    made.code = decode(&foreign, body, &made.err);
    foreign_done(&foreign);
    return made;
}

static inline Buf spans_text(const Made *made) {
    Buf out;
    Error err;

    buf_init(&out, 0);
    for (size_t i = 0; i < made->spans.batch.item_count; i++) {
        const SpansItem *item = &made->spans.batch.items[i];
        SpanOrigin origin;
        Span span;

        assert_ok(origin_decode(made->spans.batch.origins[item->origin].bytes, made->arena, &origin,
                                &err),
                  &err);
        assert_ok(span_decode(item->span, &origin, made->arena, &span, &err), &err);
        assert_true(trace_id_equal(&span.trace, &item->trace));
        put_span(&out, &span);
    }
    buf_append_byte(&out, '\0');
    return out;
}

static inline void expect_spans(ErrCode (*decode)(Foreign *foreign, Str body, Error *err), Str body,
                                uint64_t refused, const char *expected) {
    Made made = make_spans(decode, body);
    Buf text;

    assert_ok(made.code, &made.err);
    text = spans_text(&made);
    assert_string_equal(text.ptr, expected);
    assert_int_equal(made.spans.rejected, refused);
    buf_done(&text);
    arena_free(made.arena);
}
