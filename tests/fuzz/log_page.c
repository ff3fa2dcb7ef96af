/*
 * log_page.c: a page of logs, its index and its filters, of any bytes.
 *
 * The first byte of an input chooses: 0, the rest is a page, behind the number of its entries; 1, a
 * page index; 2, filters; 3, the rest is lines that are written to a page and must come back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/block/log_filter.h"
#include "common/block/log_index.h"
#include "common/block/log_judge.h"
#include "common/block/log_page.h"
#include "tests/fuzz/fuzz.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { MEMORY_MAX = 64 << 20, LINES_MAX = 4096, ALL_COLUMNS = 15 };

static void touch(const LogView *view) {
    CLEANUP(arena_free) Arena *arena = arena_new(MEMORY_MAX, NULL);
    uint64_t sum = 0;

    for (size_t i = 0; i < view->count; i++) {
        LogShape *shape;
        Error err;
        Str line;

        sum += (uint64_t)view->times_ns[i];
        if (view->text != NULL &&
            log_text_shape(view->text, view->rows[i], &shape, &err) == ERR_OK &&
            log_text_line(view->text, view->rows[i], arena, &line, &err) == ERR_OK && line.len > 0)
            sum += (uint8_t)line.ptr[line.len - 1];
        if (view->lines != NULL && view->lengths != NULL)
            CHECK(view->lines[i].len == view->lengths[i]);
        if (view->lines != NULL && view->lines[i].len > 0)
            sum += (uint8_t)view->lines[i].ptr[view->lines[i].len - 1];
        if (view->metadata != NULL && view->metadata[i].len > 0)
            sum += (uint8_t)view->metadata[i].ptr[view->metadata[i].len - 1];
    }
    CHECK(sum != 1 || view->count > 0); /* so that reading is not optimised away */
}

static void read_page(LogDecoder *decoder, Str page) {
    const Str any[2] = {STR("error"), STR("1.5")};
    const LogNeedle needles[] = {{.any = any, .count = 2, .fold_case = true},
                                 {.any = any, .count = 2}};
    LogFilter filter = {.needle_count = 1};
    Reader r = reader_of(page);
    LogPageRead read = {.columns = ALL_COLUMNS, .max_ns = INT64_MAX, .min_ns = INT64_MIN};
    LogView view = {0};
    Error err;

    read.rows = (uint32_t)reader_varint(&r);
    page = (Str){(const char *)r.at, reader_left(&r)};
    for (int round = 0; round < 4; round++) {
        read.any_order = round != 1;
        read.filter = round >= 2 ? &filter : NULL;
        filter.needles = &needles[round % 2];
        if (round == 3) read.columns |= LOG_PARTS;
        read.first = round == 1 ? read.rows / 3 : 0;
        read.count = read.rows - read.first;
        arena_reset(decoder->arena);
        if (log_page_decode(decoder, page, &read, &view, &err) == ERR_OK) touch(&view);
    }
}

static void read_index(Str bytes) {
    CLEANUP(arena_free) Arena *arena = arena_new(MEMORY_MAX, NULL);
    LogIndex index;
    Error err;

    if (log_index_decode(bytes, 8, 1000, arena, &index, &err) != ERR_OK) return;
    for (uint32_t i = 0; i < index.piece_count; i++) {
        CHECK(index.pieces[i].page < index.page_count);
        CHECK(index.pieces[i].first_row + index.pieces[i].rows <=
              index.page_rows[index.pieces[i].page]);
    }
}

static void read_filters(Str bytes) {
    CLEANUP(arena_free) Arena *arena = arena_new(MEMORY_MAX, NULL);
    LogFilters filters;
    LogLiteral literal;
    Error err;

    if (log_literal_decode(bytes, &literal, &err) == ERR_OK)
        for (uint32_t i = 0; i < MIN(literal.page_count, (uint32_t)4096); i++)
            (void)!log_literal_has(&literal, literal.page_count - i);
    if (log_filters_decode(bytes, arena, &filters, &err) != ERR_OK) return;
    for (uint32_t i = 0; i < filters.page_count; i++)
        (void)!log_filters_may_hold(&filters, i, 0x123456789abcdef0u * (i + 1));
}

/* Every key of a part of a line must be a key of the line. */
static void check_keys(Str line) {
    LogKeys all[LOG_ID_KINDS] = {0}, part[LOG_ID_KINDS] = {0};

    (void)log_spells_id(line);
    log_keys_collect(line, all);
    log_keys_collect(str_slice(line, line.len / 5, line.len - line.len / 3), part);
    for (int kind = 0; kind < LOG_ID_KINDS; kind++) {
        for (size_t i = 0; i < part[kind].count; i++) {
            bool found = false;

            for (size_t k = 0; k < all[kind].count; k++)
                found |= all[kind].keys[k] == part[kind].keys[i];
            CHECK(found);
        }
        log_keys_done(&all[kind]);
        log_keys_done(&part[kind]);
    }
}

/* As many entries come through a filter as lines hold its text. */
static void check_filter(LogDecoder *decoder, Str page, const LogRows *rows) {
    Str text = str_slice(rows->lines[0], rows->lines[0].len / 3, 1 + rows->lines[0].len / 4);
    LogNeedle needle = {.any = &text, .count = 1, .negated = rows->count % 2 == 0};
    LogFilter filter = {.needles = &needle, .needle_count = 1};
    LogPageRead read = {.rows = (uint32_t)rows->count,
                        .count = (uint32_t)rows->count,
                        .columns = LOG_TIMES,
                        .filter = &filter,
                        .any_order = true};
    LogView view = {0};
    size_t wanted = 0;
    Error err;

    for (size_t i = 0; i < rows->count; i++) {
        Str line = rows->lines[i];

        wanted += (text.len == 0 || (line.len >= text.len &&
                                     memmem(line.ptr, line.len, text.ptr, text.len) != NULL)) !=
                  needle.negated;
    }
    arena_reset(decoder->arena);
    CHECK(log_page_decode(decoder, page, &read, &view, &err) == ERR_OK);
    CHECK(view.exact && view.count == wanted);
}

/* Whatever lines have a value by themselves come through a filter of it. */
static void check_value(LogDecoder *decoder, Str page, const LogRows *rows) {
    Str line = rows->lines[0], text = str_from(line, MIN(line.len / 3 + 1, line.len));
    size_t n = 0;

    while (text.len > 0 &&
           !log_value_begins_behind(str_slice(line, 0, line.len - text.len), STR("x")))
        text = str_from(text, 1);
    while (n < text.len && !log_value_ends_before(text.ptr[n])) n++;
    text.len = n;
    LogValue value = {.label = STR("x"), .any = &text, .count = 1, .whole = rows->count % 3 != 0};
    LogFilter filter = {.values = &value, .value_count = 1};
    LogPageRead read = {.rows = (uint32_t)rows->count,
                        .count = (uint32_t)rows->count,
                        .columns = LOG_TIMES | LOG_LINES,
                        .filter = &filter,
                        .any_order = true};
    LogView view = {0};
    bool whole;
    Error err;
    Str piece;

    if (n == 0) return;
    value.key = value.whole && rows->count % 2 == 0 ? STR("x") : STR("");
    piece = log_value_piece(&value, 0, &whole);
    arena_reset(decoder->arena);
    CHECK(log_page_decode(decoder, page, &read, &view, &err) == ERR_OK);
    for (size_t i = 0, k = 0; i < rows->count; i++) {
        bool there = k < view.count && view.times_ns[k] == rows->times_ns[i];

        CHECK(there || piece.len == 0 ||
              !(whole ? log_whole_in_line(rows->lines[i], text, value.key)
                      : str_contains(rows->lines[i], piece)));
        k += there;
    }
}

static void round_trip(LogDecoder *decoder, Str text) {
    static Str lines[LINES_MAX];
    static int64_t times[LINES_MAX];
    LogEncoder *encoder = log_encoder_new();
    LogRows rows = {times, lines, lines, 0};
    LogPageRead read = {.columns = ALL_COLUMNS, .any_order = true};
    LogView view = {0};
    Error err;
    Buf page;

    while (rows.count == 0 || (text.len > 0 && rows.count < LINES_MAX)) {
        times[rows.count] = (int64_t)rows.count * 77777777 - 1000000000;
        (void)str_cut(text, '\n', &lines[rows.count], &text);
        check_keys(lines[rows.count++]);
    }
    buf_init(&page, 0);
    CHECK(encoder != NULL && log_page_encode(encoder, &rows, &page));
    read.rows = read.count = (uint32_t)rows.count;
    arena_reset(decoder->arena);
    CHECK(log_page_decode(decoder, buf_str(&page), &read, &view, &err) == ERR_OK);
    CHECK(view.count == rows.count);
    for (size_t i = 0; i < rows.count; i++) {
        CHECK(view.times_ns[i] == times[i] && view.lengths[i] == lines[i].len);
        CHECK(str_equal(view.lines[i], lines[i]));
        CHECK(view.metadata == NULL ? lines[i].len == 0 : str_equal(view.metadata[i], lines[i]));
    }
    check_filter(decoder, buf_str(&page), &rows);
    rows.metadata = NULL;
    CHECK(log_page_encode(encoder, &rows, &page));
    check_value(decoder, buf_str(&page), &rows);
    buf_done(&page);
    log_encoder_free(encoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Budget budget; /* goes after the decoder that takes from it */
    CLEANUP(log_decoder_free) LogDecoder *decoder = NULL;
    Str bytes = str_from((Str){(const char *)data, size}, 1);

    if (size < 1 || size > MIB(1)) return 0;
    budget_init(&budget, "fuzz", MEMORY_MAX, NULL);
    decoder = log_decoder_new(&budget);
    switch (data[0] % 4) {
    case 0:
        read_page(decoder, bytes);
        break;
    case 1:
        read_index(bytes);
        break;
    case 2:
        read_filters(bytes);
        break;
    default:
        round_trip(decoder, bytes);
    }
    return 0;
}

/* ---------- seeds ---------- */

static const char LINES[] =
    "ts=2026-01-05T03:04:05.006789Z level=error id=4bf92f3577b34da6a3ce929d0e0e4736 n=12.50ms\n"
    "ts=2026-01-05T03:04:06.006789Z level=info id=00f067aa0ba902b74bf92f3577b34da6 n=1.05ms\n"
    "10.0.0.1 - \"GET /items/0042\" {\"id\":\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\"}\n"
    "pod=cart-7d9f8b6c5d-x7k2z DEADBEEF00 1.2.3.4.5 24:61:00 00:00:00,5 \x11\x11\x00 "
    "999999999999999999\n"
    "x4bf92f3577b34da6a3ce929d0e0e47361234567890abcdefABCDEF0123456789abcdef\n";

static void seed_page(Buf *out) {
    LogEncoder *encoder = log_encoder_new();
    Str lines[64], left = {LINES, sizeof LINES - 1};
    int64_t times[64];
    LogRows rows = {times, lines, lines, 64};
    Buf page;

    for (size_t i = 0; i < rows.count; i++) {
        if (left.len == 0) left = (Str){LINES, sizeof LINES - 1};
        (void)str_cut(left, '\n', &lines[i], &left);
        times[i] = (int64_t)i * 1000;
    }
    buf_init(&page, 0);
    CHECK(encoder != NULL && log_page_encode(encoder, &rows, &page));
    buf_append_varint(out, rows.count);
    buf_append_str(out, buf_str(&page));
    buf_done(&page);
    log_encoder_free(encoder);
}

static void seed_index(Buf *out) {
    struct BuiltLogPage pages[] = {{600, 700, 2}, {400, 500, 1}};
    LogPiece pieces[] = {{5, 9, 3, 0, 30, 0}, {9, 20, 2, 3, 20, 0}, {-7, 4, 1, 0, 10, 1}};
    uint32_t per_stream[] = {2, 1};
    LogIndexBuilder b = {.pages = pages,
                         .page_count = 2,
                         .pieces = pieces,
                         .piece_count = 3,
                         .per_stream = per_stream,
                         .stream_count = 2};

    log_index_build(&b, out);
}

static void seed_filters(Buf *out) {
    LogKeys keys[LOG_ID_KINDS] = {0};
    LogFilterBuilder b = {0};

    buf_init(&b.lengths, 0);
    buf_init(&b.bits, 0);
    log_keys_collect((Str){LINES, sizeof LINES - 1}, keys);
    for (int kind = 0; kind < LOG_ID_KINDS; kind++) {
        CHECK(log_filter_add(&b, &keys[kind]));
        log_keys_done(&keys[kind]);
    }
    log_filters_build(&b, out);
    buf_done(&b.lengths);
    buf_done(&b.bits);
}

bool fuzz_seed(unsigned n, Buf *out) {
    if (n > 3) return false;
    buf_append_byte(out, (char)n);
    if (n == 0) seed_page(out);
    if (n == 1) seed_index(out);
    if (n == 2) seed_filters(out);
    if (n == 3) buf_append(out, LINES, sizeof LINES - 1);
    return true;
}
