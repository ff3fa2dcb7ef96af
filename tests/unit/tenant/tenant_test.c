/*
 * What tenant.h promises: names, limits in force, hot reload and rates.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "common/tenant/limits.h"
#include "tests/unit/unit.h"

static void names_that_are_safe_in_a_store_pass(void **state) {
    static const char *const good[] = {"a", "anonymous", "team-1", "A_b.c*'()!", "...", "0"};
    char longest[TENANT_NAME_MAX];
    Error err = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_ok(tenant_check(str_of(good[i]), &err), &err);
    memset(longest, 'x', sizeof longest);
    assert_ok(tenant_check((Str){longest, sizeof longest}, &err), &err);
    assert_ok(tenant_check(TENANT_ANONYMOUS, &err), &err);
}

static void hostile_names_are_refused_with_a_reason(void **state) {
    static const Str bad[] = {
        STR_INIT(""),      STR_INIT("."),     STR_INIT(".."),   STR_INIT("a/b"),  STR_INIT("a|b"),
        STR_INIT("a\\b"),  STR_INIT("a b"),   STR_INIT("a\nb"), STR_INIT("a\0b"), STR_INIT("\0"),
        STR_INIT("\xc3z"), STR_INIT("a%2fb"), STR_INIT("../x"), STR_INIT("a\"b"),
    };
    char name[300];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        Error err = {0};

        assert_int_equal(tenant_check(bad[i], &err), ERR_INVALID);
        assert_true(err.text[0] != '\0');
    }
    memset(name, 'x', sizeof name);
    assert_int_equal(tenant_check((Str){name, sizeof name}, NULL), ERR_INVALID);
    assert_int_equal(tenant_check((Str){name, TENANT_NAME_MAX + 1}, NULL), ERR_INVALID);
}

static void every_byte_is_either_listed_or_refused(void **state) {
    size_t good = 0;

    (void)state;
    for (int c = 0; c < 256; c++) {
        char name[2] = {'a', (char)c};

        good += tenant_check((Str){name, 2}, NULL) == ERR_OK;
    }
    assert_int_equal(good, 26 + 26 + 10 + 8);
}

static void defaults_come_from_the_table(void **state) {
    TenantLimits limits;

    (void)state;
    tenant_limits_defaults(&limits);
    assert_true(limits.ingest_rate == 0);
    assert_int_equal(limits.label_names_max, 40);
    assert_int_equal(limits.label_name_bytes_max, 1024);
    assert_int_equal(limits.label_value_bytes_max, 2048);
    assert_int_equal(limits.future_ms_max, 600000);
    assert_int_equal(limits.past_ms_max, 0);
    assert_int_equal(limits.query_samples_max, 50000000);
    assert_int_equal(limits.query_timeout_ms, 120000);
}

static void the_table_covers_every_field_once(void **state) {
    unsigned char seen[sizeof(TenantLimits)] = {0};
    ConfigTable table = tenant_limit_table();
    size_t sum = 0;

    (void)state;
    /* Switches have one byte, choices four, texts sixteen, all else eight: the table is complete
     * when the sum of them, with a hole of a byte behind each of two rows of switches, is all. */
    for (size_t i = 0; i < table.count; i++) {
        const ConfigSetting *setting = &table.settings[i];

        size_t bytes = setting->type == CONFIG_BOOL     ? 1
                       : setting->type == CONFIG_CHOICE ? sizeof(int)
                       : setting->type == CONFIG_STR    ? sizeof(Str)
                                                        : 8;

        sum += bytes;
        assert_true(setting->offset % MIN(bytes, 8) == 0 && setting->offset < sizeof seen);
        assert_int_equal(seen[setting->offset]++, 0);
        assert_true(setting->help != NULL && setting->help[0] != '\0');
        assert_ptr_equal(config_find(table, str_of(setting->name)), setting);
    }
    sum += sizeof(const StreamRetentions *) + sizeof(const GeneratorRules *) +
           sizeof(const TenantRules *); /* no settings */
    assert_int_equal(ALIGN_UP(sum, 8), sizeof(TenantLimits));
}

static void overrides_hold_for_their_tenant_only_and_are_copied(void **state) {
    TenantLimits defaults, got;
    char name[] = "noisy";
    TenantOverride overrides[3] = {
        {.tenant = {name, 5}}, {.tenant = STR("b")}, {.tenant = STR("c")}};
    Error err = {0};

    (void)state;
    tenant_limits_defaults(&defaults);
    CLEANUP(tenants_free) Tenants *tenants = tenants_new(&defaults, false);
    for (size_t i = 0; i < 3; i++) {
        overrides[i].limits = defaults;
        overrides[i].limits.series_max = i + 1;
    }
    assert_int_equal(tenants_generation(tenants), 0);
    assert_ok(tenants_replace(tenants, &defaults, overrides, 3, &err), &err);
    assert_int_equal(tenants_generation(tenants), 1);
    name[0] = 'X';

    tenants_limits(tenants, STR("noisy"), &got);
    assert_int_equal(got.series_max, 1);
    tenants_limits(tenants, STR("c"), &got);
    assert_int_equal(got.series_max, 3);
    tenants_limits(tenants, STR("Xoisy"), &got);
    assert_int_equal(got.series_max, 0);
    tenants_limits(tenants, STR(""), &got);
    assert_int_equal(got.series_max, 0);

    assert_ok(tenants_replace(tenants, &defaults, NULL, 0, &err), &err);
    tenants_limits(tenants, STR("noisy"), &got);
    assert_int_equal(got.series_max, 0);
}

static void a_bad_override_changes_nothing(void **state) {
    TenantLimits defaults, got;
    Error err = {0};

    (void)state;
    tenant_limits_defaults(&defaults);
    CLEANUP(tenants_free) Tenants *tenants = tenants_new(&defaults, false);
    TenantOverride overrides[2] = {{STR("good"), defaults}, {STR("a/b"), defaults}};

    overrides[0].limits.series_max = 7;
    assert_int_equal(tenants_replace(tenants, &defaults, overrides, 2, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "override 2"));
    tenants_limits(tenants, STR("good"), &got);
    assert_int_equal(got.series_max, 0);
    assert_int_equal(tenants_generation(tenants), 0);
}

static void many_overrides_are_all_found(void **state) {
    enum { COUNT = 1000 };
    static char names[COUNT][8];
    static TenantOverride overrides[COUNT];
    TenantLimits defaults, got;
    Error err = {0};

    (void)state;
    tenant_limits_defaults(&defaults);
    CLEANUP(tenants_free) Tenants *tenants = tenants_new(&defaults, false);
    for (size_t i = 0; i < COUNT; i++) {
        int len = snprintf(names[i], sizeof names[i], "t%zu", i);

        overrides[i] = (TenantOverride){{names[i], (size_t)len}, defaults};
        overrides[i].limits.series_max = i + 1;
    }
    assert_ok(tenants_replace(tenants, &defaults, overrides, COUNT, &err), &err);
    for (size_t i = 0; i < COUNT; i++) {
        tenants_limits(tenants, overrides[i].tenant, &got);
        assert_int_equal(got.series_max, i + 1);
    }
}

static void limits_off_lifts_all_but_retention(void **state) {
    TenantLimits defaults, got;
    uint64_t retry = 0;
    Error err = {0};

    (void)state;
    tenant_limits_defaults(&defaults);
    defaults.ingest_rate = 1;
    defaults.retention_metrics_ms = 1000;
    CLEANUP(tenants_free) Tenants *tenants = tenants_new(&defaults, true);
    tenants_limits(tenants, STR("a"), &got);
    assert_int_equal(got.label_names_max, 0);
    assert_int_equal(got.query_samples_max, 0);
    assert_int_equal(got.retention_metrics_ms, 1000);
    assert_int_equal(got.future_ms_max, -1);
    for (int i = 0; i < 10; i++)
        assert_ok(tenants_take(tenants, STR("a"), 1000000, 1, &retry, &err), &err);
}

static Tenants *tenants_with_rate(double rate, uint64_t burst) {
    TenantLimits defaults;

    tenant_limits_defaults(&defaults);
    defaults.ingest_rate = rate;
    defaults.ingest_burst = burst;
    return tenants_new(&defaults, false);
}

#define SECOND UINT64_C(1000000000)

static void a_burst_passes_and_the_rate_refills(void **state) {
    CLEANUP(tenants_free) Tenants *tenants = tenants_with_rate(100, 500);
    uint64_t now = 1000 * SECOND, retry = 0;
    Error err = {0};

    (void)state;
    assert_ok(tenants_take(tenants, STR("a"), 400, now, &retry, &err), &err);
    assert_ok(tenants_take(tenants, STR("a"), 100, now, &retry, &err), &err);
    assert_int_equal(tenants_take(tenants, STR("a"), 100, now, &retry, &err), ERR_RATE);
    assert_int_equal(retry, 1000);
    assert_non_null(strstr(err.text, "limits.ingest_rate"));
    assert_non_null(strstr(err.text, "100 items"));
    assert_non_null(strstr(err.text, "overrides.a "));
    /* Another tenant has a bucket of its own. */
    assert_ok(tenants_take(tenants, STR("b"), 500, now, &retry, &err), &err);
    /* What was refused took nothing, and what retry_after said is true to the millisecond. */
    assert_int_equal(tenants_take(tenants, STR("a"), 100, now + SECOND - 2000000, &retry, &err),
                     ERR_RATE);
    assert_ok(tenants_take(tenants, STR("a"), 100, now + SECOND, &retry, &err), &err);
}

static void more_than_the_burst_passes_when_full_and_is_owed(void **state) {
    CLEANUP(tenants_free) Tenants *tenants = tenants_with_rate(100, 0); /* burst: one second */
    uint64_t now = 1000 * SECOND, retry = 0;
    Error err = {0};

    (void)state;
    assert_ok(tenants_take(tenants, STR("a"), 1000, now, &retry, &err), &err);
    assert_int_equal(tenants_take(tenants, STR("a"), 1, now + 8 * SECOND, &retry, &err), ERR_RATE);
    assert_int_equal(tenants_take(tenants, STR("a"), 1000, now + 9 * SECOND, &retry, &err),
                     ERR_RATE);
    assert_int_equal(retry, 1000);
    assert_ok(tenants_take(tenants, STR("a"), 1000, now + 10 * SECOND, &retry, &err), &err);
}

static void absurd_numbers_neither_overflow_nor_stick(void **state) {
    CLEANUP(tenants_free) Tenants *tenants = tenants_with_rate(1e-9, 1);
    uint64_t retry = 0;
    Error err = {0};

    (void)state;
    assert_ok(tenants_take(tenants, STR("a"), UINT64_MAX, 5, &retry, &err), &err);
    assert_int_equal(tenants_take(tenants, STR("a"), 1, 6, &retry, &err), ERR_RATE);
    assert_true(retry > 0);
    assert_ok(tenants_take(tenants, STR("b"), 0, UINT64_MAX / 2, &retry, &err), &err);
}

static void any_number_of_names_may_be_asked_for(void **state) {
    CLEANUP(tenants_free) Tenants *tenants = tenants_with_rate(1000, 1000);
    uint64_t retry = 0;
    Error err = {0};

    (void)state;
    /* Each name is busy for a millisecond, and the next comes a microsecond later. */
    for (uint64_t i = 0; i < 200000; i++) {
        char name[24];
        int len = snprintf(name, sizeof name, "tenant-%llu", (unsigned long long)i);

        assert_ok(
            tenants_take(tenants, (Str){name, (size_t)len}, 1, SECOND + i * 1000, &retry, &err),
            &err);
    }
}

typedef struct Taker {
    Tenants *tenants;
    _Atomic uint64_t *taken;
} Taker;

static void *take_many(void *what) {
    Taker *taker = what;
    uint64_t retry;

    for (int i = 0; i < 10000; i++)
        if (tenants_take(taker->tenants, STR("a"), 1, SECOND, &retry, NULL) == ERR_OK)
            atomic_fetch_add(taker->taken, 1);
    return NULL;
}

static void threads_together_get_exactly_the_burst(void **state) {
    CLEANUP(tenants_free) Tenants *tenants = tenants_with_rate(1, 15000);
    _Atomic uint64_t taken = 0;
    Taker taker = {tenants, &taken};
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_many, &taker), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) pthread_join(threads[i], NULL);
    assert_int_equal(taken, 15000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_are_safe_in_a_store_pass),
        cmocka_unit_test(hostile_names_are_refused_with_a_reason),
        cmocka_unit_test(every_byte_is_either_listed_or_refused),
        cmocka_unit_test(defaults_come_from_the_table),
        cmocka_unit_test(the_table_covers_every_field_once),
        cmocka_unit_test(overrides_hold_for_their_tenant_only_and_are_copied),
        cmocka_unit_test(a_bad_override_changes_nothing),
        cmocka_unit_test(many_overrides_are_all_found),
        cmocka_unit_test(limits_off_lifts_all_but_retention),
        cmocka_unit_test(a_burst_passes_and_the_rate_refills),
        cmocka_unit_test(more_than_the_burst_passes_when_full_and_is_owed),
        cmocka_unit_test(absurd_numbers_neither_overflow_nor_stick),
        cmocka_unit_test(any_number_of_names_may_be_asked_for),
        cmocka_unit_test(threads_together_get_exactly_the_burst),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
