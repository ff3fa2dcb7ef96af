#include "tests/unit/promql/fake_source.h"

#include <stdlib.h>

#include "common/base/hash.h"

typedef struct FakeSample {
    int64_t time;
    double value;
    const NativeHistogram *histogram; /* NULL: a float */
} FakeSample;

typedef struct FakeSeries {
    LabelPair *labels;
    size_t label_count;
    FakeSample *samples;
    size_t count, capacity;
    bool sorted;
    /* Columns, made when first selected after a change. */
    int64_t *times;
    double *values;
    size_t floats;
    int64_t *histogram_times;
    const NativeHistogram **histograms;
    size_t histogram_count;
    uint64_t times_hash;
} FakeSeries;

struct FakeSource {
    SeriesSource source;
    Arena *arena;
    FakeSeries *series;
    size_t count, capacity;
    bool share;
    uint64_t selects;
};

struct SeriesScratch {
    Arena *kept;   /* shared times */
    Arena *series; /* what the next read overwrites, so that nobody counts on it */
};

SeriesScratch *series_scratch_new(QueryContext *query) {
    SeriesScratch *scratch = calloc(1, sizeof *scratch);

    (void)query;
    scratch->kept = arena_new(0, NULL);
    scratch->series = arena_new(0, NULL);
    return scratch;
}

void series_scratch_free(SeriesScratch *scratch) {
    if (scratch == NULL) return;
    arena_free(scratch->kept);
    arena_free(scratch->series);
    free(scratch);
}

static void free_columns(FakeSeries *series) {
    free(series->times);
    free(series->values);
    free(series->histogram_times);
    free(series->histograms);
    series->times = NULL;
    series->values = NULL;
    series->histogram_times = NULL;
    series->histograms = NULL;
}

void fake_source_free(FakeSource *fake) {
    if (fake == NULL) return;
    for (size_t i = 0; i < fake->count; i++) {
        free_columns(&fake->series[i]);
        free(fake->series[i].samples);
    }
    free(fake->series);
    arena_free(fake->arena);
    free(fake);
}

static FakeSeries *find_series(FakeSource *fake, const LabelPair *labels, size_t count) {
    LabelPair *sorted = ARENA_ARRAY(fake->arena, LabelPair, count + 1);
    LabelPairs set = {sorted, 0};
    FakeSeries *series;

    for (size_t i = 0; i < count; i++)
        if (labels[i].value.len > 0) sorted[set.count++] = labels[i];
    labels_sort(sorted, set.count);
    for (size_t i = 0; i < fake->count; i++)
        if (labels_compare((LabelPairs){fake->series[i].labels, fake->series[i].label_count},
                           set) == 0)
            return &fake->series[i];
    if (fake->count == fake->capacity) {
        fake->capacity = MAX(fake->capacity * 2, 16);
        fake->series = realloc(fake->series, fake->capacity * sizeof *fake->series);
    }
    series = &fake->series[fake->count++];
    *series = (FakeSeries){.labels = sorted, .label_count = set.count};
    for (size_t i = 0; i < set.count; i++) {
        sorted[i].name = str_dup(fake->arena, sorted[i].name);
        sorted[i].value = str_dup(fake->arena, sorted[i].value);
    }
    return series;
}

static void add_sample(FakeSource *fake, const LabelPair *labels, size_t count, FakeSample sample) {
    FakeSeries *series = find_series(fake, labels, count);

    series->sorted = false;
    for (size_t i = series->count; i > 0; i--)
        if (series->samples[i - 1].time == sample.time) {
            series->samples[i - 1] = sample;
            return;
        }
    if (series->count == series->capacity) {
        series->capacity = MAX(series->capacity * 2, 16);
        series->samples = realloc(series->samples, series->capacity * sizeof *series->samples);
    }
    series->samples[series->count++] = sample;
}

void fake_source_add(FakeSource *fake, const LabelPair *labels, size_t count, int64_t time_ms,
                     double value) {
    add_sample(fake, labels, count, (FakeSample){time_ms, value, NULL});
}

void fake_source_add_histogram(FakeSource *fake, const LabelPair *labels, size_t count,
                               int64_t time_ms, const NativeHistogram *histogram) {
    add_sample(fake, labels, count,
               (FakeSample){time_ms, 0, histogram_dup(fake->arena, histogram)});
}

void fake_source_share_times(FakeSource *fake, bool share) {
    fake->share = share;
}

static int compare_samples(const void *a, const void *b) {
    int64_t x = ((const FakeSample *)a)->time, y = ((const FakeSample *)b)->time;

    return (x > y) - (x < y);
}

static void make_columns(FakeSeries *series) {
    size_t n = series->count + 1;

    if (series->sorted) return;
    free_columns(series);
    qsort(series->samples, series->count, sizeof *series->samples, compare_samples);
    series->times = malloc(n * sizeof(int64_t));
    series->values = malloc(n * sizeof(double));
    series->histogram_times = malloc(n * sizeof(int64_t));
    series->histograms = malloc(n * sizeof(NativeHistogram *));
    series->floats = series->histogram_count = 0;
    for (size_t i = 0; i < series->count; i++) {
        const FakeSample *sample = &series->samples[i];

        if (sample->histogram == NULL) {
            series->times[series->floats] = sample->time;
            series->values[series->floats++] = sample->value;
        } else {
            series->histogram_times[series->histogram_count] = sample->time;
            series->histograms[series->histogram_count++] = sample->histogram;
        }
    }
    series->times_hash = hash_bytes(series->times, series->floats * sizeof(int64_t)) | 1;
    series->sorted = true;
}

/* What a select found. */
typedef struct FakeSet {
    FakeSource *fake;
    const FakeSeries **series;
    int64_t min, max;
    uint64_t id;
    bool presence_only;
} FakeSet;

static size_t first_from(const int64_t *times, size_t count, int64_t time) {
    size_t i = 0;

    while (i < count && times[i] < time) i++;
    return i;
}

static void *copy(Arena *arena, const void *numbers, size_t count) {
    void *to = arena_alloc(arena, (count + 1) * sizeof(int64_t));

    memcpy(to, numbers, count * sizeof(int64_t));
    return to;
}

/* Who said that values do not matter finds others. */
static void hide_values(double *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!value_is_stale(values[i])) values[i] = i % 2 == 0 ? -1.75e9 : 0;
}

static ErrCode fake_read(const SeriesSet *set, size_t i, SeriesScratch *scratch, SeriesSamples *out,
                         Error *err) {
    const FakeSet *found = set->context;
    const FakeSeries *series = found->series[i];
    size_t first = first_from(series->times, series->floats, found->min);
    size_t end = first_from(series->times, series->floats, found->max + 1);
    size_t h = first_from(series->histogram_times, series->histogram_count, found->min);
    size_t h_end = first_from(series->histogram_times, series->histogram_count, found->max + 1);

    bool share = found->fake->share;
    const NativeHistogram **histograms;
    double *values;

    (void)err;
    arena_reset(scratch->series);
    histograms = ARENA_ARRAY(scratch->series, const NativeHistogram *, h_end - h + 1);
    for (size_t k = h; k < h_end; k++)
        histograms[k - h] = histogram_dup(scratch->series, series->histograms[k]);
    values = copy(scratch->series, series->values + first, end - first);
    if (found->presence_only) hide_values(values, end - first);
    *out = (SeriesSamples){
        .times = copy(share ? scratch->kept : scratch->series, series->times + first, end - first),
        .values = values,
        .count = end - first,
        .times_id = share ? series->times_hash ^ found->id : 0,
        .histogram_times = copy(scratch->series, series->histogram_times + h, h_end - h),
        .histograms = histograms,
        .histogram_count = h_end - h};
    return ERR_OK;
}

static bool series_matches(const FakeSeries *series, const SelectRequest *request) {
    for (size_t m = 0; m < request->matcher_count; m++) {
        Str value = labels_get((LabelPairs){series->labels, series->label_count},
                               request->matchers[m].name);

        if (!matcher_matches(&request->matchers[m], value)) return false;
    }
    return true;
}

static ErrCode fake_select(SeriesSource *source, QueryContext *query, const SelectRequest *request,
                           SeriesSet *out, Error *err) {
    FakeSource *fake = source->context;
    FakeSet *found = ARENA_NEW(query->arena, FakeSet);
    LabelSet *sets = ARENA_ARRAY(query->arena, LabelSet, fake->count + 1);
    size_t count = 0;

    if (found != NULL)
        found->series = ARENA_ARRAY(query->arena, const FakeSeries *, fake->count + 1);
    if (found == NULL || sets == NULL || found->series == NULL)
        return error_set(err, ERR_LIMIT, "fake source: out of memory");
    found->fake = fake;
    found->min = request->min_ms;
    found->max = request->max_ms;
    found->presence_only = request->presence_only;
    found->id = ++fake->selects << 40;
    for (size_t i = 0; i < fake->count; i++) {
        FakeSeries *series = &fake->series[i];
        Label *labels;

        if (!series_matches(series, request)) continue;
        make_columns(series);
        labels = ARENA_ARRAY(query->arena, Label, series->label_count + 1);
        if (labels == NULL) return error_set(err, ERR_LIMIT, "fake source: out of memory");
        for (size_t l = 0; l < series->label_count; l++)
            labels[l] = (Label){symbols_add(query->symbols, series->labels[l].name),
                                symbols_add(query->symbols, series->labels[l].value)};
        sets[count] = (LabelSet){labels, (uint32_t)series->label_count};
        found->series[count++] = series;
    }
    *out = (SeriesSet){.labels = sets, .count = count, .read = fake_read, .context = found};
    return ERR_OK;
}

FakeSource *fake_source_new(void) {
    FakeSource *fake = calloc(1, sizeof *fake);

    fake->arena = arena_new(0, NULL);
    fake->share = true;
    fake->source.select = fake_select;
    fake->source.context = fake;
    return fake;
}

SeriesSource *fake_source_series(FakeSource *fake) {
    return &fake->source;
}
