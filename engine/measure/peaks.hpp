// What a device can do at best, measured, and how long a step would take at that.
#pragma once

#include <string_view>

#include "engine/graph/precision.hpp"
#include "engine/plan/plan.hpp"
#include "engine/run/runtime.hpp"

namespace fer {

struct Peaks {
    double flops_per_s = 0;  // of a square matrix product in the precision asked for
    double bytes_per_s = 0;  // of a copy, what is read and what is written counted both
};

/// The best of five copies and of five products, by whichever implementation of the device is fastest at it (the naive
/// reference left out where there is another): 64 MB and 1536^3 on a CPU, 1 GB and 8192^3 on cuda, small ones on the
/// emulator, whose times mean nothing.
Peaks measure_peaks(const Device& device, Runtime& runtime, Precision precision);

enum class Bound { kMath, kMemory };
std::string_view name_of(Bound bound);

/// The least time the node can take on such a device: the longer of FLOPs and of bytes of memory traffic at the peak
/// rate. Tensors that stay in a cache may be faster.
struct Limit {
    double seconds = 0;
    Bound bound = Bound::kMemory;
};
Limit limit_of(const OpDesc& op, const Peaks& peaks);

/// The layer-by-layer limit: the sum over the steps that run something.
double limit_seconds(const Plan& plan, const Peaks& peaks);

}  // namespace fer
