/* tests/unit/counter_change_test.c: lines and zones change while objects are counted, and those that
 * do not change give the same events as if nothing had happened. links: count
 *
 * Of random walkers and of recorded detections, each under many schedules of changes: the events
 * and the occupancy of what stays must be those of the run without a change, to the last byte; and
 * of what comes and goes, whoever entered has left by the time that it is gone. */
#include "server/count/counter.h"
#include "server/count/tracker.h"

#include "tests/counter_rules.h"
#include "tests/detections.h"
#include "tests/tap.h"

#define EVENTS_MAX 20000

/* ---- a scene: boxes of pictures ---- */

struct scene {
    const char *name;
    int         width_px, height_px, frames, fps;
    bool        restarts; /* its stream begins again now and then, also in another size */
};

static struct detections detections;

static uint64_t random_state = 7;

static double random_between(double low, double high)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return low + (high - low) * (double)(random_state >> 11) / 9007199254740992.0;
}

struct walker {
    double            x, y, speed_x, speed_y;
    int               hidden; /* for so many pictures */
    enum object_class object_class;
};

static void walk(struct walker *walker, const struct scene *scene)
{
    walker->x += walker->speed_x;
    walker->y += walker->speed_y;
    if (walker->x < -60 || walker->x > scene->width_px + 60)
        walker->speed_x = -walker->speed_x;
    if (walker->y < 60 || walker->y > scene->height_px + 60)
        walker->speed_y = -walker->speed_y;
    if (random_between(0, 1) < 0.03) {
        walker->speed_x = random_between(-18, 18);
        walker->speed_y = random_between(-9, 9);
    }
    if (random_between(0, 1) < 0.02) /* stands still */
        walker->speed_x = walker->speed_y = 0;
    if (walker->hidden > 0)
        walker->hidden--;
    else if (random_between(0, 1) < 0.02)
        walker->hidden = (int)random_between(1, 60);
}

/* Walkers that stop, turn, blink, hide for seconds and leave the picture. */
static void make_walkers(const struct scene *scene)
{
    struct walker walkers[14];

    random_state = 7;
    for (int i = 0; i < 14; i++)
        walkers[i] = (struct walker){random_between(0, scene->width_px),
                                     random_between(80, scene->height_px),
                                     random_between(-15, 15),
                                     random_between(-8, 8),
                                     0,
                                     i % 3 == 0 ? OBJECT_CAR : OBJECT_PERSON};
    memset(detections.counts, 0, sizeof detections.counts);
    for (int frame = 0; frame < scene->frames; frame++)
        for (int i = 0; i < 14; i++) {
            struct walker *walker = &walkers[i];
            double x = walker->x + random_between(-2, 2), y = walker->y + random_between(-2, 2);

            if (walker->hidden == 0 && random_between(0, 1) > 0.05)
                detections.boxes[frame][detections.counts[frame]++] = (struct box){
                    (float)x - 20, (float)y - 90, (float)x + 20,
                    (float)y,      0.8F,          walker->object_class};
            walk(walker, scene);
        }
}

/* ---- rules ---- */

static void make_others(struct settings_camera *camera, int lines, int zones, float shift)
{
    char name[32];

    for (int i = 0; i < lines && camera->line_count < LIMIT_LINES; i++) {
        snprintf(name, sizeof name, "line %d", i);
        add_line(camera, make_line(name, 0.03F * (float)i + shift, 0, 0.03F * (float)i + shift, 1));
    }
    for (int i = 0; i < zones && camera->zone_count < LIMIT_ZONES; i++) {
        snprintf(name, sizeof name, "zone %d", i);
        add_zone(camera, make_zone(name, 0.02F * (float)i + shift, 0.2F, 0.4F + shift, 1));
    }
}

enum schedule {
    NO_CHANGE,
    LINE_MOVED,
    BACK_AND_FORTH,
    RENAMED,
    ALL_OTHERS_GO,
    THE_MOST,
    TURNED_ROUND,
    DIRECTIONS_RENAMED,
    EACH_PICTURE,
    SCHEDULES
};

static const char *const schedule_names[] = {
    "no change",      "one line moved",     "back and forth",
    "others renamed", "others go and come", "as many as can",
    "turned round",   "other directions",   "a change each picture"};

/* The camera as of that picture. */
static void make_rules(struct settings_camera *camera, enum schedule schedule, int frame,
                       int frames)
{
    bool late = frame >= frames / 2;
    int  turn = frame / 40;

    make_kept(camera);
    switch (schedule) {
    case LINE_MOVED:
        make_others(camera, 1, 1, 0.1F);
        camera->lines[2].points[0].x += late ? 0.2F : 0;
        break;
    case BACK_AND_FORTH:
        make_others(camera, 3, 3, turn % 2 == 0 ? 0.1F : 0.15F);
        break;
    case RENAMED:
        make_others(camera, 2, 2, 0.1F);
        snprintf(camera->lines[3].name, LIMIT_NAME_BYTES, "line %d", 9 + turn);
        snprintf(camera->zones[3].name, LIMIT_NAME_BYTES, "zone %d", 9 + turn);
        break;
    case ALL_OTHERS_GO:
        make_others(camera, turn % 3, turn % 4, 0.2F);
        break;
    case THE_MOST:
        make_others(camera, late ? LIMIT_LINES : 0, late ? LIMIT_ZONES : 0, 0);
        break;
    case TURNED_ROUND:
        make_others(camera, 4, 3, 0.1F);
        if (turn % 2 == 1)
            turn_round(camera);
        break;
    case DIRECTIONS_RENAMED:
        make_others(camera, 1, 0, 0.1F);
        snprintf(camera->lines[0].a_to_b, LIMIT_NAME_BYTES, "way %d", turn);
        snprintf(camera->lines[1].b_to_a, LIMIT_NAME_BYTES, "way %d", turn);
        break;
    case EACH_PICTURE:
        make_others(camera, frame % 5, frame * 7 % 4, 0.01F * (float)(frame % 3));
        if (frame % 2 == 1)
            turn_round(camera);
        break;
    case NO_CHANGE:
    case SCHEDULES:
        break;
    }
}

/* ---- a run ---- */

/* How many entered a zone and have not left it, by the events. */
struct tally {
    char zone[LIMIT_NAME_BYTES];
    int  inside;
};

#define TALLIES_MAX 128

struct run {
    struct event *events; /* EVENTS_MAX */
    int           count;
    uint32_t      inside_digest; /* of the occupancy of what is kept, picture by picture */
    struct tally  tallies[TALLIES_MAX];
    int           tally_count;
    int           changes;
    int           left_open;   /* visits to what was gone already */
    int           wrong_crowd; /* occupancies that were not those of the events */
    int           shaken;      /* occupancies of what is kept that a change alone altered */
};

static struct tally *tally_of(struct run *run, const char *zone)
{
    int i = 0;

    while (i < run->tally_count && strcmp(run->tallies[i].zone, zone) != 0)
        i++;
    if (i == TALLIES_MAX)
        exit(1);
    if (i == run->tally_count)
        snprintf(run->tallies[run->tally_count++].zone, LIMIT_NAME_BYTES, "%s", zone);
    return &run->tallies[i];
}

static void collect(void *arg, const struct event *event)
{
    struct run *run = arg;

    if (run->count == EVENTS_MAX)
        exit(1);
    run->events[run->count++] = *event;
    if (event->kind != EVENT_LINE_CROSSING)
        tally_of(run, event->counter)->inside += event->kind == EVENT_ZONE_ENTRY ? 1 : -1;
}

static bool is_kept(const char *name)
{
    return strncmp(name, "keep", 4) == 0;
}

static int zone_index(const struct settings_camera *camera, const char *name)
{
    for (int i = 0; i < camera->zone_count; i++)
        if (strcmp(camera->zones[i].name, name) == 0)
            return i;
    return -1;
}

static void change(struct run *run, struct counter *counter, const struct settings_camera *old,
                   const struct settings_camera *camera)
{
    struct why why;
    int        before[LIMIT_ZONES], after;

    for (int i = 0; i < old->zone_count; i++)
        before[i] = crowd(counter, i);
    if (counter_change(counter, camera, collect, run, &why) != 0)
        ok(false, "counter_change: %s", why.text);
    run->changes++;
    for (int i = 0; i < old->zone_count; i++) {
        after = zone_index(camera, old->zones[i].name);
        if (is_kept(old->zones[i].name))
            run->shaken += crowd(counter, after) != before[i];
        else if (after < 0)
            run->left_open += tally_of(run, old->zones[i].name)->inside != 0;
    }
}

/* A stream that begins again now and then, half as large every second time. */
static float restart(const struct scene *scene, int frame, struct tracker *tracker,
                     struct counter *counter)
{
    int turn = frame / 211;

    if (!scene->restarts)
        return 1;
    if (frame > 0 && frame % 211 == 0) {
        tracker_reset(tracker);
        counter_resize(counter, scene->width_px / (turn % 2 + 1),
                       scene->height_px / (turn % 2 + 1));
    } else if (frame > 0 && frame % 97 == 0) {
        tracker_reset(tracker);
        counter_reset(counter);
    }
    return turn % 2 == 1 ? 0.5F : 1;
}

static void count_picture(const struct scene *scene, int frame, struct tracker *tracker,
                          struct counter *counter, float scale, struct run *run)
{
    int64_t             time_ns = INT64_C(1000000000) * frame / scene->fps + 1;
    struct counter_time time    = {WALL_NS + time_ns, time_ns, (uint64_t)frame};
    struct box          boxes[LIMIT_BOXES];
    const struct track *tracks;
    int                 count = detections.counts[frame];

    memcpy(boxes, detections.boxes[frame], sizeof boxes);
    for (int i = 0; i < count; i++) {
        boxes[i].x0 *= scale;
        boxes[i].y0 *= scale;
        boxes[i].x1 *= scale;
        boxes[i].y1 *= scale;
    }
    tracker_update(tracker, boxes, count, time_ns);
    tracks = tracker_tracks(tracker, &count);
    counter_update(counter, tracks, count, &time, collect, run);
}

static void note_crowd(const struct counter *counter, const struct settings_camera *camera,
                       struct run *run)
{
    for (int i = 0; i < camera->zone_count; i++)
        if (!is_kept(camera->zones[i].name))
            run->wrong_crowd += crowd(counter, i) != tally_of(run, camera->zones[i].name)->inside;
    run->inside_digest = run->inside_digest * 31 +
                         (uint32_t)crowd(counter, zone_index(camera, "keep middle"));
    run->inside_digest = run->inside_digest * 31 +
                         (uint32_t)crowd(counter, zone_index(camera, "keep people"));
}

static void count_scene(const struct scene *scene, enum schedule schedule, struct run *run)
{
    static struct settings_camera camera, next;
    struct tracker_settings       settings = tracker_settings_default();
    struct tracker               *tracker  = NULL;
    struct counter               *counter  = NULL;
    struct counter_time           time;
    int64_t                       end_ns = INT64_C(1000000000) * (scene->frames - 1) / scene->fps;

    *run = (struct run){.events = run->events};
    make_rules(&camera, schedule, 0, scene->frames);
    if (tracker_open(&tracker, &settings) != 0 ||
        counter_open(&counter, &camera, scene->width_px, scene->height_px, NULL) != 0) {
        ok(false, "tracker and counter open");
        exit(1);
    }
    for (int frame = 0; frame < scene->frames; frame++) {
        float scale = restart(scene, frame, tracker, counter);

        make_rules(&next, schedule, frame, scene->frames);
        if (!settings_camera_equal(&camera, &next))
            change(run, counter, &camera, &next);
        camera = next;
        count_picture(scene, frame, tracker, counter, scale, run);
        note_crowd(counter, &camera, run);
    }
    time = (struct counter_time){WALL_NS + end_ns + 1, end_ns + 1, (uint64_t)scene->frames - 1};
    counter_finish(counter, &time, collect, run);
    for (int i = 0; i < camera.zone_count; i++)
        run->left_open += tally_of(run, camera.zones[i].name)->inside != 0;
    counter_close(&counter);
    tracker_close(&tracker);
}

/* ---- what must hold ---- */

/* The next event of that line or zone, from `at` on. */
static int next_of(const struct run *run, const char *name, int at)
{
    while (at < run->count && strcmp(run->events[at].counter, name) != 0)
        at++;
    return at;
}

/* How many of the events of one line or zone are not the same in both. */
static int differences(const struct run *a, const struct run *b, const char *name, int *compared)
{
    int i = next_of(a, name, 0), k = next_of(b, name, 0), found = 0;

    while (i < a->count && k < b->count) {
        found += memcmp(&a->events[i], &b->events[k], sizeof a->events[i]) != 0;
        (*compared)++;
        i = next_of(a, name, i + 1);
        k = next_of(b, name, k + 1);
    }
    for (; i < a->count; i = next_of(a, name, i + 1))
        found++;
    for (; k < b->count; k = next_of(b, name, k + 1))
        found++;
    return found;
}

static void check_scene(const struct scene *scene, struct run *plain, struct run *changed)
{
    static const char *const names[] = {"keep upright", "keep level", "keep middle", "keep people"};

    count_scene(scene, NO_CHANGE, plain);
    for (int schedule = LINE_MOVED; schedule < SCHEDULES; schedule++) {
        int found = 0, compared = 0;

        count_scene(scene, (enum schedule)schedule, changed);
        ok(changed->changes > 0, "%s, %s: %d changes", scene->name, schedule_names[schedule],
           changed->changes);
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            found += differences(plain, changed, names[i], &compared);
        ok(found == 0 && compared == plain->count && compared > 0,
           "%d events of what stays: the same but for %d", compared, found);
        ok(changed->inside_digest == plain->inside_digest && changed->shaken == 0,
           "who is inside, too");
        is_int(changed->left_open, 0, "whoever was in what is gone has left it");
        is_int(changed->wrong_crowd, 0, "%d other events: who is inside has entered and not left",
               changed->count - compared);
    }
}

static void scenes(void)
{
    static const struct scene clips[] = {
        {"opendatacam_street", 640, 360, 499, 25, false},
        {"one-by-one-person-detection", 768, 432, 1394, 10, false},
        {"pedestrian_survaillance", 626, 360, 242, 30, true},
    };
    static const struct scene walkers = {"walkers", 1000, 500, 700, 10, false};
    static const struct scene breaks  = {"walkers, restarts", 1000, 500, 700, 10, true};
    const char               *folder  = material();
    struct run                plain   = {.events = calloc(EVENTS_MAX, sizeof *plain.events)};
    struct run                changed = {.events = calloc(EVENTS_MAX, sizeof *changed.events)};

    if (plain.events == NULL || changed.events == NULL)
        exit(1);
    make_walkers(&walkers);
    check_scene(&walkers, &plain, &changed);
    check_scene(&breaks, &plain, &changed);
    for (size_t i = 0; i < sizeof clips / sizeof clips[0] && folder != NULL; i++)
        if (detections_load(&detections, folder, clips[i].name))
            check_scene(&clips[i], &plain, &changed);
    if (folder == NULL)
        diag("no material: recorded detections are left out");
    free(plain.events);
    free(changed.events);
}

int main(void)
{
    scenes();
    return done_testing();
}
