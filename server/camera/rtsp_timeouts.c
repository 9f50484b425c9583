#include "server/camera/rtsp_timeouts.h"

const struct rtsp_timeouts rtsp_timeouts_default = {
    .resolve_ms  = 5000,
    .connect_ms  = 2000, /* two SYN packets; an attempt that goes on would miss the return */
    .response_ms = 5000,
    .udp_ms      = 3000,
    .picture_ms  = 10000, /* two intervals of key frames of the slowest camera */
    .silence_ms  = 15000, /* the camera above looks for a stall sooner; this is the last resort */
    .tick_ms     = 5000,
    .linger_ms   = 300,
};
