// links: camera
// A packet out of a file that would grow without measure on its way to viewers: parameter sets are put
// before each picture that it says it has.
#include "server/camera/camera.h"
#include "server/camera/decode_view.h"
#include "tests/tap.h"

#include "config/err.h"

#include <libavcodec/avcodec.h>
#include <string.h>
#include <sys/resource.h>

#define SPS_BYTES 3900
#define PICTURES  100000

static const uint8_t IDR[] = {0, 0, 0, 2, 0x65, 0x88};

/* One SPS and one PPS, as a file has them. */
static AVCodecParameters *parameters_of(int sps_bytes)
{
    const uint8_t head[] = {
        1, 100, 0, 31, 0xff, 0xe1, (uint8_t)(sps_bytes >> 8), (uint8_t)sps_bytes, 0x67, 100, 0, 31};
    const uint8_t      tail[]     = {1, 0, 2, 0x68, 0xee};
    AVCodecParameters *parameters = avcodec_parameters_alloc();
    size_t             bytes      = 8 + (size_t)sps_bytes + sizeof tail;

    parameters->codec_type     = AVMEDIA_TYPE_VIDEO;
    parameters->codec_id       = AV_CODEC_ID_H264;
    parameters->extradata      = av_mallocz(bytes + AV_INPUT_BUFFER_PADDING_SIZE);
    parameters->extradata_size = (int)bytes;
    memset(parameters->extradata, 0x55, bytes);
    memcpy(parameters->extradata, head, sizeof head);
    memcpy(parameters->extradata + bytes - sizeof tail, tail, sizeof tail);
    return parameters;
}

static int unit_bytes(int sps_bytes, int pictures, size_t *bytes)
{
    AVCodecParameters  *parameters = parameters_of(sps_bytes);
    AVPacket           *packet     = av_packet_alloc();
    struct decode_view *view       = NULL;
    struct camera_unit *unit       = NULL;
    int                 rc         = decode_view_open(&view, parameters, (AVRational){1, 25});

    *bytes = 0;
    if (rc == 0 && av_new_packet(packet, pictures * (int)sizeof IDR) == 0) {
        for (int i = 0; i < pictures; i++)
            memcpy(packet->data + (size_t)i * sizeof IDR, IDR, sizeof IDR);
        rc = decode_view_unit(view, packet, &unit);
    }
    if (unit != NULL)
        *bytes = unit->bytes;
    camera_unit_unref(&unit);
    av_packet_free(&packet);
    decode_view_close(&view);
    avcodec_parameters_free(&parameters);
    return rc;
}

static long most_kb(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

int main(void)
{
    size_t bytes;
    long   before_kb;

    av_log_set_level(AV_LOG_QUIET);
    is_int(unit_bytes(SPS_BYTES, 1, &bytes), 0, "a key picture is passed on");
    ok(bytes > SPS_BYTES && bytes < 2 * SPS_BYTES, "with its parameter sets: %zu bytes", bytes);
    is_int(unit_bytes(32, 100, &bytes), 0, "so is one of many parts that each could be the first");
    before_kb = most_kb();
    is_int(unit_bytes(SPS_BYTES, PICTURES, &bytes), ERR_CORRUPT, "one that would be 400 MB is not");
    ok(most_kb() - before_kb < 100 << 10, "nor is it made: %ld KB", most_kb() - before_kb);
    is_int(unit_bytes(60000, 1, &bytes), ERR_CORRUPT,
           "nor are parameter sets that nobody would keep");
    return done_testing();
}
