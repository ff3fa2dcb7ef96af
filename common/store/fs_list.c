/*
 * fs_list.c: walks the folder in the order of whole keys.
 *
 * A folder's names are read and sorted before any of them is handed out; a folder sorts as its name
 * with a slash, since `a-b` stands before `a/b`. Only one descriptor is open at a time, and none
 * while each() runs. Names that come or go meanwhile may be in the list or not, as on S3.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/store/fs.h"

/* A file being written that its writer forgot, that is: died. Its lock is what proves it. */
static const int64_t leftover_age_ms = (int64_t)3600 * 1000;

typedef struct Walk {
    Fs *fs;
    Str prefix;
    ErrCode (*each)(void *context, const StoreObject *object, Error *err);
    void *context;
    size_t len; /* of the folder in `path`, its slash included; 0 for the root */
    char path[STORE_KEY_BYTES_MAX + 2];
} Walk;

typedef struct Names {
    Str *items; /* a folder's has a slash at the end */
    size_t count;
    size_t capacity;
    Arena *arena;
} Names;

/* The folders from the root down to here: a link that leads back up must not be followed. */
typedef struct Level {
    const struct Level *up;
    dev_t device;
    ino_t inode;
} Level;

static int by_name(const void *a, const void *b) {
    return str_compare(*(const Str *)a, *(const Str *)b);
}

static void remove_leftover(int folder, const char *name) {
    int64_t now_ms = clock_now_ms(clock_system()); /* the kernel's, which set the file's time */
    struct stat info;
    int fd = openat(folder, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0) return;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
        now_ms - (int64_t)info.st_mtim.tv_sec * 1000 > leftover_age_ms &&
        flock(fd, LOCK_EX | LOCK_NB) == 0)
        (void)unlinkat(folder, name, 0);
    close(fd);
}

/* 'd' for a folder, 'f' for a file, 0 for what is no object. Links are followed. */
static char kind_of(int folder, const struct dirent *entry) {
    struct stat info;

    if (entry->d_type == DT_REG) return 'f';
    if (entry->d_type == DT_DIR) return 'd';
    if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) return 0;
    if (fstatat(folder, entry->d_name, &info, 0) != 0) return 0;
    return S_ISREG(info.st_mode) ? 'f' : S_ISDIR(info.st_mode) ? 'd' : 0;
}

static bool add(Names *names, Str name, bool is_folder) {
    char *copy = arena_alloc_bytes(names->arena, name.len + 1);

    if (copy == NULL) return false;
    if (names->count == names->capacity) {
        size_t capacity = names->capacity == 0 ? 64 : names->capacity * 2;
        Str *items = realloc(names->items, capacity * sizeof *items);

        if (items == NULL) return false;
        names->items = items;
        names->capacity = capacity;
    }
    memcpy(copy, name.ptr, name.len);
    copy[name.len] = '/';
    names->items[names->count++] = (Str){copy, name.len + (is_folder ? 1 : 0)};
    return true;
}

static ErrCode read_names(Walk *walk, DIR *folder, Names *names, Error *err) {
    /* Below the folder where the prefix ends, every name counts. */
    Str wanted = str_from(walk->prefix, walk->len);
    struct dirent *entry;

    while (errno = 0, (entry = readdir(folder)) != NULL) {
        Str name = str_of(entry->d_name);
        char kind;

        if (str_equal(name, STR(".")) || str_equal(name, STR(".."))) continue;
        if (str_starts_with(name, STR(FS_TEMP_NAME))) remove_leftover(dirfd(folder), entry->d_name);
        if (str_starts_with(name, STR(STORE_RESERVED)) || !str_starts_with(name, wanted) ||
            walk->len + name.len > STORE_KEY_BYTES_MAX)
            continue;
        kind = kind_of(dirfd(folder), entry);
        if (kind != 0 && !add(names, name, kind == 'd'))
            return error_set(err, ERR_LIMIT, "out of memory");
    }
    return errno == 0 ? ERR_OK : error_errno(err, errno, "read a folder");
}

/* The names in walk->path, sorted, and which folder it is. One that is gone has none. */
static ErrCode open_level(Walk *walk, Names *names, Level *level, Error *err) {
    struct stat info;
    DIR *folder;
    ErrCode code;
    int fd;

    walk->path[walk->len] = '\0';
    fd = openat(walk->fs->root, walk->len == 0 ? "." : walk->path,
                O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) return ERR_OK;
    if (fd < 0) return error_errno(err, errno, "open a folder");
    folder = fdopendir(fd);
    if (folder == NULL) {
        close(fd);
        return error_set(err, ERR_LIMIT, "out of memory");
    }
    code = fstat(fd, &info) == 0 ? ERR_OK : error_errno(err, errno, "stat a folder");
    level->device = info.st_dev;
    level->inode = info.st_ino;
    for (const Level *up = level->up; code == ERR_OK && up != NULL; up = up->up)
        if (up->device == level->device && up->inode == level->inode) goto done;
    if (code == ERR_OK) code = read_names(walk, folder, names, err);
    if (code == ERR_OK && names->count > 0)
        qsort(names->items, names->count, sizeof *names->items, by_name);
done:
    closedir(folder);
    return code;
}

static ErrCode walk_file(Walk *walk, size_t len, Error *err) {
    StoreObject object = {.key = {walk->path, len}};
    struct stat info;

    if (fstatat(walk->fs->root, walk->path, &info, 0) != 0) {
        if (errno == ENOENT || errno == ENOTDIR) return ERR_OK;
        return error_errno(err, errno, "stat");
    }
    if (!S_ISREG(info.st_mode)) return ERR_OK;
    fs_describe(&info, &object);
    return walk->each(walk->context, &object, err);
}

static ErrCode walk_folder(Walk *walk, const Level *up, Error *err);

static ErrCode walk_names(Walk *walk, const Names *names, const Level *level, Error *err) {
    size_t len = walk->len;

    for (size_t i = 0; i < names->count; i++) {
        Str name = names->items[i];

        memcpy(walk->path + len, name.ptr, name.len);
        walk->path[len + name.len] = '\0';
        if (name.ptr[name.len - 1] == '/') {
            walk->len = len + name.len;
            TRY(walk_folder(walk, level, err));
            walk->len = len;
        } else {
            TRY(walk_file(walk, len + name.len, err));
        }
    }
    return ERR_OK;
}

/* As deep as a key has parts, which its length limits. */
static ErrCode walk_folder(Walk *walk, const Level *up, Error *err) {
    Names names = {.arena = arena_new(0, NULL)};
    Level level = {.up = up};
    ErrCode code = ERR_LIMIT;

    if (names.arena == NULL)
        error_set(err, ERR_LIMIT, "out of memory");
    else
        code = open_level(walk, &names, &level, err);
    if (code == ERR_OK) code = walk_names(walk, &names, &level, err);
    free(names.items);
    arena_free(names.arena);
    return code;
}

ErrCode fs_list(StoreDriver *driver, Str prefix,
                ErrCode (*each)(void *context, const StoreObject *object, Error *err),
                void *context, Error *err) {
    Walk walk = {.fs = (Fs *)driver, .prefix = prefix, .each = each, .context = context};

    /* The deepest folder that holds all of them. */
    for (size_t i = 0; i < prefix.len; i++)
        if (prefix.ptr[i] == '/') walk.len = i + 1;
    memcpy(walk.path, prefix.ptr, walk.len);
    return walk_folder(&walk, NULL, err);
}
