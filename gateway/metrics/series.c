#include "gateway/metrics/series.h"

#include <stdio.h>

#include "proto/wire/wire.h"

/* One Label message. False: not protobuf. */
static bool read_label(WireReader r, LabelPair *out, bool *plain) {
    uint32_t tag, fields = 0;

    *out = (LabelPair){STR(""), STR("")};
    while (!wire_at_end(&r)) {
        bool ok;

        if (!wire_tag(&r, &tag)) return false;
        switch (tag) {
        case WIRE_TAG(1, WIRE_BYTES):
            ok = wire_bytes(&r, &out->name);
            break;
        case WIRE_TAG(2, WIRE_BYTES):
            ok = wire_bytes(&r, &out->value);
            break;
        default:
            ok = tag >> 3 > 2 && wire_skip(&r, tag);
        }
        if (!ok) return false;
        fields++;
        if (tag >> 3 != fields) *plain = false;
    }
    if (fields != 2) *plain = false;
    return true;
}

bool label_scratch_reserve(LabelScratch *scratch, size_t count, Arena *arena) {
    size_t capacity = MAX(scratch->capacity * 2, MAX(count, (size_t)32));
    LabelPair *pairs;

    if (count <= scratch->capacity) return true;
    pairs = arena_grow(arena, scratch->pairs, scratch->capacity * sizeof *pairs,
                       capacity * sizeof *pairs);
    if (pairs == NULL) return false;
    scratch->pairs = pairs;
    scratch->capacity = capacity;
    return true;
}

ErrCode series_read(Str raw, Arena *arena, LabelScratch *scratch, bool *plain, Error *err) {
    WireReader r = wire_reader(raw), label;
    size_t count = 0;
    uint32_t tag;

    *plain = true;
    while (!wire_at_end(&r)) {
        LabelPair pair;

        if (!wire_tag(&r, &tag) || tag != WIRE_TAG(1, WIRE_BYTES) || !wire_message(&r, &label) ||
            !read_label(label, &pair, plain))
            return error_set(err, ERR_INVALID, "labels are not valid protobuf");
        if (count++ >= SERIES_LABELS_MAX) continue;
        if (!label_scratch_reserve(scratch, count, arena)) {
            scratch->count = 0;
            return error_set(err, ERR_LIMIT, "no memory left for the labels of this request");
        }
        scratch->pairs[count - 1] = pair;
    }
    scratch->count = count;
    if (count > SERIES_LABELS_MAX) return error_set(err, ERR_LIMIT, "%zu labels", count);
    return ERR_OK;
}

void series_sort(LabelPair *pairs, size_t *count, bool *changed) {
    size_t kept = 0;
    bool sorted = true;

    for (size_t i = 0; i < *count; i++) {
        if (pairs[i].value.len == 0) continue;
        if (kept > 0 && str_compare(pairs[kept - 1].name, pairs[i].name) > 0) sorted = false;
        pairs[kept++] = pairs[i];
    }
    if (!sorted) labels_sort(pairs, kept);
    *changed = !sorted || kept != *count;
    *count = kept;
}

static size_t text_len(Str s) {
    return 1 + wire_varint_len(s.len) + s.len;
}

size_t series_encoded_len(const LabelPair *pairs, size_t count) {
    size_t len = 0;

    for (size_t i = 0; i < count; i++) {
        size_t label = text_len(pairs[i].name) + text_len(pairs[i].value);

        len += 1 + wire_varint_len(label) + label;
    }
    return len;
}

static char *put_varint(char *at, uint64_t v) {
    for (; v >= 0x80; v >>= 7) *at++ = (char)(v | 0x80);
    *at++ = (char)v;
    return at;
}

static char *put_text(char *at, char tag, Str s) {
    *at++ = tag;
    at = put_varint(at, s.len);
    memcpy(at, s.ptr, s.len);
    return at + s.len;
}

Str series_encode(const LabelPair *pairs, size_t count, Arena *arena) {
    size_t len = series_encoded_len(pairs, count);
    char *out = arena_alloc_bytes(arena, MAX(len, 1)), *at = out;

    if (out == NULL) return (Str){NULL, 0};
    for (size_t i = 0; i < count; i++) {
        *at++ = WIRE_TAG(1, WIRE_BYTES);
        at = put_varint(at, text_len(pairs[i].name) + text_len(pairs[i].value));
        at = put_text(at, WIRE_TAG(1, WIRE_BYTES), pairs[i].name);
        at = put_text(at, WIRE_TAG(2, WIRE_BYTES), pairs[i].value);
    }
    assert((size_t)(at - out) == len);
    return (Str){out, len};
}

/* A text's valid UTF-8 as it is, everything else and control characters as '?'. */
static void append_printable(char *out, size_t size, size_t *used, Str s) {
    for (size_t i = 0; i < s.len && *used + 5 < size;) {
        size_t len = 1;
        unsigned char c = (unsigned char)s.ptr[i];

        if (c >= 0xc2) {
            len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
            if (len > s.len - i || !str_is_utf8((Str){s.ptr + i, len})) len = 0;
        } else if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\') {
            len = 0;
        }
        if (len == 0) {
            out[(*used)++] = '?';
            i++;
            continue;
        }
        memcpy(out + *used, s.ptr + i, len);
        *used += len;
        i += len;
    }
}

const char *series_text(const LabelPair *pairs, size_t count, char out[static SERIES_TEXT_MAX]) {
    const size_t size = SERIES_TEXT_MAX - 8; /* room for the end */
    size_t used = 0, shown = 0;
    bool cut = false;

    for (size_t i = 0; i < count; i++)
        if (str_equal(pairs[i].name, LABEL_NAME))
            append_printable(out, size / 2, &used, pairs[i].value);
    out[used++] = '{';
    for (size_t i = 0; i < count && !cut; i++) {
        if (str_equal(pairs[i].name, LABEL_NAME)) continue;
        if (shown++ > 0) out[used++] = ',';
        append_printable(out, size - 4, &used, pairs[i].name);
        out[used++] = '=';
        out[used++] = '"';
        append_printable(out, size, &used, pairs[i].value);
        out[used++] = '"';
        cut = used + 12 >= size && i + 1 < count;
    }
    snprintf(out + used, SERIES_TEXT_MAX - used, cut ? "...}" : "}");
    return out;
}

typedef struct OverLimit {
    RejectReason reason;
    const char *what; /* "a label's value" has */
    size_t actual;    /* 3000 */
    const char *unit; /* "bytes" */
    const char *setting;
    uint64_t limit;
} OverLimit;

/* Says which limit, its value, and how to raise it. */
static RejectReason over_limit(OverLimit over, Str tenant, const char *series, Error *err) {
    error_set(err, ERR_INVALID,
              "%s has %zu %s; %s is %llu and can be raised, below overrides." STR_FMT
              " for this tenant alone%s%s",
              over.what, over.actual, over.unit, over.setting, (unsigned long long)over.limit,
              STR_ARG(str_slice(tenant, 0, 64)), series[0] != '\0' ? ": series " : "", series);
    return over.reason;
}

RejectReason series_refuse_count(size_t count, const TenantLimits *limits, Str tenant, Error *err) {
    if (count > SERIES_LABELS_MAX) {
        error_set(err, ERR_INVALID, "a series has %zu labels, no more than %d can be stored", count,
                  SERIES_LABELS_MAX);
        return REJECT_TOO_MANY_LABELS;
    }
    return over_limit((OverLimit){REJECT_TOO_MANY_LABELS, "a series", count, "labels",
                                  "limits.label_names_max", limits->label_names_max},
                      tenant, "", err);
}

static RejectReason bad_label(RejectReason reason, const char *what, const LabelPair *pairs,
                              size_t count, Error *err) {
    char series[SERIES_TEXT_MAX];

    error_set(err, ERR_INVALID, "%s: series %s", what, series_text(pairs, count, series));
    return reason;
}

static RejectReason check_lengths(const LabelPair *pairs, size_t count, size_t i,
                                  const TenantLimits *limits, Str tenant, Error *err) {
    char series[SERIES_TEXT_MAX];
    uint64_t name_max = limits->label_name_bytes_max, value_max = limits->label_value_bytes_max;

    if (name_max > 0 && pairs[i].name.len > name_max)
        return over_limit((OverLimit){REJECT_LABEL_NAME_TOO_LONG, "a label's name",
                                      pairs[i].name.len, "bytes", "limits.label_name_bytes_max",
                                      name_max},
                          tenant, series_text(pairs, count, series), err);
    if (value_max > 0 && pairs[i].value.len > value_max)
        return over_limit((OverLimit){REJECT_LABEL_VALUE_TOO_LONG, "a label's value",
                                      pairs[i].value.len, "bytes", "limits.label_value_bytes_max",
                                      value_max},
                          tenant, series_text(pairs, count, series), err);
    return REJECT_NONE;
}

RejectReason series_check(const LabelPair *pairs, size_t count, const TenantLimits *limits,
                          Str tenant, Error *err) {
    bool named = false;

    if (count > SERIES_LABELS_MAX ||
        (limits->label_names_max > 0 && count > limits->label_names_max))
        return series_refuse_count(count, limits, tenant, err);
    if (series_encoded_len(pairs, count) > SERIES_BYTES_MAX)
        return bad_label(REJECT_LABEL_VALUE_TOO_LONG, "labels have more than 256 KiB together",
                         pairs, count, err);
    for (size_t i = 0; i < count; i++) {
        bool is_name = str_equal(pairs[i].name, LABEL_NAME);
        RejectReason reason = check_lengths(pairs, count, i, limits, tenant, err);

        if (reason != REJECT_NONE) return reason;
        if (i > 0 && str_equal(pairs[i - 1].name, pairs[i].name))
            return bad_label(REJECT_DUPLICATE_LABEL, "duplicate label name: one comes twice", pairs,
                             count, err);
        if (pairs[i].name.len == 0)
            return bad_label(REJECT_LABEL_INVALID, "a label's name is empty", pairs, count, err);
        if (!str_is_utf8(pairs[i].name))
            return bad_label(REJECT_LABEL_INVALID, "a label's name is not UTF-8", pairs, count,
                             err);
        if (!str_is_utf8(pairs[i].value))
            return bad_label(is_name ? REJECT_NAME_INVALID : REJECT_LABEL_VALUE_INVALID,
                             is_name ? "the metric's name is not UTF-8"
                                     : "a label's value is not UTF-8",
                             pairs, count, err);
        named |= is_name;
    }
    if (!named)
        return bad_label(REJECT_MISSING_NAME, "received series has no metric name", pairs, count,
                         err);
    return REJECT_NONE;
}
