/*
 * labels.c: a source's label pairs in the query's symbols, and what a federated query adds to them.
 */
#include "querier/fetch/internal.h"

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "the query's memory limit is reached");
}

ErrCode fetch_map_pairs(QueryContext *query, const LabelPair *pairs, size_t count, Label **out,
                        Error *err) {
    Label *map = ARENA_ARRAY(query->arena, Label, count);
    Str last_name = {0};
    uint32_t last_id = SYMBOL_NONE;

    if (map == NULL) return out_of_memory(err);
    for (size_t p = 0; p < count; p++) {
        LabelPair pair = pairs[p];

        /* Dictionaries are mostly in order of names, so the last name is often this one too. */
        if (last_id == SYMBOL_NONE || !str_equal(pair.name, last_name)) {
            last_id = symbols_add_borrowed(query->symbols, pair.name);
            last_name = pair.name;
        }
        map[p].name = last_id;
        map[p].value = symbols_add_borrowed(query->symbols, pair.value);
        if (map[p].name == SYMBOL_NONE || map[p].value == SYMBOL_NONE) return out_of_memory(err);
    }
    *out = map;
    return ERR_OK;
}

static void insert_label(const Symbols *symbols, Label label, Label *out, uint32_t count) {
    Str name = symbols_str(symbols, label.name);

    for (; count > 0 && str_compare(symbols_str(symbols, out[count - 1].name), name) > 0; count--)
        out[count] = out[count - 1];
    out[count] = label;
}

uint32_t fetch_write_labels(const Symbols *symbols, const Label *map, const uint32_t *pairs,
                            uint32_t pair_count, const TenantLabels *federated, Label *out) {
    uint32_t count = 0;
    Label own = {0};

    if (federated == NULL) {
        for (uint32_t i = 0; i < pair_count; i++) out[i] = map[pairs[i]];
        return pair_count;
    }
    for (uint32_t i = 0; i < pair_count; i++) {
        Label label = map[pairs[i]];

        if (label.name == federated->tenant.name)
            own = label;
        else
            out[count++] = label;
    }
    insert_label(symbols, federated->tenant, out, count++);
    if (own.value == SYMBOL_EMPTY) return count;
    own.name = federated->own_name;
    insert_label(symbols, own, out, count++);
    return count;
}

ErrCode fetch_tenant_labels(QueryContext *query, Str tenant, TenantLabels *out, Error *err) {
    out->tenant.name = symbols_add_borrowed(query->symbols, TENANT_LABEL);
    out->tenant.value = symbols_add_borrowed(query->symbols, tenant);
    out->own_name = symbols_add_borrowed(query->symbols, TENANT_LABEL_OWN);
    if (out->tenant.name == SYMBOL_NONE || out->tenant.value == SYMBOL_NONE ||
        out->own_name == SYMBOL_NONE)
        return out_of_memory(err);
    return ERR_OK;
}
