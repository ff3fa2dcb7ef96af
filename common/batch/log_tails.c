/*
 * log_tails.c: the queues between lanes and tails.
 *
 * Lanes hold the list's lock for reading and one tail's mutex for as long as a copy takes. Whether
 * a stream is wanted is found out once and kept by its id, so that a lane runs no expressions for
 * entries of streams that it has offered before.
 */
#include "common/batch/log_tails.h"

#include <stdlib.h>

#include "common/base/arena.h"

enum {
    KNOWN_MIN = 256,
    KNOWN_MAX = 64 << 10, /* streams whose verdict is kept; past it all are found out again */
    DROPPED_BYTES_MAX = 256 << 10, /* of records of what was dropped */
};

typedef struct Verdict {
    Hash128 id; /* both halves 0: free */
    bool wanted;
} Verdict;

struct LogTail {
    LogTails *tails;
    LogTail *next;
    LogTailOptions options;
    uint64_t tenant_hash;
    atomic_bool has_news;
    pthread_mutex_t mutex; /* of all below */
    LogTailPart *parts;
    LogTailPart **end;
    size_t bytes;         /* of entries in the queue */
    size_t dropped_bytes; /* of records in it */
    size_t dropped_told;
    uint64_t dropped;
    uint64_t number;
    Verdict *known; /* open addressing */
    size_t known_count;
    size_t known_capacity;
};

/* ---------- the list ---------- */

LogTails *log_tails_new(void) {
    LogTails *tails = calloc(1, sizeof *tails);
    pthread_rwlockattr_t attributes;

    if (tails == NULL) return NULL;
    /* Lanes that keep reading must not keep a new tail out. */
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&tails->lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    return tails;
}

void log_tails_free(LogTails *tails) {
    if (tails == NULL) return;
    assert(tails->first == NULL && "a tail is open");
    pthread_rwlock_destroy(&tails->lock);
    free(tails);
}

LogTail *log_tail_open(LogTails *tails, const LogTailOptions *options) {
    LogTail *tail = calloc(1, sizeof *tail);

    if (tail == NULL) return NULL;
    tail->tails = tails;
    tail->options = *options;
    tail->tenant_hash = hash_str(options->tenant);
    tail->end = &tail->parts;
    pthread_mutex_init(&tail->mutex, NULL);
    pthread_rwlock_wrlock(&tails->lock);
    tail->next = tails->first;
    tails->first = tail;
    atomic_fetch_add(&tails->count, 1);
    pthread_rwlock_unlock(&tails->lock);
    return tail;
}

void log_tail_close(LogTail *tail) {
    LogTails *tails;
    LogTailPart *part, *next;

    if (tail == NULL) return;
    tails = tail->tails;
    pthread_rwlock_wrlock(&tails->lock);
    for (LogTail **at = &tails->first; *at != NULL; at = &(*at)->next)
        if (*at == tail) {
            *at = tail->next;
            break;
        }
    atomic_fetch_sub(&tails->count, 1);
    pthread_rwlock_unlock(&tails->lock);
    for (part = tail->parts; part != NULL; part = next) {
        next = part->next;
        log_tail_part_free(tail, part);
    }
    pthread_mutex_destroy(&tail->mutex);
    free(tail->known);
    free(tail);
}

/* ---------- which streams ---------- */

static bool find_out(const LogTail *tail, Str labels) {
    Arena *arena = arena_new(0, NULL);
    bool wanted = arena != NULL;
    LabelPairs pairs = {0};
    Error err;

    if (wanted && labels_decode(labels, arena, &pairs, &err) != ERR_OK) wanted = false;
    for (size_t i = 0; wanted && i < tail->options.matcher_count; i++) {
        const Matcher *matcher = &tail->options.matchers[i];

        wanted = matcher_matches(matcher, labels_get(pairs, matcher->name));
    }
    arena_free(arena);
    return wanted;
}

static Verdict *find_verdict(const LogTail *tail, Hash128 id) {
    size_t mask = tail->known_capacity - 1, i = (size_t)id.high & mask;

    while ((tail->known[i].id.low | tail->known[i].id.high) != 0 &&
           (tail->known[i].id.low != id.low || tail->known[i].id.high != id.high))
        i = (i + 1) & mask;
    return &tail->known[i];
}

/* False: no memory, or as many as may be were kept: then none are. */
static bool room_for_verdict(LogTail *tail) {
    size_t capacity = MAX(tail->known_capacity * 2, (size_t)KNOWN_MIN);
    LogTail grown = *tail;

    if (tail->known_capacity > 0 && tail->known_count < tail->known_capacity / 2) return true;
    if (tail->known_count >= KNOWN_MAX) {
        memset(tail->known, 0, tail->known_capacity * sizeof *tail->known);
        tail->known_count = 0;
        return true;
    }
    grown.known = calloc(capacity, sizeof *grown.known);
    if (grown.known == NULL) return false;
    grown.known_capacity = capacity;
    for (size_t i = 0; i < tail->known_capacity; i++)
        if ((tail->known[i].id.low | tail->known[i].id.high) != 0)
            *find_verdict(&grown, tail->known[i].id) = tail->known[i];
    free(tail->known);
    tail->known = grown.known;
    tail->known_capacity = capacity;
    return true;
}

static bool is_wanted(LogTail *tail, const LogStream *stream) {
    Verdict *verdict;

    if (!room_for_verdict(tail)) return find_out(tail, stream->labels);
    verdict = find_verdict(tail, stream->id);
    if ((verdict->id.low | verdict->id.high) == 0) {
        *verdict = (Verdict){stream->id, find_out(tail, stream->labels)};
        tail->known_count++;
    }
    return verdict->wanted;
}

/* ---------- the queue ---------- */

static void *put(char **at, Str s) {
    void *here = *at;

    if (s.len > 0) memcpy(here, s.ptr, s.len);
    *at += s.len;
    return here;
}

/* With everything it points to in one piece of memory. NULL: no memory, or none is allowed. */
static LogTailPart *copy_part(const LogTail *tail, const LogStream *stream, const LogEntry *entries,
                              size_t count, bool dropped) {
    size_t bytes = sizeof(LogTailPart) + count * sizeof(LogEntry) + stream->labels.len;
    LogTailPart *part;
    LogEntry *copies;
    char *at;

    for (size_t i = 0; i < count && !dropped; i++)
        bytes += entries[i].line.len + entries[i].metadata.len;
    if (!dropped && tail->bytes + bytes > tail->options.bytes_max) return NULL;
    if (dropped && tail->dropped_bytes + bytes > DROPPED_BYTES_MAX) return NULL;
    if (tail->options.budget != NULL && !budget_take(tail->options.budget, bytes)) return NULL;
    part = malloc(bytes);
    if (part == NULL) {
        if (tail->options.budget != NULL) budget_give(tail->options.budget, bytes);
        return NULL;
    }
    copies = (LogEntry *)(void *)(part + 1);
    at = (char *)(copies + count);
    *part = (LogTailPart){.entries = copies,
                          .count = count,
                          .is_dropped = dropped,
                          .bytes = bytes,
                          .labels = {put(&at, stream->labels), stream->labels.len}};
    for (size_t i = 0; i < count; i++) {
        copies[i] = (LogEntry){.time_ns = entries[i].time_ns};
        if (dropped) continue;
        copies[i].line = (Str){put(&at, entries[i].line), entries[i].line.len};
        copies[i].metadata = (Str){put(&at, entries[i].metadata), entries[i].metadata.len};
    }
    return part;
}

static void append(LogTail *tail, LogTailPart *part) {
    part->number = tail->number;
    *tail->end = part;
    tail->end = &part->next;
    if (part->is_dropped) {
        tail->dropped_bytes += part->bytes;
        tail->dropped_told += part->count;
    } else {
        tail->bytes += part->bytes;
    }
    atomic_store_explicit(&tail->has_news, true, memory_order_release);
}

static void drop(LogTail *tail, const LogStream *stream, const LogEntry *entries) {
    size_t told = LOG_TAIL_DROPPED_MAX - tail->dropped_told;
    LogTailPart *part = NULL;

    tail->dropped += stream->entry_count;
    told = MIN(told, (size_t)stream->entry_count);
    if (told > 0) part = copy_part(tail, stream, entries, told, true);
    if (part != NULL) append(tail, part);
}

static void offer(LogTail *tail, const LogStream *stream, const LogEntry *entries) {
    LogTailPart *part;

    pthread_mutex_lock(&tail->mutex);
    if (is_wanted(tail, stream)) {
        part = copy_part(tail, stream, entries, stream->entry_count, false);
        if (part != NULL)
            append(tail, part);
        else
            drop(tail, stream, entries);
        tail->number++;
    }
    pthread_mutex_unlock(&tail->mutex);
}

void log_tails_offer(LogTails *tails, Str tenant, const LogStream *stream,
                     const LogEntry *entries) {
    uint64_t hash;

    if (stream->entry_count == 0) return;
    hash = hash_str(tenant);
    pthread_rwlock_rdlock(&tails->lock);
    for (LogTail *tail = tails->first; tail != NULL; tail = tail->next)
        if (tail->tenant_hash == hash && str_equal(tail->options.tenant, tenant))
            offer(tail, stream, entries);
    pthread_rwlock_unlock(&tails->lock);
}

/* ---------- taking ---------- */

bool log_tail_has_news(const LogTail *tail) {
    return atomic_load_explicit(&((LogTail *)tail)->has_news, memory_order_acquire);
}

LogTailPart *log_tail_take(LogTail *tail) {
    LogTailPart *parts;

    pthread_mutex_lock(&tail->mutex);
    parts = tail->parts;
    tail->parts = NULL;
    tail->end = &tail->parts;
    tail->bytes = tail->dropped_bytes = tail->dropped_told = 0;
    atomic_store_explicit(&tail->has_news, false, memory_order_relaxed);
    pthread_mutex_unlock(&tail->mutex);
    return parts;
}

void log_tail_part_free(LogTail *tail, LogTailPart *part) {
    if (tail->options.budget != NULL) budget_give(tail->options.budget, part->bytes);
    free(part);
}

uint64_t log_tail_next_number(LogTail *tail) {
    uint64_t number;

    pthread_mutex_lock(&tail->mutex);
    number = tail->number;
    pthread_mutex_unlock(&tail->mutex);
    return number;
}

uint64_t log_tail_dropped(LogTail *tail) {
    uint64_t dropped;

    pthread_mutex_lock(&tail->mutex);
    dropped = tail->dropped;
    pthread_mutex_unlock(&tail->mutex);
    return dropped;
}
