/* What is wished of a camera, and what is told about it. */
#include "server/camera/camera_private.h"

#include <stdio.h>
#include <string.h>

void camera_set_rate(struct camera *camera, double fps)
{
    decode_stream_set_rate(camera->stream, fps);
}

void camera_ask_at(struct camera *camera, double fps)
{
    camera->settings.detect_fps = fps;
    if (camera->source != NULL && camera->ops->set_rate != NULL)
        camera->ops->set_rate(camera->source, fps);
}

void camera_set_active(struct camera *camera, bool active)
{
    decode_stream_set_active(camera->stream, active);
}

void camera_want_video(struct camera *camera, unsigned kinds)
{
    decode_stream_want(camera->stream, kinds);
}

void camera_want_snapshot(struct camera *camera, int width_px)
{
    decode_stream_want_snapshot(camera->stream, width_px);
}

void camera_replay_units(struct camera *camera, void (*unit)(void *arg, struct camera_unit *unit),
                         void          *arg)
{
    struct camera_unit *held;

    for (size_t i = 0; !camera->closing; i++) {
        held = decode_stream_replay_unit(camera->stream, i);
        if (held == NULL)
            break;
        unit(arg, held);
        camera_unit_unref(&held);
    }
}

void camera_stats(const struct camera *camera, struct camera_stats *stats)
{
    struct source_counters source = {0};
    struct decode_status   status;

    decode_stream_status(camera->stream, &status);
    if (camera->source != NULL)
        camera->ops->counters(camera->source, &source);
    *stats = (struct camera_stats){
        .state           = camera->state,
        .state_since_ns  = camera->state_since_ns,
        .own_video       = status.own_video,
        .width_px        = status.width_px,
        .height_px       = status.height_px,
        .source_fps      = status.source_fps,
        .duration_s      = status.duration_s,
        .decoded_fps     = status.decoded_fps,
        .analysed_fps    = status.analysed_fps,
        .connects        = camera->connects,
        .reconnects      = camera->reconnects,
        .packets         = status.packets,
        .bytes           = status.bytes,
        .frames_decoded  = status.frames_decoded,
        .frames_analysed = status.frames_analysed,
        .frames_skipped  = status.frames_skipped,
        .frames_still    = status.frames_still,
        .decoder         = status.decoder,
        .relief          = status.relief,
        .resting         = status.resting,
        .packets_dropped = status.packets_dropped,
        .decode_errors   = status.decode_errors,
        .rtp_lost        = camera->closed_sources.rtp_lost + source.rtp_lost,
        .last_frame_ns   = status.last_frame_ns,
        .progress        = status.progress,
        .rtp_received    = camera->closed_sources.rtp_received + source.rtp_received,
        .rtp_reordered   = camera->closed_sources.rtp_reordered + source.rtp_reordered,
        .rtp_duplicates  = camera->closed_sources.rtp_duplicates + source.rtp_duplicates,
        .rtp_late        = camera->closed_sources.rtp_late + source.rtp_late,
        .jitter_ms       = source.jitter_ms,
        .has_lead        = status.has_lead,
        .wall_lead_ns    = status.wall_lead_ns,
        .arrival_lead_ns = status.arrival_lead_ns,
    };
    memcpy(stats->losses, camera->losses, sizeof stats->losses);
    snprintf(stats->transport, sizeof stats->transport, "%s",
             source.transport != NULL ? source.transport : "");
    memcpy(stats->reason, camera->reason, sizeof stats->reason);
    stats->cut_short = camera->cut_short;
    memcpy(stats->codec, status.codec, sizeof stats->codec);
    memcpy(stats->decoder_note, status.decoder_note, sizeof stats->decoder_note);
    camera_url_redact(camera->settings.url, stats->source, sizeof stats->source);
}

const char *camera_name(const struct camera *camera)
{
    return camera->settings.name;
}
