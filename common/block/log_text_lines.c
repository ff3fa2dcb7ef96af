/*
 * log_text_lines.c: templates and variables back into lines, or into parts of them.
 */
#include <string.h>

#include "common/block/log_shape.h"
#include "common/block/log_text.h"

enum { CHUNK_BYTES = 64 << 10 };

/* ---------- variables ---------- */

static const char PAIRS[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343"
    "53637383940414243444546474849505152535455565758596061626364656667686970"
    "7172737475767778798081828384858687888990919293949596979899";

static const uint64_t POWERS[] = {1u,
                                  10u,
                                  100u,
                                  1000u,
                                  10000u,
                                  100000u,
                                  1000000u,
                                  10000000u,
                                  100000000u,
                                  1000000000u,
                                  10000000000u,
                                  100000000000u,
                                  1000000000000u,
                                  10000000000000u,
                                  100000000000000u,
                                  1000000000000000u,
                                  10000000000000000u,
                                  100000000000000000u,
                                  1000000000000000000u,
                                  10000000000000000000u};

static uint32_t digits_of(uint64_t v) {
    uint32_t n = 1;

    while (n < ARRAY_LEN(POWERS) && v >= POWERS[n]) n++;
    return n;
}

/* Exactly `digits`, leading zeros or the upper ones missing. */
static char *put_digits(char *out, uint64_t v, uint32_t digits) {
    uint32_t i = digits;

    for (; i >= 2; i -= 2) {
        memcpy(out + i - 2, &PAIRS[v % 100 * 2], 2);
        v /= 100;
    }
    if (i == 1) out[0] = (char)('0' + v % 10);
    return out + digits;
}

static char *put_number(char *out, uint64_t v) {
    return put_digits(out, v, digits_of(v));
}

static char *put_hex(char *out, const uint8_t *bytes, uint32_t digits, bool upper) {
    const char *alphabet = upper ? "0123456789ABCDEF" : "0123456789abcdef";

    for (uint32_t i = 0; i + 1 < digits; i += 2) {
        *out++ = alphabet[*bytes >> 4];
        *out++ = alphabet[*bytes++ & 15];
    }
    if (digits % 2 != 0) *out++ = alphabet[*bytes >> 4];
    return out;
}

static char *put_uuid(char *out, const uint8_t *bytes) {
    static const uint8_t GROUPS[] = {8, 4, 4, 4, 12};

    for (size_t g = 0; g < ARRAY_LEN(GROUPS); g++) {
        if (g > 0) *out++ = '-';
        out = put_hex(out, bytes, GROUPS[g], false);
        bytes += GROUPS[g] / 2;
    }
    return out;
}

static char *put_ip(char *out, const uint8_t *bytes) {
    for (int k = 0; k < 4; k++) {
        if (k > 0) *out++ = '.';
        out = put_number(out, bytes[k]);
    }
    return out;
}

static char *put_clock(char *out, const LogVarData *v, uint32_t i, int64_t time_ns) {
    unsigned digits = v->param & ~(unsigned)LOG_CLOCK_COMMA;
    uint64_t unit = POWERS[digits], second;
    int64_t day = (int64_t)(86400 * unit);
    int64_t at = (int64_t)((uint64_t)v->ints[i] + (uint64_t)log_clock_of(time_ns, digits)) % day;

    if (at < 0) at += day;
    second = (uint64_t)at / unit;
    out = put_digits(out, second / 3600, 2);
    *out++ = ':';
    out = put_digits(out, second / 60 % 60, 2);
    *out++ = ':';
    out = put_digits(out, second % 60, 2);
    if (digits == 0) return out;
    *out++ = v->param > LOG_CLOCK_COMMA ? ',' : '.';
    return put_digits(out, (uint64_t)at % unit, digits);
}

char *log_var_put(char *out, const LogVarData *v, uint32_t i, int64_t time_ns) {
    uint64_t value;

    switch (v->type) {
    case LOG_VAR_NUMBER:
        return put_number(out, (uint64_t)v->ints[i]);
    case LOG_VAR_POINT:
        value = (uint64_t)v->ints[i];
        out = put_number(out, value / POWERS[v->param]);
        *out++ = '.';
        return put_digits(out, value % POWERS[v->param], v->param);
    case LOG_VAR_DIGITS:
        return put_digits(out, (uint64_t)v->ints[i], v->param);
    case LOG_VAR_HEX:
    case LOG_VAR_UPPER:
        return put_hex(out, v->bytes + log_var_bytes(v->type, v->param) * i, v->param,
                       v->type == LOG_VAR_UPPER);
    case LOG_VAR_UUID:
        return put_uuid(out, v->bytes + 16 * (size_t)i);
    case LOG_VAR_IP:
        return put_ip(out, v->bytes + 4 * (size_t)i);
    case LOG_VAR_CLOCK:
        return put_clock(out, v, i, time_ns);
    default:
        memcpy(out, v->bytes + v->start[i], v->start[i + 1] - v->start[i]);
        return out + (v->start[i + 1] - v->start[i]);
    }
}

/* The most bytes that a variable takes. */
static uint32_t bytes_max(unsigned type, unsigned param) {
    switch (type) {
    case LOG_VAR_NUMBER:
    case LOG_VAR_CLOCK:
        return 20;
    case LOG_VAR_POINT:
        return 32;
    case LOG_VAR_DIGITS:
    case LOG_VAR_HEX:
    case LOG_VAR_UPPER:
        return param;
    case LOG_VAR_UUID:
        return 36;
    case LOG_VAR_IP:
        return 15;
    default:
        return LOG_WORD_MAX;
    }
}

/* ---------- putting together ---------- */

/* Where lines are put together. */
typedef struct Output {
    Arena *arena;
    char *at;
    size_t room;
    size_t expected; /* bytes that are still to come, about */
} Output;

static char *take_room(Output *out, size_t bytes) {
    if (bytes > out->room) {
        size_t room = MAX(bytes, MIN(MAX(out->expected, bytes), (size_t)CHUNK_BYTES));

        out->at = arena_alloc_bytes(out->arena, room + 1);
        out->room = out->at == NULL ? 0 : room;
    }
    return out->at;
}

static int64_t time_of(const LogText *t, uint32_t row) {
    return t->times[row - t->times_first];
}

static char *put_slot(const LogText *t, const LogSlot *slot, uint32_t row, char *out) {
    const LogVarData *v = &t->vars[slot->column];

    return log_var_put(out, v, v->before[row] + slot->before, time_of(t, row));
}

/* Constant text as a template has it. */
static char *put_constant(char *out, const char *text, size_t len, bool has_marks) {
    if (LIKELY(!has_marks)) {
        memcpy(out, text, len);
        return out + len;
    }
    for (size_t i = 0; i < len; i++) {
        *out++ = text[i];
        if (text[i] == LOG_MARK) i++;
    }
    return out;
}

/* ---------- lines ---------- */

/* A line that is constant is there already. */
static bool is_constant(const LogTemplate *template) {
    return template->slot_count == 0 && !template->has_marks;
}

/* Decodes a template's columns, and says how many bytes a line takes at most. */
static ErrCode prepare(LogText *t, const LogTemplate *template, size_t *most, Error *err) {
    *most = template->text.len;
    for (uint32_t s = 0; s < template->slot_count; s++) {
        const LogSlot *slot = &t->slots[template->first_slot + s];

        TRY(log_text_need(t, slot->column, err));
        *most += bytes_max(slot->type, slot->param);
    }
    return *most > LOG_COLUMN_RAW_MAX ? log_page_corrupt(err, "a line of too many bytes") : ERR_OK;
}

static char *put_line(const LogText *t, const LogTemplate *template, uint32_t row, char *out) {
    const LogSlot *slot = t->slots + template->first_slot, *end = slot + template->slot_count;
    const char *text = template->text.ptr;
    size_t at = 0;

    for (; slot < end; slot++) {
        out = put_constant(out, text + at, slot->at - at, template->has_marks);
        out = put_slot(t, slot, row, out);
        at = slot->at + 3;
    }
    return put_constant(out, text + at, template->text.len - at, template->has_marks);
}

ErrCode log_text_line(LogText *t, uint32_t row, Arena *arena, Str *out, Error *err) {
    const LogTemplate *template = &t->templates[log_text_template(t, row)];
    char *start, *end;
    size_t most;

    *out = template->text;
    if (is_constant(template)) return ERR_OK;
    TRY(prepare(t, template, &most, err));
    start = arena_alloc_bytes(arena, most + 1);
    if (start == NULL) return log_page_no_memory(err);
    end = put_line(t, template, row, start);
    assert((size_t)(end - start) <= most);
    *out = (Str){start, (size_t)(end - start)};
    return ERR_OK;
}

/* `met` has the most bytes of a template's line, plus 1; 0: it was not met before. */
static ErrCode next_line(LogText *t, uint32_t *met, uint32_t row, Output *out, Str *line,
                         Error *err) {
    uint32_t number = log_text_template(t, row);
    const LogTemplate *template = &t->templates[number];
    char *start, *end;

    *line = template->text;
    if (is_constant(template)) return ERR_OK;
    if (met[number] == 0) {
        size_t most;

        TRY(prepare(t, template, &most, err));
        met[number] = (uint32_t)most + 1;
    }
    start = take_room(out, met[number]);
    if (start == NULL) return log_page_no_memory(err);
    end = put_line(t, template, row, start);
    assert((size_t)(end - start) < met[number]);
    *line = (Str){start, (size_t)(end - start)};
    out->at = end;
    out->room -= line->len;
    out->expected -= MIN(line->len, out->expected);
    return ERR_OK;
}

ErrCode log_text_rows(LogText *t, const LogPicked *picked, Str *lines, uint32_t *lengths,
                      Error *err) {
    uint32_t *met = ARENA_ARRAY(t->decoder->arena, uint32_t, (size_t)t->template_count + 1);
    Output out = {.arena = t->decoder->arena, .expected = (size_t)picked->count * 256};
    uint64_t bytes = 0;

    if (met == NULL) return log_page_no_memory(err);
    for (uint32_t i = 0; i < picked->count; i++) {
        Output before = out;
        Str line;

        TRY(next_line(t, met, log_picked_row(picked, i), &out, &line, err));
        bytes += line.len;
        if (bytes > 2 * (uint64_t)LOG_COLUMN_RAW_MAX)
            return log_page_corrupt(err, "lines of too many bytes");
        if (lengths != NULL) lengths[i] = (uint32_t)line.len;
        if (lines != NULL)
            lines[i] = line;
        else if (before.at != NULL && line.ptr == before.at)
            out = before; /* nobody reads it */
    }
    return ERR_OK;
}

/* ---------- parts of lines ---------- */

ErrCode log_text_shape(LogText *t, uint32_t row, LogShape **out, Error *err) {
    return log_text_shape_of(t, &t->templates[log_text_template(t, row)], out, err);
}

ErrCode log_text_span(LogText *t, uint32_t row, const LogSpan *span, Arena *arena, Str *out,
                      Error *err) {
    const LogTemplate *template = &t->templates[log_text_template(t, row)];
    const LogShape *shape = template->shape;
    const LogShapePart *parts = shape->parts;
    const LogSlot *slots = t->slots + template->first_slot;
    size_t most = 0;
    char *start, *at;

    if (span->end - span->first == 1 && parts[span->first].kind == LOG_PART_TEXT) {
        Str text = log_part_text(shape, &parts[span->first]);

        *out = str_slice(text, span->skip, text.len - span->skip - span->cut);
        return ERR_OK;
    }
    for (uint32_t p = span->first; p < span->end; p++) {
        const LogSlot *slot = &slots[parts[p].slot];

        most += parts[p].length;
        if (parts[p].kind == LOG_PART_TEXT) continue;
        TRY(log_text_need(t, slot->column, err));
        most += bytes_max(slot->type, slot->param);
    }
    start = at = arena_alloc_bytes(arena, most + 1);
    if (start == NULL) return log_page_no_memory(err);
    for (uint32_t p = span->first; p < span->end; p++) {
        if (parts[p].kind == LOG_PART_TEXT)
            at = put_constant(at, shape->text + parts[p].at, parts[p].length, false);
        else
            at = put_slot(t, &slots[parts[p].slot], row, at);
    }
    assert((size_t)(at - start) <= most);
    *out = (Str){start + span->skip, (size_t)(at - start) - span->skip - span->cut};
    return ERR_OK;
}
