/*
 * s3v2.c: S3 with signature v2, for stores that know nothing newer, on Debian's libs3 (2.0).
 *
 * What that library can't do, this driver doesn't have: conditional puts (no features), multipart
 * uploads, session tokens, suffix ranges (a tail is a HEAD and a range), the object's size with a
 * range (so is every other get), the outcome of a put (another HEAD), an endpoint with a path,
 * spaces in keys (it writes them as `+`), and timeouts of ours: it gives up by itself below 1 KiB/s
 * for 15 seconds. Above all it does not check certificates, so https is refused rather than
 * pretended: put a TLS proxy beside it.
 *
 * libs3 is told everything by callbacks, which fill a Call; calls without a request context block
 * and may come from any thread.
 */
#include <libs3.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/store/s3.h"

enum { ATTEMPTS_MAX = 5, PAGE_KEYS_MAX = 1000 };

typedef struct S3V2 {
    StoreDriver driver;
    Arena *arena;
    S3Address address;
    S3BucketContext bucket; /* what libs3 wants to know with every call */
    unsigned attempts_max;
    Counter *retries;
} S3V2;

/* One attempt of one call, and what came of it. */
typedef struct Call {
    S3Status status;
    char message[200];
    StoreObject object;
    Str send; /* what is left of a put's body */
    char *received;
    size_t received_len;
    size_t wanted; /* bytes, at most */
    Arena *arena;  /* of a list's page */
    StoreObject *page;
    size_t count;
    bool truncated;
    bool out_of_memory;
    bool is_xml; /* the answer, by its Content-Type */
} Call;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static S3Status initialized;

static void initialize(void) {
    initialized = S3_initialize("moraine", S3_INIT_ALL, NULL);
}

/* --- callbacks --- */

static S3Status on_properties(const S3ResponseProperties *properties, void *context) {
    Call *call = context;

    call->is_xml =
        properties->contentType != NULL && strstr(properties->contentType, "xml") != NULL;
    call->object.size = properties->contentLength;
    call->object.modified_ms = properties->lastModified > 0 ? properties->lastModified * 1000 : 0;
    if (s3_tag(str_of(properties->eTag), &call->object.tag, NULL) != ERR_OK)
        call->object.tag = (StoreTag){0};
    return S3StatusOK;
}

static void on_complete(S3Status status, const S3ErrorDetails *details, void *context) {
    Call *call = context;

    call->status = status;
    call->message[0] = '\0';
    if (details == NULL || details->message == NULL) return;
    snprintf(call->message, sizeof call->message, "%s", details->message);
    for (char *c = call->message; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = ' ';
}

static int on_send(int size, char *out, void *context) {
    Call *call = context;
    size_t len = MIN(call->send.len, (size_t)size);

    if (len > 0) memcpy(out, call->send.ptr, len);
    call->send = str_from(call->send, len);
    return (int)len;
}

static S3Status on_receive(int size, const char *bytes, void *context) {
    Call *call = context;

    if (size < 0 || (size_t)size > call->wanted - call->received_len)
        return S3StatusAbortedByCallback;
    memcpy(call->received + call->received_len, bytes, (size_t)size);
    call->received_len += (size_t)size;
    return S3StatusOK;
}

static S3Status on_list(int truncated, const char *next, int count,
                        const S3ListBucketContent *contents, int prefix_count,
                        const char **prefixes, void *context) {
    Call *call = context;

    (void)next, (void)prefix_count, (void)prefixes;
    call->truncated = truncated != 0;
    for (int i = 0; i < count; i++) {
        StoreObject *object = &call->page[call->count];

        if (call->count == PAGE_KEYS_MAX) return S3StatusAbortedByCallback;
        object->key = str_dup(call->arena, str_of(contents[i].key));
        if (object->key.ptr == NULL) {
            call->out_of_memory = true;
            return S3StatusAbortedByCallback;
        }
        object->size = contents[i].size;
        object->modified_ms = contents[i].lastModified > 0 ? contents[i].lastModified * 1000 : 0;
        if (s3_tag(str_of(contents[i].eTag), &object->tag, NULL) != ERR_OK)
            object->tag = (StoreTag){0};
        call->count++;
    }
    return S3StatusOK;
}

static const S3ResponseHandler response_handler = {on_properties, on_complete};

/* --- what a status means --- */

static ErrCode means(S3Status status) {
    switch (status) {
    case S3StatusOK:
        return ERR_OK;
    case S3StatusErrorNoSuchKey:
    case S3StatusHttpErrorNotFound:
        return ERR_NOT_FOUND;
    case S3StatusErrorAccessDenied:
    case S3StatusErrorInvalidAccessKeyId:
    case S3StatusErrorSignatureDoesNotMatch:
    case S3StatusErrorRequestTimeTooSkewed:
    case S3StatusErrorAccountProblem:
    case S3StatusErrorNotSignedUp:
    case S3StatusErrorInvalidSecurity:
    case S3StatusHttpErrorForbidden:
        return ERR_DENIED;
    case S3StatusOutOfMemory:
        return ERR_LIMIT;
    case S3StatusXmlParseFailure:
    case S3StatusAbortedByCallback: /* more bytes or keys than asked for */
        return ERR_CORRUPT;
    case S3StatusErrorSlowDown:
    case S3StatusErrorInternalError:
    case S3StatusErrorOperationAborted:
    case S3StatusErrorRequestTimeout:
    case S3StatusErrorIncompleteBody:
    case S3StatusErrorBadDigest:
    case S3StatusErrorPreconditionFailed: /* replaced between the HEAD and the GET */
    case S3StatusErrorUnknown:
    case S3StatusHttpErrorUnknown:
    case S3StatusHttpErrorConflict:
    case S3StatusInternalError:
    case S3StatusInterrupted:
    case S3StatusFailedToInitializeRequest:
    case S3StatusNameLookupError:
    case S3StatusFailedToConnect:
    case S3StatusConnectionFailed:
        return ERR_UNAVAILABLE;
    default:
        return ERR_INVALID;
    }
}

static ErrCode code_of(const Call *call, Error *err) {
    ErrCode code = call->out_of_memory ? ERR_LIMIT : means(call->status);

    if (code == ERR_OK) return ERR_OK;
    return error_set(err, code, "%s%s%s", S3_get_status_name(call->status),
                     call->message[0] != '\0' ? ": " : "", call->message);
}

/* Runs `attempt` until it succeeds, can't, or was tried often enough. */
static ErrCode repeat(S3V2 *s3, ErrCode (*attempt)(S3V2 *s3, void *what, Error *err), void *what,
                      Error *err) {
    for (unsigned count = 1;; count++) {
        ErrCode code = attempt(s3, what, err);

        if (code != ERR_UNAVAILABLE && code != ERR_CORRUPT) return code;
        if (count >= s3->attempts_max) {
            if (count > 1) error_wrap(err, "attempt %u", count);
            return code;
        }
        counter_add(s3->retries, 1);
        clock_sleep_ms(s3_backoff_ms(count, true));
    }
}

/* A key as libs3 wants it: with the prefix, NUL-terminated. */
typedef struct FullKey {
    char text[1200];
} FullKey;

static ErrCode full_key(const S3V2 *s3, Str key, FullKey *out, Error *err) {
    Str prefix = s3->address.prefix;

    if (key.len > 0 && memchr(key.ptr, ' ', key.len) != NULL)
        return error_set(err, ERR_INVALID, "signature v2 has no spaces in keys");
    assert(prefix.len + key.len < sizeof out->text);
    snprintf(out->text, sizeof out->text, STR_FMT STR_FMT, STR_ARG(prefix), STR_ARG(key));
    return ERR_OK;
}

/* --- the calls --- */

typedef struct Head {
    FullKey key;
    StoreObject object;
} Head;

static ErrCode attempt_head(S3V2 *s3, void *what, Error *err) {
    Head *head = what;
    Call call = {0};

    S3_head_object(&s3->bucket, head->key.text, NULL, &response_handler, &call);
    TRY(code_of(&call, err));
    head->object = call.object;
    return ERR_OK;
}

static ErrCode v2_head(StoreDriver *driver, Str key, StoreObject *out, Error *err) {
    Head head;

    TRY(full_key((S3V2 *)driver, key, &head.key, err));
    TRY(repeat((S3V2 *)driver, attempt_head, &head, err));
    *out = head.object;
    return ERR_OK;
}

typedef struct Get {
    Head head;
    const DriverGet *what;
    Arena *arena;
    Str body;
} Get;

/* HEAD for the size, then the range of that very version. */
static ErrCode attempt_get(S3V2 *s3, void *context, Error *err) {
    Get *get = context;
    const StoreObject *object = &get->head.object;
    S3GetConditions same = {.ifModifiedSince = -1, .ifNotModifiedSince = -1};
    S3GetObjectHandler handler = {response_handler, on_receive};
    uint64_t offset = get->what->offset;
    Call call = {0};

    TRY(attempt_head(s3, &get->head, err));
    if (get->what->tail)
        offset = object->size > get->what->length ? object->size - get->what->length : 0;
    if (offset > object->size)
        return error_set(err, ERR_INVALID, "offset %llu of an object of %llu bytes",
                         (unsigned long long)offset, (unsigned long long)object->size);
    call.wanted = (size_t)MIN(object->size - offset, get->what->length);
    get->body = (Str){"", 0};
    if (call.wanted == 0) return ERR_OK; /* libs3 would take no bytes for all */
    if (object->tag.text[0] != '\0') same.ifMatchETag = object->tag.text;
    call.received = arena_alloc_bytes(get->arena, call.wanted);
    if (call.received == NULL)
        return error_set(err, ERR_LIMIT, "no memory for %zu bytes", call.wanted);
    S3_get_object(&s3->bucket, get->head.key.text, &same, offset, call.wanted, NULL, &handler,
                  &call);
    TRY(code_of(&call, err));
    if (call.received_len != call.wanted)
        return error_set(err, ERR_CORRUPT, "the store sent %zu of %zu bytes", call.received_len,
                         call.wanted);
    get->body = (Str){call.received, call.received_len};
    return ERR_OK;
}

static ErrCode v2_get(StoreDriver *driver, Str key, const DriverGet *what, Arena *arena, Str *out,
                      StoreObject *object, Error *err) {
    Get get = {.what = what, .arena = arena};

    TRY(full_key((S3V2 *)driver, key, &get.head.key, err));
    TRY(repeat((S3V2 *)driver, attempt_get, &get, err));
    *object = get.head.object;
    *out = get.body;
    return ERR_OK;
}

typedef struct Put {
    FullKey key;
    Str body;
    StoreTag tag;
    char md5[32]; /* base64 */
    S3Md5 digest;
} Put;

/* libs3 takes an error without a body for a success, where it asked for a 100 Continue before, and
 * never says what ETag a put got. So every put is looked at: by size and, where the tag is one,
 * MD5; a tag that is none is settled by reading the object back. */
static ErrCode verify_put(S3V2 *s3, const Put *put, StoreTag *ret_tag, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    DriverGet whole = {.length = put->body.len + 1};
    Get get = {.head = {.key = put->key}, .what = &whole, .arena = arena};
    const StoreObject *object = &get.head.object;
    ErrCode code = attempt_head(s3, &get.head, err);

    if (code == ERR_NOT_FOUND || (code == ERR_OK && object->size != put->body.len))
        return error_set(err, ERR_UNAVAILABLE, "the put had no effect");
    if (code != ERR_OK) return code;
    if (s3_tag_differs(&object->tag, &put->digest)) {
        TRY(attempt_get(s3, &get, err));
        if (!str_equal(get.body, put->body))
            return error_set(err, ERR_UNAVAILABLE, "the object is another than was put");
    }
    *ret_tag = object->tag;
    return ERR_OK;
}

static ErrCode attempt_put(S3V2 *s3, void *what, Error *err) {
    Put *put = what;
    S3PutObjectHandler handler = {response_handler, on_send};
    S3PutProperties properties = {.contentType = "application/octet-stream",
                                  .md5 = put->digest.known ? put->md5 : NULL,
                                  .expires = -1};
    Call call = {.send = put->body};

    S3_put_object(&s3->bucket, put->key.text, put->body.len, &properties, NULL, &handler, &call);
    TRY(code_of(&call, err));
    return verify_put(s3, put, &put->tag, err);
}

static ErrCode v2_put(StoreDriver *driver, Str key, Str body, const StorePut *how, Error *err) {
    Put put = {.body = body};

    TRY(full_key((S3V2 *)driver, key, &put.key, err));
    s3_md5(body, &put.digest);
    EVP_EncodeBlock((unsigned char *)put.md5, put.digest.bytes, sizeof put.digest.bytes);
    TRY(repeat((S3V2 *)driver, attempt_put, &put, err));
    *how->ret_tag = put.tag;
    return ERR_OK;
}

static ErrCode attempt_remove(S3V2 *s3, void *what, Error *err) {
    const FullKey *key = what;
    Call call = {0};
    ErrCode code;

    S3_delete_object(&s3->bucket, key->text, NULL, &response_handler, &call);
    code = code_of(&call, err);
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

static ErrCode v2_remove(StoreDriver *driver, Str key, Error *err) {
    FullKey full;

    TRY(full_key((S3V2 *)driver, key, &full, err));
    return repeat((S3V2 *)driver, attempt_remove, &full, err);
}

typedef struct Page {
    FullKey prefix;
    FullKey marker; /* the last key of the page before */
    Arena *arena;
    StoreObject *objects;
    size_t count;
    bool truncated;
} Page;

static ErrCode attempt_page(S3V2 *s3, void *what, Error *err) {
    Page *page = what;
    S3ListBucketHandler handler = {response_handler, on_list};
    Call call = {.arena = page->arena,
                 .page = ARENA_ARRAY(page->arena, StoreObject, PAGE_KEYS_MAX)};

    if (call.page == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    S3_list_bucket(&s3->bucket, page->prefix.text,
                   page->marker.text[0] != '\0' ? page->marker.text : NULL, NULL, PAGE_KEYS_MAX,
                   NULL, &handler, &call);
    TRY(code_of(&call, err));
    /* libs3 takes what isn't a list, such as a proxy's login page, for an empty one. */
    if (call.count == 0 && !call.is_xml)
        return error_set(err, ERR_CORRUPT, "the store's list is not XML");
    page->objects = call.page;
    page->count = call.count;
    page->truncated = call.truncated;
    return ERR_OK;
}

static ErrCode v2_list(StoreDriver *driver, Str prefix,
                       ErrCode (*each)(void *context, const StoreObject *object, Error *err),
                       void *context, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    S3V2 *s3 = (S3V2 *)driver;
    Str root = s3->address.prefix;
    Page page = {.arena = arena};

    TRY(full_key(s3, prefix, &page.prefix, err));
    do {
        Str last;

        arena_reset(arena);
        TRY(repeat(s3, attempt_page, &page, err));
        for (size_t i = 0; i < page.count; i++) {
            StoreObject object = page.objects[i];

            if (!str_starts_with(object.key, root))
                return error_set(err, ERR_CORRUPT, "the store listed what was not asked for");
            object.key = str_from(object.key, root.len);
            TRY(each(context, &object, err));
        }
        if (page.count == 0) break;
        last = page.objects[page.count - 1].key;
        if (last.len >= sizeof page.marker.text || strcmp(page.marker.text, last.ptr) == 0)
            return error_set(err, ERR_CORRUPT, "a list that doesn't get on");
        memcpy(page.marker.text, last.ptr, last.len + 1);
    } while (page.truncated);
    return ERR_OK;
}

/* --- the driver --- */

static void v2_free(StoreDriver *driver) {
    S3V2 *s3 = (S3V2 *)driver;

    arena_free(s3->arena);
    free(s3);
}

static const StoreDriver s3v2_driver = {
    .name = "s3v2",
    .put = v2_put,
    .get = v2_get,
    .head = v2_head,
    .list = v2_list,
    .remove = v2_remove,
    .free = v2_free,
};

static ErrCode set_up(S3V2 *s3, const StoreOptions *options, Error *err) {
    Credentials who;

    if (s3->arena == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    TRY(credentials_find(options, s3->arena, &who, err));
    TRY(s3_address(options, &who, s3->arena, &s3->address, err));
    if (s3->address.tls)
        return error_set(err, ERR_UNSUPPORTED,
                         "endpoint: signature v2 goes over http only, since libs3 does not check "
                         "certificates; use v4, or a TLS proxy");
    if (s3->address.path.len > 0)
        return error_set(err, ERR_UNSUPPORTED, "endpoint: signature v2 knows none with a path");
    if (who.session_token.len > 0)
        return error_set(err, ERR_UNSUPPORTED, "session_token: signature v2 has none");
    s3->bucket = (S3BucketContext){
        .hostName = str_dup(s3->arena, s3->address.host).ptr,
        .bucketName = str_dup(s3->arena, s3->address.bucket).ptr,
        .protocol = S3ProtocolHTTP,
        .uriStyle = options->virtual_host ? S3UriStyleVirtualHost : S3UriStylePath,
        .accessKeyId = who.access_key.ptr,
        .secretAccessKey = who.secret_key.ptr,
    };
    if (s3->bucket.hostName == NULL || s3->bucket.bucketName == NULL)
        return error_set(err, ERR_LIMIT, "out of memory");
    pthread_once(&once, initialize);
    if (initialized != S3StatusOK)
        return error_set(err, ERR_INTERNAL, "libs3: %s", S3_get_status_name(initialized));
    return ERR_OK;
}

ErrCode store_driver_s3v2(const StoreOptions *options, StoreDriver **out, Error *err) {
    S3V2 *s3 = calloc(1, sizeof *s3);
    ErrCode code;

    if (s3 == NULL) return error_set(err, ERR_LIMIT, "s3v2: out of memory");
    s3->driver = s3v2_driver;
    s3->arena = arena_new(0, NULL);
    s3->attempts_max = options->attempts_max == 0 ? ATTEMPTS_MAX : options->attempts_max;
    s3->retries = telemetry_counter("moraine_store_retries_total", "driver=\"s3v2\"",
                                    "Requests to the object store that were sent again.");
    code = set_up(s3, options, err);
    if (code != ERR_OK) {
        v2_free(&s3->driver);
        error_wrap(err, "s3v2");
        return code;
    }
    *out = &s3->driver;
    return ERR_OK;
}
