/* server/count/counter_inside.h: what the two halves of the counter share: counter.c, the way of a
 * picture's tracks, and counter_rules.c, which lines and zones there are. Nobody else includes it. */
#ifndef SIGHTLINE_SERVER_COUNT_COUNTER_INSIDE_H
#define SIGHTLINE_SERVER_COUNT_COUNTER_INSIDE_H

#include "server/count/counter.h"
#include "server/count/line.h"
#include "server/count/way.h"
#include "server/count/zone.h"

/* Visits of lost objects that one zone keeps open; of more, the oldest ends at once. */
#define COUNTER_LEFT_MAX 32

/* The stay of one object in one zone. */
struct visit {
    struct zone_state state;
    bool              counted;      /* its entry was emitted: its exit must be */
    enum object_class object_class; /* as its entry said */
};

/* What is known of one track. */
struct follow {
    struct track track; /* as last given out; `early` is not kept */
    struct point foot;  /* at its last observation, px */
    double       size_px;
    struct way   way;
};

/* A visit whose track is gone; times are of the wall clock, which outlives a stream's. */
struct left_visit {
    struct visit  visit;
    struct follow follow;
    int64_t       entry_wall_ns, last_wall_ns;
};

/* What the rules know of the objects. */
struct counter_states {
    struct line_state *lines;  /* [slot * line_count + line] */
    struct visit      *visits; /* [slot * zone_count + zone] */
    struct left_visit *left;   /* [zone * COUNTER_LEFT_MAX + n] */
    int                left_count[LIMIT_ZONES];
};

struct counter {
    struct settings_camera settings;
    int                    width_px, height_px;
    struct line            lines[LIMIT_LINES];
    struct zone            zones[LIMIT_ZONES];
    uint32_t               line_rules[LIMIT_LINES];
    uint32_t               zone_rules[LIMIT_ZONES];

    struct follow        *follows; /* LIMIT_TRACKS slots */
    struct counter_states states;
    int                   order[LIMIT_TRACKS]; /* slots in use, by track id */
    int                   follow_count;
    int                   free_slots[LIMIT_TRACKS];
    int                   free_count;
    bool                  all_gone; /* reset: the lives of all follows are over */

    /* Of the picture that is being counted. */
    struct counter_time time;
    int64_t             wall_less_pts_ns;
    counter_event_fn   *emit;
    void               *arg;
};

static inline struct line_state *counter_line_state(const struct counter *counter, int slot,
                                                    int line)
{
    return &counter->states.lines[slot * counter->settings.line_count + line];
}

static inline struct visit *counter_visit(const struct counter *counter, int slot, int zone)
{
    return &counter->states.visits[slot * counter->settings.zone_count + zone];
}

static inline struct left_visit *counter_left(const struct counter *counter, int zone, int index)
{
    return &counter->states.left[zone * COUNTER_LEFT_MAX + index];
}

/* ---- counter.c ---- */

/* All slots are free. */
void counter_forget_all(struct counter *counter);
/* The line sees no more of the object: a crossing on its last steps is emitted. */
void counter_end_line(struct counter *counter, int slot, int line);
/* The object's visit, if there is one, ends when it was last seen: its exit is emitted. */
void counter_end_visit(struct counter *counter, int slot, int zone);
/* The same for a visit whose track is gone; those after it move up. */
void counter_end_left_visit(struct counter *counter, int zone, int index);

/* ---- counter_rules.c ---- */

/* Puts the lines and zones on a picture of this size. */
void counter_place(struct counter *counter, int width_px, int height_px);

#endif
