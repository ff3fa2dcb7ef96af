/* rows_test.c: what stages make of an entry. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

#include "querier/logql/engine/rows.h"
#include "querier/logql/parser.h"

static Arena *arena;

static void append_pairs(LabelPairs pairs, Buf *out) {
    for (size_t i = 0; i < pairs.count; i++)
        buf_printf(out, " " STR_FMT "=" STR_FMT, STR_ARG(pairs.pairs[i].name),
                   STR_ARG(pairs.pairs[i].value));
}

/* "line; app=x; metadata; parsed", or "-" for an entry that is left out, or the error. */
static const char *run(const char *stages, const char *line, const char *metadata_value) {
    static const LabelPair stream[] = {{STR_INIT("app"), STR_INIT("x")}};
    LabelPair metadata[] = {{STR_INIT("level"), str_of(metadata_value)}};
    Str query = str_format(arena, "{app=\"x\"} %s", stages), copy;
    LogqlEval eval = {.arena = arena};
    RowPipeline *pipeline = NULL;
    RowWorker *worker = NULL;
    LogqlExpr *expr = NULL;
    Error err = {0};
    Row row;
    Buf out;

    assert_ok(logql_parse(arena, query, LOGQL_CHECKED, &expr, &err), &err);
    if (row_pipeline_new(&eval, &(RowOptions){.log = &expr->as.log}, &pipeline, &err) != ERR_OK)
        return str_dup(arena, str_of(err.text)).ptr;
    assert_ok(row_worker_new(pipeline, NULL, &worker, &err), &err);
    assert_ok(row_worker_stream(worker, (LabelPairs){stream, 1}, &err), &err);
    buf_init(&out, 0);
    if (!row_worker_run(worker, 1700000000123456789, str_of(line), (LabelPairs){metadata, 1}, false,
                        &row)) {
        buf_append_byte(&out, '-');
    } else {
        buf_append_str(&out, row.line);
        buf_append_byte(&out, ';');
        append_pairs(row.stream, &out);
        buf_append_byte(&out, ';');
        append_pairs(row.metadata, &out);
        buf_append_byte(&out, ';');
        append_pairs(row.parsed, &out);
    }
    copy = str_dup(arena, buf_str(&out));
    buf_done(&out);
    row_worker_free(worker);
    return copy.ptr;
}

typedef struct Case {
    const char *stages, *line, *expected;
} Case;

static void check(const Case *cases, size_t count) {
    bool failed = false;

    for (size_t i = 0; i < count; i++) {
        const char *got = run(cases[i].stages, cases[i].line, "warn");

        if (strcmp(got, cases[i].expected) == 0) continue;
        print_error("%s over %s\n got %s\n not %s\n", cases[i].stages, cases[i].line, got,
                    cases[i].expected);
        failed = true;
    }
    assert_false(failed);
}

static void lines_are_filtered(void **state) {
    static const Case cases[] = {
        {"|= \"b\" != \"z\"", "abc", "abc; app=x; level=warn;"},
        {"|= \"B\"", "abc", "-"},
        {"|~ \"(?i)B.\"", "abc", "abc; app=x; level=warn;"},
        {"!~ \"^a\"", "abc", "-"},
        {"|~ \"x|bc\"", "abc", "abc; app=x; level=warn;"},
        {"|~ \"x|y\"", "abc", "-"},
        {"|~ \"(x|a)bc?\"", "abd", "abd; app=x; level=warn;"},
        {"!~ \"[a-z]bc+$\"", "abcd", "abcd; app=x; level=warn;"},
        {"|= \"q\" or \"c\"", "abc", "abc; app=x; level=warn;"},
        {"|> \"a<_>c\"", "abc", "abc; app=x; level=warn;"},
        {"|> \"<_>b\"", "abc", "-"},
        {"|= ip(\"10.0.0.0/30\")", "x 10.0.0.3 y", "x 10.0.0.3 y; app=x; level=warn;"},
        {"|= ip(\"10.0.0.0-10.0.0.2\")", "x 10.0.0.3 y", "-"},
        {"!= ip(\"fe80::/10\")", "x fe80::12 y", "-"},
        {"|= ip(\"1.2.3\")", "",
         "parse error : stage '|= ip(\"1.2.3\")' : ip: invalid pattern: \"1.2.3\""},
        {"|~ \"(\"", "",
         "parse error : stage '|~ \"(\"' : error parsing regexp: missing closing ): `(`"},
        {"| decolorize |= \"red\"", "\x1b[31mred\x1b[0m", "red; app=x; level=warn;"},
    };

    (void)state;
    check(cases, ARRAY_LEN(cases));
}

static void lines_are_parsed(void **state) {
    static const Case cases[] = {
        {"| json", "{\"a\":{\"b-c\":1.50,\"app\":\"q\"},\"app\":\"\\u00e9\",\"l\":[1],\"n\":null}",
         "{\"a\":{\"b-c\":1.50,\"app\":\"q\"},\"app\":\"\\u00e9\",\"l\":[1],\"n\":null}; app=x; "
         "level=warn; a_app=q a_b_c=1.50 app_extracted=\xc3\xa9"},
        {"| json", "{\"a\":1,",
         "{\"a\":1,; app=x; level=warn; __error__=JSONParserErr "
         "__error_details__=Value looks like object, but can't find closing "
         "'}' symbol a=1"},
        {"| json v=\"a[1].b\", w=\"none\"", "{\"a\":[0,{\"b\":true}]}",
         "{\"a\":[0,{\"b\":true}]}; app=x; level=warn; v=true w="},
        {"| json", "{\"__error__\":\"mine\",", /* an error is there once */
         "{\"__error__\":\"mine\",; app=x; level=warn; __error__=JSONParserErr "
         "__error_details__=Value looks like object, but can't find closing '}' symbol"},
        {"| logfmt", "a=1 a=2 b=\"x \\\"y\\\"\" 9k=v c= d.e=f",
         "a=1 a=2 b=\"x \\\"y\\\"\" 9k=v c= "
         "d.e=f; app=x; level=warn; _9k=v a=1 "
         "b=x \"y\" d_e=f"},
        {"| logfmt --strict", "a=1 =b c=2",
         "a=1 =b c=2; app=x; level=warn; __error__=LogfmtParserErr "
         "__error_details__=logfmt syntax error at pos 5 : unexpected '=' a=1"},
        {"| logfmt --keep-empty", "a= b", "a= b; app=x; level=warn; a= b="},
        {"| logfmt z=\"a\", b", "a=1 b=2 c=3", "a=1 b=2 c=3; app=x; level=warn; b=2 z=1"},
        {"| logfmt", "level=info", "level=info; app=x; level=warn; level_extracted=info"},
        {"| regexp \"(?P<m>[A-Z]+) (?P<p>\\\\S+)\"", "GET /a b",
         "GET /a b; app=x; level=warn; "
         "m=GET p=/a"},
        {"| pattern \"<m> <_> [<r>\"", "GET /a [b c",
         "GET /a [b c; app=x; level=warn; m=GET r=b c"},
        {"| unpack", "{\"_entry\":\"l\",\"a\":\"b\",\"n\":1}", "l; app=x; level=warn; a=b"},
    };

    (void)state;
    check(cases, ARRAY_LEN(cases));
}

/* Blocks are skipped 64 bytes at a time: wherever brackets, quotes and escapes fall. */
static void json_is_read_the_same_wherever_it_lies(void **state) {
    static const struct {
        const char *object, *labels;
    } cases[] = {
        {"{\"x\":\"}\",\"y\":{\"z\":[{}]}}", "o_x=}"},
        {"{\"x\":\"\\\\\",\"y\":1}", "o_x=\\ o_y=1"},
        {"{\"x\":\"\\\"}{\",\"y\":{}}", "o_x=\"}{"},
        {"{\"x\":\"\\u00e9{\",\"y\":\"[\"}", "o_x=\xc3\xa9{ o_y=["},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t before = 0; before < 70; before++)
            for (size_t within = 0; within < 140; within += 7) {
                char pad[160];
                Str line, expected;

                memset(pad, '-', sizeof pad);
                line = str_format(arena, "{\"a\":\"%.*s\",\"o\":{\"p\":\"%.*s\",\"q\":%s},\"b\":2}",
                                  (int)before, pad, (int)within, pad, cases[i].object);
                expected = str_format(arena, STR_FMT "; app=x; level=warn; b=2 v=%s", STR_ARG(line),
                                      cases[i].object);
                assert_string_equal(run("| json b, v=\"o.q\"", line.ptr, "warn"), expected.ptr);
                line = str_format(arena, "{\"%.*s\":[\"%.*s\",%s],\"o\":%s}", (int)before, pad,
                                  (int)within, pad, cases[i].object, cases[i].object);
                expected = str_format(arena, STR_FMT "; app=x; level=warn; %s", STR_ARG(line),
                                      cases[i].labels);
                assert_string_equal(run("| json", line.ptr, "warn"), expected.ptr);
            }
}

static void labels_are_filtered_and_changed(void **state) {
    static const Case cases[] = {
        {"| level=\"warn\" | app=~\"x|y\"", "l", "l; app=x; level=warn;"},
        {"| level=\"info\"", "l", "-"},
        {"| level=~\"ar.*\"", "l", "l; app=x; level=warn;"},
        {"| level!~\".*ar\"", "l", "-"},
        {"| level=~\"ar.+\"", "l", "-"},
        {"| logfmt | a > 5 and b <= 1m", "a=6 b=60s", "a=6 b=60s; app=x; level=warn; a=6 b=60s"},
        {"| logfmt | a > 5 or b < 1KB", "a=5 b=0.9kB",
         "a=5 b=0.9kB; app=x; level=warn; a=5 b=0.9kB"},
        {"| logfmt | a > 5", "a=x",
         "a=x; app=x; level=warn; __error__=LabelFilterErr "
         "__error_details__=strconv.ParseFloat: parsing \"x\": invalid syntax a=x"},
        {"| logfmt | a > 5", "b=1", "-"},
        {"| logfmt | __error__=\"\"", "a=1", "a=1; app=x; level=warn; a=1"},
        {"| json | __error__=\"\"", "x", "-"},
        {"| logfmt | ip = ip(\"10.0.0.1\")", "ip=10.0.0.1",
         "ip=10.0.0.1; app=x; level=warn; ip=10.0.0.1"},
        {"| logfmt | drop a, level | keep b, app", "a=1 b=2 c=3", "a=1 b=2 c=3; app=x;; b=2"},
        {"| logfmt | drop a=\"2\"", "a=1", "a=1; app=x; level=warn; a=1"},
        {"| label_format z=app, q=\"{{.level}}!\"", "l", "l;; level=warn; q=warn! z=x"},
        /* A parser asks a filter of one label at once, whatever becomes of the label later. */
        {"| logfmt | label_format a=\"2\" | a=2", "a=1", "-"},
        {"| label_format a=\"1\",a=\"2\"", "",
         "parse error : stage '| label_format a=\"1\",a=\"2\"' : multiple label name 'a' not "
         "allowed "
         "in a single format operation"},
    };

    (void)state;
    check(cases, ARRAY_LEN(cases));
}

static void templates_make_texts(void **state) {
    static const struct {
        const char *template, *line, *expected;
    } cases[] = {
        {"{{.app}}-{{.none}}-{{ .level | ToUpper }}", "l", "x--WARN"},
        {"a {{- \"b\" -}} c{{/* d */}}", "l", "abc"},
        {"{{ if eq .app \"x\" }}y{{ else if .none }}z{{ else }}n{{ end }}", "l", "y"},
        {"{{ with .none }}w{{ else }}e{{ end }}", "l", "e"},
        {"{{ range $i, $e := fromJson __line__ }}{{$i}}:{{$e}} {{ end }}", "[1,\"b\",[2]]",
         "0:1 1:b 2:[2] "},
        {"{{ $x := 1 }}{{ $x = add $x 2 }}{{ $x }}", "l", "3"},
        {"{{ printf \"%05d|%-3s|%3s|%.2f|%q|%v|%d\" 42 \"a\" \"b\" 1.5 \"c\" true \"d\" }}", "l",
         "00042|a  |  b|1.50|\"c\"|true|%!d(string=d)"},
        {"{{ div 17 5 }} {{ mod 17 5 }} {{ mulf 0.1 3 }} {{ round 1.255 2 }} {{ max 1 \"7\" 3 }}",
         "l", "3 2 0.3 1.25 7"},
        {"{{ 1e6 | float64 }} {{ 123456.5 }}", "l", "1e+06 123456.5"},
        {"{{ regexReplaceAll \"(a)(b)?\" __line__ \"<$1${2}>\" }} {{ count \"a\" __line__ }}",
         "abxa", "<ab>x<a> 2"},
        {"{{ trunc -2 __line__ }}{{ substr 1 3 __line__ }}{{ alignLeft 6 __line__ }}|", "abcd",
         "cdbcabcd  |"},
        {"{{ \"a b&c\" | urlencode }} {{ \"a+b%26\" | urldecode }} {{ b64enc \"hi\" | b64dec }}",
         "l", "a+b%26c a b& hi"},
        {"{{ unixToTime \"1700000000123\" | date \"2006-01-02 15:04:05.000 Mon Jan\" }}", "l",
         "2023-11-14 22:13:20.123 Tue Nov"},
        {"{{ toDate \"2006-01-02T15:04:05Z07:00\" \"2023-11-14T22:13:20+01:00\" | unixEpoch }}",
         "l", "1699996400"},
        {"{{ __timestamp__ | unixEpochNanos }}", "l", "1700000000123456789"},
        {"{{ fromJson __line__ }}", "{\"b\":[1,null],\"a\":\"c\"}", "map[a:c b:[1 <nil>]]"},
        {"{{ default \"d\" .none }}{{ and .app .none }}{{ or .none .app }}{{ not .none }}", "l",
         "dxtrue"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *stage = str_format(arena, "| line_format `%s`", cases[i].template).ptr;
        const char *got = run(stage, cases[i].line, "warn");
        size_t len = strlen(cases[i].expected);

        if (strncmp(got, cases[i].expected, len) != 0 || got[len] != ';')
            fail_msg("%s over %s\n got %s\n not %s", cases[i].template, cases[i].line, got,
                     cases[i].expected);
    }
}

static void a_template_that_fails_is_the_entrys_error(void **state) {
    static const Case cases[] = {
        {"| line_format `{{ div 1 0 }}`", "l",
         "l; app=x; level=warn; __error__=TemplateFormatErr __error_details__=runtime error: "
         "integer "
         "divide by zero"},
        {"| line_format `{{ .a`", "",
         "parse error : stage '| line_format \"{{ .a\"' : invalid line "
         "template: template: line:1: unclosed action"},
        {"| line_format `{{ nope }}`", "",
         "parse error : stage '| line_format \"{{ nope }}\"' : invalid line template: template: "
         "line:1: function \"nope\" not defined"},
        {"| line_format `{{ end }}`", "",
         "parse error : stage '| line_format \"{{ end }}\"' : invalid line template: template: "
         "line:1: unexpected {{end}}"},
    };

    (void)state;
    check(cases, ARRAY_LEN(cases));
    /* What grows without end ends. */
    assert_non_null(strstr(run("| line_format `{{ repeat 1000000000 \"abc\" }}`", "l", "w"),
                           "TemplateFormatErr"));
    assert_non_null(strstr(run("| line_format `{{ range $a := fromJson __line__ }}{{ range $b := "
                               "fromJson __line__ }}{{ range $c := fromJson __line__ }}{{ range $d "
                               ":= fromJson __line__ }}{{ range $e := fromJson __line__ }}x{{ end "
                               "}}{{ end }}{{ end }}{{ end }}{{ end }}`",
                               "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]", "w"),
                           "TemplateFormatErr"));
}

static void hostile_lines_cost_little(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf line = {0};

    (void)state;
    buf_init(&line, 0);
    for (int i = 0; i < 20000; i++) buf_append_str(&line, STR("{\"a\":"));
    buf_append_byte(&line, '\0');
    assert_non_null(strstr(run("| json", line.ptr, "w"), "JSONParserErr"));
    buf_clear(&line);
    for (int i = 0; i < 20000; i++) buf_printf(&line, "k%d=v ", i);
    buf_append_byte(&line, '\0');
    assert_non_null(strstr(run("| logfmt", line.ptr, "w"), "k2000=v"));
}

static int setup(void **state) {
    (void)state;
    arena = arena_new(0, NULL);
    return arena == NULL;
}

static int teardown(void **state) {
    (void)state;
    arena_free(arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_filtered),
        cmocka_unit_test(lines_are_parsed),
        cmocka_unit_test(json_is_read_the_same_wherever_it_lies),
        cmocka_unit_test(labels_are_filtered_and_changed),
        cmocka_unit_test(templates_make_texts),
        cmocka_unit_test(a_template_that_fails_is_the_entrys_error),
        cmocka_unit_test(hostile_lines_cost_little),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
