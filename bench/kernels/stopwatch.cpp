#include "bench/kernels/stopwatch.hpp"

#include <algorithm>

#include "kernels/port/check.hpp"

namespace fer::FER_PORT {
namespace {

constexpr int kLeastLaunches = 10;
constexpr int kMostLaunches = 50;
constexpr double kBudget = 0.05;  // seconds of a case, the flushes included
constexpr std::int64_t kCopyBytes = 1 << 30;

/// Floating-point operations of a multiprocessor per clock, from the tuning guides and data sheets of the
/// architectures: 8.0 is the A100, 9.0 the H100 and H200.
struct Rates {
    int capability;
    double half, tf32, single;
};
constexpr Rates kRates[] = {{80, 2048, 1024, 128}, {90, 4096, 2048, 256}};

int attribute(cudaDeviceAttr which) {
    int device = 0;
    int value = 0;
    FER_CUDA(cudaGetDevice(&device));
    FER_CUDA(cudaDeviceGetAttribute(&value, which, device));
    return value;
}

class Event {
public:
    Event() { FER_CUDA(cudaEventCreate(&event_)); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    ~Event() { cudaEventDestroy(event_); }
    operator cudaEvent_t() const { return event_; }

private:
    cudaEvent_t event_ = nullptr;
};

}  // namespace

double median(const std::vector<double>& sorted) {
    const std::size_t n = sorted.size();
    return n == 0 ? 0 : n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

double Peaks::least_seconds(const Case& c, std::int64_t bytes) const {
    const double rate = flops(c);
    const double moving = copied_bytes > 0 ? static_cast<double>(bytes) / copied_bytes : 0;
    const double computing = rate > 0 ? static_cast<double>(c.flops) / rate : 0;
    return std::max(moving, computing);
}

DeviceFacts device_facts() {
    DeviceFacts facts;
    int device = 0;
    FER_CUDA(cudaGetDevice(&device));
    cudaDeviceProp properties{};
    FER_CUDA(cudaGetDeviceProperties(&properties, device));
    facts.name = properties.name;
    facts.multiprocessors = attribute(cudaDevAttrMultiProcessorCount);
    facts.l2_bytes = attribute(cudaDevAttrL2CacheSize);
    FER_CUDA(cudaDriverGetVersion(&facts.driver));
    FER_CUDA(cudaRuntimeGetVersion(&facts.runtime));
    return facts;
}

Stopwatch::Stopwatch() {
    FER_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    flush_bytes_ = static_cast<std::size_t>(attribute(cudaDevAttrL2CacheSize)) * 5 / 2;
    FER_CUDA(cudaMalloc(&flush_, flush_bytes_));
}

Stopwatch::~Stopwatch() {
    cudaFree(flush_);
    cudaStreamDestroy(stream_);
}

/// All launches are queued behind each other: the device works off the flush while the host is ahead, so no time
/// between two events is the host's.
std::vector<double> Stopwatch::times(const Run& run, int launches) {
    const auto count = static_cast<std::size_t>(launches);
    const std::vector<Event> begin(count);
    const std::vector<Event> end(count);
    for (std::size_t i = 0; i < count; ++i) {
        FER_CUDA(cudaMemsetAsync(flush_, ++flushes_ & 0xFF, flush_bytes_, stream_));
        FER_CUDA(cudaEventRecord(begin[i], stream_));
        run(stream_);
        FER_CUDA(cudaEventRecord(end[i], stream_));
    }
    FER_CUDA(cudaStreamSynchronize(stream_));
    std::vector<double> seconds(count);
    for (std::size_t i = 0; i < count; ++i) {
        float ms = 0;
        FER_CUDA(cudaEventElapsedTime(&ms, begin[i], end[i]));
        seconds[i] = static_cast<double>(ms) * 1e-3;
    }
    std::ranges::sort(seconds);
    return seconds;
}

std::vector<double> Stopwatch::measure(const Run& run) {
    FER_CUDA(cudaDeviceSynchronize());  // the arguments are filled on another stream
    const double estimate = times(run, 2).front() + 1e-4;
    const double launches = std::clamp(kBudget / estimate, double{kLeastLaunches}, double{kMostLaunches});
    return times(run, static_cast<int>(launches));
}

double Stopwatch::empty_seconds() {
    return median(measure([](cudaStream_t) {}));
}

Peaks Stopwatch::peaks() {
    Peaks peaks;
    Memory memory(Content::kRandom);
    const void* from = memory.input(kCopyBytes, DType::kU8);
    void* to = memory.output(kCopyBytes, DType::kU8);
    const auto copy = [&](cudaStream_t stream) {
        FER_CUDA(cudaMemcpyAsync(to, from, static_cast<std::size_t>(kCopyBytes), cudaMemcpyDeviceToDevice, stream));
    };
    peaks.copied_bytes = 2.0 * static_cast<double>(kCopyBytes) / median(measure(copy));

    const int capability =
        attribute(cudaDevAttrComputeCapabilityMajor) * 10 + attribute(cudaDevAttrComputeCapabilityMinor);
    peaks.clock_hz = attribute(cudaDevAttrClockRate) * 1e3;
    const double clocks = peaks.clock_hz * attribute(cudaDevAttrMultiProcessorCount);
    for (const Rates& rates : kRates) {
        if (rates.capability == capability) {
            peaks.half_flops = clocks * rates.half;
            peaks.tf32_flops = clocks * rates.tf32;
            peaks.float_flops = clocks * rates.single;
        }
    }
    return peaks;
}

}  // namespace fer::FER_PORT
