/* server/camera/onvif_message.h: what is said to an ONVIF camera, and what its answers mean.
 *
 * SOAP 1.2 over HTTP POST (ONVIF Core, Device and Media 1.0: what every camera since 2009 has), and
 * the one multicast question of WS-Discovery (2005/04). Requests are written from templates; answers
 * are read through xml_tree.h and believed as little as possible: texts are cut and cleaned of
 * control characters, numbers are bounded, and of an address only the path and port are taken
 * (onvif_place_at()): a camera behind a router or with a stale address names places that do not exist, and a hostile one
 * names other people's. Pure but for the random nonce; any thread. */
#ifndef SIGHTLINE_SERVER_CAMERA_ONVIF_MESSAGE_H
#define SIGHTLINE_SERVER_CAMERA_ONVIF_MESSAGE_H

#include "config/limits.h"
#include "config/settings.h"
#include "config/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ONVIF_REQUEST_BYTES  8192
#define ONVIF_TEXT_BYTES     128 /* maker, model, names of profiles */
#define ONVIF_TOKEN_BYTES    128
#define ONVIF_PROFILES_MAX   16
#define ONVIF_MATCHES_MAX    16 /* of one datagram */
#define ONVIF_ADDRESSES_MAX  4  /* of one device */
#define ONVIF_DATAGRAM_BYTES (60 << 10)

#define ONVIF_DISCOVERY_GROUP "239.255.255.250"
#define ONVIF_DISCOVERY_PORT  3702
#define ONVIF_DEVICE_PATH     "/onvif/device_service"

/* ---- WS-Discovery ---- */

#define ONVIF_UUID_BYTES 37
/* A random (version 4) one. */
void onvif_uuid(char out[static ONVIF_UUID_BYTES]);

/* The Probe for video transmitters; returns its bytes. */
size_t onvif_write_probe(const char *uuid, char *out, size_t out_bytes);

struct onvif_match {
    char
        endpoint[ONVIF_TEXT_BYTES]; /* "urn:uuid:...": the same for a device whatever its address */
    char name[ONVIF_TEXT_BYTES];    /* from its scopes; may be empty, as the two below */
    char hardware[ONVIF_TEXT_BYTES];
    char location[ONVIF_TEXT_BYTES];
    int  address_count;
    char address[ONVIF_ADDRESSES_MAX][LIMIT_URL_BYTES]; /* of its device service, as it says */
};

/* Returns how many matches for the question `uuid` stand in the datagram (0: somebody else's), or
 * ERR_CORRUPT / ERR_LIMIT / ERR_MEMORY. */
int onvif_read_matches(const char *text, size_t bytes, const char *uuid,
                       struct onvif_match *matches, int capacity, struct why *why);

/* ---- requests ---- */

enum onvif_request {
    ONVIF_GET_TIME, /* the one that needs no credentials */
    ONVIF_GET_CAPABILITIES,
    ONVIF_GET_INFORMATION,
    ONVIF_GET_PROFILES, /* the media service, as the two below */
    ONVIF_GET_STREAM_URI,
    ONVIF_GET_SNAPSHOT_URI,
};

struct onvif_credentials {
    const char          *user; /* "" or NULL: none are sent */
    const struct secret *password;
    int64_t clock_ahead_s; /* of the camera against ours: a token is good for minutes */
};

/* The body of a POST. `profile`: token, for the two addresses. `unix_s`: now, by our clock. Holds a digest of the
 * password, never the password. Bytes, or ERR_LIMIT. */
int onvif_write(enum onvif_request request, const char *profile,
                const struct onvif_credentials *credentials, int64_t unix_s, char *out,
                size_t out_bytes);
/* For the Content-Type header: the action of a request. */
const char *onvif_action(enum onvif_request request);

/* ---- answers; each ERR_UNAUTHORIZED, ERR_UNSUPPORTED (the camera's own fault, in its words),
 * ERR_CORRUPT, ERR_LIMIT or ERR_MEMORY ---- */

struct onvif_information {
    char maker[ONVIF_TEXT_BYTES];
    char model[ONVIF_TEXT_BYTES];
    char firmware[ONVIF_TEXT_BYTES];
};

struct onvif_profile {
    char   token[ONVIF_TOKEN_BYTES];
    char   name[ONVIF_TEXT_BYTES];
    char   codec[16]; /* "H264", "H265", "JPEG" ... as the camera says; "" when unknown */
    int    width, height;
    double fps;
    int    bitrate_kbps;
};

int onvif_read_time(const char *text, size_t bytes, int64_t *unix_s, struct why *why);
/* The address of the media service, as the camera says. */
int onvif_read_capabilities(const char *text, size_t bytes, char media[static LIMIT_URL_BYTES],
                            struct why *why);
int onvif_read_information(const char *text, size_t bytes, struct onvif_information *information,
                           struct why *why);
/* How many profiles have a video encoder; at most ONVIF_PROFILES_MAX. */
int onvif_read_profiles(const char *text, size_t bytes,
                        struct onvif_profile profiles[static ONVIF_PROFILES_MAX], struct why *why);
int onvif_read_uri(const char *text, size_t bytes, char uri[static LIMIT_URL_BYTES],
                   struct why *why);

/* ---- choosing ---- */

/* `address` with its host replaced by `host` (a name, or an IPv6 address without brackets) and any
 * credentials in it dropped. ERR_CORRUPT when it is no address of `schemes` ("rtsp rtsps" or "http https"). */
int onvif_place_at(const char *address, const char *host, const char *schemes,
                   char out[static LIMIT_URL_BYTES], struct why *why);

/* Which profile is looked at (the most pixels), and which is analysed: the smallest of those with at
 * least `min_width` pixels across that we decode, else the largest. */
int onvif_main_profile(const struct onvif_profile *profiles, int count);
int onvif_sub_profile(const struct onvif_profile *profiles, int count, int min_width);

#endif
