/* Logs in blocks: what comes back is what was written, byte for byte, whole or in part. */
#include "common/block/cache.h"
#include "common/block/log_filter.h"
#include "common/block/log_page.h"
#include "tests/unit/block/logs_model.h"

static const Str KEY = STR_INIT("block");

/* A store with the model's object, opened. */
typedef struct Opened {
    Store *store;
    BlockCache *cache;
    Arena *arena;
    BlockStats stats;
    const Block *block;
    LogDecoder *decoder;
} Opened;

static void open_object(Opened *o, Str object) {
    Error err = {0};

    *o = (Opened){.store = store_new(store_driver_memory()), .arena = arena_new(0, NULL)};
    assert_ok(store_put(o->store, KEY, object, NULL, &err), &err);
    o->cache = block_cache_new(o->store, NULL);
    assert_ok(block_open(o->cache, KEY, 0, o->arena, &o->stats, &o->block, &err), &err);
    o->decoder = log_decoder_new(NULL);
}

static void close_object(Opened *o) {
    log_decoder_free(o->decoder);
    arena_free(o->arena);
    block_cache_free(o->cache);
    store_free(o->store);
}

static LogsSelection select_all(Opened *o, const LogFilter *filter, int64_t min_ns,
                                int64_t max_ns) {
    LogSelect select = {.tenant = STR("t"), .min_ns = min_ns, .max_ns = max_ns, .filter = filter};
    LogsSelection selection;
    Error err = {0};

    assert_ok(block_logs_select(o->block, &select, o->arena, &o->stats, &selection, &err), &err);
    return selection;
}

static Str metadata_of(const LogRows *rows, size_t i) {
    return rows->metadata == NULL ? (Str){"", 0} : rows->metadata[i];
}

static void assert_same_rows(const LogView *view, const LogRows *rows, size_t first) {
    assert_true(first + view->count <= rows->count);
    for (size_t i = 0; i < view->count; i++) {
        assert_int_equal(view->times_ns[i], rows->times_ns[first + i]);
        assert_true(str_equal(view->lines[i], rows->lines[first + i]));
        assert_int_equal(view->lengths[i], rows->lines[first + i].len);
        assert_true(str_equal(view->metadata == NULL ? (Str){"", 0} : view->metadata[i],
                              metadata_of(rows, first + i)));
    }
}

enum { ALL_COLUMNS = LOG_TIMES | LOG_LINES | LOG_METADATA | LOG_LENGTHS };

static void check_stream(Opened *o, const LogsSelection *selection, const SelectedStream *stream,
                         const ModelStream *model) {
    size_t at = 0;
    Error err = {0};

    assert_int_equal(stream->pair_count, model->labels.count);
    for (uint32_t i = 0; i < stream->pair_count; i++)
        assert_true(
            str_equal(selection->pairs[stream->pairs[i]].value, model->labels.pairs[i].value));
    for (uint32_t p = 0; p < stream->page_count; p++) {
        LogView view = {0};

        assert_ok(log_page_read(o->decoder, selection, &stream->pages[p], NULL, ALL_COLUMNS,
                                INT64_MIN, INT64_MAX, &view, &err),
                  &err);
        assert_int_equal(view.count, stream->pages[p].count);
        assert_int_equal(view.times_ns[0], stream->pages[p].min_ns);
        assert_int_equal(view.times_ns[view.count - 1], stream->pages[p].max_ns);
        assert_same_rows(&view, &model->rows, at);
        at += view.count;
    }
    assert_int_equal(at, model->rows.count);
}

static void check_model(LogsModel *m) {
    LogsSelection selection;
    Opened o;

    open_object(&o, buf_str(&m->object));
    selection = select_all(&o, NULL, INT64_MIN, INT64_MAX);
    assert_int_equal(selection.stream_count, m->stream_count);
    for (size_t i = 0; i < m->stream_count; i++)
        check_stream(&o, &selection, &selection.streams[i], &m->streams[i]);
    close_object(&o);
}

static void entries_come_back_byte_for_byte(void **state) {
    (void)state;
    for (size_t round = 0; round < 12; round++) {
        LogsModel m;

        logs_make(&m, 1 + round * 3, round % 3 == 0 ? 3000 : 40, round % 2 == 0);
        check_model(&m);
        logs_done(&m);
    }
}

static void a_block_says_what_it_holds(void **state) {
    (void)state;
    uint64_t rows = 0;
    LogsModel m;
    Error err = {0};
    Buf text;

    logs_make(&m, 9, 500, true);
    for (size_t i = 0; i < m.stream_count; i++) rows += m.streams[i].rows.count;
    assert_int_equal(m.summary.part_count, 1);
    assert_int_equal(m.summary.parts[0].signal, SIGNAL_LOGS);
    assert_int_equal(m.summary.parts[0].series, 9);
    assert_int_equal(m.summary.parts[0].items, rows);
    buf_init(&text, 0);
    assert_ok(block_inspect(buf_str(&m.object), &text, &err), &err);
    assert_true(text.len > 0);
    buf_done(&text);
    logs_done(&m);
}

static void small_streams_share_pages(void **state) {
    (void)state;
    LogsSelection selection;
    LogsModel m;
    Opened o;

    logs_make(&m, 300, 3, false);
    open_object(&o, buf_str(&m.object));
    selection = select_all(&o, NULL, INT64_MIN, INT64_MAX);
    assert_int_equal(selection.stream_count, 300);
    for (size_t i = 0; i < 300; i++) assert_int_equal(selection.streams[i].pages[0].page, 0);
    assert_true(m.object.len < 60000);
    close_object(&o);
    check_model(&m);
    logs_done(&m);
}

static void a_range_cuts_streams_pages_and_entries(void **state) {
    (void)state;
    LogsSelection selection;
    size_t got = 0, wanted = 0;
    int64_t min_ns, max_ns;
    Error err = {0};
    LogsModel m;
    Opened o;

    logs_make(&m, 6, 4000, false);
    min_ns = m.streams[0].rows.times_ns[m.streams[0].rows.count / 3];
    max_ns = m.streams[0].rows.times_ns[m.streams[0].rows.count / 2];
    for (size_t s = 0; s < m.stream_count; s++) {
        const LogRows *rows = &m.streams[s].rows;

        for (size_t i = 0; i < rows->count; i++)
            wanted += rows->times_ns[i] >= min_ns && rows->times_ns[i] <= max_ns;
    }
    open_object(&o, buf_str(&m.object));
    selection = select_all(&o, NULL, min_ns, max_ns);
    for (size_t s = 0; s < selection.stream_count; s++) {
        for (uint32_t p = 0; p < selection.streams[s].page_count; p++) {
            LogView view = {0};

            assert_ok(log_page_read(o.decoder, &selection, &selection.streams[s].pages[p], NULL,
                                    LOG_TIMES, min_ns, max_ns, &view, &err),
                      &err);
            for (size_t i = 0; i < view.count; i++)
                assert_true(view.times_ns[i] >= min_ns && view.times_ns[i] <= max_ns);
            assert_null(view.lines);
            got += view.count;
        }
    }
    assert_int_equal(got, wanted);
    close_object(&o);
    logs_done(&m);
}

static void pages_that_were_fetched_need_no_more_gets(void **state) {
    (void)state;
    const LogPage **pages;
    LogsSelection selection;
    size_t count = 0;
    uint64_t gets;
    Error err = {0};
    LogsModel m;
    Opened o;

    logs_make(&m, 20, 2000, true);
    open_object(&o, buf_str(&m.object));
    selection = select_all(&o, NULL, INT64_MIN, INT64_MAX);
    pages = ARENA_ARRAY(o.arena, const LogPage *, 10000);
    for (size_t s = 0; s < selection.stream_count; s++) {
        for (uint32_t p = 0; p < selection.streams[s].page_count; p++)
            pages[count++] = &selection.streams[s].pages[p];
    }
    assert_ok(log_pages_fetch(&selection, pages, count, o.arena, &o.stats, &err), &err);
    gets = atomic_load(&o.stats.gets);
    assert_true(gets <= 4);
    for (size_t s = 0; s < m.stream_count; s++)
        check_stream(&o, &selection, &selection.streams[s], &m.streams[s]);
    assert_int_equal(atomic_load(&o.stats.gets), gets);
    close_object(&o);
    logs_done(&m);
}

static void a_cursor_goes_through_all_streams(void **state) {
    (void)state;
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    LabelPairs labels;
    LogCursor *cursor;
    bool more = false;
    Error err = {0};
    LogsModel m;
    Opened o;

    logs_make(&m, 40, 900, true);
    open_object(&o, buf_str(&m.object));
    assert_ok(log_cursor_open(o.store, KEY, 0, STR("t"), LOG_WINDOW_BYTES, arena, &cursor, &err),
              &err);
    for (size_t s = 0; s < m.stream_count; s++) {
        const LogRows *rows = &m.streams[s].rows;
        size_t at = 0;

        assert_ok(log_cursor_stream(cursor, &labels, &more, &err), &err);
        assert_true(more);
        assert_int_equal(labels_compare(labels, m.streams[s].labels), 0);
        if (s % 5 == 4) continue; /* what is left of it is skipped */
        for (;;) {
            LogRows got = {0};

            assert_ok(log_cursor_rows(cursor, &got, &more, &err), &err);
            if (!more) break;
            for (size_t i = 0; i < got.count; i++, at++) {
                assert_int_equal(got.times_ns[i], rows->times_ns[at]);
                assert_true(str_equal(got.lines[i], rows->lines[at]));
                assert_true(str_equal(metadata_of(&got, i), metadata_of(rows, at)));
            }
        }
        assert_int_equal(at, rows->count);
    }
    assert_ok(log_cursor_stream(cursor, &labels, &more, &err), &err);
    assert_false(more);
    log_cursor_close(cursor);
    close_object(&o);
    logs_done(&m);
}

static void labels_come_from_the_dictionary(void **state) {
    (void)state;
    Error err = {0};
    size_t count;
    LogsModel m;
    Opened o;
    Str *list;

    logs_make(&m, 7, 3, true);
    open_object(&o, buf_str(&m.object));
    assert_ok(block_logs_labels(o.block, STR("t"), STR(""), o.arena, &o.stats, &list, &count, &err),
              &err);
    assert_int_equal(count, 2);
    assert_ok(
        block_logs_labels(o.block, STR("t"), STR("pod"), o.arena, &o.stats, &list, &count, &err),
        &err);
    assert_int_equal(count, 7);
    assert_ok(
        block_logs_labels(o.block, STR("u"), STR("pod"), o.arena, &o.stats, &list, &count, &err),
        &err);
    assert_int_equal(count, 0);
    close_object(&o);
    logs_done(&m);
}

static void a_heads_page_is_put_in_order_of_time(void **state) {
    (void)state;
    CLEANUP(log_decoder_free) LogDecoder *decoder = log_decoder_new(NULL);
    static const int64_t TIMES[] = {50, 10, 30, 10, 70, 30, 20};
    static const char *const LINES[] = {"f", "a", "d", "b", "g", "e", "c"};
    LogStreamState stream = {0};
    uint8_t bytes[512];
    size_t n = 0;
    LogView view = {0};
    LogPage page = {.kind = LOG_PAGE_HEAD};
    Error err = {0};

    for (size_t i = 0; i < ARRAY_LEN(TIMES); i++) {
        LogEntry entry = {TIMES[i], str_of(LINES[i]), {"", 0}};

        n += log_stream_append(&stream, bytes + n, &entry);
    }
    page.bytes = (Str){(const char *)bytes, n};
    page.count = ARRAY_LEN(TIMES);
    assert_ok(log_page_read(decoder, NULL, &page, NULL, ALL_COLUMNS, 10, 50, &view, &err), &err);
    assert_int_equal(view.count, 6);
    for (size_t i = 0; i < 6; i++) assert_int_equal(view.lines[i].ptr[0], "abcdef"[i]);
    assert_null(view.metadata);
    page.bytes.len--;
    assert_int_equal(log_page_read(decoder, NULL, &page, NULL, ALL_COLUMNS, 10, 50, &view, &err),
                     ERR_CORRUPT);
}

/* What a filter lets through of one stream: all rows that hold the needle, in order. */
static void check_needle(Opened *o, const LogsModel *m, Str needle, bool fold_case,
                         Str looked_for) {
    LogNeedle one = {.any = &looked_for, .count = 1, .fold_case = fold_case};
    LogFilter filter = {.needles = &one, .needle_count = 1};
    LogsSelection selection = select_all(o, &filter, INT64_MIN, INT64_MAX);
    size_t wanted = 0, got = 0;
    Error err = {0};

    for (size_t s = 0; s < m->stream_count; s++) {
        const LogRows *rows = &m->streams[s].rows;

        for (size_t i = 0; i < rows->count; i++)
            wanted +=
                rows->lines[i].len >= needle.len &&
                memmem(rows->lines[i].ptr, rows->lines[i].len, needle.ptr, needle.len) != NULL;
    }
    for (size_t s = 0; s < selection.stream_count; s++) {
        for (uint32_t p = 0; p < selection.streams[s].page_count; p++) {
            LogView view = {0};

            assert_ok(log_page_read(o->decoder, &selection, &selection.streams[s].pages[p], &filter,
                                    ALL_COLUMNS, INT64_MIN, INT64_MAX, &view, &err),
                      &err);
            for (size_t i = 0; i < view.count; i++) {
                assert_int_equal(view.lengths[i], view.lines[i].len);
                got += view.lines[i].len >= needle.len &&
                       memmem(view.lines[i].ptr, view.lines[i].len, needle.ptr, needle.len) != NULL;
            }
        }
    }
    assert_int_equal(got, wanted);
}

/* Letters of the other case, as someone may type them who looks without minding it. */
static Str other_case(Arena *arena, Str s) {
    Str copy = str_dup(arena, s);

    for (size_t i = 0; i < copy.len; i++) {
        char c = copy.ptr[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
            ((char *)copy.ptr)[i] = (char)(c ^ 32);
    }
    return copy;
}

static void no_filter_loses_a_line_that_holds_the_needle(void **state) {
    (void)state;
    for (size_t round = 0; round < 6; round++) {
        LogsModel m;
        Opened o;

        logs_make(&m, 5, 400, round % 2 == 0);
        open_object(&o, buf_str(&m.object));
        for (size_t k = 0; k < 60; k++) {
            const LogRows *rows = &m.streams[logs_random() % m.stream_count].rows;
            Str line = rows->lines[logs_random() % rows->count], needle;

            if (line.len == 0) continue;
            needle = str_slice(line, logs_random() % line.len, 1 + logs_random() % 80);
            check_needle(&o, &m, needle, false, needle);
            check_needle(&o, &m, needle, true, other_case(o.arena, needle));
        }
        close_object(&o);
        logs_done(&m);
    }
}

static void an_id_that_is_nowhere_needs_no_page(void **state) {
    (void)state;
    const char *const IDS[] = {"6ba7b810-9dad-11d1-80b4-00c04fd430c8",
                               "id=\"6BA7B810-9dad-11d1-80b4-00c04fd430c8\"",
                               "4bf92f3577b34da6a3ce929d0e0e4736"};
    LogsModel m;
    Opened o;

    logs_make(&m, 6, 3000, false);
    open_object(&o, buf_str(&m.object));
    for (size_t i = 0; i < ARRAY_LEN(IDS); i++) {
        Str id = str_of(IDS[i]);
        LogNeedle one = {.any = &id, .count = 1};
        LogFilter filter = {.needles = &one, .needle_count = 1};
        LogsSelection selection = select_all(&o, &filter, INT64_MIN, INT64_MAX);

        assert_true(selection.stream_count <= 1);
    }
    close_object(&o);
    logs_done(&m);
}

/* Which of the streams have pages that may hold a label or metadata of this value, as bits. */
static unsigned streams_with(Opened *o, Str value) {
    LogMetadataNeedle one = {STR("id"), value};
    LogFilter filter = {.metadata = &one, .metadata_count = 1};
    LogsSelection selection = select_all(o, &filter, INT64_MIN, INT64_MAX);
    unsigned out = 0;

    for (size_t s = 0; s < selection.stream_count; s++) {
        const SelectedStream *stream = &selection.streams[s];
        Str number = selection.pairs[stream->pairs[0]].value;

        for (uint32_t p = 0; p < stream->page_count; p++)
            if (!stream->pages[p].lacks) out |= 1u << (number.ptr[0] - '0');
    }
    return out;
}

static void ids_in_metadata_and_labels_choose_pages(void **state) {
    enum { STREAMS = 4, ROWS = 3000 };
    Arena *arena = arena_new(0, NULL);
    Str ids[STREAMS], line;
    Buf object;
    BlockSummary summary;
    Opened o;
    Error err = {0};

    (void)state;
    buf_init(&object, 0);
    BlockWriter *writer = block_writer_new(arena, block_sink_buf(&object), 1);
    assert_ok(block_logs_begin(writer, STR("t"), &err), &err);
    line = STR(
        "what is written again and again until there are pages enough, and without any id in it");
    for (unsigned s = 0; s < STREAMS; s++) {
        bool in_label = s == 3, small = s == 2; /* a small one shares its page with the next */
        size_t count = small ? 10 : ROWS;
        LabelPair labels[] = {{STR("a"), str_format(arena, "%u", s)}, {STR("id"), STR("none")}};
        int64_t *times = ARENA_ARRAY(arena, int64_t, count);
        Str *lines = ARENA_ARRAY(arena, Str, count), *metadata = ARENA_ARRAY(arena, Str, count);

        ids[s] = s % 2 == 0 ? logs_hex(arena, 32, false) : logs_uuid(arena);
        if (in_label) labels[1].value = ids[s];
        for (size_t i = 0; i < count; i++) {
            LabelPair pair = {STR("id"), ids[s]};

            times[i] = (int64_t)i * 1000000;
            lines[i] = line;
            metadata[i] = STR("");
            if (i != count / 2 || in_label) continue;
            Buf encoded;
            buf_init(&encoded, 0);
            labels_encode((LabelPairs){&pair, 1}, &encoded);
            metadata[i] = str_dup(arena, buf_str(&encoded));
            buf_done(&encoded);
        }
        assert_ok(block_logs_stream(writer, (LabelPairs){labels, 2}, &err), &err);
        assert_ok(block_logs_rows(writer, &(LogRows){times, lines, metadata, count}, &err), &err);
    }
    assert_ok(block_logs_end(writer, &err), &err);
    assert_ok(block_writer_finish(writer, &summary, &err), &err);
    open_object(&o, buf_str(&object));
    for (unsigned s = 0; s < STREAMS; s++) assert_true((streams_with(&o, ids[s]) & 1u << s) != 0);
    assert_int_equal(streams_with(&o, ids[0]), 1);
    assert_int_equal(streams_with(&o, ids[1]), 2);
    assert_int_equal(streams_with(&o, logs_uuid(arena)), 0);
    assert_int_equal(streams_with(&o, STR("none")), 15); /* no id: filters say nothing */
    close_object(&o);
    buf_done(&object);
    arena_free(arena);
}

static void escapes_that_spell_an_id_are_known(void **state) {
    static const char *const spells[] = {
        "\\u0030", "\\u0039", "\\u0041",   "\\u0066",
        "\\u002d", "\\u002D", "\\\\u0037", "{\"a\":\"x\\n\\u003c\\u00\\u0061\"}"};
    static const char *const others[] = {"",        "\\",      "\\u003",   "\\u002e", "\\u003a",
                                         "\\u0047", "\\u0067", "\\U0037",  "\\u0137", "\\u1037",
                                         "u0037",   "\\u00g0", "\\u00\\u", "\\n0037"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(spells); i++)
        if (!log_spells_id(str_of(spells[i]))) fail_msg("%s", spells[i]);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (log_spells_id(str_of(others[i]))) fail_msg("%s", others[i]);
}

static void bits_of_pages_come_back_or_are_corrupt(void **state) {
    LogLiteralBuilder b = {0};
    LogLiteral literal;
    Error err;
    Buf out;

    (void)state;
    buf_init(&b.bits, 0);
    buf_init(&out, 0);
    for (unsigned i = 0; i < 203; i++) assert_true(log_literal_add(&b, i % 3 == 0));
    log_literal_build(&b, &out);
    assert_ok(log_literal_decode(buf_str(&out), &literal, &err), &err);
    assert_int_equal(literal.page_count, 203);
    for (unsigned i = 0; i < 203; i++) assert_int_equal(log_literal_has(&literal, i), i % 3 == 0);
    assert_false(log_literal_has(&literal, 203));
    for (size_t n = 0; n < out.len; n++)
        assert_int_equal(log_literal_decode((Str){out.ptr, n}, &literal, &err), ERR_CORRUPT);
    buf_append_byte(&out, 0);
    assert_int_equal(log_literal_decode(buf_str(&out), &literal, &err), ERR_CORRUPT);
    assert_int_equal(
        log_literal_decode(STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), &literal, &err),
        ERR_CORRUPT);
    buf_done(&out);
    buf_done(&b.bits);
}

static void patterns_are_templates_with_counts(void **state) {
    (void)state;
    LogPattern *list = NULL;
    LogsSelection selection;
    size_t count = 0;
    uint64_t total = 0;
    Error err = {0};
    LogsModel m;
    Opened o;

    logs_make(&m, 2, 300, false);
    open_object(&o, buf_str(&m.object));
    selection = select_all(&o, NULL, INT64_MIN, INT64_MAX);
    for (size_t s = 0; s < 2; s++) {
        assert_ok(log_page_patterns(o.decoder, &selection, &selection.streams[s].pages[0], o.arena,
                                    &list, &count, &err),
                  &err);
        for (size_t i = 0; i < count; i++) total += list[i].count;
    }
    assert_int_equal(total, m.streams[0].rows.count + m.streams[1].rows.count);
    assert_int_equal(count, 1);
    assert_true(str_equal(list[0].text, STR("{\"request\":\"<_>\",\"user\":<_>}")));
    close_object(&o);
    logs_done(&m);
}

/* ---------- hostile bytes ---------- */

static void read_hostile(LogDecoder *decoder, Str page, uint32_t rows) {
    static const Str ANY = STR_INIT("error");
    const LogNeedle one = {.any = &ANY, .count = 1};
    const LogFilter filter = {.needles = &one, .needle_count = 1};
    LogPageRead read = {.rows = rows, .count = rows, .columns = ALL_COLUMNS, .any_order = true};
    LogView view = {0};
    Error err = {0};

    arena_reset(decoder->arena);
    (void)!log_page_decode(decoder, page, &read, &view, &err);
    arena_reset(decoder->arena);
    read.filter = &filter;
    (void)!log_page_decode(decoder, page, &read, &view, &err);
}

static void a_page_cut_or_changed_anywhere_is_survived(void **state) {
    (void)state;
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP(log_decoder_free) LogDecoder *decoder = NULL;
    LogEncoder *encoder = log_encoder_new();
    Budget budget;
    ModelStream s;
    Buf page;

    budget_init(&budget, "test", MIB(64), NULL);
    decoder = log_decoder_new(&budget);
    buf_init(&page, 0);
    for (size_t shape = 0; shape < 6; shape += 2) {
        logs_stream(arena, shape, 60, shape == 2, &s);
        assert_true(log_page_encode(encoder, &s.rows, &page));
        for (size_t cut = 0; cut <= page.len; cut++) {
            char *copy = malloc(cut + 1); /* so that a byte too far is seen */

            memcpy(copy, page.ptr, cut);
            read_hostile(decoder, (Str){copy, cut}, 60);
            free(copy);
        }
        for (size_t i = 0; i < 4000; i++) {
            size_t at = logs_random() % page.len;
            char old = page.ptr[at];

            page.ptr[at] = i % 2 == 0 ? (char)(old ^ 1 << logs_random() % 8) : (char)logs_random();
            read_hostile(decoder, buf_str(&page), 60);
            page.ptr[at] = old;
        }
    }
    buf_done(&page);
    log_encoder_free(encoder);
}

static void running_out_of_memory_anywhere_is_an_error(void **state) {
    (void)state;
    LogsModel m;
    Opened o;

    logs_make(&m, 3, 200, true);
    open_object(&o, buf_str(&m.object));
    for (size_t limit = 0; limit < KIB(600); limit += KIB(8)) {
        LogSelect select = {.tenant = STR("t"), .min_ns = INT64_MIN, .max_ns = INT64_MAX};
        LogsSelection selection = {0};
        LogView view = {0};
        Budget budget;
        Error err = {0};

        budget_init(&budget, "test", limit + 1, NULL);
        {
            CLEANUP(arena_free) Arena *arena = arena_new(0, &budget);
            CLEANUP(log_decoder_free) LogDecoder *decoder = log_decoder_new(&budget);
            ErrCode code = block_logs_select(o.block, &select, arena, &o.stats, &selection, &err);

            assert_true(code == ERR_OK || code == ERR_LIMIT);
            if (code == ERR_OK && decoder != NULL) {
                code = log_page_read(decoder, &selection, &selection.streams[0].pages[0], NULL,
                                     ALL_COLUMNS, INT64_MIN, INT64_MAX, &view, &err);
                assert_true(code == ERR_OK || code == ERR_LIMIT);
            }
        }
        assert_int_equal(budget_used(&budget), 0);
    }
    close_object(&o);
    logs_done(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_back_byte_for_byte),
        cmocka_unit_test(a_block_says_what_it_holds),
        cmocka_unit_test(small_streams_share_pages),
        cmocka_unit_test(a_range_cuts_streams_pages_and_entries),
        cmocka_unit_test(pages_that_were_fetched_need_no_more_gets),
        cmocka_unit_test(a_cursor_goes_through_all_streams),
        cmocka_unit_test(labels_come_from_the_dictionary),
        cmocka_unit_test(a_heads_page_is_put_in_order_of_time),
        cmocka_unit_test(no_filter_loses_a_line_that_holds_the_needle),
        cmocka_unit_test(ids_in_metadata_and_labels_choose_pages),
        cmocka_unit_test(escapes_that_spell_an_id_are_known),
        cmocka_unit_test(bits_of_pages_come_back_or_are_corrupt),
        cmocka_unit_test(an_id_that_is_nowhere_needs_no_page),
        cmocka_unit_test(patterns_are_templates_with_counts),
        cmocka_unit_test(a_page_cut_or_changed_anywhere_is_survived),
        cmocka_unit_test(running_out_of_memory_anywhere_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
