/* server/camera/mjpeg_parts.h: JPEG pictures out of a multipart/x-mixed-replace body. Pure.
 *
 * Cameras do not agree on what they write into the boundary of the Content-Type: the first line of the
 * body that begins with "--" is the boundary. A part's Content-Length is believed if a boundary follows there; else
 * the next boundary ends the picture. Everything is bounded. */
#ifndef SIGHTLINE_SERVER_CAMERA_MJPEG_PARTS_H
#define SIGHTLINE_SERVER_CAMERA_MJPEG_PARTS_H

#include "config/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MJPEG_PICTURE_BYTES  (8 << 20) /* an 8K JPEG of high quality has 6 MiB */
#define MJPEG_LINE_BYTES     1024
#define MJPEG_BOUNDARY_BYTES 200
#define MJPEG_HEADERS        64

struct mjpeg_parts;

/* One picture, valid during the call; false: it was closed by the callee's owner, stop. */
typedef bool mjpeg_picture_fn(void *arg, const uint8_t *data, size_t bytes);

int  mjpeg_parts_open(struct mjpeg_parts **out, mjpeg_picture_fn *picture, void *arg);
void mjpeg_parts_close(struct mjpeg_parts **parts); /* NULL-safe; not from within `picture` */

/* 0, or ERR_CORRUPT / ERR_LIMIT / ERR_MEMORY with the reason. A part that is no JPEG is passed
 * over. */
int mjpeg_parts_feed(struct mjpeg_parts *parts, const uint8_t *data, size_t bytes, struct why *why);

/* Does it look like a whole JPEG? */
bool mjpeg_is_picture(const uint8_t *data, size_t bytes);

#endif
