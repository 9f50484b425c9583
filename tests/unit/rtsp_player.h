/* tests/unit/rtsp_player.h: plays a real camera and prints what came: the client of tests/integration/rtsp.t. */
#ifndef SIGHTLINE_TESTS_UNIT_RTSP_PLAYER_H
#define SIGHTLINE_TESTS_UNIT_RTSP_PLAYER_H

#include <libavcodec/avcodec.h>
#include <libavutil/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <uv.h>

#include "config/clock.h"
#include "server/camera/rtsp_timeouts.h"
#include "server/camera/source.h"

struct player {
    const struct source_ops *ops;
    struct source           *source;
    uv_timer_t               limit;
    AVCodecContext          *decoder;
    AVFrame                 *frame;
    int                      wanted; /* pictures; 0: until the time is over */
    int                      packets, keys, frames, errors, corrupt;
    int64_t                  started_ns, first_ns, stopped_ns, first_pts, last_pts, max_lag_ns;
    int                      width, height, backwards; /* time stamps that did not grow */
};

static void player_stop(struct player *player)
{
    player->ops->close(&player->source);
    if (!uv_is_closing((uv_handle_t *)&player->limit))
        uv_close((uv_handle_t *)&player->limit, NULL);
}

static void player_stream(void *arg, const AVCodecParameters *parameters, AVRational time_base,
                          AVRational frame_rate)
{
    struct player *player = arg;
    const AVCodec *codec  = avcodec_find_decoder(parameters->codec_id);

    printf("stream %s extradata %d time_base %d/%d rate %d/%d\n",
           avcodec_get_name(parameters->codec_id), parameters->extradata_size, time_base.num,
           time_base.den, frame_rate.num, frame_rate.den);
    avcodec_free_context(&player->decoder);
    player->decoder = avcodec_alloc_context3(codec);
    avcodec_parameters_to_context(player->decoder, parameters);
    player->decoder->thread_count = 1;
    if (avcodec_open2(player->decoder, codec, NULL) < 0)
        printf("no decoder\n");
}

static void player_packet(void *arg, AVPacket *packet, int64_t wall_ns)
{
    struct player *player = arg;
    int64_t        lag_ns = llabs(clock_wall_ns() - wall_ns);

    if (player->packets++ == 0) {
        player->first_ns  = clock_monotonic_ns();
        player->first_pts = packet->pts;
        if ((packet->flags & AV_PKT_FLAG_KEY) == 0)
            printf("begins without a key\n");
    }
    if (player->packets > 1 && packet->pts <= player->last_pts)
        player->backwards++;
    player->last_pts   = packet->pts;
    player->stopped_ns = clock_monotonic_ns();
    player->keys += (packet->flags & AV_PKT_FLAG_KEY) != 0;
    player->corrupt += (packet->flags & AV_PKT_FLAG_CORRUPT) != 0;
    if (lag_ns > player->max_lag_ns)
        player->max_lag_ns = lag_ns;
    if (getenv("RTSP_NO_DECODE") == NULL) {
        if (avcodec_send_packet(player->decoder, packet) < 0)
            player->errors++;
        while (avcodec_receive_frame(player->decoder, player->frame) == 0) {
            player->frames++;
            player->width  = player->frame->width;
            player->height = player->frame->height;
        }
    }
    if (player->wanted > 0 && player->packets >= player->wanted)
        player_stop(player);
}

static void player_progress(void *arg, const char *step)
{
    (void)arg;
    printf("progress %s\n", step);
    fflush(stdout);
}

static void player_ended(void *arg, enum source_end end, const char *reason)
{
    static const char *const names[] = {"file",    "closed",      "error",
                                        "refused", "unreachable", "timeout"};

    printf("ended %s: %s\n", names[end], reason);
    player_stop(arg);
}

static void player_limit(uv_timer_t *timer)
{
    printf("time is over\n");
    player_stop(timer->data);
}

/* What the settings file would say, from the environment. */
static void player_options(struct settings_camera *settings)
{
    const char *transport   = getenv("RTSP_TRANSPORT");
    const char *fingerprint = getenv("RTSP_FINGERPRINT");

    if (transport != NULL)
        settings->transport = strcmp(transport, "udp") == 0   ? TRANSPORT_UDP
                              : strcmp(transport, "tcp") == 0 ? TRANSPORT_TCP
                                                              : TRANSPORT_AUTO;
    if (fingerprint != NULL)
        snprintf(settings->tls_fingerprint, sizeof settings->tls_fingerprint, "%s", fingerprint);
    settings->tls_unverified = getenv("RTSP_UNVERIFIED") != NULL;
    settings->detect_fps     = 5;
}

/* play URL USER PASSWORD PICTURES SECONDS */
static int play(char **arguments)
{
    struct player          player   = {.wanted = (int)strtol(arguments[3], NULL, 10)};
    struct settings_camera settings = {.enabled = true};
    struct source_events   events   = {&player, player_stream, player_packet, player_progress,
                                       player_ended};
    struct source_counters counters = {0};
    struct why             why      = {""};
    struct rusage          usage;
    uv_loop_t              loop;

    av_log_set_level(AV_LOG_QUIET);
    uv_loop_init(&loop);
    uv_timer_init(&loop, &player.limit);
    player.limit.data = &player;
    uv_timer_start(&player.limit, player_limit, (uint64_t)strtol(arguments[4], NULL, 10) * 1000, 0);
    player.frame = av_frame_alloc();
    snprintf(settings.url, sizeof settings.url, "%s", arguments[0]);
    snprintf(settings.user, sizeof settings.user, "%s", arguments[1]);
    snprintf(settings.password.value, sizeof settings.password.value, "%s", arguments[2]);
    player_options(&settings);
    player.started_ns = clock_monotonic_ns();
    if (source_choose(&player.ops, settings.url, &why) != 0 || player.ops == NULL ||
        player.ops->open(&player.source, &loop, &settings, &events, &why) != 0) {
        printf("not opened: %s\n", why.text);
        return 1;
    }
    while (uv_run(&loop, UV_RUN_ONCE) != 0) {
        if (player.source != NULL)
            player.ops->counters(player.source, &counters);
    }
    getrusage(RUSAGE_SELF, &usage);
    printf("packets %d keys %d corrupt %d frames %d errors %d size %dx%d first_ms %lld "
           "span_ms %lld pts %lld lag_ms %lld lost %llu bytes %llu jitter_ms %.1f "
           "backwards %d transport %s reordered %llu duplicates %llu late %llu cpu_ms %ld\n",
           player.packets, player.keys, player.corrupt, player.frames, player.errors, player.width,
           player.height, (long long)((player.first_ns - player.started_ns) / NS_PER_MS),
           (long long)((player.stopped_ns - player.first_ns) / NS_PER_MS),
           (long long)(player.last_pts - player.first_pts),
           (long long)(player.max_lag_ns / NS_PER_MS), (unsigned long long)counters.rtp_lost,
           (unsigned long long)counters.bytes, counters.jitter_ms, player.backwards,
           counters.transport != NULL ? counters.transport : "none",
           (unsigned long long)counters.rtp_reordered, (unsigned long long)counters.rtp_duplicates,
           (unsigned long long)counters.rtp_late,
           usage.ru_utime.tv_sec * 1000 + usage.ru_utime.tv_usec / 1000 +
               usage.ru_stime.tv_sec * 1000 + usage.ru_stime.tv_usec / 1000);
    av_frame_free(&player.frame);
    avcodec_free_context(&player.decoder);
    printf("loop closed %d\n", uv_loop_close(&loop));
    return 0;
}

/* ---- many sessions with a camera that lies ---- */

#define CROWD 8

struct crowd {
    uv_loop_t   loop;
    const char *url;
    int         left, open, late;
    int         ends[SOURCE_ENDS];
    uint64_t    pictures;
    int64_t     longest_ns;
    struct member {
        struct crowd  *crowd;
        struct source *source;
        uv_timer_t     limit;
        int64_t        started_ns;
        bool           ended;
    } members[CROWD];
};

/* What a source may take with these times, each of them at its end. */
static const struct rtsp_timeouts crowd_times = {
    .resolve_ms  = 300,
    .connect_ms  = 300,
    .response_ms = 300,
    .picture_ms  = 300,
    .silence_ms  = 300,
    .tick_ms     = 50,
    .linger_ms   = 50,
};
#define CROWD_LIMIT_MS 800 /* the client has enough: some cameras play for ever */

static void member_begin(struct member *member);

/* Closing waits for the loop: a source may not be opened again from within its own event. */
static void member_next(uv_timer_t *timer)
{
    struct member *member  = timer->data;
    int64_t        took_ns = clock_monotonic_ns() - member->started_ns;

    if (took_ns > member->crowd->longest_ns)
        member->crowd->longest_ns = took_ns;
    source_rtsp.close(&member->source);
    member->crowd->open--;
    if (member->crowd->left > 0)
        member_begin(member);
    else
        uv_close((uv_handle_t *)&member->limit, NULL);
}

static void member_stream(void *arg, const AVCodecParameters *parameters, AVRational time_base,
                          AVRational frame_rate)
{
    struct member *member = arg;

    (void)parameters;
    (void)time_base;
    (void)frame_rate;
    member->crowd->late += member->ended;
}

static void member_packet(void *arg, AVPacket *packet, int64_t wall_ns)
{
    struct member *member = arg;

    (void)packet;
    (void)wall_ns;
    member->crowd->pictures++;
    member->crowd->late += member->ended;
}

static void member_progress(void *arg, const char *step)
{
    struct member *member = arg;

    (void)step;
    member->crowd->late += member->ended;
}

static void member_ended(void *arg, enum source_end end, const char *reason)
{
    struct member *member = arg;

    member->crowd->late += member->ended || reason[0] == '\0' || strstr(reason, "canary") != NULL;
    member->ended = true;
    member->crowd->ends[end]++;
    uv_timer_start(&member->limit, member_next, 0, 0);
}

static void member_begin(struct member *member)
{
    struct settings_camera settings = {.enabled = true, .user = "u", .password = {"canary"}};
    struct source_events   events   = {member, member_stream, member_packet, member_progress,
                                       member_ended};

    member->crowd->left--;
    member->crowd->open++;
    member->ended      = false;
    member->started_ns = clock_monotonic_ns();
    snprintf(settings.url, sizeof settings.url, "%s", member->crowd->url);
    uv_timer_start(&member->limit, member_next, CROWD_LIMIT_MS, 0);
    if (source_rtsp_open(&member->source, &member->crowd->loop, &settings, &events, &crowd_times,
                         NULL) != 0) {
        printf("not opened: %s\n", member->crowd->url);
        exit(2);
    }
}

/* crowd URL SESSIONS */
static int play_crowd(char **arguments)
{
    static struct crowd crowd;
    struct rusage       usage;

    av_log_set_level(AV_LOG_QUIET);
    uv_loop_init(&crowd.loop);
    crowd.url  = arguments[0];
    crowd.left = (int)strtol(arguments[1], NULL, 10);
    for (int i = 0; i < CROWD; i++) {
        crowd.members[i].crowd = &crowd;
        uv_timer_init(&crowd.loop, &crowd.members[i].limit);
        crowd.members[i].limit.data = &crowd.members[i];
        member_begin(&crowd.members[i]);
    }
    uv_run(&crowd.loop, UV_RUN_DEFAULT);
    getrusage(RUSAGE_SELF, &usage);
    printf("closed %d error %d refused %d pictures %llu late %d longest_ms %lld rss_kb %ld open %d "
           "loop %d\n",
           crowd.ends[SOURCE_END_CLOSED],
           crowd.ends[SOURCE_END_ERROR] + crowd.ends[SOURCE_END_TIMEOUT] +
               crowd.ends[SOURCE_END_UNREACHABLE],
           crowd.ends[SOURCE_END_REFUSED], (unsigned long long)crowd.pictures, crowd.late,
           (long long)(crowd.longest_ns / NS_PER_MS), usage.ru_maxrss, crowd.open,
           uv_loop_close(&crowd.loop));
    return 0;
}

#endif
