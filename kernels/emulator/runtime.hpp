// The part of the CUDA runtime API that the engine uses, as functions of fer::emulated with CUDA's own signatures. The
// types are CUDA's (driver_types.h); its functions must not be declared in the same translation unit.
#pragma once

#include <driver_types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

namespace fer::emulated {

// Errors -----------------------------------------------------------------------------------------------------------
const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();

// Device -----------------------------------------------------------------------------------------------------------
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaDeviceSynchronize();
/// Frees everything and clears errors, sticky ones too.
cudaError_t cudaDeviceReset();

// Memory -----------------------------------------------------------------------------------------------------------
cudaError_t cudaMalloc(void** p, std::size_t bytes);
cudaError_t cudaFree(void* p);
cudaError_t cudaMallocAsync(void** p, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaFreeAsync(void* p, cudaStream_t stream);
cudaError_t cudaMallocHost(void** p, std::size_t bytes);
cudaError_t cudaHostAlloc(void** p, std::size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* p);
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total);
cudaError_t cudaMemcpy(void* dst, const void* src, std::size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void* dst, const void* src, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream = nullptr);
cudaError_t cudaMemset(void* dst, int value, std::size_t bytes);
cudaError_t cudaMemsetAsync(void* dst, int value, std::size_t bytes, cudaStream_t stream = nullptr);
template <class T>
requires(!std::is_void_v<T>) cudaError_t cudaMalloc(T** p, std::size_t bytes) {
    return cudaMalloc(reinterpret_cast<void**>(p), bytes);
}
template <class T>
requires(!std::is_void_v<T>) cudaError_t cudaMallocAsync(T** p, std::size_t bytes, cudaStream_t stream) {
    return cudaMallocAsync(reinterpret_cast<void**>(p), bytes, stream);
}
template <class T>
requires(!std::is_void_v<T>) cudaError_t cudaMallocHost(T** p, std::size_t bytes) {
    return cudaMallocHost(reinterpret_cast<void**>(p), bytes);
}

// Streams and events -----------------------------------------------------------------------------------------------
cudaError_t cudaStreamCreate(cudaStream_t* stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data);
cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t end);

// Capture and graphs -----------------------------------------------------------------------------------------------
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status);
/// Status, number and graph alone: what `dependencies` and what follows would receive is not kept.
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id,
                                     cudaGraph_t* graph, const cudaGraphNode_t** dependencies,
                                     const cudaGraphEdgeData** edges, std::size_t* count);
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count);  // the count only
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags = 0);
cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);

// Profiler ---------------------------------------------------------------------------------------------------------
cudaError_t cudaProfilerStart();
cudaError_t cudaProfilerStop();

// What only the emulator has ---------------------------------------------------------------------------------------

/// What launch() is made of: call(kernel, args) runs one thread; `bytes` of args are copied.
cudaError_t launch_kernel(const void* kernel, void (*call)(const void*, const void*), dim3 grid, dim3 block,
                          unsigned dynamic_shared, cudaStream_t stream, const void* args, std::size_t bytes);

/// What was found wrong and made the device fail; empty if nothing was.
const std::string& fault_report();

/// Forgets errors, findings, injections and work not yet done; memory, streams and events stay.
void recover();

/// The next calls that match fail instead of doing their work.
struct Injection {
    std::string call;       // "cudaMalloc"; empty: every call
    std::uint64_t nth = 0;  // of the matching calls from now on, the first being 1; 0: none
    cudaError_t error = cudaErrorUnknown;
    bool sticky = false;  // all later calls fail too, as after an illegal address
};
void inject(const Injection& injection);

struct Counters {
    std::uint64_t calls = 0;
    std::uint64_t allocations = 0;  // of device memory
    std::uint64_t launches = 0;     // kernels that ran, those in graphs included
    std::uint64_t graph_launches = 0;
    std::uint64_t copies = 0;
    std::uint64_t synchronisations = 0;
    std::uint64_t profiler_starts = 0, profiler_stops = 0;
};
Counters& counters();

/// Tells the instrumented build that these bytes hold nothing any more, and fills them with 0xFF: for planners that
/// reuse parts of one allocation.
void forget_content(void* p, std::size_t bytes);

}  // namespace fer::emulated
