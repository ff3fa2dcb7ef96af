/* What json_read.h promises: tokens in order, texts as meant, bad grammar with its place. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/json_read.h"

/* Tokens as letters, texts in parentheses. */
static void tokens_of(Str json, Arena *arena, Buf *out) {
    static const char letters[] = "!.{}[]ksntfz";
    JsonReader reader = json_reader(json, arena);

    for (unsigned i = 0; i < 100000; i++) {
        JsonToken token = json_next(&reader);

        buf_append_byte(out, letters[token]);
        if (token == JSON_KEY || token == JSON_STRING || token == JSON_NUMBER) {
            buf_append_byte(out, '(');
            buf_append_str(out, reader.text);
            buf_append_byte(out, ')');
        }
        if (token == JSON_END || token == JSON_ERROR) return;
    }
    fail();
}

static void check(Str json, Str expected) {
    Arena *arena = arena_new(0, NULL);
    Buf out = {0};

    tokens_of(json, arena, &out);
    if (!str_equal(buf_str(&out), expected))
        fail_msg("%.*s: %.*s, expected %.*s", STR_ARG(json), STR_ARG(buf_str(&out)),
                 STR_ARG(expected));
    buf_done(&out);
    arena_free(arena);
}

static void values_come_token_by_token(void **test) {
    (void)test;
    check(STR("{}"), STR("{}."));
    check(STR(" [ ] "), STR("[]."));
    check(STR("{\"a\": [1, -2.5e+3, \"x\"], \"b\": {\"c\": null}, \"d\": true, \"e\": false}"),
          STR("{k(a)[n(1)n(-2.5e+3)s(x)]k(b){k(c)z}k(d)tk(e)f}."));
    check(STR("0"), STR("n(0)."));
    check(STR("\"\""), STR("s()."));
}

static void escapes_mean_what_they_say(void **test) {
    (void)test;
    check(STR("\"a\\n\\t\\\"\\\\\\/\\b\\f\\r\""), STR("s(a\n\t\"\\/\b\f\r)."));
    check(STR("\"\\u00e9\\u20ac\\ud83d\\ude00\""), STR("s(\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80)."));
    check(STR("\"\\u0000\""), STR("s(\0)."));
    check(STR("\"\\ud83d\""), STR("s(\xef\xbf\xbd)."));
    check(STR("\"\\ud83dx\\u0041\""), STR("s(\xef\xbf\xbdxA)."));
    check(STR("\"raw \xff \x01\""), STR("s(raw \xff \x01)."));
}

static void bad_grammar_is_an_error(void **test) {
    static const char *const bad[] = {
        "",      "{",         "}",     "[1,]",       "{,}",       "{\"a\"}", "{\"a\":}",
        "[1 2]", "{\"a\" 1}", "{a:1}", "[01]",       "[+1]",      "[1.]",    "[1e]",
        "[.5]",  "[-]",       "nul",   "tru",        "[\"a]",     "\"\\x\"", "\"\\u12g4\"",
        "{} {}", "[1],",      "\"\\",  "{\"a\":1,}", "{\"a\":1]", "[1}",     "'a'",
    };

    (void)test;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        Arena *arena = arena_new(0, NULL);
        Buf out = {0};

        tokens_of(str_of(bad[i]), arena, &out);
        if (out.ptr[out.len - 1] != '!') fail_msg("%s was taken for JSON", bad[i]);
        buf_done(&out);
        arena_free(arena);
    }
}

static void errors_name_their_place(void **test) {
    Arena *arena = arena_new(0, NULL);
    JsonReader reader = json_reader(STR("{\"a\": nope}"), arena);
    Error err;

    (void)test;
    while (json_next(&reader) != JSON_ERROR) continue;
    assert_int_equal(json_next(&reader), JSON_ERROR);
    assert_int_equal(json_reader_error(&reader, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "at byte 6"));
    arena_free(arena);
}

static void depth_has_a_bound(void **test) {
    Arena *arena = arena_new(0, NULL);
    Buf json = {0}, out = {0};

    (void)test;
    for (int i = 0; i < 100000; i++) buf_append_byte(&json, '[');
    tokens_of(buf_str(&json), arena, &out);
    assert_int_equal(out.len, JSON_DEPTH_MAX);
    buf_done(&json);
    buf_done(&out);
    arena_free(arena);
}

static void skipping_passes_over_whole_values(void **test) {
    JsonReader reader = json_reader(STR("{\"a\": {\"b\": [1, {}], \"c\": 2}, \"d\": 3}"), NULL);

    (void)test;
    assert_int_equal(json_next(&reader), JSON_OBJECT);
    assert_int_equal(json_next(&reader), JSON_KEY);
    assert_true(json_skip(&reader, json_next(&reader)));
    assert_int_equal(json_next(&reader), JSON_KEY);
    assert_true(str_equal(reader.text, STR("d")));
    assert_true(json_skip(&reader, json_next(&reader)));
    assert_int_equal(json_next(&reader), JSON_OBJECT_END);
    assert_int_equal(json_next(&reader), JSON_END);
}

static void no_cut_does_harm(void **test) {
    static const char whole[] = "{\"a\\u00e9\\ud83d\\ude00\": [1.5e3, true, \"\\n\", null, {}]}";
    Arena *arena = arena_new(0, NULL);

    (void)test;
    for (size_t cut = 0; cut < sizeof whole - 1; cut++) {
        char *copy = malloc(cut + 1);
        Buf out = {0};

        memcpy(copy, whole, cut);
        tokens_of((Str){copy, cut}, arena, &out);
        assert_int_equal(out.ptr[out.len - 1], '!');
        buf_done(&out);
        free(copy);
    }
    arena_free(arena);
}

static void out_of_memory_is_said_as_such(void **test) {
    Arena *arena = arena_new(1, NULL);
    JsonReader reader = json_reader(STR("\"\\n\""), arena);
    Error err;

    (void)test;
    assert_int_equal(json_next(&reader), JSON_ERROR);
    assert_int_equal(json_reader_error(&reader, &err), ERR_UNAVAILABLE);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_token_by_token),
        cmocka_unit_test(escapes_mean_what_they_say),
        cmocka_unit_test(bad_grammar_is_an_error),
        cmocka_unit_test(errors_name_their_place),
        cmocka_unit_test(depth_has_a_bound),
        cmocka_unit_test(skipping_passes_over_whole_values),
        cmocka_unit_test(no_cut_does_harm),
        cmocka_unit_test(out_of_memory_is_said_as_such),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
