/*
 * state.c: entries, removed keys and marks, each sorted and found by halves: a checkpoint of a
 * hundred thousand objects is read in one go.
 */
#include "common/manifest/state.h"

#include <stdlib.h>
#include <string.h>

/* ---- entries ---- */

/* A writer may put all of one signal first; who looks for a tenant wants it in one place. */
static int compare_parts(const void *a, const void *b) {
    const BlockPart *x = a, *y = b;
    int order = str_compare(x->tenant, y->tenant);

    return order != 0 ? order : (x->signal > y->signal) - (x->signal < y->signal);
}

EntryBox *entry_box_new(const ManifestEntry *entry) {
    EntryBox *box = calloc(1, sizeof *box);
    size_t bytes = entry->key.len + 1;
    char *at;

    if (box == NULL) return NULL;
    for (size_t p = 0; p < entry->part_count; p++) bytes += entry->parts[p].tenant.len;
    atomic_init(&box->refs, 1);
    box->entry = *entry;
    box->parts = calloc(MAX(entry->part_count, 1), sizeof *box->parts);
    box->bytes = at = malloc(bytes);
    if (box->parts == NULL || box->bytes == NULL) {
        entry_box_unref(box);
        return NULL;
    }
    if (entry->key.len > 0) memcpy(at, entry->key.ptr, entry->key.len);
    at[entry->key.len] = '\0';
    box->entry.key = (Str){at, entry->key.len};
    at += entry->key.len + 1;
    for (size_t p = 0; p < entry->part_count; p++) {
        Str tenant = entry->parts[p].tenant;

        box->parts[p] = entry->parts[p];
        if (tenant.len > 0) memcpy(at, tenant.ptr, tenant.len);
        box->parts[p].tenant = (Str){at, tenant.len};
        at += tenant.len;
    }
    if (entry->part_count > 1)
        qsort(box->parts, entry->part_count, sizeof *box->parts, compare_parts);
    box->entry.parts = box->parts;
    return box;
}

EntryBox *entry_box_ref(EntryBox *box) {
    atomic_fetch_add_explicit(&box->refs, 1, memory_order_relaxed);
    return box;
}

void entry_box_unref(EntryBox *box) {
    if (atomic_fetch_sub_explicit(&box->refs, 1, memory_order_acq_rel) != 1) return;
    free(box->parts);
    free(box->bytes);
    free(box);
}

/* ---- the state ---- */

void state_done(State *state) {
    for (size_t i = 0; i < state->entry_count; i++) entry_box_unref(state->entries[i]);
    for (size_t i = 0; i < state->removed_count; i++)
        free((char *)(uintptr_t)state->removed[i].key.ptr);
    free(state->entries);
    free(state->removed);
    marks_done(&state->marks);
    deletes_done(&state->deletes);
    *state = (State){0};
}

size_t state_find(const State *state, Str key, bool *ret_found) {
    size_t low = 0, high = state->entry_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_compare(state->entries[middle]->entry.key, key);

        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = false;
    return low;
}

/* Room for one more in an array of pointers or structs. */
static bool grow(void **items, size_t count, size_t *capacity, size_t element) {
    size_t more = MAX(*capacity * 2, 16);
    void *grown;

    if (count < *capacity) return true;
    grown = realloc(*items, more * element);
    if (grown == NULL) return false;
    *items = grown;
    *capacity = more;
    return true;
}

static ErrCode out_of_memory(Error *err) {
    return error_set(err, ERR_LIMIT, "manifest: out of memory");
}

size_t state_find_removed(const State *state, Str key, bool *ret_found) {
    size_t low = 0, high = state->removed_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (str_compare(state->removed[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = low < state->removed_count && str_equal(state->removed[low].key, key);
    return low;
}

ErrCode state_add(State *state, const ManifestEntry *entry, Error *err) {
    bool found, removed;
    size_t at = state_find(state, entry->key, &found);
    uint64_t number;
    EntryBox *box;
    Str lane;

    (void)state_find_removed(state, entry->key, &removed);
    if (found) return ERR_OK;
    if (!removed) {
        if (!grow((void **)&state->entries, state->entry_count, &state->entry_capacity,
                  sizeof *state->entries))
            return out_of_memory(err);
        box = entry_box_new(entry);
        if (box == NULL) return out_of_memory(err);
        memmove(state->entries + at + 1, state->entries + at,
                (state->entry_count - at) * sizeof *state->entries);
        state->entries[at] = box;
        state->entry_count++;
    }
    /* Last: a mark without its entry would make a repeated commit believe that it is done. */
    if (mark_parse(entry->key, &lane, &number) && !marks_add(&state->marks, lane, number, number))
        return out_of_memory(err);
    return ERR_OK;
}

static ErrCode removed_add(State *state, Str key, int64_t removed_ms, Error *err) {
    bool found;
    size_t at = state_find_removed(state, key, &found);
    char *copy;

    if (found) return ERR_OK;
    if (!grow((void **)&state->removed, state->removed_count, &state->removed_capacity,
              sizeof *state->removed))
        return out_of_memory(err);
    copy = malloc(MAX(key.len, 1));
    if (copy == NULL) return out_of_memory(err);
    if (key.len > 0) memcpy(copy, key.ptr, key.len);
    memmove(state->removed + at + 1, state->removed + at,
            (state->removed_count - at) * sizeof *state->removed);
    state->removed[at] = (RemovedKey){{copy, key.len}, removed_ms};
    state->removed_count++;
    return ERR_OK;
}

ErrCode state_remove(State *state, Str key, int64_t removed_ms, Error *err) {
    bool found;
    size_t at = state_find(state, key, &found);

    TRY(removed_add(state, key, removed_ms, err));
    if (!found) return ERR_OK;
    entry_box_unref(state->entries[at]);
    state->entry_count--;
    memmove(state->entries + at, state->entries + at + 1,
            (state->entry_count - at) * sizeof *state->entries);
    return ERR_OK;
}

void state_forget(State *state, Str key) {
    bool found;
    size_t at = state_find_removed(state, key, &found);

    if (!found) return;
    free((char *)(uintptr_t)state->removed[at].key.ptr);
    state->removed_count--;
    memmove(state->removed + at, state->removed + at + 1,
            (state->removed_count - at) * sizeof *state->removed);
}

ErrCode state_apply(State *state, const Delta *delta, Error *err) {
    /* Removals first: a merge's result never has the key of what it replaces. */
    for (size_t i = 0; i < delta->remove_count; i++)
        TRY(state_remove(state, delta->remove[i], delta->time_ms, err));
    for (size_t i = 0; i < delta->add_count; i++) TRY(state_add(state, &delta->add[i], err));
    for (size_t i = 0; i < delta->forget_count; i++) state_forget(state, delta->forget[i]);
    for (size_t i = 0; i < delta->remove_delete_count; i++)
        state_remove_delete(state, delta->remove_deletes[i].tenant, delta->remove_deletes[i].id);
    for (size_t i = 0; i < delta->add_delete_count; i++) {
        ManifestDelete request = delta->add_deletes[i];

        request.number = delta->sequence;
        TRY(state_add_delete(state, &request, err));
    }
    for (size_t i = 0; i < delta->processed_delete_count; i++)
        TRY(state_process_delete(state, delta->processed_deletes[i].tenant,
                                 delta->processed_deletes[i].id, delta->time_ms, err));
    for (size_t i = 0; i < delta->raise_count; i++)
        TRY(state_raise(state, delta->raise[i].key, delta->raise[i].cleared, err));
    state->sequence = MAX(state->sequence, delta->sequence);
    return ERR_OK;
}

/* ---- marks ---- */

bool mark_parse(Str key, Str *lane, uint64_t *number) {
    const Str folder = STR("segments/"), ending = STR(".seg");
    const char *first, *last;

    if (!str_starts_with(key, folder) || !str_ends_with(key, ending) ||
        key.len < folder.len + ending.len)
        return false;
    key = (Str){key.ptr + folder.len, key.len - folder.len - ending.len};
    first = memchr(key.ptr, '-', key.len);
    last = memrchr(key.ptr, '-', key.len);
    /* An ingester's name may have dashes in it: all between the time and the number counts. */
    if (first == NULL || first + 1 >= last ||
        memchr(first + 1, '-', (size_t)(last - first - 1)) == NULL)
        return false;
    *lane = (Str){first + 1, (size_t)(last - first - 1)};
    return str_to_u64(str_from(key, (size_t)(last - key.ptr) + 1), number);
}

static size_t marks_find(const Marks *marks, Str lane, bool *ret_found) {
    size_t low = 0, high = marks->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (str_compare(marks->items[middle].lane, lane) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = low < marks->count && str_equal(marks->items[low].lane, lane);
    return low;
}

/* The first range that ends at or after `number`. */
static size_t range_find(const Mark *mark, uint64_t number) {
    size_t low = 0, high = mark->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (mark->ranges[middle].last < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool marks_have(const Marks *marks, Str lane, uint64_t number) {
    bool found;
    size_t i = marks_find(marks, lane, &found), r;

    if (!found) return false;
    r = range_find(&marks->items[i], number);
    return r < marks->items[i].count && marks->items[i].ranges[r].first <= number;
}

/* Joins it with all that it overlaps or touches. */
static bool mark_add_range(Mark *mark, uint64_t first, uint64_t last) {
    size_t from = range_find(mark, first == 0 ? 0 : first - 1), to = from;
    MarkRange joined = {first, last};

    while (to < mark->count &&
           (mark->ranges[to].first <= last || mark->ranges[to].first - 1 == last)) {
        joined.first = MIN(joined.first, mark->ranges[to].first);
        joined.last = MAX(joined.last, mark->ranges[to].last);
        to++;
    }
    if (to == from) {
        if (!grow((void **)&mark->ranges, mark->count, &mark->capacity, sizeof *mark->ranges))
            return false;
        memmove(mark->ranges + from + 1, mark->ranges + from,
                (mark->count - from) * sizeof *mark->ranges);
        mark->count++;
    } else {
        memmove(mark->ranges + from + 1, mark->ranges + to,
                (mark->count - to) * sizeof *mark->ranges);
        mark->count -= to - from - 1;
    }
    mark->ranges[from] = joined;
    return true;
}

bool marks_add(Marks *marks, Str lane, uint64_t first, uint64_t last) {
    bool found;
    size_t i = marks_find(marks, lane, &found);

    if (!found) {
        char *copy;

        if (!grow((void **)&marks->items, marks->count, &marks->capacity, sizeof *marks->items))
            return false;
        copy = malloc(MAX(lane.len, 1));
        if (copy == NULL) return false;
        if (lane.len > 0) memcpy(copy, lane.ptr, lane.len);
        memmove(marks->items + i + 1, marks->items + i, (marks->count - i) * sizeof *marks->items);
        marks->items[i] = (Mark){.lane = {copy, lane.len}};
        marks->count++;
    }
    return mark_add_range(&marks->items[i], first, last);
}

void marks_done(Marks *marks) {
    for (size_t i = 0; i < marks->count; i++) {
        free((char *)(uintptr_t)marks->items[i].lane.ptr);
        free(marks->items[i].ranges);
    }
    free(marks->items);
    *marks = (Marks){0};
}
