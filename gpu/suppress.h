/* gpu/suppress.h: the best candidates of one picture, and which of them are one object.
 *
 * A head adds every box it finds; only the CANDIDATES_MAX best are kept. Suppression works by groups
 * of classes, not by class: networks give a pickup a box as car and one as truck, and both are the
 * same object. The order is by score, then by the number of the box in the head's output, so that
 * the same output gives the same boxes on every run. One thread per struct. */
#ifndef SIGHTLINE_GPU_SUPPRESS_H
#define SIGHTLINE_GPU_SUPPRESS_H

#include "gpu/box.h"

#include <stdbool.h>

/* Four times what is given out: most candidates are doubles. */
#define CANDIDATES_MAX 1024

struct candidate {
    struct box box;
    int        number; /* of the box in the head's output */
};

struct candidates {
    /* Boxes below, or that do not touch this area of the tensor, or wider or higher than
     * side_px_max, are not taken. */
    float min_score;
    float x0, y0, x1, y1;
    float side_px_max;

    int              count;
    struct candidate item[CANDIDATES_MAX]; /* a heap, the worst first */
};

/* Takes the box if it is one: finite, with an area, inside the limits above, score at most 1.
 * Anything else is dropped without a word: a network may give what it likes. */
void candidates_add(struct candidates *candidates, const struct box *box, int number);

#define SUPPRESS_SCORE_MAX \
    1.001F /* what a box's rounding above 1 may be; more is not a probability */

/* Two boxes of these classes that overlap more than this are one object; infinite: never. */
float suppress_overlap(enum object_class a, enum object_class b, float iou);

/* Writes the boxes that remain, best first, at most `capacity`; returns how many. Of two boxes of one
 * group that overlap more than `iou` the better stays; so too of a person and a two-wheeler that are
 * almost the same box. Empties the candidates. */
int suppress(struct candidates *candidates, float iou, struct box *boxes, int capacity);

#endif
