/* `sightline count SOURCE`: one video through the same pipeline as the server's, as fast as the
 * machine can, nothing dropped, so that the same video gives the same counts every time. */
#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"
#include "config/plural.h"
#include "server/camera/ffmpeg_log.h"
#include "server/commands.h"
#include "server/count_options.h"
#include "server/count_report.h"
#include "server/model_place.h"
#include "server/pipeline.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_MS 200
#define BAR_CELLS   30

#define EXIT_NOT_COMPLETE 3

/* A file that ends this much before the length that it states was cut off: more than what sound
 * goes on behind the last picture, and than two pictures are apart. */
#define MISSING_S    2.0
#define MISSING_PART 0.02

struct run {
    uv_loop_t           loop;
    uv_signal_t         interrupt;
    uv_timer_t          progress;
    struct pipeline    *pipeline;
    struct count_report report;
    bool                is_file;
    bool                show_progress;
    bool                finished; /* all that could be read was counted */
    struct why          failure;  /* nothing could be counted; empty text: none */
};

/* ---- what the pipeline tells ---- */

static void on_event(void *arg, const struct event *event)
{
    struct run *run = arg;

    count_report_event(&run->report, event);
}

static void on_tracks(void *arg, int index, const struct frame *frame, const struct track *tracks,
                      int count)
{
    struct run *run = arg;

    (void)index;
    (void)tracks;
    (void)count;
    run->report.frames_analysed++;
    run->report.last_pts_ns = frame->pts_ns;
}

static void on_occupancy(void *arg, const char *camera, const char *zone,
                         const uint32_t inside[OBJECT_CLASSES])
{
    struct run *run = arg;

    (void)camera;
    count_report_occupancy(&run->report, zone, inside);
}

static void on_coverage(void *arg, const char *camera, int64_t time_ns, uint32_t analysed_ms,
                        uint32_t elapsed_ms)
{
    /* Coverage is a share of the wall clock's time; a file has none. */
    (void)arg;
    (void)camera;
    (void)time_ns;
    (void)analysed_ms;
    (void)elapsed_ms;
}

static void on_unit(void *arg, int index, struct camera_unit *unit)
{
    /* Nobody watches. */
    (void)arg;
    (void)index;
    (void)unit;
}

/* A file that cannot be read would be tried again and again by a server; here it is the end. */
static void on_camera_changed(void *arg, int index)
{
    struct run         *run = arg;
    struct camera_stats stats;

    camera_stats(pipeline_camera(run->pipeline, index), &stats);
    if (stats.state != CAMERA_BACKOFF || (!run->is_file && stats.frames_decoded > 0))
        return;
    why_set(&run->failure, ERR_IO, "%.*s", (int)(strcspn(stats.reason, ";")), stats.reason);
    uv_stop(&run->loop);
}

static void on_finished(void *arg, int index)
{
    struct run *run = arg;

    (void)index;
    run->finished = true;
    uv_stop(&run->loop);
}

/* ---- progress ---- */

static void on_progress(uv_timer_t *timer)
{
    struct run         *run = timer->data;
    struct camera_stats stats;
    char                bar[BAR_CELLS + 1];
    int                 cells;

    if (pipeline_camera_count(run->pipeline) == 0)
        return;
    camera_stats(pipeline_camera(run->pipeline, 0), &stats);
    cells = (int)(stats.progress * BAR_CELLS);
    cells = cells < 0 ? 0 : cells > BAR_CELLS ? BAR_CELLS : cells;
    for (int i = 0; i < BAR_CELLS; i++)
        bar[i] = i < cells ? '#' : '.';
    bar[BAR_CELLS] = '\0';
    fprintf(stderr, "\r[%s] %3.0f %%  %llu picture%s, %llu counted ", bar, stats.progress * 100,
            (unsigned long long)run->report.frames_analysed, plural(run->report.frames_analysed),
            (unsigned long long)run->report.events);
}

static void on_interrupt(uv_signal_t *handle, int number)
{
    struct run *run = handle->data;

    (void)number;
    uv_stop(&run->loop);
}

/* ---- the run ---- */

static int open_detector(struct detector **detector, const char *model, struct why *why)
{
    char                     path[LIMIT_PATH_BYTES];
    struct detector_settings settings = {.model_path = path};
    int                      rc       = model_place(model, path, why);

    return rc == 0 ? detector_open(detector, &settings, why) : rc;
}

static void say_missing(struct run *run)
{
    struct pipeline_camera_stats counted;
    struct camera_stats          stats;
    struct why                  *missing = &run->report.missing;
    double                       left_s;

    camera_stats(pipeline_camera(run->pipeline, 0), &stats);
    pipeline_camera_stats(run->pipeline, 0, &counted);
    run->report.frames_decoded = stats.frames_decoded;
    run->report.duration_s     = stats.duration_s;
    left_s                     = stats.duration_s * (1 - stats.progress);
    if (!run->is_file) /* a stream is counted until somebody stops it */
        return;
    if (!run->finished)
        why_set(missing, 0, "stopped after %.0f %% of the video", stats.progress * 100);
    else if (stats.cut_short)
        why_set(missing, 0, "%s", stats.reason);
    else if (stats.frames_decoded > 0 && left_s > MISSING_S &&
             left_s > MISSING_PART * stats.duration_s &&
             left_s > 2 * stats.duration_s / (double)stats.frames_decoded)
        why_set(missing, 0, "the file says that it lasts %.1f s, but ends after %.1f s",
                stats.duration_s, stats.duration_s - left_s);
    else if (stats.decode_errors > 0)
        why_set(missing, 0, "the file is damaged: %llu of its packets could not be decoded",
                (unsigned long long)stats.decode_errors);
    else if (counted.frames_failed > 0)
        why_set(missing, 0, "%llu picture%s could not be analysed",
                (unsigned long long)counted.frames_failed, plural(counted.frames_failed));
}

static int run_loop(struct run *run, const struct detector *detector,
                    const struct count_options *options, struct why *why)
{
    const struct settings_camera *camera   = &options->camera;
    struct pipeline_settings      settings = {
             .loop        = &run->loop,
             .detector    = detector,
             .every_frame = run->is_file,
             .isolation   = options->isolation,
             .output      = {.arg            = run,
                             .event          = on_event,
                             .tracks         = on_tracks,
                             .occupancy      = on_occupancy,
                             .coverage       = on_coverage,
                             .unit           = on_unit,
                             .camera_changed = on_camera_changed,
                             .finished       = on_finished},
    };
    int rc = pipeline_open(&run->pipeline, &settings, why);

    if (rc == 0)
        rc = pipeline_apply(run->pipeline, camera, 1, why);
    if (rc == 0) {
        if (run->show_progress)
            uv_timer_start(&run->progress, on_progress, PROGRESS_MS, PROGRESS_MS);
        uv_run(&run->loop, UV_RUN_DEFAULT);
        if (run->show_progress) {
            on_progress(&run->progress);
            fputc('\n', stderr);
        }
        say_missing(run);
    }
    pipeline_close(&run->pipeline);
    if (rc == 0 && run->failure.text[0] != '\0')
        return why_set(why, ERR_IO, "%s", run->failure.text);
    return rc;
}

int command_count(int argc, char **argv)
{
    static struct count_options options;
    struct run                  run      = {.finished = false};
    struct detector            *detector = NULL;
    struct why                  why;
    int64_t                     start_ns = clock_monotonic_ns();
    int                         rc;

    if (count_options_parse(&options, argc, argv, &why) != 0) {
        fprintf(stderr, "sightline count: %s (see: sightline count --help)\n", why.text);
        return 2;
    }
    if (options.help) {
        fputs(COUNT_USAGE, stdout);
        return 0;
    }
    ffmpeg_log_install();
    log_set_level(LOG_ERROR);
    signal(SIGPIPE, SIG_IGN);
    run.is_file       = strstr(options.camera.url, "://") == NULL;
    run.show_progress = isatty(STDERR_FILENO);
    count_report_begin(&run.report, &options.camera);
    uv_loop_init(&run.loop);
    uv_timer_init(&run.loop, &run.progress);
    uv_signal_init(&run.loop, &run.interrupt);
    run.progress.data = run.interrupt.data = &run;
    uv_signal_start(&run.interrupt, on_interrupt, SIGINT);
    rc = open_detector(&detector, options.model, &why);
    if (rc == 0)
        rc = run_loop(&run, detector, &options, &why);
    detector_close(&detector);
    uv_close((uv_handle_t *)&run.progress, NULL);
    uv_close((uv_handle_t *)&run.interrupt, NULL);
    while (uv_run(&run.loop, UV_RUN_DEFAULT) != 0)
        continue;
    uv_loop_close(&run.loop);
    if (rc != 0) {
        fprintf(stderr, "sightline count: %s\n", why.text);
        return 1;
    }
    run.report.wall_s = (double)(clock_monotonic_ns() - start_ns) / 1e9;
    if (count_report_print(&run.report, &options) != 0)
        return 1;
    if (run.report.missing.text[0] == '\0')
        return 0;
    fprintf(stderr, "sightline count: not complete: %s\n", run.report.missing.text);
    return EXIT_NOT_COMPLETE;
}
