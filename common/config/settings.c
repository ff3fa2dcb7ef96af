/*
 * settings.c: what one table of settings is good for: defaults, values, help and documentation.
 */
#include <stdio.h>

#include "common/config/config.h"

static bool name_equal(Str a, const char *b) {
    for (size_t i = 0; i < a.len; i++) {
        char x = a.ptr[i] == '-' ? '_' : a.ptr[i];
        char y = b[i] == '-' ? '_' : b[i];

        if (y == '\0' || x != y) return false;
    }
    return b[a.len] == '\0';
}

const ConfigSetting *config_find(ConfigTable table, Str name) {
    for (size_t i = 0; i < table.count; i++)
        if (name_equal(name, table.settings[i].name)) return &table.settings[i];
    return NULL;
}

void config_defaults(ConfigTable table, Arena *arena, void *target) {
    for (size_t i = 0; i < table.count; i++) {
        Error err = {0};
        ErrCode code;

        if (table.settings[i].type == CONFIG_STR) { /* of the table: needs no memory */
            *(Str *)(void *)((char *)target + table.settings[i].offset) =
                str_of(table.settings[i].default_text);
            continue;
        }
        code = config_set(&table.settings[i], arena, target, str_of(table.settings[i].default_text),
                          &err);

        assert(code == ERR_OK && "a default must satisfy its own setting");
        (void)code;
    }
}

static const char *type_expects(ConfigType type) {
    switch (type) {
    case CONFIG_STR:
        return "text";
    case CONFIG_BOOL:
        return "true or false";
    case CONFIG_U64:
        return "a whole number";
    case CONFIG_DOUBLE:
        return "a number";
    case CONFIG_BYTES:
        return "a size such as 512MiB";
    case CONFIG_DURATION:
        return "a duration such as 30s, 2h or 7d";
    case CONFIG_CHOICE:
        return "one of the choices";
    }
    return "a value";
}

static ErrCode refuse(const ConfigSetting *setting, Str text, Error *err) {
    return error_set(err, ERR_INVALID, "%s: \"" STR_FMT "\" is not %s", setting->name,
                     STR_ARG(str_slice(text, 0, 80)), type_expects(setting->type));
}

static ErrCode check_bounds(const ConfigSetting *setting, Str text, double value, Error *err) {
    if (setting->lowest == 0 && setting->highest == 0) return ERR_OK;
    if (value >= setting->lowest && value <= setting->highest) return ERR_OK;
    return error_set(err, ERR_INVALID, "%s: \"" STR_FMT "\" is not between %.15g and %.15g%s",
                     setting->name, STR_ARG(text), setting->lowest, setting->highest,
                     setting->type == CONFIG_DURATION ? " ms"
                     : setting->type == CONFIG_BYTES  ? " bytes"
                                                      : "");
}

static bool parse_bool(Str text, bool *out) {
    static const Str yes[] = {STR_INIT("true"), STR_INIT("on"), STR_INIT("yes")};
    static const Str no[] = {STR_INIT("false"), STR_INIT("off"), STR_INIT("no")};

    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (str_equal_nocase(text, yes[i])) return *out = true, true;
        if (str_equal_nocase(text, no[i])) return *out = false, true;
    }
    return false;
}

static ErrCode set_choice(const ConfigSetting *setting, int *field, Str text, Error *err) {
    char all[160];
    size_t used = 0;

    for (int i = 0; setting->choices[i] != NULL; i++) {
        if (str_equal(text, str_of(setting->choices[i]))) {
            *field = i;
            return ERR_OK;
        }
        int n = snprintf(all + used, sizeof all - used, "%s%s", i == 0 ? "" : ", ",
                         setting->choices[i]);
        used = MIN(used + (size_t)MAX(n, 0), sizeof all - 1);
    }
    return error_set(err, ERR_INVALID, "%s: \"" STR_FMT "\" is not one of %s", setting->name,
                     STR_ARG(str_slice(text, 0, 80)), all);
}

ErrCode config_set(const ConfigSetting *setting, Arena *arena, void *target, Str text, Error *err) {
    void *field = (char *)target + setting->offset;

    switch (setting->type) {
    case CONFIG_STR: {
        Str copy = str_dup(arena, text);

        if (copy.ptr == NULL) return error_set(err, ERR_LIMIT, "%s: out of memory", setting->name);
        *(Str *)field = copy;
        return ERR_OK;
    }
    case CONFIG_BOOL: {
        bool value;

        if (!parse_bool(text, &value)) return refuse(setting, text, err);
        *(bool *)field = value;
        return ERR_OK;
    }
    case CONFIG_U64:
    case CONFIG_BYTES: {
        uint64_t value;
        bool ok = setting->type == CONFIG_U64 ? str_to_u64(text, &value)
                                              : config_parse_bytes(text, &value);

        if (!ok) return refuse(setting, text, err);
        TRY(check_bounds(setting, text, (double)value, err));
        *(uint64_t *)field = value;
        return ERR_OK;
    }
    case CONFIG_DOUBLE: {
        double value;

        if (!str_to_double(text, &value) || value != value) return refuse(setting, text, err);
        TRY(check_bounds(setting, text, value, err));
        *(double *)field = value;
        return ERR_OK;
    }
    case CONFIG_DURATION: {
        int64_t value;

        if (!config_parse_duration(text, &value)) return refuse(setting, text, err);
        TRY(check_bounds(setting, text, (double)value, err));
        *(int64_t *)field = value;
        return ERR_OK;
    }
    case CONFIG_CHOICE:
        return set_choice(setting, field, text, err);
    }
    return error_set(err, ERR_INTERNAL, "%s: unknown type", setting->name);
}

/* Breaks `text` at spaces so that no line passes column 96. */
static void write_wrapped(Buf *out, const char *text, const char *indent) {
    size_t column = strlen(indent);

    buf_append_str(out, str_of(indent));
    while (*text != '\0') {
        size_t word = strcspn(text, " ");

        if (column + word > 96) {
            buf_append_str(out, STR("\n"));
            buf_append_str(out, str_of(indent));
            column = strlen(indent);
        }
        buf_append(out, text, word);
        column += word;
        text += word;
        if (*text == ' ') {
            buf_append_byte(out, ' ');
            column++;
            text++;
        }
    }
    buf_append_byte(out, '\n');
}

static const char *type_argument(const ConfigSetting *setting) {
    if (setting->argument != NULL) return setting->argument;
    switch (setting->type) {
    case CONFIG_STR:
        return "TEXT";
    case CONFIG_BOOL:
        return "true|false";
    case CONFIG_U64:
    case CONFIG_DOUBLE:
        return "N";
    case CONFIG_BYTES:
        return "SIZE";
    case CONFIG_DURATION:
        return "DURATION";
    case CONFIG_CHOICE:
        return "CHOICE";
    }
    return "VALUE";
}

void config_write_help(ConfigTable table, Buf *out) {
    for (size_t i = 0; i < table.count; i++) {
        const ConfigSetting *setting = &table.settings[i];

        buf_printf(out, "  --%s %s", setting->name, type_argument(setting));
        if (setting->default_text[0] != '\0')
            buf_printf(out, "  (default: %s)", setting->default_text);
        buf_append_byte(out, '\n');
        write_wrapped(out, setting->help, "        ");
    }
}

void config_write_markdown(ConfigTable table, const char *prefix, Buf *out) {
    buf_append_str(out, STR("| setting | value | default | what it does |\n|---|---|---|---|\n"));
    for (size_t i = 0; i < table.count; i++) {
        const ConfigSetting *setting = &table.settings[i];

        buf_printf(out, "| `%s%s` | ", prefix, setting->name);
        if (setting->type == CONFIG_CHOICE) {
            for (int c = 0; setting->choices[c] != NULL; c++)
                buf_printf(out, "%s`%s`", c == 0 ? "" : ", ", setting->choices[c]);
        } else {
            buf_append_str(out, str_of(type_expects(setting->type)));
        }
        if (setting->default_text[0] == '\0')
            buf_append_str(out, STR(" | none | "));
        else
            buf_printf(out, " | `%s` | ", setting->default_text);
        buf_append_str(out, str_of(setting->help));
        buf_append_str(out, STR(" |\n"));
    }
}
