#pragma once
/*
 * log_text.h: lines as templates and variables. Private to common/block. docs/FORMATS.md#logs.
 *
 * A template is a line with its numbers, ids, addresses and times of day taken out; what was taken
 * out lies in columns of its type, one for each place that the text before it makes. Whatever a
 * line holds, template and variables give back its bytes.
 */
#include "common/base/buf.h"
#include "common/base/str.h"

/* In a template, LOG_MARK, a LogVarType and a parameter stand for a variable; LOG_MARK and 0 for
 * the byte itself. */
enum { LOG_MARK = 0x11 };

/* Never renumber. What the parameter is stands behind each. */
typedef enum LogVarType {
    LOG_VAR_NUMBER = 1, /* 0: decimal, without leading zeros */
    LOG_VAR_DIGITS = 2, /* digits: decimal with leading zeros */
    LOG_VAR_POINT = 3,  /* digits after the point: a decimal fraction */
    LOG_VAR_HEX = 4,    /* digits, 8 to 64; lower case */
    LOG_VAR_UPPER = 5,  /* likewise, upper case */
    LOG_VAR_UUID = 6,   /* 0; lower case */
    LOG_VAR_IP = 7,     /* 0: four numbers up to 255 */
    LOG_VAR_CLOCK = 8, /* digits of the fraction, 16 more with a comma before it: hh:mm:ss.fff, less
                          what the entry's own time says */
    LOG_VAR_WORD = 9,  /* 0: letters and digits */
    LOG_VAR_TYPES = 10,
} LogVarType;

enum {
    LOG_CLOCK_COMMA = 16,
    LOG_HEX_MIN = 8,
    LOG_HEX_MAX = 64,
    LOG_NUMBER_DIGITS_MAX = 18, /* fits into 63 bits */
    LOG_POINT_DIGITS_MAX = 9,
    LOG_WORD_MAX = 255,
    LOG_LINE_VARS_MAX = 200,
};

/* Bytes of a variable in its column; 0 for those that are integers, and for words. */
static inline size_t log_var_bytes(unsigned type, unsigned param) {
    if (type == LOG_VAR_HEX || type == LOG_VAR_UPPER) return (param + 1) / 2;
    return type == LOG_VAR_UUID ? 16 : type == LOG_VAR_IP ? 4 : 0;
}
static inline bool log_var_is_integer(unsigned type) {
    return type == LOG_VAR_NUMBER || type == LOG_VAR_DIGITS || type == LOG_VAR_POINT ||
           type == LOG_VAR_CLOCK;
}
bool log_var_is_known(unsigned type, unsigned param);

typedef struct LogVar {
    uint8_t type;
    uint8_t param;
    uint32_t at;   /* of its mark in the template */
    int64_t value; /* of integers; a clock's is the time of day in units of its last digit */
    Str text;      /* as it stood in the line */
} LogVar;

/* Takes a line apart: appends to `template`, and up to LOG_LINE_VARS_MAX variables to `vars`;
 * how many. */
size_t log_line_split(Str line, Buf *template, LogVar *vars);

/* The time of day of an entry, in units of 10^-digits seconds. */
static inline int64_t log_clock_of(int64_t time_ns, unsigned digits) {
    const int64_t day_ns = 86400000000000;
    int64_t of_day = time_ns % day_ns, unit = 1;

    if (of_day < 0) of_day += day_ns;
    for (unsigned i = digits; i < 9; i++) unit *= 10;
    return of_day / unit;
}
