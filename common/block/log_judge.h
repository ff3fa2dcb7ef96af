#pragma once
/*
 * log_judge.h: a filter, made ready for telling templates by it. Private to common/block.
 */
#include "common/block/log_page.h"
#include "common/block/log_text.h"

enum {
    LOG_JUDGE_TEXTS_MAX = 32, /* of all needles; with more of them rows are not told apart */
};

typedef struct JudgeText {
    Str text;
    uint64_t of_byte[256]; /* bit i: byte i of the text may be this one */
    uint64_t of_type[LOG_VAR_TYPES];
    uint64_t last;
    bool cut;       /* the bits are of the beginning only */
    bool odd;       /* holds LOG_MARK or nothing: only whole lines tell */
    bool whole;     /* LogValue.whole */
    Str key;        /* LogValue.key */
    uint64_t id[2]; /* of 36 bytes that are a UUID: its value as stored */
    bool is_uuid;
    /* Sets of types, a bit each: of variables that the text may go on in behind this byte, or go on
     * with this byte behind, or be within; and, by type, of variables it may go on in behind one.
     */
    uint16_t into[256];
    uint16_t out_of[256];
    uint16_t within;
    uint16_t after[LOG_VAR_TYPES];
} JudgeText;

typedef struct JudgeNeedle {
    uint32_t first; /* of the judge's texts */
    uint32_t end;
    bool negated;
    bool fold;
    bool escapes; /* a line with a backslash passes */
} JudgeNeedle;

/* The filter that verdicts are of. */
typedef struct LogJudge {
    Arena *arena;
    Hash128 filter;
    uint64_t number; /* of this filter, never 0 */
    JudgeNeedle *needles;
    size_t needle_count;
    JudgeText *texts;
    size_t text_count;
    bool loose; /* there is more to the filter than what is judged */
} LogJudge;

/* Makes this filter's needles and values the judge's. False: out of memory. */
MUST_USE bool log_judge_take(LogJudge *judge, const LogFilter *filter);
/* What of one of its values stands in the line that it is from as one piece: what is no UTF-8 there
 * may have become spaces. Empty: too little to look for. *whole: it is all, between delimiters. */
Str log_value_piece(const LogValue *value, size_t i, bool *whole);
/* Whether lines can be told by the pieces of a value. */
bool log_value_tells(const LogValue *value);
/* Whether a value of such a key may stand behind this text, whatever is before it, and before the
 * byte `c`. */
bool log_value_begins_behind(Str before, Str key);
static inline bool log_value_ends_before(char c) {
    return c == '"' || c == ',' || c == '}' || c == ']' || c == '=' || (uint8_t)c <= ' ';
}
/* Texts of which metadata's canonical bytes hold one, if it has one of the filter's values. False:
 * out of memory. */
MUST_USE bool log_values_in_metadata(Arena *arena, const LogFilter *filter, LogNeedle *out);
/* Bytes that a variable of a type may hold, and how many at most. */
bool log_var_may_hold(unsigned type, uint8_t c);
size_t log_var_most(unsigned type, unsigned param);

/* ---------- what a shape says ---------- */

/* In this order: the more of them, the more rows. */
typedef enum Say { SAY_NO, SAY_ROW, SAY_YES } Say;

/* A text may be within this variable. */
typedef struct JudgeInside {
    uint16_t text;
    uint16_t slot;
} JudgeInside;

/* Of one text and one shape. */
typedef struct Finding {
    bool yes;
    uint32_t first_part; /* across parts; end_part 0: not */
    uint32_t end_part;
} Finding;

/* ---------- log_text_whole.c: texts that stand between delimiters ---------- */

/* Whether a line that is in one piece has it. */
bool log_whole_in_line(Str line, Str text, Str key);
/* Where lines of a shape may have text `number`: for sure, in variables that are all of it, or
 * across parts. True: for sure. */
bool log_whole_in_shape(const LogShape *shape, const JudgeText *t, uint32_t number,
                        JudgeInside *inside, size_t *inside_count, Finding *f);
/* Likewise of a page's templates, at a glance: raises says[template]. Sets within[column] where a
 * variable may be all of the text. */
void log_whole_in_templates(const LogText *text, const JudgeText *t, uint8_t *says, bool *within);
/* Marks the variables of a column that are the text; false: none is. */
bool log_whole_in_column(const LogVarData *v, Str text, uint8_t *hits);
