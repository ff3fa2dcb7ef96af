/*
 * tempo_request_wire.c: requests by messages of tempopb. Fields that aren't known are skipped.
 */
#include "common/net/grpc.h"
#include "proto/wire/wire.h"
#include "querier/api/tempo_request.h"
#include "querier/traceql/ast.h"

enum { MESSAGE_BYTES_MAX = 1 << 20 };

#define NS_PER_MS UINT64_C(1000000)

static ErrCode bad_message(Error *err) {
    return error_set(err, ERR_INVALID, "the message is no request of tempopb");
}

static ErrCode message_of(ApiCall *call, WireReader *out, Error *err) {
    Str message;

    TRY(grpc_message(call->request, MESSAGE_BYTES_MAX, &message, err));
    *out = wire_reader(message);
    return ERR_OK;
}

/* A field of a map of texts. */
static bool read_tag(WireReader *r, Buf *query) {
    Str key = STR(""), value = STR("");
    WireReader entry;
    uint32_t tag;

    if (!wire_message(r, &entry)) return false;
    while (!wire_at_end(&entry))
        if (!wire_tag(&entry, &tag) ||
            !(tag == WIRE_TAG(1, WIRE_BYTES)   ? wire_bytes(&entry, &key)
              : tag == WIRE_TAG(2, WIRE_BYTES) ? wire_bytes(&entry, &value)
                                               : wire_skip(&entry, tag)))
            return false;
    tempo_tag_condition(key, value, query);
    return true;
}

typedef struct SearchNumbers {
    uint64_t duration_min_ms, duration_max_ms, limit, start, end, spans;
} SearchNumbers;

static bool read_search(WireReader *r, TempoSearch *out, SearchNumbers *numbers, Buf *tags) {
    uint32_t tag;

    while (!wire_at_end(r)) {
        bool ok;

        if (!wire_tag(r, &tag)) return false;
        switch (tag) {
        case WIRE_TAG(1, WIRE_BYTES):
            ok = read_tag(r, tags);
            break;
        case WIRE_TAG(2, WIRE_VARINT):
            ok = wire_varint(r, &numbers->duration_min_ms);
            break;
        case WIRE_TAG(3, WIRE_VARINT):
            ok = wire_varint(r, &numbers->duration_max_ms);
            break;
        case WIRE_TAG(4, WIRE_VARINT):
            ok = wire_varint(r, &numbers->limit);
            break;
        case WIRE_TAG(5, WIRE_VARINT):
            ok = wire_varint(r, &numbers->start);
            break;
        case WIRE_TAG(6, WIRE_VARINT):
            ok = wire_varint(r, &numbers->end);
            break;
        case WIRE_TAG(8, WIRE_BYTES):
            ok = wire_bytes(r, &out->query);
            break;
        case WIRE_TAG(9, WIRE_VARINT):
            ok = wire_varint(r, &numbers->spans);
            break;
        default:
            ok = wire_skip(r, tag);
        }
        if (!ok) return false;
    }
    return true;
}

ErrCode tempo_search_message(ApiCall *call, TempoSearch *out, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf tags = {0};
    SearchNumbers numbers = {0};
    WireReader r;

    *out = (TempoSearch){.query = STR("")};
    buf_init(&tags, TRACEQL_TEXT_MAX);
    TRY(message_of(call, &r, err));
    if (!read_search(&r, out, &numbers, &tags)) return bad_message(err);
    if (out->query.len > 0 && tags.len > 0)
        return error_set(err, ERR_INVALID,
                         "invalid request: can't specify tags and q in the same query");
    tempo_tags_end(&tags);
    if (buf_failed(&tags)) return error_set(err, ERR_INVALID, "invalid tags: too long");
    if (out->query.len == 0) {
        out->by_tags = true;
        out->query = str_dup(call->arena, buf_str(&tags));
        if (out->query.ptr == NULL) return api_out_of_memory(err);
    }
    out->limit = (uint32_t)MIN(numbers.limit, UINT32_MAX);
    out->spans_max = (uint32_t)MIN(numbers.spans, UINT32_MAX);
    out->duration_min_ns = (int64_t)(MIN(numbers.duration_min_ms, UINT32_MAX) * NS_PER_MS);
    out->duration_max_ns = (int64_t)(MIN(numbers.duration_max_ms, UINT32_MAX) * NS_PER_MS);
    TRY(tempo_seconds(numbers.start, numbers.end, &out->start_ns, &out->end_ns, err));
    return tempo_search_check(out, err);
}

/* SearchTagsRequest and SearchTagValuesRequest: two texts, and where three numbers are. */
typedef struct NamesMessage {
    Str texts[2];
    uint64_t start, end, limit;
} NamesMessage;

static ErrCode names_message(ApiCall *call, uint32_t start_field, NamesMessage *out, Error *err) {
    uint64_t *numbers[] = {&out->start, &out->end, &out->limit};
    WireReader r;
    uint32_t tag;

    *out = (NamesMessage){.texts = {STR(""), STR("")}};
    TRY(message_of(call, &r, err));
    while (!wire_at_end(&r)) {
        uint32_t number;
        bool ok;

        if (!wire_tag(&r, &tag)) return bad_message(err);
        number = (tag >> 3) - start_field;
        if (tag == WIRE_TAG(1, WIRE_BYTES) || tag == WIRE_TAG(2, WIRE_BYTES))
            ok = wire_bytes(&r, &out->texts[(tag >> 3) - 1]);
        else if ((tag & 7) == WIRE_VARINT && number < ARRAY_LEN(numbers))
            ok = wire_varint(&r, numbers[number]);
        else
            ok = wire_skip(&r, tag);
        if (!ok) return bad_message(err);
    }
    out->limit = MIN(out->limit, UINT32_MAX);
    return ERR_OK;
}

ErrCode tempo_tags_message(ApiCall *call, TempoTags *out, Error *err) {
    NamesMessage message;

    TRY(names_message(call, 3, &message, err));
    *out = (TempoTags){
        .scope = message.texts[0], .query = message.texts[1], .limit = (uint32_t)message.limit};
    TRY(tempo_seconds(message.start, message.end, &out->start_ns, &out->end_ns, err));
    return tempo_tags_check(out, err);
}

ErrCode tempo_values_message(ApiCall *call, TempoValues *out, Error *err) {
    NamesMessage message;

    TRY(names_message(call, 4, &message, err));
    *out = (TempoValues){
        .tag = message.texts[0], .query = message.texts[1], .limit = (uint32_t)message.limit};
    return tempo_seconds(message.start, message.end, &out->start_ns, &out->end_ns, err);
}

ErrCode tempo_metrics_message(ApiCall *call, bool instant, TempoMetrics *out, Error *err) {
    uint64_t start = 0, end = 0, step = 0, exemplars = 0, series = 0;
    WireReader r;
    uint32_t tag;

    *out = (TempoMetrics){.query = STR("")};
    TRY(message_of(call, &r, err));
    while (!wire_at_end(&r)) {
        bool ok;

        if (!wire_tag(&r, &tag)) return bad_message(err);
        switch (tag) {
        case WIRE_TAG(1, WIRE_BYTES):
            ok = wire_bytes(&r, &out->query);
            break;
        case WIRE_TAG(2, WIRE_VARINT):
            ok = wire_varint(&r, &start);
            break;
        case WIRE_TAG(3, WIRE_VARINT):
            ok = wire_varint(&r, &end);
            break;
        case WIRE_TAG(4, WIRE_VARINT):
            ok = wire_varint(&r, &step);
            break;
        case WIRE_TAG(16, WIRE_VARINT):
            ok = wire_varint(&r, &exemplars);
            break;
        case WIRE_TAG(17, WIRE_VARINT):
            ok = wire_varint(&r, &series);
            break;
        default:
            ok = wire_skip(&r, tag);
        }
        if (!ok) return bad_message(err);
    }
    out->start_ns = (int64_t)MIN(start, INT64_MAX);
    out->end_ns = (int64_t)MIN(end, INT64_MAX);
    out->exemplars = (uint32_t)MIN(exemplars, UINT32_MAX);
    out->series_max = (uint32_t)MIN(series, UINT32_MAX);
    if (!instant)
        out->step_ns = step > 0 ? (int64_t)MIN(step, INT64_MAX)
                                : tempo_default_step(out->start_ns, out->end_ns);
    return tempo_metrics_check(call, out, err);
}
