#pragma once
/*
 * cut.h: delete requests in LogQL, for log_cuts.h.
 */
#include "common/tenant/log_cuts.h"

const LogCutLanguage *logql_cut_language(void);
