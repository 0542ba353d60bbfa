// The one door to the hardware: the only header that a kernel includes, besides its own contract and engine/core/.
// What may be written in a kernel is CUDA's own vocabulary (threadIdx, __syncthreads, __shfl_xor_sync, atomicAdd, ...)
// plus the pages below. Raw __shared__, <<<>>> and asm stay inside kernels/port/; a test sees to it.
#pragma once

#include "kernels/port/config.hpp"
#include "kernels/port/device.hpp"
// After device.hpp, which settles what __global__ and __device__ mean in this build.
#include "kernels/port/async_copy.hpp"
#include "kernels/port/check.hpp"
#include "kernels/port/convert.hpp"
#include "kernels/port/dispatch.hpp"
#include "kernels/port/launch.hpp"
#include "kernels/port/matrix.hpp"
#include "kernels/port/reduce.hpp"
#include "kernels/port/runtime.hpp"
#include "kernels/port/shared.hpp"
#include "kernels/port/threads.hpp"
#include "kernels/port/vector.hpp"
