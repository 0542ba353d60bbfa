// Separable convolution forward in one pass: depthwise, then pointwise on matrix units. The depthwise result of a tile
// of pixels stays in shared memory as the left operand of the product, so it is neither written nor read back.
//
//     m[n,p,q,c] = sum over r,s of x[n, p*stride+r-top, q*stride+s-left, c] * depth[r,s,c],  x zero outside its bounds
//     y[n,p,q,k] = act(bias[k] + sum over c of m[n,p,q,c] * point[c,k])
//
// m is summed in float32 and rounded to `dtype`, as if it had been stored; with `middle` it is stored too, which is
// what the weight gradient of the pointwise part needs. Layout NHWC, weights HWIO. Any kernel size, stride, padding (p
// and q are given), n and k (0 of either writes nothing); c as far as 64 pixels fit the shared memory of a block: see
// separable_refusal(). f16 and bf16 multiply exactly and add in float32 (mma.sync). f32 with tf32 = true rounds m and
// `point` to 10 bits of mantissa; with false it is float32 throughout, by fused multiply-adds. Tensors below 2^31
// elements, any alignment; 16-byte accesses where c, k and the pointers allow. Overwrites; no input may overlap an
// output. Deterministic, no workspace. NaN and infinity reach every sum that holds them, NaN passes the activations.
#pragma once

#include "engine/core/dtype.hpp"
#include "kernels/activation.hpp"
#include "kernels/depthwise.hpp"

namespace fer::FER_PORT {

struct Separable {
    DepthwiseShape shape;         // of the depthwise part
    int k;                        // channels of y
    const void* x;                // (n, h, w, c)
    const void* depth;            // (kh, kw, c)
    const void* point;            // (c, k)
    const float* bias = nullptr;  // (k), or null
    void* middle = nullptr;       // (n, p, q, c) of dtype, or null
    void* y;                      // (n, p, q, k)
    Activation activation = Activation::kNone;
    DType dtype = DType::kF32;
    bool tf32 = false;
};

/// Why this cannot be computed here, in a sentence; null if it can. Reads shape and dtype only.
const char* separable_refusal(const Separable& a);
void separable_fwd(const Separable& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
