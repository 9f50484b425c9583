/* server/count/line.c: see line.h. */
#include "server/count/line.h"

#include "config/assert.h"

#include <math.h>
#include <string.h>

/* Lines are moved by this much (px), so that a point on whole or half pixels is never exactly on a
 * line or on the way through one of its corners. */
#define NUDGE_X_PX 0.00031729
#define NUDGE_Y_PX 0.00017311

/* A line that ends this close to the picture's border was meant to reach it. */
#define BORDER_SHARE 0.015

/* An object that is lost inside the band was on a side if it was at least this part of the band
 * away from the line. */
#define HALF_SETTLED 0.33

struct cut {
    double at;   /* on the step, 0..1 */
    int    sign; /* +1: A to B */
};

static struct point drawn_on(struct point end, struct point inner, double width, double height)
{
    double dx = end.x - inner.x, dy = end.y - inner.y;
    double length = hypot(dx, dy), reach = (width + height) / 4.0;
    double near_x = width * BORDER_SHARE, near_y = height * BORDER_SHARE;
    bool   outward;

    if (length <= 0.0)
        return end;
    /* Only a line that runs into the border, not one that lies along it. */
    dx /= length;
    dy /= length;
    outward = (end.x <= near_x && dx < -0.3) || (end.x >= width - near_x && dx > 0.3) ||
              (end.y <= near_y && dy < -0.3) || (end.y >= height - near_y && dy > 0.3);
    if (!outward)
        return end;
    return (struct point){end.x + dx * reach, end.y + dy * reach};
}

void line_init(struct line *line, const struct settings_line *settings, int width_px, int height_px)
{
    struct point first, last;
    int          count = settings->point_count;

    ASSERT(count >= 2 && count <= LIMIT_LINE_POINTS);
    memset(line, 0, sizeof *line);
    line->point_count = count;
    for (int i = 0; i < count; i++) {
        line->points[i].x = (double)settings->points[i].x * width_px + NUDGE_X_PX;
        line->points[i].y = (double)settings->points[i].y * height_px + NUDGE_Y_PX;
    }
    first = drawn_on(line->points[0], line->points[1], width_px, height_px);
    last  = drawn_on(line->points[count - 1], line->points[count - 2], width_px, height_px);
    line->points[0]         = first;
    line->points[count - 1] = last;
}

double line_band_px(double box_width_px, double box_height_px, int picture_height_px)
{
    double size = sqrt(fmax(box_width_px, 0.0) * fmax(box_height_px, 0.0));
    double band = 0.06 * size;

    return fmin(fmax(band, 0.004 * picture_height_px), 0.03 * picture_height_px);
}

/* The distance from p to the line; *side is -1 on side A, +1 on side B. At a corner the side is
 * that of both pieces together. */
static double side_of(const struct line *line, struct point p, int *side)
{
    double least = INFINITY, orient = 0.0;

    for (int i = 0; i + 1 < line->point_count; i++) {
        struct point a = line->points[i], b = line->points[i + 1];
        double       along, distance        = geometry_distance(p, a, b, &along);
        double       length = hypot(b.x - a.x, b.y - a.y);
        double       here   = length > 0.0 ? geometry_orient(a, b, p) / length : 0.0;

        /* Both pieces at a corner see the same distance: their sides are added. */
        if (fabs(distance - least) <= 1e-9 * (1.0 + distance))
            orient += here;
        else if (distance < least)
            orient = here;
        least = fmin(least, distance);
    }
    *side = orient >= 0.0 ? 1 : -1;
    return least;
}

static int find_cuts(const struct line *line, struct point from, struct point to, struct cut *cuts)
{
    int count = 0;

    for (int i = 0; i + 1 < line->point_count; i++) {
        double at;
        int    sign = geometry_cross(from, to, line->points[i], line->points[i + 1], &at);
        int    slot = count;

        if (sign == 0)
            continue;
        for (; slot > 0 && cuts[slot - 1].at > at; slot--)
            cuts[slot] = cuts[slot - 1];
        cuts[slot] = (struct cut){at, sign};
        count++;
    }
    return count;
}

/* The object is outside the band: what it did since it was last there is decided. */
static int settle(struct line_state *state, int side, struct line_crossing *crossing)
{
    bool counts = state->balance != 0;

    /* One that began inside the band was never clearly on a side. */
    counts = counts && state->settled;
    /* One that spent time inside the band may have slipped around the line's end. */
    if (state->steps_since_cut > 0)
        counts = counts && (state->balance > 0) == (side > 0);
    if (counts)
        *crossing = (struct line_crossing){state->balance > 0 ? DIRECTION_A_TO_B : DIRECTION_B_TO_A,
                                           state->cut_ns};
    state->settled         = true;
    state->balance         = 0;
    state->cuts            = 0;
    state->steps_since_cut = 0;
    return counts ? 1 : 0;
}

static void take_cut(struct line_state *state, const struct cut *cut, int64_t time_ns)
{
    if (state->balance == 0)
        state->cut_ns = state->last_ns +
                        (int64_t)llround(cut->at * (double)(time_ns - state->last_ns));
    state->balance += cut->sign;
    state->cuts++;
    state->steps_since_cut = 0;
    state->deepest_px      = 0.0;
}

/* Was the object outside the band somewhere on this part of its step? Between the arms of a bent
 * line a fast one may be, with no observation there. */
static int settle_between(const struct line *line, struct line_state *state, struct point from,
                          struct point to, struct line_crossing *crossing)
{
    static const double places[] = {0.5, 0.25, 0.75};
    int                 side;

    for (int i = 0; i < 3 && state->balance != 0; i++)
        if (side_of(line, geometry_between(from, to, places[i]), &side) > state->band_px)
            return settle(state, side, crossing);
    return 0;
}

int line_step(const struct line *line, struct line_state *state, struct point point,
              int64_t time_ns, double band_px, struct line_crossing *crossings)
{
    struct cut   cuts[LIMIT_LINE_POINTS];
    int          cut_count, decided = 0, side;
    double       distance = side_of(line, point, &side);
    struct point from     = state->last;

    state->band_px = band_px;
    if (!state->seen) {
        *state = (struct line_state){
            .seen = true, .settled = distance > band_px, .band_px = band_px};
    } else {
        cut_count = find_cuts(line, state->last, point, cuts);
        for (int i = 0; i < cut_count; i++) {
            struct point cut = geometry_between(state->last, point, cuts[i].at);

            decided += settle_between(line, state, from, cut, &crossings[decided]);
            take_cut(state, &cuts[i], time_ns);
            from = cut;
        }
        if (distance > band_px) {
            decided += settle(state, side, &crossings[decided]);
        } else {
            decided += settle_between(line, state, from, point, &crossings[decided]);
            state->steps_since_cut++;
        }
    }
    state->deepest_px = fmax(state->deepest_px, distance);
    state->last       = point;
    state->last_ns    = time_ns;
    return decided;
}

bool line_end(const struct line *line, const struct line_state *state,
              struct line_crossing *crossing)
{
    int    side;
    double distance;

    if (!state->seen || !state->settled || state->balance == 0 || state->cuts != 1)
        return false;
    distance = side_of(line, state->last, &side);
    if (distance < HALF_SETTLED * state->band_px || distance < 0.9 * state->deepest_px)
        return false;
    if ((state->balance > 0) != (side > 0))
        return false;
    *crossing = (struct line_crossing){state->balance > 0 ? DIRECTION_A_TO_B : DIRECTION_B_TO_A,
                                       state->cut_ns};
    return true;
}
