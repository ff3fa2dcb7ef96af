/*
 * telemetry.c: instruments live in one registry, grouped by name when they are written.
 */
#include "common/base/telemetry.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/json.h"

enum { INSTRUMENTS_MAX = 20000, BUCKETS_MAX = 32, SLOTS = 1 << 16 };

struct Histogram {
    unsigned bucket_count;
    double bounds[BUCKETS_MAX];
    _Atomic uint64_t buckets[BUCKETS_MAX + 1];
    _Atomic double sum;
};

typedef enum Kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM, KIND_CALLBACK } Kind;

typedef struct Instrument {
    char *name;
    char *labels;
    const char *help;
    Kind kind;
    union {
        Counter counter;
        Gauge gauge;
        Histogram *histogram;
        struct {
            double (*read)(void *what);
            void *what;
        } callback;
    } as;
} Instrument;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Instrument **instruments; /* in order of making */
static size_t instrument_count;
static uint32_t *slots; /* by hash of name and labels: index + 1 */
static Instrument overflow_counter = {.kind = KIND_COUNTER}, overflow_gauge = {.kind = KIND_GAUGE};
static Histogram overflow_histogram;
static _Atomic uint64_t refused; /* how often there was no room for one more */
static int64_t started_ms;

/* Before main(): whoever asks for the page first, and when, must not matter. */
__attribute__((constructor)) static void note_start(void) {
    started_ms = clock_now_ms(clock_system());
}

static uint64_t key_of(const char *name, const char *labels) {
    return hash_bytes_seeded(labels, strlen(labels), hash_bytes(name, strlen(name)));
}

/* NULL: no room. The lock is held. */
static Instrument *find_or_make(const char *name, const char *labels, const char *help, Kind kind,
                                bool *ret_new) {
    uint32_t slot = (uint32_t)key_of(name, labels) & (SLOTS - 1);
    Instrument *instrument;

    *ret_new = false;
    if (slots == NULL) {
        slots = calloc(SLOTS, sizeof *slots);
        instruments = calloc(INSTRUMENTS_MAX, sizeof *instruments);
        if (slots == NULL || instruments == NULL) abort();
    }
    for (; slots[slot] != 0; slot = (slot + 1) & (SLOTS - 1)) {
        instrument = instruments[slots[slot] - 1];
        if (strcmp(instrument->name, name) == 0 && strcmp(instrument->labels, labels) == 0) {
            assert(instrument->kind == kind);
            return instrument;
        }
    }
    if (instrument_count == INSTRUMENTS_MAX) {
        atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
        return NULL;
    }
    instrument = calloc(1, sizeof *instrument);
    if (instrument == NULL) return NULL;
    instrument->name = strdup(name);
    instrument->labels = strdup(labels);
    instrument->help = help;
    instrument->kind = kind;
    if (instrument->name == NULL || instrument->labels == NULL) abort();
    instruments[instrument_count] = instrument;
    slots[slot] = (uint32_t)++instrument_count;
    *ret_new = true;
    return instrument;
}

Counter *telemetry_counter(const char *name, const char *labels, const char *help) {
    Instrument *instrument;
    bool is_new;

    pthread_mutex_lock(&lock);
    instrument = find_or_make(name, labels, help, KIND_COUNTER, &is_new);
    pthread_mutex_unlock(&lock);
    return instrument == NULL ? &overflow_counter.as.counter : &instrument->as.counter;
}

Gauge *telemetry_gauge(const char *name, const char *labels, const char *help) {
    Instrument *instrument;
    bool is_new;

    pthread_mutex_lock(&lock);
    instrument = find_or_make(name, labels, help, KIND_GAUGE, &is_new);
    pthread_mutex_unlock(&lock);
    return instrument == NULL ? &overflow_gauge.as.gauge : &instrument->as.gauge;
}

Histogram *telemetry_histogram(const char *name, const char *labels, const char *help,
                               double lowest, double factor, unsigned buckets) {
    Instrument *instrument;
    bool is_new;

    assert(buckets <= BUCKETS_MAX);
    pthread_mutex_lock(&lock);
    instrument = find_or_make(name, labels, help, KIND_HISTOGRAM, &is_new);
    if (is_new) {
        Histogram *histogram = calloc(1, sizeof *histogram);

        if (histogram == NULL) abort();
        histogram->bucket_count = buckets;
        for (unsigned i = 0; i < buckets; i++, lowest *= factor) histogram->bounds[i] = lowest;
        instrument->as.histogram = histogram;
    }
    pthread_mutex_unlock(&lock);
    return instrument == NULL ? &overflow_histogram : instrument->as.histogram;
}

void telemetry_callback(const char *name, const char *labels, const char *help,
                        double (*read)(void *what), void *what) {
    Instrument *instrument;
    bool is_new;

    pthread_mutex_lock(&lock);
    instrument = find_or_make(name, labels, help, KIND_CALLBACK, &is_new);
    if (instrument != NULL) {
        instrument->as.callback.read = read;
        instrument->as.callback.what = what;
    }
    pthread_mutex_unlock(&lock);
}

/* How many bytes of `s`, which isn't empty, are one character; 0 when they are none. */
static size_t character(Str s) {
    for (size_t len = 1; len <= MIN(s.len, 4); len++)
        if (str_is_utf8(str_slice(s, 0, len))) return len;
    return 0;
}

void telemetry_label(char *out, size_t size, const char *key, Str value) {
    static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD: the page is UTF-8 or refused */
    size_t used = strlen(key) + 2;

    assert(size >= used + 2);
    snprintf(out, size, "%s=\"", key);
    while (value.len > 0) {
        size_t taken = character(value), len = taken;
        const char *piece = value.ptr;

        if (taken == 0) {
            piece = replacement;
            len = 3;
            taken = 1;
        } else if (piece[0] == '\\' || piece[0] == '"' || piece[0] == '\n') {
            piece = piece[0] == '\n' ? "\\n" : piece[0] == '"' ? "\\\"" : "\\\\";
            len = 2;
        }
        if (used + len + 2 > size) break; /* a whole character or none of it */
        memcpy(out + used, piece, len);
        used += len;
        value = str_from(value, taken);
    }
    memcpy(out + used, "\"", 2);
}

void histogram_observe(Histogram *histogram, double value) {
    unsigned i = 0;
    double sum = atomic_load_explicit(&histogram->sum, memory_order_relaxed);

    while (i < histogram->bucket_count && value > histogram->bounds[i]) i++;
    atomic_fetch_add_explicit(&histogram->buckets[i], 1, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&histogram->sum, &sum, sum + value,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* ---- writing ---- */

static void write_sample(Buf *out, const char *name, const char *suffix, const char *labels,
                         const char *extra, double value) {
    buf_printf(out, "%s%s", name, suffix);
    if (labels[0] != '\0' || extra[0] != '\0')
        buf_printf(out, "{%s%s%s}", labels, labels[0] != '\0' && extra[0] != '\0' ? "," : "",
                   extra);
    buf_append_byte(out, ' ');
    json_append_sample_value(out, value);
    buf_append_byte(out, '\n');
}

static void write_histogram(Buf *out, const Instrument *instrument) {
    const Histogram *histogram = instrument->as.histogram;
    uint64_t count = 0;

    for (unsigned i = 0; i <= histogram->bucket_count; i++) {
        char bound[48];

        count += atomic_load_explicit(&((Histogram *)histogram)->buckets[i], memory_order_relaxed);
        if (i == histogram->bucket_count)
            snprintf(bound, sizeof bound, "le=\"+Inf\"");
        else
            snprintf(bound, sizeof bound, "le=\"%.9g\"", histogram->bounds[i]);
        write_sample(out, instrument->name, "_bucket", instrument->labels, bound, (double)count);
    }
    write_sample(out, instrument->name, "_sum", instrument->labels, "",
                 atomic_load_explicit(&((Histogram *)histogram)->sum, memory_order_relaxed));
    write_sample(out, instrument->name, "_count", instrument->labels, "", (double)count);
}

static void write_instrument(Buf *out, Instrument *instrument) {
    double value = 0;

    switch (instrument->kind) {
    case KIND_HISTOGRAM:
        write_histogram(out, instrument);
        return;
    case KIND_COUNTER:
        value = (double)atomic_load_explicit(&instrument->as.counter.value, memory_order_relaxed);
        break;
    case KIND_GAUGE:
        value = (double)atomic_load_explicit(&instrument->as.gauge.value, memory_order_relaxed);
        break;
    case KIND_CALLBACK:
        value = instrument->as.callback.read(instrument->as.callback.what);
        break;
    }
    write_sample(out, instrument->name, "", instrument->labels, "", value);
}

static void write_head(Buf *out, const char *name, const char *help, const char *type) {
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static size_t resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long total = 0, resident = 0;

    if (file == NULL) return 0;
    if (fscanf(file, "%lu %lu", &total, &resident) != 2) resident = 0;
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static unsigned open_files(void) {
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    if (dir == NULL) return 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) count += entry->d_name[0] != '.';
    closedir(dir);
    return count - 1; /* not the one that reads them */
}

static void write_process(Buf *out) {
    struct rusage usage;
    struct timeval user, system;

    getrusage(RUSAGE_SELF, &usage);
    user = usage.ru_utime;
    system = usage.ru_stime;
    write_head(out, "process_cpu_seconds_total", "User and system CPU time.", "counter");
    write_sample(out, "process_cpu_seconds_total", "", "", "",
                 (double)(user.tv_sec + system.tv_sec) +
                     (double)(user.tv_usec + system.tv_usec) / 1e6);
    write_head(out, "process_resident_memory_bytes", "Resident memory.", "gauge");
    write_sample(out, "process_resident_memory_bytes", "", "", "", (double)resident_bytes());
    write_head(out, "process_start_time_seconds", "When the process started.", "gauge");
    write_sample(out, "process_start_time_seconds", "", "", "", (double)started_ms / 1000);
    write_head(out, "process_open_fds", "Open file descriptors.", "gauge");
    write_sample(out, "process_open_fds", "", "", "", open_files());
    write_head(out, "moraine_telemetry_refused_total",
               "Asked for instruments that were one too many; they share one that isn't shown.",
               "counter");
    write_sample(out, "moraine_telemetry_refused_total", "", "", "",
                 (double)atomic_load_explicit(&refused, memory_order_relaxed));
    write_head(out, "moraine_build_info", "The version that runs; always 1.", "gauge");
    write_sample(out, "moraine_build_info", "", "version=\"" MORAINE_VERSION "\"", "", 1);
}

static int by_name(const void *a, const void *b) {
    const Instrument *x = *(Instrument *const *)a, *y = *(Instrument *const *)b;
    int order = strcmp(x->name, y->name);

    return order != 0 ? order : strcmp(x->labels, y->labels);
}

void telemetry_write(Buf *out) {
    static const char *const types[] = {"counter", "gauge", "histogram", "gauge"};
    Instrument **sorted;
    size_t count;

    pthread_mutex_lock(&lock);
    count = instrument_count;
    sorted = malloc(MAX(count, 1) * sizeof *sorted);
    if (sorted != NULL && count > 0) memcpy(sorted, instruments, count * sizeof *sorted);
    pthread_mutex_unlock(&lock);
    if (sorted == NULL) {
        out->failed = true;
        return;
    }
    qsort(sorted, count, sizeof *sorted, by_name);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(sorted[i - 1]->name, sorted[i]->name) != 0)
            write_head(out, sorted[i]->name, sorted[i]->help, types[sorted[i]->kind]);
        write_instrument(out, sorted[i]);
    }
    free(sorted);
    write_process(out);
}
