/*
 * parts.c: which heads and objects a selector touches, and what they select.
 */
#include <string.h>

#include "querier/fetch/internal.h"

/* One object's look-up, done by any thread of the pool. */
typedef struct BlockJob {
    const ManifestEntry *entry;
    Arena *arena;
    Part *part;
    ErrCode code;
    Error err;
} BlockJob;

typedef struct BlockJobs {
    FetchSource *fetch;
    QueryContext *query;
    const SelectRequest *request;
    bool exemplars;
    BlockJob *jobs;
} BlockJobs;

static void snapshot_release(void *what) {
    manifest_snapshot_unref(what);
}

static void arena_release(void *what) {
    arena_free(what);
}

static ErrCode block_job(BlockJobs *all, BlockJob *job, Error *err) {
    FetchSource *fetch = all->fetch;
    BlockSelect select = {
        .tenant = job->part->tenant,
        .matchers = all->request->matchers,
        .matcher_count = all->request->matcher_count,
        .min_ms = all->request->min_ms,
        .max_ms = all->request->max_ms,
        .labels_only = all->request->labels_only,
    };
    const Block *block;

    TRY(query_check(all->query, err));
    TRY(block_open(fetch->options.cache, job->entry->key, job->entry->size, job->arena,
                   fetch->stats, &block, err));
    if (!all->exemplars)
        return block_metrics_select(block, &select, job->arena, fetch->stats, &job->part->selection,
                                    err);

    const SelectedExemplar **exemplars;
    size_t *counts;

    TRY(block_metrics_exemplars_read(block, &select, job->arena, fetch->stats,
                                     &job->part->selection, &exemplars, &counts, err));
    job->part->exemplars = exemplars;
    job->part->exemplar_counts = counts;
    return ERR_OK;
}

static void block_job_run(void *context, size_t i) {
    BlockJobs *all = context;
    BlockJob *job = &all->jobs[i];

    job->code = block_job(all, job, &job->err);
}

static ErrCode head_parts(FetchSource *fetch, QueryContext *query, const SelectRequest *request,
                          bool exemplars, const FetchTenant *tenant, Parts *out, Error *err) {
    const HeadReader *heads = &fetch->options.heads;
    HeadSelect select = {
        .tenant = tenant->name,
        .matchers = request->matchers,
        .matcher_count = request->matcher_count,
        .min_ms = request->min_ms,
        .max_ms = request->max_ms,
        .labels_only = request->labels_only,
        .newest_only = request->newest_only,
    };
    MetricsSelection *selections = NULL;
    HeadExemplars **found = NULL;
    size_t count = 0;

    if (exemplars)
        TRY(heads->exemplars(heads->context, &select, query->arena, &selections, &found, &count,
                             err));
    else
        TRY(heads->select(heads->context, &select, query->arena, &selections, &count, err));
    out->items = ARENA_ARRAY(query->arena, Part, count);
    if (out->items == NULL) return error_set(err, ERR_LIMIT, "the query's memory limit is reached");
    out->count = count;
    for (size_t s = 0; s < count; s++) {
        Part *part = &out->items[s];

        *part =
            (Part){.selection = selections[s], .tenant = tenant->name, .min_ms = request->min_ms};
        if (!exemplars) continue;
        size_t series_count = selections[s].series_count;
        const SelectedExemplar **items =
            ARENA_ARRAY(query->arena, const SelectedExemplar *, series_count);
        size_t *counts = ARENA_ARRAY(query->arena, size_t, series_count);

        if (items == NULL || counts == NULL)
            return error_set(err, ERR_LIMIT, "the query's memory limit is reached");
        for (size_t i = 0; i < series_count; i++) {
            items[i] = found[s][i].items;
            counts[i] = found[s][i].count;
        }
        part->exemplars = items;
        part->exemplar_counts = counts;
    }
    return ERR_OK;
}

static ErrCode block_parts_of(FetchSource *fetch, QueryContext *query, const SelectRequest *request,
                              bool exemplars, const FetchTenant *tenant,
                              const ManifestSnapshot *snapshot, Parts *out, Error *err) {
    const ManifestEntry **entries;
    BlockJobs all = {fetch, query, request, exemplars, NULL};

    TRY(manifest_find(snapshot, tenant->name, SIGNAL_METRICS, request->min_ms, request->max_ms,
                      query->arena, &entries, &out->count, err));
    out->items = ARENA_ARRAY(query->arena, Part, out->count);
    all.jobs = ARENA_ARRAY(query->arena, BlockJob, out->count);
    if (out->items == NULL || all.jobs == NULL)
        return error_set(err, ERR_LIMIT, "the query's memory limit is reached");
    for (size_t i = 0; i < out->count; i++) {
        BlockJob *job = &all.jobs[i];

        out->items[i].tenant = tenant->name;
        out->items[i].min_ms = request->min_ms;
        /* An arena serves one thread: each job has its own, charged to the same budget. */
        *job = (BlockJob){.entry = entries[i],
                          .arena = out->count == 1 ? query->arena
                                                   : arena_new(0, arena_budget(query->arena)),
                          .part = &out->items[i]};
        if (job->arena != NULL && job->arena != query->arena &&
            !arena_on_free(query->arena, arena_release, job->arena)) {
            arena_free(job->arena);
            job->arena = NULL;
        }
        if (job->arena == NULL)
            return error_set(err, ERR_LIMIT, "the query's memory limit is reached");
    }
    if (query->pool != NULL && out->count > 1)
        pool_each(query->pool, out->count, block_job_run, &all);
    else
        for (size_t i = 0; i < out->count; i++) block_job_run(&all, i);
    for (size_t i = 0; i < out->count; i++)
        if (all.jobs[i].code != ERR_OK) {
            if (err != NULL) *err = all.jobs[i].err;
            return all.jobs[i].code;
        }
    return ERR_OK;
}

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "the query's memory limit is reached");
}

SelectRequest fetch_kept(const SelectRequest *request, const FetchTenant *tenant) {
    SelectRequest kept = *request;

    kept.min_ms = MAX(kept.min_ms, tenant->keep_from_ms);
    return kept;
}

ErrCode fetch_federate(const FetchSource *fetch, Arena *arena, const SelectRequest *request,
                       Federated *out, Error *err) {
    Matcher *matchers;
    FetchTenant *tenants;

    *out = (Federated){*request, fetch->tenants, fetch->tenant_count};
    if (fetch->tenant_count <= 1) return ERR_OK;
    matchers = ARENA_ARRAY(arena, Matcher, request->matcher_count);
    tenants = ARENA_ARRAY(arena, FetchTenant, fetch->tenant_count);
    if (matchers == NULL || tenants == NULL) return out_of_memory(err);
    memcpy(tenants, fetch->tenants, fetch->tenant_count * sizeof *tenants);
    out->request.matchers = matchers;
    out->request.matcher_count = 0;
    out->tenants = tenants;
    for (size_t m = 0; m < request->matcher_count; m++) {
        const Matcher *matcher = &request->matchers[m];
        size_t kept = 0;

        if (!str_equal(matcher->name, TENANT_LABEL)) {
            Matcher *copy = &matchers[out->request.matcher_count++];

            *copy = *matcher;
            if (str_equal(matcher->name, TENANT_LABEL_OWN)) copy->name = TENANT_LABEL;
            continue;
        }
        for (size_t t = 0; t < out->tenant_count; t++)
            if (matcher_matches(matcher, tenants[t].name)) tenants[kept++] = tenants[t];
        out->tenant_count = kept;
    }
    return ERR_OK;
}

ErrCode fetch_parts(FetchSource *fetch, QueryContext *query, const SelectRequest *request,
                    bool exemplars, Parts *out, Error *err) {
    const ManifestSnapshot *snapshot;
    Parts *heads, *blocks;
    Federated federated;
    size_t count = 0;

    TRY(fetch_federate(fetch, query->arena, request, &federated, err));
    heads = ARENA_ARRAY(query->arena, Parts, federated.tenant_count);
    blocks = ARENA_ARRAY(query->arena, Parts, federated.tenant_count);
    if (heads == NULL || blocks == NULL) return out_of_memory(err);
    for (size_t t = 0; t < federated.tenant_count; t++) {
        SelectRequest kept = fetch_kept(&federated.request, &federated.tenants[t]);

        TRY(head_parts(fetch, query, &kept, exemplars, &federated.tenants[t], &heads[t], err));
        count += heads[t].count;
    }
    snapshot = manifest_snapshot(fetch->options.manifest);
    if (!arena_on_free(query->arena, snapshot_release, (void *)(uintptr_t)snapshot)) {
        manifest_snapshot_unref(snapshot);
        return out_of_memory(err);
    }
    for (size_t t = 0; t < federated.tenant_count; t++) {
        SelectRequest kept = fetch_kept(&federated.request, &federated.tenants[t]);

        TRY(block_parts_of(fetch, query, &kept, exemplars, &federated.tenants[t], snapshot,
                           &blocks[t], err));
        count += blocks[t].count;
    }
    out->items = ARENA_ARRAY(query->arena, Part, count);
    if (out->items == NULL) return out_of_memory(err);
    out->count = 0;
    /* What was written first wins where two hold the same instant: objects before heads. */
    for (size_t t = 0; t < federated.tenant_count; t++) {
        for (size_t i = 0; i < blocks[t].count; i++) out->items[out->count++] = blocks[t].items[i];
        for (size_t i = 0; i < heads[t].count; i++) out->items[out->count++] = heads[t].items[i];
    }
    return ERR_OK;
}
