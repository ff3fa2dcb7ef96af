/* What a page lets through of its rows is what looking at every line would. */
#include "common/block/log_shape.h"
#include "tests/unit/block/logs_model.h"

enum { ROWS_MAX = 400, NEEDLES_MAX = 3, TEXTS = 3 };

static bool has(Str line, Str text) {
    return text.len == 0 ||
           (line.len >= text.len && memmem(line.ptr, line.len, text.ptr, text.len) != NULL);
}

static bool passes(Str line, const LogFilter *filter) {
    for (size_t n = 0; n < filter->needle_count; n++) {
        bool any = false;

        for (size_t i = 0; i < filter->needles[n].count; i++)
            any |= has(line, filter->needles[n].any[i]);
        if (any == filter->needles[n].negated) return false;
    }
    return true;
}

/* Lines of few shapes, or of many, some with the byte that marks variables in templates. */
static Str some_line(Arena *arena, int64_t time_ns, bool mixed, size_t shape) {
    static const char *const TEXTS_WITH_MARKS[] = {"\021", "\021\001\001 17", "a\021 5.25 \021b",
                                                   "\021\021\011 word12x"};

    switch (logs_random() % 8) {
    case 0:
        return str_of(TEXTS_WITH_MARKS[logs_random() % ARRAY_LEN(TEXTS_WITH_MARKS)]);
    case 1:
        return str_format(arena, "pod api-" STR_FMT "-%c%d%c%c at 12:34:56,%03d of %d.%d",
                          STR_ARG(logs_hex(arena, 9, false)), 'a' + (int)(logs_random() % 3),
                          (int)(logs_random() % 3), 'e', 'r', (int)(logs_random() % 4),
                          (int)(logs_random() % 30), (int)(logs_random() % 30));
    default:
        return logs_line(arena, mixed ? logs_random() : shape, time_ns);
    }
}

static Str some_text(Arena *arena, const LogRows *rows) {
    Str line = rows->lines[logs_random() % rows->count], text;
    size_t at = line.len == 0 ? 0 : logs_random() % line.len;

    switch (logs_random() % 6) {
    case 0:
        return str_format(arena, "%d", (int)(logs_random() % 1000));
    case 1:
        return logs_mosaic(arena);
    case 2: /* with one byte changed */
        text = str_dup(arena, str_slice(line, at, 1 + logs_random() % 20));
        if (text.len > 0) ((char *)(uintptr_t)text.ptr)[logs_random() % text.len] ^= 1;
        return text;
    case 3:
        return str_slice(line, at, 1 + logs_random() % 100);
    default:
        return str_slice(line, at, 1 + logs_random() % 12);
    }
}

static LogFilter some_filter(Arena *arena, const LogRows *rows) {
    LogNeedle *needles = ARENA_ARRAY(arena, LogNeedle, NEEDLES_MAX);
    LogFilter filter = {.needles = needles, .needle_count = 1 + logs_random() % NEEDLES_MAX};

    for (size_t n = 0; n < filter.needle_count; n++) {
        Str *texts = ARENA_ARRAY(arena, Str, TEXTS);

        needles[n] = (LogNeedle){
            .any = texts, .count = 1 + logs_random() % TEXTS, .negated = logs_random() % 3 == 0};
        for (size_t i = 0; i < needles[n].count; i++) texts[i] = some_text(arena, rows);
    }
    return filter;
}

/* Any run of a line's parts is what stands there in the line. */
static void check_parts(LogText *text, uint32_t row, Str line, Arena *arena) {
    LogShape *shape = NULL;
    Str whole, part;
    Error err = {0};
    size_t at = 0;

    assert_ok(log_text_line(text, row, arena, &whole, &err), &err);
    assert_true(str_equal(whole, line));
    assert_ok(log_text_shape(text, row, &shape, &err), &err);
    for (uint32_t p = 0; p < shape->part_count; p++) {
        LogSpan one = {.first = p, .end = p + 1}, rest = {.first = p, .end = shape->part_count};

        assert_ok(log_text_span(text, row, &rest, arena, &part, &err), &err);
        assert_true(str_equal(part, str_from(line, at)));
        if (shape->parts[p].kind == LOG_PART_TEXT && shape->parts[p].length > 1) {
            LogSpan cut = rest;

            cut.skip = 1;
            assert_ok(log_text_span(text, row, &cut, arena, &part, &err), &err);
            assert_true(str_equal(part, str_from(line, at + 1)));
        }
        assert_ok(log_text_span(text, row, &one, arena, &part, &err), &err);
        assert_true(str_starts_with(str_from(line, at), part));
        assert_true(part.len > 0);
        at += part.len;
    }
    assert_int_equal(at, line.len);
}

static void check_view(const LogRows *rows, const LogPageRead *read, const LogView *view,
                       Arena *arena) {
    size_t got = 0;

    assert_true(view->exact);
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->times_ns[i] < read->min_ns || rows->times_ns[i] > read->max_ns) continue;
        if (read->filter != NULL && !passes(rows->lines[i], read->filter)) continue;
        assert_true(got < view->count);
        assert_int_equal(view->times_ns[got], rows->times_ns[i]);
        if ((read->columns & LOG_LINES) != 0 && view->text == NULL)
            assert_true(str_equal(view->lines[got], rows->lines[i]));
        if ((read->columns & LOG_LENGTHS) != 0)
            assert_int_equal(view->lengths[got], rows->lines[i].len);
        if (view->text != NULL) check_parts(view->text, view->rows[got], rows->lines[i], arena);
        got++;
    }
    assert_int_equal(got, view->count);
}

static void read_page(LogDecoder *decoder, Str page, const LogRows *rows, Arena *arena) {
    static const unsigned COLUMNS[] = {0, LOG_LINES, LOG_LENGTHS, LOG_PARTS,
                                       LOG_PARTS | LOG_LENGTHS};

    for (size_t k = 0; k < 40; k++) {
        LogFilter filter = some_filter(arena, rows);
        LogPageRead read = {
            .rows = (uint32_t)rows->count,
            .count = (uint32_t)rows->count,
            .filter = k == 0 ? NULL : &filter,
            .columns = LOG_TIMES | COLUMNS[logs_random() % ARRAY_LEN(COLUMNS)],
            .min_ns = rows->times_ns[k % 5 == 0 ? logs_random() % rows->count : 0],
            .max_ns = rows->times_ns[rows->count - 1],
        };
        LogView view = {0};
        Error err = {0};

        arena_reset(decoder->arena);
        assert_ok(log_page_decode(decoder, page, &read, &view, &err), &err);
        check_view(rows, &read, &view, arena);
    }
}

static void rows_pass_a_filter_as_their_lines_do(void **state) {
    CLEANUP(log_decoder_free) LogDecoder *decoder = log_decoder_new(NULL);
    LogEncoder *encoder = log_encoder_new();

    (void)state;
    for (size_t round = 0; round < 60; round++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        CLEANUP_IN_PLACE(buf_done) Buf page;
        size_t count = 1 + logs_random() % ROWS_MAX, shape = logs_random();
        int64_t *times = ARENA_ARRAY(arena, int64_t, count);
        Str *lines = ARENA_ARRAY(arena, Str, count);
        LogRows rows = {times, lines, NULL, count};

        buf_init(&page, 0);
        for (size_t i = 0; i < count; i++) {
            times[i] = 1700000000000000000 + (int64_t)i * 12345678901;
            lines[i] = some_line(arena, times[i], round % 2 == 0, shape);
        }
        assert_true(log_page_encode(encoder, &rows, &page));
        read_page(decoder, buf_str(&page), &rows, arena);
    }
    log_encoder_free(encoder);
}

/* Templates that never come back: what is kept of them stays within what there is. */
static void shapes_go_when_memory_is_short(void **state) {
    CLEANUP(log_decoder_free) LogDecoder *decoder = NULL;
    LogEncoder *encoder = log_encoder_new();
    size_t cleared = 0;
    Budget budget;

    (void)state;
    budget_init(&budget, "test", MIB(8), NULL);
    decoder = log_decoder_new(&budget);
    for (unsigned page = 0; page < 60; page++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        CLEANUP_IN_PLACE(buf_done) Buf bytes;
        int64_t times[200];
        Str lines[200];
        LogRows rows = {times, lines, NULL, 200};
        LogPageRead read = {.rows = 200, .count = 200, .columns = LOG_PARTS, .max_ns = 200};
        LogView view = {0};
        Error err = {0};

        buf_init(&bytes, 0);
        for (unsigned i = 0; i < 200; i++) {
            times[i] = i;
            lines[i] = str_format(arena, "%c%c%c%c a=%u b=%u c=%u d=%u and much that is constant",
                                  'g' + (int)(page % 16), 'g' + (int)(page / 16),
                                  'g' + (int)(i % 16), 'g' + (int)(i / 2 / 16), i, i, i, i);
        }
        assert_true(log_page_encode(encoder, &rows, &bytes));
        arena_reset(decoder->arena);
        cleared += log_shapes_begin(decoder->shapes);
        assert_ok(log_page_decode(decoder, buf_str(&bytes), &read, &view, &err), &err);
        for (uint32_t i = 0; view.text != NULL && i < 200; i++)
            check_parts(view.text, i, lines[i], arena);
    }
    assert_true(cleared > 0);
    log_encoder_free(encoder);
}

static void what_is_too_much_to_judge_is_left_to_who_asked(void **state) {
    CLEANUP(log_decoder_free) LogDecoder *decoder = log_decoder_new(NULL);
    CLEANUP_IN_PLACE(buf_done) Buf page;
    LogEncoder *encoder = log_encoder_new();
    int64_t times[] = {1, 2};
    Str lines[] = {STR("one 1 x"), STR("two 2 x")}, texts[100];
    LogRows rows = {times, lines, NULL, 2};
    LogNeedle many = {.any = texts, .count = 100},
              folded = {.any = lines, .count = 1, .fold_case = true};
    LogPageRead read = {.rows = 2, .count = 2, .columns = LOG_TIMES, .max_ns = 9};
    LogFilter filter = {.needle_count = 1};
    LogView view = {0};
    Error err = {0};

    (void)state;
    buf_init(&page, 0);
    for (size_t i = 0; i < 100; i++) texts[i] = STR("nothing");
    assert_true(log_page_encode(encoder, &rows, &page));
    read.filter = &filter;
    filter.needles = &many;
    assert_ok(log_page_decode(decoder, buf_str(&page), &read, &view, &err), &err);
    assert_false(view.exact);
    assert_int_equal(view.count, 2);
    assert_true(str_equal(view.lines[1], lines[1]));
    filter.needles = &folded;
    assert_ok(log_page_decode(decoder, buf_str(&page), &read, &view, &err), &err);
    assert_false(view.exact);
    assert_int_equal(view.count, 1);
    assert_true(str_equal(view.lines[0], lines[0]));
    log_encoder_free(encoder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_pass_a_filter_as_their_lines_do),
        cmocka_unit_test(shapes_go_when_memory_is_short),
        cmocka_unit_test(what_is_too_much_to_judge_is_left_to_who_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
