/* server/camera/rtsp_reply.h: what a camera's replies to OPTIONS, DESCRIBE and SETUP say. Pure.
 *
 * Addresses from the camera go into our next request line: they are checked for form and lose
 * credentials; nobody connects to them but by a redirect (camera_url.h). */
#ifndef SIGHTLINE_SERVER_CAMERA_RTSP_REPLY_H
#define SIGHTLINE_SERVER_CAMERA_RTSP_REPLY_H

#include "config/limits.h"
#include "config/why.h"
#include "server/camera/rtsp_message.h"
#include "server/camera/sdp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTSP_URL_BYTES     ((size_t)2 * LIMIT_URL_BYTES) /* a base with a control address behind it */
#define RTSP_SESSION_BYTES 128

/* Does the list in Public (of an OPTIONS reply) hold the method? */
bool rtsp_reply_allows(const struct rtsp_message *reply, const char *method);

/* What an error status means for the person who set the camera up; NULL: nothing more than its text says. *lasting:
 * trying again soon is of no use. */
const char *rtsp_reply_meaning(int status, bool *lasting);

/* Where to send SETUP (the video) and PLAY, TEARDOWN (all of it). `request_url` is what DESCRIBE was sent to. ERR_CORRUPT
 * or ERR_LIMIT with the reason. */
int rtsp_reply_addresses(const struct rtsp_message *reply, const struct sdp_video *video,
                         const char *request_url, char setup[static RTSP_URL_BYTES],
                         char play[static RTSP_URL_BYTES], struct why *why);

struct rtsp_setup {
    char     session[RTSP_SESSION_BYTES]; /* "": the camera gave none */
    unsigned timeout_s;                   /* of the session; 60 if it does not say */
    uint8_t  rtp_channel, rtcp_channel;   /* over the connection */
    uint16_t rtp_port, rtcp_port;         /* of the camera, over UDP; 0: not said */
};
/* ERR_CORRUPT, or ERR_UNSUPPORTED (not over what was asked for) with the reason. */
int rtsp_reply_setup(const struct rtsp_message *reply, bool udp, struct rtsp_setup *setup,
                     struct why *why);

#endif
