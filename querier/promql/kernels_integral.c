/*
 * kernels_integral.c: integral(): the area below a range's floats, with time in seconds.
 */
#include "querier/promql/kahan.h"
#include "querier/promql/range.h"

/* Which height counts between two samples: the first's, the second's, or the mean of both. */
typedef enum Rule { RULE_LEFT, RULE_RIGHT, RULE_TRAPEZOID } Rule;

static double or_zero(double v) {
    return isnan(v) ? 0 : v;
}

/* In two parts: their sum is the height, nearly. */
static double height(Rule rule, double before, double v, double *comp) {
    double sum = before;

    *comp = 0;
    if (rule == RULE_LEFT) return before;
    if (rule == RULE_RIGHT) return v;
    kahan_add(v, &sum, comp);
    if (isinf(sum) && !isinf(before) && !isinf(v)) {
        /* The sum of two finite samples may be too large when their mean is not. */
        sum = before / 2;
        *comp = 0;
        kahan_add(v / 2, &sum, comp);
        return sum;
    }
    *comp /= 2;
    return sum / 2;
}

static double integrate(Rule rule, const double *values, const int64_t *times, uint32_t count) {
    double sum = 0, comp = 0;

    for (uint32_t i = 1; i < count; i++) {
        double h, h_comp;

        h = height(rule, or_zero(values[i - 1]), or_zero(values[i]), &h_comp);
        if (h != 0 || h_comp != 0) {
            double seconds = (double)(times[i] - times[i - 1]) / 1000;

            comp += h_comp * seconds;
            kahan_add(h * seconds, &sum, &comp);
        }
    }
    return isinf(sum) ? sum : sum + comp;
}

static Rule rule_at(const RangeInput *in, uint32_t step) {
    double wanted;

    if (in->call->args[0] == NULL) return RULE_TRAPEZOID;
    wanted = in->call->args[0][step];
    if (wanted == RULE_LEFT || wanted == RULE_RIGHT || wanted == RULE_TRAPEZOID)
        return (Rule)wanted;
    annotate_number(in->worker->annotations, ANNOTATION_INVALID_INTEGRAL_STRATEGY,
                    in->call->node->args[1]->id, wanted);
    return RULE_TRAPEZOID;
}

ErrCode kernel_integral(const RangeInput *in, Column *out, Error *err) {
    const Windows *w = in->windows;

    BITS_EACH(s, w->any, grid_words(&in->call->grid)) {
        uint32_t count = float_count(in, s);

        if (has_hists(in, s)) range_annotate_name(in, ANNOTATION_HISTOGRAM_IGNORED_IN_RANGE);
        put_float(out, s,
                  integrate(rule_at(in, s), in->samples.values + w->first[s],
                            in->samples.times + w->first[s], count));
        TRY(worker_check(in->worker, count, err));
    }
    out->full = w->all_any;
    return ERR_OK;
}
