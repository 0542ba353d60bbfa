// Convolution and its gradients the plain way: one thread per result, float32, any shape. What conv2d.hpp computes,
// and what the fast kernels fall back on and are measured against.
//
// Formulas, layouts and fields as in conv2d.hpp; there is no workspace, no choice and no other type. Padding takes no
// part in a sum, so NaN and infinity reach exactly the results whose sums hold them. Sums run in the order of n, p, q
// or r, s and then the channel; the weight gradients add up each row of y by itself first. Outputs are overwritten.
// Deterministic. No elements: no launch.
#pragma once

#include "kernels/activation.hpp"
#include "kernels/conv2d.hpp"

namespace fer::FER_PORT {

struct Conv2dDirect {
    Conv2dShape shape;
    const float* x;
    const float* w;
    const float* bias = nullptr;      // (k), or null
    const float* residual = nullptr;  // (n, p, q, k), or null; may be y
    float* y;
    Activation activation = Activation::kNone;
};
void conv2d_direct_fwd(const Conv2dDirect& a, cudaStream_t stream);

struct Conv2dDirectDgrad {
    Conv2dShape shape;
    const float* dy;
    const float* w;
    float* dx;
};
void conv2d_direct_dgrad(const Conv2dDirectDgrad& a, cudaStream_t stream);

struct Conv2dDirectWgrad {
    Conv2dShape shape;
    const float* x;
    const float* dy;
    float* dw;
    float* dbias = nullptr;  // (k), or null
};
void conv2d_direct_wgrad(const Conv2dDirectWgrad& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
