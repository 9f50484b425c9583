/* tests/unit/pipeline_test.c: a camera whose lines, zones and rate change while it plays. links: server
 *
 * A video of three bright spots, found by a network that finds what is bright, goes through the
 * whole pipeline, every picture of it, so that each run is the same. */
#include "server/pipeline.h"

#include "tests/bright_network.h"
#include "tests/clip.h"
#include "tests/tap.h"

#include "config/log.h"

#define FPS      10
#define PICTURES 100
#define CELL_PX  8

static const struct clip CLIP = {"libx264",
                                 "preset=ultrafast",
                                 AV_PIX_FMT_YUV420P,
                                 OWN_WIDTH_PX,
                                 OWN_HEIGHT_PX,
                                 PICTURES,
                                 FPS,
                                 2 * FPS,
                                 0};

static void draw_spot(AVFrame *picture, int column, int row)
{
    for (int y = row * CELL_PX; y < (row + 1) * CELL_PX; y++)
        memset(picture->data[0] + y * picture->linesize[0] + column * CELL_PX, 235, CELL_PX);
}

/* One walks to the right and back, one stands in the middle until it goes down, one walks below. */
static void draw_spots(AVFrame *picture, int number)
{
    int turn = PICTURES / 2, way = number < turn ? number : 2 * turn - number;

    for (int y = 0; y < picture->height; y++)
        memset(picture->data[0] + y * picture->linesize[0], 16, (size_t)picture->width);
    for (int plane = 1; plane < 3; plane++)
        for (int y = 0; y < picture->height / 2; y++)
            memset(picture->data[plane] + y * picture->linesize[plane], 128,
                   (size_t)picture->width / 2);
    draw_spot(picture, 6 + way, 10);
    draw_spot(picture, 30, number < 80 ? 18 : 18 + (number - 80) / 2);
    draw_spot(picture, 4 + number / 2, 32);
}

/* ---- a run ---- */

enum change { NOTHING, OTHERS, RATE };

struct run {
    struct pipeline       *pipeline;
    uv_loop_t              loop;
    struct settings_camera camera;
    enum change            change;
    struct event           events[128];
    int                    event_count;
    int                    pictures;
    int64_t                pts_ns[PICTURES + 1];
    uint64_t               standing[PICTURES + 1]; /* the track of the spot in the middle */
    int                    in_middle[PICTURES + 1];
    int                    in_other, other_told; /* as was told last, and how often */
    int                    in_middle_now;
    unsigned               generations;
    unsigned               generation;
    uint64_t               connects;
    bool                   finished;
};

static void on_event(void *arg, const struct event *event)
{
    struct run *run = arg;

    if (run->event_count < 128)
        run->events[run->event_count++] = *event;
}

static void on_occupancy(void *arg, const char *camera, const char *zone,
                         const uint32_t inside[OBJECT_CLASSES])
{
    struct run *run = arg;
    int         sum = 0;

    (void)camera;
    for (int i = 0; i < OBJECT_CLASSES; i++)
        sum += (int)inside[i];
    if (strcmp(zone, "middle") == 0) {
        run->in_middle_now = sum;
    } else {
        run->in_other = sum;
        run->other_told++;
    }
}

static void set_line(struct settings_camera *camera, int index, const char *name, float x)
{
    struct settings_line *line = &camera->lines[index];

    settings_line_default(line);
    snprintf(line->name, sizeof line->name, "%s", name);
    line->point_count = 2;
    line->points[0]   = (struct settings_point){x, 0};
    line->points[1]   = (struct settings_point){x, 1};
}

static void set_zone(struct settings_camera *camera, int index, const char *name, float x0,
                     float x1)
{
    struct settings_zone *zone = &camera->zones[index];

    settings_zone_default(zone);
    snprintf(zone->name, sizeof zone->name, "%s", name);
    zone->point_count = 4;
    zone->points[0]   = (struct settings_point){x0, 0};
    zone->points[1]   = (struct settings_point){x1, 0};
    zone->points[2]   = (struct settings_point){x1, 0.85F};
    zone->points[3]   = (struct settings_point){x0, 0.85F};
}

static void apply(struct run *run)
{
    struct why why;

    if (pipeline_apply(run->pipeline, &run->camera, 1, &why) != 0)
        ok(false, "pipeline_apply: %s", why.text);
}

/* After picture 40 and again after picture 60: another line comes, then it moves to the front of
 * the list; the other zone gets another name, then it goes. */
static void change_others(struct run *run)
{
    struct settings_camera *camera = &run->camera;

    if (run->pictures == 40) {
        camera->line_count = 2;
        set_line(camera, 1, "new", 0.2F);
        set_zone(camera, 1, "renamed", 0.3F, 0.9F);
        apply(run);
    } else if (run->pictures == 60) {
        camera->lines[1] = camera->lines[0];
        set_line(camera, 0, "new", 0.25F);
        camera->zone_count = 1;
        apply(run);
    }
}

static void change_rate(struct run *run)
{
    if (run->pictures != 30)
        return;
    run->camera.detect_fps = FPS / 2.0;
    apply(run);
}

/* Changes are made from in here, so that they come at this picture and no other. */
static void on_tracks(void *arg, int index, const struct frame *frame, const struct track *tracks,
                      int count)
{
    struct run *run = arg;

    (void)index;
    if (run->pictures == PICTURES)
        return;
    if (run->pictures == 0 || frame->generation != run->generation)
        run->generations++;
    run->generation               = frame->generation;
    run->pts_ns[run->pictures]    = frame->pts_ns;
    run->in_middle[run->pictures] = run->in_middle_now;
    for (int i = 0; i < count; i++)
        if (fabsf((tracks[i].box.x0 + tracks[i].box.x1) / 2 - 30.5F * CELL_PX) < 2 &&
            tracks[i].box.y0 > 16 * CELL_PX && tracks[i].seen)
            run->standing[run->pictures] = tracks[i].id;
    run->pictures++;
    if (run->change == OTHERS)
        change_others(run);
    else if (run->change == RATE)
        change_rate(run);
}

static void on_coverage(void *arg, const char *camera, int64_t time_ns, uint32_t analysed_ms,
                        uint32_t elapsed_ms)
{
    (void)arg;
    (void)camera;
    (void)time_ns;
    (void)analysed_ms;
    (void)elapsed_ms;
}

static void on_unit(void *arg, int index, struct camera_unit *unit)
{
    (void)arg;
    (void)index;
    (void)unit;
}

static void on_camera_changed(void *arg, int index)
{
    struct run         *run = arg;
    struct camera_stats stats;

    camera_stats(pipeline_camera(run->pipeline, index), &stats);
    run->connects = stats.connects;
    if (stats.state == CAMERA_BACKOFF) {
        diag("%s", stats.reason);
        uv_stop(&run->loop);
    }
}

static void on_finished(void *arg, int index)
{
    struct run *run = arg;

    (void)index;
    run->finished = true;
    uv_stop(&run->loop);
}

static void play(struct run *run, enum change change, const struct detector *detector)
{
    struct pipeline_settings settings = {.loop              = &run->loop,
                                         .detector          = detector,
                                         .decode_workers    = 1,
                                         .inference_workers = 1,
                                         .isolation         = ISOLATION_THREAD,
                                         .every_frame       = true,
                                         .output            = {.arg            = run,
                                                               .event          = on_event,
                                                               .tracks         = on_tracks,
                                                               .occupancy      = on_occupancy,
                                                               .coverage       = on_coverage,
                                                               .unit           = on_unit,
                                                               .camera_changed = on_camera_changed,
                                                               .finished       = on_finished}};
    struct why               why      = {""};

    memset(run, 0, sizeof *run);
    run->change = change;
    settings_camera_default(&run->camera);
    snprintf(run->camera.name, sizeof run->camera.name, "spots");
    snprintf(run->camera.url, sizeof run->camera.url, "%s", clip_path("spots.mp4"));
    run->camera.enabled        = true;
    run->camera.loop           = false;
    run->camera.pace           = PACE_FASTEST;
    run->camera.detect_fps     = 0;
    run->camera.motion.enabled = false;
    run->camera.line_count     = 1;
    run->camera.zone_count     = 2;
    set_line(&run->camera, 0, "line", 0.6F);
    set_zone(&run->camera, 0, "middle", 0.4F, 0.7F);
    set_zone(&run->camera, 1, "other", 0.3F, 0.9F);
    uv_loop_init(&run->loop);
    if (pipeline_open(&run->pipeline, &settings, &why) != 0)
        ok(false, "pipeline_open: %s", why.text);
    apply(run);
    uv_run(&run->loop, UV_RUN_DEFAULT);
    pipeline_close(&run->pipeline);
    while (uv_run(&run->loop, UV_RUN_DEFAULT) != 0)
        continue;
    uv_loop_close(&run->loop);
}

/* ---- what must hold ---- */

static int next_of(const struct run *run, const char *name, int at)
{
    while (at < run->event_count && strcmp(run->events[at].counter, name) != 0)
        at++;
    return at;
}

static int count_of(const struct run *run, const char *name, enum event_kind kind)
{
    int count = 0;

    for (int i = next_of(run, name, 0); i < run->event_count; i = next_of(run, name, i + 1))
        count += run->events[i].kind == kind;
    return count;
}

/* All but when it was, which is when the file was opened. */
static bool same_event(struct event a, struct event b)
{
    a.time_ns = b.time_ns = 0;
    return memcmp(&a, &b, sizeof a) == 0;
}

static int differences(const struct run *a, const struct run *b, const char *name)
{
    int i = next_of(a, name, 0), k = next_of(b, name, 0), found = 0;

    for (; i < a->event_count && k < b->event_count;
         i = next_of(a, name, i + 1), k = next_of(b, name, k + 1))
        found += !same_event(a->events[i], b->events[k]);
    return found + (i < a->event_count) + (k < b->event_count);
}

static void check_others(const struct detector *detector)
{
    static struct run plain, changed;

    play(&plain, NOTHING, detector);
    is_int(plain.pictures, PICTURES, "every picture is counted");
    is_int(count_of(&plain, "line", EVENT_LINE_CROSSING), 3,
           "one there and back over the line, one there");
    ok(count_of(&plain, "middle", EVENT_ZONE_ENTRY) >= 3, "three and more visits");
    play(&changed, OTHERS, detector);
    ok(changed.finished && changed.connects == 1 && changed.generations == 1,
       "other lines and zones come, move, change their names and go: the stream goes on");
    is_int(differences(&plain, &changed, "line"), 0, "the line that stays counts the same");
    is_int(differences(&plain, &changed, "middle"), 0, "so does the zone: visits and dwell");
    ok(memcmp(plain.in_middle, changed.in_middle, sizeof plain.in_middle) == 0,
       "and who is in it, picture by picture");
    ok(memcmp(plain.standing, changed.standing, sizeof plain.standing) == 0, "nobody is lost");
    ok(count_of(&changed, "new", EVENT_LINE_CROSSING) > 0, "the new line counts");
    ok(count_of(&changed, "other", EVENT_ZONE_ENTRY) > 0, "some were in the zone that goes");
    is_int(count_of(&changed, "other", EVENT_ZONE_EXIT),
           count_of(&changed, "other", EVENT_ZONE_ENTRY), "and left it");
    ok(count_of(&changed, "renamed", EVENT_ZONE_ENTRY) > 0, "and came into the one of that name");
    is_int(count_of(&changed, "renamed", EVENT_ZONE_EXIT),
           count_of(&changed, "renamed", EVENT_ZONE_ENTRY), "until that was gone, too");
    is_int(changed.in_other, 0, "of which nobody is told to be in it any more");
}

static void check_rate(const struct detector *detector)
{
    static struct run run;
    int               last, changes = 0, full = 0;

    play(&run, RATE, detector);
    last = run.pictures - 1;
    ok(run.finished && run.connects == 1 && run.generations == 1,
       "another rate: the stream goes on");
    ok(last > 40 && last < PICTURES - 15, "with fewer pictures: %d", run.pictures);
    for (int i = 0; i < last; i++)
        full += run.pts_ns[i + 1] - run.pts_ns[i] < INT64_C(150000000);
    ok(full >= 29 && full < 60, "the first %d in full", full + 1);
    is_near((double)(run.pts_ns[last] - run.pts_ns[last - 1]) * 1e-9, 2.0 / FPS, 0.02,
            "the last ones at the new rate");
    for (int i = 10; i < last; i++)
        changes += run.standing[i] != run.standing[9] && run.pts_ns[i] < INT64_C(7500000000);
    ok(run.standing[9] != 0 && changes == 0, "who stands there is the same all the time");
    is_int(count_of(&run, "line", EVENT_LINE_CROSSING), 3, "and the line counts on");
}

int main(void)
{
    char                     model[512];
    struct detector_settings settings = {
        .model_path = model, .backend = "cpu", .precision = PRECISION_F32};
    struct detector *detector = NULL;
    struct why       why      = {""};

    log_set_level(LOG_ERROR);
    av_log_set_level(AV_LOG_QUIET);
    snprintf(model, sizeof model, "%s", clip_path("bright.onnx"));
    if (!clip_make_drawn(clip_path("spots.mp4"), "mp4", &CLIP, draw_spots))
        skip_all("no encoder for H.264");
    write_model(model, true, -5);
    if (detector_open(&detector, &settings, &why) != 0) {
        ok(false, "detector_open: %s", why.text);
    } else {
        check_others(detector);
        check_rate(detector);
    }
    detector_close(&detector);
    unlink(model);
    unlink(clip_path("spots.mp4"));
    rmdir(clip_path(""));
    return done_testing();
}
