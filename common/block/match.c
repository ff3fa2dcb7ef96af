/*
 * match.c: matchers against columns.
 *
 * A matcher is first turned into a test of value numbers: one comparison for = and !=, a verdict
 * per value for the rest, found out when a value is first met, so that a regular expression runs
 * once per distinct value among the series that other matchers left. Matchers of the metric name
 * drop whole groups; the others read their label's column in the groups that remain.
 */
#include "common/block/match.h"

#include <string.h>

enum { VERDICT_UNKNOWN = 0, VERDICT_YES = 1, VERDICT_NO = 2 };

/* Values are numbered as in a column: 0 for none, else index among the name's values plus one. */
typedef struct Test {
    const Matcher *matcher;
    const LabelPair *values; /* of the name, from number 1 */
    uint32_t name;           /* name_count: no series has it */
    uint32_t wanted;         /* = and !=: the number; UINT32_MAX: of no value */
    uint8_t *verdicts;       /* the rest */
} Test;

static bool is_comparison(const Matcher *matcher) {
    return matcher->op == MATCH_EQUAL || matcher->op == MATCH_NOT_EQUAL;
}

static bool test_value(Test *test, uint32_t number) {
    uint8_t *verdict;

    if (test->matcher->op == MATCH_EQUAL) return number == test->wanted;
    if (test->matcher->op == MATCH_NOT_EQUAL) return number != test->wanted;
    if (number == 0) return test->matcher->matches_empty;
    assert(test->verdicts != NULL); /* there is a value, so there is the name */
    verdict = &test->verdicts[number];
    if (*verdict == VERDICT_UNKNOWN) {
        bool yes = matcher_matches(test->matcher, test->values[number - 1].value);

        *verdict = yes ? VERDICT_YES : VERDICT_NO;
    }
    return *verdict == VERDICT_YES;
}

/* An alternation of literals needs no expression: each is looked up. */
static void prepare_literals(Test *test, const Dictionary *d) {
    const Matcher *m = test->matcher;
    bool positive = m->op == MATCH_REGEX;

    memset(test->verdicts, positive ? VERDICT_NO : VERDICT_YES,
           (size_t)dictionary_value_count(d, test->name) + 1);
    for (size_t i = 0; i < m->literal_count; i++) {
        uint32_t number = dictionary_find_value(d, test->name, m->literals[i]);

        if (number > 0) test->verdicts[number] = positive ? VERDICT_YES : VERDICT_NO;
    }
}

static bool prepare(Test *test, const Matcher *m, const Dictionary *d, Arena *arena) {
    *test = (Test){.matcher = m, .name = dictionary_find_name(d, m->name)};
    if (test->name < d->name_count) test->values = &d->pairs[d->first[test->name]];
    if (is_comparison(m)) {
        if (m->value.len == 0) return true; /* wanted 0: absent */
        test->wanted =
            test->name == d->name_count ? 0 : dictionary_find_value(d, test->name, m->value);
        if (test->wanted == 0) test->wanted = UINT32_MAX;
        return true;
    }
    if (test->name == d->name_count) return true;
    test->verdicts = ARENA_ARRAY(arena, uint8_t, (size_t)dictionary_value_count(d, test->name) + 1);
    if (test->verdicts == NULL) return false;
    if (m->literals != NULL) prepare_literals(test, d);
    return true;
}

/* The group's column of a name, or NULL. */
static const uint8_t *find_column(const SeriesGroup *group, uint32_t name) {
    uint32_t low = 0, high = group->label_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (group->names[middle] == name) return group->columns[middle];
        if (group->names[middle] < name)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* Keeps those of list[] whose value passes. */
static size_t filter(Test *test, const SeriesGroup *group, const uint8_t *column, unsigned width,
                     uint32_t *list, size_t count) {
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        uint32_t series = list[i];

        list[kept] = series;
        kept += test_value(test, series_column_get(column, width, series - group->first));
    }
    return kept;
}

/* Writes the group's matching series to list[], which has room for all of it. */
static size_t match_group(Test *tests, size_t test_count, const Dictionary *d,
                          const SeriesGroup *group, uint32_t *list) {
    size_t count = group->count;

    for (size_t t = 0; t < test_count; t++) {
        if (tests[t].name == d->metric_name && tests[t].name < d->name_count) {
            if (!test_value(&tests[t], group->metric)) return 0;
        } else if (find_column(group, tests[t].name) == NULL) {
            if (!test_value(&tests[t], 0)) return 0;
        }
    }
    for (size_t i = 0; i < count; i++) list[i] = group->first + (uint32_t)i;
    /* Comparisons first: what they leave is all that expressions must be run for. */
    for (int comparisons = 1; comparisons >= 0; comparisons--) {
        for (size_t t = 0; t < test_count && count > 0; t++) {
            const uint8_t *column = find_column(group, tests[t].name);

            if (column == NULL || is_comparison(tests[t].matcher) != (comparisons == 1)) continue;
            count =
                filter(&tests[t], group, column,
                       series_column_width(dictionary_value_count(d, tests[t].name)), list, count);
        }
    }
    return count;
}

ErrCode series_match(const Dictionary *d, const SeriesIndex *series, const Matcher *matchers,
                     size_t matcher_count, Arena *arena, uint32_t **out, size_t *count,
                     Error *err) {
    Test *tests = ARENA_ARRAY(arena, Test, matcher_count + 1);
    uint32_t *list = arena_alloc(arena, ((size_t)series->series_count + 1) * sizeof *list);
    size_t matched = 0;

    if (tests == NULL || list == NULL)
        return error_set(err, ERR_LIMIT, "no memory to match %u series", series->series_count);
    for (size_t m = 0; m < matcher_count; m++) {
        if (!prepare(&tests[m], &matchers[m], d, arena))
            return error_set(err, ERR_LIMIT, "no memory to match label values");
    }
    for (uint32_t g = 0; g < series->group_count; g++)
        matched += match_group(tests, matcher_count, d, &series->groups[g], list + matched);
    *out = list;
    *count = matched;
    return ERR_OK;
}
