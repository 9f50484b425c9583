/* tests/unit/counter_test.c: tracks over the lines and zones of a camera become events.
 * links: count */
#include "server/count/counter.h"

#include "tests/tap.h"

#define WIDTH   1000
#define HEIGHT  500
#define STEP_NS INT64_C(100000000)
#define WALL_NS INT64_C(1700000000000000000)

static struct event events[512];
static int          event_count;

static void collect(void *arg, const struct event *event)
{
    (void)arg;
    if (event_count < 512)
        events[event_count++] = *event;
}

static int of_kind(enum event_kind kind)
{
    int count = 0;

    for (int i = 0; i < event_count; i++)
        count += events[i].kind == kind;
    return count;
}

/* A line up the middle of the picture (A on the left), and a zone over its right half. */
static struct settings_camera make_camera(void)
{
    struct settings_camera camera;

    memset(&camera, 0, sizeof camera);
    snprintf(camera.name, sizeof camera.name, "gate");
    camera.classes    = SETTINGS_ALL_CLASSES;
    camera.line_count = 1;
    snprintf(camera.lines[0].name, sizeof camera.lines[0].name, "door");
    camera.lines[0].point_count = 2;
    camera.lines[0].points[0]   = (struct settings_point){0.5F, 1.0F};
    camera.lines[0].points[1]   = (struct settings_point){0.5F, 0.0F};
    camera.lines[0].classes     = SETTINGS_ALL_CLASSES;
    camera.zone_count           = 1;
    snprintf(camera.zones[0].name, sizeof camera.zones[0].name, "hall");
    camera.zones[0].point_count = 4;
    camera.zones[0].points[0]   = (struct settings_point){0.6F, 0.2F};
    camera.zones[0].points[1]   = (struct settings_point){0.9F, 0.2F};
    camera.zones[0].points[2]   = (struct settings_point){0.9F, 0.9F};
    camera.zones[0].points[3]   = (struct settings_point){0.6F, 0.9F};
    camera.zones[0].classes     = SETTINGS_ALL_CLASSES;
    camera.zones[0].inertia     = 3;
    return camera;
}

static struct counter *open_counter(const struct settings_camera *camera)
{
    struct counter *counter;
    struct why      why;

    event_count = 0;
    if (counter_open(&counter, camera, WIDTH, HEIGHT, &why) != 0) {
        ok(false, "counter_open: %s", why.text);
        exit(1);
    }
    return counter;
}

/* A person of 40 x 100 px whose feet are at (x, y). */
static struct track person(uint64_t id, double x, double y, int picture)
{
    struct track track = {.id           = id,
                          .seen         = true,
                          .first_ns     = picture * STEP_NS,
                          .last_seen_ns = picture * STEP_NS,
                          .observations = picture,
                          .confidence   = 0.75F,
                          .class_share  = 0.9F};

    track.box = (struct box){(float)x - 20, (float)y - 100, (float)x + 20,
                             (float)y,      0.8F,           OBJECT_PERSON};
    return track;
}

static struct counter_time at(int picture)
{
    return (struct counter_time){WALL_NS + picture * STEP_NS, picture * STEP_NS, (uint64_t)picture};
}

static void update(struct counter *counter, const struct track *tracks, int count, int picture)
{
    struct counter_time time = at(picture);

    counter_update(counter, tracks, count, &time, collect, NULL);
}

static void crossing(void)
{
    struct settings_camera camera  = make_camera();
    struct counter        *counter = open_counter(&camera);
    struct track           track;

    for (int i = 0; i < 10; i++) {
        track = person(5, 425 + 20 * i, 300, i);
        update(counter, &track, 1, i);
        if (i == 3)
            is_int(event_count, 0, "nothing before the line");
        if (i == 4)
            is_int(event_count, 1, "counted in the first picture beyond the band");
    }
    is_int(of_kind(EVENT_LINE_CROSSING), 1, "one crossing");
    is_int(events[0].direction, DIRECTION_A_TO_B, "from A to B");
    is_near((double)(events[0].time_ns - WALL_NS), 3.75e8, 1e5, "at the time of the crossing");
    is_int(events[0].frame, 4, "decided by its picture");
    is_int(events[0].pts_ns, 4 * STEP_NS, "at that picture's media time");
    is_text(events[0].camera, "gate", "camera");
    is_text(events[0].counter, "door", "line");
    is_int(events[0].object_class, OBJECT_PERSON, "class");
    is_int(events[0].track, 5, "track");
    is_int(events[0].seq, 0, "no place in the ledger yet");
    is_near(events[0].confidence, 0.75, 1e-6, "confidence");
    is_near(events[0].class_share, 0.9, 1e-6, "class share");
    is_int(events[0].path_count, 5, "the way so far is kept");
    is_near(events[0].path[0].x, 0.425, 1e-6, "from its first point");
    is_near(events[0].path[4].y, 0.6, 1e-6, "to the one that decided");
    /* It stands in every ledger: another number would say that another rule counts since then. */
    is_int(events[0].rule, 0xbe1f7594, "the rule's digest, the same for ever");
    counter_close(&counter);
    ok(counter == NULL, "closed");
}

static void late_confirmation(void)
{
    struct settings_camera   camera  = make_camera();
    struct counter          *counter = open_counter(&camera);
    struct track_observation early[4];
    struct track             track = person(9, 560, 300, 5);

    for (int i = 0; i < 4; i++)
        early[i] = (struct track_observation){(i + 1) * STEP_NS,
                                              person(9, 400 + 40 * i, 300, i + 1).box};
    track.first_ns    = STEP_NS;
    track.early       = early;
    track.early_count = 4;
    update(counter, NULL, 0, 4);
    update(counter, &track, 1, 5);
    is_int(event_count, 1, "a crossing before the confirmation is counted");
    is_near((double)(events[0].time_ns - WALL_NS), 3.5e8, 1e5, "at its own time");
    counter_close(&counter);
}

static void unseen_and_lost(void)
{
    struct settings_camera camera  = make_camera();
    struct counter        *counter = open_counter(&camera);
    struct track           track;

    for (int i = 0; i < 8; i++) {
        track = person(1, 400 + 10 * i, 300, i);
        update(counter, &track, 1, i);
    }
    for (int i = 8; i < 20; i++) { /* predicted far over the line, but never seen there */
        track      = person(1, 400 + 10 * i, 300, i);
        track.seen = false;
        update(counter, &track, 1, i);
    }
    is_int(event_count, 0, "what is only predicted crosses nothing");
    counter_close(&counter);
    counter = open_counter(&camera);
    for (int i = 0; i < 8; i++) {
        track         = person(1, 400 + 20 * i, 300, i);
        track.seen    = i < 4;
        track.covered = i >= 4;
        update(counter, &track, 1, i);
    }
    is_int(event_count, 1, "who is covered by a companion crosses with him");
    counter_close(&counter);
    counter = open_counter(&camera);
    for (int i = 0; i < 8; i++) {
        track = person(1, 400 + 10 * i, 300, i);
        update(counter, &track, 1, i);
    }
    track = person(1, 640, 300, 20);
    update(counter, &track, 1, 20);
    is_int(of_kind(EVENT_LINE_CROSSING), 1, "found again on the other side, it has crossed");
    update(counter, NULL, 0, 21);
    event_count = 0;

    for (int i = 22; i < 30; i++) {
        track = person(2, 503.2 - 15 * (29 - i), 300, i);
        update(counter, &track, 1, i);
    }
    is_int(event_count, 0, "within the band: not yet");
    update(counter, NULL, 0, 30);
    is_int(event_count, 1, "lost there, past the line and on its way: counted");
    counter_close(&counter);
}

static void classes(void)
{
    struct settings_camera camera = make_camera();
    struct counter        *counter;

    camera.lines[0].classes = 1U << OBJECT_CAR;
    counter                 = open_counter(&camera);
    for (int i = 0; i < 10; i++) {
        struct track tracks[2] = {person(1, 400 + 20 * i, 300, i), person(2, 400 + 20 * i, 400, i)};
        tracks[1].box.object_class = OBJECT_CAR;
        update(counter, tracks, 2, i);
    }
    is_int(of_kind(EVENT_LINE_CROSSING), 1, "a line for cars counts cars");
    is_int(events[0].track, 2, "and only them");
    counter_close(&counter);

    camera         = make_camera();
    camera.classes = 1U << OBJECT_CAR;
    counter        = open_counter(&camera);
    for (int i = 0; i < 10; i++) {
        struct track track = person(1, 400 + 20 * i, 300, i);
        update(counter, &track, 1, i);
    }
    is_int(event_count, 0, "classes that the camera does not count are not counted");
    counter_close(&counter);
}

static uint32_t occupancy(const struct counter *counter)
{
    uint32_t inside[OBJECT_CLASSES], sum = 0;

    counter_occupancy(counter, 0, inside);
    for (int i = 0; i < OBJECT_CLASSES; i++)
        sum += inside[i];
    return sum;
}

static void zone_visit(void)
{
    struct settings_camera camera  = make_camera();
    struct counter        *counter = open_counter(&camera);
    struct track           track;

    for (int i = 0; i < 60; i++) {
        double x = i < 20 ? 550 + 10 * i : i < 40 ? 750 : 750 + 10 * (i - 40);
        track    = person(3, x, 300, i);
        update(counter, &track, 1, i);
        if (i == 30)
            is_int(occupancy(counter), 1, "one inside");
    }
    is_int(of_kind(EVENT_ZONE_ENTRY), 1, "one entry");
    is_int(of_kind(EVENT_ZONE_EXIT), 1, "one exit");
    is_near((double)(events[0].time_ns - WALL_NS), 5e8, 1e5, "entry at its true time");
    is_near((double)(events[1].time_ns - WALL_NS), 5.5e9, 1e5, "exit at its true time");
    is_int(events[1].dwell_ms, 5000, "dwell");
    is_text(events[1].counter, "hall", "zone");
    is_int(events[1].direction, DIRECTION_NONE, "no direction");
    is_int(occupancy(counter), 0, "nobody inside");
    counter_close(&counter);
}

static void hidden_in_a_zone(void)
{
    struct settings_camera camera  = make_camera();
    struct counter        *counter = open_counter(&camera);
    struct track           track;
    int                    picture = 0;

    for (; picture < 20; picture++) {
        track = person(3, 550 + 10 * picture, 300, picture);
        update(counter, &track, 1, picture);
    }
    for (; picture < 40; picture++) { /* lost, then gone */
        track      = person(3, 740, 300, picture);
        track.seen = false;
        update(counter, &track, picture < 30, picture);
    }
    is_int(of_kind(EVENT_ZONE_EXIT), 0, "who is hidden inside has not left");
    is_int(occupancy(counter), 1, "and is still inside");
    for (; picture < 60; picture++) { /* found again near by, as another track */
        track          = person(8, 750, 310, picture);
        track.first_ns = 40 * STEP_NS;
        update(counter, &track, 1, picture);
    }
    is_int(of_kind(EVENT_ZONE_ENTRY), 1, "found again as a new track: no second entry");
    is_int(of_kind(EVENT_ZONE_EXIT), 0, "and no exit");
    is_int(occupancy(counter), 1, "one inside");
    for (int i = 0; i < 30; i++, picture++) {
        track = person(8, 750 + 10 * i, 310, picture);
        update(counter, &track, 1, picture);
    }
    is_int(of_kind(EVENT_ZONE_EXIT), 1, "leaves once");
    is_int(events[event_count - 1].dwell_ms, 7000, "after the whole time");
    is_int(occupancy(counter), 0, "nobody inside");
    counter_close(&counter);
}

static void lost_in_a_zone(void)
{
    struct settings_camera camera  = make_camera();
    struct counter        *counter = open_counter(&camera);
    struct track           track;
    int                    picture = 0;

    for (; picture < 20; picture++) {
        track = person(3, 550 + 10 * picture, 300, picture);
        update(counter, &track, 1, picture);
    }
    for (; picture < 100; picture++)
        update(counter, NULL, 0, picture);
    is_int(of_kind(EVENT_ZONE_EXIT), 1, "who never comes back has left");
    is_near((double)(events[event_count - 1].time_ns - WALL_NS), 1.9e9, 1e5, "when last seen");
    is_int(events[event_count - 1].dwell_ms, 1400, "with the dwell until then");

    event_count = 0;
    for (; picture < 120; picture++) {
        struct track two[2] = {person(4, 700, 300, picture), person(5, 720, 300, picture)};
        two[0].first_ns = two[1].first_ns = 100 * STEP_NS;
        two[0].seen                       = picture < 110;
        two[0].last_seen_ns               = (picture < 110 ? picture : 109) * STEP_NS;
        update(counter, two, 2, picture);
    }
    is_int(of_kind(EVENT_ZONE_ENTRY), 2, "two beside each other are two");
    is_int(occupancy(counter), 2, "also while one of them is hidden");
    counter_close(&counter);
}

static void restart(void)
{
    struct settings_camera camera  = make_camera();
    struct counter        *counter = open_counter(&camera);
    struct counter_time    time;
    struct track           track;

    for (int i = 0; i < 20; i++) {
        track = person(3, 550 + 10 * i, 300, i);
        update(counter, &track, 1, i);
    }
    counter_reset(counter);
    is_int(occupancy(counter), 0, "nothing is known after a restart");
    /* The stream's clock begins anew, 2 s later on the wall. */
    for (int i = 0; i < 10; i++) {
        track = person(4, 745, 300, i);
        time  = (struct counter_time){WALL_NS + (40 + i) * STEP_NS, i * STEP_NS, (uint64_t)i};
        counter_update(counter, &track, 1, &time, collect, NULL);
    }
    is_int(of_kind(EVENT_ZONE_ENTRY), 1, "who stands where he stood goes on with his visit");
    is_int(of_kind(EVENT_ZONE_EXIT), 0, "without an exit");
    counter_resize(counter, 2 * WIDTH, 2 * HEIGHT);
    for (int i = 10; i < 20; i++) {
        track = person(5, 1490, 600, i);
        time  = (struct counter_time){WALL_NS + (40 + i) * STEP_NS, i * STEP_NS, (uint64_t)i};
        counter_update(counter, &track, 1, &time, collect, NULL);
    }
    is_int(of_kind(EVENT_ZONE_ENTRY), 1, "also when the picture's size changes");
    counter_finish(counter, &time, collect, NULL);
    is_int(of_kind(EVENT_ZONE_EXIT), 1, "the end of the file ends the visit");
    is_near(events[event_count - 1].dwell_ms, 5400, 1, "with its whole dwell");
    is_int(occupancy(counter), 0, "nobody inside");
    counter_close(&counter);
}

static void many(void)
{
    static struct track    tracks[LIMIT_TRACKS];
    struct settings_camera camera = make_camera();
    struct counter        *counter;

    camera.zone_count = 0;
    counter           = open_counter(&camera);
    for (int picture = 0; picture < 40; picture++) {
        /* Every picture other tracks are gone and new ones there: all slots turn over. */
        for (int i = 0; i < LIMIT_TRACKS; i++)
            tracks[i] = person((uint64_t)(picture * LIMIT_TRACKS / 2 + i + 1),
                               460 + 40 * (picture % 3), 100 + i % 300, picture);
        update(counter, tracks, LIMIT_TRACKS, picture);
    }
    ok(event_count == 512, "512 tracks at once, half of them new each time");
    counter_close(&counter);
}

static void refusals(void)
{
    struct settings_camera camera = make_camera();
    struct counter        *counter;
    struct why             why;

    ok(counter_open(&counter, &camera, 0, 480, &why) < 0, "no picture of no width: %s", why.text);
    ok(counter == NULL, "and nothing half-open");
    ok(counter_open(&counter, &camera, 640, LIMIT_PICTURE_PX + 1, &why) < 0, "none too high: %s",
       why.text);
    counter_close(&counter);
}

int main(void)
{
    crossing();
    late_confirmation();
    unseen_and_lost();
    classes();
    zone_visit();
    hidden_in_a_zone();
    lost_in_a_zone();
    restart();
    many();
    refusals();
    return done_testing();
}
