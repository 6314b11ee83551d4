// What FFmpeg calls of libcuda for frames in CUDA's memory, and what it only has to find there. The
// end of driver_on_cpu.cpp.

namespace {
unsigned primary_flags = 0;
void *copy_stream = nullptr;
}  // namespace

extern "C" {

// For tests: the stream of the last copy of rows.
uint64_t copied_on() { return (uint64_t)copy_stream; }

int cuGetErrorName(int code, const char **out) { return cuGetErrorString(code, out); }

int cuDevicePrimaryCtxGetState(int, unsigned *flags, int *active) {
    Guard guard(tables);
    return *flags = primary_flags, *active = holders > 0, OK;
}
int cuDevicePrimaryCtxSetFlags_v2(int, unsigned flags) {
    Guard guard(tables);
    return primary_flags = flags, OK;
}
int cuDevicePrimaryCtxSetFlags(int device, unsigned flags) {  // as before CUDA 11
    return holders ? PRIMARY_CONTEXT_ACTIVE : cuDevicePrimaryCtxSetFlags_v2(device, flags);
}
int cuDevicePrimaryCtxRelease(int device) { return cuDevicePrimaryCtxRelease_v2(device); }

int cuCtxCreate_v2(void **context, unsigned, int) {
    Guard guard(tables);
    made_contexts.insert(*context = malloc(1));
    return contexts.push_back(*context), OK;
}
int cuCtxDestroy_v2(void *context) {  // which the primary one cannot be
    Guard guard(tables);
    if (!made_contexts.erase(context)) return INVALID_CONTEXT;
    if (!contexts.empty() && contexts.back() == context) contexts.pop_back();
    release_all(context);
    return free(context), OK;
}
int cuCtxGetCurrent(void **context) {
    return *context = contexts.empty() ? nullptr : contexts.back(), OK;
}

// One side of CUDA_MEMCPY2D: rows in the host's or the device's memory.
struct Side {
    size_t x, y;
    unsigned type;
    char *host;
    uint64_t device;
    void *array;
    size_t pitch;

    static constexpr unsigned HOST = 1, DEVICE = 2;  // CU_MEMORYTYPE_*
    bool on_device() const { return type == DEVICE; }
    char *row(size_t i) const {
        return (on_device() ? (char *)device : host) + (y + i) * pitch + x;
    }
};
struct Copy2D {
    Side from, to;
    size_t width, height;
};
int cuMemcpy2DAsync_v2(const Copy2D *copy, void *stream) {
    auto &[from, to, width, height] = *copy;
    size_t spans[2] = {0, 0};
    for (auto *side : {&from, &to}) {
        if (side->type != Side::HOST && !side->on_device()) return NOT_SUPPORTED;
        if (side->x + width > side->pitch) return INVALID_VALUE;
        if (side->on_device() && width && height)
            spans[side == &to] = (height - 1) * side->pitch + width;
    }
    copy_stream = stream;
    return queue(stream, [=, from = from, to = to, width = width, height = height] {
        if (int error = check_transfer(stream, (uint64_t)to.row(0), spans[1],
                                       (uint64_t)from.row(0), spans[0]))
            return error;
        if (lost) return lost;
        for (size_t i = 0; i < height; i++) memcpy(to.row(i), from.row(i), width);
        return (int)OK;
    });
}

// What FFmpeg wants to find in the library, and does not call for frames in CUDA's memory.
#define NOT_HERE(name) \
    int name() { return NOT_SUPPORTED; }
NOT_HERE(cuDeviceComputeCapability) NOT_HERE(cuCtxSetLimit) NOT_HERE(cuCtxGetDevice)
NOT_HERE(cuMemAllocPitch_v2) NOT_HERE(cuMemAllocManaged) NOT_HERE(cuMemcpy) NOT_HERE(cuMemcpyAsync)
NOT_HERE(cuMemcpy2D_v2) NOT_HERE(cuMemcpyHtoD_v2) NOT_HERE(cuMemcpyDtoH_v2)
NOT_HERE(cuMemcpyDtoD_v2) NOT_HERE(cuDevicePrimaryCtxReset)
NOT_HERE(cuStreamAddCallback) NOT_HERE(cuLinkCreate) NOT_HERE(cuLinkAddData)
NOT_HERE(cuLinkComplete) NOT_HERE(cuLinkDestroy) NOT_HERE(cuModuleGetGlobal)
NOT_HERE(cuTexObjectCreate) NOT_HERE(cuTexObjectDestroy) NOT_HERE(cuGLGetDevices_v2)
NOT_HERE(cuGraphicsGLRegisterImage) NOT_HERE(cuGraphicsUnregisterResource)
NOT_HERE(cuGraphicsMapResources) NOT_HERE(cuGraphicsUnmapResources)
NOT_HERE(cuGraphicsSubResourceGetMappedArray) NOT_HERE(cuGraphicsResourceGetMappedPointer_v2)
NOT_HERE(cuArrayCreate_v2) NOT_HERE(cuArray3DCreate_v2) NOT_HERE(cuArrayDestroy)
#undef NOT_HERE

}  // extern "C"
