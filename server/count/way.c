/* server/count/way.c: see way.h. */
#include "server/count/way.h"

#include <math.h>
#include <string.h>

static float triangle(struct event_point a, struct event_point b, struct event_point c)
{
    return fabsf((b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x));
}

void way_add(struct way *way, struct event_point point)
{
    if (way->count == LIMIT_EVENT_PATH_POINTS) {
        float least = INFINITY;
        int   drop  = 1;

        for (int i = 1; i < way->count; i++) {
            struct event_point next = i + 1 < way->count ? way->points[i + 1] : point;
            float              area = triangle(way->points[i - 1], way->points[i], next);
            if (area < least) {
                least = area;
                drop  = i;
            }
        }
        way->count--;
        memmove(&way->points[drop], &way->points[drop + 1],
                (size_t)(way->count - drop) * sizeof way->points[0]);
    }
    way->points[way->count++] = point;
}
