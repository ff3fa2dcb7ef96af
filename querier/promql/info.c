/*
 * info.c: info(v, {data labels}): adds the data labels of info metrics, which are found by the
 * identifying labels `instance` and `job`.
 *
 * Series of an info metric with the same identifying labels are one source; at each step the one
 * with the newest sample counts. Which sources a series has is known beforehand, so a step only
 * looks at which series of them counts, and labels are made anew only when that changes.
 */
#include <stdlib.h>

#include "querier/promql/binary_vectors.h"
#include "querier/promql/functions.h"
#include "querier/promql/info_select.h"

typedef struct InfoSource {
    LabelSet key;        /* name and identifying labels */
    uint32_t begin, end; /* of `order`: its series */
} InfoSource;

typedef struct InfoWork {
    Eval *eval;
    const Node *node;
    const Grid *grid;
    Info info;
    Vector base;
    Vector series; /* of info metrics: values are the samples' times in ms */
    uint32_t id_names[2];
    LabelTable keys;
    InfoSource *sources;
    uint32_t *order;
    uint32_t *source_of;
    bool *ignored;      /* per base series: it is an info series itself */
    VectorsBinary emit; /* only its output part is used */
} InfoWork;

static bool is_ignored(const InfoWork *work, LabelSet labels) {
    Str name = metric_name(work->eval, labels);

    for (size_t i = 0; i < work->info.name_matcher_count; i++)
        if (!matcher_matches(&work->info.name_matchers[i], name)) return false;
    return true;
}

/* The name and identifying labels of an info series, or of a series that looks for `name`. */
static bool key_of(const InfoWork *work, LabelSet labels, uint32_t name, LabelSet *out) {
    Arena *arena = work->emit.scratch;

    if (!labels_keep(arena, labels, work->id_names, ARRAY_LEN(work->id_names), out)) return false;
    return name == SYMBOL_EMPTY ||
           labels_set(arena, work->eval->symbols, *out, SYMBOL_NAME, name, out);
}

static int compare_series(const void *a, const void *b, void *context) {
    const InfoWork *work = context;

    return label_set_compare(work->eval->symbols, work->series.labels[*(const uint32_t *)a],
                             work->series.labels[*(const uint32_t *)b]);
}

/* Info series in the order of their labels, which decides which of two that conflict is the first.
 */
static ErrCode sort_info_series(InfoWork *work, Error *err) {
    Arena *arena = work->emit.scratch;
    Vector *series = &work->series;
    uint32_t *order = arena_alloc(arena, MAX(series->count, 1) * sizeof *order);
    LabelSet *labels = arena_alloc(arena, MAX(series->count, 1) * sizeof *labels);
    Column *columns = arena_alloc(arena, MAX(series->count, 1) * sizeof *columns);

    if (order == NULL || labels == NULL || columns == NULL) return eval_out_of_memory(err);
    for (size_t i = 0; i < series->count; i++) order[i] = (uint32_t)i;
    qsort_r(order, series->count, sizeof *order, compare_series, work);
    for (size_t i = 0; i < series->count; i++) {
        labels[i] = series->labels[order[i]];
        columns[i] = series->columns[order[i]];
    }
    series->labels = labels;
    series->columns = columns;
    return ERR_OK;
}

static ErrCode group_info_series(InfoWork *work, Error *err) {
    Arena *arena = work->emit.scratch;
    size_t count = work->series.count;
    uint32_t at = 0;

    work->order = arena_alloc(arena, MAX(count, 1) * sizeof(uint32_t));
    work->source_of = arena_alloc(arena, MAX(count, 1) * sizeof(uint32_t));
    work->sources = ARENA_ARRAY(arena, InfoSource, count + 1);
    if (work->order == NULL || work->source_of == NULL || work->sources == NULL ||
        !label_table_init(&work->keys, arena, count))
        return eval_out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        LabelSet labels = work->series.labels[i], key;

        if (!key_of(work, labels, label_set_get(labels, SYMBOL_NAME), &key))
            return eval_out_of_memory(err);
        work->source_of[i] = label_table_add(&work->keys, key, false);
        if (work->source_of[i] == SYMBOL_NONE) return eval_out_of_memory(err);
        work->sources[work->source_of[i]].key = key;
        work->sources[work->source_of[i]].end++;
    }
    for (uint32_t s = 0; s < work->keys.count; s++) {
        uint32_t n = work->sources[s].end;

        work->sources[s].begin = work->sources[s].end = at;
        at += n;
    }
    for (size_t i = 0; i < count; i++)
        work->order[work->sources[work->source_of[i]].end++] = (uint32_t)i;
    return ERR_OK;
}

/* The series of a source that counts at a step: the one with the newest sample. *ret_other is one
 * after it that has a sample of the same time, if there is one. */
static uint32_t newest(const InfoWork *work, const InfoSource *source, uint32_t step,
                       uint32_t *ret_other) {
    uint32_t best = SYMBOL_NONE;
    double best_time = 0;

    *ret_other = SYMBOL_NONE;
    for (uint32_t k = source->begin; k < source->end; k++) {
        const Column *column = &work->series.columns[work->order[k]];
        double time = column->values[step];

        if (!column_has(column, step)) continue;
        if (best == SYMBOL_NONE || time > best_time) {
            best_time = time;
            best = work->order[k];
        } else if (time == best_time) {
            *ret_other = work->order[k];
            break;
        }
    }
    return best;
}

static ErrCode two_newest(const InfoWork *work, uint32_t step, uint32_t first, uint32_t second,
                          Error *err) {
    long long time = (long long)work->series.columns[first].values[step];
    Buf texts[2];

    for (int i = 0; i < 2; i++) buf_init(&texts[i], KIB(64));
    labels_append_text(work->eval->symbols, work->series.labels[first], &texts[0]);
    labels_append_text(work->eval->symbols, work->series.labels[second], &texts[1]);
    error_set(err, ERR_INVALID,
              "found duplicate series for info metric: existing %.*s @ %lld, new %.*s @ %lld",
              (int)MIN(texts[0].len, 900), texts[0].ptr, time, (int)MIN(texts[1].len, 900),
              texts[1].ptr, time);
    for (int i = 0; i < 2; i++) buf_done(&texts[i]);
    return ERR_INVALID;
}

static bool is_wanted(const InfoWork *work, uint32_t name) {
    Str text = symbols_str(work->eval->symbols, name);

    if (work->info.data_matcher_count == 0) return true;
    for (size_t i = 0; i < work->info.data_matcher_count; i++)
        if (str_equal(work->info.data_matchers[i].name, text)) return true;
    return false;
}

static bool matches_without_labels(const InfoWork *work) {
    for (size_t i = 0; i < work->info.data_matcher_count; i++)
        if (!matcher_matches(&work->info.data_matchers[i], STR(""))) return false;
    return true;
}

/* Labels of a base series with those of the info series that count. */
static ErrCode enriched(const InfoWork *work, LabelSet base, const uint32_t *series, size_t count,
                        LabelSet *out, Error *err) {
    LabelSet added = {0};

    for (size_t k = 0; k < count; k++) {
        LabelSet info;

        if (series[k] == SYMBOL_NONE) continue;
        info = work->series.labels[series[k]];
        for (uint32_t i = 0; i < info.count; i++) {
            Label label = info.labels[i];
            uint32_t there = label_set_get(added, label.name);

            if (label.name == SYMBOL_NAME || !is_wanted(work, label.name)) continue;
            if (there != SYMBOL_EMPTY && there != label.value) {
                Str name = symbols_str(work->eval->symbols, label.name);

                return error_set(err, ERR_INVALID, "conflicting label: " STR_FMT, STR_ARG(name));
            }
            if (label_set_get(base, label.name) != SYMBOL_EMPTY) continue;
            if (!labels_set(work->emit.scratch, work->eval->symbols, added, label.name, label.value,
                            &added))
                return eval_out_of_memory(err);
        }
    }
    *out = base;
    for (uint32_t i = 0; i < added.count; i++)
        if (!labels_set(work->eval->arena, work->eval->symbols, *out, added.labels[i].name,
                        added.labels[i].value, out))
            return eval_out_of_memory(err);
    return ERR_OK;
}

/* A run of steps with the same info series. */
static ErrCode emit_run(InfoWork *work, size_t i, const uint32_t *series, size_t count,
                        const uint64_t *bits, Error *err) {
    LabelSet labels;
    bool any = false;

    if (!bits_any(bits, grid_words(work->grid))) return ERR_OK;
    for (size_t k = 0; k < count; k++) any |= series[k] != SYMBOL_NONE;
    if (!any && !matches_without_labels(work)) return ERR_OK;
    TRY(enriched(work, work->base.labels[i], series, count, &labels, err));
    return vectors_emit(&work->emit, labels, work->base.drops[i], &work->base.columns[i], bits,
                        err);
}

/* The sources that a base series has, one per info metric. */
static ErrCode sources_of(InfoWork *work, LabelSet labels, uint32_t *out, size_t *count,
                          Error *err) {
    *count = 0;
    for (size_t n = 0; n < work->info.metric_count; n++) {
        LabelSet key;
        uint32_t source;

        if (!key_of(work, labels, work->info.metrics[n], &key)) return eval_out_of_memory(err);
        source = label_table_find(&work->keys, key);
        if (source != SYMBOL_NONE) out[(*count)++] = source;
    }
    return ERR_OK;
}

static bool has_sample(const Column *column, uint32_t step) {
    return column_has(column, step) || (column->hists != NULL && column->hists[step] != NULL);
}

static ErrCode enrich_series(InfoWork *work, size_t i, Error *err) {
    Arena *arena = work->emit.scratch;
    size_t metrics = MAX(work->info.metric_count, 1), count;
    uint32_t other; /* there is none: check_sources() */
    uint32_t *sources = arena_alloc(arena, metrics * sizeof *sources);
    uint32_t *now = arena_alloc(arena, metrics * sizeof *now);
    uint32_t *run = arena_alloc(arena, metrics * sizeof *run);
    uint64_t *bits = ARENA_ARRAY(arena, uint64_t, grid_words(work->grid));

    if (sources == NULL || now == NULL || run == NULL || bits == NULL)
        return eval_out_of_memory(err);
    TRY(sources_of(work, work->base.labels[i], sources, &count, err));
    for (uint32_t s = 0; s < work->grid->steps; s++) {
        if (!has_sample(&work->base.columns[i], s)) continue;
        for (size_t k = 0; k < count; k++)
            now[k] = newest(work, &work->sources[sources[k]], s, &other);
        if (memcmp(now, run, count * sizeof *now) != 0) {
            TRY(emit_run(work, i, run, count, bits, err));
            memset(bits, 0, grid_words(work->grid) * sizeof *bits);
            memcpy(run, now, count * sizeof *now);
        }
        bits_set(bits, s);
    }
    return emit_run(work, i, run, count, bits, err);
}

static ErrCode pass_series(InfoWork *work, size_t i, Error *err) {
    uint64_t *bits = arena_alloc(work->emit.scratch, grid_words(work->grid) * sizeof *bits);

    if (bits == NULL) return eval_out_of_memory(err);
    memset(bits, 0, grid_words(work->grid) * sizeof *bits);
    for (uint32_t s = 0; s < work->grid->steps; s++)
        if (has_sample(&work->base.columns[i], s)) bits_set(bits, s);
    return vectors_emit(&work->emit, work->base.labels[i], work->base.drops[i],
                        &work->base.columns[i], bits, err);
}

/* Every source must have one newest series at each step, whoever looks for it. The user hears of
 * the first at the earliest step. */
static ErrCode check_sources(const InfoWork *work, Error *err) {
    for (uint32_t step = 0; step < work->grid->steps; step++) {
        uint32_t first = SYMBOL_NONE, second = SYMBOL_NONE;

        for (uint32_t s = 0; s < work->keys.count; s++) {
            uint32_t series, other;

            if (work->sources[s].end - work->sources[s].begin < 2) continue;
            series = newest(work, &work->sources[s], step, &other);
            if (other == SYMBOL_NONE || (second != SYMBOL_NONE && other > second)) continue;
            first = series;
            second = other;
        }
        if (second != SYMBOL_NONE) return two_newest(work, step, first, second, err);
    }
    return ERR_OK;
}

static ErrCode combine(InfoWork *work, Error *err) {
    VectorsBinary *emit = &work->emit;

    TRY(sort_info_series(work, err));
    TRY(group_info_series(work, err));
    TRY(info_metrics(work->eval, &work->series, &work->info, err));
    if (work->base.count > 0) TRY(check_sources(work, err));
    if (!label_table_init(&emit->table, emit->scratch, work->base.count))
        return eval_out_of_memory(err);
    TRY(vector_new(work->eval, work->base.count, &emit->out, err));
    emit->out_capacity = MAX(work->base.count, 1);
    for (size_t i = 0; i < work->base.count; i++) {
        TRY(work->ignored[i] ? pass_series(work, i, err) : enrich_series(work, i, err));
        if (i % 256 == 0) TRY(query_check(work->eval->query, err));
    }
    return vector_finish(work->eval, &emit->out, work->grid, err);
}

static ErrCode run(InfoWork *work, Error *err) {
    Eval *eval = work->eval;

    work->id_names[0] = symbols_add(eval->symbols, STR("instance"));
    work->id_names[1] = symbols_add(eval->symbols, STR("job"));
    if (work->id_names[0] == SYMBOL_NONE || work->id_names[1] == SYMBOL_NONE)
        return eval_out_of_memory(err);
    TRY(info_matchers(eval, work->node, &work->info, err));
    TRY(eval_vector(eval, work->node->args[0], work->grid, &work->base, err));
    work->ignored = ARENA_ARRAY(eval->arena, bool, work->base.count + 1);
    if (work->ignored == NULL) return eval_out_of_memory(err);
    for (size_t i = 0; i < work->base.count; i++)
        work->ignored[i] = is_ignored(work, work->base.labels[i]);
    TRY(info_select(eval, work->node, work->grid, &work->base, work->ignored, work->id_names,
                    &work->info, &work->series, err));
    return combine(work, err);
}

ErrCode eval_info(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    InfoWork work = {.eval = eval, .node = node, .grid = grid};
    ErrCode code;

    work.emit.eval = eval;
    work.emit.node = node;
    work.emit.grid = grid;
    work.emit.scratch = arena_new(0, arena_budget(eval->arena));
    if (work.emit.scratch == NULL) return eval_out_of_memory(err);
    code = run(&work, err);
    arena_free(work.emit.scratch);
    if (code != ERR_OK) return code;
    return stream_keep(eval, &work.emit.out, grid, out, err);
}
