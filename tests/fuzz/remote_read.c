/*
 * remote_read.c: the body of a remote_read request. What is taken has matchers that may be asked,
 * and no more of anything than the limits say; what isn't leaves the answer untouched and says why.
 *
 * The input is compressed here, so that changes of it are changes of the message; an input that
 * begins with 0xff is a body as it is.
 */
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/wire/write.h"
#include "querier/api/read_request.h"
#include "tests/fuzz/fuzz.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_request(const ReadRequest *request) {
    CHECK(request->count <= 256);
    for (size_t q = 0; q < request->count; q++) {
        const SelectRequest *query = &request->queries[q];

        CHECK(query->matcher_count <= 1024);
        for (size_t m = 0; m < query->matcher_count; m++) {
            const Matcher *matcher = &query->matchers[m];

            (void)matcher_matches(matcher, matcher->value);
            (void)matcher_matches(matcher, STR(""));
            if (matcher->op == MATCH_EQUAL) CHECK(matcher_matches(matcher, matcher->value));
            if (matcher->op == MATCH_NOT_EQUAL) CHECK(!matcher_matches(matcher, matcher->value));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Budget budget;
    CLEANUP(arena_free) Arena *arena = NULL;
    ReadRequest request = {.count = SIZE_MAX};
    Error err = {0};
    Str body = {(const char *)data, size};
    ErrCode code;

    budget_init(&budget, "fuzz", MIB(16), NULL);
    arena = arena_new(0, &budget);
    if (size > 0 && data[0] == 0xff) {
        body = str_from(body, 1);
    } else {
        size_t bytes = snappy_max_compressed_length(size);
        char *compressed = arena_alloc_bytes(arena, bytes);

        CHECK(compressed != NULL);
        CHECK(snappy_compress(body.ptr == NULL ? "" : body.ptr, size, compressed, &bytes) ==
              SNAPPY_OK);
        body = (Str){compressed, bytes};
    }
    code = read_request_decode(arena, body, &request, &err);
    if (code == ERR_OK) {
        check_request(&request);
    } else {
        CHECK(code == ERR_INVALID || code == ERR_LIMIT);
        CHECK(err.code == code && err.text[0] != '\0' && request.count == SIZE_MAX);
    }
    return 0;
}

/* --- seeds --- */

static void put_matcher(Buf *out, unsigned type, Str name, Str value) {
    size_t matcher = wire_begin(out, 3);

    wire_put_varint(out, 1, type);
    wire_put_bytes(out, 2, name);
    wire_put_bytes(out, 3, value);
    wire_end(out, matcher);
}

static void put_query(Buf *out) {
    size_t query = wire_begin(out, 1), hints;

    wire_put_int64(out, 1, INT64_C(1700000000000));
    wire_put_int64(out, 2, INT64_C(1700000600000));
    put_matcher(out, 0, STR("__name__"), STR("up"));
    put_matcher(out, 1, STR("job"), STR(""));
    put_matcher(out, 2, STR("instance"), STR("node-.*|(?i)x{2}"));
    put_matcher(out, 3, STR("a.b"), STR("[^c]+"));
    hints = wire_begin(out, 4);
    wire_put_int64(out, 1, 15000);
    wire_put_bytes(out, 2, STR("rate"));
    wire_end(out, hints);
    wire_end(out, query);
}

bool fuzz_seed(unsigned n, Buf *out) {
    switch (n) {
    case 0: /* samples */
        put_query(out);
        return true;
    case 1: /* chunks, two queries */
        put_query(out);
        put_query(out);
        wire_put_varint(out, 2, 1);
        wire_put_varint(out, 2, 0);
        return true;
    case 2: /* what nobody knows */
        put_matcher(out, 9, STR("a"), STR("("));
        wire_put_varint(out, 2, 7);
        return true;
    case 3: /* a snappy block with a literal */
        buf_append_str(out, STR("\xff\x04\x0c\x0a\x02\x08\x01"));
        return true;
    default:
        return false;
    }
}
