/* The backend's operations: pictures in pinned memory, copies on one stream, kernels on another, the
 * whole network as one CUDA graph for each batch size, and once more from pictures to boxes. */
#include "gpu/cuda/cuda_runner.h"

#include "config/assert.h"
#include "config/clock.h"
#include "config/err.h"
#include "gpu/cuda/cuda_guest.h"
#include "gpu/cuda/cuda_network.h"

#include <stdlib.h>
#include <string.h>

#define BATCH_DEFAULT \
    16 /* four cameras' worth of pictures at once; larger ones only gain a little */
#define BATCH_MAX    64
#define RUNNER_BYTES ((int64_t)8 << 30) /* of arena, input and weights; smaller batches above it */

#define TRY(call, what)                                                \
    do {                                                               \
        cudaError_t try_status = (call);                               \
        if (try_status != cudaSuccess)                                 \
            return cuda_failed(runner->device, try_status, what, why); \
    } while (0)

static struct cuda_runner *as_cuda(struct runner *runner)
{
    return (struct cuda_runner *)(void *)runner;
}

void cuda_runner_set_host(const struct cuda_host *host)
{
    cuda_network_set_host(host);
}

/* ---- how many pictures ---- */

static int wanted_batch(void)
{
    const char *set   = getenv("SIGHTLINE_CUDA_BATCH");
    long        batch = set != NULL ? strtol(set, NULL, 10) : BATCH_DEFAULT;

    return batch < 1 || batch > BATCH_MAX ? BATCH_DEFAULT : (int)batch;
}

/* A limit on the device memory of one runner, lower for tests of what happens without memory. */
static int64_t runner_bytes(void)
{
    const char *set = getenv("SIGHTLINE_CUDA_MEMORY_MIB");

    return set != NULL ? (int64_t)strtoll(set, NULL, 10) << 20 : RUNNER_BYTES;
}

/* Without a plan: from the input alone, so that the answer is there before a runner is. */
static int best_batch(const struct model *model)
{
    (void)model;
    return wanted_batch();
}

/* Two for each device: while one's pictures are copied the other's network runs. */
static int best_workers(void)
{
    int count = 0;

    return cudaGetDeviceCount(&count) == cudaSuccess && count > 0 ? 2 * count : 1;
}

/* ---- open ---- */

/* *at is set when there is memory. */
static int take(struct cuda_runner *runner, bool pinned, int64_t bytes, void **at, struct why *why)
{
    cudaError_t status = pinned ? cudaHostAlloc(at, (size_t)bytes, cudaHostAllocDefault)
                                : cudaMalloc(at, (size_t)bytes);

    if (status == cudaSuccess)
        return 0;
    *at = NULL;
    return cuda_failed(runner->device, status, pinned ? "pinned memory" : "memory for a runner",
                       why);
}

static void give_back(struct cuda_runner *runner)
{
    cudaFreeHost(runner->staging); /* NULL is allowed, as below */
    cudaFree(runner->workspace);
    cudaFree(runner->input);
    cudaFree(runner->arena);
    runner->staging   = NULL;
    runner->workspace = NULL;
    runner->input     = NULL;
    runner->arena     = NULL;
}

/* For the largest batch. */
static int take_batch(struct cuda_runner *runner, struct why *why)
{
    const struct cuda_plan *plan  = runner->shared->plan;
    int64_t                 most  = cuda_network_most(runner);
    int64_t                 input = plan->input->image_bytes * most;
    int64_t                 arena = plan->arena_bytes * most + CUDA_ALIGN_BYTES;
    void                   *at[4] = {NULL};
    int                     rc;

    if (arena + input + plan->constant_bytes > runner_bytes())
        return cuda_failed(runner->device, cudaErrorMemoryAllocation, "memory for a runner", why);
    rc = take(runner, false, arena, &at[0], why);
    if (rc == 0)
        rc = take(runner, false, input, &at[1], why);
    if (rc == 0)
        rc = take(runner, false, CUDA_WORKSPACE_BYTES, &at[2], why);
    if (rc == 0)
        rc = take(runner, true, input, &at[3], why);
    runner->arena     = at[0];
    runner->input     = at[1];
    runner->workspace = at[2];
    runner->staging   = at[3];
    if (rc != 0)
        return rc;
    TRY(cudaMemset(runner->arena, 0, (size_t)arena), "memory for a runner");
    TRY(cudaMemset(runner->input, 0, (size_t)input), "memory for a runner");
    /* The runner's streams do not wait for the default one, which fills. */
    TRY(cudaStreamSynchronize(NULL), "memory for a runner");
    return 0;
}

/* Smaller batches where there is no memory for large ones: what the pool gives is then run in turns. */
static int allocate(struct cuda_runner *runner, struct why *why)
{
    const struct cuda_plan *plan = runner->shared->plan;
    int                     rc   = take_batch(runner, why);

    while (rc != 0 && runner->batch_bits > 1) {
        give_back(runner);
        runner->batch_bits--;
        rc = take_batch(runner, why);
    }
    if (rc == 0 && cuda_network_most(runner) < runner->wanted)
        cuda_network_say("CUDA device %d has memory for batches of %d pictures, not %d: slower",
                         runner->device, cuda_network_most(runner), runner->wanted);
    for (int i = 0; rc == 0 && i < plan->graph->output_count; i++) {
        void *at = NULL;

        rc = take(runner, true, plan->outputs[i]->image_bytes * runner->wanted, &at, why);
        runner->outputs[i] = at;
    }
    return rc;
}

static int open_streams(struct cuda_runner *runner, struct why *why)
{
    cudnnStatus_t status;

    TRY(cudaStreamCreateWithFlags(&runner->compute, cudaStreamNonBlocking), "a stream");
    TRY(cudaStreamCreateWithFlags(&runner->copy, cudaStreamNonBlocking), "a stream");
    TRY(cudaEventCreateWithFlags(&runner->copied, cudaEventDisableTiming), "an event");
    status = cudnnCreate(&runner->handle);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnSetStream(runner->handle, runner->compute);
    if (status != CUDNN_STATUS_SUCCESS)
        return why_set(why, ERR_DEVICE_LOST, "CUDA device %d: cuDNN: %s", runner->device,
                       cudnnGetErrorString(status));
    return 0;
}

static int check_settings(const struct runner_settings *settings, struct why *why)
{
    int         count  = 0;
    cudaError_t status = cudaGetDeviceCount(&count);

    if (status != cudaSuccess)
        return why_set(why, ERR_DEVICE_LOST, "CUDA: %s", cudaGetErrorString(status));
    if (settings->device < DEVICE_ANY || settings->device >= count ||
        settings->device >= CUDA_DEVICES_MAX)
        return why_set(why, ERR_UNSUPPORTED, "there is no CUDA device %d: there are %d",
                       settings->device, count);
    if (settings->precision != PRECISION_AUTO && settings->precision != PRECISION_F16)
        return why_set(why, ERR_UNSUPPORTED, "the CUDA backend computes in f16, not in %s",
                       settings->precision == PRECISION_F32    ? "f32"
                       : settings->precision == PRECISION_BF16 ? "bf16"
                                                               : "int8");
    return 0;
}

static int supports(const struct model *model, const struct runner_settings *settings,
                    struct why *why)
{
    struct cuda_plan *plan;
    int               rc = check_settings(settings, why);

    if (rc == 0)
        rc = cuda_plan_open(&plan, cuda_network_graph(model), why);
    if (rc == 0)
        cuda_plan_close(&plan);
    return rc;
}

static void close_runner(struct runner **base);

static int open_runner(struct runner **out, const struct model *model,
                       const struct runner_settings *settings, struct why *why)
{
    struct cuda_runner *runner;
    int                 rc = check_settings(settings, why);

    *out = NULL;
    if (rc != 0)
        return rc;
    if ((runner = calloc(1, sizeof *runner)) == NULL)
        return why_set(why, ERR_MEMORY, "no memory for a CUDA runner");
    runner->base   = (struct runner){&BACKEND_CUDA_DEVICE, model, PRECISION_F16};
    runner->eager  = getenv("SIGHTLINE_CUDA_EAGER") != NULL;
    runner->wanted = wanted_batch();
    while (runner->batch_bits < CUDA_BATCHES && 1 << runner->batch_bits < 2 * runner->wanted)
        runner->batch_bits++;
    if ((rc = cuda_device_enter(settings->device, &runner->device, why)) != 0)
        goto fail;
    runner->entered = true;
    if ((rc = open_streams(runner, why)) != 0)
        goto fail;
    if ((rc = cuda_shared_get(&runner->shared, model, cuda_network_graph(model), runner->device,
                              why)) != 0)
        goto fail;
    if ((rc = allocate(runner, why)) != 0)
        goto fail;
    if ((rc = cuda_network_open(runner, why)) != 0)
        goto fail;
    *out = &runner->base;
    return 0;

fail:
    *out = &runner->base;
    close_runner(out);
    return rc;
}

/* Also of a failed device: every call then says so, and there is nothing else to do. */
static void close_runner(struct runner **base)
{
    struct cuda_runner *runner = *base != NULL ? as_cuda(*base) : NULL;

    *base = NULL;
    if (runner == NULL)
        return;
    if (runner->entered)
        cudaSetDevice(runner->device);
    if (runner->copy != NULL)
        cudaStreamSynchronize(runner->copy);
    if (runner->compute != NULL)
        cudaStreamSynchronize(runner->compute);
    cuda_network_close(runner);
    cuda_frames_close(&runner->frames);
    cuda_shared_put(&runner->shared);
    if (runner->handle != NULL)
        cudnnDestroy(runner->handle);
    for (int i = 0; i < MODEL_MAX_OUTPUTS; i++)
        cudaFreeHost(runner->outputs[i]); /* NULL is allowed */
    give_back(runner);
    if (runner->copied != NULL)
        cudaEventDestroy(runner->copied);
    if (runner->copy != NULL)
        cudaStreamDestroy(runner->copy);
    if (runner->compute != NULL)
        cudaStreamDestroy(runner->compute);
    cudaGetLastError();
    if (runner->entered)
        cuda_device_leave(runner->device);
    free(runner);
}

/* ---- run ---- */

/* Picture by picture: while one is on its way the next is brought into pinned memory. */
static int upload(struct cuda_runner *runner, const float *input, int batch, struct why *why)
{
    size_t bytes = (size_t)runner->shared->plan->input->image_bytes, floats = bytes / sizeof(float);

    for (int i = 0; i < batch; i++) {
        memcpy(runner->staging + (size_t)i * floats, input + (size_t)i * floats, bytes);
        TRY(cudaMemcpyAsync(runner->input + (size_t)i * floats,
                            runner->staging + (size_t)i * floats, bytes, cudaMemcpyHostToDevice,
                            runner->copy),
            "copying pictures");
    }
    TRY(cudaEventRecord(runner->copied, runner->copy), "copying pictures");
    TRY(cudaStreamWaitEvent(runner->compute, runner->copied, 0), "copying pictures");
    return 0;
}

/* Behind the outputs of the `done` pictures before. */
static int download(struct cuda_runner *runner, int bit, int done, int batch, struct why *why)
{
    const struct cuda_plan *plan   = runner->shared->plan;
    struct cuda_memory      memory = cuda_network_memory(runner, bit);

    for (int i = 0; i < plan->graph->output_count; i++) {
        int64_t bytes = plan->outputs[i]->image_bytes;

        TRY(cudaMemcpyAsync((uint8_t *)runner->outputs[i] + bytes * done,
                            cuda_bind_tensor(plan, plan->outputs[i], &memory),
                            (size_t)(bytes * batch), cudaMemcpyDeviceToHost, runner->compute),
            "copying outputs");
    }
    TRY(cudaStreamSynchronize(runner->compute), "the network");
    return 0;
}

/* On the runner's device, which works. */
static int enter_run(struct cuda_runner *runner, int batch, struct why *why)
{
    ASSERT(batch >= 1 && batch <= runner->wanted);
    if (runner->lost)
        return why_set(why, ERR_DEVICE_LOST, "CUDA device %d was lost before", runner->device);
    TRY(cudaSetDevice(runner->device), "choosing it");
    return 0;
}

/* How many of the pictures that are left go in one batch. */
static int turn_of(const struct cuda_runner *runner, int left)
{
    return left < cuda_network_most(runner) ? left : cuda_network_most(runner);
}

static int run(struct runner *base, const float *input, int batch, struct why *why)
{
    struct cuda_runner *runner = as_cuda(base);
    int                 rc     = enter_run(runner, batch, why), turn;

    for (int done = 0; rc == 0 && done < batch; done += turn) {
        int64_t elements = runner->shared->plan->input->elements;
        int     bit;

        turn = turn_of(runner, batch - done);
        bit  = cuda_network_bit(runner, turn);
        rc   = upload(runner, input + elements * done, turn, why);
        if (rc == 0)
            rc = cuda_network_start(runner, bit, false, why);
        if (rc == 0)
            rc = download(runner, bit, done, turn, why);
    }
    runner->lost = rc != 0;
    return rc;
}

/* ---- pictures to boxes ---- */

static int open_boxes(struct runner *base, const struct boxes_settings *settings, struct why *why)
{
    struct cuda_runner         *runner = as_cuda(base);
    struct cuda_frames_settings wanted = {.boxes   = *settings,
                                          .plan    = runner->shared->plan,
                                          .device  = runner->device,
                                          .batch   = cuda_network_most(runner),
                                          .copy    = runner->copy,
                                          .compute = runner->compute};
    int                         rc;

    ASSERT(runner->frames == NULL);
    TRY(cudaSetDevice(runner->device), "choosing it");
    rc = cuda_frames_open(&runner->frames, &wanted, why);
    if (rc == 0)
        rc = cuda_network_open_boxes(runner, why);
    runner->lost = runner->lost || rc == ERR_DEVICE_LOST;
    return rc;
}

static bool reads(const struct runner *base, const struct frame *frame)
{
    const struct cuda_runner *runner = (const struct cuda_runner *)(const void *)base;

    return frame->device != NULL && frame->device->number == runner->device;
}

/* One batch from pictures to boxes. */
static int run_turn(struct cuda_runner *runner, struct frame *const *frames, int batch,
                    struct box (*boxes)[LIMIT_BOXES], int *counts, int64_t *prepare_ns,
                    struct why *why)
{
    int64_t            started_ns = clock_monotonic_ns();
    int                bit        = cuda_network_bit(runner, batch);
    struct cuda_memory memory     = cuda_network_memory(runner, bit);
    int                rc = cuda_frames_prepare(runner->frames, frames, batch, &memory, why);

    *prepare_ns += clock_monotonic_ns() - started_ns;
    if (rc == ERR_MEMORY) { /* the processor's: what was started is waited for, and no more */
        TRY(cudaStreamSynchronize(runner->compute), "preparing pictures");
        return rc;
    }
    if (rc == 0)
        rc = cuda_network_start(runner, bit, true, why);
    if (rc == 0)
        rc = cuda_frames_finish(runner->frames, &memory, batch, boxes, counts, why);
    if (rc != 0) /* pictures on the device may be another's once this returns */
        cudaStreamSynchronize(runner->compute);
    return rc;
}

static int run_boxes(struct runner *base, struct frame *const *frames, int batch,
                     struct box (*boxes)[LIMIT_BOXES], int *counts, int64_t *prepare_ns,
                     struct why *why)
{
    struct cuda_runner *runner = as_cuda(base);
    int                 rc, turn;

    *prepare_ns = 0;
    ASSERT(runner->frames != NULL);
    if ((rc = cuda_frames_check(runner->frames, frames, batch, why)) != 0)
        return rc;
    rc = enter_run(runner, batch, why);
    for (int done = 0; rc == 0 && done < batch; done += turn) {
        turn = turn_of(runner, batch - done);
        rc   = run_turn(runner, frames + done, turn, boxes + done, counts + done, prepare_ns, why);
    }
    runner->lost = rc != 0 && rc != ERR_MEMORY;
    return rc;
}

static const float *output(const struct runner *base, int index)
{
    return ((const struct cuda_runner *)(const void *)base)->outputs[index];
}

/* The plug-in is asked through probe() before any of these. */
static bool available(struct why *why)
{
    (void)why;
    return true;
}

const struct backend_ops BACKEND_CUDA_DEVICE = {.name         = "cuda",
                                                .available    = available,
                                                .best_batch   = best_batch,
                                                .best_workers = best_workers,
                                                .supports     = supports,
                                                .open         = open_runner,
                                                .run          = run,
                                                .output       = output,
                                                .open_boxes   = open_boxes,
                                                .reads        = reads,
                                                .run_boxes    = run_boxes,
                                                .close        = close_runner,
                                                .hold         = cuda_guest_enter,
                                                .let_go       = cuda_guest_leave,
                                                .copy_out     = cuda_guest_copy};
