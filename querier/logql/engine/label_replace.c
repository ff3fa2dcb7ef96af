/*
 * label_replace.c: label_replace(), series by series.
 */
#include "querier/logql/engine/eval.h"

/* One reference behind a `$`: $name or ${name}; its length, and the group. 0: no reference. */
static size_t reference_length(Str text, Str *name) {
    bool braced = text.len > 1 && text.ptr[1] == '{';
    size_t start = braced ? 2 : 1, end = start;

    while (end < text.len &&
           (text.ptr[end] == '_' || (text.ptr[end] >= '0' && text.ptr[end] <= '9') ||
            ((text.ptr[end] | 32) >= 'a' && (text.ptr[end] | 32) <= 'z')))
        end++;
    *name = str_slice(text, start, end - start);
    if (end == start) return 0;
    if (!braced) return end;
    return end < text.len && text.ptr[end] == '}' ? end + 1 : 0;
}

static Str group_of(const Regex *regex, const Str *groups, unsigned count, Str name) {
    uint64_t number;

    if (str_to_u64(name, &number)) return number < count ? groups[number] : (Str){"", 0};
    for (unsigned i = 1; i < count; i++)
        if (str_equal(regex_group_name(regex, i), name)) return groups[i];
    return (Str){"", 0};
}

/* As Go's Expand: $1, $name, ${name}, $$. */
static void expand(const Regex *regex, const Str *groups, unsigned count, Str replacement,
                   Buf *out) {
    while (replacement.len > 0) {
        const char *dollar = memchr(replacement.ptr, '$', replacement.len);
        size_t plain = dollar == NULL ? replacement.len : (size_t)(dollar - replacement.ptr), len;
        Str name;

        buf_append_str(out, str_slice(replacement, 0, plain));
        replacement = str_from(replacement, plain);
        if (replacement.len == 0) return;
        if (replacement.len > 1 && replacement.ptr[1] == '$') {
            buf_append_byte(out, '$');
            replacement = str_from(replacement, 2);
            continue;
        }
        len = reference_length(replacement, &name);
        if (len == 0)
            buf_append_byte(out, '$');
        else
            buf_append_str(out, group_of(regex, groups, count, name));
        replacement = str_from(replacement, MAX(len, 1));
    }
}

static ErrCode replace_one(LogqlEval *eval, const LogqlExpr *expr, uint32_t source,
                           uint32_t destination, LabelSet labels, LabelSet *out, Error *err) {
    enum { GROUPS_MAX = 100 };
    const Regex *regex = expr->as.label_replace.compiled;
    unsigned count = MIN(regex_groups(regex) + 1, GROUPS_MAX);
    Str groups[GROUPS_MAX] = {0};
    Str text = symbols_str(eval->symbols, label_set_get(labels, source));
    CLEANUP_IN_PLACE(buf_done) Buf value = {0};
    uint32_t symbol;

    *out = labels;
    if (!regex_find(regex, text, 0, groups, count)) return ERR_OK;
    buf_init(&value, MIB(1));
    expand(regex, groups, count, expr->as.label_replace.replacement, &value);
    if (buf_failed(&value)) return error_set(err, ERR_LIMIT, "label_replace: a value is too long");
    symbol = symbols_add(eval->symbols, buf_str(&value));
    if (symbol == SYMBOL_NONE ||
        !labels_set(eval->arena, eval->symbols, labels, destination, symbol, out))
        return logql_out_of_memory(err);
    return ERR_OK;
}

ErrCode logql_label_replace(LogqlEval *eval, const LogqlExpr *expr, const LogqlVector *inner,
                            LogqlVector *out, Error *err) {
    uint32_t source = symbols_add(eval->symbols, expr->as.label_replace.source);
    uint32_t destination = symbols_add(eval->symbols, expr->as.label_replace.destination);
    VectorBuilder builder;

    if (source == SYMBOL_NONE || destination == SYMBOL_NONE) return logql_out_of_memory(err);
    TRY(vector_begin(eval, &builder, err));
    for (size_t i = 0; i < inner->count; i++) {
        const LogqlSeries *from = &inner->series[i];
        LogqlSeries *to;
        LabelSet labels;

        TRY(replace_one(eval, expr, source, destination, from->labels, &labels, err));
        to = vector_add(&builder, labels);
        if (to == NULL) return logql_out_of_memory(err);
        for (size_t s = 0; s < eval->steps; s++)
            if (logql_has_value(from, s) && !logql_has_value(to, s))
                logql_set_value(to, s, from->values[s]);
    }
    *out = vector_end(&builder);
    return ERR_OK;
}
