/*
 * metrics.c: a metrics query as a tree: pipelines at its leaves, arithmetic above.
 */
#include "querier/traceql/engine/metrics.h"

#include <math.h>
#include <stdlib.h>

#include "querier/logql/units.h"

enum { STEPS_MAX = 10000 };

/* ---- points ---- */

static ErrCode step_too_small(int64_t step_ns, int64_t range_ns, Error *err) {
    Buf buf;
    ErrCode code;

    buf_init(&buf, 0);
    buf_append_str(&buf, STR("step of "));
    logql_append_go_duration(&buf, step_ns);
    buf_append_str(&buf, STR(" is too small, minimum step for given range is "));
    logql_append_go_duration(&buf, (range_ns / STEPS_MAX + 999999) / 1000000 * 1000000);
    code = error_set(err, ERR_INVALID, STR_FMT, STR_ARG(buf_str(&buf)));
    buf_done(&buf);
    return code;
}

static ErrCode points_of(const TraceqlMetricsParams *params, Points *out, Error *err) {
    int64_t start = params->start_ns, end = params->end_ns, step = params->step_ns;

    if (start < 0 || end > INT64_MAX / 2) return error_set(err, ERR_INVALID, "start required");
    if (end <= start) return error_set(err, ERR_INVALID, "end must be greater than start");
    *out = (Points){.start_ns = start, .end_ns = end, .step_ns = end - start, .count = 1};
    out->instant = step == 0;
    if (step == 0) return ERR_OK;
    if (step < 0) return error_set(err, ERR_INVALID, "step required");
    if ((end - start) / step > STEPS_MAX) return step_too_small(step, end - start, err);
    step = MIN(step, INT64_MAX / 4);
    start -= start % step;
    if (end % step != 0) end += step - end % step;
    /* One more, so that what is at the start itself is counted. */
    start -= step;
    *out = (Points){.start_ns = start, .end_ns = end, .step_ns = step};
    out->count = (size_t)((end - start) / step);
    return ERR_OK;
}

/* ---- leaves ---- */

ErrCode metric_select(const MetricRun *run, TraceScan *scan, Error *err) {
    TraceSelect select = {.min_ns = run->points->start_ns,
                          .max_ns = run->points->end_ns,
                          .need = run->need,
                          .stats = run->params->stats};

    TRY(plan_hints(&run->metric->pipeline, run->arena, &select.any, &select.any_count, err));
    return trace_scan_open(scan, run->params->source, run->params->query, &select, err);
}

static ErrCode run_leaf(const TraceqlQuery *query, const TraceqlMetricsParams *params,
                        const TraceqlMetric *metric, const Points *points, SeriesList *out,
                        Error *err) {
    MetricRun run = {.query = query,
                     .params = params,
                     .metric = metric,
                     .points = points,
                     .arena = params->query->arena,
                     .rest = metric->pipeline};

    if (metric->pipeline.count > 0 && metric->pipeline.stages[0].kind == TRACEQL_STAGE_SET) {
        run.first = metric->pipeline.stages[0].set;
        run.rest = (TraceqlPipeline){metric->pipeline.stages + 1, metric->pipeline.count - 1};
    }
    TRY(plan_need_pipeline(&run.need, &metric->pipeline, run.arena, err));
    if (metric->function == TRACEQL_COMPARE) return metric_compare(&run, out, err);
    return metric_aggregate(&run, out, err);
}

/* ---- the tree ---- */

static void scale(const TraceqlMetric *metric, size_t points, SeriesList *list) {
    for (size_t i = 0; i < list->count; i++) {
        for (size_t p = 0; p < points; p++) {
            double *value = &list->items[i].values[p];
            double a = metric->number_first ? metric->number : *value;
            double b = metric->number_first ? *value : metric->number;

            switch (metric->op) {
            case TRACEQL_ADD:
                *value = a + b;
                break;
            case TRACEQL_SUB:
                *value = a - b;
                break;
            case TRACEQL_MUL:
                *value = a * b;
                break;
            default:
                *value = b == 0 ? NAN : a / b;
                break;
            }
        }
    }
}

static ErrCode run_tree(const TraceqlQuery *query, const TraceqlMetricsParams *params,
                        const TraceqlMetric *metric, const Points *points, SeriesList *out,
                        Error *err) {
    Arena *arena = params->query->arena;
    SeriesList left, right;

    switch (metric->kind) {
    case TRACEQL_METRIC_PIPELINE:
        TRY(run_leaf(query, params, metric, points, out, err));
        break;
    case TRACEQL_METRIC_SCALAR:
        TRY(run_tree(query, params, metric->left, points, out, err));
        scale(metric, points->count, out);
        break;
    default:
        TRY(run_tree(query, params, metric->left, points, &left, err));
        TRY(run_tree(query, params, metric->right, points, &right, err));
        TRY(metric_math(metric->op, &left, &right, points->count, arena, out, err));
        break;
    }
    return metric_seconds(metric, points->count, out, arena, err);
}

ErrCode traceql_metrics(const TraceqlQuery *parsed, const TraceqlMetricsParams *params,
                        TraceqlMetricsResult *out, Error *err) {
    SeriesList list;
    Points points;
    size_t left = 0;

    if (parsed->metric == NULL) return error_set(err, ERR_INVALID, "not a metrics query");
    TRY(points_of(params, &points, err));
    TRY(run_tree(parsed, params, parsed->metric, &points, &list, err));
    for (size_t i = 0; i < list.count; i++) {
        bool any = false;

        for (size_t p = 0; p < points.count && !any; p++) any = !isnan(list.items[i].values[p]);
        if (any) list.items[left++] = list.items[i];
    }
    if (left > 0) qsort(list.items, left, sizeof *list.items, metric_order_series);
    *out = (TraceqlMetricsResult){
        .series = list.items,
        .count = left,
        .first_ms = (points.start_ns + points.step_ns) / 1000000,
        .step_ms = points.step_ns / 1000000,
        .points = points.count,
    };
    return ERR_OK;
}
