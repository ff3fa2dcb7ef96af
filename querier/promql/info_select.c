#include "querier/promql/info_select.h"

#include "querier/promql/eval_internal.h"
#include "querier/promql/label_ops.h"

enum { ID_VALUES_BYTES_MAX = 64 << 10 };

static ErrCode default_name(Eval *eval, MatchOp op, Str value, Matcher *out, Error *err) {
    return matcher_new(eval->arena, op, STR("__name__"), value, out, err);
}

/* Without a positive matcher of the name any metric ending in _info is meant; without any,
 * target_info. */
static ErrCode complete_names(Eval *eval, Info *info, Error *err) {
    Matcher *all;

    for (size_t i = 0; i < info->name_matcher_count; i++)
        if (info->name_matchers[i].op == MATCH_EQUAL || info->name_matchers[i].op == MATCH_REGEX)
            return ERR_OK;
    all = ARENA_ARRAY(eval->arena, Matcher, info->name_matcher_count + 1);
    if (all == NULL) return eval_out_of_memory(err);
    if (info->name_matcher_count == 0)
        TRY(default_name(eval, MATCH_EQUAL, STR("target_info"), &all[0], err));
    else
        TRY(default_name(eval, MATCH_REGEX, STR(".+_info"), &all[0], err));
    for (size_t i = 0; i < info->name_matcher_count; i++) all[i + 1] = info->name_matchers[i];
    info->name_matchers = all;
    info->name_matcher_count++;
    return ERR_OK;
}

ErrCode info_matchers(Eval *eval, const Node *call, Info *out, Error *err) {
    const PromqlExpr *selector = call->arg_count > 1 ? call->args[1]->expr : NULL;
    size_t count = selector == NULL ? 0 : selector->as.selector.matcher_count;

    *out = (Info){.name_matchers = ARENA_ARRAY(eval->arena, Matcher, count + 1),
                  .data_matchers = ARENA_ARRAY(eval->arena, Matcher, count + 1)};
    if (out->name_matchers == NULL || out->data_matchers == NULL) return eval_out_of_memory(err);
    for (size_t i = 0; i < count; i++) {
        const Matcher *m = &selector->as.selector.matchers[i];

        if (str_equal(m->name, STR("__name__")))
            out->name_matchers[out->name_matcher_count++] = *m;
        else
            out->data_matchers[out->data_matcher_count++] = *m;
    }
    return complete_names(eval, out, err);
}

static void append_escaped(Buf *out, Str s) {
    for (size_t i = 0; i < s.len; i++) {
        if (strchr("\\.+*?()|[]{}^$", s.ptr[i]) != NULL && s.ptr[i] != '\0')
            buf_append_byte(out, '\\');
        buf_append_byte(out, s.ptr[i]);
    }
}

/* A matcher of the values that an identifying label has in `base`, also of none where series have
 * only the `other`. There may be too many of them: then there is none, and what is read in vain is
 * left out later. */
static ErrCode id_matcher(Eval *eval, const Vector *base, const bool *ignored, uint32_t name,
                          uint32_t other, Matcher *out, bool *ret_any, bool *ret_made, Error *err) {
    bool *seen = ARENA_ARRAY(eval->arena, bool, symbols_count(eval->symbols));
    ErrCode code = ERR_OK;
    Buf text;

    *ret_any = *ret_made = false;
    if (seen == NULL) return eval_out_of_memory(err);
    buf_init(&text, ID_VALUES_BYTES_MAX);
    for (size_t i = 0; i < base->count; i++) {
        uint32_t value = label_set_get(base->labels[i], name);

        if (ignored[i] || seen[value]) continue;
        if (value == SYMBOL_EMPTY && label_set_get(base->labels[i], other) == SYMBOL_EMPTY)
            continue;
        seen[value] = true;
        if (*ret_any) buf_append_byte(&text, '|');
        append_escaped(&text, symbols_str(eval->symbols, value));
        *ret_any = true;
    }
    if (*ret_any && !buf_failed(&text)) {
        Str pattern = str_dup(eval->arena, buf_str(&text));

        *ret_made = true;
        code = pattern.ptr == NULL
                   ? eval_out_of_memory(err)
                   : matcher_new(eval->arena, MATCH_REGEX, symbols_str(eval->symbols, name),
                                 pattern, out, err);
        if (code == ERR_INVALID) *ret_made = false; /* too large for a pattern */
        if (code == ERR_INVALID) code = ERR_OK;
    }
    buf_done(&text);
    return code;
}

static ErrCode read_series(Eval *eval, const Node *call, const Grid *grid, SelectRequest *request,
                           Vector *out, Error *err) {
    /* Info series are read at the time that the base series are read at. */
    SelectorTime time = node_selector_time(call->args[0]);
    StepTimes steps = {grid->start_ms, grid->step_ms, grid->steps};
    SeriesSet *set = ARENA_NEW(eval->arena, SeriesSet);
    Stream stream;

    if (set == NULL) return eval_out_of_memory(err);
    if (time.uniform) {
        steps.start_ms = (time.has_at ? time.at_ms : grid->start_ms) - time.offset_ms;
        if (time.has_at) steps.step_ms = 0;
    }
    request->min_ms = steps.start_ms - eval->lookback_ms + 1;
    request->max_ms = step_time_last(&steps);
    TRY(eval->source->select(eval->source, eval->query, request, set, err));
    TRY(selector_times(eval, set, &steps, grid, &stream, err));
    return stream_collect(eval, &stream, out, err);
}

ErrCode info_select(Eval *eval, const Node *call, const Grid *grid, const Vector *base,
                    const bool *ignored, const uint32_t id_names[static 2], const Info *info,
                    Vector *out, Error *err) {
    size_t most = info->name_matcher_count + info->data_matcher_count + 2, count = 0;
    Matcher *matchers = ARENA_ARRAY(eval->arena, Matcher, most);
    bool any_id = false;
    SelectRequest request;

    if (matchers == NULL) return eval_out_of_memory(err);
    for (int i = 0; i < 2; i++) {
        bool any, made;

        TRY(id_matcher(eval, base, ignored, id_names[i], id_names[1 - i], &matchers[count], &any,
                       &made, err));
        any_id |= any;
        count += made;
    }
    if (!any_id) return vector_new(eval, 0, out, err);
    for (size_t i = 0; i < info->data_matcher_count; i++)
        matchers[count++] = info->data_matchers[i];
    for (size_t i = 0; i < info->name_matcher_count; i++)
        matchers[count++] = info->name_matchers[i];
    request = (SelectRequest){.matchers = matchers, .matcher_count = count};
    return read_series(eval, call, grid, &request, out, err);
}

ErrCode info_metrics(Eval *eval, const Vector *series, Info *info, Error *err) {
    bool *seen = ARENA_ARRAY(eval->arena, bool, symbols_count(eval->symbols));

    info->metrics = arena_alloc(eval->arena, MAX(series->count, 1) * sizeof(uint32_t));
    if (seen == NULL || info->metrics == NULL) return eval_out_of_memory(err);
    for (size_t i = 0; i < series->count; i++) {
        uint32_t name = label_set_get(series->labels[i], SYMBOL_NAME);

        if (seen[name]) continue;
        seen[name] = true;
        info->metrics[info->metric_count++] = name;
    }
    return ERR_OK;
}
