#include "gpu/suppress.h"

#include <math.h>
#include <stdlib.h>

/* A person and a two-wheeler that overlap more than this are one object, and the network is in doubt
 * what: a rider's box reaches farther up than the box of what is ridden. */
#define IOU_RIDER 0.7F

/* Classes of one group are one object when their boxes lie upon each other. */
static const unsigned char GROUP[OBJECT_CLASSES] = {
    [OBJECT_PERSON] = 0,     [OBJECT_BICYCLE] = 1, [OBJECT_CAR] = 2,
    [OBJECT_MOTORCYCLE] = 1, [OBJECT_BUS] = 2,     [OBJECT_TRUCK] = 2,
};
#define GROUP_FOUR_WHEELS 2

static bool usable(const struct candidates *candidates, const struct box *box);
static bool same_object(const struct box *a, const struct box *b, float iou);
static bool better(const struct candidate *a, const struct candidate *b);
static void sink_worst(struct candidates *candidates);
static int  compare(const void *a, const void *b);

void candidates_add(struct candidates *candidates, const struct box *box, int number)
{
    struct candidate added = {*box, number};
    int              place = candidates->count;

    if (!usable(candidates, box))
        return;
    if (added.box.score > 1.0F)
        added.box.score = 1.0F;
    if (place == CANDIDATES_MAX) {
        if (better(&added, &candidates->item[0])) {
            candidates->item[0] = added;
            sink_worst(candidates);
        }
        return;
    }
    candidates->count++;
    while (place > 0 && better(&candidates->item[(place - 1) / 2], &added)) {
        candidates->item[place] = candidates->item[(place - 1) / 2];
        place                   = (place - 1) / 2;
    }
    candidates->item[place] = added;
}

int suppress(struct candidates *candidates, float iou, struct box *boxes, int capacity)
{
    int kept = 0;

    qsort(candidates->item, (size_t)candidates->count, sizeof *candidates->item, compare);
    for (int i = 0; i < candidates->count && kept < capacity; i++) {
        const struct box *box   = &candidates->item[i].box;
        bool              alone = true;

        for (int k = 0; alone && k < kept; k++)
            alone = !same_object(&boxes[k], box, iou);
        if (alone)
            boxes[kept++] = *box;
    }
    candidates->count = 0;
    return kept;
}

static bool usable(const struct candidates *candidates, const struct box *box)
{
    /* Each comparison is false for a NaN. */
    return box->score >= candidates->min_score && box->score <= SUPPRESS_SCORE_MAX &&
           (unsigned)box->object_class < OBJECT_CLASSES && isfinite(box->x0) && isfinite(box->y0) &&
           isfinite(box->x1) && isfinite(box->y1) && box->x1 > box->x0 && box->y1 > box->y0 &&
           box->x1 - box->x0 <= candidates->side_px_max &&
           box->y1 - box->y0 <= candidates->side_px_max && box->x0 < candidates->x1 &&
           box->x1 > candidates->x0 && box->y0 < candidates->y1 && box->y1 > candidates->y0;
}

float suppress_overlap(enum object_class a, enum object_class b, float iou)
{
    unsigned char first = GROUP[a], second = GROUP[b];

    if (first == second)
        return iou;
    return first == GROUP_FOUR_WHEELS || second == GROUP_FOUR_WHEELS ? INFINITY : IOU_RIDER;
}

static bool same_object(const struct box *a, const struct box *b, float iou)
{
    float least = suppress_overlap(a->object_class, b->object_class, iou);

    return least <= 1.0F && box_iou(a, b) > least;
}

static bool better(const struct candidate *a, const struct candidate *b)
{
    if (a->box.score > b->box.score)
        return true;
    return !(a->box.score < b->box.score) && a->number < b->number;
}

static void sink_worst(struct candidates *candidates)
{
    struct candidate moving = candidates->item[0];
    int              place  = 0;

    for (;;) {
        int child = 2 * place + 1;

        if (child >= candidates->count)
            break;
        if (child + 1 < candidates->count &&
            better(&candidates->item[child], &candidates->item[child + 1]))
            child++;
        if (!better(&moving, &candidates->item[child]))
            break;
        candidates->item[place] = candidates->item[child];
        place                   = child;
    }
    candidates->item[place] = moving;
}

static int compare(const void *a, const void *b)
{
    return better(a, b) ? -1 : better(b, a) ? 1 : 0;
}
