/* A camera at this machine's own port: its device is opened, started and closed on a worker, as a USB
 * camera takes its time for that; its pictures are taken on the loop when the kernel says that there is one. */
#include "server/camera/source_v4l2.h"

#include "config/clock.h"
#include "config/err.h"
#include "server/camera/camera_url.h"
#include "server/camera/source.h"

#include <stdlib.h>
#include <string.h>

#define PICTURES_PER_WAKE V4L2_BUFFERS /* then others of the loop have their turn */

struct v4l2_source {
    struct source          base;
    struct source_events   events;
    uv_loop_t             *loop;
    uv_work_t              work;
    uv_poll_t              poll;
    uv_timer_t             begin; /* events never come from within open */
    bool                   working, polling, closed, ended;
    struct v4l2_address    address;
    struct v4l2_device     device;
    AVPacket              *packet;
    unsigned               reach;
    uint64_t               damaged; /* pictures that the device calls so; none goes on */
    int                    rc;      /* of the worker */
    struct why             why;
    struct source_counters counters;
};

static const struct v4l2_system *current_system;

void source_v4l2_system(const struct v4l2_system *system)
{
    current_system = system;
}

static void end(struct v4l2_source *source, enum source_end how, const char *reason)
{
    if (source->ended || source->closed)
        return;
    source->ended = true;
    source->events.ended(source->events.arg, how, reason);
}

/* ---- closing: the poll, then the device on a worker, then the timer with the memory ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct v4l2_source *source = handle->data;

    av_packet_free(&source->packet);
    free(source);
}

static void close_device(uv_work_t *work)
{
    struct v4l2_source *source = work->data;

    v4l2_device_close(&source->device);
}

static void on_device_closed(uv_work_t *work, int status)
{
    struct v4l2_source *source = work->data;

    if (status != 0)
        v4l2_device_close(&source->device);
    uv_close((uv_handle_t *)&source->begin, on_timer_closed);
}

static void close_on_worker(struct v4l2_source *source)
{
    if (uv_queue_work(source->loop, &source->work, close_device, on_device_closed) != 0)
        on_device_closed(&source->work, UV_ENOMEM);
}

static void on_poll_closed(uv_handle_t *handle)
{
    close_on_worker(handle->data);
}

/* ---- pictures ---- */

static void on_picture(uv_poll_t *poll, int status, int events)
{
    struct v4l2_source *source = poll->data;
    struct why          why    = {""};
    int                 rc     = 0;

    (void)events; /* a device that is gone says so when it is asked */
    for (int i = 0; i < PICTURES_PER_WAKE && !source->closed; i++) {
        int64_t wall_ns;

        rc = v4l2_device_next(&source->device, source->packet, &source->damaged, &why);
        if (rc != 1)
            break;
        wall_ns = clock_wall_ns() - (clock_monotonic_ns() - source->packet->pts * 1000);
        source->counters.packets++;
        source->counters.bytes += (uint64_t)source->packet->size;
        source->events.packet(source->events.arg, source->packet, wall_ns);
        av_packet_unref(source->packet);
    }
    if (source->closed)
        return;
    if (rc == 0 && (status < 0 || (events & UV_DISCONNECT) != 0))
        rc = why_set(&why, ERR_CLOSED, "the camera was unplugged");
    if (rc < 0) {
        uv_poll_stop(poll);
        end(source, rc == ERR_CLOSED ? SOURCE_END_CLOSED : SOURCE_END_ERROR, why.text);
    }
}

static void begin_pictures(struct v4l2_source *source)
{
    AVCodecParameters *parameters = v4l2_device_parameters(&source->device);

    if (parameters == NULL) {
        end(source, SOURCE_END_ERROR, "out of memory");
        return;
    }
    source->events.stream(source->events.arg, parameters, (AVRational){1, 1000000},
                          source->device.rate);
    avcodec_parameters_free(&parameters);
    if (source->closed)
        return;
    if (uv_poll_init(source->loop, &source->poll, source->device.fd) != 0) {
        end(source, SOURCE_END_ERROR, "the camera's device cannot be waited for");
        return;
    }
    source->poll.data = source;
    source->polling   = true;
    uv_poll_start(&source->poll, UV_READABLE | UV_DISCONNECT, on_picture);
}

/* ---- opening ---- */

static void open_device(uv_work_t *work)
{
    struct v4l2_source *source = work->data;

    source->rc = v4l2_device_open(&source->device, &source->address, source->device.system,
                                  &source->why);
}

static void on_opened(uv_work_t *work, int status)
{
    struct v4l2_source *source = work->data;

    source->working = false;
    if (source->closed) {
        close_on_worker(source);
        return;
    }
    if (status != 0)
        source->rc = why_set(&source->why, ERR_CLOSED, "the server is stopping");
    if (source->rc == 0)
        begin_pictures(source);
    else
        end(source,
            source->rc == ERR_NOT_FOUND ? SOURCE_END_UNREACHABLE
            : source->rc == ERR_DENIED  ? SOURCE_END_REFUSED
                                        : SOURCE_END_ERROR,
            source->why.text);
}

static void on_begin(uv_timer_t *timer)
{
    struct v4l2_source *source = timer->data;

    if ((source->reach & CAMERA_URL_LOOPBACK) == 0) {
        end(source, SOURCE_END_REFUSED,
            "the camera is this machine's own, which cameras_allowed (loopback) does not name");
        return;
    }
    source->events.progress(source->events.arg, "opening the device");
    if (source->closed)
        return;
    source->working = uv_queue_work(source->loop, &source->work, open_device, on_opened) == 0;
    if (!source->working)
        end(source, SOURCE_END_ERROR, "no worker");
}

static int open_source(struct source **out, uv_loop_t *loop, const struct settings_camera *settings,
                       const struct source_events *events, struct why *why)
{
    struct v4l2_source *source = calloc(1, sizeof *source);
    int                 rc;

    *out = NULL;
    if (source == NULL || (source->packet = av_packet_alloc()) == NULL) {
        free(source);
        return why_set(why, ERR_MEMORY, "out of memory");
    }
    rc = v4l2_address_parse(&source->address, settings->url, why);
    if (rc != 0) {
        av_packet_free(&source->packet);
        free(source);
        return rc;
    }
    source->base.ops           = &source_v4l2;
    source->events             = *events;
    source->loop               = loop;
    source->reach              = camera_url_settings_reach(settings);
    source->work.data          = source;
    source->device.fd          = -1;
    source->device.system      = current_system != NULL ? current_system : &v4l2_kernel;
    source->counters.transport = "v4l2";
    uv_timer_init(loop, &source->begin);
    source->begin.data = source;
    uv_timer_start(&source->begin, on_begin, 0, 0);
    *out = &source->base;
    return 0;
}

static void close_source(struct source **out)
{
    struct v4l2_source *source = (struct v4l2_source *)*out;

    if (source == NULL)
        return;
    *out           = NULL;
    source->closed = true;
    uv_timer_stop(&source->begin);
    if (source->polling)
        uv_close((uv_handle_t *)&source->poll, on_poll_closed);
    else if (!source->working)
        close_on_worker(source);
}

static void read_counters(const struct source *source, struct source_counters *counters)
{
    const struct v4l2_source *v4l2 = (const struct v4l2_source *)source;

    *counters          = v4l2->counters;
    counters->rtp_lost = v4l2->damaged;
}

const struct source_ops source_v4l2 = {
    .name     = "v4l2",
    .open     = open_source,
    .close    = close_source,
    .counters = read_counters,
};
