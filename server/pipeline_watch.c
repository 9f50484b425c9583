/* What is looked after every second: which part of the time was really analysed, which part of its packets
 * a camera loses, and, when the detector cannot keep up, at which rate each camera is analysed. */
#include "server/pipeline_inside.h"

#include "config/clock.h"
#include "config/log.h"

void pipeline_on_still(void *arg, int64_t wall_ns)
{
    struct pipeline_camera *camera = arg;
    int64_t until_ns = atomic_load_explicit(&camera->still_until_ns, memory_order_relaxed);

    if (wall_ns < until_ns || wall_ns - until_ns > MOTION_REFRESH_NS)
        atomic_store_explicit(&camera->still_since_ns, wall_ns, memory_order_relaxed);
    atomic_store_explicit(&camera->still_until_ns, wall_ns, memory_order_release);
}

void pipeline_take_still(struct pipeline_camera *camera)
{
    int64_t until_ns = atomic_load_explicit(&camera->still_until_ns, memory_order_acquire);

    if (until_ns != 0)
        coverage_still(&camera->coverage,
                       atomic_load_explicit(&camera->still_since_ns, memory_order_relaxed),
                       until_ns);
}

void pipeline_flush_coverage(struct pipeline_camera *camera, int64_t now_ns)
{
    const struct pipeline_output *output = &camera->pipeline->settings.output;
    struct coverage_span          span;

    while (coverage_take(&camera->coverage, now_ns, &span))
        output->coverage(output->arg, camera->settings.name, span.time_ns, span.analysed_ms,
                         span.elapsed_ms);
}

/* The part of the time since the last tick that the inference workers were at work. */
static double busy_part(struct pipeline *pipeline, const struct inference_pool_stats *stats,
                        int64_t now_ns)
{
    int64_t busy_ns = stats->latency[INFERENCE_PREPARE].sum_ns +
                      stats->latency[INFERENCE_NETWORK].sum_ns +
                      stats->latency[INFERENCE_DECODE].sum_ns;
    int64_t had_ns = (now_ns - pipeline->ticked_ns) * (stats->workers > 0 ? stats->workers : 1);
    double  part   = had_ns > 0 ? (double)(busy_ns - pipeline->busy_ns) / (double)had_ns : 1;

    pipeline->busy_ns   = busy_ns;
    pipeline->ticked_ns = now_ns;
    return part;
}

void pipeline_give_rate(struct pipeline_camera *camera)
{
    const struct rate_share *share  = &camera->pipeline->share;
    struct camera_stats      source = {.source_fps = 0};
    double                   fps;

    if (camera->settings.detect_fps <= 0 && share->share < 1)
        camera_stats(camera->camera, &source);
    fps = rate_share_fps(share, camera->settings.detect_fps,
                         source.source_fps > 0 ? source.source_fps : source.decoded_fps);
    if (fps == camera->given_fps)
        return;
    camera->given_fps = fps;
    camera_set_rate(camera->camera, fps);
}

/* Every camera gets the same share of what it wants. */
static void share_rates(struct pipeline *pipeline)
{
    struct inference_pool_stats stats  = inference_pool_stats(pipeline->inference_pool);
    double                      before = pipeline->share.share;
    int64_t                     now_ns = clock_monotonic_ns();

    rate_share_note(&pipeline->share, stats.submitted - pipeline->submitted,
                    stats.dropped - pipeline->dropped, busy_part(pipeline, &stats, now_ns), now_ns);
    pipeline->submitted = stats.submitted;
    pipeline->dropped   = stats.dropped;
    if (before >= 1 && pipeline->share.share < 1)
        log_warning("inference", "the detector cannot keep up: every camera is slowed down");
    else if (before < 1 && pipeline->share.share >= 1)
        log_info("inference", "every camera is analysed at its wanted rate again");
    for (int i = 0; i < pipeline->count; i++)
        pipeline_give_rate(pipeline->cameras[i]);
}

static void note_loss(struct pipeline_camera *camera, int64_t now_ns)
{
    struct camera_stats stats;

    if (!packet_loss_is_due(&camera->loss, now_ns))
        return;
    camera_stats(camera->camera, &stats);
    packet_loss_note(&camera->loss, stats.rtp_received, stats.rtp_lost, now_ns);
}

void pipeline_on_tick(uv_timer_t *timer)
{
    struct pipeline *pipeline = timer->data;
    int64_t          now_ns   = clock_wall_ns();

    if (pipeline->inference_pool != NULL && !pipeline->settings.every_frame)
        share_rates(pipeline);
    for (int i = 0; i < pipeline->count; i++) {
        pipeline_take_still(pipeline->cameras[i]);
        pipeline_flush_coverage(pipeline->cameras[i], now_ns);
        note_loss(pipeline->cameras[i], clock_monotonic_ns());
    }
}
