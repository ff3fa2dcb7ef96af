#pragma once
/*
 * s3.h: what the files of the s3 driver share.
 *
 * s3.c         URL and options to a driver; put, get, head, delete
 * s3_request.c one request: address, headers, signature, retries, what a failure means
 * s3_list.c    ListObjectsV2
 * s3_upload.c  multipart uploads
 */
#include <pthread.h>

#include "common/base/telemetry.h"
#include "common/net/client.h"
#include "common/store/credentials.h"
#include "common/store/driver.h"

/* Where a store is: shared with s3v2.c. */
typedef struct S3Address {
    bool tls;
    Str host; /* with the port; for virtual-host style without the bucket */
    Str path; /* of the endpoint's URL, without a slash at the end; mostly empty */
    Str bucket;
    Str prefix; /* of keys: empty, or it ends in a slash */
    Str region;
} S3Address;

/* Everything in `out` and `credentials` lives in `arena`. */
MUST_USE ErrCode s3_address(const StoreOptions *options, const Credentials *credentials,
                            Arena *arena, S3Address *out, Error *err);

typedef struct S3 {
    StoreDriver driver;
    Arena *arena; /* of everything here that is set once */
    HttpClient *client;
    StoreOptions options; /* copied: credentials are looked for again when they expire */
    S3Address address;
    Str base_url;  /* https://host/bucket or https://bucket.host: keys follow after a slash */
    Str algorithm; /* aws:amz:<region>:s3 */
    unsigned attempts_max;
    uint64_t timeout_ms;
    Counter *retries;
    _Atomic bool tags_are_no_md5; /* learned from a put whose object was fine: s3.c */
    pthread_mutex_t lock;         /* of what follows */
    Arena *credentials_arena;
    Credentials credentials;
} S3;

/* What the store said when it said no. */
typedef struct S3Failure {
    int status;    /* 0: there was no answer */
    char code[64]; /* S3's own, "NoSuchKey"; empty: the answer had none */
} S3Failure;

/* An MD5, if there is one: FIPS providers don't have it. */
typedef struct S3Md5 {
    bool known;
    unsigned char bytes[16];
} S3Md5;

typedef struct S3Request {
    Str method;
    Str key;   /* without the store's prefix; empty: the bucket itself */
    Str query; /* sorted, percent-encoded, `name=` also when empty; without the `?` */
    Str body;
    Str range;
    Str if_match; /* a tag */
    bool if_none; /* If-None-Match: * */
    S3Md5 md5;    /* of the body, when known: the store compares */
    Str content_type;
    size_t answer_bytes_max;
    /* Looks at an answer of 2xx; what it makes ERR_UNAVAILABLE or ERR_CORRUPT is tried again. */
    ErrCode (*check)(void *context, const HttpAnswer *answer, S3Failure *failure, Error *err);
    void *check_context;
} S3Request;

/* ERR_OK means an answer of 2xx that passed the check. `failure` may be NULL. Sleeps between
 * attempts. What the answer needs stays in `arena`. */
MUST_USE ErrCode s3_send(S3 *s3, const S3Request *request, Arena *arena, HttpAnswer *out,
                         S3Failure *failure, Error *err);

/* What an answer other than 2xx (or one with an <Error> in it) means. */
ErrCode s3_fail(const HttpAnswer *answer, S3Failure *failure, Error *err);

/* How long to wait after the count-th attempt: random, at most doubling; longer when the store
 * asked for `less`. */
uint64_t s3_backoff_ms(unsigned count, bool less);

/* Size from the caller; tag and time from the answer's headers. */
void s3_describe(const HttpAnswer *answer, uint64_t size, StoreObject *out);
/* Copies a tag, with quotes around it; ERR_CORRUPT: longer than a StoreTag. */
MUST_USE ErrCode s3_tag(Str text, StoreTag *out, Error *err);
/* Appends `text` percent-encoded as SigV4 wants it; `keep` is left as it is ('/' or 0). */
void s3_encode(Buf *out, Str text, char keep);

/* Lowercase, with a NUL: 2 * len + 1 bytes. */
void s3_hex(const unsigned char *bytes, size_t len, char *out);
int s3_hex_digit(char c); /* -1: none */

void s3_md5(Str bytes, S3Md5 *out);
/* Whether `tag` says something else than `md5`, and is the kind of tag that would be an MD5. */
bool s3_tag_differs(const StoreTag *tag, const S3Md5 *md5);

ErrCode s3_put(StoreDriver *driver, Str key, Str body, const StorePut *how, Error *err);
ErrCode s3_head(StoreDriver *driver, Str key, StoreObject *out, Error *err);
/* ERR_NOT_FOUND of a put with if_match means that the object is gone. */
ErrCode s3_put_failed(ErrCode code, const StorePut *how, Error *err);

ErrCode s3_list(StoreDriver *driver, Str prefix,
                ErrCode (*each)(void *context, const StoreObject *object, Error *err),
                void *context, Error *err);

ErrCode s3_upload_begin(StoreDriver *driver, Str key, DriverUpload **out, Error *err);
ErrCode s3_upload_write(StoreDriver *driver, DriverUpload *upload, Str bytes, Error *err);
ErrCode s3_upload_finish(StoreDriver *driver, DriverUpload *upload, const StorePut *how,
                         Error *err);
void s3_upload_abort(StoreDriver *driver, DriverUpload *upload);
