/*
 * match.c: an equality is one 4-byte comparison a label; any other matcher is asked once per
 * distinct value (a byte per pair remembers the answer), not once per series.
 */
#include "ingester/head/match.h"

enum { UNKNOWN = 0, YES = 1, NO = 2 };

bool label_tests_prepare(const Pairs *pairs, const Matcher *matchers, size_t count, Arena *arena,
                         LabelTests *out) {
    *out = (LabelTests){.pairs = pairs, .items = ARENA_ARRAY(arena, LabelTest, count)};
    if (out->items == NULL) return false;
    for (size_t i = 0; i < count; i++) {
        const Matcher *matcher = &matchers[i];
        LabelTest *test = &out->items[out->count++];

        *test = (LabelTest){.matcher = matcher,
                            .on_name = str_equal(matcher->name, LABEL_NAME),
                            .name = pairs_find_name(pairs, matcher->name)};
        if (matcher->op == MATCH_EQUAL && matcher->value.len > 0) {
            test->is_equal = true;
            test->equal = pairs_find(pairs, matcher->name, matcher->value);
            if (test->equal == PAIR_NONE) out->never = true;
        } else if (test->name == PAIR_NONE) {
            if (!matcher->matches_empty) out->never = true;
            out->count--; /* absent everywhere, and that is fine with it */
        } else {
            test->answers = arena_zalloc(arena, MAX(pairs->count, 1U));
            if (test->answers == NULL) return false;
        }
    }
    return true;
}

bool label_test_pair(const LabelTests *tests, const LabelTest *test, uint32_t pair) {
    uint8_t *answer;

    if (test->is_equal) return pair == test->equal;
    if (pair == PAIR_NONE) return test->matcher->matches_empty;
    answer = &test->answers[pair];
    if (*answer == UNKNOWN)
        *answer = matcher_matches(test->matcher, pairs_array(tests->pairs)[pair].value) ? YES : NO;
    return *answer == YES;
}

bool label_test_set(const LabelTests *tests, const LabelTest *test, const uint32_t *pairs,
                    uint32_t count) {
    if (test->is_equal) {
        for (uint32_t i = 0; i < count; i++)
            if (pairs[i] == test->equal) return true;
        return false;
    }
    for (uint32_t i = 0; i < count; i++)
        if (pairs_name_of(tests->pairs, pairs[i]) == test->name)
            return label_test_pair(tests, test, pairs[i]);
    return test->matcher->matches_empty;
}

bool pairs_out_init(PairsOut *out, const Pairs *pairs, size_t labels, Arena *arena) {
    *out = (PairsOut){.from = pairs, .slots = 16};
    if (pairs->count <= labels) {
        out->pairs = pairs_array(pairs);
        out->count = pairs->count;
        return true;
    }
    while (out->slots < labels * 2) out->slots *= 2;
    out->map = arena_zalloc(arena, out->slots * sizeof *out->map);
    out->own = arena_alloc(arena, MAX(labels, (size_t)1) * sizeof *out->own);
    out->numbers = arena_alloc(arena, MAX(labels, (size_t)1) * sizeof *out->numbers);
    out->pairs = out->own;
    return out->map != NULL && out->own != NULL && out->numbers != NULL;
}

const uint32_t *pairs_out_add(PairsOut *out, const uint32_t *pairs, uint32_t count) {
    const uint32_t *first = out->numbers;

    if (out->own == NULL) return pairs;
    for (uint32_t k = 0; k < count; k++) {
        size_t at = (pairs[k] * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (out->slots - 1);

        while (out->map[at] != 0 && out->map[at] >> 32 != pairs[k])
            at = (at + 1) & (out->slots - 1);
        if (out->map[at] == 0) {
            out->own[out->count] = pairs_array(out->from)[pairs[k]];
            out->map[at] = (uint64_t)pairs[k] << 32 | ++out->count;
        }
        *out->numbers++ = (uint32_t)out->map[at] - 1;
    }
    return first;
}

static bool list_add(StrList *list, Arena *arena, Str s) {
    if (list->count == list->capacity) {
        size_t more = MAX(list->capacity * 2, (size_t)64);

        list->items = arena_grow(arena, list->items, list->capacity * sizeof *list->items,
                                 more * sizeof *list->items);
        if (list->items == NULL) return false;
        list->capacity = more;
    }
    list->items[list->count++] = s;
    return true;
}

bool pairs_list(const Pairs *pairs, const uint8_t *used, Str name, Arena *arena, StrList *out) {
    uint32_t number = name.len > 0 ? pairs_find_name(pairs, name) : PAIR_NONE;
    uint8_t *named = arena_zalloc(arena, MAX(pairs->name_count, 1U));

    if (named == NULL) return false;
    for (uint32_t i = 0; i < pairs->count; i++) {
        uint32_t of = pairs_name_of(pairs, i);

        if (!used[i]) continue;
        if (name.len > 0) {
            if (of == number && !list_add(out, arena, pairs_array(pairs)[i].value)) return false;
        } else if (!named[of]) {
            named[of] = 1;
            if (!list_add(out, arena, pairs_name(pairs, of))) return false;
        }
    }
    return true;
}
