// Depthwise convolution (one kernel per channel, depth multiplier 1) and its gradients. Cross-correlation as in Keras:
//
//     y[n,p,q,c]  = act(bias[c] + sum over r,s of x[n, p*stride+r-top, q*stride+s-left, c] * w[r,s,c]),
//                   x zero outside its bounds
//     dx[n,h,w,c] = sum over the (p,q,r,s) with p*stride+r-top == h and q*stride+s-left == w of dy[n,p,q,c] * w[r,s,c]
//     dw[r,s,c]   = sum over n,p,q of x[n, p*stride+r-top, q*stride+s-left, c] * dy[n,p,q,c]
//
// Layout NHWC, weights (kh, kw, c). Any kernel size, stride, padding (p and q are given) and channel count; f32, f16,
// bf16 with sums in float32, bias last. 3x3 with stride 1 and 16-byte channels goes through a tile in shared memory,
// for dx as the convolution of dy with the turned kernel; the rest reads global memory. Tensors below 2^31 elements.
// Overwrites; an empty sum is zero; no overlap of inputs with outputs. Deterministic: sums run over r, then s; dw is
// summed per block, then over blocks in order, the number of blocks a function of shape and alignment.
// NaN and infinity reach every sum that holds them. Padding may take part as 0: next to a border a weight, an x or a dy
// that is not finite may make NaN of a sum that a naive loop would have left it out of.
#pragma once

#include "engine/core/dtype.hpp"
#include "kernels/activation.hpp"

namespace fer::FER_PORT {

struct DepthwiseShape {
    int n, h, w, c;  // x (n, h, w, c)
    int kh, kw;      // weights (kh, kw, c)
    int stride = 1;  // of both axes
    int top = 0;     // rows of padding before the first
    int left = 0;    // columns of padding before the first
    int p, q;        // y (n, p, q, c)
};

struct Depthwise {
    DepthwiseShape shape;
    const void* x;
    const void* w;
    const float* bias = nullptr;  // (c), or null
    void* y;
    Activation activation = Activation::kNone;
    DType dtype = DType::kF32;
};
void depthwise_fwd(const Depthwise& a, cudaStream_t stream);

struct DepthwiseDgrad {
    DepthwiseShape shape;
    const void* dy;
    const void* w;
    void* dx;
    DType dtype = DType::kF32;
};
void depthwise_dgrad(const DepthwiseDgrad& a, cudaStream_t stream);

struct DepthwiseWgrad {
    DepthwiseShape shape;
    const void* x;
    const void* dy;
    void* dw;
    void* workspace = nullptr;  // depthwise_wgrad_workspace() bytes, 4-byte aligned
    DType dtype = DType::kF32;
    DType dw_dtype = DType::kF32;
};
std::int64_t depthwise_wgrad_workspace(const DepthwiseWgrad& a);
void depthwise_wgrad(const DepthwiseWgrad& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
