#pragma once
/*
 * identity.h: whose request this is.
 */
#include "common/net/http.h"
#include "common/tenant/tenant.h"

/* The tenant that a write is for: X-Scope-OrgID, or `anonymous` without one. Lives as long as the
 * request. ERR_INVALID: the name may not be one, or there are several (`a|b` is for reading). */
MUST_USE ErrCode gateway_tenant(const HttpRequest *request, Str *out, Error *err);
/* The same from the header's value. */
MUST_USE ErrCode gateway_tenant_of(Str header, Str *out, Error *err);
