#pragma once
/*
 * random.h: the kernel's randomness, for ids, seeds and jitter.
 */
#include "common/base/base.h"

void random_bytes(void *out, size_t len);
uint64_t random_u64(void);
/* 26 characters of Crockford base 32, sorting by time: https://github.com/ulid/spec. Not
 * NUL-terminated. */
void ulid_make(int64_t now_ms, char out[static 26]);
