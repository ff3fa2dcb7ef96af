#include "querier/promql/interpolate.h"

#include "querier/promql/hist_sum.h"

static ErrCode copy_of(Worker *worker, const Hist *h, const Hist **out, Error *err) {
    *out = hist_dup(worker->hists, h);
    return *out == NULL ? eval_out_of_memory(err) : ERR_OK;
}

/* h1 + (h2 - h1) * fraction */
static bool mix(Arena *arena, const Hist *h1, const Hist *h2, double fraction, HistSum *sum,
                HistSumInfo *sub, HistSumInfo *add) {
    if (!hist_sum_init(sum, arena, h2, false)) {
        sub->out_of_memory = true;
        return false;
    }
    if (!hist_sum_add(sum, h1, -1, sub)) return false;
    hist_sum_multiply(sum, fraction);
    return hist_sum_add(sum, h1, 1, add);
}

ErrCode interpolate_hists(const Interpolation *at, const Hist *h1, int64_t t1, const Hist *h2,
                          int64_t t2, int64_t t, const Hist **out, Error *err) {
    Worker *worker = at->worker;
    double fraction = (double)(t - t1) / (double)(t2 - t1);
    HistSumInfo sub = {0}, add = {0};
    HistSum sum;

    *out = NULL;
    if (t == t1) return copy_of(worker, h1, out, err);
    if (t == t2) return copy_of(worker, h2, out, err);
    if ((h1->schema == HISTOGRAM_SCHEMA_CUSTOM) != (h2->schema == HISTOGRAM_SCHEMA_CUSTOM)) {
        annotate_name(worker->annotations, ANNOTATION_MIXED_EXPONENTIAL_CUSTOM, at->node, at->name);
        return ERR_OK;
    }
    if (at->counter && hist_detect_reset(h2, h1)) {
        *out = hist_multiply(worker->hists, h2, fraction, false);
        return *out == NULL ? eval_out_of_memory(err) : ERR_OK;
    }
    if (mix(worker->hists, h1, h2, fraction, &sum, &sub, &add)) {
        *out = hist_sum_finish(&sum, false);
        if (*out == NULL) return eval_out_of_memory(err);
    }
    if (sub.out_of_memory || add.out_of_memory) return eval_out_of_memory(err);
    if (sub.bounds_reconciled)
        annotate_more(worker->annotations, ANNOTATION_BOUNDS_RECONCILED, at->node, " subtraction");
    if (add.bounds_reconciled)
        annotate_more(worker->annotations, ANNOTATION_BOUNDS_RECONCILED, at->node, " addition");
    return ERR_OK;
}
