/* server/count/companion.c: see companion.h. */
#include "server/count/companion.h"

#include <math.h>
#include <stddef.h>

/* So much of him must be within the other's box when he vanishes, and no longer ago than this. */
#define WITHIN_SHARE 0.7F
#define WITHIN_NS    INT64_C(250000000)

/* Two walk together if they went the same way in the last second (cosine of the angle), or both
 * stood: were slower than this, in sizes a second. */
#define WAY_NS     INT64_C(1000000000)
#define WAY_COSINE 0.5F
#define STANDS     0.3F

/* By the ways they went: a filter's speed is thrown off by the very boxes that merge and part. */
static bool walk_together(const struct tracked *a, const struct tracked *b)
{
    float   stands = STANDS * tracked_size(a);
    float   ax, ay, bx, by, speed_a, speed_b;
    int64_t a_ns, b_ns;

    if (!tracked_way(a, WAY_NS, &ax, &ay, &a_ns) || !tracked_way(b, WAY_NS, &bx, &by, &b_ns))
        return false;
    speed_a = hypotf(ax, ay) / ((float)a_ns * 1e-9F);
    speed_b = hypotf(bx, by) / ((float)b_ns * 1e-9F);
    if (speed_a < stands || speed_b < stands)
        return speed_a < stands && speed_b < stands;
    return ax * bx + ay * by >= WAY_COSINE * hypotf(ax, ay) * hypotf(bx, by);
}

/* The seen one that covers most of where the object should be, or NULL. */
static const struct tracked *find_companion(const struct tracked *objects, int count,
                                            const struct tracked *object)
{
    struct box            expected = tracked_box(object);
    float                 most     = WITHIN_SHARE;
    const struct tracked *best     = NULL;

    for (int i = 0; i < count; i++) {
        const struct tracked *other = &objects[i];
        float                 share;

        if (!other->seen || !other->confirmed || other->group != object->group)
            continue;
        share = box_inside_share(&expected, &other->last);
        if (share >= most && walk_together(object, other)) {
            most = share;
            best = other;
        }
    }
    return best;
}

static const struct tracked *find_object(const struct tracked *objects, int count, uint64_t id)
{
    int low = 0, high = count;

    while (low < high) {
        int middle = (low + high) / 2;
        if (objects[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && objects[low].id == id ? &objects[low] : NULL;
}

static void walk(struct tracked *objects, int count, struct tracked *object, int64_t time_ns)
{
    const struct tracked *other;

    if (object->companion == 0 && time_ns - object->last_ns <= WITHIN_NS &&
        (other = find_companion(objects, count, object)) != NULL) {
        object->companion    = other->id;
        object->companion_dx = object->now.x.value - other->now.x.value;
        object->companion_dy = object->now.y.value - other->now.y.value;
    }
    if (object->companion == 0)
        return;
    other = find_object(objects, count, object->companion);
    if (other == NULL) {
        object->companion = 0;
    } else if (other->seen) {
        object->now.x.value = other->now.x.value + object->companion_dx;
        object->now.y.value = other->now.y.value + object->companion_dy;
        object->now.x.speed = other->now.x.speed;
        object->now.y.speed = other->now.y.speed;
        object->covered     = true;
    }
}

void companions_walk(struct tracked *objects, int count, int64_t time_ns)
{
    for (int i = 0; i < count; i++) {
        struct tracked *object = &objects[i];

        object->covered = false;
        if (object->seen || time_ns - object->last_ns > COMPANION_NS)
            object->companion = 0;
        else if (object->group == GROUP_PERSON && object->confirmed &&
                 object->evidence >= COMPANION_EVIDENCE)
            walk(objects, count, object, time_ns);
    }
}
