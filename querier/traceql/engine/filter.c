/*
 * filter.c: which spans meet an expression, a column at a time. What compares an attribute with a
 * constant looks at values of that constant's type only, each text of a dictionary once: this is
 * Tempo's, where 200, 200.0 and "200" are different and an array matches if one element does. All
 * other expressions are reckoned row by row.
 */
#include "querier/traceql/engine/eval.h"

enum { CONJUNCTS_MAX = 64 };

/* ---- conditions on one attribute ---- */

static uint8_t flipped(uint8_t op) {
    switch (op) {
    case TRACEQL_LT:
        return TRACEQL_GT;
    case TRACEQL_LTE:
        return TRACEQL_GTE;
    case TRACEQL_GT:
        return TRACEQL_LT;
    case TRACEQL_GTE:
        return TRACEQL_LTE;
    default:
        return op;
    }
}

bool test_of(const TraceqlExpr *expr, const TraceqlAttribute **attribute, Test *test) {
    *test = (Test){0};
    if (expr->kind == TRACEQL_EXPR_ATTRIBUTE) {
        *attribute = &expr->attribute;
        *test = (Test){.op = TRACEQL_EQ, .value = {.type = TRACEQL_BOOL, .truth = true}};
        return true;
    }
    if (expr->kind == TRACEQL_EXPR_UNARY) {
        if (expr->left->kind != TRACEQL_EXPR_ATTRIBUTE) return false;
        *attribute = &expr->left->attribute;
        test->op = expr->op;
        if (expr->op == TRACEQL_NOT)
            *test = (Test){.op = TRACEQL_EQ, .value = {.type = TRACEQL_BOOL, .truth = false}};
        return expr->op != TRACEQL_MINUS;
    }
    if (expr->kind != TRACEQL_EXPR_BINARY || !traceql_is_comparison(expr->op)) return false;
    if (expr->left->kind == TRACEQL_EXPR_ATTRIBUTE && expr->right->kind == TRACEQL_EXPR_VALUE) {
        *attribute = &expr->left->attribute;
        *test = (Test){.op = expr->op, .value = expr->right->value, .regex = expr->regex};
        return true;
    }
    if (expr->right->kind == TRACEQL_EXPR_ATTRIBUTE && expr->left->kind == TRACEQL_EXPR_VALUE &&
        expr->regex == NULL) {
        *attribute = &expr->right->attribute;
        *test = (Test){.op = flipped(expr->op), .value = expr->left->value};
        return true;
    }
    return false;
}

bool test_value(const Test *test, const TraceqlValue *element, bool typed) {
    if (test->op == TRACEQL_EXISTS) return element->type != TRACEQL_NIL;
    if (test->op == TRACEQL_NOT_EXISTS) return element->type == TRACEQL_NIL;
    if (element->type == TRACEQL_NIL || (typed && element->type != test->value.type)) return false;
    if (test->op == TRACEQL_RE || test->op == TRACEQL_NRE)
        return element->type == TRACEQL_STRING && test->regex != NULL &&
               regex_matches(test->regex, element->text) == (test->op == TRACEQL_RE);
    return traceql_compare(test->op, element, &test->value);
}

/* Of a whole value: one element will do. */
static bool test_whole(const Test *test, const TraceqlValue *value, bool typed) {
    if (!traceql_is_array(value->type)) return test_value(test, value, typed);
    for (uint32_t i = 0; i < value->count; i++) {
        TraceqlValue element = traceql_element(value, i);

        if (test_value(test, &element, typed)) return true;
    }
    return false;
}

/* ---- columns ---- */

static uint8_t element_type(uint8_t type) {
    switch (type) {
    case ATTRIBUTE_STRING:
    case ATTRIBUTE_STRINGS:
        return TRACEQL_STRING;
    case ATTRIBUTE_BOOL:
    case ATTRIBUTE_BOOLS:
        return TRACEQL_BOOL;
    case ATTRIBUTE_INT:
    case ATTRIBUTE_INTS:
        return TRACEQL_INT;
    case ATTRIBUTE_DOUBLE:
    case ATTRIBUTE_DOUBLES:
        return TRACEQL_FLOAT;
    default:
        return TRACEQL_NIL;
    }
}

static ErrCode test_texts(Eval *eval, const Test *test, const TextColumn *column, uint8_t **out,
                          Error *err) {
    uint8_t *verdicts = arena_alloc(eval->arena, MAX(column->distinct, 1));

    if (verdicts == NULL) return traceql_out_of_memory(err);
    for (uint32_t i = 0; i < column->distinct; i++) {
        TraceqlValue value = {.type = TRACEQL_STRING, .text = column->dictionary[i]};

        verdicts[i] = test_value(test, &value, true);
    }
    *out = verdicts;
    return ERR_OK;
}

static bool test_item(const Test *test, const AttributeColumn *column, uint8_t type,
                      const uint8_t *verdicts, uint32_t i) {
    TraceqlValue value = {.type = type};

    switch (type) {
    case TRACEQL_STRING:
        return verdicts[column->texts.codes[i]] != 0;
    case TRACEQL_BOOL:
        value.truth = column->truths[i] != 0;
        break;
    case TRACEQL_INT:
        value.integer = column->integers[i];
        break;
    default:
        value.number = column->numbers[i];
        break;
    }
    return test_value(test, &value, true);
}

/* Sets out[owner] of owners that have a value that passes. */
static ErrCode test_column(Eval *eval, const Test *test, const AttributeColumn *column,
                           uint8_t *out, Error *err) {
    uint8_t type = element_type(column->type);
    uint8_t *verdicts = NULL;

    if (type == TRACEQL_NIL || (test->op != TRACEQL_EXISTS && type != test->value.type))
        return ERR_OK;
    if (type == TRACEQL_STRING) TRY(test_texts(eval, test, &column->texts, &verdicts, err));
    for (uint32_t i = 0; i < column->count; i++) {
        uint32_t owner = column->owners == NULL ? i : column->owners[i];
        uint32_t first = column->starts == NULL ? i : column->starts[i];
        uint32_t end = column->starts == NULL ? i + 1 : column->starts[i + 1];

        while (first < end && !out[owner])
            out[owner] = test_item(test, column, type, verdicts, first++);
    }
    return ERR_OK;
}

static ErrCode test_origins(Eval *eval, const Test *test, const TraceqlAttribute *attribute,
                            uint8_t scope, uint8_t *out, Error *err) {
    const SpanTable *table = eval->table;
    uint8_t *verdicts = arena_zalloc(eval->arena, MAX(table->origin_count, 1));
    uint8_t *known = arena_zalloc(eval->arena, MAX(table->origin_count, 1));

    if (verdicts == NULL || known == NULL) return traceql_out_of_memory(err);
    for (uint32_t row = 0; table->origin_of != NULL && row < table->row_count; row++) {
        uint32_t origin = table->origin_of[row];

        if (!known[origin]) {
            TraceqlValue value;

            if (attribute->intrinsic == TRACEQL_NONE_FIELD)
                TRY(eval_scoped(eval, attribute, scope, row, &value, err));
            else
                TRY(eval_attribute(eval, attribute, row, &value, err));
            verdicts[origin] = test_whole(test, &value, true);
            known[origin] = 1;
        }
        out[row] |= verdicts[origin];
    }
    return ERR_OK;
}

/* Of events or links: by their number. */
static ErrCode test_parts(Eval *eval, const Test *test, const TraceqlAttribute *attribute,
                          uint8_t scope, uint8_t *out, Error *err) {
    const SpanTable *table = eval->table;
    const uint32_t *starts = scope == SCOPE_EVENT ? table->event_starts : table->link_starts;

    if (starts == NULL) return ERR_OK;
    if (attribute->intrinsic == TRACEQL_NONE_FIELD) {
        const AttributeColumn *columns;
        uint32_t count = span_table_attribute(table, scope, attribute->name, &columns);

        for (uint32_t i = 0; i < count; i++) TRY(test_column(eval, test, &columns[i], out, err));
        return ERR_OK;
    }
    if (attribute->intrinsic == TRACEQL_EVENT_NAME_FIELD) {
        uint8_t *verdicts;

        TRY(test_texts(eval, test, &table->event_names, &verdicts, err));
        for (uint32_t i = 0; i < table->event_count; i++)
            out[i] = test->op == TRACEQL_EXISTS ? 1 : verdicts[table->event_names.codes[i]];
        return ERR_OK;
    }
    for (uint32_t row = 0; row < table->row_count; row++) {
        for (uint32_t i = starts[row]; i < starts[row + 1]; i++) {
            TraceqlValue value;

            TRY(eval_part(eval, attribute, scope, i, row, &value, err));
            out[i] = test_value(test, &value, false);
        }
    }
    return ERR_OK;
}

static uint32_t parts_of(const Eval *eval, uint8_t scope) {
    return scope == SCOPE_EVENT ? eval->table->event_count : eval->table->link_count;
}

/* Spans that have a part that is marked. */
static ErrCode spread_parts(Eval *eval, uint8_t scope, const uint8_t *parts, uint8_t *out,
                            Error *err) {
    const uint32_t *owners;

    TRY(eval_owners(eval, err));
    owners = scope == SCOPE_EVENT ? eval->event_owners : eval->link_owners;
    for (uint32_t i = 0; owners != NULL && i < parts_of(eval, scope); i++)
        out[owners[i]] |= parts[i];
    return ERR_OK;
}

static ErrCode test_part_rows(Eval *eval, const Test *test, const TraceqlAttribute *attribute,
                              uint8_t scope, uint8_t *out, Error *err) {
    uint8_t *parts = arena_zalloc(eval->arena, MAX(parts_of(eval, scope), 1));

    if (parts == NULL) return traceql_out_of_memory(err);
    TRY(test_parts(eval, test, attribute, scope, parts, err));
    return spread_parts(eval, scope, parts, out, err);
}

/* ---- intrinsics ---- */

static ErrCode test_text_rows(Eval *eval, const Test *test, const TextColumn *column, uint8_t *out,
                              Error *err) {
    uint8_t *verdicts;

    TRY(test_texts(eval, test, column, &verdicts, err));
    for (uint32_t row = 0; row < eval->table->row_count; row++)
        out[row] = test->op == TRACEQL_EXISTS ? 1 : verdicts[column->codes[row]];
    return ERR_OK;
}

static void test_byte_rows(const Eval *eval, const Test *test, uint8_t type, const uint8_t *column,
                           uint8_t *out) {
    uint8_t verdicts[256];

    for (int i = 0; i < 256; i++) {
        TraceqlValue value = {.type = type, .integer = i};

        verdicts[i] = test_value(test, &value, false);
    }
    for (uint32_t row = 0; row < eval->table->row_count; row++) out[row] = verdicts[column[row]];
}

/* Ids of traces and spans are compared without the zeros that they begin with. */
static Str without_zeros(Str text) {
    while (text.len > 1 && text.ptr[0] == '0') text = str_from(text, 1);
    return text;
}

static ErrCode test_rows(Eval *eval, const Test *test, const TraceqlAttribute *attribute,
                         uint8_t *out, Error *err) {
    bool is_id = attribute->intrinsic == TRACEQL_TRACE_ID_FIELD && test->regex == NULL;
    const SpanTable *table = eval->table;
    Test trimmed = *test;

    if (is_id && trimmed.value.type == TRACEQL_STRING)
        trimmed.value.text = without_zeros(test->value.text);
    for (uint32_t t = 0; t < table->trace_count; t++) {
        const TraceRow *trace = &table->traces[t];

        TRY(query_check(eval->query, err));
        for (uint32_t row = trace->first; row < trace->first + trace->count; row++) {
            TraceqlValue value;

            TRY(eval_attribute(eval, attribute, row, &value, err));
            if (is_id) value.text = without_zeros(value.text);
            out[row] = test_value(&trimmed, &value, false);
        }
    }
    return ERR_OK;
}

static ErrCode test_intrinsic(Eval *eval, const Test *test, const TraceqlAttribute *attribute,
                              uint8_t *out, Error *err) {
    const SpanTable *table = eval->table;

    switch (attribute->intrinsic) {
    case TRACEQL_NAME_FIELD:
        return test_text_rows(eval, test, &table->names, out, err);
    case TRACEQL_STATUS_MESSAGE_FIELD:
        return test_text_rows(eval, test, &table->messages, out, err);
    case TRACEQL_STATUS_FIELD:
        test_byte_rows(eval, test, TRACEQL_STATUS, table->statuses, out);
        return ERR_OK;
    case TRACEQL_KIND_FIELD:
        test_byte_rows(eval, test, TRACEQL_KIND, table->kinds, out);
        return ERR_OK;
    case TRACEQL_DURATION_FIELD:
        for (uint32_t row = 0; row < table->row_count; row++) {
            TraceqlValue value = {.type = TRACEQL_DURATION, .integer = table->durations_ns[row]};

            out[row] = test_value(test, &value, false);
        }
        return ERR_OK;
    case TRACEQL_SCOPE_NAME_FIELD:
    case TRACEQL_SCOPE_VERSION_FIELD:
        memset(out, 0, table->row_count);
        return test_origins(eval, test, attribute, SCOPE_INSTRUMENTATION, out, err);
    default:
        return test_rows(eval, test, attribute, out, err);
    }
}

/* ---- attributes ---- */

static ErrCode test_scope(Eval *eval, const Test *test, const TraceqlAttribute *attribute,
                          uint8_t scope, uint8_t *out, Error *err) {
    const AttributeColumn *columns;
    uint32_t count;

    if (scope == SCOPE_EVENT || scope == SCOPE_LINK)
        return test_part_rows(eval, test, attribute, scope, out, err);
    if (scope != SCOPE_SPAN) return test_origins(eval, test, attribute, scope, out, err);
    count = span_table_attribute(eval->table, SCOPE_SPAN, attribute->name, &columns);
    for (uint32_t i = 0; i < count; i++) TRY(test_column(eval, test, &columns[i], out, err));
    return ERR_OK;
}

static ErrCode test_attribute(Eval *eval, const Test *test, const TraceqlAttribute *attribute,
                              uint8_t *out, Error *err) {
    Test exists = {.op = TRACEQL_EXISTS};
    const Test *asked = test->op == TRACEQL_NOT_EXISTS ? &exists : test;
    uint32_t rows = eval->table->row_count;
    uint8_t part = attribute_part(attribute);

    if (part == 0 && attribute->intrinsic != TRACEQL_NONE_FIELD)
        return test_intrinsic(eval, test, attribute, out, err);
    memset(out, 0, rows);
    if (part != 0 || attribute->scope != 0)
        TRY(test_scope(eval, asked, attribute, part != 0 ? part : attribute->scope, out, err));
    else
        for (uint8_t scope = SCOPE_SPAN; scope <= SCOPE_INSTRUMENTATION; scope++)
            TRY(test_scope(eval, asked, attribute, scope, out, err));
    for (uint32_t row = 0; asked != test && row < rows; row++) out[row] = !out[row];
    return ERR_OK;
}

/* ---- expressions ---- */

static ErrCode filter_rows(Eval *eval, const TraceqlExpr *expr, uint8_t *out, Error *err) {
    const SpanTable *table = eval->table;

    for (uint32_t t = 0; t < table->trace_count; t++) {
        const TraceRow *trace = &table->traces[t];

        TRY(query_check(eval->query, err));
        for (uint32_t row = trace->first; row < trace->first + trace->count; row++) {
            TraceqlValue value;

            TRY(eval_value(eval, expr, row, &value, err));
            out[row] = value.type == TRACEQL_BOOL && value.truth;
        }
    }
    return ERR_OK;
}

static bool flatten(const TraceqlExpr *expr, const TraceqlExpr **items, size_t *count) {
    if (expr->kind == TRACEQL_EXPR_BINARY && expr->op == TRACEQL_AND)
        return flatten(expr->left, items, count) && flatten(expr->right, items, count);
    if (*count == CONJUNCTS_MAX) return false;
    items[(*count)++] = expr;
    return true;
}

/* Conditions on events (on links) that are joined by && must hold of the same one. */
static ErrCode filter_parts(Eval *eval, const TraceqlExpr **items, size_t count, uint8_t scope,
                            uint8_t *out, bool *any, Error *err) {
    uint32_t parts = parts_of(eval, scope);
    uint8_t *all = NULL, *one = NULL;

    *any = false;
    for (size_t i = 0; i < count; i++) {
        const TraceqlAttribute *attribute;
        Test test;

        if (!test_of(items[i], &attribute, &test) || attribute_part(attribute) != scope ||
            test.op == TRACEQL_NOT_EXISTS)
            continue;
        if (all == NULL) {
            all = arena_alloc(eval->arena, MAX(parts, 1));
            one = arena_alloc(eval->arena, MAX(parts, 1));
            if (all == NULL || one == NULL) return traceql_out_of_memory(err);
            memset(all, 1, parts);
        }
        memset(one, 0, parts);
        TRY(test_parts(eval, &test, attribute, scope, one, err));
        for (uint32_t p = 0; p < parts; p++) all[p] &= one[p];
        items[i] = NULL;
    }
    if (all == NULL) return ERR_OK;
    *any = true;
    memset(out, 0, eval->table->row_count);
    return spread_parts(eval, scope, all, out, err);
}

static void keep_both(uint8_t *out, const uint8_t *other, uint32_t rows) {
    for (uint32_t row = 0; row < rows; row++) out[row] &= other[row];
}

static ErrCode filter_and(Eval *eval, const TraceqlExpr *expr, uint8_t *out, Error *err) {
    const TraceqlExpr *items[CONJUNCTS_MAX];
    uint32_t rows = eval->table->row_count;
    uint8_t *mask = eval_mask(eval);
    size_t count = 0;

    if (mask == NULL) return traceql_out_of_memory(err);
    if (!flatten(expr, items, &count)) {
        items[0] = expr->left;
        items[1] = expr->right;
        count = 2;
    }
    memset(out, 1, rows);
    for (uint8_t scope = SCOPE_EVENT; scope <= SCOPE_LINK; scope++) {
        size_t left = 0;
        bool any;

        TRY(filter_parts(eval, items, count, scope, mask, &any, err));
        if (any) keep_both(out, mask, rows);
        for (size_t i = 0; i < count; i++)
            if (items[i] != NULL) items[left++] = items[i];
        count = left;
    }
    for (size_t i = 0; i < count && memchr(out, 1, rows) != NULL; i++) {
        TRY(eval_filter(eval, items[i], mask, err));
        keep_both(out, mask, rows);
    }
    eval->mask_depth--;
    return ERR_OK;
}

ErrCode eval_filter(Eval *eval, const TraceqlExpr *expr, uint8_t *out, Error *err) {
    uint32_t rows = eval->table->row_count;
    const TraceqlAttribute *attribute;
    uint8_t *mask;
    Test test;

    TRY(query_check(eval->query, err));
    if (rows == 0) return ERR_OK;
    if (expr->kind == TRACEQL_EXPR_VALUE) {
        memset(out, expr->value.type == TRACEQL_BOOL && expr->value.truth, rows);
        return ERR_OK;
    }
    if (test_of(expr, &attribute, &test)) return test_attribute(eval, &test, attribute, out, err);
    if (expr->kind == TRACEQL_EXPR_UNARY && expr->op == TRACEQL_NOT &&
        expr->left->kind != TRACEQL_EXPR_ATTRIBUTE) {
        TRY(eval_filter(eval, expr->left, out, err));
        for (uint32_t row = 0; row < rows; row++) out[row] = !out[row];
        return ERR_OK;
    }
    if (expr->kind == TRACEQL_EXPR_BINARY && expr->op == TRACEQL_AND)
        return filter_and(eval, expr, out, err);
    if (expr->kind == TRACEQL_EXPR_BINARY && expr->op == TRACEQL_OR) {
        /* The left side first: a long chain of || leans to it, and so needs one mask only. */
        TRY(eval_filter(eval, expr->left, out, err));
        mask = eval_mask(eval);
        if (mask == NULL) return traceql_out_of_memory(err);
        TRY(eval_filter(eval, expr->right, mask, err));
        for (uint32_t row = 0; row < rows; row++) out[row] |= mask[row];
        eval->mask_depth--;
        return ERR_OK;
    }
    return filter_rows(eval, expr, out, err);
}
