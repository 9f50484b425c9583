/* server/camera/rtsp_udp.h: the two UDP ports that a camera sends RTP and RTCP to.
 *
 * Bound on the address that the RTSP connection has here, an even port and the one above. Packets
 * from any other host than the camera's are ignored, counted. Loop thread only. */
#ifndef SIGHTLINE_SERVER_CAMERA_RTSP_UDP_H
#define SIGHTLINE_SERVER_CAMERA_RTSP_UDP_H

#include "config/why.h"
#include "server/camera/rtsp_reorder.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#define RTSP_UDP_PACKET_BYTES  (16 << 10) /* a jumbo frame has 9 KiB; longer ones are dropped */
#define RTSP_UDP_RECEIVE_BYTES (1 << 20)  /* of the kernel: a key frame while the loop is busy */

struct rtsp_udp;

struct rtsp_udp_events {
    void *arg;
    /* In order. May close the ports. */
    void (*rtp)(void *arg, const uint8_t *packet, size_t bytes);
    void (*rtcp)(void *arg, const uint8_t *packet, size_t bytes);
};

/* `own` and `peer`: the ends of the RTSP connection. ERR_IO (no pair of ports), ERR_MEMORY. */
int rtsp_udp_open(struct rtsp_udp **out, uv_loop_t *loop, const struct sockaddr_storage *own,
                  const struct sockaddr_storage *peer, const struct rtsp_udp_events *events,
                  struct why *why);
/* Sets *udp = NULL; no event after it. */
void rtsp_udp_close(struct rtsp_udp **udp);

uint16_t rtsp_udp_port(const struct rtsp_udp *udp); /* the even one */

/* The ports that the camera sends from; 0: not said. Sends a packet out of each of ours to them, so
 * that a router on the way lets the camera's through. */
void rtsp_udp_open_way(struct rtsp_udp *udp, uint16_t rtp_port, uint16_t rtcp_port);
/* Best effort, as UDP is. */
void rtsp_udp_send_rtcp(struct rtsp_udp *udp, const uint8_t *packet, size_t bytes);

struct rtsp_udp_counters {
    uint64_t                     packets; /* RTP, of the camera */
    uint64_t                     strangers;
    struct rtsp_reorder_counters reorder;
};
void rtsp_udp_counters(const struct rtsp_udp *udp, struct rtsp_udp_counters *counters);

#endif
