// Which of the two builds of kernels/ this is. Every kernel source is compiled twice: by nvcc for the GPU, and by g++
// with FER_EMULATED against kernels/emulator. Both may be linked into one program, so everything that differs lives in
// `namespace fer::FER_PORT`, which is fer::cuda in one and fer::emulated in the other.
//
// Contracts (kernels/<op>.hpp) include this header and nothing else of port/: it brings cudaStream_t and no more.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__) && !defined(FMT_USE_CONSTEXPR)
// fmt 9 takes nvcc for a compiler without constexpr functions, but makes its format strings consteval all the same.
#define FMT_USE_CONSTEXPR 1
#endif

#if defined(FER_EMULATED)
#if defined(__CUDACC__)
#error "FER_EMULATED selects the host compiler; do not pass it to nvcc"
#endif
#define FER_PORT emulated
#else
#define FER_PORT cuda
#endif

// The types of the CUDA runtime (cudaStream_t, cudaError_t, dim3), none of its functions.
#include <driver_types.h>

namespace fer::FER_PORT {}

namespace fer {
/// What code that is itself compiled for both may say: fer::port::cast(...).
namespace port = FER_PORT;
}  // namespace fer
