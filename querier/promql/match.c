#include "querier/promql/match.h"

static ErrCode side_alloc(MatchSide *side, const Vector *vector, const Grid *grid, Arena *arena,
                          Error *err) {
    side->group = arena_alloc(arena, MAX(vector->count, 1) * sizeof(uint32_t));
    side->series = arena_alloc(arena, MAX(vector->count, 1) * sizeof(uint32_t));
    side->any = arena_alloc(arena, MAX(vector->count, 1) * sizeof(uint64_t *));
    if (side->group == NULL || side->series == NULL || side->any == NULL)
        return eval_out_of_memory(err);
    for (size_t i = 0; i < vector->count; i++) {
        const Column *column = &vector->columns[i];

        side->any[i] = column->present;
        if (column->hists == NULL) continue;
        side->any[i] = arena_alloc(arena, grid_words(grid) * sizeof(uint64_t));
        if (side->any[i] == NULL) return eval_out_of_memory(err);
        memcpy(side->any[i], column->present, grid_words(grid) * sizeof(uint64_t));
        for (uint32_t s = 0; s < grid->steps; s++)
            if (column->hists[s] != NULL) bits_set(side->any[i], s);
    }
    return ERR_OK;
}

/* The signature: labels of on(), or all but those of ignoring() and the name. */
static uint32_t signature(const Match *match, LabelSet set, Label *buffer) {
    const PromqlMatching *m = match->matching;
    uint32_t n = 0;

    for (uint32_t i = 0; i < set.count; i++) {
        uint32_t name = set.labels[i].name;
        bool listed = !m->on && name == SYMBOL_NAME;

        for (size_t k = 0; k < m->label_count; k++) listed |= match->names[k] == name;
        if (listed == m->on) buffer[n++] = set.labels[i];
    }
    return n;
}

static ErrCode group_side(Match *match, MatchSide *side, const Vector *vector, LabelTable *table,
                          Error *err) {
    uint32_t widest = 0;
    Label *buffer;

    for (size_t i = 0; i < vector->count; i++) widest = MAX(widest, vector->labels[i].count);
    buffer = arena_alloc(table->arena, MAX(widest, 1) * sizeof *buffer);
    if (buffer == NULL) return eval_out_of_memory(err);
    for (size_t i = 0; i < vector->count; i++) {
        LabelSet set = {buffer, signature(match, vector->labels[i], buffer)};

        side->group[i] = label_table_add(table, set, true);
        if (side->group[i] == SYMBOL_NONE) return eval_out_of_memory(err);
    }
    return ERR_OK;
}

/* Lists of each group's series, by counting. */
static ErrCode list_side(MatchSide *side, size_t count, uint32_t groups, Arena *arena, Error *err) {
    side->start = ARENA_ARRAY(arena, uint32_t, (size_t)groups + 2);
    if (side->start == NULL) return eval_out_of_memory(err);
    for (size_t i = 0; i < count; i++) side->start[side->group[i] + 2]++;
    for (uint32_t g = 0; g < groups; g++) side->start[g + 2] += side->start[g + 1];
    for (size_t i = 0; i < count; i++)
        side->series[side->start[side->group[i] + 1]++] = (uint32_t)i;
    return ERR_OK;
}

ErrCode match_make(Eval *eval, const PromqlMatching *matching, const Vector *left,
                   const Vector *right, const Grid *grid, Arena *arena, Match *out, Error *err) {
    const Vector *vectors[2] = {left, right};
    LabelTable table;

    *out = (Match){.matching = matching};
    if (!labels_names(eval->symbols, eval->arena, matching->labels, matching->label_count,
                      &out->names) ||
        !label_table_init(&table, arena, left->count + right->count))
        return eval_out_of_memory(err);
    for (int s = 0; s < 2; s++) {
        TRY(side_alloc(&out->side[s], vectors[s], grid, arena, err));
        TRY(group_side(out, &out->side[s], vectors[s], &table, err));
    }
    out->groups = table.count;
    for (int s = 0; s < 2; s++)
        TRY(list_side(&out->side[s], vectors[s]->count, out->groups, arena, err));
    return ERR_OK;
}

bool match_labels(const Match *match, Arena *arena, LabelSet set, LabelSet *out) {
    Label *buffer = arena_alloc(arena, MAX(set.count, 1) * sizeof *buffer);

    if (buffer == NULL) return false;
    *out = (LabelSet){buffer, signature(match, set, buffer)};
    return true;
}

uint64_t *match_any(const MatchSide *side, size_t count, const Grid *grid, Arena *arena) {
    uint64_t *any = ARENA_ARRAY(arena, uint64_t, grid_words(grid));

    for (size_t i = 0; any != NULL && i < count; i++)
        for (uint32_t w = 0; w < grid_words(grid); w++) any[w] |= side->any[i][w];
    return any;
}
