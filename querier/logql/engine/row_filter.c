/*
 * row_filter.c: filters of labels, and stages that only keep or change labels.
 */
#include "querier/logql/engine/row_stage.h"
#include "querier/logql/units.h"

/* ---- label filters ---- */

/* The tree is the parser's; addresses, which have to be compiled, stand beside it. */
typedef struct Address {
    const LogqlLabelFilter *filter;
    RowIp ip;
} Address;

typedef struct LabelFilter {
    const LogqlLabelFilter *root;
    Address *addresses;
    size_t count;
} LabelFilter;

static bool compare(LogqlCompare compare, double order) {
    switch (compare) {
    case LOGQL_EQUAL:
        return order == 0;
    case LOGQL_NOT_EQUAL:
        return order != 0;
    case LOGQL_GREATER:
        return order > 0;
    case LOGQL_GREATER_EQUAL:
        return order >= 0;
    case LOGQL_LESS:
        return order < 0;
    case LOGQL_LESS_EQUAL:
        return order <= 0;
    }
    return false;
}

static bool compare_numbers(LogqlCompare op, double a, double b) {
    /* What is no number differs from everything and compares with nothing. */
    if (a != a || b != b) return op == LOGQL_NOT_EQUAL;
    return compare(op, (a > b) - (a < b));
}

/* A value that is none is an error, and the entry stays. */
static bool unreadable(RowLabels *labels, const char *what, Str value) {
    Str details;

    if (labels->error.len > 0) return true;
    details = str_format(labels->scratch, "%s \"" STR_FMT "\"%s", what, STR_ARG(value),
                         what[0] == 's' ? ": invalid syntax" : "");
    labels->error = STR("LabelFilterErr");
    labels->details = details.ptr == NULL ? (Str){"", 0} : details;
    labels->touched = true;
    return true;
}

/* Loki takes `text.*` and `.*text` behind a label's =~ for "has the text in it", which a selector's
 * =~ does not; what its users' filters find today depends on it. */
bool row_match_is_loose(const Matcher *match) {
    return (match->op == MATCH_REGEX || match->op == MATCH_NOT_REGEX) &&
           (match->shape == MATCH_SHAPE_PREFIX || match->shape == MATCH_SHAPE_SUFFIX) &&
           match->before + match->after == 0 && match->part.len > 0;
}

static bool match_label(RowLabels *labels, const Matcher *match) {
    Str value = labels->error;

    if (!str_equal(match->name, ROW_ERROR)) (void)row_labels_get(labels, match->name, &value);
    if (!row_match_is_loose(match)) return matcher_matches(match, value);
    return (value.len > 0 && memmem(value.ptr, value.len, match->part.ptr, match->part.len) !=
                                 NULL) == (match->op == MATCH_REGEX);
}

static bool match_address(const LabelFilter *all, const LogqlLabelFilter *filter,
                          RowLabels *labels) {
    Str value;

    if (labels->error.len > 0) return true;
    if (!row_labels_get(labels, filter->name, &value)) return false;
    for (size_t i = 0; i < all->count; i++)
        if (all->addresses[i].filter == filter)
            return row_ip_in_text(&all->addresses[i].ip, value) == (filter->compare == LOGQL_EQUAL);
    return false;
}

static bool match_value(const LogqlLabelFilter *filter, RowLabels *labels) {
    uint64_t bytes;
    double number;
    int64_t ns;
    Str value;

    if (!row_labels_get(labels, filter->name, &value)) return false;
    if (filter->kind == LOGQL_FILTER_NUMBER) {
        if (!str_to_double(value, &number))
            return unreadable(labels, "strconv.ParseFloat: parsing", value);
        return compare_numbers(filter->compare, number, filter->as.number);
    }
    if (filter->kind == LOGQL_FILTER_DURATION) {
        if (!logql_parse_go_duration(value, &ns))
            return unreadable(labels, "time: invalid duration", value);
        return compare(filter->compare,
                       (ns > filter->as.duration_ns) - (ns < filter->as.duration_ns));
    }
    if (!logql_parse_bytes(value, &bytes))
        return unreadable(labels, "strconv.ParseFloat: parsing", value);
    return compare(filter->compare, (bytes > filter->as.bytes) - (bytes < filter->as.bytes));
}

static bool matches(const LabelFilter *all, const LogqlLabelFilter *filter, RowLabels *labels) {
    bool left, right;

    switch (filter->kind) {
    case LOGQL_FILTER_MATCH:
        return match_label(labels, filter->as.match);
    case LOGQL_FILTER_IP:
        return match_address(all, filter, labels);
    case LOGQL_FILTER_AND:
        /* Both sides are looked at: the right may find an error. */
        left = matches(all, filter->as.pair.left, labels);
        right = matches(all, filter->as.pair.right, labels);
        return left && right;
    case LOGQL_FILTER_OR:
        return matches(all, filter->as.pair.left, labels) ||
               matches(all, filter->as.pair.right, labels);
    default:
        return match_value(filter, labels);
    }
}

bool row_filter_holds(const RowStage *filter, RowLabels *labels) {
    const LabelFilter *compiled = filter->data;

    return matches(compiled, compiled->root, labels);
}

static bool run_label_filter(const RowStage *stage, RowRun *run) {
    return row_filter_holds(stage, &run->labels);
}

static size_t count_addresses(const LogqlLabelFilter *filter) {
    if (filter->kind == LOGQL_FILTER_AND || filter->kind == LOGQL_FILTER_OR)
        return count_addresses(filter->as.pair.left) + count_addresses(filter->as.pair.right);
    return filter->kind == LOGQL_FILTER_IP;
}

static ErrCode compile_addresses(LabelFilter *out, const LogqlLabelFilter *filter, Error *err) {
    if (filter->kind == LOGQL_FILTER_AND || filter->kind == LOGQL_FILTER_OR) {
        TRY(compile_addresses(out, filter->as.pair.left, err));
        return compile_addresses(out, filter->as.pair.right, err);
    }
    if (filter->kind != LOGQL_FILTER_IP) return ERR_OK;
    out->addresses[out->count].filter = filter;
    return row_ip_parse(filter->as.ip, &out->addresses[out->count++].ip, err);
}

ErrCode row_label_filter(Arena *arena, const LogqlLabelFilter *filter, RowStage *out, Error *err) {
    LabelFilter *compiled = ARENA_NEW(arena, LabelFilter);

    if (compiled == NULL) return logql_out_of_memory(err);
    compiled->root = filter;
    compiled->addresses = ARENA_ARRAY(arena, Address, count_addresses(filter) + 1);
    if (compiled->addresses == NULL) return logql_out_of_memory(err);
    TRY(compile_addresses(compiled, filter, err));
    *out = (RowStage){.run = run_label_filter, .data = compiled};
    return ERR_OK;
}

/* ---- drop and keep ---- */

static bool run_drop(const RowStage *stage, RowRun *run) {
    const LogqlStage *from = stage->data;
    RowLabels *labels = &run->labels;

    for (size_t i = 0; i < from->as.names.count; i++) {
        const LogqlNamed *named = &from->as.names.names[i];
        bool error = str_equal(named->name, ROW_ERROR);
        Str value = error ? labels->error : labels->details;
        bool there = true;

        if (!error && !str_equal(named->name, ROW_ERROR_DETAILS)) {
            there = row_labels_get(labels, named->name, &value);
            if (named->match != NULL ? matcher_matches(named->match, value) : there)
                row_labels_delete(labels, named->name);
            continue;
        }
        if (named->match != NULL && !matcher_matches(named->match, value)) continue;
        if (error)
            labels->error = (Str){"", 0};
        else
            labels->details = (Str){"", 0};
    }
    return true;
}

static bool is_kept(const LogqlStage *stage, LabelPair pair) {
    if (str_equal(pair.name, ROW_ERROR) || str_equal(pair.name, ROW_ERROR_DETAILS) ||
        str_equal(pair.name, ROW_PRESERVE))
        return true;
    for (size_t i = 0; i < stage->as.names.count; i++) {
        const LogqlNamed *named = &stage->as.names.names[i];

        if (str_equal(named->name, pair.name) &&
            (named->match == NULL || matcher_matches(named->match, pair.value)))
            return true;
    }
    return false;
}

static bool run_keep(const RowStage *stage, RowRun *run) {
    RowSorted sorted;

    if (!row_labels_sorted(&run->labels, &sorted)) return true;
    for (size_t c = 0; c < ROW_CATEGORIES; c++)
        for (size_t i = 0; i < sorted.categories[c].count; i++)
            if (!is_kept(stage->data, sorted.categories[c].pairs[i]))
                row_labels_delete(&run->labels, sorted.categories[c].pairs[i].name);
    return true;
}

ErrCode row_drop_keep(const LogqlStage *stage, RowStage *out) {
    *out = (RowStage){.run = stage->kind == LOGQL_STAGE_DROP ? run_drop : run_keep, .data = stage};
    return ERR_OK;
}

/* ---- decolorize ---- */

static bool run_decolorize(const RowStage *stage, RowRun *run) {
    const Regex *regex = stage->data;
    Str line = row_line(run), found;
    char *out = NULL;
    size_t n = 0, at = 0;

    while (at < line.len && regex_find(regex, line, at, &found, 1)) {
        size_t start = (size_t)(found.ptr - line.ptr);

        if (out == NULL) out = arena_alloc_bytes(run->labels.scratch, line.len);
        if (out == NULL || found.len == 0) break;
        memcpy(out + n, line.ptr + at, start - at);
        n += start - at;
        at = start + found.len;
    }
    if (out == NULL) return true;
    memcpy(out + n, line.ptr + at, line.len - at);
    row_line_set(run, (Str){out, n + line.len - at});
    return true;
}

ErrCode row_decolorize(Arena *arena, RowStage *out, Error *err) {
    const Regex *regex = NULL;

    /* Control sequences of terminals: https://en.wikipedia.org/wiki/ANSI_escape_code */
    TRY(row_regex_new(arena,
                      STR("[\\x{1b}\\x{9b}][\\[\\]()#;?]*(?:(?:(?:[a-zA-Z\\d]*(?:;[a-zA-Z\\d]*)*)?"
                          "\\x{07})|(?:(?:\\d{1,4}(?:;\\d{0,4})*)?[\\dA-PRZcf-ntqry=><~]))"),
                      &regex, err));
    *out = (RowStage){.run = run_decolorize, .data = regex};
    return ERR_OK;
}
