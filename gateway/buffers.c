#include "gateway/buffers.h"

#include <pthread.h>
#include <stdlib.h>

enum { IDLE_MAX = 32, ROUND = 64 << 10 };

/* Stands before the bytes that are handed out. */
typedef struct Head {
    Buffers *owner;
    size_t capacity;
} Head;
static_assert(sizeof(Head) % 16 == 0, "what follows is aligned");

struct Buffers {
    pthread_mutex_t lock;
    Head *idle[IDLE_MAX]; /* the last one given back is the last here: its pages are warm */
    size_t idle_count;
    size_t idle_bytes;
    size_t idle_bytes_max;
    Budget *budget;
};

Buffers *buffers_new(size_t idle_bytes_max, Budget *budget) {
    Buffers *buffers = calloc(1, sizeof *buffers);

    if (buffers == NULL) return NULL;
    buffers->idle_bytes_max = idle_bytes_max;
    buffers->budget = budget;
    if (pthread_mutex_init(&buffers->lock, NULL) != 0) abort();
    return buffers;
}

static void head_free(Buffers *buffers, Head *head) {
    if (buffers->budget != NULL) budget_give(buffers->budget, head->capacity);
    free(head);
}

void buffers_free(Buffers *buffers) {
    if (buffers == NULL) return;
    for (size_t i = 0; i < buffers->idle_count; i++) head_free(buffers, buffers->idle[i]);
    pthread_mutex_destroy(&buffers->lock);
    free(buffers);
}

/* Takes out idle buffer `i`. Under the lock. */
static Head *idle_remove(Buffers *buffers, size_t i) {
    Head *head = buffers->idle[i];

    buffers->idle_count--;
    buffers->idle_bytes -= head->capacity;
    for (; i < buffers->idle_count; i++) buffers->idle[i] = buffers->idle[i + 1];
    return head;
}

/* One that is large enough but not absurdly so: a small request must not sit on a huge buffer. */
static Head *idle_take(Buffers *buffers, size_t bytes) {
    Head *head = NULL;

    pthread_mutex_lock(&buffers->lock);
    for (size_t i = buffers->idle_count; i-- > 0 && head == NULL;)
        if (buffers->idle[i]->capacity >= bytes && buffers->idle[i]->capacity / 4 <= bytes)
            head = idle_remove(buffers, i);
    pthread_mutex_unlock(&buffers->lock);
    return head;
}

/* Lets go of the idle buffer that has been so the longest. False: there is none. */
static bool idle_drop(Buffers *buffers) {
    Head *head = NULL;

    pthread_mutex_lock(&buffers->lock);
    if (buffers->idle_count > 0) head = idle_remove(buffers, 0);
    pthread_mutex_unlock(&buffers->lock);
    if (head != NULL) head_free(buffers, head);
    return head != NULL;
}

char *buffers_take(Buffers *buffers, size_t bytes) {
    size_t capacity = MAX(ALIGN_UP(bytes, ROUND), (size_t)ROUND);
    Head *head;

    if (bytes > SIZE_MAX / 2) return NULL;
    head = idle_take(buffers, bytes);
    if (head != NULL) return (char *)(head + 1);
    /* What lies idle must not stand in the way of what is needed. */
    while (buffers->budget != NULL && !budget_take(buffers->budget, capacity))
        if (!idle_drop(buffers)) return NULL;
    head = malloc(sizeof *head + capacity);
    if (head == NULL) {
        if (buffers->budget != NULL) budget_give(buffers->budget, capacity);
        return NULL;
    }
    *head = (Head){buffers, capacity};
    return (char *)(head + 1);
}

void buffers_give(Buffers *buffers, char *buffer) {
    Head *head = (Head *)(void *)buffer - 1, *old = NULL;

    assert(head->owner == buffers);
    pthread_mutex_lock(&buffers->lock);
    if (buffers->idle_count == IDLE_MAX) old = idle_remove(buffers, 0);
    if (head->capacity <=
        buffers->idle_bytes_max - MIN(buffers->idle_bytes, buffers->idle_bytes_max)) {
        buffers->idle[buffers->idle_count++] = head;
        buffers->idle_bytes += head->capacity;
        head = NULL;
    }
    pthread_mutex_unlock(&buffers->lock);
    if (head != NULL) head_free(buffers, head);
    if (old != NULL) head_free(buffers, old);
}

void buffers_give_back(void *buffer) {
    buffers_give(((Head *)buffer - 1)->owner, buffer);
}
