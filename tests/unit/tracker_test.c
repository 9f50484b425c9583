/* tests/unit/tracker_test.c: identities, classes and lives on synthetic boxes; the assignment's
 * optimum. links: count */
#include "server/count/assignment.h"
#include "server/count/kalman.h"
#include "server/count/tracker.h"

#include "tests/tap.h"

static uint64_t random_state = 11;

static double random_between(double low, double high)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return low + (high - low) * (double)(random_state >> 11) / 9007199254740992.0;
}

static struct tracker *open_tracker(void)
{
    struct tracker_settings settings = tracker_settings_default();
    struct tracker         *tracker;

    if (tracker_open(&tracker, &settings) != 0)
        exit(1);
    return tracker;
}

static struct box box_at(double x, double y, double width, double height,
                         enum object_class object_class)
{
    return (struct box){(float)(x - width / 2),
                        (float)(y - height),
                        (float)(x + width / 2),
                        (float)y,
                        0.8F,
                        object_class};
}

static int64_t at_fps(int picture, double fps)
{
    return (int64_t)(picture * 1e9 / fps) + 1;
}

static void one_walker(double fps)
{
    struct tracker     *tracker = open_tracker();
    const struct track *tracks;
    int                 count, most = 0, early = -1;
    uint64_t            id   = 0;
    bool                same = true;

    for (int i = 0; i < (int)(fps * 8); i++) {
        struct box box = box_at(100 + 60 * i / fps, 300, 40, 100, OBJECT_PERSON);
        tracker_update(tracker, &box, random_between(0, 1) > 0.1, at_fps(i, fps));
        tracks = tracker_tracks(tracker, &count);
        most   = count > most ? count : most;
        if (count == 0)
            continue;
        if (id == 0) {
            id    = tracks[0].id;
            early = tracks[0].early_count;
        } else {
            same = same && tracks[0].early_count == 0 && tracks[0].early == NULL;
        }
        same = same && tracks[0].id == id;
    }
    is_int(most, 1, "%.0f pictures a second: one walker is one track", fps);
    ok(same, "with one identity, though he blinks");
    ok(early >= 1, "and nothing of what was seen before it was given out is lost");
    tracks = tracker_tracks(tracker, &count);
    is_near(tracks[0].velocity_x, 60, 10, "his speed is known");
    tracker_close(&tracker);
}

/* A car that crosses the picture in a second: at 5 pictures a second it moves by more than its
 * length. */
static void fast_car(double fps)
{
    struct tracker     *tracker = open_tracker();
    const struct track *tracks;
    int                 count, pictures = 0;
    uint64_t            highest  = 0;
    int64_t             first_ns = -1;
    float               reached  = 0;

    for (int i = 0; i < (int)fps; i++) {
        struct box box = box_at(60 + 900 * i / fps, 300, 170, 80, OBJECT_CAR);
        tracker_update(tracker, &box, 1, at_fps(i, fps));
        tracks = tracker_tracks(tracker, &count);
        for (int k = 0; k < count; k++) {
            highest = tracks[k].id > highest ? tracks[k].id : highest;
            reached = tracks[k].seen ? tracks[k].box.x1 : reached;
            if (tracks[k].early_count > 0)
                first_ns = tracks[k].early[0].time_ns;
            pictures++;
        }
    }
    ok(pictures > 0 && highest == 1 && first_ns == at_fps(0, fps) && reached > 700,
       "%.0f pictures a second: a car at 5 lengths a second is one track from its first box to its "
       "last",
       fps);
    tracker_close(&tracker);
}

static void classes(void)
{
    struct tracker     *tracker = open_tracker();
    const struct track *tracks;
    int                 count;

    for (int i = 0; i < 30; i++) {
        struct box box = box_at(100 + 10 * i, 300, 120, 80, i % 3 == 0 ? OBJECT_TRUCK : OBJECT_CAR);
        tracker_update(tracker, &box, 1, at_fps(i, 10));
    }
    tracks = tracker_tracks(tracker, &count);
    is_int(count, 1, "car and truck in turn are one vehicle");
    is_int(tracks[0].box.object_class, OBJECT_CAR, "the vote's winner");
    is_near(tracks[0].class_share, 2.0 / 3.0, 0.01, "its share of the votes");
    for (int i = 30; i < 60; i++) {
        struct box box = box_at(100 + 10 * i, 300, 120, 80, OBJECT_PERSON);
        tracker_update(tracker, &box, 1, at_fps(i, 10));
    }
    tracks = tracker_tracks(tracker, &count);
    ok(count == 1 && tracks[0].id != 1 && tracks[0].box.object_class == OBJECT_PERSON,
       "a person in a car's place is a new object");
    for (int i = 60; i < 90; i++) {
        struct box boxes[2] = {box_at(100 + 10 * i, 300, 120, 80, OBJECT_CAR),
                               box_at(101 + 10 * i, 301, 122, 80, OBJECT_TRUCK)};
        tracker_update(tracker, boxes, 2, at_fps(i, 10));
    }
    tracks = tracker_tracks(tracker, &count);
    is_int(count, 1, "a pickup found as car and truck at once is one vehicle");
    tracker_close(&tracker);
}

/* Two meet and pass: for most of a second the detector finds one box for both. */
static void passing(void)
{
    struct tracker     *tracker = open_tracker();
    const struct track *tracks;
    int                 count;

    for (int i = 0; i < 60; i++) {
        double     left = 100 + 8 * i, right = 580 - 8 * i;
        struct box boxes[2] = {box_at(left, 300, 40, 100, OBJECT_PERSON),
                               box_at(right, 305, 40, 100, OBJECT_PERSON)};
        int        found    = 2;
        if (fabs(left - right) < 30) {
            boxes[0].x0 = fminf(boxes[0].x0, boxes[1].x0);
            boxes[0].x1 = fmaxf(boxes[0].x1, boxes[1].x1);
            found       = 1;
        }
        tracker_update(tracker, boxes, found, at_fps(i, 10));
    }
    tracks = tracker_tracks(tracker, &count);
    is_int(count, 2, "two who pass each other are two tracks afterwards");
    ok(count == 2 && tracks[0].id == 1 && tracks[1].id == 2, "the same two as before");
    ok(count == 2 && tracks[0].box.x0 > tracks[1].box.x0, "and neither turned round");
    tracker_close(&tracker);
}

/* Two walk side by side; from the 20th picture the detector finds one box for both, 3 s long. */
static void companions(void)
{
    struct tracker     *tracker = open_tracker();
    const struct track *tracks;
    int                 count = 0, covered = 0, worst_px = 0;

    for (int i = 0; i < 60; i++) {
        double     x        = 100 + 8 * i;
        struct box boxes[2] = {
            box_at(x, 300, 40, 100, OBJECT_PERSON),
            box_at(x + fmin(fmax(75 - 3 * i, 12), 45), 304, 40, 100, OBJECT_PERSON)};
        int found = 2;

        if (i >= 20 && i < 50) {
            boxes[0].x1 = boxes[1].x1;
            boxes[0].y1 = boxes[1].y1;
            found       = 1;
        }
        tracker_update(tracker, boxes, found, at_fps(i, 10));
        tracks = tracker_tracks(tracker, &count);
        if (i < 25 || i >= 50 || count != 2)
            continue;
        covered += tracks[0].covered + tracks[1].covered;
        for (int k = 0; k < 2; k++) {
            int off  = (int)fabs((tracks[k].box.x0 + tracks[k].box.x1) / 2 - (x + 6));
            worst_px = off > worst_px ? off : worst_px;
        }
    }
    is_int(count, 2, "two who walk together are two, though one box was found for 3 s");
    is_int(covered, 25, "one of them was covered all the time");
    ok(worst_px < 20, "and his place was known to %d px", worst_px);
    tracks = tracker_tracks(tracker, &count);
    ok(count == 2 && tracks[0].id == 1 && tracks[1].id == 2, "they are the same two afterwards");
    ok(count == 2 && tracks[0].seen && tracks[1].seen, "and both are seen again");
    tracker_close(&tracker);

    /* Who walks into another that stands is not carried along, nor one that comes the other way. */
    tracker = open_tracker();
    for (int i = 0; i < 25; i++) {
        struct box boxes[2] = {box_at(300, 300, 60, 120, OBJECT_PERSON),
                               box_at(100 + 8 * i, 298, 40, 100, OBJECT_PERSON)};
        tracker_update(tracker, boxes, i < 22 ? 2 : 1, at_fps(i, 10));
    }
    tracks  = tracker_tracks(tracker, &count);
    covered = 0;
    for (int k = 0; k < count; k++)
        covered += tracks[k].covered;
    is_int(covered, 0, "who walks past one that stands has no companion");
    tracker_close(&tracker);
}

/* One stands behind a car; for a while only his upper half is found. */
static void hidden_legs(void)
{
    struct tracker     *tracker = open_tracker();
    const struct track *tracks;
    int                 count;
    float               least = 1000, most = 0;

    for (int i = 0; i < 40; i++) {
        bool       hidden   = i >= 15 && i < 30;
        struct box boxes[2] = {
            box_at(200 + 4 * i, hidden ? 255 : 300, 40, hidden ? 55 : 100, OBJECT_PERSON),
            box_at(300, 330, 300, 90, OBJECT_CAR)};
        tracker_update(tracker, boxes, 2, at_fps(i, 10));
        tracks = tracker_tracks(tracker, &count);
        for (int k = 0; k < count; k++)
            if (tracks[k].box.object_class == OBJECT_PERSON) {
                least = fminf(least, tracks[k].box.y1);
                most  = fmaxf(most, tracks[k].box.y1);
            }
    }
    ok(least > 290 && most < 310, "hidden legs do not move the feet: %.0f to %.0f, at 300", least,
       most);
    tracker_close(&tracker);
}

static void lives(void)
{
    struct tracker     *tracker = open_tracker();
    const struct track *tracks;
    struct box          box = box_at(300, 300, 40, 100, OBJECT_PERSON), weak = box;
    int                 count;

    tracker_update(tracker, &box, 1, at_fps(0, 10));
    tracker_tracks(tracker, &count);
    is_int(count, 0, "one box is no track");
    for (int i = 1; i < 10; i++)
        tracker_update(tracker, &box, 1, at_fps(i, 10));
    tracks = tracker_tracks(tracker, &count);
    ok(count == 1 && tracks[0].seen && tracks[0].observations == 10, "ten are");
    weak.score = 0.15F;
    for (int i = 10; i < 20; i++)
        tracker_update(tracker, &weak, 1, at_fps(i, 10));
    tracks = tracker_tracks(tracker, &count);
    ok(count == 1 && tracks[0].seen && tracks[0].observations == 20, "weak boxes go on with it");
    is_near(tracks[0].confidence, 0.475, 1e-3, "its confidence is the mean");
    for (int i = 20; i < 35; i++)
        tracker_update(tracker, NULL, 0, at_fps(i, 10));
    tracks = tracker_tracks(tracker, &count);
    ok(count == 1 && !tracks[0].seen && tracks[0].last_seen_ns == at_fps(19, 10), "lost, it waits");
    for (int i = 35; i < 45; i++)
        tracker_update(tracker, NULL, 0, at_fps(i, 10));
    tracker_tracks(tracker, &count);
    is_int(count, 0, "and is gone after two seconds");
    for (int i = 45; i < 55; i++)
        tracker_update(tracker, &weak, 1, at_fps(i, 10));
    tracker_tracks(tracker, &count);
    is_int(count, 0, "weak boxes begin nothing");
    for (int i = 0; i < 10; i++)
        tracker_update(tracker, &box, 1, at_fps(i, 10));
    tracks = tracker_tracks(tracker, &count);
    ok(count == 1 && tracks[0].id > 1, "time steps back: all is forgotten, but ids go on");
    tracker_reset(tracker);
    tracker_tracks(tracker, &count);
    is_int(count, 0, "reset forgets at once");
    tracker_close(&tracker);
    ok(tracker == NULL, "closed");
}

/* Parts of an object, and rubbish. */
static void parts(void)
{
    struct tracker     *tracker = open_tracker();
    const struct track *tracks;
    int                 count;

    for (int i = 0; i < 30; i++) {
        struct box boxes[2] = {box_at(100 + 10 * i, 300, 160, 90, OBJECT_CAR),
                               box_at(60 + 10 * i, 295, 70, 70, OBJECT_CAR)};
        boxes[1].score      = 0.6F;
        tracker_update(tracker, boxes, 2, at_fps(i, 10));
    }
    tracks = tracker_tracks(tracker, &count);
    ok(count == 1 && tracks[0].id == 1, "the rear of a car is no second car");
    tracker_reset(tracker);
    for (int i = 0; i < 10; i++) {
        struct box rubbish[] = {{NAN, 0, 10, 10, 0.9F, OBJECT_CAR},
                                {0, 0, INFINITY, 10, 0.9F, OBJECT_CAR},
                                {10, 10, 0, 0, 0.9F, OBJECT_CAR},
                                {0, 0, 10, 10, NAN, OBJECT_CAR},
                                {0, 0, 10, 10, 0.9F, (enum object_class)77}};
        tracker_update(tracker, rubbish, 5, at_fps(i, 10));
    }
    tracker_tracks(tracker, &count);
    is_int(count, 0, "boxes that cannot be are left out");
    tracker_close(&tracker);
}

/* More boxes and tracks than there is room for, at random: bounded, ordered, repeatable. */
static void crowds(void)
{
    static struct box boxes[LIMIT_BOXES + 50];
    uint64_t          digests[2] = {0, 0};
    bool              ordered = true, bounded = true;

    for (int run = 0; run < 2; run++) {
        struct tracker *tracker = open_tracker();

        random_state = 99;
        for (int i = 0; i < 60; i++) {
            const struct track *tracks;
            int                 count;

            for (int k = 0; k < LIMIT_BOXES + 50; k++) {
                boxes[k]       = box_at(random_between(0, 1900), random_between(100, 1000),
                                        random_between(5, 90), random_between(5, 190),
                                        (enum object_class)(k % OBJECT_CLASSES));
                boxes[k].score = (float)random_between(0.05, 1);
            }
            tracker_update(tracker, boxes, LIMIT_BOXES + 50, at_fps(i, 10));
            tracks  = tracker_tracks(tracker, &count);
            bounded = bounded && count <= LIMIT_TRACKS;
            for (int k = 0; k < count; k++) {
                ordered      = ordered && (k == 0 || tracks[k - 1].id < tracks[k].id);
                digests[run] = digests[run] * 31 + tracks[k].id +
                               (uint64_t)llroundf(tracks[k].box.x0 * 100);
            }
        }
        tracker_close(&tracker);
    }
    ok(bounded, "no more tracks than there is room for");
    ok(ordered, "ordered by id");
    ok(digests[0] == digests[1] && digests[0] != 0, "the same boxes give the same tracks");
}

static double best_by_trying(double gains[6][6], int rows, int columns, int row, unsigned used)
{
    double best;

    if (row >= rows || row >= 6)
        return 0;
    best = best_by_trying(gains, rows, columns, row + 1, used);
    for (int column = 0; column < columns; column++)
        if (gains[row][column] > 0 && (used >> column & 1U) == 0)
            best = fmax(best, gains[row][column] + best_by_trying(gains, rows, columns, row + 1,
                                                                  used | 1U << column));
    return best;
}

static void optimum(void)
{
    static struct assignment assignment;
    int                      wrong = 0;

    for (int n = 0; n < 20000; n++) {
        double gains[6][6], sum = 0;
        int    rows = (int)random_between(0, 7), columns = (int)random_between(0, 7);

        rows    = rows > 6 ? 6 : rows;
        columns = columns > 6 ? 6 : columns;
        assignment_begin(&assignment, columns);
        for (int row = 0; row < rows; row++) {
            assignment_add_row(&assignment);
            for (int column = 0; column < columns; column++) {
                /* Few different values: ties are where such an algorithm goes wrong. */
                gains[row][column] = random_between(0, 1) < 0.6 ? (int)random_between(0, 5) / 4.0
                                                                : 0;
                assignment_add_pair(&assignment, column, (float)gains[row][column]);
            }
        }
        assignment_solve(&assignment);
        for (int row = 0; row < rows; row++) {
            int column = assignment.column_of[row];
            if (column < 0)
                continue;
            sum += gains[row][column];
            wrong += assignment.row_of[column] != row || gains[row][column] <= 0;
        }
        wrong += fabs(sum - best_by_trying(gains, rows, columns, 0, 0)) > 1e-9;
    }
    is_int(wrong, 0, "20,000 small assignments are as good as trying all");
}

static void filter(void)
{
    struct kalman kalman, other;

    kalman_init(&kalman, 0, 5, 0, 100);
    for (int i = 1; i <= 50; i++) {
        kalman_predict(&kalman, 0.1F, 25);
        kalman_update(&kalman, 3.0F * (float)i, 4);
    }
    is_near(kalman.value, 150, 0.5, "the filter follows a steady motion");
    is_near(kalman.speed, 30, 0.5, "and finds its speed");
    other = kalman;
    kalman_predict(&kalman, 0.4F, 25);
    for (int i = 0; i < 4; i++)
        kalman_predict(&other, 0.1F, 25);
    is_near(kalman.p00, other.p00, 1e-3, "one long step is as uncertain as four short ones");
    is_near(kalman.p11, other.p11, 1e-3, "in speed as well");
    is_near(kalman.value, other.value, 1e-3, "and ends at the same place");
}

int main(void)
{
    filter();
    optimum();
    one_walker(5);
    one_walker(10);
    one_walker(30);
    fast_car(5);
    fast_car(8);
    fast_car(25);
    classes();
    passing();
    companions();
    hidden_legs();
    lives();
    parts();
    crowds();
    return done_testing();
}
