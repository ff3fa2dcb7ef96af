#pragma once
/*
 * jaeger_bodies.h: one way to write a batch of Jaeger's in both encodings. A span is between
 * begin_span() and end_span(), with its tags, references and logs in any order; a process' tags may
 * come whenever no span is open.
 */
#include "common/base/buf.h"
#include "gateway/jaeger/decode.h"
#include "proto/wire/write.h"

typedef struct JaegerWriter {
    void (*begin)(Buf *out, const char *service);
    void (*process_text)(Buf *out, const char *key, const char *value);
    void (*begin_span)(Buf *out, uint64_t high, uint64_t low, uint64_t id, uint64_t parent,
                       const char *name, int64_t start_us, int64_t duration_us);
    void (*text)(Buf *out, const char *key, const char *value);
    void (*bytes)(Buf *out, const char *key, const char *value);
    void (*truth)(Buf *out, const char *key, bool value);
    void (*integer)(Buf *out, const char *key, int64_t value);
    void (*number)(Buf *out, const char *key, double value);
    void (*ref)(Buf *out, JaegerRefType type, uint64_t high, uint64_t low, uint64_t span);
    void (*begin_log)(Buf *out, int64_t time_us);
    void (*log_text)(Buf *out, const char *key, const char *value);
    void (*end_log)(Buf *out);
    void (*end_span)(Buf *out);
    void (*end)(Buf *out);
} JaegerWriter;

/* What is collected until its list can be written: one batch at a time. */
typedef struct JaegerParts {
    Buf process_tags, tags, refs, logs, fields, spans;
    unsigned process_tag_count, tag_count, ref_count, log_count, field_count, span_count;
    const char *service;
    size_t span_start;
    int64_t log_time;
} JaegerParts;

static JaegerParts jaeger_parts;

static inline void jp_begin(Buf *out, const char *service) {
    JaegerParts *p = &jaeger_parts;

    (void)out;
    *p = (JaegerParts){.service = service};
    buf_init(&p->process_tags, 0);
    buf_init(&p->tags, 0);
    buf_init(&p->refs, 0);
    buf_init(&p->logs, 0);
    buf_init(&p->fields, 0);
    buf_init(&p->spans, 0);
}

static inline void jp_clear_span(void) {
    JaegerParts *p = &jaeger_parts;

    buf_clear(&p->tags);
    buf_clear(&p->refs);
    buf_clear(&p->logs);
    p->tag_count = p->ref_count = p->log_count = 0;
}

static inline void jp_done(void) {
    JaegerParts *p = &jaeger_parts;

    buf_done(&p->process_tags);
    buf_done(&p->tags);
    buf_done(&p->refs);
    buf_done(&p->logs);
    buf_done(&p->fields);
    buf_done(&p->spans);
}

/* ---------- thrift ---------- */

static inline void th_bytes(Buf *out, uint64_t v, unsigned bytes) {
    while (bytes-- > 0) buf_append_byte(out, (char)(v >> (8 * bytes)));
}

static inline void th_field(Buf *out, unsigned type, unsigned number) {
    th_bytes(out, type, 1);
    th_bytes(out, number, 2);
}

static inline void th_string(Buf *out, unsigned number, const char *text) {
    th_field(out, 11, number);
    th_bytes(out, strlen(text), 4);
    buf_append_str(out, str_of(text));
}

static inline void th_i64(Buf *out, unsigned number, int64_t v) {
    th_field(out, 10, number);
    th_bytes(out, (uint64_t)v, 8);
}

static inline void th_i32(Buf *out, unsigned number, uint32_t v) {
    th_field(out, 8, number);
    th_bytes(out, v, 4);
}

static inline void th_list(Buf *out, unsigned number, unsigned count, const Buf *elements) {
    th_field(out, 15, number);
    th_bytes(out, 12, 1);
    th_bytes(out, count, 4);
    buf_append_str(out, buf_str(elements));
}

static inline void th_tag(Buf *out, const char *key, uint32_t type) {
    th_string(out, 1, key);
    th_i32(out, 2, type);
}

static inline void th_text_to(Buf *out, unsigned *count, const char *key, const char *value) {
    th_tag(out, key, 0);
    th_string(out, 3, value);
    th_bytes(out, 0, 1);
    (*count)++;
}

static inline void th_process_text(Buf *out, const char *key, const char *value) {
    (void)out;
    th_text_to(&jaeger_parts.process_tags, &jaeger_parts.process_tag_count, key, value);
}

static inline void th_begin_span(Buf *out, uint64_t high, uint64_t low, uint64_t id,
                                 uint64_t parent, const char *name, int64_t start_us,
                                 int64_t duration_us) {
    Buf *spans = &jaeger_parts.spans;

    (void)out;
    jp_clear_span();
    th_i64(spans, 1, (int64_t)low);
    th_i64(spans, 2, (int64_t)high);
    th_i64(spans, 3, (int64_t)id);
    th_i64(spans, 4, (int64_t)parent);
    th_string(spans, 5, name);
    th_i32(spans, 7, 1);
    th_i64(spans, 8, start_us);
    th_i64(spans, 9, duration_us);
}

static inline void th_text(Buf *out, const char *key, const char *value) {
    (void)out;
    th_text_to(&jaeger_parts.tags, &jaeger_parts.tag_count, key, value);
}

static inline void th_binary(Buf *out, const char *key, const char *value) {
    (void)out;
    th_tag(&jaeger_parts.tags, key, 4);
    th_string(&jaeger_parts.tags, 7, value);
    th_bytes(&jaeger_parts.tags, 0, 1);
    jaeger_parts.tag_count++;
}

static inline void th_truth(Buf *out, const char *key, bool value) {
    (void)out;
    th_tag(&jaeger_parts.tags, key, 2);
    th_field(&jaeger_parts.tags, 2, 5);
    th_bytes(&jaeger_parts.tags, value, 1);
    th_bytes(&jaeger_parts.tags, 0, 1);
    jaeger_parts.tag_count++;
}

static inline void th_integer(Buf *out, const char *key, int64_t value) {
    (void)out;
    th_tag(&jaeger_parts.tags, key, 3);
    th_i64(&jaeger_parts.tags, 6, value);
    th_bytes(&jaeger_parts.tags, 0, 1);
    jaeger_parts.tag_count++;
}

static inline void th_number(Buf *out, const char *key, double value) {
    uint64_t bits;

    (void)out;
    memcpy(&bits, &value, sizeof bits);
    th_tag(&jaeger_parts.tags, key, 1);
    th_field(&jaeger_parts.tags, 4, 4);
    th_bytes(&jaeger_parts.tags, bits, 8);
    th_bytes(&jaeger_parts.tags, 0, 1);
    jaeger_parts.tag_count++;
}

static inline void th_ref(Buf *out, JaegerRefType type, uint64_t high, uint64_t low,
                          uint64_t span) {
    Buf *refs = &jaeger_parts.refs;

    (void)out;
    th_i32(refs, 1, type);
    th_i64(refs, 2, (int64_t)low);
    th_i64(refs, 3, (int64_t)high);
    th_i64(refs, 4, (int64_t)span);
    th_bytes(refs, 0, 1);
    jaeger_parts.ref_count++;
}

static inline void th_begin_log(Buf *out, int64_t time_us) {
    (void)out;
    buf_clear(&jaeger_parts.fields);
    jaeger_parts.field_count = 0;
    th_i64(&jaeger_parts.logs, 1, time_us);
}

static inline void th_log_text(Buf *out, const char *key, const char *value) {
    (void)out;
    th_text_to(&jaeger_parts.fields, &jaeger_parts.field_count, key, value);
}

static inline void th_end_log(Buf *out) {
    (void)out;
    th_list(&jaeger_parts.logs, 2, jaeger_parts.field_count, &jaeger_parts.fields);
    th_bytes(&jaeger_parts.logs, 0, 1);
    jaeger_parts.log_count++;
}

static inline void th_end_span(Buf *out) {
    JaegerParts *p = &jaeger_parts;

    (void)out;
    th_list(&p->spans, 6, p->ref_count, &p->refs);
    th_list(&p->spans, 10, p->tag_count, &p->tags);
    th_list(&p->spans, 11, p->log_count, &p->logs);
    th_bytes(&p->spans, 0, 1);
    p->span_count++;
}

static inline void th_end(Buf *out) {
    JaegerParts *p = &jaeger_parts;

    th_field(out, 12, 1);
    th_string(out, 1, p->service);
    th_list(out, 2, p->process_tag_count, &p->process_tags);
    th_bytes(out, 0, 1);
    th_list(out, 2, p->span_count, &p->spans);
    th_i64(out, 3, 1);
    th_bytes(out, 0, 1);
    jp_done();
}

static const JaegerWriter jaeger_thrift_writer = {
    jp_begin,  th_process_text, th_begin_span, th_text,     th_binary,  th_truth,    th_integer,
    th_number, th_ref,          th_begin_log,  th_log_text, th_end_log, th_end_span, th_end};

/* ---------- protobuf ---------- */

static inline void pb_text_field(Buf *out, uint32_t field, const char *text) {
    wire_put_bytes(out, field, str_of(text));
}

static inline void pb_id(Buf *out, uint32_t field, uint64_t high, uint64_t low, bool is_long) {
    wire_put_tag(out, field, WIRE_BYTES);
    buf_append_byte(out, is_long ? 16 : 8);
    if (is_long) th_bytes(out, high, 8);
    th_bytes(out, low, 8);
}

static inline void pb_time(Buf *out, uint32_t field, int64_t us) {
    size_t at = wire_begin(out, field);

    wire_put_int64(out, 1, us / 1000000);
    wire_put_int64(out, 2, us % 1000000 * 1000);
    wire_end(out, at);
}

static inline size_t pb_tag(Buf *out, uint32_t field, const char *key, uint32_t type) {
    size_t at = wire_begin(out, field);

    pb_text_field(out, 1, key);
    wire_put_varint(out, 2, type);
    return at;
}

static inline void pb_text_to(Buf *out, uint32_t field, const char *key, const char *value) {
    size_t at = pb_tag(out, field, key, 0);

    pb_text_field(out, 3, value);
    wire_end(out, at);
}

static inline void pb_process_text(Buf *out, const char *key, const char *value) {
    (void)out;
    pb_text_to(&jaeger_parts.process_tags, 2, key, value);
}

static inline void pb_begin_span(Buf *out, uint64_t high, uint64_t low, uint64_t id,
                                 uint64_t parent, const char *name, int64_t start_us,
                                 int64_t duration_us) {
    Buf *spans = &jaeger_parts.spans;

    (void)out;
    jaeger_parts.span_start = wire_begin(spans, 1);
    pb_id(spans, 1, high, low, true);
    pb_id(spans, 2, 0, id, false);
    pb_text_field(spans, 3, name);
    if (parent != 0) {
        size_t at = wire_begin(spans, 4);

        pb_id(spans, 1, high, low, true);
        pb_id(spans, 2, 0, parent, false);
        wire_end(spans, at);
    }
    pb_time(spans, 6, start_us);
    pb_time(spans, 7, duration_us);
}

static inline void pb_text(Buf *out, const char *key, const char *value) {
    (void)out;
    pb_text_to(&jaeger_parts.spans, 8, key, value);
}

static inline void pb_binary(Buf *out, const char *key, const char *value) {
    size_t at = pb_tag(&jaeger_parts.spans, 8, key, 4);

    (void)out;
    pb_text_field(&jaeger_parts.spans, 7, value);
    wire_end(&jaeger_parts.spans, at);
}

static inline void pb_truth(Buf *out, const char *key, bool value) {
    size_t at = pb_tag(&jaeger_parts.spans, 8, key, 1);

    (void)out;
    wire_put_varint(&jaeger_parts.spans, 4, value);
    wire_end(&jaeger_parts.spans, at);
}

static inline void pb_integer(Buf *out, const char *key, int64_t value) {
    size_t at = pb_tag(&jaeger_parts.spans, 8, key, 2);

    (void)out;
    wire_put_int64(&jaeger_parts.spans, 5, value);
    wire_end(&jaeger_parts.spans, at);
}

static inline void pb_number(Buf *out, const char *key, double value) {
    size_t at = pb_tag(&jaeger_parts.spans, 8, key, 3);

    (void)out;
    wire_put_double(&jaeger_parts.spans, 6, value);
    wire_end(&jaeger_parts.spans, at);
}

static inline void pb_ref(Buf *out, JaegerRefType type, uint64_t high, uint64_t low,
                          uint64_t span) {
    size_t at = wire_begin(&jaeger_parts.spans, 4);

    (void)out;
    pb_id(&jaeger_parts.spans, 1, high, low, true);
    pb_id(&jaeger_parts.spans, 2, 0, span, false);
    wire_put_varint(&jaeger_parts.spans, 3, type);
    wire_end(&jaeger_parts.spans, at);
}

static inline void pb_begin_log(Buf *out, int64_t time_us) {
    (void)out;
    buf_clear(&jaeger_parts.fields);
    pb_time(&jaeger_parts.fields, 1, time_us);
}

static inline void pb_log_text(Buf *out, const char *key, const char *value) {
    (void)out;
    pb_text_to(&jaeger_parts.fields, 2, key, value);
}

static inline void pb_end_log(Buf *out) {
    (void)out;
    wire_put_bytes(&jaeger_parts.spans, 9, buf_str(&jaeger_parts.fields));
}

static inline void pb_end_span(Buf *out) {
    (void)out;
    wire_end(&jaeger_parts.spans, jaeger_parts.span_start);
}

static inline void pb_end(Buf *out) {
    JaegerParts *p = &jaeger_parts;
    size_t batch = wire_begin(out, 1), process;

    buf_append_str(out, buf_str(&p->spans));
    process = wire_begin(out, 2);
    pb_text_field(out, 1, p->service);
    buf_append_str(out, buf_str(&p->process_tags));
    wire_end(out, process);
    wire_end(out, batch);
    jp_done();
}

static const JaegerWriter jaeger_proto_writer = {
    jp_begin,  pb_process_text, pb_begin_span, pb_text,     pb_binary,  pb_truth,    pb_integer,
    pb_number, pb_ref,          pb_begin_log,  pb_log_text, pb_end_log, pb_end_span, pb_end};
