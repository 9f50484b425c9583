/* server/count/tracked.h: one object as the tracker knows it: its filter, its votes, its life.
 *
 * Internal to the tracker. Two states of the filter are kept: now, and as it was at the last
 * observation. When an object is found again after a gap, the gap is filled with the straight way
 * between the two observations and the filter is run over it again (Cao et al. 2023): what the
 * filter dreamed while it saw nothing is thrown away. */
#ifndef SIGHTLINE_SERVER_COUNT_TRACKED_H
#define SIGHTLINE_SERVER_COUNT_TRACKED_H

#include <stdbool.h>
#include <stdint.h>

#include "server/count/found.h"
#include "server/count/kalman.h"
#include "server/count/tracker.h"

#define TRACKED_RECENT 16

struct tracked_filter {
    struct kalman x, y, width, height; /* of the centre, and the size */
};

struct tracked {
    uint64_t              id;
    enum class_group      group;
    bool                  confirmed;
    bool                  given;     /* was among the tracks given out */
    bool                  seen;      /* in this picture */
    int                   found_by;  /* if seen: by which of its boxes */
    int                   missed;    /* pictures since the last observation */
    struct tracked_filter now, then; /* then: at the last observation */
    struct box            last;      /* observation */
    int64_t               first_ns, last_ns;
    int                   observations;
    float                 score_sum;
    float                 evidence; /* sum of the scores that speak for an object of its own */
    int                   evidence_count;
    float                 votes[OBJECT_CLASSES];
    bool                  covered;   /* not seen, but hidden by its companion, whose way it goes */
    uint64_t              companion; /* 0: none */
    float                 companion_dx, companion_dy; /* from him, px */
    /* The centres of the newest observations, some time apart, a ring; for the direction of the
     * way. */
    struct {
        int64_t time_ns;
        float   x, y;
    } recent[TRACKED_RECENT];
    int                      recent_count; /* ever */
    struct track_observation early[TRACK_EARLY_MAX];
    int                      early_count;
};

void tracked_init(struct tracked *tracked, uint64_t id, const struct box *box, int64_t time_ns);
void tracked_predict(struct tracked *tracked, float seconds);
void tracked_observe(struct tracked *tracked, const struct box *box, int64_t time_ns);

/* Where the filter believes the object is. */
struct box tracked_box(const struct tracked *tracked);
/* The root of its area, px. */
float tracked_size(const struct tracked *tracked);

/* The way since about `span_ns` before the last observation, or since the first that is kept: px,
 * and the time it took. False if that is not known. */
bool tracked_way(const struct tracked *tracked, int64_t span_ns, float *dx, float *dy,
                 int64_t *took_ns);

#endif
