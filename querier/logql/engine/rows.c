/*
 * rows.c: compiles a pipeline and runs entries through it. Line filters move forward, up to a stage
 * that changes lines or drops entries by their labels.
 */
#include "querier/logql/engine/rows.h"

#include <stdlib.h>

#include "querier/logql/engine/hints.h"
#include "querier/logql/engine/row_stage.h"
#include "querier/logql/parser.h"
#include "querier/logql/units.h"

struct RowPipeline {
    RowStage *stages;
    size_t count;
    const LogqlUnwrap *unwrap;
    RowStage *unwrap_filters;
    RowHints hints;
    bool line_wanted; /* in the end */
    bool takes_parts;
};

struct RowWorker {
    const RowPipeline *pipeline;
    LabelPairs stream;
    RowRun run;
};

/* ---- order ---- */

/* Stages in the order in which they run: line filters of a stretch as one, before it. */
typedef struct Order {
    LogqlStage *stages;
    size_t count;
    LogqlLineTerm *terms; /* of the stretch */
    size_t term_count;
    size_t stretch; /* where it begins */
} Order;

static void end_stretch(Order *order) {
    LogqlStage filter = {.kind = LOGQL_STAGE_LINE_FILTER};

    if (order->term_count > 0) {
        filter.as.line_filter.terms = order->terms;
        filter.as.line_filter.count = order->term_count;
        memmove(order->stages + order->stretch + 1, order->stages + order->stretch,
                (order->count - order->stretch) * sizeof *order->stages);
        order->stages[order->stretch] = filter;
        order->count++;
        order->terms += order->term_count;
        order->term_count = 0;
    }
    order->stretch = order->count;
}

static bool order_stages(Arena *arena, const LogqlLog *log, Order *out) {
    size_t terms = 0;

    for (size_t i = 0; i < log->stage_count; i++)
        if (log->stages[i].kind == LOGQL_STAGE_LINE_FILTER)
            terms += log->stages[i].as.line_filter.count;
    out->stages = ARENA_ARRAY(arena, LogqlStage, log->stage_count + 1);
    out->terms = ARENA_ARRAY(arena, LogqlLineTerm, terms + 1);
    if (out->stages == NULL || out->terms == NULL) return false;
    for (size_t i = 0; i < log->stage_count; i++) {
        const LogqlStage *stage = &log->stages[i];

        if (stage->kind == LOGQL_STAGE_LINE_FILTER) {
            for (size_t t = 0; t < stage->as.line_filter.count; t++)
                out->terms[out->term_count++] = stage->as.line_filter.terms[t];
            continue;
        }
        if (stage->kind == LOGQL_STAGE_LABEL_FILTER) end_stretch(out);
        out->stages[out->count++] = *stage;
        if (stage->kind == LOGQL_STAGE_LABEL_FILTER)
            out->stretch = out->count;
        else if (stage->kind == LOGQL_STAGE_LINE_FORMAT || stage->kind == LOGQL_STAGE_UNPACK)
            end_stretch(out);
    }
    end_stretch(out);
    return true;
}

/* In a metric query, a line that nobody looks at need not be formatted. */
static bool is_idle(const RowOptions *options, size_t at) {
    const LogqlLog *log = options->log;

    if (!options->metric || options->line_wanted || log->stages[at].kind != LOGQL_STAGE_LINE_FORMAT)
        return false;
    for (size_t i = at; i < log->stage_count; i++) {
        LogqlStageKind kind = log->stages[i].kind;

        if (kind == LOGQL_STAGE_LINE_FILTER || kind == LOGQL_STAGE_JSON ||
            kind == LOGQL_STAGE_LOGFMT || kind == LOGQL_STAGE_REGEXP ||
            kind == LOGQL_STAGE_PATTERN || kind == LOGQL_STAGE_UNPACK)
            return false;
    }
    return true;
}

static bool without_idle(Arena *arena, const RowOptions *options, LogqlLog *out) {
    LogqlStage *stages = ARENA_ARRAY(arena, LogqlStage, options->log->stage_count + 1);

    if (stages == NULL) return false;
    *out = *options->log;
    out->stages = stages;
    out->stage_count = 0;
    for (size_t i = 0; i < options->log->stage_count; i++)
        if (!is_idle(options, i)) stages[out->stage_count++] = options->log->stages[i];
    return true;
}

/* ---- hints ---- */

typedef struct Names {
    Str *names;
    size_t count;
    size_t capacity;
    Arena *arena;
    bool failed;
} Names;

static void add_name(Names *names, Str name) {
    if (name.len == 0) return;
    for (size_t i = 0; i < names->count; i++)
        if (str_equal(names->names[i], name)) return;
    if (names->count == names->capacity) {
        size_t more = MAX(names->capacity * 2, 8);
        Str *grown = arena_grow(names->arena, names->names, names->capacity * sizeof *grown,
                                more * sizeof *grown);

        names->failed = names->failed || grown == NULL;
        if (grown == NULL) return;
        names->names = grown;
        names->capacity = more;
    }
    names->names[names->count++] = name;
    if (str_ends_with(name, STR("_extracted")))
        add_name(names, str_slice(name, 0, name.len - strlen("_extracted")));
}

static void add_filter_names(Names *names, const LogqlLabelFilter *filter) {
    if (filter->kind == LOGQL_FILTER_AND || filter->kind == LOGQL_FILTER_OR) {
        add_filter_names(names, filter->as.pair.left);
        add_filter_names(names, filter->as.pair.right);
        return;
    }
    /* What is so of every value asks for none. */
    if (filter->kind == LOGQL_FILTER_MATCH && filter->as.match->op == MATCH_REGEX &&
        filter->as.match->shape == MATCH_SHAPE_CONTAINS && filter->as.match->part.len == 0 &&
        filter->as.match->before + filter->as.match->after == 0)
        return;
    add_name(names, filter->name);
}

static void add_template_names(Names *names, Str text) {
    Str name;

    for (size_t at = 0; row_template_field(text, &at, &name);) add_name(names, name);
}

static void add_stage_names(Names *names, const LogqlStage *stage) {
    if (stage->kind == LOGQL_STAGE_LABEL_FILTER)
        add_filter_names(names, stage->as.label_filter);
    else if (stage->kind == LOGQL_STAGE_LINE_FORMAT)
        add_template_names(names, stage->as.line_format);
    else if (stage->kind == LOGQL_STAGE_LABEL_FORMAT)
        for (size_t i = 0; i < stage->as.label_format.count; i++) {
            const LogqlLabelFormat *format = &stage->as.label_format.formats[i];

            if (format->rename)
                add_name(names, format->value);
            else
                add_template_names(names, format->value);
        }
}

static bool make_hints(Arena *arena, const RowOptions *options, const LogqlLog *log,
                       RowHints *out) {
    const LogqlGrouping *grouping = options->grouping;
    Names names = {.arena = arena};

    *out = (RowHints){0};
    if (!options->metric) return true;
    if (!options->no_labels && (grouping == NULL || grouping->without || grouping->count == 0))
        return true;
    for (size_t i = 0; i < log->stage_count; i++) add_stage_names(&names, &log->stages[i]);
    if (options->unwrap != NULL) {
        for (size_t i = 0; i < options->unwrap->filter_count; i++)
            add_filter_names(&names, options->unwrap->filters[i]);
        add_name(&names, options->unwrap->label);
    }
    for (size_t i = 0; grouping != NULL && !options->no_labels && i < grouping->count; i++)
        add_name(&names, grouping->labels[i]);
    out->required = names.names;
    out->required_count = names.count;
    out->no_labels = options->no_labels && names.count == 0;
    for (size_t i = 0; i < names.count; i++)
        out->preserve_errors = out->preserve_errors || str_equal(names.names[i], ROW_ERROR);
    return !names.failed;
}

/* ---- compiling ---- */

static ErrCode compile_one(Arena *arena, const LogqlStage *stage, RowStage *out, Error *err) {
    switch (stage->kind) {
    case LOGQL_STAGE_LINE_FILTER:
        return row_line_filter(arena, stage->as.line_filter.terms, stage->as.line_filter.count, out,
                               err);
    case LOGQL_STAGE_JSON:
        return row_json(arena, stage, out, err);
    case LOGQL_STAGE_LOGFMT:
        return row_logfmt(arena, stage, out, err);
    case LOGQL_STAGE_REGEXP:
        return row_regexp(arena, stage->as.pattern, out, err);
    case LOGQL_STAGE_PATTERN:
        return row_pattern(arena, stage->as.pattern, out, err);
    case LOGQL_STAGE_UNPACK:
        return row_unpack(out);
    case LOGQL_STAGE_LABEL_FILTER:
        return row_label_filter(arena, stage->as.label_filter, out, err);
    case LOGQL_STAGE_LINE_FORMAT:
        return row_line_format(arena, stage->as.line_format, out, err);
    case LOGQL_STAGE_LABEL_FORMAT:
        return row_label_format(arena, stage, out, err);
    case LOGQL_STAGE_DECOLORIZE:
        return row_decolorize(arena, out, err);
    case LOGQL_STAGE_DROP:
    case LOGQL_STAGE_KEEP:
        return row_drop_keep(stage, out);
    }
    return error_set(err, ERR_INTERNAL, "a stage of no kind");
}

static ErrCode compile_stage(Arena *arena, const LogqlStage *stage, RowStage *out, Error *err) {
    ErrCode code = compile_one(arena, stage, out, err);
    CLEANUP_IN_PLACE(buf_done) Buf text = {0};

    if (code != ERR_INVALID) return code;
    buf_init(&text, 0);
    logql_print_stage(stage, &text);
    return error_wrap(err, "parse error : stage '%.*s' ", (int)MIN(text.len, 200),
                      buf_failed(&text) ? "" : text.ptr);
}

static ErrCode compile_unwrap(Arena *arena, const LogqlUnwrap *unwrap, RowPipeline *pipeline,
                              Error *err) {
    pipeline->unwrap = unwrap;
    if (unwrap == NULL) return ERR_OK;
    pipeline->unwrap_filters = ARENA_ARRAY(arena, RowStage, unwrap->filter_count + 1);
    if (pipeline->unwrap_filters == NULL) return logql_out_of_memory(err);
    for (size_t i = 0; i < unwrap->filter_count; i++)
        TRY(row_label_filter(arena, unwrap->filters[i], &pipeline->unwrap_filters[i], err));
    return ERR_OK;
}

/* Label filters of one name, in order. Where a grouping says which labels are looked at, Loki asks
 * none early, and so it is here: what an entry comes to could differ. */
static ErrCode find_early(Arena *arena, const RowOptions *options, const LogqlStage *stages,
                          RowPipeline *pipeline, size_t count, Error *err) {
    RowEarly *early = ARENA_ARRAY(arena, RowEarly, count + 1);
    RowHints *hints = &pipeline->hints;

    if (early == NULL) return logql_out_of_memory(err);
    hints->early = early;
    if (options->metric && !options->no_labels && options->grouping != NULL &&
        !options->grouping->without && options->grouping->count > 0)
        return ERR_OK;
    for (size_t i = 0; i < count; i++) {
        if (stages[i].kind != LOGQL_STAGE_LABEL_FILTER ||
            stages[i].as.label_filter->kind == LOGQL_FILTER_AND ||
            stages[i].as.label_filter->kind == LOGQL_FILTER_OR)
            continue;
        early[hints->early_count++] =
            (RowEarly){stages[i].as.label_filter->name, pipeline->stages[i]};
    }
    return ERR_OK;
}

static bool is_needles(Arena *arena, const LogqlStage *stage) {
    for (size_t i = 0; i < stage->as.line_filter.count; i++)
        if (!logql_term_is_needle(arena, &stage->as.line_filter.terms[i])) return false;
    return true;
}

/* Line filters of the lines as they came are looked for by the source, where they are texts. */
static void find_needles(Arena *arena, const LogqlStage *stages, size_t count, RowStage *out) {
    for (size_t i = 0; i < count; i++) {
        LogqlStageKind kind = stages[i].kind;

        if (kind == LOGQL_STAGE_LINE_FORMAT || kind == LOGQL_STAGE_UNPACK ||
            kind == LOGQL_STAGE_DECOLORIZE)
            return;
        out[i].is_needles = kind == LOGQL_STAGE_LINE_FILTER && is_needles(arena, &stages[i]);
    }
}

/* Fields are found without lines as long as no stage makes others. In a query for entries, only the
 * lines are put together that are in the answer. */
static bool takes_parts(const RowOptions *options, const LogqlStage *stages, size_t count) {
    for (size_t i = 0; i < count; i++) {
        LogqlStageKind kind = stages[i].kind;

        if ((kind == LOGQL_STAGE_JSON || kind == LOGQL_STAGE_LOGFMT) &&
            stages[i].as.parser.count == 0)
            return true;
        if (kind == LOGQL_STAGE_LINE_FORMAT || kind == LOGQL_STAGE_UNPACK ||
            kind == LOGQL_STAGE_DECOLORIZE)
            break;
    }
    return !options->metric;
}

ErrCode row_pipeline_new(LogqlEval *eval, const RowOptions *options, RowPipeline **out,
                         Error *err) {
    Arena *arena = eval->arena;
    RowPipeline *pipeline = ARENA_NEW(arena, RowPipeline);
    LogqlStage *stages;
    Order order = {0};
    LogqlLog log;

    if (pipeline == NULL || !without_idle(arena, options, &log) ||
        !order_stages(arena, &log, &order) || !make_hints(arena, options, &log, &pipeline->hints))
        return logql_out_of_memory(err);
    pipeline->stages = ARENA_ARRAY(arena, RowStage, order.count + 1);
    stages = order.stages;
    if (pipeline->stages == NULL) return logql_out_of_memory(err);
    for (size_t i = 0; i < order.count; i++) {
        TRY(compile_stage(arena, &stages[i], &pipeline->stages[i], err));
        pipeline->stages[i].number = (unsigned)i;
        pipeline->count++;
    }
    find_needles(arena, stages, order.count, pipeline->stages);
    pipeline->line_wanted = !options->metric || options->line_wanted;
    pipeline->takes_parts = takes_parts(options, stages, order.count);
    TRY(compile_unwrap(arena, options->unwrap, pipeline, err));
    TRY(find_early(arena, options, stages, pipeline, order.count, err));
    *out = pipeline;
    return ERR_OK;
}

/* ---- running ---- */

ErrCode row_worker_new(const RowPipeline *pipeline, Budget *budget, RowWorker **out, Error *err) {
    RowWorker *worker = calloc(1, sizeof *worker);

    if (worker == NULL) return logql_out_of_memory(err);
    worker->pipeline = pipeline;
    worker->run.arena = arena_new(0, budget);
    worker->run.labels.arena = worker->run.arena;
    worker->run.labels.scratch = arena_new(0, budget);
    worker->run.labels.hints = &pipeline->hints;
    worker->run.layouts = arena_new(0, budget);
    worker->run.stamp = row_stamp();
    if (worker->run.arena == NULL || worker->run.labels.scratch == NULL ||
        worker->run.layouts == NULL) {
        row_worker_free(worker);
        return logql_out_of_memory(err);
    }
    *out = worker;
    return ERR_OK;
}

void row_worker_free(RowWorker *worker) {
    if (worker == NULL) return;
    row_regexes_done(&worker->run.regexes);
    row_zones_done(&worker->run.zones);
    arena_free(worker->run.layouts);
    arena_free(worker->run.labels.scratch);
    arena_free(worker->run.arena);
    free(worker);
}

ErrCode row_worker_stream(RowWorker *worker, LabelPairs labels, Error *err) {
    (void)err;
    worker->stream = labels;
    row_labels_stream(&worker->run.labels, labels);
    return ERR_OK;
}

/* False: the entry has no such label, or a filter behind unwrap leaves it out. */
static bool unwrap_sample(RowWorker *worker, double *sample) {
    const RowPipeline *pipeline = worker->pipeline;
    RowLabels *labels = &worker->run.labels;
    int64_t ns = 0;
    uint64_t bytes = 0;
    bool good;
    Str value;

    *sample = 0;
    (void)row_labels_get(labels, pipeline->unwrap->label, &value);
    if (value.len == 0) return false;
    if (pipeline->unwrap->conversion == LOGQL_CONVERT_NONE) {
        good = str_to_double(value, sample);
    } else if (pipeline->unwrap->conversion == LOGQL_CONVERT_BYTES) {
        good = logql_parse_bytes(value, &bytes);
        *sample = (double)bytes;
    } else {
        good = logql_parse_go_duration(value, &ns);
        *sample = (double)(ns / 1000000000) + (double)(ns % 1000000000) / 1e9;
    }
    if (!good) {
        Str details =
            str_format(labels->scratch, "parsing \"" STR_FMT "\": invalid syntax", STR_ARG(value));

        labels->error = STR("SampleExtractionErr");
        labels->details = details.ptr == NULL ? (Str){"", 0} : details;
        labels->touched = true;
    }
    for (size_t i = 0; i < pipeline->unwrap->filter_count; i++)
        if (!pipeline->unwrap_filters[i].run(&pipeline->unwrap_filters[i], &worker->run))
            return false;
    return true;
}

static void fill_row(RowWorker *worker, LabelPairs metadata, Row *out) {
    RowLabels *labels = &worker->run.labels;
    RowSorted sorted;
    Str preserve;

    if (worker->pipeline->line_wanted) out->line = row_line(&worker->run);
    out->plain = !labels->touched;
    if (out->plain || !row_labels_sorted(labels, &sorted)) {
        out->stream = worker->stream;
        out->metadata = metadata;
        return;
    }
    out->stream = sorted.categories[ROW_STREAM];
    out->metadata = sorted.categories[ROW_METADATA];
    out->parsed = sorted.categories[ROW_PARSED];
    out->has_error = labels->error.len > 0 &&
                     !(row_labels_get(labels, ROW_PRESERVE, &preserve) && preserve.len > 0);
}

/* The entry's line is there. */
static bool run_stages(RowWorker *worker, int64_t time_ns, LabelPairs metadata, bool done,
                       Row *out) {
    const RowPipeline *pipeline = worker->pipeline;

    *out = (Row){0};
    worker->run.time_ns = time_ns;
    for (size_t i = 0; i < pipeline->count; i++) {
        if (done && pipeline->stages[i].is_needles) continue;
        if (!pipeline->stages[i].run(&pipeline->stages[i], &worker->run)) return false;
    }
    if (pipeline->unwrap != NULL && !unwrap_sample(worker, &out->sample)) return false;
    fill_row(worker, metadata, out);
    return !worker->run.labels.failed;
}

bool row_worker_run(RowWorker *worker, int64_t time_ns, Str line, LabelPairs metadata, bool done,
                    Row *out) {
    row_labels_begin(&worker->run.labels, metadata);
    row_line_set(&worker->run, line);
    return run_stages(worker, time_ns, metadata, done, out);
}

bool row_worker_run_text(RowWorker *worker, int64_t time_ns, LogText *text, uint32_t row,
                         LabelPairs metadata, bool done, Row *out) {
    row_labels_begin(&worker->run.labels, metadata);
    worker->run.whole = false;
    worker->run.text = text;
    worker->run.row = row;
    return run_stages(worker, time_ns, metadata, done, out);
}

bool row_pipeline_takes_parts(const RowPipeline *pipeline) {
    return pipeline->takes_parts;
}

ErrCode row_worker_error(const RowWorker *worker, Error *err) {
    if (!worker->run.labels.failed) return ERR_OK;
    if (worker->run.code == ERR_OK) return logql_out_of_memory(err);
    if (err != NULL) *err = worker->run.err;
    return worker->run.code;
}
