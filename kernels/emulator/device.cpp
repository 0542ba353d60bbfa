// The parts of device.hpp that are not worth inlining.
#include "kernels/emulator/device.hpp"

#include "engine/core/error.hpp"
#include "kernels/emulator/observer.hpp"
#include "kernels/emulator/symbols.hpp"

namespace fer::emulated {

void note_atomic(const void* p, std::size_t bytes, const void* code) {
    if (reinterpret_cast<std::uintptr_t>(p) % bytes != 0) {
        FER_FAULT("misaligned atomic of {} bytes at {}: address {}", bytes, describe_code(code), p);
    }
    if (observer != nullptr && current_thread != nullptr) {
        observer->access(p, bytes, Access::kAtomic, code);
    }
}

void note_ticket(const void* counter, bool last) {
    if (observer != nullptr) {
        observer->ticket(counter, last);
    }
}

__attribute__((noinline)) void misaligned(const void* p, std::size_t bytes) {
    FER_FAULT("misaligned vector access of {} bytes at {}: address {}", bytes,
              describe_code(__builtin_return_address(0)), p);
}

__attribute__((noinline)) int meet_block_and_combine(int value, int (*combine)(int, int),
                                                     const std::source_location& where) {
    // Two barriers: nobody may enter the next one before all have read this result.
    static int result = 0;
    static std::uint64_t block = 0;  // whose result it is
    static bool fresh = true;
    fresh |= block != work().blocks;
    block = work().blocks;
    result = fresh ? value : combine(result, value);
    fresh = false;
    meet_block(where, __builtin_return_address(0));
    fresh = true;
    const int combined = result;
    meet_block(where, __builtin_return_address(0));
    return combined;
}

void __trap() { FER_FAULT("__trap()"); }

}  // namespace fer::emulated
