/*
 * range.c: looks for steps that are known, evaluates those before and after, joins the three by
 * labels, and keeps the whole.
 *
 * Warnings and infos: which of them belong to which step nobody knows. Answers that have some are
 * only kept when these are about metrics' names (annotations_plain()), and are only used when the
 * steps evaluated beside them say the very same: then the whole does. When it is otherwise, or
 * steps beside known ones fail, everything is evaluated in one go, so that texts, their order and
 * their positions are those of the whole.
 */
#include "querier/cache/range.h"

#include "common/base/hash.h"
#include "common/base/telemetry.h"

enum {
    STEPS_MIN = 4,   /* of fewer steps nothing is kept */
    KNOWN_SHARE = 4, /* known steps are worth two evaluations when they are this part of all */
};

typedef struct RangeQuery {
    ResultCache *cache;
    const CachedQuery *query;
    PromqlExpr *expr;
    Str text;
    const PromqlParams *params;
    ResultKey key;
    uint64_t mark;
    size_t steps;
    /* Steps that may be kept are at times in [keep_first, keep_last]. */
    int64_t keep_first_ms;
    int64_t keep_last_ms;
} RangeQuery;

/* A part of the answer: steps [at, at + steps) of it. */
typedef struct Piece {
    size_t at;
    size_t steps;
    /* either an evaluation's */
    PromqlResult result;
    Str notes;
    /* or known */
    const Extent *extent;
    size_t from;
    LabelSet *labels;
    size_t next; /* series that are joined already */
} Piece;

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "the query needs more memory than it may use");
}

static void count_use(CacheUse use) {
    static const char *const labels[] = {"result=\"bypass\"", "result=\"miss\"",
                                         "result=\"partial\"", "result=\"hit\""};

    counter_add(telemetry_counter("moraine_result_cache_requests_total", labels[use],
                                  "Range queries, by what the result cache knew of them."),
                1);
}

/* ---- what is asked ---- */

/* Steps at the same times belong together whatever the range: the key has the rest of the start by
 * the step. */
static int64_t phase_of(const PromqlParams *params) {
    int64_t phase = params->start_ms % params->step_ms;

    return phase < 0 ? phase + params->step_ms : phase;
}

static bool make_key(RangeQuery *range, Arena *arena) {
    const CachedQuery *query = range->query;
    const PromqlParams *params = range->params;
    Buf text;

    buf_init(&text, 0);
    buf_printf(&text, "%lld %lld %lld %lld %d %llu\n", (long long)params->step_ms,
               (long long)phase_of(params), (long long)params->lookback_ms,
               (long long)params->subquery_step_ms, params->type_and_unit_labels,
               (unsigned long long)query->generation);
    for (size_t i = 0; i < query->tenant_count; i++) {
        buf_append_str(&text, query->tenants[i]);
        buf_append_byte(&text, '|');
    }
    buf_append_byte(&text, '\n');
    buf_append_str(&text, range->text);
    if (!buf_failed(&text)) range->key.text = str_dup(arena, buf_str(&text));
    buf_done(&text);
    range->key.hash = hash_str(range->key.text);
    range->key.tenants = query->tenants;
    range->key.tenant_count = query->tenant_count;
    range->key.step_ms = params->step_ms;
    return range->key.text.ptr != NULL;
}

/* False: this one is evaluated, and nothing is kept. */
static bool prepare(RangeQuery *range) {
    const PromqlParams *params = range->params;
    const CachedQuery *query = range->query;
    ResultWindow *window = &range->key.window;
    int64_t lookback = params->lookback_ms > 0 ? params->lookback_ms : PROMQL_LOOKBACK_MS;
    int64_t subquery_step =
        params->subquery_step_ms > 0 ? params->subquery_step_ms : PROMQL_SUBQUERY_STEP_MS;

    /* Within a thousand years or so of 1970, sums of times cannot overflow. */
    static const int64_t far = INT64_C(1) << 45;

    if (params->start_ms < -far || params->end_ms > far || params->end_ms < params->start_ms ||
        params->step_ms > far)
        return false;
    range->steps = (size_t)((params->end_ms - params->start_ms) / params->step_ms) + 1;
    if (range->steps < STEPS_MIN) return false;
    if (!result_window(range->expr, lookback, subquery_step, params->step_ms, window)) return false;
    range->keep_first_ms = params->start_ms;
    if (query->keep_from_ms != INT64_MIN) {
        if (window->has_fixed && window->fixed_min_ms < query->keep_from_ms) return false;
        range->keep_first_ms = MAX(range->keep_first_ms, query->keep_from_ms + window->back_ms);
    }
    range->keep_last_ms = MIN(
        params->end_ms, query->now_ms - result_cache_min_age_ms(range->cache) - window->ahead_ms);
    return range->keep_first_ms <= range->keep_last_ms && make_key(range, params->query->arena);
}

/* ---- the pieces ---- */

static ErrCode eval_steps(const RangeQuery *range, size_t at, size_t steps, PromqlResult *out,
                          Error *err) {
    PromqlParams params = *range->params;

    params.start_ms += (int64_t)at * params.step_ms;
    params.end_ms = params.start_ms + (int64_t)(steps - 1) * params.step_ms;
    return promql_eval(range->expr, range->text, &params, out, err);
}

static size_t piece_series(const Piece *piece) {
    return piece->extent != NULL ? extent_series(piece->extent) : piece->result.series_count;
}

static LabelSet piece_labels(const Piece *piece, size_t series) {
    return piece->extent != NULL ? piece->labels[series] : piece->result.series[series].labels;
}

static bool piece_has_hists(const Piece *piece) {
    return piece->extent != NULL ? extent_has_hists(piece->extent, piece->next)
                                 : piece->result.series[piece->next].histograms != NULL;
}

/* The next series' samples into the answer's. */
static bool piece_read(const Piece *piece, double *values, uint64_t *present, const Hist **hists) {
    const PromqlSeries *series;

    if (piece->extent != NULL)
        return extent_read(piece->extent, piece->next, piece->from, piece->steps, piece->at, values,
                           present, hists);
    series = &piece->result.series[piece->next];
    memcpy(values + piece->at, series->values, piece->steps * sizeof *values);
    for (size_t s = 0; s < piece->steps; s++)
        present[(piece->at + s) / 64] |= (uint64_t)promql_has_float(series, s)
                                         << ((piece->at + s) % 64);
    for (size_t s = 0; series->histograms != NULL && s < piece->steps; s++)
        hists[piece->at + s] = series->histograms[s];
    return true; /* an evaluation returns no empty series */
}

/* ---- warnings and infos ---- */

/* What the result says, a line each; nothing when it says nothing. False: something that depends on
 * more than the metrics. */
static bool notes_of(const RangeQuery *range, const PromqlResult *result, Str *out) {
    Arena *arena = range->params->query->arena;
    AnnotationTexts texts;
    bool made = true;
    Buf all;

    *out = (Str){0};
    if (annotations_empty(result->annotations)) return true;
    if (!annotations_plain(result->annotations) ||
        annotations_texts(result->annotations, range->text, result->positions, 0, arena, &texts,
                          NULL) != ERR_OK)
        return false;
    buf_init(&all, 0);
    for (size_t i = 0; i < texts.info_count; i++) {
        buf_append_str(&all, texts.infos[i]);
        buf_append_byte(&all, '\n');
    }
    if (!buf_failed(&all)) *out = str_dup(arena, buf_str(&all));
    made = texts.warning_count == 0 && out->len > 0;
    buf_done(&all);
    return made;
}

static bool says_no_more(Str notes, Str than) {
    return notes.len == 0 || str_equal(notes, than);
}

typedef struct Joining {
    Arena *arena;
    const Symbols *symbols;
    size_t steps;
    const int64_t *times;
    Piece *pieces;
    size_t piece_count;
} Joining;

/* The pieces whose next series has the labels that come first. */
static unsigned next_labels(const Joining *joining, LabelSet *labels) {
    unsigned with = 0;

    for (size_t p = 0; p < joining->piece_count; p++) {
        const Piece *piece = &joining->pieces[p];
        int order;

        if (piece->next == piece_series(piece)) continue;
        LabelSet set = piece_labels(piece, piece->next);

        order = with == 0 ? -1 : label_set_compare(joining->symbols, set, *labels);
        if (order > 0) continue;
        if (order < 0) with = 0;
        *labels = set;
        with |= 1U << p;
    }
    return with;
}

/* *ret_any false: its samples are all at steps that were not asked for. */
static ErrCode join_series(const Joining *joining, unsigned with, PromqlSeries *out, bool *ret_any,
                           Error *err) {
    size_t words = (joining->steps + 63) / 64;
    double *values = arena_alloc(joining->arena, joining->steps * sizeof *values);
    uint64_t *present = ARENA_ARRAY(joining->arena, uint64_t, words);
    const Hist **hists = NULL;
    bool any = false;

    for (size_t p = 0; p < joining->piece_count; p++)
        if ((with >> p & 1) != 0 && hists == NULL && piece_has_hists(&joining->pieces[p])) {
            hists = ARENA_ARRAY(joining->arena, const Hist *, joining->steps);
            if (hists == NULL) return out_of_memory(err);
        }
    if (values == NULL || present == NULL) return out_of_memory(err);
    for (size_t p = 0; p < joining->piece_count; p++) {
        if ((with >> p & 1) == 0) continue;
        any |= piece_read(&joining->pieces[p], values, present, hists);
        joining->pieces[p].next++;
    }
    out->times = joining->times;
    out->values = values;
    out->present = present;
    out->histograms = hists;
    out->count = joining->steps;
    *ret_any = any;
    return ERR_OK;
}

static ErrCode join_pieces(const RangeQuery *range, Piece *pieces, size_t count, PromqlResult *out,
                           Error *err) {
    QueryContext *query = range->params->query;
    int64_t *times = arena_alloc(query->arena, range->steps * sizeof *times);
    Joining joining = {query->arena, query->symbols, range->steps, times, pieces, count};
    PromqlResult result = {.type = PROMQL_TYPE_MATRIX, .time_ms = range->params->start_ms};
    size_t series_max = 0;
    LabelSet labels = {0};
    unsigned with;

    for (size_t p = 0; p < count; p++) series_max += piece_series(&pieces[p]);
    result.series = ARENA_ARRAY(query->arena, PromqlSeries, series_max);
    /* The newest steps', which say all that the others say, or nothing to say. */
    result.annotations = pieces[count - 1].result.annotations;
    result.positions = pieces[count - 1].result.positions;
    if (result.annotations == NULL) result.annotations = annotations_new(query->arena);
    if (times == NULL || result.series == NULL || result.annotations == NULL)
        return out_of_memory(err);
    for (size_t s = 0; s < range->steps; s++)
        times[s] = range->params->start_ms + (int64_t)s * range->params->step_ms;
    while ((with = next_labels(&joining, &labels)) != 0) {
        PromqlSeries *series = &result.series[result.series_count];
        bool any = false;

        if ((result.series_count & 1023) == 1023) TRY(query_check(query, err));
        TRY(join_series(&joining, with, series, &any, err));
        series->labels = labels;
        result.series_count += any;
    }
    *out = result;
    return ERR_OK;
}

/* ---- the whole ---- */

static void release_extent(void *extent) {
    extent_unref(extent);
}

static void keep(const RangeQuery *range, const PromqlResult *result) {
    const PromqlParams *params = range->params;
    int64_t step = params->step_ms;
    /* The first and last step within what may be kept. */
    int64_t from = (range->keep_first_ms - params->start_ms + step - 1) / step;
    int64_t end = (range->keep_last_ms - params->start_ms) / step + 1;
    ResultSteps steps = {.result = result,
                         .symbols = params->query->symbols,
                         .from = (size_t)from,
                         .steps = end > from ? (size_t)(end - from) : 0,
                         .first_ms = params->start_ms + from * step};
    CLEANUP(arena_free) Arena *scratch = NULL;

    if (steps.steps < STEPS_MIN || !notes_of(range, result, &steps.notes)) return;
    scratch = arena_new(0, arena_budget(params->query->arena));
    if (scratch != NULL) result_cache_put(range->cache, &range->key, range->mark, &steps, scratch);
}

static ErrCode eval_whole(const RangeQuery *range, PromqlResult *out, Error *err) {
    TRY(eval_steps(range, 0, range->steps, out, err));
    keep(range, out);
    return ERR_OK;
}

/* Errors that are about the moment, not about the steps. */
static bool is_final(ErrCode code) {
    return code != ERR_OK && code != ERR_INVALID && code != ERR_UNSUPPORTED;
}

/* Evaluates what is missing around the known steps. *ret_joined false: it is not to be joined. */
static ErrCode eval_around(const RangeQuery *range, Piece pieces[3], size_t *count,
                           bool *ret_joined, Error *err) {
    const Piece known = pieces[0];
    size_t behind = known.at + known.steps, used = 1;
    Piece missing[2] = {{.at = 0, .steps = known.at},
                        {.at = behind, .steps = range->steps - behind}};

    *ret_joined = false;
    for (size_t i = 0; i < ARRAY_LEN(missing); i++) {
        ErrCode code;

        if (missing[i].steps == 0) continue;
        code = eval_steps(range, missing[i].at, missing[i].steps, &missing[i].result, err);
        if (is_final(code)) return code;
        if (code != ERR_OK || !notes_of(range, &missing[i].result, &missing[i].notes))
            return ERR_OK;
        pieces[used++] = missing[i];
    }
    *count = used;
    *ret_joined = true;
    for (size_t i = 0; i < used; i++)
        *ret_joined = *ret_joined && says_no_more(pieces[i].notes, pieces[used - 1].notes);
    return ERR_OK;
}

static ErrCode answer(RangeQuery *range, const CachedSteps *known, PromqlResult *out,
                      CacheReport *report, Error *err) {
    QueryContext *query = range->params->query;
    Piece pieces[3] = {
        {.at = (size_t)((known->first_ms - range->params->start_ms) / range->params->step_ms),
         .steps = known->steps,
         .extent = known->extent,
         .notes = extent_notes(known->extent),
         .from = known->from}};
    size_t count = 0;
    bool joined;

    if (!arena_on_free(query->arena, release_extent, known->extent)) {
        extent_unref(known->extent);
        return out_of_memory(err);
    }
    TRY(eval_around(range, pieces, &count, &joined, err));
    if (!joined) {
        /* Next time nothing is known, and all is evaluated at once. */
        result_cache_drop(range->cache, &range->key);
        atomic_store_explicit(&query->samples_held, 0, memory_order_relaxed);
        if (err != NULL) *err = (Error){0};
        return eval_whole(range, out, err);
    }
    if (!extent_labels(known->extent, query->symbols, query->arena, &pieces[0].labels))
        return out_of_memory(err);
    TRY(join_pieces(range, pieces, count, out, err));
    report->use = count == 1 ? CACHE_HIT : CACHE_PARTIAL;
    report->steps = known->steps;
    /* Nothing new to keep when it was all known, or what is new is too young or too old. */
    if (known->first_ms - range->params->step_ms >= range->keep_first_ms ||
        known->first_ms + (int64_t)known->steps * range->params->step_ms <= range->keep_last_ms)
        keep(range, out);
    return ERR_OK;
}

ErrCode range_eval(ResultCache *cache, const CachedQuery *query, PromqlExpr *expr, Str text,
                   const PromqlParams *params, PromqlResult *out, CacheReport *report, Error *err) {
    RangeQuery range = {cache, query, expr, text, params, .mark = 0};
    CachedSteps known = {0};
    ErrCode code;

    *report = (CacheReport){CACHE_BYPASS, 0};
    assert(params->step_ms > 0);
    if (cache == NULL || !prepare(&range)) {
        if (cache != NULL) count_use(CACHE_BYPASS);
        return promql_eval(expr, text, params, out, err);
    }
    report->use = CACHE_MISS;
    /* Before anything is looked at. */
    range.mark = changes_mark(result_cache_changes(cache));
    known =
        result_cache_get(cache, &range.key, range.mark, range.keep_first_ms, range.keep_last_ms);
    /* The last step is evaluated again where there is something to say, to say it. */
    if (known.extent != NULL && extent_notes(known.extent).len > 0 &&
        known.first_ms + (int64_t)known.steps * params->step_ms > params->end_ms)
        known.steps--;
    if (known.extent != NULL && known.steps < MAX(range.steps / KNOWN_SHARE, 1)) {
        extent_unref(known.extent);
        known.extent = NULL;
    }
    if (known.extent != NULL)
        code = answer(&range, &known, out, report, err);
    else
        code = eval_whole(&range, out, err);
    count_use(report->use);
    return code;
}
