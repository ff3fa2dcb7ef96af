#pragma once
/*
 * log.h: structured lines on stderr, logfmt, one write each. Who answers the client or ends the
 * job logs, once; never per item.
 *
 *     LOG_WARN("flush failed", LOG_U64("lane", lane->id), LOG_ERR(&err));
 *     ts=2026-01-02T03:04:05.678Z level=warn msg="flush failed" lane=2 code=unavailable err="..."
 *
 * Thread-safe. Values are quoted and escaped as needed.
 */
#include "common/base/error.h"
#include "common/base/str.h"

typedef enum LogLevel { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR } LogLevel;

typedef struct LogField {
    const char *key;
    enum { LOG_FIELD_STR, LOG_FIELD_I64, LOG_FIELD_U64, LOG_FIELD_DOUBLE, LOG_FIELD_ERR } kind;
    union {
        Str str;
        int64_t i64;
        uint64_t u64;
        double number;
        const Error *err;
    } value;
} LogField;

#define LOG_STR(key_, s) ((LogField){.key = (key_), .kind = LOG_FIELD_STR, .value.str = (s)})
#define LOG_CSTR(key_, s) ((LogField){.key = (key_), .kind = LOG_FIELD_STR, .value.str = str_of(s)})
#define LOG_I64(key_, v) ((LogField){.key = (key_), .kind = LOG_FIELD_I64, .value.i64 = (v)})
#define LOG_U64(key_, v) ((LogField){.key = (key_), .kind = LOG_FIELD_U64, .value.u64 = (v)})
#define LOG_DOUBLE(key_, v)                                                                        \
    ((LogField){.key = (key_), .kind = LOG_FIELD_DOUBLE, .value.number = (v)})
#define LOG_ERR(e) ((LogField){.key = "err", .kind = LOG_FIELD_ERR, .value.err = (e)})

void log_set_level(LogLevel level);
MUST_USE bool log_level_parse(Str name, LogLevel *out); /* debug, info, warn, error */
bool log_enabled(LogLevel level);
void log_write(LogLevel level, const char *msg, const LogField *fields, size_t count);

#define LOG_AT(level, msg, ...)                                                                    \
    do {                                                                                           \
        if (log_enabled(level)) {                                                                  \
            LogField log_fields_[] = {__VA_ARGS__ __VA_OPT__(, ) LOG_U64(NULL, 0)};                \
            log_write(level, msg, log_fields_, ARRAY_LEN(log_fields_) - 1);                        \
        }                                                                                          \
    } while (0)
#define LOG_DEBUG(msg, ...) LOG_AT(LOG_LEVEL_DEBUG, msg __VA_OPT__(, ) __VA_ARGS__)
#define LOG_INFO(msg, ...) LOG_AT(LOG_LEVEL_INFO, msg __VA_OPT__(, ) __VA_ARGS__)
#define LOG_WARN(msg, ...) LOG_AT(LOG_LEVEL_WARN, msg __VA_OPT__(, ) __VA_ARGS__)
#define LOG_ERROR(msg, ...) LOG_AT(LOG_LEVEL_ERROR, msg __VA_OPT__(, ) __VA_ARGS__)
