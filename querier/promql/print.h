#pragma once
/*
 * print.h: pieces of the canonical form that the other forms are made of. Private to the printers.
 */
#include "querier/promql/parser.h"

void print_matching(Buf *out, const PromqlExpr *binary); /* " bool on (a) group_left (b)" */
void print_aggregate_head(Buf *out, const PromqlExpr *aggregate); /* "sum by (a) " */
void print_subquery_suffix(Buf *out, const PromqlExpr *subquery); /* "[5m:1m] offset 1m" */
