/*
 * pattern_merge.c: templates that differ in a word or two are one pattern.
 *
 * Templates of equally many tokens are told apart from left to right: a token that a good part of
 * them has at a place is a kind of its own (a method, a level, the first word of a message); those
 * with rare tokens there (a name, a path) stay together and are told apart by what follows. What is
 * left together in the end, having nothing frequent to tell it apart by, is put together where most
 * words are equal, the ones with most lines first. The idea is that of Drain (He et al., 2017),
 * which meets lines one by one; here all are known, so the outcome depends on no order.
 */
#include <stdlib.h>

#include "querier/logql/engine/patterns.h"

enum {
    TOKENS_MAX = 512,   /* of one template; what is behind is one more token */
    BRANCH_SHARE = 20,  /* a kind of its own: one in so many of those told apart, */
    TOTAL_SHARE = 500,  /* and of all */
    CLUSTERS_MAX = 512, /* that one template is compared with */
    TOKEN_VARIABLE = 0, /* the number of `<_>` */
};

/* One template's tokens, as numbers of their texts. */
typedef struct Tokens {
    PatternTemplate *template;
    uint32_t *numbers;
    uint32_t count;
} Tokens;

typedef struct Merge {
    Arena *arena;
    Str *texts; /* of tokens */
    bool *is_word;
    uint32_t text_count, text_capacity;
    uint32_t *slots;
    uint32_t mask;
    uint64_t total;
    uint64_t *weights; /* by token, 0 between uses */
    PatternClusters *out;
    size_t cluster_capacity;
    bool failed;
} Merge;

#define VARIABLE STR("<_>")

/* ---------- texts ---------- */

static bool is_variable_at(Str text, size_t at) {
    return str_starts_with(str_from(text, MIN(at, text.len)), VARIABLE);
}

void pattern_collapse(Str text, Buf *out) {
    size_t at = 0;

    while (at < text.len) {
        if (!is_variable_at(text, at)) {
            buf_append_byte(out, text.ptr[at++]);
            continue;
        }
        buf_append_str(out, VARIABLE);
        for (at += VARIABLE.len;;) {
            bool joins = at < text.len && memchr(".:,-", text.ptr[at], 4) != NULL;

            if (!is_variable_at(text, at + joins)) break;
            at += joins + VARIABLE.len;
        }
    }
}

/* ---------- tokens ---------- */

static bool is_separator(unsigned char c) {
    return c <= ' ' || (c < 0x80 && strchr(",;=\"'()[]{}:&?|/", c) != NULL);
}

static bool grow_texts(Merge *m) {
    uint32_t more = MAX(m->text_capacity * 2, 1024u);

    if (m->text_count < m->text_capacity) return true;
    m->texts = arena_grow(m->arena, m->texts, m->text_capacity * sizeof *m->texts,
                          more * sizeof *m->texts);
    m->is_word = arena_grow(m->arena, m->is_word, m->text_capacity, more);
    m->slots = ARENA_ARRAY(m->arena, uint32_t, more * 2);
    if (m->texts == NULL || m->is_word == NULL || m->slots == NULL) return false;
    m->text_capacity = more;
    m->mask = more * 2 - 1;
    for (uint32_t i = 0; i < m->text_count; i++) {
        uint32_t slot = (uint32_t)hash_str(m->texts[i]) & m->mask;

        while (m->slots[slot] != 0) slot = (slot + 1) & m->mask;
        m->slots[slot] = i + 1;
    }
    return true;
}

static uint32_t token_number(Merge *m, Str text) {
    uint32_t slot;

    if (m->failed || !grow_texts(m)) {
        m->failed = true;
        return TOKEN_VARIABLE;
    }
    slot = (uint32_t)hash_str(text) & m->mask;
    for (; m->slots[slot] != 0; slot = (slot + 1) & m->mask)
        if (str_equal(m->texts[m->slots[slot] - 1], text)) return m->slots[slot] - 1;
    m->texts[m->text_count] = text;
    m->is_word[m->text_count] = !is_separator((unsigned char)text.ptr[0]);
    m->slots[slot] = m->text_count + 1;
    return m->text_count++;
}

/* A separator, with spaces together, or what stands between two. */
static Str next_token(Str *text) {
    size_t len = 1;
    bool space = text->ptr[0] == ' ', separates = is_separator((unsigned char)text->ptr[0]);
    Str token;

    while (len < text->len && (space ? text->ptr[len] == ' '
                                     : !separates && !is_separator((unsigned char)text->ptr[len])))
        len++;
    token = str_slice(*text, 0, len);
    *text = str_from(*text, len);
    return token;
}

static bool tokenize(Merge *m, PatternTemplate *template, Tokens *out) {
    uint32_t numbers[TOKENS_MAX + 1], count = 0;
    Str left = template->text;

    while (left.len > 0 && count < TOKENS_MAX)
        numbers[count++] = token_number(m, next_token(&left));
    if (left.len > 0) numbers[count++] = token_number(m, left);
    *out = (Tokens){template, ARENA_ARRAY(m->arena, uint32_t, MAX(count, 1u)), count};
    if (out->numbers == NULL || m->failed) return false;
    memcpy(out->numbers, numbers, count * sizeof *numbers);
    return true;
}

/* ---------- clusters ---------- */

static Str join_tokens(Merge *m, const uint32_t *numbers, uint32_t count) {
    CLEANUP_IN_PLACE(buf_done) Buf text = {0};
    CLEANUP_IN_PLACE(buf_done) Buf collapsed = {0};
    bool variable = false;
    Str joined;

    buf_init(&text, 0);
    for (uint32_t i = 0; i < count; i++) {
        bool is = numbers[i] == TOKEN_VARIABLE;

        if (!is || !variable) buf_append_str(&text, m->texts[numbers[i]]);
        variable = is;
    }
    buf_init(&collapsed, 0);
    pattern_collapse(buf_str(&text), &collapsed);
    joined = str_dup(m->arena, buf_str(&collapsed));
    if (joined.ptr == NULL || buf_failed(&text) || buf_failed(&collapsed)) m->failed = true;
    return joined;
}

static uint32_t add_cluster(Merge *m, Str text) {
    PatternClusters *out = m->out;

    if (out->count == m->cluster_capacity) {
        size_t more = MAX(m->cluster_capacity * 2, (size_t)64);

        out->texts = arena_grow(m->arena, out->texts, m->cluster_capacity * sizeof *out->texts,
                                more * sizeof *out->texts);
        if (out->texts == NULL) {
            m->failed = true;
            return 0;
        }
        m->cluster_capacity = more;
    }
    out->texts[out->count] = text;
    return (uint32_t)out->count++;
}

/* Half of the words, or more, are the same at their places. */
static bool is_similar(const Merge *m, const uint32_t *a, const Tokens *b) {
    uint32_t words = 0, equal = 0;

    for (uint32_t i = 0; i < b->count; i++) {
        if (!m->is_word[b->numbers[i]] && !m->is_word[a[i]]) continue;
        words++;
        equal += a[i] == b->numbers[i];
    }
    return words < 2 || equal * 2 >= words;
}

static void widen(uint32_t *a, const Tokens *b) {
    for (uint32_t i = 0; i < b->count; i++)
        if (a[i] != b->numbers[i]) a[i] = TOKEN_VARIABLE;
}

/* Those of a group that have nothing frequent to be told apart by; heaviest first. */
static void cluster_group(Merge *m, Tokens *group, size_t count) {
    uint32_t **shapes = ARENA_ARRAY(m->arena, uint32_t *, MIN(count, (size_t)CLUSTERS_MAX));
    uint32_t *members = ARENA_ARRAY(m->arena, uint32_t, count), base = 0;
    size_t shape_count = 0;

    if (shapes == NULL || members == NULL) {
        m->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        size_t s = 0;

        while (s < shape_count && !is_similar(m, shapes[s], &group[i])) s++;
        if (s == shape_count && s == CLUSTERS_MAX) s = CLUSTERS_MAX - 1;
        if (s < shape_count)
            widen(shapes[s], &group[i]);
        else
            shapes[shape_count++] = group[i].numbers;
        members[i] = (uint32_t)s;
    }
    for (size_t s = 0; s < shape_count && !m->failed; s++) {
        uint32_t made = add_cluster(m, join_tokens(m, shapes[s], group[0].count));

        if (s == 0) base = made;
    }
    for (size_t i = 0; i < count; i++) group[i].template->cluster = base + members[i];
}

/* ---------- telling apart ---------- */

/* The heavier first; then by text, so that nothing depends on the order that they came in. */
static int compare_weight(const void *a, const void *b) {
    const Tokens *x = a, *y = b;

    if (x->template->count != y->template->count)
        return x->template->count > y->template->count ? -1 : 1;
    return str_compare(x->template->text, y->template->text);
}

typedef struct Place {
    const Merge *merge;
    uint32_t at;
    uint64_t total; /* of the group */
} Place;

static bool is_branch(const Place *place, const Tokens *tokens) {
    uint32_t number = tokens->numbers[place->at];
    uint64_t weight = place->merge->weights[number];

    return number != TOKEN_VARIABLE && weight * BRANCH_SHARE >= place->total &&
           weight * TOTAL_SHARE >= place->merge->total;
}

/* Branches by their tokens, then all others together. */
static int compare_place(const void *a, const void *b, void *context) {
    const Place *place = context;
    bool x = is_branch(place, a), y = is_branch(place, b);
    uint32_t m = ((const Tokens *)a)->numbers[place->at],
             n = ((const Tokens *)b)->numbers[place->at];

    if (x != y) return x ? -1 : 1;
    if (x && m != n) return m < n ? -1 : 1;
    return compare_weight(a, b);
}

static bool is_same_group(const Place *place, const Tokens *a, const Tokens *b) {
    bool x = is_branch(place, a), y = is_branch(place, b);

    return x == y && (!x || a->numbers[place->at] == b->numbers[place->at]);
}

/* Where groups [starts[i], starts[i + 1]) begin, after the group was put in their order. */
static size_t part_group(Merge *m, Tokens *group, size_t count, uint32_t at, size_t *starts) {
    Place place = {m, at, 0};
    size_t parts = 0, branches = 0;
    bool differs = false;

    for (size_t i = 0; i < count; i++) {
        m->weights[group[i].numbers[at]] += group[i].template->count;
        place.total += group[i].template->count;
    }
    for (size_t i = 0; i < count; i++) {
        branches += is_branch(&place, &group[i]);
        differs |= group[i].numbers[at] != group[0].numbers[at];
    }
    if (differs && branches > 0) qsort_r(group, count, sizeof *group, compare_place, &place);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || !is_same_group(&place, &group[i - 1], &group[i])) starts[parts++] = i;
    starts[parts] = count;
    for (size_t i = 0; i < count; i++) m->weights[group[i].numbers[at]] = 0;
    return parts;
}

static void tell_apart(Merge *m, Tokens *group, size_t count, uint32_t at) {
    size_t starts[BRANCH_SHARE + 2], parts = 1;

    while (!m->failed && count > 1 && at < group[0].count && parts == 1)
        parts = part_group(m, group, count, at++, starts);
    if (m->failed) return;
    if (parts == 1) {
        qsort(group, count, sizeof *group, compare_weight);
        cluster_group(m, group, count);
        return;
    }
    for (size_t i = 0; i < parts; i++)
        tell_apart(m, group + starts[i], starts[i + 1] - starts[i], at);
}

static int compare_count(const void *a, const void *b) {
    const Tokens *x = a, *y = b;

    return (x->count > y->count) - (x->count < y->count);
}

typedef struct Named {
    Str text;
    uint32_t cluster;
} Named;

static int compare_names(const void *a, const void *b) {
    const Named *x = a, *y = b;
    int order = str_compare(x->text, y->text);

    return order != 0 ? order : (x->cluster > y->cluster) - (x->cluster < y->cluster);
}

/* Clusters that came to the same text on different ways are one. */
static bool join_equal(Merge *m, PatternTemplate *templates, size_t count) {
    size_t clusters = m->out->count;
    Named *names = ARENA_ARRAY(m->arena, Named, MAX(clusters, (size_t)1));
    uint32_t *same = ARENA_ARRAY(m->arena, uint32_t, MAX(clusters, (size_t)1));

    if (names == NULL || same == NULL) return false;
    for (size_t i = 0; i < clusters; i++) names[i] = (Named){m->out->texts[i], (uint32_t)i};
    if (clusters > 0) qsort(names, clusters, sizeof *names, compare_names);
    for (size_t i = 0; i < clusters; i++)
        same[names[i].cluster] = i > 0 && str_equal(names[i].text, names[i - 1].text)
                                     ? same[names[i - 1].cluster]
                                     : names[i].cluster;
    for (size_t i = 0; i < count; i++) templates[i].cluster = same[templates[i].cluster];
    return true;
}

bool pattern_merge(Arena *arena, PatternTemplate *templates, size_t count, PatternClusters *out) {
    Tokens *all = ARENA_ARRAY(arena, Tokens, MAX(count, (size_t)1));
    Merge m = {.arena = arena, .out = out};

    *out = (PatternClusters){0};
    if (all == NULL || token_number(&m, VARIABLE) != TOKEN_VARIABLE || m.failed) return false;
    for (size_t i = 0; i < count; i++) {
        if (!tokenize(&m, &templates[i], &all[i])) return false;
        m.total += templates[i].count;
    }
    m.weights = ARENA_ARRAY(arena, uint64_t, m.text_count);
    if (m.weights == NULL) return false;
    if (count > 0) qsort(all, count, sizeof *all, compare_count);
    for (size_t i = 0, end; i < count && !m.failed; i = end) {
        for (end = i + 1; end < count && all[end].count == all[i].count;) end++;
        tell_apart(&m, all + i, end - i, 0);
    }
    return !m.failed && join_equal(&m, templates, count);
}
