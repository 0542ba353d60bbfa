// Times single launches on a stream by events, each from a cold L2, and knows what the device can do at best.
#pragma once

#include <string>
#include <vector>

#include "bench/kernels/case.hpp"
#include "kernels/port/runtime.hpp"

namespace fer::FER_PORT {

/// What a figure is held against.
struct Peaks {
    double copied_bytes = 0;  // per second, read plus written: measured, a device-to-device copy of 1 GiB
    double clock_hz = 0;      // the highest the device names; with it, not measured:
    double half_flops = 0;    // per second, f16 and bf16 on tensor cores
    double tf32_flops = 0;
    double float_flops = 0;  // on the ordinary units

    double flops(const Case& c) const {
        const Arithmetic& how = c.arithmetic;
        return !c.tensor ? float_flops : how.dtype != DType::kF32 ? half_flops : how.tf32 ? tf32_flops : float_flops;
    }
    /// No kernel that moves these bytes and does this arithmetic is faster.
    double least_seconds(const Case& c, std::int64_t bytes) const;
};

struct DeviceFacts {
    std::string name;
    int multiprocessors = 0;
    int l2_bytes = 0;
    int driver = 0, runtime = 0;  // 13000 for 13.0
};
DeviceFacts device_facts();

class Stopwatch {
public:
    Stopwatch();
    Stopwatch(const Stopwatch&) = delete;
    Stopwatch& operator=(const Stopwatch&) = delete;
    ~Stopwatch();

    /// Seconds of single launches, sorted: two unmeasured ones first, then 10 to 50, as many as fit 50 ms.
    /// Before each, memory of more than twice the L2 is written, so that nothing of the arguments is left there.
    std::vector<double> measure(const Run& run);

    Peaks peaks();
    /// What the events say of a launch of nothing: shorter kernels cannot be told from it.
    double empty_seconds();

private:
    std::vector<double> times(const Run& run, int launches);

    cudaStream_t stream_ = nullptr;
    void* flush_ = nullptr;
    std::size_t flush_bytes_ = 0;
    int flushes_ = 0;
};

double median(const std::vector<double>& sorted);

}  // namespace fer::FER_PORT
