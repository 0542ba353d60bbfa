// One number everywhere. f32; overwrites, deterministic.
#pragma once

#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

///     y[i] = value
struct Fill {
    float* y;  // (count)
    std::int64_t count;
    float value;
};
void fill(const Fill& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
