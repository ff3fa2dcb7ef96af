/*
 * main.c: the table of subcommands, and the life of a serving process.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "cli/app.h"
#include "cli/tools.h"
#include "common/base/log.h"

enum { RELOAD_SECONDS = 10 };

typedef struct Subcommand {
    const char *name;
    const char *help;
    int (*run)(int argc, char **argv);
} Subcommand;

static int run_all(int argc, char **argv);
static int run_help(int argc, char **argv);
static int run_version(int argc, char **argv);

static const Subcommand subcommands[] = {
    {"all", "run all roles in one process (the default)", run_all},
    {"config", "config check: is this configuration right; config docs: the reference",
     tool_config},
    {"block", "block inspect FILE: what a segment or block holds, every checksum checked",
     tool_block},
    {"help", "this text", run_help},
    {"version", "the version", run_version},
};

static int complain(const Error *err) {
    fprintf(stderr, "moraine: %s\n", err->text);
    return 1;
}

static int64_t modified(Str file) {
    char name[4096];
    struct stat info;

    if (file.len == 0 || file.len >= sizeof name) return 0;
    memcpy(name, file.ptr, file.len);
    name[file.len] = '\0';
    return stat(name, &info) == 0 ? (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec
                                  : 0;
}

/* Until SIGTERM or SIGINT; reloads on SIGHUP and when the file changed. */
static void wait_for_end(App *app, Str file, const sigset_t *signals) {
    int64_t seen = modified(file);

    for (;;) {
        struct timespec timeout = {RELOAD_SECONDS, 0};
        int signal = sigtimedwait(signals, NULL, &timeout);
        int64_t now = modified(file);

        if (signal == SIGTERM || signal == SIGINT) return;
        if (signal == SIGHUP || (now != 0 && now != seen)) app_reload(app);
        seen = now;
    }
}

static int run_all(int argc, char **argv) {
    CLEANUP(arena_free) Arena *arena = arena_new(MIB(64), NULL);
    Configuration configuration;
    sigset_t signals;
    struct rlimit files;
    Error err = {0};
    App *app;

    if (configuration_read(argc, argv, arena, &configuration, &err) != ERR_OK)
        return complain(&err);
    log_set_level((LogLevel)configuration.settings.log_level);
    /* Every thread inherits this, so signals come to sigtimedwait() only. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    if (app_start(&configuration, &app, &err) != ERR_OK) return complain(&err);
    wait_for_end(app, configuration.file, &signals);
    LOG_INFO("stopping");
    app_stop(app);
    LOG_INFO("stopped");
    return 0;
}

static int run_help(int argc, char **argv) {
    CLEANUP_IN_PLACE(buf_done) Buf out;

    (void)argc;
    (void)argv;
    buf_init(&out, MIB(1));
    buf_append_str(&out,
                   STR("moraine: metrics, logs and traces on one object store\n\n"
                       "usage: moraine [SUBCOMMAND] [--SETTING VALUE ...]\n\nsubcommands:\n"));
    for (size_t i = 0; i < ARRAY_LEN(subcommands); i++)
        buf_printf(&out, "  %-9s %s\n", subcommands[i].name, subcommands[i].help);
    buf_append_str(&out, STR("\nsettings (the same names in the file that --config names):\n"
                             "  --config FILE\n        YAML file with any of these settings.\n"
                             "  --limits off\n        Lift every limit of tenants.\n"));
    config_write_help(settings_table(), &out);
    buf_append_str(&out, STR("\nlimits of tenants (and per tenant in the file, under "
                             "overrides.TENANT):\n"));
    config_write_help(tenant_limit_table(), &out);
    fwrite(out.ptr, 1, out.len, stdout);
    return 0;
}

static int run_version(int argc, char **argv) {
    (void)argc;
    (void)argv;
    puts("moraine " MORAINE_VERSION);
    return 0;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "all";

    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) return run_help(0, NULL);
    if (strcmp(name, "--version") == 0) return run_version(0, NULL);
    if (name[0] == '-') return run_all(argc - 1, argv + 1);
    for (size_t i = 0; i < ARRAY_LEN(subcommands); i++)
        if (strcmp(name, subcommands[i].name) == 0)
            return subcommands[i].run(MAX(argc - 2, 0), argv + MIN(argc, 2));
    fprintf(stderr, "moraine: there is no subcommand \"%s\"; see `moraine help`\n", name);
    return 2;
}
