/*
 * span.c: a span of Jaeger as OTLP has it.
 */
#include "gateway/jaeger/decode.h"

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory left for the spans of this request");
}

/* Room for one more of what OTLP bounds as it bounds events. */
static ErrCode room(Foreign *foreign, void **array, uint32_t count, uint32_t *capacity,
                    size_t element, const char *what, Error *err) {
    uint32_t grown = MAX(*capacity * 2, 4u);

    if (count == SPAN_EVENTS_MAX)
        return error_set(err, ERR_INVALID, "a span has more than %d %s; send fewer",
                         SPAN_EVENTS_MAX, what);
    if (count < *capacity) return ERR_OK;
    *array = arena_grow(foreign->scratch, *array, *capacity * element, grown * element);
    if (*array == NULL) {
        *capacity = 0;
        return out_of_memory(err);
    }
    *capacity = grown;
    return ERR_OK;
}

ErrCode jaeger_add_ref(Foreign *foreign, JaegerSpan *span, JaegerRef **out, Error *err) {
    void *refs = span->refs;

    TRY(room(foreign, &refs, span->ref_count, &span->ref_capacity, sizeof **out, "references",
             err));
    span->refs = refs;
    *out = &span->refs[span->ref_count++];
    **out = (JaegerRef){0};
    return ERR_OK;
}

ErrCode jaeger_add_log(Foreign *foreign, JaegerSpan *span, JaegerLog **out, Error *err) {
    void *logs = span->logs;

    TRY(room(foreign, &logs, span->log_count, &span->log_capacity, sizeof **out, "logs", err));
    span->logs = logs;
    *out = &span->logs[span->log_count++];
    **out = (JaegerLog){0};
    return ERR_OK;
}

/* ---------- processes ---------- */

/* What Jaeger's clients call otherwise. */
static ErrCode rename_version(Foreign *foreign, Tags *tags, Error *err) {
    Str version, text;

    if (tags_find(tags, STR("opencensus.exporterversion")) != NULL ||
        !tags_take_text(tags, STR("jaeger.version"), &version))
        return ERR_OK;
    text = str_format(foreign->arena, "Jaeger-" STR_FMT, STR_ARG(version));
    if (text.ptr == NULL) return out_of_memory(err);
    return tags_add_text(foreign, tags, STR("opencensus.exporterversion"), text, err);
}

ErrCode jaeger_resource(Foreign *foreign, Str service, Tags *tags, Error *err) {
    static const Str nameless = STR_INIT("OTLPResourceNoServiceName");
    Attribute host;

    /* So says the Collector of spans that had no resource at all. */
    if (str_equal(service, nameless)) {
        *tags = (Tags){0};
        return ERR_OK;
    }
    if (service.len > 0 && tags_find(tags, STR("service.name")) == NULL)
        TRY(tags_add_text(foreign, tags, STR("service.name"), service, err));
    if (tags_find(tags, STR("host.name")) == NULL && tags_take(tags, STR("hostname"), &host)) {
        host.key = STR("host.name");
        TRY(tags_add(foreign, tags, &host, err));
    }
    return rename_version(foreign, tags, err);
}

/* ---------- status ---------- */

static Str text_of(const Tags *tags, Str key) {
    const Attribute *tag = tags_find(tags, key);

    return tag != NULL && tag->type == ATTRIBUTE_STRING ? tag->text : STR("");
}

static uint8_t kind_of(Str text) {
    static const Str kinds[] = {STR_INIT(""),       STR_INIT("internal"), STR_INIT("server"),
                                STR_INIT("client"), STR_INIT("producer"), STR_INIT("consumer")};

    for (uint8_t i = 1; i < ARRAY_LEN(kinds); i++)
        if (str_equal(text, kinds[i])) return i;
    return 0;
}

/* A status of HTTP that fails a span: 5xx, what isn't one, and 4xx unless a server answered so. */
static void status_of_http(const Attribute *tag, const Tags *tags, Span *out) {
    enum { SERVER = 2 };
    int64_t status;

    if (tag->type == ATTRIBUTE_INT)
        status = tag->integer;
    else if (tag->type != ATTRIBUTE_STRING || !str_to_i64(tag->text, &status))
        return;
    if ((status >= 100 && status < 400) || (status >= 400 && status < 500 && out->kind == SERVER))
        return;
    out->status = SPAN_STATUS_ERROR;
    out->status_message = text_of(tags, STR("http.status_message"));
}

/* `error` is the last word, then what OpenTelemetry's exporters say, then HTTP. */
static void take_status(Tags *tags, Span *out) {
    const Attribute *error = tags_find(tags, STR("error")), *http;
    bool failed = error != NULL && error->type == ATTRIBUTE_BOOL && error->truth;
    Attribute taken, code;

    if (failed) {
        tags_take(tags, STR("error"), &taken);
        out->status = SPAN_STATUS_ERROR;
        if (!tags_take_text(tags, STR("otel.status_description"), &out->status_message))
            out->status_message = text_of(tags, STR("http.status_message"));
    }
    if (tags_take(tags, STR("otel.status_code"), &code)) {
        if (failed) return;
        if (code.type == ATTRIBUTE_STRING && str_equal_nocase(code.text, STR("OK")))
            out->status = SPAN_STATUS_OK;
        if (code.type == ATTRIBUTE_STRING && str_equal_nocase(code.text, STR("ERROR")))
            out->status = SPAN_STATUS_ERROR;
        tags_take_text(tags, STR("otel.status_description"), &out->status_message);
        return;
    }
    http = tags_find(tags, STR("http.status_code"));
    if (!failed && http != NULL) status_of_http(http, tags, out);
}

/* ---------- spans ---------- */

/* Who has no parent but refers to a span of its own trace has that one: CHILD_OF before others. */
static uint64_t parent_of(const JaegerSpan *span) {
    uint64_t follows = 0;

    if (span->parent != 0) return span->parent;
    for (uint32_t i = 0; i < span->ref_count; i++) {
        const JaegerRef *ref = &span->refs[i];

        if (ref->trace_high != span->trace_high || ref->trace_low != span->trace_low) continue;
        if (ref->type == JAEGER_CHILD_OF) return ref->span;
        if (follows == 0) follows = ref->span;
    }
    return follows;
}

static ErrCode put_links(Foreign *foreign, const JaegerSpan *span, Span *out, Error *err) {
    static const Attribute types[] = {
        [JAEGER_CHILD_OF] = {.key = STR_INIT("opentracing.ref_type"),
                             .type = ATTRIBUTE_STRING,
                             .text = STR_INIT("child_of")},
        [JAEGER_FOLLOWS_FROM] = {.key = STR_INIT("opentracing.ref_type"),
                                 .type = ATTRIBUTE_STRING,
                                 .text = STR_INIT("follows_from")},
    };
    SpanLink *links;

    if (span->ref_count == 0) return ERR_OK;
    links = ARENA_ARRAY(foreign->scratch, SpanLink, span->ref_count);
    if (links == NULL) return out_of_memory(err);
    out->links = links;
    for (uint32_t i = 0; i < span->ref_count; i++) {
        const JaegerRef *ref = &span->refs[i];

        if (ref->type == JAEGER_CHILD_OF && ref->span == out->parent) continue;
        links[out->link_count++] =
            (SpanLink){.trace = foreign_trace_id(ref->trace_high, ref->trace_low),
                       .span = ref->span,
                       .attributes = {&types[ref->type], 1, 0}};
    }
    return ERR_OK;
}

static ErrCode put_events(Foreign *foreign, JaegerSpan *span, Span *out, Error *err) {
    SpanEvent *events;

    if (span->log_count == 0) return ERR_OK;
    events = ARENA_ARRAY(foreign->scratch, SpanEvent, span->log_count);
    if (events == NULL) return out_of_memory(err);
    for (uint32_t i = 0; i < span->log_count; i++) {
        JaegerLog *log = &span->logs[i];

        events[i].time_ns = MAX(log->time_ns, (int64_t)0);
        tags_take_text(&log->fields, STR("event"), &events[i].name);
        events[i].attributes = tags_all(&log->fields);
    }
    out->events = events;
    out->event_count = span->log_count;
    return ERR_OK;
}

static ErrCode translate(Foreign *foreign, JaegerSpan *span, Span *out, SpanOrigin *origin,
                         Error *err) {
    Tags *tags = &span->tags;
    Str kind = STR("");

    if (tags_take_text(tags, STR("otel.scope.name"), &origin->scope_name))
        tags_take_text(tags, STR("otel.scope.version"), &origin->scope_version);
    *out = (Span){.trace = foreign_trace_id(span->trace_high, span->trace_low),
                  .id = span->id,
                  .parent = parent_of(span),
                  .name = span->name,
                  .start_ns = span->start_ns,
                  .end_ns = foreign_end_ns(span->start_ns, span->duration_ns)};
    tags_take_text(tags, STR("span.kind"), &kind);
    out->kind = kind_of(kind);
    take_status(tags, out);
    tags_take_text(tags, STR("w3c.tracestate"), &out->state);
    out->attributes = tags_all(tags);
    TRY(put_events(foreign, span, out, err));
    return put_links(foreign, span, out, err);
}

ErrCode jaeger_add(Foreign *foreign, const Tags *resource, JaegerSpan *span, Error *err) {
    SpanOrigin origin = {.resource = tags_all(resource)};
    ErrCode code;
    Span out;

    code = translate(foreign, span, &out, &origin, err);
    if (code == ERR_INVALID) {
        spans_refuse(foreign->spans, err);
        return ERR_OK;
    }
    return code == ERR_OK ? foreign_add(foreign, &origin, &out, err) : code;
}
