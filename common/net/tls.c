/*
 * tls.c: OpenSSL's context, made only where a listener has a certificate.
 */
#include <openssl/err.h>
#include <openssl/x509.h>

#include "common/net/internal.h"

enum { NAME_BYTES_MAX = 256 };

static ErrCode tls_error(Error *err, const char *what, const char *file) {
    unsigned long reason = ERR_get_error();
    const char *text = ERR_reason_error_string(reason);

    ERR_clear_error();
    return error_set(err, ERR_INVALID, "tls: %s %s: %s", what, file,
                     text != NULL ? text : "failed");
}

/* A key with a passphrase must not make a server wait at somebody's terminal. */
static int no_passphrase(char *out, int size, int is_writing, void *context) {
    (void)out;
    (void)size;
    (void)is_writing;
    (void)context;
    return -1;
}

/* HTTP/2 before HTTP/1.1; who offers only others gets no ALPN answer, and may go on without. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *offered, unsigned offered_len, void *context) {
    static const unsigned char known[] = "\x02h2\x08http/1.1";

    (void)ssl;
    (void)context;
    if (SSL_select_next_proto((unsigned char **)out, out_len, known, sizeof known - 1, offered,
                              offered_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    return SSL_TLSEXT_ERR_OK;
}

static ErrCode load_files(SSL_CTX *context, const char *cert, const char *key, const char *ca,
                          Error *err) {
    STACK_OF(X509_NAME) * names;

    if (SSL_CTX_use_certificate_chain_file(context, cert) != 1)
        return tls_error(err, "certificate", cert);
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        return tls_error(err, "key", key);
    if (SSL_CTX_check_private_key(context) != 1)
        return tls_error(err, "the key doesn't belong to", cert);
    if (ca[0] == '\0') return ERR_OK;
    if (SSL_CTX_load_verify_locations(context, ca, NULL) != 1)
        return tls_error(err, "authority", ca);
    names = SSL_load_client_CA_file(ca);
    if (names == NULL) return tls_error(err, "authority", ca);
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    /* Sessions belong to one kind of listener: else one resumed could skip the certificate. */
    (void)SSL_CTX_set_session_id_context(context, (const unsigned char *)"moraine-mtls", 12);
    return ERR_OK;
}

static bool c_path(Str path, char *out, size_t size) {
    if (path.len >= size || (path.len > 0 && memchr(path.ptr, '\0', path.len) != NULL))
        return false;
    if (path.len > 0) memcpy(out, path.ptr, path.len);
    out[path.len] = '\0';
    return true;
}

ErrCode tls_context_new(const HttpServerOptions *options, SSL_CTX **out, Error *err) {
    char cert[4096], key[4096], ca[4096];
    SSL_CTX *context;
    ErrCode code;

    if (options->tls_cert_file.len == 0 || options->tls_key_file.len == 0)
        return error_set(err, ERR_INVALID, "tls: a certificate needs its key, and the reverse");
    if (!c_path(options->tls_cert_file, cert, sizeof cert) ||
        !c_path(options->tls_key_file, key, sizeof key) ||
        !c_path(options->tls_client_ca_file, ca, sizeof ca))
        return error_set(err, ERR_INVALID, "tls: a path is too long");
    ERR_clear_error();
    context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) return tls_error(err, "context", "");
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    (void)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    code = load_files(context, cert, key, ca, err);
    if (code != ERR_OK) {
        SSL_CTX_free(context);
        return code;
    }
    *out = context;
    return ERR_OK;
}

char *tls_peer_name(SSL *ssl) {
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    const X509_NAME_ENTRY *entry;
    unsigned char *utf8 = NULL;
    char *name = NULL;
    int at, len;

    if (certificate == NULL) return NULL;
    at = X509_NAME_get_index_by_NID(X509_get_subject_name(certificate), NID_commonName, -1);
    entry = at < 0 ? NULL : X509_NAME_get_entry(X509_get_subject_name(certificate), at);
    if (entry == NULL) return NULL;
    len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
    /* A NUL inside would make it another name for who reads it as a C string. */
    if (len > 0 && len <= NAME_BYTES_MAX && memchr(utf8, '\0', (size_t)len) == NULL)
        name = strndup((const char *)utf8, (size_t)len);
    OPENSSL_free(utf8);
    return name;
}

bool tls_is_http2(const SSL *ssl) {
    const unsigned char *chosen;
    unsigned len;

    SSL_get0_alpn_selected(ssl, &chosen, &len);
    return len == 2 && memcmp(chosen, "h2", 2) == 0;
}
