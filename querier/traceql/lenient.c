/*
 * lenient.c: filters while they are typed.
 */
#include "querier/traceql/build.h"

/* Where the part that begins at `at` ends: before && outside of quotes, or at the end. */
static size_t part_end(Str text, size_t at) {
    char quote = '\0';

    for (; at < text.len; at++) {
        char c = text.ptr[at];

        if (quote != '\0') {
            if (c == '\\' && quote == '"') at++;
            if (c == quote) quote = '\0';
        } else if (c == '"' || c == '`') {
            quote = c;
        } else if (c == '&' && at + 1 < text.len && text.ptr[at + 1] == '&') {
            return at;
        }
    }
    return MIN(at, text.len);
}

static bool is_filter(const TraceqlQuery *query) {
    return query->metric == NULL && query->pipeline.count == 1 &&
           query->pipeline.stages[0].kind == TRACEQL_STAGE_SET &&
           query->pipeline.stages[0].set->kind == TRACEQL_SET_FILTER;
}

ErrCode traceql_parse_lenient(Str text, Arena *arena, TraceqlQuery **out, Error *err) {
    Str inner = str_trim(text), joined = {"", 0};
    char *parts;
    Error ignored = {0};

    *out = NULL;
    if (traceql_parse(text, arena, out, &ignored) == ERR_OK) {
        if (!is_filter(*out)) *out = NULL;
        return ERR_OK;
    }
    *out = NULL;
    if (ignored.code == ERR_LIMIT) return traceql_out_of_memory(err);
    if (inner.len < 2 || inner.len > TRACEQL_TEXT_MAX || inner.ptr[0] != '{' ||
        inner.ptr[inner.len - 1] != '}')
        return ERR_OK;
    inner = str_slice(inner, 1, inner.len - 2);
    parts = arena_alloc_bytes(arena, 3 * inner.len + 4); /* all of them, with " && " between */
    if (parts == NULL) return traceql_out_of_memory(err);
    joined.ptr = parts;
    for (size_t at = 0; at < inner.len;) {
        size_t end = part_end(inner, at);
        Str part = str_trim(str_slice(inner, at, end - at));
        Str alone = str_format(arena, "{ " STR_FMT " }", STR_ARG(part));
        TraceqlQuery *query;

        if (alone.ptr == NULL) return traceql_out_of_memory(err);
        if (part.len > 0 && traceql_parse(alone, arena, &query, &ignored) == ERR_OK &&
            is_filter(query)) {
            size_t between = joined.len == 0 ? 0 : 4;

            memcpy(parts + joined.len, " && ", between);
            memcpy(parts + joined.len + between, part.ptr, part.len);
            joined.len += between + part.len;
        }
        at = end + 2;
    }
    if (joined.len == 0) return ERR_OK;
    joined = str_format(arena, "{ " STR_FMT " }", STR_ARG(joined));
    if (joined.ptr == NULL) return traceql_out_of_memory(err);
    if (traceql_parse(joined, arena, out, &ignored) != ERR_OK) *out = NULL;
    return ERR_OK;
}
