/* server/count/found.c: see found.h. */
#include "server/count/found.h"

#include <math.h>

/* Boxes of one group of classes that overlap more are one object: a pickup is found as car and
 * truck. */
#define SAME_OBJECT_IOU 0.65F

/* A box that lies within another by this part of its area may be a part of it (the rear of a car, a
 * bust). */
#define PART_SHARE 0.5F

enum class_group class_group_of(enum object_class object_class)
{
    switch (object_class) {
    case OBJECT_BICYCLE:
    case OBJECT_MOTORCYCLE:
        return GROUP_TWO_WHEELS;
    case OBJECT_CAR:
    case OBJECT_BUS:
    case OBJECT_TRUCK:
        return GROUP_VEHICLE;
    case OBJECT_PERSON:
    case OBJECT_CLASSES:
        break;
    }
    return GROUP_PERSON;
}

static bool usable(const struct box *box)
{
    return isfinite(box->x0) && isfinite(box->y0) && isfinite(box->x1) && isfinite(box->y1) &&
           box->x1 - box->x0 >= 1.0F && box->y1 - box->y0 >= 1.0F &&
           (unsigned)box->object_class < OBJECT_CLASSES && box->score > 0.0F && box->score <= 1.0F;
}

/* Leaves out the less sure of two boxes that are one object under two classes. */
static void merge_classes(struct found_boxes *found)
{
    int kept = 0;

    for (int i = 0; i < found->count; i++) {
        struct found *a = &found->list[i];

        for (int k = i + 1; k < found->count && found->list[k].box.x0 <= a->box.x1; k++) {
            struct found *b = &found->list[k];

            if (a->group != b->group || a->box.object_class == b->box.object_class || a->taken ||
                b->taken || box_iou(&a->box, &b->box) < SAME_OBJECT_IOU)
                continue;
            if (a->box.score >= b->box.score)
                b->taken = true;
            else
                a->taken = true;
        }
    }
    for (int i = 0; i < found->count; i++)
        if (!found->list[i].taken)
            found->list[kept++] = found->list[i];
    found->count = kept;
}

void found_take(struct found_boxes *found, const struct box *boxes, int count, float high_score)
{
    found->count  = 0;
    found->widest = 0.0F;
    for (int i = 0; i < count && found->count < LIMIT_BOXES; i++) {
        struct found one  = {.box = boxes[i]};
        int          slot = found->count;

        if (!usable(&boxes[i]))
            continue;
        one.group = class_group_of(boxes[i].object_class);
        one.sure  = boxes[i].score >= high_score;
        for (; slot > 0 && found->list[slot - 1].box.x0 > one.box.x0; slot--)
            found->list[slot] = found->list[slot - 1];
        found->list[slot] = one;
        found->count++;
        found->widest = fmaxf(found->widest, one.box.x1 - one.box.x0);
    }
    merge_classes(found);
}

int found_from(const struct found_boxes *found, float x)
{
    int low = 0, high = found->count;

    while (low < high) {
        int middle = (low + high) / 2;
        if (found->list[middle].box.x0 < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

float box_inside_share(const struct box *part, const struct box *whole)
{
    float width  = fminf(part->x1, whole->x1) - fmaxf(part->x0, whole->x0);
    float height = fminf(part->y1, whole->y1) - fmaxf(part->y0, whole->y0);

    if (width <= 0.0F || height <= 0.0F)
        return 0.0F;
    return width * height / ((part->x1 - part->x0) * (part->y1 - part->y0));
}

bool box_covers(const struct box *a, const struct box *b)
{
    return box_inside_share(a, b) >= PART_SHARE || box_inside_share(b, a) >= PART_SHARE;
}

bool found_is_part(const struct found_boxes *found, int index)
{
    const struct found *part = &found->list[index];

    for (int i = found_from(found, part->box.x0 - found->widest); i < found->count; i++) {
        const struct found *whole = &found->list[i];

        if (whole->box.x0 > part->box.x1)
            break;
        if (i == index || whole->group != part->group)
            continue;
        if (whole->owned && box_covers(&part->box, &whole->box))
            return true;
        if (whole->box.score > part->box.score &&
            box_inside_share(&part->box, &whole->box) >= PART_SHARE)
            return true;
    }
    return false;
}

bool found_is_hidden_below(const struct found_boxes *found, int index, float height_px)
{
    const struct box *box  = &found->list[index].box;
    float             near = 0.1F * height_px, width = box->x1 - box->x0;

    for (int i = found_from(found, box->x0 - found->widest); i < found->count; i++) {
        const struct box *other = &found->list[i].box;

        if (other->x0 > box->x1)
            break;
        if (i != index && other->y1 > box->y1 + near && other->y0 < box->y1 + near &&
            fminf(other->x1, box->x1) - fmaxf(other->x0, box->x0) >= 0.5F * width)
            return true;
    }
    return false;
}
