// CUDA's vocabulary inside kernels, for the host compiler: what <cuda_runtime.h> is to nvcc. What is not here is not to
// be used in a kernel; see emulator/README.md for what was left out on purpose.
#pragma once

#include <math.h>

#include <cstdint>

// cuda_fp16.h would bring in cuda_runtime_api.h for a few types. Its functions, declared globally, would be found by
// argument-dependent lookup beside those of fer::emulated and make every call ambiguous; so it is declared included.
#if defined(__CUDA_RUNTIME_API_H__)
#error "do not include cuda_runtime_api.h where FER_EMULATED is defined"
#endif
#define __CUDA_RUNTIME_API_H__
#include <driver_types.h>
#include <vector_types.h>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __constant__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __shared__ static_assert(false, "write FER_SHARED or FER_DYNAMIC_SHARED");
#define __constant__ const
#define __launch_bounds__(...)

#include "kernels/emulator/async_copy.hpp"
#include "kernels/emulator/atomic.hpp"
#include "kernels/emulator/block.hpp"
#include "kernels/emulator/collective.hpp"
#include "kernels/emulator/math.hpp"
#include "kernels/emulator/matrix.hpp"
#include "kernels/emulator/shared.hpp"

#define threadIdx (::fer::emulated::current_thread->index)
#define blockIdx (::fer::emulated::current_block)
#define blockDim (::fer::emulated::current_grid.block)
#define gridDim (::fer::emulated::current_grid.grid)

namespace fer::emulated {

inline constexpr int warpSize = 32;

[[noreturn]] void misaligned(const void* p, std::size_t bytes);

/// x86 reads misaligned vectors, the GPU traps: called by load() and store().
FER_IN_CALLER void require_aligned(const void* p, std::size_t bytes) {
    if (reinterpret_cast<std::uintptr_t>(p) % bytes != 0) {
        misaligned(p, bytes);
    }
}

}  // namespace fer::emulated
