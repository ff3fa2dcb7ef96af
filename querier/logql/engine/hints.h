#pragma once
/*
 * hints.h: what of a pipeline a source may know to read less (streams.h).
 */
#include "querier/exec/streams.h"
#include "querier/logql/ast.h"

/* Fills needles and fields of `select` from the stages, in the order in which they were written.
 * False: out of memory. */
MUST_USE bool logql_hints(Arena *arena, const LogqlLog *log, StreamSelect *select);
/* Whether such a line filter is all said by one needle. */
bool logql_term_is_needle(Arena *arena, const LogqlLineTerm *term);
