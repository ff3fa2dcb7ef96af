/*
 * span_directory.c: which columns a page of spans has, where they are, and which of them are
 * needed for what.
 */
#include <string.h>

#include "common/block/span_build.h"
#include "common/block/span_page.h"

static ErrCode corrupt(Error *err, const char *what) {
    return error_set(err, ERR_CORRUPT, "page of spans: %s", what);
}

/* ---------- reading ---------- */

/* What is too large for anything is too large as UINT32_MAX, too. */
static uint32_t take_u32(Reader *r) {
    uint64_t v = reader_varint(r);

    return (uint32_t)MIN(v, UINT32_MAX);
}

static bool take_column(Reader *r, SpanColumn *c) {
    c->kind = reader_u8(r);
    c->stored = take_u32(r);
    c->checksum = reader_u32(r);
    if (c->kind == SPAN_COLUMN_OWNERS) {
        c->scope = reader_u8(r);
    } else if (c->kind == SPAN_COLUMN_ATTRIBUTE) {
        c->scope = reader_u8(r);
        c->type = reader_u8(r);
        c->key = reader_prefixed(r);
        c->owners = take_u32(r) - 1; /* 0: all */
        if (c->type == 0 || c->type >= ATTRIBUTE_TYPES) return false;
    } else {
        return !r->failed && c->kind > 0 && c->kind < SPAN_COLUMN_OWNERS;
    }
    return !r->failed && c->scope >= SCOPE_SPAN && c->scope <= SCOPE_LINK;
}

/* Attributes ascend, so that they can be searched. */
static bool ascends(const SpanColumn *a, const SpanColumn *b) {
    int order;

    if (a->scope != b->scope) return a->scope < b->scope;
    order = str_compare(a->key, b->key);
    return order != 0 ? order < 0 : a->type < b->type;
}

/* Attributes' owners by number become those by place, and owners get to know whose they are. */
static ErrCode link_owners(SpanDirectory *d, Arena *arena, Error *err) {
    const SpanColumn **users;
    uint32_t *sets, set_count = 0, at = 0;

    sets = ARENA_ARRAY(arena, uint32_t, d->count + (size_t)1);
    users = ARENA_ARRAY(arena, const SpanColumn *, d->count + (size_t)1);
    if (sets == NULL || users == NULL) return span_no_memory(err);
    for (uint32_t i = 0; i < d->count; i++) {
        if (d->columns[i].kind == SPAN_COLUMN_OWNERS) sets[set_count++] = i;
    }
    for (uint32_t i = 0; i < d->count; i++) {
        SpanColumn *c = &d->columns[i];

        if (c->kind != SPAN_COLUMN_ATTRIBUTE || c->owners == SPAN_OWNERS_ALL) continue;
        if (c->owners >= set_count || d->columns[sets[c->owners]].scope != c->scope)
            return corrupt(err, "an attribute of nobody");
        c->owners = sets[c->owners];
        d->columns[c->owners].user_count++;
    }
    for (uint32_t i = 0; i < set_count; i++) {
        SpanColumn *set = &d->columns[sets[i]];

        set->users = users + at;
        at += set->user_count;
        set->user_count = 0;
    }
    for (uint32_t i = 0; i < d->count; i++) {
        SpanColumn *c = &d->columns[i], *set;

        if (c->kind != SPAN_COLUMN_ATTRIBUTE || c->owners == SPAN_OWNERS_ALL) continue;
        set = &d->columns[c->owners];
        ((const SpanColumn **)set->users)[set->user_count++] = c;
    }
    return ERR_OK;
}

static ErrCode take_columns(Reader *r, uint64_t count, Arena *arena, SpanDirectory *d, Error *err) {
    uint64_t offset = d->bytes;
    const SpanColumn *before = NULL;

    /* A kind, a length, a checksum. */
    if (count > reader_left(r) / 6) return corrupt(err, "bad directory");
    d->columns = ARENA_ARRAY(arena, SpanColumn, count + 1);
    if (d->columns == NULL) return span_no_memory(err);
    d->count = (uint32_t)count;
    for (uint64_t i = 0; i < count; i++) {
        SpanColumn *c = &d->columns[i];

        if (!take_column(r, c)) return corrupt(err, "bad column");
        c->offset = (uint32_t)offset;
        offset += c->stored;
        if (offset > SPAN_PAGE_BYTES_MAX) return corrupt(err, "columns are too large");
        if (c->kind != SPAN_COLUMN_ATTRIBUTE) continue;
        if (before != NULL && !ascends(before, c))
            return corrupt(err, "attributes are not in order");
        before = c;
    }
    d->page_bytes = (uint32_t)offset;
    return link_owners(d, arena, err);
}

ErrCode span_directory_decode(Str bytes, Arena *arena, SpanDirectory *out, Error *err) {
    Reader r = reader_of(bytes);
    uint8_t codec = reader_u8(&r);
    uint64_t length = reader_varint(&r), rows, traces, events, links, columns;
    SpanDirectory d = {0};

    if (r.failed) return corrupt(err, "cut off");
    if (codec != SPAN_PAGE_CODEC)
        return error_set(err, ERR_UNSUPPORTED, "page of spans of codec %u, this program reads %d",
                         codec, SPAN_PAGE_CODEC);
    if (length > reader_left(&r) || length > SPAN_PAGE_BYTES_MAX) return corrupt(err, "cut off");
    r.end = r.at + length;
    d.bytes = (uint32_t)((const char *)r.end - bytes.ptr);
    rows = reader_varint(&r);
    traces = reader_varint(&r);
    events = reader_varint(&r);
    links = reader_varint(&r);
    columns = reader_varint(&r);
    if (r.failed || rows > SPAN_PAGE_ROWS_MAX || traces == 0 || traces > rows ||
        events > SPAN_PAGE_EVENTS_MAX || links > SPAN_PAGE_EVENTS_MAX)
        return corrupt(err, "bad directory");
    d.rows = (uint32_t)rows;
    d.traces = (uint32_t)traces;
    d.events = (uint32_t)events;
    d.links = (uint32_t)links;
    TRY(take_columns(&r, columns, arena, &d, err));
    if (!reader_at_end(&r)) return corrupt(err, "bytes left over in the directory");
    *out = d;
    return ERR_OK;
}

ErrCode span_directory_attach(SpanDirectory *directory, Str page, Error *err) {
    if (page.len != directory->page_bytes)
        return corrupt(err, "not of the length that its directory says");
    for (uint32_t i = 0; i < directory->count; i++)
        directory->columns[i].bytes = page.ptr + directory->columns[i].offset;
    return ERR_OK;
}

/* ---------- what is needed ---------- */

unsigned span_columns_with(unsigned columns) {
    if (columns & SPAN_PARENT_IDS) columns |= SPAN_IDS | SPAN_PARENTS;
    if (columns & SPAN_EVENTS) columns |= SPAN_STARTS;
    return columns;
}

static bool key_needed(const SpanColumn *column, const SpanNeed *need) {
    for (size_t i = 0; i < need->key_count; i++) {
        if (need->keys[i].scope == column->scope && str_equal(need->keys[i].key, column->key))
            return true;
    }
    return need->all_keys;
}

bool span_column_needed(const SpanColumn *column, const SpanNeed *need) {
    static const unsigned needed_for[] = {
        [SPAN_COLUMN_TREE] = SPAN_PARENTS,
        [SPAN_COLUMN_STARTS] = SPAN_STARTS,
        [SPAN_COLUMN_DURATIONS] = SPAN_DURATIONS,
        [SPAN_COLUMN_ORIGIN_OF] = SPAN_ORIGINS,
        [SPAN_COLUMN_ORIGINS] = SPAN_ORIGINS,
        [SPAN_COLUMN_STATUSES] = SPAN_STATUSES,
        [SPAN_COLUMN_KINDS] = SPAN_KINDS,
        [SPAN_COLUMN_NAME_OF] = SPAN_NAMES,
        [SPAN_COLUMN_NAMES] = SPAN_NAMES,
        [SPAN_COLUMN_MESSAGES] = SPAN_MESSAGES,
        [SPAN_COLUMN_EVENTS] = SPAN_EVENTS,
        [SPAN_COLUMN_LINKS] = SPAN_LINKS,
        [SPAN_COLUMN_REST] = SPAN_REST,
        [SPAN_COLUMN_IDS] = SPAN_IDS,
        [SPAN_COLUMN_PARENT_IDS] = SPAN_PARENT_IDS,
    };

    if (column->kind == SPAN_COLUMN_TRACES) return true;
    if (column->kind == SPAN_COLUMN_ATTRIBUTE) return key_needed(column, need);
    if (column->kind == SPAN_COLUMN_OWNERS) {
        for (uint32_t i = 0; i < column->user_count; i++) {
            if (key_needed(column->users[i], need)) return true;
        }
        return false;
    }
    return column->kind < ARRAY_LEN(needed_for) &&
           (needed_for[column->kind] & span_columns_with(need->columns)) != 0;
}
