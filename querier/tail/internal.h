#pragma once
/*
 * internal.h: a tail, as its files share it.
 */
#include "querier/logql/engine/rows.h"
#include "querier/tail/tail.h"

/* An entry on its way out, as texts of JSON: labels first, then what stands in the list of values.
 */
typedef struct TailLine {
    struct TailLine *next; /* of dropped ones, which are labels and a time */
    int64_t time_ns;
    uint64_t number; /* in order of arrival */
    uint32_t labels_len;
    uint32_t entry_len;
    char text[];
} TailLine;

typedef enum TailState { TAIL_OPENING, TAIL_ACTIVE } TailState;

struct Tail {
    Tailers *tailers;
    Tail *next;
    TailState state;
    HttpRequest *request;
    TailOptions options; /* strings in the arena */
    Budget budget;
    Arena *arena; /* the query */
    const LogqlLog *log;
    RowPipeline *pipeline;
    RowWorker *worker;
    Arena *scratch;       /* of one stream's part */
    Arena *entry_scratch; /* of one entry */
    Buf text;             /* of one entry */
    LogTail *news;
    atomic_bool is_busy; /* a round waits or runs, and everything below is its own */
    uint64_t opened_ns;
    uint64_t pinged_ns;

    TailLine **lines; /* a heap, the oldest on top */
    size_t count;
    size_t capacity;
    size_t waiting_bytes; /* of lines in the heap */
    uint64_t numbers;
    TailLine *dropped; /* to be told, oldest first */
    TailLine **dropped_end;
    size_t dropped_count;
    uint64_t dropped_total; /* that left the heap so, ever */
    /* Hashes of what the history held, until nothing that comes can be in it any more. */
    uint64_t *known;
    size_t known_capacity;
    uint64_t known_until; /* parts below this number may be in it */
    ErrCode failed;
    Error error;
};

/* ---------- entries.c ---------- */

/* Takes what is new through the pipeline. */
void tail_take_news(Tail *tail);
/* The oldest line, when its time has come; it stays in the heap. NULL: nothing is due. */
TailLine *tail_due(const Tail *tail, int64_t now_ns);
/* Takes the top off the heap. */
TailLine *tail_pop(Tail *tail);
/* Keeps it to be told, and frees its memory. */
void tail_drop(Tail *tail, TailLine *line);
void tail_line_free(Tail *tail, TailLine *line);
void tail_lines_done(Tail *tail);

/* ---------- messages.c ---------- */

/* One entry as text: appended to `out`, labels first; *labels_len: how much of it they are. */
void tail_write_entry(const Tail *tail, LabelPairs labels, int64_t time_ns, Str line,
                      LabelPairs metadata, LabelPairs parsed, Buf *out, size_t *labels_len);
void tail_write_labels(const Tail *tail, LabelPairs labels, Buf *out);
/* Sends what is due, as far as the client takes it. */
void tail_send_due(Tail *tail, int64_t now_ns);
/* Whether there is something to send now. */
bool tail_has_due(const Tail *tail, int64_t now_ns);
