// links: camera
// What a decoder leaves out when it is late: a step at a time, and back with patience.
#include "config/clock.h"
#include "server/camera/decode_relief.h"
#include "tests/tap.h"

/* So many seconds of pictures, 25 a second, each so late. Returns how often the level changed. */
static int seconds(struct decode_relief *relief, int64_t *now_ns, int count, int64_t late_ns)
{
    int changes = 0;

    for (int i = 0; i < count * 25; i++) {
        enum camera_relief before = relief->level;

        *now_ns += NS_PER_S / 25;
        decode_relief_note(relief, late_ns, *now_ns);
        changes += relief->level != before;
    }
    return changes;
}

int main(void)
{
    struct decode_relief relief = {.level = CAMERA_DECODES_ALL};
    int64_t              now_ns = NS_PER_S;

    is_int(seconds(&relief, &now_ns, 60, 100 * NS_PER_MS), 0, "in time, nothing is left out");
    is_int(seconds(&relief, &now_ns, 60, 500 * NS_PER_MS), 0,
           "half a second late is no reason yet");
    decode_relief_note(&relief, 5 * NS_PER_S, now_ns);
    decode_relief_note(&relief, 0, now_ns + 1);
    is_int(relief.level, CAMERA_DECODES_ALL, "nor is one hiccup");
    seconds(&relief, &now_ns, 2, NS_PER_S);
    is_int(relief.level, CAMERA_SKIPS_UNREFERENCED, "late for a second: what no other refers to");
    seconds(&relief, &now_ns, 2, NS_PER_S);
    is_int(relief.level, CAMERA_KEY_FRAMES_ONLY, "still late: all but key frames");
    seconds(&relief, &now_ns, 60, NS_PER_S);
    is_int(relief.level, CAMERA_KEY_FRAMES_ONLY, "there is no further step");
    seconds(&relief, &now_ns, 60, 400 * NS_PER_MS);
    is_int(relief.level, CAMERA_KEY_FRAMES_ONLY, "nearly in time is not in time");
    is_int(seconds(&relief, &now_ns, 4, 0), 0, "in time for four seconds: not yet");
    seconds(&relief, &now_ns, 2, 0);
    is_int(relief.level, CAMERA_SKIPS_UNREFERENCED, "for five: a step back");
    seconds(&relief, &now_ns, 2, NS_PER_S);
    is_int(relief.level, CAMERA_KEY_FRAMES_ONLY, "too early");
    is_int(seconds(&relief, &now_ns, 9, 0), 0, "then the next try waits twice as long");
    seconds(&relief, &now_ns, 2, 0);
    is_int(relief.level, CAMERA_SKIPS_UNREFERENCED, "and no longer");
    seconds(&relief, &now_ns, 20, 0);
    is_int(relief.level, CAMERA_DECODES_ALL, "at last everything is decoded again");
    relief = (struct decode_relief){.level = CAMERA_DECODES_ALL};
    for (int i = 0; i < 60; i++) {
        seconds(&relief, &now_ns, 5, NS_PER_S);
        seconds(&relief, &now_ns, 90, 0);
    }
    ok(relief.calm_ns <= DECODE_RELIEF_CALM_MAX_NS, "patience has a bound");
    return done_testing();
}
