#include "server/rate_share.h"

#define LOST_MIN   2 /* pictures: one may be chance */
#define SHARE_MIN  0.02
#define DOWN_MOST  0.5 /* in one second */
#define SAFETY     0.97
#define SETTLE_NS  INT64_C(1500000000)
#define GOOD_STEPS 3 /* calm periods after a step up: it was not too early */

void rate_share_begin(struct rate_share *share)
{
    *share = (struct rate_share){.share = 1, .calm_ns = RATE_SHARE_CALM_NS};
}

static void lower(struct rate_share *share, double lost, int64_t now_ns)
{
    double keep = (1 - lost) * SAFETY;

    share->calm_since_ns = now_ns;
    /* The second in which the rates changed says little about the new ones. */
    if (share->lowered_ns != 0 && now_ns - share->lowered_ns < SETTLE_NS)
        return;
    if (share->raised_ns != 0 && now_ns - share->raised_ns < GOOD_STEPS * RATE_SHARE_CALM_NS) {
        share->calm_ns *= 2;
        if (share->calm_ns > RATE_SHARE_CALM_MAX_NS)
            share->calm_ns = RATE_SHARE_CALM_MAX_NS;
        share->raised_ns = 0;
    }
    share->share *= keep < DOWN_MOST ? DOWN_MOST : keep;
    if (share->share < SHARE_MIN)
        share->share = SHARE_MIN;
    share->lowered_ns = now_ns;
}

static void raise_share(struct rate_share *share, double busy, int64_t now_ns)
{
    double step = busy > 0 ? RATE_SHARE_BUSY / busy : RATE_SHARE_UP_MAX;

    if (step < RATE_SHARE_UP_MIN)
        return;
    share->share *= step > RATE_SHARE_UP_MAX ? RATE_SHARE_UP_MAX : step;
    if (share->share > 1)
        share->share = 1;
    share->raised_ns     = now_ns;
    share->calm_since_ns = now_ns;
}

void rate_share_note(struct rate_share *share, uint64_t offered, uint64_t lost, double busy,
                     int64_t now_ns)
{
    if (lost >= LOST_MIN && (double)lost > RATE_SHARE_LOST * (double)offered) {
        lower(share, lost < offered ? (double)lost / (double)offered : 1, now_ns);
        return;
    }
    if (lost > 0 || share->calm_since_ns == 0)
        share->calm_since_ns = now_ns;
    if (share->raised_ns != 0 && now_ns - share->raised_ns >= GOOD_STEPS * RATE_SHARE_CALM_NS)
        share->calm_ns = RATE_SHARE_CALM_NS;
    if (share->share < 1 && now_ns - share->calm_since_ns >= share->calm_ns)
        raise_share(share, busy, now_ns);
}

double rate_share_fps(const struct rate_share *share, double wanted_fps, double source_fps)
{
    double full  = wanted_fps > 0 ? wanted_fps : source_fps;
    double least = full < RATE_SHARE_FPS_MIN ? full : RATE_SHARE_FPS_MIN;
    double given = full * share->share;

    if (share->share >= 1 || full <= 0)
        return wanted_fps;
    return given < least ? least : given;
}
