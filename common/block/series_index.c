/*
 * series_index.c: the labels of all series, in columns.
 *
 * Neighbours with the same metric name are a group. Within a group every label is a column of
 * value numbers, as wide as that name's values need. The same targets expose many metrics, so the
 * same columns come again and again, and zstd finds them: on the benchmark's 100,000 series a
 * series takes 0.14 bytes. The metric name leads to its group, the only one that a selector reads.
 *
 *     varint  series, groups, bytes of the heads
 *     heads:  for each group varint metric (value of __name__ plus one, 0 for none), varint series,
 *             varint labels, then for each label the varint gap of its name's number from the one
 *             after the label before
 *     columns of the first group, of the second, ...
 */
#include <string.h>

#include "common/base/reader.h"
#include "common/block/index.h"

/* ---------- building ---------- */

bool series_builder_add(SeriesBuilder *b, Arena *arena, const uint32_t *numbers, size_t count) {
    uint32_t *grown =
        index_room(arena, b->numbers, b->number_count, count, &b->number_capacity, sizeof *grown);

    if (grown == NULL || b->number_count > UINT32_MAX - count) return false;
    b->numbers = grown;
    grown = index_room(arena, b->starts, b->series_count, 2, &b->series_capacity, sizeof *grown);
    if (grown == NULL) return false;
    b->starts = grown;
    if (count > 0) memcpy(b->numbers + b->number_count, numbers, count * sizeof *numbers);
    b->starts[b->series_count++] = (uint32_t)b->number_count;
    b->number_count += count;
    b->starts[b->series_count] = (uint32_t)b->number_count;
    return true;
}

/* What building goes through. */
typedef struct Building {
    const SeriesBuilder *b;
    const DictionaryLayout *layout;
    uint32_t *column_of; /* by name: column within the group plus one, 0 for none */
    uint32_t *names;     /* of the group, ascending */
    uint32_t name_count;
    Buf heads;
    Buf columns;
    size_t groups;
    size_t metric_end; /* series after the last of the metric that `one_group` is about */
    bool one_group;
} Building;

static PairPlace place_of(const Building *g, size_t at) {
    return g->layout->places[g->b->numbers[at]];
}

static uint32_t metric_of(const Building *g, size_t series) {
    for (size_t at = g->b->starts[series]; at < g->b->starts[series + 1]; at++) {
        PairPlace place = place_of(g, at);

        if (place.name == g->layout->metric_name) return place.value;
    }
    return 0;
}

/* Forgets the group's names. */
static void clear_names(Building *g) {
    for (uint32_t i = 0; i < g->name_count; i++) g->column_of[g->names[i]] = 0;
    g->name_count = 0;
}

/* Adds a series' names to the group's; how many labels it has beside its metric name. */
static size_t collect_names(Building *g, size_t series) {
    size_t labels = 0;

    for (size_t at = g->b->starts[series]; at < g->b->starts[series + 1]; at++) {
        uint32_t name = place_of(g, at).name;

        if (name == g->layout->metric_name) continue;
        labels++;
        if (g->column_of[name] != 0) continue;
        g->column_of[name] = 1;
        g->names[g->name_count++] = name;
    }
    return labels;
}

static bool same_names(const Building *g, size_t a, size_t b) {
    size_t from_a = g->b->starts[a], from_b = g->b->starts[b], n = g->b->starts[a + 1] - from_a;

    if (n != g->b->starts[b + 1] - from_b) return false;
    for (size_t i = 0; i < n; i++) {
        if (place_of(g, from_a + i).name != place_of(g, from_b + i).name) return false;
    }
    return true;
}

/* Looks at a whole metric: with gaps where a label is missing its series make one group, unless
 * columns would then be more gaps than values. */
static void begin_metric(Building *g, size_t first) {
    uint32_t metric = metric_of(g, first);
    size_t end = first, labels = 0;

    clear_names(g);
    while (end < g->b->series_count && metric_of(g, end) == metric)
        labels += collect_names(g, end++);
    g->metric_end = end;
    g->one_group = (end - first) * g->name_count <= 2 * labels + 1024;
}

/* Where the group that begins at `first` ends; its names are collected. */
static size_t find_group(Building *g, size_t first) {
    size_t end = first + 1;

    if (first >= g->metric_end) begin_metric(g, first);
    if (g->one_group) return g->metric_end;
    clear_names(g);
    collect_names(g, first);
    while (end < g->metric_end && same_names(g, first, end)) end++;
    return end;
}

/* A few dozen at most, and nearly in order. */
static void sort_names(uint32_t *names, uint32_t count) {
    for (uint32_t i = 1; i < count; i++) {
        uint32_t name = names[i], j = i;

        for (; j > 0 && names[j - 1] > name; j--) names[j] = names[j - 1];
        names[j] = name;
    }
}

static void put_group(Building *g, size_t first, size_t end) {
    size_t count = end - first, start = 0;
    uint32_t next = 0;
    char *at;

    buf_append_varint(&g->heads, metric_of(g, first));
    buf_append_varint(&g->heads, count);
    buf_append_varint(&g->heads, g->name_count);
    sort_names(g->names, g->name_count);
    for (uint32_t i = 0; i < g->name_count; i++) {
        g->column_of[g->names[i]] = i + 1;
        buf_append_varint(&g->heads, g->names[i] - next);
        next = g->names[i] + 1;
    }
    /* Where each column starts, in the place of its number. */
    for (uint32_t i = 0; i < g->name_count; i++) {
        g->column_of[g->names[i]] = (uint32_t)start + 1;
        start += count * series_column_width(g->layout->value_counts[g->names[i]]);
    }
    g->groups++;
    if (start == 0) return; /* no labels but the metric's name */
    at = buf_reserve(&g->columns, start);
    if (at == NULL || start > UINT32_MAX) {
        g->columns.failed = true;
        return;
    }
    memset(at, 0, start);
    for (size_t s = first; s < end; s++) {
        for (size_t i = g->b->starts[s]; i < g->b->starts[s + 1]; i++) {
            PairPlace place = place_of(g, i);
            unsigned width;

            if (place.name == g->layout->metric_name) continue;
            width = series_column_width(g->layout->value_counts[place.name]);
            memcpy(at + g->column_of[place.name] - 1 + (s - first) * width, &place.value, width);
        }
    }
    buf_added(&g->columns, start);
}

ErrCode series_build(const SeriesBuilder *b, const DictionaryLayout *layout, Arena *arena, Buf *out,
                     Error *err) {
    Building g = {.b = b, .layout = layout};
    size_t end;

    g.column_of = ARENA_ARRAY(arena, uint32_t, (size_t)layout->name_count + 1);
    g.names = ARENA_ARRAY(arena, uint32_t, (size_t)layout->name_count + 1);
    if (g.column_of == NULL || g.names == NULL)
        return error_set(err, ERR_LIMIT, "no memory for a series index");
    buf_init(&g.heads, 0);
    buf_init(&g.columns, 0);
    for (size_t first = 0; first < b->series_count; first = end) {
        end = find_group(&g, first);
        put_group(&g, first, end);
    }
    buf_append_varint(out, b->series_count);
    buf_append_varint(out, g.groups);
    buf_append_varint(out, g.heads.len);
    buf_append_str(out, buf_str(&g.heads));
    buf_append_str(out, buf_str(&g.columns));
    if (buf_failed(&g.heads) || buf_failed(&g.columns)) out->failed = true;
    buf_done(&g.heads);
    buf_done(&g.columns);
    return buf_failed(out) ? error_set(err, ERR_LIMIT, "no memory for a series index") : ERR_OK;
}

/* ---------- decoding ---------- */

/* Checks that a column names no value that the dictionary hasn't. */
static bool column_is_good(const uint8_t *column, unsigned width, uint32_t count, uint32_t values) {
    uint32_t most = 0;

    if (width == 1) {
        for (uint32_t i = 0; i < count; i++) most = MAX(most, (uint32_t)column[i]);
    } else {
        for (uint32_t i = 0; i < count; i++) most = MAX(most, series_column_get(column, width, i));
    }
    return most <= values;
}

static bool take_group(Reader *heads, Reader *columns, const Dictionary *d, Arena *arena,
                       uint32_t series_left, SeriesGroup *out, bool *no_memory) {
    uint64_t metric = reader_varint(heads), count = reader_varint(heads);
    uint64_t labels = reader_varint(heads), next = 0;
    const uint8_t **starts;
    uint32_t *names;

    /* Without labels only one series can be, so what a group takes bounds what it claims. */
    if (heads->failed || count == 0 || count > series_left || labels > reader_left(heads) ||
        (labels == 0 && count > 1))
        return false;
    if (metric > 0 &&
        (d->metric_name == d->name_count || metric > dictionary_value_count(d, d->metric_name)))
        return false;
    names = ARENA_ARRAY(arena, uint32_t, labels + 1);
    starts = ARENA_ARRAY(arena, const uint8_t *, labels + 1);
    *no_memory = names == NULL || starts == NULL;
    if (*no_memory) return false;
    for (uint64_t i = 0; i < labels; i++) {
        uint64_t name = next + reader_varint(heads);
        unsigned width;
        Str column;

        if (heads->failed || name < next || name >= d->name_count || name == d->metric_name)
            return false;
        width = series_column_width(dictionary_value_count(d, (uint32_t)name));
        column = reader_bytes(columns, (size_t)count * width);
        if (columns->failed || !column_is_good((const uint8_t *)column.ptr, width, (uint32_t)count,
                                               dictionary_value_count(d, (uint32_t)name)))
            return false;
        names[i] = (uint32_t)name;
        starts[i] = (const uint8_t *)column.ptr;
        next = name + 1;
    }
    out->metric = (uint32_t)metric;
    out->count = (uint32_t)count;
    out->label_count = (uint32_t)labels;
    out->names = names;
    out->columns = starts;
    return true;
}

uint32_t series_row(const Dictionary *d, const SeriesGroup *group, uint32_t i, uint32_t *pairs) {
    uint32_t count = 0;
    bool metric_due = group->metric > 0;

    for (uint32_t l = 0; l < group->label_count; l++) {
        uint32_t name = group->names[l];
        uint32_t value = series_column_get(group->columns[l],
                                           series_column_width(dictionary_value_count(d, name)), i);

        if (metric_due && name > d->metric_name) {
            pairs[count++] = d->first[d->metric_name] + group->metric - 1;
            metric_due = false;
        }
        if (value > 0) pairs[count++] = d->first[name] + value - 1;
    }
    if (metric_due) pairs[count++] = d->first[d->metric_name] + group->metric - 1;
    return count;
}

/* Rows of all groups. Column by column would be fewer instructions, row by row is fewer misses. */
static ErrCode make_rows(const Dictionary *d, Arena *arena, SeriesIndex *index, Error *err) {
    uint32_t *starts = arena_alloc(arena, ((size_t)index->series_count + 1) * sizeof *starts);
    size_t cells = 0, used = 0;
    uint32_t *rows;

    for (uint32_t g = 0; g < index->group_count; g++)
        cells += (size_t)index->groups[g].count * (index->groups[g].label_count + 1);
    if (cells > UINT32_MAX) return error_set(err, ERR_LIMIT, "series index: too many labels");
    rows = arena_alloc(arena, cells * sizeof *rows + 1);
    if (starts == NULL || rows == NULL)
        return error_set(err, ERR_LIMIT, "no memory for an index of %u series",
                         index->series_count);
    for (uint32_t g = 0; g < index->group_count; g++) {
        const SeriesGroup *group = &index->groups[g];

        for (uint32_t i = 0; i < group->count; i++) {
            starts[group->first + i] = (uint32_t)used;
            used += series_row(d, group, i, rows + used);
        }
    }
    starts[index->series_count] = (uint32_t)used;
    index->rows = rows;
    index->row_start = starts;
    return ERR_OK;
}

ErrCode series_index_decode(Str raw, const Dictionary *d, bool with_rows, Arena *arena,
                            SeriesIndex *out, Error *err) {
    Reader r = reader_of(raw), heads;
    uint64_t series = reader_varint(&r), groups = reader_varint(&r);
    uint32_t first = 0;
    SeriesGroup *list;
    bool no_memory = false;

    heads = reader_of(reader_prefixed(&r));
    /* A group's head takes three bytes at least. */
    if (r.failed || series > UINT32_MAX - 1 || groups > series || groups > reader_left(&heads) / 3)
        return error_set(err, ERR_CORRUPT, "series index: bad head");
    list = ARENA_ARRAY(arena, SeriesGroup, groups + 1);
    if (list == NULL) return error_set(err, ERR_LIMIT, "no memory for a series index");
    for (uint64_t g = 0; g < groups; g++) {
        if (!take_group(&heads, &r, d, arena, (uint32_t)series - first, &list[g], &no_memory))
            return no_memory ? error_set(err, ERR_LIMIT, "no memory for a series index")
                             : error_set(err, ERR_CORRUPT, "series index: bad group");
        list[g].first = first;
        first += list[g].count;
    }
    if (first != series || !reader_at_end(&heads) || !reader_at_end(&r))
        return error_set(err, ERR_CORRUPT, "series index: groups hold %u of %llu series", first,
                         (unsigned long long)series);
    *out = (SeriesIndex){
        .groups = list,
        .group_count = (uint32_t)groups,
        .series_count = (uint32_t)series,
    };
    return with_rows ? make_rows(d, arena, out, err) : ERR_OK;
}
