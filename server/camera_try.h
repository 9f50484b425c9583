/* server/camera_try.h: opens a camera or a video as the pipeline would, until its first picture.
 *
 * Exactly one of the two callbacks comes, from the loop, unless it is stopped before; nothing comes
 * after camera_try_stop(), which may be called from within them. */
#ifndef SIGHTLINE_SERVER_CAMERA_TRY_H
#define SIGHTLINE_SERVER_CAMERA_TRY_H

#include "config/json_writer.h"
#include "server/camera/camera.h"
#include "server/server.h"

struct camera_try;

struct camera_try_events {
    void *arg;
    /* The picture is JPEG, valid during the call. */
    void (*seen)(void *arg, const struct camera_stats *stats, const uint8_t *picture, size_t bytes);
    /* What is wrong, in words; holds no credentials. */
    void (*failed)(void *arg, const char *reason);
};

int camera_try_start(struct camera_try **out, struct server *server,
                     const struct settings_camera *settings, const struct camera_try_events *events,
                     struct why *why);
/* "codec", "width", "height" and "fps" of what was seen, into the object that is open. */
void camera_try_write(struct json_writer *json, const struct camera_stats *stats);
/* NULL-safe. */
void camera_try_stop(struct camera_try **out);

#endif
