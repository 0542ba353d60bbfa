// Convolution and its gradients as matrix products on the tensor cores (implicit GEMM: nothing is unfolded in memory).
// Cross-correlation as in Keras, x zero outside its bounds:
//
//     y[n,p,q,k]  = act(bias[k] + residual[n,p,q,k] + sum over r,s,c of x[n, p*stride+r-top, q*stride+s-left, c] *
//     w[r,s,c,k]) dx[n,h,w,c] = sum over the (p,q,r,s) with p*stride+r-top == h, q*stride+s-left == w, and k, of
//     dy[n,p,q,k] * w[r,s,c,k] dw[r,s,c,k] = sum over n,p,q of x[n, p*stride+r-top, q*stride+s-left, c] * dy[n,p,q,k];
//     dbias[k] = sum of dy
//
// Layout NHWC, weights HWIO. Any kernel size, stride, padding (only top and left matter: p, q are given) and channel
// count; rows of a multiple of 16 bytes take the fast path. Tensors below 2^31 elements, 16-byte aligned.
// Types: x, w, dy of `dtype`; bias, dbias float32; results of `dtype` or float32. f16 and bf16 multiply exactly and
// add in float32 (mma.sync). f32 with tf32 = true rounds its operands to 10 bits of mantissa (mma.sync); with false it
// is float32 throughout (fused multiply-adds, by r, s, c in this order within a split).
// Outputs are overwritten; an empty sum writes zeros (and bias). No elements: no launch. Deterministic: splits of a sum
// go to the workspace and are added in order by a second kernel. The order depends on the plan, so on shape and choice.
// NaN and infinity reach every output whose sum holds them, and NaN passes the activations. Unlike in a naive loop,
// padding takes part as 0: where a weight is not finite, outputs at the border become NaN too; a dy that is not finite
// spoils the dw of all its kernel places, and a w all dx of its kernel place whose dy lies outside.
#pragma once

#include "engine/core/dtype.hpp"
#include "kernels/activation.hpp"
#include "kernels/conv2d_plan.hpp"

namespace fer::FER_PORT {

struct Conv2dShape {
    int n, h, w, c;  // x (n, h, w, c)
    int kh, kw, k;   // weights (kh, kw, c, k)
    int stride = 1;  // of both axes
    int top = 0;     // rows of padding before the first
    int left = 0;    // columns of padding before the first
    int p, q;        // y (n, p, q, k)

    bool operator==(const Conv2dShape&) const = default;
};

struct Conv2d {
    Conv2dShape shape;
    const void* x;
    const void* w;
    const float* bias = nullptr;     // (k), or null
    const void* residual = nullptr;  // (n, p, q, k) of dtype, or null; may be y where y_dtype == dtype
    void* y;
    /// Null, or (conv2d_fwd_plan().tiles_m, 2, k): mean and sum of squared deviations from it of every channel of y,
    /// as stored, over rows [i*rows, (i+1)*rows) of the n*p*q. BatchNormFinalize takes it as Moments::kMeanM2.
    float* moments = nullptr;
    void* workspace = nullptr;  // conv2d_fwd_workspace() bytes, 16-byte aligned
    Activation activation = Activation::kNone;
    DType dtype = DType::kF32;
    DType y_dtype = dtype;  // or kF32
    bool tf32 = false;
    GemmChoice choice = {};
};
/// With moments, sums are not split.
GemmPlan conv2d_fwd_plan(const Conv2d& a);
std::int64_t conv2d_fwd_workspace(const Conv2d& a);
void conv2d_fwd(const Conv2d& a, cudaStream_t stream);

struct Conv2dDgrad {
    Conv2dShape shape;
    const void* dy;
    const void* w;
    void* dx;
    void* workspace = nullptr;  // conv2d_dgrad_workspace() bytes, 16-byte aligned
    DType dtype = DType::kF32;
    DType dx_dtype = dtype;  // or kF32
    bool tf32 = false;
    GemmChoice choice = {};
};
/// stride * stride launches: the rows h with equal (h+top) % stride, and so the columns, read the same kernel places.
/// Each is a dense product; places that would meet no output are not multiplied by zeros.
GemmPlan conv2d_dgrad_plan(const Conv2dDgrad& a, int row_class = 0, int column_class = 0);
std::int64_t conv2d_dgrad_workspace(const Conv2dDgrad& a);
void conv2d_dgrad(const Conv2dDgrad& a, cudaStream_t stream);

struct Conv2dWgrad {
    Conv2dShape shape;
    const void* x;
    const void* dy;
    void* dw;
    float* dbias = nullptr;     // (k), or null
    void* workspace = nullptr;  // conv2d_wgrad_workspace() bytes, 16-byte aligned
    DType dtype = DType::kF32;
    DType dw_dtype = dtype;  // or kF32
    bool tf32 = false;
    GemmChoice choice = {};
};
GemmPlan conv2d_wgrad_plan(const Conv2dWgrad& a);
std::int64_t conv2d_wgrad_workspace(const Conv2dWgrad& a);
void conv2d_wgrad(const Conv2dWgrad& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
