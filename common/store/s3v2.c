#include "common/store/driver.h"
ErrCode store_driver_s3v2(const StoreOptions *options, StoreDriver **out, Error *err) {
    (void)options;
    (void)out;
    return error_set(err, ERR_UNSUPPORTED, "v2");
}
