// links: camera
// Turns to connect: no more than the limits at once, in order, none starved, dead cameras passed by.
#include "tests/tap.h"

#include "config/clock.h"
#include "server/camera/camera_gate.h"

#define CAMERAS 200

static struct camera_gate_turn turns[CAMERAS];
static int                     woken;

static void on_wake(void *arg)
{
    (void)arg;
    woken++;
}

static void set_up(int hosts)
{
    memset(turns, 0, sizeof turns);
    for (int i = 0; i < CAMERAS; i++) {
        turns[i].wake = on_wake;
        turns[i].host = camera_gate_host("camera", (uint16_t)(1000 + i % hosts));
    }
    woken = 0;
}

/* All ask at `now_ns`; how many hold a turn. */
static int ask_all(int64_t now_ns, bool *done)
{
    int      holding = 0;
    unsigned wait_ms;

    for (int i = 0; i < CAMERAS; i++) {
        if (done[i])
            continue;
        if (camera_gate_enter(&turns[i], now_ns, &wait_ms))
            holding++;
        else if (wait_ms == 0 || wait_ms > CAMERA_GATE_HOLD_MS + 1)
            ok(false, "waits for %u ms", wait_ms);
    }
    return holding;
}

/* Each camera that has a turn connects, `per_round` of them before the next all ask again. */
static void test_storm(int hosts, int limit)
{
    bool done[CAMERAS] = {false};
    int  rounds = 0, left = CAMERAS, over = 0, first_out = 0;

    set_up(hosts);
    while (left > 0 && rounds++ < 1000) {
        int holding = ask_all(0, done);

        over += holding > limit;
        for (int i = 0; i < CAMERAS; i++) {
            if (!done[i] && turns[i].state == CAMERA_GATE_HOLDING) {
                first_out += rounds == 1 && i >= 2 * limit;
                camera_gate_leave(&turns[i]);
                done[i] = true;
                left--;
            }
        }
    }
    is_int(left, 0, "%d hosts: all had a turn", hosts);
    is_int(over, 0, "never more than %d at once", limit);
    is_int(rounds, (CAMERAS + limit - 1) / limit, "and never fewer while some wait");
    is_int(first_out, 0, "the first that asked are the first");
    ok(woken > 0, "those who wait are woken");
    is_int((int)camera_gate_stats().waiting, 0, "nobody is left waiting");
    is_int((int)camera_gate_stats().holding, 0, "or holding");
}

static void test_dead(void)
{
    unsigned wait_ms = 0;

    set_up(CAMERAS);
    for (int i = 0; i < CAMERA_GATE_TURNS; i++)
        camera_gate_enter(&turns[i], 0, &wait_ms);
    ok(!camera_gate_enter(&turns[100], 0, &wait_ms), "behind dead cameras one waits");
    is_int(wait_ms, CAMERA_GATE_HOLD_MS + 1, "for a second");
    ok(camera_gate_enter(&turns[100], CAMERA_GATE_HOLD_MS * NS_PER_MS, &wait_ms),
       "then their turns are over");
    camera_gate_leave(&turns[0]);
    is_int((int)camera_gate_stats().holding, 1, "leaving late does no harm");
    camera_gate_leave(&turns[100]);
}

static void test_full_host(void)
{
    unsigned wait_ms;

    set_up(CAMERAS);
    for (int i = 0; i < 10; i++)
        turns[i].host = 1;
    for (int i = 0; i < 10; i++)
        camera_gate_enter(&turns[i], 0, &wait_ms);
    is_int((int)camera_gate_stats().holding, CAMERA_GATE_HOST_TURNS, "one host is spared");
    ok(camera_gate_enter(&turns[20], 0, &wait_ms), "others need not wait for it");
    camera_gate_leave(&turns[6]);
    camera_gate_leave(&turns[0]);
    ok(!camera_gate_enter(&turns[9], 0, &wait_ms), "its last does not overtake");
    ok(camera_gate_enter(&turns[4], 0, &wait_ms), "its next has the turn");
    for (int i = 0; i < 21; i++)
        camera_gate_leave(&turns[i]);
    is_int((int)camera_gate_stats().waiting, 0, "all are out");
}

int main(void)
{
    test_storm(CAMERAS, CAMERA_GATE_TURNS);
    test_storm(1, CAMERA_GATE_HOST_TURNS);
    test_dead();
    test_full_host();
    return done_testing();
}
