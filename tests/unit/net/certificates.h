#pragma once
/*
 * certificates.h: an authority and what it signs, made anew by each test program.
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "tests/unit/unit.h"

typedef struct Identity {
    EVP_PKEY *key;
    X509 *certificate;
    char cert_file[300];
    char key_file[300];
} Identity;

static inline void identity_write(Identity *identity, const char *folder, const char *name) {
    FILE *file;

    (void)snprintf(identity->cert_file, sizeof identity->cert_file, "%s/%s.pem", folder, name);
    (void)snprintf(identity->key_file, sizeof identity->key_file, "%s/%s.key", folder, name);
    file = fopen(identity->cert_file, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, identity->certificate), 1);
    (void)fclose(file);
    file = fopen(identity->key_file, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, identity->key, NULL, NULL, 0, NULL, NULL), 1);
    (void)fclose(file);
}

/* Signed by `authority`, or by itself where that is NULL, and then an authority. */
static inline Identity identity_new(const char *folder, const char *name, const void *common_name,
                                    int common_name_len, const Identity *authority) {
    static long serial = 1;
    Identity identity = {.key = EVP_EC_gen("P-256"), .certificate = X509_new()};
    X509 *issuer = authority != NULL ? authority->certificate : identity.certificate;
    X509_EXTENSION *extension;
    X509V3_CTX context;
    X509_NAME *subject;

    assert_non_null(identity.key);
    assert_non_null(identity.certificate);
    (void)X509_set_version(identity.certificate, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(identity.certificate), serial++);
    (void)X509_gmtime_adj(X509_getm_notBefore(identity.certificate), -3600);
    (void)X509_gmtime_adj(X509_getm_notAfter(identity.certificate), 3600);
    (void)X509_set_pubkey(identity.certificate, identity.key);
    subject = X509_get_subject_name(identity.certificate);
    (void)X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, common_name, common_name_len, -1,
                                     0);
    (void)X509_set_issuer_name(identity.certificate, X509_get_subject_name(issuer));
    X509V3_set_ctx(&context, issuer, identity.certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(
        NULL, &context, authority != NULL ? NID_subject_alt_name : NID_basic_constraints,
        authority != NULL ? "IP:127.0.0.1,DNS:localhost" : "critical,CA:TRUE");
    assert_non_null(extension);
    (void)X509_add_ext(identity.certificate, extension, -1);
    X509_EXTENSION_free(extension);
    assert_true(X509_sign(identity.certificate, authority != NULL ? authority->key : identity.key,
                          EVP_sha256()) > 0);
    identity_write(&identity, folder, name);
    return identity;
}

static inline void identity_done(Identity *identity) {
    (void)unlink(identity->cert_file);
    (void)unlink(identity->key_file);
    X509_free(identity->certificate);
    EVP_PKEY_free(identity->key);
}
