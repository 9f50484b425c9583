/* server/count/geometry.c: see geometry.h. */
#include "server/count/geometry.h"

#include <math.h>

double geometry_orient(struct point a, struct point b, struct point p)
{
    return (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x);
}

int geometry_cross(struct point from, struct point to, struct point a, struct point b, double *at)
{
    double side_from = geometry_orient(a, b, from);
    double side_to   = geometry_orient(a, b, to);

    if ((side_from >= 0.0) == (side_to >= 0.0))
        return 0;
    if ((geometry_orient(from, to, a) >= 0.0) == (geometry_orient(from, to, b) >= 0.0))
        return 0;
    *at = side_from / (side_from - side_to);
    return side_to >= 0.0 ? 1 : -1;
}

double geometry_distance(struct point p, struct point a, struct point b, double *along)
{
    double dx = b.x - a.x, dy = b.y - a.y;
    double length2 = dx * dx + dy * dy;
    double t       = 0.0;

    if (length2 > 0.0)
        t = ((p.x - a.x) * dx + (p.y - a.y) * dy) / length2;
    t      = t < 0.0 ? 0.0 : t > 1.0 ? 1.0 : t;
    *along = t;
    return hypot(p.x - (a.x + t * dx), p.y - (a.y + t * dy));
}

bool geometry_inside(const struct point *polygon, int count, struct point p)
{
    bool inside = false;

    for (int i = 0, j = count - 1; i < count; j = i++) {
        struct point a = polygon[i], b = polygon[j];
        if ((a.y > p.y) == (b.y > p.y))
            continue;
        /* The edge is taken from its upper end to its lower one, whichever way the polygon runs:
         * neighbours that share it then agree on every point to the last bit. */
        if (a.y > b.y) {
            struct point upper = b;
            b                  = a;
            a                  = upper;
        }
        if (geometry_orient(a, b, p) > 0.0)
            inside = !inside;
    }
    return inside;
}

double geometry_outline_distance(const struct point *polygon, int count, struct point p)
{
    double least = INFINITY, along;

    for (int i = 0, j = count - 1; i < count; j = i++)
        least = fmin(least, geometry_distance(p, polygon[j], polygon[i], &along));
    return least;
}

struct point geometry_between(struct point from, struct point to, double at)
{
    return (struct point){from.x + (to.x - from.x) * at, from.y + (to.y - from.y) * at};
}
