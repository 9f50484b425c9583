/* tests/cuda_runtime_emulated.h: the CUDA runtime on the processor, for the backend's host code.
 * Included by one test, with tests/cudnn_emulated.h for what runs on its streams.
 *
 * A stream does nothing before it is waited for, and then as little as it may: whatever was not waited
 * for is late, and what was overwritten too early is seen. Every call that can fail fails when it is
 * its turn (emulated_fail_at); what was made and not given back is counted. */
#ifndef SIGHTLINE_TESTS_CUDA_RUNTIME_EMULATED_H
#define SIGHTLINE_TESTS_CUDA_RUNTIME_EMULATED_H

#include <stdint.h>

#include <cuda_runtime_api.h>

static int emulated_start(void (*run)(const void *args, int batch), const void *args, size_t bytes,
                          int batch, void *stream);
#define EMULATED_START emulated_start

#include "gpu/cuda/cuda_cudnn.h"
#include "tests/cuda_emulated.h"

#define ARGUMENT_BYTES  1536
#define UNWRITTEN_BYTES (1 << 17) /* of memory that nobody has written: no numbers */

static int64_t emulated_calls, emulated_fail_at; /* from 1; 0: never */
static int     emulated_live;                    /* made and not given back */
static bool    emulated_broken;                  /* every call fails, until the device is reset */
static int     emulated_resets;
static int     emulated_devices = 1;  /* that are counted; one more may be chosen */
static int     emulated_chosen;       /* the device of the last cudaSetDevice() */
static int     emulated_uploads[2];   /* copies to each that were waited for */
static bool    emulated_error;        /* nobody has asked for the last error since */
static bool    emulated_no_timing;    /* events that take the time cannot be had */
static int     emulated_no_memory;    /* so many times there is none on the device */
static bool    emulated_no_capturing; /* cuDNN's engines cannot become part of a graph */

struct emulated_stream;

/* A launch, a copy, or waiting until another stream has done `until` operations. */
struct operation {
    void (*run)(const void *args, int batch);
    int                     batch;
    void                   *to;
    const void             *from;
    size_t                  bytes;
    struct emulated_stream *other;
    int64_t                 until;
    _Alignas(16) char args[ARGUMENT_BYTES];
};

struct emulated_stream {
    struct operation *operations;
    int64_t           done, count, room;
    bool              capturing;
    int64_t           captured_from;
};

struct emulated_event {
    struct emulated_stream *stream;
    int64_t                 position;
};

struct emulated_graph {
    struct operation *operations;
    int64_t           count;
};

/* One descriptor of cuDNN: a configuration or plan, or a variant pack. */
struct emulated_descriptor {
    struct cudnn_conv_shape shape;
    struct cudnn_conv_data  data;
};

static struct emulated_stream *streams[64];    /* that are open */
static struct emulated_stream  default_stream; /* NULL; as late as the others */

static struct emulated_stream *stream_of(cudaStream_t stream)
{
    return stream != NULL ? (void *)stream : &default_stream;
}

/* cuDNN has a runtime of its own, whose errors are not seen in ours. */
static bool fails_apart(void)
{
    return ++emulated_calls == emulated_fail_at || emulated_broken;
}

static bool fails(void)
{
    bool failed = fails_apart();

    emulated_error = emulated_error || failed;
    return failed;
}

static void *make(size_t bytes)
{
    void *made = aligned_alloc(CUDA_ALIGN_BYTES, (bytes + CUDA_ALIGN_BYTES) & ~(size_t)255);

    if (made == NULL)
        abort();
    memset(made, 0xff, bytes < UNWRITTEN_BYTES ? bytes : UNWRITTEN_BYTES);
    emulated_live++;
    return made;
}

static void unmake(void *made)
{
    if (made == NULL)
        return;
    emulated_live--;
    free(made);
}

/* ---- streams ---- */

static void run_until(struct emulated_stream *stream, int64_t until)
{
    while (stream->done < until) {
        struct operation *operation = &stream->operations[stream->done];

        if (operation->other != NULL)
            run_until(operation->other, operation->until);
        else if (operation->run != NULL)
            operation->run(operation->args, operation->batch);
        else
            memcpy(operation->to, operation->from, operation->bytes);
        stream->done++;
    }
}

static struct operation *enqueue(struct emulated_stream *stream)
{
    if (stream->count == stream->room) {
        stream->room       = stream->room > 0 ? 2 * stream->room : 64;
        stream->operations = realloc(stream->operations,
                                     (size_t)stream->room * sizeof *stream->operations);
        if (stream->operations == NULL)
            abort();
    }
    memset(&stream->operations[stream->count], 0, sizeof *stream->operations);
    return &stream->operations[stream->count++];
}

static int emulated_call(void (*run)(const void *args, int batch), const void *args, size_t bytes,
                         int batch, void *stream)
{
    struct operation *operation;

    if (bytes > ARGUMENT_BYTES)
        abort();
    if (fails())
        return cudaErrorLaunchFailure;
    operation        = enqueue(stream_of(stream));
    operation->run   = run;
    operation->batch = batch;
    memcpy(operation->args, args, bytes);
    return 0;
}

/* A launch asks for the last error, which may be an older one. */
static int emulated_start(void (*run)(const void *args, int batch), const void *args, size_t bytes,
                          int batch, void *stream)
{
    bool older = emulated_error;

    if (emulated_call(run, args, bytes, batch, stream) == 0 && !older)
        return 0;
    emulated_error = false;
    return cudaErrorLaunchFailure;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    struct emulated_stream *made;

    (void)flags;
    if (fails())
        return cudaErrorMemoryAllocation;
    made = make(sizeof *made);
    memset(made, 0, sizeof *made);
    for (int i = 0; i < 64; i++)
        if (streams[i] == NULL) {
            streams[i] = made;
            break;
        }
    *stream = (cudaStream_t)(void *)made;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    struct emulated_stream *old = (void *)stream;

    for (int i = 0; i < 64; i++)
        if (streams[i] == old)
            streams[i] = NULL;
    free(old->operations);
    unmake(old);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    struct emulated_stream *waited = stream_of(stream);

    run_until(waited, waited->count);
    return fails() ? cudaErrorLaunchFailure : cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    struct emulated_event *waited = (void *)event;
    struct operation      *operation;

    (void)flags;
    if (fails())
        return cudaErrorUnknown;
    operation        = enqueue((void *)stream);
    operation->other = waited->stream;
    operation->until = waited->position;
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    (void)flags;
    if (fails())
        return cudaErrorMemoryAllocation;
    *event = (cudaEvent_t)make(sizeof(struct emulated_event));
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    if (!emulated_no_timing)
        return cudaEventCreateWithFlags(event, 0);
    emulated_error = true;
    return cudaErrorMemoryAllocation;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    unmake(event);
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    struct emulated_event  *recorded = (void *)event;
    struct emulated_stream *from     = stream_of(stream);

    if (fails())
        return cudaErrorUnknown;
    recorded->stream   = from;
    recorded->position = from->count;
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    struct emulated_event *waited = (void *)event;

    run_until(waited->stream, waited->position);
    return fails() ? cudaErrorLaunchFailure : cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t begin, cudaEvent_t end)
{
    (void)begin;
    (void)end;
    *ms = 1.0F;
    return cudaSuccess;
}

/* ---- memory ---- */

cudaError_t cudaMalloc(void **at, size_t bytes)
{
    if (fails())
        return cudaErrorMemoryAllocation;
    if (emulated_no_memory > 0) {
        emulated_no_memory--;
        emulated_error = true;
        return cudaErrorMemoryAllocation;
    }
    *at = make(bytes);
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **at, size_t bytes, unsigned flags)
{
    (void)flags;
    return cudaMalloc(at, bytes);
}

cudaError_t cudaFree(void *at)
{
    run_until(&default_stream, default_stream.count);
    unmake(at);
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *at)
{
    unmake(at);
    return cudaSuccess;
}

/* What the default stream does on its own: `from` is a copy that is its own, NULL: `value` is set. */
struct emulated_fill {
    void  *to, *from;
    size_t bytes;
    int    value;
};

static void run_fill(const void *args, int batch)
{
    const struct emulated_fill *fill = args;

    (void)batch;
    if (fill->from != NULL)
        memcpy(fill->to, fill->from, fill->bytes);
    else
        memset(fill->to, fill->value, fill->bytes);
    free(fill->from);
}

/* From memory that is not pinned: it has been read when the call is over, and is not yet written. */
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    struct emulated_fill fill = {.to = to, .from = malloc(bytes + 1), .bytes = bytes};

    if (kind != cudaMemcpyHostToDevice || fill.from == NULL)
        abort();
    emulated_uploads[emulated_chosen]++;
    memcpy(fill.from, from, bytes);
    if (emulated_call(run_fill, &fill, sizeof fill, 0, NULL) == 0)
        return cudaSuccess;
    free(fill.from);
    return cudaErrorUnknown;
}

cudaError_t cudaMemset(void *to, int value, size_t bytes)
{
    struct emulated_fill fill = {.to = to, .bytes = bytes, .value = value};

    return emulated_call(run_fill, &fill, sizeof fill, 0, NULL) == 0 ? cudaSuccess
                                                                     : cudaErrorUnknown;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    struct operation *operation;

    (void)kind;
    if (fails())
        return cudaErrorUnknown;
    operation        = enqueue(stream_of(stream));
    operation->to    = to;
    operation->from  = from;
    operation->bytes = bytes;
    return cudaSuccess;
}

struct rows_copy {
    uint8_t       *to;
    const uint8_t *from;
    size_t         to_pitch, from_pitch, row_bytes, rows;
};

static void copy_rows(const void *args, int batch)
{
    const struct rows_copy *copy = args;

    (void)batch;
    for (size_t y = 0; y < copy->rows; y++)
        memcpy(copy->to + y * copy->to_pitch, copy->from + y * copy->from_pitch, copy->row_bytes);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t row_bytes, size_t rows, enum cudaMemcpyKind kind,
                              cudaStream_t stream)
{
    struct rows_copy copy = {to, from, to_pitch, from_pitch, row_bytes, rows};

    (void)kind;
    return (cudaError_t)emulated_call(copy_rows, &copy, sizeof copy, 1, stream);
}

/* ---- graphs ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    struct emulated_stream *from = (void *)stream;

    (void)mode;
    if (fails())
        return cudaErrorUnknown;
    from->capturing     = true;
    from->captured_from = from->count;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    struct emulated_stream *from  = (void *)stream;
    struct emulated_graph  *made  = make(sizeof *made);
    int64_t                 count = from->count - from->captured_from;

    made->count      = count;
    made->operations = malloc((size_t)(count + 1) * sizeof *made->operations);
    if (made->operations == NULL)
        abort();
    memcpy(made->operations, from->operations + from->captured_from,
           (size_t)count * sizeof *made->operations);
    from->count     = from->captured_from; /* what is captured is not run */
    from->capturing = false;
    *graph          = (cudaGraph_t)(void *)made;
    return fails() ? cudaErrorUnknown : cudaSuccess;
}

static struct emulated_graph *copy_graph(const struct emulated_graph *graph)
{
    struct emulated_graph *made = make(sizeof *made);

    made->count      = graph->count;
    made->operations = malloc((size_t)(graph->count + 1) * sizeof *made->operations);
    if (made->operations == NULL)
        abort();
    memcpy(made->operations, graph->operations, (size_t)graph->count * sizeof *made->operations);
    return made;
}

static void free_graph(struct emulated_graph *graph)
{
    free(graph->operations);
    unmake(graph);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags)
{
    (void)flags;
    if (fails())
        return cudaErrorMemoryAllocation;
    *out = (cudaGraphExec_t)(void *)copy_graph((void *)graph);
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    free_graph((void *)graph);
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph)
{
    free_graph((void *)graph);
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream)
{
    const struct emulated_graph *launched = (void *)graph;

    if (fails())
        return cudaErrorLaunchFailure;
    for (int64_t i = 0; i < launched->count; i++)
        *enqueue((void *)stream) = launched->operations[i];
    return cudaSuccess;
}

/* ---- the device ---- */

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = emulated_devices;
    return cudaSuccess;
}

/* 0, which is counted, and one more in whose memory a decoder's pictures may lie. */
cudaError_t cudaSetDevice(int device)
{
    if (device > 1 || fails())
        return cudaErrorInvalidDevice;
    emulated_chosen = device;
    return cudaSuccess;
}

cudaError_t cudaSetDeviceFlags(unsigned flags)
{
    return flags != cudaDeviceScheduleBlockingSync || fails() ? cudaErrorInvalidValue : cudaSuccess;
}

cudaError_t cudaDeviceReset(void)
{
    emulated_broken = false;
    emulated_resets++;
    return fails() ? cudaErrorUnknown : cudaSuccess;
}

static char emulated_context; /* its address is the device's context */

static int emulated_current(void **context)
{
    *context = &emulated_context;
    return 0;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **function, unsigned version,
                                             unsigned long long                    flags,
                                             enum cudaDriverEntryPointQueryResult *found)
{
    union {
        int (*function)(void **context);
        void *symbol;
    } entry = {emulated_current};

    (void)version;
    (void)flags;
    if (strcmp(symbol, "cuCtxGetCurrent") != 0 || fails())
        return cudaErrorUnknown;
    *function = entry.symbol;
    *found    = cudaDriverEntryPointSuccess;
    return cudaSuccess;
}

cudaError_t cudaGetDriverEntryPoint(const char *symbol, void **function, unsigned long long flags,
                                    enum cudaDriverEntryPointQueryResult *found)
{
    return cudaGetDriverEntryPointByVersion(symbol, function, 12000, flags, found);
}

cudaError_t cudaGetLastError(void)
{
    bool failed = emulated_error;

    emulated_error = false;
    return failed ? cudaErrorUnknown : cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t status)
{
    return status == cudaErrorMemoryAllocation ? "out of memory" : "an emulated failure";
}

#endif
