#include "kernels/emulator/traps.hpp"

#include <csignal>
#include <cstdlib>

#include <sys/mman.h>
#include <ucontext.h>

#include "engine/core/error.hpp"
#include "kernels/emulator/block.hpp"
#include "kernels/emulator/memory.hpp"
#include "kernels/emulator/shared.hpp"
#include "kernels/emulator/symbols.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace fer::emulated {

namespace {

constexpr std::size_t kStackBytes = 256 << 10;

struct Trap {
    int signal;
    const void* address;
    const void* code;
};
Trap trap;

char* new_stack() {
    void* memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
}

char* trap_stack() {
    static char* const stack = new_stack();
    return stack;
}

std::string describe_trap() {
    if (trap.signal == SIGFPE) {
        return fmt::format("integer division by zero (or overflow) at {}", describe_code(trap.code));
    }
    if (is_stack_guard(trap.address)) {
        return fmt::format("stack overflow at {}: a thread has 256 KiB here", describe_code(trap.code));
    }
    return fmt::format("illegal address at {}: {}", describe_code(trap.code),
                       is_device_memory(trap.address) ? describe_memory(trap.address)
                                                      : fmt::format("{}, no device memory", trap.address));
}

// Where a trapped kernel goes on: no longer inside the signal handler, on a stack of its own because the kernel's may
// be exhausted, and never back.
#if defined(__SANITIZE_ADDRESS__)
__attribute__((no_sanitize("address")))
#endif
[[noreturn]] void
leave_kernel() {
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(trap_stack(), kStackBytes);  // what the last trap left there
    __sanitizer_start_switch_fiber(nullptr, trap_stack(), kStackBytes);
    __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
    note_fault(describe_trap());
    leave_grid();
}

#if defined(__x86_64__)
void redirect(ucontext_t* context) {
    context->uc_mcontext.gregs[REG_RSP] =
        reinterpret_cast<greg_t>(trap_stack() + kStackBytes - 4096 - 8);  // as after a call
    context->uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(&leave_kernel);
}
const void* code_of(const ucontext_t* context) {
    return reinterpret_cast<const void*>(context->uc_mcontext.gregs[REG_RIP] + 1);
}
#elif defined(__aarch64__)
void redirect(ucontext_t* context) {
    context->uc_mcontext.sp = reinterpret_cast<std::uintptr_t>(trap_stack() + kStackBytes - 4096);
    context->uc_mcontext.pc = reinterpret_cast<std::uintptr_t>(&leave_kernel);
}
const void* code_of(const ucontext_t* context) { return reinterpret_cast<const void*>(context->uc_mcontext.pc + 1); }
#else
#error "traps.cpp: say here how to resume a signal's context elsewhere"
#endif

void on_trap(int signal, siginfo_t* info, void* context) {
    if (current_thread == nullptr) {  // not in a kernel: die as one would without us
        std::signal(signal, SIG_DFL);
        return;
    }
    trap = {signal, info->si_addr, code_of(static_cast<ucontext_t*>(context))};
    redirect(static_cast<ucontext_t*>(context));
}

}  // namespace

void catch_traps() {
    trap_stack();  // mapped before it is needed
    thread_local bool has_stack = false;
    if (!has_stack) {  // handlers need a stack that a kernel cannot have overflowed, one per host thread
        stack_t stack{};
        stack.ss_sp = new_stack();
        stack.ss_size = kStackBytes;
        sigaltstack(&stack, nullptr);
        has_stack = true;
    }
    static const bool installed = [] {
        struct sigaction action {};
        action.sa_sigaction = on_trap;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigaction(SIGSEGV, &action, nullptr);
        sigaction(SIGBUS, &action, nullptr);
        sigaction(SIGFPE, &action, nullptr);
        return true;
    }();
    static_cast<void>(installed);
}

}  // namespace fer::emulated
