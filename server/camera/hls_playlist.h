/* server/camera/hls_playlist.h: what a playlist of HTTP Live Streaming says (RFC 8216), as far as a camera
 * needs it. Pure. */
#ifndef SIGHTLINE_SERVER_CAMERA_HLS_PLAYLIST_H
#define SIGHTLINE_SERVER_CAMERA_HLS_PLAYLIST_H

#include "config/limits.h"
#include "config/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HLS_PLAYLIST_BYTES (1 << 20)
#define HLS_SEGMENTS       64 /* the newest are kept; a live playlist has 3 to 10 */

struct hls_segment_entry {
    char    uri[LIMIT_URL_BYTES]; /* as written */
    int64_t sequence;
};

struct hls_playlist {
    bool                     is_master;
    char                     variant[LIMIT_URL_BYTES]; /* master: the chosen one */
    bool                     ended;                    /* no more will come */
    double                   target_s;
    char                     map[LIMIT_URL_BYTES]; /* of fragmented MP4; "": none */
    int                      count;
    struct hls_segment_entry segments[HLS_SEGMENTS];
};

/* Of variants the smallest that is 640 pixels wide or more is chosen, else the largest. ERR_CORRUPT,
 * ERR_LIMIT, ERR_UNSUPPORTED (encrypted, byte ranges) with the reason. */
int hls_playlist_read(struct hls_playlist *playlist, const char *text, size_t bytes,
                      struct why *why);

#endif
