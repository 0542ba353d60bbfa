// The GPU, and the same executor and kernels on the emulator. Plans need no hardware; a runtime does.
#pragma once

#include "engine/plan/implementation.hpp"
#include "engine/run/runtime.hpp"

// Both exist as far as the build has them (engine/run/devices.hpp).
namespace fer::cuda {
const Device& cuda_device();
/// Opened on the first call. DeviceError: no driver, one that is too old, no GPU, or one below compute capability 8.0.
Runtime& cuda_runtime();
}  // namespace fer::cuda

namespace fer::emulated {
const Device& cuda_device();
Runtime& cuda_runtime();
}  // namespace fer::emulated
