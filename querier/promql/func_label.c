/*
 * func_label.c: label_replace() and label_join(), which change labels and leave samples alone; and
 * the merging of series that become one by it.
 */
#include "querier/promql/functions.h"
#include "querier/promql/label_ops.h"

/* ---- merging ---- */

static ErrCode add_column(const Vector *vector, const Grid *grid, Column *to, const Column *from,
                          Error *err) {
    uint32_t words = grid_words(grid);

    for (uint32_t w = 0; w < words; w++)
        if (to->present[w] & from->present[w]) return same_labelset(err);
    BITS_EACH(s, from->present, words) to->values[s] = from->values[s];
    for (uint32_t w = 0; w < words; w++) to->present[w] |= from->present[w];
    if (from->hists == NULL && to->hists == NULL) return ERR_OK;
    if (to->hists == NULL) TRY(column_add_hists(vector->arena, grid, to, err));
    for (uint32_t s = 0; s < grid->steps; s++) {
        const Hist *hist = from->hists == NULL ? NULL : from->hists[s];

        if (hist != NULL && to->hists[s] != NULL) return same_labelset(err);
        if (hist != NULL) to->hists[s] = hist;
        /* A float of one and a histogram of the other at a step are no less of a conflict. */
        if (to->hists[s] != NULL && column_has(to, s)) return same_labelset(err);
    }
    return ERR_OK;
}

ErrCode vector_merge_equal(Eval *eval, Vector *vector, const Grid *grid, Error *err) {
    Vector merged;
    LabelTable table;

    if (!label_table_init(&table, eval->arena, vector->count)) return eval_out_of_memory(err);
    for (size_t i = 0; i < vector->count; i++)
        if (label_table_add(&table, vector->labels[i], false) == SYMBOL_NONE)
            return eval_out_of_memory(err);
    if (table.count == vector->count) return ERR_OK;
    TRY(vector_new(eval, table.count, &merged, err));
    for (size_t i = 0; i < vector->count; i++) {
        uint32_t at = label_table_find(&table, vector->labels[i]);
        Column *to = &merged.columns[at];

        if (to->values == NULL) {
            merged.labels[at] = vector->labels[i];
            merged.drops[at] = vector->drops[i];
            TRY(column_new(merged.arena, grid, to, err));
        }
        TRY(add_column(&merged, grid, to, &vector->columns[i], err));
    }
    merged.count = table.count;
    eval_release(eval, vector->held);
    TRY(vector_finish(eval, &merged, grid, err));
    /* Histograms are still the old vector's, so it lives on. */
    *vector = merged;
    return ERR_OK;
}

static ErrCode read_relabelled(const Stream *stream, size_t i, Worker *worker, Column *out,
                               Error *err) {
    const Stream *inner = stream->context;

    return inner->read(inner, i, worker, out, err);
}

/* The inner stream under other labels. Series that became equal are merged; usually none did, and
 * nothing is read here. */
static ErrCode relabelled(Eval *eval, const Stream *inner, const LabelSet *labels,
                          const bool *drops, Stream *out, Error *err) {
    LabelTable table;
    Stream stream = *inner;
    Vector vector;

    stream.labels = labels;
    stream.drops = drops;
    if (!label_table_init(&table, eval->arena, inner->count)) return eval_out_of_memory(err);
    for (size_t i = 0; i < inner->count; i++)
        if (label_table_add(&table, labels[i], false) == SYMBOL_NONE)
            return eval_out_of_memory(err);
    if (inner->vector != NULL) {
        Vector *copy = ARENA_NEW(eval->arena, Vector);

        if (copy == NULL) return eval_out_of_memory(err);
        *copy = *inner->vector;
        copy->labels = (LabelSet *)labels;
        copy->drops = (bool *)drops;
        stream.vector = copy;
    } else {
        /* It is read as it was: what it says of its series is said under their own names. */
        Stream *unchanged = ARENA_NEW(eval->arena, Stream);

        if (unchanged == NULL) return eval_out_of_memory(err);
        *unchanged = *inner;
        stream.context = unchanged;
        stream.read = read_relabelled;
    }
    if (table.count == inner->count) {
        *out = stream;
        return ERR_OK;
    }
    TRY(stream_collect(eval, &stream, &vector, err));
    TRY(vector_merge_equal(eval, &vector, &inner->grid, err));
    return stream_keep(eval, &vector, &inner->grid, out, err);
}

typedef struct Relabel {
    LabelSet *labels;
    bool *drops;
} Relabel;

static ErrCode relabel_begin(Eval *eval, const Node *node, const Grid *grid, Stream *inner,
                             Relabel *out, Error *err) {
    TRY(eval_stream(eval, node->args[0], grid, inner, err));
    out->labels = arena_alloc(eval->arena, MAX(inner->count, 1) * sizeof(LabelSet));
    out->drops = arena_alloc(eval->arena, MAX(inner->count, 1) * sizeof(bool));
    if (out->labels == NULL || out->drops == NULL) return eval_out_of_memory(err);
    for (size_t i = 0; i < inner->count; i++) {
        out->labels[i] = inner->labels[i];
        out->drops[i] = stream_drops(inner, i);
    }
    return ERR_OK;
}

/* Sets the label of series i; a name that was set stays. */
static ErrCode set_label(Eval *eval, Relabel *relabel, size_t i, uint32_t name, const Buf *value,
                         Error *err) {
    uint32_t id = buf_failed(value) ? SYMBOL_NONE : symbols_add(eval->symbols, buf_str(value));

    if (id == SYMBOL_NONE ||
        !labels_set(eval->arena, eval->symbols, relabel->labels[i], name, id, &relabel->labels[i]))
        return eval_out_of_memory(err);
    if (name == SYMBOL_NAME) relabel->drops[i] = false;
    return ERR_OK;
}

static bool is_label_name(Str name) {
    return name.len > 0 && str_is_utf8(name);
}

/* ---- label_replace ---- */

static bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The group that `$name` means; SIZE_MAX: none. */
static unsigned find_group(const Regex *regex, Str name) {
    unsigned groups = regex_groups(regex);
    uint64_t number;

    if (str_to_u64(name, &number)) return number <= groups ? (unsigned)number : UINT32_MAX;
    for (unsigned g = 1; g <= groups; g++)
        if (str_equal(regex_group_name(regex, g), name)) return g;
    return UINT32_MAX;
}

/* The replacement with its $1, ${1} and ${name}; a lone or malformed $ stands for itself. */
static void expand(const Regex *regex, Str replacement, const Str *groups, Buf *out) {
    for (size_t i = 0; i < replacement.len;) {
        char c = replacement.ptr[i];
        size_t start, end;
        bool braces;
        unsigned group;

        if (c != '$' || i + 1 == replacement.len) {
            buf_append_byte(out, c);
            i++;
            continue;
        }
        if (replacement.ptr[i + 1] == '$') {
            buf_append_byte(out, '$');
            i += 2;
            continue;
        }
        braces = replacement.ptr[i + 1] == '{';
        start = i + 1 + braces;
        end = start;
        while (end < replacement.len && is_name_char(replacement.ptr[end])) end++;
        if (end == start || (braces && (end == replacement.len || replacement.ptr[end] != '}'))) {
            buf_append_byte(out, c);
            i++;
            continue;
        }
        group = find_group(regex, str_slice(replacement, start, end - start));
        if (group != UINT32_MAX && groups[group].ptr != NULL) buf_append_str(out, groups[group]);
        i = end + braces;
    }
}

static ErrCode replace_all(Eval *eval, const Node *node, const Regex *regex, const Stream *inner,
                           Relabel *relabel, Error *err) {
    unsigned group_count = regex_groups(regex) + 1;
    Str *groups = arena_alloc(eval->arena, group_count * sizeof *groups);
    uint32_t to = symbols_add(eval->symbols, node->args[1]->expr->as.string.value);
    uint32_t from = symbols_add(eval->symbols, node->args[3]->expr->as.string.value);
    ErrCode code = ERR_OK;
    Buf value;

    if (groups == NULL || to == SYMBOL_NONE || from == SYMBOL_NONE) return eval_out_of_memory(err);
    buf_init(&value, 16 << 20);
    for (size_t i = 0; i < inner->count && code == ERR_OK; i++) {
        Str text = symbols_str(eval->symbols, label_set_get(inner->labels[i], from));

        if (i % 1024 == 0) code = query_check(eval->query, err);
        if (code != ERR_OK || !regex_find(regex, text, 0, groups, group_count)) continue;
        buf_clear(&value);
        expand(regex, node->args[2]->expr->as.string.value, groups, &value);
        code = set_label(eval, relabel, i, to, &value, err);
    }
    buf_done(&value);
    return code;
}

ErrCode eval_label_replace(Eval *eval, const Node *node, const Grid *grid, Stream *out,
                           Error *err) {
    Str to = node->args[1]->expr->as.string.value, pattern = node->args[4]->expr->as.string.value;
    RegexOptions options = {.anchored = true, .dot_newline = true};
    CLEANUP(regex_free) Regex *regex = NULL;
    Relabel relabel;
    Stream inner;

    if (regex_new(pattern, &options, &regex, err) != ERR_OK)
        return error_set(err, ERR_INVALID,
                         "invalid regular expression in label_replace(): " STR_FMT,
                         STR_ARG(pattern));
    if (!is_label_name(to))
        return error_set(err, ERR_INVALID,
                         "invalid destination label name in label_replace(): " STR_FMT,
                         STR_ARG(to));
    TRY(relabel_begin(eval, node, grid, &inner, &relabel, err));
    TRY(replace_all(eval, node, regex, &inner, &relabel, err));
    return relabelled(eval, &inner, relabel.labels, relabel.drops, out, err);
}

/* ---- label_join ---- */

static ErrCode join_all(Eval *eval, const Node *node, const Stream *inner, Relabel *relabel,
                        Error *err) {
    Str separator = node->args[2]->expr->as.string.value;
    size_t count = node->arg_count - 3;
    Str *names = arena_alloc(eval->arena, MAX(count, 1) * sizeof *names);
    uint32_t to = symbols_add(eval->symbols, node->args[1]->expr->as.string.value);
    ErrCode code = ERR_OK;
    uint32_t *from;
    Buf value;

    if (names == NULL || to == SYMBOL_NONE) return eval_out_of_memory(err);
    for (size_t i = 0; i < count; i++) names[i] = node->args[3 + i]->expr->as.string.value;
    if (!labels_names(eval->symbols, eval->arena, names, count, &from))
        return eval_out_of_memory(err);
    buf_init(&value, 16 << 20);
    for (size_t i = 0; i < inner->count && code == ERR_OK; i++) {
        buf_clear(&value);
        for (size_t k = 0; k < count; k++) {
            if (k > 0) buf_append_str(&value, separator);
            buf_append_str(&value,
                           symbols_str(eval->symbols, label_set_get(inner->labels[i], from[k])));
        }
        code = set_label(eval, relabel, i, to, &value, err);
    }
    buf_done(&value);
    return code;
}

ErrCode eval_label_join(Eval *eval, const Node *node, const Grid *grid, Stream *out, Error *err) {
    Str to = node->args[1]->expr->as.string.value;
    Relabel relabel;
    Stream inner;

    for (size_t i = 3; i < node->arg_count; i++) {
        Str from = node->args[i]->expr->as.string.value;

        if (!is_label_name(from))
            return error_set(err, ERR_INVALID,
                             "invalid source label name in label_join(): " STR_FMT, STR_ARG(from));
    }
    if (!is_label_name(to))
        return error_set(err, ERR_INVALID,
                         "invalid destination label name in label_join(): " STR_FMT, STR_ARG(to));
    TRY(relabel_begin(eval, node, grid, &inner, &relabel, err));
    TRY(join_all(eval, node, &inner, &relabel, err));
    return relabelled(eval, &inner, relabel.labels, relabel.drops, out, err);
}
