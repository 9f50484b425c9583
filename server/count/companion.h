/* server/count/companion.h: persons who walk together, so close that the detector finds one box for
 * two.
 *
 * Internal to the tracker. The one without a box is not lost: his place is beside the other. He
 * goes on there, "covered", if he was long seen apart, walked the same way, and vanished within the
 * other's box. */
#ifndef SIGHTLINE_SERVER_COUNT_COMPANION_H
#define SIGHTLINE_SERVER_COUNT_COMPANION_H

#include "server/count/tracked.h"

/* The sum of scores of boxes apart from others that makes a person known well enough: some five
 * boxes. */
#define COMPANION_EVIDENCE 3.0F

/* Nobody stays covered for longer: the longest that two were seen as one and parted again is about
 * this. */
#define COMPANION_NS INT64_C(4000000000)

/* After all boxes of the picture are taken: moves the covered ones. `objects` are in order of their
 * ids. */
void companions_walk(struct tracked *objects, int count, int64_t time_ns);

#endif
