/*
 * credentials.c: see the header. The file is read anew each time, since tools that rotate keys
 * write it anew.
 */
#include "common/store/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1 << 20 };

Str aws_variable(const char *name) {
    return str_trim(str_of(getenv(name)));
}

static ErrCode read_file(const char *path, Arena *arena, Str *out, Error *err) {
    char *bytes = arena_alloc_bytes(arena, FILE_BYTES_MAX);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = 0;
    int number = errno;

    if (fd < 0) return error_set(err, ERR_INVALID, "%s: %s", path, strerror(number));
    while (bytes != NULL && len < FILE_BYTES_MAX &&
           (n = read(fd, bytes + len, FILE_BYTES_MAX - len)) > 0)
        len += (size_t)n;
    number = errno;
    close(fd);
    if (bytes == NULL) return error_set(err, ERR_LIMIT, "%s: out of memory", path);
    if (n < 0) return error_set(err, ERR_INVALID, "%s: %s", path, strerror(number));
    if (len == FILE_BYTES_MAX)
        return error_set(err, ERR_INVALID, "%s: larger than %d bytes", path, FILE_BYTES_MAX);
    *out = (Str){bytes, len};
    return ERR_OK;
}

/* `[name]`, or `[profile name]` as the configuration file has it. */
static bool is_section(Str line, Str profile) {
    Str name = str_trim(str_slice(line, 1, line.len - 2));

    if (str_starts_with(name, STR("profile "))) name = str_trim(str_from(name, 8));
    return str_equal(name, profile);
}

static void take_setting(Str line, Credentials *found) {
    Str name, value;

    if (!str_cut(line, '=', &name, &value)) return;
    name = str_trim(name);
    value = str_trim(value);
    if (str_equal_nocase(name, STR("aws_access_key_id"))) found->access_key = value;
    if (str_equal_nocase(name, STR("aws_secret_access_key"))) found->secret_key = value;
    if (str_equal_nocase(name, STR("aws_session_token"))) found->session_token = value;
    if (str_equal_nocase(name, STR("region"))) found->region = value;
}

static ErrCode from_file(const char *path, Str profile, Arena *arena, Credentials *out,
                         Error *err) {
    Credentials found = {0};
    bool inside = false, seen = false;
    Str rest = {0};

    TRY(read_file(path, arena, &rest, err));
    while (rest.len > 0) {
        Str line;

        str_cut(rest, '\n', &line, &rest);
        line = str_trim(line);
        if (line.len == 0 || line.ptr[0] == '#' || line.ptr[0] == ';') continue;
        if (line.ptr[0] == '[' && line.ptr[line.len - 1] == ']' && line.len > 2) {
            inside = is_section(line, profile);
            seen |= inside;
        } else if (inside) {
            take_setting(line, &found);
        }
    }
    if (!seen)
        return error_set(err, ERR_INVALID, "%s has no profile '" STR_FMT "'", path,
                         STR_ARG(profile));
    if (found.access_key.len == 0 || found.secret_key.len == 0)
        return error_set(err, ERR_INVALID,
                         "%s: profile '" STR_FMT
                         "' lacks aws_access_key_id or aws_secret_access_key",
                         path, STR_ARG(profile));
    *out = found;
    return ERR_OK;
}

static ErrCode from_shared_file(Str profile, Arena *arena, Credentials *out, Error *err) {
    Str path = aws_variable("AWS_SHARED_CREDENTIALS_FILE"), home = str_of(getenv("HOME"));

    if (profile.len == 0) profile = aws_variable("AWS_PROFILE");
    if (profile.len == 0) profile = STR("default");
    if (path.len > 0)
        path = str_dup(arena, path);
    else if (home.len > 0)
        path = str_format(arena, STR_FMT "/.aws/credentials", STR_ARG(home));
    else
        return error_set(err, ERR_INVALID, "HOME is not set, so there is no ~/.aws/credentials");
    if (path.ptr == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    return from_file(path.ptr, profile, arena, out, err);
}

static ErrCode find(const StoreOptions *options, Arena *arena, Credentials *out, Error *err) {
    Credentials found = {.may_change = true};
    ErrCode code;

    if (options->access_key.len > 0 || options->secret_key.len > 0) {
        if (options->access_key.len == 0 || options->secret_key.len == 0)
            return error_set(err, ERR_INVALID,
                             "access_key and secret_key: one is set, the other is missing");
        *out = (Credentials){.access_key = options->access_key,
                             .secret_key = options->secret_key,
                             .session_token = options->session_token};
        return ERR_OK;
    }
    found.access_key = aws_variable("AWS_ACCESS_KEY_ID");
    found.secret_key = aws_variable("AWS_SECRET_ACCESS_KEY");
    found.session_token = aws_variable("AWS_SESSION_TOKEN");
    if (options->profile.len == 0 && found.access_key.len > 0) {
        if (found.secret_key.len == 0)
            return error_set(err, ERR_INVALID,
                             "AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is missing");
        *out = found;
        return ERR_OK;
    }
    code = from_shared_file(options->profile, arena, &found, err);
    if (code != ERR_OK) {
        error_wrap(err, options->profile.len > 0
                            ? "profile"
                            : "access_key is not configured, AWS_ACCESS_KEY_ID is not set, and");
        return code;
    }
    found.may_change = true;
    *out = found;
    return ERR_OK;
}

ErrCode credentials_find(const StoreOptions *options, Arena *arena, Credentials *out, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, NULL); /* the file's bytes: secrets */
    Credentials found = {0};

    if (scratch == NULL) return error_set(err, ERR_LIMIT, "out of memory");
    TRY(find(options, scratch, &found, err));
    found.access_key = str_dup(arena, found.access_key);
    found.secret_key = str_dup(arena, found.secret_key);
    found.session_token = str_dup(arena, found.session_token);
    found.region = str_dup(arena, found.region);
    if (found.access_key.ptr == NULL || found.secret_key.ptr == NULL ||
        found.session_token.ptr == NULL || found.region.ptr == NULL)
        return error_set(err, ERR_LIMIT, "out of memory");
    *out = found;
    return ERR_OK;
}
