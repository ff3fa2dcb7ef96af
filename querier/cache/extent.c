/*
 * extent.c: what is written is measured first, by the same code without a place to write to.
 *
 *     Extent | notes | ExtentSeries[] | labels (two uint32_t each: numbers of strings) | strings:
 *     offsets, bytes | per series: present bits, values of the steps that have one, histograms
 */
#include "querier/cache/extent.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct ExtentSeries {
    const uint32_t *labels; /* pairs of name and value */
    uint32_t label_count;
    const uint64_t *present;  /* a bit a step; NULL: all */
    const double *values;     /* of the steps that have one, in order */
    const Hist *const *hists; /* one a step; NULL: no histograms */
} ExtentSeries;

struct Extent {
    _Atomic uint32_t refs;
    uint32_t string_count;
    Budget *budget;
    size_t bytes;
    size_t steps;
    size_t series_count;
    const ExtentSeries *series;
    const Str *strings;
    Str notes;
};

/* ---- a piece of memory, or only how large it must be ---- */

typedef struct Layout {
    char *base; /* NULL: measuring */
    size_t used;
} Layout;

static void *place(Layout *layout, size_t bytes) {
    char *at = layout->base == NULL ? NULL : layout->base + layout->used;

    layout->used += (bytes + 7) / 8 * 8;
    return at;
}

static void *place_copy(Layout *layout, const void *from, size_t bytes) {
    void *at = place(layout, bytes);

    if (at != NULL && bytes > 0) memcpy(at, from, bytes);
    return at;
}

/* ---- writing ---- */

typedef struct Writer {
    const PromqlResult *result;
    const Symbols *symbols;
    size_t from;
    size_t steps;
    Str notes;
    uint32_t *number_of; /* by symbol: its number here, plus one */
    uint32_t *symbol_of; /* the other way */
    uint32_t string_count;
    size_t series_count; /* with something in these steps */
    size_t label_count;
} Writer;

static bool has_bit(const uint64_t *bits, size_t i) {
    return bits[i / 64] >> (i % 64) & 1;
}

static size_t count_values(const Writer *writer, const PromqlSeries *series) {
    size_t count = 0, from = writer->from, end = from + writer->steps;

    while (from < end) {
        size_t in_word = MIN(64 - from % 64, end - from);
        uint64_t mask = in_word == 64 ? UINT64_MAX : ((UINT64_C(1) << in_word) - 1);

        count += (size_t)__builtin_popcountll(series->present[from / 64] >> (from % 64) & mask);
        from += in_word;
    }
    return count;
}

static bool any_hist(const Writer *writer, const PromqlSeries *series) {
    for (size_t s = 0; series->histograms != NULL && s < writer->steps; s++)
        if (series->histograms[writer->from + s] != NULL) return true;
    return false;
}

static void number_symbol(Writer *writer, uint32_t symbol) {
    if (writer->number_of[symbol] != 0) return;
    writer->symbol_of[writer->string_count++] = symbol;
    writer->number_of[symbol] = writer->string_count;
}

static bool writer_init(Writer *writer, const ResultSteps *what, Arena *scratch) {
    const PromqlResult *result = what->result;
    size_t symbol_count = symbols_count(what->symbols);

    *writer = (Writer){.result = result,
                       .symbols = what->symbols,
                       .from = what->from,
                       .steps = what->steps,
                       .notes = what->notes};
    writer->number_of = ARENA_ARRAY(scratch, uint32_t, symbol_count);
    writer->symbol_of = ARENA_ARRAY(scratch, uint32_t, symbol_count);
    if (writer->number_of == NULL || writer->symbol_of == NULL) return false;
    for (size_t i = 0; i < result->series_count; i++) {
        const PromqlSeries *series = &result->series[i];

        if (count_values(writer, series) == 0 && !any_hist(writer, series)) continue;
        writer->series_count++;
        writer->label_count += series->labels.count;
        for (uint32_t l = 0; l < series->labels.count; l++) {
            number_symbol(writer, series->labels.labels[l].name);
            number_symbol(writer, series->labels.labels[l].value);
        }
    }
    return true;
}

static const Str *write_strings(const Writer *writer, Layout *layout) {
    Str *strings = place(layout, writer->string_count * sizeof *strings);

    for (uint32_t i = 0; i < writer->string_count; i++) {
        Str s = symbols_str(writer->symbols, writer->symbol_of[i]);
        const char *copy = place_copy(layout, s.ptr, s.len);

        if (strings != NULL) strings[i] = (Str){copy, s.len};
    }
    return strings;
}

static HistBuckets write_buckets(Layout *layout, const HistBuckets *from) {
    const int32_t *index = place_copy(layout, from->index, from->n * sizeof *index);
    const double *count = place_copy(layout, from->count, from->n * sizeof *count);

    return (HistBuckets){index, count, from->n};
}

static const Hist *write_hist(Layout *layout, const Hist *from) {
    Hist *hist = place_copy(layout, from, sizeof *from);
    HistBuckets positive = write_buckets(layout, &from->positive);
    HistBuckets negative = write_buckets(layout, &from->negative);
    const double *bounds = place_copy(layout, from->bounds, from->bound_count * sizeof *bounds);

    if (hist == NULL) return NULL;
    hist->positive = positive;
    hist->negative = negative;
    hist->bounds = bounds;
    return hist;
}

/* A sample that counts at several steps stands there once. */
static const Hist *const *write_hists(const Writer *writer, Layout *layout,
                                      const PromqlSeries *series) {
    const Hist **hists = place(layout, writer->steps * sizeof *hists);
    const Hist *from = NULL, *copy = NULL;

    for (size_t s = 0; s < writer->steps; s++) {
        const Hist *hist = series->histograms[writer->from + s];

        if (hist != NULL && hist != from) {
            copy = write_hist(layout, hist);
            from = hist;
        }
        if (hists != NULL) hists[s] = hist == NULL ? NULL : copy;
    }
    return hists;
}

static void pack(const Writer *writer, const PromqlSeries *series, uint64_t *present,
                 double *values) {
    size_t used = 0;

    for (size_t s = 0; s < writer->steps; s++) {
        if (!has_bit(series->present, writer->from + s)) continue;
        if (present != NULL) present[s / 64] |= UINT64_C(1) << (s % 64);
        values[used++] = series->values[writer->from + s];
    }
}

static void write_samples(const Writer *writer, Layout *layout, const PromqlSeries *series,
                          ExtentSeries *out) {
    size_t count = count_values(writer, series);
    bool full = count == writer->steps;
    size_t present_bytes = full ? 0 : (writer->steps + 63) / 64 * sizeof(uint64_t);
    uint64_t *present = place(layout, present_bytes);
    double *values = place(layout, count * sizeof *values);
    const Hist *const *hists =
        any_hist(writer, series) ? write_hists(writer, layout, series) : NULL;

    if (out == NULL) return;
    if (full) {
        memcpy(values, series->values + writer->from, count * sizeof *values);
    } else {
        memset(present, 0, present_bytes);
        pack(writer, series, present, values);
    }
    out->present = full ? NULL : present;
    out->values = values;
    out->hists = hists;
}

/* The same twice: without a base it measures. */
static void write_extent(const Writer *writer, Layout *layout) {
    Extent *extent = place(layout, sizeof *extent);
    const char *notes = place_copy(layout, writer->notes.ptr, writer->notes.len);
    ExtentSeries *all = place(layout, writer->series_count * sizeof *all), *next = all;
    uint32_t *labels = place(layout, writer->label_count * 2 * sizeof *labels);
    const Str *strings = write_strings(writer, layout);

    for (size_t i = 0; i < writer->result->series_count; i++) {
        const PromqlSeries *series = &writer->result->series[i];
        LabelSet set = series->labels;

        if (count_values(writer, series) == 0 && !any_hist(writer, series)) continue;
        write_samples(writer, layout, series, next);
        if (next == NULL) continue;
        next->labels = labels;
        next->label_count = set.count;
        for (uint32_t l = 0; l < set.count; l++) {
            *labels++ = writer->number_of[set.labels[l].name] - 1;
            *labels++ = writer->number_of[set.labels[l].value] - 1;
        }
        next++;
    }
    if (extent == NULL) return;
    *extent = (Extent){.refs = 1,
                       .string_count = writer->string_count,
                       .bytes = layout->used,
                       .steps = writer->steps,
                       .series_count = writer->series_count,
                       .series = all,
                       .strings = strings,
                       .notes = {notes, writer->notes.len}};
}

size_t extent_bytes_of(const ResultSteps *what, Arena *scratch) {
    Layout layout = {0};
    Writer writer;

    if (!writer_init(&writer, what, scratch)) return 0;
    write_extent(&writer, &layout);
    return layout.used;
}

Extent *extent_new(const ResultSteps *what, size_t bytes_max, Budget *budget, Arena *scratch) {
    Layout layout = {0};
    Writer writer;
    size_t bytes;

    if (!writer_init(&writer, what, scratch)) return NULL;
    write_extent(&writer, &layout);
    bytes = layout.used;
    if (bytes > bytes_max || !budget_take(budget, bytes)) return NULL;
    layout = (Layout){.base = malloc(bytes)};
    if (layout.base == NULL) {
        budget_give(budget, bytes);
        return NULL;
    }
    write_extent(&writer, &layout);
    assert(layout.used == bytes);
    ((Extent *)(void *)layout.base)->budget = budget;
    return (Extent *)(void *)layout.base;
}

void extent_ref(Extent *extent) {
    atomic_fetch_add_explicit(&extent->refs, 1, memory_order_relaxed);
}

void extent_unref(Extent *extent) {
    Budget *budget;
    size_t bytes;

    if (extent == NULL) return;
    if (atomic_fetch_sub_explicit(&extent->refs, 1, memory_order_acq_rel) != 1) return;
    budget = extent->budget;
    bytes = extent->bytes;
    free(extent);
    budget_give(budget, bytes);
}

size_t extent_bytes(const Extent *extent) {
    return extent->bytes;
}

size_t extent_steps(const Extent *extent) {
    return extent->steps;
}

size_t extent_series(const Extent *extent) {
    return extent->series_count;
}

Str extent_notes(const Extent *extent) {
    return extent->notes;
}

/* ---- reading ---- */

bool extent_labels(const Extent *extent, Symbols *symbols, Arena *arena, LabelSet **out) {
    uint32_t *symbol_of = ARENA_ARRAY(arena, uint32_t, extent->string_count);
    LabelSet *sets = ARENA_ARRAY(arena, LabelSet, extent->series_count);
    size_t total = 0;
    Label *labels;

    for (size_t i = 0; i < extent->series_count; i++) total += extent->series[i].label_count;
    labels = ARENA_ARRAY(arena, Label, total);
    if (symbol_of == NULL || sets == NULL || labels == NULL) return false;
    for (uint32_t i = 0; i < extent->string_count; i++) {
        symbol_of[i] = symbols_add_borrowed(symbols, extent->strings[i]);
        if (symbol_of[i] == SYMBOL_NONE) return false;
    }
    for (size_t i = 0; i < extent->series_count; i++) {
        const ExtentSeries *series = &extent->series[i];

        sets[i] = (LabelSet){labels, series->label_count};
        for (uint32_t l = 0; l < series->label_count; l++)
            *labels++ =
                (Label){symbol_of[series->labels[2 * l]], symbol_of[series->labels[2 * l + 1]]};
    }
    *out = sets;
    return true;
}

/* Bits before `end`. */
static size_t rank(const uint64_t *bits, size_t end) {
    size_t count = 0;

    for (size_t w = 0; w < end / 64; w++) count += (size_t)__builtin_popcountll(bits[w]);
    if (end % 64 != 0)
        count += (size_t)__builtin_popcountll(bits[end / 64] & ((UINT64_C(1) << (end % 64)) - 1));
    return count;
}

static bool read_floats(const ExtentSeries *series, size_t from, size_t steps, size_t at,
                        double *values, uint64_t *present) {
    const double *next;
    bool any = false;

    if (series->present == NULL) {
        memcpy(values + at, series->values + from, steps * sizeof *values);
        for (size_t s = at; s < at + steps; s++) present[s / 64] |= UINT64_C(1) << (s % 64);
        return steps > 0;
    }
    next = series->values + rank(series->present, from);
    for (size_t s = 0; s < steps; s++) {
        if (!has_bit(series->present, from + s)) continue;
        values[at + s] = *next++;
        present[(at + s) / 64] |= UINT64_C(1) << ((at + s) % 64);
        any = true;
    }
    return any;
}

bool extent_read(const Extent *extent, size_t number, size_t from, size_t steps, size_t at,
                 double *values, uint64_t *present, const Hist **hists) {
    const ExtentSeries *series = &extent->series[number];
    bool any;

    assert(from + steps <= extent->steps);
    any = read_floats(series, from, steps, at, values, present);
    for (size_t s = 0; series->hists != NULL && s < steps; s++) {
        hists[at + s] = series->hists[from + s];
        any = any || hists[at + s] != NULL;
    }
    return any;
}

bool extent_has_hists(const Extent *extent, size_t series) {
    return extent->series[series].hists != NULL;
}
