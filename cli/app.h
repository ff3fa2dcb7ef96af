#pragma once
/*
 * app.h: all roles in one process, wired to each other without a socket between.
 */
#include "cli/settings.h"

typedef struct App App;

/* Opens the store, the manifest and the local directory (replaying its logs), and serves. Prints
 * where to send data and where to query. ERR_* says what a person has to change. */
MUST_USE ErrCode app_start(const Configuration *configuration, App **out, Error *err);
/* Takes new limits over: the configuration file was read again. */
void app_reload(App *app);
/* Answers what is under way, flushes, closes. */
void app_stop(App *app);
