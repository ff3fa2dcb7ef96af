/*
 * logs.c: finding and making streams, and taking entries in.
 */
#include "ingester/head/logs.h"

bool logs_head_init(LogsHead *head, Pairs *pairs, Slab *slab, size_t reserve, Budget *budget) {
    *head = (LogsHead){.pairs = pairs, .slab = slab};
    head->scratch = arena_new(0, NULL);
    return head->scratch != NULL && region_init(&head->stream_region, reserve, budget) &&
           region_init(&head->tenant_region, ALIGN_UP(reserve / 16, MIB(1)), budget) &&
           table_init(&head->table, budget);
}

void logs_head_done(LogsHead *head) {
    region_done(&head->stream_region);
    region_done(&head->tenant_region);
    table_done(&head->table);
    arena_free(head->scratch);
    *head = (LogsHead){0};
}

bool logs_head_tenant(LogsHead *head, uint32_t tenant) {
    while (head->tenant_count <= tenant) {
        size_t end = (head->tenant_count + (size_t)1) * sizeof(HeadLogTenant);

        if (!region_commit(&head->tenant_region, end, false)) return false;
        *head_log_tenant(head, head->tenant_count++) = (HeadLogTenant){.streams = LOGS_NONE};
    }
    return true;
}

/* ---------- streams ---------- */

static uint32_t id_tag(Hash128 id) {
    return (uint32_t)id.low;
}

uint32_t logs_head_find(const LogsHead *head, Hash128 id) {
    TABLE_EACH(&head->table, id_tag(id), i) {
        Hash128 held = head_stream(head, i)->id;

        if (held.low == id.low && held.high == id.high) return i;
    }
    return LOGS_NONE;
}

static ErrCode no_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "no memory for a new stream");
}

static ErrCode make_stream(LogsHead *head, uint32_t tenant, Hash128 id, LabelPairs labels,
                           uint32_t *ret_stream, Error *err) {
    uint32_t n = head->stream_count;
    HeadLogTenant *owner = head_log_tenant(head, tenant);
    uint32_t *numbers = ARENA_ARRAY(head->scratch, uint32_t, MAX(labels.count, (size_t)1));
    SlabHandle pairs;

    if (labels.count > UINT16_MAX)
        return error_set(err, ERR_INVALID, "a stream with %zu labels", labels.count);
    if (numbers == NULL) return no_memory(err);
    for (size_t i = 0; i < labels.count; i++) {
        numbers[i] = pairs_intern(head->pairs, labels.pairs[i].name, labels.pairs[i].value);
        if (numbers[i] == PAIR_NONE) return no_memory(err);
    }
    if (n + 1 >= LOGS_NONE || !table_reserve(&head->table) ||
        !region_commit(&head->stream_region, (n + (size_t)1) * sizeof(HeadStream), false))
        return no_memory(err);
    pairs = slab_alloc_exact(head->slab, MAX(labels.count, (size_t)1) * sizeof *numbers, false);
    if (pairs == 0) return no_memory(err);
    if (labels.count > 0)
        memcpy(slab_ptr(head->slab, pairs), numbers, labels.count * sizeof *numbers);
    *head_stream(head, n) = (HeadStream){.id = id,
                                         .pairs = pairs,
                                         .pair_count = (uint16_t)labels.count,
                                         .tenant = tenant,
                                         .next = owner->streams};
    owner->streams = n;
    owner->stream_count++;
    table_add(&head->table, id_tag(id), n);
    head->stream_count++;
    *ret_stream = n;
    return ERR_OK;
}

ErrCode logs_head_add(LogsHead *head, uint32_t tenant, Hash128 id, Str labels, uint32_t *ret_stream,
                      Error *err) {
    LabelPairs parsed;
    ErrCode code = labels_decode(labels, head->scratch, &parsed, err);

    if (code == ERR_OK && !logs_head_tenant(head, tenant)) code = no_memory(err);
    if (code == ERR_OK) code = make_stream(head, tenant, id, parsed, ret_stream, err);
    arena_reset(head->scratch);
    return code;
}

/* ---------- entries ---------- */

/* A quarter of what the stream has: what lies unused at the end stays a small part of it, and a
 * stream of a few lines costs a few lines. */
static HeadLogChunk *begin_chunk(LogsHead *head, HeadStream *stream, size_t bytes) {
    size_t want =
        MIN(MAX((size_t)stream->bytes / 4, (size_t)LOGS_CHUNK_MIN), (size_t)LOGS_CHUNK_MAX);
    unsigned class = slab_class(MAX(want, sizeof(HeadLogChunk) + bytes));
    SlabHandle handle = slab_alloc(head->slab, class, true);
    HeadLogChunk *chunk = slab_ptr(head->slab, handle);

    /* It is durable already: without memory there is no honest way on. After a restart the log has
     * it. */
    assert(handle != 0 && "a head's address space is used up");
    *chunk = (HeadLogChunk){.min_ns = INT64_MAX, .max_ns = INT64_MIN, .older = stream->chunk};
    stream->chunk = handle;
    stream->chunks++;
    stream->capacity = (uint32_t)(slab_class_bytes(class) - sizeof *chunk);
    stream->bytes += slab_class_bytes(class);
    head->bytes += slab_class_bytes(class);
    return chunk;
}

void logs_head_append(LogsHead *head, uint32_t number, const LogEntry *entry) {
    HeadStream *stream = head_stream(head, number);
    HeadLogChunk *chunk = head_log_chunk(head, stream->chunk);
    size_t bytes = log_stream_bytes_max(entry);

    if (UNLIKELY(stream->chunk == 0 || stream->capacity - chunk->used < bytes))
        chunk = begin_chunk(head, stream, bytes);
    chunk->used +=
        (uint32_t)log_stream_append(&chunk->state, (uint8_t *)(chunk + 1) + chunk->used, entry);
    chunk->raw_bytes += (uint32_t)(entry->line.len + entry->metadata.len);
    chunk->min_ns = MIN(chunk->min_ns, entry->time_ns);
    chunk->max_ns = MAX(chunk->max_ns, entry->time_ns);
    head->entries++;
}

/* ---------- reading ---------- */

typedef struct Selecting {
    const LogsHead *head;
    const LogSelect *select;
    Arena *arena;
    LabelTests tests;
    uint32_t *found;
    size_t found_count;
    size_t page_count;
    size_t label_count;
} Selecting;

static ErrCode out_of_budget(Error *err) {
    return error_set(err, ERR_LIMIT, "selecting from the head: the query's memory is used up");
}

static bool in_range(const Selecting *s, const HeadLogChunk *chunk) {
    return chunk->min_ns <= s->select->max_ns && chunk->max_ns >= s->select->min_ns;
}

static void consider(Selecting *s, uint32_t number) {
    const HeadStream *stream = head_stream(s->head, number);
    const uint32_t *pairs = head_stream_pairs(s->head, stream);
    size_t pages = 0;

    for (size_t i = 0; i < s->tests.count; i++)
        if (!label_test_set(&s->tests, &s->tests.items[i], pairs, stream->pair_count)) return;
    for (SlabHandle at = stream->chunk; at != 0; at = head_log_chunk(s->head, at)->older)
        pages += in_range(s, head_log_chunk(s->head, at));
    if (pages == 0) return;
    s->found[s->found_count++] = number;
    s->page_count += pages;
    s->label_count += stream->pair_count;
}

/* Writes the stream's pages so that they end at `end`, newest last; returns the first. */
static LogPage *hand_out_pages(const Selecting *s, const HeadStream *stream, LogPage *end) {
    for (SlabHandle at = stream->chunk; at != 0; at = head_log_chunk(s->head, at)->older) {
        const HeadLogChunk *chunk = head_log_chunk(s->head, at);

        if (!in_range(s, chunk)) continue;
        *--end = (LogPage){.min_ns = chunk->min_ns,
                           .max_ns = chunk->max_ns,
                           .count = chunk->state.count,
                           .raw_bytes = chunk->raw_bytes,
                           .kind = LOG_PAGE_HEAD,
                           .in_order = chunk->state.in_order,
                           .bytes = {(const char *)(chunk + 1), chunk->used}};
    }
    return end;
}

static ErrCode hand_out(const Selecting *s, LogsSelection *out, Error *err) {
    SelectedStream *streams = ARENA_ARRAY(s->arena, SelectedStream, MAX(s->found_count, (size_t)1));
    LogPage *pages = ARENA_ARRAY(s->arena, LogPage, MAX(s->page_count, (size_t)1));
    LogPage *end = pages == NULL ? NULL : pages + s->page_count;
    PairsOut pairs;

    if (streams == NULL || pages == NULL ||
        !pairs_out_init(&pairs, s->head->pairs, s->label_count, s->arena))
        return out_of_budget(err);
    for (size_t i = 0; i < s->found_count; i++) {
        const HeadStream *stream = head_stream(s->head, s->found[i]);
        LogPage *first = hand_out_pages(s, stream, end);

        streams[i] = (SelectedStream){
            .pairs = pairs_out_add(&pairs, head_stream_pairs(s->head, stream), stream->pair_count),
            .pages = first,
            .pair_count = stream->pair_count,
            .page_count = (uint32_t)(end - first)};
        end = first;
    }
    *out = (LogsSelection){.pairs = pairs.pairs,
                           .pair_count = pairs.count,
                           .streams = streams,
                           .stream_count = s->found_count};
    return ERR_OK;
}

ErrCode logs_head_select(const LogsHead *head, uint32_t tenant, const LogSelect *select,
                         Arena *arena, LogsSelection *out, Error *err) {
    Selecting s = {.head = head, .select = select, .arena = arena};
    uint32_t count = tenant < head->tenant_count ? head_log_tenant(head, tenant)->stream_count : 0;

    *out = (LogsSelection){0};
    if (count == 0) return ERR_OK;
    if (!label_tests_prepare(head->pairs, select->matchers, select->matcher_count, arena, &s.tests))
        return out_of_budget(err);
    if (s.tests.never) return ERR_OK;
    s.found = arena_alloc(arena, count * sizeof *s.found);
    if (s.found == NULL) return out_of_budget(err);
    for (uint32_t n = head_log_tenant(head, tenant)->streams; n != LOGS_NONE;
         n = head_stream(head, n)->next)
        consider(&s, n);
    return hand_out(&s, out, err);
}

ErrCode logs_head_labels(const LogsHead *head, uint32_t tenant, Str name, Arena *arena,
                         StrList *out, Error *err) {
    uint8_t *used;

    if (tenant >= head->tenant_count) return ERR_OK;
    used = arena_zalloc(arena, MAX(head->pairs->count, 1U));
    if (used == NULL) return out_of_budget(err);
    for (uint32_t n = head_log_tenant(head, tenant)->streams; n != LOGS_NONE;
         n = head_stream(head, n)->next) {
        const HeadStream *stream = head_stream(head, n);
        const uint32_t *pairs = head_stream_pairs(head, stream);

        for (uint32_t k = 0; stream->chunk != 0 && k < stream->pair_count; k++) used[pairs[k]] = 1;
    }
    return pairs_list(head->pairs, used, name, arena, out) ? ERR_OK : out_of_budget(err);
}
