/* server/camera/rtsp_auth.h: the answer to "401 Unauthorized": Digest (RFC 2617, RFC 7616) and Basic.
 *
 * Of several challenges the strongest that we know is taken: Digest SHA-256, Digest MD5, and Basic only when the
 * camera offers no Digest at all, known to us or not: the password is never sent in clear to one that can do better. Pure but for the random
 * client nonce. The texts made here are secrets: they go into a request and nowhere else. */
#ifndef SIGHTLINE_SERVER_CAMERA_RTSP_AUTH_H
#define SIGHTLINE_SERVER_CAMERA_RTSP_AUTH_H

#include "config/why.h"
#include "server/camera/rtsp_message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rtsp_auth_scheme {
    RTSP_AUTH_NONE,
    RTSP_AUTH_BASIC,
    RTSP_AUTH_MD5,
    RTSP_AUTH_SHA256,
};

struct rtsp_auth {
    enum rtsp_auth_scheme scheme;
    bool                  session; /* algorithm ends in "-sess" */
    bool                  named;   /* the challenge named its algorithm: so does the answer */
    bool                  qop;     /* "auth" is offered */
    bool                  stale;   /* the nonce was old, the password was right */
    char                  realm[256];
    char                  nonce[512];
    char                  opaque[512];
    bool                  has_opaque;
    uint32_t              nonce_count;
    char                  client_nonce[64]; /* made once; 32 hexadecimal digits */
};

/* Reads the WWW-Authenticate headers of a 401. ERR_UNSUPPORTED (nothing that we know) or
 * ERR_CORRUPT with the reason; *auth is then as before. */
int rtsp_auth_read(struct rtsp_auth *auth, const struct rtsp_message *response, struct why *why);

/* Writes "Authorization: ...\r\n", or "" without a scheme; counts the nonce up. Returns its bytes or
 * ERR_LIMIT. */
int rtsp_auth_write(struct rtsp_auth *auth, const char *user, const char *password,
                    const char *method, const char *url, char *out, size_t out_bytes);

#define RTSP_AUTH_HEADER_BYTES 4096

#endif
