// Dense layers and their gradients, matrix products on the tensor cores:
//
//     y[n,m]  = act(bias[m] + sum over k of x[n,k] * w[k,m])
//     dx[n,k] = sum over m of dy[n,m] * w[k,m]
//     dw[k,m] = sum over n of x[n,k] * dy[n,m];  dbias[m] = sum over n of dy[n,m]
//
// x (n, k), w (k, m), y (n, m), rows contiguous. A dense layer is a 1x1 convolution of images of one pixel, and runs on
// the kernels of conv2d.hpp: types, alignment, tf32, splits and workspace, overwriting, determinism and NaN are as told
// there. Without padding there is no zero that takes part in a sum: NaN and infinity reach exactly the results whose
// sums hold them. A small batch has few tiles, so long sums are split: 64 x 12800 x 1024 in 25 parts.
#pragma once

#include "kernels/conv2d.hpp"

namespace fer::FER_PORT {

struct Dense {
    const void* x;
    const void* w;
    const float* bias = nullptr;  // (m), or null
    void* y;
    int n, k, m;
    void* workspace = nullptr;  // dense_fwd_workspace() bytes, 16-byte aligned
    Activation activation = Activation::kNone;
    DType dtype = DType::kF32;
    DType y_dtype = dtype;  // or kF32
    bool tf32 = false;
    GemmChoice choice = {};
};
GemmPlan dense_fwd_plan(const Dense& a);
std::int64_t dense_fwd_workspace(const Dense& a);
void dense_fwd(const Dense& a, cudaStream_t stream);

struct DenseDgrad {
    const void* dy;
    const void* w;
    void* dx;
    int n, k, m;
    void* workspace = nullptr;  // dense_dgrad_workspace() bytes, 16-byte aligned
    DType dtype = DType::kF32;
    DType dx_dtype = dtype;  // or kF32
    bool tf32 = false;
    GemmChoice choice = {};
};
GemmPlan dense_dgrad_plan(const DenseDgrad& a);
std::int64_t dense_dgrad_workspace(const DenseDgrad& a);
void dense_dgrad(const DenseDgrad& a, cudaStream_t stream);

struct DenseWgrad {
    const void* x;
    const void* dy;
    void* dw;
    float* dbias = nullptr;  // (m), or null
    int n, k, m;
    void* workspace = nullptr;  // dense_wgrad_workspace() bytes, 16-byte aligned
    DType dtype = DType::kF32;
    DType dw_dtype = dtype;  // or kF32
    bool tf32 = false;
    GemmChoice choice = {};
};
GemmPlan dense_wgrad_plan(const DenseWgrad& a);
std::int64_t dense_wgrad_workspace(const DenseWgrad& a);
void dense_wgrad(const DenseWgrad& a, cudaStream_t stream);

}  // namespace fer::FER_PORT
