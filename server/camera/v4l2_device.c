#include "server/camera/v4l2_device.h"

#include "config/clock.h"
#include "config/err.h"
#include "config/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCHEME        "v4l2://"
#define FOLDER        "/dev/video"
#define FPS_MAX       240
#define FORMATS_MAX   64         /* that a device is asked for */
#define PICTURE_BYTES (64 << 20) /* a driver's buffer; 8192 x 4096 in YUYV */

/* In the order in which they are wanted. */
static const uint32_t WANTED[] = {V4L2_PIX_FMT_MJPEG, V4L2_PIX_FMT_JPEG, V4L2_PIX_FMT_NV12,
                                  V4L2_PIX_FMT_YUYV};
#define WANTED_COUNT (int)(sizeof WANTED / sizeof WANTED[0])

/* ---- addresses ---- */

bool v4l2_address_is(const char *text)
{
    return strncmp(text, SCHEME, strlen(SCHEME)) == 0 || strncmp(text, FOLDER, strlen(FOLDER)) == 0;
}

/* 1..limit, no sign, nothing before it; *rest is what follows. */
static bool take_number(const char *text, long limit, int *number, const char **rest)
{
    char *end;
    long  value;

    if (*text < '1' || *text > '9')
        return false;
    value   = strtol(text, &end, 10);
    *rest   = end;
    *number = (int)value;
    return value <= limit;
}

static int take_option(struct v4l2_address *address, const char *text, size_t bytes,
                       struct why *why)
{
    char        option[32];
    const char *rest = "";

    snprintf(option, sizeof option, "%.*s", (int)bytes, text);
    if (bytes < sizeof option && strncmp(option, "size=", 5) == 0 &&
        take_number(option + 5, LIMIT_PICTURE_PX, &address->width_px, &rest) && *rest == 'x' &&
        take_number(rest + 1, LIMIT_PICTURE_PX, &address->height_px, &rest) && *rest == '\0')
        return 0;
    if (bytes < sizeof option && strncmp(option, "fps=", 4) == 0 &&
        take_number(option + 4, FPS_MAX, &address->fps, &rest) && *rest == '\0')
        return 0;
    return why_set(why, ERR_INVALID,
                   "a v4l2:// address takes size=1280x720 and fps=15 behind its '?'");
}

int v4l2_address_parse(struct v4l2_address *address, const char *text, struct why *why)
{
    bool        has_scheme = strncmp(text, SCHEME, strlen(SCHEME)) == 0;
    const char *path       = has_scheme ? text + strlen(SCHEME) : text;
    size_t      bytes      = has_scheme ? strcspn(path, "?") : strlen(path);
    const char *option     = path[bytes] == '?' ? path + bytes + 1 : "";
    size_t      folder     = strlen(FOLDER);

    memset(address, 0, sizeof *address);
    address->width_px  = V4L2_DEFAULT_WIDTH;
    address->height_px = V4L2_DEFAULT_HEIGHT;
    if (bytes <= folder || bytes > folder + 3 || strncmp(path, FOLDER, folder) != 0 ||
        strspn(path + folder, "0123456789") != bytes - folder)
        return why_set(why, ERR_DENIED,
                       "a camera of this machine is /dev/video0 or another number");
    memcpy(address->path, path, bytes);
    while (*option != '\0') {
        size_t length = strcspn(option, "&");
        int    rc     = take_option(address, option, length, why);
        if (rc != 0)
            return rc;
        option += length + (option[length] == '&');
    }
    return 0;
}

/* ---- the kernel ---- */

/* No link is followed, and nothing but a character device is opened. */
static int kernel_open(const char *path)
{
    struct stat status;
    int         fd;

    if (lstat(path, &status) != 0)
        return -1;
    if (!S_ISCHR(status.st_mode)) {
        errno = ENODEV;
        return -1;
    }
    fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
    if (fd >= 0 && (fstat(fd, &status) != 0 || !S_ISCHR(status.st_mode))) {
        close(fd);
        errno = ENODEV;
        return -1;
    }
    return fd;
}

static int kernel_control(int fd, unsigned long request, void *argument)
{
    int rc;

    do {
        rc = ioctl(fd, request, argument);
    } while (rc < 0 && errno == EINTR);
    return rc;
}

static void *kernel_map(size_t bytes, int fd, off_t offset)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);

    return at == MAP_FAILED ? NULL : at;
}

static void kernel_unmap(void *at, size_t bytes)
{
    munmap(at, bytes);
}

static void kernel_close(int fd)
{
    close(fd);
}

const struct v4l2_system v4l2_kernel = {kernel_open, kernel_control, kernel_map, kernel_unmap,
                                        kernel_close};

/* ---- the device ---- */

static int control(const struct v4l2_device *device, unsigned long request, void *argument)
{
    return device->system->control(device->fd, request, argument);
}

static int why_errno(struct why *why, const char *path)
{
    switch (errno) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
        return why_set(why, ERR_NOT_FOUND, "there is no camera at %s", path);
    case EACCES:
    case EPERM:
        return why_set(why, ERR_DENIED,
                       "the server may not open %s: its user belongs into the group video", path);
    case EBUSY:
        return why_set(why, ERR_AGAIN, "another program uses %s", path);
    default:
        return why_set(why, ERR_IO, "%s: %s", path, strerror(errno));
    }
}

static int check_kind(const struct v4l2_device *device, const char *path, struct why *why)
{
    struct v4l2_capability capability;
    uint32_t               can;

    memset(&capability, 0, sizeof capability);
    if (control(device, VIDIOC_QUERYCAP, &capability) != 0)
        return errno == ENOTTY || errno == EINVAL
                   ? why_set(why, ERR_UNSUPPORTED, "%s is no camera", path)
                   : why_errno(why, path);
    can = (capability.capabilities & V4L2_CAP_DEVICE_CAPS) != 0 ? capability.device_caps
                                                                : capability.capabilities;
    if ((can & V4L2_CAP_VIDEO_CAPTURE) == 0 || (can & V4L2_CAP_STREAMING) == 0)
        return why_set(why, ERR_UNSUPPORTED,
                       "%s gives no video (many cameras have a second device for other data: try "
                       "another number)",
                       path);
    return 0;
}

/* The best format that the device lists; 0: none. */
static uint32_t best_format(const struct v4l2_device *device)
{
    int best = WANTED_COUNT;

    for (uint32_t i = 0; i < FORMATS_MAX; i++) {
        struct v4l2_fmtdesc listed;

        memset(&listed, 0, sizeof listed);
        listed.index = i;
        listed.type  = V4L2_BUF_TYPE_VIDEO_CAPTURE;
        if (control(device, VIDIOC_ENUM_FMT, &listed) != 0)
            break;
        for (int j = 0; j < best; j++) {
            if (listed.pixelformat == WANTED[j])
                best = j;
        }
    }
    return best < WANTED_COUNT ? WANTED[best] : 0;
}

static bool is_raw(uint32_t format)
{
    return format == V4L2_PIX_FMT_NV12 || format == V4L2_PIX_FMT_YUYV;
}

static size_t row_bytes(const struct v4l2_device *device)
{
    return (size_t)device->width_px * (device->format == V4L2_PIX_FMT_YUYV ? 2 : 1);
}

static size_t row_count(const struct v4l2_device *device)
{
    size_t height = (size_t)device->height_px;

    return device->format == V4L2_PIX_FMT_NV12 ? height + height / 2 : height;
}

/* What the driver made of what was asked for is what counts. */
static int set_format(struct v4l2_device *device, const struct v4l2_address *address,
                      struct why *why)
{
    struct v4l2_format asked;

    memset(&asked, 0, sizeof asked);
    asked.type                = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    asked.fmt.pix.width       = (uint32_t)address->width_px;
    asked.fmt.pix.height      = (uint32_t)address->height_px;
    asked.fmt.pix.pixelformat = best_format(device);
    asked.fmt.pix.field       = V4L2_FIELD_ANY;
    if (asked.fmt.pix.pixelformat == 0)
        return why_set(why, ERR_UNSUPPORTED, "%s offers neither MJPEG nor NV12 nor YUYV",
                       address->path);
    device->format = asked.fmt.pix.pixelformat;
    if (control(device, VIDIOC_S_FMT, &asked) != 0)
        return why_errno(why, address->path);
    if (asked.fmt.pix.pixelformat != device->format)
        return why_set(why, ERR_UNSUPPORTED, "%s does not give what it offers", address->path);
    if (asked.fmt.pix.width == 0 || asked.fmt.pix.width > LIMIT_PICTURE_PX ||
        asked.fmt.pix.height == 0 || asked.fmt.pix.height > LIMIT_PICTURE_PX)
        return why_set(why, ERR_LIMIT, "%s gives pictures of %ux%u", address->path,
                       asked.fmt.pix.width, asked.fmt.pix.height);
    device->width_px     = (int)asked.fmt.pix.width;
    device->height_px    = (int)asked.fmt.pix.height;
    device->stride_bytes = !is_raw(device->format) ? 0
                           : asked.fmt.pix.bytesperline > row_bytes(device)
                               ? asked.fmt.pix.bytesperline
                               : row_bytes(device);
    return 0;
}

/* Many devices know one rate: what cannot be set is taken as it comes. */
static void set_rate(struct v4l2_device *device, const struct v4l2_address *address)
{
    struct v4l2_streamparm asked;

    memset(&asked, 0, sizeof asked);
    asked.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    if (address->fps > 0) {
        asked.parm.capture.timeperframe = (struct v4l2_fract){1, (uint32_t)address->fps};
        if (control(device, VIDIOC_S_PARM, &asked) != 0)
            return;
    } else if (control(device, VIDIOC_G_PARM, &asked) != 0) {
        return;
    }
    if (asked.parm.capture.timeperframe.numerator > 0 &&
        asked.parm.capture.timeperframe.numerator <= INT32_MAX &&
        asked.parm.capture.timeperframe.denominator > 0 &&
        asked.parm.capture.timeperframe.denominator <= INT32_MAX)
        device->rate = (AVRational){(int)asked.parm.capture.timeperframe.denominator,
                                    (int)asked.parm.capture.timeperframe.numerator};
}

static int map_buffer(struct v4l2_device *device, uint32_t index)
{
    struct v4l2_buffer buffer;
    uint8_t           *at;

    memset(&buffer, 0, sizeof buffer);
    buffer.type   = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    buffer.memory = V4L2_MEMORY_MMAP;
    buffer.index  = index;
    if (control(device, VIDIOC_QUERYBUF, &buffer) != 0)
        return -1;
    if (buffer.length == 0 || buffer.length > PICTURE_BYTES) {
        errno = EOVERFLOW;
        return -1;
    }
    at = device->system->map(buffer.length, device->fd, (off_t)buffer.m.offset);
    if (at == NULL)
        return -1;
    device->buffer[index].at    = at;
    device->buffer[index].bytes = buffer.length;
    device->buffers++;
    return control(device, VIDIOC_QBUF, &buffer);
}

static int start(struct v4l2_device *device, const char *path, struct why *why)
{
    struct v4l2_requestbuffers asked;
    int                        type = V4L2_BUF_TYPE_VIDEO_CAPTURE;

    memset(&asked, 0, sizeof asked);
    asked.type   = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    asked.memory = V4L2_MEMORY_MMAP;
    asked.count  = V4L2_BUFFERS;
    if (control(device, VIDIOC_REQBUFS, &asked) != 0)
        return why_errno(why, path);
    if (asked.count < 2)
        return why_set(why, ERR_IO, "%s has no memory for pictures", path);
    for (uint32_t i = 0; i < asked.count && i < V4L2_BUFFERS; i++) {
        if (map_buffer(device, i) != 0)
            return why_errno(why, path);
    }
    if (control(device, VIDIOC_STREAMON, &type) != 0)
        return why_errno(why, path);
    device->streaming = true;
    return 0;
}

int v4l2_device_open(struct v4l2_device *device, const struct v4l2_address *address,
                     const struct v4l2_system *system, struct why *why)
{
    int rc;

    memset(device, 0, sizeof *device);
    device->system = system;
    device->rate   = (AVRational){0, 1};
    device->fd     = system->open_device(address->path);
    if (device->fd < 0)
        return why_errno(why, address->path);
    rc = check_kind(device, address->path, why);
    if (rc == 0)
        rc = set_format(device, address, why);
    if (rc == 0) {
        set_rate(device, address);
        rc = start(device, address->path, why);
    }
    if (rc != 0)
        v4l2_device_close(device);
    return rc;
}

void v4l2_device_close(struct v4l2_device *device)
{
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;

    if (device->system == NULL || device->fd < 0)
        return;
    if (device->streaming)
        control(device, VIDIOC_STREAMOFF, &type);
    for (int i = 0; i < device->buffers; i++)
        device->system->unmap(device->buffer[i].at, device->buffer[i].bytes);
    device->system->close_device(device->fd);
    device->buffers   = 0;
    device->streaming = false;
    device->fd        = -1;
}

AVCodecParameters *v4l2_device_parameters(const struct v4l2_device *device)
{
    AVCodecParameters *parameters = avcodec_parameters_alloc();

    if (parameters == NULL)
        return NULL;
    parameters->codec_type = AVMEDIA_TYPE_VIDEO;
    parameters->codec_id   = is_raw(device->format) ? AV_CODEC_ID_RAWVIDEO : AV_CODEC_ID_MJPEG;
    parameters->width      = device->width_px;
    parameters->height     = device->height_px;
    if (is_raw(device->format)) {
        parameters->format    = device->format == V4L2_PIX_FMT_NV12 ? AV_PIX_FMT_NV12
                                                                    : AV_PIX_FMT_YUYV422;
        parameters->codec_tag = device->format;
    }
    return parameters;
}

/* The driver's buffer goes back at once, and a queue may hold the packet for long: so it is copied. */
static int copy_picture(const struct v4l2_device *device, const struct v4l2_buffer *filled,
                        AVPacket *packet)
{
    const uint8_t *from = device->buffer[filled->index].at;
    size_t         row  = row_bytes(device);
    size_t         rows = row_count(device);

    if (!is_raw(device->format)) {
        if (av_new_packet(packet, (int)filled->bytesused) != 0)
            return ERR_MEMORY;
        memcpy(packet->data, from, filled->bytesused);
        return 1;
    }
    /* The last row may come without its padding. */
    if (filled->bytesused < device->stride_bytes * (rows - 1) + row)
        return 0;
    if (av_new_packet(packet, (int)(row * rows)) != 0)
        return ERR_MEMORY;
    for (size_t y = 0; y < rows; y++)
        memcpy(packet->data + y * row, from + y * device->stride_bytes, row);
    return 1;
}

static int64_t time_of(const struct v4l2_buffer *filled)
{
    if ((filled->flags & V4L2_BUF_FLAG_TIMESTAMP_MASK) != V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC)
        return clock_monotonic_ns() / 1000;
    return (int64_t)filled->timestamp.tv_sec * 1000000 + filled->timestamp.tv_usec;
}

int v4l2_device_next(struct v4l2_device *device, AVPacket *packet, uint64_t *damaged,
                     struct why *why)
{
    struct v4l2_buffer filled;
    int                rc = 0;

    memset(&filled, 0, sizeof filled);
    filled.type   = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    filled.memory = V4L2_MEMORY_MMAP;
    if (control(device, VIDIOC_DQBUF, &filled) != 0) {
        if (errno == EAGAIN)
            return 0;
        if (errno == ENODEV || errno == ENXIO || errno == EPIPE)
            return why_set(why, ERR_CLOSED, "the camera was unplugged");
        return why_set(why, ERR_IO, "the camera's driver: %s", strerror(errno));
    }
    if (filled.index >= (uint32_t)device->buffers)
        return why_set(why, ERR_IO, "the camera's driver gives a buffer that there is not");
    if ((filled.flags & V4L2_BUF_FLAG_ERROR) == 0 && filled.bytesused > 0 &&
        filled.bytesused <= device->buffer[filled.index].bytes)
        rc = copy_picture(device, &filled, packet);
    if (rc == 0)
        ++*damaged;
    if (rc == 1) {
        packet->pts = packet->dts = time_of(&filled);
        packet->flags |= AV_PKT_FLAG_KEY;
    }
    if (control(device, VIDIOC_QBUF, &filled) != 0) {
        av_packet_unref(packet);
        return why_set(why, errno == ENODEV ? ERR_CLOSED : ERR_IO, "%s",
                       errno == ENODEV ? "the camera was unplugged" : "the camera's driver failed");
    }
    return rc == ERR_MEMORY ? why_set(why, rc, "out of memory") : rc;
}
