/*
 * span_join_attributes.c: columns of attributes of several tables into those of one.
 *
 * A column is cut into pieces, the entries that lie in one run of rows, and the pieces are put one
 * behind the other in the order of the runs. Finding them costs as much as there are entries or
 * runs, whichever is less: there may be as many keys as spans.
 */
#include <string.h>

#include "common/block/span_join.h"

/* One column of one range. */
typedef struct Source {
    const AttributeColumn *column;
    uint32_t *map;        /* of texts: their codes to come */
    uint32_t first_piece; /* in order of entries */
    uint32_t piece_count;
    uint32_t next; /* source of the same draft; SPAN_NONE: the last */
} Source;

typedef struct Piece {
    uint32_t run;
    uint32_t from; /* entries [from, to) */
    uint32_t to;
} Piece;

typedef struct Columns {
    SpanJoin *j;
    AttributeDrafts drafts;
    const SpanRun **runs; /* of the range at hand, in order of where they come from */
    uint32_t run_count;
    Source *sources;
    uint32_t source_count;
    uint32_t *first_source; /* of each draft */
    Piece *pieces;
    uint32_t piece_count;
    uint32_t piece_capacity;
} Columns;

/* ---------- pieces ---------- */

/* The first of sorted v[] from `at` on that isn't below `least`: near `at`, mostly. */
static uint32_t seek(const uint32_t *v, uint32_t count, uint32_t at, uint32_t least) {
    uint32_t step = 1, low = at, high;

    while (at < count && v[at] < least) {
        low = at + 1;
        at = count - at > step ? at + step : count;
        step = MIN(step * 2, UINT32_MAX / 4);
    }
    for (high = MIN(at, count); low < high;) {
        uint32_t middle = low + (high - low) / 2;

        if (v[middle] < least)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The first entry from `at` on whose owner isn't below `least`. */
static uint32_t seek_entry(const AttributeColumn *c, uint32_t at, uint32_t least) {
    if (c->owners == NULL) return MIN(MAX(at, least), c->count);
    return seek(c->owners, c->count, at, least);
}

/* The first run from `at` on that ends behind `owner`. */
static uint32_t seek_run(const Columns *w, uint8_t scope, uint32_t at, uint32_t owner) {
    uint32_t step = 1, low = at, high;

    while (at < w->run_count && w->runs[at]->from[scope] + w->runs[at]->count[scope] <= owner) {
        low = at + 1;
        at = w->run_count - at > step ? at + step : w->run_count;
        step = MIN(step * 2, UINT32_MAX / 4);
    }
    for (high = at; low < high;) {
        uint32_t middle = low + (high - low) / 2;

        if (w->runs[middle]->from[scope] + w->runs[middle]->count[scope] <= owner)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool add_piece(Columns *w, Piece piece) {
    if (w->piece_count == w->piece_capacity) {
        uint32_t room = MAX(w->piece_capacity * 2, 64u);

        if (w->piece_capacity > UINT32_MAX / 4) return false;
        w->pieces = arena_grow(w->j->scratch, w->pieces, w->piece_capacity * sizeof *w->pieces,
                               room * sizeof *w->pieces);
        if (w->pieces == NULL) return false;
        w->piece_capacity = room;
    }
    w->pieces[w->piece_count++] = piece;
    return true;
}

/* Cuts a column into pieces, and counts what is in them. False: out of memory. */
static bool cut_column(Columns *w, Source *s, AttributeDraft *counted) {
    const AttributeColumn *c = s->column;
    uint32_t entry = 0, run = 0;

    s->first_piece = w->piece_count;
    while (entry < c->count) {
        uint32_t owner = c->owners == NULL ? entry : c->owners[entry], first, to;

        run = seek_run(w, c->scope, run, owner);
        if (run == w->run_count) break;
        first = w->runs[run]->from[c->scope];
        if (owner < first) entry = seek_entry(c, entry, first);
        to = seek_entry(c, entry, first + w->runs[run]->count[c->scope]);
        if (to > entry) {
            if (!add_piece(w, (Piece){(uint32_t)(w->runs[run] - w->j->runs), entry, to}))
                return false;
            counted->count += to - entry;
            if (c->starts != NULL) counted->elements += c->starts[to] - c->starts[entry];
        }
        entry = to;
        run++;
    }
    s->piece_count = w->piece_count - s->first_piece;
    return true;
}

/* The runs of a range, in order of where they come from. */
static bool take_runs(Columns *w, uint32_t range) {
    SpanJoin *j = w->j;
    SpanSortItem *items;
    bool in_order = true;

    w->run_count = 0;
    for (uint32_t i = 0; i < j->run_count; i++) {
        const SpanRun *run = &j->runs[i];

        if (run->range != range) continue;
        in_order &= w->run_count == 0 ||
                    w->runs[w->run_count - 1]->from[SCOPE_SPAN] < run->from[SCOPE_SPAN];
        w->runs[w->run_count++] = run;
    }
    if (in_order) return true;
    /* Traces of one table mostly come in its order. */
    items = arena_alloc(j->scratch, (size_t)w->run_count * 2 * sizeof *items);
    if (items == NULL) return false;
    for (uint32_t i = 0; i < w->run_count; i++)
        items[i] = (SpanSortItem){.rank = w->runs[i]->from[SCOPE_SPAN],
                                  .index = (uint32_t)(w->runs[i] - j->runs)};
    span_sort(items, items + w->run_count, w->run_count);
    for (uint32_t i = 0; i < w->run_count; i++) w->runs[i] = &j->runs[items[i].index];
    return true;
}

/* ---------- which columns there will be ---------- */

/* A column of which something is in the table to come. */
static bool add_source(Columns *w, const Source *cut, const AttributeDraft *counted) {
    const AttributeColumn *c = cut->column;
    Source *s = &w->sources[w->source_count];
    uint32_t before = w->drafts.count, draft;

    *s = *cut;
    draft = attribute_drafts_column(&w->drafts, (AttributeScope)c->scope, c->key, c->type);
    if (draft == SPAN_NONE) return false;
    s->next = draft < before ? w->first_source[draft] : SPAN_NONE;
    w->first_source[draft] = w->source_count++;
    w->drafts.items[draft].count += counted->count;
    w->drafts.items[draft].elements += counted->elements;
    if (!attribute_is_text(c->type)) return true;
    s->map = span_join_map(w->j, c->texts.distinct);
    return s->map != NULL;
}

static bool find_sources(Columns *w) {
    SpanJoin *j = w->j;
    size_t total = 0;

    for (size_t r = 0; r < j->range_count; r++) total += j->ranges[r].table->attribute_count;
    if (total >= UINT32_MAX) return false;
    w->sources = arena_alloc(j->scratch, total * sizeof *w->sources + 1);
    w->first_source = arena_alloc(j->scratch, total * sizeof *w->first_source + 1);
    w->runs = arena_alloc(j->scratch, j->run_count * sizeof *w->runs + 1);
    if (w->sources == NULL || w->first_source == NULL || w->runs == NULL) return false;
    for (uint32_t r = 0; r < j->range_count; r++) {
        const SpanTable *t = j->ranges[r].table;

        if (!take_runs(w, r)) return false;
        for (uint32_t i = 0; i < t->attribute_count; i++) {
            Source cut = {.column = &t->attributes[i]};
            AttributeDraft counted = {0};

            if (!cut_column(w, &cut, &counted)) return false;
            if (counted.count > 0 && !add_source(w, &cut, &counted)) return false;
        }
    }
    return true;
}

/* ---------- filling them ---------- */

static void copy_piece(const Source *s, const Piece *p, const SpanRun *run, AttributeFill *fill) {
    const AttributeColumn *c = s->column;
    uint32_t shift = run->to[c->scope] - run->from[c->scope], count = p->to - p->from;
    uint32_t value = c->starts == NULL ? p->from : c->starts[p->from], at = fill->elements;
    uint32_t values = c->starts == NULL ? count : c->starts[p->to] - value;
    size_t bytes = attribute_element_bytes(c->type);

    for (uint32_t i = 0; i < count && fill->owners != NULL; i++)
        fill->owners[fill->entries + i] =
            (c->owners == NULL ? p->from + i : c->owners[p->from + i]) + shift;
    for (uint32_t i = 0; i < count && c->starts != NULL; i++)
        fill->starts[fill->entries + i + 1] = c->starts[p->from + i + 1] - value + at;
    if (attribute_is_text(c->type))
        span_join_codes(&c->texts, value, values, s->map, &fill->texts, fill->codes + at);
    else
        memcpy((char *)fill->values + at * bytes, (const char *)c->truths + value * bytes,
               values * bytes);
    fill->entries += count;
    fill->elements += values;
}

/* All pieces of a draft in the order of their runs. `items` has room for twice as many. */
static void fill_column(const Columns *w, uint32_t draft, SpanSortItem *items,
                        AttributeFill *fill) {
    uint32_t count = 0;

    for (uint32_t s = w->first_source[draft]; s != SPAN_NONE; s = w->sources[s].next) {
        for (uint32_t i = 0; i < w->sources[s].piece_count; i++) {
            uint32_t piece = w->sources[s].first_piece + i;

            items[count++] =
                (SpanSortItem){.rank = w->pieces[piece].run, .high = s, .index = piece};
        }
    }
    span_sort(items, items + count, count);
    for (uint32_t i = 0; i < count; i++) {
        const Piece *piece = &w->pieces[items[i].index];

        copy_piece(&w->sources[items[i].high], piece, &w->j->runs[piece->run], fill);
    }
}

/* Texts and keys that the table's owner wants for itself. */
static bool own_columns(const SpanJoin *j, AttributeColumn *columns, uint32_t count) {
    for (uint32_t i = 0; i < count && j->own; i++) {
        if (attribute_is_text(columns[i].type) &&
            !span_join_texts(j, (Str *)columns[i].texts.dictionary, columns[i].texts.distinct))
            return false;
        columns[i].key = str_dup(j->arena, columns[i].key);
        if (columns[i].key.ptr == NULL) return false;
    }
    return true;
}

ErrCode span_join_attributes(SpanJoin *j, Error *err) {
    Columns w = {.j = j};
    AttributeColumn *columns;
    AttributeFill *fills;
    SpanSortItem *items;
    uint32_t most = 0;

    attribute_drafts_init(&w.drafts, j->scratch, j->seed);
    if (!find_sources(&w)) return span_no_memory(err);
    TRY(attribute_fills_new(&w.drafts, j->count, j->arena, &fills, &columns, err));
    for (uint32_t d = 0; d < w.drafts.count; d++) {
        uint32_t pieces = 0;

        for (uint32_t s = w.first_source[d]; s != SPAN_NONE; s = w.sources[s].next)
            pieces += w.sources[s].piece_count;
        most = MAX(most, pieces);
    }
    items = arena_alloc(j->scratch, (size_t)most * 2 * sizeof *items + 1);
    if (items == NULL) return span_no_memory(err);
    for (uint32_t d = 0; d < w.drafts.count; d++) fill_column(&w, d, items, &fills[d]);
    TRY(attribute_fills_done(fills, w.drafts.count, j->arena, err));
    if (!own_columns(j, columns, w.drafts.count)) return span_no_memory(err);
    j->out->attributes = columns;
    j->out->attribute_count = w.drafts.count;
    return ERR_OK;
}
