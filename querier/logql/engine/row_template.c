#include "querier/logql/engine/row_stage.h"

bool row_template_field(Str text, size_t *at, Str *name) {
    (void)text, (void)at, (void)name;
    return false;
}
ErrCode row_line_format(Arena *arena, Str text, RowStage *out, Error *err) {
    (void)arena, (void)text, (void)out;
    return error_set(err, ERR_UNSUPPORTED, "templates are not compiled yet");
}

typedef struct Renames {
    const LogqlStage *stage;
} Renames;

static bool run_renames(const RowStage *stage, RowRun *run) {
    const LogqlStage *from = stage->data;

    for (size_t i = 0; i < from->as.label_format.count; i++) {
        const LogqlLabelFormat *format = &from->as.label_format.formats[i];
        Str value;

        if (!row_labels_get(&run->labels, format->value, &value)) continue;
        row_labels_set(&run->labels, ROW_PARSED, format->name, value);
        row_labels_delete(&run->labels, format->value);
    }
    return true;
}

ErrCode row_label_format(Arena *arena, const LogqlStage *stage, RowStage *out, Error *err) {
    (void)arena;
    for (size_t i = 0; i < stage->as.label_format.count; i++)
        if (!stage->as.label_format.formats[i].rename)
            return error_set(err, ERR_UNSUPPORTED, "templates are not compiled yet");
    *out = (RowStage){run_renames, stage};
    return ERR_OK;
}
