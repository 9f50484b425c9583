/* gpu/box.h: a detected object in one picture. */
#ifndef SIGHTLINE_GPU_BOX_H
#define SIGHTLINE_GPU_BOX_H

#include "config/object_class.h"

/* Pixels of the analysed picture, x to the right, y down; x0 < x1, y0 < y1; may reach past the
 * picture's edge by what the network predicted. */
struct box {
    float             x0, y0, x1, y1;
    float             score;        /* 0..1 */
    enum object_class object_class; /* the most likely class */
};

/* Intersection over union, 0..1. */
float box_iou(const struct box *a, const struct box *b);

#endif
