/*
 * log_text_whole.c: texts that stand between delimiters, as values of JSON and logfmt do.
 *
 * Variables neither begin behind letters of the text nor go on behind it: one that holds the text
 * is all of it, so that columns are compared, not searched, and most templates are told by the
 * bytes around their variables. A time of day may be more than the text: `[10:20:30,5]`. It is
 * looked at with its row.
 */
#include <ctype.h>
#include <string.h>

#include "common/block/log_judge.h"
#include "common/block/log_shape.h"

enum {
    CLOCK_BYTES = 8,   /* hh:mm:ss */
    STEPS_MAX = 20000, /* of matching a text and a shape; beyond, rows tell */
};

/* ---------- keys ---------- */

static Str without_spaces(Str text) {
    while (text.len > 0 && isspace((unsigned char)text.ptr[text.len - 1])) text.len--;
    return text;
}

static bool ends_in(Str text, char c) {
    return text.len > 0 && text.ptr[text.len - 1] == c;
}

bool log_value_begins_behind(Str before, Str key) {
    size_t n;

    /* Most that is asked about ends in none of them. */
    if (before.len > 0) {
        char last = before.ptr[before.len - 1];

        if (last != '"' && last != '=' && last != ':' && (uint8_t)last > ' ') return false;
    }
    if (ends_in(before, '"')) before.len--;
    if (before.len == 0) return true; /* who knows */
    if (ends_in(before, '=')) {
        before.len--;
    } else {
        before = without_spaces(before);
        if (before.len == 0) return true;
        if (!ends_in(before, ':')) return false;
        before.len--;
        before = without_spaces(before);
        if (before.len == 0) return true;
        if (!ends_in(before, '"')) return false;
        before.len--;
        /* A key of nothing has the name of the object that it is in. */
        if (ends_in(without_spaces(before), '"')) return true;
    }
    before = without_spaces(before);
    n = MIN(before.len, key.len);
    return n == 0 || memcmp(before.ptr + before.len - n, key.ptr + key.len - n, n) == 0;
}

/* ---------- lines ---------- */

bool log_whole_in_line(Str line, Str text, Str key) {
    for (size_t from = 0; line.len - from >= text.len;) {
        const char *found = str_find(str_from(line, from), text);
        size_t at, end;

        if (found == NULL) return false;
        at = (size_t)(found - line.ptr);
        end = at + text.len;
        if (at > 0 && (end == line.len || log_value_ends_before(line.ptr[end])) &&
            log_value_begins_behind(str_slice(line, 0, at), key))
            return true;
        from = at + 1;
    }
    return false;
}

/* Whether a time of day may be what the text begins with. */
static bool is_clock(Str text) {
    return text.len >= CLOCK_BYTES && text.ptr[2] == ':' && text.ptr[5] == ':';
}

/* ---------- shapes ---------- */

typedef struct Matching {
    const LogShape *shape;
    const JudgeText *t;
    uint32_t start;  /* the part it begins in */
    uint32_t number; /* of the text */
    unsigned steps;
    JudgeInside *inside;
    size_t *inside_count;
    Finding *f;
} Matching;

static void across(Finding *f, uint32_t first, uint32_t end) {
    f->first_part = f->end_part == 0 ? first : MIN(f->first_part, first);
    f->end_part = MAX(f->end_part, end);
}

/* Whether the text may end where part `p` ends. */
static bool may_end_behind(const LogShape *shape, uint32_t p) {
    const LogShapePart *next = &shape->parts[p + 1];

    if (p + 1 == shape->part_count) return true;
    return next->kind == LOG_PART_TEXT && next->length > 0 &&
           log_value_ends_before(log_part_text(shape, next).ptr[0]);
}

static void match_from(Matching *m, uint32_t p, size_t offset, size_t i);

static void match_text(Matching *m, uint32_t p, size_t offset, size_t i) {
    Str text = str_from(log_part_text(m->shape, &m->shape->parts[p]), offset);
    Str left = str_from(m->t->text, i);
    size_t n = MIN(text.len, left.len);

    if (memcmp(text.ptr, left.ptr, n) != 0) return;
    if (n < left.len) {
        match_from(m, p + 1, 0, i + n);
        return;
    }
    if (n < text.len ? !log_value_ends_before(text.ptr[n]) : !may_end_behind(m->shape, p)) return;
    if (m->start == p)
        m->f->yes = true;
    else
        across(m->f, m->start, p + 1);
}

/* A variable takes any number of bytes, if it may hold them. */
static void match_variable(Matching *m, uint32_t p, size_t i) {
    const LogShapePart *part = &m->shape->parts[p];
    unsigned type = m->shape->slot_types[2 * part->slot];
    size_t most = log_var_most(type, m->shape->slot_types[2 * part->slot + 1]);
    Str left = str_from(m->t->text, i);

    if (type == LOG_VAR_CLOCK) {
        if (is_clock(left)) across(m->f, 0, m->shape->part_count);
        return;
    }
    for (size_t n = 1; n <= MIN(most, left.len) && !m->f->yes; n++) {
        if (!log_var_may_hold(type, (uint8_t)left.ptr[n - 1])) return;
        if (n < left.len) {
            match_from(m, p + 1, 0, i + n);
        } else if (may_end_behind(m->shape, p)) {
            if (i == 0)
                m->inside[(*m->inside_count)++] = (JudgeInside){(uint16_t)m->number, part->slot};
            else
                across(m->f, m->start, p + 1);
        }
    }
}

/* The text from byte `i` on, where part `p` has its byte `offset`. */
static void match_from(Matching *m, uint32_t p, size_t offset, size_t i) {
    if (p == m->shape->part_count || m->f->yes) return;
    if (m->steps++ >= STEPS_MAX) {
        across(m->f, 0, m->shape->part_count);
        return;
    }
    if (m->shape->parts[p].kind == LOG_PART_TEXT)
        match_text(m, p, offset, i);
    else
        match_variable(m, p, i);
}

bool log_whole_in_shape(const LogShape *shape, const JudgeText *t, uint32_t number,
                        JudgeInside *inside, size_t *inside_count, Finding *f) {
    Matching m = {.shape = shape,
                  .t = t,
                  .number = number,
                  .inside = inside,
                  .inside_count = inside_count,
                  .f = f};
    bool begins = false; /* where the part begins */
    char first = t->text.ptr[0];

    for (uint32_t p = 0; p < shape->part_count && !f->yes; p++) {
        Str text;

        m.start = p;
        if (begins) match_from(&m, p, 0, 0);
        if (shape->parts[p].kind != LOG_PART_TEXT) {
            begins = false;
            continue;
        }
        text = log_part_text(shape, &shape->parts[p]);
        for (size_t i = 1; i < text.len && !f->yes; i++) {
            if (text.ptr[i] == first && log_value_begins_behind(str_slice(text, 0, i), t->key))
                match_text(&m, p, i, 0);
        }
        begins = text.len > 0 && log_value_begins_behind(text, t->key);
    }
    return f->yes;
}

/* ---------- templates at a glance ---------- */

/* Constant text since the last variable, or a little less of it. */
static Str since_mark(Str text) {
    for (size_t n = text.len; n-- > 0;)
        if (text.ptr[n] == LOG_MARK) return str_from(text, MIN(n + 3, text.len));
    return text;
}

/* Templates whose constant text has the text say yes, or maybe. */
static void scan_constants(const LogText *text, const JudgeText *t, uint8_t *says) {
    Str all = text->all_text;
    uint32_t i = 0;

    for (size_t from = 0; all.len - from >= t->text.len;) {
        const char *found = str_find(str_from(all, from), t->text);
        const LogTemplate *template;
        size_t at, end;
        Str before;

        if (found == NULL) return;
        from = (size_t)(found - all.ptr) + 1;
        while (text->templates[i].text.ptr + text->templates[i].text.len <= found) i++;
        template = &text->templates[i];
        at = (size_t)(found - template->text.ptr);
        end = at + t->text.len;
        if (says[i] == SAY_YES || end > template->text.len) continue;
        before = since_mark(str_slice(template->text, 0, at));
        if (!log_value_begins_behind(before, t->key)) continue;
        if (before.len == 0 || (end < template->text.len && template->text.ptr[end] == LOG_MARK))
            says[i] = SAY_ROW;
        else if (end == template->text.len || log_value_ends_before(template->text.ptr[end]))
            says[i] = SAY_YES;
    }
}

/* Whether the text's first `len` bytes may end where variable s does. */
static bool may_end_in(const JudgeText *t, const LogTemplate *template, const LogSlot *slots,
                       uint32_t s, size_t len) {
    const LogSlot *slot = &slots[s];
    size_t held = 0;

    while (held < len && log_var_may_hold(slot->type, (uint8_t)t->text.ptr[len - 1 - held])) held++;
    if (held == len || held == 0) return held > 0;
    /* It is all of the variable, and what stands before that is in the text as well. */
    if (slot->at == 0) return false;
    if (s > 0 && (size_t)slots[s - 1].at + 3 == slot->at) return true;
    for (size_t n = 1; n <= held; n++)
        if (t->text.ptr[len - 1 - n] == template->text.ptr[slot->at - 1]) return true;
    return false;
}

/* Whether the text may begin in `before`, the constant text before variable s, or before that, and
 * go on in the variable. */
static bool may_go_in(const JudgeText *t, const LogTemplate *template, const LogSlot *slots,
                      uint32_t s, Str before) {
    unsigned type = slots[s].type;

    if (before.len == 0 || (t->into[(uint8_t)before.ptr[before.len - 1]] >> type & 1) == 0)
        return false;
    for (size_t i = 1; i < t->text.len; i++) {
        size_t n = MIN(i, before.len);

        if (before.ptr[before.len - 1] != t->text.ptr[i - 1] ||
            !log_var_may_hold(type, (uint8_t)t->text.ptr[i]) ||
            memcmp(before.ptr + before.len - n, t->text.ptr + i - n, n) != 0)
            continue;
        if (n == i ? log_value_begins_behind(str_slice(before, 0, before.len - n), t->key)
                   : s > 0 && may_end_in(t, template, slots, s - 1, i - n))
            return true;
    }
    return false;
}

/* Whether the text may begin where variable s does; all of it in there goes to *all. */
static bool may_begin(const JudgeText *t, const LogTemplate *template, const LogSlot *slot,
                      bool *all) {
    Str behind = str_from(template->text, (size_t)slot->at + 3);
    bool ends = behind.len == 0 || log_value_ends_before(behind.ptr[0]);

    if (slot->type == LOG_VAR_CLOCK) return is_clock(t->text);
    *all = ends && (t->within >> slot->type & 1) != 0 &&
           log_var_most(slot->type, slot->param) >= t->text.len;
    if (behind.len == 0) return false;
    return behind.ptr[0] == LOG_MARK || (t->out_of[(uint8_t)behind.ptr[0]] >> slot->type & 1) != 0;
}

/* What the variables of a template say. */
static bool may_cross(const LogText *text, const LogTemplate *template, const JudgeText *t,
                      bool *within) {
    const LogSlot *slots = text->slots + template->first_slot;
    bool may = template->has_marks;

    for (uint32_t s = 0; s < template->slot_count; s++) {
        const LogSlot *slot = &slots[s];
        size_t from = s == 0 ? 0 : (size_t)slots[s - 1].at + 3;
        Str before = str_slice(template->text, from, slot->at - from);
        bool all = false;

        may = may || may_go_in(t, template, slots, s, before);
        if (before.len == 0 || !log_var_may_hold(slot->type, (uint8_t)t->text.ptr[0]) ||
            !log_value_begins_behind(before, t->key))
            continue;
        may |= may_begin(t, template, slot, &all);
        if (all) within[slot->column] = true;
    }
    return may;
}

void log_whole_in_templates(const LogText *text, const JudgeText *t, uint8_t *says, bool *within) {
    scan_constants(text, t, says);
    for (uint32_t i = 0; i < text->template_count; i++) {
        if (says[i] != SAY_YES && may_cross(text, &text->templates[i], t, within))
            says[i] = SAY_ROW;
    }
}

/* ---------- columns ---------- */

/* Digits only, and as many as fit. */
static bool take_number(Str text, int64_t *out) {
    *out = 0;
    if (text.len == 0 || text.len > LOG_NUMBER_DIGITS_MAX) return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!isdigit((unsigned char)text.ptr[i])) return false;
        *out = *out * 10 + (text.ptr[i] - '0');
    }
    return true;
}

static bool equal_ints(const LogVarData *v, int64_t value, uint8_t *hits) {
    uint8_t any = 0;

    for (uint32_t i = 0; i < v->count; i++) {
        hits[i] = v->ints[i] == value;
        any |= hits[i];
    }
    return any != 0;
}

static bool equal_words(const LogVarData *v, Str text, uint8_t *hits) {
    bool any = false;

    for (uint32_t i = 0; i < v->count; i++) {
        if (v->start[i + 1] - v->start[i] != text.len ||
            memcmp(v->bytes + v->start[i], text.ptr, text.len) != 0)
            continue;
        hits[i] = 1;
        any = true;
    }
    return any;
}

static bool equal_texts(const LogVarData *v, Str text, uint8_t *hits) {
    char one[LOG_VAR_TEXT_MAX];
    bool any = false;

    for (uint32_t i = 0; i < v->count; i++) {
        char *end = log_var_put(one, v, i, 0);

        if (!str_equal((Str){one, (size_t)(end - one)}, text)) continue;
        hits[i] = 1;
        any = true;
    }
    return any;
}

bool log_whole_in_column(const LogVarData *v, Str text, uint8_t *hits) {
    int64_t value;

    switch (v->type) {
    case LOG_VAR_WORD:
        return equal_words(v, text, hits);
    case LOG_VAR_NUMBER: /* without leading zeros */
        if (!take_number(text, &value))
            return text.len > LOG_NUMBER_DIGITS_MAX && equal_texts(v, text, hits);
        return (text.ptr[0] != '0' || text.len == 1) && equal_ints(v, value, hits);
    case LOG_VAR_DIGITS:
        return text.len == v->param && take_number(text, &value) && equal_ints(v, value, hits);
    case LOG_VAR_HEX:
    case LOG_VAR_UPPER:
        return text.len == v->param && equal_texts(v, text, hits);
    case LOG_VAR_UUID:
        return text.len == 36 && equal_texts(v, text, hits);
    case LOG_VAR_POINT:
        return text.len > (size_t)v->param + 1 && text.ptr[text.len - v->param - 1] == '.' &&
               equal_texts(v, text, hits);
    default:
        return equal_texts(v, text, hits);
    }
}
