/*
 * edge_metrics.c: requests from one service to another: a client's span and the server's that has
 * it as its parent make one; so does one of them alone where it says that the other side sends no
 * spans: a database, a peer that is only named, a root that nobody called.
 */
#include "gateway/generator/internal.h"

enum { FAMILY_TOTAL, FAMILY_FAILED, FAMILY_SERVER, FAMILY_CLIENT, FAMILY_MESSAGING };
enum { KIND_SERVER = 2, KIND_CLIENT = 3, KIND_PRODUCER = 4, KIND_CONSUMER = 5 };
enum { EDGE_LABELS_MAX = 4 + 2 * GENERATOR_DIMENSIONS_MAX };

/* An edge that is complete. */
typedef struct Found {
    Str client;
    Str server;
    Str connection;
    Str virtual_node;
    const EdgeSide *from; /* what either side says; NULL: it sends no spans */
    const EdgeSide *to;
    double client_seconds;
    double server_seconds;
} Found;

static const EdgeSide nobody;

static size_t labels_of(const GeneratorRules *rules, const Found *found, LabelPair *out) {
    const EdgeSide *from = found->from == NULL ? &nobody : found->from;
    const EdgeSide *to = found->to == NULL ? &nobody : found->to;
    size_t n = 0;

    out[n++] = (LabelPair){STR("client"), found->client};
    out[n++] = (LabelPair){STR("server"), found->server};
    out[n++] = (LabelPair){STR("connection_type"), found->connection};
    if (rules->settings.edge_virtual_node)
        out[n++] = (LabelPair){STR("virtual_node"), found->virtual_node};
    for (uint32_t i = 0; i < rules->edge_dimension_count; i++) {
        const GeneratorDimension *dimension = &rules->edge_dimensions[i];

        if (rules->settings.edge_prefix) {
            out[n++] = (LabelPair){dimension->client, from->dimensions[i]};
            out[n++] = (LabelPair){dimension->server, to->dimensions[i]};
        } else {
            out[n++] =
                (LabelPair){dimension->label,
                            to->dimensions[i].len > 0 ? to->dimensions[i] : from->dimensions[i]};
        }
    }
    return n;
}

static void count_found(GeneratorTenant *tenant, const Found *found, int64_t now_ms) {
    const TraceId *trace = &(found->from != NULL ? found->from : found->to)->trace;
    Registry *registry = &tenant->registry;
    Group *group = &registry->groups[GROUP_EDGES];
    LabelPair labels[EDGE_LABELS_MAX];
    size_t count = labels_of(tenant->rules, found, labels);
    GroupEntry *entry;
    KeyMaker maker;
    Hash128 key;

    key_begin(&maker, tenant->scratch);
    for (size_t i = 0; i < count; i++) key_add(&maker, labels[i].value);
    if (!key_end(&maker, tenant->seed, &key)) {
        counter_add(tenant->edges_dropped, 1);
        return;
    }
    entry = group_find(group, key);
    if (entry == NULL) entry = generator_entry(tenant, GROUP_EDGES, key, labels, count);
    if (entry == NULL) {
        counter_add(tenant->edges_dropped, 1);
        return;
    }
    counter_add(tenant->edges_found, 1);
    entry->updated_ms = now_ms;
    cell_add(registry, group, entry, FAMILY_TOTAL, 1);
    if ((found->from != NULL && found->from->failed) || (found->to != NULL && found->to->failed))
        cell_add(registry, group, entry, FAMILY_FAILED, 1);
    cell_observe(registry, group, entry, FAMILY_SERVER, found->server_seconds, trace);
    cell_observe(registry, group, entry, FAMILY_CLIENT, found->client_seconds, trace);
    if (tenant->rules->settings.edge_messaging && found->from != NULL && found->to != NULL &&
        found->to->messaging && found->to->start_ns > found->from->end_ns)
        cell_observe(registry, group, entry, FAMILY_MESSAGING,
                     (double)(found->to->start_ns - found->from->end_ns) / 1e9, trace);
}

static double seconds_of(const EdgeSide *side) {
    return (double)(side->end_ns - side->start_ns) / 1e9;
}

static void count_pair(GeneratorTenant *tenant, const EdgeSide *client, const EdgeSide *server,
                       int64_t now_ms) {
    Found found = {.client = client->service,
                   .server = server->service,
                   .connection =
                       client->messaging || server->messaging ? STR("messaging_system") : STR(""),
                   .from = client,
                   .to = server,
                   .client_seconds = seconds_of(client),
                   .server_seconds = seconds_of(server)};

    count_found(tenant, &found, now_ms);
}

/* Nobody called this root that sends spans. */
static void count_root(GeneratorTenant *tenant, const EdgeSide *server, int64_t now_ms) {
    Found found = {.client = server->peer.len > 0 ? server->peer : STR("user"),
                   .server = server->service,
                   .connection = STR("virtual_node"),
                   .virtual_node = STR("client"),
                   .to = server,
                   .server_seconds = seconds_of(server)};

    count_found(tenant, &found, now_ms);
}

static void count_database(GeneratorTenant *tenant, const EdgeSide *client, Str database,
                           int64_t now_ms) {
    Found found = {.client = client->service,
                   .server = database,
                   .connection = STR("database"),
                   .from = client,
                   .client_seconds = seconds_of(client),
                   .server_seconds = seconds_of(client)};

    count_found(tenant, &found, now_ms);
}

static void count_expired(GeneratorTenant *tenant, const EdgeSide *side, int64_t now_ms) {
    Found found = {.client = side->service,
                   .server = side->peer,
                   .connection = STR("virtual_node"),
                   .virtual_node = STR("server"),
                   .from = side,
                   .client_seconds = seconds_of(side)};

    if (!side->client || side->peer.len == 0)
        counter_add(tenant->edges_expired, 1);
    else
        count_found(tenant, &found, now_ms);
}

void generator_expire_edges(GeneratorTenant *tenant, int64_t now_ms, uint64_t now_ns,
                            size_t count_max) {
    Edges *edges = &tenant->edges;

    while (count_max-- > 0 && edges->oldest != NULL && edges->oldest->expires_ns <= now_ns) {
        EdgeSide side;

        edge_side(edges->oldest, &side);
        count_expired(tenant, &side, now_ms);
        edges_remove(edges, edges->oldest);
    }
}

/* ---------- one span ---------- */

/* The resource's value, or else the span's. */
static Str value_of(const CountedSpan *span, const WantedValues *values, uint8_t wanted) {
    Str of_resource = span->origin->values.at[wanted];

    return of_resource.ptr != NULL ? of_resource : values->at[wanted];
}

/* What the database that a client asks is called; NULL ptr: it asks none. */
static Str database_of(const GeneratorTenant *tenant, const CountedSpan *span,
                       const WantedValues *values) {
    const Wanted *wanted = &tenant->wanted;
    Str name = {NULL, 0}, better;

    for (uint32_t i = 0; i < tenant->rules->database_count && name.ptr == NULL; i++)
        name = value_of(span, values, wanted->databases[i]);
    if (name.ptr == NULL) return name;
    better = value_of(span, values, wanted->peer_service);
    if (better.ptr == NULL) better = value_of(span, values, wanted->server_address);
    if (better.ptr != NULL) return better;
    better = value_of(span, values, wanted->peer_address);
    if (better.ptr == NULL) return name;
    name = value_of(span, values, wanted->peer_port);
    if (name.ptr == NULL) return better;
    return str_format(tenant->scratch, STR_FMT ":" STR_FMT, STR_ARG(better), STR_ARG(name));
}

static void fill_side(const GeneratorTenant *tenant, const CountedSpan *span,
                      const WantedValues *values, EdgeSide *side) {
    uint8_t kind = span->view.kind;

    side->client = kind == KIND_CLIENT || kind == KIND_PRODUCER;
    side->trace = span->item->trace;
    side->span = side->client ? span->view.id : span->view.parent;
    side->service = span->origin->service;
    side->start_ns = span->item->start_ns;
    side->end_ns = span->item->end_ns;
    side->failed = span->view.status == SPAN_STATUS_ERROR;
    side->messaging = kind == KIND_PRODUCER || kind == KIND_CONSUMER;
    side->peer = (Str){NULL, 0};
    for (uint32_t i = 0; i < tenant->rules->peer_count && side->peer.ptr == NULL; i++)
        side->peer = values->at[tenant->wanted.peers[i]];
    for (uint32_t i = 0; i < tenant->rules->edge_dimension_count; i++)
        side->dimensions[i] = value_of(span, values, tenant->wanted.edge_dimensions[i]);
}

void edge_metrics_count(GeneratorTenant *tenant, const CountedSpan *span,
                        const WantedValues *values) {
    const GeneratorSettings *settings = &tenant->rules->settings;
    Edges *edges = &tenant->edges;
    EdgeSide side, other;
    Edge *edge;
    Str database;

    if (span->origin->service.len == 0) return; /* an edge has two named ends */
    fill_side(tenant, span, values, &side);
    if (!side.client && side.span == 0) {
        count_root(tenant, &side, span->now_ms);
        return;
    }
    edge = edges_find(edges, &side.trace, side.span);
    database = side.client ? database_of(tenant, span, values) : (Str){NULL, 0};
    if (database.len > 0) {
        count_database(tenant, &side, view_cut(database, tenant->value_bytes_max), span->now_ms);
        if (edge != NULL) edges_remove(edges, edge); /* the database sends spans, too */
        return;
    }
    if (edge != NULL && edge->client == side.client) return; /* sent again */
    if (edge != NULL) {
        edge_side(edge, &other);
        count_pair(tenant, side.client ? &side : &other, side.client ? &other : &side,
                   span->now_ms);
        edges_remove(edges, edge);
        return;
    }
    if (edges->count >= settings->edges_max ||
        !edges_add(edges, &side, tenant->rules->edge_dimension_count,
                   span->now_ns + (uint64_t)settings->edge_wait_ms * 1000000))
        counter_add(tenant->edges_dropped, 1);
}
