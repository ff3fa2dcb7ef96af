#pragma once
/*
 * admin.h: the process' own endpoints: /ready, /healthz, /metrics, and what administrators trigger.
 */
#include "common/net/http.h"
#include "compactor/compactor.h"
#include "ingester/ingester.h"

typedef struct Admin Admin;

Admin *admin_new(Ingester *ingester, Compactor *compactor); /* borrowed; NULL: out of memory */
void admin_free(Admin *admin); /* waits for what it started; NULL is fine */
void admin_register(Admin *admin, HttpServer *server);
void admin_set_ready(Admin *admin, bool ready);
