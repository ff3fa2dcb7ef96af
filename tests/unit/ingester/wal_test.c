/* What wal.h and reader.h promise. */
#include "tests/unit/unit.h"

#include <fcntl.h>

#include "ingester/wal/reader.h"
#include "ingester/wal/wal.h"
#include "tests/unit/ingester/fault_io.h"
#include "tests/unit/ingester/temp_dir.h"

enum { RECORDS_MAX = 4096, FILE_BYTES_MAX = 1 << 20 };

/* What was read: payloads are numbers as text, so that a list of numbers tells it all. */
typedef struct Read {
    unsigned numbers[RECORDS_MAX];
    size_t count;
    WalReport report; /* sums over files */
    unsigned damaged_headers;
} Read;

static WalOptions options_for(WalIo *io, const char *dir) {
    return (WalOptions){.io = io, .dir = dir, .ingester = 7, .lane = 3, .sync_each = true};
}

/* A frame whose payload is `number` in a few hundred bytes or so. */
static void add(Buf *group, unsigned number) {
    size_t start = wal_frame_begin(group, (uint8_t)(1 + number % 50), number % 7);

    buf_printf(group, "%u ", number);
    for (unsigned i = 0; i < number * 37 % 200; i++) buf_append_byte(group, (char)('a' + i % 26));
    wal_frame_end(group, start);
}

static ErrCode commit(Wal *wal, unsigned first, unsigned count, Error *err) {
    Buf group;
    ErrCode code;

    buf_init(&group, 0);
    for (unsigned i = 0; i < count; i++) add(&group, first + i);
    code = wal_commit(wal, &group, err);
    buf_done(&group);
    return code;
}

static void read_source(const WalSource *source, uint64_t limit, Read *out) {
    WalReader *reader = NULL;
    Error err = {0};
    ErrCode code = wal_reader_open(source, limit, &reader, &err);

    if (code == ERR_CORRUPT) out->damaged_headers++;
    if (code != ERR_OK) return;
    for (;;) {
        WalRecord record;
        bool more;
        unsigned number;

        assert_ok(wal_reader_next(reader, &record, &more, &err), &err);
        if (!more) break;
        assert_int_equal(sscanf(record.payload.ptr, "%u ", &number), 1);
        assert_int_equal(record.type, 1 + number % 50);
        assert_int_equal(record.tenant, number % 7);
        assert_true(out->count < RECORDS_MAX);
        out->numbers[out->count++] = number;
    }
    out->report.gaps += wal_reader_report(reader)->gaps;
    out->report.gap_bytes += wal_reader_report(reader)->gap_bytes;
    out->report.torn_bytes += wal_reader_report(reader)->torn_bytes;
    out->report.header_repaired |= wal_reader_report(reader)->header_repaired;
    wal_reader_free(reader);
}

static void read_bytes(Str bytes, Read *out) {
    WalSource source = wal_source_memory(&bytes);

    *out = (Read){0};
    read_source(&source, 0, out);
}

/* All files of a directory in order, each as far as the next one's header says. */
static void read_dir(const char *dir, Read *out) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    CLEANUP(wal_io_free) WalIo *io = wal_io_posix();
    WalFile *files;
    size_t count;
    Error err = {0};

    *out = (Read){0};
    assert_ok(wal_list(io, dir, arena, &files, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        char path[512], name[WAL_NAME_MAX];
        uint64_t limit = 0;

        for (size_t k = count; k-- > i;) {
            struct stat info;
            WalHeader header;
            bool repaired;

            wal_file_name(name, files[k].epoch, files[k].sequence);
            snprintf(path, sizeof path, "%s/%s", dir, name);
            int fd = open(path, O_RDONLY);
            assert_true(fd >= 0 && fstat(fd, &info) == 0);
            WalSource source = wal_source_fd(&fd, (uint64_t)info.st_size);
            if (k == i)
                read_source(&source, limit, out);
            else if (files[k].epoch == files[i].epoch &&
                     wal_header_read(&source, &header, &repaired, &err) == ERR_OK &&
                     header.previous_end != 0 && header.previous == files[i].sequence)
                limit = header.previous_end;
            close(fd);
        }
    }
}

static void assert_numbers(const Read *read, unsigned first, unsigned count) {
    assert_int_equal(read->count, count);
    for (unsigned i = 0; i < count; i++) assert_int_equal(read->numbers[i], first + i);
}

/* A file of 12 groups with 1 to 4 frames each, cut to what it holds; its bytes. */
static Str sample_file(Arena *arena, unsigned *ret_count) {
    char dir[64], path[512], name[WAL_NAME_MAX];
    WalIo *io = wal_io_posix();
    WalOptions options;
    Error err = {0};
    unsigned number = 0;
    Wal *wal;

    temp_dir_make(dir);
    options = options_for(io, dir);
    wal = wal_new(&options);
    wal_begin_epoch(wal, 5, 1000, 0);
    for (unsigned g = 0; g < 12; g++) {
        assert_ok(commit(wal, number, 1 + g % 4, &err), &err);
        number += 1 + g % 4;
    }
    wal_free(wal);
    wal_io_free(io);
    wal_file_name(name, 5, 0);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "rb");
    char *bytes = arena_alloc(arena, FILE_BYTES_MAX);
    size_t len = fread(bytes, 1, FILE_BYTES_MAX, file);
    fclose(file);
    temp_dir_remove(dir);
    *ret_count = number;
    return (Str){bytes, len};
}

static void round_trip(const char *dir, WalIo *io, uint64_t file_bytes_max) {
    WalOptions options = options_for(io, dir);
    Error err = {0};
    Read read;
    Wal *wal;

    options.file_bytes_max = file_bytes_max;
    wal = wal_new(&options);
    wal_begin_epoch(wal, 1, 1000, 0);
    for (unsigned i = 0; i < 100; i++) assert_ok(commit(wal, i * 3, 3, &err), &err);
    wal_begin_epoch(wal, 2, 2000, 0);
    for (unsigned i = 0; i < 50; i++) assert_ok(commit(wal, 300 + i * 2, 2, &err), &err);
    /* Not closed: as a crash leaves it, with what was preallocated. */
    read_dir(dir, &read);
    assert_numbers(&read, 0, 400);
    assert_int_equal(read.report.torn_bytes + read.report.gaps, 0);
    wal_free(wal);
    read_dir(dir, &read);
    assert_numbers(&read, 0, 400);
    assert_int_equal(read.report.torn_bytes + read.report.gaps, 0);
}

static void what_is_committed_is_read_back_in_order(void **state) {
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        WalIo *io = wal_io_posix();
        char dir[64];

        temp_dir_make(dir);
        round_trip(dir, io, i == 0 ? 0 : i == 1 ? 4096 : 200);
        temp_dir_remove(dir);
        wal_io_free(io);
    }
}

static void io_uring_writes_the_same(void **state) {
    int code;
    WalIo *io = wal_io_uring(&code);
    char dir[64];

    (void)state;
    if (io == NULL) skip();
    temp_dir_make(dir);
    round_trip(dir, io, 4096);
    temp_dir_remove(dir);
    wal_io_free(io);
}

static void what_is_written_without_syncing_each_time_is_there_after_a_sync(void **state) {
    WalIo *io = wal_io_posix();
    WalOptions options;
    Error err = {0};
    char dir[64];
    Read read;
    Wal *wal;

    (void)state;
    temp_dir_make(dir);
    options = options_for(io, dir);
    options.sync_each = false;
    wal = wal_new(&options);
    wal_begin_epoch(wal, 1, 1000, 0);
    assert_ok(commit(wal, 0, 10, &err), &err);
    assert_ok(wal_sync(wal, &err), &err);
    read_dir(dir, &read);
    assert_numbers(&read, 0, 10);
    wal_free(wal);
    wal_io_free(io);
    temp_dir_remove(dir);
}

static void a_file_cut_anywhere_gives_its_whole_frames(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    unsigned count;
    Str bytes = sample_file(arena, &count);
    size_t last = 0;
    Read read;

    (void)state;
    for (size_t len = 0; len <= bytes.len; len++) {
        read_bytes((Str){bytes.ptr, len}, &read);
        assert_true(read.count >= last && read.count <= last + 1);
        assert_numbers(&read, 0, (unsigned)read.count);
        assert_int_equal(read.report.gaps, 0);
        last = read.count;
    }
    assert_int_equal(last, count);
}

static void a_torn_end_is_told_from_a_clean_one(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    unsigned count;
    Str bytes = sample_file(arena, &count);
    char *copy = arena_zalloc(arena, bytes.len + 8192);
    Read read;

    (void)state;
    memcpy(copy, bytes.ptr, bytes.len);
    read_bytes((Str){copy, bytes.len + 8192}, &read); /* preallocated zeros */
    assert_numbers(&read, 0, count);
    assert_int_equal(read.report.torn_bytes, 0);
    memcpy(copy + bytes.len, bytes.ptr + WAL_FRAMES_START, 100);
    read_bytes((Str){copy, bytes.len + 8192}, &read);
    assert_numbers(&read, 0, count);
    assert_true(read.report.torn_bytes > 0);
    assert_int_equal(read.report.gaps, 0);
}

static void a_flipped_bit_costs_one_frame_and_is_reported(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    unsigned count;
    Str bytes = sample_file(arena, &count);
    char *copy = arena_alloc(arena, bytes.len);
    Read read;

    (void)state;
    for (size_t at = 0; at < bytes.len; at++) {
        size_t expected = 0;

        memcpy(copy, bytes.ptr, bytes.len);
        copy[at] ^= (char)(1 << at % 8);
        read_bytes((Str){copy, bytes.len}, &read);
        if (at < WAL_FRAMES_START / 2) {
            assert_true(read.report.header_repaired);
            assert_numbers(&read, 0, count);
            continue;
        }
        if (at < WAL_FRAMES_START) { /* the spare copy */
            assert_numbers(&read, 0, count);
            continue;
        }
        assert_int_equal(read.count, count - 1);
        assert_true(read.report.gaps + (read.report.torn_bytes > 0) == 1);
        for (size_t i = 0; i < read.count; i++, expected++) {
            if (read.numbers[i] != expected) expected++;
            assert_int_equal(read.numbers[i], expected);
        }
    }
}

static void a_damaged_stretch_is_jumped_over(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    unsigned count;
    Str bytes = sample_file(arena, &count);
    char *copy = arena_alloc(arena, bytes.len);
    Read read;

    (void)state;
    memcpy(copy, bytes.ptr, bytes.len);
    memset(copy + bytes.len / 3, 0, bytes.len / 3);
    read_bytes((Str){copy, bytes.len}, &read);
    assert_true(read.count > count / 3 && read.count < count);
    assert_int_equal(read.numbers[0], 0);
    assert_int_equal(read.numbers[read.count - 1], count - 1);
    assert_int_equal(read.report.gaps, 1);
    memset(copy, 0, WAL_FRAMES_START);
    copy[3] = 1;
    read_bytes((Str){copy, bytes.len}, &read);
    assert_int_equal(read.damaged_headers, 1);
}

static void frames_of_another_file_are_not_taken_for_its_own(void **state) {
    CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
    unsigned count;
    Str a = sample_file(arena, &count), b = sample_file(arena, &count);
    char *both = arena_alloc(arena, a.len + b.len);
    Read read;

    (void)state;
    memcpy(both, a.ptr, a.len);
    memcpy(both + a.len, b.ptr + WAL_FRAMES_START, b.len - WAL_FRAMES_START);
    read_bytes((Str){both, a.len + b.len - WAL_FRAMES_START}, &read);
    assert_numbers(&read, 0, count);
    assert_true(read.report.torn_bytes > 0);
}

/* Commits groups until all 30 have succeeded or the "process" crashed; what was acknowledged must
 * be there, once, in order. */
static void run_with_fault(FaultIoKind kind, unsigned call, int code, bool *ret_fired) {
    FaultIo *fault = fault_io_new(kind, call, code);
    WalOptions options;
    unsigned acknowledged[64];
    size_t n = 0, at = 0;
    Error err = {0};
    char dir[64];
    Read read;
    Wal *wal;

    temp_dir_make(dir);
    options = options_for(&fault->io, dir);
    options.file_bytes_max = 2048;
    wal = wal_new(&options);
    wal_begin_epoch(wal, 1, 1000, 0);
    for (unsigned i = 0; i < 30; i++) {
        ErrCode result = commit(wal, 2 * i, 2, &err);

        if (result != ERR_OK) assert_int_equal(result, ERR_UNAVAILABLE);
        /* As clients do: what was refused once is sent again. */
        if (result != ERR_OK && !fault->crashed) result = commit(wal, 2 * i, 2, &err);
        if (result == ERR_OK)
            acknowledged[n++] = 2 * i;
        else
            assert_true(fault->crashed || fault->code == EIO);
    }
    if (!fault->crashed) assert_true(n >= 29);
    *ret_fired = fault->fired > 0;
    wal_free(wal);
    read_dir(dir, &read);
    for (size_t i = 0; i < n; i++) {
        while (at < read.count && read.numbers[at] != acknowledged[i]) {
            /* Only what was not acknowledged may lie between. */
            assert_true(fault->crashed || kind == FAULT_IO_CRASH_AFTER);
            at++;
        }
        assert_true(at + 1 < read.count);
        assert_int_equal(read.numbers[at], acknowledged[i]);
        assert_int_equal(read.numbers[at + 1], acknowledged[i] + 1);
        at += 2;
    }
    if (!fault->crashed) assert_int_equal(at, read.count);
    assert_int_equal(read.report.gaps, 0);
    temp_dir_remove(dir);
    wal_io_free(&fault->io);
}

static void raise_until_nothing_fails(FaultIoKind kind, int code) {
    bool fired = true;

    for (unsigned call = 1; fired; call++) run_with_fault(kind, call, code, &fired);
}

static void a_full_disk_refuses_and_loses_nothing(void **state) {
    (void)state;
    raise_until_nothing_fails(FAULT_IO_ONCE, ENOSPC);
    raise_until_nothing_fails(FAULT_IO_SHORT, ENOSPC);
}

static void a_failing_device_refuses_and_loses_nothing(void **state) {
    (void)state;
    raise_until_nothing_fails(FAULT_IO_ONCE, EIO);
    raise_until_nothing_fails(FAULT_IO_SHORT, EIO);
}

static void a_crash_at_any_call_keeps_what_was_acknowledged(void **state) {
    (void)state;
    raise_until_nothing_fails(FAULT_IO_CRASH_BEFORE, EIO);
    raise_until_nothing_fails(FAULT_IO_CRASH_TORN, EIO);
    raise_until_nothing_fails(FAULT_IO_CRASH_AFTER, EIO);
}

static void an_epoch_is_discarded_as_a_whole(void **state) {
    char dir[64];

    (void)state;
    for (unsigned call = 1;; call++) {
        WalIo *io = wal_io_posix();
        FaultIo *fault = fault_io_new(FAULT_IO_CRASH_BEFORE, call, EIO);
        CLEANUP(arena_free) Arena *arena = arena_new(0, NULL);
        WalFile *files;
        size_t count;
        Error err = {0};
        bool fired;

        temp_dir_make(dir);
        round_trip(dir, io, 4096);
        assert_ok(wal_list(io, dir, arena, &files, &count, &err), &err);
        size_t first = 0;
        while (first < count && files[first].epoch == 1) first++;
        assert_true(first > 2 && first < count);
        wal_discard(&fault->io, dir, files, first);
        fired = fault->fired > 0;
        size_t before = count - first;
        assert_ok(wal_list(io, dir, arena, &files, &count, &err), &err);
        /* All of it is there, or none. */
        assert_true(count == before || (fired && count == before + first));
        temp_dir_remove(dir);
        wal_io_free(&fault->io);
        wal_io_free(io);
        if (!fired) break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_committed_is_read_back_in_order),
        cmocka_unit_test(io_uring_writes_the_same),
        cmocka_unit_test(what_is_written_without_syncing_each_time_is_there_after_a_sync),
        cmocka_unit_test(a_file_cut_anywhere_gives_its_whole_frames),
        cmocka_unit_test(a_torn_end_is_told_from_a_clean_one),
        cmocka_unit_test(a_flipped_bit_costs_one_frame_and_is_reported),
        cmocka_unit_test(a_damaged_stretch_is_jumped_over),
        cmocka_unit_test(frames_of_another_file_are_not_taken_for_its_own),
        cmocka_unit_test(a_full_disk_refuses_and_loses_nothing),
        cmocka_unit_test(a_failing_device_refuses_and_loses_nothing),
        cmocka_unit_test(a_crash_at_any_call_keeps_what_was_acknowledged),
        cmocka_unit_test(an_epoch_is_discarded_as_a_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
