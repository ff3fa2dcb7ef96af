#pragma once
/*
 * limits.h: the limits of a tenant as settings: what the configuration parses and documents.
 *
 * One setting per field of TenantLimits, under the name that users write: "limits.series_max",
 * "limits.future_max", "retention.logs". A refusal calls a limit by this name. What holds for all
 * tenants stands at the top of the configuration, what holds for one below overrides.TENANT.
 */
#include "common/config/config.h"
#include "common/tenant/tenant.h"

ConfigTable tenant_limit_table(void);
/* Not in the table, as it is a list: retention.log_streams.<number>.selector, priority, period. */
#define TENANT_LOG_STREAMS STR("retention.log_streams.")
