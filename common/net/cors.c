#include "common/net/cors.h"

#include <stdlib.h>

#include "common/base/regex.h"

struct Cors {
    Regex *origins; /* NULL: every one */
};

ErrCode cors_new(Str origins, Cors **out, Error *err) {
    CLEANUP(cors_free) Cors *cors = NULL;

    *out = NULL;
    if (origins.len == 0) return ERR_OK;
    cors = calloc(1, sizeof *cors);
    if (cors == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    if (!str_equal(origins, STR(".*")))
        TRY(regex_new(origins, &(RegexOptions){.anchored = true}, &cors->origins, err));
    *out = cors;
    cors = NULL;
    return ERR_OK;
}

void cors_free(Cors *cors) {
    if (cors == NULL) return;
    regex_free(cors->origins);
    free(cors);
}

void cors_apply(const Cors *cors, HttpRequest *request) {
    Str origin = http_header(request, "Origin");

    if (cors == NULL) return;
    http_set_header(request, "Vary", STR("Origin"));
    if (origin.len == 0) return;
    http_set_header(request, "Access-Control-Allow-Headers",
                    STR("Accept, Authorization, Content-Type, Origin, X-Scope-OrgID"));
    http_set_header(request, "Access-Control-Allow-Methods", STR("GET, POST, OPTIONS"));
    http_set_header(request, "Access-Control-Expose-Headers", STR("Date"));
    if (cors->origins == NULL)
        http_set_header(request, "Access-Control-Allow-Origin", STR("*"));
    else if (regex_matches(cors->origins, origin))
        http_set_header(request, "Access-Control-Allow-Origin", origin);
}
