#include "common/base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"

enum { LINE_BYTES_MAX = 8192 };

static _Atomic int lowest = LOG_LEVEL_INFO;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

typedef struct Line {
    char text[LINE_BYTES_MAX];
    size_t len;
    bool cut; /* nothing follows what did not fit */
} Line;

void log_set_level(LogLevel level) {
    atomic_store_explicit(&lowest, (int)level, memory_order_relaxed);
}

bool log_level_parse(Str name, LogLevel *out) {
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++)
        if (str_equal(name, str_of(level_names[i]))) {
            *out = (LogLevel)i;
            return true;
        }
    return false;
}

bool log_enabled(LogLevel level) {
    return (int)level >= atomic_load_explicit(&lowest, memory_order_relaxed);
}

/* Two bytes are always left: for the quote that ends a value and for the newline. */
static size_t room(const Line *line) {
    return line->cut || line->len > LINE_BYTES_MAX - 2 ? 0 : LINE_BYTES_MAX - 2 - line->len;
}

static void add(Line *line, const char *text, size_t len) {
    size_t fits = MIN(len, room(line));

    memcpy(line->text + line->len, text, fits);
    line->len += fits;
    if (fits < len) line->cut = true;
}

static void add_text(Line *line, const char *text) {
    add(line, text, strlen(text));
}

static bool is_plain(Str s) {
    if (s.len == 0) return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f) return false;
    }
    return true;
}

static void add_value(Line *line, Str s) {
    static const char hex[] = "0123456789abcdef";

    if (is_plain(s)) {
        add(line, s.ptr, s.len);
        return;
    }
    if (room(line) == 0) return;
    add(line, "\"", 1);
    /* Stops where an escape might not fit, so that none is cut in two. */
    for (size_t i = 0; i < s.len && !line->cut; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (room(line) < 4) {
            line->cut = true;
        } else if (c == '"' || c == '\\') {
            char pair[2] = {'\\', (char)c};

            add(line, pair, 2);
        } else if (c == '\n') {
            add(line, "\\n", 2);
        } else if (c < 0x20 || c == 0x7f) {
            char escape[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};

            add(line, escape, 4);
        } else {
            add(line, (const char *)&c, 1);
        }
    }
    line->text[line->len++] = '"';
}

static void add_time(Line *line) {
    int64_t now = clock_now_ms(clock_system());
    time_t seconds = (time_t)(now / 1000);
    struct tm utc;
    char text[64];

    gmtime_r(&seconds, &utc);
    snprintf(text, sizeof text, "ts=%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900,
             utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, (int)(now % 1000));
    add_text(line, text);
}

static void add_field(Line *line, const LogField *field) {
    char number[40];

    add(line, " ", 1);
    if (field->kind == LOG_FIELD_ERR) {
        const Error *err = field->value.err;

        add_text(line, "code=");
        add_text(line, error_code_name(err->code));
        add_text(line, " err=");
        add_value(line, str_of(err->text));
        return;
    }
    add_text(line, field->key);
    add(line, "=", 1);
    switch (field->kind) {
    case LOG_FIELD_STR:
        add_value(line, field->value.str);
        return;
    case LOG_FIELD_I64:
        snprintf(number, sizeof number, "%lld", (long long)field->value.i64);
        break;
    case LOG_FIELD_U64:
        snprintf(number, sizeof number, "%llu", (unsigned long long)field->value.u64);
        break;
    default:
        snprintf(number, sizeof number, "%.6g", field->value.number);
        break;
    }
    add_text(line, number);
}

void log_write(LogLevel level, const char *msg, const LogField *fields, size_t count) {
    Line line;

    line.len = 0;
    line.cut = false;
    add_time(&line);
    add_text(&line, " level=");
    add_text(&line, level_names[level]);
    add_text(&line, " msg=");
    add_value(&line, str_of(msg));
    for (size_t i = 0; i < count; i++) add_field(&line, &fields[i]);
    line.text[line.len++] = '\n';
    /* There is nobody to tell when stderr fails. */
    ssize_t written = write(STDERR_FILENO, line.text, line.len);
    (void)written;
}
