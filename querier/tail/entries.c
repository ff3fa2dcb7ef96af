/*
 * entries.c: what is new, through the pipeline and into a heap by time, from which it goes out.
 */
#include <stdlib.h>

#include "querier/tail/internal.h"

/* ---------- lines ---------- */

static size_t line_bytes(const TailLine *line) {
    return sizeof *line + line->labels_len + line->entry_len;
}

static TailLine *line_new(Tail *tail, int64_t time_ns, Str labels, Str entry) {
    size_t bytes = sizeof(TailLine) + labels.len + entry.len;
    TailLine *line;

    if (labels.len > UINT32_MAX || entry.len > UINT32_MAX) return NULL;
    if (!budget_take(&tail->budget, bytes)) return NULL;
    line = malloc(bytes);
    if (line == NULL) {
        budget_give(&tail->budget, bytes);
        return NULL;
    }
    *line = (TailLine){.time_ns = time_ns,
                       .number = tail->numbers++,
                       .labels_len = (uint32_t)labels.len,
                       .entry_len = (uint32_t)entry.len};
    if (labels.len > 0) memcpy(line->text, labels.ptr, labels.len);
    if (entry.len > 0) memcpy(line->text + labels.len, entry.ptr, entry.len);
    return line;
}

void tail_line_free(Tail *tail, TailLine *line) {
    budget_give(&tail->budget, line_bytes(line));
    free(line);
}

/* ---------- what can't go out ---------- */

static void drop_labels(Tail *tail, Str labels, int64_t time_ns) {
    TailLine *line;

    if (tail->dropped_count == LOG_TAIL_DROPPED_MAX) return;
    line = line_new(tail, time_ns, labels, (Str){"", 0});
    if (line == NULL) return;
    *tail->dropped_end = line;
    tail->dropped_end = &line->next;
    tail->dropped_count++;
}

void tail_drop(Tail *tail, TailLine *line) {
    tail->dropped_total++;
    drop_labels(tail, (Str){line->text, line->labels_len}, line->time_ns);
    tail_line_free(tail, line);
}

/* ---------- the heap ---------- */

static bool is_before(const TailLine *a, const TailLine *b) {
    return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->number < b->number;
}

static bool push(Tail *tail, TailLine *line) {
    size_t i = tail->count;

    if (tail->count == tail->capacity) {
        size_t more = MAX(tail->capacity * 2, (size_t)64);
        TailLine **lines;

        if (!budget_take(&tail->budget, (more - tail->capacity) * sizeof(TailLine *))) return false;
        lines = realloc(tail->lines, more * sizeof *lines);
        if (lines == NULL) {
            budget_give(&tail->budget, (more - tail->capacity) * sizeof(TailLine *));
            return false;
        }
        tail->lines = lines;
        tail->capacity = more;
    }
    tail->count++;
    tail->waiting_bytes += line_bytes(line);
    for (; i > 0 && is_before(line, tail->lines[(i - 1) / 2]); i = (i - 1) / 2)
        tail->lines[i] = tail->lines[(i - 1) / 2];
    tail->lines[i] = line;
    return true;
}

TailLine *tail_pop(Tail *tail) {
    TailLine *top = tail->lines[0], *last = tail->lines[--tail->count];
    size_t i = 0, child;

    for (; (child = 2 * i + 1) < tail->count; i = child) {
        if (child + 1 < tail->count && is_before(tail->lines[child + 1], tail->lines[child]))
            child++;
        if (!is_before(tail->lines[child], last)) break;
        tail->lines[i] = tail->lines[child];
    }
    tail->lines[i] = last;
    tail->waiting_bytes -= line_bytes(top);
    return top;
}

TailLine *tail_due(const Tail *tail, int64_t now_ns) {
    if (tail->count == 0 || tail->lines[0]->time_ns > now_ns - tail->options.delay_ns) return NULL;
    return tail->lines[0];
}

void tail_lines_done(Tail *tail) {
    TailLine *next;

    while (tail->count > 0) tail_line_free(tail, tail_pop(tail));
    budget_give(&tail->budget, tail->capacity * sizeof(TailLine *));
    free(tail->lines);
    for (TailLine *line = tail->dropped; line != NULL; line = next) {
        next = line->next;
        tail_line_free(tail, line);
    }
    free(tail->known);
}

/* ---------- what the history held ---------- */

static uint64_t line_hash(int64_t time_ns, Str text) {
    uint64_t hash = hash_bytes_seeded(text.ptr, text.len, (uint64_t)time_ns);

    return hash == 0 ? 1 : hash;
}

static uint64_t *find_known(const Tail *tail, uint64_t hash) {
    size_t mask = tail->known_capacity - 1, i = (size_t)hash & mask;

    while (tail->known[i] != 0 && tail->known[i] != hash) i = (i + 1) & mask;
    return &tail->known[i];
}

static bool is_known(const Tail *tail, int64_t time_ns, Str text) {
    return tail->known != NULL && *find_known(tail, line_hash(time_ns, text)) != 0;
}

static void forget_history(Tail *tail) {
    free(tail->known);
    tail->known = NULL;
}

/* ---------- in ---------- */

/* False: no memory for it, and it was noted as dropped. */
static bool add_text(Tail *tail, int64_t time_ns, size_t labels_len) {
    Str text = buf_str(&tail->text), labels = str_slice(text, 0, labels_len);
    TailLine *line;

    if (buf_failed(&tail->text)) { /* larger than a tail may be: nothing of it is kept */
        tail->dropped_total++;
        return false;
    }
    line = line_new(tail, time_ns, labels, str_from(text, labels_len));
    if (line != NULL && push(tail, line)) return true;
    if (line != NULL) tail_line_free(tail, line);
    tail->dropped_total++;
    drop_labels(tail, labels, time_ns);
    return false;
}

/* All labels of an entry, sorted. False: no memory. */
static bool join_labels(Tail *tail, const Row *row, LabelPairs *out) {
    size_t count = row->stream.count + row->metadata.count + row->parsed.count, n = 0;
    LabelPair *pairs = ARENA_ARRAY(tail->entry_scratch, LabelPair, MAX(count, (size_t)1));

    if (pairs == NULL) return false;
    for (size_t i = 0; i < row->stream.count; i++) pairs[n++] = row->stream.pairs[i];
    for (size_t i = 0; i < row->metadata.count; i++) pairs[n++] = row->metadata.pairs[i];
    for (size_t i = 0; i < row->parsed.count; i++) pairs[n++] = row->parsed.pairs[i];
    labels_sort(pairs, n);
    *out = (LabelPairs){pairs, n};
    return true;
}

static ErrCode no_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "the tail's memory is used up");
}

static ErrCode take_entry(Tail *tail, const LogEntry *entry, bool may_be_known, Error *err) {
    LabelPairs metadata = {0}, labels;
    size_t labels_len;
    Row row;

    arena_reset(tail->entry_scratch);
    if (entry->metadata.len > 0)
        TRY(labels_decode(entry->metadata, tail->entry_scratch, &metadata, err));
    if (!row_worker_run(tail->worker, entry->time_ns, entry->line, metadata, false, &row))
        return row_worker_error(tail->worker, err);
    labels = row.stream;
    if (!tail->options.categorize && !join_labels(tail, &row, &labels)) return no_memory(err);
    buf_clear(&tail->text);
    tail_write_entry(tail, labels, entry->time_ns, row.line, row.metadata, row.parsed, &tail->text,
                     &labels_len);
    if (may_be_known && is_known(tail, entry->time_ns, buf_str(&tail->text))) return ERR_OK;
    (void)add_text(tail, entry->time_ns, labels_len);
    return ERR_OK;
}

static ErrCode take_dropped(Tail *tail, const LogTailPart *part, LabelPairs labels) {
    buf_clear(&tail->text);
    tail_write_labels(tail, labels, &tail->text);
    for (size_t i = 0; i < part->count && !buf_failed(&tail->text); i++)
        drop_labels(tail, buf_str(&tail->text), part->entries[i].time_ns);
    return ERR_OK;
}

static ErrCode take_part(Tail *tail, const LogTailPart *part, Error *err) {
    LabelPairs labels;

    if (tail->known != NULL && part->number >= tail->known_until) forget_history(tail);
    arena_reset(tail->scratch);
    TRY(labels_decode(part->labels, tail->scratch, &labels, err));
    if (part->is_dropped) return take_dropped(tail, part, labels);
    TRY(row_worker_stream(tail->worker, labels, err));
    for (size_t i = 0; i < part->count; i++)
        TRY(take_entry(tail, &part->entries[i], tail->known != NULL, err));
    return ERR_OK;
}

void tail_take_news(Tail *tail) {
    LogTailPart *part = log_tail_take(tail->news), *next;

    for (; part != NULL; part = next) {
        next = part->next;
        if (tail->failed == ERR_OK) tail->failed = take_part(tail, part, &tail->error);
        log_tail_part_free(tail->news, part);
    }
    /* A line of megabytes is rare, and its memory is not kept for the next one. */
    if (tail->text.capacity > MIB(1)) {
        size_t bytes_max = tail->text.bytes_max;

        buf_done(&tail->text);
        buf_init(&tail->text, bytes_max);
    }
}

/* ---------- history ---------- */

static ErrCode know(Tail *tail, size_t count, Error *err) {
    size_t capacity = 64;

    while (capacity < count * 2) capacity *= 2;
    tail->known = calloc(capacity, sizeof *tail->known);
    tail->known_capacity = capacity;
    return tail->known == NULL ? no_memory(err) : ERR_OK;
}

ErrCode tail_history(Tail *tail, const LogqlResult *result, Error *err) {
    size_t labels_len;

    TRY(know(tail, result->entry_count, err));
    for (size_t s = 0; s < result->stream_count; s++) {
        const LogqlStream *stream = &result->streams[s];

        for (size_t i = 0; i < stream->count; i++) {
            const LogqlEntry *entry = &stream->entries[i];
            uint64_t hash;

            buf_clear(&tail->text);
            tail_write_entry(tail, stream->labels, entry->time_ns, entry->line, entry->metadata,
                             entry->parsed, &tail->text, &labels_len);
            if (!add_text(tail, entry->time_ns, labels_len)) continue;
            hash = line_hash(entry->time_ns, buf_str(&tail->text));
            *find_known(tail, hash) = hash;
        }
    }
    tail->known_until = log_tail_next_number(tail->news);
    return ERR_OK;
}
