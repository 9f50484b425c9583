/* The backend's operations: pictures in pinned memory, copies on one stream, kernels on another, the
 * whole network as one CUDA graph for each batch size, and once more from pictures to boxes. */
#include "gpu/cuda/cuda_runner.h"

#include "config/assert.h"
#include "config/clock.h"
#include "config/err.h"
#include "gpu/cuda/cuda_device.h"
#include "gpu/cuda/cuda_frames.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_DEFAULT \
    16 /* four cameras' worth of pictures at once; larger ones only gain a little */
#define BATCH_MAX    64
#define RUNNER_BYTES ((int64_t)8 << 30) /* of arena, input and weights; above it: no memory */

struct cuda_runner {
    struct runner       base;
    int                 device;
    bool                entered, lost, eager;
    int                 batch_bits; /* batches 1 .. 1 << (batch_bits - 1) */
    struct cuda_shared *shared;
    cudnnHandle_t       handle;
    cudaStream_t        compute, copy;
    cudaEvent_t         copied;
    uint8_t            *arena;
    float              *input; /* device memory, as the next */
    void               *workspace;
    float              *staging; /* pinned, as the next */
    float              *outputs[MODEL_MAX_OUTPUTS];
    /* By batch and step: what cuDNN executes; only convolutions have one. */
    cudnnBackendDescriptor_t *packs[CUDA_BATCHES];
    cudaGraphExec_t           graphs[CUDA_BATCHES];
    /* From pictures to boxes; NULL: from tensors to outputs only. */
    struct cuda_frames *frames;
    cudaGraphExec_t     box_graphs[CUDA_BATCHES];
};

static const struct cuda_host *host;

void cuda_runner_set_host(const struct cuda_host *given)
{
    host = given;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char    text[400];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    host->say(text);
}

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

static int64_t bytes_of_picture(const struct cuda_plan *plan)
{
    return plan->arena_bytes + plan->input->image_bytes;
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

static int batch_of(const struct cuda_runner *runner, int bit)
{
    int most = wanted_batch();

    (void)runner;
    return 1 << bit < most ? 1 << bit : most;
}

/* ---- one network ---- */

static struct cuda_memory memory_of(const struct cuda_runner *runner, int bit)
{
    return (struct cuda_memory){.arena     = runner->arena,
                                .constants = runner->shared->constants,
                                .input     = runner->input,
                                .batch     = batch_of(runner, bit)};
}

static int execute(struct cuda_runner *runner, int bit, int number, struct why *why)
{
    cudnnStatus_t status = cudnnBackendExecute(
        runner->handle, runner->shared->engines[bit][number].plan, runner->packs[bit][number]);

    if (status == CUDNN_STATUS_SUCCESS)
        return 0;
    cuda_failed(runner->device, cudaErrorUnknown, "convolution", why);
    return why_set(why, ERR_DEVICE_LOST, "CUDA device %d, convolution: cuDNN: %s", runner->device,
                   cudnnGetErrorString(status));
}

/* Every step from `first` on, on the compute stream. */
static int start_steps(struct cuda_runner *runner, int bit, int first, struct why *why)
{
    const struct cuda_plan *plan   = runner->shared->plan;
    struct cuda_memory      memory = memory_of(runner, bit);

    for (int i = first; i < plan->step_count; i++) {
        enum cuda_step_kind kind = plan->steps[i].kind;
        union cuda_args     args;
        int                 status, rc;

        if (kind == CUDA_STEP_CONV && runner->packs[bit][i] != NULL) {
            if ((rc = execute(runner, bit, i, why)) != 0)
                return rc;
            continue;
        }
        cuda_bind_step(plan, &plan->steps[i], &memory, &args);
        if (kind == CUDA_STEP_CONV)
            status = cuda_launch_grouped(&args.conv, memory.batch, runner->compute);
        else
            status = cuda_start_step(kind, &args, memory.batch, runner->compute);
        if (status != 0)
            return cuda_failed(runner->device, (cudaError_t)status, cuda_step_name(kind), why);
    }
    return 0;
}

/* The network; with `boxes` from prepared pictures on, and to the boxes. */
static int start_all(struct cuda_runner *runner, int bit, bool boxes, struct why *why)
{
    struct cuda_memory memory = memory_of(runner, bit);
    int                first  = boxes ? cuda_frames_first_step(runner->frames) : 0;
    int                rc     = start_steps(runner, bit, first, why);

    return rc == 0 && boxes ? cuda_frames_find(runner->frames, &memory, why) : rc;
}

static int open_packs(struct cuda_runner *runner, int bit, struct why *why)
{
    const struct cuda_plan *plan   = runner->shared->plan;
    struct cuda_memory      memory = memory_of(runner, bit);

    runner->packs[bit] = calloc((size_t)plan->step_count + 1, sizeof(void *));
    if (runner->packs[bit] == NULL)
        return why_set(why, ERR_MEMORY, "no memory for a CUDA runner");
    for (int i = 0; i < plan->step_count; i++) {
        struct cudnn_conv_data data;
        union cuda_args        args;
        int                    rc;

        if (plan->steps[i].kind != CUDA_STEP_CONV || runner->shared->engines[bit][i].plan == NULL)
            continue;
        cuda_bind_step(plan, &plan->steps[i], &memory, &args);
        data = (struct cudnn_conv_data){.x        = args.conv.x.at,
                                        .weights  = args.conv.weights,
                                        .bias     = args.conv.bias,
                                        .residual = args.conv.residual != 0 ? args.conv.r.at : NULL,
                                        .y        = args.conv.y.at,
                                        .workspace = runner->workspace};
        if ((rc = cudnn_pack_open(&runner->packs[bit][i], &data, why)) != 0)
            return rc;
    }
    return 0;
}

static int record_graph(struct cuda_runner *runner, int bit, bool boxes, struct why *why)
{
    cudaGraphExec_t *to    = boxes ? &runner->box_graphs[bit] : &runner->graphs[bit];
    cudaGraph_t      graph = NULL;
    cudaError_t      status;
    int              rc;

    TRY(cudaStreamBeginCapture(runner->compute, cudaStreamCaptureModeThreadLocal), "a graph");
    rc     = start_all(runner, bit, boxes, why);
    status = cudaStreamEndCapture(runner->compute, &graph);
    if (rc == 0 && status == cudaSuccess)
        status = cudaGraphInstantiate(to, graph, 0);
    if (graph != NULL)
        cudaGraphDestroy(graph);
    if (rc == 0 && status != cudaSuccess) {
        *to = NULL;
        rc  = cuda_failed(runner->device, status, "a graph", why);
    }
    cudaGetLastError(); /* the next launch would take it for its own */
    return rc;
}

/* Once as it is, which also compiles what cuDNN compiles late; then into a graph. Without one the steps
 * are started one by one each time: slower, and what is wrong with the device then comes out. */
static int capture(struct cuda_runner *runner, int bit, bool boxes, struct why *why)
{
    struct why reason = {""};
    int        rc     = start_all(runner, bit, boxes, why);

    if (rc != 0)
        return rc;
    TRY(cudaStreamSynchronize(runner->compute), "the first run");
    if (runner->eager || record_graph(runner, bit, boxes, &reason) == 0)
        return 0;
    say("batches of %d go without a CUDA graph, which is slower: %s", batch_of(runner, bit),
        reason.text);
    if ((rc = start_all(runner, bit, boxes, why)) != 0)
        return rc;
    TRY(cudaStreamSynchronize(runner->compute), "a run without a graph");
    return 0;
}

/* ---- open ---- */

static int allocate(struct cuda_runner *runner, struct why *why)
{
    const struct cuda_plan *plan   = runner->shared->plan;
    size_t                  most   = (size_t)batch_of(runner, runner->batch_bits - 1);
    void                   *at     = NULL;
    const int               device = runner->device;

    if ((int64_t)most * bytes_of_picture(plan) + plan->constant_bytes > runner_bytes())
        return cuda_failed(device, cudaErrorMemoryAllocation, "memory for a runner", why);
    TRY(cudaMalloc(&at, (size_t)plan->arena_bytes * most + CUDA_ALIGN_BYTES), "the arena");
    runner->arena = at;
    TRY(cudaMemset(at, 0, (size_t)plan->arena_bytes * most), "the arena");
    TRY(cudaMalloc(&at, (size_t)plan->input->image_bytes * most), "the input");
    runner->input = at;
    TRY(cudaMemset(at, 0, (size_t)plan->input->image_bytes * most), "the input");
    TRY(cudaMalloc(&at, (size_t)CUDA_WORKSPACE_BYTES), "the workspace");
    runner->workspace = at;
    TRY(cudaHostAlloc(&at, (size_t)plan->input->image_bytes * most, cudaHostAllocDefault),
        "pinned memory");
    runner->staging = at;
    for (int i = 0; i < plan->graph->output_count; i++) {
        TRY(cudaHostAlloc(&at, (size_t)plan->outputs[i]->image_bytes * most, cudaHostAllocDefault),
            "pinned memory");
        runner->outputs[i] = at;
    }
    /* The runner's streams do not wait for the default one, which fills. */
    TRY(cudaStreamSynchronize(NULL), "memory for a runner");
    return 0;
}

/* Convolutions that cuDNN does not do, in the largest batch. */
static void say_engines(const struct cuda_runner *runner)
{
    const struct cuda_plan *plan = runner->shared->plan;
    int                     all = 0, without = 0;

    for (int i = 0; i < plan->step_count; i++) {
        bool is_conv = plan->steps[i].kind == CUDA_STEP_CONV;

        all += is_conv;
        without += is_conv && runner->packs[runner->batch_bits - 1][i] == NULL;
    }
    if (without > 0)
        say("CUDA device %d: cuDNN has no engine that works for %d of %d convolutions, which are "
            "slow without one",
            runner->device, without, all);
}

static int open_batches(struct cuda_runner *runner, struct why *why)
{
    int rc = 0;

    for (int bit = runner->batch_bits - 1; rc == 0 && bit >= 0; bit--) {
        struct cuda_memory memory = memory_of(runner, bit);
        struct cuda_trial  trial  = {.handle    = runner->handle,
                                     .stream    = runner->compute,
                                     .memory    = &memory,
                                     .workspace = runner->workspace,
                                     .timed     = bit == 0 || bit == runner->batch_bits - 1};

        rc = cuda_shared_engines(runner->shared, bit, &trial, why);
        if (rc == 0)
            rc = open_packs(runner, bit, why);
        if (rc == 0)
            rc = capture(runner, bit, false, why);
    }
    if (rc == 0)
        say_engines(runner);
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
        rc = cuda_plan_open(&plan, host->model_graph(model), why);
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
    runner->base  = (struct runner){&BACKEND_CUDA_DEVICE, model, PRECISION_F16};
    runner->eager = getenv("SIGHTLINE_CUDA_EAGER") != NULL;
    while (runner->batch_bits < CUDA_BATCHES && 1 << runner->batch_bits < 2 * wanted_batch())
        runner->batch_bits++;
    if ((rc = cuda_device_enter(settings->device, &runner->device, why)) != 0)
        goto fail;
    runner->entered = true;
    if ((rc = open_streams(runner, why)) != 0)
        goto fail;
    if ((rc = cuda_shared_get(&runner->shared, model, host->model_graph(model), runner->device,
                              runner->handle, why)) != 0)
        goto fail;
    if ((rc = allocate(runner, why)) != 0)
        goto fail;
    if ((rc = open_batches(runner, why)) != 0)
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
    for (int b = 0; b < CUDA_BATCHES; b++) {
        if (runner->graphs[b] != NULL)
            cudaGraphExecDestroy(runner->graphs[b]);
        if (runner->box_graphs[b] != NULL)
            cudaGraphExecDestroy(runner->box_graphs[b]);
        for (int i = 0; runner->packs[b] != NULL && i < runner->shared->plan->step_count; i++)
            if (runner->packs[b][i] != NULL)
                cudnnBackendDestroyDescriptor(runner->packs[b][i]);
        free(runner->packs[b]);
    }
    cuda_frames_close(&runner->frames);
    cuda_shared_put(&runner->shared);
    if (runner->handle != NULL)
        cudnnDestroy(runner->handle);
    for (int i = 0; i < MODEL_MAX_OUTPUTS; i++)
        cudaFreeHost(runner->outputs[i]); /* NULL is allowed, as below */
    cudaFreeHost(runner->staging);
    cudaFree(runner->workspace);
    cudaFree(runner->input);
    cudaFree(runner->arena);
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

static int download(struct cuda_runner *runner, int bit, int batch, struct why *why)
{
    const struct cuda_plan *plan   = runner->shared->plan;
    struct cuda_memory      memory = memory_of(runner, bit);

    for (int i = 0; i < plan->graph->output_count; i++)
        TRY(cudaMemcpyAsync(runner->outputs[i], cuda_bind_tensor(plan, plan->outputs[i], &memory),
                            (size_t)plan->outputs[i]->image_bytes * (size_t)batch,
                            cudaMemcpyDeviceToHost, runner->compute),
            "copying outputs");
    TRY(cudaStreamSynchronize(runner->compute), "the network");
    return 0;
}

static int start_network(struct cuda_runner *runner, int bit, bool boxes, struct why *why)
{
    cudaGraphExec_t graph = boxes ? runner->box_graphs[bit] : runner->graphs[bit];

    if (graph == NULL)
        return start_all(runner, bit, boxes, why);
    TRY(cudaGraphLaunch(graph, runner->compute), "the network");
    return 0;
}

/* The smallest of the prepared batches that holds so many, on the runner's device. */
static int enter_run(struct cuda_runner *runner, int batch, int *bit, struct why *why)
{
    ASSERT(batch >= 1 && batch <= batch_of(runner, runner->batch_bits - 1));
    if (runner->lost)
        return why_set(why, ERR_DEVICE_LOST, "CUDA device %d was lost before", runner->device);
    *bit = 0;
    while (batch_of(runner, *bit) < batch)
        (*bit)++;
    TRY(cudaSetDevice(runner->device), "choosing it");
    return 0;
}

static int run(struct runner *base, const float *input, int batch, struct why *why)
{
    struct cuda_runner *runner = as_cuda(base);
    int                 bit, rc = enter_run(runner, batch, &bit, why);

    if (rc == 0)
        rc = upload(runner, input, batch, why);
    if (rc == 0)
        rc = start_network(runner, bit, false, why);
    if (rc == 0)
        rc = download(runner, bit, batch, why);
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
                                          .batch   = batch_of(runner, runner->batch_bits - 1),
                                          .copy    = runner->copy,
                                          .compute = runner->compute};
    int                         rc;

    ASSERT(runner->frames == NULL);
    TRY(cudaSetDevice(runner->device), "choosing it");
    rc = cuda_frames_open(&runner->frames, &wanted, why);
    for (int bit = runner->batch_bits - 1; rc == 0 && bit >= 0; bit--)
        rc = capture(runner, bit, true, why);
    runner->lost = runner->lost || rc == ERR_DEVICE_LOST;
    return rc;
}

static bool reads(const struct runner *base, const struct frame *frame)
{
    const struct cuda_runner *runner = (const struct cuda_runner *)(const void *)base;

    return frame->device != NULL && frame->device->number == runner->device;
}

static int run_boxes(struct runner *base, struct frame *const *frames, int batch,
                     struct box (*boxes)[LIMIT_BOXES], int *counts, int64_t *prepare_ns,
                     struct why *why)
{
    struct cuda_runner *runner     = as_cuda(base);
    int64_t             started_ns = clock_monotonic_ns();
    struct cuda_memory  memory;
    int                 bit, rc;

    ASSERT(runner->frames != NULL);
    if ((rc = cuda_frames_check(runner->frames, frames, batch, why)) != 0)
        return rc;
    if ((rc = enter_run(runner, batch, &bit, why)) == 0) {
        memory = memory_of(runner, bit);
        rc     = cuda_frames_prepare(runner->frames, frames, batch, &memory, why);
    }
    *prepare_ns = clock_monotonic_ns() - started_ns;
    if (rc == ERR_MEMORY) { /* the processor's: what was started is waited for, and no more */
        TRY(cudaStreamSynchronize(runner->compute), "preparing pictures");
        return rc;
    }
    if (rc == 0)
        rc = start_network(runner, bit, true, why);
    if (rc == 0)
        rc = cuda_frames_finish(runner->frames, &memory, batch, boxes, counts, why);
    runner->lost = rc != 0;
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
                                                .close        = close_runner};
