/* Bodies and their encodings, both ways: what is made smaller, and what must not grow large. */
#include <libdeflate.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include "tests/unit/net/raw.h"

enum { LARGE = 1 << 20 };

static char *text_of(size_t len) {
    char *text = malloc(len + 1);

    for (size_t i = 0; i < len; i++) text[i] = "rocks carried by ice, "[i % 22];
    for (size_t i = 0; i < len; i += 97) text[i] = (char)('a' + i % 23);
    return text;
}

/* --- encoders of the test's own --- */

static void zlib_encode(Str bytes, int window_bits, Buf *out) {
    z_stream z = {0};

    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_non_null(buf_reserve(out, deflateBound(&z, bytes.len) + 64));
    z.next_in = (Bytef *)bytes.ptr;
    z.avail_in = (uInt)bytes.len;
    z.next_out = (Bytef *)out->ptr + out->len;
    z.avail_out = (uInt)(out->capacity - out->len);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->len = out->capacity - z.avail_out;
    (void)deflateEnd(&z);
}

static void encode(const char *how, Str bytes, Buf *out) {
    if (strcmp(how, "gzip") == 0 || strcmp(how, "x-gzip") == 0) {
        zlib_encode(bytes, 31, out);
    } else if (strcmp(how, "deflate") == 0) {
        zlib_encode(bytes, 15, out);
    } else if (strcmp(how, "raw deflate") == 0) {
        zlib_encode(bytes, -15, out);
    } else if (strcmp(how, "zstd") == 0) {
        size_t room = ZSTD_compressBound(bytes.len);

        assert_non_null(buf_reserve(out, room));
        buf_added(out, ZSTD_compress(out->ptr + out->len, room, bytes.ptr, bytes.len, 3));
    } else if (strcmp(how, "zstd stream") == 0) { /* doesn't say its size */
        ZSTD_CCtx *context = ZSTD_createCCtx();
        ZSTD_inBuffer in = {bytes.ptr, bytes.len, 0};
        ZSTD_outBuffer made = {buf_reserve(out, ZSTD_compressBound(bytes.len)),
                               ZSTD_compressBound(bytes.len), 0};

        assert_false(ZSTD_isError(ZSTD_compressStream2(context, &made, &in, ZSTD_e_continue)));
        assert_int_equal(ZSTD_compressStream2(context, &made, &in, ZSTD_e_end), 0);
        buf_added(out, made.pos);
        ZSTD_freeCCtx(context);
    } else {
        size_t len = snappy_max_compressed_length(bytes.len);

        assert_string_equal(how, "snappy");
        assert_non_null(buf_reserve(out, len));
        assert_int_equal(snappy_compress(bytes.ptr, bytes.len, out->ptr + out->len, &len),
                         SNAPPY_OK);
        buf_added(out, len);
    }
}

static const char *const all[] = {"gzip", "x-gzip",      "deflate", "raw deflate",
                                  "zstd", "zstd stream", "snappy"};

/* What the header says for it. */
static Str header_of(const char *how) {
    if (strcmp(how, "raw deflate") == 0) return STR("deflate");
    if (strcmp(how, "zstd stream") == 0) return STR("zstd");
    return str_of(how);
}

static void every_encoding_is_undone(void **state) {
    static const size_t sizes[] = {0, 1, 100, 5000, LARGE};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
            CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
            char *text = text_of(sizes[k]);
            Buf packed;
            Str out = {0};
            Error err;

            buf_init(&packed, 0);
            encode(all[i], (Str){text, sizes[k]}, &packed);
            assert_ok(http_decode(header_of(all[i]), buf_str(&packed), LARGE, arena, &out, &err),
                      &err);
            assert_int_equal(out.len, sizes[k]);
            if (out.len > 0) assert_memory_equal(out.ptr, text, out.len);
            /* One byte less of a limit, and it doesn't fit. */
            if (sizes[k] > 0)
                assert_int_equal(http_decode(header_of(all[i]), buf_str(&packed), sizes[k] - 1,
                                             arena, &out, &err),
                                 ERR_LIMIT);
            buf_done(&packed);
            free(text);
        }
    }
}

static void bytes_without_an_encoding_are_shown_where_they_lie(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Str out, bytes = STR("plain");
    Error err;

    (void)state;
    assert_ok(http_decode((Str){"", 0}, bytes, 5, arena, &out, &err), &err);
    assert_ptr_equal(out.ptr, bytes.ptr);
    assert_ok(http_decode(STR(" Identity "), bytes, 5, arena, &out, &err), &err);
    assert_int_equal(http_decode(STR("identity"), bytes, 4, arena, &out, &err), ERR_LIMIT);
    assert_int_equal(http_decode(STR("br"), bytes, 100, arena, &out, &err), ERR_UNSUPPORTED);
    assert_int_equal(http_decode(STR("gzip, gzip"), bytes, 100, arena, &out, &err),
                     ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "gzip, gzip"));
}

static void frames_and_members_one_behind_the_other_are_one_body(void **state) {
    static const char *const ones[] = {"gzip", "zstd", "zstd stream"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ones); i++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        char *text = text_of(100000);
        Buf packed;
        Str out;
        Error err;

        buf_init(&packed, 0);
        encode(ones[i], (Str){text, 60000}, &packed);
        encode(ones[i], (Str){text + 60000, 0}, &packed);
        encode(ones[i], (Str){text + 60000, 40000}, &packed);
        assert_ok(http_decode(header_of(ones[i]), buf_str(&packed), LARGE, arena, &out, &err),
                  &err);
        assert_int_equal(out.len, 100000);
        assert_memory_equal(out.ptr, text, 100000);
        buf_append(&packed, "trash", 5);
        assert_int_equal(
            http_decode(header_of(ones[i]), buf_str(&packed), LARGE, arena, &out, &err),
            ERR_INVALID);
        buf_done(&packed);
        free(text);
    }
}

static void bodies_cut_anywhere_are_invalid(void **state) {
    char *text = text_of(3000);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        Buf packed;

        buf_init(&packed, 0);
        encode(all[i], (Str){text, 3000}, &packed);
        for (size_t len = 0; len < packed.len; len++) {
            CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
            char *cut = malloc(len + 1); /* so that reading behind it is seen */
            Str out;
            Error err;

            cut = realloc(cut, MAX(len, (size_t)1));
            memcpy(cut, packed.ptr, len);
            assert_int_equal(
                http_decode(header_of(all[i]), (Str){cut, len}, LARGE, arena, &out, &err),
                ERR_INVALID);
            free(cut);
        }
        buf_done(&packed);
    }
    free(text);
}

static void flipped_bits_do_no_harm(void **state) {
    char *text = text_of(300);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        Buf packed;

        buf_init(&packed, 0);
        encode(all[i], (Str){text, 300}, &packed);
        for (size_t at = 0; at < packed.len * 8; at++) {
            CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
            Str out = {0};
            Error err;

            packed.ptr[at / 8] = (char)(packed.ptr[at / 8] ^ 1 << at % 8);
            if (http_decode(header_of(all[i]), buf_str(&packed), LARGE, arena, &out, &err) ==
                ERR_OK)
                assert_true(out.len <= LARGE);
            packed.ptr[at / 8] = (char)(packed.ptr[at / 8] ^ 1 << at % 8);
        }
        buf_done(&packed);
    }
    free(text);
}

static void bombs_go_off_at_the_limit(void **state) {
    static const char *const bombs[] = {"gzip", "deflate", "raw deflate", "zstd", "zstd stream"};
    size_t len = 64 << 20;
    char *zeros = calloc(1, len);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bombs); i++) {
        Budget budget;
        Buf packed;
        Str out;
        Error err;

        budget_init(&budget, "test", 0, NULL);
        buf_init(&packed, 0);
        encode(bombs[i], (Str){zeros, len}, &packed);
        assert_true(packed.len < len / 900);
        {
            CLEANUP(arena_free) Arena *arena = arena_new(0, &budget);

            assert_int_equal(
                http_decode(header_of(bombs[i]), buf_str(&packed), LARGE, arena, &out, &err),
                ERR_LIMIT);
            assert_non_null(strstr(err.text, "1048576"));
        }
        assert_true(atomic_load(&budget.peak) < 3 * (size_t)LARGE);
        /* The arena's budget is a wall of its own; what it says may be tried again. */
        budget_init(&budget, "test", 100000, NULL);
        {
            CLEANUP(arena_free) Arena *arena = arena_new(0, &budget);

            assert_int_equal(
                http_decode(header_of(bombs[i]), buf_str(&packed), len, arena, &out, &err),
                ERR_UNAVAILABLE);
        }
        assert_int_equal(budget_used(&budget), 0);
        buf_done(&packed);
    }
    free(zeros);
}

static void a_claimed_size_alone_takes_no_memory(void **state) {
    /* snappy: 2^32 - 1 bytes out of nothing; gzip: the length at the end is a lie. */
    static const char snappy[] = "\xff\xff\xff\xff\x0f\x00";
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Buf packed;
    Str out;
    Error err;

    (void)state;
    assert_int_equal(http_decode(STR("snappy"), (Str){snappy, 5}, SIZE_MAX, arena, &out, &err),
                     ERR_INVALID);
    buf_init(&packed, 0);
    encode("gzip", STR("hello"), &packed);
    memset(packed.ptr + packed.len - 4, 0xff, 4);
    assert_int_equal(http_decode(STR("gzip"), buf_str(&packed), SIZE_MAX, arena, &out, &err),
                     ERR_INVALID);
    assert_true(arena_held(arena) < 100000);
    buf_done(&packed);
}

/* --- answers --- */

static void handle_text(HttpRequest *request, void *context) {
    Str size, coded;
    Buf body;
    char *text;
    uint64_t len = 0;

    assert_true(http_param(request, "size", 0, &size) && str_to_u64(size, &len));
    text = text_of((size_t)len);
    buf_init(&body, 0);
    buf_append(&body, text, (size_t)len);
    free(text);
    if (http_param(request, "coded", 0, &coded))
        http_set_header(request, "Content-Encoding", coded);
    http_respond_buf(request, 200, context, &body);
    assert_int_equal(body.len, 0);
    assert_null(body.ptr);
}

static void handle_decoded(HttpRequest *request, void *context) {
    Error err;
    Str out;

    (void)context;
    if (http_body_decoded(request, LARGE, &out, &err) == ERR_OK)
        http_respond(request, 200, "application/octet-stream", out);
    else
        http_respond_error(request, &err);
}

static HttpServer *server;

static int setup(void **state) {
    HttpServerOptions options = test_options();

    (void)state;
    server = test_server(&options,
                         (HttpRoute[]){
                             {HTTP_GET_, "/json", handle_text, "application/json", 0},
                             {HTTP_GET_, "/text", handle_text, "text/plain; charset=utf-8", 0},
                             {HTTP_GET_, "/proto", handle_text, "application/x-protobuf", 0},
                             {HTTP_GET_, "/png", handle_text, "image/png", 0},
                             {HTTP_POST_, "/decoded", handle_decoded, NULL, 0},
                         },
                         5);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_server_free(server);
    return 0;
}

static RawAnswer get(int fd, const char *path, const char *accept) {
    char text[300];

    (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\nAccept-Encoding: %s\r\n\r\n",
                   path, accept);
    assert_true(raw_send(fd, text));
    return raw_read(fd, false);
}

static void answers_are_compressed_as_the_client_accepts(void **state) {
    static const struct {
        const char *path, *accept, *coding;
        bool varies;
    } cases[] = {
        {"/json?size=5000", "gzip", "gzip", true},
        {"/json?size=5000", "gzip, deflate, zstd", "zstd", true},
        {"/json?size=5000", "zstd;q=0.5, gzip;q=0.9", "gzip", true},
        {"/json?size=5000", "ZSTD;Q=0.9, gzip;q=0.9", "zstd", true},
        {"/json?size=5000", "gzip;q=0, zstd;q=0.000", "", true},
        {"/json?size=5000", "gzip;q=nonsense", "", true},
        {"/json?size=5000", "br, *", "", true},
        {"/json?size=5000", "", "", true},
        {"/json?size=1000", "gzip, zstd", "", false},
        {"/text?size=1024", "zstd", "zstd", true},
        {"/proto?size=300000", "zstd", "zstd", true},
        {"/proto?size=300000", "gzip", "gzip", true},
        {"/png?size=5000", "gzip, zstd", "", false},
        {"/json?size=5000&coded=br", "gzip, zstd", "br", false},
    };
    int fd = raw_connect(http_server_port(server));

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        size_t size = strtoul(strchr(cases[i].path, '=') + 1, NULL, 10);
        RawAnswer answer = get(fd, cases[i].path, cases[i].accept);
        char *text = text_of(size);
        Str coding = raw_header(&answer, "content-encoding"), out;
        Error err;

        assert_int_equal(answer.status, 200);
        assert_true(str_equal(coding, str_of(cases[i].coding)));
        assert_int_equal(raw_header(&answer, "vary").len > 0, cases[i].varies);
        if (str_equal(coding, STR("br"))) coding = (Str){"", 0};
        if (coding.len > 0) assert_true(answer.body.len < size);
        assert_ok(http_decode(coding, buf_str(&answer.body), LARGE, arena, &out, &err), &err);
        assert_int_equal(out.len, size);
        assert_memory_equal(out.ptr, text, size);
        free(text);
        raw_answer_done(&answer);
    }
    close(fd);
}

static void request_bodies_are_decoded(void **state) {
    int fd = raw_connect(http_server_port(server));
    char *text = text_of(90000), head[300];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        RawAnswer answer;
        Buf packed;

        buf_init(&packed, 0);
        encode(all[i], (Str){text, 90000}, &packed);
        (void)snprintf(head, sizeof head,
                       "POST /decoded HTTP/1.1\r\nHost: x\r\nContent-Encoding: %s\r\n"
                       "Content-Length: %zu\r\n\r\n",
                       header_of(all[i]).ptr, packed.len);
        assert_true(raw_send(fd, head));
        assert_true(raw_send_bytes(fd, packed.ptr, packed.len));
        answer = raw_read(fd, false);
        assert_int_equal(answer.status, 200);
        assert_int_equal(answer.body.len, 90000);
        assert_memory_equal(answer.body.ptr, text, 90000);
        raw_answer_done(&answer);
        buf_done(&packed);
    }
    raw_expect(
        fd,
        "POST /decoded HTTP/1.1\r\nHost: x\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx",
        415, NULL);
    raw_expect(fd,
               "POST /decoded HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n"
               "Content-Length: 1\r\n\r\nx",
               400, NULL);
    free(text);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_encoding_is_undone),
        cmocka_unit_test(bytes_without_an_encoding_are_shown_where_they_lie),
        cmocka_unit_test(frames_and_members_one_behind_the_other_are_one_body),
        cmocka_unit_test(bodies_cut_anywhere_are_invalid),
        cmocka_unit_test(flipped_bits_do_no_harm),
        cmocka_unit_test(bombs_go_off_at_the_limit),
        cmocka_unit_test(a_claimed_size_alone_takes_no_memory),
        cmocka_unit_test(answers_are_compressed_as_the_client_accepts),
        cmocka_unit_test(request_bodies_are_decoded),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
