#pragma once
/*
 * temp_dir.h: a directory for one test, and its end.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static inline void temp_dir_make(char path[static 64]) {
    const char *base = getenv("TMPDIR");

    if (base == NULL || strlen(base) > 30) base = "/tmp";
    snprintf(path, 64, "%s/moraine-test-XXXXXX", base);
    assert_non_null(mkdtemp(path));
}

static inline int temp_dir_remove_one(const char *path, const struct stat *info, int flag,
                                      struct FTW *at) {
    (void)info;
    (void)flag;
    (void)at;
    return remove(path);
}

static inline void temp_dir_remove(const char *path) {
    (void)nftw(path, temp_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
