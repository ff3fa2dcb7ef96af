#pragma once
/*
 * signal.h: the three things Moraine keeps. Stored in footers and manifests: never renumber.
 */
#include "common/base/base.h"

typedef enum Signal { SIGNAL_METRICS = 1, SIGNAL_LOGS = 2, SIGNAL_TRACES = 3 } Signal;

const char *signal_name(Signal signal); /* "metrics": also the folder in the store */
