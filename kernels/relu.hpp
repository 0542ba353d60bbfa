// ReLU and ReLU6 on `count` elements, element by element: f32, f16, bf16. NaN stays NaN, -0 stays -0. Any count and
// alignment; 16-byte accesses where the pointers allow. All overwrite, are deterministic and need no workspace.
//
// A mask holds one bit per element: bit i % 32 of word i / 32 is set where the gradient passes. It has
// mask_words(count) words; the bits after the last element are zero.
#pragma once

#include "engine/core/dtype.hpp"
#include "kernels/activation.hpp"

namespace fer::FER_PORT {

constexpr std::int64_t mask_words(std::int64_t count) { return (count + 31) / 32; }

///     y[i] = activation(x[i]),  mask bit i = y[i] > 0 (kRelu), 0 < y[i] < 6 (kRelu6)
struct Relu {
    const void* x;
    void* y;              // may be x
    std::uint32_t* mask;  // or null
    std::int64_t count;
    Activation activation = Activation::kRelu;
    DType dtype = DType::kF32;
};
void relu_fwd(const Relu& a, cudaStream_t stream);

///     dx[i] = dy[i] where the mask, or without one y, lets it pass, else 0
struct ReluGrad {
    const void* dy;
    const void* y;              // the output of the activation; not read if there is a mask
    const std::uint32_t* mask;  // or null
    void* dx;                   // may be dy
    std::int64_t count;
    Activation activation = Activation::kRelu;  // with a mask it does not matter
    DType dtype = DType::kF32;
};
void relu_bwd(const ReluGrad& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
