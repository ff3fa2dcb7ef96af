#pragma once
/*
 * log_cuts.h: what delete requests take out of a tenant's logs: which apply to an object, and which
 * entries they are about. The querier leaves those out, the compactor writes blocks without them.
 *
 * Requests are written in LogQL, which only the querier understands: whoever wires the roles
 * together passes its LogCutLanguage around.
 */
#include "common/base/budget.h"
#include "common/batch/labels.h"
#include "common/batch/matcher.h"
#include "common/manifest/manifest.h"

typedef struct LogCutQuery LogCutQuery;   /* compiled, in an arena; shared by threads */
typedef struct LogCutWorker LogCutWorker; /* one thread's way through it */

typedef struct LogCutLanguage {
    /* ERR_INVALID: not a selector of streams with a pipeline. */
    ErrCode (*compile)(Str query, Arena *arena, LogCutQuery **out, Error *err);
    const Matcher *(*matchers)(const LogCutQuery *query, size_t *count);
    /* False: every entry of a stream that matches is meant. */
    bool (*filters)(const LogCutQuery *query);
    ErrCode (*worker_new)(const LogCutQuery *query, Budget *budget, LogCutWorker **out, Error *err);
    void (*worker_free)(LogCutWorker *worker);
    ErrCode (*worker_stream)(LogCutWorker *worker, LabelPairs labels, Error *err);
    bool (*worker_matches)(LogCutWorker *worker, int64_t time_ns, Str line, LabelPairs metadata);
    ErrCode (*worker_error)(const LogCutWorker *worker, Error *err); /* what went wrong meanwhile */
} LogCutLanguage;

/* One request. */
typedef struct LogCut {
    const ManifestDelete *request;
    const LogCutLanguage *language;
    LogCutQuery *query; /* NULL: not compiled yet */
    int64_t min_ns;     /* both inclusive */
    int64_t max_ns;
} LogCut;

/* A tenant's requests as of one snapshot, which must outlive them. One thread's until what is in it
 * is compiled. */
typedef struct LogCuts {
    Arena *arena;
    LogCut *items;
    size_t count;
} LogCuts;

/* Requests numbered up to `upto`. Empty without a language. ERR_LIMIT: out of budget. */
MUST_USE ErrCode log_cuts_init(LogCuts *cuts, const LogCutLanguage *language,
                               const ManifestSnapshot *snapshot, Str tenant, uint64_t upto,
                               Arena *arena, Error *err);
/* Those that apply to data in [min_ns, max_ns] that is `cleared` up to a number, compiled. `late`:
 * of a head or a segment, to which also requests apply that were processed meanwhile: it held back
 * what they were about. Of blocks nothing is left that they could be about. */
MUST_USE ErrCode log_cuts_of(LogCuts *cuts, uint64_t cleared, bool late, int64_t min_ns,
                             int64_t max_ns, LogCut *const **out, size_t *count, Error *err);
/* Of these, the ones that are about a stream: moves them to the front of `out`, which has room for
 * all. */
size_t log_cuts_of_stream(LogCut *const *cuts, size_t count, LabelPairs labels, LogCut **out);
/* All entries of a stream that matches, between these, go. */
bool log_cut_covers(const LogCut *cut, int64_t min_ns, int64_t max_ns);

/* One thread's memory to look at entries with. */
typedef struct LogCutter LogCutter;
LogCutter *log_cutter_new(Budget *budget); /* NULL: out of memory */
void log_cutter_free(LogCutter *cutter);   /* NULL is fine */
DEFINE_CLEANUP(LogCutter, log_cutter_free)

typedef struct LogCutRows {
    const int64_t *times_ns;
    const Str *lines;
    const Str *metadata; /* canonical bytes; NULL: no entry has any */
    size_t count;
} LogCutRows;

/* keep[i] of each entry of one stream, and how many are kept. `cuts` are those of the stream and
 * live as long as the cutter. */
MUST_USE ErrCode log_cutter_run(LogCutter *cutter, LogCut *const *cuts, size_t cut_count,
                                LabelPairs labels, const LogCutRows *rows, bool *keep, size_t *kept,
                                Error *err);
