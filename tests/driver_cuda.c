/* libcuda.so.1 as FFmpeg's decoders on cards need it, without a card: every call succeeds and does
 * nothing. FFmpeg wants all of these names before it uses any. See tests/driver_nvcuvid.c. */
#define NOTHING(name) \
    int name(void);   \
    int name(void)    \
    {                 \
        return 0;     \
    }

int cuDeviceGetAttribute(int *value, int attribute, int device);
int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    (void)attribute;
    (void)device;
    *value = 512; /* the alignment of pictures, for which FFmpeg asks */
    return 0;
}

int cuGetErrorName(int error, const char **text);
int cuGetErrorName(int error, const char **text)
{
    (void)error;
    *text = "a failure that the test asked for";
    return 0;
}

int cuGetErrorString(int error, const char **text);
int cuGetErrorString(int error, const char **text)
{
    return cuGetErrorName(error, text);
}

NOTHING(cuArray3DCreate_v2)
NOTHING(cuArrayDestroy)
NOTHING(cuCtxCreate_v2)
NOTHING(cuCtxDestroy_v2)
NOTHING(cuCtxGetDevice)
NOTHING(cuCtxPopCurrent_v2)
NOTHING(cuCtxPushCurrent_v2)
NOTHING(cuCtxSetLimit)
NOTHING(cuDestroyExternalMemory)
NOTHING(cuDestroyExternalSemaphore)
NOTHING(cuDeviceComputeCapability)
NOTHING(cuDeviceGet)
NOTHING(cuDeviceGetCount)
NOTHING(cuDeviceGetName)
NOTHING(cuDeviceGetUuid)
NOTHING(cuDevicePrimaryCtxGetState)
NOTHING(cuDevicePrimaryCtxRelease)
NOTHING(cuDevicePrimaryCtxReset)
NOTHING(cuDevicePrimaryCtxRetain)
NOTHING(cuDevicePrimaryCtxSetFlags)
NOTHING(cuEGLStreamConsumerDisconnect)
NOTHING(cuEGLStreamProducerConnect)
NOTHING(cuEGLStreamProducerDisconnect)
NOTHING(cuEGLStreamProducerPresentFrame)
NOTHING(cuEGLStreamProducerReturnFrame)
NOTHING(cuEventCreate)
NOTHING(cuEventDestroy_v2)
NOTHING(cuEventQuery)
NOTHING(cuEventRecord)
NOTHING(cuEventSynchronize)
NOTHING(cuExternalMemoryGetMappedBuffer)
NOTHING(cuExternalMemoryGetMappedMipmappedArray)
NOTHING(cuGLGetDevices_v2)
NOTHING(cuGraphicsGLRegisterImage)
NOTHING(cuGraphicsMapResources)
NOTHING(cuGraphicsResourceGetMappedPointer_v2)
NOTHING(cuGraphicsSubResourceGetMappedArray)
NOTHING(cuGraphicsUnmapResources)
NOTHING(cuGraphicsUnregisterResource)
NOTHING(cuImportExternalMemory)
NOTHING(cuImportExternalSemaphore)
NOTHING(cuInit)
NOTHING(cuLaunchKernel)
NOTHING(cuLinkAddData)
NOTHING(cuLinkComplete)
NOTHING(cuLinkCreate)
NOTHING(cuLinkDestroy)
NOTHING(cuMemAllocManaged)
NOTHING(cuMemAllocPitch_v2)
NOTHING(cuMemAlloc_v2)
NOTHING(cuMemFree_v2)
NOTHING(cuMemcpy)
NOTHING(cuMemcpy2DAsync_v2)
NOTHING(cuMemcpy2D_v2)
NOTHING(cuMemcpyAsync)
NOTHING(cuMemcpyDtoDAsync_v2)
NOTHING(cuMemcpyDtoD_v2)
NOTHING(cuMemcpyDtoHAsync_v2)
NOTHING(cuMemcpyDtoH_v2)
NOTHING(cuMemcpyHtoDAsync_v2)
NOTHING(cuMemcpyHtoD_v2)
NOTHING(cuMemsetD8Async)
NOTHING(cuMipmappedArrayDestroy)
NOTHING(cuMipmappedArrayGetLevel)
NOTHING(cuModuleGetFunction)
NOTHING(cuModuleGetGlobal)
NOTHING(cuModuleLoadData)
NOTHING(cuModuleUnload)
NOTHING(cuSignalExternalSemaphoresAsync)
NOTHING(cuStreamAddCallback)
NOTHING(cuStreamCreate)
NOTHING(cuStreamDestroy_v2)
NOTHING(cuStreamQuery)
NOTHING(cuStreamSynchronize)
NOTHING(cuTexObjectCreate)
NOTHING(cuTexObjectDestroy)
NOTHING(cuWaitExternalSemaphoresAsync)
