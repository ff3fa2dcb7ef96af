#pragma once
/*
 * cors.h: which web pages of other origins may read answers.
 * https://fetch.spec.whatwg.org/#http-cors-protocol
 */
#include "common/net/http.h"

typedef struct Cors Cors;

/* `origins`: a regular expression over all of an Origin header, `.*` for every one; empty for none,
 * then *out is NULL. ERR_INVALID: a bad expression. */
MUST_USE ErrCode cors_new(Str origins, Cors **out, Error *err);
void cors_free(Cors *cors); /* NULL is fine */
DEFINE_CLEANUP(Cors, cors_free)

/* Adds what belongs into the answer's head, before it begins; a preflight (OPTIONS) needs no more
 * than that and 204. NULL adds nothing. Thread-safe. */
void cors_apply(const Cors *cors, HttpRequest *request);
