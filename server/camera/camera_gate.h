/* server/camera/camera_gate.h: how many cameras connect at the same time.
 *
 * 200 cameras behind one recorder, one switch or one name server that all connect in the same moment
 * overflow somebody's backlog, and those that were dropped come back together. So a camera takes a
 * turn before it connects: at most CAMERA_GATE_TURNS at once, at most CAMERA_GATE_HOST_TURNS at one
 * host and port, first come first served. A turn ends with the first packet, with the failure, or
 * after CAMERA_GATE_HOLD_MS: a dead camera keeps nobody waiting for longer than that. One for the
 * process; loop thread only. */
#ifndef SIGHTLINE_SERVER_CAMERA_CAMERA_GATE_H
#define SIGHTLINE_SERVER_CAMERA_CAMERA_GATE_H

#include <stdbool.h>
#include <stdint.h>

#define CAMERA_GATE_TURNS      16
#define CAMERA_GATE_HOST_TURNS 4 /* the smallest backlog that was seen in a server is 5 */
#define CAMERA_GATE_HOLD_MS    1000

/* All zero: outside. It must stay where it is until camera_gate_leave. */
struct camera_gate_turn {
    struct camera_gate_turn *next, *before;
    enum { CAMERA_GATE_OUTSIDE, CAMERA_GATE_WAITING, CAMERA_GATE_HOLDING } state;
    uint64_t host; /* of camera_gate_host */
    int64_t  since_ns;
    void    *arg;
    /* A turn may be free: ask again soon. Called from within somebody's leave: it may set a timer,
     * no more. */
    void (*wake)(void *arg);
};

/* What stands for host and port of an address. */
uint64_t camera_gate_host(const char *host, uint16_t port);

/* True: connect now. False: it waits; ask again when woken, or after *wait_ms. */
bool camera_gate_enter(struct camera_gate_turn *turn, int64_t now_ns, unsigned *wait_ms);
/* No harm when outside. */
void camera_gate_leave(struct camera_gate_turn *turn);

struct camera_gate_stats {
    unsigned waiting, holding;
    uint64_t delayed; /* how often a camera had to wait, since the start */
};
struct camera_gate_stats camera_gate_stats(void);

#endif
