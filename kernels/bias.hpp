// Bias along the channels of (rows, c), and its gradient. x, y and dy of `dtype`, bias and its gradient float32.
#pragma once

#include "engine/core/dtype.hpp"
#include "kernels/activation.hpp"
#include "kernels/port/config.hpp"

namespace fer::FER_PORT {

/// y = act(x + b[channel]), summed in float32 and rounded once. May work in place. Overwrites, deterministic.
struct Bias {
    const void* x;   // (rows, c)
    const float* b;  // (c)
    void* y;         // (rows, c)
    DType dtype = DType::kF32;
    std::int64_t rows;
    int c;
    Activation activation = Activation::kNone;
};
void bias_fwd(const Bias& a, cudaStream_t stream);

/// db[channel] = sum over rows of dy. In float32 within a part of the rows, in double over parts, in a fixed order.
/// No rows: db is 0.
struct BiasGrad {
    const void* dy;  // (rows, c)
    float* db;       // (c)
    DType dtype = DType::kF32;
    std::int64_t rows;
    int c;
    void* workspace;  // bias_grad_workspace(rows, c) bytes, 16-byte aligned
};
void bias_bwd(const BiasGrad& a, cudaStream_t stream);
std::size_t bias_grad_workspace(std::int64_t rows, int c);

}  // namespace fer::FER_PORT
