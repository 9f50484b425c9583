/* config/object_class.h: the kinds of object that Sightline counts. */
#ifndef SIGHTLINE_CONFIG_OBJECT_CLASS_H
#define SIGHTLINE_CONFIG_OBJECT_CLASS_H

#include <stdbool.h>

/* The numbers are stored in the ledger: never reorder, only append. */
#define OBJECT_CLASS_TABLE(X)             \
    X(OBJECT_PERSON, 0, "person")         \
    X(OBJECT_BICYCLE, 1, "bicycle")       \
    X(OBJECT_CAR, 2, "car")               \
    X(OBJECT_MOTORCYCLE, 3, "motorcycle") \
    X(OBJECT_BUS, 4, "bus")               \
    X(OBJECT_TRUCK, 5, "truck")

enum object_class {
#define X(name, number, text) name = number,
    OBJECT_CLASS_TABLE(X)
#undef X
        OBJECT_CLASSES /* how many there are */
};

/* "person"...; "unknown" for a number that is none. */
const char *object_class_name(enum object_class object_class);
/* False if the text names no class. */
bool object_class_from_name(const char *name, enum object_class *object_class);

#endif
