#include "querier/promql/label_ops.h"

bool labels_drop_metadata(const Eval *eval, Arena *arena, LabelSet set, LabelSet *out) {
    uint32_t names[] = {SYMBOL_NAME, eval->type_symbol, eval->unit_symbol};

    for (uint32_t i = 0; i < set.count; i++)
        for (size_t n = 0; n < ARRAY_LEN(names); n++)
            if (set.labels[i].name == names[n])
                return labels_drop(arena, set, names, ARRAY_LEN(names), out);
    *out = set;
    return true;
}
