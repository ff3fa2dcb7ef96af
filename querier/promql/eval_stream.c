/*
 * eval_stream.c: columns, vectors, workers, and parallel work over streams.
 */
#include <stdlib.h>

#include "querier/promql/eval_internal.h"

struct VectorMemory {
    VectorMemory *next;
    VectorMemory **link;
    Arena *arena;
};

enum { SERIES_PER_PART_MIN = 256, PARTS_MAX = 64, CHECK_EVERY = 1 << 14, HOLD_EVERY = 1 << 14 };

void bits_fill(uint64_t *bits, uint32_t count) {
    uint32_t words = count / 64;

    memset(bits, 0xff, words * sizeof *bits);
    if (count % 64 != 0) bits[words] = (UINT64_C(1) << (count % 64)) - 1;
}

bool bits_are_full(const uint64_t *bits, uint32_t count) {
    for (uint32_t w = 0; w < count / 64; w++)
        if (bits[w] != UINT64_MAX) return false;
    return count % 64 == 0 || bits[count / 64] == (UINT64_C(1) << (count % 64)) - 1;
}

bool bits_any(const uint64_t *bits, uint32_t words) {
    for (uint32_t w = 0; w < words; w++)
        if (bits[w] != 0) return true;
    return false;
}

ErrCode eval_out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "the query needs more memory than it may use");
}

ErrCode eval_hold(Eval *eval, uint64_t samples, Error *err) {
    QueryContext *query = eval->query;
    uint64_t held = atomic_fetch_add(&query->samples_held, samples) + samples;
    uint64_t peak = atomic_load(&query->samples_peak);

    while (held > peak && !atomic_compare_exchange_weak(&query->samples_peak, &peak, held)) {
    }
    if (query->samples_max == 0 || held <= query->samples_max) return ERR_OK;
    return error_set(err, ERR_LIMIT,
                     "query processing would load too many samples into memory in query execution");
}

void eval_release(Eval *eval, uint64_t samples) {
    atomic_fetch_sub(&eval->query->samples_held, samples);
}

uint32_t eval_new_slot(Eval *eval) {
    return eval->slot_count++;
}

void *worker_slot(Worker *worker, uint32_t slot, size_t bytes) {
    if (slot >= worker->slot_count) {
        uint32_t count = MAX(slot + 8, worker->slot_count * 2);
        void **slots = arena_grow(worker->kept, worker->slots, worker->slot_count * sizeof(void *),
                                  count * sizeof(void *));

        if (slots == NULL) return NULL;
        memset(slots + worker->slot_count, 0, (count - worker->slot_count) * sizeof(void *));
        worker->slots = slots;
        worker->slot_count = count;
    }
    if (worker->slots[slot] == NULL) worker->slots[slot] = arena_zalloc(worker->kept, bytes);
    return worker->slots[slot];
}

ErrCode worker_check(Worker *worker, uint32_t work, Error *err) {
    worker->since_check += work + 16;
    if (worker->since_check < CHECK_EVERY) return ERR_OK;
    worker->since_check = 0;
    return query_check(worker->eval->query, err);
}

static Worker *worker_new(Eval *eval) {
    Worker *worker = calloc(1, sizeof *worker);
    Budget *budget = arena_budget(eval->arena);

    if (worker == NULL) return NULL;
    worker->eval = eval;
    worker->scratch = series_scratch_new(eval->query);
    worker->kept = arena_new(0, budget);
    worker->series = arena_new(0, budget);
    if (worker->scratch == NULL || worker->kept == NULL || worker->series == NULL) {
        series_scratch_free(worker->scratch);
        arena_free(worker->kept);
        arena_free(worker->series);
        free(worker);
        return NULL;
    }
    return worker;
}

void eval_free_workers(Eval *eval) {
    while (eval->workers != NULL) {
        Worker *worker = eval->workers;

        eval->workers = worker->next;
        series_scratch_free(worker->scratch);
        arena_free(worker->kept);
        arena_free(worker->series);
        free(worker);
    }
}

static Worker *worker_take(Eval *eval) {
    Worker *worker;

    pthread_mutex_lock(&eval->lock);
    worker = eval->workers;
    if (worker != NULL) eval->workers = worker->next;
    pthread_mutex_unlock(&eval->lock);
    return worker != NULL ? worker : worker_new(eval);
}

static void worker_give(Eval *eval, Worker *worker) {
    worker->annotations = NULL;
    worker->hist_target = NULL;
    pthread_mutex_lock(&eval->lock);
    worker->next = eval->workers;
    eval->workers = worker;
    pthread_mutex_unlock(&eval->lock);
}

ErrCode stream_read(const Stream *stream, size_t i, Worker *worker, Column *out, Error *err) {
    arena_reset(worker->series);
    worker->hists = worker->hist_target != NULL ? worker->hist_target : worker->series;
    TRY(worker_check(worker, stream->grid.steps, err));
    return stream->read(stream, i, worker, out, err);
}

/* ---- parallel work ---- */

size_t stream_parts(const Stream *stream) {
    size_t parts = stream->count / SERIES_PER_PART_MIN;

    /* Long columns are worth a thread even when there are few. */
    if (stream->grid.steps > 64) parts = stream->count * stream->grid.steps / (1 << 14);
    return MAX(MIN(MIN(parts, PARTS_MAX), stream->count), 1);
}

typedef struct PartResult {
    Annotations *annotations;
    Arena *arena; /* of the annotations, made when there are some */
} PartResult;

typedef struct Each {
    Eval *eval;
    const Stream *stream;
    size_t parts;
    StreamWork work;
    void *context;
    PartResult *results;
    pthread_mutex_t lock;
    atomic_bool failed;
    size_t failed_part;
    Error error;
} Each;

static void each_fail(Each *each, size_t part, const Error *error) {
    pthread_mutex_lock(&each->lock);
    if (!atomic_load(&each->failed) || part < each->failed_part) {
        each->failed_part = part;
        each->error = *error;
    }
    atomic_store(&each->failed, true);
    pthread_mutex_unlock(&each->lock);
}

static void each_run(void *what, size_t i) {
    Each *each = what;
    Eval *eval = each->eval;
    size_t count = each->stream->count;
    StreamPart part = {i, count * i / each->parts, count * (i + 1) / each->parts};
    Error error = {0};
    Worker *worker;

    if (atomic_load(&each->failed)) return;
    worker = worker_take(eval);
    if (worker == NULL) {
        eval_out_of_memory(&error);
        each_fail(each, i, &error);
        return;
    }
    each->results[i].arena = arena_new(0, arena_budget(eval->arena));
    if (each->results[i].arena != NULL)
        each->results[i].annotations = annotations_new(each->results[i].arena);
    worker->annotations = each->results[i].annotations;
    if (each->work(each->context, &part, worker, &error) != ERR_OK) each_fail(each, i, &error);
    worker_give(eval, worker);
}

ErrCode stream_each(Eval *eval, const Stream *stream, size_t parts, StreamWork work, void *context,
                    Error *err) {
    Each each = {.eval = eval, .stream = stream, .parts = parts, .work = work, .context = context};

    if (stream->count == 0) return ERR_OK;
    TRY(query_check(eval->query, err));
    each.results = ARENA_ARRAY(eval->arena, PartResult, parts);
    if (each.results == NULL) return eval_out_of_memory(err);
    pthread_mutex_init(&each.lock, NULL);
    if (eval->query->pool != NULL && parts > 1)
        pool_each(eval->query->pool, parts, each_run, &each);
    else
        for (size_t i = 0; i < parts; i++) each_run(&each, i);
    pthread_mutex_destroy(&each.lock);
    for (size_t i = 0; i < parts; i++) {
        annotations_merge(eval->annotations, each.results[i].annotations, 0);
        arena_free(each.results[i].arena);
    }
    if (!atomic_load(&each.failed)) return ERR_OK;
    if (err != NULL) *err = each.error;
    return each.error.code;
}

/* ---- vectors ---- */

static void memory_free(VectorMemory *memory) {
    *memory->link = memory->next;
    if (memory->next != NULL) memory->next->link = memory->link;
    arena_free(memory->arena);
    free(memory);
}

void eval_free_vectors(Eval *eval) {
    while (eval->vectors != NULL) memory_free(eval->vectors);
}

ErrCode vector_new(Eval *eval, size_t capacity, Vector *out, Error *err) {
    VectorMemory *memory = calloc(1, sizeof *memory);

    if (memory == NULL) return eval_out_of_memory(err);
    memory->arena = arena_new(0, arena_budget(eval->arena));
    if (memory->arena == NULL) {
        free(memory);
        return eval_out_of_memory(err);
    }
    memory->next = eval->vectors;
    memory->link = &eval->vectors;
    if (memory->next != NULL) memory->next->link = &memory->next;
    eval->vectors = memory;
    *out = (Vector){.arena = memory->arena, .memory = memory};
    capacity = MAX(capacity, 1);
    out->labels = ARENA_ARRAY(out->arena, LabelSet, capacity);
    out->drops = ARENA_ARRAY(out->arena, bool, capacity);
    out->columns = ARENA_ARRAY(out->arena, Column, capacity);
    if (out->labels == NULL || out->drops == NULL || out->columns == NULL)
        return eval_out_of_memory(err);
    return ERR_OK;
}

void vector_free(Eval *eval, Vector *vector) {
    if (vector->memory == NULL) return;
    eval_release(eval, vector->held);
    memory_free(vector->memory);
    *vector = (Vector){0};
}

ErrCode column_new(Arena *arena, const Grid *grid, Column *out, Error *err) {
    size_t bytes = grid->steps * sizeof(double) + grid_words(grid) * sizeof(uint64_t);
    double *values = arena_alloc(arena, MAX(bytes, 1));

    if (values == NULL) return eval_out_of_memory(err);
    *out = (Column){.values = values, .present = (uint64_t *)(values + grid->steps)};
    memset(out->present, 0, grid_words(grid) * sizeof(uint64_t));
    return ERR_OK;
}

ErrCode column_add_hists(Arena *arena, const Grid *grid, Column *column, Error *err) {
    column->hists = ARENA_ARRAY(arena, const Hist *, grid->steps);
    return column->hists == NULL ? eval_out_of_memory(err) : ERR_OK;
}

/* A histogram weighs as many samples as its bytes would be. */
static uint64_t hist_samples(const Hist *h) {
    return (sizeof *h + (h->positive.n + h->negative.n) * 12 + h->bound_count * 8) / 16;
}

uint64_t column_samples(const Column *column, const Grid *grid) {
    uint64_t samples = 0;

    for (uint32_t w = 0; w < grid_words(grid); w++)
        samples += (uint64_t)__builtin_popcountll(column->present[w]);
    if (column->hists != NULL)
        for (uint32_t i = 0; i < grid->steps; i++)
            if (column->hists[i] != NULL) samples += hist_samples(column->hists[i]);
    return samples;
}

/* Without histograms in it, the array is of no use to anyone. */
static void drop_empty_hists(Column *column, const Grid *grid) {
    if (column->hists == NULL) return;
    for (uint32_t i = 0; i < grid->steps; i++)
        if (column->hists[i] != NULL) return;
    column->hists = NULL;
}

ErrCode vector_finish(Eval *eval, Vector *vector, const Grid *grid, Error *err) {
    size_t kept = 0;
    uint64_t samples = 0;

    for (size_t i = 0; i < vector->count; i++) {
        Column *column = &vector->columns[i];

        if (column->values == NULL) continue;
        drop_empty_hists(column, grid);
        if (!column_any(column, grid)) continue;
        column->full = column->hists == NULL && bits_are_full(column->present, grid->steps);
        samples += column_samples(column, grid);
        vector->labels[kept] = vector->labels[i];
        vector->drops[kept] = vector->drops[i];
        vector->columns[kept++] = *column;
    }
    vector->count = kept;
    vector->held = samples;
    return eval_hold(eval, samples, err);
}

static ErrCode read_vector(const Stream *stream, size_t i, Worker *worker, Column *out,
                           Error *err) {
    (void)worker;
    (void)err;
    *out = stream->vector->columns[i];
    return ERR_OK;
}

ErrCode stream_keep(Eval *eval, const Vector *vector, const Grid *grid, Stream *out, Error *err) {
    Vector *kept = ARENA_NEW(eval->arena, Vector);

    if (kept == NULL) return eval_out_of_memory(err);
    *kept = *vector;
    *out = (Stream){.count = vector->count,
                    .labels = vector->labels,
                    .drops = vector->drops,
                    .read = read_vector,
                    .vector = kept,
                    .grid = *grid};
    return ERR_OK;
}

typedef struct Collect {
    const Stream *stream;
    Vector *vector;
    Arena **arenas; /* one per part */
} Collect;

static ErrCode copy_column(const Stream *stream, Arena *arena, const Column *from, Column *to,
                           Error *err) {
    const Grid *grid = &stream->grid;

    TRY(column_new(arena, grid, to, err));
    memcpy(to->values, from->values, grid->steps * sizeof(double));
    memcpy(to->present, from->present, grid_words(grid) * sizeof(uint64_t));
    to->full = from->full;
    if (from->hists == NULL) return ERR_OK;
    TRY(column_add_hists(arena, grid, to, err));
    memcpy(to->hists, from->hists, grid->steps * sizeof *to->hists);
    return ERR_OK;
}

static ErrCode collect_part(void *context, const StreamPart *part, Worker *worker, Error *err) {
    const Collect *collect = context;
    const Stream *stream = collect->stream;
    Vector *vector = collect->vector;
    Arena *arena = arena_new(0, arena_budget(worker->eval->arena));
    uint64_t samples = 0;
    ErrCode code = ERR_OK;

    collect->arenas[part->index] = arena;
    if (arena == NULL) return eval_out_of_memory(err);
    worker->hist_target = arena;
    for (size_t i = part->begin; i < part->end && code == ERR_OK; i++) {
        Column column;

        code = stream_read(stream, i, worker, &column, err);
        if (code != ERR_OK || !column_any(&column, &stream->grid)) continue;
        code = copy_column(stream, arena, &column, &vector->columns[i], err);
        samples += stream->grid.steps;
        if (code != ERR_OK || samples < HOLD_EVERY) continue;
        /* Held for now so that a query that is too large stops early; counted exactly later. */
        code = eval_hold(worker->eval, samples, err);
        __atomic_fetch_add(&vector->held, samples, __ATOMIC_RELAXED);
        samples = 0;
    }
    worker->hist_target = NULL;
    return code;
}

static void free_arena(void *arena) {
    arena_free(arena);
}

ErrCode stream_collect(Eval *eval, const Stream *stream, Vector *out, Error *err) {
    size_t parts = stream_parts(stream);
    Collect collect = {.stream = stream};
    Vector vector;
    ErrCode code;

    if (stream->vector != NULL) {
        /* The stream's vector, for good: nobody else reads a stream that was collected. */
        *out = *stream->vector;
        return ERR_OK;
    }
    TRY(vector_new(eval, stream->count, &vector, err));
    vector.count = stream->count;
    if (stream->count > 0) memcpy(vector.labels, stream->labels, stream->count * sizeof(LabelSet));
    for (size_t i = 0; i < stream->count; i++) vector.drops[i] = stream_drops(stream, i);
    collect.vector = &vector;
    collect.arenas = ARENA_ARRAY(vector.arena, Arena *, parts);
    if (collect.arenas == NULL) return eval_out_of_memory(err);
    code = stream_each(eval, stream, parts, collect_part, &collect, err);
    for (size_t i = 0; i < parts; i++) {
        if (collect.arenas[i] == NULL) continue;
        if (!arena_on_free(vector.arena, free_arena, collect.arenas[i])) {
            arena_free(collect.arenas[i]);
            if (code == ERR_OK) code = eval_out_of_memory(err);
        }
    }
    eval_release(eval, vector.held);
    vector.held = 0;
    if (code != ERR_OK) return code;
    TRY(vector_finish(eval, &vector, &stream->grid, err));
    *out = vector;
    return ERR_OK;
}
