/*
 * patterns.c: lines to templates, counted by each thread on its own; then all of them together.
 */
#include "querier/logql/engine/patterns.h"

#include <stdlib.h>

#include "common/block/logs.h"
#include "querier/logql/engine/scan.h"

enum {
    LEVELS_MAX = 64, /* beside these, a level is unknown */
    STORED = 1024,
};

#define UNKNOWN STR("unknown")

/* So many lines of a template, at a level, in a step. */
typedef struct Tally {
    uint32_t template; /* of the thread; of clusters, once they are known */
    uint32_t level;    /* likewise */
    int64_t step;      /* its number since the epoch */
    uint64_t count;    /* 0: a free slot */
} Tally;

typedef struct StoredTemplate {
    const char *ptr; /* in the batch at hand */
    size_t len;
    uint32_t number;
} StoredTemplate;

/* One thread's. */
typedef struct PatternWorker {
    int64_t step_ns;
    Arena *arena;
    Buf text; /* of the template at hand */
    Str *templates;
    uint32_t template_count;
    uint32_t *slots; /* template + 1 */
    StoredTemplate stored[STORED];
    Str levels[LEVELS_MAX];
    uint32_t level_count;
    Tally *tallies; /* open addressing */
    size_t tally_count;
    size_t tally_capacity;
    Tally *last;
    LabelPairs stream;
    const Scan *scan;
} PatternWorker;

enum { SLOTS = LOGQL_PATTERN_TEMPLATES_MAX * 2 };

/* ---------- counting ---------- */

/* Number 0 is for lines whose own template isn't kept. False: out of memory. */
static bool template_number(PatternWorker *w, Str text, uint32_t *out) {
    uint32_t slot = (uint32_t)hash_str(text) & (SLOTS - 1);

    for (; w->slots[slot] != 0; slot = (slot + 1) & (SLOTS - 1))
        if (str_equal(w->templates[w->slots[slot] - 1], text)) {
            *out = w->slots[slot] - 1;
            return true;
        }
    *out = 0;
    if (w->template_count == LOGQL_PATTERN_TEMPLATES_MAX) return true;
    w->templates[w->template_count] = str_dup(w->arena, text);
    if (w->templates[w->template_count].ptr == NULL) return false;
    *out = w->template_count++;
    w->slots[slot] = *out + 1;
    return true;
}

static bool level_number(PatternWorker *w, Str level, uint32_t *out) {
    for (*out = 0; *out < w->level_count; ++*out)
        if (str_equal(w->levels[*out], level)) return true;
    if (w->level_count == LEVELS_MAX) {
        *out = 0;
        return true;
    }
    w->levels[w->level_count] = str_dup(w->arena, level);
    return w->levels[w->level_count++].ptr != NULL;
}

static Tally *find_tally(Tally *tallies, size_t capacity, uint32_t template, uint32_t level,
                         int64_t step) {
    uint64_t key[2] = {(uint64_t) template << 32 | level, (uint64_t)step};
    size_t i = (size_t)hash_bytes(key, sizeof key) & (capacity - 1);

    while (tallies[i].count != 0 && (tallies[i].template != template || tallies[i].level != level ||
                                     tallies[i].step != step))
        i = (i + 1) & (capacity - 1);
    return &tallies[i];
}

static bool grow_tallies(PatternWorker *w) {
    size_t capacity = MAX(w->tally_capacity * 2, (size_t)1024);
    Tally *grown;

    if (w->tally_count < w->tally_capacity / 2) return true;
    grown = ARENA_ARRAY(w->arena, Tally, capacity);
    if (grown == NULL) return false;
    for (size_t i = 0; i < w->tally_capacity; i++) {
        const Tally *t = &w->tallies[i];

        if (t->count != 0) *find_tally(grown, capacity, t->template, t->level, t->step) = *t;
    }
    w->tallies = grown;
    w->tally_capacity = capacity;
    w->last = NULL;
    return true;
}

static int64_t step_of(const PatternWorker *w, int64_t time_ns) {
    int64_t step = time_ns / w->step_ns;

    return step - (time_ns % w->step_ns < 0);
}

static bool count_template(PatternWorker *w, int64_t time_ns, uint32_t template, Str level) {
    int64_t step = step_of(w, time_ns);
    Tally *tally = w->last;
    uint32_t number;

    if (!level_number(w, level, &number)) return false;
    if (tally == NULL || tally->template != template || tally->level != number ||
        tally->step != step) {
        if (!grow_tallies(w)) return false;
        tally = find_tally(w->tallies, w->tally_capacity, template, number, step);
    }
    if (tally->count == 0) {
        *tally = (Tally){template, number, step, 0};
        w->tally_count++;
    }
    tally->count++;
    w->last = tally;
    return true;
}

static bool is_counted(Str template) {
    return template.len > 0 && template.len <= LOGQL_PATTERN_LINE_MAX;
}

static bool count_line(PatternWorker *w, int64_t time_ns, Str line, Str level) {
    uint32_t template;

    buf_clear(&w->text);
    log_line_template(line, &w->text);
    if (buf_failed(&w->text)) return false;
    if (!is_counted(buf_str(&w->text))) return true;
    return template_number(w, buf_str(&w->text), &template) &&
           count_template(w, time_ns, template, level);
}

/* One that is stored as such: entries of a batch share its bytes, by which it is known again. */
static bool count_stored(PatternWorker *w, int64_t time_ns, Str text, Str level) {
    StoredTemplate *known = &w->stored[((uintptr_t)text.ptr >> 3) % STORED];

    if (!is_counted(text)) return true;
    if (known->ptr != text.ptr || known->len != text.len) {
        if (!template_number(w, text, &known->number)) return false;
        known->ptr = text.ptr;
        known->len = text.len;
    }
    return count_template(w, time_ns, known->number, level);
}

/* ---------- reading ---------- */

static Str level_of(LabelPairs metadata, LabelPairs stream) {
    Str level = labels_get(metadata, STR("detected_level"));

    if (level.len == 0) level = labels_get(stream, STR("detected_level"));
    return level.len == 0 ? UNKNOWN : level;
}

static ErrCode begin_unit(void *what, const StreamUnit *unit, bool *skip, Error *err) {
    PatternWorker *w = what;

    (void)skip;
    (void)err;
    w->stream = w->scan->streams[unit->stream];
    return ERR_OK;
}

static void fresh_batch(void *what) {
    PatternWorker *w = what;

    memset(w->stored, 0, sizeof w->stored);
}

static ErrCode take_batch(void *what, const StreamBatch *batch, Error *err) {
    PatternWorker *w = what;

    for (size_t i = 0; i < batch->count; i++) {
        LabelPairs metadata = batch->metadata == NULL ? (LabelPairs){0} : batch->metadata[i];
        Str level = level_of(metadata, w->stream);

        if (!(batch->text != NULL
                  ? count_stored(w, batch->times[i],
                                 log_text_row_template(batch->text, batch->rows[i]), level)
                  : count_line(w, batch->times[i], batch->lines[i], level)))
            return logql_out_of_memory(err);
    }
    return ERR_OK;
}

static ErrCode take_entry(void *what, int64_t time_ns, const Row *row, bool *stop, Error *err) {
    (void)stop;
    return count_line(what, time_ns, row->line, level_of(row->metadata, row->stream))
               ? ERR_OK
               : logql_out_of_memory(err);
}

static ErrCode worker_begin(PatternWorker *w, const Scan *scan, const LogqlEval *eval, Error *err) {
    *w = (PatternWorker){.step_ns = eval->params->step_ns, .scan = scan};
    w->arena = arena_new(0, arena_budget(eval->arena));
    if (w->arena == NULL) return logql_out_of_memory(err);
    w->templates = ARENA_ARRAY(w->arena, Str, LOGQL_PATTERN_TEMPLATES_MAX);
    w->slots = ARENA_ARRAY(w->arena, uint32_t, SLOTS);
    if (w->templates == NULL || w->slots == NULL) return logql_out_of_memory(err);
    buf_init(&w->text, 0);
    /* What no template has: a variable of no known type. */
    w->templates[w->template_count++] = (Str){NULL, 0};
    w->levels[w->level_count++] = UNKNOWN;
    return ERR_OK;
}

static void worker_done(PatternWorker *w) {
    if (w->arena != NULL) buf_done(&w->text);
    arena_free(w->arena);
}

/* ---------- together ---------- */

/* What all threads found, by text. */
typedef struct Gathered {
    LogqlEval *eval;
    PatternTemplate *templates;
    size_t count;
    uint32_t *slots;
    size_t mask;
    Str *levels;
    size_t level_count;
    Tally *tallies;
    size_t tally_count;
} Gathered;

/* False: out of memory. */
static bool gather_template(Gathered *g, Str template, uint32_t *out) {
    CLEANUP_IN_PLACE(buf_done) Buf whole = {0};
    CLEANUP_IN_PLACE(buf_done) Buf collapsed = {0};
    size_t slot;
    Str text = STR("<_>");

    buf_init(&whole, 0);
    buf_init(&collapsed, 0);
    if (template.ptr != NULL) {
        log_template_text(template, &whole);
        pattern_collapse(buf_str(&whole), &collapsed);
        if (buf_failed(&whole) || buf_failed(&collapsed)) return false;
        text = buf_str(&collapsed);
    }
    slot = (size_t)hash_str(text) & g->mask;
    for (; g->slots[slot] != 0; slot = (slot + 1) & g->mask)
        if (str_equal(g->templates[g->slots[slot] - 1].text, text)) {
            *out = g->slots[slot] - 1;
            return true;
        }
    *out = (uint32_t)g->count;
    g->templates[g->count].text = str_dup(g->eval->arena, text);
    g->slots[slot] = (uint32_t)++g->count;
    return g->templates[*out].text.ptr != NULL;
}

static bool gather_level(Gathered *g, Str level, uint32_t *out) {
    for (*out = 0; *out < g->level_count; ++*out)
        if (str_equal(g->levels[*out], level)) return true;
    g->levels[*out] = str_dup(g->eval->arena, level);
    return g->levels[g->level_count++].ptr != NULL;
}

static bool gather_worker(Gathered *g, const PatternWorker *w) {
    uint32_t *numbers = ARENA_ARRAY(g->eval->arena, uint32_t, w->template_count);
    uint32_t levels[LEVELS_MAX];

    if (numbers == NULL) return false;
    for (uint32_t i = 0; i < w->template_count; i++)
        if (!gather_template(g, w->templates[i], &numbers[i])) return false;
    for (uint32_t i = 0; i < w->level_count; i++)
        if (!gather_level(g, w->levels[i], &levels[i])) return false;
    for (size_t i = 0; i < w->tally_capacity; i++) {
        Tally tally = w->tallies[i];

        if (tally.count == 0) continue;
        tally.template = numbers[tally.template];
        tally.level = levels[tally.level];
        g->templates[tally.template].count += tally.count;
        g->tallies[g->tally_count++] = tally;
    }
    return true;
}

static bool gather(Gathered *g, const PatternWorker *workers, size_t count) {
    size_t templates = 0, levels = 0, tallies = 0, slots = 64;

    for (size_t i = 0; i < count; i++) {
        templates += workers[i].template_count;
        levels += workers[i].level_count;
        tallies += workers[i].tally_count;
    }
    while (slots < templates * 2) slots *= 2;
    g->mask = slots - 1;
    g->templates = ARENA_ARRAY(g->eval->arena, PatternTemplate, templates + 1);
    g->slots = ARENA_ARRAY(g->eval->arena, uint32_t, slots);
    g->levels = ARENA_ARRAY(g->eval->arena, Str, levels + 1);
    g->tallies = ARENA_ARRAY(g->eval->arena, Tally, tallies + 1);
    if (g->templates == NULL || g->slots == NULL || g->levels == NULL || g->tallies == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!gather_worker(g, &workers[i])) return false;
    return true;
}

static int compare_tallies(const void *a, const void *b) {
    const Tally *x = a, *y = b;

    if (x->template != y->template) return x->template <y->template ? -1 : 1;
    if (x->level != y->level) return x->level < y->level ? -1 : 1;
    return (x->step > y->step) - (x->step < y->step);
}

static bool is_same_pattern(const Tally *a, const Tally *b) {
    return a->template == b->template && a->level == b->level;
}

static int compare_patterns(const void *a, const void *b) {
    const LogqlPattern *x = a, *y = b;
    int order;

    if (x->total != y->total) return x->total > y->total ? -1 : 1;
    order = str_compare(x->text, y->text);
    return order != 0 ? order : str_compare(x->level, y->level);
}

/* Tallies of one cluster and level become its samples. */
static void make_pattern(const Gathered *g, const PatternClusters *clusters, const Tally *tallies,
                         size_t count, LogqlPatternSample *samples, LogqlPattern *out) {
    *out = (LogqlPattern){.text = clusters->texts[tallies[0].template],
                          .level = g->levels[tallies[0].level],
                          .samples = samples};
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || tallies[i].step != tallies[i - 1].step)
            samples[out->sample_count++].time_ns = tallies[i].step * g->eval->params->step_ns;
        samples[out->sample_count - 1].count += tallies[i].count;
        out->total += tallies[i].count;
    }
}

static bool make_patterns(Gathered *g, uint64_t total_min, size_t patterns_max,
                          LogqlPatterns *out) {
    Arena *arena = g->eval->arena;
    LogqlPatternSample *samples = ARENA_ARRAY(arena, LogqlPatternSample, g->tally_count + 1);
    PatternClusters clusters;

    out->patterns = ARENA_ARRAY(arena, LogqlPattern, g->tally_count + 1);
    if (samples == NULL || out->patterns == NULL ||
        !pattern_merge(arena, g->templates, g->count, &clusters))
        return false;
    for (size_t i = 0; i < g->tally_count; i++)
        g->tallies[i].template = g->templates[g->tallies[i].template].cluster;
    if (g->tally_count > 0) qsort(g->tallies, g->tally_count, sizeof *g->tallies, compare_tallies);
    for (size_t i = 0, end; i < g->tally_count; i = end) {
        for (end = i + 1;
             end < g->tally_count && is_same_pattern(&g->tallies[i], &g->tallies[end]);)
            end++;
        make_pattern(g, &clusters, g->tallies + i, end - i, samples + i,
                     &out->patterns[out->count]);
        if (out->patterns[out->count].total >= total_min) out->count++;
    }
    if (out->count > 0) qsort(out->patterns, out->count, sizeof *out->patterns, compare_patterns);
    out->count = MIN(out->count, patterns_max);
    return true;
}

/* ---------- all ---------- */

static ErrCode read_all(LogqlEval *eval, Scan *scan, PatternWorker *workers, size_t count,
                        Gathered *g, Error *err) {
    static const ScanReader reader = {begin_unit, fresh_batch, take_batch, take_entry, NULL};
    void **whats = ARENA_ARRAY(eval->arena, void *, count);

    if (whats == NULL) return logql_out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        TRY(worker_begin(&workers[i], scan, eval, err));
        whats[i] = &workers[i];
    }
    TRY(scan_read(scan, &reader, whats, count, err));
    return gather(g, workers, count) ? ERR_OK : logql_out_of_memory(err);
}

ErrCode logql_patterns(const LogqlLog *log, const LogqlParams *params, uint64_t total_min,
                       size_t patterns_max, LogqlPatterns *out, Error *err) {
    LogqlEval eval = {.params = params,
                      .query = params->query,
                      .arena = params->query->arena,
                      .symbols = params->query->symbols};
    StreamSelect select = {.min_ns = params->start_ns,
                           .max_ns = params->end_ns,
                           .need = STREAM_NEED_LINES | STREAM_NEED_METADATA};
    Gathered g = {.eval = &eval};
    RowPipeline *pipeline = NULL;
    PatternWorker *workers;
    ErrCode code;
    size_t count;
    Scan scan;

    *out = (LogqlPatterns){0};
    if (log->stage_count == 0) select.need |= STREAM_NEED_PARTS; /* templates are in there */
    TRY(row_pipeline_new(&eval, &(RowOptions){.log = log, .line_wanted = true}, &pipeline, err));
    TRY(scan_open(&eval, log, pipeline, &select, &scan, err));
    count = scan_workers(&scan);
    workers = ARENA_ARRAY(eval.arena, PatternWorker, count);
    if (workers == NULL) return logql_out_of_memory(err);
    code = read_all(&eval, &scan, workers, count, &g, err);
    for (size_t i = 0; i < count; i++) worker_done(&workers[i]);
    if (code == ERR_OK && !make_patterns(&g, total_min, patterns_max, out))
        code = logql_out_of_memory(err);
    return code;
}
