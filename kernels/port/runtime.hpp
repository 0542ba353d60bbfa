// The CUDA runtime API for host code that is compiled for both devices: launchers and the executor. With FER_EMULATED
// the same names with the same signatures are functions of fer::emulated, so code inside `namespace fer::FER_PORT`
// calls cudaMemcpyAsync(...) unqualified and gets the right one.
#pragma once

#include "kernels/port/config.hpp"

#if defined(FER_EMULATED)
#include "kernels/emulator/runtime.hpp"
#else
#include <cuda_profiler_api.h>
#include <cuda_runtime.h>
#endif
