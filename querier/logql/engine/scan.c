#include "querier/logql/engine/scan.h"

#include <stdlib.h>
#include <sys/sysinfo.h>

#include "querier/logql/engine/hints.h"

enum { WORKERS_MAX = 64 };

static LabelPairs *texts_of(LogqlEval *eval, const StreamSet *set) {
    LabelPairs *texts = ARENA_ARRAY(eval->arena, LabelPairs, MAX(set->count, 1));

    for (size_t i = 0; texts != NULL && i < set->count; i++) {
        LabelSet labels = set->labels[i];
        LabelPair *pairs = ARENA_ARRAY(eval->arena, LabelPair, MAX(labels.count, 1));

        if (pairs == NULL) return NULL;
        for (uint32_t n = 0; n < labels.count; n++)
            pairs[n] = (LabelPair){symbols_str(eval->symbols, labels.labels[n].name),
                                   symbols_str(eval->symbols, labels.labels[n].value)};
        texts[i] = (LabelPairs){pairs, labels.count};
    }
    return texts;
}

ErrCode scan_open(LogqlEval *eval, const LogqlLog *log, const RowPipeline *pipeline,
                  const StreamSelect *select, Scan *out, Error *err) {
    StreamSource *source = eval->params->source;

    *out = (Scan){.eval = eval, .pipeline = pipeline, .select = *select};
    out->select.matchers = log->matchers;
    out->select.matcher_count = log->matcher_count;
    out->select.stats = eval->params->stats;
    if (!logql_hints(eval->arena, log, &out->select)) return logql_out_of_memory(err);
    out->whole_batches = log->stage_count == 0 || out->select.needles_exact;
    if (log->stage_count > 0 && !out->select.needles_exact) out->select.need |= STREAM_NEED_LINES;
    if (row_pipeline_takes_parts(pipeline)) out->select.need |= STREAM_NEED_PARTS;
    TRY(source->select(source, eval->query, &out->select, &out->set, err));
    out->streams = texts_of(eval, &out->set);
    out->order = ARENA_ARRAY(eval->arena, uint32_t, MAX(out->set.unit_count, 1));
    if (out->streams == NULL || out->order == NULL) return logql_out_of_memory(err);
    for (uint32_t i = 0; i < out->set.unit_count; i++) out->order[i] = i;
    return ERR_OK;
}

size_t scan_workers(const Scan *scan) {
    Pool *pool = scan->eval->query->pool;
    size_t threads = pool == NULL ? 1 : (size_t)pool_threads(pool) + 1;

    /* Pages are there before they are read, so that threads beyond the cores would only learn
     * again what others know of shapes of lines. */
    threads = MIN(threads, (size_t)MAX(get_nprocs(), 2));
    return MAX(MIN(MIN(threads, scan->set.unit_count), WORKERS_MAX), 1);
}

/* ---- reading ---- */

typedef struct Reading {
    Scan *scan;
    const ScanReader *reader;
    void **workers;
    _Atomic size_t next; /* of scan->order */
    atomic_bool failed;
    ErrCode *codes; /* per worker */
    Error *errors;
} Reading;

/* One thread's own. */
typedef struct Thread {
    Scan *scan;
    const ScanReader *reader;
    void *what;
    RowWorker *worker;
    StreamScratch *scratch;
    uint64_t entries, line_bytes, metadata_bytes, kept;
} Thread;

static void count_batch(Thread *thread, const StreamBatch *batch) {
    thread->entries += batch->count;
    thread->line_bytes += batch->text_bytes;
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->lengths != NULL)
            thread->line_bytes += batch->lengths[i];
        else if (batch->lines != NULL)
            thread->line_bytes += batch->lines[i].len;
    }
}

static ErrCode read_entries(Thread *thread, const StreamBatch *batch, bool *stop, Error *err) {
    const ScanReader *reader = thread->reader;
    bool done = batch->needles_done;

    for (size_t i = 0; i < batch->count && !*stop; i++) {
        Str line = batch->lines == NULL ? (Str){"", 0} : batch->lines[i];
        LabelPairs metadata = batch->metadata == NULL ? (LabelPairs){0} : batch->metadata[i];
        Row row;

        if (reader->wanted != NULL && !reader->wanted(thread->what, batch->times[i], stop))
            continue;
        thread->metadata_bytes += metadata.count;
        if (batch->text != NULL
                ? !row_worker_run_text(thread->worker, batch->times[i], batch->text, batch->rows[i],
                                       metadata, done, &row)
                : !row_worker_run(thread->worker, batch->times[i], line, metadata, done, &row))
            continue;
        thread->kept++;
        TRY(reader->entry(thread->what, batch->times[i], &row, stop, err));
    }
    return ERR_OK;
}

static ErrCode read_unit(Thread *thread, uint32_t index, Error *err) {
    const StreamSet *set = &thread->scan->set;
    const StreamUnit *unit = &set->units[index];
    const ScanReader *reader = thread->reader;
    StreamReader *units = NULL;
    bool skip = false, stop = false;

    TRY(reader->unit(thread->what, unit, &skip, err));
    if (skip) return ERR_OK;
    TRY(row_worker_stream(thread->worker, thread->scan->streams[unit->stream], err));
    TRY(set->open(set, index, thread->scratch, &units, err));
    while (!stop) {
        StreamBatch batch = {0};

        TRY(query_check(thread->scan->eval->query, err));
        TRY(set->next(units, &batch, err));
        if (batch.count == 0) break;
        count_batch(thread, &batch);
        reader->fresh(thread->what);
        if (reader->batch != NULL && thread->scan->whole_batches &&
            (batch.needles_done || thread->scan->select.needle_count == 0)) {
            TRY(reader->batch(thread->what, &batch, err));
            thread->kept += batch.count;
        } else {
            TRY(read_entries(thread, &batch, &stop, err));
        }
        TRY(row_worker_error(thread->worker, err));
    }
    return ERR_OK;
}

static ErrCode thread_begin(Thread *thread, Error *err) {
    thread->scratch = thread->scan->set.scratch_new(&thread->scan->set, thread->scan->eval->query);
    if (thread->scratch == NULL) return logql_out_of_memory(err);
    return row_worker_new(thread->scan->pipeline, arena_budget(thread->scan->eval->arena),
                          &thread->worker, err);
}

static void thread_end(Thread *thread) {
    StreamStats *stats = thread->scan->select.stats;

    if (thread->scratch != NULL) thread->scan->set.scratch_free(thread->scratch);
    row_worker_free(thread->worker);
    if (stats == NULL) return;
    atomic_fetch_add(&stats->entries, thread->entries);
    atomic_fetch_add(&stats->line_bytes, thread->line_bytes);
    atomic_fetch_add(&stats->metadata_bytes, thread->metadata_bytes);
    atomic_fetch_add(&stats->entries_kept, thread->kept);
}

static void run_thread(void *what, size_t i) {
    Reading *reading = what;
    Scan *scan = reading->scan;
    Thread thread = {.scan = scan, .reader = reading->reader, .what = reading->workers[i]};
    ErrCode code = thread_begin(&thread, &reading->errors[i]);

    while (code == ERR_OK && !atomic_load(&reading->failed)) {
        size_t at = atomic_fetch_add(&reading->next, 1);

        if (at >= scan->set.unit_count) break;
        code = read_unit(&thread, scan->order[at], &reading->errors[i]);
    }
    if (code != ERR_OK) atomic_store(&reading->failed, true);
    reading->codes[i] = code;
    thread_end(&thread);
}

ErrCode scan_read(Scan *scan, const ScanReader *reader, void **workers, size_t count, Error *err) {
    Arena *arena = scan->eval->arena;
    Reading reading = {.scan = scan, .reader = reader, .workers = workers};

    if (scan->set.unit_count == 0) return ERR_OK;
    reading.codes = ARENA_ARRAY(arena, ErrCode, count);
    reading.errors = ARENA_ARRAY(arena, Error, count);
    if (reading.codes == NULL || reading.errors == NULL) return logql_out_of_memory(err);
    if (scan->set.prefetch != NULL)
        TRY(scan->set.prefetch(&scan->set, scan->order, scan->set.unit_count, err));
    if (scan->eval->query->pool == NULL || count == 1)
        for (size_t i = 0; i < count; i++) run_thread(&reading, i);
    else
        pool_each(scan->eval->query->pool, count, run_thread, &reading);
    for (size_t i = 0; i < count; i++) {
        if (reading.codes[i] == ERR_OK) continue;
        if (err != NULL) *err = reading.errors[i];
        return reading.codes[i];
    }
    return ERR_OK;
}
