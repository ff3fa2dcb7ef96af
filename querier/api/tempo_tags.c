/*
 * tempo_tags.c: names of attributes and their values, in two versions of answers: the first knows
 * no scopes and no types.
 */
#include <math.h>
#include <stdlib.h>

#include "querier/api/tempo_answer.h"
#include "querier/exec/go_float.h"

/* Those that queries know, as Tempo lists them. */
static const char *const intrinsics[] = {
    "duration",
    "event:name",
    "event:timeSinceStart",
    "instrumentation:name",
    "kind",
    "link:spanID",
    "link:traceID",
    "instrumentation:version",
    "name",
    "rootName",
    "rootServiceName",
    "span:duration",
    "span:id",
    "span:kind",
    "span:name",
    "span:parentID",
    "span:status",
    "status",
    "span:statusMessage",
    "statusMessage",
    "trace:duration",
    "trace:id",
    "trace:rootName",
    "trace:rootService",
    "traceDuration",
};

static const char *const scope_names[] = {
    [SCOPE_SPAN] = "span",
    [SCOPE_EVENT] = "event",
    [SCOPE_LINK] = "link",
    [SCOPE_RESOURCE] = "resource",
    [SCOPE_INSTRUMENTATION] = "instrumentation",
};

/* ---------- names ---------- */

static bool wants_all(const TempoTags *tags) {
    return tags->scope.len == 0 || str_equal(tags->scope, STR("none"));
}

static bool wants_intrinsics(const TempoTags *tags) {
    return str_equal(tags->scope, STR("intrinsic"));
}

static bool wants_scope(const TempoTags *tags, const SpanTag *tag) {
    return wants_all(tags) || str_equal(tags->scope, str_of(scope_names[tag->scope]));
}

static ErrCode find_tags(ApiCall *call, const TempoTags *tags, SpanTag **out, size_t *count,
                         Error *err) {
    TraceqlTagsParams params = {.start_ns = tags->start_ns,
                                .end_ns = tags->end_ns,
                                .source = call->traces,
                                .query = &call->query,
                                .stats = &call->trace_stats};
    TraceqlQuery *filter = NULL;
    size_t kept = 0;

    tempo_widen(&params.start_ns, &params.end_ns);
    *count = 0;
    if (wants_intrinsics(tags)) return ERR_OK;
    if (tags->query.len > 0) TRY(traceql_parse_lenient(tags->query, call->arena, &filter, err));
    params.filter = filter;
    TRY(traceql_tags(&params, out, count, err));
    for (size_t i = 0; i < *count; i++)
        if (wants_scope(tags, &(*out)[i])) (*out)[kept++] = (*out)[i];
    *count = kept;
    return ERR_OK;
}

static int compare_keys(const void *left, const void *right) {
    return str_compare(((const SpanTag *)left)->key, ((const SpanTag *)right)->key);
}

/* Each name once, whichever scopes have it. */
static void write_tags_v1(MessageWriter *w, const TempoTags *request, SpanTag *tags, size_t count) {
    uint32_t written = 0;

    message_list(w, "tagNames");
    if (wants_intrinsics(request))
        for (size_t i = 0; i < ARRAY_LEN(intrinsics); i++)
            message_text(w, 1, NULL, str_of(intrinsics[i]));
    if (count > 0) qsort(tags, count, sizeof *tags, compare_keys);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && str_equal(tags[i].key, tags[i - 1].key)) continue;
        if (request->limit > 0 && written++ == request->limit) break;
        message_text(w, 1, NULL, tags[i].key);
    }
    message_list_end(w);
}

/* SearchTagsV2Scope: name 1, tags 2. */
static size_t begin_scope(MessageWriter *w, const char *name) {
    size_t scope = message_begin(w, 1, NULL);

    message_text(w, 1, "name", str_of(name));
    message_list(w, "tags");
    return scope;
}

static void end_scope(MessageWriter *w, size_t scope) {
    message_list_end(w);
    message_end(w, scope);
}

static void write_tags_v2(MessageWriter *w, const TempoTags *request, const SpanTag *tags,
                          size_t count) {
    message_list(w, "scopes");
    if (wants_all(request) || wants_intrinsics(request)) {
        size_t scope = begin_scope(w, "intrinsic");

        for (size_t i = 0; i < ARRAY_LEN(intrinsics); i++)
            message_text(w, 2, NULL, str_of(intrinsics[i]));
        end_scope(w, scope);
    }
    for (size_t i = 0; i < count;) {
        size_t first = i, scope = begin_scope(w, scope_names[tags[i].scope]);

        for (; i < count && tags[i].scope == tags[first].scope; i++)
            if (request->limit == 0 || i - first < request->limit)
                message_text(w, 2, NULL, tags[i].key);
        end_scope(w, scope);
    }
    message_list_end(w);
}

ErrCode tempo_tags(ApiCall *call, const TempoTags *request, bool v2, MessageWriter *w, Error *err) {
    SpanTag *tags = NULL;
    size_t count;

    TRY(find_tags(call, request, &tags, &count, err));
    message_open(w);
    if (v2)
        write_tags_v2(w, request, tags, count);
    else
        write_tags_v1(w, request, tags, count);
    tempo_write_names_metrics(w, &call->trace_stats);
    message_close(w);
    return ERR_OK;
}

/* ---------- values ---------- */

static const char *type_name(const TraceqlValue *value) {
    switch (value->type) {
    case TRACEQL_INT:
        return "int";
    case TRACEQL_FLOAT:
        return "float";
    case TRACEQL_BOOL:
        return "bool";
    case TRACEQL_DURATION:
        return "duration";
    case TRACEQL_STATUS:
    case TRACEQL_KIND:
        return "keyword";
    default:
        return "string";
    }
}

/* Floats keep a point, so that they don't look like integers. */
static Str value_text(const TraceqlValue *value, Arena *arena) {
    CLEANUP_IN_PLACE(buf_done) Buf text = {0};

    if (value->type != TRACEQL_FLOAT || !isfinite(value->number))
        return traceql_value_text(value, arena);
    buf_init(&text, 512);
    go_append_f(&text, value->number);
    return str_format(arena, "%.*s%s", (int)text.len, text.ptr,
                      str_contains(buf_str(&text), STR(".")) ? "" : ".0");
}

/* All there can be, whatever there is. */
static ErrCode keywords(TraceqlType type, unsigned count, Arena *arena, TraceqlValue **out,
                        size_t *out_count, Error *err) {
    TraceqlValue *values = ARENA_ARRAY(arena, TraceqlValue, count);

    if (values == NULL) return api_out_of_memory(err);
    for (unsigned i = 0; i < count; i++)
        values[i] = (TraceqlValue){.type = (uint8_t)type, .integer = i};
    *out = values;
    *out_count = count;
    return ERR_OK;
}

static ErrCode find_values(ApiCall *call, const TempoValues *request,
                           const TraceqlAttribute *attribute, TraceqlValue **out, size_t *count,
                           Error *err) {
    TraceqlTagsParams params = {.start_ns = request->start_ns,
                                .end_ns = request->end_ns,
                                .limit = request->limit,
                                .source = call->traces,
                                .query = &call->query,
                                .stats = &call->trace_stats};
    TraceqlQuery *filter = NULL;

    tempo_widen(&params.start_ns, &params.end_ns);
    if (request->query.len > 0)
        TRY(traceql_parse_lenient(request->query, call->arena, &filter, err));
    params.filter = filter;
    return traceql_tag_values(&params, attribute, out, count, err);
}

/* Nobody chooses from a list of durations, or of ids. */
static bool has_list(const TraceqlAttribute *attribute) {
    switch (attribute->intrinsic) {
    case TRACEQL_NONE_FIELD:
    case TRACEQL_NAME_FIELD:
    case TRACEQL_STATUS_MESSAGE_FIELD:
    case TRACEQL_ROOT_NAME_FIELD:
    case TRACEQL_ROOT_SERVICE_FIELD:
    case TRACEQL_EVENT_NAME_FIELD:
    case TRACEQL_SCOPE_NAME_FIELD:
    case TRACEQL_SCOPE_VERSION_FIELD:
        return true;
    default:
        return false;
    }
}

static ErrCode values_v2(ApiCall *call, const TempoValues *request, TraceqlValue **out,
                         size_t *count, Error *err) {
    TraceqlAttribute attribute;

    if (traceql_parse_attribute(request->tag, call->arena, &attribute, err) != ERR_OK)
        return error_wrap(err,
                          "please provide a valid tagName: failed to parse identifier " STR_FMT,
                          STR_ARG(str_slice(request->tag, 0, 100)));
    if (attribute.intrinsic == TRACEQL_STATUS_FIELD)
        return keywords(TRACEQL_STATUS, 3, call->arena, out, count, err);
    if (attribute.intrinsic == TRACEQL_KIND_FIELD)
        return keywords(TRACEQL_KIND, 6, call->arena, out, count, err);
    *count = 0;
    if (!has_list(&attribute)) return ERR_OK;
    if (attribute.scope == 0 && str_equal(attribute.name, STR("service.name")))
        attribute.scope = SCOPE_RESOURCE;
    return find_values(call, request, &attribute, out, count, err);
}

/* Where a name without a scope is looked for: these have one place, others are of spans and of
 * resources. */
static AttributeScope only_scope(Str key) {
    static const struct {
        const char *key;
        AttributeScope scope;
    } known[] = {{"http.method", SCOPE_SPAN},
                 {"http.url", SCOPE_SPAN},
                 {"http.status_code", SCOPE_SPAN},
                 {"service.name", SCOPE_RESOURCE},
                 {"cluster", SCOPE_RESOURCE},
                 {"namespace", SCOPE_RESOURCE},
                 {"pod", SCOPE_RESOURCE},
                 {"container", SCOPE_RESOURCE},
                 {"k8s.cluster.name", SCOPE_RESOURCE},
                 {"k8s.namespace.name", SCOPE_RESOURCE},
                 {"k8s.pod.name", SCOPE_RESOURCE},
                 {"k8s.container.name", SCOPE_RESOURCE}};

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_equal(key, str_of(known[i].key))) return known[i].scope;
    return 0;
}

/* An intrinsic by its name, else an attribute of spans or resources with just this key. */
static ErrCode values_v1(ApiCall *call, const TempoValues *request, TraceqlValue **out,
                         size_t *count, Error *err) {
    static const uint8_t both[] = {SCOPE_SPAN, SCOPE_RESOURCE};
    AttributeScope only = only_scope(request->tag);
    TraceqlAttribute attribute;
    TraceqlValue *found[2];
    size_t counts[2] = {0, 0};
    Error ignored = {0};

    *count = 0;
    if (traceql_parse_attribute(request->tag, call->arena, &attribute, &ignored) == ERR_OK &&
        attribute.intrinsic != TRACEQL_NONE_FIELD) {
        if (!has_list(&attribute)) return ERR_OK;
        return find_values(call, request, &attribute, out, count, err);
    }
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        attribute = (TraceqlAttribute){.scope = both[i], .name = request->tag};
        if (only == 0 || only == both[i])
            TRY(find_values(call, request, &attribute, &found[i], &counts[i], err));
    }
    *out = ARENA_ARRAY(call->arena, TraceqlValue, MAX(counts[0] + counts[1], 1U));
    if (*out == NULL) return api_out_of_memory(err);
    for (size_t i = 0; i < ARRAY_LEN(both); i++)
        for (size_t k = 0; k < counts[i]; k++) (*out)[(*count)++] = found[i][k];
    return ERR_OK;
}

static int compare_texts(const void *left, const void *right) {
    return str_compare(*(const Str *)left, *(const Str *)right);
}

static ErrCode write_values_v1(MessageWriter *w, const TempoValues *request,
                               const TraceqlValue *values, size_t count, Arena *arena, Error *err) {
    Str *texts = ARENA_ARRAY(arena, Str, MAX(count, 1U));
    uint32_t written = 0;

    if (texts == NULL) return api_out_of_memory(err);
    for (size_t i = 0; i < count; i++) texts[i] = value_text(&values[i], arena);
    if (count > 0) qsort(texts, count, sizeof *texts, compare_texts);
    message_list(w, "tagValues");
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && str_equal(texts[i], texts[i - 1])) continue;
        if (request->limit > 0 && written++ == request->limit) break;
        message_text(w, 1, NULL, texts[i]);
    }
    message_list_end(w);
    return ERR_OK;
}

/* TagValue: type 1, value 2. */
static void write_values_v2(MessageWriter *w, const TempoValues *request,
                            const TraceqlValue *values, size_t count, Arena *arena) {
    message_list(w, "tagValues");
    for (size_t i = 0; i < count && (request->limit == 0 || i < request->limit); i++) {
        size_t value = message_begin(w, 1, NULL);

        message_text(w, 1, "type", str_of(type_name(&values[i])));
        message_text(w, 2, "value", value_text(&values[i], arena));
        message_end(w, value);
    }
    message_list_end(w);
}

ErrCode tempo_values(ApiCall *call, const TempoValues *request, bool v2, MessageWriter *w,
                     Error *err) {
    TraceqlValue *values = NULL;
    size_t count;

    if (request->tag.len == 0)
        return error_set(err, ERR_INVALID, "please provide a non-empty tagName");
    TRY((v2 ? values_v2 : values_v1)(call, request, &values, &count, err));
    message_open(w);
    if (v2)
        write_values_v2(w, request, values, count, call->arena);
    else
        TRY(write_values_v1(w, request, values, count, call->arena, err));
    tempo_write_names_metrics(w, &call->trace_stats);
    message_close(w);
    return ERR_OK;
}

/* ---------- over HTTP ---------- */

static ErrCode run_tags(ApiCall *call, bool v2, Buf *out, Error *err) {
    MessageWriter w = tempo_writer(call, out);
    TempoTags tags;

    TRY(tempo_tags_params(call, &tags, err));
    return tempo_tags(call, &tags, v2, &w, err);
}

static ErrCode run_tags_v1(ApiCall *call, Buf *out, Error *err) {
    return run_tags(call, false, out, err);
}

static ErrCode run_tags_v2(ApiCall *call, Buf *out, Error *err) {
    return run_tags(call, true, out, err);
}

static ErrCode run_values(ApiCall *call, bool v2, Buf *out, Error *err) {
    MessageWriter w = tempo_writer(call, out);
    TempoValues values;

    TRY(tempo_values_params(call, &values, err));
    return tempo_values(call, &values, v2, &w, err);
}

static ErrCode run_values_v1(ApiCall *call, Buf *out, Error *err) {
    return run_values(call, false, out, err);
}

static ErrCode run_values_v2(ApiCall *call, Buf *out, Error *err) {
    return run_values(call, true, out, err);
}

const ApiEndpoint api_tempo_tag_endpoints[] = {
    {HTTP_GET_, "/api/search/tags", run_tags_v1, API_TEMPO},
    {HTTP_GET_, "/api/v2/search/tags", run_tags_v2, API_TEMPO},
    {HTTP_GET_, "/api/search/tag/{tag}/values", run_values_v1, API_TEMPO},
    {HTTP_GET_, "/api/v2/search/tag/{tag}/values", run_values_v2, API_TEMPO},
    {0},
};
