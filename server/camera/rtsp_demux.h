/* server/camera/rtsp_demux.h: access units out of RTP packets, by FFmpeg's depacketizers.
 *
 * The packets come from memory: nothing here opens a socket, reads a clock or blocks. FFmpeg takes the payload formats apart; its
 * bitstream parsers stay off, since they hold every picture back until the next one begins: a unit is
 * put together here and given out with the packet that ends it (the marker bit; a new time stamp where
 * the camera's marker cannot be believed). */
#ifndef SIGHTLINE_SERVER_CAMERA_RTSP_DEMUX_H
#define SIGHTLINE_SERVER_CAMERA_RTSP_DEMUX_H

#include "config/why.h"
#include "server/camera/rtsp_rtp.h"
#include "server/camera/sdp.h"

#include <libavcodec/codec_par.h>
#include <libavcodec/packet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTSP_UNIT_BYTES (8 << 20) /* an 8K key frame at high quality has 4 MiB */

struct rtsp_demux;

/* One access unit; the callee may take its content. pts in units of the RTP clock from 0, dts unknown. A
 * unit with a gap before it or in it has AV_PKT_FLAG_CORRUPT. */
typedef void rtsp_demux_unit_fn(void *arg, AVPacket *packet, int64_t wall_ns);

int  rtsp_demux_open(struct rtsp_demux **out, const struct sdp_video *video,
                     rtsp_demux_unit_fn *unit, void *arg, struct why *why);
void rtsp_demux_close(struct rtsp_demux **demux);

/* Codec and parameter sets as far as the description says them. */
const AVCodecParameters *rtsp_demux_parameters(const struct rtsp_demux *demux);

/* Both clocks of the moment when the bytes came. */
struct rtsp_moment {
    int64_t monotonic_ns, wall_ns;
};

/* One RTP packet. What is damaged or of another stream is counted and dropped. 0, or ERR_MEMORY. `unit` may
 * be called in it; it may not close the demux. */
int rtsp_demux_rtp(struct rtsp_demux *demux, const uint8_t *packet, size_t bytes,
                   struct rtsp_moment now);
/* One RTCP packet; ERR_CLOSED when it says goodbye, else 0. */
int rtsp_demux_rtcp(struct rtsp_demux *demux, const uint8_t *packet, size_t bytes,
                    struct rtsp_moment now);
/* The report to send back; 0 bytes before the first packet. */
size_t rtsp_demux_report(struct rtsp_demux *demux, int64_t now_ns,
                         uint8_t out[static RTCP_REPORT_BYTES]);

struct rtsp_demux_counters {
    uint64_t units, packets, bytes; /* packets: RTP */
    uint64_t lost;                  /* RTP packets that never came */
    uint64_t ignored;               /* packets that were damaged or of another stream */
    uint64_t oversize;              /* units that were longer than RTSP_UNIT_BYTES, dropped */
    double   jitter_ms;
};
void rtsp_demux_counters(const struct rtsp_demux *demux, struct rtsp_demux_counters *counters);

#endif
