/*
 * logql_stages.c: stages over lines: parsers, filters, templates. An input is a pipeline up to the
 * first zero byte, and the line behind it. Whatever either is, the entry is kept or left out, its
 * labels are sorted and of one name each, and templates end. What comes out of a line is the same
 * whether it is there or in parts.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/block/log_shape.h"
#include "querier/logql/engine/rows.h"
#include "querier/logql/parser.h"
#include "tests/fuzz/fuzz.h"

#define CHECK(condition, text)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, text);              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_labels(LabelPairs pairs) {
    for (size_t i = 0; i < pairs.count; i++) {
        CHECK(pairs.pairs[i].name.len > 0, "a label has no name");
        if (i > 0)
            CHECK(str_compare(pairs.pairs[i - 1].name, pairs.pairs[i].name) < 0,
                  "labels are not sorted");
    }
}

static bool same_pairs(LabelPairs a, LabelPairs b) {
    for (size_t i = 0; i < a.count && a.count == b.count; i++)
        if (!str_equal(a.pairs[i].name, b.pairs[i].name) ||
            !str_equal(a.pairs[i].value, b.pairs[i].value))
            return false;
    return a.count == b.count;
}

static void check_same(const Row *a, const Row *b) {
    CHECK(str_equal(a->line, b->line), "other lines");
    CHECK(memcmp(&a->sample, &b->sample, sizeof a->sample) == 0, "other samples");
    CHECK(same_pairs(a->stream, b->stream) && same_pairs(a->metadata, b->metadata) &&
              same_pairs(a->parsed, b->parsed) && a->has_error == b->has_error,
          "other labels");
}

/* The line, and one with other digits, as rows of a page. */
static void run_page(const RowPipeline *pipeline, RowWorker *worker, Arena *arena, Str line) {
    CLEANUP_IN_PLACE(buf_done) Buf page;
    static LogDecoder *decoder; /* both are much to make anew each time */
    static LogEncoder *encoder;
    Str lines[] = {line, str_dup(arena, line)};
    int64_t times[] = {1700000000123456789, 1700000000123456789};
    LogRows rows = {times, lines, NULL, 2};
    LogPageRead read = {.rows = 2, .count = 2, .columns = LOG_PARTS, .max_ns = INT64_MAX};
    LogView view = {0};
    RowWorker *other = NULL;
    Error err = {0};

    buf_init(&page, 0);
    if (decoder == NULL) decoder = log_decoder_new(NULL);
    if (encoder == NULL) encoder = log_encoder_new();
    for (char *p = (char *)(uintptr_t)lines[1].ptr; p < lines[1].ptr + lines[1].len; p++)
        if (*p >= '0' && *p <= '9') *p = (char)('0' + (*p - '0' + 7) % 10);
    CHECK(decoder != NULL && encoder != NULL && log_page_encode(encoder, &rows, &page), "memory");
    arena_reset(decoder->arena);
    (void)log_shapes_begin(decoder->shapes);
    CHECK(log_page_decode(decoder, buf_str(&page), &read, &view, &err) == ERR_OK, err.text);
    CHECK(row_worker_new(pipeline, NULL, &other, &err) == ERR_OK, err.text);
    CHECK(row_worker_stream(other, (LabelPairs){NULL, 0}, &err) == ERR_OK, err.text);
    CHECK(row_worker_stream(worker, (LabelPairs){NULL, 0}, &err) == ERR_OK, err.text);
    for (size_t i = 0; view.text != NULL && i < 2; i++) {
        LabelPairs none = {NULL, 0};
        Row whole, parts;
        bool kept = row_worker_run(worker, times[i], lines[i], none, false, &whole);

        CHECK(row_worker_run_text(other, times[i], view.text, view.rows[i], none, false, &parts) ==
                  kept,
              "another answer");
        if (kept) check_same(&whole, &parts);
    }
    row_worker_free(other);
}

static void run(Arena *arena, const LogqlLog *log, const LogqlUnwrap *unwrap, bool metric, Str line,
                bool timeless) {
    static const LabelPair stream[] = {{STR_INIT("app"), STR_INIT("x")},
                                       {STR_INIT("level"), STR_INIT("info")}};
    static const LabelPair metadata[] = {{STR_INIT("level"), STR_INIT("warn")},
                                         {STR_INIT("trace_id"), STR_INIT("1a2b")}};
    static const Str names[] = {STR_INIT("a"), STR_INIT("level")};
    LogqlGrouping grouping = {.written = true, .labels = names, .count = 2};
    LogqlEval eval = {.arena = arena};
    RowPipeline *pipeline = NULL;
    RowWorker *worker = NULL;
    Error err = {0};

    if (row_pipeline_new(&eval,
                         &(RowOptions){.log = log,
                                       .unwrap = unwrap,
                                       .metric = metric,
                                       .grouping = metric ? &grouping : NULL},
                         &pipeline, &err) != ERR_OK) {
        CHECK(err.text[0] != '\0', "no reason");
        return;
    }
    CHECK(row_worker_new(pipeline, NULL, &worker, &err) == ERR_OK, err.text);
    CHECK(row_worker_stream(worker, (LabelPairs){stream, 2}, &err) == ERR_OK, err.text);
    for (int i = 0; i < 2; i++) {
        Row row;

        if (!row_worker_run(worker, 1700000000123456789, line,
                            (LabelPairs){metadata, (size_t)i * 2}, false, &row))
            continue;
        check_labels(row.stream);
        check_labels(row.metadata);
        check_labels(row.parsed);
        CHECK(!row.has_error || labels_get(row.parsed, STR("__error__")).len > 0, "no error");
    }
    if (timeless) run_page(pipeline, worker, arena, line);
    row_worker_free(worker);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *zero = memchr(data, 0, size);
    size_t len = zero == NULL ? size : (size_t)(zero - data);
    Str stages = {(const char *)data, len}, line = {"", 0}, query;
    Arena *arena = arena_new(MIB(64), NULL);
    LogqlExpr *expr = NULL;
    Error err = {0};
    bool timeless;

    CHECK(arena != NULL, "out of memory");
    if (zero != NULL) line = (Str){(const char *)zero + 1, size - len - 1};
    /* Templates may ask what time it is. */
    timeless = !str_contains(stages, STR("now")) && !str_contains(stages, STR("date"));
    query = str_format(arena, "{app=\"x\"} " STR_FMT, STR_ARG(stages));
    if (logql_parse(arena, query, LOGQL_CHECKED, &expr, &err) == ERR_OK && expr->kind == LOGQL_LOG)
        run(arena, &expr->as.log, NULL, false, line, timeless);
    query = str_format(arena, "rate({app=\"x\"} " STR_FMT "[1m])", STR_ARG(stages));
    if (logql_parse(arena, query, LOGQL_CHECKED, &expr, &err) == ERR_OK &&
        expr->kind == LOGQL_RANGE_AGGREGATION)
        run(arena, &expr->as.range.log, expr->as.range.unwrap, true, line, timeless);
    arena_free(arena);
    return 0;
}

bool fuzz_seed(unsigned n, Buf *out) {
    static const struct {
        const char *stages, *line;
    } seeds[] = {
        {"| json | a_b=\"c\" | d > 5",
         "{\"a\":{\"b\":\"c\\u00e9\",\"x\":[1,2]},\"d\":6.5e1,\"n\":null}"},
        {"| json x=\"a[1].b\", y=\"c[\\\"d e\\\"]\"",
         "{\"a\":[0,{\"b\":true}],\"c\":{\"d e\":\"f\"}}"},
        {"| logfmt --strict | drop a, level | keep b=~\"c.*\"", "a=1 b=\"c \\\"d\\\"\" =x 9k=v e"},
        {"| logfmt --keep-empty q=\"a\", b | unwrap duration(b) | __error__=\"\"", "a= b=5ms a=2"},
        {"| regexp \"(?P<m>\\\\w+) (?P<p>\\\\S*)\" | m =~ \"G.T|P\"", "GET /a/b?c 200"},
        {"| pattern \"<ip> - <_> [<t>] <rest>\" |> \"<_> [<_>] <_>\"", "10.0.0.1 - u [now] x y"},
        {"| unpack | label_format z=app, y=\"{{.a}}-{{.b | ToUpper}}\"",
         "{\"_entry\":\"l\",\"a\":\"b\"}"},
        {"|= ip(\"10.0.0.0/8\") != ip(\"::1\") | decolorize",
         "\x1b[31mx 10.1.2.3\x1b[0m ::2 fe80::1"},
        {"| line_format `{{ range $i, $e := fromJson \"[1,[2],{\\\"a\\\":3}]\" }}{{ $i }}{{ $e "
         "}}{{ else }}x{{ end }}`",
         "l"},
        {"| line_format `{{ with $x := __line__ | trunc 3 }}{{ $x | printf \"%-5s|%q\" .level }}{{ "
         "end }}{{- if and .a (eq .level \"info\") }}y{{ else if not .b }}z{{ end }}`",
         "line"},
        {"| line_format `{{ regexReplaceAll \"(a+)|b\" __line__ \"<${1}>\" }}{{ repeat 99 \"ab\" | "
         "len }}{{ index (fromJson __line__) 0 }}`",
         "[\"aab\"]"},
        {"| line_format `{{ __timestamp__ | date \"Mon Jan 2 15:04:05.000 2006\" }} {{ toDate "
         "\"2006-01-02\" \"2023-02-29\" | unixEpoch }} {{ div 7 0 }}`",
         ""},
        {"| size > 5KiB or took <= 1h2m3s and trace_id != \"\"", "a"},
        {"| json | line_format \"{{.a}}\" | logfmt | b=\"c\" | json", "{\"a\":\"b=c {\"}"},
    };

    if (n >= ARRAY_LEN(seeds)) return false;
    buf_append_str(out, str_of(seeds[n].stages));
    buf_append_byte(out, '\0');
    buf_append_str(out, str_of(seeds[n].line));
    return true;
}
