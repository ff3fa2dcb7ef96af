/*
 * aggregate_topk.c: topk and bottomk. Each step of a group has a heap of its best samples so far,
 * which are a value and the number of its series: no column is kept.
 */
#include "querier/promql/aggregate.h"

enum { PARTS_MAX = 16 };

typedef struct Entry {
    double value;
    uint32_t series;
} Entry;

/* The best k of one group for all steps: per step a heap whose top is the worst. */
typedef struct Heaps {
    uint32_t capacity; /* per step */
    uint32_t *counts;
    Entry *entries;
} Heaps;

typedef struct TopWork {
    Eval *eval;
    const Node *node;
    const Stream *stream;
    const Grid *grid;
    Groups groups;
    bool bottom;
    uint32_t *limits; /* k per step */
    uint32_t limit_max;
    uint32_t *sizes; /* series per group */
    Heaps **heaps;   /* per part: per group */
    Arena **arenas;
} TopWork;

/* Whether `a` is thrown out before `b`: NaN first, then the worse value; of equal ones the one
 * whose labels come later, so that every evaluation picks the same. */
static bool is_worse(const TopWork *work, const Entry *a, const Entry *b) {
    const LabelSet *labels = work->stream->labels;
    bool a_nan = isnan(a->value), b_nan = isnan(b->value);

    if (a_nan || b_nan) {
        if (a_nan != b_nan) return a_nan;
    } else if (a->value != b->value) {
        return work->bottom ? a->value > b->value : a->value < b->value;
    }
    return label_set_compare(work->eval->symbols, labels[a->series], labels[b->series]) > 0;
}

static void sift_up(const TopWork *work, Entry *heap, uint32_t i) {
    while (i > 0) {
        uint32_t parent = (i - 1) / 2;
        Entry swap;

        if (!is_worse(work, &heap[i], &heap[parent])) return;
        swap = heap[i];
        heap[i] = heap[parent];
        heap[parent] = swap;
        i = parent;
    }
}

static void sift_down(const TopWork *work, Entry *heap, uint32_t count) {
    for (uint32_t i = 0;;) {
        uint32_t child = 2 * i + 1;
        Entry swap;

        if (child >= count) return;
        if (child + 1 < count && is_worse(work, &heap[child + 1], &heap[child])) child++;
        if (!is_worse(work, &heap[child], &heap[i])) return;
        swap = heap[i];
        heap[i] = heap[child];
        heap[child] = swap;
        i = child;
    }
}

static void push(const TopWork *work, Heaps *heaps, uint32_t step, Entry entry) {
    Entry *heap = heaps->entries + (size_t)step * heaps->capacity;
    uint32_t limit = MIN(work->limits[step], heaps->capacity);

    if (heaps->counts[step] < limit) {
        heap[heaps->counts[step]] = entry;
        sift_up(work, heap, heaps->counts[step]++);
    } else if (limit > 0 && is_worse(work, &heap[0], &entry)) {
        heap[0] = entry;
        sift_down(work, heap, limit);
    }
}

static ErrCode heaps_make(const TopWork *work, uint32_t group, Arena *arena, Heaps *out,
                          Error *err) {
    uint32_t capacity = MIN(work->limit_max, work->sizes[group]);
    Heaps heaps = {.capacity = capacity};

    heaps.counts = ARENA_ARRAY(arena, uint32_t, work->grid->steps);
    heaps.entries = arena_alloc(arena, (size_t)work->grid->steps * capacity * sizeof(Entry));
    if (heaps.counts == NULL || heaps.entries == NULL) return eval_out_of_memory(err);
    *out = heaps;
    return ERR_OK;
}

static ErrCode top_part(void *context, const StreamPart *part, Worker *worker, Error *err) {
    const TopWork *work = context;
    Arena *arena = arena_new(0, arena_budget(work->eval->arena));
    uint32_t words = grid_words(work->grid);
    Heaps *heaps;

    work->arenas[part->index] = arena;
    heaps = ARENA_ARRAY(arena, Heaps, work->groups.count);
    if (heaps == NULL) return eval_out_of_memory(err);
    work->heaps[part->index] = heaps;
    for (size_t i = part->begin; i < part->end; i++) {
        uint32_t group = work->groups.of_series[i];
        Column column;

        TRY(stream_read(work->stream, i, worker, &column, err));
        if (column.hists != NULL && column_samples(&column, work->grid) > 0) {
            bool any = false;

            for (uint32_t s = 0; s < work->grid->steps; s++) any |= column.hists[s] != NULL;
            if (any)
                annotate_more(worker->annotations, ANNOTATION_HISTOGRAM_IGNORED, work->node->id,
                              " %s aggregation", work->bottom ? "bottomk" : "topk");
        }
        if (!bits_any(column.present, words)) continue;
        if (heaps[group].counts == NULL) TRY(heaps_make(work, group, arena, &heaps[group], err));
        BITS_EACH(s, column.present, words)
        push(work, &heaps[group], s, (Entry){column.values[s], (uint32_t)i});
    }
    return ERR_OK;
}

static void merge_heaps(const TopWork *work, Heaps *to, const Heaps *from) {
    for (uint32_t s = 0; s < work->grid->steps; s++)
        for (uint32_t i = 0; i < from->counts[s]; i++)
            push(work, to, s, from->entries[(size_t)s * from->capacity + i]);
}

static ErrCode out_column(const TopWork *work, Vector *vector, uint32_t *index_of, uint32_t series,
                          Column **out, Error *err) {
    if (index_of[series] == 0) {
        size_t i = vector->count++;

        vector->labels[i] = work->stream->labels[series];
        vector->drops[i] = stream_drops(work->stream, series);
        TRY(column_new(vector->arena, work->grid, &vector->columns[i], err));
        index_of[series] = (uint32_t)i + 1;
    }
    *out = &vector->columns[index_of[series] - 1];
    return ERR_OK;
}

/* Puts a group's samples into columns, per step the best first: that is the order of an instant
 * query's result. */
static ErrCode put_group(const TopWork *work, Heaps *heaps, Vector *vector, uint32_t *index_of,
                         Error *err) {
    for (uint32_t s = 0; s < work->grid->steps; s++) {
        Entry *heap = heaps->entries + (size_t)s * heaps->capacity;
        uint32_t count = heaps->counts[s];

        /* Taking the worst off again and again leaves the array sorted, the best first. */
        for (uint32_t n = count; n > 1; n--) {
            Entry worst = heap[0];

            heap[0] = heap[n - 1];
            sift_down(work, heap, n - 1);
            heap[n - 1] = worst;
        }
        for (uint32_t i = 0; i < count; i++) {
            Column *column;

            TRY(out_column(work, vector, index_of, heap[i].series, &column, err));
            column->values[s] = heap[i].value;
            bits_set(column->present, s);
        }
    }
    return ERR_OK;
}

static size_t count_appearing(const TopWork *work, size_t parts) {
    size_t most = 0;

    for (uint32_t g = 0; g < work->groups.count; g++) {
        uint64_t entries = 0;

        for (size_t p = 0; p < parts; p++)
            for (uint32_t s = 0; work->heaps[p] != NULL && work->heaps[p][g].counts != NULL &&
                                 s < work->grid->steps;
                 s++)
                entries += work->heaps[p][g].counts[s];
        most += MIN(entries, work->sizes[g]);
    }
    return most;
}

static ErrCode put_all(TopWork *work, size_t parts, Vector *vector, Error *err) {
    uint32_t *index_of = ARENA_ARRAY(vector->arena, uint32_t, MAX(work->stream->count, 1));

    if (index_of == NULL) return eval_out_of_memory(err);
    for (uint32_t g = 0; g < work->groups.count; g++) {
        Heaps *total = NULL;

        for (size_t p = 0; p < parts; p++) {
            Heaps *heaps = work->heaps[p] == NULL ? NULL : &work->heaps[p][g];

            if (heaps == NULL || heaps->counts == NULL) continue;
            if (total == NULL)
                total = heaps;
            else
                merge_heaps(work, total, heaps);
        }
        if (total != NULL) TRY(put_group(work, total, vector, index_of, err));
    }
    return vector_finish(work->eval, vector, work->grid, err);
}

static ErrCode set_limits(TopWork *work, const double *k, Error *err) {
    work->limits = arena_alloc(work->eval->arena, work->grid->steps * sizeof(uint32_t));
    work->sizes = ARENA_ARRAY(work->eval->arena, uint32_t, (size_t)work->groups.count + 1);
    if (work->limits == NULL || work->sizes == NULL) return eval_out_of_memory(err);
    for (uint32_t s = 0; s < work->grid->steps; s++) {
        work->limits[s] = k[s] < 1 ? 0 : (uint32_t)fmin(k[s], (double)UINT32_MAX);
        work->limit_max = MAX(work->limit_max, work->limits[s]);
    }
    for (size_t i = 0; i < work->stream->count; i++) work->sizes[work->groups.of_series[i]]++;
    return ERR_OK;
}

ErrCode aggregate_topk(Eval *eval, const Node *node, const Grid *grid, const double *k, Stream *out,
                       Error *err) {
    TopWork work = {.eval = eval,
                    .node = node,
                    .grid = grid,
                    .bottom = node->expr->as.aggregate.op == PROMQL_BOTTOMK};
    Stream stream;
    Vector vector;
    size_t parts;
    ErrCode code;

    TRY(eval_stream(eval, node->args[0], grid, &stream, err));
    TRY(groups_make(eval, node, &stream, &work.groups, err));
    work.stream = &stream;
    TRY(set_limits(&work, k, err));
    parts = MIN(stream_parts(&stream), PARTS_MAX);
    work.heaps = ARENA_ARRAY(eval->arena, Heaps *, parts);
    work.arenas = ARENA_ARRAY(eval->arena, Arena *, parts);
    if (work.heaps == NULL || work.arenas == NULL) return eval_out_of_memory(err);
    code = stream_each(eval, &stream, parts, top_part, &work, err);
    if (code == ERR_OK) code = vector_new(eval, count_appearing(&work, parts), &vector, err);
    if (code == ERR_OK) code = put_all(&work, parts, &vector, err);
    for (size_t p = 0; p < parts; p++) arena_free(work.arenas[p]);
    if (code != ERR_OK) return code;
    return stream_keep(eval, &vector, grid, out, err);
}
