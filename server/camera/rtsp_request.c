#include "server/camera/rtsp_request.h"

#include <stdio.h>

#include <openssl/crypto.h>

#include "config/err.h"

int rtsp_request_write(const struct rtsp_request *request, struct rtsp_auth *auth,
                       const struct camera_url *account, char out[static RTSP_REQUEST_BYTES])
{
    char authorization[RTSP_AUTH_HEADER_BYTES];
    int  rc = rtsp_auth_write(auth, account->user, account->password.value, request->method,
                              request->url, authorization, sizeof authorization);
    int  length;

    if (rc < 0)
        return rc;
    length = snprintf(out, RTSP_REQUEST_BYTES,
                      "%s %s RTSP/1.0\r\nCSeq: %u\r\nUser-Agent: Sightline/%s\r\n%s%s%s%s%s\r\n",
                      request->method, request->url, request->sequence, SIGHTLINE_VERSION,
                      authorization, request->session[0] != '\0' ? "Session: " : "",
                      request->session, request->session[0] != '\0' ? "\r\n" : "",
                      request->headers);
    OPENSSL_cleanse(authorization, sizeof authorization);
    return length > 0 && (size_t)length < RTSP_REQUEST_BYTES ? length : ERR_LIMIT;
}
