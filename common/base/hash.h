#pragma once
/*
 * hash.h: XXH3 for tables and pages, CRC-32C for the write-ahead log.
 */
#include "common/base/base.h"
#include "common/base/str.h"

typedef struct Hash128 {
    uint64_t low;
    uint64_t high;
} Hash128;

uint64_t hash_bytes(const void *bytes, size_t len); /* XXH3-64, seed 0 */
uint64_t hash_bytes_seeded(const void *bytes, size_t len, uint64_t seed);
Hash128 hash_bytes_128(const void *bytes, size_t len, uint64_t seed); /* XXH3-128 */
static inline uint64_t hash_str(Str s) {
    return hash_bytes(s.ptr, s.len);
}
/* CRC-32C (Castagnoli), SSE4.2 where there is one. Start with crc 0; chain by passing the last. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);
