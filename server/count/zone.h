/* server/count/zone.h: one polygon and what it remembers of one object.
 *
 * The rule. An object is inside after `inertia` pictures in a row that saw its point inside, and
 * outside again after `inertia` pictures in a row that saw it outside by more than a small band;
 * pictures that do not see it count for nothing. The times are the true ones: entry is where its
 * way cut the outline (or its first observation), exit where it cut it again (or its last
 * observation inside), however late they are believed. */
#ifndef SIGHTLINE_SERVER_COUNT_ZONE_H
#define SIGHTLINE_SERVER_COUNT_ZONE_H

#include "config/limits.h"
#include "config/settings.h"
#include "server/count/geometry.h"

#include <stdbool.h>
#include <stdint.h>

struct zone {
    int          point_count;
    struct point points[LIMIT_ZONE_POINTS]; /* px */
    int          inertia;
    double       width_px, height_px; /* of the picture */
};

/* What a zone knows of one object. All zero: never seen. */
struct zone_state {
    bool         seen;
    bool         inside;      /* believed */
    bool         born_inside; /* its first observation was inside */
    int          streak;      /* pictures in a row that say the opposite */
    struct point last;
    int64_t      last_ns;
    bool         last_in;
    int64_t      change_ns; /* when the present streak began, on the way between observations */
    int64_t      entry_ns;  /* if inside */
};

enum zone_step_result { ZONE_NOTHING, ZONE_ENTERED, ZONE_LEFT };

/* Places the zone on a picture. An object's point at the picture's border, or beyond it (for boxes
 * reach past it), is taken as just inside the picture: a zone drawn to the border holds it. */
void zone_init(struct zone *zone, const struct settings_zone *settings, int width_px,
               int height_px);

/* The next observation. ZONE_ENTERED: state->entry_ns is the entry's time; ZONE_LEFT: it still is,
 * and state->change_ns is the exit's time. */
enum zone_step_result zone_step(const struct zone *zone, struct zone_state *state,
                                struct point point, int64_t time_ns, double band_px);

#endif
