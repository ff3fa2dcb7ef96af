/*
 * log_text_write.c: a page's lines in templates and columns of variables.
 *
 * Which column a variable goes to depends on its type and on what stands before it in the line, not
 * on the template: `status=` makes one column, whatever else differs.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/block/ints.h"
#include "common/block/log_page.h"
#include "common/block/log_text.h"

enum {
    TEMPLATES_MAX = 16384,
    COLUMNS_MAX = 2048,
    SLOTS = 2 * TEMPLATES_MAX, /* of the hash tables */
    CONTEXT_BYTES = 8,         /* before a variable */
    FEW_MAX = 256,             /* distinct values */
    LEVEL = 3,
    /* Lines that are templates of their own are no templates. */
    TEMPLATE_LINE_BYTES_MAX = 64 << 10,
};

typedef struct Template {
    uint64_t hash;
    uint32_t start; /* in the text of all templates */
    uint32_t length;
    uint32_t first_slot; /* in `slots` */
    uint32_t slot_count;
} Template;

typedef struct VarColumn {
    uint64_t hash;
    Buf values; /* integers, bytes or words */
    Buf lengths;
    uint32_t count;
    uint8_t type;
    uint8_t param;
} VarColumn;

struct LogTemplater {
    uint32_t template_slots[SLOTS]; /* from hash to number + 1 */
    uint32_t column_slots[SLOTS];
    Template *templates;
    size_t template_count;
    VarColumn *columns; /* what is beyond column_count keeps its memory */
    size_t column_count, columns_made;
    Buf text;      /* of all templates */
    Buf slots;     /* u16 column of each variable of each template */
    Buf line;      /* the template at hand */
    int64_t *rows; /* template of each */
    size_t row_count, row_capacity;
    size_t next; /* column to hand out */
    LogVar vars[LOG_LINE_VARS_MAX];
};

LogTemplater *log_templater_new(void) {
    LogTemplater *t = calloc(1, sizeof *t);

    if (t == NULL) return NULL;
    buf_init(&t->text, 0);
    buf_init(&t->slots, 0);
    buf_init(&t->line, 0);
    t->templates = calloc(TEMPLATES_MAX, sizeof *t->templates);
    t->columns = calloc(COLUMNS_MAX, sizeof *t->columns);
    if (t->templates != NULL && t->columns != NULL) return t;
    log_templater_free(t);
    return NULL;
}

void log_templater_free(LogTemplater *t) {
    if (t == NULL) return;
    for (size_t i = 0; i < t->columns_made; i++) {
        buf_done(&t->columns[i].values);
        buf_done(&t->columns[i].lengths);
    }
    buf_done(&t->text);
    buf_done(&t->slots);
    buf_done(&t->line);
    free(t->templates);
    free(t->columns);
    free(t->rows);
    free(t);
}

static void clear(LogTemplater *t) {
    memset(t->template_slots, 0, sizeof t->template_slots);
    memset(t->column_slots, 0, sizeof t->column_slots);
    t->template_count = t->column_count = t->row_count = t->next = 0;
    buf_clear(&t->text);
    buf_clear(&t->slots);
}

/* ---------- filling ---------- */

/* The column for a variable in the template at hand; NULL: too many. */
static VarColumn *find_column(LogTemplater *t, const LogVar *var) {
    uint32_t from = var->at > CONTEXT_BYTES ? var->at - CONTEXT_BYTES : 0;
    uint64_t hash = hash_bytes_seeded(t->line.ptr + from, var->at - from,
                                      (uint64_t)var->type << 8 | var->param);
    size_t at = hash % SLOTS;
    VarColumn *c;

    for (; t->column_slots[at] != 0; at = (at + 1) % SLOTS) {
        c = &t->columns[t->column_slots[at] - 1];
        if (c->hash == hash && c->type == var->type && c->param == var->param) return c;
    }
    if (t->column_count == COLUMNS_MAX) return NULL;
    t->column_slots[at] = (uint32_t)t->column_count + 1;
    c = &t->columns[t->column_count++];
    if (t->column_count > t->columns_made) {
        buf_init(&c->values, 0);
        buf_init(&c->lengths, 0);
        t->columns_made = t->column_count;
    }
    buf_clear(&c->values);
    buf_clear(&c->lengths);
    c->count = 0;
    c->hash = hash;
    c->type = var->type;
    c->param = var->param;
    return c;
}

/* The number of the template at hand; SIZE_MAX: too many. */
static size_t find_template(LogTemplater *t, size_t vars) {
    Str line = buf_str(&t->line);
    uint64_t hash = hash_bytes(line.ptr, line.len);
    size_t at = hash % SLOTS;
    Template *made;

    for (; t->template_slots[at] != 0; at = (at + 1) % SLOTS) {
        const Template *known = &t->templates[t->template_slots[at] - 1];

        if (known->hash == hash && known->length == line.len &&
            (line.len == 0 || memcmp(t->text.ptr + known->start, line.ptr, line.len) == 0))
            return t->template_slots[at] - 1;
    }
    if (t->template_count == TEMPLATES_MAX) return SIZE_MAX;
    made = &t->templates[t->template_count];
    *made = (Template){hash, (uint32_t)t->text.len, (uint32_t)line.len,
                       (uint32_t)(t->slots.len / 2), (uint32_t)vars};
    for (size_t i = 0; i < vars; i++) {
        VarColumn *c = find_column(t, &t->vars[i]);

        if (c == NULL) return SIZE_MAX;
        buf_append_u16(&t->slots, (uint16_t)(c - t->columns));
    }
    buf_append_str(&t->text, line);
    t->template_slots[at] = (uint32_t)t->template_count + 1;
    return t->template_count++;
}

static unsigned nibble(char c) {
    return c <= '9' ? (unsigned)(c - '0') : ((unsigned)c & 15) + 9;
}

static void put_nibbles(Str text, Buf *out) {
    char packed[LOG_HEX_MAX / 2];
    size_t n = 0, filled = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '-') continue;
        if (filled++ % 2 == 0)
            packed[n++] = (char)(nibble(text.ptr[i]) << 4);
        else
            packed[n - 1] = (char)((unsigned char)packed[n - 1] | nibble(text.ptr[i]));
    }
    buf_append(out, packed, n);
}

static void put_ip(Str text, Buf *out) {
    unsigned number = 0;

    for (size_t i = 0; i <= text.len; i++) {
        if (i < text.len && text.ptr[i] != '.') {
            number = number * 10 + (unsigned)(text.ptr[i] - '0');
            continue;
        }
        buf_append_byte(out, (char)number);
        number = 0;
    }
}

/* Eight bytes, most often into room that is there. */
static void put_word(Buf *buf, uint64_t v) {
    if (UNLIKELY(buf->capacity - buf->len < sizeof v)) {
        buf_append_u64(buf, v);
        return;
    }
    memcpy(buf->ptr + buf->len, &v, sizeof v);
    buf->len += sizeof v;
}

static void put_value(VarColumn *c, const LogVar *var, int64_t time_ns) {
    c->count++;
    switch (var->type) {
    case LOG_VAR_CLOCK:
        put_word(&c->values,
                 (uint64_t)(var->value -
                            log_clock_of(time_ns, var->param & ~(unsigned)LOG_CLOCK_COMMA)));
        break;
    case LOG_VAR_HEX:
    case LOG_VAR_UPPER:
    case LOG_VAR_UUID:
        put_nibbles(var->text, &c->values);
        break;
    case LOG_VAR_IP:
        put_ip(var->text, &c->values);
        break;
    case LOG_VAR_WORD:
        buf_append_byte(&c->lengths, (char)var->text.len);
        buf_append_str(&c->values, var->text);
        break;
    default:
        put_word(&c->values, (uint64_t)var->value);
    }
}

static bool add_line(LogTemplater *t, Str line, int64_t time_ns) {
    size_t vars, number;

    if (line.len > TEMPLATE_LINE_BYTES_MAX) return false;
    buf_clear(&t->line);
    vars = log_line_split(line, &t->line, t->vars);
    number = buf_failed(&t->line) ? SIZE_MAX : find_template(t, vars);
    if (number == SIZE_MAX) return false;
    for (size_t i = 0; i < vars; i++) {
        uint16_t column;

        memcpy(&column, t->slots.ptr + 2 * (t->templates[number].first_slot + i), sizeof column);
        put_value(&t->columns[column], &t->vars[i], time_ns);
    }
    t->rows[t->row_count++] = (int64_t)number;
    return true;
}

/* Nearly every line is a template of its own, and has little that varies. */
static bool no_templates(const LogTemplater *t, size_t rows, size_t bytes) {
    return t->template_count > 16 && t->template_count > rows - rows / 8 &&
           t->text.len > bytes - bytes / 4;
}

bool log_templater_fill(LogTemplater *t, const Str *lines, const int64_t *times_ns, size_t count) {
    size_t bytes = 0;

    clear(t);
    if (count > t->row_capacity) {
        int64_t *grown = realloc(t->rows, count * sizeof *grown);

        if (grown == NULL) return false;
        t->rows = grown;
        t->row_capacity = count;
    }
    for (size_t i = 0; i < count; i++) {
        if (!add_line(t, lines[i], times_ns[i])) return false;
        bytes += lines[i].len;
        /* What is no templates shows early. */
        if (i % 1024 == 1023 && no_templates(t, i + 1, bytes)) return false;
    }
    return !no_templates(t, count, bytes) && !buf_failed(&t->text) && !buf_failed(&t->slots);
}

/* ---------- columns ---------- */

void log_ints_put(const int64_t *v, size_t count, Buf *out) {
    uint8_t chunk[64 + COLUMN_ITEMS_MAX * 10];
    CLEANUP_IN_PLACE(buf_done) Buf chunks;

    buf_init(&chunks, 0);
    for (size_t at = 0; at < count; at += COLUMN_ITEMS_MAX) {
        size_t n = MIN(count - at, (size_t)COLUMN_ITEMS_MAX);
        size_t bytes = ints_encode(v + at, n, (IntsTag){0}, chunk);

        buf_append_varint(out, bytes);
        buf_append(&chunks, chunk, bytes);
    }
    buf_append_str(out, buf_str(&chunks));
    if (buf_failed(&chunks)) out->failed = true;
}

/* Text and columns of each template. */
static void put_templates(const LogTemplater *t, Buf *out) {
    buf_append_varint(out, t->template_count);
    for (size_t i = 0; i < t->template_count; i++) {
        buf_append_varint(out, t->templates[i].length);
        buf_append_varint(out, t->templates[i].slot_count);
    }
    buf_append_str(out, buf_str(&t->text));
    buf_append_str(out, buf_str(&t->slots));
}

/* Distinct integers and a byte each; false when they are too many to be worth it. */
static bool put_few(const int64_t *v, size_t count, Buf *out) {
    enum { TABLE = 1024 };
    int64_t distinct[FEW_MAX];
    uint16_t table[TABLE] = {0};
    size_t found = 0;
    CLEANUP_IN_PLACE(buf_done) Buf which;

    buf_init(&which, 0);
    if (count < 32) return false;
    for (size_t i = 0; i < count; i++) {
        size_t at = (uint64_t)v[i] * 0x9e3779b97f4a7c15u >> 54;

        while (table[at] != 0 && distinct[table[at] - 1] != v[i]) at = (at + 1) % TABLE;
        if (table[at] == 0) {
            if (found == FEW_MAX || found > 16 + i / 8) return false;
            distinct[found++] = v[i];
            table[at] = (uint16_t)found;
        }
        buf_append_byte(&which, (char)(table[at] - 1));
    }
    if (found == 1 || buf_failed(&which)) return false;
    buf_append_varint(out, found);
    log_ints_put(distinct, found, out);
    buf_append_str(out, buf_str(&which));
    return true;
}

/* Ids are random, and nothing is gained from compressing them, unless they come back. */
static bool comes_back(const VarColumn *c, size_t size) {
    enum { LOOKED_AT = 512 };
    uint16_t seen[2 * LOOKED_AT] = {0};
    size_t n = MIN((size_t)c->count, (size_t)LOOKED_AT), again = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t hash = hash_bytes(c->values.ptr + i * size, size);
        uint16_t *slot = &seen[hash % ARRAY_LEN(seen)], tag = (uint16_t)(hash >> 48) | 1;

        again += *slot == tag;
        *slot = tag;
    }
    return again > n / 8;
}

static int put_variables(const VarColumn *c, Buf *out) {
    size_t size = log_var_bytes(c->type, c->param), codec_at;

    buf_append_byte(out, (char)c->type);
    buf_append_byte(out, (char)c->param);
    codec_at = out->len;
    buf_append_byte(out, LOG_VAR_CODEC_BYTES);
    buf_append_varint(out, c->count);
    if (buf_failed(out)) return 0;
    if (c->type == LOG_VAR_WORD) {
        out->ptr[codec_at] = LOG_VAR_CODEC_WORDS;
        buf_append_str(out, buf_str(&c->lengths));
        buf_append_str(out, buf_str(&c->values));
        return LEVEL;
    }
    if (size > 0) {
        buf_append_str(out, buf_str(&c->values));
        return comes_back(c, size) ? LEVEL : 0;
    }
    if (put_few((const int64_t *)c->values.ptr, c->count, out)) {
        if (!buf_failed(out)) out->ptr[codec_at] = LOG_VAR_CODEC_FEW;
        return LEVEL;
    }
    log_ints_put((const int64_t *)c->values.ptr, c->count, out);
    if (!buf_failed(out)) out->ptr[codec_at] = LOG_VAR_CODEC_INTS;
    return 0;
}

/* Templates of entries: a byte or two each, which entropy coding makes less than bit packing. */
static int put_rows(const LogTemplater *t, Buf *out) {
    bool wide = t->template_count > 256;

    buf_append_byte(out, wide ? 2 : 1);
    for (size_t i = 0; i < t->row_count; i++) {
        buf_append_byte(out, (char)t->rows[i]);
    }
    for (size_t i = 0; wide && i < t->row_count; i++) buf_append_byte(out, (char)(t->rows[i] >> 8));
    return t->template_count > 1 ? LEVEL : 1;
}

bool log_templater_next(LogTemplater *t, Buf *column, uint8_t *kind, int *level) {
    size_t i = t->next++;
    VarColumn *c = i < 2 ? NULL : &t->columns[i - 2];

    if (i >= 2 + t->column_count) return false;
    if (i == 0) {
        *kind = LOG_COLUMN_TEMPLATES;
        *level = LEVEL;
        put_templates(t, column);
    } else if (i == 1) {
        *kind = LOG_COLUMN_TEMPLATE_OF;
        *level = put_rows(t, column);
    } else {
        *kind = LOG_COLUMN_VARIABLE;
        if (buf_failed(&c->values) || buf_failed(&c->lengths)) column->failed = true;
        *level = put_variables(c, column);
    }
    return true;
}
