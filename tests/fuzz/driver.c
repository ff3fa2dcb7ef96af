/*
 * driver.c: runs a fuzz target without libFuzzer: over files, or over its seeds, each cut at every
 * byte and changed at random, from a fixed start, so that a failure is the same next time.
 * `--seeds DIR` writes the seeds there, for libFuzzer to begin with.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

enum { CHANGES_PER_SEED = 40000, CHANGES_MAX = 3 };

static uint64_t random_next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static int run_file(const char *path) {
    static uint8_t bytes[16 << 20];
    FILE *file = fopen(path, "rb");
    size_t size;

    if (file == NULL) {
        perror(path);
        return 1;
    }
    size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    return LLVMFuzzerTestOneInput(bytes, size);
}

/* On a heap block of exactly this size, so that a sanitizer sees a byte read too far. */
static void run_bytes(const char *bytes, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);

    if (copy == NULL) abort();
    if (size > 0) memcpy(copy, bytes, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void change(Buf *buf, uint64_t *state) {
    uint64_t r = random_next(state);
    size_t at = buf->len > 0 ? random_next(state) % buf->len : 0;
    size_t from = buf->len > 0 ? random_next(state) % buf->len : 0;

    if (buf->len == 0) return;
    switch (r % 7) {
    case 0:
        buf->ptr[at] ^= (char)(1 << (r >> 8) % 8);
        break;
    case 1:
        buf->ptr[at] = (char)(r >> 8);
        break;
    case 2:
        buf->ptr[at] = (char)0x80;
        break;
    case 3:
        buf->ptr[at] = (char)0xff;
        break;
    case 4:
        buf->len = at;
        break;
    case 5: /* a byte goes */
        memmove(buf->ptr + at, buf->ptr + at + 1, buf->len - at - 1);
        buf->len--;
        break;
    default: { /* a piece comes twice */
        size_t len = 1 + (r >> 8) % 24;
        Str piece;

        len = len < buf->len - from ? len : buf->len - from;
        if (buf_reserve(buf, len) == NULL) abort();
        piece = (Str){buf->ptr + from, len};
        buf_append_str(buf, piece);
    }
    }
}

static void run_seed(Str seed, uint64_t *state) {
    Buf buf;

    for (size_t len = 0; len <= seed.len && seed.len <= 4096; len++) run_bytes(seed.ptr, len);
    run_bytes(seed.ptr, seed.len);
    buf_init(&buf, 0);
    for (int i = 0; i < CHANGES_PER_SEED; i++) {
        int changes = 1 + (int)(random_next(state) % CHANGES_MAX);

        buf_clear(&buf);
        buf_append_str(&buf, seed);
        for (int j = 0; j < changes; j++) change(&buf, state);
        run_bytes(buf.ptr, buf.len);
    }
    buf_done(&buf);
}

static int write_seeds(const char *dir) {
    Buf seed;

    buf_init(&seed, 0);
    for (unsigned n = 0; fuzz_seed(n, &seed); n++) {
        char path[4096];
        FILE *file;

        snprintf(path, sizeof path, "%s/seed-%u", dir, n);
        file = fopen(path, "wb");
        if (file == NULL || fwrite(seed.ptr, 1, seed.len, file) != seed.len || fclose(file) != 0) {
            perror(path);
            return 1;
        }
        buf_clear(&seed);
    }
    buf_done(&seed);
    return 0;
}

int main(int argc, char **argv) {
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15);
    Buf seed;

    if (argc == 3 && strcmp(argv[1], "--seeds") == 0) return write_seeds(argv[2]);
    for (int i = 1; i < argc; i++)
        if (run_file(argv[i]) != 0) return 1;
    if (argc > 1) return 0;
    buf_init(&seed, 0);
    for (unsigned n = 0; fuzz_seed(n, &seed); n++) {
        run_seed(buf_str(&seed), &state);
        buf_clear(&seed);
    }
    buf_done(&seed);
    return 0;
}
