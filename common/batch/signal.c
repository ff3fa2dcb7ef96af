/* signal.c: the names of the signals, which are also folders in the store. */
#include "common/batch/signal.h"

const char *signal_name(Signal signal) {
    switch (signal) {
    case SIGNAL_METRICS:
        return "metrics";
    case SIGNAL_LOGS:
        return "logs";
    case SIGNAL_TRACES:
        return "traces";
    }
    return "unknown";
}
