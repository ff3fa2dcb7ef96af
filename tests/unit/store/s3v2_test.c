/* What the driver on libs3 makes of stores that fail or lie. */
#include <stdio.h>
#include <stdlib.h>

#include "common/store/store.h"
#include "tests/unit/store/script.h"

static Script script;
static Store *store;
static Arena *arena;
static Error err;
static Str got;

#define TAG "ETag: \"781e5e245d69b566979b86e28d23f2c7\"\r\n"
#define HEAD_10 "HTTP/1.1 200 OK\r\n" TAG "Content-Length: 10\r\n\r\n"
#define NO_BODY "Content-Length: 0\r\n\r\n"
#define BODY(n, text) "HTTP/1.1 206 Partial\r\n" TAG "Content-Length: " #n "\r\n\r\n" text

static void play(const Step *steps, size_t count) {
    StoreOptions options = {.url = STR("s3://bucket/pre"),
                            .access_key = STR("access"),
                            .secret_key = STR("secret"),
                            .signature = STR("v2"),
                            .attempts_max = 2};

    script_start(&script, steps, count);
    options.endpoint = str_of(script.endpoint);
    store = NULL;
    arena = arena_new(0, NULL);
    got = STR("untouched");
    assert_ok(store_open(&options, &store, &err), &err);
}

static void over(void) {
    store_free(store);
    arena_free(arena);
    script_end(&script);
}

static ErrCode get(uint64_t offset, size_t length) {
    return store_get(store, STR("k"), offset, length, arena, &got, NULL, &err);
}

static void a_put_is_tried_again(void **state) {
    static const Step steps[] = {
        {{"PUT /bucket/pre/k",
          "Content-MD5: eB5eJF1ptWaXm4bijSPyxw==", "Authorization: AWS access:"},
         "HTTP/1.1 503 Slow\r\n" NO_BODY,
         0,
         THEN_CLOSE},
        {{"HEAD "}, "HTTP/1.1 404 Not Found\r\n" NO_BODY, 0, THEN_CLOSE},
        {{"PUT /bucket/pre/k"}, "HTTP/1.1 200 OK\r\n" TAG NO_BODY, 0, THEN_CLOSE},
        {{"HEAD /bucket/pre/k"}, HEAD_10, 0, THEN_CLOSE}};
    StoreTag tag;

    (void)state;
    play(steps, ARRAY_LEN(steps));
    assert_ok(store_put(store, STR("k"), STR("0123456789"), &(StorePut){.ret_tag = &tag}, &err),
              &err);
    assert_string_equal(tag.text, "\"781e5e245d69b566979b86e28d23f2c7\"");
    over();
}

static void a_body_cut_short_is_tried_again(void **state) {
    static const Step steps[] = {{{"HEAD /bucket/pre/k"}, HEAD_10, 0, THEN_CLOSE},
                                 {{"GET /bucket/pre/k", "Range: bytes=2-4", "If-Match: \"781e"},
                                  BODY(3, "2"),
                                  0,
                                  THEN_CLOSE},
                                 {{"HEAD "}, HEAD_10, 0, THEN_CLOSE},
                                 {{"GET "}, BODY(3, "234"), 0, THEN_CLOSE}};

    (void)state;
    play(steps, ARRAY_LEN(steps));
    assert_ok(get(2, 3), &err);
    assert_true(str_equal(got, STR("234")));
    over();
}

static void a_body_of_another_length_is_corrupt(void **state) {
    static const char *const answers[] = {BODY(2, "23"), BODY(10, "0123456789")};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        Step steps[] = {{{"HEAD "}, HEAD_10, 0, THEN_CLOSE},
                        {{"GET "}, answers[i], 0, THEN_CLOSE},
                        {{"HEAD "}, HEAD_10, 0, THEN_CLOSE},
                        {{"GET "}, answers[i], 0, THEN_CLOSE}};

        play(steps, ARRAY_LEN(steps));
        assert_int_equal(get(2, 3), ERR_CORRUPT);
        assert_true(str_equal(got, STR("untouched")));
        over();
    }
}

static ErrCode count_it(void *context, const StoreObject *object, Error *e) {
    (void)object, (void)e;
    ++*(unsigned *)context;
    return ERR_OK;
}

static void a_list_that_is_garbage_is_an_error(void **state) {
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html><p>log in</html>",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<ListBucketResult><Contents><Key>other/1"
        "</Key><Size>1</Size></Contents></ListBucketResult>"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        Step steps[] = {{{"GET /bucket"}, answers[i], 0, THEN_CLOSE},
                        {{"GET /bucket"}, answers[i], 0, THEN_CLOSE}};
        unsigned count = 0;

        /* The last one is well-formed, so it isn't asked for again. */
        play(steps, i == 1 ? 1 : 2);
        assert_int_equal(store_list(store, STR("a/"), count_it, &count, &err), ERR_CORRUPT);
        assert_int_equal(count, 0);
        over();
    }
}

static void an_error_without_words_is_an_error(void **state) {
    static const char no[] = "HTTP/1.1 503 Slow\r\n" NO_BODY;
    static const Step steps[] = {{{"GET "}, no, 0, THEN_CLOSE},    {{"GET "}, no, 0, THEN_KEEP},
                                 {{"DELETE "}, no, 0, THEN_CLOSE}, {{"DELETE "}, no, 0, THEN_KEEP},
                                 {{"HEAD "}, no, 0, THEN_CLOSE},   {{"HEAD "}, no, 0, THEN_KEEP}};
    unsigned count = 0;

    (void)state;
    play(steps, ARRAY_LEN(steps));
    assert_int_equal(store_list(store, STR("a/"), count_it, &count, &err), ERR_UNAVAILABLE);
    assert_int_equal(store_delete(store, STR("k"), &err), ERR_UNAVAILABLE);
    assert_int_equal(get(0, 1), ERR_UNAVAILABLE);
    over();
}

static void keys_that_libs3_would_change_are_refused(void **state) {
    (void)state;
    play(NULL, 0);
    assert_int_equal(store_put(store, STR("a b"), STR("v"), NULL, &err), ERR_INVALID);
    over();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_put_is_tried_again),
        cmocka_unit_test(a_body_cut_short_is_tried_again),
        cmocka_unit_test(a_body_of_another_length_is_corrupt),
        cmocka_unit_test(a_list_that_is_garbage_is_an_error),
        cmocka_unit_test(an_error_without_words_is_an_error),
        cmocka_unit_test(keys_that_libs3_would_change_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
