/*
 * messages.c: entries as the messages of /loki/api/v1/tail, and in the older form of
 * /api/prom/tail. https://grafana.com/docs/loki/latest/reference/loki-http-api/#stream-logs
 */
#include <stdio.h>
#include <time.h>

#include "common/base/json.h"
#include "common/base/rune.h"
#include "querier/logql/engine/result_json.h"
#include "querier/tail/internal.h"

enum {
    ENTRIES_MAX = 100,           /* in one message, as Loki has it */
    MESSAGE_BYTES_MAX = 1 << 20, /* after so many no other entry is added */
    UNSENT_MAX = 1 << 20,        /* past it entries wait for the client, */
    WAITING_MAX = 8 << 20,       /* and past this, of bytes of entries, the oldest are dropped */
};

/* ---------- entries ---------- */

/* {a="b", c="d"} as a string of JSON. */
static void write_selector(LabelPairs labels, Buf *out) {
    CLEANUP_IN_PLACE(buf_done) Buf text;

    buf_init(&text, 0);
    buf_append_byte(&text, '{');
    for (size_t i = 0; i < labels.count; i++) {
        if (i > 0) buf_append_str(&text, STR(", "));
        buf_append_str(&text, labels.pairs[i].name);
        buf_append_byte(&text, '=');
        rune_quote(&text, labels.pairs[i].value);
    }
    buf_append_byte(&text, '}');
    if (buf_failed(&text)) out->failed = true;
    json_append_string(out, buf_str(&text));
}

void tail_write_labels(const Tail *tail, LabelPairs labels, Buf *out) {
    if (tail->options.legacy)
        write_selector(labels, out);
    else
        logql_json_pairs(labels, out);
}

/* "2026-01-02T03:04:05.678901234Z", the fraction without zeros at its end. */
static void write_time(int64_t time_ns, Buf *out) {
    int64_t ns = time_ns % 1000000000, s = time_ns / 1000000000 - (ns < 0);
    time_t seconds = (time_t)s;
    struct tm utc;
    char fraction[12];
    size_t len;

    if (ns < 0) ns += 1000000000;
    len = (size_t)snprintf(fraction, sizeof fraction, ".%09d", (int)ns);
    while (len > 0 && (fraction[len - 1] == '0' || fraction[len - 1] == '.')) len--;
    if (gmtime_r(&seconds, &utc) == NULL) return;
    buf_printf(out, "\"%04d-%02d-%02dT%02d:%02d:%02d%.*sZ\"", utc.tm_year + 1900, utc.tm_mon + 1,
               utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, (int)len, fraction);
}

static void write_categories(LabelPairs metadata, LabelPairs parsed, Buf *out) {
    buf_append_str(out, STR(",{"));
    if (metadata.count > 0) {
        buf_append_str(out, STR("\"structuredMetadata\":"));
        logql_json_pairs(metadata, out);
    }
    if (parsed.count > 0) {
        if (metadata.count > 0) buf_append_byte(out, ',');
        buf_append_str(out, STR("\"parsed\":"));
        logql_json_pairs(parsed, out);
    }
    buf_append_byte(out, '}');
}

void tail_write_entry(const Tail *tail, LabelPairs labels, int64_t time_ns, Str line,
                      LabelPairs metadata, LabelPairs parsed, Buf *out, size_t *labels_len) {
    size_t before = out->len;

    tail_write_labels(tail, labels, out);
    *labels_len = out->len - before;
    if (tail->options.legacy) {
        buf_append_str(out, STR("{\"ts\":"));
        write_time(time_ns, out);
        buf_append_str(out, STR(",\"line\":"));
        json_append_string(out, line);
        buf_append_byte(out, '}');
        return;
    }
    buf_printf(out, "[\"%lld\",", (long long)time_ns);
    json_append_string(out, line);
    if (tail->options.categorize) write_categories(metadata, parsed, out);
    buf_append_byte(out, ']');
}

/* ---------- messages ---------- */

static void write_dropped(Tail *tail, Buf *out) {
    TailLine *next;
    bool first = true;

    buf_append_str(out, STR(",\"dropped_entries\":["));
    for (TailLine *line = tail->dropped; line != NULL; line = next, first = false) {
        Str labels = {line->text, line->labels_len};

        next = line->next;
        if (!first) buf_append_byte(out, ',');
        if (tail->options.legacy) {
            buf_append_str(out, STR("{\"Timestamp\":"));
            write_time(line->time_ns, out);
            buf_append_str(out, STR(",\"Labels\":"));
        } else {
            buf_printf(out, "{\"timestamp\":\"%lld\",\"labels\":", (long long)line->time_ns);
        }
        buf_append_str(out, labels);
        buf_append_byte(out, '}');
        tail_line_free(tail, line);
    }
    buf_append_byte(out, ']');
    tail->dropped = NULL;
    tail->dropped_end = &tail->dropped;
    tail->dropped_count = 0;
}

static void end_message(Tail *tail, Buf *out) {
    buf_append_byte(out, ']');
    if (tail->dropped != NULL)
        write_dropped(tail, out);
    else if (tail->options.legacy)
        buf_append_str(out, STR(",\"dropped_entries\":null"));
    if (tail->options.categorize && !tail->options.legacy)
        buf_append_str(out, STR(",\"encodingFlags\":[\"categorize-labels\"]"));
    buf_append_byte(out, '}');
}

/* Lines that are due, in their order; ones of equal labels that follow each other in one stream. */
static size_t write_lines(Tail *tail, int64_t now_ns, Buf *out) {
    TailLine *last = NULL, *line;
    size_t count = 0;

    while (count < ENTRIES_MAX && out->len < MESSAGE_BYTES_MAX &&
           (line = tail_due(tail, now_ns)) != NULL) {
        Str labels = {line->text, line->labels_len};
        Str entry = {line->text + line->labels_len, line->entry_len};

        (void)tail_pop(tail);
        if (last != NULL && str_equal(labels, (Str){last->text, last->labels_len})) {
            buf_append_byte(out, ',');
        } else {
            buf_append_str(out, last == NULL ? STR("") : STR("]},"));
            buf_append_str(out, tail->options.legacy ? STR("{\"labels\":") : STR("{\"stream\":"));
            buf_append_str(out, labels);
            buf_append_str(out,
                           tail->options.legacy ? STR(",\"entries\":[") : STR(",\"values\":["));
        }
        buf_append_str(out, entry);
        if (last != NULL) tail_line_free(tail, last);
        last = line;
        count++;
    }
    if (last != NULL) {
        buf_append_str(out, STR("]}"));
        tail_line_free(tail, last);
    }
    return count;
}

static bool is_slow(const Tail *tail) {
    return websocket_unsent(tail->request) > UNSENT_MAX;
}

bool tail_has_due(const Tail *tail, int64_t now_ns) {
    if (is_slow(tail)) return tail_due(tail, now_ns) != NULL && tail->waiting_bytes > WAITING_MAX;
    return tail_due(tail, now_ns) != NULL || tail->dropped != NULL;
}

void tail_send_due(Tail *tail, int64_t now_ns) {
    CLEANUP_IN_PLACE(buf_done) Buf out;

    buf_init(&out, 0);
    while (tail->failed == ERR_OK) {
        bool slow = is_slow(tail), due = tail_due(tail, now_ns) != NULL;

        if (slow ? !due || tail->waiting_bytes <= WAITING_MAX : !due && tail->dropped == NULL)
            return;
        if (slow) {
            tail_drop(tail, tail_pop(tail));
            continue;
        }
        buf_clear(&out);
        buf_append_str(&out, STR("{\"streams\":["));
        (void)write_lines(tail, now_ns, &out);
        end_message(tail, &out);
        if (buf_failed(&out))
            tail->failed = error_set(&tail->error, ERR_LIMIT, "no memory for a message");
        else if (websocket_send(tail->request, buf_str(&out), &tail->error) != ERR_OK)
            return; /* the client has gone, which the thread sees by itself */
    }
}
