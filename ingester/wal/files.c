/*
 * files.c: the names of a log's files, and what is done to whole files.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "ingester/wal/wal.h"

void wal_file_name(char out[static WAL_NAME_MAX], uint64_t epoch, uint32_t sequence) {
    snprintf(out, WAL_NAME_MAX, "%010" PRIu64 "-%05" PRIu32 ".wal", epoch, sequence);
}

bool wal_file_parse(const char *name, uint64_t *epoch, uint32_t *sequence) {
    Str left, right, number = str_of(name);
    uint64_t e, s;

    if (!str_ends_with(number, STR(".wal"))) return false;
    number.len -= 4;
    if (!str_cut(number, '-', &left, &right) || !str_to_u64(left, &e) || !str_to_u64(right, &s))
        return false;
    if (s > UINT32_MAX) return false;
    *epoch = e;
    *sequence = (uint32_t)s;
    return true;
}

static int file_compare(const void *a, const void *b) {
    const WalFile *x = a, *y = b;

    if (x->epoch != y->epoch) return x->epoch < y->epoch ? -1 : 1;
    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

ErrCode wal_list(const char *dir, Arena *arena, WalFile **out, size_t *count, Error *err) {
    DIR *handle = opendir(dir);
    struct dirent *entry;
    WalFile *files = NULL;
    size_t n = 0, capacity = 0;

    if (handle == NULL) return error_errno(err, errno, "write-ahead log: cannot read %s", dir);
    while ((entry = readdir(handle)) != NULL) {
        WalFile file;

        if (!wal_file_parse(entry->d_name, &file.epoch, &file.sequence)) continue;
        if (n == capacity) {
            size_t more = MAX(capacity * 2, (size_t)16);

            files = arena_grow(arena, files, capacity * sizeof *files, more * sizeof *files);
            if (files == NULL) {
                closedir(handle);
                return error_set(err, ERR_LIMIT, "write-ahead log: out of memory listing %s", dir);
            }
            capacity = more;
        }
        files[n++] = file;
    }
    closedir(handle);
    if (n > 0) qsort(files, n, sizeof *files, file_compare);
    *out = files;
    *count = n;
    return ERR_OK;
}

void wal_discard(WalIo *io, const char *dir, WalFile file, bool keep) {
    char name[WAL_NAME_MAX], path[PATH_MAX], kept[PATH_MAX + 16];
    int code;

    wal_file_name(name, file.epoch, file.sequence);
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path) return;
    snprintf(kept, sizeof kept, "%s.damaged", path);
    code = keep ? io->rename(io, path, kept) : io->remove(io, path);
    if (code != 0 && code != ENOENT) {
        Error err = {0};

        error_errno(&err, code, "write-ahead log: cannot %s %s", keep ? "rename" : "delete", path);
        LOG_WARN("write-ahead log file stays", LOG_ERR(&err));
    }
}
