#include "gpu/box.h"

float box_iou(const struct box *a, const struct box *b)
{
    float width  = (a->x1 < b->x1 ? a->x1 : b->x1) - (a->x0 > b->x0 ? a->x0 : b->x0);
    float height = (a->y1 < b->y1 ? a->y1 : b->y1) - (a->y0 > b->y0 ? a->y0 : b->y0);
    float shared, all;

    if (!(width > 0.0F) || !(height > 0.0F))
        return 0.0F;
    shared = width * height;
    all    = (a->x1 - a->x0) * (a->y1 - a->y0) + (b->x1 - b->x0) * (b->y1 - b->y0) - shared;
    return all > 0.0F ? shared / all : 0.0F;
}
