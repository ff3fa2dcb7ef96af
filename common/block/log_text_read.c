/*
 * log_text_read.c: templates and variables back into lines.
 *
 * Only rows that are wanted are put together, and only columns decoded that they have a part of.
 * A variable's place in its column is how many came before it, so templates of all rows up to the
 * last one wanted are counted, which costs a few additions each.
 */
#include <string.h>

#include "common/block/log_page.h"
#include "common/block/log_text.h"

enum { FEW_MAX = 256, WORDS_PER_ROW_MAX = LOG_LINE_VARS_MAX };

/* A column of variables. */
typedef struct LogVarData {
    const LogColumn *column;
    bool ready;
    uint8_t type;
    uint8_t param;
    uint32_t count;
    const int64_t *ints;   /* of integers */
    const uint8_t *bytes;  /* of the others */
    const uint32_t *start; /* of words: count + 1 */
} LogVarData;

/* Constant text, or a variable. */
typedef struct LogTemplatePart {
    const char *text; /* NULL: a variable */
    uint32_t length;
    uint16_t column;
    uint16_t before; /* variables of the column in the template before this one */
    uint8_t type;
    uint8_t param;
} LogTemplatePart;

/* ---------- opening ---------- */

static ErrCode take_templates(LogText *t, Str raw, Error *err) {
    Reader r = reader_of(raw);
    uint64_t count = reader_varint(&r), text = 0, slots = 0;
    Str all_text, all_slots;

    /* A template takes two bytes at least. */
    if (r.failed || count == 0 || count > reader_left(&r) / 2 || count > UINT16_MAX + 1u)
        return log_page_corrupt(err, "bad templates");
    t->templates = ARENA_ARRAY(t->decoder->arena, LogTemplate, count);
    if (t->templates == NULL) return log_page_no_memory(err);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t length = reader_varint(&r), of_it = reader_varint(&r);

        if (r.failed || length > reader_left(&r) || of_it > LOG_LINE_VARS_MAX)
            return log_page_corrupt(err, "bad templates");
        t->templates[i].text.len = (size_t)length;
        t->templates[i].slot_count = (uint32_t)of_it;
        text += length;
        slots += of_it;
    }
    all_text = reader_bytes(&r, (size_t)text);
    all_slots = reader_bytes(&r, (size_t)slots * 2);
    if (r.failed || !reader_at_end(&r)) return log_page_corrupt(err, "templates are cut off");
    for (size_t i = 0; i < slots; i++) {
        uint16_t column;

        memcpy(&column, all_slots.ptr + 2 * i, sizeof column);
        if (column >= t->var_count) return log_page_corrupt(err, "a column is missing");
    }
    for (uint64_t i = 0; i < count; i++) {
        LogTemplate *made = &t->templates[i];

        made->text.ptr = all_text.ptr;
        made->slots = (const uint8_t *)all_slots.ptr;
        all_text = str_from(all_text, made->text.len);
        all_slots = str_from(all_slots, (size_t)made->slot_count * 2);
    }
    t->template_count = (uint32_t)count;
    return ERR_OK;
}

static ErrCode take_rows(LogText *t, const LogColumn *column, Error *err) {
    uint8_t width;
    Reader r;
    Str raw;

    if (column == NULL) return log_page_corrupt(err, "a column is missing");
    TRY(log_column_inflate(t->decoder, column, &raw, err));
    r = reader_of(raw);
    width = reader_u8(&r);
    if (r.failed || width < 1 || width > 2 || reader_left(&r) != (size_t)width * t->rows)
        return log_page_corrupt(err, "bad templates of entries");
    t->low = (const uint8_t *)raw.ptr + 1;
    t->high = width == 1 ? NULL : t->low + t->rows;
    for (uint32_t i = 0; i < t->rows; i++) {
        if (log_text_template(t, i) >= t->template_count)
            return log_page_corrupt(err, "a template is missing");
    }
    return ERR_OK;
}

ErrCode log_text_open(LogDecoder *d, const LogPageColumns *page, unsigned add, LogText *out,
                      bool *found, Error *err) {
    const LogColumn *templates = log_column_find(page, LOG_COLUMN_TEMPLATES + add);
    LogText t = {.decoder = d, .rows = page->rows};
    Str raw;

    *found = templates != NULL;
    if (templates == NULL) return ERR_OK;
    t.vars = ARENA_ARRAY(d->arena, LogVarData, page->count + 1);
    if (t.vars == NULL) return log_page_no_memory(err);
    for (size_t i = 0; i < page->count; i++) {
        if (page->columns[i].kind == LOG_COLUMN_VARIABLE + add)
            t.vars[t.var_count++].column = &page->columns[i];
    }
    TRY(log_column_inflate(d, templates, &raw, err));
    TRY(take_templates(&t, raw, err));
    TRY(take_rows(&t, log_column_find(page, LOG_COLUMN_TEMPLATE_OF + add), err));
    *out = t;
    return ERR_OK;
}

/* ---------- variables ---------- */

static ErrCode take_few(LogText *t, LogVarData *v, Reader *r, Error *err) {
    uint64_t distinct = reader_varint(r);
    int64_t *values = NULL, *list;
    Str which;

    if (r->failed || distinct == 0 || distinct > FEW_MAX)
        return log_page_corrupt(err, "bad distinct values");
    TRY(log_ints_take(t->decoder, r, (uint32_t)distinct, 0, (uint32_t)distinct, &values, err));
    which = reader_bytes(r, v->count);
    if (r->failed) return log_page_corrupt(err, "a column is cut off");
    list = arena_alloc(t->decoder->arena, ((size_t)v->count + 1) * sizeof *list);
    if (list == NULL) return log_page_no_memory(err);
    for (uint32_t i = 0; i < v->count; i++) {
        uint8_t one = (uint8_t)which.ptr[i];

        if (one >= distinct) return log_page_corrupt(err, "no such distinct value");
        list[i] = values[one];
    }
    v->ints = list;
    return ERR_OK;
}

static ErrCode take_words(LogText *t, LogVarData *v, Reader *r, Error *err) {
    Str lengths = reader_bytes(r, v->count);
    uint32_t *start = arena_alloc(t->decoder->arena, ((size_t)v->count + 1) * sizeof *start);
    uint32_t at = 0;

    if (start == NULL) return log_page_no_memory(err);
    if (r->failed) return log_page_corrupt(err, "a column is cut off");
    for (uint32_t i = 0; i < v->count; i++) {
        start[i] = at;
        at += (uint8_t)lengths.ptr[i];
    }
    start[v->count] = at;
    v->start = start;
    v->bytes = (const uint8_t *)reader_bytes(r, at).ptr;
    return r->failed ? log_page_corrupt(err, "words are cut off") : ERR_OK;
}

static ErrCode take_variables(LogText *t, LogVarData *v, Error *err) {
    uint64_t count;
    uint8_t codec;
    int64_t *ints = NULL;
    Reader r;
    Str raw;

    if (v->ready) return ERR_OK;
    TRY(log_column_inflate(t->decoder, v->column, &raw, err));
    r = reader_of(raw);
    v->type = reader_u8(&r);
    v->param = reader_u8(&r);
    codec = reader_u8(&r);
    count = reader_varint(&r);
    if (r.failed || !log_var_is_known(v->type, v->param) ||
        count > (uint64_t)t->rows * LOG_LINE_VARS_MAX)
        return log_page_corrupt(err, "bad variables");
    v->count = (uint32_t)count;
    if (codec == LOG_VAR_CODEC_INTS && log_var_is_integer(v->type)) {
        TRY(log_ints_take(t->decoder, &r, v->count, 0, v->count, &ints, err));
        v->ints = ints;
    } else if (codec == LOG_VAR_CODEC_FEW && log_var_is_integer(v->type)) {
        TRY(take_few(t, v, &r, err));
    } else if (codec == LOG_VAR_CODEC_WORDS && v->type == LOG_VAR_WORD) {
        TRY(take_words(t, v, &r, err));
    } else if (codec == LOG_VAR_CODEC_BYTES && log_var_bytes(v->type, v->param) > 0) {
        v->bytes = (const uint8_t *)reader_bytes(&r, log_var_bytes(v->type, v->param) * count).ptr;
    } else {
        return log_page_corrupt(err, "variables of an unknown codec");
    }
    if (r.failed || !reader_at_end(&r)) return log_page_corrupt(err, "bad variables");
    v->ready = true;
    return ERR_OK;
}

/* ---------- templates ---------- */

/* Cuts a template's text where its variables are. False: it is none. */
static bool next_part(Str *text, Str *constant, uint8_t *type, uint8_t *param) {
    const char *mark = text->len == 0 ? NULL : memchr(text->ptr, LOG_MARK, text->len);
    size_t before = mark == NULL ? text->len : (size_t)(mark - text->ptr);

    *constant = str_slice(*text, 0, before);
    *text = str_from(*text, before);
    *type = 0;
    if (text->len == 0) return true;
    if (text->len < 2) return false;
    if (text->ptr[1] == 0) {
        constant->len++; /* the mark itself */
        *text = str_from(*text, 2);
        return true;
    }
    if (text->len < 3) return false;
    *type = (uint8_t)text->ptr[1];
    *param = (uint8_t)text->ptr[2];
    *text = str_from(*text, 3);
    return log_var_is_known(*type, *param);
}

/* Parts of a template, and its columns decoded. */
static ErrCode make_parts(LogText *t, LogTemplate *template, Error *err) {
    size_t room = 2 * (size_t) template->slot_count + 2;
    Str text = template->text, constant;
    LogTemplatePart *list;
    uint32_t slot = 0, n = 0;
    uint8_t type, param;

    for (const char *p = text.ptr, *end = text.ptr + text.len; p < end; p++) room += *p == LOG_MARK;
    list = ARENA_ARRAY(t->decoder->arena, LogTemplatePart, room);
    if (list == NULL) return log_page_no_memory(err);
    while (text.len > 0) {
        uint16_t column;

        if (!next_part(&text, &constant, &type, &param))
            return log_page_corrupt(err, "a bad template");
        if (constant.len > 0)
            list[n++] = (LogTemplatePart){.text = constant.ptr, .length = (uint32_t)constant.len};
        if (type == 0) continue;
        if (slot == template->slot_count) return log_page_corrupt(err, "a bad template");
        memcpy(&column, template->slots + 2 * slot++, sizeof column);
        TRY(take_variables(t, &t->vars[column], err));
        if (t->vars[column].type != type || t->vars[column].param != param)
            return log_page_corrupt(err, "variables of another type");
        list[n] = (LogTemplatePart){.column = column, .type = type, .param = param};
        for (uint32_t i = 0; i < n; i++)
            list[n].before += list[i].text == NULL && list[i].column == column;
        n++;
    }
    if (slot != template->slot_count) return log_page_corrupt(err, "a bad template");
    template->parts = list;
    template->part_count = n;
    return ERR_OK;
}

/* ---------- lines ---------- */

static uint32_t digits_of(uint64_t v) {
    uint32_t n = 1;

    while (v >= 10) {
        v /= 10;
        n++;
    }
    return n;
}

static uint64_t power_of_ten(unsigned n) {
    uint64_t v = 1;

    while (n-- > 0) v *= 10;
    return v;
}

/* Exactly `digits`, leading zeros or the upper ones missing. */
static char *put_digits(char *out, uint64_t v, uint32_t digits) {
    for (uint32_t i = digits; i > 0; i--) {
        out[i - 1] = (char)('0' + v % 10);
        v /= 10;
    }
    return out + digits;
}

static uint32_t var_length(const LogVarData *v, uint32_t i) {
    unsigned digits = v->param & ~(unsigned)LOG_CLOCK_COMMA;
    uint32_t n;

    switch (v->type) {
    case LOG_VAR_NUMBER:
        return digits_of((uint64_t)v->ints[i]);
    case LOG_VAR_POINT:
        return digits_of((uint64_t)v->ints[i] / power_of_ten(v->param)) + 1 + v->param;
    case LOG_VAR_DIGITS:
    case LOG_VAR_HEX:
    case LOG_VAR_UPPER:
        return v->param;
    case LOG_VAR_UUID:
        return 36;
    case LOG_VAR_IP:
        n = 3;
        for (int k = 0; k < 4; k++) n += digits_of(v->bytes[4 * (size_t)i + k]);
        return n;
    case LOG_VAR_CLOCK:
        return digits == 0 ? 8 : 9 + digits;
    default:
        return v->start[i + 1] - v->start[i];
    }
}

static char *put_hex(char *out, const uint8_t *bytes, uint32_t digits, bool upper) {
    const char *alphabet = upper ? "0123456789ABCDEF" : "0123456789abcdef";

    for (uint32_t i = 0; i < digits; i++)
        *out++ = alphabet[i % 2 == 0 ? bytes[i / 2] >> 4 : bytes[i / 2] & 15];
    return out;
}

static char *put_uuid(char *out, const uint8_t *bytes) {
    static const uint8_t GROUPS[] = {8, 4, 4, 4, 12};

    for (size_t g = 0; g < ARRAY_LEN(GROUPS); g++) {
        if (g > 0) *out++ = '-';
        out = put_hex(out, bytes, GROUPS[g], false);
        bytes += GROUPS[g] / 2;
    }
    return out;
}

static char *put_clock(char *out, const LogVarData *v, uint32_t i, int64_t time_ns) {
    unsigned digits = v->param & ~(unsigned)LOG_CLOCK_COMMA;
    uint64_t unit = power_of_ten(digits), second;
    int64_t day = (int64_t)(86400 * unit);
    int64_t at = (int64_t)((uint64_t)v->ints[i] + (uint64_t)log_clock_of(time_ns, digits)) % day;

    if (at < 0) at += day;
    second = (uint64_t)at / unit;
    out = put_digits(out, second / 3600, 2);
    *out++ = ':';
    out = put_digits(out, second / 60 % 60, 2);
    *out++ = ':';
    out = put_digits(out, second % 60, 2);
    if (digits == 0) return out;
    *out++ = v->param > LOG_CLOCK_COMMA ? ',' : '.';
    return put_digits(out, (uint64_t)at % unit, digits);
}

static char *put_var(char *out, const LogVarData *v, uint32_t i, int64_t time_ns) {
    uint64_t unit, value;

    switch (v->type) {
    case LOG_VAR_NUMBER:
        value = (uint64_t)v->ints[i];
        return put_digits(out, value, digits_of(value));
    case LOG_VAR_POINT:
        value = (uint64_t)v->ints[i];
        unit = power_of_ten(v->param);
        out = put_digits(out, value / unit, digits_of(value / unit));
        *out++ = '.';
        return put_digits(out, value % unit, v->param);
    case LOG_VAR_DIGITS:
        return put_digits(out, (uint64_t)v->ints[i], v->param);
    case LOG_VAR_HEX:
    case LOG_VAR_UPPER:
        return put_hex(out, v->bytes + log_var_bytes(v->type, v->param) * i, v->param,
                       v->type == LOG_VAR_UPPER);
    case LOG_VAR_UUID:
        return put_uuid(out, v->bytes + 16 * (size_t)i);
    case LOG_VAR_IP:
        for (int k = 0; k < 4; k++) {
            uint8_t byte = v->bytes[4 * (size_t)i + k];

            if (k > 0) *out++ = '.';
            out = put_digits(out, byte, digits_of(byte));
        }
        return out;
    case LOG_VAR_CLOCK:
        return put_clock(out, v, i, time_ns);
    default:
        memcpy(out, v->bytes + v->start[i], v->start[i + 1] - v->start[i]);
        return out + (v->start[i + 1] - v->start[i]);
    }
}

/* Writes the line into the decoder's arena unless only its length is wanted. `next` says which
 * variable of each column is the row's first. */
static ErrCode put_row(LogText *t, const LogTemplate *template, const uint32_t *next,
                       int64_t time_ns, Str *line, uint32_t *length, Error *err) {
    const LogTemplatePart *end = template->parts + template->part_count;
    uint64_t total = 0;
    char *out;

    for (const LogTemplatePart *p = template->parts; p < end; p++) {
        const LogVarData *v = &t->vars[p->column];
        uint32_t at = next[p->column] + p->before;

        if (p->text != NULL) {
            total += p->length;
            continue;
        }
        if (at >= v->count) return log_page_corrupt(err, "a variable is missing");
        total += var_length(v, at);
    }
    if (total > LOG_COLUMN_RAW_MAX) return log_page_corrupt(err, "a line of too many bytes");
    if (length != NULL) *length = (uint32_t)total;
    if (line == NULL) return ERR_OK;
    out = arena_alloc_bytes(t->decoder->arena, (size_t)total + 1);
    if (out == NULL) return log_page_no_memory(err);
    *line = (Str){out, (size_t)total};
    for (const LogTemplatePart *p = template->parts; p < end; p++) {
        if (p->text != NULL) {
            memcpy(out, p->text, p->length);
            out += p->length;
        } else {
            out = put_var(out, &t->vars[p->column], next[p->column] + p->before, time_ns);
        }
    }
    assert(out == line->ptr + line->len);
    return ERR_OK;
}

ErrCode log_text_rows(LogText *t, const LogPicked *picked, const int64_t *times,
                      uint32_t times_first, Str *lines, uint32_t *lengths, Error *err) {
    uint32_t *next = ARENA_ARRAY(t->decoder->arena, uint32_t, (size_t)t->var_count + 1);
    uint64_t bytes = 0;
    uint32_t row = 0;

    if (next == NULL) return log_page_no_memory(err);
    for (uint32_t i = 0; i < picked->count; i++, row++) {
        uint32_t wanted = log_picked_row(picked, i);
        LogTemplate *template;

        for (;; row++) {
            template = &t->templates[log_text_template(t, row)];
            if (row == wanted) break;
            for (uint32_t s = 0; s < template->slot_count; s++) {
                uint16_t column;

                memcpy(&column, template->slots + 2 * s, sizeof column);
                next[column]++;
            }
        }
        if (template->parts == NULL) TRY(make_parts(t, template, err));
        TRY(put_row(t, template, next, times[row - times_first], lines == NULL ? NULL : &lines[i],
                    lengths == NULL ? NULL : &lengths[i], err));
        bytes += lines == NULL ? 0 : lines[i].len;
        if (bytes > 2 * (uint64_t)LOG_COLUMN_RAW_MAX)
            return log_page_corrupt(err, "lines of too many bytes");
        for (uint32_t s = 0; s < template->slot_count; s++) {
            uint16_t column;

            memcpy(&column, template->slots + 2 * s, sizeof column);
            next[column]++;
        }
    }
    return ERR_OK;
}

/* ---------- needles ---------- */

/* Bytes that a variable of a type may hold. */
static bool var_may_hold(unsigned type, uint8_t c) {
    bool digit = c >= '0' && c <= '9';

    switch (type) {
    case LOG_VAR_NUMBER:
    case LOG_VAR_DIGITS:
        return digit;
    case LOG_VAR_POINT:
    case LOG_VAR_IP:
        return digit || c == '.';
    case LOG_VAR_HEX:
        return digit || (c >= 'a' && c <= 'f');
    case LOG_VAR_UPPER:
        return digit || (c >= 'A' && c <= 'F');
    case LOG_VAR_UUID:
        return digit || (c >= 'a' && c <= 'f') || c == '-';
    case LOG_VAR_CLOCK:
        return digit || c == ':' || c == '.' || c == ',';
    default:
        return digit || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    }
}

/* A needle of up to 64 bytes, a bit each, as it is looked for in all templates side by side. */
typedef struct Search {
    uint64_t of_byte[256];
    uint64_t of_type[LOG_VAR_TYPES];
    uint64_t last;
} Search;

static void search_add(Search *s, uint8_t c, uint64_t bit) {
    s->of_byte[c] |= bit;
    for (unsigned type = 1; type < LOG_VAR_TYPES; type++) {
        if (var_may_hold(type, c)) s->of_type[type] |= bit;
    }
}

/* False: the needle tells nothing. Folding knows ASCII; k and s have relatives beyond it. */
static bool search_init(Search *s, Str needle, bool fold_case) {
    size_t best = 0, best_len = 0;

    memset(s, 0, sizeof *s);
    for (size_t i = 0, n; i < needle.len; i += n + 1) {
        for (n = 0; i + n < needle.len; n++) {
            uint8_t c = (uint8_t)needle.ptr[i + n];

            if (fold_case && (c >= 0x80 || (c | 32) == 'k' || (c | 32) == 's')) break;
        }
        if (n > best_len) {
            best = i;
            best_len = n;
        }
    }
    best_len = MIN(best_len, (size_t)64);
    if (best_len == 0) return false;
    for (size_t i = 0; i < best_len; i++) {
        uint8_t c = (uint8_t)needle.ptr[best + i];

        search_add(s, c, (uint64_t)1 << i);
        if (fold_case && (c | 32) >= 'a' && (c | 32) <= 'z')
            search_add(s, c ^ 32, (uint64_t)1 << i);
    }
    s->last = (uint64_t)1 << (best_len - 1);
    return true;
}

/* Bit i of `state`: the text so far may end in the needle's first i + 1 bytes. A variable may be
 * any string of its bytes, whatever its length. */
static bool search_template(const Search *s, Str template) {
    uint64_t state = 0, before, seen = 0;
    size_t i = 0;

    while (i < template.len) {
        uint8_t c = (uint8_t) template.ptr[i];

        if (c == LOG_MARK && i + 2 < template.len && template.ptr[i + 1] != 0) {
            unsigned type = (uint8_t) template.ptr[i + 1];

            if (type >= LOG_VAR_TYPES) return true;
            do {
                before = state;
                state |= (state << 1 | 1) & s->of_type[type];
            } while (state != before);
            i += 3;
        } else {
            state = (state << 1 | 1) & s->of_byte[c];
            i += c == LOG_MARK ? 2 : 1;
        }
        seen |= state;
    }
    return (seen & s->last) != 0;
}

void log_text_match(const LogText *t, const LogNeedle *needle, bool *out) {
    Search search;

    memset(out, 0, t->template_count);
    for (size_t i = 0; i < needle->count; i++) {
        bool tells = search_init(&search, needle->any[i], needle->fold_case);

        for (uint32_t k = 0; k < t->template_count; k++)
            out[k] |= !tells || search_template(&search, t->templates[k].text);
    }
}

/* ---------- patterns ---------- */

static ErrCode pattern_of(const LogTemplate *template, Arena *arena, Str *out, Error *err) {
    CLEANUP_IN_PLACE(buf_done) Buf text;
    Str left = template->text, constant;
    uint8_t type, param;

    buf_init(&text, 0);
    while (left.len > 0) {
        if (!next_part(&left, &constant, &type, &param))
            return log_page_corrupt(err, "a bad template");
        buf_append_str(&text, constant);
        if (type != 0) buf_append_str(&text, STR("<_>"));
    }
    *out = str_dup(arena, buf_str(&text));
    return out->ptr == NULL || buf_failed(&text) ? log_page_no_memory(err) : ERR_OK;
}

ErrCode log_text_patterns(const LogText *t, uint32_t first, uint32_t count, Arena *arena,
                          LogPattern **out, size_t *out_count, Error *err) {
    uint64_t *counts = ARENA_ARRAY(t->decoder->arena, uint64_t, (size_t)t->template_count + 1);
    LogPattern *list = ARENA_ARRAY(arena, LogPattern, (size_t)t->template_count + 1);
    size_t n = 0;

    if (counts == NULL || list == NULL) return log_page_no_memory(err);
    for (uint32_t i = first; i < first + count; i++) counts[log_text_template(t, i)]++;
    for (uint32_t i = 0; i < t->template_count; i++) {
        if (counts[i] == 0) continue;
        TRY(pattern_of(&t->templates[i], arena, &list[n].text, err));
        list[n++].count = counts[i];
    }
    *out = list;
    *out_count = n;
    return ERR_OK;
}
