// The device failed: throw with the call, the code and the place.
#pragma once

#include <source_location>
#include <string>

#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

/// Throws DeviceError (MemoryError for an exhausted device) unless `code` is cudaSuccess:
///     "cudaMemcpyAsync(...) failed: cudaErrorIllegalAddress (an illegal memory access was encountered)"
/// with the place, and on the emulated device the report of the fault, as the reason.
void check(cudaError_t code, const char* call, const std::source_location& at);

}  // namespace fer::FER_PORT

/// For every call of the runtime. Use it inside namespace fer::FER_PORT:
///     FER_CUDA(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDefault, stream));
#define FER_CUDA(call) ::fer::FER_PORT::check((call), #call, std::source_location::current())
