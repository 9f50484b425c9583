/* libnvcuvid.so.1, NVIDIA's decoder, without a card, so that FFmpeg's own way to it can be tested: it
 * keeps book of decoders and surfaces, and its pictures are not decoded but drawn, each with its
 * number in decode order as in tests/clip.h. The layouts are those of the driver's interface 11. */
#include "tests/driver_nvcuvid.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define NOTHING(name) \
    int name(void);   \
    int name(void)    \
    {                 \
        return 0;     \
    }

#define INVALID_VALUE 1
#define SURFACES_MAX  32
#define BLOCK_PX      16
#define BITS          10

/* As far as it is read. */
struct create_info {
    unsigned long width, height, decode_surfaces;
    int           codec, chroma;
    unsigned long flags, depth, intra, max_width, max_height, reserved;
    short         display[4];
    int           format, deinterlace;
    unsigned long target_width, target_height, output_surfaces;
};

struct picture_info {
    int width_mbs, height_mbs, index;
};

struct decoder {
    int width_px, height_px, surfaces, outputs;
    int decoded, mapped;
    int number[SURFACES_MAX];
    int in_use[SURFACES_MAX];
};

struct mapping {
    struct decoder *decoder;
    int             index;
    unsigned char   pixels[];
};

struct driver_control driver_control;

struct decoder_caps {
    int            codec, chroma;
    unsigned       depth, reserved[3];
    unsigned char  supported, engines;
    unsigned short formats;
    unsigned       max_width, max_height, max_blocks;
    unsigned short min_width, min_height;
};

int cuvidGetDecoderCaps(struct decoder_caps *caps);
int cuvidGetDecoderCaps(struct decoder_caps *caps)
{
    caps->supported = 1;
    caps->formats   = 1;
    caps->max_width = caps->max_height = 4096;
    caps->max_blocks                   = 65536;
    caps->min_width = caps->min_height = 48;
    return 0;
}

int cuvidCreateDecoder(struct decoder **out, const struct create_info *info);
int cuvidCreateDecoder(struct decoder **out, const struct create_info *info)
{
    if (driver_control.refuse_decoders || info->decode_surfaces > SURFACES_MAX)
        return INVALID_VALUE;
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return INVALID_VALUE;
    (*out)->width_px  = (int)info->width;
    (*out)->height_px = (int)info->height;
    (*out)->surfaces  = (int)info->decode_surfaces;
    (*out)->outputs   = (int)info->output_surfaces;
    driver_control.decoders++;
    return 0;
}

int cuvidDestroyDecoder(struct decoder *decoder);
int cuvidDestroyDecoder(struct decoder *decoder)
{
    driver_control.lost += decoder->mapped;
    driver_control.decoders--;
    free(decoder);
    return 0;
}

int cuvidDecodePicture(struct decoder *decoder, const struct picture_info *picture);
int cuvidDecodePicture(struct decoder *decoder, const struct picture_info *picture)
{
    if (driver_control.fail_at > 0 && --driver_control.fail_at == 0)
        return INVALID_VALUE;
    if (picture->index < 0 || picture->index >= decoder->surfaces)
        return INVALID_VALUE;
    driver_control.overwritten += decoder->in_use[picture->index] > 0;
    decoder->number[picture->index] = decoder->decoded++;
    driver_control.decoded++;
    return 0;
}

static void draw(struct mapping *mapping, int pitch, int number)
{
    const struct decoder *decoder = mapping->decoder;

    memset(mapping->pixels, 100, (size_t)pitch * (size_t)decoder->height_px);
    memset(mapping->pixels + pitch * decoder->height_px, 128,
           (size_t)pitch * (size_t)decoder->height_px / 2);
    for (int y = 0; y < BLOCK_PX; y++)
        for (int bit = 0; bit < BITS; bit++)
            memset(mapping->pixels + y * pitch + bit * BLOCK_PX,
                   (number >> bit & 1) != 0 ? 220 : 30, BLOCK_PX);
}

int cuvidMapVideoFrame64(struct decoder *decoder, int index, unsigned long long *at,
                         unsigned *pitch, const void *parameters);
int cuvidMapVideoFrame64(struct decoder *decoder, int index, unsigned long long *at,
                         unsigned *pitch, const void *parameters)
{
    int             pitch_bytes = (decoder->width_px + 511) / 512 * 512;
    size_t          bytes       = (size_t)pitch_bytes * (size_t)decoder->height_px * 3 / 2;
    struct mapping *mapping;

    (void)parameters;
    if (driver_control.fail_map_at > 0 && --driver_control.fail_map_at == 0)
        return INVALID_VALUE;
    if (index < 0 || index >= decoder->surfaces || decoder->mapped == decoder->outputs ||
        (mapping = malloc(sizeof *mapping + bytes)) == NULL)
        return INVALID_VALUE;
    mapping->decoder = decoder;
    mapping->index   = index;
    draw(mapping, pitch_bytes, decoder->number[index]);
    decoder->in_use[index]++;
    decoder->mapped++;
    if (decoder->mapped > driver_control.mapped_most)
        driver_control.mapped_most = decoder->mapped;
    driver_control.mapped++;
    *at    = (unsigned long long)(unsigned long)mapping->pixels;
    *pitch = (unsigned)pitch_bytes;
    return 0;
}

int cuvidUnmapVideoFrame64(struct decoder *decoder, unsigned long long at);
int cuvidUnmapVideoFrame64(struct decoder *decoder, unsigned long long at)
{
    unsigned char  *pixels  = (unsigned char *)(unsigned long)at;
    struct mapping *mapping = (struct mapping *)(void *)(pixels - offsetof(struct mapping, pixels));

    decoder->in_use[mapping->index]--;
    decoder->mapped--;
    driver_control.mapped--;
    free(mapping);
    return 0;
}

NOTHING(cuvidCreateVideoParser)
NOTHING(cuvidCreateVideoSource)
NOTHING(cuvidCreateVideoSourceW)
NOTHING(cuvidCtxLock)
NOTHING(cuvidGetDecodeStatus)
NOTHING(cuvidReconfigureDecoder)
NOTHING(cuvidCtxLockCreate)
NOTHING(cuvidCtxLockDestroy)
NOTHING(cuvidCtxUnlock)
NOTHING(cuvidDestroyVideoParser)
NOTHING(cuvidDestroyVideoSource)
NOTHING(cuvidGetSourceAudioFormat)
NOTHING(cuvidGetSourceVideoFormat)
NOTHING(cuvidGetVideoSourceState)
NOTHING(cuvidParseVideoData)
NOTHING(cuvidSetVideoSourceState)
