/* gpu/class_map.h: from a model's own classes to those that Sightline counts.
 *
 * The names come from the file's metadata ("names" or "classes": a list, a {number: name} map, or
 * names with commas or lines between); a head of 80 classes without them is taken for COCO. */
#ifndef SIGHTLINE_GPU_CLASS_MAP_H
#define SIGHTLINE_GPU_CLASS_MAP_H

#include "config/why.h"
#include "gpu/box.h"
#include "gpu/model.h"

#include <stdbool.h>

#define CLASS_MAP_MAX \
    1024 /* classes of a model; the largest public set for detection has 1203, most 80 */

struct class_map {
    int         count;                       /* classes of the model */
    signed char object_class[CLASS_MAP_MAX]; /* enum object_class, or -1: not counted */
};

/* `count`: classes of the head. ERR_LIMIT above CLASS_MAP_MAX; ERR_UNSUPPORTED when the model has no
 * class that is counted, or none of its names can be found. */
int class_map_open(struct class_map *map, const struct model_info *model, int count,
                   struct why *why);

#endif
