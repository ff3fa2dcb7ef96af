#include "cli/tools.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/settings.h"
#include "common/block/block.h"

#define FILE_BYTES_MAX GIB(16)

static int complain(const char *what, const Error *err) {
    fprintf(stderr, "moraine: %s%s%s\n", what, what[0] != '\0' ? ": " : "", err->text);
    return 1;
}

static int config_check(int argc, char **argv) {
    CLEANUP(arena_free) Arena *arena = arena_new(MIB(64), NULL);
    Configuration configuration;
    Error err = {0};

    if (configuration_read(argc, argv, arena, &configuration, &err) != ERR_OK)
        return complain("", &err);
    printf("ok: %zu tenants with overrides\n", configuration.override_count);
    return 0;
}

static int config_docs(void) {
    CLEANUP_IN_PLACE(buf_done) Buf out;

    buf_init(&out, MIB(1));
    configuration_write_markdown(&out);
    fwrite(out.ptr, 1, out.len, stdout);
    return buf_failed(&out) ? 1 : 0;
}

int tool_config(int argc, char **argv) {
    if (argc > 0 && strcmp(argv[0], "check") == 0) return config_check(argc - 1, argv + 1);
    if (argc > 0 && strcmp(argv[0], "docs") == 0) return config_docs();
    fputs("usage: moraine config check [--config FILE] [--SETTING VALUE ...]\n"
          "       moraine config docs\n",
          stderr);
    return 2;
}

static ErrCode read_object(const char *name, Buf *out, Error *err) {
    FILE *file = fopen(name, "rbe");
    ErrCode code = ERR_OK;

    if (file == NULL) return error_errno(err, errno, "%s", name);
    for (;;) {
        char *at = buf_reserve(out, MIB(1));
        size_t n;

        if (at == NULL) {
            code = error_set(err, ERR_LIMIT, "%s: out of memory", name);
            break;
        }
        n = fread(at, 1, MIB(1), file);
        buf_added(out, n);
        if (n == 0) {
            if (ferror(file)) code = error_errno(err, errno, "%s", name);
            break;
        }
    }
    fclose(file);
    return code;
}

int tool_block(int argc, char **argv) {
    CLEANUP_IN_PLACE(buf_done) Buf object;
    CLEANUP_IN_PLACE(buf_done) Buf text;
    Error err = {0};
    ErrCode code;

    buf_init(&object, FILE_BYTES_MAX);
    buf_init(&text, GIB(1));
    if (argc != 2 || strcmp(argv[0], "inspect") != 0) {
        fputs("usage: moraine block inspect FILE\n", stderr);
        return 2;
    }
    if (read_object(argv[1], &object, &err) != ERR_OK) return complain("", &err);
    code = block_inspect(buf_str(&object), &text, &err);
    /* What could be read is shown even when the rest is damaged. */
    fwrite(text.ptr, 1, text.len, stdout);
    return code == ERR_OK ? 0 : complain(argv[1], &err);
}
