/*
 * log_text_match.c: which rows hold the texts they must, told from templates and columns.
 *
 * A template's constant text decides most rows: either it holds the text, or no line of it can,
 * since variables are of known characters. Where the text may be within one variable, that column
 * is searched once for all rows; where it may reach from constant text into variables, those few
 * parts of the row are put together. What a template says is kept with its shape, over pages.
 */
#include <stdlib.h>
#include <string.h>

#include "common/block/log_judge.h"
#include "common/block/log_shape.h"

enum { WINDOW_BYTES = 4096 /* parts of a row that are put together before they go */ };

/* ---------- what a shape says ---------- */

/* What is still open of one needle. */
typedef struct Open {
    uint32_t needle;
    uint32_t first_inside; /* of the verdict's */
    uint32_t end_inside;
    uint32_t first_part; /* it may be across the parts [first, end), or nowhere else: 0, 0 */
    uint32_t end_part;
} Open;

typedef struct LogVerdict {
    uint64_t judge; /* LogJudge.number */
    Say say;        /* of the whole filter */
    uint32_t open_count;
    const Open *open;
    const JudgeInside *inside;
} LogVerdict;

/* The text may end in part `p`, having begun before it: parts before that make up its length, each
 * variable having one byte at least. */
static void found_across(const LogShape *shape, const JudgeText *t, uint32_t p, Finding *f) {
    size_t before = 1;
    uint32_t first = p, end = p + 1;

    while (first > 0 && before < t->text.len) {
        const LogShapePart *part = &shape->parts[--first];

        before += part->kind == LOG_PART_TEXT ? part->length : 1;
    }
    /* What the bits say is only the beginning: it may go on behind. */
    if (t->cut) end = shape->part_count;
    f->first_part = f->end_part == 0 ? first : MIN(f->first_part, first);
    f->end_part = MAX(f->end_part, end);
}

static bool has_text(Str line, Str text) {
    return str_contains(line, text);
}

/* Bit i of a state: what was read so far may end in the text's first i + 1 bytes, and not in all of
 * it. Advances what came from before through constant text. */
static uint64_t through_text(const JudgeText *t, Str text, uint64_t state, bool *done) {
    for (size_t i = 0; i < text.len && state != 0; i++) {
        state = state << 1 & t->of_byte[(uint8_t)text.ptr[i]];
        *done |= (state & t->last) != 0;
        state &= ~t->last;
    }
    return state;
}

/* What begins in constant text and reaches its end. */
static uint64_t begun_in_text(const JudgeText *t, Str text, bool *done) {
    size_t from = text.len >= t->text.len ? text.len - t->text.len + 1 : 0;
    uint64_t state = 0;

    for (size_t i = from; i < text.len; i++) {
        state = (state << 1 | 1) & t->of_byte[(uint8_t)text.ptr[i]];
        *done |= (state & t->last) != 0;
        state &= ~t->last;
    }
    return state;
}

/* A variable is any string of its bytes. */
static uint64_t through_variable(const JudgeText *t, unsigned type, uint64_t state) {
    uint64_t next = state & t->of_type[type], before;

    do {
        before = next;
        next |= next << 1 & t->of_type[type];
    } while (next != before);
    return next;
}

/* `fold`: constant text is gone through byte by byte, and a yes is never for sure. */
static bool find_in_shape(const LogShape *shape, const JudgeText *t, uint32_t number, bool fold,
                          JudgeInside *inside, size_t *inside_count, Finding *f) {
    uint64_t state = 0;

    for (uint32_t p = 0; p < shape->part_count; p++) {
        const LogShapePart *part = &shape->parts[p];
        unsigned type, param;
        uint64_t carried, fresh;
        bool done = false;

        if (part->kind == LOG_PART_TEXT) {
            Str text = log_part_text(shape, part);

            if (fold) {
                for (size_t i = 0; i < text.len; i++) {
                    state = (state << 1 | 1) & t->of_byte[(uint8_t)text.ptr[i]];
                    done |= (state & t->last) != 0;
                }
            } else {
                if (has_text(text, t->text)) return f->yes = true;
                carried = through_text(t, text, state, &done);
                state = carried | begun_in_text(t, text, &done);
            }
            if (done) found_across(shape, t, p, f);
            continue;
        }
        type = shape->slot_types[2 * part->slot];
        param = shape->slot_types[2 * part->slot + 1];
        carried = through_variable(t, type, state << 1);
        fresh = through_variable(t, type, 1);
        if ((carried & t->last) != 0 || (fold && (fresh & t->last) != 0))
            found_across(shape, t, p, f);
        if (!fold && (fresh & t->last) != 0 && !t->cut && log_var_most(type, param) >= t->text.len)
            inside[(*inside_count)++] = (JudgeInside){(uint16_t)number, part->slot};
        /* A text that is longer than its bits may begin in a variable and go on. */
        if (!fold && (fresh & t->last) != 0 && t->cut) found_across(shape, t, p, f);
        state = (carried | fresh) & ~t->last;
    }
    return false;
}

/* Variables hold none. */
static bool has_slash(const LogShape *shape) {
    for (uint32_t p = 0; p < shape->part_count; p++)
        if (shape->parts[p].kind == LOG_PART_TEXT &&
            str_contains(log_part_text(shape, &shape->parts[p]), STR("\\")))
            return true;
    return false;
}

/* What a shape says of one needle; what is open goes to *open. */
static Say judge_needle(const LogJudge *judge, const LogShape *shape, uint32_t number,
                        JudgeInside *inside, size_t *inside_count, Open *open) {
    const JudgeNeedle *needle = &judge->needles[number];
    size_t before = *inside_count;
    Finding f = {0};

    if (needle->escapes && has_slash(shape)) return SAY_YES;
    for (uint32_t i = needle->first; i < needle->end; i++) {
        const JudgeText *t = &judge->texts[i];

        if (t->text.len == 0) return SAY_YES;
        if (t->odd) {
            f.first_part = 0;
            f.end_part = shape->part_count;
            continue;
        }
        if (t->whole ? log_whole_in_shape(shape, t, i, inside, inside_count, &f)
                     : find_in_shape(shape, t, i, needle->fold, inside, inside_count, &f)) {
            *inside_count = before;
            return SAY_YES;
        }
    }
    if (f.end_part == 0 && *inside_count == before) return SAY_NO;
    *open = (Open){.needle = number,
                   .first_inside = (uint32_t)before,
                   .end_inside = (uint32_t)*inside_count,
                   .first_part = f.first_part,
                   .end_part = f.end_part};
    return SAY_ROW;
}

static LogVerdict *judge_shape(LogJudge *judge, LogShapes *shapes, LogShape *shape) {
    Arena *arena = log_shapes_arena(shapes);
    LogVerdict *verdict = shape->verdict;
    JudgeInside *inside;
    Open *open;
    size_t inside_count = 0, room = (size_t)shape->slot_count * judge->text_count + 1;

    if (verdict == NULL) verdict = ARENA_NEW(arena, LogVerdict);
    inside = arena_alloc(arena, room * sizeof *inside);
    open = arena_alloc(arena, (judge->needle_count + 1) * sizeof *open);
    if (verdict == NULL || inside == NULL || open == NULL) return NULL;
    *verdict = (LogVerdict){.judge = judge->number, .say = SAY_YES, .open = open, .inside = inside};
    for (uint32_t n = 0; n < judge->needle_count; n++) {
        Say say = judge_needle(judge, shape, n, inside, &inside_count, &open[verdict->open_count]);

        if (say == SAY_ROW && judge->needles[n].fold) continue; /* whoever asked looks */
        if (say == SAY_ROW) {
            verdict->open_count++;
            verdict->say = SAY_ROW;
        } else if ((say == SAY_YES) == judge->needles[n].negated) {
            verdict->say = SAY_NO;
            break;
        }
    }
    return shape->verdict = verdict;
}

/* ---------- columns ---------- */

/* Sets the variables that hold the text: of words, all of them are searched as one. */
static bool search_words(const LogVarData *v, const JudgeText *t, uint8_t *hits) {
    Str all = {(const char *)v->bytes, v->start[v->count]};
    uint32_t i = 0;
    bool any = false;

    for (size_t from = 0; all.len - from >= t->text.len;) {
        const char *found = str_find(str_from(all, from), t->text);
        size_t at;

        if (found == NULL) break;
        at = (size_t)(found - all.ptr);
        while (v->start[i + 1] <= at) i++;
        from = at + 1;
        if (at + t->text.len > v->start[i + 1]) continue;
        hits[i] = 1;
        any = true;
        from = v->start[i + 1];
    }
    return any;
}

static bool search_ids(const LogVarData *v, const JudgeText *t, uint8_t *hits) {
    bool any = false;

    for (uint32_t i = 0; i < v->count; i++) {
        uint64_t id[2];

        memcpy(id, v->bytes + 16 * (size_t)i, sizeof id);
        if (id[0] != t->id[0] || id[1] != t->id[1]) continue;
        hits[i] = 1;
        any = true;
    }
    return any;
}

static bool search_others(const LogVarData *v, const JudgeText *t, uint8_t *hits) {
    char text[LOG_VAR_TEXT_MAX];
    bool any = false;

    for (uint32_t i = 0; i < v->count; i++) {
        char *end = log_var_put(text, v, i, 0);

        if (!has_text((Str){text, (size_t)(end - text)}, t->text)) continue;
        hits[i] = 1;
        any = true;
    }
    return any;
}

static const uint8_t NO_HITS[1];

/* Which variables of a column hold text `number`; NO_HITS: none does. Not for clocks, which differ
 * by the row. */
static ErrCode column_hits(LogText *text, const LogJudge *judge, uint32_t column, uint32_t number,
                           const uint8_t **out, Error *err) {
    const JudgeText *t = &judge->texts[number];
    Arena *arena = text->decoder->arena;
    LogVarData *v = &text->vars[column];
    uint8_t *hits;
    bool any;

    TRY(log_text_need(text, column, err));
    if (v->hits == NULL) {
        v->hits = (const uint8_t **)arena_zalloc(arena, LOG_JUDGE_TEXTS_MAX * sizeof *v->hits);
        if (v->hits == NULL) return log_page_no_memory(err);
    }
    if (v->hits[number] == NULL) {
        hits = ARENA_ARRAY(arena, uint8_t, (size_t)v->count + 1);
        if (hits == NULL) return log_page_no_memory(err);
        if (t->whole)
            any = log_whole_in_column(v, t->text, hits);
        else if (v->type == LOG_VAR_WORD)
            any = search_words(v, t, hits);
        else if (v->type == LOG_VAR_UUID && t->is_uuid)
            any = search_ids(v, t, hits);
        else
            any = search_others(v, t, hits);
        v->hits[number] = any ? hits : NO_HITS;
    }
    *out = v->hits[number];
    return ERR_OK;
}

/* ---------- rows ---------- */

/* One page's. */
typedef struct Picking {
    LogText *text;
    const LogJudge *judge;
    uint8_t *say; /* of each template, on this page */
    Arena *scratch;
} Picking;

/* Whether a needle is in parts of the row that have it across, if anywhere. */
static ErrCode is_across(Picking *p, const Open *open, uint32_t row, bool *holds, Error *err) {
    const JudgeNeedle *needle = &p->judge->needles[open->needle];
    LogSpan span = {.first = open->first_part, .end = open->end_part};
    Str part;

    if (arena_used(p->scratch) > WINDOW_BYTES) arena_reset(p->scratch);
    TRY(log_text_span(p->text, row, &span, p->scratch, &part, err));
    for (uint32_t i = needle->first; i < needle->end && !*holds; i++)
        *holds = has_text(part, p->judge->texts[i].text);
    return ERR_OK;
}

static ErrCode is_inside(Picking *p, const LogTemplate *template, const JudgeInside *inside,
                         uint32_t row, bool *holds, Error *err) {
    const LogSlot *slot = &p->text->slots[template->first_slot + inside->slot];
    const LogVarData *v = &p->text->vars[slot->column];
    const uint8_t *hits;
    uint32_t place;

    TRY(log_text_need(p->text, slot->column, err));
    place = v->before[row] + slot->before;
    if (v->type == LOG_VAR_CLOCK) {
        char text[LOG_VAR_TEXT_MAX];
        char *end = log_var_put(text, v, place, p->text->times[row - p->text->times_first]);

        *holds = has_text((Str){text, (size_t)(end - text)}, p->judge->texts[inside->text].text);
        return ERR_OK;
    }
    TRY(column_hits(p->text, p->judge, slot->column, inside->text, &hits, err));
    *holds = hits != NO_HITS && hits[place] != 0;
    return ERR_OK;
}

/* Whether any column of the page may have the needle in it. */
static ErrCode may_be_inside(Picking *p, const LogTemplate *template, const Open *open, bool *may,
                             Error *err) {
    const LogVerdict *verdict = template->shape->verdict;

    for (uint32_t i = open->first_inside; i < open->end_inside && !*may; i++) {
        const JudgeInside *inside = &verdict->inside[i];
        uint32_t column = p->text->slots[template->first_slot + inside->slot].column;
        const uint8_t *hits = NO_HITS;

        TRY(log_text_need(p->text, column, err));
        *may = p->text->vars[column].type == LOG_VAR_CLOCK;
        if (*may) return ERR_OK;
        TRY(column_hits(p->text, p->judge, column, inside->text, &hits, err));
        *may = hits != NO_HITS;
    }
    return ERR_OK;
}

/* What a template says of its rows on this page. */
static ErrCode say_of(Picking *p, const LogTemplate *template, uint8_t *out, Error *err) {
    const LogVerdict *verdict = template->shape->verdict;
    bool left = false;
    Say say = verdict->say;

    for (uint32_t i = 0; say == SAY_ROW && i < verdict->open_count; i++) {
        const Open *open = &verdict->open[i];
        bool may = open->end_part > 0;

        TRY(may_be_inside(p, template, open, &may, err));
        if (!may && !p->judge->needles[open->needle].negated) say = SAY_NO;
        left |= may;
    }
    *out = (uint8_t)(say == SAY_ROW && !left ? SAY_YES : say);
    return ERR_OK;
}

static ErrCode row_passes(Picking *p, uint32_t row, bool *passes, Error *err) {
    const LogTemplate *template = &p->text->templates[log_text_template(p->text, row)];
    const LogVerdict *verdict = template->shape->verdict;

    *passes = true;
    for (uint32_t i = 0; *passes && i < verdict->open_count; i++) {
        const Open *open = &verdict->open[i];
        bool holds = false;

        for (uint32_t k = open->first_inside; !holds && k < open->end_inside; k++)
            TRY(is_inside(p, template, &verdict->inside[k], row, &holds, err));
        if (!holds && open->end_part > 0) TRY(is_across(p, open, row, &holds, err));
        *passes = holds != p->judge->needles[open->needle].negated;
    }
    return ERR_OK;
}

/* ---------- templates at a glance ---------- */

/* Templates whose constant text holds the text say yes. */
static void scan_constants(const LogText *text, const JudgeText *t, uint8_t *says) {
    Str all = text->all_text;
    uint32_t i = 0;

    for (size_t from = 0; all.len - from >= t->text.len;) {
        const char *found = str_find(str_from(all, from), t->text);
        const LogTemplate *template;
        size_t at;

        if (found == NULL) return;
        at = (size_t)(found - all.ptr);
        from = at + 1;
        while (text->templates[i].text.ptr + text->templates[i].text.len <= found) i++;
        template = &text->templates[i];
        if (found + t->text.len > template->text.ptr + template->text.len) continue;
        at = (size_t)(found - template->text.ptr);
        /* What stands behind a mark is type and parameter. */
        if ((at > 0 && found[-1] == LOG_MARK) || (at > 1 && found[-2] == LOG_MARK)) {
            says[i] = MAX(says[i], SAY_ROW);
            continue;
        }
        says[i] = SAY_YES;
        from = (size_t)(template->text.ptr - all.ptr) + template->text.len;
    }
}

/* Whether variable s may end in the text's first `len` bytes, which began there or before. */
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

/* Whether the text may begin in `before`, the constant text before variable s, which is not empty,
 * or before that, and go on in the variable. */
static bool may_go_in(const JudgeText *t, const LogTemplate *template, const LogSlot *slots,
                      uint32_t s, Str before) {
    for (size_t i = 1; i < t->text.len; i++) {
        size_t n = MIN(i, before.len);

        if (before.ptr[before.len - 1] != t->text.ptr[i - 1] ||
            !log_var_may_hold(slots[s].type, (uint8_t)t->text.ptr[i]) ||
            memcmp(before.ptr + before.len - n, t->text.ptr + i - n, n) != 0)
            continue;
        if (n == i || (s > 0 && may_end_in(t, template, slots, s - 1, i - n))) return true;
    }
    return false;
}

/* Likewise begin in a variable and go on in the constant text behind. */
static bool may_go_out(const JudgeText *t, Str behind, bool more, unsigned type) {
    for (size_t i = 1; i < t->text.len && log_var_may_hold(type, (uint8_t)t->text.ptr[i - 1]);
         i++) {
        size_t n = MIN(t->text.len - i, behind.len);

        if (t->text.len - i > behind.len && !more) continue;
        if (memcmp(behind.ptr, t->text.ptr + i, n) == 0) return true;
    }
    return false;
}

/* Whether the text may lie across an end of this variable. */
static bool may_cross(const JudgeText *t, const LogTemplate *template, const LogSlot *slots,
                      uint32_t s) {
    const LogSlot *slot = &slots[s];
    const char *text = template->text.ptr;
    size_t from = s == 0 ? 0 : (size_t)slots[s - 1].at + 3, after = (size_t)slot->at + 3;
    size_t end = s + 1 == template->slot_count ? template->text.len : slots[s + 1].at;

    if (s > 0 && from == slot->at) {
        if ((t->after[slots[s - 1].type] >> slot->type & 1) != 0) return true;
    } else if (from < slot->at && (t->into[(uint8_t)text[slot->at - 1]] >> slot->type & 1) != 0) {
        if (template->has_marks ||
            may_go_in(t, template, slots, s, str_slice(template->text, from, slot->at - from)))
            return true;
    }
    if (after >= end || (t->out_of[(uint8_t)text[after]] >> slot->type & 1) == 0) return false;
    return template->has_marks || may_go_out(t, str_slice(template->text, after, end - after),
                                             s + 1 < template->slot_count, slot->type);
}

/* Templates that may have the text across a variable's ends have to look at rows; `within`: columns
 * that may hold it. */
static void scan_variables(const LogText *text, const JudgeText *t, uint8_t *says, bool *within) {
    for (uint32_t i = 0; i < text->template_count; i++) {
        const LogTemplate *template = &text->templates[i];
        const LogSlot *slots = text->slots + template->first_slot;

        if (says[i] == SAY_YES) continue;
        for (uint32_t s = 0; s < template->slot_count; s++) {
            if ((t->within >> slots[s].type & 1) != 0 &&
                log_var_most(slots[s].type, slots[s].param) >= t->text.len)
                within[slots[s].column] = true;
            if (says[i] == SAY_NO && may_cross(t, template, slots, s)) says[i] = SAY_ROW;
        }
    }
}

/* What templates say of one text, the most of it and what they said before. */
static ErrCode scan_text(Picking *p, uint32_t number, uint8_t *says, Error *err) {
    const JudgeText *t = &p->judge->texts[number];
    LogText *text = p->text;
    bool *within = ARENA_ARRAY(text->decoder->arena, bool, (size_t)text->var_count + 1);

    if (within == NULL) return log_page_no_memory(err);
    if (t->text.len == 0 || t->odd) {
        for (uint32_t i = 0; i < text->template_count; i++)
            says[i] = MAX(says[i], t->text.len == 0 ? SAY_YES : SAY_ROW);
        return ERR_OK;
    }
    if (t->whole) {
        log_whole_in_templates(text, t, says, within);
    } else {
        scan_constants(text, t, says);
        scan_variables(text, t, says, within);
    }
    for (uint32_t c = 0; c < text->var_count; c++) {
        const uint8_t *hits = NULL;

        if (!within[c]) continue;
        TRY(log_text_need(text, c, err));
        if (text->vars[c].type != LOG_VAR_CLOCK)
            TRY(column_hits(text, p->judge, c, number, &hits, err));
        if (hits == NO_HITS) continue;
        for (uint32_t u = text->use_start[c]; u < text->use_start[c + 1]; u++)
            says[text->uses[u] >> 8] = MAX(says[text->uses[u] >> 8], SAY_ROW);
    }
    return ERR_OK;
}

/* Templates with a backslash say yes. What stands behind a mark may look like one, and passes. */
static void scan_slashes(const LogText *text, uint8_t *says) {
    Str all = text->all_text;
    uint32_t i = 0;

    while (all.len > 0) {
        const char *found = memchr(all.ptr, '\\', all.len), *end;

        if (found == NULL) return;
        while (text->templates[i].text.ptr + text->templates[i].text.len <= found) i++;
        says[i] = SAY_YES;
        end = text->templates[i].text.ptr + text->templates[i].text.len;
        all = str_from(all, (size_t)(end - all.ptr));
    }
}

/* What templates say of one needle joins what they say of the others. */
static ErrCode scan_needle(Picking *p, const JudgeNeedle *needle, uint8_t *says, Error *err) {
    uint32_t count = p->text->template_count;

    memset(says, needle->fold ? SAY_ROW : SAY_NO, count);
    for (uint32_t i = needle->first; i < needle->end && !needle->fold; i++)
        TRY(scan_text(p, i, says, err));
    if (needle->escapes) scan_slashes(p->text, says);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t say = says[i];

        if (needle->negated && say != SAY_ROW) say = say == SAY_YES ? SAY_NO : SAY_YES;
        p->say[i] = MIN(p->say[i], say);
    }
    return ERR_OK;
}

/* Rows of templates that say neither yes nor no at a glance are looked at more closely. */
static ErrCode say_of_all(Picking *p, LogJudge *judge, bool *all, Error *err) {
    LogText *text = p->text;
    uint8_t *says = arena_alloc(text->decoder->arena, (size_t)text->template_count + 1);

    if (says == NULL) return log_page_no_memory(err);
    memset(p->say, SAY_YES, text->template_count);
    for (size_t n = 0; n < judge->needle_count; n++)
        TRY(scan_needle(p, &judge->needles[n], says, err));
    *all = true;
    for (uint32_t i = 0; i < text->template_count; i++) {
        LogShape *shape;

        if (p->say[i] == SAY_ROW) {
            TRY(log_text_shape_of(text, &text->templates[i], &shape, err));
            if ((shape->verdict == NULL || shape->verdict->judge != judge->number) &&
                judge_shape(judge, text->decoder->shapes, shape) == NULL)
                return log_page_no_memory(err);
            TRY(say_of(p, &text->templates[i], &p->say[i], err));
        }
        *all &= p->say[i] == SAY_YES;
    }
    return ERR_OK;
}

static ErrCode pick(Picking *p, LogPicked *picked, Error *err) {
    uint32_t *rows =
        arena_alloc(p->text->decoder->arena, ((size_t)picked->count + 1) * sizeof *rows);
    uint32_t n = 0;

    if (rows == NULL) return log_page_no_memory(err);
    for (uint32_t i = 0; i < picked->count; i++) {
        uint32_t row = log_picked_row(picked, i);
        uint8_t say = p->say[log_text_template(p->text, row)];
        bool passes = say != SAY_NO;

        if (say == SAY_ROW) TRY(row_passes(p, row, &passes, err));
        rows[n] = row;
        n += passes;
    }
    picked->rows = rows;
    picked->count = n;
    return ERR_OK;
}

ErrCode log_text_pick(LogText *text, const LogFilter *filter, LogPicked *picked, bool *exact,
                      Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(text->decoder->arena));
    LogJudge *judge = text->decoder->judge;
    Picking p = {.text = text, .judge = judge, .scratch = scratch};
    bool all = false;

    if (scratch == NULL || !log_judge_take(judge, filter)) return log_page_no_memory(err);
    p.say = arena_alloc(text->decoder->arena, (size_t)text->template_count + 1);
    if (p.say == NULL) return log_page_no_memory(err);
    TRY(say_of_all(&p, judge, &all, err));
    *exact = !judge->loose;
    return all ? ERR_OK : pick(&p, picked, err);
}

ErrCode log_text_may_hold(LogText *text, const LogNeedle *any, bool *may, Error *err) {
    CLEANUP(arena_free) Arena *scratch = arena_new(0, arena_budget(text->decoder->arena));
    LogJudge *judge = text->decoder->metadata_judge;
    LogFilter filter = {.needles = any, .needle_count = 1};
    Picking p = {.text = text, .judge = judge, .scratch = scratch};
    bool all;

    if (scratch == NULL || !log_judge_take(judge, &filter)) return log_page_no_memory(err);
    p.say = arena_alloc(text->decoder->arena, (size_t)text->template_count + 1);
    if (p.say == NULL) return log_page_no_memory(err);
    TRY(say_of_all(&p, judge, &all, err));
    *may = judge->loose;
    for (uint32_t i = 0; i < text->template_count && !*may; i++) *may = p.say[i] != SAY_NO;
    return ERR_OK;
}
