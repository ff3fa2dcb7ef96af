/*
 * client.c: a stack of idle libcurl handles. Each handle keeps its own connections, and the one
 * used last is used next: a caller that goes on and on stays on one warm connection, and handles
 * beyond what runs side by side are only ever made once.
 */
#include "common/net/client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/base/buf.h"

enum {
    CONNECT_TIMEOUT_MS = 5000,
    CALL_TIMEOUT_MS = 30000,
    STALL_TIMEOUT_MS = 10000,
    STALL_BYTES_PER_SECOND = 1024,
    IDLE_MAX = 64,
    HEAD_BYTES_MAX = 256 << 10,
    READ_BUFFER_BYTES = 128 << 10,
    EXPECT_TIMEOUT_MS = 100, /* for a 100 Continue; then the body is sent without */
};

struct HttpClient {
    char *ca_file; /* NULL where not given */
    char *cert_file;
    char *key_file;
    char *user_agent;
    bool insecure;
    uint64_t connect_timeout_ms;
    unsigned idle_max;
    pthread_mutex_t mutex; /* of the stack of idle handles */
    CURL **idle;
    unsigned idle_count;
    CURLSH *share; /* DNS answers and TLS sessions; not connections, which libcurl can't share */
    pthread_mutex_t share_mutexes[CURL_LOCK_DATA_LAST];
};

/* What the callbacks of one call know. */
typedef struct Exchange {
    CURL *curl;
    const HttpCall *call;
    Arena *arena;
    Error *err; /* what a callback that ends the transfer says */
    ErrCode code;
    size_t body_bytes_max;
    char *head;
    size_t head_len, head_capacity;
    bool is_head_whole;
    char *body;
    size_t body_len, body_capacity;
} Exchange;

static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static CURLcode global_code;

static void global_init(void) {
    global_code = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void share_lock(CURL *curl, curl_lock_data data, curl_lock_access access, void *context) {
    HttpClient *client = context;

    (void)curl;
    (void)access;
    pthread_mutex_lock(&client->share_mutexes[data]);
}

static void share_unlock(CURL *curl, curl_lock_data data, void *context) {
    HttpClient *client = context;

    (void)curl;
    pthread_mutex_unlock(&client->share_mutexes[data]);
}

static char *copy_or_null(Str s, bool *failed) {
    char *copy;

    if (s.len == 0) return NULL;
    copy = strndup(s.ptr, s.len);
    if (copy == NULL) *failed = true;
    return copy;
}

/* libcurl is set up, and the share made, by the first call: options alone cost nothing. */
static ErrCode client_ready(HttpClient *client, Error *err) {
    ErrCode code = ERR_OK;

    pthread_once(&global_once, global_init);
    if (global_code != CURLE_OK)
        return error_set(err, ERR_INTERNAL, "libcurl: %s", curl_easy_strerror(global_code));
    pthread_mutex_lock(&client->mutex);
    if (client->share == NULL) {
        client->share = curl_share_init();
        if (client->share == NULL) {
            code = error_set(err, ERR_UNAVAILABLE, "libcurl: out of memory");
        } else {
            curl_share_setopt(client->share, CURLSHOPT_LOCKFUNC, share_lock);
            curl_share_setopt(client->share, CURLSHOPT_UNLOCKFUNC, share_unlock);
            curl_share_setopt(client->share, CURLSHOPT_USERDATA, client);
            curl_share_setopt(client->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
            curl_share_setopt(client->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
        }
    }
    pthread_mutex_unlock(&client->mutex);
    return code;
}

ErrCode http_client_new(const HttpClientOptions *options, HttpClient **out, Error *err) {
    HttpClient *client = calloc(1, sizeof *client);
    bool failed = false;

    if (client == NULL) return error_set(err, ERR_UNAVAILABLE, "http client: out of memory");
    pthread_mutex_init(&client->mutex, NULL);
    for (size_t i = 0; i < ARRAY_LEN(client->share_mutexes); i++)
        pthread_mutex_init(&client->share_mutexes[i], NULL);
    client->ca_file = copy_or_null(options->ca_file, &failed);
    client->cert_file = copy_or_null(options->tls_cert_file, &failed);
    client->key_file = copy_or_null(options->tls_key_file, &failed);
    client->user_agent = copy_or_null(options->user_agent.len > 0 ? options->user_agent
                                                                  : STR("moraine/" MORAINE_VERSION),
                                      &failed);
    client->insecure = options->tls_insecure;
    client->connect_timeout_ms =
        options->connect_timeout_ms > 0 ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    client->idle_max = options->idle_max > 0 ? options->idle_max : IDLE_MAX;
    client->idle = calloc(client->idle_max, sizeof(CURL *));
    if (failed || client->idle == NULL) {
        http_client_free(client);
        return error_set(err, ERR_UNAVAILABLE, "http client: out of memory");
    }
    *out = client;
    return ERR_OK;
}

void http_client_free(HttpClient *client) {
    if (client == NULL) return;
    for (unsigned i = 0; i < client->idle_count; i++) curl_easy_cleanup(client->idle[i]);
    if (client->share != NULL) curl_share_cleanup(client->share);
    for (size_t i = 0; i < ARRAY_LEN(client->share_mutexes); i++)
        pthread_mutex_destroy(&client->share_mutexes[i]);
    pthread_mutex_destroy(&client->mutex);
    free(client->idle);
    free(client->ca_file);
    free(client->cert_file);
    free(client->key_file);
    free(client->user_agent);
    free(client);
}

static CURL *handle_take(HttpClient *client) {
    CURL *curl = NULL;

    pthread_mutex_lock(&client->mutex);
    if (client->idle_count > 0) curl = client->idle[--client->idle_count];
    pthread_mutex_unlock(&client->mutex);
    return curl != NULL ? curl : curl_easy_init();
}

static void handle_give(HttpClient *client, CURL *curl) {
    curl_easy_reset(curl); /* forgets the call's pointers, keeps the connections */
    pthread_mutex_lock(&client->mutex);
    if (client->idle_count < client->idle_max) {
        client->idle[client->idle_count++] = curl;
        curl = NULL;
    }
    pthread_mutex_unlock(&client->mutex);
    if (curl != NULL) curl_easy_cleanup(curl);
}

static size_t on_head(char *line, size_t one, size_t len, void *context) {
    Exchange *x = context;

    (void)one;
    if (str_starts_with((Str){line, len}, STR("HTTP/"))) { /* another may have been there: a 100 */
        x->head_len = 0;
        x->is_head_whole = false;
    }
    x->is_head_whole |= len > 0 && (line[0] == '\r' || line[0] == '\n');
    if (x->head_len + len > HEAD_BYTES_MAX) {
        x->code =
            error_set(x->err, ERR_LIMIT, "the answer's head is over %d bytes", HEAD_BYTES_MAX);
        return 0;
    }
    if (x->head_len + len > x->head_capacity) {
        size_t capacity = MAX(x->head_capacity * 2, MAX(len, KIB(1)));
        char *grown = arena_grow(x->arena, x->head, x->head_capacity, capacity);

        if (grown == NULL) {
            x->code = error_set(x->err, ERR_LIMIT, "no memory left for the answer's head");
            return 0;
        }
        x->head = grown;
        x->head_capacity = capacity;
    }
    memcpy(x->head + x->head_len, line, len);
    x->head_len += len;
    return len;
}

/* Room for `len` more and the NUL. A known length is allocated once. */
static bool body_room(Exchange *x, size_t len) {
    size_t need = x->body_len + len + 1, capacity = x->body_capacity * 2;
    curl_off_t promised = -1;
    char *grown;

    if (need <= x->body_capacity) return true;
    if (x->body_capacity == 0) {
        curl_easy_getinfo(x->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &promised);
        if (promised >= 0 && (uint64_t)promised <= x->body_bytes_max)
            capacity = (size_t)promised + 1;
        else
            capacity = KIB(16);
    }
    capacity = MAX(MIN(capacity, x->body_bytes_max + 1), need);
    grown = x->body == NULL ? arena_alloc(x->arena, capacity)
                            : arena_grow(x->arena, x->body, x->body_capacity, capacity);
    if (grown == NULL) return false;
    x->body = grown;
    x->body_capacity = capacity;
    return true;
}

static size_t on_body(char *bytes, size_t one, size_t len, void *context) {
    Exchange *x = context;

    (void)one;
    if (len > x->body_bytes_max - x->body_len) {
        x->code = error_set(x->err, ERR_LIMIT, "the answer's body is over the limit of %zu bytes",
                            x->body_bytes_max);
        return 0;
    }
    if (len > 0 && !body_room(x, len)) {
        x->code = error_set(x->err, ERR_LIMIT, "no memory left for an answer's body of %zu bytes",
                            x->body_len + len);
        return 0;
    }
    if (len > 0) memcpy(x->body + x->body_len, bytes, len);
    x->body_len += len;
    return len;
}

static int on_progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up) {
    const Exchange *x = context;

    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    return atomic_load_explicit(x->call->cancel, memory_order_relaxed) ? 1 : 0;
}

static bool can_be_sent(Str s) {
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == '\r' || s.ptr[i] == '\n' || s.ptr[i] == '\0') return false;
    return true;
}

/* The list libcurl reads, made in the arena: it only looks at it during the call. */
static ErrCode header_list(const HttpCall *call, Arena *arena, struct curl_slist **out,
                           Error *err) {
    struct curl_slist *list = ARENA_ARRAY(arena, struct curl_slist, call->header_count + 2);
    size_t count = 0;
    bool has_type = false;

    if (list == NULL) return error_set(err, ERR_LIMIT, "no memory left for the request's headers");
    for (size_t i = 0; i < call->header_count; i++) {
        Str name = call->headers[i].name, value = call->headers[i].value;

        if (name.len == 0 || !can_be_sent(name) || !can_be_sent(value) ||
            memchr(name.ptr, ':', name.len) != NULL)
            return error_set(err, ERR_INVALID, "header %zu can't be sent", i);
        has_type |= str_equal_nocase(name, STR("Content-Type"));
        /* An empty value is written with a semicolon: with a colon libcurl drops the header. */
        list[count++].data =
            value.len == 0
                ? (char *)str_format(arena, STR_FMT ";", STR_ARG(name)).ptr
                : (char *)str_format(arena, STR_FMT ": " STR_FMT, STR_ARG(name), STR_ARG(value))
                      .ptr;
    }
    /* libcurl 7.88 signs these two as headers although it then sends none: AWS' signature can't be
     * had together with them. EXPECT_TIMEOUT_MS keeps the round trip short instead. */
    if (call->aws_sigv4.len == 0) {
        if (!has_type)
            list[count++].data = (char *)"Content-Type:"; /* else libcurl makes it a form */
        list[count++].data =
            (char *)"Expect:"; /* a round trip before a large body isn't worth it */
    }
    for (size_t i = 0; i < count; i++) {
        if (list[i].data == NULL)
            return error_set(err, ERR_LIMIT, "no memory left for the request's headers");
        list[i].next = i + 1 < count ? &list[i + 1] : NULL;
    }
    *out = count > 0 ? list : NULL;
    return ERR_OK;
}

static void set_method(CURL *curl, const HttpCall *call, const char *method) {
    bool has_body = call->body.len > 0;

    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
        return;
    }
    if (has_body || strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, has_body ? call->body.ptr : "");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
    } else {
        curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
}

static void set_tls(CURL *curl, const HttpClient *client) {
    if (client->ca_file != NULL) curl_easy_setopt(curl, CURLOPT_CAINFO, client->ca_file);
    if (client->cert_file != NULL) curl_easy_setopt(curl, CURLOPT_SSLCERT, client->cert_file);
    if (client->key_file != NULL) curl_easy_setopt(curl, CURLOPT_SSLKEY, client->key_file);
    if (client->insecure) {
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

/* Copies `s` for libcurl, which wants a NUL; strings it copies itself again. */
static bool set_str(CURL *curl, CURLoption option, Str s, Arena *arena) {
    Str copy;

    if (s.len == 0) return true;
    copy = str_dup(arena, s);
    return copy.ptr != NULL && can_be_sent(s) &&
           curl_easy_setopt(curl, option, copy.ptr) == CURLE_OK;
}

static ErrCode set_call(HttpClient *client, Exchange *x, char *curl_error, Error *err) {
    const HttpCall *call = x->call;
    CURL *curl = x->curl;
    struct curl_slist *headers = NULL;
    uint64_t timeout_ms = call->timeout_ms > 0 ? call->timeout_ms : CALL_TIMEOUT_MS;
    uint64_t stall_ms = call->stall_timeout_ms > 0 ? call->stall_timeout_ms : STALL_TIMEOUT_MS;
    Str method = call->method;

    if (method.len == 0) method = call->body.len > 0 ? STR("POST") : STR("GET");
    method = str_dup(x->arena, method);
    if (method.ptr == NULL) return error_set(err, ERR_LIMIT, "no memory left for a request");
    TRY(header_list(call, x->arena, &headers, err));
    if (call->url.len == 0 || !can_be_sent(method) ||
        !set_str(curl, CURLOPT_URL, call->url, x->arena) ||
        !set_str(curl, CURLOPT_RANGE, call->range, x->arena) ||
        !set_str(curl, CURLOPT_USERNAME, call->user, x->arena) ||
        !set_str(curl, CURLOPT_PASSWORD, call->password, x->arena) ||
        !set_str(curl, CURLOPT_AWS_SIGV4, call->aws_sigv4, x->arena))
        return error_set(err, ERR_INVALID, "the URL or an option of the request can't be sent");
    set_method(curl, call, method.ptr);
    set_tls(curl, client);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, client->user_agent);
    curl_easy_setopt(curl, CURLOPT_SHARE, client->share);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    /* Calls side by side use a connection each: multiplexing would only add framing. */
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_EXPECT_100_TIMEOUT_MS, (long)EXPECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)READ_BUFFER_BYTES);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)MIN(client->connect_timeout_ms, INT32_MAX));
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)MIN(timeout_ms, INT32_MAX));
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES_PER_SECOND);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)MAX(stall_ms / 1000, (uint64_t)1));
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, curl_error);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_head);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, x);
    if (call->cancel != NULL) {
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(curl, CURLOPT_XFERINFODATA, x);
    }
    return ERR_OK;
}

/* Whether the exchange got past connecting: before that nothing can have been carried out. */
static bool was_connected(CURL *curl) {
    curl_off_t us = 0;

    return curl_easy_getinfo(curl, CURLINFO_PRETRANSFER_TIME_T, &us) == CURLE_OK && us > 0;
}

static ErrCode code_of(CURL *curl, CURLcode result) {
    switch (result) {
    case CURLE_OPERATION_TIMEDOUT:
        return was_connected(curl) ? ERR_TIMEOUT : ERR_UNAVAILABLE;
    case CURLE_ABORTED_BY_CALLBACK:
        return ERR_CANCELLED;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        return ERR_DENIED;
    case CURLE_URL_MALFORMAT:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_BAD_FUNCTION_ARGUMENT:
        return ERR_INVALID;
    case CURLE_UNSUPPORTED_PROTOCOL: /* the URL's, or an answer that isn't even HTTP/1.0 */
        return was_connected(curl) ? ERR_CORRUPT : ERR_INVALID;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        return ERR_CORRUPT;
    default: /* no name, no route, refused, reset, cut off, out of memory */
        return ERR_UNAVAILABLE;
    }
}

static ErrCode perform(HttpClient *client, Exchange *x, HttpAnswer *out, Error *err) {
    char curl_error[CURL_ERROR_SIZE] = "";
    CURLcode result;
    long status = 0;
    curl_off_t length = -1;

    TRY(set_call(client, x, curl_error, err));
    result = curl_easy_perform(x->curl);
    if (x->code != ERR_OK) return x->code; /* a callback ended it, and said why */
    if (result != CURLE_OK)
        return error_set(err, code_of(x->curl, result), "%s",
                         curl_error[0] != '\0' ? curl_error : curl_easy_strerror(result));
    /* libcurl 7.88 takes a connection that ends inside a head for an answer without a body. */
    if (!x->is_head_whole)
        return error_set(err, ERR_UNAVAILABLE, "the answer was cut off in its head");
    if (!body_room(x, 0)) return error_set(err, ERR_LIMIT, "no memory left for an empty answer");
    x->body[x->body_len] = '\0';
    curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(x->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    *out = (HttpAnswer){
        .status = (int)status,
        .body = {x->body, x->body_len},
        .head = {x->head, x->head_len},
        .content_length = length < 0 ? UINT64_MAX : (uint64_t)length,
    };
    return ERR_OK;
}

ErrCode http_call(HttpClient *client, const HttpCall *call, Arena *arena, HttpAnswer *out,
                  Error *err) {
    Exchange x = {
        .call = call,
        .arena = arena,
        .err = err,
        .code = ERR_OK,
        .body_bytes_max =
            call->body_bytes_max > 0 ? MIN(call->body_bytes_max, SIZE_MAX / 4) : MIB(64),
    };
    ErrCode code;

    TRY(client_ready(client, err));
    x.curl = handle_take(client);
    if (x.curl == NULL) return error_set(err, ERR_UNAVAILABLE, "libcurl: out of memory");
    code = perform(client, &x, out, err);
    curl_easy_setopt(x.curl, CURLOPT_SHARE, NULL);
    handle_give(client, x.curl);
    return code;
}

Str http_answer_header(const HttpAnswer *answer, const char *name) {
    Str rest = answer->head, line, key, value, wanted = str_of(name), found = {"", 0};

    while (rest.len > 0) {
        str_cut(rest, '\n', &line, &rest);
        if (str_cut(line, ':', &key, &value) && str_equal_nocase(key, wanted))
            found = str_trim(value);
    }
    return found;
}
