#include "gateway/spans/foreign.h"

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory left for the spans of this request");
}

ErrCode foreign_init(Foreign *foreign, Spans *spans, Arena *arena, Error *err) {
    *foreign = (Foreign){.spans = spans, .arena = arena};
    buf_init(&foreign->message, 0); /* as large as the span's part of the body, about */
    foreign->scratch = arena_new(0, arena_budget(arena));
    return foreign->scratch == NULL ? out_of_memory(err) : ERR_OK;
}

void foreign_done(Foreign *foreign) {
    arena_free(foreign->scratch);
    buf_done(&foreign->message);
    foreign->scratch = NULL;
}

void foreign_next(Foreign *foreign) {
    arena_reset(foreign->scratch);
    foreign->tags = 0;
}

/* ---------- tags ---------- */

static Attribute *find(const Tags *tags, Str key) {
    for (uint32_t i = 0; i < tags->count; i++)
        if (str_equal(tags->items[i].key, key)) return &tags->items[i];
    return NULL;
}

const Attribute *tags_find(const Tags *tags, Str key) {
    return find(tags, key);
}

ErrCode tags_add(Foreign *foreign, Tags *tags, const Attribute *tag, Error *err) {
    Attribute *known = tags->count <= FOREIGN_DOUBLES_MAX ? find(tags, tag->key) : NULL;

    if (known != NULL) {
        *known = *tag;
        return ERR_OK;
    }
    if (++foreign->tags > FOREIGN_TAGS_MAX)
        return error_set(err, ERR_INVALID, "a span has more than %d tags; send fewer",
                         FOREIGN_TAGS_MAX);
    if (tags->count == tags->capacity) {
        uint32_t grown = MAX(tags->capacity * 2, 8u);
        Arena *arena = tags->arena != NULL ? tags->arena : foreign->scratch;
        Attribute *items =
            arena_grow(arena, tags->items, tags->capacity * sizeof *items, grown * sizeof *items);

        if (items == NULL) return out_of_memory(err);
        tags->items = items;
        tags->capacity = grown;
    }
    tags->items[tags->count++] = *tag;
    return ERR_OK;
}

ErrCode tags_add_text(Foreign *foreign, Tags *tags, Str key, Str value, Error *err) {
    Attribute tag = {.key = key, .type = ATTRIBUTE_STRING, .text = value};

    return tags_add(foreign, tags, &tag, err);
}

ErrCode tags_add_integer(Foreign *foreign, Tags *tags, Str key, int64_t value, Error *err) {
    Attribute tag = {.key = key, .type = ATTRIBUTE_INT, .integer = value};

    return tags_add(foreign, tags, &tag, err);
}

bool tags_take(Tags *tags, Str key, Attribute *out) {
    Attribute *tag = find(tags, key);

    if (tag == NULL) return false;
    *out = *tag;
    memmove(tag, tag + 1, (size_t)(tags->items + tags->count - (tag + 1)) * sizeof *tag);
    tags->count--;
    return true;
}

bool tags_take_text(Tags *tags, Str key, Str *out) {
    const Attribute *tag = find(tags, key);
    Attribute taken;

    if (tag == NULL || tag->type != ATTRIBUTE_STRING || !tags_take(tags, key, &taken)) return false;
    *out = taken.text;
    return true;
}

/* ---------- messages ---------- */

/* The message that was just written, for as long as the request lasts. */
static ErrCode keep(Foreign *foreign, Str *out, Error *err) {
    char *copy;

    if (foreign->message.len == 0) {
        *out = STR("");
        return ERR_OK;
    }
    copy = arena_alloc_bytes(foreign->arena, foreign->message.len);
    if (copy == NULL) return out_of_memory(err);
    memcpy(copy, foreign->message.ptr, foreign->message.len);
    *out = (Str){copy, foreign->message.len};
    return ERR_OK;
}

/* Most spans of a body are from where the one before them was. */
static ErrCode begin_origin(Foreign *foreign, const SpanOrigin *origin, Error *err) {
    Buf *message = &foreign->message;
    size_t resource_len;
    Str both;

    buf_clear(message);
    if (!origin_encode_resource(origin, message)) return out_of_memory(err);
    resource_len = message->len;
    if (!origin_encode_scope(origin, message)) return out_of_memory(err);
    both = buf_str(message);
    if (foreign->begun && str_equal(str_slice(both, 0, resource_len), foreign->resource) &&
        str_equal(str_slice(both, resource_len, both.len), foreign->scope))
        return ERR_OK;
    TRY(keep(foreign, &both, err));
    foreign->begun = true;
    foreign->resource = str_slice(both, 0, resource_len);
    foreign->scope = str_slice(both, resource_len, both.len);
    return spans_origin(foreign->spans, foreign->resource, foreign->scope, STR(""), STR(""), err);
}

ErrCode foreign_add(Foreign *foreign, const SpanOrigin *origin, const Span *span, Error *err) {
    Str message;

    TRY(begin_origin(foreign, origin, err));
    buf_clear(&foreign->message);
    if (!span_encode(span, &foreign->message)) return out_of_memory(err);
    /* One that is too large is refused, and nobody keeps it. */
    message = buf_str(&foreign->message);
    if (message.len <= SPAN_BYTES_MAX) TRY(keep(foreign, &message, err));
    return spans_add(foreign->spans, message, err);
}

/* ---------- ids and times ---------- */

TraceId foreign_trace_id(uint64_t high, uint64_t low) {
    TraceId id;

    for (unsigned i = 0; i < 8; i++) {
        id.bytes[i] = (uint8_t)(high >> (56 - 8 * i));
        id.bytes[8 + i] = (uint8_t)(low >> (56 - 8 * i));
    }
    return id;
}

int64_t foreign_ns(int64_t us) {
    return us < 0 || us > INT64_MAX / 1000 ? -1 : us * 1000;
}

int64_t foreign_end_ns(int64_t start_ns, int64_t duration_ns) {
    int64_t end_ns;

    if (start_ns < 0 || duration_ns <= 0) return start_ns;
    return __builtin_add_overflow(start_ns, duration_ns, &end_ns) ? -1 : end_ns;
}
