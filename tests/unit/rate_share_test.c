// links: server
// Overload: cameras of any rates before a detector of any speed. Each is slowed down in proportion,
// none starves, and all come back.
#include "config/clock.h"
#include "server/rate_share.h"
#include "tests/tap.h"

#include <math.h>
#include <string.h>

#define CAMERAS_MAX 40
#define ROUNDS      200

static uint64_t random_state = 42;

static double uniform(void)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return (double)(random_state >> 33) / (double)(UINT64_C(1) << 31);
}

/* A detector that serves `capacity` pictures a second, one of each camera in turn, as the pool
 * does; what does not fit is lost. */
struct world {
    int               cameras;
    double            wanted[CAMERAS_MAX], got[CAMERAS_MAX], sum[CAMERAS_MAX];
    double            capacity;
    struct rate_share share;
    int64_t           now_ns;
    int               changes;
};

static void serve_a_second(struct world *world)
{
    double   offered[CAMERAS_MAX], left[CAMERAS_MAX];
    double   room = world->capacity * (0.98 + 0.04 * uniform()), sum = 0, served = 0;
    double   before = world->share.share;
    uint64_t lost;

    for (int i = 0; i < world->cameras; i++) {
        left[i] = offered[i] = rate_share_fps(&world->share, world->wanted[i], 25);
        world->got[i]        = 0;
        sum += offered[i];
    }
    while (room > 1e-9 && served < sum - 1e-9) {
        for (int i = 0; i < world->cameras && room > 0; i++) {
            double part = left[i] < 0.05 ? left[i] : 0.05;

            part = part < room ? part : room;
            left[i] -= part;
            world->got[i] += part;
            room -= part;
            served += part;
        }
    }
    lost = (uint64_t)(sum - served + 0.5);
    world->now_ns += NS_PER_S;
    rate_share_note(&world->share, (uint64_t)(sum + 0.5), lost, served / world->capacity,
                    world->now_ns);
    world->changes += world->share.share != before;
}

/* Over a minute, the worst relation between two cameras' shares of what they want, those at the floor aside. */
static double unfairness(const struct world *world)
{
    double least = 1e9, most = 0;

    for (int i = 0; i < world->cameras; i++) {
        double part = world->sum[i] / world->wanted[i];

        if (world->wanted[i] * world->share.share <= RATE_SHARE_FPS_MIN * 1.1)
            continue;
        least = part < least ? part : least;
        most  = part > most ? part : most;
    }
    return most == 0 ? 1 : most / least;
}

static void test_property(void)
{
    int    unfair = 0, starved = 0, idle = 0, late = 0, restless = 0;
    double worst = 1;

    for (int round = 0; round < ROUNDS; round++) {
        struct world world = {.now_ns = NS_PER_S};
        double       sum = 0, served = 0, least, one;

        world.cameras = 2 + (int)(uniform() * (CAMERAS_MAX - 2));
        for (int i = 0; i < world.cameras; i++)
            sum += world.wanted[i] = 2 + uniform() * 23;
        least          = world.cameras * RATE_SHARE_FPS_MIN;
        world.capacity = least * 1.2 + uniform() * (sum - least * 1.2);
        rate_share_begin(&world.share);
        for (int second = 0; second < 60; second++)
            serve_a_second(&world);
        world.changes = 0;
        for (int second = 0; second < 60; second++) {
            serve_a_second(&world);
            for (int i = 0; i < world.cameras; i++) {
                starved += world.got[i] < 0.7 * RATE_SHARE_FPS_MIN;
                served += world.got[i];
                world.sum[i] += world.got[i];
            }
        }
        one   = unfairness(&world);
        worst = one > worst ? one : worst;
        unfair += one > 1.3;
        idle += served / 60 < 0.75 * (sum < world.capacity ? sum : world.capacity);
        restless += world.changes > 30;
        world.capacity = 2 * sum;
        for (int second = 0; second < 180; second++)
            serve_a_second(&world);
        late += world.share.share < 1;
    }
    is_int(unfair, 0, "%d worlds: no camera is slowed down more than others (worst %.2f)", ROUNDS,
           worst);
    is_int(starved, 0, "none starves");
    is_int(idle, 0, "the detector has work for three quarters of its time or more");
    is_int(restless, 0, "the rate changes at most every other second");
    is_int(late, 0, "with room again, every camera is back at its rate within three minutes");
}

static void test_rates(void)
{
    struct rate_share share;

    rate_share_begin(&share);
    is_near(rate_share_fps(&share, 5, 25), 5, 0, "with room everybody gets what he wants");
    is_near(rate_share_fps(&share, 0, 25), 0, 0, "every picture, if that is it");
    rate_share_note(&share, 100, 1, 0.8, NS_PER_S);
    is_near(share.share, 1, 0, "one picture may be lost by chance");
    rate_share_note(&share, 100, 30, 0.8, 2 * NS_PER_S);
    is_near(share.share, 0.679, 1e-9, "what is too much goes at once");
    is_near(rate_share_fps(&share, 0, 25), 25 * 0.679, 1e-9,
            "every picture becomes a share of what is sent");
    is_near(rate_share_fps(&share, 1.2, 25), 1, 1e-9, "nobody is slowed down below one a second");
    is_near(rate_share_fps(&share, 0.5, 25), 0.5, 1e-9, "unless he wants less");
    for (int i = 3; i < 5; i++)
        rate_share_note(&share, 60, 0, 0.8, i * NS_PER_S);
    is_near(share.share, 0.679, 1e-9, "calm for a while changes nothing");
    rate_share_note(&share, 60, 0, 0.8, 6 * NS_PER_S);
    is_near(share.share, 0.679 * 0.9 / 0.8, 1e-9, "then a step up, by what the detector can spare");
    rate_share_note(&share, 66, 8, 0.8, 7 * NS_PER_S);
    ok(share.calm_ns == 2 * RATE_SHARE_CALM_NS, "too much: the next waits twice as long");
    for (int i = 20; i < 40; i++)
        rate_share_note(&share, 66, 0, 0.88, i * NS_PER_S);
    ok(share.share < 0.679, "a detector that is busy and loses nothing is left alone");
}

int main(void)
{
    test_rates();
    test_property();
    return done_testing();
}
