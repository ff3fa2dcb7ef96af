/*
 * traces.c: traces of several objects, merged by their starts.
 *
 * A page that nobody else has anything of, and that hardly overlaps others in time, is passed on as
 * it lies in its object. Of other pages, traces are gathered until they make a page. A trace that
 * lies in several places waits until its last part has come; which traces these are is known before
 * the first page is read (shared.h). What waits is kept in tables of its own, so that the pages it
 * came in may go.
 */
#include <stdlib.h>
#include <string.h>

#include "common/block/span_table.h"
#include "compactor/merge/shared.h"

#define NS_PER_MS INT64_C(1000000)

enum {
    WINDOWS_BYTES = 32 << 20,     /* read ahead of all sources together, */
    WINDOW_BYTES_MIN = 256 << 10, /* but of each at least */
    GATHER_ROWS = 8 << 10,        /* a page's */
    MEND_ROWS = 4 << 10,          /* spans of traces in parts that are put together at a time */
    OVERLAP_MAX = 1, /* so many times a page's own spans may others have in its time for it to be
                        passed on as it is */
};

/* Traces in memory. */
typedef struct Loaded Loaded;
struct Loaded {
    Arena *arena;
    SpanTable table;
    TracePart **waiting; /* by trace: the part that waits; NULL: none does */
    uint32_t waiting_count;
    TraceRow *gathered;
    uint32_t gathered_count;
    bool open;    /* a source is in it */
    bool mending; /* spans that point into it are about to be put together */
    bool compact; /* has nothing but what waits */
    Loaded *next, **link;
};

struct TracePart {
    Loaded *in;
    uint32_t trace;
    TracePart *next; /* of the same trace; or unused */
};

typedef struct TraceSourcePlace {
    TracePages pages;
    size_t next;            /* page */
    Loaded *loaded;         /* the page at hand; NULL: none is */
    uint32_t trace;         /* the next one of it */
    bool has_shared;        /* the page at hand */
    uint64_t *spans_before; /* by page in order, and of all: for telling how dense it is */
} TraceSourcePlace;

typedef struct TraceMerge {
    Merge *merge;
    TraceSourcePlace *places;
    size_t count;
    SharedTraces shared;
    Arena *arena;
    Loaded *all;
    TracePart *unused;
    uint32_t gathered_rows;
    Span *spans; /* to be put together, in mend_arena */
    size_t span_count, span_capacity;
    Arena *mend_arena;
    int64_t keep_from_ns;
    size_t waiting_bytes_max;
} TraceMerge;

static ErrCode failed_at(TraceMerge *m, const TraceSourcePlace *place, ErrCode code) {
    if (code != ERR_OK) m->merge->failed = m->merge->job->sources[place - m->places];
    return code;
}

/* ---------- traces in memory ---------- */

static ErrCode loaded_new(TraceMerge *m, Loaded **out, Error *err) {
    Arena *arena = arena_new(0, arena_budget(m->arena));
    Loaded *loaded = ARENA_NEW(arena, Loaded);

    if (loaded == NULL) {
        arena_free(arena);
        return merge_out_of_memory(err);
    }
    loaded->arena = arena;
    loaded->next = m->all;
    loaded->link = &m->all;
    if (m->all != NULL) m->all->link = &loaded->next;
    m->all = loaded;
    *out = loaded;
    return ERR_OK;
}

static void loaded_free(Loaded *loaded) {
    *loaded->link = loaded->next;
    if (loaded->next != NULL) loaded->next->link = loaded->link;
    arena_free(loaded->arena);
}

static void free_if_unused(Loaded *loaded) {
    if (!loaded->open && !loaded->mending && loaded->waiting_count == 0 &&
        loaded->gathered_count == 0)
        loaded_free(loaded);
}

/* ---------- gathering ---------- */

/* All that was gathered goes to the writer. */
static ErrCode write_gathered(TraceMerge *m, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(m->arena));
    SpanTable joined = {0}, *tables;
    SpanTableRange *ranges;
    size_t count = 0, n = 0;

    if (m->gathered_rows == 0) return ERR_OK;
    for (Loaded *l = m->all; l != NULL; l = l->next) count += l->gathered_count > 0;
    tables = ARENA_ARRAY(scratch, SpanTable, count);
    ranges = ARENA_ARRAY(scratch, SpanTableRange, count);
    if (tables == NULL || ranges == NULL) return merge_out_of_memory(err);
    for (Loaded *l = m->all; l != NULL; l = l->next) {
        if (l->gathered_count == 0) continue;
        tables[n] = l->table;
        tables[n].traces = l->gathered;
        tables[n].trace_count = l->gathered_count;
        ranges[n] = (SpanTableRange){&tables[n], 0, l->gathered_count};
        n++;
    }
    TRY(span_table_join(ranges, count, false, scratch, &joined, err));
    TRY(block_spans_table(m->merge->writer, &joined, err));
    m->merge->written += joined.trace_count;
    m->gathered_rows = 0;
    for (Loaded *l = m->all, *next; l != NULL; l = next) {
        next = l->next;
        l->gathered_count = 0;
        free_if_unused(l);
    }
    return ERR_OK;
}

static ErrCode gather(TraceMerge *m, Loaded *loaded, uint32_t trace, Error *err) {
    if (loaded->gathered == NULL) {
        loaded->gathered = ARENA_ARRAY(loaded->arena, TraceRow, loaded->table.trace_count);
        if (loaded->gathered == NULL) return merge_out_of_memory(err);
    }
    loaded->gathered[loaded->gathered_count++] = loaded->table.traces[trace];
    m->gathered_rows += loaded->table.traces[trace].count;
    return ERR_OK;
}

/* ---------- traces in parts ---------- */

/* What was put together becomes a table of its own. */
static ErrCode mend(TraceMerge *m, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(m->arena));
    SpanTable built = {0};
    SpanTableRange range = {&built, 0, 0};
    Loaded *loaded;

    if (m->span_count == 0) return ERR_OK;
    if (scratch == NULL) return merge_out_of_memory(err);
    TRY(span_table_build(m->spans, m->span_count, scratch, &built, err));
    TRY(loaded_new(m, &loaded, err));
    range.count = built.trace_count;
    TRY(span_table_join(&range, 1, true, loaded->arena, &loaded->table, err));
    for (uint32_t i = 0; i < loaded->table.trace_count; i++) TRY(gather(m, loaded, i, err));
    m->spans = NULL;
    m->span_count = m->span_capacity = 0;
    arena_reset(m->mend_arena);
    for (Loaded *l = m->all, *next; l != NULL; l = next) {
        next = l->next;
        l->mending = false;
        free_if_unused(l);
    }
    return ERR_OK;
}

static ErrCode add_spans(TraceMerge *m, const TracePart *part, Error *err) {
    const TraceRow *trace = &part->in->table.traces[part->trace];
    size_t wanted = m->span_count + trace->count;
    Span *spans;

    if (wanted > m->span_capacity) {
        size_t capacity = MAX(m->span_capacity * 2, MAX(wanted, (size_t)MEND_ROWS));

        spans = arena_grow(m->mend_arena, m->spans, m->span_capacity * sizeof *spans,
                           capacity * sizeof *spans);
        if (spans == NULL) return merge_out_of_memory(err);
        m->spans = spans;
        m->span_capacity = capacity;
    }
    TRY(span_table_spans(&part->in->table, trace, m->mend_arena, &spans, err));
    memcpy(m->spans + m->span_count, spans, trace->count * sizeof *spans);
    m->span_count = wanted;
    part->in->mending = true;
    return ERR_OK;
}

static int compare_u64(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* What tells a trace's spans apart. Those of equal ids and other kinds are mistaken for each other
 * once in so many billions; a span is more often lost on its way. */
static void span_keys(const TracePart *part, uint64_t *keys) {
    const SpanTable *table = &part->in->table;
    const TraceRow *trace = &table->traces[part->trace];

    for (uint32_t i = 0; i < trace->count; i++)
        keys[i] =
            (table->ids[trace->first + i] ^ table->kinds[trace->first + i]) * 0x9e3779b97f4a7c15u +
            table->kinds[trace->first + i];
    qsort(keys, trace->count, sizeof *keys, compare_u64);
}

static const TraceRow *row_of(const TracePart *part) {
    return &part->in->table.traces[part->trace];
}

/* Has `all` every span of `part`? As replicas have. */
static ErrCode has_all(TraceMerge *m, const TracePart *all, const TracePart *part, bool *out,
                       Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(m->arena));
    uint32_t count = row_of(all)->count, more = row_of(part)->count, at = 0;
    uint64_t *have = arena_alloc(scratch, count * sizeof *have);
    uint64_t *want = arena_alloc(scratch, more * sizeof *want);

    if (have == NULL || want == NULL) return merge_out_of_memory(err);
    *out = true;
    span_keys(all, have);
    span_keys(part, want);
    for (uint32_t i = 0; i < more && *out; i++) {
        while (at < count && have[at] < want[i]) at++;
        *out = at < count && have[at] == want[i];
    }
    return ERR_OK;
}

static void drop_part(TraceMerge *m, TracePart *part) {
    part->in->waiting[part->trace] = NULL;
    part->in->waiting_count--;
    part->next = m->unused;
    m->unused = part;
}

/* Takes the parts of one id off the list, the one with most spans first. */
static TracePart *take_same(TracePart **list) {
    const TraceId *id = &row_of(*list)->id;
    TracePart *same = NULL;

    for (TracePart **at = list; *at != NULL;) {
        TracePart *part = *at;

        if (!trace_id_equal(&row_of(part)->id, id)) {
            at = &part->next;
            continue;
        }
        *at = part->next;
        if (same == NULL || row_of(part)->count > row_of(same)->count) {
            part->next = same;
            same = part;
        } else {
            part->next = same->next;
            same->next = part;
        }
    }
    return same;
}

static ErrCode join_parts(TraceMerge *m, const TracePart *parts, Error *err) {
    bool whole = true;

    for (const TracePart *p = parts->next; p != NULL && whole; p = p->next)
        TRY(has_all(m, parts, p, &whole, err));
    if (whole) return gather(m, parts->in, parts->trace, err);
    for (const TracePart *p = parts; p != NULL; p = p->next) TRY(add_spans(m, p, err));
    return ERR_OK;
}

/* What has come of a trace is written. */
static ErrCode finish_shared(TraceMerge *m, SharedTrace *shared, Error *err) {
    while (shared->parts != NULL) {
        TracePart *parts = take_same(&shared->parts);

        TRY(join_parts(m, parts, err));
        for (TracePart *p = parts, *next; p != NULL; p = next) {
            Loaded *in = p->in;

            next = p->next;
            drop_part(m, p);
            free_if_unused(in);
        }
    }
    return m->span_count >= MEND_ROWS ? mend(m, err) : ERR_OK;
}

static ErrCode hold_part(TraceMerge *m, SharedTrace *shared, Loaded *loaded, uint32_t trace,
                         Error *err) {
    TracePart *part = m->unused == NULL ? ARENA_NEW(m->arena, TracePart) : m->unused;

    if (part == NULL) return merge_out_of_memory(err);
    if (loaded->waiting == NULL)
        loaded->waiting = ARENA_ARRAY(loaded->arena, TracePart *, loaded->table.trace_count);
    if (loaded->waiting == NULL) return merge_out_of_memory(err);
    if (part == m->unused) m->unused = part->next;
    *part = (TracePart){loaded, trace, shared->parts};
    shared->parts = part;
    loaded->waiting[trace] = part;
    loaded->waiting_count++;
    return ERR_OK;
}

/* ---------- what waits for long ---------- */

/* The parts that wait in `from` move to a table that has nothing else. */
static ErrCode move_waiting(TraceMerge *m, Loaded *from, Error *err) {
    TraceRow *rows = ARENA_ARRAY(from->arena, TraceRow, from->waiting_count);
    SpanTable picked = from->table;
    SpanTableRange range = {&picked, 0, from->waiting_count};
    uint32_t n = 0;
    Loaded *to;

    if (rows == NULL) return merge_out_of_memory(err);
    for (uint32_t i = 0; i < from->table.trace_count; i++) {
        if (from->waiting[i] != NULL) rows[n++] = from->table.traces[i];
    }
    picked.traces = rows;
    picked.trace_count = n;
    TRY(loaded_new(m, &to, err));
    to->compact = true;
    TRY(span_table_join(&range, 1, true, to->arena, &to->table, err));
    to->waiting = ARENA_ARRAY(to->arena, TracePart *, to->table.trace_count);
    if (to->waiting == NULL) return merge_out_of_memory(err);
    for (uint32_t i = 0; i < to->table.trace_count; i++) {
        const SharedTrace *shared = shared_trace_of(&m->shared, &to->table.traces[i].id);

        for (TracePart *p = shared->parts; p != NULL; p = p->next) {
            if (p->in != from || !trace_id_equal(&row_of(p)->id, &to->table.traces[i].id)) continue;
            from->waiting[p->trace] = NULL;
            from->waiting_count--;
            *p = (TracePart){to, i, p->next};
            to->waiting[i] = p;
            to->waiting_count++;
            break;
        }
    }
    loaded_free(from);
    return ERR_OK;
}

/* Writes what has waited in a table as far as it has come. */
static ErrCode give_up_waiting(TraceMerge *m, Loaded *loaded, Error *err) {
    loaded->open = true; /* not gone before this is done */
    for (uint32_t i = 0; i < loaded->table.trace_count; i++) {
        if (loaded->waiting[i] == NULL) continue;
        TRY(finish_shared(m, shared_trace_of(&m->shared, &loaded->table.traces[i].id), err));
    }
    loaded->open = false;
    free_if_unused(loaded);
    return ERR_OK;
}

/* The table that has waited longest; NULL: none does. */
static Loaded *oldest_waiting(const TraceMerge *m, size_t *bytes) {
    Loaded *oldest = NULL;

    *bytes = 0;
    for (Loaded *l = m->all; l != NULL; l = l->next) {
        if (l->open || l->waiting_count == 0) continue;
        *bytes += arena_held(l->arena);
        oldest = l; /* new ones come first */
    }
    return oldest;
}

/* After everything gathered was written: keeps what waits small. */
static ErrCode tidy_waiting(TraceMerge *m, Error *err) {
    bool any = false;
    size_t bytes;

    for (Loaded *l = m->all, *next; l != NULL; l = next) {
        next = l->next;
        if (!l->open && !l->mending && !l->compact && l->waiting_count > 0 &&
            l->waiting_count < l->table.trace_count / 2)
            TRY(move_waiting(m, l, err));
    }
    for (Loaded *l = oldest_waiting(m, &bytes); bytes > m->waiting_bytes_max;
         l = oldest_waiting(m, &bytes)) {
        TRY(give_up_waiting(m, l, err));
        TRY(mend(m, err));
        TRY(write_gathered(m, err));
        any = true;
    }
    /* What comes of these traces must not get onto the same page. */
    return any ? block_spans_cut(m->merge->writer, err) : ERR_OK;
}

/* ---------- pages ---------- */

/* How many of a source's spans start before `time`, as far as its index knows. */
static double spans_until(const TraceSourcePlace *p, int64_t time) {
    size_t low = 0, high = p->pages.count;
    const SpanPage *page;
    double begin, end;

    while (low < high) { /* the first page that begins after it */
        size_t middle = low + (high - low) / 2;

        if (p->pages.pages[middle].min_ns > time)
            high = middle;
        else
            low = middle + 1;
    }
    if (low == 0) return 0;
    page = &p->pages.pages[low - 1];
    begin = (double)page->min_ns;
    end = (double)(low < p->pages.count ? page[1].min_ns : page->max_ns);
    if ((double)time >= end || end <= begin) return (double)p->spans_before[low];
    return (double)p->spans_before[low - 1] +
           (double)page->spans * ((double)time - begin) / (end - begin);
}

/* Would a page be smaller in time if it were mixed with others? */
static bool is_dense(const TraceMerge *m, const TraceSourcePlace *place, size_t i) {
    const SpanPage *page = &place->pages.pages[i];
    int64_t end = i + 1 < place->pages.count ? page[1].min_ns : page->max_ns;
    double others = 0;

    for (size_t s = 0; s < m->count; s++) {
        if (&m->places[s] != place)
            others += spans_until(&m->places[s], end) - spans_until(&m->places[s], page->min_ns);
    }
    return others > (double)page->spans * OVERLAP_MAX;
}

static bool may_pass(const TraceMerge *m, const TraceSourcePlace *place, size_t i) {
    const SpanPage *page = &place->pages.pages[i];

    return page->spans >= SPAN_WHOLE_ROWS_MIN && !place->pages.shared[page->page] &&
           page->min_ns >= m->keep_from_ns && !is_dense(m, place, i);
}

static ErrCode pass_page(TraceMerge *m, TraceSourcePlace *place, const SpanPage *page, Error *err) {
    const SpanWholePage *whole;

    TRY(failed_at(m, place, span_cursor_page(place->pages.cursor, page->page, &whole, err)));
    TRY(block_spans_page(m->merge->writer, whole, err));
    m->merge->written += page->traces;
    return ERR_OK;
}

static ErrCode load_page(TraceMerge *m, TraceSourcePlace *place, const SpanPage *page, Error *err) {
    Loaded *loaded;

    TRY(loaded_new(m, &loaded, err));
    TRY(failed_at(
        m, place,
        span_cursor_table(place->pages.cursor, page->page, loaded->arena, &loaded->table, err)));
    loaded->open = true;
    place->loaded = loaded;
    place->trace = 0;
    place->has_shared = place->pages.shared[page->page];
    return ERR_OK;
}

static ErrCode next_page(TraceMerge *m, TraceSourcePlace *place, Error *err) {
    size_t i = place->next++;
    const SpanPage *page = &place->pages.pages[i];

    if (place->pages.expired[page->page]) return ERR_OK;
    if (may_pass(m, place, i)) return pass_page(m, place, page, err);
    return load_page(m, place, page, err);
}

/* ---------- in order of starts ---------- */

static ErrCode take_trace(TraceMerge *m, TraceSourcePlace *place, Error *err) {
    Loaded *loaded = place->loaded;
    uint32_t trace = place->trace++;
    const TraceRow *row = &loaded->table.traces[trace];
    SharedTrace *shared = place->has_shared ? shared_trace_of(&m->shared, &row->id) : NULL;
    bool expired = row->end_ns < m->keep_from_ns;

    if (shared == NULL) return expired ? ERR_OK : gather(m, loaded, trace, err);
    if (!expired) TRY(hold_part(m, shared, loaded, trace, err));
    if (shared->left > 0) shared->left--;
    return shared->left == 0 ? finish_shared(m, shared, err) : ERR_OK;
}

/* Takes traces up to the moment when another source has an earlier one. */
static ErrCode take_run(TraceMerge *m, TraceSourcePlace *place, int64_t others, Error *err) {
    Loaded *loaded = place->loaded;

    do {
        if (place->trace < loaded->table.trace_count) TRY(take_trace(m, place, err));
        if (m->gathered_rows >= GATHER_ROWS) {
            TRY(write_gathered(m, err));
            TRY(tidy_waiting(m, err));
        }
    } while (place->trace < loaded->table.trace_count &&
             loaded->table.traces[place->trace].start_ns <= others);
    if (place->trace < loaded->table.trace_count) return ERR_OK;
    place->loaded = NULL;
    loaded->open = false;
    free_if_unused(loaded);
    return ERR_OK;
}

static bool next_start(const TraceSourcePlace *p, int64_t *out) {
    if (p->loaded != NULL)
        *out = p->loaded->table.traces[p->trace].start_ns;
    else if (p->next < p->pages.count)
        *out = p->pages.pages[p->next].min_ns;
    else
        return false;
    return true;
}

/* The place that is next, and when the first of the others is. NULL: all are over. */
static TraceSourcePlace *find_next(TraceMerge *m, int64_t *others) {
    TraceSourcePlace *first = NULL;
    int64_t first_ns = INT64_MAX;

    *others = INT64_MAX;
    for (size_t s = 0; s < m->count; s++) {
        int64_t start_ns;

        if (!next_start(&m->places[s], &start_ns)) continue;
        if (first == NULL || start_ns < first_ns) {
            if (first != NULL) *others = first_ns;
            first = &m->places[s];
            first_ns = start_ns;
        } else {
            *others = MIN(*others, start_ns);
        }
    }
    return first;
}

static ErrCode write_traces(TraceMerge *m, Error *err) {
    TraceSourcePlace *place;
    int64_t others;

    while ((place = find_next(m, &others)) != NULL) {
        if (place->loaded == NULL)
            TRY(next_page(m, place, err));
        else
            TRY(take_run(m, place, others, err));
    }
    /* Parts that an index spoke of and no page had. */
    for (size_t i = 0; i < m->shared.count; i++) {
        TRY(finish_shared(m, &m->shared.items[i], err));
        if (m->gathered_rows >= GATHER_ROWS) TRY(write_gathered(m, err));
    }
    TRY(mend(m, err));
    return write_gathered(m, err);
}

/* ---------- the whole ---------- */

static int64_t keep_from_ns(int64_t keep_from_ms) {
    int64_t ns;

    if (keep_from_ms == INT64_MIN) return INT64_MIN;
    if (!__builtin_mul_overflow(keep_from_ms, NS_PER_MS, &ns)) return ns;
    return keep_from_ms < 0 ? INT64_MIN : INT64_MAX;
}

static ErrCode open_place(TraceMerge *m, TraceSourcePlace *place, const ManifestEntry *entry,
                          size_t window, Error *err) {
    TracePages *p = &place->pages;
    uint64_t spans = 0;

    TRY(span_cursor_open(m->merge->io->from, entry->key, entry->size, m->merge->job->tenant, window,
                         m->arena, &p->cursor, err));
    p->pages = span_cursor_pages(p->cursor, &p->count);
    p->shared = ARENA_ARRAY(m->arena, bool, p->count + 1);
    p->expired = ARENA_ARRAY(m->arena, bool, p->count + 1);
    place->spans_before = ARENA_ARRAY(m->arena, uint64_t, p->count + 1);
    if (p->shared == NULL || p->expired == NULL || place->spans_before == NULL)
        return merge_out_of_memory(err);
    for (size_t i = 0; i < p->count; i++) {
        place->spans_before[i] = spans;
        spans += p->pages[i].spans;
        p->expired[p->pages[i].page] = p->pages[i].max_ns < m->keep_from_ns;
    }
    place->spans_before[p->count] = spans;
    return ERR_OK;
}

static ErrCode find_shared(TraceMerge *m, Error *err) {
    TracePages *pages = ARENA_ARRAY(m->arena, TracePages, m->count);

    if (pages == NULL) return merge_out_of_memory(err);
    for (size_t s = 0; s < m->count; s++) pages[s] = m->places[s].pages;
    return shared_traces_find(m->merge, pages, m->count, m->arena, &m->shared, err);
}

static ErrCode run(TraceMerge *m, Error *err) {
    const MergeJob *job = m->merge->job;
    size_t window = MAX(WINDOWS_BYTES / job->source_count, (size_t)WINDOW_BYTES_MIN);

    m->places = ARENA_ARRAY(m->arena, TraceSourcePlace, job->source_count);
    if (m->places == NULL) return merge_out_of_memory(err);
    for (size_t s = 0; s < job->source_count; s++) {
        TRY(failed_at(m, &m->places[s],
                      open_place(m, &m->places[s], job->sources[s], window, err)));
        m->count++;
    }
    TRY(find_shared(m, err));
    TRY(block_spans_begin(m->merge->writer, job->tenant, err));
    TRY(write_traces(m, err));
    return block_spans_end(m->merge->writer, err);
}

ErrCode merge_traces(Merge *merge, Arena *arena, Error *err) {
    CLEANUP(arena_free) Arena *mend_arena = arena_new(0, arena_budget(arena));
    TraceMerge m = {
        .merge = merge,
        .arena = arena,
        .mend_arena = mend_arena,
        .keep_from_ns = keep_from_ns(merge->job->keep_from_ms),
        .waiting_bytes_max = merge->io->waiting_bytes_max == 0 ? (size_t)MERGE_WAITING_BYTES
                                                               : merge->io->waiting_bytes_max,
    };
    ErrCode code = mend_arena == NULL ? merge_out_of_memory(err) : run(&m, err);

    while (m.all != NULL) loaded_free(m.all);
    for (size_t s = 0; m.places != NULL && s < merge->job->source_count; s++)
        span_cursor_close(m.places[s].pages.cursor);
    return code;
}
