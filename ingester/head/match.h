#pragma once
/*
 * match.h: matchers made ready for one head's dictionary, and the dictionary made ready for what
 * was found: what selecting series and selecting streams have in common.
 */
#include "common/batch/matcher.h"
#include "ingester/head/pairs.h"

/* A matcher, made ready for this head. */
typedef struct LabelTest {
    const Matcher *matcher;
    bool on_name;   /* of __name__: series of one name share the answer */
    uint32_t name;  /* the label's number; PAIR_NONE: no series has it */
    uint32_t equal; /* for `=` with a value: the only pair that will do */
    bool is_equal;
    uint8_t *answers; /* per pair, for the others */
} LabelTest;

typedef struct LabelTests {
    const Pairs *pairs;
    LabelTest *items;
    size_t count;
    bool never; /* a matcher that nothing here can satisfy */
} LabelTests;

/* False: the arena's budget is used up. */
MUST_USE bool label_tests_prepare(const Pairs *pairs, const Matcher *matchers, size_t count,
                                  Arena *arena, LabelTests *out);
/* `pair`: PAIR_NONE when the label isn't there. */
bool label_test_pair(const LabelTests *tests, const LabelTest *test, uint32_t pair);
bool label_test_set(const LabelTests *tests, const LabelTest *test, const uint32_t *pairs,
                    uint32_t count);

/* A few series of a large head get a dictionary of their own, so that nobody has to walk the whole
 * one; for many the head's own is handed out as it lies. */
typedef struct PairsOut {
    const LabelPair *pairs; /* the dictionary to hand out */
    size_t count;
    const Pairs *from;
    LabelPair *own; /* NULL: the head's */
    uint32_t *numbers;
    uint64_t *map;
    size_t slots;
} PairsOut;
/* `labels`: of all series together. False: the arena's budget is used up. */
MUST_USE bool pairs_out_init(PairsOut *out, const Pairs *pairs, size_t labels, Arena *arena);
/* The same labels, as numbers of the dictionary handed out. */
const uint32_t *pairs_out_add(PairsOut *out, const uint32_t *pairs, uint32_t count);

/* Label names or values, each once, unsorted; grows in an arena. */
typedef struct StrList {
    Str *items;
    size_t count;
    size_t capacity;
} StrList;
/* Of the pairs that `used` (a byte each) marks: values of `name`, or all names when it is empty. */
MUST_USE bool pairs_list(const Pairs *pairs, const uint8_t *used, Str name, Arena *arena,
                         StrList *out);
