#include "common/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void set_text(Error *err, ErrCode code, const char *format, va_list args) {
    char text[sizeof err->text];

    /* Not in place: the old text may be among the arguments. */
    vsnprintf(text, sizeof text, format, args);
    err->code = code;
    memcpy(err->text, text, strlen(text) + 1);
}

ErrCode error_set(Error *err, ErrCode code, const char *format, ...) {
    va_list args;

    if (err == NULL) return code;
    va_start(args, format);
    set_text(err, code, format, args);
    va_end(args);
    return code;
}

ErrCode error_wrap(Error *err, const char *format, ...) {
    char inner[sizeof err->text];
    va_list args;
    size_t used;

    if (err == NULL) return ERR_INTERNAL;
    memcpy(inner, err->text, sizeof inner);
    va_start(args, format);
    set_text(err, err->code, format, args);
    va_end(args);
    used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s", inner);
    return err->code;
}

static ErrCode code_of_errno(int number) {
    switch (number) {
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_DENIED;
    case ENOMEM:
        return ERR_LIMIT;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case ECANCELED:
        return ERR_CANCELLED;
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EAGAIN:
    case EINTR:
    case EBUSY:
    case EMFILE:
    case ENFILE:
    case EIO:
        return ERR_UNAVAILABLE;
    default:
        return ERR_INTERNAL;
    }
}

ErrCode error_errno(Error *err, int number, const char *format, ...) {
    ErrCode code = code_of_errno(number);
    char reason[128];
    va_list args;
    size_t used;

    if (err == NULL) return code;
    va_start(args, format);
    set_text(err, code, format, args);
    va_end(args);
    used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s",
             strerror_r(number, reason, sizeof reason));
    return code;
}

const char *error_code_name(ErrCode code) {
    switch (code) {
    case ERR_OK:
        return "ok";
    case ERR_INVALID:
        return "invalid";
    case ERR_DENIED:
        return "denied";
    case ERR_NOT_FOUND:
        return "not_found";
    case ERR_EXISTS:
        return "exists";
    case ERR_LIMIT:
        return "limit";
    case ERR_RATE:
        return "rate";
    case ERR_UNAVAILABLE:
        return "unavailable";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_CANCELLED:
        return "cancelled";
    case ERR_CORRUPT:
        return "corrupt";
    case ERR_UNSUPPORTED:
        return "unsupported";
    case ERR_INTERNAL:
        return "internal";
    }
    return "unknown";
}
