// links: camera
// Cameras at this machine's own ports: addresses, what the kernel says of devices that are none, and a camera on a
// simulated driver that is plugged in, unplugged, busy and forbidden. No real camera takes part.
#include "tests/camera_watch.h"

#include "config/err.h"
#include "server/camera/source_v4l2.h"

#include <errno.h>
#include <libavcodec/avcodec.h>
#include <linux/videodev2.h>
#include <sys/eventfd.h>

/* ---- a driver that does what the test says ---- */

#define STRIDE 400 /* of rows of 160 or 320 bytes */
#define WIDTH  160
#define HEIGHT 120
#define LENGTH (STRIDE * HEIGHT * 2)

static struct {
    pthread_mutex_t lock; /* the worker opens, the loop takes pictures */
    uint32_t        format;
    uint32_t        capabilities;
    int             open_error; /* errno; 0: it is there */
    bool            gone, streaming, bad_index;
    int             opened, closed, mapped;
    int             fd;
    uint8_t        *memory[V4L2_BUFFERS];
    bool            queued[V4L2_BUFFERS];
    int             filled[V4L2_BUFFERS], first, count;
    size_t          used[V4L2_BUFFERS];
    uint32_t        flags[V4L2_BUFFERS];
    int             fps;
} driver = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

static int fail_with(int error)
{
    errno = error;
    return -1;
}

static int driver_open(const char *path)
{
    int fd = -1;

    pthread_mutex_lock(&driver.lock);
    if (strcmp(path, "/dev/video7") != 0)
        errno = ENOENT;
    else if (driver.open_error != 0)
        errno = driver.open_error;
    else
        fd = driver.fd = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE | EFD_CLOEXEC);
    driver.opened += fd >= 0;
    pthread_mutex_unlock(&driver.lock);
    return fd;
}

static void driver_close(int fd)
{
    pthread_mutex_lock(&driver.lock);
    close(fd);
    driver.fd        = -1;
    driver.streaming = false;
    driver.closed++;
    driver.count = 0;
    memset(driver.queued, 0, sizeof driver.queued);
    pthread_mutex_unlock(&driver.lock);
}

static void *driver_map(size_t bytes, int fd, off_t offset)
{
    void *at = calloc(1, bytes);

    (void)fd;
    pthread_mutex_lock(&driver.lock);
    driver.memory[offset / LENGTH] = at;
    driver.mapped++;
    pthread_mutex_unlock(&driver.lock);
    return at;
}

static void driver_unmap(void *at, size_t bytes)
{
    (void)bytes;
    pthread_mutex_lock(&driver.lock);
    driver.mapped--;
    pthread_mutex_unlock(&driver.lock);
    free(at);
}

static int take_filled(struct v4l2_buffer *buffer)
{
    uint64_t one;
    int      index;

    if (driver.gone)
        return fail_with(ENODEV);
    if (driver.count == 0)
        return fail_with(EAGAIN);
    if (read(driver.fd, &one, sizeof one) != sizeof one)
        return fail_with(EIO);
    index        = driver.filled[driver.first];
    driver.first = (driver.first + 1) % V4L2_BUFFERS;
    driver.count -= 1;
    buffer->index             = driver.bad_index ? 17 : (uint32_t)index;
    buffer->bytesused         = (uint32_t)driver.used[index];
    buffer->flags             = driver.flags[index] | V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    buffer->timestamp.tv_sec  = clock_monotonic_ns() / NS_PER_S;
    buffer->timestamp.tv_usec = clock_monotonic_ns() % NS_PER_S / 1000;
    return 0;
}

static int answer(unsigned long request, void *argument)
{
    struct v4l2_capability *capability = argument;
    struct v4l2_fmtdesc    *listed     = argument;
    struct v4l2_format     *format     = argument;
    struct v4l2_buffer     *buffer     = argument;
    struct v4l2_streamparm *parm       = argument;

    switch (request) {
    case VIDIOC_QUERYCAP:
        capability->capabilities = driver.capabilities | V4L2_CAP_DEVICE_CAPS;
        capability->device_caps  = driver.capabilities;
        return 0;
    case VIDIOC_ENUM_FMT:
        if (listed->index > 1)
            return fail_with(EINVAL);
        listed->pixelformat = listed->index == 0 ? V4L2_PIX_FMT_SBGGR8 : driver.format;
        return 0;
    case VIDIOC_S_FMT: /* the driver has one size */
        format->fmt.pix.width        = WIDTH;
        format->fmt.pix.height       = HEIGHT;
        format->fmt.pix.bytesperline = STRIDE;
        return 0;
    case VIDIOC_S_PARM:
        driver.fps = (int)parm->parm.capture.timeperframe.denominator;
        return 0;
    case VIDIOC_REQBUFS:
        return 0;
    case VIDIOC_QUERYBUF:
        buffer->length   = LENGTH;
        buffer->m.offset = buffer->index * LENGTH;
        return 0;
    case VIDIOC_QBUF:
        driver.queued[buffer->index] = true;
        return driver.gone ? fail_with(ENODEV) : 0;
    case VIDIOC_DQBUF:
        return take_filled(buffer);
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF:
        driver.streaming = request == VIDIOC_STREAMON;
        return 0;
    default:
        return fail_with(ENOTTY);
    }
}

static int driver_control(int fd, unsigned long request, void *argument)
{
    int rc;

    (void)fd;
    pthread_mutex_lock(&driver.lock);
    rc = answer(request, argument);
    pthread_mutex_unlock(&driver.lock);
    return rc;
}

static const struct v4l2_system SIMULATED = {driver_open, driver_control, driver_map, driver_unmap,
                                             driver_close};

/* A picture into the first buffer that waits for one; false: none does. */
static bool shoot(const void *bytes, size_t count, uint32_t flags)
{
    uint64_t one  = 1;
    bool     done = false;

    pthread_mutex_lock(&driver.lock);
    for (int i = 0; i < V4L2_BUFFERS && driver.streaming && !done; i++) {
        if (!driver.queued[i])
            continue;
        driver.queued[i] = false;
        memcpy(driver.memory[i], bytes, count);
        driver.used[i]                                                = count;
        driver.flags[i]                                               = flags;
        driver.filled[(driver.first + driver.count++) % V4L2_BUFFERS] = i;
        done = write(driver.fd, &one, sizeof one) == sizeof one;
    }
    pthread_mutex_unlock(&driver.lock);
    return done;
}

static bool all_closed(void)
{
    bool closed;

    pthread_mutex_lock(&driver.lock);
    closed = driver.closed == driver.opened;
    pthread_mutex_unlock(&driver.lock);
    return closed;
}

static void unplug(void)
{
    uint64_t one = 1;

    pthread_mutex_lock(&driver.lock);
    driver.gone       = true;
    driver.open_error = ENODEV;
    ok(write(driver.fd, &one, sizeof one) == sizeof one, "the kernel wakes who waits");
    pthread_mutex_unlock(&driver.lock);
}

static void reset_driver(uint32_t format)
{
    driver.format       = format;
    driver.capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
    driver.open_error   = 0;
    driver.gone = driver.bad_index = false;
    driver.opened = driver.closed = 0;
}

static uint8_t picture[LENGTH];

/* Rows with what is no picture behind them. */
static size_t draw(size_t row, size_t rows)
{
    memset(picture, 0xee, sizeof picture);
    for (size_t y = 0; y < rows; y++) {
        for (size_t x = 0; x < row; x++)
            picture[y * STRIDE + x] = (uint8_t)((x + y) & 0x7f);
    }
    return STRIDE * rows;
}

/* ---- tests ---- */

static void test_addresses(void)
{
    static const char *const WRONG[] = {"/dev/video",
                                        "/dev/video1/..",
                                        "/dev/video0x",
                                        "/dev/videos",
                                        "/dev/video12345",
                                        "v4l2:///dev/sda",
                                        "v4l2:///etc/passwd",
                                        "v4l2://dev/video0",
                                        "v4l2://",
                                        "/dev/video0?fps=15",
                                        "v4l2:///dev/video-1",
                                        "v4l2:///dev/video0?fps=0",
                                        "v4l2:///dev/video0?size=1280",
                                        "v4l2:///dev/video0?size=0x0",
                                        "v4l2:///dev/video0?size=99999x720",
                                        "v4l2:///dev/video0?fps=15fps",
                                        "v4l2:///dev/video0?input=/etc/passwd",
                                        "v4l2:///dev/video0?fps=+5"};
    const struct source_ops *ops;
    struct v4l2_address      address;
    struct why               why;

    is_int(v4l2_address_parse(&address, "/dev/video0", &why), 0, "a path");
    is_text(address.path, "/dev/video0", "is the device");
    ok(address.width_px == 1280 && address.height_px == 720 && address.fps == 0, "with defaults");
    is_int(v4l2_address_parse(&address, "v4l2:///dev/video12?size=640x480&fps=15", &why), 0,
           "an address with all that it may have");
    is_text(address.path, "/dev/video12", "its device");
    ok(address.width_px == 640 && address.height_px == 480 && address.fps == 15,
       "its size and rate");
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        ok(v4l2_address_parse(&address, WRONG[i], &why) < 0, "refused: %s", WRONG[i]);
    ok(source_choose(&ops, "/dev/video3", &why) == 0 && ops == &source_v4l2, "a device is no file");
    ok(source_choose(&ops, "v4l2:///dev/video3", &why) == 0 && ops == &source_v4l2, "nor that");
}

static int open_real(const char *path, struct why *why)
{
    struct v4l2_address address = {.width_px = 640, .height_px = 480};
    struct v4l2_device  device;
    int                 rc;

    snprintf(address.path, sizeof address.path, "%s", path);
    rc = v4l2_device_open(&device, &address, &v4l2_kernel, why);
    v4l2_device_close(&device);
    return rc;
}

static void test_real_kernel(void)
{
    char       link[32] = "/tmp/v4l2-XXXXXX";
    struct why why;
    int        fd = mkstemp(link);

    is_int(open_real("/dev/video963", &why), ERR_NOT_FOUND, "no such device");
    is_text(why.text, "there is no camera at /dev/video963", "is said");
    is_int(open_real("/dev/null", &why), ERR_UNSUPPORTED, "a device of another kind");
    is_text(why.text, "/dev/null is no camera", "is said");
    is_int(open_real(link, &why), ERR_NOT_FOUND, "a file is no device");
    close(fd);
    unlink(link);
    if (symlink("/dev/null", link) == 0)
        is_int(open_real(link, &why), ERR_NOT_FOUND, "a link is not followed");
    unlink(link);
}

static void check_rows(const AVPacket *packet, size_t row, size_t rows, const char *what)
{
    bool same = (size_t)packet->size == row * rows;

    for (size_t y = 0; y < rows && same; y++)
        same = memcmp(packet->data + y * row, picture + y * STRIDE, row) == 0;
    ok(same, "%s: the rows, without what is behind them", what);
}

static void test_raw(uint32_t format, size_t row, size_t rows, const char *what)
{
    struct v4l2_address address = {.path = "/dev/video7", .width_px = 9, .height_px = 9, .fps = 15};
    AVPacket           *packet  = av_packet_alloc();
    uint64_t            damaged = 0;
    struct v4l2_device  device;
    AVCodecParameters  *parameters;
    struct why          why = {""};
    size_t              bytes;

    reset_driver(format);
    is_int(v4l2_device_open(&device, &address, &SIMULATED, &why), 0, "%s: opens %s", what,
           why.text);
    ok(device.width_px == WIDTH && device.height_px == HEIGHT && device.rate.num == 15 &&
           driver.fps == 15,
       "%s: the driver's size, the wanted rate", what);
    parameters = v4l2_device_parameters(&device);
    ok(parameters->codec_id == AV_CODEC_ID_RAWVIDEO && parameters->width == WIDTH, "%s: raw", what);
    avcodec_parameters_free(&parameters);
    is_int(v4l2_device_next(&device, packet, &damaged, &why), 0, "%s: nothing yet", what);
    bytes = draw(row, rows);
    ok(shoot(picture, bytes, 0), "%s: a picture", what);
    is_int(v4l2_device_next(&device, packet, &damaged, &why), 1, "%s: comes", what);
    check_rows(packet, row, rows, what);
    av_packet_unref(packet);
    ok(shoot(picture, bytes - (STRIDE - row), 0), "%s: one without the end of its last row", what);
    is_int(v4l2_device_next(&device, packet, &damaged, &why), 1, "%s: is whole", what);
    check_rows(packet, row, rows, what);
    av_packet_unref(packet);
    ok(shoot(picture, bytes / 2, 0) && shoot(picture, bytes, V4L2_BUF_FLAG_ERROR),
       "%s: half a picture, and one that the driver calls damaged", what);
    is_int(v4l2_device_next(&device, packet, &damaged, &why), 0, "%s: the first is not given out",
           what);
    is_int(v4l2_device_next(&device, packet, &damaged, &why), 0, "%s: nor the second", what);
    ok(damaged == 2 && packet->size == 0, "%s: both are counted", what);
    driver.bad_index = true;
    ok(shoot(picture, bytes, 0) && v4l2_device_next(&device, packet, &damaged, &why) == ERR_IO,
       "%s: a buffer that there is not", what);
    v4l2_device_close(&device);
    ok(driver.mapped == 0 && driver.closed == 1 && !driver.streaming, "%s: all is given back",
       what);
    av_packet_free(&packet);
}

static size_t make_jpeg(uint8_t *bytes, size_t room)
{
    AVCodecContext *encoder = avcodec_alloc_context3(avcodec_find_encoder(AV_CODEC_ID_MJPEG));
    AVFrame        *frame   = av_frame_alloc();
    AVPacket       *packet  = av_packet_alloc();
    size_t          used    = 0;

    frame->format = encoder->pix_fmt = AV_PIX_FMT_YUVJ420P;
    frame->width = encoder->width = WIDTH;
    frame->height = encoder->height = HEIGHT;
    encoder->time_base              = (AVRational){1, 25};
    if (av_frame_get_buffer(frame, 0) == 0 && avcodec_open2(encoder, NULL, NULL) == 0) {
        clip_draw(frame, 1);
        if (avcodec_send_frame(encoder, frame) == 0 &&
            avcodec_receive_packet(encoder, packet) == 0 && (size_t)packet->size <= room) {
            used = (size_t)packet->size;
            memcpy(bytes, packet->data, used);
        }
    }
    av_packet_free(&packet);
    av_frame_free(&frame);
    avcodec_free_context(&encoder);
    return used;
}

static const struct camera_tuning QUICK = {.connect_ms     = 2000,
                                           .stall_ms       = 2000,
                                           .stall_grace_ms = 1000,
                                           .backoff_min_ms = 10,
                                           .backoff_max_ms = 20,
                                           .good_ms        = 100000,
                                           .seed           = 1};

static void test_camera(uint32_t format, size_t bytes, const char *codec)
{
    struct camera      *camera;
    struct camera_stats stats;

    reset_driver(format);
    source_v4l2_system(&SIMULATED);
    camera = open_camera("v4l2:///dev/video7?fps=15", PACE_REAL_TIME, false, &QUICK);
    camera_start(camera, 0);
    RUN_UNTIL((shoot(picture, bytes, 0), atomic_load(&frames) >= 5));
    stats = stats_of(camera);
    is_int(stats.state, CAMERA_STREAMING, "%s: streams", codec);
    is_text(stats.codec, codec, "%s: is the codec", codec);
    is_text(stats.transport, "v4l2", "%s: by V4L2", codec);
    ok(stats.width_px == WIDTH && stats.height_px == HEIGHT, "%s: the driver's size", codec);
    unplug();
    RUN_UNTIL(stats_of(camera).state == CAMERA_BACKOFF);
    stats = stats_of(camera);
    ok(strstr(stats.reason, "unplugged") != NULL, "%s: unplugged: %s", codec, stats.reason);
    RUN_UNTIL(strstr(stats_of(camera).reason, "there is no camera at /dev/video7") != NULL);
    is_int(stats_of(camera).state, CAMERA_BACKOFF, "%s: it is looked for again", codec);
    pthread_mutex_lock(&driver.lock);
    driver.gone       = false;
    driver.open_error = 0;
    pthread_mutex_unlock(&driver.lock);
    atomic_store(&frames, 0);
    RUN_UNTIL((shoot(picture, bytes, 0), atomic_load(&frames) >= 5));
    stats = stats_of(camera);
    ok(stats.state == CAMERA_STREAMING && stats.reconnects == 1, "%s: plugged in, it plays", codec);
    camera_close(&camera);
    RUN_UNTIL(all_closed());
    is_int(driver.mapped, 0, "%s: all is given back", codec);
}

static void check_reason(const char *url, int error, const char *words)
{
    struct camera *camera;

    reset_driver(V4L2_PIX_FMT_YUYV);
    driver.open_error = error;
    camera            = open_camera(url, PACE_REAL_TIME, false, &QUICK);
    camera_start(camera, 0);
    RUN_UNTIL(stats_of(camera).state == CAMERA_BACKOFF);
    ok(strstr(stats_of(camera).reason, words) != NULL, "%s", stats_of(camera).reason);
    camera_close(&camera);
}

static void test_refusals(void)
{
    struct settings_camera settings;
    struct camera         *camera;
    struct why             why;

    check_reason("/dev/video7", EBUSY, "another program uses");
    check_reason("/dev/video7", EACCES, "group video");
    check_reason("v4l2:///dev/mem", 0, "/dev/video0 or another number");
    check_reason("v4l2:///dev/video7?fps=x", 0, "fps=15");
    reset_driver(V4L2_PIX_FMT_YUYV);
    driver.capabilities = V4L2_CAP_META_CAPTURE | V4L2_CAP_STREAMING;
    camera              = open_camera("/dev/video7", PACE_REAL_TIME, false, &QUICK);
    camera_start(camera, 0);
    RUN_UNTIL(stats_of(camera).state == CAMERA_BACKOFF);
    ok(strstr(stats_of(camera).reason, "gives no video") != NULL, "%s", stats_of(camera).reason);
    camera_close(&camera);
    reset_driver(V4L2_PIX_FMT_SBGGR8);
    camera = open_camera("/dev/video7", PACE_REAL_TIME, false, &QUICK);
    camera_start(camera, 0);
    RUN_UNTIL(stats_of(camera).state == CAMERA_BACKOFF);
    ok(strstr(stats_of(camera).reason, "neither MJPEG") != NULL, "%s", stats_of(camera).reason);
    camera_close(&camera);
    reset_driver(V4L2_PIX_FMT_YUYV);
    settings_camera_default(&settings);
    memcpy(settings.name, "desk", sizeof "desk");
    memcpy(settings.url, "/dev/video7", sizeof "/dev/video7");
    settings.reach = SETTINGS_REACH_PRIVATE;
    ok(camera_open(&camera, &loop, pool, &settings, 3, &SINK, &why) == 0, "a camera");
    camera_start(camera, 0);
    RUN_UNTIL(stats_of(camera).state == CAMERA_BACKOFF);
    ok(strstr(stats_of(camera).reason, "cameras_allowed") != NULL && driver.opened == 0, "%s",
       stats_of(camera).reason);
    camera_close(&camera);
    /* While the worker is still opening it, and before anything has begun. */
    for (int turns = 0; turns < 4; turns++) {
        camera = open_camera("/dev/video7", PACE_REAL_TIME, false, &QUICK);
        camera_start(camera, 0);
        for (int i = 0; i < turns; i++)
            uv_run(&loop, UV_RUN_NOWAIT);
        camera_close(&camera);
    }
    RUN_UNTIL(all_closed());
    is_int(driver.mapped, 0, "closed at any time, all is given back");
}

int main(void)
{
    open_loop();
    test_addresses();
    test_real_kernel();
    test_raw(V4L2_PIX_FMT_YUYV, WIDTH * 2, HEIGHT, "YUYV");
    test_raw(V4L2_PIX_FMT_NV12, WIDTH, HEIGHT + HEIGHT / 2, "NV12");
    test_camera(V4L2_PIX_FMT_YUYV, draw(WIDTH * 2, HEIGHT), "rawvideo");
    test_camera(V4L2_PIX_FMT_NV12, draw(WIDTH, HEIGHT + HEIGHT / 2), "rawvideo");
    test_camera(V4L2_PIX_FMT_MJPEG, make_jpeg(picture, sizeof picture), "mjpeg");
    test_refusals();
    return close_loop();
}
