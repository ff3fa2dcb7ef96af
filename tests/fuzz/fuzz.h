#pragma once
/*
 * fuzz.h: what a fuzz target is. A finding is an assert that fails or a sanitizer's report.
 */
#include "common/base/buf.h"

/* libFuzzer's entry; always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Appends the n-th input that is worth changing. False: there are no more. */
bool fuzz_seed(unsigned n, Buf *out);
