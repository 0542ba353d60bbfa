// Memory, one stream and captured graphs of the CUDA runtime.
#include <vector>

#include "engine/core/error.hpp"
#include "engine/run/cuda/cuda_device.hpp"
#include "engine/run/cuda/libraries/lists.hpp"
#include "kernels/port/check.hpp"
#include "kernels/port/launch.hpp"
#include "kernels/port/runtime.hpp"

namespace fer::FER_PORT {
namespace {

/// Code that may not throw: what fails while something is given back has failed before.
void ignore(cudaError_t) {}

class Event {
public:
    explicit Event(unsigned flags = cudaEventDefault) { FER_CUDA(cudaEventCreateWithFlags(&event_, flags)); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    ~Event() { ignore(cudaEventDestroy(event_)); }
    cudaEvent_t get() const { return event_; }

private:
    cudaEvent_t event_ = nullptr;
};

class GraphRecording : public Recording {
public:
    GraphRecording(cudaGraph_t graph, cudaStream_t stream) : stream_(stream) {
        FER_CUDA(cudaGraphInstantiate(&exec_, graph, 0));
        const cudaError_t uploaded = cudaGraphUpload(exec_, stream_);
        if (uploaded != cudaSuccess) {
            ignore(cudaGraphExecDestroy(exec_));
        }
        check(uploaded, "cudaGraphUpload", std::source_location::current());
    }
    GraphRecording(const GraphRecording&) = delete;
    GraphRecording& operator=(const GraphRecording&) = delete;
    ~GraphRecording() override { ignore(cudaGraphExecDestroy(exec_)); }
    void start() override { FER_CUDA(cudaGraphLaunch(exec_, stream_)); }

private:
    cudaStream_t stream_;
    cudaGraphExec_t exec_ = nullptr;
};

/// Copies to pinned memory behind the work of the stream; an event tells that one has arrived.
class PinnedWatch : public Watch {
public:
    PinnedWatch(const void* address, std::int64_t bytes, cudaStream_t stream)
        : address_(address), bytes_(static_cast<std::size_t>(bytes)), stream_(stream) {
        FER_CUDA(cudaMallocHost(&pinned_, bytes_));
        seen_.resize(bytes_);
    }
    ~PinnedWatch() override {
        ignore(cudaEventSynchronize(arrival_.get()));
        ignore(cudaFreeHost(pinned_));
    }
    void refresh() override {
        if (!under_way_) {
            FER_CUDA(cudaMemcpyAsync(pinned_, address_, bytes_, cudaMemcpyDeviceToHost, stream_));
            FER_CUDA(cudaEventRecord(arrival_.get(), stream_));
            under_way_ = true;
        }
    }
    const void* arrived() override {
        if (!under_way_) {
            return nullptr;
        }
        const cudaError_t state = cudaEventQuery(arrival_.get());
        if (state == cudaErrorNotReady) {
            return nullptr;
        }
        FER_CUDA(state);
        under_way_ = false;
        seen_.assign(static_cast<const char*>(pinned_), static_cast<const char*>(pinned_) + bytes_);
        return seen_.data();
    }

private:
    const void* address_;
    std::size_t bytes_;
    cudaStream_t stream_;
    void* pinned_ = nullptr;
    std::vector<char> seen_;
    Event arrival_;
    bool under_way_ = false;
};

class StreamMark : public Mark {
public:
    explicit StreamMark(const Runtime& runtime) : runtime_(runtime), event_(cudaEventDisableTiming) {}
    void set(int branch) override { FER_CUDA(cudaEventRecord(event_.get(), stream(branch))); }
    void wait(int branch) override { FER_CUDA(cudaStreamWaitEvent(stream(branch), event_.get(), 0)); }

private:
    cudaStream_t stream(int branch) const { return static_cast<cudaStream_t>(runtime_.queue(branch)); }

    const Runtime& runtime_;
    Event event_;
};

class CudaRuntime : public Runtime {
public:
    CudaRuntime() {
        int least = 0;
        int greatest = 0;
        FER_CUDA(cudaDeviceGetStreamPriorityRange(&least, &greatest));
        FER_CUDA(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, greatest));
        // What the step does not wait for soon yields to what it does.
        FER_CUDA(cudaStreamCreateWithPriority(&beside_, cudaStreamNonBlocking, least));
    }
    ~CudaRuntime() override {
        ignore(cudaStreamDestroy(beside_));
        ignore(cudaStreamDestroy(stream_));
    }

    void* allocate(std::int64_t bytes) override {
        const auto size = static_cast<std::size_t>(bytes);
        std::size_t free = 0;
        std::size_t total = 0;
        FER_CUDA(cudaMemGetInfo(&free, &total));
        void* memory = nullptr;
        if (size > free || cudaMalloc(&memory, size) == cudaErrorMemoryAllocation) {
            ignore(cudaGetLastError());
            throw MemoryError(fmt::format("out of device memory: {:.1f} MB wanted, {:.1f} of {:.1f} MB are free",
                                          megabytes(size), megabytes(free), megabytes(total)))
                .try_this("a smaller --batch");
        }
        if (memory == nullptr) {
            FER_CUDA(cudaGetLastError());
        }
        FER_CUDA(cudaMemsetAsync(memory, 0, size, stream_));
        return memory;
    }
    std::optional<std::int64_t> free_bytes() const override {
        std::size_t free = 0;
        std::size_t total = 0;
        FER_CUDA(cudaMemGetInfo(&free, &total));
        return static_cast<std::int64_t>(free);
    }
    void release(void* address) noexcept override { ignore(cudaFree(address)); }
    bool host_memory() const override { return false; }

    void upload(void* to, const void* from, std::int64_t bytes) override {
        copy(to, from, bytes, cudaMemcpyHostToDevice);
    }
    void download(void* to, const void* from, std::int64_t bytes) override {
        copy(to, from, bytes, cudaMemcpyDeviceToHost);
    }
    void clear(void* address, std::int64_t bytes) override {
        FER_CUDA(cudaMemsetAsync(address, 0, static_cast<std::size_t>(bytes), stream_));
    }
    void copy(void* to, const void* from, std::int64_t bytes) override {
        FER_CUDA(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToDevice, stream_));
    }
    void wait() override { FER_CUDA(cudaStreamSynchronize(stream_)); }

    void* queue(int branch) const override { return branch == 0 ? stream_ : beside_; }
    std::unique_ptr<Mark> mark() override { return std::make_unique<StreamMark>(*this); }

    std::unique_ptr<Recording> record(const std::function<void()>& enqueue, bool overlap) override {
        cudaGraph_t graph = nullptr;
        FER_CUDA(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
        try {
            const DependentLaunches dependent(overlap);
            enqueue();
        } catch (...) {
            ignore(cudaStreamEndCapture(stream_, &graph));
            destroy(graph);
            throw;
        }
        FER_CUDA(cudaStreamEndCapture(stream_, &graph));
        try {
            auto recording = std::make_unique<GraphRecording>(graph, stream_);
            destroy(graph);
            return recording;
        } catch (...) {
            destroy(graph);
            throw;
        }
    }
    std::int64_t recorded_nodes() const override {
        cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
        unsigned long long id = 0;
        cudaGraph_t graph = nullptr;
#if CUDART_VERSION >= 13000 || defined(FER_EMULATED)
        FER_CUDA(cudaStreamGetCaptureInfo(stream_, &status, &id, &graph, nullptr, nullptr, nullptr));
#else
        FER_CUDA(cudaStreamGetCaptureInfo_v2(stream_, &status, &id, &graph, nullptr, nullptr));
#endif
        if (status != cudaStreamCaptureStatusActive) {
            return 0;
        }
        std::size_t count = 0;
        FER_CUDA(cudaGraphGetNodes(graph, nullptr, &count));
        return static_cast<std::int64_t>(count);
    }
    void profile(bool begin) override {
        wait();
        if (begin) {
            FER_CUDA(cudaProfilerStart());
        } else {
            FER_CUDA(cudaProfilerStop());
        }
    }
    std::unique_ptr<Watch> watch(const void* address, std::int64_t bytes) override {
        return std::make_unique<PinnedWatch>(address, bytes, stream_);
    }
    double seconds(const std::function<void()>& enqueue) override {
        const Event start;
        const Event stop;
        FER_CUDA(cudaEventRecord(start.get(), stream_));
        enqueue();
        FER_CUDA(cudaEventRecord(stop.get(), stream_));
        FER_CUDA(cudaEventSynchronize(stop.get()));
        float milliseconds = 0;
        FER_CUDA(cudaEventElapsedTime(&milliseconds, start.get(), stop.get()));
        return 1e-3 * static_cast<double>(milliseconds);
    }

    std::string description() const override {
        cudaDeviceProp p{};
        FER_CUDA(cudaGetDeviceProperties(&p, 0));
        int driver = 0;
        FER_CUDA(cudaDriverGetVersion(&driver));
        return fmt::format("{}, compute capability {}.{}, {} multiprocessors, {:.0f} GB, driver for CUDA {}.{}", p.name,
                           p.major, p.minor, p.multiProcessorCount, static_cast<double>(p.totalGlobalMem) * 1e-9,
                           driver / 1000, driver % 1000 / 10);
    }
    std::string tuning_key() const override {
#if defined(FER_EMULATED)
        return description();
#else
        return fmt::format("{}, {}", description(), library_versions());
#endif
    }

private:
    static double megabytes(std::size_t bytes) { return static_cast<double>(bytes) * 1e-6; }

    void copy(void* to, const void* from, std::int64_t bytes, cudaMemcpyKind kind) {
        if (bytes > 0) {
            FER_CUDA(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), kind, stream_));
            wait();
        }
    }
    static void destroy(cudaGraph_t graph) {
        if (graph != nullptr) {
            ignore(cudaGraphDestroy(graph));
        }
    }

    cudaStream_t stream_ = nullptr;
    cudaStream_t beside_ = nullptr;  // the second branch of a recording
};

/// The first GPU must be one that the kernels were compiled for.
void expect_gpu() {
    int count = 0;
    const cudaError_t code = cudaGetDeviceCount(&count);
    if (code != cudaSuccess || count == 0) {
        ignore(cudaGetLastError());
        throw DeviceError("no CUDA device found")
            .because(code == cudaSuccess ? "the driver sees none" : cudaGetErrorString(code))
            .try_this("--device cpu, or fer doctor for what is missing");
    }
    cudaDeviceProp p{};
    FER_CUDA(cudaGetDeviceProperties(&p, 0));
    if (p.major < 8) {
        throw DeviceError(
            fmt::format("{} has compute capability {}.{}, the kernels need 8.0", p.name, p.major, p.minor))
            .try_this("--device cpu");
    }
}

}  // namespace

Runtime& cuda_runtime() {
    static const auto opened = [] {
        expect_gpu();
        return std::make_unique<CudaRuntime>();
    }();
    return *opened;
}

}  // namespace fer::FER_PORT
