#include "querier/promql/annotations.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "common/base/hash.h"
#include "querier/exec/go_float.h"

typedef struct Annotation Annotation;
struct Annotation {
    Annotation *next;   /* in order of first appearance */
    Annotation *bucket; /* of the hash table */
    uint64_t hash;
    Str text;
    uint32_t node;
    AnnotationKind kind;
    MonotonicityFixes fixes; /* FORCED_MONOTONICITY only */
};

enum { TABLE_SIZE = 256, TEXT_MAX = 64 << 10 };

struct Annotations {
    Arena *arena;
    Annotation *first;
    Annotation **last;
    Annotation *table[TABLE_SIZE];
};

static const struct {
    bool warning;
    const char *text;
} kinds[] = {
#define ANNOTATION_TEXT(kind, warning, text) {warning, text},
    ANNOTATION_KINDS(ANNOTATION_TEXT)
#undef ANNOTATION_TEXT
};

Annotations *annotations_new(Arena *arena) {
    Annotations *a = ARENA_NEW(arena, Annotations);

    if (a == NULL) return NULL;
    a->arena = arena;
    a->last = &a->first;
    return a;
}

/* The annotation of this text, made when new; NULL when there is no memory. */
static Annotation *intern(Annotations *a, AnnotationKind kind, uint32_t node, Str text) {
    uint64_t hash = hash_str(text);
    Annotation **slot = &a->table[hash % TABLE_SIZE], *found;

    for (found = *slot; found != NULL; found = found->bucket)
        if (found->hash == hash && found->kind == kind && str_equal(found->text, text)) {
            found->node = node;
            return found;
        }
    found = ARENA_NEW(a->arena, Annotation);
    text = str_dup(a->arena, text);
    if (found == NULL || text.ptr == NULL) return NULL;
    found->bucket = *slot;
    found->hash = hash;
    found->text = text;
    found->node = node;
    found->kind = kind;
    *slot = found;
    *a->last = found;
    a->last = &found->next;
    return found;
}

static void begin(Buf *text, AnnotationKind kind) {
    buf_init(text, TEXT_MAX);
    buf_append_str(text, kinds[kind].warning ? STR("PromQL warning: ") : STR("PromQL info: "));
    buf_append_str(text, str_of(kinds[kind].text));
}

static Annotation *end(Annotations *a, AnnotationKind kind, uint32_t node, Buf *text) {
    Annotation *made = buf_failed(text) ? NULL : intern(a, kind, node, buf_str(text));

    buf_done(text);
    return made;
}

static void append_quoted(Buf *out, Str s) {
    buf_append_byte(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c == '\n')
            buf_append_str(out, STR("\\n"));
        else if (c == '\t')
            buf_append_str(out, STR("\\t"));
        else if (c == '\r')
            buf_append_str(out, STR("\\r"));
        else if (c < 0x20 || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_append_byte(out, (char)c);
    }
    buf_append_byte(out, '"');
}

void annotate(Annotations *a, AnnotationKind kind, uint32_t node) {
    Buf text;

    if (a == NULL) return;
    begin(&text, kind);
    end(a, kind, node, &text);
}

void annotate_more(Annotations *a, AnnotationKind kind, uint32_t node, const char *format, ...) {
    char more[256];
    va_list args;
    Buf text;

    if (a == NULL) return;
    va_start(args, format);
    vsnprintf(more, sizeof more, format, args);
    va_end(args);
    begin(&text, kind);
    buf_append_str(&text, str_of(more));
    end(a, kind, node, &text);
}

void annotate_number(Annotations *a, AnnotationKind kind, uint32_t node, double number) {
    Buf text;

    if (a == NULL) return;
    begin(&text, kind);
    buf_append_str(&text, STR(", got "));
    go_append_g(&text, number);
    end(a, kind, node, &text);
}

void annotate_ratio(Annotations *a, uint32_t node, double ratio, double capped) {
    Buf text;

    if (a == NULL) return;
    begin(&text, ANNOTATION_INVALID_RATIO);
    buf_append_str(&text, STR(", got "));
    go_append_g(&text, ratio);
    buf_append_str(&text, STR(", capping to "));
    go_append_g(&text, capped);
    end(a, ANNOTATION_INVALID_RATIO, node, &text);
}

void annotate_name(Annotations *a, AnnotationKind kind, uint32_t node, Str name) {
    Buf text;

    if (a == NULL) return;
    begin(&text, kind);
    if (kind == ANNOTATION_MIXED_FLOATS_HISTOGRAMS) buf_append_str(&text, STR(" metric name"));
    buf_append_byte(&text, ' ');
    append_quoted(&text, name);
    end(a, kind, node, &text);
}

static void append_for_name(Buf *text, Str name) {
    if (name.len == 0) return;
    buf_append_str(text, STR(" for metric name "));
    append_quoted(text, name);
}

void annotate_for_name(Annotations *a, AnnotationKind kind, uint32_t node, Str name) {
    Buf text;

    if (a == NULL) return;
    begin(&text, kind);
    append_for_name(&text, name);
    end(a, kind, node, &text);
}

void annotate_bad_bucket(Annotations *a, uint32_t node, Str label, Str name) {
    Buf text;

    if (a == NULL) return;
    begin(&text, ANNOTATION_BAD_BUCKET_LABEL);
    buf_append_str(&text, STR(" of "));
    append_quoted(&text, label);
    append_for_name(&text, name);
    end(a, ANNOTATION_BAD_BUCKET_LABEL, node, &text);
}

void annotate_type(Annotations *a, uint32_t node, Str type, Str name) {
    Buf text;

    if (a == NULL) return;
    begin(&text, ANNOTATION_MAYBE_NOT_COUNTER_TYPE);
    buf_append_str(&text, STR(", got "));
    append_quoted(&text, type);
    buf_append_str(&text, STR(": "));
    append_quoted(&text, name);
    end(a, ANNOTATION_MAYBE_NOT_COUNTER_TYPE, node, &text);
}

void monotonicity_add(MonotonicityFixes *to, const MonotonicityFixes *more) {
    if (more->times == 0) return;
    if (to->times == 0) {
        *to = *more;
        return;
    }
    to->times += more->times;
    to->min_ms = MIN(to->min_ms, more->min_ms);
    to->max_ms = MAX(to->max_ms, more->max_ms);
    to->min_bucket = fmin(to->min_bucket, more->min_bucket);
    to->max_bucket = fmax(to->max_bucket, more->max_bucket);
    to->max_diff = fmax(to->max_diff, more->max_diff);
}

void annotate_monotonicity(Annotations *a, uint32_t node, Str name,
                           const MonotonicityFixes *fixes) {
    Annotation *made;
    Buf text;

    if (a == NULL || fixes->times == 0) return;
    begin(&text, ANNOTATION_FORCED_MONOTONICITY);
    append_for_name(&text, name);
    made = end(a, ANNOTATION_FORCED_MONOTONICITY, node, &text);
    if (made != NULL) monotonicity_add(&made->fixes, fixes);
}

void annotations_merge(Annotations *to, const Annotations *from, int64_t shift) {
    if (to == NULL || from == NULL || to == from) return;
    for (const Annotation *one = from->first; one != NULL; one = one->next) {
        Annotation *made = intern(to, one->kind, (uint32_t)(one->node + shift), one->text);

        if (made != NULL) monotonicity_add(&made->fixes, &one->fixes);
    }
}

static void append_time(Buf *out, int64_t ms) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char text[64];

    if (gmtime_r(&seconds, &tm) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        return;
    buf_append_str(out, str_of(text));
}

static void append_details(Buf *out, const MonotonicityFixes *a) {
    buf_append_str(out, STR(", from buckets "));
    go_append_g(out, a->min_bucket);
    buf_append_str(out, STR(" to "));
    go_append_g(out, a->max_bucket);
    buf_append_str(out, STR(", with a max diff of "));
    go_append_2g(out, a->max_diff);
    buf_printf(out, ", over %llu samples from ", (unsigned long long)a->times);
    append_time(out, a->min_ms);
    buf_append_str(out, STR(" to "));
    append_time(out, a->max_ms);
}

static void append_position(Buf *out, Str query, uint32_t position) {
    size_t line = 1, start = 0;

    if (query.len == 0) return;
    if (position > query.len) {
        buf_append_str(out, STR(" (invalid position)"));
        return;
    }
    for (size_t i = 0; i < position; i++)
        if (query.ptr[i] == '\n') {
            line++;
            start = i + 1;
        }
    buf_printf(out, " (%zu:%zu)", line, position - start + 1);
}

/* One kind of the two; *out has room. */
static bool texts_of(const Annotations *a, bool warnings, Str query, const uint32_t *positions,
                     size_t max, Arena *arena, Str *out, size_t *count) {
    size_t skipped = 0;
    Buf text;

    *count = 0;
    buf_init(&text, TEXT_MAX);
    for (const Annotation *one = a->first; one != NULL; one = one->next) {
        if (kinds[one->kind].warning != warnings) continue;
        if (max != 0 && *count >= max) {
            skipped++;
            continue;
        }
        buf_clear(&text);
        buf_append_str(&text, one->text);
        if (one->fixes.times > 0) append_details(&text, &one->fixes);
        append_position(&text, query, positions[one->node]);
        out[*count] = str_dup(arena, buf_str(&text));
        if (out[*count].ptr == NULL) break;
        ++*count;
    }
    if (skipped > 0) {
        out[*count] = str_format(arena, "%zu more %s annotations omitted", skipped,
                                 warnings ? "warning" : "info");
        ++*count;
    }
    buf_done(&text);
    return *count == 0 || out[*count - 1].ptr != NULL;
}

bool annotations_empty(const Annotations *a) {
    return a == NULL || a->first == NULL;
}

bool annotations_plain(const Annotations *a) {
    for (const Annotation *one = a == NULL ? NULL : a->first; one != NULL; one = one->next) {
        if (one->kind != ANNOTATION_MAYBE_NOT_COUNTER &&
            one->kind != ANNOTATION_MAYBE_NOT_COUNTER_TYPE)
            return false;
        for (const Annotation *other = a->first; other != one; other = other->next)
            if (other->node == one->node) return false;
    }
    return true;
}

ErrCode annotations_texts(const Annotations *a, Str query, const uint32_t *positions, size_t max,
                          Arena *arena, AnnotationTexts *out, Error *err) {
    AnnotationTexts texts = {0};
    size_t all = 1;

    for (const Annotation *one = a->first; one != NULL; one = one->next) all++;
    if (max != 0) all = MIN(all, max + 1);
    texts.warnings = ARENA_ARRAY(arena, Str, all);
    texts.infos = ARENA_ARRAY(arena, Str, all);
    if (texts.warnings == NULL || texts.infos == NULL ||
        !texts_of(a, true, query, positions, max, arena, texts.warnings, &texts.warning_count) ||
        !texts_of(a, false, query, positions, max, arena, texts.infos, &texts.info_count))
        return error_set(err, ERR_LIMIT, "annotations: the query's memory limit is reached");
    *out = texts;
    return ERR_OK;
}
