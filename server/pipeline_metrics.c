/* OpenMetrics families of the pipeline: what each stage of inference costs, and what was dropped. */
#include "server/camera/decode.h"
#include "server/server.h"
#include "server/snapshots.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct metrics_out {
    void (*write)(void *write_arg, const char *text, size_t bytes);
    void *write_arg;
};

static void out(const struct metrics_out *metrics, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void out(const struct metrics_out *metrics, const char *format, ...)
{
    char    text[512];
    va_list arguments;
    int     used;

    va_start(arguments, format);
    used = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (used > 0 && (size_t)used < sizeof text)
        metrics->write(metrics->write_arg, text, (size_t)used);
}

static void counter(const struct metrics_out *metrics, const char *name, const char *help,
                    uint64_t value)
{
    out(metrics, "# TYPE %s counter\n# HELP %s %s\n%s_total %" PRIu64 "\n", name, name, help, name,
        value);
}

static void stage_histogram(const struct metrics_out *metrics, const struct latency *latency,
                            const char *stage)
{
    uint64_t below = 0;

    for (int i = 0; i < LATENCY_BOUNDS; i++) {
        below += latency->bucket[i];
        out(metrics,
            "sightline_inference_stage_seconds_bucket{stage=\"%s\",le=\"%.9g\"} %" PRIu64 "\n",
            stage, (double)LATENCY_BOUND_NS[i] / 1e9, below);
    }
    out(metrics,
        "sightline_inference_stage_seconds_bucket{stage=\"%s\",le=\"+Inf\"} %" PRIu64 "\n"
        "sightline_inference_stage_seconds_sum{stage=\"%s\"} %.9f\n"
        "sightline_inference_stage_seconds_count{stage=\"%s\"} %" PRIu64 "\n",
        stage, latency->count, stage, (double)latency->sum_ns / 1e9, stage, latency->count);
}

static void decode_metrics(const struct metrics_out *metrics, const struct server *server)
{
    struct decode_pool_stats stats;

    decode_pool_stats(pipeline_decode_pool(server->pipeline), &stats);
    counter(metrics, "sightline_decode_restarts",
            "Decoder processes that died or hung and were started again.", stats.restarts);
    out(metrics,
        "# TYPE sightline_decode_workers gauge\n"
        "# HELP sightline_decode_workers Decode workers; each has a process, unless isolation is "
        "thread.\n"
        "sightline_decode_workers{isolation=\"%s\"} %d\n"
        "# TYPE sightline_decode_quarantined gauge\n"
        "# HELP sightline_decode_quarantined Cameras whose streams kill decoder processes.\n"
        "sightline_decode_quarantined %d\n",
        stats.isolation == ISOLATION_PROCESS ? "process" : "thread", stats.workers,
        stats.quarantined);
}

static void copy_metrics(const struct metrics_out *metrics)
{
    out(metrics, "# TYPE sightline_device_frame_copies counter\n"
                 "# HELP sightline_device_frame_copies Pictures that a card decoded and that were "
                 "copied out of its memory.\n");
    for (int i = 0; i < FRAME_COPIES; i++)
        out(metrics, "sightline_device_frame_copies_total{reason=\"%s\"} %" PRIu64 "\n",
            frame_copy_name((enum frame_copy)i), frame_copies((enum frame_copy)i));
}

static void main_stream_metrics(const struct metrics_out *metrics, const struct server *server)
{
    const struct main_streams *all = pipeline_main_streams(server->pipeline);

    out(metrics,
        "# TYPE sightline_main_streams gauge\n"
        "# HELP sightline_main_streams Main streams that are connected to, as somebody looks.\n"
        "sightline_main_streams %d\n",
        all->open);
    counter(metrics, "sightline_main_streams_refused",
            "Times that a main stream was not opened because too many were.", all->refused);
    counter(metrics, "sightline_snapshots_refused",
            "Times that a snapshot was not begun because too many were waited for.",
            snapshots_refused(server->snapshots));
}

void pipeline_metrics(const struct server *server,
                      void (*write)(void *write_arg, const char *text, size_t bytes),
                      void *write_arg)
{
    struct metrics_out          metrics = {write, write_arg};
    struct inference_pool      *pool    = pipeline_inference_pool(server->pipeline);
    struct inference_pool_stats stats;

    decode_metrics(&metrics, server);
    copy_metrics(&metrics);
    main_stream_metrics(&metrics, server);
    if (pool == NULL)
        return;
    stats = inference_pool_stats(pool);
    counter(&metrics, "sightline_inference_frames_submitted", "Pictures handed to the pool.",
            stats.submitted);
    counter(&metrics, "sightline_inference_frames_dropped",
            "Pictures given up for newer ones of the same camera.", stats.dropped);
    counter(&metrics, "sightline_inference_frames_failed", "Pictures that could not be analysed.",
            stats.failed);
    counter(&metrics, "sightline_inference_batches", "Runs of the network.", stats.batches);
    counter(&metrics, "sightline_inference_model_swaps",
            "Models that took the place of another without a restart.", stats.swaps);
    counter(&metrics, "sightline_inference_device_losses",
            "Times that an inference device was lost.", stats.device_losses);
    if (server->detector != NULL) {
        struct detector_shape_stats shapes = detector_shape_stats(server->detector);

        out(&metrics,
            "# TYPE sightline_inference_shapes gauge\n"
            "# HELP sightline_inference_shapes Sizes of input in which the network runs, for "
            "pictures of different shapes.\n"
            "sightline_inference_shapes %d\n",
            shapes.count);
        counter(&metrics, "sightline_inference_shapes_refused",
                "Times that a kind of picture went into a near size of input, as there are as "
                "many as there may be.",
                shapes.refused);
        out(&metrics,
            "# TYPE sightline_inference_shapes_failed gauge\n"
            "# HELP sightline_inference_shapes_failed Sizes of input that do not work; health says "
            "why.\n"
            "sightline_inference_shapes_failed %d\n",
            shapes.failed);
    }
    out(&metrics,
        "# TYPE sightline_inference_fallback_workers gauge\n"
        "# HELP sightline_inference_fallback_workers Inference threads that go on without their "
        "device.\n"
        "sightline_inference_fallback_workers %d\n",
        stats.fallback_workers);
    out(&metrics,
        "# TYPE sightline_inference_frames_waiting gauge\n"
        "# HELP sightline_inference_frames_waiting Pictures that wait for a worker.\n"
        "sightline_inference_frames_waiting %d\n"
        "# TYPE sightline_inference_workers gauge\n"
        "# HELP sightline_inference_workers Inference threads.\n"
        "sightline_inference_workers %d\n"
        "# TYPE sightline_inference_stage_seconds histogram\n"
        "# UNIT sightline_inference_stage_seconds seconds\n"
        "# HELP sightline_inference_stage_seconds Time of a picture (queue) or a run in each "
        "stage.\n",
        stats.waiting, stats.workers);
    for (int i = 0; i < INFERENCE_STAGES; i++)
        stage_histogram(&metrics, &stats.latency[i], inference_stage_name((enum inference_stage)i));
}
