#include "server/camera/camera_tls.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "config/err.h"

struct camera_tls {
    SSL *ssl;
    BIO *in, *out;
    bool unverified;
    bool done;
    char fingerprint[SETTINGS_FINGERPRINT_BYTES];
};

/* One for all cameras: the list of authorities costs a megabyte and 20 ms to read. */
static SSL_CTX       *shared;
static pthread_once_t shared_once = PTHREAD_ONCE_INIT;

static void make_shared(void)
{
    shared = SSL_CTX_new(TLS_client_method());
    if (shared == NULL)
        return;
    SSL_CTX_set_min_proto_version(shared, TLS1_2_VERSION);
    SSL_CTX_set_default_verify_paths(shared);
    SSL_CTX_set_session_cache_mode(shared, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(shared, SSL_MODE_RELEASE_BUFFERS);
}

static bool fingerprint_of(X509 *certificate, char out[static SETTINGS_FINGERPRINT_BYTES])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned      bytes = 0;

    if (certificate == NULL || X509_digest(certificate, EVP_sha256(), hash, &bytes) != 1 ||
        bytes != 32)
        return false;
    for (size_t i = 0; i < bytes; i++)
        snprintf(out + 2 * i, 3, "%02x", hash[i]);
    return true;
}

static int judge_pin(X509_STORE_CTX *store, void *arg)
{
    const char *wanted = arg;
    char        found[SETTINGS_FINGERPRINT_BYTES];

    if (fingerprint_of(X509_STORE_CTX_get0_cert(store), found) && strcmp(found, wanted) == 0) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
    return 0;
}

void camera_tls_pin(SSL_CTX *context, const char *fingerprint)
{
    if (fingerprint[0] != '\0')
        SSL_CTX_set_cert_verify_callback(context, judge_pin, (void *)(uintptr_t)fingerprint);
}

static bool is_numeric(const char *host)
{
    struct in6_addr address;

    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

int camera_tls_open(struct camera_tls **out, const struct camera_tls_trust *trust, struct why *why)
{
    struct camera_tls *tls     = calloc(1, sizeof *tls);
    bool               numeric = is_numeric(trust->host);

    *out = NULL;
    pthread_once(&shared_once, make_shared);
    if (tls == NULL || shared == NULL || (tls->ssl = SSL_new(shared)) == NULL)
        goto fail;
    tls->unverified = trust->unverified;
    snprintf(tls->fingerprint, sizeof tls->fingerprint, "%s", trust->fingerprint);
    tls->in  = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (tls->in == NULL || tls->out == NULL) {
        BIO_free(tls->in);
        BIO_free(tls->out);
        goto fail;
    }
    BIO_set_mem_eof_return(tls->in, -1);
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    SSL_set_connect_state(tls->ssl);
    /* Judged by ourselves once the handshake is over: so that the reason can name what came. */
    SSL_set_verify(tls->ssl, SSL_VERIFY_NONE, NULL);
    if (numeric && X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls->ssl), trust->host) != 1)
        goto fail;
    if (!numeric && (SSL_set_tlsext_host_name(tls->ssl, trust->host) != 1 ||
                     SSL_set1_host(tls->ssl, trust->host) != 1))
        goto fail;
    *out = tls;
    return 0;

fail:
    camera_tls_close(&tls);
    return why_set(why, ERR_MEMORY, "out of memory for an encrypted connection");
}

void camera_tls_close(struct camera_tls **tls)
{
    if (*tls != NULL)
        SSL_free((*tls)->ssl);
    free(*tls);
    *tls = NULL;
}

int camera_tls_feed(struct camera_tls *tls, const uint8_t *data, size_t bytes)
{
    return BIO_write(tls->in, data, (int)bytes) == (int)bytes ? 0 : ERR_MEMORY;
}

static int judge(struct camera_tls *tls, struct why *why)
{
    X509 *certificate                       = SSL_get1_peer_certificate(tls->ssl);
    char  found[SETTINGS_FINGERPRINT_BYTES] = "";
    bool  known                             = fingerprint_of(certificate, found);
    long  verdict                           = SSL_get_verify_result(tls->ssl);

    X509_free(certificate);
    if (tls->fingerprint[0] != '\0') {
        if (known && strcmp(found, tls->fingerprint) == 0)
            return 0;
        return why_set(why, ERR_DENIED, "the camera's certificate has another fingerprint: %s",
                       found);
    }
    if (tls->unverified || (known && verdict == X509_V_OK))
        return 0;
    return why_set(why, ERR_DENIED,
                   "the camera's certificate is not trusted (%.40s); to trust it: tls_fingerprint: "
                   "%s",
                   X509_verify_cert_error_string(verdict), found);
}

int camera_tls_handshake(struct camera_tls *tls, struct why *why)
{
    char text[96];
    int  rc;

    if (tls->done)
        return 1;
    ERR_clear_error();
    if ((rc = SSL_do_handshake(tls->ssl)) == 1) {
        if ((rc = judge(tls, why)) != 0)
            return rc;
        tls->done = true;
        return 1;
    }
    rc = SSL_get_error(tls->ssl, rc);
    if (rc == SSL_ERROR_WANT_READ || rc == SSL_ERROR_WANT_WRITE)
        return 0;
    ERR_error_string_n(ERR_peek_error(), text, sizeof text);
    return why_set(why, ERR_CORRUPT, "the camera does not speak TLS as it should (%s)", text);
}

int camera_tls_read(struct camera_tls *tls, uint8_t *out, size_t bytes)
{
    int rc;

    ERR_clear_error();
    rc = SSL_read(tls->ssl, out, (int)(bytes > INT32_MAX ? INT32_MAX : bytes));
    if (rc > 0)
        return rc;
    rc = SSL_get_error(tls->ssl, rc);
    if (rc == SSL_ERROR_WANT_READ || rc == SSL_ERROR_WANT_WRITE)
        return 0;
    return rc == SSL_ERROR_ZERO_RETURN ? ERR_CLOSED : ERR_CORRUPT;
}

int camera_tls_write(struct camera_tls *tls, const void *data, size_t bytes)
{
    ERR_clear_error();
    return SSL_write(tls->ssl, data, (int)bytes) == (int)bytes ? 0 : ERR_IO;
}

size_t camera_tls_take(struct camera_tls *tls, uint8_t *out, size_t capacity)
{
    int taken = BIO_read(tls->out, out, (int)capacity);

    return taken > 0 ? (size_t)taken : 0;
}
