#include "querier/logql/engine/rows.h"

#include <stdlib.h>

struct RowPipeline {
    RowOptions options;
};

struct RowWorker {
    LabelPairs stream;
};

ErrCode row_pipeline_new(LogqlEval *eval, const RowOptions *options, RowPipeline **out,
                         Error *err) {
    RowPipeline *pipeline = ARENA_NEW(eval->arena, RowPipeline);

    if (pipeline == NULL) return logql_out_of_memory(err);
    if (options->log->stage_count > 0 || options->unwrap != NULL)
        return error_set(err, ERR_UNSUPPORTED, "stages are not compiled yet");
    pipeline->options = *options;
    *out = pipeline;
    return ERR_OK;
}

ErrCode row_worker_new(const RowPipeline *pipeline, Budget *budget, RowWorker **out, Error *err) {
    (void)pipeline, (void)budget;
    *out = calloc(1, sizeof **out);
    return *out == NULL ? logql_out_of_memory(err) : ERR_OK;
}

void row_worker_free(RowWorker *worker) {
    free(worker);
}

ErrCode row_worker_stream(RowWorker *worker, LabelPairs labels, Error *err) {
    (void)err;
    worker->stream = labels;
    return ERR_OK;
}

bool row_worker_run(RowWorker *worker, int64_t time_ns, Str line, LabelPairs metadata, bool done,
                    Row *out) {
    (void)time_ns, (void)done;
    *out = (Row){.line = line, .stream = worker->stream, .metadata = metadata, .plain = true};
    return true;
}

ErrCode row_worker_error(const RowWorker *worker, Error *err) {
    (void)worker, (void)err;
    return ERR_OK;
}
