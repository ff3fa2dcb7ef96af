#include "querier/logql/engine/row_stage.h"

/* ---- lists ---- */

static inline uint64_t name_bit(Str name) {
    unsigned first, middle, last;

    if (name.len == 0) return 1;
    first = (unsigned char)name.ptr[0];
    middle = (unsigned char)name.ptr[name.len / 2];
    last = (unsigned char)name.ptr[name.len - 1];
    return UINT64_C(1) << ((first * 3 + middle * 5 + last + (unsigned)name.len * 7) & 63);
}

/* Most names that differ do so in length or at an end. */
static bool same_name(Str a, Str b) {
    return a.len == b.len && (a.len == 0 || (a.ptr[a.len - 1] == b.ptr[b.len - 1] &&
                                             memcmp(a.ptr, b.ptr, a.len) == 0));
}

static LabelPair *search(const RowList *list, Str name) {
    for (size_t i = 0; i < list->count; i++)
        if (same_name(list->pairs[i].name, name)) return &list->pairs[i];
    return NULL;
}

static inline LabelPair *find(const RowList *list, Str name) {
    return (list->mask & name_bit(name)) == 0 ? NULL : search(list, name);
}

static void clear(RowList *list) {
    list->count = 0;
    list->mask = 0;
}

static void append(RowLabels *labels, RowList *list, Str name, Str value) {
    if (list->count == ROW_LABELS_MAX) return;
    if (list->count == list->capacity) {
        size_t more = MAX(list->capacity * 2, 16);
        LabelPair *pairs = arena_grow(labels->arena, list->pairs, list->capacity * sizeof *pairs,
                                      more * sizeof *pairs);

        if (pairs == NULL) {
            labels->failed = true;
            return;
        }
        list->pairs = pairs;
        list->capacity = more;
    }
    list->pairs[list->count++] = (LabelPair){name, value};
    list->mask |= name_bit(name);
}

static void take_out(RowList *list, Str name) {
    LabelPair *pair = find(list, name);

    if (pair == NULL) return;
    memmove(pair, pair + 1, (size_t)(list->pairs + list->count - pair - 1) * sizeof *pair);
    list->count--;
}

/* ---- an entry ---- */

static Str with_suffix(RowLabels *labels, Str name) {
    Str longer = str_format(labels->scratch, STR_FMT "_extracted", STR_ARG(name));

    if (longer.ptr == NULL) labels->failed = true;
    return longer.ptr == NULL ? name : longer;
}

void row_labels_stream(RowLabels *labels, LabelPairs base) {
    labels->base = base;
    labels->base_mask = 0;
    for (size_t i = 0; i < base.count; i++) labels->base_mask |= name_bit(base.pairs[i].name);
}

void row_labels_begin(RowLabels *labels, LabelPairs metadata) {
    for (size_t c = 0; c < ROW_CATEGORIES; c++) clear(&labels->add[c]);
    clear(&labels->deleted);
    clear(&labels->extracted);
    labels->error = labels->details = (Str){"", 0};
    labels->touched = labels->refused = false;
    if (arena_used(labels->scratch) > 0) arena_reset(labels->scratch);
    for (size_t i = 0; i < metadata.count; i++) {
        Str name = metadata.pairs[i].name;

        if (str_equal(name, ROW_ERROR)) {
            labels->error = metadata.pairs[i].value;
            labels->touched = true;
        } else if (str_equal(name, ROW_ERROR_DETAILS)) {
            labels->details = metadata.pairs[i].value;
            labels->touched = true;
        } else if (row_labels_base_has(labels, name)) {
            append(labels, &labels->add[ROW_METADATA], with_suffix(labels, name),
                   metadata.pairs[i].value);
            labels->touched = true;
        } else {
            append(labels, &labels->add[ROW_METADATA], name, metadata.pairs[i].value);
        }
    }
}

static const LabelPair *find_base(const RowLabels *labels, Str name) {
    if ((labels->base_mask & name_bit(name)) == 0) return NULL;
    for (size_t i = 0; i < labels->base.count; i++)
        if (same_name(labels->base.pairs[i].name, name)) return &labels->base.pairs[i];
    return NULL;
}

bool row_labels_base_has(const RowLabels *labels, Str name) {
    return find_base(labels, name) != NULL;
}

bool row_labels_get(RowLabels *labels, Str name, Str *value) {
    const LabelPair *base;

    for (size_t c = 0; c < ROW_CATEGORIES; c++) {
        const LabelPair *pair = find(&labels->add[c], name);

        if (pair == NULL) continue;
        *value = pair->value;
        return true;
    }
    *value = (Str){"", 0};
    if (find(&labels->deleted, name) != NULL) return false;
    base = find_base(labels, name);
    if (base != NULL) *value = base->value;
    return value->len > 0;
}

void row_labels_set(RowLabels *labels, RowCategory category, Str name, Str value) {
    LabelPair *pair;

    labels->touched = true;
    if (category == ROW_PARSED) take_out(&labels->add[ROW_METADATA], name);
    if (category != ROW_STREAM) take_out(&labels->add[ROW_STREAM], name);
    for (size_t c = category + 1; c < ROW_CATEGORIES; c++)
        if (find(&labels->add[c], name) != NULL) return;
    pair = find(&labels->add[category], name);
    if (pair != NULL) {
        pair->value = value;
        return;
    }
    append(labels, &labels->add[category], name, value);
    if (category == ROW_PARSED && find(&labels->extracted, name) == NULL)
        append(labels, &labels->extracted, name, (Str){"", 0});
}

void row_labels_parse(RowLabels *labels, Str name, Str value) {
    const RowHints *hints = labels->hints;

    row_labels_set(labels, ROW_PARSED, name, value);
    for (size_t i = 0; i < hints->early_count; i++) {
        if (!str_equal(hints->early[i].name, name)) continue;
        labels->refused = !row_filter_holds(&hints->early[i].filter, labels);
        return;
    }
}

void row_labels_delete(RowLabels *labels, Str name) {
    labels->touched = true;
    for (size_t c = 0; c < ROW_CATEGORIES; c++) take_out(&labels->add[c], name);
    if (find(&labels->deleted, name) == NULL) append(labels, &labels->deleted, name, (Str){"", 0});
}

void row_labels_fail(RowLabels *labels, Str error, Str details) {
    labels->touched = true;
    labels->error = error;
    if (details.len > 0) labels->details = details;
    if (labels->hints->preserve_errors)
        row_labels_set(labels, ROW_PARSED, ROW_PRESERVE, STR("true"));
}

/* ---- parsers ---- */

Str row_labels_parsed_name(RowLabels *labels, Str name) {
    if (!row_labels_base_has(labels, name) && find(&labels->add[ROW_METADATA], name) == NULL)
        return name;
    return with_suffix(labels, name);
}

static bool is_required(const RowHints *hints, Str name) {
    for (size_t i = 0; i < hints->required_count; i++)
        if (same_name(hints->required[i], name)) return true;
    return hints->required_count == 0;
}

bool row_labels_may_want(const RowLabels *labels, Str name) {
    const RowHints *hints = labels->hints;
    static const size_t suffix = sizeof "_extracted" - 1;

    for (size_t i = 0; i < hints->required_count; i++) {
        Str required = hints->required[i];

        if (same_name(required, name) ||
            (required.len == name.len + suffix && str_starts_with(required, name)))
            return true;
    }
    return hints->required_count == 0;
}

bool row_labels_wants(const RowLabels *labels, Str name) {
    return is_required(labels->hints, name) && find(&labels->extracted, name) == NULL;
}

bool row_labels_wants_prefix(const RowLabels *labels, Str prefix) {
    const RowHints *hints = labels->hints;

    for (size_t i = 0; i < hints->required_count; i++)
        if (str_starts_with(hints->required[i], prefix)) return true;
    return hints->required_count == 0;
}

bool row_labels_enough(const RowLabels *labels) {
    const RowHints *hints = labels->hints;

    if (hints->no_labels) return true;
    if (hints->required_count == 0 || labels->extracted.count < hints->required_count) return false;
    for (size_t i = 0; i < hints->required_count; i++)
        if (find(&labels->extracted, hints->required[i]) == NULL) return false;
    return true;
}

/* ---- the outcome ---- */

/* The stream's labels that nothing hides, with the values they have now. */
static size_t list_stream(const RowLabels *labels, LabelPair *out) {
    uint64_t hidden =
        labels->deleted.mask | labels->add[ROW_METADATA].mask | labels->add[ROW_PARSED].mask;
    size_t n = 0;

    if (((hidden | labels->add[ROW_STREAM].mask) & labels->base_mask) == 0) {
        if (labels->base.count > 0)
            memcpy(out, labels->base.pairs, labels->base.count * sizeof *out);
        return labels->base.count;
    }

    for (size_t i = 0; i < labels->base.count; i++) {
        LabelPair pair = labels->base.pairs[i];
        const LabelPair *changed = find(&labels->add[ROW_STREAM], pair.name);

        if (find(&labels->deleted, pair.name) != NULL ||
            find(&labels->add[ROW_METADATA], pair.name) != NULL ||
            find(&labels->add[ROW_PARSED], pair.name) != NULL)
            continue;
        if (changed != NULL) pair.value = changed->value;
        out[n++] = pair;
    }
    return n;
}

/* As the last entry's were ordered. False: these are others. */
static bool sort_as_before(const RowLabels *labels, const LabelPair *from, LabelPair *out) {
    const uint8_t *order = labels->order;

    out[0] = from[order[0]];
    for (size_t i = 1; i < labels->order_count; i++) {
        out[i] = from[order[i]];
        if (str_compare(out[i - 1].name, out[i].name) >= 0) return false;
    }
    return true;
}

static void remember_order(RowLabels *labels, const LabelPair *from, const LabelPair *sorted,
                           size_t count) {
    labels->order_count = count;
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;

        while (from[at].name.ptr != sorted[i].name.ptr || from[at].name.len != sorted[i].name.len)
            at++;
        labels->order[i] = (uint8_t)at;
    }
}

/* No name is there twice. */
static void sort_parsed(RowLabels *labels, const RowList *parsed, LabelPair *out) {
    size_t count = parsed->count;

    if (count == 0 || (count == labels->order_count && sort_as_before(labels, parsed->pairs, out)))
        return;
    memcpy(out, parsed->pairs, count * sizeof *out);
    labels_sort(out, count);
    labels->order_count = 0;
    if (count <= ROW_ORDER_MAX) remember_order(labels, parsed->pairs, out, count);
}

/* Puts a label where it belongs, in the place of one that a line brought under its name. */
static void insert(LabelPair *pairs, size_t *count, LabelPair pair) {
    size_t at = *count;

    while (at > 0 && str_compare(pairs[at - 1].name, pair.name) > 0) at--;
    if (at > 0 && str_equal(pairs[at - 1].name, pair.name)) {
        pairs[at - 1] = pair;
        return;
    }
    memmove(pairs + at + 1, pairs + at, (*count - at) * sizeof *pairs);
    pairs[at] = pair;
    ++*count;
}

bool row_labels_sorted(RowLabels *labels, RowSorted *out) {
    const RowList *parsed = &labels->add[ROW_PARSED], *metadata = &labels->add[ROW_METADATA];
    size_t most = labels->base.count + parsed->count + metadata->count + 2, n;
    LabelPair *pairs = arena_alloc(labels->scratch, most * sizeof *pairs);

    if (pairs == NULL) {
        labels->failed = true;
        return false;
    }
    n = list_stream(labels, pairs);
    out->categories[ROW_STREAM] = (LabelPairs){pairs, n};
    pairs += n;
    if (metadata->count > 0) memcpy(pairs, metadata->pairs, metadata->count * sizeof *pairs);
    labels_sort(pairs, metadata->count);
    out->categories[ROW_METADATA] = (LabelPairs){pairs, metadata->count};
    pairs += metadata->count;
    n = parsed->count;
    sort_parsed(labels, parsed, pairs);
    if (labels->error.len > 0) insert(pairs, &n, (LabelPair){ROW_ERROR, labels->error});
    if (labels->details.len > 0) insert(pairs, &n, (LabelPair){ROW_ERROR_DETAILS, labels->details});
    out->categories[ROW_PARSED] = (LabelPairs){pairs, n};
    return true;
}
