#pragma once
/*
 * contract.h: what store.h promises, as tests that run on any store. contract_test.c runs them on
 * what needs no server, tests/integration/store_s3_test.c on real ones.
 *
 * Every test works below a folder of its own, so a bucket that holds other things will do.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/store/store.h"
#include "tests/unit/unit.h"

typedef struct Contract {
    Store *store;
    Arena *arena;
    char folder[40];
    Error err;
} Contract;

/* The store under test; contract_run() sets it. */
static Store *contract_store;
/* How many keys the test of long lists makes: more than one page, where there are pages. */
static unsigned contract_list_keys = 120;
/* Whether keys may hold spaces: libs3 writes them as `+`. */
static bool contract_spaces = true;

static Str key_of(Contract *c, const char *name) {
    return str_format(c->arena, "%s/%s", c->folder, name);
}

static Str pattern(Contract *c, size_t len, unsigned seed) {
    char *bytes = arena_alloc_bytes(c->arena, len + 1);

    for (size_t i = 0; i < len; i++) bytes[i] = (char)((i * 131 + (i >> 8) * 7 + seed) & 0xff);
    return (Str){bytes, len};
}

static void put(Contract *c, const char *name, Str body) {
    assert_ok(store_put(c->store, key_of(c, name), body, NULL, &c->err), &c->err);
}

static Str get_all(Contract *c, const char *name) {
    Str got = {0};

    assert_ok(store_get(c->store, key_of(c, name), 0, SIZE_MAX, c->arena, &got, NULL, &c->err),
              &c->err);
    return got;
}

#define assert_str(got, want)                                                                      \
    do {                                                                                           \
        Str got_ = (got), want_ = (want);                                                          \
        assert_int_equal(got_.len, want_.len);                                                     \
        assert_true(str_equal(got_, want_));                                                       \
    } while (0)

static bool conditional(const Contract *c) {
    return (store_features(c->store) & STORE_CONDITIONAL_PUT) != 0;
}

/* --- put and get --- */

static void what_was_put_is_read_back_whole(void **state) {
    static const size_t sizes[] = {0, 1, 255, 65536, 1000003};
    Contract *c = *state;

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        Str body = pattern(c, sizes[i], (unsigned)i);

        put(c, "deep/er/object", body);
        assert_str(get_all(c, "deep/er/object"), body);
    }
}

static void a_missing_key_is_not_found(void **state) {
    Contract *c = *state;
    StoreObject object = {.size = 77};
    Str got = STR("untouched");
    Str key = key_of(c, "missing");

    assert_int_equal(store_get(c->store, key, 0, 10, c->arena, &got, &object, &c->err),
                     ERR_NOT_FOUND);
    assert_int_equal(store_get_tail(c->store, key, 10, c->arena, &got, &object, &c->err),
                     ERR_NOT_FOUND);
    assert_int_equal(store_head(c->store, key, &object, &c->err), ERR_NOT_FOUND);
    assert_int_equal(c->err.code, ERR_NOT_FOUND);
    assert_str(got, STR("untouched"));
    assert_int_equal(object.size, 77);
    assert_non_null(strstr(c->err.text, "missing")); /* the key */
}

static void a_folder_of_keys_is_no_key(void **state) {
    Contract *c = *state;
    StoreObject object;

    put(c, "folder/key", STR("v"));
    assert_int_equal(store_head(c->store, key_of(c, "folder"), &object, &c->err), ERR_NOT_FOUND);
    assert_ok(store_delete(c->store, key_of(c, "folder"), &c->err), &c->err);
    assert_str(get_all(c, "folder/key"), STR("v"));
}

static void ranges_end_where_the_object_ends(void **state) {
    Contract *c = *state;
    Str body = pattern(c, 10000, 3), key = key_of(c, "object"), got;
    StoreObject object;

    put(c, "object", body);
    assert_ok(store_get(c->store, key, 0, 1, c->arena, &got, &object, &c->err), &c->err);
    assert_str(got, str_slice(body, 0, 1));
    assert_int_equal(object.size, 10000);
    assert_str(object.key, key);
    assert_ok(store_get(c->store, key, 4000, 3000, c->arena, &got, &object, &c->err), &c->err);
    assert_str(got, str_slice(body, 4000, 3000));
    assert_int_equal(object.size, 10000);
    assert_ok(store_get(c->store, key, 9999, 1, c->arena, &got, NULL, &c->err), &c->err);
    assert_str(got, str_slice(body, 9999, 1));
    assert_ok(store_get(c->store, key, 9990, 4096, c->arena, &got, NULL, &c->err), &c->err);
    assert_str(got, str_from(body, 9990));
    assert_ok(store_get(c->store, key, 9000, SIZE_MAX, c->arena, &got, NULL, &c->err), &c->err);
    assert_str(got, str_from(body, 9000));
    assert_ok(store_get(c->store, key, 10000, 10, c->arena, &got, &object, &c->err), &c->err);
    assert_int_equal(got.len, 0);
    assert_int_equal(object.size, 10000);
    assert_ok(store_get(c->store, key, 17, 0, c->arena, &got, &object, &c->err), &c->err);
    assert_int_equal(got.len, 0);
    assert_int_equal(object.size, 10000);
}

static void an_offset_past_the_end_is_invalid(void **state) {
    Contract *c = *state;
    Str key = key_of(c, "object"), got;

    put(c, "object", STR("0123456789"));
    assert_int_equal(store_get(c->store, key, 11, 1, c->arena, &got, NULL, &c->err), ERR_INVALID);
    assert_int_equal(store_get(c->store, key, 11, 0, c->arena, &got, NULL, &c->err), ERR_INVALID);
    assert_int_equal(store_get(c->store, key, UINT64_MAX, 1, c->arena, &got, NULL, &c->err),
                     ERR_INVALID);
    assert_int_equal(
        store_get(c->store, key, UINT64_MAX - 1, SIZE_MAX, c->arena, &got, NULL, &c->err),
        ERR_INVALID);
}

static void tails_are_the_last_bytes_or_all(void **state) {
    Contract *c = *state;
    Str body = pattern(c, 5000, 9), key = key_of(c, "object"), got;
    StoreObject object;

    put(c, "object", body);
    assert_ok(store_get_tail(c->store, key, 100, c->arena, &got, &object, &c->err), &c->err);
    assert_str(got, str_from(body, 4900));
    assert_int_equal(object.size, 5000);
    assert_ok(store_get_tail(c->store, key, 5000, c->arena, &got, NULL, &c->err), &c->err);
    assert_str(got, body);
    assert_ok(store_get_tail(c->store, key, 65536, c->arena, &got, &object, &c->err), &c->err);
    assert_str(got, body);
    assert_int_equal(object.size, 5000);
    assert_ok(store_get_tail(c->store, key, 0, c->arena, &got, &object, &c->err), &c->err);
    assert_int_equal(got.len, 0);
}

static void an_empty_object_has_empty_ranges(void **state) {
    Contract *c = *state;
    Str key = key_of(c, "empty"), got;
    StoreObject object;

    put(c, "empty", (Str){0});
    assert_ok(store_get(c->store, key, 0, 10, c->arena, &got, &object, &c->err), &c->err);
    assert_int_equal(got.len, 0);
    assert_int_equal(object.size, 0);
    assert_ok(store_get_tail(c->store, key, 10, c->arena, &got, &object, &c->err), &c->err);
    assert_int_equal(got.len, 0);
    assert_int_equal(store_get(c->store, key, 1, 10, c->arena, &got, NULL, &c->err), ERR_INVALID);
}

static void a_budget_that_is_too_small_is_a_limit(void **state) {
    Contract *c = *state;
    CLEANUP(arena_free) Arena *small = arena_new(KIB(64), NULL);
    Str got = STR("untouched");

    put(c, "object", pattern(c, 300000, 1));
    assert_int_equal(
        store_get(c->store, key_of(c, "object"), 0, SIZE_MAX, small, &got, NULL, &c->err),
        ERR_LIMIT);
    assert_str(got, STR("untouched"));
}

static void one_object_has_one_description(void **state) {
    Contract *c = *state;
    Str key = key_of(c, "object"), got;
    StoreTag tag = {0};
    StoreObject head, read, tail;
    int64_t now_ms = clock_now_ms(clock_system());

    assert_ok(store_put(c->store, key, STR("value"), &(StorePut){.ret_tag = &tag}, &c->err),
              &c->err);
    assert_ok(store_head(c->store, key, &head, &c->err), &c->err);
    assert_ok(store_get(c->store, key, 1, 2, c->arena, &got, &read, &c->err), &c->err);
    assert_ok(store_get_tail(c->store, key, 2, c->arena, &got, &tail, &c->err), &c->err);
    assert_string_equal(head.tag.text, tag.text);
    assert_string_equal(read.tag.text, tag.text);
    assert_string_equal(tail.tag.text, tag.text);
    assert_true(tag.text[0] == '"' && tag.text[strlen(tag.text) - 1] == '"');
    assert_int_equal(head.size, 5);
    /* An hour either way: the store's clock may be off, the unit must not. */
    assert_true(llabs(head.modified_ms - now_ms) < 3600 * 1000);
    assert_int_equal(head.modified_ms / 1000, read.modified_ms / 1000);
}

/* --- conditions --- */

static void a_condition_is_honoured_or_refused(void **state) {
    Contract *c = *state;
    Str key = key_of(c, "object");
    StorePut how = {.if_absent = true};
    StoreObject object;

    if (conditional(c)) return;
    assert_int_equal(store_put(c->store, key, STR("v"), &how, &c->err), ERR_UNSUPPORTED);
    assert_int_equal(store_head(c->store, key, &object, &c->err), ERR_NOT_FOUND);
}

static void if_absent_takes_a_key_once(void **state) {
    Contract *c = *state;
    Str key = key_of(c, "taken/once");
    StoreTag first = {0}, second = {"untouched"};

    if (!conditional(c)) return;
    assert_ok(store_put(c->store, key, STR("first"),
                        &(StorePut){.if_absent = true, .ret_tag = &first}, &c->err),
              &c->err);
    assert_int_equal(store_put(c->store, key, STR("second"),
                               &(StorePut){.if_absent = true, .ret_tag = &second}, &c->err),
                     ERR_EXISTS);
    assert_string_equal(second.text, "untouched");
    assert_str(get_all(c, "taken/once"), STR("first"));
    assert_ok(store_delete(c->store, key, &c->err), &c->err);
    assert_ok(store_put(c->store, key, STR("third"), &(StorePut){.if_absent = true}, &c->err),
              &c->err);
}

static void if_match_replaces_only_what_was_seen(void **state) {
    Contract *c = *state;
    Str key = key_of(c, "object");
    StoreTag first, second, third = {"untouched"};
    StorePut how = {.ret_tag = &first};

    if (!conditional(c)) return;
    assert_ok(store_put(c->store, key, STR("one"), &how, &c->err), &c->err);
    how = (StorePut){.if_match = &first, .ret_tag = &second};
    assert_ok(store_put(c->store, key, STR("two"), &how, &c->err), &c->err);
    assert_string_not_equal(first.text, second.text);
    how = (StorePut){.if_match = &first, .ret_tag = &third};
    assert_int_equal(store_put(c->store, key, STR("six"), &how, &c->err), ERR_EXISTS);
    assert_string_equal(third.text, "untouched");
    assert_str(get_all(c, "object"), STR("two"));
    assert_ok(store_delete(c->store, key, &c->err), &c->err);
    how = (StorePut){.if_match = &second};
    assert_int_equal(store_put(c->store, key, STR("two"), &how, &c->err), ERR_EXISTS);
}

typedef struct Racer {
    pthread_t thread;
    Contract *contract;
    Str key;
    unsigned rounds;
    unsigned won;
    bool broken;
} Racer;

static void *race_for_absent(void *context) {
    Racer *racer = context;
    Error err;

    for (unsigned i = 0; i < racer->rounds; i++) {
        char key[128];
        int len = snprintf(key, sizeof key, STR_FMT "-%u", STR_ARG(racer->key), i);
        ErrCode code = store_put(racer->contract->store, (Str){key, (size_t)len}, STR("mine"),
                                 &(StorePut){.if_absent = true}, &err);

        if (code == ERR_OK)
            racer->won++;
        else if (code != ERR_EXISTS)
            racer->broken = true;
    }
    return NULL;
}

/* Adds one to the number in the object, by reading it and replacing just that version. */
static bool add_one(Racer *racer) {
    Store *store = racer->contract->store;

    for (unsigned attempt = 0; attempt < 10000; attempt++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        StoreObject object;
        char text[32];
        uint64_t n;
        ErrCode code;
        Error err;
        Str got;

        if (store_get(store, racer->key, 0, 100, arena, &got, &object, &err) != ERR_OK ||
            !str_to_u64(got, &n))
            return false;
        snprintf(text, sizeof text, "%llu", (unsigned long long)n + 1);
        code =
            store_put(store, racer->key, str_of(text), &(StorePut){.if_match = &object.tag}, &err);
        if (code == ERR_OK) return true;
        if (code != ERR_EXISTS) return false;
    }
    return false;
}

static void *race_for_match(void *context) {
    Racer *racer = context;

    for (unsigned i = 0; i < racer->rounds; i++) {
        if (add_one(racer))
            racer->won++;
        else
            racer->broken = true;
    }
    return NULL;
}

enum { RACERS = 6, ROUNDS = 10 };

static unsigned run_race(Contract *c, const char *name, void *(*run)(void *)) {
    Racer racers[RACERS];
    unsigned won = 0;

    for (unsigned i = 0; i < RACERS; i++) {
        racers[i] = (Racer){.contract = c, .key = key_of(c, name), .rounds = ROUNDS};
        assert_int_equal(pthread_create(&racers[i].thread, NULL, run, &racers[i]), 0);
    }
    for (unsigned i = 0; i < RACERS; i++) {
        pthread_join(racers[i].thread, NULL);
        assert_false(racers[i].broken);
        won += racers[i].won;
    }
    return won;
}

static void of_many_writers_one_takes_an_absent_key(void **state) {
    Contract *c = *state;

    if (!conditional(c)) return;
    assert_int_equal(run_race(c, "race/key", race_for_absent), ROUNDS);
}

static void if_match_loses_no_update(void **state) {
    Contract *c = *state;
    Str want;

    if (!conditional(c)) return;
    put(c, "counter", STR("0"));
    assert_int_equal(run_race(c, "counter", race_for_match), RACERS * ROUNDS);
    want = str_format(c->arena, "%d", RACERS * ROUNDS);
    assert_str(get_all(c, "counter"), want);
}

/* --- list and delete --- */

typedef struct Listed {
    Contract *contract;
    Buf names; /* the keys without the test's folder, each with a newline */
    size_t count;
    ErrCode end_with;
    bool remove;
} Listed;

static ErrCode note(void *context, const StoreObject *object, Error *err) {
    Listed *listed = context;
    size_t folder = strlen(listed->contract->folder) + 1;

    listed->count++;
    buf_append_str(&listed->names, str_from(object->key, folder));
    buf_append_byte(&listed->names, '\n');
    if (listed->remove) TRY(store_delete(listed->contract->store, object->key, err));
    return listed->end_with == ERR_OK ? ERR_OK : error_set(err, listed->end_with, "enough");
}

static Str list_of(Contract *c, const char *prefix) {
    Listed listed = {.contract = c};
    Str names;

    buf_init(&listed.names, 0);
    assert_ok(store_list(c->store, key_of(c, prefix), note, &listed, &c->err), &c->err);
    names = str_dup(c->arena, buf_str(&listed.names));
    buf_done(&listed.names);
    return names;
}

static void a_list_is_in_byte_order_of_whole_keys(void **state) {
    static const char *const names[] = {"a/b",  "a-b",     "a.b",           "a/b.c/d", "a0",
                                        "B",    "a/b c+d", "a/b%2Fe",       "a/&<>'",  "z/\xc3\xa9",
                                        "a/=?", "z/e",     "z/\xe2\x82\xac"};
    Contract *c = *state;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!contract_spaces && strchr(names[i], ' ') != NULL) continue;
        put(c, names[i], str_of(names[i]));
        assert_str(get_all(c, names[i]), str_of(names[i]));
    }
    assert_str(list_of(c, ""),
               contract_spaces ? STR("B\na-b\na.b\na/&<>'\na/=?\na/b\na/b c+d\na/b%2Fe\na/b.c/d\n"
                                     "a0\nz/e\nz/\xc3\xa9\nz/\xe2\x82\xac\n")
                               : STR("B\na-b\na.b\na/&<>'\na/=?\na/b\na/b%2Fe\na/b.c/d\n"
                                     "a0\nz/e\nz/\xc3\xa9\nz/\xe2\x82\xac\n"));
    assert_str(list_of(c, "a/b"), contract_spaces ? STR("a/b\na/b c+d\na/b%2Fe\na/b.c/d\n")
                                                  : STR("a/b\na/b%2Fe\na/b.c/d\n"));
    if (contract_spaces) assert_str(list_of(c, "a/b "), STR("a/b c+d\n"));
    assert_str(list_of(c, "z/"), STR("z/e\nz/\xc3\xa9\nz/\xe2\x82\xac\n"));
    assert_str(list_of(c, "a/b.c/d"), STR("a/b.c/d\n"));
    assert_str(list_of(c, "nothing/here"), STR(""));
    assert_str(list_of(c, "a/b/"), STR("")); /* a/b is an object */
}

static ErrCode compare_with_head(void *context, const StoreObject *object, Error *err) {
    Contract *c = context;
    StoreObject head = {0};

    TRY(store_head(c->store, object->key, &head, err));
    assert_int_equal(object->size, head.size);
    assert_string_equal(object->tag.text, head.tag.text);
    assert_int_equal(object->modified_ms / 1000, head.modified_ms / 1000);
    return ERR_OK;
}

static void a_list_describes_objects_as_head_does(void **state) {
    Contract *c = *state;

    put(c, "one", STR("1"));
    put(c, "three/four", STR("333"));
    assert_ok(store_list(c->store, key_of(c, ""), compare_with_head, c, &c->err), &c->err);
}

static void a_long_list_is_whole(void **state) {
    Contract *c = *state;
    Listed listed = {.contract = c};
    char name[32];

    buf_init(&listed.names, 0);
    for (unsigned i = 0; i < contract_list_keys; i++) {
        snprintf(name, sizeof name, "%u/%05u", i / 700, i);
        put(c, name, (Str){0});
    }
    assert_ok(store_list(c->store, key_of(c, ""), note, &listed, &c->err), &c->err);
    assert_int_equal(listed.count, contract_list_keys);
    buf_done(&listed.names);
}

static void an_error_of_each_ends_the_list(void **state) {
    Contract *c = *state;
    Listed listed = {.contract = c, .end_with = ERR_CANCELLED};

    put(c, "a", STR("1"));
    put(c, "b", STR("2"));
    buf_init(&listed.names, 0);
    assert_int_equal(store_list(c->store, key_of(c, ""), note, &listed, &c->err), ERR_CANCELLED);
    assert_int_equal(listed.count, 1);
    assert_string_equal(c->err.text, "enough");
    buf_done(&listed.names);
}

static void what_is_listed_may_be_deleted_meanwhile(void **state) {
    Contract *c = *state;
    Listed listed = {.contract = c, .remove = true};

    put(c, "a/1", STR("1"));
    put(c, "a/2", STR("2"));
    put(c, "b/3", STR("3"));
    buf_init(&listed.names, 0);
    assert_ok(store_list(c->store, key_of(c, ""), note, &listed, &c->err), &c->err);
    assert_int_equal(listed.count, 3);
    assert_str(list_of(c, ""), STR(""));
    buf_done(&listed.names);
}

static void deleting_is_done_once_and_fine_twice(void **state) {
    Contract *c = *state;
    Str key = key_of(c, "some/where/object");
    StoreObject object;

    put(c, "some/where/object", STR("v"));
    assert_ok(store_delete(c->store, key, &c->err), &c->err);
    assert_int_equal(store_head(c->store, key, &object, &c->err), ERR_NOT_FOUND);
    assert_ok(store_delete(c->store, key, &c->err), &c->err);
    put(c, "some/where/else", STR("w"));
    assert_str(get_all(c, "some/where/else"), STR("w"));
}

static void hostile_keys_are_refused(void **state) {
    static const Str keys[] = {
        STR_INIT(""),
        STR_INIT("/"),
        STR_INIT("/etc/passwd"),
        STR_INIT("a/"),
        STR_INIT("a//b"),
        STR_INIT("."),
        STR_INIT(".."),
        STR_INIT("../a"),
        STR_INIT("a/../b"),
        STR_INIT("a/.."),
        STR_INIT("a/./b"),
        STR_INIT("a\0b"),
        STR_INIT("a\nb"),
        STR_INIT("a\x7f"),
        STR_INIT("\xff\xfe"),
        STR_INIT("a/\xc3"),
        STR_INIT(".moraine-lock"),
        STR_INIT("a/.moraine-tmp-1"),
    };
    Contract *c = *state;
    char longest[1000];
    StoreObject object;
    Str got;

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        StoreUpload *upload = NULL;

        assert_int_equal(store_put(c->store, keys[i], STR("v"), NULL, &c->err), ERR_INVALID);
        assert_int_equal(store_get(c->store, keys[i], 0, 1, c->arena, &got, NULL, &c->err),
                         ERR_INVALID);
        assert_int_equal(store_head(c->store, keys[i], &object, &c->err), ERR_INVALID);
        assert_int_equal(store_delete(c->store, keys[i], &c->err), ERR_INVALID);
        assert_int_equal(store_upload_begin(c->store, keys[i], &upload, &c->err), ERR_INVALID);
        assert_null(upload);
    }
    assert_int_equal(store_list(c->store, STR("../"), compare_with_head, c, &c->err), ERR_INVALID);
    assert_int_equal(store_list(c->store, STR("a/.."), compare_with_head, c, &c->err), ERR_INVALID);
    assert_int_equal(store_list(c->store, STR("/"), compare_with_head, c, &c->err), ERR_INVALID);
    memset(longest, 'x', sizeof longest);
    for (size_t i = 100; i < sizeof longest; i += 100) longest[i] = '/';
    assert_int_equal(store_put(c->store, (Str){longest, 901}, STR("v"), NULL, &c->err),
                     ERR_INVALID);
    memset(longest, 'x', 256);
    assert_int_equal(store_put(c->store, (Str){longest, 256}, STR("v"), NULL, &c->err),
                     ERR_INVALID);
}

static void long_keys_work(void **state) {
    Contract *c = *state;
    char name[800];

    memset(name, 'k', sizeof name);
    for (size_t i = 200; i < sizeof name; i += 201) name[i] = '/';
    name[sizeof name - 1] = '\0';
    put(c, name, STR("long"));
    assert_str(get_all(c, name), STR("long"));
    assert_str(list_of(c, ""), str_format(c->arena, "%s\n", name));
}

/* --- uploads --- */

static StoreUpload *begin(Contract *c, const char *name) {
    StoreUpload *upload = NULL;

    assert_ok(store_upload_begin(c->store, key_of(c, name), &upload, &c->err), &c->err);
    return upload;
}

static void an_upload_is_its_pieces_in_order(void **state) {
    /* Below one part of S3's multipart upload, just one, some, and pieces across them. */
    static const struct {
        size_t piece;
        unsigned count;
    } cases[] = {{0, 0}, {1, 3}, {MIB(8), 1}, {MIB(8), 2}, {700001, 30}, {MIB(9), 2}};
    Contract *c = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        StoreUpload *upload = begin(c, "up/loaded");
        Str whole = pattern(c, cases[i].piece * cases[i].count, (unsigned)i);
        StoreTag tag = {0};
        StoreObject head;

        for (unsigned n = 0; n < cases[i].count; n++)
            assert_ok(store_upload_write(
                          upload, str_slice(whole, n * cases[i].piece, cases[i].piece), &c->err),
                      &c->err);
        assert_ok(store_upload_finish(upload, &(StorePut){.ret_tag = &tag}, &c->err), &c->err);
        assert_str(get_all(c, "up/loaded"), whole);
        assert_ok(store_head(c->store, key_of(c, "up/loaded"), &head, &c->err), &c->err);
        assert_string_equal(head.tag.text, tag.text);
    }
}

static void an_upload_is_invisible_before_its_end(void **state) {
    Contract *c = *state;
    StoreUpload *upload = begin(c, "object");
    StoreObject object;

    assert_ok(store_upload_write(upload, pattern(c, MIB(8) + 1, 1), &c->err), &c->err);
    assert_int_equal(store_head(c->store, key_of(c, "object"), &object, &c->err), ERR_NOT_FOUND);
    assert_str(list_of(c, ""), STR(""));
    store_upload_abort(upload);
    assert_int_equal(store_head(c->store, key_of(c, "object"), &object, &c->err), ERR_NOT_FOUND);
    upload = begin(c, "object");
    store_upload_abort(upload);
    assert_str(list_of(c, ""), STR(""));
}

static void an_upload_honours_conditions(void **state) {
    static const size_t sizes[] = {10, MIB(8) + 10};
    Contract *c = *state;

    if (!conditional(c)) return;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        Str body = pattern(c, sizes[i], 5);
        const char *name = i == 0 ? "small" : "large";
        StoreUpload *upload = begin(c, name);
        StoreTag tag = {0}, other;

        assert_ok(store_upload_write(upload, body, &c->err), &c->err);
        assert_ok(
            store_upload_finish(upload, &(StorePut){.if_absent = true, .ret_tag = &tag}, &c->err),
            &c->err);
        upload = begin(c, name);
        assert_ok(store_upload_write(upload, body, &c->err), &c->err);
        assert_int_equal(
            store_upload_finish(upload, &(StorePut){.if_absent = true, .ret_tag = &other}, &c->err),
            ERR_EXISTS);
        upload = begin(c, name);
        assert_ok(store_upload_write(upload, body, &c->err), &c->err);
        assert_ok(store_upload_write(upload, STR("!"), &c->err), &c->err);
        assert_ok(
            store_upload_finish(upload, &(StorePut){.if_match = &tag, .ret_tag = &other}, &c->err),
            &c->err);
        upload = begin(c, name);
        assert_ok(store_upload_write(upload, body, &c->err), &c->err);
        assert_int_equal(store_upload_finish(upload, &(StorePut){.if_match = &tag}, &c->err),
                         ERR_EXISTS);
        assert_int_equal(get_all(c, name).len, sizes[i] + 1);
    }
}

static int contract_setup(void **state) {
    Contract *c = calloc(1, sizeof *c);

    if (c == NULL) return -1;
    c->store = contract_store;
    c->arena = arena_new(0, NULL);
    snprintf(c->folder, sizeof c->folder, "contract-%016llx", (unsigned long long)random_u64());
    *state = c;
    return 0;
}

static ErrCode delete_it(void *context, const StoreObject *object, Error *err) {
    return store_delete(context, object->key, err);
}

static int contract_teardown(void **state) {
    Contract *c = *state;
    Error err;

    if (store_list(c->store, str_of(c->folder), delete_it, c->store, &err) != ERR_OK)
        print_error("cleaning up: %s\n", err.text);
    arena_free(c->arena);
    free(c);
    return 0;
}

#define CONTRACT_TEST(test) cmocka_unit_test_setup_teardown(test, contract_setup, contract_teardown)

/* Runs them all on `store` and frees it. Returns how many failed. */
static int contract_run(const char *name, Store *store) {
    const struct CMUnitTest contract_tests[] = {
        CONTRACT_TEST(what_was_put_is_read_back_whole),
        CONTRACT_TEST(a_missing_key_is_not_found),
        CONTRACT_TEST(a_folder_of_keys_is_no_key),
        CONTRACT_TEST(ranges_end_where_the_object_ends),
        CONTRACT_TEST(an_offset_past_the_end_is_invalid),
        CONTRACT_TEST(tails_are_the_last_bytes_or_all),
        CONTRACT_TEST(an_empty_object_has_empty_ranges),
        CONTRACT_TEST(a_budget_that_is_too_small_is_a_limit),
        CONTRACT_TEST(one_object_has_one_description),
        CONTRACT_TEST(a_condition_is_honoured_or_refused),
        CONTRACT_TEST(if_absent_takes_a_key_once),
        CONTRACT_TEST(if_match_replaces_only_what_was_seen),
        CONTRACT_TEST(of_many_writers_one_takes_an_absent_key),
        CONTRACT_TEST(if_match_loses_no_update),
        CONTRACT_TEST(a_list_is_in_byte_order_of_whole_keys),
        CONTRACT_TEST(a_list_describes_objects_as_head_does),
        CONTRACT_TEST(a_long_list_is_whole),
        CONTRACT_TEST(an_error_of_each_ends_the_list),
        CONTRACT_TEST(what_is_listed_may_be_deleted_meanwhile),
        CONTRACT_TEST(deleting_is_done_once_and_fine_twice),
        CONTRACT_TEST(hostile_keys_are_refused),
        CONTRACT_TEST(long_keys_work),
        CONTRACT_TEST(an_upload_is_its_pieces_in_order),
        CONTRACT_TEST(an_upload_is_invisible_before_its_end),
        CONTRACT_TEST(an_upload_honours_conditions),
    };
    int failed;

    if (store == NULL) return 1;
    contract_store = store;
    failed = _cmocka_run_group_tests(name, contract_tests, ARRAY_LEN(contract_tests), NULL, NULL);
    store_free(store);
    return failed;
}
