/*
 * s3_list.c: ListObjectsV2, page by page. Keys come percent-encoded (encoding-type=url), since XML
 * can't hold every byte.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
 */
#include <time.h>

#include "common/base/buf.h"
#include "common/store/s3.h"
#include "common/store/s3_xml.h"

enum {
    PAGE_BYTES_MAX = 16 << 20, /* a thousand keys of a thousand bytes, encoded, fit many times */
    PAGE_KEYS_MAX = 10000,     /* a thousand are asked for */
};

typedef struct Listing {
    StoreObject *objects; /* keys as the store wrote them */
    size_t count;
    size_t capacity;
    StoreObject now; /* the one being read */
    bool encoded;
    bool truncated;
    Str token; /* of the next page */
} Listing;

/* Digits [at, at + len) of `text`; -1 when they aren't. */
static int digits(Str text, size_t at, size_t len) {
    uint64_t value;

    return str_to_u64(str_slice(text, at, len), &value) ? (int)value : -1;
}

/* 2009-10-12T17:50:30.000Z; 0 when it is something else. */
static int64_t parse_time(Str text) {
    int year = digits(text, 0, 4), month = digits(text, 5, 2), day = digits(text, 8, 2);
    int hour = digits(text, 11, 2), minute = digits(text, 14, 2), second = digits(text, 17, 2);
    struct tm tm;

    if (text.len < 19 || year < 0 || month < 0 || day < 0 || hour < 0 || minute < 0 || second < 0)
        return 0;
    tm = (struct tm){.tm_year = year - 1900,
                     .tm_mon = month - 1,
                     .tm_mday = day,
                     .tm_hour = hour,
                     .tm_min = minute,
                     .tm_sec = second};
    return (int64_t)timegm(&tm) * 1000;
}

static ErrCode add(Listing *list, Arena *arena, Error *err) {
    if (list->count == PAGE_KEYS_MAX)
        return error_set(err, ERR_CORRUPT, "a page of more than %d keys", PAGE_KEYS_MAX);
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 1000 : PAGE_KEYS_MAX;
        StoreObject *objects = ARENA_ARRAY(arena, StoreObject, capacity);

        if (objects == NULL) return error_set(err, ERR_LIMIT, "out of memory");
        if (list->count > 0) memcpy(objects, list->objects, list->count * sizeof *objects);
        list->objects = objects;
        list->capacity = capacity;
    }
    list->objects[list->count++] = list->now;
    list->now = (StoreObject){0};
    return ERR_OK;
}

static ErrCode take(Listing *list, const Xml *xml, Arena *arena, Error *err) {
    Str text = xml_text(xml);

    if (xml_at(xml, "ListBucketResult/Contents")) return add(list, arena, err);
    if (xml_at(xml, "ListBucketResult/Contents/Key")) {
        list->now.key = str_dup(arena, text);
        if (list->now.key.ptr == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    } else if (xml_at(xml, "ListBucketResult/Contents/Size")) {
        if (!str_to_u64(text, &list->now.size))
            return error_set(err, ERR_CORRUPT, "a size that is no number");
    } else if (xml_at(xml, "ListBucketResult/Contents/LastModified")) {
        list->now.modified_ms = parse_time(text);
    } else if (xml_at(xml, "ListBucketResult/Contents/ETag")) {
        TRY(s3_tag(text, &list->now.tag, err));
    } else if (xml_at(xml, "ListBucketResult/IsTruncated")) {
        list->truncated = str_equal_nocase(text, STR("true"));
    } else if (xml_at(xml, "ListBucketResult/EncodingType")) {
        list->encoded = str_equal_nocase(text, STR("url"));
    } else if (xml_at(xml, "ListBucketResult/NextContinuationToken")) {
        list->token = str_dup(arena, text);
        if (list->token.ptr == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    }
    return ERR_OK;
}

/* In place: what comes out is never longer. */
static bool decode(Str *key) {
    char *to = (char *)key->ptr; /* our own copy, in the arena */
    size_t len = 0;

    for (size_t i = 0; i < key->len; i++) {
        char c = key->ptr[i];

        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < key->len ? s3_hex_digit(key->ptr[i + 1]) : -1;
            int low = i + 2 < key->len ? s3_hex_digit(key->ptr[i + 2]) : -1;

            if (high < 0 || low < 0) return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        to[len++] = c;
    }
    key->len = len;
    return true;
}

/* The page's root may be another than a list's: a proxy's login page, say. */
static ErrCode parse_page(Str body, Listing *list, Arena *arena, Error *err) {
    bool is_list = false;
    XmlEvent event;
    Xml xml;

    xml_init(&xml, body);
    while ((event = xml_next(&xml)) == XML_OPEN || event == XML_CLOSE) {
        is_list |= xml_at(&xml, "ListBucketResult");
        if (event == XML_CLOSE) TRY(take(list, &xml, arena, err));
    }
    if (event == XML_BAD || !is_list)
        return error_set(err, ERR_CORRUPT, "the store's list is not the XML it should be");
    for (size_t i = 0; list->encoded && i < list->count; i++)
        if (!decode(&list->objects[i].key))
            return error_set(err, ERR_CORRUPT, "a key in the list is not percent-encoded");
    if (list->truncated && list->token.len == 0)
        return error_set(err, ERR_CORRUPT, "a list that goes on, but not where");
    return ERR_OK;
}

typedef struct PageCheck {
    Arena *arena;
    Listing list;
} PageCheck;

/* Parsing is the check: half a page, or somebody else's, is asked for again. */
static ErrCode check_page(void *context, const HttpAnswer *answer, S3Failure *failure, Error *err) {
    PageCheck *page = context;

    (void)failure;
    page->list = (Listing){0};
    return parse_page(answer->body, &page->list, page->arena, err);
}

static Str query_of(const S3 *s3, Str prefix, Str token, Arena *arena) {
    CLEANUP_IN_PLACE(buf_done) Buf query;

    buf_init(&query, KIB(64));
    if (token.len > 0) {
        buf_append_str(&query, STR("continuation-token="));
        s3_encode(&query, token, 0);
        buf_append_byte(&query, '&');
    }
    buf_append_str(&query, STR("encoding-type=url&list-type=2&max-keys=1000&prefix="));
    s3_encode(&query, s3->address.prefix, 0);
    s3_encode(&query, prefix, 0);
    return buf_failed(&query) ? (Str){0} : str_dup(arena, buf_str(&query));
}

static ErrCode hand_out(const S3 *s3, const Listing *list,
                        ErrCode (*each)(void *context, const StoreObject *object, Error *err),
                        void *context, Error *err) {
    for (size_t i = 0; i < list->count; i++) {
        StoreObject object = list->objects[i];

        if (!str_starts_with(object.key, s3->address.prefix))
            return error_set(err, ERR_CORRUPT, "the store listed a key that was not asked for");
        object.key = str_from(object.key, s3->address.prefix.len);
        TRY(each(context, &object, err));
    }
    return ERR_OK;
}

ErrCode s3_list(StoreDriver *driver, Str prefix,
                ErrCode (*each)(void *context, const StoreObject *object, Error *err),
                void *context, Error *err) {
    CLEANUP(arena_free) Arena *last_page = NULL; /* has the token that asks for the next one */
    S3 *s3 = (S3 *)driver;
    Str token = {0};

    for (;;) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        PageCheck page = {.arena = arena};
        S3Request request = {.method = STR("GET"),
                             .query = query_of(s3, prefix, token, arena),
                             .answer_bytes_max = PAGE_BYTES_MAX,
                             .check = check_page,
                             .check_context = &page};
        HttpAnswer answer;

        if (request.query.ptr == NULL) return error_set(err, ERR_LIMIT, "out of memory");
        TRY(s3_send(s3, &request, arena, &answer, NULL, err));
        TRY(hand_out(s3, &page.list, each, context, err));
        if (!page.list.truncated) return ERR_OK;
        if (str_equal(page.list.token, token))
            return error_set(err, ERR_CORRUPT, "a list that goes on where it already was");
        token = page.list.token;
        arena_free(last_page);
        last_page = arena;
        arena = NULL;
    }
}
