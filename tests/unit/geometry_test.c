/* tests/unit/geometry_test.c: sides, crossings, distances, polygons.
 * links: count */
#include "server/count/geometry.h"

#include "tests/tap.h"

static void sides(void)
{
    struct point from = {350, 388}, to = {350, 185};

    ok(geometry_orient(from, to, (struct point){300, 250}) < 0, "left hand when walking up");
    ok(geometry_orient(from, to, (struct point){400, 250}) > 0, "right hand when walking up");
    ok(geometry_orient((struct point){0, 0}, (struct point){10, 0}, (struct point){5, -1}) < 0,
       "above is the left hand when walking to the right");
    is_near(geometry_orient(from, to, (struct point){350, 7}), 0, 0, "on the line");
}

static void crossings(void)
{
    struct point a = {0, 0}, b = {10, 0};
    double       at = -1;

    is_int(geometry_cross((struct point){4, -2}, (struct point){4, 2}, a, b, &at), 1,
           "left to right");
    is_near(at, 0.5, 1e-12, "half way");
    is_int(geometry_cross((struct point){4, 6}, (struct point){4, -2}, a, b, &at), -1,
           "right to left");
    is_near(at, 0.75, 1e-12, "three quarters");
    is_int(geometry_cross((struct point){11, -2}, (struct point){11, 2}, a, b, &at), 0,
           "past the end");
    is_int(geometry_cross((struct point){4, 1}, (struct point){4, 2}, a, b, &at), 0,
           "one side only");
    is_int(geometry_cross((struct point){4, -1}, (struct point){4, 0}, a, b, &at), 1,
           "onto the line");
    is_int(geometry_cross((struct point){4, 0}, (struct point){4, 1}, a, b, &at), 0,
           "off the line again: not twice");
    is_int(geometry_cross((struct point){4, 4}, (struct point){4, 4}, a, b, &at), 0,
           "no way at all");
    is_int(geometry_cross((struct point){4, -1}, (struct point){4, 1}, a, a, &at), 0,
           "no line at all");
}

static void distances(void)
{
    double along = -1;

    is_near(geometry_distance((struct point){5, 3}, (struct point){0, 0}, (struct point){10, 0},
                              &along),
            3, 1e-12, "beside");
    is_near(along, 0.5, 1e-12, "at its middle");
    is_near(geometry_distance((struct point){13, 4}, (struct point){0, 0}, (struct point){10, 0},
                              &along),
            5, 1e-12, "past the end");
    is_near(along, 1, 0, "nearest is the end");
    is_near(
        geometry_distance((struct point){3, 4}, (struct point){0, 0}, (struct point){0, 0}, &along),
        5, 1e-12, "a line of no length");
}

static void polygons(void)
{
    const struct point square[] = {{0, 0}, {10, 0}, {10, 10}, {0, 10}};
    const struct point beside[] = {{10, 0}, {10, 10}, {20, 10}, {20, 0}};
    const struct point arrow[]  = {{0, 0}, {20, 10}, {0, 20}, {6, 10}};
    int                twice = 0, never = 0;

    ok(geometry_inside(square, 4, (struct point){5, 5}), "inside");
    ok(!geometry_inside(square, 4, (struct point){15, 5}), "outside");
    ok(geometry_inside(square, 4, (struct point){0, 5}), "the left edge belongs to it");
    ok(!geometry_inside(square, 4, (struct point){10, 5}), "the right edge does not");
    ok(geometry_inside(square, 4, (struct point){5, 0}), "the upper edge belongs to it");
    ok(!geometry_inside(square, 4, (struct point){5, 10}), "the lower edge does not");
    ok(geometry_inside(arrow, 4, (struct point){8, 10}), "a polygon with a notch: in its body");
    ok(!geometry_inside(arrow, 4, (struct point){3, 10}), "and in its notch");
    for (int x = 0; x < 40; x++)
        for (int y = 0; y < 20; y++) {
            struct point p  = {x / 2.0, y / 2.0};
            int          in = geometry_inside(square, 4, p) + geometry_inside(beside, 4, p);
            twice += in == 2;
            never += in == 0;
        }
    is_int(twice, 0, "neighbours share no point");
    is_int(never, 0, "and leave none out");
    is_near(geometry_outline_distance(square, 4, (struct point){5, 3}), 3, 1e-12, "to the outline");
    is_near(geometry_outline_distance(square, 4, (struct point){13, 14}), 5, 1e-12, "from outside");
}

int main(void)
{
    sides();
    crossings();
    distances();
    polygons();
    return done_testing();
}
