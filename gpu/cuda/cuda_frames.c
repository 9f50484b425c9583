#include "gpu/cuda/cuda_frames.h"

#include <stdlib.h>
#include <string.h>

#include "config/assert.h"
#include "config/err.h"
#include "gpu/head.h"

/* What the device knows of one kind of picture. */
struct kind {
    uint64_t              last_use; /* 0: free */
    struct prepare_tables tables;   /* closed: only which pictures it is for */
    struct cuda_prepare   args;
};

struct cuda_frames {
    struct cuda_frames_settings settings;
    int                         first_step;
    struct cuda_find            find;
    struct kind                 kinds[CUDA_KINDS_MAX];
    uint64_t                    uses;
    int64_t                     room, tables_bytes; /* of all pictures; of one kind */
    uint8_t                    *packed;             /* one kind's tables on their way */
    struct prepare_area        *areas;              /* of each picture of a run */
    cudaEvent_t                 arrived;
    uint8_t                    *staging, *pictures;       /* pinned, device memory */
    uint8_t                    *tables, *classes, *lists; /* device memory */
    float                      *bounds;                   /* pinned: what find.area will be */
    struct cuda_boxes          *boxes;                    /* pinned */
};

#define TRY(call, what)                                                         \
    do {                                                                        \
        cudaError_t try_status = (call);                                        \
        if (try_status != cudaSuccess)                                          \
            return cuda_failed(frames->settings.device, try_status, what, why); \
    } while (0)

static int64_t room_of(void)
{
    const char *set = getenv("SIGHTLINE_CUDA_FRAMES_MIB");
    long        mib = set != NULL ? strtol(set, NULL, 10) : 0;

    return mib > 0 && mib <= 4096 ? (int64_t)mib << 20 : CUDA_FRAMES_BYTES;
}

static int take(struct cuda_frames *frames, int64_t bytes, bool pinned, void **at, struct why *why)
{
    if (pinned)
        TRY(cudaHostAlloc(at, (size_t)bytes, cudaHostAllocDefault), "pinned memory for pictures");
    else
        TRY(cudaMalloc(at, (size_t)bytes), "memory for pictures");
    return 0;
}

static int take_all(struct cuda_frames *frames, struct why *why)
{
    int64_t batch = frames->settings.batch;
    struct {
        int64_t bytes;
        bool    pinned;
        void   *at;
    } wanted[] = {
        {frames->room, true, NULL},
        {frames->room, false, NULL},
        {frames->tables_bytes * CUDA_KINDS_MAX, false, NULL},
        {CUDA_CLASSES_BYTES, false, NULL},
        {cuda_find_bytes(&frames->find, (int)batch), false, NULL},
        {batch * 4 * (int64_t)sizeof(float), true, NULL},
        {batch * (int64_t)sizeof(struct cuda_boxes), true, NULL},
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof wanted / sizeof *wanted; i++)
        rc = take(frames, wanted[i].bytes, wanted[i].pinned, &wanted[i].at, why);
    frames->staging  = wanted[0].at;
    frames->pictures = wanted[1].at;
    frames->tables   = wanted[2].at;
    frames->classes  = wanted[3].at;
    frames->lists    = wanted[4].at;
    frames->bounds   = wanted[5].at;
    frames->boxes    = wanted[6].at;
    return rc;
}

static int fill(struct cuda_frames *frames, struct why *why)
{
    uint8_t classes[CUDA_CLASSES_BYTES];

    cuda_find_classes(&frames->settings.boxes, classes);
    TRY(cudaMemcpy(frames->classes, classes, sizeof classes, cudaMemcpyHostToDevice),
        "the classes");
    TRY(cudaMemset(frames->lists, 0,
                   (size_t)cuda_find_bytes(&frames->find, frames->settings.batch)),
        "the lists of boxes");
    TRY(cudaEventCreateWithFlags(&frames->arrived, cudaEventDisableTiming), "an event");
    /* The runner's streams do not wait for the default one, which fills. */
    TRY(cudaStreamSynchronize(NULL), "memory for pictures");
    return 0;
}

int cuda_frames_open(struct cuda_frames **out, const struct cuda_frames_settings *settings,
                     struct why *why)
{
    const struct prepare_settings *input  = &settings->boxes.head->input;
    struct cuda_frames            *frames = calloc(1, sizeof *frames);
    int                            rc;

    *out = NULL;
    if (frames == NULL)
        return why_set(why, ERR_MEMORY, "no memory to prepare pictures on a CUDA device");
    frames->settings     = *settings;
    frames->room         = room_of();
    frames->tables_bytes = cuda_tables_bytes(input);
    frames->first_step   = cuda_prepare_first_step(settings->plan);
    if ((rc = cuda_find_describe(&frames->find, &settings->boxes, settings->plan, why)) != 0)
        goto fail;
    rc = ERR_UNSUPPORTED;
    if (frames->tables_bytes * CUDA_KINDS_MAX > CUDA_KINDS_BYTES ||
        settings->plan->input->elements != (int64_t)3 * input->height_px * input->width_px) {
        why_set(why, rc, "the CUDA backend does not prepare pictures of %dx%d", input->width_px,
                input->height_px);
        goto fail;
    }
    rc             = ERR_MEMORY;
    frames->packed = malloc((size_t)frames->tables_bytes);
    frames->areas  = calloc((size_t)settings->batch, sizeof *frames->areas);
    if (frames->packed == NULL || frames->areas == NULL) {
        why_set(why, rc, "no memory to prepare pictures on a CUDA device");
        goto fail;
    }
    if ((rc = take_all(frames, why)) != 0 || (rc = fill(frames, why)) != 0)
        goto fail;
    *out = frames;
    return 0;

fail:
    cuda_frames_close(&frames);
    return rc;
}

void cuda_frames_close(struct cuda_frames **frames)
{
    struct cuda_frames *old = *frames;

    *frames = NULL;
    if (old == NULL)
        return;
    if (old->arrived != NULL)
        cudaEventDestroy(old->arrived);
    cudaFreeHost(old->staging); /* NULL is allowed, as below */
    cudaFreeHost(old->bounds);
    cudaFreeHost(old->boxes);
    cudaFree(old->pictures);
    cudaFree(old->tables);
    cudaFree(old->classes);
    cudaFree(old->lists);
    free(old->packed);
    free(old->areas);
    free(old);
}

int cuda_frames_first_step(const struct cuda_frames *frames)
{
    return frames->first_step;
}

/* ---- pictures ---- */

int cuda_frames_check(const struct cuda_frames *frames, struct frame *const *given, int batch,
                      struct why *why)
{
    for (int i = 0; i < batch; i++) {
        struct cuda_planes planes;
        int                rc = cuda_planes_of(&planes, given[i], why);

        if (rc != 0)
            return rc;
        if (given[i]->device == NULL && planes.bytes > frames->room)
            return why_set(why, ERR_UNSUPPORTED,
                           "a picture of %dx%d is larger than the %lld MiB that the CUDA backend "
                           "keeps for pictures (SIGHTLINE_CUDA_FRAMES_MIB)",
                           given[i]->width_px, given[i]->height_px, (long long)frames->room >> 20);
    }
    return 0;
}

/* In the place of the kind used longest ago. Rare: the kernels that may still read that one's tables
 * are waited for. */
static int add_kind(struct cuda_frames *frames, struct kind *kind, const struct frame *frame,
                    struct why *why)
{
    uint8_t              *at = frames->tables + (kind - frames->kinds) * frames->tables_bytes;
    struct prepare_tables tables;
    int                   rc;

    TRY(cudaStreamSynchronize(frames->settings.compute), "preparing pictures");
    kind->last_use = 0;
    rc = prepare_tables_open(&tables, &frames->settings.boxes.head->input, frame, &PREPARE_C, why);
    if (rc != 0)
        return rc;
    rc = cuda_tables_pack(&kind->args, &tables, frames->packed, frames->tables_bytes, at, why);
    prepare_tables_close(&tables);
    ASSERT(rc == 0); /* the bound is our own arithmetic */
    kind->tables = tables;
    TRY(cudaMemcpyAsync(at, frames->packed, (size_t)frames->tables_bytes, cudaMemcpyHostToDevice,
                        frames->settings.copy),
        "copying tables");
    /* The next kind's tables go through the same memory. */
    TRY(cudaStreamSynchronize(frames->settings.copy), "copying tables");
    return 0;
}

static int kind_of(struct cuda_frames *frames, const struct frame *frame, const struct kind **out,
                   struct why *why)
{
    struct kind *oldest = &frames->kinds[0];
    int          rc;

    frames->uses++;
    for (int i = 0; i < CUDA_KINDS_MAX; i++) {
        struct kind *kind = &frames->kinds[i];

        if (kind->last_use > 0 && prepare_tables_fit(&kind->tables, frame)) {
            kind->last_use = frames->uses;
            *out           = kind;
            return 0;
        }
        if (kind->last_use < oldest->last_use)
            oldest = kind;
    }
    if ((rc = add_kind(frames, oldest, frame, why)) != 0)
        return rc;
    oldest->last_use = frames->uses;
    *out             = oldest;
    return 0;
}

/* Where picture `index` of the batch goes. */
static void set_target(const struct cuda_frames *frames, const struct cuda_memory *memory,
                       int index, struct cuda_prepare *args)
{
    const struct cuda_plan *plan = frames->settings.plan;
    union cuda_args         first;

    if (frames->first_step == 0) {
        args->plain = (float *)(uintptr_t)memory->input + index * plan->input->elements;
        return;
    }
    cuda_bind_step(plan, &plan->steps[0], memory, &first);
    args->y = first.input.y;
    args->y.at += index * args->y.image;
}

/* The kernels come behind what is on `stream` now. */
static int wait_for(struct cuda_frames *frames, cudaStream_t stream, const char *what,
                    struct why *why)
{
    TRY(cudaEventRecord(frames->arrived, stream), what);
    TRY(cudaStreamWaitEvent(frames->settings.compute, frames->arrived, 0), what);
    return 0;
}

/* A picture in host memory to where `args` then read it. */
static int bring(struct cuda_frames *frames, const struct frame *frame, int64_t *used,
                 struct cuda_prepare *args, struct why *why)
{
    const struct cuda_frames_settings *settings = &frames->settings;
    struct cuda_planes                 planes;
    int                                rc = cuda_planes_of(&planes, frame, why);

    if (rc != 0)
        return rc;
    if (planes.bytes > frames->room - *used) {
        /* The kernels so far have read all that was copied so far. */
        TRY(cudaStreamSynchronize(settings->compute), "preparing pictures");
        *used = 0;
    }
    cuda_planes_copy(&planes, frame, frames->staging + *used);
    TRY(cudaMemcpyAsync(frames->pictures + *used, frames->staging + *used, (size_t)planes.bytes,
                        cudaMemcpyHostToDevice, settings->copy),
        "copying pictures");
    cuda_prepare_from(args, frame, &planes, frames->pictures + *used);
    *used += planes.bytes;
    return wait_for(frames, settings->copy, "copying pictures", why);
}

static int prepare_one(struct cuda_frames *frames, const struct frame *frame, int index,
                       int64_t *used, const struct cuda_memory *memory, struct why *why)
{
    struct cuda_prepare args;
    const struct kind  *kind;
    int                 rc = kind_of(frames, frame, &kind, why);

    if (rc != 0)
        return rc;
    args = kind->args;
    if (frame->device == NULL) {
        rc = bring(frames, frame, used, &args, why);
    } else {
        cuda_prepare_in_place(&args, frame);
        rc = wait_for(frames, frame->device->stream, "waiting for the decoder", why);
    }
    if (rc != 0)
        return rc;
    set_target(frames, memory, index, &args);
    TRY((cudaError_t)cuda_launch_prepare(&args, 1, frames->settings.compute), "preparing pictures");
    frames->areas[index] = kind->tables.area;
    return 0;
}

int cuda_frames_prepare(struct cuda_frames *frames, struct frame *const *given, int batch,
                        const struct cuda_memory *memory, struct why *why)
{
    int64_t used = 0;
    int     rc;

    ASSERT(batch <= memory->batch && memory->batch <= frames->settings.batch);
    for (int i = 0; i < batch; i++)
        if ((rc = prepare_one(frames, given[i], i, &used, memory, why)) != 0)
            return rc;
    for (int i = 0; i < batch; i++) {
        const struct prepare_area *area = &frames->areas[i];

        frames->bounds[4 * i]     = (float)area->x_px;
        frames->bounds[4 * i + 1] = (float)area->y_px;
        frames->bounds[4 * i + 2] = (float)(area->x_px + area->width_px);
        frames->bounds[4 * i + 3] = (float)(area->y_px + area->height_px);
    }
    /* The lists begin with the areas, whatever the batch. */
    TRY(cudaMemcpyAsync(frames->lists, frames->bounds, (size_t)batch * 4 * sizeof(float),
                        cudaMemcpyHostToDevice, frames->settings.compute),
        "copying areas");
    return 0;
}

/* ---- boxes ---- */

static struct cuda_find bound_find(const struct cuda_frames *frames,
                                   const struct cuda_memory *memory)
{
    struct cuda_find find = frames->find;

    cuda_find_bind(&find, &frames->settings.boxes, frames->settings.plan, memory, frames->lists,
                   frames->classes);
    return find;
}

int cuda_frames_find(struct cuda_frames *frames, const struct cuda_memory *memory, struct why *why)
{
    struct cuda_find find = bound_find(frames, memory);

    TRY((cudaError_t)cuda_launch_find(&find, memory->batch, frames->settings.compute),
        "finding boxes");
    return 0;
}

int cuda_frames_finish(struct cuda_frames *frames, const struct cuda_memory *memory, int batch,
                       struct box (*boxes)[LIMIT_BOXES], int *counts, struct why *why)
{
    struct cuda_find find = bound_find(frames, memory);

    TRY(cudaMemcpyAsync(frames->boxes, find.boxes, (size_t)batch * sizeof *find.boxes,
                        cudaMemcpyDeviceToHost, frames->settings.compute),
        "copying boxes");
    TRY(cudaStreamSynchronize(frames->settings.compute), "the network");
    for (int i = 0; i < batch; i++) {
        const struct cuda_boxes *found = &frames->boxes[i];

        ASSERT(found->count >= 0 && found->count <= LIMIT_BOXES);
        counts[i] = found->count;
        memcpy(boxes[i], found->box, (size_t)found->count * sizeof(struct box));
        for (int k = 0; k < found->count; k++)
            prepare_box_to_picture(&frames->areas[i], &boxes[i][k]);
    }
    return 0;
}
