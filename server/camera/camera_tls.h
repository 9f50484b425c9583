/* server/camera/camera_tls.h: the encrypted side of a camera's connection; bytes in, bytes out.
 *
 * OpenSSL over memory: nothing here opens a socket. The certificate must be valid for the camera's
 * host, by the machine's own authorities; cameras sign theirs themselves, so the settings may name
 * the one that is right (`tls_fingerprint`: that one alone is taken) or take any (`tls_verify:
 * false`). Nothing is sent, least of all a password, before the certificate is judged. At least
 * TLS 1.2. Loop thread only. */
#ifndef SIGHTLINE_SERVER_CAMERA_CAMERA_TLS_H
#define SIGHTLINE_SERVER_CAMERA_CAMERA_TLS_H

#include "config/settings.h"
#include "config/why.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct camera_tls;

struct camera_tls_trust {
    const char *host;        /* a name, or a numeric address */
    bool        unverified;  /* any certificate will do */
    const char *fingerprint; /* SHA-256 in lower-case hexadecimal; "": none */
};

/* Copies what it needs. ERR_MEMORY. */
int camera_tls_open(struct camera_tls **out, const struct camera_tls_trust *trust, struct why *why);
void camera_tls_close(struct camera_tls **tls); /* NULL-safe */

/* Bytes from the camera. 0, ERR_MEMORY. */
int camera_tls_feed(struct camera_tls *tls, const uint8_t *data, size_t bytes);
/* 1: done; 0: the camera's bytes are awaited (after what is to be sent was sent); ERR_DENIED (its
 * certificate) or ERR_CORRUPT with the reason, which says the fingerprint that would be right. */
int camera_tls_handshake(struct camera_tls *tls, struct why *why);
/* Plain bytes into `out`: how many, 0 when there are none now, ERR_CLOSED, ERR_CORRUPT. */
int camera_tls_read(struct camera_tls *tls, uint8_t *out, size_t bytes);
/* Encrypts a copy; it then waits to be sent. 0 or ERR_IO. */
int camera_tls_write(struct camera_tls *tls, const void *data, size_t bytes);
/* What is to be sent to the camera, taken: its bytes, at most `capacity`. */
size_t camera_tls_take(struct camera_tls *tls, uint8_t *out, size_t capacity);

/* The same judgement for a library's own connections: replaces the context's. `fingerprint` must
 * live as long as the context; "": only the library's own judgement. */
void camera_tls_pin(SSL_CTX *context, const char *fingerprint);

#endif
