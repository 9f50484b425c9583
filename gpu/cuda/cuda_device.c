#include "gpu/cuda/cuda_device.h"

#include "config/err.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CANDIDATES_MAX 4 /* timed for one convolution: the heuristics' order is good */
#define TIMED_RUNS     5

/* Building an engine may compile it, up to some tenths of a second each: past this only the
 * heuristics' first choice that works is taken, so that a start takes a minute at worst. */
#define TIMING_SECONDS_MAX 20

static pthread_mutex_t     lock = PTHREAD_MUTEX_INITIALIZER;
static struct cuda_shared *first;                     /* under the lock, as the next two */
static int                 runners[CUDA_DEVICES_MAX]; /* open on each device */
static bool                failed[CUDA_DEVICES_MAX];

int cuda_failed(int device, cudaError_t status, const char *what, struct why *why)
{
    if (device >= 0 && device < CUDA_DEVICES_MAX && status != cudaErrorMemoryAllocation)
        __atomic_store_n(&failed[device], true, __ATOMIC_SEQ_CST);
    cudaGetLastError(); /* an error that does not stick is not to be found by the next call */
    return why_set(why, ERR_DEVICE_LOST, "CUDA device %d, %s: %s", device, what,
                   cudaGetErrorString(status));
}

/* Under the lock. */
static int least_busy(void)
{
    int count = 0, found = 0;

    if (cudaGetDeviceCount(&count) != cudaSuccess)
        return 0;
    for (int i = 1; i < count && i < CUDA_DEVICES_MAX; i++) {
        bool worse = __atomic_load_n(&failed[i], __ATOMIC_SEQ_CST);
        bool bad   = __atomic_load_n(&failed[found], __ATOMIC_SEQ_CST);

        if (worse == bad ? runners[i] < runners[found] : bad)
            found = i;
    }
    return found;
}

/* Most failures are of one call. Those that are not come out of every call from then on. */
static cudaError_t try_device(int device)
{
    cudaStream_t stream = NULL;
    cudaError_t  status = cudaSetDevice(device);

    if (status == cudaSuccess)
        status = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    if (status == cudaSuccess)
        status = cudaStreamSynchronize(stream);
    if (stream != NULL)
        cudaStreamDestroy(stream);
    cudaGetLastError();
    return status;
}

/* Under the lock, of a device that has failed. A reset takes away all that anybody in the process has
 * on the device, so it comes last. */
static int revive(int device, struct why *why)
{
    cudaError_t status = try_device(device);

    if (status != cudaSuccess && runners[device] > 0)
        return why_set(why, ERR_DEVICE_LOST, "CUDA device %d has failed and %d still hold it: %s",
                       device, runners[device], cudaGetErrorString(status));
    if (status != cudaSuccess) {
        cudaSetDevice(device); /* says what is wrong with it, too */
        status = cudaDeviceReset();
    }
    if (status != cudaSuccess)
        return cuda_failed(device, status, "resetting it", why);
    cudaGetLastError();
    __atomic_store_n(&failed[device], false, __ATOMIC_SEQ_CST);
    return 0;
}

/* Threads that wait for the device sleep: a processor that spins would decode nothing meanwhile. */
static cudaError_t choose_device(int device)
{
    cudaError_t status = cudaSetDevice(device);

    return status == cudaSuccess ? cudaSetDeviceFlags(cudaDeviceScheduleBlockingSync) : status;
}

int cuda_device_enter(int wanted, int *device, struct why *why)
{
    cudaError_t status;
    int         rc = 0, at;

    pthread_mutex_lock(&lock);
    at = wanted == DEVICE_ANY ? least_busy() : wanted;
    if (__atomic_load_n(&failed[at], __ATOMIC_SEQ_CST))
        rc = revive(at, why);
    if (rc == 0 && (status = choose_device(at)) != cudaSuccess)
        rc = cuda_failed(at, status, "choosing it", why);
    if (rc == 0) {
        runners[at]++;
        *device = at;
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

void cuda_device_leave(int device)
{
    pthread_mutex_lock(&lock);
    runners[device]--;
    pthread_mutex_unlock(&lock);
}

/* ---- what runners share ---- */

static void close_engines(struct cuda_shared *shared)
{
    for (int b = 0; b < CUDA_BATCHES; b++) {
        struct cuda_engine *engines = shared->engines[b];

        for (int i = 0; engines != NULL && i < shared->plan->step_count; i++) {
            bool owned = engines[i].plan != NULL;

            for (int k = 0; owned && k < i; k++)
                owned = engines[k].plan != engines[i].plan;
            if (owned)
                cudnnBackendDestroyDescriptor(engines[i].plan);
        }
        /* Freed only after all have been looked at. */
        free(engines);
    }
}

static void close_shared(struct cuda_shared *shared)
{
    if (shared->plan != NULL)
        close_engines(shared);
    for (int b = 0; b < CUDA_BATCHES; b++)
        if (shared->properties[b] != NULL)
            cudnnBackendDestroyDescriptor(shared->properties[b]);
    if (shared->constants != NULL)
        cudaFree(shared->constants); /* a failed device has freed it already */
    cuda_plan_close(&shared->plan);
    free(shared);
}

static int upload(struct cuda_shared *shared, struct why *why)
{
    size_t      bytes = (size_t)shared->plan->constant_bytes;
    void       *to    = NULL;
    cudaError_t status;

    if ((status = cudaMalloc(&to, bytes > 0 ? bytes : 1)) != cudaSuccess)
        return cuda_failed(shared->device, status, "memory for the weights", why);
    shared->constants = to;
    status            = cudaMemcpy(to, shared->plan->constants, bytes, cudaMemcpyHostToDevice);
    /* The copy may still be on its way, and the runners' streams do not wait for the default one. The
     * whole device is never waited for: another runner may be making a graph. */
    if (status == cudaSuccess)
        status = cudaStreamSynchronize(NULL);
    return status == cudaSuccess ? 0
                                 : cuda_failed(shared->device, status, "copying the weights", why);
}

static int open_shared(struct cuda_shared **out, const struct model *model,
                       const struct graph *graph, int device, struct why *why)
{
    struct cuda_shared *shared = calloc(1, sizeof *shared);
    int                 rc;

    if (shared == NULL)
        return why_set(why, ERR_MEMORY, "no memory for a model on a CUDA device");
    shared->model      = model;
    shared->device     = device;
    shared->references = 1;
    rc                 = cuda_plan_open(&shared->plan, graph, why);
    if (rc == 0)
        rc = upload(shared, why);
    if (rc != 0) {
        close_shared(shared);
        return rc;
    }
    *out = shared;
    return 0;
}

int cuda_shared_get(struct cuda_shared **out, const struct model *model, const struct graph *graph,
                    int device, struct why *why)
{
    int rc = 0;

    *out = NULL;
    pthread_mutex_lock(&lock);
    for (struct cuda_shared *at = first; at != NULL && *out == NULL; at = at->next)
        if (at->model == model && at->device == device) {
            at->references++;
            *out = at;
        }
    if (*out == NULL && (rc = open_shared(out, model, graph, device, why)) == 0) {
        (*out)->next = first;
        first        = *out;
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

void cuda_shared_put(struct cuda_shared **shared)
{
    struct cuda_shared *old = *shared, **at = &first;

    *shared = NULL;
    if (old == NULL)
        return;
    pthread_mutex_lock(&lock);
    if (--old->references == 0) {
        while (*at != old)
            at = &(*at)->next;
        *at = old->next;
        close_shared(old);
    }
    pthread_mutex_unlock(&lock);
}

/* ---- engines ---- */

static struct cudnn_conv_data data_of(const struct cuda_conv *conv, void *workspace)
{
    return (struct cudnn_conv_data){.x         = conv->x.at,
                                    .weights   = conv->weights,
                                    .bias      = conv->bias,
                                    .residual  = conv->residual != 0 ? conv->r.at : NULL,
                                    .y         = conv->y.at,
                                    .workspace = workspace};
}

/* Milliseconds of one run, or a negative number when it does not run. */
static float time_plan(const struct cuda_trial *trial, cudnnBackendDescriptor_t plan,
                       cudnnBackendDescriptor_t pack)
{
    cudaEvent_t begin = NULL, end = NULL;
    float       ms = -1.0F;
    bool works = cudaEventCreate(&begin) == cudaSuccess && cudaEventCreate(&end) == cudaSuccess &&
                 cudnnBackendExecute(trial->handle, plan, pack) == CUDNN_STATUS_SUCCESS &&
                 cudaEventRecord(begin, trial->stream) == cudaSuccess;

    for (int i = 0; works && i < TIMED_RUNS; i++)
        works = cudnnBackendExecute(trial->handle, plan, pack) == CUDNN_STATUS_SUCCESS;
    if (works && cudaEventRecord(end, trial->stream) == cudaSuccess &&
        cudaEventSynchronize(end) == cudaSuccess &&
        cudaEventElapsedTime(&ms, begin, end) == cudaSuccess)
        ms /= TIMED_RUNS;
    else
        ms = -1.0F;
    if (begin != NULL)
        cudaEventDestroy(begin);
    if (end != NULL)
        cudaEventDestroy(end);
    if (ms < 0.0F)
        cudaGetLastError(); /* the next launch would take it for its own */
    return ms;
}

/* Keeps the candidate in `engine` when it works and is faster than what is there. */
static void try_config(const struct cuda_trial *trial, cudnnBackendDescriptor_t config,
                       cudnnBackendDescriptor_t pack, struct cuda_engine *engine)
{
    cudnnBackendDescriptor_t plan;
    int64_t                  bytes;
    float                    ms;

    if (cudnn_plan_open(&plan, config, trial->properties, &bytes, NULL) != 0)
        return;
    ms = bytes <= CUDA_WORKSPACE_BYTES ? time_plan(trial, plan, pack) : -1.0F;
    if (ms < 0.0F || (engine->plan != NULL && ms >= engine->ms)) {
        cudnnBackendDestroyDescriptor(plan);
        return;
    }
    if (engine->plan != NULL)
        cudnnBackendDestroyDescriptor(engine->plan);
    engine->plan = plan;
    engine->ms   = ms;
}

static void choose(const struct cuda_trial *trial, const struct cudnn_graph *graph,
                   const struct cuda_conv *conv, struct cuda_engine *engine)
{
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    struct cudnn_conv_data              data    = data_of(conv, trial->workspace);
    cudnnBackendDescriptor_t            configs[CUDNN_CONFIGS_MAX], pack;

    if (cudnn_pack_open(&pack, &data, NULL) != 0)
        return;
    for (int m = 0; m < 2 && engine->plan == NULL; m++) {
        int count = cudnn_graph_configs(graph, trial->properties, modes[m], configs,
                                        CUDNN_CONFIGS_MAX, NULL);
        int tried = 0;

        for (int i = 0; i < count; i++) {
            if (tried < (trial->timed ? CANDIDATES_MAX : CUDNN_CONFIGS_MAX) &&
                (trial->timed || engine->plan == NULL)) {
                try_config(trial, configs[i], pack, engine);
                tried++;
            }
            cudnnBackendDestroyDescriptor(configs[i]);
        }
    }
    cudnnBackendDestroyDescriptor(pack);
}

static long seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)now.tv_sec;
}

static int choose_all(struct cuda_shared *shared, struct cuda_engine *engines,
                      const struct cuda_trial *given, struct why *why)
{
    struct cuda_trial trial   = *given;
    long              started = seconds();

    for (int i = 0; i < shared->plan->step_count; i++) {
        const struct cuda_step *step = &shared->plan->steps[i];
        struct cudnn_graph      graph;
        union cuda_args         args;
        cudaError_t             status;
        int                     same = 0;

        if (step->kind != CUDA_STEP_CONV)
            continue;
        engines[i].shape = cudnn_conv_shape_of(step, trial.memory->batch);
        // Equal shapes are equal bytes, as their header says.
        // NOLINTBEGIN(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c)
        while (same < i &&
               (shared->plan->steps[same].kind != CUDA_STEP_CONV ||
                memcmp(&engines[same].shape, &engines[i].shape, sizeof engines[i].shape) != 0))
            same++;
        // NOLINTEND(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c)
        if (same < i) {
            engines[i] = engines[same];
            continue;
        }
        trial.timed = given->timed && seconds() - started < TIMING_SECONDS_MAX;
        cuda_bind_step(shared->plan, step, trial.memory, &args);
        if (cudnn_graph_conv(&graph, &engines[i].shape, NULL) == 0)
            choose(&trial, &graph, &args.conv, &engines[i]);
        cudnn_graph_close(&graph);
        status = cudaStreamSynchronize(trial.stream);
        if (status != cudaSuccess)
            return cuda_failed(shared->device, status, "trying convolutions", why);
    }
    return 0;
}

static int describe_device(struct cuda_shared *shared, int batch_bit, cudnnHandle_t handle,
                           struct why *why)
{
    cudnnBackendDescriptor_t *properties = &shared->properties[batch_bit];

    if (*properties != NULL) /* of a choice that came to nothing */
        cudnnBackendDestroyDescriptor(*properties);
    *properties = NULL;
    return cudnn_device_of_handle(properties, handle, why);
}

int cuda_shared_engines(struct cuda_shared *shared, int batch_bit, const struct cuda_trial *trial,
                        struct why *why)
{
    struct cuda_trial   described = *trial;
    struct cuda_engine *engines;
    int                 rc = 0;

    pthread_mutex_lock(&lock);
    if (shared->engines[batch_bit] == NULL &&
        (rc = describe_device(shared, batch_bit, trial->handle, why)) == 0) {
        described.properties = shared->properties[batch_bit];
        engines              = calloc((size_t)shared->plan->step_count + 1, sizeof *engines);
        rc                   = engines != NULL ? choose_all(shared, engines, &described, why)
                                               : why_set(why, ERR_MEMORY, "no memory for cuDNN's engines");
        /* Also half-chosen ones: whoever closes frees them, and a step without one has a kernel. */
        shared->engines[batch_bit] = engines;
    }
    pthread_mutex_unlock(&lock);
    return rc;
}
