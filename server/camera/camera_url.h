/* server/camera/camera_url.h: addresses of cameras: read, written without secrets, allowed or not.
 *
 * The policy, in one place: a camera's address has one of six schemes; its name is looked up once,
 * every address found is judged by camera_url_allow(), and what is connected to is one of those
 * (camera_lookup.h): a name that changes its answer gains nothing. `cameras_allowed` says which
 * kinds of addresses are; by default this machine, private networks and the internet, not
 * link-local ones. A redirect is followed at most CAMERA_URL_REDIRECTS times, stays within RTSP or
 * within HTTP, never leaves encryption, never leads to a narrower network (from the internet into
 * the house, from the house to this machine), and takes credentials to the same host only. What a
 * playlist names is judged like a redirect.
 *
 * scheme://[user[:password]@]host[:port][/path]. User and password may be written raw with '@', ':', '#' and '?'
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

#define CAMERA_URL_REDIRECTS 3

enum camera_url_scheme {
    CAMERA_URL_RTSP,
    CAMERA_URL_RTSPS,
    CAMERA_URL_HTTP,
    CAMERA_URL_HTTPS,
    CAMERA_URL_RTMP,
    CAMERA_URL_SRT,
};

struct camera_url {
    enum camera_url_scheme scheme;
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
/* As above with another host in its place: the address that was looked up. */
void camera_url_format_host(const struct camera_url *url, const char *host, bool ipv6,
                            char out[static LIMIT_URL_BYTES]);
bool camera_url_is_tls(const struct camera_url *url);

/* Turns *url into where the camera sends us: an absolute address. Credentials stay with the host;
 * those in `location` are dropped. ERR_DENIED with the reason (which shows nothing of it); *url is
 * then as before. */
int camera_url_redirect(struct camera_url *url, const char *location, struct why *why);
/* What of `reach` a redirect from an address of the kind `from` may lead to. */
unsigned camera_url_redirect_reach(unsigned reach, unsigned from);

/* Copies any text (log line, library message, reason) with what may be a secret in it replaced by
 * "***": everything between "://" and the last '@' that may belong to the address (of the line, up to the next "://"), and the values of
 * parameters such as password=. It hides too much rather than too little. The result is cut to
 * out_bytes with a NUL; `text` and `out` do not overlap. */
void camera_url_redact(const char *text, char *out, size_t out_bytes);

/* As above; the secret itself is hidden too, wherever it stands, if it has three bytes or more: a camera
 * that knows it may send it back. */
void camera_url_redact_secret(const char *text, const struct secret *secret, char *out,
                              size_t out_bytes);

/* Where a camera may live: bits, of which the settings (`cameras_allowed`) name some. */
enum camera_url_reach {
    CAMERA_URL_LOOPBACK   = SETTINGS_REACH_LOOPBACK,
    CAMERA_URL_PRIVATE    = SETTINGS_REACH_PRIVATE,
    CAMERA_URL_LINK_LOCAL = SETTINGS_REACH_LINK_LOCAL,
    CAMERA_URL_PUBLIC     = SETTINGS_REACH_PUBLIC,
    CAMERA_URL_ANYWHERE   = SETTINGS_REACH_ALL,
};

/* What a camera's settings allow. */
unsigned camera_url_settings_reach(const struct settings_camera *settings);
/* Which of them an address is, or ERR_DENIED (see below). */
int camera_url_reach(const struct sockaddr *address, struct why *why);

/* 0, or ERR_DENIED with the reason. The address is the one that is connected to, after the name was
 * looked up. Whatever
 * `reach` says, never: multicast, broadcast, the unspecified address, and the metadata services
 * of cloud machines; an IPv4 address inside an IPv6 one is judged as what it is. */
int camera_url_allow(const struct sockaddr *address, unsigned reach, struct why *why);

#endif
