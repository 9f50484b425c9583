/* gpu/box.h: a detected object in one picture, and the classes that Sightline counts. */
#ifndef SIGHTLINE_GPU_BOX_H
#define SIGHTLINE_GPU_BOX_H

#include <stdbool.h>
#include <stdint.h>

/* The numbers are stored in the ledger: never reorder, only append. */
#define OBJECT_CLASS_TABLE(X)                                                                      \
    X(OBJECT_PERSON, 0, "person")                                                                  \
    X(OBJECT_BICYCLE, 1, "bicycle")                                                                \
    X(OBJECT_CAR, 2, "car")                                                                        \
    X(OBJECT_MOTORCYCLE, 3, "motorcycle")                                                          \
    X(OBJECT_BUS, 4, "bus")                                                                        \
    X(OBJECT_TRUCK, 5, "truck")

enum object_class {
#define X(name, number, text) name = number,
    OBJECT_CLASS_TABLE(X)
#undef X
        OBJECT_CLASSES /* how many there are */
};

/* Pixels of the analysed picture, x to the right, y down; x0 < x1, y0 < y1; may reach past the
 * picture's edge by what the network predicted. */
struct box {
    float             x0, y0, x1, y1;
    float             score;        /* 0..1 */
    enum object_class object_class; /* the most likely class */
};

/* "person"...; "unknown" for a number that is none. */
const char *object_class_name(enum object_class object_class);
/* False if the text names no class. */
bool object_class_from_name(const char *name, enum object_class *object_class);

/* Intersection over union, 0..1. */
float box_iou(const struct box *a, const struct box *b);

#endif
