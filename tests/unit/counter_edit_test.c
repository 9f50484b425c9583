/* tests/unit/counter_edit_test.c: one object, and a line or zone that changes under it. links: count
 *
 * counter_change_test.c shows that what does not change goes on; here is what becomes of the rest. */
#include "server/count/counter.h"

#include "tests/counter_rules.h"
#include "tests/tap.h"

#define EVENTS_MAX 64
#define STEP_NS    INT64_C(100000000)

static struct event events[EVENTS_MAX];
static int          event_count;

static void collect(void *arg, const struct event *event)
{
    (void)arg;
    if (event_count < EVENTS_MAX)
        events[event_count++] = *event;
}

static struct counter *open_counter(const struct settings_camera *camera)
{
    struct counter *counter;
    struct why      why;

    event_count = 0;
    if (counter_open(&counter, camera, 1000, 500, &why) != 0) {
        ok(false, "counter_open: %s", why.text);
        exit(1);
    }
    return counter;
}

/* A person of 40 x 100 px whose feet are at (x, 300). */
static void see(struct counter *counter, double x, int picture)
{
    struct counter_time time  = {WALL_NS + picture * STEP_NS, picture * STEP_NS, (uint64_t)picture};
    struct track        track = {
               .id = 5, .seen = true, .last_seen_ns = time.pts_ns, .observations = picture + 1};

    track.box = (struct box){(float)x - 20, 200, (float)x + 20, 300, 0.8F, OBJECT_PERSON};
    counter_update(counter, &track, 1, &time, collect, NULL);
}

static void see_nobody(struct counter *counter, int picture)
{
    struct counter_time time = {WALL_NS + picture * STEP_NS, picture * STEP_NS, (uint64_t)picture};

    counter_update(counter, NULL, 0, &time, collect, NULL);
}

static void become(struct counter *counter, const struct settings_camera *camera)
{
    struct why why;

    if (counter_change(counter, camera, collect, NULL, &why) != 0)
        ok(false, "counter_change: %s", why.text);
}

static double seconds(int event)
{
    return (double)(events[event].time_ns - WALL_NS) * 1e-9;
}

static void half_over_a_line(void)
{
    struct settings_camera camera, none;
    struct counter        *counter;

    make_kept(&camera);
    camera.zone_count = 0;
    camera.line_count = 1;
    none              = camera;
    none.line_count   = 0;
    counter           = open_counter(&camera);
    see(counter, 480, 0);
    see(counter, 502, 1);
    add_line(&camera, make_line("other", 0.1F, 0, 0.1F, 1));
    become(counter, &camera);
    is_int(event_count, 0, "on the line while another is drawn: not yet over");
    see(counter, 540, 2);
    is_int(event_count, 1, "over");
    is_int(events[0].path_count, 3, "with its way since before the change");
    become(counter, &none);
    see(counter, 480, 3);
    see(counter, 540, 4);
    is_int(event_count, 1, "no line counts nothing");
    become(counter, &camera);
    see(counter, 480, 5);
    is_int(event_count, 1, "a line that comes back begins with the next picture");
    see(counter, 540, 6);
    is_int(event_count, 2, "and counts from then on");
    see(counter, 495, 7);
    camera.lines[0].points[0].x = camera.lines[0].points[1].x = 0.52F;
    become(counter, &camera);
    is_int(event_count, 3, "moved under somebody who is over it for more than half: counted");
    is_near(seconds(2), 0.689, 0.002, "when it was crossed");
    see(counter, 460, 8);
    is_int(event_count, 3, "and not once more");
    counter_close(&counter);
}

static void renamed_zone(void)
{
    struct settings_camera camera;
    struct counter        *counter;

    make_kept(&camera);
    camera.zone_count = 1;
    camera.line_count = 0;
    counter           = open_counter(&camera);
    for (int i = 0; i < 20; i++)
        see(counter, 400 + i, i);
    is_int(event_count, 1, "one is inside");
    snprintf(camera.zones[0].name, LIMIT_NAME_BYTES, "hall");
    become(counter, &camera);
    is_int(event_count, 2, "the zone gets another name");
    is_int(events[1].kind, EVENT_ZONE_EXIT, "he leaves the old one");
    is_text(events[1].counter, "keep middle", "by its name");
    is_int(events[1].dwell_ms, 1900, "after his stay");
    is_int(events[1].rule, events[0].rule, "under its rule");
    is_int(events[1].frame, 19, "by the last picture");
    is_int(crowd(counter, 0), 0, "nobody is in the new one");
    for (int i = 20; i < 30; i++)
        see(counter, 400 + i, i);
    is_int(event_count, 3, "he enters the new one");
    is_text(events[2].counter, "hall", "by its name");
    is_near(seconds(2), 2.0, 1e-6, "with the next picture");
    see_nobody(counter, 30);
    is_int(crowd(counter, 0), 1, "hidden");
    add_zone(&camera, make_zone("other", 0, 0, 0.1F, 0.1F));
    turn_round(&camera);
    become(counter, &camera);
    is_int(crowd(counter, 1), 1, "still inside after another change");
    is_int(crowd(counter, 0), 0, "and in nothing else");
    camera.zones[1].inertia = 4;
    become(counter, &camera);
    is_int(event_count, 4, "another inertia is another rule");
    is_int(events[3].dwell_ms, 900, "who is hidden left when he was last seen");
    counter_close(&counter);
}

static void other_classes(void)
{
    struct settings_camera camera;
    struct counter        *counter;

    make_kept(&camera);
    camera.line_count       = 1;
    camera.zone_count       = 1;
    camera.lines[0].classes = 1U << OBJECT_PERSON | 1U << OBJECT_CAR;
    counter                 = open_counter(&camera);
    for (int i = 0; i < 10; i++)
        see(counter, 400, i);
    see(counter, 502, 10);
    camera.classes = 1U << OBJECT_PERSON;
    become(counter, &camera);
    is_int(event_count, 1, "the camera counts persons only: whoever is inside stays");
    camera.classes = 1U << OBJECT_CAR;
    become(counter, &camera);
    is_int(event_count, 2, "cars only: he leaves");
    is_int(crowd(counter, 0), 0, "and is not inside");
    see(counter, 503, 11);
    is_int(event_count, 2, "nor counted");
    camera.classes = SETTINGS_ALL_CLASSES;
    become(counter, &camera);
    see(counter, 540, 12);
    is_int(event_count, 4, "everybody again");
    is_text(events[2].counter, "keep upright", "half over the line before, now he is over");
    is_int(events[3].kind, EVENT_ZONE_ENTRY, "and enters anew");
    is_near(seconds(3), 1.1, 1e-6, "from when he counts again");
    see_nobody(counter, 13);
    is_int(crowd(counter, 0), 1, "hidden");
    camera.classes = 1U << OBJECT_CAR;
    become(counter, &camera);
    is_int(event_count, 5, "cars only: the hidden one leaves, too");
    is_int(crowd(counter, 0), 0, "nobody");
    counter_close(&counter);
}

/* Between a stream that ended and the first picture of the next one. */
static void after_a_reset(void)
{
    struct settings_camera camera;
    struct counter        *counter;

    make_kept(&camera);
    camera.zone_count = 1;
    camera.line_count = 0;
    add_zone(&camera, make_zone("gone", 0.25F, 0.4F, 0.75F, 0.9F));
    counter = open_counter(&camera);
    for (int i = 0; i < 10; i++)
        see(counter, 400, i);
    is_int(event_count, 2, "in two zones");
    counter_reset(counter);
    camera.zone_count = 1;
    become(counter, &camera);
    is_int(event_count, 3, "he leaves the one that is gone");
    is_int(events[2].dwell_ms, 900, "when he was last seen");
    is_int(crowd(counter, 0), 0, "of the other nothing is known");
    see_nobody(counter, 11);
    is_int(crowd(counter, 0), 1, "but that he may come back");
    see_nobody(counter, 100);
    is_int(event_count, 4, "which he does not");
    is_int(events[3].dwell_ms, 900, "the same stay");
    counter_close(&counter);
}

int main(void)
{
    half_over_a_line();
    renamed_zone();
    other_classes();
    after_a_reset();
    return done_testing();
}
