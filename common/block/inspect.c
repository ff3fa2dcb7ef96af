/*
 * inspect.c: all of an object, looked at: every checksum, every page, every column.
 *
 * The first thing that is wrong ends it with an error that says where. What is printed up to there
 * stays in the output.
 */
#include <string.h>

#include "common/block/exemplars.h"
#include "common/block/log_filter.h"
#include "common/block/log_page.h"
#include "common/block/reader.h"

typedef struct Inspection {
    Str object;
    Buf *out;
    Arena *arena; /* of the part at hand */
    const ContainerPart *part;
    Dictionary dictionary;
    SeriesIndex series;
    ChunkIndex chunks;
    const char **pages; /* decoded */
} Inspection;

static const char *kind_name(uint8_t kind) {
    switch ((SectionKind)kind) {
    case SECTION_METRICS_DATA:
        return "data";
    case SECTION_METRICS_DICTIONARY:
        return "dictionary";
    case SECTION_METRICS_SERIES:
        return "series";
    case SECTION_METRICS_CHUNKS:
        return "chunks";
    case SECTION_METRICS_EXEMPLARS:
        return "exemplars";
    case SECTION_METRICS_METADATA:
        return "metadata";
    case SECTION_LOGS_DATA:
        return "data";
    case SECTION_LOGS_DICTIONARY:
        return "dictionary";
    case SECTION_LOGS_SERIES:
        return "streams";
    case SECTION_LOGS_PAGES:
        return "pages";
    case SECTION_LOGS_UUIDS:
        return "uuids";
    case SECTION_LOGS_HEX:
        return "hex ids";
    case SECTION_LOGS_LITERAL:
        return "literal";
    case SECTION_TRACES_DATA:
        return "data";
    case SECTION_TRACES_IDS:
        return "ids";
    case SECTION_TRACES_DIRECTORIES:
        return "directories";
    case SECTION_TRACES_VALUES:
        return "values";
    case SECTION_TRACES_PAGES:
        return "pages";
    case SECTION_TRACES_FILTER:
        return "filter";
    }
    return "unknown";
}

static Str section_bytes(const Inspection *in, const Section *section) {
    return str_slice(in->object, (size_t)section->offset, (size_t)section->length);
}

/* Sections of any kind are pages one after the other; how many. */
static ErrCode check_pages(Inspection *in, const Section *section, size_t *count, Error *err) {
    Str bytes = section_bytes(in, section);

    for (*count = 0; bytes.len > 0; ++*count) {
        CLEANUP(arena_free) Arena *scratch = arena_new(0, NULL);
        size_t stored;
        Str raw;

        TRY(page_decode(bytes, scratch, &raw, &stored, err));
        bytes = str_from(bytes, stored);
    }
    return ERR_OK;
}

static ErrCode inspect_section(Inspection *in, const Section *section, Error *err) {
    size_t pages = 0;

    if (check_pages(in, section, &pages, err) != ERR_OK)
        return error_wrap(err, "section %s at %llu", kind_name(section->kind),
                          (unsigned long long)section->offset);
    buf_printf(in->out, "  %-11s codec %u, at %llu: %llu bytes of %llu, %zu pages\n",
               kind_name(section->kind), section->codec, (unsigned long long)section->offset,
               (unsigned long long)section->length, (unsigned long long)section->raw_length, pages);
    return ERR_OK;
}

/* ---------- metrics ---------- */

static ErrCode read_section(Inspection *in, SectionKind kind, Str *raw, Error *err) {
    const Section *section = container_find_section(in->part, kind);

    TRY(section_check(section, err));
    return blob_decode(section_bytes(in, section), section, in->arena, raw, err);
}

static ErrCode read_index(Inspection *in, Error *err) {
    const Section *data = container_find_section(in->part, SECTION_METRICS_DATA);
    Str raw;

    TRY(section_check(data, err));
    TRY(read_section(in, SECTION_METRICS_DICTIONARY, &raw, err));
    TRY(dictionary_decode(raw, in->arena, &in->dictionary, err));
    TRY(read_section(in, SECTION_METRICS_SERIES, &raw, err));
    TRY(series_index_decode(raw, &in->dictionary, true, in->arena, &in->series, err));
    TRY(read_section(in, SECTION_METRICS_CHUNKS, &raw, err));
    TRY(chunk_index_decode(raw, data->offset, data->length, in->arena, &in->chunks, err));
    if (in->series.series_count != in->chunks.series_count)
        return error_set(err, ERR_CORRUPT, "%u series have labels, %u have chunks",
                         in->series.series_count, in->chunks.series_count);
    return ERR_OK;
}

static ErrCode decode_pages(Inspection *in, Error *err) {
    in->pages = ARENA_ARRAY(in->arena, const char *, (size_t)in->chunks.page_count + 1);
    if (in->pages == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    for (uint32_t i = 0; i < in->chunks.page_count; i++) {
        const DataPage *page = &in->chunks.pages[i];
        size_t stored;
        Str raw;

        TRY(page_decode(str_slice(in->object, (size_t)page->offset, page->stored), in->arena, &raw,
                        &stored, err));
        if (stored != page->stored || raw.len != page->raw)
            return error_set(err, ERR_CORRUPT, "page at %llu is not what the index says",
                             (unsigned long long)page->offset);
        in->pages[i] = raw.ptr;
    }
    return ERR_OK;
}

static Str in_page(const Inspection *in, const DataPlace *place) {
    return (Str){in->pages[place->page] + place->offset, place->length};
}

static ErrCode check_times(Inspection *in, Error *err) {
    for (uint32_t i = 0; i < in->chunks.times_count; i++) {
        CLEANUP(arena_free) Arena *scratch = arena_new(0, NULL);
        const TimesEntry *entry = &in->chunks.times[i];
        TimesColumn times = {in_page(in, &entry->place), entry->min_ms, entry->max_ms, entry->count,
                             i + 1};
        int64_t *to = ARENA_ARRAY(scratch, int64_t, entry->count);

        if (to == NULL) return error_set(err, ERR_LIMIT, "out of memory");
        TRY(times_decode(&times, to, err));
    }
    return ERR_OK;
}

/* How chunks are stored: how many of each mapping and predictor, and their bytes. */
typedef struct ChunkTally {
    uint64_t chunks, samples, bytes;
} ChunkTally;
enum { TALLY_CONSTANT, TALLY_WHOLE, TALLY_DECIMAL, TALLY_BITS, TALLY_HISTOGRAM, TALLIES };
static const char *const TALLY_NAMES[TALLIES] = {"constant", "whole numbers", "decimals",
                                                 "bits of doubles", "histograms"};

static int tally_of(Str bytes, uint8_t kind) {
    unsigned mapping = (uint8_t)bytes.ptr[0] >> 4;

    if (kind == CHUNK_HISTOGRAMS) return TALLY_HISTOGRAM;
    if (((uint8_t)bytes.ptr[0] & 15) == 0 && (uint8_t)bytes.ptr[1] == 0) return TALLY_CONSTANT;
    return mapping == 0 ? TALLY_WHOLE : mapping == 15 ? TALLY_BITS : TALLY_DECIMAL;
}

static ErrCode check_chunk(Inspection *in, uint32_t i, ChunkTally *tallies, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, NULL);
    const ChunkEntry *entry = &in->chunks.chunks[i];
    ChunkView view = {
        .bytes = in_page(in, &entry->place),
        .count = in->chunks.times[entry->times].count,
        .kind = in->chunks.kinds == NULL ? CHUNK_FLOATS : in->chunks.kinds[i],
    };
    const NativeHistogram **histograms;
    ChunkTally *tally;

    if (view.kind == CHUNK_FLOATS) {
        double *values = ARENA_ARRAY(scratch, double, view.count);

        if (values == NULL) return error_set(err, ERR_LIMIT, "out of memory");
        TRY(floats_decode(&view, values, err));
    } else {
        TRY(histograms_decode(&view, scratch, &histograms, err));
    }
    tally = &tallies[tally_of(view.bytes, view.kind)];
    tally->chunks++;
    tally->samples += view.count;
    tally->bytes += view.bytes.len;
    return ERR_OK;
}

static void print_metrics(Inspection *in, const ChunkTally *tallies) {
    Buf *out = in->out;

    buf_printf(out, "  labels     %u names, %u values, %u groups of series\n",
               in->dictionary.name_count, in->dictionary.pair_count, in->series.group_count);
    buf_printf(out, "  times      %u columns for %u chunks\n", in->chunks.times_count,
               in->chunks.chunk_count);
    for (int i = 0; i < TALLIES; i++) {
        if (tallies[i].chunks == 0) continue;
        buf_printf(out, "  %-16s %llu chunks, %llu samples, %.3f bytes each before zstd\n",
                   TALLY_NAMES[i], (unsigned long long)tallies[i].chunks,
                   (unsigned long long)tallies[i].samples,
                   (double)tallies[i].bytes / (double)tallies[i].samples);
    }
}

static ErrCode inspect_exemplars(Inspection *in, Error *err) {
    ExemplarEntry *entries;
    size_t count, total = 0;
    Str raw;

    if (container_find_section(in->part, SECTION_METRICS_EXEMPLARS) == NULL) return ERR_OK;
    TRY(read_section(in, SECTION_METRICS_EXEMPLARS, &raw, err));
    TRY(exemplar_index_decode(raw, &in->chunks, in->arena, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        CLEANUP(arena_free) Arena *scratch = arena_new(0, NULL);
        int64_t *times = ARENA_ARRAY(scratch, int64_t, entries[i].count);
        double *values = ARENA_ARRAY(scratch, double, entries[i].count);
        SelectedExemplar *list = ARENA_ARRAY(scratch, SelectedExemplar, entries[i].count);
        size_t got = 0;

        if (times == NULL || values == NULL || list == NULL)
            return error_set(err, ERR_LIMIT, "out of memory");
        TRY(exemplars_decode(in_page(in, &entries[i].place), entries[i].count, INT64_MIN, INT64_MAX,
                             times, values, list, &got, err));
        total += got;
    }
    buf_printf(in->out, "  exemplars  %zu\n", total);
    return ERR_OK;
}

static ErrCode inspect_metadata(Inspection *in, Error *err) {
    MetadataItem *items;
    size_t count;
    Str raw;

    if (container_find_section(in->part, SECTION_METRICS_METADATA) == NULL) return ERR_OK;
    TRY(read_section(in, SECTION_METRICS_METADATA, &raw, err));
    TRY(metadata_decode(raw, in->arena, &items, &count, err));
    buf_printf(in->out, "  metadata   of %zu metrics\n", count);
    return ERR_OK;
}

static ErrCode inspect_metrics(Inspection *in, Error *err) {
    ChunkTally tallies[TALLIES] = {0};
    uint64_t samples = 0;

    TRY(read_index(in, err));
    TRY(decode_pages(in, err));
    TRY(check_times(in, err));
    for (uint32_t i = 0; i < in->chunks.chunk_count; i++) TRY(check_chunk(in, i, tallies, err));
    for (int i = 0; i < TALLIES; i++) samples += tallies[i].samples;
    if (samples != in->part->part.items || in->series.series_count != in->part->part.series)
        return error_set(
            err, ERR_CORRUPT, "footer says %llu samples of %llu series, found %llu of %u",
            (unsigned long long)in->part->part.items, (unsigned long long)in->part->part.series,
            (unsigned long long)samples, in->series.series_count);
    print_metrics(in, tallies);
    TRY(inspect_exemplars(in, err));
    return inspect_metadata(in, err);
}

/* ---------- logs ---------- */

static ErrCode read_logs_index(Inspection *in, LogIndex *out, Error *err) {
    const Section *data = container_find_section(in->part, SECTION_LOGS_DATA);
    Str raw;

    TRY(section_check(data, err));
    TRY(read_section(in, SECTION_LOGS_DICTIONARY, &raw, err));
    TRY(dictionary_decode(raw, in->arena, &in->dictionary, err));
    TRY(read_section(in, SECTION_LOGS_SERIES, &raw, err));
    TRY(series_index_decode(raw, &in->dictionary, true, in->arena, &in->series, err));
    TRY(read_section(in, SECTION_LOGS_PAGES, &raw, err));
    TRY(log_index_decode(raw, data->offset, data->length, in->arena, out, err));
    if (in->series.series_count != out->stream_count)
        return error_set(err, ERR_CORRUPT, "%u streams have labels, %u have pages",
                         in->series.series_count, out->stream_count);
    return ERR_OK;
}

/* Decodes all of a page; *raw_bytes grows by what its entries are. */
static ErrCode check_log_page(Inspection *in, LogDecoder *decoder, const LogIndex *index,
                              uint32_t number, uint64_t *raw_bytes, Error *err) {
    const DataPage *page = &index->pages[number];
    LogPageRead read = {
        .rows = index->page_rows[number],
        .count = index->page_rows[number],
        .columns = LOG_LINES | LOG_METADATA | LOG_LENGTHS,
        .any_order = true,
    };
    CLEANUP(arena_free) Arena *scratch = arena_new(0, NULL);
    LogView view = {0};
    size_t stored;
    Str raw;

    TRY(page_decode(str_slice(in->object, (size_t)page->offset, page->stored), scratch, &raw,
                    &stored, err));
    if (stored != page->stored || raw.len != page->raw)
        return error_set(err, ERR_CORRUPT, "page at %llu is not what the index says",
                         (unsigned long long)page->offset);
    arena_reset(decoder->arena);
    TRY(log_page_decode(decoder, raw, &read, &view, err));
    for (size_t i = 0; i < view.count; i++)
        *raw_bytes += view.lines[i].len + (view.metadata == NULL ? 0 : view.metadata[i].len);
    return ERR_OK;
}

static ErrCode check_filters(Inspection *in, SectionKind kind, uint32_t pages, Error *err) {
    LogFilters filters = {0};
    Str raw;

    TRY(read_section(in, kind, &raw, err));
    TRY(log_filters_decode(raw, in->arena, &filters, err));
    if (filters.page_count != pages)
        return error_set(err, ERR_CORRUPT, "%u pages have filters instead of %u",
                         filters.page_count, pages);
    return ERR_OK;
}

static ErrCode check_literal(Inspection *in, uint32_t pages, Error *err) {
    LogLiteral literal = {0};
    Str raw;

    if (container_find_section(in->part, SECTION_LOGS_LITERAL) == NULL) return ERR_OK;
    TRY(read_section(in, SECTION_LOGS_LITERAL, &raw, err));
    TRY(log_literal_decode(raw, &literal, err));
    if (literal.page_count != pages)
        return error_set(err, ERR_CORRUPT, "%u pages have bits instead of %u", literal.page_count,
                         pages);
    return ERR_OK;
}

static ErrCode inspect_logs(Inspection *in, Error *err) {
    CLEANUP(log_decoder_free) LogDecoder *decoder = log_decoder_new(NULL);
    uint64_t entries = 0, raw_bytes = 0;
    LogIndex index;

    if (decoder == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    TRY(read_logs_index(in, &index, err));
    TRY(check_filters(in, SECTION_LOGS_UUIDS, index.page_count, err));
    TRY(check_filters(in, SECTION_LOGS_HEX, index.page_count, err));
    TRY(check_literal(in, index.page_count, err));
    for (uint32_t i = 0; i < index.page_count; i++) {
        TRY(check_log_page(in, decoder, &index, i, &raw_bytes, err));
        entries += index.page_rows[i];
    }
    if (entries != in->part->part.items || index.stream_count != in->part->part.series)
        return error_set(
            err, ERR_CORRUPT, "footer says %llu entries of %llu streams, found %llu of %u",
            (unsigned long long)in->part->part.items, (unsigned long long)in->part->part.series,
            (unsigned long long)entries, index.stream_count);
    buf_printf(in->out, "  labels     %u names, %u values\n", in->dictionary.name_count,
               in->dictionary.pair_count);
    buf_printf(
        in->out, "  pages      %u of %u streams in %u pieces, %llu raw bytes, %.3f of them\n",
        index.page_count, index.stream_count, index.piece_count, (unsigned long long)raw_bytes,
        raw_bytes == 0 ? 0 : (double)in->part->part.bytes / (double)raw_bytes);
    return ERR_OK;
}

/* ---------- traces ---------- */

typedef struct TracesIndex {
    SpanIndex pages;
    SpanValues values;
    SpanFilter filter;
    Str directories;
} TracesIndex;

static ErrCode read_traces_index(Inspection *in, TracesIndex *out, Error *err) {
    const Section *data = container_find_section(in->part, SECTION_TRACES_DATA);
    const Section *ids = container_find_section(in->part, SECTION_TRACES_IDS);
    Str raw;

    TRY(section_check(data, err));
    TRY(section_check(ids, err));
    TRY(read_section(in, SECTION_TRACES_PAGES, &raw, err));
    TRY(span_index_decode(raw, data->offset, data->length, in->arena, &out->pages, err));
    TRY(read_section(in, SECTION_TRACES_VALUES, &raw, err));
    TRY(span_values_decode(raw, out->pages.page_count, in->arena, &out->values, err));
    TRY(read_section(in, SECTION_TRACES_FILTER, &raw, err));
    TRY(span_filter_decode(raw, ids->offset, ids->length, in->arena, &out->filter, err));
    TRY(read_section(in, SECTION_TRACES_DIRECTORIES, &out->directories, err));
    if (out->directories.len != out->pages.directories)
        return error_set(err, ERR_CORRUPT, "directories of %zu bytes instead of %llu",
                         out->directories.len, (unsigned long long)out->pages.directories);
    return ERR_OK;
}

/* All that the ids say. */
static ErrCode read_places(Inspection *in, const TracesIndex *index, SpanTracePlace *places,
                           Error *err) {
    for (uint32_t i = 0; i < index->filter.page_count; i++) {
        CLEANUP(arena_free) Arena *scratch = arena_new(0, NULL);
        const SpanIdPage *page = &index->filter.pages[i];
        SpanIds ids;

        TRY(span_ids_take(str_slice(in->object, (size_t)page->offset, page->stored), page,
                          index->pages.page_count, in->arena, scratch, &ids, err));
        memcpy(places, ids.entries, ids.count * sizeof *places);
        places += ids.count;
    }
    return ERR_OK;
}

static bool is_placed(const SpanTracePlace *places, size_t count, uint64_t hash, uint32_t page) {
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (places[middle].hash < hash ||
            (places[middle].hash == hash && places[middle].page < page))
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && places[low].hash == hash && places[low].page == page;
}

/* Decodes all of a page, and looks its traces up. */
static ErrCode check_span_page(Inspection *in, const TracesIndex *index, uint32_t number,
                               const SpanTracePlace *places, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, NULL);
    const SpanNeed all = {.columns = SPAN_ALL, .all_keys = true};
    const DataPage *page = &index->pages.pages[number];
    const SpanPageEntry *entry = &index->pages.entries[number];
    int64_t min_ns = INT64_MAX, max_ns = INT64_MIN;
    SpanTable table = {0};
    WholePage whole = {0};

    TRY(span_page_take(str_slice(in->object, (size_t)page->offset, page->stored), page, entry,
                       scratch, &whole, err));
    if (entry->directory_bytes > 0 &&
        !str_equal(str_slice(whole.bytes, 0, whole.directory.bytes),
                   str_slice(index->directories, (size_t)entry->directory, entry->directory_bytes)))
        return error_set(err, ERR_CORRUPT, "the directory's copy is another's");
    TRY(span_page_decode(&whole.directory, &all, scratch, &table, err));
    for (uint32_t i = 0; i < table.trace_count; i++) {
        uint64_t hash = span_trace_hash(&table.traces[i].id);

        min_ns = MIN(min_ns, table.traces[i].start_ns);
        max_ns = MAX(max_ns, table.traces[i].end_ns);
        if (!span_filter_may_hold(&index->filter, hash) ||
            !is_placed(places, (size_t)index->filter.id_count, hash, number))
            return error_set(err, ERR_CORRUPT, "trace %u is not among the ids", i);
    }
    if (min_ns != entry->min_ns || max_ns != entry->max_ns)
        return error_set(err, ERR_CORRUPT, "its times are not what the index says");
    return ERR_OK;
}

static void print_traces(Inspection *in, const TracesIndex *index) {
    uint64_t values = 0, incomplete = 0;

    for (uint32_t i = 0; i < index->values.count; i++) {
        values += index->values.entries[i].value_count;
        incomplete += !index->values.entries[i].complete;
    }
    buf_printf(in->out, "  values     %u keys by scope and type, %llu values, of %llu keys none\n",
               index->values.count, (unsigned long long)values, (unsigned long long)incomplete);
    for (uint32_t i = 0; i < index->pages.page_count; i++) {
        const SpanPageEntry *e = &index->pages.entries[i];

        buf_printf(in->out, "  page %-5u %u spans of %u traces, %lld to %lld ns, %u bytes\n", i,
                   e->rows, e->traces, (long long)e->min_ns, (long long)e->max_ns,
                   index->pages.pages[i].stored);
    }
}

static ErrCode inspect_traces(Inspection *in, Error *err) {
    uint64_t spans = 0, traces = 0;
    SpanTracePlace *places;
    TracesIndex index;

    TRY(read_traces_index(in, &index, err));
    places = arena_array(in->arena, (size_t)index.filter.id_count + 1, sizeof *places);
    if (places == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    TRY(read_places(in, &index, places, err));
    for (uint32_t i = 0; i < index.pages.page_count; i++) {
        if (check_span_page(in, &index, i, places, err) != ERR_OK)
            return error_wrap(err, "page %u", i);
        spans += index.pages.entries[i].rows;
        traces += index.pages.entries[i].traces;
    }
    if (spans != in->part->part.items || traces != in->part->part.series ||
        traces != index.filter.id_count)
        return error_set(
            err, ERR_CORRUPT, "footer says %llu spans of %llu traces, found %llu of %llu",
            (unsigned long long)in->part->part.items, (unsigned long long)in->part->part.series,
            (unsigned long long)spans, (unsigned long long)traces);
    print_traces(in, &index);
    return ERR_OK;
}

static ErrCode inspect_part(Inspection *in, Error *err) {
    const BlockPart *p = &in->part->part;

    buf_printf(in->out,
               "tenant " STR_FMT ", %s: %llu series, %llu items, %lld to %lld ms, %llu bytes",
               STR_ARG(p->tenant), signal_name(p->signal), (unsigned long long)p->series,
               (unsigned long long)p->items, (long long)p->min_ms, (long long)p->max_ms,
               (unsigned long long)p->bytes);
    if (p->items > 0) buf_printf(in->out, ", %.3f an item", (double)p->bytes / (double)p->items);
    buf_append_byte(in->out, '\n');
    for (uint32_t i = 0; i < in->part->section_count; i++)
        TRY(inspect_section(in, &in->part->sections[i], err));
    switch (p->signal) {
    case SIGNAL_METRICS:
        return inspect_metrics(in, err);
    case SIGNAL_LOGS:
        return inspect_logs(in, err);
    case SIGNAL_TRACES:
        return inspect_traces(in, err);
    }
    return ERR_OK;
}

/* ---------- the object ---------- */

static ErrCode open_object(Str object, Arena *arena, Container *out, Error *err) {
    ContainerTail tail;

    if (object.len < CONTAINER_TAIL_BYTES ||
        memcmp(object.ptr, CONTAINER_MAGIC, CONTAINER_MAGIC_BYTES) != 0)
        return error_set(err, ERR_CORRUPT, "does not begin as a container does");
    TRY(container_tail_parse(str_from(object, object.len - CONTAINER_TAIL_BYTES), object.len, &tail,
                             err));
    return container_footer_parse(str_slice(object, (size_t)tail.footer_offset, tail.footer_stored),
                                  &tail, arena, out, err);
}

ErrCode block_inspect(Str object, Buf *out, Error *err) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    Container container;

    if (arena == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    TRY(open_object(object, arena, &container, err));
    buf_printf(out, "container version %d, created %lld ms, %zu bytes, footer %016llx, %zu parts\n",
               CONTAINER_VERSION, (long long)container.created_ms, object.len,
               (unsigned long long)container.checksum, container.part_count);
    for (size_t i = 0; i < container.part_count; i++) {
        CLEANUP(arena_free) Arena *scratch = arena_new(0, NULL);
        Inspection in = {
            .object = object, .out = out, .arena = scratch, .part = &container.parts[i]};

        if (inspect_part(&in, err) != ERR_OK)
            return error_wrap(err, "tenant " STR_FMT, STR_ARG(in.part->part.tenant));
    }
    return ERR_OK;
}
