/* server/camera/rtsp_rtp.h: what the RTP and RTCP headers say (RFC 3550): loss, jitter, time.
 *
 * Pure; times come in as arguments. The payload is the demultiplexer's matter (rtsp_demux.h). */
#ifndef SIGHTLINE_SERVER_CAMERA_RTSP_RTP_H
#define SIGHTLINE_SERVER_CAMERA_RTSP_RTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rtp_header {
    uint8_t  payload_type;
    bool     marker;
    uint16_t sequence;
    uint32_t timestamp;
    uint32_t ssrc;
};

/* False: not RTP version 2, or without a payload. */
bool rtp_read(struct rtp_header *header, const uint8_t *packet, size_t bytes);

/* What a receiver knows of one sender. All zero: nothing was received. */
struct rtp_receiver {
    bool     started;
    uint32_t ssrc;
    uint32_t first, highest;                   /* extended sequence numbers */
    uint64_t received;                         /* since `first` */
    uint64_t lost;                             /* in all, over every restart of the sender */
    uint64_t expected_before, received_before; /* at the last report */
    uint32_t transit;
    double   jitter;            /* in units of the RTP clock */
    uint32_t report_middle_ntp; /* of the last sender report; 0: none */
    int64_t  report_ns;         /* monotonic: when it came */
};

/* Notes a packet. Returns how many packets before it are missing; 0 also for a late or doubled one
 * and after a restart of the sender. */
unsigned rtp_receiver_add(struct rtp_receiver *receiver, const struct rtp_header *header,
                          uint32_t clock_hz, int64_t now_ns);

struct rtcp_report {
    bool     has_sender; /* a sender report was in it: */
    uint32_t ssrc;
    uint64_t ntp;
    uint32_t timestamp;
    bool     bye;
};
/* False: damaged; nothing of it is to be used. */
bool rtcp_read(struct rtcp_report *report, const uint8_t *packet, size_t bytes);

#define RTCP_REPORT_BYTES 52
/* A receiver report with its source description; returns its bytes, 0 when nothing was received yet. */
size_t rtcp_write(struct rtp_receiver *receiver, uint32_t own_ssrc, int64_t now_ns,
                  uint8_t out[static RTCP_REPORT_BYTES]);

/* RTP time stamps (32 bits, any start) as a steady count, and as the time of day. All zero: new. */
struct rtp_clock {
    uint32_t clock_hz;
    bool     started;
    uint32_t last;    /* time stamp */
    int64_t  pts;     /* of it, in units of the clock, from 0 */
    int64_t  last_ns; /* monotonic: when it came */
    bool     has_report;
    int64_t  report_pts, report_wall_ns; /* of the last sender report that is believed */
    int64_t  wall_ns;                    /* of the last picture */
};
void rtp_clock_init(struct rtp_clock *clock, uint32_t clock_hz);
/* A jump that the elapsed time does not explain (a restarted camera) goes on from the last one. */
int64_t rtp_clock_pts(struct rtp_clock *clock, uint32_t timestamp, int64_t now_ns);
void rtp_clock_report(struct rtp_clock *clock, const struct rtcp_report *report, int64_t wall_ns);
/* When a picture was taken: by the sender's reports, if its clock is within RTP_CLOCK_TRUST_NS of ours, else
 * when it came. Never before the picture before, but for a step of our own clock. */
int64_t rtp_clock_wall(struct rtp_clock *clock, int64_t pts, int64_t arrival_wall_ns);

/* A camera whose clock is further off was never set: its time would put counts into wrong minutes. */
#define RTP_CLOCK_TRUST_NS INT64_C(10000000000)

#endif
