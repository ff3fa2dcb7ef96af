/*
 * s3_upload.c: objects in parts.
 *
 * Pieces are collected to parts of 8 MiB. An object that ends before the first part is full never
 * becomes a multipart upload: it is put. All parts but the last have the same size, which some
 * stores insist on. What a process that dies leaves behind costs money until the bucket's lifecycle
 * rule for incomplete uploads removes it.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/store/s3.h"
#include "common/store/s3_xml.h"

enum {
    PART_BYTES = 8 << 20,
    PARTS_MAX = 10000, /* S3's */
    ANSWER_BYTES_MAX = 1 << 20,
};

typedef struct Part {
    StoreTag tag;
    S3Md5 md5;
} Part;

typedef struct Upload {
    Arena *arena;   /* the upload's own, for what stays until its end */
    Arena *scratch; /* of one request */
    Str key;
    Str id; /* percent-encoded; empty: nothing was sent yet */
    Buf pending;
    Part *parts;
    unsigned count;
    unsigned capacity;
    uint64_t bytes;
} Upload;

static void upload_free(Upload *upload) {
    buf_done(&upload->pending);
    arena_free(upload->arena);
    arena_free(upload->scratch);
    free(upload->parts);
    free(upload);
}

ErrCode s3_upload_begin(StoreDriver *driver, Str key, DriverUpload **out, Error *err) {
    Upload *upload = calloc(1, sizeof *upload);

    (void)driver;
    if (upload == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    buf_init(&upload->pending, PART_BYTES);
    upload->arena = arena_new(0, NULL);
    upload->scratch = arena_new(0, NULL);
    upload->key = str_dup(upload->arena, key);
    if (upload->scratch == NULL || upload->key.ptr == NULL) {
        upload_free(upload);
        return error_set(err, ERR_LIMIT, "out of memory");
    }
    *out = (DriverUpload *)upload;
    return ERR_OK;
}

/* What one element of an answer says; its text is copied to `arena`. */
typedef struct Wanted {
    const char *path;
    Arena *arena;
    Str text;
} Wanted;

/* Complete may answer 200 and then, after a while, an <Error>: that is an answer like any other
 * failure's. */
static ErrCode check_answer(void *context, const HttpAnswer *answer, S3Failure *failure,
                            Error *err) {
    Wanted *wanted = context;
    bool is_error = false;
    XmlEvent event;
    Xml xml;

    wanted->text = (Str){0};
    xml_init(&xml, answer->body);
    while ((event = xml_next(&xml)) == XML_OPEN || event == XML_CLOSE) {
        is_error |= xml_at(&xml, "Error");
        if (event == XML_CLOSE && xml_at(&xml, wanted->path))
            wanted->text = str_dup(wanted->arena, xml_text(&xml));
    }
    if (is_error) {
        HttpAnswer late = *answer;

        late.status = 500;
        return s3_fail(&late, failure, err);
    }
    if (wanted->text.len == 0)
        return error_set(err, ERR_CORRUPT, "the store's answer has no %s", wanted->path);
    return ERR_OK;
}

static ErrCode create(S3 *s3, Upload *upload, Error *err) {
    Wanted id = {"InitiateMultipartUploadResult/UploadId", upload->scratch, {0}};
    S3Request request = {.method = STR("POST"),
                         .key = upload->key,
                         .query = STR("uploads="),
                         .content_type = STR("application/octet-stream"),
                         .answer_bytes_max = ANSWER_BYTES_MAX,
                         .check = check_answer,
                         .check_context = &id};
    CLEANUP_IN_PLACE(buf_done) Buf encoded;
    HttpAnswer answer;

    TRY(s3_send(s3, &request, upload->scratch, &answer, NULL, err));
    buf_init(&encoded, KIB(32));
    s3_encode(&encoded, id.text, 0);
    upload->id = str_dup(upload->arena, buf_str(&encoded));
    if (buf_failed(&encoded) || upload->id.ptr == NULL)
        return error_set(err, ERR_LIMIT, "out of memory");
    return ERR_OK;
}

static ErrCode add_part(Upload *upload, Error *err) {
    unsigned capacity = upload->capacity == 0 ? 16 : upload->capacity * 2;
    Part *parts;

    if (upload->count == PARTS_MAX)
        return error_set(err, ERR_LIMIT, "more than %d parts of %d bytes", PARTS_MAX, PART_BYTES);
    if (upload->count == upload->capacity) {
        parts = realloc(upload->parts, capacity * sizeof *parts);
        if (parts == NULL) return error_set(err, ERR_LIMIT, "out of memory");
        upload->parts = parts;
        upload->capacity = capacity;
    }
    upload->parts[upload->count++] = (Part){0};
    return ERR_OK;
}

static ErrCode send_part(S3 *s3, Upload *upload, Str bytes, Error *err) {
    S3Request request = {.method = STR("PUT"),
                         .key = upload->key,
                         .body = bytes,
                         .content_type = STR("application/octet-stream")};
    HttpAnswer answer;
    Part *part;

    arena_reset(upload->scratch);
    if (upload->id.len == 0) TRY(create(s3, upload, err));
    TRY(add_part(upload, err));
    part = &upload->parts[upload->count - 1];
    request.query = str_format(upload->scratch, "partNumber=%u&uploadId=" STR_FMT, upload->count,
                               STR_ARG(upload->id));
    if (request.query.ptr == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    s3_md5(bytes, &request.md5);
    TRY(s3_send(s3, &request, upload->scratch, &answer, NULL, err));
    TRY(s3_tag(http_answer_header(&answer, "etag"), &part->tag, err));
    if (part->tag.text[0] == '\0')
        return error_set(err, ERR_CORRUPT, "a part's answer without an ETag");
    part->md5 = request.md5;
    upload->bytes += bytes.len;
    return ERR_OK;
}

ErrCode s3_upload_write(StoreDriver *driver, DriverUpload *handle, Str bytes, Error *err) {
    Upload *upload = (Upload *)handle;

    while (bytes.len > 0) {
        size_t room = PART_BYTES - upload->pending.len;

        if (upload->pending.len == 0 && bytes.len > PART_BYTES) {
            TRY(send_part((S3 *)driver, upload, str_slice(bytes, 0, PART_BYTES), err));
            bytes = str_from(bytes, PART_BYTES);
            continue;
        }
        /* Only what goes beyond a full part proves that there will be another. */
        if (room == 0) {
            TRY(send_part((S3 *)driver, upload, buf_str(&upload->pending), err));
            buf_clear(&upload->pending);
            continue;
        }
        buf_append_str(&upload->pending, str_slice(bytes, 0, room));
        if (buf_failed(&upload->pending)) return error_set(err, ERR_LIMIT, "out of memory");
        bytes = str_from(bytes, MIN(room, bytes.len));
    }
    return ERR_OK;
}

/* What S3 makes of the parts' MD5s: the MD5 of them all, and their number. */
static bool expected_tag(const Upload *upload, StoreTag *out) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    bool fine = context != NULL && EVP_DigestInit_ex(context, EVP_md5(), NULL) == 1;

    for (unsigned i = 0; fine && i < upload->count; i++)
        fine = upload->parts[i].md5.known &&
               EVP_DigestUpdate(context, upload->parts[i].md5.bytes, 16) == 1;
    fine = fine && EVP_DigestFinal_ex(context, digest, &len) == 1 && len == 16;
    EVP_MD_CTX_free(context);
    if (!fine) return false;
    out->text[0] = '"';
    s3_hex(digest, 16, out->text + 1);
    snprintf(out->text + 33, sizeof out->text - 33, "-%u\"", upload->count);
    return true;
}

/* A complete says that there is no such upload. Most likely it is the repeat of one whose answer
 * was lost (libcurl sends again by itself what an idle connection swallowed): then the object there
 * now is ours. */
static ErrCode was_completed(S3 *s3, const Upload *upload, StoreTag *ret_tag, Error *err) {
    StoreTag expected;
    StoreObject object = {0};

    TRY(s3_head(&s3->driver, upload->key, &object, err));
    if (object.size != upload->bytes || !expected_tag(upload, &expected) ||
        strcmp(expected.text, object.tag.text) != 0)
        return error_set(err, ERR_UNAVAILABLE,
                         "the upload is gone, and the object is another: it may have been written");
    *ret_tag = object.tag;
    return ERR_OK;
}

static void append_escaped(Buf *out, const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '&')
            buf_append_str(out, STR("&amp;"));
        else if (*text == '<')
            buf_append_str(out, STR("&lt;"));
        else
            buf_append_byte(out, *text);
    }
}

static void write_complete(const Upload *upload, Buf *out) {
    buf_append_str(out, STR("<CompleteMultipartUpload "
                            "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"));
    for (unsigned i = 0; i < upload->count; i++) {
        buf_printf(out, "<Part><PartNumber>%u</PartNumber><ETag>", i + 1);
        append_escaped(out, upload->parts[i].tag.text);
        buf_append_str(out, STR("</ETag></Part>"));
    }
    buf_append_str(out, STR("</CompleteMultipartUpload>"));
}

static ErrCode complete(S3 *s3, Upload *upload, const StorePut *how, Error *err) {
    Wanted tag = {"CompleteMultipartUploadResult/ETag", upload->scratch, {0}};
    CLEANUP_IN_PLACE(buf_done) Buf body;
    S3Request request = {.method = STR("POST"),
                         .key = upload->key,
                         .content_type = STR("application/xml"),
                         .if_none = how->if_absent,
                         .if_match = how->if_match == NULL ? (Str){0} : str_of(how->if_match->text),
                         .answer_bytes_max = ANSWER_BYTES_MAX,
                         .check = check_answer,
                         .check_context = &tag};
    S3Failure failure = {0};
    HttpAnswer answer;
    ErrCode code;

    arena_reset(upload->scratch);
    buf_init(&body, MIB(4));
    write_complete(upload, &body);
    request.query = str_format(upload->scratch, "uploadId=" STR_FMT, STR_ARG(upload->id));
    if (buf_failed(&body) || request.query.ptr == NULL)
        return error_set(err, ERR_LIMIT, "out of memory");
    request.body = buf_str(&body);
    code = s3_send(s3, &request, upload->scratch, &answer, &failure, err);
    if (code == ERR_OK) return s3_tag(tag.text, how->ret_tag, err);
    if (strcmp(failure.code, "NoSuchUpload") == 0)
        return was_completed(s3, upload, how->ret_tag, err);
    return s3_put_failed(code, how, err);
}

static void abort_parts(S3 *s3, Upload *upload) {
    S3Request request = {.method = STR("DELETE"), .key = upload->key};
    HttpAnswer answer;

    if (upload->id.len == 0) return;
    arena_reset(upload->scratch);
    request.query = str_format(upload->scratch, "uploadId=" STR_FMT, STR_ARG(upload->id));
    if (request.query.ptr == NULL) return;
    /* When this fails too, the bucket's lifecycle rule has to do it. */
    if (s3_send(s3, &request, upload->scratch, &answer, NULL, NULL) != ERR_OK) return;
}

ErrCode s3_upload_finish(StoreDriver *driver, DriverUpload *handle, const StorePut *how,
                         Error *err) {
    Upload *upload = (Upload *)handle;
    S3 *s3 = (S3 *)driver;
    ErrCode code;

    if (upload->id.len == 0) {
        code = s3_put(driver, upload->key, buf_str(&upload->pending), how, err);
    } else {
        code = send_part(s3, upload, buf_str(&upload->pending), err);
        if (code == ERR_OK) code = complete(s3, upload, how, err);
        if (code != ERR_OK) abort_parts(s3, upload);
    }
    upload_free(upload);
    return code;
}

void s3_upload_abort(StoreDriver *driver, DriverUpload *handle) {
    abort_parts((S3 *)driver, (Upload *)handle);
    upload_free((Upload *)handle);
}
