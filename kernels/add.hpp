// The join of a residual block. f32, f16, bf16, the sum in float and rounded once. Any count and alignment; 16-byte
// accesses where the pointers allow. Overwrites, is deterministic, needs no workspace. The gradient of a sum is dy for
// both terms; with an activation relu_bwd makes it from y or the mask.
#pragma once

#include "engine/core/dtype.hpp"
#include "kernels/activation.hpp"

namespace fer::FER_PORT {

///     y[i] = activation(a[i] + b[i]),  mask as in relu.hpp
struct Add {
    const void* a;
    const void* b;
    void* y;              // may be a or b
    std::uint32_t* mask;  // mask_words(count) words, or null
    std::int64_t count;
    Activation activation = Activation::kNone;
    DType dtype = DType::kF32;
};
void add_fwd(const Add& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
