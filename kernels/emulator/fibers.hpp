// Stacks to run the threads of a block on. Every CUDA thread that has to wait keeps its own stack; switching costs
// about 5 ns (Boost's fcontext), so a block of a thousand threads is affordable.
#pragma once

#include <cstddef>
#include <vector>

namespace fer::emulated {

/// A stack, and where the code on it stands while it does not run.
struct Fiber {
    void* context = nullptr;
    const void* stack = nullptr;
    std::size_t bytes = 0;
    void* sanitizer = nullptr;  // AddressSanitizer's own note of a suspended stack
};

class Fibers {
public:
    static constexpr unsigned kMost = 1024;  // threads of the largest block
    static constexpr std::size_t kStackBytes = 256 << 10;

    /// `body` is what every fresh fiber runs; it must not return.
    explicit Fibers(void (*body)());

    /// An idle fiber, or a new one. It starts, or goes on after retire(), when switched to.
    Fiber* take();
    /// The running fiber has nothing to do: it may be taken again. Returns when that happens.
    void retire_to(Fiber* next);
    void retire_home();

    void switch_to(Fiber* next);
    void switch_home() { switch_to(&home_); }
    Fiber* running() const { return running_; }

    /// Leaves the running fiber for good, without unwinding its stack.
    [[noreturn]] void abandon();
    /// Forgets every suspended fiber. Called from home.
    void reset();

    /// Whether `address` is in the guard page below a stack, that is, whether a kernel overflowed its stack.
    bool is_guard(const void* address) const;

private:
    Fibers(const Fibers&) = delete;
    friend struct Trampoline;

    void (*body_)();
    char* stacks_ = nullptr;
    Fiber fibers_[kMost];
    unsigned made_ = 0;
    std::vector<Fiber*> idle_;
    Fiber home_;
    Fiber* running_ = &home_;
    Fiber* previous_ = nullptr;
};

}  // namespace fer::emulated
