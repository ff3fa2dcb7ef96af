#include "querier/traceql/engine/show.h"

/* ---- values ---- */

ErrCode show_value(const TraceqlValue *value, Arena *arena, TraceqlValue *out, Error *err) {
    uint32_t count = MAX(value->count, 1);
    Str *texts;
    int64_t *integers;
    double *numbers;
    bool *truths;

    *out = *value;
    switch (value->type) {
    case TRACEQL_STRING:
        out->text = str_dup(arena, value->text);
        return out->text.ptr == NULL ? traceql_out_of_memory(err) : ERR_OK;
    case TRACEQL_STRINGS:
        out->texts = texts = ARENA_ARRAY(arena, Str, count);
        for (uint32_t i = 0; texts != NULL && i < value->count; i++) {
            texts[i] = str_dup(arena, value->texts[i]);
            if (texts[i].ptr == NULL) return traceql_out_of_memory(err);
        }
        return texts == NULL ? traceql_out_of_memory(err) : ERR_OK;
    case TRACEQL_INTS:
        out->integers = integers = ARENA_ARRAY(arena, int64_t, count);
        if (integers == NULL) return traceql_out_of_memory(err);
        if (value->count > 0) memcpy(integers, value->integers, value->count * sizeof *integers);
        return ERR_OK;
    case TRACEQL_FLOATS:
        out->numbers = numbers = ARENA_ARRAY(arena, double, count);
        if (numbers == NULL) return traceql_out_of_memory(err);
        if (value->count > 0) memcpy(numbers, value->numbers, value->count * sizeof *numbers);
        return ERR_OK;
    case TRACEQL_BOOLS:
        out->truths = truths = ARENA_ARRAY(arena, bool, count);
        if (truths == NULL) return traceql_out_of_memory(err);
        if (value->count > 0) memcpy(truths, value->truths, value->count * sizeof *truths);
        return ERR_OK;
    default:
        return ERR_OK;
    }
}

static bool passes(const Mention *mention, const TraceqlValue *element) {
    bool typed = mention->attribute.intrinsic == TRACEQL_NONE_FIELD;

    for (size_t i = 0; i < mention->count; i++)
        if (test_value(&mention->tests[i], element, typed)) return true;
    return false;
}

/* Elements that pass, as an array of their own; of one element, the element. */
static ErrCode passing_elements(Eval *eval, const Mention *mention, TraceqlValue *value,
                                Error *err) {
    size_t size = value->type == TRACEQL_STRINGS ? sizeof(Str)
                  : value->type == TRACEQL_BOOLS ? sizeof(bool)
                                                 : sizeof(int64_t);
    char *kept = arena_array(eval->arena, MAX(value->count, 1), size);
    const char *all = (const char *)value->texts;
    uint32_t count = 0;

    if (kept == NULL) return traceql_out_of_memory(err);
    for (uint32_t i = 0; i < value->count; i++) {
        TraceqlValue element = traceql_element(value, i);

        if (passes(mention, &element)) memcpy(kept + count++ * size, all + i * size, size);
    }
    value->texts = (const Str *)(const void *)kept;
    value->count = count;
    if (count == 0) *value = (TraceqlValue){0};
    if (count == 1) *value = traceql_element(value, 0);
    return ERR_OK;
}

ErrCode show_narrow(Eval *eval, const Mention *mention, TraceqlValue *value, Error *err) {
    if (mention->always || value->type == TRACEQL_NIL) return ERR_OK;
    if (traceql_is_array(value->type)) return passing_elements(eval, mention, value, err);
    if (!passes(mention, value)) *value = (TraceqlValue){0};
    return ERR_OK;
}

static ErrCode shown(Eval *eval, const Mention *mention, uint8_t scope, uint32_t row,
                     TraceqlValue *out, Error *err) {
    const TraceqlAttribute *attribute = &mention->attribute;
    uint8_t part = attribute_part(attribute);
    uint32_t first, end;

    *out = (TraceqlValue){0};
    if (part == 0 && (scope == SCOPE_EVENT || scope == SCOPE_LINK)) part = scope;
    if (part == 0) {
        if (scope == 0)
            TRY(eval_attribute(eval, attribute, row, out, err));
        else
            TRY(eval_scoped(eval, attribute, scope, row, out, err));
        return show_narrow(eval, mention, out, err);
    }
    eval_parts(eval, part, row, &first, &end);
    while (end > first && out->type == TRACEQL_NIL) {
        TRY(eval_part(eval, attribute, part, --end, row, out, err));
        TRY(show_narrow(eval, mention, out, err));
    }
    return ERR_OK;
}

/* ---- spans ---- */

static bool is_hidden(uint8_t intrinsic) {
    switch (intrinsic) {
    case TRACEQL_DURATION_FIELD:
    case TRACEQL_TRACE_DURATION_FIELD:
    case TRACEQL_ROOT_NAME_FIELD:
    case TRACEQL_ROOT_SERVICE_FIELD:
    case TRACEQL_TRACE_ID_FIELD:
    case TRACEQL_SPAN_ID_FIELD:
        return true;
    default:
        return false;
    }
}

typedef struct Labels {
    TraceqlLabel *items;
    size_t count;
} Labels;

static ErrCode add_label(const Mention *mention, const TraceqlValue *value, Arena *arena,
                         Labels *labels, Error *err) {
    TraceqlLabel *label = &labels->items[labels->count];
    const TraceqlAttribute *attribute = &mention->attribute;

    label->name = attribute->intrinsic == TRACEQL_NONE_FIELD
                      ? str_dup(arena, attribute->name)
                      : traceql_attribute_text(attribute, arena);
    if (label->name.ptr == NULL) return traceql_out_of_memory(err);
    labels->count++;
    return show_value(value, arena, &label->value, err);
}

static ErrCode show_mention(Eval *eval, const Mention *mention, uint32_t row, Arena *arena,
                            Labels *labels, Error *err) {
    bool unscoped =
        mention->attribute.intrinsic == TRACEQL_NONE_FIELD && mention->attribute.scope == 0;
    uint8_t first = unscoped ? SCOPE_SPAN : mention->attribute.scope;
    uint8_t last = unscoped ? SCOPE_INSTRUMENTATION : first;
    bool found = false;

    for (uint8_t scope = first; scope <= last; scope++) {
        TraceqlValue value;

        TRY(shown(eval, mention, scope, row, &value, err));
        if (value.type == TRACEQL_NIL) continue;
        if (unscoped && scope == SCOPE_RESOURCE && value.type == TRACEQL_STRING &&
            value.text.len == 0)
            continue;
        TRY(add_label(mention, &value, arena, labels, err));
        found = true;
    }
    if (!found &&
        (mention->nil || (mention->always && attribute_is_well_known(&mention->attribute)))) {
        TraceqlValue nil = {0};

        /* Without a scope, Tempo says so of the span and of its resource. */
        TRY(add_label(mention, &nil, arena, labels, err));
        if (unscoped) TRY(add_label(mention, &nil, arena, labels, err));
    }
    return ERR_OK;
}

static ErrCode show_span(Eval *eval, const Plan *plan, uint32_t row, Arena *arena,
                         TraceqlFoundSpan *out, Error *err) {
    const SpanTable *table = eval->table;
    Labels labels = {ARENA_ARRAY(arena, TraceqlLabel, plan->mention_count * 5 + 1), 0};

    if (labels.items == NULL) return traceql_out_of_memory(err);
    *out = (TraceqlFoundSpan){.id = table->ids[row],
                              .name = {"", 0},
                              .start_ns = table->starts_ns[row],
                              .duration_ns = table->durations_ns[row]};
    for (size_t i = 0; i < plan->mention_count; i++) {
        const Mention *mention = &plan->mentions[i];

        if (is_hidden(mention->attribute.intrinsic)) continue;
        if (mention->attribute.intrinsic == TRACEQL_NAME_FIELD) {
            TraceqlValue value;

            TRY(shown(eval, mention, 0, row, &value, err));
            if (value.type == TRACEQL_STRING) out->name = str_dup(arena, value.text);
            if (out->name.ptr == NULL) return traceql_out_of_memory(err);
            continue;
        }
        TRY(show_mention(eval, mention, row, arena, &labels, err));
    }
    out->attributes = labels.items;
    out->attribute_count = labels.count;
    return ERR_OK;
}

static ErrCode show_set(Eval *eval, const Plan *plan, const SpanSet *set, uint32_t spans_max,
                        Arena *arena, TraceqlFoundSet *out, Error *err) {
    size_t count = MIN(set->count, spans_max);
    TraceqlFoundSpan *spans = ARENA_ARRAY(arena, TraceqlFoundSpan, MAX(count, 1));
    TraceqlLabel *labels = ARENA_ARRAY(arena, TraceqlLabel, MAX(set->label_count, 1));

    if (spans == NULL || labels == NULL) return traceql_out_of_memory(err);
    for (size_t i = 0; i < count; i++)
        TRY(show_span(eval, plan, set->rows[i], arena, &spans[i], err));
    for (uint32_t i = 0; i < set->label_count; i++) {
        labels[i].name = str_dup(arena, set->labels[i].name);
        if (labels[i].name.ptr == NULL) return traceql_out_of_memory(err);
        TRY(show_value(&set->labels[i].value, arena, &labels[i].value, err));
    }
    *out = (TraceqlFoundSet){spans, count, set->count, labels, set->label_count};
    return ERR_OK;
}

/* ---- traces ---- */

static ErrCode show_services(const SpanTable *table, const TraceRow *trace, Arena *arena,
                             TraceqlFound *out, Error *err) {
    TraceqlService *services = NULL;
    size_t count = 0;

    for (uint32_t row = trace->first; row < trace->first + trace->count; row++) {
        Str name = table->origins[table->origin_of[row]]->service;
        size_t at = 0;

        while (at < count && str_compare(services[at].name, name) < 0) at++;
        if (at == count || !str_equal(services[at].name, name)) {
            size_t bytes = count * sizeof *services;
            Str copy = str_dup(arena, name);

            services = arena_grow(arena, services, bytes, bytes + sizeof *services);
            if (services == NULL || copy.ptr == NULL) return traceql_out_of_memory(err);
            memmove(services + at + 1, services + at, (count - at) * sizeof *services);
            services[at] = (TraceqlService){.name = copy};
            count++;
        }
        services[at].spans++;
        services[at].errors += table->statuses[row] == SPAN_STATUS_ERROR;
    }
    out->services = services;
    out->service_count = count;
    return ERR_OK;
}

ErrCode show_trace(Eval *eval, const Plan *plan, uint32_t trace, const SpanSet *sets, size_t count,
                   uint32_t spans_max, Arena *arena, TraceqlFound *out, Error *err) {
    const SpanTable *table = eval->table;
    const TraceRow *row = &table->traces[trace];
    TraceqlFoundSet *found = ARENA_ARRAY(arena, TraceqlFoundSet, MAX(count, 1));
    Str service = {"", 0};
    uint32_t root;

    if (found == NULL) return traceql_out_of_memory(err);
    *out = (TraceqlFound){.id = row->id,
                          .root_name = {"", 0},
                          .start_ns = row->start_ns,
                          .end_ns = row->end_ns,
                          .sets = found,
                          .set_count = count};
    TRY(eval_roots(eval, err));
    root = eval->roots[trace];
    if (root != SPAN_ROOT) {
        service = table->origins[table->origin_of[root]]->service;
        if (!plan->root_unnamed) out->root_name = table->names.dictionary[table->names.codes[root]];
    }
    if (service.len == 0) service = STR("<root span not yet received>");
    out->root_service = str_dup(arena, service);
    out->root_name = str_dup(arena, out->root_name);
    if (out->root_service.ptr == NULL || out->root_name.ptr == NULL)
        return traceql_out_of_memory(err);
    for (size_t i = 0; i < count; i++)
        TRY(show_set(eval, plan, &sets[i], spans_max, arena, &found[i], err));
    return show_services(table, row, arena, out, err);
}
