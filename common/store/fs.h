#pragma once
/*
 * fs.h: what the files of the fs driver share.
 */
#include <sys/stat.h>

#include "common/store/driver.h"

#define FS_LOCK_NAME STORE_RESERVED "lock"
#define FS_TEMP_NAME STORE_RESERVED "tmp-"

typedef struct Fs {
    StoreDriver driver;
    const Clock *clock;
    int root; /* the folder's descriptor: keys are paths relative to it */
} Fs;

/* A key, or the folder it is in, as a C string. */
typedef struct FsPath {
    char text[STORE_KEY_BYTES_MAX + 2];
} FsPath;

void fs_describe(const struct stat *info, StoreObject *out);

ErrCode fs_list(StoreDriver *driver, Str prefix,
                ErrCode (*each)(void *context, const StoreObject *object, Error *err),
                void *context, Error *err);

/* fs_write.c */
ErrCode fs_make_root(const char *folder, int *ret_root, Error *err);
ErrCode fs_put(StoreDriver *driver, Str key, Str body, const StorePut *how, Error *err);
ErrCode fs_delete(StoreDriver *driver, Str key, Error *err);
ErrCode fs_upload_begin(StoreDriver *driver, Str key, DriverUpload **out, Error *err);
ErrCode fs_upload_write(StoreDriver *driver, DriverUpload *upload, Str bytes, Error *err);
ErrCode fs_upload_finish(StoreDriver *driver, DriverUpload *upload, const StorePut *how,
                         Error *err);
void fs_upload_abort(StoreDriver *driver, DriverUpload *upload);
