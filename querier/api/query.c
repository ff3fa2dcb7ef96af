#include "querier/api/internal.h"
const ApiEndpoint api_query_endpoints[] = {{0, NULL, NULL}};
