#pragma once
/*
 * config.h: settings as data. One table says name, type, bounds, default and help of each setting;
 * the YAML file, the command line, --help, `config check` and docs/configuration.md all come from
 * it.
 *
 * Names are dotted paths ("memory.limit"): nested mappings in YAML, `--memory.limit` on the command
 * line. Errors say where (file:line), what was found and what was expected.
 */
#include "common/base/buf.h"
#include "common/base/error.h"

typedef enum ConfigType {
    CONFIG_STR,      /* Str */
    CONFIG_BOOL,     /* bool: true, false, on, off, yes, no */
    CONFIG_U64,      /* uint64_t */
    CONFIG_DOUBLE,   /* double */
    CONFIG_BYTES,    /* uint64_t: 512, 64KiB, 1.5GiB, 10MB */
    CONFIG_DURATION, /* int64_t, ms: 250ms, 15s, 2h, 7d, 1h30m, 0; -1: no limit where allowed */
    CONFIG_CHOICE,   /* int: index into `choices` */
} ConfigType;

typedef struct ConfigSetting {
    const char *name;
    ConfigType type;
    size_t offset; /* of the field in the struct that the table describes */
    const char *default_text;
    double lowest; /* of numbers; both 0: no bounds */
    double highest;
    const char *const *choices; /* NULL-terminated, for CONFIG_CHOICE */
    const char *argument;       /* in --help: "ADDR:PORT" */
    const char *help;           /* one or two sentences */
} ConfigSetting;

typedef struct ConfigTable {
    const ConfigSetting *settings;
    size_t count;
} ConfigTable;

/* Sets every field of `target` to its default. Strings point into the table or `arena`. */
void config_defaults(ConfigTable table, Arena *arena, void *target);
/* NULL when there is none; `-` and `_` are the same in names. */
const ConfigSetting *config_find(ConfigTable table, Str name);
/* ERR_INVALID says name, what was found and what was expected. */
MUST_USE ErrCode config_set(const ConfigSetting *setting, Arena *arena, void *target, Str text,
                            Error *err);

/* One scalar of a YAML file, where it stands, and its path with dots. A name that itself holds
 * dots ("retention.metrics: 7d") is the same as nested mappings. Items of lists have their index.
 */
typedef struct ConfigValue {
    Str path;
    /* ${NAME} and ${NAME:-default} (when unset or empty) are expanded from the environment; what
     * comes in is not looked at again. */
    Str text;
    unsigned line;
} ConfigValue;

/* Reads a file's bytes; `file` is for messages. Bounded in size and depth; no aliases, one
 * document, no path twice. In the file's order. */
MUST_USE ErrCode config_parse(Str yaml, Str file, Arena *arena, ConfigValue **out, size_t *count,
                              Error *err);

/* Durations and sizes, also for others that read them: "1h30m" -> 5400000; "64KiB" -> 65536. */
MUST_USE bool config_parse_duration(Str text, int64_t *ms);
MUST_USE bool config_parse_bytes(Str text, uint64_t *bytes);

void config_write_help(ConfigTable table, Buf *out);                         /* for --help */
void config_write_markdown(ConfigTable table, const char *prefix, Buf *out); /* for docs/ */
