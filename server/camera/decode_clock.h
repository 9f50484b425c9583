/* server/camera/decode_clock.h: from a stream's own timestamps to the camera's media time, and
 * the choice of the pictures that are analysed. Arithmetic only: it reads no clock.
 *
 * The camera's media time starts at 0 and grows from picture to picture for as long as the
 * camera exists: a file's loop or a reconnect goes on where the last picture was, so that boxes
 * and video can be matched by it. Within one stream it keeps the stream's own distances. */
#ifndef SIGHTLINE_SERVER_CAMERA_DECODE_CLOCK_H
#define SIGHTLINE_SERVER_CAMERA_DECODE_CLOCK_H

#include <libavutil/rational.h>
#include <stdbool.h>
#include <stdint.h>

struct decode_clock {
    AVRational time_base;
    int64_t    interval_ns; /* nominal time from picture to picture */
    int64_t    max_gap_ns;  /* a larger step is a broken timestamp, not a gap */
    bool       anchored;
    int64_t    anchor_ts; /* this timestamp ... */
    int64_t    anchor_ns; /* ... is this media time */
    bool       any;
    int64_t    last_ns; /* of the last picture; with `any` */
};

/* Another stream begins: the next picture comes at least `pause_ns` after the last one. Zero an
 * unused clock before. */
void decode_clock_restart(struct decode_clock *clock, AVRational time_base, AVRational frame_rate,
                          int64_t max_gap_ns, int64_t pause_ns);
/* The first timestamp of a stream, known before its first picture is. Later calls change
 * nothing. */
void decode_clock_anchor(struct decode_clock *clock, int64_t timestamp);
/* Media time of a timestamp that is not (yet) a picture's. */
int64_t decode_clock_map(const struct decode_clock *clock, int64_t timestamp);
/* Media time of the next picture, always larger than that of the one before. AV_NOPTS_VALUE and
 * broken timestamps count on at the nominal interval. */
int64_t decode_clock_picture(struct decode_clock *clock, int64_t timestamp);

/* By how much a clock is ahead of a stream's media time: of the packets of the last DECODE_LEAD_NS
 * or twice as long, the least, as whatever comes late on its way comes late, never early. */
#define DECODE_LEAD_NS (4 * INT64_C(1000000000))
struct decode_lead {
    bool    any;
    int64_t least_ns[2]; /* in this span, and in the one before */
    int64_t since_ns;    /* of this span */
};
void    decode_lead_note(struct decode_lead *lead, int64_t lead_ns, int64_t now_ns);
int64_t decode_lead_ns(const struct decode_lead *lead);

/* The wanted rate as a grid of slots on media time: a picture is chosen when it is the nearest
 * to a slot that no picture has taken yet. Without drift: slot k lies k / fps after the first
 * picture. */
struct decode_rate {
    double  fps; /* 0: every picture */
    bool    any;
    int64_t first_ns, last_ns;
    int64_t slot;
};
void decode_rate_set(struct decode_rate *rate, double fps);
/* The next picture is slot 0 again. */
void decode_rate_restart(struct decode_rate *rate);
bool decode_rate_chooses(struct decode_rate *rate, int64_t pts_ns);
/* Time between two slots; 0 for every picture. */
int64_t decode_rate_interval_ns(const struct decode_rate *rate);

/* Events in the last seconds, for figures a second. Bucket 0 of a lap is the one of the event's
 * time. */
#define DECODE_METER_BUCKETS   10
#define DECODE_METER_BUCKET_NS INT64_C(500000000)
struct decode_meter {
    int64_t  first_ns; /* of the first event ever, 0: none */
    int64_t  bucket;   /* number of the newest */
    unsigned events[DECODE_METER_BUCKETS];
};
void   decode_meter_count(struct decode_meter *meter, int64_t now_ns);
double decode_meter_per_s(const struct decode_meter *meter, int64_t now_ns);

#endif
