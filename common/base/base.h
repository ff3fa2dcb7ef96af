#pragma once
/*
 * base.h: the few macros every file may count on.
 */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define ALIGN_UP(n, to) (((n) + (to)-1) & ~((size_t)(to)-1))

/* A local owner: `CLEANUP(buf_free) Buf *b = ...;` runs buf_free(b) when the scope ends.
 * DEFINE_CLEANUP stands in the header of the type, after its destructor, which takes NULL. */
#define CLEANUP(release) __attribute__((cleanup(release##_ptr)))
#define DEFINE_CLEANUP(Type, release)                                                              \
    static inline void release##_ptr(Type **p) {                                                   \
        release(*p);                                                                               \
    }

/* Cleans up a local that holds its value in place: `CLEANUP_IN_PLACE(buf_done) Buf b;` */
#define CLEANUP_IN_PLACE(release) __attribute__((cleanup(release)))

#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)
#define GIB(n) ((size_t)(n) << 30)
