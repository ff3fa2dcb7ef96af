/* The bytes of deltas and checkpoints: docs/MANIFEST.md. Not one of them is believed. */
#include <zstd.h>

#include "common/base/hash.h"
#include "common/manifest/state.h"
#include "tests/unit/manifest/manifest_helper.h"

static void put_head(Buf *out, uint16_t version, uint8_t kind, uint64_t payload_len) {
    buf_append(out, "MORAINEM", 8);
    buf_append_u16(out, version);
    buf_append_byte(out, (char)kind);
    buf_append_byte(out, 0);
    buf_append_u64(out, payload_len);
}

/* Head, payload and sum as somebody would write them who only has the document. */
static void seal(Buf *out, uint16_t version, uint8_t kind, uint64_t claimed, Str payload) {
    char packed[4096];
    size_t len = ZSTD_compress(packed, sizeof packed, payload.ptr, payload.len, 1);

    assert_false(ZSTD_isError(len));
    put_head(out, version, kind, claimed);
    buf_append(out, packed, len);
    buf_append_u64(out, hash_bytes(out->ptr, out->len));
}

static void make_delta_payload(Buf *out) {
    buf_append_varint(out, 300);             /* sequence */
    buf_append_zigzag(out, -7);              /* time */
    buf_append_u64(out, 0x1122334455667788); /* writer */
    buf_append_varint(out, 1);               /* one added */
    buf_append_varint(out, 3);
    buf_append(out, "key", 3);
    buf_append_varint(out, 1000); /* size */
    buf_append_u64(out, 99);      /* checksum */
    buf_append_varint(out, 2);    /* level */
    buf_append_zigzag(out, 5);    /* created */
    buf_append_varint(out, 1);    /* one part */
    buf_append_varint(out, 1);
    buf_append(out, "t", 1);
    buf_append_varint(out, SIGNAL_LOGS);
    buf_append_zigzag(out, -10);
    buf_append_zigzag(out, 10);
    buf_append_varint(out, 4);
    buf_append_varint(out, 5);
    buf_append_varint(out, 6);
    buf_append_varint(out, 1); /* one removed */
    buf_append_varint(out, 3);
    buf_append(out, "old", 3);
    buf_append_varint(out, 1); /* one forgotten */
    buf_append_varint(out, 4);
    buf_append(out, "gone", 4);
}

static void put_text(Buf *out, const char *text) {
    buf_append_varint(out, strlen(text));
    buf_append(out, text, strlen(text));
}

/* Version 2: with delete requests. */
static void make_deletes_payload(Buf *out) {
    make_delta_payload(out);
    buf_append_varint(out, 17); /* what the one added is cleared up to */
    buf_append_varint(out, 1);  /* one request */
    put_text(out, "t");
    put_text(out, "id1");
    put_text(out, "{a=\"b\"}");
    buf_append_zigzag(out, -3);
    buf_append_zigzag(out, 4);
    buf_append_zigzag(out, 5);
    buf_append_varint(out, 1); /* one taken back */
    put_text(out, "t");
    put_text(out, "id2");
    buf_append_varint(out, 1); /* one carried out */
    put_text(out, "u");
    put_text(out, "id3");
    buf_append_varint(out, 1); /* one object cleared */
    put_text(out, "other");
    buf_append_varint(out, 18);
}

static void a_delta_with_delete_requests_is_what_the_document_says(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf payload;
    CLEANUP_IN_PLACE(buf_done) Buf bytes;
    CLEANUP_IN_PLACE(buf_done) Buf again;
    char unpacked[512];
    Error err = {0};
    Delta delta;

    (void)state;
    buf_init(&payload, 0);
    buf_init(&bytes, 0);
    buf_init(&again, 0);
    make_deletes_payload(&payload);
    seal(&bytes, 2, 1, payload.len, buf_str(&payload));
    assert_ok(delta_decode(buf_str(&bytes), arena, &delta, &err), &err);
    assert_int_equal(delta.add[0].cleared, 17);
    assert_true(str_equal(delta.add_deletes[0].query, STR("{a=\"b\"}")));
    assert_int_equal(delta.add_deletes[0].start_ms, -3);
    assert_true(str_equal(delta.remove_deletes[0].id, STR("id2")));
    assert_true(str_equal(delta.processed_deletes[0].tenant, STR("u")));
    assert_int_equal(delta.raise[0].cleared, 18);
    assert_ok(delta_encode(&delta, &again, &err), &err);
    assert_int_equal(ZSTD_decompress(unpacked, sizeof unpacked, again.ptr + 20, again.len - 28),
                     payload.len);
    assert_memory_equal(unpacked, payload.ptr, payload.len);
    assert_memory_equal(again.ptr, bytes.ptr, 20);
}

static void a_delta_is_what_the_document_says(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf payload;
    CLEANUP_IN_PLACE(buf_done) Buf bytes;
    CLEANUP_IN_PLACE(buf_done) Buf again;
    Error err = {0};
    Delta delta;

    (void)state;
    buf_init(&payload, 0);
    buf_init(&bytes, 0);
    buf_init(&again, 0);
    make_delta_payload(&payload);
    seal(&bytes, 1, 1, payload.len, buf_str(&payload));
    assert_ok(delta_decode(buf_str(&bytes), arena, &delta, &err), &err);
    assert_int_equal(delta.sequence, 300);
    assert_int_equal(delta.time_ms, -7);
    assert_true(delta.writer == 0x1122334455667788);
    assert_int_equal(delta.add_count, 1);
    assert_true(str_equal(delta.add[0].key, STR("key")));
    assert_int_equal(delta.add[0].level, 2);
    assert_int_equal(delta.add[0].parts[0].min_ms, -10);
    assert_int_equal(delta.add[0].parts[0].bytes, 6);
    assert_true(str_equal(delta.remove[0], STR("old")));
    assert_true(str_equal(delta.forget[0], STR("gone")));
    /* And what is written is the same payload. */
    assert_ok(delta_encode(&delta, &again, &err), &err);
    {
        char unpacked[256];
        size_t len = ZSTD_decompress(unpacked, sizeof unpacked, again.ptr + 20, again.len - 28);

        assert_int_equal(len, payload.len);
        assert_memory_equal(unpacked, payload.ptr, len);
        assert_memory_equal(again.ptr, bytes.ptr, 20);
    }
}

/* The payload cut at every byte, everything around it right. What comes after the last field is
 * left for later releases. */
static void check_cuts(uint16_t version, void (*make)(Buf *out)) {
    CLEANUP_IN_PLACE(buf_done) Buf payload;

    buf_init(&payload, 0);
    make(&payload);
    for (size_t len = 0; len <= payload.len; len++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        CLEANUP_IN_PLACE(buf_done) Buf bytes;
        Error err = {0};
        Delta delta;

        buf_init(&bytes, 0);
        seal(&bytes, version, 1, len, (Str){payload.ptr, len});
        assert_int_equal(delta_decode(buf_str(&bytes), arena, &delta, &err),
                         len == payload.len ? ERR_OK : ERR_CORRUPT);
    }
    buf_append(&payload, "later", 5);
    {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        CLEANUP_IN_PLACE(buf_done) Buf bytes;
        Error err = {0};
        Delta delta;

        buf_init(&bytes, 0);
        seal(&bytes, version, 1, payload.len, buf_str(&payload));
        assert_ok(delta_decode(buf_str(&bytes), arena, &delta, &err), &err);
    }
}

static void a_payload_cut_at_any_byte_is_corrupt(void **state) {
    (void)state;
    check_cuts(1, make_delta_payload);
    check_cuts(2, make_deletes_payload);
}

/* Every byte of the payload takes every value: an answer, never a crash (sanitizers look on). */
static void check_other_bytes(uint16_t version, void (*make)(Buf *out)) {
    CLEANUP_IN_PLACE(buf_done) Buf payload;

    buf_init(&payload, 0);
    make(&payload);
    for (size_t i = 0; i < payload.len; i++)
        for (unsigned value = 0; value < 256; value++) {
            CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
            CLEANUP_IN_PLACE(buf_done) Buf bytes;
            char was = payload.ptr[i];
            State fresh = {0};
            Error err = {0};
            Delta delta;
            ErrCode code;

            buf_init(&bytes, 0);
            payload.ptr[i] = (char)value;
            seal(&bytes, version, 1, payload.len, buf_str(&payload));
            code = delta_decode(buf_str(&bytes), arena, &delta, &err);
            if (code == ERR_OK)
                assert_ok(state_apply(&fresh, &delta, &err), &err);
            else
                assert_true(code == ERR_CORRUPT || code == ERR_UNSUPPORTED);
            state_done(&fresh);
            payload.ptr[i] = was;
        }
}

static void a_payload_of_other_bytes_is_survived(void **state) {
    (void)state;
    check_other_bytes(1, make_delta_payload);
    check_other_bytes(2, make_deletes_payload);
}

static ErrCode decode_payload(uint16_t version, uint8_t kind, uint64_t claimed,
                              const Buf *payload) {
    CLEANUP(arena_free) Arena *arena = arena_new(64 << 20, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf bytes;
    Error err = {0};
    Delta delta;

    buf_init(&bytes, 0);
    seal(&bytes, version, kind, claimed, buf_str(payload));
    return delta_decode(buf_str(&bytes), arena, &delta, &err);
}

static void other_versions_kinds_and_lengths_are_refused(void **state) {
    CLEANUP_IN_PLACE(buf_done) Buf payload;

    (void)state;
    buf_init(&payload, 0);
    make_delta_payload(&payload);
    assert_int_equal(decode_payload(1, 1, payload.len, &payload), ERR_OK);
    assert_int_equal(decode_payload(3, 1, payload.len, &payload), ERR_UNSUPPORTED);
    assert_int_equal(decode_payload(0, 1, payload.len, &payload), ERR_UNSUPPORTED);
    assert_int_equal(decode_payload(1, 2, payload.len, &payload), ERR_CORRUPT);
    assert_int_equal(decode_payload(1, 1, payload.len - 1, &payload), ERR_CORRUPT);
    assert_int_equal(decode_payload(1, 1, payload.len + 1, &payload), ERR_CORRUPT);
    /* Not asked for before it is known that they are there. */
    assert_int_equal(decode_payload(1, 1, UINT64_C(1) << 30, &payload), ERR_CORRUPT);
    assert_int_equal(decode_payload(1, 1, UINT64_MAX, &payload), ERR_CORRUPT);
}

static void absurd_counts_are_refused_before_memory_is_asked_for(void **state) {
    const uint64_t counts[] = {2, 1000, UINT32_MAX, UINT64_MAX / 2, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        for (unsigned where = 0; where < 3; where++) {
            CLEANUP_IN_PLACE(buf_done) Buf payload;

            buf_init(&payload, 0);
            buf_append_varint(&payload, 1);
            buf_append_zigzag(&payload, 0);
            buf_append_u64(&payload, 0);
            for (unsigned c = 0; c < where; c++) buf_append_varint(&payload, 0);
            buf_append_varint(&payload, counts[i]);
            assert_int_equal(decode_payload(1, 1, payload.len, &payload), ERR_CORRUPT);
        }
}

static void bytes_that_are_no_manifest_are_refused(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    const Str texts[] = {STR(""), STR("MORAINEM"), STR("MORAINEMMORAINEMMORAINEMMORAINEM"),
                         STR("<html>502 Bad Gateway</html> from some proxy in between")};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        Error err = {0};
        Delta delta;
        State out;

        assert_int_equal(delta_decode(texts[i], arena, &delta, &err), ERR_CORRUPT);
        assert_int_equal(checkpoint_decode(texts[i], &out, &err), ERR_CORRUPT);
    }
}

/* ---- checkpoints ---- */

static void fill_state(State *out) {
    char key[64];
    Error err = {0};

    *out = (State){.sequence = 77};
    for (unsigned i = 0; i < 40; i++) {
        ManifestEntry entry = entry_of(key, i);

        snprintf(key, sizeof key, "segments/1-%02u-000-%u.seg", i % 3, i);
        entry.key = str_of(key);
        assert_ok(state_add(out, &entry, &err), &err);
        if (i % 4 == 0) assert_ok(state_remove(out, entry.key, (int64_t)i - 5, &err), &err);
    }
    assert_true(marks_add(&out->marks, STR("far"), UINT64_MAX - 1, UINT64_MAX));
}

/* Version 2. */
static void fill_state_with_deletes(State *out) {
    ManifestDelete request = {.number = 5,
                              .tenant = STR("t"),
                              .id = STR("a"),
                              .query = STR("{a=\"b\"}"),
                              .start_ms = -1,
                              .end_ms = INT64_MAX,
                              .created_ms = 9};
    Error err = {0};

    fill_state(out);
    assert_ok(state_add_delete(out, &request, &err), &err);
    request.id = STR("b");
    request.number = UINT64_MAX;
    request.processed_ms = 7;
    assert_ok(state_add_delete(out, &request, &err), &err);
    assert_ok(state_raise(out, out->entries[3]->entry.key, 17, &err), &err);
}

static void check_state(void (*fill)(State *out)) {
    CLEANUP_IN_PLACE(buf_done) Buf bytes;
    CLEANUP_IN_PLACE(buf_done) Buf again;
    State one, two;
    Error err = {0};

    buf_init(&bytes, 0);
    buf_init(&again, 0);
    fill(&one);
    assert_ok(checkpoint_encode(&one, &bytes, &err), &err);
    assert_ok(checkpoint_decode(buf_str(&bytes), &two, &err), &err);
    assert_int_equal(two.sequence, 77);
    assert_int_equal(two.entry_count, 30);
    assert_int_equal(two.removed_count, 10);
    assert_true(marks_have(&two.marks, STR("00-000"), 0)); /* removed, but known */
    assert_true(marks_have(&two.marks, STR("far"), UINT64_MAX));
    assert_false(marks_have(&two.marks, STR("far"), 0));
    assert_ok(checkpoint_encode(&two, &again, &err), &err);
    assert_int_equal(bytes.len, again.len);
    assert_memory_equal(bytes.ptr, again.ptr, bytes.len);
    assert_int_equal(one.deletes.count, two.deletes.count);
    for (size_t i = 0; i < one.deletes.count; i++) {
        const ManifestDelete *a = &one.deletes.items[i]->request;
        const ManifestDelete *b = &two.deletes.items[i]->request;

        assert_true(a->number == b->number && a->processed_ms == b->processed_ms &&
                    a->end_ms == b->end_ms && str_equal(a->query, b->query));
    }
    for (size_t i = 0; i < one.entry_count; i++)
        assert_int_equal(one.entries[i]->entry.cleared, two.entries[i]->entry.cleared);
    state_done(&one);
    state_done(&two);
}

static void a_checkpoint_holds_all_of_a_state(void **state) {
    (void)state;
    check_state(fill_state);
    check_state(fill_state_with_deletes);
}

static void check_other_states(uint16_t version, void (*fill)(State *out)) {
    char unpacked[8192];
    CLEANUP_IN_PLACE(buf_done) Buf bytes;
    State full;
    Error err = {0};
    size_t len;

    buf_init(&bytes, 0);
    fill(&full);
    assert_ok(checkpoint_encode(&full, &bytes, &err), &err);
    state_done(&full);
    len = ZSTD_decompress(unpacked, sizeof unpacked, bytes.ptr + 20, bytes.len - 28);
    assert_false(ZSTD_isError(len));
    for (size_t i = 0; i < len; i++)
        for (unsigned bit = 0; bit < 9; bit++) {
            CLEANUP_IN_PLACE(buf_done) Buf damaged;
            State out;

            buf_init(&damaged, 0);
            /* A bit flipped, and cut there. */
            if (bit < 8) unpacked[i] ^= (char)(1 << bit);
            seal(&damaged, version, 2, bit < 8 ? len : i, (Str){unpacked, bit < 8 ? len : i});
            if (bit < 8) unpacked[i] ^= (char)(1 << bit);
            if (checkpoint_decode(buf_str(&damaged), &out, &err) == ERR_OK) {
                assert_true(bit < 8);
                state_done(&out);
            }
        }
}

static void a_checkpoint_of_other_bytes_is_survived(void **state) {
    (void)state;
    check_other_states(1, fill_state);
    check_other_states(2, fill_state_with_deletes);
}

/* ---- marks ---- */

static void assert_mark(const char *key, const char *lane, uint64_t number) {
    uint64_t found = 0;
    Str got = {0};

    assert_true(mark_parse(str_of(key), &got, &found));
    assert_true(str_equal(got, str_of(lane)));
    assert_int_equal(found, number);
}

static void a_segments_name_tells_its_lane_and_number(void **state) {
    const char *const others[] = {"segments/.seg",
                                  "segments/1-2-3.seg",
                                  "segments/1-a-b-c.seg",
                                  "segments/1-a-b-7.blk",
                                  "segments/1--7.seg",
                                  "segments/---.seg",
                                  "segments/1-a-b-.seg",
                                  "segment/1-a-b-7.seg",
                                  "segments/1-ab-7seg",
                                  "segments/",
                                  ".seg",
                                  "",
                                  "segments.seg"};
    uint64_t number;
    Str lane;

    (void)state;
    assert_mark("segments/0000000000001-00000000000000aa-003-0000000007.seg",
                "00000000000000aa-003", 7);
    assert_mark("segments/1-aa-003p1t2-7.seg", "aa-003p1t2", 7);
    /* Two ingesters of names that end alike are two. */
    assert_mark("segments/1-zone-a-0-3-7.seg", "zone-a-0-3", 7);
    assert_mark("segments/1-zone-b-0-3-7.seg", "zone-b-0-3", 7);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_false(mark_parse(str_of(others[i]), &lane, &number));
}

/* Against a set that is simply an array of flags. */
static void marks_are_a_set_of_numbers_that_joins_ranges(void **state) {
    uint64_t seed = 7;

    (void)state;
    for (unsigned round = 0; round < 200; round++) {
        bool set[64] = {0};
        Marks marks = {0};

        for (unsigned i = 0; i < 20; i++) {
            unsigned first, last;

            seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
            first = (unsigned)(seed >> 33) % 60;
            last = MIN(63u, first + (unsigned)(seed >> 60) % 4);
            assert_true(marks_add(&marks, STR("l"), first, last));
            for (unsigned n = first; n <= last; n++) set[n] = true;
            for (unsigned n = 0; n < 64; n++)
                assert_int_equal(marks_have(&marks, STR("l"), n), set[n]);
            for (size_t r = 1; r < marks.items[0].count; r++)
                assert_true(marks.items[0].ranges[r - 1].last + 1 < marks.items[0].ranges[r].first);
        }
        marks_done(&marks);
    }
    {
        Marks marks = {0};

        assert_true(marks_add(&marks, STR("l"), UINT64_MAX, UINT64_MAX));
        assert_true(marks_add(&marks, STR("l"), 0, 0));
        assert_true(marks_have(&marks, STR("l"), 0) && marks_have(&marks, STR("l"), UINT64_MAX));
        assert_false(marks_have(&marks, STR("l"), 1));
        assert_true(marks_add(&marks, STR("l"), 0, UINT64_MAX));
        assert_int_equal(marks.items[0].count, 1);
        assert_true(marks_have(&marks, STR("l"), 1));
        marks_done(&marks);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_delta_is_what_the_document_says),
        cmocka_unit_test(a_delta_with_delete_requests_is_what_the_document_says),
        cmocka_unit_test(a_payload_cut_at_any_byte_is_corrupt),
        cmocka_unit_test(a_payload_of_other_bytes_is_survived),
        cmocka_unit_test(other_versions_kinds_and_lengths_are_refused),
        cmocka_unit_test(absurd_counts_are_refused_before_memory_is_asked_for),
        cmocka_unit_test(bytes_that_are_no_manifest_are_refused),
        cmocka_unit_test(a_checkpoint_holds_all_of_a_state),
        cmocka_unit_test(a_checkpoint_of_other_bytes_is_survived),
        cmocka_unit_test(a_segments_name_tells_its_lane_and_number),
        cmocka_unit_test(marks_are_a_set_of_numbers_that_joins_ranges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
