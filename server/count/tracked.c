/* server/count/tracked.c: see tracked.h. */
#include "server/count/tracked.h"

#include <math.h>
#include <string.h>

/* All lengths are parts of the object's size, the root of its box's area: what is near moves more
 * pixels than what is far.
 * A detector's box jitters by some 5 % of its size. */
#define NOISE_PLACE 0.05F
#define NOISE_SIZE  0.12F
/* A walker goes from standing to 1.4 m/s, one size a second, in about a second. */
#define ACCELERATION_PLACE 1.0F
#define ACCELERATION_SIZE  1.2F
/* What is not known of a new object: a walker does one size a second, a car at 50 km/h eight. */
#define SPEED_UNKNOWN         1.5F
#define SPEED_UNKNOWN_VEHICLE 3.0F
#define SPEED_UNKNOWN_SIZE    0.5F
/* The most steps with which a gap is filled. */
#define FILL_STEPS_MAX 30

static float size_of(const struct tracked_filter *filter)
{
    return sqrtf(fmaxf(filter->width.value, 1.0F) * fmaxf(filter->height.value, 1.0F));
}

static void filter_predict(struct tracked_filter *filter, float seconds)
{
    float size  = size_of(filter);
    float place = ACCELERATION_PLACE * size, shape = ACCELERATION_SIZE * size;

    kalman_predict(&filter->x, seconds, place * place);
    kalman_predict(&filter->y, seconds, place * place);
    kalman_predict(&filter->width, seconds, shape * shape);
    kalman_predict(&filter->height, seconds, shape * shape);
    filter->width.value  = fmaxf(filter->width.value, 1.0F);
    filter->height.value = fmaxf(filter->height.value, 1.0F);
}

static void filter_update(struct tracked_filter *filter, const struct box *box)
{
    float size = size_of(filter);
    /* A box of which the detector is less sure is also less exact. */
    float doubt = 1.5F - box->score;
    float place = NOISE_PLACE * size * doubt, shape = NOISE_SIZE * size * doubt;

    kalman_update(&filter->x, (box->x0 + box->x1) / 2.0F, place * place);
    kalman_update(&filter->y, (box->y0 + box->y1) / 2.0F, place * place);
    kalman_update(&filter->width, box->x1 - box->x0, shape * shape);
    kalman_update(&filter->height, box->y1 - box->y0, shape * shape);
}

/* Of observations that follow each other faster only the newest is kept for the way. */
#define RECENT_STEP_NS INT64_C(80000000)

static void remember_place(struct tracked *tracked, const struct box *box, int64_t time_ns)
{
    int newest = (tracked->recent_count + TRACKED_RECENT - 1) % TRACKED_RECENT;
    int before = (tracked->recent_count + TRACKED_RECENT - 2) % TRACKED_RECENT;
    int slot   = newest;

    if (tracked->recent_count < 2 ||
        tracked->recent[newest].time_ns - tracked->recent[before].time_ns >= RECENT_STEP_NS)
        slot = tracked->recent_count++ % TRACKED_RECENT;
    tracked->recent[slot].time_ns = time_ns;
    tracked->recent[slot].x       = (box->x0 + box->x1) / 2.0F;
    tracked->recent[slot].y       = (box->y0 + box->y1) / 2.0F;
}

static void remember(struct tracked *tracked, const struct box *box, int64_t time_ns)
{
    remember_place(tracked, box, time_ns);
    tracked->last    = *box;
    tracked->last_ns = time_ns;
    tracked->then    = tracked->now;
    tracked->missed  = 0;
    tracked->seen    = true;
    tracked->observations++;
    tracked->score_sum += box->score;
    tracked->votes[box->object_class] += box->score;
    if (tracked->given)
        return;
    if (tracked->early_count == TRACK_EARLY_MAX)
        memmove(&tracked->early[0], &tracked->early[1],
                (size_t)--tracked->early_count * sizeof tracked->early[0]);
    tracked->early[tracked->early_count++] = (struct track_observation){time_ns, *box};
}

void tracked_init(struct tracked *tracked, uint64_t id, const struct box *box, int64_t time_ns)
{
    float width = box->x1 - box->x0, height = box->y1 - box->y0, size = sqrtf(width * height);
    float speed;

    memset(tracked, 0, sizeof *tracked);
    tracked->id       = id;
    tracked->group    = class_group_of(box->object_class);
    tracked->first_ns = time_ns;
    speed = size * (tracked->group == GROUP_PERSON ? SPEED_UNKNOWN : SPEED_UNKNOWN_VEHICLE);
    kalman_init(&tracked->now.x, (box->x0 + box->x1) / 2.0F, NOISE_PLACE * size, 0.0F, speed);
    kalman_init(&tracked->now.y, (box->y0 + box->y1) / 2.0F, NOISE_PLACE * size, 0.0F, speed);
    speed = size * SPEED_UNKNOWN_SIZE;
    kalman_init(&tracked->now.width, width, NOISE_SIZE * size, 0.0F, speed);
    kalman_init(&tracked->now.height, height, NOISE_SIZE * size, 0.0F, speed);
    remember(tracked, box, time_ns);
}

void tracked_predict(struct tracked *tracked, float seconds)
{
    /* Unseen for two pictures, the size stays as it is: it would go on shrinking to nothing. */
    if (tracked->missed >= 2) {
        tracked->now.width.speed  = 0.0F;
        tracked->now.height.speed = 0.0F;
    }
    filter_predict(&tracked->now, seconds);
    tracked->missed++;
    tracked->seen = false;
}

static void fill_gap(struct tracked *tracked, const struct box *box, int64_t time_ns)
{
    int        steps   = tracked->missed < FILL_STEPS_MAX ? tracked->missed : FILL_STEPS_MAX;
    float      seconds = (float)((double)(time_ns - tracked->last_ns) * 1e-9) / (float)steps;
    struct box from = tracked->last, step = *box;

    tracked->now = tracked->then;
    for (int i = 1; i < steps; i++) {
        float at = (float)i / (float)steps;

        step.x0 = from.x0 + (box->x0 - from.x0) * at;
        step.y0 = from.y0 + (box->y0 - from.y0) * at;
        step.x1 = from.x1 + (box->x1 - from.x1) * at;
        step.y1 = from.y1 + (box->y1 - from.y1) * at;
        filter_predict(&tracked->now, seconds);
        filter_update(&tracked->now, &step);
    }
    filter_predict(&tracked->now, seconds);
}

void tracked_observe(struct tracked *tracked, const struct box *box, int64_t time_ns)
{
    if (tracked->missed > 1)
        fill_gap(tracked, box, time_ns);
    filter_update(&tracked->now, box);
    remember(tracked, box, time_ns);
}

static enum object_class class_of(const struct tracked *tracked)
{
    int best = (int)tracked->last.object_class;

    /* On a tie the newest observation's class stays. */
    for (int i = 0; i < OBJECT_CLASSES; i++)
        if (tracked->votes[i] > tracked->votes[best])
            best = i;
    return (enum object_class)best;
}

struct box tracked_box(const struct tracked *tracked)
{
    float half_width  = tracked->now.width.value / 2.0F;
    float half_height = tracked->now.height.value / 2.0F;

    return (struct box){tracked->now.x.value - half_width,
                        tracked->now.y.value - half_height,
                        tracked->now.x.value + half_width,
                        tracked->now.y.value + half_height,
                        tracked->last.score,
                        class_of(tracked)};
}

float tracked_size(const struct tracked *tracked)
{
    return size_of(&tracked->now);
}

bool tracked_way(const struct tracked *tracked, int64_t span_ns, float *dx, float *dy,
                 int64_t *took_ns)
{
    int kept   = tracked->recent_count < TRACKED_RECENT ? tracked->recent_count : TRACKED_RECENT;
    int newest = (tracked->recent_count - 1) % TRACKED_RECENT, oldest = newest;

    for (int i = 1; i < kept; i++) {
        oldest = (tracked->recent_count - 1 - i) % TRACKED_RECENT;
        if (tracked->recent[newest].time_ns - tracked->recent[oldest].time_ns >= span_ns)
            break;
    }
    *dx      = tracked->recent[newest].x - tracked->recent[oldest].x;
    *dy      = tracked->recent[newest].y - tracked->recent[oldest].y;
    *took_ns = tracked->recent[newest].time_ns - tracked->recent[oldest].time_ns;
    return *took_ns > 0;
}
