#include "gateway/prom/answer.h"

#include <stdio.h>

#include "common/net/http.h"

/* What a sender is told to wait when nothing says how long it will take. */
enum { RETRY_AFTER_S = 5 };

ErrCode prom_content_type(Str header, PromVersion *out, Error *err) {
    Str media, rest, parameter, name, value;

    header = str_trim(header);
    *out = PROM_V1;
    if (header.len == 0) return ERR_OK;
    str_cut(header, ';', &media, &rest);
    if (!str_equal_nocase(str_trim(media), STR("application/x-protobuf")))
        return error_set(err, ERR_UNSUPPORTED,
                         "Content-Type is " STR_FMT "; expected application/x-protobuf",
                         STR_ARG(str_slice(header, 0, 100)));
    while (rest.len > 0) {
        str_cut(rest, ';', &parameter, &rest);
        if (!str_cut(parameter, '=', &name, &value))
            return error_set(err, ERR_UNSUPPORTED,
                             "Content-Type has the parameter " STR_FMT " without a value",
                             STR_ARG(str_slice(parameter, 0, 100)));
        if (!str_equal_nocase(str_trim(name), STR("proto"))) continue;
        value = str_trim(value);
        if (str_equal(value, STR("prometheus.WriteRequest"))) return ERR_OK;
        if (!str_equal(value, STR("io.prometheus.write.v2.Request")))
            return error_set(err, ERR_UNSUPPORTED,
                             "unknown message " STR_FMT "; accepted are prometheus.WriteRequest "
                             "and io.prometheus.write.v2.Request",
                             STR_ARG(str_slice(value, 0, 100)));
        *out = PROM_V2;
        return ERR_OK;
    }
    return ERR_OK;
}

ErrCode prom_content_encoding(Str header, PromEncoding *out, Error *err) {
    header = str_trim(header);
    if (header.len == 0 || str_equal_nocase(header, STR("snappy"))) {
        *out = PROM_SNAPPY;
    } else if (str_equal_nocase(header, STR("zstd"))) {
        *out = PROM_ZSTD;
    } else if (str_equal_nocase(header, STR("gzip"))) {
        *out = PROM_GZIP;
    } else {
        return error_set(err, ERR_UNSUPPORTED,
                         "Content-Encoding is " STR_FMT "; accepted are snappy (as a block), zstd "
                         "and gzip",
                         STR_ARG(str_slice(header, 0, 100)));
    }
    return ERR_OK;
}

static int status_of(ErrCode code) {
    switch (code) {
    case ERR_INVALID:
    case ERR_CORRUPT:
        return 400;
    case ERR_DENIED:
        return 403;
    case ERR_LIMIT:
        return 413;
    case ERR_UNSUPPORTED:
        return 415;
    case ERR_RATE:
        return 429;
    default:
        return 503;
    }
}

void prom_answer_error(const Error *err, uint64_t retry_after_ms, PromAnswer *out) {
    *out = (PromAnswer){.status = status_of(err->code)};
    if (out->status == 429 || out->status == 503)
        out->retry_after_s = retry_after_ms == 0 ? RETRY_AFTER_S : (retry_after_ms + 999) / 1000;
    snprintf(out->text, sizeof out->text, "%s", err->text);
}

/* The sink refused all of it. Memory is a matter of time there, unlike a request that is too large
 * in itself. */
static void answer_failure(const AppendResult *result, PromAnswer *out) {
    Error err = result->first;

    err.code = result->code == ERR_LIMIT ? ERR_UNAVAILABLE : result->code;
    if (err.text[0] == '\0') snprintf(err.text, sizeof err.text, "the samples could not be stored");
    prom_answer_error(&err, 0, out);
    out->counts = true;
}

void prom_answer_result(const Rows *rows, const AppendResult *result, PromAnswer *out) {
    uint64_t lost =
        rows->rejects.samples + rows->rejects.histograms + result->conflicts + result->over_limit;
    uint64_t kept;
    const Error *first = rejects_any(&rows->rejects) ? &rows->rejects.first : &result->first;

    if (result->code != ERR_OK) {
        answer_failure(result, out);
        return;
    }
    *out = (PromAnswer){.status = lost > 0 ? 400 : 204, .counts = true};
    /* The zeros that were put in are nobody's samples. */
    out->samples = result->samples - MIN(result->samples, rows->zero_samples);
    out->histograms = result->histograms - MIN(result->histograms, rows->zero_histograms);
    out->exemplars = result->exemplars;
    if (lost == 0) return;
    kept = out->samples + out->histograms;
    snprintf(out->text, sizeof out->text,
             "%s (%llu samples and histograms of this request were refused, %llu were stored)",
             first->text, (unsigned long long)lost, (unsigned long long)kept);
}
