/*
 * s3.c: S3 and what speaks like it, with signature v4.
 *
 * A PUT whose answer was lost is repeated. With if_absent the repeat then finds the object that the
 * first one made, and nobody can tell whose it is: the caller sees ERR_EXISTS and compares contents
 * where that matters.
 *
 * An answer to a GET is believed only after its length, its Content-Range and what was asked for
 * agree: caches and proxies before a store answer 200 with everything, or 206 with less.
 */
#include "common/store/s3.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"

enum { ATTEMPTS_MAX = 5, TIMEOUT_MS = 60000 };

ErrCode s3_tag(Str text, StoreTag *out, Error *err) {
    bool quoted = text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"';

    if (text.len == 0) {
        out->text[0] = '\0';
        return ERR_OK;
    }
    if (text.len + (quoted ? 1 : 3) > sizeof out->text)
        return error_set(err, ERR_CORRUPT, "an ETag of %zu bytes", text.len);
    snprintf(out->text, sizeof out->text, quoted ? STR_FMT : "\"" STR_FMT "\"", STR_ARG(text));
    return ERR_OK;
}

void s3_describe(const HttpAnswer *answer, uint64_t size, StoreObject *out) {
    Str modified = http_answer_header(answer, "last-modified");
    char text[64];
    time_t at = -1;

    if (modified.len > 0 && modified.len < sizeof text) {
        memcpy(text, modified.ptr, modified.len);
        text[modified.len] = '\0';
        at = curl_getdate(text, NULL);
    }
    out->size = size;
    out->modified_ms = at < 0 ? 0 : (int64_t)at * 1000;
    if (s3_tag(http_answer_header(answer, "etag"), &out->tag, NULL) != ERR_OK)
        out->tag = (StoreTag){0};
}

/* --- get --- */

typedef struct GetCheck {
    const DriverGet *what;
    bool ranged;
    Str body; /* what was asked for, of the answer's body */
    uint64_t size;
} GetCheck;

/* bytes 0-1023/4096 */
static bool parse_content_range(Str text, uint64_t *first, uint64_t *last, uint64_t *size) {
    Str range, total, from, to;

    if (!str_starts_with(text, STR("bytes "))) return false;
    return str_cut(str_from(text, 6), '/', &range, &total) && str_cut(range, '-', &from, &to) &&
           str_to_u64(from, first) && str_to_u64(to, last) && str_to_u64(total, size) &&
           *first <= *last && *last < *size;
}

/* The answer to a range of an empty object, which has no range that could be written:
 * MinIO says "bytes 0--1/0" to a suffix, others 416. */
static bool is_empty(const HttpAnswer *answer, Str content_range) {
    return answer->status == 206 && answer->body.len == 0 &&
           str_ends_with(content_range, STR("/0"));
}

/* A 200 where a range was asked for: somebody did not understand it, and sent everything. */
static ErrCode check_whole(GetCheck *get, const HttpAnswer *answer, Error *err) {
    const DriverGet *what = get->what;
    uint64_t offset = what->offset;

    if (answer->content_length != UINT64_MAX && answer->content_length != answer->body.len)
        return error_set(err, ERR_CORRUPT, "the store sent %zu of %llu bytes", answer->body.len,
                         (unsigned long long)answer->content_length);
    get->size = answer->body.len;
    if (what->tail) offset = get->size > what->length ? get->size - what->length : 0;
    if (offset > get->size)
        return error_set(err, ERR_INVALID, "offset %llu of an object of %llu bytes",
                         (unsigned long long)offset, (unsigned long long)get->size);
    get->body = str_slice(answer->body, (size_t)offset, what->length);
    return ERR_OK;
}

static ErrCode check_get(void *context, const HttpAnswer *answer, S3Failure *failure, Error *err) {
    GetCheck *get = context;
    const DriverGet *what = get->what;
    Str header = http_answer_header(answer, "content-range");
    uint64_t first, last, size, offset, want;

    (void)failure;
    if (answer->status == 200 || is_empty(answer, header)) return check_whole(get, answer, err);
    if (answer->status != 206 || !get->ranged || !parse_content_range(header, &first, &last, &size))
        return error_set(err, ERR_CORRUPT,
                         "an odd answer to a range: %d, Content-Range '" STR_FMT "'",
                         answer->status, STR_ARG(str_slice(header, 0, 80)));
    offset = what->offset;
    if (what->tail) offset = size > what->length ? size - what->length : 0;
    want = offset < size ? MIN(size - offset, what->length) : 0;
    if (first != offset || last - first + 1 != want || answer->body.len != want)
        return error_set(err, ERR_CORRUPT,
                         "the store sent %zu bytes as '" STR_FMT "' where %llu at %llu belong",
                         answer->body.len, STR_ARG(str_slice(header, 0, 80)),
                         (unsigned long long)want, (unsigned long long)offset);
    get->body = answer->body;
    get->size = size;
    return ERR_OK;
}

/* A range that isn't there: the object ends before it, is empty, or the store is confused. */
static ErrCode get_nothing(StoreDriver *driver, Str key, const DriverGet *what, Str *out,
                           StoreObject *object, Error *err) {
    StoreObject head = {0};

    TRY(s3_head(driver, key, &head, err));
    if (!what->tail && what->offset > head.size)
        return error_set(err, ERR_INVALID, "offset %llu of an object of %llu bytes",
                         (unsigned long long)what->offset, (unsigned long long)head.size);
    if (head.size > 0 && (what->tail || what->offset < head.size))
        return error_set(err, ERR_CORRUPT, "416 for a range inside an object of %llu bytes",
                         (unsigned long long)head.size);
    *out = (Str){"", 0};
    *object = head;
    return ERR_OK;
}

static Str range_of(const DriverGet *what, Arena *arena) {
    unsigned long long first = what->offset, length = what->length;

    if (what->tail) return str_format(arena, "-%llu", (unsigned long long)MIN(length, INT64_MAX));
    if (length > INT64_MAX - first) return str_format(arena, "%llu-", first);
    return str_format(arena, "%llu-%llu", first, first + length - 1);
}

static ErrCode s3_get(StoreDriver *driver, Str key, const DriverGet *what, Arena *arena, Str *out,
                      StoreObject *object, Error *err) {
    GetCheck get = {.what = what,
                    .ranged = what->tail || what->offset > 0 || what->length < INT64_MAX};
    S3Request request = {.method = STR("GET"),
                         .key = key,
                         .answer_bytes_max = what->length,
                         .check = check_get,
                         .check_context = &get};
    S3Failure failure = {0};
    HttpAnswer answer;
    ErrCode code;

    /* Servers count in 64 signed bits; no object is that long. */
    if (what->offset > INT64_MAX) return get_nothing(driver, key, what, out, object, err);
    if (get.ranged) request.range = range_of(what, arena);
    if (get.ranged && request.range.ptr == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    code = s3_send((S3 *)driver, &request, arena, &answer, &failure, err);
    if (failure.status == 416 && code != ERR_OK)
        return get_nothing(driver, key, what, out, object, err);
    if (code != ERR_OK) return code;
    s3_describe(&answer, get.size, object);
    *out = get.body;
    return ERR_OK;
}

/* --- head, delete --- */

static ErrCode check_head(void *context, const HttpAnswer *answer, S3Failure *failure, Error *err) {
    (void)context;
    (void)failure;
    if (answer->content_length == UINT64_MAX)
        return error_set(err, ERR_CORRUPT, "an answer to HEAD without a length");
    return ERR_OK;
}

ErrCode s3_head(StoreDriver *driver, Str key, StoreObject *out, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    S3Request request = {.method = STR("HEAD"), .key = key, .check = check_head};
    HttpAnswer answer;

    TRY(s3_send((S3 *)driver, &request, arena, &answer, NULL, err));
    s3_describe(&answer, answer.content_length, out);
    return ERR_OK;
}

static ErrCode s3_remove(StoreDriver *driver, Str key, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    S3Request request = {.method = STR("DELETE"), .key = key};
    HttpAnswer answer;
    ErrCode code = s3_send((S3 *)driver, &request, arena, &answer, NULL, err);

    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

/* --- put --- */

bool s3_tag_differs(const StoreTag *tag, const S3Md5 *md5) {
    bool same = true;

    if (!md5->known || strlen(tag->text) != 34) return false;
    for (size_t i = 0; i < 16; i++) {
        int high = s3_hex_digit(tag->text[1 + 2 * i]), low = s3_hex_digit(tag->text[2 + 2 * i]);

        if (high < 0 || low < 0) return false;
        same &= (high << 4 | low) == md5->bytes[i];
    }
    return !same;
}

/* The tag looks like an MD5 and is not the body's. Some stores make other tags of that length
 * (encrypting ones do), so the object is read back once: when it is fine, this store's tags are not
 * MD5s, and nobody asks again. */
static ErrCode check_by_reading(S3 *s3, Str key, Str body, const StoreTag *tag, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    DriverGet whole = {.length = body.len + 1};
    StoreObject object = {0};
    Str got = {0};

    TRY(s3_get(&s3->driver, key, &whole, arena, &got, &object, err));
    if (strcmp(object.tag.text, tag->text) != 0) return ERR_OK; /* replaced by now: can't tell */
    if (!str_equal(got, body))
        return error_set(err, ERR_CORRUPT, "the store kept other bytes than were sent: ETag %s",
                         tag->text);
    atomic_store(&s3->tags_are_no_md5, true);
    return ERR_OK;
}

ErrCode s3_put_failed(ErrCode code, const StorePut *how, Error *err) {
    if (code == ERR_NOT_FOUND && how->if_match != NULL)
        return error_set(err, ERR_EXISTS, "it is gone");
    return code;
}

ErrCode s3_put(StoreDriver *driver, Str key, Str body, const StorePut *how, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    S3 *s3 = (S3 *)driver;
    S3Request request = {.method = STR("PUT"),
                         .key = key,
                         .body = body,
                         .content_type = STR("application/octet-stream"),
                         .if_none = how->if_absent,
                         .if_match =
                             how->if_match == NULL ? (Str){0} : str_of(how->if_match->text)};
    HttpAnswer answer;
    StoreTag tag = {0};
    ErrCode code;

    s3_md5(body, &request.md5);
    code = s3_send(s3, &request, arena, &answer, NULL, err);
    if (code != ERR_OK) return s3_put_failed(code, how, err);
    TRY(s3_tag(http_answer_header(&answer, "etag"), &tag, err));
    if (!atomic_load(&s3->tags_are_no_md5) && s3_tag_differs(&tag, &request.md5))
        TRY(check_by_reading(s3, key, body, &tag, err));
    *how->ret_tag = tag;
    return ERR_OK;
}

/* --- the driver --- */

static void s3_free(StoreDriver *driver) {
    S3 *s3 = (S3 *)driver;

    http_client_free(s3->client);
    arena_free(s3->credentials_arena);
    arena_free(s3->arena);
    pthread_mutex_destroy(&s3->lock);
    free(s3);
}

static const StoreDriver s3_driver = {
    .name = "s3",
    .features = STORE_CONDITIONAL_PUT | STORE_STREAMED_PUT,
    .put = s3_put,
    .get = s3_get,
    .head = s3_head,
    .list = s3_list,
    .remove = s3_remove,
    .free = s3_free,
    .upload_begin = s3_upload_begin,
    .upload_write = s3_upload_write,
    .upload_finish = s3_upload_finish,
    .upload_abort = s3_upload_abort,
};

/* The strings of the options are the caller's; ours live in the driver's arena. */
static bool copy_options(const StoreOptions *options, Arena *arena, StoreOptions *out) {
    Str *strings[] = {&out->url,        &out->endpoint,      &out->region,  &out->access_key,
                      &out->secret_key, &out->session_token, &out->profile, &out->ca_file};

    *out = *options;
    for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
        *strings[i] = str_dup(arena, *strings[i]);
        if (strings[i]->ptr == NULL) return false;
    }
    return true;
}

static ErrCode set_up(S3 *s3, const StoreOptions *options, Error *err) {
    const S3Address *address = &s3->address;

    if (s3->arena == NULL || s3->credentials_arena == NULL ||
        !copy_options(options, s3->arena, &s3->options))
        return error_set(err, ERR_LIMIT, "out of memory");
    TRY(credentials_find(&s3->options, s3->credentials_arena, &s3->credentials, err));
    TRY(s3_address(&s3->options, &s3->credentials, s3->arena, &s3->address, err));
    s3->algorithm = str_format(s3->arena, "aws:amz:" STR_FMT ":s3", STR_ARG(address->region));
    if (options->virtual_host)
        s3->base_url = str_format(s3->arena, "%s://" STR_FMT "." STR_FMT STR_FMT,
                                  address->tls ? "https" : "http", STR_ARG(address->bucket),
                                  STR_ARG(address->host), STR_ARG(address->path));
    else
        s3->base_url = str_format(s3->arena, "%s://" STR_FMT STR_FMT "/" STR_FMT,
                                  address->tls ? "https" : "http", STR_ARG(address->host),
                                  STR_ARG(address->path), STR_ARG(address->bucket));
    if (s3->algorithm.ptr == NULL || s3->base_url.ptr == NULL)
        return error_set(err, ERR_LIMIT, "out of memory");
    return http_client_new(&(HttpClientOptions){.ca_file = s3->options.ca_file}, &s3->client, err);
}

ErrCode store_driver_s3(const StoreOptions *options, StoreDriver **out, Error *err) {
    S3 *s3 = calloc(1, sizeof *s3);
    ErrCode code;

    if (s3 == NULL) return error_set(err, ERR_LIMIT, "s3: out of memory");
    s3->driver = s3_driver;
    s3->arena = arena_new(0, NULL);
    s3->credentials_arena = arena_new(0, NULL);
    s3->attempts_max = options->attempts_max == 0 ? ATTEMPTS_MAX : options->attempts_max;
    s3->timeout_ms = options->timeout_ms == 0 ? TIMEOUT_MS : options->timeout_ms;
    s3->retries = telemetry_counter("moraine_store_retries_total", "driver=\"s3\"",
                                    "Requests to the object store that were sent again.");
    pthread_mutex_init(&s3->lock, NULL);
    code = set_up(s3, options, err);
    if (code != ERR_OK) {
        s3_free(&s3->driver);
        error_wrap(err, "s3");
        return code;
    }
    *out = &s3->driver;
    return ERR_OK;
}
