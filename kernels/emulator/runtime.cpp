// Errors, the device and its memory, and the launch of a kernel.
#include "kernels/emulator/runtime.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

#include "engine/core/error.hpp"
#include "kernels/emulator/block.hpp"
#include "kernels/emulator/memory.hpp"
#include "kernels/emulator/observer.hpp"
#include "kernels/emulator/schedule.hpp"
#include "kernels/emulator/shared.hpp"
#include "kernels/emulator/stream.hpp"

namespace fer::emulated {

namespace {

std::map<const char*, std::size_t>& pinned_memory() {
    static std::map<const char*, std::size_t> ranges;
    return ranges;
}

bool is_pinned(const void* p) {
    const auto& ranges = pinned_memory();
    const auto after = ranges.upper_bound(static_cast<const char*>(p));
    return after != ranges.begin() && static_cast<const char*>(p) < std::prev(after)->first + std::prev(after)->second;
}

// Why the bytes may not be touched; empty if they may.
std::string refuse_range(const void* p, std::size_t bytes) {
    if (bytes == 0 || !is_device_memory(p)) {
        return {};
    }
    const auto* at = static_cast<const char*>(p);
    const Allocation a = find_allocation(p);
    if (a.begin != nullptr && a.live && at + bytes <= a.begin + a.bytes) {
        return {};
    }
    return a.begin != nullptr && a.live && at < a.begin + a.bytes ? describe_memory(a.begin + a.bytes)
                                                                  : describe_memory(p);
}

void copy_now(void* dst, const void* src, std::size_t bytes) {
    ++device().counters.copies;
    for (const void* p : {static_cast<const void*>(dst), src}) {
        if (const std::string refusal = refuse_range(p, bytes); !refusal.empty()) {
            break_device(cudaErrorIllegalAddress,
                         fmt::format("cudaMemcpy of {} bytes {}: {}", bytes, p == src ? "reads" : "writes", refusal));
            return;
        }
    }
    std::memmove(dst, src, bytes);
    if (observer != nullptr && is_device_memory(dst)) {
        if (is_device_memory(src)) {
            observer->becomes_copy(dst, src, bytes);
        } else {
            observer->becomes_defined(dst, bytes);
        }
    }
}

void set_now(void* dst, int value, std::size_t bytes) {
    if (const std::string refusal = refuse_range(dst, bytes); !refusal.empty()) {
        break_device(cudaErrorIllegalAddress, fmt::format("cudaMemset of {} bytes writes: {}", bytes, refusal));
        return;
    }
    std::memset(dst, value, bytes);
    if (observer != nullptr && is_device_memory(dst)) {
        observer->becomes_defined(dst, bytes);
    }
}

bool contradicts(cudaMemcpyKind kind, const void* dst, const void* src) {
    const bool to_device = is_device_memory(dst);
    const bool from_device = is_device_memory(src);
    switch (kind) {
        case cudaMemcpyHostToHost:
            return to_device || from_device;
        case cudaMemcpyHostToDevice:
            return !to_device || from_device;
        case cudaMemcpyDeviceToHost:
            return to_device || !from_device;
        case cudaMemcpyDeviceToDevice:
            return !to_device || !from_device;
        case cudaMemcpyDefault:
            return false;
    }
    return true;
}

void run_kernel(const KernelCall& kernel, const GridShape& shape) {
    ++device().counters.launches;
    const std::string findings = run_grid(kernel, shape);
    if (!findings.empty()) {
        const bool address = findings.find("illegal address") != std::string::npos ||
                             findings.find("out-of-bounds") != std::string::npos;
        const bool alignment = findings.find("misaligned") != std::string::npos;
        break_device(address     ? cudaErrorIllegalAddress
                     : alignment ? cudaErrorMisalignedAddress
                                 : cudaErrorLaunchFailure,
                     findings);
    }
}

}  // namespace

// Errors -------------------------------------------------------------------------------------------------------------

Entry::Entry(const char* call) {
    if (current_thread != nullptr) {
        FER_FAULT("{} called inside a kernel", call);
    }
    Device& d = device();
    lock_ = std::unique_lock(d.mutex);
    ++d.counters.calls;
    if (d.injection.nth > 0 && (d.injection.call.empty() || d.injection.call == call) && --d.injection.nth == 0) {
        error_ = d.injection.error;
        if (d.injection.sticky) {
            break_device(error_, fmt::format("error injected into {}", call));
        }
    } else {
        error_ = d.sticky;
    }
    if (error_ != cudaSuccess) {
        d.last = error_;
    }
}

cudaError_t Entry::leave(cudaError_t error) {
    error_ = device().sticky != cudaSuccess ? device().sticky : error;
    if (error_ != cudaSuccess) {
        device().last = error_;
    }
    return error_;
}

void break_device(cudaError_t error, const std::string& report) {
    Device& d = device();
    if (d.sticky == cudaSuccess) {
        d.sticky = error;
        d.fault = report;
    }
}

const std::string& fault_report() { return device().fault; }

void inject(const Injection& injection) { device().injection = injection; }

void recover() {
    Device& d = device();
    const std::lock_guard lock(d.mutex);
    for (const auto& stream : d.streams) {
        stream->queue.clear();
        stream->capture = nullptr;
        stream->tail.clear();
    }
    for (const auto& weak : d.captures) {
        if (const auto capture = weak.lock()) {  // an event may still remember it
            capture->ended = true;
        }
    }
    d.sticky = d.last = cudaSuccess;
    d.fault.clear();
    d.injection = {};
    d.dice = Dice(schedule().seed);
    device_overrun();
}

cudaError_t cudaGetLastError() {
    const std::lock_guard lock(device().mutex);
    const cudaError_t error = std::exchange(device().last, device().sticky);
    return error;
}
cudaError_t cudaPeekAtLastError() { return device().last; }

// Memory -------------------------------------------------------------------------------------------------------------

cudaError_t cudaMalloc(void** p, std::size_t bytes) {
    Entry entry("cudaMalloc");
    if (entry.refused()) {
        return entry.error();
    }
    if (const cudaError_t capturing = forbid_capture(); capturing != cudaSuccess) {
        return entry.leave(capturing);
    }
    *p = nullptr;
    if (bytes == 0) {
        return entry.leave();
    }
    *p = device_reserve(bytes);
    if (*p == nullptr) {
        return entry.leave(cudaErrorMemoryAllocation);
    }
    ++device().counters.allocations;
    device_commit(*p);
    return entry.leave();
}

cudaError_t cudaFree(void* p) {
    Entry entry("cudaFree");
    if (entry.refused()) {
        device_free(p);  // a broken device keeps its memory; here it goes, for the sake of the tests that come after
        return entry.error();
    }
    if (p == nullptr) {
        return entry.leave();
    }
    if (const cudaError_t capturing = forbid_capture(); capturing != cudaSuccess) {
        return entry.leave(capturing);
    }
    for (const auto& stream : device().streams) {  // cudaFree waits for the device
        work_until([&] { return is_idle(*stream); });
    }
    if (!device_free(p)) {
        return entry.leave(cudaErrorInvalidValue);
    }
    if (const std::string overrun = device_overrun(); !overrun.empty()) {
        break_device(cudaErrorIllegalAddress, overrun);
    }
    return entry.leave();
}

cudaError_t cudaMallocAsync(void** p, std::size_t bytes, cudaStream_t handle) {
    Entry entry("cudaMallocAsync");
    if (entry.refused()) {
        return entry.error();
    }
    Stream* stream = find_stream(handle);
    if (stream == nullptr || stream->capture != nullptr) {
        return entry.leave(stream == nullptr ? cudaErrorInvalidResourceHandle : cudaErrorNotSupported);
    }
    *p = device_reserve(bytes);
    if (*p == nullptr) {
        return entry.leave(cudaErrorMemoryAllocation);
    }
    ++device().counters.allocations;
    return entry.leave(enqueue(*stream, [memory = *p] { device_commit(memory); }));  // not before its turn
}

cudaError_t cudaFreeAsync(void* p, cudaStream_t handle) {
    Entry entry("cudaFreeAsync");
    if (entry.refused()) {
        return entry.error();
    }
    Stream* stream = find_stream(handle);
    if (stream == nullptr || stream->capture != nullptr) {
        return entry.leave(stream == nullptr ? cudaErrorInvalidResourceHandle : cudaErrorNotSupported);
    }
    return entry.leave(enqueue(*stream, [p] {
        if (!device_free(p)) {
            break_device(cudaErrorInvalidValue, "cudaFreeAsync of memory that is not allocated: " + describe_memory(p));
        }
        if (const std::string overrun = device_overrun(); !overrun.empty()) {
            break_device(cudaErrorIllegalAddress, overrun);
        }
    }));
}

cudaError_t cudaHostAlloc(void** p, std::size_t bytes, unsigned) {
    Entry entry("cudaHostAlloc");
    if (entry.refused()) {
        return entry.error();
    }
    *p = std::aligned_alloc(256, (std::max<std::size_t>(bytes, 1) + 255) / 256 * 256);
    if (*p == nullptr) {
        return entry.leave(cudaErrorMemoryAllocation);
    }
    pinned_memory()[static_cast<const char*>(*p)] = bytes;
    return entry.leave();
}
cudaError_t cudaMallocHost(void** p, std::size_t bytes) { return cudaHostAlloc(p, bytes, 0); }

cudaError_t cudaFreeHost(void* p) {
    Entry entry("cudaFreeHost");
    if (entry.refused()) {
        return entry.error();
    }
    if (p != nullptr && pinned_memory().erase(static_cast<const char*>(p)) == 0) {
        return entry.leave(cudaErrorInvalidValue);
    }
    for (const auto& stream : device().streams) {
        work_until([&] { return is_idle(*stream); });
    }
    std::free(p);
    return entry.leave();
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
    Entry entry("cudaMemGetInfo");
    if (entry.refused()) {
        return entry.error();
    }
    const Capacity& c = capacity();
    *total = c.total;
    *free = c.total - std::min(c.total, c.used);
    return entry.leave();
}

cudaError_t cudaMemcpyAsync(void* dst, const void* src, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t handle) {
    Entry entry("cudaMemcpyAsync");
    if (entry.refused()) {
        return entry.error();
    }
    Stream* stream = find_stream(handle);
    if (stream == nullptr) {
        return entry.leave(cudaErrorInvalidResourceHandle);
    }
    if (contradicts(kind, dst, src)) {
        return entry.leave(cudaErrorInvalidValue);
    }
    const bool from_pageable = !is_device_memory(src) && !is_pinned(src);
    if (from_pageable && stream->capture == nullptr) {  // read before the call returns, as CUDA does
        const auto* begin = static_cast<const char*>(src);
        const auto staged = std::make_shared<std::vector<char>>(begin, begin + bytes);
        return entry.leave(enqueue(*stream, [=] { copy_now(dst, staged->data(), bytes); }));
    }
    const cudaError_t result = enqueue(*stream, [=] { copy_now(dst, src, bytes); });
    if (!is_device_memory(dst) && !is_pinned(dst) && stream->capture == nullptr) {  // written before the call returns
        work_until([&] { return is_idle(*stream); });
    }
    return entry.leave(result);
}

cudaError_t cudaMemcpy(void* dst, const void* src, std::size_t bytes, cudaMemcpyKind kind) {
    Entry entry("cudaMemcpy");
    if (entry.refused()) {
        return entry.error();
    }
    if (const cudaError_t capturing = forbid_capture(); capturing != cudaSuccess) {
        return entry.leave(capturing);
    }
    const cudaError_t result = cudaMemcpyAsync(dst, src, bytes, kind, nullptr);
    return result != cudaSuccess ? result : cudaStreamSynchronize(nullptr);
}

cudaError_t cudaMemsetAsync(void* dst, int value, std::size_t bytes, cudaStream_t handle) {
    Entry entry("cudaMemsetAsync");
    if (entry.refused()) {
        return entry.error();
    }
    Stream* stream = find_stream(handle);
    return entry.leave(stream == nullptr ? cudaErrorInvalidResourceHandle
                                         : enqueue(*stream, [=] { set_now(dst, value, bytes); }));
}

cudaError_t cudaMemset(void* dst, int value, std::size_t bytes) {
    const cudaError_t result = cudaMemsetAsync(dst, value, bytes, nullptr);
    return result != cudaSuccess ? result : cudaStreamSynchronize(nullptr);
}

void forget_content(void* p, std::size_t bytes) {
    std::memset(p, 0xff, bytes);
    if (observer != nullptr) {
        observer->becomes_undefined(p, bytes);
    }
}

// Launch -------------------------------------------------------------------------------------------------------------

cudaError_t launch_kernel(const void* kernel, void (*call)(const void*, const void*), dim3 grid, dim3 block,
                          unsigned dynamic_shared, cudaStream_t handle, const void* args, std::size_t bytes) {
    Entry entry("cudaLaunchKernelEx");
    if (entry.refused()) {
        return entry.error();
    }
    Stream* stream = find_stream(handle);
    if (stream == nullptr) {
        return entry.leave(cudaErrorInvalidResourceHandle);
    }
    const GridShape shape{grid, block, dynamic_shared};
    if (!refuse_shape(shape).empty()) {
        return entry.leave(cudaErrorInvalidConfiguration);
    }
    // Aligned storage of its own: the arguments outlive the call in a deferred stream and in a graph.
    struct alignas(64) Chunk {
        std::byte bytes[64];
    };
    std::vector<Chunk> copy((bytes + sizeof(Chunk) - 1) / sizeof(Chunk));
    std::memcpy(copy.data(), args, bytes);
    return entry.leave(enqueue(*stream, [=] { run_kernel({call, kernel, copy.data()}, shape); }));
}

cudaError_t cudaProfilerStart() {
    Entry entry("cudaProfilerStart");
    ++device().counters.profiler_starts;
    return entry.refused() ? entry.error() : entry.leave();
}

cudaError_t cudaProfilerStop() {
    Entry entry("cudaProfilerStop");
    ++device().counters.profiler_stops;
    return entry.refused() ? entry.error() : entry.leave();
}

}  // namespace fer::emulated
