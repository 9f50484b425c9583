/* server/camera/rtsp_request.h: the text of a request. Pure. It may hold credentials: for the socket alone. */
#ifndef SIGHTLINE_SERVER_CAMERA_RTSP_REQUEST_H
#define SIGHTLINE_SERVER_CAMERA_RTSP_REQUEST_H

#include "server/camera/camera_url.h"
#include "server/camera/rtsp_auth.h"
#include "server/camera/rtsp_reply.h"

#include <stddef.h>

struct rtsp_request {
    const char *method, *url;
    unsigned    sequence;
    const char *session; /* "": none */
    const char *headers; /* of this method, each with its CRLF */
};

#define RTSP_REQUEST_BYTES (RTSP_AUTH_HEADER_BYTES + RTSP_URL_BYTES + 1024)

/* Signs it as `auth` asks, with `account`'s user and password. Returns its bytes, ERR_LIMIT or ERR_MEMORY. */
int rtsp_request_write(const struct rtsp_request *request, struct rtsp_auth *auth,
                       const struct camera_url *account, char out[static RTSP_REQUEST_BYTES]);

#endif
