// links: camera
// Any text as the description of a camera's streams; what is read is given to the demultiplexer.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <libavutil/log.h>

#include "config/assert.h"
#include "server/camera/rtsp_demux.h"
#include "server/camera/sdp.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void on_unit(void *arg, AVPacket *packet, int64_t wall_ns)
{
    (void)arg;
    (void)packet;
    (void)wall_ns;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    av_log_set_level(AV_LOG_QUIET);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct sdp_video video;
    struct rtsp_demux      *demux;
    struct why              why = {""};
    int                     rc  = sdp_read(&video, (const char *)data, bytes, &why);

    ASSERT(rc == 0 || why.text[0] != '\0');
    if (rc != 0)
        return 0;
    ASSERT(strlen(video.text) < sizeof video.text && video.clock_hz >= 1000);
    ASSERT(video.payload_type >= 0 && video.payload_type <= 127 && video.fps >= 0);
    for (const char *c = video.text; *c != '\0'; c++)
        ASSERT((*c >= 0x20 && *c < 0x7f) || *c == '\r' || *c == '\n');
    if (rtsp_demux_open(&demux, &video, on_unit, NULL, &why) == 0)
        rtsp_demux_close(&demux);
    return 0;
}
