/*
 * attributes.c: what a span has under a name.
 */
#include "querier/traceql/engine/eval.h"

ErrCode eval_begin(Eval *eval, const TraceqlQuery *query, const SpanTable *table,
                   QueryContext *context, Arena *arena, Error *err) {
    *eval = (Eval){.table = table, .arena = arena, .query = context};
    eval->filters = ARENA_ARRAY(arena, uint8_t *, MAX(query->filter_count, 1));
    eval->masks = ARENA_ARRAY(arena, uint8_t *, EVAL_MASKS_MAX);
    if (eval->filters == NULL || eval->masks == NULL) return traceql_out_of_memory(err);
    return ERR_OK;
}

uint8_t *eval_mask(Eval *eval) {
    uint8_t **mask;

    if (eval->mask_depth >= EVAL_MASKS_MAX) return NULL;
    mask = &eval->masks[eval->mask_depth];
    if (*mask == NULL) *mask = arena_alloc(eval->arena, MAX(eval->table->row_count, 1));
    if (*mask != NULL) eval->mask_depth++;
    return *mask;
}

/* ---- what tables don't have ---- */

static ErrCode owners_of(Eval *eval, const uint32_t *starts, uint32_t count, uint32_t **out,
                         Error *err) {
    *out = ARENA_ARRAY(eval->arena, uint32_t, MAX(count, 1));
    if (*out == NULL) return traceql_out_of_memory(err);
    for (uint32_t row = 0; starts != NULL && row < eval->table->row_count; row++)
        for (uint32_t i = starts[row]; i < starts[row + 1]; i++) (*out)[i] = row;
    return ERR_OK;
}

ErrCode eval_owners(Eval *eval, Error *err) {
    const SpanTable *table = eval->table;

    if (eval->event_owners == NULL && table->event_starts != NULL)
        TRY(owners_of(eval, table->event_starts, table->event_count, &eval->event_owners, err));
    if (eval->link_owners == NULL && table->link_starts != NULL)
        TRY(owners_of(eval, table->link_starts, table->link_count, &eval->link_owners, err));
    return ERR_OK;
}

ErrCode eval_roots(Eval *eval, Error *err) {
    const SpanTable *table = eval->table;

    if (eval->roots != NULL) return ERR_OK;
    eval->trace_of = ARENA_ARRAY(eval->arena, uint32_t, MAX(table->row_count, 1));
    eval->roots = ARENA_ARRAY(eval->arena, uint32_t, MAX(table->trace_count, 1));
    if (eval->trace_of == NULL || eval->roots == NULL) return traceql_out_of_memory(err);
    for (uint32_t t = 0; t < table->trace_count; t++) {
        const TraceRow *trace = &table->traces[t];

        /* Of several roots the last counts. */
        eval->roots[t] = SPAN_ROOT;
        for (uint32_t row = trace->first; row < trace->first + trace->count; row++) {
            eval->trace_of[row] = t;
            if (table->parents != NULL && table->parents[row] == SPAN_ROOT) eval->roots[t] = row;
        }
    }
    return ERR_OK;
}

/* Numbers of what hangs on a root go depth first, one at the way in and one at the way out; all
 * else has zeros. */
static void number_trace(Eval *eval, const TraceRow *trace, uint32_t *sizes, uint32_t *depths) {
    const SpanTable *table = eval->table;
    uint32_t end = trace->first + trace->count;
    int64_t before = 0;

    for (uint32_t row = end; row-- > trace->first;) {
        uint32_t parent = table->parents[row];

        sizes[row]++;
        if (parent < row && parent >= trace->first) {
            sizes[parent] += sizes[row];
            eval->children[parent]++;
        }
    }
    for (uint32_t row = trace->first; row < end; row++) {
        uint32_t parent = table->parents[row];

        if (!table->rooted[row]) continue;
        depths[row] = parent < row ? depths[parent] + 1 : 0;
        eval->left[row] = 1 + 2 * before - depths[row];
        eval->right[row] = eval->left[row] + 2 * (int64_t)sizes[row] - 1;
        eval->up[row] = parent < row ? eval->left[parent] : -1;
        before++;
    }
}

ErrCode eval_trees(Eval *eval, Error *err) {
    const SpanTable *table = eval->table;
    uint32_t rows = MAX(table->row_count, 1);
    uint32_t *sizes, *depths;

    if (eval->children != NULL) return ERR_OK;
    sizes = ARENA_ARRAY(eval->arena, uint32_t, rows);
    depths = ARENA_ARRAY(eval->arena, uint32_t, rows);
    eval->left = ARENA_ARRAY(eval->arena, int64_t, rows);
    eval->right = ARENA_ARRAY(eval->arena, int64_t, rows);
    eval->up = ARENA_ARRAY(eval->arena, int64_t, rows);
    eval->children = ARENA_ARRAY(eval->arena, uint32_t, rows);
    if (sizes == NULL || depths == NULL || eval->left == NULL || eval->right == NULL ||
        eval->up == NULL || eval->children == NULL)
        return traceql_out_of_memory(err);
    for (uint32_t t = 0; table->parents != NULL && t < table->trace_count; t++)
        number_trace(eval, &table->traces[t], sizes, depths);
    return ERR_OK;
}

/* ---- attributes ---- */

static TraceqlValue text_value(Str text) {
    return (TraceqlValue){.type = TRACEQL_STRING, .text = text};
}

static TraceqlValue integer_value(uint8_t type, int64_t integer) {
    return (TraceqlValue){.type = type, .integer = integer};
}

static Str text_at(const TextColumn *column, uint32_t i) {
    return column->codes == NULL ? (Str){"", 0} : column->dictionary[column->codes[i]];
}

static ErrCode copy_texts(Eval *eval, const TextColumn *column, uint32_t first, uint32_t count,
                          TraceqlValue *out, Error *err) {
    Str *texts = ARENA_ARRAY(eval->arena, Str, count);

    if (texts == NULL) return traceql_out_of_memory(err);
    for (uint32_t i = 0; i < count; i++) texts[i] = text_at(column, first + i);
    out->texts = texts;
    return ERR_OK;
}

/* Bytes of an object are no bools until somebody looked at them. */
static ErrCode copy_truths(Eval *eval, const uint8_t *bytes, uint32_t count, TraceqlValue *out,
                           Error *err) {
    bool *truths = ARENA_ARRAY(eval->arena, bool, count);

    if (truths == NULL) return traceql_out_of_memory(err);
    for (uint32_t i = 0; i < count; i++) truths[i] = bytes[i] != 0;
    out->truths = truths;
    return ERR_OK;
}

/* An array of one element reads as that element. Bytes and what queries don't see is not there. */
static ErrCode entry_value(Eval *eval, const AttributeColumn *column, uint32_t entry,
                           TraceqlValue *out, Error *err) {
    uint32_t first = column->starts == NULL ? entry : column->starts[entry];
    uint32_t count = column->starts == NULL ? 1 : column->starts[entry + 1] - first;

    *out = (TraceqlValue){.count = count};
    switch (column->type) {
    case ATTRIBUTE_STRING:
        *out = text_value(text_at(&column->texts, first));
        break;
    case ATTRIBUTE_BOOL:
        *out = (TraceqlValue){.type = TRACEQL_BOOL, .truth = column->truths[first] != 0};
        break;
    case ATTRIBUTE_INT:
        *out = integer_value(TRACEQL_INT, column->integers[first]);
        break;
    case ATTRIBUTE_DOUBLE:
        *out = (TraceqlValue){.type = TRACEQL_FLOAT, .number = column->numbers[first]};
        break;
    case ATTRIBUTE_STRINGS:
        out->type = TRACEQL_STRINGS;
        TRY(copy_texts(eval, &column->texts, first, count, out, err));
        break;
    case ATTRIBUTE_BOOLS:
        out->type = TRACEQL_BOOLS;
        TRY(copy_truths(eval, column->truths + first, count, out, err));
        break;
    case ATTRIBUTE_INTS:
        out->type = TRACEQL_INTS;
        out->integers = column->integers + first;
        break;
    case ATTRIBUTE_DOUBLES:
        out->type = TRACEQL_FLOATS;
        out->numbers = column->numbers + first;
        break;
    default:
        break;
    }
    if (traceql_is_array(out->type) && count == 1) *out = traceql_element(out, 0);
    return ERR_OK;
}

static void list_value(const Attributes *attributes, Str key, TraceqlValue *out) {
    for (uint32_t i = 0; i < attributes->count; i++) {
        const Attribute *attribute = &attributes->items[i];

        if (!str_equal(attribute->key, key)) continue;
        *out = (TraceqlValue){.count = attribute->count};
        switch (attribute->type) {
        case ATTRIBUTE_STRING:
            *out = text_value(attribute->text);
            break;
        case ATTRIBUTE_BOOL:
            *out = (TraceqlValue){.type = TRACEQL_BOOL, .truth = attribute->truth};
            break;
        case ATTRIBUTE_INT:
            *out = integer_value(TRACEQL_INT, attribute->integer);
            break;
        case ATTRIBUTE_DOUBLE:
            *out = (TraceqlValue){.type = TRACEQL_FLOAT, .number = attribute->number};
            break;
        case ATTRIBUTE_STRINGS:
            out->type = TRACEQL_STRINGS;
            out->texts = attribute->texts;
            break;
        case ATTRIBUTE_BOOLS:
            out->type = TRACEQL_BOOLS;
            out->truths = attribute->truths;
            break;
        case ATTRIBUTE_INTS:
            out->type = TRACEQL_INTS;
            out->integers = attribute->integers;
            break;
        case ATTRIBUTE_DOUBLES:
            out->type = TRACEQL_FLOATS;
            out->numbers = attribute->numbers;
            break;
        default:
            break;
        }
        if (traceql_is_array(out->type) && out->count == 1) *out = traceql_element(out, 0);
        return;
    }
}

ErrCode eval_scoped(Eval *eval, const TraceqlAttribute *attribute, uint8_t scope, uint32_t owner,
                    TraceqlValue *out, Error *err) {
    const SpanTable *table = eval->table;
    const AttributeColumn *columns;
    uint32_t count;

    *out = (TraceqlValue){0};
    if (scope == SCOPE_RESOURCE || scope == SCOPE_INSTRUMENTATION) {
        const SpanOrigin *origin;

        if (table->origin_of == NULL) return ERR_OK;
        origin = table->origins[table->origin_of[owner]];
        list_value(scope == SCOPE_RESOURCE ? &origin->resource : &origin->scope, attribute->name,
                   out);
        /* A span always has this one, if only empty. */
        if (scope == SCOPE_RESOURCE && out->type == TRACEQL_NIL &&
            str_equal(attribute->name, STR("service.name")))
            *out = text_value((Str){"", 0});
        return ERR_OK;
    }
    count = span_table_attribute(table, scope, attribute->name, &columns);
    for (uint32_t i = 0; i < count && out->type == TRACEQL_NIL; i++) {
        uint32_t entry = attribute_column_find(&columns[i], owner);

        if (entry != UINT32_MAX) TRY(entry_value(eval, &columns[i], entry, out, err));
    }
    return ERR_OK;
}

/* ---- intrinsics ---- */

static Str hex_text(Arena *arena, const uint8_t *bytes, size_t count) {
    static const char digits[] = "0123456789abcdef";
    char *text = arena_alloc_bytes(arena, 2 * count);

    if (text == NULL) return (Str){"", 0};
    for (size_t i = 0; i < count; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    return (Str){text, 2 * count};
}

static TraceqlValue trace_value(Eval *eval, const TraceId *id) {
    return text_value(hex_text(eval->arena, id->bytes, sizeof id->bytes));
}

static TraceqlValue span_value(Eval *eval, uint64_t id) {
    uint8_t bytes[8];

    for (size_t i = 0; i < 8; i++) bytes[i] = (uint8_t)(id >> (56 - 8 * i));
    return text_value(hex_text(eval->arena, bytes, 8));
}

static ErrCode trace_intrinsic(Eval *eval, uint8_t intrinsic, uint32_t row, TraceqlValue *out,
                               Error *err) {
    const SpanTable *table = eval->table;
    const TraceRow *trace;
    uint32_t root;

    TRY(eval_roots(eval, err));
    trace = &table->traces[eval->trace_of[row]];
    root = eval->roots[eval->trace_of[row]];
    switch (intrinsic) {
    case TRACEQL_ROOT_NAME_FIELD:
        *out = text_value(root == SPAN_ROOT ? (Str){"", 0} : text_at(&table->names, root));
        break;
    case TRACEQL_ROOT_SERVICE_FIELD:
        *out = text_value(root == SPAN_ROOT || table->origin_of == NULL
                              ? (Str){"", 0}
                              : table->origins[table->origin_of[root]]->service);
        break;
    case TRACEQL_TRACE_DURATION_FIELD:
        *out = integer_value(TRACEQL_DURATION, trace->end_ns - trace->start_ns);
        break;
    default:
        *out = trace_value(eval, &trace->id);
        break;
    }
    return ERR_OK;
}

static ErrCode tree_intrinsic(Eval *eval, uint8_t intrinsic, uint32_t row, TraceqlValue *out,
                              Error *err) {
    TRY(eval_trees(eval, err));
    switch (intrinsic) {
    case TRACEQL_CHILD_COUNT_FIELD:
        *out = integer_value(TRACEQL_INT, eval->children[row]);
        break;
    case TRACEQL_NESTED_LEFT_FIELD:
        *out = integer_value(TRACEQL_INT, eval->left[row]);
        break;
    case TRACEQL_NESTED_RIGHT_FIELD:
        *out = integer_value(TRACEQL_INT, eval->right[row]);
        break;
    default:
        *out = integer_value(TRACEQL_INT, eval->up[row]);
        break;
    }
    return ERR_OK;
}

/* Of an event or a link. */
static void part_intrinsic(Eval *eval, uint8_t intrinsic, uint32_t part, uint32_t row,
                           TraceqlValue *out) {
    const SpanTable *table = eval->table;

    switch (intrinsic) {
    case TRACEQL_EVENT_NAME_FIELD:
        *out = text_value(text_at(&table->event_names, part));
        break;
    case TRACEQL_EVENT_TIME_FIELD:
        *out = integer_value(TRACEQL_DURATION, table->event_times_ns[part] - table->starts_ns[row]);
        break;
    case TRACEQL_LINK_TRACE_FIELD:
        *out = trace_value(eval, &table->link_traces[part]);
        break;
    default:
        *out = span_value(eval, table->link_spans[part]);
        break;
    }
}

static bool is_part(uint8_t intrinsic) {
    return intrinsic >= TRACEQL_EVENT_NAME_FIELD && intrinsic <= TRACEQL_LINK_SPAN_FIELD;
}

uint8_t attribute_part(const TraceqlAttribute *attribute) {
    if (attribute->intrinsic == TRACEQL_NONE_FIELD)
        return attribute->scope == SCOPE_EVENT || attribute->scope == SCOPE_LINK ? attribute->scope
                                                                                 : 0;
    if (!is_part(attribute->intrinsic)) return 0;
    return attribute->intrinsic <= TRACEQL_EVENT_TIME_FIELD ? SCOPE_EVENT : SCOPE_LINK;
}

ErrCode eval_part(Eval *eval, const TraceqlAttribute *attribute, uint8_t scope, uint32_t part,
                  uint32_t row, TraceqlValue *out, Error *err) {
    if (attribute->intrinsic == TRACEQL_NONE_FIELD)
        return eval_scoped(eval, attribute, scope, part, out, err);
    part_intrinsic(eval, attribute->intrinsic, part, row, out);
    return ERR_OK;
}

void eval_parts(const Eval *eval, uint8_t scope, uint32_t row, uint32_t *first, uint32_t *end) {
    const uint32_t *starts =
        scope == SCOPE_EVENT ? eval->table->event_starts : eval->table->link_starts;

    *first = starts == NULL ? 0 : starts[row];
    *end = starts == NULL ? 0 : starts[row + 1];
}

static ErrCode one_part(Eval *eval, const TraceqlAttribute *attribute, uint8_t scope, uint32_t row,
                        TraceqlValue *out, Error *err) {
    uint32_t first, end;

    *out = (TraceqlValue){0};
    eval_parts(eval, scope, row, &first, &end);
    while (end > first && out->type == TRACEQL_NIL)
        TRY(eval_part(eval, attribute, scope, eval->first_parts ? first++ : --end, row, out, err));
    return ERR_OK;
}

ErrCode eval_attribute(Eval *eval, const TraceqlAttribute *attribute, uint32_t row,
                       TraceqlValue *out, Error *err) {
    static const uint8_t scopes[] = {SCOPE_SPAN, SCOPE_RESOURCE, SCOPE_EVENT, SCOPE_LINK,
                                     SCOPE_INSTRUMENTATION};
    const SpanTable *table = eval->table;
    uint8_t part = attribute_part(attribute);

    *out = (TraceqlValue){0};
    if (part != 0) return one_part(eval, attribute, part, row, out, err);
    switch (attribute->intrinsic) {
    case TRACEQL_NONE_FIELD:
        break;
    case TRACEQL_DURATION_FIELD:
        *out = integer_value(TRACEQL_DURATION, table->durations_ns[row]);
        return ERR_OK;
    case TRACEQL_NAME_FIELD:
        *out = text_value(text_at(&table->names, row));
        return ERR_OK;
    case TRACEQL_STATUS_FIELD:
        *out = integer_value(TRACEQL_STATUS, table->statuses[row]);
        return ERR_OK;
    case TRACEQL_STATUS_MESSAGE_FIELD:
        *out = text_value(text_at(&table->messages, row));
        return ERR_OK;
    case TRACEQL_KIND_FIELD:
        *out = integer_value(TRACEQL_KIND, table->kinds[row]);
        return ERR_OK;
    case TRACEQL_SPAN_ID_FIELD:
        *out = span_value(eval, table->ids[row]);
        return ERR_OK;
    case TRACEQL_PARENT_ID_FIELD:
        *out = span_value(eval, table->parent_ids[row]);
        return ERR_OK;
    case TRACEQL_SCOPE_NAME_FIELD:
        *out = text_value(table->origins[table->origin_of[row]]->scope_name);
        return ERR_OK;
    case TRACEQL_SCOPE_VERSION_FIELD:
        *out = text_value(table->origins[table->origin_of[row]]->scope_version);
        return ERR_OK;
    case TRACEQL_CHILD_COUNT_FIELD:
    case TRACEQL_NESTED_LEFT_FIELD:
    case TRACEQL_NESTED_RIGHT_FIELD:
    case TRACEQL_NESTED_PARENT_FIELD:
        return tree_intrinsic(eval, attribute->intrinsic, row, out, err);
    default:
        return trace_intrinsic(eval, attribute->intrinsic, row, out, err);
    }
    if (attribute->scope != 0) return eval_scoped(eval, attribute, attribute->scope, row, out, err);
    for (size_t i = 0; i < sizeof scopes && out->type == TRACEQL_NIL; i++) {
        if (scopes[i] == SCOPE_EVENT || scopes[i] == SCOPE_LINK)
            TRY(one_part(eval, attribute, scopes[i], row, out, err));
        else
            TRY(eval_scoped(eval, attribute, scopes[i], row, out, err));
        /* An empty service.name hides nothing. */
        if (scopes[i] == SCOPE_RESOURCE && out->type == TRACEQL_STRING && out->text.len == 0)
            out->type = TRACEQL_NIL;
    }
    return ERR_OK;
}

/* ---- expressions ---- */

ErrCode eval_value(Eval *eval, const TraceqlExpr *expr, uint32_t row, TraceqlValue *out,
                   Error *err) {
    TraceqlValue left, right = {0};

    if (expr->kind == TRACEQL_EXPR_VALUE) {
        *out = expr->value;
        return ERR_OK;
    }
    if (expr->kind == TRACEQL_EXPR_ATTRIBUTE)
        return eval_attribute(eval, &expr->attribute, row, out, err);
    TRY(eval_value(eval, expr->left, row, &left, err));
    if (expr->kind == TRACEQL_EXPR_BINARY) {
        TRY(eval_value(eval, expr->right, row, &right, err));
        /* A span on which it can't be reckoned is one that doesn't match. */
        if ((expr->op == TRACEQL_DIV || expr->op == TRACEQL_MOD) && left.type == TRACEQL_INT &&
            right.type == TRACEQL_INT && right.integer == 0) {
            *out = (TraceqlValue){0};
            return ERR_OK;
        }
        return traceql_binary(expr->op, &left, &right, expr->regex, out, err);
    }
    *out = (TraceqlValue){.type = TRACEQL_BOOL};
    switch (expr->op) {
    case TRACEQL_EXISTS:
        out->truth = left.type != TRACEQL_NIL;
        break;
    case TRACEQL_NOT_EXISTS:
        out->truth = left.type == TRACEQL_NIL;
        break;
    case TRACEQL_NOT:
        out->truth = left.type == TRACEQL_BOOL && !left.truth;
        break;
    default:
        *out = left;
        if (left.type == TRACEQL_FLOAT)
            out->number = -left.number;
        else if (traceql_is_number(left.type))
            out->integer = (int64_t)(0 - (uint64_t)left.integer);
        else
            *out = (TraceqlValue){0};
        break;
    }
    return ERR_OK;
}

/* ---- Tempo's columns ---- */

const TraceqlAttribute *attribute_well_known(size_t i) {
#define SPAN_KEY(key)                                                                              \
    { .scope = SCOPE_SPAN, .name = STR_INIT(key) }
#define RESOURCE_KEY(key)                                                                          \
    { .scope = SCOPE_RESOURCE, .name = STR_INIT(key) }
    static const TraceqlAttribute all[] = {SPAN_KEY("http.method"),
                                           SPAN_KEY("http.url"),
                                           SPAN_KEY("http.status_code"),
                                           SPAN_KEY("http.request.method"),
                                           SPAN_KEY("http.response.status_code"),
                                           SPAN_KEY("http.route"),
                                           SPAN_KEY("server.address"),
                                           SPAN_KEY("server.port"),
                                           SPAN_KEY("url.path"),
                                           SPAN_KEY("url.route"),
                                           RESOURCE_KEY("k8s.cluster.name"),
                                           RESOURCE_KEY("k8s.namespace.name"),
                                           RESOURCE_KEY("k8s.pod.name"),
                                           RESOURCE_KEY("k8s.container.name")};

    return i < sizeof all / sizeof *all ? &all[i] : NULL;
}

bool attribute_is_well_known(const TraceqlAttribute *attribute) {
    const TraceqlAttribute *known;

    for (size_t i = 0; (known = attribute_well_known(i)) != NULL; i++)
        if (attribute->intrinsic == TRACEQL_NONE_FIELD && known->scope == attribute->scope &&
            str_equal(known->name, attribute->name))
            return true;
    return false;
}
