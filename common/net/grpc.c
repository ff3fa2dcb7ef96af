/*
 * grpc.c: frames, compression, deadlines and the status in the trailers.
 *
 * A message has five bytes before it: whether it is compressed, and its length. The status comes
 * last, in trailers, or with the head when there is no message (Trailers-Only); its details are a
 * google.rpc.Status, of which we write what OTLP's exporters read: RetryInfo.
 */
#include "common/net/grpc.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/net/internal.h"

enum {
    PREFIX_BYTES = 5,
    MESSAGE_TEXT_MAX = 1024, /* of an error, before it is escaped */
    TIMEOUT_DIGITS_MAX = 8,
};

static const char content_type[] = "application/grpc";

/* ---------- what comes ---------- */

void grpc_route(HttpServer *server, const char *path,
                void (*handle)(HttpRequest *request, void *context), void *context,
                size_t body_bytes_max) {
    http_server_route(server, &(HttpRoute){.methods = HTTP_POST_,
                                           .path = path,
                                           .handle = handle,
                                           .context = context,
                                           .body_bytes_max = body_bytes_max});
}

bool grpc_is_call(const HttpRequest *request) {
    Str type = http_header(request, "content-type"), rest;
    Str wanted = str_of(content_type);

    str_cut(type, ';', &type, &rest);
    type = str_trim(type);
    return str_equal_nocase(str_slice(type, 0, wanted.len), wanted) &&
           (type.len == wanted.len || str_equal_nocase(str_from(type, wanted.len), STR("+proto")));
}

/* "100m": at most eight digits and a unit. What isn't one is no deadline; what is longer than any
 * call, and in hours more than 64 bits of nanoseconds, is a year. */
uint64_t grpc_timeout_ns(Str timeout) {
    static const uint64_t longest_ns = UINT64_C(8760) * 3600 * 1000000000;
    static const struct {
        char unit;
        uint64_t ns;
    } units[] = {{'H', 3600000000000}, {'M', 60000000000}, {'S', 1000000000},
                 {'m', 1000000},       {'u', 1000},        {'n', 1}};
    uint64_t count;

    if (timeout.len < 2 || timeout.len > TIMEOUT_DIGITS_MAX + 1 ||
        !str_to_u64(str_slice(timeout, 0, timeout.len - 1), &count))
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (units[i].unit == timeout.ptr[timeout.len - 1])
            return count > longest_ns / units[i].ns ? longest_ns : MAX(count, 1) * units[i].ns;
    return 0;
}

uint64_t grpc_deadline_ns(const HttpRequest *request) {
    return request->deadline_ns;
}

static bool is_late(const HttpRequest *request) {
    return request->deadline_ns != 0 && clock_monotonic_ns(clock_system()) >= request->deadline_ns;
}

static ErrCode decompress(HttpRequest *request, Str sent, size_t bytes_max, Str *out, Error *err) {
    static const Str known[] = {STR_INIT("gzip"), STR_INIT("deflate"), STR_INIT("zstd")};
    Str encoding = str_trim(http_header(request, "grpc-encoding"));

    if (encoding.len == 0 || str_equal_nocase(encoding, STR("identity")))
        return error_set(err, ERR_INVALID, "a compressed message without a grpc-encoding");
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_equal_nocase(encoding, known[i]))
            return http_decode(known[i], sent, bytes_max, http_arena(request), out, err);
    return error_set(err, ERR_UNSUPPORTED,
                     "grpc-encoding is " STR_FMT "; accepted are identity, gzip, deflate and zstd",
                     STR_ARG(str_slice(encoding, 0, 100)));
}

ErrCode grpc_message(HttpRequest *request, size_t bytes_max, Str *out, Error *err) {
    Str body = http_body(request), message;
    const unsigned char *prefix = (const unsigned char *)body.ptr;
    uint64_t len;

    if (!http_is_http2(request)) return error_set(err, ERR_UNSUPPORTED, "gRPC needs HTTP/2");
    if (!grpc_is_call(request))
        return error_set(err, ERR_UNSUPPORTED, "the Content-Type of a call is application/grpc");
    if (is_late(request)) return error_set(err, ERR_TIMEOUT, "the deadline has passed");
    if (body.len < PREFIX_BYTES)
        return error_set(err, ERR_INVALID, "a call needs one message, and there is none");
    len = (uint64_t)prefix[1] << 24 | (uint64_t)prefix[2] << 16 | (uint64_t)prefix[3] << 8 |
          prefix[4];
    message = str_from(body, PREFIX_BYTES);
    if (prefix[0] > 1)
        return error_set(err, ERR_INVALID, "a message begins with 0 or 1, not with %u", prefix[0]);
    if (len > message.len)
        return error_set(err, ERR_INVALID, "the message says that it has %llu bytes; %zu came",
                         (unsigned long long)len, message.len);
    if (len < message.len)
        return error_set(err, ERR_INVALID, "there is more than the one message of this method");
    if (prefix[0] == 1) return decompress(request, message, bytes_max, out, err);
    if (message.len > bytes_max)
        return error_set(err, ERR_LIMIT, "the message has %zu bytes; the limit is %zu", message.len,
                         bytes_max);
    *out = message;
    return ERR_OK;
}

/* ---------- what goes ---------- */

GrpcStatus grpc_status(ErrCode code) {
    switch (code) {
    case ERR_OK:
        return GRPC_OK;
    case ERR_INVALID:
    case ERR_CORRUPT:
        return GRPC_INVALID_ARGUMENT;
    case ERR_DENIED:
        return GRPC_PERMISSION_DENIED;
    case ERR_NOT_FOUND:
        return GRPC_NOT_FOUND;
    case ERR_EXISTS:
        return GRPC_ALREADY_EXISTS;
    case ERR_LIMIT:
    case ERR_RATE:
        return GRPC_RESOURCE_EXHAUSTED;
    case ERR_UNAVAILABLE:
        return GRPC_UNAVAILABLE;
    case ERR_TIMEOUT:
        return GRPC_DEADLINE_EXCEEDED;
    case ERR_CANCELLED:
        return GRPC_CANCELLED;
    case ERR_UNSUPPORTED:
        return GRPC_UNIMPLEMENTED;
    case ERR_INTERNAL:
        break;
    }
    return GRPC_INTERNAL;
}

static void append_percent(Buf *out, Str text) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c >= 0x20 && c <= 0x7e && c != '%')
            buf_append_byte(out, (char)c);
        else
            buf_printf(out, "%%%02X", c);
    }
}

static void append_field(Buf *out, unsigned field, Str bytes) {
    buf_append_varint(out, (uint64_t)field << 3 | 2);
    buf_append_varint(out, bytes.len);
    buf_append_str(out, bytes);
}

/* google.rpc.Status {code = 1, message = 2, details = 3: Any {type_url = 1, value = 2}} with
 * google.rpc.RetryInfo {retry_delay = 1: Duration {seconds = 1, nanos = 2}}, in base64. */
static void append_details(Buf *out, GrpcStatus status, Str text, uint64_t retry_after_ms) {
    Buf duration, info, any, whole;
    char *at;

    buf_init(&duration, 0);
    buf_init(&info, 0);
    buf_init(&any, 0);
    buf_init(&whole, 0);
    buf_append_byte(&duration, 1 << 3);
    buf_append_varint(&duration, retry_after_ms / 1000);
    buf_append_byte(&duration, 2 << 3);
    buf_append_varint(&duration, retry_after_ms % 1000 * 1000000);
    append_field(&info, 1, buf_str(&duration));
    append_field(&any, 1, STR("type.googleapis.com/google.rpc.RetryInfo"));
    append_field(&any, 2, buf_str(&info));
    buf_append_byte(&whole, 1 << 3);
    buf_append_varint(&whole, status);
    append_field(&whole, 2, text);
    append_field(&whole, 3, buf_str(&any));
    at = buf_reserve(out, (whole.len + 2) / 3 * 4 + 1);
    if (at != NULL && !buf_failed(&whole)) {
        int len =
            EVP_EncodeBlock((unsigned char *)at, (const unsigned char *)whole.ptr, (int)whole.len);

        buf_added(out, (size_t)len);
    }
    buf_done(&duration);
    buf_done(&info);
    buf_done(&any);
    buf_done(&whole);
}

/* `set` is http_set_header() or http_set_trailer(). `retry_after_ms` 0: nothing is said of it. */
static void set_status(HttpRequest *request, void (*set)(HttpRequest *, const char *, Str),
                       GrpcStatus status, Str text, uint64_t retry_after_ms) {
    char number[8];
    Buf value;

    (void)snprintf(number, sizeof number, "%d", (int)status);
    set(request, "grpc-status", str_of(number));
    if (status == GRPC_OK) return;
    text = str_slice(text, 0, MESSAGE_TEXT_MAX);
    buf_init(&value, 0);
    append_percent(&value, text);
    set(request, "grpc-message", buf_str(&value));
    buf_clear(&value);
    if (retry_after_ms > 0) {
        append_details(&value, status, text, retry_after_ms);
        set(request, "grpc-status-details-bin", buf_str(&value));
    }
    if (status == GRPC_UNIMPLEMENTED && set == http_set_header)
        set(request, "grpc-accept-encoding", STR("identity,gzip,deflate,zstd"));
    buf_done(&value);
}

static void put_prefix(char prefix[PREFIX_BYTES], size_t len) {
    prefix[0] = 0;
    for (int i = 0; i < 4; i++) prefix[1 + i] = (char)(len >> (24 - 8 * i));
}

void grpc_respond(HttpRequest *request, Str message) {
    char prefix[PREFIX_BYTES];
    Buf body;

    assert(message.len <= UINT32_MAX);
    put_prefix(prefix, message.len);
    buf_init(&body, 0);
    buf_append(&body, prefix, sizeof prefix);
    buf_append_str(&body, message);
    set_status(request, http_set_trailer, GRPC_OK, STR(""), 0);
    http_respond_buf(request, 200, content_type, &body);
}

/* Who was cancelled because the caller's time was over says so. */
static GrpcStatus status_of(const HttpRequest *request, const Error *err) {
    return err->code == ERR_CANCELLED && is_late(request) ? GRPC_DEADLINE_EXCEEDED
                                                          : grpc_status(err->code);
}

static uint64_t retry_of(const Error *err, uint64_t retry_after_ms) {
    if (err->code != ERR_RATE && err->code != ERR_UNAVAILABLE) return 0;
    return retry_after_ms > 0 ? retry_after_ms : 1000;
}

void grpc_respond_error(HttpRequest *request, const Error *err, uint64_t retry_after_ms) {
    if (!http_is_http2(request) || !grpc_is_call(request)) {
        http_respond_error(request, err); /* to somebody who speaks something else */
        return;
    }
    set_status(request, http_set_header, status_of(request, err), str_of(err->text),
               retry_of(err, retry_after_ms));
    http_respond(request, 200, content_type, STR(""));
}

void grpc_refuse(HttpRequest *request, int http, Str text) {
    static const struct {
        int http;
        GrpcStatus status;
    } statuses[] = {
        {400, GRPC_INVALID_ARGUMENT},   {404, GRPC_UNIMPLEMENTED},
        {405, GRPC_UNIMPLEMENTED},      {408, GRPC_DEADLINE_EXCEEDED},
        {413, GRPC_RESOURCE_EXHAUSTED}, {417, GRPC_INVALID_ARGUMENT},
        {431, GRPC_RESOURCE_EXHAUSTED}, {501, GRPC_UNIMPLEMENTED},
        {503, GRPC_UNAVAILABLE},
    };
    GrpcStatus status = GRPC_INTERNAL;

    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        if (statuses[i].http == http) status = statuses[i].status;
    request_say_type(request, content_type);
    set_status(request, http_set_header, status, text, status == GRPC_UNAVAILABLE ? 1000 : 0);
}

void grpc_respond_begin(HttpRequest *request) {
    http_respond_begin(request, 200, content_type);
}

ErrCode grpc_respond_write(HttpRequest *request, Str message, Error *err) {
    char prefix[PREFIX_BYTES];

    assert(message.len <= UINT32_MAX);
    put_prefix(prefix, message.len);
    TRY(http_respond_write(request, (Str){prefix, sizeof prefix}, err));
    return http_respond_write(request, message, err);
}

void grpc_respond_end(HttpRequest *request, const Error *err) {
    if (err == NULL)
        set_status(request, http_set_trailer, GRPC_OK, STR(""), 0);
    else
        set_status(request, http_set_trailer, status_of(request, err), str_of(err->text),
                   retry_of(err, 0));
    http_respond_end(request);
}
