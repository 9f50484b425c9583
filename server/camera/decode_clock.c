#include "server/camera/decode_clock.h"

#include "config/clock.h"

#include <libavutil/avutil.h>
#include <libavutil/mathematics.h>
#include <string.h>

#define DEFAULT_INTERVAL_NS (NS_PER_S / 25) /* a stream that does not say its rate */
#define MAX_INTERVAL_NS     (60 * NS_PER_S)
#define MAX_BACK_NS         NS_PER_S /* pictures come out in order: more is a new time line */

static const AVRational NANOSECONDS = {1, 1000000000};

void decode_clock_restart(struct decode_clock *clock, AVRational time_base, AVRational frame_rate,
                          int64_t max_gap_ns, int64_t pause_ns)
{
    clock->time_base   = time_base;
    clock->max_gap_ns  = max_gap_ns;
    clock->interval_ns = DEFAULT_INTERVAL_NS;
    if (frame_rate.num > 0 && frame_rate.den > 0) {
        int64_t interval_ns = av_rescale(NS_PER_S, frame_rate.den, frame_rate.num);

        if (interval_ns > 0 && interval_ns <= MAX_INTERVAL_NS)
            clock->interval_ns = interval_ns;
    }
    clock->anchored  = false;
    clock->anchor_ns = 0;
    if (clock->any)
        clock->anchor_ns = clock->last_ns +
                           (pause_ns > clock->interval_ns ? pause_ns : clock->interval_ns);
}

/* Distance of a timestamp from the anchor; false when it is none or absurdly far. */
static bool distance_ns(const struct decode_clock *clock, int64_t timestamp, int64_t *ns)
{
    int64_t ticks;

    if (timestamp == AV_NOPTS_VALUE || !clock->anchored ||
        __builtin_sub_overflow(timestamp, clock->anchor_ts, &ticks))
        return false;
    *ns = av_rescale_q(ticks, clock->time_base, NANOSECONDS);
    /* av_rescale_q answers an overflow with INT64_MIN; a century bounds the sums below. */
    return *ns > -INT64_C(3155760000) * NS_PER_S && *ns < INT64_C(3155760000) * NS_PER_S;
}

void decode_clock_anchor(struct decode_clock *clock, int64_t timestamp)
{
    if (clock->anchored || timestamp == AV_NOPTS_VALUE)
        return;
    clock->anchored  = true;
    clock->anchor_ts = timestamp;
}

int64_t decode_clock_map(const struct decode_clock *clock, int64_t timestamp)
{
    int64_t ns;

    if (!distance_ns(clock, timestamp, &ns))
        return clock->any ? clock->last_ns + clock->interval_ns : clock->anchor_ns;
    return clock->anchor_ns + ns < 0 ? 0 : clock->anchor_ns + ns;
}

int64_t decode_clock_picture(struct decode_clock *clock, int64_t timestamp)
{
    int64_t expected_ns = clock->anchor_ns;
    int64_t pts_ns;
    int64_t ns;

    if (clock->any && clock->last_ns + clock->interval_ns > expected_ns)
        expected_ns = clock->last_ns + clock->interval_ns;
    pts_ns = expected_ns;
    if (distance_ns(clock, timestamp, &ns)) {
        pts_ns = clock->anchor_ns + ns;
        if (pts_ns < expected_ns - MAX_BACK_NS || pts_ns > expected_ns + clock->max_gap_ns) {
            pts_ns           = expected_ns;
            clock->anchor_ts = timestamp;
            clock->anchor_ns = expected_ns;
        }
    } else if (timestamp != AV_NOPTS_VALUE) {
        clock->anchored  = true;
        clock->anchor_ts = timestamp;
        clock->anchor_ns = expected_ns;
    }
    if (pts_ns < 0)
        pts_ns = 0;
    if (clock->any && pts_ns <= clock->last_ns)
        pts_ns = clock->last_ns + 1;
    clock->any     = true;
    clock->last_ns = pts_ns;
    return pts_ns;
}

void decode_lead_note(struct decode_lead *lead, int64_t lead_ns, int64_t now_ns)
{
    if (!lead->any || now_ns - lead->since_ns >= 2 * DECODE_LEAD_NS) {
        *lead = (struct decode_lead){true, {lead_ns, lead_ns}, now_ns};
        return;
    }
    if (now_ns - lead->since_ns >= DECODE_LEAD_NS) {
        lead->least_ns[1] = lead->least_ns[0];
        lead->least_ns[0] = lead_ns;
        lead->since_ns    = now_ns;
    }
    if (lead_ns < lead->least_ns[0])
        lead->least_ns[0] = lead_ns;
}

int64_t decode_lead_ns(const struct decode_lead *lead)
{
    return lead->least_ns[0] < lead->least_ns[1] ? lead->least_ns[0] : lead->least_ns[1];
}

void decode_rate_set(struct decode_rate *rate, double fps)
{
    if (!(fps > 0 && fps < 1e6))
        fps = 0;
    if (rate->fps == fps)
        return;
    rate->fps = fps;
    decode_rate_restart(rate);
}

void decode_rate_restart(struct decode_rate *rate)
{
    rate->any = false;
}

bool decode_rate_chooses(struct decode_rate *rate, int64_t pts_ns)
{
    double  interval_ns = (double)decode_rate_interval_ns(rate);
    double  gap_ns;
    int64_t slot;

    if (rate->fps == 0)
        return true;
    if (!rate->any) {
        rate->any      = true;
        rate->first_ns = rate->last_ns = pts_ns;
        rate->slot                     = 0;
        return true;
    }
    /* A picture up to half a picture early may take a slot: it is nearer to it than the next one
     * will be, and a camera at exactly the wanted rate loses nothing to jitter. */
    gap_ns        = (double)(pts_ns - rate->last_ns);
    rate->last_ns = pts_ns;
    if (gap_ns > interval_ns)
        gap_ns = interval_ns;
    slot = (int64_t)(((double)(pts_ns - rate->first_ns) + gap_ns / 2) * rate->fps / 1e9);
    if (slot <= rate->slot)
        return false;
    rate->slot = slot;
    return true;
}

int64_t decode_rate_interval_ns(const struct decode_rate *rate)
{
    return rate->fps == 0 ? 0 : (int64_t)(1e9 / rate->fps);
}

static void meter_advance(struct decode_meter *meter, int64_t bucket)
{
    if (bucket - meter->bucket >= DECODE_METER_BUCKETS) {
        memset(meter->events, 0, sizeof meter->events);
        meter->bucket = bucket;
    }
    while (meter->bucket < bucket)
        meter->events[++meter->bucket % DECODE_METER_BUCKETS] = 0;
}

void decode_meter_count(struct decode_meter *meter, int64_t now_ns)
{
    if (meter->first_ns == 0)
        meter->first_ns = now_ns;
    meter_advance(meter, now_ns / DECODE_METER_BUCKET_NS);
    meter->events[meter->bucket % DECODE_METER_BUCKETS]++;
}

double decode_meter_per_s(const struct decode_meter *meter, int64_t now_ns)
{
    struct decode_meter now      = *meter;
    int64_t             start_ns = 0;
    uint64_t            events   = 0;

    if (meter->first_ns == 0)
        return 0;
    meter_advance(&now, now_ns / DECODE_METER_BUCKET_NS);
    for (int i = 0; i < DECODE_METER_BUCKETS; i++)
        events += now.events[i];
    start_ns = (now.bucket - DECODE_METER_BUCKETS + 1) * DECODE_METER_BUCKET_NS;
    if (start_ns < meter->first_ns)
        start_ns = meter->first_ns;
    /* The first moments of a stream would give any figure. */
    if (now_ns - start_ns < DECODE_METER_BUCKET_NS)
        return (double)events * 1e9 / (double)DECODE_METER_BUCKET_NS;
    return (double)events * 1e9 / (double)(now_ns - start_ns);
}
