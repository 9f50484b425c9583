/* server/camera/sdp.h: the one video stream of a camera's description (RFC 4566).
 *
 * Reads what DESCRIBE returned and writes a small description of the video alone, made of known lines
 * in safe characters, for the demultiplexer: it would otherwise mix the streams up by payload type. Pure. */
#ifndef SIGHTLINE_SERVER_CAMERA_SDP_H
#define SIGHTLINE_SERVER_CAMERA_SDP_H

#include "config/limits.h"
#include "config/why.h"

#include <stddef.h>
#include <stdint.h>

#define SDP_VIDEO_BYTES (12 << 10) /* the demultiplexer reads 16 KiB at most */

enum sdp_codec { SDP_H264, SDP_H265, SDP_JPEG, SDP_MPEG4 };

struct sdp_video {
    enum sdp_codec codec;
    int            payload_type; /* 0..127 */
    uint32_t       clock_hz;     /* 90000 for every codec here, unless the camera says otherwise */
    double         fps;          /* 0: not said */
    char           session_control[LIMIT_URL_BYTES]; /* "" : none */
    char           control[LIMIT_URL_BYTES];         /* of the video; "": none */
    char           text[SDP_VIDEO_BYTES];            /* for the demultiplexer */
};

/* The first video stream in a format that we can read. ERR_CORRUPT, ERR_LIMIT, or ERR_UNSUPPORTED (no
 * video, or none that is known) with the reason. */
int sdp_read(struct sdp_video *video, const char *text, size_t bytes, struct why *why);

#endif
