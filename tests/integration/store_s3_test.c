/*
 * The store's contract on a real S3: run by with-minio, or by hand with MORAINE_TEST_S3_ENDPOINT,
 * MORAINE_TEST_S3_BUCKET and the AWS_* variables set for another store. What only MinIO is asked
 * (signature v2, temporary credentials, buckets in host names) needs MORAINE_TEST_MINIO.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/net/client.h"
#include "common/store/s3_xml.h"
#include "tests/unit/store/contract.h"

static Str variable(const char *name) {
    return str_of(getenv(name));
}

static StoreOptions options_of(Arena *arena) {
    return (StoreOptions){
        .url = str_format(arena, "s3://" STR_FMT "/moraine-tests/store",
                          STR_ARG(variable("MORAINE_TEST_S3_BUCKET"))),
        .endpoint = variable("MORAINE_TEST_S3_ENDPOINT"),
        .ca_file = variable("MORAINE_TEST_S3_CA_FILE"),
    };
}

static Store *open_with(const StoreOptions *options) {
    Store *store = NULL;
    Error err;

    if (store_open(options, &store, &err) != ERR_OK) print_error("%s\n", err.text);
    return store;
}

static bool is_minio(void) {
    return getenv("MORAINE_TEST_MINIO") != NULL;
}

static bool is_tls(void) {
    return str_starts_with(variable("MORAINE_TEST_S3_ENDPOINT"), STR("https://"));
}

static int v4(Arena *arena) {
    StoreOptions options = options_of(arena);

    contract_list_keys = 1205; /* two pages */
    return contract_run("s3", open_with(&options));
}

/* The driver that libs3 makes; it doesn't do https, since it can't check certificates. */
static int v2(Arena *arena) {
    StoreOptions options = options_of(arena);
    Store *store = NULL;
    Error err;

    options.signature = STR("v2");
    if (is_tls()) return store_open(&options, &store, &err) != ERR_UNSUPPORTED;
    contract_list_keys = 1205;
    contract_spaces = false;
    return contract_run("s3, signature v2", open_with(&options));
}

static int bucket_in_the_host_name(Arena *arena) {
    StoreOptions options = options_of(arena);
    Str port = options.endpoint;

    while (memchr(port.ptr, ':', port.len) != NULL) port = str_from(port, 1);
    options.endpoint = str_format(arena, "http://localhost:" STR_FMT, STR_ARG(port));
    options.virtual_host = true;
    if (is_tls()) return 0; /* the certificate names localhost only */
    contract_list_keys = 20;
    contract_spaces = true;
    return contract_run("s3, bucket in the host name", open_with(&options));
}

/* --- temporary credentials --- */

typedef struct Temporary {
    Str access_key, secret_key, session_token;
} Temporary;

static void take_credential(const Xml *xml, Arena *arena, Temporary *out) {
    static const char at[] = "AssumeRoleResponse/AssumeRoleResult/Credentials/";
    char path[128];
    struct {
        const char *name;
        Str *to;
    } wanted[] = {{"AccessKeyId", &out->access_key},
                  {"SecretAccessKey", &out->secret_key},
                  {"SessionToken", &out->session_token}};

    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        snprintf(path, sizeof path, "%s%s", at, wanted[i].name);
        if (xml_at(xml, path)) *wanted[i].to = str_dup(arena, xml_text(xml));
    }
}

static bool assume_role(Arena *arena, Temporary *out) {
    CLEANUP(http_client_free) HttpClient *client = NULL;
    HttpHeader type = {STR("content-type"), STR("application/x-www-form-urlencoded")};
    HttpClientOptions how = {.ca_file = variable("MORAINE_TEST_S3_CA_FILE")};
    HttpCall call = {
        .method = STR("POST"),
        .url = str_format(arena, STR_FMT "/", STR_ARG(variable("MORAINE_TEST_S3_ENDPOINT"))),
        .headers = &type,
        .header_count = 1,
        .body = STR("Action=AssumeRole&DurationSeconds=3600&Version=2011-06-15"),
        .aws_sigv4 = STR("aws:amz:us-east-1:sts"),
        .user = variable("AWS_ACCESS_KEY_ID"),
        .password = variable("AWS_SECRET_ACCESS_KEY"),
    };
    HttpAnswer answer;
    XmlEvent event;
    Error err;
    Xml xml;

    if (http_client_new(&how, &client, &err) != ERR_OK ||
        http_call(client, &call, arena, &answer, &err) != ERR_OK) {
        print_error("%s\n", err.text);
        return false;
    }
    xml_init(&xml, answer.body);
    while ((event = xml_next(&xml)) == XML_OPEN || event == XML_CLOSE)
        if (event == XML_CLOSE) take_credential(&xml, arena, out);
    return event == XML_END && out->session_token.len > 0;
}

static int session_token(Arena *arena) {
    StoreOptions options = options_of(arena);
    Temporary temporary = {0};

    if (!assume_role(arena, &temporary)) return 1;
    options.access_key = temporary.access_key;
    options.secret_key = temporary.secret_key;
    options.session_token = temporary.session_token;
    contract_list_keys = 20;
    contract_spaces = true;
    return contract_run("s3, session token", open_with(&options));
}

/* --- what goes wrong --- */

static StoreOptions failing_options;

static ErrCode head_with(const StoreOptions *options, Error *err) {
    CLEANUP(store_free) Store *store = NULL;
    StoreObject object;

    TRY(store_open(options, &store, err));
    return store_head(store, STR("nothing"), &object, err);
}

static ErrCode get_with(const StoreOptions *options, Error *err) {
    CLEANUP(store_free) Store *store = NULL;
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Str got;

    TRY(store_open(options, &store, err));
    return store_get(store, STR("nothing"), 0, 10, arena, &got, NULL, err);
}

static void a_wrong_secret_is_denied(void **state) {
    StoreOptions options = failing_options;
    Error err;

    (void)state;
    options.access_key = variable("AWS_ACCESS_KEY_ID");
    options.secret_key = STR("not the secret");
    assert_int_equal(head_with(&options, &err), ERR_DENIED);
    assert_int_equal(get_with(&options, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "403 SignatureDoesNotMatch"));
    assert_null(strstr(err.text, "not the secret"));
}

static void a_missing_bucket_is_no_missing_key(void **state) {
    StoreOptions options = failing_options;
    Error err;

    (void)state;
    options.url = STR("s3://moraine-no-such-bucket");
    assert_int_equal(get_with(&options, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "404 NoSuchBucket"));
}

static void a_certificate_nobody_vouches_for_is_refused(void **state) {
    StoreOptions options = failing_options;
    Error err;

    (void)state;
    if (!is_tls()) return;
    options.ca_file = (Str){0};
    assert_int_equal(head_with(&options, &err), ERR_DENIED);
}

static void a_store_that_is_away_is_unavailable(void **state) {
    StoreOptions options = failing_options;
    Error err;

    (void)state;
    options.endpoint = STR("http://127.0.0.1:1");
    options.attempts_max = 2;
    assert_int_equal(head_with(&options, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "attempt 2"));
}

static int failures(Arena *arena) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_secret_is_denied),
        cmocka_unit_test(a_missing_bucket_is_no_missing_key),
        cmocka_unit_test(a_certificate_nobody_vouches_for_is_refused),
        cmocka_unit_test(a_store_that_is_away_is_unavailable),
    };

    failing_options = options_of(arena);
    return cmocka_run_group_tests_name("s3, failures", tests, NULL, NULL);
}

int main(void) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    int failed;

    if (getenv("MORAINE_TEST_S3_ENDPOINT") == NULL || getenv("MORAINE_TEST_S3_BUCKET") == NULL) {
        print_error("MORAINE_TEST_S3_ENDPOINT and _BUCKET are not set: run me by with-minio\n");
        return 1;
    }
    failed = v4(arena) + failures(arena);
    if (!is_minio()) return failed;
    return failed + v2(arena) + bucket_in_the_host_name(arena) + session_token(arena);
}
