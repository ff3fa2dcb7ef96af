#include "querier/traceql/engine/scan.h"

#include <sys/sysinfo.h>

enum {
    WORKERS_MAX = 64,
    UNIT_KEEP_BYTES = 8 << 20,
    /* What is fetched ahead stays in memory until the query ends; units behind these are fetched as
     * they are read. */
    AHEAD_SPANS_MAX = 1 << 20,
};

static void free_arena(void *arena) {
    arena_free(arena);
}

ErrCode trace_scan_arena(QueryContext *query, Arena **out, Error *err) {
    Arena *arena = arena_new(0, arena_budget(query->arena));

    if (arena == NULL) return traceql_out_of_memory(err);
    if (!arena_on_free(query->arena, free_arena, arena)) {
        arena_free(arena);
        return traceql_out_of_memory(err);
    }
    *out = arena;
    return ERR_OK;
}

ErrCode trace_scan_open(TraceScan *scan, TraceSource *source, QueryContext *query,
                        const TraceSelect *select, Error *err) {
    size_t threads = query->pool == NULL ? 1 : (size_t)pool_threads(query->pool) + 1;

    *scan = (TraceScan){.query = query};
    TRY(source->select(source, query, select, &scan->set, err));
    threads = MIN(threads, (size_t)MAX(get_nprocs(), 2));
    scan->workers = MAX(MIN(MIN(threads, scan->set.count), WORKERS_MAX), 1);
    scan->what = ARENA_ARRAY(query->arena, void *, scan->workers);
    scan->codes = ARENA_ARRAY(query->arena, ErrCode, scan->workers);
    scan->errors = ARENA_ARRAY(query->arena, Error, scan->workers);
    if (scan->what == NULL || scan->codes == NULL || scan->errors == NULL)
        return traceql_out_of_memory(err);
    return ERR_OK;
}

static void run_worker(void *what, size_t i) {
    TraceScan *scan = what;
    Error *err = &scan->errors[i];
    CLEANUP(arena_free) Arena *arena = arena_new(0, arena_budget(scan->query->arena));
    ErrCode code = arena == NULL ? traceql_out_of_memory(err) : ERR_OK;
    bool stop = false;

    if (arena != NULL) arena_keep(arena, UNIT_KEEP_BYTES);
    while (code == ERR_OK && !stop && !atomic_load(&scan->failed)) {
        size_t at = atomic_fetch_add(&scan->next, 1);

        if (at >= scan->set.count) break;
        code = query_check(scan->query, err);
        if (code == ERR_OK) code = scan->unit(scan->what[i], scan, (uint32_t)at, arena, &stop, err);
        arena_reset(arena);
    }
    if (code != ERR_OK) atomic_store(&scan->failed, true);
    scan->codes[i] = code;
}

ErrCode trace_scan_run(TraceScan *scan, bool prefetch, Error *err) {
    size_t count = scan->set.count;

    if (count == 0) return ERR_OK;
    if (prefetch && scan->set.prefetch != NULL) {
        uint32_t *units = ARENA_ARRAY(scan->query->arena, uint32_t, count);
        uint64_t spans = 0;
        uint32_t ahead = 0;

        if (units == NULL) return traceql_out_of_memory(err);
        for (; ahead < count; ahead++) {
            spans += scan->set.units[ahead].spans;
            if (spans > AHEAD_SPANS_MAX) break;
            units[ahead] = ahead;
        }
        if (ahead > 0) TRY(scan->set.prefetch(&scan->set, units, ahead, err));
    }
    if (scan->query->pool == NULL || scan->workers == 1)
        for (size_t i = 0; i < scan->workers; i++) run_worker(scan, i);
    else
        pool_each(scan->query->pool, scan->workers, run_worker, scan);
    for (size_t i = 0; i < scan->workers; i++) {
        if (scan->codes[i] == ERR_OK) continue;
        if (err != NULL) *err = scan->errors[i];
        return scan->codes[i];
    }
    return ERR_OK;
}
