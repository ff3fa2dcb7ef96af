/* What store.h promises, on the stores that need no server. */
#include "tests/unit/store/contract.h"

#include <unistd.h>

#include "common/store/fault.h"

static Store *open_url(const char *url) {
    StoreOptions options = {.url = str_of(url)};
    Store *store = NULL;
    Error err;

    if (store_open(&options, &store, &err) != ERR_OK) print_error("%s\n", err.text);
    return store;
}

static int on_a_folder(void) {
    char folder[] = "/tmp/moraine-store-XXXXXX", url[64], left[64];
    int failed;

    if (mkdtemp(folder) == NULL) return 1;
    snprintf(url, sizeof url, "file://%s/store", folder);
    failed = contract_run("fs", open_url(url));
    /* Everything was deleted, so nothing but the lock is left, empty folders neither. */
    snprintf(left, sizeof left, "%s/store/.moraine-lock", folder);
    if (unlink(left) != 0) failed++;
    snprintf(left, sizeof left, "%s/store", folder);
    if (rmdir(left) != 0 || rmdir(folder) != 0) {
        print_error("something is left in %s\n", left);
        failed++;
    }
    return failed;
}

int main(void) {
    int failed = contract_run("memory", open_url("memory:"));

    failed += on_a_folder();
    failed += contract_run("fault, which lets all through",
                           store_new(store_driver_fault(store_driver_memory(), 0, FAULT_NONE)));
    return failed;
}
