/*
 * shared.c: a merge of sorted ids, of which those that come more than once are kept.
 */
#include "compactor/merge/shared.h"

/* Where a source's ids are read. */
typedef struct IdStream {
    const SpanTracePlace *places;
    size_t count;
    size_t at;
    TracePages *source;
} IdStream;

typedef struct Finding {
    Merge *merge;
    TracePages *sources;
    IdStream *streams;
    uint32_t *heap; /* streams with the least hash first */
    size_t heap_count;
    Arena *arena;
    SharedTraces *out;
} Finding;

static uint64_t hash_at(const Finding *f, size_t i) {
    const IdStream *s = &f->streams[f->heap[i]];

    return s->places[s->at].hash;
}

static void sink(Finding *f, size_t i) {
    for (;;) {
        size_t child = 2 * i + 1;
        uint32_t stream;

        if (child >= f->heap_count) return;
        if (child + 1 < f->heap_count && hash_at(f, child + 1) < hash_at(f, child)) child++;
        if (hash_at(f, i) <= hash_at(f, child)) return;
        stream = f->heap[i];
        f->heap[i] = f->heap[child];
        f->heap[child] = stream;
        i = child;
    }
}

/* Moves on to the next id that isn't expired. *more false: that was all. */
static ErrCode advance(Finding *f, IdStream *s, bool *more, Error *err) {
    s->at++;
    for (;;) {
        while (s->at < s->count && s->source->expired[s->places[s->at].page]) s->at++;
        *more = s->at < s->count;
        if (*more) return ERR_OK;
        s->at = 0;
        if (span_cursor_places(s->source->cursor, &s->places, &s->count, err) != ERR_OK) {
            f->merge->failed = f->merge->job->sources[s->source - f->sources];
            return err->code;
        }
        if (s->count == 0) return ERR_OK;
    }
}

static ErrCode add_shared(Finding *f, uint64_t hash, Error *err) {
    SharedTraces *out = f->out;

    if (out->count > 0 && out->items[out->count - 1].hash == hash) {
        out->items[out->count - 1].left++;
        return ERR_OK;
    }
    if (out->count == out->capacity) {
        size_t capacity = MAX(out->capacity * 2, (size_t)64);
        SharedTrace *grown = arena_grow(f->arena, out->items, out->capacity * sizeof *grown,
                                        capacity * sizeof *grown);

        if (grown == NULL) return merge_out_of_memory(err);
        out->items = grown;
        out->capacity = capacity;
    }
    out->items[out->count++] = (SharedTrace){.hash = hash, .left = 2};
    return ERR_OK;
}

static ErrCode find(Finding *f, Error *err) {
    IdStream *last_stream = NULL;
    SpanTracePlace last = {0};

    while (f->heap_count > 0) {
        IdStream *s = &f->streams[f->heap[0]];
        SpanTracePlace place = s->places[s->at];
        bool more;

        if (last_stream != NULL && last.hash == place.hash) {
            TRY(add_shared(f, place.hash, err));
            last_stream->source->shared[last.page] = true;
            s->source->shared[place.page] = true;
        }
        last = place;
        last_stream = s;
        TRY(advance(f, s, &more, err));
        if (!more) f->heap[0] = f->heap[--f->heap_count];
        sink(f, 0);
    }
    return ERR_OK;
}

ErrCode shared_traces_find(Merge *merge, TracePages *sources, size_t count, Arena *arena,
                           SharedTraces *out, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(arena));
    Finding f = {
        .merge = merge,
        .sources = sources,
        .streams = ARENA_ARRAY(scratch, IdStream, count),
        .heap = ARENA_ARRAY(scratch, uint32_t, count + 1),
        .arena = arena,
        .out = out,
    };

    *out = (SharedTraces){0};
    if (f.streams == NULL || f.heap == NULL) return merge_out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        bool more;

        f.streams[i].source = &sources[i];
        TRY(advance(&f, &f.streams[i], &more, err));
        if (more) f.heap[f.heap_count++] = (uint32_t)i;
    }
    for (size_t i = f.heap_count; i-- > 0;) sink(&f, i);
    return find(&f, err);
}

SharedTrace *shared_trace_of(const SharedTraces *shared, const TraceId *id) {
    uint64_t hash = span_trace_hash(id);
    size_t low = 0, high = shared->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (shared->items[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low < shared->count && shared->items[low].hash == hash ? &shared->items[low] : NULL;
}
