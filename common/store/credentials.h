#pragma once
/*
 * credentials.h: who we are to an S3 store. Looked for in this order:
 *
 * 1. the configuration's access_key and secret_key (and session_token);
 * 2. the configuration's profile, in the shared credentials file;
 * 3. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN;
 * 4. the profile AWS_PROFILE, or "default", in the shared credentials file, which is
 *    AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials.
 *
 * https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
 */
#include "common/store/store.h"

typedef struct Credentials {
    Str access_key;
    Str secret_key;
    Str session_token; /* empty: none */
    Str region;        /* as the file's profile says; empty: it doesn't */
    bool may_change;   /* not from the configuration: worth looking again when they expired */
} Credentials;

/* Everything in `out` is copied to `arena`. ERR_INVALID says what is missing and where it was
 * looked for; it never has a secret in it. */
MUST_USE ErrCode credentials_find(const StoreOptions *options, Arena *arena, Credentials *out,
                                  Error *err);

/* The environment's AWS_... variable; empty when it isn't set. */
Str aws_variable(const char *name);
