/* labels_test.c: canonical bytes, and the order of label sets. */
#include <stdlib.h>

#include "tests/unit/unit.h"

#include "common/batch/labels.h"
#include "common/batch/signal.h"

#define PAIR(name, value)                                                                          \
    { STR_INIT(name), STR_INIT(value) }

static void canonical_bytes_read_back(void **state) {
    char longer[300];
    LabelPair pairs[] = {PAIR("__name__", "up"), PAIR("a", ""), PAIR("b", "\xff\0x"),
                         PAIR("long", "")};
    Arena *arena = arena_new(0, NULL);
    LabelPairs back;
    Error err = {0};
    Buf bytes;

    (void)state;
    memset(longer, 'v', sizeof longer);
    pairs[3].value = (Str){longer, sizeof longer};
    buf_init(&bytes, 0);
    labels_encode((LabelPairs){pairs, ARRAY_LEN(pairs)}, &bytes);
    assert_memory_equal(bytes.ptr, "\x0a\x0e\x0a\x08__name__\x12\x02up", 16);
    assert_ok(labels_decode(buf_str(&bytes), arena, &back, &err), &err);
    assert_int_equal(back.count, 3); /* no value, no label */
    assert_true(str_equal(labels_get(back, LABEL_NAME), STR("up")));
    assert_int_equal(labels_get(back, STR("b")).len, 3);
    assert_int_equal(labels_get(back, STR("long")).len, sizeof longer);
    assert_int_equal(labels_get(back, STR("a")).len, 0);
    assert_ok(labels_decode(STR(""), arena, &back, &err), &err);
    assert_int_equal(back.count, 0);
    buf_done(&bytes);
    arena_free(arena);
}

static void other_bytes_are_refused(void **state) {
    static const Str cases[] = {
        STR_INIT("\x0a\x06\x0a\x01"
                 "b\x12\x01x\x0a\x06\x0a\x01"
                 "a\x12\x01x"), /* not sorted */
        STR_INIT("\x0a\x06\x0a\x01"
                 "a\x12\x01x\x0a\x06\x0a\x01"
                 "a\x12\x01y"), /* twice */
        STR_INIT("\x0a\x05\x0a\x01"
                 "a\x12\x00"), /* empty value */
        STR_INIT("\x12\x06\x0a\x01"
                 "a\x12\x01x"), /* another field */
        STR_INIT("\x0a\x06\x12\x01x\x0a\x01"
                 "a"), /* value first */
        STR_INIT("\x0a\x86\x00\x0a\x01"
                 "a\x12\x01x"), /* a length with a byte too many */
        STR_INIT("\x0a\x07\x0a\x01"
                 "a\x12\x01xy"),                                  /* more than the two */
        STR_INIT("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x0a"), /* absurd length */
        STR_INIT("\x0a\x06\x0a\xff\xff\xff\xff\x0f\x12\x01x"),
    };
    Arena *arena = arena_new(0, NULL);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        LabelPairs out = {NULL, 77};
        Error err = {0};

        assert_int_equal(labels_decode(cases[i], arena, &out, &err), ERR_INVALID);
        assert_int_equal(out.count, 77);
    }
    arena_free(arena);
}

static void cut_or_changed_bytes_are_refused_or_canonical(void **state) {
    LabelPair pairs[] = {PAIR("__name__", "up"), PAIR("job", "a"), PAIR("zone", "b")};
    Arena *arena = arena_new(0, NULL);
    LabelPairs back;
    Buf bytes, again;
    Error err;

    (void)state;
    buf_init(&bytes, 0);
    buf_init(&again, 0);
    labels_encode((LabelPairs){pairs, ARRAY_LEN(pairs)}, &bytes);
    for (size_t n = 0; n < bytes.len; n++) {
        for (unsigned bit = 0; bit <= 8; bit++) {
            size_t len = bit == 8 ? n : bytes.len; /* cut, or one bit flipped */
            char *copy = malloc(len + (len == 0)); /* a block of its own, for ASan */

            memcpy(copy, bytes.ptr, len);
            if (bit < 8) copy[n] ^= (char)(1 << bit);
            if (labels_decode((Str){copy, len}, arena, &back, &err) == ERR_OK) {
                buf_clear(&again);
                labels_encode(back, &again);
                assert_true(str_equal(buf_str(&again), (Str){copy, len}));
            }
            free(copy);
        }
    }
    buf_done(&bytes);
    buf_done(&again);
    arena_free(arena);
}

static void sets_are_ordered_by_metric_first(void **state) {
    LabelPair a[] = {PAIR("A", "1"), PAIR("__name__", "m")};
    LabelPair b[] = {PAIR("A", "0"), PAIR("__name__", "n")};
    LabelPair c[] = {PAIR("A", "1"), PAIR("__name__", "m"), PAIR("a", "1")};
    LabelPairs x = {a, 2}, y = {b, 2}, z = {c, 3};

    (void)state;
    assert_true(labels_compare(x, y) < 0 && labels_compare(y, x) > 0);
    assert_true(labels_compare(x, z) < 0 && labels_compare(z, x) > 0);
    assert_int_equal(labels_compare(x, x), 0);
    assert_true(labels_compare((LabelPairs){NULL, 0}, x) < 0);
}

static void pairs_are_sorted_by_name(void **state) {
    LabelPair pairs[] = {PAIR("b", "1"), PAIR("__name__", "2"), PAIR("Z", "3"), PAIR("", "4")};

    (void)state;
    labels_sort(pairs, ARRAY_LEN(pairs));
    assert_int_equal(pairs[0].name.len, 0);
    assert_true(str_equal(pairs[1].name, STR("Z")) && str_equal(pairs[2].name, LABEL_NAME));
    labels_sort(NULL, 0);
}

static void signals_have_folders(void **state) {
    (void)state;
    assert_string_equal(signal_name(SIGNAL_METRICS), "metrics");
    assert_string_equal(signal_name(SIGNAL_LOGS), "logs");
    assert_string_equal(signal_name(SIGNAL_TRACES), "traces");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical_bytes_read_back),
        cmocka_unit_test(other_bytes_are_refused),
        cmocka_unit_test(cut_or_changed_bytes_are_refused_or_canonical),
        cmocka_unit_test(sets_are_ordered_by_metric_first),
        cmocka_unit_test(pairs_are_sorted_by_name),
        cmocka_unit_test(signals_have_folders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
