/* Where credentials come from, in which order, and what is said when there are none. */
#include "common/store/credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/unit.h"

typedef struct Home {
    char folder[64];
    char file[128];
    Arena *arena;
    Credentials found;
    Error err;
} Home;

static const char *const names[] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
                                    "AWS_SESSION_TOKEN", "AWS_PROFILE",
                                    "AWS_SHARED_CREDENTIALS_FILE"};

static int setup(void **state) {
    Home *home = calloc(1, sizeof *home);

    for (size_t i = 0; i < ARRAY_LEN(names); i++) unsetenv(names[i]);
    snprintf(home->folder, sizeof home->folder, "/tmp/moraine-home-XXXXXX");
    if (mkdtemp(home->folder) == NULL) return -1;
    snprintf(home->file, sizeof home->file, "%s/.aws", home->folder);
    mkdir(home->file, 0700);
    snprintf(home->file, sizeof home->file, "%s/.aws/credentials", home->folder);
    setenv("HOME", home->folder, 1);
    home->arena = arena_new(0, NULL);
    *state = home;
    return 0;
}

static int teardown(void **state) {
    Home *home = *state;

    unlink(home->file);
    snprintf(home->file, sizeof home->file, "%s/.aws", home->folder);
    rmdir(home->file);
    rmdir(home->folder);
    arena_free(home->arena);
    free(home);
    return 0;
}

static const char file_text[] = "# who we are\r\n"
                                "[default]\r\n"
                                "aws_access_key_id = FILEKEY\r\n"
                                "aws_secret_access_key=file/secret=+\r\n"
                                "region=eu-west-2\n"
                                "; [other]\n"
                                "\n"
                                "[ profile other ]\n"
                                "AWS_ACCESS_KEY_ID=OTHERKEY\n"
                                "aws_secret_access_key = othersecret \n"
                                "aws_session_token = othertoken\n"
                                "[broken]\n"
                                "aws_access_key_id = BROKENKEY\n"
                                "[]\n"
                                "nonsense\n";

static void write_file(const Home *home, const char *text, size_t len) {
    FILE *file = fopen(home->file, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    fclose(file);
}

static ErrCode find(Home *home, StoreOptions options) {
    return credentials_find(&options, home->arena, &home->found, &home->err);
}

static void assert_found(const Home *home, const char *key, const char *secret, const char *token) {
    assert_true(str_equal(home->found.access_key, str_of(key)));
    assert_true(str_equal(home->found.secret_key, str_of(secret)));
    assert_true(str_equal(home->found.session_token, str_of(token)));
}

static void the_configuration_comes_first(void **state) {
    Home *home = *state;
    StoreOptions options = {.access_key = STR("CONFKEY"), .secret_key = STR("confsecret")};

    write_file(home, file_text, sizeof file_text - 1);
    setenv("AWS_ACCESS_KEY_ID", "ENVKEY", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "envsecret", 1);
    setenv("AWS_SESSION_TOKEN", "envtoken", 1);
    assert_ok(find(home, options), &home->err);
    assert_found(home, "CONFKEY", "confsecret",
                 ""); /* the token belongs to the environment's key */
    assert_false(home->found.may_change);
    options.session_token = STR("conftoken");
    assert_ok(find(home, options), &home->err);
    assert_found(home, "CONFKEY", "confsecret", "conftoken");
}

static void the_environment_comes_before_the_file(void **state) {
    Home *home = *state;

    write_file(home, file_text, sizeof file_text - 1);
    setenv("AWS_ACCESS_KEY_ID", "ENVKEY", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "envsecret", 1);
    assert_ok(find(home, (StoreOptions){0}), &home->err);
    assert_found(home, "ENVKEY", "envsecret", "");
    setenv("AWS_SESSION_TOKEN", "envtoken", 1);
    assert_ok(find(home, (StoreOptions){0}), &home->err);
    assert_found(home, "ENVKEY", "envsecret", "envtoken");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    assert_int_equal(find(home, (StoreOptions){0}), ERR_INVALID);
    assert_non_null(strstr(home->err.text, "AWS_SECRET_ACCESS_KEY"));
}

static void a_configured_profile_comes_before_the_environment(void **state) {
    Home *home = *state;

    write_file(home, file_text, sizeof file_text - 1);
    setenv("AWS_ACCESS_KEY_ID", "ENVKEY", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "envsecret", 1);
    assert_ok(find(home, (StoreOptions){.profile = STR("other")}), &home->err);
    assert_found(home, "OTHERKEY", "othersecret", "othertoken");
    assert_true(home->found.may_change);
}

static void the_file_has_profiles(void **state) {
    Home *home = *state;

    write_file(home, file_text, sizeof file_text - 1);
    assert_ok(find(home, (StoreOptions){0}), &home->err);
    assert_found(home, "FILEKEY", "file/secret=+", "");
    assert_true(str_equal(home->found.region, STR("eu-west-2")));
    setenv("AWS_PROFILE", "other", 1);
    assert_ok(find(home, (StoreOptions){0}), &home->err);
    assert_found(home, "OTHERKEY", "othersecret", "othertoken");
    setenv("AWS_PROFILE", "broken", 1);
    assert_int_equal(find(home, (StoreOptions){0}), ERR_INVALID);
    assert_non_null(strstr(home->err.text, "'broken' lacks"));
    setenv("AWS_PROFILE", "missing", 1);
    assert_int_equal(find(home, (StoreOptions){0}), ERR_INVALID);
    assert_non_null(strstr(home->err.text, "no profile 'missing'"));
}

static void the_file_may_be_elsewhere(void **state) {
    Home *home = *state;

    write_file(home, file_text, sizeof file_text - 1);
    setenv("HOME", "/nowhere", 1);
    assert_int_equal(find(home, (StoreOptions){0}), ERR_INVALID);
    assert_non_null(strstr(home->err.text, "/nowhere/.aws/credentials"));
    assert_non_null(strstr(home->err.text, "AWS_ACCESS_KEY_ID"));
    setenv("AWS_SHARED_CREDENTIALS_FILE", home->file, 1);
    assert_ok(find(home, (StoreOptions){0}), &home->err);
    assert_found(home, "FILEKEY", "file/secret=+", "");
}

static void half_a_pair_is_an_error(void **state) {
    Home *home = *state;

    assert_int_equal(find(home, (StoreOptions){.access_key = STR("k")}), ERR_INVALID);
    assert_int_equal(find(home, (StoreOptions){.secret_key = STR("hush")}), ERR_INVALID);
    assert_null(strstr(home->err.text, "hush"));
}

static void a_file_cut_anywhere_is_survived(void **state) {
    Home *home = *state;

    for (size_t len = 0; len < sizeof file_text; len++) {
        write_file(home, file_text, len);
        if (find(home, (StoreOptions){.profile = STR("other")}) != ERR_OK)
            assert_null(strstr(home->err.text, "secret/"));
        if (find(home, (StoreOptions){0}) == ERR_OK) assert_true(home->found.access_key.len > 0);
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_configuration_comes_first),
        TEST(the_environment_comes_before_the_file),
        TEST(a_configured_profile_comes_before_the_environment),
        TEST(the_file_has_profiles),
        TEST(the_file_may_be_elsewhere),
        TEST(half_a_pair_is_an_error),
        TEST(a_file_cut_anywhere_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
