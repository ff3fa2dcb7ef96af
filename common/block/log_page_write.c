/*
 * log_page_write.c: entries into a page.
 */
#include <stdlib.h>
#include <string.h>

#include "common/block/log_page.h"

enum {
    TEXT_LEVEL = 3,
    SAVING_MIN_64THS = 3, /* what compression must save */
};

struct LogEncoder {
    ZSTD_CCtx *zstd;
    LogTemplater *templater;
    Buf directory;
    Buf body;
    Buf column; /* the one being made */
    size_t columns;
};

LogEncoder *log_encoder_new(void) {
    LogEncoder *e = calloc(1, sizeof *e);

    if (e == NULL) return NULL;
    buf_init(&e->directory, 0);
    buf_init(&e->body, 0);
    buf_init(&e->column, 0);
    e->zstd = ZSTD_createCCtx();
    e->templater = log_templater_new();
    if (e->zstd != NULL && e->templater != NULL) return e;
    log_encoder_free(e);
    return NULL;
}

void log_encoder_free(LogEncoder *e) {
    if (e == NULL) return;
    ZSTD_freeCCtx(e->zstd);
    log_templater_free(e->templater);
    buf_done(&e->directory);
    buf_done(&e->body);
    buf_done(&e->column);
    free(e);
}

/* Moves what e->column holds to the page. Level 0: not worth trying. */
static void put_column(LogEncoder *e, LogColumnKind kind, int level) {
    Str raw = buf_str(&e->column);
    size_t stored = raw.len, bound = ZSTD_compressBound(raw.len);
    char *to = buf_failed(&e->column) ? NULL : buf_reserve(&e->body, MAX(bound, (size_t)1));

    if (to == NULL) {
        e->body.failed = true;
        return;
    }
    if (level > 0 && raw.len > 64)
        stored = ZSTD_compressCCtx(e->zstd, to, bound, raw.ptr, raw.len, level);
    if (ZSTD_isError(stored) || stored + raw.len * SAVING_MIN_64THS / 64 >= raw.len) {
        stored = raw.len;
        if (raw.len > 0) memcpy(to, raw.ptr, raw.len);
    }
    buf_added(&e->body, stored);
    buf_append_byte(&e->directory, (char)kind);
    buf_append_varint(&e->directory, raw.len);
    buf_append_varint(&e->directory, stored);
    buf_clear(&e->column);
    e->columns++;
}

static void put_ints(LogEncoder *e, LogColumnKind kind, const int64_t *v, size_t count) {
    log_ints_put(v, count, &e->column);
    put_column(e, kind, 0);
}

/* Strings in templates, or as their lengths and themselves. */
static bool put_strings(LogEncoder *e, LogColumnKind lengths, LogColumnKind text, const Str *list,
                        const int64_t *times_ns, size_t count) {
    uint8_t kind, add = text == LOG_COLUMN_METADATA ? LOG_COLUMN_OF_METADATA : 0;
    int64_t *n;
    int level;

    if (log_templater_fill(e->templater, list, times_ns, count)) {
        while (log_templater_next(e->templater, &e->column, &kind, &level))
            put_column(e, (LogColumnKind)(kind + add), level);
        return true;
    }
    n = calloc(count + 1, sizeof *n);
    if (n == NULL) return false;
    for (size_t i = 0; i < count; i++) n[i] = (int64_t)list[i].len;
    put_ints(e, lengths, n, count);
    free(n);
    for (size_t i = 0; i < count; i++) buf_append_str(&e->column, list[i]);
    put_column(e, text, TEXT_LEVEL);
    return true;
}

static bool any_metadata(const LogRows *rows) {
    for (size_t i = 0; rows->metadata != NULL && i < rows->count; i++) {
        if (rows->metadata[i].len > 0) return true;
    }
    return false;
}

bool log_page_encode(LogEncoder *e, const LogRows *rows, Buf *out) {
    buf_clear(&e->directory);
    buf_clear(&e->body);
    buf_clear(&e->column);
    e->columns = 0;
    put_ints(e, LOG_COLUMN_TIMES, rows->times_ns, rows->count);
    if (!put_strings(e, LOG_COLUMN_LENGTHS, LOG_COLUMN_LINES, rows->lines, rows->times_ns,
                     rows->count))
        return false;
    if (any_metadata(rows) && !put_strings(e, LOG_COLUMN_METADATA_LENGTHS, LOG_COLUMN_METADATA,
                                           rows->metadata, rows->times_ns, rows->count))
        return false;
    buf_clear(out);
    buf_append_byte(out, LOG_PAGE_CODEC);
    buf_append_varint(out, rows->count);
    buf_append_varint(out, e->columns);
    buf_append_str(out, buf_str(&e->directory));
    buf_append_str(out, buf_str(&e->body));
    return !buf_failed(&e->directory) && !buf_failed(&e->body) && !buf_failed(out);
}
