/* server/camera/camera_url.h: addresses of cameras: read, written without secrets, allowed or not.
 *
 * rtsp://[user[:password]@]host[:port][/path]. User and password may be written raw with '@', ':', '#' and '?'
 * in them, or percent-encoded; a '/' or a space in them must be encoded (%2F, %20). Pure functions, any thread. */
#ifndef SIGHTLINE_SERVER_CAMERA_CAMERA_URL_H
#define SIGHTLINE_SERVER_CAMERA_CAMERA_URL_H

#include "config/limits.h"
#include "config/settings.h"
#include "config/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define CAMERA_URL_PORT_RTSP  554
#define CAMERA_URL_HOST_BYTES 256

struct camera_url {
    char     host[CAMERA_URL_HOST_BYTES]; /* lower case; an IPv6 address without brackets */
    bool     ipv6;                        /* host is an IPv6 address */
    uint16_t port;
    char     path[LIMIT_URL_BYTES];  /* begins with '/', holds the query; as sent to the camera */
    char     user[LIMIT_NAME_BYTES]; /* decoded; empty: none */
    struct secret password;          /* decoded */
};

/* 0, or ERR_INVALID / ERR_LIMIT / ERR_UNSUPPORTED (a scheme that is not served) with a reason that
 * shows nothing of the text. The written form without credentials fits LIMIT_URL_BYTES. */
int camera_url_parse(struct camera_url *url, const char *text, struct why *why);

/* The normal form without user and password: what is sent, shown and compared. */
void camera_url_format(const struct camera_url *url, char out[static LIMIT_URL_BYTES]);

/* Copies any text (log line, library message, reason) with what may be a secret in it replaced by
 * "***": everything between "://" and the last '@' that may belong to the address (of the line, up to the next "://"), and the values of
 * parameters such as password=. It hides too much rather than too little. The result is cut to
 * out_bytes with a NUL; `text` and `out` do not overlap. */
void camera_url_redact(const char *text, char *out, size_t out_bytes);

/* As above; the secret itself is hidden too, wherever it stands, if it has three bytes or more: a camera
 * that knows it may send it back. */
void camera_url_redact_secret(const char *text, const struct secret *secret, char *out,
                              size_t out_bytes);

/* Where a camera may live. The operator's own file may name any of them. */
enum camera_url_reach {
    CAMERA_URL_LOOPBACK   = 1,
    CAMERA_URL_PRIVATE    = 2,
    CAMERA_URL_LINK_LOCAL = 4,
    CAMERA_URL_PUBLIC     = 8,
    CAMERA_URL_ANYWHERE   = 15,
};

/* 0, or ERR_DENIED with the reason. The address is the one that is connected to, after the name was
 * looked up. Whatever `reach` says, never: multicast, broadcast, the unspecified address, and the metadata services
 * of cloud machines; an IPv4 address inside an IPv6 one is judged as what it is. */
int camera_url_allow(const struct sockaddr *address, unsigned reach, struct why *why);

#endif
