// As much of libcuda as edge/inference/cuda.py calls, over kernels that run on the CPU. Memory of
// the "device" is this machine's, queued work is done at once, and what a real driver would refuse
// (copies beyond an allocation, kernels that fail) is refused.

#include "cuda_on_cpu.h"

#include KERNELS

#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace {

enum { OK = 0, OUT_OF_MEMORY = 2, NOT_FOUND = 500, ILLEGAL_ADDRESS = 700, LAUNCH_FAILED = 719 };

struct Kernel {
    bool has_barriers;
    void (*call)(void **);
};

template <auto Function>
struct Caller;
template <typename... A, void (*Function)(A...)>
struct Caller<Function> {
    template <size_t... I>
    static void spread(void **p, std::index_sequence<I...>) {
        Function(*(std::remove_cv_t<A> *)p[I]...);
    }
    static void call(void **p) { spread(p, std::index_sequence_for<A...>{}); }
};

const std::map<std::string, Kernel> KERNEL_TABLE = {
    {"cell_means", {true, Caller<cell_means>::call}},
    {"paint", {true, Caller<paint>::call}},
    {"whole_means", {true, Caller<whole_means>::call}},
    {"whole_fill", {false, Caller<whole_fill>::call}},
    {"watermark", {false, Caller<watermark>::call}},
    {"detector_inputs", {false, Caller<detector_inputs>::call}},
    {"shrink_luma", {false, Caller<shrink_luma>::call}},
    {"luma_difference", {true, Caller<luma_difference>::call}},
};

std::mutex mutex;
std::map<char *, size_t> memory;
int integrated = 0, allocations = 0, launches = 0;
long long memory_left = -1;
int holders = 0, lost = 0, sound_launches = -1, bad_launches = 0;

int allocate(char **out, size_t size) {
    if (lost) return lost;
    if (memory_left >= 0 && (long long)size > memory_left) return OUT_OF_MEMORY;
    if (memory_left >= 0) memory_left -= size;
    // By itself on the heap: the address sanitiser watches its ends. Never zero by luck.
    *out = new char[size];
    memset(*out, 0xA5, size);
    memory[*out] = size;
    allocations++;
    return OK;
}

bool inside(const void *address, size_t size) {
    auto at = memory.upper_bound((char *)address);
    if (at == memory.begin()) return false;
    --at;
    return (const char *)address + size <= at->first + at->second;
}

int release(void *address) {
    if (!memory.erase((char *)address)) return ILLEGAL_ADDRESS;
    delete[] (char *)address;
    return OK;
}

void run(const Kernel &kernel, void **parameters) {
    using namespace fibres;
    struct Work {
        const Kernel *kernel;
        void **parameters;
    } work{&kernel, parameters};
    auto body = [](void *p) { ((Work *)p)->kernel->call(((Work *)p)->parameters); };
    size_t threads = (size_t)blockDim.x * blockDim.y * blockDim.z;
    size_t blocks = (size_t)gridDim.x * gridDim.y * gridDim.z;
    auto index = [](size_t i, Dim3 of) {
        return Dim3{(unsigned)(i % of.x), (unsigned)(i / of.x % of.y), (unsigned)(i / of.x / of.y)};
    };
    for (size_t b = 0; b < blocks; b++) {
        blockIdx = index(descending ? blocks - 1 - b : b, gridDim);
        if (!kernel.has_barriers) {
            for (size_t t = 0; t < threads; t++) {
                threadIdx = index(descending ? threads - 1 - t : t, blockDim);
                body(&work);
            }
            continue;
        }
        need(threads);
        block.count = threads;
        block.body = body;
        block.argument = &work;
        for (size_t t = 0; t < threads; t++) {
            block.fibres[t]->index = index(t, blockDim);
            block.fibres[t]->state = RUNNING;
        }
        run_block();
    }
}

}  // namespace

extern "C" {

// For tests.
void pretend_integrated(int value) { integrated = value; }
void run_descending(int value) { fibres::descending = value; }
void limit_memory(long long bytes) { memory_left = bytes; }
void fail_launches(int after, int count) { sound_launches = after, bad_launches = count; }
void lose_device() { lost = LAUNCH_FAILED; }
int count_holders() { return holders; }
int count_allocations() { return allocations; }
int count_launches() { return launches; }
int count_live() { return (int)memory.size(); }

int cuInit(unsigned) { return OK; }
int cuDeviceGet(int *device, int) { return *device = 0, OK; }
int cuDevicePrimaryCtxRetain(void **context, int) { return holders++, *context = &mutex, OK; }
int cuDevicePrimaryCtxRelease_v2(int) {
    if (--holders == 0) {  // the context goes, with all that was allocated in it
        lost = OK;
        for (auto &[address, size] : memory) delete[] address;
        memory.clear();
    }
    return OK;
}
int cuCtxSetCurrent(void *) { return OK; }
int cuDeviceGetAttribute(int *value, int attribute, int) {
    *value = attribute == 18 ? integrated : attribute == 75 ? 8 : attribute == 76 ? 9 : 0;
    return OK;
}

int cuMemAlloc_v2(uint64_t *out, size_t size) { return allocate((char **)out, size); }
int cuMemFree_v2(uint64_t address) { return lost ? lost : release((void *)address); }
int cuMemAllocHost_v2(void **out, size_t size) { return allocate((char **)out, size); }
int cuMemHostAlloc(void **out, size_t size, unsigned) { return allocate((char **)out, size); }
int cuMemFreeHost(void *address) { return lost ? lost : release(address); }
int cuMemHostGetDevicePointer_v2(uint64_t *out, void *host, unsigned) {
    return *out = (uint64_t)host, inside(host, 1) ? OK : ILLEGAL_ADDRESS;
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t size, void *) {
    if (!inside((void *)to, size)) return ILLEGAL_ADDRESS;
    return memcpy((void *)to, from, size), OK;
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t size, void *) {
    if (!inside((void *)from, size)) return ILLEGAL_ADDRESS;
    return memcpy(to, (void *)from, size), OK;
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t size, void *) {
    if (!inside((void *)to, size) || !inside((void *)from, size)) return ILLEGAL_ADDRESS;
    return memcpy((void *)to, (void *)from, size), OK;
}
int cuMemsetD8Async(uint64_t to, unsigned char value, size_t size, void *) {
    if (!inside((void *)to, size)) return ILLEGAL_ADDRESS;
    return memset((void *)to, value, size), OK;
}

int cuStreamCreate(void **out, unsigned) { return *out = malloc(1), OK; }
int cuStreamSynchronize(void *) { return lost; }
int cuStreamDestroy_v2(void *stream) { return free(stream), OK; }
int cuStreamWaitEvent(void *, void *, unsigned) { return OK; }

typedef std::chrono::steady_clock::time_point Time;
int cuEventCreate(void **out, unsigned) { return *out = new Time, OK; }
int cuEventRecord(void *event, void *) {
    return *(Time *)event = std::chrono::steady_clock::now(), OK;
}
int cuEventSynchronize(void *) { return OK; }
int cuEventElapsedTime(float *ms, void *from, void *to) {
    *ms = std::chrono::duration<float, std::milli>(*(Time *)to - *(Time *)from).count();
    return OK;
}
int cuEventDestroy_v2(void *event) { return delete (Time *)event, OK; }

int cuModuleLoadData(void **out, const void *) { return *out = &mutex, OK; }
int cuModuleUnload(void *) { return OK; }
int cuModuleGetFunction(void **out, void *, const char *name) {
    auto found = KERNEL_TABLE.find(name);
    if (found == KERNEL_TABLE.end()) return NOT_FOUND;
    return *out = (void *)&found->second, OK;
}
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned, void *, void **parameters, void **) {
    std::lock_guard<std::mutex> guard(mutex);
    if (lost) return lost;
    if (sound_launches > 0) {
        sound_launches--;
    } else if (sound_launches == 0 && bad_launches) {
        bad_launches -= bad_launches > 0;
        return LAUNCH_FAILED;
    }
    if (!gx || !gy || !gz || !bx || !by || !bz || bx * by * bz > 1024 || gy > 65535 || gz > 65535)
        return 1;  // CUDA_ERROR_INVALID_VALUE
    gridDim = {gx, gy, gz}, blockDim = {bx, by, bz};
    launches++;
    try {
        run(*(const Kernel *)function, parameters);
    } catch (const std::exception &error) {
        fprintf(stderr, "%s\n", error.what());
        fibres::block.fibres.clear();  // they stand in the middle of a kernel
        return LAUNCH_FAILED;
    }
    return OK;
}

}  // extern "C"
