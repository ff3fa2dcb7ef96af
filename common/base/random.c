#include "common/base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *out, size_t len) {
    uint8_t *at = out;

    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);

        if (n < 0) {
            /* Without randomness ids would clash and seeds be known: there is no way on. */
            if (errno != EINTR) abort();
            continue;
        }
        at += n;
        len -= (size_t)n;
    }
}

uint64_t random_u64(void) {
    uint64_t v;

    random_bytes(&v, sizeof v);
    return v;
}

void ulid_make(int64_t now_ms, char out[static 26]) {
    static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint64_t time = (uint64_t)now_ms & UINT64_C(0xffffffffffff);
    uint8_t random[16];

    random_bytes(random, sizeof random);
    for (int i = 9; i >= 0; i--, time >>= 5) out[i] = alphabet[time & 31];
    for (int i = 0; i < 16; i++) out[10 + i] = alphabet[random[i] & 31];
}
