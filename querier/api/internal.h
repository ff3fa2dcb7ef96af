#pragma once
/*
 * internal.h: what the API's files share: a call, its parameters, its answers.
 */
#include "common/base/telemetry.h"
#include "querier/cache/range.h"
#include "querier/exec/scheduler.h"
#include "querier/fetch/warm.h"
#include "querier/promql/parser.h"
#include "querier/querier.h"
#include "querier/tail/tail.h"

typedef struct ApiCall ApiCall;

/* One endpoint. `run` is called on the query pool; it fills `out`, or fails. */
typedef struct ApiEndpoint {
    unsigned methods;
    const char *path; /* below /api/v1 */
    ErrCode (*run)(ApiCall *call, Buf *out, Error *err);
    unsigned flags; /* ApiFlags */
} ApiEndpoint;

typedef enum ApiFlags {
    API_TEXT_ERRORS = 1, /* as text/plain, for callers that are no browsers */
    API_AT_ROOT = 2,     /* `path` is not below /api/v1 */
    API_TIMEOUT = 8,     /* takes `timeout`; elsewhere it has no meaning */
    API_LOKI = 4,   /* logs: `path` is whole, and served at / and /logs; errors as Loki has them */
    API_TEMPO = 16, /* traces: `path` is whole, and served at / and /tempo; errors as Tempo's */
    API_SIGNALS = 64, /* reads metrics, logs and traces */
    API_GRPC = 32,    /* a call of gRPC: `run` answers by itself, `path` names the method */
} ApiFlags;

struct Querier {
    QuerierOptions options;
    Pool *pool;
    Scheduler *scheduler;
    Tailers *tailers;     /* NULL: nobody offers new entries */
    ResultCache *results; /* NULL: nothing is kept */
    Warmer *warmer;       /* maybe NULL */
    Counter *slow_total;
    Histogram *seconds;
    struct EndpointContext *contexts;
    int64_t started_ms;
};

/* One request, from its arrival on a loop to its answer on the pool. Lives in the request's
 * arena; what the query itself holds is in `arena`, charged to the tenant's query. */
struct ApiCall {
    Querier *querier;
    const ApiEndpoint *endpoint;
    HttpRequest *request;
    ScheduledTask task;
    const Str *tenants;
    size_t tenant_count;
    TenantLimits limits;  /* the tightest of all tenants asked */
    uint64_t generation;  /* of the limits, or an older one */
    int64_t keep_from_ms; /* what is older is past some tenant's retention */
    CacheReport cached;
    Budget budget;
    Arena *arena;
    QueryContext query;
    BlockStats stats;
    SeriesSource *source;  /* of metrics */
    StreamSource *streams; /* of logs, for API_LOKI and API_SIGNALS */
    StreamStats stream_stats;
    TraceSource *traces; /* of traces, for API_TEMPO and API_SIGNALS */
    TraceStats trace_stats;
    uint64_t started_ns;
    int status;               /* 200 unless `run` says otherwise */
    const char *content_type; /* application/json unless `run` says otherwise */
    bool streaming;           /* `run` has begun to answer by itself */
    bool evaluating;          /* what is invalid from here on is the data, not the request */
    /* Set by `run` when the request goes on as something else: called last, and takes both request
     * and call. */
    void (*hand_over)(ApiCall *call);
    Tail *tail;     /* for hand_over */
    Error farewell; /* likewise: why there is none */
};

/* `name` missing: false. */
bool api_param(const ApiCall *call, const char *name, Str *out);
/* Decimal seconds or RFC 3339. ERR_INVALID: `invalid parameter "start": cannot parse ...`. Missing:
 * `fallback`. */
MUST_USE ErrCode api_time_param(const ApiCall *call, const char *name, int64_t fallback_ms,
                                int64_t *out, Error *err);
/* Decimal seconds or a Prometheus duration. */
MUST_USE ErrCode api_duration_param(const ApiCall *call, const char *name, int64_t fallback_ms,
                                    int64_t *out, Error *err);
MUST_USE ErrCode api_u64_param(const ApiCall *call, const char *name, uint64_t fallback,
                               uint64_t *out, Error *err);
MUST_USE bool api_parse_time(Str text, int64_t *ms);

/* match[] arguments as requests for [start, end]. With `required` at least one must be given. */
MUST_USE ErrCode api_match_params(ApiCall *call, int64_t min_ms, int64_t max_ms, bool required,
                                  SelectRequest **out, size_t *count, Error *err);

/* `start` and `end` of series and label calls: everything when absent. An end before the start is
 * no error to Prometheus here: what lies around both matches. */
MUST_USE ErrCode api_range_params(const ApiCall *call, int64_t *min_ms, int64_t *max_ms,
                                  Error *err);

/* {"status":"success","data": ... } around what the endpoint writes. */
void api_begin_data(Buf *out);
void api_end_data(Buf *out, bool truncated);
ErrCode api_out_of_memory(Error *err);
/* {"a":"b",...} */
void api_write_labels(Buf *out, const Symbols *symbols, LabelSet labels);

/* Each file's endpoints, ended by an empty one. */
extern const ApiEndpoint api_query_endpoints[];
extern const ApiEndpoint api_series_endpoints[];
extern const ApiEndpoint api_status_endpoints[];
extern const ApiEndpoint api_read_endpoints[];
extern const ApiEndpoint api_federate_endpoints[];
extern const ApiEndpoint api_loki_query_endpoints[];
extern const ApiEndpoint api_loki_meta_endpoints[];
extern const ApiEndpoint api_loki_field_endpoints[];
extern const ApiEndpoint api_loki_delete_endpoints[];
extern const ApiEndpoint api_loki_tail_endpoints[];
extern const ApiEndpoint api_loki_pattern_endpoints[];
extern const ApiEndpoint api_correlate_endpoints[];
extern const ApiEndpoint api_tempo_trace_endpoints[];
extern const ApiEndpoint api_tempo_search_endpoints[];
extern const ApiEndpoint api_tempo_tag_endpoints[];
extern const ApiEndpoint api_tempo_metrics_endpoints[];
extern const ApiEndpoint api_tempo_stream_endpoints[];
extern const ApiEndpoint api_tempo_status_endpoints[];
