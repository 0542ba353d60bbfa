// The one function that starts a kernel.
//
//     __global__ void fill_kernel(Fill a) { ... }
//     void fill(const Fill& a, cudaStream_t stream) { launch(fill_kernel, over(a.count), stream, a); }
//
// A kernel takes one struct by value. Template kernels: launch(cast_kernel<float, __half>, ...).
#pragma once

#include <source_location>
#include <type_traits>

#include "kernels/port/config.hpp"
#include "kernels/port/runtime.hpp"

namespace fer::FER_PORT {

struct Launch {
    dim3 grid = dim3(1);
    dim3 block = dim3(256);
    unsigned dynamic_shared = 0;  // bytes; above 48 KiB the kernel is permitted to take them on its first launch
};

/// One-dimensional grid for `count` elements, capped: kernels stride by grid_threads(). 0 elements: an empty grid.
/// Kernels index in 32 bits, so 2^31 elements or more are refused here, once, for all of them.
Launch over(std::int64_t count, unsigned block = 256);

/// Starts one kernel whose arguments begin at `args`; what launch() is made of.
void launch_erased(const void* kernel, void (*call)(const void* kernel, const void* args), const Launch& shape,
                   cudaStream_t stream, const void* args, std::size_t bytes, const std::source_location& at);

/// Starts `kernel` and throws DeviceError, naming the kernel and the caller's line, if the launch is refused. Faults
/// inside the kernel surface at the next synchronising call (emulated: at once, unless the stream is deferred). An
/// empty grid is a no-op.
template <class Args>
void launch(void (*kernel)(Args), const Launch& shape, cudaStream_t stream, const std::type_identity_t<Args>& args,
            const std::source_location& at = std::source_location::current()) {
    static_assert(std::is_trivially_copyable_v<Args> && sizeof(Args) <= 4096, "kernel arguments are copied as bytes");
#if defined(FER_EMULATED)
    const auto call = [](const void* function, const void* bytes) {
        reinterpret_cast<void (*)(Args)>(const_cast<void*>(function))(*static_cast<const Args*>(bytes));
    };
#else
    constexpr void (*call)(const void*, const void*) = nullptr;
#endif
    launch_erased(reinterpret_cast<const void*>(kernel), call, shape, stream, &args, sizeof(Args), at);
}

/// While one lives, what this thread launches is a programmatic dependent launch: blocks of the next kernel take their
/// places while the last ones of the kernel before still run, which hides what starting a kernel costs. Nothing happens
/// before compute capability 9.0, on the emulator, or with `on` false. Not nested.
class DependentLaunches {
public:
    explicit DependentLaunches(bool on);
    ~DependentLaunches();
    DependentLaunches(const DependentLaunches&) = delete;
    DependentLaunches& operator=(const DependentLaunches&) = delete;
};

/// The first statement of every kernel: waits until the kernels before it in its queue have ended and their writes are
/// visible, then lets blocks of the next kernel take places that become free. A kernel without it could end before one
/// that it follows, and then so could all behind it.
#if defined(FER_EMULATED)
inline void wait_for_previous() {}
#elif defined(__CUDACC__)
__device__ __forceinline__ void wait_for_previous() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;\n\tgriddepcontrol.launch_dependents;" ::: "memory");
#endif
}
#endif

}  // namespace fer::FER_PORT
