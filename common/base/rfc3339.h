#pragma once
/*
 * rfc3339.h: times as text. https://www.rfc-editor.org/rfc/rfc3339
 */
#include "common/base/str.h"

/* "2026-01-02T03:04:05.678901234+01:00", with any number of digits behind the point; what lies
 * outside of 1677 to 2262 is the nearest that doesn't. False: it isn't such a text. */
MUST_USE bool rfc3339_parse(Str text, int64_t *ns);
