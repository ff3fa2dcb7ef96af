/*
 * router.c: from a path and a method to a handler, without allocating.
 *
 * Literal paths are found by hash. The others ({name} segments, prefixes) are few and are tried in
 * order, the most literal first: segment by segment, a literal one goes before a {name}, and that
 * before the rest of a prefix.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/net/internal.h"

enum { METHODS = 6 };

/* One path and who answers it, by method. */
struct PathGroup {
    Str given; /* as it was added */
    Str path;  /* a prefix without its star */
    bool is_prefix;
    bool is_literal;
    Str names[CAPTURES_MAX];
    unsigned name_count;
    const Route *routes[METHODS];
    unsigned methods;
};

struct Router {
    atomic_uint references;
    Route **routes;
    size_t route_count;
    PathGroup *groups; /* literal ones in no order, then the patterns, most literal first */
    size_t group_count;
    size_t pattern_at; /* the first pattern */
    uint32_t *table;   /* of literal groups: index + 1; 0 is free */
    size_t table_mask;
};

/* Startup's allocations: there is no serving without them. */
static void *need(void *memory) {
    if (memory == NULL) abort();
    return memory;
}

Router *router_new(void) {
    Router *router = calloc(1, sizeof *router);

    if (router != NULL) atomic_init(&router->references, 1);
    return router;
}

Router *router_reference(Router *router) {
    atomic_fetch_add_explicit(&router->references, 1, memory_order_relaxed);
    return router;
}

void router_free(Router *router) {
    if (router == NULL ||
        atomic_fetch_sub_explicit(&router->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < router->route_count; i++) {
        stats_free(router->routes[i]->stats);
        free((char *)router->routes[i]->given.path);
        free(router->routes[i]);
    }
    free(router->routes);
    free(router->groups);
    free(router->table);
    free(router);
}

void router_add(Router *router, const HttpRoute *route) {
    Route *copy = need(calloc(1, sizeof *copy));

    assert(route->path != NULL && route->path[0] == '/' && route->handle != NULL);
    assert(route->methods != 0 && route->methods >> METHODS == 0);
    copy->given = *route;
    copy->given.path = need(strdup(route->path));
    copy->stats = need(stats_new(route->path));
    router->routes = need(realloc(router->routes, (router->route_count + 1) * sizeof(Route *)));
    router->routes[router->route_count++] = copy;
}

static Str next_segment(Str *rest) {
    Str segment;

    str_cut(*rest, '/', &segment, rest);
    return segment;
}

static bool is_capture(Str segment) {
    return segment.len > 2 && segment.ptr[0] == '{' && segment.ptr[segment.len - 1] == '}';
}

static void group_init(PathGroup *group, const char *path) {
    Str rest = str_of(path);

    *group = (PathGroup){.given = rest, .path = rest};
    if (str_ends_with(rest, STR("/*"))) {
        group->is_prefix = true;
        group->path.len--;
    }
    for (rest = str_from(group->path, 1); rest.len > 0;) {
        Str segment = next_segment(&rest);

        if (!is_capture(segment)) continue;
        assert(group->name_count < CAPTURES_MAX);
        group->names[group->name_count++] = str_slice(segment, 1, segment.len - 2);
    }
    group->is_literal = !group->is_prefix && group->name_count == 0;
}

static int compare_groups(const void *left, const void *right) {
    const PathGroup *a = left, *b = right;
    Str at_a = str_from(a->path, 1), at_b = str_from(b->path, 1);

    if (a->is_literal != b->is_literal) return a->is_literal ? -1 : 1;
    while (at_a.len > 0 && at_b.len > 0) {
        Str one = next_segment(&at_a), other = next_segment(&at_b);

        if (is_capture(one) != is_capture(other)) return is_capture(one) ? 1 : -1;
    }
    if (at_a.len != at_b.len) return at_a.len > at_b.len ? -1 : 1; /* the longer says more */
    return a->is_prefix - b->is_prefix;
}

static void add_to_table(Router *router, size_t index) {
    size_t at = hash_str(router->groups[index].path) & router->table_mask;

    while (router->table[at] != 0) at = (at + 1) & router->table_mask;
    router->table[at] = (uint32_t)index + 1;
}

static PathGroup *group_of(Router *router, const char *path) {
    PathGroup *group;

    for (size_t i = 0; i < router->group_count; i++) {
        group = &router->groups[i];
        if (str_equal(group->given, str_of(path))) return group;
    }
    group = &router->groups[router->group_count++];
    group_init(group, path);
    return group;
}

void router_compile(Router *router) {
    size_t slots = 16;

    router->groups = need(calloc(router->route_count + 1, sizeof *router->groups));
    for (size_t i = 0; i < router->route_count; i++) {
        Route *route = router->routes[i];
        PathGroup *group = group_of(router, route->given.path);

        for (unsigned bit = 0; bit < METHODS; bit++) {
            if ((route->given.methods & 1U << bit) == 0) continue;
            assert(group->routes[bit] == NULL && "two routes for one path and method");
            group->routes[bit] = route;
        }
        group->methods |= route->given.methods;
    }
    for (size_t i = 0; i < router->group_count; i++) {
        PathGroup *group = &router->groups[i];

        /* Who answers GET answers HEAD: the body is left out on the way. */
        if ((group->methods & HTTP_GET_) != 0 && (group->methods & HTTP_HEAD_) == 0) {
            group->routes[1] = group->routes[0];
            group->methods |= HTTP_HEAD_;
        }
    }
    qsort(router->groups, router->group_count, sizeof *router->groups, compare_groups);
    while (slots < router->group_count * 2) slots *= 2;
    router->table = need(calloc(slots, sizeof *router->table));
    router->table_mask = slots - 1;
    for (router->pattern_at = 0; router->pattern_at < router->group_count; router->pattern_at++) {
        if (!router->groups[router->pattern_at].is_literal) break;
        add_to_table(router, router->pattern_at);
    }
    for (size_t i = 0; i < router->group_count; i++)
        for (unsigned bit = 0; bit < METHODS; bit++)
            if (router->groups[i].routes[bit] != NULL)
                ((Route *)router->groups[i].routes[bit])->group = &router->groups[i];
}

static const PathGroup *find_literal(const Router *router, Str path) {
    size_t at = hash_str(path) & router->table_mask;

    for (; router->table[at] != 0; at = (at + 1) & router->table_mask) {
        const PathGroup *group = &router->groups[router->table[at] - 1];

        if (str_equal(group->path, path)) return group;
    }
    return NULL;
}

static bool pattern_matches(const PathGroup *group, Str path, Span captures[CAPTURES_MAX]) {
    Str pattern = group->path, rest = path;
    unsigned count = 0;

    /* Each round takes a slash and the segment after it. A prefix ends in its slash. */
    while (pattern.len > 0) {
        Str wanted, got;
        size_t end;

        if (rest.len == 0 || rest.ptr[0] != '/') return false;
        pattern = str_from(pattern, 1);
        rest = str_from(rest, 1);
        if (pattern.len == 0) return group->is_prefix || rest.len == 0;
        for (end = 0; end < pattern.len && pattern.ptr[end] != '/';) end++;
        wanted = str_slice(pattern, 0, end);
        pattern = str_from(pattern, end);
        for (end = 0; end < rest.len && rest.ptr[end] != '/';) end++;
        got = str_slice(rest, 0, end);
        rest = str_from(rest, end);
        if (is_capture(wanted)) {
            if (got.len == 0) return false;
            captures[count++] = (Span){(uint32_t)(got.ptr - path.ptr), (uint32_t)got.len};
        } else if (!str_equal(wanted, got)) {
            return false;
        }
    }
    return rest.len == 0;
}

const Route *router_match(const Router *router, HttpMethod method, Str path,
                          Span captures[CAPTURES_MAX], unsigned *allowed) {
    const PathGroup *group = find_literal(router, path);

    *allowed = 0;
    for (size_t i = router->pattern_at; group == NULL && i < router->group_count; i++)
        if (pattern_matches(&router->groups[i], path, captures)) group = &router->groups[i];
    if (group == NULL) return NULL;
    *allowed = group->methods;
    return group->routes[__builtin_ctz((unsigned)method)];
}

int route_capture(const Route *route, Str name) {
    if (route == NULL) return -1;
    for (unsigned i = 0; i < route->group->name_count; i++)
        if (str_equal(route->group->names[i], name)) return (int)i;
    return -1;
}
