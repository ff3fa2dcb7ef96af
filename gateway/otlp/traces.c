/*
 * traces.c: ExportTraceServiceRequest into a batch of spans, each as it was sent.
 */
#include "gateway/otlp/decode.h"
#include "proto/wire/wire.h"

static ErrCode malformed(Error *err, const char *what) {
    return error_set(err, ERR_CORRUPT,
                     "the body is not an ExportTraceServiceRequest: %s can't be read", what);
}

/* Of ResourceSpans and ScopeSpans alike: where the spans are from, and the schema's URL. */
static bool read_head(WireReader r, Str *from, Str *schema) {
    uint32_t tag;

    *from = *schema = STR("");
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return false;
        if (!(tag == WIRE_TAG(1, WIRE_BYTES)   ? wire_bytes(&r, from)
              : tag == WIRE_TAG(3, WIRE_BYTES) ? wire_bytes(&r, schema)
                                               : wire_skip(&r, tag)))
            return false;
    }
    return true;
}

/* The next ScopeSpans of a ResourceSpans, or Span of a ScopeSpans; *more false at the end. */
static bool next_part(WireReader *r, Str *out, bool *more) {
    uint32_t tag;

    while (!wire_at_end(r)) {
        if (!wire_tag(r, &tag)) return false;
        if (tag == WIRE_TAG(2, WIRE_BYTES)) {
            *more = true;
            return wire_bytes(r, out);
        }
        if (!wire_skip(r, tag)) return false;
    }
    *more = false;
    return true;
}

static ErrCode walk_scope(Spans *spans, Str message, Str resource, Str resource_schema,
                          Error *err) {
    WireReader r = wire_reader(message);
    Str scope, schema, span;
    bool more, begun = false;

    if (!read_head(r, &scope, &schema)) return malformed(err, "scope spans");
    for (;;) {
        if (!next_part(&r, &span, &more)) return malformed(err, "a span");
        if (!more) return ERR_OK;
        if (!begun) TRY(spans_origin(spans, resource, scope, resource_schema, schema, err));
        begun = true;
        TRY(spans_add(spans, span, err));
    }
}

static ErrCode walk_resource(Spans *spans, Str message, Error *err) {
    WireReader r = wire_reader(message);
    Str resource, schema, scope;
    bool more;

    if (!read_head(r, &resource, &schema)) return malformed(err, "resource spans");
    for (;;) {
        if (!next_part(&r, &scope, &more)) return malformed(err, "scope spans");
        if (!more) return ERR_OK;
        TRY(walk_scope(spans, scope, resource, schema, err));
    }
}

ErrCode otlp_decode_traces(Spans *spans, Str body, OtlpOutcome *outcome, Error *err) {
    WireReader r = wire_reader(body);
    uint32_t tag;
    Str message;

    *outcome = (OtlpOutcome){0};
    while (!wire_at_end(&r)) {
        if (!wire_tag(&r, &tag)) return malformed(err, "fields");
        if (tag != WIRE_TAG(1, WIRE_BYTES)) {
            if (!wire_skip(&r, tag)) return malformed(err, "fields");
            continue;
        }
        if (!wire_bytes(&r, &message)) return malformed(err, "resource spans");
        TRY(walk_resource(spans, message, err));
    }
    outcome->points = spans->seen;
    outcome->rejected = spans->rejected;
    if (spans->rejected > 0) outcome->first = spans->first;
    return ERR_OK;
}
