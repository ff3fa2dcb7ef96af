#pragma once
/*
 * print.h: pieces of the canonical form that the other form is made of. Private to the printers.
 */
#include "querier/logql/parser.h"

void logql_print_selector(const LogqlLog *log, Buf *out);
void logql_print_log(const LogqlLog *log, Buf *out);
void logql_print_line_term(const LogqlLineTerm *term, Buf *out);
/* "| unwrap bytes(x)" and its filters, each after `between`. */
void logql_print_unwrap(const LogqlUnwrap *unwrap, const char *between, Buf *out);
void logql_print_labels(const Str *labels, size_t count, const char *between, Buf *out);
/* "/ bool on (a) group_left (b)" of a binary expression. */
void logql_print_operator(const LogqlExpr *expr, const char *between, Buf *out);
