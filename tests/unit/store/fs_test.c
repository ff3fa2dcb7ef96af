/* What a folder as a store does beyond the contract: leftovers, other people's files, processes. */
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/store/store.h"
#include "tests/unit/unit.h"

typedef struct Folder {
    char path[64];
    Store *store;
    Arena *arena;
    Error err;
} Folder;

static Store *open_folder(const char *path, const Clock *clock) {
    char url[128];
    Store *store = NULL;
    Error err;

    snprintf(url, sizeof url, "file://%s", path);
    assert_ok(store_open(&(StoreOptions){.url = str_of(url), .clock = clock}, &store, &err), &err);
    return store;
}

static int setup(void **state) {
    Folder *f = calloc(1, sizeof *f);

    snprintf(f->path, sizeof f->path, "/tmp/moraine-fs-XXXXXX");
    if (mkdtemp(f->path) == NULL) return -1;
    f->store = open_folder(f->path, NULL);
    f->arena = arena_new(0, NULL);
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *ftw) {
    (void)info, (void)kind, (void)ftw;
    return remove(path);
}

static int teardown(void **state) {
    Folder *f = *state;

    store_free(f->store);
    arena_free(f->arena);
    nftw(f->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static const char *path_in(Folder *f, const char *name) {
    return str_format(f->arena, "%s/%s", f->path, name).ptr;
}

static void put(Folder *f, const char *key) {
    assert_ok(store_put(f->store, str_of(key), str_of(key), NULL, &f->err), &f->err);
}

/* An empty file; `age_s` old. */
static int make_file(Folder *f, const char *name, int age_s) {
    int fd = open(path_in(f, name), O_CREAT | O_WRONLY, 0644);
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};

    assert_true(fd >= 0);
    if (age_s > 0) {
        times[0] = times[1] =
            (struct timespec){.tv_sec = clock_now_ms(clock_system()) / 1000 - age_s};
        assert_int_equal(futimens(fd, times), 0);
    }
    return fd;
}

static ErrCode note(void *context, const StoreObject *object, Error *err) {
    (void)err;
    buf_append_str(context, object->key);
    buf_append_byte(context, ' ');
    return ERR_OK;
}

static void assert_list(Folder *f, const char *prefix, const char *want) {
    Buf names;

    buf_init(&names, 0);
    assert_ok(store_list(f->store, str_of(prefix), note, &names, &f->err), &f->err);
    buf_append_byte(&names, '\0');
    assert_string_equal(names.ptr, want);
    buf_done(&names);
}

static void leftovers_are_hidden_and_old_ones_removed(void **state) {
    Folder *f = *state;
    int held;

    put(f, "a/key");
    close(make_file(f, "a/.moraine-tmp-young", 0));
    close(make_file(f, "a/.moraine-tmp-dead", 7200));
    held = make_file(f, "a/.moraine-tmp-slow", 7200);
    assert_int_equal(flock(held, LOCK_EX), 0);
    assert_list(f, "", "a/key ");
    assert_int_equal(access(path_in(f, "a/.moraine-tmp-young"), F_OK), 0);
    assert_int_equal(access(path_in(f, "a/.moraine-tmp-slow"), F_OK), 0);
    assert_int_not_equal(access(path_in(f, "a/.moraine-tmp-dead"), F_OK), 0);
    close(held);
    assert_list(f, "a/", "a/key ");
    assert_int_not_equal(access(path_in(f, "a/.moraine-tmp-slow"), F_OK), 0);
}

static void a_failed_put_leaves_nothing(void **state) {
    Folder *f = *state;
    StorePut how = {.if_absent = true};

    put(f, "a/key");
    assert_int_equal(store_put(f->store, STR("a/key"), STR("v"), &how, &f->err), ERR_EXISTS);
    assert_ok(store_delete(f->store, STR("a/key"), &f->err), &f->err);
    assert_int_not_equal(access(path_in(f, "a"), F_OK), 0); /* so it was empty */
}

static void an_object_is_no_folder_and_a_folder_no_object(void **state) {
    Folder *f = *state;
    StoreObject object;

    put(f, "a/key");
    assert_int_equal(store_put(f->store, STR("a/key/below"), STR("v"), NULL, &f->err), ERR_INVALID);
    assert_int_equal(store_put(f->store, STR("a"), STR("v"), NULL, &f->err), ERR_INVALID);
    assert_int_equal(store_head(f->store, STR("a/key/below"), &object, &f->err), ERR_NOT_FOUND);
    assert_ok(store_delete(f->store, STR("a/key/below"), &f->err), &f->err);
    assert_list(f, "", "a/key ");
}

static void what_is_no_object_is_left_out(void **state) {
    Folder *f = *state;
    StoreObject object;

    put(f, "a/key");
    put(f, "other/key");
    assert_int_equal(mkfifo(path_in(f, "a/fifo"), 0600), 0);
    assert_int_equal(mkdir(path_in(f, "a/empty"), 0700), 0);
    close(make_file(f, "a/new\nline", 0));
    assert_int_equal(symlink("..", path_in(f, "a/up")), 0);
    assert_int_equal(symlink(path_in(f, "other"), path_in(f, "link")), 0);
    assert_int_equal(symlink("/nowhere/at/all", path_in(f, "broken")), 0);
    assert_list(f, "", "a/key link/key other/key ");
    assert_int_equal(store_head(f->store, STR("a/fifo"), &object, &f->err), ERR_NOT_FOUND);
    assert_int_equal(store_head(f->store, STR("broken"), &object, &f->err), ERR_NOT_FOUND);
}

static void what_one_store_wrote_another_reads(void **state) {
    Folder *f = *state;
    CLEANUP(store_free) Store *other = open_folder(f->path, NULL);
    StoreTag tag;
    StoreObject object;

    assert_ok(store_put(f->store, STR("k"), STR("v"), &(StorePut){.ret_tag = &tag}, &f->err),
              &f->err);
    assert_ok(store_head(other, STR("k"), &object, &f->err), &f->err);
    assert_string_equal(object.tag.text, tag.text);
    assert_ok(store_put(other, STR("k"), STR("w"), &(StorePut){.if_match = &tag}, &f->err),
              &f->err);
}

static void the_same_bytes_put_again_are_another_version(void **state) {
    Folder *f = *state;
    StoreTag tags[100];

    for (size_t i = 0; i < ARRAY_LEN(tags); i++) {
        assert_ok(
            store_put(f->store, STR("k"), STR("v"), &(StorePut){.ret_tag = &tags[i]}, &f->err),
            &f->err);
        for (size_t n = 0; n < i; n++) assert_string_not_equal(tags[n].text, tags[i].text);
    }
}

static void the_time_is_the_clocks(void **state) {
    Folder *f = *state;
    ManualClock clock;
    CLEANUP(store_free) Store *store = NULL;
    StoreObject object;

    manual_clock_init(&clock, 1700000000123);
    store = open_folder(f->path, &clock.clock);
    assert_ok(store_put(store, STR("k"), STR("v"), NULL, &f->err), &f->err);
    assert_ok(store_head(store, STR("k"), &object, &f->err), &f->err);
    assert_int_equal(object.modified_ms, 1700000000123);
}

enum { PROCESSES = 4, ROUNDS = 25 };

/* Adds one to a number, again and again, in a process of its own. */
static void count_up(const char *path) {
    Store *store = open_folder(path, NULL);
    Error err;

    for (unsigned done = 0; done < ROUNDS;) {
        Arena *arena = arena_new(0, NULL);
        StoreObject object;
        char text[32];
        uint64_t n;
        Str got;
        ErrCode code;

        if (store_get(store, STR("deep/counter"), 0, 100, arena, &got, &object, &err) != ERR_OK ||
            !str_to_u64(got, &n))
            _exit(1);
        snprintf(text, sizeof text, "%llu", (unsigned long long)n + 1);
        code = store_put(store, STR("deep/counter"), str_of(text),
                         &(StorePut){.if_match = &object.tag}, &err);
        if (code == ERR_OK) done++;
        if (code != ERR_OK && code != ERR_EXISTS) _exit(2);
        arena_free(arena);
    }
    _exit(0);
}

static void processes_lose_no_update(void **state) {
    Folder *f = *state;
    pid_t children[PROCESSES];
    Str got;

    assert_ok(store_put(f->store, STR("deep/counter"), STR("0"), NULL, &f->err), &f->err);
    for (unsigned i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) count_up(f->path);
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        int status;

        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_ok(store_get(f->store, STR("deep/counter"), 0, 100, f->arena, &got, NULL, &f->err),
              &f->err);
    assert_true(str_equal(got, STR("100")));
}

static void folders_may_come_and_go_under_writers(void **state) {
    Folder *f = *state;
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    for (unsigned i = 0; i < 200; i++) {
        ErrCode code = store_put(f->store, child == 0 ? STR("x/y/child") : STR("x/y/parent"),
                                 STR("v"), NULL, &f->err);

        if (code == ERR_OK)
            code =
                store_delete(f->store, child == 0 ? STR("x/y/child") : STR("x/y/parent"), &f->err);
        if (child == 0 && code != ERR_OK) _exit(1);
        assert_ok(code, &f->err);
    }
    if (child == 0) _exit(0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_list(f, "", "");
    assert_int_not_equal(access(path_in(f, "x"), F_OK), 0);
}

/* A limit on the size of files fails a write as a full disk does, in the middle. */
static void a_disk_without_room_is_unavailable_and_left_clean(void **state) {
    Folder *f = *state;
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit small = {.rlim_cur = 1000, .rlim_max = 1000};
        static const char zeros[5000];
        Error err;

        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &small);
        _exit(store_put(f->store, STR("a/k"), (Str){zeros, sizeof zeros}, NULL, &err) ==
                      ERR_UNAVAILABLE
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_list(f, "", "");
    assert_int_not_equal(access(path_in(f, "a"), F_OK), 0); /* so no half of a file is in it */
}

static void wrong_urls_say_what_is_wrong(void **state) {
    static const char *const urls[] = {"",           "file:",    "file://",           "/tmp/x",
                                       "http://x/y", "memory:x", "file:///dev/null/x"};
    Error err;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        Store *store = NULL;

        assert_int_not_equal(store_open(&(StoreOptions){.url = str_of(urls[i])}, &store, &err),
                             ERR_OK);
        assert_null(store);
        assert_true(strlen(err.text) > 10);
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(leftovers_are_hidden_and_old_ones_removed),
        TEST(a_failed_put_leaves_nothing),
        TEST(an_object_is_no_folder_and_a_folder_no_object),
        TEST(what_is_no_object_is_left_out),
        TEST(what_one_store_wrote_another_reads),
        TEST(the_same_bytes_put_again_are_another_version),
        TEST(the_time_is_the_clocks),
        TEST(processes_lose_no_update),
        TEST(folders_may_come_and_go_under_writers),
        TEST(a_disk_without_room_is_unavailable_and_left_clean),
        TEST(wrong_urls_say_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
