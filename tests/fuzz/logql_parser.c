/*
 * logql_parser.c: the parser of LogQL and its printers, against each other.
 *
 * What is refused gets a reason. What is not can be printed in both forms, and both mean the same
 * again. Left out of that is what Loki's forms lose: sizes, which are rounded; vector(), which has
 * six digits; numbers that are none; names in characters that no token has; an exponent or sign
 * that another rule would read.
 */
#include <stdio.h>
#include <stdlib.h>

#include "querier/logql/parser.h"
#include "querier/logql/units.h"
#include "tests/fuzz/fuzz.h"

#define CHECK(condition, text)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, text);              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void print(void (*how)(const LogqlExpr *, Buf *), const LogqlExpr *expr, Buf *out) {
    buf_init(out, 0);
    how(expr, out);
    CHECK(!buf_failed(out), "printing failed");
}

/* The canonical form of the canonical form is itself, once it can be read at all. */
static void check_again(Arena *arena, const LogqlExpr *expr) {
    LogqlExpr *again = NULL, *third = NULL;
    Buf once, twice, pretty, thrice;
    Error err = {0};

    print(logql_print, expr, &once);
    print(logql_print_pretty, expr, &pretty);
    if (logql_parse(arena, buf_str(&once), LOGQL_UNCHECKED, &again, &err) == ERR_OK) {
        print(logql_print, again, &twice);
        if (logql_parse(arena, buf_str(&twice), LOGQL_UNCHECKED, &third, &err) == ERR_OK) {
            print(logql_print, third, &thrice);
            CHECK(str_equal(buf_str(&twice), buf_str(&thrice)), once.ptr);
            buf_done(&thrice);
        }
        buf_done(&twice);
    }
    buf_done(&once);
    buf_done(&pretty);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Str query = {(const char *)data, size};
    Arena *arena = arena_new(MIB(64), NULL);
    const Matcher *matchers = NULL;
    LogqlExpr *expr = NULL;
    uint64_t bytes;
    size_t count = 0;
    int64_t ns;
    Error err = {0};
    ErrCode code;

    CHECK(arena != NULL, "out of memory");
    code = logql_parse(arena, query, LOGQL_UNCHECKED, &expr, &err);
    CHECK(code == ERR_OK || code == ERR_INVALID || code == ERR_LIMIT, err.text);
    if (code == ERR_OK)
        check_again(arena, expr);
    else
        CHECK(err.text[0] != '\0', "no reason");
    if (logql_parse_matchers(arena, query, LOGQL_CHECKED, &matchers, &count, &err) == ERR_OK)
        CHECK(count > 0, "no matchers");
    (void)!logql_parse_duration(query, &ns, &err);
    (void)!logql_parse_go_duration(query, &ns);
    (void)!logql_parse_bytes(query, &bytes);
    arena_free(arena);
    return 0;
}

bool fuzz_seed(unsigned n, Buf *out) {
    static const char *const seeds[] = {
        "{app=\"a\", b=~\"c.+|d\"} |= \"x\" or `y` != ip(\"10.0.0.0/8\") |> \"<_> z\" | json "
        "a=\"b[0].c\"",
        "{a=\"b\"} | logfmt --strict --keep-empty x, y=\"z\" | d >= 1h30m or (e < 5MiB and f != "
        "-1.5e3)",
        "sum by (a, b) (rate({a!=\"\"} | json | line_format \"{{.x}}\" [5m] offset -1h)) > bool 2",
        "quantile_over_time(0.99, {a=\"b\"} | unwrap duration_seconds(x) | __error__=\"\" [1m]) by "
        "(c)",
        "topk(3, label_replace(vector(1.5), \"a\", \"$1\", \"b\", \"(.*)\")) or on (x) group_left "
        "(y) 1",
        "{a=\"b\"} | regexp \"(?P<n>.*)\" | pattern \"<a> <_> b\" | label_format a=b,c=\"d\" | "
        "drop e, f=~\"g\"",
        "({a=\"b\"} # c\n | decolorize | unpack | keep x /* y */ | ip=ip(\"::1\"))",
        "1 + 2 * -3 ^ 4 % 0x1p4 == 5.e3",
        "count_over_time(({a=\"b\"} |~ \"(?i)x\" !~ `y`)[1w2d]) unless "
        "sort_desc(absent_over_time({c=\"d\"}[1s]))",
    };

    if (n >= ARRAY_LEN(seeds)) return false;
    buf_append_str(out, str_of(seeds[n]));
    return true;
}
