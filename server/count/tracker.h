/* server/count/tracker.h: boxes of successive pictures become objects with an identity.
 *
 * Association in two stages (Zhang et al. 2022, "ByteTrack": confident boxes first, then the weak
 * ones for tracks that would otherwise be lost), a constant-velocity Kalman filter (Bewley et al.
 * 2016, "SORT"), and the observation-centric corrections of Cao et al. 2023 ("OC-SORT"): the
 * direction of the way so far counts, a gap is filled when its end is found, and who left the
 * filter's path is looked for where he was last seen. Of our own: boxes that may be parts of
 * another object confirm none, a person hidden by a companion goes on beside him, and hidden legs
 * are completed. The class of an object is a vote over its life: car, bus and truck may take turns,
 * a person never becomes a car. Pure and deterministic: time comes in with the frame; the same
 * boxes give the same tracks, always. One thread (the loop); no allocation after open. */
#ifndef SIGHTLINE_SERVER_COUNT_TRACKER_H
#define SIGHTLINE_SERVER_COUNT_TRACKER_H

#include "config/limits.h"
#include "gpu/box.h"

#include <stdbool.h>
#include <stdint.h>

struct tracker;

struct tracker_settings {
    float high_score;   /* boxes from here up are sure; weaker ones only go on with a track */
    float new_score;    /* boxes from here up may begin a track */
    int   confirm_hits; /* observations, not parts of another object, before a track is given out */
    int64_t lost_ns;    /* a track that was not seen for so long is gone */
};
/* The defaults suit 5 to 30 analysed pictures a second. */
struct tracker_settings tracker_settings_default(void);

/* Where a track was before it was given out. */
struct track_observation {
    int64_t    time_ns;
    struct box box;
};

/* A track after a picture. Given out only once confirmed. */
struct track {
    uint64_t id; /* from 1, never used twice in one tracker */
    /* Smoothed if seen in this picture, else predicted; object_class is the vote's winner. */
    struct box box;
    bool       seen;    /* in this picture */
    bool       covered; /* not seen, but hidden by a companion: its box goes beside his */
    int64_t    first_ns, last_seen_ns; /* pts of the frames */
    int        observations;
    float      confidence;             /* mean score over its observations */
    float      class_share;            /* votes of the winning class of all votes */
    float      velocity_x, velocity_y; /* px/s, of the box centre */
    /* What was observed before the track was confirmed, oldest first, so that nothing which it did
     * until then is lost for counting. Only in the picture in which the track is given out for the
     * first time, else none. */
    const struct track_observation *early;
    int                             early_count;
};

/* The most early observations that are kept; of more, the newest. */
#define TRACK_EARLY_MAX 16

int  tracker_open(struct tracker **out, const struct tracker_settings *settings);
void tracker_close(struct tracker **tracker);
/* Forgets all objects (stream restarted, picture size changed); ids go on. */
void tracker_reset(struct tracker *tracker);

/* One analysed picture. `time_ns` grows from call to call (a step back resets). Afterwards
 * tracker_tracks() holds the confirmed tracks: those seen, and those lost for less than lost_ns. */
void tracker_update(struct tracker *tracker, const struct box *boxes, int count, int64_t time_ns);
/* Valid until the next update; ordered by id. */
const struct track *tracker_tracks(const struct tracker *tracker, int *count);

#endif
