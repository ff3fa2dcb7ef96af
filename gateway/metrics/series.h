#pragma once
/*
 * series.h: one series' labels on the way in: read, checked against the tenant's limits, and
 * brought into canonical form (common/batch/labels.h). This is the slow path, for series that
 * known.h has not seen.
 */
#include "common/base/arena.h"
#include "common/batch/labels.h"
#include "common/tenant/tenant.h"
#include "gateway/metrics/rejects.h"

/* What no setting raises: more is an attack, and the formats below count on it. */
enum { SERIES_LABELS_MAX = 4096, SERIES_BYTES_MAX = 256 * 1024 };

/* Room for one series' pairs, used again and again. Begins as zeros. */
typedef struct LabelScratch {
    LabelPair *pairs;
    size_t count;
    size_t capacity;
} LabelScratch;

/* Room for `count` pairs in all; what was there stays. False: `arena` is used up. */
MUST_USE bool label_scratch_reserve(LabelScratch *scratch, size_t count, Arena *arena);

/* Reads `Label` messages (field 1 of remote write 1.0's TimeSeries and Exemplar) in any order and
 * form into `scratch`; the texts point into `raw`. *plain: each label has exactly a name and a
 * value, in this order. ERR_INVALID: not protobuf. ERR_LIMIT: `arena` is used up, or there are more
 * than SERIES_LABELS_MAX; then scratch->count says how many, and none is there. */
MUST_USE ErrCode series_read(Str raw, Arena *arena, LabelScratch *scratch, bool *plain, Error *err);

/* Sorts by name and drops labels without a value. *changed says whether there was anything to do.
 * A name that comes twice is left for series_check(). */
void series_sort(LabelPair *pairs, size_t *count, bool *changed);

/* The canonical bytes of sorted, unique, non-empty pairs, in `arena`. NULL ptr: it is used up. */
Str series_encode(const LabelPair *pairs, size_t count, Arena *arena);
size_t series_encoded_len(const LabelPair *pairs, size_t count);

/* Checks sorted pairs: a metric name, valid UTF-8, no name twice, the tenant's limits. The text in
 * `err` names the limit, its value and the setting that raises it, and the series. */
RejectReason series_check(const LabelPair *pairs, size_t count, const TenantLimits *limits,
                          Str tenant, Error *err);
/* The same, for a series of which only the number of labels is known to be too large. */
RejectReason series_refuse_count(size_t count, const TenantLimits *limits, Str tenant, Error *err);

/* The series as text, for messages: printable whatever its bytes are, and cut where too long. */
enum { SERIES_TEXT_MAX = 200 };
const char *series_text(const LabelPair *pairs, size_t count, char out[static SERIES_TEXT_MAX]);
