// Streams that are recorded, and graphs, for driver_on_cpu.cpp, between its tables and its functions.
// What is queued on a stream is done at once, or kept where the stream is recorded; a replay does
// what was kept, on what memory holds by then. What spoils a recording spoils it here as well.

#include <functional>
#include <memory>
#include <thread>

namespace {

typedef std::function<int()> Work;  // which returns its error
struct Capture {
    std::thread::id thread;
    int mode;
    bool invalid;
    std::vector<Work> works;

    static constexpr int GLOBAL = 0, THREAD_LOCAL = 1, RELAXED = 2;  // CUstreamCaptureMode
};
std::map<void *, Capture> captures;  // by stream
std::map<void *, std::shared_ptr<std::vector<Work>>> graphs, executables;
std::set<void *> captured_events;
std::map<std::string, int> planted;  // errors of the functions below

Capture *capture_on(void *stream) {
    auto found = captures.find(stream);
    return found == captures.end() ? nullptr : &found->second;
}

// Does what is queued on a stream, or keeps it.
int queue(void *stream, Work work) {
    if (int error = check_stream(stream)) return error;
    {
        Guard guard(tables);
        if (Capture *capture = capture_on(stream)) {
            if (capture->invalid) return CAPTURE_INVALIDATED;
            return capture->works.push_back(work), OK;
        }
    }
    return hanging ? OK : work();
}

// Whether a stream may be waited for, or asked about.
int check_uncaptured(void *stream) {
    Guard guard(tables);
    Capture *capture = capture_on(stream);
    if (!capture) return OK;
    return capture->invalid = true, CAPTURE_UNSUPPORTED;
}

int check_event(void *event) {
    if (!known(events, event)) return INVALID_HANDLE;
    Guard guard(tables);
    return captured_events.count(event) ? CAPTURED_EVENT : OK;
}

// Whether this thread may do now what no stream orders: allocate, free, load.
int check_unordered() {
    Guard guard(tables);
    int error = OK;
    for (auto &[stream, capture] : captures) {
        bool own = capture.thread == std::this_thread::get_id();
        if (capture.mode == Capture::GLOBAL || (own && capture.mode == Capture::THREAD_LOCAL))
            capture.invalid = true, error = CAPTURE_UNSUPPORTED;
    }
    return error;
}

int record_event(void *event, void *stream) {
    Guard guard(tables);
    if (capture_on(stream)) return captured_events.insert(event), OK;
    return captured_events.erase(event), OK;
}

int follow_event(void *stream, void *event) {
    Guard guard(tables);
    Capture *capture = capture_on(stream);
    bool captured = captured_events.count(event);
    if (capture && !captured) return capture->invalid = true, CAPTURE_ISOLATION;
    if (captured && !capture) return NOT_SUPPORTED;  // would be recorded, too
    return OK;
}

int find_planted(const char *name) {
    Guard guard(tables);
    auto found = planted.find(name);
    return found == planted.end() ? OK : found->second;
}

void drop_all_graphs() {
    for (auto *things : {&graphs, &executables}) {
        for (auto &thing : *things) free(thing.first);
        things->clear();
    }
    captures.clear();
    captured_events.clear();
}

int drop_graph_of(std::map<void *, std::shared_ptr<std::vector<Work>>> &things, void *thing) {
    Guard guard(tables);
    if (!things.erase(thing)) return INVALID_HANDLE;
    return free(thing), OK;
}

}  // namespace

extern "C" {

// For tests: from now on a function fails with an error; with 0 no more.
void plant_error(const char *name, int error) {
    Guard guard(tables);
    planted[name] = error;
}

int cuStreamBeginCapture_v2(void *stream, int mode) {
    if (int error = check_stream(stream)) return error;
    if (int error = find_planted("cuStreamBeginCapture")) return error;
    if ((uintptr_t)stream <= 1) return CAPTURE_UNSUPPORTED;
    if (mode < Capture::GLOBAL || mode > Capture::RELAXED) return INVALID_VALUE;
    Guard guard(tables);
    if (captures.count(stream)) return ILLEGAL_STATE;
    return captures[stream] = {std::this_thread::get_id(), mode, false, {}}, OK;
}
int cuStreamEndCapture(void *stream, void **graph) {
    *graph = nullptr;
    if (int error = check_stream(stream)) return error;
    Guard guard(tables);
    Capture *capture = capture_on(stream);
    if (!capture) return ILLEGAL_STATE;
    if (capture->mode != Capture::RELAXED && capture->thread != std::this_thread::get_id())
        return CAPTURE_WRONG_THREAD;
    bool invalid = capture->invalid;
    auto works = std::make_shared<std::vector<Work>>(capture->works);
    captures.erase(stream);
    if (invalid) return CAPTURE_INVALIDATED;
    return graphs[*graph = malloc(1)] = works, OK;
}
int cuStreamIsCapturing(void *stream, int *status) {
    if (int error = check_stream(stream)) return error;
    Guard guard(tables);
    Capture *capture = capture_on(stream);
    return *status = capture ? 1 + capture->invalid : 0, OK;
}
int cuGraphInstantiateWithFlags(void **executable, void *graph, uint64_t flags) {
    *executable = nullptr;
    if (!entered()) return INVALID_CONTEXT;
    if (int error = find_planted("cuGraphInstantiate")) return error;
    Guard guard(tables);
    if (!graphs.count(graph)) return INVALID_HANDLE;
    if (flags) return NOT_SUPPORTED;
    return executables[*executable = malloc(1)] = graphs[graph], OK;
}
int cuGraphLaunch(void *executable, void *stream) {
    if (int error = check_stream(stream)) return error;
    if (int error = find_planted("cuGraphLaunch")) return error;
    std::shared_ptr<std::vector<Work>> works;
    {
        Guard guard(tables);
        auto found = executables.find(executable);
        if (found == executables.end()) return INVALID_HANDLE;
        if (captures.count(stream)) return NOT_SUPPORTED;  // a graph within a graph
        works = found->second;
    }
    if (lost) return lost;
    for (const Work &work : *works)
        if (int error = hanging ? OK : work()) return error;
    return OK;
}
int cuGraphExecDestroy(void *executable) { return drop_graph_of(executables, executable); }
int cuGraphDestroy(void *graph) { return drop_graph_of(graphs, graph); }

// A function of the host in a stream's order: what stands for an engine's kernels.
int cuLaunchHostFunc(void *stream, void (*function)(void *), void *data) {
    return queue(stream, [=] { return lost ? lost : (function(data), OK); });
}

}  // extern "C"
