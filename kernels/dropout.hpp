// Dropout by regenerated random numbers: no mask is stored.
//
//     y[i] = u(i) >= rate ? x[i] / (1 - rate) : 0,   u(i) = RandomStream(seed, step, stream).uniform(i)
//
// The gradient is the same operation on dy, in the same step. Four elements share one Philox counter; the mask is the
// CPU's, bit for bit, whatever the launch shape. A dropped NaN becomes 0. May work in place. Overwrites, deterministic.
#pragma once

#include "engine/core/dtype.hpp"
#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

struct Dropout {
    const void* x;              // (count)
    void* y;                    // (count)
    const std::int64_t* clock;  // clock.hpp: seed and step
    std::int64_t count;
    float rate;  // in [0, 1)
    std::uint32_t stream;
    DType dtype = DType::kF32;
};
void dropout(const Dropout& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
