#include "querier/api/message.h"

#include <inttypes.h>
#include <math.h>

#include "common/base/json.h"
#include "proto/wire/write.h"
#include "querier/exec/go_float.h"

/* What stands before a value in JSON. */
static void lead(MessageWriter *w, const char *name) {
    if (w->any) buf_append_byte(w->out, ',');
    w->any = true;
    if (name != NULL) buf_printf(w->out, "\"%s\":", name);
}

void message_open(MessageWriter *w) {
    if (w->json) buf_append_byte(w->out, '{');
    w->any = false;
}

void message_close(MessageWriter *w) {
    if (w->json) buf_append_byte(w->out, '}');
}

size_t message_begin(MessageWriter *w, uint32_t field, const char *name) {
    if (!w->json) return wire_begin(w->out, field);
    lead(w, name);
    buf_append_byte(w->out, '{');
    w->any = false;
    return 0;
}

void message_end(MessageWriter *w, size_t start) {
    if (!w->json) {
        wire_end(w->out, start);
        return;
    }
    buf_append_byte(w->out, '}');
    w->any = true;
}

void message_list(MessageWriter *w, const char *name) {
    if (!w->json) return;
    lead(w, name);
    buf_append_byte(w->out, '[');
    w->any = false;
}

void message_list_end(MessageWriter *w) {
    if (!w->json) return;
    buf_append_byte(w->out, ']');
    w->any = true;
}

void message_text(MessageWriter *w, uint32_t field, const char *name, Str value) {
    if (!w->json) {
        wire_put_bytes(w->out, field, value);
        return;
    }
    lead(w, name);
    json_append_string(w->out, value);
}

void message_bool(MessageWriter *w, uint32_t field, const char *name, bool value) {
    if (!w->json) {
        wire_put_varint(w->out, field, value);
        return;
    }
    lead(w, name);
    buf_append_str(w->out, value ? STR("true") : STR("false"));
}

void message_u32(MessageWriter *w, uint32_t field, const char *name, uint32_t value) {
    if (!w->json) {
        wire_put_varint(w->out, field, value);
        return;
    }
    lead(w, name);
    buf_printf(w->out, "%" PRIu32, value);
}

void message_u64(MessageWriter *w, uint32_t field, const char *name, uint64_t value) {
    if (!w->json) {
        wire_put_varint(w->out, field, value);
        return;
    }
    lead(w, name);
    buf_printf(w->out, "\"%" PRIu64 "\"", value);
}

void message_i64(MessageWriter *w, uint32_t field, const char *name, int64_t value) {
    if (!w->json) {
        wire_put_int64(w->out, field, value);
        return;
    }
    lead(w, name);
    buf_printf(w->out, "\"%" PRId64 "\"", value);
}

void message_double(MessageWriter *w, uint32_t field, const char *name, double value) {
    if (!w->json) {
        wire_put_double(w->out, field, value);
        return;
    }
    lead(w, name);
    if (isfinite(value))
        go_append_g(w->out, value);
    else
        buf_append_str(w->out, isnan(value) ? STR("\"NaN\"")
                               : value > 0  ? STR("\"Infinity\"")
                                            : STR("\"-Infinity\""));
}

void message_map(MessageWriter *w, const char *name) {
    if (!w->json) return;
    lead(w, name);
    buf_append_byte(w->out, '{');
    w->any = false;
}

size_t message_entry(MessageWriter *w, uint32_t field, Str key, size_t *entry) {
    *entry = 0;
    if (!w->json) {
        *entry = wire_begin(w->out, field);
        wire_put_bytes(w->out, 1, key);
        return wire_begin(w->out, 2);
    }
    lead(w, NULL);
    json_append_string(w->out, key);
    buf_append_str(w->out, STR(":{"));
    w->any = false;
    return 0;
}

void message_entry_end(MessageWriter *w, size_t value, size_t entry) {
    message_end(w, value);
    if (!w->json) wire_end(w->out, entry);
}

void message_map_end(MessageWriter *w) {
    if (!w->json) return;
    buf_append_byte(w->out, '}');
    w->any = true;
}
