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
/* What of a value stands in the line that it is from as one piece: what is no UTF-8 there may have
 * become spaces. Empty: too little to look for. */
Str log_value_piece(Str value);
/* Whether lines can be told by the pieces of a value. */
bool log_value_tells(const LogValue *value);
/* Texts of which metadata's canonical bytes hold one, if it has one of the filter's values. False:
 * out of memory. */
MUST_USE bool log_values_in_metadata(Arena *arena, const LogFilter *filter, LogNeedle *out);
/* Bytes that a variable of a type may hold, and how many at most. */
bool log_var_may_hold(unsigned type, uint8_t c);
size_t log_var_most(unsigned type, unsigned param);
