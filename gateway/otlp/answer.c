#include "gateway/otlp/answer.h"

#include <inttypes.h>

#include "common/base/json.h"
#include "proto/wire/write.h"

typedef enum RpcCode {
    RPC_INVALID_ARGUMENT = 3,
    RPC_PERMISSION_DENIED = 7,
    RPC_RESOURCE_EXHAUSTED = 8,
    RPC_UNAVAILABLE = 14,
} RpcCode;

void otlp_answer_done(bool json, OtlpRequest kind, uint64_t rejected, Str why, Buf *out) {
    static const char *const names[] = {
        [OTLP_METRICS_REQUEST] = "rejectedDataPoints",
        [OTLP_LOGS_REQUEST] = "rejectedLogRecords",
        [OTLP_TRACES_REQUEST] = "rejectedSpans",
    };
    size_t start;

    if (rejected == 0 && why.len == 0) {
        if (json) buf_append_str(out, STR("{}"));
        return;
    }
    if (json) {
        /* 64-bit numbers are texts in protobuf's JSON. */
        buf_printf(out,
                   "{\"partialSuccess\":{\"%s\":\"%" PRIu64 "\",\"errorMessage\":", names[kind],
                   rejected);
        json_append_string(out, why);
        buf_append_str(out, STR("}}"));
        return;
    }
    start = wire_begin(out, 1);
    wire_put_varint(out, 1, rejected);
    wire_put_bytes(out, 2, why);
    wire_end(out, start);
}

int otlp_answer_error(bool json, const Error *err, Buf *out) {
    RpcCode code;
    int status;

    switch (err->code) {
    case ERR_INVALID:
    case ERR_CORRUPT:
        status = 400;
        code = RPC_INVALID_ARGUMENT;
        break;
    case ERR_UNSUPPORTED:
        status = 415;
        code = RPC_INVALID_ARGUMENT;
        break;
    case ERR_DENIED:
        status = 403;
        code = RPC_PERMISSION_DENIED;
        break;
    case ERR_LIMIT:
        status = 413;
        code = RPC_RESOURCE_EXHAUSTED;
        break;
    case ERR_RATE:
        status = 429;
        code = RPC_RESOURCE_EXHAUSTED;
        break;
    default:
        status = 503;
        code = RPC_UNAVAILABLE;
    }
    if (json) {
        buf_printf(out, "{\"code\":%d,\"message\":", code);
        json_append_string(out, str_of(err->text));
        buf_append_byte(out, '}');
    } else {
        wire_put_varint(out, 1, code);
        wire_put_bytes(out, 2, str_of(err->text));
    }
    return status;
}
