#include "gpu/cuda/cuda_guest.h"

#include "config/err.h"
#include "gpu/cuda/cuda_device.h"

#define DRIVER_VERSION 12000 /* of the driver's function below, which is older than that */

#define TRY(call, what)                                          \
    do {                                                         \
        cudaError_t try_status = (call);                         \
        if (try_status != cudaSuccess)                           \
            return cuda_failed(device, try_status, (what), why); \
    } while (0)

typedef int get_current_fn(void **context);

/* The context of the device that was chosen for this thread. The runtime has no name for it; the
 * driver, which it has loaded, does. */
static int current_context(int device, void **context, struct why *why)
{
    enum cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    union {
        void           *symbol;
        get_current_fn *function;
    } entry = {NULL};

    TRY(cudaFree(NULL), "starting it"); /* the runtime makes its context late; this makes it */
#if CUDART_VERSION >= 12050
    TRY(cudaGetDriverEntryPointByVersion("cuCtxGetCurrent", &entry.symbol, DRIVER_VERSION,
                                         cudaEnableDefault, &found),
        "its context");
#else
    TRY(cudaGetDriverEntryPoint("cuCtxGetCurrent", &entry.symbol, cudaEnableDefault, &found),
        "its context");
#endif
    if (found != cudaDriverEntryPointSuccess || entry.function(context) != 0)
        return why_set(why, ERR_UNSUPPORTED, "CUDA device %d: the driver does not give its context",
                       device);
    return 0;
}

int cuda_guest_enter(int device, void **context, struct why *why)
{
    int         count  = 0, entered, rc;
    cudaError_t status = cudaGetDeviceCount(&count);

    *context = NULL;
    if (status != cudaSuccess)
        return why_set(why, ERR_DEVICE_LOST, "CUDA: %s", cudaGetErrorString(status));
    if (device < 0 || device >= count || device >= CUDA_DEVICES_MAX)
        return why_set(why, ERR_UNSUPPORTED, "there is no CUDA device %d: there are %d", device,
                       count);
    if ((rc = cuda_device_enter(device, &entered, why)) != 0)
        return rc;
    if ((rc = current_context(device, context, why)) != 0)
        cuda_device_leave(device);
    return rc;
}

void cuda_guest_leave(int device)
{
    cuda_device_leave(device);
}

int cuda_guest_copy(const struct frame *from, struct frame *to, struct why *why)
{
    int          device = from->device->number;
    cudaStream_t stream = from->device->stream;

    TRY(cudaSetDevice(device), "choosing it");
    for (int k = 0; k < 3; k++) {
        struct frame_plane size = frame_plane_of(from->format, k, from->width_px, from->height_px);

        if (size.rows > 0)
            TRY(cudaMemcpy2DAsync((uint8_t *)(uintptr_t)to->plane[k], (size_t)to->stride_bytes[k],
                                  from->plane[k], (size_t)from->stride_bytes[k],
                                  (size_t)size.row_bytes, (size_t)size.rows, cudaMemcpyDeviceToHost,
                                  stream),
                "copying a decoded picture");
    }
    TRY(cudaStreamSynchronize(stream), "copying a decoded picture");
    return 0;
}
