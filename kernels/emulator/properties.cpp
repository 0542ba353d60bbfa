// What the emulated device says about itself, and the names of errors.
#include <cstdio>

#include "kernels/emulator/memory.hpp"
#include "kernels/emulator/shared.hpp"
#include "kernels/emulator/stream.hpp"

namespace fer::emulated {

namespace {

// A device small enough that a kernel which fills it takes little time here.
constexpr int kMultiprocessors = 4;

struct ErrorText {
    cudaError_t error;
    const char* name;
    const char* text;
};
// clang-format off
constexpr ErrorText kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver", "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorECCUncorrectable, "cudaErrorECCUncorrectable", "uncorrectable ECC error encountered"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorIllegalState, "cudaErrorIllegalState", "the operation cannot be performed in the present state"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources", "too many resources requested for launch"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported", "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated", "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched", "capture was not ended in the same stream as it began"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined", "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation", "dependency created on uncaptured work in another stream"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit", "operation would make the legacy stream depend on a capturing blocking stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent", "operation not permitted on an event last recorded in a capturing stream"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};
// clang-format on

const ErrorText& text_of(cudaError_t error) {
    for (const ErrorText& e : kErrors) {
        if (e.error == error) {
            return e;
        }
    }
    static constexpr ErrorText kOther{cudaErrorUnknown, "unrecognized error code", "unrecognized error code"};
    return kOther;
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) { return text_of(error).name; }
const char* cudaGetErrorString(cudaError_t error) { return text_of(error).text; }

cudaError_t cudaGetDeviceCount(int* count) {
    Entry entry("cudaGetDeviceCount");
    *count = entry.refused() ? 0 : 1;
    return entry.refused() ? entry.error() : entry.leave();
}

cudaError_t cudaGetDevice(int* device) {
    Entry entry("cudaGetDevice");
    *device = 0;
    return entry.refused() ? entry.error() : entry.leave();
}

cudaError_t cudaSetDevice(int device) {
    Entry entry("cudaSetDevice");
    return entry.refused() ? entry.error() : entry.leave(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    Entry entry("cudaGetDeviceProperties");
    if (entry.refused()) {
        return entry.error();
    }
    if (device != 0) {
        return entry.leave(cudaErrorInvalidDevice);
    }
    cudaDeviceProp p{};
    std::snprintf(p.name, sizeof p.name, "fer emulator (sm_90 model)");
    p.major = 9;
    p.minor = 0;
    p.totalGlobalMem = capacity().total;
    p.multiProcessorCount = kMultiprocessors;
    p.warpSize = 32;
    p.maxThreadsPerBlock = 1024;
    p.maxThreadsPerMultiProcessor = 2048;
    p.maxThreadsDim[0] = p.maxThreadsDim[1] = 1024;
    p.maxThreadsDim[2] = 64;
    p.maxGridSize[0] = 0x7fffffff;
    p.maxGridSize[1] = p.maxGridSize[2] = 65535;
    p.sharedMemPerBlock = kMostStaticShared;
    p.sharedMemPerBlockOptin = kMostShared;
    p.sharedMemPerMultiprocessor = kMostShared + 1024;
    p.l2CacheSize = 50 << 20;
    p.regsPerBlock = p.regsPerMultiprocessor = 65536;
    p.concurrentKernels = 1;
    p.asyncEngineCount = 2;
    p.unifiedAddressing = 1;
    p.streamPrioritiesSupported = 1;
    *properties = p;
    return entry.leave();
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
    cudaDeviceProp p{};
    if (const cudaError_t error = cudaGetDeviceProperties(&p, device); error != cudaSuccess) {
        return error;
    }
    switch (attribute) {
        case cudaDevAttrComputeCapabilityMajor:
            *value = p.major;
            break;
        case cudaDevAttrComputeCapabilityMinor:
            *value = p.minor;
            break;
        case cudaDevAttrMultiProcessorCount:
            *value = p.multiProcessorCount;
            break;
        case cudaDevAttrWarpSize:
            *value = p.warpSize;
            break;
        case cudaDevAttrMaxThreadsPerBlock:
            *value = p.maxThreadsPerBlock;
            break;
        case cudaDevAttrMaxSharedMemoryPerBlock:
            *value = static_cast<int>(p.sharedMemPerBlock);
            break;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin:
            *value = static_cast<int>(p.sharedMemPerBlockOptin);
            break;
        case cudaDevAttrL2CacheSize:
            *value = p.l2CacheSize;
            break;
        default:
            return cudaErrorNotSupported;
    }
    return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
    Entry entry("cudaDeviceGetStreamPriorityRange");
    *least = 0;
    *greatest = -5;
    return entry.refused() ? entry.error() : entry.leave();
}

cudaError_t cudaDriverGetVersion(int* version) {
    *version = 13000;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }

cudaError_t cudaDeviceSynchronize() {
    Entry entry("cudaDeviceSynchronize");
    if (entry.refused()) {
        return entry.error();
    }
    if (const cudaError_t capturing = forbid_capture(); capturing != cudaSuccess) {
        return entry.leave(capturing);
    }
    ++device().counters.synchronisations;
    for (const auto& stream : device().streams) {
        work_until([&] { return is_idle(*stream); });
    }
    if (const std::string overrun = device_overrun(); !overrun.empty()) {
        break_device(cudaErrorIllegalAddress, overrun);
    }
    return entry.leave();
}

cudaError_t cudaDeviceReset() {
    recover();
    const std::lock_guard lock(device().mutex);
    device().streams.resize(1);
    device().events.clear();
    free_all_memory();
    return cudaSuccess;
}

}  // namespace fer::emulated
