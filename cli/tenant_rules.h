#pragma once
/*
 * tenant_rules.h: the lists below `rules`, of all tenants and of overrides, as the file is read.
 */
#include "cli/settings.h"

#define TENANT_RULES STR("rules.")

/* `name`: "traces.0.action". `owner`: index of the override + 1; 0: all tenants'. */
MUST_USE ErrCode tenant_rules_set(Configuration *out, size_t owner, Str name, Str text, Error *err);
/* What holds for an owner: its own list of a signal, or that of all tenants. */
MUST_USE ErrCode tenant_rules_finish(Configuration *out, size_t owner, TenantLimits *limits,
                                     Error *err);
void tenant_rules_write_markdown(Buf *out);
