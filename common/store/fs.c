/*
 * fs.c: a folder as a store: opening it and reading. Keys are paths below it.
 *
 * An object is written beside its place under a name no key can have, synced, and renamed to where
 * it belongs (fs_write.c), so a reader sees all of it or none, and an open descriptor keeps the
 * bytes of one version whatever happens to the name.
 */
#include "common/store/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The tag names a version of the object without reading it. The inode number alone comes back when
 * a file is removed and another made, and the kernel's clock ticks only every few milliseconds: so
 * writers put random digits below the millisecond of the modification time (fs_write.c). */
void fs_describe(const struct stat *info, StoreObject *out) {
    out->size = (uint64_t)info->st_size;
    out->modified_ms = (int64_t)info->st_mtim.tv_sec * 1000 + info->st_mtim.tv_nsec / 1000000;
    snprintf(out->tag.text, sizeof out->tag.text, "\"%llx-%llx-%llx.%lx\"",
             (unsigned long long)info->st_ino, (unsigned long long)info->st_size,
             (unsigned long long)info->st_mtim.tv_sec, (unsigned long)info->st_mtim.tv_nsec);
}

static ErrCode not_an_object(Error *err, int number) {
    /* ENOTDIR: an object stands where the key has a folder; ELOOP, ENAMETOOLONG: no such file can
     * be there either. */
    if (number == ENOENT || number == ENOTDIR || number == ELOOP || number == ENAMETOOLONG)
        return error_set(err, ERR_NOT_FOUND, "no such key");
    return error_errno(err, number, "open");
}

static ErrCode read_fully(int fd, uint64_t offset, char *out, size_t len, size_t *ret_got,
                          Error *err) {
    size_t got = 0;

    while (got < len) {
        ssize_t n = pread(fd, out + got, len - got, (off_t)(offset + got));

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return error_errno(err, errno, "read");
        if (n == 0) break; /* cut short by somebody else's hand: store.c says so */
        got += (size_t)n;
    }
    *ret_got = got;
    return ERR_OK;
}

static ErrCode read_object(int fd, const DriverGet *what, Arena *arena, Str *out,
                           StoreObject *object, Error *err) {
    uint64_t offset = what->offset;
    struct stat info;
    size_t length, got = 0;
    char *bytes;

    if (fstat(fd, &info) != 0) return error_errno(err, errno, "stat");
    if (!S_ISREG(info.st_mode)) return error_set(err, ERR_NOT_FOUND, "no such key: a folder");
    fs_describe(&info, object);
    if (what->tail) offset = object->size > what->length ? object->size - what->length : 0;
    if (offset > object->size)
        return error_set(err, ERR_INVALID, "offset %llu of an object of %llu bytes",
                         (unsigned long long)offset, (unsigned long long)object->size);
    length = (size_t)MIN(object->size - offset, what->length);
    bytes = arena_alloc_bytes(arena, length + 1);
    if (bytes == NULL) return error_set(err, ERR_LIMIT, "no memory for %zu bytes", length);
    TRY(read_fully(fd, offset, bytes, length, &got, err));
    bytes[got] = '\0';
    *out = (Str){bytes, got};
    return ERR_OK;
}

static void path_of(Str key, FsPath *out) {
    assert(key.len <= STORE_KEY_BYTES_MAX);
    memcpy(out->text, key.ptr, key.len);
    out->text[key.len] = '\0';
}

static ErrCode fs_get(StoreDriver *driver, Str key, const DriverGet *what, Arena *arena, Str *out,
                      StoreObject *object, Error *err) {
    FsPath path;
    ErrCode code;
    int fd;

    path_of(key, &path);
    /* O_NONBLOCK: a FIFO that somebody put there must not hold us. */
    fd = openat(((Fs *)driver)->root, path.text, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return not_an_object(err, errno);
    code = read_object(fd, what, arena, out, object, err);
    close(fd);
    return code;
}

static ErrCode fs_head(StoreDriver *driver, Str key, StoreObject *out, Error *err) {
    struct stat info;
    FsPath path;

    path_of(key, &path);
    if (fstatat(((Fs *)driver)->root, path.text, &info, 0) != 0) return not_an_object(err, errno);
    if (!S_ISREG(info.st_mode)) return error_set(err, ERR_NOT_FOUND, "no such key: a folder");
    fs_describe(&info, out);
    return ERR_OK;
}

static void fs_free(StoreDriver *driver) {
    Fs *fs = (Fs *)driver;

    close(fs->root);
    free(fs);
}

static const StoreDriver fs_driver = {
    .name = "fs",
    .features = STORE_CONDITIONAL_PUT | STORE_STREAMED_PUT,
    .put = fs_put,
    .get = fs_get,
    .head = fs_head,
    .list = fs_list,
    .remove = fs_delete,
    .free = fs_free,
    .upload_begin = fs_upload_begin,
    .upload_write = fs_upload_write,
    .upload_finish = fs_upload_finish,
    .upload_abort = fs_upload_abort,
};

ErrCode store_driver_fs(Str folder, const Clock *clock, StoreDriver **out, Error *err) {
    char *path = strndup(folder.ptr, folder.len);
    Fs *fs = calloc(1, sizeof *fs);
    ErrCode code;

    if (path == NULL || fs == NULL) {
        free(path);
        free(fs);
        return error_set(err, ERR_LIMIT, "fs: out of memory");
    }
    code = fs_make_root(path, &fs->root, err);
    free(path);
    if (code != ERR_OK) {
        error_wrap(err, "fs: " STR_FMT, STR_ARG(folder));
        free(fs);
        return code;
    }
    fs->driver = fs_driver;
    fs->clock = clock == NULL ? clock_system() : clock;
    *out = &fs->driver;
    return ERR_OK;
}
