// The reference: naive loops, double accumulators, no cleverness. Each op is one generic body run in float32 or
// float64.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "engine/plan/implementation.hpp"

namespace fer::cpu {

inline DType real_type(const OpDesc& op) {
    for (const auto* list : {&op.in, &op.out, &op.state}) {
        for (const TensorInfo& info : *list) {
            if (info.dtype == DType::kF64 || info.dtype == DType::kF32) {
                return info.dtype;
            }
        }
    }
    return DType::kF32;
}

/// body(T{}, op, operands) with T the type the node computes in.
template <class Body>
Kernel typed(const OpDesc& op, Body body) {
    if (real_type(op) == DType::kF64) {
        return [op, body](const Operands& t) { body(double{}, op, t); };
    }
    return [op, body](const Operands& t) { body(float{}, op, t); };
}

/// body(i) for i in [0, count), in any order and on several threads: no two may write the same place.
template <class Body>
void parallel(std::int64_t count, Body body) {
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < count; ++i) {
        body(i);
    }
}

/// body(begin, end) on disjoint ranges that cover [0, count); boundaries are multiples of 4096, so small tensors
/// stay on one thread and what a range computes does not depend on the number of threads.
template <class Body>
void parallel_ranges(std::int64_t count, Body body) {
    constexpr std::int64_t kRange = 4096;
    const std::int64_t ranges = (count + kRange - 1) / kRange;
#pragma omp parallel for schedule(static) if (ranges > 4)
    for (std::int64_t r = 0; r < ranges; ++r) {
        body(r * kRange, std::min(count, (r + 1) * kRange));
    }
}

/// (n, h, w, c) to a flat index.
struct Nhwc {
    explicit Nhwc(const Shape& s) : n(s[0]), h(s[1]), w(s[2]), c(s[3]) {}
    std::int64_t n, h, w, c;
    std::int64_t operator()(std::int64_t in, std::int64_t ih, std::int64_t iw, std::int64_t ic = 0) const {
        return ((in * h + ih) * w + iw) * c + ic;
    }
};

}  // namespace fer::cpu
