/*
 * generator.c: rules, kept for the life of the process, as those of stream_retention.c.
 */
#include "common/tenant/generator.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/base/number.h"

typedef struct Kept {
    struct Kept *next;
    GeneratorRules rules;
} Kept;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Arena *arena; /* under `lock`, as the list */
static Kept *list;

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "metrics_generator: out of memory");
}

static bool same(const GeneratorSettings *a, const GeneratorSettings *b) {
    return a->span_metrics == b->span_metrics && a->service_graphs == b->service_graphs &&
           a->histograms == b->histograms && a->series_max == b->series_max &&
           a->stale_after_ms == b->stale_after_ms && a->slack_ms == b->slack_ms &&
           str_equal(a->exemplar_label, b->exemplar_label) &&
           str_equal(a->span_intrinsics, b->span_intrinsics) &&
           str_equal(a->span_dimensions, b->span_dimensions) &&
           str_equal(a->span_buckets, b->span_buckets) && a->span_latency == b->span_latency &&
           a->span_size == b->span_size && a->target_info == b->target_info &&
           str_equal(a->edge_dimensions, b->edge_dimensions) &&
           str_equal(a->edge_buckets, b->edge_buckets) && str_equal(a->edge_peers, b->edge_peers) &&
           str_equal(a->edge_databases, b->edge_databases) && a->edge_wait_ms == b->edge_wait_ms &&
           a->edges_max == b->edges_max && a->edge_prefix == b->edge_prefix &&
           a->edge_virtual_node == b->edge_virtual_node && a->edge_messaging == b->edge_messaging;
}

/* ---------- lists ---------- */

/* "a, b,,c" as its names. */
static ErrCode split(const char *setting, Str text, uint32_t count_max, const Str **out,
                     uint32_t *count, Error *err) {
    Str *names = ARENA_ARRAY(arena, Str, count_max);

    if (names == NULL) return out_of_memory(err);
    *out = names;
    for (*count = 0; text.len > 0;) {
        Str name;

        str_cut(text, ',', &name, &text);
        name = str_trim(name);
        if (name.len == 0) continue;
        if (*count == count_max)
            return error_set(err, ERR_INVALID, "%s: more than %u names", setting, count_max);
        names[(*count)++] = name;
    }
    return ERR_OK;
}

static bool in_label(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* http.method: http_method. A name that a label of ours has already gets __ in front. */
static Str label_name(const char *prefix, Str attribute) {
    static const char *const taken[] = {
        "service", "span_name", "span_kind", "status_code", "status_message",
        "job",     "instance",  "client",    "server",      "connection_type",
        "le"};
    Str name = str_format(arena, "%s" STR_FMT, prefix, STR_ARG(attribute));

    if (name.ptr == NULL) return name;
    for (size_t i = 0; i < name.len; i++)
        if (!in_label(name.ptr[i])) ((char *)name.ptr)[i] = '_';
    for (size_t i = 0; i < ARRAY_LEN(taken); i++)
        if (str_equal(name, str_of(taken[i])))
            return str_format(arena, "__" STR_FMT, STR_ARG(name));
    if (name.ptr[0] >= '0' && name.ptr[0] <= '9')
        return str_format(arena, "_" STR_FMT, STR_ARG(name));
    return name;
}

/* Of attributes that fall together as labels the last one stays, as in Tempo. */
static ErrCode dimensions(const char *setting, Str text, const GeneratorDimension **out,
                          uint32_t *count, Error *err) {
    GeneratorDimension *items = ARENA_ARRAY(arena, GeneratorDimension, GENERATOR_DIMENSIONS_MAX);
    uint32_t named;
    const Str *names;

    TRY(split(setting, text, GENERATOR_DIMENSIONS_MAX, &names, &named, err));
    if (items == NULL) return out_of_memory(err);
    for (uint32_t i = 0; i < named; i++) {
        GeneratorDimension made = {names[i], label_name("", names[i]),
                                   label_name("client_", names[i]),
                                   label_name("server_", names[i])};
        uint32_t at = 0;

        if (made.label.ptr == NULL || made.client.ptr == NULL || made.server.ptr == NULL)
            return out_of_memory(err);
        while (at < *count && !str_equal(items[at].label, made.label)) at++;
        items[at] = made;
        if (at == *count) (*count)++;
    }
    *out = items;
    return ERR_OK;
}

static ErrCode buckets(const char *setting, Str text, GeneratorBuckets *out, Error *err) {
    double *bounds = ARENA_ARRAY(arena, double, GENERATOR_BUCKETS_MAX);
    Str *texts = ARENA_ARRAY(arena, Str, GENERATOR_BUCKETS_MAX + 1);
    const Str *names;
    uint32_t count;

    TRY(split(setting, text, GENERATOR_BUCKETS_MAX, &names, &count, err));
    if (bounds == NULL || texts == NULL) return out_of_memory(err);
    for (uint32_t i = 0; i < count; i++) {
        char shortest[NUMBER_PLAIN_MAX];

        if (!str_to_double(names[i], &bounds[i]) || !(bounds[i] >= 1e-6 && bounds[i] <= 1e9) ||
            (i > 0 && bounds[i] <= bounds[i - 1]))
            return error_set(err, ERR_INVALID,
                             "%s: expected ascending numbers of seconds from 1e-6 to 1e9, found "
                             "\"" STR_FMT "\"",
                             setting, STR_ARG(str_slice(names[i], 0, 40)));
        texts[i] =
            str_dup(arena, (Str){shortest, (size_t)(number_plain(bounds[i], shortest) - shortest)});
        if (texts[i].ptr == NULL) return out_of_memory(err);
    }
    texts[count] = STR("+Inf");
    *out = (GeneratorBuckets){bounds, texts, count};
    return ERR_OK;
}

static ErrCode intrinsics(GeneratorRules *rules, Error *err) {
    const struct {
        const char *name;
        bool *on;
    } known[] = {{"service", &rules->service},
                 {"span_name", &rules->span_name},
                 {"span_kind", &rules->span_kind},
                 {"status_code", &rules->status_code},
                 {"status_message", &rules->status_message}};
    const Str *names;
    uint32_t count;

    TRY(split("span_metrics.intrinsic_dimensions", rules->settings.span_intrinsics, 16, &names,
              &count, err));
    for (uint32_t i = 0; i < count; i++) {
        size_t k = 0;

        while (k < ARRAY_LEN(known) && !str_equal(names[i], str_of(known[k].name))) k++;
        if (k == ARRAY_LEN(known))
            return error_set(err, ERR_INVALID,
                             "span_metrics.intrinsic_dimensions: there is no \"" STR_FMT
                             "\", only service, span_name, span_kind, status_code and "
                             "status_message",
                             STR_ARG(str_slice(names[i], 0, 80)));
        *known[k].on = true;
    }
    return ERR_OK;
}

/* ---------- rules ---------- */

/* The texts as copies that stay. */
static ErrCode keep_texts(GeneratorSettings *settings, Error *err) {
    Str *const texts[] = {&settings->exemplar_label,  &settings->span_intrinsics,
                          &settings->span_dimensions, &settings->span_buckets,
                          &settings->edge_dimensions, &settings->edge_buckets,
                          &settings->edge_peers,      &settings->edge_databases};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        *texts[i] = texts[i]->len == 0 ? STR("") : str_dup(arena, *texts[i]);
        if (texts[i]->ptr == NULL) return out_of_memory(err);
    }
    return ERR_OK;
}

static ErrCode check_exemplar_label(Str label, Error *err) {
    bool fine = label.len > 0 && !(label.ptr[0] >= '0' && label.ptr[0] <= '9');

    for (size_t i = 0; i < label.len; i++) fine = fine && in_label(label.ptr[i]);
    if (fine) return ERR_OK;
    return error_set(err, ERR_INVALID,
                     "metrics_generator.exemplar_label: \"" STR_FMT "\" is no label's name",
                     STR_ARG(str_slice(label, 0, 80)));
}

static ErrCode make(const GeneratorSettings *settings, Kept **out, Error *err) {
    Kept *kept = ARENA_NEW(arena, Kept);
    GeneratorRules *rules;

    if (kept == NULL) return out_of_memory(err);
    rules = &kept->rules;
    rules->settings = *settings;
    TRY(keep_texts(&rules->settings, err));
    settings = &rules->settings;
    TRY(check_exemplar_label(settings->exemplar_label, err));
    TRY(intrinsics(rules, err));
    TRY(dimensions("span_metrics.dimensions", settings->span_dimensions, &rules->span_dimensions,
                   &rules->span_dimension_count, err));
    TRY(dimensions("service_graphs.dimensions", settings->edge_dimensions, &rules->edge_dimensions,
                   &rules->edge_dimension_count, err));
    TRY(buckets("span_metrics.histogram_buckets", settings->span_buckets, &rules->span_buckets,
                err));
    TRY(buckets("service_graphs.histogram_buckets", settings->edge_buckets, &rules->edge_buckets,
                err));
    TRY(split("service_graphs.peer_attributes", settings->edge_peers, GENERATOR_PEERS_MAX,
              &rules->peers, &rules->peer_count, err));
    TRY(split("service_graphs.database_name_attributes", settings->edge_databases,
              GENERATOR_PEERS_MAX, &rules->databases, &rules->database_count, err));
    *out = kept;
    return ERR_OK;
}

static ErrCode keep_locked(const GeneratorSettings *settings, const GeneratorRules **out,
                           Error *err) {
    Kept *kept;

    for (kept = list; kept != NULL; kept = kept->next)
        if (same(&kept->rules.settings, settings)) {
            *out = &kept->rules;
            return ERR_OK;
        }
    if (arena == NULL) arena = arena_new(0, NULL);
    if (arena == NULL) return out_of_memory(err);
    TRY(make(settings, &kept, err));
    kept->next = list;
    list = kept;
    *out = &kept->rules;
    return ERR_OK;
}

ErrCode generator_rules_keep(const GeneratorSettings *settings, const GeneratorRules **out,
                             Error *err) {
    const GeneratorRules *rules = NULL;
    ErrCode code;

    pthread_mutex_lock(&lock);
    code = keep_locked(settings, &rules, err);
    pthread_mutex_unlock(&lock);
    if (code == ERR_OK) *out = rules;
    return code;
}
