/*
 * stream_counts.c: how many entries delete requests leave of pages that they are about in part, for
 * who counts entries and bytes by the index.
 */
#include "querier/fetch/streams.h"

enum { PAGES_MAX = 256 }; /* read by one query: about a tenth of a second */

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "the query's memory limit is reached");
}

void fetch_counter_done(KeptCounter *counter) {
    log_decoder_free(counter->decoder);
    log_cutter_free(counter->cutter);
    *counter = (KeptCounter){0};
}

static ErrCode count_page(KeptCounter *counter, const PageRef *ref, Arena *arena, StreamUnit *unit,
                          Error *err) {
    LogView view = {0};
    size_t kept;
    bool *keep;

    TRY(log_page_read(counter->decoder, ref->selection, ref->page, NULL,
                      LOG_TIMES | LOG_LINES | LOG_METADATA, INT64_MIN, INT64_MAX, &view, err));
    keep = arena_alloc(arena, MAX(view.count, 1) * sizeof *keep);
    if (keep == NULL) return out_of_memory(err);
    LogCutRows rows = {view.times_ns, view.lines, view.metadata, view.count};

    TRY(log_cutter_run(counter->cutter, ref->cuts->items, ref->cuts->count, ref->cuts->labels,
                       &rows, keep, &kept, err));
    for (size_t i = 0; i < view.count; i++) {
        if (!keep[i]) continue;
        unit->entries++;
        unit->bytes += view.lines[i].len + (view.metadata == NULL ? 0 : view.metadata[i].len);
    }
    return ERR_OK;
}

ErrCode fetch_count_kept(KeptCounter *counter, QueryContext *query, const PageRef *ref,
                         StreamUnit *unit, Error *err) {
    Budget *budget = arena_budget(query->arena);
    CLEANUP(arena_free) Arena *arena = NULL;

    TRY(query_check(query, err));
    if (counter->pages++ >= PAGES_MAX) {
        unit->entries += ref->page->count;
        unit->bytes += ref->page->raw_bytes;
        return ERR_OK;
    }
    arena = arena_new(0, budget);
    if (counter->decoder == NULL) counter->decoder = log_decoder_new(budget);
    if (counter->cutter == NULL) counter->cutter = log_cutter_new(budget);
    if (arena == NULL || counter->decoder == NULL || counter->cutter == NULL)
        return out_of_memory(err);
    return count_page(counter, ref, arena, unit, err);
}
