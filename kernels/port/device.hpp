// CUDA's built-in names: from nvcc, or from the emulator.
#pragma once

#include "kernels/port/config.hpp"

#if defined(FER_EMULATED)
#include "kernels/emulator/device.hpp"
/// A function that runs inside a kernel. Always inlined, here so that reports name the kernel's line.
#define FER_DEVICE __attribute__((always_inline)) inline
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
/// A function that runs inside a kernel.
#define FER_DEVICE __device__ __forceinline__
#endif
