/* decode.c: what a query calls to turn a selection's columns into arrays. */
#include "common/block/block.h"

#include "common/block/floats.h"
#include "common/block/ints.h"

static bool ascends(const int64_t *times, size_t count) {
    bool all = true;

    for (size_t i = 1; i < count; i++) all &= times[i - 1] < times[i];
    return all;
}

ErrCode times_decode(const TimesColumn *times, int64_t *out, Error *err) {
    Reader r = reader_of(times->bytes);
    bool constant = false;
    IntsTag tag = {0};

    /* Everything that follows counts on the order, and on the range that chunks are picked by. */
    if (!ints_decode(&r, times->count, (BitsWord *)out, &tag, &constant) ||
        (constant && times->count > 1) || tag.mapping != 0 || tag.exceptions ||
        !reader_at_end(&r) || out[0] != times->min_ms || out[times->count - 1] != times->max_ms ||
        !ascends(out, times->count))
        return error_set(err, ERR_CORRUPT, "column of %zu bytes does not hold %u ascending times",
                         times->bytes.len, times->count);
    return ERR_OK;
}

ErrCode floats_decode(const ChunkView *chunk, double *out, Error *err) {
    Reader r = reader_of(chunk->bytes);

    if (!floats_take(&r, chunk->count, out) || !reader_at_end(&r))
        return error_set(err, ERR_CORRUPT, "column of %zu bytes does not hold %u values",
                         chunk->bytes.len, chunk->count);
    return ERR_OK;
}

bool floats_are_numbers(const ChunkView *chunk) {
    return floats_column_is_numbers(chunk->bytes);
}
