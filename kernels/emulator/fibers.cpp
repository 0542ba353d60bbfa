#include "kernels/emulator/fibers.hpp"

#include <sys/mman.h>

#include <boost/context/detail/fcontext.hpp>
#include <cstdlib>

#include "engine/core/error.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace fer::emulated {

namespace context = boost::context::detail;

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kStride = Fibers::kStackBytes + kPage;  // a guard page below each stack

// AddressSanitizer follows stacks by these two calls around every switch; otherwise they are nothing.
void leaving([[maybe_unused]] Fiber* from, [[maybe_unused]] const Fiber* to, [[maybe_unused]] bool for_good) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(for_good ? nullptr : &from->sanitizer, to->stack, to->bytes);
#endif
}
void arrived([[maybe_unused]] void* note, [[maybe_unused]] Fiber* from) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(note, &from->stack, &from->bytes);  // learns the bounds of the host's own stack
#endif
}

}  // namespace

struct Trampoline {
    static void entry(context::transfer_t from) {
        auto* self = static_cast<Fibers*>(from.data);
        self->previous_->context = from.fctx;
        arrived(nullptr, self->previous_);
        self->body_();
        std::abort();  // the body never returns
    }
};

Fibers::Fibers(void (*body)()) : body_(body) {
    void* memory =
        mmap(nullptr, kStride * kMost, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    FER_ASSERT(memory != MAP_FAILED, "emulator: no address space for the stacks of a block");
    stacks_ = static_cast<char*>(memory);
    for (unsigned i = 0; i < kMost; ++i) {
        mprotect(stacks_ + i * kStride, kPage, PROT_NONE);
    }
}

Fiber* Fibers::take() {
    if (!idle_.empty()) {
        Fiber* fiber = idle_.back();
        idle_.pop_back();
        return fiber;
    }
    FER_ASSERT(made_ < kMost, "emulator: more fibers than threads in a block");
    Fiber& fiber = fibers_[made_];
    char* stack = stacks_ + made_ * kStride + kPage;
    fiber = {.context = context::make_fcontext(stack + kStackBytes, kStackBytes, Trampoline::entry),
             .stack = stack,
             .bytes = kStackBytes};
    ++made_;
    return &fiber;
}

void Fibers::switch_to(Fiber* next) {
    Fiber* const me = running_;
    previous_ = me;
    running_ = next;
    leaving(me, next, false);
    const context::transfer_t from = context::jump_fcontext(next->context, this);
    previous_->context = from.fctx;  // whoever switched to us stands here
    arrived(me->sanitizer, previous_);
    running_ = me;
}

void Fibers::retire_to(Fiber* next) {
    idle_.push_back(running_);
    switch_to(next);
}

void Fibers::retire_home() { retire_to(&home_); }

void Fibers::abandon() {
    previous_ = running_;
    leaving(running_, &home_, true);
    running_ = &home_;
    context::jump_fcontext(home_.context, this);
    std::abort();
}

void Fibers::reset() {
#if defined(__SANITIZE_ADDRESS__)
    for (unsigned i = 0; i < made_; ++i) {  // frames that never returned left their red zones behind
        ASAN_UNPOISON_MEMORY_REGION(fibers_[i].stack, fibers_[i].bytes);
    }
#endif
    idle_.clear();
    made_ = 0;
    running_ = &home_;
}

bool Fibers::is_guard(const void* address) const {
    const auto* p = static_cast<const char*>(address);
    return p >= stacks_ && p < stacks_ + kStride * kMost && static_cast<std::size_t>(p - stacks_) % kStride < kPage;
}

}  // namespace fer::emulated
