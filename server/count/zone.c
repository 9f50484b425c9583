/* server/count/zone.c: see zone.h. */
#include "server/count/zone.h"

#include "config/assert.h"

#include <math.h>
#include <string.h>

/* How far from the picture's border a point is held, as a part of its size: people draw a zone "to
 * the border" about so exactly. */
#define BORDER_SHARE 0.015

static struct point hold_inside(const struct zone *zone, struct point point)
{
    double near_x = zone->width_px * BORDER_SHARE, near_y = zone->height_px * BORDER_SHARE;

    return (struct point){fmin(fmax(point.x, near_x), zone->width_px - near_x),
                          fmin(fmax(point.y, near_y), zone->height_px - near_y)};
}

void zone_init(struct zone *zone, const struct settings_zone *settings, int width_px, int height_px)
{
    ASSERT(settings->point_count >= 3 && settings->point_count <= LIMIT_ZONE_POINTS);
    memset(zone, 0, sizeof *zone);
    zone->point_count = settings->point_count;
    zone->inertia     = settings->inertia > 0 ? settings->inertia : 1;
    zone->width_px    = width_px;
    zone->height_px   = height_px;
    for (int i = 0; i < settings->point_count; i++) {
        zone->points[i].x = (double)settings->points[i].x * width_px;
        zone->points[i].y = (double)settings->points[i].y * height_px;
    }
}

/* Where on the way the outline is cut; the first cut of a way out, the last of a way in. */
static int64_t cut_time(const struct zone *zone, const struct zone_state *state, struct point point,
                        int64_t time_ns, bool into)
{
    double best = into ? -1.0 : 2.0, at;

    for (int i = 0, j = zone->point_count - 1; i < zone->point_count; j = i++)
        if (geometry_cross(state->last, point, zone->points[j], zone->points[i], &at) != 0)
            best = into ? fmax(best, at) : fmin(best, at);
    if (best < 0.0 || best > 1.0)
        best = 0.5; /* the way touches a corner: the tie went the other way */
    return state->last_ns + (int64_t)llround(best * (double)(time_ns - state->last_ns));
}

enum zone_step_result zone_step(const struct zone *zone, struct zone_state *state,
                                struct point observed, int64_t time_ns, double band_px)
{
    struct point          point  = hold_inside(zone, observed);
    bool                  in     = geometry_inside(zone->points, zone->point_count, point);
    enum zone_step_result result = ZONE_NOTHING;
    int64_t               cut_ns = time_ns;
    bool                  opposite;

    if (state->seen && in != state->last_in)
        cut_ns = cut_time(zone, state, point, time_ns, in);
    if (!state->seen)
        *state = (struct zone_state){.seen = true, .born_inside = in, .change_ns = time_ns};
    else if (in != state->last_in && in != state->inside)
        state->change_ns = cut_ns;

    opposite = in != state->inside;
    if (!opposite)
        state->streak = 0;
    else if (in || geometry_outline_distance(zone->points, zone->point_count, point) > band_px)
        state->streak++;
    if (opposite && state->streak >= zone->inertia) {
        state->streak = 0;
        state->inside = in;
        result        = in ? ZONE_ENTERED : ZONE_LEFT;
        if (in)
            state->entry_ns = state->change_ns;
    }
    state->last    = point;
    state->last_ns = time_ns;
    state->last_in = in;
    return result;
}
