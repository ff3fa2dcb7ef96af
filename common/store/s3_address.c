/*
 * s3_address.c: where an S3 store is, from the options and the environment.
 */
#include "common/store/s3.h"

static Str first_of(Str a, Str b, Str c) {
    return a.len > 0 ? a : b.len > 0 ? b : c;
}

static bool is_word(Str s, const char *extra) {
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr(extra, c) != NULL)))
            return false;
    }
    return s.len > 0;
}

/* https://host:port/path */
static ErrCode take_endpoint(Str endpoint, S3Address *out, Error *err) {
    Str rest = endpoint;
    size_t host_len;

    out->tls = !str_starts_with(rest, STR("http://"));
    if (str_starts_with(rest, STR("https://")))
        rest = str_from(rest, 8);
    else if (!out->tls)
        rest = str_from(rest, 7);
    else
        return error_set(err, ERR_INVALID,
                         "endpoint: '" STR_FMT "' begins with neither http:// nor https://",
                         STR_ARG(endpoint));
    for (host_len = 0; host_len < rest.len && rest.ptr[host_len] != '/';) host_len++;
    out->host = str_slice(rest, 0, host_len);
    out->path = str_from(rest, host_len);
    while (str_ends_with(out->path, STR("/"))) out->path.len--;
    if (!is_word(out->host, ".-:[]_"))
        return error_set(err, ERR_INVALID, "endpoint: '" STR_FMT "' has no valid host",
                         STR_ARG(endpoint));
    if (out->path.len > 0 && !is_word(out->path, "/.-_~"))
        return error_set(err, ERR_INVALID, "endpoint: '" STR_FMT "' has an odd path",
                         STR_ARG(endpoint));
    return ERR_OK;
}

static ErrCode take_url(Str url, Arena *arena, S3Address *out, Error *err) {
    Str rest = str_from(url, strlen("s3://")), prefix;

    str_cut(rest, '/', &out->bucket, &prefix);
    if (!is_word(out->bucket, ".-_") || out->bucket.len > 255)
        return error_set(err, ERR_INVALID, "url: '" STR_FMT "' has no valid bucket", STR_ARG(url));
    while (str_ends_with(prefix, STR("/"))) prefix.len--;
    out->prefix = (Str){"", 0};
    if (prefix.len == 0) return ERR_OK;
    if (store_key_check(prefix, err) != ERR_OK || prefix.len > 100) {
        if (prefix.len > 100) error_set(err, ERR_INVALID, "more than 100 bytes");
        error_wrap(err, "url: the prefix");
        return ERR_INVALID;
    }
    out->prefix = str_format(arena, STR_FMT "/", STR_ARG(prefix));
    return ERR_OK;
}

ErrCode s3_address(const StoreOptions *options, const Credentials *credentials, Arena *arena,
                   S3Address *out, Error *err) {
    S3Address found = {0};
    Str endpoint = first_of(options->endpoint, aws_variable("AWS_ENDPOINT_URL_S3"),
                            aws_variable("AWS_ENDPOINT_URL"));

    found.region = first_of(
        options->region, aws_variable("AWS_REGION"),
        first_of(aws_variable("AWS_DEFAULT_REGION"), credentials->region, STR("us-east-1")));
    if (!is_word(found.region, "-_") || found.region.len > 60) /* libcurl takes 64 */
        return error_set(err, ERR_INVALID, "region: '" STR_FMT "' is none", STR_ARG(found.region));
    found.region = str_dup(arena, found.region);
    TRY(take_url(str_dup(arena, options->url), arena, &found, err));
    if (endpoint.len == 0)
        endpoint =
            str_format(arena, "https://s3." STR_FMT ".amazonaws.com" STR_FMT, STR_ARG(found.region),
                       STR_ARG(str_starts_with(found.region, STR("cn-")) ? STR(".cn") : STR("")));
    TRY(take_endpoint(str_dup(arena, endpoint), &found, err));
    if (found.region.ptr == NULL || found.prefix.ptr == NULL)
        return error_set(err, ERR_LIMIT, "out of memory");
    *out = found;
    return ERR_OK;
}
