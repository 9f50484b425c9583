#include "gpu/cuda/cuda_network.h"

#include "config/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TRY(call, what)                                                \
    do {                                                               \
        cudaError_t try_status = (call);                               \
        if (try_status != cudaSuccess)                                 \
            return cuda_failed(runner->device, try_status, what, why); \
    } while (0)

static const struct cuda_host *host;

void cuda_network_set_host(const struct cuda_host *given)
{
    host = given;
}

void cuda_network_say(const char *format, ...)
{
    char    text[400];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    host->say(text);
}

const struct graph *cuda_network_graph(const struct model *model)
{
    return host->model_graph(model);
}

int cuda_network_batch(const struct cuda_runner *runner, int bit)
{
    return 1 << bit < runner->wanted ? 1 << bit : runner->wanted;
}

int cuda_network_bit(const struct cuda_runner *runner, int batch)
{
    int bit = 0;

    while (cuda_network_batch(runner, bit) < batch)
        bit++;
    return bit;
}

int cuda_network_most(const struct cuda_runner *runner)
{
    return cuda_network_batch(runner, runner->batch_bits - 1);
}

struct cuda_memory cuda_network_memory(const struct cuda_runner *runner, int bit)
{
    return (struct cuda_memory){.arena     = runner->arena,
                                .constants = runner->shared->constants,
                                .input     = runner->input,
                                .batch     = cuda_network_batch(runner, bit)};
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
    struct cuda_memory      memory = cuda_network_memory(runner, bit);

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
    struct cuda_memory memory = cuda_network_memory(runner, bit);
    int                first  = boxes ? cuda_frames_first_step(runner->frames) : 0;
    int                rc     = start_steps(runner, bit, first, why);

    return rc == 0 && boxes ? cuda_frames_find(runner->frames, &memory, why) : rc;
}

static int open_packs(struct cuda_runner *runner, int bit, struct why *why)
{
    const struct cuda_plan *plan   = runner->shared->plan;
    struct cuda_memory      memory = cuda_network_memory(runner, bit);

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
    cuda_network_say("batches of %d go without a CUDA graph, which is slower: %s",
                     cuda_network_batch(runner, bit), reason.text);
    if ((rc = start_all(runner, bit, boxes, why)) != 0)
        return rc;
    TRY(cudaStreamSynchronize(runner->compute), "a run without a graph");
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
        cuda_network_say(
            "CUDA device %d: cuDNN has no engine that works for %d of %d convolutions, which are "
            "slow without one",
            runner->device, without, all);
}

int cuda_network_open(struct cuda_runner *runner, struct why *why)
{
    int rc = 0;

    for (int bit = runner->batch_bits - 1; rc == 0 && bit >= 0; bit--) {
        struct cuda_memory memory = cuda_network_memory(runner, bit);
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

int cuda_network_start(struct cuda_runner *runner, int bit, bool boxes, struct why *why)
{
    cudaGraphExec_t graph = boxes ? runner->box_graphs[bit] : runner->graphs[bit];

    if (graph == NULL)
        return start_all(runner, bit, boxes, why);
    TRY(cudaGraphLaunch(graph, runner->compute), "the network");
    return 0;
}

int cuda_network_open_boxes(struct cuda_runner *runner, struct why *why)
{
    int rc = 0;

    for (int bit = runner->batch_bits - 1; rc == 0 && bit >= 0; bit--)
        rc = capture(runner, bit, true, why);
    return rc;
}

void cuda_network_close(struct cuda_runner *runner)
{
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
}
