/*
 * json.c: a list of spans in Zipkin's JSON, taken apart where it lies.
 *
 * A value of the wrong kind makes its span one that is refused (Walk.problem), and the rest of it
 * is only passed over; what isn't JSON refuses the body.
 */
#include "common/base/json_read.h"
#include "gateway/zipkin/decode.h"

typedef struct Walk {
    Foreign *foreign;
    JsonReader json;
    ZipkinSpan span;
    uint32_t annotation_capacity;
    Error problem; /* of the span in work; ERR_OK: none */
} Walk;

static ErrCode malformed(const Walk *walk, const char *what, Error *err) {
    if (walk->json.problem != NULL) return json_reader_error(&walk->json, err);
    return error_set(err, ERR_INVALID, "JSON, at byte %zu: %s",
                     (size_t)(walk->json.at - walk->json.start), what);
}

static void refuse(Walk *walk, Str name, const char *want) {
    if (walk->problem.code != ERR_OK) return;
    error_set(&walk->problem, ERR_INVALID, "JSON, at byte %zu: " STR_FMT " must be %s",
              (size_t)(walk->json.at - walk->json.start), STR_ARG(str_slice(name, 0, 60)), want);
}

/* ---------- single values ---------- */

/* A value whose first token was `token`, and which nobody wants. */
static ErrCode pass(Walk *walk, JsonToken token, Error *err) {
    return json_skip(&walk->json, token) ? ERR_OK : malformed(walk, "a value", err);
}

static ErrCode read_text(Walk *walk, Str name, Str *out, Error *err) {
    JsonToken token = json_next(&walk->json);

    if (token == JSON_STRING) {
        *out = walk->json.text;
        return ERR_OK;
    }
    if (token != JSON_NULL) refuse(walk, name, "a text");
    return pass(walk, token, err);
}

static ErrCode read_id(Walk *walk, Str name, uint64_t *high, uint64_t *low, Error *err) {
    Str text = STR("");

    TRY(read_text(walk, name, &text, err));
    if (text.len > 0 && !zipkin_id(text, high, low))
        refuse(walk, name, "a text of up to 32 hexadecimal digits");
    return ERR_OK;
}

static ErrCode read_span_id(Walk *walk, Str name, uint64_t *out, Error *err) {
    uint64_t high = 0;

    TRY(read_id(walk, name, &high, out, err));
    if (high != 0) refuse(walk, name, "a text of up to 16 hexadecimal digits");
    return ERR_OK;
}

/* Whole, not below 0; as number or text, with a fraction or without. */
static ErrCode read_count(Walk *walk, Str name, int64_t *out, Error *err) {
    JsonToken token = json_next(&walk->json);
    Str text = walk->json.text;
    uint64_t whole;
    double number;

    if (token == JSON_NULL) return ERR_OK;
    if (token != JSON_NUMBER && token != JSON_STRING) {
        refuse(walk, name, "a number");
        return pass(walk, token, err);
    }
    if (str_to_u64(text, &whole) && whole <= INT64_MAX)
        *out = (int64_t)whole;
    else if (str_to_double(text, &number) && number >= 0 && number <= 9.2e18)
        *out = (int64_t)number;
    else
        refuse(walk, name, "a number of microseconds that isn't below 0");
    return ERR_OK;
}

/* ---------- parts of a span ---------- */

static ErrCode read_endpoint(Walk *walk, Str name, ZipkinEndpoint *out, Error *err) {
    JsonToken token = json_next(&walk->json);
    int64_t port = 0;

    if (token != JSON_OBJECT) {
        if (token != JSON_NULL) refuse(walk, name, "an object");
        return pass(walk, token, err);
    }
    while ((token = json_next(&walk->json)) == JSON_KEY) {
        Str key = walk->json.text;

        if (str_equal(key, STR("serviceName")))
            TRY(read_text(walk, key, &out->service, err));
        else if (str_equal(key, STR("ipv4")))
            TRY(read_text(walk, key, &out->ipv4, err));
        else if (str_equal(key, STR("ipv6")))
            TRY(read_text(walk, key, &out->ipv6, err));
        else if (str_equal(key, STR("port")))
            TRY(read_count(walk, key, &port, err));
        else
            TRY(pass(walk, json_next(&walk->json), err));
    }
    out->port = (uint64_t)port;
    return token == JSON_OBJECT_END ? ERR_OK : malformed(walk, "an endpoint", err);
}

/* Tags are texts; numbers and truths are taken as they are written. */
static ErrCode read_tags(Walk *walk, Error *err) {
    JsonToken token = json_next(&walk->json);
    ErrCode code;

    if (token != JSON_OBJECT) {
        if (token != JSON_NULL) refuse(walk, STR("tags"), "an object of texts");
        return pass(walk, token, err);
    }
    while ((token = json_next(&walk->json)) == JSON_KEY) {
        Str key = walk->json.text, value;

        token = json_next(&walk->json);
        value = token == JSON_TRUE    ? STR("true")
                : token == JSON_FALSE ? STR("false")
                                      : walk->json.text;
        if (token == JSON_OBJECT || token == JSON_ARRAY) refuse(walk, key, "a text");
        TRY(pass(walk, token, err));
        if (walk->problem.code != ERR_OK || token == JSON_NULL) continue;
        code = tags_add_text(walk->foreign, &walk->span.tags, key, value, err);
        if (code == ERR_INVALID)
            walk->problem = *err;
        else if (code != ERR_OK)
            return code;
    }
    return token == JSON_OBJECT_END ? ERR_OK : malformed(walk, "tags", err);
}

static ErrCode add_annotation(Walk *walk, const ZipkinAnnotation *annotation, Error *err) {
    ZipkinSpan *span = &walk->span;

    if (walk->problem.code != ERR_OK) return ERR_OK;
    if (span->annotation_count == SPAN_EVENTS_MAX) {
        error_set(&walk->problem, ERR_INVALID, "a span has more than %d annotations; send fewer",
                  SPAN_EVENTS_MAX);
        return ERR_OK;
    }
    if (span->annotation_count == walk->annotation_capacity) {
        uint32_t grown = MAX(walk->annotation_capacity * 2, 8u);

        span->annotations = arena_grow(walk->foreign->scratch, span->annotations,
                                       walk->annotation_capacity * sizeof *span->annotations,
                                       grown * sizeof *span->annotations);
        if (span->annotations == NULL)
            return error_set(err, ERR_LIMIT, "no memory left for the spans of this request");
        walk->annotation_capacity = grown;
    }
    span->annotations[span->annotation_count++] = *annotation;
    return ERR_OK;
}

static ErrCode read_annotation(Walk *walk, Error *err) {
    ZipkinAnnotation annotation = {0};
    JsonToken token;

    while ((token = json_next(&walk->json)) == JSON_KEY) {
        Str key = walk->json.text;

        if (str_equal(key, STR("timestamp")))
            TRY(read_count(walk, key, &annotation.time_us, err));
        else if (str_equal(key, STR("value")))
            TRY(read_text(walk, key, &annotation.text, err));
        else
            TRY(pass(walk, json_next(&walk->json), err));
    }
    if (token != JSON_OBJECT_END) return malformed(walk, "an annotation", err);
    return add_annotation(walk, &annotation, err);
}

static ErrCode read_annotations(Walk *walk, Error *err) {
    JsonToken token = json_next(&walk->json);

    if (token != JSON_ARRAY) {
        if (token != JSON_NULL) refuse(walk, STR("annotations"), "an array");
        return pass(walk, token, err);
    }
    while ((token = json_next(&walk->json)) != JSON_ARRAY_END) {
        if (token == JSON_OBJECT) {
            TRY(read_annotation(walk, err));
            continue;
        }
        if (token != JSON_NULL) refuse(walk, STR("an annotation"), "an object");
        TRY(pass(walk, token, err));
    }
    return ERR_OK;
}

/* ---------- spans ---------- */

static ErrCode read_field(Walk *walk, Str key, Error *err) {
    ZipkinSpan *span = &walk->span;

    if (str_equal(key, STR("traceId")))
        return read_id(walk, key, &span->trace_high, &span->trace_low, err);
    if (str_equal(key, STR("id"))) return read_span_id(walk, key, &span->id, err);
    if (str_equal(key, STR("parentId"))) return read_span_id(walk, key, &span->parent, err);
    if (str_equal(key, STR("name"))) return read_text(walk, key, &span->name, err);
    if (str_equal(key, STR("kind"))) return read_text(walk, key, &span->kind, err);
    if (str_equal(key, STR("timestamp"))) return read_count(walk, key, &span->time_us, err);
    if (str_equal(key, STR("duration"))) return read_count(walk, key, &span->duration_us, err);
    if (str_equal(key, STR("localEndpoint"))) return read_endpoint(walk, key, &span->local, err);
    if (str_equal(key, STR("remoteEndpoint"))) return read_endpoint(walk, key, &span->remote, err);
    if (str_equal(key, STR("tags"))) return read_tags(walk, err);
    if (str_equal(key, STR("annotations"))) return read_annotations(walk, err);
    return pass(walk, json_next(&walk->json), err);
}

/* From behind its '{'. */
static ErrCode read_span(Walk *walk, Error *err) {
    JsonToken token;

    foreign_next(walk->foreign);
    walk->span = (ZipkinSpan){0};
    walk->annotation_capacity = 0;
    walk->problem.code = ERR_OK;
    while ((token = json_next(&walk->json)) == JSON_KEY)
        TRY(read_field(walk, walk->json.text, err));
    if (token != JSON_OBJECT_END) return malformed(walk, "a span", err);
    if (walk->problem.code == ERR_OK) return zipkin_add(walk->foreign, &walk->span, err);
    spans_refuse(walk->foreign->spans, &walk->problem);
    return ERR_OK;
}

ErrCode zipkin_decode_json(Foreign *foreign, Str body, Error *err) {
    Walk walk = {.foreign = foreign, .json = json_reader(body, foreign->arena)};
    JsonToken token;

    if (json_next(&walk.json) != JSON_ARRAY)
        return malformed(&walk, "the body must be an array of spans", err);
    while ((token = json_next(&walk.json)) != JSON_ARRAY_END) {
        if (token == JSON_NULL) continue;
        if (token != JSON_OBJECT) return malformed(&walk, "a span must be an object", err);
        TRY(read_span(&walk, err));
    }
    if (json_next(&walk.json) != JSON_END) return malformed(&walk, "one array of spans", err);
    return ERR_OK;
}
