/* server/camera/v4l2_device.h: a camera at this machine's own USB or CSI port, through the kernel's Video4Linux2.
 *
 * The kernel's interface itself rather than libavdevice, which brings X11, OpenGL and three sound
 * systems along. Address: /dev/video0, or v4l2:///dev/video0?size=1280x720&fps=15. Only character devices
 * directly under /dev named video and a number are opened, and only such that capture video. Taken are
 * MJPEG, NV12 and YUYV, the first of them that the device offers at the wanted size. Opening,
 * starting and closing wait for the device (a USB camera: up to seconds): on a worker.
 * v4l2_device_next() does not wait. One thread at a time. */
#ifndef SIGHTLINE_SERVER_CAMERA_V4L2_DEVICE_H
#define SIGHTLINE_SERVER_CAMERA_V4L2_DEVICE_H

#include "config/why.h"

#include <libavcodec/codec_par.h>
#include <libavcodec/packet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define V4L2_BUFFERS        4 /* of the driver's; one is copied while others fill */
#define V4L2_DEFAULT_WIDTH  1280
#define V4L2_DEFAULT_HEIGHT 720

struct v4l2_address {
    char path[24]; /* "/dev/video0" */
    int  width_px, height_px;
    int  fps; /* 0: the device's choice */
};

/* Whether an address is one for here, well-formed or not. */
bool v4l2_address_is(const char *text);
/* ERR_INVALID, ERR_DENIED (another path) with the reason. */
int v4l2_address_parse(struct v4l2_address *address, const char *text, struct why *why);

/* What is asked of the kernel; errors in errno as the calls have them. Tests put another in its place. */
struct v4l2_system {
    int (*open_device)(const char *path); /* -1; ENODEV: no character device */
    int (*control)(int fd, unsigned long request, void *argument);
    void *(*map)(size_t bytes, int fd, off_t offset); /* NULL: failed */
    void (*unmap)(void *at, size_t bytes);
    void (*close_device)(int fd);
};
extern const struct v4l2_system v4l2_kernel;

struct v4l2_device {
    const struct v4l2_system *system;
    int                       fd;     /* negative: closed */
    uint32_t                  format; /* V4L2_PIX_FMT_ */
    int                       width_px, height_px;
    size_t                    stride_bytes; /* of the first plane; 0: compressed */
    AVRational                rate;         /* 0/1: unknown */
    int                       buffers;
    struct {
        uint8_t *at;
        size_t   bytes;
    } buffer[V4L2_BUFFERS];
    bool streaming;
};

/* Opens and starts it. ERR_NOT_FOUND (no such device), ERR_DENIED, ERR_AGAIN (in use), ERR_UNSUPPORTED,
 * ERR_LIMIT (pictures too large), ERR_IO; closed then. */
int  v4l2_device_open(struct v4l2_device *device, const struct v4l2_address *address,
                      const struct v4l2_system *system, struct why *why);
void v4l2_device_close(struct v4l2_device *device);

/* To be freed by the caller; NULL when out of memory. */
AVCodecParameters *v4l2_device_parameters(const struct v4l2_device *device);

/* The next picture, with its time in microseconds of the monotonic clock as pts. 1: there was one; 0: none
 * yet, or one that the device calls damaged (counted in *damaged); ERR_CLOSED: the device is gone;
 * ERR_IO, ERR_MEMORY. */
int v4l2_device_next(struct v4l2_device *device, AVPacket *packet, uint64_t *damaged,
                     struct why *why);

#endif
