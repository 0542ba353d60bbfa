// Reductions in a fixed order: the same bits for the same inputs, launch after launch.
#pragma once

#include <cmath>
#include <type_traits>

#include "kernels/port/shared.hpp"
#include "kernels/port/threads.hpp"

namespace fer::FER_PORT {

struct Sum {
    template <class T>
    FER_DEVICE T operator()(T a, T b) const {
        return a + b;
    }
    template <class T>
    FER_DEVICE static T identity() {
        return T(0);
    }
};

/// fmaxf: a NaN loses against a number. Test for NaN separately where it must be kept.
struct Max {
    FER_DEVICE float operator()(float a, float b) const { return fmaxf(a, b); }
    FER_DEVICE int operator()(int a, int b) const { return a > b ? a : b; }
    FER_DEVICE unsigned operator()(unsigned a, unsigned b) const { return a > b ? a : b; }
    template <class T>
    FER_DEVICE static T identity() {
        if constexpr (std::is_same_v<T, int>) {
            return -2147483647 - 1;
        } else if constexpr (std::is_same_v<T, unsigned>) {
            return 0;
        } else {
            return -INFINITY;
        }
    }
};

/// All 32 lanes call; all receive the result. Five shuffles in a butterfly, so every lane adds in the same order.
template <class Op, class T>
FER_DEVICE T warp_reduce(T value, Op op) {
    for (int step = 16; step > 0; step /= 2) {
        value = op(value, __shfl_xor_sync(kFullWarp, value, step));
    }
    return value;
}
template <class T>
FER_DEVICE T warp_sum(T value) {
    return warp_reduce(value, Sum{});
}
template <class T>
FER_DEVICE T warp_max(T value) {
    return warp_reduce(value, Max{});
}

/// All threads of the block call and all receive the result. `shared` holds one T per warp (32 at most) and may be
/// used again at once: the first barrier protects the previous use. Two barriers.
///     FER_SHARED(float, partial, [Threads / kWarp]);
///     const float total = block_sum<Threads>(x, partial);
template <int Threads, class Op, class T>
FER_DEVICE T block_reduce(T value, T* shared, Op op) {
    constexpr int kWarps = Threads / static_cast<int>(kWarp);
    static_assert(Threads % static_cast<int>(kWarp) == 0 && kWarps >= 1 && kWarps <= 32);
    value = warp_reduce(value, op);
    __syncthreads();
    if (lane_id() == 0) {
        shared[warp_id()] = value;
    }
    __syncthreads();
    return warp_reduce(lane_id() < kWarps ? shared[lane_id()] : Op::template identity<T>(), op);
}
template <int Threads, class T>
FER_DEVICE T block_sum(T value, T* shared) {
    return block_reduce<Threads>(value, shared, Sum{});
}
template <int Threads, class T>
FER_DEVICE T block_max(T value, T* shared) {
    return block_reduce<Threads>(value, shared, Max{});
}

/// True in every thread of the last of `blocks` blocks to call with this counter: what the others wrote before their
/// call is visible to it. The one way in which blocks of a launch may communicate. All threads of the block call.
/// The counter starts at zero and is left at zero, so a captured launch can be replayed.
///
/// For sums over blocks that must not depend on the order in which blocks finish: each block writes its partial result
/// to its own place, and the last one adds them in order.
FER_DEVICE bool last_block_ticket(unsigned* counter, unsigned blocks) {
    FER_SHARED(bool, last);
    __threadfence();  // every thread's own writes, before ...
    __syncthreads();  // ... one of them takes the ticket for all
    if (thread_rank() == 0) {
        __threadfence();
        last = atomicAdd(counter, 1u) == blocks - 1;
        if (last) {
            atomicExch(counter, 0u);
        }
    }
    __syncthreads();
    __threadfence();
    const bool is_last = last;
#if defined(FER_EMULATED)
    note_ticket(counter, is_last);
#endif
    return is_last;
}
FER_DEVICE bool last_block_ticket(unsigned* counter) {
    return last_block_ticket(counter, gridDim.x * gridDim.y * gridDim.z);
}

}  // namespace fer::FER_PORT
