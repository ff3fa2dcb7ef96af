/*
 * fs_write.c: what changes a folder: put, upload, delete.
 *
 * What holds, across threads and processes:
 * 1. A name appears by rename only, after the file's bytes were synced; the call returns after the
 *    folder was synced too, and every folder above that had to be made.
 * 2. Every change of a name happens under the store's lock file: shared for changes without a
 *    comparison, exclusive for if_match, so nothing happens between its comparison and its rename.
 *    Only the rename is inside, never a write or sync of data. flock() belongs to an open file, not
 *    a process: each call opens the lock file itself, so threads exclude each other as well.
 * 3. Folders are made, and the ones above them synced, under the exclusive lock: who finds a folder
 *    made by another must pass the lock to rename into it, and by then it is durable.
 * 4. A file being written is locked by its writer; fs_list.c removes old ones nobody holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/base/random.h"
#include "common/store/fs.h"

/* A folder may vanish between its making and its use (delete removes empty ones): that often. */
enum { BEGIN_ATTEMPTS_MAX = 32 };

typedef struct FsFile {
    int fd;
    FsPath path;                                               /* where it will be */
    char temp[STORE_KEY_BYTES_MAX + sizeof FS_TEMP_NAME + 20]; /* where it is until then */
} FsFile;

static void unlock_fd(int *fd) {
    if (*fd >= 0) close(*fd); /* which releases the lock */
}

static ErrCode lock(const Fs *fs, int how, int *ret_fd, Error *err) {
    int fd = openat(fs->root, FS_LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

    if (fd < 0) return error_errno(err, errno, "open the store's lock file");
    while (flock(fd, how) != 0) {
        int number = errno;

        if (number == EINTR) continue;
        close(fd);
        return error_errno(err, number, "lock the store's lock file");
    }
    *ret_fd = fd;
    return ERR_OK;
}

/* Writes the folder that `path` is in to `out`; "." for the root. */
static void folder_of(const char *path, FsPath *out) {
    const char *slash = strrchr(path, '/');

    if (slash == NULL) {
        memcpy(out->text, ".", 2);
        return;
    }
    memcpy(out->text, path, (size_t)(slash - path));
    out->text[slash - path] = '\0';
}

static int sync_folder(int root, const char *folder) {
    int fd = openat(root, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed;

    if (fd < 0) return errno;
    /* EINVAL: a file system that can't sync folders has nothing to sync. */
    failed = fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
    close(fd);
    return failed;
}

/* Makes every folder above `path`, each durable before the next. */
static ErrCode make_folders(const Fs *fs, const FsPath *path, Error *err) {
    __attribute__((cleanup(unlock_fd))) int held = -1;
    FsPath folder = *path, above;

    TRY(lock(fs, LOCK_EX, &held, err));
    for (char *slash = strchr(folder.text, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        int number = 0;

        *slash = '\0';
        if (mkdirat(fs->root, folder.text, 0755) == 0) {
            folder_of(folder.text, &above);
            number = sync_folder(fs->root, above.text);
        } else if (errno != EEXIST) {
            number = errno;
        }
        *slash = '/';
        if (number == ENOTDIR)
            return error_set(err, ERR_INVALID, "a part of the key is an object itself");
        if (number == ENOENT) break; /* a delete removed the one above: file_begin() tries again */
        if (number != 0) return error_errno(err, number, "make a folder");
    }
    return ERR_OK;
}

static ErrCode file_begin(Fs *fs, Str key, FsFile *file, Error *err) {
    FsPath folder;

    memcpy(file->path.text, key.ptr, key.len);
    file->path.text[key.len] = '\0';
    folder_of(file->path.text, &folder);
    for (unsigned attempt = 0; attempt < BEGIN_ATTEMPTS_MAX; attempt++) {
        snprintf(file->temp, sizeof file->temp, "%s/" FS_TEMP_NAME "%016llx", folder.text,
                 (unsigned long long)random_u64());
        file->fd = openat(fs->root, file->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (file->fd >= 0) {
            (void)flock(file->fd, LOCK_EX | LOCK_NB); /* new and ours: nobody else can hold it */
            return ERR_OK;
        }
        if (errno == ENOTDIR)
            return error_set(err, ERR_INVALID, "a part of the key is an object itself");
        if (errno == ENOENT)
            TRY(make_folders(fs, &file->path, err));
        else if (errno != EEXIST)
            return error_errno(err, errno, "create");
    }
    return error_set(err, ERR_UNAVAILABLE, "its folder vanishes as often as it is made");
}

/* Removes the folders above `path` that are empty; *ret_left is the first that stays. One that
 * isn't empty, or a mount point: it stays, and that is fine. */
static void remove_empty_folders(const Fs *fs, const FsPath *path, FsPath *ret_left) {
    folder_of(path->text, ret_left);
    while (strcmp(ret_left->text, ".") != 0 &&
           unlinkat(fs->root, ret_left->text, AT_REMOVEDIR) == 0) {
        FsPath gone = *ret_left;

        folder_of(gone.text, ret_left);
    }
}

static void file_abort(Fs *fs, FsFile *file) {
    FsPath left;

    close(file->fd);
    (void)unlinkat(fs->root, file->temp, 0);
    remove_empty_folders(fs, &file->path, &left);
}

static ErrCode file_write(FsFile *file, Str bytes, Error *err) {
    while (bytes.len > 0) {
        ssize_t n = write(file->fd, bytes.ptr, bytes.len);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return error_errno(err, errno, "write");
        bytes = str_from(bytes, (size_t)n);
    }
    return ERR_OK;
}

/* Gives the file the time it will be known by, and waits until its bytes are on the disk. */
static ErrCode file_settle(Fs *fs, FsFile *file, bool must_be_unique, StoreObject *object,
                           Error *err) {
    int64_t now_ms = MAX(clock_now_ms(fs->clock), 0);
    /* Hundreds of nanoseconds: some file systems keep no finer time. */
    long unique = (long)(random_u64() % 10000) * 100;
    struct timespec times[2];
    struct stat info;

    times[0] =
        (struct timespec){.tv_sec = now_ms / 1000, .tv_nsec = now_ms % 1000 * 1000000 + unique};
    times[1] = times[0];
    if (futimens(file->fd, times) != 0) return error_errno(err, errno, "set the time");
    if (fsync(file->fd) != 0) return error_errno(err, errno, "sync");
    if (fstat(file->fd, &info) != 0) return error_errno(err, errno, "stat");
    if (must_be_unique && info.st_mtim.tv_nsec != times[1].tv_nsec)
        return error_set(err, ERR_UNSUPPORTED,
                         "conditional put: the file system keeps times too coarsely");
    fs_describe(&info, object);
    return ERR_OK;
}

static ErrCode rename_absent(const Fs *fs, const FsFile *file, Error *err) {
    if (renameat2(fs->root, file->temp, fs->root, file->path.text, RENAME_NOREPLACE) == 0)
        return ERR_OK;
    if (errno == EINVAL || errno == ENOSYS) {
        /* A file system without that flag: a second name, then the first one goes. */
        if (linkat(fs->root, file->temp, fs->root, file->path.text, 0) == 0) {
            (void)unlinkat(fs->root, file->temp, 0);
            return ERR_OK;
        }
    }
    if (errno == EEXIST) return error_set(err, ERR_EXISTS, "the key is taken");
    return error_errno(err, errno, "rename");
}

static ErrCode compare(const Fs *fs, const FsFile *file, const StoreTag *tag, Error *err) {
    StoreObject now;
    struct stat info;

    if (fstatat(fs->root, file->path.text, &info, 0) != 0) {
        if (errno == ENOENT || errno == ENOTDIR) return error_set(err, ERR_EXISTS, "it is gone");
        return error_errno(err, errno, "stat");
    }
    fs_describe(&info, &now);
    if (strcmp(now.tag.text, tag->text) != 0)
        return error_set(err, ERR_EXISTS, "it is another object by now");
    return ERR_OK;
}

static ErrCode file_rename(const Fs *fs, const FsFile *file, const StorePut *how, Error *err) {
    __attribute__((cleanup(unlock_fd))) int held = -1;

    TRY(lock(fs, how->if_match != NULL ? LOCK_EX : LOCK_SH, &held, err));
    if (how->if_absent) return rename_absent(fs, file, err);
    if (how->if_match != NULL) TRY(compare(fs, file, how->if_match, err));
    if (renameat(fs->root, file->temp, fs->root, file->path.text) == 0) return ERR_OK;
    if (errno == EISDIR || errno == ENOTEMPTY || errno == EEXIST)
        return error_set(err, ERR_INVALID, "the key is the folder of other keys");
    return error_errno(err, errno, "rename");
}

static ErrCode file_finish(Fs *fs, FsFile *file, const StorePut *how, Error *err) {
    StoreObject object = {0};
    FsPath folder;
    ErrCode code = file_settle(fs, file, how->if_match != NULL, &object, err);
    int number;

    if (code == ERR_OK) code = file_rename(fs, file, how, err);
    if (code != ERR_OK) {
        file_abort(fs, file);
        /* Nothing was read that could be missing: somebody removed the file under our hands. */
        return code == ERR_NOT_FOUND ? error_set(err, ERR_UNAVAILABLE, "the file vanished") : code;
    }
    close(file->fd);
    folder_of(file->path.text, &folder);
    number = sync_folder(fs->root, folder.text);
    /* ENOENT: deleted again already, and the folder with it. */
    if (number != 0 && number != ENOENT)
        return error_set(err, ERR_UNAVAILABLE, "sync the folder: %s", strerror(number));
    *how->ret_tag = object.tag;
    return ERR_OK;
}

ErrCode fs_put(StoreDriver *driver, Str key, Str body, const StorePut *how, Error *err) {
    Fs *fs = (Fs *)driver;
    FsFile file;
    ErrCode code;

    TRY(file_begin(fs, key, &file, err));
    code = file_write(&file, body, err);
    if (code == ERR_OK) return file_finish(fs, &file, how, err);
    file_abort(fs, &file);
    return code;
}

ErrCode fs_upload_begin(StoreDriver *driver, Str key, DriverUpload **out, Error *err) {
    FsFile *file = malloc(sizeof *file);
    ErrCode code;

    if (file == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    code = file_begin((Fs *)driver, key, file, err);
    if (code != ERR_OK) {
        free(file);
        return code;
    }
    *out = (DriverUpload *)file;
    return ERR_OK;
}

ErrCode fs_upload_write(StoreDriver *driver, DriverUpload *upload, Str bytes, Error *err) {
    (void)driver;
    return file_write((FsFile *)upload, bytes, err);
}

ErrCode fs_upload_finish(StoreDriver *driver, DriverUpload *upload, const StorePut *how,
                         Error *err) {
    ErrCode code = file_finish((Fs *)driver, (FsFile *)upload, how, err);

    free(upload);
    return code;
}

void fs_upload_abort(StoreDriver *driver, DriverUpload *upload) {
    file_abort((Fs *)driver, (FsFile *)upload);
    free(upload);
}

/* Removes the name; *ret_gone says whether there was one. */
static ErrCode unlink_locked(const Fs *fs, const FsPath *path, bool *ret_gone, Error *err) {
    __attribute__((cleanup(unlock_fd))) int held = -1;

    *ret_gone = false;
    TRY(lock(fs, LOCK_SH, &held, err));
    *ret_gone = unlinkat(fs->root, path->text, 0) == 0;
    /* The others: no such key, whatever else is there. */
    if (*ret_gone || errno == ENOENT || errno == ENOTDIR || errno == EISDIR ||
        errno == ENAMETOOLONG)
        return ERR_OK;
    return error_errno(err, errno, "unlink");
}

ErrCode fs_delete(StoreDriver *driver, Str key, Error *err) {
    Fs *fs = (Fs *)driver;
    FsPath path, folder;
    bool gone;
    int number;

    memcpy(path.text, key.ptr, key.len);
    path.text[key.len] = '\0';
    TRY(unlink_locked(fs, &path, &gone, err));
    if (!gone) return ERR_OK;
    remove_empty_folders(fs, &path, &folder);
    /* A deletion that was confirmed must not come undone when the power goes. */
    number = sync_folder(fs->root, folder.text);
    if (number != 0 && number != ENOENT)
        return error_set(err, ERR_UNAVAILABLE, "sync the folder: %s", strerror(number));
    return ERR_OK;
}

/* mkdir -p, each folder durable; the last one opened. */
ErrCode fs_make_root(const char *folder, int *ret_root, Error *err) {
    char *path = strdup(folder);
    int number = 0;

    if (path == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    for (char *slash = path; number == 0 && slash != NULL;) {
        slash = strchr(slash + 1, '/');
        if (slash != NULL) *slash = '\0';
        if (mkdir(path, 0755) == 0) {
            char *last = strrchr(path, '/');

            if (last != NULL && last != path) {
                *last = '\0';
                number = sync_folder(AT_FDCWD, path);
                *last = '/';
            } else {
                number = sync_folder(AT_FDCWD, last == NULL ? "." : "/");
            }
        } else if (errno != EEXIST) {
            number = errno;
        }
        if (slash != NULL) *slash = '/';
    }
    free(path);
    if (number != 0) return error_errno(err, number, "make the folder");
    *ret_root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*ret_root < 0) return error_errno(err, errno, "open the folder");
    return ERR_OK;
}
