// Runs a grid: one block after another, the threads of a block as fibers that go on until they have to wait.
#pragma once

#include <driver_types.h>

#include <source_location>
#include <string>
#include <vector>

namespace fer::emulated {

struct Fiber;

/// Where a primitive was called: the line as the compiler knows it, which tells call sites apart, and the code address,
/// which leads through inlined helpers to the kernel's own line.
struct Site {
    std::source_location where;
    const void* code = nullptr;

    bool operator==(const Site& other) const {
        return where.line() == other.where.line() && where.column() == other.where.column() &&
               where.file_name() == other.where.file_name();
    }
};

/// One cp.async that may not have arrived yet.
struct AsyncCopy {
    void* dst;
    const void* src;
    unsigned bytes;
    bool valid;
    unsigned group;
};

struct Thread {
    enum class State : unsigned char { kReady, kAtBarrier, kAtWarp, kExited };

    uint3 index{};
    unsigned rank = 0, warp = 0, lane = 0;
    State state = State::kReady;
    Fiber* fiber = nullptr;    // null: not started
    Site site;                 // where it waits
    unsigned async_group = 0;  // groups of asynchronous copies it has closed
    std::vector<AsyncCopy> copies;
};

struct GridShape {
    dim3 grid;
    dim3 block;
    unsigned dynamic_shared = 0;
};

/// A kernel with its arguments: call(function, args) runs one thread.
struct KernelCall {
    void (*call)(const void* function, const void* args);
    const void* function;
    const void* args;
};

// The state of the grid that runs, read by threadIdx and its kin. One grid runs at a time.
extern Thread* current_thread;  // null outside kernels
extern uint3 current_block;
extern GridShape current_grid;

/// Runs the grid to its end or to its first fatal fault. Returns what was found wrong, one finding per paragraph;
/// empty: nothing. Not reentrant; the runtime holds a lock.
std::string run_grid(const KernelCall& kernel, const GridShape& shape);

/// Why the hardware would refuse to launch this; empty if it would not.
std::string refuse_shape(const GridShape& shape);

// For the primitives, which run on a thread's fiber ------------------------------------------------------------------

/// __syncthreads: waits until all threads of the block have come to the same place.
void meet_block(const std::source_location& where, const void* code = nullptr);
/// Suspends the running thread, whose state was set to what it waits for, until wake() was called for it.
void wait();
/// Makes a waiting thread go on.
void wake(Thread& thread);
/// The threads of the running block, by rank.
std::vector<Thread>& block_threads_of_grid();
unsigned block_size();

/// A fault that ends the running grid, with a text as for fmt::format; the thread and the block are added. Does not
/// return, and does not unwind the fiber: in two steps, so that the temporaries of the text are gone by then.
#define FER_FAULT(...)                                         \
    do {                                                       \
        ::fer::emulated::note_fault(fmt::format(__VA_ARGS__)); \
        ::fer::emulated::leave_grid();                         \
    } while (false)
void note_fault(const std::string& text);
[[noreturn]] void leave_grid();

/// Notes a finding and goes on; after a few, further ones are counted only.
void report(const std::string& text);

/// Counters of everything that ran so far.
struct Work {
    std::uint64_t grids = 0, blocks = 0, threads = 0, barriers = 0, warp_operations = 0, switches = 0, accesses = 0;
};
Work& work();

/// "thread (3,0,0) of block (0,1,0)"
std::string describe_thread(const Thread& thread);
std::string describe_site(const Site& site);

}  // namespace fer::emulated
