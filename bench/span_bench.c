/*
 * span_bench.c: what tables and pages of spans cost, in CPU time and bytes a span.
 *
 *     span_bench BODIES.BIN [ROWS [FLUSH [ROUNDS]]]
 *
 * The file is a sequence of requests: four numbers of 32 bits, little endian (shard, spans, size
 * before compression, size), then the body as sent, OTLP that isn't compressed. FLUSH spans make a
 * table, ROWS rows a page.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/batch/span_wire.h"
#include "common/block/block.h"
#include "common/block/span_page.h"
#include "proto/wire/wire.h"

enum { KINDS = SPAN_COLUMN_OWNERS + 1 };

typedef struct Load {
    Arena *arena;
    Span *spans;
    size_t count;
    size_t capacity;
} Load;

typedef struct Pages {
    Str *pages;
    SpanDirectory *directories;
    uint32_t *directory_bytes;
    size_t count;
    size_t rows;
} Pages;

static Error err;
static int rounds = 5;

static void check(ErrCode code) {
    if (code == ERR_OK) return;
    fprintf(stderr, "%s\n", err.text);
    exit(1);
}

static char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    char *bytes;
    long end;

    if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (end = ftell(file)) < 0) return NULL;
    rewind(file);
    bytes = malloc((size_t)end + 1);
    *size = bytes == NULL ? 0 : fread(bytes, 1, (size_t)end, file);
    fclose(file);
    return bytes;
}

/* ---------- spans of requests ---------- */

/* The fields of a message, which all are messages; false at the end. */
static bool next(WireReader *r, uint32_t *field, Str *bytes) {
    uint32_t tag;

    if (wire_at_end(r)) return false;
    if (!wire_tag(r, &tag) || (tag & 7) != WIRE_BYTES || !wire_bytes(r, bytes)) abort();
    *field = tag >> 3;
    return true;
}

static void take_scope(Load *load, Str resource, Str message) {
    WireReader r = wire_reader(message);
    SpanOrigin *origin = ARENA_NEW(load->arena, SpanOrigin);
    Str bytes, scope = {"", 0}, wire;
    uint32_t field;

    while (next(&r, &field, &bytes)) {
        if (field == 1) scope = bytes;
    }
    check(origin_wire(resource, scope, STR(""), STR(""), load->arena, &wire, &err));
    check(origin_decode(wire, load->arena, origin, &err));
    r = wire_reader(message);
    while (next(&r, &field, &bytes)) {
        if (field != 2) continue;
        if (load->count == load->capacity) {
            load->capacity = load->capacity * 2 + 1024;
            load->spans = realloc(load->spans, load->capacity * sizeof *load->spans);
            if (load->spans == NULL) abort();
        }
        check(span_decode(bytes, origin, load->arena, &load->spans[load->count++], &err));
    }
}

static void take_request(Load *load, Str body) {
    WireReader r = wire_reader(body), inner;
    Str group, bytes, resource;
    uint32_t field;

    while (next(&r, &field, &group)) {
        inner = wire_reader(group);
        resource = (Str){"", 0};
        while (next(&inner, &field, &bytes)) {
            if (field == 1) resource = bytes;
        }
        inner = wire_reader(group);
        while (next(&inner, &field, &bytes)) {
            if (field == 2) take_scope(load, resource, bytes);
        }
    }
}

/* ---------- writing ---------- */

static uint32_t traces_of_page(const SpanTable *t, uint32_t first, uint32_t rows) {
    uint32_t count = 0, have = 0;

    while (first + count < t->trace_count && (have < rows || count == 0))
        have += t->traces[first + count++].count;
    return count;
}

static void put_page(SpanPageEncoder *encoder, const SpanTable *t, Pages *out,
                     uint64_t *encode_ns) {
    uint64_t start = clock_thread_cpu_ns();
    Buf page;

    buf_init(&page, 0);
    out->pages = realloc(out->pages, (out->count + 1) * sizeof *out->pages);
    out->directory_bytes =
        realloc(out->directory_bytes, (out->count + 1) * sizeof *out->directory_bytes);
    check(span_page_encode(encoder, t, &page, &out->directory_bytes[out->count], &err));
    *encode_ns += clock_thread_cpu_ns() - start;
    out->pages[out->count++] = buf_str(&page); /* never freed */
    out->rows += t->row_count;
}

static void write_all(const Load *load, uint32_t rows, size_t flush, Pages *out) {
    uint64_t build_ns = 0, join_ns = 0, encode_ns = 0, start;
    SpanPageEncoder *encoder = span_page_encoder_new();

    for (size_t at = 0; at < load->count; at += flush) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        SpanTable table;

        start = clock_thread_cpu_ns();
        check(
            span_table_build(load->spans + at, MIN(flush, load->count - at), arena, &table, &err));
        build_ns += clock_thread_cpu_ns() - start;
        for (uint32_t first = 0; first < table.trace_count;) {
            SpanTableRange range = {&table, first, traces_of_page(&table, first, rows)};
            SpanTable part;

            start = clock_thread_cpu_ns();
            check(span_table_join(&range, 1, false, arena, &part, &err));
            join_ns += clock_thread_cpu_ns() - start;
            put_page(encoder, &part, out, &encode_ns);
            first += range.count;
        }
    }
    span_page_encoder_free(encoder);
    printf("write, ns a span: build %.0f, join %.0f, encode %.0f\n",
           (double)build_ns / (double)out->rows, (double)join_ns / (double)out->rows,
           (double)encode_ns / (double)out->rows);
}

/* All of an object, with its index. */
static void write_object(const Load *load, size_t flush) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    uint64_t start = clock_thread_cpu_ns();
    BlockSummary summary;
    BlockWriter *writer;
    Buf object;

    buf_init(&object, 0);
    writer = block_writer_new(arena, block_sink_buf(&object), 0);
    if (writer == NULL) abort();
    check(block_spans_begin(writer, STR("t"), &err));
    for (size_t at = 0; at < load->count; at += flush) {
        CLEANUP(arena_free) Arena *scratch = arena_new(0, NULL);
        SpanTable table;

        check(span_table_build(load->spans + at, MIN(flush, load->count - at), scratch, &table,
                               &err));
        check(block_spans_table(writer, &table, &err));
    }
    check(block_spans_end(writer, &err));
    check(block_writer_finish(writer, &summary, &err));
    printf("an object: %.2f bytes a span, %.0f ns a span from spans in full\n",
           (double)object.len / (double)load->count,
           (double)(clock_thread_cpu_ns() - start) / (double)load->count);
    buf_done(&object);
}

/* ---------- reading ---------- */

static void read_some(const char *what, const Pages *p, SpanNeed need) {
    double best = 0;

    for (int round = 0; round < rounds; round++) {
        uint64_t start = clock_thread_cpu_ns();
        double ns;

        for (size_t i = 0; i < p->count; i++) {
            CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
            SpanTable table = {0};

            check(span_page_decode(&p->directories[i], &need, arena, &table, &err));
        }
        ns = (double)(clock_thread_cpu_ns() - start) / (double)p->rows;
        best = round == 0 ? ns : MIN(best, ns);
    }
    printf("%-40s %7.1f\n", what, best);
}

static void read_key(const Pages *p, const char *name) {
    AttributeKey key = {SCOPE_SPAN, str_of(name)};

    read_some(name, p, (SpanNeed){.keys = &key, .key_count = 1});
}

static void read_trace(const Pages *p) {
    double sum = 0;

    for (size_t i = 0; i < p->count; i++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        SpanTable traces = {0}, table = {0};
        SpanNeed need = {0};
        uint64_t start;
        bool found;

        check(span_page_decode(&p->directories[i], &need, arena, &traces, &err));
        start = clock_thread_cpu_ns();
        check(span_page_decode_trace(&p->directories[i], &traces.traces[traces.trace_count / 2].id,
                                     arena, &table, &found, &err));
        sum += (double)(clock_thread_cpu_ns() - start);
    }
    printf("a trace by id: %.3f ms\n", sum / (double)p->count / 1e6);
}

static void read_all(const Pages *p) {
    printf("read, ns a span:\n");
    read_some("nothing but traces", p, (SpanNeed){0});
    read_some("parents", p, (SpanNeed){.columns = SPAN_PARENTS});
    read_some("starts", p, (SpanNeed){.columns = SPAN_STARTS});
    read_some("durations", p, (SpanNeed){.columns = SPAN_DURATIONS});
    read_some("origins", p, (SpanNeed){.columns = SPAN_ORIGINS});
    read_some("starts, durations, origins", p,
              (SpanNeed){.columns = SPAN_STARTS | SPAN_DURATIONS | SPAN_ORIGINS});
    read_some("names", p, (SpanNeed){.columns = SPAN_NAMES});
    read_some("kinds, statuses", p, (SpanNeed){.columns = SPAN_KINDS | SPAN_STATUSES});
    read_some("ids", p, (SpanNeed){.columns = SPAN_IDS});
    read_key(p, "http.status_code");
    read_key(p, "http.method");
    read_key(p, "http.target");
    read_key(p, "db.system");
    read_some("everything", p, (SpanNeed){.columns = SPAN_ALL, .all_keys = true});
    read_trace(p);
}

/* ---------- sizes ---------- */

static void print_sizes(Pages *p, Arena *arena) {
    static const char *const names[KINDS] = {
        "directory", "traces", "tree",    "starts",     "durations", "origin of",  "origins",
        "states",    "kinds",  "name of", "names",      "messages",  "attributes", "events",
        "links",     "rest",   "ids",     "parent ids", "owners"};
    double bytes[KINDS] = {0}, total = 0, rows = (double)p->rows;

    p->directories = calloc(p->count, sizeof *p->directories);
    for (size_t i = 0; i < p->count; i++) {
        SpanDirectory *d = &p->directories[i];

        check(span_directory_decode(p->pages[i], arena, d, &err));
        check(span_directory_attach(d, p->pages[i], &err));
        bytes[0] += d->bytes;
        total += (double)p->pages[i].len;
        for (uint32_t k = 0; k < d->count; k++) bytes[d->columns[k].kind] += d->columns[k].stored;
    }
    printf("%zu pages of %.0f spans, %.0f bytes each\nbytes a span: %.2f\n", p->count,
           rows / (double)p->count, total / (double)p->count, total / rows);
    for (int k = 0; k < KINDS; k++) printf("  %-12s %6.2f\n", names[k], bytes[k] / rows);
    for (uint32_t k = 0; k < p->directories[0].count; k++) {
        const SpanColumn *c = &p->directories[0].columns[k];

        if (c->kind == SPAN_COLUMN_ATTRIBUTE)
            printf("    %-32.*s %6.3f\n", STR_ARG(c->key),
                   (double)c->stored / (double)p->directories[0].rows);
    }
}

int main(int argc, char **argv) {
    uint32_t rows = argc > 2 ? (uint32_t)atoi(argv[2]) : SPAN_PAGE_ROWS;
    size_t flush = argc > 3 ? (size_t)atol(argv[3]) : 100000, size = 0, at = 0;
    char *file = argc > 1 ? read_file(argv[1], &size) : NULL;
    Load load = {.arena = arena_new(0, NULL)};
    uint64_t start = clock_thread_cpu_ns();
    Pages pages = {0};

    if (argc > 4) rounds = atoi(argv[4]);
    if (file == NULL) {
        fprintf(stderr, "usage: span_bench BODIES.BIN [ROWS [FLUSH [ROUNDS]]]\n");
        return 1;
    }
    while (size - at >= 16) {
        uint32_t head[4];

        memcpy(head, file + at, sizeof head);
        if (head[3] > size - at - 16) abort();
        take_request(&load, (Str){file + at + 16, head[3]});
        at += 16 + head[3];
    }
    printf("%zu spans, decoded in %.0f ns each\n", load.count,
           (double)(clock_thread_cpu_ns() - start) / (double)load.count);
    write_object(&load, flush);
    write_all(&load, rows, flush, &pages);
    print_sizes(&pages, load.arena);
    read_all(&pages);
    arena_free(load.arena);
    return 0;
}
