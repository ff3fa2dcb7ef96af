#include "querier/logql/engine/row_layout.h"

#include <stdatomic.h>

/* Of memory that is left, each of many threads may hold a part. */
enum {
    LAYOUT_BYTES_MIN = 1 << 20,
    LAYOUT_BYTES_MAX = 16 << 20,
    LAYOUT_PART = 32,
    ESCAPE_BYTES = 5,
};

/* A shape's, by stage. */
typedef struct Note {
    const RowLayout *layouts[ROW_LAYOUT_STAGES];
} Note;

struct RowRecorder {
    RowRun *run;
    const LogShape *shape;
    Str line;
    const uint32_t *at; /* where each part begins in it, and where the last one ends */
    RowField *fields;
    size_t count, capacity;
    bool irregular;
    bool failed; /* out of memory */
};

uint64_t row_stamp(void) {
    static _Atomic uint64_t last;

    return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

static bool fail(RowRun *run, ErrCode code) {
    if (code != ERR_OK && run->code == ERR_OK) run->code = code;
    run->labels.failed = true;
    return false;
}

Str row_line_put(RowRun *run) {
    ErrCode code = log_text_line(run->text, run->row, run->labels.scratch, &run->line, &run->err);

    if (code != ERR_OK) {
        (void)fail(run, code);
        run->line = (Str){"", 0};
    }
    run->whole = true;
    return run->line;
}

bool row_field_text(RowRun *run, const RowField *field, Str *out) {
    ErrCode code =
        log_text_span(run->text, run->row, &field->span, run->labels.scratch, out, &run->err);

    return code == ERR_OK || fail(run, code);
}

/* ---- places ---- */

/* The part that has byte `at` of the line. */
static uint32_t part_at(const RowRecorder *r, size_t at) {
    uint32_t low = 0, high = r->shape->part_count;

    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;

        if (r->at[middle] <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static bool is_in_line(const RowRecorder *r, Str part) {
    return part.ptr >= r->line.ptr && part.ptr + part.len <= r->line.ptr + r->line.len;
}

/* False: variables reach across an end of it, or it isn't in the line. */
static bool find_span(const RowRecorder *r, Str part, LogSpan *out) {
    const LogShapePart *parts = r->shape->parts;
    size_t from, to;

    if (part.len == 0 || !is_in_line(r, part)) return false;
    from = (size_t)(part.ptr - r->line.ptr);
    to = from + part.len;
    out->first = part_at(r, from);
    out->end = part_at(r, to - 1) + 1;
    out->skip = (uint32_t)from - r->at[out->first];
    out->cut = r->at[out->end] - (uint32_t)to;
    return (out->skip == 0 || parts[out->first].kind == LOG_PART_TEXT) &&
           (out->cut == 0 || parts[out->end - 1].kind == LOG_PART_TEXT);
}

bool row_recorder_is_constant(const RowRecorder *r, Str part) {
    size_t from, to;

    if (part.len == 0) return true;
    if (!is_in_line(r, part)) return false;
    from = (size_t)(part.ptr - r->line.ptr);
    to = from + part.len;
    for (uint32_t p = part_at(r, from); p < r->shape->part_count && r->at[p] < to; p++)
        if (r->shape->parts[p].kind != LOG_PART_TEXT) return false;
    return true;
}

/* Variables in it are numbers: they begin with a digit and hold no comma or colon. */
static bool holds_numbers(const RowRecorder *r, Str part) {
    size_t from = (size_t)(part.ptr - r->line.ptr), to = from + part.len;

    for (uint32_t p = part_at(r, from); p < r->shape->part_count && r->at[p] < to; p++)
        if (r->shape->parts[p].kind == LOG_PART_WORD) return false;
    return true;
}

/* ---- recording ---- */

void row_recorder_irregular(RowRecorder *r) {
    r->irregular = true;
}

void row_recorder_constant(RowRecorder *r, Str part) {
    r->irregular = r->irregular || !row_recorder_is_constant(r, part);
}

void row_recorder_json(RowRecorder *r, Str key, const RowJson *value) {
    row_recorder_constant(r, key);
    if (value->kind == ROW_JSON_NUMBER || value->kind == ROW_JSON_BOOLEAN ||
        value->kind == ROW_JSON_NULL)
        r->irregular = r->irregular || !holds_numbers(r, value->text);
}

void row_recorder_field(RowRecorder *r, Str name, const RowJson *value) {
    Arena *arena = r->run->layouts;
    RowField field = {.name = str_dup(arena, name), .kind = value->kind, .plain = value->plain};

    if (row_recorder_is_constant(r, value->text)) {
        Str text = row_json_text(r->run->labels.scratch, value);

        field.constant = true;
        field.text = str_dup(arena, text);
        r->failed = r->failed || field.text.ptr == NULL;
    } else if (!find_span(r, value->text, &field.span)) {
        r->irregular = true;
    }
    if (r->count == r->capacity) {
        size_t more = MAX(r->capacity * 2, 4);
        RowField *grown = arena_grow(r->run->labels.scratch, r->fields, r->capacity * sizeof *grown,
                                     more * sizeof *grown);

        r->failed = r->failed || grown == NULL;
        if (grown == NULL) return;
        r->fields = grown;
        r->capacity = more;
    }
    r->failed = r->failed || field.name.ptr == NULL;
    r->fields[r->count++] = field;
}

/* A variable behind a backslash would say what the escape is. */
static bool is_escaped(const RowRecorder *r, uint32_t part) {
    for (uint32_t at = r->at[part]; at > 0 && at + ESCAPE_BYTES > r->at[part]; at--)
        if (r->line.ptr[at - 1] == '\\') return true;
    return false;
}

/* A line of the shape: what its variables are makes no difference, so they are of one byte. */
static bool make_line(RowRecorder *r) {
    const LogShape *shape = r->shape;
    Arena *scratch = r->run->labels.scratch;
    uint32_t *at = arena_alloc(scratch, ((size_t)shape->part_count + 1) * sizeof *at);
    size_t bytes = 0;
    char *line;

    for (uint32_t p = 0; p < shape->part_count; p++)
        bytes += shape->parts[p].kind == LOG_PART_TEXT ? shape->parts[p].length : 1;
    line = arena_alloc_bytes(scratch, bytes + 1);
    if (at == NULL || line == NULL) return fail(r->run, ERR_OK);
    bytes = 0;
    for (uint32_t p = 0; p < shape->part_count; p++) {
        const LogShapePart *part = &shape->parts[p];

        at[p] = (uint32_t)bytes;
        if (part->kind == LOG_PART_TEXT)
            memcpy(line + bytes, shape->text + part->at, part->length);
        else
            line[bytes] = part->kind == LOG_PART_NUMBER ? '1' : 'a';
        bytes += part->kind == LOG_PART_TEXT ? part->length : 1;
    }
    at[shape->part_count] = (uint32_t)bytes;
    r->line = (Str){line, bytes};
    r->at = at;
    for (uint32_t p = 0; p < shape->part_count && !r->irregular; p++)
        r->irregular = shape->parts[p].kind != LOG_PART_TEXT && is_escaped(r, p);
    return true;
}

static const RowLayout *make_layout(const RowStage *stage, RowRun *run, const LogShape *shape,
                                    RowRecord *record) {
    RowRecorder r = {.run = run, .shape = shape};
    RowLayout *layout = ARENA_NEW(run->layouts, RowLayout);
    RowField *fields;

    if (layout == NULL) (void)fail(run, ERR_OK);
    if (layout == NULL || !make_line(&r)) return NULL;
    if (r.irregular || r.line.len == 0 || !record(stage, run, r.line, &r) || r.irregular)
        return layout;
    fields = arena_alloc(run->layouts, (r.count + 1) * sizeof *fields);
    if (fields == NULL || r.failed) {
        (void)fail(run, ERR_OK);
        return NULL;
    }
    if (r.count > 0) memcpy(fields, r.fields, r.count * sizeof *fields);
    *layout = (RowLayout){fields, r.count, true};
    return layout;
}

/* The shape's note; NULL: out of memory. */
static Note *note_of(RowRun *run, LogShape *shape) {
    size_t room;
    Note *note;

    if (shape->note_stamp == run->stamp) return (Note *)(uintptr_t)shape->note; /* ours */
    room = budget_room(arena_budget(run->layouts)) / LAYOUT_PART;
    if (arena_used(run->layouts) >
        MIN(MAX(room, (size_t)LAYOUT_BYTES_MIN), (size_t)LAYOUT_BYTES_MAX)) {
        arena_reset(run->layouts);
        run->stamp = row_stamp();
    }
    note = ARENA_NEW(run->layouts, Note);
    if (note == NULL) {
        (void)fail(run, ERR_OK);
        return NULL;
    }
    shape->note = note;
    shape->note_stamp = run->stamp;
    return note;
}

const RowLayout *row_layout(const RowStage *stage, RowRun *run, RowRecord *record) {
    LogShape *shape;
    ErrCode code;
    Note *note;

    if (run->text == NULL || stage->number >= ROW_LAYOUT_STAGES) return NULL;
    code = log_text_shape(run->text, run->row, &shape, &run->err);
    if (code != ERR_OK) {
        (void)fail(run, code);
        return NULL;
    }
    note = note_of(run, shape);
    if (note == NULL) return NULL;
    if (note->layouts[stage->number] == NULL)
        note->layouts[stage->number] = make_layout(stage, run, shape, record);
    return note->layouts[stage->number] != NULL && note->layouts[stage->number]->regular
               ? note->layouts[stage->number]
               : NULL;
}
