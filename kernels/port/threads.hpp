// Who am I: the position of a thread in its grid, block and warp.
#pragma once

#include "kernels/port/device.hpp"

namespace fer::FER_PORT {

inline constexpr unsigned kWarp = 32;
inline constexpr unsigned kFullWarp = 0xffffffffu;  // the mask of all lanes

/// First index of the loop over elements that every elementwise kernel runs:
///     for (unsigned i = grid_thread(); i < count; i += grid_threads())
/// 32 bits suffice, because over() refuses 2^31 elements and more.
FER_DEVICE unsigned grid_thread() { return blockIdx.x * blockDim.x + threadIdx.x; }
FER_DEVICE unsigned grid_threads() { return gridDim.x * blockDim.x; }

/// The same for byte offsets and anything else that may pass 2^32.
FER_DEVICE std::int64_t grid_thread64() { return std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }
FER_DEVICE std::int64_t grid_threads64() { return std::int64_t{gridDim.x} * blockDim.x; }

/// Position in the block, x fastest: the order in which threads form warps.
FER_DEVICE unsigned thread_rank() { return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z); }
FER_DEVICE unsigned block_threads() { return blockDim.x * blockDim.y * blockDim.z; }
FER_DEVICE unsigned lane_id() {
#if defined(FER_EMULATED)
    return thread_rank() % kWarp;
#else
    unsigned lane;
    asm("mov.u32 %0, %%laneid;" : "=r"(lane));
    return lane;
#endif
}
FER_DEVICE unsigned warp_id() { return thread_rank() / kWarp; }

}  // namespace fer::FER_PORT
