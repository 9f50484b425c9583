/* server/count/line.h: one counting line and what it remembers of one object.
 *
 * The rule. An object's point walks from observation to observation; every time this way cuts the
 * line from A to B the object's balance goes up by one, from B to A down by one. Around the line
 * lies a band (line_band_px). Outside the band the object is settled: its balance is read, counted
 * if it is not 0, and set to 0. So jitter, flicker, a stop on the line and a turn back cancel out,
 * a fast object that is beyond the band at its next observation is counted at once, and a way
 * around the line's end never cuts it.
 *
 * The ends of a life. An object first seen inside the band was never on a side, so its first
 * crossing there counts nothing. One lost inside the band has crossed if it cut the line exactly
 * once, was at least a third of the band away from it, and had not begun to come back. */
#ifndef SIGHTLINE_SERVER_COUNT_LINE_H
#define SIGHTLINE_SERVER_COUNT_LINE_H

#include "config/limits.h"
#include "config/settings.h"
#include "server/count/geometry.h"
#include "storage/event.h"

#include <stdbool.h>
#include <stdint.h>

struct line {
    int          point_count;
    struct point points[LIMIT_LINE_POINTS]; /* px */
};

/* What a line knows of one object. All zero: never seen. */
struct line_state {
    bool         seen;
    bool         settled; /* was outside the band at least once */
    struct point last;
    int64_t      last_ns;
    int          balance; /* cuts from A to B less cuts from B to A since it was last settled */
    int          cuts;
    int          steps_since_cut; /* observations inside the band after the last cut */
    int64_t      cut_ns;          /* of the cut that took the balance away from 0 */
    double       band_px;         /* at the last observation */
    double       deepest_px;      /* largest distance since the last cut */
};

struct line_crossing {
    enum event_direction direction;
    int64_t              time_ns; /* of the cut itself, on the clock of the observations */
};

/* Places the line on a picture. An end that lies at the picture's border is drawn on beyond it, for
 * boxes reach past the border too. */
void line_init(struct line *line, const struct settings_line *settings, int width_px,
               int height_px);

/* Half the width of the band around a line for an object of that size: 6 % of its size, the jitter
 * of a detector's boxes, but no less than 0.4 % and no more than 3 % of the picture's height. */
double line_band_px(double box_width_px, double box_height_px, int picture_height_px);

/* Crossings that one step can decide: one left over, and a step may cut every piece of the line. */
#define LINE_STEP_CROSSINGS (LIMIT_LINE_POINTS + 1)

/* The next observation of the object. Returns how many crossings it decided, oldest first. */
int line_step(const struct line *line, struct line_state *state, struct point point,
              int64_t time_ns, double band_px, struct line_crossing *crossings);

/* The object is gone for ever: true if it crossed on its last steps. */
bool line_end(const struct line *line, const struct line_state *state,
              struct line_crossing *crossing);

#endif
