/*
 * files.c: the names of a log's files, and what is done to whole files.
 *
 * An epoch goes as a whole: its later files mean nothing without the definitions in its first. So
 * the first is renamed to *.done, the others are deleted, then it; who finds a *.done finishes the
 * job.
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

static bool file_parse(Str name, Str ending, uint64_t *epoch, uint32_t *sequence) {
    Str left, right;
    uint64_t e, s;

    if (!str_ends_with(name, ending)) return false;
    name.len -= ending.len;
    if (!str_cut(name, '-', &left, &right) || !str_to_u64(left, &e) || !str_to_u64(right, &s))
        return false;
    if (s > UINT32_MAX) return false;
    *epoch = e;
    *sequence = (uint32_t)s;
    return true;
}

bool wal_file_parse(const char *name, uint64_t *epoch, uint32_t *sequence) {
    return file_parse(str_of(name), STR(".wal"), epoch, sequence);
}

static int file_compare(const void *a, const void *b) {
    const WalFile *x = a, *y = b;

    if (x->epoch != y->epoch) return x->epoch < y->epoch ? -1 : 1;
    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

static void file_path(char out[static PATH_MAX], const char *dir, WalFile file, const char *more) {
    char name[WAL_NAME_MAX];

    wal_file_name(name, file.epoch, file.sequence);
    snprintf(out, PATH_MAX, "%s/%s%s", dir, name, more);
}

static void report(int code, const char *what, const char *path) {
    Error err = {0};

    if (code == 0 || code == ENOENT) return;
    error_errno(&err, code, "write-ahead log: cannot %s %s", what, path);
    LOG_WARN("write-ahead log file stays", LOG_ERR(&err));
}

static void remove_file(WalIo *io, const char *dir, WalFile file, const char *more) {
    char path[PATH_MAX];

    file_path(path, dir, file, more);
    report(io->remove(io, path), "delete", path);
}

void wal_discard(WalIo *io, const char *dir, const WalFile *files, size_t count) {
    char path[PATH_MAX], other[PATH_MAX];
    size_t left = 0;
    const WalFile *first = NULL;

    for (size_t i = 0; i < count; i++) {
        if (files[i].damaged) {
            file_path(path, dir, files[i], "");
            file_path(other, dir, files[i], ".damaged");
            report(io->rename(io, path, other), "rename", path);
        } else if (left++ == 0) {
            first = &files[i];
        }
    }
    if (left > 1) {
        file_path(path, dir, *first, "");
        file_path(other, dir, *first, ".done");
        report(io->rename(io, path, other), "rename", path);
        report(io->sync_dir(io, dir), "sync", dir);
        for (size_t i = 0; i < count; i++)
            if (!files[i].damaged && &files[i] != first) remove_file(io, dir, files[i], "");
        remove_file(io, dir, *first, ".done");
    } else if (left == 1) {
        remove_file(io, dir, *first, "");
    }
}

static bool list_add(Arena *arena, WalFile **files, size_t *count, size_t *capacity, WalFile file) {
    if (*count == *capacity) {
        size_t more = MAX(*capacity * 2, (size_t)16);

        *files = arena_grow(arena, *files, *capacity * sizeof **files, more * sizeof **files);
        if (*files == NULL) return false;
        *capacity = more;
    }
    (*files)[(*count)++] = file;
    return true;
}

/* Takes the files of discarded epochs out of the list, and off the disk. */
static size_t finish_discards(WalIo *io, const char *dir, const WalFile *done, size_t done_count,
                              WalFile *files, size_t count) {
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        bool gone = false;

        for (size_t d = 0; d < done_count; d++) gone |= done[d].epoch == files[i].epoch;
        if (gone)
            remove_file(io, dir, files[i], "");
        else
            files[kept++] = files[i];
    }
    for (size_t d = 0; d < done_count; d++) remove_file(io, dir, done[d], ".done");
    return kept;
}

ErrCode wal_list(WalIo *io, const char *dir, Arena *arena, WalFile **out, size_t *count,
                 Error *err) {
    DIR *handle = opendir(dir);
    struct dirent *entry;
    WalFile *files = NULL, *done = NULL;
    size_t n = 0, capacity = 0, done_n = 0, done_capacity = 0;
    bool fits = true;

    if (handle == NULL) return error_errno(err, errno, "write-ahead log: cannot read %s", dir);
    while (fits && (entry = readdir(handle)) != NULL) {
        WalFile file = {0};

        if (wal_file_parse(entry->d_name, &file.epoch, &file.sequence))
            fits = list_add(arena, &files, &n, &capacity, file);
        else if (file_parse(str_of(entry->d_name), STR(".wal.done"), &file.epoch, &file.sequence))
            fits = list_add(arena, &done, &done_n, &done_capacity, file);
    }
    closedir(handle);
    if (!fits) return error_set(err, ERR_LIMIT, "write-ahead log: out of memory listing %s", dir);
    n = finish_discards(io, dir, done, done_n, files, n);
    if (n > 0) qsort(files, n, sizeof *files, file_compare);
    *out = files;
    *count = n;
    return ERR_OK;
}
