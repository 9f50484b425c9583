#include "server/camera/source.h"

#include "config/err.h"
#include "server/camera/camera_url.h"
#include "server/camera/v4l2_device.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char              *scheme;
    const struct source_ops *ops;
} KINDS[] = {
    {"rtsp://", &source_rtsp},  {"rtsps://", &source_rtsp}, {"http://", &source_http},
    {"https://", &source_http}, {"rtmp://", &source_av},    {"srt://", &source_av},
};

/* Length of "scheme://" at the beginning, 0 if there is none. */
static size_t scheme_bytes(const char *url)
{
    size_t letters = strspn(url,
                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");

    return letters > 0 && strncmp(url + letters, "://", 3) == 0 ? letters + 3 : 0;
}

int source_choose(const struct source_ops **ops, const char *url, struct why *why)
{
    size_t bytes = scheme_bytes(url);

    *ops = NULL;
    if (url[0] == '\0')
        return why_set(why, ERR_INVALID, "the camera has no address");
    if (v4l2_address_is(url))
        *ops = &source_v4l2;
    if (bytes == 0 || *ops != NULL)
        return 0;
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        if (strncasecmp(url, KINDS[i].scheme, strlen(KINDS[i].scheme)) == 0) {
            *ops = KINDS[i].ops;
            return 0;
        }
    }
    return why_set(why, ERR_UNSUPPORTED,
                   "\"%.*s\" is not served: give an rtsp://, rtsps://, http://, https://, "
                   "rtmp://, srt:// or v4l2:// address or a file's path",
                   bytes > 40 ? 40 : (int)bytes, url);
}

int source_check(const char *url, struct why *why)
{
    const struct source_ops *ops;
    struct camera_url        parsed;
    struct v4l2_address      device;
    int                      rc = source_choose(&ops, url, why);

    if (rc != 0 || ops == NULL)
        return rc;
    if (ops == &source_v4l2)
        return v4l2_address_parse(&device, url, why);
    rc = camera_url_parse(&parsed, url, why);
    return rc == 0 && ops == &source_av ? source_av_check(&parsed, why) : rc;
}
