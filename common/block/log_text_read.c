/*
 * log_text_read.c: a page's templates, which of them each row has, and columns of variables.
 *
 * Only columns are decoded that somebody asks for. A variable's place in its column is how many
 * came before it: those of rows before are counted once for all rows when a column is decoded,
 * those in the same line once for all templates.
 */
#include <string.h>

#include "common/block/log_shape.h"
#include "common/block/log_text.h"

enum { FEW_MAX = 256 };

/* ---------- opening ---------- */

/* Finds a template's variables: `columns` says which column each goes to. */
static ErrCode take_slots(LogTemplate *template, const uint8_t *columns, LogSlot *slots,
                          uint32_t var_count, Error *err) {
    Str text = template->text;
    uint32_t n = 0;

    for (size_t at = 0; at < text.len;) {
        const char *mark = memchr(text.ptr + at, LOG_MARK, text.len - at);
        uint16_t column;

        if (mark == NULL) break;
        at = (size_t)(mark - text.ptr);
        if (text.len - at < 2) return log_page_corrupt(err, "a bad template");
        if (text.ptr[at + 1] == 0) {
            template->has_marks = true;
            at += 2;
            continue;
        }
        if (text.len - at < 3 || n == template->slot_count ||
            !log_var_is_known((uint8_t)text.ptr[at + 1], (uint8_t)text.ptr[at + 2]))
            return log_page_corrupt(err, "a bad template");
        memcpy(&column, columns + 2 * (size_t)n, sizeof column);
        if (column >= var_count) return log_page_corrupt(err, "a column is missing");
        slots[n++] = (LogSlot){.at = (uint32_t)at,
                               .column = column,
                               .type = (uint8_t)text.ptr[at + 1],
                               .param = (uint8_t)text.ptr[at + 2]};
        at += 3;
    }
    return n == template->slot_count ? ERR_OK : log_page_corrupt(err, "a bad template");
}

static ErrCode take_templates(LogText *t, Str raw, Error *err) {
    Reader r = reader_of(raw);
    uint64_t count = reader_varint(&r), text = 0, slots = 0;
    const uint8_t *columns;
    Str all_text;
    LogSlot *list;

    /* A template takes two bytes at least. */
    if (r.failed || count == 0 || count > reader_left(&r) / 2 || count > UINT16_MAX + 1u)
        return log_page_corrupt(err, "bad templates");
    t->templates = ARENA_ARRAY(t->decoder->arena, LogTemplate, count);
    if (t->templates == NULL) return log_page_no_memory(err);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t length = reader_varint(&r), of_it = reader_varint(&r);

        if (r.failed || length > reader_left(&r) || of_it > LOG_LINE_VARS_MAX)
            return log_page_corrupt(err, "bad templates");
        t->templates[i].text.len = (size_t)length;
        t->templates[i].slot_count = (uint32_t)of_it;
        t->templates[i].first_slot = (uint32_t)slots;
        text += length;
        slots += of_it;
    }
    all_text = reader_bytes(&r, (size_t)text);
    columns = (const uint8_t *)reader_bytes(&r, (size_t)slots * 2).ptr;
    if (r.failed || !reader_at_end(&r)) return log_page_corrupt(err, "templates are cut off");
    list = arena_alloc(t->decoder->arena, ((size_t)slots + 1) * sizeof *list);
    if (list == NULL) return log_page_no_memory(err);
    t->all_text = all_text;
    for (uint64_t i = 0; i < count; i++) {
        LogTemplate *made = &t->templates[i];

        made->text.ptr = all_text.ptr;
        all_text = str_from(all_text, made->text.len);
        TRY(take_slots(made, columns + 2 * (size_t)made->first_slot, list + made->first_slot,
                       t->var_count, err));
    }
    t->slots = list;
    t->slot_count = (uint32_t)slots;
    t->template_count = (uint32_t)count;
    return ERR_OK;
}

static ErrCode take_rows(LogText *t, const LogColumn *column, Error *err) {
    uint8_t width;
    Reader r;
    Str raw;

    if (column == NULL) return log_page_corrupt(err, "a column is missing");
    TRY(log_column_inflate(t->decoder, column, &raw, err));
    r = reader_of(raw);
    width = reader_u8(&r);
    if (r.failed || width < 1 || width > 2 || reader_left(&r) != (size_t)width * t->rows)
        return log_page_corrupt(err, "bad templates of entries");
    t->low = (const uint8_t *)raw.ptr + 1;
    t->high = width == 1 ? NULL : t->low + t->rows;
    for (uint32_t i = 0; i < t->rows; i++) {
        if (log_text_template(t, i) >= t->template_count)
            return log_page_corrupt(err, "a template is missing");
    }
    return ERR_OK;
}

ErrCode log_text_open(LogDecoder *d, const LogPageColumns *page, unsigned add, const int64_t *times,
                      uint32_t times_first, LogText *out, bool *found, Error *err) {
    const LogColumn *templates = log_column_find(page, LOG_COLUMN_TEMPLATES + add);
    LogText t = {.decoder = d, .rows = page->rows, .times = times, .times_first = times_first};
    Str raw;

    *found = templates != NULL;
    if (templates == NULL) return ERR_OK;
    t.vars = ARENA_ARRAY(d->arena, LogVarData, page->count + 1);
    if (t.vars == NULL) return log_page_no_memory(err);
    for (size_t i = 0; i < page->count; i++) {
        if (page->columns[i].kind == LOG_COLUMN_VARIABLE + add)
            t.vars[t.var_count++].column = &page->columns[i];
    }
    TRY(log_column_inflate(d, templates, &raw, err));
    TRY(take_templates(&t, raw, err));
    TRY(take_rows(&t, log_column_find(page, LOG_COLUMN_TEMPLATE_OF + add), err));
    *out = t;
    return ERR_OK;
}

/* ---------- variables ---------- */

static ErrCode take_few(LogText *t, LogVarData *v, Reader *r, Error *err) {
    uint64_t distinct = reader_varint(r);
    int64_t *values = NULL, *list;
    Str which;

    if (r->failed || distinct == 0 || distinct > FEW_MAX)
        return log_page_corrupt(err, "bad distinct values");
    TRY(log_ints_take(t->decoder, r, (uint32_t)distinct, 0, (uint32_t)distinct, &values, err));
    which = reader_bytes(r, v->count);
    if (r->failed) return log_page_corrupt(err, "a column is cut off");
    list = arena_alloc(t->decoder->arena, ((size_t)v->count + 1) * sizeof *list);
    if (list == NULL) return log_page_no_memory(err);
    for (uint32_t i = 0; i < v->count; i++) {
        uint8_t one = (uint8_t)which.ptr[i];

        if (one >= distinct) return log_page_corrupt(err, "no such distinct value");
        list[i] = values[one];
    }
    v->ints = list;
    return ERR_OK;
}

static ErrCode take_words(LogText *t, LogVarData *v, Reader *r, Error *err) {
    Str lengths = reader_bytes(r, v->count);
    uint32_t *start = arena_alloc(t->decoder->arena, ((size_t)v->count + 1) * sizeof *start);
    uint32_t at = 0;

    if (start == NULL) return log_page_no_memory(err);
    if (r->failed) return log_page_corrupt(err, "a column is cut off");
    for (uint32_t i = 0; i < v->count; i++) {
        start[i] = at;
        at += (uint8_t)lengths.ptr[i];
    }
    start[v->count] = at;
    v->start = start;
    v->bytes = (const uint8_t *)reader_bytes(r, at).ptr;
    return r->failed ? log_page_corrupt(err, "words are cut off") : ERR_OK;
}

static ErrCode take_variables(LogText *t, LogVarData *v, Error *err) {
    uint64_t count;
    uint8_t codec;
    int64_t *ints = NULL;
    Reader r;
    Str raw;

    TRY(log_column_inflate(t->decoder, v->column, &raw, err));
    r = reader_of(raw);
    v->type = reader_u8(&r);
    v->param = reader_u8(&r);
    codec = reader_u8(&r);
    count = reader_varint(&r);
    if (r.failed || !log_var_is_known(v->type, v->param) ||
        count > (uint64_t)t->rows * LOG_LINE_VARS_MAX)
        return log_page_corrupt(err, "bad variables");
    v->count = (uint32_t)count;
    if (codec == LOG_VAR_CODEC_INTS && log_var_is_integer(v->type)) {
        TRY(log_ints_take(t->decoder, &r, v->count, 0, v->count, &ints, err));
        v->ints = ints;
    } else if (codec == LOG_VAR_CODEC_FEW && log_var_is_integer(v->type)) {
        TRY(take_few(t, v, &r, err));
    } else if (codec == LOG_VAR_CODEC_WORDS && v->type == LOG_VAR_WORD) {
        TRY(take_words(t, v, &r, err));
    } else if (codec == LOG_VAR_CODEC_BYTES && log_var_bytes(v->type, v->param) > 0) {
        v->bytes = (const uint8_t *)reader_bytes(&r, log_var_bytes(v->type, v->param) * count).ptr;
    } else {
        return log_page_corrupt(err, "variables of an unknown codec");
    }
    return r.failed || !reader_at_end(&r) ? log_page_corrupt(err, "bad variables") : ERR_OK;
}

/* ---------- places ---------- */

/* Which templates use which column, and where each variable of a template stands among those of its
 * column. */
static ErrCode count_uses(LogText *t, Error *err) {
    Arena *arena = t->decoder->arena;
    LogSlot *slots = (LogSlot *)(uintptr_t)t->slots; /* ours, from take_templates() */
    uint32_t *start = ARENA_ARRAY(arena, uint32_t, (size_t)t->var_count + 2);
    uint32_t *uses = arena_alloc(arena, ((size_t)t->slot_count + 1) * sizeof *uses);
    uint8_t *seen = ARENA_ARRAY(arena, uint8_t, (size_t)t->var_count + 1);

    if (start == NULL || uses == NULL || seen == NULL) return log_page_no_memory(err);
    for (uint32_t i = 0; i < t->template_count; i++) {
        LogSlot *of_it = slots + t->templates[i].first_slot;
        uint32_t count = t->templates[i].slot_count;

        for (uint32_t s = 0; s < count; s++) {
            start[of_it[s].column + 2]++;
            of_it[s].before = seen[of_it[s].column]++;
        }
        for (uint32_t s = 0; s < count; s++) seen[of_it[s].column] = 0;
    }
    for (uint32_t c = 1; c <= t->var_count; c++) start[c + 1] += start[c];
    for (uint32_t i = 0; i < t->template_count; i++) {
        for (uint32_t s = 0; s < t->templates[i].slot_count; s++)
            uses[start[slots[t->templates[i].first_slot + s].column + 1]++] = i << 8 | s;
    }
    t->use_start = start;
    t->uses = uses;
    return ERR_OK;
}

/* A column's variables are of the type that templates say. */
static ErrCode check_types(const LogText *t, uint32_t column, Error *err) {
    const LogVarData *v = &t->vars[column];

    for (uint32_t u = t->use_start[column]; u < t->use_start[column + 1]; u++) {
        const LogSlot *slot =
            &t->slots[t->templates[t->uses[u] >> 8].first_slot + (t->uses[u] & 0xff)];

        if (slot->type != v->type || slot->param != v->param)
            return log_page_corrupt(err, "variables of another type");
    }
    return ERR_OK;
}

static ErrCode count_variables(LogText *t, uint32_t column, Error *err) {
    LogVarData *v = &t->vars[column];
    Arena *arena = t->decoder->arena;
    uint8_t *of_template = ARENA_ARRAY(arena, uint8_t, (size_t)t->template_count + 1);
    uint32_t *before = arena_alloc(arena, ((size_t)t->rows + 1) * sizeof *before);
    uint64_t n = 0;

    if (of_template == NULL || before == NULL) return log_page_no_memory(err);
    for (uint32_t u = t->use_start[column]; u < t->use_start[column + 1]; u++)
        of_template[t->uses[u] >> 8]++;
    for (uint32_t row = 0; row < t->rows; row++) {
        before[row] = (uint32_t)n;
        n += of_template[log_text_template(t, row)];
    }
    if (n > v->count) return log_page_corrupt(err, "a variable is missing");
    v->before = before;
    return ERR_OK;
}

ErrCode log_text_need(LogText *t, uint32_t column, Error *err) {
    LogVarData *v = &t->vars[column];

    if (LIKELY(v->ready)) return ERR_OK;
    if (t->uses == NULL) TRY(count_uses(t, err));
    TRY(take_variables(t, v, err));
    TRY(check_types(t, column, err));
    TRY(count_variables(t, column, err));
    v->ready = true;
    return ERR_OK;
}

ErrCode log_text_shape_of(LogText *t, LogTemplate *template, LogShape **out, Error *err) {
    if (template->shape == NULL)
        TRY(log_shapes_get(t->decoder->shapes, template->text, template->slot_count,
                           &template->shape, err));
    *out = template->shape;
    return ERR_OK;
}

/* ---------- patterns ---------- */

void log_line_template(Str line, Buf *out) {
    LogVar vars[LOG_LINE_VARS_MAX];

    (void)log_line_split(line, out, vars);
}

Str log_text_row_template(const LogText *text, uint32_t row) {
    return text->templates[log_text_template(text, row)].text;
}

static bool append_pattern(Str template, Buf *out) {
    bool touches = false;
    Str constant;
    uint8_t type, param;

    while (template.len > 0) {
        if (!log_template_part(&template, &constant, &type, &param)) return false;
        buf_append_str(out, constant);
        if (type != 0 && (!touches || constant.len > 0)) buf_append_str(out, STR("<_>"));
        touches = type != 0 || (touches && constant.len == 0);
    }
    return true;
}

void log_template_text(Str template, Buf *out) {
    (void)append_pattern(template, out);
}

static ErrCode pattern_of(const LogTemplate *template, Arena *arena, Str *out, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf text;

    buf_init(&text, 0);
    if (!append_pattern(template->text, &text)) return log_page_corrupt(err, "a bad template");
    *out = str_dup(arena, buf_str(&text));
    return out->ptr == NULL || buf_failed(&text) ? log_page_no_memory(err) : ERR_OK;
}

ErrCode log_text_patterns(const LogText *t, uint32_t first, uint32_t count, Arena *arena,
                          LogPattern **out, size_t *out_count, Error *err) {
    uint64_t *counts = ARENA_ARRAY(t->decoder->arena, uint64_t, (size_t)t->template_count + 1);
    LogPattern *list = ARENA_ARRAY(arena, LogPattern, (size_t)t->template_count + 1);
    size_t n = 0;

    if (counts == NULL || list == NULL) return log_page_no_memory(err);
    for (uint32_t i = first; i < first + count; i++) counts[log_text_template(t, i)]++;
    for (uint32_t i = 0; i < t->template_count; i++) {
        if (counts[i] == 0) continue;
        TRY(pattern_of(&t->templates[i], arena, &list[n].text, err));
        list[n++].count = counts[i];
    }
    *out = list;
    *out_count = n;
    return ERR_OK;
}
