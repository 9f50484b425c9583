/* server/count/found.h: the boxes of one picture, as the tracker takes them in.
 *
 * Internal to the tracker. Ordered by their left edge, so that the boxes near a place are found by
 * bisection. */
#ifndef SIGHTLINE_SERVER_COUNT_FOUND_H
#define SIGHTLINE_SERVER_COUNT_FOUND_H

#include <stdbool.h>

#include "config/limits.h"
#include "gpu/box.h"

/* Classes that a detector mixes up are one object's; others never are. */
enum class_group { GROUP_PERSON, GROUP_TWO_WHEELS, GROUP_VEHICLE };

enum class_group class_group_of(enum object_class object_class);

struct found {
    struct box       box;
    enum class_group group;
    bool             sure;  /* its score is high */
    bool             taken; /* by an object */
    bool             owned; /* by a confirmed one */
};

struct found_boxes {
    int          count;
    float        widest;            /* px */
    struct found list[LIMIT_BOXES]; /* by x0 */
};

/* Takes the boxes that can be (finite, with an area, of a known class), at most LIMIT_BOXES; of two
 * that are the same object under two classes of a group, the surer. */
void found_take(struct found_boxes *found, const struct box *boxes, int count, float high_score);

/* The first box whose left edge is at x or right of it; count if there is none. */
int found_from(const struct found_boxes *found, float x);

/* How much of `part` lies within `whole`, 0..1 of its area. */
float box_inside_share(const struct box *part, const struct box *whole);
/* Does one of the two lie within the other so far that they may be views of one object? */
bool box_covers(const struct box *a, const struct box *b);

/* Does box `index` lie within a surer one of its group, or is it another view of an owned one? */
bool found_is_part(const struct found_boxes *found, int index);

/* Does another box reach over what box `index` lacks below if its object is `height_px` high? */
bool found_is_hidden_below(const struct found_boxes *found, int index, float height_px);

#endif
