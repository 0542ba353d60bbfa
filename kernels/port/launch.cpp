#include "kernels/port/launch.hpp"

#include <algorithm>
#include <string_view>

#include "engine/core/error.hpp"
#include "kernels/port/check.hpp"

#if defined(FER_EMULATED)
#include "kernels/emulator/block.hpp"
#include "kernels/emulator/symbols.hpp"
#else
#include <mutex>
#include <set>
#include <utility>
#endif

namespace fer::FER_PORT {

namespace {

// More blocks than any GPU holds at once (an H200: 132 multiprocessors of 8 blocks of 256 threads), few enough that
// their starting costs nothing. The same on every device, so that results do not depend on it.
constexpr std::int64_t kMostBlocks = 132 * 8 * 4;

constexpr unsigned kFreeShared = 48 << 10;  // more must be asked for

#if defined(FER_EMULATED)

cudaError_t start(const void* kernel, void (*call)(const void*, const void*), const Launch& shape, cudaStream_t stream,
                  const void* args, std::size_t bytes) {
    return launch_kernel(kernel, call, shape.grid, shape.block, shape.dynamic_shared, stream, args, bytes);
}

std::string name_of_kernel(const void* kernel) { return kernel_name(kernel); }

std::string refusal_of(const Launch& shape) { return refuse_shape({shape.grid, shape.block, shape.dynamic_shared}); }

void set_dependent(bool) {}

#else

thread_local bool dependent = false;

void set_dependent(bool on) {
    int device = 0;
    int major = 0;
    if (on) {
        FER_CUDA(cudaGetDevice(&device));
        FER_CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
    }
    dependent = major >= 9;
}

// Once per kernel, device and size.
cudaError_t permit_shared(const void* kernel, unsigned bytes) {
    static std::mutex mutex;
    static std::set<std::pair<int, const void*>> permitted;
    int device = 0;
    if (const cudaError_t error = cudaGetDevice(&device); error != cudaSuccess) {
        return error;
    }
    const std::lock_guard lock(mutex);
    if (!permitted.insert({device, kernel}).second) {
        return cudaSuccess;
    }
    int most = 0;
    cudaFuncAttributes attributes{};
    cudaError_t error = cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    if (error == cudaSuccess) {
        error = cudaFuncGetAttributes(&attributes, kernel);
    }
    if (error == cudaSuccess) {  // all it can ever take, so that a later launch with more needs no second call
        most = std::max(most - static_cast<int>(attributes.sharedSizeBytes), static_cast<int>(bytes));
        error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most);
    }
    if (error != cudaSuccess) {
        permitted.erase({device, kernel});
    }
    return error;
}

cudaError_t start(const void* kernel, void (*)(const void*, const void*), const Launch& shape, cudaStream_t stream,
                  const void* args, std::size_t) {
    if (shape.dynamic_shared > kFreeShared) {
        if (const cudaError_t error = permit_shared(kernel, shape.dynamic_shared); error != cudaSuccess) {
            return error;
        }
    }
    cudaLaunchAttribute overlap{};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = shape.grid;
    config.blockDim = shape.block;
    config.dynamicSmemBytes = shape.dynamic_shared;
    config.stream = stream;
    config.attrs = &overlap;
    config.numAttrs = dependent ? 1 : 0;
    void* arguments[] = {const_cast<void*>(args)};
    cudaError_t error = cudaLaunchKernelExC(&config, kernel, arguments);
#if defined(FER_CHECKED)
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    if (error == cudaSuccess && cudaStreamIsCapturing(stream, &status) == cudaSuccess &&
        status == cudaStreamCaptureStatusNone) {
        error = cudaStreamSynchronize(stream);
    }
#endif
    return error;
}

std::string name_of_kernel(const void* kernel) {
    const char* name = nullptr;
    return cudaFuncGetName(&name, kernel) == cudaSuccess && name != nullptr ? name : "a kernel";
}

std::string refusal_of(const Launch&) { return {}; }

#endif

std::string describe(const Launch& shape) {
    return fmt::format("grid ({},{},{}), block ({},{},{}), {} bytes of dynamic shared memory", shape.grid.x,
                       shape.grid.y, shape.grid.z, shape.block.x, shape.block.y, shape.block.z, shape.dynamic_shared);
}

}  // namespace

DependentLaunches::DependentLaunches(bool on) { set_dependent(on); }
DependentLaunches::~DependentLaunches() { set_dependent(false); }

Launch over(std::int64_t count, unsigned block) {
    FER_CHECK(count >= 0 && count < (std::int64_t{1} << 31),
              "a kernel over {} elements; at most 2^31 - 1 can be indexed", count);
    FER_CHECK(block > 0, "a block of no threads");
    const std::int64_t blocks = (count + block - 1) / block;
    return {.grid = dim3(static_cast<unsigned>(std::min(blocks, kMostBlocks))), .block = dim3(block)};
}

void launch_erased(const void* kernel, void (*call)(const void*, const void*), const Launch& shape, cudaStream_t stream,
                   const void* args, std::size_t bytes, const std::source_location& at) {
    if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) {
        return;
    }
    const cudaError_t error = start(kernel, call, shape, stream, args, bytes);
    if (error == cudaSuccess) {
        return;
    }
    const std::string refusal = refusal_of(shape);
    check(error,
          fmt::format("launch of {} ({}{}{})", name_of_kernel(kernel), describe(shape), refusal.empty() ? "" : "; ",
                      refusal)
              .c_str(),
          at);
}

}  // namespace fer::FER_PORT
