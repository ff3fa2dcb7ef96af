/*
 * cut.c: LogQL as the language of delete requests: what passes a pipeline is what goes.
 */
#include <stdlib.h>

#include "querier/logql/engine/cut.h"
#include "querier/logql/engine/rows.h"
#include "querier/logql/parser.h"

struct LogCutQuery {
    const LogqlLog *log;
    RowPipeline *pipeline; /* NULL: nothing is filtered */
};

struct LogCutWorker {
    RowWorker *rows;
};

/* |= "" and |~ "" are true of every line. */
static bool term_filters(const LogqlLineTerm *term) {
    if (term->op != LOGQL_LINE_CONTAINS && term->op != LOGQL_LINE_REGEX) return true;
    for (size_t i = 0; i < term->choice_count; i++)
        if (term->choices[i].text.len == 0 && !term->choices[i].ip) return false;
    return true;
}

/* Parsers and formats alone leave every entry in. */
static bool has_filter(const LogqlLog *log) {
    for (size_t i = 0; i < log->stage_count; i++) {
        const LogqlStage *stage = &log->stages[i];

        if (stage->kind == LOGQL_STAGE_LABEL_FILTER) return true;
        if (stage->kind != LOGQL_STAGE_LINE_FILTER) continue;
        for (size_t t = 0; t < stage->as.line_filter.count; t++)
            if (term_filters(&stage->as.line_filter.terms[t])) return true;
    }
    return false;
}

static ErrCode cut_compile(Str text, Arena *arena, LogCutQuery **out, Error *err) {
    LogCutQuery *query = ARENA_NEW(arena, LogCutQuery);
    LogqlEval eval = {.arena = arena};
    LogqlExpr *expr;

    if (query == NULL) return logql_out_of_memory(err);
    TRY(logql_parse(arena, text, LOGQL_UNCHECKED, &expr, err));
    if (expr->kind != LOGQL_LOG)
        return error_set(err, ERR_INVALID, "only log selector is supported");
    query->log = &expr->as.log;
    if (has_filter(query->log)) {
        RowOptions options = {.log = query->log};

        TRY(row_pipeline_new(&eval, &options, &query->pipeline, err));
    }
    *out = query;
    return ERR_OK;
}

static const Matcher *cut_matchers(const LogCutQuery *query, size_t *count) {
    *count = query->log->matcher_count;
    return query->log->matchers;
}

static bool cut_filters(const LogCutQuery *query) {
    return query->pipeline != NULL;
}

static void cut_worker_free(LogCutWorker *worker) {
    if (worker == NULL) return;
    row_worker_free(worker->rows);
    free(worker);
}

static ErrCode cut_worker_new(const LogCutQuery *query, Budget *budget, LogCutWorker **out,
                              Error *err) {
    LogCutWorker *worker = calloc(1, sizeof *worker);
    ErrCode code;

    if (worker == NULL) return logql_out_of_memory(err);
    code = row_worker_new(query->pipeline, budget, &worker->rows, err);
    if (code != ERR_OK) {
        cut_worker_free(worker);
        return code;
    }
    *out = worker;
    return ERR_OK;
}

static ErrCode cut_worker_stream(LogCutWorker *worker, LabelPairs labels, Error *err) {
    return row_worker_stream(worker->rows, labels, err);
}

static bool cut_worker_matches(LogCutWorker *worker, int64_t time_ns, Str line,
                               LabelPairs metadata) {
    Row row;

    return row_worker_run(worker->rows, time_ns, line, metadata, false, &row);
}

static ErrCode cut_worker_error(const LogCutWorker *worker, Error *err) {
    return row_worker_error(worker->rows, err);
}

const LogCutLanguage *logql_cut_language(void) {
    static const LogCutLanguage language = {
        .compile = cut_compile,
        .matchers = cut_matchers,
        .filters = cut_filters,
        .worker_new = cut_worker_new,
        .worker_free = cut_worker_free,
        .worker_stream = cut_worker_stream,
        .worker_matches = cut_worker_matches,
        .worker_error = cut_worker_error,
    };

    return &language;
}
