/* server/camera/rtsp_reorder.h: RTP packets of UDP in their order again.
 *
 * What comes in order goes through at once, uncopied. Behind a gap packets wait, copied, until the
 * missing one comes, until RTSP_REORDER_PACKETS are waiting, or for RTSP_REORDER_NS: then the gap is
 * given up, and what comes for it later is late. Pure; times come in as arguments. */
#ifndef SIGHTLINE_SERVER_CAMERA_RTSP_REORDER_H
#define SIGHTLINE_SERVER_CAMERA_RTSP_REORDER_H

#include <stddef.h>
#include <stdint.h>

#define RTSP_REORDER_PACKETS 256               /* a key frame of 300 kB, sent at once */
#define RTSP_REORDER_NS      INT64_C(60000000) /* Wi-Fi's retries take 10 to 50 ms */

struct rtsp_reorder;

typedef void rtsp_reorder_fn(void *arg, const uint8_t *packet, size_t bytes);

/* ERR_MEMORY. `packet` may not close it. */
int  rtsp_reorder_open(struct rtsp_reorder **out, rtsp_reorder_fn *packet, void *arg);
void rtsp_reorder_close(struct rtsp_reorder **reorder); /* NULL-safe */

/* What is no RTP is dropped, counted by who looks at it next: passed on. */
void rtsp_reorder_add(struct rtsp_reorder *reorder, const uint8_t *packet, size_t bytes,
                      int64_t now_ns);
/* Gives up gaps that are too old. Returns ns until the next one is, or -1: none waits. */
int64_t rtsp_reorder_tick(struct rtsp_reorder *reorder, int64_t now_ns);

struct rtsp_reorder_counters {
    uint64_t reordered;  /* came behind one that was sent later, in time */
    uint64_t duplicates; /* came twice */
    uint64_t late;       /* came when their gap was given up */
};
void rtsp_reorder_counters(const struct rtsp_reorder    *reorder,
                           struct rtsp_reorder_counters *counters);

#endif
