/* Traces that are written, read and flushed at once. */
#include "tests/unit/unit.h"

#include <unistd.h>

#include "tests/unit/ingester/span_world.h"

static const Str TEAM = STR_INIT("team");

enum { WRITERS = 3, ROUNDS = 30, TRACES = 20, SPANS = 5 };

typedef struct Worker {
    World *world;
    pthread_t thread;
    uint32_t number;
    SpanFacts facts;
    atomic_bool *stop;
} Worker;

/* Each adds to traces of its own and, with other numbers, to some that all share. */
static void *write_on(void *context) {
    Worker *worker = context;

    for (uint32_t k = 0; k < ROUNDS; k++) {
        AppendResult own = world_trace(worker->world, TEAM, (worker->number + 1) * 1000, TRACES,
                                       k * SPANS, SPANS, &worker->facts);
        AppendResult shared =
            world_trace(worker->world, TEAM, 0, TRACES, (worker->number * ROUNDS + k) * SPANS,
                        SPANS, &worker->facts);

        assert_int_equal(own.code, ERR_OK);
        assert_int_equal(shared.code, ERR_OK);
    }
    return NULL;
}

/* Heads first, then the store: nothing is ever missed in between. */
static void *read_on(void *context) {
    Worker *worker = context;
    TraceId one = trace_number(3);
    size_t last = 0;

    while (!atomic_load(worker->stop)) {
        SpanFacts found = {0};

        world_span_heads(worker->world, TEAM, &found);
        world_span_store(worker->world, TEAM, &found);
        span_facts_unique(&found);
        assert_true(found.count >= last);
        last = found.count;
        found.count = 0;
        world_span_heads_at(worker->world, TEAM, INT64_MIN, INT64_MAX, &one, &found);
        for (size_t i = 0; i < found.count; i++) assert_int_equal(found.items[i].trace, 3);
        span_facts_done(&found);
    }
    return NULL;
}

static void *flush_on(void *context) {
    Worker *worker = context;

    while (!atomic_load(worker->stop)) {
        Error err = {0};

        assert_ok(ingester_flush(worker->world->ingester, &err), &err);
        usleep(5000);
    }
    return NULL;
}

static void writers_readers_and_flushes_do_not_disturb_each_other(void **state) {
    atomic_bool stop = false;
    World world;
    Worker writers[WRITERS], readers[2], flusher = {.world = &world, .stop = &stop};
    SpanFacts all = {0};

    (void)state;
    world_make(&world);
    world.options.flush_log_bytes = KIB(512);
    world_start(&world);
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (Worker){.world = &world, .number = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]), 0);
    }
    for (uint32_t i = 0; i < ARRAY_LEN(readers); i++) {
        readers[i] = (Worker){.world = &world, .stop = &stop};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
    }
    assert_int_equal(pthread_create(&flusher.thread, NULL, flush_on, &flusher), 0);
    for (uint32_t i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        for (size_t k = 0; k < writers[i].facts.count; k++)
            span_facts_add(&all, writers[i].facts.items[k].trace, writers[i].facts.items[k].span);
        span_facts_done(&writers[i].facts);
    }
    atomic_store(&stop, true);
    for (uint32_t i = 0; i < ARRAY_LEN(readers); i++) pthread_join(readers[i].thread, NULL);
    pthread_join(flusher.thread, NULL);
    assert_int_equal(all.count, WRITERS * ROUNDS * TRACES * SPANS * 2);
    assert_holds_spans(&world, TEAM, &all);
    world_restart(&world);
    assert_holds_spans(&world, TEAM, &all);
    span_facts_done(&all);
    world_done(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writers_readers_and_flushes_do_not_disturb_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
