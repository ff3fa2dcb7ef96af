/*
 * span.c: a span of Zipkin as OTLP has it.
 *
 * Unlike the Collector's translator, which takes a resource's attributes from the first span of a
 * service and loses those of the others, each span keeps its own here.
 */
#include <stdlib.h>

#include "gateway/zipkin/decode.h"

/* Tags that are a resource's attributes rather than the span's: in order. */
static const Str resource_keys[] = {
    STR_INIT("aws.ecs.cluster.arn"),
    STR_INIT("aws.ecs.container.arn"),
    STR_INIT("aws.ecs.launchtype"),
    STR_INIT("aws.ecs.task.arn"),
    STR_INIT("aws.ecs.task.family"),
    STR_INIT("aws.ecs.task.revision"),
    STR_INIT("aws.eks.cluster.arn"),
    STR_INIT("aws.log.group.arns"),
    STR_INIT("aws.log.group.names"),
    STR_INIT("aws.log.stream.arns"),
    STR_INIT("aws.log.stream.names"),
    STR_INIT("cloud.account.id"),
    STR_INIT("cloud.availability_zone"),
    STR_INIT("cloud.platform"),
    STR_INIT("cloud.provider"),
    STR_INIT("cloud.region"),
    STR_INIT("container.id"),
    STR_INIT("container.image.name"),
    STR_INIT("container.image.tag"),
    STR_INIT("container.name"),
    STR_INIT("container.runtime"),
    STR_INIT("deployment.environment"),
    STR_INIT("deployment.environment.name"),
    STR_INIT("device.id"),
    STR_INIT("device.model.identifier"),
    STR_INIT("device.model.name"),
    STR_INIT("faas.id"),
    STR_INIT("faas.instance"),
    STR_INIT("faas.max_memory"),
    STR_INIT("faas.name"),
    STR_INIT("faas.version"),
    STR_INIT("host.arch"),
    STR_INIT("host.id"),
    STR_INIT("host.image.id"),
    STR_INIT("host.image.name"),
    STR_INIT("host.image.version"),
    STR_INIT("host.name"),
    STR_INIT("host.type"),
    STR_INIT("k8s.cluster.name"),
    STR_INIT("k8s.container.name"),
    STR_INIT("k8s.container.restart_count"),
    STR_INIT("k8s.cronjob.name"),
    STR_INIT("k8s.cronjob.uid"),
    STR_INIT("k8s.daemonset.name"),
    STR_INIT("k8s.daemonset.uid"),
    STR_INIT("k8s.deployment.name"),
    STR_INIT("k8s.deployment.uid"),
    STR_INIT("k8s.job.name"),
    STR_INIT("k8s.job.uid"),
    STR_INIT("k8s.namespace.name"),
    STR_INIT("k8s.node.name"),
    STR_INIT("k8s.node.uid"),
    STR_INIT("k8s.pod.name"),
    STR_INIT("k8s.pod.uid"),
    STR_INIT("k8s.replicaset.name"),
    STR_INIT("k8s.replicaset.uid"),
    STR_INIT("k8s.statefulset.name"),
    STR_INIT("k8s.statefulset.uid"),
    STR_INIT("opencensus.exporterversion"),
    STR_INIT("opencensus.resourcetype"),
    STR_INIT("opencensus.starttime"),
    STR_INIT("os.description"),
    STR_INIT("os.name"),
    STR_INIT("os.type"),
    STR_INIT("os.version"),
    STR_INIT("process.command"),
    STR_INIT("process.command_args"),
    STR_INIT("process.command_line"),
    STR_INIT("process.executable.name"),
    STR_INIT("process.executable.path"),
    STR_INIT("process.owner"),
    STR_INIT("process.pid"),
    STR_INIT("process.runtime.description"),
    STR_INIT("process.runtime.name"),
    STR_INIT("process.runtime.version"),
    STR_INIT("service.instance.id"),
    STR_INIT("service.name"),
    STR_INIT("service.namespace"),
    STR_INIT("service.version"),
    STR_INIT("telemetry.auto.version"),
    STR_INIT("telemetry.sdk.language"),
    STR_INIT("telemetry.sdk.name"),
    STR_INIT("telemetry.sdk.version"),
    STR_INIT("webengine.description"),
    STR_INIT("webengine.name"),
    STR_INIT("webengine.version"),
};

static int compare_keys(const void *a, const void *b) {
    return str_compare(*(const Str *)a, *(const Str *)b);
}

static bool is_resource_key(Str key) {
    return bsearch(&key, resource_keys, ARRAY_LEN(resource_keys), sizeof *resource_keys,
                   compare_keys) != NULL;
}

/* Moves a resource's tags out of the span's. A tag service.name wins over the endpoint's. */
static ErrCode take_resource(Foreign *foreign, ZipkinSpan *span, Tags *resource, Error *err) {
    Str source = STR("service.name");
    uint32_t kept = 0;

    tags_take_text(&span->tags, STR("otlp.service.name.source"), &source);
    if (span->local.service.len > 0)
        TRY(tags_add_text(foreign, resource, source, span->local.service, err));
    for (uint32_t i = 0; i < span->tags.count; i++) {
        Attribute tag = span->tags.items[i];

        if (is_resource_key(tag.key))
            TRY(tags_add(foreign, resource, &tag, err));
        else
            span->tags.items[kept++] = tag;
    }
    span->tags.count = kept;
    return ERR_OK;
}

static void take_scope(Tags *tags, SpanOrigin *origin) {
    tags_take_text(tags, STR("otel.library.name"), &origin->scope_name);
    tags_take_text(tags, STR("otel.library.version"), &origin->scope_version);
    tags_take_text(tags, STR("otel.scope.name"), &origin->scope_name);
    tags_take_text(tags, STR("otel.scope.version"), &origin->scope_version);
}

static uint8_t take_kind(Tags *tags, Str kind) {
    Str text;

    if (str_equal(kind, STR("SERVER"))) return 2;
    if (str_equal(kind, STR("CLIENT"))) return 3;
    if (str_equal(kind, STR("PRODUCER"))) return 4;
    if (str_equal(kind, STR("CONSUMER"))) return 5;
    return tags_take_text(tags, STR("span.kind"), &text) && str_equal(text, STR("internal")) ? 1
                                                                                             : 0;
}

/* Exporters write "ERROR", those of the Collector "STATUS_CODE_ERROR". */
static uint8_t status_of(Str text) {
    static const Str prefix = STR_INIT("STATUS_CODE_");

    if (str_starts_with(text, prefix)) text = str_from(text, prefix.len);
    if (str_equal_nocase(text, STR("ERROR"))) return SPAN_STATUS_ERROR;
    return str_equal_nocase(text, STR("OK")) ? SPAN_STATUS_OK : SPAN_STATUS_UNSET;
}

static void take_status(Tags *tags, Span *out) {
    const Attribute *error = tags_find(tags, STR("error"));
    Attribute taken;
    Str text;

    if (tags_take_text(tags, STR("otel.status_code"), &text)) {
        out->status = status_of(text);
        tags_take_text(tags, STR("otel.status_description"), &out->status_message);
        error = tags_find(tags, STR("error"));
    }
    if (error == NULL || !str_equal(error->text, STR("true"))) return;
    out->status = SPAN_STATUS_ERROR;
    tags_take(tags, STR("error"), &taken);
}

enum { LINKS_MAX = 128 };

/* The number of a tag that is a link. False: it is none. */
static bool link_number(const Attribute *tag, uint64_t *out) {
    static const Str prefix = STR_INIT("otlp.link.");

    return tag->type == ATTRIBUTE_STRING && str_starts_with(tag->key, prefix) &&
           str_to_u64(str_from(tag->key, prefix.len), out) && *out < LINKS_MAX;
}

/* Takes out otlp.link.0, otlp.link.1 and so on, until one isn't there: in two walks, however many
 * tags there are. */
static uint32_t take_link_texts(Tags *tags, Str texts[LINKS_MAX]) {
    uint32_t places[LINKS_MAX] = {0}, count = 0, kept = 0; /* of tags, from 1 on */
    uint64_t number;

    for (uint32_t i = 0; i < tags->count; i++)
        if (link_number(&tags->items[i], &number)) places[number] = i + 1;
    for (; count < LINKS_MAX && places[count] != 0; count++)
        texts[count] = tags->items[places[count] - 1].text;
    if (count == 0) return 0;
    for (uint32_t i = 0; i < tags->count; i++)
        if (!link_number(&tags->items[i], &number) || number >= count || places[number] != i + 1)
            tags->items[kept++] = tags->items[i];
    tags->count = kept;
    return count;
}

static ErrCode take_links(Foreign *foreign, Tags *tags, Span *out, Error *err) {
    Str texts[LINKS_MAX];
    uint32_t count = take_link_texts(tags, texts);
    SpanLink *links;
    bool is_one;

    if (count == 0) return ERR_OK;
    links = ARENA_ARRAY(foreign->scratch, SpanLink, count);
    if (links == NULL)
        return error_set(err, ERR_LIMIT, "no memory left for the spans of this request");
    out->links = links;
    for (uint32_t i = 0; i < count; i++) {
        TRY(zipkin_link(foreign, texts[i], &links[out->link_count], &is_one, err));
        if (is_one) out->link_count++;
    }
    return ERR_OK;
}

static ErrCode put_events(Foreign *foreign, const ZipkinSpan *span, Span *out, Error *err) {
    SpanEvent *events;

    if (span->annotation_count == 0) return ERR_OK;
    events = ARENA_ARRAY(foreign->scratch, SpanEvent, span->annotation_count);
    if (events == NULL)
        return error_set(err, ERR_LIMIT, "no memory left for the spans of this request");
    for (uint32_t i = 0; i < span->annotation_count; i++)
        TRY(zipkin_event(foreign, &span->annotations[i], &events[i], err));
    out->events = events;
    out->event_count = span->annotation_count;
    return ERR_OK;
}

static ErrCode put_endpoint(Foreign *foreign, Tags *tags, const ZipkinEndpoint *endpoint,
                            bool remote, Error *err) {
    Str ip = remote ? STR("net.peer.ip") : STR("net.host.ip");
    Str port = remote ? STR("net.peer.port") : STR("net.host.port");

    if (remote && endpoint->service.len > 0)
        TRY(tags_add_text(foreign, tags, STR("peer.service"), endpoint->service, err));
    if (endpoint->ipv4.len > 0) TRY(tags_add_text(foreign, tags, ip, endpoint->ipv4, err));
    if (endpoint->ipv6.len > 0) TRY(tags_add_text(foreign, tags, ip, endpoint->ipv6, err));
    if (endpoint->port == 0) return ERR_OK;
    return tags_add_integer(foreign, tags, port, (int64_t)endpoint->port, err);
}

static ErrCode translate(Foreign *foreign, ZipkinSpan *span, Span *out, SpanOrigin *origin,
                         Error *err) {
    Attribute absent = {.key = STR_INIT("otel.zipkin.absentField.startTime"),
                        .type = ATTRIBUTE_BOOL,
                        .truth = true};
    Tags *tags = &span->tags, resource = {0};
    int64_t duration_ns = foreign_ns(span->duration_us);

    TRY(take_resource(foreign, span, &resource, err));
    origin->resource = tags_all(&resource);
    take_scope(tags, origin);
    *out = (Span){.trace = foreign_trace_id(span->trace_high, span->trace_low),
                  .id = span->id,
                  .parent = span->parent == span->id ? 0 : span->parent,
                  .name = span->name,
                  .start_ns = foreign_ns(span->time_us)};
    /* A duration that no span can have is refused as a time that none can have. */
    out->end_ns = duration_ns < 0 ? -1 : foreign_end_ns(out->start_ns, duration_ns);
    tags_take_text(tags, STR("w3c.tracestate"), &out->state);
    out->kind = take_kind(tags, span->kind);
    take_status(tags, out);
    TRY(take_links(foreign, tags, out, err));
    TRY(put_endpoint(foreign, tags, &span->local, false, err));
    TRY(put_endpoint(foreign, tags, &span->remote, true, err));
    if (span->time_us == 0) TRY(tags_add(foreign, tags, &absent, err));
    out->attributes = tags_all(tags);
    return put_events(foreign, span, out, err);
}

ErrCode zipkin_add(Foreign *foreign, ZipkinSpan *span, Error *err) {
    SpanOrigin origin = {0};
    ErrCode code;
    Span out;

    code = translate(foreign, span, &out, &origin, err);
    if (code == ERR_INVALID) {
        spans_refuse(foreign->spans, err);
        return ERR_OK;
    }
    return code == ERR_OK ? foreign_add(foreign, &origin, &out, err) : code;
}
