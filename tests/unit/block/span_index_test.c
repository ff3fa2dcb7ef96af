/* The parts that an index of traces is made of: ids and their filter, keys and values. */
#include "tests/unit/unit.h"

#include "common/block/span_ids.h"
#include "common/block/span_index.h"
#include "common/block/span_values.h"
#include "tests/unit/block/spans_model.h"

/* ---------- ids ---------- */

static TraceId trace_of(uint64_t n) {
    TraceId id = {0};

    memcpy(id.bytes + 8, &n, sizeof n); /* as ids of 64 bits come */
    return id;
}

static SpanTracePlace *make_places(Arena *arena, size_t count, uint32_t pages) {
    SpanTracePlace *places = ARENA_ARRAY(arena, SpanTracePlace, count + 1);

    assert_non_null(places);
    for (size_t i = 0; i < count; i++) {
        TraceId id = trace_of(i);

        places[i] = (SpanTracePlace){span_trace_hash(&id), (uint32_t)(i % pages)};
    }
    assert_true(span_ids_sort(places, count, arena));
    return places;
}

static void ids_are_sorted_by_hash_and_page(void **state) {
    static const size_t counts[] = {0, 1, 2, 63, 64, 65, 1000, 50000};

    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        SpanTracePlace *places = make_places(arena, counts[c], 7);
        uint64_t sum = 0, expected = 0;

        for (size_t i = 0; i < counts[c]; i++) {
            TraceId id = trace_of(i);

            expected += span_trace_hash(&id) * 31 + i % 7;
            sum += places[i].hash * 31 + places[i].page;
            if (i > 0) assert_true(places[i - 1].hash <= places[i].hash);
        }
        assert_int_equal(sum, expected);
    }
}

static void a_page_of_ids_comes_back(void **state) {
    static const size_t counts[] = {1, 2, 1023, 1024, 1025, SPAN_IDS_PER_PAGE};

    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        CLEANUP_IN_PLACE(buf_done) Buf buf;
        SpanTracePlace *places = make_places(arena, counts[c], 100), *got;
        size_t count;
        Error err;

        buf_init(&buf, 0);
        span_ids_encode(places, counts[c], &buf);
        assert_ok(span_ids_decode(buf_str(&buf), 100, arena, &got, &count, &err), &err);
        assert_int_equal(count, counts[c]);
        for (size_t i = 0; i < count; i++)
            assert_true(got[i].hash == places[i].hash && got[i].page == places[i].page);
        /* A page that isn't there. */
        if (count > 200)
            assert_int_equal(span_ids_decode(buf_str(&buf), 99, arena, &got, &count, &err),
                             ERR_CORRUPT);
    }
}

static void bytes_that_are_no_ids_are_refused(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf buf;
    SpanTracePlace *places = make_places(arena, 300, 9), *got;
    size_t count;
    Error err;

    (void)state;
    buf_init(&buf, 0);
    span_ids_encode(places, 300, &buf);
    for (size_t cut = 0; cut < buf.len; cut++) {
        char *copy = malloc(cut + 1);

        memcpy(copy, buf.ptr, cut);
        assert_int_equal(span_ids_decode((Str){copy, cut}, 9, arena, &got, &count, &err),
                         ERR_CORRUPT);
        free(copy);
    }
    for (size_t bit = 0; bit < buf.len * 8; bit++) {
        buf.ptr[bit / 8] = (char)(buf.ptr[bit / 8] ^ 1 << bit % 8);
        if (span_ids_decode(buf_str(&buf), 9, arena, &got, &count, &err) == ERR_OK) {
            for (size_t i = 0; i < count; i++) assert_true(got[i].page < 9);
        }
        buf.ptr[bit / 8] = (char)(buf.ptr[bit / 8] ^ 1 << bit % 8);
    }
}

/* Writes pages of ids as they would lie in an object, and the filter. */
static void make_filter(Arena *arena, SpanTracePlace *places, size_t count, Buf *out,
                        uint64_t *length) {
    size_t pages = (count + SPAN_IDS_PER_PAGE - 1) / SPAN_IDS_PER_PAGE;
    SpanIdPage *list = ARENA_ARRAY(arena, SpanIdPage, pages + 1);
    Error err;

    *length = 0;
    for (size_t i = 0; i < pages; i++) {
        list[i].first_hash = places[i * SPAN_IDS_PER_PAGE].hash;
        list[i].stored = 100;
        list[i].count = (uint32_t)MIN(count - i * SPAN_IDS_PER_PAGE, (size_t)SPAN_IDS_PER_PAGE);
        *length += 100;
    }
    assert_ok(span_filter_build(places, count, list, pages, arena, out, &err), &err);
}

static void a_filter_knows_all_that_is_there_and_little_else(void **state) {
    static const size_t counts[] = {0, 1, 2, 3, 5, 10, 100, 999, 20000, 100000};

    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(counts); c++) {
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        CLEANUP_IN_PLACE(buf_done) Buf buf;
        SpanTracePlace *places = make_places(arena, counts[c], 7);
        uint64_t length, wrong = 0;
        SpanFilter filter;
        Error err;

        buf_init(&buf, 0);
        make_filter(arena, places, counts[c], &buf, &length);
        assert_ok(span_filter_decode(buf_str(&buf), 1000, length, arena, &filter, &err), &err);
        assert_int_equal(filter.id_count, counts[c]);
        for (size_t i = 0; i < counts[c]; i++) {
            uint32_t first, end;

            assert_true(span_filter_may_hold(&filter, places[i].hash));
            span_filter_pages(&filter, places[i].hash, &first, &end);
            assert_true(first <= i / SPAN_IDS_PER_PAGE && i / SPAN_IDS_PER_PAGE < end);
        }
        if (counts[c] < 1000) continue;
        /* One in 4,096 is what it promises; here are twice as many allowed. */
        for (uint64_t i = 0; i < 100000; i++) {
            TraceId other = trace_of(UINT64_C(1) << 60 | i);

            wrong += span_filter_may_hold(&filter, span_trace_hash(&other));
        }
        assert_in_range(wrong, 1, 50);
        assert_true(buf.len * 8 < counts[c] * 17);
    }
}

static void one_hash_that_is_there_often_may_be_on_several_pages_of_ids(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf buf;
    SpanTracePlace *places = ARENA_ARRAY(arena, SpanTracePlace, 3 * SPAN_IDS_PER_PAGE);
    uint64_t length;
    SpanFilter filter;
    uint32_t first, end;
    Error err;

    (void)state;
    buf_init(&buf, 0);
    for (uint32_t i = 0; i < 3 * SPAN_IDS_PER_PAGE; i++)
        places[i] = (SpanTracePlace){i < 10 ? i : 77, i};
    make_filter(arena, places, 3 * SPAN_IDS_PER_PAGE, &buf, &length);
    assert_ok(span_filter_decode(buf_str(&buf), 8, length, arena, &filter, &err), &err);
    span_filter_pages(&filter, 77, &first, &end);
    assert_int_equal(first, 0);
    assert_int_equal(end, 3);
    span_filter_pages(&filter, 5, &first, &end);
    assert_int_equal(first, 0);
    assert_int_equal(end, 1);
}

static void bytes_that_are_no_filter_are_refused_or_harmless(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf buf;
    SpanTracePlace *places = make_places(arena, 100, 9);
    SpanFilter filter;
    uint64_t length;
    Error err;

    (void)state;
    buf_init(&buf, 0);
    make_filter(arena, places, 100, &buf, &length);
    for (size_t cut = 0; cut < buf.len; cut++) {
        char *copy = malloc(cut + 1);

        memcpy(copy, buf.ptr, cut);
        assert_int_equal(span_filter_decode((Str){copy, cut}, 8, length, arena, &filter, &err),
                         ERR_CORRUPT);
        free(copy);
    }
    for (size_t bit = 0; bit < buf.len * 8; bit++) {
        char *copy = malloc(buf.len);

        memcpy(copy, buf.ptr, buf.len);
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
        if (span_filter_decode((Str){copy, buf.len}, 8, length, arena, &filter, &err) == ERR_OK) {
            for (uint64_t i = 0; i < 50; i++)
                (void)span_filter_may_hold(&filter, i * UINT64_C(0x123456789));
        }
        free(copy);
    }
}

/* ---------- the list of pages ---------- */

static void the_list_of_pages_comes_back(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf buf;
    struct BuiltSpanPage pages[3] = {
        {{.min_ns = INT64_MIN, .max_ns = INT64_MAX, .rows = 5, .traces = 2, .directory_bytes = 0},
         300,
         400},
        {{.min_ns = 12, .max_ns = 12, .rows = 1, .traces = 1, .directory_bytes = 40}, 216, 200},
        {{.min_ns = -5, .max_ns = 99, .rows = 8192, .traces = 8192, .directory_bytes = 9},
         116,
         100},
    };
    SpanIndexBuilder builder = {pages, 3, 3};
    SpanIndex index;
    Error err;

    (void)state;
    buf_init(&buf, 0);
    span_index_build(&builder, &buf);
    assert_ok(span_index_decode(buf_str(&buf), 8, 632, arena, &index, &err), &err);
    assert_int_equal(index.page_count, 3);
    assert_int_equal(index.directories, 49);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(index.pages[i].stored, pages[i].stored);
        assert_int_equal(index.pages[i].raw, pages[i].raw);
        assert_true(index.entries[i].min_ns == pages[i].entry.min_ns);
        assert_true(index.entries[i].max_ns == pages[i].entry.max_ns);
        assert_int_equal(index.entries[i].rows, pages[i].entry.rows);
        assert_int_equal(index.entries[i].traces, pages[i].entry.traces);
    }
    assert_int_equal(index.pages[2].offset, 8 + 516);
    assert_int_equal(index.entries[2].directory, 40);
    for (size_t cut = 0; cut < buf.len; cut++)
        assert_int_equal(
            span_index_decode(str_slice(buf_str(&buf), 0, cut), 8, 632, arena, &index, &err),
            ERR_CORRUPT);
    assert_int_equal(span_index_decode(buf_str(&buf), 8, 631, arena, &index, &err), ERR_CORRUPT);
    for (size_t bit = 0; bit < buf.len * 8; bit++) {
        buf.ptr[bit / 8] = (char)(buf.ptr[bit / 8] ^ 1 << bit % 8);
        (void)!span_index_decode(buf_str(&buf), 8, 632, arena, &index, &err);
        buf.ptr[bit / 8] = (char)(buf.ptr[bit / 8] ^ 1 << bit % 8);
    }
}

/* ---------- keys and values ---------- */

enum { TABLES = 70 }; /* more than a word of bits */

typedef struct Pages {
    SpanTable tables[TABLES];
    uint32_t count;
    SpanValues values;
    Buf raw;
} Pages;

static void make_pages(Pages *p, Arena *arena, uint32_t count, uint32_t spans) {
    SpanValuesBuilder *builder = span_values_builder_new(arena);
    Error err;

    assert_non_null(builder);
    p->count = count;
    buf_init(&p->raw, 0);
    for (uint32_t i = 0; i < count; i++) {
        SpansModel model;

        spans_model_make(&model, arena, 1000 + i, spans, 3);
        assert_ok(span_table_build(model.spans, model.count, arena, &p->tables[i], &err), &err);
        assert_true(span_values_add(builder, &p->tables[i]));
    }
    assert_true(span_values_build(builder, &p->raw));
    assert_ok(span_values_decode(buf_str(&p->raw), count, arena, &p->values, &err), &err);
}

static bool text_is(const void *context, Str text) {
    return str_equal(text, *(const Str *)context);
}

/* The same question asked of the spans themselves. */
static bool meets(const SpanCondition *c, const Attribute *a) {
    for (uint32_t i = 0;
         i < (a->type >= ATTRIBUTE_STRINGS && a->type <= ATTRIBUTE_DOUBLES ? a->count : 1); i++) {
        AttributeType type = span_element_type((AttributeType)a->type);
        bool array = type != (AttributeType)a->type;

        if (c->type != 0 && c->type != type) continue;
        if (type == ATTRIBUTE_STRING && c->text != NULL) {
            if (c->text(c->context, array ? a->texts[i] : a->text)) return true;
        } else if (type == ATTRIBUTE_INT && c->bounded) {
            int64_t v = array ? a->integers[i] : a->integer;

            if (v >= c->integer_min && v <= c->integer_max) return true;
        } else if (type == ATTRIBUTE_DOUBLE && c->bounded) {
            double v = array ? a->numbers[i] : a->number;

            if (v >= c->number_min && v <= c->number_max) return true;
        } else {
            return true;
        }
    }
    return false;
}

static bool any_meets(const SpanCondition *c, const Attributes *list) {
    for (uint32_t i = 0; i < list->count; i++) {
        if (str_equal(list->items[i].key, c->key) && meets(c, &list->items[i])) return true;
    }
    return false;
}

static bool span_meets(const SpanCondition *c, const Span *s) {
    bool any = false;

    switch ((SpanIntrinsic)c->intrinsic) {
    case INTRINSIC_NAME:
        return c->text(c->context, s->name);
    case INTRINSIC_SERVICE:
        return c->text(c->context, s->origin->service);
    case INTRINSIC_KIND:
        return s->kind >= c->integer_min && s->kind <= c->integer_max;
    case INTRINSIC_DURATION:
        return s->end_ns - s->start_ns >= c->integer_min &&
               s->end_ns - s->start_ns <= c->integer_max;
    default:
        break;
    }
    if (c->scope == SCOPE_SPAN || c->scope == 0) any = any_meets(c, &s->attributes);
    if (c->scope == SCOPE_RESOURCE || c->scope == 0)
        any = any || any_meets(c, &s->origin->resource);
    if (c->scope == SCOPE_INSTRUMENTATION || c->scope == 0)
        any = any || any_meets(c, &s->origin->scope);
    for (uint32_t i = 0; i < s->event_count && !any; i++) {
        if (c->scope == SCOPE_EVENT || c->scope == 0) any = any_meets(c, &s->events[i].attributes);
    }
    for (uint32_t i = 0; i < s->link_count && !any; i++) {
        if (c->scope == SCOPE_LINK || c->scope == 0) any = any_meets(c, &s->links[i].attributes);
    }
    return any;
}

static bool page_meets(Arena *arena, const SpanTable *table, const SpanConditions *group) {
    for (uint32_t t = 0; t < table->trace_count; t++) {
        Span *spans;
        Error err;

        assert_ok(span_table_spans(table, &table->traces[t], arena, &spans, &err), &err);
        for (uint32_t i = 0; i < table->traces[t].count; i++) {
            bool all = true;

            for (size_t c = 0; c < group->count && all; c++)
                all = span_meets(&group->items[c], &spans[i]);
            if (all) return true;
        }
    }
    return false;
}

/* No page that has what is looked for is left out; how many that haven't are. */
static uint32_t check_group(Arena *arena, const Pages *p, const SpanConditions *group) {
    uint64_t bits[2] = {0};
    uint32_t skipped = 0;

    assert_true(span_values_match(&p->values, group, arena, bits));
    for (uint32_t i = 0; i < p->count; i++) {
        if (page_meets(arena, &p->tables[i], group))
            assert_true(page_bit(bits, i));
        else
            skipped += !page_bit(bits, i);
    }
    return skipped;
}

static void check_groups(Arena *arena, const Pages *p) {
    uint32_t skipped = 0;

    for (uint32_t key = 0; key < 24; key++) {
        for (uint8_t scope = 0; scope <= SCOPE_INSTRUMENTATION; scope++) {
            Str text = str_format(arena, "text-%u", key % 20);
            SpanCondition condition = {
                .scope = scope, .key = str_format(arena, "key.%u", key), .context = &text};
            SpanConditions group = {&condition, 1};

            skipped += check_group(arena, p, &group);
            condition.text = text_is;
            condition.type = key % 2 == 0 ? ATTRIBUTE_STRING : 0;
            skipped += check_group(arena, p, &group);
            condition.text = NULL;
            condition.bounded = true;
            condition.integer_min = condition.integer_max = key * 7;
            condition.number_min = condition.number_max = key;
            condition.type = key % 3 == 0 ? ATTRIBUTE_INT : key % 3 == 1 ? ATTRIBUTE_DOUBLE : 0;
            skipped += check_group(arena, p, &group);
        }
    }
    assert_true(skipped > 100);
}

static void pages_that_may_hold_a_match_are_never_left_out(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Pages p;

    (void)state;
    make_pages(&p, arena, TABLES, 12);
    check_groups(arena, &p);
    buf_done(&p.raw);
}

static void conditions_of_a_group_hold_together(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Pages p;
    Str name = STR("text-3"), service = STR("service-1");
    SpanCondition conditions[] = {
        {.intrinsic = INTRINSIC_NAME, .text = text_is, .context = &name},
        {.intrinsic = INTRINSIC_SERVICE, .text = text_is, .context = &service},
        {.intrinsic = INTRINSIC_KIND, .bounded = true, .integer_min = 2, .integer_max = 2},
        {.intrinsic = INTRINSIC_DURATION,
         .bounded = true,
         .integer_min = 200000000,
         .integer_max = INT64_MAX},
    };
    SpanConditions none = {conditions, 0};
    uint32_t last = 0;

    (void)state;
    make_pages(&p, arena, TABLES, 6);
    assert_int_equal(check_group(arena, &p, &none), 0);
    for (size_t n = 1; n <= ARRAY_LEN(conditions); n++) {
        SpanConditions group = {conditions, n};
        uint32_t skipped = check_group(arena, &p, &group);

        assert_true(skipped >= last);
        last = skipped;
    }
    assert_true(last > TABLES / 2);
    buf_done(&p.raw);
}

static const SpanEntry *find_entry(const SpanValues *values, uint8_t place, uint8_t type, Str key) {
    for (uint32_t i = 0; i < values->count; i++) {
        const SpanEntry *e = &values->entries[i];

        if (e->place == place && e->type == type && str_equal(e->key, key)) return e;
    }
    return NULL;
}

/* One column of texts or numbers that all differ. */
static SpanTable wide_table(Arena *arena, uint32_t rows, uint32_t first) {
    static const SpanOrigin nowhere = {0};
    Span *spans = ARENA_ARRAY(arena, Span, rows);
    SpanTable table;
    Error err;

    for (uint32_t i = 0; i < rows; i++) {
        Attribute *a = ARENA_ARRAY(arena, Attribute, 3);

        a[0] = (Attribute){.key = STR("id"),
                           .type = ATTRIBUTE_STRING,
                           .text = str_format(arena, "id-%u", first + i)};
        a[1] = (Attribute){.key = STR("n"), .type = ATTRIBUTE_INT, .integer = first + i};
        a[2] = (Attribute){.key = STR("few"), .type = ATTRIBUTE_INT, .integer = i % 3};
        spans[i] = (Span){.trace = trace_of(first + i),
                          .id = i + 1,
                          .origin = &nowhere,
                          .attributes = {.items = a, .count = 3}};
    }
    assert_ok(span_table_build(spans, rows, arena, &table, &err), &err);
    return table;
}

static void values_that_are_too_many_leave_bounds(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf raw;
    SpanValuesBuilder *builder = span_values_builder_new(arena);
    SpanCondition condition = {.scope = SCOPE_SPAN, .key = STR("n"), .bounded = true};
    SpanConditions group = {&condition, 1};
    const SpanEntry *entry;
    SpanValues values;
    uint64_t bits[1];
    Error err;

    (void)state;
    buf_init(&raw, 0);
    for (uint32_t i = 0; i < 4; i++) {
        SpanTable table = wide_table(arena, 2000, i * 2000);

        assert_true(span_values_add(builder, &table));
    }
    assert_true(span_values_build(builder, &raw));
    assert_true(raw.len < 1000);
    assert_ok(span_values_decode(buf_str(&raw), 4, arena, &values, &err), &err);
    entry = find_entry(&values, SCOPE_SPAN, ATTRIBUTE_STRING, STR("id"));
    assert_non_null(entry);
    assert_false(entry->complete || entry->bounded);
    entry = find_entry(&values, SCOPE_SPAN, ATTRIBUTE_INT, STR("n"));
    assert_non_null(entry);
    assert_true(!entry->complete && entry->bounded);
    entry = find_entry(&values, SCOPE_SPAN, ATTRIBUTE_INT, STR("few"));
    assert_non_null(entry);
    assert_true(entry->complete && !entry->bounded);
    assert_int_equal(entry->value_count, 3);
    condition.integer_min = 3999;
    condition.integer_max = 4000;
    assert_true(span_values_match(&values, &group, arena, bits));
    assert_int_equal(bits[0], 6);
    condition.integer_min = condition.integer_max = 8000;
    assert_true(span_values_match(&values, &group, arena, bits));
    assert_int_equal(bits[0], 0);
}

static void what_is_copied_page_by_page_says_the_same(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP_IN_PLACE(buf_done) Buf raw;
    SpanValuesBuilder *builder = span_values_builder_new(arena);
    SpanValues copy;
    Pages p;
    Error err;

    (void)state;
    buf_init(&raw, 0);
    make_pages(&p, arena, TABLES, 12);
    for (uint32_t i = 0; i < p.count; i++) assert_true(span_values_copy(builder, &p.values, i));
    assert_true(span_values_build(builder, &raw));
    assert_ok(span_values_decode(buf_str(&raw), p.count, arena, &copy, &err), &err);
    assert_int_equal(copy.count, p.values.count);
    for (uint32_t i = 0; i < copy.count; i++) {
        const SpanEntry *a = &copy.entries[i], *b = &p.values.entries[i];

        assert_true(str_equal(a->key, b->key) && a->place == b->place && a->type == b->type);
        for (uint32_t page = 0; page < p.count; page++)
            assert_int_equal(page_set_has(a->pages, page), page_set_has(b->pages, page));
        if (!a->complete) continue; /* of what is copied nobody knows how often it comes */
        assert_true(b->complete);
        assert_int_equal(a->value_count, b->value_count);
    }
    p.values = copy;
    check_groups(arena, &p);
    buf_done(&p.raw);
}

static void bytes_that_are_no_values_are_refused_or_harmless(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    SpanCondition condition = {.key = STR("key.3"), .bounded = true, .integer_max = 50};
    SpanConditions group = {&condition, 1};
    SpanValues values;
    uint64_t bits[2];
    Pages p;
    Error err;

    (void)state;
    make_pages(&p, arena, 9, 6);
    for (size_t cut = 0; cut < p.raw.len; cut += 1 + cut / 200) {
        CLEANUP(arena_free) Arena *scratch = arena_new(0, NULL);
        char *copy = malloc(cut + 1);

        memcpy(copy, p.raw.ptr, cut);
        assert_int_equal(span_values_decode((Str){copy, cut}, 9, scratch, &values, &err),
                         ERR_CORRUPT);
        free(copy);
    }
    for (size_t bit = 0; bit < p.raw.len * 8; bit += 1 + bit / 2000) {
        CLEANUP(arena_free) Arena *scratch = arena_new(0, NULL);
        char *copy = malloc(p.raw.len);

        memcpy(copy, p.raw.ptr, p.raw.len);
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
        if (span_values_decode((Str){copy, p.raw.len}, 9, scratch, &values, &err) == ERR_OK)
            assert_true(span_values_match(&values, &group, scratch, bits));
        free(copy);
    }
    buf_done(&p.raw);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_sorted_by_hash_and_page),
        cmocka_unit_test(a_page_of_ids_comes_back),
        cmocka_unit_test(bytes_that_are_no_ids_are_refused),
        cmocka_unit_test(a_filter_knows_all_that_is_there_and_little_else),
        cmocka_unit_test(one_hash_that_is_there_often_may_be_on_several_pages_of_ids),
        cmocka_unit_test(bytes_that_are_no_filter_are_refused_or_harmless),
        cmocka_unit_test(the_list_of_pages_comes_back),
        cmocka_unit_test(pages_that_may_hold_a_match_are_never_left_out),
        cmocka_unit_test(conditions_of_a_group_hold_together),
        cmocka_unit_test(values_that_are_too_many_leave_bounds),
        cmocka_unit_test(what_is_copied_page_by_page_says_the_same),
        cmocka_unit_test(bytes_that_are_no_values_are_refused_or_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
