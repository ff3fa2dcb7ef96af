/* Filters of what parsers find: pages and rows that can't have the value are left alone, and every
 * answer is what it is without that. */
#include "tests/unit/unit.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/block/log_stream.h"
#include "querier/fetch/fetch.h"
#include "querier/logql/engine/result_json.h"
#include "querier/logql/parser.h"

enum { STREAMS = 4, OBJECTS = 6, ROWS_MAX = 4096, IDS = 24, TEXTS = 31 };

typedef struct Entry {
    unsigned stream;
    unsigned number; /* in order of arrival */
    int64_t time_ns;
    Str line;
    Str metadata;
} Entry;

typedef struct World {
    Arena *arena;
    Store *store;
    Manifest *manifest;
    BlockCache *cache;
    Budget budget;
    uint64_t random;
    size_t object_count;
    Str texts[IDS + TEXTS]; /* values that there are */
    Entry rows[ROWS_MAX];
    size_t count;
    BlockStats stats;
    LogsSelection head; /* stream_count 0: there is none */
    bool regular;       /* lines are of a few templates */
} World;

static unsigned below(World *w, unsigned n) {
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (unsigned)(w->random >> 33) % n;
}

static bool one_in(World *w, unsigned n) {
    return below(w, n) == 0;
}

/* ---------- the world ---------- */

static Str random_id(World *w, bool uuid, unsigned digits) {
    static const char HEX[] = "0123456789abcdef";
    char text[64];
    unsigned n = 0;

    for (unsigned i = 0; i < digits; i++) {
        if (uuid && (i == 8 || i == 12 || i == 16 || i == 20)) text[n++] = '-';
        text[n++] = HEX[below(w, 16)];
    }
    return str_dup(w->arena, (Str){text, n});
}

static World *world_new(uint64_t seed) {
    static const char *const TEXT[TEXTS] = {
        "bob",      "ann lee",  "x y",          "42",         "0.50",        "\xc3\xa9\xc3\xbc",
        "true",     "v1.2.3",   "a\\b",         "q\"q",       "alice",       "GET",
        "10.0.0.7", "12:30:45", "12:30:45,123", "123",        "retry.go:44", "-5",
        "007",      "a=b",      "/a/1/x",       "2026-11-23", "0",           "1.5",
        "{}",       "12",       "45",           "deadbeef",   "item36816",   "u3-1",
        "a,b"};
    World *w = calloc(1, sizeof *w);
    Error err;

    w->arena = arena_new(0, NULL);
    w->store = store_new(store_driver_memory());
    budget_init(&w->budget, "cache", MIB(64), NULL);
    w->cache = block_cache_new(w->store, &w->budget);
    assert_ok(manifest_open(w->store, clock_system(), &w->manifest, &err), &err);
    w->random = seed * 0x9e3779b97f4a7c15u | 1;
    for (unsigned i = 0; i < IDS; i++)
        w->texts[i] = random_id(w, i % 2 == 0, i == 5 ? 40 : i == 7 ? 16 : 32);
    for (unsigned i = 0; i < TEXTS; i++) w->texts[IDS + i] = str_of(TEXT[i]);
    return w;
}

static void world_free(World *w) {
    block_cache_free(w->cache);
    manifest_free(w->manifest);
    store_free(w->store);
    arena_free(w->arena);
    free(w);
}

static int compare_entries(const void *a, const void *b) {
    const Entry *x = a, *y = b;

    if (x->stream != y->stream) return x->stream < y->stream ? -1 : 1;
    if (x->time_ns != y->time_ns) return x->time_ns < y->time_ns ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

/* Streams 0 and 1 differ in a label of the name of what is looked for. */
static LabelPairs labels_of(World *w, unsigned stream) {
    LabelPair *pairs = ARENA_ARRAY(w->arena, LabelPair, 3);
    size_t n = 0;

    pairs[n++] = (LabelPair){STR("app"), str_format(w->arena, "app-%u", stream)};
    if (stream == 1) pairs[n++] = (LabelPair){STR("id"), w->texts[2]};
    if (stream == 1) pairs[n++] = (LabelPair){STR("user"), STR("bob")};
    return (LabelPairs){pairs, n};
}

static void add_object(World *w, const Entry *rows, size_t count) {
    ManifestEntry entry = {.level = 1};
    Entry *sorted = arena_alloc(w->arena, (count + 1) * sizeof *sorted);
    BlockSummary summary;
    BlockWriter *writer;
    Buf body;
    Error err;

    memcpy(sorted, rows, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_entries);
    buf_init(&body, 0);
    writer = block_writer_new(w->arena, block_sink_buf(&body), 1);
    assert_ok(block_logs_begin(writer, STR("t"), &err), &err);
    for (size_t i = 0; i < count; i++) {
        LogRows row = {&sorted[i].time_ns, &sorted[i].line, &sorted[i].metadata, 1};

        if (i == 0 || sorted[i - 1].stream != sorted[i].stream)
            assert_ok(block_logs_stream(writer, labels_of(w, sorted[i].stream), &err), &err);
        assert_ok(block_logs_rows(writer, &row, &err), &err);
    }
    assert_ok(block_logs_end(writer, &err), &err);
    assert_ok(block_writer_finish(writer, &summary, &err), &err);
    entry.key = str_format(w->arena, "object-%zu", w->object_count++);
    entry.size = summary.bytes;
    entry.checksum = summary.checksum;
    entry.parts = summary.parts;
    entry.part_count = summary.part_count;
    assert_ok(store_put(w->store, entry.key, buf_str(&body), NULL, &err), &err);
    assert_ok(
        manifest_commit(w->manifest, &(ManifestChange){.add = &entry, .add_count = 1}, NULL, &err),
        &err);
    buf_done(&body);
}

/* One stream's, in order of arrival. */
static void make_head(World *w, unsigned stream, const Entry *rows, size_t count) {
    LabelPairs labels = labels_of(w, stream);
    uint32_t *pairs = ARENA_ARRAY(w->arena, uint32_t, labels.count);
    SelectedStream *selected = ARENA_NEW(w->arena, SelectedStream);
    LogPage *page = ARENA_NEW(w->arena, LogPage);
    LogStreamState state = {0};
    size_t used = 0, most = 1;
    uint8_t *bytes;

    for (size_t i = 0; i < count; i++) most += rows[i].line.len + rows[i].metadata.len + 40;
    bytes = arena_alloc(w->arena, most);
    *page = (LogPage){.min_ns = INT64_MAX, .max_ns = INT64_MIN, .kind = LOG_PAGE_HEAD};
    for (size_t i = 0; i < count; i++) {
        LogEntry entry = {rows[i].time_ns, rows[i].line, rows[i].metadata};

        if (rows[i].stream != stream) continue;
        used += log_stream_append(&state, bytes + used, &entry);
        page->min_ns = MIN(page->min_ns, entry.time_ns);
        page->max_ns = MAX(page->max_ns, entry.time_ns);
    }
    page->count = state.count;
    page->in_order = state.in_order;
    page->bytes = (Str){(const char *)bytes, used};
    for (uint32_t i = 0; i < labels.count; i++) pairs[i] = i;
    *selected = (SelectedStream){pairs, page, (uint32_t)labels.count, 1};
    if (state.count > 0)
        w->head = (LogsSelection){labels.pairs, labels.count, selected, 1, NULL, 0};
}

static ErrCode heads_select(void *context, const LogSelect *select, Arena *arena,
                            LogsSelection **out, size_t *count, Error *err) {
    World *w = context;

    (void)select;
    (void)err;
    *out = ARENA_ARRAY(arena, LogsSelection, 1);
    (*out)[0] = w->head;
    *count = w->head.stream_count;
    return ERR_OK;
}

static Str metadata_of(World *w, Str name, Str value) {
    CLEANUP_IN_PLACE(buf_done) Buf bytes = {0};
    LabelPair pair = {name, value};

    buf_init(&bytes, 0);
    labels_encode((LabelPairs){&pair, 1}, &bytes);
    return str_dup(w->arena, buf_str(&bytes));
}

/* ---------- asking ---------- */

typedef struct Asked {
    Str answer; /* or the error's text */
    ErrCode code;
    uint64_t pages;
    uint64_t entries; /* that a pipeline looked at */
    uint64_t kept;
} Asked;

static Asked ask(World *w, Arena *arena, const char *text, bool plain, uint64_t limit,
                 bool backward) {
    CLEANUP_IN_PLACE(buf_done) Buf json = {0};
    FetchOptions options = {.cache = w->cache,
                            .manifest = w->manifest,
                            .log_heads = {heads_select, NULL, w},
                            .plain = plain};
    FetchTenant tenant = {.name = STR("t"), .keep_from_ms = INT64_MIN};
    QueryContext query = {.arena = arena, .symbols = symbols_new(arena)};
    StreamStats stats = {0};
    LogqlParams params = {.start_ns = 0,
                          .end_ns = 4000000000000,
                          .limit = limit,
                          .backward = backward,
                          .query = &query,
                          .stats = &stats};
    LogqlExpr *expr = NULL;
    LogqlResult result;
    Asked out = {0};
    Error err = {0};

    if (text[0] != '{') params.step_ns = 500000000000;
    params.source = fetch_streams_new(&options, &tenant, 1, &w->stats, arena);
    out.code = logql_parse(arena, str_of(text), LOGQL_CHECKED, &expr, &err);
    if (out.code == ERR_OK) out.code = logql_eval(expr, &params, &result, &err);
    if (out.code != ERR_OK) {
        out.answer = str_format(arena, "%s", err.text);
        return out;
    }
    buf_init(&json, 0);
    assert_ok(
        logql_json_write(&result, query.symbols, &(LogqlJsonOptions){.stats = &stats}, &json, &err),
        &err);
    out.answer = str_dup(arena, buf_str(&json));
    out.answer.len =
        (size_t)((const char *)memmem(out.answer.ptr, out.answer.len, ",\"stats\":", 9) -
                 out.answer.ptr);
    out.pages = stats.chunks;
    out.entries = stats.entries;
    out.kept = stats.entries_kept;
    return out;
}

/* What is read with hints; fails when it isn't what is read without. */
static Asked both(World *w, const char *text, uint64_t limit, bool backward,
                  uint64_t *plain_pages) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Asked plain = ask(w, arena, text, true, limit, backward);
    Asked got = ask(w, arena, text, false, limit, backward);

    if (plain.code != got.code || !str_equal(plain.answer, got.answer))
        fail_msg("%s, limit %d: %.*s\n not %.*s", text, (int)limit, (int)got.answer.len,
                 got.answer.ptr, (int)plain.answer.len, plain.answer.ptr);
    if (plain_pages != NULL) *plain_pages = plain.pages;
    got.answer = (Str){"", 0};
    return got;
}

/* ---------- one page ---------- */

/* One object, of stream 0; line by line, a second apart. `metadata` may be NULL. */
static World *world_of(const char *const *lines, size_t count, const Str *metadata) {
    World *w = world_new(1);

    for (size_t i = 0; i < count; i++)
        w->rows[w->count++] =
            (Entry){0, (unsigned)i, (int64_t)(i + 1) * 1000000000,
                    str_dup(w->arena, str_of(lines[i])), metadata == NULL ? STR("") : metadata[i]};
    add_object(w, w->rows, w->count);
    return w;
}

#define ID "7c9e6679-7425-40de-944b-e07fc1f90ae7"
#define OTHER "11111111-2222-3333-4444-555555555555"

static void assert_pages(World *w, const char *text, uint64_t pages, uint64_t kept) {
    Asked got = both(w, text, 0, false, NULL);

    if (got.pages != pages || got.kept != kept)
        fail_msg("%s: %d pages, %d entries kept, not %d and %d", text, (int)got.pages,
                 (int)got.kept, (int)pages, (int)kept);
}

static void a_page_without_the_id_is_not_read(void **state) {
    const char *const lines[] = {"{\"id\":\"" OTHER "\"}", "id=" OTHER, "id " OTHER " x"};
    World *w = world_of(lines, 3, NULL);

    (void)state;
    assert_pages(w, "{app=\"app-0\"} | json | id=\"" ID "\"", 0, 0);
    assert_pages(w, "{app=\"app-0\"} | logfmt | id=\"" ID "\"", 0, 0);
    assert_pages(w, "{app=\"app-0\"} | regexp \"id (?P<id>\\\\S+)\" | id=\"" ID "\"", 0, 0);
    assert_pages(w, "{app=\"app-0\"} | pattern \"id <id> x\" | id=\"" ID "\"", 0, 0);
    assert_pages(w, "{app=\"app-0\"} | unpack | id=\"" ID "\"", 0, 0);
    assert_pages(w, "{app=\"app-0\"} | json x=\"id\" | x=\"" ID "\"", 0, 0);
    assert_pages(w, "{app=\"app-0\"} | json | id_extracted=\"" ID "\"", 0, 0);
    assert_pages(w, "{app=\"app-0\"} | json | drop y | id=\"" ID "\"", 0, 0);
    assert_pages(w, "{app=\"app-0\"} | json | label_format y=id | id=\"" ID "\"", 0, 0);
    assert_pages(w, "{app=\"app-0\"} | json | line_format \"{{.id}}\" | id=\"" ID "\"", 0, 0);
    assert_pages(w, "{app=\"app-0\"} | json | id=~\"" ID "|7" ID "\"", 0, 0);
    assert_pages(w, "{app=\"app-0\"} | json | id=\"" ID "\" or id=\"x" ID "\"", 0, 0);
    assert_pages(w, "{app=\"app-0\"} | json | id=\"" ID "\" and id!=\"x\"", 0, 0);
    assert_pages(w, "count_over_time({app=\"app-0\"} | json | id=\"" ID "\" [1h])", 0, 0);
    /* These say nothing. */
    assert_pages(w, "{app=\"app-0\"} | json | id!=\"" ID "\"", 1, 3);
    assert_pages(w, "{app=\"app-0\"} | json | id=\"" ID "\" or y=\"" ID "\"", 1, 0);
    assert_pages(w, "{app=\"app-0\"} | json | id=\"" ID "\" or id=\"\"", 1, 2);
    assert_pages(w, "{app=\"app-0\"} | json | id=~\"" ID "|.*\"", 1, 3);
    assert_pages(w, "{app=\"app-0\"} | json | id=\"" OTHER "\"", 1, 1);
    world_free(w);
}

static void what_stages_make_is_in_no_page(void **state) {
    const char *const lines[] = {"{\"a\":\"7c9e6679-7425-40de-944b\",\"b\":\"e07fc1f90ae7\"}",
                                 "7c9e6679-7425-\x1b[1m40de-944b-e07fc1f90ae7",
                                 "{\"_entry\":\"{\\\"id\\\":\\\"x\\\"}\"}"};
    World *w = world_of(lines, 3, NULL);

    (void)state;
    assert_pages(w, "{app=\"app-0\"} | json | label_format id=\"{{.a}}-{{.b}}\" | id=\"" ID "\"", 1,
                 1);
    assert_pages(w,
                 "{app=\"app-0\"} | json | label_format c=\"{{.a}}-{{.b}}\" | label_format id=c"
                 " | id=\"" ID "\"",
                 1, 1);
    assert_pages(w,
                 "{app=\"app-0\"} | json | line_format \"{{.a}}-{{.b}}\" | pattern \"<id>\""
                 " | id=\"" ID "\"",
                 1, 1);
    assert_pages(w, "{app=\"app-0\"} | decolorize | pattern \"<id>\" | id=\"" ID "\"", 1, 1);
    /* Of a line that nothing changed so far. */
    assert_pages(w, "{app=\"app-0\"} | pattern \"<id>\" | decolorize | id=\"" ID "\"", 0, 0);
    assert_pages(w, "{app=\"app-0\"} | unpack | json | id=\"" ID "\"", 1, 0);
    world_free(w);
}

static void an_id_that_escapes_spell_is_found(void **state) {
    static const char *const spelled[] = {
        "{\"id\":\"\\u0037c9e6679-7425-40de-944b-e07fc1f90ae7\"}",
        "{\"id\":\"7c9e6679\\u002d7425-40de-944b-e07fc1f90ae7\"}",
        "{\"id\":\"7c9e6679-7425-40de-944b-e07fc1f90ae\\u0037\"}",
        "{\"id\":\"7c9e6679-7425-40de-944b-\\u0065\\u00307fc1f90ae7\"}",
        "{\"id\":\"\\u0037\\u0063\\u0039\\u0065\\u0036\\u0036\\u0037\\u0039\\u002D\\u0037\\u0034"
        "\\u0032\\u0035-40de-944b-e07fc1f90ae7\"}",
        "id=\"\\u0037c9e6679-7425-40de-944b-e07fc1f90ae7\"",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(spelled); i++) {
        World *w = world_of(&spelled[i], 1, NULL);
        bool json = spelled[i][0] == '{';

        assert_pages(w, "{app=\"app-0\"} | json | id=\"" ID "\"", 1, json);
        assert_pages(w, "{app=\"app-0\"} | logfmt | id=\"" ID "\"", 1, !json);
        assert_pages(w, "{app=\"app-0\"} | json | logfmt | id=\"" ID "\"", 1, 1);
        /* What a pattern finds is as it stands in the line, where a \u0037 ends in a 7. */
        assert_pages(w, "{app=\"app-0\"} | pattern \"<id>\" | id=\"" ID "\"", i % 5 == 0, 0);
        world_free(w);
    }
    /* Escapes of what is in no id hide none. */
    const char *const harmless[] = {"{\"id\":\"" OTHER "\",\"q\":\"\\u003ca\\u0026b\\\"\\n\\\\\"}",
                                    "{\"id\":\"\\u003c" OTHER "\\u2028\\u0\"}"};
    World *w = world_of(harmless, 2, NULL);

    assert_pages(w, "{app=\"app-0\"} | json | id=\"" ID "\"", 0, 0);
    assert_pages(w, "{app=\"app-0\"} | json | id=\"" OTHER "\"", 1, 1);
    world_free(w);
}

static void an_id_within_a_longer_run_is_found(void **state) {
    const char *const lines[] = {
        "{\"id\":\"00112233445566778899aabbccddeeff\"}",
        "f00112233445566778899aabbccddeeff0123456789",
        "0123456789abcdef0123456789abcdef00112233445566778899AABBCCDDEEFF",
        "a" ID "b",
    };
    World *w = world_of(lines, 4, NULL);

    (void)state;
    assert_pages(w,
                 "{app=\"app-0\"} | regexp \"f(?P<id>[0-9a-f]{32})0\""
                 " | id=\"00112233445566778899aabbccddeeff\"",
                 1, 1);
    assert_pages(w,
                 "{app=\"app-0\"} | regexp \"abcdef(?P<id>[0-9A-F]{32})\""
                 " | id=\"00112233445566778899AABBCCDDEEFF\"",
                 1, 1);
    assert_pages(w, "{app=\"app-0\"} | regexp \"a(?P<id>.{36})b\" | id=\"" ID "\"", 1, 1);
    assert_pages(w, "{app=\"app-0\"} | json | id=\"00112233445566778899aabbccddeeff\"", 1, 1);
    assert_pages(w, "{app=\"app-0\"} | json | id=\"ffeeddccbbaa99887766554433221100\"", 0, 0);
    world_free(w);
}

static void labels_and_metadata_may_have_the_value_too(void **state) {
    const char *const lines[] = {"{\"id\":\"" OTHER "\"}", "{\"user\":\"alice\"}"};
    World *w = world_new(1);
    Str with = metadata_of(w, STR("id"), STR(ID));

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        w->rows[w->count++] =
            (Entry){0, i, (int64_t)(i + 1) * 1000000000, str_of(lines[i]), i == 1 ? with : STR("")};
        w->rows[w->count++] =
            (Entry){1, i, (int64_t)(i + 1) * 1000000000, str_of(lines[i]), STR("")};
    }
    add_object(w, w->rows, w->count);
    assert_pages(w, "{app=\"app-0\"} | json | id=\"" ID "\"", 1, 1);
    assert_pages(w, "{app=\"app-0\"} | json | id_extracted=\"" OTHER "\"", 1, 0);
    assert_pages(w, "{app=\"app-1\"} | json | user=\"bob\"", 1, 2);
    assert_pages(w, "{app=\"app-1\"} | json | user_extracted=\"alice\"", 1, 1);
    assert_pages(w, "{app=\"app-1\"} | json | id_extracted=\"" OTHER "\"", 1, 1);
    world_free(w);
}

/* Of an entry that is in two places the first counts, with its metadata. */
static void doubles_hide_each_other_as_ever(void **state) {
    World *w = world_new(1);
    Entry first = {0, 0, 5000000000, STR("{\"a\":1}"), metadata_of(w, STR("id"), STR(OTHER))};
    Entry second = {0, 0, 5000000000, STR("{\"a\":1}"), metadata_of(w, STR("id"), STR(ID))};
    Entry apart = {0, 0, 9000000000, STR("{\"a\":2}"), metadata_of(w, STR("id"), STR(OTHER))};

    (void)state;
    add_object(w, &first, 1);
    add_object(w, &second, 1);
    add_object(w, &apart, 1);
    assert_pages(w, "{app=\"app-0\"} | json | id=\"" ID "\"", 2, 0);
    assert_pages(w, "{app=\"app-0\"} | id=\"" ID "\"", 2, 0);
    assert_pages(w, "{app=\"app-0\"} | json | id=\"" OTHER "\"", 3, 2);
    world_free(w);
}

/* ---------- rows ---------- */

static void rows_that_cannot_have_the_value_are_not_parsed(void **state) {
    World *w = world_new(7);
    Asked got;

    (void)state;
    for (unsigned i = 0; i < 2000; i++)
        w->rows[w->count++] = (Entry){
            0, i, (int64_t)(i + 1) * 1000000000,
            i % 500 == 3 ? str_format(w->arena, "{\"user\":\"b\\u006fb\",\"took\":%u}", i)
                         : str_format(w->arena, "{\"user\":\"%s\",\"took\":%u,\"path\":\"/a/%u\"}",
                                      i % 100 == 0 ? "bob"
                                      : i % 3 == 0 ? "ann lee"
                                                   : "someone",
                                      i, i * 7),
            STR("")};
    add_object(w, w->rows, w->count);
    got = both(w, "{app=\"app-0\"} | json | user=\"bob\"", 0, false, NULL);
    assert_int_equal(got.kept, 24);
    assert_in_range(got.entries, 24, 400);
    got = both(w, "{app=\"app-0\"} | json | user=\"ann lee\"", 0, false, NULL);
    assert_in_range(got.entries, got.kept, 1000);
    got = both(w, "{app=\"app-0\"} | json | took=\"1234\"", 0, false, NULL);
    assert_int_equal(got.kept, 1);
    assert_in_range(got.entries, 1, 50);
    got = both(w, "sum(count_over_time({app=\"app-0\"} | json | user=~\"bob|nobody\" [1h]))", 0,
               false, NULL);
    assert_in_range(got.entries, 24, 1000);
    world_free(w);
}

/* Many lines like this one, `<n>` being a number of each, of which one in 100 has a 7 in it. */
static World *world_like(const char *const *lines, size_t count) {
    World *w = world_new(3);

    for (unsigned i = 0; i < 400; i++)
        for (size_t l = 0; l < count; l++) {
            CLEANUP_IN_PLACE(buf_done) Buf line = {0};

            buf_init(&line, 0);
            for (const char *at = lines[l]; *at != 0; at++) {
                if (strncmp(at, "<n>", 3) == 0) {
                    buf_printf(&line, "%u", i % 100 == 7 ? 7 : 100 + i);
                    at += 2;
                } else {
                    buf_append_byte(&line, *at);
                }
            }
            w->rows[w->count] = (Entry){0, (unsigned)w->count, (int64_t)(i + 1) * 1000000000,
                                        str_dup(w->arena, buf_str(&line)), STR("")};
            w->count++;
        }
    add_object(w, w->rows, w->count);
    return w;
}

/* Each line has label x=7 four times, by the stages beside it. */
static void a_value_is_found_wherever_it_may_stand(void **state) {
    static const struct {
        const char *line, *stages;
    } ways[] = {
        {"{\"x\":<n>}", "json"},
        {"{\"x\" :\t\"<n>\"}", "json"},
        {"{ \"a\":[1,2],\"x\": <n> ,\"b\":{}}", "json"},
        {"{\"x\":<n>", "json"},
        {"{\" x \":\"<n>\"}", "json"},
        {"{\"x\":{\"\":<n>}}", "json"},
        {"{\"a\":{\"x\":<n>}}", "json | a_x=\"7\" | label_format x=a_x"},
        {"{\"a\":{\"y.x\":<n>}}", "json | a_y_x=\"7\" | label_format x=a_y_x"},
        {"{\"a\":[0,<n>]}", "json x=\"a[1]\""},
        {"{\"a\":[12:30:45,<n>,5]}", "json x=\"a[1]\""},
        {"{\"a\":{\"y\":<n>}}", "json x=\"a.y\""},
        {"{\"y\":<n>}", "json | label_format x=y"},
        {"{\"y\":<n>}", "json | label_format x=\"{{.y}}\""},
        {"{\"_entry\":\"e\",\"x\":\"<n>\"}", "unpack"},
        {"x=<n>", "logfmt"},
        {"a=1 x=\"<n>\" b", "logfmt"},
        {"12:30:45,123 x=<n>", "logfmt"},
        {"y=<n>", "logfmt x=\"y\""},
        {"x=<n>", "logfmt x=\"y\""},
        {"a=1,b=<n>;", "regexp \"b=(?P<x>[0-9]+)\""},
        {"took <n>ms", "pattern \"took <x>ms\""},
        {"{\"x\":\"\\u0037\",\"n\":<n>}", "json | n=\"7\""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        World *w = world_like(&ways[i].line, 1);
        CLEANUP_IN_PLACE(buf_done) Buf text = {0};

        buf_init(&text, 0);
        buf_printf(&text, "{app=\"app-0\"} | %s | x=\"7\"%c", ways[i].stages, 0);
        assert_pages(w, text.ptr, 1, 4);
        world_free(w);
    }
}

/* ---------- anything ---------- */

/* The text as a JSON string may have it. */
static void put_json(World *w, Buf *out, Str text) {
    bool spells = one_in(w, 6);

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = (uint8_t)text.ptr[i];

        if (spells && c < 0x80 && one_in(w, 4))
            buf_printf(out, one_in(w, 2) ? "\\u00%02x" : "\\u00%02X", c);
        else if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c == ' ' && one_in(w, 4))
            buf_append_str(out, one_in(w, 2) ? STR("\xff") : STR("\\ufffd"));
        else
            buf_append_byte(out, (char)c);
    }
}

/* A value, now and then with something around it or in capitals. Objects have ids of their own, but
 * for a few. */
static Str any_value(World *w) {
    unsigned own = (unsigned)w->object_count % OBJECTS * (IDS / OBJECTS);
    unsigned which = one_in(w, 500) ? below(w, IDS)
                     : one_in(w, 2) ? own + below(w, IDS / OBJECTS)
                                    : IDS + below(w, TEXTS);
    Str text = str_dup(w->arena, w->texts[which]);

    if (one_in(w, 10)) text = str_format(w->arena, "a%.*s0", (int)text.len, text.ptr);
    if (one_in(w, 10))
        for (size_t i = 0; i < text.len; i++)
            ((char *)(uintptr_t)text.ptr)[i] = (char)toupper((unsigned char)text.ptr[i]);
    return text;
}

static void put_object(World *w, Buf *out) {
    static const char *const KEYS[] = {"id",     "user", "num",    "request.id", "msg",
                                       "x user", "",     " user ", "n_user",     "k36"};
    size_t fields = 1 + below(w, 4);

    buf_append_byte(out, '{');
    for (size_t i = 0; i < fields; i++) {
        buf_printf(out, "%s\"%s\"%s", i == 0 ? "" : ",",
                   KEYS[one_in(w, 2) ? below(w, 3) : below(w, ARRAY_LEN(KEYS))],
                   one_in(w, 4) ? " : " : ":");
        if (one_in(w, 5)) {
            Str value = any_value(w);

            if (one_in(w, 2))
                buf_printf(out, "%u", below(w, 100));
            else /* hardly any of them are JSON */
                buf_append_str(out, value);
            continue;
        }
        buf_append_byte(out, '"');
        put_json(w, out, any_value(w));
        buf_append_byte(out, '"');
    }
    if (one_in(w, 3)) {
        buf_printf(out, ",\"n\":{\"%s\":\"", one_in(w, 2) ? "id" : one_in(w, 2) ? "" : "user");
        put_json(w, out, any_value(w));
        buf_append_str(out, STR("\",\"l\":[\""));
        put_json(w, out, any_value(w));
        buf_printf(out, "\",%u,12:30:45,123,45]}", below(w, 100));
    }
    if (!one_in(w, 20)) buf_append_byte(out, '}');
}

static void put_logfmt(World *w, Buf *out) {
    static const char *const KEYS[] = {"id", "user", "num", "msg", "x.user", "k36"};
    size_t fields = 1 + below(w, 4);

    if (one_in(w, 2)) buf_printf(out, "time=12:30:%02u,%03u ", below(w, 60), below(w, 1000));

    for (size_t i = 0; i < fields; i++) {
        Str value = any_value(w);

        buf_printf(out, "%s%s=", i == 0 ? "" : " ", KEYS[below(w, ARRAY_LEN(KEYS))]);
        if (one_in(w, 2)) {
            buf_append_byte(out, '"');
            put_json(w, out, value);
            buf_append_byte(out, '"');
        } else {
            buf_append_str(out, value);
        }
    }
}

static Str regular_line(World *w) {
    Str id = any_value(w), user = any_value(w), other = any_value(w);
    unsigned n = below(w, 2000);

    switch (below(w, 4)) {
    case 0:
        return str_format(w->arena,
                          "{\"id\":\"" STR_FMT "\",\"user\": \"" STR_FMT
                          "\",\"num\":%u,\"n\":{\"id\":" STR_FMT "}}",
                          STR_ARG(id), STR_ARG(user), n, STR_ARG(other));
    case 1:
        return str_format(w->arena,
                          "time=12:30:%02u,%03u id=" STR_FMT " user=\"" STR_FMT "\" num=%u", n % 60,
                          n % 1000, STR_ARG(id), STR_ARG(user), n);
    case 2:
        return str_format(w->arena,
                          "{\"_entry\":\"id=%u\",\"id\":\"" STR_FMT "\",\"user\":\"u%u-%u\"}", n,
                          STR_ARG(id), n % 7, n % 3);
    default:
        return str_format(w->arena, "10.0.0.%u user=bob id " STR_FMT " took %ums", n % 256,
                          STR_ARG(id), n);
    }
}

static Str any_line(World *w) {
    CLEANUP_IN_PLACE(buf_done) Buf line = {0};
    Str value;

    if (w->regular && !one_in(w, 40)) return regular_line(w);
    buf_init(&line, 0);
    switch (below(w, 4)) {
    case 0:
        put_object(w, &line);
        break;
    case 1:
        put_logfmt(w, &line);
        break;
    case 2:
        value = any_value(w);
        buf_printf(&line, "10.0.0.%u user=%s id %.*s took %ums", below(w, 256),
                   one_in(w, 3) ? "bob" : "alice", (int)value.len, value.ptr, below(w, 2000));
        if (one_in(w, 6)) buf_append_str(&line, STR("\x1b[0m"));
        break;
    default: {
        CLEANUP_IN_PLACE(buf_done) Buf inner = {0};

        buf_init(&inner, 0);
        put_object(w, &inner);
        buf_append_str(&line, STR("{\"_entry\":\""));
        put_json(w, &line, buf_str(&inner));
        buf_append_str(&line, STR("\",\"id\":\""));
        put_json(w, &line, any_value(w));
        buf_append_str(&line, STR("\"}"));
    }
    }
    return str_dup(w->arena, buf_str(&line));
}

static Str any_metadata(World *w) {
    static const char *const NAMES[] = {"id", "user", "detected_level_____", "trace_id", "msg_id_"};

    if (!one_in(w, 3)) return STR("");
    return metadata_of(w, str_of(NAMES[below(w, ARRAY_LEN(NAMES))]), any_value(w));
}

/* Entries in some objects, which overlap more or less, and maybe a head; some are there twice. */
static void fill(World *w) {
    bool with_metadata = !one_in(w, 3);

    w->regular = one_in(w, 2);
    for (unsigned object = 0; object < OBJECTS; object++) {
        size_t first = w->count, count = 20 + below(w, 500);
        int64_t start = (int64_t)object * (one_in(w, 2) ? 400 : 250) * 1000000000;

        for (size_t i = 0; i < count && w->count < ROWS_MAX; i++) {
            Entry *entry = &w->rows[w->count];

            *entry = (Entry){below(w, 3 + (object & 1)), (unsigned)w->count,
                             start + (int64_t)below(w, 400) * 1000000000 +
                                 (one_in(w, 8) ? 0 : below(w, 1000000)),
                             any_line(w), with_metadata ? any_metadata(w) : STR("")};
            if (first > 0 && one_in(w, 10)) {
                Entry other = w->rows[below(w, (unsigned)first)];

                other.number = entry->number;
                if (with_metadata) other.metadata = any_metadata(w);
                *entry = other;
            }
            w->count++;
        }
        if (object == 4 && one_in(w, 2))
            make_head(w, below(w, 3), w->rows + first, w->count - first);
        else
            add_object(w, w->rows + first, w->count - first);
    }
}

/* As LogQL quotes it. */
static void put_value(World *w, Buf *out) {
    Str text = w->texts[below(w, IDS + TEXTS)];

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\') buf_append_byte(out, '\\');
        buf_append_byte(out, text.ptr[i]);
    }
}

static void put_match(World *w, Buf *out) {
    static const char *const NAMES[] = {
        "id", "user", "num",  "n_id",   "trace_id", "id_extracted", "request_id", "msg",
        "x",  "n",    "user", "x_user", "n_user",   "k36",          "num",        "time"};

    buf_printf(out, "%s%s\"", NAMES[one_in(w, 2) ? 0 : below(w, ARRAY_LEN(NAMES))],
               one_in(w, 8) ? "!=" : "=");
    put_value(w, out);
    buf_append_byte(out, '"');
}

static void put_filter(World *w, Buf *out) {
    switch (below(w, 7)) {
    case 0:
        put_match(w, out);
        buf_append_str(out, one_in(w, 2) ? STR(" or ") : STR(" and "));
        put_match(w, out);
        break;
    case 1: /* letters, digits and dashes only: nothing means anything but itself */
        buf_printf(out, "id=~\"%.*s|%.*s\"", (int)w->texts[0].len, w->texts[0].ptr,
                   (int)w->texts[1].len, w->texts[1].ptr);
        break;
    case 2:
        buf_append_str(out, one_in(w, 2) ? STR("num > 42") : STR("__error__=\"\""));
        break;
    default:
        put_match(w, out);
    }
}

static void put_pipeline(World *w, Buf *out) {
    static const char *const STAGES[] = {
        "json",
        "json",
        "json",
        "json id=\"n.id\", user",
        "json x=\"n.l[0]\"",
        "json x=\"n.l[3]\", num=\"n.l[2]\"",
        "json user",
        "json x=\"n\"",
        "logfmt",
        "logfmt",
        "logfmt --strict --keep-empty",
        "logfmt x=\"id\", user",
        "regexp \"id (?P<id>[^ ]+) took\"",
        "regexp \"(?P<user>bob|alice).*?(?P<num>[0-9]+)ms\"",
        "pattern \"<_> user=<user> id <id> <_>\"",
        "pattern \"id=<id> <x>\"",
        "unpack",
        "line_format \"{{.id}} {{.user}}\"",
        "line_format \"{{.msg}}{{.id}}\"",
        "label_format id=user",
        "label_format user=\"{{.id}}\"",
        "drop id",
        "keep id, user",
        "decolorize",
    };
    size_t stages = 1 + below(w, 4);

    if (one_in(w, 6)) {
        buf_append_str(out, STR(" |= \""));
        put_value(w, out);
        buf_append_byte(out, '"');
    }
    for (size_t i = 0; i < stages; i++) {
        buf_printf(out, " | %s", STAGES[i == 0 ? below(w, 17) : below(w, ARRAY_LEN(STAGES))]);
        if (one_in(w, 8)) buf_append_str(out, STR(" !~ \"took 1\""));
        if (i + 1 < stages && !one_in(w, 3)) continue;
        buf_append_str(out, STR(" | "));
        put_filter(w, out);
    }
}

static void put_query(World *w, Buf *out) {
    static const char *const SELECTORS[] = {"{app=~\".+\"}", "{app=~\".+\"}", "{app=\"app-0\"}",
                                            "{app=\"app-1\"}", "{app=~\"app-[12]\"}"};
    const char *selector = SELECTORS[below(w, ARRAY_LEN(SELECTORS))];
    unsigned kind = below(w, 6);

    if (kind == 0) buf_append_str(out, STR("count_over_time("));
    if (kind == 1) buf_append_str(out, STR("sum by (id, user) (count_over_time("));
    if (kind == 2) buf_append_str(out, STR("sum(bytes_over_time("));
    buf_append_str(out, str_of(selector));
    put_pipeline(w, out);
    if (kind < 3) buf_append_str(out, STR(" [600s])"));
    if (kind == 1 || kind == 2) buf_append_byte(out, ')');
    buf_append_byte(out, '\0');
}

static void answers_are_those_of_who_reads_all(void **state) {
    uint64_t pages = 0, plain_pages = 0, kept = 0, asked = 0, answered = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        World *w = world_new(seed);

        fill(w);
        for (int i = 0; i < 40; i++) {
            CLEANUP_IN_PLACE(buf_done) Buf text = {0};
            uint64_t all = 0;
            Asked got;

            buf_init(&text, 0);
            put_query(w, &text);
            got = both(w, text.ptr, one_in(w, 3) ? 1 + below(w, 20) : 0, one_in(w, 2), &all);
            pages += got.pages;
            plain_pages += all;
            kept += got.kept;
            answered += got.code == ERR_OK;
            asked++;
        }
        world_free(w);
    }
    /* The test tests something. */
    assert_in_range(answered, asked * 3 / 4, asked);
    assert_in_range(kept, 1000, UINT64_MAX);
    assert_in_range(pages, 1, plain_pages - 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_without_the_id_is_not_read),
        cmocka_unit_test(what_stages_make_is_in_no_page),
        cmocka_unit_test(an_id_that_escapes_spell_is_found),
        cmocka_unit_test(an_id_within_a_longer_run_is_found),
        cmocka_unit_test(labels_and_metadata_may_have_the_value_too),
        cmocka_unit_test(doubles_hide_each_other_as_ever),
        cmocka_unit_test(rows_that_cannot_have_the_value_are_not_parsed),
        cmocka_unit_test(a_value_is_found_wherever_it_may_stand),
        cmocka_unit_test(answers_are_those_of_who_reads_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
