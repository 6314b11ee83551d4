// As much of libcuda as the drivers of edge/inference call, by themselves or through pycuda and
// cuda-bindings, over kernels that run on the CPU; driver_graphs.h has recorded streams, and
// driver_for_ffmpeg.h what FFmpeg needs.
// Memory of the "device" is this machine's, queued work is done at once, and what a real driver
// would refuse is refused: copies beyond an allocation, kernels that fail or are given other
// parameters, handles that nobody made, threads for which no context is current.

#include "cuda_on_cpu.h"

#include KERNELS

#include <dlfcn.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

enum {
    OK = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    ILLEGAL_STATE = 401,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    PRIMARY_CONTEXT_ACTIVE = 708,
    LAUNCH_FAILED = 719,
    NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
    CAPTURE_ISOLATION = 905,
    CAPTURED_EVENT = 907,
    CAPTURE_WRONG_THREAD = 908
};
// As cuda.h documents them; what pycuda tells of an error is its string.
const std::map<int, const char *> ERRORS = {
    {OK, "no error"},
    {INVALID_VALUE, "invalid argument"},
    {OUT_OF_MEMORY, "out of memory"},
    {NO_DEVICE, "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "invalid device ordinal"},
    {INVALID_CONTEXT, "invalid device context"},
    {INVALID_HANDLE, "invalid resource handle"},
    {ILLEGAL_STATE, "the operation cannot be performed in the present state"},
    {NOT_FOUND, "named symbol not found"},
    {ILLEGAL_ADDRESS, "an illegal memory access was encountered"},
    {PRIMARY_CONTEXT_ACTIVE, "primary context is active"},
    {LAUNCH_FAILED, "unspecified launch failure"},
    {NOT_SUPPORTED, "operation not supported"},
    {CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing"},
    {CAPTURE_INVALIDATED, "operation failed due to a previous error during capture"},
    {CAPTURE_ISOLATION, "dependency created on uncaptured work in another stream"},
    {CAPTURED_EVENT, "operation not permitted on an event last recorded in a capturing stream"},
    {CAPTURE_WRONG_THREAD,
     "attempt to terminate a thread-local capture sequence from another thread"},
};

struct Kernel {
    bool has_barriers;
    void (*call)(void **);
    // Finds the parameters in one buffer; false where they are not as many bytes.
    bool (*unpack)(char *, size_t, std::vector<void *> &);
    // Copies the parameters into one buffer.
    std::vector<char> (*pack)(void **);
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
    static bool unpack(char *buffer, size_t size, std::vector<void *> &found) {
        size_t at = 0;
        auto next = [&](size_t size, size_t alignment) {
            at = (at + alignment - 1) / alignment * alignment;
            found.push_back(buffer + at);
            at += size;
        };
        (next(sizeof(A), alignof(A)), ...);
        return at == size;
    }
    static std::vector<char> pack(void **p) {
        std::vector<char> buffer;
        auto next = [&](size_t size, size_t alignment) {
            buffer.resize((buffer.size() + alignment - 1) / alignment * alignment);
            buffer.insert(buffer.end(), (char *)*p, (char *)*p + size);
            p++;
        };
        (next(sizeof(A), alignof(A)), ...);
        return buffer;
    }
};
template <auto Function>
Kernel kernel(bool has_barriers) {
    typedef Caller<Function> C;
    return {has_barriers, C::call, C::unpack, C::pack};
}

const std::map<std::string, Kernel> KERNEL_TABLE = {
    {"cell_means", kernel<cell_means>(true)},
    {"paint", kernel<paint>(true)},
    {"whole_means", kernel<whole_means>(true)},
    {"whole_fill", kernel<whole_fill>(false)},
    {"watermark", kernel<watermark>(false)},
    {"detector_inputs", kernel<detector_inputs>(false)},
    {"shrink_luma", kernel<shrink_luma>(false)},
    {"luma_difference", kernel<luma_difference>(true)},
};

std::mutex mutex;   // of the one kernel that runs
std::mutex tables;  // of what follows
typedef std::lock_guard<std::mutex> Guard;
struct Piece {
    size_t size;
    void *context;
};
std::map<char *, Piece> memory;
int integrated = 0, allocations = 0, launches = 0;
long long memory_left = -1;
int holders = 0, lost = 0, no_device = 0, sound_launches = -1, bad_launches = 0;
int hanging = 0;  // what is queued is not done, and calls that wait for it do not return
int blocked = 0;  // how many of those were made
std::set<void *> modules, streams, events, made_contexts;
thread_local std::vector<void *> contexts;  // of which the last is current

bool entered() { return !contexts.empty() && contexts.back(); }

int allocate(char **out, size_t size) {
    if (!entered()) return INVALID_CONTEXT;
    if (lost) return lost;
    if (memory_left >= 0 && (long long)size > memory_left) return OUT_OF_MEMORY;
    if (memory_left >= 0) memory_left -= size;
    // By itself on the heap: the address sanitiser watches its ends. Never zero by luck.
    Guard guard(tables);
    *out = new (std::nothrow) char[size];
    if (!*out) return OUT_OF_MEMORY;
    memset(*out, 0xA5, size);
    memory[*out] = {size, contexts.back()};
    allocations++;
    return OK;
}

bool inside(const void *address, size_t size) {
    Guard guard(tables);
    auto at = memory.upper_bound((char *)address);
    if (at == memory.begin()) return false;
    --at;
    return (const char *)address + size <= at->first + at->second.size;
}

int release(void *address) {
    blocked += hanging;
    if (!entered()) return INVALID_CONTEXT;
    if (lost) return lost;
    Guard guard(tables);
    if (!memory.erase((char *)address)) return ILLEGAL_ADDRESS;
    delete[] (char *)address;
    return OK;
}

// Frees what was allocated in a context that goes.
void release_all(void *context) {
    for (auto at = memory.begin(); at != memory.end();) {
        bool its = at->second.context == context;
        if (its) delete[] at->first;
        at = its ? memory.erase(at) : std::next(at);
    }
}

int make(std::set<void *> &things, void **out, size_t size) {
    Guard guard(tables);
    if (!entered()) return INVALID_CONTEXT;
    return things.insert(*out = malloc(size)), OK;
}

int drop(std::set<void *> &things, void *thing) {
    Guard guard(tables);
    if (!things.erase(thing)) return INVALID_HANDLE;
    return free(thing), OK;
}

bool known(std::set<void *> &things, void *thing) {
    Guard guard(tables);
    return things.count(thing);
}

// The default streams (NULL, and by their names CU_STREAM_LEGACY and CU_STREAM_PER_THREAD) are the
// current context's.
int check_stream(void *stream) {
    if (!entered()) return INVALID_CONTEXT;
    return (uintptr_t)stream <= 2 || known(streams, stream) ? OK : INVALID_HANDLE;
}

// What a copy, or a set, on a stream is refused for. Sizes are 0 where a side is the host's.
int check_transfer(void *stream, uint64_t to, size_t written, uint64_t from, size_t read) {
    if (int error = check_stream(stream)) return error;
    if (written && !inside((void *)to, written)) return ILLEGAL_ADDRESS;
    if (read && !inside((void *)from, read)) return ILLEGAL_ADDRESS;
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

int launch(const Kernel &kernel, Dim3 grid, Dim3 threads, void **parameters) {
    Guard guard(mutex);
    if (lost) return lost;
    if (sound_launches > 0) {
        sound_launches--;
    } else if (sound_launches == 0 && bad_launches) {
        bad_launches -= bad_launches > 0;
        return LAUNCH_FAILED;
    }
    gridDim = grid, blockDim = threads;
    launches++;
    try {
        run(kernel, parameters);
    } catch (const std::exception &error) {
        fprintf(stderr, "%s\n", error.what());
        fibres::block.fibres.clear();  // they stand in the middle of a kernel
        return LAUNCH_FAILED;
    }
    return OK;
}

}  // namespace

#include "driver_graphs.h"

extern "C" {

// For tests.
void pretend_integrated(int value) { integrated = value; }
void run_descending(int value) { fibres::descending = value; }
void limit_memory(long long bytes) { memory_left = bytes; }
void fail_launches(int after, int count) { sound_launches = after, bad_launches = count; }
void hang_device(int value) { hanging = value; }
int count_blocked() { return blocked; }
void lose_device() { lost = LAUNCH_FAILED; }
void remove_device(int value) { no_device = value; }
int count_holders() { return holders; }
int count_handles() {
    return (int)(modules.size() + streams.size() + events.size() + made_contexts.size() +
                 graphs.size() + executables.size());
}
int count_contexts() { return (int)contexts.size(); }  // on this thread's stack
int count_allocations() { return allocations; }
int count_launches() { return launches; }
int count_live() { return (int)memory.size(); }

int cuInit(unsigned) { return no_device ? NO_DEVICE : OK; }
int cuDriverGetVersion(int *version) { return *version = 13000, OK; }
int cuGetErrorString(int code, const char **out) {
    auto found = ERRORS.find(code);
    *out = found == ERRORS.end() ? nullptr : found->second;
    return *out ? OK : INVALID_VALUE;
}
// What a program of CUDA `version` calls by this name: the newest form of it that is here.
int cuGetProcAddress_v2(const char *name, void **out, int, uint64_t, int *status) {
    static void *self = [] {
        Dl_info info;
        dladdr((void *)cuInit, &info);
        return dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    }();
    *out = dlsym(self, (std::string(name) + "_v2").c_str());
    if (!*out) *out = dlsym(self, name);
    if (!*out) *out = dlsym(self, (std::string(name) + "WithFlags").c_str());
    if (status) *status = *out ? 0 : 1;
    return *out ? OK : NOT_FOUND;
}
int cuGetProcAddress(const char *name, void **out, int version, uint64_t flags) {
    return cuGetProcAddress_v2(name, out, version, flags, nullptr);
}

int cuDeviceGetCount(int *count) { return *count = !no_device, OK; }
int cuDeviceGet(int *device, int ordinal) {
    return *device = 0, ordinal < 0 || ordinal >= !no_device ? INVALID_DEVICE : OK;
}
int cuDeviceGetName(char *name, int size, int) {
    return snprintf(name, size, "a GPU on the CPU"), OK;
}
int cuDeviceTotalMem_v2(size_t *size, int) { return *size = (size_t)8 << 30, OK; }
int cuDeviceGetAttribute(int *value, int attribute, int) {
    switch (attribute) {
        case 14: *value = 512; break;  // TEXTURE_ALIGNMENT: what FFmpeg aligns rows to
        case 18: *value = integrated; break;
        case 75: *value = 8; break;
        case 76: *value = 9; break;
        default: *value = 0;
    }
    return OK;
}
int cuDevicePrimaryCtxRetain(void **context, int) {
    Guard guard(tables);
    return holders++, *context = &mutex, OK;
}
int cuDevicePrimaryCtxRelease_v2(int) {
    blocked += hanging;
    Guard guard(tables);
    if (!holders) return INVALID_CONTEXT;
    if (--holders == 0) {  // the context goes, with all that was made in it
        lost = OK;
        release_all(&mutex);
        drop_all_graphs();
        for (auto *things : {&modules, &streams, &events}) {
            for (void *thing : *things) free(thing);
            things->clear();
        }
    }
    return OK;
}
int cuCtxSetCurrent(void *context) {
    if (contexts.empty()) contexts.push_back(context);
    else contexts.back() = context;
    return OK;
}
int cuCtxPushCurrent_v2(void *context) { return contexts.push_back(context), OK; }
int cuCtxPopCurrent_v2(void **context) {
    if (contexts.empty()) return INVALID_CONTEXT;
    *context = contexts.back();
    return contexts.pop_back(), OK;
}

int cuMemAlloc_v2(uint64_t *out, size_t size) {
    if (int error = check_unordered()) return error;
    return allocate((char **)out, size);
}
int cuMemFree_v2(uint64_t address) {
    if (int error = check_unordered()) return error;
    return release((void *)address);
}
int cuMemGetInfo_v2(size_t *left, size_t *total) {
    if (!entered()) return INVALID_CONTEXT;
    Guard guard(tables);
    *left = *total = (size_t)8 << 30;
    for (const auto &piece : memory) *left -= piece.second.size;
    return OK;
}
int cuMemHostAlloc(void **out, size_t size, unsigned) { return cuMemAlloc_v2((uint64_t *)out, size); }
int cuMemFreeHost(void *address) { return cuMemFree_v2((uint64_t)address); }
int cuMemHostGetDevicePointer_v2(uint64_t *out, void *host, unsigned) {
    return *out = (uint64_t)host, inside(host, 1) ? OK : ILLEGAL_ADDRESS;
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t size, void *stream) {
    return queue(stream, [=] {
        if (int error = check_transfer(stream, to, size, 0, 0)) return error;
        return memcpy((void *)to, from, size), (int)OK;
    });
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t size, void *stream) {
    return queue(stream, [=] {
        if (int error = check_transfer(stream, 0, 0, from, size)) return error;
        return memcpy(to, (void *)from, size), (int)OK;
    });
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t size, void *stream) {
    return queue(stream, [=] {
        if (int error = check_transfer(stream, to, size, from, size)) return error;
        return memcpy((void *)to, (void *)from, size), (int)OK;
    });
}
int cuMemsetD8Async(uint64_t to, unsigned char value, size_t size, void *stream) {
    return queue(stream, [=] {
        if (int error = check_transfer(stream, to, size, 0, 0)) return error;
        return memset((void *)to, value, size), (int)OK;
    });
}

int cuStreamCreate(void **out, unsigned) { return make(streams, out, 1); }
int cuStreamQuery(void *stream) {
    if (int error = check_stream(stream)) return error;
    if (int error = check_uncaptured(stream)) return error;
    return hanging ? NOT_READY : lost;
}
int cuStreamSynchronize(void *stream) {
    if (int error = check_stream(stream)) return error;
    if (int error = check_uncaptured(stream)) return error;
    blocked += hanging;
    return lost;
}
int cuStreamDestroy_v2(void *stream) { return drop(streams, stream); }
int cuStreamWaitEvent(void *stream, void *event, unsigned) {
    if (int error = check_stream(stream)) return error;
    return known(events, event) ? follow_event(stream, event) : INVALID_HANDLE;
}

typedef std::chrono::steady_clock::time_point Time;
int cuEventCreate(void **out, unsigned) { return make(events, out, sizeof(Time)); }
int cuEventRecord(void *event, void *stream) {
    if (int error = check_stream(stream)) return error;
    if (!known(events, event)) return INVALID_HANDLE;
    return *(Time *)event = std::chrono::steady_clock::now(), record_event(event, stream);
}
int cuEventQuery(void *event) {
    int error = check_event(event);
    return error ? error : hanging ? NOT_READY : OK;
}
int cuEventSynchronize(void *event) { return check_event(event); }
int cuEventElapsedTime(float *ms, void *from, void *to) {
    for (void *event : {from, to})
        if (int error = check_event(event)) return error;
    *ms = std::chrono::duration<float, std::milli>(*(Time *)to - *(Time *)from).count();
    return OK;
}
int cuEventElapsedTime_v2(float *ms, void *from, void *to) {
    return cuEventElapsedTime(ms, from, to);
}
int cuEventDestroy_v2(void *event) {
    record_event(event, nullptr);
    return drop(events, event);
}

int cuModuleLoadData(void **out, const void *) {
    if (int error = check_unordered()) return error;
    return make(modules, out, 1);
}
int cuModuleLoadDataEx(void **out, const void *image, unsigned count, int *options, void **values) {
    for (unsigned i = 0; i < count; i++)
        if (options[i] == 4 || options[i] == 6) values[i] = nullptr;  // lengths of logs
    return cuModuleLoadData(out, image);
}
int cuModuleUnload(void *module) { return drop(modules, module); }
int cuModuleGetFunction(void **out, void *module, const char *name) {
    if (!known(modules, module)) return INVALID_HANDLE;
    auto found = KERNEL_TABLE.find(name);
    if (found == KERNEL_TABLE.end()) return NOT_FOUND;
    return *out = (void *)&found->second, OK;
}
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned, void *stream, void **parameters, void **extra) {
    if (!gx || !gy || !gz || !bx || !by || !bz || bx * by * bz > 1024 || gy > 65535 || gz > 65535)
        return INVALID_VALUE;
    auto *kernel = (const Kernel *)function;
    std::vector<char> packed;
    std::vector<void *> unpacked;
    if (extra) {
        // {CU_LAUNCH_PARAM_BUFFER_POINTER, buffer, CU_LAUNCH_PARAM_BUFFER_SIZE, &size, END}
        if (parameters || extra[0] != (void *)1 || extra[2] != (void *)2 || extra[4])
            return INVALID_VALUE;
        packed.assign((char *)extra[1], (char *)extra[1] + *(size_t *)extra[3]);
        if (!kernel->unpack(packed.data(), packed.size(), unpacked)) return INVALID_VALUE;
    } else {
        packed = kernel->pack(parameters);
    }
    return queue(stream, [=]() mutable {
        std::vector<void *> found;
        kernel->unpack(packed.data(), packed.size(), found);
        return launch(*kernel, {gx, gy, gz}, {bx, by, bz}, found.data());
    });
}

}  // extern "C"

#include "driver_for_ffmpeg.h"
