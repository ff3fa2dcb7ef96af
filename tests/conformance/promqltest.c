/*
 * promqltest.c: runs promqltest scripts against the engine.
 *
 *     PROMQLTEST_DATA=dir promqltest [-v] [-j threads] [name[:line]...]
 *
 * As the scripts' own runner does, instant evals are repeated as range queries around their time.
 * Exit status: 1 when something fails, 77 when there are no scripts.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "querier/promql/parser.h"
#include "querier/promql/result_json.h"
#include "tests/conformance/promqltest.h"

typedef struct Run {
    const char *name;
    FakeSource *fake;
    Pool *pool;
    bool verbose;
    bool start_times; /* of this block cannot be loaded */
    unsigned passed, failed, skipped;
} Run;

static bool has_step_function(Str query) {
    static const char *const names[] = {"start()", "end()", "range()", "step()"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (memmem(query.ptr, query.len, names[i], strlen(names[i])) != NULL) return true;
    return false;
}

static ErrCode evaluate(Run *run, Arena *arena, const Command *eval, const int64_t *middle,
                        Symbols **symbols, PromqlResult *result, AnnotationTexts *texts,
                        Error *err) {
    QueryContext *query = ARENA_NEW(arena, QueryContext);
    PromqlParams *params = ARENA_NEW(arena, PromqlParams);
    ResultJsonOptions options = {.annotations_max = 10};
    PromqlOptions parsing = {.unquoted_names = true};
    PromqlExpr *expr;
    ErrCode code;
    Buf json;

    query->arena = arena;
    query->symbols = *symbols = symbols_new(arena);
    query->pool = run->pool;
    *params = (PromqlParams){.source = fake_source_series(run->fake), .query = query};
    params->start_ms = eval->ranged ? eval->start_ms : eval->end_ms;
    params->end_ms = eval->end_ms;
    params->step_ms = eval->ranged ? eval->step_ms : 0;
    if (middle != NULL) {
        params->start_ms = *middle - 60000;
        params->end_ms = *middle + 60000;
        params->step_ms = 60000;
    }
    TRY(promql_parse(arena, eval->query, &parsing, &expr, err));
    TRY(promql_eval(expr, eval->query, params, result, err));
    TRY(annotations_texts(result->annotations, eval->query, result->positions, 0, arena, texts,
                          err));
    buf_init(&json, 0);
    code = result_json_write(result, *symbols, eval->query, &options, arena, &json, err);
    if (run->verbose && code == ERR_OK) printf("  %.*s\n", (int)MIN(json.len, 2000), json.ptr);
    buf_done(&json);
    return code;
}

static const char *run_eval(Run *run, Arena *arena, const Command *eval) {
    int64_t middle = eval->end_ms;
    PromqlResult result = {0};
    AnnotationTexts texts;
    Symbols *symbols;
    Error err = {0};
    const char *why;

    if (evaluate(run, arena, eval, NULL, &symbols, &result, &texts, &err) != ERR_OK) {
        if (eval->fails) return check_error(arena, eval, err.code, err.text);
        return str_format(arena, "error: %s", err.text).ptr;
    }
    if (eval->fails) return "a failure was expected";
    why = check_annotations(arena, eval, &texts);
    if (why == NULL) why = check_result(arena, eval, symbols, &result, NULL);
    if (why != NULL || eval->ranged || eval->wants_matrix || eval->ordered || eval->is_string ||
        has_step_function(eval->query) || result.type == PROMQL_TYPE_MATRIX)
        return why;
    if (evaluate(run, arena, eval, &middle, &symbols, &result, &texts, &err) != ERR_OK)
        return str_format(arena, "as range query: error: %s", err.text).ptr;
    why = check_result(arena, eval, symbols, &result, &middle);
    return why == NULL ? NULL : str_format(arena, "as range query: %s", why).ptr;
}

static void run_command(Run *run, Arena *arena, const Command *command) {
    const char *why;

    if (command->kind == COMMAND_CLEAR) {
        fake_source_free(run->fake);
        run->fake = fake_source_new();
        run->start_times = false;
        return;
    }
    if (command->kind == COMMAND_LOAD) {
        run->start_times |= command->has_start_times;
        load_series(arena, run->fake, command);
        return;
    }
    if (run->start_times) {
        run->skipped++;
        return;
    }
    if (run->verbose)
        printf("%s:%zu: " STR_FMT "\n", run->name, command->line, STR_ARG(command->query));
    why = run_eval(run, arena, command);
    if (why == NULL) {
        run->passed++;
        return;
    }
    run->failed++;
    printf("FAIL %s:%zu: " STR_FMT "\n     %s\n", run->name, command->line, STR_ARG(command->query),
           why);
}

static bool read_file(const char *dir, const char *name, Buf *out) {
    char path[4096], chunk[65536];
    FILE *file;
    size_t n;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    file = fopen(path, "r");
    if (file == NULL) return false;
    buf_init(out, 0);
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0) buf_append(out, chunk, n);
    fclose(file);
    return true;
}

/* `only`: the line whose block is to be run, 0: all. */
static void run_file(Run *run, const char *dir, size_t only) {
    size_t at = 0, line = 0;
    Command command;
    Buf text;

    if (!read_file(dir, run->name, &text)) return;
    run->fake = fake_source_new();
    run->start_times = false;
    /* Scripts live in one arena per command: data is copied into the source. */
    while (at < text.len) {
        Arena *arena = arena_new(0, NULL);

        if (script_next(arena, buf_str(&text), &at, &line, &command) &&
            (only == 0 || command.kind != COMMAND_EVAL || command.line == only))
            run_command(run, arena, &command);
        arena_free(arena);
    }
    fake_source_free(run->fake);
    buf_done(&text);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_script(const struct dirent *entry) {
    return str_ends_with(str_of(entry->d_name), STR(".test"));
}

/* Whether the arguments name this file; *only is the line they name. */
static bool is_wanted(const char *name, char **args, int count, size_t *only) {
    *only = 0;
    for (int i = 0; i < count; i++) {
        Str head, tail;
        uint64_t line = 0;

        if (str_cut(str_of(args[i]), ':', &head, &tail) && !str_to_u64(tail, &line)) continue;
        if (!str_starts_with(str_of(name), head)) continue;
        *only = line;
        return true;
    }
    return count == 0;
}

int main(int argc, char **argv) {
    const char *dir = getenv("PROMQLTEST_DATA");
    struct dirent **files;
    Run run = {0};
    int arg = 1, count;

    if (dir == NULL) return 77;
    for (; arg < argc && argv[arg][0] == '-'; arg++) {
        Error err;

        if (strcmp(argv[arg], "-v") == 0) run.verbose = true;
        if (strcmp(argv[arg], "-j") == 0 && arg + 1 < argc &&
            pool_new("promqltest", (unsigned)atoi(argv[++arg]), 1000, &run.pool, &err) != ERR_OK)
            return 2;
    }
    count = scandir(dir, &files, is_script, by_name);
    if (count <= 0) return 77;
    for (int i = 0; i < count; i++) {
        size_t only;

        run.name = files[i]->d_name;
        if (is_wanted(run.name, argv + arg, argc - arg, &only)) run_file(&run, dir, only);
        free(files[i]);
    }
    free(files);
    pool_free(run.pool);
    printf("%u passed, %u failed, %u skipped\n", run.passed, run.failed, run.skipped);
    return run.failed > 0;
}
