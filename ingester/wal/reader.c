/*
 * reader.c: a window slides over the file. A frame that isn't whole starts a search, in steps of
 * the alignment, for the next one that is; that nothing was found is the normal end (zeros) or a
 * torn one.
 */
#include "ingester/wal/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { WINDOW_BYTES = 1 << 20 };

struct WalReader {
    const WalSource *source;
    WalHeader header;
    WalReport report;
    uint64_t limit;
    uint64_t at;    /* the next frame */
    uint64_t group; /* the highest seen */
    uint64_t
        search_left; /* bytes that searching may still checksum: hostile lengths cost no more */

    char *window;
    size_t window_bytes; /* allocated */
    uint64_t window_at;
    size_t window_len;
};

static int source_fd_read(void *context, uint64_t offset, void *out, size_t len) {
    int fd = *(const int *)context;
    char *to = out;

    while (len > 0) {
        ssize_t n = pread(fd, to, len, (off_t)offset);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        if (n == 0) return EIO;
        to += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static int source_memory_read(void *context, uint64_t offset, void *out, size_t len) {
    const Str *bytes = context;

    memcpy(out, bytes->ptr + offset, len);
    return 0;
}

WalSource wal_source_fd(const int *fd, uint64_t size) {
    return (WalSource){source_fd_read, (void *)fd, size};
}

WalSource wal_source_memory(const Str *bytes) {
    return (WalSource){source_memory_read, (void *)bytes, bytes->len};
}

static bool all_zero(const char *bytes, size_t len) {
    return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

ErrCode wal_header_read(const WalSource *source, WalHeader *out, bool *ret_repaired, Error *err) {
    WalHeader copies[2] = {0};
    size_t len = (size_t)MIN(source->size, (uint64_t)sizeof copies);
    int code = source->read(source->context, 0, copies, len);

    if (code != 0) return error_set(err, ERR_UNAVAILABLE, "cannot read: %s", strerror(code));
    for (unsigned i = 0; i < 2; i++) {
        const WalHeader *header = &copies[i];

        if (memcmp(header->magic, WAL_MAGIC, sizeof header->magic) != 0 ||
            header->crc != wal_header_crc(header))
            continue;
        if (header->version != WAL_VERSION)
            return error_set(err, ERR_UNSUPPORTED, "version %u; this program knows %u",
                             header->version, WAL_VERSION);
        *out = *header;
        *ret_repaired = i == 1;
        return ERR_OK;
    }
    /* The header is durable before the first frame is written: a file that ends within it holds
     * nothing, nor does one whose start is zeros unless something follows. */
    if (source->size < sizeof copies || all_zero((const char *)copies, sizeof copies))
        return error_set(err, ERR_NOT_FOUND, "no header: its creation didn't finish");
    return error_set(err, ERR_CORRUPT, "both copies of the header are damaged");
}

ErrCode wal_reader_open(const WalSource *source, uint64_t limit, WalReader **out, Error *err) {
    WalHeader header;
    bool repaired;
    WalReader *reader;

    TRY(wal_header_read(source, &header, &repaired, err));
    reader = calloc(1, sizeof *reader);
    if (reader == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    reader->source = source;
    reader->header = header;
    reader->report.header_repaired = repaired;
    reader->limit = limit == 0 ? source->size : MIN(limit, source->size);
    reader->at = WAL_FRAMES_START;
    reader->report.end = MIN(reader->at, reader->limit);
    reader->search_left = 16 * source->size + MIB(1);
    *out = reader;
    return ERR_OK;
}

void wal_reader_free(WalReader *reader) {
    if (reader == NULL) return;
    free(reader->window);
    free(reader);
}

const WalHeader *wal_reader_header(const WalReader *reader) {
    return &reader->header;
}

const WalReport *wal_reader_report(const WalReader *reader) {
    return &reader->report;
}

/* Bytes [at, at + len), which lie before the limit; NULL and *err when they cannot be had. */
static const char *reader_view(WalReader *reader, uint64_t at, size_t len, Error *err) {
    size_t want;
    int code;

    if (at >= reader->window_at && at + len <= reader->window_at + reader->window_len)
        return reader->window + (at - reader->window_at);
    want = (size_t)MIN((uint64_t)MAX(len, (size_t)WINDOW_BYTES), reader->limit - at);
    if (want > reader->window_bytes) {
        size_t bytes = MAX(want, (size_t)WINDOW_BYTES);
        char *window = realloc(reader->window, bytes);

        if (window == NULL) {
            error_set(err, ERR_LIMIT, "out of memory for a frame of %zu bytes", len);
            return NULL;
        }
        reader->window = window;
        reader->window_bytes = bytes;
    }
    reader->window_len = 0;
    code = reader->source->read(reader->source->context, at, reader->window, want);
    if (code != 0) {
        error_set(err, ERR_UNAVAILABLE, "cannot read at %llu: %s", (unsigned long long)at,
                  strerror(code));
        return NULL;
    }
    reader->window_at = at;
    reader->window_len = want;
    return reader->window;
}

/* Is there a whole frame at `at`? */
static ErrCode reader_try(WalReader *reader, uint64_t at, bool searching, const char **out,
                          Error *err) {
    uint64_t left = reader->limit - at;
    const char *bytes;
    WalFrame frame;
    size_t size;

    *out = NULL;
    if (left < sizeof frame) return ERR_OK;
    if ((bytes = reader_view(reader, at, sizeof frame, err)) == NULL) return err->code;
    memcpy(&frame, bytes, sizeof frame);
    if (frame.type == 0 || frame.zero[0] != 0 || frame.zero[1] != 0 || frame.zero[2] != 0)
        return ERR_OK;
    if (frame.length > WAL_PAYLOAD_MAX || frame.group < reader->group || frame.group == 0)
        return ERR_OK;
    size = wal_frame_bytes(frame.length);
    if (size > left) return ERR_OK;
    if (searching) {
        if (size > reader->search_left) return ERR_OK;
        reader->search_left -= size;
    }
    if ((bytes = reader_view(reader, at, size, err)) == NULL) return err->code;
    if (frame.crc == wal_frame_crc(reader->header.salt, at, bytes, size)) *out = bytes;
    return ERR_OK;
}

/* Looks for a whole frame behind a place that has none. */
static ErrCode reader_search(WalReader *reader, uint64_t *ret_at, const char **out,
                             uint64_t *ret_torn, Error *err) {
    uint64_t at = reader->at, nonzero_end = at;

    for (; at < reader->limit; at += WAL_ALIGN) {
        size_t step = (size_t)MIN((uint64_t)WAL_ALIGN, reader->limit - at);
        const char *bytes = reader_view(reader, at, step, err);

        if (bytes == NULL) return err->code;
        if (!all_zero(bytes, step)) {
            nonzero_end = at + step;
            if (at == reader->at) continue;
            TRY(reader_try(reader, at, true, out, err));
            if (*out != NULL) {
                *ret_at = at;
                return ERR_OK;
            }
        }
    }
    *ret_torn = nonzero_end - reader->at;
    return ERR_OK;
}

ErrCode wal_reader_next(WalReader *reader, WalRecord *out, bool *more, Error *err) {
    const char *bytes;
    WalFrame frame;

    *more = false;
    if (reader->at >= reader->limit) return ERR_OK;
    TRY(reader_try(reader, reader->at, false, &bytes, err));
    if (bytes == NULL) {
        uint64_t found = 0, torn = 0;

        TRY(reader_search(reader, &found, &bytes, &torn, err));
        if (bytes == NULL) {
            reader->report.torn_bytes = torn;
            reader->at = reader->limit;
            return ERR_OK;
        }
        reader->report.gaps++;
        reader->report.gap_bytes += found - reader->at;
        reader->at = found;
    }
    memcpy(&frame, bytes, sizeof frame);
    reader->group = frame.group;
    *out = (WalRecord){frame.type,
                       frame.tenant,
                       frame.group,
                       reader->at + sizeof frame,
                       {bytes + sizeof frame, frame.length}};
    reader->at += wal_frame_bytes(frame.length);
    reader->report.end = reader->at;
    reader->report.records++;
    *more = true;
    return ERR_OK;
}
