#include "querier/fetch/warm.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/log.h"

struct Warmer {
    BlockCache *cache;
    Manifest *manifest;
    pthread_t thread;
    atomic_bool stop;
};

static bool has_traces(const ManifestEntry *entry) {
    for (size_t i = 0; i < entry->part_count; i++)
        if (entry->parts[i].signal == SIGNAL_TRACES) return true;
    return false;
}

/* What fails here fails again, with words, where it is needed. */
static bool read_footer(Warmer *warmer, const ManifestEntry *entry) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    BlockStats stats = {0};
    const Block *block;

    return arena != NULL && block_open(warmer->cache, entry->key, entry->size, arena, &stats,
                                       &block, NULL) == ERR_OK;
}

static void *warmer_main(void *context) {
    Warmer *warmer = context;
    const ManifestSnapshot *snapshot = manifest_snapshot(warmer->manifest);
    size_t count, read = 0;
    const ManifestEntry *entries = manifest_entries(snapshot, &count);

    for (size_t i = count; i-- > 0 && read < WARM_BLOCKS_MAX && !atomic_load(&warmer->stop);)
        if (has_traces(&entries[i])) read += read_footer(warmer, &entries[i]);
    manifest_snapshot_unref(snapshot);
    if (read > 0) LOG_DEBUG("footers of blocks with traces were read", LOG_U64("blocks", read));
    return NULL;
}

Warmer *warmer_start(BlockCache *cache, Manifest *manifest) {
    Warmer *warmer = calloc(1, sizeof *warmer);

    if (warmer == NULL) return NULL;
    warmer->cache = cache;
    warmer->manifest = manifest;
    if (pthread_create(&warmer->thread, NULL, warmer_main, warmer) == 0) return warmer;
    free(warmer);
    return NULL;
}

void warmer_stop(Warmer *warmer) {
    if (warmer == NULL) return;
    atomic_store(&warmer->stop, true);
    pthread_join(warmer->thread, NULL);
    free(warmer);
}
