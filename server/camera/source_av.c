/* server/camera/source_av.c: RTMP and SRT, by FFmpeg's own network code, in a thread of its own for each camera.
 *
 * The exception to "sources are on the loop": both protocols are rare for cameras and long to write. What
 * is kept of the rules: the name is looked up and judged on the loop and FFmpeg gets the address alone;
 * it may use the one protocol and its container, nothing else; every wait has a limit (the interrupt
 * callback); the queue is bounded; the loop never waits for the thread. Packets are handed over through
 * one lock, taken once for each of them: some 30 a second. */
#include "server/camera/source.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libavformat/avformat.h>
#include <openssl/crypto.h>

#include "config/clock.h"
#include "config/err.h"
#include "server/camera/camera_lookup.h"
#include "server/camera/camera_url.h"

#define RESOLVE_MS    5000
#define CONNECT_NS    (5 * NS_PER_S)
#define SILENCE_NS    (10 * NS_PER_S)
#define QUEUE_PACKETS 256
#define HEAD_PACKETS  1000 /* of other streams, before the first one of video */

struct av_source {
    struct source         base;
    struct source_events  events;
    uv_loop_t            *loop;
    uv_async_t            async;
    struct camera_lookup *lookup;
    struct camera_url     url; /* with user and password */
    uv_thread_t           thread;
    bool                  running; /* the thread is to be joined */
    bool                  closed;  /* by the owner */
    bool                  ended;   /* told */
    atomic_bool           stop;
    _Atomic int64_t       limit_ns; /* of what FFmpeg does now */
    char                  address[LIMIT_URL_BYTES + LIMIT_SECRET_BYTES + LIMIT_NAME_BYTES];
    /* Under the lock, but for what the thread has to itself until it says so: */
    uv_mutex_t             lock;
    uv_cond_t              room;
    AVPacket              *queue[QUEUE_PACKETS];
    int64_t                walls[QUEUE_PACKETS];
    unsigned               first, count;
    AVCodecParameters     *parameters;
    AVRational             time_base, rate;
    bool                   new_stream;
    bool                   over; /* the thread is at its end */
    enum source_end        how;
    char                   reason[160];
    struct source_counters counters;
};

/* ---- the thread ---- */

static int interrupted(void *arg)
{
    struct av_source *av = arg;

    return atomic_load(&av->stop) || clock_monotonic_ns() > atomic_load(&av->limit_ns);
}

static void finish(struct av_source *av, enum source_end how, const char *reason)
{
    uv_mutex_lock(&av->lock);
    av->over = true;
    av->how  = how;
    snprintf(av->reason, sizeof av->reason, "%s", reason);
    uv_mutex_unlock(&av->lock);
    uv_async_send(&av->async);
}

static void finish_by_code(struct av_source *av, int rc, bool opened)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "", reason[160];

    av_strerror(rc, text, sizeof text);
    if (clock_monotonic_ns() > atomic_load(&av->limit_ns))
        finish(av, opened ? SOURCE_END_TIMEOUT : SOURCE_END_UNREACHABLE,
               opened ? "the camera sent nothing for 10 s" : "the camera does not answer");
    else if (rc == AVERROR_EOF)
        finish(av, SOURCE_END_CLOSED, "the camera ended the stream");
    else {
        snprintf(reason, sizeof reason, opened ? "the stream broke: %s" : "cannot connect: %s",
                 text);
        finish(av, opened ? SOURCE_END_ERROR : SOURCE_END_UNREACHABLE, reason);
    }
}

/* Waits for room: FFmpeg's own socket then holds the camera back. False: closed. */
static bool put(struct av_source *av, AVPacket *packet)
{
    AVPacket *kept = av_packet_alloc();
    bool      done = false;

    if (kept == NULL)
        return false;
    av_packet_move_ref(kept, packet);
    uv_mutex_lock(&av->lock);
    while (av->count == QUEUE_PACKETS && !atomic_load(&av->stop))
        uv_cond_wait(&av->room, &av->lock);
    if (!atomic_load(&av->stop)) {
        unsigned at = (av->first + av->count++) % QUEUE_PACKETS;

        av->queue[at] = kept;
        av->walls[at] = clock_wall_ns();
        av->counters.packets++;
        av->counters.bytes += (uint64_t)kept->size;
        done = true;
    }
    uv_mutex_unlock(&av->lock);
    if (!done)
        av_packet_free(&kept);
    uv_async_send(&av->async);
    return done;
}

static bool tell_stream(struct av_source *av, const AVStream *stream)
{
    AVCodecParameters *parameters = avcodec_parameters_alloc();

    if (parameters == NULL || avcodec_parameters_copy(parameters, stream->codecpar) < 0) {
        avcodec_parameters_free(&parameters);
        return false;
    }
    uv_mutex_lock(&av->lock);
    avcodec_parameters_free(&av->parameters);
    av->parameters = parameters;
    av->time_base  = stream->time_base;
    av->rate       = stream->avg_frame_rate.num > 0 ? stream->avg_frame_rate : (AVRational){0, 1};
    av->new_stream = true;
    uv_mutex_unlock(&av->lock);
    return true;
}

/* FLV says how H.264 is coded in a packet of its own, before the first picture. */
static bool is_ready(const struct av_source *av, const AVStream *stream)
{
    return stream->codecpar->codec_type == AVMEDIA_TYPE_VIDEO &&
           stream->codecpar->codec_id != AV_CODEC_ID_NONE &&
           (av->url.scheme != CAMERA_URL_RTMP || stream->codecpar->extradata_size > 0);
}

static void read_packets(struct av_source *av, AVFormatContext *format, AVPacket *packet)
{
    int video = -1, heads = 0, rc;

    for (;;) {
        atomic_store(&av->limit_ns, clock_monotonic_ns() + SILENCE_NS);
        if ((rc = av_read_frame(format, packet)) < 0) {
            finish_by_code(av, rc, true);
            return;
        }
        if (video < 0 && is_ready(av, format->streams[packet->stream_index])) {
            video = packet->stream_index;
            if (!tell_stream(av, format->streams[video]))
                break;
        }
        if (video < 0 && ++heads > HEAD_PACKETS) {
            finish(av, SOURCE_END_REFUSED, "the camera's stream has no video");
            return;
        }
        if (packet->stream_index == video && packet->size > 0) {
            packet->stream_index = 0;
            if (!put(av, packet))
                break;
        }
        av_packet_unref(packet);
    }
    finish(av, SOURCE_END_ERROR, "closed");
}

static int set_options(const struct av_source *av, AVDictionary **options)
{
    bool rtmp = av->url.scheme == CAMERA_URL_RTMP;

    if (av_dict_set(options, "protocol_whitelist", rtmp ? "rtmp,tcp" : "srt", 0) < 0 ||
        av_dict_set(options, "format_whitelist", rtmp ? "flv,live_flv" : "mpegts", 0) < 0 ||
        (rtmp && av_dict_set(options, "rtmp_live", "live", 0) < 0))
        return ERR_MEMORY;
    if (!rtmp && (av_dict_set(options, "mode", "caller", 0) < 0 ||
                  (av->url.password.value[0] != '\0' &&
                   av_dict_set(options, "passphrase", av->url.password.value, 0) < 0)))
        return ERR_MEMORY;
    return 0;
}

static void run(void *arg)
{
    struct av_source *av      = arg;
    AVFormatContext  *format  = avformat_alloc_context();
    AVPacket         *packet  = av_packet_alloc();
    AVDictionary     *options = NULL;
    int               rc      = AVERROR(ENOMEM);

    atomic_store(&av->limit_ns, clock_monotonic_ns() + CONNECT_NS);
    if (format != NULL && packet != NULL && set_options(av, &options) == 0) {
        format->interrupt_callback = (AVIOInterruptCB){interrupted, av};
        format->flags |= AVFMT_FLAG_NOBUFFER;
        format->probesize = 64 << 10;
        rc                = avformat_open_input(&format, av->address, NULL, &options);
    }
    OPENSSL_cleanse(av->address, sizeof av->address);
    av_dict_free(&options);
    if (rc < 0)
        finish_by_code(av, rc, false);
    else
        read_packets(av, format, packet);
    avformat_close_input(&format);
    av_packet_free(&packet);
}

/* ---- the loop ---- */

static void on_async_closed(uv_handle_t *handle)
{
    struct av_source *av = handle->data;

    while (av->count > 0) {
        av_packet_free(&av->queue[av->first]);
        av->first = (av->first + 1) % QUEUE_PACKETS;
        av->count--;
    }
    avcodec_parameters_free(&av->parameters);
    uv_mutex_destroy(&av->lock);
    uv_cond_destroy(&av->room);
    OPENSSL_cleanse(av, sizeof *av);
    free(av);
}

static void end(struct av_source *av, enum source_end how, const char *reason)
{
    char shown[256];

    if (av->ended || av->closed)
        return;
    av->ended = true;
    camera_url_redact_secret(reason, &av->url.password, shown, sizeof shown);
    av->events.ended(av->events.arg, how, shown);
}

/* Takes one thing out; false: nothing waits. */
static bool take(struct av_source *av, AVPacket **packet, int64_t *wall_ns,
                 AVCodecParameters **parameters, bool *over)
{
    uv_mutex_lock(&av->lock);
    *packet     = NULL;
    *parameters = NULL;
    if (av->new_stream) {
        *parameters    = av->parameters;
        av->parameters = NULL;
        av->new_stream = false;
    } else if (av->count > 0) {
        *packet   = av->queue[av->first];
        *wall_ns  = av->walls[av->first];
        av->first = (av->first + 1) % QUEUE_PACKETS;
        av->count--;
        uv_cond_signal(&av->room);
    }
    *over = av->over && av->count == 0;
    uv_mutex_unlock(&av->lock);
    return *packet != NULL || *parameters != NULL;
}

static void on_async(uv_async_t *async)
{
    struct av_source  *av      = async->data;
    int64_t            wall_ns = 0;
    bool               over    = false;
    AVPacket          *packet;
    AVCodecParameters *parameters;

    while (take(av, &packet, &wall_ns, &parameters, &over)) {
        if (parameters != NULL && !av->closed && !av->ended)
            av->events.stream(av->events.arg, parameters, av->time_base, av->rate);
        if (packet != NULL && !av->closed && !av->ended)
            av->events.packet(av->events.arg, packet, wall_ns);
        avcodec_parameters_free(&parameters);
        av_packet_free(&packet);
    }
    if (!over)
        return;
    if (av->running)
        uv_thread_join(&av->thread); /* it does nothing more but return */
    av->running = false;
    end(av, av->how, av->reason);
    if (av->closed && !uv_is_closing((uv_handle_t *)&av->async))
        uv_close((uv_handle_t *)&av->async, on_async_closed);
}

int source_av_check(const struct camera_url *url, struct why *why)
{
    const char *options = strchr(url->path, '?');

    if (url->scheme != CAMERA_URL_SRT)
        return 0;
    if (options != NULL && strncmp(options, "?streamid=", 10) != 0)
        return why_set(why, ERR_UNSUPPORTED,
                       "of an srt:// address's options only streamid is "
                       "taken; the password is the passphrase");
    if (strchr(url->path, '&') != NULL)
        return why_set(why, ERR_UNSUPPORTED, "an srt:// address takes one option, streamid");
    return 0;
}

/* The address in place of the name. */
static int write_address(struct av_source *av, const struct sockaddr_storage *address,
                         struct why *why)
{
    char host[INET6_ADDRSTRLEN] = "", plain[LIMIT_URL_BYTES];
    bool ipv6                   = address->ss_family == AF_INET6;

    inet_ntop(address->ss_family,
              ipv6 ? (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr
                   : (const void *)&((const struct sockaddr_in *)address)->sin_addr,
              host, sizeof host);
    if (source_av_check(&av->url, why) != 0)
        return ERR_UNSUPPORTED;
    /* FFmpeg decodes nothing: one of these would end the host early, and a part of the password be
     * looked up as a name. */
    if (av->url.scheme == CAMERA_URL_RTMP &&
        (strpbrk(av->url.user, "/?#") != NULL || strpbrk(av->url.password.value, "/?#") != NULL))
        return why_set(why, ERR_UNSUPPORTED,
                       "an rtmp:// address's user name and password cannot hold '/', '?' or '#'");
    camera_url_format_host(&av->url, host, ipv6, plain);
    if (av->url.scheme == CAMERA_URL_RTMP && av->url.user[0] != '\0')
        snprintf(av->address, sizeof av->address, "rtmp://%s:%s@%s", av->url.user,
                 av->url.password.value, plain + strlen("rtmp://"));
    else
        snprintf(av->address, sizeof av->address, "%s", plain);
    return 0;
}

static void on_looked_up(void *arg, int code, const char *reason,
                         const struct sockaddr_storage *addresses, int count)
{
    struct av_source *av  = arg;
    struct why        why = {""};

    (void)count;
    if (code != 0) {
        end(av, code == ERR_DENIED ? SOURCE_END_REFUSED : SOURCE_END_UNREACHABLE, reason);
    } else if (write_address(av, &addresses[0], &why) != 0) {
        end(av, SOURCE_END_REFUSED, why.text);
    } else {
        av->events.progress(av->events.arg, "connecting");
        if (av->closed)
            return;
        if (uv_thread_create(&av->thread, run, av) != 0)
            end(av, SOURCE_END_ERROR, "no thread for the camera");
        else
            av->running = true;
    }
}

static int open_source(struct source **out, uv_loop_t *loop, const struct settings_camera *settings,
                       const struct source_events *events, struct why *why)
{
    struct av_source            *av      = calloc(1, sizeof *av);
    struct camera_lookup_request request = {.timeout_ms = RESOLVE_MS, .done = on_looked_up};
    int                          rc;

    *out = NULL;
    if (av == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    if ((rc = camera_url_parse(&av->url, settings->url, why)) != 0) {
        free(av);
        return rc;
    }
    if (settings->user[0] != '\0' || settings->password.value[0] != '\0') {
        memcpy(av->url.user, settings->user, sizeof av->url.user);
        av->url.password = settings->password;
    }
    av->base.ops           = &source_av;
    av->events             = *events;
    av->loop               = loop;
    av->counters.transport = av->url.scheme == CAMERA_URL_RTMP ? "rtmp" : "srt";
    uv_mutex_init(&av->lock);
    uv_cond_init(&av->room);
    uv_async_init(loop, &av->async, on_async);
    av->async.data = av;
    request.host   = av->url.host;
    request.port   = av->url.port;
    request.reach  = camera_url_settings_reach(settings);
    request.arg    = av;
    if ((rc = camera_lookup_start(&av->lookup, loop, &request, why)) != 0) {
        uv_close((uv_handle_t *)&av->async, on_async_closed);
        return rc;
    }
    *out = &av->base;
    return 0;
}

static void close_source(struct source **source)
{
    struct av_source *av = (struct av_source *)*source;

    if (av == NULL)
        return;
    *source    = NULL;
    av->closed = true;
    camera_lookup_cancel(&av->lookup);
    atomic_store(&av->stop, true);
    if (!av->running) {
        if (!uv_is_closing((uv_handle_t *)&av->async))
            uv_close((uv_handle_t *)&av->async, on_async_closed);
        return;
    }
    uv_mutex_lock(&av->lock);
    uv_cond_signal(&av->room);
    uv_mutex_unlock(&av->lock);
    uv_async_send(&av->async); /* it may be over already */
}

static void read_counters(const struct source *source, struct source_counters *counters)
{
    struct av_source *av = (struct av_source *)(uintptr_t)source;

    uv_mutex_lock(&av->lock);
    *counters = av->counters;
    uv_mutex_unlock(&av->lock);
}

const struct source_ops source_av = {
    .name     = "av",
    .open     = open_source,
    .close    = close_source,
    .counters = read_counters,
};
