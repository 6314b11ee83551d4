// CUDA's keywords and built-ins for g++, so that a .cu file runs on a CPU as it is shipped.
//
// Each thread of a block is a fibre. __syncthreads and warp-wide operations are real: a fibre that
// reaches one lets the others run until all have. A block's threads run one after the other between
// these points, first to last or last to first, so that what lacks a barrier gives another result.

#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

#define __global__
#define __device__
#define __shared__ static  // blocks run one at a time

struct Dim3 {
    unsigned int x, y, z;
};
static Dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace fibres {

enum State { RUNNING, AT_BLOCK_BARRIER, AT_WARP_BARRIER, DONE };

const size_t STACK_BYTES = 256 << 10;

struct Fibre {
    ucontext_t context;  // where it begins
    jmp_buf place;       // where it goes on
    bool begun = false;
    std::unique_ptr<char[]> stack;
    State state = DONE;
    Dim3 index{};
    unsigned int value = 0;  // handed in to a warp-wide sum, or its result
};

struct Block {
    std::vector<std::unique_ptr<Fibre>> fibres;
    ucontext_t scheduler;
    jmp_buf place;  // of the scheduler
    Fibre *current = nullptr;
    void (*body)(void *) = nullptr;
    void *argument = nullptr;
    size_t count = 0;
};
inline Block block;
inline bool descending = false;

// swapcontext asks the kernel for the signal mask each time, which takes longer than the threads do;
// the address sanitiser knows swapcontext only.
#ifdef __SANITIZE_ADDRESS__
[[gnu::noinline]] inline void resume(Fibre *fibre) { swapcontext(&block.scheduler, &fibre->context); }
[[gnu::noinline]] inline void yield(Fibre *self) { swapcontext(&self->context, &block.scheduler); }
#else
[[gnu::noinline]] inline void resume(Fibre *fibre) {
    if (_setjmp(block.place)) return;
    if (fibre->begun) _longjmp(fibre->place, 1);
    fibre->begun = true;
    setcontext(&fibre->context);
}
[[gnu::noinline]] inline void yield(Fibre *self) {
    if (!_setjmp(self->place)) _longjmp(block.place, 1);
}
#endif

inline void life() {
    for (;;) {
        block.body(block.argument);
        block.current->state = DONE;
        yield(block.current);
    }
}

inline void wait(State at) {
    if (block.current == nullptr) throw std::logic_error("a barrier in a kernel said to have none");
    block.current->state = at;
    yield(block.current);
}

inline void need(size_t count) {
    while (block.fibres.size() < count) {
        auto fibre = std::make_unique<Fibre>();
        fibre->stack.reset(new char[STACK_BYTES]);
        getcontext(&fibre->context);
        fibre->context.uc_stack.ss_sp = fibre->stack.get();
        fibre->context.uc_stack.ss_size = STACK_BYTES;
        fibre->context.uc_link = nullptr;
        makecontext(&fibre->context, (void (*)())life, 0);
        block.fibres.push_back(std::move(fibre));
    }
}

// Let go of all threads from first on that wait at `at`; false where one of them does not.
inline bool release(size_t first, size_t last, State at) {
    unsigned int sum = 0;
    for (size_t i = first; i < last; i++) {
        if (block.fibres[i]->state != at) return false;
        sum += block.fibres[i]->value;
    }
    for (size_t i = first; i < last; i++) {
        block.fibres[i]->state = RUNNING;
        block.fibres[i]->value = sum;
    }
    return true;
}

// Run one thread block. Throws where threads wait for others that will never come.
inline void run_block() {
    for (;;) {
        size_t done = 0;
        for (size_t k = 0; k < block.count; k++) {
            Fibre *fibre = block.fibres[descending ? block.count - 1 - k : k].get();
            if (fibre->state == RUNNING) {
                threadIdx = fibre->index;
                block.current = fibre;
                resume(fibre);
                block.current = nullptr;
            }
            done += fibre->state == DONE;
        }
        if (done == block.count) return;
        bool released = release(0, block.count, AT_BLOCK_BARRIER);
        for (size_t first = 0; first < block.count; first += 32) {
            size_t last = first + 32 < block.count ? first + 32 : block.count;
            released |= release(first, last, AT_WARP_BARRIER);
        }
        if (!released) throw std::runtime_error("threads left, or parted, before a barrier");
    }
}

}  // namespace fibres

inline void __syncthreads() { fibres::wait(fibres::AT_BLOCK_BARRIER); }
inline void __threadfence() {}

inline unsigned int __reduce_add_sync(unsigned int, unsigned int value) {
    fibres::Fibre *self = fibres::block.current;
    if (self) self->value = value;
    fibres::wait(fibres::AT_WARP_BARRIER);
    return self->value;
}

template <typename T>
inline T atomicAdd(T *at, T value) {
    T before = *at;
    *at += value;
    return before;
}

inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }

inline unsigned short float16_bits(float value) {
    _Float16 half = (_Float16)value;
    unsigned short bits;
    memcpy(&bits, &half, sizeof bits);
    return bits;
}
