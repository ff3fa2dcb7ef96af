/* Queries answered from templates, columns and layouts of fields say what they say when every line
 * is put together and parsed. */
#include "tests/unit/unit.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "querier/fetch/fetch.h"
#include "querier/logql/engine/result_json.h"
#include "querier/logql/parser.h"

#define START_NS INT64_C(1700000000000000000)
#define SECOND_NS INT64_C(1000000000)

enum { STREAMS = 3, LINES = 700, SKELETONS = 14, ROUNDS = 16 };

typedef struct World {
    Store *store;
    Manifest *manifest;
    BlockCache *cache;
    Budget budget;
    Arena *arena;
} World;

static uint64_t state_of_random = 88172645463325252u;

static unsigned any(unsigned below) {
    state_of_random ^= state_of_random << 13;
    state_of_random ^= state_of_random >> 7;
    state_of_random ^= state_of_random << 17;
    return (unsigned)(state_of_random % below);
}

#define PICK(list) (list)[any(ARRAY_LEN(list))]

/* ---- lines ---- */

/* In a skeleton, # stands for a number, @ for a word or an id, ~ for a clock or an address. */
static const char *const KEYS[] = {"level", "status", "http", "bytes", "duration",
                                   "id",    "msg",    "app",  "a.b",   "x-y"};
static const char *const ODD_KEYS[] = {"9lives", "k#", "\\u0061", "\xc3\xa9", "trace#id", ""};
static const char *const WORDS[] = {"error", "info", "GET /a/#", "a b", "#",    "#.#",
                                    "@",     "~",    "",         "#ms", "# kB", "-#",
                                    "u@",    "503",  "x=#",      "{#}", "a,#"};
static const char *const BARE[] = {"#",   "#.#", "-#",   "true", "null", "false",
                                   "#e#", "-~",  "tru#", "@",    "~",    "500"};
static const char *const ESCAPES[] = {"\\n#",     "\\u00#", "\\\"@\\\"", "\\\\#", "\\",
                                      "\\u0041@", "\\/",    "\xc3\xa9",  "\xff#"};

static const char *some_key(void) {
    return any(25) == 0 ? PICK(ODD_KEYS) : PICK(KEYS);
}

static void put_string(Buf *out) {
    for (unsigned i = any(3); i < 3; i++) {
        if (any(20) == 0)
            buf_append_str(out, str_of(PICK(ESCAPES)));
        else
            buf_append_str(out, str_of(PICK(WORDS)));
    }
}

static void put_object(Buf *out, unsigned depth) {
    buf_append_str(out, any(6) == 0 ? STR("{ ") : STR("{"));
    for (unsigned i = 0, n = any(6); i < n; i++) {
        buf_printf(out, "%s\"%s\"%s",
                   i == 0        ? ""
                   : any(5) == 0 ? " , "
                                 : ",",
                   PICK(KEYS), any(5) == 0 ? " : " : ":");
        switch (any(depth == 0 ? 6 : 8)) {
        case 0:
        case 1:
        case 2:
            buf_append_byte(out, '"');
            put_string(out);
            buf_append_byte(out, '"');
            break;
        case 3:
        case 4:
            buf_append_str(out, str_of(BARE[any(any(3) == 0 ? ARRAY_LEN(BARE) : 3)]));
            break;
        case 5:
            buf_append_str(out, STR("[#,\"@\",{\"status\":#}]"));
            break;
        default:
            put_object(out, depth - 1);
        }
    }
    buf_append_byte(out, '}');
}

static void put_logfmt(Buf *out) {
    for (unsigned i = 0, n = any(8); i < n; i++) {
        if (i > 0) buf_append_str(out, any(9) == 0 ? STR("  ") : STR(" "));
        buf_append_str(out, str_of(some_key()));
        switch (any(8)) {
        case 0:
            break;
        case 1:
            buf_append_byte(out, '=');
            break;
        case 2:
        case 3:
            buf_append_str(out, STR("=\""));
            put_string(out);
            buf_append_byte(out, '"');
            break;
        default:
            buf_printf(out, "=%s", PICK(WORDS));
        }
    }
}

static Str skeleton(Arena *arena) {
    CLEANUP_IN_PLACE(buf_done) Buf text;
    size_t len;

    buf_init(&text, 0);
    if (any(2) == 0)
        put_object(&text, 2);
    else
        put_logfmt(&text);
    len = text.len;
    if (any(6) == 0 && len > 0) len = any((unsigned)len + 1); /* cut off */
    if (any(10) == 0) buf_append_str(&text, STR(" tail #"));
    return str_dup(arena, any(6) == 0 ? str_slice(buf_str(&text), 0, len) : buf_str(&text));
}

static Str line_of(Arena *arena, Str from) {
    CLEANUP_IN_PLACE(buf_done) Buf line;

    buf_init(&line, 0);
    for (size_t i = 0; i < from.len; i++) {
        if (from.ptr[i] == '#')
            buf_printf(&line, "%u", any(4) == 0 ? any(10) : 400 + any(200));
        else if (from.ptr[i] == '@')
            buf_printf(&line, any(2) == 0 ? "%08x9a" : "q%uz", any(1u << 31));
        else if (from.ptr[i] == '~')
            buf_printf(&line, any(2) == 0 ? "12:%02u:59,00%u" : "10.1.%u.%u", any(60), any(10));
        else
            buf_append_byte(&line, from.ptr[i]);
    }
    return str_dup(arena, buf_str(&line));
}

static void add_object(World *world) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    ManifestEntry entry = {.level = 1, .key = STR("object")};
    BlockWriter *writer = block_writer_new(arena, block_sink_buf(&(Buf){0}), 1);
    int64_t *times = ARENA_ARRAY(arena, int64_t, LINES);
    Str *lines = ARENA_ARRAY(arena, Str, LINES), skeletons[SKELETONS];
    BlockSummary summary;
    Error err = {0};
    Buf body;

    buf_init(&body, 0);
    writer = block_writer_new(arena, block_sink_buf(&body), 1);
    for (size_t i = 0; i < SKELETONS; i++) skeletons[i] = skeleton(arena);
    assert_ok(block_logs_begin(writer, STR("t"), &err), &err);
    for (unsigned s = 0; s < STREAMS; s++) {
        LabelPair pair = {STR("app"), str_format(arena, "app-%u", s)};
        LogRows rows = {times, lines, NULL, LINES};

        for (size_t i = 0; i < LINES; i++) {
            times[i] = START_NS + (int64_t)i * SECOND_NS / 2;
            lines[i] = line_of(arena, PICK(skeletons));
        }
        assert_ok(block_logs_stream(writer, (LabelPairs){&pair, 1}, &err), &err);
        assert_ok(block_logs_rows(writer, &rows, &err), &err);
    }
    assert_ok(block_logs_end(writer, &err), &err);
    assert_ok(block_writer_finish(writer, &summary, &err), &err);
    entry.size = summary.bytes;
    entry.checksum = summary.checksum;
    entry.parts = summary.parts;
    entry.part_count = summary.part_count;
    assert_ok(store_put(world->store, entry.key, buf_str(&body), NULL, &err), &err);
    assert_ok(manifest_commit(world->manifest, &(ManifestChange){.add = &entry, .add_count = 1},
                              NULL, &err),
              &err);
    buf_done(&body);
}

static void world_init(World *world) {
    Error err = {0};

    *world = (World){.arena = arena_new(0, NULL), .store = store_new(store_driver_memory())};
    budget_init(&world->budget, "cache", MIB(64), NULL);
    world->cache = block_cache_new(world->store, &world->budget);
    assert_ok(manifest_open(world->store, clock_system(), &world->manifest, &err), &err);
}

static void world_done(World *world) {
    block_cache_free(world->cache);
    manifest_free(world->manifest);
    store_free(world->store);
    arena_free(world->arena);
}

/* ---- queries ---- */

static const char *const QUERIES[] = {
    "{app=~\".+\"}",
    "{app=~\".+\"} |= \"503\"",
    "{app=~\".+\"} != \"error\" |= \"status\"",
    "{app=~\".+\"} |= \"a\" or \"12:3\" != \"5\"",
    "{app=~\".+\"} |~ \"status.*50\"",
    "{app=~\".+\"} !~ \"error|info\"",
    "{app=~\".+\"} |~ \"(?i)ERROR\"",
    "{app=~\".+\"} | json",
    "{app=~\".+\"} | logfmt",
    "{app=~\".+\"} | logfmt --strict",
    "{app=~\".+\"} | logfmt --keep-empty",
    "{app=~\".+\"} | json | status >= 500",
    "{app=~\".+\"} | json | http_status >= 500 | level=\"error\"",
    "{app=~\".+\"} | json | json | app_extracted!=\"\"",
    "{app=~\".+\"} | logfmt | status=\"503\" | bytes > 100",
    "{app=~\".+\"} |= \"level\" | logfmt | level=\"error\" or status=~\"4..\"",
    "{app=~\".+\"} | json | logfmt",
    "{app=~\".+\"} | logfmt | __error__=\"\"",
    "{app=~\".+\"} | json | __error__!=\"\"",
    "{app=~\".+\"} | json | line_format \"{{.status}} {{.level}} {{__line__}}\" |= \"5\"",
    "{app=~\".+\"} | logfmt | line_format \"{{.msg}}\" | logfmt",
    "{app=~\".+\"} | json st=\"status\", hs=\"http.status\"",
    "{app=~\".+\"} | logfmt st=\"status\", id | st=\"503\"",
    "{app=~\".+\"} | json | drop msg, level | keep status, app",
    "{app=~\".+\"} | decolorize | json | status=\"503\"",
    "{app=~\".+\"} | unpack | status=\"503\"",
    "{app=~\".+\"} | pattern \"<_>status=<status> <_>\" | status!=\"\"",
    "sum by (app) (count_over_time({app=~\".+\"} |= \"status\" [1m]))",
    "sum(count_over_time({app=~\".+\"} | json | status >= 500 | __error__=\"\" [1m]))",
    "sum by (status) (count_over_time({app=~\".+\"} | json | __error__=\"\" [1m]))",
    "sum by (level, app_extracted) (count_over_time({app=~\".+\"} | logfmt [1m]))",
    "sum by (http_status) (rate({app=~\".+\"} |= \"http\" | json | drop __error__ [1m]))",
    "count_over_time({app=~\".+\"} | json [1m])",
    "bytes_over_time({app=~\".+\"} |= \"status\" [1m])",
    "sum(bytes_rate({app=~\".+\"} | json | status=\"503\" | __error__=\"\" [1m]))",
    "sum by (app) (sum_over_time({app=~\".+\"} | logfmt | unwrap bytes | __error__=\"\" [1m]))",
    "max_over_time({app=~\".+\"} | json | unwrap duration(duration) | __error__=\"\" [1m]) by "
    "(app)",
    "quantile_over_time(0.9, {app=~\".+\"} | logfmt | unwrap status | __error__=\"\" [1m]) by "
    "(app)",
};

/* The answer without its statistics, or the error's text. */
static Str answer(World *world, const char *text, bool plain, bool backward, Arena *into) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf json;
    FetchOptions options = {.cache = world->cache, .manifest = world->manifest, .plain = plain};
    FetchTenant tenant = {.name = STR("t"), .keep_from_ms = INT64_MIN};
    QueryContext query = {.arena = arena, .symbols = symbols_new(arena)};
    BlockStats block_stats = {0};
    StreamStats stats = {0};
    LogqlParams params = {.start_ns = START_NS,
                          .end_ns = START_NS + LINES * SECOND_NS / 2 - 7,
                          .step_ns = 30 * SECOND_NS,
                          .backward = backward,
                          .limit = backward ? 90 : 100000,
                          .categorize = backward,
                          .query = &query,
                          .stats = &stats};
    LogqlExpr *expr = NULL;
    LogqlResult result;
    Error err = {0};
    const char *end;
    ErrCode code;

    params.source = fetch_streams_new(&options, &tenant, 1, &block_stats, arena);
    assert_ok(logql_parse(arena, str_of(text), LOGQL_CHECKED, &expr, &err), &err);
    code = logql_eval(expr, &params, &result, &err);
    if (code != ERR_OK) return str_format(into, "%d %s", (int)code, err.text);
    buf_init(&json, 0);
    assert_ok(logql_json_write(&result, query.symbols,
                               &(LogqlJsonOptions){.categorize = backward, .stats = &stats}, &json,
                               &err),
              &err);
    end = memmem(json.ptr, json.len, ",\"stats\":", 9);
    return str_dup(into, str_slice(buf_str(&json), 0, (size_t)(end - json.ptr)));
}

static void shortcuts_change_no_answer(void **state) {
    (void)state;
    for (size_t round = 0; round < ROUNDS; round++) {
        World world;

        world_init(&world);
        add_object(&world);
        for (size_t q = 0; q < ARRAY_LEN(QUERIES); q++) {
            CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
            bool backward = any(2) == 0;
            Str slow = answer(&world, QUERIES[q], true, backward, arena);
            Str fast = answer(&world, QUERIES[q], false, backward, arena);

            if (str_equal(slow, fast)) continue;
            for (size_t i = 0; i < slow.len && i < fast.len; i++)
                if (slow.ptr[i] != fast.ptr[i])
                    fail_msg("round %zu: %s:\n%.*s\nis not\n%.*s", round, QUERIES[q], 400,
                             fast.ptr + (i > 200 ? i - 200 : 0), 400,
                             slow.ptr + (i > 200 ? i - 200 : 0));
            fail_msg("round %zu: %s: %zu bytes are not %zu", round, QUERIES[q], fast.len, slow.len);
        }
        world_done(&world);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shortcuts_change_no_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
