/* What the preparation of one picture costs, against swscale's bilinear filter on the same picture.
 * links: camera
 *
 * One row for each size, format and kernel set: medians of alternating runs on one core. swscale gives
 * packed bytes; the way from there to a tensor, which it would still need, is not counted. */
#include <libavutil/pixfmt.h>
#include <libswscale/swscale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/clock.h"
#include "gpu/frame.h"
#include "gpu/prepare.h"
#include "gpu/prepare_kernels.h"

#define ROUNDS 200

struct job {
    const char        *name;
    enum frame_format  format;
    enum AVPixelFormat sws_format;
    int                width_px, height_px;
    int                tensor_width_px, tensor_height_px;
};

static const struct job JOBS[] = {
    {"1080p I420 to 640x360", FRAME_I420, AV_PIX_FMT_YUV420P, 1920, 1080, 640, 360},
    {"1080p NV12 to 640x360", FRAME_NV12, AV_PIX_FMT_NV12, 1920, 1080, 640, 360},
    {"1080p I420 to 640x640", FRAME_I420, AV_PIX_FMT_YUV420P, 1920, 1080, 640, 640},
    {"1080p I420 to 416x416", FRAME_I420, AV_PIX_FMT_YUV420P, 1920, 1080, 416, 416},
    {"720p I420 to 416x416", FRAME_I420, AV_PIX_FMT_YUV420P, 1280, 720, 416, 416},
    {"360p I420 to 416x416", FRAME_I420, AV_PIX_FMT_YUV420P, 640, 360, 416, 416},
    {"4K I420 to 640x640", FRAME_I420, AV_PIX_FMT_YUV420P, 3840, 2160, 640, 640},
    {"1080p BGR24 to 640x360", FRAME_BGR24, AV_PIX_FMT_BGR24, 1920, 1080, 640, 360},
};

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static double median_ms(int64_t *ns)
{
    qsort(ns, ROUNDS, sizeof *ns, compare);
    return (double)ns[ROUNDS / 2] / 1e6;
}

static struct frame *noise(const struct job *job)
{
    struct frame *frame = frame_alloc(job->format, job->width_px, job->height_px);
    uint32_t      state = 1;

    for (int plane = 0; frame != NULL && plane < 3; plane++) {
        int rows = plane == 0 ? job->height_px : (job->height_px + 1) / 2;

        for (int i = 0; frame->plane[plane] != NULL && i < rows * frame->stride_bytes[plane]; i++) {
            state                                          = state * 1664525U + 1013904223U;
            ((uint8_t *)(uintptr_t)frame->plane[plane])[i] = (uint8_t)(state >> 24);
        }
    }
    return frame;
}

static int measure(const struct job *job, const struct prepare_kernels *kernels)
{
    static int64_t          ours_ns[ROUNDS], theirs_ns[ROUNDS];
    struct prepare_settings settings = {.width_px  = job->tensor_width_px,
                                        .height_px = job->tensor_height_px,
                                        .fit       = PREPARE_TOP_LEFT,
                                        .pad       = 114,
                                        .scale     = {1, 1, 1}};
    struct frame           *frame    = noise(job);
    struct prepare_plan    *plan     = NULL;
    struct prepare_area     area;
    struct SwsContext      *sws = NULL;
    size_t   floats = (size_t)3 * (size_t)job->tensor_width_px * (size_t)job->tensor_height_px;
    float   *tensor = aligned_alloc(64, (floats * sizeof(float) + 63) & ~(size_t)63);
    uint8_t *packed = malloc(floats + 64);
    int      rc     = 1;
    double   ours, theirs;

    if (frame == NULL || tensor == NULL || packed == NULL ||
        prepare_plan_open_with(&plan, &settings, frame, kernels, NULL) != 0)
        goto done;
    area = prepare_plan_area(plan);
    sws  = sws_getContext(job->width_px, job->height_px, job->sws_format, area.width_px,
                          area.height_px, AV_PIX_FMT_BGR24, SWS_BILINEAR, NULL, NULL, NULL);
    if (sws == NULL)
        goto done;
    prepare_pad(plan, tensor);
    for (int i = 0; i < ROUNDS; i++) {
        int     stride[4] = {3 * area.width_px};
        int64_t start_ns  = clock_monotonic_ns();

        prepare_run(plan, frame, tensor);
        ours_ns[i] = clock_monotonic_ns() - start_ns;
        start_ns   = clock_monotonic_ns();
        sws_scale(sws, (const uint8_t *const *)frame->plane, frame->stride_bytes, 0, job->height_px,
                  (uint8_t *const[]){packed, NULL, NULL, NULL}, stride);
        theirs_ns[i] = clock_monotonic_ns() - start_ns;
    }
    ours   = median_ms(ours_ns);
    theirs = median_ms(theirs_ns);
    printf("%s\t%s\t%.3f\t%.3f\t%.1f\n", job->name, kernels->name, ours, theirs, theirs / ours);
    rc = 0;

done:
    sws_freeContext(sws);
    prepare_plan_close(&plan);
    frame_unref(&frame);
    free(tensor);
    free(packed);
    return rc;
}

int main(void)
{
    printf("work\tkernels\tsightline_ms\tswscale_bilinear_ms\tratio\n");
    for (size_t i = 0; i < sizeof JOBS / sizeof *JOBS; i++)
        for (int k = 0; PREPARE_KERNELS[k] != NULL; k++)
            if (PREPARE_KERNELS[k]->available() && measure(&JOBS[i], PREPARE_KERNELS[k]) != 0)
                return 1;
    return 0;
}
