#include "common/block/log_judge.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum {
    SEARCH_BITS = 64,    /* of a longer text, the beginning is looked for in variables */
    PIECE_BYTES_MIN = 3, /* shorter ones are in most lines */
    DIGITS_TELL_MIN = 8,
};

/* Bytes that a variable of a type may hold. */
bool log_var_may_hold(unsigned type, uint8_t c) {
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

size_t log_var_most(unsigned type, unsigned param) {
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

static void add_byte(JudgeText *t, uint8_t c, uint64_t bit) {
    t->of_byte[c] |= bit;
    for (unsigned type = 1; type < LOG_VAR_TYPES; type++) {
        if (log_var_may_hold(type, c)) t->of_type[type] |= bit;
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
static void take_neighbours(JudgeText *t) {
    const uint8_t *text = (const uint8_t *)t->text.ptr;

    for (unsigned type = 1; type < LOG_VAR_TYPES; type++) {
        uint16_t bit = (uint16_t)(1u << type);
        bool within = true; /* all before i */

        for (size_t i = 0; i < t->text.len; i++) {
            bool holds = log_var_may_hold(type, text[i]);

            if (i > 0 && holds) t->into[text[i - 1]] |= bit;
            if (i > 0 && within) t->out_of[text[i]] |= bit;
            for (unsigned before = 1; i > 0 && holds && before < LOG_VAR_TYPES; before++) {
                if (log_var_may_hold(before, text[i - 1])) t->after[before] |= bit;
            }
            within &= holds;
        }
        if (within) t->within |= bit;
    }
}

static void text_init(JudgeText *t, Str text, bool fold) {
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

LogJudge *log_judge_new(Budget *budget, uint64_t first) {
    LogJudge *judge = calloc(1, sizeof *judge);

    if (judge == NULL) return NULL;
    judge->number = first;
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

/* ---------- values ---------- */

/* The longest part without spaces. */
static Str longest_word(Str text) {
    Str best = {text.ptr, 0};

    while (text.len > 0) {
        const char *space = memchr(text.ptr, ' ', text.len);
        size_t n = space == NULL ? text.len : (size_t)(space - text.ptr);

        if (n > best.len) best = str_slice(text, 0, n);
        text = str_from(text, MIN(n + 1, text.len));
    }
    return best;
}

/* Digits alone, or nearly, are in too many variables of most lines. */
static bool is_telling(Str piece) {
    size_t others = 0;

    if (piece.len >= DIGITS_TELL_MIN) return true;
    for (size_t i = 0; i < piece.len; i++) others += !isxdigit((unsigned char)piece.ptr[i]);
    return piece.len >= PIECE_BYTES_MIN && others > 0;
}

Str log_value_piece(const LogValue *value, size_t i, bool *whole) {
    Str all = value->any[i], piece = longest_word(all);

    *whole = value->whole && piece.len == all.len && all.ptr[0] != '{' && all.ptr[0] != '[';
    return *whole || is_telling(piece) ? piece : (Str){"", 0};
}

bool log_value_tells(const LogValue *value) {
    bool whole;

    if (value->label.len == 0) return false;
    for (size_t i = 0; i < value->count; i++)
        if (log_value_piece(value, i, &whole).len == 0) return false;
    return value->count <= LOG_JUDGE_TEXTS_MAX;
}

/* As canonical bytes have it (labels.h), without the mark of variables, by which templates tell
 * nothing: the longest part that has none. */
static Str pair_part(Arena *arena, Str name, Str value) {
    LabelPair pair = {name, value};
    CLEANUP_IN_PLACE(buf_done) Buf bytes = {0};
    Str best = {NULL, 0}, left;

    buf_init(&bytes, 0);
    labels_encode((LabelPairs){&pair, 1}, &bytes);
    if (buf_failed(&bytes)) return best;
    for (left = buf_str(&bytes); left.len > 0;) {
        const char *mark = memchr(left.ptr, LOG_MARK, left.len);
        size_t n = mark == NULL ? left.len : (size_t)(mark - left.ptr);

        if (n > best.len) best = str_slice(left, 0, n);
        left = str_from(left, MIN(n + 1, left.len));
    }
    return str_dup(arena, best);
}

bool log_values_in_metadata(Arena *arena, const LogFilter *filter, LogNeedle *out) {
    size_t count = 0;
    Str *any;

    for (size_t i = 0; i < filter->value_count; i++) count += filter->values[i].count;
    any = ARENA_ARRAY(arena, Str, count + 1);
    if (any == NULL) return false;
    *out = (LogNeedle){.any = any};
    for (size_t i = 0; i < filter->value_count; i++) {
        const LogValue *value = &filter->values[i];

        for (size_t k = 0; k < value->count; k++) {
            Str part = pair_part(arena, value->label, value->any[k]);

            if (part.ptr == NULL) return false;
            any[out->count++] = part;
        }
    }
    return true;
}

/* ---------- the filter ---------- */

static void hash_texts(Hash128 *hash, const Str *any, size_t count, uint64_t what) {
    uint64_t head[] = {hash->low, hash->high, count, what};

    *hash = hash_bytes_128(head, sizeof head, 0);
    for (size_t k = 0; k < count; k++) {
        Hash128 text = hash_bytes_128(any[k].ptr, any[k].len, hash->low);

        hash->low ^= text.high;
        hash->high = hash->high * 3 + text.low;
    }
}

/* A filter by all that it says of lines. */
static Hash128 filter_hash(const LogFilter *filter) {
    Hash128 hash = {filter->needle_count, filter->value_count};

    for (size_t i = 0; i < filter->needle_count; i++) {
        const LogNeedle *needle = &filter->needles[i];

        hash_texts(&hash, needle->any, needle->count,
                   (uint64_t)needle->fold_case << 1 | needle->negated);
    }
    for (size_t i = 0; i < filter->value_count; i++) {
        const LogValue *value = &filter->values[i];

        hash_texts(&hash, value->any, value->count,
                   4u | (unsigned)value->whole << 1 | value->escapes);
        hash_texts(&hash, &value->key, 1, 8);
    }
    return hash;
}

static bool add_needle(LogJudge *judge, const LogNeedle *from) {
    JudgeNeedle *needle = &judge->needles[judge->needle_count];

    if (from->fold_case && from->negated) return judge->loose = true;
    if (judge->text_count + from->count > LOG_JUDGE_TEXTS_MAX) return judge->loose = true;
    *needle = (JudgeNeedle){.first = (uint32_t)judge->text_count,
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

/* Nobody takes it for done that entries have these values, so that one more or less does not
 * matter. False: out of memory. */
static bool add_value(LogJudge *judge, const LogValue *from) {
    JudgeNeedle *needle = &judge->needles[judge->needle_count];
    Str key;

    if (!log_value_tells(from) || judge->text_count + from->count > LOG_JUDGE_TEXTS_MAX)
        return true;
    key = str_dup(judge->arena, from->key);
    if (key.ptr == NULL) return false;
    *needle = (JudgeNeedle){.first = (uint32_t)judge->text_count,
                            .end = (uint32_t)(judge->text_count + from->count),
                            .escapes = from->escapes};
    for (size_t i = 0; i < from->count; i++) {
        bool whole;
        Str text = str_dup(judge->arena, log_value_piece(from, i, &whole));

        if (text.ptr == NULL) return false;
        text_init(&judge->texts[judge->text_count], text, false);
        judge->texts[judge->text_count].whole = whole;
        judge->texts[judge->text_count++].key = key;
    }
    judge->needle_count++;
    return true;
}

bool log_judge_take(LogJudge *judge, const LogFilter *filter) {
    Hash128 hash = filter_hash(filter);
    size_t texts = 0;

    if (judge->needles != NULL && judge->filter.low == hash.low && judge->filter.high == hash.high)
        return true;
    arena_reset(judge->arena);
    *judge = (LogJudge){.arena = judge->arena, .number = judge->number};
    judge->needles =
        ARENA_ARRAY(judge->arena, JudgeNeedle, filter->needle_count + filter->value_count + 1);
    for (size_t i = 0; i < filter->needle_count; i++) texts += filter->needles[i].count;
    for (size_t i = 0; i < filter->value_count; i++) texts += filter->values[i].count;
    judge->texts =
        ARENA_ARRAY(judge->arena, JudgeText, MIN(texts, (size_t)LOG_JUDGE_TEXTS_MAX) + 1);
    if (judge->needles == NULL || judge->texts == NULL) return false;
    for (size_t i = 0; i < filter->needle_count; i++) {
        if (!add_needle(judge, &filter->needles[i])) return false;
    }
    for (size_t i = 0; i < filter->value_count; i++) {
        if (!add_value(judge, &filter->values[i])) return false;
    }
    judge->filter = hash;
    judge->number++;
    return true;
}
