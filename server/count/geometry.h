/* server/count/geometry.h: the few predicates that lines and zones stand on.
 *
 * Pixels, x to the right, y down. All pure; all in double, because the boxes are float: an
 * orientation of three float points is then exact but for its last digits. */
#ifndef SIGHTLINE_SERVER_COUNT_GEOMETRY_H
#define SIGHTLINE_SERVER_COUNT_GEOMETRY_H

#include <stdbool.h>

struct point {
    double x, y;
};

/* Twice the signed area of a, b, p. Negative: p is on the left hand of someone who walks on the
 * picture from a to b (y points down); positive: on the right; 0: on the line. */
double geometry_orient(struct point a, struct point b, struct point p);

/* Does the way from `from` to `to` cross the segment a-b? Returns +1 from the left hand of a->b to
 * the right, -1 the other way, 0 not at all; *at is then where on the way, 0..1. A point exactly on
 * the segment is taken as to its right, so that successive ways never count it twice. */
int geometry_cross(struct point from, struct point to, struct point a, struct point b, double *at);

/* Distance from p to the segment a-b; *along is the nearest place on it, 0 at a, 1 at b. */
double geometry_distance(struct point p, struct point a, struct point b, double *along);

/* Is p inside the polygon (even-odd)? Left and upper edges belong to it, right and lower ones do
 * not, so that polygons side by side share no point and leave none out. */
bool geometry_inside(const struct point *polygon, int count, struct point p);
/* Distance from p to the polygon's outline. */
double geometry_outline_distance(const struct point *polygon, int count, struct point p);

struct point geometry_between(struct point from, struct point to, double at);

#endif
