/*
 * sets.c: sets of spans of a trace: what stands between them (&&, >>, !~ and so on) and pipelines.
 *
 * Structure is that of trees with a root: what hangs on a span that isn't there takes no part in
 * it, and so is found by the negated operators only. Roots are siblings of one another.
 */
#include "querier/traceql/engine/eval.h"

/* ---- structure ---- */

typedef struct Relation {
    uint8_t base; /* CHILD to SIBLING */
    bool negated;
    bool both; /* spans of the left side come as well */
} Relation;

static Relation relation_of(uint8_t op) {
    uint8_t kinds = TRACEQL_NOT_CHILD - TRACEQL_CHILD;
    uint8_t from = (uint8_t)(op - TRACEQL_CHILD);

    return (Relation){(uint8_t)(TRACEQL_CHILD + from % kinds), from / kinds == 1,
                      from / kinds == 2};
}

static bool has_parent(const SpanTable *table, uint32_t row) {
    return table->rooted[row] && table->parents[row] < SPAN_ORPHAN;
}

/* related[row]: the row is a child (and so on) of one that is in `of`. */
static void relate(const SpanTable *table, const TraceRow *trace, uint8_t relation,
                   const uint8_t *of, uint32_t *counts, uint8_t *related) {
    uint32_t first = trace->first, end = trace->first + trace->count;
    uint32_t roots = 0;

    memset(related + first, 0, trace->count);
    switch (relation) {
    case TRACEQL_CHILD:
    case TRACEQL_DESCENDANT:
        for (uint32_t row = first; row < end; row++) {
            uint32_t parent = table->parents[row];

            if (!has_parent(table, row)) continue;
            related[row] = of[parent] | (relation == TRACEQL_DESCENDANT ? related[parent] : 0);
        }
        return;
    case TRACEQL_PARENT_OF:
    case TRACEQL_ANCESTOR:
        for (uint32_t row = end; row-- > first;) {
            uint32_t parent = table->parents[row];

            if (!has_parent(table, row)) continue;
            related[parent] |= of[row] | (relation == TRACEQL_ANCESTOR ? related[row] : 0);
        }
        return;
    default:
        break;
    }
    /* How many siblings of the set a span has, itself included. */
    memset(counts + first, 0, trace->count * sizeof *counts);
    for (uint32_t row = first; row < end; row++) {
        if (!of[row] || !table->rooted[row]) continue;
        if (has_parent(table, row))
            counts[table->parents[row]]++;
        else
            roots++;
    }
    for (uint32_t row = first; row < end; row++) {
        uint32_t count = 0;

        if (!table->rooted[row]) continue;
        count = has_parent(table, row) ? counts[table->parents[row]] : roots;
        related[row] = count > of[row];
    }
}

static void relate_lost(const SpanTable *table, const TraceRow *trace, const uint8_t *of,
                        uint8_t *related) {
    uint32_t first = trace->first, end = trace->first + trace->count;
    bool any = false;

    for (uint32_t row = first; row < end; row++) any |= of[row] && !table->rooted[row];
    for (uint32_t row = first; any && row < end; row++) related[row] |= !table->rooted[row];
}

static uint8_t reversed(uint8_t relation) {
    switch (relation) {
    case TRACEQL_CHILD:
        return TRACEQL_PARENT_OF;
    case TRACEQL_PARENT_OF:
        return TRACEQL_CHILD;
    case TRACEQL_DESCENDANT:
        return TRACEQL_ANCESTOR;
    case TRACEQL_ANCESTOR:
        return TRACEQL_DESCENDANT;
    default:
        return relation;
    }
}

static ErrCode join_related(Eval *eval, uint8_t op, uint32_t first, uint32_t end,
                            const uint8_t *left, const uint8_t *right, uint8_t *out, Error *err) {
    uint32_t *counts = ARENA_ARRAY(eval->arena, uint32_t, MAX(eval->table->row_count, 1));
    Relation relation = relation_of(op);
    uint8_t *related = eval_mask(eval);

    if (counts == NULL || related == NULL) return traceql_out_of_memory(err);
    for (uint32_t t = first; t < end; t++) {
        const TraceRow *trace = &eval->table->traces[t];
        uint32_t last = trace->first + trace->count;

        relate(eval->table, trace, relation.base, left, counts, related);
        /* To Tempo, all that hangs on no root is a child of all such, when `!>` asks. */
        if (op == TRACEQL_NOT_CHILD) relate_lost(eval->table, trace, left, related);
        for (uint32_t row = trace->first; row < last; row++)
            out[row] = right[row] & (related[row] ^ (relation.negated ? 1 : 0));
        if (!relation.both) continue;
        relate(eval->table, trace, reversed(relation.base), right, counts, related);
        for (uint32_t row = trace->first; row < last; row++) out[row] |= left[row] & related[row];
    }
    eval->mask_depth--;
    return ERR_OK;
}

/* ---- sets ---- */

static bool any_row(const TraceRow *trace, const uint8_t *mask) {
    return trace->count > 0 && memchr(mask + trace->first, 1, trace->count) != NULL;
}

static void join_logical(const Eval *eval, uint8_t op, uint32_t first, uint32_t end,
                         const uint8_t *left, const uint8_t *right, uint8_t *out) {
    for (uint32_t t = first; t < end; t++) {
        const TraceRow *trace = &eval->table->traces[t];
        bool both = any_row(trace, left) && any_row(trace, right);

        for (uint32_t row = trace->first; row < trace->first + trace->count; row++)
            out[row] = op == TRACEQL_OR || both ? left[row] | right[row] : 0;
    }
}

static ErrCode filter_rows_of(Eval *eval, const TraceqlSet *set, uint32_t first, uint32_t end,
                              const uint8_t *in, uint8_t *out, Error *err) {
    uint8_t **known = &eval->filters[set->filter];

    if (*known == NULL) {
        uint8_t *verdicts = arena_alloc(eval->arena, MAX(eval->table->row_count, 1));

        if (verdicts == NULL) return traceql_out_of_memory(err);
        TRY(eval_filter(eval, set->expr, verdicts, err));
        *known = verdicts;
    }
    for (uint32_t t = first; t < end; t++) {
        const TraceRow *trace = &eval->table->traces[t];

        for (uint32_t row = trace->first; row < trace->first + trace->count; row++)
            out[row] = (*known)[row] & (in == NULL ? 1 : in[row]);
    }
    return ERR_OK;
}

/* All sets that the pipeline leaves of a trace, as one. */
static ErrCode pipeline_rows(Eval *eval, const TraceqlPipeline *pipeline, uint32_t first,
                             uint32_t end, const uint8_t *in, uint8_t *out, bool *several,
                             Error *err) {
    for (uint32_t t = first; t < end; t++) {
        const TraceRow *trace = &eval->table->traces[t];
        SpanSet *sets;
        size_t count;

        memset(out + trace->first, 0, trace->count);
        TRY(eval_pipeline(eval, pipeline, t, in, &sets, &count, err));
        if (count > 1) *several = true;
        for (size_t s = 0; s < count; s++)
            for (uint32_t i = 0; i < sets[s].count; i++) out[sets[s].rows[i]] = 1;
    }
    return ERR_OK;
}

static ErrCode set_rows(Eval *eval, const TraceqlSet *set, uint32_t first, uint32_t end,
                        const uint8_t *in, uint8_t *out, bool *several, Error *err) {
    bool more = false;
    uint8_t *left, *right;

    if (set->kind == TRACEQL_SET_FILTER) return filter_rows_of(eval, set, first, end, in, out, err);
    if (set->kind == TRACEQL_SET_PIPELINE)
        return pipeline_rows(eval, set->pipeline, first, end, in, out, several, err);
    left = eval_mask(eval);
    right = eval_mask(eval);
    if (left == NULL || right == NULL) return traceql_out_of_memory(err);
    TRY(set_rows(eval, set->left, first, end, in, left, &more, err));
    TRY(set_rows(eval, set->right, first, end, in, right, &more, err));
    if (set->op == TRACEQL_AND || set->op == TRACEQL_OR) {
        join_logical(eval, set->op, first, end, left, right, out);
    } else if (more) {
        return error_set(err, ERR_INVALID,
                         "spanset operators are not supported for multiple spansets per trace. "
                         "consider using coalesce()");
    } else {
        TRY(join_related(eval, set->op, first, end, left, right, out, err));
    }
    eval->mask_depth -= 2;
    return ERR_OK;
}

ErrCode eval_set(Eval *eval, const TraceqlSet *set, uint32_t first, uint32_t end, const uint8_t *in,
                 uint8_t *out, Error *err) {
    bool several = false;

    return set_rows(eval, set, first, end, in, out, &several, err);
}
