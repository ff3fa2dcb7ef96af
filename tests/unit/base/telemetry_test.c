/* What telemetry.h promises. The registry lives as long as the process, so names are per test. */
#include "common/base/telemetry.h"

#include <pthread.h>
#include <stdio.h>

#include "tests/unit/unit.h"

/* The page as a C string; `buf` owns it. */
static const char *page(Buf *buf) {
    buf_clear(buf);
    telemetry_write(buf);
    buf_append_byte(buf, '\0');
    assert_false(buf_failed(buf));
    return buf->ptr;
}

static void assert_on_page(Buf *buf, const char *piece) {
    if (strstr(page(buf), piece) == NULL) fail_msg("missing: %s", piece);
}

static void the_same_name_and_labels_give_the_same_instrument(void **state) {
    Counter *a = telemetry_counter("moraine_same_total", "tenant=\"a\"", "Help.");

    (void)state;
    assert_ptr_equal(telemetry_counter("moraine_same_total", "tenant=\"a\"", "Help."), a);
    assert_ptr_not_equal(telemetry_counter("moraine_same_total", "tenant=\"b\"", "Help."), a);
}

static void a_family_is_written_once_whatever_the_order_of_making(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf buf;

    (void)state;
    buf_init(&buf, 0);
    counter_add(telemetry_counter("moraine_x_total", "tenant=\"b\"", "What x is."), 2);
    gauge_set(telemetry_gauge("moraine_between", "", "Another."), -3);
    counter_add(telemetry_counter("moraine_x_total", "tenant=\"a\"", "What x is."), 1);
    assert_on_page(&buf, "# HELP moraine_x_total What x is.\n# TYPE moraine_x_total counter\n"
                         "moraine_x_total{tenant=\"a\"} 1\nmoraine_x_total{tenant=\"b\"} 2\n");
    assert_on_page(&buf, "# TYPE moraine_between gauge\nmoraine_between -3\n");
}

static void a_histogram_has_cumulative_buckets_sum_and_count(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf buf;
    Histogram *histogram =
        telemetry_histogram("moraine_h_seconds", "role=\"q\"", "How long.", 0.5, 2, 3);

    (void)state;
    buf_init(&buf, 0);
    histogram_observe(histogram, 0.25);
    histogram_observe(histogram, 0.5); /* a bound belongs to its bucket */
    histogram_observe(histogram, 1.5);
    histogram_observe(histogram, 100);
    assert_on_page(&buf, "# TYPE moraine_h_seconds histogram\n"
                         "moraine_h_seconds_bucket{role=\"q\",le=\"0.5\"} 2\n"
                         "moraine_h_seconds_bucket{role=\"q\",le=\"1\"} 2\n"
                         "moraine_h_seconds_bucket{role=\"q\",le=\"2\"} 3\n"
                         "moraine_h_seconds_bucket{role=\"q\",le=\"+Inf\"} 4\n"
                         "moraine_h_seconds_sum{role=\"q\"} 102.25\n"
                         "moraine_h_seconds_count{role=\"q\"} 4\n");
}

static double read_it(void *what) {
    return *(double *)what;
}

static void a_callback_is_asked_when_the_page_is(void **state) {
    static double value = 1.5;
    CLEANUP_IN_PLACE(buf_done) Buf buf;

    (void)state;
    buf_init(&buf, 0);
    telemetry_callback("moraine_asked", "k=\"v\"", "Asked.", read_it, &value);
    assert_on_page(&buf, "# TYPE moraine_asked gauge\nmoraine_asked{k=\"v\"} 1.5\n");
    value = 2;
    assert_on_page(&buf, "moraine_asked{k=\"v\"} 2\n");
}

static double number_after(const char *text, const char *name) {
    const char *at = strstr(text, name);
    double v = -1;

    assert_non_null(at);
    assert_int_equal(sscanf(at + strlen(name), "%lf", &v), 1);
    return v;
}

static void the_process_shows_cpu_memory_files_start_and_version(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf buf;
    const char *text;

    (void)state;
    buf_init(&buf, 0);
    text = page(&buf);
    assert_true(number_after(text, "\nprocess_cpu_seconds_total ") >= 0);
    assert_true(number_after(text, "\nprocess_resident_memory_bytes ") > 100000);
    assert_true(number_after(text, "\nprocess_open_fds ") >= 3);
    assert_true(number_after(text, "\nprocess_start_time_seconds ") > 1600000000);
    assert_non_null(strstr(text, "\nmoraine_build_info{version=\"" MORAINE_VERSION "\"} 1\n"));
}

static void a_label_escapes_and_replaces_what_is_not_utf8(void **state) {
    char out[64];

    (void)state;
    telemetry_label(out, sizeof out, "tenant", STR("a\"b\\c\nd"));
    assert_string_equal(out, "tenant=\"a\\\"b\\\\c\\nd\"");
    telemetry_label(out, sizeof out, "t", STR("\xc3\xa9\xff!"));
    assert_string_equal(out, "t=\"\xc3\xa9\xef\xbf\xbd!\"");
    telemetry_label(out, sizeof out, "t", (Str){NULL, 0});
    assert_string_equal(out, "t=\"\"");
}

static void a_label_is_cut_at_a_character_and_stays_well_formed(void **state) {
    char out[32];
    Str value = STR("\"\"\xe2\x82\xac\n\xff\xe2\x82\xac\\abc");

    (void)state;
    for (size_t size = 5; size < sizeof out; size++) {
        size_t len;

        memset(out, '#', sizeof out);
        telemetry_label(out, size, "t", value);
        len = strlen(out);
        assert_true(len < size);
        for (size_t i = size; i < sizeof out; i++) assert_int_equal(out[i], '#');
        assert_true(str_is_utf8(str_of(out)));
        assert_int_equal(out[len - 1], '"');
        if (len > 4) assert_true(out[len - 2] != '\\' || out[len - 3] == '\\');
    }
}

enum { THREADS = 4, ROUNDS = 5000 };

static void *make_and_change(void *what) {
    (void)what;
    for (int i = 0; i < ROUNDS; i++) {
        char labels[32];

        snprintf(labels, sizeof labels, "n=\"%d\"", i % 7);
        counter_add(telemetry_counter("moraine_threads_total", labels, "Help."), 1);
        histogram_observe(telemetry_histogram("moraine_threads_bytes", "", "Help.", 1, 2, 4), 1.0);
    }
    return NULL;
}

static void threads_lose_no_count_and_share_instruments(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf buf;
    pthread_t threads[THREADS];
    uint64_t sum = 0;

    (void)state;
    buf_init(&buf, 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_and_change, NULL), 0);
    for (int i = 0; i < 20; i++) (void)page(&buf);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 7; i++) {
        char labels[32];

        snprintf(labels, sizeof labels, "n=\"%d\"", i);
        sum += telemetry_counter("moraine_threads_total", labels, "Help.")->value;
    }
    assert_int_equal(sum, THREADS * ROUNDS);
    assert_on_page(&buf, "moraine_threads_bytes_sum 20000\nmoraine_threads_bytes_count 20000\n");
}

/* Last: it leaves no room. */
static void past_the_limit_all_share_one_and_it_is_said(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf buf;
    Counter *one;

    (void)state;
    buf_init(&buf, 0);
    for (int i = 0; i < 20000; i++) {
        char labels[32];

        snprintf(labels, sizeof labels, "n=\"%d\"", i);
        assert_non_null(telemetry_counter("moraine_many_total", labels, "Help."));
    }
    one = telemetry_counter("moraine_late_total", "", "Help.");
    assert_non_null(one);
    assert_ptr_equal(telemetry_counter("moraine_later_total", "", "Help."), one);
    assert_non_null(telemetry_gauge("moraine_late", "", "Help."));
    histogram_observe(telemetry_histogram("moraine_late_bytes", "", "Help.", 1, 2, 4), 1);
    assert_null(strstr(page(&buf), "moraine_late"));
    assert_true(number_after(buf.ptr, "\nmoraine_telemetry_refused_total ") >= 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_name_and_labels_give_the_same_instrument),
        cmocka_unit_test(a_family_is_written_once_whatever_the_order_of_making),
        cmocka_unit_test(a_histogram_has_cumulative_buckets_sum_and_count),
        cmocka_unit_test(a_callback_is_asked_when_the_page_is),
        cmocka_unit_test(the_process_shows_cpu_memory_files_start_and_version),
        cmocka_unit_test(a_label_escapes_and_replaces_what_is_not_utf8),
        cmocka_unit_test(a_label_is_cut_at_a_character_and_stays_well_formed),
        cmocka_unit_test(threads_lose_no_count_and_share_instruments),
        cmocka_unit_test(past_the_limit_all_share_one_and_it_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
