#pragma once
/*
 * failing.h: a World whose disk or store fails, and the files of its log.
 */
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "tests/unit/ingester/world.h"

static inline WalIo *hook_io(void *context, unsigned lane) {
    (void)lane;
    return context;
}

/* One lane on this disk; the next start has a good one again. */
static inline void use_io(World *world, FaultIo *fault) {
    world->options.lanes = 1;
    world->hooks = (IngesterHooks){
        .wal_io = fault == NULL ? NULL : hook_io, .context = fault, .wal_file_bytes_max = 8192};
}

static inline void store_is_down(World *world, bool down) {
    store_fault_arm(world->faults,
                    down ? &(FaultPlan){.kind = FAULT_BEFORE, .call = 1, .for_good = true}
                         : &(FaultPlan){0});
}

static inline void log_file(const World *world, char *out, size_t size) {
    char dir[128];
    struct dirent *entry;
    DIR *handle;

    snprintf(dir, sizeof dir, "%s/wal/000", world->dir);
    handle = opendir(dir);
    out[0] = 0;
    while ((entry = readdir(handle)) != NULL)
        if (strstr(entry->d_name, "-00000.wal") != NULL)
            snprintf(out, size, "%s/%.64s", dir, entry->d_name);
    closedir(handle);
    assert_true(out[0] != 0);
}

static inline void copy_file(const char *from, char *bytes, size_t *len, size_t max) {
    FILE *file = fopen(from, "rb");

    *len = fread(bytes, 1, max, file);
    fclose(file);
}

static inline void write_file(const char *to, const char *bytes, size_t len) {
    FILE *file = fopen(to, "wb");

    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

static inline bool has_file(const World *world, const char *ending) {
    char dir[128];
    struct dirent *entry;
    DIR *handle;
    bool has = false;

    snprintf(dir, sizeof dir, "%s/wal/000", world->dir);
    handle = opendir(dir);
    while ((entry = readdir(handle)) != NULL)
        has |= str_ends_with(str_of(entry->d_name), str_of(ending));
    closedir(handle);
    return has;
}

static inline void flush_until_it_works(World *world) {
    Error err = {0};

    for (unsigned i = 0; ingester_flush(world->ingester, &err) != ERR_OK; i++) assert_true(i < 10);
}
