/*
 * decode_json.c: pushes in JSON, of both generations.
 */
#include "common/base/json_read.h"
#include "common/base/rfc3339.h"
#include "gateway/loki/decode.h"

enum { PAIRS_MAX = 8192 }; /* of one stream or entry, whatever the tenant's limit */

typedef struct Walk {
    Streams *streams;
    JsonReader json;
    LabelPair *pairs; /* one entry's metadata */
    size_t capacity;
    LabelPair *labels; /* the stream's */
    size_t label_count;
} Walk;

static ErrCode malformed(const Walk *walk, const char *what, Error *err) {
    size_t place = (size_t)(walk->json.at - walk->json.start);

    if (walk->json.problem != NULL) return json_reader_error(&walk->json, err);
    return error_set(err, ERR_INVALID, "JSON, at byte %zu: %s", place, what);
}

static ErrCode expect(Walk *walk, JsonToken wanted, const char *what, Error *err) {
    return json_next(&walk->json) == wanted ? ERR_OK : malformed(walk, what, err);
}

/* {"name": "value", ...}: all texts. The opening brace was read. */
static ErrCode read_pairs(Walk *walk, const char *what, LabelPair **array, size_t *capacity,
                          size_t *count, Error *err) {
    JsonToken token;

    *count = 0;
    while ((token = json_next(&walk->json)) == JSON_KEY) {
        Str name = walk->json.text;

        if (json_next(&walk->json) != JSON_STRING) return malformed(walk, what, err);
        if (*count == PAIRS_MAX) return malformed(walk, "more than 8192 names", err);
        if (*count == *capacity) {
            size_t more = MAX(*capacity * 2, (size_t)16);

            *array = arena_grow(walk->streams->arena, *array, *capacity * sizeof **array,
                                more * sizeof **array);
            *capacity = *array == NULL ? 0 : more;
            if (*array == NULL)
                return error_set(err, ERR_UNAVAILABLE,
                                 "no memory left for this request; try again");
        }
        (*array)[(*count)++] = (LabelPair){name, walk->json.text};
    }
    return token == JSON_OBJECT_END ? ERR_OK : malformed(walk, what, err);
}

/* ["1700000000000000000", "line", {"name": "value"}], the opening bracket read. */
static ErrCode read_value(Walk *walk, Error *err) {
    static const char metadata_what[] = "structured metadata must be an object of texts";
    size_t count = 0;
    int64_t time_ns;
    JsonToken token;
    Str line;

    TRY(expect(walk, JSON_STRING, "a time must be a text of nanoseconds", err));
    if (!str_to_i64(walk->json.text, &time_ns))
        return malformed(walk, "a time must be a text of nanoseconds", err);
    TRY(expect(walk, JSON_STRING, "a line must be a text", err));
    line = walk->json.text;
    token = json_next(&walk->json);
    if (token == JSON_OBJECT) {
        TRY(read_pairs(walk, metadata_what, &walk->pairs, &walk->capacity, &count, err));
        token = json_next(&walk->json);
    }
    if (token != JSON_ARRAY_END) return malformed(walk, metadata_what, err);
    streams_entry(walk->streams, time_ns, line, walk->pairs, count);
    return ERR_OK;
}

/* {"ts": "2026-01-02T03:04:05Z", "line": "..."}, the opening brace read. */
static ErrCode read_old_entry(Walk *walk, Error *err) {
    int64_t time_ns = 0;
    Str line = STR("");
    JsonToken token;

    while ((token = json_next(&walk->json)) == JSON_KEY) {
        Str key = walk->json.text;

        token = json_next(&walk->json);
        if (str_equal(key, STR("ts")) || str_equal(key, STR("timestamp"))) {
            if (token != JSON_STRING || !rfc3339_parse(walk->json.text, &time_ns))
                return malformed(walk, "ts must be a time as 2026-01-02T03:04:05.678Z", err);
        } else if (str_equal(key, STR("line"))) {
            if (token != JSON_STRING) return malformed(walk, "line must be a text", err);
            line = walk->json.text;
        } else if (!json_skip(&walk->json, token)) {
            return malformed(walk, "", err);
        }
    }
    if (token != JSON_OBJECT_END) return malformed(walk, "an entry must be an object", err);
    streams_entry(walk->streams, time_ns, line, NULL, 0);
    return ERR_OK;
}

/* `values` or `entries`, the key read. */
static ErrCode read_entries(Walk *walk, bool old, Error *err) {
    JsonToken token;

    token = json_next(&walk->json);
    if (token == JSON_NULL) return ERR_OK;
    if (token != JSON_ARRAY) return malformed(walk, "entries must be an array", err);
    while ((token = json_next(&walk->json)) != JSON_ARRAY_END) {
        if (token != (old ? JSON_OBJECT : JSON_ARRAY))
            return malformed(walk, "an entry must be [\"nanoseconds\", \"line\"]", err);
        TRY(old ? read_old_entry(walk, err) : read_value(walk, err));
    }
    return ERR_OK;
}

static ErrCode read_labels(Walk *walk, bool text, Error *err) {
    size_t capacity = 0;

    walk->labels = NULL;
    if (!text) {
        TRY(expect(walk, JSON_OBJECT, "stream must be an object of labels", err));
        return read_pairs(walk, "a label's value must be a text", &walk->labels, &capacity,
                          &walk->label_count, err);
    }
    TRY(expect(walk, JSON_STRING, "labels must be a text", err));
    return loki_parse_labels(walk->json.text, walk->streams->arena, &walk->labels,
                             &walk->label_count, err);
}

/* Labels that nobody can read refuse the request, as Loki has it; those that break a limit refuse
 * their stream only. */
static ErrCode begin_stream(Walk *walk, Error *err) {
    streams_begin(walk->streams, walk->labels, walk->label_count);
    if (walk->streams->refused != LOG_REJECT_LABELS_INVALID) return ERR_OK;
    *err = walk->streams->refusal;
    return err->code;
}

/* One stream, the opening brace read. Its labels may come behind its entries: those are read then,
 * from where they began. */
static ErrCode read_stream(Walk *walk, Error *err) {
    JsonReader entries = {0};
    bool have_labels = false, have_entries = false, old = false;
    JsonToken token;

    walk->label_count = 0;
    while ((token = json_next(&walk->json)) == JSON_KEY) {
        Str key = walk->json.text;

        if (str_equal(key, STR("stream")) || str_equal(key, STR("labels"))) {
            if (have_labels) return malformed(walk, "a stream has labels twice", err);
            TRY(read_labels(walk, str_equal(key, STR("labels")), err));
            TRY(begin_stream(walk, err));
            have_labels = true;
        } else if (str_equal(key, STR("values")) || str_equal(key, STR("entries"))) {
            old = str_equal(key, STR("entries"));
            if (have_labels) {
                TRY(read_entries(walk, old, err));
                continue;
            }
            if (have_entries) return malformed(walk, "a stream has entries twice", err);
            have_entries = true;
            entries = walk->json;
            if (!json_skip(&walk->json, json_next(&walk->json))) return malformed(walk, "", err);
        } else if (!json_skip(&walk->json, json_next(&walk->json))) {
            return malformed(walk, "", err);
        }
    }
    if (token != JSON_OBJECT_END) return malformed(walk, "a stream must be an object", err);
    if (!have_labels) TRY(begin_stream(walk, err));
    if (have_entries) {
        JsonReader behind = walk->json;

        walk->json = entries;
        TRY(read_entries(walk, old, err));
        walk->json = behind;
    }
    streams_end(walk->streams);
    return ERR_OK;
}

static ErrCode read_streams(Walk *walk, Error *err) {
    JsonToken token = json_next(&walk->json);

    if (token == JSON_NULL) return ERR_OK;
    if (token != JSON_ARRAY) return malformed(walk, "streams must be an array", err);
    while ((token = json_next(&walk->json)) != JSON_ARRAY_END) {
        if (token != JSON_OBJECT) return malformed(walk, "a stream must be an object", err);
        TRY(read_stream(walk, err));
    }
    return ERR_OK;
}

ErrCode loki_decode_json(Streams *streams, Str body, Error *err) {
    Walk walk = {.streams = streams, .json = json_reader(body, streams->arena)};
    JsonToken token;

    TRY(expect(&walk, JSON_OBJECT, "expected {\"streams\": [...]}", err));
    while ((token = json_next(&walk.json)) == JSON_KEY) {
        if (str_equal(walk.json.text, STR("streams")))
            TRY(read_streams(&walk, err));
        else if (!json_skip(&walk.json, json_next(&walk.json)))
            return malformed(&walk, "", err);
    }
    if (token != JSON_OBJECT_END || json_next(&walk.json) != JSON_END)
        return malformed(&walk, "expected {\"streams\": [...]}", err);
    return streams_finish(streams, err);
}
