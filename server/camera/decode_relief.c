#include "server/camera/decode_relief.h"

static void step_down(struct decode_relief *relief, int64_t now_ns)
{
    /* It was better before the last step up: the next one waits longer. */
    if (relief->raised_ns != 0 && now_ns - relief->raised_ns < relief->calm_ns) {
        relief->calm_ns *= 2;
        if (relief->calm_ns > DECODE_RELIEF_CALM_MAX_NS)
            relief->calm_ns = DECODE_RELIEF_CALM_MAX_NS;
    }
    if (relief->level < CAMERA_KEY_FRAMES_ONLY)
        relief->level++;
    relief->late_since_ns = now_ns;
}

void decode_relief_note(struct decode_relief *relief, int64_t late_ns, int64_t now_ns)
{
    if (relief->calm_ns == 0)
        relief->calm_ns = DECODE_RELIEF_CALM_NS;
    if (late_ns > DECODE_RELIEF_LATE_NS) {
        relief->calm_since_ns = 0;
        if (relief->late_since_ns == 0)
            relief->late_since_ns = now_ns;
        else if (now_ns - relief->late_since_ns >= DECODE_RELIEF_STEP_NS)
            step_down(relief, now_ns);
        return;
    }
    relief->late_since_ns = 0;
    if (late_ns > DECODE_RELIEF_IN_TIME_NS) {
        relief->calm_since_ns = 0;
        return;
    }
    if (relief->calm_since_ns == 0)
        relief->calm_since_ns = now_ns;
    if (now_ns - relief->calm_since_ns < relief->calm_ns || relief->level == CAMERA_DECODES_ALL)
        return;
    relief->level--;
    relief->raised_ns     = now_ns;
    relief->calm_since_ns = now_ns;
}
