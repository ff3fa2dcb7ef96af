/*
 * hist.c: histograms from and to their stored form, their buckets, copies and equality.
 */
#include "querier/promql/hist.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "querier/exec/go_float.h"

/* 2^(i/256 - 1): the fractions of all bounds up to schema 8; a lower schema takes every nth. They
 * are made the way Prometheus' were, from one schema to the next, which costs some their last bit:
 * bounds are shown to users and compared with zero thresholds. */
static double fractions[1 << HISTOGRAM_SCHEMA_MAX];
static pthread_once_t fractions_once = PTHREAD_ONCE_INIT;

static void fill_fractions(void) {
    enum { COUNT = 1 << HISTOGRAM_SCHEMA_MAX };

    fractions[0] = 0.5;
    fractions[COUNT / 2] = 1 / sqrt(2);
    for (int schema = 2; schema <= HISTOGRAM_SCHEMA_MAX; schema++) {
        int stride = COUNT >> schema;
        double factor = pow(2, ldexp(1, -schema));

        for (int i = stride; i < COUNT; i += 2 * stride)
            fractions[i] = fractions[i - stride] * factor;
    }
}

/* The bucket below the one for infinities would end at 2^1024, which no double is: it ends at the
 * largest one. */
double hist_bound(int32_t index, int32_t schema) {
    int64_t exponent;
    double fraction;

    if (schema <= 0) {
        exponent = (int64_t)index * ((int64_t)1 << -schema);
        if (exponent == 1024) return 0x1.fffffffffffffp1023;
        return ldexp(1, (int)MAX(MIN(exponent, 5000), -5000));
    }
    if (schema > HISTOGRAM_SCHEMA_MAX) {
        double power = ldexp((double)index, -schema);

        return power == 1024 ? 0x1.fffffffffffffp1023 : exp2(power);
    }
    pthread_once(&fractions_once, fill_fractions);
    fraction = fractions[(index & ((1 << schema) - 1)) << (HISTOGRAM_SCHEMA_MAX - schema)];
    exponent = (index >> schema) + 1;
    if (fraction == 0.5 && exponent == 1025) return 0x1.fffffffffffffp1023;
    return ldexp(fraction, (int)MAX(MIN(exponent, 5000), -5000));
}

double hist_upper_bound(const Hist *h, int32_t index) {
    if (!hist_is_custom(h)) return hist_bound(index, h->schema);
    if (index < 0) return -INFINITY;
    return (uint32_t)index < h->bound_count ? h->bounds[index] : INFINITY;
}

uint32_t hist_bucket_count(const Hist *h) {
    return h->negative.n + (h->zero_count > 0) + h->positive.n;
}

static HistBucket side_bucket(const Hist *h, const HistBuckets *side, uint32_t i, bool positive) {
    int32_t index = side->index[i];
    HistBucket b = {.count = side->count[i]};

    if (positive) {
        b.upper = hist_upper_bound(h, index);
        b.lower = hist_upper_bound(h, index - 1);
    } else {
        b.lower = -hist_upper_bound(h, index);
        b.upper = -hist_upper_bound(h, index - 1);
    }
    if (hist_is_custom(h)) {
        b.lower_inclusive = index == 0;
        b.upper_inclusive = true;
    } else {
        b.lower_inclusive = b.lower < 0;
        b.upper_inclusive = b.upper > 0;
    }
    if (b.upper < 0 && b.upper > -h->zero_threshold)
        b.upper = -h->zero_threshold;
    else if (b.lower > 0 && b.lower < h->zero_threshold)
        b.lower = h->zero_threshold;
    return b;
}

HistBucket hist_bucket(const Hist *h, uint32_t i) {
    if (i < h->negative.n) return side_bucket(h, &h->negative, h->negative.n - 1 - i, false);
    i -= h->negative.n;
    if (h->zero_count > 0) {
        if (i == 0)
            return (HistBucket){-h->zero_threshold, h->zero_threshold, h->zero_count, true, true};
        i--;
    }
    assert(i < h->positive.n);
    return side_bucket(h, &h->positive, i, true);
}

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "native histograms: the query's memory limit is reached");
}

static ErrCode bad_spans(Error *err) {
    return error_set(err, ERR_CORRUPT, "native histogram: spans do not fit its buckets");
}

static ErrCode view_side(HistReader *reader, int side, const HistogramSpan *spans, uint32_t n,
                         const double *counts, uint32_t count, HistBuckets *out, Error *err) {
    int64_t at = 0;
    uint32_t made = 0;
    int32_t *index;

    *out = (HistBuckets){reader->index[side], counts, count};
    if (count == 0) return ERR_OK;
    if (reader->index[side] != NULL && n == reader->span_count[side] &&
        count == reader->bucket_count[side] &&
        memcmp(spans, reader->spans[side], n * sizeof *spans) == 0)
        return ERR_OK;
    index = arena_alloc(reader->arena, count * sizeof *index);
    if (index == NULL) return out_of_memory(err);
    for (uint32_t s = 0; s < n; s++) {
        if (s > 0 && spans[s].offset < 0) return bad_spans(err);
        at += spans[s].offset;
        if (spans[s].length > count - made) return bad_spans(err);
        if (at < INT32_MIN / 2 || at + spans[s].length > INT32_MAX / 2) return bad_spans(err);
        for (uint32_t i = 0; i < spans[s].length; i++) index[made++] = (int32_t)at++;
    }
    if (made != count) return bad_spans(err);
    /* The spans are kept too: the caller's may be overwritten by the next read. */
    HistogramSpan *kept = arena_alloc(reader->arena, MAX(n, 1) * sizeof *kept);

    if (kept == NULL) return out_of_memory(err);
    memcpy(kept, spans, n * sizeof *kept);
    reader->spans[side] = kept;
    reader->span_count[side] = n;
    reader->bucket_count[side] = count;
    reader->index[side] = index;
    out->index = index;
    return ERR_OK;
}

static ErrCode view_bounds(HistReader *reader, const NativeHistogram *native, Hist *h, Error *err) {
    size_t bytes = native->custom_count * sizeof(double);

    if (reader->bounds == NULL || reader->bound_count != native->custom_count ||
        (bytes > 0 && memcmp(reader->bounds, native->custom_values, bytes) != 0)) {
        double *copy = arena_alloc(reader->bounds_arena, MAX(bytes, 1));

        if (copy == NULL) return out_of_memory(err);
        if (bytes > 0) memcpy(copy, native->custom_values, bytes);
        reader->bounds = copy;
        reader->bound_count = native->custom_count;
    }
    h->bounds = reader->bounds;
    h->bound_count = reader->bound_count;
    return ERR_OK;
}

ErrCode hist_view(HistReader *reader, const NativeHistogram *native, Hist *out, Error *err) {
    Hist h = {
        .schema = native->schema, .hint = native->hint, .count = native->count, .sum = native->sum};

    if (native->schema == HISTOGRAM_SCHEMA_CUSTOM) {
        TRY(view_bounds(reader, native, &h, err));
    } else {
        if (native->schema < -9 || native->schema > 52)
            return error_set(err, ERR_CORRUPT, "native histogram: unknown schema %d",
                             native->schema);
        if (!(native->zero_threshold >= 0) || isinf(native->zero_threshold))
            return error_set(err, ERR_CORRUPT, "native histogram: zero threshold %g",
                             native->zero_threshold);
        h.zero_threshold = native->zero_threshold;
        h.zero_count = native->zero_count;
        TRY(view_side(reader, 1, native->negative_spans, native->negative_span_count,
                      native->negative, native->negative_count, &h.negative, err));
    }
    TRY(view_side(reader, 0, native->positive_spans, native->positive_span_count, native->positive,
                  native->positive_count, &h.positive, err));
    if (hist_is_custom(&h) && h.positive.n > 0 &&
        (h.positive.index[0] < 0 ||
         (uint32_t)h.positive.index[h.positive.n - 1] > native->custom_count))
        return bad_spans(err);
    *out = h;
    return ERR_OK;
}

static bool dup_side(Arena *arena, HistBuckets *side) {
    int32_t *index;
    double *count;

    if (side->n == 0) {
        *side = (HistBuckets){0};
        return true;
    }
    index = arena_alloc(arena, side->n * sizeof *index);
    count = arena_alloc(arena, side->n * sizeof *count);
    if (index == NULL || count == NULL) return false;
    memcpy(index, side->index, side->n * sizeof *index);
    memcpy(count, side->count, side->n * sizeof *count);
    side->index = index;
    side->count = count;
    return true;
}

const Hist *hist_dup(Arena *arena, const Hist *h) {
    Hist *copy = arena_alloc(arena, sizeof *copy);

    if (copy == NULL) return NULL;
    *copy = *h;
    if (!dup_side(arena, &copy->positive) || !dup_side(arena, &copy->negative)) return NULL;
    if (h->bound_count > 0) {
        double *bounds = arena_alloc(arena, h->bound_count * sizeof *bounds);

        if (bounds == NULL) return NULL;
        memcpy(bounds, h->bounds, h->bound_count * sizeof *bounds);
        copy->bounds = bounds;
    }
    return copy;
}

const Hist *hist_with_hint(Arena *arena, const Hist *h, HistogramHint hint) {
    Hist *copy = arena_alloc(arena, sizeof *copy);

    if (copy == NULL) return NULL;
    *copy = *h;
    copy->hint = (uint8_t)hint;
    return copy;
}

static bool make_spans(Arena *arena, const HistBuckets *side, HistogramSpan **spans, uint32_t *n,
                       double **counts) {
    HistogramSpan *made = arena_alloc(arena, MAX(side->n, 1) * sizeof *made);
    int64_t end = 0;

    *n = 0;
    *counts = arena_alloc(arena, MAX(side->n, 1) * sizeof **counts);
    if (made == NULL || *counts == NULL) return false;
    for (uint32_t i = 0; i < side->n; i++) {
        (*counts)[i] = side->count[i];
        if (*n == 0 || side->index[i] != end)
            made[(*n)++] = (HistogramSpan){(int32_t)(side->index[i] - end), 0};
        made[*n - 1].length++;
        end = (int64_t)side->index[i] + 1;
    }
    *spans = made;
    return true;
}

NativeHistogram *hist_to_native(Arena *arena, const Hist *h) {
    NativeHistogram *native = ARENA_NEW(arena, NativeHistogram);

    if (native == NULL) return NULL;
    native->schema = h->schema;
    native->hint = h->hint;
    native->is_float = true;
    native->zero_threshold = h->zero_threshold;
    native->zero_count = h->zero_count;
    native->count = h->count;
    native->sum = h->sum;
    native->positive_count = h->positive.n;
    native->negative_count = h->negative.n;
    native->custom_count = h->bound_count;
    if (!make_spans(arena, &h->positive, &native->positive_spans, &native->positive_span_count,
                    &native->positive) ||
        !make_spans(arena, &h->negative, &native->negative_spans, &native->negative_span_count,
                    &native->negative))
        return NULL;
    native->custom_values = arena_alloc(arena, MAX(h->bound_count, 1) * sizeof(double));
    if (native->custom_values == NULL) return NULL;
    if (h->bound_count > 0)
        memcpy(native->custom_values, h->bounds, h->bound_count * sizeof(double));
    return native;
}

bool hist_same_bounds(const Hist *a, const Hist *b) {
    if (a->bound_count != b->bound_count) return false;
    if (a->bounds == b->bounds) return true;
    for (uint32_t i = 0; i < a->bound_count; i++)
        if (a->bounds[i] != b->bounds[i]) return false;
    return true;
}

static bool same_bits(const double *a, const double *b, uint32_t n) {
    return n == 0 || memcmp(a, b, n * sizeof *a) == 0;
}

static bool side_equal(const HistBuckets *a, const HistBuckets *b) {
    return a->n == b->n && same_bits(a->count, b->count, a->n) &&
           (a->n == 0 || memcmp(a->index, b->index, a->n * sizeof *a->index) == 0);
}

bool hist_equal(const Hist *a, const Hist *b) {
    return a->schema == b->schema && same_bits(&a->count, &b->count, 1) &&
           same_bits(&a->sum, &b->sum, 1) && a->zero_threshold == b->zero_threshold &&
           same_bits(&a->zero_count, &b->zero_count, 1) && hist_same_bounds(a, b) &&
           side_equal(&a->negative, &b->negative) && side_equal(&a->positive, &b->positive);
}

void hist_append_text(Buf *out, const Hist *h) {
    uint32_t n = hist_bucket_count(h);

    buf_append_str(out, STR("{count:"));
    go_append_g(out, h->count);
    buf_append_str(out, STR(", sum:"));
    go_append_g(out, h->sum);
    for (uint32_t i = 0; i < n; i++) {
        HistBucket b = hist_bucket(h, i);

        if (b.count == 0) continue;
        buf_append_str(out, STR(", "));
        buf_append_byte(out, b.lower_inclusive ? '[' : '(');
        go_append_g(out, b.lower);
        buf_append_byte(out, ',');
        go_append_g(out, b.upper);
        buf_append_byte(out, b.upper_inclusive ? ']' : ')');
        buf_append_byte(out, ':');
        go_append_g(out, b.count);
    }
    buf_append_byte(out, '}');
}
