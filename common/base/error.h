#pragma once
/*
 * error.h: few codes, and a text that grows outward on its way to who can say it to a person.
 *
 * An Error lives on the caller's stack, is filled where something failed and wrapped on the way up.
 * It means something only after a code other than ERR_OK. Outputs of a failed call are untouched.
 */
#include "common/base/base.h"

typedef enum ErrCode {
    ERR_OK = 0,
    ERR_INVALID,     /* the caller's input is wrong; the same call will fail again */
    ERR_DENIED,      /* not allowed */
    ERR_NOT_FOUND,   /* no such thing */
    ERR_EXISTS,      /* a condition (if-absent, if-match) did not hold */
    ERR_LIMIT,       /* a configured limit or budget; the text names it and its value */
    ERR_RATE,        /* too much per time; the same call may succeed later */
    ERR_UNAVAILABLE, /* it may work when tried again: the only code that is retried */
    ERR_TIMEOUT,     /* the deadline passed */
    ERR_CANCELLED,   /* who asked went away */
    ERR_CORRUPT,     /* stored or received bytes are not what they claim to be */
    ERR_UNSUPPORTED, /* valid, but not implemented here */
    ERR_INTERNAL,    /* a bug or an environment that cannot be worked with */
} ErrCode;

typedef struct Error {
    ErrCode code;
    char text[2048]; /* two label sets fit: clients are told of series by all their labels */
} Error;

/* All return a code, so `return error_set(...)` is one line. `err` may be NULL. */
ErrCode error_set(Error *err, ErrCode code, const char *format, ...) PRINTF_LIKE(3, 4);
/* Puts "format: " before the text that is there. Returns err->code. */
ErrCode error_wrap(Error *err, const char *format, ...) PRINTF_LIKE(2, 3);
/* From errno: a full disk, too many open files, EIO and a lost or refused connection are
 * UNAVAILABLE; ENOENT NOT_FOUND, EEXIST EXISTS, EACCES, EPERM, EROFS DENIED, ENOMEM LIMIT,
 * ETIMEDOUT TIMEOUT, ECANCELED CANCELLED; else INTERNAL. Its words are put after the text. */
ErrCode error_errno(Error *err, int number, const char *format, ...) PRINTF_LIKE(3, 4);

const char *error_code_name(ErrCode code); /* "unavailable": for logs and metrics */

#define TRY(call)                                                                                  \
    do {                                                                                           \
        ErrCode try_code_ = (call);                                                                \
        if (try_code_ != ERR_OK) return try_code_;                                                 \
    } while (0)
