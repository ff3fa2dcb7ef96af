/*
 * row_logfmt.c: logfmt, regexp and pattern.
 */
#include <ctype.h>

#include "common/base/rune.h"
#include "querier/logql/engine/row_bytes.h"
#include "querier/logql/engine/row_layout.h"
#include "querier/logql/engine/row_stage.h"

/* ---- reading logfmt ---- */

typedef struct Reader {
    Str line;
    size_t at;
    Str key, value;
    Str raw;    /* the value as it stands in the line, without quotes */
    bool ascii; /* the value is known to be, and free of escapes */
    Arena *scratch;
    bool failed; /* some pair was broken */
    size_t failed_at;
    const char *why;
} Reader;

static void fail(Reader *reader, const char *why) {
    reader->failed = true;
    reader->failed_at = reader->at + 1;
    reader->why = why;
}

/* Up to a byte that ends a key or a value: a space, a control, = or a quote. False: what was
 * skipped is not ASCII. */
static bool skip_to_stop(Reader *reader) {
    const char *text = reader->line.ptr;
    bool high = false;

    reader->at = (size_t)(bytes_to_stop(text + reader->at, text + reader->line.len, &high) - text);
    return !high;
}

static int peek(const Reader *reader) {
    return reader->at < reader->line.len ? (unsigned char)reader->line.ptr[reader->at] : -1;
}

static bool skip_word(Reader *reader) {
    while (peek(reader) > ' ') reader->at++;
    return false;
}

static bool is_valid_key(Reader *reader, size_t start, bool ascii) {
    reader->key = str_slice(reader->line, start, reader->at - start);
    if (ascii) return true;
    if (str_is_utf8(reader->key) &&
        memmem(reader->key.ptr, reader->key.len, "\xef\xbf\xbd", 3) == NULL)
        return true;
    fail(reader, "invalid key");
    return false;
}

/* What Go's JSON takes as a quoted string, and ' as well. */
static bool unquote(Reader *reader, Str text) {
    CLEANUP_IN_PLACE(buf_done) Buf plain = {0};

    if (memmem(text.ptr, text.len, "\\'", 2) != NULL) {
        buf_init(&plain, 0);
        for (size_t i = 0; i < text.len; i++) {
            if (text.ptr[i] == '\\' && i + 1 < text.len && text.ptr[i + 1] == '\'') continue;
            buf_append_byte(&plain, text.ptr[i]);
            if (text.ptr[i] == '\\' && i + 1 < text.len) buf_append_byte(&plain, text.ptr[++i]);
        }
        text = buf_failed(&plain) ? text : str_dup(reader->scratch, buf_str(&plain));
        if (text.ptr == NULL) return false;
    }
    return row_json_unescape(reader->scratch, text, &reader->value);
}

static bool quoted_value(Reader *reader) {
    const char *text = reader->line.ptr, *end = text + reader->line.len, *at;
    size_t start = ++reader->at;
    bool escapes = false, high = false;

    for (at = text + start;; at += 2) {
        at = bytes_to_quote(at, end, &high);
        if (at < end && *at == '"') break;
        escapes = true;
        if (end - at >= 2) continue;
        reader->at = reader->line.len;
        fail(reader, "unterminated quoted value");
        return false;
    }
    reader->at = (size_t)(at - text) + 1;
    reader->raw = reader->value = str_slice(reader->line, start, reader->at - 1 - start);
    reader->ascii = !high && !escapes;
    if (!escapes || unquote(reader, reader->value)) return true;
    fail(reader, "invalid quoted value");
    return false;
}

/* The next pair. False: none was readable here; there may be more behind. */
static bool next_pair(Reader *reader) {
    size_t start;
    bool ascii;
    int c;

    reader->key = reader->value = reader->raw = (Str){"", 0};
    reader->ascii = false;
    while ((c = peek(reader)) != -1 && c <= ' ') reader->at++;
    if (c == -1) return false;
    start = reader->at;
    ascii = skip_to_stop(reader);
    c = peek(reader);
    if (c == '"' || (c == '=' && reader->at == start)) {
        fail(reader, c == '"' ? "unexpected '\"'" : "unexpected '='");
        return skip_word(reader);
    }
    if (!is_valid_key(reader, start, ascii)) return c == '=' ? skip_word(reader) : false;
    if (c != '=') return true;
    reader->at++;
    c = peek(reader);
    if (c <= ' ') return true;
    if (c == '"') return quoted_value(reader);
    start = reader->at;
    reader->ascii = skip_to_stop(reader);
    c = peek(reader);
    if (c == '=' || c == '"') {
        fail(reader, c == '"' ? "unexpected '\"'" : "unexpected '='");
        return skip_word(reader);
    }
    reader->raw = reader->value = str_slice(reader->line, start, reader->at - start);
    return true;
}

static void report(RowRun *run, const Reader *reader) {
    Str details = str_format(run->labels.scratch, "logfmt syntax error at pos %zu : %s",
                             reader->failed_at, reader->why);

    row_labels_fail(&run->labels, STR("LogfmtParserErr"),
                    details.ptr == NULL ? STR("logfmt syntax error") : details);
}

/* ---- logfmt ---- */

/* Escapes may be wrong, so that a value with any must be the same in all lines. */
static void record_pair(RowRecorder *recorder, RowRun *run, Str name, const Reader *reader) {
    RowLabels *labels = &run->labels;
    /* What is clean already stays as it is: row_recorder_field() does no more to it. */
    RowJson field = {ROW_JSON_STRING, reader->raw, true};

    if (!row_labels_may_want(labels, name)) return;
    if (reader->ascii || reader->raw.len == 0)
        row_recorder_field(recorder, name, &field);
    else
        row_recorder_irregular(recorder);
}

static bool record_logfmt(const RowStage *stage, RowRun *run, Str line, RowRecorder *recorder) {
    const LogqlStage *from = stage->data;
    Reader reader = {.line = line, .scratch = run->labels.scratch};

    while (reader.at < reader.line.len) {
        Str name;

        if (!next_pair(&reader)) {
            if (from->as.parser.strict) break;
            continue;
        }
        if (reader.value.len == 0 && !from->as.parser.keep_empty) continue;
        row_recorder_constant(recorder, reader.key);
        name = row_label_name(run->labels.scratch, reader.key);
        if (name.len > 0) record_pair(recorder, run, name, &reader);
    }
    return !(from->as.parser.strict && reader.failed);
}

/* As run_logfmt() would, with pairs where lines of this shape have them. */
static bool set_pairs(RowRun *run, const RowLayout *layout) {
    RowLabels *labels = &run->labels;

    for (size_t i = 0; i < layout->count; i++) {
        const RowField *field = &layout->fields[i];
        Str name = row_labels_parsed_name(labels, field->name), value = field->text;

        if (!row_labels_wants(labels, name)) continue;
        if (!field->constant && !row_field_text(run, field, &value)) return false;
        row_labels_parse(labels, name, value);
        if (labels->refused) return false;
        if (labels->hints->required_count > 0 && row_labels_enough(labels)) break;
    }
    return true;
}

static bool run_logfmt(const RowStage *stage, RowRun *run) {
    const LogqlStage *from = stage->data;
    RowLabels *labels = &run->labels;
    Reader reader = {.scratch = labels->scratch};
    const RowLayout *layout;

    if (row_labels_enough(labels)) return true;
    layout = row_layout(stage, run, record_logfmt);
    if (layout != NULL) return set_pairs(run, layout);
    reader.line = row_line(run);
    while (reader.at < reader.line.len) {
        Str name, value;

        if (!next_pair(&reader)) {
            if (from->as.parser.strict) break;
            continue;
        }
        name = row_label_name(labels->scratch, reader.key);
        if (name.len == 0 || !row_labels_may_want(labels, name)) continue;
        name = row_labels_parsed_name(labels, name);
        if (!row_labels_wants(labels, name)) continue;
        value = reader.ascii ? reader.value : row_clean_text(labels->scratch, reader.value);
        if (value.len == 0 && !from->as.parser.keep_empty) continue;
        row_labels_parse(labels, name, value);
        if (labels->refused) return false;
        if (labels->hints->required_count > 0 && row_labels_enough(labels)) break;
    }
    if (from->as.parser.strict && reader.failed) report(run, &reader);
    return true;
}

/* The label that a key is extracted to. */
static const LogqlExtraction *extraction_of(const LogqlStage *stage, Str key) {
    for (size_t i = 0; i < stage->as.parser.count; i++)
        if (str_equal(stage->as.parser.extractions[i].expression, key))
            return &stage->as.parser.extractions[i];
    for (size_t i = 0; i < stage->as.parser.count; i++)
        if (str_equal(stage->as.parser.extractions[i].name, key))
            return &stage->as.parser.extractions[i];
    return NULL;
}

static void extract_pair(const LogqlStage *stage, RowRun *run, Str key, Str value) {
    const LogqlExtraction *extraction = extraction_of(stage, key);
    RowLabels *labels = &run->labels;
    Str name;

    if (extraction == NULL) return;
    name = row_labels_parsed_name(labels, extraction->name);
    if (name.len != extraction->name.len && !row_labels_wants(labels, name)) return;
    if (!str_is_utf8(value)) value = (Str){"", 0};
    row_labels_set(labels, ROW_PARSED, name, value);
}

static bool run_logfmt_some(const RowStage *stage, RowRun *run) {
    const LogqlStage *from = stage->data;
    RowLabels *labels = &run->labels;
    Reader reader = {.line = row_line(run), .scratch = labels->scratch};

    if (row_labels_enough(labels)) return true;
    for (size_t i = 0; i < from->as.parser.count; i++) {
        Str name = from->as.parser.extractions[i].name;

        if (row_labels_parsed_name(labels, name).len == name.len)
            row_labels_set(labels, ROW_PARSED, name, (Str){"", 0});
    }
    while (reader.at < reader.line.len) {
        if (!next_pair(&reader)) {
            if (from->as.parser.strict) break;
            continue;
        }
        extract_pair(from, run, row_label_name(labels->scratch, reader.key), reader.value);
    }
    if (from->as.parser.strict && reader.failed) report(run, &reader);
    return true;
}

ErrCode row_logfmt(Arena *arena, const LogqlStage *stage, RowStage *out, Error *err) {
    (void)arena;
    (void)err;
    *out =
        (RowStage){.run = stage->as.parser.count > 0 ? run_logfmt_some : run_logfmt, .data = stage};
    return ERR_OK;
}

/* ---- regexp ---- */

typedef struct RegexStage {
    const Regex *regex;
    Str *names; /* of each group; empty: it has none */
    unsigned count;
} RegexStage;

/* False: an early filter refuses the entry. */
static bool set_parsed(RowLabels *labels, Str name, Str value) {
    name = row_labels_parsed_name(labels, name);
    if (row_labels_wants(labels, name))
        row_labels_parse(labels, name, value.ptr == NULL ? (Str){"", 0} : value);
    return !labels->refused;
}

static bool run_regexp(const RowStage *stage, RowRun *run) {
    enum { GROUPS_MAX = 128 };
    const RegexStage *from = stage->data;
    Str groups[GROUPS_MAX] = {0};

    if (!regex_find(from->regex, row_line(run), 0, groups, from->count)) return true;
    for (unsigned i = 1; i < from->count; i++)
        if (from->names[i].len > 0 && !set_parsed(&run->labels, from->names[i], groups[i]))
            return false;
    return true;
}

ErrCode row_regexp(Arena *arena, Str expression, RowStage *out, Error *err) {
    RegexStage *stage = ARENA_NEW(arena, RegexStage);

    if (stage == NULL) return logql_out_of_memory(err);
    TRY(row_regex_new(arena, expression, &stage->regex, err));
    stage->count = MIN(regex_groups(stage->regex) + 1, 128);
    stage->names = ARENA_ARRAY(arena, Str, stage->count);
    if (stage->names == NULL) return logql_out_of_memory(err);
    for (unsigned i = 1; i < stage->count; i++) {
        stage->names[i] = row_label_name(arena, regex_group_name(stage->regex, i));
        if (stage->names[i].ptr == NULL) return logql_out_of_memory(err);
    }
    *out = (RowStage){.run = run_regexp, .data = stage};
    return ERR_OK;
}

/* ---- pattern ---- */

/* A capture goes up to the next text, or to the end where that isn't there. */
static bool run_pattern(const RowStage *stage, RowRun *run) {
    const RowParts *parts = stage->data;
    Str rest = row_line(run);
    size_t i = 0;

    if (row_labels_enough(&run->labels) || rest.len == 0) return true;
    if (!parts->parts[0].capture) {
        if (!str_starts_with(rest, parts->parts[0].text)) return true;
        rest = str_from(rest, parts->parts[i++].text.len);
    }
    for (; i < parts->count; i += 2) {
        const RowPart *capture = &parts->parts[i];
        Str text = i + 1 < parts->count ? parts->parts[i + 1].text : (Str){NULL, 0};
        const char *found = text.ptr == NULL || rest.len == 0
                                ? NULL
                                : memmem(rest.ptr, rest.len, text.ptr, text.len);
        Str value = found == NULL ? rest : str_slice(rest, 0, (size_t)(found - rest.ptr));

        if (capture->text.len > 0 && !set_parsed(&run->labels, capture->text, value)) return false;
        if (found == NULL) return true;
        rest = str_from(rest, value.len + text.len);
    }
    return true;
}

ErrCode row_pattern(Arena *arena, Str pattern, RowStage *out, Error *err) {
    RowParts *parts = ARENA_NEW(arena, RowParts);

    if (parts == NULL || !row_pattern_parts(arena, pattern, parts)) return logql_out_of_memory(err);
    *out = (RowStage){.run = run_pattern, .data = parts};
    return ERR_OK;
}
