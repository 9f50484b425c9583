/* tests/unit/counter_clips_test.c: recorded detections of real clips through tracker and counter,
 * against truth. links: count
 *
 * The truth was counted by eye. Each clip is counted at its full rate and at lower ones, as a
 * camera is that shares a machine with others. */
#include "server/count/counter.h"
#include "server/count/tracker.h"

#include "tests/detections.h"
#include "tests/tap.h"

struct clip {
    const char *name;
    int         width_px, height_px, frames;
    double      fps;
    int         line_count;
    struct {
        const char *name;
        float       x0, y0, x1, y1; /* px */
        int         a_to_b, b_to_a; /* by eye */
        int         tolerance;
    } lines[2];
};

static const struct clip clips[] = {
    {"opendatacam_street",
     640,
     360,
     499,
     25,
     2,
     {{"incoming", 115, 240, 435, 240, 24, 0, 2}, {"outgoing", 442, 240, 535, 240, 0, 11, 2}}},
    {"one-by-one-person-detection", 768, 432, 1394, 10, 1, {{"line", 600, 0, 600, 431, 0, 6, 0}}},
    {"pedestrian_survaillance", 626, 360, 242, 30, 1, {{"line", 313, 60, 313, 359, 4, 0, 0}}},
    {"vehicle_survaillance", 640, 352, 265, 24.04, 1, {{"line", 215, 200, 460, 200, 4, 0, 1}}},
};

static struct detections detections;

struct tally {
    int      a_to_b[2], b_to_a[2], entries, exits;
    uint32_t dwell_ms[16];
    double   latest_s; /* from a crossing to its event */
    uint64_t digest;
};

static void tally_event(void *arg, const struct event *event)
{
    struct tally *tally = arg;
    int           line  = event->counter[0] == 'o' ? 1 : 0;

    tally->digest = tally->digest * 31 + (uint64_t)event->time_ns + event->track;
    if (event->kind == EVENT_LINE_CROSSING) {
        tally->a_to_b[line] += event->direction == DIRECTION_A_TO_B;
        tally->b_to_a[line] += event->direction == DIRECTION_B_TO_A;
        tally->latest_s = fmax(tally->latest_s, (double)(event->pts_ns - event->time_ns) * 1e-9);
    } else if (event->kind == EVENT_ZONE_ENTRY) {
        tally->entries++;
    } else if (tally->exits < 16) {
        tally->dwell_ms[tally->exits++] = event->dwell_ms;
    }
}

static void make_camera(const struct clip *clip, struct settings_camera *camera)
{
    memset(camera, 0, sizeof *camera);
    camera->classes    = SETTINGS_ALL_CLASSES;
    camera->line_count = clip->line_count;
    for (int i = 0; i < clip->line_count; i++) {
        struct settings_line *line  = &camera->lines[i];
        float                 width = (float)clip->width_px, height = (float)clip->height_px;

        snprintf(line->name, sizeof line->name, "%s", clip->lines[i].name);
        line->classes     = SETTINGS_ALL_CLASSES;
        line->point_count = 2;
        line->points[0]   = (struct settings_point){clip->lines[i].x0 / width,
                                                    clip->lines[i].y0 / height};
        line->points[1]   = (struct settings_point){clip->lines[i].x1 / width,
                                                    clip->lines[i].y1 / height};
    }
}

/* Counts the clip at `fps` pictures a second, or at its own rate when that is lower. Returns the
 * most that were in the first zone at once. */
static uint32_t count_clip(const struct clip *clip, const struct settings_camera *camera,
                           double fps, struct tally *tally)
{
    struct tracker_settings settings = tracker_settings_default();
    struct tracker         *tracker  = NULL;
    struct counter         *counter  = NULL;
    struct counter_time     time     = {0};
    double                  next_s   = 0;
    uint32_t                most     = 0;

    memset(tally, 0, sizeof *tally);
    if (tracker_open(&tracker, &settings) != 0 ||
        counter_open(&counter, camera, clip->width_px, clip->height_px, NULL) != 0) {
        ok(false, "tracker and counter open");
        return 0;
    }
    for (int frame = 0; frame < clip->frames; frame++) {
        double              now_s = frame / clip->fps;
        const struct track *tracks;
        int                 count;

        if (now_s + 1e-9 < next_s)
            continue;
        while (next_s <= now_s + 1e-9)
            next_s += 1 / fps;
        time.pts_ns = time.wall_ns = (int64_t)(now_s * 1e9) + 1;
        time.frame                 = (uint64_t)frame;
        tracker_update(tracker, detections.boxes[frame], detections.counts[frame], time.pts_ns);
        tracks = tracker_tracks(tracker, &count);
        counter_update(counter, tracks, count, &time, tally_event, tally);
        if (camera->zone_count > 0) {
            uint32_t inside[OBJECT_CLASSES];
            counter_occupancy(counter, 0, inside);
            most = inside[OBJECT_PERSON] > most ? inside[OBJECT_PERSON] : most;
        }
    }
    counter_finish(counter, &time, tally_event, tally);
    counter_close(&counter);
    tracker_close(&tracker);
    return most;
}

static void check_clip(const struct clip *clip)
{
    static const double rates[] = {1000, 10, 5};

    for (int r = 0; r < 3; r++) {
        struct settings_camera camera;
        struct tally           tally, again;

        if (rates[r] == clip->fps)
            continue;
        make_camera(clip, &camera);
        count_clip(clip, &camera, rates[r], &tally);
        for (int i = 0; i < clip->line_count; i++)
            ok(abs(tally.a_to_b[i] - clip->lines[i].a_to_b) <= clip->lines[i].tolerance &&
                   abs(tally.b_to_a[i] - clip->lines[i].b_to_a) <= clip->lines[i].tolerance,
               "%s, %s, %.4g a second: %d and %d, by eye %d and %d", clip->name,
               clip->lines[i].name, fmin(rates[r], clip->fps), tally.a_to_b[i], tally.b_to_a[i],
               clip->lines[i].a_to_b, clip->lines[i].b_to_a);
        ok(tally.latest_s < 0.7, "every event within %.2f s of its crossing", tally.latest_s);
        count_clip(clip, &camera, rates[r], &again);
        ok(tally.digest == again.digest, "and the same events once more");
    }
}

/* The people at the table: who is in the zone, and how long. */
static void table_zone(const struct clip *clip)
{
    static const double visits_s[6][2] = {{6.6, 18.9},  {23.2, 43.9},  {51.0, 69.0},
                                          {75.2, 85.8}, {92.5, 118.8}, {123.8, 134.9}};
    static const double rates[]        = {10, 5};
    /* The truth is good to 0.6 s; at 5 pictures a second another picture may be missing. */
    static const double tolerance_s[] = {0.6, 0.8};

    for (int r = 0; r < 2; r++) {
        struct settings_camera camera;
        struct tally           tally;
        uint32_t               most;

        make_camera(clip, &camera);
        camera.zone_count           = 1;
        camera.zones[0].classes     = SETTINGS_ALL_CLASSES;
        camera.zones[0].inertia     = 3;
        camera.zones[0].point_count = 4;
        camera.zones[0].points[0]   = (struct settings_point){330.0F / 768, 0};
        camera.zones[0].points[1]   = (struct settings_point){600.0F / 768, 0};
        camera.zones[0].points[2]   = (struct settings_point){600.0F / 768, 431.0F / 432};
        camera.zones[0].points[3]   = (struct settings_point){330.0F / 768, 431.0F / 432};
        snprintf(camera.zones[0].name, sizeof camera.zones[0].name, "table");
        most = count_clip(clip, &camera, rates[r], &tally);
        is_int(tally.entries, 6, "%.0f a second: six come to the table", rates[r]);
        is_int(tally.exits, 6, "and six leave it");
        is_int(most, 1, "one at a time");
        for (int i = 0; i < 6 && i < tally.exits; i++)
            is_near(tally.dwell_ms[i] * 1e-3, visits_s[i][1] - visits_s[i][0], tolerance_s[r],
                    "visit %d: its dwell in s", i + 1);
    }
}

int main(void)
{
    const char *folder = material();

    if (folder == NULL)
        skip_all("no material: the recorded detections are not there");
    for (size_t i = 0; i < sizeof clips / sizeof clips[0]; i++) {
        if (!ok(detections_load(&detections, folder, clips[i].name), "detections of %s",
                clips[i].name))
            continue;
        check_clip(&clips[i]);
        if (i == 1)
            table_zone(&clips[i]);
    }
    return done_testing();
}
