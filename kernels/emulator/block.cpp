#include "kernels/emulator/block.hpp"

#include <algorithm>
#include <map>
#include <numeric>

#include "engine/core/error.hpp"
#include "kernels/emulator/dice.hpp"
#include "kernels/emulator/fibers.hpp"
#include "kernels/emulator/observer.hpp"
#include "kernels/emulator/schedule.hpp"
#include "kernels/emulator/shared.hpp"
#include "kernels/emulator/symbols.hpp"
#include "kernels/emulator/traps.hpp"
#include "kernels/emulator/warp.hpp"

namespace fer::emulated {

Thread* current_thread = nullptr;
uint3 current_block{};
GridShape current_grid{};
Observer* observer = nullptr;

namespace {

constexpr std::size_t kMostReports = 4;

void run_ready_threads();

struct Scheduler {
    Fibers fibers{run_ready_threads};
    KernelCall kernel{};
    std::vector<Thread> threads = std::vector<Thread>(Fibers::kMost);
    unsigned count = 0;  // threads of a block
    unsigned exited = 0;
    unsigned at_barrier = 0;
    std::vector<Thread*> ready;  // those from `head` on
    std::size_t head = 0;
    Thread* starting = nullptr;  // runs next, on a fresh fiber
    Dice dice;
    std::uint64_t priority[Fibers::kMost / 32] = {};
    bool failed = false;
    std::vector<std::string> reports;
    std::size_t unreported = 0;
};

Scheduler& scheduler() {
    static Scheduler instance;
    return instance;
}

Thread* next_ready() {
    Scheduler& s = scheduler();
    if (s.head == s.ready.size()) {
        return nullptr;
    }
    const auto first = s.ready.begin() + static_cast<std::ptrdiff_t>(s.head);
    switch (schedule().order) {
        case Order::kForward:
            break;
        case Order::kReverse: {
            Thread* last = s.ready.back();
            s.ready.pop_back();
            return last;
        }
        case Order::kRandom:
            std::iter_swap(first, first + static_cast<std::ptrdiff_t>(s.dice.below(s.ready.size() - s.head)));
            break;
        case Order::kGreedy:
            std::iter_swap(first, std::min_element(first, s.ready.end(), [&](const Thread* a, const Thread* b) {
                               return s.priority[a->warp] < s.priority[b->warp];
                           }));
            break;
    }
    Thread* thread = s.ready[s.head++];
    if (s.head == s.ready.size()) {
        s.ready.clear();
        s.head = 0;
    }
    return thread;
}

void finish(Thread& thread) {
    if (!thread.copies.empty()) {
        FER_FAULT("{} cp.async still under way when the thread ends", thread.copies.size());
    }
    thread.state = Thread::State::kExited;
    ++scheduler().exited;
    warp_exit(thread);
}

// The body of every fiber. Threads that never wait are run back to back on one fiber: a kernel without barriers pays
// no switches at all.
void run_ready_threads() {
    Scheduler& s = scheduler();
    for (;;) {
        Thread* thread = std::exchange(s.starting, nullptr);
        if (thread == nullptr) {
            thread = next_ready();
        }
        if (thread == nullptr) {
            current_thread = nullptr;
            s.fibers.retire_home();
        } else if (thread->fiber != nullptr) {
            current_thread = thread;
            ++work().switches;
            s.fibers.retire_to(thread->fiber);
        } else {
            thread->fiber = s.fibers.running();
            current_thread = thread;
            s.kernel.call(s.kernel.function, s.kernel.args);
            finish(*current_thread);
        }
    }
}

std::string describe_deadlock() {
    const Scheduler& s = scheduler();
    std::map<std::string, unsigned> groups;
    for (unsigned i = 0; i < s.count; ++i) {
        const Thread& t = s.threads[i];
        switch (t.state) {
            case Thread::State::kExited:
                ++groups["have exited"];
                break;
            case Thread::State::kAtBarrier:
                ++groups["wait in __syncthreads at " + describe_site(t.site)];
                break;
            case Thread::State::kAtWarp:
                ++groups["wait for their warp at " + describe_site(t.site)];
                break;
            case Thread::State::kReady:
                ++groups["are ready"];
                break;
        }
    }
    std::string text = fmt::format("deadlock in block ({},{},{}):", current_block.x, current_block.y, current_block.z);
    for (const auto& [what, threads] : groups) {
        text += fmt::format("\n    {} threads {}", threads, what);
    }
    return text;
}

void start_block() {
    Scheduler& s = scheduler();
    const dim3 dim = current_grid.block;
    s.exited = s.at_barrier = 0;
    s.ready.clear();
    s.head = 0;
    for (unsigned i = 0; i < s.count; ++i) {
        Thread& t = s.threads[i];
        t.index = {i % dim.x, i / dim.x % dim.y, i / dim.x / dim.y};
        t.rank = i;
        t.warp = i / 32;
        t.lane = i % 32;
        t.state = Thread::State::kReady;
        t.fiber = nullptr;
        t.async_group = 0;
        s.ready.push_back(&t);
    }
    for (auto& p : s.priority) {
        p = s.dice.next();
    }
    warp_block_begins(s.count);
    shared_block_begins(current_grid.dynamic_shared);
    if (observer != nullptr) {
        observer->block_begins();
    }
}

void run_block() {
    Scheduler& s = scheduler();
    start_block();
    ++work().blocks;
    work().threads += s.count;
    s.fibers.switch_to(s.fibers.take());
    current_thread = nullptr;
    if (!s.failed && s.exited != s.count) {
        s.failed = true;
        report(describe_deadlock());
    }
    if (!s.failed) {
        if (const std::string overrun = shared_overrun(); !overrun.empty()) {
            s.failed = true;
            report(fmt::format("{} by block ({},{},{})", overrun, current_block.x, current_block.y, current_block.z));
        }
    }
}

// The i-th block to run: a permutation of the grid that needs no memory.
std::uint64_t block_at(std::uint64_t i, std::uint64_t blocks, std::uint64_t step, std::uint64_t start) {
    switch (schedule().order) {
        case Order::kForward:
            return i;
        case Order::kReverse:
            return blocks - 1 - i;
        case Order::kRandom:
        case Order::kGreedy:
            return (start + i * step) % blocks;
    }
    return i;
}

}  // namespace

std::string refuse_shape(const GridShape& shape) {
    const std::uint64_t threads = std::uint64_t{shape.block.x} * shape.block.y * shape.block.z;
    if (threads == 0 || threads > 1024 || shape.block.z > 64) {
        return fmt::format("a block of ({},{},{}) threads; the most is 1024, 64 of them along z", shape.block.x,
                           shape.block.y, shape.block.z);
    }
    if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0 || shape.grid.x > 0x7fffffffu ||
        shape.grid.y > 65535 || shape.grid.z > 65535) {
        return fmt::format("a grid of ({},{},{}) blocks; the most is (2^31-1, 65535, 65535)", shape.grid.x,
                           shape.grid.y, shape.grid.z);
    }
    if (shape.dynamic_shared > kMostShared) {
        return fmt::format("{} bytes of dynamic shared memory; a block has {}", shape.dynamic_shared, kMostShared);
    }
    return {};
}

std::string run_grid(const KernelCall& kernel, const GridShape& shape) {
    Scheduler& s = scheduler();
    FER_ASSERT(current_thread == nullptr, "emulator: a kernel cannot launch a kernel");
    catch_traps();
    s.kernel = kernel;
    s.count = shape.block.x * shape.block.y * shape.block.z;
    s.dice = Dice(schedule().seed);
    s.failed = false;
    s.reports.clear();
    s.unreported = 0;
    current_grid = shape;
    ++work().grids;
    if (observer != nullptr) {
        observer->grid_begins();
    }

    const std::uint64_t blocks = std::uint64_t{shape.grid.x} * shape.grid.y * shape.grid.z;
    const std::uint64_t start = s.dice.below(blocks);
    std::uint64_t step = s.dice.below(blocks) | 1;
    while (std::gcd(step, blocks) != 1) {
        step += 2;
    }
    for (std::uint64_t i = 0; i < blocks && !s.failed; ++i) {
        const std::uint64_t b = block_at(i, blocks, step, start);
        current_block = {static_cast<unsigned>(b % shape.grid.x),
                         static_cast<unsigned>(b / shape.grid.x % shape.grid.y),
                         static_cast<unsigned>(b / shape.grid.x / shape.grid.y)};
        run_block();
    }
    if (s.failed) {
        s.fibers.reset();
        for (Thread& t : s.threads) {
            t.copies.clear();
        }
    }

    std::string text;
    for (const std::string& r : s.reports) {
        text += (text.empty() ? "" : "\n") + r;
    }
    if (s.unreported > 0) {
        text += fmt::format("\n{} more", s.unreported);
    }
    return text;
}

__attribute__((noinline)) void meet_block(const std::source_location& where, const void* code) {
    const Site site{where, code != nullptr ? code : __builtin_return_address(0)};
    Scheduler& s = scheduler();
    Thread& me = *current_thread;
    me.site = site;
    if (s.exited > 0) {
        FER_FAULT("divergent barrier: __syncthreads at {} after {} threads have exited", describe_site(site), s.exited);
    }
    me.state = Thread::State::kAtBarrier;
    if (++s.at_barrier < s.count) {
        wait();
        return;
    }
    for (unsigned i = 0; i < s.count; ++i) {
        const Thread& t = s.threads[i];
        if (!(t.site == site)) {
            FER_FAULT("divergent barrier: threads of one block wait in __syncthreads at {} and at {}",
                      describe_site(t.site), describe_site(site));
        }
    }
    s.at_barrier = 0;
    ++work().barriers;
    if (observer != nullptr) {
        observer->block_meets();
    }
    for (unsigned i = 0; i < s.count; ++i) {
        wake(s.threads[i]);
    }
    wait();
}

void wait() {
    Scheduler& s = scheduler();
    Thread* const me = current_thread;
    Thread* const next = next_ready();
    if (next == me) {
        return;  // released itself, and is first: there is nothing to switch to
    }
    ++work().switches;
    if (next == nullptr) {
        current_thread = nullptr;
        s.fibers.switch_home();
    } else if (next->fiber != nullptr) {
        current_thread = next;
        s.fibers.switch_to(next->fiber);
    } else {
        s.starting = next;
        s.fibers.switch_to(s.fibers.take());
    }
    current_thread = me;
}

void wake(Thread& thread) {
    thread.state = Thread::State::kReady;
    scheduler().ready.push_back(&thread);
}

std::vector<Thread>& block_threads_of_grid() { return scheduler().threads; }
unsigned block_size() { return scheduler().count; }

void report(const std::string& text) {
    Scheduler& s = scheduler();
    if (s.reports.size() == kMostReports) {
        ++s.unreported;
        return;
    }
    s.reports.push_back(kernel_name(s.kernel.function) + ": " + text);
}

void note_fault(const std::string& text) {
    const Thread* thread = current_thread;
    report(thread == nullptr ? text : fmt::format("{}\n    in {}", text, describe_thread(*thread)));
    scheduler().failed = true;
}

void leave_grid() {
    current_thread = nullptr;
    scheduler().fibers.abandon();
}

bool is_stack_guard(const void* address) { return scheduler().fibers.is_guard(address); }

Work& work() {
    static Work counters;
    return counters;
}

std::string describe_thread(const Thread& t) {
    return fmt::format("thread ({},{},{}) of block ({},{},{})", t.index.x, t.index.y, t.index.z, current_block.x,
                       current_block.y, current_block.z);
}

std::string describe_site(const Site& site) {
    if (has_lines()) {
        return describe_code(site.code);
    }
    const std::string_view path = site.where.file_name();
    return fmt::format("{}:{}", path.substr(path.rfind('/') + 1), site.where.line());
}

}  // namespace fer::emulated
