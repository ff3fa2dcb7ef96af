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

#include "common/block/log_shape.h"
#include "common/block/log_text.h"

enum {
    TEXTS_MAX = 32,     /* of all needles; with more of them rows are not told apart */
    SEARCH_BITS = 64,   /* of a longer text, the beginning is looked for in variables */
    WINDOW_BYTES = 4096 /* parts of a row that are put together on the stack */
};

/* ---------- what is looked for ---------- */

typedef struct Text {
    Str text;
    uint64_t of_byte[256]; /* bit i: byte i of the text may be this one */
    uint64_t of_type[LOG_VAR_TYPES];
    uint64_t last;
    bool cut;       /* the bits are of the beginning only */
    bool odd;       /* holds LOG_MARK or nothing: only whole lines tell */
    uint64_t id[2]; /* of 36 bytes that are a UUID: its value as stored */
    bool is_uuid;
    /* Sets of types, a bit each: of variables that the text may go on in behind this byte, or go on
     * with this byte behind, or be within; and, by type, of variables it may go on in behind one.
     */
    uint16_t into[256];
    uint16_t out_of[256];
    uint16_t within;
    uint16_t after[LOG_VAR_TYPES];
} Text;

typedef struct Needle {
    uint32_t first; /* of the judge's texts */
    uint32_t end;
    bool negated;
    bool fold;
} Needle;

/* The filter that verdicts are of. */
typedef struct LogJudge {
    Arena *arena;
    Hash128 filter;
    uint64_t number; /* of this filter, never 0 */
    Needle *needles;
    size_t needle_count;
    Text *texts;
    size_t text_count;
    bool loose; /* there is more to the filter than what is judged */
} LogJudge;

/* Bytes that a variable of a type may hold. */
static bool var_may_hold(unsigned type, uint8_t c) {
    bool digit = c >= '0' && c <= '9';

    switch (type) {
    case LOG_VAR_NUMBER:
    case LOG_VAR_DIGITS:
        return digit;
    case LOG_VAR_POINT:
    case LOG_VAR_IP:
        return digit || c == '.';
    case LOG_VAR_HEX:
        return digit || (c >= 'a' && c <= 'f');
    case LOG_VAR_UPPER:
        return digit || (c >= 'A' && c <= 'F');
    case LOG_VAR_UUID:
        return digit || (c >= 'a' && c <= 'f') || c == '-';
    case LOG_VAR_CLOCK:
        return digit || c == ':' || c == '.' || c == ',';
    default:
        return digit || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    }
}

static size_t var_most(unsigned type, unsigned param) {
    switch (type) {
    case LOG_VAR_DIGITS:
    case LOG_VAR_HEX:
    case LOG_VAR_UPPER:
        return param;
    case LOG_VAR_UUID:
        return 36;
    case LOG_VAR_IP:
        return 15;
    case LOG_VAR_CLOCK:
        return 18;
    case LOG_VAR_NUMBER:
        return LOG_NUMBER_DIGITS_MAX + 2;
    case LOG_VAR_POINT:
        return LOG_NUMBER_DIGITS_MAX + 4;
    default:
        return LOG_WORD_MAX;
    }
}

static void add_byte(Text *t, uint8_t c, uint64_t bit) {
    t->of_byte[c] |= bit;
    for (unsigned type = 1; type < LOG_VAR_TYPES; type++) {
        if (var_may_hold(type, c)) t->of_type[type] |= bit;
    }
}

static int hex_value(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* As it is stored, if it is one in lower case. */
static bool take_uuid(Str text, uint64_t id[2]) {
    uint8_t bytes[16] = {0};
    size_t n = 0;

    if (text.len != 36) return false;
    for (size_t i = 0; i < text.len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        int value = hex_value(text.ptr[i]);

        if (dash ? text.ptr[i] != '-' : value < 0) return false;
        if (dash) continue;
        bytes[n / 2] = (uint8_t)(bytes[n / 2] << 4 | value);
        n++;
    }
    memcpy(id, bytes, sizeof bytes);
    return true;
}

/* Folding knows ASCII; k and s have relatives beyond it, so that the longest run without them is
 * what is looked for. False: there is none. */
static Str told_part(Str text, bool fold) {
    Str best = {text.ptr, 0};

    if (!fold) return str_slice(text, 0, SEARCH_BITS);
    for (size_t i = 0, n; i < text.len; i += n + 1) {
        for (n = 0; i + n < text.len; n++) {
            uint8_t c = (uint8_t)text.ptr[i + n];

            if (c >= 0x80 || (c | 32) == 'k' || (c | 32) == 's') break;
        }
        if (n > best.len) best = str_slice(text, i, n);
    }
    return str_slice(best, 0, SEARCH_BITS);
}

/* What bytes beside a variable tell of whether the text may lie across its ends. */
static void take_neighbours(Text *t) {
    const uint8_t *text = (const uint8_t *)t->text.ptr;

    for (unsigned type = 1; type < LOG_VAR_TYPES; type++) {
        uint16_t bit = (uint16_t)(1u << type);
        bool within = true; /* all before i */

        for (size_t i = 0; i < t->text.len; i++) {
            bool holds = var_may_hold(type, text[i]);

            if (i > 0 && holds) t->into[text[i - 1]] |= bit;
            if (i > 0 && within) t->out_of[text[i]] |= bit;
            for (unsigned before = 1; i > 0 && holds && before < LOG_VAR_TYPES; before++) {
                if (var_may_hold(before, text[i - 1])) t->after[before] |= bit;
            }
            within &= holds;
        }
        if (within) t->within |= bit;
    }
}

static void text_init(Text *t, Str text, bool fold) {
    Str told = told_part(text, fold);

    memset(t, 0, sizeof *t);
    t->text = text;
    t->odd = told.len == 0 || memchr(text.ptr, LOG_MARK, text.len) != NULL;
    if (t->odd) return;
    for (size_t i = 0; i < told.len; i++) {
        uint8_t c = (uint8_t)told.ptr[i];

        add_byte(t, c, (uint64_t)1 << i);
        if (fold && (c | 32) >= 'a' && (c | 32) <= 'z') add_byte(t, c ^ 32, (uint64_t)1 << i);
    }
    t->last = (uint64_t)1 << (told.len - 1);
    t->cut = told.len < text.len;
    t->is_uuid = !fold && take_uuid(text, t->id);
    if (!fold) take_neighbours(t);
}

LogJudge *log_judge_new(Budget *budget) {
    LogJudge *judge = calloc(1, sizeof *judge);

    if (judge == NULL) return NULL;
    judge->arena = arena_new(0, budget);
    if (judge->arena != NULL) return judge;
    free(judge);
    return NULL;
}

void log_judge_free(LogJudge *judge) {
    if (judge == NULL) return;
    arena_free(judge->arena);
    free(judge);
}

/* A filter by all that it says. */
static Hash128 filter_hash(const LogFilter *filter) {
    Hash128 hash = {filter->needle_count, 0};

    for (size_t i = 0; i < filter->needle_count; i++) {
        const LogNeedle *needle = &filter->needles[i];
        uint64_t head[] = {hash.low, hash.high, needle->count,
                           (uint64_t)needle->fold_case << 1 | needle->negated};

        hash = hash_bytes_128(head, sizeof head, 0);
        for (size_t k = 0; k < needle->count; k++) {
            Hash128 text = hash_bytes_128(needle->any[k].ptr, needle->any[k].len, hash.low);

            hash.low ^= text.high;
            hash.high = hash.high * 3 + text.low;
        }
    }
    return hash;
}

static bool add_needle(LogJudge *judge, const LogNeedle *from) {
    Needle *needle = &judge->needles[judge->needle_count];

    if (from->fold_case && from->negated) return judge->loose = true;
    if (judge->text_count + from->count > TEXTS_MAX) return judge->loose = true;
    *needle = (Needle){.first = (uint32_t)judge->text_count,
                       .end = (uint32_t)(judge->text_count + from->count),
                       .negated = from->negated,
                       .fold = from->fold_case};
    judge->loose |= from->fold_case;
    for (size_t i = 0; i < from->count; i++) {
        Str text = str_dup(judge->arena, from->any[i]);

        if (text.ptr == NULL) return false;
        text_init(&judge->texts[judge->text_count++], text, from->fold_case);
    }
    judge->needle_count++;
    return true;
}

/* Makes this filter the judge's. False: out of memory. */
static bool take_filter(LogJudge *judge, const LogFilter *filter) {
    Hash128 hash = filter_hash(filter);
    size_t texts = 0;

    if (judge->number > 0 && judge->filter.low == hash.low && judge->filter.high == hash.high)
        return true;
    arena_reset(judge->arena);
    *judge = (LogJudge){.arena = judge->arena, .number = judge->number};
    judge->needles = ARENA_ARRAY(judge->arena, Needle, filter->needle_count + 1);
    for (size_t i = 0; i < filter->needle_count; i++) texts += filter->needles[i].count;
    judge->texts = ARENA_ARRAY(judge->arena, Text, MIN(texts, (size_t)TEXTS_MAX) + 1);
    if (judge->needles == NULL || judge->texts == NULL) return false;
    for (size_t i = 0; i < filter->needle_count; i++) {
        if (!add_needle(judge, &filter->needles[i])) return false;
    }
    judge->filter = hash;
    judge->number++;
    return true;
}

/* ---------- what a shape says ---------- */

/* In this order: the more of them, the more rows. */
typedef enum Say { SAY_NO, SAY_ROW, SAY_YES } Say;

/* A text may be within this variable. */
typedef struct Inside {
    uint16_t text;
    uint16_t slot;
} Inside;

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
    const Inside *inside;
} LogVerdict;

/* Of one text and one shape. */
typedef struct Finding {
    bool yes;
    uint32_t first_part; /* across parts; end_part 0: not */
    uint32_t end_part;
} Finding;

/* The text may end in part `p`, having begun before it: parts before that make up its length, each
 * variable having one byte at least. */
static void found_across(const LogShape *shape, const Text *t, uint32_t p, Finding *f) {
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
static uint64_t through_text(const Text *t, Str text, uint64_t state, bool *done) {
    for (size_t i = 0; i < text.len && state != 0; i++) {
        state = state << 1 & t->of_byte[(uint8_t)text.ptr[i]];
        *done |= (state & t->last) != 0;
        state &= ~t->last;
    }
    return state;
}

/* What begins in constant text and reaches its end. */
static uint64_t begun_in_text(const Text *t, Str text, bool *done) {
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
static uint64_t through_variable(const Text *t, unsigned type, uint64_t state) {
    uint64_t next = state & t->of_type[type], before;

    do {
        before = next;
        next |= next << 1 & t->of_type[type];
    } while (next != before);
    return next;
}

/* `fold`: constant text is gone through byte by byte, and a yes is never for sure. */
static bool find_in_shape(const LogShape *shape, const Text *t, uint32_t number, bool fold,
                          Inside *inside, size_t *inside_count, Finding *f) {
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
        if (!fold && (fresh & t->last) != 0 && !t->cut && var_most(type, param) >= t->text.len)
            inside[(*inside_count)++] = (Inside){(uint16_t)number, part->slot};
        /* A text that is longer than its bits may begin in a variable and go on. */
        if (!fold && (fresh & t->last) != 0 && t->cut) found_across(shape, t, p, f);
        state = (carried | fresh) & ~t->last;
    }
    return false;
}

/* What a shape says of one needle; what is open goes to *open. */
static Say judge_needle(const LogJudge *judge, const LogShape *shape, uint32_t number,
                        Inside *inside, size_t *inside_count, Open *open) {
    const Needle *needle = &judge->needles[number];
    size_t before = *inside_count;
    Finding f = {0};

    for (uint32_t i = needle->first; i < needle->end; i++) {
        const Text *t = &judge->texts[i];

        if (t->text.len == 0) return SAY_YES;
        if (t->odd) {
            f.first_part = 0;
            f.end_part = shape->part_count;
            continue;
        }
        if (find_in_shape(shape, t, i, needle->fold, inside, inside_count, &f)) {
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
    Inside *inside;
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
static bool search_words(const LogVarData *v, const Text *t, uint8_t *hits) {
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

static bool search_ids(const LogVarData *v, const Text *t, uint8_t *hits) {
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

static bool search_others(const LogVarData *v, const Text *t, uint8_t *hits) {
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
    const Text *t = &judge->texts[number];
    Arena *arena = text->decoder->arena;
    LogVarData *v = &text->vars[column];
    uint8_t *hits;
    bool any;

    TRY(log_text_need(text, column, err));
    if (v->hits == NULL) {
        v->hits = (const uint8_t **)arena_zalloc(arena, TEXTS_MAX * sizeof *v->hits);
        if (v->hits == NULL) return log_page_no_memory(err);
    }
    if (v->hits[number] == NULL) {
        hits = ARENA_ARRAY(arena, uint8_t, (size_t)v->count + 1);
        if (hits == NULL) return log_page_no_memory(err);
        if (v->type == LOG_VAR_WORD)
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
    const Needle *needle = &p->judge->needles[open->needle];
    LogSpan span = {.first = open->first_part, .end = open->end_part};
    Str part;

    if (arena_used(p->scratch) > WINDOW_BYTES) arena_reset(p->scratch);
    TRY(log_text_span(p->text, row, &span, p->scratch, &part, err));
    for (uint32_t i = needle->first; i < needle->end && !*holds; i++)
        *holds = has_text(part, p->judge->texts[i].text);
    return ERR_OK;
}

static ErrCode is_inside(Picking *p, const LogTemplate *template, const Inside *inside,
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
        const Inside *inside = &verdict->inside[i];
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
static void scan_constants(const LogText *text, const Text *t, uint8_t *says) {
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
static bool may_end_in(const Text *t, const LogTemplate *template, const LogSlot *slots, uint32_t s,
                       size_t len) {
    const LogSlot *slot = &slots[s];
    size_t held = 0;

    while (held < len && var_may_hold(slot->type, (uint8_t)t->text.ptr[len - 1 - held])) held++;
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
static bool may_go_in(const Text *t, const LogTemplate *template, const LogSlot *slots, uint32_t s,
                      Str before) {
    for (size_t i = 1; i < t->text.len; i++) {
        size_t n = MIN(i, before.len);

        if (before.ptr[before.len - 1] != t->text.ptr[i - 1] ||
            !var_may_hold(slots[s].type, (uint8_t)t->text.ptr[i]) ||
            memcmp(before.ptr + before.len - n, t->text.ptr + i - n, n) != 0)
            continue;
        if (n == i || (s > 0 && may_end_in(t, template, slots, s - 1, i - n))) return true;
    }
    return false;
}

/* Likewise begin in a variable and go on in the constant text behind. */
static bool may_go_out(const Text *t, Str behind, bool more, unsigned type) {
    for (size_t i = 1; i < t->text.len && var_may_hold(type, (uint8_t)t->text.ptr[i - 1]); i++) {
        size_t n = MIN(t->text.len - i, behind.len);

        if (t->text.len - i > behind.len && !more) continue;
        if (memcmp(behind.ptr, t->text.ptr + i, n) == 0) return true;
    }
    return false;
}

/* Whether the text may lie across an end of this variable. */
static bool may_cross(const Text *t, const LogTemplate *template, const LogSlot *slots,
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
static void scan_variables(const LogText *text, const Text *t, uint8_t *says, bool *within) {
    for (uint32_t i = 0; i < text->template_count; i++) {
        const LogTemplate *template = &text->templates[i];
        const LogSlot *slots = text->slots + template->first_slot;

        if (says[i] == SAY_YES) continue;
        for (uint32_t s = 0; s < template->slot_count; s++) {
            if ((t->within >> slots[s].type & 1) != 0 &&
                var_most(slots[s].type, slots[s].param) >= t->text.len)
                within[slots[s].column] = true;
            if (says[i] == SAY_NO && may_cross(t, template, slots, s)) says[i] = SAY_ROW;
        }
    }
}

/* What templates say of one text, the most of it and what they said before. */
static ErrCode scan_text(Picking *p, uint32_t number, uint8_t *says, Error *err) {
    const Text *t = &p->judge->texts[number];
    LogText *text = p->text;
    bool *within = ARENA_ARRAY(text->decoder->arena, bool, (size_t)text->var_count + 1);

    if (within == NULL) return log_page_no_memory(err);
    if (t->text.len == 0 || t->odd) {
        for (uint32_t i = 0; i < text->template_count; i++)
            says[i] = MAX(says[i], t->text.len == 0 ? SAY_YES : SAY_ROW);
        return ERR_OK;
    }
    scan_constants(text, t, says);
    scan_variables(text, t, says, within);
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

/* What templates say of one needle joins what they say of the others. */
static ErrCode scan_needle(Picking *p, const Needle *needle, uint8_t *says, Error *err) {
    uint32_t count = p->text->template_count;

    memset(says, needle->fold ? SAY_ROW : SAY_NO, count);
    for (uint32_t i = needle->first; i < needle->end && !needle->fold; i++)
        TRY(scan_text(p, i, says, err));
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

    if (scratch == NULL || !take_filter(judge, filter)) return log_page_no_memory(err);
    p.say = arena_alloc(text->decoder->arena, (size_t)text->template_count + 1);
    if (p.say == NULL) return log_page_no_memory(err);
    TRY(say_of_all(&p, judge, &all, err));
    *exact = !judge->loose;
    return all ? ERR_OK : pick(&p, picked, err);
}
