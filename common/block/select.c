/*
 * select.c: selections of metrics from a block: match, fetch the pages, point into them.
 *
 * What a selection is made of is allocated in a handful of arrays, whatever the number of series;
 * rows of labels and the dictionary are the cached index itself.
 */
#include "common/block/exemplars.h"
#include "common/block/logs.h"
#include "common/block/match.h"
#include "common/block/reader.h"

/* A selection in the making. */
typedef struct Selecting {
    PartReader reader;
    const BlockSelect *select;
    Arena *arena;
    Arena *scratch;   /* goes when the selection is made */
    uint32_t *series; /* the matching ones, by number */
    size_t series_count;
    bool all_times; /* the range holds all of the part */
} Selecting;

static ErrCode no_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory for a selection");
}

static bool overlaps(const BlockSelect *select, int64_t min_ms, int64_t max_ms) {
    return min_ms <= select->max_ms && max_ms >= select->min_ms;
}

static bool chunk_wanted(const Selecting *s, uint32_t chunk) {
    const ChunkIndex *index = s->reader.chunks;
    const TimesEntry *times = &index->times[index->chunks[chunk].times];

    return s->all_times || overlaps(s->select, times->min_ms, times->max_ms);
}

/* Opens the part and matches; *found is false when nothing can come of it. */
static ErrCode begin(Selecting *s, const Block *block, const BlockSelect *select, Arena *arena,
                     BlockStats *stats, bool *found, Error *err) {
    const BlockPart *part;

    s->select = select;
    s->arena = arena;
    TRY(part_open(block, select->tenant, SIGNAL_METRICS, arena, stats, &s->reader, found, err));
    if (!*found) return ERR_OK;
    part = &s->reader.part->part;
    *found = overlaps(select, part->min_ms, part->max_ms);
    if (!*found) return ERR_OK;
    s->all_times = select->min_ms <= part->min_ms && select->max_ms >= part->max_ms;
    TRY(part_load(&s->reader, LOAD_INDEX, err));
    return series_match(s->reader.dictionary, s->reader.series, select->matchers,
                        select->matcher_count, s->scratch, &s->series, &s->series_count, err);
}

/* Drops series without samples in the range; how many chunks the others have there. */
static size_t keep_series_in_range(Selecting *s) {
    const ChunkIndex *index = s->reader.chunks;
    size_t kept = 0, chunks = 0;

    if (s->all_times && index->chunk_start == NULL) return s->series_count; /* one each */
    for (size_t i = 0; i < s->series_count; i++) {
        uint32_t series = s->series[i], wanted = 0;

        for (uint32_t c = chunk_index_start(index, series);
             c < chunk_index_start(index, series + 1); c++)
            wanted += chunk_wanted(s, c);
        s->series[kept] = series;
        kept += wanted > 0;
        chunks += wanted;
    }
    s->series_count = kept;
    return chunks;
}

/* Series with their labels and no chunks yet. */
static ErrCode make_series(const Selecting *s, MetricsSelection *out, SelectedSeries **list,
                           Error *err) {
    const SeriesIndex *index = s->reader.series;
    SelectedSeries *to = arena_alloc(s->arena, (s->series_count + 1) * sizeof *to);

    if (to == NULL) return no_memory(err);
    for (size_t i = 0; i < s->series_count; i++) {
        uint32_t series = s->series[i], start = index->row_start[series];

        to[i] = (SelectedSeries){
            .pairs = index->rows + start,
            .pair_count = index->row_start[series + 1] - start,
        };
    }
    *list = to;
    *out = (MetricsSelection){
        .pairs = s->reader.dictionary->pairs,
        .pair_count = s->reader.dictionary->pair_count,
        .series = to,
        .series_count = s->series_count,
    };
    return ERR_OK;
}

/* The pages that hold the selection's chunks and their times. */
static ErrCode fetch(Selecting *s, const char ***pages, Error *err) {
    const ChunkIndex *index = s->reader.chunks;
    bool *needed = ARENA_ARRAY(s->scratch, bool, (size_t)index->page_count + 1);

    *pages = ARENA_ARRAY(s->scratch, const char *, (size_t)index->page_count + 1);
    if (needed == NULL || *pages == NULL) return no_memory(err);
    for (size_t i = 0; i < s->series_count; i++) {
        uint32_t end = chunk_index_start(index, s->series[i] + 1);

        for (uint32_t c = chunk_index_start(index, s->series[i]); c < end; c++) {
            if (!chunk_wanted(s, c)) continue;
            needed[index->chunks[c].place.page] = true;
            needed[index->times[index->chunks[c].times].place.page] = true;
        }
    }
    return part_load_pages(&s->reader, needed, *pages, err);
}

static Str in_page(const char *const *pages, const DataPlace *place) {
    return (Str){pages[place->page] + place->offset, place->length};
}

/* Columns of times that the selection uses, each once. */
typedef struct TimesMade {
    TimesColumn **by_number; /* NULL until used */
    TimesColumn *columns;
    size_t count;
} TimesMade;

static const TimesColumn *get_times(const Selecting *s, TimesMade *made, const char *const *pages,
                                    uint32_t number) {
    const TimesEntry *entry = &s->reader.chunks->times[number];
    TimesColumn *column = made->by_number[number];

    if (column != NULL) return column;
    column = made->by_number[number] = &made->columns[made->count++];
    *column = (TimesColumn){
        .bytes = in_page(pages, &entry->place),
        .min_ms = entry->min_ms,
        .max_ms = entry->max_ms,
        .count = entry->count,
        .id = s->reader.times_id + number,
    };
    return column;
}

static ErrCode make_chunks(Selecting *s, size_t chunk_count, SelectedSeries *list, Error *err) {
    const ChunkIndex *index = s->reader.chunks;
    ChunkView *view = arena_alloc(s->arena, (chunk_count + 1) * sizeof *view);
    size_t columns = MIN(chunk_count, (size_t)index->times_count);
    TimesMade made = {0};
    const char **pages;

    made.by_number = ARENA_ARRAY(s->scratch, TimesColumn *, (size_t)index->times_count + 1);
    made.columns = arena_alloc(s->arena, (columns + 1) * sizeof *made.columns);
    if (view == NULL || made.by_number == NULL || made.columns == NULL) return no_memory(err);
    TRY(fetch(s, &pages, err));
    for (size_t i = 0; i < s->series_count; i++) {
        uint32_t end = chunk_index_start(index, s->series[i] + 1);

        list[i].chunks = view;
        for (uint32_t c = chunk_index_start(index, s->series[i]); c < end; c++) {
            const TimesColumn *times;

            if (!chunk_wanted(s, c)) continue;
            times = get_times(s, &made, pages, index->chunks[c].times);
            *view++ = (ChunkView){
                .times = times,
                .bytes = in_page(pages, &index->chunks[c].place),
                .min_ms = times->min_ms,
                .max_ms = times->max_ms,
                .count = times->count,
                .kind = index->kinds == NULL ? CHUNK_FLOATS : index->kinds[c],
                .in_order = true,
            };
        }
        list[i].chunk_count = (uint32_t)(view - list[i].chunks);
    }
    stats_add(&s->reader.stats->chunks, chunk_count);
    return ERR_OK;
}

ErrCode block_metrics_select(const Block *block, const BlockSelect *select, Arena *arena,
                             BlockStats *stats, MetricsSelection *out, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(arena));
    Selecting s = {.scratch = scratch};
    MetricsSelection made = {0};
    SelectedSeries *list;
    size_t chunk_count;
    bool found;

    TRY(begin(&s, block, select, arena, stats, &found, err));
    if (found) {
        chunk_count = keep_series_in_range(&s);
        TRY(make_series(&s, &made, &list, err));
        if (!select->labels_only) TRY(make_chunks(&s, chunk_count, list, err));
    }
    *out = made;
    return ERR_OK;
}

/* ---------- labels ---------- */

static ErrCode labels_of(const Block *block, Str tenant, Signal signal, Str name, Arena *arena,
                         BlockStats *stats, Str **out, size_t *count, Error *err) {
    const Dictionary *d;
    PartReader reader;
    uint32_t number, first;
    size_t n;
    bool found;
    Str *list;

    TRY(part_open(block, tenant, signal, arena, stats, &reader, &found, err));
    if (found) TRY(part_load(&reader, LOAD_DICTIONARY, err));
    d = found ? reader.dictionary : NULL;
    number = found && name.len > 0 ? dictionary_find_name(d, name) : 0;
    if (!found || (name.len > 0 && number == d->name_count)) {
        *out = NULL;
        *count = 0;
        return ERR_OK;
    }
    n = name.len == 0 ? d->name_count : dictionary_value_count(d, number);
    first = name.len == 0 ? 0 : d->first[number];
    list = ARENA_ARRAY(arena, Str, n + 1);
    if (list == NULL) return no_memory(err);
    for (size_t i = 0; i < n; i++)
        list[i] = name.len == 0 ? d->names[i] : d->pairs[first + i].value;
    *out = list;
    *count = n;
    return ERR_OK;
}

ErrCode block_metrics_labels(const Block *block, Str tenant, Str name, Arena *arena,
                             BlockStats *stats, Str **out, size_t *count, Error *err) {
    return labels_of(block, tenant, SIGNAL_METRICS, name, arena, stats, out, count, err);
}

ErrCode block_logs_labels(const Block *block, Str tenant, Str name, Arena *arena, BlockStats *stats,
                          Str **out, size_t *count, Error *err) {
    return labels_of(block, tenant, SIGNAL_LOGS, name, arena, stats, out, count, err);
}

/* ---------- exemplars ---------- */

/* Entries of the series selected, in the range; others are dropped. Both are in order of series. */
static size_t keep_entries(Selecting *s, ExemplarEntry *entries, size_t count) {
    size_t kept = 0, series = 0, kept_series = 0;

    for (size_t e = 0; e < count; e++) {
        while (series < s->series_count && s->series[series] < entries[e].series) series++;
        if (series == s->series_count) break;
        if (s->series[series] != entries[e].series ||
            !overlaps(s->select, entries[e].min_ms, entries[e].max_ms))
            continue;
        entries[kept++] = entries[e];
        if (kept_series == 0 || s->series[kept_series - 1] != entries[e].series)
            s->series[kept_series++] = entries[e].series;
    }
    s->series_count = kept_series;
    return kept;
}

/* Appends those of one entry that are in the range. */
static ErrCode take_exemplars(Selecting *s, const ExemplarEntry *entry, Str bytes,
                              SelectedExemplar *out, size_t *count, Error *err) {
    int64_t *times = ARENA_ARRAY(s->scratch, int64_t, entry->count);
    double *values = ARENA_ARRAY(s->scratch, double, entry->count);

    if (times == NULL || values == NULL) return no_memory(err);
    return exemplars_decode(bytes, entry->count, s->select->min_ms, s->select->max_ms, times,
                            values, out, count, err);
}

static ErrCode make_exemplars(Selecting *s, ExemplarEntry *entries, size_t entry_count,
                              const SelectedExemplar **lists, size_t *counts, Error *err) {
    const ChunkIndex *index = s->reader.chunks;
    bool *needed = ARENA_ARRAY(s->scratch, bool, (size_t)index->page_count + 1);
    const char **pages = ARENA_ARRAY(s->scratch, const char *, (size_t)index->page_count + 1);
    size_t total = 0, e = 0;
    SelectedExemplar *next;

    if (needed == NULL || pages == NULL) return no_memory(err);
    for (size_t i = 0; i < entry_count; i++) {
        needed[entries[i].place.page] = true;
        total += entries[i].count;
    }
    next = ARENA_ARRAY(s->arena, SelectedExemplar, total + 1);
    if (next == NULL) return no_memory(err);
    TRY(part_load_pages(&s->reader, needed, pages, err));
    for (size_t i = 0; i < s->series_count; i++) {
        lists[i] = next;
        for (; e < entry_count && entries[e].series == s->series[i]; e++)
            TRY(take_exemplars(s, &entries[e], in_page(pages, &entries[e].place),
                               (SelectedExemplar *)lists[i], &counts[i], err));
        next += counts[i];
    }
    return ERR_OK;
}

ErrCode block_metrics_exemplars_read(const Block *block, const BlockSelect *select, Arena *arena,
                                     BlockStats *stats, MetricsSelection *out_series,
                                     const SelectedExemplar ***exemplars, size_t **counts,
                                     Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(arena));
    Selecting s = {.scratch = scratch};
    const SelectedExemplar **lists;
    ExemplarEntry *entries = NULL;
    size_t entry_count = 0, *list_counts;
    SelectedSeries *list;
    bool found;
    Str raw;

    TRY(begin(&s, block, select, arena, stats, &found, err));
    if (found) TRY(part_read_blob(&s.reader, SECTION_METRICS_EXEMPLARS, &raw, &found, err));
    if (!found) {
        *out_series = (MetricsSelection){0};
        *exemplars = NULL;
        *counts = NULL;
        return ERR_OK;
    }
    TRY(exemplar_index_decode(raw, s.reader.chunks, scratch, &entries, &entry_count, err));
    entry_count = keep_entries(&s, entries, entry_count);
    lists = ARENA_ARRAY(arena, const SelectedExemplar *, s.series_count + 1);
    list_counts = ARENA_ARRAY(arena, size_t, s.series_count + 1);
    if (lists == NULL || list_counts == NULL) return no_memory(err);
    TRY(make_exemplars(&s, entries, entry_count, lists, list_counts, err));
    TRY(make_series(&s, out_series, &list, err));
    *exemplars = lists;
    *counts = list_counts;
    return ERR_OK;
}

/* ---------- metadata ---------- */

ErrCode block_metrics_metadata_read(const Block *block, Str tenant, Arena *arena, BlockStats *stats,
                                    MetadataItem **out, size_t *count, Error *err) {
    PartReader reader;
    bool found;
    Str raw;

    TRY(part_open(block, tenant, SIGNAL_METRICS, arena, stats, &reader, &found, err));
    if (found) TRY(part_read_blob(&reader, SECTION_METRICS_METADATA, &raw, &found, err));
    if (found) return metadata_decode(raw, arena, out, count, err);
    *out = NULL;
    *count = 0;
    return ERR_OK;
}
