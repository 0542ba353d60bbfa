#include "kernels/port/check.hpp"

#include <string_view>

#include "engine/core/error.hpp"
#include "kernels/port/runtime.hpp"

namespace fer::FER_PORT {

void check(cudaError_t code, const char* call, const std::source_location& at) {
    if (code == cudaSuccess) {
        return;
    }
    const std::string_view path = at.file_name();
    std::string why = fmt::format("at {}:{}", path.substr(path.rfind('/') + 1), at.line());
#if defined(FER_EMULATED)
    if (!fault_report().empty()) {
        why = fault_report() + "\n" + why;
    }
#endif
    cudaGetLastError();  // an error that does not break the device must not meet the next caller
    const std::string what = fmt::format("{} failed: {} ({})", call, cudaGetErrorName(code), cudaGetErrorString(code));
    if (code == cudaErrorMemoryAllocation) {
        throw MemoryError(what).because(why);
    }
    const bool missing = code == cudaErrorNoDevice || code == cudaErrorInsufficientDriver ||
                         code == cudaErrorNoKernelImageForDevice || code == cudaErrorSystemDriverMismatch;
    throw DeviceError(what).because(why).counts_as(missing ? Fault::kDevice : Fault::kInternal);
}

}  // namespace fer::FER_PORT
