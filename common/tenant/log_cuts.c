/*
 * log_cuts.c: requests by object, by stream and by entry. A query is compiled when the first object
 * asks for it, so that requests which were processed long ago cost a comparison.
 */
#include "common/tenant/log_cuts.h"

#include <stdlib.h>
#include <string.h>

#define NS_PER_MS INT64_C(1000000)

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "delete requests: out of memory");
}

static int64_t to_ns(int64_t ms) {
    int64_t ns;

    if (__builtin_mul_overflow(ms, NS_PER_MS, &ns)) return ms < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

ErrCode log_cuts_init(LogCuts *cuts, const LogCutLanguage *language,
                      const ManifestSnapshot *snapshot, Str tenant, uint64_t upto, Arena *arena,
                      Error *err) {
    const ManifestDelete *requests;
    size_t count;

    *cuts = (LogCuts){.arena = arena};
    if (language == NULL) return ERR_OK;
    requests = manifest_deletes(snapshot, &count);
    if (count == 0) return ERR_OK;
    cuts->items = ARENA_ARRAY(arena, LogCut, count);
    if (cuts->items == NULL) return out_of_memory(err);
    for (size_t i = 0; i < count; i++)
        if (requests[i].number <= upto && str_equal(requests[i].tenant, tenant))
            cuts->items[cuts->count++] = (LogCut){
                .request = &requests[i],
                .language = language,
                .min_ns = to_ns(requests[i].start_ms),
                .max_ns = to_ns(requests[i].end_ms),
            };
    return ERR_OK;
}

static ErrCode compile(LogCuts *cuts, LogCut *cut, Error *err) {
    if (cut->query != NULL) return ERR_OK;
    /* What a request means must be known before anything is shown that it may be about. */
    if (cut->language->compile(cut->request->query, cuts->arena, &cut->query, err) != ERR_OK)
        return error_wrap(err, "delete request " STR_FMT, STR_ARG(cut->request->id));
    return ERR_OK;
}

ErrCode log_cuts_of(LogCuts *cuts, uint64_t cleared, bool late, int64_t min_ns, int64_t max_ns,
                    LogCut *const **out, size_t *count, Error *err) {
    LogCut **found = NULL;
    size_t used = 0;

    *out = NULL;
    *count = 0;
    for (size_t i = 0; i < cuts->count; i++) {
        LogCut *cut = &cuts->items[i];

        if (cut->request->number <= cleared || cut->min_ns > max_ns || cut->max_ns < min_ns ||
            (cut->request->processed_ms != 0 && !late))
            continue;
        if (found == NULL) found = ARENA_ARRAY(cuts->arena, LogCut *, cuts->count);
        if (found == NULL) return out_of_memory(err);
        TRY(compile(cuts, cut, err));
        found[used++] = cut;
    }
    *out = found;
    *count = used;
    return ERR_OK;
}

static bool matches(const LogCut *cut, LabelPairs labels) {
    size_t count;
    const Matcher *matchers = cut->language->matchers(cut->query, &count);

    for (size_t i = 0; i < count; i++)
        if (!matcher_matches(&matchers[i], labels_get(labels, matchers[i].name))) return false;
    return true;
}

size_t log_cuts_of_stream(LogCut *const *cuts, size_t count, LabelPairs labels, LogCut **out) {
    size_t used = 0;

    for (size_t i = 0; i < count; i++)
        if (matches(cuts[i], labels)) out[used++] = cuts[i];
    return used;
}

bool log_cut_covers(const LogCut *cut, int64_t min_ns, int64_t max_ns) {
    return cut->min_ns <= min_ns && cut->max_ns >= max_ns && !cut->language->filters(cut->query);
}

/* ---------- entries ---------- */

typedef struct CutterWorker {
    const LogCut *cut;
    LogCutWorker *worker;
} CutterWorker;

struct LogCutter {
    Budget *budget;
    Arena *metadata; /* of the entries at hand */
    CutterWorker *workers;
    size_t count;
    size_t capacity;
};

LogCutter *log_cutter_new(Budget *budget) {
    LogCutter *cutter = calloc(1, sizeof *cutter);

    if (cutter == NULL) return NULL;
    cutter->budget = budget;
    cutter->metadata = arena_new(0, budget);
    if (cutter->metadata == NULL) {
        log_cutter_free(cutter);
        return NULL;
    }
    return cutter;
}

void log_cutter_free(LogCutter *cutter) {
    if (cutter == NULL) return;
    for (size_t i = 0; i < cutter->count; i++)
        cutter->workers[i].cut->language->worker_free(cutter->workers[i].worker);
    free(cutter->workers);
    arena_free(cutter->metadata);
    free(cutter);
}

static ErrCode worker_of(LogCutter *cutter, const LogCut *cut, LogCutWorker **out, Error *err) {
    for (size_t i = 0; i < cutter->count; i++)
        if (cutter->workers[i].cut == cut) {
            *out = cutter->workers[i].worker;
            return ERR_OK;
        }
    if (cutter->count == cutter->capacity) {
        size_t capacity = MAX(cutter->capacity * 2, (size_t)4);
        CutterWorker *grown = realloc(cutter->workers, capacity * sizeof *grown);

        if (grown == NULL) return out_of_memory(err);
        cutter->workers = grown;
        cutter->capacity = capacity;
    }
    TRY(cut->language->worker_new(cut->query, cutter->budget, out, err));
    cutter->workers[cutter->count++] = (CutterWorker){cut, *out};
    return ERR_OK;
}

static ErrCode run_filter(LogCutter *cutter, const LogCut *cut, LabelPairs labels,
                          const LogCutRows *rows, bool *keep, Error *err) {
    const LogCutLanguage *language = cut->language;
    LabelPairs pairs = {NULL, 0};
    Str decoded = {NULL, 0};
    LogCutWorker *worker;

    TRY(worker_of(cutter, cut, &worker, err));
    TRY(language->worker_stream(worker, labels, err));
    arena_reset(cutter->metadata);
    for (size_t i = 0; i < rows->count; i++) {
        Str metadata = rows->metadata == NULL ? (Str){NULL, 0} : rows->metadata[i];

        if (!keep[i] || rows->times_ns[i] < cut->min_ns || rows->times_ns[i] > cut->max_ns)
            continue;
        if (metadata.len == 0) {
            pairs = (LabelPairs){NULL, 0};
            decoded = (Str){NULL, 0};
        } else if (decoded.ptr == NULL || !str_equal(metadata, decoded)) {
            TRY(labels_decode(metadata, cutter->metadata, &pairs, err));
            decoded = metadata;
        }
        keep[i] = !language->worker_matches(worker, rows->times_ns[i], rows->lines[i], pairs);
    }
    return language->worker_error(worker, err);
}

ErrCode log_cutter_run(LogCutter *cutter, LogCut *const *cuts, size_t cut_count, LabelPairs labels,
                       const LogCutRows *rows, bool *keep, size_t *kept, Error *err) {
    size_t left = 0;

    for (size_t i = 0; i < rows->count; i++) keep[i] = true;
    for (size_t c = 0; c < cut_count; c++) {
        const LogCut *cut = cuts[c];

        if (cut->language->filters(cut->query)) {
            TRY(run_filter(cutter, cut, labels, rows, keep, err));
            continue;
        }
        for (size_t i = 0; i < rows->count; i++)
            if (rows->times_ns[i] >= cut->min_ns && rows->times_ns[i] <= cut->max_ns)
                keep[i] = false;
    }
    for (size_t i = 0; i < rows->count; i++) left += keep[i];
    *kept = left;
    return ERR_OK;
}
