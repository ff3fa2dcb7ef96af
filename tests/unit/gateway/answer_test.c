/*
 * What a sender of remote write may ask for and what it is told, without a socket.
 */
#include <snappy-c.h>

#include "gateway/identity.h"
#include "gateway/inflate.h"
#include "gateway/prom/answer.h"
#include "tests/unit/gateway/bodies.h"

static void the_content_type_chooses_the_version(void **state) {
    static const struct {
        const char *header;
        ErrCode code;
        PromVersion version;
    } cases[] = {
        {"", ERR_OK, PROM_V1},
        {"application/x-protobuf", ERR_OK, PROM_V1},
        {" application/x-protobuf ", ERR_OK, PROM_V1},
        {"application/x-protobuf;proto=prometheus.WriteRequest", ERR_OK, PROM_V1},
        {"application/x-protobuf;proto=io.prometheus.write.v2.Request", ERR_OK, PROM_V2},
        {"application/x-protobuf; proto=io.prometheus.write.v2.Request", ERR_OK, PROM_V2},
        {"application/x-protobuf;a=b;proto=io.prometheus.write.v2.Request", ERR_OK, PROM_V2},
        {"application/x-protobuf;charset=utf-8", ERR_OK, PROM_V1},
        {"application/x-protobuf;proto=io.prometheus.write.v3.Request", ERR_UNSUPPORTED, 0},
        {"application/x-protobuf;proto=", ERR_UNSUPPORTED, 0},
        {"application/x-protobuf;proto", ERR_UNSUPPORTED, 0},
        {"application/json", ERR_UNSUPPORTED, 0},
        {"text/plain", ERR_UNSUPPORTED, 0},
        {"proto=prometheus.WriteRequest", ERR_UNSUPPORTED, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        PromVersion version = 0;
        Error err = {0};
        ErrCode code = prom_content_type(str_of(cases[i].header), &version, &err);

        if (code != cases[i].code || (code == ERR_OK && version != cases[i].version))
            fail_msg("%s: %s, version %d", cases[i].header, error_code_name(code), (int)version);
        if (code != ERR_OK) assert_true(err.text[0] != '\0');
    }
}

static void the_content_encoding_is_snappy_unless_said(void **state) {
    PromEncoding encoding;
    Error err;

    (void)state;
    assert_ok(prom_content_encoding(STR(""), &encoding, &err), &err);
    assert_int_equal(encoding, PROM_SNAPPY);
    assert_ok(prom_content_encoding(STR("Snappy"), &encoding, &err), &err);
    assert_int_equal(encoding, PROM_SNAPPY);
    assert_ok(prom_content_encoding(STR("zstd"), &encoding, &err), &err);
    assert_int_equal(encoding, PROM_ZSTD);
    assert_ok(prom_content_encoding(STR("gzip"), &encoding, &err), &err);
    assert_int_equal(encoding, PROM_GZIP);
    assert_int_equal(prom_content_encoding(STR("br"), &encoding, &err), ERR_UNSUPPORTED);
    assert_int_equal(prom_content_encoding(STR("snappy, gzip"), &encoding, &err), ERR_UNSUPPORTED);
}

static void a_snappy_length_is_believed_only_when_it_can_be_true(void **state) {
    char packed[64];
    size_t size = sizeof packed, len;
    Error err;

    (void)state;
    assert_int_equal(snappy_compress("hello hello hello", 17, packed, &size), SNAPPY_OK);
    assert_ok(inflate_snappy_len((Str){packed, size}, 17, &len, &err), &err);
    assert_int_equal(len, 17);
    assert_int_equal(inflate_snappy_len((Str){packed, size}, 16, &len, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "limits.request_bytes_max is 16"));
    assert_int_equal(inflate_snappy_len(STR(""), 0, &len, &err), ERR_INVALID);
    assert_int_equal(inflate_snappy_len(STR("\xff\xff\xff\xff\xff\x01"), 0, &len, &err), ERR_INVALID);
    /* 4 GB in seven bytes, whatever the limit is */
    assert_int_equal(inflate_snappy_len(STR("\xff\xff\xff\xff\x0f\x00\x00"), 0, &len, &err),
                     ERR_INVALID);
    assert_int_equal(inflate_snappy_len(STR("\xff\xff\xff\xff\x0f\x00\x00"), 100, &len, &err),
                     ERR_INVALID);
}

static void the_densest_snappy_block_is_believed(void **state) {
    static char zeros[1 << 20], packed[1300000];
    size_t size = sizeof packed, len;
    Error err;

    (void)state;
    assert_int_equal(snappy_compress(zeros, sizeof zeros, packed, &size), SNAPPY_OK);
    assert_ok(inflate_snappy_len((Str){packed, size}, 0, &len, &err), &err);
    assert_int_equal(len, sizeof zeros);
}

static void tenants_come_from_the_header(void **state) {
    static const Str bad[] = {STR_INIT("a|b"), STR_INIT("|"),   STR_INIT("../x"), STR_INIT("a/b"),
                              STR_INIT(".."),  STR_INIT("a b"), STR_INIT("\xff")};
    char name[300];
    Str tenant;
    Error err;

    (void)state;
    assert_ok(gateway_tenant_of(STR(""), &tenant, &err), &err);
    assert_str(tenant, STR("anonymous"));
    assert_ok(gateway_tenant_of(STR(" team-a "), &tenant, &err), &err);
    assert_str(tenant, STR("team-a"));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(gateway_tenant_of(bad[i], &tenant, &err), ERR_INVALID);
    memset(name, 'x', sizeof name);
    assert_int_equal(gateway_tenant_of((Str){name, sizeof name}, &tenant, &err), ERR_INVALID);
}

/* Section 7.1 of what clients rely on: final for what can't get better, 503 or 429 with Retry-After
 * for what can, and never 500. */
static void each_failure_has_the_status_that_senders_act_on(void **state) {
    static const struct {
        ErrCode code;
        int status;
        bool again;
    } cases[] = {
        {ERR_INVALID, 400, false},    {ERR_CORRUPT, 400, false},     {ERR_DENIED, 403, false},
        {ERR_LIMIT, 413, false},      {ERR_UNSUPPORTED, 415, false}, {ERR_RATE, 429, true},
        {ERR_UNAVAILABLE, 503, true}, {ERR_TIMEOUT, 503, true},      {ERR_CANCELLED, 503, true},
        {ERR_INTERNAL, 503, true},    {ERR_NOT_FOUND, 503, true},    {ERR_EXISTS, 503, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        PromAnswer answer;
        Error err;

        error_set(&err, cases[i].code, "why");
        prom_answer_error(&err, 0, &answer);
        assert_int_equal(answer.status, cases[i].status);
        assert_int_equal(answer.retry_after_s > 0, cases[i].again);
        assert_string_equal(answer.text, "why");
        assert_false(answer.counts);
        prom_answer_error(&err, 1001, &answer);
        assert_int_equal(answer.retry_after_s, cases[i].again ? 2 : 0);
    }
}

static void what_the_sink_says_decides_the_answer(void **state) {
    World *world = *state;
    AppendResult result = {.samples = 3, .histograms = 2, .exemplars = 1};
    PromAnswer answer;

    assert_ok(decode(world, PROM_V1), &world->err);
    prom_answer_result(&world->rows, &result, &answer);
    assert_int_equal(answer.status, 204);
    assert_true(answer.counts);
    assert_int_equal(answer.samples, 3);
    assert_int_equal(answer.histograms, 2);
    assert_int_equal(answer.exemplars, 1);
    assert_string_equal(answer.text, "");

    /* Zeros that the gateway put in are not what was sent. */
    world->rows.zero_samples = 1;
    world->rows.zero_histograms = 5;
    prom_answer_result(&world->rows, &result, &answer);
    assert_int_equal(answer.samples, 2);
    assert_int_equal(answer.histograms, 0);
    world->rows.zero_samples = world->rows.zero_histograms = 0;

    result.conflicts = 1;
    error_set(&result.first, ERR_INVALID, "duplicate sample for timestamp");
    prom_answer_result(&world->rows, &result, &answer);
    assert_int_equal(answer.status, 400);
    assert_int_equal(answer.samples, 3);
    assert_string_equal(answer.text,
                        "duplicate sample for timestamp (1 samples and histograms of this request "
                        "were refused, 5 were stored)");

    /* The gateway's own refusals came first. */
    world->rows.rejects.samples = 4;
    error_set(&world->rows.rejects.first, ERR_INVALID, "bad label");
    result.over_limit = 2;
    prom_answer_result(&world->rows, &result, &answer);
    assert_int_equal(answer.status, 400);
    assert_non_null(strstr(answer.text, "bad label (7 samples"));
}

static void a_sink_that_is_full_is_tried_again(void **state) {
    static const ErrCode passing[] = {ERR_UNAVAILABLE, ERR_LIMIT, ERR_TIMEOUT, ERR_INTERNAL};
    World *world = *state;
    PromAnswer answer;

    assert_ok(decode(world, PROM_V1), &world->err);
    for (size_t i = 0; i < ARRAY_LEN(passing); i++) {
        AppendResult result = {.code = passing[i]};

        prom_answer_result(&world->rows, &result, &answer);
        assert_int_equal(answer.status, 503);
        assert_true(answer.retry_after_s > 0);
        assert_true(answer.counts && answer.samples == 0);
        assert_true(answer.text[0] != '\0');
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_content_type_chooses_the_version),
        cmocka_unit_test(the_content_encoding_is_snappy_unless_said),
        cmocka_unit_test(a_snappy_length_is_believed_only_when_it_can_be_true),
        cmocka_unit_test(the_densest_snappy_block_is_believed),
        cmocka_unit_test(tenants_come_from_the_header),
        cmocka_unit_test(each_failure_has_the_status_that_senders_act_on),
        world_test(what_the_sink_says_decides_the_answer),
        world_test(a_sink_that_is_full_is_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
