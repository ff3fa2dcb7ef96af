/*
 * s3_request.c: one request to S3, signed, and repeated while that may help.
 *
 * The signature is libcurl's (AWS signature v4). libcurl 7.88 signs path and query as they stand in
 * the URL, so both are written here in the canonical form: every byte but A-Z a-z 0-9 - . _ ~ as
 * %XX, query parameters sorted. The payload's hash goes into x-amz-content-sha256 by our hand: over
 * TLS it is UNSIGNED-PAYLOAD, since TLS and Content-MD5 already protect the bytes.
 *
 * Repeated is what the network or the store may get right the next time: no or half an answer, 5xx,
 * 429, SlowDown and their kin; with exponential backoff and full jitter, so that many clients which
 * failed together do not come back together, and not before Retry-After.
 */
#include <curl/curl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/random.h"
#include "common/store/s3.h"
#include "common/store/s3_xml.h"

enum {
    BACKOFF_MS = 100,           /* doubled with every attempt */
    BACKOFF_THROTTLED_MS = 400, /* the same, when the store asks for less */
    BACKOFF_MS_MAX = 10000,
    RETRY_AFTER_MS_MAX = 30000,
    HEADERS_MAX = 8,
    BYTES_PER_MS = 1024, /* large bodies get time in addition: 1 MiB/s is the least */
};

typedef enum Again { AGAIN_NO, AGAIN_SOON, AGAIN_SLOWER } Again;

/* S3's error codes that don't mean what their status does.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html */
static const struct {
    const char *code;
    ErrCode means;
} codes[] = {
    {"SlowDown", ERR_UNAVAILABLE},
    {"SlowDownRead", ERR_UNAVAILABLE},
    {"SlowDownWrite", ERR_UNAVAILABLE},
    {"Throttling", ERR_UNAVAILABLE},
    {"ThrottlingException", ERR_UNAVAILABLE},
    {"RequestLimitExceeded", ERR_UNAVAILABLE},
    {"RequestThrottled", ERR_UNAVAILABLE},
    {"TooManyRequests", ERR_UNAVAILABLE},
    {"InternalError", ERR_UNAVAILABLE},
    {"ServiceUnavailable", ERR_UNAVAILABLE},
    {"RequestTimeout", ERR_UNAVAILABLE}, /* a 400: the connection was idle for too long */
    {"OperationAborted", ERR_UNAVAILABLE},
    {"ConditionalRequestConflict", ERR_UNAVAILABLE}, /* a 409: another put is under way */
    {"IncompleteBody", ERR_UNAVAILABLE},
    {"BadDigest", ERR_UNAVAILABLE}, /* the bytes were damaged on their way */
    {"XAmzContentSHA256Mismatch", ERR_UNAVAILABLE},
    {"PreconditionFailed", ERR_EXISTS},
    {"AccessDenied", ERR_DENIED},
    {"SignatureDoesNotMatch", ERR_DENIED},
    {"InvalidAccessKeyId", ERR_DENIED},
    {"ExpiredToken", ERR_DENIED},
    {"InvalidToken", ERR_DENIED},
    {"NoSuchKey", ERR_NOT_FOUND},
    {"NoSuchUpload", ERR_NOT_FOUND},
    {"NoSuchBucket", ERR_INVALID}, /* must not look like a missing key: the store would seem new */
    {"InvalidRange", ERR_INVALID},
    {"NotImplemented", ERR_UNSUPPORTED},
};

static ErrCode means(int status, const char *code) {
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (strcmp(code, codes[i].code) == 0) return codes[i].means;
    switch (status) {
    case 401:
    case 403:
        return ERR_DENIED;
    case 404:
        return ERR_NOT_FOUND;
    case 412:
        return ERR_EXISTS;
    case 405:
    case 501:
        return ERR_UNSUPPORTED;
    case 307: /* a new bucket's name isn't everywhere yet */
    case 408:
    case 409:
    case 425:
    case 429:
        return ERR_UNAVAILABLE;
    default:
        return status >= 500 ? ERR_UNAVAILABLE : ERR_INVALID;
    }
}

static Again again(ErrCode code, const S3Failure *failure) {
    if (code != ERR_UNAVAILABLE && code != ERR_TIMEOUT && code != ERR_CORRUPT) return AGAIN_NO;
    if (failure->status == 429 || failure->status == 503 ||
        strncmp(failure->code, "SlowDown", 8) == 0 || strstr(failure->code, "Throttl") != NULL)
        return AGAIN_SLOWER;
    return AGAIN_SOON;
}

/* One line of printable text, at most `size` - 1 bytes: it goes into logs. */
static void copy_printable(char *out, size_t size, Str text) {
    size_t len = 0;

    text = str_trim(text);
    for (size_t i = 0; i < text.len && len + 1 < size; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        out[len++] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
    }
    out[len] = '\0';
}

static void parse_error(Str body, S3Failure *failure, char *message, size_t size) {
    Xml xml;

    xml_init(&xml, body);
    for (XmlEvent event; (event = xml_next(&xml)) == XML_OPEN || event == XML_CLOSE;) {
        if (event != XML_CLOSE) continue;
        if (xml_at(&xml, "Error/Code"))
            copy_printable(failure->code, sizeof failure->code, xml_text(&xml));
        if (xml_at(&xml, "Error/Message")) copy_printable(message, size, xml_text(&xml));
    }
}

ErrCode s3_fail(const HttpAnswer *answer, S3Failure *failure, Error *err) {
    Str region = http_answer_header(answer, "x-amz-bucket-region");
    Str id = http_answer_header(answer, "x-amz-request-id");
    char message[200] = "", where[100] = "", request_id[64] = "";
    ErrCode code;

    failure->status = answer->status;
    failure->code[0] = '\0';
    parse_error(answer->body, failure, message, sizeof message);
    code = means(answer->status, failure->code);
    copy_printable(request_id, sizeof request_id, id);
    if (region.len > 0 && (answer->status == 301 || answer->status == 400)) {
        char name[64];

        copy_printable(name, sizeof name, region);
        snprintf(where, sizeof where, " (set the region to %s)", name);
    }
    return error_set(err, code, "%d%s%s%s%s%s%s%s", answer->status,
                     failure->code[0] != '\0' ? " " : "", failure->code,
                     message[0] != '\0' ? ": " : "", message, where,
                     request_id[0] != '\0' ? ", request " : "", request_id);
}

void s3_encode(Buf *out, Str text, char keep) {
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
            c == '-' || c == '.' || c == '_' || c == '~' ||
            (keep != 0 && c == (unsigned char)keep)) {
            buf_append_byte(out, (char)c);
        } else {
            buf_append_byte(out, '%');
            buf_append_byte(out, hex[c >> 4]);
            buf_append_byte(out, hex[c & 15]);
        }
    }
}

static ErrCode url_of(const S3 *s3, const S3Request *request, Arena *arena, Str *out, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf url;

    buf_init(&url, KIB(64));
    buf_append_str(&url, s3->base_url);
    if (request->key.len > 0) {
        buf_append_byte(&url, '/');
        s3_encode(&url, s3->address.prefix, '/');
        s3_encode(&url, request->key, '/');
    } else if (s3->options.virtual_host) {
        buf_append_byte(&url, '/');
    }
    if (request->query.len > 0) {
        buf_append_byte(&url, '?');
        buf_append_str(&url, request->query);
    }
    *out = str_dup(arena, buf_str(&url));
    if (buf_failed(&url) || out->ptr == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    return ERR_OK;
}

void s3_hex(const unsigned char *bytes, size_t len, char *out) {
    for (size_t i = 0; i < len; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

int s3_hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static Str sha256_of(Str body, Arena *arena) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    char *hex = arena_alloc_bytes(arena, 2 * sizeof digest + 1);
    unsigned len = 0;

    if (hex == NULL ||
        EVP_Digest(body.len > 0 ? body.ptr : "", body.len, digest, &len, EVP_sha256(), NULL) != 1)
        return (Str){0};
    s3_hex(digest, len, hex);
    return (Str){hex, (size_t)2 * len};
}

void s3_md5(Str bytes, S3Md5 *out) {
    unsigned len = 0;

    out->known = EVP_Digest(bytes.len > 0 ? bytes.ptr : "", bytes.len, out->bytes, &len, EVP_md5(),
                            NULL) == 1 &&
                 len == sizeof out->bytes;
}

static Str base64_of(const S3Md5 *md5, Arena *arena) {
    unsigned char *text = arena_alloc_bytes(arena, 32);

    if (text == NULL) return (Str){0};
    return (Str){(char *)text, (size_t)EVP_EncodeBlock(text, md5->bytes, sizeof md5->bytes)};
}

/* A request as the transport takes it. */
typedef struct Prepared {
    HttpCall call;
    HttpHeader headers[HEADERS_MAX];
} Prepared;

static void add_header(Prepared *prepared, const char *name, Str value) {
    assert(prepared->call.header_count < HEADERS_MAX);
    prepared->headers[prepared->call.header_count++] = (HttpHeader){str_of(name), value};
}

/* Everything but the credentials, which may change between attempts. */
static ErrCode prepare(S3 *s3, const S3Request *request, Arena *arena, Prepared *out, Error *err) {
    HttpCall *call = &out->call;
    Str payload = s3->address.tls ? STR("UNSIGNED-PAYLOAD") : sha256_of(request->body, arena);
    Str digest = {0};

    *call = (HttpCall){
        .method = request->method,
        .headers = out->headers,
        .body = request->body,
        .range = request->range,
        .aws_sigv4 = s3->algorithm,
        .timeout_ms = s3->timeout_ms +
                      (request->body.len + MIN(request->answer_bytes_max, GIB(1))) / BYTES_PER_MS,
        .stall_timeout_ms = s3->timeout_ms,
        /* Errors are answers too, and may come where none is expected. */
        .body_bytes_max = MIN(request->answer_bytes_max, SIZE_MAX / 2) + KIB(64),
    };
    TRY(url_of(s3, request, arena, &call->url, err));
    if (payload.ptr == NULL) return error_set(err, ERR_INTERNAL, "no SHA-256, or out of memory");
    add_header(out, "x-amz-content-sha256", payload);
    if (request->md5.known) {
        digest = base64_of(&request->md5, arena);
        if (digest.ptr == NULL) return error_set(err, ERR_LIMIT, "out of memory");
        add_header(out, "content-md5", digest);
    }
    if (request->content_type.len > 0) add_header(out, "content-type", request->content_type);
    if (request->if_none) add_header(out, "if-none-match", STR("*"));
    if (request->if_match.len > 0) add_header(out, "if-match", request->if_match);
    return ERR_OK;
}

static ErrCode copy_credentials(S3 *s3, Arena *arena, Credentials *out, Error *err) {
    pthread_mutex_lock(&s3->lock);
    out->access_key = str_dup(arena, s3->credentials.access_key);
    out->secret_key = str_dup(arena, s3->credentials.secret_key);
    out->session_token = str_dup(arena, s3->credentials.session_token);
    out->may_change = s3->credentials.may_change;
    pthread_mutex_unlock(&s3->lock);
    if (out->access_key.ptr == NULL || out->secret_key.ptr == NULL ||
        out->session_token.ptr == NULL)
        return error_set(err, ERR_LIMIT, "out of memory");
    return ERR_OK;
}

/* Looks again for credentials when the store refused `used`: true when there are others now. */
static bool credentials_changed(S3 *s3, const Credentials *used) {
    Arena *arena = arena_new(0, NULL);
    Credentials fresh;
    bool changed;

    pthread_mutex_lock(&s3->lock);
    if (arena != NULL && credentials_find(&s3->options, arena, &fresh, NULL) == ERR_OK) {
        arena_free(s3->credentials_arena);
        s3->credentials_arena = arena;
        s3->credentials = fresh;
        arena = NULL;
    }
    changed = !str_equal(s3->credentials.access_key, used->access_key) ||
              !str_equal(s3->credentials.secret_key, used->secret_key) ||
              !str_equal(s3->credentials.session_token, used->session_token);
    pthread_mutex_unlock(&s3->lock);
    arena_free(arena);
    return changed;
}

static ErrCode attempt(S3 *s3, const S3Request *request, Prepared *prepared, const Credentials *who,
                       Arena *arena, HttpAnswer *answer, S3Failure *failure, Error *err) {
    HttpCall *call = &prepared->call;
    size_t fixed_headers = call->header_count;
    ErrCode code;

    failure->status = 0;
    failure->code[0] = '\0';
    call->user = who->access_key;
    call->password = who->secret_key;
    if (who->session_token.len > 0)
        add_header(prepared, "x-amz-security-token", who->session_token);
    code = http_call(s3->client, call, arena, answer, err);
    call->header_count = fixed_headers;
    if (code != ERR_OK) return code;
    if (answer->status < 200 || answer->status > 299) return s3_fail(answer, failure, err);
    failure->status = answer->status;
    if (request->check == NULL) return ERR_OK;
    return request->check(request->check_context, answer, failure, err);
}

uint64_t s3_backoff_ms(unsigned count, bool less) {
    uint64_t most = (uint64_t)(less ? BACKOFF_THROTTLED_MS : BACKOFF_MS) << MIN(count - 1, 10u);

    return random_u64() % (MIN(most, BACKOFF_MS_MAX) + 1);
}

/* Retry-After: seconds, or a date. */
static uint64_t retry_after_ms(const HttpAnswer *answer) {
    Str after = http_answer_header(answer, "retry-after");
    uint64_t seconds = 0;
    char text[64];
    int64_t at;

    if (after.len == 0) return 0;
    if (!str_to_u64(after, &seconds)) {
        copy_printable(text, sizeof text, after);
        at = (int64_t)curl_getdate(text, NULL) - clock_now_ms(clock_system()) / 1000;
        if (at > 0) seconds = (uint64_t)at;
    }
    return MIN(seconds, RETRY_AFTER_MS_MAX / 1000) * 1000;
}

static ErrCode send_repeatedly(S3 *s3, const S3Request *request, Arena *arena, HttpAnswer *out,
                               S3Failure *failure, Error *err) {
    bool looked_again = false;
    Prepared prepared;
    Credentials who;

    TRY(prepare(s3, request, arena, &prepared, err));
    TRY(copy_credentials(s3, arena, &who, err));
    for (unsigned count = 1;; count++) {
        HttpAnswer answer = {0};
        ErrCode code = attempt(s3, request, &prepared, &who, arena, &answer, failure, err);
        Again when = again(code, failure);

        if (code == ERR_OK) {
            *out = answer;
            return ERR_OK;
        }
        if (code == ERR_DENIED && failure->status != 0 && who.may_change && !looked_again) {
            looked_again = true;
            if (credentials_changed(s3, &who)) {
                TRY(copy_credentials(s3, arena, &who, err));
                continue;
            }
        }
        if (when == AGAIN_NO || count >= s3->attempts_max) {
            if (count > 1) error_wrap(err, "attempt %u", count);
            return code == ERR_TIMEOUT ? ERR_UNAVAILABLE : code;
        }
        counter_add(s3->retries, 1);
        clock_sleep_ms(MAX(s3_backoff_ms(count, when == AGAIN_SLOWER), retry_after_ms(&answer)));
    }
}

ErrCode s3_send(S3 *s3, const S3Request *request, Arena *arena, HttpAnswer *out, S3Failure *failure,
                Error *err) {
    S3Failure unasked = {0};
    Error unread;
    ErrCode code;

    if (failure == NULL) failure = &unasked;
    if (err == NULL) err = &unread;
    code = send_repeatedly(s3, request, arena, out, failure, err);
    if (code != ERR_OK) err->code = code;
    return code;
}
