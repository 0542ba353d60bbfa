// Copies from global to shared memory that pass the registers by (cp.async).
//
//     cp_async<16>(&stage[row][col], x + offset, row < rows);   // not valid: zeros arrive and x is not read
//     cp_async_commit();                                        // closes this thread's group of copies
//     cp_async_wait<1>();                                       // at most the 1 newest group is still under way
//     __syncthreads();                                          // only now may other threads read what arrived
//
// Between issue and wait the bytes are nobody's: the emulator writes them at the earliest or at the latest moment,
// and its instrumented build reports whoever touches them in between.
#pragma once

#include "kernels/port/device.hpp"

namespace fer::FER_PORT {

/// Both addresses aligned to Bytes. `src` must be a valid address even where `valid` is false.
template <int Bytes>
FER_DEVICE void cp_async(void* dst, const void* src, bool valid = true) {
    static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16);
#if defined(FER_EMULATED)
    async_copy(dst, src, Bytes, valid);
#else
    const auto to = static_cast<unsigned>(__cvta_generic_to_shared(dst));
    const int read = valid ? Bytes : 0;
    if constexpr (Bytes == 16) {  // .cg: through L2 only, which exists for 16 bytes alone
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(src), "r"(read) : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(to), "l"(src), "r"(read), "n"(Bytes)
                     : "memory");
    }
#endif
}

FER_DEVICE void cp_async_commit() {
#if defined(FER_EMULATED)
    async_commit();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits until at most `Newest` groups of this thread are under way. Orders nothing between threads.
template <int Newest>
FER_DEVICE void cp_async_wait() {
#if defined(FER_EMULATED)
    async_wait(Newest);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(Newest) : "memory");
#endif
}

}  // namespace fer::FER_PORT
