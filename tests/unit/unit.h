#pragma once
/*
 * unit.h: cmocka with what it needs before it, plus what our tests share.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/error.h"

/* Fails the test with the error's text when `call` fails. */
#define assert_ok(call, err)                                                                       \
    do {                                                                                           \
        if ((call) != ERR_OK) fail_msg("%s: %s", #call, (err)->text);                              \
    } while (0)
