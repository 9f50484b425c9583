/* bench/tracker_bench.c: what tracking and counting cost a picture. links: count
 *
 * Crowds that walk at random, 10 pictures a second, 10 % of the boxes missing, over four lines and
 * two zones. Prints TSV: objects, tracks, microseconds a picture (mean and the slowest in a
 * hundred) of tracker and counter. */
#include "server/count/counter.h"
#include "server/count/tracker.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PICTURES 2000
#define WIDTH    1920
#define HEIGHT   1080

static uint64_t random_state = 5;

static double random_between(double low, double high)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return low + (high - low) * (double)(random_state >> 11) / 9007199254740992.0;
}

struct walker {
    double x, y, dx, dy, size;
};

static struct walker walkers[LIMIT_BOXES];
static uint64_t      events;

static void count_event(void *arg, const struct event *event)
{
    (void)arg;
    (void)event;
    events++;
}

static double now_us(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec * 1e-3;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void make_camera(struct settings_camera *camera)
{
    memset(camera, 0, sizeof *camera);
    camera->classes    = SETTINGS_ALL_CLASSES;
    camera->line_count = 4;
    camera->zone_count = 2;
    for (int i = 0; i < 4; i++) {
        camera->lines[i].point_count = 2;
        camera->lines[i].classes     = SETTINGS_ALL_CLASSES;
        camera->lines[i].points[0]   = (struct settings_point){0.2F * (float)(i + 1), 0.1F};
        camera->lines[i].points[1]   = (struct settings_point){0.2F * (float)(i + 1), 0.9F};
    }
    for (int i = 0; i < 2; i++) {
        camera->zones[i].point_count = 4;
        camera->zones[i].classes     = SETTINGS_ALL_CLASSES;
        camera->zones[i].inertia     = 3;
        for (int k = 0; k < 4; k++)
            camera->zones[i].points[k] = (struct settings_point){
                0.1F + 0.45F * (float)i + (k == 1 || k == 2 ? 0.35F : 0), k >= 2 ? 0.8F : 0.2F};
    }
}

static int see(struct box *boxes, int objects)
{
    int count = 0;

    for (int i = 0; i < objects; i++) {
        struct walker *walker = &walkers[i];

        walker->x += walker->dx;
        walker->y += walker->dy;
        if (walker->x < 0 || walker->x > WIDTH)
            walker->dx = -walker->dx;
        if (walker->y < 0 || walker->y > HEIGHT)
            walker->dy = -walker->dy;
        if (random_between(0, 1) < 0.1)
            continue;
        boxes[count++] = (struct box){
            (float)(walker->x - walker->size * 0.2 + random_between(-1, 1)),
            (float)(walker->y - walker->size * 0.5 + random_between(-1, 1)),
            (float)(walker->x + walker->size * 0.2 + random_between(-1, 1)),
            (float)(walker->y + walker->size * 0.5 + random_between(-1, 1)),
            (float)random_between(0.2, 0.9),
            OBJECT_PERSON};
    }
    return count;
}

static int run(int objects)
{
    static double           tracker_us[PICTURES], counter_us[PICTURES];
    struct tracker_settings settings = tracker_settings_default();
    struct settings_camera  camera;
    struct tracker         *tracker     = NULL;
    struct counter         *counter     = NULL;
    double                  tracker_sum = 0, counter_sum = 0, tracks_sum = 0;

    make_camera(&camera);
    if (tracker_open(&tracker, &settings) != 0 ||
        counter_open(&counter, &camera, WIDTH, HEIGHT, NULL) != 0)
        return 1;
    for (int i = 0; i < objects; i++)
        walkers[i] = (struct walker){random_between(0, WIDTH), random_between(0, HEIGHT),
                                     random_between(-8, 8), random_between(-5, 5),
                                     random_between(40, 160)};
    for (int i = 0; i < PICTURES; i++) {
        struct box          boxes[LIMIT_BOXES];
        struct counter_time time  = {i * INT64_C(100000000), i * INT64_C(100000000), (uint64_t)i};
        int                 count = see(boxes, objects), track_count;
        double              start = now_us(), middle;
        const struct track *tracks;

        tracker_update(tracker, boxes, count, time.pts_ns);
        tracks = tracker_tracks(tracker, &track_count);
        middle = now_us();
        counter_update(counter, tracks, track_count, &time, count_event, NULL);
        tracker_us[i] = middle - start;
        counter_us[i] = now_us() - middle;
        tracker_sum += tracker_us[i];
        counter_sum += counter_us[i];
        tracks_sum += track_count;
    }
    qsort(tracker_us, PICTURES, sizeof tracker_us[0], by_value);
    qsort(counter_us, PICTURES, sizeof counter_us[0], by_value);
    printf("%d\t%.0f\t%.1f\t%.1f\t%.1f\t%.1f\n", objects, tracks_sum / PICTURES,
           tracker_sum / PICTURES, tracker_us[PICTURES * 99 / 100], counter_sum / PICTURES,
           counter_us[PICTURES * 99 / 100]);
    counter_close(&counter);
    tracker_close(&tracker);
    return 0;
}

int main(void)
{
    static const int crowds[] = {6, 18, 50, 100, 180, 250};

    printf("objects\ttracks\ttracker_us\ttracker_us_p99\tcounter_us\tcounter_us_p99\n");
    for (size_t i = 0; i < sizeof crowds / sizeof crowds[0]; i++)
        if (run(crowds[i]) != 0)
            return 1;
    fprintf(stderr, "%llu events\n", (unsigned long long)events);
    return 0;
}
