#include "common/manifest/state.h"

#include <stdlib.h>
#include <string.h>

/* ---- entries ---- */

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
    memcpy(at, entry->key.ptr, entry->key.len);
    at[entry->key.len] = '\0';
    box->entry.key = (Str){at, entry->key.len};
    at += entry->key.len + 1;
    for (size_t p = 0; p < entry->part_count; p++) {
        Str tenant = entry->parts[p].tenant;

        box->parts[p] = entry->parts[p];
        memcpy(at, tenant.ptr, tenant.len);
        box->parts[p].tenant = (Str){at, tenant.len};
        at += tenant.len;
    }
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
    for (size_t i = 0; i < state->removed_count; i++) free(state->removed[i].key);
    free(state->entries);
    free(state->removed);
    marks_done(&state->marks);
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

ErrCode state_add(State *state, const ManifestEntry *entry, Error *err) {
    bool found;
    size_t at = state_find(state, entry->key, &found);
    uint64_t number;
    EntryBox *box;
    Str lane;

    if (found) return ERR_OK;
    if (!grow((void **)&state->entries, state->entry_count, &state->entry_capacity,
              sizeof *state->entries))
        return out_of_memory(err);
    if (mark_parse(entry->key, &lane, &number) && !marks_add(&state->marks, lane, number, number))
        return out_of_memory(err);
    box = entry_box_new(entry);
    if (box == NULL) return out_of_memory(err);
    memmove(state->entries + at + 1, state->entries + at,
            (state->entry_count - at) * sizeof *state->entries);
    state->entries[at] = box;
    state->entry_count++;
    return ERR_OK;
}

static ErrCode removed_add(State *state, Str key, int64_t removed_ms, Error *err) {
    char *copy;

    if (!grow((void **)&state->removed, state->removed_count, &state->removed_capacity,
              sizeof *state->removed))
        return out_of_memory(err);
    copy = strndup(key.ptr, key.len);
    if (copy == NULL) return out_of_memory(err);
    state->removed[state->removed_count++] = (RemovedKey){copy, removed_ms};
    return ERR_OK;
}

ErrCode state_remove(State *state, Str key, int64_t removed_ms, bool *ret_found, Error *err) {
    size_t at = state_find(state, key, ret_found);

    if (!*ret_found) return ERR_OK;
    TRY(removed_add(state, key, removed_ms, err));
    entry_box_unref(state->entries[at]);
    state->entry_count--;
    memmove(state->entries + at, state->entries + at + 1,
            (state->entry_count - at) * sizeof *state->entries);
    return ERR_OK;
}

void state_forget(State *state, Str key) {
    for (size_t i = 0; i < state->removed_count; i++)
        if (str_equal(str_of(state->removed[i].key), key)) {
            free(state->removed[i].key);
            state->removed[i] = state->removed[--state->removed_count];
            return;
        }
}

ErrCode state_apply(State *state, const Delta *delta, Error *err) {
    /* Removals first: a merge's result never has the key of what it replaces. */
    for (size_t i = 0; i < delta->remove_count; i++) {
        bool found;

        TRY(state_remove(state, delta->remove[i], delta->time_ms, &found, err));
    }
    for (size_t i = 0; i < delta->add_count; i++) TRY(state_add(state, &delta->add[i], err));
    for (size_t i = 0; i < delta->forget_count; i++) state_forget(state, delta->forget[i]);
    state->sequence = MAX(state->sequence, delta->sequence);
    return ERR_OK;
}

/* ---- marks ---- */

bool mark_parse(Str key, Str *lane, uint64_t *number) {
    const Str folder = STR("segments/"), ending = STR(".seg");
    size_t dashes[3], found = 0;

    if (!str_starts_with(key, folder) || !str_ends_with(key, ending)) return false;
    key.len -= ending.len;
    for (size_t i = key.len; i-- > folder.len && found < 3;)
        if (key.ptr[i] == '-') dashes[found++] = i;
    if (found < 3) return false;
    *lane = (Str){key.ptr + dashes[2] + 1, dashes[0] - dashes[2] - 1};
    return str_to_u64(str_from(key, dashes[0] + 1), number);
}

static size_t marks_find(const Marks *marks, Str lane, bool *ret_found) {
    size_t i = 0;

    while (i < marks->count && str_compare(marks->items[i].lane, lane) < 0) i++;
    *ret_found = i < marks->count && str_equal(marks->items[i].lane, lane);
    return i;
}

bool marks_have(const Marks *marks, Str lane, uint64_t number) {
    bool found;
    size_t i = marks_find(marks, lane, &found);

    if (!found) return false;
    for (size_t r = 0; r < marks->items[i].count; r++)
        if (number >= marks->items[i].ranges[r].first && number <= marks->items[i].ranges[r].last)
            return true;
    return false;
}

/* Ranges are few (a lane flushes in order but for retries), so this simply joins what touches. */
static bool mark_add_range(Mark *mark, uint64_t first, uint64_t last) {
    size_t r = 0;

    while (r < mark->count) {
        MarkRange *range = &mark->ranges[r];

        if (first <= range->last + 1 && range->first <= last + 1) {
            first = MIN(first, range->first);
            last = MAX(last, range->last);
            *range = mark->ranges[--mark->count];
            r = 0;
            continue;
        }
        r++;
    }
    if (!grow((void **)&mark->ranges, mark->count, &mark->capacity, sizeof *mark->ranges))
        return false;
    mark->ranges[mark->count++] = (MarkRange){first, last};
    return true;
}

bool marks_add(Marks *marks, Str lane, uint64_t first, uint64_t last) {
    bool found;
    size_t i = marks_find(marks, lane, &found);

    if (!found) {
        char *copy;

        if (!grow((void **)&marks->items, marks->count, &marks->capacity, sizeof *marks->items))
            return false;
        copy = strndup(lane.ptr, lane.len);
        if (copy == NULL) return false;
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
