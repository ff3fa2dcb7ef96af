/* Zones of the tz database: made up here, so that no machine's own one matters. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "querier/logql/engine/row_zone.h"

static void put_32(Buf *out, uint32_t v) {
    for (int i = 24; i >= 0; i -= 8) buf_append_byte(out, (char)(v >> i));
}

static void put_64(Buf *out, int64_t v) {
    put_32(out, (uint32_t)((uint64_t)v >> 32));
    put_32(out, (uint32_t)v);
}

static void put_head(Buf *out, uint32_t times, uint32_t kinds) {
    buf_append_str(out, STR("TZif2"));
    for (int i = 0; i < 15; i++) buf_append_byte(out, 0);
    put_32(out, 0);
    put_32(out, 0);
    put_32(out, 0);
    put_32(out, times);
    put_32(out, kinds);
    put_32(out, 4);
}

/* Mean time until -2717650800, then an hour west of it, and what `footer` says from 30000000 on. */
static void put_zone(Buf *out, const char *footer) {
    static const int64_t at[] = {-2717650800, 0, 20000000, 30000000};
    static const uint8_t to[] = {1, 2, 1, 1};
    static const int32_t offsets[] = {-17762, -18000, -14400};

    put_head(out, 0, 1);
    for (int i = 0; i < 6 + 4; i++) buf_append_byte(out, 0);
    put_head(out, ARRAY_LEN(at), ARRAY_LEN(offsets));
    for (size_t i = 0; i < ARRAY_LEN(at); i++) put_64(out, at[i]);
    for (size_t i = 0; i < ARRAY_LEN(to); i++) buf_append_byte(out, (char)to[i]);
    for (size_t i = 0; i < ARRAY_LEN(offsets); i++) {
        put_32(out, (uint32_t)offsets[i]);
        buf_append_byte(out, i == 2);
        buf_append_byte(out, 0);
    }
    buf_append_str(out, STR("ABC\0"));
    buf_printf(out, "\n%s\n", footer);
}

static Zone *zone_of(const char *footer) {
    CLEANUP_IN_PLACE(buf_done) Buf bytes = {0};

    buf_init(&bytes, 0);
    put_zone(&bytes, footer);
    return zone_parse(buf_str(&bytes));
}

static void times_are_told_by_changes_and_by_the_rule_behind_them(void **state) {
    static const struct {
        const char *footer;
        int64_t local, instant;
    } cases[] = {
        {"EST5EDT,M3.2.0,M11.1.0", -2717650800 - 20000, -2717650800 - 20000 + 17762},
        {"EST5EDT,M3.2.0,M11.1.0", -18001, -1},
        {"EST5EDT,M3.2.0,M11.1.0", 10000000 - 14400, 10000000},
        {"EST5EDT,M3.2.0,M11.1.0", 25000000 - 18000, 25000000},
        {"EST5EDT,M3.2.0,M11.1.0", 1767268800, 1767268800 + 18000}, /* 2026-01-01T12:00 */
        {"EST5EDT,M3.2.0,M11.1.0", 1782907200, 1782907200 + 14400}, /* 2026-07-01T12:00 */
        {"EST5EDT,M3.2.0,M11.1.0", 1772935199, 1772935199 + 18000}, /* 2026-03-08T01:59:59 */
        {"EST5EDT,M3.2.0,M11.1.0", 1772938800, 1772938800 + 14400}, /* 03:00, an hour later */
        {"EST5EDT,M3.2.0,M11.1.0", 1793494799, 1793494799 + 14400}, /* 2026-11-01T00:59:59 */
        {"EST5EDT,M3.2.0,M11.1.0", 1793502000, 1793502000 + 18000}, /* 03:00 */
        {"EST5EDT,M3.2.0,M11.1.0", 4086590400, 4086590400 + 14400}, /* 2099-07-01T12:00 */
        {"AEST-10AEDT,M10.1.0,M4.1.0/3", 1767268800, 1767268800 - 39600},
        {"AEST-10AEDT,M10.1.0,M4.1.0/3", 1782907200, 1782907200 - 36000},
        {"<+0530>-5:30", 1782907200, 1782907200 - 19800},
        {"X5Y", 0, -1},
        {"ABC1DEF,J60,J300", 1767268800, 1767268800 + 3600},
        {"ABC1DEF,59/0,299/-1", 1782907200, 1782907200},
        {"", 1767268800, 1767268800 + 18000},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(zone_free) Zone *zone = zone_of(cases[i].footer);

        if (cases[i].instant == -1 && cases[i].local == 0) {
            assert_null(zone);
            continue;
        }
        assert_non_null(zone);
        if (zone_instant(zone, cases[i].local) != cases[i].instant)
            fail_msg("%s at %lld: %lld, not %lld", cases[i].footer, (long long)cases[i].local,
                     (long long)zone_instant(zone, cases[i].local), (long long)cases[i].instant);
    }
}

static void a_damaged_file_is_none(void **state) {
    static const char *const footers[] = {"EST",
                                          "EST5EDT",
                                          "EST5EDT,M3.2.0",
                                          "EST999",
                                          "EST5EDT,M13.1.0,M1.1.0",
                                          "EST5EDT,M3.2.0,M11.1.0x",
                                          "EST5EDT,M3.6.0,M11.1.0",
                                          "EST5EDT,M3.2.7,M11.1.0",
                                          "EST5EDT,J0,J1",
                                          "5",
                                          "<EST5",
                                          "EST5EDT,366,1"};
    CLEANUP_IN_PLACE(buf_done) Buf bytes = {0};
    uint64_t random = 88172645463325252u;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(footers); i++) assert_null(zone_of(footers[i]));
    buf_init(&bytes, 0);
    put_zone(&bytes, "EST5EDT,M3.2.0,M11.1.0");
    for (size_t n = 0; n < bytes.len; n++) {
        char *cut = malloc(n + 1); /* of this size: a byte more would be noticed */

        memcpy(cut, bytes.ptr, n);
        assert_null(zone_parse((Str){cut, n}));
        free(cut);
    }
    for (int i = 0; i < 20000; i++) {
        size_t at;
        char was;

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        at = (size_t)(random >> 20) % bytes.len;
        was = bytes.ptr[at];
        bytes.ptr[at] = (char)random;
        CLEANUP(zone_free) Zone *zone = zone_parse(buf_str(&bytes));

        if (zone != NULL)
            for (int64_t t = INT64_MIN / 2; t < INT64_MAX / 2; t += INT64_MAX / 64)
                (void)zone_instant(zone, t), (void)zone_instant(zone, t >> 30);
        bytes.ptr[at] = was;
    }
}

static void names_lead_nowhere_else(void **state) {
    static const char *const names[] = {"",  "UTC",   "Local",  "/A",  "../zones/A", "B/../A",
                                        "B", "A\x01", "no/one", "A B", "B/..",       "\xff"};
    char folder[] = "/tmp/zones-XXXXXX", path[64];
    CLEANUP_IN_PLACE(buf_done) Buf bytes = {0};
    RowZones zones = {0};
    FILE *file;

    (void)state;
    assert_non_null(mkdtemp(folder));
    buf_init(&bytes, 0);
    put_zone(&bytes, "EST5EDT,M3.2.0,M11.1.0");
    snprintf(path, sizeof path, "%s/A", folder);
    file = fopen(path, "w");
    assert_int_equal(fwrite(bytes.ptr, 1, bytes.len, file), bytes.len);
    fclose(file);
    assert_int_equal(setenv("ZONEINFO", folder, 1), 0);
    for (size_t round = 0; round < 2; round++) {
        assert_non_null(row_zones_get(&zones, STR("A")));
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
            assert_null(row_zones_get(&zones, str_of(names[i])));
    }
    assert_int_equal(zone_instant(row_zones_get(&zones, STR("A")), 1767268800), 1767286800);
    row_zones_done(&zones);
    unsetenv("ZONEINFO");
    unlink(path);
    rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_told_by_changes_and_by_the_rule_behind_them),
        cmocka_unit_test(a_damaged_file_is_none),
        cmocka_unit_test(names_lead_nowhere_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
