#include "gateway/identity.h"

ErrCode gateway_tenant_of(Str header, Str *out, Error *err) {
    Str name = str_trim(header);

    if (name.len == 0) {
        *out = TENANT_ANONYMOUS;
        return ERR_OK;
    }
    if (memchr(name.ptr, '|', name.len) != NULL)
        return error_set(err, ERR_INVALID,
                         "X-Scope-OrgID names more than one tenant; a write is for one");
    if (tenant_check(name, err) != ERR_OK) return error_wrap(err, "X-Scope-OrgID");
    *out = name;
    return ERR_OK;
}

ErrCode gateway_tenant(const HttpRequest *request, Str *out, Error *err) {
    return gateway_tenant_of(http_header(request, "X-Scope-OrgID"), out, err);
}
